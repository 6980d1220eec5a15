// SPDX-License-Identifier: GPL-2.0-only
/*
 * Rules as a blob, little-endian:
 *
 *   "MXDPRULE" | u32 version | u32 crc32 of what follows the header | u64 length of the whole | sentences | lists
 *
 * Texts are u32 length + 1 and bytes (0: none). Prefixes are their length and 4 or 16 address bytes, counted by
 * family, so that a million of IPv4 take 5 MB.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "listpack.h"
#include "rules.h"
#include "token.h"

#define MAGIC "MXDPRULE"
#define VERSION RULES_FREEZE_VERSION
#define HEADER 24

/* ---- writing ---- */

struct out {
	uint8_t *v;
	size_t n, room;
};

static uint8_t *more(struct out *o, size_t n)
{
	if (o->n + n > o->room) {
		o->room = o->n + n > 2 * o->room ? o->n + n : 2 * o->room;
		o->v = xrealloc(o->v, o->room);
	}
	o->n += n;
	return o->v + o->n - n;
}

static void put(struct out *o, uint64_t v, unsigned int bytes)
{
	uint8_t *to = more(o, bytes);

	for (unsigned int i = 0; i < bytes; i++)
		to[i] = v >> (8 * i);
}

static void put_text(struct out *o, const char *s)
{
	size_t n = s ? strlen(s) : 0;

	put(o, s ? n + 1 : 0, 4);
	if (n)
		memcpy(more(o, n), s, n);
}

static size_t address_bytes(uint8_t family)
{
	return family == 4 ? 4 : 16;
}

static void put_prefix(struct out *o, const struct prefix *p)
{
	size_t n = address_bytes(p->family);
	uint8_t *to = more(o, 1 + n);

	to[0] = p->len;
	memcpy(to + 1, p->addr, n);
}

static void put_rate(struct out *o, const struct rate *r)
{
	put(o, r->n, 4);
	put(o, r->seconds, 4);
	put(o, r->burst, 4);
}

static void put_limits(struct out *o, const struct limits *l)
{
	put_rate(o, &l->source);
	put_rate(o, &l->global);
	put(o, l->connections, 4);
	put(o, l->len4, 1);
	put(o, l->len6, 1);
	put(o, l->over, 1);
	put(o, l->cookies, 1);
	put(o, l->ban, 8);
}

static void put_guard(struct out *o, const struct list_guard *g)
{
	put(o, g->take, 1);
	put(o, g->may_be_empty | g->expire_empty << 1 | g->private_ok << 2 | g->cover_ok << 3, 1);
	put(o, g->widest4, 1);
	put(o, g->widest6, 1);
	put(o, g->change, 4);
	put(o, g->expire, 8);
}

static void put_stmt(struct out *o, const struct stmt *s)
{
	put(o, s->kind, 1);
	put(o, s->mode, 1);
	put(o, s->deny | s->keep << 1, 1);
	put_text(o, s->at.file);
	put(o, s->at.line, 4);
	put(o, s->at.column, 4);
	put_text(o, s->name);
	put(o, s->nports, 4);
	for (size_t i = 0; i < s->nports; i++) {
		put(o, s->ports[i].lo, 2);
		put(o, s->ports[i].hi, 2);
	}
	put(o, s->nsources, 4);
	for (size_t i = 0; i < s->nsources; i++) {
		const struct source *one = &s->sources[i];

		/* the family stands for the kind of a prefix */
		put(o, one->kind == SOURCE_PREFIX ? one->prefix.family : one->kind == SOURCE_LIST, 1);
		if (one->kind == SOURCE_PREFIX)
			put_prefix(o, &one->prefix);
		else if (one->kind == SOURCE_LIST)
			put_text(o, one->list);
	}
	put(o, s->nprefixes, 4);
	for (size_t i = 0; i < s->nprefixes; i++) {
		put(o, s->prefixes[i].family, 1);
		put_prefix(o, &s->prefixes[i]);
	}
	put_text(o, s->path);
	put(o, s->min, 8);
	put(o, s->max, 8);
	put_guard(o, &s->guard);
	put(o, s->leases, 8);
	put_limits(o, &s->limits);
	put_text(o, s->comment);
}

/* `kept`: its contents are kept elsewhere. */
static void put_list(struct out *o, const struct list *l, bool kept)
{
	size_t n4 = 0;

	while (n4 < l->n && l->v[n4].family == 4)
		n4++;
	put_text(o, l->name);
	put_text(o, l->path);
	put(o, l->read_at, 8);
	put(o, l->stamp.mtime_ns, 8);
	put(o, l->stamp.size, 8);
	put(o, kept, 1);
	put(o, n4, 4);
	put(o, l->n - n4, 4);
	for (size_t i = 0; !kept && i < l->n; i++)
		put_prefix(o, &l->v[i]);
}

