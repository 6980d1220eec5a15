// SPDX-License-Identifier: GPL-2.0-only
/*
 * What each packet costs, over `return XDP_PASS` or `return XDP_DROP`.
 *
 * Each row is loaded four times, for where code and tables happen to lie.
 * The filter and the bare program take turns in the same second, round after
 * round, each on the same packet with the same change of source; the figure is
 * the least of all rounds of the one less the least of all rounds of the other
 * (what the machine does when nobody else has it), and beside it the median of
 * the differences (what it did today).
 */
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <json-c/json.h>
#include <linux/if_ether.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/utsname.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "image.h"
#include "bench.skel.h"

#define MAX_ROUNDS 101
#define REPEATS 500000

enum { VARY_NOTHING, VARY_FLOW, VARY_SOURCE };

struct row {
	const char *name;
	int budget_ns; /* DESIGN's table; 0: none, for information */
	int family;    /* 4, 6 */
	int flags;
	int port;
	int vary;
	unsigned int flows;
	unsigned int prefixes;
	unsigned int expect;
	const char *limit; /* what `allow smtp` says of how much */
	unsigned int bans; /* of single addresses, of the same family */
	bool least;        /* not the filter, but the least that any does */
};

static const struct row rows[] = {
	{ "type, port and a counter, nothing else", 0, 4, 0x02, 81, VARY_NOTHING, 0, 0, 1, .least = true },
	{ "SYN to a closed port", 5, 4, 0x02, 81, VARY_NOTHING, 0, 0, 1 },
	{ "SYN to a closed port, IPv6", 5, 6, 0x02, 81, VARY_NOTHING, 0, 0, 1 },
	{ "SYN to a closed port, random sources, 100k prefixes", 5, 4, 0x02, 81, VARY_SOURCE, 0, 100000, 1 },
	{ "plain segment on a good lease, 64k connections", 30, 4, 0x10, 25, VARY_FLOW, 65536, 0, 2 },
	{ "plain segment on a good lease, 64k connections, IPv6", 30, 6, 0x10, 25, VARY_FLOW, 65536, 0, 2 },
	{ "plain segment on a good lease, 1M connections", 90, 4, 0x10, 25, VARY_FLOW, 1048576, 0, 2 },
	{ "SYN to an open port, no prefixes", 0, 4, 0x02, 25, VARY_SOURCE, 0, 0, 2 },
	{ "SYN to an open port, 100k prefixes", 120, 4, 0x02, 25, VARY_SOURCE, 0, 100000, 2 },
	{ "SYN to an open port, 100k prefixes, IPv6", 120, 6, 0x02, 25, VARY_SOURCE, 0, 100000, 2 },
	{ "SYN to an open port, no prefixes, IPv6", 0, 6, 0x02, 25, VARY_SOURCE, 0, 0, 2 },
	{ "SYN to an open port, 1M prefixes, IPv6", 0, 6, 0x02, 25, VARY_SOURCE, 0, 1000000, 2 },
	{ "SYN to an open port, 1M prefixes", 0, 4, 0x02, 25, VARY_SOURCE, 0, 1000000, 2 },
	{ "SYN to an open port, 1M prefixes and a rate limit", 120, 4, 0x02, 25, VARY_SOURCE, 0, 1000000, 2, "limit 30/min" },
	{ "SYN to an open port, a rate limit", 0, 4, 0x02, 25, VARY_SOURCE, 0, 0, 2, "limit 30/min" },
	{ "SYN to an open port, rate and connections", 0, 4, 0x02, 25, VARY_SOURCE, 0, 0, 2, "limit 30/min connections 20" },
	{ "SYN to an open port, a rate limit, IPv6", 0, 6, 0x02, 25, VARY_SOURCE, 0, 0, 2, "limit 30/min" },
	{ "SYN to an open port, 1 ban", 0, 4, 0x02, 25, VARY_SOURCE, 0, 0, 2, .bans = 1 },
	{ "SYN to an open port, 100k bans", 0, 4, 0x02, 25, VARY_SOURCE, 0, 0, 2, .bans = 100000 },
	{ "SYN to an open port, 100k bans, IPv6", 0, 6, 0x02, 25, VARY_SOURCE, 0, 0, 2, .bans = 100000 },
	{ "SYN to an open port, 1M bans", 0, 4, 0x02, 25, VARY_SOURCE, 0, 0, 2, .bans = 1000000 },
	{ "plain segment on a good lease, 64k connections, 1M bans", 0, 4, 0x10, 25, VARY_FLOW, 65536, 0, 2, .bans = 1000000 },
	{ "packet of a banned source, 100k bans", 0, 4, 0x02, 25, VARY_NOTHING, 0, 0, 1, .bans = 100000 },
	{ "segment of no connection (tracker asked)", 0, 4, 0x10, 25, VARY_NOTHING, 0, 0, 1 },
};

