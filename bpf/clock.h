/* SPDX-License-Identifier: GPL-2.0-only */
/* The clock: jiffies, one nanosecond a reading; a test may set it. */
#ifndef MXDP_BPF_CLOCK_H
#define MXDP_BPF_CLOCK_H

static __always_inline __u64 clock_jiffies(void)
{
	return cfg.test_clock ? *(volatile const __u64 *)&state.test_jiffies : bpf_jiffies64();
}

#endif /* MXDP_BPF_CLOCK_H */
