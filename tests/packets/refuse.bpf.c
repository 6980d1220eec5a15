// SPDX-License-Identifier: GPL-2.0-only
/* Every SYN is refused: the answer of a limit that says `over reset`, without a limit before it. */
#include "../../bpf/mxdp.bpf.c"

SEC("xdp.frags")
int refuse(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ip = data + sizeof(struct ethhdr);
	struct lane lane;
	struct pkt p;

	if (ip + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
		return XDP_ABORTED;
	ip = lane_untag(data, end);
	if (!ip || !(lane_is_ip4(ip) ? lane_find(&lane, data, end, ip, 0) :
				       lane_is_ip6(ip) && lane_find(&lane, data, end, ip, 1)))
		return XDP_ABORTED;
	p.frame_len = ctx->data_end - ctx->data;
	lane_fill(&lane, &p);
	return is_syn(p.flags) && answer_rst(ctx, &p) ? XDP_TX : XDP_DROP;
}
