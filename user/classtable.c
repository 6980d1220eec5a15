// SPDX-License-Identifier: GPL-2.0-only
/*
 * The class table: source address to class, as the trie of abi.h. The only
 * file on this side that knows how its lines are laid out.
 *
 * Nodes are made bottom up. A node that equals one already made is that one:
 * single hosts scattered over the internet need a few hundred lines between
 * them, not one each, and the hot part of a large list stays in the cache.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "image.h"

#define INLINE_RUNS 6u
#define MAX_LINES (1u << 27) /* 8 GiB; cell numbers of a line beyond 2^28 do not fit into node.base */

/* Only nodes are made as lines; run arrays go behind the last one in the end. Until then base counts in `cells`. */
struct builder {
	union mxdp_line *lines;
	size_t nlines, lines_room;
	uint32_t *cells;
	size_t ncells, cells_room;
	uint32_t *seen; /* line numbers + 1 of nodes that may recur, hashed */
	size_t nseen, seen_size;
};

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
 * would take the time.
 */
static bool may_recur(const struct builder *b, const union mxdp_line *node)
{
	for (unsigned int i = 0; i < INLINE_RUNS; i++) {
		uint32_t cell = node->node.runs[i];
		const union mxdp_line *below;

		if (!(cell & MXDP_NODE))
			continue;
		below = &b->lines[cell & ~MXDP_NODE];
		if (count_runs(below) > INLINE_RUNS)
			return false;
		for (unsigned int k = 0; k < INLINE_RUNS; k++)
			if (below->node.runs[k] & MXDP_NODE)
				return false;
	}
	return true;
}

static void grow_seen(struct builder *b)
{
	size_t size = b->seen_size ? b->seen_size * 2 : 4096;

	free(b->seen);
	b->seen = xcalloc(size, sizeof(*b->seen));
	b->seen_size = size;
	for (size_t line = 0; line < b->nlines; line++) {
		size_t at = hash_node(&b->lines[line]) & (size - 1);

		if (count_runs(&b->lines[line]) > INLINE_RUNS || !may_recur(b, &b->lines[line]))
			continue;
		while (b->seen[at])
			at = (at + 1) & (size - 1);
		b->seen[at] = line + 1;
	}
}

/* The place in `seen` of the node that equals this one, or where it should be put. */
static uint32_t *find_node(const struct builder *b, const union mxdp_line *node)
{
	size_t at = hash_node(node) & (b->seen_size - 1);

	while (b->seen[at] && !same_node(&b->lines[b->seen[at] - 1], node))
		at = (at + 1) & (b->seen_size - 1);
	return &b->seen[at];
}

static uint32_t add_line(struct builder *b, const union mxdp_line *node)
{
	if (b->nlines == b->lines_room) {
		b->lines_room = b->lines_room ? b->lines_room * 2 : 1024;
		b->lines = xrealloc(b->lines, b->lines_room * sizeof(*b->lines));
	}
	b->lines[b->nlines] = *node;
	return b->nlines++;
}

static uint32_t add_inline_node(struct builder *b, union mxdp_line *node, const struct sweep *s)
{
	uint32_t *slot;

	memcpy(node->node.runs, s->cell, s->n * sizeof(s->cell[0]));
	if (!may_recur(b, node))
		return add_line(b, node) | MXDP_NODE;
	if (b->nseen * 2 >= b->seen_size)
		grow_seen(b);
	slot = find_node(b, node);
	if (!*slot) {
		*slot = add_line(b, node) + 1;
		b->nseen++;
	}
	return (*slot - 1) | MXDP_NODE;
}

static uint32_t add_node(struct builder *b, const struct sweep *s)
{
	union mxdp_line node = { 0 };

	set_places(&node, s);
	if (s->n <= INLINE_RUNS)
		return add_inline_node(b, &node, s);
	while (b->ncells + s->n > b->cells_room) {
		b->cells_room = b->cells_room ? b->cells_room * 2 : 4096;
		b->cells = xrealloc(b->cells, b->cells_room * sizeof(*b->cells));
	}
	memcpy(b->cells + b->ncells, s->cell, s->n * sizeof(s->cell[0]));
	node.node.base = b->ncells;
	b->ncells += s->n;
	return add_line(b, &node) | MXDP_NODE;
}

/* How many of v, from the first on, lie in the place of the first, `depth` bits down. */
static size_t same_place(const struct class_prefix *v, size_t n, unsigned int depth)
{
	size_t i = 1;

	while (i < n && v[i].p.addr[depth / 8] == v[0].p.addr[depth / 8])
		i++;
	return i;
}

