// SPDX-License-Identifier: GPL-2.0-only
/* What an `allow` says of how much, packet by packet, by a clock that is set. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <mxdp/source.h>
#include "rows.h"

static struct rig *g;
static struct crafted f;

static uint64_t ticks_per_second(void)
{
	struct timespec res;

	clock_getres(CLOCK_MONOTONIC_COARSE, &res);
	return (1000000000ull + res.tv_nsec / 2) / res.tv_nsec;
}

static void later(double seconds)
{
	g->state->test_jiffies += (uint64_t)(seconds * ticks_per_second() + 0.5);
}

static void aim(const char *from, unsigned int port)
{
	craft(&(struct craft){ .family = strchr(from, ':') ? 6 : 4, .src = from, .dport = port }, &f);
}

static bool passes(const char *from, unsigned int port)
{
	aim(from, port);
	return rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }) == XDP_PASS;
}

/* How many of n SYNs at once pass. */
static unsigned int passed(const char *from, unsigned int port, unsigned int n)
{
	unsigned int yes = 0;

	aim(from, port);
	while (n--)
		yes += rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }) == XDP_PASS;
	return yes;
}

static uint64_t counted(int reason, bool observed)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < MXDP_COUNTERS_PER_ROW; i++)
		if ((int)(i % MXDP_REASON_SLOTS) == reason && i / MXDP_REASON_SLOTS % 2 == observed)
			sum += g->counters[i].packets;
	return sum;
}

/* One program for all: a load is long where the machine is emulated. */
static int begin(void **state)
{
	(void)state;
	if (!g)
		g = rig_new(NULL);
	memset(g->gates, 0, MXDP_GATE_ALL * sizeof(*g->gates));
	memset(g->conns, 0, MXDP_CONN_LINES(g->lease_lines) * sizeof(*g->conns));
	memset(g->counters, 0, MXDP_COUNTERS_PER_ROW * sizeof(*g->counters));
	memset(g->ports, 0, 65536 * sizeof(*g->ports));
	g->state->test_jiffies = 1000 * RIG_SECOND;
	g->sent = g->sent_bytes = 0;
	return 0;
}

static int end(void **state)
{
	bool ok = rig_adds_up_unseen(g) && !g->failed;

	(void)state;
	g->failed = 0;
	return ok ? 0 : -1;
}

static int done(void **state)
{
	(void)state;
	rig_free(g);
	return 0;
}

static const char *const hosts[] = { "198.51.100.1", "2001:db8:1:1::1" };

static void a_burst_is_exact_and_comes_back_at_the_rate(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 30/min burst 60\n");
	for (int i = 0; i < 2; i++) {
		assert_int_equal(passed(hosts[i], 587, 100), 60);
		later(1.9);
		assert_int_equal(passed(hosts[i], 587, 3), 0);
		later(0.1);
		assert_int_equal(passed(hosts[i], 587, 3), 1);
		later(20);
		assert_int_equal(passed(hosts[i], 587, 30), 10);
		later(1000);
		assert_int_equal(passed(hosts[i], 587, 100), 60);
	}
	assert_int_equal(counted(MXDP_R_ALLOWED, false), 2 * 131);
	assert_int_equal(counted(MXDP_R_OVER_RATE, false), 2 * (40 + 3 + 2 + 20 + 40));
	rig_policy(g, "default deny\nallow submission limit 1/s\n");
	assert_int_equal(passed("198.51.100.9", 587, 5), 1);
}

