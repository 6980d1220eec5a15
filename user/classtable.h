/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The lines of the class trie, and how they are made: shared by what builds
 * them (classtable.c) and what edits them where they lie (classedit.c).
 */
#ifndef MXDP_CLASSTABLE_H
#define MXDP_CLASSTABLE_H

#include "image.h"

#define NODE_RUNS 6u /* that lie in the node's own line */
#define MAX_TRIE_LINES (1u << 26) /* of a bank: a cell's number has 30 bits */

/* A piece of lines that cells are given out from. */
struct chunk {
	uint32_t at, end; /* cells */
};
#define OPEN_LINES 15u

/* Lines given out one after the other, never twice. */
struct arena {
	union mxdp_line *lines;
	uint32_t used, room;
	uint32_t chunk_lines; /* how many are taken at a time for runs */
	struct chunk runs;
	uint32_t tails[OPEN_LINES + 1]; /* of lines of tails with so many cells left, one: the first of these cells; 0: none */
	bool fixed; /* `lines` cannot grow: what does not fit sets full, and is then not to be used */
	bool full;
	uint32_t *seen; /* line numbers + 1 of nodes that may recur, hashed; NULL: none is looked for */
	size_t nseen, seen_size;
};

/* The cell for the place `depth` bits down that holds all of v, each longer than `depth`; a multiple of 8, or of a family's
 * first 16. class_ of v may be any cell where nothing of v lies inside it, and its length is a multiple of 8 then. */
uint32_t trie_cell(struct arena *a, const struct class_prefix *v, size_t n, unsigned int depth, uint32_t inherited);
/* The node whose places have these cells, or the one cell that all of them have. */
uint32_t trie_node_of(struct arena *a, const uint32_t cells[256]);

/* The run of places that begins at *place: its cell, and *place moves on behind it. `number` counts the runs before it. */
uint32_t node_run(const union mxdp_line *lines, const union mxdp_line *node, unsigned int number, unsigned int *place);

/*
 * How many of the /24s below `at` of dir4, whose cell this is, may have anything but class 0. Where b is not NULL, their bits
 * are set, in the bits that it has.
 */
uint32_t named_add4(union mxdp_line *lines, struct mxdp_bank *b, unsigned int at, uint32_t cell);
/* Are so many of the bits set that a larger table would say more? */
bool named_crowded4(const struct mxdp_bank *b);
/* Sets the bits of all that begins with the first 32 bits of p, or is inside it; p has 16 bits or more. */
void named_add6(union mxdp_line *lines, uint32_t named6, const struct prefix *p);
/* The same for the whole /16 at `at` of dir6. */
void named_add6_dir(union mxdp_line *lines, uint32_t named6, unsigned int at);

/* dir[] of the first 16 bits, for all of v; of one family. What v does not cover stays. */
void dir_fill(struct arena *a, uint32_t *dir, const struct class_prefix *v, size_t n);

static inline bool is_class(uint32_t cell)
{
	return !(cell & (MXDP_NODE | MXDP_TAIL));
}

static inline unsigned int dir_index(const struct prefix *p)
{
	return p->addr[0] << 8 | p->addr[1];
}

#endif
