/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: lease. The memory that the tracker vouched for a connection, in
 * this second and this epoch (state.voided added). One 64-bit word:
 *
 *     63                      24 23      12 11       0
 *     | keyed hash of the 4-tuple |  epoch  | second |
 *
 * A second later, or after any change of policy, it no longer matches: no
 * sweep, no expiry, one aligned store to grant. The low half stands in clear
 * so that a new lease finds a stale word to overwrite and live neighbours in
 * a line do not chase each other out. The loader wipes the table whenever the
 * 12 bits of the epoch come round, so a lease never outlives its policy; the
 * second comes round after an hour, and then vouches for a connection that
 * the same policy had passed. A false match of the hash is 8 in 2^40 and lets
 * one stray segment reach the kernel, which refuses it.
 */
#ifndef MXDP_BPF_LEASE_H
#define MXDP_BPF_LEASE_H

static __always_inline __u64 mix(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	return x;
}

/*
 * Keyed, so that nobody outside can aim at a line. The high bits depend on all
 * of the tuple; the low ones do not, so the line is chosen by both.
 */
static __always_inline __u64 lease_hash(const struct pkt *p)
{
	__u64 ports = (__u64)p->sport << 16 | p->dport;
	__u64 h;

	if (p->family == 0) {
		h = mix((p->src_lo << 32 | p->dst_lo) ^ cfg.lease_key[0]);
	} else {
		/* both at once: one after the other they would keep the line waiting */
		h = mix(mix(p->src_hi ^ cfg.lease_key[0]) ^ p->src_lo);
		h ^= mix(mix(p->dst_hi ^ cfg.lease_key[1]) ^ p->dst_lo);
	}
	return mix(h ^ ports ^ cfg.lease_key[1]);
}

static __always_inline __u32 lease_stamp(__u32 epoch, __u32 tick)
{
	return (epoch & MXDP_LEASE_EPOCHS) << 12 | (tick & 0xfff);
}

static __always_inline __u64 lease_word(__u64 hash, __u32 stamp)
{
	return (hash & ~0xffffffULL) | stamp;
}

static __always_inline struct mxdp_lease_line *lease_line(__u64 hash)
{
	__u32 i = (__u32)(hash ^ hash >> 40) & cfg.lease_mask;

	return bpf_map_lookup_elem(&lease, &i);
}

/* Each word has a place of choice in its line: most are found at the first look, without a branch to guess. */
static __always_inline __u32 lease_home(__u64 word)
{
	return word >> 61;
}

static __always_inline bool lease_good(struct mxdp_lease_line *line, __u64 word)
{
	if (*(volatile __u64 *)&line->word[lease_home(word)] == word)
		return true;
	for (int i = 0; i < (int)MXDP_LEASE_WAYS; i++)
		if (*(volatile __u64 *)&line->word[i] == word)
			return true;
	return false;
}

static __always_inline bool lease_stale(struct mxdp_lease_line *line, __u32 way, __u64 word)
{
	return (*(volatile __u64 *)&line->word[way] ^ word) & 0xffffff;
}

static __always_inline void lease_grant(struct mxdp_lease_line *line, __u64 word)
{
	__u32 way = lease_home(word);

	for (__u32 i = 0; i < MXDP_LEASE_WAYS && !lease_stale(line, way, word); i++)
		way = (way + 1) & (MXDP_LEASE_WAYS - 1);
	*(volatile __u64 *)&line->word[way] = word;
}

#endif /* MXDP_BPF_LEASE_H */
