// SPDX-License-Identifier: GPL-2.0-only
/*
 * Lists in which a line can take out of what another line says: Postfix's tables, where the first line that fits
 * decides, and ipsets, where the most specific one does.
 */
#include <stdlib.h>
#include <string.h>
#include "listread.h"

static void entry_put(struct reader *r, const struct prefix *p, unsigned int action)
{
	if (r->ne == MAX_PREFIXES)
		return;
	if (r->ne == r->room_e) {
		r->room_e = r->room_e ? 2 * r->room_e : 1024;
		r->e = xrealloc(r->e, r->room_e * sizeof(*r->e));
	}
	r->e[r->ne++] = (struct entry){ *p, action, r->line };
	if (r->ne == MAX_PREFIXES)
		list_say(r, 0, "with this line the list holds more than %u prefixes", MAX_PREFIXES);
}

/* ---- holes ---- */

static int by_prefix(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;
	int c = prefix_cmp(&x->p, &y->p);

	return c ? c : x->line < y->line ? -1 : x->line > y->line;
}

struct entries {
	struct entry *v;
	size_t n;
	bool lens[129]; /* which lengths there are */
};

/* Those with that action, or (`not`) all others; sorted, and of equal prefixes the first line only. */
static struct entries pick(const struct reader *r, unsigned int action, bool not)
{
	struct entries x = { .v = xmalloc(r->ne * sizeof(*x.v)) };
	size_t n = 0;

	for (size_t i = 0; i < r->ne; i++)
		if ((r->e[i].action == action) != not)
			x.v[n++] = r->e[i];
	qsort(x.v, n, sizeof(*x.v), by_prefix);
	for (size_t i = 0; i < n; i++)
		x.lens[x.v[i].p.len] = true;
	for (size_t i = 0; i < n; i++)
		if (!x.n || prefix_cmp(&x.v[x.n - 1].p, &x.v[i].p))
			x.v[x.n++] = x.v[i];
	return x;
}

