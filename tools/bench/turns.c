// SPDX-License-Identifier: GPL-2.0-only
/*
 * Commands in turns, each as a process of its own from spawn to end: prints for each the least and the median in
 * milliseconds, one line a command, in their order.
 *
 *   turns ROUNDS COMMAND [ARG]... [-- COMMAND [ARG]...]...
 *
 * Their output is thrown away; one that fails ends the run with exit code 3.
 */
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define MOST_COMMANDS 16
#define MOST_ROUNDS 10000

extern char **environ;

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static double took_ms(char **argv, const posix_spawn_file_actions_t *quiet)
{
	uint64_t start = now_ns();
	int status, err;
	pid_t pid;

	err = posix_spawnp(&pid, argv[0], quiet, NULL, argv, environ);
	if (err) {
		fprintf(stderr, "turns: %s: %s\n", argv[0], strerror(err));
		exit(3);
	}
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (status) {
		fprintf(stderr, "turns: %s failed\n", argv[0]);
		exit(3);
	}
	return (now_ns() - start) / 1e6;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

int main(int argc, char **argv)
{
	static double ms[MOST_COMMANDS][MOST_ROUNDS];
	int rounds = argc > 2 ? atoi(argv[1]) : 0, n = 0;
	posix_spawn_file_actions_t quiet;
	char **command[MOST_COMMANDS];

	for (int i = 1; i < argc && n < MOST_COMMANDS; i++) {
		if (i > 1 && strcmp(argv[i], "--"))
			continue;
		argv[i] = NULL;
		command[n++] = &argv[i + 1];
	}
	for (int c = 0; c < n; c++)
		if (!*command[c])
			rounds = 0;
	if (rounds < 1 || rounds > MOST_ROUNDS) {
		fputs("usage: turns ROUNDS COMMAND [ARG]... [-- COMMAND [ARG]...]...\n", stderr);
		return 2;
	}
	posix_spawn_file_actions_init(&quiet);
	posix_spawn_file_actions_addopen(&quiet, STDOUT_FILENO, "/dev/null", O_WRONLY, 0);
	for (int i = 0; i < rounds; i++)
		for (int c = 0; c < n; c++)
			ms[c][i] = took_ms(command[c], &quiet);
	for (int c = 0; c < n; c++) {
		qsort(ms[c], rounds, sizeof(ms[c][0]), ascending);
		printf("%.2f %.2f\n", ms[c][0], ms[c][rounds / 2]);
	}
	return 0;
}
