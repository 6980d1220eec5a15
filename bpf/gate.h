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

/* Word `number` of both banks' that all sources share: may one more come? look: only asks, and takes nothing. Verified once. */
__noinline int gate_all(const struct mxdp_limit *l, __u32 number, __u32 look)
{
	__u32 at = MXDP_GATE_GLOBAL(0, number);
	struct mxdp_words *line = bpf_map_lookup_elem(&gates, &at);

	return l && line && gate_global(&line->word[number & 7], clock_jiffies(), l, look);
}

/*
 * A SYN that is allowed under limit l: MXDP_R_ALLOWED, or the reason why it is too many. One that all together are too many
 * for costs its source nothing.
 */
static __always_inline int gate(const struct mxdp_limit *l, __u64 hash, __u64 ahead, __u32 all, bool look)
{
	struct mxdp_words *line;

	if (l->global_spacing && !gate_all(l, all, true))
		return MXDP_R_OVER_GLOBAL;
	if (l->spacing && l->over != MXDP_OVER_BAN) {
		line = gate_line(hash);
		if (!line || !gate_take(line, hash, clock_jiffies(), l->spacing, l->slack, ahead, look))
			return MXDP_R_OVER_RATE;
	}
	if (l->global_spacing && !look && !gate_all(l, all, false))
		return MXDP_R_OVER_GLOBAL;
	return MXDP_R_ALLOWED;
}

/* Has the source of `hash` as many connections open as it may? Verified once. */
__noinline int gate_held(__u64 hash, __u32 half, __u32 most)
{
	return conns_held(hash, half) >= most;
}

/* Those who are banned for it are counted when they have one more. */
static __always_inline bool gate_full(const struct mxdp_bank *b, __u32 epoch, const struct mxdp_limit *l, __u64 hash)
{
	return l->connections && b->conns && l->over != MXDP_OVER_BAN && gate_held(hash, conns_half(epoch), l->connections);
}

/* The source as limit l has it. Verified once; the guess, below, is made without a call. */
__noinline __u64 gate_hash(const struct mxdp_limit *l, __u32 family, __u64 hi, __u64 lo)
{
	return l ? source_hash(state.limit_key, l, family, hi, lo) : 0;
}

static __always_inline const struct mxdp_limit *gate_limit(const struct mxdp_bank *b, __u32 number)
{
	return &b->limit[number & (MXDP_LIMITS - 1)];
}

/* A source under the limit of those that nobody names, as most are that have one: its hash, reckoned early. */
struct gate_guess {
	__u64 hash;
	__u32 number;
};

/*
 * Reads the line that gate() will want if the guess is right; else it was in vain. Nothing waits for what is read: it comes
 * while the class is looked up, and gate()'s locked exchange would wait for both.
 */
static __always_inline void gate_touch(const struct mxdp_bank *b, const struct pkt *p, __u32 service, struct gate_guess *guess)
{
	struct mxdp_words *line;

	guess->number = b->policy[0][service] >> MXDP_CELL_LIMIT_SHIFT;
	if (!guess->number)
		return;
	guess->hash = source_hash(state.limit_key, gate_limit(b, guess->number), p->family, p->src_hi, p->src_lo);
	line = gate_line(guess->hash);
	if (line)
		(void)*(volatile __u64 *)&line->word[0];
}

/* A SYN that is allowed under limit `number`: may it come? */
static __always_inline int gate_syn(const struct mxdp_bank *b, const struct pkt *p, __u32 epoch, __u32 number,
				    const struct gate_guess *guess, bool look)
{
	const struct mxdp_limit *l = gate_limit(b, number);
	__u64 hash = likely(guess->number == number) ? guess->hash : gate_hash(l, p->family, p->src_hi, p->src_lo);

	if (gate_full(b, epoch, l, hash))
		return MXDP_R_OVER_CONNECTIONS;
	return gate(l, hash, b->ahead, (epoch & 1) * MXDP_LIMITS + number, look);
}

/* Of many handshakes begun at once only so many may end. */
static __always_inline bool gate_ack(const struct mxdp_bank *b, const struct pkt *p, __u32 epoch, __u32 number)
{
	const struct mxdp_limit *l = gate_limit(b, number);

	/* asked first, for the hash is a call */
	return !l->connections || !gate_full(b, epoch, l, gate_hash(l, p->family, p->src_hi, p->src_lo));
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
