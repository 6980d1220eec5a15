/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a version of mxdp lays its maps out, as plain text that every other version can read: what it needs to count on
 * and to take over. One KEY=VALUE a line; a key keeps its meaning for ever; whoever reads passes over keys it does not
 * know. Sizes, offsets and strides are bytes of a value for `state`, `said` and `services`, of an element for the
 * `counters` and `ports` of an interface, and elements where the name says cells.
 */
#ifndef MXDP_LAYOUT_H
#define MXDP_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "diag.h"

#define LAYOUT_PAGE 4096u
#define LAYOUT_NONE UINT32_MAX /* the version has nothing of that kind */
#define LAYOUT_REASONS 256u
#define LAYOUT_ID 16 /* the name of a pin */

/*
 * LAYOUT_FIELD(field, "key", own value, least, most, may it be missing)
 *
 * counters: ROWS rows of row_cells cells, then moved_cells more of the same order, then tail_cells that are no counts.
 * The cell of a count is service * service_cells + family * family_cells + observed * observed_cells + reason.
 * moved: for each service, what belongs to service 0.
 * ports: ROWS rows of 65536 elements, by port. knocked4, knocked6: dropped besides, and to be added to service 0 under
 * knocked_reason. tail: made_entries entries about programs from tail byte made_at on.
 */
#define LAYOUT_FIELDS(X) \
	X(abi, "abi", MXDP_ABI, 0, 99999, false) \
	X(state_epoch, "state.epoch", offsetof(struct mxdp_state, epoch), 0, 4092, false) \
	X(state_probe_key, "state.probe_key", offsetof(struct mxdp_state, probe_key), 0, 4088, true) \
	X(state_revert_at, "state.revert_at", offsetof(struct mxdp_state, revert_at), 0, 4088, true) \
	X(state_revert_shift, "state.revert_shift", MXDP_REVERT_SHIFT, 32, 63, true) \
	X(state_trial_first, "state.trial_first", offsetof(struct mxdp_state, trial_first), 0, 4095, true) \
	X(services, "services.entries", MXDP_SERVICES, 1, 65536, false) \
	X(services_stride, "services.stride", sizeof(struct dp_service_pin), 1, 4096, false) \
	X(services_key, "services.key", offsetof(struct dp_service_pin, key), 0, 4095, false) \
	X(services_key_size, "services.key_size", sizeof(((struct dp_service_pin *)0)->key), 1, 4096, false) \
	X(services_named, "services.named", offsetof(struct dp_service_pin, named), 0, 4095, false) \
	X(count_size, "counters.size", sizeof(struct mxdp_count), 16, 4096, false) \
	X(count_packets, "counters.packets", offsetof(struct mxdp_count, packets), 0, 4088, false) \
	X(count_bytes, "counters.bytes", offsetof(struct mxdp_count, bytes), 0, 4088, false) \
	X(row_cells, "counters.row_cells", MXDP_COUNTERS_PER_ROW, 1, 1u << 26, false) \
	X(moved_cells, "counters.moved_cells", MXDP_COUNTERS_PER_ROW, 0, 1u << 26, false) \
	X(tail_cells, "counters.tail_cells", DP_LEDGER_CELLS, 0, 1u << 20, false) \
	X(service_cells, "counters.service_cells", MXDP_COUNTER(0, 1, 0, 0, 0), 1, 1u << 26, false) \
	X(family_cells, "counters.family_cells", MXDP_COUNTER(0, 0, 1, 0, 0), 1, 1u << 26, false) \
	X(observed_cells, "counters.observed_cells", MXDP_COUNTER(0, 0, 0, 1, 0), 1, 1u << 26, false) \
	X(reasons, "counters.reasons", MXDP_REASON_SLOTS, 1, LAYOUT_REASONS, false) \
	X(port_size, "ports.size", sizeof(struct mxdp_port_count), 16, 4096, false) \
	X(port_passed, "ports.passed", offsetof(struct mxdp_port_count, passed), 0, 4080, false) \
	X(port_dropped, "ports.dropped", offsetof(struct mxdp_port_count, dropped), 0, 4080, false) \
	X(port_observed, "ports.observed", offsetof(struct mxdp_port_count, observed), 0, 4080, true) \
	X(port_knocked4, "ports.knocked4", offsetof(struct mxdp_port_count, knocked[0]), 0, 4080, true) \
	X(port_knocked6, "ports.knocked6", offsetof(struct mxdp_port_count, knocked[1]), 0, 4080, true) \
	X(port_packets, "ports.packets", offsetof(struct mxdp_count, packets), 0, 4088, false) \
	X(port_bytes, "ports.bytes", offsetof(struct mxdp_count, bytes), 0, 4088, false) \
	X(knocked_reason, "ports.knocked_reason", MXDP_R_CLOSED, 0, LAYOUT_REASONS - 1, true) \
	X(made_at, "made.at", offsetof(struct dp_ledger, made), 0, 1u << 20, true) \
	X(made_entries, "made.entries", sizeof(((struct dp_ledger *)0)->made) / sizeof(struct dp_made), 0, 64, true) \
	X(made_size, "made.size", sizeof(struct dp_made), 5, 4096, true) \
	X(made_prog, "made.prog", offsetof(struct dp_made, prog_id), 0, 4092, true) \
	X(made_frags, "made.frags", offsetof(struct dp_made, frags), 0, 4095, true)

enum layout_verdict { LAYOUT_UNKNOWN, LAYOUT_PASSES, LAYOUT_DROPS };

struct layout {
	char id[LAYOUT_ID];  /* names the layout: two versions with the same id read each other's maps as their own */
	char version[64];    /* of the program that wrote it */
#define X(field, key, own, least, most, optional) uint32_t field;
	LAYOUT_FIELDS(X)
#undef X
	uint8_t verdict[LAYOUT_REASONS]; /* enum layout_verdict: what was done with packets counted under that reason */
};

/* This program's own text; static, without a NUL inside LAYOUT_PAGE bytes but behind its end. */
const char *layout_text(void);
/* The same, read. */
const struct layout *layout_own(void);
/* Text of at most `len` bytes. 0, or -EBADMSG with d filled: not such a text, or one that contradicts itself. */
int layout_read(struct layout *l, const char *text, size_t len, struct diag *d);

/* Which of our own reasons a packet was counted under; one that this version does not know has a reason of its own. */
unsigned int layout_reason(const struct layout *l, unsigned int reason);

#endif
