// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rules to image: ports to services, sources to classes, and the table of the two.
 *
 * What a sentence does to a service, what all sentences together say of a source so far, and the finished row of a
 * class are all one byte a service and some flags: struct vec. Equal ones are kept once and go by number. A source's
 * state follows from its parent's state and the effect of the sentences that name this very prefix; there are few of
 * either, so a million prefixes cost a million look-ups in a small table.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "image.h"

#define OTHER "other"
#define MAX_NAMED (MXDP_SERVICES - 1)

/* "FILE:LINE:COLUMN: ", or nothing for a sentence of the moment. Malloc'd. */
static char *place_of(const struct stmt *s)
{
	if (!s || !s->at.file)
		return xstrdup("");
	return xasprintf("%s:%u:%u: ", s->at.file, s->at.line, s->at.column);
}

/* ---- ports to services ---- */

/*
 * The borders of all ranges part the ports into pieces; pieces that the same sentences name are one group, and what is
 * left of a group without the ports that some sentence names singly is a service. There are at most 255 groups with
 * nothing left, as there are at most 255 single ports, so more groups than this are too many services for certain.
 */
#define MAX_GROUPS (2 * MXDP_SERVICES)

struct group {
	size_t pieces;
	bool named;
	bool narrow; /* named by more than `any` */
	uint8_t service;
};

struct ports {
	bool single[65536];
	uint16_t singles[MAX_NAMED];
	unsigned int nsingles;
	uint32_t piece_of[65536];
	uint32_t npieces;
	uint32_t *first;    /* port of each piece */
	uint16_t *group_of; /* of each piece */
	uint32_t *seen;     /* of each piece: the last pass over it */
	uint32_t pass;
	struct group group[MAX_GROUPS];
	unsigned int ngroups;
	uint8_t service[65536];
};

struct wanted {
	char key[MAX_NAMED][sizeof(((struct service *)0)->key)];
	uint8_t *number[MAX_NAMED]; /* where the answer goes; NULL for a single port */
	uint16_t port[MAX_NAMED];   /* which single port */
	unsigned int n;
};

static bool names_ports(const struct stmt *s)
{
	return s->kind == STMT_ADMIN || s->kind == STMT_ALLOW || s->kind == STMT_DENY;
}

static int too_many_services(const struct stmt *s, struct diag *d)
{
	__cleanup_free char *place = place_of(s);

	diag_error(d,
		   "%sthe rules name more than %u ports and ranges apart; "
		   "write neighbouring ports as one range, as in 8000-8099",
		   place, MAX_NAMED);
	return -E2BIG;
}

static int mark_singles(struct ports *p, const struct rules *r, struct diag *d)
{
	for (const struct stmt *s = r->v; s < r->v + r->n; s++) {
		for (size_t i = 0; names_ports(s) && i < s->nports; i++) {
			uint16_t port = s->ports[i].lo;

			if (port != s->ports[i].hi || p->single[port])
				continue;
			if (p->nsingles == MAX_NAMED)
				return too_many_services(s, d);
			p->single[port] = true;
			p->singles[p->nsingles++] = port;
		}
	}
	return 0;
}

static void cut_pieces(struct ports *p, const struct rules *r)
{
	__cleanup_free bool *border = xcalloc(65537, sizeof(*border));

	for (const struct stmt *s = r->v; s < r->v + r->n; s++) {
		for (size_t i = 0; names_ports(s) && i < s->nports; i++) {
			if (s->ports[i].lo == s->ports[i].hi)
				continue;
			border[s->ports[i].lo] = true;
			border[s->ports[i].hi + 1] = true;
		}
	}
	p->first = xcalloc(65537, sizeof(*p->first));
	for (uint32_t port = 0; port < 65536; port++) {
		if (port == 0 || border[port])
			p->first[p->npieces++] = port;
		p->piece_of[port] = p->npieces - 1;
	}
	p->first[p->npieces] = 65536;
	p->group_of = xcalloc(p->npieces, sizeof(*p->group_of));
	p->seen = xcalloc(p->npieces, sizeof(*p->seen));
	p->group[0].pieces = p->npieces;
	p->ngroups = 1;
}

/* Every piece k that a range of s covers, once. */
#define for_each_piece(p, s, i, k) \
	for (size_t i = ((p)->pass++, 0); i < (s)->nports; i++) \
		for (uint32_t k = (p)->piece_of[(s)->ports[i].lo]; \
		     (s)->ports[i].lo != (s)->ports[i].hi && k <= (p)->piece_of[(s)->ports[i].hi]; k++) \
			if ((p)->seen[k] != (p)->pass && ((p)->seen[k] = (p)->pass))

static bool has_range(const struct stmt *s, bool *all)
{
	bool has = false;

	*all = false;
	for (size_t i = 0; names_ports(s) && i < s->nports; i++) {
		has |= s->ports[i].lo != s->ports[i].hi;
		*all |= s->ports[i].lo == 1 && s->ports[i].hi == 65535;
	}
	return has;
}

