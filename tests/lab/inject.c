// SPDX-License-Identifier: GPL-2.0-only
/*
 * Puts frames on a wire, and watches what comes off the other end.
 *
 *   inject IFACE KEY=VALUE...      sends TCP or UDP frames, prints how many
 *   inject watch IFACE [SECONDS]   "watching", then "ID COUNT" for every id that reached IFACE's host, then "end"
 *
 *   to=MAC        Ethernet destination (needed)
 *   src=A dst=A   both IPv4 or both IPv6; src=random draws a new source for every frame
 *   sport=N       0: a new one for every frame
 *   dport=N|LO-HI a range is walked round and round
 *   flags=SAFRPUEC (none: -)   proto=udp instead
 *   count=N rate=PER_SECOND    rate 0: as fast as the wire takes them
 *   id=N          carried in the source MAC, for `watch`
 *   tag=TPID:VID  up to four times, outermost first (hex:decimal)
 *   split=N       fragments of N bytes behind the IP header (a multiple of 8)
 *   data=N        payload bytes
 *   badsum=1      a wrong TCP checksum
 *   seq=N ack=N
 *
 * `watch` sees a frame as the host's own stack does: behind XDP. SIGTERM or
 * the end of its time makes it print.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BATCH 64
#define FRAME 1600
#define MAX_TAGS 4

/* locally administered; the last two bytes are the id */
static const uint8_t marker[4] = { 0x02, 0x6d, 0x78, 0x64 };

static volatile sig_atomic_t stop;

struct spec {
	uint8_t to[6];
	int family;
	bool random_src, udp, badsum;
	uint8_t src[16], dst[16];
	unsigned int sport, dport_lo, dport_hi, id, split, data, ntags;
	struct { uint16_t tpid, vid; } tag[MAX_TAGS];
	uint8_t flags;
	uint32_t seq, ack;
	unsigned long count, rate;
};

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static void usage(const char *what)
{
	fprintf(stderr, "inject: %s\n", what);
	exit(2);
}

static uint64_t rng = 0x9e3779b97f4a7c15ULL;

static uint32_t draw(void)
{
	rng ^= rng << 13;
	rng ^= rng >> 7;
	rng ^= rng << 17;
	return rng >> 16;
}

static uint8_t *put16(uint8_t *p, uint16_t v)
{
	*p++ = v >> 8;
	*p++ = v;
	return p;
}

static uint8_t *put32(uint8_t *p, uint32_t v)
{
	return put16(put16(p, v >> 16), v);
}

static uint32_t sum16(uint32_t sum, const uint8_t *p, size_t n)
{
	for (; n > 1; p += 2, n -= 2)
		sum += p[0] << 8 | p[1];
	return n ? sum + (p[0] << 8) : sum;
}

static uint16_t fold(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum;
}

/* A unicast source of the open internet: outside 0/8, 10/8, 127/8, 192/8 and above 223. */
static void random_source(struct spec *s)
{
	uint32_t r = draw();

	if (s->family == AF_INET6) {
		put32(put32(put32(put32(s->src, 0x20010000 | (r & 0x1ff) << 1), draw()), draw()), r);
		return;
	}
	put32(s->src, r);
	s->src[0] = 11 + r % 112;
}

static size_t address_bytes(const struct spec *s)
{
	return s->family == AF_INET6 ? 16 : 4;
}

/* The segment: TCP or UDP header and payload, with its checksum. */
static size_t build_segment(const struct spec *s, uint8_t *seg, uint16_t dport)
{
	uint16_t sport = s->sport ? s->sport : 1024 + draw() % 60000;
	size_t head = s->udp ? 8 : 20, len = head + s->data, at = s->udp ? 6 : 16;
	uint8_t *p = put16(put16(seg, sport), dport);
	uint32_t sum;

	memset(p, 0, len - 4);
	if (s->udp) {
		put16(p, len);
	} else {
		p = put32(put32(p, s->seq ? s->seq : draw()), s->ack || !(s->flags & 0x10) ? s->ack : draw());
		*p++ = 5 << 4;
		*p++ = s->flags;
		put16(p, 64240);
	}
	sum = sum16(0, s->src, address_bytes(s));
	sum = sum16(sum, s->dst, address_bytes(s)) + (s->udp ? 17 : 6) + len;
	sum = fold(sum16(sum, seg, len));
	put16(seg + at, s->badsum ? sum ^ 0x5555 : sum);
	return len;
}

