// SPDX-License-Identifier: GPL-2.0-only
/* The model of an old firewall: memory, messages, chains, sets of addresses and ports. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "import.h"
#include "out.h"
#include "token.h"

struct im_block {
	struct im_block *next;
	size_t used, room;
	char data[] __attribute__((aligned(16)));
};

void *im_alloc(struct import *im, size_t n)
{
	struct im_block *b = im->blocks;
	void *p;

	n = (n + 15) & ~(size_t)15;
	if (!b || b->room - b->used < n) {
		size_t room = n > 65536 ? n : 65536;

		b = xmalloc(sizeof(*b) + room);
		*b = (struct im_block){ .next = im->blocks, .room = room };
		im->blocks = b;
	}
	p = b->data + b->used;
	b->used += n;
	return memset(p, 0, n);
}

void import_free(struct import *im)
{
	struct im_block *b, *next;

	for (b = im->blocks; b; b = next) {
		next = b->next;
		free(b);
	}
	*im = (struct import){ 0 };
}

char *im_copy(struct import *im, const char *s, size_t n)
{
	return memcpy(im_alloc(im, n + 1), s, n);
}

char *im_text(struct import *im, const char *fmt, ...)
{
	__cleanup_free char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	return im_copy(im, s, strlen(s));
}

/* Room doubles at powers of two from four on. */
void *im_grow(struct import *im, void *v, size_t n, size_t size)
{
	void *more;

	if (n && (n < 4 || (n & (n - 1))))
		return v;
	more = im_alloc(im, (n ? 2 * n : 4) * size);
	if (n)
		memcpy(more, v, n * size);
	return more;
}

/* ---- messages ---- */

void im_say(struct import *im, struct im_place at, enum im_level level, const char *fmt, ...)
{
	__cleanup_free char *s = NULL;
	struct im_message *m;
	va_list ap;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	for (size_t i = im->nmsgs; i-- > 0 && im->nmsgs - i < 64;)
		if (im->msg[i].at.line == at.line && im->msg[i].at.path == at.path && !strcmp(im->msg[i].text, s))
			return;
	m = im_push(im, im->msg, im->nmsgs);
	*m = (struct im_message){ at, level, im_copy(im, s, strlen(s)), im->nmsgs };
}

static int cmp_message(const void *a, const void *b)
{
	const struct im_message *p = a, *q = b;
	int c = q->level - p->level;

	if (c)
		return c;
	c = strcmp(p->at.path ? p->at.path : "", q->at.path ? q->at.path : "");
	if (c)
		return c;
	if (p->at.line != q->at.line)
		return p->at.line < q->at.line ? -1 : 1;
	return p->order < q->order ? -1 : p->order > q->order;
}

enum im_level import_tell(struct import *im, FILE *to)
{
	static const char *const level[] = { "note", "loss", "danger" };
	enum im_level worst = IM_NOTE;

	if (im->nmsgs)
		qsort(im->msg, im->nmsgs, sizeof(*im->msg), cmp_message);
	for (size_t i = 0; i < im->nmsgs; i++) {
		const struct im_message *m = &im->msg[i];

		put_escaped(m->at.path ? m->at.path : "-", to);
		if (m->at.line)
			fprintf(to, ":%u", m->at.line);
		fprintf(to, ": %s: ", level[m->level]);
		put_escaped(m->text, to);
		fputc('\n', to);
		if (m->level > worst)
			worst = m->level;
	}
	return worst;
}

/* ---- chains, rules, sets ---- */

struct im_chain *im_chain(struct import *im, unsigned int families, const char *table, const char *name)
{
	for (size_t i = 0; i < im->nchains; i++) {
		struct im_chain *c = im->chain[i];

		if (c->families == families && !strcmp(c->table, table) && !strcmp(c->name, name))
			return c;
	}
	return NULL;
}

struct im_chain *im_chain_made(struct import *im, unsigned int families, const char *table, const char *name)
{
	struct im_chain *c = im_chain(im, families, table, name);

