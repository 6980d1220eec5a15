// SPDX-License-Identifier: GPL-2.0-only
/*
 * Editing the class table where it lies, while packets read it. What is in use is never written: the lines on the way to
 * the change are made anew behind those in use, and one cell of the direct table, stored by the caller, leads to them. So
 * a packet sees the old table or the new one for its source.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "classtable.h"

static uint32_t edit_cell(struct arena *a, uint32_t cell, unsigned int depth, const struct class_region *r);

/* Those of v that say nothing new fall out. */
static size_t tidy(struct class_prefix *v, size_t n, uint32_t inherited)
{
	size_t up[130], depth = 0, left = 0;

	for (size_t i = 0; i < n; i++) {
		while (depth && !prefix_covers(&v[up[depth - 1]].p, &v[i].p))
			depth--;
		if (v[i].class_ == (depth ? v[up[depth - 1]].class_ : inherited))
			continue;
		v[left] = v[i];
		up[depth++] = left++;
	}
	return left;
}

static int by_prefix(const void *a, const void *b)
{
	return prefix_cmp(&((const struct class_prefix *)a)->p, &((const struct class_prefix *)b)->p);
}

/* The cell that holds the n of `old`, the region in place of what of them lies inside it. */
static uint32_t with_region(struct arena *a, const struct class_prefix *old, size_t nold, unsigned int depth,
			    const struct class_region *r, uint32_t inherited)
{
	__cleanup_free struct class_prefix *v = xmalloc((nold + 1 + r->n) * sizeof(*v));
	size_t n = 0;

	for (size_t i = 0; i < nold; i++)
		if (!prefix_covers(&r->p, &old[i].p))
			v[n++] = old[i];
	v[n++] = (struct class_prefix){ .p = r->p, .class_ = r->class_ };
	if (r->n)
		memcpy(v + n, r->v, r->n * sizeof(*v));
	n += r->n;
	qsort(v, n, sizeof(*v), by_prefix);
	n = tidy(v, n, inherited);
	return trie_cell(a, v, n, depth, inherited);
}

/* ---- tails ---- */

static void set_bits(struct prefix *p, unsigned int depth, uint32_t bits)
{
	uint64_t wide = (uint64_t)bits << (8 - depth % 8);

	for (unsigned int i = 0; i < 5; i++)
		if (depth / 8 + i < sizeof(p->addr))
			p->addr[depth / 8 + i] |= wide >> (32 - 8 * i);
}

static struct prefix cut(const struct prefix *p, unsigned int len)
{
	struct prefix q = { .family = p->family, .len = len };

	memcpy(q.addr, p->addr, len / 8);
	if (len % 8)
		q.addr[len / 8] = p->addr[len / 8] & 0xff00 >> len % 8;
	return q;
}

/* The tails that begin at `cell`, `depth` bits down the way to p, as prefixes. Returns how many. */
static size_t read_tails(const struct arena *a, uint32_t cell, unsigned int depth, const struct prefix *p,
			 struct class_prefix v[MXDP_TAILS], uint32_t *miss)
{
	uint32_t at = cell & ~MXDP_TAIL, head;
	size_t n = 0;

	do {
		const uint32_t *word = &a->lines[at / MXDP_LINE_CELLS].cell[at % MXDP_LINE_CELLS];
		unsigned int length;

		head = *word++;
		length = MXDP_TAIL_LENGTH(head);
		v[n] = (struct class_prefix){ .p = cut(p, depth), .class_ = MXDP_TAIL_MATCH(head) };
		v[n].p.len = depth + length;
		if (head & MXDP_TAIL_ON)
			v[n].class_ = *word++;
		for (unsigned int i = 0; i < length; i += 32)
			set_bits(&v[n].p, depth + i, *word++);
		at += 1 + !!(head & MXDP_TAIL_ON) + (length + 31) / 32;
		n++;
	} while (head & MXDP_TAIL_MORE && n < MXDP_TAILS);
	*miss = MXDP_TAIL_MISS(head);
	return n;
}

static uint32_t edit_tails(struct arena *a, uint32_t cell, unsigned int depth, const struct class_region *r)
{
	struct class_prefix v[MXDP_TAILS];
	uint32_t miss;
	size_t n = read_tails(a, cell, depth, &r->p, v, &miss);

	if (is_class(v[0].class_) || !prefix_covers(&v[0].p, &r->p) || v[0].p.len > r->p.len)
		return with_region(a, v, n, depth, r, miss);
	v[0].class_ = edit_cell(a, v[0].class_, v[0].p.len, r);
	return trie_cell(a, v, v[0].class_ != miss, depth, miss);
}