/* The first of x that does not come before p. */
static size_t lower(const struct entries *x, const struct prefix *p)
{
	size_t lo = 0, hi = x->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (prefix_cmp(&x->v[mid].p, p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct prefix widened(const struct prefix *p, unsigned int len)
{
	struct prefix q = *p;

	q.len = len;
	for (unsigned int i = len / 8; i < sizeof(q.addr); i++)
		q.addr[i] &= i == len / 8 ? 0xff00 >> (len % 8) : 0;
	return q;
}

static bool hidden(const struct entries *holes, const struct entry *e)
{
	for (unsigned int len = 0; len <= e->p.len; len++) {
		struct prefix q;
		size_t i;

		if (!holes->lens[len])
			continue;
		q = widened(&e->p, len);
		i = lower(holes, &q);
		if (i < holes->n && !prefix_cmp(&holes->v[i].p, &q) && holes->v[i].line < e->line)
			return true;
	}
	return false;
}

/* p without the holes, which lie in it. */
static void carve(struct reader *r, const struct prefix *p, const struct prefix *hole, size_t n)
{
	struct prefix half = *p;
	size_t k = 0;

	if (n == 0) {
		list_put(r, p, ACT_ADD);
		return;
	}
	/* parents come before children */
	if (hole[0].len <= p->len)
		return;
	half.len++;
	while (k < n && prefix_covers(&half, &hole[k]))
		k++;
	carve(r, &half, hole, k);
	half.addr[p->len / 8] |= 0x80 >> (p->len % 8);
	carve(r, &half, hole + k, n - k);
}

static void put_without(struct reader *r, const struct entry *e, const struct entries *holes, bool first_wins)
{
	__cleanup_free struct prefix *in = NULL;
	size_t n = 0, i = lower(holes, &e->p), end = i;

	if (first_wins && hidden(holes, e))
		return;
	while (end < holes->n && prefix_covers(&e->p, &holes->v[end].p))
		end++;
	in = end > i ? xmalloc((end - i) * sizeof(*in)) : NULL;
	for (; i < end; i++)
		if (first_wins ? holes->v[i].line < e->line : holes->v[i].p.len > e->p.len)
			in[n++] = holes->v[i].p;
	carve(r, &e->p, in, n);
}

/* f->v becomes what the lines with `action` hold and no line in their way does. */
static void settle(struct reader *r, unsigned int action, bool first_wins)
{
	struct entries taken = { 0 }, holes = { 0 };
	size_t others = 0;

	for (size_t i = 0; i < r->ne; i++)
		others += r->e[i].action != action;
	if (!others) {
		for (size_t i = 0; i < r->ne; i++)
			list_put(r, &r->e[i].p, ACT_ADD);
		return;
	}
	taken = pick(r, action, false);
	holes = pick(r, action, true);
	for (size_t i = 0; i < taken.n && !r->full; i++)
		put_without(r, &taken.v[i], &holes, first_wins);
	free(taken.v);
	free(holes.v);
}

/* ---- Postfix's table ---- */

bool table_action(const char *s, size_t n, unsigned int *action)
{
	static const struct {
		const char *word;
		unsigned int action;
	} known[] = { { "permit", ACT_PERMIT }, { "ok", ACT_PERMIT }, { "reject", ACT_REJECT }, { "dunno", ACT_DUNNO } };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
		if (!same_word(s, n, known[i].word))
			continue;
		*action = known[i].action;
		return true;
	}
	return false;
}

void table_line(struct reader *r, const char *s, size_t n)
{
	size_t at = 0, len, more, word = list_word(s, n, &at, &len), act = list_word(s, n, &at, &more);
	unsigned int action;

	if (list_blank(s[0])) {
		list_say(r, 0, "a line that begins with a blank continues the one before it in such a table; join them");
	} else if (s[word] == '!' || same_word(s + word, len, "if") || same_word(s + word, len, "endif")) {
		list_say(r, word, "\"%.*s\": conditions are not followed here; write the prefixes that are meant",
			 clip(s + word, len), s + word);
	} else if (!more) {
		list_say(r, word, "no action behind \"%.*s\"; permit, reject and dunno are known", clip(s + word, len),
			 s + word);
	} else if (!table_action(s + act, more, &action)) {
		list_say(r, act, "unknown action \"%.*s\"; permit, reject and dunno are known", clip(s + act, more), s + act);
	} else {
		list_entry(r, s + word, len, word, entry_put, action);
	}
}

static const struct entry *first_with(const struct reader *r, unsigned int action)
{
	for (size_t i = 0; i < r->ne; i++)
		if (r->e[i].action == action)
			return &r->e[i];
	return NULL;
}

void table_end(struct reader *r)
{
	const struct entry *permit = first_with(r, ACT_PERMIT), *reject = first_with(r, ACT_REJECT);
	unsigned int action = r->f->take == TAKE_PERMIT ? ACT_PERMIT : ACT_REJECT;
	char buf[PREFIX_TEXT];

	if (r->f->take == TAKE_UNSAID && permit && reject) {
		r->line = permit->line > reject->line ? permit->line : reject->line;
		list_say(r, 0, "the table permits (line %u) and rejects (line %u); say which of them the list is to hold: "
			 "\"take reject\" or \"take permit\" behind the file in its sentence", permit->line, reject->line);
		return;
	}
	if (r->f->take == TAKE_UNSAID && permit)
		action = ACT_PERMIT;
	r->f->took = action == ACT_PERMIT ? TAKE_PERMIT : TAKE_REJECT;
	for (size_t i = 0; i < r->ne; i++) {
		if (r->e[i].action != action || r->e[i].p.len)
			continue;
		r->line = r->e[i].line;
		list_say(r, 0, "%s is everything, and a list cannot hold that; write \"any\" in the sentence instead",
			 prefix_text(&r->e[i].p, buf));
		return;
	}
	settle(r, action, true);
}

/* ---- ipset ---- */

static struct ipset *set_named(struct reader *r, const char *name, size_t n)
{
	for (size_t i = 0; i < r->nsets; i++)
		if (strlen(r->set[i].name) == n && !memcmp(r->set[i].name, name, n))
			return &r->set[i];
	return NULL;
}

static void create_option(struct reader *r, struct ipset *set, const char *s, size_t n, const char *value, size_t len, size_t at)
{
	unsigned long number;

	if (same_word(s, n, "family")) {
		set->family = same_word(value, len, "inet") ? 4 : same_word(value, len, "inet6") ? 6 : 0;
		if (!set->family)
			list_say(r, at, "unknown family \"%.*s\"; inet and inet6 are known", clip(value, len), value);
	} else if (same_word(s, n, "netmask")) {
		if (word_number(value, len, 128, &number))
			set->netmask = number;
		else
			list_say(r, at, "\"%.*s\" is no netmask", clip(value, len), value);
	} else if (same_word(s, n, "bitmask")) {
		list_say(r, at, "a set with a bitmask cannot be said in prefixes");
	}
}

/* create NAME TYPE [OPTION VALUE]... */
static void create_line(struct reader *r, const char *s, size_t n, size_t at)
{
	size_t ln, lt, lo, lv, name = list_word(s, n, &at, &ln), type = list_word(s, n, &at, &lt), option, value;
	struct ipset set = { .family = 4 };

	if (!ln || ln >= sizeof(set.name) || !lt) {
		list_say(r, name, "expected the name and the type of a set");
		return;
	}
	if (!same_word(s + type, lt, "hash:ip") && !same_word(s + type, lt, "hash:net")) {
		list_say(r, type, "the set \"%.*s\" is of type %.*s, and a list holds what hash:ip and hash:net hold",
			 clip(s + name, ln), s + name, clip(s + type, lt), s + type);
		return;
	}
	memcpy(set.name, s + name, ln);
	for (;;) {
		option = list_word(s, n, &at, &lo);
		/* these stand alone; every other word has a value behind it */
		if (same_word(s + option, lo, "counters") || same_word(s + option, lo, "comment") ||
		    same_word(s + option, lo, "skbinfo") || same_word(s + option, lo, "forceadd") ||
		    same_word(s + option, lo, "-exist"))
			continue;
		if (!lo)
			break;
		value = list_word(s, n, &at, &lv);
		create_option(r, &set, s + option, lo, s + value, lv, value);
	}
	if (set_named(r, s + name, ln) || (r->nsets && r->set[0].family == set.family) || r->nsets == 2) {
		list_say(r, name, "a second set, \"%s\" after \"%s\"; a list's file holds one of each family: ipset save %s",
			 set.name, r->set[0].name, r->set[0].name);
		return;
	}
	r->set[r->nsets++] = set;
}

/* What stands behind the entry of an add; false: wrong, and said. */
static bool add_options(struct reader *r, const char *s, size_t n, size_t at, unsigned int *action)
{
	static const char *const with_value[] = { "packets", "bytes", "skbmark", "skbprio", "skbqueue" };
	size_t len, lv, word, value;

	for (;;) {
		bool known = false;

		word = list_word(s, n, &at, &len);
		if (!len)
			return true;
		if (same_word(s + word, len, "nomatch")) {
			*action = ACT_NOMATCH;
			continue;
		}
		if (same_word(s + word, len, "-exist") || same_word(s + word, len, "-!"))
			continue;
		if (same_word(s + word, len, "comment"))
			return true;
		value = list_word(s, n, &at, &lv);
		if (same_word(s + word, len, "timeout") && all_digits(s + value, lv)) {
			r->timeouts += !same_word(s + value, lv, "0");
			continue;
		}
		for (size_t i = 0; i < sizeof(with_value) / sizeof(with_value[0]); i++)
			known |= same_word(s + word, len, with_value[i]) && lv;
		if (known)
			continue;
		list_say(r, word, "unexpected \"%.*s\"", clip(s + word, len), s + word);
		return false;
	}
}

/* A comment may hold the word nomatch; it comes last in what ipset prints, but for marks, which do not matter here. */
static void add_line(struct reader *r, const char *s, size_t n, size_t at)
{
	size_t ln, le, before = r->ne, name = list_word(s, n, &at, &ln), entry = list_word(s, n, &at, &le);
	const struct ipset *set = set_named(r, s + name, ln);
	unsigned int action = ACT_ADD;

	if (!ln || !le) {
		list_say(r, at, "expected the name of a set and an entry");
		return;
	}
	if (r->nsets && !set) {
		list_say(r, name, "no set \"%.*s\" was created above", clip(s + name, ln), s + name);
		return;
	}
	if (!add_options(r, s, n, at, &action) || !list_entry(r, s + entry, le, entry, entry_put, action))
		return;
	for (size_t i = before; set && i < r->ne; i++) {
		struct prefix *p = &r->e[i].p;

		if (p->family != set->family) {
			list_say(r, entry, "\"%.*s\" is IPv%u, and the set \"%s\" is of the other family", clip(s + entry, le),
				 s + entry, p->family, set->name);
			r->ne = before;
		} else if (set->netmask && set->netmask < p->len) {
			*p = widened(p, set->netmask);
		}
	}
}

void ipset_line(struct reader *r, const char *s, size_t n)
{
	size_t at = 0, len, word = list_word(s, n, &at, &len);

	if (same_word(s + word, len, "create"))
		create_line(r, s, n, at);
	else if (same_word(s + word, len, "add"))
		add_line(r, s, n, at);
	else
		list_say(r, word, "unexpected \"%.*s\"; create and add are what `ipset save` prints", clip(s + word, len),
			 s + word);
}

void ipset_end(struct reader *r)
{
	if (r->nsets == 2)
		diag_note(r->d, "%s: the list holds both sets, \"%s\" and \"%s\"", r->f->name, r->set[0].name, r->set[1].name);
	if (r->timeouts)
		diag_warn(r->d, "%s: %zu entries have a timeout, which a list does not keep: they stay until the file is read "
			  "again; what is to end by itself is a ban", r->f->name, r->timeouts);
	settle(r, ACT_ADD, false);
}
