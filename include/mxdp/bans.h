/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bans: a hash table in two arrays that the loader, and a tracing program for
 * automatic bans, write while packets are judged by it. Layouts, and the
 * arithmetic that both sides must do alike.
 *
 *   bans[line].word[way]        hot: what a look-up reads, one cache line
 *   banned[line * 8 + way]      cold: the ban in full, read when a tag fits, so that bans are exact
 *   ban_head, ban_texts         what both need besides; they outlive generations of the two
 *
 * A word is free (0), claimed, or published:
 *
 *     63        62      32 31                       0
 *     | spilled |   tag    |  last second, boottime |     second ~0: for ever
 *
 * `spilled` stands in word 0 of a line only: bans that would have gone here may
 * lie in the next line of theirs. It is set and never taken back but by making
 * the table anew.
 *
 * Whoever adds a ban claims a free or expired word by compare-and-swap, fills
 * the record, then publishes by compare-and-swap. A claim ends by itself, so
 * that one who was killed in between costs a slot for a minute. Whoever takes
 * one away stores 0 by compare-and-swap. head.used may be too high after a
 * kill, never too low.
 */
#ifndef MXDP_BANS_H
#define MXDP_BANS_H

#include <linux/types.h>

#define MXDP_BAN_WAYS 8u
#define MXDP_BAN_REACH 8u    /* lines that a ban may lie in: its own, and others a step of its own apart */
#define MXDP_BAN_LENGTHS 8u  /* different prefix lengths in use at once, for each family: each costs every packet a look */
#define MXDP_BAN_SPILLED (1ULL << 63)
#define MXDP_BAN_FOREVER 0xffffffffu
#define MXDP_BAN_CLAIM 0x7fffffffu /* the tag of a claim; no ban has it */
#define MXDP_BAN_CLAIM_SECONDS 60u
#define MXDP_BAN_SECOND_NS 1000000000ULL
#define MXDP_BAN_FOREVER_NS (~0ULL)

struct mxdp_ban_line {
	__u64 word[MXDP_BAN_WAYS];
};
_Static_assert(sizeof(struct mxdp_ban_line) == 64, "one cache line");

struct mxdp_banned {
#ifdef MXDP_OTHER_LAYOUT
	__u64 hits, expires_ns, lo, hi;
#else
	__u64 hi, lo;      /* host order, no bits behind the length; IPv4: lo */
	__u64 expires_ns;  /* CLOCK_BOOTTIME; ~0 for ever */
	__u64 hits;        /* packets cut; counted by the packet path */
#endif
	__u32 made_s;      /* boottime seconds */
	__u16 owner;       /* numbers of ban_texts[]; owner is never 0 */
	__u16 reason;      /* 0: none given */
	__u16 ports;       /* 0: any */
	__u8 len;          /* 1 to 32 or 128 */
	__u8 family;       /* 0 IPv4, 1 IPv6 */
	__u32 reserved;
};
_Static_assert(sizeof(struct mxdp_banned) == 48, "ban record layout");

/* Owners, reasons and sets of ports, each held once: a record names them by number. Written by the loader alone. */
#define MXDP_BAN_TEXTS 4096u
#define MXDP_BAN_TEXT_ROOM 56u
#define MXDP_BAN_RANGES (MXDP_BAN_TEXT_ROOM / 4u)
enum mxdp_ban_text_kind { MXDP_BAN_FREE = 0, MXDP_BAN_OWNER = 1, MXDP_BAN_REASON = 2, MXDP_BAN_PORTS = 3 };
#define MXDP_BAN_OWNER_LIMIT 1u  /* "limit": automatic bans */
#define MXDP_BAN_REASON_LIMIT 2u
struct mxdp_ban_text {
	__u8 kind;   /* stored last */
	__u8 len;    /* of text[]; how many range[]s */
	__u16 reserved;
	__u32 hash;
	union {
		char text[MXDP_BAN_TEXT_ROOM];
		struct {
			__u16 lo, hi;
		} range[MXDP_BAN_RANGES];
	};
};
_Static_assert(sizeof(struct mxdp_ban_text) == 64, "ban text layout");

