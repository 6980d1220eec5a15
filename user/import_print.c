// SPDX-License-Identifier: GPL-2.0-only
/* What the old firewall answers, said in sentences; and what could not be said. */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "import_eval.h"
#include "token.h"

#define PER_SENTENCE 40 /* sources; more become a second sentence */
#define SSH 22

/* One cell that its surroundings do not say already. node NULL: every source. */
struct item {
	const struct im_node *node;
	size_t atom;
	bool allow;
	const struct im_cell *cell, *cell6; /* cell6: the other family's, where one sentence speaks for both */
};

/* What one sentence will say: items of equal verdict, limits and origin. */
struct group {
	const struct im_cell *cell, *cell6;
	bool allow, block;
	struct item *v;
	size_t n;
};

struct printer {
	struct import *im;
	struct im_map map;
	const struct im_node *root[2];
	bool deny;                 /* the default */
	struct im_cell *base, *base6; /* by atom: what every source is answered */
	bool *base_allow;
	struct item *item;
	size_t nitems;
	FILE *out;
};

static bool accepts(const struct im_cell *c)
{
	return c->verdict == IM_ACCEPT;
}

static struct im_match *rate_of(struct im_rule *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->m[i].kind == IM_RATE)
			return &r->m[i];
	return NULL;
}

static unsigned int families_of(const struct im_rule *r)
{
	unsigned int families = r->chain->families;

	for (size_t i = 0; i < r->n; i++)
		if (r->m[i].kind == IM_FAMILY)
			families &= r->m[i].no ? ~r->m[i].value : r->m[i].value;
	return families;
}

/* Two rules that limit each source alike are as one; a budget of all sources together is one rule's own. */
static bool same_limit(struct im_rule *a, struct im_rule *b)
{
	const struct im_rate *x = &rate_of(a)->rate, *y = &rate_of(b)->rate;

	return a == b ||
	       (x->counts != IM_COUNTS_ALL && x->counts == y->counts && x->n == y->n && x->seconds == y->seconds &&
		x->burst == y->burst && a->over_reset == b->over_reset && families_of(a) != families_of(b));
}

static bool same_limits(const struct im_cell *a, const struct im_cell *b)
{
	if (a->nlimits != b->nlimits)
		return false;
	for (unsigned int i = 0; i < a->nlimits; i++)
		if (!same_limit(a->limit[i], b->limit[i]))
			return false;
	return true;
}

static bool same_answer(const struct im_cell *a, const struct im_cell *b)
{
	return accepts(a) == accepts(b) && (!accepts(a) || same_limits(a, b));
}

static size_t ports_in(const struct printer *p, size_t atom)
{
	return p->map.port[atom + 1] - p->map.port[atom];
}

static size_t atom_of(const struct printer *p, unsigned int port)
{
	size_t k = 0;

	while (k + 1 < p->map.natoms && p->map.port[k + 1] <= port)
		k++;
	return k;
}

/* ---- places and origins ---- */

static struct im_place place_of(const struct im_cell *c)
{
	if (c->by)
		return c->by->at;
	return c->policy ? c->policy->policy_at : (struct im_place){ 0 };
}

static struct im_place place_or_whole(struct printer *p, const struct im_cell *c)
{
	struct im_place at = place_of(c);

	return at.path && at.line ? at : im_place_of_import(p->im);
}

/* Anything a file can hold, on one line and in one piece; a comment must not end in a backslash. */
static void put_text(FILE *f, const char *s)
{
	size_t n = strlen(s), bad;
	bool cut = n > 200;

	if (cut)
		n = 200;
	while (n && ((unsigned char)s[n - 1] <= ' ' || s[n - 1] == '\\'))
		n--;
	while (n) {
		if (text_clean(s, n, &bad)) {
			fwrite(s, 1, n, f);
			break;
		}
		fwrite(s, 1, bad, f);
		fputc(s[bad] == '\t' ? ' ' : '?', f);
		s += bad + 1;
		n -= bad + 1;
	}
	if (cut)
		fputs("...", f);
}

static void put_origin(FILE *f, const struct im_cell *c)
{
	struct im_place at = place_of(c);
	const char *text = c->by ? c->by->text : c->policy && c->policy->policy_text ? c->policy->policy_text : NULL;

	if (at.path && at.line) {
		put_text(f, at.path);
		fprintf(f, ":%u: ", at.line);
	}
	if (text)
		put_text(f, text);
	else if (accepts(c))
		fputs("no rule and no policy says anything of it, so it was accepted", f);
	else
		fputs("what stands nowhere: the tool's own default", f);
}

static bool same_origin(const struct im_cell *a, const struct im_cell *b)
{
	if (a->by && b->by)
		return a->by == b->by || (a->by->at.line && a->by->at.path == b->by->at.path &&
					  a->by->at.line == b->by->at.line && !strcmp(a->by->text, b->by->text));
	return a->by == b->by && a->policy == b->policy;
}

static void put_line(struct printer *p, const char *sentence, const struct im_cell *c, const struct im_cell *c6)
{
	fprintf(p->out, "%-31s # ", sentence);
	put_origin(p->out, c);
	if (c6 && !same_origin(c, c6)) {
		fputs("; ", p->out);
		put_origin(p->out, c6);
	}
	fputc('\n', p->out);
}

