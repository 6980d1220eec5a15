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

static __always_inline union mxdp_line *trie_line(const struct mxdp_bank *b, __u32 number)
{
	__u32 at = number + b->trie_first;

	return bpf_map_lookup_elem(&trie, &at);
}

/* The cell for `place` in the node on line `at`. */
static __always_inline __u32 trie_node(const struct mxdp_bank *b, __u32 at, __u8 place)
{
	union mxdp_line *line = trie_line(b, at);
	__u32 word = place >> 6, run, base;

	if (!line)
		return 0;
	run = line->node.rank[word] + popcount64(line->node.bits[word] << (63 - (place & 63))) - 1;
	base = line->node.base;
	if (base & MXDP_NODE_CODED && run < MXDP_NODE_CODES) {
		__u32 code = line->cell[(MXDP_NODE_INLINE + 1 + run / 16) % MXDP_LINE_CELLS] >> run % 16 * 2 & 3;

		if (code != MXDP_CODE_FAR)
			return line->node.classes >> 10 * code & (MXDP_CLASSES - 1);
	}
	run += MXDP_NODE_BASE(base);
	line = trie_line(b, run / MXDP_LINE_CELLS);
	if (!line)
		return 0;
	return line->cell[run % MXDP_LINE_CELLS];
}

/* The address bits from the present depth on. */
struct trie_bits {
	__u64 hi, lo;
};

/* The first `length` bits of a 64-bit word; all of them from 64 on, none up to 0. No branch: none could be foretold. */
static __always_inline __u64 first_bits(__s32 length)
{
	__u64 some = -(__u64)((__u32)-length >> 31), all = -(__u64)((__u32)(63 - length) >> 31);

	return (~(~0ULL >> (length & 63)) & some) | all;
}

/*
 * The cell behind the tail that is cell `at`: a class, the tail behind it, or where it goes on, and then its bits are
 * taken off.
 */
static __always_inline __u32 trie_tail(const struct mxdp_bank *b, __u32 at, struct trie_bits *a)
{
	union mxdp_line *line = trie_line(b, at / MXDP_LINE_CELLS);
	__u32 head, length, k, miss;
	__u64 differ;

	if (!line)
		return 0;
	head = line->cell[at % MXDP_LINE_CELLS];
	length = MXDP_TAIL_LENGTH(head);
	k = at + 1 + (head >> 31);
	differ = (a->hi ^ ((__u64)line->cell[k % MXDP_LINE_CELLS] << 32 | line->cell[(k + 1) % MXDP_LINE_CELLS])) &
		 first_bits(length);
	differ |= (a->lo ^ ((__u64)line->cell[(k + 2) % MXDP_LINE_CELLS] << 32 | line->cell[(k + 3) % MXDP_LINE_CELLS])) &
		  first_bits(length - 64);
	miss = (differ | -differ) >> 63;
	/* ON counts when it fits, MORE, the bit below, when it does not */
	if (!(head & MXDP_TAIL_ON >> miss))
		return head >> (10 - 10 * miss) & (MXDP_CLASSES - 1);
	if (miss)
		return MXDP_TAIL | (k + (length + 31) / 32);
	length &= 63;
	a->hi = a->hi << length | a->lo >> 1 >> (63 - length);
	a->lo <<= length;
	return line->cell[(at + 1) % MXDP_LINE_CELLS];
}

/* The one tail that an IPv4 address may meet: behind its first 16 bits. */
static __always_inline __u32 trie_tail4(const struct mxdp_bank *b, __u32 at, __u32 a)
{
	union mxdp_line *line = trie_line(b, at / MXDP_LINE_CELLS);
	__u32 head;

	if (!line)
		return 0;
	head = line->cell[at % MXDP_LINE_CELLS];
	if ((line->cell[(at + 1) % MXDP_LINE_CELLS] ^ a << 16) >> (32 - MXDP_TAIL_LENGTH(head)) % 32)
		return MXDP_TAIL_MISS(head);
	return MXDP_TAIL_MATCH(head);
}

/* Do the bits from line `first` on, all of `bits` in the cell of `bit`, say that nothing at all lies there? */
static __always_inline bool unnamed(const struct mxdp_bank *b, __u32 first, __u32 bit, __u32 bits)
{
	union mxdp_line *line;

	if (!first)
		return false;
	line = trie_line(b, first + MXDP_NAMED_LINE(bit));
	return line && bits & ~line->cell[MXDP_NAMED_CELL(bit)];
}

static __always_inline __u32 class_of_ip4(const struct mxdp_bank *b, __u32 a)
{
	__u32 bit = MXDP_NAMED4(b, a), cell;

	if (unnamed(b, b->named4, bit, MXDP_NAMED4_BITS(bit, a)))
		return 0;
	cell = b->dir4[a >> 16];
	if (cell & MXDP_NODE)
		cell = trie_node(b, cell & ~MXDP_NODE, a >> 8);
	if (cell & MXDP_NODE)
		cell = trie_node(b, cell & ~MXDP_NODE, a);
	else if (cell & MXDP_TAIL)
		cell = trie_tail4(b, cell & ~MXDP_TAIL, a);
	return cell & (MXDP_CLASSES - 1);
}

/*
 * Verified once, and not on each of the ways that lead here: in line it doubles what the verifier walks of the whole program.
 * The call costs 9 ns.
 */
__attribute__((noinline)) __u32 class_deep(const struct mxdp_bank *b, __u64 hi, __u64 lo)
{
	struct trie_bits a = { hi << 16 | lo >> 48, lo << 16 };
	__u32 cell;

	if (!b)
		return 0;
	cell = b->dir6[hi >> 48];

#pragma clang loop unroll(disable)
	for (__u64 n = 0; n < MXDP_TRIE_STEPS; n++) { /* spilt as 32 bits it would be forgotten */
		if (cell & MXDP_NODE) {
			cell = trie_node(b, cell & ~MXDP_NODE, a.hi >> 56);
			a.hi = a.hi << 8 | a.lo >> 56;
			a.lo <<= 8;
		} else if (cell & MXDP_TAIL) {
			cell = trie_tail(b, cell & ~MXDP_TAIL, &a);
		} else {
			break;
		}
		forget(a.lo);
	}
	return cell & (MXDP_CLASSES - 1);
}

static __always_inline __u32 class_of_ip6(const struct mxdp_bank *b, __u64 hi, __u64 lo)
{
	__u32 cell = b->dir6[hi >> 48], bit = MXDP_NAMED6((__u32)(hi >> 32));

	if (!(cell & (MXDP_NODE | MXDP_TAIL)))
		return cell & (MXDP_CLASSES - 1);
	if (unnamed(b, b->named6, bit, MXDP_NAMED6_BITS(bit)))
		return 0;
	cell = class_deep(b, hi, lo);
	/* clang 19 knows that this is a class, and drops the mask that tells the verifier so */
	asm volatile("" : "+r"(cell));
	return cell;
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