static unsigned char frame[128];
static unsigned int frame_len;

static void make_frame(const struct row *r)
{
	struct ethhdr *eth = (void *)frame;
	struct tcphdr *tcp;

	memset(frame, 0, sizeof(frame));
	eth->h_dest[0] = 2;
	eth->h_source[0] = 2;
	if (r->family == 4) {
		struct iphdr *ip = (void *)(eth + 1);

		eth->h_proto = htons(ETH_P_IP);
		*ip = (struct iphdr){ .version = 4, .ihl = 5, .ttl = 64, .protocol = IPPROTO_TCP, .tot_len = htons(46),
				      .saddr = htonl(0xc6336407), .daddr = htonl(0xc0000201) };
		tcp = (void *)(ip + 1);
		frame_len = 60;
	} else {
		struct ip6_hdr *ip = (void *)(eth + 1);

		eth->h_proto = htons(ETH_P_IPV6);
		ip->ip6_flow = htonl(6u << 28);
		ip->ip6_plen = htons(20);
		ip->ip6_nxt = IPPROTO_TCP;
		inet_pton(AF_INET6, "2001:db8::7", &ip->ip6_src);
		inet_pton(AF_INET6, "2001:db8:1::1", &ip->ip6_dst);
		tcp = (void *)(ip + 1);
		frame_len = 74;
	}
	tcp->source = htons(40000);
	tcp->dest = htons(r->port);
	tcp->doff = 5;
	((unsigned char *)tcp)[13] = r->flags;
}

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

static uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return random_state >> 32;
}

/* The mix that measurements of prefix lists use: 55 % single hosts, 40 % /24, 4 % /22, 1 % /20; IPv6 /64, /48, /32. */
static struct prefix random_prefix(int family)
{
	struct prefix p = { .family = family };
	uint32_t dice = random32() % 100, a;

	if (family == 4) {
		p.len = dice < 55 ? 32 : dice < 95 ? 24 : dice < 99 ? 22 : 20;
		a = htonl((0x0b000000 + random32() % 0xd0000000) & ~((1ULL << (32 - p.len)) - 1));
		memcpy(p.addr, &a, 4);
	} else {
		p.len = dice < 55 ? 64 : dice < 95 ? 48 : 32;
		for (int i = 0; i < p.len / 8; i++)
			p.addr[i] = random32();
		p.addr[0] = 0x20 | (p.addr[0] & 0x1f);
	}
	return p;
}

static int make_image(struct image *img, const struct row *r)
{
	__cleanup_free char *text = xasprintf("track socket\ndefault deny\nallow smtp %s\nblock @bench\nlist bench 198.51.100.77\n",
					      r->limit ? r->limit : "");
	struct rules rules = { 0 };
	struct diag d = { 0 };
	int err;

	err = rules_parse(&rules, "bench", text, strlen(text), &d);
	if (!err && r->prefixes) {
		struct stmt *s = &rules.v[rules.n - 1];

		s->prefixes = xrealloc(s->prefixes, r->prefixes * sizeof(*s->prefixes));
		for (s->nprefixes = 1; s->nprefixes < r->prefixes; s->nprefixes++)
			s->prefixes[s->nprefixes] = random_prefix(r->family);
	}
	if (!err)
		err = rules_finish(&rules, &d);
	if (!err)
		err = image_compile(img, &rules, NULL, &d);
	if (err)
		diag_print(&d, stderr);
	diag_free(&d);
	rules_free(&rules);
	return err;
}

static uint32_t power_of_two(uint64_t n)
{
	uint32_t p = 1;

	while (p < n)
		p *= 2;
	return p;
}

static void *map_memory(struct bpf_map *m)
{
	size_t len = (size_t)bpf_map__value_size(m) * bpf_map__max_entries(m);
	void *p = mmap(NULL, (len + 4095) & ~4095UL, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(m), 0);

	return p == MAP_FAILED ? NULL : p;
}