	if (c)
		return c;
	c = im_alloc(im, sizeof(*c));
	c->name = im_copy(im, name, strlen(name));
	c->table = im_copy(im, table, strlen(table));
	c->families = families;
	c->policy = IM_ACCEPT;
	*im_push(im, im->chain, im->nchains) = c;
	return c;
}

struct im_set *im_set(struct import *im, const char *table, const char *name, bool make)
{
	struct im_set *s;

	for (size_t i = 0; i < im->nsets; i++)
		if (!strcmp(im->set[i]->table, table) && !strcmp(im->set[i]->name, name))
			return im->set[i];
	if (!make)
		return NULL;
	s = im_alloc(im, sizeof(*s));
	s->name = im_copy(im, name, strlen(name));
	s->table = im_copy(im, table, strlen(table));
	*im_push(im, im->set, im->nsets) = s;
	return s;
}

struct im_rule *im_rule_new(struct import *im, struct im_place at, const char *text)
{
	struct im_rule *r = im_alloc(im, sizeof(*r));

	r->at = at;
	r->text = im_copy(im, text, strlen(text));
	r->number = im->nrules++;
	return r;
}

void im_rule_insert(struct import *im, struct im_chain *c, size_t i, struct im_rule *r)
{
	if (i > c->n)
		i = c->n;
	im_push(im, c->rule, c->n);
	memmove(c->rule + i + 1, c->rule + i, (c->n - 1 - i) * sizeof(*c->rule));
	c->rule[i] = r;
	r->chain = c;
}

void im_rule_remove(struct im_chain *c, size_t i)
{
	memmove(c->rule + i, c->rule + i + 1, (c->n - i - 1) * sizeof(*c->rule));
	/* the room that im_grow() sees in n has to stay true: a copy is made at the next power of two, which is only
	 * early */
	c->n--;
}

struct im_match *im_match(struct import *im, struct im_rule *r, enum im_kind kind, bool no)
{
	struct im_match *m = im_push(im, r->m, r->n);

	*m = (struct im_match){ .kind = kind, .no = no };
	return m;
}

void im_match_ports(struct import *im, struct im_match *m, unsigned int lo, unsigned int hi)
{
	*im_push(im, m->ports, m->nports) = (struct port_range){ lo, hi };
}

/* ---- addresses ---- */

void im_span(struct import *im, struct im_addrs *a, int six, im_addr lo, im_addr hi)
{
	if (lo > hi)
		return;
	*im_push(im, a->v[six], a->n[six]) = (struct im_span){ lo, hi };
	a->sorted = false;
}

static im_addr addr_of(const uint8_t *b, int six)
{
	im_addr x = 0;

	for (int i = 0; i < (six ? 16 : 4); i++)
		x = x << 8 | b[i];
	return x;
}

static im_addr host_bits(int six, unsigned int len)
{
	unsigned int bits = six ? 128 : 32;

	return len == 0 && six ? ~(im_addr)0 : ((im_addr)1 << (bits - len)) - 1;
}

static void add_masked(struct import *im, struct im_addrs *a, int six, im_addr x, unsigned int len)
{
	im_addr host = host_bits(six, len);

	im_span(im, a, six, x & ~host, (x & ~host) | host);
}

void im_prefix(struct import *im, struct im_addrs *a, const struct prefix *p)
{
	add_masked(im, a, p->family == 6, addr_of(p->addr, p->family == 6), p->len);
}

static bool one_address(const char *s, size_t n, int *six, im_addr *x)
{
	char word[64];
	uint8_t b[16];

	if (n >= sizeof(word))
		return false;
	memcpy(word, s, n);
	word[n] = '\0';
	*six = strchr(word, ':') != NULL;
	if (inet_pton(*six ? AF_INET6 : AF_INET, word, b) != 1)
		return false;
	*x = addr_of(b, *six);
	return true;
}

static int mask_length(const char *s, int six)
{
	unsigned long v;
	im_addr m;
	int of;

	if (all_digits(s, strlen(s)) && strlen(s) <= 3) {
		v = strtoul(s, NULL, 10);
		return v <= (six ? 128 : 32) ? (int)v : -1;
	}
	if (!one_address(s, strlen(s), &of, &m) || of != six)
		return -1;
	for (unsigned int len = 0; len <= (six ? 128u : 32u); len++)
		if (m == (six ? ~host_bits(six, len) : (~host_bits(six, len) & 0xffffffffu)))
			return len;
	return -1;
}

