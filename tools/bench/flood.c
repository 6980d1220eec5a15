// SPDX-License-Identifier: GPL-2.0-only
/*
 * Floods over a veth, told by what the receiving side's CPU pays for them:
 * run time of the receiving NAPI thread (schedstat) by packets taken, or by
 * answers that came back. All contenders take turns, round after round, in the
 * same seconds; compared is the median of the rounds' ratios, and the least of
 * all rounds of each beside it. tools/bench/flood makes the two namespaces.
 *
 *   flood GEN_NETNS GEN_IFACE RX_NETNS RX_IFACE [ROUNDS [WORDS]]
 *
 * WORDS: only the rows with these words in their name, and what they are compared with.
 */
#include <arpa/inet.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "image.h"
#include "flood.skel.h"

#define MAX_ROUNDS 51
#define RECEIVER_MS 40 /* of the receiver's CPU, of one contender in one round; on a busy machine that takes longer */
#define ROUND_MS 5000   /* ... but no longer than this */
#define BATCH 20000     /* frames a run of the generator */

enum { KERNEL, BARE, READS, FILTER }; /* READS: the least that a filter must read, and nothing else */

static const struct contender {
	const char *name;
	int family, kind;
	unsigned int prefixes;
	/* JUDGED: SYNs to a port that is open to one; ANSWERED: SYNs, measured by the answers that come back */
	enum { SYNS, JUDGED, ANSWERED, ACKS } flood;
	int against;        /* which row it is compared with, or -1 */
	double goal;        /* at most so many times that row's cost; answers: at least so many times its answers; 0: none */
	int cpu;            /* of the receiver; frames are written on CPU 0 */
} rows[] = {
	{ "SYN cookies of the kernel, no filter", 4, KERNEL, 0, ANSWERED, -1, 0, 1 },
	{ "SYN cookies from the driver", 4, FILTER, 0, ANSWERED, 0, 3, 1 },
	{ "SYN cookies of the kernel, no filter, IPv6", 6, KERNEL, 0, ANSWERED, -1, 0, 1 },
	{ "SYN cookies from the driver, IPv6", 6, FILTER, 0, ANSWERED, 2, 3, 1 },
	{ "ACKs that bring no cookie, no filter", 4, KERNEL, 0, ACKS, -1, 0, 1 },
	{ "ACKs that bring no cookie", 4, FILTER, 0, ACKS, 4, 0, 1 },
	/* as a veth has it by itself: who sends polls the other end too, and the frame is still in its cache */
	{ "own frames: bare XDP_DROP", 4, BARE, 0, SYNS, -1, 0, 0 },
	{ "own frames: reads type and port, then XDP_DROP", 4, READS, 0, SYNS, 6, 0, 0 },
	{ "own frames: port closed, no list", 4, FILTER, 0, SYNS, 6, 1.1, 0 },
	{ "own frames: port closed, 100k prefixes blocked", 4, FILTER, 100000, SYNS, 6, 1.3, 0 },
	{ "own frames: port closed, 1M prefixes blocked", 4, FILTER, 1000000, SYNS, 6, 1.5, 0 },
	{ "own frames: port open to one, no list", 4, FILTER, 0, JUDGED, 6, 0, 0 },
	{ "own frames: ... each looked up in 100k", 4, FILTER, 100000, JUDGED, 6, 0, 0 },
	{ "own frames: ... each looked up in 1M", 4, FILTER, 1000000, JUDGED, 6, 0, 0 },
	/* each frame is fetched from another CPU's cache by the first who looks at it, which a bare drop never does */
	{ "other's frames: bare XDP_DROP", 4, BARE, 0, SYNS, -1, 0, 1 },
	{ "other's frames: reads type and port, XDP_DROP", 4, READS, 0, SYNS, 14, 0, 1 },
	{ "other's frames: port closed, no list", 4, FILTER, 0, SYNS, 14, 1.1, 1 },
	{ "other's frames: port closed, 100k prefixes", 4, FILTER, 100000, SYNS, 14, 1.3, 1 },
	{ "other's frames: port closed, 1M prefixes", 4, FILTER, 1000000, SYNS, 14, 1.5, 1 },
	{ "other's frames: open to one, looked up in 100k", 4, FILTER, 100000, JUDGED, 14, 1.3, 1 },
	{ "other's frames: open to one, looked up in 1M", 4, FILTER, 1000000, JUDGED, 14, 1.5, 1 },
};
#define ROWS (int)(sizeof(rows) / sizeof(rows[0]))