/* As the loader does it: five to a line. */
static uint32_t ban_lines(const struct row *r)
{
	return r->bans / 5 + 64;
}

struct bans {
	struct mxdp_ban_line *line;
	struct mxdp_banned *record;
	struct mxdp_ban_head *head;
};
#define BAN_LINE(t, n) (&((struct bans *)(t))->line[n])
#define BAN_RECORD(t, i) (&((struct bans *)(t))->record[i])
#define BAN_HEAD(t) (((struct bans *)(t))->head)
#include <mxdp/ban_put.h>

/* The last one is the source of packets that vary in nothing. */
static void make_bans(struct bench_bpf *s, const struct row *r)
{
	struct bans b = { map_memory(s->maps.bans), map_memory(s->maps.banned), map_memory(s->maps.data_bans) };
	struct mxdp_state *state = map_memory(s->maps.data_state);

	if (!b.line || !b.record || !b.head || !state)
		exit(3);
	for (unsigned int i = 0; i < r->bans; i++) {
		struct mxdp_ban_new n = { .key = { .family = r->family == 6, .len = r->family == 6 ? 64 : 32 }, .owner = 1,
					  .expires_ns = MXDP_BAN_FOREVER_NS };

		n.key.lo = i + 1 < r->bans ? random32() : 0xc6336407; /* 198.51.100.7 */
		if (r->family == 6)
			n.key.hi = (uint64_t)random32() << 32 | random32();
		mxdp_ban_mask(&n.key);
		if (mxdp_ban_put(&b, &n, ban_lines(r)) < 0)
			exit(3);
		state->bans = 1;
	}
}

static struct bench_bpf *load(const struct row *r)
{
	struct bench_bpf *s = bench_bpf__open();
	struct image img = { 0 };
	struct mxdp_state *state;
	struct mxdp_bank *banks;
	union mxdp_line *trie;
	uint32_t lines = power_of_two(r->flows) / 4;
	struct mxdp_cfg cfg = { .lease_key = { 0x243f6a8885a308d3ULL, 0x13198a2e03707344ULL }, .probe_key = 1, .tick_shift = 8,
				.frags = 1, .test_clock = 1, .ban_lines = ban_lines(r) };

	if (!s || make_image(&img, r))
		exit(3);
	if (lines < 16384)
		lines = 16384;
	cfg.lease_mask = lines - 1;
	memcpy((void *)&s->rodata->cfg, &cfg, sizeof(cfg));
	s->rodata->vary = r->vary;
	s->rodata->flow_mask = r->flows ? r->flows - 1 : 0;
	bpf_map__set_max_entries(s->maps.lease, lines);
	bpf_map__set_max_entries(s->maps.conns, MXDP_CONN_LINES(lines));
	bpf_map__set_max_entries(s->maps.bans, ban_lines(r));
	bpf_map__set_max_entries(s->maps.banned, ban_lines(r) * MXDP_BAN_WAYS);
	bpf_map__set_max_entries(s->maps.trie, power_of_two(img.nlines + 2));
	if (bench_bpf__load(s)) {
		fputs("bench: the programs do not load: root, and a kernel with BPF?\n", stderr);
		exit(3);
	}
	state = map_memory(s->maps.data_state);
	banks = map_memory(s->maps.bss);
	trie = map_memory(s->maps.trie);
	if (!state || !banks || !trie)
		exit(3);
	memcpy(trie + 2, img.lines, img.nlines * sizeof(*trie));
	image_place_bank(&img, 2, 2, &banks[0]);
	state->epoch = 2;
	state->test_jiffies = 1 << 30;
	image_free(&img);
	make_bans(s, r);
	return s;
}

static int run(struct bpf_program *prog, unsigned int repeat, unsigned int *verdict)
{
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = frame_len, .repeat = repeat);

	if (bpf_prog_test_run_opts(bpf_program__fd(prog), &o)) {
		perror("bench: test run");
		exit(3);
	}
	*verdict = o.retval;
	return o.duration;
}

static int ascending(const void *a, const void *b)
{
	return *(const int *)a - *(const int *)b;
}

struct result {
	int least, median, base;
	bool wrong;
};

