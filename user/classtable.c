// SPDX-License-Identifier: GPL-2.0-only
/*
 * The class table: source address to class, as the trie of abi.h.
 *
 * Nodes are made bottom up. A node that equals one already made is that one:
 * single hosts scattered over the internet need a few hundred lines between
 * them, not one each, and the hot part of a large list stays in the cache.
 * Where few prefixes lie far below, tails of a few cells stand for them.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "classtable.h"
#include "token.h"

/* ---- lines ---- */

static uint32_t take_lines(struct arena *a, uint32_t n)
{
	if (a->used + n > a->room && !a->fixed) {
		a->room = 2 * a->room + n < 1024 ? 1024 : 2 * a->room + n;
		a->lines = xrealloc(a->lines, (size_t)a->room * sizeof(*a->lines));
	}
	if (a->full || a->used + n > a->room || a->used + n > MAX_TRIE_LINES) {
		a->full = true;
		return 0;
	}
	memset(a->lines + a->used, 0, n * sizeof(*a->lines));
	a->used += n;
	return a->used - n;
}

/* Room for n cells in a row. The piece with more left goes on being used. */
static uint32_t take_cells(struct arena *a, struct chunk *c, uint32_t n)
{
	uint32_t lines = (n + MXDP_LINE_CELLS - 1) / MXDP_LINE_CELLS, at;
	struct chunk fresh;

	if (c->end - c->at >= n) {
		c->at += n;
		return c->at - n;
	}
	if (lines < a->chunk_lines)
		lines = a->chunk_lines;
	at = take_lines(a, lines) * MXDP_LINE_CELLS;
	fresh = (struct chunk){ at + n, at + lines * MXDP_LINE_CELLS };
	if (fresh.end - fresh.at > c->end - c->at)
		*c = fresh;
	return at;
}

/* The same, all in one line: the fullest of those begun that has room. */
static uint32_t take_tail(struct arena *a, uint32_t n)
{
	uint32_t left = n, at = 0;

	while (left <= OPEN_LINES && !a->tails[left])
		left++;
	if (left <= OPEN_LINES) {
		at = a->tails[left];
		a->tails[left] = 0;
	} else {
		at = take_lines(a, 1) * MXDP_LINE_CELLS;
		left = MXDP_LINE_CELLS;
	}
	if (left > n)
		a->tails[left - n] = at + n;
	return at;
}

static uint32_t *cell_at(struct arena *a, uint32_t at)
{
	return &a->lines[at / MXDP_LINE_CELLS].cell[at % MXDP_LINE_CELLS];
}

/* ---- nodes ---- */

/* The 256 places of a node from left to right: what covers the present place, and the runs so far. */
struct sweep {
	struct {
		unsigned int end;
		uint32_t cell;
	} open[10]; /* the inherited cell, one prefix of each of eight lengths, a node below */
	unsigned int depth;
	unsigned int n;
	uint8_t start[256];
	uint32_t cell[256];
};

static void sweep_emit(struct sweep *s, unsigned int place, uint32_t cell)
{
	if (place > 255)
		return;
	if (s->n && s->start[s->n - 1] == place)
		s->n--;
	if (s->n && s->cell[s->n - 1] == cell)
		return;
	s->start[s->n] = place;
	s->cell[s->n++] = cell;
}

static void sweep_open(struct sweep *s, unsigned int place, unsigned int end, uint32_t cell)
{
	s->open[s->depth].end = end;
	s->open[s->depth++].cell = cell;
	sweep_emit(s, place, cell);
}

/* Whatever ends before `place` gives way to what it lay upon. */
static void sweep_close(struct sweep *s, unsigned int place)
{
	while (s->depth > 1 && s->open[s->depth - 1].end < place) {
		unsigned int next = s->open[--s->depth].end + 1;

		sweep_emit(s, next, s->open[s->depth - 1].cell);
	}
}

