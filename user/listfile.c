// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include "listread.h"

/* A million IPv6 prefixes with a comment behind each. */
#define MAX_LIST_FILE (256u << 20)

void list_say(struct reader *r, size_t at, const char *fmt, ...)
{
	__cleanup_free char *text = NULL;
	va_list ap;

	if (r->errors++ >= MAX_ERRORS)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	diag_error(r->d, "%s:%u:%zu: %s", r->f->name, r->line, at + 1, text);
}

void list_put(struct reader *r, const struct prefix *p, unsigned int action)
{
	struct listfile *f = r->f;

	(void)action;
	if (r->wanted) {
		if (!r->found && prefix_covers(p, r->wanted))
			r->found = r->line;
		return;
	}
	if (f->n == r->room) {
		if (f->n >= MAX_PREFIXES) {
			if (!r->full)
				list_say(r, 0, "with this line the list holds more than %u prefixes", MAX_PREFIXES);
			r->full = true;
			return;
		}
		r->room = r->room ? 2 * r->room : 1024;
		f->v = xrealloc(f->v, r->room * sizeof(*f->v));
	}
	f->v[f->n++] = *p;
}

/* ---- one word ---- */

/*
 * What nearly all words are, read without a copy; false for everything else, which word_prefix() judges, with words of
 * its own for what is wrong. What is taken here must be taken there, as the same prefix.
 */
static bool quick_length(const char *s, size_t n, unsigned int bits, unsigned int *len)
{
	unsigned int v = 0;

	*len = bits;
	if (n == 0)
		return true;
	if (s[0] != '/' || n < 2 || n > 4)
		return false;
	for (size_t i = 1; i < n; i++) {
		if ((unsigned char)(s[i] - '0') > 9)
			return false;
		v = 10 * v + (s[i] - '0');
	}
	*len = v;
	return v >= 1 && v <= bits;
}

static bool quick4(const char *s, size_t n, struct prefix *out)
{
	unsigned int len, v;
	uint32_t a = 0;
	size_t i = 0;

	for (int part = 0; part < 4; part++) {
		size_t start = i;

		for (v = 0; i < n && i - start < 3 && (unsigned char)(s[i] - '0') < 10; i++)
			v = 10 * v + (s[i] - '0');
		if (i == start || v > 255 || (i - start > 1 && s[start] == '0'))
			return false;
		a = a << 8 | v;
		if (part < 3 && (i == n || s[i++] != '.'))
			return false;
	}
	if (!quick_length(s + i, n - i, 32, &len) || (len < 32 && a << len))
		return false;
	*out = (struct prefix){ .family = 4, .len = len, .addr = { a >> 24, a >> 16, a >> 8, a } };
	return true;
}

static int hex_value(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The groups up to the end or a '/'; returns where, or 0. */
static size_t groups6(const char *s, size_t n, uint8_t a[16])
{
	size_t i = 0, at = 0, gap = 16;

	if (n >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		i = 2;
	}
	while (i < n && s[i] != '/') {
		size_t start = i;
		unsigned int v = 0;

		for (int h; i < n && i - start < 4 && (h = hex_value(s[i])) >= 0; i++)
			v = v << 4 | h;
		if (i == start || at == 16)
			return 0;
		a[at++] = v >> 8;
		a[at++] = v;
		if (i == n || s[i] == '/')
			break;
		if (s[i++] != ':' || i == n || s[i] == '/')
			return 0;
		if (s[i] == ':') {
			if (gap < 16)
				return 0;
			gap = at;
			i++;
		}
	}
	if (gap < 16 && at < 16) {
		memmove(a + 16 - (at - gap), a + gap, at - gap);
		memset(a + gap, 0, 16 - at);
		at = 16;
	} else if (gap < 16) {
		return 0;
	}
	return at == 16 ? i : 0;
}

static bool quick6(const char *s, size_t n, struct prefix *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };
	unsigned int len, whole;
	uint8_t a[16] = { 0 };
	size_t i = groups6(s, n, a);

	if (!i || !quick_length(s + i, n - i, 128, &len) || !memcmp(a, mapped, sizeof(mapped)))
		return false;
	whole = len / 8;
	if (len < 128 && (a[whole] & (0xff >> (len % 8))))
		return false;
	for (unsigned int k = whole + 1; k < 16; k++)
		if (a[k])
			return false;
	*out = (struct prefix){ .family = 6, .len = len };
	memcpy(out->addr, a, 16);
	return true;
}

