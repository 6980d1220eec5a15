// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <zlib.h>
#include "told.h"
#include "sentences.h"

static const char whole[] =
	"interface eth0 mode auto\ndefault deny\nobserve\ntrack socket leases 128k\n"
	"admin ssh from @office, any comment \"us\"\nexempt 192.0.2.10, 2001:db8::/64\n"
	"allow smtp\nallow 25, 1000-2000 from 10.0.0.0/8, @office limit 30/min burst 60 connections 20 per /24 /56 "
	"global-limit 1000/s over ban 1h cookies always\ndeny any from 203.0.113.9\nblock @drop\n"
	"list office 203.0.113.0/24 2001:db8:40::/48\nlist drop 192.0.2.1 file lists/drop.txt min 1 max 9\n";

static void fill(struct rules *r)
{
	__cleanup_diag struct diag d = { 0 };

	assert_int_equal(parse(r, whole, &d), 0);
	r->v[2].at = (free(r->v[2].at.file), (struct origin){ 0 });
	r->nlists = 2;
	r->lists = xcalloc(2, sizeof(*r->lists));
	r->lists[0] = (struct list){ .name = xstrdup("office"), .n = 2, .v = xcalloc(2, sizeof(struct prefix)) };
	r->lists[0].v[0] = prefix_of("203.0.113.0/24");
	r->lists[0].v[1] = prefix_of("2001:db8:40::/48");
	r->lists[1] = (struct list){ .name = xstrdup("drop"), .path = xstrdup("/etc/mxdp/lists/caf\xe9"), .read_at = 1749000000 };
}

static void assert_same_text(const char *a, const char *b)
{
	assert_int_equal(!a, !b);
	if (a)
		assert_string_equal(a, b);
}

static void what_is_frozen_is_thawed_whole(void **state)
{
	__cleanup_rules struct rules r = { 0 }, s = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free void *blob = NULL;
	size_t len;

	(void)state;
	fill(&r);
	blob = rules_freeze(&r, &len);
	assert_int_equal(rules_thaw(&s, blob, len, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(s.n, r.n);
	for (size_t i = 0; i < r.n; i++) {
		assert_true(stmt_same(&r.v[i], &s.v[i]));
		assert_same_text(r.v[i].at.file, s.v[i].at.file);
		assert_int_equal(r.v[i].at.line, s.v[i].at.line);
		assert_int_equal(r.v[i].at.column, s.v[i].at.column);
		assert_same_text(r.v[i].comment, s.v[i].comment);
	}
	assert_int_equal(s.nlists, 2);
	for (size_t i = 0; i < 2; i++) {
		assert_string_equal(r.lists[i].name, s.lists[i].name);
		assert_same_text(r.lists[i].path, s.lists[i].path);
		assert_int_equal(r.lists[i].read_at, s.lists[i].read_at);
		assert_int_equal(r.lists[i].n, s.lists[i].n);
		for (size_t k = 0; k < r.lists[i].n; k++)
			assert_int_equal(prefix_cmp(&r.lists[i].v[k], &s.lists[i].v[k]), 0);
	}
}

static void frozen_again_it_is_the_same_blob(void **state)
{
	uint64_t seed = 4711;

	(void)state;
	for (int round = 0; round < 300; round++) {
		__cleanup_rules struct rules r = { 0 }, s = { 0 };
		__cleanup_diag struct diag d = { 0 };
		__cleanup_free void *a = NULL, *b = NULL;
		size_t na, nb;

		r.n = dice(&seed) % 20;
		r.v = xcalloc(r.n, sizeof(*r.v));
		for (size_t i = 0; i < r.n; i++)
			r.v[i] = any_sentence(&seed);
		a = rules_freeze(&r, &na);
		if (rules_thaw(&s, a, na, &d))
			fail_msg("round %d: %s", round, told(&d));
		b = rules_freeze(&s, &nb);
		assert_int_equal(na, nb);
		assert_memory_equal(a, b, na);
	}
}

static void no_rules_are_rules_too(void **state)
{
	__cleanup_rules struct rules r = { 0 }, s = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free void *blob = NULL;
	size_t len;

	(void)state;
	blob = rules_freeze(&r, &len);
	assert_int_equal(rules_thaw(&s, blob, len, &d), 0);
	assert_int_equal(s.n + s.nlists, 0);
}

static void zeros_behind_the_blob_are_no_harm(void **state)
{
	__cleanup_rules struct rules r = { 0 }, s = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free char *blob = NULL;
	size_t len;

	(void)state;
	fill(&r);
	blob = rules_freeze(&r, &len);
	blob = xrealloc(blob, len + 4096);
	memset(blob + len, 0, 4096);
	assert_int_equal(rules_thaw(&s, blob, len + 4096, &d), 0);
	rules_free(&s);
	blob[len + 4000] = 1;
	assert_int_equal(rules_thaw(&s, blob, len + 4096, &d), -EBADMSG);
}

#define DAMAGED "E: the rules kept in the kernel are damaged; `mxdp apply` puts the rules of the files in force"

static void every_damaged_byte_is_noticed(void **state)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_free uint8_t *blob = NULL;
	size_t len;

	(void)state;
	fill(&r);
	blob = rules_freeze(&r, &len);
	for (size_t i = 0; i < len; i++) {
		__cleanup_diag struct diag d = { 0 };
		struct rules s;

		blob[i] ^= 0x20;
		assert_int_equal(rules_thaw(&s, blob, len, &d), -EBADMSG);
		assert_int_equal(s.n, 0);
		assert_int_equal(d.errors, 1);
		blob[i] ^= 0x20;
	}
}

static void every_blob_cut_short_is_noticed(void **state)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_free uint8_t *blob = NULL;
	size_t len;

	(void)state;
	fill(&r);
	blob = rules_freeze(&r, &len);
	for (size_t i = 0; i < len; i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_free void *cut = xmalloc(i);
		struct rules s;

		memcpy(cut, blob, i);
		assert_int_equal(rules_thaw(&s, cut, i, &d), -EBADMSG);
		assert_string_equal(told(&d), DAMAGED);
	}
}

