/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: lease. The memory that the tracker vouched for a connection, in
 * this second and this epoch: one 64-bit word,
 *     hash(4-tuple) ^ spread(epoch, second).
 * A second later, or after any change of policy, it no longer matches. The
 * hash is keyed, so nobody outside can aim at a line; a false match is one in
 * 2^61 (eight words are compared) and lets one stray segment reach the
 * kernel, which refuses it.
 */
#ifndef MXDP_BPF_LEASE_H
#define MXDP_BPF_LEASE_H

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	x ^= x >> 32;
	return x;
}

static __always_inline __u64 lease_hash(const struct pkt *p)
{
	__u64 ports = (__u64)p->sport << 16 | p->dport;
	__u64 h;

	if (p->family == 0) {
		h = mix((p->src_lo << 32 | p->dst_lo) ^ cfg.lease_key[0]);
		h = mix((h + ports) ^ cfg.lease_key[1]);
	} else {
		h = mix(p->src_hi ^ cfg.lease_key[0]);
		h = mix(h + p->src_lo);
		h = mix(h + p->dst_hi);
		h = mix((h ^ cfg.lease_key[1]) + p->dst_lo);
		h = mix(h + (ports | 1ULL << 32));
	}
	return h * 0x9e3779b97f4a7c15ULL;
}

#define LEASE_STEP 0xa0761d6478bd642fULL /* odd, so no two stamps are the same; a second is one step */

static __always_inline __u64 lease_stamp(__u32 epoch, __u32 tick)
{
	return ((__u64)epoch << 32 | tick) * LEASE_STEP;
}

static __always_inline struct mxdp_lease_line *lease_line(__u64 hash)
{
	__u32 i = (__u32)(hash >> 20) & cfg.lease_mask;

	return bpf_map_lookup_elem(&lease, &i);
}

static __always_inline bool lease_good(struct mxdp_lease_line *line, __u64 word)
{
	for (int i = 0; i < (int)MXDP_LEASE_WAYS; i++)
		if (*(volatile __u64 *)&line->word[i] == word)
			return true;
	return false;
}

/*
 * Which of the eight makes room does not matter: losing a lease costs one
 * lookup. Steps of the stamp pick it, so that a crowded line is shared fairly.
 */
static __always_inline void lease_grant(struct mxdp_lease_line *line, __u64 hash, __u64 stamp)
{
	__u32 way = ((hash ^ stamp) >> 61) & (MXDP_LEASE_WAYS - 1);

	for (__u32 i = 0; i < MXDP_LEASE_WAYS; i++) {
		if (*(volatile __u64 *)&line->word[i] == (hash ^ (stamp - LEASE_STEP))) {
			way = i;
			break;
		}
	}
	*(volatile __u64 *)&line->word[way] = hash ^ stamp;
}

#endif /* MXDP_BPF_LEASE_H */
