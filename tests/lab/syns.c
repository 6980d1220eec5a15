// SPDX-License-Identifier: GPL-2.0-only
/*
 * syns make iptables|ip6tables|nft SEED       a random old firewall
 * syns run OLD RULES SEED N OPEN COMMAND...   in a network namespace of its own: opens connections, loads the old
 * firewall with COMMAND, sends N SYNs and a segment of each open connection, and compares what came through it with
 * what RULES say
 *
 * The packets come in by a tun device named eth0. A raw TCP socket hears what is left of them behind the INPUT hooks,
 * so every single verdict of the kernel is seen. Half of the sources and ports lie at the edges of what OLD names.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "packet.h"
#include "rules.h"

#define OWN4 "192.0.2.10"
#define OWN6 "2001:db8:1::10"
#define MAX_EDGES 4096

static uint64_t seed;

static uint64_t rnd(void)
{
	uint64_t z = seed += 0x9e3779b97f4a7c15;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
	z = (z ^ z >> 27) * 0x94d049bb133111eb;
	return z ^ z >> 31;
}

static unsigned int below(unsigned int n) { return rnd() % n; }
static bool one_in(unsigned int n) { return !below(n); }

static void die(const char *what)
{
	fprintf(stderr, "syns: %s: %s\n", what, strerror(errno));
	exit(2);
}

/* ---- random firewalls ---- */

static const char *const ports[] = { "25", "587", "465", "143",	 "993",	 "110", "995",
				     "22", "80",  "443", "4190", "2525", "8025" };
static const char *const nets4[] = { "203.0.113.0/24",	  "203.0.113.64/26", "203.0.113.77",   "198.51.100.0/24",
				     "198.51.100.128/25", "10.0.0.0/8",	     "10.1.0.0/16",    "10.1.2.3",
				     "172.16.0.0/12",	  "100.64.0.0/10",   "192.0.2.128/25", "8.0.0.0/7" };
static const char *const nets6[] = { "2001:db8::/32", "2001:db8:40::/48", "2001:db8:40:1::/64", "2001:db8:40:1::7",
				     "2a00::/12",     "fd00::/8",	  "2001:db8:1::/64",	"2600::/16" };
#define PICK(v) ((v)[below(sizeof(v) / sizeof(*(v)))])

static const char *net(bool six) { return six ? PICK(nets6) : PICK(nets4); }

static void ipt_matches(bool six, bool set)
{
	if (one_in(2))
		printf(" %s-s %s", one_in(6) ? "! " : "", net(six));
	else if (set && one_in(4))
		printf(" -m set %s--match-set friends src", one_in(4) ? "! " : "");
	else if (!six && one_in(8))
		printf(" -m iprange --src-range 203.0.113.%u-203.0.113.%u", below(100), 100 + below(150));
	if (one_in(8))
		printf(" %s-i %s", one_in(3) ? "! " : "", one_in(2) ? "eth0" : one_in(2) ? "lo" : "eth+");
	switch (below(5)) {
	case 0:
	case 1:
		printf(" -p tcp %s--dport %s", one_in(6) ? "! " : "", PICK(ports));
		break;
	case 2:
		printf(" -p tcp -m multiport %s--dports %s,%s,%u:%u", one_in(6) ? "! " : "", PICK(ports), PICK(ports),
		       1000 + below(500), 1500 + below(2000));
		break;
	case 3:
		printf(" -p tcp --dport %u:%u", below(500), 500 + below(3000));
		break;
	case 4:
		if (one_in(3))
			printf(" -p %s", one_in(2) ? "udp" : "tcp");
		break;
	}
	if (one_in(5))
		printf(" -m conntrack %s--ctstate %s", one_in(5) ? "! " : "",
		       one_in(2) ? "NEW" : one_in(2) ? "NEW,ESTABLISHED" : "RELATED,ESTABLISHED");
}

