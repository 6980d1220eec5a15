// SPDX-License-Identifier: GPL-2.0-only
/* Table F: see rows_neighbours.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include "rows.h"

static void neighbours_of_the_rule_set_are_treated_as_table_f_says(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rows_run(g, &rows_neighbours);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

struct essentials {
	struct rig *g;
	unsigned int n;
};

static void expect_same(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	struct essentials *e = arg;
	int why = r->says.reason;

	if (why != MXDP_R_NEIGHBOUR && why != MXDP_R_DHCP && why != MXDP_R_ICMP_ERROR && why != MXDP_R_ARP)
		return;
	e->n++;
	rig_expect(e->g, r->shows, &(struct rig_run){ .frame = f->b, .len = f->len }, family, r->says);
}

/* The sharpest policy that can be said. */
static void what_keeps_the_host_on_its_network_passes_when_everything_is_blocked(void **state)
{
	struct rig *g = rig_new(NULL);
	struct essentials e = { .g = g };

	(void)state;
	rig_policy(g, "block 0.0.0.0/1 128.0.0.0/1 ::/1 8000::/1\n");
	for (unsigned int i = 0; i < ROWS_TABLES; i++)
		rows_each(rows_all[i], expect_same, &e);
	assert_in_range(e.n, 100, 10000);
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(neighbours_of_the_rule_set_are_treated_as_table_f_says),
		cmocka_unit_test(what_keeps_the_host_on_its_network_passes_when_everything_is_blocked),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