/* ---- nodes ---- */

static void read_node(const struct arena *a, uint32_t cell, uint32_t cells[256])
{
	for (unsigned int number = 0, place = 0; place < 256; number++) {
		unsigned int from = place;
		uint32_t is = node_run(a->lines, &a->lines[cell & ~MXDP_NODE], number, &place);

		while (from < place)
			cells[from++] = is;
	}
}

static void fill(uint32_t *cells, const struct prefix *p, unsigned int depth, uint32_t cell)
{
	unsigned int place = p->addr[depth / 8];

	for (unsigned int i = place; i <= (place | 0xffu >> (p->len - depth)); i++)
		cells[i] = cell;
}

/* The region is some places of the node, whole. */
static void fill_places(struct arena *a, uint32_t cells[256], unsigned int depth, const struct class_region *r)
{
	fill(cells, &r->p, depth, r->class_);
	for (size_t i = 0, many; i < r->n; i += many) {
		unsigned int place = r->v[i].p.addr[depth / 8];

		many = 1;
		if (r->v[i].p.len <= depth + 8) {
			fill(cells, &r->v[i].p, depth, r->v[i].class_);
			continue;
		}
		while (i + many < r->n && r->v[i + many].p.addr[depth / 8] == place)
			many++;
		cells[place] = trie_cell(a, r->v + i, many, depth + 8, cells[place]);
	}
}

static uint32_t edit_node(struct arena *a, uint32_t cell, unsigned int depth, const struct class_region *r)
{
	unsigned int place = r->p.addr[depth / 8];
	uint32_t cells[256];

	read_node(a, cell, cells);
	if (r->p.len <= depth + 8)
		fill_places(a, cells, depth, r);
	else
		cells[place] = edit_cell(a, cells[place], depth + 8, r);
	return trie_node_of(a, cells);
}

/* The cell in place of `cell`, which lies `depth` bits down the way to the region. */
static uint32_t edit_cell(struct arena *a, uint32_t cell, unsigned int depth, const struct class_region *r)
{
	if (a->full)
		return 0;
	if (r->p.len == depth)
		return trie_cell(a, r->v, r->n, depth, r->class_);
	if (cell & MXDP_NODE)
		return edit_node(a, cell, depth, r);
	if (cell & MXDP_TAIL)
		return edit_tails(a, cell, depth, r);
	return with_region(a, NULL, 0, depth, r, cell);
}

/* ---- the direct table ---- */

struct changes {
	struct dir_change *v;
	size_t n, room;
};

static const uint32_t *dir_of(const struct mxdp_bank *b, const struct prefix *p)
{
	return p->family == 4 ? b->dir4 : b->dir6;
}

/* Regions do not overlap and come in order: what was changed already was changed by the one before. */
static bool change_cell(struct changes *c, const struct mxdp_bank *b, const struct prefix *p, unsigned int at, uint32_t is)
{
	uint32_t number = (p->family == 4 ? 0 : 65536) + at;

	if (c->n && c->v[c->n - 1].at == number) {
		c->v[c->n - 1].is = is;
		return true;
	}
	if (c->n == c->room)
		return false;
	c->v[c->n++] = (struct dir_change){ .at = number, .was = dir_of(b, p)[at], .is = is };
	return true;
}

static uint32_t cell_now(const struct changes *c, const struct mxdp_bank *b, const struct prefix *p)
{
	uint32_t number = (p->family == 4 ? 0 : 65536) + dir_index(p);

	return c->n && c->v[c->n - 1].at == number ? c->v[c->n - 1].is : dir_of(b, p)[dir_index(p)];
}

static bool edit_region(struct arena *a, struct changes *c, const struct mxdp_bank *b, const struct class_region *r)
{
	unsigned int from = dir_index(&r->p), to = from | (r->p.len < 16 ? 0xffffu >> r->p.len : 0);
	__cleanup_free uint32_t *dir = NULL;

	if (r->p.len >= 16)
		return change_cell(c, b, &r->p, from, edit_cell(a, cell_now(c, b, &r->p), 16, r));
	dir = xmalloc(65536 * sizeof(*dir));
	for (unsigned int i = from; i <= to; i++)
		dir[i] = r->class_;
	dir_fill(a, dir, r->v, r->n);
	for (unsigned int i = from; i <= to; i++)
		if (dir[i] != dir_of(b, &r->p)[i] && !change_cell(c, b, &r->p, i, dir[i]))
			return false;
	return true;
}