typedef unsigned __int128 wide;

static wide wide_of(const struct prefix *p)
{
	wide a = 0;

	for (int i = 0; i < (p->family == 4 ? 4 : 16); i++)
		a = a << 8 | p->addr[i];
	return a;
}

static struct prefix prefix_at(wide a, unsigned int family, unsigned int len)
{
	struct prefix p = { .family = family, .len = len };

	for (int i = family == 4 ? 4 : 16; i-- > 0; a >>= 8)
		p.addr[i] = a;
	return p;
}

static void split_range(struct reader *r, wide lo, wide hi, unsigned int family, list_sink *sink, unsigned int action)
{
	unsigned int bits = family == 4 ? 32 : 128;

	for (;;) {
		unsigned int free = 0;
		struct prefix p;
		wide last;

		while (free < bits && !(lo >> free & 1) && (lo | (((wide)1 << free << 1) - 1)) <= hi)
			free++;
		p = prefix_at(lo, family, bits - free);
		sink(r, &p, action);
		last = free == 128 ? ~(wide)0 : lo | (((wide)1 << free) - 1);
		if (last >= hi)
			return;
		lo = last + 1;
	}
}

/* "192.0.2.1-192.0.2.9". False without a word when it is no range at all. */
static bool range(struct reader *r, const char *word, size_t n, size_t at, list_sink *sink, unsigned int action, bool *is)
{
	const char *dash = memchr(word, '-', n);
	size_t first = dash ? (size_t)(dash - word) : 0;
	struct prefix lo, hi;

	*is = dash && !memchr(word, '/', n) && !word_prefix(word, first, &lo, NULL) &&
	      !word_prefix(dash + 1, n - first - 1, &hi, NULL);
	if (!*is)
		return false;
	if (lo.family != hi.family) {
		list_say(r, at, "the range \"%.*s\" begins in one family and ends in the other", clip(word, n), word);
		return false;
	}
	if (wide_of(&lo) > wide_of(&hi)) {
		list_say(r, at, "the range \"%.*s\" runs backwards", clip(word, n), word);
		return false;
	}
	if (wide_of(&lo) == 0 && (wide)(wide_of(&hi) + 1) == (lo.family == 4 ? (wide)1 << 32 : 0)) {
		list_say(r, at, "%.*s is everything, and a list cannot hold that; write \"any\" in the sentence instead",
			 (int)n, word);
		return false;
	}
	split_range(r, wide_of(&lo), wide_of(&hi), lo.family, sink, action);
	return true;
}

bool list_entry(struct reader *r, const char *word, size_t n, size_t at, list_sink *sink, unsigned int action)
{
	__cleanup_free char *why = NULL;
	struct prefix p;
	bool is, ok;

	if (quick4(word, n, &p) || quick6(word, n, &p)) {
		sink(r, &p, action);
		return true;
	}
	ok = range(r, word, n, at, sink, action, &is);
	if (is)
		return ok;
	if (word_prefix(word, n, &p, &why)) {
		list_say(r, at, "%s", why ? why : "out of memory");
		return false;
	}
	/* in a table that may be the line for all others, which is judged at its end */
	if (p.len == 0 && action == ACT_ADD) {
		list_say(r, at, "%.*s is everything, and a list cannot hold that; write \"any\" in the sentence instead",
			 (int)n, word);
		return false;
	}
	sink(r, &p, action);
	return true;
}