static void ipt_rule(bool six, bool set, const char *chain, unsigned int depth)
{
	printf("-A %s", chain);
	ipt_matches(six, set);
	switch (below(10)) {
	case 0: case 1: case 2: case 3:
		printf(" -j ACCEPT\n");
		break;
	case 4: case 5:
		printf(" -j DROP\n");
		break;
	case 6:
		printf(" -j REJECT\n");
		break;
	case 7:
		printf(depth ? " -j RETURN\n" : " -j LOG\n");
		break;
	default:
		if (depth < 3)
			printf(" -%c user%u\n", one_in(3) ? 'g' : 'j', depth + 1);
		else
			printf(" -j ACCEPT\n");
	}
}

static void make_ipt(bool six)
{
	static const char *const chains[] = { "INPUT", "user1", "user2", "user3" };
	bool set = !six && one_in(2);

	if (set) {
		printf("create friends hash:net\n");
		for (unsigned int i = 0; i < 3; i++)
			printf("add friends %s -exist\n", net(six));
	}
	if (one_in(3)) {
		printf("*%s\n:PREROUTING ACCEPT [0:0]\n", one_in(2) ? "raw" : "mangle");
		for (unsigned int i = below(3); i--;)
			printf("-A PREROUTING -s %s -j DROP\n", net(six));
		printf("COMMIT\n");
	}
	printf("*filter\n:INPUT %s [12:345]\n:FORWARD DROP [0:0]\n:OUTPUT ACCEPT [0:0]\n",
	       one_in(3) ? "ACCEPT" : "DROP");
	for (unsigned int i = 1; i < 4; i++)
		printf(":user%u - [0:0]\n", i);
	if (!one_in(4))
		printf("-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT\n");
	for (unsigned int c = 0; c < 4; c++)
		for (unsigned int i = 3 + below(c ? 5 : 12); i--;)
			ipt_rule(six, set, chains[c], c);
	printf("COMMIT\n");
}

static void nft_rule(unsigned int depth)
{
	bool six = one_in(3);

	printf("\t\t");
	if (one_in(3))
		printf("%s saddr %s%s ", six ? "ip6" : "ip", one_in(6) ? "!= " : "", net(six)), six = true;
	else if ((six = one_in(4)))
		printf("ip saddr %s@friends ", one_in(4) ? "!= " : "");
	else if ((six = one_in(8)))
		printf("ip saddr { %s, 192.0.2.20-192.0.2.99 } ", "203.0.113.0/25");
	if (one_in(8))
		printf("iifname %s\"eth0\" ", one_in(3) ? "!= " : "");
	if (one_in(5))
		printf("ct state %s ", one_in(2) ? "new" : "{ established, related }");
	switch (below(8)) {
	case 0:
		printf("tcp dport vmap { %u : accept, %u-%u : drop } ", below(900), 1000 + below(100),
		       1200 + below(100));
		if (depth < 2)
			printf("\n\t\ttcp dport vmap { 25 : jump user%u, 587 : goto user%u } ", depth + 1, depth + 1);
		printf("\n");
		return;
	case 1:
		if (!six)
			printf("ip saddr . tcp dport { 203.0.113.77 . 25, 10.1.2.3 . 993, 10.1.2.4 . 22 } ");
		break;
	case 2:
		printf("tcp dport @mail ");
		break;
	case 3:
	case 4:
		printf("tcp dport %s%s ", one_in(6) ? "!= " : "", PICK(ports));
		break;
	case 5:
		printf("tcp dport { %s, 2000-%u } ", "25", 2001 + below(1000));
		break;
	case 6:
		printf("meta l4proto { tcp, udp } th dport %s ", PICK(ports));
		break;
	}
	switch (below(8)) {
	case 0: case 1: case 2: case 3:
		printf("counter accept\n");
		break;
	case 4: case 5:
		printf("drop\n");
		break;
	case 6:
		printf("%s\n", depth ? "return" : "log prefix \"x\" continue");
		break;
	default:
		if (depth < 2)
			printf("%s user%u\n", one_in(3) ? "goto" : "jump", depth + 1);
		else
			printf("reject\n");
	}
}

