/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Rules: words, sentences, the model. One structure holds everything that was
 * said; the parser fills it from files or from a command line, one printer
 * prints it. Knows nothing of BPF.
 *
 * Addresses are in network byte order, prefixes have no host bits set; ports
 * are in host byte order. Everything a struct rules points to is its own and
 * goes with rules_free().
 */
#ifndef MXDP_RULES_H
#define MXDP_RULES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "diag.h"

struct prefix {
	uint8_t family; /* 4 or 6 */
	uint8_t len;    /* 0..32 or 0..128 */
	uint8_t addr[16]; /* IPv4 in the first four bytes */
};

struct port_range {
	uint16_t lo, hi; /* both included, 1..65535 */
};

enum source_kind { SOURCE_ANY, SOURCE_PREFIX, SOURCE_LIST };

struct source {
	enum source_kind kind;
	struct prefix prefix; /* SOURCE_PREFIX */
	char *list;           /* SOURCE_LIST: the name without '@' */
};

/* Where a sentence stands. A sentence of the moment (--runtime) has file NULL. */
struct origin {
	char *file;
	unsigned int line, column; /* from 1 */
};

enum stmt_kind {
	STMT_INTERFACE, STMT_DEFAULT, STMT_OBSERVE, STMT_TRACK, STMT_ADMIN,
	STMT_EXEMPT, STMT_ALLOW, STMT_DENY, STMT_BLOCK, STMT_LIST, STMT_ON_STOP,
};

#define DEFAULT_LEASES 65536

enum attach_mode { MODE_NATIVE, MODE_GENERIC, MODE_AUTO };

/* `30/min burst 60`: so many in so many seconds, and so many at once. n 0: not said. Without `burst` the burst is n. */
struct rate {
	uint32_t n, seconds, burst;
};

enum over { OVER_DROP, OVER_RESET, OVER_OBSERVE, OVER_BAN };
enum cookies { COOKIES_UNSAID, COOKIES_AUTO, COOKIES_ALWAYS, COOKIES_NEVER };

/*
 * What an `allow` says of how much. The ports of one sentence share its limit: a source has one budget for all of them.
 * `per /24 /56` makes sources of that size; /32 and /64 unless said.
 */
struct limits {
	struct rate source; /* `limit` */
	struct rate global; /* `global-limit`: of all sources together */
	uint32_t connections;
	uint8_t len4, len6; /* both 0: not said */
	uint8_t over;       /* enum over */
	uint8_t cookies;    /* enum cookies */
	int64_t ban;        /* OVER_BAN: seconds, -1 for ever; else 0 */
};
#define LIMIT_LEN4 32
#define LIMIT_LEN6 64

enum list_take { TAKE_UNSAID, TAKE_REJECT, TAKE_PERMIT };

/* What a list's file is held against before it is believed (listguard.c). All zero: nothing said, the defaults apply. */
#define DEFAULT_WIDEST4 8
#define DEFAULT_WIDEST6 19
#define DEFAULT_CHANGE 30
#define CHANGE_ANY UINT32_MAX
struct list_guard {
	enum list_take take;     /* `take reject|permit`: which lines of a Postfix table */
	bool may_be_empty;       /* `min 0` */
	int64_t expire;          /* `expire DURATION`, seconds; 0: not said */
	bool expire_empty;       /* `expire DURATION empty`: then the file counts as empty; otherwise it is refused */
	bool private_ok;         /* `private yes` */
	bool cover_ok;           /* `cover yes` */
	uint8_t widest4, widest6; /* `widest /N /N` */
	uint32_t change;         /* `change N%`, or CHANGE_ANY */
};

/*
 * One sentence. Which members speak depends on kind:
 *   INTERFACE  name, mode (`interface eth0 mode native|generic|auto`)
 *   DEFAULT    deny
 *   ON_STOP    keep
 *   OBSERVE    nothing
 *   TRACK      leases (`track socket [leases 64k]`; "socket" is the only tracker so far. How many connections the lease
 *              table serves well: 1k to 1M, `64k` and `1M` understood, DEFAULT_LEASES unless said; rounded up to a power of two)
 *   ADMIN, ALLOW, DENY   ports, sources (empty: any)
 *   ALLOW                also limits
 *   EXEMPT, BLOCK        sources
 *   LIST       name; prefixes given inline; path, min, max and guard when from a file
 */
