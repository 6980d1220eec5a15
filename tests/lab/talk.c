// SPDX-License-Identifier: GPL-2.0-only
/*
 * Talkers for the lab: an echo server, clients that keep many connections
 * talking and notice the least disturbance, clients that open new ones, and a
 * plain pipe to a server for dialogues a script holds by hand.
 *
 *   talk serve PORT...
 *   talk hold [-b FROM] [-e EVERY_MS] [-s STATS] N ADDR PORT    until SIGTERM; 0 when no connection broke
 *   talk try  [-b FROM] [-t TIMEOUT_MS] N ADDR PORT             one after the other; 0 when all were made
 *   talk burst [-b FROM] [-t TIMEOUT_MS] N ADDR PORT           all at once; 0 when all were made
 *   talk pipe [-b FROM] ADDR PORT
 *
 * STATS is rewritten ten times a second with one line of KEY=VALUE words; without it the line is printed at the end.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MESSAGE 64
#define EVENTS 256

static volatile sig_atomic_t stop;

static void on_term(int sig)
{
	(void)sig;
	stop = 1;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

static void fail(const char *what)
{
	fprintf(stderr, "talk: %s: %s\n", what, strerror(errno));
	exit(2);
}

static void more_files(void)
{
	struct rlimit l = { 65536, 65536 };

	setrlimit(RLIMIT_NOFILE, &l);
}

static void resolve(const char *addr, const char *port, struct sockaddr_storage *out, socklen_t *len)
{
	struct addrinfo hints = { .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV, .ai_socktype = SOCK_STREAM };
	struct addrinfo *found;
	int err = getaddrinfo(addr, port, &hints, &found);

	if (err) {
		fprintf(stderr, "talk: %s %s: %s\n", addr, port, gai_strerror(err));
		exit(2);
	}
	memcpy(out, found->ai_addr, found->ai_addrlen);
	*len = found->ai_addrlen;
	freeaddrinfo(found);
}

/* Connected within timeout_ms, or -1 with errno. */
static int dial(const char *from, const char *addr, const char *port, int timeout_ms)
{
	struct sockaddr_storage to, me;
	socklen_t to_len, me_len, n = sizeof(int);
	struct pollfd p = { .events = POLLOUT };
	int err = 0;

	resolve(addr, port, &to, &to_len);
	p.fd = socket(to.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (p.fd < 0)
		fail("socket");
	if (from) {
		resolve(from, "0", &me, &me_len);
		if (bind(p.fd, (void *)&me, me_len))
			fail(from);
	}
	if (!connect(p.fd, (void *)&to, to_len))
		return p.fd;
	if (errno == EINPROGRESS) {
		if (poll(&p, 1, timeout_ms) != 1)
			err = ETIMEDOUT;
		else
			getsockopt(p.fd, SOL_SOCKET, SO_ERROR, &err, &n);
	} else {
		err = errno;
	}
	if (!err)
		return p.fd;
	close(p.fd);
	errno = err;
	return -1;
}

/* ---- serve ---- */

static int listen_on(const char *port)
{
	struct sockaddr_in6 any = { .sin6_family = AF_INET6, .sin6_port = htons(atoi(port)) };
	int one = 1, zero = 0;
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

	if (fd < 0)
		fail("socket");
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
	if (bind(fd, (void *)&any, sizeof(any)) || listen(fd, 4096))
		fail(port);
	return fd;
}

static void echo(int ep, int fd)
{
	char buf[4096];
	ssize_t n = read(fd, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0 || write(fd, buf, n) != n) {
		epoll_ctl(ep, EPOLL_CTL_DEL, fd, NULL);
		close(fd);
	}
}

static int serve(int argc, char **argv)
{
	struct epoll_event ev[EVENTS];
	int ep = epoll_create1(EPOLL_CLOEXEC);
	int listeners = 0;

	for (int i = 0; i < argc; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u64 = listen_on(argv[i]) };

		e.data.u64 |= 1ULL << 32;
		epoll_ctl(ep, EPOLL_CTL_ADD, (int)e.data.u64, &e);
		listeners++;
	}
	if (!listeners)
		return 2;
	while (!stop) {
		int n = epoll_wait(ep, ev, EVENTS, 1000);

		for (int i = 0; i < n; i++) {
			int fd = (int)ev[i].data.u64;
			struct epoll_event e = { .events = EPOLLIN };

			if (!(ev[i].data.u64 >> 32)) {
				echo(ep, fd);
				continue;
			}
			while ((fd = accept4((int)ev[i].data.u64, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
				e.data.u64 = fd;
				epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
			}
		}
	}
	return 0;
}

/* ---- hold ---- */

struct held {
	int fd;           /* -1 once broken */
	uint32_t seq;
	int64_t due;      /* when the next message is to be sent */
	int64_t sent;     /* when the one on the way was; 0 none */
	char out[MESSAGE], in[MESSAGE];
	size_t got;
};

struct stats {
	unsigned long messages, broken, retransmits;
	int64_t slowest, waiting;
};

static void broke(struct held *h, struct stats *s, const char *how)
{
	fprintf(stderr, "talk: connection broke after %u messages: %s\n", h->seq, how);
	close(h->fd);
	h->fd = -1;
	s->broken++;
}

static void say(struct held *h, struct stats *s, int64_t now)
{
	snprintf(h->out, sizeof(h->out), "%d:%u:the same connection still talks", h->fd, ++h->seq);
	h->got = 0;
	h->sent = now;
	if (write(h->fd, h->out, MESSAGE) != MESSAGE)
		broke(h, s, strerror(errno));
}

static void hear(struct held *h, struct stats *s, int64_t now, int every)
{
	ssize_t n = read(h->fd, h->in + h->got, MESSAGE - h->got);

	if (n < 0 && errno == EAGAIN)
		return;
	if (n <= 0) {
		broke(h, s, n ? strerror(errno) : "closed by the peer");
		return;
	}
	h->got += n;
	if (h->got < MESSAGE)
		return;
	if (memcmp(h->in, h->out, MESSAGE)) {
		broke(h, s, "another text came back");
		return;
	}
	s->messages++;
	if (now - h->sent > s->slowest)
		s->slowest = now - h->sent;
	h->sent = 0;
	h->due = now + every;
}

static void gather(const struct held *v, int n, struct stats *s, int64_t now)
{
	s->retransmits = 0;
	s->waiting = 0;
	for (int i = 0; i < n; i++) {
		struct tcp_info info = {};
		socklen_t len = sizeof(info);

		if (v[i].fd < 0)
			continue;
		getsockopt(v[i].fd, IPPROTO_TCP, TCP_INFO, &info, &len);
		s->retransmits += info.tcpi_total_retrans;
		if (v[i].sent && now - v[i].sent > s->waiting)
			s->waiting = now - v[i].sent;
	}
}

static void tell(int fd, int n, const struct stats *s)
{
	char line[256];
	int len = snprintf(line, sizeof(line),
			   "connections=%d messages=%lu broken=%lu retransmits=%lu slowest_ms=%lld waiting_ms=%lld", n,
			   s->messages, s->broken, s->retransmits, (long long)s->slowest, (long long)s->waiting);

	if (fd < 0) {
		printf("%s\n", line);
		return;
	}
	/* always the same length, so that a reader never meets half a line */
	memset(line + len, ' ', sizeof(line) - len);
	line[sizeof(line) - 1] = '\n';
	if (pwrite(fd, line, sizeof(line), 0) < 0)
		fail("stats");
}

static int hold(const char *from, const char *stats_path, int every, int argc, char **argv)
{
	struct epoll_event ev[EVENTS];
	struct stats s = {};
	struct held *v;
	int n, ep = epoll_create1(EPOLL_CLOEXEC), out = -1;
	int64_t told = 0, start;

	if (argc != 3)
		return 2;
	n = atoi(argv[0]);
	v = calloc(n, sizeof(*v));
	for (int i = 0; i < n; i++) {
		struct epoll_event e = { .events = EPOLLIN, .data.u32 = i };

		v[i].fd = dial(from, argv[1], argv[2], 10000);
		if (v[i].fd < 0)
			fail("connect");
		epoll_ctl(ep, EPOLL_CTL_ADD, v[i].fd, &e);
	}
	if (stats_path) {
		out = open(stats_path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
		if (out < 0)
			fail(stats_path);
	}
	start = now_ms();
	for (int i = 0; i < n; i++)
		v[i].due = start + (int64_t)every * i / n;
	while (!stop) {
		int got = epoll_wait(ep, ev, EVENTS, 10);
		int64_t now = now_ms();

		for (int i = 0; i < got; i++)
			if (v[ev[i].data.u32].fd >= 0)
				hear(&v[ev[i].data.u32], &s, now, every);
		for (int i = 0; i < n; i++)
			if (v[i].fd >= 0 && !v[i].sent && now >= v[i].due)
				say(&v[i], &s, now);
		if (out >= 0 && now - told >= 100) {
			gather(v, n, &s, now);
			tell(out, n, &s);
			told = now;
		}
	}
	gather(v, n, &s, now_ms());
	tell(out, n, &s);
	return s.broken ? 1 : 0;
}

/* ---- try ---- */

static bool one_message(int fd, int timeout_ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };
	char out[MESSAGE] = "a new connection", in[MESSAGE];
	size_t got = 0;

	if (write(fd, out, MESSAGE) != MESSAGE)
		return false;
	while (got < MESSAGE) {
		ssize_t n;

		if (poll(&p, 1, timeout_ms) != 1)
			return false;
		n = read(fd, in + got, MESSAGE - got);
		if (n <= 0)
			return false;
		got += n;
	}
	return !memcmp(in, out, MESSAGE);
}

static int try(const char *from, int timeout_ms, int argc, char **argv)
{
	unsigned long made = 0, silent = 0, refused = 0;
	int64_t slowest = 0;
	int n;

	if (argc != 3)
		return 2;
	n = atoi(argv[0]);
	for (int i = 0; i < n && !stop; i++) {
		int64_t start = now_ms();
		int fd = dial(from, argv[1], argv[2], timeout_ms);

		if (fd < 0) {
			*(errno == ECONNREFUSED ? &refused : &silent) += 1;
			continue;
		}
		if (one_message(fd, timeout_ms))
			made++;
		else
			silent++;
		close(fd);
		if (now_ms() - start > slowest)
			slowest = now_ms() - start;
	}
	printf("made=%lu silent=%lu refused=%lu slowest_ms=%lld\n", made, silent, refused, (long long)slowest);
	return made == (unsigned long)n ? 0 : 1;
}

/* ---- burst ---- */

static int begin_dial(const char *from, const char *host, const char *port)
{
	struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST }, *to = NULL, *own = NULL;
	int fd = -1;

	if (getaddrinfo(host, port, &hints, &to) == 0 && (!from || getaddrinfo(from, NULL, &hints, &own) == 0))
		fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd >= 0 && own && bind(fd, own->ai_addr, own->ai_addrlen))
		fd = -1;
	if (fd >= 0 && connect(fd, to->ai_addr, to->ai_addrlen) && errno != EINPROGRESS)
		fd = -1;
	if (to)
		freeaddrinfo(to);
	if (own)
		freeaddrinfo(own);
	return fd;
}

