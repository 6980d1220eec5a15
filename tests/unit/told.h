/* SPDX-License-Identifier: GPL-2.0-only */
/* For unit tests: what an operator was told, and places for files of a test's own. */
#ifndef MXDP_TESTS_TOLD_H
#define MXDP_TESTS_TOLD_H

#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>
#include "rules.h"

#define unused __attribute__((unused))
#define __cleanup_diag __cleanup(diag_free)
#define __cleanup_rules __cleanup(rules_free)

/* All messages as one text: "E: ...", "W: ...", "N: ...", a line each. Static storage. */
static unused const char *told(const struct diag *d)
{
	static char text[65536];
	size_t n = 0;

	text[0] = '\0';
	for (size_t i = 0; i < d->n; i++)
		n += snprintf(text + n, sizeof(text) - n, "%s%c: %s", i ? "\n" : "", "EWN"[d->msg[i].level], d->msg[i].text);
	return text;
}

static unused int parse(struct rules *r, const char *text, struct diag *d)
{
	return rules_parse(r, "mxdp.conf", text, strlen(text), d);
}

/*
 * A directory of the test's own under TMPDIR, made and entered; and left and removed. As root a network too: guards of
 * lists look at the addresses of the host, and those of the machine that tests are its own business.
 */
static unused char scratch_dir[256];

static unused int scratch_enter(void **state)
{
	(void)state;
	if (geteuid() == 0 && unshare(CLONE_NEWNET))
		return -1;
	snprintf(scratch_dir, sizeof(scratch_dir), "%s/mxdp-test.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	return !mkdtemp(scratch_dir) || chdir(scratch_dir) ? -1 : 0;
}

static unused int scratch_leave(void **state)
{
	char command[300];

	(void)state;
	snprintf(command, sizeof(command), "rm -rf '%s'", scratch_dir);
	return chdir("/") || system(command) ? -1 : 0;
}

static unused void write_file(const char *name, const char *text)
{
	FILE *f = fopen(name, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static unused char *read_file(const char *name)
{
	static char text[65536];
	FILE *f = fopen(name, "r");
	size_t n;

	assert_non_null(f);
	n = fread(text, 1, sizeof(text) - 1, f);
	text[n] = '\0';
	fclose(f);
	return text;
}

static unused struct prefix prefix_of(const char *s)
{
	struct prefix p;

	assert_int_equal(word_prefix(s, strlen(s), &p, NULL), 0);
	return p;
}

/* A small generator of its own, so that a failing row can be made again from its number. */
static unused uint32_t dice(uint64_t *seed)
{
	*seed = *seed * 6364136223846793005ULL + 1442695040888963407ULL;
	return *seed >> 33;
}

#endif