static void set_places(union mxdp_line *line, const struct sweep *s)
{
	unsigned int before = 0;

	for (unsigned int i = 0; i < s->n; i++)
		line->node.bits[s->start[i] / 64] |= 1ULL << (s->start[i] % 64);
	for (unsigned int w = 0; w < 4; w++) {
		line->node.rank[w] = before;
		before += __builtin_popcountll(line->node.bits[w]);
	}
}

static unsigned int count_runs(const union mxdp_line *line)
{
	return line->node.rank[3] + __builtin_popcountll(line->node.bits[3]);
}

static bool same_node(const union mxdp_line *a, const union mxdp_line *b)
{
	return !memcmp(a->node.bits, b->node.bits, sizeof(a->node.bits)) &&
	       !memcmp(a->node.runs, b->node.runs, sizeof(a->node.runs));
}

static size_t hash_node(const union mxdp_line *line)
{
	uint64_t h = 0;

	for (int i = 0; i < 4; i++)
		h = (h ^ line->node.bits[i] ^ h >> 29) * 0x9e3779b97f4a7c15ULL;
	for (int i = 0; i < 6; i += 2) {
		uint64_t two = (uint64_t)line->node.runs[i] << 32 | line->node.runs[i + 1];

		h = (h ^ two ^ h >> 29) * 0xd6e8feb86659fd93ULL;
	}
	return h ^ h >> 32;
}

/*
 * Is it likely that the same node is made again? Above the last two levels hardly any are, and remembering them is what
 * would take the time; no tail is made twice.
 */
static bool may_recur(const struct arena *a, const union mxdp_line *node)
{
	for (unsigned int i = 0; i < NODE_RUNS; i++) {
		uint32_t cell = node->node.runs[i];
		const union mxdp_line *below;

		if (is_class(cell))
			continue;
		if (cell & MXDP_TAIL)
			return false;
		below = &a->lines[cell & ~MXDP_NODE];
		if (count_runs(below) > NODE_RUNS)
			return false;
		for (unsigned int k = 0; k < NODE_RUNS; k++)
			if (!is_class(below->node.runs[k]))
				return false;
	}
	return true;
}

/* The place in `seen` of the node that equals this one, or where it should be put. */
static uint32_t *find_node(const struct arena *a, const union mxdp_line *node)
{
	size_t at = hash_node(node) & (a->seen_size - 1);

	while (a->seen[at] && !same_node(&a->lines[a->seen[at] - 1], node))
		at = (at + 1) & (a->seen_size - 1);
	return &a->seen[at];
}

static void grow_seen(struct arena *a)
{
	struct arena old = *a;

	a->seen_size *= 2;
	a->seen = xcalloc(a->seen_size, sizeof(*a->seen));
	for (size_t i = 0; i < old.seen_size; i++)
		if (old.seen[i])
			*find_node(a, &a->lines[old.seen[i] - 1]) = old.seen[i];
	free(old.seen);
}

static uint32_t put_node(struct arena *a, const union mxdp_line *node)
{
	uint32_t line = take_lines(a, 1);

	if (a->full)
		return 0;
	a->lines[line] = *node;
	if (count_runs(node) <= NODE_RUNS)
		a->lines[line].node.base = line * MXDP_LINE_CELLS + MXDP_NODE_INLINE;
	return line | MXDP_NODE;
}

static uint32_t add_inline_node(struct arena *a, union mxdp_line *node, const struct sweep *s)
{
	uint32_t *slot, cell;

	memcpy(node->node.runs, s->cell, s->n * sizeof(s->cell[0]));
	if (!a->seen || !may_recur(a, node))
		return put_node(a, node);
	if (a->nseen * 2 >= a->seen_size)
		grow_seen(a);
	slot = find_node(a, node);
	if (*slot)
		return (*slot - 1) | MXDP_NODE;
	cell = put_node(a, node);
	*slot = a->full ? 0 : (cell & ~MXDP_NODE) + 1;
	a->nseen++;
	return cell;
}

