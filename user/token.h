/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the parts of the rules module share among themselves: a text cut into
 * sentences and words, and the help given for a misspelt one. Nothing here is
 * for other modules. Characters are judged as ASCII and UTF-8 whatever the locale.
 */
#ifndef MXDP_TOKEN_H
#define MXDP_TOKEN_H

#include <endian.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include "diag.h"
#include "rules.h"

#define MAX_SENTENCE 65536 /* bytes, continuation lines included; longer lists belong in a file */
#define MAX_ERRORS 20      /* reported for one file */

enum token_kind { TOKEN_WORD, TOKEN_QUOTED, TOKEN_COMMA };

struct token {
	enum token_kind kind;
	const char *text; /* NUL-terminated, quotes and escapes taken away; good until the next sentence */
	size_t len;
	unsigned int line, column; /* from 1; columns count characters */
};

/* One sentence, or what a line holds instead: a comment, nothing, or words that cannot be told apart. */
struct sentence {
	const struct token *v;
	size_t n;
	size_t begin, end;        /* offsets in the text: whole lines, the last newline included */
	size_t comment;           /* offset of its '#', or SIZE_MAX */
	unsigned int line, last_line;
	unsigned int end_column;  /* just behind the last word, on end_line */
	unsigned int end_line;
	bool open;                /* the text ends in a '\' that continues to nowhere */
	const char *error;        /* static text when the words cannot be told apart, at error_line:error_column */
	unsigned int error_line, error_column;
};

struct lexer {
	const char *text;
	size_t len, at;
	unsigned int line, column;
	char *words;
	size_t nwords;
	struct token *v;
	size_t room;
};

/* text must outlive the lexer. A byte order mark at its start is skipped. */
void lexer_init(struct lexer *lx, const char *text, size_t len);
void lexer_free(struct lexer *lx);
/* The next line with its continuation lines; false at the end of the text. */
bool lexer_next(struct lexer *lx, struct sentence *s);

/* UTF-8 without control characters (tab is none)? If not, *bad is the offset of the first wrong byte. */
bool text_clean(const char *s, size_t n, size_t *bad);
bool list_name_ok(const char *s, size_t n);
bool iface_name_ok(const char *s, size_t n);

bool same_word(const char *s, size_t n, const char *word); /* ASCII letters of either case */
bool all_digits(const char *s, size_t n);
/* Bytes of s to show in a message: all of a short word, the start of a long one. Use with "%.*s". */
int clip(const char *s, size_t n);

/* The name of a port from mxdp's own table, or NULL: unlike port_name() the same on every machine. */
const char *mail_port_name(unsigned int port);

/* `; did you mean "smtp"?` when one of the words is near to s, else "". Malloc'd. */
char *did_you_mean(const char *s, size_t n, const char *const *words, size_t nwords);

/* `path` as meant by a sentence that stands in `file` (NULL: relative to where we are). Malloc'd. */
char *path_beside(const char *file, const char *path);

/* Sorts by prefix_cmp() and drops duplicates. */
void prefixes_sort(struct prefix *v, size_t *n);

/* Warns when everyone may write to a file that rules come from. */
void warn_if_writable(const char *path, struct diag *d);

/* A number in 1..max. */
bool word_number(const char *s, size_t n, unsigned long max, unsigned long *out);

/* Eight bytes of an address as a number, and back. */
static inline uint64_t load_be64(const uint8_t *p)
{
	uint64_t v;

	memcpy(&v, p, sizeof(v));
	return be64toh(v);
}

static inline void store_be64(uint8_t *p, uint64_t v)
{
	v = htobe64(v);
	memcpy(p, &v, sizeof(v));
}

#endif
