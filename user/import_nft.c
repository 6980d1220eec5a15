// SPDX-License-Identifier: GPL-2.0-only
/* nftables: what `nft list ruleset` prints, scripts for `nft -f`, and `nft ...` command lines. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "import_text.h"
#include "token.h"

#define MAX_EXPAND 20000 /* rules that one rule's tuples make */

struct tok {
	const char *s;
	unsigned int line;
	bool quoted, end; /* end: a newline or ';' */
};

/* One element of a set: parts with dots between, and a verdict behind a colon. */
struct elem {
	const char **part;
	size_t n;
	struct im_rule *verdict;
};

struct value {
	bool no, unknown;
	const char *op;   /* "<", "<=", ">", ">=" or NULL */
	const char *set;  /* @name */
	struct elem *v;
	size_t n;
	bool braces;
};

struct define {
	const char *name;
	struct value value;
};

/* A named set as declared, beside the evaluator's */
struct nset {
	struct im_set *set;
	const char *type; /* "ipv4_addr", "inet_service", "ipv4_addr . inet_service" */
	bool map, dynamic;
	struct elem *v;
	size_t n;
};

struct late { /* a rule whose map is filled when everything was read */
	struct im_rule *rule;
	struct nset *map;
	const char **key;
	size_t nkeys;
};

struct nft {
	struct im_reader *r;
	struct tok *t;
	size_t n, i;
	unsigned int families;
	const char *table;
	struct define *def;
	size_t ndefs;
	struct nset **set;
	size_t nsets;
	struct late *late;
	size_t nlate;
	/* a block that goes over several lines */
	struct held {
		unsigned int line;
		const char *s;
	} *held;
	size_t nheld;
	int depth;
	unsigned int first;
	bool xt_told;
};

static struct import *im_of(struct nft *p)
{
	return p->r->im;
}

/* ---- tokens ---- */

static bool word_char(char c)
{
	return isalnum((unsigned char)c) || strchr("._:/-*@$+%~", c);
}

static void token(struct nft *p, const char *s, size_t n, unsigned int line, bool quoted, bool end)
{
	*im_push(im_of(p), p->t, p->n) = (struct tok){ im_copy(im_of(p), s, n), line, quoted, end };
}

static void tokens(struct nft *p, const char *s, unsigned int line)
{
	while (*s) {
		size_t n;

		if (isspace((unsigned char)*s)) {
			s++;
		} else if (*s == '#') {
			break;
		} else if (*s == '"') {
			n = strcspn(s + 1, "\"");
			token(p, s + 1, n, line, true, false);
			s += n + 1 + (s[n + 1] == '"');
		} else if (*s == ';') {
			token(p, s++, 1, line, false, true);
		} else if (word_char(*s)) {
			for (n = 0; s[n] && word_char(s[n]); n++)
				;
			/* `25: accept` in a map; an address may end in two colons */
			while (n > 1 && s[n - 1] == ':' && s[n - 2] != ':')
				n--;
			token(p, s, n, line, false, false);
			s += n;
		} else if (!strncmp(s, "==", 2) || !strncmp(s, "!=", 2) || !strncmp(s, "<=", 2) ||
			   !strncmp(s, ">=", 2) || !strncmp(s, "<<", 2) || !strncmp(s, ">>", 2)) {
			token(p, s, 2, line, false, false);
			s += 2;
		} else {
			token(p, s++, 1, line, false, false);
		}
	}
	token(p, ";", 1, line, false, true);
}

static const struct tok *peek(const struct nft *p)
{
	static const struct tok none = { .s = "", .end = true };

	return p->i < p->n ? &p->t[p->i] : &none;
}

static bool at(const struct nft *p, const char *s)
{
	return !peek(p)->quoted && !strcmp(peek(p)->s, s);
}

static bool accept(struct nft *p, const char *s)
{
	if (p->i >= p->n || !at(p, s))
		return false;
	p->i++;
	return true;
}

static const char *word(struct nft *p)
{
	const char *s = peek(p)->s;

	if (p->i < p->n)
		p->i++;
	return s;
}

static void skip_ends(struct nft *p)
{
	while (p->i < p->n && peek(p)->end)
		p->i++;
}

/* To the end of the statement; whole pairs of braces on the way. */
static void skip_statement(struct nft *p)
{
	int depth = 0;

	while (p->i < p->n) {
		if (!depth && (peek(p)->end || at(p, "}")))
			return;
		depth += at(p, "{") - at(p, "}");
		p->i++;
	}
}

static void skip_block(struct nft *p)
{
	int depth = 0;

	while (p->i < p->n && !at(p, "{") && !peek(p)->end)
		p->i++;
	do {
		depth += at(p, "{") - at(p, "}");
		p->i++;
	} while (p->i < p->n && depth > 0);
}

static struct im_place place(struct nft *p)
{
	return (struct im_place){ p->r->path, p->i < p->n ? peek(p)->line : p->first };
}

/* ---- values ---- */

static struct im_rule *verdict(struct nft *p);
static void parse_value(struct nft *p, struct value *v);

static const struct value *defined(const struct nft *p, const char *name)
{
	for (size_t i = p->ndefs; i-- > 0;)
		if (!strcmp(p->def[i].name, name))
			return &p->def[i].value;
	return NULL;
}

static void push_elem(struct nft *p, struct value *v, struct elem e)
{
	*im_push(im_of(p), v->v, v->n) = e;
}

/* a, b-c, $d or 1.2.3.4 . 25 with what may stand behind it */
static void parse_elem(struct nft *p, struct value *v)
{
	struct elem e = { 0 };
	const struct value *d;
	const char *s = word(p);

	if (s[0] == '$') {
		d = defined(p, s + 1);
		if (!d)
			v->unknown = true;
		for (size_t i = 0; d && i < d->n && v->n < 100000; i++)
			push_elem(p, v, d->v[i]);
		if (d && !at(p, ".") && !at(p, ":"))
			return;
		if (d && d->n == 1) {
			v->n--;
			s = d->v[0].part[0];
		} else {
			v->unknown = true;
		}
	}
	*im_push(im_of(p), e.part, e.n) = s;
	while (accept(p, "."))
		*im_push(im_of(p), e.part, e.n) = word(p);
	/* a range with blanks: 1.2.3.4 - 1.2.3.9 */
	if (e.n == 1 && accept(p, "-"))
		e.part[0] = im_text(im_of(p), "%s-%s", s, word(p));
	while (!peek(p)->end && !at(p, ",") && !at(p, "}") && !at(p, ":")) {
		/* timeout 1h, counter packets 0: of this element, inside braces; outside of them the rule goes on */
		if (!v->braces)
			break;
		p->i++;
	}
	if (v->braces && accept(p, ":"))
		e.verdict = verdict(p);
	push_elem(p, v, e);
}

