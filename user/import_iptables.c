// SPDX-License-Identifier: GPL-2.0-only
/* iptables and ip6tables: save files, bare rules, command lines; ipset beside them. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "import_text.h"
#include "token.h"

struct ipt {
	unsigned int family;  /* of bare lines and of the present save file */
	const char *table;
	char told[8];         /* first letters of the other firewalls that were spoken of */
};

struct args {
	struct im_reader *r;
	struct im_place at;
	const char *text;
	char **w;
	size_t n, i;
	unsigned int family;
	const char *table;
	struct im_rule *rule;
	bool no;              /* a '!' stands before the option */
	unsigned int proto;
	bool proto_no;
	bool broken, bare;
	const char *module;   /* the last -m */
	size_t match_from;
};

static struct import *im_of(struct args *a)
{
	return a->r->im;
}

/* ---- chains ---- */

static void set_hook(struct im_chain *c)
{
	static const struct {
		const char *table, *name;
		enum im_hook hook;
		int priority;
	} base[] = {
		{ "raw", "PREROUTING", IM_PREROUTING, -300 }, { "mangle", "PREROUTING", IM_PREROUTING, -150 },
		{ "mangle", "INPUT", IM_INPUT, -150 },	      { "filter", "INPUT", IM_INPUT, 0 },
		{ "security", "INPUT", IM_INPUT, 50 },
	};
	static const char *const elsewhere[] = { "OUTPUT", "FORWARD", "POSTROUTING", "PREROUTING", "INPUT" };

	for (size_t i = 0; i < sizeof(base) / sizeof(*base); i++) {
		if (!strcmp(c->table, base[i].table) && !strcmp(c->name, base[i].name)) {
			c->hook = base[i].hook;
			c->priority = base[i].priority;
			return;
		}
	}
	for (size_t i = 0; i < sizeof(elsewhere) / sizeof(*elsewhere); i++)
		if (!strcmp(c->name, elsewhere[i]))
			c->hook = IM_ELSEWHERE;
	if (!strncmp(c->name, "f2b-", 4) || !strncmp(c->name, "fail2ban-", 9))
		c->generated = "fail2ban";
}

static struct im_chain *chain(struct import *im, unsigned int family, const char *table, const char *name)
{
	struct im_chain *c = im_chain_made(im, family, table, name);

	if (c->hook == IM_NO_HOOK)
		set_hook(c);
	im->families |= family;
	return c;
}

/* ---- options of a rule ---- */

static const char *next(struct args *a)
{
	if (a->i < a->n)
		return a->w[a->i++];
	a->broken = true;
	return "";
}

/* The old way to negate: --dport ! 25 */
static const char *value(struct args *a)
{
	if (a->i < a->n && !strcmp(a->w[a->i], "!")) {
		a->no = !a->no;
		a->i++;
	}
	return next(a);
}

static struct im_match *match(struct args *a, enum im_kind kind)
{
	return im_match(im_of(a), a->rule, kind, a->no);
}

static void __attribute__((format(printf, 2, 3))) wrong(struct args *a, const char *fmt, ...)
{
	__cleanup_free char *s = NULL;
	va_list ap;

	va_start(ap, fmt);
	s = xvasprintf(fmt, ap);
	va_end(ap);
	if (!a->broken)
		im_say(im_of(a), a->at, IM_DANGER,
		       "%s: iptables would refuse this line, and nothing of it is carried; mend it and import "
		       "again",
		       s);
	a->broken = true;
}

static void maybe(struct args *a, const char *what)
{
	match(a, IM_MAYBE)->text = what;
}

static void addresses(struct args *a, enum im_kind kind)
{
	const char *s = value(a);
	struct im_match *m = match(a, kind);
	struct im_addrs *list = im_alloc(im_of(a), sizeof(*list));
	char *copy = im_copy(im_of(a), s, strlen(s)), *save = NULL;

	m->addrs = list;
	for (char *one = strtok_r(copy, ",", &save); one; one = strtok_r(NULL, ",", &save)) {
		if (im_addr_word(im_of(a), list, one))
			continue;
		/* a name, or a short form such as 10/8 */
		m->kind = IM_MAYBE;
		m->text = im_text(im_of(a), "the address \"%s\", which is looked up", one);
		return;
	}
	if (list->n[a->family == IM_V4])
		wrong(a, "\"%s\" is an address of the other family", s);
	if (!list->n[0] && !list->n[1])
		wrong(a, "no address in \"%s\"", s);
}

static void ports(struct args *a, enum im_kind kind)
{
	const char *s = value(a);
	struct im_match *m = match(a, kind);
	char *copy = im_copy(im_of(a), s, strlen(s)), *save = NULL;
	struct port_range one;

	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (!im_port_word(im_of(a), a->at, p, ':', &one)) {
			wrong(a, "\"%s\" is not a port", p);
			return;
		}
		im_match_ports(im_of(a), m, one.lo, one.hi);
	}
	if (!m->nports)
		wrong(a, "no port in \"%s\"", s);
}