/* One load of the programs and tables: code and pages lie elsewhere in each, which is worth nanoseconds. */
static void measure_load(const struct row *r, int rounds, int *diff, int *least, int *least_base, bool *wrong)
{
	struct bench_bpf *s = load(r);
	struct bpf_program *base = r->expect == 1 ? s->progs.base_drop : s->progs.base_pass;
	struct bpf_program *filter = r->least ? s->progs.bench_least : s->progs.bench_filter;
	unsigned int verdict;

	make_frame(r);
	if (r->flows)
		run(s->progs.grant, r->flows, &verdict);
	for (int i = 0; i < rounds; i++) {
		int b = run(base, REPEATS, &verdict);
		int f = run(filter, REPEATS, &verdict);

		if (verdict != r->expect && r->vary == VARY_NOTHING)
			*wrong = true;
		diff[i] = f - b;
		if (f < *least)
			*least = f;
		if (b < *least_base)
			*least_base = b;
	}
	bench_bpf__destroy(s);
}

#define LOADS 4

static struct result measure(const struct row *r, int rounds)
{
	int diff[MAX_ROUNDS], least = 1 << 30, least_base = 1 << 30, done = 0;
	struct result res = { 0 };

	for (int i = 0; i < LOADS && done < rounds; i++) {
		int n = (rounds - done) / (LOADS - i) ?: 1;

		measure_load(r, n, diff + done, &least, &least_base, &res.wrong);
		done += n;
	}
	qsort(diff, rounds, sizeof(*diff), ascending);
	res.least = least - least_base;
	res.median = diff[rounds / 2];
	res.base = least_base;
	return res;
}

int main(int argc, char **argv)
{
	static const struct option options[] = { { "json", 1, NULL, 'j' }, { "only", 1, NULL, 'o' }, { "rounds", 1, NULL, 'r' }, { 0 } };
	struct json_object *doc = json_object_new_object(), *list = json_object_new_array();
	const char *json = NULL, *only = "";
	int rounds = 21, over = 0, c;
	struct utsname uts;

	while ((c = getopt_long(argc, argv, "j:o:r:", options, NULL)) != -1) {
		if (c == 'j') {
			json = optarg;
		} else if (c == 'o') {
			only = optarg;
		} else if (c == 'r' && atoi(optarg) > 0 && atoi(optarg) <= MAX_ROUNDS) {
			rounds = atoi(optarg);
		} else {
			fprintf(stderr, "usage: bench [--json FILE] [--only WORDS] [--rounds 1..%d]\n", MAX_ROUNDS);
			return 2;
		}
	}
	setrlimit(RLIMIT_MEMLOCK, &(struct rlimit){ RLIM_INFINITY, RLIM_INFINITY });
	uname(&uts);
	printf("%-56s %6s %6s %6s %6s\n", "ns over the bare program, kernel", "least", "median", "budget", "base");
	for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
		const struct row *r = &rows[i];
		struct json_object *o;
		struct result res;
		bool inside;

		if (!strstr(r->name, only))
			continue;
		res = measure(r, rounds);
		o = json_object_new_object();
		inside = !r->budget_ns || res.least <= r->budget_ns;
		over += !inside || res.wrong;
		printf("%-56s %6d %6d ", r->name, res.least, res.median);
		if (r->budget_ns)
			printf("%6d ", r->budget_ns);
		else
			printf("%6s ", "-");
		printf("%6d%s%s\n", res.base, inside ? "" : "  over budget", res.wrong ? "  WRONG VERDICT" : "");
		fflush(stdout);
		json_object_object_add(o, "packet", json_object_new_string(r->name));
		json_object_object_add(o, "least_ns", json_object_new_int(res.least));
		json_object_object_add(o, "median_ns", json_object_new_int(res.median));
		json_object_object_add(o, "base_ns", json_object_new_int(res.base));
		json_object_object_add(o, "ratio_to_base", json_object_new_double((double)(res.least + res.base) / res.base));
		if (r->budget_ns)
			json_object_object_add(o, "budget_ns", json_object_new_int(r->budget_ns));
		json_object_object_add(o, "inside", json_object_new_boolean(inside));
		json_object_array_add(list, o);
	}
	json_object_object_add(doc, "schema", json_object_new_int(1));
	json_object_object_add(doc, "kernel", json_object_new_string(uts.release));
	json_object_object_add(doc, "rounds", json_object_new_int(rounds));
	json_object_object_add(doc, "packets", list);
	if (json && json_object_to_file_ext(json, doc, JSON_C_TO_STRING_PRETTY)) {
		fprintf(stderr, "bench: cannot write %s: %s\n", json, strerror(errno));
		return 3;
	}
	json_object_put(doc);
	return over ? 1 : 0;
}
