// SPDX-License-Identifier: GPL-2.0-only
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include "token.h"

void lexer_init(struct lexer *lx, const char *text, size_t len)
{
	*lx = (struct lexer){ .text = text, .len = len, .line = 1, .column = 1 };
	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		lx->at = 3;
	lx->words = xmalloc(MAX_SENTENCE + 2);
}

void lexer_free(struct lexer *lx)
{
	free(lx->words);
	free(lx->v);
	*lx = (struct lexer){ 0 };
}

static int peek(const struct lexer *lx, size_t ahead)
{
	return lx->at + ahead < lx->len ? (unsigned char)lx->text[lx->at + ahead] : -1;
}

static void step(struct lexer *lx)
{
	if (lx->text[lx->at] == '\n') {
		lx->line++;
		lx->column = 1;
	} else if (((unsigned char)lx->text[lx->at] & 0xc0) != 0x80) {
		lx->column++;
	}
	lx->at++;
}

static void step_to(struct lexer *lx, size_t at)
{
	while (lx->at < at)
		step(lx);
}

/* Offset of the newline that ends the line, or the end of the text. */
static size_t line_end(const struct lexer *lx)
{
	const char *nl = memchr(lx->text + lx->at, '\n', lx->len - lx->at);

	return nl ? (size_t)(nl - lx->text) : lx->len;
}

/* How many bytes a '\' here takes to continue the line: 0 when it does not. */
static size_t continuation(const struct lexer *lx)
{
	if (peek(lx, 0) != '\\')
		return 0;
	if (peek(lx, 1) == '\n')
		return 2;
	if (peek(lx, 1) == '\r' && peek(lx, 2) == '\n')
		return 3;
	return peek(lx, 1) == -1 ? 1 : 0;
}

static bool blanks_then_newline(const struct lexer *lx)
{
	size_t i = 1;

	while (peek(lx, i) == ' ' || peek(lx, i) == '\t')
		i++;
	if (i == 1)
		return false;
	return peek(lx, i) == '\n' || peek(lx, i) == -1 || (peek(lx, i) == '\r' && peek(lx, i + 1) == '\n');
}

static struct token *token_add(struct lexer *lx, struct sentence *s, enum token_kind kind)
{
	struct token *t;

	if (s->n == lx->room) {
		lx->room = lx->room ? 2 * lx->room : 32;
		lx->v = xrealloc(lx->v, lx->room * sizeof(*lx->v));
	}
	t = &lx->v[s->n++];
	*t = (struct token){ .kind = kind, .text = lx->words + lx->nwords, .line = lx->line, .column = lx->column };
	return t;
}

static void token_end(struct lexer *lx, struct sentence *s, struct token *t)
{
	lx->words[lx->nwords] = '\0';
	t->len = lx->words + lx->nwords - t->text;
	lx->nwords++;
	s->end_line = lx->line;
	s->end_column = lx->column;
}

static void set_error(const struct lexer *lx, struct sentence *s, const char *text)
{
	s->error = text;
	s->error_line = lx->line;
	s->error_column = lx->column;
}

static void put(struct lexer *lx)
{
	lx->words[lx->nwords++] = lx->text[lx->at];
	step(lx);
}

static void quoted_word(struct lexer *lx, struct sentence *s)
{
	struct token *t = token_add(lx, s, TOKEN_QUOTED);
	int c;

	step(lx);
	while ((c = peek(lx, 0)) != '"') {
		if (c == -1 || c == '\n') {
			s->error = "the quotation that starts here is not closed on its line";
			s->error_line = t->line;
			s->error_column = t->column;
			return;
		}
		if (c == '\\') {
			if (peek(lx, 1) != '"' && peek(lx, 1) != '\\') {
				set_error(lx, s, "inside quotation marks only \\\" and \\\\ can follow a \\");
				return;
			}
			step(lx);
		}
		put(lx);
	}
	step(lx);
	token_end(lx, s, t);
	c = peek(lx, 0);
	if (c != -1 && !strchr(" \t\r\n,#\\", c))
		set_error(lx, s, "a blank or a comma must follow the closing quotation mark");
}

