// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "oracle.h"

/* ---- reading ---- */

struct view {
	const uint8_t *b;
	size_t len;      /* of the frame */
	size_t at;       /* of the header in hand */
	size_t end;      /* where the IP packet ends, by its own word */
	unsigned int family;
	uint8_t src[16], dst[16];
	bool has_addresses;
	bool malformed_options;
	bool first_fragment;
	bool in_fragment_header; /* a fragment header was seen, atomic or not */
};

static unsigned int be16(const uint8_t *p)
{
	return p[0] << 8 | p[1];
}

static bool is_vlan(unsigned int type)
{
	return type == 0x8100 || type == 0x88a8 || type == 0x9100;
}

enum { TCP = -1 }; /* the TCP header stands, whole, at view.at */

static int tcp_here(struct view *v)
{
	size_t room = v->end - v->at, doff;
	int cut = v->first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_TCP_HEADER;

	if (room < 20)
		return cut;
	doff = (v->b[v->at + 12] >> 4) * 4;
	if (doff < 20)
		return MXDP_R_TCP_HEADER;
	return doff > room ? cut : TCP;
}

static int neither_tcp_nor_icmp(const struct view *v, unsigned int proto)
{
	const uint8_t *p = v->b + v->at;
	bool v6 = v->family == 6;

	if (proto == 17 && v->end >= v->at + 8) {
		unsigned int s = be16(p), d = be16(p + 2), client = v6 ? 546 : 68, server = v6 ? 547 : 67;

		if ((s == client && d == server) || (s == server && d == client))
			return MXDP_R_DHCP;
	}
	return proto == 4 || proto == 41 || proto == 47 ? MXDP_R_TUNNEL : MXDP_R_NOT_TCP;
}

/* ---- IPv4 ---- */

static bool has_source_route(struct view *v, const uint8_t *opt, size_t n)
{
	size_t i = 0;

	while (i < n) {
		if (opt[i] == 0)
			return false;
		if (opt[i] == 131 || opt[i] == 137)
			return true;
		if (opt[i] == 1) {
			i++;
			continue;
		}
		if (i + 1 >= n || opt[i + 1] < 2 || opt[i + 1] > n - i) { /* the stack throws the packet away */
			v->malformed_options = true;
			return false;
		}
		i += opt[i + 1];
	}
	return false;
}

static int icmp4(const struct view *v)
{
	if (v->at >= v->end)
		return MXDP_R_NOT_TCP;
	switch (v->b[v->at]) {
	case 3:
	case 11:
	case 12:
		return MXDP_R_ICMP_ERROR;
	case 5:
	case 13:
	case 14:
	case 15:
	case 16:
	case 17:
	case 18:
		return MXDP_R_ICMP_ODD;
	}
	return MXDP_R_NOT_TCP;
}

static int ip4(struct view *v)
{
	const uint8_t *ip = v->b + v->at;
	size_t have = v->len - v->at, head, total;
	unsigned int offset, proto;
	bool more;

	v->family = 4;
	if (have < 20)
		return MXDP_R_IP_HEADER;
	if (ip[0] >> 4 != 4)
		return MXDP_R_IP_VERSION;
	head = (ip[0] & 15) * 4;
	if (head < 20)
		return MXDP_R_IP_HEADER;
	total = be16(ip + 2);
	if (total < head || total > have)
		return MXDP_R_IP_LENGTH;
	memcpy(v->src, ip + 12, 4);
	memcpy(v->dst, ip + 16, 4);
	v->has_addresses = true;
	if (has_source_route(v, ip + 20, head - 20))
		return MXDP_R_SOURCE_ROUTE;
	v->end = v->at + total;
	v->at += head;
	offset = (be16(ip + 6) & 0x1fff) * 8;
	more = be16(ip + 6) & 0x2000;
	proto = ip[9];
	if (proto == 6) {
		v->first_fragment = more;
		return offset ? MXDP_R_FRAGMENT : tcp_here(v);
	}
	if (offset) /* no header here; tunnels are known by their number alone */
		return proto == 4 || proto == 41 || proto == 47 ? MXDP_R_TUNNEL : MXDP_R_NOT_TCP;
	return proto == 1 ? icmp4(v) : neither_tcp_nor_icmp(v, proto);
}

/* ---- IPv6 ---- */