/* ---- limits ---- */

static bool same_length(uint8_t *have, unsigned int want)
{
	bool same = !*have || *have == want;

	*have = want;
	return same;
}

/* Adds what one rule limits to what a sentence says. NULL, or why it cannot be said. */
static const char *add_limit(struct limits *l, struct im_rule *r)
{
	const struct im_rate *x = &rate_of(r)->rate;
	struct rate one = { x->n, x->seconds, x->burst ? x->burst : x->n };

	if (x->n > 1000000 || x->burst > 1000000 || x->seconds > 86400)
		return "the number is too large";
	if (x->counts == IM_COUNTS_ALL) {
		if (l->global.n)
			return "a sentence has one limit of all sources together";
		l->global = one;
	} else {
		if (x->counts == IM_COUNTS_CONNECTIONS ? l->connections : l->source.n)
			return "a sentence has one such limit";
		if (!x->len4 || !x->len6 || x->len4 > 32)
			return "such a size of a source cannot be said";
		if ((families_of(r) & IM_V4 && !same_length(&l->len4, x->len4)) ||
		    (families_of(r) & IM_V6 && !same_length(&l->len6, x->len6)))
			return "a sentence has one size of a source";
		if (x->counts == IM_COUNTS_CONNECTIONS)
			l->connections = x->n;
		else
			l->source = one;
	}
	if (r->over_reset)
		l->over = OVER_RESET;
	return limits_wrong(l);
}

/* Why a rule's limit is not carried; NULL when it is. */
static const char *not_carried(struct im_rule *r)
{
	const struct im_rate *x = &rate_of(r)->rate;
	struct limits alone = { 0 };
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->m[i].kind == IM_RATE;
	if (n != 1)
		return "two limits in one rule have no equal";
	if (!x->n)
		return "none at all is no limit";
	if (!x->exact)
		return "it counts in another way than mxdp does";
	if (x->counts != IM_COUNTS_CONNECTIONS && r->counts_open)
		return "it counts the segments of open connections too, not only new ones";
	return add_limit(&alone, r);
}

static bool can_carry(struct im_rule *r)
{
	return !not_carried(r);
}

/* The words behind an `allow` that say what its cells are under. */
static char *limit_words(const struct im_cell *c, const struct im_cell *c6)
{
	struct limits l = { 0 }, six = { 0 };

	for (unsigned int i = 0; i < c->nlimits; i++) {
		add_limit(&l, c->limit[i]);
		c->limit[i]->sentences++;
	}
	for (unsigned int i = 0; c6 && i < c6->nlimits; i++) {
		add_limit(&six, c6->limit[i]);
		if (c6->limit[i] != c->limit[i])
			c6->limit[i]->sentences++;
	}
	if (six.len6)
		l.len6 = six.len6;
	if (l.len4 || l.len6) {
		l.len4 = l.len4 ? l.len4 : LIMIT_LEN4;
		l.len6 = l.len6 ? l.len6 : LIMIT_LEN6;
	}
	if (l.len4 == LIMIT_LEN4 && l.len6 == LIMIT_LEN6)
		l.len4 = l.len6 = 0;
	return limits_text(&l);
}

/* ---- what is answered to everybody ---- */

static bool explicit(const struct im_cell *c)
{
	for (size_t i = 0; c->by && i < c->by->n; i++)
		if (c->by->m[i].kind == IM_PORT && !c->by->m[i].no)
			return true;
	return false;
}

/* Limits that no sentence can say make no difference between cells. */
static void drop_limits(struct printer *p)
{
	for (size_t i = 0; i < p->map.nnodes; i++)
		for (size_t k = 0; k < p->map.natoms; k++) {
			struct im_cell *c = &p->map.node[i].cell[k];
			unsigned int n = 0;

			struct limits sum = { 0 };

			for (unsigned int j = 0; j < c->nlimits; j++)
				if (can_carry(c->limit[j]) && !add_limit(&sum, c->limit[j]))
					c->limit[n++] = c->limit[j];
			memset(c->limit + n, 0, (IM_LIMITS - n) * sizeof(*c->limit));
			c->nlimits = n;
		}
}

static void find_base(struct printer *p)
{
	struct im_map *map = &p->map;
	size_t open = 0;

	p->base = im_alloc(p->im, map->natoms * sizeof(*p->base));
	p->base6 = im_alloc(p->im, map->natoms * sizeof(*p->base));
	p->base_allow = im_alloc(p->im, map->natoms * sizeof(*p->base_allow));
	for (size_t i = 0; i < map->nnodes; i++)
		if (map->node[i].parent < 0)
			p->root[map->node[i].six] = &map->node[i];
	for (size_t k = 0; k < map->natoms; k++) {
		const struct im_cell *c4 = &p->root[0]->cell[k], *c6 = &p->root[1]->cell[k];

		/* what was said of one family alone is taken to be meant for both */
		if (p->im->families == IM_V4)
			c6 = c4;
		if (p->im->families == IM_V6)
			c4 = c6;
		p->base[k] = *c4;
		p->base6[k] = *c6;
		p->base_allow[k] = accepts(c4) && same_answer(c4, c6);
		if (p->base_allow[k])
			open += ports_in(p, k);
	}
	p->deny = open <= 65535 / 2;
}

