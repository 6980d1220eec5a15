/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: gate. What an `allow` says of how much: new connections of a source
 * and of all together at a rate, and how many of them may be open.
 *
 * The tables it looks into: see words.h.
 */
#ifndef MXDP_BPF_GATE_H
#define MXDP_BPF_GATE_H

#include "words.h"

/* For gate(): of which family the source is, and what is asked. */
#define GATE_IP6  0x1u
#define GATE_LOOK 0x2u /* only asks, and takes nothing */
#define GATE_ACK  0x4u /* the end of a handshake: only how many are open */

/* Has the source as many connections open as it may? Those who are banned for it are counted when they have one more. */
static __always_inline bool gate_full(const struct mxdp_bank *b, __u32 half, const struct mxdp_limit *l, __u64 hi, __u64 lo,
				      bool ip6)
{
	return l->connections && b->conns && l->over != MXDP_OVER_BAN &&
	       conns_held(source_hash(state.limit_key, l, ip6, hi, lo), half) >= l->connections;
}

/*
 * A packet that is allowed under limit `number` of the bank of `epoch`: MXDP_R_ALLOWED, or the reason why it is too many. A
 * SYN that all together are too many for costs its source nothing. A function of its own, for it is verified once.
 */
__noinline int gate(__u64 hi, __u64 lo, __u32 epoch, __u32 number, __u32 how)
{
	const struct mxdp_bank *b = &banks[epoch & 1];
	const struct mxdp_limit *l = &b->limit[number & (MXDP_LIMITS - 1)];
	__u32 at = MXDP_GATE_GLOBAL(epoch & 1, number & (MXDP_LIMITS - 1));
	__u64 jiffies, hash, *word = NULL;
	bool look = how & GATE_LOOK;
	struct mxdp_words *line;

	if (gate_full(b, conns_half(epoch), l, hi, lo, how & GATE_IP6))
		return MXDP_R_OVER_CONNECTIONS;
	if (how & GATE_ACK)
		return MXDP_R_ALLOWED;
	jiffies = clock_jiffies();
	if (l->global_spacing) {
		line = bpf_map_lookup_elem(&gates, &at);
		if (!line)
			return MXDP_R_OVER_GLOBAL;
		word = &line->word[number & 7];
		if (!gate_global(word, jiffies, l, true))
			return MXDP_R_OVER_GLOBAL;
	}
	if (l->spacing && l->over != MXDP_OVER_BAN) {
		hash = source_hash(state.limit_key, l, how & GATE_IP6, hi, lo);
		line = gate_line(hash);
		if (!line || !gate_take(line, hash, jiffies, l->spacing, l->slack, b->ahead, look))
			return MXDP_R_OVER_RATE;
	}
	if (word && !look && !gate_global(word, jiffies, l, false))
		return MXDP_R_OVER_GLOBAL;
	return MXDP_R_ALLOWED;
}

/*
 * Reads the line that gate() will want if the source is under the same limit as those that nobody names; else it was in vain.
 * Nothing waits for what is read: it comes while the class is looked up, and gate()'s locked exchange would wait for both.
 */
static __always_inline void gate_touch(const struct mxdp_bank *b, const struct pkt *p, __u32 service)
{
	__u32 number = b->policy[0][service] >> MXDP_CELL_LIMIT_SHIFT;
	const struct mxdp_limit *l = &b->limit[number & (MXDP_LIMITS - 1)];
	struct mxdp_words *line;

	if (!number)
		return;
	line = gate_line(source_hash(state.limit_key, l, p->family, p->src_hi, p->src_lo));
	if (line)
		(void)*(volatile __u64 *)&line->word[0];
}

/* What becomes of a SYN that is too many. False: it passes, and is counted as observed. */
static __always_inline bool gate_shuts(struct xdp_md *ctx, const struct mxdp_limit *l, const struct pkt *p, int *reason, bool look)
{
	if (l->over == MXDP_OVER_OBSERVE)
		return false;
	if (l->over == MXDP_OVER_RESET && !look && answer_rst(ctx, p))
		*reason = MXDP_R_REFUSED;
	return true;
}

#endif /* MXDP_BPF_GATE_H */