static unsigned int protocol_number(const char *s)
{
	static const struct {
		const char *name;
		unsigned int nr;
	} names[] = {
		{ "tcp", 6 },	{ "udp", 17 },	 { "icmp", 1 },	     { "icmpv6", 58 }, { "ipv6-icmp", 58 },
		{ "all", 0 },	{ "any", 0 },	 { "sctp", 132 },    { "gre", 47 },    { "esp", 50 },
		{ "ah", 51 },	{ "igmp", 2 },	 { "udplite", 136 }, { "dccp", 33 },   { "ipencap", 4 },
		{ "ipv6", 41 }, { "vrrp", 112 }, { "ospf", 89 },     { "mh", 135 },    { "ip", 0 },
	};

	if (all_digits(s, strlen(s)) && strlen(s) < 4)
		return atoi(s);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (same_word(s, strlen(s), names[i].name))
			return names[i].nr;
	return 255;
}

static void protocol(struct args *a)
{
	const char *s = value(a);

	a->proto = protocol_number(s);
	a->proto_no = a->no;
	if (a->proto || a->no)
		match(a, IM_PROTO)->value = a->proto;
}

static void states(struct args *a)
{
	static const struct {
		const char *name;
		unsigned int bit;
	} names[] = { { "NEW", IM_NEW }, { "ESTABLISHED", IM_ESTABLISHED }, { "RELATED", IM_RELATED },
		      { "INVALID", IM_INVALID }, { "UNTRACKED", IM_UNTRACKED }, { "SNAT", 0 }, { "DNAT", 0 } };
	const char *s = value(a);
	struct im_match *m = match(a, IM_STATE);
	char *copy = im_copy(im_of(a), s, strlen(s)), *save = NULL;

	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		size_t i = 0;

		while (i < sizeof(names) / sizeof(*names) && !same_word(p, strlen(p), names[i].name))
			i++;
		if (i == sizeof(names) / sizeof(*names)) {
			wrong(a, "\"%s\" is not a state", p);
			return;
		}
		m->value |= names[i].bit;
	}
	/* DNAT and SNAT: nothing that comes in was translated yet */
}

static unsigned int flag_bits(const char *s)
{
	static const char *const names[] = { "FIN", "SYN", "RST", "PSH", "ACK", "URG" };
	unsigned int bits = 0;

	if (same_word(s, strlen(s), "ALL"))
		return 0x3f;
	for (const char *p = s; *p; p += strcspn(p, ","), p += *p == ',')
		for (unsigned int i = 0; i < 6; i++)
			if (same_word(p, strcspn(p, ","), names[i]))
				bits |= 1u << i;
	return bits;
}

static void flags(struct args *a)
{
	const char *mask = value(a), *comp = next(a);
	struct im_match *m = match(a, IM_FLAGS);

	m->mask = flag_bits(mask);
	m->value = flag_bits(comp);
}

static void icmp6_type(struct args *a)
{
	static const struct {
		const char *name;
		unsigned int nr;
	} names[] = {
		{ "router-solicitation", 133 },
		{ "router-advertisement", 134 },
		{ "neighbour-solicitation", 135 },
		{ "neighbor-solicitation", 135 },
		{ "neighbour-advertisement", 136 },
		{ "neighbor-advertisement", 136 },
		{ "redirect", 137 },
		{ "echo-request", 128 },
		{ "ping", 128 },
		{ "echo-reply", 129 },
		{ "pong", 129 },
		{ "destination-unreachable", 1 },
		{ "packet-too-big", 2 },
		{ "time-exceeded", 3 },
		{ "ttl-exceeded", 3 },
		{ "parameter-problem", 4 },
	};
	const char *s = value(a);
	struct im_match *m = match(a, IM_ICMP6);
	unsigned int type = 255;

	if (isdigit((unsigned char)*s))
		type = atoi(s) & 0xff;
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(s, names[i].name))
			type = names[i].nr;
	im_match_ports(im_of(a), m, strcmp(s, "any") ? type : 0, type);
}

/* ---- limits ---- */

static struct im_rate *rate(struct args *a, const char *module)
{
	for (size_t i = a->match_from; i < a->rule->n; i++)
		if (a->rule->m[i].kind == IM_RATE)
			return &a->rule->m[i].rate;
	match(a, IM_RATE)->text = module;
	return &a->rule->m[a->rule->n - 1].rate;
}

/* "10/min" and its kin; n in so many seconds. */
static bool rate_word(const char *s, struct im_rate *x)
{
	static const struct {
		const char *name;
		unsigned long seconds;
	} unit[] = { { "second", 1 }, { "minute", 60 }, { "hour", 3600 }, { "day", 86400 } };
	char *end;

	x->n = strtoul(s, &end, 10);
	x->seconds = 1;
	if (end == s || !x->n)
		return false;
	if (!*end)
		return true;
	if (*end++ != '/' || !*end)
		return false;
	for (size_t i = 0; i < 4; i++)
		if (!strncmp(end, unit[i].name, strlen(end)))
			x->seconds = unit[i].seconds;
	return true;
}

static void limit_options(struct args *a, const char *o)
{
	struct im_rate *x = rate(a, NULL);

	x->counts = IM_COUNTS_ALL;
	x->exact = true;
	if (!x->burst)
		x->burst = 5;
	if (!x->n) {
		x->n = 3;
		x->seconds = 3600;
	}
	if (!strcmp(o, "--limit")) {
		if (a->no)
			x->over = true;
		if (!rate_word(value(a), x))
			wrong(a, "not a rate");
	} else {
		x->burst = strtoul(value(a), NULL, 10);
	}
}

