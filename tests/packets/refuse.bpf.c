// SPDX-License-Identifier: GPL-2.0-only
/* Every SYN is refused: the answer of a limit that says `over reset`, without a limit before it. */
#include "../../bpf/mxdp.bpf.c"

SEC("xdp.frags")
int refuse(struct xdp_md *ctx)
{
	struct lane lane;
	struct pkt p;

	if (!lane_find(ctx, &lane))
		return XDP_ABORTED;
	p.frame_len = ctx->data_end - ctx->data;
	lane_fill(&lane, &p);
	return is_syn(p.flags) && answer_rst(ctx, &p) ? XDP_TX : XDP_DROP;
}
