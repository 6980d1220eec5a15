// SPDX-License-Identifier: GPL-2.0-only
/*
 * Random policies, random packets, two judges: the program and a second
 * opinion that shares nothing with it must give the same reason, and count
 * the packet under the same port.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include "craft.h"
#include "harness.h"
#include "oracle.h"

#define POLICIES 100
#define PACKETS 8000 /* for each policy */

static uint64_t seed;

static unsigned int below(unsigned int n)
{
	return rig_random(&seed) % n;
}

static bool one_in(unsigned int n)
{
	return below(n) == 0;
}

#define PICK(array) ((array)[below(sizeof(array) / sizeof((array)[0]))])

/* ---- policies: nested prefixes around the sources below ---- */

static const struct {
	const char *a;
	unsigned int len;
} prefixes[] = {
	{ "198.51.0.0", 16 },	   { "198.51.100.0", 24 },   { "198.51.100.0", 25 },	 { "198.51.100.64", 27 },
	{ "198.51.100.7", 32 },	   { "198.51.100.66", 32 },  { "198.51.100.99", 32 },	 { "192.0.0.0", 9 },
	{ "192.0.2.0", 24 },	   { "192.0.2.77", 32 },     { "2000::", 3 },		 { "2001:db8::", 32 },
	{ "2001:db8:7::", 48 },	   { "2001:db8:7::4", 126 }, { "2001:db8:7::7", 128 },	 { "2001:db8:66::", 47 },
	{ "2001:db8:66::66", 128 }, { "2001:db8:99::", 64 },  { "2001:db8:2::", 48 },	 { "2002::", 16 },
	{ "2002:c633:6400::", 40 }, { "64:ff9b::", 96 },
};

static const uint16_t ports[] = { 22, 25, 26, 110, 443, 587, 993, 2525, 8000, 8003, 8009, 8010, 40000, 65535, 1, 0 };

static bool said_before(const struct opinion_policy *p, const struct opinion_rule *r)
{
	for (size_t i = 0; i < p->n; i++)
		if (p->rule[i].family == r->family && p->rule[i].len == r->len && !memcmp(p->rule[i].addr, r->addr, 16))
			return true;
	return false;
}

/* A prefix speaks once in a policy; only rules for any source may tie. */
static void random_policy(struct opinion_policy *p)
{
	size_t want = 1 + below(14);

	memset(p, 0, sizeof(*p));
	p->default_allow = one_in(3);
	while (p->n < want) {
		struct opinion_rule r = { .verb = below(5) };
		unsigned int n = below(sizeof(prefixes) / sizeof(prefixes[0]));

		r.lo = r.hi = ports[below(15)];
		if (one_in(4) && r.lo < 65500)
			r.hi = r.lo + 1 + below(12);
		if (r.verb <= OPINION_DENY && one_in(3)) {
			p->rule[p->n++] = r; /* from any */
			continue;
		}
		r.family = strchr(prefixes[n].a, ':') ? 6 : 4;
		r.len = prefixes[n].len;
		inet_pton(r.family == 4 ? AF_INET : AF_INET6, prefixes[n].a, r.addr);
		if (said_before(p, &r)) {
			want--;
			continue;
		}
		p->rule[p->n++] = r;
	}
}

/* ---- packets ---- */

static const char *const sources4[] = {
	"198.51.100.7", "198.51.100.66", "198.51.100.99", "198.51.7.7", "192.0.2.77", "192.0.2.9", "192.5.5.5",
	"9.9.9.9", "0.1.2.3", "127.0.0.1", "224.0.0.9", "240.0.0.1", "255.255.255.255", US4,
};
static const char *const sources6[] = {
	"2001:db8:7::7", "2001:db8:7::8", "2001:db8:66::66", "2001:db8:67::1", "2001:db8:99::99", "2001:db8:2::9",
	"2002:c633:6463::1", "2002:c000:24d::1", "64:ff9b::198.51.100.99", "64:ff9b::192.0.2.77", "2a00::1", "fe80::1",
	"::", "::1", "::ffff:198.51.100.7", "::198.51.100.7", "ff02::1", US6,
};
static const char *const targets4[] = { US4, US4, US4, US4, US4, US4, "224.0.0.1", "255.255.255.255" };
static const char *const targets6[] = { US6, US6, US6, US6, US6, US6, "ff02::1", "ff0e::9" };
static const uint8_t flag_sets[] = {
	SYN, SYN, SYN, SYN | ECE | CWR, ACK, ACK | PSH, FIN | ACK, RST, RST | ACK, SYN | ACK,
};
static const uint8_t protos[] = { 1, 1, 2, 4, 6, 17, 17, 41, 47, 50, 51, 58, 58, 58, 59, 60, 0, 43, 44, 132, 135, 253 };
static const uint16_t types[] = { 0x0806, 0x0806, 0x0800, 0x86dd, 0x88cc, 0x8847, 0x8864, 0x0026, 0x8100, 0x1234 };
static const char letters[] = "hhdddDErr0aAfgFLemunx!";
static const uint8_t icmp_types[] = {
	0, 1, 2, 3, 4, 5, 8, 9, 11, 12, 13, 14, 17, 18, 128, 130, 131, 132, 133, 134, 135, 136, 137, 143,
};