static void add(struct printer *p, const struct im_node *node, size_t atom, bool allow, const struct im_cell *c,
		const struct im_cell *c6)
{
	*im_push(p->im, p->item, p->nitems) = (struct item){ node, atom, allow, c, c6 };
}

static bool family_read(const struct printer *p, int six)
{
	return p->im->families & (six ? IM_V6 : IM_V4);
}

/* A source that gets nothing, open connections included, and nobody inside it gets anything. */
static bool is_blocked(const struct printer *p, const struct im_node *n)
{
	if (!n->cut || n->cut_tcp || n->parent < 0 || !n->speaks)
		return false;
	for (const struct im_node *in = n; in < p->map.node + p->map.nnodes && in->six == n->six && in->lo <= n->hi;
	     in++) {
		if (in->speaks && !in->cut)
			return false;
	}
	return true;
}

static bool inside_blocked(const struct printer *p, const struct im_node *n)
{
	for (int up = n->parent; up >= 0; up = p->map.node[up].parent)
		if (is_blocked(p, &p->map.node[up]))
			return true;
	return false;
}

static const struct im_cell *above(const struct printer *p, const struct im_node *n, size_t k)
{
	return n->parent < 0 ? NULL : &p->map.node[n->parent].cell[k];
}

/* One rule decides over all ports of the source alike: then the sentence says `any`, not the ports where it matters. */
static bool is_uniform(const struct printer *p, const struct im_node *n)
{
	const struct im_cell *first = &n->cell[0];

	if (n->parent < 0 || !first->by || explicit(first))
		return false;
	for (size_t k = 1; k < p->map.natoms; k++)
		if (n->cell[k].by != first->by || !same_answer(&n->cell[k], first))
			return false;
	for (size_t k = 0; k < p->map.natoms; k++)
		if (!same_answer(&n->cell[k], &p->map.node[n->parent].cell[k]))
			return true;
	return false;
}

static void find_items(struct printer *p)
{
	for (size_t i = 0; i < p->map.nnodes; i++) {
		const struct im_node *n = &p->map.node[i];
		bool uniform;

		if (!family_read(p, n->six) || !n->speaks || is_blocked(p, n) || inside_blocked(p, n))
			continue;
		if (n->parent >= 0 && n->cell == p->map.node[n->parent].cell)
			continue;
		uniform = is_uniform(p, n);
		for (size_t k = 0; k < p->map.natoms; k++) {
			const struct im_cell *up = above(p, n, k);
			bool one_for_both = same_answer(&p->base[k], &p->base6[k]);

			if (up ? uniform || !same_answer(&n->cell[k], up) :
				 !one_for_both && (accepts(&n->cell[k]) != !p->deny || n->cell[k].nlimits))
				add(p, n, k, accepts(&n->cell[k]), &n->cell[k], NULL);
			if (!up && explicit(&n->cell[k]) && accepts(&n->cell[k]) &&
			    !accepts(n->six ? &p->base[k] : &p->base6[k]))
				im_say(p->im, n->cell[k].by->at, IM_NOTE,
				       "is open over IPv%d alone, as before; leave \"from %s\" out to open "
				       "it over both",
				       n->six ? 6 : 4, n->six ? "::/0" : "0.0.0.0/0");
		}
	}
	for (size_t k = 0; k < p->map.natoms; k++) {
		bool named = false;

		/* under `default allow`, a port that is opened to one source by name is closed to all others */
		for (size_t i = 0; i < p->nitems && !p->deny; i++)
			named |= p->item[i].atom == k && p->item[i].allow && p->item[i].node;
		if (!same_answer(&p->base[k], &p->base6[k])) {
			if (!p->deny && named)
				add(p, NULL, k, true, &p->base[k], &p->base6[k]);
			continue;
		}
		if (p->base_allow[k] ? p->deny || named || explicit(&p->base[k]) || p->base[k].nlimits : !p->deny)
			add(p, NULL, k, p->base_allow[k], &p->base[k], &p->base6[k]);
	}
}

/* ---- items to sentences ---- */

static int cmp_rule(const struct im_cell *a, const struct im_cell *b)
{
	struct im_place p = place_of(a), q = place_of(b);
	int c = strcmp(p.path ? p.path : "", q.path ? q.path : "");

	if (c || p.line != q.line)
		return c ? c : p.line < q.line ? -1 : 1;
	if (a->by && b->by && a->by != b->by)
		return a->by->number < b->by->number ? -1 : 1;
	if (a->by != b->by)
		return a->by ? -1 : 1;
	return 0;
}