bool im_addr_word(struct import *im, struct im_addrs *a, const char *s)
{
	const char *slash = strchr(s, '/'), *dash = strchr(s, '-');
	im_addr lo, hi;
	int six, of, len;

	if (dash && !slash) {
		if (!one_address(s, dash - s, &six, &lo) || !one_address(dash + 1, strlen(dash + 1), &of, &hi) ||
		    six != of || lo > hi)
			return false;
		im_span(im, a, six, lo, hi);
		return true;
	}
	if (!one_address(s, slash ? (size_t)(slash - s) : strlen(s), &six, &lo))
		return false;
	len = slash ? mask_length(slash + 1, six) : six ? 128 : 32;
	if (len < 0)
		return false;
	add_masked(im, a, six, lo, len);
	return true;
}

static int cmp_span(const void *a, const void *b)
{
	const struct im_span *p = a, *q = b;

	if (p->lo != q->lo)
		return p->lo < q->lo ? -1 : 1;
	return p->hi < q->hi ? -1 : p->hi > q->hi;
}

/* Overlapping spans become one; neighbours stay two, as they were written. */
void im_addrs_sort(struct im_addrs *a)
{
	if (a->sorted)
		return;
	for (int six = 0; six < 2; six++) {
		struct im_span *v = a->v[six];
		size_t m = 0;

		if (a->n[six])
			qsort(v, a->n[six], sizeof(*v), cmp_span);
		for (size_t i = 0; i < a->n[six]; i++) {
			if (m && v[i].lo <= v[m - 1].hi) {
				if (v[i].hi > v[m - 1].hi)
					v[m - 1].hi = v[i].hi;
			} else {
				v[m++] = v[i];
			}
		}
		/* im_push() after a sort would see room that is there: it only copies early */
		a->n[six] = m;
	}
	a->sorted = true;
}

bool im_addrs_hold(const struct im_addrs *a, int six, im_addr x)
{
	size_t lo = 0, hi = a->n[six];

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (a->v[six][mid].hi < x)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < a->n[six] && a->v[six][lo].lo <= x;
}

/* ---- ports ---- */

static bool port_end(struct import *im, struct im_place at, const char *s, size_t n, unsigned int *v)
{
	struct port_range r;
	unsigned long x = 0;

	if (all_digits(s, n)) {
		for (size_t i = 0; i < n && x < 100000; i++)
			x = 10 * x + (s[i] - '0');
		*v = x;
		return x <= 65535;
	}
	if (same_word(s, n, "imap3")) {
		im_say(im, at, IM_NOTE,
		       "\"imap3\" is port 220, a protocol nobody speaks; IMAP over TLS is imaps, port 993; "
		       "carried as 220: write imaps if 993 was meant");
		*v = 220;
		return true;
	}
	if (word_ports(s, n, &r, NULL) || r.lo != r.hi)
		return false;
	*v = r.lo;
	return true;
}

bool im_port_word(struct import *im, struct im_place at, const char *s, char between, struct port_range *out)
{
	const char *cut = strchr(s, between);
	unsigned int lo = 0, hi = 65535;

	/* a name may hold a dash */
	if (cut && between == '-' && !(s[0] >= '0' && s[0] <= '9'))
		cut = NULL;
	if (!*s || (cut == s && !cut[1]))
		return false;
	if (!cut) {
		if (!port_end(im, at, s, strlen(s), &lo))
			return false;
		hi = lo;
	} else {
		if (cut > s && !port_end(im, at, s, cut - s, &lo))
			return false;
		if (cut[1] && !port_end(im, at, cut + 1, strlen(cut + 1), &hi))
			return false;
	}
	if (lo > hi)
		return false;
	*out = (struct port_range){ lo, hi };
	return true;
}

struct im_place im_place_of_import(const struct import *im)
{
	struct im_place at = { im->path, 1 };

