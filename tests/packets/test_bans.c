// SPDX-License-Identifier: GPL-2.0-only
/* Bans in the packet's way: who is cut, from what, until when; the table when it is crowded; and both who write it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rows.h"
#include "rules.h"
#include "wire.h"
#include "mxdp.skel.h"
#include "ban_insert.skel.h"

#define BAN_LINE(t, line) (&((struct rig *)(t))->bans[line])
#define BAN_RECORD(t, i) (&((struct rig *)(t))->banned[i])
#define BAN_HEAD(t) (((struct rig *)(t))->ban_head)
#include <mxdp/ban_put.h>

#define FOREVER UINT32_MAX
#define FEW 5u                 /* lines, a prime: every ban may lie in all of them */
#define MANY 900u
#define FULL (FEW * MXDP_BAN_WAYS)
#define JIFFY_NS (MXDP_BAN_SECOND_NS >> RIG_TICK_SHIFT)
#define FIRST_PORTS 100u /* of ban_texts: what the tests say themselves */

static uint64_t now_ns(const struct rig *g)
{
	return g->state->test_jiffies * JIFFY_NS;
}

static struct mxdp_ban_key key_of(const char *prefix)
{
	struct mxdp_ban_key k = { 0 };
	struct prefix p;

	assert_int_equal(word_prefix(prefix, strlen(prefix), &p, NULL), 0);
	k.family = p.family == 6;
	k.len = p.len;
	for (int i = 0; i < 4 && !k.family; i++)
		k.lo = k.lo << 8 | p.addr[i];
	for (int i = 0; i < 8 && k.family; i++) {
		k.hi = k.hi << 8 | p.addr[i];
		k.lo = k.lo << 8 | p.addr[8 + i];
	}
	mxdp_ban_mask(&k);
	return k;
}

static int ban_key(struct rig *g, struct mxdp_ban_key k, uint32_t seconds, uint16_t owner, uint16_t ports)
{
	struct mxdp_ban_new n = {
		.key = k, .owner = owner, .ports = ports, .now_ns = now_ns(g),
		.expires_ns = seconds == FOREVER ? MXDP_BAN_FOREVER_NS : now_ns(g) + seconds * MXDP_BAN_SECOND_NS,
	};
	int said;

	g->state->bans = 1;
	said = mxdp_ban_put(g, &n, g->ban_lines);
	__atomic_fetch_add(&g->state->voided, 1, __ATOMIC_SEQ_CST);
	return said;
}

static int ban(struct rig *g, const char *prefix, uint32_t seconds)
{
	return ban_key(g, key_of(prefix), seconds, 7, 0);
}

static uint16_t ports(struct rig *g, unsigned int nr, const struct port_range *v, size_t n)
{
	struct mxdp_ban_text *t = &g->ban_texts[FIRST_PORTS + nr];

	memset(t, 0, sizeof(*t));
	t->kind = MXDP_BAN_PORTS;
	t->len = n;
	memcpy(t->range, v, n * sizeof(*v));
	return FIRST_PORTS + nr;
}

static void expect(struct rig *g, const char *what, struct craft c, struct rig_says s)
{
	static struct crafted f;

	craft(&c, &f);
	rig_expect(g, what, &(struct rig_run){ .frame = f.b, .len = f.len }, c.family, s);
}
#define EXPECT(g, what, says, ...) expect(g, what, (struct craft){ __VA_ARGS__ }, SAYS(says))

/* Two rigs serve all tests, for a load takes many seconds in an emulated machine: one of many lines, one of few. */
static struct rig *begin(unsigned int lines)
{
	static struct rig *rigs[2];
	struct rig *g = rigs[lines == FEW];

	if (!g)
		g = rigs[lines == FEW] = rig_new(&(struct rig_options){ .ban_lines = lines });
	memset(g->bans, 0, g->ban_lines * sizeof(*g->bans));
	memset(g->banned, 0, g->ban_lines * MXDP_BAN_WAYS * sizeof(*g->banned));
	memset(g->ban_head, 0, sizeof(*g->ban_head));
	g->state->bans = 0;
	g->failed = 0;
	g->ban_head->key[0] = 0x243f6a8885a308d3ULL;
	g->ban_head->key[1] = 0x13198a2e03707344ULL;
	rig_policy(g, rows_sentences);
	return g;
}

static void end(struct rig *g)
{
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
}

#define ICMP(t) .proto = 1, RAW(t "\0\0\0\0\0\0\0")
#define ICMP6(t) .proto = 58, RAW(t "\0\0\0\0\0\0\0")

