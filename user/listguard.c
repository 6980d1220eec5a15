// SPDX-License-Identifier: GPL-2.0-only
/*
 * Guards: what a list's file is held against before it is believed. A file is written by others, often by people on the
 * other side of the world, and a list that refuses can cut off a mail server's own network as well as a spammer's.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include "listfile.h"
#include "token.h"

#define NAMED 5      /* offending lines that are shown */
#define FEW 3        /* prefixes: of a list of five, one is 20 % and no flood */

static bool names_list(const struct stmt *s, const char *name)
{
	for (size_t i = 0; i < s->nsources; i++)
		if (s->sources[i].kind == SOURCE_LIST && !strcmp(s->sources[i].list, name))
			return true;
	return false;
}

bool list_refuses(const struct rules *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if ((r->v[i].kind == STMT_BLOCK || r->v[i].kind == STMT_DENY) && names_list(&r->v[i], name))
			return true;
	return false;
}

struct prefix *list_file_part(const struct list *l, const struct stmt *s, size_t *n)
{
	struct prefix *v = xmalloc(l->n * sizeof(*v)), *said;
	size_t nsaid = s ? s->nprefixes : 0;

	*n = 0;
	said = xmalloc(nsaid * sizeof(*said));
	if (nsaid)
		memcpy(said, s->prefixes, nsaid * sizeof(*said));
	prefixes_sort(said, &nsaid);
	for (size_t i = 0; i < l->n; i++)
		if (!nsaid || !bsearch(&l->v[i], said, nsaid, sizeof(*said), prefix_cmp))
			v[(*n)++] = l->v[i];
	free(said);
	return v;
}

/* ---- what a judgement is made with ---- */

struct judge {
	const struct list_case *c;
	const struct listfile *f;
	struct diag *d;
	size_t offences, errors;
	bool lens4[33], lens6[129]; /* which lengths the list has */
};

static void __attribute__((format(printf, 2, 3))) refuse(struct judge *j, const char *fmt, ...)
{
	__cleanup_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	diag_error(j->d, "%s: %s", j->f->name, text);
	j->errors++;
}

/* One line of the file is wrong. Of many only the first few are shown. */
static void __attribute__((format(printf, 3, 4))) offence(struct judge *j, const struct prefix *p, const char *fmt, ...)
{
	__cleanup_free char *text = NULL;
	char buf[PREFIX_TEXT];
	unsigned int line;
	va_list ap;

	j->errors++;
	if (j->offences++ >= NAMED)
		return;
	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	line = listfile_line(j->f, p);
	if (line)
		diag_error(j->d, "%s:%u: %s %s", j->f->name, line, prefix_text(p, buf), text);
	else
		diag_error(j->d, "%s: %s %s", j->f->name, prefix_text(p, buf), text);
}

static void offences_end(struct judge *j)
{
	if (j->offences > NAMED)
		diag_error(j->d, "%s: and %zu more lines like these", j->f->name, j->offences - NAMED);
	j->offences = 0;
}

