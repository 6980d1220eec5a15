// SPDX-License-Identifier: GPL-2.0-only
/*
 * JSON Lines: a strict scanner without memory of its own, for a million lines. Of each object it wants a few members
 * and checks that the rest is JSON.
 */
#include <string.h>
#include "listread.h"

#define DEEPEST 16

struct scan {
	const char *s;
	size_t n, at;
};

struct record {
	char cidr[96], type[32];
	size_t ncidr, ntype;
	size_t cidr_at;
	bool has_cidr, has_type, has_records, has_timestamp;
	uint64_t records, timestamp;
};

static bool json_value(struct scan *x, unsigned int depth);

static int next(struct scan *x)
{
	while (x->at < x->n && list_blank(x->s[x->at]))
		x->at++;
	return x->at < x->n ? (unsigned char)x->s[x->at] : -1;
}

static bool expect(struct scan *x, char c)
{
	if (next(x) != c)
		return false;
	x->at++;
	return true;
}

static bool hex4(struct scan *x, unsigned int *v)
{
	*v = 0;
	for (int i = 0; i < 4; i++, x->at++) {
		char c = x->at < x->n ? x->s[x->at] : 0;

		if (c >= '0' && c <= '9')
			*v = *v << 4 | (c - '0');
		else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
			*v = *v << 4 | ((c | 0x20) - 'a' + 10);
		else
			return false;
	}
	return true;
}

/* One character of a string, as ASCII; '?' for all others, of which no address is made. -1: wrong. */
static int character(struct scan *x)
{
	static const char escaped[] = "\"\\/bfnrt", meant[] = "\"\\/\b\f\n\r\t";
	unsigned char c = x->s[x->at++];
	const char *e;
	unsigned int v;

	if (c != '\\')
		return c < 0x20 ? -1 : c < 0x80 ? c : '?';
	if (x->at == x->n)
		return -1;
	c = x->s[x->at++];
	if (c == 'u')
		return !hex4(x, &v) ? -1 : v >= 0x20 && v < 0x80 ? (int)v : '?';
	e = c ? strchr(escaped, c) : NULL;
	return e ? meant[e - escaped] : -1;
}

/* What does not fit into buf is cut off: *len then is more than room. */
static bool json_string(struct scan *x, char *buf, size_t room, size_t *len)
{
	*len = 0;
	if (!expect(x, '"'))
		return false;
	while (x->at < x->n) {
		int c;

		if (x->s[x->at] == '"') {
			x->at++;
			return true;
		}
		c = character(x);
		if (c < 0)
			return false;
		if (*len < room)
			buf[*len] = c;
		*len += *len <= room;
	}
	return false;
}

static size_t digits(struct scan *x)
{
	size_t from = x->at;

	while (x->at < x->n && x->s[x->at] >= '0' && x->s[x->at] <= '9')
		x->at++;
	return x->at - from;
}

static bool json_number(struct scan *x)
{
	bool zero;

	x->at += x->s[x->at] == '-';
	zero = x->at < x->n && x->s[x->at] == '0';
	if (zero)
		x->at++;
	else if (!digits(x))
		return false;
	if (x->at < x->n && x->s[x->at] == '.') {
		x->at++;
		if (!digits(x))
			return false;
	}
	if (x->at < x->n && (x->s[x->at] | 0x20) == 'e') {
		x->at++;
		x->at += x->at < x->n && (x->s[x->at] == '+' || x->s[x->at] == '-');
		return digits(x) > 0;
	}
	return true;
}

static bool json_word(struct scan *x, const char *word)
{
	size_t len = strlen(word);

	if (x->n - x->at < len || memcmp(x->s + x->at, word, len))
		return false;
	x->at += len;
	return true;
}

static bool json_array(struct scan *x, unsigned int depth)
{
	if (expect(x, ']'))
		return true;
	do
		if (!json_value(x, depth))
			return false;
	while (expect(x, ','));
	return expect(x, ']');
}

static bool json_members(struct scan *x, unsigned int depth)
{
	size_t len;

	if (expect(x, '}'))
		return true;
	do
		if (!json_string(x, NULL, 0, &len) || !expect(x, ':') || !json_value(x, depth))
			return false;
	while (expect(x, ','));
	return expect(x, '}');
}