static void a_ban_cuts_everything_of_its_source(void **state)
{
	struct rig *g = begin(MANY);

	(void)state;
	EXPECT(g, "before", PASS(ALLOWED, SMTP), .family = 4);
	ban(g, "198.51.100.7", 600);
	ban(g, "2001:db8:7::/64", 600);
	for (unsigned int family = 4; family <= 6; family += 2) {
		EXPECT(g, "SYN", DROP(BANNED, SMTP), .family = family);
		EXPECT(g, "ACK", DROP(BANNED, SMTP), .family = family, .flags = ACK);
		EXPECT(g, "FIN", DROP(BANNED, SMTP), .family = family, .flags = FIN | ACK);
		EXPECT(g, "RST", DROP(BANNED, SMTP), .family = family, .flags = RST);
		EXPECT(g, "SYN to a port that others may open", DROP(BANNED, SUBMISSION), .family = family, .dport = 587);
		EXPECT(g, "ACK to a closed port", DROP(BANNED, SHUT), .family = family, .dport = 26, .flags = ACK);
		EXPECT(g, "UDP", DROP(BANNED, NONE), .family = family, .udp = true, .dport = 53);
		EXPECT(g, "a tunnel", DROP(BANNED, NONE), .family = family, .proto = 47, RAW("\0\0\0\0"));
		EXPECT(g, "sanity comes first", DROP(BAD_FLAGS, SMTP), .family = family, .flags = SYN | FIN);
		EXPECT(g, "a closed port is asked first", DROP(CLOSED, SHUT), .family = family, .dport = 26);
		EXPECT(g, "another source", PASS(ALLOWED, SMTP), .family = family, .from = OFFICE);
	}
	EXPECT(g, "echo", DROP(BANNED, NONE), .family = 4, ICMP("\x08"));
	EXPECT(g, "echo, IPv6", DROP(BANNED, NONE), .family = 6, ICMP6("\x80"));
	EXPECT(g, "an ICMP error passes", PASS(ICMP_ERROR, NONE), .family = 4, ICMP("\x03"));
	EXPECT(g, "packet too big passes", PASS(ICMP_ERROR, NONE), .family = 6, ICMP6("\x02"));
	EXPECT(g, "neighbour discovery passes", PASS(NEIGHBOUR, NONE), .family = 6, ICMP6("\x87"));
	EXPECT(g, "DHCP passes", PASS(DHCP, NONE), .family = 4, .udp = true, .sport = 67, .dport = 68);
	EXPECT(g, "another of the banned /64", DROP(BANNED, SMTP), .family = 6, .src = "2001:db8:7:0:ffff::1");
	EXPECT(g, "beside the banned /64", PASS(ALLOWED, SMTP), .family = 6, .src = "2001:db8:7:1::1");
	rig_policy(g, rows_sentences_observe);
	EXPECT(g, "observing, it passes and is counted", DROP(BANNED, SMTP), .family = 4);
	end(g);
}

static void a_ban_of_ports_cuts_tcp_to_these_ports(void **state)
{
	struct rig *g = begin(MANY);
	uint16_t mail = ports(g, 0, (struct port_range[]){ { 25, 25 }, { 465, 587 } }, 2);

	(void)state;
	ban_key(g, key_of("198.51.100.7"), 600, 7, mail);
	ban_key(g, key_of("2001:db8:7::7/128"), 600, 7, mail);
	for (unsigned int family = 4; family <= 6; family += 2) {
		EXPECT(g, "a port of the ban", DROP(BANNED, SMTP), .family = family);
		EXPECT(g, "an open connection there", DROP(BANNED, SMTP), .family = family, .flags = ACK);
		EXPECT(g, "the last of its range", DROP(BANNED, SUBMISSION), .family = family, .dport = 587, .flags = ACK);
		EXPECT(g, "another port", PASS(ALLOWED, RANGE(8000)), .family = family, .dport = 8000);
		EXPECT(g, "UDP", PASS(NOT_TCP, NONE), .family = family, .udp = true, .dport = 25);
	}
	EXPECT(g, "echo", PASS(NOT_TCP, NONE), .family = 4, ICMP("\x08"));
	end(g);
}

static void exempt_and_admin_sources_are_not_cut(void **state)
{
	struct rig *g = begin(MANY);

	(void)state;
	ban(g, "192.0.2.0/24", FOREVER);
	ban(g, "2001:db8:2::/48", FOREVER);
	for (unsigned int family = 4; family <= 6; family += 2) {
		EXPECT(g, "an exempt source", PASS(ALLOWED, SMTP), .family = family, .from = EXEMPT);
		EXPECT(g, "admin", PASS(ADMIN, SSH), .family = family, .from = OFFICE, .dport = 22);
		EXPECT(g, "admin, an open connection: the tracker's business", DROP(NO_CONNECTION, SSH), .family = family,
		       .from = OFFICE, .dport = 22, .flags = ACK);
		EXPECT(g, "an admin's other ports", DROP(BANNED, SMTP), .family = family, .from = OFFICE);
		EXPECT(g, "an admin's UDP", DROP(BANNED, NONE), .family = family, .from = OFFICE, .udp = true, .dport = 53);
		EXPECT(g, "banned comes before blocked", DROP(BANNED, SMTP), .family = family, .from = ADMIN_BLOCKED);
	}
	end(g);
}

