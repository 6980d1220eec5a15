/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The operator at the other end: over which SSH connections does whoever runs this command come? SSH_CONNECTION tells where
 * it was not dropped (sudo does that) and is not of yesterday (tmux and screen keep it); otherwise the processes above
 * this one do, for one of them is the SSH server's and holds the socket. What is open now is asked of the kernel.
 */
#ifndef MXDP_OPERATOR_H
#define MXDP_OPERATOR_H

#include "rules.h"

struct way {
	struct prefix peer, here; /* single hosts */
	uint16_t pport, port;     /* of the peer; of this host */
	bool live;                /* the kernel has that connection; otherwise only a variable says so */
};

#define WAYS_MAX 8
struct operator {
	struct way v[WAYS_MAX];
	size_t n;
};
/*
 * Connections that live; where none does, what SSH_CONNECTION says, when its address is one of this host's here: inside
 * another network namespace (a lab, a container) the operator's connection is none of the filter's business.
 */
void operator_find(struct operator *op);
/*
 * A command that no shell stands above (`systemctl reload`, cron) has nobody to find: its operator may be anybody who is
 * logged in from elsewhere, as utmp and logind tell. Their connections to ports with an entry in `port`.
 */
void operator_logins(struct operator *op, const uint8_t port[65536]);
/* This process has no terminal. */
bool nobody_at_a_terminal(void);
/* "192.0.2.7 50000 192.0.2.10 22", one a line. Malloc'd. */
char *operator_text(const struct operator *op);
/* "alice from 192.0.2.7", "root". Malloc'd. */
char *operator_name(const struct operator *op);
/* Is every connection of now in that text? False when there is none. */
bool operator_same(const struct operator *op, const char *text);

#endif
