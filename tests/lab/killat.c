// SPDX-License-Identifier: GPL-2.0-only
/*
 * Kills a command with SIGKILL as it enters its Nth system call.
 *
 *   killat N COMMAND...     prints "killed at N" or "ended with STATUS after M"
 *
 * N 0 never kills: M is the number of system calls of the whole run.
 */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

static int die(const char *what)
{
	fprintf(stderr, "killat: %s: %s\n", what, strerror(errno));
	return 2;
}

int main(int argc, char **argv)
{
	unsigned long at, calls = 0;
	bool entering = true;
	int status, sig = 0;
	pid_t child;

	if (argc < 3) {
		fprintf(stderr, "killat: N COMMAND...\n");
		return 2;
	}
	at = strtoul(argv[1], NULL, 10);
	child = fork();
	if (child < 0)
		return die("fork");
	if (!child) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		execvp(argv[2], argv + 2);
		_exit(127);
	}
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		return die("the child did not stop");
	ptrace(PTRACE_SETOPTIONS, child, 0, PTRACE_O_TRACESYSGOOD | PTRACE_O_EXITKILL);
	for (;;) {
		if (ptrace(PTRACE_SYSCALL, child, 0, sig))
			return die("ptrace");
		if (waitpid(child, &status, 0) != child)
			return die("wait");
		if (WIFEXITED(status) || WIFSIGNALED(status))
			break;
		sig = 0;
		if (WSTOPSIG(status) != (SIGTRAP | 0x80)) {
			if (WSTOPSIG(status) != SIGTRAP)
				sig = WSTOPSIG(status);
			continue;
		}
		if (entering && ++calls == at) {
			kill(child, SIGKILL);
			waitpid(child, &status, 0);
			printf("killed at %lu\n", at);
			return 0;
		}
		entering = !entering;
	}
	printf("ended with %d after %lu\n", WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), calls);
	return 0;
}
