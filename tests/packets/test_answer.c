// SPDX-License-Identifier: GPL-2.0-only
/*
 * What is sent back from the driver. Every byte of it is read here by code
 * that knows nothing of the program's, and where it can be, the kernel's own
 * answer to the very same SYN is laid beside it. Sockets and wire as in
 * test_state.c; what the filter answers never reaches the host.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <mxdp/abi.h>
#include "refuse.skel.h"
#include "rows.h"
#include "wire.h"

static const struct kind {
	unsigned int family, listener;
} kinds[] = { { 4, 4 }, { 6, 6 }, { 4, 46 }, { 6, 46 } };
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

static struct rig *g;
static int smtp = -1;
static unsigned int next_port = 20000;

/* A policy whose port 25 has these bits, a listener on it, and pressure of no kind yet. */
static void begin(const struct kind *k, unsigned int bits, const char *syncookies, int backlog)
{
	rig_policy(g, rows_sentences);
	rig_seconds(g, 10);
	rig_cookies(g, 25, bits);
	wire_sysctl("net/ipv4/tcp_syncookies", syncookies);
	smtp = wire_listen(k->listener, 25, backlog);
}

static void end(void)
{
	if (smtp >= 0)
		close(smtp);
	smtp = -1;
	wire_sysctl("net/ipv4/tcp_syncookies", "1");
	wire_sysctl("net/ipv4/tcp_timestamps", "1");
	g->state->cookie_options = 0;
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

/* ---- reading ---- */

static uint32_t get(const uint8_t *p, int n)
{
	uint32_t v = 0;

	while (n--)
		v = v << 8 | *p++;
	return v;
}

/* RFC 1071: 0xffff over a whole that carries a right checksum */
static uint16_t ones(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return s;
}

struct heard {
	uint32_t seq, ack;
	unsigned int flags, window, words;
	unsigned int mss;              /* 0: not said */
	bool sack, time, odd;
	int scale;                     /* -1: not said */
	uint32_t stamp, echo;
};

static void read_options(const uint8_t *o, size_t n, struct heard *h)
{
	for (size_t i = 0; i < n && o[i];) {
		unsigned int size = o[i] == 1 ? 1 : i + 1 < n ? o[i + 1] : 0;

		if (!size || i + size > n) {
			h->odd = true;
			return;
		}
		if (o[i] == 2 && size == 4)
			h->mss = get(o + i + 2, 2);
		else if (o[i] == 3 && size == 3)
			h->scale = o[i + 2];
		else if (o[i] == 4 && size == 2)
			h->sack = true;
		else if (o[i] == 8 && size == 10)
			h->time = true, h->stamp = get(o + i + 2, 4), h->echo = get(o + i + 6, 4);
		else if (o[i] != 1)
			h->odd = true;
		i += size;
	}
}

static void read_tcp(const uint8_t *t, struct heard *h)
{
	*h = (struct heard){ .seq = get(t + 4, 4), .ack = get(t + 8, 4), .words = t[12] >> 4, .flags = t[13],
			     .window = get(t + 14, 2), .scale = -1, .odd = t[12] & 15 };
	read_options(t + 20, h->words * 4 - 20, h);
}

/* The answer `a` to the frame `f`: everything that does not depend on what is said in it. */
static void reads(const struct crafted *f, const uint8_t *a, size_t n, struct heard *h)
{
	bool v4 = f->b[f->l3] >> 4 == 4;
	const uint8_t *ip = a + f->l3, *was = f->b + f->l3, *t = ip + (v4 ? 20 : 40);
	size_t alen = v4 ? 4 : 16, src = v4 ? 12 : 8, segment, ends;

	assert_memory_equal(a, f->b + 6, 6);
	assert_memory_equal(a + 6, f->b, 6);
	assert_memory_equal(a + 12, f->b + 12, f->l3 - 12);
	assert_memory_equal(ip + src, was + src + alen, alen);
	assert_memory_equal(ip + src + alen, was + src, alen);
	if (v4) {
		assert_int_equal(ip[0], 0x45);
		assert_int_equal(ip[1], 0);
		assert_int_equal(get(ip + 4, 4), 0x4000); /* id 0, DF, no fragment */
		assert_int_equal(ip[8], 64);
		assert_int_equal(ip[9], 6);
		assert_int_equal(ones(ip, 20, 0), 0xffff);
		segment = get(ip + 2, 2) - 20;
	} else {
		assert_int_equal(get(ip, 4), 0x60000000);
		assert_int_equal(ip[6], 6);
		assert_int_equal(ip[7], 64);
		segment = get(ip + 4, 2);
	}
	assert_int_equal(ones(t, segment, ones(ip + src, 2 * alen, 6 + segment)), 0xffff);
	assert_int_equal(segment, (t[12] >> 4) * 4);
	assert_memory_equal(t, f->b + f->l4 + 2, 2);
	assert_memory_equal(t + 2, f->b + f->l4, 2);
	assert_int_equal(get(t + 18, 2), 0);
	ends = t - a + segment;
	assert_int_equal(n, ends < 60 ? 60 : ends);
	for (size_t i = ends; i < n; i++)
		assert_int_equal(a[i], 0);
	read_tcp(t, h);
	assert_false(h->odd);
	assert_int_equal(h->ack, get(f->b + f->l4 + 4, 4) + 1);
}

/* ---- sending ---- */

static uint8_t out[RIG_ANSWER];
static size_t nout;
static struct crafted sent;

static struct peer stranger(unsigned int family)
{
	return (struct peer){ .family = family, .port = next_port++, .host_port = 25, .service = "25", .next = 7000, .fd = -1 };
}

static struct craft knock(const struct peer *p)
{
	struct craft c = peer_says(p, SYN);

	c.tcp_opt = p->syn_opt;
	c.ntcp_opt = p->nsyn_opt;
	return c;
}

/* Through the filter, which must say this; the frame behind it lies in out. */
static void runs(const char *what, const struct craft *c, struct rig_says s)
{
	craft(c, &sent);
	rig_expect(g, what, &(struct rig_run){ .frame = sent.b, .len = sent.len, .answer = out, .nanswer = &nout }, c->family, s);
}
#define RUNS(what, c, ...) runs(what, c, SAYS(__VA_ARGS__))

static void is_answered(const char *what, const struct craft *c, struct heard *h)
{
	RUNS(what, c, SENT(COOKIE_SENT, 25, "25"));
	reads(&sent, out, nout, h);
	assert_int_equal(h->flags, SYN | ACK);
}

/* Passed, and as it was. */
static void is_left_alone(const char *what, const struct craft *c)
{
	RUNS(what, c, PASS(ALLOWED, 25, "25"));
	assert_int_equal(nout, sent.len);
	assert_memory_equal(out, sent.b, nout);
}

/* The kernel's own answer to c, which the filter lets pass. */
static void kernel_answers(const struct craft *c, struct heard *h)
{
	unsigned int bits = g->banks[g->state->epoch & 1].port[25] & MXDP_PORT_COOKIES;
	static uint8_t ip[WIRE_MTU];
	size_t n, tcp;

	rig_cookies(g, 25, 0);
	wire_drain();
	is_left_alone("for the kernel to answer", c);
	wire_give(sent.b + sent.l3, sent.len - sent.l3);
	assert_true(wire_take(ip, &n, &tcp, 1000));
	read_tcp(ip + tcp, h);
	rig_cookies(g, 25, bits);
}

/* p's ACK to a cookie, with these options, and the connection it makes. */
static void completes(struct peer *p, const struct heard *h, const char *opt, size_t nopt)
{
	struct craft c;

	p->next++;
	p->acked = h->seq + 1;
	c = peer_says(p, ACK);
	c.tcp_opt = opt;
	c.ntcp_opt = nopt;
	peer_sends(g, p, "the ACK that brings the cookie back", &c, SAYS(PASS(COOKIE, HERE)));
	assert_true(peer_accepted(p, smtp, 1000));
}

#define LINUX_SYN "\2\4\5\xb4\4\2\x08\x0a\0\x01\x02\x03\0\0\0\0\1\3\3\7"

/* ---- tests ---- */

static const struct shape {
	const char *what, *opt;
	size_t nopt, payload, padding;
} shapes[] = {
	{ "no option", NULL, 0, 0, 0 },
	{ "no option, padded", NULL, 0, 0, 6 },
	{ "MSS", "\2\4\5\xb4", 4, 0, 0 },
	{ "MSS, padded", "\2\4\5\xb4", 4, 0, 2 },
	{ "MSS, one byte of padding", "\2\4\5\xb4", 4, 0, 1 },
	{ "MSS of a modem", "\2\4\2\x18", 4, 0, 0 },
	{ "jumbo MSS", "\2\4\x23\x28", 4, 0, 0 },
	{ "what Linux sends", LINUX_SYN, 20, 0, 0 },
	{ "what Windows sends", "\2\4\5\xb4\1\3\3\x08\1\1\4\2", 12, 0, 0 },
	{ "end of options first", "\0\2\4\5\xb4", 5, 0, 0 },
	{ "an option that runs beyond the header", "\2\4\5\xb4\x08\x20\1\1", 8, 0, 0 },
	{ "an option of length zero", "\2\4\5\xb4\x08\0\1\1", 8, 0, 0 },
	{ "the longest header", "\2\4\5\xb4\4\2\x08\x0a\0\x01\x02\x03\0\0\0\0\1\3\3\7\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1\1", 40, 0, 0 },
	{ "fast open with data", "\2\4\5\xb4\x22\x0a\1\2\3\4\5\6\7\x08\1\1", 16, 100, 0 },
	{ "fast open, a request", "\2\4\5\xb4\x22\2", 6, 0, 0 },
	{ "MPTCP", "\2\4\5\xb4\x1e\x04\x01\x81", 8, 0, 0 },
	{ "one byte of data", NULL, 0, 1, 0 },
	{ "odd data", "\2\4\5\xb4", 4, 333, 3 },
	{ "a full segment of data", "\2\4\5\xb4", 4, 1400, 0 },
};

/* All shapes, families and tags: right to the last byte. */
static void every_answer_is_right_to_the_last_byte(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		begin(&kinds[k], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			const struct shape *s = &shapes[i];

			for (unsigned int tags = 0; tags < TAG_FORMS; tags++) {
				struct peer p = stranger(kinds[k].family);
				struct craft c = knock(&p);
				struct heard h;

				c.tags = tags;
				c.tcp_opt = s->opt;
				c.ntcp_opt = s->nopt;
				c.payload = s->payload;
				c.padding = s->padding;
				is_answered(s->what, &c, &h);
				assert_int_equal(h.words, 6);
				assert_int_equal(h.mss, kinds[k].family == 4 ? 1460 : 1440);
				assert_int_equal(h.window, 14600);
			}
		}
		end();
	}
}

