// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "listfile.h"
#include "listpack.h"
#include "rules.h"
#include "token.h"

#define MAX_CONF_FILE (16u << 20)

/* no sentences may mean no array, and to NULL nothing can be added */
#define for_each_stmt(s, r) for (const struct stmt *s = (r)->v, *end_ = (r)->n ? s + (r)->n : s; s != end_; s++)

static void free_lists(struct list *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(v[i].name);
		free(v[i].v);
		free(v[i].path);
		free(v[i].added);
		free(v[i].removed);
	}
	free(v);
}

void rules_free(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		stmt_free(&r->v[i]);
	free(r->v);
	free_lists(r->lists, r->nlists);
	*r = (struct rules){ 0 };
}

struct list *rules_list(const struct rules *r, const char *name)
{
	for (size_t i = 0; i < r->nlists; i++)
		if (!strcmp(r->lists[i].name, name))
			return &r->lists[i];
	return NULL;
}

const struct stmt *rules_list_said(const struct rules *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == STMT_LIST && !strcmp(r->v[i].name, name))
			return &r->v[i];
	return NULL;
}

const struct stmt *rules_find(const struct rules *r, const struct stmt *like)
{
	for (size_t i = 0; i < r->n; i++)
		if (stmt_same(&r->v[i], like))
			return &r->v[i];
	return NULL;
}

/* ---- the whole is checked ---- */

struct check {
	struct rules *r;
	struct list *lists; /* as they will be */
	bool *used;
	size_t n;
	struct diag *d;
	size_t errors; /* in d, before */
	struct lists_past *past;
};

/* "FILE:LINE:COLUMN: " as in the parser's messages; nothing for a sentence of the moment. */
static char *place_of(const struct stmt *s)
{
	if (!s->at.file)
		return xstrdup("");
	if (!strcmp(s->at.file, "command line"))
		return xstrdup("command line: ");
	return xasprintf("%s:%u:%u: ", s->at.file, s->at.line, s->at.column);
}

static char *where(const struct stmt *s)
{
	if (!s->at.file || !strcmp(s->at.file, "command line"))
		return xstrdup("on the command line");
	return xasprintf("at %s:%u", s->at.file, s->at.line);
}

static void complain(struct check *c, enum diag_level level, const struct stmt *s, const char *text)
{
	__cleanup_free char *place = place_of(s);

	diag_add(c->d, level, "%s%s", place, text);
}

static bool is_everything(const struct source *src)
{
	return src->kind == SOURCE_ANY || (src->kind == SOURCE_PREFIX && src->prefix.len == 0);
}

static bool from_everything(const struct stmt *s)
{
	for (size_t i = 0; i < s->nsources; i++)
		if (is_everything(&s->sources[i]))
			return true;
	return s->nsources == 0;
}

static bool all_ports(const struct stmt *s)
{
	for (size_t i = 0; i < s->nports; i++)
		if (s->ports[i].lo == 1 && s->ports[i].hi == 65535)
			return true;
	return false;
}

static bool names_port(const struct stmt *s, uint16_t port)
{
	for (size_t i = 0; i < s->nports; i++)
		if (s->ports[i].lo <= port && port <= s->ports[i].hi)
			return true;
	return false;
}

/* Sentences that are right by themselves and wrong to say. */
static void check_reach(struct check *c, const struct stmt *s)
{
	if (s->kind == STMT_BLOCK && from_everything(s))
		complain(c, DIAG_ERROR, s,
			 "this blocks everybody, open connections and SSH included; to open no port that "
			 "is not named, write: default deny");
	if (s->kind == STMT_DENY && all_ports(s) && from_everything(s))
		complain(c, DIAG_ERROR, s,
			 "this denies everything to everybody, and on a tie deny wins; to open no port that "
			 "is not named, write: default deny");
	if (s->kind == STMT_EXEMPT && from_everything(s))
		complain(c, DIAG_ERROR, s,
			 "this exempts everybody, so that no block or list would apply; name the hosts you "
			 "trust");
	if (s->kind == STMT_ADMIN && from_everything(s))
		complain(c, DIAG_WARNING, s,
			 "everybody can reach an admin port, blocked sources too; name the network you "
			 "work from");
	if (s->kind == STMT_ALLOW && names_port(s, 25) && (s->limits.source.n || s->limits.global.n) &&
	    s->limits.over != OVER_OBSERVE)
		complain(c, DIAG_WARNING, s,
			 "a rate limit on port 25 holds up the mail of honest servers, which deliver in bursts; give the "
			 "users' ports a sentence of their own, and port 25 at most \"connections\"");
}

