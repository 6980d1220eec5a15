// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "rules.h"
#include "token.h"

/* A million IPv6 prefixes with a comment behind each. */
#define MAX_LIST_FILE (256u << 20)

struct reader {
	const char *name;
	struct diag *d;
	unsigned int line, errors;
	struct prefix *v;
	size_t n, room;
};

static bool blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

static void say(struct reader *r, size_t at, const char *text)
{
	diag_error(r->d, "%s:%u:%zu: %s", r->name, r->line, at + 1, text);
	r->errors++;
}

static void add(struct reader *r, const char *word, size_t n, size_t at)
{
	__cleanup_free char *why = NULL;
	struct prefix p;

	if (r->n == r->room) {
		r->room = r->room ? 2 * r->room : 256;
		r->v = xrealloc(r->v, r->room * sizeof(*r->v));
	}
	if (word_prefix(word, n, &p, &why)) {
		say(r, at, why ? why : "out of memory");
	} else if (p.len == 0) {
		why = xasprintf("%.*s is everything, and a list cannot hold that; write \"any\" in the sentence "
				"instead", (int)n, word);
		say(r, at, why);
	} else {
		r->v[r->n++] = p;
	}
}

static void read_line(struct reader *r, const char *s, size_t n)
{
	size_t at = 0, end, more;
	__cleanup_free char *why = NULL;

	while (at < n && blank(s[at]))
		at++;
	for (end = at; end < n && !blank(s[end]) && s[end] != '#' && s[end] != ';'; end++)
		;
	for (more = end; more < n && blank(s[more]); more++)
		;
	if (more < n && s[more] != '#' && s[more] != ';') {
		why = xasprintf("unexpected text behind \"%.*s\"; one prefix a line, comments start with # or ;",
				clip(s + at, end - at), s + at);
		say(r, more, why);
	} else if (end > at) {
		add(r, s + at, end - at, at);
	}
}

int listfile_parse(const char *name, const char *text, size_t len, struct prefix **v, size_t *n, struct diag *d)
{
	struct reader r = { .name = name, .d = d };
	size_t at = len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
	const char *end;

	*v = NULL;
	*n = 0;
	for (; at < len && r.errors < MAX_ERRORS; at = end - text + 1) {
		const char *nul;

		r.line++;
		end = memchr(text + at, '\n', len - at);
		if (!end)
			end = text + len;
		nul = memchr(text + at, '\0', end - text - at);
		if (nul)
			say(&r, nul - text - at, "a NUL byte; this is not a text file");
		else
			read_line(&r, text + at, end - text - at);
	}
	if (r.errors == MAX_ERRORS)
		diag_note(d, "%s: only the first %d errors are shown", name, MAX_ERRORS);
	if (r.errors) {
		free(r.v);
		return -EINVAL;
	}
	prefixes_sort(r.v, &r.n);
	*v = r.v;
	*n = r.n;
	return 0;
}

int listfile_read(const char *path, struct prefix **v, size_t *n, struct diag *d)
{
	__cleanup_free char *text = NULL;
	size_t len;
	int err = file_read(path, MAX_LIST_FILE, &text, &len, d);

	*v = NULL;
	*n = 0;
	if (err)
		return err;
	warn_if_writable(path, d);
	return listfile_parse(path, text, len, v, n, d);
}