static void parse_list(struct nft *p, struct value *v)
{
	v->braces = true;
	while (p->i < p->n && !at(p, "}")) {
		size_t was = p->i;

		if (peek(p)->end || at(p, ",")) {
			p->i++;
			continue;
		}
		parse_elem(p, v);
		while (p->i < p->n && !at(p, ",") && !at(p, "}") && !peek(p)->end)
			p->i++;
		if (p->i == was)
			p->i++;
	}
	accept(p, "}");
}

static void parse_value(struct nft *p, struct value *v)
{
	*v = (struct value){ 0 };
	if (accept(p, "!=") || accept(p, "ne") || accept(p, "!"))
		v->no = true;
	else if (accept(p, "==") || accept(p, "eq"))
		;
	else if (at(p, "<") || at(p, "<=") || at(p, ">") || at(p, ">=") || at(p, "lt") || at(p, "gt") || at(p, "le") ||
		 at(p, "ge"))
		v->op = word(p);
	if (accept(p, "{")) {
		parse_list(p, v);
		return;
	}
	if (peek(p)->s[0] == '@' && !peek(p)->quoted) {
		v->set = word(p) + 1;
		return;
	}
	if (accept(p, "@")) {
		v->set = word(p);
		return;
	}
	do {
		if (peek(p)->end)
			break;
		parse_elem(p, v);
	} while (accept(p, ","));
}

/* ---- verdicts ---- */

static bool is_verdict(const struct nft *p)
{
	static const char *const words[] = {
		"accept", "drop", "reject", "jump", "goto", "return", "continue", "queue"
	};

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (at(p, words[i]))
			return true;
	return false;
}

static void put_verdict(struct nft *p, struct im_rule *r)
{
	const char *s = word(p);

	if (!strcmp(s, "accept"))
		r->action = IM_ACCEPT;
	else if (!strcmp(s, "drop"))
		r->action = IM_DROP;
	else if (!strcmp(s, "return"))
		r->action = IM_RETURN;
	else if (!strcmp(s, "jump") || !strcmp(s, "goto")) {
		r->action = *s == 'j' ? IM_JUMP : IM_GOTO;
		r->target = word(p);
	} else if (!strcmp(s, "reject")) {
		r->action = IM_REJECT;
		if (accept(p, "with")) {
			const char *kind = word(p);

			r->reset = !strcmp(kind, "tcp");
			if (!accept(p, "type"))
				accept(p, "reset");
			if (!r->reset && !peek(p)->end)
				word(p);
		}
	} else {
		r->target = s;
	}
}

static struct im_rule *verdict(struct nft *p)
{
	struct im_rule *r = im_rule_new(im_of(p), place(p), "");

	put_verdict(p, r);
	return r;
}

/* ---- matches ---- */

static struct nset *find_set(struct nft *p, const char *name, bool make)
{
	const char *table = im_text(im_of(p), "%u %s", p->families, p->table);
	struct nset *s;

	for (size_t i = 0; i < p->nsets; i++)
		if (!strcmp(p->set[i]->set->table, table) && !strcmp(p->set[i]->set->name, name))
			return p->set[i];
	if (!make)
		return NULL;
	s = im_alloc(im_of(p), sizeof(*s));
	s->set = im_set(im_of(p), table, name, true);
	s->type = "";
	*im_push(im_of(p), p->set, p->nsets) = s;
	return s;
}

static void unknown(struct nft *p, struct im_rule *r, const char *what)
{
	im_match(im_of(p), r, IM_MAYBE, false)->text = what;
}

static void port_match(struct nft *p, struct im_rule *r, const struct value *v, enum im_kind kind)
{
	struct im_match *m = im_match(im_of(p), r, kind, v->no);
	struct nset *s = v->set ? find_set(p, v->set, true) : NULL;
	struct port_range one;

	if (s && kind == IM_PORT) {
		m->set = s->set;
		return;
	}
	for (size_t i = 0; i < v->n; i++) {
		if (v->v[i].n != 1 || !im_port_word(im_of(p), place(p), v->v[i].part[0], '-', &one)) {
			m->kind = IM_MAYBE;
			m->text = "a port that is not understood";
			return;
		}
		if (v->op)
			one = (struct port_range){
				v->op[0] == '<' || v->op[0] == 'l' ? 0 : one.lo + !(v->op[1] == '=' || v->op[1] == 'e'),
				v->op[0] == '<' || v->op[0] == 'l' ? one.hi - !(v->op[1] == '=' || v->op[1] == 'e')
								   : 65535
			};
		im_match_ports(im_of(p), m, one.lo, one.hi);
	}
	if (!v->n || v->unknown) {
		m->kind = IM_MAYBE;
		m->text = "a set or variable that is not here";
	}
}

static void addr_match(struct nft *p, struct im_rule *r, const struct value *v, int six, bool source)
{
	struct nset *s = v->set ? find_set(p, v->set, true) : NULL;
	struct im_match *m;
	struct im_addrs *a;

	im_match(im_of(p), r, IM_FAMILY, false)->value = six ? IM_V6 : IM_V4;
	m = im_match(im_of(p), r, source ? IM_SOURCE : IM_DEST, v->no);
	if (s && source) {
		m->set = s->set;
		return;
	}
	a = m->addrs = im_alloc(im_of(p), sizeof(*a));
	for (size_t i = 0; i < v->n; i++) {
		const char *one = v->v[i].part[0];

		if (v->v[i].n == 1 && *one == '*')
			im_span(im_of(p), a, six, 0, six ? ~(im_addr)0 : 0xffffffffu);
		else if (v->v[i].n != 1 || !im_addr_word(im_of(p), a, one) || a->n[!six])
			goto no;
	}
	if (v->n && !v->unknown && !v->op)
		return;
no:
	m->kind = IM_MAYBE;
	m->text = source ? "a source that is not understood" : "a destination that is not understood";
}