static struct list *list_of(const struct check *c, const char *name)
{
	for (size_t i = 0; i < c->n; i++)
		if (!strcmp(c->lists[i].name, name))
			return &c->lists[i];
	return NULL;
}

static void no_such_list(struct check *c, const struct stmt *s, const char *name)
{
	__cleanup_free const char **names = xcalloc(c->n, sizeof(*names));
	__cleanup_free char *near = NULL, *text = NULL;

	for (size_t i = 0; i < c->n; i++)
		names[i] = c->lists[i].name;
	near = did_you_mean(name, strlen(name), names, c->n);
	text = xasprintf("no list is called \"%s\"%s", name, *near ? near : "; declare it: list NAME PREFIX...");
	complain(c, DIAG_ERROR, s, text);
}

static void check_lists_of(struct check *c, const struct stmt *s)
{
	for (size_t i = 0; i < s->nsources; i++) {
		struct list *l;

		if (s->sources[i].kind != SOURCE_LIST)
			continue;
		l = list_of(c, s->sources[i].list);
		if (l)
			c->used[l - c->lists] = true;
		else
			no_such_list(c, s, s->sources[i].list);
	}
}

/* Two sentences of which there can be one. NULL: they agree. */
static char *quarrel(const struct stmt *a, const struct stmt *b)
{
	__cleanup_free char *place = where(a);

	switch (b->kind) {
	case STMT_INTERFACE:
		if (strcmp(a->name, b->name))
			return NULL;
		return xasprintf("interface \"%s\" is named twice; first %s", b->name, place);
	case STMT_LIST:
		if (strcmp(a->name, b->name))
			return NULL;
		return xasprintf("list \"%s\" is declared twice; first %s", b->name, place);
	case STMT_DEFAULT:
		if (a->deny == b->deny)
			return NULL;
		return xasprintf("the default is \"%s\" here and \"%s\" %s; keep one", b->deny ? "deny" : "allow",
				 a->deny ? "deny" : "allow", place);
	case STMT_ON_STOP:
		if (stmt_same(a, b))
			return NULL;
		return xasprintf("on-stop is said twice and differently; first %s", place);
	case STMT_TRACK:
		if (stmt_same(a, b))
			return NULL;
		return xasprintf("the tracker is described twice and differently; first %s", place);
	default:
		return NULL;
	}
}

static bool single(enum stmt_kind k)
{
	return k == STMT_INTERFACE || k == STMT_LIST || k == STMT_DEFAULT || k == STMT_TRACK || k == STMT_ON_STOP;
}

static void check_twice(struct check *c)
{
	__cleanup_free const struct stmt **seen = xcalloc(c->r->n, sizeof(*seen));
	size_t n = 0;

	for_each_stmt(s, c->r) {
		__cleanup_free char *text = NULL;

		if (!single(s->kind))
			continue;
		for (size_t i = 0; i < n && !text; i++)
			if (seen[i]->kind == s->kind)
				text = quarrel(seen[i], s);
		if (text)
			complain(c, DIAG_ERROR, s, text);
		seen[n++] = s;
	}
}

/* ---- lists are filled ---- */

static char *absolute(const char *path)
{
	__cleanup_free char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);

	return here ? xasprintf("%s/%s", here[1] ? here : "", path) : xstrdup(path);
}

/* Is what was read from `held` the file that a sentence calls `path`? A relative path ends the absolute one. */
static bool same_file(const char *held, const char *path)
{
	size_t n = strlen(held), m = strlen(path);

	if (path[0] == '/')
		return !strcmp(held, path);
	return n > m && held[n - m - 1] == '/' && !strcmp(held + n - m, path);
}

static void add_prefixes(struct list *l, const struct prefix *v, size_t n)
{
	if (!n)
		return;
	l->v = xrealloc(l->v, (l->n + n) * sizeof(*l->v));
	memcpy(l->v + l->n, v, n * sizeof(*v));
	l->n += n;
}

static void read_list_file(struct check *c, const struct stmt *s, struct list *l)
{
	__cleanup_free char *path = path_beside(s->at.file, s->path), *place = where(s);
	struct list_case k = { .r = c->r, .lists = c->lists, .nlists = c->n, .s = s };
	struct list_stamp stamp = list_stamp_of(path);
	struct list_load got;

	if (list_load(&got, &k, path, c->past, c->d)) {
		diag_note(c->d, "list \"%s\" is declared %s", s->name, place);
		return;
	}
	add_prefixes(l, got.v, got.n);
	free(got.v);
	l->path = absolute(path);
	l->read_at = got.read_at;
	l->fresh = got.fresh;
	if (got.fresh && !s->nprefixes)
		l->stamp = stamp;
}