static void plain_word(struct lexer *lx, struct sentence *s)
{
	struct token *t = token_add(lx, s, TOKEN_WORD);
	int c;

	while ((c = peek(lx, 0)) != -1 && (c == 0 || !strchr(" \t\r\n,#\"", c)) && !continuation(lx))
		put(lx);
	token_end(lx, s, t);
	if (c == '"')
		set_error(lx, s, "a quotation mark inside a word; put the whole word in quotation marks");
}

/* Returns false when the sentence is over. */
static bool one_token(struct lexer *lx, struct sentence *s)
{
	size_t n = continuation(lx);
	int c = peek(lx, 0);

	if (c == -1 || c == '\n')
		return false;
	if (n) {
		step_to(lx, lx->at + n);
		s->open = lx->at == lx->len;
		return true;
	}
	s->open = false;
	if (c == ' ' || c == '\t' || c == '\r') {
		step(lx);
	} else if (c == '#') {
		s->comment = lx->at;
		step_to(lx, line_end(lx));
	} else if (c == ',') {
		struct token *t = token_add(lx, s, TOKEN_COMMA);

		t->text = ",";
		t->len = 1;
		step(lx);
		s->end_line = lx->line;
		s->end_column = lx->column;
	} else if (c == '"') {
		quoted_word(lx, s);
	} else if (c == '\\' && blanks_then_newline(lx)) {
		set_error(lx, s, "blanks behind the \\; it continues a line only as its last character");
	} else {
		plain_word(lx, s);
	}
	return true;
}

bool lexer_next(struct lexer *lx, struct sentence *s)
{
	unsigned int measured = 0;
	bool more = true;

	*s = (struct sentence){ .begin = lx->at, .comment = SIZE_MAX, .line = lx->line };
	if (lx->at >= lx->len)
		return false;
	lx->nwords = 0;
	s->end_line = lx->line;
	s->end_column = lx->column;
	while (more && !s->error) {
		/* A word takes its own bytes and one behind it; so the room for words cannot run out before this. */
		if (measured != lx->line && line_end(lx) - s->begin > MAX_SENTENCE) {
			set_error(lx, s, "a line of more than 65536 bytes; long lists belong in a file: "
				  "list NAME file PATH");
			break;
		}
		measured = lx->line;
		more = one_token(lx, s);
	}
	step_to(lx, line_end(lx));
	s->last_line = lx->line;
	if (lx->at < lx->len)
		step(lx);
	s->end = lx->at;
	s->v = lx->v;
	return true;
}

/* Length of the UTF-8 character at s, or 0. */
static size_t utf8_len(const unsigned char *s, size_t n)
{
	uint32_t c, least;
	size_t len;

	if (s[0] < 0x80)
		return 1;
	if ((s[0] & 0xe0) == 0xc0) {
		len = 2, c = s[0] & 0x1f, least = 0x80;
	} else if ((s[0] & 0xf0) == 0xe0) {
		len = 3, c = s[0] & 0x0f, least = 0x800;
	} else if ((s[0] & 0xf8) == 0xf0) {
		len = 4, c = s[0] & 0x07, least = 0x10000;
	} else {
		return 0;
	}
	if (len > n)
		return 0;
	for (size_t i = 1; i < len; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) || c < 0xa0)
		return 0;
	return len;
}

bool text_clean(const char *text, size_t n, size_t *bad)
{
	const unsigned char *s = (const unsigned char *)text;
	size_t i = 0, len;

	while (i < n) {
		len = utf8_len(s + i, n - i);
		if (!len || (s[i] < 0x20 && s[i] != '\t') || s[i] == 0x7f) {
			if (bad)
				*bad = i;
			return false;
		}
		i += len;
	}
	return true;
}