static uint8_t *build_link(const struct spec *s, uint8_t *p)
{
	memcpy(p, s->to, 6);
	memcpy(p + 6, marker, sizeof(marker));
	p = put16(p + 10, s->id);
	for (unsigned int i = 0; i < s->ntags; i++)
		p = put16(put16(p, s->tag[i].tpid), s->tag[i].vid);
	return put16(p, s->family == AF_INET6 ? ETH_P_IPV6 : ETH_P_IP);
}

static uint8_t *build_ip(const struct spec *s, uint8_t *ip, size_t len, uint16_t frag, uint16_t ip_id)
{
	uint8_t proto = s->udp ? 17 : 6;
	uint8_t *p;

	if (s->family == AF_INET) {
		p = put16(put16(put16(put16(ip, 0x4500), 20 + len), ip_id), frag);
		*p++ = 64;
		*p++ = proto;
		p = put16(p, 0);
		memcpy(p, s->src, 4);
		memcpy(p + 4, s->dst, 4);
		put16(ip + 10, fold(sum16(0, ip, 20)));
		return ip + 20;
	}
	p = put16(put32(ip, 0x60000000), len + (s->split ? 8 : 0));
	*p++ = s->split ? 44 : proto;
	*p++ = 64;
	memcpy(p, s->src, 16);
	memcpy(p + 16, s->dst, 16);
	p += 32;
	if (s->split) {
		*p++ = proto;
		*p++ = 0;
		/* IPv6 keeps the offset above three bits, with "more" as the lowest */
		p = put32(put16(p, (frag & 0x1fff) << 3 | (frag >> 13 & 1)), 0x6d780000 | ip_id);
	}
	return p;
}

/* One packet as one frame or several; returns how many. */
static int build(struct spec *s, uint16_t dport, uint8_t (*frame)[FRAME], size_t *len, int room)
{
	uint16_t ip_id = draw();
	uint8_t seg[FRAME];
	size_t all, step;
	int n = 0;

	if (s->random_src)
		random_source(s);
	all = build_segment(s, seg, dport);
	step = s->split ? s->split : all;
	for (size_t at = 0; at < all && n < room; at += step, n++) {
		size_t part = all - at < step ? all - at : step;
		uint16_t frag = at / 8 | (at + part < all ? 0x2000 : 0);
		uint8_t *p = build_ip(s, build_link(s, frame[n]), part, frag, ip_id);

		memcpy(p, seg + at, part);
		len[n] = p + part - frame[n];
	}
	return n;
}

static int64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000000000LL + t.tv_nsec;
}

/* A full queue on the way is waited for: what is counted as sent was taken. */
static void send_all(int fd, struct mmsghdr *m, int n)
{
	for (int done = 0; done < n;) {
		int took = sendmmsg(fd, m + done, n - done, 0);

		if (took > 0) {
			done += took;
		} else if (errno == ENOBUFS || errno == EAGAIN) {
			usleep(100);
		} else {
			fprintf(stderr, "inject: send: %s\n", strerror(errno));
			exit(1);
		}
	}
}

static int inject(int fd, struct spec *s)
{
	static uint8_t frame[BATCH + 256][FRAME];
	static struct mmsghdr m[BATCH + 256];
	static struct iovec iov[BATCH + 256];
	size_t len[BATCH + 256];
	unsigned long sent = 0, frames = 0;
	unsigned int dport = s->dport_lo;
	int64_t start = now_ns();

	while (sent < s->count && !stop) {
		int n = 0;

		while (n < BATCH && sent < s->count) {
			n += build(s, dport, frame + n, len + n, 256);
			dport = dport == s->dport_hi ? s->dport_lo : dport + 1;
			sent++;
		}
		for (int i = 0; i < n; i++) {
			iov[i] = (struct iovec){ frame[i], len[i] };
			m[i].msg_hdr.msg_iov = &iov[i];
			m[i].msg_hdr.msg_iovlen = 1;
		}
		send_all(fd, m, n);
		frames += n;
		if (s->rate) {
			int64_t ahead = start + (int64_t)(sent * 1000000000ULL / s->rate) - now_ns();

			if (ahead > 0)
				usleep(ahead / 1000);
		}
	}
	printf("%lu packets %lu frames\n", sent, frames);
	return 0;
}

static int watch(int fd, int seconds)
{
	static unsigned long seen[65536];
	int64_t end = now_ns() + seconds * 1000000000LL;
	struct pollfd p = { .fd = fd, .events = POLLIN };
	uint8_t buf[64];
	int big = 64 << 20;

	setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	puts("watching");
	fflush(stdout);
	while (!stop && (!seconds || now_ns() < end)) {
		if (poll(&p, 1, 100) != 1)
			continue;
		while (recv(fd, buf, sizeof(buf), MSG_DONTWAIT | MSG_TRUNC) >= 14)
			if (!memcmp(buf + 6, marker, sizeof(marker)))
				seen[buf[10] << 8 | buf[11]]++;
	}
	for (int i = 0; i < 65536; i++)
		if (seen[i])
			printf("%d %lu\n", i, seen[i]);
	puts("end");
	return 0;
}