static int cmp_group(const struct item *a, const struct item *b)
{
	int c = cmp_rule(a->cell, b->cell);

	if (c)
		return c;
	if (!a->cell6 != !b->cell6)
		return a->cell6 ? -1 : 1;
	c = a->cell6 ? cmp_rule(a->cell6, b->cell6) : 0;
	if (c)
		return c;
	if (a->allow != b->allow)
		return a->allow ? -1 : 1;
	if (a->cell->nlimits != b->cell->nlimits)
		return a->cell->nlimits < b->cell->nlimits ? -1 : 1;
	return a->cell->nlimits ? memcmp(a->cell->limit, b->cell->limit, a->cell->nlimits * sizeof(*a->cell->limit))
				: 0;
}

static int cmp_item(const void *a, const void *b)
{
	const struct item *p = a, *q = b;
	int c = cmp_group(p, q);

	if (c)
		return c;
	if (p->node != q->node)
		return !p->node ? -1 : !q->node ? 1 : p->node < q->node ? -1 : 1;
	return p->atom < q->atom ? -1 : p->atom > q->atom;
}

static void put_ports(const struct printer *p, FILE *f, const struct item *v, size_t n)
{
	for (size_t i = 0; i < n;) {
		unsigned int lo = p->map.port[v[i].atom], hi;
		size_t k = i;

		while (k + 1 < n && v[k + 1].atom == v[k].atom + 1 &&
		       !(explicit(v[k].cell) && ports_in(p, v[k].atom) == 1 && ports_in(p, v[k + 1].atom) == 1))
			k++;
		hi = p->map.port[v[k].atom + 1] - 1;
		fputs(i ? ", " : " ", f);
		if (lo == 1 && hi == 65535)
			fputs("any", f);
		else if (lo != hi)
			fprintf(f, "%u-%u", lo, hi);
		else if (mail_port_name(lo))
			fputs(mail_port_name(lo), f);
		else
			fprintf(f, "%u", lo);
		i = k + 1;
	}
}

static void put_prefix(FILE *f, const struct im_node *n)
{
	struct prefix x = { .family = n->six ? 6 : 4, .len = n->len };
	char text[PREFIX_TEXT];
	im_addr a = n->lo;

	for (int i = (n->six ? 16 : 4) - 1; i >= 0; i--, a >>= 8)
		x.addr[i] = a & 0xff;
	fputs(prefix_text(&x, text), f);
}

static bool same_atoms(const struct item *a, size_t na, const struct item *b, size_t nb)
{
	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (a[i].atom != b[i].atom)
			return false;
	return true;
}

static size_t row_length(const struct item *v, size_t n)
{
	size_t k = 1;

	while (k < n && v[k].node == v[0].node)
		k++;
	return k;
}

static void put_sentence(struct printer *p, const struct item *v, size_t n, const struct im_node *const *from,
			 size_t nfrom)
{
	__cleanup_free char *text = NULL, *limits = v->allow ? limit_words(v->cell, v->cell6) : xstrdup("");
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	fputs(v->allow ? "allow" : "deny", f);
	put_ports(p, f, v, n);
	for (size_t i = 0; i < nfrom; i++) {
		fputs(i ? ", " : " from ", f);
		put_prefix(f, from[i]);
	}
	if (*limits)
		fprintf(f, " %s", limits);
	fclose(f);
	put_line(p, text, v->cell, v->cell6);
}

/* Items of one group: rows of equal ports are one sentence. */
static void put_group(struct printer *p, struct item *v, size_t n)
{
	const struct im_node *from[PER_SENTENCE];

	if (v->cell->by)
		((struct im_rule *)v->cell->by)->carried = true;
	if (v->cell6 && v->cell6->by)
		((struct im_rule *)v->cell6->by)->carried = true;
	for (size_t i = 0; i < n; i += row_length(v + i, n - i)) {
		size_t len = row_length(v + i, n - i), nfrom = 0;

		if (v[i].atom == SIZE_MAX)
			continue;
		if (!v[i].node) {
			put_sentence(p, v + i, len, NULL, 0);
			continue;
		}
		for (size_t k = i; k < n;) {
			size_t other = row_length(v + k, n - k);

			if (v[k].atom != SIZE_MAX && same_atoms(v + i, len, v + k, other)) {
				from[nfrom++] = v[k].node;
				if (k != i)
					v[k].atom = SIZE_MAX;
			}
			k += other;
			if (nfrom == PER_SENTENCE || (k == n && nfrom)) {
				put_sentence(p, v + i, len, from, nfrom);
				nfrom = 0;
			}
		}
	}
}

static void put_items(struct printer *p)
{
	if (p->nitems)
		qsort(p->item, p->nitems, sizeof(*p->item), cmp_item);
	for (size_t i = 0, k; i < p->nitems; i = k) {
		for (k = i + 1; k < p->nitems && !cmp_group(&p->item[i], &p->item[k]); k++)
			;
		put_group(p, p->item + i, k - i);
	}
}

static void put_block(struct printer *p, const struct im_node *const *from, size_t n)
{
	__cleanup_free char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (!f)
		return;
	fputs("block", f);
	for (size_t i = 0; i < n; i++) {
		fputs(i ? ", " : " ", f);
		put_prefix(f, from[i]);
	}
	fclose(f);
	put_line(p, text, from[0]->cell, NULL);
}