/* ---- lines ---- */

static bool comment(char c)
{
	return c == '#' || c == ';';
}

static bool starts(const char *s, size_t n, const char *word)
{
	size_t len = strlen(word);

	return n > len && !memcmp(s, word, len) && list_blank(s[len]);
}

static enum list_format format_of(const char *s, size_t n)
{
	size_t at = 0, len, word = list_word(s, n, &at, &len);
	unsigned int action;

	if (!len)
		return LIST_PLAIN;
	if (s[word] == '{')
		return LIST_JSON;
	if (starts(s + word, n - word, "create") || starts(s + word, n - word, "add"))
		return LIST_IPSET;
	if (s[word] == '!' || starts(s + word, n - word, "if"))
		return LIST_TABLE;
	word = list_word(s, n, &at, &len);
	return table_action(s + word, len, &action) ? LIST_TABLE : LIST_PLAIN;
}

const char *list_format_name(enum list_format format)
{
	static const char *const name[] = {
		[LIST_PLAIN] = "a plain list", [LIST_TABLE] = "a Postfix table", [LIST_JSON] = "JSON Lines",
		[LIST_IPSET] = "an ipset save",
	};

	return name[format];
}

/* What a download that failed, or one that was not unpacked, looks like. */
static const char *no_list_at_all(const char *s, size_t n)
{
	const unsigned char *u = (const unsigned char *)s;

	if (n >= 2 && u[0] == 0x1f && u[1] == 0x8b)
		return "this is compressed; unpack it first: gunzip";
	if (n >= 2 && ((u[0] == 0xff && u[1] == 0xfe) || (u[0] == 0xfe && u[1] == 0xff)))
		return "this is UTF-16; save it as UTF-8";
	if (n >= 1 && s[0] == '<')
		return "this is a web page, not a list; a download that failed leaves such a file";
	if (n >= 1 && s[0] == '[')
		return "this is a JSON array; a list has one object a line: jq -c '.[]'";
	return NULL;
}

static void plain_line(struct reader *r, const char *s, size_t n)
{
	size_t at = 0, end, more;

	while (at < n && list_blank(s[at]))
		at++;
	for (end = at; end < n && !list_blank(s[end]) && !comment(s[end]); end++)
		;
	for (more = end; more < n && list_blank(s[more]); more++)
		;
	if (more == n || comment(s[more])) {
		list_entry(r, s + at, end - at, at, list_put, ACT_ADD);
		return;
	}
	list_say(r, more, "unexpected text behind \"%.*s\"; one prefix a line, comments start with # or ;",
		 clip(s + at, end - at), s + at);
}

static void one_line(struct reader *r, const char *s, size_t n)
{
	enum list_format format = r->f->format, is = format_of(s, n);

	if (is != format && (format != LIST_TABLE || is != LIST_PLAIN)) {
		list_say(r, 0, "this line is of %s, and the file began as %s; a list's file is of one kind",
			 list_format_name(is), list_format_name(format));
		return;
	}
	switch (format) {
	case LIST_PLAIN:
		plain_line(r, s, n);
		break;
	case LIST_TABLE:
		table_line(r, s, n);
		break;
	case LIST_JSON:
		json_line(r, s, n);
		break;
	case LIST_IPSET:
		ipset_line(r, s, n);
		break;
	}
}

/* A prefix from the first column to the newline: all that most lists consist of. */
static bool quick_line(struct reader *r, const char *s, size_t n)
{
	size_t end = 0;
	struct prefix p;

	while (end < n && !list_blank(s[end]) && !comment(s[end]))
		end++;
	if (end < n && !comment(s[end]) && (end + 1 >= n || !comment(s[end + 1])))
		return false;
	if (!quick4(s, end, &p) && !quick6(s, end, &p))
		return false;
	list_put(r, &p, ACT_ADD);
	return true;
}