/* Sends more than may come, evenly, and counts what gets through. */
static void rate_of(const char *sentence, double per_second, double seconds, unsigned int burst)
{
	uint64_t hz = ticks_per_second(), from = g->state->test_jiffies;
	double expected = per_second * seconds;
	unsigned int offered = 3 * expected, yes = 0;
	char text[128];

	snprintf(text, sizeof(text), "default deny\nallow submission %s\n", sentence);
	rig_policy(g, text);
	assert_int_equal(passed("198.51.100.1", 587, burst + 3), burst);
	for (unsigned int i = 1; i <= offered; i++) {
		g->state->test_jiffies = from + (uint64_t)(seconds * hz * i / offered);
		yes += rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }) == XDP_PASS;
	}
	if (yes < 0.98 * expected || yes > 1.02 * expected)
		fail_msg("%s: %u in %.0f s, not %.0f", sentence, yes, seconds, expected);
	later(100000);
}

static void a_rate_is_kept_within_two_percent(void **state)
{
	(void)state;
	rate_of("limit 30/min", 0.5, 600, 30);
	rate_of("limit 30/min burst 1", 0.5, 1200, 1);
	rate_of("limit 7/s", 7, 300, 7);
	rate_of("limit 10/s burst 100", 10, 120, 100);
	rate_of("limit 15/5s", 3, 300, 15);
	rate_of("limit 100/h burst 5", 100 / 3600., 36000, 5);
	rate_of("limit 1000/s burst 10", 1000, 2, 10);
	rate_of("limit 999/s", 999, 2, 999);
	rate_of("global-limit 3333/s burst 100", 3333, 1, 100);
	rate_of("global-limit 20000/s burst 1000", 20000, 0.3, 1000);
	rate_of("global-limit 90/min burst 2", 1.5, 400, 2);
}

static void sources_have_budgets_of_their_own(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 5/min\nallow imaps limit 5/min per /24 /56\n");
	assert_int_equal(passed("198.51.100.1", 587, 9), 5);
	assert_int_equal(passed("198.51.100.2", 587, 9), 5);
	assert_int_equal(passed("2001:db8:1:1::1", 587, 3), 3);
	assert_int_equal(passed("2001:db8:1:1:ffff::1", 587, 9), 2); /* one /64 */
	assert_int_equal(passed("2001:db8:1:2::1", 587, 9), 5);
	assert_int_equal(passed("198.51.100.1", 993, 3), 3);
	assert_int_equal(passed("198.51.100.200", 993, 9), 2);
	assert_int_equal(passed("198.51.101.1", 993, 9), 5);
	assert_int_equal(passed("2001:db8:1:100::1", 993, 4), 4);
	assert_int_equal(passed("2001:db8:1:1ff::1", 993, 9), 1);
	assert_int_equal(passed("2001:db8:1:200::1", 993, 9), 5);
	rig_policy(g, "default deny\nallow submission limit 5/min per /1 /128\n");
	assert_int_equal(passed("2001:db8:1:1::1", 587, 9), 5);
	assert_int_equal(passed("2001:db8:1:1::2", 587, 9), 5);
	assert_int_equal(passed("198.51.100.1", 587, 9), 5);
	assert_int_equal(passed("203.0.113.9", 587, 9), 0);
	assert_int_equal(passed("9.0.0.1", 587, 9), 5);
}

static void the_ports_of_a_sentence_share_its_limit(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission, submissions limit 5/min\nallow imaps limit 6/min\nallow smtp\n");
	assert_int_equal(passed("198.51.100.1", 587, 3), 3);
	assert_int_equal(passed("198.51.100.1", 465, 9), 2);
	assert_int_equal(passed("198.51.100.1", 993, 9), 6);
	assert_int_equal(passed("198.51.100.1", 25, 99), 99);
}

static void a_more_specific_sentence_brings_its_limit_or_none(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nadmin submission from 203.0.113.1\nexempt 203.0.113.2\nallow submission limit 5/min\n"
		      "allow submission from 203.0.113.3 limit 9/min\nallow submission from 203.0.113.4\n");
	assert_int_equal(passed("203.0.113.1", 587, 99), 99);
	assert_int_equal(passed("203.0.113.2", 587, 99), 99);
	assert_int_equal(passed("203.0.113.3", 587, 99), 9);
	assert_int_equal(passed("203.0.113.4", 587, 99), 99);
	assert_int_equal(passed("203.0.113.5", 587, 99), 5);
	assert_int_equal(counted(MXDP_R_ADMIN, false), 99);
}

