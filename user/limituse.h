/* SPDX-License-Identifier: GPL-2.0-only */
/* The limits in force and the sources that have connections under them, joined from the filter's tables and the kernel's sockets. */
#ifndef MXDP_LIMITUSE_H
#define MXDP_LIMITUSE_H

#include "look.h"

struct limit_source {
	unsigned int number; /* of its limit */
	struct prefix source; /* as wide as the limit makes it */
	uint64_t open;       /* as the filter has counted */
	uint64_t sockets;    /* as the kernel's table of sockets has it now */
	bool full;           /* as many open as it may have */
	bool held;           /* came too fast: its next SYN is not due yet */
};

struct limit_use {
	const struct stmt *v[MXDP_LIMITS]; /* 1 to n, of the rules looked at */
	unsigned int n;
	struct limit_source *source; /* by limit, then by connections, most first */
	size_t nsources;
	uint64_t total;              /* connections counted, of whatever source */
	uint64_t lost;               /* connections that the table had no room for */
};

/* 0 or negative errno with d filled. */
int limit_use_read(struct limit_use *u, const struct look *l, struct diag *d);
void limit_use_free(struct limit_use *u);
#define __cleanup_limit_use __cleanup(limit_use_free)

/* The sentence without its comment. Malloc'd. */
char *limit_name(const struct limit_use *u, unsigned int number);

struct limit_sum {
	uint64_t open, sources, full, held;
};
struct limit_sum limit_use_sum(const struct limit_use *u, unsigned int number);

#endif