static void random_rest(char *raw, size_t *n, bool *udp)
{
	static const uint8_t dhcp[][4] = { { 0, 67, 0, 68 }, { 0, 68, 0, 67 }, { 2, 34, 2, 35 }, { 2, 35, 2, 34 } };

	*n = below(40);
	for (size_t i = 0; i < *n; i++)
		raw[i] = below(256);
	*udp = one_in(2);
	if (*udp)
		memcpy(raw, PICK(dhcp), 4);
	else
		raw[0] = PICK(icmp_types);
}

static void cut_tag(struct crafted *f)
{
	f->len = f->l3 - 1 - below(3);
}

static void random_craft(struct craft *c, char *raw, char *ext, char *opt)
{
	memset(c, 0, sizeof(*c));
	c->family = one_in(2) ? 4 : 6;
	c->tags = one_in(3) ? below(TAG_STACKS) : TAG_NONE;
	c->src = c->family == 4 ? PICK(sources4) : PICK(sources6);
	c->dst = c->family == 4 ? PICK(targets4) : PICK(targets6);
	c->to_group = one_in(40);
	c->ethertype = one_in(60) ? PICK(types) : 0;
	c->sport = one_in(30) ? SAY_ZERO : 1 + below(65535);
	c->dport = PICK(ports);
	if (!c->dport)
		c->dport = SAY_ZERO;
	c->flags = one_in(6) ? below(256) : PICK(flag_sets);
	if (!c->flags)
		c->flags = NO_FLAGS;
	c->payload = one_in(3) ? below(100) : 0;
	if (one_in(12))
		c->doff = one_in(9) ? SAY_ZERO : below(16);
	if (one_in(15))
		c->len_add = (int)below(60) - 40;
	if (one_in(20))
		c->version = below(16) + (one_in(9) ? SAY_ZERO : 0);
	if (one_in(25))
		c->ihl = below(16);
	if (one_in(20))
		c->padding = below(60);
	if (one_in(20))
		c->keep = 1 + below(90);
	if (one_in(100) && c->tags)
		c->then = cut_tag;
	if (one_in(8)) {
		c->frag = true;
		c->more = one_in(2);
		c->frag_at = one_in(2) ? 0 : 8 * below(8191);
		c->cut_to = one_in(2) ? 1 + below(40) : 0;
	}
	if (c->family == 6 && one_in(3)) {
		size_t n = 1 + below(one_in(4) ? 12 : 4);

		for (size_t i = 0; i < n; i++)
			ext[i] = letters[below(sizeof(letters) - 1)];
		ext[n] = 0;
		c->ext = ext;
	}
	if (c->family == 4 && one_in(8)) {
		static const uint8_t kinds[] = { 0, 1, 1, 1, 7, 68, 0x83, 0x89, 148, 4, 3 };

		c->nip_opt = 1 + below(40);
		for (size_t i = 0; i < c->nip_opt; i++)
			opt[i] = one_in(6) ? below(256) : PICK(kinds);
		c->ip_opt = opt;
	}
	if (one_in(5)) {
		bool udp;

		random_rest(raw, &c->nraw, &udp);
		c->raw = raw;
		c->proto = one_in(3) ? PICK(protos) : udp ? 17 : c->family == 4 ? 1 : 58;
		c->len_add = one_in(9) ? -(int)below(c->nraw + 2) : c->len_add;
	}
}

/* Valid ones, spoilt field by field; some by a bit more. */
static void random_frame(struct crafted *f)
{
	char raw[64], ext[16], opt[40];
	struct craft c;

	random_craft(&c, raw, ext, opt);
	craft(&c, f);
	if (one_in(3))
		for (unsigned int n = 1 + below(3); n; n--)
			f->b[below(f->len < 120 ? f->len : 120)] ^= 1 << below(8);
	if (f->len < 14)
		f->len = 14;
}

/* ---- two judges ---- */

static struct opinion_policy policy;
static unsigned int seen[MXDP_REASON_SLOTS];