static void a_banned_ipv4_address_is_banned_inside_ipv6(void **state)
{
	struct rig *g = begin(MANY);

	(void)state;
	ban(g, "198.51.100.0/24", FOREVER);
	EXPECT(g, "6to4", DROP(BANNED, SMTP), .family = 6, .src = "2002:c633:6407::1");
	EXPECT(g, "NAT64", DROP(BANNED, SMTP), .family = 6, .src = "64:ff9b::198.51.100.7", .flags = ACK);
	EXPECT(g, "6to4 of another", PASS(ALLOWED, SMTP), .family = 6, .src = "2002:c633:6507::1");
	EXPECT(g, "it grants nothing: a banned 6to4 address is banned", PASS(ALLOWED, SMTP), .family = 6,
	       .src = "2002:c000:20a::1");
	ban(g, "2002:c000:20a::/48", FOREVER);
	EXPECT(g, "6to4 banned as IPv6", DROP(BANNED, SMTP), .family = 6, .src = "2002:c000:20a::1");
	end(g);
}

/* The clock is read at the packet: nobody runs for a ban to end. */
static void a_ban_ends_at_its_moment_and_not_before(void **state)
{
	struct rig *g = begin(MANY);

	(void)state;
	g->state->test_jiffies += 77; /* not at the turn of a second */
	ban(g, "198.51.100.7", 10);
	ban(g, "198.51.100.66", FOREVER);
	g->state->test_jiffies += 10 * RIG_SECOND - 1;
	EXPECT(g, "in its last jiffy", DROP(BANNED, SMTP), .family = 4);
	g->state->test_jiffies++;
	EXPECT(g, "at its end", PASS(ALLOWED, SMTP), .family = 4);
	EXPECT(g, "for ever", DROP(BANNED, SMTP), .family = 4, .from = DENIED);
	g->state->test_jiffies += 100ull * 366 * 86400 * RIG_SECOND;
	EXPECT(g, "for ever is a long time", DROP(BANNED, SMTP), .family = 4, .from = DENIED);
	EXPECT(g, "what ended stays ended", PASS(ALLOWED, SMTP), .family = 4);
	assert_int_equal(ban(g, "198.51.100.7", 10), MXDP_BAN_AGAIN);
	EXPECT(g, "banned again", DROP(BANNED, SMTP), .family = 4);
	rig_seconds(g, 5);
	assert_int_equal(ban(g, "198.51.100.7", 10), MXDP_BAN_AGAIN);
	rig_seconds(g, 9);
	EXPECT(g, "prolonged", DROP(BANNED, SMTP), .family = 4);
	rig_seconds(g, 1);
	EXPECT(g, "to its new end", PASS(ALLOWED, SMTP), .family = 4);
	end(g);
}

static void of_several_bans_of_one_source_each_holds_by_itself(void **state)
{
	struct rig *g = begin(MANY);
	uint16_t imap = ports(g, 0, (struct port_range[]){ { 8000, 8000 } }, 1);

	(void)state;
	assert_int_equal(ban_key(g, key_of("198.51.100.7"), 10, 7, 0), MXDP_BAN_MADE);
	assert_int_equal(ban_key(g, key_of("198.51.100.7"), 20, 8, 0), MXDP_BAN_MADE);
	assert_int_equal(ban_key(g, key_of("198.51.100.7"), 30, 8, imap), MXDP_BAN_MADE);
	assert_int_equal(ban_key(g, key_of("198.51.100.0/24"), 40, 7, imap), MXDP_BAN_MADE);
	rig_seconds(g, 10);
	EXPECT(g, "the first has ended, the second has not", DROP(BANNED, SMTP), .family = 4);
	rig_seconds(g, 10);
	EXPECT(g, "that too", PASS(ALLOWED, SMTP), .family = 4);
	EXPECT(g, "the third is of another port", DROP(BANNED, RANGE(8000)), .family = 4, .dport = 8000);
	rig_seconds(g, 10);
	EXPECT(g, "the network is banned there longer", DROP(BANNED, RANGE(8000)), .family = 4, .dport = 8000);
	rig_seconds(g, 10);
	EXPECT(g, "all have ended", PASS(ALLOWED, RANGE(8000)), .family = 4, .dport = 8000);
	end(g);
}