static void *freeze(const struct rules *r, size_t most, size_t *len)
{
	struct out o = { 0 };
	struct out head = { 0 };

	more(&o, HEADER);
	put(&o, r->n, 4);
	for (size_t i = 0; i < r->n; i++)
		put_stmt(&o, &r->v[i]);
	put(&o, r->nlists, 4);
	for (size_t i = 0; i < r->nlists; i++)
		put_list(&o, &r->lists[i], r->lists[i].n >= most);

	memcpy(more(&head, 8), MAGIC, 8);
	put(&head, VERSION, 4);
	put(&head, crc32_z(0, o.v + HEADER, o.n - HEADER), 4);
	put(&head, o.n, 8);
	memcpy(o.v, head.v, HEADER);
	free(head.v);
	*len = o.n;
	return o.v;
}

void *rules_freeze(const struct rules *r, size_t *len)
{
	return freeze(r, SIZE_MAX, len);
}

void *rules_freeze_kept(const struct rules *r, size_t *len)
{
	return freeze(r, LIST_PACKED, len);
}

/* ---- reading: nothing in the blob is believed ---- */

struct in {
	const uint8_t *v;
	size_t left;
	bool bad;
};

static uint64_t get(struct in *in, unsigned int bytes)
{
	uint64_t v = 0;

	if (in->left < bytes) {
		in->bad = true;
		return 0;
	}
	for (unsigned int i = 0; i < bytes; i++)
		v |= (uint64_t)in->v[i] << (8 * i);
	in->v += bytes;
	in->left -= bytes;
	return v;
}

/* A count of things that take at least `each` bytes: never more than can follow. */
static size_t get_count(struct in *in, size_t each)
{
	size_t n = get(in, 4);

	if (n > in->left / each)
		in->bad = true;
	return in->bad ? 0 : n;
}

/* Any bytes but NUL: the name of a directory may be no UTF-8. */
static char *get_text(struct in *in)
{
	size_t n = get(in, 4);
	char *s;

	if (in->bad || n-- == 0)
		return NULL;
	if (n > in->left || memchr(in->v, 0, n)) {
		in->bad = true;
		return NULL;
	}
	s = xmalloc(n + 1);
	memcpy(s, in->v, n);
	s[n] = '\0';
	in->v += n;
	in->left -= n;
	return s;
}

static bool host_bits(const struct prefix *p)
{
	struct prefix q = *p;

	q.len = p->family == 4 ? 32 : 128;
	for (unsigned int bit = p->len; bit < q.len; bit++)
		if (p->addr[bit / 8] & (0x80 >> (bit % 8)))
			return true;
	return false;
}

static struct prefix get_prefix(struct in *in, uint8_t family)
{
	struct prefix p = { .family = family, .len = get(in, 1) };
	size_t n = address_bytes(family);

	if (in->left < n || (family != 4 && family != 6) || p.len > 8 * n)
		in->bad = true;
	if (in->bad)
		return (struct prefix){ 0 };
	memcpy(p.addr, in->v, n);
	in->v += n;
	in->left -= n;
	if (host_bits(&p))
		in->bad = true;
	return p;
}

static void get_ports(struct in *in, struct stmt *s)
{
	size_t n = get_count(in, 4);

	s->ports = n ? xcalloc(n, sizeof(*s->ports)) : NULL;
	for (; s->nports < n && !in->bad; s->nports++) {
		struct port_range *p = &s->ports[s->nports];

		p->lo = get(in, 2);
		p->hi = get(in, 2);
		if (!p->lo || p->lo > p->hi)
			in->bad = true;
	}
}

static void get_source(struct in *in, struct source *one)
{
	uint8_t kind = get(in, 1);

	if (kind == 4 || kind == 6) {
		one->kind = SOURCE_PREFIX;
		one->prefix = get_prefix(in, kind);
	} else if (kind == 1) {
		one->kind = SOURCE_LIST;
		one->list = get_text(in);
		if (!one->list || !list_name_ok(one->list, strlen(one->list)))
			in->bad = true;
	} else if (kind != 0) {
		in->bad = true;
	}
}

