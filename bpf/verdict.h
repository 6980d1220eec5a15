/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: verdict. The one exit: counts under (interface, service, reason)
 * and turns the reason into what the driver is told. Rows are chosen by
 * receive queue, so that queues do not share lines; the adds are atomic, so
 * that the sums are exact even where queues do.
 */
#ifndef MXDP_BPF_VERDICT_H
#define MXDP_BPF_VERDICT_H

static __always_inline void count(struct mxdp_count *c, __u32 bytes)
{
	__sync_fetch_and_add(&c->packets, 1);
	__sync_fetch_and_add(&c->bytes, bytes);
}

static __always_inline int verdict(struct xdp_md *ctx, const struct pkt *p, bool observe, __u32 service, bool has_port,
				   int reason)
{
	bool drop = mxdp_drop_mask >> (reason & 63) & 1;
	__u32 row = ctx->rx_queue_index & cfg.row_mask;
	__u32 i = MXDP_COUNTER(row, service, p->family, drop && observe, reason);
	struct mxdp_count *c = bpf_map_lookup_elem(&counters, &i);

	if (drop && observe)
		drop = false;
	if (c)
		count(c, p->frame_len);
	if (has_port) {
		struct mxdp_port_count *pc;

		i = row << 16 | p->dport;
		pc = bpf_map_lookup_elem(&ports, &i);
		if (pc)
			count(drop ? &pc->dropped : &pc->passed, p->frame_len);
	}
	return drop ? XDP_DROP : XDP_PASS;
}

#endif /* MXDP_BPF_VERDICT_H */