static void what_all_together_may_send_is_shared(void **state)
{
	char from[32];
	unsigned int yes = 0;

	(void)state;
	rig_policy(g, "default deny\nallow submission limit 2/min global-limit 10/s burst 20\n");
	for (int i = 0; i < 100; i++) {
		snprintf(from, sizeof(from), "198.51.100.%d", i);
		yes += passes(from, 587);
	}
	assert_int_equal(yes, 20);
	assert_int_equal(counted(MXDP_R_OVER_GLOBAL, false), 80);
	/* it cost those that were refused nothing */
	later(100);
	assert_int_equal(passed("198.51.100.99", 587, 5), 2);
	assert_int_equal(counted(MXDP_R_OVER_RATE, false), 3);
	later(100);
	assert_int_equal(passed("198.51.100.99", 587, 5), 2);
}

static void over_observe_counts_and_lets_pass(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 5/min over observe\nallow imaps global-limit 7/min over observe\n");
	assert_int_equal(passed("198.51.100.1", 587, 12), 12);
	assert_int_equal(passed("198.51.100.1", 993, 12), 12);
	assert_int_equal(counted(MXDP_R_OVER_RATE, true), 7);
	assert_int_equal(counted(MXDP_R_OVER_RATE, false), 0);
	assert_int_equal(counted(MXDP_R_OVER_GLOBAL, true), 5);
	assert_int_equal(g->ports[587].observed.packets, 7);
	assert_int_equal(g->ports[587].passed.packets, 5);
	rig_policy(g, "default deny\nobserve\nallow submission limit 5/min\n");
	assert_int_equal(passed("198.51.100.2", 587, 12), 12);
	assert_int_equal(counted(MXDP_R_OVER_RATE, true), 14);
}

/* A ban is for connections that were made: forged SYNs take nothing from anybody. */
static void under_over_ban_a_syn_costs_nothing(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 5/min connections 3 over ban 1h\n");
	assert_int_equal(passed("198.51.100.1", 587, 99), 99);
}

static void a_full_table_locks_nobody_out(void **state)
{
	uint64_t seed = 4711, due;
	unsigned int shut = 0;
	char from[32];

	(void)state;
	rig_policy(g, "default deny\nallow submission limit 3/h\n");
	assert_int_equal(passed("192.0.2.1", 587, 9), 3); /* held, and far from its time */
	/* as 130,000 strangers leave it, each after one SYN */
	due = (g->state->test_jiffies + 1200 * ticks_per_second()) * 1024 << MXDP_GATE_TAG_BITS;
	for (unsigned int i = 0; i < 8 * MXDP_GATE_LINES; i++)
		if (!g->gates[i / 8].word[i % 8])
			g->gates[i / 8].word[i % 8] = due | rig_random(&seed) >> 40;
	aim("10.0.0.0", 587);
	for (unsigned int i = 0; i < 20000; i++) {
		f.b[f.l3 + 13] = i >> 16;
		f.b[f.l3 + 14] = i >> 8;
		f.b[f.l3 + 15] = i;
		shut += rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }) != XDP_PASS;
	}
	/* a tag has 24 bits: a stranger is now and then taken for another */
	assert_in_range(shut, 0, 3);
	for (int i = 0; i < 200; i++) {
		snprintf(from, sizeof(from), "203.0.112.%d", i);
		if (passed(from, 587, 5) != 3)
			fail_msg("%s is shut out", from);
	}
	/* whoever is nearest to his time made way, not who is held */
	assert_int_equal(passed("192.0.2.1", 587, 9), 0);
}