/* Says of the runs once more, in the node's own line, which of the three classes with the most places they have. */
static void add_codes(union mxdp_line *node, const struct sweep *s)
{
	unsigned int n = s->n < MXDP_NODE_CODES ? s->n : MXDP_NODE_CODES;
	uint16_t places[MXDP_CLASSES] = { 0 };

	for (unsigned int i = 0; i < n; i++)
		if (is_class(s->cell[i]))
			places[s->cell[i]] += (i + 1 < s->n ? s->start[i + 1] : 256) - s->start[i];
	node->node.base |= MXDP_NODE_CODED;
	memset(node->node.codes, 0xff, sizeof(node->node.codes));
	for (uint32_t code = 0; code < MXDP_CODE_FAR; code++) {
		uint32_t most = MXDP_CLASSES;

		for (unsigned int i = 0; i < n; i++)
			if (is_class(s->cell[i]) && places[s->cell[i]] > (most < MXDP_CLASSES ? places[most] : 0))
				most = s->cell[i];
		if (most == MXDP_CLASSES)
			return;
		node->node.classes |= most << 10 * code;
		for (unsigned int i = 0; i < n; i++)
			if (s->cell[i] == most)
				node->node.codes[i / 16] ^= (MXDP_CODE_FAR ^ code) << i % 16 * 2;
		places[most] = 0;
	}
}

static uint32_t add_node(struct arena *a, const struct sweep *s)
{
	union mxdp_line node = { 0 };

	set_places(&node, s);
	if (s->n <= NODE_RUNS)
		return add_inline_node(a, &node, s);
	node.node.base = take_cells(a, &a->runs, s->n);
	for (unsigned int i = 0; !a->full && i < s->n; i++)
		*cell_at(a, node.node.base + i) = s->cell[i];
	add_codes(&node, s);
	return put_node(a, &node);
}

uint32_t trie_node_of(struct arena *a, const uint32_t cells[256])
{
	struct sweep s;

	s.n = 0;
	for (unsigned int i = 0; i < 256; i++)
		sweep_emit(&s, i, cells[i]);
	return s.n == 1 ? s.cell[0] : add_node(a, &s);
}

uint32_t node_run(const union mxdp_line *lines, const union mxdp_line *node, unsigned int number, unsigned int *place)
{
	uint32_t cell = MXDP_NODE_BASE(node->node.base) + number;
	unsigned int next = *place + 1;

	while (next < 256 && !(node->node.bits[next / 64] >> next % 64)) /* none more in this word */
		next = (next / 64 + 1) * 64;
	if (next < 256)
		next += __builtin_ctzll(node->node.bits[next / 64] >> next % 64);
	*place = next;
	return lines[cell / MXDP_LINE_CELLS].cell[cell % MXDP_LINE_CELLS];
}

/* ---- tails ---- */

/* 32 address bits from `depth` on. */
static uint32_t bits_at(const struct prefix *p, unsigned int depth)
{
	uint64_t bits = 0;

	for (unsigned int i = depth / 8; i < depth / 8 + 5; i++)
		bits = bits << 8 | (i < sizeof(p->addr) ? p->addr[i] : 0);
	return bits >> (8 - depth % 8);
}

static unsigned int tail_cells(unsigned int length, bool on)
{
	return 1 + on + (length + 31) / 32;
}

/* One tail to p, put at cell `at`; returns the cell behind it. */
static uint32_t put_tail(struct arena *a, uint32_t at, const struct prefix *p, unsigned int depth, uint32_t match,
			 uint32_t miss, bool more)
{
	unsigned int length = p->len - depth;
	bool on = !is_class(match);

	if (a->full)
		return at;
	*cell_at(a, at++) = miss | (on ? MXDP_TAIL_ON : match << 10) | length << 20 | (more ? MXDP_TAIL_MORE : 0);
	if (on)
		*cell_at(a, at++) = match;
	for (unsigned int i = 0; i < length; i += 32)
		*cell_at(a, at++) = bits_at(p, depth + i);
	return at;
}

