/* SPDX-License-Identifier: GPL-2.0-only */
/* What the readers of the kinds of list files share: listfile.c, listtable.c, listjson.c. Nothing here is for others. */
#ifndef MXDP_LISTREAD_H
#define MXDP_LISTREAD_H

#include "listfile.h"
#include "token.h"

/* Ranges and holes make many prefixes of a few lines; this is far beyond what the tables hold. */
#define MAX_PREFIXES (16u << 20)

enum action { ACT_REJECT, ACT_PERMIT, ACT_DUNNO, ACT_ADD, ACT_NOMATCH };

/* A line of a table or of an ipset: what it says may depend on the others. */
struct entry {
	struct prefix p;
	uint8_t action;
	uint32_t line;
};

struct ipset {
	char name[64];
	unsigned int family, netmask;
};

struct reader {
	struct listfile *f;
	struct diag *d;
	unsigned int line, errors;
	size_t room;                 /* of f->v */
	bool full;
	const struct prefix *wanted; /* asked by listfile_line() */
	unsigned int found;
	struct entry *e;             /* tables and ipsets */
	size_t ne, room_e;
	struct ipset set[2];         /* one of each family */
	size_t nsets, timeouts;
	size_t since;                /* JSON: records behind the last metadata */
};

void list_say(struct reader *r, size_t at, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
/* An address, a prefix or a range, with `sink` called for each prefix that it makes; errors are said. False: wrong. */
typedef void list_sink(struct reader *r, const struct prefix *p, unsigned int action);
bool list_entry(struct reader *r, const char *word, size_t n, size_t at, list_sink *sink, unsigned int action);
/* One more for f->v. */
void list_put(struct reader *r, const struct prefix *p, unsigned int action);

static inline bool list_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\r';
}

/* The word of s[0..n) at or behind *at: its start, *len 0 at the end of the line. *at becomes its end. */
static inline size_t list_word(const char *s, size_t n, size_t *at, size_t *len)
{
	size_t start = *at, end;

	while (start < n && list_blank(s[start]))
		start++;
	for (end = start; end < n && !list_blank(s[end]); end++)
		;
	*at = end;
	*len = end - start;
	return start;
}

/* One line each, without its newline; s is no comment and not blank. */
void table_line(struct reader *r, const char *s, size_t n);
void ipset_line(struct reader *r, const char *s, size_t n);
void json_line(struct reader *r, const char *s, size_t n);
/* Is this the second word of a table's line? */
bool table_action(const char *s, size_t n, unsigned int *action);
/* At the end of the file. */
void table_end(struct reader *r);
void ipset_end(struct reader *r);
void json_end(struct reader *r);

#endif