static void hashlimit_options(struct args *a, const char *o)
{
	struct im_rate *x = rate(a, NULL);
	const char *s = value(a);

	if (!x->seconds) {
		x->counts = IM_COUNTS_ALL; /* until a mode says that sources are counted */
		x->exact = true;
		x->burst = 5;
		x->len4 = 32;
		x->len6 = 128;
		x->seconds = 1;
	}
	if (!strcmp(o, "--hashlimit") || !strcmp(o, "--hashlimit-upto") || !strcmp(o, "--hashlimit-above")) {
		x->over = !strcmp(o, "--hashlimit-above") != a->no;
		if (!rate_word(s, x))
			x->exact = false;
		x->exact &= !strchr(s, 'b');
	} else if (!strcmp(o, "--hashlimit-burst")) {
		x->burst = strtoul(s, NULL, 10);
	} else if (!strcmp(o, "--hashlimit-mode")) {
		x->counts = strstr(s, "srcip") ? IM_COUNTS_SOURCE : IM_COUNTS_ALL;
		/* by port as well: a count for each connection is none */
		x->exact &= !strstr(s, "srcport") && !strstr(s, "dstip") && !strstr(s, "dstport");
	} else if (!strcmp(o, "--hashlimit-srcmask")) {
		x->len4 = x->len6 = strtoul(s, NULL, 10);
	}
}

static void connlimit_options(struct args *a, const char *o)
{
	struct im_rate *x = rate(a, NULL);

	if (!x->counts) {
		x->counts = IM_COUNTS_CONNECTIONS;
		x->exact = true;
		x->len4 = 32;
		x->len6 = 128;
	}
	if (!strcmp(o, "--connlimit-saddr"))
		return;
	if (!strcmp(o, "--connlimit-daddr")) {
		x->exact = false;
		return;
	}
	if (!strcmp(o, "--connlimit-mask")) {
		x->len4 = x->len6 = strtoul(value(a), NULL, 10);
	} else {
		const char *s = value(a);

		x->over = !strcmp(o, "--connlimit-above") != a->no;
		x->n = strtoul(s, NULL, 10);
	}
}

/* -m recent: --set is no question; with a hit count it is a limit; anything else asks what was before. */
static void recent_end(struct args *a, bool asks, bool counts, bool no, unsigned long hits, unsigned long seconds)
{
	struct im_match *m;

	if (!asks)
		return;
	a->no = false;
	if (!counts || no) {
		maybe(a, "-m recent, the addresses seen before");
		return;
	}
	m = match(a, IM_RATE);
	m->rate = (struct im_rate){ .counts = IM_COUNTS_SOURCE,
				    .over = true,
				    .n = hits > 1 ? hits - 1 : 1,
				    .seconds = seconds ? seconds : 60,
				    .burst = hits > 1 ? hits - 1 : 1,
				    .len4 = 32,
				    .len6 = 128 };
	m->text = im_text(im_of(a), "-m recent (%lu in %lu seconds)", hits, seconds);
}

static void recent(struct args *a)
{
	bool asks = false, counts = false, no = false;
	unsigned long hits = 0, seconds = 0;

	for (; a->i < a->n; a->i++) {
		const char *o = a->w[a->i];
		bool here = false;

		if (!strcmp(o, "!") && a->i + 1 < a->n) {
			here = true;
			o = a->w[++a->i];
		}
		if (!strcmp(o, "--rcheck") || !strcmp(o, "--update") || !strcmp(o, "--remove")) {
			asks = true;
			no |= here;
		} else if (!strcmp(o, "--set") || !strcmp(o, "--rsource") || !strcmp(o, "--rttl") ||
			   !strcmp(o, "--reap") || !strcmp(o, "--rdest")) {
			;
		} else if ((!strcmp(o, "--name") || !strcmp(o, "--mask")) && a->i + 1 < a->n) {
			a->i++;
		} else if (!strcmp(o, "--seconds") && a->i + 1 < a->n) {
			seconds = strtoul(a->w[++a->i], NULL, 10);
		} else if (!strcmp(o, "--hitcount") && a->i + 1 < a->n) {
			hits = strtoul(a->w[++a->i], NULL, 10);
			counts = true;
		} else {
			a->i -= here;
			break;
		}
	}
	recent_end(a, asks, counts, no, hits, seconds);
}

/* ---- sets, types of addresses ---- */

static void match_set(struct args *a)
{
	const char *name = value(a), *dirs = next(a);
	struct im_match *m;

	if (strcmp(dirs, "src")) {
		maybe(a, im_text(im_of(a), "the set %s by %s", name, dirs));
		return;
	}
	m = match(a, IM_SOURCE);
	m->set = im_set(im_of(a), "ipset", name, true);
}