/* Parts every group that s names only a piece of. False: too many. */
static bool part_groups(struct ports *p, const struct stmt *s, bool all)
{
	size_t hit[MAX_GROUPS] = { 0 };
	uint16_t to[MAX_GROUPS];
	unsigned int before = p->ngroups;

	for_each_piece(p, s, i, k)
		hit[p->group_of[k]]++;
	for (unsigned int g = 0; g < before; g++) {
		to[g] = g;
		if (!hit[g])
			continue;
		if (hit[g] < p->group[g].pieces) {
			if (p->ngroups == MAX_GROUPS)
				return false;
			to[g] = p->ngroups++;
			p->group[to[g]] = p->group[g];
			p->group[to[g]].pieces = hit[g];
			p->group[g].pieces -= hit[g];
		}
		p->group[to[g]].named = true;
		p->group[to[g]].narrow |= !all;
	}
	for_each_piece(p, s, i, k)
		p->group_of[k] = to[p->group_of[k]];
	return true;
}

/*
 * The ranges of a group, as long as the key has room. Single ports named inside a range do not change its name, nor do
 * ranges inside `any`: so naming a port more does not give the rest a new number. No two groups share their first port,
 * so keys cut short differ all the same.
 */
static void group_key(const struct ports *p, unsigned int g, char *key, size_t room)
{
	size_t len = 0;

	if (!p->group[g].narrow) {
		snprintf(key, room, "any");
		return;
	}
	for (uint32_t k = 0, end; k < p->npieces; k = end) {
		char range[16];
		size_t more;

		for (end = k + 1; p->group_of[k] == g && end < p->npieces && p->group_of[end] == g; end++)
			;
		if (p->group_of[k] != g)
			continue;
		if (p->first[end] - 1 == p->first[k])
			more = snprintf(range, sizeof(range), "%u", p->first[k]);
		else
			more = snprintf(range, sizeof(range), "%u-%u", p->first[k], p->first[end] - 1);
		if (len + 1 + more + sizeof(",...") > room) {
			memcpy(key + len, ",...", sizeof(",..."));
			return;
		}
		len += snprintf(key + len, room - len, "%s%s", len ? "," : "", range);
	}
}

static bool want(struct wanted *w, uint8_t *number, uint16_t port)
{
	if (w->n == MAX_NAMED)
		return false;
	w->number[w->n] = number;
	w->port[w->n++] = port;
	return true;
}

/* Every service the rules need: single ports, then groups with a port left, both ascending. */
static bool want_all(struct ports *p, struct wanted *w)
{
	bool left[MAX_GROUPS] = { false };

	for (uint32_t port = 1; port < 65536; port++) {
		unsigned int g = p->group_of[p->piece_of[port]];

		if (!p->single[port]) {
			left[g] = true;
			continue;
		}
		if (!want(w, NULL, port))
			return false;
		snprintf(w->key[w->n - 1], sizeof(w->key[0]), "%u", port);
	}
	for (uint32_t k = 0; k < p->npieces; k++) {
		unsigned int g = p->group_of[k];

		if (!p->group[g].named || !left[g])
			continue;
		left[g] = false;
		if (!want(w, &p->group[g].service, 0))
			return false;
		group_key(p, g, w->key[w->n - 1], sizeof(w->key[0]));
	}
	return true;
}

static unsigned int find_service(const struct service *v, const char *key)
{
	for (unsigned int i = 1; i < MXDP_SERVICES; i++)
		if (!strcmp(v[i].key, key))
			return i;
	return 0;
}

/* A free number, or the lowest one that no rule names any more. There is one: fewer are wanted than there are. */
static unsigned int new_number(struct image *img)
{
	unsigned int i = find_service(img->services, "");

	if (i)
		return i;
	for (i = 1; img->services[i].named; i++)
		;
	img->recycled[i] = true;
	return i;
}

static void number_services(struct image *img, struct ports *p, const struct wanted *w, const struct service *before)
{
	unsigned int number[MAX_NAMED];

	for (unsigned int i = 1; before && i < MXDP_SERVICES; i++) {
		size_t room = sizeof(before[i].key);

		snprintf(img->services[i].key, room, "%.*s", (int)room - 1, before[i].key);
	}
	strcpy(img->services[0].key, OTHER);
	for (unsigned int i = 0; i < w->n; i++) {
		number[i] = find_service(img->services, w->key[i]);
		if (number[i])
			img->services[number[i]].named = true;
	}
	for (unsigned int i = 0; i < w->n; i++) {
		if (!number[i]) {
			number[i] = new_number(img);
			memcpy(img->services[number[i]].key, w->key[i], sizeof(w->key[i]));
			img->services[number[i]].named = true;
		}
		if (w->number[i])
			*w->number[i] = number[i];
		else
			p->service[w->port[i]] = number[i];
	}
}

static int make_services(struct image *img, struct ports *p, const struct rules *r, const struct service *before,
			 struct diag *d)
{
	__cleanup_free struct wanted *w = xcalloc(1, sizeof(*w));
	const struct stmt *latest = NULL;
	int err = mark_singles(p, r, d);
	bool all;

	if (err)
		return err;
	cut_pieces(p, r);
	for (const struct stmt *s = r->v; s < r->v + r->n; s++) {
		if (!has_range(s, &all))
			continue;
		latest = s;
		if (!part_groups(p, s, all))
			return too_many_services(s, d);
	}
	if (!want_all(p, w))
		return too_many_services(latest, d);
	number_services(img, p, w, before);
	for (uint32_t port = 1; port < 65536; port++)
		if (!p->single[port])
			p->service[port] = p->group[p->group_of[p->piece_of[port]]].service;
	return 0;
}

