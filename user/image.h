/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The image: compiled rules, ready to be put into a bank. Made by the compiler
 * from rules, taken by the datapath; the only thing they share.
 */
#ifndef MXDP_IMAGE_H
#define MXDP_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <mxdp/abi.h>
#include "diag.h"
#include "listpack.h"
#include "rules.h"

/*
 * A service keeps its number for as long as the filter lives, so that its counters stay its own; the key says which
 * ports it is. Single ports named by a rule are services of their own; a range is one service (or several, where rules
 * overlap). Service 0 is "other": all ports no rule names.
 * A range keeps its key when ports inside it are named singly, so that its number does not change; what only `any` names
 * is "any"; a key that would be too long ends in ",...". port[] of the bank says exactly which port is whose.
 */
struct service {
	char key[48]; /* "25", "1000-1999", ... : the port ranges, ascending, comma-separated; "other" for 0; "" when free */
	bool named;   /* some rule in force names it; false: kept for its counters */
};

struct image {
	struct mxdp_bank *bank;
	union mxdp_line *lines;    /* of the class trie */
	size_t nlines;
	struct service services[MXDP_SERVICES];
	bool recycled[MXDP_SERVICES]; /* this number was another service's before */
	unsigned int nclasses;
	size_t nprefixes;          /* in the trie, both families */
	void *frozen;              /* rules_freeze_kept() of the rules compiled */
	size_t nfrozen;
	char *said;                /* rules_said() of them */
	size_t nsaid;
	struct image_pack {        /* the lists that it leaves out, in order */
		struct listpack *p;
		size_t len;
	} *packs;
	size_t npacks;
	size_t nlists;
};

/*
 * Compiles rules that passed rules_finish(). `before` (may be NULL) is the service table in force: numbers are kept, new
 * services take free numbers, and only when none is free a number is reused that no rule names any more (it is then listed
 * in `recycled`, whose counters the datapath folds into service 0). 0, or -E2BIG with the limit named in d (services, classes).
 */
int image_compile(struct image *img, const struct rules *r, const struct service before[MXDP_SERVICES], struct diag *d);
void image_free(struct image *img);

/*
 * The limits of the rules, strictest first, each once: v[1] to v[*n] are sentences that say them, and their places the numbers
 * in the cells. The same for the same rules, in whatever order they stand. 0, or -E2BIG with the remedy in d.
 */
int image_limits(const struct rules *r, const struct stmt *v[MXDP_LIMITS], unsigned int *n, struct diag *d);

/* Copies img's bank as it must lie when its lines begin with line `first` of the map; `epoch` is stamped into it. */
void image_place_bank(const struct image *img, uint32_t first, uint32_t epoch, struct mxdp_bank *to);

/* The packet path's own lookup in C, on an unplaced image: for tests. Addresses as in struct prefix. */
unsigned int image_class(const struct image *img, const struct prefix *host);

/* The class table is one narrow interface (classtable.c), so that another structure can take its place. */
struct class_prefix {
	struct prefix p;
	uint32_t class_;
};
/* v sorted by prefix_cmp, unique; fills dir4, dir6 and lines. A prefix shorter than 16 bits fills its share of the dir. */
int classtable_build(struct image *img, const struct class_prefix *v, size_t n, struct diag *d);

/* ---- changing a few prefixes of a table where it lies ---- */

struct class_row {
	uint8_t flags;
	uint8_t policy[MXDP_SERVICES];
};

/* All that is said within p, from now on: class_ where no v says otherwise. Both count in rows of the edit. */
struct class_region {
	struct prefix p;
	uint32_t class_;
	struct class_prefix *v; /* inside p, sorted, unique; its own */
	size_t n;
};

struct image_edit {
	struct class_region *regions; /* in the order of prefix_cmp(), none inside another */
	size_t nregions;
	struct class_row *rows;
	size_t nrows;
};

/*
 * What the rules r, in force but for what their lists say of the `changed` prefixes, now say of these and all that lies
 * within them; by the same rules as image_compile(). -E2BIG, without a message: so much lies there that compiling the whole
 * is no dearer; -ESTALE: the services would get other numbers.
 */
int image_compile_edit(struct image_edit *e, const struct rules *r, const struct service before[MXDP_SERVICES],
		       const struct prefix *changed, size_t n, struct diag *d);
void image_edit_free(struct image_edit *e);

/* A bank where it lies: its own lines, as many as the map has for it. */
struct class_bank {
	struct mxdp_bank *bank;
	union mxdp_line *lines;
	uint32_t nlines;
};

/* Cell `at` of dir4, or with 65536 added of dir6. */
struct dir_change {
	uint32_t at, was, is;
};

/*
 * Writes the lines and classes that the edit needs behind those in use, and says in v, which has room for so many, which
 * cells of the direct tables lead to them. No packet sees anything of it before the caller stores these cells. -ENOSPC: no
 * room for lines, classes or changes, or a port is opened that was closed to all; the bank is as it was to all who read it.
 * Numbers of rows in e become classes.
 */
int classtable_edit(const struct class_bank *to, struct image_edit *e, struct dir_change *v, size_t room, size_t *n);

#endif
