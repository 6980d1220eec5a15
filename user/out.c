// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "out.h"
#include "verbs.h"

/* How many bytes at s are one UTF-8 character, 0 when they are none (overlong forms and surrogates included). */
static size_t utf8_len(const unsigned char *s)
{
	static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
	size_t n = *s < 0x80 ? 1 : *s >> 5 == 6 ? 2 : *s >> 4 == 14 ? 3 : *s >> 3 == 30 ? 4 : 0;
	uint32_t c;

	if (n < 2)
		return n;
	c = *s & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if (s[i] >> 6 != 2)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	return c < least[n] || c > 0x10ffff || (c >= 0xd800 && c < 0xe000) ? 0 : n;
}

/* U+0080 to U+009f steer terminals as well as the ASCII ones do. */
static bool is_control(const unsigned char *s, size_t n)
{
	return (n == 1 && (*s < 0x20 || *s == 0x7f)) || (n == 2 && s[0] == 0xc2 && s[1] < 0xa0);
}

/* Malloc'd. JSON has its own escapes for control characters; there only broken bytes are replaced. */
static char *escaped(const char *text, bool controls)
{
	const unsigned char *s = (const unsigned char *)text;
	char *out = xmalloc(strlen(text) * 4 + 1), *to = out;

	while (*s) {
		size_t n = utf8_len(s);

		if (n && !(controls && is_control(s, n))) {
			memcpy(to, s, n);
			to += n;
			s += n;
			continue;
		}
		for (n = n ? n : 1; n; n--)
			to += sprintf(to, "\\x%02x", *s++);
	}
	*to = '\0';
	return out;
}

void put_escaped(const char *s, FILE *to)
{
	__cleanup_free char *clean = escaped(s, true);

	fputs(clean, to);
}

/* ---- tables ---- */

void table_add(struct table *t, const char *fmt, ...)
{
	__cleanup_free char *raw = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&raw, fmt, ap) < 0)
		raw = NULL;
	va_end(ap);
	t->cell = xrealloc(t->cell, (t->n + 1) * sizeof(*t->cell));
	t->cell[t->n++] = escaped(raw ? raw : "", true);
}

static size_t columns_of(const struct table *t)
{
	size_t n = 0;

	while (n < TABLE_COLUMNS && t->head[n])
		n++;
	return n;
}

static size_t width_of(const char *s)
{
	size_t n = 0;

	for (; *s; s++)
		n += ((unsigned char)*s & 0xc0) != 0x80;
	return n;
}

static void put_cell(const char *s, bool right, bool last, size_t width, FILE *to)
{
	int pad = (int)(width - width_of(s));

	if (right)
		fprintf(to, "%*s%s", pad, "", s);
	else
		fprintf(to, "%s%*s", s, last ? 0 : pad, "");
	if (!last)
		fputs("  ", to);
}

static void put_row(const struct table *t, const char *const *cell, bool heads, const size_t *width, size_t cols,
		    unsigned int indent, FILE *to)
{
	while (cols > 1 && !*cell[cols - 1])
		cols--;
	fprintf(to, "%*s", (int)indent, "");
	for (size_t c = 0; c < cols; c++) {
		bool right = *t->head[c] == '>';

		put_cell(cell[c] + (heads && right), right, c + 1 == cols, width[c], to);
	}
	fputc('\n', to);
}

void table_print(struct table *t, unsigned int indent, FILE *to)
{
	size_t width[TABLE_COLUMNS], cols = columns_of(t);

	while (t->n % cols)
		table_add(t, "%s", "");
	for (size_t c = 0; c < cols; c++)
		width[c] = strlen(t->head[c] + (*t->head[c] == '>'));
	for (size_t i = 0; i < t->n; i++)
		if (width_of(t->cell[i]) > width[i % cols])
			width[i % cols] = width_of(t->cell[i]);

	put_row(t, t->head, true, width, cols, indent, to);
	for (size_t i = 0; i < t->n; i += cols)
		put_row(t, (const char *const *)&t->cell[i], false, width, cols, indent, to);
}

void table_free(struct table *t)
{
	for (size_t i = 0; i < t->n; i++)
		free(t->cell[i]);
	free(t->cell);
	t->cell = NULL;
	t->n = 0;
}

/* ---- words ---- */

const char *text_number(uint64_t n, char buf[OUT_TEXT])
{
	char digits[OUT_TEXT], *to = buf;
	int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);

	for (int i = 0; i < len; i++) {
		if (i && (len - i) % 3 == 0)
			*to++ = ',';
		*to++ = digits[i];
	}
	*to = '\0';
	return buf;
}

const char *text_bytes(uint64_t n, char buf[OUT_TEXT])
{
	static const char *const unit[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)n / 1024;
	size_t u = 0;

	if (n < 1024) {
		snprintf(buf, OUT_TEXT, "%" PRIu64 " B", n);
		return buf;
	}
	while (v >= 1024 && u + 1 < sizeof(unit) / sizeof(*unit)) {
		v /= 1024;
		u++;
	}
	snprintf(buf, OUT_TEXT, "%.1f %s", v, unit[u]);
	return buf;
}

