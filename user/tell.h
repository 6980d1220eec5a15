/* SPDX-License-Identifier: GPL-2.0-only */
/* What the verbs that change something say to the operator, and the table of verbs that help and main read. */
#ifndef MXDP_TELL_H
#define MXDP_TELL_H

#include "verbs.h"

/* Prints d (and the JSON error when asked for) and frees it; returns code. Every verb here ends with it. */
int verb_end(const struct options *o, struct diag *d, int code);
/* One line on stdout, unless --quiet or --json. */
void say(const struct options *o, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
/* {"done": true}, for verbs that have nothing else to tell a program. */
void json_done(void);
/* The candidate that was probably meant, or NULL. */
const char *nearest(const char *word, const char *const *candidates, size_t n);
/* "mxdp.conf:14", or "the command line" for sentences of the moment. Malloc'd. */
char *place_text(const struct stmt *s);
/* What puts rules in force from here: `mxdp apply` when the files can be applied, what has to come first otherwise. Malloc'd. */
char *how_to_begin(const char *config);
/* "; usage: ..." is added, "Usage: ..." behind a question. */
int usage_error(struct diag *d, const char *verb, const char *fmt, ...) __attribute__((format(printf, 3, 4)));


/* ---- the table of verbs (main.c), for help ---- */

struct verb_text {
	struct verb v;
	const char *options; /* letters of the options it takes, as in main.c */
	const char *more;    /* the explanation, several lines */
	const char *example;
};
extern const struct verb_text verbs[];
const struct verb_text *verb_by_name(const char *name); /* NULL */

#endif
