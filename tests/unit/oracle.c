// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "oracle.h"

/* ---- numbers ---- */

static uint64_t random_state = 1;

void oracle_seed(uint64_t seed)
{
	random_state = seed * 0x9e3779b97f4a7c15ULL | 1;
}

uint64_t oracle_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state * 0x2545f4914f6cdd1dULL;
}

uint32_t oracle_below(uint32_t n)
{
	return (oracle_random() >> 32) * n >> 32;
}

double oracle_now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1e3 + ts.tv_nsec / 1e6;
}

/* ---- prefixes ---- */

static unsigned int bits_of(const struct prefix *p)
{
	return p->family == 4 ? 32 : 128;
}

int oracle_cmp(const struct prefix *a, const struct prefix *b)
{
	int c = (int)a->family - b->family;

	if (!c)
		c = memcmp(a->addr, b->addr, sizeof(a->addr));
	return c ? c : (int)a->len - b->len;
}

static bool bit(const struct prefix *p, unsigned int i)
{
	return p->addr[i / 8] >> (7 - i % 8) & 1;
}

bool oracle_covers(const struct prefix *p, const struct prefix *of)
{
	if (p->family != of->family || p->len > of->len)
		return false;
	for (unsigned int i = 0; i < p->len; i++)
		if (bit(p, i) != bit(of, i))
			return false;
	return true;
}

static void set_bits_from(struct prefix *p, unsigned int from, bool to)
{
	for (unsigned int i = from; i < bits_of(p); i++) {
		if (i % 8 == 0) {
			p->addr[i / 8] = to ? 0xff : 0;
			i += 7;
		} else if (to) {
			p->addr[i / 8] |= 0x80 >> i % 8;
		} else {
			p->addr[i / 8] &= ~(0x80 >> i % 8);
		}
	}
}

void oracle_mask(struct prefix *p)
{
	set_bits_from(p, p->len, false);
}

struct prefix oracle_prefix(int family, unsigned int len)
{
	struct prefix p = { .family = family, .len = len };

	for (unsigned int i = 0; i < bits_of(&p) / 8; i++)
		p.addr[i] = oracle_random() >> 40;
	oracle_mask(&p);
	return p;
}

struct prefix oracle_ip4(uint32_t addr, unsigned int len)
{
	return (struct prefix){ .family = 4, .len = len, .addr = { addr >> 24, addr >> 16, addr >> 8, addr } };
}

struct prefix oracle_first(const struct prefix *p)
{
	struct prefix host = *p;

	host.len = bits_of(p);
	return host;
}

struct prefix oracle_last(const struct prefix *p)
{
	struct prefix host = oracle_first(p);

	set_bits_from(&host, p->len, true);
	return host;
}

struct prefix oracle_beside(const struct prefix *host, int step)
{
	struct prefix p = *host;

	for (int i = bits_of(host) / 8 - 1; i >= 0; i--) {
		p.addr[i] += step;
		if (p.addr[i] != (step > 0 ? 0x00 : 0xff))
			break;
	}
	return p;
}

struct prefix oracle_inside(const struct prefix *p)
{
	struct prefix host = oracle_prefix(p->family, bits_of(p));

	for (unsigned int i = 0; i < p->len; i++) {
		host.addr[i / 8] &= ~(0x80 >> i % 8);
		host.addr[i / 8] |= p->addr[i / 8] & 0x80 >> i % 8;
	}
	return host;
}

static int entry_cmp(const void *a, const void *b)
{
	return oracle_cmp(&((const struct class_prefix *)a)->p, &((const struct class_prefix *)b)->p);
}

static size_t sort_unique(struct class_prefix *v, size_t n)
{
	size_t left = 0;

	qsort(v, n, sizeof(*v), entry_cmp);
	for (size_t i = 0; i < n; i++)
		if (!left || oracle_cmp(&v[left - 1].p, &v[i].p))
			v[left++] = v[i];
	return left;
}

/* One that has to do with `near`: inside it, around it, beside it, at its edge. */
static struct prefix relative_of(const struct prefix *near)
{
	struct prefix p = *near, edge;

	switch (oracle_below(4)) {
	case 0:
		p = oracle_inside(near);
		p.len = near->len + oracle_below(bits_of(near) - near->len + 1);
		break;
	case 1:
		p.len = oracle_below(near->len + 1);
		break;
	case 2:
		edge = oracle_last(near);
		p = oracle_beside(&edge, 1);
		p.len = near->len;
		break;
	default:
		p = oracle_below(2) ? oracle_first(near) : oracle_last(near);
		p.len = near->len + oracle_below(bits_of(near) - near->len + 1);
		break;
	}
	oracle_mask(&p);
	return p;
}

size_t oracle_crowd(struct class_prefix *v, size_t n, unsigned int nclasses)
{
	unsigned int shape = oracle_below(4);
	struct prefix home[2] = { oracle_prefix(4, 8 + oracle_below(12)), oracle_prefix(6, 16 + oracle_below(40)) };

	for (size_t i = 0; i < n; i++) {
		int family = oracle_below(2) ? 4 : 6;
		struct prefix p = oracle_prefix(family, oracle_below(family == 4 ? 33 : 129));

		if (shape == 1 || (shape == 3 && oracle_below(2))) {
			p = oracle_inside(&home[family == 6]);
			p.len = home[family == 6].len + oracle_below(bits_of(&p) - home[family == 6].len + 1);
			oracle_mask(&p);
		}
		if (shape >= 2 && i && oracle_below(3))
			p = relative_of(&v[oracle_below(i)].p);
		v[i] = (struct class_prefix){ .p = p, .class_ = oracle_below(nclasses) };
	}
	return sort_unique(v, n);
}

