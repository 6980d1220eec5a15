// SPDX-License-Identifier: GPL-2.0-only
/* What the class table in force says of all addresses of a prefix, read where it lies, a page at a time. */
#include <stdlib.h>
#include "dp_private.h"

struct dp_classes {
	struct dp_window banks, trie;
	size_t bank;     /* where the active one lies in banks */
	uint32_t first;  /* its first line of the trie */
	uint8_t says[MXDP_CLASSES]; /* of classes seen before: KNOWN and what holds of them */
	uint8_t addr[16];           /* of the walk under way, and its length */
	uint8_t len;
	uint8_t sum;     /* what its classes say */
	int err;
};

enum { KNOWN = 1, PROTECTED = 2, BLOCKED = 4 };

static const void *bank_at(struct dp_classes *w, size_t offset, size_t len)
{
	const void *p = window_at(&w->banks, w->bank + offset, len);

	if (!p)
		w->err = -EIO;
	return p;
}

static const union mxdp_line *line_at(struct dp_classes *w, uint32_t line)
{
	const union mxdp_line *l = window_at(&w->trie, ((size_t)w->first + line) * sizeof(*l), sizeof(*l));

	if (!l)
		w->err = -EIO;
	return l;
}

static uint32_t cell_at(struct dp_classes *w, uint32_t nr)
{
	const union mxdp_line *l = line_at(w, nr / MXDP_LINE_CELLS);

	return l ? l->cell[nr % MXDP_LINE_CELLS] : 0;
}

static uint32_t run_of(const union mxdp_line *l, uint8_t place)
{
	uint64_t upto = l->node.bits[place >> 6] << (63 - (place & 63));

	return MXDP_NODE_BASE(l->node.base) + l->node.rank[place >> 6] + __builtin_popcountll(upto) - 1;
}

static bool bit_of(const uint8_t *bytes, unsigned int nr)
{
	return nr < 128 && bytes[nr / 8] >> (7 - nr % 8) & 1;
}

/* How many of the bits from `depth` on, `most` at most, the prefix says. */
static unsigned int known(const struct dp_classes *w, unsigned int depth, unsigned int most)
{
	unsigned int n = w->len > depth ? w->len - depth : 0;

	return n < most ? n : most;
}

/* The places of the eight bits from `depth` on that the prefix leaves open. */
static void places(const struct dp_classes *w, unsigned int depth, uint8_t *lo, uint8_t *hi)
{
	unsigned int n = known(w, depth, 8);

	*lo = 0;
	for (unsigned int i = 0; i < n; i++)
		*lo |= bit_of(w->addr, depth + i) << (7 - i);
	*hi = *lo | (n == 8 ? 0 : 0xff >> n);
}

/* An admin cell that everybody has protects nobody. */
static bool is_protected(struct dp_classes *w, unsigned int class_)
{
	const uint8_t *flags = bank_at(w, offsetof(struct mxdp_bank, class_flags) + class_, 1), *row;
	uint8_t any[MXDP_SERVICES];

	if (!flags || *flags & MXDP_CLASS_EXEMPT)
		return true;
	row = bank_at(w, offsetof(struct mxdp_bank, policy), MXDP_SERVICES);
	if (!row)
		return true;
	memcpy(any, row, sizeof(any));
	row = bank_at(w, offsetof(struct mxdp_bank, policy) + (size_t)class_ * MXDP_SERVICES, MXDP_SERVICES);
	for (unsigned int i = 0; row && i < MXDP_SERVICES; i++)
		if ((row[i] & MXDP_CELL_VERDICT) == MXDP_CELL_ADMIN && (any[i] & MXDP_CELL_VERDICT) != MXDP_CELL_ADMIN)
			return true;
	return !row;
}

static uint8_t class_says(struct dp_classes *w, unsigned int class_)
{
	const uint8_t *flags;

	if (w->says[class_] & KNOWN)
		return w->says[class_];
	flags = bank_at(w, offsetof(struct mxdp_bank, class_flags) + class_, 1);
	w->says[class_] = KNOWN | (flags && *flags & MXDP_CLASS_BLOCKED ? BLOCKED : 0);
	w->says[class_] |= is_protected(w, class_) ? PROTECTED : 0;
	return w->says[class_];
}

static void cell_walk(struct dp_classes *w, uint32_t cell, unsigned int depth);