static void make_nft(void)
{
	printf("table inet old {\n\tset friends { type ipv4_addr; flags interval; elements = { %s, 100.64.0.0/11, "
	       "9.9.9.0-9.9.9.77 } }\n"
	       "\tset mail { type inet_service; elements = { 25, 465, 587 } }\n",
	       one_in(2) ? "203.0.113.0/26" : "10.0.0.0/9");
	for (unsigned int c = 2; c > 0; c--) {
		printf("\tchain user%u {\n", c);
		for (unsigned int i = 2 + below(5); i--;)
			nft_rule(c);
		printf("\t}\n");
	}
	if (one_in(3)) {
		printf("\tchain early { type filter hook prerouting priority raw; policy accept;\n\t\tip saddr %s "
		       "drop\n\t}\n",
		       net(false));
	}
	printf("\tchain in { type filter hook input priority %s; policy %s;\n", one_in(2) ? "filter" : "-5",
	       one_in(3) ? "accept" : "drop");
	if (!one_in(4))
		printf("\t\tct state vmap { established : accept, related : accept, invalid : drop }\n");
	for (unsigned int i = 3 + below(12); i--;)
		nft_rule(0);
	printf("\t}\n}\n");
	if (one_in(3))
		printf("table ip second {\n\tchain in { type filter hook input priority 10; policy accept;\n\t\ttcp "
		       "dport %s ip saddr %s drop\n\t}\n}\n",
		       PICK(ports), net(false));
}

/* ---- what is asked ---- */

struct edges {
	struct prefix addr[MAX_EDGES];
	size_t naddrs;
	uint16_t port[MAX_EDGES];
	size_t nports;
};

static void step(struct prefix *p, int by)
{
	for (int i = (p->family == 4 ? 4 : 16) - 1; i >= 0; i--) {
		p->addr[i] += by;
		if (p->addr[i] != (by > 0 ? 0 : 0xff))
			break;
	}
}

static void edge_addr(struct edges *e, const char *s)
{
	struct prefix p = { 0 }, q;
	char word[64], *slash;

	if (strlen(s) >= sizeof(word) || e->naddrs + 4 >= MAX_EDGES)
		return;
	strcpy(word, s);
	slash = strchr(word, '/');
	if (slash)
		*slash++ = '\0';
	p.family = strchr(word, ':') ? 6 : 4;
	if (inet_pton(p.family == 6 ? AF_INET6 : AF_INET, word, p.addr) != 1)
		return;
	p.len = p.family == 6 ? 128 : 32;
	e->addr[e->naddrs++] = p;
	q = p;
	step(&q, -1);
	e->addr[e->naddrs++] = q;
	q = p;
	for (unsigned int i = slash ? atoi(slash) : p.len; i < p.len; i++)
		q.addr[i / 8] |= 0x80 >> i % 8;
	e->addr[e->naddrs++] = q;
	step(&q, 1);
	e->addr[e->naddrs++] = q;
}

static void edge_port(struct edges *e, const char *s)
{
	char *end;
	unsigned long v = strtoul(s, &end, 10);

	if (*end || v > 65535 || e->nports + 3 >= MAX_EDGES)
		return;
	for (int i = -1; i <= 1; i++)
		if ((long)v + i >= 1 && (long)v + i <= 65535)
			e->port[e->nports++] = v + i;
}

