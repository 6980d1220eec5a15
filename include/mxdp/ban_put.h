/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How a ban gets into the table: the one protocol, for the loader on mapped
 * memory and for tracing programs on maps. Includer defines
 *
 *   BAN_LINE(t, line)   struct mxdp_ban_line *, or NULL
 *   BAN_RECORD(t, i)    struct mxdp_banned *, or NULL
 *   BAN_HEAD(t)         struct mxdp_ban_head *
 *
 * state.bans is stored by the caller before (never 0 while a ban may be found),
 * and state.voided goes up behind it: the epoch stays, for a trial ends with it.
 */
#ifndef MXDP_BAN_PUT_H
#define MXDP_BAN_PUT_H

#include "bans.h"

#define MXDP_BAN_INLINE static inline __attribute__((always_inline, unused))

enum mxdp_ban_said {
	MXDP_BAN_MADE = 0,
	MXDP_BAN_AGAIN = 1,   /* was there already, of the same owner and ports: its end is the new one now */
	MXDP_BAN_NO_ROOM = -1,
	MXDP_BAN_NO_LENGTH = -2, /* bans of that family have as many lengths as there may be */
};

struct mxdp_ban_new {
	struct mxdp_ban_key key; /* masked */
	__u64 expires_ns, now_ns;
	__u16 owner, reason, ports;
	__u8 longest; /* of two ends the later one holds */
};

/* The length is counted before it is looked for: who takes it away looks at the count after. */
MXDP_BAN_INLINE int mxdp_ban_join(struct mxdp_ban_head *head, __u32 family, __u32 len)
{
	for (int tries = 0; tries < 4; tries++) {
		__u64 was = *(volatile __u64 *)&head->lengths[family & 1], more;

		if (mxdp_ban_lengths_has(was, len))
			return 0;
		more = mxdp_ban_lengths_add(was, len);
		if (!more)
			return MXDP_BAN_NO_LENGTH;
		if (__sync_val_compare_and_swap(&head->lengths[family & 1], was, more) == was)
			return 0;
	}
	return MXDP_BAN_NO_LENGTH;
}

/* The compiler must not drop a mask that it thinks idle: the verifier needs it. */
MXDP_BAN_INLINE void mxdp_ban_count(struct mxdp_ban_head *head, __u32 family, __u32 len, __u32 more)
{
	asm volatile("" : "+r"(family), "+r"(len));
	__sync_fetch_and_add(&head->used[family & 1][len & 0xff], more);
}

MXDP_BAN_INLINE int mxdp_ban_is(const struct mxdp_banned *r, const struct mxdp_ban_new *n)
{
	return r->hi == n->key.hi && r->lo == n->key.lo && r->len == n->key.len && r->family == n->key.family &&
	       r->owner == n->owner && r->ports == n->ports;
}

/* The word first: a record is written only by who holds its word. */
MXDP_BAN_INLINE int mxdp_ban_renew(struct mxdp_ban_line *l, __u32 way, struct mxdp_banned *r, const struct mxdp_ban_new *n)
{
	__u64 was = *(volatile __u64 *)&l->word[way & 7];
	__u64 word = mxdp_ban_word(mxdp_ban_tag(was), mxdp_ban_second(n->expires_ns)) | (was & MXDP_BAN_SPILLED);

	if (n->longest && r->expires_ns >= n->expires_ns)
		return 1;
	if (__sync_val_compare_and_swap(&l->word[way & 7], was, word) != was)
		return 0;
	*(volatile __u64 *)&r->expires_ns = n->expires_ns;
	r->reason = n->reason;
	return 1;
}

MXDP_BAN_INLINE void mxdp_ban_fill(struct mxdp_banned *r, const struct mxdp_ban_new *n)
{
	r->hi = n->key.hi;
	r->lo = n->key.lo;
	r->expires_ns = n->expires_ns;
	r->hits = 0;
	r->made_s = n->now_ns / MXDP_BAN_SECOND_NS;
	r->owner = n->owner;
	r->reason = n->reason;
	r->ports = n->ports;
	r->len = n->key.len;
	r->family = n->key.family;
}

