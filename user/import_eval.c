// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "import_eval.h"
#include "token.h"

#define MAX_DEPTH 64
#define MAX_STEPS 2000000000ul /* about half a minute */

enum truth { NO, YES, MAYBE };

struct walk {
	const struct import *im;
	const struct im_packet *p;
	const struct im_rule *toggle; /* this one's uncertain matches are answered the other way */
	bool deep;                    /* ... and those of the chains it jumps to */
	bool inside;
	unsigned int state;
	struct im_rule **doubt;       /* uncertain rules that were reached; NULL: not wanted */
	size_t ndoubts, room;
	const struct im_rule *by;
	size_t *steps;
};

/* ---- one rule and one packet ---- */

static bool in_ports(const struct port_range *v, size_t n, unsigned int port)
{
	for (size_t i = 0; i < n; i++)
		if (v[i].lo <= port && port <= v[i].hi)
			return true;
	return false;
}

/* Can a source port that a client picks be assumed? A client's is 1024 or above. */
static enum truth source_port(const struct im_match *m)
{
	for (size_t i = 0; i < m->nports; i++)
		if (m->ports[i].lo <= 1024 && m->ports[i].hi == 65535)
			return m->no ? NO : YES;
	return MAYBE;
}

/* Names with commas between, each perhaps with a '+' at its end. */
static bool same_iface(const char *s, const char *name)
{
	for (size_t n; *s; s += n, s += *s == ',') {
		n = strcspn(s, ",");
		if (n && s[n - 1] == '+' ? *name && !strncmp(s, name, n - 1) : strlen(name) == n && !memcmp(s, name, n))
			return true;
	}
	return false;
}

static enum truth destination(const struct walk *w, const struct im_match *m)
{
	int six = w->p->six;
	bool group = true;

	if (!m->addrs)
		return MAYBE;
	if (!m->addrs->n[six])
		return m->addrs->n[!six] ? (m->no ? YES : NO) : MAYBE;
	if (w->im->has_own[six] && im_addrs_hold(m->addrs, six, w->im->own[six]))
		return m->no ? NO : YES;
	/* groups, broadcast, loopback: no TCP connection is made to them */
	for (size_t i = 0; i < m->addrs->n[six]; i++) {
		im_addr lo = m->addrs->v[six][i].lo, hi = m->addrs->v[six][i].hi;

		if (six)
			group &= lo >> 120 == 0xff || (lo == 1 && hi == 1) || lo >> 118 == 0x3fa;
		else
			group &= lo >> 28 == 0xe || lo >> 28 == 0xf || (lo >> 24 == 127 && hi >> 24 == 127);
	}
	if (group)
		return m->no ? YES : NO;
	return w->im->has_own[six] || m->no ? MAYBE : YES;
}

static unsigned int protocol(const struct im_packet *p)
{
	return p->kind == IM_UDP ? 17 : p->kind == IM_NEIGHBOUR ? 58 : 6;
}

static enum truth yes(bool is, bool no)
{
	return is != no ? YES : NO;
}

static enum truth set_holds(const struct walk *w, const struct im_match *m)
{
	const struct im_addrs *a = m->set ? &m->set->addrs : m->addrs;

	if (m->set && !m->set->known)
		return MAYBE;
	return yes(im_addrs_hold(a, w->p->six, w->p->src), m->no);
}

static enum truth port_is(const struct walk *w, const struct im_match *m)
{
	unsigned int proto = protocol(w->p);

	if (proto != 6 && proto != 17)
		return NO;
	if (m->set && !m->set->known)
		return MAYBE;
	if (m->set)
		return yes(in_ports(m->set->ports, m->set->nports, w->p->port), m->no);
	return yes(in_ports(m->ports, m->nports, w->p->port), m->no);
}

static enum truth one(const struct walk *w, const struct im_match *m)
{
	const struct im_packet *p = w->p;

