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
 * knocked_reason.
 * bans: the maps now/banned, a record for each 64-bit word of now/bans, and now/bantexts, which records name by number. A
 * record holds where its word, but for the ignored bit, is neither 0 nor has the tag of a claim, and its time has not come
 * (CLOCK_BOOTTIME; ~0 never). hi, lo: the address in host order. Kinds of texts: 1 owner, 2 reason, 3 ports as pairs of
 * 16 bits, len of them.
 * tail: made_entries entries about programs from tail byte made_at on.
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
	X(made_frags, "made.frags", offsetof(struct dp_made, frags), 0, 4095, true) \
	X(ban_size, "bans.size", sizeof(struct mxdp_banned), 40, 4096, true) \
	X(ban_hi, "bans.hi", offsetof(struct mxdp_banned, hi), 0, 4088, true) \
	X(ban_lo, "bans.lo", offsetof(struct mxdp_banned, lo), 0, 4088, true) \
	X(ban_expires, "bans.expires_ns", offsetof(struct mxdp_banned, expires_ns), 0, 4088, true) \
	X(ban_hits, "bans.hits", offsetof(struct mxdp_banned, hits), 0, 4088, true) \
	X(ban_made, "bans.made_s", offsetof(struct mxdp_banned, made_s), 0, 4092, true) \
	X(ban_owner, "bans.owner", offsetof(struct mxdp_banned, owner), 0, 4094, true) \
	X(ban_reason, "bans.reason", offsetof(struct mxdp_banned, reason), 0, 4094, true) \
	X(ban_ports, "bans.ports", offsetof(struct mxdp_banned, ports), 0, 4094, true) \
	X(ban_len, "bans.len", offsetof(struct mxdp_banned, len), 0, 4095, true) \
	X(ban_family, "bans.family", offsetof(struct mxdp_banned, family), 0, 4095, true) \
	X(ban_ignored_bit, "bans.word_ignored_bit", 63, 0, 63, true) \
	X(ban_tag_shift, "bans.word_tag_shift", 32, 0, 63, true) \
	X(ban_claim, "bans.word_claim", MXDP_BAN_CLAIM, 0, INT32_MAX, true) \
	X(text_size, "bantexts.size", sizeof(struct mxdp_ban_text), 8, 4096, true) \
	X(text_kind, "bantexts.kind", offsetof(struct mxdp_ban_text, kind), 0, 4095, true) \
	X(text_len, "bantexts.len", offsetof(struct mxdp_ban_text, len), 0, 4095, true) \
	X(text_text, "bantexts.text", offsetof(struct mxdp_ban_text, text), 0, 4095, true)

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
/* Are the at most `len` bytes that text, but perhaps for the version that wrote it? Cheaper than to read them. */
bool layout_same(const char *text, size_t len);
/* Our own text, read. */
const struct layout *layout_own(void);
/* Text of at most `len` bytes. 0, or -EBADMSG with d filled: not such a text, or one that contradicts itself. */
int layout_read(struct layout *l, const char *text, size_t len, struct diag *d);

/* Which of our own reasons a packet was counted under; one that this version does not know has a reason of its own. */
unsigned int layout_reason(const struct layout *l, unsigned int reason);

#endif