static bool letter_or_digit(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

bool list_name_ok(const char *s, size_t n)
{
	if (n < 1 || n > 63 || !letter_or_digit(s[0]))
		return false;
	for (size_t i = 0; i < n; i++)
		if (!letter_or_digit(s[i]) && s[i] != '_' && s[i] != '-' && s[i] != '.')
			return false;
	return true;
}

/* As the kernel's dev_valid_name(), and UTF-8. */
bool iface_name_ok(const char *s, size_t n)
{
	if (n < 1 || n > 15 || same_word(s, n, ".") || same_word(s, n, ".."))
		return false;
	for (size_t i = 0; i < n; i++)
		if (s[i] == '/' || s[i] == ':' || s[i] == ' ' || s[i] == '\t')
			return false;
	return text_clean(s, n, NULL);
}

static char lower(char c)
{
	return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

bool same_word(const char *s, size_t n, const char *word)
{
	if (strlen(word) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		if (lower(s[i]) != lower(word[i]))
			return false;
	return true;
}

bool all_digits(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (s[i] < '0' || s[i] > '9')
			return false;
	return n > 0;
}

int clip(const char *s, size_t n)
{
	size_t at = 60;

	if (n <= at)
		return n;
	while (at > 0 && ((unsigned char)s[at] & 0xc0) == 0x80)
		at--;
	return at;
}

bool word_number(const char *s, size_t n, unsigned long max, unsigned long *out)
{
	unsigned long v = 0;

	if (!all_digits(s, n) || n > 18)
		return false;
	for (size_t i = 0; i < n; i++)
		v = 10 * v + (s[i] - '0');
	*out = v;
	return v >= 1 && v <= max;
}

#define NEAR 64

static unsigned int least(unsigned int a, unsigned int b)
{
	return a < b ? a : b;
}

/* Edits, exchanged neighbours counting as one, that turn a into b. */
static unsigned int distance(const char *a, size_t n, const char *b, size_t m)
{
	unsigned int rows[3][NEAR + 1], *before = rows[0], *last = rows[1], *now = rows[2], *spare;

	for (size_t j = 0; j <= m; j++)
		last[j] = j;
	for (size_t i = 1; i <= n; i++) {
		now[0] = i;
		for (size_t j = 1; j <= m; j++) {
			bool same = lower(a[i - 1]) == lower(b[j - 1]);

			now[j] = least(last[j - 1] + !same, least(last[j], now[j - 1]) + 1);
			if (i > 1 && j > 1 && lower(a[i - 1]) == lower(b[j - 2]) && lower(a[i - 2]) == lower(b[j - 1]))
				now[j] = least(now[j], before[j - 2] + 1);
		}
		spare = before;
		before = last;
		last = now;
		now = spare;
	}
	return last[m];
}

/* Has b every letter of a? Then a has letters exchanged or left out, which fingers do more often than a wrong one. */
static bool has_letters(const char *b, const char *a, size_t n)
{
	unsigned int count[256] = { 0 };

	for (; *b; b++)
		count[(unsigned char)lower(*b)]++;
	for (size_t i = 0; i < n; i++)
		if (!count[(unsigned char)lower(a[i])]--)
			return false;
	return true;
}

char *did_you_mean(const char *s, size_t n, const char *const *words, size_t nwords)
{
	unsigned int best = n < 3 ? 0 : n < 6 ? 1 : n < 12 ? 2 : 3, far;
	const char *found = NULL;
	bool better;
	size_t m;

	if (n > NEAR)
		return xstrdup("");
	for (size_t i = 0; i < nwords; i++) {
		m = strlen(words[i]);
		if (m > NEAR)
			continue;
		far = distance(s, n, words[i], m);
		better = !found || (has_letters(words[i], s, n) && !has_letters(found, s, n));
		if (far < best || (far == best && better)) {
			best = far;
			found = words[i];
		}
	}
	return found ? xasprintf("; did you mean \"%s\"?", found) : xstrdup("");
}

char *path_beside(const char *file, const char *path)
{
	const char *slash = file ? strrchr(file, '/') : NULL;

	if (path[0] == '/' || !slash)
		return xstrdup(path);
	return xasprintf("%.*s%s", (int)(slash + 1 - file), file, path);
}