static void address_type(struct args *a, bool destination)
{
	const char *s = value(a);

	if (!destination) {
		maybe(a, im_text(im_of(a), "the type of the source address (%s)", s));
		return;
	}
	/* what comes in for this host goes to an address of it */
	if ((strstr(s, "LOCAL") != NULL) == a->no)
		match(a, IM_NEVER)->text =
			"is about packets to groups or to other hosts, and a TCP connection to this host is none; "
			"nothing to do";
}

static void policy(struct args *a)
{
	const char *s = value(a);

	if ((strcmp(s, "ipsec") == 0) != a->no)
		match(a, IM_NEVER)->text =
			"is about packets out of an IPsec tunnel; those come out behind mxdp and are judged by the "
			"old firewall alone";
}

/* ---- the table of options ---- */

static void skip_values(struct args *a)
{
	while (a->i < a->n && a->w[a->i][0] != '-' && strcmp(a->w[a->i], "!"))
		a->i++;
}

static void unknown_option(struct args *a, const char *o)
{
	size_t from = a->i;
	char *s = im_text(im_of(a), "%s", o);

	skip_values(a);
	for (size_t i = from; i < a->i && i < from + 4; i++)
		s = im_text(im_of(a), "%s %s", s, a->w[i]);
	/* behind the target they are the target's */
	if (a->rule->action != IM_CONTINUE || a->rule->target)
		return;
	maybe(a, im_text(im_of(a), "\"%s%s%s%s\"", a->module ? "-m " : "", a->module ? a->module : "",
			 a->module ? " " : "", s));
}

static bool is(const char *s, const char *one, const char *other)
{
	return !strcmp(s, one) || (other && !strcmp(s, other));
}

/* Modules whose very mention asks something that cannot be known. */
static void module(struct args *a)
{
	static const char *const plain[] = {
		"tcp",	   "udp",	"icmp",	   "icmp6",  "icmpv6",	  "multiport", "mport",
		"state",   "conntrack", "comment", "limit",  "hashlimit", "connlimit", "set",
		"iprange", "addrtype",	"recent",  "policy", "pkttype",	  "rpfilter",  "rt",
	};
	const char *name = next(a);

	a->module = name;
	a->match_from = a->rule->n;
	if (!strcmp(name, "recent")) {
		recent(a);
		return;
	}
	if (!strcmp(name, "rpfilter")) {
		match(a, IM_NEVER)->text = IM_WAY_BACK;
		return;
	}
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (!strcmp(name, plain[i]))
			return;
	if (a->i >= a->n || (a->w[a->i][0] != '-' && strcmp(a->w[a->i], "!")) || a->w[a->i][1] != '-')
		maybe(a, im_text(im_of(a), "\"-m %s\"", name));
}

static void target(struct args *a, bool go)
{
	static const struct {
		const char *name;
		enum im_action action;
	} verdicts[] = {
		{ "ACCEPT", IM_ACCEPT }, { "DROP", IM_DROP },  { "REJECT", IM_REJECT }, { "RETURN", IM_RETURN },
		{ "TARPIT", IM_DROP },	 { "CHAOS", IM_DROP }, { "DELUDE", IM_DROP },	{ "NOTRACK", IM_NOTRACK },
	};
	static const char *const passing[] = {
		"LOG",	    "NFLOG",	   "ULOG",	  "MARK",     "CONNMARK", "SET",       "TRACE",
		"AUDIT",    "TCPMSS",	   "TOS",	  "DSCP",     "CLASSIFY", "CT",	       "TTL",
		"HL",	    "SECMARK",	   "CONNSECMARK", "CHECKSUM", "ECN",	  "IDLETIMER", "LED",
		"TEE",	    "TCPOPTSTRIP", "RATEEST",	  "HMARK",    "DNAT",	  "SNAT",      "MASQUERADE",
		"REDIRECT", "NETMAP",	   "SYNPROXY",	  "NFQUEUE",  "QUEUE",	  "TPROXY",
	};
	const char *name = next(a);

	for (size_t i = 0; i < sizeof(verdicts) / sizeof(*verdicts); i++) {
		if (!strcmp(name, verdicts[i].name)) {
			a->rule->action = verdicts[i].action;
			return;
		}
	}
	a->rule->target = im_copy(im_of(a), name, strlen(name));
	for (size_t i = 0; i < sizeof(passing) / sizeof(*passing); i++)
		if (!strcmp(name, passing[i]))
			return;
	a->rule->action = go ? IM_GOTO : IM_JUMP;
}