static unsigned int tails_cells(const struct class_prefix *v, size_t n, unsigned int depth)
{
	unsigned int cells = 0;

	for (size_t i = 0; i < n; i++)
		cells += tail_cells(v[i].p.len - depth, !is_class(v[i].class_));
	return cells;
}

/*
 * So few that they are tested one after the other; if that is not dearer than a node that others may share, or than one
 * tail for what they have in common.
 */
static bool fit_tails(const struct arena *a, const struct class_prefix *v, size_t n, unsigned int depth, unsigned int below)
{
	if (n > MXDP_TAILS || tails_cells(v, n, depth) > MXDP_LINE_CELLS)
		return false;
	if (n == 1 && !is_class(v[0].class_))
		return v[0].p.len <= depth + MXDP_TAIL_FAR;
	if (n == 1)
		return v[0].p.len > depth + 8 || (!a->seen && v[0].p.family == 6);
	if (v[0].p.family == 4)
		return false;
	for (size_t i = 0; i < n; i++)
		if (!is_class(v[i].class_))
			return false;
	return below < depth + 8 || v[0].p.len <= below ||
	       tails_cells(v, n, depth) < tails_cells(v, n, below) + tail_cells(below - depth, true);
}

static uint32_t add_tails(struct arena *a, const struct class_prefix *v, size_t n, unsigned int depth, uint32_t inherited)
{
	const struct class_prefix *by_length[MXDP_TAILS];
	uint32_t first, at;

	/* the most specific first: prefixes come before those inside them */
	for (size_t i = 0; i < n; i++) {
		size_t k = i;

		for (; k && by_length[k - 1]->p.len < v[i].p.len; k--)
			by_length[k] = by_length[k - 1];
		by_length[k] = &v[i];
	}
	first = at = take_tail(a, tails_cells(v, n, depth));
	for (size_t i = 0; i < n; i++)
		at = put_tail(a, at, &by_length[i]->p, depth, by_length[i]->class_, inherited, i + 1 < n);
	return first | MXDP_TAIL;
}

/* How many bits all of v share: v is sorted, and what is shorter than the rest comes first. */
static unsigned int shared_bits(const struct class_prefix *v, size_t n)
{
	const uint8_t *x = v[0].p.addr, *y = v[n - 1].p.addr;
	unsigned int i = 0, bits;

	while (i < sizeof(v->p.addr) && x[i] == y[i])
		i++;
	bits = i == sizeof(v->p.addr) ? 8 * i : 8 * i + __builtin_clz(x[i] ^ y[i]) - 24;
	return bits < v[0].p.len ? bits : v[0].p.len;
}

/* All of v lie in one place `below` bits down, and that is far. */
static uint32_t add_path(struct arena *a, const struct class_prefix *v, size_t n, unsigned int depth, unsigned int below,
			 uint32_t inherited)
{
	struct class_prefix to = { .p = v[0].p };

	to.p.len = below;
	if (v[0].p.len == below)
		to.class_ = n == 1 ? v[0].class_ : trie_cell(a, v + 1, n - 1, below, v[0].class_);
	else
		to.class_ = trie_cell(a, v, n, below, inherited);
	return to.class_ == inherited ? inherited : add_tails(a, &to, 1, depth, inherited);
}

/* ---- the whole ---- */

/* How many of v, from the first on, lie in the place of the first, `depth` bits down. */
static size_t same_place(const struct class_prefix *v, size_t n, unsigned int depth)
{
	size_t i = 1;

	while (i < n && v[i].p.addr[depth / 8] == v[0].p.addr[depth / 8])
		i++;
	return i;
}

static uint32_t add_places(struct arena *a, const struct class_prefix *v, size_t n, unsigned int depth, uint32_t inherited)
{
	struct sweep s;

	s.n = s.depth = 0;
	sweep_open(&s, 0, 255, inherited);
	for (size_t i = 0, many; i < n; i += many) {
		unsigned int place = v[i].p.addr[depth / 8];

		sweep_close(&s, place);
		if (v[i].p.len <= depth + 8) {
			many = 1;
			sweep_open(&s, place, place | 0xffu >> (v[i].p.len - depth), v[i].class_);
		} else {
			many = same_place(v + i, n - i, depth);
			sweep_open(&s, place, place, trie_cell(a, v + i, many, depth + 8, s.open[s.depth - 1].cell));
		}
	}
	sweep_close(&s, 256);
	return s.n == 1 ? s.cell[0] : add_node(a, &s);
}