static bool json_value(struct scan *x, unsigned int depth)
{
	int c = next(x);
	size_t len;

	if (depth == DEEPEST)
		return false;
	switch (c) {
	case '"':
		return json_string(x, NULL, 0, &len);
	case '{':
		x->at++;
		return json_members(x, depth + 1);
	case '[':
		x->at++;
		return json_array(x, depth + 1);
	case 't':
		return json_word(x, "true");
	case 'f':
		return json_word(x, "false");
	case 'n':
		return json_word(x, "null");
	}
	return (c == '-' || (c >= '0' && c <= '9')) && json_number(x);
}

/* A whole number of at most 18 digits; every other value is read over. */
static bool json_count(struct scan *x, bool *has, uint64_t *v)
{
	size_t from;

	next(x);
	from = x->at;
	if (!json_value(x, 0))
		return false;
	*has = x->at - from <= 18;
	*v = 0;
	for (size_t i = from; i < x->at && *has; i++) {
		*has = x->s[i] >= '0' && x->s[i] <= '9';
		*v = 10 * *v + (x->s[i] - '0');
	}
	return true;
}

static bool key_is(const char *key, size_t len, const char *word)
{
	return len == strlen(word) && !memcmp(key, word, len);
}

static bool member(struct scan *x, struct record *to)
{
	char key[16];
	size_t len;

	if (!json_string(x, key, sizeof(key), &len) || !expect(x, ':'))
		return false;
	if (key_is(key, len, "cidr")) {
		if (to->has_cidr || next(x) != '"')
			return false;
		to->has_cidr = true;
		to->cidr_at = x->at;
		return json_string(x, to->cidr, sizeof(to->cidr), &to->ncidr);
	}
	if (key_is(key, len, "type") && next(x) == '"') {
		to->has_type = true;
		return json_string(x, to->type, sizeof(to->type), &to->ntype);
	}
	if (key_is(key, len, "records"))
		return json_count(x, &to->has_records, &to->records);
	if (key_is(key, len, "timestamp"))
		return json_count(x, &to->has_timestamp, &to->timestamp);
	return json_value(x, 0);
}

static bool object(struct scan *x, struct record *to)
{
	if (!expect(x, '{'))
		return false;
	if (!expect(x, '}')) {
		do
			if (!member(x, to))
				return false;
		while (expect(x, ','));
		if (!expect(x, '}'))
			return false;
	}
	return next(x) == -1;
}

static void metadata(struct reader *r, const struct record *j)
{
	if (!j->has_records)
		list_say(r, 0, "metadata without a number of \"records\", so that nothing shows whether the file is whole");
	else if (j->records != r->since)
		list_say(r, 0, "%zu records stand above, and the metadata counts %llu: the file is not whole", r->since,
			 (unsigned long long)j->records);
	r->since = 0;
	/* of several files in one, the oldest */
	if (j->has_timestamp && (!r->f->dated || (int64_t)j->timestamp < r->f->dated))
		r->f->dated = j->timestamp;
}

void json_line(struct reader *r, const char *s, size_t n)
{
	struct scan x = { .s = s, .n = n };
	struct record j;

	j.has_cidr = j.has_type = j.has_records = j.has_timestamp = false;
	j.ntype = j.ncidr = 0;
	if (!object(&x, &j)) {
		list_say(r, x.at, "not a JSON object%s", x.at >= n ? ": the line ends too early" : "");
	} else if (j.has_type && key_is(j.type, j.ntype, "metadata")) {
		metadata(r, &j);
	} else if (!j.has_cidr) {
		list_say(r, 0, "no member \"cidr\"; each line is an object with one, such as {\"cidr\":\"192.0.2.0/24\"}");
	} else {
		r->since++;
		list_entry(r, j.cidr, j.ncidr < sizeof(j.cidr) ? j.ncidr : sizeof(j.cidr), j.cidr_at, list_put, ACT_ADD);
	}
}

void json_end(struct reader *r)
{
	r->f->counted = r->since == 0;
}