/* The first of v that does not come before p. */
static size_t lower(const struct listfile *f, const struct prefix *p)
{
	size_t lo = 0, hi = f->n;

	while (lo < hi) {
		size_t mid = lo + (hi - lo) / 2;

		if (prefix_cmp(&f->v[mid], p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

/* The entry that covers p, the widest one, or NULL. */
static const struct prefix *coverer(const struct judge *j, const struct prefix *p)
{
	const bool *has = p->family == 4 ? j->lens4 : j->lens6;
	struct prefix q;

	for (unsigned int len = 1; len <= p->len; len++) {
		size_t i;

		if (!has[len])
			continue;
		q = *p;
		q.len = len;
		for (unsigned int k = len / 8; k < sizeof(q.addr); k++)
			q.addr[k] &= k == len / 8 ? 0xff00 >> (len % 8) : 0;
		i = lower(j->f, &q);
		if (i < j->f->n && !prefix_cmp(&j->f->v[i], &q))
			return &j->f->v[i];
	}
	return NULL;
}

/* ---- size, age, completeness ---- */

static void judge_size(struct judge *j)
{
	const struct stmt *s = j->c->s;
	size_t n = j->f->n;

	if (s->min && n < s->min)
		refuse(j, "list \"%s\" shrank: %zu prefixes, fewer than min %lu; if that is right, lower min", s->name, n, s->min);
	else if (s->max && n > s->max)
		refuse(j, "list \"%s\" grew: %zu prefixes, more than max %lu; if that is right, raise max", s->name, n, s->max);
	else if (!n && !s->guard.may_be_empty && list_refuses(j->c->r, s->name))
		refuse(j, "no prefix in it, which is what a feed that moved or a full disk leaves; if list \"%s\" may be empty, "
		       "say \"min 0\" in its sentence", s->name);
}

static void date_text(int64_t at, char buf[32])
{
	time_t t = at;
	struct tm tm;

	if (!localtime_r(&t, &tm) || !strftime(buf, 32, "%Y-%m-%d %H:%M", &tm))
		strcpy(buf, "an unknown time");
}

static bool expired(const struct list_case *c)
{
	return c->s->guard.expire && c->made && time(NULL) - c->made > c->s->guard.expire;
}

static void judge_age(struct judge *j)
{
	char made[32];

	if (!expired(j->c))
		return;
	date_text(j->c->made, made);
	refuse(j, "expired: its data is of %s, older than \"expire\" in the sentence of list \"%s\" allows; does the job that "
	       "fetches it still run?", made, j->c->s->name);
}

/* A list of JSON records without their number, or of a table's other half: nothing is wrong with it but what it is for. */
static void judge_kind(struct judge *j)
{
	const struct stmt *s = j->c->s;

	if (!j->f->counted && !s->min)
		refuse(j, "no metadata behind the last record, so nothing shows whether the file is whole; say how many "
		       "prefixes there must be at least, \"min N\" in the sentence of list \"%s\"", s->name);
	if (j->f->format == LIST_TABLE && j->f->n && j->f->took == TAKE_PERMIT && s->guard.take == TAKE_UNSAID)
		refuse(j, "the table only permits, and list \"%s\" is used to refuse; if that is meant, say \"take permit\" in "
		       "its sentence", s->name);
}

/* ---- ranges that no list of strangers holds ---- */

static void judge_private(struct judge *j)
{
	static const struct {
		const char *prefix, *what;
	} ranges[] = {
		{ "10.0.0.0/8", "private (RFC 1918)" }, { "172.16.0.0/12", "private (RFC 1918)" },
		{ "192.168.0.0/16", "private (RFC 1918)" }, { "100.64.0.0/10", "shared with providers (RFC 6598)" },
		{ "127.0.0.0/8", "loopback" }, { "169.254.0.0/16", "link-local" }, { "224.0.0.0/4", "multicast" },
		{ "::1", "loopback" }, { "fe80::/10", "link-local" }, { "fc00::/7", "private (RFC 4193)" },
		{ "ff00::/8", "multicast" },
	};
	static const char remedy[] = "or say \"private yes\" in the list's sentence";

	for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
		const struct prefix *over;
		struct prefix p;

		if (word_prefix(ranges[i].prefix, strlen(ranges[i].prefix), &p, NULL))
			continue;
		for (size_t k = lower(j->f, &p); k < j->f->n && prefix_covers(&p, &j->f->v[k]); k++)
			offence(j, &j->f->v[k], "is %s, and list \"%s\" is used to refuse; take it out, %s", ranges[i].what,
				j->c->s->name, remedy);
		over = coverer(j, &p);
		if (over && over->len < p.len)
			offence(j, over, "covers %s, which is %s; take it out, %s", ranges[i].prefix, ranges[i].what, remedy);
	}
}

static bool address_of(const struct sockaddr *sa, struct prefix *out)
{
	if (!sa)
		return false;
	*out = (struct prefix){ .family = sa->sa_family == AF_INET ? 4 : 6, .len = sa->sa_family == AF_INET ? 32 : 128 };
	if (sa->sa_family == AF_INET)
		memcpy(out->addr, &((const struct sockaddr_in *)(const void *)sa)->sin_addr, 4);
	else if (sa->sa_family == AF_INET6)
		memcpy(out->addr, &((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr, 16);
	else
		return false;
	return true;
}

static struct prefix network_of(const struct prefix *host, const struct sockaddr *mask)
{
	struct prefix net = *host, m;

	if (!address_of(mask, &m) || m.family != host->family)
		return net;
	net.len = 0;
	for (unsigned int i = 0; i < sizeof(m.addr); i++) {
		net.addr[i] &= m.addr[i];
		net.len += __builtin_popcount(m.addr[i]);
	}
	return net;
}

/* A single neighbour may well be listed; the network around this host, or a part of it, may not. */
static void judge_own(struct judge *j, const struct prefix *host, const struct prefix *net)
{
	const struct prefix *over = coverer(j, host);
	char buf[PREFIX_TEXT];

	if (over) {
		offence(j, over, "covers this host's own address %s; take it out, or say \"private yes\" in the list's sentence",
			prefix_text(host, buf));
		return;
	}
	for (size_t k = net->len ? lower(j->f, net) : j->f->n; k < j->f->n && prefix_covers(net, &j->f->v[k]); k++)
		if (j->f->v[k].len < (net->family == 4 ? 32 : 64))
			offence(j, &j->f->v[k], "is a part of this host's own network %s; take it out, or say \"private yes\" in the "
				"list's sentence", prefix_text(net, buf));
}

static void judge_own_all(struct judge *j)
{
	static const struct prefix link_local = { 6, 10, { 0xfe, 0x80 } }, loop4 = { 4, 8, { 127 } };
	struct ifaddrs *all, *i;

	if (getifaddrs(&all))
		return;
	for (i = all; i; i = i->ifa_next) {
		struct prefix host, net;

		if (!address_of(i->ifa_addr, &host) || prefix_covers(&link_local, &host) || prefix_covers(&loop4, &host))
			continue;
		net = network_of(&host, i->ifa_netmask);
		judge_own(j, &host, &net);
	}
	freeifaddrs(all);
}

static void judge_widest(struct judge *j)
{
	const struct list_guard *g = &j->c->s->guard;
	unsigned int widest4 = g->widest4 ? g->widest4 : DEFAULT_WIDEST4, widest6 = g->widest6 ? g->widest6 : DEFAULT_WIDEST6;

	for (size_t i = 0; i < j->f->n; i++) {
		const struct prefix *p = &j->f->v[i];

		if (p->len >= (p->family == 4 ? widest4 : widest6))
			continue;
		offence(j, p, "is wider than /%u; take it out, or say \"widest /%u /%u\" in the list's sentence",
			p->family == 4 ? widest4 : widest6, p->family == 4 ? p->len : widest4,
			p->family == 6 ? p->len : widest6);
	}
}

/* ---- those whom no list may hit ---- */

static void judge_cover_one(struct judge *j, const struct stmt *s, const struct prefix *p)
{
	const struct prefix *over = coverer(j, p);
	__cleanup_free char *text = NULL;
	char buf[PREFIX_TEXT];

	if (!over)
		return;
	text = stmt_text(s);
	offence(j, over, "covers %s, of whom `%s` speaks; take it out, or say \"cover yes\" in the list's sentence",
		prefix_text(p, buf), text);
}

static void judge_cover(struct judge *j, const struct stmt *s)
{
	for (size_t i = 0; i < s->nsources; i++) {
		const struct source *src = &s->sources[i];

		if (src->kind == SOURCE_PREFIX)
			judge_cover_one(j, s, &src->prefix);
		for (size_t k = 0; src->kind == SOURCE_LIST && k < j->c->nlists; k++) {
			const struct list *l = &j->c->lists[k];

			if (strcmp(l->name, src->list) || !strcmp(l->name, j->c->s->name))
				continue;
			for (size_t m = 0; m < l->n; m++)
				judge_cover_one(j, s, &l->v[m]);
		}
	}
}

/* ---- against what is in force ---- */

struct change_of {
	size_t added, removed;
};

static struct change_of compare(const struct list *old, const struct listfile *f)
{
	struct change_of x = { 0 };
	size_t i = 0, k = 0;

	while (i < old->n || k < f->n) {
		int c = i == old->n ? 1 : k == f->n ? -1 : prefix_cmp(&old->v[i], &f->v[k]);

		x.removed += c < 0;
		x.added += c > 0;
		i += c <= 0;
		k += c >= 0;
	}
	return x;
}

static void judge_change(struct judge *j, struct change_of x)
{
	const struct stmt *s = j->c->s;
	__cleanup_free char *remedy = NULL;
	uint32_t most = s->guard.change ? s->guard.change : DEFAULT_CHANGE;
	size_t changed = x.added > x.removed ? x.added : x.removed, old = j->c->in_force->n, percent;

	if (most == CHANGE_ANY || !old || changed <= FEW || changed * 100 <= old * most)
		return;
	percent = (changed * 100 + old - 1) / old;
	remedy = percent > 100 ? xstrdup("any") : xasprintf("%zu%%", percent);
	refuse(j, "list \"%s\" would change too much: +%zu -%zu of the %zu prefixes in force, %zu %%, and %u %% is the most; if "
	       "that is right, --force, or say \"change %s\" in its sentence", s->name, x.added, x.removed, old, percent, most,
	       remedy);
}

int list_judge(const struct list_case *c, const struct listfile *f, struct diag *d)
{
	struct judge j = { .c = c, .f = f, .d = d };
	struct change_of x = { .added = 1 };
	bool refuses = list_refuses(c->r, c->s->name);

	if (expired(c) && c->s->guard.expire_empty && !c->force) {
		diag_warn(d, "%s: expired, so list \"%s\" is empty but for what its sentence holds", f->name, c->s->name);
		return -ESTALE;
	}
	if (!c->force)
		judge_age(&j);
	if (c->in_force)
		x = compare(c->in_force, f);
	/* what is in force already does no new harm */
	if (!x.added && !x.removed)
		return j.errors ? -EINVAL : 0;
	if (!c->force)
		judge_size(&j);
	if (!c->force && c->in_force && (refuses || c->s->guard.change))
		judge_change(&j, x);
	if (refuses) {
		for (size_t i = 0; i < f->n; i++)
			*(f->v[i].family == 4 ? &j.lens4[f->v[i].len] : &j.lens6[f->v[i].len]) = true;
		judge_kind(&j);
		judge_widest(&j);
		offences_end(&j);
		if (!c->s->guard.private_ok) {
			judge_private(&j);
			judge_own_all(&j);
			offences_end(&j);
		}
		for (size_t i = 0; i < c->r->n && !c->s->guard.cover_ok; i++)
			if (c->r->v[i].kind == STMT_ADMIN || c->r->v[i].kind == STMT_EXEMPT)
				judge_cover(&j, &c->r->v[i]);
		offences_end(&j);
	}
	return j.errors ? -EINVAL : 0;
}

int list_judge_words(const struct rules *r, const struct stmt *s, const struct prefix *v, size_t n, struct diag *d)
{
	__cleanup_free struct prefix *words = memcpy(xmalloc(n * sizeof(*v)), v, n * sizeof(*v));
	const struct listfile f = { .name = "list add", .counted = true, .v = words, .n = n };
	const struct list_case c = { .r = r, .lists = r->lists, .nlists = r->nlists, .s = s, .force = true };

	return list_judge(&c, &f, d);
}
