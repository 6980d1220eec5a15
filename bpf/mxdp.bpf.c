// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet's way, read top to bottom:
 *
 *   parse ─► sane? ─► not TCP? ─► lease? ─► service ─► class ─► policy ─► tracker ─► verdict
 *
 * Each station is a header of its name. None calls forward, every one is
 * inlined, and all end in the one exit, verdict().
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/ip.h>
#include <linux/ipv6.h>
#include <linux/tcp.h>
#include <linux/udp.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <mxdp/abi.h>
#include "maps.h"
#include "clock.h"
#include "parse.h"
#include "sane.h"
#include "lease.h"
#include "policy.h"
#include "tracker.h"
#include "verdict.h"

struct judgement {
	int reason;
	__u32 service;
	__u32 class_;
	bool has_port;
	bool observe;
};

static __always_inline int judge(struct xdp_md *ctx, const struct mxdp_state *st, const struct mxdp_bank *b,
				 struct frame *f, struct pkt *p, struct judgement *j, __u32 epoch, bool probe)
{
	struct mxdp_lease_line *line = NULL;
	bool syn = false, subject = true;
	__u64 hash = 0, stamp = 0;
	__u16 entry = 0;
	__u8 cell;
	int other;

	other = parse(ctx, f, p);
	if (other == MXDP_PARSED) {
		entry = b->port[p->dport];
		j->service = entry & MXDP_PORT_SERVICE;
		j->has_port = true;
		other = sane(p);
		if (other != MXDP_PARSED)
			return other;
		syn = (p->flags & (F_SYN | F_ACK)) == F_SYN;
		if (syn && entry & MXDP_PORT_CLOSED)
			return MXDP_R_CLOSED;
		if (!probe && !(p->flags & (F_SYN | F_FIN | F_RST))) {
			hash = lease_hash(p);
			stamp = lease_stamp(epoch, clock_jiffies(st) >> cfg.tick_shift);
			line = lease_line(hash);
			if (line && lease_good(line, hash ^ stamp))
				return MXDP_R_LEASE;
		}
	} else {
		/* what keeps the host on its network passes whoever sends it */
		subject = other == MXDP_R_NOT_TCP || other == MXDP_R_TUNNEL;
		if (!subject || !p->has_source)
			return other;
	}

	if (syn || b->flags & MXDP_BANK_BLOCKS)
		j->class_ = class_of(b, p);
	cell = b->policy[j->class_ & (MXDP_CLASSES - 1)][j->service & (MXDP_SERVICES - 1)];
	if (b->class_flags[j->class_ & (MXDP_CLASSES - 1)] & MXDP_CLASS_BLOCKED && (cell != MXDP_CELL_ADMIN || !j->has_port))
		return MXDP_R_BLOCKED;
	if (!j->has_port)
		return other;

	/* A SYN is judged by policy alone and writes no state: a flood of them has nothing to exhaust. */
	if (syn) {
		if (cell == MXDP_CELL_ADMIN)
			return MXDP_R_ADMIN;
		if (cell == MXDP_CELL_ALLOW)
			return MXDP_R_ALLOWED;
		if (cell == MXDP_CELL_DEFAULT_ALLOW)
			return MXDP_R_DEFAULT_ALLOW;
		return MXDP_R_DENIED;
	}
	if (entry & MXDP_PORT_FREE)
		return MXDP_R_DEFAULT_ALLOW;

	/* Any other segment must belong to a connection the kernel knows. */
	return track(ctx, p, line, hash, stamp);
}

SEC("xdp.frags")
int mxdp(struct xdp_md *ctx)
{
	struct frame f = { .data = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end };
	struct mxdp_probe *probe = (void *)(long)ctx->data_meta;
	struct judgement j = {};
	struct pkt p = {};
	struct mxdp_state *st;
	struct mxdp_bank *b;
	bool probing = false;
	__u32 epoch, i = 0;

	p.frame_len = f.end - f.data;
	if ((void *)probe != f.data)
		probing = (void *)(probe + 1) <= f.data && probe->key == cfg.probe_key;

	st = bpf_map_lookup_elem(&state, &i);
	if (!st)
		return XDP_PASS;
	epoch = *(volatile __u32 *)&st->epoch;
	i = epoch & 1;
	b = bpf_map_lookup_elem(&banks, &i);
	if (!b)
		return XDP_PASS;

	j.observe = b->flags & MXDP_BANK_OBSERVE;
	j.reason = judge(ctx, st, b, &f, &p, &j, epoch, probing);

	if (probing) {
		probe = (void *)(long)ctx->data_meta;
		if ((void *)(probe + 1) <= (void *)(long)ctx->data) {
			probe->epoch = epoch;
			probe->reason = j.reason;
			probe->service = j.service;
			probe->class_ = j.class_;
		}
		return mxdp_drop_mask >> (j.reason & 63) & 1 && !j.observe ? XDP_DROP : XDP_PASS;
	}
	return verdict(ctx, &p, j.observe, j.service, j.has_port, j.reason);
}

char LICENSE[] SEC("license") = "GPL";