static void fill_list(struct check *c, const struct stmt *s, struct list *l)
{
	const struct list *held = rules_list(c->r, s->name);

	add_prefixes(l, s->prefixes, s->nprefixes);
	if (s->path && held && held->path && same_file(held->path, s->path)) {
		add_prefixes(l, held->v, held->n);
		l->path = xstrdup(held->path);
		l->read_at = held->read_at;
		l->stamp = held->stamp;
		l->fresh = held->fresh;
	} else if (s->path) {
		read_list_file(c, s, l);
	}
	prefixes_sort(l->v, &l->n);
}

static void fill_lists(struct check *c)
{
	size_t n = 0;

	for (size_t i = 0; i < c->r->n; i++)
		n += c->r->v[i].kind == STMT_LIST;
	c->lists = xcalloc(n, sizeof(*c->lists));
	c->used = xcalloc(n, sizeof(*c->used));
	for_each_stmt(s, c->r)
		if (s->kind == STMT_LIST)
			c->lists[c->n++].name = xstrdup(s->name);
	/* those that refuse come last: they are held against what the others hold */
	for (int refuses = 0; refuses < 2; refuses++) {
		struct list *l = c->lists;

		for_each_stmt(s, c->r) {
			if (s->kind != STMT_LIST)
				continue;
			if (list_refuses(c->r, s->name) == refuses)
				fill_list(c, s, l);
			l++;
		}
	}
}

static const struct stmt *declaration(const struct rules *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == STMT_LIST && !strcmp(r->v[i].name, name))
			return &r->v[i];
	return NULL;
}

static void remark_lists(struct check *c)
{
	for (size_t i = 0; i < c->n; i++) {
		const struct list *l = &c->lists[i];
		const struct stmt *s = declaration(c->r, l->name);
		__cleanup_free char *text = NULL;

		if (!c->used[i])
			text = xasprintf("list \"%s\" is used by no sentence; one uses it as @%s", l->name, l->name);
		else if (l->n == 0)
			text = xasprintf("list \"%s\" is empty, so what is said of @%s is said of nobody", l->name,
					 l->name);
		if (text)
			complain(c, c->used[i] ? DIAG_WARNING : DIAG_NOTE, s, text);
	}
}

static void remark_no_admin(struct check *c)
{
	for_each_stmt(s, c->r)
		if (s->kind == STMT_ADMIN || (s->kind == STMT_DEFAULT && !s->deny))
			return;
	diag_warn(c->d, "no \"admin\" sentence: under default deny a mistake can lock you out; write, with the network "
		  "you work from: admin ssh from 192.0.2.0/24");
}

int rules_finish_over(struct rules *r, struct lists_past *past, struct diag *d)
{
	struct check c = { .r = r, .d = d, .errors = d->errors, .past = past };
	__cleanup_free bool *used = NULL;

	check_twice(&c);
	/* two lists of one name would be read twice */
	if (d->errors == c.errors)
		fill_lists(&c);
	used = c.used;
	for (size_t i = 0; i < r->n; i++) {
		check_reach(&c, &r->v[i]);
		if (c.used)
			check_lists_of(&c, &r->v[i]);
	}
	if (d->errors != c.errors) {
		free_lists(c.lists, c.n);
		return -EINVAL;
	}
	remark_lists(&c);
	remark_no_admin(&c);
	free_lists(r->lists, r->nlists);
	r->lists = c.lists;
	r->nlists = c.n;
	return 0;
}

int rules_finish(struct rules *r, struct diag *d)
{
	return rules_finish_over(r, NULL, d);
}

/* ---- files ---- */

static int parse_file(struct rules *r, const char *path, struct diag *d)
{
	__cleanup_free char *text = NULL;
	size_t len;
	int err = file_read(path, MAX_CONF_FILE, &text, &len, d);

	if (err)
		return err;
	warn_if_writable(path, d);
	return rules_parse(r, path, text, len, d);
}

static int is_dropin(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && !strcmp(e->d_name + n - 5, ".conf");
}