/* on[] |= say for every service that s names. */
static void mark_services(struct ports *p, const struct stmt *s, uint8_t say, uint8_t on[MXDP_SERVICES])
{
	for_each_piece(p, s, i, k) {
		const struct group *g = &p->group[p->group_of[k]];

		if (g->service)
			on[g->service] |= say;
	}
	for (size_t i = 0; i < s->nports; i++) {
		if (s->ports[i].lo == s->ports[i].hi) {
			on[p->service[s->ports[i].lo]] |= say;
			continue;
		}
		for (unsigned int n = 0; n < p->nsingles; n++)
			if (p->singles[n] >= s->ports[i].lo && p->singles[n] <= s->ports[i].hi)
				on[p->service[p->singles[n]]] |= say;
	}
}

static void free_ports(struct ports **pp)
{
	free((*pp)->first);
	free((*pp)->group_of);
	free((*pp)->seen);
	free(*pp);
}

/* ---- vectors, kept once ---- */

struct vec {
	uint8_t on[MXDP_SERVICES];
	uint8_t limit[MXDP_SERVICES]; /* of what is allowed: its number, or 0 */
	uint64_t flags; /* MXDP_CLASS_* */
};

/* Of an effect: what the sentences that name a prefix, or a list, say of a service */
#define SAY_ALLOW     0x1u
#define SAY_DENY      0x2u /* with a written source */
#define SAY_DENY_LIST 0x4u
#define SAY_ADMIN     0x8u

/* Of a state: what the most specific of them said, to a common source and to an exempt one */
#define IS_ALLOWED       0x01u
#define IS_DENIED        0x02u
#define EXEMPT_ALLOWED   0x04u
#define EXEMPT_DENIED    0x08u
#define IS_ADMIN         0x10u

struct pool {
	struct vec *v;
	uint32_t n, room;
	uint32_t *slot; /* numbers + 1, hashed */
	uint32_t size;
};

static uint32_t hash_vec(const struct vec *v)
{
	uint64_t h = v->flags, word;

	for (size_t i = 0; i < offsetof(struct vec, flags); i += sizeof(word)) {
		memcpy(&word, (const char *)v + i, sizeof(word));
		h = (h ^ word ^ h >> 29) * 0x9e3779b97f4a7c15ULL;
	}
	return h >> 32;
}

static bool same_vec(const struct vec *a, const struct vec *b)
{
	return !memcmp(a, b, sizeof(*a));
}

static void pool_grow(struct pool *p)
{
	p->size = p->size ? p->size * 2 : 64;
	free(p->slot);
	p->slot = xcalloc(p->size, sizeof(*p->slot));
	for (uint32_t i = 0; i < p->n; i++) {
		uint32_t at = hash_vec(&p->v[i]) & (p->size - 1);

		while (p->slot[at])
			at = (at + 1) & (p->size - 1);
		p->slot[at] = i + 1;
	}
}

/* The number of v; numbers go up from 0. */
static uint32_t intern(struct pool *p, const struct vec *v)
{
	uint32_t at;

	if (p->n * 2 >= p->size)
		pool_grow(p);
	at = hash_vec(v) & (p->size - 1);
	while (p->slot[at] && !same_vec(&p->v[p->slot[at] - 1], v))
		at = (at + 1) & (p->size - 1);
	if (p->slot[at])
		return p->slot[at] - 1;
	if (p->n == p->room) {
		p->room = p->room ? p->room * 2 : 16;
		p->v = xrealloc(p->v, p->room * sizeof(*p->v));
	}
	p->v[p->n] = *v;
	p->slot[at] = ++p->n;
	return p->n - 1;
}

/* What two numbers make together. */
struct memo {
	struct {
		uint64_t pair; /* + 1; 0 is empty */
		uint32_t result;
	} *slot;
	uint32_t n, size;
};

static uint32_t hash_pair(uint64_t pair)
{
	return pair * 0x9e3779b97f4a7c15ULL >> 32;
}

static uint32_t memo_place(const struct memo *m, uint64_t pair)
{
	uint32_t at = hash_pair(pair) & (m->size - 1);

	while (m->slot[at].pair && m->slot[at].pair != pair)
		at = (at + 1) & (m->size - 1);
	return at;
}

static uint64_t pair_of(uint32_t a, uint32_t b)
{
	return ((uint64_t)a << 32 | b) + 1;
}

static bool recall(const struct memo *m, uint32_t a, uint32_t b, uint32_t *result)
{
	uint32_t at;

	if (!m->size)
		return false;
	at = memo_place(m, pair_of(a, b));
	*result = m->slot[at].result;
	return m->slot[at].pair;
}

static void remember(struct memo *m, uint32_t a, uint32_t b, uint32_t result)
{
	struct memo old = *m;
	uint32_t at;

	if (m->n * 2 >= m->size) {
		m->size = m->size ? m->size * 2 : 256;
		m->slot = xcalloc(m->size, sizeof(*m->slot));
		for (uint32_t i = 0; i < old.size; i++)
			if (old.slot[i].pair)
				m->slot[memo_place(m, old.slot[i].pair)] = old.slot[i];
		free(old.slot);
	}
	at = memo_place(m, pair_of(a, b));
	m->slot[at].pair = pair_of(a, b);
	m->slot[at].result = result;
	m->n++;
}

/* ---- sources to classes ---- */

struct item {
	uint64_t hi, lo; /* host order; IPv4 in the upper half of hi */
	uint32_t effect;
	uint8_t family, len;
};