/* Options that come to no more than a word of the table. */
static bool plain_option(struct args *a, const char *o)
{
	if (is(o, "-p", "--protocol") || is(o, "--proto", NULL))
		protocol(a);
	else if (is(o, "-s", "--source") || is(o, "--src", NULL))
		addresses(a, IM_SOURCE);
	else if (is(o, "-d", "--destination") || is(o, "--dst", NULL))
		addresses(a, IM_DEST);
	else if (is(o, "--src-range", NULL))
		addresses(a, IM_SOURCE);
	else if (is(o, "--dst-range", NULL))
		addresses(a, IM_DEST);
	else if (is(o, "--dport", "--destination-port") || is(o, "--dports", "--destination-ports"))
		ports(a, IM_PORT);
	else if (is(o, "--sport", "--source-port") || is(o, "--sports", "--source-ports"))
		ports(a, IM_SPORT);
	else if (is(o, "--state", "--ctstate"))
		states(a);
	else if (is(o, "--syn", NULL))
		*match(a, IM_FLAGS) = (struct im_match){ .kind = IM_FLAGS, .no = a->no, .mask = 0x17, .value = 0x02 };
	else if (is(o, "--tcp-flags", NULL))
		flags(a);
	else if (is(o, "--icmpv6-type", NULL))
		icmp6_type(a);
	else if (is(o, "--icmp-type", NULL))
		value(a);
	else if (is(o, "--match-set", NULL))
		match_set(a);
	else if (is(o, "--dst-type", NULL) || is(o, "--src-type", NULL))
		address_type(a, o[2] == 'd');
	else if (is(o, "--pol", NULL))
		policy(a);
	else if (is(o, "--rt-type", NULL) && a->i < a->n && !strcmp(a->w[a->i], "0"))
		match(a, IM_NEVER)->text = next(a) ? "source routing is dropped by mxdp itself; nothing to do" : "";
	else
		return false;
	return true;
}

static void option(struct args *a, const char *o)
{
	if (is(o, "-i", "--in-interface")) {
		const char *name = value(a);

		match(a, IM_IFACE)->text = im_copy(im_of(a), name, strlen(name));
	} else if (plain_option(a, o)) {
		;
	} else if (is(o, "-o", "--out-interface")) {
		value(a);
	} else if (is(o, "-m", "--match")) {
		module(a);
	} else if (is(o, "-j", "--jump") || is(o, "-g", "--goto")) {
		target(a, o[1] == 'g' || o[2] == 'g');
	} else if (is(o, "--comment", NULL) || is(o, "--reject-with", NULL) || is(o, "--log-prefix", NULL)) {
		const char *s = value(a);

		a->rule->reset |= !strcmp(s, "tcp-reset");
	} else if (is(o, "-c", "--set-counters")) {
		next(a);
		next(a);
	} else if (is(o, "--notrack", NULL)) {
		a->rule->action = IM_NOTRACK;
	} else if (is(o, "--limit", "--limit-burst")) {
		limit_options(a, o);
	} else if (!strncmp(o, "--hashlimit", 11)) {
		hashlimit_options(a, o);
	} else if (!strncmp(o, "--connlimit", 11)) {
		connlimit_options(a, o);
	} else if (is(o, "-f", "--fragment")) {
		if (!a->no)
			match(a, IM_NEVER)->text = "is about later fragments; mxdp drops those of TCP by itself";
	} else if (is(o, "-4", "--ipv4")) {
		if (a->family == IM_V6)
			match(a, IM_NEVER)->text = "is for IPv4 alone";
	} else if (is(o, "-6", "--ipv6")) {
		if (a->family == IM_V4)
			match(a, IM_NEVER)->text = "is for IPv6 alone";
	} else if (is(o, "-v", "--verbose") || is(o, "-n", "--numeric") || is(o, "-w", "--wait")) {
		if (a->i < a->n && o[1] == 'w' && all_digits(a->w[a->i], strlen(a->w[a->i])))
			a->i++;
	} else {
		unknown_option(a, o);
	}
}

static void name_limits(struct args *a)
{
	for (size_t i = 0; i < a->rule->n; i++) {
		struct im_match *m = &a->rule->m[i];
		static const char *const what[] = { "a limit for each source", "-m limit", "-m connlimit" };

		if (m->kind == IM_RATE && !m->text)
			m->text = what[m->rate.counts];
	}
}

/* Does it ask for ports or flags of another protocol than TCP or UDP? iptables would refuse that. */
static bool sound(struct args *a)
{
	for (size_t i = 0; i < a->rule->n; i++) {
		enum im_kind k = a->rule->m[i].kind;

		if ((k == IM_PORT || k == IM_SPORT || k == IM_FLAGS) &&
		    (a->proto_no || (a->proto != 6 && a->proto != 17 && a->proto != 132 && a->proto != 33))) {
			wrong(a, "ports without `-p tcp` or `-p udp`");
			return false;
		}
	}
	return true;
}

static bool rule_options(struct args *a)
{
	while (a->i < a->n && !a->broken) {
		const char *o = a->w[a->i++];

		a->no = false;
		if (!strcmp(o, "!")) {
			a->no = true;
			o = next(a);
		}
		if (a->broken)
			break;
		if (o[0] != '-') {
			wrong(a, "\"%s\" is not understood", o);
			break;
		}
		option(a, o);
	}
	if (a->broken) {
		wrong(a, "something is missing at its end");
		return false;
	}
	name_limits(a);
	return sound(a);
}

static char *key_of(struct args *a, size_t from)
{
	char *s = "";

	for (size_t i = from; i < a->n; i++)
		s = im_text(im_of(a), "%s %s", s, a->w[i]);
	return s;
}

/* ---- commands ---- */

static void add_rule(struct args *a, struct im_chain *c, bool insert)
{
	size_t place = insert ? 0 : c->n, from;

	if (insert && a->i < a->n && all_digits(a->w[a->i], strlen(a->w[a->i])))
		place = strtoul(a->w[a->i++], NULL, 10) - 1;
	from = a->i;
	a->rule = im_rule_new(im_of(a), a->at, a->text);
	a->rule->bare = a->bare;
	if (!rule_options(a))
		return;
	a->rule->key = key_of(a, from);
	im_rule_insert(im_of(a), c, place, a->rule);
}