static struct flood_bpf *generator[3], *filter[ROWS]; /* SYN, SYN over IPv6, ACK */
static int gen_ns, rx_ns, gen_if, rx_if, napi_thread;
static const char *rx_name;
static uint8_t gen_mac[6], rx_mac[6];

static void __attribute__((noreturn)) give_up(const char *what)
{
	fprintf(stderr, "flood: %s: %s\n", what, strerror(errno));
	exit(3);
}

static void enter(int ns)
{
	if (setns(ns, CLONE_NEWNET))
		give_up("setns");
}

/* ---- frames ---- */

static uint32_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += i & 1 ? p[i] : (uint32_t)p[i] << 8;
	return s;
}

static void set_sum(uint8_t *at, uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	at[0] = ~s >> 8;
	at[1] = ~s;
}

/* A SYN with an MSS option, as long as the answer to it will be: generated frames keep the length they were sent back with. */
static void make_frame(int family, uint8_t flags, uint8_t *f)
{
	uint8_t *ip = f + 14, *tcp = ip + (family == 4 ? 20 : 40);
	size_t src = family == 4 ? 12 : 8, alen = family == 4 ? 4 : 16;

	memset(f, 0, 80);
	memcpy(f, rx_mac, 6);
	memcpy(f + 6, gen_mac, 6);
	memcpy(f + 12, family == 4 ? "\x08\x00" : "\x86\xdd", 2);
	if (family == 4) {
		memcpy(ip, "\x45\0\0\x2c\x12\x34\x40\0\x40\x06\0\0", 12);
		inet_pton(AF_INET, "192.0.2.2", ip + 16);
		set_sum(ip + 10, sum(ip, 20, 0));
	} else {
		memcpy(ip, "\x60\0\0\0\0\x18\x06\x40", 8);
		inet_pton(AF_INET6, "2001:db8:1::7", ip + 8);
		memset(ip + 12, 0, 4);
		inet_pton(AF_INET6, "2001:db8::2", ip + 24);
	}
	memcpy(tcp, "\x9c\x40\0\x19\0\1\2\3\0\0\0\0\x60\2\xfa\xf0\0\0\0\0\2\4\5\xb4", 24);
	tcp[13] = flags;
	set_sum(tcp + 16, sum(tcp, 24, sum(ip + src, 2 * alen, 6 + 24)));
}

static struct flood_bpf *make_generator(int family, uint8_t flags)
{
	struct flood_bpf *s = flood_bpf__open();
	uint8_t f[80];

	make_frame(family, flags, f);
	memcpy((void *)s->rodata->flood_frame, f, sizeof(f));
	s->rodata->flood_len = family == 4 ? 60 : 78;
	s->rodata->flood_out = gen_if;
	s->rodata->source_at = 26; /* IPv6: the second 32 bits */
	s->rodata->ip_sum_at = family == 4 ? 24 : 0;
	s->rodata->tcp_sum_at = family == 4 ? 50 : 70;
	bpf_program__set_autoload(s->progs.mxdp, false);
	if (flood_bpf__load(s))
		give_up("the generator does not load");
	return s;
}

/* ---- the filter ---- */

static uint64_t random_state = 0x9e3779b97f4a7c15ULL;

static uint32_t random32(void)
{
	random_state = random_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return random_state >> 32;
}

/* 55 % single hosts, 40 % /24, 4 % /22, 1 % /20, as bench.c has them */
static struct prefix random_prefix(void)
{
	struct prefix p = { .family = 4 };
	uint32_t dice = random32() % 100, a;

	p.len = dice < 55 ? 32 : dice < 95 ? 24 : dice < 99 ? 22 : 20;
	a = htonl((0x0b000000 + random32() % 0xd0000000) & ~((1ULL << (32 - p.len)) - 1));
	memcpy(p.addr, &a, 4);
	return p;
}

static bool denied(const struct contender *c)
{
	return c->flood == SYNS || c->flood == JUDGED;
}

