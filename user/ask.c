// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>
#include "ask.h"
#include "token.h"

static uint8_t family_bits(int family)
{
	return family == 4 ? 32 : 128;
}

/* The address behind the last one of p; false when there is none. */
static bool behind(const struct prefix *p, struct prefix *next)
{
	int bytes = family_bits(p->family) / 8;

	*next = *p;
	next->len = family_bits(p->family);
	for (int bit = p->len; bit < bytes * 8; bit++)
		next->addr[bit / 8] |= (uint8_t)(0x80 >> (bit % 8));
	for (int i = bytes - 1; i >= 0; i--)
		if (++next->addr[i])
			return true;
	return false;
}

static struct prefix first_of(const struct prefix *p)
{
	struct prefix host = *p;

	host.len = family_bits(p->family);
	return host;
}

/* ---- sets of prefixes ---- */

struct bag {
	struct prefix *v;
	size_t n, room;
};

static void bag_add(struct bag *b, const struct prefix *p)
{
	if (b->n == b->room) {
		b->room = b->room ? b->room * 2 : 64;
		b->v = xrealloc(b->v, b->room * sizeof(*b->v));
	}
	b->v[b->n++] = *p;
}

static void bag_free(struct bag *b)
{
	free(b->v);
}
#define __cleanup_bag __cleanup(bag_free)

static void bag_add_source(struct bag *b, const struct rules *r, const struct source *s)
{
	const struct list *list = s->kind == SOURCE_LIST ? rules_list(r, s->list) : NULL;

	if (s->kind == SOURCE_PREFIX)
		bag_add(b, &s->prefix);
	for (size_t i = 0; list && i < list->n; i++)
		bag_add(b, &list->v[i]);
}

/* Every prefix that the rules name, lists that no rule speaks of included: sorted. */
static void named_prefixes(struct bag *b, const struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->v[i].nsources; k++)
			if (r->v[i].sources[k].kind == SOURCE_PREFIX)
				bag_add(b, &r->v[i].sources[k].prefix);
	for (size_t i = 0; i < r->nlists; i++)
		for (size_t k = 0; k < r->lists[i].n; k++)
			bag_add(b, &r->lists[i].v[k]);
	prefixes_sort(b->v, &b->n);
}

static bool find_stranger(const struct bag *named, int family, struct prefix *host)
{
	*host = (struct prefix){ .family = (uint8_t)family, .len = family_bits(family) };
	memcpy(host->addr, family == 4 ? (uint8_t[]){ 1, 0, 0, 1 } : (uint8_t[]){ 0x24, 0, 0, 1 }, 4);
	/* Parents come before children and prefixes nest: one pass upwards meets all that covers the candidate. */
	for (size_t i = 0; i < named->n; i++)
		if (named->v[i].len > 0 && prefix_covers(&named->v[i], host) && !behind(&named->v[i], host))
			return false;
	return true;
}

bool ask_stranger(const struct rules *r, int family, struct prefix *host)
{
	__cleanup_bag struct bag named = { 0 };

	named_prefixes(&named, r);
	return find_stranger(&named, family, host);
}

/* ---- where to ask ---- */