struct compiler {
	const struct rules *rules;
	struct image *img;
	struct ports *ports;
	const struct stmt *limits[MXDP_LIMITS];
	unsigned int nlimits;
	uint8_t base[MXDP_SERVICES]; /* cell where no sentence speaks: enum mxdp_cell */
	struct pool effects, states, classes;
	struct memo joined, stepped;
	uint32_t *class_of; /* of each state */
	uint32_t nclass_of;
	uint32_t everyone;  /* effect of the sentences with source any */
	uint32_t *of_list;  /* effect of each list */
	struct item *items;
	size_t nitems, items_room;
	size_t *runs;       /* where each sorted run of items begins */
	size_t nruns;
};

static void free_compiler(struct compiler *c)
{
	free(c->effects.v);
	free(c->effects.slot);
	free(c->states.v);
	free(c->states.slot);
	free(c->classes.v);
	free(c->classes.slot);
	free(c->joined.slot);
	free(c->stepped.slot);
	free(c->class_of);
	free(c->of_list);
	free(c->items);
	free(c->runs);
}

/* Numbers go by strictness, and 0 is no limit. */
static uint8_t stricter(uint8_t a, uint8_t b)
{
	return a && (!b || a < b) ? a : b;
}

static uint32_t join(struct compiler *c, uint32_t a, uint32_t b)
{
	uint32_t both;
	struct vec v;

	if (a == b)
		return a;
	if (recall(&c->joined, a, b, &both))
		return both;
	v = c->effects.v[a];
	for (unsigned int s = 0; s < MXDP_SERVICES; s++) {
		v.on[s] |= c->effects.v[b].on[s];
		v.limit[s] = stricter(v.limit[s], c->effects.v[b].limit[s]);
	}
	v.flags |= c->effects.v[b].flags;
	both = intern(&c->effects, &v);
	remember(&c->joined, a, b, both);
	return both;
}

static uint8_t number_of(const struct compiler *c, const struct stmt *s)
{
	unsigned int i = 1;

	while (!stmt_same(c->limits[i], s))
		i++;
	return i;
}

/* The effect of one sentence on its sources; `listed` when the source is a list. */
static uint32_t effect_of(struct compiler *c, const struct stmt *s, bool listed)
{
	struct vec v = { 0 };
	uint8_t say = 0;

	if (s->kind == STMT_BLOCK)
		v.flags = MXDP_CLASS_BLOCKED;
	else if (s->kind == STMT_EXEMPT)
		v.flags = MXDP_CLASS_EXEMPT;
	else if (s->kind == STMT_ADMIN)
		say = SAY_ADMIN;
	else if (s->kind == STMT_ALLOW)
		say = SAY_ALLOW;
	else
		say = listed ? SAY_DENY_LIST : SAY_DENY;
	if (say)
		mark_services(c->ports, s, say, v.on);
	if (s->kind == STMT_ALLOW && limits_any(&s->limits))
		mark_services(c->ports, s, number_of(c, s), v.limit);
	return intern(&c->effects, &v);
}

static uint64_t bytes_be(const uint8_t *at, unsigned int n)
{
	uint64_t x = 0;

	for (unsigned int i = 0; i < n; i++)
		x = x << 8 | at[i];
	return x << (64 - 8 * n);
}

static void add_item(struct compiler *c, const struct prefix *p, uint32_t effect)
{
	if (c->nitems == c->items_room) {
		c->items_room = c->items_room ? c->items_room * 2 : 256;
		c->items = xrealloc(c->items, c->items_room * sizeof(*c->items));
	}
	c->items[c->nitems++] = (struct item){
		.hi = bytes_be(p->addr, p->family == 4 ? 4 : 8),
		.lo = p->family == 4 ? 0 : bytes_be(p->addr + 8, 8),
		.family = p->family,
		.len = p->len,
		.effect = effect,
	};
}

static int item_cmp(const void *pa, const void *pb)
{
	const struct item *a = pa, *b = pb;

	if (a->family != b->family)
		return a->family < b->family ? -1 : 1;
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (int)a->len - b->len;
}

static int add_source(struct compiler *c, const struct stmt *s, const struct source *src, uint32_t written,
		      uint32_t listed, struct diag *d)
{
	const struct list *l;

	if (src->kind == SOURCE_ANY) {
		c->everyone = join(c, c->everyone, written);
		return 0;
	}
	if (src->kind == SOURCE_PREFIX) {
		add_item(c, &src->prefix, written);
		return 0;
	}
	l = rules_list(c->rules, src->list);
	if (!l) {
		__cleanup_free char *place = place_of(s);

		diag_error(d, "%sunknown list \"@%s\"", place, src->list);
		return -EINVAL;
	}
	c->of_list[l - c->rules->lists] = join(c, c->of_list[l - c->rules->lists], listed);
	return 0;
}

/* What every sentence does, and to whom. Effect 0 is none. */
static int read_sentences(struct compiler *c, struct diag *d)
{
	int err = 0;

	c->of_list = xcalloc(c->rules->nlists, sizeof(*c->of_list));
	c->everyone = intern(&c->effects, &(struct vec){ 0 });
	for (const struct stmt *s = c->rules->v; s < c->rules->v + c->rules->n && !err; s++) {
		uint32_t written, listed;

		if (!names_ports(s) && s->kind != STMT_EXEMPT && s->kind != STMT_BLOCK)
			continue;
		written = effect_of(c, s, false);
		listed = s->kind == STMT_DENY ? effect_of(c, s, true) : written;
		if (!s->nsources)
			c->everyone = join(c, c->everyone, written);
		for (size_t i = 0; i < s->nsources && !err; i++)
			err = add_source(c, s, &s->sources[i], written, listed, d);
	}
	return err;
}