	switch (m->kind) {
	case IM_NEVER:
		return NO;
	case IM_FAMILY:
		return yes(m->value == (p->six ? IM_V6 : IM_V4), m->no);
	case IM_PROTO:
		return yes(m->nports ? in_ports(m->ports, m->nports, protocol(p)) : m->value == protocol(p), m->no);
	case IM_STATE:
		return yes(m->value & w->state, m->no);
	case IM_FLAGS:
		return protocol(p) == 6 ? yes(((p->kind == IM_SYN ? 0x02u : 0x10u) & m->mask) == m->value, m->no) : NO;
	case IM_SOURCE:
		return set_holds(w, m);
	case IM_DEST:
		return destination(w, m);
	case IM_PORT:
		return port_is(w, m);
	case IM_SPORT:
		return protocol(p) == 6 || protocol(p) == 17 ? source_port(m) : NO;
	case IM_IFACE:
		return yes(same_iface(m->text, w->im->iface), m->no);
	case IM_ICMP6:
		return p->kind == IM_NEIGHBOUR ? yes(in_ports(m->ports, m->nports, 135), m->no) : NO;
	case IM_RATE:
	case IM_MAYBE:
		break;
	}
	return MAYBE;
}

/* What is certain decides first: a rule for another port is in no doubt, whatever else it asks. */
static enum truth all_true(const struct walk *w, const struct im_rule *r, bool *rate_over)
{
	enum truth t, sum = YES;

	*rate_over = false;
	for (size_t i = 0; i < r->n; i++) {
		if (r->m[i].kind == IM_RATE) {
			*rate_over = r->m[i].rate.over;
			if (sum == YES)
				sum = MAYBE;
			continue;
		}
		t = one(w, &r->m[i]);
		if (t == NO)
			return NO;
		if (t == MAYBE)
			sum = MAYBE;
	}
	return sum;
}

static bool has(const struct im_rule *r, enum im_kind kind)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->m[i].kind == kind)
			return true;
	return false;
}

static bool only_rate(const struct walk *w, const struct im_rule *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->m[i].kind != IM_RATE && one(w, &r->m[i]) != YES)
			return false;
	return has(r, IM_RATE);
}

/* A limit is answered as for a source far below it; what nobody knows, as if it did not hold. */
static bool holds(struct walk *w, struct im_rule *r)
{
	bool over, answer;
	enum truth t = all_true(w, r, &over);

	if (r->action == IM_MAP && t == YES && !r->map->known)
		t = MAYBE;
	if (t != MAYBE)
		return t == YES;
	if (w->doubt && !r->seen && w->ndoubts < w->room) {
		r->seen = true;
		w->doubt[w->ndoubts++] = r;
	}
	answer = only_rate(w, r) && !over;
	return (r == w->toggle || (w->deep && w->inside && !has(r, IM_RATE))) ? !answer : answer;
}

static const struct im_rule *element(struct walk *w, const struct im_rule *r)
{
	for (size_t i = 0; i < r->map->nmap; i++)
		if (holds(w, r->map->map[i]))
			return r->map->map[i];
	return NULL;
}

/* ACCEPT, DROP, REJECT, or RETURN: the chain came to its end. */
static enum im_action walk(struct walk *w, struct im_chain *c, unsigned int depth)
{
	enum im_action v;

	c->reached = true;
	for (size_t i = 0; i < c->n; i++) {
		const struct im_rule *r = c->rule[i];
		bool was = w->inside;

		if (++*w->steps > MAX_STEPS)
			return IM_DROP;
		if (r->skip || !holds(w, c->rule[i]))
			continue;
		if (r->action == IM_MAP) {
			r = element(w, r);
			if (!r)
				continue;
		}
		switch (r->action) {
		case IM_ACCEPT:
		case IM_DROP:
		case IM_REJECT:
			w->by = r;
			return r->action;
		case IM_RETURN:
			return IM_RETURN;
		case IM_NOTRACK:
			w->state = IM_UNTRACKED;
			break;
		case IM_JUMP:
		case IM_GOTO:
			if (!r->to || depth >= MAX_DEPTH)
				break;
			w->inside |= r == w->toggle;
			v = walk(w, r->to, depth + 1);
			w->inside = was;
			if (v != IM_RETURN || r->action == IM_GOTO)
				return v;
			break;
		case IM_CONTINUE:
		case IM_MAP:
			break;
		}
	}
	return IM_RETURN;
}