/* The cell for the place `depth` bits down that holds all of v, each longer than `depth`. */
static uint32_t build_cell(struct builder *b, const struct class_prefix *v, size_t n, unsigned int depth,
			   uint32_t inherited)
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
			sweep_open(&s, place, place, build_cell(b, v + i, many, depth + 8, s.open[s.depth - 1].cell));
		}
	}
	sweep_close(&s, 256);
	return s.n == 1 ? s.cell[0] : add_node(b, &s);
}

static unsigned int dir_index(const struct prefix *p)
{
	return p->addr[0] << 8 | p->addr[1];
}

/* v: all of one family. */
static void build_dir(struct builder *b, uint32_t *dir, const struct class_prefix *v, size_t n)
{
	memset(dir, 0, 65536 * sizeof(*dir));
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
		dir[at] = build_cell(b, v + i, many, 16, dir[at]);
	}
}

/* Run arrays go behind the nodes, one after the other; only now it is known where. */
static int settle(struct builder *b, struct image *img, struct diag *d)
{
	size_t nodes = b->nlines, cell_lines = (b->ncells + MXDP_LINE_CELLS - 1) / MXDP_LINE_CELLS;

	if (nodes + cell_lines > MAX_LINES) {
		diag_error(d, "the lists need a class table of %zu lines, more than %u; shorten the largest list",
			   nodes + cell_lines, MAX_LINES);
		free(b->lines);
		return -E2BIG;
	}
	img->nlines = nodes + cell_lines;
	img->lines = xrealloc(b->lines, img->nlines * sizeof(*img->lines));
	img->is_node = xcalloc(img->nlines, 1);
	memset(img->is_node, 1, nodes);
	memset(img->lines + nodes, 0, cell_lines * sizeof(*img->lines));
	if (b->ncells)
		memcpy(img->lines + nodes, b->cells, b->ncells * sizeof(*b->cells));
	for (size_t i = 0; i < nodes; i++) {
		if (count_runs(&img->lines[i]) <= INLINE_RUNS)
			img->lines[i].node.base = i * MXDP_LINE_CELLS + MXDP_NODE_INLINE;
		else
			img->lines[i].node.base += nodes * MXDP_LINE_CELLS;
	}
	return 0;
}

int classtable_build(struct image *img, const struct class_prefix *v, size_t n, struct diag *d)
{
	struct builder b = { 0 };
	size_t n4 = 0;
	int err;

	while (n4 < n && v[n4].p.family == 4)
		n4++;
	build_dir(&b, img->bank->dir4, v, n4);
	build_dir(&b, img->bank->dir6, v + n4, n - n4);
	err = settle(&b, img, d);
	free(b.cells);
	free(b.seen);
	if (!err)
		img->nprefixes = n;
	return err;
}

static uint32_t place_cell(uint32_t cell, uint32_t first)
{
	return cell & MXDP_NODE ? cell + first : cell;
}

void image_place_lines(const struct image *img, uint32_t first, union mxdp_line *to)
{
	for (size_t i = 0; i < img->nlines; i++) {
		to[i] = img->lines[i];
		if (img->is_node[i]) {
			to[i].node.base += first * MXDP_LINE_CELLS;
			for (unsigned int k = 0; k < INLINE_RUNS; k++)
				to[i].node.runs[k] = place_cell(to[i].node.runs[k], first);
		} else {
			for (unsigned int k = 0; k < MXDP_LINE_CELLS; k++)
				to[i].cell[k] = place_cell(to[i].cell[k], first);
		}
	}
}

void image_place_bank(const struct image *img, uint32_t first, uint32_t epoch, struct mxdp_bank *to)
{
	*to = *img->bank;
	to->epoch = epoch;
	for (size_t i = 0; i < 65536; i++) {
		to->dir4[i] = place_cell(to->dir4[i], first);
		to->dir6[i] = place_cell(to->dir6[i], first);
	}
}

/* One step down, as in bpf/policy.h. */
static uint32_t step(const struct image *img, uint32_t cell, uint8_t place)
{
	const union mxdp_line *line = &img->lines[cell & ~MXDP_NODE];
	unsigned int word = place / 64;
	uint32_t run = line->node.base + line->node.rank[word] +
		       __builtin_popcountll(line->node.bits[word] << (63 - place % 64)) - 1;

	return img->lines[run / MXDP_LINE_CELLS].cell[run % MXDP_LINE_CELLS];
}

static unsigned int walk(const struct image *img, const uint32_t *dir, const uint8_t *addr, unsigned int len)
{
	uint32_t cell = dir[addr[0] << 8 | addr[1]];

	for (unsigned int i = 2; i < len && cell & MXDP_NODE; i++)
		cell = step(img, cell, addr[i]);
	return cell & (MXDP_CLASSES - 1);
}

unsigned int image_class(const struct image *img, const struct prefix *host)
{
	return host->family == 4 ? walk(img, img->bank->dir4, host->addr, 4) : walk(img, img->bank->dir6, host->addr, 16);
}