static int by_bytes(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

int rules_parse_dropins(struct rules *r, const char *main_file, struct diag *d)
{
	__cleanup_free char *dir = path_beside(main_file, "conf.d");
	struct dirent **names = NULL;
	int n = scandir(dir, &names, is_dropin, by_bytes), err = 0;

	if (n < 0) {
		err = -errno;
		if (err == -ENOENT)
			return 0;
		diag_error(d, "%s: cannot read the directory: %s", dir, strerror(-err));
		return err;
	}
	for (int i = 0; i < n; i++) {
		__cleanup_free char *path = xasprintf("%s/%s", dir, names[i]->d_name);
		int one = parse_file(r, path, d);

		err = err ? err : one;
		free(names[i]);
	}
	free(names);
	return err;
}

int rules_load_over(struct rules *r, const char *main_file, struct lists_past *past, struct diag *d)
{
	int err, more;

	*r = (struct rules){ 0 };
	err = parse_file(r, main_file, d);
	/* an error does not hide those in the next file */
	more = err == 0 || err == -EINVAL ? rules_parse_dropins(r, main_file, d) : 0;
	err = err ? err : more;
	if (!err && r->n == 0) {
		/* what a full disk or an unfinished copy leaves is not to close every port */
		diag_error(d, "%s: no sentence in it; to close every port, write: default deny", main_file);
		err = -EINVAL;
	}
	if (!err)
		err = rules_finish_over(r, past, d);
	if (err)
		rules_free(r);
	return err;
}

int rules_load(struct rules *r, const char *main_file, struct diag *d)
{
	return rules_load_over(r, main_file, NULL, d);
}

/* ---- the plain judge ---- */

/* How well a source fits a host: the length of the prefix it is found in; `any` fits everybody worst. */
#define FITS_NOT (-2)
#define FITS_ANY (-1)

static int fit_prefix(const struct prefix *p, const struct prefix *host)
{
	return prefix_covers(p, host) ? p->len : FITS_NOT;
}

/* The longest prefix of a list that covers host: each possible one is looked for in the sorted list. */
static int fit_list(const struct list *l, const struct prefix *host)
{
	struct prefix p = *host;

	for (int len = host->len; len >= 0; len--) {
		p.len = len;
		if (len < host->len)
			p.addr[len / 8] &= 0xff00 >> (len % 8);
		if (l->n && bsearch(&p, l->v, l->n, sizeof(p), prefix_cmp))
			return len;
	}
	return FITS_NOT;
}

static int fit_source(const struct rules *r, const struct source *src, const struct prefix *host)
{
	const struct list *l;

	switch (src->kind) {
	case SOURCE_ANY:
		return FITS_ANY;
	case SOURCE_PREFIX:
		return fit_prefix(&src->prefix, host);
	case SOURCE_LIST:
		l = rules_list(r, src->list);
		return l ? fit_list(l, host) : FITS_NOT;
	}
	return FITS_NOT;
}

/* `lists` false: sources that are lists do not count. */
static int fit(const struct rules *r, const struct stmt *s, const struct prefix *host, bool lists)
{
	int best = s->nsources ? FITS_NOT : FITS_ANY, one;

	for (size_t i = 0; i < s->nsources; i++) {
		if (!lists && s->sources[i].kind == SOURCE_LIST)
			continue;
		one = fit_source(r, &s->sources[i], host);
		if (one > best)
			best = one;
	}
	return best;
}

/* The sentence of one kind that fits host best; port 0: kinds without ports. */
static const struct stmt *best_of(const struct rules *r, enum stmt_kind kind, const struct prefix *host, uint16_t port)
{
	const struct stmt *found = NULL;
	int best = FITS_NOT;

	for_each_stmt(s, r) {
		if (s->kind != kind || (port && !names_port(s, port)))
			continue;
		if (fit(r, s, host, true) > best) {
			best = fit(r, s, host, true);
			found = s;
		}
	}
	return found;
}

static const struct stmt *admitted(const struct rules *r, const struct prefix *host, uint16_t port)
{
	return port ? best_of(r, STMT_ADMIN, host, port) : NULL;
}

static const struct stmt *blocked(const struct rules *r, const struct prefix *host)
{
	return best_of(r, STMT_EXEMPT, host, 0) ? NULL : best_of(r, STMT_BLOCK, host, 0);
}

/* Of two that fit equally well: deny before allow, and the stricter limit before the other. */
static bool wins_tie(const struct stmt *s, const struct stmt *found)
{
	if (s->kind != found->kind)
		return s->kind == STMT_DENY;
	return s->kind == STMT_ALLOW && limit_cmp(s, found) < 0;
}

/* Of the sentences that allow or deny: the one whose source is most specific. */
static const struct stmt *most_specific(const struct rules *r, const struct prefix *host, uint16_t port)
{
	bool exempt = best_of(r, STMT_EXEMPT, host, 0);
	const struct stmt *found = NULL;
	int best = FITS_NOT, one;

	for_each_stmt(s, r) {
		if ((s->kind != STMT_ALLOW && s->kind != STMT_DENY) || !names_port(s, port))
			continue;
		one = fit(r, s, host, s->kind == STMT_ALLOW || !exempt);
		if (one == FITS_NOT)
			continue;
		if (one > best || (one == best && wins_tie(s, found))) {
			best = one;
			found = s;
		}
	}
	return found;
}

/* When no sentence fits the source. A port that some sentence opens to others is closed to it under either default. */
static struct judge_answer by_default(const struct rules *r, uint16_t port)
{
	const struct stmt *said = NULL, *governs = NULL;

	for_each_stmt(s, r) {
		if (s->kind == STMT_DEFAULT && !said)
			said = s;
		if ((s->kind == STMT_ALLOW || s->kind == STMT_ADMIN) && names_port(s, port) && !governs)
			governs = s;
	}
	if (!said || said->deny)
		return (struct judge_answer){ .says = JUDGE_DENY, .because = said };
	if (governs)
		return (struct judge_answer){ .says = JUDGE_DENY, .because = governs };
	return (struct judge_answer){ .says = JUDGE_DEFAULT_ALLOW, .because = said };
}

/* Blocks left aside: may host open a connection? */
static struct judge_answer may_open(const struct rules *r, const struct prefix *host, uint16_t port)
{
	const struct stmt *s = admitted(r, host, port);

	if (s)
		return (struct judge_answer){ .says = JUDGE_ADMIN, .because = s };
	s = most_specific(r, host, port);
	if (s)
		return (struct judge_answer){ s->kind == STMT_ALLOW ? JUDGE_ALLOW : JUDGE_DENY, s,
					      s->kind == STMT_ALLOW && limits_any(&s->limits) && !best_of(r, STMT_EXEMPT, host, 0) };
	return by_default(r, port);
}

static bool opens(const struct rules *r, const struct prefix *host, uint16_t port)
{
	return may_open(r, host, port).says != JUDGE_DENY;
}

static bool opens_to_some(const struct rules *r, const struct source *src, uint16_t port)
{
	const struct list *l = src->kind == SOURCE_LIST ? rules_list(r, src->list) : NULL;

	if (src->kind == SOURCE_PREFIX)
		return opens(r, &src->prefix, port);
	for (size_t i = 0; l && i < l->n; i++)
		if (opens(r, &l->v[i], port))
			return true;
	return false;
}

/*
 * Is there a source that may open the port? It would be one of those that a sentence names, or one that none names: for
 * this a prefix of no family stands, which lies in `any` and nothing else.
 */
static bool open_to_anyone(const struct rules *r, uint16_t port)
{
	static const struct prefix nobody = { 0 };

	if (opens(r, &nobody, port))
		return true;
	for_each_stmt(s, r) {
		if (s->kind != STMT_EXEMPT && !names_port(s, port))
			continue;
		for (size_t i = 0; i < s->nsources; i++)
			if (s->kind != STMT_DENY && opens_to_some(r, &s->sources[i], port))
				return true;
	}
	return false;
}

/* The IPv4 address inside a 6to4 or NAT64 address. */
static bool ip4_inside(const struct prefix *host, struct prefix *ip4)
{
	static const uint8_t nat64[12] = { 0x00, 0x64, 0xff, 0x9b };
	bool is_6to4 = host->family == 6 && host->addr[0] == 0x20 && host->addr[1] == 0x02;

	if (!is_6to4 && (host->family != 6 || memcmp(host->addr, nat64, sizeof(nat64))))
		return false;
	*ip4 = (struct prefix){ .family = 4, .len = 32 };
	memcpy(ip4->addr, host->addr + (is_6to4 ? 2 : 12), 4);
	return true;
}

struct judge_answer rules_judge(const struct rules *r, const struct prefix *host, uint16_t port, bool syn)
{
	struct judge_answer a;
	const struct stmt *s;
	struct prefix ip4;
	bool dressed;

	/* A blocked IPv4 address stays blocked in IPv6 clothes; but nothing is granted for its sake, admin least of all. */
	dressed = ip4_inside(host, &ip4) && blocked(r, &ip4) && !best_of(r, STMT_EXEMPT, host, 0);
	a = syn ? may_open(r, host, port) : (struct judge_answer){ .says = JUDGE_NOT_BLOCKED };
	if (syn && a.says == JUDGE_DENY && !open_to_anyone(r, port))
		return (struct judge_answer){ .says = JUDGE_CLOSED, .because = a.because };
	if (admitted(r, host, port))
		return a;
	s = blocked(r, dressed ? &ip4 : host);
	return s ? (struct judge_answer){ .says = JUDGE_BLOCKED, .because = s } : a;
}
