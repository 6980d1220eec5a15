/* SPDX-License-Identifier: GPL-2.0-only */
/* The things that `show` shows: one file each. */
#ifndef MXDP_SHOW_H
#define MXDP_SHOW_H

#include "look.h"

/* Show one thing; argv are the words behind its name. Return an exit code; what went wrong is in d. */
#define SHOW(f) int f(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
SHOW(show_rules);
SHOW(show_services);
SHOW(show_lists);
SHOW(show_bans);
SHOW(show_counters);
SHOW(show_drops);
SHOW(show_flows);
SHOW(show_limits);
SHOW(show_history);

/* What a list holds, one prefix a line, or as JSON. */
void list_print(const struct options *o, const struct list *l, bool in_force);

/* Sums over the interfaces asked for; *sum is made when NULL. */
int show_sum(const struct options *o, const struct look *l, struct dp_counts **sum, struct diag *d);

#endif