static uint8_t parse_flags(const char *v)
{
	static const char names[] = "FSRPAUEC";
	uint8_t flags = 0;

	for (; *v; v++) {
		const char *at = strchr(names, *v);

		if (at && *at)
			flags |= 1 << (at - names);
		else if (*v != '-')
			usage(v);
	}
	return flags;
}

static void parse_address(struct spec *s, const char *v, uint8_t *out)
{
	int family = strchr(v, ':') ? AF_INET6 : AF_INET;

	if (inet_pton(family, v, out) != 1 || (s->family && s->family != family))
		usage(v);
	s->family = family;
}

static void parse_word(struct spec *s, char *word)
{
	char *v = strchr(word, '=');

	if (!v)
		usage(word);
	*v++ = 0;
	if (!strcmp(word, "to")) {
		if (sscanf(v, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", s->to, s->to + 1, s->to + 2, s->to + 3, s->to + 4, s->to + 5) != 6)
			usage(v);
	} else if (!strcmp(word, "src")) {
		s->random_src = !strcmp(v, "random");
		if (!s->random_src)
			parse_address(s, v, s->src);
	} else if (!strcmp(word, "dst")) {
		parse_address(s, v, s->dst);
	} else if (!strcmp(word, "sport")) {
		s->sport = atoi(v);
	} else if (!strcmp(word, "dport")) {
		if (sscanf(v, "%u-%u", &s->dport_lo, &s->dport_hi) == 1)
			s->dport_hi = s->dport_lo;
	} else if (!strcmp(word, "flags")) {
		s->flags = parse_flags(v);
	} else if (!strcmp(word, "proto")) {
		s->udp = !strcmp(v, "udp");
	} else if (!strcmp(word, "count")) {
		s->count = strtoul(v, NULL, 10);
	} else if (!strcmp(word, "rate")) {
		s->rate = strtoul(v, NULL, 10);
	} else if (!strcmp(word, "id")) {
		s->id = atoi(v);
	} else if (!strcmp(word, "tag") && s->ntags < MAX_TAGS) {
		if (sscanf(v, "%hx:%hu", &s->tag[s->ntags].tpid, &s->tag[s->ntags].vid) != 2)
			usage(v);
		s->ntags++;
	} else if (!strcmp(word, "split")) {
		s->split = atoi(v) & ~7u;
	} else if (!strcmp(word, "data")) {
		s->data = atoi(v);
	} else if (!strcmp(word, "badsum")) {
		s->badsum = atoi(v);
	} else if (!strcmp(word, "seq")) {
		s->seq = strtoul(v, NULL, 10);
	} else if (!strcmp(word, "ack")) {
		s->ack = strtoul(v, NULL, 10);
	} else {
		usage(word);
	}
}

static int packet_socket(const char *ifname, bool receive)
{
	struct sockaddr_ll at = { .sll_family = AF_PACKET, .sll_protocol = receive ? htons(ETH_P_ALL) : 0 };
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	at.sll_ifindex = if_nametoindex(ifname);
	if (fd < 0 || !at.sll_ifindex || bind(fd, (void *)&at, sizeof(at))) {
		fprintf(stderr, "inject: %s: %s\n", ifname, strerror(errno));
		exit(2);
	}
	return fd;
}

int main(int argc, char **argv)
{
	struct spec s = { .count = 1, .flags = 2, .sport = 0 };
	struct sigaction term = { .sa_handler = on_term };
	struct timespec t;

	sigaction(SIGTERM, &term, NULL);
	clock_gettime(CLOCK_MONOTONIC, &t);
	rng ^= (uint64_t)t.tv_nsec << 20 ^ getpid();
	if (argc > 2 && !strcmp(argv[1], "watch"))
		return watch(packet_socket(argv[2], true), argc > 3 ? atoi(argv[3]) : 0);
	if (argc < 3)
		usage("IFACE KEY=VALUE...");
	for (int i = 2; i < argc; i++)
		parse_word(&s, argv[i]);
	if (!s.family)
		usage("dst= is missing");
	if (s.data > 1200)
		usage("data= of at most 1200");
	return inject(packet_socket(argv[1], false), &s);
}
