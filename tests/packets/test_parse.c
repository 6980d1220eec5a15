// SPDX-License-Identifier: GPL-2.0-only
/* Table A: see rows_parse.c; here is what a row cannot say. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include "rows.h"

static void frames_are_taken_apart_as_table_a_says(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rows_run(g, &rows_parse);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

static void expect_single_buffer(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	if (f->len < 3000)
		rows_expect(r, f, family, arg);
}

/* An older kernel, or a driver without multi-buffer frames, gets the program without xdp.frags. */
static void without_frags_the_answers_are_the_same(void **state)
{
	struct rig *g = rig_new(&(struct rig_options){ .no_frags = true });

	(void)state;
	rig_policy(g, rows_sentences);
	for (unsigned int i = 0; i < ROWS_TABLES; i++)
		rows_each(rows_all[i], expect_single_buffer, g);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

/*
 * A20, W30: the first buffer of a multi-buffer frame ends anywhere. The verdict is that of the whole frame when the
 * headers are in the first buffer, and header-split when they are not; never does a closed port slip through.
 */
static void headers_split_across_buffers_are_dropped_as_such(void **state)
{
	static struct crafted f;
	struct rig *g = rig_new(NULL);
	unsigned int before;

	(void)state;
	rig_policy(g, rows_sentences);
	for (unsigned int i = 0; i < 2 * TAG_FORMS; i++) {
		struct craft c = { .family = i & 1 ? 6 : 4, .tags = i / 2, .payload = 100 };

		craft(&c, &f);
		before = g->failed;
		for (size_t linear = f.l3; linear < f.l4 + 24 && g->failed == before; linear++) {
			struct rig_run r = { .frame = f.b, .len = f.len, .linear = linear };
			char what[128];

			if (!g->sent && rig_run(g, &r) < 0) {
				puts("  this kernel chooses the first buffer itself in test runs (before 6.18): "
				     "nothing shown");
				skip();
			}
			if (g->sent == 1)
				rig_adds_up_unseen(g);
			snprintf(what, sizeof(what), "A20 headers end at %zu, the first buffer at %zu", f.l4 + 20,
				 linear);
			rig_expect(g, what, &r, c.family,
				   linear < f.l4 + 20 ? SAYS(DROP(HEADER_SPLIT, NONE)) : SAYS(PASS(ALLOWED, SMTP)));
		}
	}
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(frames_are_taken_apart_as_table_a_says),
		cmocka_unit_test(without_frags_the_answers_are_the_same),
		cmocka_unit_test(headers_split_across_buffers_are_dropped_as_such),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