static void find_edges(struct edges *e, const char *path)
{
	FILE *f = fopen(path, "r");
	char line[65536];

	if (!f)
		die(path);
	while (fgets(line, sizeof(line), f))
		for (char *s = line; *s;) {
			size_t n = strspn(s, "0123456789abcdef.:/");
			char word[128];

			if (n && n < sizeof(word)) {
				memcpy(word, s, n);
				word[n] = '\0';
				edge_addr(e, word);
				edge_port(e, word);
				if (strchr(word, ':')) {
					edge_port(e, strchr(word, ':') + 1);
					*strchr(word, ':') = '\0';
					edge_port(e, word);
				}
			}
			s += n ? n : 1;
		}
	fclose(f);
	edge_port(e, "25");
	edge_addr(e, "203.0.113.9");
	edge_addr(e, "2001:db8:77::1");
}

/* Could a packet from there come in at all? */
static bool possible(const struct prefix *p)
{
	const uint8_t *a = p->addr;
	static const uint8_t lan[3] = { 192, 0, 2 }, own6[15] = { 0x20, 0x01, 0x0d, 0xb8, 0, 1 };

	if (p->family == 4)
		return a[0] && a[0] != 127 && a[0] < 224 &&
		       !(!memcmp(a, lan, 3) && (a[3] == 0 || a[3] == 255 || a[3] == 10));
	return (a[0] & 0xe0) == 0x20 ? !(!memcmp(a, own6, 15) && a[15] == 0x10) && !(a[0] == 0x20 && a[1] == 0x02)
				     : a[0] == 0xfd;
}

static struct prefix a_source(const struct edges *e, bool six)
{
	struct prefix p;

	do {
		if (one_in(2)) {
			p = e->addr[below(e->naddrs)];
		} else {
			p = (struct prefix){ .family = six ? 6 : 4, .len = six ? 128 : 32 };
			for (int i = 0; i < (six ? 16 : 4); i++)
				p.addr[i] = rnd();
			if (six)
				p.addr[0] = 0x20 | (p.addr[0] & 0x1f);
		}
	} while (!possible(&p));
	return p;
}

static uint16_t a_port(const struct edges *e)
{
	return one_in(2) ? e->port[below(e->nports)] : 1 + below(65535);
}

/* ---- the wire ---- */

static int tun_open(void)
{
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	struct ifreq r = { .ifr_flags = IFF_TUN | IFF_NO_PI };

	strcpy(r.ifr_name, "eth0");
	if (fd < 0 || ioctl(fd, TUNSETIFF, &r))
		die("tun");
	if (system("ip addr add " OWN4 "/24 dev eth0 && ip addr add " OWN6
		   "/64 dev eth0 nodad && ip link set eth0 up && "
		   "ip link set eth0 txqueuelen 20000 && ip route add default dev eth0 && ip -6 route add default dev "
		   "eth0 && "
		   "sysctl -qw net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.eth0.rp_filter=0 net.ipv4.tcp_syncookies=0 "
		   "net.core.somaxconn=4096 net.ipv4.tcp_max_syn_backlog=8192"))
		die("eth0");
	return fd;
}

static int raw_open(int family)
{
	int fd = socket(family, SOCK_RAW | SOCK_NONBLOCK, IPPROTO_TCP), room = 64 << 20;

	if (fd < 0)
		die("raw socket");
	if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		die("room for a raw socket");
	return fd;
}

struct ask {
	struct prefix src;
	uint16_t sport, dport;
	uint32_t seq, ack;
	bool open, passed;
};

static void send_one(int tun, const struct ask *a, unsigned int flags)
{
	struct packet p = {
		.src = a->src, .sport = a->sport, .dport = a->dport, .flags = flags, .seq = a->seq, .ack = a->ack
	};
	uint8_t frame[PACKET_MAX];
	size_t n;

	p.dst.family = a->src.family;
	p.dst.len = a->src.len;
	inet_pton(p.dst.family == 6 ? AF_INET6 : AF_INET, p.dst.family == 6 ? OWN6 : OWN4, p.dst.addr);
	packet_craft(&p, frame);
	/* without Ethernet and without its padding */
	n = p.dst.family == 6 ? 40u + (frame[18] << 8 | frame[19]) : 0u + (frame[16] << 8 | frame[17]);
	if (write(tun, frame + 14, n) != (ssize_t)n)
		die("write to the tun device");
}

