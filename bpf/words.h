/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The words of limits: how fast a source comes, and how many connections it
 * has open.
 *
 * Rates are kept as the time when the next one is due (GCRA): one 64-bit word,
 * moved by compare-and-swap. One may come `slack` early, which is the burst.
 * A full line gives way to the newcomer, at the place of whoever is nearest to
 * having everything back: filling the table locks nobody out.
 */
#ifndef MXDP_BPF_WORDS_H
#define MXDP_BPF_WORDS_H

#include <mxdp/source.h>

#define GATE_TAG ((1ULL << MXDP_GATE_TAG_BITS) - 1)
#define GATE_TRIES 4 /* against other CPUs that move the same word; who loses so often came too often */

static __always_inline struct mxdp_words *gate_line(__u64 hash)
{
	__u32 i = (__u32)hash & (MXDP_GATE_LINES - 1);

	return bpf_map_lookup_elem(&gates, &i);
}

/* Puts the source's next SYN one spacing behind `due`. False: another CPU was quicker. */
static __always_inline bool gate_move(__u64 *word, __u64 was, __u64 now, __u64 due, __u64 spacing, __u64 tag)
{
	return __sync_val_compare_and_swap(word, was, now + ((due + spacing) << MXDP_GATE_TAG_BITS) + tag) == was;
}

/*
 * One more from the source of `hash`: may it come? `ahead` is how far the words of any limit may be ahead; `look`: only
 * asks. Two CPUs that know nothing of a source choose the same word, so that one of them sees what the other wrote.
 *
 * A stranger gets the word that is the least of all, reckoned from behind the furthest that any can be ahead: first those
 * further ahead, which no limit made, then those that have passed, the longest first, then those to come. The choice has no
 * branch, for there is nothing to guess in a line of strangers; the place of a word stands in the lowest bits of what is
 * compared.
 */
static __always_inline bool gate_take(struct mxdp_words *line, __u64 hash, __u64 jiffies, __u64 spacing, __u64 slack,
				      __u64 ahead, bool look)
{
	__u64 now = jiffies * MXDP_LIMIT_STEPS << MXDP_GATE_TAG_BITS, tag = hash >> (64 - MXDP_GATE_TAG_BITS);
	__u64 beyond = now + ((ahead + 1) << MXDP_GATE_TAG_BITS);

#pragma clang loop unroll(disable)
	for (int try = 0; try < GATE_TRIES; try++) {
		__u64 least = ~0ULL >> 1, w, due;
		volatile __u64 *word;

#pragma clang loop unroll(full)
		for (__u32 i = 0; i < 8; i++) {
			__u64 less, below;

			w = *(volatile __u64 *)&line->word[i];
			if (unlikely(!((w ^ tag) & GATE_TAG))) {
				least = i;
				break;
			}
			less = ((w - beyond) >> (MXDP_GATE_TAG_BITS - 3) & ~7ULL) - least + i;
			below = (__s64)less >> 63;
			asm volatile("" : "+r"(below)); /* clang must not make a branch of it */
			least += less & below;
		}
		word = &line->word[least & 7];
		w = *word;
		due = (w - now) >> MXDP_GATE_TAG_BITS;
		if ((w ^ tag) & GATE_TAG || due > ahead) /* a stranger's, or passed, or further ahead than any: as if due now */
			due = 0;
		if (due > slack)
			return false;
		if (look || gate_move((__u64 *)word, w, now, due, spacing, tag))
			return true;
	}
	return false;
}

static __always_inline bool gate_global(__u64 *word, __u64 jiffies, const struct mxdp_limit *l, bool look)
{
	__u64 now = jiffies * MXDP_GLOBAL_STEPS;

	for (int try = 0; try < GATE_TRIES; try++) {
		__u64 due = *(volatile __u64 *)word, from = due > now ? due : now;

		if (from - now > l->global_slack)
			return false;
		if (look || __sync_val_compare_and_swap(word, due, from + l->global_spacing) == due)
			return true;
	}
	return false;
}

/* How many connections the source of `hash` has open. `half`: the first line of the bank's half. */
static __always_inline __u64 conns_held(__u64 hash, __u32 half)
{
	__u64 tag = hash >> 24 | 1, held = 0;

	for (__u64 n = 0; n < MXDP_CONN_REACH; n++) { /* spilt as 32 bits it would be forgotten */
		__u32 at = half + ((__u32)(hash + n) & cfg.lease_mask);
		struct mxdp_words *line = bpf_map_lookup_elem(&conns, &at);
		bool end = false;

		if (!line)
			break;
		for (__u32 i = 0; i < 8; i++) {
			__u64 w = *(volatile __u64 *)&line->word[i];

			if (w >> 24 == tag)
				held += w & MXDP_CONN_COUNT;
			end |= !w;
		}
		if (end)
			break;
	}
	return held;
}

static __always_inline __u32 conns_half(__u32 bank)
{
	return bank & 1 ? cfg.lease_mask + 1 : 0;
}

#endif /* MXDP_BPF_WORDS_H */
