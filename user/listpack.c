// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "listpack.h"
#include "token.h"

/* ---- addresses as numbers ---- */

struct key {
	uint64_t hi, lo;
	uint8_t len;
};

static uint64_t key4(const struct prefix *p)
{
	return (load_be64(p->addr) >> 32) << 8 | p->len;
}

static struct prefix prefix4(uint64_t key)
{
	struct prefix p = { .family = 4, .len = key };

	store_be64(p.addr, key >> 8 << 32);
	return p;
}

static struct key key6(const struct prefix *p)
{
	return (struct key){ load_be64(p->addr), load_be64(p->addr + 8), p->len };
}

static struct prefix prefix6(const struct key *k)
{
	struct prefix p = { .family = 6, .len = k->len };

	store_be64(p.addr, k->hi);
	store_be64(p.addr + 8, k->lo);
	return p;
}

static int cmp6(const struct key *a, const struct key *b)
{
	if (a->hi != b->hi)
		return a->hi < b->hi ? -1 : 1;
	if (a->lo != b->lo)
		return a->lo < b->lo ? -1 : 1;
	return (int)a->len - b->len;
}

/* ---- the pack ---- */

static const uint64_t *halves(const struct listpack *p)
{
	return p->v + p->n4;
}

static const uint64_t *longs(const struct listpack *p)
{
	return halves(p) + p->n6;
}

static const uint8_t *lengths(const struct listpack *p)
{
	return (const uint8_t *)(longs(p) + 2 * (size_t)p->n6_long);
}

static struct key get_short(const struct listpack *p, size_t i)
{
	return (struct key){ halves(p)[i], 0, lengths(p)[i] };
}

static struct key get_long(const struct listpack *p, size_t i)
{
	return (struct key){ longs(p)[2 * i], longs(p)[2 * i + 1], lengths(p)[p->n6 + i] };
}

static void count(const struct prefix *v, size_t n, struct listpack *head)
{
	*head = (struct listpack){ .magic = LISTPACK_MAGIC };
	for (size_t i = 0; i < n; i++) {
		head->n4 += v[i].family == 4;
		head->n6 += v[i].family == 6 && v[i].len <= 64;
		head->n6_long += v[i].family == 6 && v[i].len > 64;
	}
}

static size_t size_of(const struct listpack *p)
{
	return sizeof(*p) + 8 * ((size_t)p->n4 + p->n6 + 2 * (size_t)p->n6_long) + p->n6 + p->n6_long;
}

size_t listpack_size(const struct prefix *v, size_t n)
{
	struct listpack head;

	count(v, n, &head);
	return size_of(&head);
}

void listpack_write(struct listpack *to, const struct prefix *v, size_t n)
{
	uint64_t *half, *both;
	uint8_t *len, *len_long;
	size_t n4 = 0;

	count(v, n, to);
	half = (uint64_t *)halves(to);
	both = (uint64_t *)longs(to);
	len = (uint8_t *)lengths(to);
	len_long = len + to->n6;
	for (; n4 < n && v[n4].family == 4; n4++)
		to->v[n4] = key4(&v[n4]);
	for (size_t i = n4; i < n; i++) {
		struct key k = key6(&v[i]);

		if (k.len <= 64) {
			*half++ = k.hi;
			*len++ = k.len;
		} else {
			*both++ = k.hi;
			*both++ = k.lo;
			*len_long++ = k.len;
		}
	}
}

bool listpack_whole(const struct listpack *p, size_t len)
{
	return len >= sizeof(*p) && p->magic == LISTPACK_MAGIC && size_of(p) <= len;
}