/* Made is what answers; a handshake that only we hold for done does not. All are kept open until the end. */
static int burst(const char *from, int timeout_ms, int argc, char **argv)
{
	static const char message[MESSAGE];
	struct pollfd *v;
	int n, made = 0;
	int64_t end;

	if (argc != 3)
		return 2;
	n = atoi(argv[0]);
	v = calloc(n, sizeof(*v));
	for (int i = 0; i < n; i++)
		v[i] = (struct pollfd){ .fd = begin_dial(from, argv[1], argv[2]), .events = POLLOUT };
	end = now_ms() + timeout_ms;
	while (now_ms() < end && poll(v, n, end - now_ms()) > 0) {
		for (int i = 0; i < n; i++) {
			char in[MESSAGE];

			if (v[i].revents & POLLOUT && write(v[i].fd, message, MESSAGE) == MESSAGE)
				v[i].events = POLLIN;
			else if (v[i].revents & POLLIN && read(v[i].fd, in, MESSAGE) == MESSAGE && ++made)
				v[i].events = 0;
			else if (v[i].revents)
				v[i].fd = -1;
		}
	}
	printf("made=%d of=%d\n", made, n);
	free(v);
	return made == n ? 0 : 1;
}

/* ---- pipe ---- */

static bool pump(int from, int to)
{
	char buf[65536];
	ssize_t n = read(from, buf, sizeof(buf));

	if (n < 0 && errno == EAGAIN)
		return true;
	for (ssize_t at = 0, w; at < n; at += w) {
		w = write(to, buf + at, n - at);
		if (w < 0 && errno == EAGAIN) {
			struct pollfd p = { .fd = to, .events = POLLOUT };

			poll(&p, 1, -1);
			w = 0;
		} else if (w < 0) {
			return false;
		}
	}
	return n > 0;
}