static void say_difference(const struct crafted *f, struct opinion o, const struct mxdp_count *was, const struct rig *g)
{
	static char text[8192];

	printf("  WRONG: second opinion: %s, port %d. The program:", rig_reason_name(o.reason), o.port);
	for (size_t i = 0; i < MXDP_COUNTERS_PER_ROW; i++)
		if (g->counters[i].packets != was[i].packets)
			printf(" %s", rig_reason_name(i % MXDP_REASON_SLOTS));
	printf("\n    ");
	for (size_t i = 0; i < f->len && i < 160; i++)
		printf("%s%02x", i % 4 ? "" : " ", f->b[i]);
	opinion_sentences(&policy, text, sizeof(text));
	printf("\n%s", text);
}

static uint64_t at(const struct rig *g, int port)
{
	return g->ports[port].passed.packets + g->ports[port].dropped.packets;
}

/* Is `o` what was counted, and all that was counted? `was`: the counters before, and after when it is. */
static bool counted_as(const struct rig *g, struct opinion o, int reason, size_t bytes, struct mxdp_count *was)
{
	unsigned int family = rig_reason_layer(reason) != MXDP_LAYER_LINK && o.family == 6, service = 0, cell;

	if (o.port >= 0)
		service = g->banks[g->state->epoch & 1].port[o.port] & MXDP_PORT_SERVICE;
	cell = MXDP_COUNTER(0, service, family, 0, reason);
	if (g->counters[cell].packets != was[cell].packets + 1 || g->counters[cell].bytes != was[cell].bytes + bytes)
		return false;
	was[cell] = g->counters[cell];
	return true;
}

static bool same(struct rig *g, const struct crafted *f, struct mxdp_count *was)
{
	struct opinion o = opinion_of(&policy, f->b, f->len);
	uint64_t at_port = o.port < 0 ? 0 : at(g, o.port);
	int got = rig_run(g, &(struct rig_run){ .frame = f->b, .len = f->len });

	if (o.port >= 0)
		rig_fold(g, o.port);
	seen[o.reason]++;
	if (o.also >= 0 && got == XDP_DROP &&
	    counted_as(g, (struct opinion){ .port = -1, .family = o.family }, o.also, f->len, was))
		return true;
	if (got == (mxdp_drop_mask >> o.reason & 1 ? XDP_DROP : XDP_PASS) && counted_as(g, o, o.reason, f->len, was) &&
	    (o.port < 0 || at(g, o.port) == at_port + 1))
		return true;
	say_difference(f, o, was, g);
	memcpy(was, g->counters, MXDP_COUNTERS_PER_ROW * sizeof(*was));
	return false;
}

static void two_judges_give_the_same_reason(void **state)
{
	static struct mxdp_count was[MXDP_COUNTERS_PER_ROW];
	static struct crafted f;
	static char text[8192];
	struct rig *g = rig_new(NULL);
	unsigned int differ = 0;

	(void)state;
	seed = rig_seed();
	/* the one knock of the tick on which the kernel is asked whether it crosses a SYN of ours */
	rig_policy(g, "default deny\nallow smtp\n");
	craft(&(struct craft){ .family = 4, .src = "9.9.9.9", .dport = 50001 }, &f);
	assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }), XDP_DROP);
	for (unsigned int i = 0; i < POLICIES && differ < 10; i++) {
		random_policy(&policy);
		opinion_sentences(&policy, text, sizeof(text));
		rig_policy(g, text);
		memcpy(was, g->counters, sizeof(was));
		for (unsigned int n = 0; n < PACKETS && differ < 10; n++) {
			random_frame(&f);
			differ += !same(g, &f, was);
		}
	}
	rig_adds_up_unseen(g);
	assert_int_equal(differ, 0);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

/* What the random packets never reach is not compared: every reason that needs no socket must have been reached. */
static void the_random_packets_reach_every_reason(void **state)
{
	static const uint8_t elsewhere[] = { MXDP_R_LEASE, MXDP_R_LIVE, MXDP_R_COOKIE, MXDP_R_CROSSED,
					     MXDP_R_HEADER_SPLIT,
					     MXDP_R_OVER_RATE, MXDP_R_OVER_CONNECTIONS, MXDP_R_OVER_GLOBAL, MXDP_R_REFUSED,
					     MXDP_R_COOKIE_SENT, MXDP_R_TRIAL_OVER, MXDP_R_BANNED,
					     MXDP_R_OTHER_PASSED, MXDP_R_OTHER_DROPPED };

	(void)state;
	for (int r = 0; r < MXDP_REASON_SLOTS; r++) {
		if (!strcmp(rig_reason_name(r), rig_reason_name(MXDP_REASON_SLOTS)) ||
		    memchr(elsewhere, r, sizeof(elsewhere)))
			continue;
		if (seen[r] < 20)
			print_message("%s: only %u packets\n", rig_reason_name(r), seen[r]);
		assert_true(seen[r] >= 20);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(two_judges_give_the_same_reason),
		cmocka_unit_test(the_random_packets_reach_every_reason),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