static void get_sources(struct in *in, struct stmt *s)
{
	size_t n = get_count(in, 1);

	s->sources = n ? xcalloc(n, sizeof(*s->sources)) : NULL;
	for (; s->nsources < n && !in->bad; s->nsources++)
		get_source(in, &s->sources[s->nsources]);
}

static void get_prefixes(struct in *in, struct stmt *s)
{
	size_t n = get_count(in, 6);

	s->prefixes = n ? xcalloc(n, sizeof(*s->prefixes)) : NULL;
	for (; s->nprefixes < n && !in->bad; s->nprefixes++) {
		uint8_t family = get(in, 1);

		s->prefixes[s->nprefixes] = get_prefix(in, family);
	}
}

static struct rate get_rate(struct in *in)
{
	struct rate r = { .n = get(in, 4) };

	r.seconds = get(in, 4);
	r.burst = get(in, 4);
	if (r.n > 1000000 || r.seconds > 86400 || r.burst > 1000000 || !r.n != !r.seconds || !r.n != !r.burst)
		in->bad = true;
	return r;
}

static void get_limits(struct in *in, struct limits *l)
{
	l->source = get_rate(in);
	l->global = get_rate(in);
	l->connections = get(in, 4);
	l->len4 = get(in, 1);
	l->len6 = get(in, 1);
	l->over = get(in, 1);
	l->cookies = get(in, 1);
	l->ban = get(in, 8);
	if (l->connections > 1000000 || l->len4 > 32 || l->len6 > 128 || !l->len4 != !l->len6 || l->over > OVER_BAN ||
	    l->cookies > COOKIES_NEVER || (l->len4 == LIMIT_LEN4 && l->len6 == LIMIT_LEN6) ||
	    (l->len4 && !l->source.n && !l->connections) || (l->over && !limits_any(l)) ||
	    (l->over == OVER_BAN ? !l->ban || l->ban < -1 || l->ban > 10LL * 366 * 86400 : l->ban) || limits_wrong(l))
		in->bad = true;
}

/* Has a sentence of its kind what the rest of the program counts on, and nothing that its kind cannot say? */
static bool stmt_whole(const struct stmt *s)
{
	static const struct list_guard unsaid;
	bool rule = s->kind == STMT_ADMIN || s->kind == STMT_ALLOW || s->kind == STMT_DENY;
	bool must_have_sources = s->kind == STMT_ADMIN || s->kind == STMT_EXEMPT || s->kind == STMT_BLOCK;
	bool list = s->kind == STMT_LIST, iface = s->kind == STMT_INTERFACE;

	if (s->name ? !(list || iface) : list || iface)
		return false;
	if ((list && !list_name_ok(s->name, strlen(s->name))) || (iface && !iface_name_ok(s->name, strlen(s->name))))
		return false;
	if ((s->nports != 0) != rule || (must_have_sources && !s->nsources))
		return false;
	if (s->nsources && !rule && !must_have_sources)
		return false;
	if (!list && (s->nprefixes || s->path || s->min || s->max))
		return false;
	if ((!s->path && !guard_same(&s->guard, &unsaid)) || (s->guard.may_be_empty && s->min))
		return false;
	if (s->comment && !text_clean(s->comment, strlen(s->comment), NULL))
		return false;
	if ((s->path && !*s->path) || (!s->path && (s->min || s->max)) || (s->max && s->min > s->max))
		return false;
	if (s->kind != STMT_ALLOW && (limits_any(&s->limits) || s->limits.cookies))
		return false;
	if (s->leases > 1024 * 1024 || s->min > 1000000000 || s->max > 1000000000)
		return false;
	return (s->mode == MODE_NATIVE || iface) && (!s->deny || s->kind == STMT_DEFAULT) && (!s->keep || s->kind == STMT_ON_STOP) &&
	       (!s->leases || s->kind == STMT_TRACK);
}

static void get_guard(struct in *in, struct list_guard *g)
{
	unsigned int take = get(in, 1), flags = get(in, 1);

	g->take = take;
	g->may_be_empty = flags & 1;
	g->expire_empty = flags & 2;
	g->private_ok = flags & 4;
	g->cover_ok = flags & 8;
	g->widest4 = get(in, 1);
	g->widest6 = get(in, 1);
	g->change = get(in, 4);
	g->expire = get(in, 8);
	if (take > TAKE_PERMIT || flags > 15 || g->widest4 > 32 || g->widest6 > 128 || !g->widest4 != !g->widest6 ||
	    (g->change > 1000000 && g->change != CHANGE_ANY) || g->expire < 0 || (g->expire_empty && !g->expire))
		in->bad = true;
}