static void a_reload_gives_no_second_burst(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 5/min\n");
	assert_int_equal(passed("198.51.100.1", 587, 9), 5);
	/* the same sentence said otherwise, and under another number */
	rig_policy(g, "default deny\nallow imaps limit 1/min\nallow 587 from any limit 5/60s comment \"users\"\n");
	assert_int_equal(passed("198.51.100.1", 587, 9), 0);
	rig_policy(g, "default deny\nallow submission limit 6/min\n");
	assert_int_equal(passed("198.51.100.1", 587, 9), 6);
}

/* What was a burst under a wide limit does not hold anybody for ever under a narrow one. */
static void times_beyond_every_limit_are_free(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 24/d\n");
	assert_int_equal(passed("198.51.100.1", 587, 30), 24);
	for (unsigned int i = 0; i < MXDP_GATE_LINES; i++)
		for (unsigned int k = 0; k < 8; k++)
			g->gates[i].word[k] = 0xabcdef | (g->state->test_jiffies + 80000 * ticks_per_second()) * 1024 << 24;
	rig_policy(g, "default deny\nallow submission limit 5/min\n");
	assert_int_equal(passed("198.51.100.1", 587, 30), 5);
}

static void the_clock_may_come_round(void **state)
{
	(void)state;
	g->state->test_jiffies = (1ull << 30) - ticks_per_second();
	rig_policy(g, "default deny\nallow submission limit 60/min burst 5\n");
	assert_int_equal(passed("198.51.100.1", 587, 9), 5);
	for (int i = 0; i < 10; i++) {
		later(1);
		assert_int_equal(passed("198.51.100.1", 587, 2), 1);
	}
}

static void a_probe_takes_nothing(void **state)
{
	(void)state;
	rig_policy(g, "default deny\nallow submission limit 2/min global-limit 2/min\n");
	for (int i = 0; i < 9; i++) {
		struct mxdp_probe probe = { .key = RIG_PROBE_KEY };

		aim("198.51.100.1", 587);
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len, .probe = &probe }), XDP_PASS);
		assert_int_equal(probe.reason, MXDP_R_ALLOWED);
	}
	assert_int_equal(passed("198.51.100.1", 587, 5), 2);
	for (int i = 0; i < 2; i++) {
		struct mxdp_probe probe = { .key = RIG_PROBE_KEY };

		aim(i ? "198.51.100.9" : "198.51.100.1", 587);
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len, .probe = &probe }), XDP_DROP);
		assert_int_equal(probe.reason, MXDP_R_OVER_GLOBAL);
	}
}

/* ---- connections: the table is written here as the program that hears of them would ---- */

static void hold(const char *from, const struct mxdp_limit *l, unsigned int skip, uint64_t n)
{
	uint32_t half = g->state->epoch & 1 ? g->lease_lines : 0, line;
	uint64_t hi = 0, lo = 0, hash;
	uint8_t a[16];

	if (strchr(from, ':')) {
		inet_pton(AF_INET6, from, a);
		for (int i = 0; i < 8; i++) {
			hi = hi << 8 | a[i];
			lo = lo << 8 | a[8 + i];
		}
	} else {
		inet_pton(AF_INET, from, a);
		lo = (uint32_t)a[0] << 24 | a[1] << 16 | a[2] << 8 | a[3];
	}
	hash = source_hash(g->state->limit_key, l, strchr(from, ':') != NULL, hi, lo);
	for (unsigned int i = 0;; i++) {
		line = half + ((hash + i / 8) & (g->lease_lines - 1));
		if (i < skip) {
			if (!g->conns[line].word[i % 8])
				g->conns[line].word[i % 8] = 0x5555555555000000ull;
			continue;
		}
		g->conns[line].word[i % 8] = (hash >> 24 | 1) << 24 | n;
		return;
	}
}