/* A tag is 30 bits: another's may be the same. */
static void a_tag_alone_bans_nobody(void **state)
{
	struct rig *g = begin(MANY);
	struct mxdp_ban_key k = key_of("198.51.100.7");
	struct mxdp_ban_spot spot;
	unsigned int cases = 0;

	(void)state;
	ban(g, "203.0.113.99", FOREVER); /* so that /32 is in use */
	spot = mxdp_ban_spot(g->ban_head->key, &k, g->ban_lines);
	for (unsigned int way = 0; way < MXDP_BAN_WAYS; way++) {
		struct mxdp_banned *r = &g->banned[spot.line * MXDP_BAN_WAYS + way];

		if (g->bans[spot.line].word[way])
			continue;
		*r = (struct mxdp_banned){ .lo = k.lo, .expires_ns = MXDP_BAN_FOREVER_NS, .len = 32, .owner = 1 };
		switch (cases++) {
		case 0:
			r->lo ^= 1;
			break;
		case 1:
			r->hi = 1;
			break;
		case 2:
			r->family = 1;
			break;
		case 3:
			r->len = 31;
			break;
		case 4:
			r->expires_ns = now_ns(g);
			break;
		case 5:
			r->ports = ports(g, 1, (struct port_range[]){ { 26, 65535 } }, 1);
			break;
		default:
			continue;
		}
		g->bans[spot.line].word[way] = mxdp_ban_word(spot.tag, MXDP_BAN_FOREVER);
	}
	assert_true(cases >= 6);
	EXPECT(g, "six others of the same tag", PASS(ALLOWED, SMTP), .family = 4);
	end(g);
}

static void address(char out[16], unsigned int i)
{
	snprintf(out, 16, "10.%u.%u.%u", i >> 16, i >> 8 & 255, i & 255);
}

static void a_full_line_spills_into_the_next_ones_and_no_further(void **state)
{
	struct rig *g = begin(FEW);
	char a[16];

	(void)state;
	for (unsigned int i = 0; i < FULL; i++) {
		address(a, i);
		assert_int_equal(ban(g, a, i == 3 ? 10 : FOREVER), MXDP_BAN_MADE);
	}
	for (unsigned int i = 0; i < FULL; i++) {
		address(a, i);
		EXPECT(g, a, DROP(BANNED, SMTP), .family = 4, .src = a);
	}
	EXPECT(g, "a stranger", PASS(ALLOWED, SMTP), .family = 4);
	assert_int_equal(ban(g, "198.51.100.7", 10), MXDP_BAN_NO_ROOM);
	assert_int_equal(g->ban_head->used[0][32], FULL);
	EXPECT(g, "a ban that found no room", PASS(ALLOWED, SMTP), .family = 4);
	rig_seconds(g, 10);
	assert_int_equal(ban(g, "198.51.100.7", 10), MXDP_BAN_NO_ROOM); /* its word may outlive a ban by less than a second */
	rig_seconds(g, 1);
	assert_int_equal(ban(g, "198.51.100.7", 10), MXDP_BAN_MADE);
	assert_int_equal(g->ban_head->used[0][32], FULL);
	EXPECT(g, "in the place of one that has ended", DROP(BANNED, SMTP), .family = 4);
	address(a, 3);
	EXPECT(g, "which is gone", PASS(ALLOWED, SMTP), .family = 4, .src = a);
	end(g);
}

/* A ban by hand, `depth` lines behind its own, which say that they spilled: where the table is crowded, writers put it there. */
static struct mxdp_banned *spilled_ban(struct rig *g, const char *prefix, unsigned int depth, uint16_t only)
{
	struct mxdp_ban_key k = key_of(prefix);
	struct mxdp_ban_spot at = mxdp_ban_spot(g->ban_head->key, &k, g->ban_lines);
	struct mxdp_banned *r;

	memset(g->bans, 0, g->ban_lines * sizeof(*g->bans));
	for (unsigned int i = 0; i < depth; i++) {
		g->bans[at.line].word[0] = MXDP_BAN_SPILLED;
		mxdp_ban_on(&at, g->ban_lines);
	}
	g->bans[at.line].word[5] = mxdp_ban_word(at.tag, MXDP_BAN_FOREVER);
	r = &g->banned[at.line * MXDP_BAN_WAYS + 5];
	*r = (struct mxdp_banned){ .hi = k.hi, .lo = k.lo, .len = k.len, .family = k.family, .owner = 7, .ports = only,
				   .expires_ns = MXDP_BAN_FOREVER_NS };
	g->ban_head->lengths[k.family] = k.len + 1;
	g->state->bans = 1;
	return r;
}