static void iface_match(struct nft *p, struct im_rule *r, const struct value *v)
{
	struct im_match *m = im_match(im_of(p), r, IM_IFACE, v->no);
	char *names = "";

	for (size_t i = 0; i < v->n; i++) {
		char *one = im_copy(im_of(p), v->v[i].part[0], strlen(v->v[i].part[0]));
		size_t n = strlen(one);

		if (n && one[n - 1] == '*')
			one[n - 1] = '+';
		names = im_text(im_of(p), "%s%s%s", names, *names ? "," : "", one);
	}
	m->text = names;
	if (v->set || v->unknown || !*names) {
		m->kind = IM_MAYBE;
		m->text = "a set of interfaces that is not here";
	}
}

static void state_match(struct nft *p, struct im_rule *r, const struct value *v)
{
	static const struct {
		const char *name;
		unsigned int bit;
	} names[] = { { "new", IM_NEW }, { "established", IM_ESTABLISHED }, { "related", IM_RELATED },
		      { "invalid", IM_INVALID }, { "untracked", IM_UNTRACKED } };
	struct im_match *m = im_match(im_of(p), r, IM_STATE, v->no);

	for (size_t i = 0; i < v->n; i++)
		for (size_t k = 0; k < 5; k++)
			if (!strcmp(v->v[i].part[0], names[k].name))
				m->value |= names[k].bit;
	if (!m->value) {
		m->kind = IM_MAYBE;
		m->text = "a state that is not understood";
	}
}

static unsigned int protocol_number(const char *s)
{
	static const struct {
		const char *name;
		unsigned int nr;
	} names[] = { { "tcp", 6 },	  { "udp", 17 },  { "icmp", 1 },   { "icmpv6", 58 }, { "ipv6-icmp", 58 },
		      { "sctp", 132 },	  { "gre", 47 },  { "esp", 50 },   { "ah", 51 },     { "igmp", 2 },
		      { "udplite", 136 }, { "dccp", 33 }, { "vrrp", 112 }, { "ospf", 89 } };

	if (all_digits(s, strlen(s)) && strlen(s) < 4)
		return atoi(s);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(s, names[i].name))
			return names[i].nr;
	return 254;
}

static void proto_match(struct nft *p, struct im_rule *r, const struct value *v)
{
	struct im_match *m = im_match(im_of(p), r, IM_PROTO, v->no);

	for (size_t i = 0; i < v->n; i++) {
		unsigned int nr = protocol_number(v->v[i].part[0]);

		m->value = nr;
		im_match_ports(im_of(p), m, nr, nr);
	}
	if (v->set || v->unknown || !v->n) {
		m->kind = IM_MAYBE;
		m->text = "a set of protocols that is not here";
	}
}

static void icmp6_match(struct nft *p, struct im_rule *r, const struct value *v)
{
	struct im_match *m;
	struct port_range x;

	im_match(im_of(p), r, IM_PROTO, false)->value = 58;
	m = im_match(im_of(p), r, IM_ICMP6, v->no);
	for (size_t i = 0; i < v->n; i++) {
		const char *s = v->v[i].part[0];

		if (!strcmp(s, "nd-neighbor-solicit"))
			im_match_ports(im_of(p), m, 135, 135);
		else if (isdigit((unsigned char)*s) && im_port_word(im_of(p), place(p), s, '-', &x))
			im_match_ports(im_of(p), m, x.lo, x.hi);
		else
			im_match_ports(im_of(p), m, 254, 254);
	}
}

static unsigned int flag_bit(const char *s)
{
	static const char *const names[] = { "fin", "syn", "rst", "psh", "ack", "urg", "ecn", "cwr" };

	for (unsigned int i = 0; i < 8; i++)
		if (!strcmp(s, names[i]))
			return 1u << i;
	return !strncmp(s, "0x", 2) ? strtoul(s, NULL, 16) & 0xff : 0;
}

/* fin | syn, (fin|syn), fin,syn */
static unsigned int flag_set(struct nft *p)
{
	unsigned int bits = 0;

	while (!peek(p)->end) {
		if (accept(p, "(") || accept(p, ")") || accept(p, "|") || accept(p, ","))
			continue;
		if (!flag_bit(peek(p)->s) && !at(p, "0x0") && !at(p, "0"))
			break;
		bits |= flag_bit(word(p));
	}
	return bits;
}

static void flags_match(struct nft *p, struct im_rule *r)
{
	struct im_match *m;
	unsigned int bits;
	bool no;

	im_match(im_of(p), r, IM_PROTO, false)->value = 6;
	m = im_match(im_of(p), r, IM_FLAGS, false);
	m->mask = 0xff;
	if (at(p, "{")) { /* any of these combinations: equal to one of them */
		struct value v;

		parse_value(p, &v);
		m->kind = IM_MAYBE;
		m->text = "a set of TCP flags";
		return;
	}
	if (accept(p, "&")) {
		m->mask = flag_set(p);
		no = accept(p, "!=");
		if (!no)
			accept(p, "==");
		m->value = flag_set(p);
		m->no = no;
		return;
	}
	no = accept(p, "!=");
	if (no || accept(p, "==")) {
		m->no = no;
		m->value = flag_set(p);
		if (accept(p, "/"))
			m->mask = flag_set(p);
		return;
	}
	bits = flag_set(p);
	if (accept(p, "/")) {
		m->mask = flag_set(p);
		m->value = bits;
	} else {
		/* a plain name asks whether the bit is set */
		m->mask = bits;
		m->value = 0;
		m->no = true;
	}
}