static void drain(int tun)
{
	char buf[4096];

	while (read(tun, buf, sizeof(buf)) > 0)
		;
}

/* Marks what was heard: the sequence number is a SYN's place in v, or that of an open connection behind them. */
static void hear(int fd, bool six, struct ask *v, size_t n, uint32_t base)
{
	uint8_t buf[4096];
	ssize_t len;

	while ((len = recv(fd, buf, sizeof(buf), 0)) > 0) {
		size_t at = six ? 0 : (buf[0] & 15) * 4;
		uint32_t seq;

		if ((size_t)len < at + 20)
			continue;
		memcpy(&seq, buf + at + 4, 4);
		seq = ntohl(seq) - base;
		if (seq < n)
			v[seq].passed = true;
	}
}

static void hear_all(int tun, int raw4, int raw6, struct ask *v, size_t n, uint32_t base)
{
	hear(raw4, false, v, n, base);
	hear(raw6, true, v, n, base);
	drain(tun);
}

/* ---- open connections ---- */

#define SYN_BASE 0u
#define OPEN_BASE 0x40000000u

static void listen_on(uint16_t port)
{
	int fd = socket(AF_INET6, SOCK_STREAM, 0), on = 1;
	struct sockaddr_in6 a = { .sin6_family = AF_INET6, .sin6_port = htons(port) };

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&a, sizeof(a)) || listen(fd, 4096))
		die("listen");
}

/* The SYN-ACK's own number, from what the host sent out by the tun device. */
static bool await_synack(int tun, struct ask *a)
{
	uint8_t b[4096];

	for (int i = 0; i < 200; i++) {
		struct pollfd p = { tun, POLLIN, 0 };
		ssize_t n;

		if (poll(&p, 1, 100) <= 0)
			return false;
		while ((n = read(tun, b, sizeof(b))) > 0) {
			size_t at = b[0] >> 4 == 6 ? 40 : (b[0] & 15) * 4;
			uint32_t seq, ack;

			if ((size_t)n < at + 20 || (b[at + 13] & 0x3f) != (PACKET_SYN | PACKET_ACK))
				continue;
			memcpy(&seq, b + at + 4, 4);
			memcpy(&ack, b + at + 8, 4);
			if (ntohl(ack) != a->seq + 1)
				continue;
			a->ack = ntohl(seq) + 1;
			return true;
		}
	}
	return false;
}

static size_t open_all(int tun, const struct edges *e, struct ask *v, size_t n)
{
	static const uint16_t listening[] = { 25, 587, 993, 22, 2525 };
	size_t done = 0;

	for (size_t i = 0; i < sizeof(listening) / sizeof(*listening); i++)
		listen_on(listening[i]);
	for (size_t i = 0; i < n; i++) {
		struct ask *a = &v[done];

		*a = (struct ask){ .src = a_source(e, i & 1),
				   .sport = 20000 + i,
				   .dport = PICK(listening),
				   .seq = 0x60000000u + 1000 * i,
				   .open = true };
		send_one(tun, a, PACKET_SYN);
		if (!await_synack(tun, a))
			continue;
		a->seq++;
		send_one(tun, a, PACKET_ACK);
		done++;
	}
	return done;
}

/* ---- verdicts ---- */

static bool passes(const struct rules *r, const struct ask *a)
{
	enum judge_says s = rules_judge(r, &a->src, a->dport, !a->open).says;

	return s == JUDGE_ALLOW || s == JUDGE_DEFAULT_ALLOW || s == JUDGE_ADMIN || s == JUDGE_NOT_BLOCKED;
}

