// SPDX-License-Identifier: GPL-2.0-only
/*
 * Table C: connections. The sockets are the kernel's own, in a namespace of
 * ours; the world in front of them is played segment by segment, and a segment
 * reaches the kernel only when the filter lets it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include "rows.h"
#include "wire.h"

/* IPv4, IPv6, and IPv4 on a socket of both families. */
static const struct kind {
	unsigned int family, listener;
} kinds[] = { { 4, 4 }, { 6, 6 }, { 4, 46 } };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct rig *g;
static int smtp;                  /* the listener on port 25 of the kind in hand */
static unsigned int next_port = 10000;

static struct peer stranger(unsigned int family)
{
	return (struct peer){ .family = family, .port = next_port++, .host_port = 25, .service = "25", .fd = -1 };
}

static struct peer far_server(unsigned int family)
{
	return (struct peer){ .family = family, .port = 25, .host_port = 30000 + next_port++ % 20000, .fd = -1 };
}

/* p sends `payload` bytes with these flags. What the host takes in moves p on. */
static void says(struct peer *p, const char *what, unsigned int flags, size_t payload, struct rig_says s)
{
	struct craft c = peer_says(p, flags);

	c.payload = payload;
	peer_sends(g, p, what, &c, s);
	if (s.verdict == XDP_PASS)
		p->next += payload + !!(flags & FIN);
}

#define SAYS_TO_HOST(p, what, flags, payload, ...) says(p, what, flags, payload, SAYS(__VA_ARGS__))

/* A segment that is not to move p: as `says`, with numbers of its own. */
static void stray(const struct peer *p, const char *what, unsigned int flags, int seq_by, int ack_by, size_t payload,
		  struct rig_says s)
{
	struct craft c = peer_says(p, flags);

	c.seq += seq_by;
	c.ack += ack_by;
	c.payload = payload;
	peer_sends(g, p, what, &c, s);
}

#define STRAY(p, what, flags, seq_by, ack_by, payload, ...) \
	stray(p, what, flags, seq_by, ack_by, payload, SAYS(__VA_ARGS__))

static void answers(struct peer *p, size_t n)
{
	char b[512] = { 0 };

	assert_int_equal(write(p->fd, b, n), n);
	wire_drain();
	p->acked += n;
}

static void begin(const struct kind *k)
{
	rig_policy(g, rows_sentences);
	rig_seconds(g, 1);
	smtp = k ? wire_listen(k->listener, 25, 64) : -1;
}

static void end(void)
{
	if (smtp >= 0)
		close(smtp);
	smtp = -1;
	wire_drain();
}

static int done(void **state)
{
	bool ok = rig_adds_up(g) && !g->failed;

	(void)state;
	end();
	g->failed = 0;
	return ok ? 0 : -1;
}

static int fresh(void **state)
{
	(void)state;
	g->failed = 0;
	return 0;
}

/* For all kinds of sockets: listens, runs `body`. */
static void for_all_kinds(void (*body)(const struct kind *k))
{
	for (size_t i = 0; i < KINDS; i++) {
		begin(&kinds[i]);
		body(&kinds[i]);
		end();
	}
	assert_int_equal(g->failed, 0);
}

#define TEST(name) \
	static void name##_of(const struct kind *k); \
	static void name(void **state) \
	{ \
		(void)state; \
		for_all_kinds(name##_of); \
	} \
	static void name##_of(const struct kind *k)

/* ---- ordinary lives ---- */

TEST(c1_an_ordinary_connection_in)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "C1 first data: the kernel is asked", ACK | PSH, 6, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C1 more data: the lease vouches", ACK | PSH, 6, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 12);
	answers(&p, 20);
	SAYS_TO_HOST(&p, "C1 acknowledgement of the answer", ACK, 0, PASS(LEASE, HERE));
	SAYS_TO_HOST(&p, "C1 FIN never rides on a lease", FIN | ACK, 0, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 0);
	close(p.fd);
	wire_drain();
	p.acked++;
	rig_seconds(g, 1);
	SAYS_TO_HOST(&p, "C1 acknowledgement of the host's FIN", ACK, 0, PASS(LIVE, HERE));
	rig_seconds(g, 1);
	SAYS_TO_HOST(&p, "C1 an ACK behind the end", ACK, 0, DROP(NO_CONNECTION, HERE));
}

TEST(c1_an_ordinary_connection_out)
{
	struct peer p = far_server(k->family);

	wire_connect(&p);
	SAYS_TO_HOST(&p, "C1 W33 SYN-ACK to our SYN", SYN | ACK, 0, PASS(LIVE, HERE));
	p.next++;
	SAYS_TO_HOST(&p, "C1 W33 greeting of the far server: the kernel is asked", ACK | PSH, 30, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C1 more of it: the lease vouches", ACK | PSH, 30, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 60);
	answers(&p, 10);
	SAYS_TO_HOST(&p, "C1 acknowledgement of our command", ACK, 0, PASS(LEASE, HERE));
	shutdown(p.fd, SHUT_WR);
	wire_drain();
	p.acked++;
	SAYS_TO_HOST(&p, "C1 the far server ends too", FIN | ACK, 0, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 0);
	close(p.fd);
}

/* ---- the lease ---- */

TEST(a_lease_lasts_a_second_and_no_longer)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	for (int second = 0; second < 4; second++) {
		SAYS_TO_HOST(&p, "first plain segment of the second", ACK, 0, PASS(LIVE, HERE));
		SAYS_TO_HOST(&p, "second one", ACK, 0, PASS(LEASE, HERE));
		g->state->test_jiffies += RIG_SECOND - 1;
		if (g->state->test_jiffies / RIG_SECOND == (g->state->test_jiffies - RIG_SECOND + 1) / RIG_SECOND)
			SAYS_TO_HOST(&p, "last one of the second", ACK, 0, PASS(LEASE, HERE));
		g->state->test_jiffies++;
	}
	g->state->test_jiffies += 10000 * RIG_SECOND;
	SAYS_TO_HOST(&p, "C19 W18 after hours of silence", ACK, 0, PASS(LIVE, HERE));
	peer_abort(&p);
}

