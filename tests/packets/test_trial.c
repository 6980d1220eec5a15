// SPDX-License-Identifier: GPL-2.0-only
/* A policy on trial: the clock alone brings the one before back, and nothing that the trial vouched for outlives it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <unistd.h>
#include "rows.h"
#include "wire.h"

/* The same ports are named, so that services keep their numbers. */
#define OPEN "default deny\nallow smtp\nallow submission\n"
#define TRIAL "default deny\nallow smtp\nallow submission from 192.0.2.0/24\n"

static struct rig *g;

static uint64_t now(void)
{
	return g->state->test_jiffies;
}

static void knock(const char *what, unsigned int family, struct rig_says s)
{
	struct craft c = { .family = family, .from = STRANGER, .dport = 587 };
	struct crafted f;

	craft(&c, &f);
	rig_expect(g, what, &(struct rig_run){ .frame = f.b, .len = f.len }, family, s);
}
#define KNOCK(what, ...) do { \
		knock(what, 4, SAYS(__VA_ARGS__)); \
		knock(what, 6, SAYS(__VA_ARGS__)); \
	} while (0)

static void on_trial(uint64_t jiffies)
{
	g->state->revert_at = MXDP_REVERT_AT(g->state->epoch, now() + jiffies);
}

static void settle(void)
{
	g->state->epoch++;
	g->state->revert_at = 0;
}

static void confirm(void)
{
	g->state->epoch += 2;
	g->state->revert_at = 0;
}

static int begin(void **state)
{
	(void)state;
	g->failed = 0;
	g->state->revert_at = 0;
	return 0;
}

static int done(void **state)
{
	bool ok = rig_adds_up(g) && !g->failed;

	(void)state;
	return ok ? 0 : -1;
}

static void at_that_jiffy_the_policy_of_before_judges(void **state)
{
	(void)state;
	rig_policy(g, OPEN);
	KNOCK("before the trial", PASS(ALLOWED, SUBMISSION));
	rig_policy(g, TRIAL);
	on_trial(100);
	KNOCK("on trial", DROP(DENIED, SUBMISSION));
	g->state->test_jiffies += 99;
	KNOCK("the last jiffy of the trial", DROP(DENIED, SUBMISSION));
	g->state->test_jiffies += 1;
	KNOCK("the trial is over", PASS(ALLOWED, SUBMISSION));
	g->state->test_jiffies += 1000000;
	KNOCK("and stays so, though nobody runs", PASS(ALLOWED, SUBMISSION));
	settle();
	KNOCK("settled: the same", PASS(ALLOWED, SUBMISSION));
}

static void confirmed_in_time_the_clock_takes_nothing_back(void **state)
{
	(void)state;
	rig_policy(g, OPEN);
	rig_policy(g, TRIAL);
	on_trial(100);
	g->state->test_jiffies += 50;
	confirm();
	KNOCK("confirmed", DROP(DENIED, SUBMISSION));
	g->state->test_jiffies += 1000;
	KNOCK("confirmed, later", DROP(DENIED, SUBMISSION));
}

/* Whatever is stored first, and killed before the second: the way back holds for the epoch it was said of. */
static void the_way_back_is_of_one_epoch(void **state)
{
	(void)state;
	rig_policy(g, OPEN);
	rig_policy(g, TRIAL);
	for (int other = -3; other <= 3; other++) {
		if (!other)
			continue;
		g->state->revert_at = MXDP_REVERT_AT(g->state->epoch + other, now() - 5);
		KNOCK("over long ago, but another epoch's", DROP(DENIED, SUBMISSION));
	}
	on_trial(0);
	KNOCK("its own", PASS(ALLOWED, SUBMISSION));
	g->state->epoch += 2;
	KNOCK("the epoch alone was stored, for confirm", DROP(DENIED, SUBMISSION));
	g->state->epoch -= 1;
	KNOCK("the epoch alone was stored, for the way back", PASS(ALLOWED, SUBMISSION));
	g->state->epoch = 0xffff - 1;
	rig_policy(g, TRIAL);
	rig_policy(g, OPEN);
	on_trial(0);
	KNOCK("its last bits came round", DROP(DENIED, SUBMISSION));
}

static void a_probe_hears_the_epoch_that_judges(void **state)
{
	struct mxdp_probe p = { .key = RIG_PROBE_KEY };
	struct craft c = { .family = 4, .from = STRANGER, .dport = 587 };
	struct crafted f;

	(void)state;
	craft(&c, &f);
	rig_policy(g, OPEN);
	rig_policy(g, TRIAL);
	on_trial(0);
	assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len, .probe = &p }), XDP_PASS);
	assert_int_equal(p.reason, MXDP_R_ALLOWED);
	assert_int_equal(p.epoch, g->state->epoch + 1);
}

#define SAYS_TO_HOST(p, what, n, ...) says(p, what, n, SAYS(__VA_ARGS__))
static void says(struct peer *p, const char *what, size_t payload, struct rig_says s)
{
	struct craft c = peer_says(p, ACK | PSH);

	c.payload = payload;
	peer_sends(g, p, what, &c, s);
	if (s.verdict == XDP_PASS)
		p->next += payload;
}

