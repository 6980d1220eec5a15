/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: verdict. The one exit: counts under (interface, service, reason)
 * and turns the reason into what the driver is told. Rows are chosen by
 * receive queue. A driver polls a queue on one CPU at a time, so a row has one
 * writer and plain adds are exact; where that does not hold (generic mode,
 * bonds, more queues than rows) the loader sets shared_rows.
 */
#ifndef MXDP_BPF_VERDICT_H
#define MXDP_BPF_VERDICT_H

static __always_inline void count(struct mxdp_count *c, __u32 bytes)
{
	if (unlikely(cfg.shared_rows)) {
		__sync_fetch_and_add(&c->packets, 1);
		__sync_fetch_and_add(&c->bytes, bytes);
	} else {
		c->packets++;
		c->bytes += bytes;
	}
}

static __always_inline bool dropping(int reason)
{
	return mxdp_drop_mask >> (reason & 63) & 1;
}

/* The short way out, for the commonest junk: one counter says all of it. See struct mxdp_port_count. */
static __always_inline int knocked(struct xdp_md *ctx, __u8 family, __u32 frame_len, __u32 port)
{
	__u32 i = (ctx->rx_queue_index & cfg.row_mask) << 16 | port;
	struct mxdp_port_count *pc = bpf_map_lookup_elem(&ports, &i);

	if (likely(pc))
		count(&pc->knocked[family], frame_len);
	return XDP_DROP;
}

enum { NO_PORT = -1 };

/* `port`: host byte order, or NO_PORT */
static __always_inline int verdict(struct xdp_md *ctx, __u8 family, __u32 frame_len, bool observe, __u32 service,
				   int port, int reason)
{
	bool drop = dropping(reason), observed = drop && observe;
	__u32 row = ctx->rx_queue_index & cfg.row_mask;
	__u32 i = MXDP_COUNTER(row, service, family, observed, reason);
	struct mxdp_count *c = bpf_map_lookup_elem(&counters, &i);

	if (c)
		count(c, frame_len);
	if (port != NO_PORT) {
		struct mxdp_port_count *pc;

		i = row << 16 | (port & 0xffff);
		pc = bpf_map_lookup_elem(&ports, &i);
		if (pc)
			count(observed ? &pc->observed : drop ? &pc->dropped : &pc->passed, frame_len);
	}
	if (!drop || observed)
		return XDP_PASS;
	if (!(mxdp_tx_mask >> (reason & 63) & 1))
		return XDP_DROP;
	return cfg.answers == MXDP_ANSWERS_REDIRECT ? bpf_redirect(ctx->ingress_ifindex, 0) : XDP_TX;
}

#endif /* MXDP_BPF_VERDICT_H */