size_t oracle_blocklist(struct class_prefix *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		unsigned int of100 = oracle_below(100);
		unsigned int len = of100 < 55 ? 32 : of100 < 95 ? 24 : of100 < 99 ? 22 : 20;

		v[i] = (struct class_prefix){ .p = oracle_prefix(4, len), .class_ = 1 };
	}
	return sort_unique(v, n);
}

/* ---- longest prefix match ---- */

struct oracle_table {
	const struct class_prefix *v;
	size_t n;
	uint32_t *around; /* for each prefix: the next wider one around it, + 1 */
};

/* The last of the prefixes that begin at or before the host, + 1; 0 when there is none. */
static size_t last_before(const struct oracle_table *t, const struct prefix *host)
{
	size_t lo = 0, hi = t->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (oracle_cmp(&t->v[mid].p, host) <= 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct oracle_table *oracle_table_new(const struct class_prefix *v, size_t n)
{
	struct oracle_table *t = xcalloc(1, sizeof(*t));

	t->v = v;
	t->n = n;
	t->around = xcalloc(n, sizeof(*t->around));
	for (size_t i = 0; i < n; i++) {
		size_t wider = i;

		while (wider && !oracle_covers(&v[wider - 1].p, &v[i].p))
			wider = t->around[wider - 1];
		t->around[i] = wider;
	}
	return t;
}

void oracle_table_free(struct oracle_table *t)
{
	free(t->around);
	free(t);
}

unsigned int oracle_class(const struct oracle_table *t, const struct prefix *host)
{
	size_t i = last_before(t, host);

	while (i && !oracle_covers(&t->v[i - 1].p, host))
		i = t->around[i - 1];
	return i ? t->v[i - 1].class_ : 0;
}

unsigned int oracle_class_slow(const struct class_prefix *v, size_t n, const struct prefix *host)
{
	int longest = -1;
	unsigned int class_ = 0;

	for (size_t i = 0; i < n; i++) {
		if (oracle_covers(&v[i].p, host) && v[i].p.len > longest) {
			longest = v[i].p.len;
			class_ = v[i].class_;
		}
	}
	return class_;
}

/* ---- the packet's way ---- */

struct pkt {
	uint64_t src_hi, src_lo;
	uint8_t family;
};

static const union mxdp_line *trie_map;
static size_t trie_lines;
static int trie;

static union mxdp_line *map_lookup(const int *map, const uint32_t *i)
{
	(void)map;
	return *i < trie_lines ? (union mxdp_line *)&trie_map[*i] : NULL;
}

#define forget(x) /* nobody verifies this */
#define bpf_map_lookup_elem map_lookup
#undef __always_inline
#define __always_inline inline
#pragma GCC diagnostic ignored "-Wunknown-pragmas"
#include "../../bpf/policy.h"

static uint64_t host_order(const uint8_t *at, unsigned int n)
{
	uint64_t x = 0;

	for (unsigned int i = 0; i < n; i++)
		x = x << 8 | at[i];
	return x;
}

static unsigned int packet_class(const struct mxdp_bank *b, const union mxdp_line *map, size_t nlines,
				 const struct prefix *host, bool *dressed)
{
	struct pkt p = { .family = host->family == 6 };

	trie_map = map;
	trie_lines = nlines;
	if (p.family == 0) {
		p.src_lo = host_order(host->addr, 4);
	} else {
		p.src_hi = host_order(host->addr, 8);
		p.src_lo = host_order(host->addr + 8, 8);
	}
	return class_of(b, &p, dressed);
}

unsigned int oracle_packet_class(const struct mxdp_bank *b, const union mxdp_line *map, size_t nlines,
				 const struct prefix *host)
{
	bool dressed = false;

	return packet_class(b, map, nlines, host, &dressed);
}

int oracle_packet_reason(const struct mxdp_bank *b, const union mxdp_line *map, size_t nlines,
			 const struct prefix *host, uint16_t port, bool syn)
{
	static const int by_cell[] = { MXDP_R_DENIED, MXDP_R_ALLOWED, MXDP_R_DEFAULT_ALLOW, MXDP_R_ADMIN };
	uint16_t entry = b->port[port];
	unsigned int class_ = 0;
	bool dressed = false;
	uint8_t cell;

	if (syn && entry & MXDP_PORT_CLOSED)
		return MXDP_R_CLOSED;
	if (syn || b->flags & MXDP_BANK_BLOCKS)
		class_ = packet_class(b, map, nlines, host, &dressed);
	cell = b->policy[class_][entry & MXDP_PORT_SERVICE] & MXDP_CELL_VERDICT;
	if (b->class_flags[class_] & MXDP_CLASS_EXEMPT)
		dressed = false;
	if ((dressed || b->class_flags[class_] & MXDP_CLASS_BLOCKED) && cell != MXDP_CELL_ADMIN)
		return MXDP_R_BLOCKED;
	if (syn)
		return by_cell[cell];
	return entry & MXDP_PORT_FREE ? MXDP_R_DEFAULT_ALLOW : -1;
}