TEST(a_lease_ends_with_its_policy)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	for (int i = 0; i < 4; i++) { /* both banks, more than once */
		SAYS_TO_HOST(&p, "first plain segment of the epoch", ACK, 0, PASS(LIVE, HERE));
		SAYS_TO_HOST(&p, "second one", ACK, 0, PASS(LEASE, HERE));
		rig_policy(g, rows_sentences);
	}
	peer_abort(&p);
}

TEST(a_lease_is_of_one_connection)
{
	struct peer p = stranger(k->family), other;
	struct craft c;

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "its own segment", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "its own segment", ACK, 0, PASS(LEASE, HERE));
	other = p;
	other.port++;
	SAYS_TO_HOST(&other, "the same from another port", ACK, 0, DROP(NO_CONNECTION, HERE));
	other = p;
	other.address = craft_address(OFFICE, k->family);
	SAYS_TO_HOST(&other, "the same from another address", ACK, 0, DROP(NO_CONNECTION, HERE));
	other = p;
	other.host_port = 587;
	other.service = "587";
	SAYS_TO_HOST(&other, "the same to another port", ACK, 0, DROP(NO_CONNECTION, HERE));
	c = peer_says(&p, ACK);
	c.dst = k->family == 4 ? "203.0.113.26" : "2001:db8:25::26";
	peer_sends(g, &p, "the same to another address", &c, SAYS(DROP(NO_CONNECTION, HERE)));
	peer_abort(&p);
}

TEST(what_is_no_plain_segment_neither_rides_on_a_lease_nor_grants_one)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	rig_seconds(g, 1);
	STRAY(&p, "RST far behind the window", RST, -900000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "RST-ACK far behind the window", RST | ACK, -900000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "FIN far behind the window", FIN | ACK, -900000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "SYN-ACK", SYN | ACK, -900000, 0, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "none of them granted a lease", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "a plain one did", ACK, 0, PASS(LEASE, HERE));
	STRAY(&p, "RST far behind the window", RST, -900000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "FIN far behind the window", FIN | ACK, -900000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "SYN-ACK", SYN | ACK, -900000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "SYN", SYN, -900000, 0, 0, PASS(ALLOWED, HERE));
	SAYS_TO_HOST(&p, "W16 the connection goes on", ACK | PSH, 5, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 5);
	peer_abort(&p);
}

/* Eight leases have room in a table of one line; twenty connections live all the same. */
static void losing_a_lease_costs_a_lookup_never_a_connection(void **state)
{
	struct rig *wide = g;
	struct peer p[20];

	(void)state;
	g = rig_new(&(struct rig_options){ .lease_lines = 1 });
	begin(&kinds[0]);
	for (int i = 0; i < 20; i++) {
		p[i] = stranger(4);
		peer_opens(g, &p[i], smtp);
	}
	for (int round = 0; round < 10; round++) {
		for (int i = 0; i < 20; i++) {
			static struct crafted f;
			struct craft c = peer_says(&p[i], ACK);

			craft(&c, &f);
			assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }), XDP_PASS);
		}
		rig_seconds(g, round & 1);
	}
	assert_true(rig_adds_up_unseen(g));
	for (int i = 0; i < 20; i++)
		peer_abort(&p[i]);
	end();
	assert_int_equal(g->failed, 0);
	rig_free(g);
	g = wide;
}

TEST(a_probe_of_a_live_connection_hears_so_and_grants_no_lease)
{
	static struct crafted f;
	struct peer p = stranger(k->family);
	struct mxdp_probe probe = { .key = RIG_PROBE_KEY };
	struct rig_run r = { .frame = f.b, .probe = &probe };
	struct craft c;

	peer_opens(g, &p, smtp);
	rig_seconds(g, 1);
	c = peer_says(&p, ACK);
	craft(&c, &f);
	r.len = f.len;
	assert_int_equal(rig_run(g, &r), XDP_PASS);
	assert_int_equal(probe.reason, MXDP_R_LIVE);
	SAYS_TO_HOST(&p, "first plain segment behind a probe", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "second one", ACK, 0, PASS(LEASE, HERE));
	assert_int_equal(rig_run(g, &r), XDP_PASS);
	assert_int_equal(probe.reason, MXDP_R_LIVE);
	peer_abort(&p);
}

/* ---- policy and open connections ---- */