static void put_blocks(struct printer *p)
{
	const struct im_node *from[PER_SENTENCE];
	size_t n = 0;

	for (size_t i = 0; i < p->map.nnodes; i++) {
		const struct im_node *node = &p->map.node[i];

		if (!family_read(p, node->six) || !is_blocked(p, node) || inside_blocked(p, node))
			continue;
		if (n && (n == PER_SENTENCE || !same_origin(from[0]->cell, node->cell))) {
			put_block(p, from, n);
			n = 0;
		}
		for (size_t k = 0; k < p->map.natoms; k++)
			if (node->cell[k].by)
				((struct im_rule *)node->cell[k].by)->carried = true;
		from[n++] = node;
	}
	if (n)
		put_block(p, from, n);
}

/* ---- the head of the file: default, interface, the way in ---- */

static size_t widest(const struct printer *p)
{
	size_t best = 0, room = 0;

	for (size_t k = 0; k < p->map.natoms; k++) {
		if (p->base_allow[k] == p->deny || ports_in(p, k) <= room)
			continue;
		best = k;
		room = ports_in(p, k);
	}
	return best;
}

static void put_default(struct printer *p)
{
	const struct im_cell *c = &p->base[widest(p)], *c6 = &p->base6[widest(p)];
	struct im_place at = place_or_whole(p, c);

	put_line(p, p->deny ? "default deny" : "default allow", c, c6);
	if (c->by)
		((struct im_rule *)c->by)->carried = true;
	if (c6->by)
		((struct im_rule *)c6->by)->carried = true;
	if (p->deny)
		return;
	fputs("#default deny                   # what such rules usually mean: first say `admin ssh from ...` for "
	      "yourself\n",
	      p->out);
	im_say(p->im, at, IM_DANGER,
	       "accept-all default: %s, so every port that is not named below stays open to everybody; "
	       "to close them write `default deny`, after an `admin ssh from ...` for your own network",
	       c->by				     ? "the last word of the old policy is an ACCEPT"
	       : c->policy && c->policy->policy_text ? "the policy is ACCEPT and no rule drops the rest"
						     : "nothing here sets a policy and no rule drops the rest, and the "
						       "kernel's own policy is ACCEPT");
	if (p->im->ssh_comment)
		im_say(p->im, (struct im_place){ p->im->path, p->im->ssh_comment }, IM_NOTE,
		       "the rule for SSH is commented out: with "
		       "`default deny` it is `admin ssh from ...` that keeps you from being locked out");
}

/* Who may open port 22? Nodes are counted; the first few are named. */
static size_t ssh_sources(const struct printer *p, const struct im_node **v, size_t room)
{
	size_t k = atom_of(p, SSH), n = 0;

	for (size_t i = 0; i < p->map.nnodes; i++) {
		const struct im_node *node = &p->map.node[i];

		if (!family_read(p, node->six) || !node->speaks || !accepts(&node->cell[k]) || node->parent < 0)
			continue;
		if (accepts(&p->map.node[node->parent].cell[k]))
			continue;
		if (n < room)
			v[n] = node;
		n++;
	}
	return n;
}

static void put_way_in(struct printer *p)
{
	size_t k = atom_of(p, SSH), n;
	const struct im_node *v[6];
	const struct im_cell *c = &p->base[k];
	struct im_place at = place_or_whole(p, c);
	bool everybody = (family_read(p, 0) && accepts(&p->root[0]->cell[k])) ||
			 (family_read(p, 1) && accepts(&p->root[1]->cell[k]));

	n = everybody ? 0 : ssh_sources(p, v, 6);
	if (n && n <= 6) {
		fputs("#admin ssh from ", p->out);
		for (size_t i = 0; i < n; i++) {
			fputs(i ? ", " : "", p->out);
			put_prefix(p->out, v[i]);
		}
		fputs("   # the same sources, as a way in that no other sentence can close\n", p->out);
		return;
	}
	fputs("#admin ssh from 203.0.113.0/24  # the network you work from: a way in that no other sentence can "
	      "close\n",
	      p->out);
	if (everybody || n)
		return;
	im_say(p->im, at, IM_DANGER,
	       "locked-out SSH: nothing lets anybody open port 22%s, and this refuses it; before you apply "
	       "these rules write `admin ssh from ...` with the network you work from (or the port that your sshd has)",
	       p->im->ssh_comment ? im_text(p->im, " (line %zu, which would, is commented out)", p->im->ssh_comment)
				  : "");
}

static void put_head(struct printer *p)
{
	struct import *im = p->im;

	fprintf(p->out,
		"# mxdp import %s: what the old firewall answers to new TCP connections from outside.\n"
		"# Nothing of it is in force. Read it, and the messages that came with it; then: mxdp check FILE, mxdp "
		"apply FILE\n\n",
		im->dialect);
	if (*im->iface && iface_name_ok(im->iface, strlen(im->iface)))
		fprintf(p->out,
			"#interface %-20s # the packets' interface in the old rules; `mxdp attach %s` writes it\n",
			im->iface, im->iface);
}

/* ---- what is not carried ---- */

static const char *proto_name(struct import *im, unsigned int nr)
{
	return nr == 17 ? "UDP" : nr == 1 ? "ICMP" : nr == 58 ? "ICMPv6" : im_text(im, "protocol %u", nr);
}