struct stmt {
	enum stmt_kind kind;
	struct origin at;
	char *name;
	enum attach_mode mode;
	bool deny;
	bool keep;    /* the filter stays when the unit that began it is stopped */
	struct port_range *ports;
	size_t nports;
	struct source *sources;
	size_t nsources;
	struct prefix *prefixes; /* inline ones only */
	size_t nprefixes;
	char *path;              /* as written; relative to the file it stands in */
	unsigned long min, max;  /* 0: not said */
	struct list_guard guard;
	unsigned long leases;    /* 0: not said */
	struct limits limits;
	char *comment;           /* text of `comment "..."`, or NULL */
};

/* A file as it was when it was read, or written by us. */
struct list_stamp {
	int64_t mtime_ns; /* 0: not known */
	uint64_t size;
};

/* A list as in force: inline prefixes and what its file held when it was read. Sorted by prefix_cmp(), no duplicates. */
struct list {
	char *name;
	struct prefix *v;
	size_t n;
	char *path;      /* absolute, or NULL */
	int64_t read_at; /* wall clock, seconds, when the file was read; 0 without one */
	struct list_stamp stamp; /* of the file whose prefixes these are, and no others; zero otherwise */
	/* as it is kept in the kernel (listpack.h): v is NULL then, and this is what it holds */
	const struct listpack *pack;
	struct prefix *added, *removed; /* since; sorted */
	size_t nadded, nremoved;
	bool kept; /* only rules_thaw() sets it, for rules_thaw_kept(): n is known, the contents are not here */
	bool fresh;      /* its file was read and taken by this very program */
};

struct rules {
	struct stmt *v; /* in the order read */
	size_t n;
	struct list *lists;
	size_t nlists;
};

/* ---- words (words.c) ---- */

/* "25", "smtp", "smtp/tcp", "1000-2000", "6000:6010", "any" at s (length n). 0, or -EINVAL with *why (unless why is NULL)
 * set to a text (malloc'd, caller frees), e.g. unknown service "smpt"; did you mean "smtp"? */
int word_ports(const char *s, size_t n, struct port_range *out, char **why);
/* The mail (or services database) name of a port, or NULL. Static or thread-local storage. */
const char *port_name(uint16_t port);
/* "192.0.2.1", "192.0.2.0/24", "2001:db8::/32". Host bits set: -EINVAL, and why names the prefix meant. */
int word_prefix(const char *s, size_t n, struct prefix *out, char **why);
/* "90", "10m", "1d12h", "forever", "-1" to seconds; -1 is forever. Overflow and junk: -EINVAL. */
int word_duration(const char *s, size_t n, int64_t *seconds, char **why);
/* "10/s", "30/min", "15/5s", "100/h"; burst is set to n. */
int word_rate(const char *s, size_t n, struct rate *out, char **why);
int prefix_cmp(const void *a, const void *b); /* family, address, length: parents before children */
bool prefix_covers(const struct prefix *p, const struct prefix *of); /* is `of` inside p? */
/* "192.0.2.1", "192.0.2.0/24": the length is left out for single hosts. buf of PREFIX_TEXT bytes. */
#define PREFIX_TEXT 52
const char *prefix_text(const struct prefix *p, char *buf);
/* For files, a million of them in a tenth of the time: the length always, IPv6 in full, a newline. The end; at most PREFIX_TEXT. */
char *prefix_line(char *to, const struct prefix *p);

/* ---- sentences (grammar.c) ---- */

/*
 * Parses every line of text (len bytes; NUL inside is an error) and appends to r. Lists are declared but their files are
 * not read. Every error is added to d as FILE:LINE:COLUMN; parsing goes on to the next line to report them all (at
 * most 20). Returns 0, or -EINVAL when there was any error: then r is as before.
 */
int rules_parse(struct rules *r, const char *file, const char *text, size_t len, struct diag *d);

/* The sentence of a command line: words joined by spaces, a word with spaces quoted. Place is "command line". */
int rules_parse_args(struct rules *r, int argc, char *const argv[], struct diag *d);

/* The canonical sentence, without newline; ports as names where mxdp's own table has one (what the services database of
 * today calls a port would not be understood without it). Malloc'd. */