/* Whatever a ban says, it says so on the last line that it may lie on, and not behind that. */
static void spilled_lines_are_walked_to_the_last(void **state)
{
	static const struct {
		const char *prefix, *src;
		unsigned int family;
	} cases[] = {
		{ "198.51.100.7", "198.51.100.7", 4 },
		{ "198.51.100.0/24", "198.51.100.7", 4 },
		{ "2001:db8:7::/64", "2001:db8:7::7", 6 },
		{ "2001:db8:7::7/128", "2001:db8:7::7", 6 },
		{ "198.51.100.0/24", "2002:c633:6407::1", 6 },
		{ "198.51.100.7", "64:ff9b::198.51.100.7", 6 },
	};
	struct rig *g = begin(MANY);
	const uint16_t only[] = { 0, ports(g, 0, &(struct port_range){ 25, 25 }, 1), ports(g, 1, &(struct port_range){ 26, 65535 }, 1) };
	static struct crafted f;

	(void)state;
	for (unsigned int i = 0; i < sizeof(cases) / sizeof(*cases) * 3 * (MXDP_BAN_REACH + 2); i++) {
		unsigned int depth = i % (MXDP_BAN_REACH + 2), said = i / (MXDP_BAN_REACH + 2) % 3, n = i / (MXDP_BAN_REACH + 2) / 3;
		bool bites = depth < MXDP_BAN_REACH && said != 2;
		struct mxdp_banned *r = spilled_ban(g, cases[n].prefix, depth, only[said]);
		struct craft c = { .family = cases[n].family, .src = cases[n].src };
		struct mxdp_probe p = { .key = RIG_PROBE_KEY };
		char what[80];

		snprintf(what, sizeof(what), "%s, a ban of %s %u lines on, ports %u", c.src, cases[n].prefix, depth, said);
		if (bites)
			expect(g, what, c, SAYS(DROP(BANNED, SMTP)));
		else
			expect(g, what, c, SAYS(PASS(ALLOWED, SMTP)));
		assert_int_equal(r->hits, bites);
		craft(&c, &f);
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len, .probe = &p }), bites ? XDP_DROP : XDP_PASS);
		assert_int_equal(p.reason, bites ? MXDP_R_BANNED : MXDP_R_ALLOWED);
		assert_int_equal(r->hits, bites);
	}
	end(g);
}

/* One who is killed between claim and ban leaves a slot that is nobody's, for a minute. */
static void a_claim_bans_nobody_and_ends_by_itself(void **state)
{
	struct rig *g = begin(FEW);
	char a[16];

	(void)state;
	for (unsigned int i = 0; i < FULL - 1; i++) {
		address(a, i);
		assert_int_equal(ban(g, a, FOREVER), MXDP_BAN_MADE);
	}
	for (unsigned int i = 0; i < FULL; i++)
		if (!(g->bans[i / 8].word[i % 8] & ~MXDP_BAN_SPILLED))
			g->bans[i / 8].word[i % 8] |= mxdp_ban_word(MXDP_BAN_CLAIM, now_ns(g) / MXDP_BAN_SECOND_NS + MXDP_BAN_CLAIM_SECONDS);
	assert_int_equal(ban(g, "198.51.100.7", FOREVER), MXDP_BAN_NO_ROOM);
	rig_seconds(g, MXDP_BAN_CLAIM_SECONDS);
	assert_int_equal(ban(g, "198.51.100.7", FOREVER), MXDP_BAN_NO_ROOM);
	rig_seconds(g, 1);
	assert_int_equal(ban(g, "198.51.100.7", FOREVER), MXDP_BAN_MADE);
	EXPECT(g, "banned in its place", DROP(BANNED, SMTP), .family = 4);
	end(g);
}

static void eight_lengths_and_no_more(void **state)
{
	struct rig *g = begin(MANY);
	char a[32];

	(void)state;
	for (unsigned int len = 24; len < 32; len++) {
		snprintf(a, sizeof(a), "10.%u.0.0/%u", len, len);
		assert_int_equal(ban(g, a, FOREVER), MXDP_BAN_MADE);
	}
	assert_int_equal(ban(g, "198.51.100.7", FOREVER), MXDP_BAN_NO_LENGTH);
	assert_int_equal(g->ban_head->used[0][32], 0);
	EXPECT(g, "a ninth length", PASS(ALLOWED, SMTP), .family = 4);
	for (unsigned int len = 24; len < 32; len++) {
		snprintf(a, sizeof(a), "10.%u.0.1", len);
		EXPECT(g, a, DROP(BANNED, SMTP), .family = 4, .src = a);
	}
	assert_int_equal(ban(g, "2001:db8:7::/64", FOREVER), MXDP_BAN_MADE);
	EXPECT(g, "the other family has lengths of its own", DROP(BANNED, SMTP), .family = 6);
	end(g);
}

static struct mxdp_banned *only_ban(struct rig *g)
{
	for (size_t i = 0; i < g->ban_lines * MXDP_BAN_WAYS; i++)
		if (g->bans[i / 8].word[i % 8])
			return &g->banned[i];
	fail();
	return NULL;
}

