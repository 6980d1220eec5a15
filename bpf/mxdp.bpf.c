// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet's way, read top to bottom:
 *
 *   parse ─► service ─► closed? ─► lease? ─► sane? ─► bans ─► class ─► policy ─► gate or tracker ─► verdict
 *
 * Each station is a header of its name. None calls forward, all end in the one
 * exit, verdict(), and all are inlined but parse() for what the lane does not
 * take. Cheap answers come first where the verdict is the same: docs/notes.md.
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
#include "forget.h"
#include "clock.h"
#include "trial.h"
#include "parse.h"
#include "sane.h"
#include "lease.h"
#include "policy.h"
#include "bans.h"
#include "tracker.h"
#include "answer.h"
#include "gate.h"
#include "verdict.h"

/* What a test run with the right key learns: see struct mxdp_probe. */
static __always_inline struct mxdp_probe *probe_of(struct xdp_md *ctx)
{
	struct mxdp_probe *probe = (void *)(long)ctx->data_meta;
	void *data = (void *)(long)ctx->data;

	asm volatile("" : "+r"(probe)); /* clang must not take the one for the other where they are equal */
	if ((void *)probe == data || (void *)(probe + 1) > data || probe->key != cfg.probe_key)
		return NULL;
	return probe;
}

/* No metadata, so no probe either. Drivers that know none set data_meta behind data. */
static __always_inline bool bare(struct xdp_md *ctx, void *data)
{
	return (void *)(long)ctx->data_meta >= data;
}

enum { ON_LANE = -1, OFF_LANE = -2 }; /* p is filled in, or parse() must; any other answer of lane() is a verdict */

/*
 * Written out for each kind of frame, so that offsets are constants. Sets
 * nothing on the way off the lane: clang would prepare it before every branch.
 */
static __always_inline int lane(struct xdp_md *ctx, const struct mxdp_bank *b, void *data, void *end, void *ip, __u8 family,
				struct pkt *p, __u32 *entry, bool *crossing)
{
	struct lane l;
	__u32 port;

	if (!lane_find(&l, data, end, ip, family))
		return OFF_LANE;
	port = port_of(U16(l.tcp, 2));
	*entry = b->port[port];
	/* The commonest junk goes first: a knock on a port that no source may open, whatever else is wrong with it. */
	if (is_syn(U8(l.tcp, 13)) && *entry & MXDP_PORT_KNOCK && bare(ctx, data)) {
		if (likely(!crossing_due(ctx, port)))
			return knocked(ctx, family, (__u32)(end - data), port);
		*crossing = true;
	} else {
		*crossing = false;
	}
	lane_fill(&l, p);
	p->frame_len = (__u32)(end - data);
	return ON_LANE;
}

/* On which lane the frame is, if on any. */
static __always_inline int front(struct xdp_md *ctx, const struct mxdp_bank *b, struct pkt *p, __u32 *entry, bool *crossing)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ip = data + sizeof(struct ethhdr);

	if (ip + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
		return OFF_LANE;
	if (lane_is_ip4(ip))
		return lane(ctx, b, data, end, ip, 0, p, entry, crossing);
	if (lane_is_ip6(ip))
		return lane(ctx, b, data, end, ip, 1, p, entry, crossing);
	ip = lane_untag(data, end);
	if (!ip)
		return OFF_LANE;
	if (lane_is_ip4(ip))
		return lane(ctx, b, data, end, ip, 0, p, entry, crossing);
	if (lane_is_ip6(ip))
		return lane(ctx, b, data, end, ip, 1, p, entry, crossing);
	return OFF_LANE;
}

