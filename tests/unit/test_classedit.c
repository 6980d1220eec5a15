// SPDX-License-Identifier: GPL-2.0-only
/* Editing the class table in place: after any adds and removals, every address has the class of its longest prefix. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "oracle.h"

/* A table as it lies in the kernel, and the plain list of what it should say. */
struct lab {
	struct mxdp_bank *bank;
	union mxdp_line *map;
	uint32_t first, nlines;
	struct class_prefix *v;
	size_t n;
	unsigned int nclasses;
	unsigned int rebuilt;
};

static size_t lookups, edits;

/* A row of its own for every class. */
static void set_row(uint8_t policy[MXDP_SERVICES], unsigned int class_)
{
	memset(policy, 0, MXDP_SERVICES);
	policy[1] = class_;
	policy[2] = class_ >> 8;
}

static void fill(struct lab *l, uint32_t slack)
{
	struct diag d = { 0 };
	struct image img = { .bank = xcalloc(1, sizeof(*img.bank)), .nclasses = l->nclasses };

	assert_int_equal(classtable_build(&img, l->v, l->n, &d), 0);
	for (unsigned int k = 0; k < l->nclasses; k++)
		set_row(img.bank->policy[k], k);
	free(l->bank);
	free(l->map);
	l->first = 2 + oracle_below(1000);
	l->nlines = img.nlines + slack;
	l->bank = xmalloc(sizeof(*l->bank));
	l->map = xmalloc((l->first + l->nlines) * sizeof(*l->map));
	memset(l->map, 0xff, (l->first + l->nlines) * sizeof(*l->map));
	memcpy(l->map + l->first, img.lines, img.nlines * sizeof(*img.lines));
	image_place_bank(&img, l->first, 1, l->bank);
	free(img.bank);
	free(img.lines);
}

static void drop(struct lab *l)
{
	free(l->bank);
	free(l->map);
	free(l->v);
}