static void delete_rule(struct args *a, struct im_chain *c)
{
	if (a->i + 1 == a->n && all_digits(a->w[a->i], strlen(a->w[a->i]))) {
		size_t nr = strtoul(a->w[a->i], NULL, 10);

		if (nr >= 1 && nr <= c->n)
			im_rule_remove(c, nr - 1);
		else
			im_say(im_of(a), a->at, IM_NOTE,
			       "deletes rule %zu of %s, and there is no such rule here: the number is of a list "
			       "that is not in this text",
			       nr, c->name);
		return;
	}
	for (size_t i = 0; i < c->n; i++) {
		if (c->rule[i]->key && !strcmp(c->rule[i]->key, key_of(a, a->i))) {
			im_rule_remove(c, i);
			return;
		}
	}
	im_say(im_of(a), a->at, IM_NOTE, "deletes a rule that is not in this text");
}

static void flush(struct args *a, const char *name)
{
	size_t bare = 0, gone = 0;

	for (size_t i = 0; i < im_of(a)->nchains; i++) {
		struct im_chain *c = im_of(a)->chain[i];

		for (size_t k = 0; c->families == a->family && !strcmp(c->table, a->table) &&
				   (!name || !strcmp(c->name, name)) && k < c->n;
		     k++) {
			bare += c->rule[k]->bare;
			gone++;
		}
	}
	/* rules that stand as lines of a file are loaded by another command than the one that flushes */
	if (bare) {
		im_say(im_of(a), a->at, IM_NOTE,
		       "flushes the rules that are loaded; the %zu rules of this text are taken to be loaded "
		       "after it",
		       gone);
		return;
	}
	if (gone)
		im_say(im_of(a), a->at, IM_NOTE, "flushes %zu rules from the lines before: they are not carried", gone);
	for (size_t i = 0; i < im_of(a)->nchains; i++) {
		struct im_chain *c = im_of(a)->chain[i];

		if (c->families == a->family && !strcmp(c->table, a->table) && (!name || !strcmp(c->name, name)))
			c->n = 0;
	}
}

static void set_policy(struct args *a, const char *name)
{
	struct im_chain *c = chain(im_of(a), a->family, a->table, name);
	const char *s = next(a);

	if (strcmp(s, "ACCEPT") && strcmp(s, "DROP")) {
		wrong(a, "a policy is ACCEPT or DROP, not \"%s\"", s);
		return;
	}
	c->policy = !strcmp(s, "DROP") ? IM_DROP : IM_ACCEPT;
	c->policy_at = a->at;
	c->policy_text = im_copy(im_of(a), a->text, strlen(a->text));
}

/* -t may stand anywhere */
static void find_table(struct args *a)
{
	for (size_t i = 0; i + 1 < a->n; i++) {
		if (!is(a->w[i], "-t", "--table"))
			continue;
		a->table = a->w[i + 1];
		memmove(a->w + i, a->w + i + 2, (a->n - i - 2) * sizeof(*a->w));
		a->n -= 2;
		return;
	}
}

/* Redirections are the shell's. */
static void cut_redirections(struct args *a)
{
	for (size_t i = 0; i < a->n; i++)
		if (!strcmp(a->w[i], ">") || !strcmp(a->w[i], ">>") || !strcmp(a->w[i], "2>") ||
		    !strcmp(a->w[i], "2>&1") || !strcmp(a->w[i], "&>"))
			a->n = i;
}

/* false: this is no command of iptables, only a sentence that begins with its name. */
static bool iptables(struct args *a)
{
	const char *o, *name;

	find_table(a);
	cut_redirections(a);
	while (a->i < a->n &&
	       (is(a->w[a->i], "-w", "--wait") || is(a->w[a->i], "-v", "-n") || is(a->w[a->i], "-4", "-6"))) {
		a->i++;
		if (a->i < a->n && all_digits(a->w[a->i], strlen(a->w[a->i])))
			a->i++;
	}
	if (a->i >= a->n || a->w[a->i][0] != '-')
		return false;
	o = a->w[a->i++];
	name = a->i < a->n ? a->w[a->i] : NULL;
	if (is(o, "-F", "--flush")) {
		flush(a, name);
		return true;
	}
	if (o[1] == 'L' || o[1] == 'S' || o[1] == 'n' || o[1] == 'v' || is(o, "--list", "--list-rules") ||
	    is(o, "-Z", "--zero") || is(o, "-X", "--delete-chain") || is(o, "-V", "--version") ||
	    is(o, "-h", "--help") || is(o, "-E", "-C"))
		return true;
	if (!name)
		return false;
	if (is(o, "-N", "--new-chain") || is(o, "--new", NULL)) {
		chain(im_of(a), a->family, a->table, name)->declared = true;
		return true;
	}
	a->i++;
	if (is(o, "-P", "--policy"))
		set_policy(a, name);
	else if (is(o, "-A", "--append"))
		add_rule(a, chain(im_of(a), a->family, a->table, name), false);
	else if (is(o, "-I", "--insert"))
		add_rule(a, chain(im_of(a), a->family, a->table, name), true);
	else if (is(o, "-D", "--delete"))
		delete_rule(a, chain(im_of(a), a->family, a->table, name));
	else
		wrong(a, "\"%s\" is not understood", o);
	return true;
}