/* What a key of `EXPR VALUE` is; NULL when a value behind it is beyond us. */
static bool key_match(struct nft *p, struct im_rule *r, const char *key, const struct value *v)
{
	if (!strcmp(key, "tcp dport") || !strcmp(key, "udp dport") || !strcmp(key, "sctp dport") ||
	    !strcmp(key, "th dport")) {
		if (*key != 't' || key[1] == 'c')
			im_match(im_of(p), r, IM_PROTO, false)->value = *key == 't' ? 6 : *key == 'u' ? 17 : 132;
		port_match(p, r, v, IM_PORT);
	} else if (!strcmp(key, "tcp sport") || !strcmp(key, "udp sport") || !strcmp(key, "th sport")) {
		if (key[1] != 'h')
			im_match(im_of(p), r, IM_PROTO, false)->value = *key == 't' ? 6 : 17;
		port_match(p, r, v, IM_SPORT);
	} else if (!strcmp(key, "ip saddr") || !strcmp(key, "ip daddr")) {
		addr_match(p, r, v, 0, key[3] == 's');
	} else if (!strcmp(key, "ip6 saddr") || !strcmp(key, "ip6 daddr")) {
		addr_match(p, r, v, 1, key[4] == 's');
	} else if (!strcmp(key, "iifname") || !strcmp(key, "iif")) {
		iface_match(p, r, v);
	} else if (!strcmp(key, "l4proto") || !strcmp(key, "ip protocol") || !strcmp(key, "ip6 nexthdr")) {
		if (key[0] == 'i')
			im_match(im_of(p), r, IM_FAMILY, false)->value = key[2] == '6' ? IM_V6 : IM_V4;
		proto_match(p, r, v);
	} else if (!strcmp(key, "ct state")) {
		state_match(p, r, v);
	} else if (!strcmp(key, "nfproto") || !strcmp(key, "protocol")) {
		if (!v->n)
			return false;
		im_match(im_of(p), r, IM_FAMILY, v->no)->value = strstr(v->v[0].part[0], "6") ? IM_V6 : IM_V4;
	} else if (!strcmp(key, "icmpv6 type")) {
		icmp6_match(p, r, v);
	} else if (!strcmp(key, "icmp type") || !strcmp(key, "icmp code")) {
		im_match(im_of(p), r, IM_PROTO, false)->value = 1;
	} else if (!strcmp(key, "icmpv6 code")) {
		im_match(im_of(p), r, IM_PROTO, false)->value = 58;
	} else if (!strcmp(key, "pkttype")) {
		if (v->n && (strcmp(v->v[0].part[0], "host") && strcmp(v->v[0].part[0], "unicast")) != v->no)
			im_match(im_of(p), r, IM_NEVER, false)->text =
				"is about packets to groups, and a TCP connection is none; nothing to do";
	} else if (!strcmp(key, "fib daddr type")) {
		if (v->n && (strcmp(v->v[0].part[0], "local") != 0) != v->no)
			im_match(im_of(p), r, IM_NEVER, false)->text =
				"is about packets that are not for an address of this host; nothing to do";
	} else if (!strcmp(key, "ct status")) {
		if (!v->n || v->no || (strcmp(v->v[0].part[0], "dnat") && strcmp(v->v[0].part[0], "snat")))
			return false;
		im_match(im_of(p), r, IM_NEVER, false)->text =
			"is about connections whose address was changed; mxdp judges what comes in "
			"before that: leave the old firewall in place for it";
	} else if (!strncmp(key, "fib saddr", 9) && strstr(key, " oif")) {
		im_match(im_of(p), r, IM_NEVER, false)->text = IM_WAY_BACK;
	} else if (!strcmp(key, "ct direction")) {
		if (v->n && (strcmp(v->v[0].part[0], "original") != 0) != v->no)
			im_match(im_of(p), r, IM_NEVER, false)->text =
				"is about replies; those pass mxdp by themselves";
	} else {
		return false;
	}
	return true;
}

/* The words of an expression: "tcp dport", "ip saddr", "iifname"; NULL: none that begins here. */
static const char *parse_key(struct nft *p)
{
	static const char *const two[] = { "tcp",   "udp",    "th",    "ip",	 "ip6",	   "icmp", "icmpv6",  "ct",
					   "ether", "sctp",   "dccp",  "arp",	 "vlan",   "rt",   "socket",  "ipsec",
					   "osf",   "numgen", "jhash", "tunnel", "exthdr", "frag", "udplite", "esp",
					   "ah",    "comp",   "hbh",   "dst",	 "mh",	   "srh",  "symhash" };
	static const char *const one[] = { "iifname",  "iif",	   "oifname",  "oif",	   "l4proto",	 "nfproto",
					   "protocol", "mark",	   "pkttype",  "skuid",	   "skgid",	 "iiftype",
					   "oiftype",  "iifgroup", "oifgroup", "time",	   "hour",	 "day",
					   "cpu",      "length",   "cgroup",   "priority", "rtclassid",	 "ibrname",
					   "obrname",  "ibriport", "obriport", "sdif",	   "secpath",	 "secmark",
					   "random",   "iifkind",  "oifkind",  "sdifname", "bri_iifname" };
	size_t was = p->i;

	if (accept(p, "fib")) {
		char *s = "fib";

		while (!peek(p)->end && !at(p, "type") && !at(p, "oif") && !at(p, "oifname"))
			s = im_text(im_of(p), "%s %s", s, word(p));
		return im_text(im_of(p), "%s %s", s, word(p));
	}
	accept(p, "meta");
	for (size_t i = 0; i < sizeof(one) / sizeof(*one); i++)
		if (at(p, one[i]))
			return word(p);
	for (size_t i = 0; i < sizeof(two) / sizeof(*two); i++)
		if (at(p, two[i])) {
			const char *s = word(p);

			return im_text(im_of(p), "%s %s", s, word(p));
		}
	p->i = was;
	return NULL;
}

/* One key or several with dots between, and the matches of one element. */
static bool elem_matches(struct nft *p, struct im_rule *r, const char **key, size_t nkeys, const struct elem *e)
{
	if (e->n != nkeys && !(e->n == 1 && *e->part[0] == '*'))
		return false;
	for (size_t i = 0; i < nkeys && e->n == nkeys; i++) {
		const char *part = e->part[i];
		struct elem only = { .part = &part, .n = 1 };
		struct value v = { .v = &only, .n = 1 };

		if (*part != '*' && !key_match(p, r, key[i], &v))
			return false;
	}
	return true;
}

static void fill_map(struct nft *p, struct im_set *map, const char **key, size_t nkeys, const struct elem *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct im_rule *e = im_rule_new(im_of(p), v[i].verdict ? v[i].verdict->at : place(p), "");

		if (!v[i].verdict)
			continue;
		e->action = v[i].verdict->action;
		e->target = v[i].verdict->target;
		e->reset = v[i].verdict->reset;
		if (!elem_matches(p, e, key, nkeys, &v[i]))
			unknown(p, e, "an element of a map that is not understood");
		*im_push(im_of(p), map->map, map->nmap) = e;
	}
	map->known = true;
}