char *stmt_text(const struct stmt *s);
/* Do they say the same? Order of ports and sources does not matter; origin and comment do not count. */
bool stmt_same(const struct stmt *a, const struct stmt *b);
bool guard_same(const struct list_guard *a, const struct list_guard *b);
void stmt_free(struct stmt *s);   /* what it points to, not s itself */
void stmt_copy(struct stmt *to, const struct stmt *from); /* deep */

/* ---- limits (limits.c) ---- */

/* Does it hold anything back? (`cookies` alone does not.) */
bool limits_any(const struct limits *l);
bool limits_same(const struct limits *a, const struct limits *b);
/* What is wrong with a limit whose words are right one by one, as a static text; or NULL. */
const char *limits_wrong(const struct limits *l);
/* " limit 30/min burst 60 connections 20": as it stands in a sentence, with a blank before each word. */
void limits_print(const struct limits *l, FILE *to);
/* The same without the first blank; "" when nothing is said. Malloc'd. */
char *limits_text(const struct limits *l);
/*
 * Where two `allow` of one port are equally specific, the one that comes first here decides, in whatever order they stand:
 * the lower rate, then fewer connections, the smaller burst, and so on; any limit before none.
 */
int limit_cmp(const struct stmt *a, const struct stmt *b);
/* Names the sentence, its place and comment aside, in whatever order its ports and sources stand. */
uint64_t limit_id(const struct stmt *s);

/* ---- the model (rules.c) ---- */

/*
 * Reads the main file and conf.d/ *.conf beside it (in byte order of their names; a missing conf.d is fine, a missing main
 * file is -ENOENT), then every list file, then checks the whole. Files without any sentence are an error: what a full
 * disk leaves is not to close every port. 0, or negative errno with d filled; r is then empty.
 */
int rules_load(struct rules *r, const char *main_file, struct diag *d);

/* What a list falls back on when its file is refused; and which ones had to. */
struct lists_past {
	const struct rules *in_force; /* NULL: nothing is */
	const char *state;            /* the directory with the last good copies (listfile.h); NULL: none */
	bool force;                   /* the operator means it (struct list_case) */
	struct list_kept {
		char *name, *why;     /* the first reason */
	} *kept;
	size_t nkept;
};
void lists_past_free(struct lists_past *past); /* kept only */

/*
 * rules_load(), but a list whose file is missing, broken or held up by a guard stays as it is in force, or as its copy on
 * disk has it; the reasons are warnings then, and it is in past->kept. A list with neither is an error as before.
 */
int rules_load_over(struct rules *r, const char *main_file, struct lists_past *past, struct diag *d);

/* The conf.d/ *.conf beside the main file alone, parsed and appended to r, nothing checked. 0, or negative errno with d filled. */
int rules_parse_dropins(struct rules *r, const char *main_file, struct diag *d);

/*
 * What rules_load() does behind the parsing: fills the lists of r and checks the whole. A list's file is not read again
 * when r->lists holds what it held. Errors: unknown @list, list or interface twice, contradicting default or tracker,
 * `block`, `exempt` or `deny any` of everybody. Warnings: admin from any, no admin under default deny, an empty list that
 * is used. Notes: a list that is not. 0, or -EINVAL, and then r is as before.
 */
int rules_finish(struct rules *r, struct diag *d);

/* rules_finish() with a past for those files that it reads; NULL: none. */
int rules_finish_over(struct rules *r, struct lists_past *past, struct diag *d);

void rules_free(struct rules *r);
struct list *rules_list(const struct rules *r, const char *name);
const struct stmt *rules_list_said(const struct rules *r, const char *name); /* the sentence of that list, or NULL */
const struct stmt *rules_find(const struct rules *r, const struct stmt *like);

/* Everything, list contents and origins included, as one blob that rules_thaw() turns back into equal rules. Malloc'd. */
#define RULES_FREEZE_VERSION 4
void *rules_freeze(const struct rules *r, size_t *len);
int rules_thaw(struct rules *r, const void *blob, size_t len, struct diag *d); /* -EBADMSG: not such a blob */

/* ---- sentences as text, for every version of mxdp (said.c) ---- */

