/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Files of prefixes as they are published. What kind a file is its first line that is no comment says, never its name;
 * a line of another kind is an error. All kinds skip blank lines and lines that begin with '#' or ';'.
 *
 *   plain   one prefix, address or range A-B a line, '#' and ';' begin comments behind it too (DROP as text)
 *   table   Postfix's cidr table: `PREFIX permit|ok|reject [TEXT]|dunno`; as there, the first line that fits decides
 *   json    JSON Lines: objects with a member "cidr"; {"type":"metadata","records":N} ends them and tells how many they are
 *   ipset   what `ipset save` prints of a hash:ip or hash:net
 */
#ifndef MXDP_LISTFILE_H
#define MXDP_LISTFILE_H

#include "rules.h"

enum list_format { LIST_PLAIN, LIST_TABLE, LIST_JSON, LIST_IPSET };

struct listfile {
	/* given */
	const char *name;     /* for messages */
	char *text;           /* malloc'd, goes with listfile_free() */
	size_t len;
	enum list_take take;  /* which lines of a table */
	/* found */
	enum list_format format;
	enum list_take took;  /* of a table, which lines v is made of */
	bool counted;         /* not JSON, or its metadata counts every record */
	int64_t dated;        /* when the data was made, as it says itself; 0 when it does not */
	struct prefix *v;     /* sorted by prefix_cmp(), no duplicates */
	size_t n;
};

/* Opens a file for listfile_scan(). 0, or negative errno with d filled. `path` is kept as the name: it must outlive f. */
int listfile_open(struct listfile *f, const char *path, struct diag *d);
/* Fills what is found. 0, or -EINVAL with at most 20 errors in d, each as NAME:LINE:COLUMN; then v is NULL. */
int listfile_scan(struct listfile *f, struct diag *d);
/* The first line from which p, one of v, came; 0 when there is none. */
unsigned int listfile_line(const struct listfile *f, const struct prefix *p);
void listfile_free(struct listfile *f);
#define __cleanup_listfile __cleanup(listfile_free)

/* "a plain list", "a Postfix table", "JSON Lines", "an ipset save" */
const char *list_format_name(enum list_format format);

/* ---- guards (listguard.c): take a list's new contents, or keep what is in force? ---- */

struct list_case {
	const struct rules *r;      /* the sentences, of which s is one */
	const struct list *lists;   /* as far as they are filled: those that only grant are */
	size_t nlists;
	const struct stmt *s;       /* the list's */
	const struct list *in_force; /* without what its sentence holds itself; NULL when nothing is in force */
	bool force;                 /* the operator means it: min, max, expire and change do not hold it up */
	int64_t made;               /* when the data was made, wall clock seconds */
};

/*
 * 0: take f->v. -ESTALE: its data expired, and the sentence says that it counts as empty then (a warning is in d). -EINVAL: refused,
 * with the reasons and remedies as errors in d.
 */
int list_judge(const struct list_case *c, const struct listfile *f, struct diag *d);
/*
 * The same of words that are to be added to the list of sentence s of r, whose lists are whole where `admin` and `exempt` use
 * them. 0, or -EINVAL with what is wrong with each.
 */
int list_judge_words(const struct rules *r, const struct stmt *s, const struct prefix *v, size_t n, struct diag *d);
/* Does a `block` or `deny` use the list? */
bool list_refuses(const struct rules *r, const char *name);
/* What a list holds besides the prefixes in its sentence s (NULL: all). Malloc'd. */
struct prefix *list_file_part(const struct list *l, const struct stmt *s, size_t *n);

/* ---- the last good copy, on disk (listcopy.c) ---- */

/* Writes v as DIR/lists/NAME, unless it says that already. Makes the directories, 0700. 0, or negative errno with a warning in d. */
int listcopy_save(const char *dir, const char *name, const struct prefix *v, size_t n, struct diag *d);
/* Every list of r that came freshly from its file. */
void listcopy_save_all(const char *dir, const struct rules *r, struct diag *d);
/* 0 with v and the time it was saved; -ENOENT without a message when there is none; or negative errno with a warning in d. */
int listcopy_read(const char *dir, const char *name, struct prefix **v, size_t *n, int64_t *saved, struct diag *d);
/* Takes these, which are sorted, out of the copy if there is one. What goes wrong is a warning in d. */
void listcopy_forget(const char *dir, const char *name, const struct prefix *gone, size_t ngone, struct diag *d);

/* ---- all of it (listload.c) ---- */

/* What a list has from its file. */
struct list_load {
	struct prefix *v;
	size_t n;
	int64_t read_at;
	bool fresh; /* from the file, not kept */
};
/*
 * Reads and judges the file `path` of a list. When it is refused, and `past` has an older copy: 0, that copy, and the reasons
 * as warnings. Otherwise negative errno with the reasons as errors. c->in_force, force and made are set here.
 */
int list_load(struct list_load *out, struct list_case *c, const char *path, struct lists_past *past, struct diag *d);

#endif