/* The hosts where the answer can change inside p: its first, and where a named prefix inside begins or has ended. */
static void add_hosts(struct bag *hosts, const struct bag *named, const struct prefix *p)
{
	size_t lo = 0, hi = named->n;
	struct prefix host = first_of(p);

	bag_add(hosts, &host);
	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (prefix_cmp(&named->v[mid], p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	for (; lo < named->n && prefix_covers(p, &named->v[lo]); lo++) {
		host = first_of(&named->v[lo]);
		bag_add(hosts, &host);
		if (behind(&named->v[lo], &host) && prefix_covers(p, &host))
			bag_add(hosts, &host);
	}
}

static void add_strangers(struct bag *hosts, const struct bag *named)
{
	struct prefix host;

	for (int family = 4; family <= 6; family += 2)
		if (find_stranger(named, family, &host))
			bag_add(hosts, &host);
}

static void collect_hosts(struct bag *hosts, const struct rules *r, const struct stmt *s)
{
	__cleanup_bag struct bag named = { 0 }, asked = { 0 };
	bool anybody = s->nsources == 0;

	named_prefixes(&named, r);
	for (size_t i = 0; i < s->nsources; i++) {
		anybody |= s->sources[i].kind == SOURCE_ANY;
		bag_add_source(&asked, r, &s->sources[i]);
	}
	if (anybody)
		add_strangers(hosts, &named);
	for (size_t i = 0; i < asked.n; i++)
		add_hosts(hosts, &named, &asked.v[i]);
	prefixes_sort(hosts->v, &hosts->n);
}

static void mark_ports(bool starts[65537], const struct stmt *s)
{
	for (size_t i = 0; i < s->nports; i++) {
		starts[s->ports[i].lo] = true;
		starts[s->ports[i].hi + 1] = true;
	}
}

/* One port of each piece of the asked ranges that all sentences see as one. Malloc'd. */
static uint16_t *collect_ports(const struct rules *r, const struct stmt *s, size_t *n)
{
	__cleanup_free bool *starts = xcalloc(65537, sizeof(*starts));
	uint16_t *v = xcalloc(65536, sizeof(*v));

	mark_ports(starts, s);
	for (size_t i = 0; i < r->n; i++)
		mark_ports(starts, &r->v[i]);
	*n = 0;
	for (size_t i = 0; i < s->nports; i++)
		for (uint32_t p = s->ports[i].lo; p <= s->ports[i].hi; p++)
			if (starts[p])
				v[(*n)++] = (uint16_t)p;
	return v;
}

static bool holds(enum ask what, enum judge_says says)
{
	switch (what) {
	case ASK_OPENS:
		return says == JUDGE_ALLOW || says == JUDGE_DEFAULT_ALLOW || says == JUDGE_ADMIN;
	case ASK_REFUSED:
		return says == JUDGE_DENY || says == JUDGE_CLOSED || says == JUDGE_BLOCKED;
	case ASK_ADMIN:
		return says == JUDGE_ADMIN;
	case ASK_BLOCKED:
		return says == JUDGE_BLOCKED;
	}
	return false;
}

bool ask_rules(const struct rules *r, enum ask what, const struct stmt *s, struct ask_where *where)
{
	__cleanup_free uint16_t *ports = NULL;
	__cleanup_bag struct bag hosts = { 0 };
	size_t nports = 1;

	collect_hosts(&hosts, r, s);
	ports = what == ASK_BLOCKED ? xcalloc(1, sizeof(*ports)) : collect_ports(r, s, &nports);
	for (size_t h = 0; h < hosts.n; h++) {
		for (size_t p = 0; p < nports; p++) {
			struct judge_answer a = rules_judge(r, &hosts.v[h], ports[p], what != ASK_BLOCKED);

			if (holds(what, a.says))
				continue;
			if (where)
				*where = (struct ask_where){ .host = hosts.v[h], .port = ports[p], .answer = a };
			return false;
		}
	}
	return hosts.n > 0;
}

#define PATIENCE 200000 /* judgements; a sentence with so many places to ask is taken to decide somewhere */

bool ask_decides(const struct rules *r, const struct stmt *s)
{
	bool whole = s->kind == STMT_BLOCK;
	__cleanup_free uint16_t *ports = NULL;
	__cleanup_bag struct bag hosts = { 0 };
	size_t nports = 1, asked = 0;

	collect_hosts(&hosts, r, s);
	ports = whole ? xcalloc(1, sizeof(*ports)) : collect_ports(r, s, &nports);
	for (size_t h = 0; h < hosts.n; h++)
		for (size_t p = 0; p < nports; p++)
			if (asked++ == PATIENCE || rules_judge(r, &hosts.v[h], ports[p], !whole).because == s)
				return true;
	return false;
}
