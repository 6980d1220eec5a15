/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Automatic bans: for programs that are not on the packet's way. They write the
 * same table as `mxdp ban`, by the same protocol, under the owner "limit".
 */
#ifndef MXDP_BPF_BAN_INSERT_H
#define MXDP_BPF_BAN_INSERT_H

#define BAN_LINE(t, line) ({ (void)(t); __u32 line_ = (line); (struct mxdp_ban_line *)bpf_map_lookup_elem(&bans, &line_); })
#define BAN_RECORD(t, i) ({ (void)(t); __u32 i_ = (i); (struct mxdp_banned *)bpf_map_lookup_elem(&banned, &i_); })
#define BAN_HEAD(t) (&ban_head)
#include <mxdp/ban_put.h>

/*
 * Bans the source's network of `len` bits (1 to 32 or 128) on all ports for so many seconds (~0: for ever); a ban that
 * is there already is prolonged. family 0: the address is `lo`. Bites on the next packet of open connections too.
 * enum mxdp_ban_said; what found no room is counted in ban_head.refused.
 */
__noinline int ban_source(__u32 family, __u64 hi, __u64 lo, __u32 len, __u32 seconds)
{
	__u64 now = cfg.test_clock ? clock_jiffies() * (MXDP_BAN_SECOND_NS >> cfg.tick_shift) : bpf_ktime_get_boot_ns();
	struct mxdp_ban_new n = {
		.key = { .hi = hi, .lo = lo, .family = family & 1, .len = len },
		.expires_ns = seconds == MXDP_BAN_FOREVER ? MXDP_BAN_FOREVER_NS : now + seconds * MXDP_BAN_SECOND_NS,
		.now_ns = now, .owner = MXDP_BAN_OWNER_LIMIT, .reason = MXDP_BAN_REASON_LIMIT, .longest = 1,
	};
	int said;

	if (len == 0 || len > (family & 1 ? 128 : 32))
		return MXDP_BAN_NO_LENGTH;
	mxdp_ban_mask(&n.key);
	*(volatile __u32 *)&state.bans = 1;
	said = mxdp_ban_put(NULL, &n, cfg.ban_lines);
	if (said < 0)
		__sync_fetch_and_add(&ban_head.refused, 1);
	else
		__sync_fetch_and_add(&state.voided, 1);
	return said;
}

#endif /* MXDP_BPF_BAN_INSERT_H */