/* Why a rule is not about new TCP connections from outside. */
static void say_why_not(struct printer *p, const struct im_rule *r, const struct im_match *m)
{
	struct import *im = p->im;

	switch (m->kind) {
	case IM_NEVER:
		im_say(im, r->at, IM_NOTE, "%s", m->text);
		break;
	case IM_PROTO:
		if (m->no)
			break;
		im_say(im, r->at, IM_NOTE, "a rule for %s: mxdp filters TCP and passes this unjudged%s; nothing to do",
		       proto_name(im, m->value), m->value == 1 || m->value == 58 ?
		       " (errors and neighbour discovery always)" : "");
		break;
	case IM_STATE:
		if (m->value & IM_INVALID && !(m->value & (IM_ESTABLISHED | IM_RELATED)))
			im_say(im, r->at, IM_NOTE,
			       "state INVALID: mxdp drops segments of no connection and impossible flags by "
			       "itself; nothing to do");
		else
			im_say(im, r->at, IM_NOTE,
			       "open connections pass mxdp by themselves, and so do replies; nothing to do");
		break;
	case IM_FLAGS:
		im_say(im, r->at, IM_NOTE,
		       "TCP flags: mxdp drops combinations that no TCP sends, and segments of no connection, by "
		       "itself; nothing to do");
		break;
	case IM_IFACE:
		if (!m->no && !strcmp(m->text, "lo"))
			im_say(im, r->at, IM_NOTE, "the loopback interface is never filtered; nothing to do");
		else
			im_say(im, r->at, IM_NOTE,
			       "holds on interface %s%s, and these sentences are those of %s; leave mxdp off that "
			       "interface, or import for it with --interface",
			       m->no ? "other than " : "", m->text,
			       *im->iface ? im->iface : "an interface that no rule names");
		break;
	case IM_DEST:
		im_say(im, r->at, IM_NOTE,
		       "is about another destination than this host's address; nothing to do if that is not an "
		       "address of this host");
		break;
	case IM_ICMP6:
		im_say(im, r->at, IM_NOTE,
		       "a rule for ICMPv6: errors and neighbour discovery always pass mxdp, and the rest passes "
		       "unjudged; nothing to do");
		break;
	default:
		break;
	}
}

static char *doubts(struct import *im, const struct im_rule *r)
{
	char *s = "";

	for (size_t i = 0; i < r->n; i++) {
		const struct im_match *m = &r->m[i];

		if (m->kind == IM_MAYBE)
			s = im_text(im, "%s%s%s", s, *s ? ", " : "", m->text);
		else if ((m->kind == IM_SOURCE || m->kind == IM_PORT) && m->set && !m->set->known)
			s = im_text(im, "%s%sthe set %s, whose contents are not here", s, *s ? ", " : "", m->set->name);
		else if (m->kind == IM_DEST)
			s = im_text(im, "%s%sthe destination address", s, *s ? ", " : "");
		else if (m->kind == IM_SPORT)
			s = im_text(im, "%s%sthe source port", s, *s ? ", " : "");
	}
	if (r->action == IM_MAP && !r->map->known)
		s = im_text(im, "%s%sthe map %s, whose contents are not here", s, *s ? ", " : "", r->map->name);
	return *s ? s : "something";
}

static void say_limit(struct printer *p, struct im_rule *r)
{
	struct im_match *m = rate_of(r);
	struct im_rate *x = &m->rate;
	const char *what = m->text ? m->text : "a limit", *why = not_carried(r);

	if (why)
		im_say(p->im, r->at, IM_LOSS,
		       "%s is not carried, for %s: the ports are open without it; the old firewall still limits them "
		       "behind mxdp, and `limit 30/min` or `connections 20` behind the `allow` limits each source "
		       "here%s",
		       what, why,
		       x->counts == IM_COUNTS_ALL ? " (this one is of all sources together, so that one sender can use "
						    "it up for everybody)"
						  : "");
	else if (x->counts == IM_COUNTS_ALL)
		im_say(p->im, r->at, IM_NOTE,
		       "%s is of all sources together, so that one sender can use it up for everybody; carried as "
		       "`global-limit`: `limit` limits each source instead",
		       what);
	if (!why && r->sentences > 1)
		im_say(p->im, r->at, IM_LOSS,
		       "%s is one budget, and here each of the %u sentences that say it has its own", what,
		       r->sentences);
}

static void say_shadow(struct printer *p, struct im_rule *r, size_t *tries)
{
	struct import *im = p->im;

	for (size_t i = 0; i < p->map.nnodes && *tries; i++) {
		const struct im_node *n = &p->map.node[i];

		if (!n->speaks || !(r->chain->families & (n->six ? IM_V6 : IM_V4)))
			continue;
		for (size_t k = 0; k < p->map.natoms && *tries; k++) {
			struct im_packet x = { IM_SYN, n->six, n->speaker, p->map.port[k] };
			const struct im_cell *c = &n->cell[k];
			enum im_action said = r->action == IM_ACCEPT ? IM_ACCEPT : IM_DROP;

			--*tries;
			if (!im_true_of(im, r, &x) || c->by == r)
				continue;
			if (!c->by) {
				im_say(im, r->at, IM_NOTE, "is never reached by a new TCP connection; not carried");
				return;
			}
			im_say(im, r->at, IM_NOTE, "shadowed: never decides, since line %u (%.120s) comes first%s",
			       c->by->at.line, c->by->text,
			       accepts(c) == (said == IM_ACCEPT) ? "; nothing is lost"
			       : accepts(c) ? " and accepts: what this rule would refuse is open, as before; write the "
					      "`deny` you meant"
					    : " and refuses: what this rule would accept is closed, as before");
			return;
		}
	}
	im_say(im, r->at, IM_NOTE, "is true of no new TCP connection from outside; not carried");
}