uint32_t trie_cell(struct arena *a, const struct class_prefix *v, size_t n, unsigned int depth, uint32_t inherited)
{
	unsigned int below;

	if (!n)
		return inherited;
	below = shared_bits(v, n) & ~7u;
	if (fit_tails(a, v, n, depth, below))
		return add_tails(a, v, n, depth, inherited);
	if (below > depth + MXDP_TAIL_FAR)
		below = depth + MXDP_TAIL_FAR;
	if (below >= depth + 8 && v[0].p.family == 6 && (n > 1 || below > depth + 8))
		return add_path(a, v, n, depth, below, inherited);
	return add_places(a, v, n, depth, inherited);
}

void dir_fill(struct arena *a, uint32_t *dir, const struct class_prefix *v, size_t n)
{
	for (size_t i = 0, many; i < n; i += many) {
		unsigned int at = dir_index(&v[i].p);

		many = 1;
		if (v[i].p.len <= 16) {
			for (unsigned int k = at; k <= (at | 0xffffu >> v[i].p.len); k++)
				dir[k] = v[i].class_;
			continue;
		}
		while (i + many < n && dir_index(&v[i + many].p) == at)
			many++;
		dir[at] = trie_cell(a, v + i, many, 16, dir[at]);
	}
}

/* ---- bits before the nodes ---- */

#define NAMED4_LEAST_SHIFT 8u /* a bit of its own for each /24: 2 MiB */
#define NAMED4_MOST_SHIFT 20u /* eight lines */
#define NAMED4_BITS 8u        /* for each /24 that has another class than 0, where so many can be */

/* Returns how many of the bits were clear. */
static uint32_t set_bits(union mxdp_line *lines, uint32_t first, uint32_t bit, uint32_t bits)
{
	uint32_t *cell = &lines[first + MXDP_NAMED_LINE(bit)].cell[MXDP_NAMED_CELL(bit)], new = bits & ~*cell;

	*cell |= new;
	return __builtin_popcount(new);
}

static uint32_t named_places(union mxdp_line *lines, struct mxdp_bank *b, unsigned int at, unsigned int from, unsigned int end)
{
	for (unsigned int place = from; b && place < end; place++) {
		uint32_t a = at << 16 | place << 8, bit = MXDP_NAMED4(b, a);

		b->named4_set += set_bits(lines, b->named4, bit, MXDP_NAMED4_BITS(bit, a));
	}
	return end - from;
}

uint32_t named_add4(union mxdp_line *lines, struct mxdp_bank *b, unsigned int at, uint32_t cell)
{
	uint32_t n = 0;

	if (cell & MXDP_TAIL) {
		const uint32_t *tail = &lines[(cell & ~MXDP_TAIL) / MXDP_LINE_CELLS].cell[cell % MXDP_LINE_CELLS];
		bool one = !MXDP_TAIL_MISS(tail[0]) && MXDP_TAIL_LENGTH(tail[0]) >= 8;

		return named_places(lines, b, at, one ? tail[1] >> 24 : 0, one ? (tail[1] >> 24) + 1 : 256);
	}
	if (!(cell & MXDP_NODE))
		return named_places(lines, b, at, 0, cell ? 256 : 0);
	for (unsigned int number = 0, place = 0; place < 256; number++) {
		unsigned int from = place;

		if (node_run(lines, &lines[cell & ~MXDP_NODE], number, &place))
			n += named_places(lines, b, at, from, place);
	}
	return n;
}