static int icmp6(const struct view *v)
{
	unsigned int type;

	if (v->at >= v->end)
		return MXDP_R_NOT_TCP;
	type = v->b[v->at];
	if (type >= 133 && type <= 137)
		return v->in_fragment_header ? MXDP_R_FRAGMENT_ND : MXDP_R_NEIGHBOUR;
	if (type == 130 || type == 131 || type == 132 || type == 143)
		return MXDP_R_NEIGHBOUR;
	if (type >= 1 && type <= 4)
		return MXDP_R_ICMP_ERROR;
	return MXDP_R_NOT_TCP;
}

static bool walked(unsigned int next)
{
	return next == 0 || next == 43 || next == 44 || next == 51 || next == 60;
}

/* One extension header; -1: on to *next. */
static int extension(struct view *v, unsigned int *next, bool first)
{
	int cut = v->first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_EXT_HEADERS;
	const uint8_t *h = v->b + v->at;
	size_t size;

	if (v->end - v->at < 8)
		return cut;
	if (*next == 0 && !first)
		return MXDP_R_EXT_HEADERS;
	if (*next == 43 && h[2] == 0)
		return MXDP_R_SOURCE_ROUTE;
	if (*next == 44) {
		if (v->in_fragment_header)
			return MXDP_R_EXT_HEADERS;
		v->in_fragment_header = true;
		v->first_fragment = h[3] & 1;
		if (be16(h + 2) >> 3)
			return walked(h[0]) || h[0] == 6 ? MXDP_R_FRAGMENT : MXDP_R_NOT_TCP;
		size = 8;
	} else if (*next == 51) {
		size = (h[1] + 2) * 4;
		if (size < 12)
			return MXDP_R_EXT_HEADERS;
	} else {
		size = (h[1] + 1) * 8;
	}
	if (size > v->end - v->at)
		return v->first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_EXT_HEADERS;
	v->at += size;
	*next = h[0];
	return -1;
}

static int ip6(struct view *v)
{
	const uint8_t *ip = v->b + v->at;
	size_t have = v->len - v->at, payload, begin;
	unsigned int next, n = 0;
	int answer;

	v->family = 6;
	if (have < 40)
		return MXDP_R_IP_HEADER;
	if (ip[0] >> 4 != 6)
		return MXDP_R_IP_VERSION;
	payload = be16(ip + 4);
	memcpy(v->src, ip + 8, 16);
	memcpy(v->dst, ip + 24, 16);
	v->has_addresses = true;
	next = ip[6];
	if (payload == 0)
		return next == 59 ? MXDP_R_NOT_TCP : MXDP_R_JUMBO;
	if (payload > have - 40)
		return MXDP_R_IP_LENGTH;
	v->at += 40;
	v->end = v->at + payload;
	begin = v->at;
	while (walked(next)) {
		if (n == 8)
			return MXDP_R_EXT_HEADERS;
		answer = extension(v, &next, n == 0);
		if (answer >= 0)
			return answer;
		if (v->at - begin > 1024)
			return MXDP_R_EXT_HEADERS;
		n++;
	}
	if (next == 6)
		return tcp_here(v);
	return next == 58 ? icmp6(v) : neither_tcp_nor_icmp(v, next);
}

static int frame(struct view *v)
{
	unsigned int type, tags = 0;

	if (v->len < 14)
		return MXDP_R_FRAME_SHORT;
	type = be16(v->b + 12);
	v->at = 14;
	while (is_vlan(type)) {
		if (tags++ == 2)
			return MXDP_R_VLAN_DEPTH;
		if (v->len - v->at < 4)
			return MXDP_R_FRAME_SHORT;
		type = be16(v->b + v->at + 2);
		v->at += 4;
	}
	switch (type) {
	case 0x0800:
		return ip4(v);
	case 0x86dd:
		return ip6(v);
	case 0x0806:
		return MXDP_R_ARP;
	}
	return MXDP_R_NOT_IP;
}

/* ---- sanity ---- */

static bool zero(const uint8_t *p, size_t n)
{
	while (n--)
		if (*p++)
			return false;
	return true;
}

static bool impossible_source(const struct view *v)
{
	const uint8_t *s = v->src;

	if (v->family == 4)
		return s[0] == 0 || s[0] == 127 || s[0] >= 224;
	if (s[0] == 0xff)
		return true;
	return zero(s, 12) || (zero(s, 10) && s[10] == 0xff && s[11] == 0xff);
}