/* ---- all base chains, in netfilter's order ---- */

static int cmp_chain(const void *a, const void *b)
{
	const struct im_chain *const *p = a, *const *q = b;

	if ((*p)->hook != (*q)->hook)
		return (*p)->hook < (*q)->hook ? -1 : 1;
	return (*p)->priority < (*q)->priority ? -1 : (*p)->priority > (*q)->priority;
}

static size_t base_chains(const struct import *im, int six, struct im_chain **v, size_t room)
{
	size_t n = 0;

	for (size_t i = 0; i < im->nchains && n < room; i++) {
		struct im_chain *c = im->chain[i];

		if (c->hook != IM_NO_HOOK && c->hook != IM_ELSEWHERE && (c->families & (six ? IM_V6 : IM_V4)))
			v[n++] = c;
	}
	qsort(v, n, sizeof(*v), cmp_chain);
	return n;
}

#define MAX_BASES 32

struct bases {
	struct im_chain *v[2][MAX_BASES];
	size_t n[2];
};

static void bases_of(const struct import *im, struct bases *b)
{
	for (int six = 0; six < 2; six++)
		b->n[six] = base_chains(im, six, b->v[six], MAX_BASES);
}

static unsigned int state_of(enum im_packet_kind kind)
{
	return kind == IM_OPEN ? IM_ESTABLISHED : kind == IM_NEIGHBOUR ? IM_UNTRACKED : IM_NEW;
}

static struct im_cell judge(struct walk *w, const struct bases *b)
{
	struct im_cell cell = { .verdict = IM_ACCEPT };

	w->state = state_of(w->p->kind);
	for (size_t i = 0; i < b->n[w->p->six]; i++) {
		struct im_chain *c = b->v[w->p->six][i];
		enum im_action v;

		w->by = NULL;
		v = walk(w, c, 0);
		if (v == IM_DROP || v == IM_REJECT || (v == IM_RETURN && c->policy != IM_ACCEPT))
			return (struct im_cell){ .verdict = v == IM_RETURN ? c->policy : v, .by = w->by,
						 .policy = w->by ? NULL : c };
		if (w->by) {
			cell.by = w->by;
			cell.policy = NULL;
		} else if (!cell.by) {
			cell.policy = c;
		}
	}
	return cell;
}

bool im_true_of(const struct import *im, const struct im_rule *r, const struct im_packet *p)
{
	size_t steps = 0;
	struct walk w = { .im = im, .p = p, .steps = &steps, .state = state_of(p->kind) };
	bool over;

	return all_true(&w, r, &over) != NO;
}

const struct im_match *im_why_not(const struct import *im, const struct im_rule *r, int six)
{
	struct im_packet p = { .kind = IM_SYN, .six = six };
	struct walk w = { .im = im, .p = &p, .state = IM_NEW };

	for (size_t i = 0; i < r->n; i++) {
		enum im_kind k = r->m[i].kind;

		if (k != IM_SOURCE && k != IM_PORT && k != IM_SPORT && k != IM_RATE && one(&w, &r->m[i]) == NO)
			return &r->m[i];
	}
	return NULL;
}

/* ---- the map ---- */

static void add_node(struct import *im, struct im_map *map, int six, im_addr lo, unsigned int len)
{
	unsigned int bits = six ? 128 : 32;
	im_addr host = len == 0 && six ? ~(im_addr)0 : ((im_addr)1 << (bits - len)) - 1;

	*im_push(im, map->node, map->nnodes) =
		(struct im_node){ .six = six, .lo = lo, .hi = lo | host, .len = len, .parent = -1 };
}

