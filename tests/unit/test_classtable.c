// SPDX-License-Identifier: GPL-2.0-only
/* The class table: every address gets the class of its longest prefix, wherever the lines are put. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "oracle.h"

/* A table as it lies in the kernel: lines of others, these, lines of others. */
struct placed {
	struct mxdp_bank *bank;
	union mxdp_line *map;
	size_t nlines;
};

static void build(struct image *img, const struct class_prefix *v, size_t n)
{
	struct diag d = { 0 };

	*img = (struct image){ .bank = xcalloc(1, sizeof(*img->bank)) };
	assert_int_equal(classtable_build(img, v, n, &d), 0);
	assert_int_equal(img->nprefixes, n);
	assert_int_equal(d.n, 0);
}

static void free_image(struct image *img)
{
	free(img->bank);
	free(img->lines);
}

static void place(struct placed *p, const struct image *img, uint32_t first)
{
	size_t behind = 16;

	p->bank = xmalloc(sizeof(*p->bank));
	memset(p->bank, 0xff, sizeof(*p->bank));
	p->nlines = first + img->nlines + behind;
	p->map = xmalloc(p->nlines * sizeof(*p->map));
	memset(p->map, 0xff, p->nlines * sizeof(*p->map));
	memcpy(p->map + first, img->lines, img->nlines * sizeof(*img->lines));
	image_place_bank(img, first, 77, p->bank);
}

static void free_placed(struct placed *p)
{
	free(p->bank);
	free(p->map);
}

static size_t lookups;

static void same_class(const struct image *img, const struct placed *p, unsigned int want, const struct prefix *host)
{
	unsigned int got = image_class(img, host), packet = oracle_packet_class(p->bank, p->map, p->nlines, host);

	lookups++;
	if (got == want && packet == want)
		return;
	for (unsigned int i = 0; i < 16; i++)
		fprintf(stderr, "%02x", host->addr[i]);
	fail_msg(" IPv%u: class %u expected, image says %u, the packet path %u", host->family, want, got, packet);
}

static void check_edges(const struct image *img, const struct placed *p, const struct oracle_table *t,
			const struct prefix *of)
{
	struct prefix host[5] = { oracle_first(of), oracle_last(of), oracle_inside(of) };

	host[3] = oracle_beside(&host[0], -1);
	host[4] = oracle_beside(&host[1], 1);
	for (int i = 0; i < 5; i++)
		same_class(img, p, oracle_class(t, &host[i]), &host[i]);
}

static void check_random(const struct image *img, const struct placed *p, const struct oracle_table *t, size_t times)
{
	for (size_t i = 0; i < times; i++) {
		struct prefix host = i % 2 ? oracle_prefix(4, 32) : oracle_prefix(6, 128);

		same_class(img, p, oracle_class(t, &host), &host);
	}
}

static void check_all(const struct class_prefix *v, size_t n, size_t times)
{
	struct oracle_table *t = oracle_table_new(v, n);
	struct placed p;
	struct image img;

	build(&img, v, n);
	place(&p, &img, 2 + oracle_below(5000));
	for (size_t i = 0; i < n; i++)
		check_edges(&img, &p, t, &v[i].p);
	check_random(&img, &p, t, times);
	free_placed(&p);
	free_image(&img);
	oracle_table_free(t);
}

static void test_small_tables_agree_with_reading_every_prefix(void **state)
{
	struct class_prefix v[64];

	(void)state;
	oracle_seed(1);
	for (int round = 0; round < 3000; round++) {
		size_t n = oracle_crowd(v, oracle_below(65), 1 + oracle_below(6));
		struct oracle_table *t = oracle_table_new(v, n);
		struct placed p;
		struct image img;

		build(&img, v, n);
		place(&p, &img, 2 + oracle_below(100));
		for (size_t i = 0; i < n; i++) {
			struct prefix host = oracle_inside(&v[i].p);
			unsigned int want = oracle_class_slow(v, n, &host);

			assert_int_equal(oracle_class(t, &host), want);
			same_class(&img, &p, want, &host);
			check_edges(&img, &p, t, &v[i].p);
		}
		check_random(&img, &p, t, 20);
		free_placed(&p);
		free_image(&img);
		oracle_table_free(t);
	}
}

