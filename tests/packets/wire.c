// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "wire.h"

static int tun = -1;

static void __attribute__((format(printf, 1, 2), noreturn)) give_up(const char *fmt, ...)
{
	va_list ap;

	fflush(stdout);
	va_start(ap, fmt);
	fputs("wire: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(99);
}

void wire_sysctl(const char *name, const char *value)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/%s", name);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, value, strlen(value)) < 0)
		give_up("%s: %s", path, strerror(errno));
	close(fd);
}

void wire_up(void)
{
	static const char *const commands[] = {
		"ip link set lo up",
		"ip link set mxwire up mtu 1500",
		"ip address add " US4 "/32 dev mxwire",
		"ip -6 address add " US6 "/128 dev mxwire nodad",
		"ip route add default dev mxwire",
		"ip -6 route add default dev mxwire",
	};
	struct ifreq r = { .ifr_name = "mxwire" };

	r.ifr_flags = IFF_TUN | IFF_NO_PI;
	rig_alone();
	tun = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	if (tun < 0 || ioctl(tun, TUNSETIFF, &r))
		give_up("no tun device: %s", strerror(errno));
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
		if (system(commands[i]))
			give_up("failed: %s", commands[i]);
	wire_sysctl("net/ipv4/tcp_syncookies", "1");
}

void wire_give(const uint8_t *ip, size_t len)
{
	if (write(tun, ip, len) < 0)
		give_up("the tun device refuses a packet: %s", strerror(errno));
}

static void wire_put(const struct crafted *f)
{
	wire_give(f->b + f->l3, f->len - f->l3);
}

static uint32_t get32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | p[1] << 16 | p[2] << 8 | p[3];
}

bool wire_take(uint8_t *ip, size_t *len, size_t *tcp, int ms)
{
	struct pollfd pfd = { .fd = tun, .events = POLLIN };

	for (;;) {
		ssize_t n = read(tun, ip, WIRE_MTU);

		if (n < 0) {
			if (poll(&pfd, 1, ms) <= 0)
				return false;
			continue;
		}
		*len = n;
		if (ip[0] >> 4 == 4 && ip[9] == 6)
			*tcp = (ip[0] & 15) * 4;
		else if (ip[0] >> 4 == 6 && ip[6] == 6)
			*tcp = 40;
		else
			continue; /* router solicitations and their like */
		return true;
	}
}

bool wire_get(struct wire_segment *s, int ms)
{
	uint8_t b[WIRE_MTU], *tcp;
	size_t n, at;

	if (!wire_take(b, &n, &at, ms))
		return false;
	tcp = b + at;
	s->family = b[0] >> 4;
	s->sport = tcp[0] << 8 | tcp[1];
	s->dport = tcp[2] << 8 | tcp[3];
	s->seq = get32(tcp + 4);
	s->ack = get32(tcp + 8);
	s->flags = tcp[13];
	s->payload = b + n - tcp - (tcp[12] >> 4) * 4;
	return true;
}

void wire_drain(void)
{
	struct wire_segment s;

	while (wire_get(&s, 0))
		;
}

static socklen_t fill_address(struct sockaddr_storage *ss, unsigned int family, const char *text, unsigned int port)
{
	struct sockaddr_in *v4 = (void *)ss;
	struct sockaddr_in6 *v6 = (void *)ss;

	memset(ss, 0, sizeof(*ss));
	if (family == 4) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		inet_pton(AF_INET, text, &v4->sin_addr);
		return sizeof(*v4);
	}
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	inet_pton(AF_INET6, text, &v6->sin6_addr);
	return sizeof(*v6);
}

static int bound(unsigned int family, const char *address, unsigned int port)
{
	struct sockaddr_storage ss;
	socklen_t len = fill_address(&ss, family == 4 ? 4 : 6, address, port);
	int one = 1, only = family == 6, fd;

	fd = socket(family == 4 ? AF_INET : AF_INET6, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
	    (family != 4 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof(only))) ||
	    bind(fd, (void *)&ss, len))
		give_up("cannot bind port %u: %s", port, strerror(errno));
	return fd;
}

