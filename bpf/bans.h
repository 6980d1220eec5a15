/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: bans. One look per prefix length in use, one line each (another
 * one where that has spilled). Nothing of it is reached while there is
 * no ban. Functions of their own, each verified once: rare on the way, and
 * their loops are many paths.
 */
#ifndef MXDP_BPF_BANS_H
#define MXDP_BPF_BANS_H

#define BAN_NO_PORT 0x10000u /* in the place of a port: the packet has none */
#define BAN_ASKED 0x8000u    /* in the place of a queue: a probe, counted nowhere */

/* What is asked about a source, in one word, for of arguments there are five: queue, family, port, and the length looked for. */
#define BAN_ASK(queue, family, port) ((__u64)(queue) << 32 | (family) << 20 | ((port) & 0x1ffff))
#define BAN_ASK_LEN(ask, len) ((ask) | (__u64)(len) << 24)
#define BAN_QUEUE(ask) ((__u32)((ask) >> 32))
#define BAN_LEN(ask) ((__u32)(ask) >> 24)
#define BAN_FAMILY(ask) ((__u32)(ask) >> 20 & 1)
#define BAN_PORT(ask) ((__u32)(ask) & 0x1ffff)

__u64 ban_clock[64][2] SEC(".data.clock"); /* jiffies, nanoseconds */

/*
 * Boottime, read once a jiffy and receive queue: 37 ns a reading otherwise.
 * Two CPUs on one queue may leave an old moment behind a new jiffy; old time
 * ends no ban early.
 */
static __always_inline __u64 ban_now_ns(__u32 queue)
{
	volatile __u64 *at = ban_clock[queue & 63];
	__u64 jiffies = clock_jiffies();

	if (cfg.test_clock)
		return jiffies * (MXDP_BAN_SECOND_NS >> cfg.tick_shift);
	if (at[0] != jiffies) {
		at[1] = bpf_ktime_get_boot_ns();
		at[0] = jiffies;
	}
	return at[1];
}

static __always_inline bool ban_covers_port(__u32 ports, __u32 port)
{
	const struct mxdp_ban_text *t;

	if (!ports)
		return true;
	t = bpf_map_lookup_elem(&ban_texts, &ports);
	if (!t)
		return false;
	for (int i = 0; i < (int)MXDP_BAN_RANGES; i++)
		if (t->range[i].lo <= port && port <= t->range[i].hi)
			return true;
	return false;
}

/* A tag fits in these ways of a line, `first` the number of its first record: is one of them a ban of this source that holds? */
__noinline int ban_bites(__u64 hi, __u64 lo, __u64 ask, __u32 first, __u32 fits)
{
	for (__u32 way = 0; way < MXDP_BAN_WAYS; way++) {
		struct mxdp_banned *b;
		__u32 i = first + way;

		/* what is made of it is made anew each time: kept, it would lie on the stack, which is short */
		asm volatile("" : "+r"(ask));
		if (!(fits >> way & 1))
			continue;
		b = bpf_map_lookup_elem(&banned, &i);
		if (!b || b->hi != hi || b->lo != lo || b->len != BAN_LEN(ask) || b->family != BAN_FAMILY(ask))
			continue;
		if (!ban_covers_port(b->ports, BAN_PORT(ask)))
			continue;
		if (*(volatile __u64 *)&b->expires_ns != MXDP_BAN_FOREVER_NS && b->expires_ns <= ban_now_ns(BAN_QUEUE(ask)))
			continue;
		if (!(BAN_QUEUE(ask) & BAN_ASKED))
			__sync_fetch_and_add(&b->hits, 1);
		return 1;
	}
	return 0;
}

/* The ways that carry the tag, as bits. Without a branch: eight of them would be 256 paths for the verifier. */
static __always_inline __u32 ban_fits(const struct mxdp_ban_line *l, __u32 tag)
{
	__u32 fits = 0;

#pragma unroll
	for (int way = 0; way < (int)MXDP_BAN_WAYS; way++) {
		__u64 differs = mxdp_ban_tag(*(volatile const __u64 *)&l->word[way]) ^ tag;

		asm volatile("" : "+r"(differs));
		fits |= (differs - 1) >> 63 << way;
	}
	return fits;
}

static __always_inline bool ban_on_line(const struct mxdp_ban_line *l, __u32 line, __u32 tag, __u64 hi, __u64 lo, __u64 ask)
{
	__u32 fits = ban_fits(l, tag);

	return fits && ban_bites(hi, lo, ask, line * MXDP_BAN_WAYS, fits);
}

static __always_inline bool ban_spilled(const struct mxdp_ban_line *l)
{
	return *(volatile __u64 *)&l->word[0] & MXDP_BAN_SPILLED;
}

/* On the lines that bans of this length have spilled to; few sources come this far. at: line << 32 | step of the one before. */
__noinline int ban_further(__u64 hi, __u64 lo, __u64 ask, __u64 at, __u32 tag)
{
	struct mxdp_ban_spot spot = { .line = at >> 32, .step = (__u32)at };

	for (int reach = 1; reach < (int)MXDP_BAN_REACH; reach++) {
		struct mxdp_ban_line *l;

		mxdp_ban_on(&spot, cfg.ban_lines);
		l = bpf_map_lookup_elem(&bans, &spot.line);
		if (!l)
			break;
		if (ban_on_line(l, spot.line, tag, hi, lo, ask))
			return 1;
		if (!ban_spilled(l))
			break;
	}
	return 0;
}

/* Is the source banned? `ask` names no length: all that are in use are looked for. */
__noinline int ban_of(__u64 hi, __u64 lo, __u64 ask)
{
	__u64 lengths = *(volatile __u64 *)&ban_head.lengths[BAN_FAMILY(ask)];

	for (int n = 0; n < (int)MXDP_BAN_LENGTHS; n++) {
		struct mxdp_ban_key k = { .hi = hi, .lo = lo, .len = (lengths & 0xff) - 1 };
		struct mxdp_ban_spot spot;
		struct mxdp_ban_line *l;

		if (!(lengths & 0xff))
			break;
		lengths >>= 8;
		asm volatile("" : "+r"(ask));
		k.family = BAN_FAMILY(ask);
		mxdp_ban_mask(&k);
		spot = mxdp_ban_spot(ban_head.key, &k, cfg.ban_lines);
		l = bpf_map_lookup_elem(&bans, &spot.line);
		if (!l)
			continue;
		if (ban_on_line(l, spot.line, spot.tag, k.hi, k.lo, BAN_ASK_LEN(ask, k.len)) ||
		    (ban_spilled(l) &&
		     ban_further(k.hi, k.lo, BAN_ASK_LEN(ask, k.len), (__u64)spot.line << 32 | spot.step, spot.tag)))
			return 1;
	}
	return 0;
}

/* The IPv4 address inside an IPv6 one is banned too, in these clothes. port: with BAN_NO_PORT only bans of everything count. */
static __always_inline bool source_banned(const struct pkt *p, __u32 port, __u32 queue, bool probing)
{
	__u64 ask = BAN_ASK((queue & 63) | (probing ? BAN_ASKED : 0), 0, port);
	__u32 a;

	if (!*(volatile __u32 *)&state.bans)
		return false;
	if (p->family == 0)
		return ban_of(0, p->src_lo, ask);
	return ban_of(p->src_hi, p->src_lo, ask | BAN_ASK(0, 1, 0)) || (ip4_inside(p, &a) && ban_of(0, a, ask));
}

#endif /* MXDP_BPF_BANS_H */