/* A span as prefixes, the largest that fit. */
static void add_span(struct import *im, struct im_map *map, int six, struct im_span s)
{
	unsigned int bits = six ? 128 : 32;

	for (;;) {
		unsigned int len = bits;

		/* one bit wider as long as it begins at s.lo and ends by s.hi */
		while (len > 0) {
			im_addr host = len - 1 == 0 && six ? ~(im_addr)0 : ((im_addr)1 << (bits - len + 1)) - 1;

			if ((s.lo & host) || s.lo + host > s.hi || s.lo + host < s.lo)
				break;
			len--;
		}
		add_node(im, map, six, s.lo, len);
		if (map->node[map->nnodes - 1].hi >= s.hi)
			return;
		s.lo = map->node[map->nnodes - 1].hi + 1;
	}
}

static void add_addrs(struct import *im, struct im_map *map, struct im_addrs *a)
{
	im_addrs_sort(a);
	for (int six = 0; six < 2; six++)
		for (size_t i = 0; i < a->n[six]; i++)
			add_span(im, map, six, a->v[six][i]);
}

static void add_port(struct import *im, struct im_map *map, unsigned int port)
{
	if (port >= 1 && port <= 65535)
		*im_push(im, map->port, map->natoms) = port;
}

static void add_ports(struct import *im, struct im_map *map, const struct port_range *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		add_port(im, map, v[i].lo);
		add_port(im, map, v[i].hi + 1u);
	}
}

static void gather_rule(struct import *im, struct im_map *map, const struct im_rule *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct im_match *m = &r->m[i];

		if (m->kind == IM_SOURCE && !m->set)
			add_addrs(im, map, m->addrs);
		if (m->kind == IM_DEST && m->addrs)
			im_addrs_sort(m->addrs);
		if (m->kind == IM_PORT && !m->set)
			add_ports(im, map, m->ports, m->nports);
	}
}

static int cmp_node(const void *a, const void *b)
{
	const struct im_node *p = a, *q = b;

	if (p->six != q->six)
		return p->six - q->six;
	if (p->lo != q->lo)
		return p->lo < q->lo ? -1 : 1;
	return p->len < q->len ? -1 : p->len > q->len;
}

static int cmp_uint(const void *a, const void *b)
{
	const unsigned int *p = a, *q = b;

	return *p < *q ? -1 : *p > *q;
}

static void gather(struct import *im, struct im_map *map)
{
	size_t n = 0;

	add_node(im, map, 0, 0, 0);
	add_node(im, map, 1, 0, 0);
	add_port(im, map, 1);
	for (size_t i = 0; i < im->nchains; i++)
		for (size_t k = 0; im->chain[i]->inward && k < im->chain[i]->n; k++)
			gather_rule(im, map, im->chain[i]->rule[k]);
	for (size_t i = 0; i < im->nsets; i++) {
		add_addrs(im, map, &im->set[i]->addrs);
		add_ports(im, map, im->set[i]->ports, im->set[i]->nports);
		for (size_t k = 0; k < im->set[i]->nmap; k++)
			gather_rule(im, map, im->set[i]->map[k]);
	}
	qsort(map->node, map->nnodes, sizeof(*map->node), cmp_node);
	for (size_t i = 0; i < map->nnodes; i++)
		if (!n || cmp_node(&map->node[n - 1], &map->node[i]))
			map->node[n++] = map->node[i];
	map->nnodes = n;
	qsort(map->port, map->natoms, sizeof(*map->port), cmp_uint);
	n = 0;
	for (size_t i = 0; i < map->natoms; i++)
		if (!n || map->port[n - 1] != map->port[i])
			map->port[n++] = map->port[i];
	map->natoms = n;
	*im_push(im, map->port, n) = 65536;
}

/* Sources that no packet from outside has, and the one range that our words for addresses turn into another family. */
static bool not_outside(const struct im_node *n)
{
	if (!n->six)
		return n->lo >> 24 == 127 && n->len >= 8;
	return (n->len == 128 && n->lo <= 1) || (n->len >= 96 && n->lo >> 32 == 0xffff);
}