static void parse_vmap(struct nft *p, struct im_rule *r, const char **key, size_t nkeys)
{
	struct value v;

	parse_value(p, &v);
	r->action = IM_MAP;
	if (v.set) {
		r->map = im_alloc(im_of(p), sizeof(*r->map));
		r->map->name = v.set;
		*im_push(im_of(p), p->late, p->nlate) = (struct late){ r, find_set(p, v.set, true), key, nkeys };
		*im_push(im_of(p), im_of(p)->set, im_of(p)->nsets) = r->map;
		r->map->table = "";
		return;
	}
	r->map = im_alloc(im_of(p), sizeof(*r->map));
	r->map->name = "";
	r->map->table = "";
	*im_push(im_of(p), im_of(p)->set, im_of(p)->nsets) = r->map;
	fill_map(p, r->map, key, nkeys, v.v, v.n);
}

/* ---- limits ---- */

static bool rate_value(struct nft *p, struct im_rate *x)
{
	static const struct {
		const char *name;
		unsigned long seconds;
	} unit[] = { { "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { "day", 86400 }, { "week", 604800 } };
	const char *s = word(p), *per;
	char *end;

	x->n = strtoul(s, &end, 10);
	x->seconds = 1;
	if (*end != '/' && !at(p, "/"))
		accept(p, "bytes"); /* 10 bytes/second: of bytes, not of packets */
	per = *end == '/' ? end + 1 : accept(p, "/") ? word(p) : peek(p)->s[0] ? word(p) : "";
	for (size_t i = 0; i < 5; i++)
		if (!strcmp(per, unit[i].name))
			x->seconds = unit[i].seconds;
	x->exact = strstr(per, "bytes") == NULL && x->n;
	return x->n;
}

static void parse_limit(struct nft *p, struct im_rule *r, enum im_counts counts, bool exact)
{
	struct im_match *m = im_match(im_of(p), r, IM_RATE, false);
	struct im_rate *x = &m->rate;

	m->text = counts == IM_COUNTS_ALL ? "the limit" : "a limit for each source";
	x->counts = counts;
	x->len4 = 32;
	x->len6 = 128;
	if (accept(p, "name")) {
		word(p);
		return;
	}
	accept(p, "rate");
	x->over = accept(p, "over");
	rate_value(p, x);
	x->burst = 5;
	x->exact &= exact;
	if (accept(p, "burst")) {
		x->burst = strtoul(word(p), NULL, 10);
		if (!accept(p, "packets") && (accept(p, "bytes") || accept(p, "kbytes") || accept(p, "mbytes")))
			x->exact = false;
	}
}

static void parse_count(struct nft *p, struct im_rule *r)
{
	struct im_match *m = im_match(im_of(p), r, IM_RATE, false);

	m->text = "ct count";
	m->rate = (struct im_rate){ .counts = IM_COUNTS_ALL, .over = accept(p, "over"), .len4 = 32, .len6 = 128 };
	m->rate.n = strtoul(word(p), NULL, 10);
}

/* add @set { ip saddr limit rate over 10/minute } and `meter NAME { ... }`: a limit for each element, or none */
static void parse_dynamic(struct nft *p, struct im_rule *r)
{
	bool source = false, exact = true;
	size_t keys = 0;

	while (!peek(p)->end && !at(p, "{"))
		p->i++;
	if (!accept(p, "{"))
		return;
	while (p->i < p->n && !at(p, "}")) {
		if (accept(p, "limit")) {
			parse_limit(p, r, source ? IM_COUNTS_SOURCE : IM_COUNTS_ALL, exact && keys == 1);
		} else if (at(p, "ct") && p->i + 1 < p->n && !strcmp(p->t[p->i + 1].s, "count")) {
			struct im_match *m;

			p->i += 2;
			parse_count(p, r);
			m = &r->m[r->n - 1];
			m->rate.counts = source ? IM_COUNTS_CONNECTIONS : IM_COUNTS_ALL;
			m->rate.exact = source && keys == 1;
			m->text = "the limit of connections for each source";
		} else if (at(p, "ip") || at(p, "ip6")) {
			bool six = at(p, "ip6");

			p->i++;
			source |= at(p, "saddr");
			keys++;
			if (!p->n || !at(p, "saddr"))
				exact = false;
			im_match(im_of(p), r, IM_FAMILY, false)->value = six ? IM_V6 : IM_V4;
			p->i++;
			if (at(p, "&"))
				exact = false;
		} else {
			exact &= !at(p, ".");
			p->i++;
		}
	}
	accept(p, "}");
}

/* ---- rules ---- */

static void parse_log(struct nft *p, struct im_rule *r)
{
	static const char *const with_value[] = { "prefix", "level", "flags", "group", "snaplen", "queue-threshold" };

	if (!r->target && r->action == IM_CONTINUE)
		r->target = "log";
	for (bool more = true; more;) {
		more = false;
		for (size_t i = 0; i < sizeof(with_value) / sizeof(*with_value); i++)
			if (accept(p, with_value[i])) {
				word(p);
				while (accept(p, ",") || at(p, "sequence") || at(p, "options") || at(p, "ether") ||
				       at(p, "skuid"))
					if (!peek(p)->end)
						word(p);
				more = true;
			}
	}
}

static void parse_tuple(struct nft *p, struct im_rule *r, const char **key, size_t nkeys, struct value *tuples,
			const char ***tuple_key, size_t *ntuple_keys)
{
	struct value v;
	struct nset *s;

	if (accept(p, "vmap")) {
		parse_vmap(p, r, key, nkeys);
		return;
	}
	parse_value(p, &v);
	if (nkeys == 1) {
		if (v.set && (s = find_set(p, v.set, false)) && (s->dynamic && !s->n))
			unknown(p, r, im_text(im_of(p), "the set %s, which rules fill", v.set));
		else if (!key_match(p, r, key[0], &v))
			unknown(p, r, im_text(im_of(p), "\"%s\"", key[0]));
		return;
	}
	s = v.set ? find_set(p, v.set, false) : NULL;
	if (s) {
		v.v = s->v;
		v.n = s->n;
	}
	if (v.no || v.unknown || *ntuple_keys || v.n > MAX_EXPAND || (v.set && !s) || (s && s->dynamic && !s->n)) {
		unknown(p, r, "a set of pairs");
		return;
	}
	*tuples = v;
	*tuple_key = key;
	*ntuple_keys = nkeys;
}

static bool plain_statement(struct nft *p, struct im_rule *r)
{
	if (accept(p, "counter")) {
		if (accept(p, "name"))
			word(p);
		while (at(p, "packets") || at(p, "bytes")) {
			word(p);
			word(p);
		}
	} else if (accept(p, "log")) {
		parse_log(p, r);
	} else if (accept(p, "comment")) {
		word(p);
	} else if (accept(p, "limit")) {
		parse_limit(p, r, IM_COUNTS_ALL, true);
	} else if (at(p, "add") || at(p, "update") || at(p, "meter") || at(p, "flow") || at(p, "delete") ||
		   at(p, "set")) {
		parse_dynamic(p, r);
	} else if (accept(p, "notrack")) {
		r->action = IM_NOTRACK;
	} else if (at(p, "ct") && p->i + 1 < p->n && !strcmp(p->t[p->i + 1].s, "count")) {
		p->i += 2;
		parse_count(p, r);
	} else {
		return false;
	}
	return true;
}

static void xt(struct nft *p, struct im_rule *r)
{
	if (!p->xt_told)
		im_say(im_of(p), r->at, IM_DANGER,
		       "a rule that iptables made: this listing does not say what it asks for, and so it is not "
		       "carried; import what `iptables-save` prints instead");
	p->xt_told = true;
	unknown(p, r, "an iptables match that nft does not print");
	while (!peek(p)->end && !is_verdict(p) && !at(p, "counter"))
		p->i++;
}

/* Behind a key: `set VALUE` changes something and asks nothing. */
static bool sets_something(struct nft *p)
{
	if (!accept(p, "set"))
		return false;
	while (!peek(p)->end && !is_verdict(p) && !at(p, "counter"))
		p->i++;
	return true;
}

static void add_expanded(struct nft *p, struct im_chain *c, size_t where, struct im_rule *r, const struct value *tuples,
			 const char **key, size_t nkeys)
{
	if (!nkeys) {
		im_rule_insert(im_of(p), c, where, r);
		return;
	}
	for (size_t i = 0; i < tuples->n; i++) {
		struct im_rule *one = im_rule_new(im_of(p), r->at, r->text);
		unsigned int number = one->number;

		*one = *r;
		one->number = number;
		one->m = NULL;
		one->n = 0;
		for (size_t k = 0; k < r->n; k++)
			*im_push(im_of(p), one->m, one->n) = r->m[k];
		if (!elem_matches(p, one, key, nkeys, &tuples->v[i]))
			unknown(p, one, "a pair that is not understood");
		im_rule_insert(im_of(p), c, where++, one);
	}
}

static char *statement_text(struct nft *p)
{
	size_t was = p->i;
	char *s = "";

	skip_statement(p);
	for (size_t i = was; i < p->i && strlen(s) < 400; i++)
		s = im_text(im_of(p), p->t[i].quoted ? "%s%s\"%s\"" : "%s%s%s", s,
			    *s && strcmp(p->t[i].s, ",") && strcmp(p->t[i].s, ";") ? " " : "", p->t[i].s);
	p->i = was;
	return s;
}

static void parse_rule(struct nft *p, struct im_chain *c, size_t where)
{
	struct im_rule *r = im_rule_new(im_of(p), place(p), statement_text(p));
	struct value tuples = { 0 };
	const char **tuple_key = NULL;
	size_t ntuple_keys = 0;

	im_of(p)->understood++;
	while (!peek(p)->end && !at(p, "}")) {
		const char *key, **keys = NULL;
		size_t nkeys = 0, was = p->i;

		if (is_verdict(p)) {
			put_verdict(p, r);
			continue;
		}
		if (at(p, "xt")) {
			xt(p, r);
			continue;
		}
		if (at(p, "tcp") && p->i + 1 < p->n && !strcmp(p->t[p->i + 1].s, "flags")) {
			p->i += 2;
			flags_match(p, r);
			continue;
		}
		if (plain_statement(p, r))
			continue;
		key = parse_key(p);
		if (!key) {
			const char *s = word(p);

			/* statements that lead packets elsewhere; anything else is a question we do not understand */
			if (!strcmp(s, "masquerade") || !strcmp(s, "snat") || !strcmp(s, "dnat") ||
			    !strcmp(s, "redirect") || !strcmp(s, "tproxy") || !strcmp(s, "dup") || !strcmp(s, "fwd") ||
			    !strcmp(s, "synproxy"))
				r->target = s;
			else
				unknown(p, r, im_text(im_of(p), "\"%.60s\"", s));
			while (!peek(p)->end && !is_verdict(p))
				p->i++;
			continue;
		}
		if (sets_something(p))
			continue;
		*im_push(im_of(p), keys, nkeys) = key;
		while (accept(p, ".")) {
			key = parse_key(p);
			*im_push(im_of(p), keys, nkeys) = key ? key : "?";
			if (!key)
				break;
		}
		/* arithmetic is beyond us */
		if (at(p, "&") || at(p, "|") || at(p, "^") || at(p, "map")) {
			unknown(p, r, im_text(im_of(p), "\"%s &\"", keys[0]));
			while (!peek(p)->end && !is_verdict(p) && !at(p, "counter"))
				p->i++;
			continue;
		}
		parse_tuple(p, r, keys, nkeys, &tuples, &tuple_key, &ntuple_keys);
		if (p->i == was)
			p->i++;
	}
	add_expanded(p, c, where, r, &tuples, tuple_key, ntuple_keys);
}

/* ---- chains, sets, tables ---- */

static struct im_chain *chain(struct nft *p, const char *name)
{
	im_of(p)->families |= p->families;
	return im_chain_made(im_of(p), p->families, im_text(im_of(p), "nft %s", p->table), name);
}

static int priority(struct nft *p)
{
	static const struct {
		const char *name;
		int value;
	} names[] = { { "raw", -300 }, { "mangle", -150 }, { "dstnat", -100 },
		      { "filter", 0 }, { "security", 50 }, { "srcnat", 100 } };
	const char *s = word(p);
	int v = atoi(s), sign = 0;

	if (!strcmp(s, "-"))
		return -atoi(word(p));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(s, names[i].name))
			v = names[i].value;
	if (accept(p, "-"))
		sign = -1;
	else if (accept(p, "+"))
		sign = 1;
	if (sign)
		return v + sign * atoi(word(p));
	/* `filter -10`, `filter +10` */
	if (!peek(p)->end && (peek(p)->s[0] == '-' || peek(p)->s[0] == '+') && isdigit((unsigned char)peek(p)->s[1]))
		v += atoi(word(p));
	return v;
}

static void parse_hook(struct nft *p, struct im_chain *c)
{
	const char *type = word(p), *hook = accept(p, "hook") ? word(p) : "";

	c->hook = IM_ELSEWHERE;
	if (strcmp(type, "nat")) {
		if (!strcmp(hook, "input"))
			c->hook = IM_INPUT;
		else if (!strcmp(hook, "prerouting"))
			c->hook = IM_PREROUTING;
		else if (!strcmp(hook, "ingress"))
			c->hook = IM_INGRESS;
	}
	while (!peek(p)->end && !at(p, "}")) {
		if (accept(p, "priority"))
			c->priority = priority(p);
		else
			p->i++;
	}
	im_of(p)->understood++;
}

static void parse_policy(struct nft *p, struct im_chain *c)
{
	c->policy_at = place(p);
	c->policy = at(p, "drop") ? IM_DROP : IM_ACCEPT;
	c->policy_text = im_text(im_of(p), "chain %s: policy %s", c->name, word(p));
}

static void parse_chain(struct nft *p, struct im_chain *c)
{
	if (!accept(p, "{"))
		return;
	for (skip_ends(p); p->i < p->n && !at(p, "}"); skip_ends(p)) {
		size_t was = p->i;

		if (accept(p, "type")) {
			parse_hook(p, c);
		} else if (at(p, "policy")) {
			p->i++;
			parse_policy(p, c);
		} else if (accept(p, "comment") || at(p, "flags")) {
			skip_statement(p);
		} else {
			parse_rule(p, c, c->n);
		}
		if (!peek(p)->end && !at(p, "}"))
			skip_statement(p);
		if (p->i == was)
			p->i++;
	}
	accept(p, "}");
}

static void add_elements(struct nft *p, struct nset *s, const struct value *v)
{
	struct port_range one;

	for (size_t i = 0; i < v->n; i++) {
		const struct elem *e = &v->v[i];

		*im_push(im_of(p), s->v, s->n) = *e;
		if (s->map || e->n != 1)
			continue;
		if (strstr(s->type, "addr")) {
			if (!im_addr_word(im_of(p), &s->set->addrs, e->part[0]))
				im_say(im_of(p), place(p), IM_LOSS,
				       "\"%.60s\" is not an address; left out of the set %s", e->part[0], s->set->name);
		} else if (im_port_word(im_of(p), place(p), e->part[0], '-', &one)) {
			*im_push(im_of(p), s->set->ports, s->set->nports) = one;
		}
	}
	s->set->known = !v->unknown && (!s->dynamic || s->n);
}

static void parse_set(struct nft *p, struct nset *s, bool map)
{
	struct value v;

	s->map = map;
	s->set->known = true;
	if (!accept(p, "{"))
		return;
	for (skip_ends(p); p->i < p->n && !at(p, "}"); skip_ends(p)) {
		size_t was = p->i;

		if (at(p, "type") || at(p, "typeof")) {
			p->i++;
			s->type = "";
			while (!peek(p)->end && !at(p, "}"))
				s->type = im_text(im_of(p), "%s%s ", s->type, word(p));
		} else if (accept(p, "flags")) {
			while (!peek(p)->end && !at(p, "}"))
				s->dynamic |= !strcmp(word(p), "dynamic");
			s->set->known &= !s->dynamic;
		} else if (accept(p, "elements")) {
			accept(p, "=");
			parse_value(p, &v);
			add_elements(p, s, &v);
		} else {
			skip_statement(p);
		}
		if (!peek(p)->end && !at(p, "}"))
			skip_statement(p);
		if (p->i == was)
			p->i++;
	}
	accept(p, "}");
}

static bool parse_family(struct nft *p)
{
	static const struct {
		const char *name;
		unsigned int families;
	} names[] = { { "ip", IM_V4 },	     { "ip6", IM_V6 }, { "inet", IM_BOTH },
		      { "netdev", IM_BOTH }, { "arp", 0 },     { "bridge", 0 } };

	p->families = IM_V4;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (at(p, names[i].name) && p->i + 1 < p->n && !p->t[p->i + 1].end && strcmp(p->t[p->i + 1].s, "{")) {
			p->i++;
			p->families = names[i].families;
			break;
		}
	p->table = word(p);
	return p->families;
}

static void parse_table(struct nft *p)
{
	if (!parse_family(p)) {
		skip_block(p);
		return;
	}
	if (!accept(p, "{"))
		return;
	for (skip_ends(p); p->i < p->n && !at(p, "}"); skip_ends(p)) {
		size_t was = p->i;

		if (accept(p, "chain")) {
			struct im_chain *c = chain(p, word(p));

			c->declared = true;
			parse_chain(p, c);
		} else if (at(p, "set") || at(p, "map")) {
			bool map = at(p, "map");
			struct nset *s;

			p->i++;
			s = find_set(p, word(p), true);
			parse_set(p, s, map);
		} else if (at(p, "flags") || at(p, "comment")) {
			skip_statement(p);
		} else {
			skip_block(p);
		}
		if (p->i == was)
			p->i++;
	}
	accept(p, "}");
}

static void remove_chains(struct nft *p, const char *name)
{
	struct import *im = im_of(p);

	for (size_t i = 0; i < im->nchains; i++) {
		struct im_chain *c = im->chain[i];

		if (!strncmp(c->table, "nft ", 4) &&
		    (!p->table || (c->families == p->families && !strcmp(c->table + 4, p->table))) &&
		    (!name || !strcmp(c->name, name)))
			c->n = 0;
	}
}

static void parse_add(struct nft *p, bool insert)
{
	struct im_chain *c;
	struct nset *s;
	struct value v;

	if (accept(p, "table")) {
		parse_table(p);
		im_of(p)->understood++;
	} else if (accept(p, "chain")) {
		if (parse_family(p)) {
			c = chain(p, word(p));
			c->declared = true;
			parse_chain(p, c);
			im_of(p)->understood++;
		}
	} else if (at(p, "set") || at(p, "map")) {
		bool map = at(p, "map");

		p->i++;
		parse_family(p);
		s = find_set(p, word(p), true);
		parse_set(p, s, map);
	} else if (accept(p, "element")) {
		parse_family(p);
		s = find_set(p, word(p), true);
		parse_value(p, &v);
		add_elements(p, s, &v);
	} else if (accept(p, "rule")) {
		if (!parse_family(p))
			return;
		c = chain(p, word(p));
		if (accept(p, "handle") || accept(p, "position") || accept(p, "index")) {
			word(p);
			im_say(im_of(p), place(p), IM_LOSS,
			       "the place by number is of a list that is not here; the rule is put at the %s",
			       insert ? "start" : "end");
		}
		parse_rule(p, c, insert ? 0 : c->n);
	}
}

static void parse_remove(struct nft *p, const char *verb)
{
	const char *what = word(p);

	if (!strcmp(what, "ruleset")) {
		p->table = NULL;
		remove_chains(p, NULL);
	} else if (!strcmp(what, "table") || !strcmp(what, "chain")) {
		if (parse_family(p))
			remove_chains(p, *what == 'c' && !peek(p)->end ? word(p) : NULL);
	} else if (!strcmp(what, "rule") && strcmp(verb, "flush")) {
		im_say(im_of(p), place(p), IM_LOSS,
		       "takes a rule away by its handle, which is of a list that is not here: not carried, so "
		       "that the rule still counts");
	}
	skip_statement(p);
}

static void parse_define(struct nft *p)
{
	struct define d = { .name = word(p) };

	accept(p, "=");
	parse_value(p, &d.value);
	*im_push(im_of(p), p->def, p->ndefs) = d;
}

static void parse_all(struct nft *p)
{
	for (skip_ends(p); p->i < p->n; skip_ends(p)) {
		size_t was = p->i;
		const char *s = word(p);

		p->table = NULL;
		if (!strcmp(s, "table")) {
			parse_table(p);
			im_of(p)->understood++;
		} else if (!strcmp(s, "add") || !strcmp(s, "create") || !strcmp(s, "insert") || !strcmp(s, "replace")) {
			parse_add(p, *s == 'i');
		} else if (!strcmp(s, "flush") || !strcmp(s, "delete") || !strcmp(s, "destroy")) {
			parse_remove(p, s);
		} else if (!strcmp(s, "define") || !strcmp(s, "redefine")) {
			parse_define(p);
		} else if (!strcmp(s, "include")) {
			im_say(im_of(p), place(p), IM_DANGER,
			       "includes \"%.100s\", which is not read: put its text here and import again",
			       peek(p)->s);
			skip_statement(p);
		}
		if (!peek(p)->end)
			skip_statement(p);
		if (at(p, "}") || p->i == was)
			p->i++;
	}
}

/* ---- lines ---- */

static int braces(const char *s)
{
	bool quoted = false;
	int depth = 0;

	for (; *s && (quoted || *s != '#'); s++) {
		quoted ^= *s == '"';
		if (!quoted)
			depth += (*s == '{') - (*s == '}');
	}
	return depth;
}

static void end_block(struct nft *p)
{
	p->n = p->i = 0;
	p->t = NULL;
	for (size_t i = 0; i < p->nheld; i++)
		tokens(p, p->held[i].s, p->held[i].line);
	p->first = p->nheld ? p->held[0].line : 0;
	p->nheld = 0;
	p->held = NULL;
	p->depth = 0;
	parse_all(p);
}

static bool starts_block(const char *s)
{
	static const char *const words[] = { "table ",	 "define ", "add ",	"create ",   "insert ", "delete ",
					     "destroy ", "flush ",  "include ", "redefine ", "replace " };
	static const char *const things[] = { "table", "chain", "rule", "set", "map", "element", "ruleset" };
	const char *rest;

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
		if (strncmp(s, words[i], strlen(words[i])))
			continue;
		rest = s + strlen(words[i]);
		rest += strspn(rest, " \t");
		if (i == 0)
			return strchr(rest, '{') != NULL;
		if (i == 1 || i == 9)
			return strchr(rest, '=') != NULL;
		if (i == 8)
			return *rest == '"';
		for (size_t k = 0; k < sizeof(things) / sizeof(*things); k++)
			if (!strncmp(rest, things[k], strlen(things[k])) &&
			    !isalpha((unsigned char)rest[strlen(things[k])]))
				return true;
	}
	return false;
}