/* ---- save and restore ---- */

static bool holds_word(const char *s, const char *word)
{
	return strstr(s, word) != NULL;
}

static void say_saving(struct im_reader *r, struct im_place at, const char *command, bool nat, const char *where)
{
	bool six = command[2] == '6';

	if (!strcmp(where, "sudo") || !strchr(where, '/'))
		im_say(r->im, at, IM_NOTE,
		       "save into the wrong file: this writes to a file called \"%s\" in the working directory, and no "
		       "boot reads that; mxdp writes its own rules file",
		       where);
	if (nat)
		im_say(r->im, at, IM_NOTE,
		       "save into the wrong file: this writes the nat table alone, so that no filter rule is in %s "
		       "after a "
		       "reboot; mxdp writes its own rules file, for both families",
		       where);
	if (!six && (holds_word(where, "v6") || holds_word(where, "ip6")))
		im_say(r->im, at, IM_NOTE,
		       "save into the wrong file: this writes IPv4 rules to %s, which is for IPv6, so that IPv6 has no "
		       "rules "
		       "after a reboot; mxdp writes its own rules file, for both families",
		       where);
	else if (six && (holds_word(where, "v4") || (holds_word(where, "iptables") && !holds_word(where, "ip6") &&
						     !holds_word(where, "v6"))))
		im_say(r->im, at, IM_NOTE,
		       "save into the wrong file: this writes IPv6 rules to %s, which is for IPv4; mxdp writes its own "
		       "rules file, for both families",
		       where);
}

static void save(struct im_reader *r, struct im_place at, char **w, size_t n)
{
	const char *where = NULL;
	bool nat = false;

	for (size_t i = 1; i < n; i++) {
		nat |= !strcmp(w[i], "nat");
		if (!strncmp(w[i], ">", 1) && i + 1 < n)
			where = w[i + 1];
	}
	for (size_t i = 0; i + 1 < r->nrest; i++) {
		if (strcmp(r->rest[i].s, "tee"))
			continue;
		where = r->rest[i + 1].s;
		if (!strcmp(where, "-a") && i + 2 < r->nrest)
			where = r->rest[i + 2].s;
	}
	if (where)
		say_saving(r, at, w[0], nat, where);
}

/* ---- ipset ---- */

static void ipset(struct im_reader *r, struct im_place at, char **w, size_t n)
{
	struct import *im = r->im;
	struct im_set *s;
	size_t i = 1;

	while (i < n && w[i][0] == '-' && strcmp(w[i], "-N") && strcmp(w[i], "-A"))
		i++;
	if (i + 1 >= n)
		return;
	s = im_set(im, "ipset", w[i + 1], true);
	if (is(w[i], "create", "-N") || is(w[i], "n", NULL)) {
		s->known |= i + 2 < n && (!strncmp(w[i + 2], "hash:ip", 7) || !strncmp(w[i + 2], "hash:net", 8)) &&
			    !strchr(w[i + 2], ',');
		if (s->known && !s->addrs.n[0] && !s->addrs.n[1])
			s->addrs.sorted = true;
	} else if (is(w[i], "add", "-A")) {
		if (i + 2 < n && !im_addr_word(im, &s->addrs, w[i + 2]))
			im_say(im, at, IM_LOSS, "\"%s\" is not an address; left out of the set %s", w[i + 2], s->name);
		for (size_t k = i + 3; k < n; k++)
			if (!strcmp(w[k], "nomatch"))
				im_say(im, at, IM_DANGER, "\"nomatch\" is not carried: %s counts as in the set %s",
				       w[i + 2], s->name);
		if (i + 2 < n && (s->addrs.n[0] || s->addrs.n[1]))
			s->known = true;
	}
}

/* ---- where lines come from ---- */

static bool is_chain_line(const char *s)
{
	size_t n = strcspn(s + 1, " \t");

	s += 1 + n;
	s += strspn(s, " \t");
	return n && (!strncmp(s, "ACCEPT", 6) || !strncmp(s, "DROP", 4) || (s[0] == '-' && (!s[1] || s[1] == ' ')));
}

static void chain_line(struct im_reader *r, struct im_place at, const char *s)
{
	struct ipt *t = r->of_dialect;
	size_t n = strcspn(s + 1, " \t");
	char *name = im_copy(r->im, s + 1, n);
	struct im_chain *c = chain(r->im, t->family, t->table, name);

	c->declared = true;
	s += 1 + n;
	s += strspn(s, " \t");
	if (*s == '-')
		return;
	c->policy = *s == 'D' ? IM_DROP : IM_ACCEPT;
	c->policy_at = at;
	c->policy_text = im_text(r->im, ":%s %s", name, *s == 'D' ? "DROP" : "ACCEPT");
}

static bool is_option_word(const char *s)
{
	static const char *const words[] = { "-A ", "-I ", "-P ", "-N ", "--append ", "--insert ", "--policy " };

	for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++)
		if (!strncmp(s, words[i], strlen(words[i])))
			return true;
	return false;
}

