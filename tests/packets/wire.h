/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The wire: a tun device in a network namespace of our own. Behind it the
 * kernel has real sockets; in front of it the test plays the rest of the
 * world, packet by packet. What the filter lets pass is put on the wire; what
 * it drops never reaches the kernel.
 */
#ifndef MXDP_TEST_WIRE_H
#define MXDP_TEST_WIRE_H

#include <sys/types.h>
#include "craft.h"
#include "harness.h"

/* Makes namespace, device, addresses and routes; ends the program with a message when it cannot. */
void wire_up(void);
void wire_sysctl(const char *name, const char *value); /* "net/ipv4/tcp_syncookies" */

struct wire_segment {
	unsigned int family, sport, dport, flags;
	uint32_t seq, ack;
	size_t payload;
};
/* The next TCP segment the host sends, waiting up to `ms`. False: none came. */
bool wire_get(struct wire_segment *s, int ms);
/* The same as it is: the IP packet, room for WIRE_MTU bytes; where TCP begins. */
#define WIRE_MTU 2048
bool wire_take(uint8_t *ip, size_t *len, size_t *tcp, int ms);
/* An IP packet, as it is, to the host. */
void wire_give(const uint8_t *ip, size_t len);
void wire_drain(void);

/* A listener on all addresses of one family; 46: one socket for both. */
int wire_listen(unsigned int family, unsigned int port, int backlog);

/* A peer's end of one connection: numbers as the peer sees them. */
struct peer {
	unsigned int family;
	const char *address;     /* of the peer; NULL: the stranger */
	unsigned int port, host_port;
	const char *service;     /* key of host_port's service in force; NULL: other */
	uint32_t next, acked;    /* the peer's next byte; what it acknowledges */
	const char *syn_opt;     /* TCP options of its SYN */
	size_t nsyn_opt;
	int fd;                  /* the host's end; -1 */
};

/* The host begins to connect to p, from p->host_port (0: any, then filled in). The SYN is read off the wire. */
void wire_connect(struct peer *p);
/* What p would say now; flags, payload etc. may be changed before it is sent. */
struct craft peer_says(const struct peer *p, unsigned int flags);
/* Through the filter, which must say this; onto the wire when it passes. Port and service: p's, unless s names one. */
bool peer_sends(struct rig *g, const struct peer *p, const char *what, const struct craft *c, struct rig_says s);
/* SYN through the filter; the SYN-ACK off the wire. Nothing is acknowledged yet. */
void peer_knocks(struct rig *g, struct peer *p);
/* SYN, SYN-ACK, ACK through the filter; accepts. */
void peer_opens(struct rig *g, struct peer *p, int listener);
/* Takes p off the listener's queue: false when it is not there. */
bool peer_accepted(struct peer *p, int listener, int ms);
/* What the host reads from p: bytes, 0 end, or -errno; -EAGAIN after `ms`. */
ssize_t peer_heard(const struct peer *p, int ms);
/* Ends the host's side at once, without a TIME_WAIT behind. */
void peer_abort(struct peer *p);

#define HERE NOPORT, NULL /* port and service are p's */

#endif