/* The cookie is a matter of addresses, ports, sequence number, MSS and minute: ours and the kernel's are one. */
static void the_kernel_would_have_sent_the_same(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		begin(&kinds[k], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			struct peer p = stranger(kinds[k].family);
			struct craft c = knock(&p);
			struct heard ours, theirs;

			c.tcp_opt = shapes[i].opt;
			c.ntcp_opt = shapes[i].nopt;
			c.payload = shapes[i].payload;
			for (int n = 0; n < 2; n++) { /* a minute may end between the two */
				is_answered(shapes[i].what, &c, &ours);
				kernel_answers(&c, &theirs);
				if (ours.seq == theirs.seq)
					break;
			}
			assert_int_equal(ours.seq, theirs.seq);
			assert_int_equal(ours.ack, theirs.ack);
			assert_int_equal(ours.flags, theirs.flags);
			assert_int_equal(ours.mss, theirs.mss);
			assert_true(ours.window <= theirs.window);
			assert_false(ours.time || ours.sack || ours.scale >= 0);
		}
		end();
	}
}

static void what_an_answered_syn_opens_works(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct tcp_info info;
		socklen_t len = sizeof(info);
		struct peer p = stranger(kinds[k].family);
		struct craft c;
		struct heard h;

		begin(&kinds[k], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
		p.syn_opt = LINUX_SYN;
		p.nsyn_opt = 20;
		c = knock(&p);
		is_answered("SYN", &c, &h);
		completes(&p, &h, NULL, 0);
		c = peer_says(&p, ACK | PSH);
		c.payload = 10;
		peer_sends(g, &p, "data", &c, SAYS(PASS(LIVE, HERE)));
		assert_int_equal(peer_heard(&p, 1000), 10);
		assert_int_equal(getsockopt(p.fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
		assert_int_equal(info.tcpi_options & (TCPI_OPT_TIMESTAMPS | TCPI_OPT_SACK | TCPI_OPT_WSCALE), 0);
		assert_int_equal(info.tcpi_snd_mss, kinds[k].family == 4 ? 1460 : 1440);
		peer_abort(&p);
		end();
	}
}

/* ---- timestamps without a secret offset ---- */

static unsigned int own_scale(void)
{
	unsigned long most = 0, v[3];
	FILE *f = fopen("/proc/sys/net/ipv4/tcp_rmem", "r");
	unsigned int scale = 0;

	assert_non_null(f);
	assert_int_equal(fscanf(f, "%lu %lu %lu", &v[0], &v[1], &v[2]), 3);
	fclose(f);
	most = v[2];
	f = fopen("/proc/sys/net/core/rmem_max", "r");
	if (f) {
		if (fscanf(f, "%lu", &v[0]) == 1 && v[0] > most)
			most = v[0];
		fclose(f);
	}
	while (most >> (16 + scale) && scale < 14)
		scale++;
	return scale;
}

static const struct offer {
	const char *what, *opt;
	size_t nopt;
	bool time, sack;
	int scale;
} offers[] = {
	{ "all", LINUX_SYN, 20, true, true, 7 },
	{ "timestamps alone", "\2\4\5\xb4\1\1\x08\x0a\xff\xff\xff\xff\0\0\0\0", 16, true, false, -1 },
	{ "timestamps and SACK", "\4\2\x08\x0a\x80\0\0\1\0\0\0\0", 12, true, true, -1 },
	{ "timestamps and scale 0", "\1\3\3\0\1\1\x08\x0a\0\0\0\1\0\0\0\0", 16, true, false, 0 },
	{ "timestamps and scale 14", "\1\3\3\x0e\1\1\x08\x0a\0\0\0\1\0\0\0\0", 16, true, false, 14 },
	{ "timestamps and an impossible scale", "\1\3\3\xff\1\1\x08\x0a\0\0\0\1\0\0\0\0", 16, true, false, 14 },
	{ "all but timestamps", "\2\4\5\xb4\1\3\3\x08\1\1\4\2", 12, false, false, -1 },
	{ "none", NULL, 0, false, false, -1 },
};

static void offer(const struct kind *k, const struct offer *o)
{
	struct peer p = stranger(k->family);
	struct heard ours, theirs;
	struct tcp_info info;
	socklen_t len = sizeof(info);
	char echo[12] = "\1\1\x08\x0a";
	struct craft c;

	p.syn_opt = o->opt;
	p.nsyn_opt = o->nopt;
	c = knock(&p);
	is_answered(o->what, &c, &ours);
	assert_int_equal(ours.words, o->time ? 10 : 6);
	assert_int_equal(ours.time, o->time);
	assert_int_equal(ours.sack, o->sack);
	assert_int_equal(ours.scale >= 0, o->scale >= 0);
	kernel_answers(&c, &theirs);
	assert_int_equal(ours.time, theirs.time);
	if (o->time) { /* without, the kernel too says what it will have forgotten */
		assert_int_equal(ours.sack, theirs.sack);
		assert_int_equal(ours.scale, theirs.scale);
		assert_int_equal(ours.echo, theirs.echo);
		assert_int_equal(ours.stamp & 63, theirs.stamp & 63);
		assert_true(theirs.stamp - ours.stamp < 1000);
	}
	memcpy(echo + 4, (uint8_t[]){ 0xff, 0xff, 0xff, 0xff }, 4);
	for (int i = 0; i < 4; i++)
		echo[8 + i] = ours.stamp >> (24 - 8 * i);
	completes(&p, &ours, o->time ? echo : NULL, o->time ? 12 : 0);
	assert_int_equal(getsockopt(p.fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	assert_int_equal(!!(info.tcpi_options & TCPI_OPT_TIMESTAMPS), o->time);
	assert_int_equal(!!(info.tcpi_options & TCPI_OPT_SACK), o->sack);
	assert_int_equal(!!(info.tcpi_options & TCPI_OPT_WSCALE), o->scale >= 0);
	if (o->scale >= 0) {
		assert_int_equal(info.tcpi_snd_wscale, o->scale);
		assert_int_equal(info.tcpi_rcv_wscale, ours.scale);
	}
	peer_abort(&p);
}

static void with_plain_timestamps_the_options_survive_as_in_the_kernels_own(void **state)
{
	(void)state;
	wire_sysctl("net/ipv4/tcp_timestamps", "2");
	for (size_t k = 0; k < KINDS; k++) {
		begin(&kinds[k], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
		wire_sysctl("net/ipv4/tcp_timestamps", "2");
		g->state->cookie_options = MXDP_COOKIE_TIME | MXDP_COOKIE_SACK | MXDP_COOKIE_SCALE |
					   own_scale() << MXDP_COOKIE_SHIFT;
		for (size_t i = 0; i < sizeof(offers) / sizeof(offers[0]); i++)
			offer(&kinds[k], &offers[i]);
		end();
	}
}

/* ---- who is left alone ---- */

static void twist_ip4(struct crafted *f)
{
	f->b[f->l3 + 6] |= 0x20; /* a first fragment */
}

static void what_is_not_answered_reaches_the_kernel_as_it_was(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct peer p = stranger(kinds[k].family);
		struct craft c;

		begin(&kinds[k], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
		c = knock(&p);
		c.tcp_opt = "\2\4\5\xb4\x13\x12\1\2\3\4\5\6\7\x08\1\2\3\4\5\6\7\x08";
		c.ntcp_opt = 22;
		is_left_alone("a SYN with an MD5 signature", &c);
		c.tcp_opt = "\2\4\5\xb4\x1d\x10\1\2\3\4\5\6\7\x08\1\2\3\4\5\6";
		c.ntcp_opt = 20;
		is_left_alone("a SYN with TCP-AO", &c);
		c = knock(&p);
		if (c.family == 4) {
			c.ip_opt = "\x94\4\0\0";
			c.nip_opt = 4;
			is_left_alone("a SYN with an IP option", &c);
			c = knock(&p);
			c.then = twist_ip4;
			is_left_alone("a first fragment", &c);
		} else {
			c.ext = "h";
			is_left_alone("a SYN behind hop-by-hop options", &c);
			c.ext = "d";
			is_left_alone("a SYN behind destination options", &c);
			c.ext = "f";
			is_left_alone("a SYN in an atomic fragment", &c);
		}
		rig_cookies(g, 25, 0);
		c = knock(&p);
		is_left_alone("a port without cookies", &c);
		rig_cookies(g, 25, MXDP_PORT_COOKIES_ALWAYS);
		wire_sysctl("net/ipv4/tcp_syncookies", "0");
		is_left_alone("cookies switched off in the kernel", &c);
		wire_sysctl("net/ipv4/tcp_syncookies", "1");
		is_left_alone("`always`, and a kernel that sees no pressure", &c);
		wire_sysctl("net/ipv4/tcp_syncookies", "2");
		c.from = DENIED;
		c.src = NULL;
		RUNS("a source that is denied", &c, DROP(DENIED, SMTP));
		c.from = BLOCKED;
		RUNS("a source that is blocked", &c, DROP(BLOCKED, SMTP));
		close(smtp);
		smtp = -1;
		c = knock(&p);
		is_left_alone("nobody listens", &c);
		end();
	}
}

static void in_more_buffers_than_one_nothing_is_answered(void **state)
{
	struct peer p = stranger(4);
	struct craft c = knock(&p);

	(void)state;
	begin(&kinds[0], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
	c.payload = 3000;
	craft(&c, &sent);
	rig_expect(g, "the data lies in a second buffer", &(struct rig_run){ .frame = sent.b, .len = sent.len, .linear = 100 }, 4,
		   SAYS(PASS(ALLOWED, SMTP)));
	c.payload = 0;
	c.padding = 6;
	craft(&c, &sent);
	/* the padding does; its bytes are not counted, for nobody asks after them */
	assert_int_equal(rig_run(g, &(struct rig_run){ .frame = sent.b, .len = sent.len, .linear = 54 }), XDP_PASS);
	c.padding = 3000;
	craft(&c, &sent);
	assert_int_equal(rig_run(g, &(struct rig_run){ .frame = sent.b, .len = sent.len, .linear = 2100 }), XDP_PASS);
	assert_true(rig_adds_up_unseen(g));
}

static void who_only_observes_or_asks_sends_nothing(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct mxdp_probe probe = { .key = RIG_PROBE_KEY };
		struct peer p = stranger(kinds[k].family);
		struct craft c = knock(&p);

		begin(&kinds[k], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
		craft(&c, &sent);
		assert_int_equal(rig_run(g, &(struct rig_run){ .frame = sent.b, .len = sent.len, .probe = &probe }), XDP_PASS);
		assert_int_equal(probe.reason, MXDP_R_ALLOWED);
		rig_policy(g, rows_sentences_observe);
		rig_cookies(g, 25, MXDP_PORT_COOKIES_ALWAYS);
		is_left_alone("observing", &c);
		end();
	}
}

static void a_connection_the_kernel_knows_is_the_kernels(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct peer p = stranger(kinds[k].family), half = stranger(kinds[k].family);
		struct craft c;

		begin(&kinds[k], 0, "1", 64);
		peer_opens(g, &p, smtp);
		peer_knocks(g, &half);
		half.next--;
		rig_cookies(g, 25, MXDP_PORT_COOKIES_ALWAYS);
		wire_sysctl("net/ipv4/tcp_syncookies", "2");
		c = knock(&half);
		is_left_alone("a SYN that is sent again", &c);
		c = knock(&p);
		is_left_alone("a SYN into an open connection", &c);
		peer_abort(&p);
		end();
	}
}

static int group_of_two(unsigned int port, int *second)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(port) };
	int one = 1, zero = 0, fd[2];

	for (int i = 0; i < 2; i++) {
		fd[i] = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		assert_int_equal(setsockopt(fd[i], SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
		assert_int_equal(setsockopt(fd[i], IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero)), 0);
		assert_int_equal(bind(fd[i], (void *)&any, sizeof(any)), 0);
		assert_int_equal(listen(fd[i], 64), 0);
	}
	*second = fd[1];
	return fd[0];
}

static void listeners_that_share_a_port_get_their_connections(void **state)
{
	int second, firsts = 0, seconds = 0;

	(void)state;
	begin(&kinds[0], MXDP_PORT_COOKIES_ALWAYS, "2", 64);
	close(smtp);
	smtp = group_of_two(25, &second);
	for (int i = 0; i < 40; i++) {
		struct peer p = stranger(i & 1 ? 6 : 4);
		struct craft c = knock(&p);
		struct heard h;

		is_answered("SYN to a group", &c, &h);
		p.next++;
		p.acked = h.seq + 1;
		c = peer_says(&p, ACK);
		peer_sends(g, &p, "ACK to a group", &c, SAYS(PASS(COOKIE, HERE)));
		if (peer_accepted(&p, smtp, 0))
			firsts++;
		else if (peer_accepted(&p, second, 1000))
			seconds++;
		peer_abort(&p);
	}
	assert_int_equal(firsts + seconds, 40);
	assert_true(firsts && seconds);
	close(second);
}

/* ---- auto ---- */

static void fill_the_queue(unsigned int family, int n)
{
	for (int i = 0; i < n; i++) {
		struct peer silent = stranger(family);
		struct craft c = knock(&silent);

		rig_cookies(g, 25, 0);
		peer_sends(g, &silent, "a SYN that fills the queue", &c, SAYS(PASS(ALLOWED, HERE)));
	}
	rig_cookies(g, 25, MXDP_PORT_COOKIES_AUTO);
}

static void auto_answers_when_the_kernel_would_and_asks_once_a_tick(void **state)
{
	(void)state;
	for (size_t k = 0; k < KINDS; k++) {
		struct peer p = stranger(kinds[k].family), q = stranger(kinds[k].family);
		struct craft c = knock(&p), d = knock(&q);
		struct heard h;

		begin(&kinds[k], MXDP_PORT_COOKIES_AUTO, "1", 4);
		for (int i = 0; i < 10; i++) {
			g->state->test_jiffies++;
			is_left_alone("the queue has room", &c);
		}
		fill_the_queue(kinds[k].family, 8);
		is_left_alone("this tick has asked", &c);
		g->state->test_jiffies++;
		is_answered("the next one hears that the queue is full", &c, &h);
		is_answered("and so does every SYN then", &d, &h);
		completes(&q, &h, NULL, 0);
		peer_abort(&q);
		g->state->test_jiffies += RIG_SECOND - 1;
		is_answered("still within the second", &c, &h);
		is_answered("still within the second", &c, &h);
		completes(&p, &h, NULL, 0);
		close(smtp);
		smtp = wire_listen(kinds[k].listener, 25, 64);
		p = stranger(kinds[k].family);
		c = knock(&p);
		is_left_alone("room again: the kernel sends none", &c);
		is_left_alone("room again: the kernel sends none", &c);
		rig_seconds(g, 2);
		g->state->test_jiffies++;
		is_left_alone("a quiet second later one is asked about", &c);
		wire_sysctl("net/ipv4/tcp_syncookies", "2");
		is_left_alone("and no other in its tick", &c);
		g->state->test_jiffies -= 100 * RIG_SECOND;
		is_answered("a clock that jumps back holds nothing up", &c, &h);
		g->state->test_jiffies += 200 * RIG_SECOND;
		end();
	}
}

static void a_full_accept_queue_is_left_to_the_kernel(void **state)
{
	struct peer first = stranger(4), p = stranger(4);
	struct craft c;
	struct heard h;

	(void)state;
	begin(&kinds[0], MXDP_PORT_COOKIES_ALWAYS, "2", 0);
	c = knock(&first);
	is_answered("room for one", &c, &h);
	first.next++;
	first.acked = h.seq + 1;
	c = peer_says(&first, ACK);
	peer_sends(g, &first, "its ACK", &c, SAYS(PASS(COOKIE, HERE)));
	c = knock(&p);
	is_left_alone("nobody accepts", &c);
	assert_true(peer_accepted(&first, smtp, 1000));
	is_answered("now somebody did", &c, &h);
	peer_abort(&first);
}

/* ---- refusals ---- */

static int refuse(const struct refuse_bpf *s, const struct craft *c)
{
	LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = sent.b, .data_out = out, .data_size_out = sizeof(out), .repeat = 1);

	craft(c, &sent);
	t.data_size_in = sent.len;
	assert_int_equal(bpf_prog_test_run_opts(bpf_program__fd(s->progs.refuse), &t), 0);
	nout = t.data_size_out;
	return t.retval;
}

static struct refuse_bpf *refuser(enum mxdp_answers answers)
{
	struct refuse_bpf *s = refuse_bpf__open();

	assert_non_null(s);
	s->rodata->cfg = (struct mxdp_cfg){ .frags = 1, .test_clock = 1, .answers = answers };
	bpf_program__set_autoload(s->progs.mxdp, false);
	assert_int_equal(refuse_bpf__load(s), 0);
	return s;
}

static void a_refusal_is_right_to_the_last_byte_and_believed(void **state)
{
	struct refuse_bpf *s = refuser(MXDP_ANSWERS_TX);

	(void)state;
	rig_policy(g, rows_sentences);
	for (size_t k = 0; k < KINDS; k++) {
		for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
			for (unsigned int tags = 0; tags < TAG_FORMS; tags++) {
				struct peer p = stranger(kinds[k].family);
				struct craft c = knock(&p);
				struct heard h;

				c.seq = i & 1 ? 0xffffffff : c.seq;
				c.tags = tags;
				c.tcp_opt = shapes[i].opt;
				c.ntcp_opt = shapes[i].nopt;
				c.payload = shapes[i].payload;
				c.padding = shapes[i].padding;
				assert_int_equal(refuse(s, &c), XDP_TX);
				reads(&sent, out, nout, &h);
				assert_int_equal(h.flags, RST | ACK);
				assert_int_equal(h.words, 5);
				assert_int_equal(h.seq, 0);
				assert_int_equal(h.window, 0);
			}
		}
	}
	refuse_bpf__destroy(s);
}

/* The SYN of a host's own connect() is refused; the refusal is given to it. */
static void a_refused_host_knows_at_once(void **state)
{
	struct refuse_bpf *s = refuser(MXDP_ANSWERS_TX);

	(void)state;
	rig_policy(g, rows_sentences);
	for (size_t k = 0; k < 2; k++) {
		struct peer p = { .family = kinds[k].family, .port = 25, .fd = -1 };
		struct craft c;
		size_t l3 = 14;

		wire_connect(&p); /* its SYN is gone by the wire: the same one again */
		c = (struct craft){ .family = p.family, .src = p.family == 4 ? US4 : US6,
				    .dst = craft_address(STRANGER, p.family), .sport = p.host_port, .dport = 25,
				    .flags = SYN, .seq = p.acked - 1 };
		assert_int_equal(refuse(s, &c), XDP_TX);
		wire_give(out + l3, p.family == 4 ? 40 : 60);
		assert_int_equal(peer_heard(&p, 1000), -ECONNREFUSED);
		close(p.fd);
	}
	refuse_bpf__destroy(s);
}

static void where_nothing_can_be_sent_nothing_is_refused_or_answered(void **state)
{
	struct refuse_bpf *s = refuser(MXDP_ANSWERS_NONE);
	struct peer p = stranger(4);
	struct craft c = knock(&p);

	(void)state;
	assert_int_equal(refuse(s, &c), XDP_DROP);
	assert_int_equal(nout, sent.len);
	assert_memory_equal(out, sent.b, nout);
	refuse_bpf__destroy(s);
}

static int up(void **state)
{
	(void)state;
	wire_up();
	/* test runs come in by lo: as wide as the wire, so that both ends say the same segment size */
	if (system("ip link set lo mtu 1500"))
		return -1;
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
		RUN(every_answer_is_right_to_the_last_byte),
		RUN(the_kernel_would_have_sent_the_same),
		RUN(what_an_answered_syn_opens_works),
		RUN(with_plain_timestamps_the_options_survive_as_in_the_kernels_own),
		RUN(what_is_not_answered_reaches_the_kernel_as_it_was),
		RUN(in_more_buffers_than_one_nothing_is_answered),
		RUN(who_only_observes_or_asks_sends_nothing),
		RUN(a_connection_the_kernel_knows_is_the_kernels),
		RUN(listeners_that_share_a_port_get_their_connections),
		RUN(auto_answers_when_the_kernel_would_and_asks_once_a_tick),
		RUN(a_full_accept_queue_is_left_to_the_kernel),
		RUN(a_refusal_is_right_to_the_last_byte_and_believed),
		RUN(a_refused_host_knows_at_once),
		RUN(where_nothing_can_be_sent_nothing_is_refused_or_answered),
	};

	return cmocka_run_group_tests(tests, up, down);
}