static bool has_kind(const struct im_rule *r, enum im_kind kind)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->m[i].kind == kind)
			return true;
	return false;
}

static void say_decided(struct printer *p, struct im_rule *r)
{
	if (r->action == IM_REJECT)
		im_say(p->im, r->at, IM_NOTE,
		       "REJECT answers; mxdp drops without an answer, so that a refused client waits for its "
		       "timeout instead of an error");
	if (!r->carried)
		im_say(p->im, r->at, IM_NOTE, "needs no sentence: the others say as much");
	for (size_t i = 0; i < r->n; i++)
		if (r->m[i].kind == IM_DEST && r->m[i].addrs && r->action == IM_ACCEPT) {
			int six = r->m[i].addrs->n[1] > 0;

			im_say(p->im, r->at, p->im->many_own[six] ? IM_DANGER : IM_NOTE,
			       p->im->many_own[six]
				       ? "holds for one of several addresses of this host; mxdp judges ports, not "
					 "destinations, so this opens "
					 "the ports on all of them"
				       : "the destination is taken to be this host's own address, and left out");
			break;
		}
}

static void say_rule(struct printer *p, struct im_rule *r, size_t *tries)
{
	struct import *im = p->im;
	int six = r->chain->families == IM_V6;
	const struct im_match *m = im_why_not(im, r, six);
	bool verdict = r->action == IM_ACCEPT || r->action == IM_DROP || r->action == IM_REJECT;

	if (r->stock)
		return;
	if (m && r->chain->families == IM_BOTH && im_why_not(im, r, 1) == NULL)
		m = NULL;
	if (r->cuts)
		im_say(im, r->at, IM_LOSS,
		       "refuses segments of open connections too; mxdp leaves open connections alone, and replies to "
		       "this host's own; `block` cuts those of a source");
	if (r->closes)
		im_say(im, r->at, IM_DANGER,
		       "asks for %s, which mxdp does not: what this rule refuses passes the new rules; the old "
		       "firewall still refuses it as long as it stays in place",
		       doubts(im, r));
	if (r->opens)
		im_say(im, r->at, IM_LOSS,
		       "asks for %s, which mxdp does not: not carried, so that what this rule lets in is refused; "
		       "add an `allow` if it has to come in",
		       doubts(im, r));
	if (r->limits)
		say_limit(p, r);
	if (r->decides)
		say_decided(p, r);
	if (r->closes || r->opens || r->limits || r->decides)
		return;
	if (m) {
		say_why_not(p, r, m);
	} else if (r->action == IM_CONTINUE) {
		if (r->target)
			im_say(im, r->at, IM_NOTE,
			       "%s decides nothing; mxdp counts every reason by itself (`mxdp show drops`)", r->target);
	} else if (verdict && !r->chain->reached) {
		im_say(im, r->at, IM_NOTE, "stands in chain %s, which no new TCP connection from outside reaches",
		       r->chain->name);
	} else if (has_kind(r, IM_RATE)) {
		im_say(im, r->at, IM_NOTE, "%s changes no verdict", rate_of(r)->text ? rate_of(r)->text : "the limit");
	} else if (verdict) {
		say_shadow(p, r, tries);
	}
}

/* Rules for packets that go out or through, or whose addresses are changed: one line for a chain. */
static void say_elsewhere(struct printer *p, const struct im_chain *c)
{
	struct import *im = p->im;
	bool drops = c->policy != IM_ACCEPT, nat = strstr(c->table, "nat") || !strcmp(c->name, "PREROUTING") ||
						  !strcmp(c->name, "POSTROUTING");
	const char *what = c->policy != IM_ACCEPT ? im_text(im, ", policy DROP") : "";
	struct im_place at = c->policy_at;

	for (size_t i = 0; i < c->n; i++)
		drops |= c->rule[i]->action == IM_DROP || c->rule[i]->action == IM_REJECT;
	if (c->n)
		at = c->rule[0]->at;
	if ((!c->n && !drops) || !at.path)
		return;
	if (nat)
		im_say(im, at, c->n ? IM_LOSS : IM_NOTE,
		       "chain %s of table %s (%zu rule%s) changes addresses; mxdp does not: leave the "
		       "old firewall in place for it",
		       c->name, c->table, c->n, c->n == 1 ? "" : "s");
	else
		im_say(im, at, drops ? IM_LOSS : IM_NOTE,
		       "chain %s (%zu rule%s%s) is not about what comes in to this host, and that is all "
		       "that mxdp filters; %s",
		       c->name, c->n, c->n == 1 ? "" : "s", what,
		       drops ? "leave the old firewall in place for it" : "nothing to do");
}