static void end_run(struct compiler *c, size_t from)
{
	if (c->nitems == from)
		return;
	for (size_t i = from + 1; i < c->nitems; i++) {
		if (item_cmp(&c->items[i - 1], &c->items[i]) > 0) {
			qsort(c->items + from, c->nitems - from, sizeof(*c->items), item_cmp);
			break;
		}
	}
	c->runs[c->nruns++] = from;
}

static void merge(const struct item *a, size_t na, const struct item *b, size_t nb, struct item *to)
{
	while (na && nb) {
		if (item_cmp(b, a) < 0) {
			*to++ = *b++;
			nb--;
		} else {
			*to++ = *a++;
			na--;
		}
	}
	memcpy(to, a, na * sizeof(*a));
	memcpy(to + na, b, nb * sizeof(*b));
}

/* Written sources and every list are runs of their own; two and two are merged until one is left. */
static void merge_runs(struct compiler *c)
{
	struct item *spare = c->nruns > 1 ? xmalloc(c->nitems * sizeof(*spare)) : NULL;

	while (c->nruns > 1) {
		struct item *merged = spare;
		size_t left = 0;

		for (size_t i = 0; i < c->nruns; i += 2) {
			size_t at = c->runs[i];
			size_t mid = i + 1 < c->nruns ? c->runs[i + 1] : c->nitems;
			size_t end = i + 2 < c->nruns ? c->runs[i + 2] : c->nitems;

			merge(c->items + at, mid - at, c->items + mid, end - mid, merged + at);
			c->runs[left++] = at;
		}
		c->nruns = left;
		spare = c->items;
		c->items = merged;
	}
	free(spare);
}

static void gather(struct compiler *c)
{
	size_t total = c->nitems;

	for (size_t l = 0; l < c->rules->nlists; l++)
		total += c->of_list[l] ? c->rules->lists[l].n : 0;
	c->items_room = total;
	c->items = xrealloc(c->items, total * sizeof(*c->items));
	c->runs = xcalloc(c->rules->nlists + 1, sizeof(*c->runs));
	end_run(c, 0);
	for (size_t l = 0; l < c->rules->nlists; l++) {
		const struct list *list = &c->rules->lists[l];
		size_t from = c->nitems;

		for (size_t i = 0; c->of_list[l] && i < list->n; i++)
			add_item(c, &list->v[i], c->of_list[l]);
		end_run(c, from);
	}
	merge_runs(c);
}

/* The row of policy that a state comes to. */
static uint32_t class_of_state(struct compiler *c, const struct vec *state)
{
	bool exempt = state->flags & MXDP_CLASS_EXEMPT;
	uint8_t allowed = exempt ? EXEMPT_ALLOWED : IS_ALLOWED;
	uint8_t denied = exempt ? EXEMPT_DENIED : IS_DENIED;
	struct vec row = { .flags = exempt ? MXDP_CLASS_EXEMPT : state->flags };

	for (unsigned int s = 0; s < MXDP_SERVICES; s++) {
		if (state->on[s] & IS_ADMIN)
			row.on[s] = MXDP_CELL_ADMIN;
		else if (state->on[s] & denied)
			row.on[s] = MXDP_CELL_DENY;
		else if (state->on[s] & allowed)
			row.on[s] = MXDP_CELL_ALLOW | (exempt ? 0 : state->limit[s] << MXDP_CELL_LIMIT_SHIFT);
		else
			row.on[s] = c->base[s];
	}
	return intern(&c->classes, &row);
}

/* What is said of a more specific source hides what was said of a wider one, except `admin`, `block` and `exempt`. */
static uint8_t hide(uint8_t was, uint8_t say)
{
	if (say & (SAY_DENY | SAY_DENY_LIST))
		was = (was & ~IS_ALLOWED) | IS_DENIED;
	else if (say & SAY_ALLOW)
		was = (was & ~IS_DENIED) | IS_ALLOWED;
	if (say & SAY_DENY)
		was = (was & ~EXEMPT_ALLOWED) | EXEMPT_DENIED;
	else if (say & SAY_ALLOW)
		was = (was & ~EXEMPT_DENIED) | EXEMPT_ALLOWED;
	return say & SAY_ADMIN ? was | IS_ADMIN : was;
}

/* The state of a source inside one with state `from`, when sentences with this effect name it. */
static uint32_t step(struct compiler *c, uint32_t from, uint32_t effect)
{
	const struct vec *e = &c->effects.v[effect];
	uint32_t to;
	struct vec v;

	if (recall(&c->stepped, from, effect, &to))
		return to;
	v = c->states.v[from];
	v.flags |= e->flags;
	for (unsigned int s = 0; s < MXDP_SERVICES; s++) {
		v.on[s] = hide(v.on[s], e->on[s]);
		if (e->on[s] & (SAY_ALLOW | SAY_DENY | SAY_DENY_LIST))
			v.limit[s] = v.on[s] & IS_ALLOWED ? e->limit[s] : 0;
	}
	to = intern(&c->states, &v);
	if (to >= c->nclass_of) {
		c->nclass_of = c->states.room;
		c->class_of = xrealloc(c->class_of, c->nclass_of * sizeof(*c->class_of));
	}
	c->class_of[to] = class_of_state(c, &v);
	remember(&c->stepped, from, effect, to);
	return to;
}

static bool covers(const struct item *wide, const struct item *it)
{
	if (wide->family != it->family || wide->len > it->len)
		return false;
	if (wide->len <= 64)
		return !wide->len || !((wide->hi ^ it->hi) >> (64 - wide->len));
	return wide->hi == it->hi && !((wide->lo ^ it->lo) >> (128 - wide->len));
}