int wire_listen(unsigned int family, unsigned int port, int backlog)
{
	int fd = bound(family, family == 4 ? "0.0.0.0" : "::", port);

	if (listen(fd, backlog))
		give_up("cannot listen on port %u: %s", port, strerror(errno));
	return fd;
}

static const char *address(const struct peer *p)
{
	return p->address ? p->address : craft_address(STRANGER, p->family);
}

void wire_connect(struct peer *p)
{
	struct sockaddr_storage ss;
	socklen_t len = fill_address(&ss, p->family, address(p), p->port);
	struct wire_segment s;

	wire_drain();
	p->fd = bound(p->family, p->family == 4 ? US4 : US6, p->host_port);
	if (!connect(p->fd, (void *)&ss, len) || errno != EINPROGRESS)
		give_up("connect to %s: %s", address(p), strerror(errno));
	if (!wire_get(&s, 1000) || (s.flags & (SYN | ACK)) != SYN || s.dport != p->port)
		give_up("the host's SYN to %s does not come", address(p));
	p->host_port = s.sport;
	p->acked = s.seq + 1;
	if (!p->next)
		p->next = 7000;
}

struct craft peer_says(const struct peer *p, unsigned int flags)
{
	return (struct craft){
		.family = p->family, .src = address(p), .sport = p->port, .dport = p->host_port, .flags = flags,
		.seq = p->next, .ack = flags & ACK ? p->acked : 0,
	};
}

bool peer_sends(struct rig *g, const struct peer *p, const char *what, const struct craft *c, struct rig_says s)
{
	static struct crafted f;
	char text[160];
	bool ok;

	if (s.port == NOPORT) {
		s.port = p->host_port;
		s.service = p->service;
	}
	snprintf(text, sizeof(text), "%s (IPv%u)", what, p->family);
	craft(c, &f);
	ok = rig_expect(g, text, &(struct rig_run){ .frame = f.b, .len = f.len }, p->family, s);
	if (s.verdict == XDP_PASS)
		wire_put(&f);
	return ok;
}

void peer_knocks(struct rig *g, struct peer *p)
{
	struct wire_segment s;
	struct craft c;

	wire_drain();
	if (!p->next)
		p->next = 7000;
	c = peer_says(p, SYN);
	c.tcp_opt = p->syn_opt;
	c.ntcp_opt = p->nsyn_opt;
	peer_sends(g, p, "SYN of an ordinary connection", &c, SAYS(PASS(ALLOWED, HERE)));
	if (!wire_get(&s, 1000) || (s.flags & (SYN | ACK)) != (SYN | ACK))
		give_up("no SYN-ACK from port %u", p->host_port);
	p->next++;
	p->acked = s.seq + 1;
}

bool peer_accepted(struct peer *p, int listener, int ms)
{
	struct pollfd pfd = { .fd = listener, .events = POLLIN };

	if (poll(&pfd, 1, ms) != 1)
		return false;
	p->fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	return p->fd >= 0;
}

void peer_opens(struct rig *g, struct peer *p, int listener)
{
	struct craft c;

	peer_knocks(g, p);
	c = peer_says(p, ACK);
	peer_sends(g, p, "ACK that ends the handshake", &c, SAYS(PASS(LIVE, HERE)));
	if (!peer_accepted(p, listener, 1000))
		give_up("nothing to accept on port %u", p->host_port);
}

ssize_t peer_heard(const struct peer *p, int ms)
{
	struct pollfd pfd = { .fd = p->fd, .events = POLLIN };
	char b[4096];
	ssize_t n;

	if (poll(&pfd, 1, ms) != 1)
		return -EAGAIN;
	n = read(p->fd, b, sizeof(b));
	return n < 0 ? -errno : n;
}

void peer_abort(struct peer *p)
{
	struct linger hard = { .l_onoff = 1 };

	if (p->fd < 0)
		return;
	setsockopt(p->fd, SOL_SOCKET, SO_LINGER, &hard, sizeof(hard));
	close(p->fd);
	p->fd = -1;
	wire_drain();
}