static bool honest_flags(unsigned int flags)
{
	static const uint8_t honest[] = { 0x02, 0x22, 0x12, 0x04, 0x14, 0x11, 0x31, 0x10, 0x30 };

	for (size_t i = 0; i < sizeof(honest); i++)
		if ((flags & 0x37) == honest[i])
			return true;
	return false;
}

static int insane(const struct view *v)
{
	size_t n = v->family == 4 ? 4 : 16;

	if (v->family == 4 ? v->dst[0] >= 224 : v->dst[0] == 0xff)
		return MXDP_R_TO_GROUP;
	if (impossible_source(v))
		return MXDP_R_BAD_SOURCE;
	if (v->b[0] & 1)
		return MXDP_R_TO_GROUP;
	if (!memcmp(v->src, v->dst, n))
		return MXDP_R_LAND;
	if (!honest_flags(v->b[v->at + 13]))
		return MXDP_R_BAD_FLAGS;
	if (!be16(v->b + v->at) || !be16(v->b + v->at + 2))
		return MXDP_R_PORT_ZERO;
	return -1;
}

/* ---- policy ---- */

static bool covers(const struct opinion_rule *r, unsigned int family, const uint8_t *a)
{
	if (!r->family)
		return true;
	if (r->family != family)
		return false;
	for (unsigned int i = 0; i < r->len; i++)
		if ((r->addr[i / 8] ^ a[i / 8]) >> (7 - i % 8) & 1)
			return false;
	return true;
}

static bool some_rule(const struct opinion_policy *p, enum opinion_verb verb, unsigned int family, const uint8_t *a)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->rule[i].verb == verb && covers(&p->rule[i], family, a))
			return true;
	return false;
}

static bool blocked_as(const struct opinion_policy *p, unsigned int family, const uint8_t *a)
{
	return some_rule(p, OPINION_BLOCK, family, a) && !some_rule(p, OPINION_EXEMPT, family, a);
}

/* 6to4 and NAT64: the IPv4 address inside counts as well. */
static bool blocked(const struct opinion_policy *p, const struct view *v)
{
	static const uint8_t nat64[12] = { 0, 0x64, 0xff, 0x9b };

	if (blocked_as(p, v->family, v->src))
		return true;
	if (some_rule(p, OPINION_EXEMPT, v->family, v->src))
		return false;
	if (v->family == 6 && v->src[0] == 0x20 && v->src[1] == 0x02)
		return blocked_as(p, 4, v->src + 2);
	return v->family == 6 && !memcmp(v->src, nat64, 12) && blocked_as(p, 4, v->src + 12);
}

static bool has_ports(const struct opinion_rule *r)
{
	return r->verb != OPINION_BLOCK && r->verb != OPINION_EXEMPT;
}

static bool names(const struct opinion_rule *r, unsigned int port)
{
	return has_ports(r) && port >= r->lo && port <= r->hi;
}

/* A tie: the same source is denied the port. */
static bool beaten(const struct opinion_policy *p, const struct opinion_rule *a, unsigned int port)
{
	for (size_t i = 0; i < p->n; i++) {
		const struct opinion_rule *d = &p->rule[i];

		if (d->verb == OPINION_DENY && names(d, port) && d->family == a->family &&
		    (!d->family || (d->len == a->len && !memcmp(d->addr, a->addr, 16))))
			return true;
	}
	return false;
}

/* Ports: what the rules do with one, whoever comes. */
struct port_view {
	bool named;   /* by any rule */
	bool allowed; /* by any allow or admin */
	bool open;    /* and that allow can win */
};

static struct port_view port_view(const struct opinion_policy *p, unsigned int port)
{
	struct port_view v = { 0 };

	for (size_t i = 0; i < p->n; i++) {
		if (!names(&p->rule[i], port))
			continue;
		v.named = true;
		if (p->rule[i].verb == OPINION_DENY)
			continue;
		v.allowed = true;
		v.open |= p->rule[i].verb == OPINION_ADMIN || !beaten(p, &p->rule[i], port);
	}
	return v;
}