static void get_stmt(struct in *in, struct stmt *s)
{
	unsigned int kind = get(in, 1), mode = get(in, 1), deny = get(in, 1);

	s->kind = kind;
	s->mode = mode;
	s->deny = deny & 1;
	s->keep = deny >> 1;
	s->at.file = get_text(in);
	s->at.line = get(in, 4);
	s->at.column = get(in, 4);
	s->name = get_text(in);
	get_ports(in, s);
	get_sources(in, s);
	get_prefixes(in, s);
	s->path = get_text(in);
	s->min = get(in, 8);
	s->max = get(in, 8);
	get_guard(in, &s->guard);
	s->leases = get(in, 8);
	get_limits(in, &s->limits);
	s->comment = get_text(in);
	if (kind > STMT_ON_STOP || mode > MODE_AUTO || deny > 3 || !stmt_whole(s))
		in->bad = true;
}

static void get_list(struct in *in, struct list *l)
{
	size_t n4, n6, kept;

	l->name = get_text(in);
	l->path = get_text(in);
	l->read_at = get(in, 8);
	l->stamp.mtime_ns = get(in, 8);
	l->stamp.size = get(in, 8);
	kept = get(in, 1);
	n4 = get(in, 4);
	n6 = get(in, 4);
	if (!l->name || !list_name_ok(l->name, strlen(l->name)) || kept > 1 || (kept && n4 + n6 < LIST_PACKED))
		in->bad = true;
	if (!kept && (n4 > in->left / 5 || n6 > in->left / 17))
		in->bad = true;
	if (in->bad)
		return;
	if (kept) {
		l->kept = true;
		l->n = n4 + n6;
		return;
	}
	l->v = n4 + n6 ? xmalloc((n4 + n6) * sizeof(*l->v)) : NULL;
	for (; l->n < n4 + n6 && !in->bad; l->n++) {
		l->v[l->n] = get_prefix(in, l->n < n4 ? 4 : 6);
		if (l->n && prefix_cmp(&l->v[l->n - 1], &l->v[l->n]) >= 0)
			in->bad = true;
	}
}

#define STMT_LEAST 119 /* bytes of a sentence in which nothing is said */
#define LIST_LEAST 41

static void get_all(struct in *in, struct rules *r)
{
	size_t n = get_count(in, STMT_LEAST);

	r->v = n ? xcalloc(n, sizeof(*r->v)) : NULL;
	for (; r->n < n && !in->bad; r->n++)
		get_stmt(in, &r->v[r->n]);
	n = get_count(in, LIST_LEAST);
	r->lists = n ? xcalloc(n, sizeof(*r->lists)) : NULL;
	for (; r->nlists < n && !in->bad; r->nlists++)
		get_list(in, &r->lists[r->nlists]);
	if (in->left)
		in->bad = true;
}

static int damaged(struct diag *d)
{
	diag_error(d, "the rules kept in the kernel are damaged; `mxdp apply` puts the rules of the files in force");
	return -EBADMSG;
}

/* What was kept in blocks of fixed size may come with zeros behind it. */
static bool only_zeros(const uint8_t *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (v[i])
			return false;
	return true;
}

int rules_thaw(struct rules *r, const void *blob, size_t len, struct diag *d)
{
	int err = rules_thaw_partly(r, blob, len, d);

	for (size_t i = 0; !err && i < r->nlists; i++)
		if (r->lists[i].kept)
			err = damaged(d);
	if (err)
		rules_free(r);
	return err;
}

int rules_thaw_partly(struct rules *r, const void *blob, size_t len, struct diag *d)
{
	struct in in = { .v = blob, .left = len };
	uint32_t version, crc;
	uint64_t whole;

	*r = (struct rules){ 0 };
	if (len < HEADER || memcmp(blob, MAGIC, 8))
		return damaged(d);
	in.v += 8;
	in.left -= 8;
	version = get(&in, 4);
	crc = get(&in, 4);
	whole = get(&in, 8);
	if (version != VERSION) {
		diag_error(d, "the rules kept in the kernel have format %u and this mxdp knows format %u; `mxdp apply` "
			   "puts the rules of the files in force", version, VERSION);
		return -EBADMSG;
	}
	if (whole < HEADER || whole > len || !only_zeros((const uint8_t *)blob + whole, len - whole))
		return damaged(d);
	in.left = whole - HEADER;
	if (crc32_z(0, in.v, in.left) != crc)
		return damaged(d);
	get_all(&in, r);
	if (in.bad) {
		rules_free(r);
		return damaged(d);
	}
	return 0;
}