/*
 * The sentences in force, one a line, as a rules file could say them: paths are absolute, and "# --runtime" stands behind
 * those that no file says. What lists hold that came from a file is not there. Malloc'd, *len without the NUL.
 */
char *rules_said(const struct rules *r, size_t *len);
/*
 * Such a text, as far as this version knows its sentences: a warning for each that it does not. Lists are read from their
 * files. 0, or -EINVAL where that cannot be: a warning too, and r is empty, as it was before.
 */
int rules_heard(struct rules *r, const char *text, size_t len, struct diag *d);
/*
 * The plain judge: what these rules say of a packet, straight from the model, by reading every sentence. Slow, obvious,
 * and independent of compile.c: `explain` names the deciding sentence with it and the tests compare the two.
 * `syn` false: asks only whether the source is blocked. Port 0: a packet without a port, which no admin sentence lets through.
 * A source that is `any` fits worst; 0.0.0.0/0 and ::/0 are more specific than it.
 */
enum judge_says { JUDGE_ALLOW, JUDGE_DEFAULT_ALLOW, JUDGE_ADMIN, JUDGE_DENY, JUDGE_CLOSED, JUDGE_BLOCKED, JUDGE_NOT_BLOCKED };
struct judge_answer {
	enum judge_says says;
	const struct stmt *because; /* the deciding sentence, or NULL: the default that nobody wrote */
	bool limited;               /* JUDGE_ALLOW, under the limit of that sentence */
};
struct judge_answer rules_judge(const struct rules *r, const struct prefix *host, uint16_t port, bool syn);

/* ---- files (conffile.c) ---- */

/*
 * Editing keeps every comment, blank line and order. The new text is written beside the file, fsynced and renamed over it,
 * mode and owner kept; a symlink is followed to its target. An flock on FILE.lock (same directory) holds off others.
 */
struct conffile {
	char *path;
	char *text;
	size_t len;
	int lock_fd;
	char *ready; /* the new text in a file beside, synced; it has only to be renamed */
};
int conffile_open(struct conffile *c, const char *path, bool create, struct diag *d);
/* Only the lock; the text is not read. */
int conffile_lock(struct conffile *c, const char *path, struct diag *d);
/*
 * What changes the file itself, down to the disk. It must be as *is says, and *is says then how it is. -ESTALE, without a
 * message: it is another, for not everybody takes the lock; that one is left alone, also by what takes the change back.
 */
int conffile_grow(struct conffile *c, const char *lines, struct list_stamp *is, struct diag *d); /* whole lines at its end */
void conffile_shrink(struct conffile *c, const struct list_stamp *is, uint64_t to, struct diag *d);
/* Words become a comment each, '#' and blanks; or are written back as they were. */
struct conffile_spot {
	uint64_t at;
	size_t len;
	char *was; /* `len` bytes */
};
int conffile_blank(struct conffile *c, const struct conffile_spot *v, size_t n, struct list_stamp *is, struct diag *d);
void conffile_unblank(struct conffile *c, const struct conffile_spot *v, size_t n, const struct list_stamp *is, struct diag *d);
void conffile_append(struct conffile *c, const char *sentence);                 /* at the end, with its newline */
int conffile_remove_line(struct conffile *c, unsigned int line, struct diag *d); /* with its continuation lines */
int conffile_replace_line(struct conffile *c, unsigned int line, const char *sentence, struct diag *d); /* trailing comment kept */
/* All of a commit that is slow or can fail, but the renaming. No edits after it. Optional. */
int conffile_prepare(struct conffile *c, struct diag *d);
int conffile_commit(struct conffile *c, struct diag *d);
void conffile_close(struct conffile *c);

/* List files of every kind (listfile.h has more). `name` for messages. */
int listfile_parse(const char *name, const char *text, size_t len, struct prefix **v, size_t *n, struct diag *d);
int listfile_read(const char *path, struct prefix **v, size_t *n, struct diag *d);

/* Whole small file into memory; -EFBIG beyond max. NUL-terminated besides. */
int file_read(const char *path, size_t max, char **text, size_t *len, struct diag *d);
/* Write beside, fsync, rename, fsync the directory. */
int file_replace(const char *path, const void *text, size_t len, unsigned int mode, struct diag *d);

#endif
