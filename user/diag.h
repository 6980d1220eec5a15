/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Messages to the operator. Functions that fail for a reason an operator can
 * mend say so here, in full sentences that name the thing, the place and the
 * remedy, and return a negative errno. Nothing below main() prints.
 */
#ifndef MXDP_DIAG_H
#define MXDP_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

enum diag_level { DIAG_ERROR, DIAG_WARNING, DIAG_NOTE };

struct diag_msg {
	enum diag_level level;
	char *text; /* "FILE:LINE:COLUMN: what; remedy" or without place; no newline at the end */
};

struct diag {
	struct diag_msg *msg;
	size_t n;
	size_t errors; /* how many of them are errors */
};

/* Adds a message. Never fails: out of memory it is written to stderr at once. */
void diag_add(struct diag *d, enum diag_level level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
#define diag_error(d, ...) diag_add(d, DIAG_ERROR, __VA_ARGS__)
#define diag_warn(d, ...) diag_add(d, DIAG_WARNING, __VA_ARGS__)
#define diag_note(d, ...) diag_add(d, DIAG_NOTE, __VA_ARGS__)

/* Prints all messages, one a line: "mxdp: " + text for errors, "mxdp: warning: " / "mxdp: note: " for the others;
 * control characters are escaped. */
void diag_print(const struct diag *d, FILE *to);
void diag_free(struct diag *d);

/* Ownership by attribute: __cleanup_free char *s = ...; frees at the end of the scope. take() hands over. */
void mx_free(void *pp);
void mx_close(int *fd);
#define __cleanup(f) __attribute__((cleanup(f)))
#define __cleanup_free __cleanup(mx_free)
#define __cleanup_close __cleanup(mx_close)
#define take(p) ({ __typeof__(p) taken_ = (p); (p) = NULL; taken_; })

/* malloc family that ends the program with a message instead of returning NULL: the command is short-lived and
 * has changed nothing before it has everything it needs. */
void *xmalloc(size_t n);
void *xcalloc(size_t n, size_t size);
void *xrealloc(void *p, size_t n);
char *xstrdup(const char *s);
char *xasprintf(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
char *xvasprintf(const char *fmt, va_list ap) __attribute__((format(printf, 1, 0)));

#endif