static void read_lines(struct reader *r)
{
	const char *text = r->f->text, *stop = text + r->f->len, *s = text, *end, *nul = NULL;
	bool begun = false;

	if (r->f->len)
		nul = memchr(text, 0, r->f->len);
	if (r->f->len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		s += 3;
	for (; s < stop && r->errors < MAX_ERRORS; s = end + 1) {
		const char *why = NULL;
		size_t at = 0;

		r->line++;
		end = memchr(s, '\n', stop - s);
		if (!end)
			end = stop;
		while (s + at < end && list_blank(s[at]))
			at++;
		if (!begun)
			why = no_list_at_all(s + at, end - s - at);
		if (why) {
			list_say(r, at, "%s", why);
			return;
		}
		if (nul && nul < end) {
			list_say(r, nul - s, "a NUL byte; this is not a text file");
			nul = memchr(end, 0, stop - end);
			continue;
		}
		if (s + at == end || comment(s[at]))
			continue;
		if (!begun)
			r->f->format = format_of(s, end - s);
		begun = true;
		if (r->f->format != LIST_PLAIN || !quick_line(r, s, end - s))
			one_line(r, s, end - s);
	}
}

static void read_all(struct reader *r)
{
	r->f->counted = true;
	read_lines(r);
	if (r->errors)
		return;
	if (r->f->format == LIST_TABLE)
		table_end(r);
	else if (r->f->format == LIST_IPSET)
		ipset_end(r);
	else if (r->f->format == LIST_JSON)
		json_end(r);
}

int listfile_scan(struct listfile *f, struct diag *d)
{
	struct reader r = { .f = f, .d = d };

	f->format = LIST_PLAIN;
	f->took = TAKE_UNSAID;
	f->dated = 0;
	f->v = NULL;
	f->n = 0;
	read_all(&r);
	free(r.e);
	if (r.errors >= MAX_ERRORS)
		diag_note(d, "%s: only the first %d errors are shown", f->name, MAX_ERRORS);
	if (r.errors) {
		free(take(f->v));
		f->n = 0;
		return -EINVAL;
	}
	prefixes_sort(f->v, &f->n);
	return 0;
}

unsigned int listfile_line(const struct listfile *f, const struct prefix *p)
{
	struct diag quiet = { 0 };
	struct listfile again = *f;
	struct reader r = { .f = &again, .d = &quiet, .wanted = p };

	again.v = NULL;
	again.n = 0;
	read_lines(&r);
	for (size_t i = 0; i < r.ne && !r.found; i++) {
		bool is = f->format == LIST_IPSET ? r.e[i].action == ACT_ADD :
			  r.e[i].action == (f->took == TAKE_PERMIT ? ACT_PERMIT : ACT_REJECT);

		if (is && prefix_covers(&r.e[i].p, p))
			r.found = r.e[i].line;
	}
	free(r.e);
	diag_free(&quiet);
	return r.found;
}

int listfile_open(struct listfile *f, const char *path, struct diag *d)
{
	int err;

	*f = (struct listfile){ .name = path };
	err = file_read(path, MAX_LIST_FILE, &f->text, &f->len, d);
	if (!err)
		warn_if_writable(path, d);
	return err;
}

void listfile_free(struct listfile *f)
{
	free(f->text);
	free(f->v);
	*f = (struct listfile){ 0 };
}

int listfile_parse(const char *name, const char *text, size_t len, struct prefix **v, size_t *n, struct diag *d)
{
	struct listfile f = { .name = name, .text = (char *)text, .len = len };
	int err = listfile_scan(&f, d);

	*v = f.v;
	*n = f.n;
	return err;
}

int listfile_read(const char *path, struct prefix **v, size_t *n, struct diag *d)
{
	__cleanup_listfile struct listfile f = { 0 };
	int err = listfile_open(&f, path, d);

	*v = NULL;
	*n = 0;
	if (!err)
		err = listfile_scan(&f, d);
	if (err)
		return err;
	*v = take(f.v);
	*n = f.n;
	return 0;
}