/* `more`: what ours passes besides, where that is not wrong. */
static size_t compare(const struct rules *r, const struct ask *v, size_t n, size_t *let_in, size_t *more)
{
	size_t wrong = 0;
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < n; i++) {
		bool ours = passes(r, &v[i]);

		*let_in += v[i].passed;
		if (ours == v[i].passed)
			continue;
		if (ours && more) {
			++*more;
			continue;
		}
		if (++wrong <= 10)
			printf("# %s from %s to %u: the old firewall %s, mxdp %s\n",
			       v[i].open ? "open connection" : "SYN", prefix_text(&v[i].src, text), v[i].dport,
			       v[i].passed ? "accepts" : "refuses", ours ? "passes" : "drops");
	}
	return wrong;
}

/* For who asks the loaded program: sources it can meet on another wire, and what became of them here. */
static void write_sample(const char *path, const struct ask *v, size_t n)
{
	FILE *f = fopen(path, "w");
	char text[PREFIX_TEXT];

	if (!f)
		die(path);
	for (size_t i = 0, k = 0; i < n && k < 80; i++) {
		/* every other one that was let in, for those are few */
		if (!v[i].passed && (k & 1))
			continue;
		fprintf(f, "%s %u %s\n", prefix_text(&v[i].src, text), v[i].dport, v[i].passed ? "pass" : "drop");
		k++;
	}
	fclose(f);
}

static int run(int argc, char **argv)
{
	static struct edges e;
	struct rules r = { 0 };
	struct diag d = { 0 };
	size_t n = strtoul(argv[5], NULL, 10), nopen = strtoul(argv[6], NULL, 10), wrong, let_in = 0, open_in = 0,
	       more = 0;
	struct ask *v = xcalloc(n + nopen + 1, sizeof(*v)), *o = v + n;
	int tun, raw4, raw6;

	(void)argc;
	seed = strtoull(argv[4], NULL, 10);
	find_edges(&e, argv[2]);
	if (rules_load(&r, argv[3], &d)) {
		diag_print(&d, stderr);
		return 2;
	}
	tun = tun_open();
	nopen = open_all(tun, &e, o, nopen);
	if (system(argv[7]))
		die(argv[7]);
	raw4 = raw_open(AF_INET);
	raw6 = raw_open(AF_INET6);
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct ask){
			.src = a_source(&e, i & 1), .sport = 1024 + i % 64000, .dport = a_port(&e), .seq = SYN_BASE + i
		};
		send_one(tun, &v[i], PACKET_SYN);
		if (i % 64 == 63)
			hear_all(tun, raw4, raw6, v, n, SYN_BASE);
	}
	usleep(200000);
	hear_all(tun, raw4, raw6, v, n, SYN_BASE);
	for (size_t i = 0; i < nopen; i++) {
		/* a number the connection expects, heard one connection at a time */
		uint32_t seq = o[i].seq;

		send_one(tun, &o[i], PACKET_ACK);
		usleep(i % 16 ? 0 : 1000);
		hear(raw4, false, &o[i], 1, seq);
		hear(raw6, true, &o[i], 1, seq);
		drain(tun);
	}
	if (getenv("SYNS_SAMPLE"))
		write_sample(getenv("SYNS_SAMPLE"), v, n);
	wrong = compare(&r, v, n, &let_in, NULL) + compare(&r, o, nopen, &open_in, &more);
	printf("%zu SYNs, %zu let in; %zu open connections, %zu go on, %zu only with mxdp; %zu differ\n", n, let_in,
	       nopen, open_in, more, wrong);
	diag_free(&d);
	rules_free(&r);
	free(v);
	return wrong != 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && !strcmp(argv[1], "make")) {
		seed = strtoull(argv[3], NULL, 10);
		if (!strcmp(argv[2], "nft"))
			make_nft();
		else
			make_ipt(!strcmp(argv[2], "ip6tables"));
		return 0;
	}
	if (argc == 8 && !strcmp(argv[1], "run"))
		return run(argc, argv);
	fprintf(stderr, "usage: syns make iptables|ip6tables|nft SEED | syns run OLD RULES SEED N OPEN COMMAND\n");
	return 2;
}