static size_t place_of(const struct lab *l, const struct prefix *p)
{
	size_t lo = 0, hi = l->n;

	while (lo < hi) {
		size_t mid = (lo + hi) / 2;

		if (oracle_cmp(&l->v[mid].p, p) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static void list_set(struct lab *l, const struct prefix *p, int class_)
{
	size_t at = place_of(l, p);
	bool has = at < l->n && !oracle_cmp(&l->v[at].p, p);

	if (class_ >= 0 && !has) {
		l->v = xrealloc(l->v, (l->n + 1) * sizeof(*l->v));
		memmove(l->v + at + 1, l->v + at, (l->n++ - at) * sizeof(*l->v));
	}
	if (class_ >= 0) {
		l->v[at] = (struct class_prefix){ .p = *p, .class_ = class_ };
	} else if (has) {
		memmove(l->v + at, l->v + at + 1, (--l->n - at) * sizeof(*l->v));
	}
}

static void publish(struct lab *l, const struct dir_change *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t *cell = v[i].at < 65536 ? &l->bank->dir4[v[i].at] : &l->bank->dir6[v[i].at - 65536];

		assert_int_equal(*cell, v[i].was);
		*cell = v[i].is;
	}
}

/* The class of the longest prefix of the list that covers p, itself included. */
static unsigned int class_around(const struct lab *l, const struct prefix *p)
{
	struct prefix q = *p;

	for (int len = p->len; len >= 0; len--) {
		size_t at;

		q.len = len;
		oracle_mask(&q);
		at = place_of(l, &q);
		if (at < l->n && !oracle_cmp(&l->v[at].p, &q))
			return l->v[at].class_;
	}
	return 0;
}

/* Says to the table what the list now says of p. */
static void edit(struct lab *l, const struct prefix *p)
{
	static struct dir_change changes[65536];
	struct image_edit e = { .nregions = 1, .nrows = l->nclasses };
	const struct class_bank to = { l->bank, l->map + l->first, l->nlines };
	uint32_t used = l->bank->trie_used;
	size_t at = place_of(l, p), end, n;
	int err;

	while (at < l->n && !oracle_cmp(&l->v[at].p, p))
		at++;
	for (end = at; end < l->n && oracle_covers(p, &l->v[end].p); end++)
		;
	e.regions = xcalloc(1, sizeof(*e.regions));
	*e.regions = (struct class_region){ .p = *p, .class_ = class_around(l, p), .n = end - at };
	e.regions->v = xmalloc((end - at) * sizeof(*e.regions->v));
	memcpy(e.regions->v, l->v + at, (end - at) * sizeof(*e.regions->v));
	e.rows = xcalloc(e.nrows, sizeof(*e.rows));
	for (unsigned int k = 0; k < l->nclasses; k++)
		set_row(e.rows[k].policy, k);
	err = classtable_edit(&to, &e, changes, 65536, &n);
	image_edit_free(&e);
	edits++;
	if (err) {
		assert_int_equal(err, -ENOSPC);
		assert_int_equal(l->bank->trie_used, used);
		l->rebuilt++;
		fill(l, l->nlines / 8 + 64);
		return;
	}
	publish(l, changes, n);
}

static void same_class(const struct lab *l, const struct oracle_table *t, const struct prefix *host)
{
	unsigned int want = oracle_class(t, host);
	unsigned int got = oracle_packet_class(l->bank, l->map, l->first + l->bank->trie_used, host);

	lookups++;
	if (got == want)
		return;
	for (unsigned int i = 0; i < 16; i++)
		fprintf(stderr, "%02x", host->addr[i]);
	fail_msg(" IPv%u: class %u expected, the packet path says %u", host->family, want, got);
}

static void check_edges(const struct lab *l, const struct oracle_table *t, const struct prefix *of)
{
	struct prefix host[5] = { oracle_first(of), oracle_last(of), oracle_inside(of) };

	host[3] = oracle_beside(&host[0], -1);
	host[4] = oracle_beside(&host[1], 1);
	for (int i = 0; i < 5; i++)
		same_class(l, t, &host[i]);
}

static void check_edges_now(const struct lab *l, const struct prefix *of)
{
	struct oracle_table *t = oracle_table_new(l->v, l->n);

	check_edges(l, t, of);
	oracle_table_free(t);
}

/* All edges when there are few, some of them when there are many. */
static void check(const struct lab *l, size_t most)
{
	struct oracle_table *t = oracle_table_new(l->v, l->n);

	for (size_t i = 0; i < l->n && i < most; i++)
		check_edges(l, t, &l->v[l->n <= most ? i : oracle_below(l->n)].p);
	for (size_t i = 0; i < most / 10 + 10; i++) {
		struct prefix host = i % 2 ? oracle_prefix(4, 32) : oracle_prefix(6, 128);

		same_class(l, t, &host);
	}
	oracle_table_free(t);
}

/* One that is there, or one that has to do with what is there, or any. */
static struct prefix some_prefix(const struct lab *l, unsigned int shortest)
{
	struct class_prefix crowd[4];
	struct prefix p;
	size_t n;

	do {
		if (l->n && oracle_below(3)) {
			p = l->v[oracle_below(l->n)].p;
			if (oracle_below(3) == 0) {
				p = oracle_inside(&p);
				p.len = oracle_below(p.len) + 1;
			} else if (oracle_below(3) == 0 && p.len > 1) {
				p.len -= 1 + oracle_below(p.len < 8 ? p.len - 1 : 7);
			}
		} else {
			n = oracle_crowd(crowd, 4, 2);
			p = crowd[n - 1].p;
		}
	} while (p.len < shortest);
	oracle_mask(&p);
	return p;
}

static void step(struct lab *l, unsigned int shortest)
{
	struct prefix p = some_prefix(l, shortest);
	size_t at = place_of(l, &p);
	bool has = at < l->n && !oracle_cmp(&l->v[at].p, &p);

	list_set(l, &p, has && oracle_below(4) ? -1 : (int)oracle_below(l->nclasses));
	edit(l, &p);
}

static void test_small_tables_after_every_edit(void **state)
{
	(void)state;
	oracle_seed(11);
	for (int round = 0; round < 200; round++) {
		struct lab l = { .v = xmalloc(64 * sizeof(*l.v)), .nclasses = 2 + oracle_below(4) };

		l.n = oracle_crowd(l.v, oracle_below(65), l.nclasses);
		fill(&l, oracle_below(400));
		for (int i = 0; i < 40; i++) {
			step(&l, 0);
			check(&l, 300);
		}
		drop(&l);
	}
	print_message("           %zu edits, %zu look-ups, no difference\n", edits, lookups);
}

static void churn(size_t n, unsigned int times, unsigned int shortest)
{
	struct lab l = { .v = xmalloc(n * sizeof(*l.v)), .nclasses = 2 + oracle_below(1022) };
	double start, ms = 0;

	l.n = oracle_crowd(l.v, n, l.nclasses);
	fill(&l, n / 40 + 200);
	for (unsigned int i = 0; i < times; i++) {
		start = oracle_now_ms();
		step(&l, shortest);
		ms += oracle_now_ms() - start;
		if (i % (times / 4) == times / 4 - 1)
			check(&l, n < 20000 ? n : 20000);
	}
	print_message("           %7zu prefixes: %u edits, %.3f ms each with the test's own list; rebuilt %u times\n", l.n, times,
		      ms / times, l.rebuilt);
	drop(&l);
}

static void test_large_tables_after_many_edits(void **state)
{
	(void)state;
	oracle_seed(12);
	churn(1000, 2000, 0);
	churn(1000, 2000, 0);
	churn(50000, 2000, 9);
	churn(50000, 2000, 9);
	churn(1700000, 400, 17);
	print_message("           %zu edits, %zu look-ups, no difference\n", edits, lookups);
}

/* As they are in `now`: bits are set where they stand, for to a reader one more says nothing. */
static void copy_bits(const struct lab *l, union mxdp_line *to, const union mxdp_line *now)
{
	uint32_t first = l->first + l->bank->named4;

	if (l->bank->named4)
		memcpy(to + first, now + first, MXDP_NAMED4_LINES(l->bank->named4_shift) * sizeof(*to));
}

/* A reader in the middle of its walk holds lines of the table before: they stay as they are while the bank lives. */
static void test_no_line_in_use_is_ever_written(void **state)
{
	struct lab l = { .v = xmalloc(5000 * sizeof(*l.v)), .nclasses = 9 };
	__cleanup_free union mxdp_line *before = NULL;

	(void)state;
	oracle_seed(13);
	l.n = oracle_crowd(l.v, 5000, 9);
	fill(&l, 200000);
	assert_true(l.bank->named4);
	for (int i = 0; i < 500; i++) {
		size_t used = (l.first + l.bank->trie_used) * sizeof(*before);
		unsigned int rebuilt = l.rebuilt;

		free(before);
		before = xmalloc(used);
		memcpy(before, l.map, used);
		step(&l, 0);
		if (l.rebuilt > rebuilt)
			continue; /* in another bank, for wider prefixes than the bits were made for */
		copy_bits(&l, before, l.map);
		assert_memory_equal(before, l.map, used);
	}
	assert_true(l.rebuilt < 100);
	drop(&l);
}

static bool bit_of(const struct lab *l, uint32_t a)
{
	uint32_t bit = MXDP_NAMED4(l->bank, a);
	const union mxdp_line *line = &l->map[l->first + l->bank->named4 + MXDP_NAMED_LINE(bit)];

	return !(~line->cell[MXDP_NAMED_CELL(bit)] & MXDP_NAMED4_BITS(bit, a));
}

/* Every /24: bits that are set where a prefix of the list has to do with it, and hardly anywhere else when the table is new. */
static void check_bits(const struct lab *l, bool is_new)
{
	uint8_t *named = xcalloc(1 << 24, 1);
	size_t set = 0, wrong = 0;

	for (size_t i = 0; i < l->n; i++) {
		const struct prefix *p = &l->v[i].p;
		uint32_t at = p->addr[0] << 16 | p->addr[1] << 8 | p->addr[2], many = p->len < 24 ? 1u << (24 - p->len) : 1;

		if (p->family == 4 && p->len <= 24)
			memset(named + at, l->v[i].class_ != 0, many);
		else if (p->family == 4)
			named[at] |= l->v[i].class_ != 0;
	}
	for (uint32_t at = 0; at < 1 << 24; at++) {
		bool bit = bit_of(l, at << 8);

		set += bit;
		wrong += bit && !named[at];
		if (named[at] && !bit)
			fail_msg("the bits of %u.%u.%u.0/24 are clear", at >> 16, at >> 8 & 255, at & 255);
	}
	print_message("           %zu prefixes, %u bits: %zu of 16777216 are looked for further, %zu of them in vain\n", l->n,
		      1u << (32 - l->bank->named4_shift), set, wrong);
	/* each with a bit of its own: none; else one in twelve is more than two bits of 22 in a hundred make */
	if (is_new)
		assert_true(wrong <= (l->bank->named4_factor == 1 ? 0u : (1u << 24) / 12));
	free(named);
}

static void bits_keep_up(size_t n, int times)
{
	struct lab l = { .v = xmalloc((n + times) * sizeof(*l.v)), .nclasses = 4 };

	l.n = oracle_blocklist(l.v, n);
	fill(&l, 200000);
	assert_true(l.bank->named4 > 0);
	check_bits(&l, true);
	for (int i = 0; i < times; i++) {
		struct prefix p = i % 100 == 99 ? oracle_prefix(4, 4 + oracle_below(12)) : i % 2 ? some_prefix(&l, 13) :
				  oracle_prefix(4, 17 + oracle_below(16));
		size_t at = place_of(&l, &p);
		bool has = at < l.n && !oracle_cmp(&l.v[at].p, &p);

		list_set(&l, &p, has && oracle_below(4) ? -1 : (int)oracle_below(l.nclasses));
		edit(&l, &p);
		check_edges_now(&l, &p);
		if (i % 250 == 0)
			check_bits(&l, false);
	}
	check_bits(&l, false);
	check(&l, 60000);
	drop(&l);
}

/* The bits before IPv4 lists: nothing is missing when they are made, and edits of any width set theirs before they are seen. */
static void test_bits_of_ip4_keep_up_with_edits(void **state)
{
	(void)state;
	oracle_seed(15);
	bits_keep_up(300, 1500);
	bits_keep_up(60000, 1500);
	bits_keep_up(1500000, 200);
}

/* A table of bits that was made for a few prefixes is made anew before so many are added that it says nothing. */
static void test_bits_of_ip4_grow_with_the_list(void **state)
{
	struct lab l = { .v = xmalloc(6010 * sizeof(*l.v)), .nclasses = 4 };

	(void)state;
	oracle_seed(17);
	l.n = oracle_blocklist(l.v, 10);
	fill(&l, 200000);
	for (int i = 0; i < 6000; i++) {
		struct prefix p = oracle_prefix(4, 24 + oracle_below(9));

		list_set(&l, &p, 1);
		edit(&l, &p);
		assert_true(l.bank->named4_set <= (1u << (32 - l.bank->named4_shift - 1)) + 512);
	}
	assert_in_range(l.rebuilt, 1, 10);
	check_bits(&l, false);
	check(&l, 60000);
	drop(&l);
}

/* The same for IPv6: all in a few /16, some of which lie inside what a wider prefix says, among them what it says of one /16. */
static void test_bits_of_ip6_keep_up_with_edits(void **state)
{
	static const unsigned int lens[] = { 64, 48, 32, 128, 29, 40 };
	struct lab l = { .v = xmalloc(40000 * sizeof(*l.v)), .nclasses = 4 };
	struct prefix wide = { .family = 6, .len = 14, .addr = { 0x24 } }, one = { .family = 6, .len = 16, .addr = { 0x2a, 0x01 } };
	unsigned int clear = 0;

	(void)state;
	oracle_seed(16);
	for (int i = 0; i < 30000; i++) {
		struct prefix p = oracle_prefix(6, lens[oracle_below(6)]);

		p.addr[0] = i % 50 ? 0x2a : 0x24;
		p.addr[1] = oracle_below(4);
		list_set(&l, &p, 1 + oracle_below(3));
	}
	list_set(&l, &wide, 2);
	fill(&l, 300000);
	assert_true(l.bank->named6 > 0);
	check(&l, 60000);
	for (int i = 0; i < 1500; i++) {
		struct prefix p = i == 300 ? one : i % 100 == 99 ? oracle_prefix(6, 8 + oracle_below(12)) :
				  i % 2 ? some_prefix(&l, 20) : oracle_prefix(6, 24 + oracle_below(105));
		size_t at;
		bool has;

		if (i % 3) {
			p.addr[0] = oracle_below(2) ? 0x2a : 0x24;
			p.addr[1] = oracle_below(6);
			oracle_mask(&p);
		}
		at = place_of(&l, &p);
		has = at < l.n && !oracle_cmp(&l.v[at].p, &p);
		list_set(&l, &p, has && oracle_below(4) ? -1 : (int)oracle_below(l.nclasses));
		edit(&l, &p);
		check_edges_now(&l, &p);
		if (i % 250 == 0)
			check(&l, 3000);
	}
	check(&l, 60000);
	for (int i = 0; i < 10000; i++) {
		uint32_t bit = MXDP_NAMED6(0x2a000000u + oracle_below(1 << 18));
		const union mxdp_line *line = &l.map[l.first + l.bank->named6 + MXDP_NAMED_LINE(bit)];

		clear += !(line->cell[MXDP_NAMED_CELL(bit)] & MXDP_NAMED6_BITS(bit));
	}
	print_message("           %zu prefixes: %u of 10000 are known by a bit; rebuilt %u times\n", l.n, clear, l.rebuilt);
	drop(&l);
}

/* Adding what is not there and taking it back leaves every address as it was, and little behind. */
static void test_adding_and_removing_the_same(void **state)
{
	struct lab l = { .v = xmalloc(20000 * sizeof(*l.v)), .nclasses = 5 };
	uint32_t used;

	(void)state;
	oracle_seed(14);
	l.n = oracle_crowd(l.v, 20000, 5);
	fill(&l, 100000);
	used = l.bank->trie_used;
	for (int i = 0; i < 1000; i++) {
		struct prefix p = oracle_prefix(i % 2 ? 4 : 6, i % 2 ? 32 : 64);

		list_set(&l, &p, 1 + oracle_below(4));
		edit(&l, &p);
		list_set(&l, &p, -1);
		edit(&l, &p);
	}
	check(&l, 20000);
	print_message("           %.1f lines an edit\n", (l.bank->trie_used - used) / 2000.0);
	assert_true(l.bank->trie_used - used < 2000 * 20);
	drop(&l);
}

static void test_no_room_changes_nothing(void **state)
{
	struct class_prefix v[] = { { .p = oracle_ip4(0x0a000000, 24), .class_ = 1 } };
	struct lab l = { .v = xmalloc(sizeof(v)), .n = 1, .nclasses = 2 };
	struct class_region region = { .p = oracle_ip4(0x0a000080, 25), .class_ = 2 };
	struct image_edit e = { .regions = &region, .nregions = 1, .nrows = 3, .rows = xcalloc(3, sizeof(*e.rows)) };
	struct dir_change changes[4];
	struct class_bank to;
	size_t n;

	(void)state;
	memcpy(l.v, v, sizeof(v));
	fill(&l, 0);
	for (unsigned int k = 0; k < 3; k++)
		set_row(e.rows[k].policy, k);
	to = (struct class_bank){ l.bank, l.map + l.first, l.nlines };
	assert_int_equal(classtable_edit(&to, &e, changes, 4, &n), -ENOSPC);
	check(&l, 10);
	/* nor for the class */
	fill(&l, 100);
	l.bank->classes_used = MXDP_CLASSES;
	region.class_ = 2;
	memset(l.bank->policy[2], 0, MXDP_SERVICES);
	to = (struct class_bank){ l.bank, l.map + l.first, l.nlines };
	assert_int_equal(classtable_edit(&to, &e, changes, 4, &n), -ENOSPC);
	/* nor to say what changed: 10/8 is 256 cells */
	region = (struct class_region){ .p = oracle_ip4(0x0a000000, 8), .class_ = 1 };
	assert_int_equal(classtable_edit(&to, &e, changes, 4, &n), -ENOSPC);
	check(&l, 10);
	free(e.rows);
	drop(&l);
}

/* A port that nobody could open is closed before its source is looked at: that is for a compilation to change. */
static void test_a_new_class_opens_no_port_and_says_that_some_are_blocked(void **state)
{
	struct lab l = { .nclasses = 1 };
	struct class_region region = { .p = oracle_ip4(0x0a000000, 24), .class_ = 0 };
	struct class_row rows[2] = { { .policy = { [7] = MXDP_CELL_ALLOW } }, { .flags = MXDP_CLASS_BLOCKED } };
	struct image_edit e = { .regions = &region, .nregions = 1, .nrows = 2, .rows = rows };
	struct dir_change changes[4];
	struct class_bank to;
	size_t n;

	(void)state;
	fill(&l, 100);
	l.bank->port[25] = 7 | MXDP_PORT_CLOSED;
	l.bank->port[26] = 8 | MXDP_PORT_CLOSED;
	to = (struct class_bank){ l.bank, l.map + l.first, l.nlines };
	assert_int_equal(classtable_edit(&to, &e, changes, 4, &n), -ENOSPC);
	assert_int_equal(l.bank->port[25], 7 | MXDP_PORT_CLOSED);
	assert_int_equal(l.bank->trie_used, 0);
	l.bank->port[25] = 7;
	assert_int_equal(classtable_edit(&to, &e, changes, 4, &n), 0);
	assert_true(l.bank->flags & MXDP_BANK_BLOCKS);
	assert_int_equal(n, 1);
	assert_int_equal(l.bank->classes_used, 3);
	assert_int_equal(l.bank->policy[1][7], MXDP_CELL_ALLOW);
	assert_int_equal(l.bank->class_flags[2], MXDP_CLASS_BLOCKED);
	drop(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_small_tables_after_every_edit),
		cmocka_unit_test(test_large_tables_after_many_edits),
		cmocka_unit_test(test_no_line_in_use_is_ever_written),
		cmocka_unit_test(test_bits_of_ip4_keep_up_with_edits),
		cmocka_unit_test(test_bits_of_ip4_grow_with_the_list),
		cmocka_unit_test(test_bits_of_ip6_keep_up_with_edits),
		cmocka_unit_test(test_adding_and_removing_the_same),
		cmocka_unit_test(test_no_room_changes_nothing),
		cmocka_unit_test(test_a_new_class_opens_no_port_and_says_that_some_are_blocked),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
