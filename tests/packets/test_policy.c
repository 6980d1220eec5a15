// SPDX-License-Identifier: GPL-2.0-only
/* Tables C and W without connections: see rows_policy.c; and what needs a policy of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "rows.h"

static void who_may_open_what(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rows_run(g, &rows_policy);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

/* What conntrack holds honest, written down once more: PSH, ECE and CWR say nothing. */
static bool honest(unsigned int flags)
{
	switch (flags & ~(unsigned int)(PSH | ECE | CWR)) {
	case SYN:
	case SYN | URG:
	case SYN | ACK:
	case RST:
	case RST | ACK:
	case FIN | ACK:
	case FIN | ACK | URG:
	case ACK:
	case ACK | URG:
		return true;
	}
	return false;
}

static void expect_both(struct rig *g, const char *what, struct craft c, struct rig_says s)
{
	static struct crafted f;
	char text[160];

	for (c.family = 4; c.family <= 6; c.family += 2) {
		snprintf(text, sizeof(text), "%s (IPv%u)", what, c.family);
		craft(&c, &f);
		rig_expect(g, text, &(struct rig_run){ .frame = f.b, .len = f.len }, c.family, s);
	}
}

#define EXPECT(g, what, says, ...) expect_both(g, what, (struct craft){ __VA_ARGS__ }, SAYS(says))

/* C3: all 256 of them, to an open and to a closed port. */
static void every_set_of_flags_is_judged(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g, rows_sentences);
	for (unsigned int flags = 0; flags < 256; flags++) {
		bool syn = (flags & (SYN | ACK)) == SYN;
		unsigned int said = flags ? flags : NO_FLAGS;
		char what[64];

		snprintf(what, sizeof(what), "C3 flags 0x%02x", flags);
		if (!honest(flags)) {
			EXPECT(g, what, DROP(BAD_FLAGS, SMTP), .flags = said);
			EXPECT(g, what, DROP(BAD_FLAGS, SHUT), .flags = said, .dport = 26);
		} else if (syn) {
			EXPECT(g, what, PASS(ALLOWED, SMTP), .flags = said);
			EXPECT(g, what, DROP(CLOSED, SHUT), .flags = said, .dport = 26);
		} else {
			EXPECT(g, what, DROP(NO_CONNECTION, SMTP), .flags = said);
			EXPECT(g, what, DROP(NO_CONNECTION, SHUT), .flags = said, .dport = 26);
		}
	}
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

#define FREE 25, NULL

static void under_default_allow_only_named_ports_are_governed(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g, "default allow\n"
		      "allow submission from 192.0.2.0/24 2001:db8:2::/48\n"
		      "deny imaps from 198.51.100.66 2001:db8:66::66\n"
		      "block 198.51.100.99 2001:db8:99::99\n");
	EXPECT(g, "a port no rule names", PASS(DEFAULT_ALLOW, FREE), .dport = 25);
	EXPECT(g, "an ACK there: not governed", PASS(DEFAULT_ALLOW, FREE), .flags = ACK);
	EXPECT(g, "an RST there: not governed", PASS(DEFAULT_ALLOW, FREE), .flags = RST);
	EXPECT(g, "bad flags there are bad flags", DROP(BAD_FLAGS, FREE), .flags = SYN | FIN);
	EXPECT(g, "SYN to port 0", DROP(PORT_ZERO, 0, NULL), .dport = SAY_ZERO);
	EXPECT(g, "a port no rule names, from a blocked source", DROP(BLOCKED, FREE), .from = BLOCKED);
	EXPECT(g, "an ACK there from a blocked source", DROP(BLOCKED, FREE), .from = BLOCKED, .flags = ACK);
	EXPECT(g, "a named port, allowed source", PASS(ALLOWED, SUBMISSION), .dport = 587, .from = OFFICE);
	EXPECT(g, "a named port, other source", DROP(DENIED, SUBMISSION), .dport = 587);
	EXPECT(g, "a named port, an ACK without a connection", DROP(NO_CONNECTION, SUBMISSION), .dport = 587,
	       .flags = ACK);
	EXPECT(g, "a port only denied, denied source", DROP(DENIED, 993, "993"), .dport = 993, .from = DENIED);
	EXPECT(g, "a port only denied, other source", PASS(DEFAULT_ALLOW, 993, "993"), .dport = 993);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

/* W23, W24: what a policy no longer says is gone with it, in both banks. */
static void a_new_policy_replaces_all_of_the_old(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	for (int i = 0; i < 3; i++) {
		rig_policy(g, "allow smtp\nallow imaps\nblock 198.51.100.66 2001:db8:66::66\n");
		EXPECT(g, "W24 allowed by the first", PASS(ALLOWED, 993, "993"), .dport = 993);
		EXPECT(g, "W24 blocked by the first", DROP(BLOCKED, SMTP), .from = DENIED);
		rig_policy(g, "allow smtp\n");
		EXPECT(g, "W24 no longer allowed", DROP(CLOSED, 993, NULL), .dport = 993);
		EXPECT(g, "W24 no longer blocked", PASS(ALLOWED, SMTP), .from = DENIED);
		EXPECT(g, "W24 still allowed", PASS(ALLOWED, SMTP), .dport = 25);
	}
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

/* Every port has its own counter, and only it moves. */
static void all_ports_are_counted_apart(void **state)
{
	static struct crafted f;
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g, "allow smtp\n");
	craft(&(struct craft){ .family = 4 }, &f);
	for (unsigned int port = 0; port < 65536; port++) {
		f.b[f.l4 + 2] = port >> 8;
		f.b[f.l4 + 3] = port;
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }),
				 port == 25 ? XDP_PASS : XDP_DROP);
	}
	/* by the short way */
	assert_int_equal(g->ports[26].knocked[0].packets, 1);
	assert_int_equal(g->ports[26].knocked[0].bytes, f.len);
	assert_int_equal(g->ports[26].dropped.packets, 0);
	rig_fold(g, NOPORT);
	for (unsigned int port = 0; port < 65536; port++) {
		const struct mxdp_port_count *c = &g->ports[port];

		assert_int_equal(c->passed.packets, port == 25);
		assert_int_equal(c->passed.bytes, port == 25 ? f.len : 0);
		assert_int_equal(c->dropped.packets, port != 25);
		assert_int_equal(c->dropped.bytes, port != 25 ? f.len : 0);
	}
	assert_true(rig_adds_up_unseen(g));
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_may_open_what),
		cmocka_unit_test(every_set_of_flags_is_judged),
		cmocka_unit_test(under_default_allow_only_named_ports_are_governed),
		cmocka_unit_test(a_new_policy_replaces_all_of_the_old),
		cmocka_unit_test(all_ports_are_counted_apart),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