/* Parents, and for each node an address that is in none of its children: the nodes are sorted, parents first. */
static void tie(struct import *im, struct im_map *map)
{
	int *open = im_alloc(im, 130 * sizeof(*open)), depth = 0;
	im_addr *next = im_alloc(im, map->nnodes * sizeof(*next));
	bool *full = im_alloc(im, map->nnodes * sizeof(*full));

	for (size_t i = 0; i < map->nnodes; i++) {
		struct im_node *n = &map->node[i];

		while (depth && (map->node[open[depth - 1]].six != n->six || map->node[open[depth - 1]].hi < n->lo))
			depth--;
		n->parent = depth ? open[depth - 1] : -1;
		next[i] = n->lo;
		if (depth) {
			struct im_node *up = &map->node[n->parent];

			if (!up->speaks && !full[n->parent] && n->lo > next[n->parent]) {
				up->speaks = true;
				up->speaker = next[n->parent];
			}
			if (n->hi == up->hi)
				full[n->parent] = true;
			else
				next[n->parent] = n->hi + 1;
		}
		open[depth++] = i;
	}
	for (size_t i = 0; i < map->nnodes; i++) {
		struct im_node *n = &map->node[i];

		if (!n->speaks && !full[i]) {
			n->speaks = true;
			n->speaker = next[i];
		}
		if (not_outside(n))
			n->speaks = false;
	}
	/* a whole family that its halves cover still has a say: any source of it */
	for (size_t i = 0; i < map->nnodes; i++) {
		struct im_node *n = &map->node[i];

		if (n->parent < 0 && !n->speaks) {
			n->speaks = true;
			n->speaker = n->lo;
		}
	}
}

static bool accepts(const struct im_cell *c)
{
	return c->verdict == IM_ACCEPT;
}

/* Would the answer be another one if this uncertain rule were answered the other way? */
static void doubt(struct walk *w, const struct bases *b, struct im_rule *r, struct im_cell *cell)
{
	struct walk other = *w;
	struct im_cell x;

	other.doubt = NULL;
	other.toggle = r;
	x = judge(&other, b);
	if (accepts(&x) == accepts(cell) && (r->action == IM_JUMP || r->action == IM_GOTO)) {
		other.deep = true;
		other.inside = false;
		x = judge(&other, b);
	}
	if (accepts(&x) == accepts(cell))
		return;
	if (only_rate(w, r)) {
		r->limits = true;
		r->over_reset |= x.by && x.by->reset;
		if (accepts(cell) && cell->nlimits < IM_LIMITS)
			cell->limit[cell->nlimits++] = r;
	} else if (accepts(cell)) {
		r->closes = true;
	} else {
		r->opens = true;
	}
}

/* A node's source is asked about at every port, and there may be thousands of rules: those of others are found once. */
static void find_skips(struct import *im, const struct im_node *n)
{
	struct im_packet p = { .kind = IM_SYN, .six = n->six, .src = n->speaker };
	struct walk w = { .im = im, .p = &p };

	for (size_t i = 0; i < im->nchains; i++) {
		for (size_t k = 0; im->chain[i]->inward && k < im->chain[i]->n; k++) {
			struct im_rule *r = im->chain[i]->rule[k];

			r->skip = false;
			for (size_t j = 0; j < r->n && !r->skip; j++)
				if (r->m[j].kind == IM_SOURCE || r->m[j].kind == IM_FAMILY)
					r->skip = one(&w, &r->m[j]) == NO;
		}
	}
}

static void fill(struct import *im, const struct bases *b, const struct im_node *n, unsigned int port,
		 struct im_cell *cell, size_t *steps)
{
	struct im_packet p = { .kind = IM_SYN, .six = n->six, .src = n->speaker, .port = port };
	struct im_rule *doubts[64];
	struct walk w = { .im = im, .p = &p, .doubt = doubts, .room = 64, .steps = steps };
	struct im_cell open;