static const char *stranger_blocked(unsigned int family)
{
	static char text[200];

	snprintf(text, sizeof(text), OPEN "block %s\n", craft_address(STRANGER, family));
	return text;
}

/* All within one second of leases: only the epoch can tell them apart. */
static void a_lease_of_the_trial_does_not_pass_behind_it(void **state)
{
	(void)state;
	for (unsigned int family = 4; family <= 6; family += 2) {
		struct peer p = { .family = family, .port = 20000 + family, .host_port = 25, .service = "25", .fd = -1 };
		int smtp = wire_listen(family, 25, 8);

		g->state->test_jiffies += RIG_SECOND - now() % RIG_SECOND;
		rig_policy(g, stranger_blocked(family));
		rig_policy(g, OPEN);
		on_trial(100);
		peer_opens(g, &p, smtp);
		SAYS_TO_HOST(&p, "on trial: the kernel is asked", 5, PASS(LIVE, HERE));
		SAYS_TO_HOST(&p, "on trial: the lease vouches", 5, PASS(LEASE, HERE));
		g->state->test_jiffies += 100;
		SAYS_TO_HOST(&p, "the trial is over, its lease too", 5, DROP(BLOCKED, NOPORT, "25"));
		peer_abort(&p);
		close(smtp);
		wire_drain();
		g->state->revert_at = 0;
	}
}

static void leases_of_the_way_back_hold_when_it_is_settled_and_not_when_confirmed(void **state)
{
	struct peer p = { .family = 4, .port = 21000, .host_port = 25, .service = "25", .fd = -1 };
	int smtp = wire_listen(4, 25, 8);

	(void)state;
	g->state->test_jiffies += RIG_SECOND - now() % RIG_SECOND;
	rig_policy(g, OPEN);
	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "before: the kernel is asked", 5, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "before: the lease vouches", 5, PASS(LEASE, HERE));
	rig_policy(g, OPEN);
	on_trial(100);
	SAYS_TO_HOST(&p, "on trial: no lease of before", 5, PASS(LIVE, HERE));
	g->state->test_jiffies += 100;
	SAYS_TO_HOST(&p, "over: neither lease", 5, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "over: its own lease", 5, PASS(LEASE, HERE));
	settle();
	SAYS_TO_HOST(&p, "settled: nothing changed for packets", 5, PASS(LEASE, HERE));
	rig_policy(g, OPEN);
	on_trial(0);
	SAYS_TO_HOST(&p, "another trial, over at once", 5, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "over: its own lease", 5, PASS(LEASE, HERE));
	confirm();
	SAYS_TO_HOST(&p, "confirmed after all: that lease is void", 5, PASS(LIVE, HERE));
	peer_abort(&p);
	close(smtp);
	wire_drain();
}

/* ---- an interface that the trial attached ---- */

static void expect_row(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	if (f->len <= 3000)
		rig_expect(arg, r->shows, &(struct rig_run){ .frame = f->b, .len = f->len }, family,
			   SAYS(PASS(TRIAL_OVER, NONE)));
}

static void what_the_trial_attached_is_unfiltered_behind_it(void **state)
{
	static const uint32_t epoch = 77;
	struct rig *usual = g;

	(void)state;
	g = rig_new(&(struct rig_options){ .attached_on_trial = epoch });
	g->state->epoch = epoch - 2;
	rig_policy(g, TRIAL);
	rig_policy(g, TRIAL);
	assert_int_equal(g->state->epoch, epoch);
	KNOCK("no trial runs", DROP(DENIED, SUBMISSION));
	on_trial(100);
	KNOCK("on trial", DROP(DENIED, SUBMISSION));
	g->state->test_jiffies += 100;
	for (unsigned int i = 0; i < ROWS_TABLES; i++)
		rows_each(rows_all[i], expect_row, g);
	confirm();
	KNOCK("confirmed", DROP(DENIED, SUBMISSION));
	on_trial(0);
	KNOCK("a later trial did not attach it: the policy of before judges", DROP(DENIED, SUBMISSION));
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
	g = usual;
}

static int up(void **state)
{
	(void)state;
	wire_up();
	g = rig_new(NULL);
	return 0;
}

static int down(void **state)
{
	(void)state;
	rig_free(g);
	return 0;
}

#define RUN(name) cmocka_unit_test_setup_teardown(name, begin, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN(at_that_jiffy_the_policy_of_before_judges),
		RUN(confirmed_in_time_the_clock_takes_nothing_back),
		RUN(the_way_back_is_of_one_epoch),
		RUN(a_probe_hears_the_epoch_that_judges),
		RUN(a_lease_of_the_trial_does_not_pass_behind_it),
		RUN(leases_of_the_way_back_hold_when_it_is_settled_and_not_when_confirmed),
		RUN(what_the_trial_attached_is_unfiltered_behind_it),
	};

	return cmocka_run_group_tests(tests, up, down);
}