static void hits_are_counted_and_a_probe_is_none(void **state)
{
	struct rig *g = begin(FEW);
	struct mxdp_probe p = { .key = RIG_PROBE_KEY };
	static struct crafted f;

	(void)state;
	ban(g, "198.51.100.7", FOREVER);
	for (int i = 0; i < 5; i++)
		EXPECT(g, "cut", DROP(BANNED, SMTP), .family = 4);
	assert_int_equal(only_ban(g)->hits, 5);
	craft(&(struct craft){ .family = 4 }, &f);
	assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len, .probe = &p }), XDP_DROP);
	assert_int_equal(p.reason, MXDP_R_BANNED);
	assert_int_equal(only_ban(g)->hits, 5);
	end(g);
}

static void an_open_connection_is_cut_at_the_next_packet(void **state)
{
	struct rig *g = begin(MANY);
	int listener;

	(void)state;
	for (unsigned int family = 4; family <= 6; family += 2) {
		struct peer p = { .family = family, .port = 10000 + family, .host_port = 25, .service = "25", .fd = -1 };
		struct craft c;

		listener = wire_listen(family, 25, 8);
		peer_opens(g, &p, listener);
		c = peer_says(&p, ACK);
		peer_sends(g, &p, "the kernel is asked", &c, SAYS(PASS(LIVE, HERE)));
		peer_sends(g, &p, "a lease", &c, SAYS(PASS(LEASE, HERE)));
		ban(g, family == 4 ? "198.51.100.7" : "2001:db8:7::/64", 10);
		peer_sends(g, &p, "the next packet", &c, SAYS(DROP(BANNED, HERE)));
		rig_seconds(g, 10);
		peer_sends(g, &p, "behind the end of the ban the connection is as it was", &c, SAYS(PASS(LIVE, HERE)));
		peer_abort(&p);
		wire_drain();
		close(listener);
	}
	end(g);
}

/* ---- against a plain list ---- */

struct plain {
	struct mxdp_ban_key k;
	uint64_t expires_ns;
	uint16_t lo, hi; /* lo 0: any */
	uint16_t owner;
};

static bool plainly_banned(const struct plain *v, size_t n, struct mxdp_ban_key who, unsigned int port, uint64_t now)
{
	for (size_t i = 0; i < n; i++) {
		struct mxdp_ban_key k = who;

		if (v[i].k.family != who.family || v[i].expires_ns <= now || (v[i].lo && (port < v[i].lo || port > v[i].hi)))
			continue;
		k.len = v[i].k.len;
		mxdp_ban_mask(&k);
		if (k.hi == v[i].k.hi && k.lo == v[i].k.lo)
			return true;
	}
	return false;
}

/* The same ban again is one, with the new end. */
static size_t plainly_once(struct plain *v, size_t n)
{
	struct plain *last = &v[n - 1];

	for (size_t i = 0; i + 1 < n; i++)
		if (!memcmp(&v[i].k, &last->k, sizeof(last->k)) && v[i].owner == last->owner && v[i].lo == last->lo) {
			v[i] = *last;
			return n - 1;
		}
	return n;
}

/* Few bits vary, so that chance meets the bans and what lies beside them. */
static struct mxdp_ban_key chance_source(uint64_t *seed, unsigned int family)
{
	uint64_t r = rig_random(seed);

	if (!family)
		return (struct mxdp_ban_key){ .lo = 0x0a000000 | (r & 0x00030303), .len = 32 };
	return (struct mxdp_ban_key){ .hi = 0x20010db800000000ULL | (r & 0x30303), .lo = r >> 32 & 3, .family = 1, .len = 128 };
}

static void put_source(struct crafted *f, const struct mxdp_ban_key *k)
{
	for (int i = 0; i < 4 && !k->family; i++)
		f->b[f->l3 + 12 + i] = k->lo >> (24 - 8 * i);
	for (int i = 0; i < 8 && k->family; i++) {
		f->b[f->l3 + 8 + i] = k->hi >> (56 - 8 * i);
		f->b[f->l3 + 16 + i] = k->lo >> (56 - 8 * i);
	}
}

