// SPDX-License-Identifier: GPL-2.0-only
/* What the class table in force says of all addresses of a prefix, read where it lies, a page at a time. */
#include <stdlib.h>
#include "dp_private.h"

struct dp_classes {
	struct dp_window banks, trie;
	size_t bank;     /* where the active one lies in banks */
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

static uint32_t cell_at(struct dp_classes *w, uint32_t nr)
{
	const uint32_t *cell = window_at(&w->trie, (size_t)nr * sizeof(*cell), sizeof(*cell));

	if (!cell)
		w->err = -EIO;
	return cell ? *cell : 0;
}

static uint32_t run_of(const union mxdp_line *l, uint8_t place)
{
	uint64_t upto = l->node.bits[place >> 6] << (63 - (place & 63));

	return l->node.base + l->node.rank[place >> 6] + __builtin_popcountll(upto) - 1;
}

/* The places of a byte of the address that the prefix leaves open. */
static void places(const struct dp_classes *w, unsigned int depth, uint8_t *lo, uint8_t *hi)
{
	unsigned int known = w->len <= depth ? 0 : w->len - depth >= 8 ? 8 : w->len - depth;
	uint8_t open = 0xffu >> known;

	*lo = w->addr[depth / 8] & (uint8_t)~open;
	*hi = *lo | (known == 8 ? 0 : open);
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

static void cell_walk(struct dp_classes *w, uint32_t cell, unsigned int depth)
{
	const union mxdp_line *l;
	uint32_t first, last;
	uint8_t lo, hi;

	if (!(cell & MXDP_NODE) || depth >= 128) {
		w->sum |= class_says(w, cell & (MXDP_CLASSES - 1));
		return;
	}
	l = window_at(&w->trie, (size_t)(cell & ~MXDP_NODE) * sizeof(*l), sizeof(*l));
	if (!l) {
		w->err = -EIO;
		return;
	}
	places(w, depth, &lo, &hi);
	first = run_of(l, lo);
	last = run_of(l, hi);
	for (uint32_t run = first; !w->err && run <= last && run - first < 256; run++)
		cell_walk(w, cell_at(w, run), depth + 8);
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

	w->bank = (dp_epoch(dp) & 1) * sizeof(struct mxdp_bank);
	w->banks = (struct dp_window){ .fd = dp->now.banks_fd, .total = 2 * sizeof(struct mxdp_bank), .whole = many };
	w->trie = (struct dp_window){ .fd = dp->now.trie_fd, .total = (size_t)dp->now.trie_lines * sizeof(union mxdp_line),
				      .whole = many };
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
