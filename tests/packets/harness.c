// SPDX-License-Identifier: GPL-2.0-only
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <sched.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>
#include <mxdp/abi.h>
#include "diag.h"
#include "harness.h"
#include "image.h"
#include "mxdp.skel.h"
#include "rules.h"

#define RIG_TRIE_LINES 4096u
#define NCOUNTERS MXDP_COUNTERS_PER_ROW
#define NPORTS 65536u
#define SAY_AT_MOST 30u /* of what is wrong, in full */

static const struct {
	const char *name;
	enum mxdp_layer layer;
} reasons[MXDP_REASON_SLOTS] = {
#define X(nr, sym, name_, verdict, layer_, text) [nr] = { name_, MXDP_LAYER_##layer_ },
	MXDP_REASONS(X)
#undef X
};

static bool reason_known(unsigned int reason)
{
	return reason < MXDP_REASON_SLOTS && reasons[reason].name;
}

const char *rig_reason_name(int reason)
{
	return reason_known(reason) ? reasons[reason].name : "(no such reason)";
}

enum mxdp_layer rig_reason_layer(int reason)
{
	return reasons[reason].layer;
}

static void __attribute__((format(printf, 1, 2), noreturn)) give_up(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fputs("rig: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(99);
}

bool rig_claim(struct rig *g, bool ok, const char *fmt, ...)
{
	va_list ap;

	if (ok)
		return true;
	if (g->quiet || ++g->failed > SAY_AT_MOST)
		return false;
	va_start(ap, fmt);
	fputs("  WRONG: ", stdout);
	vprintf(fmt, ap);
	putchar('\n');
	va_end(ap);
	return false;
}

/* ---- load ---- */

void rig_alone(void)
{
	if (unshare(CLONE_NEWNET))
		give_up("cannot make a network namespace: %s (root is needed)", strerror(errno));
}

static void *map_memory(struct bpf_map *m)
{
	size_t value = (bpf_map__value_size(m) + 7) & ~7ul, page = sysconf(_SC_PAGESIZE);
	size_t len = (value * bpf_map__max_entries(m) + page - 1) & ~(page - 1);
	void *p = mmap(NULL, len, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(m), 0);

	if (p == MAP_FAILED)
		give_up("cannot map %s: %s", bpf_map__name(m), strerror(errno));
	return p;
}

struct rig *rig_new(const struct rig_options *o)
{
	struct rig *g = xcalloc(1, sizeof(*g));

	g->lease_lines = o && o->lease_lines ? o->lease_lines : 256;
	g->trie_lines = RIG_TRIE_LINES;
	g->ban_lines = o && o->ban_lines ? o->ban_lines : 64;
	g->skel = mxdp_bpf__open();
	if (!g->skel)
		give_up("cannot open the program: %s", strerror(errno));
	g->skel->rodata->cfg = (struct mxdp_cfg){
		.lease_key = { 0x0123456789abcdefull, 0xfedcba9876543210ull },
		.probe_key = RIG_PROBE_KEY,
		.lease_mask = g->lease_lines - 1,
		.tick_shift = RIG_TICK_SHIFT,
		.frags = !(o && o->no_frags),
		.test_clock = 1,
		.shared_rows = o && o->shared_rows,
		.attached_on_trial = o ? o->attached_on_trial : 0,
		.ban_lines = g->ban_lines,
	};
	if (o && o->no_frags)
		bpf_program__set_flags(g->skel->progs.mxdp, 0);
	bpf_map__set_max_entries(g->skel->maps.trie, g->trie_lines);
	bpf_map__set_max_entries(g->skel->maps.lease, g->lease_lines);
	bpf_map__set_max_entries(g->skel->maps.conns, MXDP_CONN_LINES(g->lease_lines));
	bpf_map__set_max_entries(g->skel->maps.bans, g->ban_lines);
	bpf_map__set_max_entries(g->skel->maps.banned, g->ban_lines * MXDP_BAN_WAYS);
	if (mxdp_bpf__load(g->skel))
		give_up("cannot load the program: %s (root is needed)", strerror(errno));
	g->prog = bpf_program__fd(g->skel->progs.mxdp);
	g->state = map_memory(g->skel->maps.data_state);
	g->banks = map_memory(g->skel->maps.bss);
	g->trie = map_memory(g->skel->maps.trie);
	g->lease = map_memory(g->skel->maps.lease);
	g->gates = map_memory(g->skel->maps.gates);
	g->conns = map_memory(g->skel->maps.conns);
	g->counters = map_memory(g->skel->maps.counters);
	g->bans = map_memory(g->skel->maps.bans);
	g->banned = map_memory(g->skel->maps.banned);
	g->ban_head = map_memory(g->skel->maps.data_bans);
	g->ban_texts = map_memory(g->skel->maps.ban_texts);
	g->ports = map_memory(g->skel->maps.ports);
	g->book_counters = xcalloc(NCOUNTERS, sizeof(*g->book_counters));
	g->book_ports = xcalloc(NPORTS, sizeof(*g->book_ports));
	g->state->abi = MXDP_ABI;
	g->state->limit_key[0] = 0x3141592653589793ull;
	g->state->limit_key[1] = 0x2718281828459045ull;
	g->state->test_jiffies = 1000 * RIG_SECOND;
	return g;
}

void rig_free(struct rig *g)
{
	if (!g)
		return;
	mxdp_bpf__destroy(g->skel);
	free(g->book_counters);
	free(g->book_ports);
	free(g);
}

/* ---- policy ---- */

void rig_policy(struct rig *g, const char *sentences)
{
	uint32_t epoch = g->state->epoch + 1, half = g->trie_lines / 2, first = epoch & 1 ? half : 2;
	struct mxdp_bank *bank = &g->banks[epoch & 1];
	struct rules r = {};
	struct image img = {};
	struct diag d = {};

	if (rules_parse(&r, "rig.conf", sentences, strlen(sentences), &d) || rules_finish(&r, &d) ||
	    image_compile(&img, &r, NULL, &d)) {
		diag_print(&d, stderr);
		give_up("this policy does not compile:\n%s", sentences);
	}
	if (img.nlines > half - 2)
		give_up("this policy needs %zu lines of the trie, there are %u", img.nlines, half - 2);
	memcpy(g->trie + first, img.lines, img.nlines * sizeof(*img.lines));
	image_place_bank(&img, first, epoch, bank);
	for (unsigned int i = 0; i < MXDP_SERVICES; i++)
		memcpy(g->service[i], img.services[i].key, sizeof(g->service[i]));
	g->observe = bank->flags & MXDP_BANK_OBSERVE;
	__atomic_store_n(&g->state->epoch, epoch, __ATOMIC_RELEASE);
	image_free(&img);
	rules_free(&r);
	diag_free(&d);
}

void rig_cookies(struct rig *g, unsigned int port, unsigned int bits)
{
	uint16_t *entry = &g->banks[g->state->epoch & 1].port[port];

	*entry = (*entry & ~MXDP_PORT_COOKIES) | bits;
}

void rig_seconds(struct rig *g, unsigned int n)
{
	g->state->test_jiffies += n * RIG_SECOND;
}

bool rig_no_lease(const struct rig *g)
{
	for (size_t i = 0; i < g->lease_lines; i++)
		for (unsigned int w = 0; w < MXDP_LEASE_WAYS; w++)
			if (g->lease[i].word[w])
				return false;
	return true;
}

/* ---- run ---- */

int rig_run(struct rig *g, const struct rig_run *r)
{
	static __thread uint8_t in[128 * 1024], out[128 * 1024];
	size_t nmeta = !r->probe ? 0 : r->nmeta ? r->nmeta : sizeof(*r->probe);
	struct xdp_md ctx = { .data = nmeta, .data_end = nmeta + (r->linear ? r->linear : r->len) };
	LIBBPF_OPTS(bpf_test_run_opts, t, .data_in = r->frame, .data_size_in = r->len, .repeat = 1);
	int err;

	if (nmeta) {
		memcpy(in, r->probe, nmeta);
		memcpy(in + nmeta, r->frame, r->len);
		t.data_in = in;
		t.data_size_in = nmeta + r->len;
		t.data_out = out;
		t.data_size_out = sizeof(out);
	} else if (r->answer) {
		t.data_out = r->answer;
		t.data_size_out = RIG_ANSWER;
	}
	if (nmeta || r->linear) {
		t.ctx_in = &ctx;
		t.ctx_size_in = sizeof(ctx);
	}
	err = bpf_prog_test_run_opts(g->prog, &t);
	if (err)
		return err < 0 ? err : -errno;
	if (nmeta)
		memcpy(r->probe, out, nmeta);
	else if (r->answer)
		*r->nanswer = t.data_size_out;
	if (nmeta < sizeof(*r->probe) || r->probe->key != RIG_PROBE_KEY) {
		__atomic_fetch_add(&g->sent, 1, __ATOMIC_RELAXED);
		__atomic_fetch_add(&g->sent_bytes, r->len, __ATOMIC_RELAXED);
		if (r->linear)
			g->split = true;
	}
	return t.retval;
}

/* ---- books ---- */

static void say_counter(size_t i, const struct mxdp_count *is, const struct mxdp_count *was)
{
	unsigned int reason = i % MXDP_REASON_SLOTS, observed = i / MXDP_REASON_SLOTS % 2;
	unsigned int family = i / MXDP_REASON_SLOTS / 2 % 2, service = i / MXDP_REASON_SLOTS / 4;

	printf("        %+lld packets, %+lld bytes: %s, service %u, %s%s\n", (long long)(is->packets - was->packets),
	       (long long)(is->bytes - was->bytes), rig_reason_name(reason), service, family ? "IPv6" : "IPv4",
	       observed ? ", observed" : "");
}

static void say_books(const struct rig *g)
{
	puts("      counters against the books (+ counted, - should have been):");
	for (size_t i = 0; i < NCOUNTERS; i++)
		if (memcmp(&g->counters[i], &g->book_counters[i], sizeof(g->counters[i])))
			say_counter(i, &g->counters[i], &g->book_counters[i]);
	for (size_t i = 0; i < NPORTS; i++) {
		const struct mxdp_port_count *is = &g->ports[i], *was = &g->book_ports[i];

		if (memcmp(is, was, sizeof(*is)))
			printf("        port %zu: passed %+lld (%+lld bytes), dropped %+lld (%+lld bytes), observed %+lld\n", i,
			       (long long)(is->passed.packets - was->passed.packets),
			       (long long)(is->passed.bytes - was->passed.bytes),
			       (long long)(is->dropped.packets - was->dropped.packets),
			       (long long)(is->dropped.bytes - was->dropped.bytes),
			       (long long)(is->observed.packets - was->observed.packets));
	}
}

static void fold_cell(struct rig *g, struct mxdp_port_count *pc, unsigned int family)
{
	struct mxdp_count *closed = &g->counters[MXDP_COUNTER(0, 0, family, 0, MXDP_R_CLOSED)], *from = &pc->knocked[family];

	closed->packets += from->packets;
	closed->bytes += from->bytes;
	pc->dropped.packets += from->packets;
	pc->dropped.bytes += from->bytes;
	*from = (struct mxdp_count){ 0 };
}

void rig_fold(struct rig *g, int port)
{
	int first = port == NOPORT ? 0 : port, last = port == NOPORT ? 65535 : port;

	for (int i = first; i <= last; i++)
		for (unsigned int family = 0; family < 2; family++)
			if (g->ports[i].knocked[family].packets)
				fold_cell(g, &g->ports[i], family);
}

static bool books_hold(const struct rig *g)
{
	return !memcmp(g->counters, g->book_counters, NCOUNTERS * sizeof(*g->counters)) &&
	       !memcmp(g->ports, g->book_ports, NPORTS * sizeof(*g->ports));
}

static void copy_books(struct rig *g)
{
	memcpy(g->book_counters, g->counters, NCOUNTERS * sizeof(*g->counters));
	memcpy(g->book_ports, g->ports, NPORTS * sizeof(*g->ports));
}

static void enter(struct mxdp_count *c, size_t bytes)
{
	c->packets++;
	c->bytes += bytes;
}

static unsigned int service_number(struct rig *g, const char *key)
{
	if (!key)
		return 0;
	for (unsigned int i = 1; i < MXDP_SERVICES; i++)
		if (!strcmp(g->service[i], key))
			return i;
	give_up("no service \"%s\" in force", key);
}

static void say_frame(const struct rig_run *r)
{
	const uint8_t *b = r->frame;

	printf("      frame of %zu bytes:", r->len);
	for (size_t i = 0; i < r->len && i < 120; i++)
		printf("%s%02x", i % 4 ? "" : " ", b[i]);
	puts(r->len > 120 ? " ..." : "");
}

static const char *verdict_name(int verdict)
{
	return verdict == XDP_DROP ? "drop" : verdict == XDP_PASS ? "pass" : verdict == XDP_TX ? "answer" : "nothing it may say";
}

bool rig_expect(struct rig *g, const char *what, const struct rig_run *r, unsigned int family, struct rig_says s)
{
	bool drops = mxdp_drop_mask >> s.reason & 1, observed = drops && g->observe;
	unsigned int fam = family == 6 && rig_reason_layer(s.reason) != MXDP_LAYER_LINK;
	int want = observed ? XDP_PASS : s.verdict, got = rig_run(g, r);
	struct mxdp_port_count *pc;

	if (got < 0)
		give_up("%s: the kernel refuses the run: %s", what, strerror(-got));
	rig_fold(g, NOPORT);
	enter(&g->book_counters[MXDP_COUNTER(0, service_number(g, s.service), fam, observed, s.reason)], r->len);
	if (s.port != NOPORT) {
		pc = &g->book_ports[s.port];
		enter(observed ? &pc->observed : want == XDP_PASS ? &pc->passed : &pc->dropped, r->len);
	}
	if (got == want && books_hold(g))
		return true;
	if (rig_claim(g, false, "%s", what), !g->quiet && g->failed <= SAY_AT_MOST) {
		printf("      wanted: %s, %s, service %s, port %d; got: %s\n", verdict_name(want),
		       rig_reason_name(s.reason), s.service ? s.service : "other", s.port, verdict_name(got));
		say_books(g);
		say_frame(r);
	}
	copy_books(g);
	return false;
}

static bool sums_equal(struct rig *g)
{
	uint64_t packets = 0, bytes = 0;
	bool ok = true;

	rig_fold(g, NOPORT);
	for (size_t i = 0; i < NCOUNTERS; i++) {
		packets += g->counters[i].packets;
		bytes += g->counters[i].bytes;
		if (g->counters[i].packets && !reason_known(i % MXDP_REASON_SLOTS))
			ok = rig_claim(g, false, "counted under %zu, which is no reason", i % MXDP_REASON_SLOTS);
	}
	ok &= rig_claim(g, packets == g->sent, "%llu packets counted, %llu sent", (unsigned long long)packets,
			(unsigned long long)g->sent);
	ok &= rig_claim(g, bytes == g->sent_bytes || (g->split && bytes < g->sent_bytes),
			"%llu bytes counted, %llu sent", (unsigned long long)bytes, (unsigned long long)g->sent_bytes);
	return ok;
}

/* Every packet of the TCP layer stands under its port as well, once. */
static bool ports_equal(struct rig *g)
{
	uint64_t packets = 0, at_least = 0;

	for (size_t i = 0; i < NPORTS; i++)
		packets += g->ports[i].passed.packets + g->ports[i].dropped.packets + g->ports[i].observed.packets;
	for (size_t i = 0; i < NCOUNTERS; i++)
		if (reason_known(i % MXDP_REASON_SLOTS) && rig_reason_layer(i % MXDP_REASON_SLOTS) == MXDP_LAYER_TCP)
			at_least += g->counters[i].packets;
	return rig_claim(g, packets >= at_least && packets <= g->sent,
			 "ports say %llu packets, TCP reasons %llu, sent %llu", (unsigned long long)packets,
			 (unsigned long long)at_least, (unsigned long long)g->sent);
}

bool rig_adds_up(struct rig *g)
{
	bool ok;

	rig_fold(g, NOPORT);
	ok = rig_claim(g, books_hold(g), "the counters differ from the books in the end");

	if (!ok)
		say_books(g);
	ok &= sums_equal(g);
	ok &= ports_equal(g);
	if (g->failed > SAY_AT_MOST)
		printf("  %u things are wrong, the first %u are named\n", g->failed, SAY_AT_MOST);
	return ok;
}

bool rig_adds_up_unseen(struct rig *g)
{
	bool ok = sums_equal(g) & ports_equal(g);

	copy_books(g);
	return ok;
}

/* ---- chance ---- */

uint64_t rig_random(uint64_t *seed)
{
	uint64_t z = *seed += 0x9e3779b97f4a7c15ull; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ull;
	z = (z ^ z >> 27) * 0x94d049bb133111ebull;
	return z ^ z >> 31;
}

uint64_t rig_seed(void)
{
	const char *s = getenv("MXDP_SEED");
	uint64_t seed;

	if (s)
		seed = strtoull(s, NULL, 0);
	else if (getrandom(&seed, sizeof(seed), 0) != sizeof(seed))
		give_up("no random seed: %s", strerror(errno));
	printf("  MXDP_SEED=0x%016llx\n", (unsigned long long)seed);
	fflush(stdout);
	return seed;
}