static __always_inline int filter(struct xdp_md *ctx)
{
	bool probing, crossing, syn = false, dressed = false, opens = false, cut, tcp, observe;
	__u64 hash = 0, word = 0;
	struct gate_guess guess;
	const struct mxdp_bank *b;
	__u32 epoch, class_ = 0;
	int reason, way;
	__u32 entry;
	struct pkt p;
	__u8 cell, limit;

	/* One word names the policy: everything below reads the one bank it chose. */
	epoch = *(volatile __u32 *)&state.epoch;
	if (unlikely(trial_over(epoch))) {
		if (!differ(cfg.attached_on_trial, epoch) && !probe_of(ctx))
			return verdict(ctx, 0, ctx->data_end - ctx->data, false, 0, NO_PORT, MXDP_R_TRIAL_OVER);
		epoch++;
	}
	b = &banks[epoch & 1];
	asm volatile("" : "+r"(b)); /* one address for all that follows, not one for each field */

	way = front(ctx, b, &p, &entry, &crossing);
	if (way >= 0)
		return way;
	asm volatile("" : "+r"(epoch)); /* what is reckoned from it below is none of the lane's business */
	tcp = way == ON_LANE;
	if (!tcp) {
		entry = 0;
		crossing = false;
		p = (struct pkt){ 0 };
		p.frame_len = ctx->data_end - ctx->data;
		reason = parse(ctx, &p);
		tcp = reason == MXDP_PARSED;
		if (tcp)
			entry = b->port[p.dport & 0xffff];
	}
	probing = probe_of(ctx) != NULL;
	forget(probing);
	observe = b->flags & MXDP_BANK_OBSERVE;

	if (tcp) {
		syn = is_syn(p.flags);
		reason = MXDP_R_CLOSED;
		if (syn && entry & MXDP_PORT_CLOSED && !crossing) {
			if (way != ON_LANE || probing || !crossing_due(ctx, p.dport))
				goto out;
		}
		/* A lease was granted for sane addresses and ports, so only the flags, and to whom the frame goes, are looked at. */
		if (is_plain(p.flags) && !p.to_group && !probing) {
			struct mxdp_lease_line *line;

			hash = lease_hash(&p);
			word = lease_word(hash, lease_stamp(epoch + *(volatile __u32 *)&state.voided, clock_jiffies() >> cfg.tick_shift));
			line = lease_line(hash);
			if (line && lease_good(line, word))
				return verdict(ctx, p.family, p.frame_len, false, entry & MXDP_PORT_SERVICE, p.dport, MXDP_R_LEASE);
		}
		reason = sane(&p);
		if (reason != MXDP_PARSED)
			goto out;
	} else if ((reason != MXDP_R_NOT_TCP && reason != MXDP_R_TUNNEL) || !p.has_source) {
		goto out; /* what keeps the host on its network passes whoever sends it */
	}

	guess = (struct gate_guess){ 0 };
	if (syn)
		gate_touch(b, &p, entry & MXDP_PORT_SERVICE, &guess);
	cut = source_banned(&p, tcp ? p.dport : BAN_NO_PORT, ctx->rx_queue_index, probing);
	if (syn || cut || b->flags & (MXDP_BANK_BLOCKS | MXDP_BANK_CONNECTIONS))
		class_ = class_of(b, &p, &dressed) & (MXDP_CLASSES - 1);
	cell = b->policy[class_][entry & MXDP_PORT_SERVICE];
	limit = cell >> MXDP_CELL_LIMIT_SHIFT;
	cell &= MXDP_CELL_VERDICT;
	if (b->class_flags[class_] & MXDP_CLASS_EXEMPT)
		cut = dressed = false;
	if (cut && !(tcp && cell == MXDP_CELL_ADMIN)) {
		reason = MXDP_R_BANNED;
	} else if ((dressed || b->class_flags[class_] & MXDP_CLASS_BLOCKED) && !(tcp && cell == MXDP_CELL_ADMIN)) {
		reason = MXDP_R_BLOCKED;
	} else if (!tcp) {
		/* passed unjudged, under the reason that parse() gave */
	} else if (syn && !(entry & MXDP_PORT_CLOSED)) {
		/* A SYN is judged by policy alone and makes no state grow: a flood of them has nothing to exhaust. */
		reason = cell == MXDP_CELL_ALLOW	   ? MXDP_R_ALLOWED :
			 cell == MXDP_CELL_ADMIN	   ? MXDP_R_ADMIN :
			 cell == MXDP_CELL_DEFAULT_ALLOW ? MXDP_R_DEFAULT_ALLOW :
							   MXDP_R_DENIED;
		if (limit)
			reason = gate_syn(b, &p, epoch, limit, &guess, probing);
		if (limit && reason != MXDP_R_ALLOWED && !observe)
			observe = !gate_shuts(ctx, gate_limit(b, limit), &p, &reason, probing);
		if (entry & MXDP_PORT_COOKIES && !probing && !observe && !dropping(reason) &&
		    answer_cookie(ctx, &p, entry))
			reason = MXDP_R_COOKIE_SENT;
	} else if (entry & MXDP_PORT_FREE) {
		reason = MXDP_R_DEFAULT_ALLOW;
	} else {
		/* Any other segment must belong to a connection the kernel knows. */
		reason = track(ctx, &p, syn, hash, word, &opens);
		if (opens && limit && !gate_ack(b, &p, epoch, limit)) {
			reason = MXDP_R_OVER_CONNECTIONS;
			observe |= gate_limit(b, limit)->over == MXDP_OVER_OBSERVE;
		}
	}
out:
	forget(reason);
	if (probing) {
		struct mxdp_probe *probe = probe_of(ctx);

		if (probe)
			*probe = (struct mxdp_probe){
				.key = cfg.probe_key, .epoch = epoch, .reason = reason,
				.service = entry & MXDP_PORT_SERVICE, .class_ = class_,
			};
		return dropping(reason) && !observe ? XDP_DROP : XDP_PASS;
	}
	return verdict(ctx, p.family, p.frame_len, observe, entry & MXDP_PORT_SERVICE,
		       tcp ? (int)p.dport : NO_PORT, reason);
}

SEC("xdp.frags")
int mxdp(struct xdp_md *ctx)
{
	return filter(ctx);
}

char LICENSE[] SEC("license") = "GPL";