	*cell = judge(&w, b);
	if (cell->by)
		((struct im_rule *)cell->by)->decides = true;
	for (size_t i = 0; i < w.ndoubts; i++)
		doubts[i]->seen = false;
	w.state = IM_NEW;
	for (size_t i = 0; i < w.ndoubts; i++)
		doubt(&w, b, doubts[i], cell);
	p.kind = IM_OPEN;
	w.ndoubts = 0;
	open = judge(&w, b);
	for (size_t i = 0; i < w.ndoubts; i++) {
		doubts[i]->seen = false;
		doubts[i]->counts_open = true;
	}
	if (!accepts(&open)) {
		cell->cuts = true;
		cell->cut_by = (struct im_rule *)open.by;
		cell->cut_policy = (struct im_chain *)open.policy;
	}
}

/* Are the open connections of these sources cut as well, all of them, by rules that name the sources? */
static void find_cut(const struct im_map *map, struct im_node *n)
{
	n->cut = true;
	for (size_t i = 0; i < map->natoms && n->cut; i++) {
		const struct im_cell *c = &n->cell[i];

		n->cut = !accepts(c) && c->cuts && c->cut_by && has(c->cut_by, IM_SOURCE);
		n->cut_tcp |= c->cut_by && (has(c->cut_by, IM_PROTO) || has(c->cut_by, IM_PORT));
	}
}

static void others(struct import *im, const struct bases *b, struct im_map *map, size_t *steps)
{
	for (size_t i = 0; i < map->nnodes; i++) {
		struct im_node *n = &map->node[i];
		struct im_packet p = { .kind = IM_UDP, .six = n->six, .src = n->speaker, .port = 40001 };
		struct walk w = { .im = im, .p = &p, .steps = steps };
		struct im_cell c;

		if (n->parent >= 0)
			continue;
		find_skips(im, n);
		c = judge(&w, b);
		map->udp[n->six] = c.verdict;
		if (!n->six)
			continue;
		p.kind = IM_NEIGHBOUR;
		p.src = (im_addr)0xfe80 << 112 | 1;
		find_skips(im, &(struct im_node){ .six = 1, .speaker = p.src });
		c = judge(&w, b);
		map->neighbour = c.verdict;
	}
}

/* ---- what has to be known before ---- */

static void find_own(struct import *im)
{
	for (size_t i = 0; i < im->nchains; i++) {
		const struct im_chain *c = im->chain[i];

		if (!c->inward)
			continue;
		for (size_t k = 0; k < c->n; k++)
			for (size_t j = 0; j < c->rule[k]->n; j++) {
				const struct im_match *m = &c->rule[k]->m[j];

				for (int six = 0; m->kind == IM_DEST && m->addrs && six < 2; six++) {
					im_addr x = m->addrs->n[six] ? m->addrs->v[six][0].lo : 0;
					bool group = six ? x >> 120 == 0xff || x <= 1 || x >> 118 == 0x3fa :
							   x >> 28 >= 0xe || x >> 24 == 127 || x == 0;

					if (!m->addrs->n[six] || group || m->no)
						continue;
					if (im->has_own[six] && !im_addrs_hold(m->addrs, six, im->own[six]))
						im->many_own[six] = true;
					if (!im->has_own[six]) {
						im->has_own[six] = true;
						im->own[six] = x;
					}
				}
			}
	}
}

static void find_targets(struct import *im)
{
	for (size_t i = 0; i < im->nchains; i++) {
		struct im_chain *c = im->chain[i];

		for (size_t k = 0; k < c->n; k++) {
			struct im_rule *r = c->rule[k];
			size_t n = r->action == IM_MAP ? r->map->nmap : 0;

			for (size_t j = 0; j <= n; j++) {
				struct im_rule *e = j < n ? r->map->map[j] : r;

				if (e->action == IM_JUMP || e->action == IM_GOTO)
					e->to = im_chain(im, c->families, c->table, e->target);
				if (e->to && e->to->generated) {
					e->to->inward = true;
					e->to = NULL;
				}
				e->chain = c;
			}
		}
	}
}