static void node_walk(struct dp_classes *w, uint32_t line, unsigned int depth)
{
	const union mxdp_line *l = line_at(w, line);
	uint32_t first, last;
	uint8_t lo, hi;

	if (!l)
		return;
	places(w, depth, &lo, &hi);
	first = run_of(l, lo);
	last = run_of(l, hi);
	for (uint32_t run = first; !w->err && run <= last && run - first < 256; run++)
		cell_walk(w, cell_at(w, run), depth + 8);
}

/* An address either has the tail's bits or not; a prefix that ends in them has addresses of both kinds. */
static void tail_walk(struct dp_classes *w, uint32_t at, unsigned int depth)
{
	const union mxdp_line *l = line_at(w, at / MXDP_LINE_CELLS);
	unsigned int length, n;
	uint32_t head, bits, below;
	bool same = true;

	if (!l)
		return;
	head = l->cell[at % MXDP_LINE_CELLS];
	below = l->cell[(at + 1) % MXDP_LINE_CELLS];
	length = MXDP_TAIL_LENGTH(head);
	bits = at + 1 + (head & MXDP_TAIL_ON ? 1 : 0);
	n = known(w, depth, length);
	for (unsigned int i = 0; same && i < n; i++)
		same = bit_of(w->addr, depth + i) == (l->cell[(bits + i / 32) % MXDP_LINE_CELLS] >> (31 - i % 32) & 1);
	if (same && head & MXDP_TAIL_ON)
		cell_walk(w, below, depth + length);
	else if (same)
		w->sum |= class_says(w, MXDP_TAIL_MATCH(head));
	if (same && n == length)
		return;
	if (head & MXDP_TAIL_MORE)
		cell_walk(w, MXDP_TAIL | (bits + (length + 31) / 32), depth);
	else
		w->sum |= class_says(w, MXDP_TAIL_MISS(head));
}

static void cell_walk(struct dp_classes *w, uint32_t cell, unsigned int depth)
{
	if (cell & MXDP_NODE && depth < 128)
		node_walk(w, cell & ~MXDP_NODE, depth);
	else if (cell & MXDP_TAIL && depth < 128)
		tail_walk(w, cell & ~MXDP_TAIL, depth);
	else
		w->sum |= class_says(w, cell & (MXDP_CLASSES - 1));
}

static void dir_walk(struct dp_classes *w, size_t dir)
{
	uint32_t first = w->addr[0] << 8 | w->addr[1], n = w->len >= 16 ? 1 : 1u << (16 - w->len);

	for (uint32_t i = 0; !w->err && i < n; i++) {
		const uint32_t *cell = bank_at(w, dir + (first + i) * sizeof(*cell), sizeof(*cell));

		if (cell)
			cell_walk(w, *cell, 16);
	}
}

struct dp_classes *classes_open(const struct datapath *dp, bool many)
{
	struct dp_classes *w = xcalloc(1, sizeof(*w));
	const uint32_t *first;

	w->bank = (dp_epoch(dp) & 1) * sizeof(struct mxdp_bank);
	w->banks = (struct dp_window){ .fd = dp->now.banks_fd, .total = 2 * sizeof(struct mxdp_bank), .whole = many };
	w->trie = (struct dp_window){ .fd = dp->now.trie_fd, .total = (size_t)dp->now.trie_lines * sizeof(union mxdp_line),
				      .whole = many };
	first = bank_at(w, offsetof(struct mxdp_bank, trie_first), sizeof(*first));
	w->first = first ? *first : 0;
	return w;
}

void classes_close(struct dp_classes *w)
{
	if (!w)
		return;
	window_close(&w->banks);
	window_close(&w->trie);
	free(w);
}

int classes_say(struct dp_classes *w, const struct prefix *p, bool *protected, bool *blocked)
{
	w->len = p->len;
	w->sum = 0;
	/* a wide prefix touches many lines */
	w->trie.whole |= p->len < (p->family == 4 ? 24 : 32);
	memcpy(w->addr, p->addr, p->family == 4 ? 4 : 16);
	dir_walk(w, p->family == 4 ? offsetof(struct mxdp_bank, dir4) : offsetof(struct mxdp_bank, dir6));
	*protected = w->sum & PROTECTED;
	*blocked = w->sum & BLOCKED;
	return w->err;
}