static int pipe_to(const char *from, int argc, char **argv)
{
	struct pollfd p[2] = { { .fd = STDIN_FILENO, .events = POLLIN }, { .events = POLLIN } };

	if (argc != 2)
		return 2;
	p[1].fd = dial(from, argv[0], argv[1], 10000);
	if (p[1].fd < 0)
		fail("connect");
	while (!stop && poll(p, 2, -1) >= 0) {
		if (p[1].revents && !pump(p[1].fd, STDOUT_FILENO))
			return 0;
		if (p[0].revents && !pump(STDIN_FILENO, p[1].fd)) {
			shutdown(p[1].fd, SHUT_WR);
			p[0].fd = -1;
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	const char *from = NULL, *stats = NULL, *what = argc > 1 ? argv[1] : "";
	struct sigaction term = { .sa_handler = on_term };
	int every = 200, timeout = 5000, c;

	sigaction(SIGTERM, &term, NULL);
	signal(SIGPIPE, SIG_IGN);
	more_files();
	argc--;
	argv++;
	while (argc > 0 && (c = getopt(argc, argv, "b:e:s:t:")) != -1) {
		if (c == 'b')
			from = optarg;
		else if (c == 'e')
			every = atoi(optarg);
		else if (c == 's')
			stats = optarg;
		else if (c == 't')
			timeout = atoi(optarg);
		else
			return 2;
	}
	argc -= optind;
	argv += optind;
	if (!strcmp(what, "serve"))
		return serve(argc, argv);
	if (!strcmp(what, "hold"))
		return hold(from, stats, every, argc, argv);
	if (!strcmp(what, "try"))
		return try(from, timeout, argc, argv);
	if (!strcmp(what, "burst"))
		return burst(from, timeout, argc, argv);
	if (!strcmp(what, "pipe"))
		return pipe_to(from, argc, argv);
	fprintf(stderr, "talk: serve, hold, try, burst or pipe\n");
	return 2;
}
