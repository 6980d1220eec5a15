/* SPDX-License-Identifier: GPL-2.0-only */
/* A source under a limit, as one number: what the words of gates and conns go by, in the kernel and outside. */
#ifndef MXDP_SOURCE_H
#define MXDP_SOURCE_H

#include "abi.h"

static inline __attribute__((always_inline)) __u64 source_mix(__u64 x)
{
	x ^= x >> 32;
	x *= 0xd6e8feb86659fd93ULL;
	return x;
}

/*
 * Keyed, so that nobody outside can choose who shares a line with whom. Addresses in host order; IPv4 in `lo`.
 */
static inline __attribute__((always_inline)) __u64 source_hash(const __u64 key[2], const struct mxdp_limit *l, int is_ip6,
							       __u64 hi, __u64 lo)
{
	__u64 h;

	if (!is_ip6) {
		h = (lo >> ((32 - l->len4) & 31)) ^ 0x4000000000000000ULL;
	} else if (l->len6 <= 64) {
		h = hi >> ((64 - l->len6) & 63);
	} else {
		h = source_mix(hi ^ key[1]) ^ (lo >> ((128 - l->len6) & 63));
	}
	h = source_mix(h ^ key[0]);
	h = source_mix(h ^ l->id ^ key[1]);
	return h ^ h >> 32;
}

#endif /* MXDP_SOURCE_H */