bool named_crowded4(const struct mxdp_bank *b)
{
	return b->named4 && b->named4_shift > NAMED4_LEAST_SHIFT && b->named4_set > 1u << (32 - b->named4_shift - 1);
}

static uint32_t many_tops(const struct prefix *p)
{
	return p->len < 32 ? 1u << (32 - p->len) : 1;
}

void named_add6(union mxdp_line *lines, uint32_t named6, const struct prefix *p)
{
	uint32_t top = load_be64(p->addr) >> 32;

	for (uint32_t i = 0; i < many_tops(p); i++)
		set_bits(lines, named6, MXDP_NAMED6(top + i), MXDP_NAMED6_BITS(MXDP_NAMED6(top + i)));
}

void named_add6_dir(union mxdp_line *lines, uint32_t named6, unsigned int at)
{
	named_add6(lines, named6, &(struct prefix){ .family = 6, .len = 16, .addr = { at >> 8, at } });
}

/* Not where every sixth bit would be set, or more. */
static void add_named4(struct arena *a, struct mxdp_bank *b)
{
	uint32_t shift = NAMED4_MOST_SHIFT, first;
	uint64_t n = 0;

	for (unsigned int i = 0; i < 65536; i++)
		n += named_add4(a->lines, NULL, i, b->dir4[i]);
	while (shift > NAMED4_LEAST_SHIFT && n * NAMED4_BITS > 1u << (32 - shift))
		shift--;
	if (!n || n * 6 > 1u << (32 - shift))
		return;
	if (!a->used)
		take_lines(a, 1); /* line 0 would be no line */
	first = take_lines(a, MXDP_NAMED4_LINES(shift));
	if (a->full)
		return;
	b->named4 = first;
	b->named4_shift = shift;
	b->named4_factor = shift == NAMED4_LEAST_SHIFT ? 1 : MXDP_NAMED_FACTOR;
	for (unsigned int i = 0; i < 65536; i++)
		named_add4(a->lines, b, i, b->dir4[i]);
}

/* Which /16s, where the trie is asked, have another class than 0 around all that it names. Returns how many. */
static size_t around6(const struct mxdp_bank *b, const struct class_prefix *v, size_t n, bool around[65536])
{
	size_t many = 0;

	for (size_t i = 0; i < n; i++) {
		unsigned int at = dir_index(&v[i].p);

		if (v[i].p.len > 16)
			continue;
		for (unsigned int k = at; k <= (at | 0xffffu >> v[i].p.len); k++)
			around[k] = v[i].class_ != 0 && !is_class(b->dir6[k]);
	}
	for (unsigned int i = 0; i < 65536; i++)
		many += around[i];
	return many;
}

/* From so many prefixes on; and not where every sixth bit would be set, or more. */
#define NAMED6_FROM 16384u
#define NAMED6_MOST ((uint64_t)MXDP_NAMED6_LINES * 512 / 6)

static void add_named6(struct arena *a, struct mxdp_bank *b, const struct class_prefix *v, size_t n)
{
	__cleanup_free bool *around = NULL;
	uint64_t bits;
	uint32_t first;

	if (n < NAMED6_FROM)
		return;
	around = xcalloc(65536, sizeof(*around));
	bits = (uint64_t)around6(b, v, n, around) << 16;
	for (size_t i = 0; i < n; i++)
		bits += v[i].p.len > 16 ? many_tops(&v[i].p) : 0;
	if (bits > NAMED6_MOST)
		return;
	first = take_lines(a, MXDP_NAMED6_LINES);
	if (a->full)
		return;
	for (size_t i = 0; i < n; i++)
		if (v[i].p.len > 16)
			named_add6(a->lines, first, &v[i].p);
	for (unsigned int i = 0; i < 65536; i++)
		if (around[i])
			named_add6_dir(a->lines, first, i);
	b->named6 = first;
}

#define BUILD_CHUNK 64u