static bool jumped_to(const struct import *im, const struct im_chain *c)
{
	for (size_t i = 0; i < im->nchains; i++)
		for (size_t k = 0; k < im->chain[i]->n; k++) {
			const struct im_rule *r = im->chain[i]->rule[k];

			if (r->to == c)
				return true;
			for (size_t j = 0; r->action == IM_MAP && j < r->map->nmap; j++)
				if (r->map->map[j]->to == c)
					return true;
		}
	return false;
}

/* Single commands, as notes have them, put rules into chains that the text does not make: of nft not even `input` is known. */
static void hook_fragments(struct import *im)
{
	for (size_t i = 0; i < im->nchains; i++) {
		struct im_chain *c = im->chain[i];

		if (!c->n || c->hook != IM_NO_HOOK || c->declared || c->generated || jumped_to(im, c))
			continue;
		if (!strncmp(c->table, "nft ", 4) && !strcasecmp(c->name, "input")) {
			c->hook = IM_INPUT;
			im_say(im, c->rule[0]->at, IM_NOTE,
			       "the chain %s is not made in this text; it is taken to hear what comes in, with policy accept",
			       c->name);
		} else {
			im_say(im, c->rule[0]->at, IM_LOSS,
			       "nothing in this text leads to the chain %s, so no rule of it is carried; import the whole of the old "
			       "firewall", c->name);
		}
	}
}

static void reach_chain(struct im_chain *c, unsigned int depth)
{
	if (c->inward || depth > MAX_DEPTH)
		return;
	c->inward = true;
	for (size_t k = 0; k < c->n; k++) {
		struct im_rule *r = c->rule[k];

		if (r->to)
			reach_chain(r->to, depth + 1);
		for (size_t j = 0; r->action == IM_MAP && j < r->map->nmap; j++)
			if (r->map->map[j]->to)
				reach_chain(r->map->map[j]->to, depth + 1);
	}
}

static void reach(const struct bases *b)
{
	for (int six = 0; six < 2; six++)
		for (size_t i = 0; i < b->n[six]; i++)
			reach_chain(b->v[six][i], 0);
}

int im_evaluate(struct import *im, struct im_map *map)
{
	struct im_cell *cells;
	struct bases b;
	size_t steps = 0;

	find_targets(im);
	hook_fragments(im);
	bases_of(im, &b);
	reach(&b);
	gather(im, map);
	find_own(im);
	tie(im, map);
	cells = im_alloc(im, map->natoms * sizeof(*cells));
	for (size_t i = 0; i < map->nnodes; i++) {
		struct im_node *n = &map->node[i];

		if (!n->speaks) {
			n->cell = n->parent < 0 ? NULL : map->node[n->parent].cell;
			n->cut = n->parent >= 0 && map->node[n->parent].cut;
			continue;
		}
		find_skips(im, n);
		for (size_t k = 0; k < map->natoms; k++)
			fill(im, &b, n, map->port[k], &cells[k], &steps);
		/* thousands of sources of one set are one row in memory */
		if (i && map->node[i - 1].cell && !memcmp(map->node[i - 1].cell, cells, map->natoms * sizeof(*cells)))
			n->cell = map->node[i - 1].cell;
		else
			n->cell =
				memcpy(im_alloc(im, map->natoms * sizeof(*cells)), cells, map->natoms * sizeof(*cells));
		find_cut(map, n);
		if (steps > MAX_STEPS)
			return -E2BIG;
	}
	others(im, &b, map, &steps);
	return 0;
}

const struct im_cell *im_answer(const struct im_map *map, int six, im_addr src, unsigned int port)
{
	const struct im_node *in = NULL;
	size_t atom = 0;

	while (atom + 1 < map->natoms && map->port[atom + 1] <= port)
		atom++;
	for (size_t i = 0; i < map->nnodes; i++) {
		const struct im_node *n = &map->node[i];

		if (n->six == six && n->lo <= src && src <= n->hi && (!in || n->len >= in->len))
			in = n;
	}
	return in && in->cell ? &in->cell[atom] : NULL;
}