static void compile(struct image *img, const struct contender *c)
{
	static const char closed[] = "default deny\nblock @bench\nlist bench 198.51.100.77\n";
	static const char denies[] = "default deny\nblock @bench\nallow smtp from 192.0.2.1\nlist bench 198.51.100.77\n";
	static const char allows[] = "default deny\nallow smtp\n";
	const char *text = !denied(c) ? allows : c->flood == JUDGED ? denies : closed;
	struct rules r = { 0 };
	struct diag d = { 0 };
	int err = rules_parse(&r, "flood", text, strlen(text), &d);

	if (!err && c->prefixes) {
		struct stmt *s = &r.v[r.n - 1];

		s->prefixes = xrealloc(s->prefixes, c->prefixes * sizeof(*s->prefixes));
		for (s->nprefixes = 1; s->nprefixes < c->prefixes; s->nprefixes++)
			s->prefixes[s->nprefixes] = random_prefix();
	}
	err = err ?: rules_finish(&r, &d) ?: image_compile(img, &r, NULL, &d);
	if (err) {
		diag_print(&d, stderr);
		exit(3);
	}
	rules_free(&r);
}

static void *map_memory(struct bpf_map *m)
{
	size_t len = (size_t)bpf_map__value_size(m) * bpf_map__max_entries(m);
	void *p = mmap(NULL, (len + 4095) & ~4095UL, PROT_READ | PROT_WRITE, MAP_SHARED, bpf_map__fd(m), 0);

	if (p == MAP_FAILED)
		give_up("mmap");
	return p;
}

static struct flood_bpf *make_filter(const struct contender *c)
{
	struct flood_bpf *s = flood_bpf__open();
	struct mxdp_cfg cfg = { .lease_key = { 1, 2 }, .probe_key = 1, .tick_shift = 8, .frags = 1, .lease_mask = 16383,
				.answers = MXDP_ANSWERS_REDIRECT };
	struct mxdp_bank *bank;
	struct image img = { 0 };
	uint32_t lines = 1024;

	compile(&img, c);
	while (lines < img.nlines + 2)
		lines *= 2;
	memcpy((void *)&s->rodata->cfg, &cfg, sizeof(cfg));
	bpf_map__set_max_entries(s->maps.lease, 16384);
	bpf_map__set_max_entries(s->maps.trie, lines);
	bpf_program__set_autoload(s->progs.generate, false);
	if (flood_bpf__load(s))
		give_up("the filter does not load");
	bank = map_memory(s->maps.bss);
	memcpy((union mxdp_line *)map_memory(s->maps.trie) + 2, img.lines, img.nlines * sizeof(*img.lines));
	image_place_bank(&img, 2, 2, bank);
	bank->port[25] = (bank->port[25] & ~MXDP_PORT_COOKIES) | (denied(c) ? 0 : MXDP_PORT_COOKIES_ALWAYS);
	((struct mxdp_state *)map_memory(s->maps.data_state))->epoch = 2;
	image_free(&img);
	return s;
}

/* That of a row before, which differs only in where it runs. */
static struct flood_bpf *filter_like(int row)
{
	const struct contender *c = &rows[row];

	for (int i = 0; i < row; i++)
		if (filter[i] && rows[i].kind == c->kind && rows[i].prefixes == c->prefixes && rows[i].flood == c->flood &&
		    rows[i].family == c->family)
			return filter[i];
	return NULL;
}

/* ---- what the receiver pays ---- */

static uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

static uint64_t thread_ns(void)
{
	unsigned long long ns = 0;
	char path[64];
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%d/schedstat", napi_thread);
	f = fopen(path, "r");
	if (!f || fscanf(f, "%llu", &ns) != 1)
		give_up(path);
	fclose(f);
	return ns;
}

static uint64_t packets_taken(void)
{
	unsigned long long bytes, packets = 0;
	char line[512], *at;
	FILE *f;

	enter(rx_ns);
	f = fopen("/proc/thread-self/net/dev", "r");
	if (!f)
		give_up("net/dev");
	while (fgets(line, sizeof(line), f)) {
		at = strchr(line, ':');
		if (!at)
			continue;
		*at = '\0';
		if (!strcmp(line + strspn(line, " "), rx_name) && sscanf(at + 1, "%llu %llu", &bytes, &packets) == 2)
			break;
	}
	fclose(f);
	return packets;
}

static int find_thread(const char *iface)
{
	char want[32], path[300], comm[32];
	DIR *d = opendir("/proc");
	struct dirent *e;
	int pid = 0;

	snprintf(want, sizeof(want), "napi/%s-", iface);
	while (!pid && (e = readdir(d))) {
		FILE *f;

		if (!isdigit((unsigned char)e->d_name[0]))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/comm", e->d_name);
		f = fopen(path, "r");
		if (f && fgets(comm, sizeof(comm), f) && !strncmp(comm, want, strlen(want)))
			pid = atoi(e->d_name);
		if (f)
			fclose(f);
	}
	closedir(d);
	return pid;
}