int classtable_build(struct image *img, const struct class_prefix *v, size_t n, struct diag *d)
{
	struct arena a = { .chunk_lines = BUILD_CHUNK, .seen_size = 4096 };
	size_t n4 = 0;

	a.seen = xcalloc(a.seen_size, sizeof(*a.seen));
	while (n4 < n && v[n4].p.family == 4)
		n4++;
	memset(img->bank->dir4, 0, sizeof(img->bank->dir4));
	memset(img->bank->dir6, 0, sizeof(img->bank->dir6));
	img->bank->named4 = img->bank->named6 = 0;
	img->bank->named4_factor = img->bank->named4_shift = img->bank->named4_set = 0;
	dir_fill(&a, img->bank->dir4, v, n4);
	dir_fill(&a, img->bank->dir6, v + n4, n - n4);
	add_named4(&a, img->bank);
	add_named6(&a, img->bank, v + n4, n - n4);
	free(a.seen);
	if (a.full) {
		diag_error(d, "the lists need a class table of more than %u lines; shorten the largest list", MAX_TRIE_LINES);
		free(a.lines);
		return -E2BIG;
	}
	img->nlines = a.used;
	img->lines = xrealloc(a.lines, img->nlines * sizeof(*img->lines));
	img->nprefixes = n;
	return 0;
}

void image_place_bank(const struct image *img, uint32_t first, uint32_t epoch, struct mxdp_bank *to)
{
	*to = *img->bank;
	to->epoch = epoch;
	to->trie_first = first;
	to->trie_used = img->nlines;
	to->classes_used = img->nclasses;
}

/* ---- looking up, as in bpf/policy.h ---- */

static uint32_t step_node(const union mxdp_line *lines, uint32_t cell, uint8_t place)
{
	const union mxdp_line *line = &lines[cell & ~MXDP_NODE];
	unsigned int word = place / 64;
	uint32_t run = line->node.rank[word] + __builtin_popcountll(line->node.bits[word] << (63 - place % 64)) - 1;

	if (line->node.base & MXDP_NODE_CODED && run < MXDP_NODE_CODES) {
		uint32_t code = line->node.codes[run / 16] >> run % 16 * 2 & 3;

		if (code != MXDP_CODE_FAR)
			return line->node.classes >> 10 * code & (MXDP_CLASSES - 1);
	}
	run += MXDP_NODE_BASE(line->node.base);
	return lines[run / MXDP_LINE_CELLS].cell[run % MXDP_LINE_CELLS];
}

/* Moves `depth` on when the way goes on below. */
static uint32_t step_tail(const union mxdp_line *lines, uint32_t cell, const struct prefix *host, unsigned int *depth)
{
	uint32_t at = cell & ~MXDP_TAIL, head = lines[at / MXDP_LINE_CELLS].cell[at % MXDP_LINE_CELLS];
	const uint32_t *words = &lines[at / MXDP_LINE_CELLS].cell[at % MXDP_LINE_CELLS + 1];
	unsigned int length = MXDP_TAIL_LENGTH(head), on = !!(head & MXDP_TAIL_ON);

	for (unsigned int i = 0; i < length; i += 32) {
		unsigned int beyond = i + 32 > length ? i + 32 - length : 0;

		if ((words[on + i / 32] ^ bits_at(host, *depth + i)) >> beyond)
			return head & MXDP_TAIL_MORE ? cell + tail_cells(length, on) : MXDP_TAIL_MISS(head);
	}
	*depth += on ? length : 0;
	return on ? words[0] : MXDP_TAIL_MATCH(head);
}

unsigned int image_class(const struct image *img, const struct prefix *host)
{
	uint32_t cell = (host->family == 4 ? img->bank->dir4 : img->bank->dir6)[dir_index(host)];
	unsigned int depth = 16;

	for (unsigned int n = 0; n < MXDP_TRIE_STEPS && !is_class(cell); n++) {
		if (cell & MXDP_NODE) {
			cell = step_node(img->lines, cell, host->addr[depth / 8]);
			depth += 8;
		} else {
			cell = step_tail(img->lines, cell, host, &depth);
		}
	}
	return cell & (MXDP_CLASSES - 1);
}