static void chance_agrees_with_a_plain_list(void **state)
{
	static const unsigned int lens[2][5] = { { 32, 31, 30, 24, 16 }, { 128, 127, 64, 56, 48 } };
	enum { BANS = 400, PACKETS = 20000 };
	static struct plain v[BANS];
	static struct crafted f[2];
	uint64_t seed = rig_seed();
	struct rig *g = begin(MANY);
	size_t n = 0, cut = 0;

	(void)state;
	craft(&(struct craft){ .family = 4 }, &f[0]);
	craft(&(struct craft){ .family = 6 }, &f[1]);
	for (size_t i = 0; i < PACKETS; i++) {
		unsigned int family = rig_random(&seed) & 1, port = rig_random(&seed) & 1 ? 25 : 8000;
		struct mxdp_ban_key k = chance_source(&seed, family);
		int got;

		if (i % 50 == 0 && n < BANS) {
			struct plain *p = &v[n++];
			uint32_t seconds = 1 + rig_random(&seed) % 40;

			*p = (struct plain){ .k = k, .expires_ns = now_ns(g) + seconds * MXDP_BAN_SECOND_NS };
			p->k.len = lens[family][rig_random(&seed) % 5];
			mxdp_ban_mask(&p->k);
			if (rig_random(&seed) & 1)
				p->lo = p->hi = rig_random(&seed) & 1 ? 25 : 8000;
			p->owner = 7 + rig_random(&seed) % 3;
			assert_true(ban_key(g, p->k, seconds, p->owner,
					    p->lo ? ports(g, p->lo == 25, (struct port_range[]){ { p->lo, p->hi } }, 1) : 0) >= 0);
			n = plainly_once(v, n);
		}
		g->state->test_jiffies += rig_random(&seed) % 60;
		put_source(&f[family], &k);
		f[family].b[f[family].l4 + 2] = port >> 8;
		f[family].b[f[family].l4 + 3] = port;
		got = rig_run(g, &(struct rig_run){ .frame = f[family].b, .len = f[family].len });
		cut += got == XDP_DROP;
		/* 2001:db8::/32 may not open 8000, banned or not */
		if (family && port == 8000)
			assert_int_equal(got, XDP_DROP);
		else
			assert_int_equal(got, plainly_banned(v, n, k, port, now_ns(g)) ? XDP_DROP : XDP_PASS);
	}
	printf("  %zu bans, %d packets, %zu cut\n", n, PACKETS, cut);
	assert_in_range(cut, PACKETS / 50, PACKETS - PACKETS / 50);
	assert_true(rig_adds_up_unseen(g));
}

/* ---- the kernel's own bans ---- */

struct wish {
	uint64_t hi, lo;
	uint32_t family, len, seconds;
	int said;
};

static struct ban_insert_bpf *kernel_side(const struct rig *g)
{
	struct ban_insert_bpf *s = ban_insert_bpf__open();

	assert_non_null(s);
	s->rodata->cfg = g->skel->rodata->cfg;
	assert_int_equal(bpf_map__reuse_fd(s->maps.data_state, bpf_map__fd(g->skel->maps.data_state)), 0);
	assert_int_equal(bpf_map__reuse_fd(s->maps.bss, bpf_map__fd(g->skel->maps.bss)), 0);
	assert_int_equal(bpf_map__reuse_fd(s->maps.bans, bpf_map__fd(g->skel->maps.bans)), 0);
	assert_int_equal(bpf_map__reuse_fd(s->maps.banned, bpf_map__fd(g->skel->maps.banned)), 0);
	assert_int_equal(bpf_map__reuse_fd(s->maps.data_bans, bpf_map__fd(g->skel->maps.data_bans)), 0);
	assert_int_equal(ban_insert_bpf__load(s), 0);
	return s;
}

static int kernel_bans(const struct ban_insert_bpf *s, struct mxdp_ban_key k, uint32_t seconds)
{
	struct wish w = { .hi = k.hi, .lo = k.lo, .family = k.family, .len = k.len, .seconds = seconds };
	LIBBPF_OPTS(bpf_test_run_opts, t, .ctx_in = &w, .ctx_size_in = sizeof(w));

	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(s->progs.ban), &t), 0);
	return w.said;
}

static void the_kernel_bans_by_the_same_rules(void **state)
{
	struct rig *g = begin(FEW);
	struct ban_insert_bpf *s = kernel_side(g);
	uint32_t epoch = g->state->epoch, voided = g->state->voided;
	struct mxdp_ban_key loose = key_of("198.51.100.7");

	(void)state;
	loose.len = 24;
	assert_int_equal(kernel_bans(s, loose, 10), MXDP_BAN_MADE);
	assert_int_equal(g->state->bans, 1);
	assert_int_equal(g->state->epoch, epoch);
	assert_int_equal(g->state->voided, voided + 1);
	EXPECT(g, "made by the kernel, masked", DROP(BANNED, SMTP), .family = 4, .from = DENIED);
	assert_int_equal(only_ban(g)->owner, MXDP_BAN_OWNER_LIMIT);
	assert_int_equal(only_ban(g)->reason, MXDP_BAN_REASON_LIMIT);
	assert_int_equal(kernel_bans(s, loose, 5), MXDP_BAN_AGAIN);
	rig_seconds(g, 9);
	EXPECT(g, "a shorter one shortens nothing", DROP(BANNED, SMTP), .family = 4);
	assert_int_equal(kernel_bans(s, loose, 5), MXDP_BAN_AGAIN);
	rig_seconds(g, 4);
	EXPECT(g, "a longer one prolongs", DROP(BANNED, SMTP), .family = 4);
	rig_seconds(g, 2);
	EXPECT(g, "and ends", PASS(ALLOWED, SMTP), .family = 4);
	assert_int_equal(kernel_bans(s, key_of("2001:db8:7::/64"), FOREVER), MXDP_BAN_MADE);
	EXPECT(g, "IPv6", DROP(BANNED, SMTP), .family = 6);
	loose.len = 33;
	assert_int_equal(kernel_bans(s, loose, 5), MXDP_BAN_NO_LENGTH);
	loose.len = 0;
	assert_int_equal(kernel_bans(s, loose, 5), MXDP_BAN_NO_LENGTH);
	for (unsigned int i = 0; i < FULL; i++)
		kernel_bans(s, (struct mxdp_ban_key){ .lo = 0x0a000000 + i, .len = 32 }, FOREVER);
	assert_int_equal(g->ban_head->refused, 1); /* one word was of the ban that has ended */
	ban_insert_bpf__destroy(s);
	end(g);
}