static void test_every_address_gets_its_longest_prefix(void **state)
{
	static const size_t sizes[] = { 1,    2,     5,     100,   1000,   1000,   1000,  1000,
					10000, 10000, 10000, 10000, 100000, 100000, 100000 };
	struct class_prefix *v = xmalloc(100000 * sizeof(*v));

	(void)state;
	oracle_seed(2);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		check_all(v, oracle_crowd(v, sizes[i], 2 + oracle_below(1022)), 100000);
	print_message("           %zu look-ups so far, no difference\n", lookups);
	free(v);
}

static void test_a_million_prefixes(void **state)
{
	size_t n = 1700000; /* duplicates fall out */
	struct class_prefix *v = xmalloc(n * sizeof(*v));

	(void)state;
	oracle_seed(3);
	n = oracle_crowd(v, n, 1024);
	assert_true(n > 1000000);
	check_all(v, n, 1000000);
	print_message("           %zu prefixes; %zu look-ups so far, no difference\n", n, lookups);
	free(v);
}

static void test_an_empty_table_says_class_0_and_needs_no_line(void **state)
{
	struct placed p;
	struct image img;

	(void)state;
	build(&img, NULL, 0);
	assert_int_equal(img.nlines, 0);
	place(&p, &img, 2);
	for (int i = 0; i < 1000; i++) {
		struct prefix host = i % 2 ? oracle_prefix(4, 32) : oracle_prefix(6, 128);

		same_class(&img, &p, 0, &host);
	}
	free_placed(&p);
	free_image(&img);
}

static void test_a_default_route_covers_everything(void **state)
{
	struct class_prefix v[] = {
		{ .p = { .family = 4, .len = 0 }, .class_ = 5 },
		{ .p = { .family = 4, .len = 32 }, .class_ = 6 },
		{ .p = { .family = 4, .len = 32, .addr = { 255, 255, 255, 255 } }, .class_ = 7 },
		{ .p = { .family = 6, .len = 0 }, .class_ = 8 },
		{ .p = { .family = 6, .len = 128 }, .class_ = 9 },
	};

	(void)state;
	check_all(v, 5, 10000);
}

/* Those of the bits, which come last. */
static uint32_t bit_lines(const struct mxdp_bank *b)
{
	assert_true(b->named4);
	return b->named4 + MXDP_NAMED4_LINES(b->named4_shift);
}

static void test_what_changes_nothing_needs_no_line(void **state)
{
	struct class_prefix v[] = {
		{ .p = oracle_ip4(0x0a000000, 15), .class_ = 1 },
		{ .p = oracle_ip4(0x0a000000, 18), .class_ = 1 },
		{ .p = oracle_ip4(0x0a000100, 24), .class_ = 1 },
		{ .p = oracle_ip4(0x0a000102, 32), .class_ = 1 },
	};
	struct image img;

	(void)state;
	build(&img, v, 1);
	assert_int_equal(img.nlines, bit_lines(img.bank));
	free_image(&img);
	build(&img, v, 4);
	assert_int_equal(img.nlines, bit_lines(img.bank));
	assert_int_equal(img.bank->named4, 1); /* the compiler leaves such prefixes out, so tails need not look for them */
	free_image(&img);
	check_all(v, 4, 1000);
}

static void test_placing_touches_only_its_own_lines_and_stamps_the_epoch(void **state)
{
	struct class_prefix v[500];
	union mxdp_line poison;
	struct placed p;
	struct image img;
	size_t n;

	(void)state;
	oracle_seed(4);
	memset(&poison, 0xff, sizeof(poison));
	n = oracle_crowd(v, 500, 50);
	build(&img, v, n);
	img.bank->flags = MXDP_BANK_OBSERVE;
	img.bank->port[25] = 17;
	img.bank->policy[3][17] = MXDP_CELL_ALLOW;
	place(&p, &img, 1000);
	for (size_t i = 0; i < p.nlines; i++)
		if (i < 1000 || i >= 1000 + img.nlines)
			assert_memory_equal(&p.map[i], &poison, sizeof(poison));
	assert_int_equal(p.bank->epoch, 77);
	assert_int_equal(p.bank->flags, MXDP_BANK_OBSERVE);
	assert_int_equal(p.bank->port[25], 17);
	assert_int_equal(p.bank->policy[3][17], MXDP_CELL_ALLOW);
	assert_int_equal(img.bank->epoch, 0);
	free_placed(&p);
	free_image(&img);
}

