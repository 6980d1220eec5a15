/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: service, class, policy. Two classifications and one table: the
 * cost is the same with one rule or ten thousand.
 */
#ifndef MXDP_BPF_POLICY_H
#define MXDP_BPF_POLICY_H

static __always_inline __u32 popcount64(__u64 x)
{
	x -= (x >> 1) & 0x5555555555555555ULL;
	x = (x & 0x3333333333333333ULL) + ((x >> 2) & 0x3333333333333333ULL);
	x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fULL;
	return (x * 0x0101010101010101ULL) >> 56;
}

/* One step down the trie: the cell for `place` in the node that `cell` names. */
static __always_inline __u32 trie_step(__u32 cell, __u8 place)
{
	__u32 at = cell & ~MXDP_NODE, word = place >> 6, run;
	union mxdp_line *line = bpf_map_lookup_elem(&trie, &at);

	if (!line)
		return 0;
	run = line->node.base + line->node.rank[word] +
	      popcount64(line->node.bits[word] << (63 - (place & 63))) - 1;
	at = run / MXDP_LINE_CELLS;
	line = bpf_map_lookup_elem(&trie, &at);
	if (!line)
		return 0;
	return line->cell[run % MXDP_LINE_CELLS];
}

static __always_inline __u32 class_of_ip4(const struct mxdp_bank *b, __u32 a)
{
	__u32 cell = b->dir4[a >> 16];

	if (cell & MXDP_NODE)
		cell = trie_step(cell, a >> 8);
	if (cell & MXDP_NODE)
		cell = trie_step(cell, a);
	return cell & (MXDP_CLASSES - 1);
}

static __always_inline __u32 class_of_ip6(const struct mxdp_bank *b, __u64 hi, __u64 lo)
{
	__u32 cell = b->dir6[hi >> 48];

	hi = hi << 16 | lo >> 48;
	lo <<= 16;
	for (int n = 0; n < 14; n++) {
		if (!(cell & MXDP_NODE))
			break;
		cell = trie_step(cell, hi >> 56);
		hi = hi << 8 | lo >> 56;
		lo <<= 8;
	}
	return cell & (MXDP_CLASSES - 1);
}

/*
 * 6to4 (2002::/16) and NAT64 (64:ff9b::/96): a blocked IPv4 address stays
 * blocked in these clothes.
 */
static __always_inline bool ip4_inside(const struct pkt *p, __u32 *a)
{
	if (p->family == 0)
		*a = p->src_lo;
	else if (p->src_hi >> 48 == 0x2002)
		*a = p->src_hi >> 16;
	else if (p->src_hi == 0x0064ff9b00000000ULL && p->src_lo >> 32 == 0)
		*a = p->src_lo;
	else
		return false;
	return true;
}

/* `dressed`: the IPv4 address inside this IPv6 one is blocked. It may forbid, never grant: the class is the IPv6 one's. */
static __always_inline __u32 class_of(const struct mxdp_bank *b, const struct pkt *p, bool *dressed)
{
	__u32 a, class_;

	if (ip4_inside(p, &a)) {
		class_ = class_of_ip4(b, a);
		if (p->family == 0)
			return class_;
		*dressed = b->class_flags[class_] & MXDP_CLASS_BLOCKED;
	}
	return class_of_ip6(b, p->src_hi, p->src_lo);
}

#endif /* MXDP_BPF_POLICY_H */