static void say_generated(struct printer *p, const struct im_chain *c)
{
	if (c->n > 1 && c->inward)
		im_say(p->im, c->rule[0]->at, IM_LOSS,
		       "chain %s holds the bans of %s at this moment (%zu rules): not carried; let %s ban "
		       "through mxdp",
		       c->name, c->generated, c->n, c->generated);
}

static void say_rules(struct printer *p)
{
	size_t tries = 20000000;

	for (size_t i = 0; i < p->im->nchains; i++) {
		struct im_chain *c = p->im->chain[i];

		if (c->hook == IM_ELSEWHERE)
			say_elsewhere(p, c);
		if (c->cuts)
			im_say(p->im, c->policy_at.path && c->policy_at.line ? c->policy_at : im_place_of_import(p->im),
			       IM_LOSS,
			       "refuses whatever no rule accepts, segments of open connections and replies to this "
			       "host's own too (no rule "
			       "accepts ESTABLISHED for all of them); mxdp passes those, and the old firewall behind "
			       "it does not");
		if (c->generated)
			say_generated(p, c);
		for (size_t k = 0; c->inward && !c->generated && k < c->n; k++) {
			struct im_rule *r = c->rule[k];

			for (size_t j = 0; r->action == IM_MAP && j < r->map->nmap; j++)
				r->map->map[j]->chain = c;
			say_rule(p, r, &tries);
		}
	}
}

static void say_whole(struct printer *p)
{
	struct import *im = p->im;
	const struct im_cell *c4 = &p->base[widest(p)], *c6 = &p->base6[widest(p)];

	if (im->families != IM_BOTH && im->nchains)
		im_say(im, (struct im_place){ im->path, 1 }, IM_NOTE,
		       "only rules for IPv%d are here; sentences without an address hold for IPv%d as well, as they do "
		       "in mxdp; to import both say: mxdp import iptables PATH ip6tables PATH6",
		       im->families == IM_V6 ? 6 : 4, im->families == IM_V6 ? 4 : 6);
	if (family_read(p, 1) && p->map.neighbour != IM_ACCEPT)
		im_say(im, place_or_whole(p, c6), IM_NOTE,
		       "dead neighbour discovery: the old IPv6 policy drops it "
		       "(ICMPv6 types 133 to 136), and without it there is no IPv6; mxdp always passes it, but the old "
		       "firewall "
		       "behind it does not: accept those types there");
	for (int six = 0; six < 2; six++) {
		if (!family_read(p, six))
			continue;
		if (p->map.udp[six] != IM_ACCEPT && (six == 0 || !family_read(p, 0) || p->map.udp[0] == IM_ACCEPT))
			im_say(im, place_or_whole(p, six ? c6 : c4), IM_LOSS, "the old policy drops UDP too "
			       "and mxdp passes all that is not TCP; leave the old firewall in place for it");
	}
}

/* Which rules and policies refuse open connections that no `block` here cuts? */
static void find_cuts(struct printer *p)
{
	for (size_t i = 0; i < p->map.nnodes; i++) {
		const struct im_node *n = &p->map.node[i];

		if (!family_read(p, n->six) || !n->speaks || is_blocked(p, n) || inside_blocked(p, n))
			continue;
		for (size_t k = 0; k < p->map.natoms; k++) {
			if (n->cell[k].cut_by)
				n->cell[k].cut_by->cuts = true;
			else if (n->cell[k].cut_policy)
				n->cell[k].cut_policy->cuts = true;
		}
	}
}

/* ---- the whole ---- */

static int check(const char *text, size_t len, struct diag *d)
{
	struct rules r = { 0 };
	struct diag said = { 0 };
	int err = rules_parse(&r, "imported rules", text, len, &said);

	if (!err)
		err = rules_finish(&r, &said);
	for (size_t i = 0; err && i < said.n; i++)
		if (said.msg[i].level == DIAG_ERROR)
			diag_error(d, "%s", said.msg[i].text);
	diag_free(&said);
	rules_free(&r);
	return err ? -EINVAL : 0;
}

int import_print(struct import *im, FILE *out, struct diag *d)
{
	struct printer p = { .im = im };
	__cleanup_free char *text = NULL;
	size_t len = 0;
	int err = im_evaluate(im, &p.map);

	if (err) {
		diag_error(d, "the old policy is too large to be evaluated; put its addresses into a set (ipset, nft "
			      "set) or into "
			      "a list of mxdp");
		return err;
	}
	p.out = open_memstream(&text, &len);
	if (!p.out)
		return -ENOMEM;
	drop_limits(&p);
	find_base(&p);
	find_items(&p);
	put_head(&p);
	put_default(&p);
	put_way_in(&p);
	fputc('\n', p.out);
	put_blocks(&p);
	put_items(&p);
	fclose(p.out);
	find_cuts(&p);
	say_rules(&p);
	say_whole(&p);
	err = check(text, len, d);
	if (err)
		return err;
	fwrite(text, 1, len, out);
	return 0;
}
