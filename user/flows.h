/* SPDX-License-Identifier: GPL-2.0-only */
/* The kernel's own table of TCP connections, through NETLINK_SOCK_DIAG, of the caller's network namespace. */
#ifndef MXDP_FLOWS_H
#define MXDP_FLOWS_H

#include "rules.h"

struct flow {
	struct prefix local, peer; /* single hosts; IPv4 inside a dual-stack socket is IPv4 here */
	uint16_t lport, pport;
	uint8_t state;             /* TCP_ESTABLISHED and its like of netinet/tcp.h */
	int64_t idle_ms;           /* since anything came in; -1 unknown */
	int64_t age_ms;            /* lower bound; -1 unknown */
	bool age_exact;            /* one side has not spoken yet, so its clock still runs from the beginning */
	uint32_t inode, uid;
};

/* "established", "syn-recv", "time-wait", ... */
const char *flow_state(uint8_t state);

/*
 * All connections whose local port has a non-zero entry in want[65536]; request sockets and TIME_WAIT too, listeners
 * not. *v is malloc'd, sorted by local port, then by peer. 0 or negative errno with d filled.
 */
int flows_read(struct flow **v, size_t *n, const uint8_t want[65536], struct diag *d);

/* All listening sockets, sorted by port: local says at which address (0.0.0.0 or :: for all; a dual-stack one is ::). */
int listeners_read(struct flow **v, size_t *n, struct diag *d);

#endif
