/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Sums over the counters of an interface. Every packet is counted once, as passed, dropped or observed, so any split by
 * service, family or reason adds up to the packets seen.
 */
#ifndef MXDP_COUNTS_H
#define MXDP_COUNTS_H

#include "datapath.h"
#include "out.h"

struct totals {
	struct mxdp_count passed;
	struct mxdp_count dropped;
	struct mxdp_count observed; /* passed, because the policy only observes; would have been dropped */
};

#define ANY (-1)
/*
 * Service 0 holds two kinds of packets: those to ports that no rule names, and those without a port (ARP, UDP, damaged
 * headers). Here 0 means the first kind, and this number the second.
 */
#define PORTLESS ((int)MXDP_SERVICES)

enum family { FAMILY_IPV4, FAMILY_IPV6, FAMILY_LINK, FAMILIES };
/* "ipv4", "ipv6", "link" */
const char *family_name(enum family f);

/* What was counted under service, family and reason; ANY for each that does not matter. */
struct totals counts_sum(const struct dp_counts *c, int service, int family, int reason);
struct mxdp_count counts_received(const struct totals *t);
void totals_add(struct totals *to, const struct totals *t);
bool totals_any(const struct totals *t);

/* Adds "passed", "dropped" and "would_drop", each {"packets", "bytes"}. */
void json_totals(json_object *o, const struct totals *t);
/* Adds "reasons": {"reason", "family", "verdict", "packets", "bytes"} for each that was counted under service. */
void json_reasons(json_object *o, const struct dp_counts *c, int service);

#endif
