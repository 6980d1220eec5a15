/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The verifier walks what lies ahead once for each different thing it knows of
 * a value that decides a branch. Most of what it knows it will not need: a
 * reason, how far a loop has shifted its bits. Forgotten, the walks become one.
 * The program is loaded in a third of the time: docs/notes.md.
 */
#ifndef MXDP_BPF_FORGET_H
#define MXDP_BPF_FORGET_H

/* x stays what it is, but only we know: what is added to it is always 0. */
#define forget(x) ((x) |= *(volatile __u64 *)&state.zero)

/* Of a != b the verifier learns, where they are equal, what both are. Of this it learns nothing. */
static __always_inline bool differ(__u32 a, __u32 b)
{
	__u32 x = a ^ b;

	asm volatile("" : "+r"(x));
	return x;
}

#endif /* MXDP_BPF_FORGET_H */