static void another_format_is_named(void **state)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free uint8_t *blob = NULL;
	struct rules s;
	size_t len;

	(void)state;
	fill(&r);
	blob = rules_freeze(&r, &len);
	blob[8] = 99;
	assert_int_equal(rules_thaw(&s, blob, len, &d), -EBADMSG);
	assert_string_equal(told(&d), "E: the rules kept in the kernel have format 99 and this mxdp knows format 4; `mxdp apply` puts "
				      "the rules of the files in force");
}

/* Damage with a checksum that is right: every byte is tried with several values, none may crash or be half believed. */
static void what_is_forged_is_refused_or_whole(void **state)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_free uint8_t *blob = NULL;
	static const uint8_t with[] = { 0x01, 0x02, 0x40, 0x80, 0xff };
	unsigned int refused = 0;
	size_t len;

	(void)state;
	fill(&r);
	blob = rules_freeze(&r, &len);
	for (size_t i = 24; i < len; i++) {
		for (size_t k = 0; k < sizeof(with); k++) {
			__cleanup_diag struct diag d = { 0 };
			__cleanup_rules struct rules s = { 0 };
			__cleanup_free void *again = NULL;
			uint32_t crc;
			size_t n;

			blob[i] ^= with[k];
			crc = crc32(0, blob + 24, len - 24);
			memcpy(blob + 12, &crc, 4);
			if (rules_thaw(&s, blob, len, &d)) {
				refused++;
				assert_int_equal(s.n, 0);
			} else {
				again = rules_freeze(&s, &n);
				assert_int_equal(n, len);
				assert_memory_equal(again, blob, len);
				for (size_t x = 0; x < s.n; x++) {
					__cleanup_free char *text = stmt_text(&s.v[x]);

					assert_non_null(text);
				}
			}
			blob[i] ^= with[k];
		}
	}
	assert_true(refused > 1000);
}

static void a_million_prefixes_take_five_bytes_each(void **state)
{
	__cleanup_rules struct rules r = { 0 }, s = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free void *blob = NULL;
	size_t n = 1000000, len;

	(void)state;
	r.nlists = 1;
	r.lists = xcalloc(1, sizeof(*r.lists));
	r.lists[0] = (struct list){ .name = xstrdup("big"), .n = n + 1000, .v = xcalloc(n + 1000, sizeof(struct prefix)) };
	for (size_t i = 0; i < n + 1000; i++) {
		struct prefix *p = &r.lists[0].v[i];

		*p = (struct prefix){ .family = i < n ? 4 : 6, .len = i < n ? 32 : 128 };
		p->addr[0] = 0x20 + (i >> 24);
		p->addr[1] = i >> 16;
		p->addr[2] = i >> 8;
		p->addr[3] = i;
	}
	blob = rules_freeze(&r, &len);
	assert_in_range(len, 5 * n + 17 * 1000, 5 * n + 17 * 1000 + 100);
	assert_int_equal(rules_thaw(&s, blob, len, &d), 0);
	assert_int_equal(s.lists[0].n, n + 1000);
	for (size_t i = 0; i < n + 1000; i++)
		assert_int_equal(prefix_cmp(&r.lists[0].v[i], &s.lists[0].v[i]), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_frozen_is_thawed_whole),
		cmocka_unit_test(frozen_again_it_is_the_same_blob),
		cmocka_unit_test(no_rules_are_rules_too),
		cmocka_unit_test(zeros_behind_the_blob_are_no_harm),
		cmocka_unit_test(every_damaged_byte_is_noticed),
		cmocka_unit_test(every_blob_cut_short_is_noticed),
		cmocka_unit_test(another_format_is_named),
		cmocka_unit_test(what_is_forged_is_refused_or_whole),
		cmocka_unit_test(a_million_prefixes_take_five_bytes_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