/* A listing of iptables -L shows neither interfaces nor a form that could be read back with certainty. */
static bool listing(struct im_reader *r, struct im_place at, const char *s)
{
	if (!strncmp(s, "Chain ", 6) && strstr(s, "(policy ")) {
		if (!strncmp(s + 6, "INPUT", 5))
			im_say(r->im, at, IM_NOTE,
			       "a listing of `iptables -L` is not read, for it does not say everything; import what "
			       "`iptables-save` prints");
		r->im->prose++;
		return true;
	}
	return false;
}

static bool line(struct im_reader *r, struct im_place at, const char *s)
{
	struct ipt *t = r->of_dialect;
	struct args a = { .r = r, .at = at, .text = s, .family = t->family, .table = t->table };

	if (*s == '*' && s[1] && !strchr(s + 1, ' ') && s[1] >= 'a' && s[1] <= 'z') {
		t->table = im_copy(r->im, s + 1, strlen(s + 1));
		return true;
	}
	if (!strcmp(s, "COMMIT")) {
		t->table = "filter";
		return true;
	}
	if (*s == ':' && is_chain_line(s)) {
		chain_line(r, at, s);
		r->im->understood++;
		return true;
	}
	if (listing(r, at, s))
		return true;
	if (*s == '[' && strchr(s, ']')) {
		const char *rest = strchr(s, ']') + 1;

		rest += strspn(rest, " \t");
		if (is_option_word(rest))
			s = rest;
	}
	if (!is_option_word(s))
		return false;
	a.text = im_trim(r->im, s);
	a.n = im_plain(r->im, s, &a.w);
	for (size_t i = 0; i < a.n; i++)
		if (strchr(a.w[i], '$')) {
			im_say(r->im, at, IM_LOSS,
			       "\"%.80s\" is not known from here, so the rule is left out; write its value in its "
			       "place",
			       a.w[i]);
			r->im->understood++;
			return true;
		}
	/* a bare rule has a chain and says what it does */
	if (a.n < 3)
		return false;
	r->im->understood++;
	a.bare = true;
	iptables(&a);
	return true;
}

static bool is_command(const char *name)
{
	static const char *const names[] = {
		"iptables",
		"ip6tables",
		"iptables-legacy",
		"ip6tables-legacy",
		"iptables-nft",
		"ip6tables-nft",
		"iptables-save",
		"ip6tables-save",
		"iptables-restore",
		"ip6tables-restore",
		"iptables-apply",
		"ipset",
		"firewall-cmd",
		"ufw",
		"nft",
		"netfilter-persistent",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return true;
	/* the elements of `ipset save` */
	return !strcmp(name, "create") || !strcmp(name, "add");
}

static void command(struct im_reader *r, struct im_place at, const char *text, char **w, size_t n)
{
	struct ipt *t = r->of_dialect;
	struct args a = { .r = r, .at = at, .text = text, .w = w, .n = n, .i = 1, .table = "filter" };

	if (!strcmp(w[0], "ipset")) {
		ipset(r, at, w, n);
	} else if (!strcmp(w[0], "create") || !strcmp(w[0], "add")) {
		char **v = im_alloc(r->im, (n + 1) * sizeof(*v));

		memcpy(v + 1, w, n * sizeof(*v));
		v[0] = "ipset";
		if (n >= 3 && (strchr(w[2], ':') || strchr(w[2], '.')))
			ipset(r, at, v, n + 1);
		return;
	} else if (!strcmp(w[0], "ufw") || !strcmp(w[0], "firewall-cmd") || !strcmp(w[0], "nft")) {
		if (n > 1 && !strchr(t->told, *w[0]))
			im_say(r->im, at, IM_NOTE,
			       "commands of another firewall begin here: `mxdp import %s` reads those",
			       *w[0] == 'f' ? "firewalld" : w[0]);
		if (n > 1 && !strchr(t->told, *w[0]))
			t->told[strlen(t->told)] = *w[0];
		return;
	} else if (strstr(w[0], "-save")) {
		save(r, at, w, n);
		return;
	} else if (strstr(w[0], "-restore") || strstr(w[0], "-apply") || !strcmp(w[0], "netfilter-persistent")) {
		return;
	} else {
		a.family = w[0][2] == '6' ? IM_V6 : IM_V4;
		if (a.family != t->family && t->family == IM_V6 && n > 1 && w[1][0] == '-') {
			im_say(r->im, at, IM_NOTE, "a command for IPv4 in a text given as ip6tables; carried as IPv4");
		}
		if (!iptables(&a)) {
			r->im->prose++;
			return;
		}
	}
	r->im->understood++;
}

void import_iptables(struct import *im, const char *path, const char *text, unsigned int family)
{
	struct ipt t = { .family = family, .table = "filter" };
	struct im_reader r = { .im = im, .path = path, .line = line, .is_command = is_command, .command = command,
			       .of_dialect = &t };

	/* IPv6 save files name no family; what they hold does */
	if (family == IM_V4 && strstr(text, "# Generated by ip6tables"))
		t.family = IM_V6;
	im_read(&r, text);
}
