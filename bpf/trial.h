/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A policy on trial ends by the clock: when nobody has confirmed it in time,
 * the other bank, which still holds the policy of before, judges under the
 * next epoch. Nothing has to run for that. The next mxdp command stores the
 * epoch that packets are judged by already.
 */
#ifndef MXDP_BPF_TRIAL_H
#define MXDP_BPF_TRIAL_H

static __always_inline bool trial_over(__u32 epoch)
{
	__u64 at = *(volatile const __u64 *)&state.revert_at, begin = MXDP_REVERT_AT(epoch, 0ULL);

	/* the usual case is one load from a line that is read anyway */
	if (!at || (at ^ begin) >> MXDP_REVERT_SHIFT)
		return false;
	return clock_jiffies() >= (at ^ begin);
}

#endif /* MXDP_BPF_TRIAL_H */