const char *text_span(int64_t s, char buf[OUT_TEXT])
{
	if (s < 0)
		s = 0;
	if (s < 60)
		snprintf(buf, OUT_TEXT, "%" PRId64 "s", s);
	else if (s < 3600)
		snprintf(buf, OUT_TEXT, "%" PRId64 "m%02" PRId64 "s", s / 60, s % 60);
	else if (s < 86400)
		snprintf(buf, OUT_TEXT, "%" PRId64 "h%02" PRId64 "m", s / 3600, s / 60 % 60);
	else
		snprintf(buf, OUT_TEXT, "%" PRId64 "d%02" PRId64 "h", s / 86400, s / 3600 % 24);
	return buf;
}

const char *text_time(int64_t when, char buf[OUT_TEXT])
{
	time_t t = when;
	struct tm tm;

	if (when == 0 || !localtime_r(&t, &tm) || strftime(buf, OUT_TEXT, "%Y-%m-%d %H:%M:%S", &tm) == 0)
		snprintf(buf, OUT_TEXT, "-");
	return buf;
}

const char *text_plural(uint64_t n, const char *one, const char *many, char *buf, size_t room)
{
	char number[OUT_TEXT];

	snprintf(buf, room, "%s %s", text_number(n, number), n == 1 ? one : many);
	return buf;
}

/* ---- JSON ---- */

static json_object *or_die(json_object *o)
{
	if (!o) {
		fputs("mxdp: out of memory\n", stderr);
		exit(EXIT_KERNEL);
	}
	return o;
}

static void json_add(json_object *o, const char *key, json_object *value)
{
	if (json_object_object_add(o, key, value))
		or_die(NULL);
}

json_object *json_document(void)
{
	json_object *doc = or_die(json_object_new_object());

	json_num(doc, "schema", OUT_SCHEMA);
	return doc;
}

void json_str(json_object *o, const char *key, const char *s)
{
	__cleanup_free char *clean = s ? escaped(s, false) : NULL;

	json_add(o, key, clean ? or_die(json_object_new_string(clean)) : NULL);
}

void json_num(json_object *o, const char *key, uint64_t n)
{
	json_add(o, key, or_die(json_object_new_uint64(n)));
}

void json_yes(json_object *o, const char *key, bool yes)
{
	json_add(o, key, or_die(json_object_new_boolean(yes)));
}

void json_time(json_object *o, const char *key, int64_t when)
{
	char buf[OUT_TEXT];
	time_t t = when;
	struct tm tm;

	if (when == 0 || !gmtime_r(&t, &tm) || strftime(buf, sizeof(buf), "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
		json_add(o, key, NULL);
	else
		json_str(o, key, buf);
}

json_object *json_sub(json_object *o, const char *key)
{
	json_object *sub = or_die(json_object_new_object());

	json_add(o, key, sub);
	return sub;
}

json_object *json_list(json_object *o, const char *key)
{
	json_object *list = or_die(json_object_new_array());

	json_add(o, key, list);
	return list;
}

json_object *json_item(json_object *array)
{
	json_object *item = or_die(json_object_new_object());

	if (json_object_array_add(array, item))
		or_die(NULL);
	return item;
}

void json_release(json_object **o)
{
	json_object_put(*o);
	*o = NULL;
}

static const char *json_text(json_object *o)
{
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
}

void json_print(json_object *doc, FILE *to)
{
	fputs(json_text(doc), to);
	fputc('\n', to);
}

/* Each line of it deeper by two levels. No line break is in a string. */
static void put_deeper(const char *text, FILE *to)
{
	for (const char *end; text; text = end ? end + 1 : NULL) {
		end = strchr(text, '\n');
		fprintf(to, "\n    %.*s", (int)(end ? (size_t)(end - text) : strlen(text)), text);
	}
}

void json_print_list(json_object *doc, const char *key, size_t n, void (*item)(json_object *o, size_t i, void *arg), void *arg, FILE *to)
{
	const char *text, *end;

	json_list(doc, key);
	text = json_text(doc);
	end = strrchr(text, ']'); /* that of the empty array, the last member */
	while (end[-1] != '[')
		end--;
	fwrite(text, 1, end - text, to);
	for (size_t i = 0; i < n; i++) {
		__cleanup_json json_object *o = or_die(json_object_new_object());

		item(o, i, arg);
		if (i)
			fputc(',', to);
		put_deeper(json_text(o), to);
	}
	fputs("\n  ]\n}\n", to);
}

int out_done(int code)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return code;
	fprintf(stderr, "mxdp: cannot write to standard output: %s\n", strerror(errno));
	return EXIT_KERNEL;
}
