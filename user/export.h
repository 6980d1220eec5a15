/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Figures for monitoring. The Prometheus text format 0.0.4: HELP and TYPE once per family, its samples together, no
 * timestamps, no totals among the parts: the sum over all labels of a family is the number of packets it speaks of.
 * Received = passed + dropped + observed. A source address is never a label.
 */
#ifndef MXDP_EXPORT_H
#define MXDP_EXPORT_H

#include "limituse.h"
#include "look.h"

struct export_iface {
	struct iface_view view;
	struct dp_counts *counts; /* NULL: none to read */
};

struct export {
	const char *version, *revision;
	const struct look *look;  /* zeroed when not loaded */
	bool loaded;
	struct export_iface *iface;
	size_t nifaces;
	const struct config_view *config;
	const struct limit_use *limits; /* NULL: not read */
	uint64_t memory;
	const struct dp_bans_owner *bans;
	size_t nbans;
	double seconds; /* that the reading took */
};

void export_prometheus(const struct export *e, FILE *to);
void export_json(const struct export *e, FILE *to);

#endif