static const char *with(const char *sentence)
{
	static char text[4096];

	snprintf(text, sizeof(text), "%s%s", rows_sentences, sentence);
	return text;
}

TEST(w32_block_cuts_a_talking_peer_at_the_next_packet)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "before", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "before, on a lease", ACK, 0, PASS(LEASE, HERE));
	rig_policy(g, with("block 198.51.100.7 2001:db8:7::7\n"));
	SAYS_TO_HOST(&p, "W32 blocked: plain segment with a fresh lease of the old epoch", ACK, 0, DROP(BLOCKED, HERE));
	SAYS_TO_HOST(&p, "W32 blocked: data", ACK | PSH, 10, DROP(BLOCKED, HERE));
	SAYS_TO_HOST(&p, "W32 blocked: FIN", FIN | ACK, 0, DROP(BLOCKED, HERE));
	SAYS_TO_HOST(&p, "W32 blocked: RST", RST, 0, DROP(BLOCKED, HERE));
	SAYS_TO_HOST(&p, "W32 blocked: SYN", SYN, 0, DROP(BLOCKED, HERE));
	rig_policy(g, rows_sentences);
	SAYS_TO_HOST(&p, "unblocked, the connection is still there", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(deny_does_not_cut_but_refuses_the_next_syn)
{
	struct peer p = stranger(k->family), another;

	peer_opens(g, &p, smtp);
	rig_policy(g, with("deny smtp from 198.51.100.7 2001:db8:7::7\n"));
	SAYS_TO_HOST(&p, "denied, an open connection goes on", ACK | PSH, 10, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "denied, an open connection goes on, on a lease", ACK | PSH, 10, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 20);
	another = stranger(k->family);
	SAYS_TO_HOST(&another, "denied, the next SYN is refused", SYN, 0, DROP(DENIED, HERE));
	SAYS_TO_HOST(&p, "denied, a SYN into the open connection too", SYN, 0, DROP(DENIED, HERE));
	rig_policy(g, "allow imaps\n");
	p.service = NULL;
	SAYS_TO_HOST(&p, "the port closed for all, an open connection goes on", ACK, 0, PASS(LIVE, HERE));
	another.service = NULL;
	SAYS_TO_HOST(&another, "the port closed for all, the next SYN is refused", SYN, 0, DROP(CLOSED, HERE));
	peer_abort(&p);
}

TEST(observing_counts_what_would_be_dropped_and_drops_nothing)
{
	struct peer p = stranger(k->family), none = stranger(k->family);
	static struct crafted f;
	struct craft c;

	peer_opens(g, &p, smtp);
	rig_policy(g, rows_sentences_observe);
	SAYS_TO_HOST(&p, "live is live", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "a lease is a lease", ACK, 0, PASS(LEASE, HERE));
	c = peer_says(&none, ACK);
	craft(&c, &f);
	rig_expect(g, "no connection: passes, counted as observed", &(struct rig_run){ .frame = f.b, .len = f.len },
		   k->family, SAYS(DROP(NO_CONNECTION, SMTP)));
	rig_expect(g, "and grants no lease", &(struct rig_run){ .frame = f.b, .len = f.len }, k->family,
		   SAYS(DROP(NO_CONNECTION, SMTP)));
	peer_abort(&p);
}

/* ---- what does not belong ---- */

TEST(c5_a_listener_alone_is_no_connection)
{
	struct peer p = stranger(k->family);

	SAYS_TO_HOST(&p, "C5 ACK to a listener (-sA, -sW)", ACK, 0, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "C5 data to a listener", ACK | PSH, 10, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "C5 SYN-ACK to a listener", SYN | ACK, 0, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "C5 RST to a listener", RST, 0, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "C5 RST-ACK to a listener", RST | ACK, 0, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "C5 Maimon scan of a listener", FIN | ACK, 0, DROP(NO_CONNECTION, HERE));
}

TEST(c4_odd_flags_inside_a_live_connection_do_it_no_harm)
{
	static const unsigned int odd[] = {
		NO_FLAGS, FIN, FIN | PSH | URG, SYN | FIN, SYN | RST, FIN | RST, 0xff, PSH, URG, SYN | ACK | FIN,
		RST | FIN | ACK,
	};
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "C4 before", ACK, 0, PASS(LIVE, HERE));
	for (size_t i = 0; i < sizeof(odd) / sizeof(odd[0]); i++)
		STRAY(&p, "C4 odd flags, exact numbers", odd[i], 0, 0, 0, DROP(BAD_FLAGS, HERE));
	SAYS_TO_HOST(&p, "C4 the connection goes on", ACK | PSH, 10, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(c6_the_host_judges_resets_of_its_connections)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	STRAY(&p, "C6 RST far outside the window: passes, the host refuses it", RST, 500000, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "C6 RST behind the window: passes, the host refuses it", RST, -1, 0, 0, PASS(LIVE, HERE));
	STRAY(&p, "C6 RST in the window, inexact: passes, the host challenges it", RST, 10, 0, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C6 the connection goes on", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	STRAY(&p, "C6 exact RST: passes and closes", RST, 0, 0, 0, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), -ECONNRESET);
	rig_seconds(g, 1);
	SAYS_TO_HOST(&p, "C6 then there is no connection", ACK, 0, DROP(NO_CONNECTION, HERE));
	close(p.fd);
	p.fd = -1;
	p.next += 100000;
	peer_opens(g, &p, smtp); /* C16: the same four numbers after an RST */
	peer_abort(&p);
}

TEST(c7_a_syn_into_an_open_connection_does_it_no_harm)
{
	struct peer p = stranger(k->family);
	struct wire_segment s;

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "C7 before", ACK, 0, PASS(LIVE, HERE));
	wire_drain();
	STRAY(&p, "C7 SYN into the open connection: policy allows it, the host challenges", SYN, 5000, 0, 0,
	      PASS(ALLOWED, HERE));
	assert_true(wire_get(&s, 1000));
	assert_int_equal(s.flags, ACK);
	SAYS_TO_HOST(&p, "C7 the connection goes on", ACK | PSH, 10, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(c8_windows_are_the_kernels_business)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	STRAY(&p, "C8 data far beyond the window passes: the kernel judges windows", ACK | PSH, 50000000, 0, 10,
	      PASS(LIVE, HERE));
	STRAY(&p, "C8 ACK of what was never sent passes: the kernel judges it", ACK, 0, 1000000, 0, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 20), -EAGAIN);
	SAYS_TO_HOST(&p, "C8 the connection goes on", ACK | PSH, 10, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(c9_what_is_sent_again_passes_again)
{
	struct peer p = stranger(k->family), q = far_server(k->family);
	struct craft c;

	peer_knocks(g, &p);
	STRAY(&p, "C9 retransmitted SYN", SYN, -1, 0, 0, PASS(ALLOWED, HERE));
	wire_drain();
	SAYS_TO_HOST(&p, "C9 third step", ACK, 0, PASS(LIVE, HERE));
	assert_true(peer_accepted(&p, smtp, 1000));
	SAYS_TO_HOST(&p, "C9 data", ACK | PSH, 10, PASS(LIVE, HERE));
	STRAY(&p, "C9 the same data again", ACK | PSH, -10, 0, 10, PASS(LEASE, HERE));
	STRAY(&p, "C9 duplicate ACK", ACK, 0, 0, 0, PASS(LEASE, HERE));
	STRAY(&p, "C9 duplicate ACK", ACK, 0, 0, 0, PASS(LEASE, HERE));
	STRAY(&p, "C9 keep-alive probe", ACK, -1, 0, 0, PASS(LEASE, HERE));
	STRAY(&p, "C9 keep-alive probe with one byte", ACK, -1, 0, 1, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	SAYS_TO_HOST(&p, "C9 FIN", FIN | ACK, 0, PASS(LIVE, HERE));
	STRAY(&p, "C9 the same FIN again", FIN | ACK, -1, 0, 0, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 0);
	peer_abort(&p);

	wire_connect(&q);
	c = peer_says(&q, SYN | ACK);
	peer_sends(g, &q, "C9 SYN-ACK", &c, SAYS(PASS(LIVE, HERE)));
	peer_sends(g, &q, "C9 the same SYN-ACK again", &c, SAYS(PASS(LIVE, HERE)));
	peer_abort(&q);
}

TEST(c10_data_before_the_handshake_is_complete_opens_nothing)
{
	struct peer p = stranger(k->family);

	SAYS_TO_HOST(&p, "C10 data before anything", ACK | PSH, 0, DROP(NO_CONNECTION, HERE));
	peer_knocks(g, &p);
	STRAY(&p, "C10 W15 data with a guessed acknowledgement: the host refuses it", ACK | PSH, 0, 12345, 10,
	      PASS(LIVE, HERE));
	STRAY(&p, "C10 a half-open connection grants no lease", ACK | PSH, 0, 12345, 10, PASS(LIVE, HERE));
	assert_false(peer_accepted(&p, smtp, 20));
	SAYS_TO_HOST(&p, "C10 W20 third step with data", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_true(peer_accepted(&p, smtp, 1000));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

/* XDP judges a whole batch before the stack sees its first packet. */
TEST(the_end_of_a_handshake_and_data_behind_it_may_meet_the_filter_in_one_batch)
{
	static struct crafted f;
	struct peer p = stranger(k->family);
	struct craft c;

	peer_knocks(g, &p);
	c = peer_says(&p, ACK);
	craft(&c, &f);
	rig_expect(g, "third step, not yet delivered", &(struct rig_run){ .frame = f.b, .len = f.len }, k->family,
		   SAYS(PASS(LIVE, SMTP)));
	c.payload = 10;
	craft(&c, &f);
	rig_expect(g, "data behind it in the same batch", &(struct rig_run){ .frame = f.b, .len = f.len }, k->family,
		   SAYS(PASS(LIVE, SMTP)));
	SAYS_TO_HOST(&p, "delivered", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_true(peer_accepted(&p, smtp, 1000));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(c12_simultaneous_open_passes_and_opens_nothing_else)
{
	struct peer p = far_server(k->family), other;

	wire_connect(&p);
	g->state->test_jiffies++; /* a closed port asks the kernel once a tick */
	other = p;
	other.port = 2525;
	SAYS_TO_HOST(&other, "C12 SYN from another port of the peer", SYN, 0, DROP(CLOSED, HERE));
	g->state->test_jiffies++;
	other = p;
	other.address = craft_address(OFFICE, k->family);
	SAYS_TO_HOST(&other, "C12 SYN from another address", SYN, 0, DROP(CLOSED, HERE));
	g->state->test_jiffies++;
	other = p;
	other.host_port++;
	SAYS_TO_HOST(&other, "C12 SYN of the peer to another port", SYN, 0, DROP(CLOSED, HERE));
	g->state->test_jiffies++;
	SAYS_TO_HOST(&p, "C12 SYN that crosses ours", SYN, 0, PASS(CROSSED, HERE));
	p.next++;
	SAYS_TO_HOST(&p, "C12 SYN-ACK that crosses ours", SYN | ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C12 the connection is made", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	g->state->test_jiffies++;
	SAYS_TO_HOST(&p, "C12 a SYN into it does not cross any more", SYN, 0, DROP(CLOSED, HERE));
	peer_abort(&p);
}

TEST(c12_a_closed_port_asks_the_kernel_once_a_tick)
{
	struct peer p = far_server(k->family), low = far_server(k->family), other;

	wire_connect(&p);
	other = p;
	other.host_port++;
	g->state->test_jiffies++;
	SAYS_TO_HOST(&other, "C12 a knock takes the tick's question", SYN, 0, DROP(CLOSED, HERE));
	SAYS_TO_HOST(&p, "C12 a crossing SYN in the same tick waits for its retransmission", SYN, 0,
		     DROP(CLOSED, HERE));
	g->state->test_jiffies++;
	SAYS_TO_HOST(&p, "C12 and passes then", SYN, 0, PASS(CROSSED, HERE));
	peer_abort(&p);
	low.host_port = 26;
	g->state->test_jiffies++;
	SAYS_TO_HOST(&low, "C12 below 1024 nobody is asked", SYN, 0, DROP(CLOSED, HERE));
	rig_policy(g, with("block 198.51.100.7 2001:db8:7::7\n"));
	p = far_server(k->family);
	wire_connect(&p);
	g->state->test_jiffies++;
	SAYS_TO_HOST(&p, "C12 a blocked peer does not cross", SYN, 0, DROP(BLOCKED, HERE));
	peer_abort(&p);
}

/* The server answers a SYN with a bare ACK, then with a SYN of its own; as 4 and as 5 steps. */
TEST(c12_split_handshakes_are_left_to_the_host)
{
	struct peer p = far_server(k->family);

	for (int five = 0; five < 2; five++) {
		p = far_server(k->family);
		wire_connect(&p);
		if (five)
			SAYS_TO_HOST(&p, "C12 bare ACK as answer to our SYN: no lease", ACK, 0, PASS(LIVE, HERE));
		g->state->test_jiffies++;
		SAYS_TO_HOST(&p, "C12 SYN instead of SYN-ACK", SYN, 0, PASS(CROSSED, HERE));
		p.next++;
		SAYS_TO_HOST(&p, "C12 its last step", ACK, 0, PASS(LIVE, HERE));
		peer_abort(&p);
	}
}

TEST(c13_an_answer_from_elsewhere_is_none)
{
	struct peer p = far_server(k->family), other;

	wire_connect(&p);
	other = p;
	other.port = 26;
	SAYS_TO_HOST(&other, "C13 SYN-ACK from another port", SYN | ACK, 0, DROP(NO_CONNECTION, HERE));
	other = p;
	other.address = craft_address(OFFICE, k->family);
	SAYS_TO_HOST(&other, "C13 SYN-ACK from another address", SYN | ACK, 0, DROP(NO_CONNECTION, HERE));
	other = p;
	other.host_port++;
	SAYS_TO_HOST(&other, "C13 SYN-ACK to another port", SYN | ACK, 0, DROP(NO_CONNECTION, HERE));
	STRAY(&p, "C13 a plain segment to a socket that waits grants no lease", ACK, 0, 500, 0, PASS(LIVE, HERE));
	STRAY(&p, "C13 a plain segment to a socket that waits grants no lease", ACK, 0, 500, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C13 the true one", SYN | ACK, 0, PASS(LIVE, HERE));
	peer_abort(&p);
}

TEST(c14_a_refusal_reaches_the_host)
{
	struct peer p = far_server(k->family);

	wire_connect(&p);
	SAYS_TO_HOST(&p, "C14 RST-ACK as answer to our SYN", RST | ACK, 0, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), -ECONNREFUSED);
	close(p.fd);
	SAYS_TO_HOST(&p, "C14 another one", RST | ACK, 0, DROP(NO_CONNECTION, HERE));
}

/* ---- ends ---- */

TEST(c15_a_half_closed_connection_stays_open_for_hours)
{
	struct peer p = stranger(k->family), q = stranger(k->family);

	peer_opens(g, &p, smtp);
	shutdown(p.fd, SHUT_WR);
	wire_drain();
	p.acked++;
	for (int hour = 0; hour < 5; hour++) {
		SAYS_TO_HOST(&p, "C15 W17 the host has ended, the peer goes on sending", ACK | PSH, 10,
			     PASS(LIVE, HERE));
		SAYS_TO_HOST(&p, "C15 W17 on a lease", ACK | PSH, 10, PASS(LEASE, HERE));
		assert_int_equal(peer_heard(&p, 1000), 20);
		rig_seconds(g, 3600);
	}
	peer_abort(&p);

	peer_opens(g, &q, smtp);
	SAYS_TO_HOST(&q, "C15 the peer ends", FIN | ACK, 0, PASS(LIVE, HERE));
	for (int hour = 0; hour < 5; hour++) {
		answers(&q, 100);
		SAYS_TO_HOST(&q, "C15 W17 the peer has ended and acknowledges what the host goes on sending", ACK, 0,
			     PASS(LIVE, HERE));
		rig_seconds(g, 3600);
	}
	peer_abort(&q);
}

TEST(c16_the_same_four_numbers_open_again_in_time_wait)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	shutdown(p.fd, SHUT_WR);
	wire_drain();
	p.acked++;
	SAYS_TO_HOST(&p, "C16 the peer ends too", FIN | ACK, 0, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 0);
	close(p.fd);
	wire_drain();
	rig_seconds(g, 1);
	STRAY(&p, "C16 the FIN again, in TIME_WAIT", FIN | ACK, -1, 0, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C16 TIME_WAIT passes a late segment", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C16 TIME_WAIT grants no lease", ACK, 0, PASS(LIVE, HERE));
	p.next += 200000;
	p.fd = -1;
	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "C16 W19 the new connection works", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(a_closed_connections_segments_are_refused_after_the_second)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "alive", ACK, 0, PASS(LIVE, HERE));
	peer_abort(&p);
	SAYS_TO_HOST(&p, "gone, within the second of its lease: left to the host, which refuses it", ACK, 0,
		     PASS(LEASE, HERE));
	rig_seconds(g, 1);
	SAYS_TO_HOST(&p, "gone, a second later", ACK, 0, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "gone, FIN", FIN | ACK, 0, DROP(NO_CONNECTION, HERE));
	SAYS_TO_HOST(&p, "gone, RST", RST, 0, DROP(NO_CONNECTION, HERE));
}

TEST(c17_sequence_numbers_wrap_and_windows_scale)
{
	static const struct {
		const char *opt;
		size_t n;
	} scales[] = { { "\3\3\0", 3 }, { "\3\3\7", 3 }, { "\3\3\x0e", 3 }, { NULL, 0 } };

	for (size_t i = 0; i < 4; i++) {
		struct peer p = stranger(k->family);

		p.next = 0xfffffff0u;
		p.syn_opt = scales[i].opt;
		p.nsyn_opt = scales[i].n;
		peer_opens(g, &p, smtp);
		SAYS_TO_HOST(&p, "C17 data up to the wrap", ACK | PSH, 12, PASS(LIVE, HERE));
		SAYS_TO_HOST(&p, "C17 data over the wrap", ACK | PSH, 20, PASS(LEASE, HERE));
		SAYS_TO_HOST(&p, "C17 data behind the wrap", ACK | PSH, 10, PASS(LEASE, HERE));
		assert_int_equal(peer_heard(&p, 1000), 42);
		peer_abort(&p);
	}
}

/* The filter has no timer that could cut: RFC 5321 lets a session be silent for ten minutes, people for a night. */
TEST(c19_silence_cuts_nothing)
{
	static const unsigned int seconds[] = { 59, 60, 120, 300, 600, 7200, 432000, 100000000 };
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	for (size_t i = 0; i < sizeof(seconds) / sizeof(seconds[0]); i++) {
		rig_seconds(g, seconds[i]);
		SAYS_TO_HOST(&p, "C19 W18 after silence", ACK | PSH, 10, PASS(LIVE, HERE));
		assert_int_equal(peer_heard(&p, 1000), 10);
	}
	peer_abort(&p);
}

TEST(c22_a_clock_that_jumps_cuts_nothing)
{
	struct peer p = stranger(k->family);

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "C22 before", ACK, 0, PASS(LIVE, HERE));
	g->state->test_jiffies -= 3000 * RIG_SECOND;
	SAYS_TO_HOST(&p, "C22 set back", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C22 set back, on a lease", ACK, 0, PASS(LEASE, HERE));
	g->state->test_jiffies += 3000 * RIG_SECOND;
	rig_seconds(g, 1);
	SAYS_TO_HOST(&p, "C22 set right again", ACK, 0, PASS(LIVE, HERE));
	g->state->test_jiffies = (1ull << 32) - 1; /* where 32 bits of jiffies would wrap */
	SAYS_TO_HOST(&p, "C22 before 32 bits wrap", ACK, 0, PASS(LIVE, HERE));
	g->state->test_jiffies++;
	SAYS_TO_HOST(&p, "C22 behind the wrap", ACK, 0, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "C22 behind the wrap, on a lease", ACK, 0, PASS(LEASE, HERE));
	g->state->test_jiffies = 1000000 * RIG_SECOND;
	peer_abort(&p);
}

TEST(c23_connections_older_than_the_filter_go_on)
{
	struct rig *old = g;
	struct peer in = stranger(k->family), out = far_server(k->family), none = stranger(k->family);

	peer_opens(g, &in, smtp);
	wire_connect(&out);
	SAYS_TO_HOST(&out, "C23 SYN-ACK", SYN | ACK, 0, PASS(LIVE, HERE));
	out.next++;
	g = rig_new(NULL);
	rig_policy(g, rows_sentences);
	SAYS_TO_HOST(&in, "C23 W21 inbound, first segment a new filter sees", ACK | PSH, 10, PASS(LIVE, HERE));
	SAYS_TO_HOST(&out, "C23 W21 outbound, first segment a new filter sees", ACK | PSH, 10, PASS(LIVE, HERE));
	SAYS_TO_HOST(&none, "C23 no pick-up of what is no connection", ACK | PSH, 10, DROP(NO_CONNECTION, HERE));
	assert_int_equal(peer_heard(&in, 1000), 10);
	assert_int_equal(peer_heard(&out, 1000), 10);
	peer_abort(&in);
	peer_abort(&out);
	rig_adds_up(g);
	old->failed += g->failed;
	rig_free(g);
	g = old;
}

/* ---- SYN cookies ---- */

TEST(a_handshake_answered_by_cookies_completes)
{
	static struct crafted f;
	struct peer p = stranger(k->family);
	struct craft c;

	rig_cookies(g, 25, 0); /* the kernel is to send them; from the driver: test_answer.c */
	wire_sysctl("net/ipv4/tcp_syncookies", "2");
	peer_knocks(g, &p);
	/* its lowest bits say which of four segment sizes was agreed: the next number may be as good */
	STRAY(&p, "ACK with a cookie that is none", ACK, 0, 1000, 0, DROP(NO_CONNECTION, HERE));
	STRAY(&p, "ACK with the cookie of another sequence number", ACK, 77, 0, 0, DROP(NO_CONNECTION, HERE));
	STRAY(&p, "RST with the cookie", RST | ACK, 0, 0, 0, DROP(NO_CONNECTION, HERE));
	STRAY(&p, "SYN-ACK with the cookie", SYN | ACK, 0, 0, 0, DROP(NO_CONNECTION, HERE));
	c = peer_says(&p, ACK | PSH);
	c.payload = 10;
	craft(&c, &f);
	rig_expect(g, "first data in one batch with the cookie", &(struct rig_run){ .frame = f.b, .len = f.len },
		   k->family, SAYS(PASS(COOKIE, SMTP)));
	rig_expect(g, "a cookie grants no lease", &(struct rig_run){ .frame = f.b, .len = f.len }, k->family,
		   SAYS(PASS(COOKIE, SMTP)));
	SAYS_TO_HOST(&p, "ACK with the cookie", ACK, 0, PASS(COOKIE, HERE));
	assert_true(peer_accepted(&p, smtp, 1000));
	SAYS_TO_HOST(&p, "then it is a connection", ACK | PSH, 10, PASS(LIVE, HERE));
	SAYS_TO_HOST(&p, "with a lease", ACK | PSH, 10, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 20);
	peer_abort(&p);
	wire_sysctl("net/ipv4/tcp_syncookies", "1");
}

/* What the kernel does when its queue is full: the same without being told to. */
TEST(cookies_under_pressure_complete_too)
{
	struct peer p = stranger(k->family);
	int narrow;

	rig_cookies(g, 25, 0);
	close(smtp);
	narrow = smtp = wire_listen(k->listener, 25, 2);
	for (int i = 0; i < 8; i++) {
		struct peer silent = stranger(k->family);
		struct craft c = peer_says(&silent, SYN);

		peer_sends(g, &silent, "W14 a SYN that fills the queue", &c, SAYS(PASS(ALLOWED, HERE)));
	}
	peer_knocks(g, &p);
	SAYS_TO_HOST(&p, "W14 an honest handshake behind them", ACK, 0, PASS(COOKIE, HERE));
	assert_true(peer_accepted(&p, narrow, 1000));
	SAYS_TO_HOST(&p, "W14 works", ACK | PSH, 10, PASS(LIVE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	peer_abort(&p);
}

TEST(without_cookies_in_use_no_ack_is_one)
{
	struct peer p = stranger(k->family);

	wire_sysctl("net/ipv4/tcp_syncookies", "0");
	p.acked = 0x12345678;
	for (int i = 0; i < 100; i++) {
		SAYS_TO_HOST(&p, "an ACK to a listener, cookies off", ACK, 0, DROP(NO_CONNECTION, HERE));
		p.acked += 0x01020304;
	}
	wire_sysctl("net/ipv4/tcp_syncookies", "2");
	for (int i = 0; i < 100; i++) {
		SAYS_TO_HOST(&p, "a guessed cookie", ACK, 0, DROP(NO_CONNECTION, HERE));
		p.acked += 0x01020304;
	}
	wire_sysctl("net/ipv4/tcp_syncookies", "1");
}

/* ---- floods and many CPUs ---- */

TEST(w14_a_flood_disturbs_no_connection_and_leaves_no_trace)
{
	static struct crafted f;
	struct peer p = stranger(k->family);
	struct mxdp_lease_line *before = test_malloc(g->lease_lines * sizeof(*before));
	uint64_t seed = rig_seed();

	peer_opens(g, &p, smtp);
	SAYS_TO_HOST(&p, "W14 before the flood", ACK, 0, PASS(LIVE, HERE));
	memcpy(before, g->lease, g->lease_lines * sizeof(*before));
	for (int i = 0; i < 20000; i++) {
		uint64_t r = rig_random(&seed);
		size_t source;

		craft(&(struct craft){ .family = k->family, .flags = i & 1 ? SYN : ACK, .sport = 1024 + r % 60000 },
		      &f);
		source = k->family == 4 ? f.l3 + 12 : f.l3 + 8;
		memcpy(f.b + source, &(uint32_t){ (uint32_t)(r >> 32) }, 4);
		f.b[source] = k->family == 4 ? 11 : 0x2a; /* some network of the world */
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }),
				 i & 1 ? XDP_PASS : XDP_DROP);
	}
	assert_true(rig_adds_up_unseen(g));
	assert_memory_equal(before, g->lease, g->lease_lines * sizeof(*before));
	SAYS_TO_HOST(&p, "W14 after the flood, its lease is still there", ACK | PSH, 10, PASS(LEASE, HERE));
	assert_int_equal(peer_heard(&p, 1000), 10);
	test_free(before);
	peer_abort(&p);
}

#define THREADS 4
#define ROUNDS 20000

static void *hammer(void *arg)
{
	const struct crafted *f = arg;
	long wrong = 0;

	for (int i = 0; i < ROUNDS; i++) {
		wrong += rig_run(g, &(struct rig_run){ .frame = f->b, .len = f->len }) != XDP_PASS;
		if (i % 100 == 0)
			__atomic_fetch_add(&g->state->test_jiffies, RIG_SECOND, __ATOMIC_RELAXED);
	}
	return (void *)wrong;
}

/* The clock runs on meanwhile, so leases are renewed by all of them at once. */
static void c21_packets_of_one_connection_on_several_cpus_are_counted_exactly(void **state)
{
	static struct crafted f;
	struct rig *single = g;

	(void)state;
	g = rig_new(&(struct rig_options){ .shared_rows = true });
	for (size_t i = 0; i < KINDS; i++) {
		struct peer p = stranger(kinds[i].family);
		pthread_t t[THREADS];
		struct craft c;

		begin(&kinds[i]);
		peer_opens(g, &p, smtp);
		c = peer_says(&p, ACK);
		craft(&c, &f);
		for (int n = 0; n < THREADS; n++)
			assert_int_equal(pthread_create(&t[n], NULL, hammer, &f), 0);
		for (int n = 0; n < THREADS; n++) {
			void *wrong;

			assert_int_equal(pthread_join(t[n], &wrong), 0);
			assert_null(wrong);
		}
		assert_true(rig_adds_up_unseen(g));
		peer_abort(&p);
		end();
	}
	assert_true(g->sent >= KINDS * THREADS * ROUNDS);
	assert_int_equal(g->failed, 0);
	rig_free(g);
	g = single;
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

#define RUN(name) cmocka_unit_test_setup_teardown(name, fresh, done)

int main(void)
{
	const struct CMUnitTest tests[] = {
		RUN(c1_an_ordinary_connection_in),
		RUN(c1_an_ordinary_connection_out),
		RUN(a_lease_lasts_a_second_and_no_longer),
		RUN(a_lease_ends_with_its_policy),
		RUN(a_lease_is_of_one_connection),
		RUN(what_is_no_plain_segment_neither_rides_on_a_lease_nor_grants_one),
		RUN(losing_a_lease_costs_a_lookup_never_a_connection),
		RUN(a_probe_of_a_live_connection_hears_so_and_grants_no_lease),
		RUN(w32_block_cuts_a_talking_peer_at_the_next_packet),
		RUN(deny_does_not_cut_but_refuses_the_next_syn),
		RUN(observing_counts_what_would_be_dropped_and_drops_nothing),
		RUN(c5_a_listener_alone_is_no_connection),
		RUN(c4_odd_flags_inside_a_live_connection_do_it_no_harm),
		RUN(c6_the_host_judges_resets_of_its_connections),
		RUN(c7_a_syn_into_an_open_connection_does_it_no_harm),
		RUN(c8_windows_are_the_kernels_business),
		RUN(c9_what_is_sent_again_passes_again),
		RUN(c10_data_before_the_handshake_is_complete_opens_nothing),
		RUN(the_end_of_a_handshake_and_data_behind_it_may_meet_the_filter_in_one_batch),
		RUN(c12_simultaneous_open_passes_and_opens_nothing_else),
		RUN(c12_a_closed_port_asks_the_kernel_once_a_tick),
		RUN(c12_split_handshakes_are_left_to_the_host),
		RUN(c13_an_answer_from_elsewhere_is_none),
		RUN(c14_a_refusal_reaches_the_host),
		RUN(c15_a_half_closed_connection_stays_open_for_hours),
		RUN(c16_the_same_four_numbers_open_again_in_time_wait),
		RUN(a_closed_connections_segments_are_refused_after_the_second),
		RUN(c17_sequence_numbers_wrap_and_windows_scale),
		RUN(c19_silence_cuts_nothing),
		RUN(c22_a_clock_that_jumps_cuts_nothing),
		RUN(c23_connections_older_than_the_filter_go_on),
		RUN(a_handshake_answered_by_cookies_completes),
		RUN(cookies_under_pressure_complete_too),
		RUN(without_cookies_in_use_no_ack_is_one),
		RUN(w14_a_flood_disturbs_no_connection_and_leaves_no_trace),
		RUN(c21_packets_of_one_connection_on_several_cpus_are_counted_exactly),
	};

	return cmocka_run_group_tests(tests, up, down);
}