static struct prefix prefix_of(const struct item *it)
{
	struct prefix p = { .family = it->family, .len = it->len };
	unsigned int n = it->family == 4 ? 4 : 8;

	for (unsigned int i = 0; i < n; i++)
		p.addr[i] = it->hi >> (56 - 8 * i);
	for (unsigned int i = 8; i < 2 * n; i++)
		p.addr[i] = it->lo >> (120 - 8 * i);
	return p;
}

static int too_many_classes(const struct item *it, struct diag *d)
{
	struct prefix p = prefix_of(it);
	char text[PREFIX_TEXT];

	diag_error(d,
		   "the rules treat sources in more than %u different ways (one too many at %s); "
		   "let sources that need not differ share their sentences",
		   MXDP_CLASSES, prefix_text(&p, text));
	return -E2BIG;
}

/* The way down from "everyone" to the present prefix. */
struct ancestors {
	struct {
		const struct item *it;
		uint32_t state;
	} v[130]; /* everyone, and each length of an IPv6 prefix */
	unsigned int n;
};

/* Goes over all prefixes, parents first; those that are treated like their parent are left out. */
static int classify(struct compiler *c, struct class_prefix *out, size_t *nout, struct diag *d)
{
	struct ancestors up = { .n = 1 };

	up.v[0].state = step(c, intern(&c->states, &(struct vec){ 0 }), c->everyone);
	for (size_t i = 0, next; i < c->nitems; i = next) {
		const struct item *it = &c->items[i];
		uint32_t effect = it->effect, parent, state;

		for (next = i + 1; next < c->nitems && !item_cmp(it, &c->items[next]); next++)
			effect = join(c, effect, c->items[next].effect);
		while (up.n > 1 && !covers(up.v[up.n - 1].it, it))
			up.n--;
		parent = up.v[up.n - 1].state;
		state = step(c, parent, effect);
		if (c->classes.n > MXDP_CLASSES)
			return too_many_classes(it, d);
		up.v[up.n].it = it;
		up.v[up.n++].state = state;
		if (c->class_of[state] != c->class_of[parent])
			out[(*nout)++] = (struct class_prefix){ .p = prefix_of(it), .class_ = c->class_of[state] };
	}
	return 0;
}

/* ---- limits ---- */

static int by_strictness(const void *a, const void *b)
{
	return limit_cmp(*(const struct stmt *const *)a, *(const struct stmt *const *)b);
}

static int too_many_limits(const struct stmt *s, struct diag *d)
{
	__cleanup_free char *place = place_of(s);

	diag_error(d,
		   "%sthe rules hold more than %u limits; ports that may share one stand in one sentence, as in: "
		   "allow submission, imaps limit 30/min",
		   place, MXDP_LIMITS - 1);
	return -E2BIG;
}

int image_limits(const struct rules *r, const struct stmt *v[MXDP_LIMITS], unsigned int *n, struct diag *d)
{
	*n = 0;
	for (const struct stmt *s = r->v; s < r->v + r->n; s++) {
		bool known = false;

		if (s->kind != STMT_ALLOW || !limits_any(&s->limits))
			continue;
		for (unsigned int i = 1; i <= *n && !known; i++)
			known = stmt_same(v[i], s);
		if (known)
			continue;
		if (*n == MXDP_LIMITS - 1)
			return too_many_limits(s, d);
		v[++*n] = s;
	}
	if (*n)
		qsort(v + 1, *n, sizeof(*v), by_strictness);
	return 0;
}

/* Jiffies to the second, as the clock that goes with them says. */
static uint64_t ticks_per_second(void)
{
	struct timespec res;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &res) || res.tv_nsec <= 0)
		return 250;
	return (1000000000ULL + res.tv_nsec / 2) / res.tv_nsec;
}

/* Steps between two of a rate, of which there are so many to the second; to the nearest. */
static uint64_t spacing_of(const struct rate *r, uint64_t steps)
{
	return r->n ? (r->seconds * steps + r->n / 2) / r->n : 0;
}

static struct mxdp_limit limit_of(const struct stmt *s)
{
	uint64_t steps = ticks_per_second() * MXDP_LIMIT_STEPS, global = ticks_per_second() * MXDP_GLOBAL_STEPS;
	const struct limits *l = &s->limits;
	struct mxdp_limit m = {
		.spacing = spacing_of(&l->source, steps), .global_spacing = spacing_of(&l->global, global),
		.connections = l->connections, .len4 = l->len4 ?: LIMIT_LEN4, .len6 = l->len6 ?: LIMIT_LEN6,
		.over = l->over, .ban_seconds = l->ban, .id = limit_id(s),
	};

	/* in spacings as they were rounded, or the last of a burst could be early by one step of each */
	m.slack = m.spacing * (l->source.n ? l->source.burst - 1 : 0);
	m.global_slack = m.global_spacing * (l->global.n ? l->global.burst - 1 : 0);
	return m;
}

static void set_limits(struct compiler *c)
{
	struct mxdp_bank *b = c->img->bank;

	for (unsigned int i = 1; i <= c->nlimits; i++) {
		struct mxdp_limit *m = &b->limit[i];

		*m = limit_of(c->limits[i]);
		if (m->slack + m->spacing + MXDP_GATE_LATE > b->ahead)
			b->ahead = m->slack + m->spacing + MXDP_GATE_LATE;
		if (m->connections)
			b->flags |= MXDP_BANK_CONNECTIONS | MXDP_BANK_HEARS;
		if (m->over == MXDP_OVER_BAN)
			b->flags |= MXDP_BANK_HEARS;
	}
}