struct writer {
	struct rig *g;
	struct ban_insert_bpf *s; /* NULL: writes itself */
	unsigned int first, n, made;
};

static void *write_bans(void *arg)
{
	struct writer *w = arg;

	for (unsigned int i = 0; i < w->n; i++) {
		struct mxdp_ban_key k = { .lo = 0x0a000000 + w->first + i, .len = 32 };
		int said = w->s ? kernel_bans(w->s, k, FOREVER) : ban_key(w->g, k, FOREVER, MXDP_BAN_OWNER_LIMIT, 0);

		w->made += said == MXDP_BAN_MADE;
	}
	return NULL;
}

/* All of them write the same crowded lines at once: nobody's ban is lost, none stands in another's place. */
static void writers_at_once_lose_nothing(void **state)
{
	enum { EACH = 1500 };
	struct rig *g = begin(MANY);
	struct ban_insert_bpf *s = kernel_side(g);
	struct writer w[3] = { { g, s, 0, EACH, 0 }, { g, s, EACH, EACH, 0 }, { g, NULL, 2 * EACH, EACH, 0 } };
	static struct crafted f;
	pthread_t id[3];
	size_t taken = 0;

	(void)state;
	for (int i = 0; i < 3; i++)
		assert_int_equal(pthread_create(&id[i], NULL, write_bans, &w[i]), 0);
	for (int i = 0; i < 3; i++)
		pthread_join(id[i], NULL);
	assert_int_equal(w[0].made + w[1].made + w[2].made, 3 * EACH);
	assert_int_equal(g->ban_head->used[0][32], 3 * EACH);
	for (size_t i = 0; i < MANY; i++)
		for (unsigned int way = 0; way < MXDP_BAN_WAYS; way++)
			taken += (g->bans[i].word[way] & ~MXDP_BAN_SPILLED) != 0;
	assert_int_equal(taken, 3 * EACH);
	craft(&(struct craft){ .family = 4 }, &f);
	for (unsigned int i = 0; i < 3 * EACH; i += 3) {
		struct mxdp_ban_key k = { .lo = 0x0a000000 + i };

		put_source(&f, &k);
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }), XDP_DROP);
	}
	assert_true(rig_adds_up_unseen(g));
	EXPECT(g, "a stranger", PASS(ALLOWED, SMTP), .family = 4);
	ban_insert_bpf__destroy(s);
	end(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_ban_cuts_everything_of_its_source),
		cmocka_unit_test(a_ban_of_ports_cuts_tcp_to_these_ports),
		cmocka_unit_test(exempt_and_admin_sources_are_not_cut),
		cmocka_unit_test(a_banned_ipv4_address_is_banned_inside_ipv6),
		cmocka_unit_test(a_ban_ends_at_its_moment_and_not_before),
		cmocka_unit_test(of_several_bans_of_one_source_each_holds_by_itself),
		cmocka_unit_test(a_tag_alone_bans_nobody),
		cmocka_unit_test(a_full_line_spills_into_the_next_ones_and_no_further),
		cmocka_unit_test(spilled_lines_are_walked_to_the_last),
		cmocka_unit_test(a_claim_bans_nobody_and_ends_by_itself),
		cmocka_unit_test(eight_lengths_and_no_more),
		cmocka_unit_test(hits_are_counted_and_a_probe_is_none),
		cmocka_unit_test(an_open_connection_is_cut_at_the_next_packet),
		cmocka_unit_test(chance_agrees_with_a_plain_list),
		cmocka_unit_test(the_kernel_bans_by_the_same_rules),
		cmocka_unit_test(writers_at_once_lose_nothing),
	};

	wire_up();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
