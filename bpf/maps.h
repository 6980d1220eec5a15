/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The maps. max_entries of lease, trie, counters and ports are set by the
 * loader; cfg is frozen before the load, so the verifier leaves out what it rules out.
 */
#ifndef MXDP_BPF_MAPS_H
#define MXDP_BPF_MAPS_H

#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

#define MXDP_ARRAY(name_, value_, entries_) \
	struct { \
		__uint(type, BPF_MAP_TYPE_ARRAY); \
		__uint(map_flags, BPF_F_MMAPABLE); \
		__uint(max_entries, entries_); \
		__type(key, __u32); \
		__type(value, value_); \
	} name_ SEC(".maps")

/*
 * Maps of one value are reached by address, without a lookup (three
 * nanoseconds a packet here): the kernel gives them out as plain memory.
 */
struct mxdp_state state SEC(".data.state");
struct mxdp_bank banks[2]; /* all of .bss */

MXDP_ARRAY(trie, union mxdp_line, 1024);
MXDP_ARRAY(lease, struct mxdp_lease_line, 1024);
MXDP_ARRAY(gates, struct mxdp_words, MXDP_GATE_ALL);
MXDP_ARRAY(conns, struct mxdp_words, MXDP_CONN_LINES(1024)); /* two halves of as many lines as `lease` */
/* bans: see bans.h; ban_head is of one value too */
MXDP_ARRAY(bans, struct mxdp_ban_line, 1024);
MXDP_ARRAY(banned, struct mxdp_banned, 8192);
MXDP_ARRAY(ban_texts, struct mxdp_ban_text, MXDP_BAN_TEXTS);
struct mxdp_ban_head ban_head SEC(".data.bans");

MXDP_ARRAY(counters, struct mxdp_count, MXDP_COUNTERS_PER_ROW);
MXDP_ARRAY(ports, struct mxdp_port_count, 65536);

const volatile struct mxdp_cfg cfg = {};

#endif /* MXDP_BPF_MAPS_H */
