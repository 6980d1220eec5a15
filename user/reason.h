/* SPDX-License-Identifier: GPL-2.0-only */
/* The list of mxdp/reasons.h, to look things up in. */
#ifndef MXDP_REASON_H
#define MXDP_REASON_H

#include <stdbool.h>
#include <mxdp/reasons.h>

struct reason_info {
	const char *name; /* "denied" */
	const char *text; /* one sentence */
	bool drops;
	enum mxdp_layer layer;
};

/* NULL for a number that is not in the list. */
const struct reason_info *reason_info(unsigned int reason);

/*
 * Is a packet of this reason counted under the service of its port? Those of the TCP layer are, and those that are
 * found out between the ports and the policy. `blocked` is one of them, though it also cuts UDP and ICMP echo.
 */
bool reason_has_port(unsigned int reason);

#endif