static void pin(int pid, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (sched_setaffinity(pid, sizeof(set), &set))
		give_up("sched_setaffinity");
}

/* ---- rounds ---- */

static void attach(const struct contender *c, struct flood_bpf *s)
{
	int fd = c->kind == KERNEL ? -1 : bpf_program__fd(c->kind == BARE ? s->progs.bare_drop :
							  c->kind == READS ? s->progs.read_drop : s->progs.mxdp);
	int err;

	enter(rx_ns);
	err = c->kind == KERNEL ? bpf_xdp_detach(rx_if, XDP_FLAGS_DRV_MODE, NULL) :
				  bpf_xdp_attach(rx_if, fd, XDP_FLAGS_DRV_MODE, NULL);
	if (err) {
		errno = -err;
		give_up("attach");
	}
}

static struct flood_bpf *generator_of(const struct contender *c)
{
	return generator[c->flood == ACKS ? 2 : c->family == 6];
}

/* Until the receiver has spent so many milliseconds. */
static void generate(const struct contender *c, int ms)
{
	struct flood_bpf *s = generator_of(c);
	uint8_t frame[80] = { 0 };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = c->family == 4 ? 60 : 78, .repeat = BATCH,
		    .flags = BPF_F_TEST_XDP_LIVE_FRAMES, .batch_size = 64);
	uint64_t end = now_ns() + ROUND_MS * 1000000ULL, spent = thread_ns() + ms * 1000000ULL;

	enter(gen_ns);
	while (now_ns() < end && thread_ns() < spent) {
		o.retval = 0;
		if (bpf_prog_test_run_opts(bpf_program__fd(s->progs.generate), &o))
			give_up("the generator does not run");
	}
}

struct took {
	double ns;         /* of the receiver, a packet or an answer */
	uint64_t n;
	bool wrong;
};

static struct took run(int row)
{
	const struct contender *c = &rows[row];
	struct flood_bpf *sink = generator_of(c);
	struct took t = { 0 };
	uint64_t ns, packets, back;

	pin(napi_thread, c->cpu);
	enter(gen_ns);
	if (bpf_xdp_attach(gen_if, bpf_program__fd(sink->progs.sink), XDP_FLAGS_DRV_MODE, NULL))
		give_up("the sink is not attached");
	attach(c, filter[row]);
	generate(c, RECEIVER_MS / 10);
	usleep(5000);
	ns = thread_ns();
	packets = packets_taken();
	back = sink->data_sink->answers_back;
	generate(c, RECEIVER_MS);
	usleep(5000);
	ns = thread_ns() - ns;
	packets = packets_taken() - packets;
	back = sink->data_sink->answers_back - back;
	t.n = c->flood == ANSWERED ? back : packets;
	t.ns = t.n ? (double)ns / t.n : 0;
	/* every packet taken must have been answered; a denied one never is */
	t.wrong = c->flood == ANSWERED ? back < packets * 9 / 10 : back != 0 || !packets;
	return t;
}

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, int n)
{
	qsort(v, n, sizeof(*v), ascending);
	return v[n / 2];
}

static void listen_there(void)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(25) };
	int fd, zero = 0;

	enter(rx_ns);
	fd = socket(AF_INET6, SOCK_STREAM, 0);
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (fd < 0 || bind(fd, (void *)&any, sizeof(any)) || listen(fd, 4096))
		give_up("no listener");
}

static void mac_of(const char *iface, uint8_t *mac)
{
	struct ifreq r = { 0 };
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	strncpy(r.ifr_name, iface, IFNAMSIZ - 1);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &r))
		give_up(iface);
	memcpy(mac, r.ifr_hwaddr.sa_data, 6);
	close(fd);
}

/* A processor that fell asleep wakes slowly: something of no weight keeps the receiver's awake. */
static pid_t keep_awake(int cpu)
{
	pid_t pid = fork();

	if (pid)
		return pid;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	pin(0, cpu);
	sched_setscheduler(0, SCHED_IDLE, &(struct sched_param){ 0 });
	for (;;)
		;
}