static void who_has_enough_open_gets_no_more(void **state)
{
	const struct mxdp_limit *l;

	(void)state;
	for (int round = 0; round < 2; round++) { /* both banks */
		rig_policy(g, "default deny\nallow submission connections 5\nallow smtp\n");
		memset(g->conns, 0, 2 * g->lease_lines * sizeof(*g->conns));
		l = &g->banks[g->state->epoch & 1].limit[1];
		for (int i = 0; i < 2; i++) {
			hold(hosts[i], l, 0, 4);
			assert_int_equal(passed(hosts[i], 587, 9), 9);
			hold(hosts[i], l, 0, 5);
			/* nobody counts yet: what lies there is of another time */
			g->banks[g->state->epoch & 1].conns = 0;
			assert_int_equal(passed(hosts[i], 587, 9), 9);
			g->banks[g->state->epoch & 1].conns = 7;
			assert_int_equal(passed(hosts[i], 587, 9), 0);
			assert_int_equal(passed(hosts[i], 25, 9), 9);
			hold(hosts[i], l, 0, 1);
			assert_int_equal(passed(hosts[i], 587, 9), 9);
			hold(hosts[i], l, 5, 1); /* more of it behind strangers, and in the lines behind */
			hold(hosts[i], l, 17, 2);
			assert_int_equal(passed(hosts[i], 587, 9), 9);
			hold(hosts[i], l, 63, 1);
			assert_int_equal(passed(hosts[i], 587, 9), 0);
		}
		assert_int_equal(passed("198.51.100.77", 587, 9), 9);
	}
	assert_int_equal(counted(MXDP_R_OVER_CONNECTIONS, false), 2 * 2 * 18);
}

/* A source of the 198.18.0.0/15 whose word lies in the line of `of`. */
static void shares_a_line(const char *of, const struct mxdp_limit *l, char name[INET_ADDRSTRLEN])
{
	const __u64 *key = g->state->limit_key;
	uint64_t line = source_hash(key, l, 0, 0, ntohl(inet_addr(of))) & (MXDP_GATE_LINES - 1);

	for (uint32_t a = 0xc6120000; a < 0xc6140000; a++) {
		struct in_addr in = { htonl(a) };

		if ((source_hash(key, l, 0, 0, a) & (MXDP_GATE_LINES - 1)) != line)
			continue;
		inet_ntop(AF_INET, &in, name, INET_ADDRSTRLEN);
		return;
	}
	fail_msg("no source shares its line");
}

/* A CPU that was held up between the clock and the line must not take who has used all of it for a word that no limit made. */
static void a_clock_a_tick_behind_forgets_nobody(void **state)
{
	char stranger[INET_ADDRSTRLEN];

	(void)state;
	rig_policy(g, "default deny\nallow submission limit 30/min burst 5\n");
	shares_a_line("198.51.100.9", &g->banks[g->state->epoch & 1].limit[1], stranger);
	assert_int_equal(passed("198.51.100.9", 587, 9), 5);
	g->state->test_jiffies--;
	assert_int_equal(passed("198.51.100.9", 587, 1), 0);
	assert_int_equal(passed(stranger, 587, 1), 1);
	g->state->test_jiffies++;
	assert_int_equal(passed("198.51.100.9", 587, 9), 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)
	const struct CMUnitTest tests[] = {
		TEST(a_burst_is_exact_and_comes_back_at_the_rate),
		TEST(a_rate_is_kept_within_two_percent),
		TEST(sources_have_budgets_of_their_own),
		TEST(the_ports_of_a_sentence_share_its_limit),
		TEST(a_more_specific_sentence_brings_its_limit_or_none),
		TEST(what_all_together_may_send_is_shared),
		TEST(over_observe_counts_and_lets_pass),
		TEST(under_over_ban_a_syn_costs_nothing),
		TEST(a_full_table_locks_nobody_out),
		TEST(a_reload_gives_no_second_burst),
		TEST(times_beyond_every_limit_are_free),
		TEST(the_clock_may_come_round),
		TEST(a_clock_a_tick_behind_forgets_nobody),
		TEST(a_probe_takes_nothing),
		TEST(who_has_enough_open_gets_no_more),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, done);
}