/* A blocked IPv4 address in the clothes of 6to4 or NAT64 stays blocked; any other has the class of its IPv6 address. */
static void test_blocked_ip4_in_ip6_clothes(void **state)
{
	struct class_prefix v[] = {
		{ .p = oracle_ip4(0xc0000200, 24), .class_ = 1 },
		{ .p = oracle_ip4(0xc6336400, 24), .class_ = 2 },
		{ .p = { .family = 6, .len = 96, .addr = { 0x00, 0x64, 0xff, 0x9b } }, .class_ = 4 },
		{ .p = { .family = 6, .len = 16, .addr = { 0x20, 0x02 } }, .class_ = 3 },
	};
	/* blocked for the IPv4 address inside; the class, and all that it grants, is the IPv6 address's own */
	struct { uint8_t addr[16]; unsigned int class_; bool blocked; } rows[] = {
		{ { 0x20, 0x02, 192, 0, 2, 9, 1 }, 3, true },
		{ { 0x20, 0x02, 198, 51, 100, 9, 1 }, 3, false },
		{ { 0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 192, 0, 2, 9 }, 4, true },
		{ { 0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 0, 198, 51, 100, 9 }, 4, false },
		{ { 0x00, 0x64, 0xff, 0x9b, 0, 0, 0, 0, 0, 0, 0, 1, 192, 0, 2, 9 }, 0, false },
		{ { 0x20, 0x01, 192, 0, 2, 9 }, 0, false },
	};
	struct placed p;
	struct image img;

	(void)state;
	build(&img, v, 4);
	img.bank->class_flags[1] = MXDP_CLASS_BLOCKED;
	img.bank->flags = MXDP_BANK_BLOCKS;
	place(&p, &img, 9);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix host = { .family = 6, .len = 128 };

		memcpy(host.addr, rows[i].addr, 16);
		same_class(&img, &p, rows[i].class_, &host);
		assert_int_equal(oracle_packet_reason(p.bank, p.map, p.nlines, &host, 25, true) == MXDP_R_BLOCKED,
				 rows[i].blocked);
	}
	free_placed(&p);
	free_image(&img);
}

/* What keeps a long list's part of the cache small: the cells of its runs are not read for the three commonest classes. */
static void test_a_node_of_few_classes_needs_no_other_line(void **state)
{
	static const unsigned int classes[] = { 1000, 7, 1000, 7, 3 }; /* and 0, of which half the places are */
	struct class_prefix v[128];
	union mxdp_line *whole;
	unsigned int node, far = 0;
	struct image img;

	(void)state;
	for (unsigned int i = 0; i < 128; i++)
		v[i] = (struct class_prefix){ .p = oracle_ip4(0x0a000000 | (2 * i + 1) << 8, 24), .class_ = classes[i % 5] };
	build(&img, v, 128);
	node = img.bank->dir4[0x0a00] & ~MXDP_NODE;
	assert_true(img.bank->dir4[0x0a00] & MXDP_NODE);
	whole = xmalloc(img.nlines * sizeof(*whole));
	memcpy(whole, img.lines, img.nlines * sizeof(*whole));
	for (uint32_t i = 0; i < img.nlines; i++)
		if (i != node)
			memset(&img.lines[i], 0xff, sizeof(img.lines[i]));
	for (unsigned int place = 0; place < MXDP_NODE_CODES; place++) {
		struct prefix host = oracle_ip4(0x0a000000 | place << 8 | 9, 32);
		unsigned int want = place & 1 ? classes[place / 2 % 5] : 0;

		if (want == 3) {
			far++;
			continue;
		}
		assert_int_equal(image_class(&img, &host), want);
	}
	assert_int_equal(far, 8);
	memcpy(img.lines, whole, img.nlines * sizeof(*whole));
	for (unsigned int place = 0; place < 256; place++) {
		struct prefix host = oracle_ip4(0x0a000000 | place << 8 | 9, 32);

		assert_int_equal(image_class(&img, &host), place & 1 ? classes[place / 2 % 5] : 0);
	}
	free(whole);
	free_image(&img);
	check_all(v, 128, 1000);
}

static size_t figures(const char *what, const struct class_prefix *v, size_t n)
{
	double start = oracle_now_ms(), ms;
	struct image img;
	size_t lines;

	build(&img, v, n);
	ms = oracle_now_ms() - start;
	lines = img.nlines;
	print_message("           %-36s %7zu prefixes: %6.2f MiB, %5.1f bytes each, built in %.0f ms\n", what, n,
		      lines / 16384.0, lines * 64.0 / n, ms);
	free_image(&img);
	return lines * sizeof(union mxdp_line);
}

static int by_prefix(const void *a, const void *b)
{
	return oracle_cmp(&((const struct class_prefix *)a)->p, &((const struct class_prefix *)b)->p);
}

