// SPDX-License-Identifier: GPL-2.0-only
/*
 * Sorting prefixes: by digits from the least one up, because a million of them by comparison take longer than all of
 * their reading. Digits in which all keys agree are skipped.
 */
#include <stdlib.h>
#include <string.h>
#include "token.h"

#define FEW 512 /* below it qsort is as good */

/* An address as numbers, most significant first; IPv4 in the upper half of hi. */
struct key {
	uint64_t hi, lo;
	uint8_t len;
};

/* One pass: from a to b by the byte that stands `shift` bits up. */
#define PASS(name, type, digit)                                                          \
	static void name(const type *a, type *b, size_t n, unsigned int shift)            \
	{                                                                                \
		size_t at[256] = { 0 }, sum = 0, count;                                  \
                                                                                         \
		for (size_t i = 0; i < n; i++)                                           \
			at[digit(a[i], shift) & 255]++;                                  \
		for (int k = 0; k < 256; k++) {                                          \
			count = at[k];                                                   \
			at[k] = sum;                                                     \
			sum += count;                                                    \
		}                                                                        \
		for (size_t i = 0; i < n; i++)                                           \
			b[at[digit(a[i], shift) & 255]++] = a[i];                        \
	}
#define OF_NUMBER(x, shift) ((x) >> (shift))
#define OF_KEY(x, shift) ((shift) < 64 ? (x).lo >> (shift) : (shift) < 128 ? (x).hi >> ((shift) - 64) : (x).len)
PASS(pass4, uint64_t, OF_NUMBER)
PASS(pass6, struct key, OF_KEY)

/* The IPv4 ones of v, sorted, to the start of v. */
static void sort4(struct prefix *v, const struct prefix *from, size_t n)
{
	uint64_t *a = xmalloc(n * sizeof(*a)), *b = xmalloc(n * sizeof(*b)), *swap, any = 0, all = ~0ull;

	for (size_t i = 0; i < n; i++) {
		a[i] = (load_be64(from[i].addr) >> 32) << 8 | from[i].len;
		any |= a[i];
		all &= a[i];
	}
	for (unsigned int shift = 0; shift < 40; shift += 8) {
		if (!((any ^ all) >> shift & 255))
			continue;
		pass4(a, b, n, shift);
		swap = a;
		a = b;
		b = swap;
	}
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct prefix){ .family = 4, .len = a[i] };
		store_be64(v[i].addr, (a[i] >> 8) << 32);
	}
	free(a);
	free(b);
}

static void sort6(struct prefix *v, const struct prefix *from, size_t n)
{
	struct key *a = xmalloc(n * sizeof(*a)), *b = xmalloc(n * sizeof(*b)), *swap;
	struct key any = { 0 }, all = { ~0ull, ~0ull, 255 };

	for (size_t i = 0; i < n; i++) {
		a[i] = (struct key){ load_be64(from[i].addr), load_be64(from[i].addr + 8), from[i].len };
		any = (struct key){ any.hi | a[i].hi, any.lo | a[i].lo, any.len | a[i].len };
		all = (struct key){ all.hi & a[i].hi, all.lo & a[i].lo, all.len & a[i].len };
	}
	any = (struct key){ any.hi ^ all.hi, any.lo ^ all.lo, any.len ^ all.len };
	for (unsigned int k = 0; k < 17; k++) {
		/* the length is the least digit */
		unsigned int shift = k ? 8 * (k - 1) : 128;

		if (!(OF_KEY(any, shift) & 255))
			continue;
		pass6(a, b, n, shift);
		swap = a;
		a = b;
		b = swap;
	}
	for (size_t i = 0; i < n; i++) {
		v[i] = (struct prefix){ .family = 6, .len = a[i].len };
		store_be64(v[i].addr, a[i].hi);
		store_be64(v[i].addr + 8, a[i].lo);
	}
	free(a);
	free(b);
}

static void sort_many(struct prefix *v, size_t n)
{
	struct prefix *copy = xmalloc(n * sizeof(*copy));
	size_t n4 = 0, n6 = 0;

	for (size_t i = 0; i < n; i++)
		if (v[i].family == 4)
			copy[n4++] = v[i];
		else
			copy[n - ++n6] = v[i];
	if (n4)
		sort4(v, copy, n4);
	if (n6)
		sort6(v + n4, copy + n4, n6);
	free(copy);
}

void prefixes_sort(struct prefix *v, size_t *n)
{
	bool sorted = true;
	size_t m = 0;

	for (size_t i = 1; i < *n && sorted; i++)
		sorted = prefix_cmp(&v[i - 1], &v[i]) < 0;
	if (sorted)
		return;
	if (*n < FEW)
		qsort(v, *n, sizeof(*v), prefix_cmp);
	else
		sort_many(v, *n);
	for (size_t i = 0; i < *n; i++)
		if (m == 0 || prefix_cmp(&v[m - 1], &v[i]))
			v[m++] = v[i];
	*n = m;
}
