// SPDX-License-Identifier: GPL-2.0-only
/* Table B: see rows_fragments.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "rows.h"

static void fragments_are_judged_as_table_b_says(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rows_run(g, &rows_fragments);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

/* B6: 100,000 first fragments that never end, each with another id. Nothing is remembered, nothing changes. */
static void a_flood_of_first_fragments_leaves_no_trace(void **state)
{
	static struct crafted f;
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g, rows_sentences);
	for (unsigned int family = 4; family <= 6; family += 2) {
		craft(&(struct craft){ .family = family, .frag = true, .more = true, .payload = 40, .flags = ACK }, &f);
		for (unsigned int i = 0; i < 50000; i++) {
			size_t id = family == 4 ? f.l3 + 4 : f.l4 - 4;

			f.b[id] = i >> 8;
			f.b[id + 1] = i;
			assert_int_equal(rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len }), XDP_DROP);
		}
	}
	assert_true(rig_adds_up_unseen(g));
	assert_true(rig_no_lease(g));
	craft(&(struct craft){ .family = 4, .frag = true, .more = true, .payload = 40 }, &f);
	rig_expect(g, "B6 an honest first fragment after the flood", &(struct rig_run){ .frame = f.b, .len = f.len }, 4,
		   SAYS(PASS(ALLOWED, SMTP)));
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fragments_are_judged_as_table_b_says),
		cmocka_unit_test(a_flood_of_first_fragments_leaves_no_trace),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
