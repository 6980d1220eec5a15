// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "diag.h"

void mx_free(void *pp)
{
	free(*(void **)pp);
}

void mx_close(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static void *or_die(void *p)
{
	if (!p) {
		fputs("mxdp: out of memory; nothing was changed\n", stderr);
		exit(3);
	}
	return p;
}

/*
 * Large arrays in large pages, where the kernel likes: a million prefixes are tens of thousands of page faults otherwise. Not what
 * grows: the hint splits a mapping, and mremap() moves no two at once.
 */
#define HUGE_PAGE ((uintptr_t)2 << 20)

static void *hint_huge(void *p, size_t n)
{
	uintptr_t mask = HUGE_PAGE - 1, from = ((uintptr_t)p + mask) & ~mask, end = ((uintptr_t)p + n) & ~mask;

	if (n >= 2 * HUGE_PAGE)
		(void)madvise((void *)from, end - from, MADV_HUGEPAGE);
	return p;
}

void *xmalloc(size_t n)
{
	return hint_huge(or_die(malloc(n ? n : 1)), n);
}

void *xcalloc(size_t n, size_t size)
{
	return hint_huge(or_die(calloc(n ? n : 1, size ? size : 1)), n * size);
}

void *xrealloc(void *p, size_t n)
{
	return or_die(realloc(p, n ? n : 1));
}

char *xstrdup(const char *s)
{
	return or_die(strdup(s));
}

char *xvasprintf(const char *fmt, va_list ap)
{
	char *s = NULL;

	if (vasprintf(&s, fmt, ap) < 0)
		s = NULL;
	return or_die(s);
}

char *xasprintf(const char *fmt, ...)
{
	va_list ap;
	char *s;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return s;
}

void diag_add(struct diag *d, enum diag_level level, const char *fmt, ...)
{
	va_list ap;
	char *text;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	d->msg = xrealloc(d->msg, (d->n + 1) * sizeof(*d->msg));
	d->msg[d->n++] = (struct diag_msg){ .level = level, .text = text };
	if (level == DIAG_ERROR)
		d->errors++;
}

static void put_clean(const char *s, FILE *to)
{
	for (; *s; s++) {
		unsigned char c = *s;

		if ((c < 0x20 && c != '\n' && c != '\t') || c == 0x7f)
			fprintf(to, "\\x%02x", c);
		else
			fputc(c, to);
	}
}

void diag_print(const struct diag *d, FILE *to)
{
	static const char *const prefix[] = { "mxdp: ", "mxdp: warning: ", "mxdp: note: " };

	for (size_t i = 0; i < d->n; i++) {
		fputs(prefix[d->msg[i].level], to);
		put_clean(d->msg[i].text, to);
		fputc('\n', to);
	}
}

void diag_free(struct diag *d)
{
	for (size_t i = 0; i < d->n; i++)
		free(d->msg[i].text);
	free(d->msg);
	*d = (struct diag){ 0 };
}