/* Claims the word, fills the record, publishes. 0: somebody else was quicker. */
MXDP_BAN_INLINE int mxdp_ban_claim(struct mxdp_ban_head *head, struct mxdp_ban_line *l, __u32 way, struct mxdp_banned *r,
				   const struct mxdp_ban_new *n, __u32 tag)
{
	__u64 was = *(volatile __u64 *)&l->word[way & 7];
	__u64 claim = mxdp_ban_word(MXDP_BAN_CLAIM, n->now_ns / MXDP_BAN_SECOND_NS + MXDP_BAN_CLAIM_SECONDS);
	__u64 word = mxdp_ban_word(tag, mxdp_ban_second(n->expires_ns)), bit = was & MXDP_BAN_SPILLED, seen;

	if (!mxdp_ban_vacant(was, n->now_ns / MXDP_BAN_SECOND_NS) ||
	    __sync_val_compare_and_swap(&l->word[way & 7], was, claim | bit) != was)
		return 0;
	if (was & ~MXDP_BAN_SPILLED && mxdp_ban_tag(was) != MXDP_BAN_CLAIM)
		mxdp_ban_count(head, r->family, r->len, -1);
	mxdp_ban_fill(r, n);
	seen = __sync_val_compare_and_swap(&l->word[way & 7], claim | bit, word | bit);
	if (seen == (claim | bit))
		return 1;
	/* the line spilled meanwhile, or we slept so long that the claim ended */
	bit = MXDP_BAN_SPILLED;
	return __sync_val_compare_and_swap(&l->word[way & 7], claim | bit, word | bit) == (claim | bit);
}

/* One line of it. 1: renewed. */
MXDP_BAN_INLINE int mxdp_ban_again(void *t, __u32 at, __u32 tag, const struct mxdp_ban_new *n, __u64 *spilled)
{
	struct mxdp_ban_line *l = BAN_LINE(t, at);

	if (!l)
		return 0;
	*spilled = *(volatile __u64 *)&l->word[0] & MXDP_BAN_SPILLED;
	for (__u32 way = 0; way < MXDP_BAN_WAYS; way++) {
		struct mxdp_banned *r;

		if (mxdp_ban_tag(*(volatile __u64 *)&l->word[way]) != tag)
			continue;
		r = BAN_RECORD(t, at * MXDP_BAN_WAYS + way);
		if (r && mxdp_ban_is(r, n) && mxdp_ban_renew(l, way, r, n))
			return 1;
	}
	return 0;
}

MXDP_BAN_INLINE int mxdp_ban_room(void *t, __u32 at, __u32 tag, const struct mxdp_ban_new *n)
{
	struct mxdp_ban_line *l = BAN_LINE(t, at);

	if (!l)
		return 0;
	for (__u32 way = 0; way < MXDP_BAN_WAYS; way++) {
		struct mxdp_banned *r;

		if (!mxdp_ban_vacant(*(volatile __u64 *)&l->word[way], n->now_ns / MXDP_BAN_SECOND_NS))
			continue;
		r = BAN_RECORD(t, at * MXDP_BAN_WAYS + way);
		if (r && mxdp_ban_claim(BAN_HEAD(t), l, way, r, n, tag))
			return 1;
	}
	__sync_fetch_and_or(&l->word[0], MXDP_BAN_SPILLED);
	return 0;
}

MXDP_BAN_INLINE int mxdp_ban_put(void *t, const struct mxdp_ban_new *n, __u32 lines)
{
	struct mxdp_ban_spot spot = mxdp_ban_spot(BAN_HEAD(t)->key, &n->key, lines), at = spot;
	int err;

	for (__u64 i = 0; i < MXDP_BAN_REACH; i++) { /* spilt as 32 bits the verifier would forget it */
		__u64 spilled = 0;

		if (mxdp_ban_again(t, at.line, at.tag, n, &spilled))
			return MXDP_BAN_AGAIN;
		if (!spilled)
			break;
		mxdp_ban_on(&at, lines);
	}
	mxdp_ban_count(BAN_HEAD(t), n->key.family, n->key.len, 1);
	err = mxdp_ban_join(BAN_HEAD(t), n->key.family, n->key.len);
	for (__u64 i = 0; !err && i < MXDP_BAN_REACH; i++) {
		if (mxdp_ban_room(t, spot.line, spot.tag, n))
			return MXDP_BAN_MADE;
		mxdp_ban_on(&spot, lines);
	}
	mxdp_ban_count(BAN_HEAD(t), n->key.family, n->key.len, -1);
	return err ? err : MXDP_BAN_NO_ROOM;
}

#endif /* MXDP_BAN_PUT_H */