/* Random ones of up to four lengths by turns, all inside `home`. Sorted; those that came twice are out. */
static size_t ip6_sites(struct class_prefix *v, size_t n, struct prefix home, const unsigned int *lens, size_t nlens)
{
	size_t left = 0;

	for (size_t i = 0; i < n; i++) {
		v[i] = (struct class_prefix){ .p = oracle_inside(&home), .class_ = 1 };
		v[i].p.len = lens[i % nlens];
		oracle_mask(&v[i].p);
	}
	qsort(v, n, sizeof(*v), by_prefix);
	for (size_t i = 0; i < n; i++)
		if (!left || oracle_cmp(&v[left - 1].p, &v[i].p))
			v[left++] = v[i];
	return left;
}

/* Groups of hosts in one /64 each, as crowded as they come: `crowd` a group. */
static size_t ip6_groups(struct class_prefix *v, size_t n, unsigned int crowd)
{
	struct prefix home = { .family = 6, .len = 3, .addr = { 0x20 } }, group = home;

	for (size_t i = 0; i < n; i++) {
		if (i % crowd == 0) {
			group = oracle_inside(&home);
			group.len = 64;
			oracle_mask(&group);
		}
		v[i] = (struct class_prefix){ .p = oracle_inside(&group), .class_ = 1 };
	}
	qsort(v, n, sizeof(*v), by_prefix);
	return n;
}

/*
 * The hot tables together should stay below 6 MiB (measurements: beyond it a line costs 70 ns instead of 7 to 28). Two
 * banks and the stored lists, 17 bytes a prefix at most, have 96 MiB together.
 */
static void test_lists_stay_small(void **state)
{
	static const struct {
		const char *what;
		unsigned int home; /* bits of 2001:db8:: that all share */
		unsigned int lens[4];
		size_t nlens;
	} rows[] = {
		{ "IPv6 /48, anywhere", 3, { 48 }, 1 },
		{ "IPv6 /56, anywhere", 3, { 56 }, 1 },
		{ "IPv6 /64, anywhere", 3, { 64 }, 1 },
		{ "IPv6 /128, anywhere", 3, { 128 }, 1 },
		{ "IPv6 /32 /48 /56 /64, anywhere", 3, { 32, 48, 56, 64 }, 4 },
		{ "IPv6 /64, in one /32", 32, { 64 }, 1 },
		{ "IPv6 /128, in one /32", 32, { 128 }, 1 },
		{ "IPv6 /48 /56 /64 /128, in one /32", 32, { 48, 56, 64, 128 }, 4 },
		{ "IPv6 /128, in one /64", 64, { 128 }, 1 },
		{ "IPv6 /128, in one /96", 96, { 128 }, 1 },
	};
	struct class_prefix *v = xmalloc(1000000 * sizeof(*v));
	const size_t most = 32u << 20;

	(void)state;
	oracle_seed(5);
	assert_true(figures("IPv4, as published lists", v, oracle_blocklist(v, 100000)) < 5u << 20); /* two of them its bits */
	assert_true(figures("IPv4, as published lists", v, oracle_blocklist(v, 1000000)) < 16u << 20);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct prefix home = { .family = 6, .len = rows[i].home, .addr = { 0x20, 0x01, 0x0d, 0xb8 } };

		oracle_mask(&home);
		assert_true(figures(rows[i].what, v, ip6_sites(v, 1000000, home, rows[i].lens, rows[i].nlens)) < most);
	}
	for (unsigned int crowd = 2; crowd < 33; crowd *= 2) {
		char what[48];

		snprintf(what, sizeof(what), "IPv6 /128, %u in a /64, anywhere", crowd);
		assert_true(figures(what, v, ip6_groups(v, 1000000, crowd)) < most);
	}
	free(v);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_an_empty_table_says_class_0_and_needs_no_line),
		cmocka_unit_test(test_a_default_route_covers_everything),
		cmocka_unit_test(test_small_tables_agree_with_reading_every_prefix),
		cmocka_unit_test(test_every_address_gets_its_longest_prefix),
		cmocka_unit_test(test_a_million_prefixes),
		cmocka_unit_test(test_what_changes_nothing_needs_no_line),
		cmocka_unit_test(test_placing_touches_only_its_own_lines_and_stamps_the_epoch),
		cmocka_unit_test(test_blocked_ip4_in_ip6_clothes),
		cmocka_unit_test(test_a_node_of_few_classes_needs_no_other_line),
		cmocka_unit_test(test_lists_stay_small),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