static bool line(struct im_reader *r, struct im_place where, const char *s)
{
	struct nft *p = r->of_dialect;

	if (!p->nheld && !starts_block(s))
		return false;
	*im_push(r->im, p->held, p->nheld) = (struct held){ where.line, s };
	p->depth += braces(s);
	if (p->depth <= 0)
		end_block(p);
	return true;
}

static bool is_command(const char *name)
{
	return !strcmp(name, "nft");
}

static void command(struct im_reader *r, struct im_place where, const char *text, char **w, size_t n)
{
	struct nft *p = r->of_dialect;
	char *s = "";
	size_t i = 1;

	(void)text;
	while (i < n && w[i][0] == '-') {
		if (!strcmp(w[i], "-f") || !strcmp(w[i], "--file"))
			return;
		i++;
	}
	for (; i < n && strcmp(w[i], ">") && strcmp(w[i], ">>"); i++)
		s = im_text(r->im, "%s%s%s", s, *s ? " " : "", w[i]);
	*im_push(r->im, p->held, p->nheld) = (struct held){ where.line, s };
	end_block(p);
}

void import_nft(struct import *im, const char *path, const char *text)
{
	struct im_reader r = { .im = im, .path = path, .line = line, .is_command = is_command, .command = command };
	struct nft p = { .r = &r };

	r.of_dialect = &p;
	im_read(&r, text);
	if (p.nheld)
		end_block(&p);
	for (size_t i = 0; i < p.nlate; i++) {
		struct late *l = &p.late[i];

		if (l->map->n && l->map->set->known)
			fill_map(&p, l->rule->map, l->key, l->nkeys, l->map->v, l->map->n);
	}
}