/* ---- classes ---- */

/* Does the row open a service that nobody could open? Then its ports are other than they were, which compiling says. */
static bool opens_ports(const struct mxdp_bank *b, const struct class_row *row)
{
	for (unsigned int port = 0; port < 65536; port++)
		if (b->port[port] & MXDP_PORT_CLOSED && row->policy[b->port[port] & MXDP_PORT_SERVICE] != MXDP_CELL_DENY)
			return true;
	return false;
}

/* The class of the bank that is treated so, made when there is none: whole before any cell names it. */
static int class_for(struct mxdp_bank *b, const struct class_row *row, uint32_t *number)
{
	uint32_t n = b->classes_used;

	for (uint32_t k = 0; k < n && k < MXDP_CLASSES; k++) {
		if (b->class_flags[k] != row->flags || memcmp(b->policy[k], row->policy, sizeof(row->policy)))
			continue;
		*number = k;
		return 0;
	}
	if (n >= MXDP_CLASSES || opens_ports(b, row))
		return -ENOSPC;
	memcpy(b->policy[n], row->policy, sizeof(row->policy));
	b->class_flags[n] = row->flags;
	__atomic_store_n(&b->classes_used, n + 1, __ATOMIC_RELEASE);
	if (row->flags & MXDP_CLASS_BLOCKED)
		__atomic_or_fetch(&b->flags, MXDP_BANK_BLOCKS, __ATOMIC_RELEASE);
	*number = n;
	return 0;
}

static int number_classes(struct mxdp_bank *b, struct image_edit *e)
{
	__cleanup_free uint32_t *number = xcalloc(e->nrows, sizeof(*number));
	int err = 0;

	for (size_t i = 0; i < e->nrows && !err; i++)
		err = class_for(b, &e->rows[i], &number[i]);
	for (size_t i = 0; i < e->nregions && !err; i++) {
		struct class_region *r = &e->regions[i];

		r->class_ = number[r->class_];
		for (size_t k = 0; k < r->n; k++)
			r->v[k].class_ = number[r->v[k].class_];
	}
	return err;
}

/* ---- the bits ---- */

/* A prefix that is so wide has more bits than are set in a few milliseconds. */
static bool too_wide_for_bits(const struct mxdp_bank *b, const struct image_edit *e)
{
	for (size_t i = 0; i < e->nregions; i++) {
		const struct prefix *p = &e->regions[i].p;

		if (p->family == 6 ? b->named6 && p->len < 16 : b->named4 && p->len < 8)
			return true;
	}
	return false;
}

/* Before any cell leads to what they stand for. What only the cell of a /16 said until now lies around the new lines. */
static void set_named(const struct class_bank *to, const struct image_edit *e, const struct dir_change *v, size_t n)
{
	for (size_t i = 0; i < n && to->bank->named4; i++)
		if (v[i].at < 65536)
			named_add4(to->lines, to->bank, v[i].at, v[i].is);
	for (size_t i = 0; i < e->nregions && to->bank->named6; i++)
		if (e->regions[i].p.family == 6)
			named_add6(to->lines, to->bank->named6, &e->regions[i].p);
	for (size_t i = 0; i < n && to->bank->named6; i++)
		if (v[i].at >= 65536 && v[i].was && is_class(v[i].was) && !is_class(v[i].is))
			named_add6_dir(to->lines, to->bank->named6, v[i].at - 65536);
}

int classtable_edit(const struct class_bank *to, struct image_edit *e, struct dir_change *v, size_t room, size_t *n)
{
	struct arena a = { .lines = to->lines, .used = to->bank->trie_used, .room = to->nlines, .chunk_lines = 1,
			   .fixed = true };
	struct changes c = { .v = v, .room = room };
	int err = too_wide_for_bits(to->bank, e) || named_crowded4(to->bank) ? -ENOSPC : number_classes(to->bank, e);

	for (size_t i = 0; i < e->nregions && !err; i++)
		if (!edit_region(&a, &c, to->bank, &e->regions[i]) || a.full)
			err = -ENOSPC;
	if (err)
		return err;
	__atomic_store_n(&to->bank->trie_used, a.used, __ATOMIC_RELEASE);
	set_named(to, e, v, c.n);
	*n = c.n;
	return 0;
}

void image_edit_free(struct image_edit *e)
{
	for (size_t i = 0; i < e->nregions; i++)
		free(e->regions[i].v);
	free(e->regions);
	free(e->rows);
	*e = (struct image_edit){ 0 };
}