/* The first that is not before k. */
static size_t find4(const struct listpack *p, uint64_t k)
{
	size_t lo = 0, hi = p->n4;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (p->v[mid] < k)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static size_t find6(const struct listpack *p, struct key (*get)(const struct listpack *, size_t), size_t n,
		    const struct key *k)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;
		struct key at = get(p, mid);

		if (cmp6(&at, k) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool pack_has(const struct listpack *p, const struct prefix *x)
{
	struct key k, at;
	size_t i;

	if (x->family == 4) {
		i = find4(p, key4(x));
		return i < p->n4 && p->v[i] == key4(x);
	}
	k = key6(x);
	i = k.len <= 64 ? find6(p, get_short, p->n6, &k) : find6(p, get_long, p->n6_long, &k);
	if (i == (k.len <= 64 ? p->n6 : p->n6_long))
		return false;
	at = k.len <= 64 ? get_short(p, i) : get_long(p, i);
	return !cmp6(&at, &k);
}

/* ---- a few prefixes, sorted ---- */

static size_t place_in(const struct prefix *v, size_t n, const struct prefix *p)
{
	size_t lo = 0, hi = n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (prefix_cmp(&v[mid], p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static bool is_in(const struct prefix *v, size_t n, const struct prefix *p)
{
	size_t at = place_in(v, n, p);

	return at < n && !prefix_cmp(&v[at], p);
}

static void put_in(struct prefix **v, size_t *n, const struct prefix *p)
{
	size_t at = place_in(*v, *n, p);

	if (!(*n & (*n - 1)))
		*v = xrealloc(*v, (*n ? 2 * *n : 1) * sizeof(**v));
	memmove(*v + at + 1, *v + at, (*n - at) * sizeof(**v));
	(*v)[at] = *p;
	++*n;
}

static void take_out(struct prefix *v, size_t *n, const struct prefix *p)
{
	size_t at = place_in(v, *n, p);

	--*n;
	memmove(v + at, v + at + 1, (*n - at) * sizeof(*v));
}

/* ---- the list ---- */

bool list_has(const struct list *l, const struct prefix *p)
{
	if (!l->pack)
		return is_in(l->v, l->n, p);
	if (is_in(l->added, l->nadded, p))
		return true;
	return pack_has(l->pack, p) && !is_in(l->removed, l->nremoved, p);
}

bool list_change(struct list *l, const struct prefix *p, bool add)
{
	if (list_has(l, p) == add)
		return false;
	if (!l->pack) {
		/* its room is not known */
		if (add) {
			size_t at = place_in(l->v, l->n, p);

			l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
			memmove(l->v + at + 1, l->v + at, (l->n++ - at) * sizeof(*l->v));
			l->v[at] = *p;
		} else {
			take_out(l->v, &l->n, p);
		}
		return true;
	}
	if (add && is_in(l->removed, l->nremoved, p))
		take_out(l->removed, &l->nremoved, p);
	else if (add)
		put_in(&l->added, &l->nadded, p);
	else if (is_in(l->added, l->nadded, p))
		take_out(l->added, &l->nadded, p);
	else
		put_in(&l->removed, &l->nremoved, p);
	l->n += add ? 1 : -1;
	return true;
}

struct around {
	const struct list *l;
	struct prefix **v;
	size_t *n;
	size_t most;
};

static bool found(struct around *a, const struct prefix *p)
{
	if (a->l->pack && is_in(a->l->removed, a->l->nremoved, p))
		return true;
	if (*a->n == a->most)
		return false;
	if (!(*a->n & (*a->n - 1)))
		*a->v = xrealloc(*a->v, (*a->n ? 2 * *a->n : 1) * sizeof(**a->v));
	(*a->v)[(*a->n)++] = *p;
	return true;
}

static struct prefix last_of(const struct prefix *p)
{
	struct prefix last = *p;

	last.len = p->family == 4 ? 32 : 128;
	for (unsigned int bit = p->len; bit < last.len; bit++)
		last.addr[bit / 8] |= 0x80 >> bit % 8;
	return last;
}

static bool inside6(struct around *a, struct key (*get)(const struct listpack *, size_t), size_t n, const struct prefix *x)
{
	const struct listpack *p = a->l->pack;
	struct prefix last = last_of(x), one;
	struct key from = key6(x), to = key6(&last), k;

	for (size_t i = find6(p, get, n, &from); i < n; i++) {
		k = get(p, i);
		if (cmp6(&k, &to) > 0)
			break;
		one = prefix6(&k);
		if (!found(a, &one))
			return false;
	}
	return true;
}

static bool inside_pack(struct around *a, const struct prefix *x)
{
	const struct listpack *p = a->l->pack;
	struct prefix last = last_of(x), one;

	if (x->family == 6)
		return inside6(a, get_short, p->n6, x) && inside6(a, get_long, p->n6_long, x);
	for (size_t i = find4(p, key4(x)); i < p->n4 && p->v[i] <= key4(&last); i++) {
		one = prefix4(p->v[i]);
		if (!found(a, &one))
			return false;
	}
	return true;
}

static bool inside_few(struct around *a, const struct prefix *v, size_t n, const struct prefix *x)
{
	for (size_t i = place_in(v, n, x); i < n && prefix_covers(x, &v[i]); i++)
		if (!found(a, &v[i]))
			return false;
	return true;
}

bool list_around(const struct list *l, const struct prefix *p, size_t most, struct prefix **v, size_t *n)
{
	struct around a = { l, v, n, most };
	struct prefix wide = *p;

	while (wide.len) {
		wide.len--;
		wide.addr[wide.len / 8] &= 0xff00 >> wide.len % 8;
		if (list_has(l, &wide) && !found(&a, &wide))
			return false;
	}
	if (!l->pack)
		return inside_few(&a, l->v, l->n, p);
	return inside_pack(&a, p) && inside_few(&a, l->added, l->nadded, p);
}

/* All of the pack but what was removed, and what was added, in order. */
void list_unpack(struct list *l)
{
	const struct listpack *p = l->pack;
	size_t n = 0, i = 0, k = 0;

	if (!p)
		return;
	l->v = xmalloc((listpack_count(p) + l->nadded) * sizeof(*l->v));
	for (size_t at = 0; at < p->n4; at++)
		l->v[n++] = prefix4(p->v[at]);
	while (i < p->n6 || k < p->n6_long) {
		struct key a = i < p->n6 ? get_short(p, i) : (struct key){ ~0ULL, ~0ULL, 255 };
		struct key b = k < p->n6_long ? get_long(p, k) : (struct key){ ~0ULL, ~0ULL, 255 };
		bool first = cmp6(&a, &b) < 0;

		l->v[n++] = prefix6(first ? &a : &b);
		*(first ? &i : &k) += 1;
	}
	if (l->nremoved) {
		size_t left = 0;

		for (size_t at = 0; at < n; at++)
			if (!is_in(l->removed, l->nremoved, &l->v[at]))
				l->v[left++] = l->v[at];
		n = left;
	}
	if (l->nadded) {
		memcpy(l->v + n, l->added, l->nadded * sizeof(*l->v));
		n += l->nadded;
		prefixes_sort(l->v, &n);
	}
	free(l->added);
	free(l->removed);
	l->added = l->removed = NULL;
	l->nadded = l->nremoved = 0;
	l->pack = NULL;
	l->n = n;
}

/* ---- the file it came from ---- */

static struct list_stamp stamp(const struct stat *st)
{
	return (struct list_stamp){ st->st_mtim.tv_sec * 1000000000LL + st->st_mtim.tv_nsec, st->st_size };
}

struct list_stamp list_stamp_of(const char *path)
{
	struct stat st;

	return stat(path, &st) ? (struct list_stamp){ 0 } : stamp(&st);
}

struct list_stamp list_stamp_at(int fd)
{
	struct stat st;

	return fstat(fd, &st) ? (struct list_stamp){ 0 } : stamp(&st);
}

bool list_stamp_same(const struct list_stamp *a, const struct list_stamp *b)
{
	return a->mtime_ns && a->mtime_ns == b->mtime_ns && a->size == b->size;
}

/* ---- edits ---- */

struct list_edit list_edit_of(enum list_op op, uint32_t list, const struct prefix *p)
{
	struct list_edit e = { .op = op, .family = p->family, .len = p->len, .list = list };

	memcpy(e.addr, p->addr, sizeof(e.addr));
	return e;
}

struct list_edit list_edit_stamp(uint32_t list, const struct list_stamp *s)
{
	struct list_edit e = { .op = LIST_READ, .list = list };

	_Static_assert(sizeof(*s) == sizeof(e.addr), "a stamp fits");
	memcpy(e.addr, s, sizeof(e.addr));
	return e;
}

/* The list of a sentence without a file is said by the sentence. */
static void change_sentence(struct rules *r, const struct list *l, const struct prefix *p, bool add)
{
	for (size_t i = 0; i < r->n; i++) {
		struct stmt *s = &r->v[i];
		size_t left = 0;

		if (s->kind != STMT_LIST || s->path || strcmp(s->name, l->name))
			continue;
		if (add) {
			s->prefixes = xrealloc(s->prefixes, (s->nprefixes + 1) * sizeof(*p));
			s->prefixes[s->nprefixes++] = *p;
			return;
		}
		for (size_t k = 0; k < s->nprefixes; k++)
			if (prefix_cmp(&s->prefixes[k], p))
				s->prefixes[left++] = s->prefixes[k];
		s->nprefixes = left;
		return;
	}
}

static bool prefix_sound(const struct prefix *p)
{
	struct prefix q = *p;

	if ((p->family != 4 || p->len > 32) && (p->family != 6 || p->len > 128))
		return false;
	for (unsigned int bit = p->len; bit < 128; bit++)
		q.addr[bit / 8] &= ~(0x80 >> bit % 8);
	return !memcmp(q.addr, p->addr, sizeof(q.addr));
}

static bool do_edit(struct rules *r, const struct list_edit *e)
{
	struct prefix p = { .family = e->family, .len = e->len };
	struct list *l = e->list < r->nlists ? &r->lists[e->list] : NULL;

	if (!l)
		return false;
	if (e->op == LIST_READ) {
		memcpy(&l->stamp, e->addr, sizeof(l->stamp));
		return true;
	}
	memcpy(p.addr, e->addr, sizeof(p.addr));
	if ((e->op != LIST_ADD && e->op != LIST_DEL) || !prefix_sound(&p))
		return false;
	if (list_change(l, &p, e->op == LIST_ADD))
		change_sentence(r, l, &p, e->op == LIST_ADD);
	return true;
}

/* ---- rules as they are kept ---- */

void kept_rules_free(struct kept_rules *k)
{
	free(k->blob);
	free(k->packs);
	free(k->edits);
	*k = (struct kept_rules){ 0 };
}

static int damaged(struct rules *r, struct diag *d)
{
	rules_free(r);
	diag_error(d, "the lists kept in the kernel are damaged; `mxdp apply` puts the rules of the files in force");
	return -EBADMSG;
}

int rules_thaw_kept(struct rules *r, const struct kept_rules *k, struct diag *d)
{
	int err = rules_thaw_partly(r, k->blob, k->len, d);
	size_t n = 0;

	if (err)
		return err;
	for (size_t i = 0; i < r->nlists; i++) {
		struct list *l = &r->lists[i];

		if (!l->kept)
			continue;
		if (n == k->npacks || listpack_count(k->packs[n]) != l->n)
			return damaged(r, d);
		l->pack = k->packs[n++];
		l->kept = false;
	}
	for (size_t i = 0; i < k->nedits; i++)
		if (!do_edit(r, &k->edits[i]))
			return damaged(r, d);
	return 0;
}

void *rules_whole(const struct kept_rules *k, size_t *len, struct diag *d)
{
	struct rules r;
	void *blob;

	if (rules_thaw_kept(&r, k, d))
		return NULL;
	for (size_t i = 0; i < r.nlists; i++)
		list_unpack(&r.lists[i]);
	blob = rules_freeze(&r, len);
	rules_free(&r);
	return blob;
}