/* What the sentences of a service say of cookies: always before auto before never; auto, when none says anything. */
static void set_cookies(struct compiler *c, uint16_t bits[MXDP_SERVICES])
{
	static const uint16_t bit[] = { [COOKIES_AUTO] = MXDP_PORT_COOKIES_AUTO, [COOKIES_ALWAYS] = MXDP_PORT_COOKIES_ALWAYS };
	uint8_t said[MXDP_SERVICES] = { 0 };

	for (const struct stmt *s = c->rules->v; s < c->rules->v + c->rules->n; s++)
		if (s->kind == STMT_ALLOW)
			mark_services(c->ports, s, 1u << s->limits.cookies, said);
	for (unsigned int s = 0; s < MXDP_SERVICES; s++)
		bits[s] = said[s] & 1u << COOKIES_ALWAYS ? bit[COOKIES_ALWAYS] :
			  said[s] & 1u << COOKIES_AUTO ? bit[COOKIES_AUTO] :
			  said[s] && !(said[s] & 1u << COOKIES_NEVER) ? bit[COOKIES_AUTO] : 0;
}

/* ---- the whole ---- */

static void set_defaults(struct compiler *c, bool *allow)
{
	uint8_t governed[MXDP_SERVICES] = { 0 };

	*allow = false;
	for (const struct stmt *s = c->rules->v; s < c->rules->v + c->rules->n; s++) {
		if (s->kind == STMT_DEFAULT)
			*allow = !s->deny;
		if (s->kind == STMT_OBSERVE)
			c->img->bank->flags |= MXDP_BANK_OBSERVE;
		if (s->kind == STMT_ALLOW || s->kind == STMT_ADMIN)
			mark_services(c->ports, s, 1, governed);
	}
	for (unsigned int s = 0; s < MXDP_SERVICES; s++)
		c->base[s] = *allow && !governed[s] ? MXDP_CELL_DEFAULT_ALLOW : MXDP_CELL_DENY;
}

static void fill_bank(struct compiler *c, bool default_allow)
{
	struct mxdp_bank *b = c->img->bank;
	bool open[MXDP_SERVICES] = { false };
	uint16_t cookies[MXDP_SERVICES];

	c->img->nclasses = c->classes.n;
	for (unsigned int k = 0; k < c->classes.n; k++) {
		const struct vec *row = &c->classes.v[k];

		memcpy(b->policy[k], row->on, sizeof(b->policy[k]));
		b->class_flags[k] = row->flags;
		if (row->flags & MXDP_CLASS_BLOCKED)
			b->flags |= MXDP_BANK_BLOCKS;
		for (unsigned int s = 0; s < MXDP_SERVICES; s++)
			open[s] |= row->on[s] != MXDP_CELL_DENY;
	}
	set_limits(c);
	set_cookies(c, cookies);
	for (unsigned int port = 0; port < 65536; port++) {
		uint8_t s = c->ports->service[port];

		b->port[port] = s | (open[s] ? cookies[s] : MXDP_PORT_CLOSED) | (default_allow && !s ? MXDP_PORT_FREE : 0);
		if (!s && !open[s] && !(b->flags & MXDP_BANK_OBSERVE))
			b->port[port] |= MXDP_PORT_KNOCK;
	}
}

static int make_classes(struct compiler *c, struct diag *d)
{
	__cleanup_free struct class_prefix *v = NULL;
	bool default_allow;
	size_t n = 0;
	int err = image_limits(c->rules, c->limits, &c->nlimits, d) ?: read_sentences(c, d);

	if (err)
		return err;
	set_defaults(c, &default_allow);
	gather(c);
	v = xmalloc(c->nitems * sizeof(*v));
	err = classify(c, v, &n, d);
	if (err)
		return err;
	fill_bank(c, default_allow);
	return classtable_build(c->img, v, n, d);
}

static void pack_lists(struct image *img, const struct rules *r)
{
	img->nlists = r->nlists;
	img->packs = xcalloc(r->nlists, sizeof(*img->packs));
	for (size_t i = 0; i < r->nlists; i++) {
		const struct list *l = &r->lists[i];
		struct image_pack *p = &img->packs[img->npacks];

		if (l->n < LIST_PACKED)
			continue;
		p->len = listpack_size(l->v, l->n);
		p->p = xmalloc(p->len);
		listpack_write(p->p, l->v, l->n);
		img->npacks++;
	}
}

int image_compile(struct image *img, const struct rules *r, const struct service before[MXDP_SERVICES], struct diag *d)
{
	__cleanup(free_ports) struct ports *ports = xcalloc(1, sizeof(*ports));
	__cleanup(free_compiler) struct compiler c = { .rules = r, .img = img, .ports = ports };
	int err;

	*img = (struct image){ .bank = xcalloc(1, sizeof(*img->bank)) };
	err = make_services(img, ports, r, before, d);
	if (!err)
		err = make_classes(&c, d);
	if (err) {
		image_free(img);
		return err;
	}
	img->frozen = rules_freeze_kept(r, &img->nfrozen);
	img->said = rules_said(r, &img->nsaid);
	pack_lists(img, r);
	return 0;
}