int main(int argc, char **argv)
{
	static double ns[ROWS][MAX_ROUNDS], ratio[ROWS][MAX_ROUNDS];
	int rounds = argc > 5 ? atoi(argv[5]) : 21, over = 0;
	bool wrong[ROWS] = { false }, wanted[ROWS];
	int sink_thread;
	pid_t awake;

	if (argc < 5 || rounds < 1 || rounds > MAX_ROUNDS) {
		fputs("usage: flood GEN_NETNS GEN_IFACE RX_NETNS RX_IFACE [ROUNDS [WORDS]]; tools/bench/flood calls it\n", stderr);
		return 2;
	}
	/* what a row is compared with stands before it */
	for (int i = ROWS - 1; i >= 0; i--) {
		wanted[i] = argc < 7 || strstr(rows[i].name, argv[6]);
		for (int k = i + 1; k < ROWS; k++)
			wanted[i] |= wanted[k] && rows[k].against == i;
	}
	gen_ns = open(argv[1], O_RDONLY | O_CLOEXEC);
	rx_ns = open(argv[3], O_RDONLY | O_CLOEXEC);
	rx_name = argv[4];
	enter(rx_ns);
	rx_if = if_nametoindex(rx_name);
	mac_of(rx_name, rx_mac);
	enter(gen_ns);
	gen_if = if_nametoindex(argv[2]);
	mac_of(argv[2], gen_mac);
	napi_thread = find_thread(rx_name);
	if (!napi_thread)
		give_up("the receiver has no NAPI thread");
	listen_there();
	enter(gen_ns);
	generator[0] = make_generator(4, 0x02);
	generator[1] = make_generator(6, 0x02);
	generator[2] = make_generator(4, 0x10);
	for (int i = 0; i < ROWS; i++)
		if (wanted[i] && rows[i].kind != KERNEL)
			filter[i] = filter_like(i) ?: make_filter(&rows[i]);
	awake = keep_awake(1);
	pin(0, 0);
	if (bpf_xdp_attach(gen_if, bpf_program__fd(generator[0]->progs.sink), XDP_FLAGS_DRV_MODE, NULL))
		give_up("the sink is not attached");
	/* what comes back is taken before more is sent, or it would overflow the sink */
	sink_thread = find_thread(argv[2]);
	if (!sink_thread)
		give_up("the sender has no NAPI thread");
	pin(sink_thread, 0);
	if (sched_setscheduler(sink_thread, SCHED_FIFO, &(struct sched_param){ .sched_priority = 1 }))
		give_up("sched_setscheduler");
	for (int n = 0; n < rounds; n++) {
		/* there and back: what the machine does better or worse from row to row evens out */
		for (int k = 0; k < ROWS; k++) {
			int i = n % 2 ? ROWS - 1 - k : k;
			struct took t;

			if (!wanted[i])
				continue;
			t = run(i);
			ns[i][n] = t.ns;
			wrong[i] |= t.wrong;
		}
		for (int i = 0; i < ROWS; i++) {
			const double *of = rows[i].against < 0 ? NULL : ns[rows[i].against];

			if (of && wanted[i])
				ratio[i][n] = rows[i].flood == ANSWERED ? of[n] / ns[i][n] : ns[i][n] / of[n];
		}
	}
	kill(awake, SIGKILL);
	printf("\n%-46s %7s %7s   %s\n", "flood over veth, ns of the receiver's CPU", "least", "median", "against");
	for (int i = 0; i < ROWS; i++) {
		const struct contender *c = &rows[i];
		double mid, least, r;

		if (!wanted[i])
			continue;
		mid = median(ns[i], rounds);
		least = ns[i][0];
		printf("%-46s %7.0f %7.0f", c->name, least, mid);
		if (c->against >= 0) {
			bool more = c->flood == ANSWERED, fine;
			double least_ratio = more ? ns[c->against][0] / least : least / ns[c->against][0];

			r = median(ratio[i], rounds);
			fine = !c->goal || (more ? r >= c->goal : r <= c->goal);
			over += !fine;
			printf("   %5.2f times %s (%.2f of the least", r, more ? "as many" : "the cost", least_ratio);
			if (c->goal)
				printf("; goal %s %.1f", more ? ">=" : "<=", c->goal);
			printf(")%s", fine ? "" : "  MISSED");
		}
		over += wrong[i];
		printf("%s\n", wrong[i] ? "  WRONG: answers do not match packets" : "");
	}
	return over ? 1 : 0;
}
