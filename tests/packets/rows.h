/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rows: what it shows, packet in, what the program must say. Numbers A1 to F8
 * are those of the project's table of faults; W1 to W33 those of its catalogue
 * of weaknesses found in other filters.
 */
#ifndef MXDP_TEST_ROWS_H
#define MXDP_TEST_ROWS_H

#include "craft.h"
#include "harness.h"

struct row {
	const char *shows;
	struct craft in;
	struct rig_says says;
	unsigned int family; /* 4, 6, or 0: both */
	bool as_is;          /* sent in this form only; otherwise in every form of tags */
};

struct table {
	const char *name;
	const struct row *rows;
	size_t n;
};
extern const struct table rows_parse, rows_fragments, rows_neighbours, rows_policy;
extern const struct table *const rows_all[];
#define ROWS_TABLES 4u

/* The policy the tables are judged by. Port 25 is open to all, 587 to the office, 22 is the admin's, 26 is closed. */
extern const char rows_sentences[];
extern const char rows_sentences_observe[];

/* Every row, in every family and form it is meant for. */
void rows_each(const struct table *t,
	       void (*fn)(const struct row *r, const struct crafted *f, unsigned int family, void *arg), void *arg);
/* A visitor: expects of a rig (arg) what the row says. A row that fails in one form fails once. */
void rows_expect(const struct row *r, const struct crafted *f, unsigned int family, void *arg);
/* Runs a table: enforcing, then observing, where every drop passes and is counted as observed. */
void rows_run(struct rig *g, const struct table *t);

/* Port and service, as the last two words of what a row expects. */
#define SMTP 25, "25"
#define SUBMISSION 587, "587"
#define SSH 22, "22"
#define SHUT 26, NULL
#define RANGE(p) p, "8000-8009"
#define NONE NOPORT, NULL

#endif