struct mxdp_ban_head {
	__u64 lengths[2];    /* by family: the lengths in use, a byte each, plus one; a zero byte ends them */
	__u64 key[2];
	__u64 refused;       /* automatic bans that found no room */
	__u64 texts_swept_s; /* boottime; the loader's own memory, as the next */
	__u32 texts;         /* in use */
	__u32 reserved[3];
	__u32 used[2][256];  /* words taken, by family and length; expired ones count until they are taken over */
};
_Static_assert(sizeof(struct mxdp_ban_head) == 64 + 2 * 256 * 4, "ban head layout");

/* What a ban is found by. */
struct mxdp_ban_key {
	__u64 hi, lo;
	__u32 family, len;
};

struct mxdp_ban_spot {
	__u32 line, step, tag;
};

static inline __attribute__((always_inline)) __u64 mxdp_ban_mix(__u64 x)
{
	x ^= x >> 32;
	return x * 0x9fb21c651e98df25ULL;
}

/* Zeroes what lies behind the length, which is 1 at least. */
static inline __attribute__((always_inline)) void mxdp_ban_mask(struct mxdp_ban_key *k)
{
	if (k->family == 0) {
		k->lo &= 0xffffffffULL << ((32 - k->len) & 31);
	} else if (k->len <= 64) {
		k->hi &= ~0ULL << ((64 - k->len) & 63);
		k->lo = 0;
	} else {
		k->lo &= ~0ULL << ((128 - k->len) & 63);
	}
}

/* Keyed, so that nobody outside can aim at a line. `lines` need be no power of two. */
static inline __attribute__((always_inline)) struct mxdp_ban_spot mxdp_ban_spot(const __u64 key[2], const struct mxdp_ban_key *k,
										__u32 lines)
{
	struct mxdp_ban_spot s;
	__u64 h;

	if (k->family == 0) {
		h = mxdp_ban_mix((k->lo << 8 | k->len) ^ key[0]);
	} else {
		h = mxdp_ban_mix(k->hi ^ key[0]);
		h = mxdp_ban_mix(h ^ k->lo);
		h = mxdp_ban_mix(h ^ (0x100 | k->len));
	}
	h = mxdp_ban_mix(h ^ key[1]);
	h ^= h >> 29;
	s.line = (h >> 32) * lines >> 32;
	s.step = ((h & 0xffffffff) * (lines - 1) >> 32) + (lines > 1);
	s.tag = (h & 0x3fffffff) + 1; /* neither that of a free word nor that of a claim */
	return s;
}

/* From a line that spilled to the next. Lines side by side would fill up together. */
static inline __attribute__((always_inline)) void mxdp_ban_on(struct mxdp_ban_spot *s, __u32 lines)
{
	s->line += s->step;
	if (s->line >= lines)
		s->line -= lines;
}

static inline __attribute__((always_inline)) __u64 mxdp_ban_word(__u32 tag, __u32 second)
{
	return (__u64)tag << 32 | second;
}

static inline __attribute__((always_inline)) __u32 mxdp_ban_tag(__u64 word)
{
	return word >> 32 & 0x7fffffff;
}

/* The last second of a ban that ends at that moment: the word may outlive its ban by less than a second, the record says when. */
static inline __attribute__((always_inline)) __u32 mxdp_ban_second(__u64 expires_ns)
{
	return expires_ns == MXDP_BAN_FOREVER_NS ? MXDP_BAN_FOREVER : (__u32)(expires_ns / MXDP_BAN_SECOND_NS);
}

/* Free, or its time is over: may be claimed. */
static inline __attribute__((always_inline)) int mxdp_ban_vacant(__u64 word, __u32 now_s)
{
	return (word & ~MXDP_BAN_SPILLED) == 0 || (__u32)word < now_s;
}

/* `lengths` with one more; 0 when there are eight already. */
static inline __attribute__((always_inline)) __u64 mxdp_ban_lengths_add(__u64 lengths, __u32 len)
{
	return lengths >> 56 ? 0 : lengths << 8 | (len + 1);
}

static inline __attribute__((always_inline)) int mxdp_ban_lengths_has(__u64 lengths, __u32 len)
{
	for (int i = 0; i < (int)MXDP_BAN_LENGTHS; i++)
		if ((lengths >> (8 * i) & 0xff) == len + 1)
			return 1;
	return 0;
}

#endif /* MXDP_BANS_H */