	/* what is missing is missing behind the last rule */
	for (size_t i = 0; i < im->nchains; i++)
		for (size_t k = 0; im->chain[i]->hook == IM_INPUT && k < im->chain[i]->n; k++)
			if (im->chain[i]->rule[k]->at.path == im->path && im->chain[i]->rule[k]->at.line)
				at = im->chain[i]->rule[k]->at;
	return at;
}

/* ---- one answer from texts ---- */

static const struct {
	const char *name;
	unsigned int family;
	void (*read)(struct import *im, const char *path, const char *text);
} dialects[] = {
	{ "iptables", IM_V4, NULL }, { "ip6tables", IM_V6, NULL }, { "ufw", 0, import_ufw },
	{ "firewalld", 0, import_firewalld }, { "nft", 0, import_nft },
};
#define NDIALECTS (sizeof(dialects) / sizeof(*dialects))

static size_t dialect_number(const char *name)
{
	size_t i = 0;

	while (i < NDIALECTS && strcmp(dialects[i].name, name))
		i++;
	return i;
}

bool import_dialect(const char *name)
{
	return dialect_number(name) < NDIALECTS;
}

/* Interfaces that packets from outside do not come in by. */
static bool is_inner(const char *s)
{
	static const char *const inner[] = { "lo",  "docker", "br-",	"veth", "virbr", "tun",	    "tap",  "wg",
					     "lxc", "lxd",    "podman", "cni",	"cali",	 "flannel", "vmbr", "incus" };

	for (size_t i = 0; i < sizeof(inner) / sizeof(*inner); i++)
		if (!strncmp(s, inner[i], strlen(inner[i])) && (i || !s[2]))
			return true;
	return false;
}

/* The first of some names, with commas between, that is none of those; "" when all are. */
static const char *outer_name(struct import *im, const char *s)
{
	for (size_t n; *s; s += n, s += *s == ',') {
		const char *name;

		n = strcspn(s, ",");
		name = im_copy(im, s, n);
		if (!n || is_inner(name))
			continue;
		if (name[n - 1] == '+')
			return n > 1 ? im_text(im, "%.*s0", (int)n - 1, name) : "eth0";
		return name;
	}
	return "";
}

/* The interface that packets come in by: the first that a rule names and that could be one. */
static void find_iface(struct import *im, bool no)
{
	for (size_t i = 0; i < im->nchains; i++) {
		const struct im_chain *c = im->chain[i];

		if (c->hook == IM_ELSEWHERE)
			continue;
		for (size_t k = 0; k < c->n; k++)
			for (size_t j = 0; j < c->rule[k]->n; j++) {
				const struct im_match *m = &c->rule[k]->m[j];

				if (m->kind == IM_IFACE && m->no == no && !*im->iface)
					im->iface = outer_name(im, m->text);
			}
	}
}

int import_run(struct import *im, const struct import_source *v, size_t n, const char *iface, FILE *out, struct diag *d)
{
	im->dialect = n ? v[0].dialect : "";
	im->iface = iface ? iface : "";
	for (size_t i = 0; i < n; i++) {
		size_t k = dialect_number(v[i].dialect);
		char *text = im_copy(im, v[i].text, v[i].len);
		const char *path = im_copy(im, v[i].path, strlen(v[i].path));

		im->path = i ? im->path : path;
		/* a NUL is a blank to whoever pasted it */
		for (size_t j = 0; j < v[i].len; j++)
			if (!text[j])
				text[j] = ' ';
		if (!dialects[k].read)
			import_iptables(im, path, text, dialects[k].family);
		else
			dialects[k].read(im, path, text);
	}
	if (im->firewalld)
		import_firewalld_end(im);
	if (!im->understood) {
		diag_error(d, "%s: nothing in it is a rule or a command of %s; see mxdp-import(8) for what is read",
			   im->path, im->dialect);
		return -EINVAL;
	}
	/* `! -i eth0 -j ACCEPT` trusts all the others: eth0 is the one that is not trusted */
	for (int no = 0; !iface && no < 2; no++)
		find_iface(im, no);
	return import_print(im, out, d);
}