void image_free(struct image *img)
{
	free(img->bank);
	free(img->lines);
	free(img->frozen);
	free(img->said);
	for (size_t i = 0; i < img->npacks; i++)
		free(img->packs[i].p);
	free(img->packs);
	*img = (struct image){ 0 };
}

/* ---- a few prefixes anew ---- */

/* Beyond so many prefixes in the neighbourhood of one, compiling the whole is no dearer. */
#define EDIT_MOST 20000u

struct editor {
	struct compiler c;
	struct item *written; /* sources that sentences name themselves */
	size_t nwritten;
	struct class_prefix *v; /* room for what classify() says */
};

static void free_editor(struct editor *e)
{
	free(e->written);
	free(e->v);
	free_compiler(&e->c);
}

static struct item item_of(const struct prefix *p)
{
	return (struct item){
		.hi = bytes_be(p->addr, p->family == 4 ? 4 : 8), .lo = p->family == 4 ? 0 : bytes_be(p->addr + 8, 8),
		.family = p->family, .len = p->len,
	};
}

/* All that covers p or lies inside it becomes the compiler's items. */
static int gather_around(struct editor *e, const struct prefix *p)
{
	struct compiler *c = &e->c;
	struct item self = item_of(p);
	__cleanup_free struct prefix *v = NULL;
	size_t n;

	c->nitems = 0;
	for (size_t i = 0; i < e->nwritten; i++) {
		struct prefix q = prefix_of(&e->written[i]);

		if (covers(&e->written[i], &self) || covers(&self, &e->written[i]))
			add_item(c, &q, e->written[i].effect);
	}
	for (size_t l = 0; l < c->rules->nlists; l++) {
		n = 0;
		if (c->of_list[l] && !list_around(&c->rules->lists[l], p, EDIT_MOST, &v, &n))
			return -E2BIG;
		for (size_t i = 0; i < n; i++)
			add_item(c, &v[i], c->of_list[l]);
	}
	if (c->nitems)
		qsort(c->items, c->nitems, sizeof(*c->items), item_cmp);
	return c->nitems > EDIT_MOST ? -E2BIG : 0;
}

static int compile_region(struct editor *e, const struct prefix *p, struct class_region *r)
{
	struct diag quiet = { 0 };
	size_t n = 0, inside = 0;
	int err = gather_around(e, p);

	*r = (struct class_region){ .p = *p };
	if (err)
		return err;
	e->v = xrealloc(e->v, (e->c.nitems + 1) * sizeof(*e->v));
	err = classify(&e->c, e->v, &n, &quiet);
	diag_free(&quiet);
	if (err)
		return err;
	/* parents first: the last that covers p says what p is; without one it is class 0, everybody's */
	while (inside < n && prefix_covers(&e->v[inside].p, p))
		r->class_ = e->v[inside++].class_;
	r->n = n - inside;
	r->v = xmalloc(r->n * sizeof(*r->v));
	memcpy(r->v, e->v + inside, r->n * sizeof(*r->v));
	return 0;
}

/* None inside another, in order; the wider ones go for all. */
static size_t widest(struct prefix *v, size_t n)
{
	size_t left = 0;

	qsort(v, n, sizeof(*v), prefix_cmp);
	for (size_t i = 0; i < n; i++)
		if (!left || !prefix_covers(&v[left - 1], &v[i]))
			v[left++] = v[i];
	return left;
}

static void take_rows(struct image_edit *e, const struct pool *classes)
{
	e->nrows = classes->n;
	e->rows = xcalloc(e->nrows, sizeof(*e->rows));
	for (size_t k = 0; k < e->nrows; k++) {
		e->rows[k].flags = classes->v[k].flags;
		memcpy(e->rows[k].policy, classes->v[k].on, sizeof(e->rows[k].policy));
	}
}

static int compile_edit(struct editor *ed, struct image_edit *e, const struct prefix *changed, size_t n, struct diag *d)
{
	__cleanup_free struct prefix *wide = xmalloc(n * sizeof(*wide));
	struct compiler *c = &ed->c;
	bool default_allow;
	int err = image_limits(c->rules, c->limits, &c->nlimits, d) ?: read_sentences(c, d);

	if (err)
		return err;
	set_defaults(c, &default_allow);
	ed->written = c->items;
	ed->nwritten = c->nitems;
	c->items = NULL;
	c->nitems = c->items_room = 0;
	memcpy(wide, changed, n * sizeof(*wide));
	n = widest(wide, n);
	e->regions = xcalloc(n, sizeof(*e->regions));
	while (!err && e->nregions < n) {
		err = compile_region(ed, &wide[e->nregions], &e->regions[e->nregions]);
		e->nregions++;
	}
	take_rows(e, &c->classes);
	return err;
}

int image_compile_edit(struct image_edit *e, const struct rules *r, const struct service before[MXDP_SERVICES],
		       const struct prefix *changed, size_t n, struct diag *d)
{
	__cleanup(free_ports) struct ports *ports = xcalloc(1, sizeof(*ports));
	struct image img = { .bank = xcalloc(1, sizeof(*img.bank)) };
	__cleanup(free_editor) struct editor ed = { .c = { .rules = r, .img = &img, .ports = ports } };
	int err = make_services(&img, ports, r, before, d);

	*e = (struct image_edit){ 0 };
	for (unsigned int i = 0; !err && i < MXDP_SERVICES; i++)
		if (strcmp(img.services[i].key, before[i].key))
			err = -ESTALE;
	if (!err)
		err = compile_edit(&ed, e, changed, n, d);
	image_free(&img);
	return err;
}
