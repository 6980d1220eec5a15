// SPDX-License-Identifier: GPL-2.0-only
/*
 * The filter itself, and what a flood needs on both sides of it: a generator
 * for BPF_PROG_RUN with live frames, the barest receiver, and a sink that
 * counts what comes back.
 */
#include "../../bpf/mxdp.bpf.c"

#define FLOOD_FRAME 80

const volatile __u8 flood_frame[FLOOD_FRAME] = {}; /* its source is zero in the 32 bits that vary, its TCP sum made so */
const volatile __u32 flood_len = 60, flood_out = 0;
const volatile __u32 source_at = 26, ip_sum_at = 24, tcp_sum_at = 50; /* ip_sum_at 0: IPv6 has none */
__u64 flood_lcg SEC(".data.flood") = 88172645463325252ULL;
__u64 answers_back SEC(".data.sink") = 0;

static __always_inline __u16 sum_with(__u16 sum, __be32 more)
{
	__u32 s = (__u16)~sum + (more & 0xffff) + (more >> 16);

	s = (s & 0xffff) + (s >> 16);
	return ~(__u16)((s & 0xffff) + (s >> 16));
}

/* Whoever had the frame before may have written into it: all of it is written anew. */
SEC("xdp")
int generate(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	__be32 source;

	for (__u32 i = 0; i < FLOOD_FRAME; i += 2) {
		if (i >= flood_len || data + i + 2 > end)
			break;
		*(__u16 *)(data + i) = *(const volatile __u16 *)&flood_frame[i];
	}
	flood_lcg = flood_lcg * 6364136223846793005ULL + 1442695040888963407ULL;
	source = bpf_htonl(0x0b000000 + (flood_lcg >> 32 & 0x3fffffff));
	if (data + FLOOD_FRAME - 20 > end)
		return XDP_ABORTED;
	*(__be32 *)(data + (source_at & 31)) = source;
	if (ip_sum_at)
		*(__u16 *)(data + (ip_sum_at & 31)) = sum_with(*(__u16 *)(data + (ip_sum_at & 31)), source);
	if (data + (tcp_sum_at & 127) + 2 > end)
		return XDP_ABORTED;
	*(__u16 *)(data + (tcp_sum_at & 127)) = sum_with(*(__u16 *)(data + (tcp_sum_at & 127)), source);
	return bpf_redirect(flood_out, 0);
}

SEC("xdp.frags")
int bare_drop(struct xdp_md *ctx)
{
	(void)ctx;
	return XDP_DROP;
}

/* Whatever filters must have the frame come from the cache of the CPU that sent it: this is that, and nothing else. */
SEC("xdp.frags")
int read_drop(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;

	if (data + 14 + 20 + 20 > end || U16(data, 12) != bpf_htons(ETH_P_IP) || U16(data, 14 + 20 + 2) == bpf_htons(22))
		return XDP_PASS;
	return XDP_DROP;
}

/* SYN-ACKs, by the flags of a TCP header without IP options */
SEC("xdp.frags")
int sink(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *flags = data + (tcp_sum_at & 127) - 3;

	if (flags + 1 <= end && *(__u8 *)flags == 0x12)
		answers_back++;
	return XDP_DROP;
}
