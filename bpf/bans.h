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

/* A tag fits in these ways of a line: is one of them a ban of this source that holds? kind: len << 24 | family << 20 | port */
__noinline int ban_bites(__u64 hi, __u64 lo, __u32 kind, __u32 first, __u32 fits_queue)
{
	__u32 fits = fits_queue & 0xff, queue = fits_queue >> 8;

	for (__u32 way = 0; way < MXDP_BAN_WAYS; way++) {
		struct mxdp_banned *b;
		__u32 i = first + way;

		if (!(fits >> way & 1))
			continue;
		b = bpf_map_lookup_elem(&banned, &i);
		if (!b || b->hi != hi || b->lo != lo || b->len != kind >> 24 || b->family != (kind >> 20 & 1))
			continue;
		if (!ban_covers_port(b->ports, kind & 0x1ffff))
			continue;
		if (*(volatile __u64 *)&b->expires_ns != MXDP_BAN_FOREVER_NS && b->expires_ns <= ban_now_ns(queue))
			continue;
		if (!(queue & BAN_ASKED))
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

/* Is the source banned? port: with BAN_NO_PORT only bans of everything count. `from`: family << 16 | queue */
__noinline int ban_of(__u64 hi, __u64 lo, __u32 port, __u32 from)
{
	__u32 family = from >> 16 & 1, queue = from & 0xffff;
	__u64 lengths = *(volatile __u64 *)&ban_head.lengths[family];

	for (int n = 0; n < (int)MXDP_BAN_LENGTHS; n++) {
		struct mxdp_ban_key k = { .hi = hi, .lo = lo, .family = family, .len = (lengths & 0xff) - 1 };
		struct mxdp_ban_spot spot;

		if (!(lengths & 0xff))
			break;
		lengths >>= 8;
		mxdp_ban_mask(&k);
		spot = mxdp_ban_spot(ban_head.key, &k, cfg.ban_lines);
		for (int reach = 0; reach < (int)MXDP_BAN_REACH; reach++) {
			struct mxdp_ban_line *l = bpf_map_lookup_elem(&bans, &spot.line);
			__u32 fits;

			if (!l)
				break;
			fits = ban_fits(l, spot.tag);
			if (fits && ban_bites(k.hi, k.lo, k.len << 24 | family << 20 | (port & 0x1ffff), spot.line * MXDP_BAN_WAYS,
					      queue << 8 | fits))
				return 1;
			if (!(*(volatile __u64 *)&l->word[0] & MXDP_BAN_SPILLED))
				break;
			mxdp_ban_on(&spot, cfg.ban_lines);
		}
	}
	return 0;
}

/* The IPv4 address inside an IPv6 one is banned too, in these clothes. */
static __always_inline bool source_banned(const struct pkt *p, __u32 port, __u32 queue, bool probing)
{
	__u32 a;

	if (!*(volatile __u32 *)&state.bans)
		return false;
	queue = (queue & 63) | (probing ? BAN_ASKED : 0);
	if (p->family == 0)
		return ban_of(0, p->src_lo, port, queue);
	return ban_of(p->src_hi, p->src_lo, port, 1u << 16 | queue) || (ip4_inside(p, &a) && ban_of(0, a, port, queue));
}

#endif /* MXDP_BPF_BANS_H */