/* Nobody at all may open it: no allow, no admin, and no default that lets those through whom no deny names. */
static bool shut(const struct opinion_policy *p, unsigned int port)
{
	struct port_view v = port_view(p, port);

	if (v.open)
		return false;
	if (!p->default_allow || v.allowed)
		return true;
	for (size_t i = 0; i < p->n; i++)
		if (names(&p->rule[i], port) && !p->rule[i].family) /* denied to any */
			return true;
	return false;
}

static bool admitted(const struct opinion_policy *p, const struct view *v, unsigned int port)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->rule[i].verb == OPINION_ADMIN && names(&p->rule[i], port) &&
		    covers(&p->rule[i], v->family, v->src))
			return true;
	return false;
}

static int by_rules(const struct opinion_policy *p, const struct view *v, unsigned int port)
{
	int longest = -2, says = -1;

	for (size_t i = 0; i < p->n; i++) {
		const struct opinion_rule *r = &p->rule[i];
		int len = r->family ? (int)r->len : -1;

		if ((r->verb != OPINION_ALLOW && r->verb != OPINION_DENY) || !names(r, port) ||
		    !covers(r, v->family, v->src))
			continue;
		if (len > longest || (len == longest && r->verb == OPINION_DENY)) {
			longest = len;
			says = r->verb;
		}
	}
	if (says >= 0)
		return says == OPINION_ALLOW ? MXDP_R_ALLOWED : MXDP_R_DENIED;
	/* named by an allow, but not for this source; or only denied, to others */
	return p->default_allow && !port_view(p, port).allowed ? MXDP_R_DEFAULT_ALLOW : MXDP_R_DENIED;
}

static int judge_tcp(const struct opinion_policy *p, struct view *v, struct opinion *o)
{
	unsigned int flags = v->b[v->at + 13], port = be16(v->b + v->at + 2);
	bool syn = (flags & 0x17) == 0x02, free_ = p->default_allow && !port_view(p, port).named;
	int odd;

	o->port = port;
	/* A knock on a port closed to all is a knock, whatever else is wrong with it. */
	if (syn && !free_ && shut(p, port))
		return MXDP_R_CLOSED;
	odd = insane(v);
	if (odd >= 0)
		return odd;
	if (blocked(p, v) && !admitted(p, v, port))
		return MXDP_R_BLOCKED;
	if (!syn)
		return free_ ? MXDP_R_DEFAULT_ALLOW : MXDP_R_NO_CONNECTION;
	if (free_)
		return MXDP_R_DEFAULT_ALLOW;
	if (admitted(p, v, port))
		return MXDP_R_ADMIN;
	return by_rules(p, v, port);
}

struct opinion opinion_of(const struct opinion_policy *p, const uint8_t *b, size_t len)
{
	struct view v = { .b = b, .len = len };
	struct opinion o = { .port = -1, .also = -1 };

	o.reason = frame(&v);
	if (o.reason == TCP)
		o.reason = judge_tcp(p, &v, &o);
	else if ((o.reason == MXDP_R_NOT_TCP || o.reason == MXDP_R_TUNNEL) && v.has_addresses && blocked(p, &v))
		o.reason = MXDP_R_BLOCKED;
	o.family = v.family;
	if (v.malformed_options)
		o.also = MXDP_R_SOURCE_ROUTE;
	return o;
}

/* ---- the same, as sentences ---- */

void opinion_sentences(const struct opinion_policy *p, char *text, size_t size)
{
	static const char *const verbs[] = { "allow", "deny", "block", "exempt", "admin" };
	size_t n = snprintf(text, size, "default %s\n", p->default_allow ? "allow" : "deny");

	for (size_t i = 0; i < p->n && n < size; i++) {
		const struct opinion_rule *r = &p->rule[i];
		char a[INET6_ADDRSTRLEN] = "", ports[16] = "";

		if (has_ports(r))
			snprintf(ports, sizeof(ports), r->lo == r->hi ? " %u" : " %u-%u", r->lo, r->hi);
		n += snprintf(text + n, size - n, "%s%s", verbs[r->verb], ports);
		if (r->family && n < size) {
			inet_ntop(r->family == 4 ? AF_INET : AF_INET6, r->addr, a, sizeof(a));
			n += snprintf(text + n, size - n, "%s %s/%u", has_ports(r) ? " from" : "", a, r->len);
		}
		if (n < size)
			n += snprintf(text + n, size - n, "\n");
	}
}
