// SPDX-License-Identifier: GPL-2.0-only
/* A probe is judged like any packet, answered, counted nowhere and remembered nowhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>
#include <stdio.h>
#include "rows.h"

static unsigned int service_of(const struct rig *g, const char *key)
{
	for (unsigned int i = 1; key && i < MXDP_SERVICES; i++)
		if (!strcmp(g->service[i], key))
			return i;
	return 0;
}

static void probe_row(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	struct rig *g = arg;
	bool drops = r->says.verdict == XDP_DROP && !g->observe;
	struct mxdp_probe p = { .key = RIG_PROBE_KEY };
	static const struct row *failed;
	unsigned int before = g->failed;
	int got;

	if (f->len > 3000) /* metadata and many buffers: not on every kernel */
		return;
	g->quiet = r == failed;
	got = rig_run(g, &(struct rig_run){ .frame = f->b, .len = f->len, .probe = &p });
	rig_claim(g, got == (drops ? XDP_DROP : XDP_PASS), "%s (IPv%u): a probe's verdict is %d", r->shows, family,
		  got);
	rig_claim(g, p.reason == r->says.reason, "%s (IPv%u): a probe hears \"%s\", wanted \"%s\"", r->shows, family,
		  rig_reason_name(p.reason), rig_reason_name(r->says.reason));
	rig_claim(g, p.service == service_of(g, r->says.service), "%s: a probe hears service %u", r->shows, p.service);
	rig_claim(g, p.epoch == g->state->epoch, "%s: a probe hears epoch %u, in force is %u", r->shows, p.epoch,
		  g->state->epoch);
	if (g->failed > before)
		failed = r;
	g->quiet = false;
}

static void a_probe_hears_what_a_packet_would_suffer_and_leaves_no_trace(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	for (int observe = 0; observe < 2; observe++) {
		rig_policy(g, observe ? rows_sentences_observe : rows_sentences);
		for (unsigned int i = 0; i < ROWS_TABLES; i++)
			rows_each(rows_all[i], probe_row, g);
	}
	assert_int_equal(g->sent, 0);
	rig_adds_up(g);
	assert_true(rig_no_lease(g));
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

static unsigned int class_heard(struct rig *g, enum craft_who from, unsigned int family)
{
	static struct crafted f;
	struct mxdp_probe p = { .key = RIG_PROBE_KEY };
	int got;

	craft(&(struct craft){ .family = family, .from = from }, &f);
	got = rig_run(g, &(struct rig_run){ .frame = f.b, .len = f.len, .probe = &p });
	assert_true(got == XDP_PASS || got == XDP_DROP);
	return p.class_;
}

/* The class tells sources apart that the rules tell apart, and no others. */
static void a_probe_hears_its_class(void **state)
{
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g,
		   "allow smtp\ndeny smtp from 198.51.100.66 2001:db8:66::66\nblock 198.51.100.99 2001:db8:99::99\n");
	for (unsigned int family = 4; family <= 6; family += 2) {
		assert_int_equal(class_heard(g, STRANGER, family), class_heard(g, OFFICE, family));
		assert_int_not_equal(class_heard(g, STRANGER, family), class_heard(g, DENIED, family));
		assert_int_not_equal(class_heard(g, STRANGER, family), class_heard(g, BLOCKED, family));
		assert_int_not_equal(class_heard(g, DENIED, family), class_heard(g, BLOCKED, family));
	}
	assert_int_equal(class_heard(g, DENIED, 4), class_heard(g, DENIED, 6));
	rig_free(g);
}

static void metadata_that_is_no_probe_changes_nothing(void **state)
{
	static const struct {
		const char *what;
		uint64_t key;
		size_t n;
	} metas[] = {
		{ "wrong key", RIG_PROBE_KEY ^ 1, 16 },
		{ "no key", 0, 16 },
		{ "the key in half a probe", RIG_PROBE_KEY, 8 },
		{ "the key in three quarters of a probe", RIG_PROBE_KEY, 12 },
		{ "four bytes", RIG_PROBE_KEY, 4 },
	};
	static struct crafted f;
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g, rows_sentences);
	for (size_t i = 0; i < 2 * sizeof(metas) / sizeof(metas[0]); i++) {
		struct mxdp_probe was = { metas[i / 2].key, 0x11223344, 0x55, 0x66, 0x7788 }, p = was;
		struct rig_run r = { .frame = f.b, .probe = &p, .nmeta = metas[i / 2].n };
		unsigned int family = i & 1 ? 6 : 4;

		craft(&(struct craft){ .family = family }, &f);
		r.len = f.len;
		rig_expect(g, metas[i / 2].what, &r, family, SAYS(PASS(ALLOWED, SMTP)));
		assert_memory_equal(&p, &was, sizeof(p));
		craft(&(struct craft){ .family = family, .dport = 26 }, &f);
		rig_expect(g, metas[i / 2].what, &r, family, SAYS(DROP(CLOSED, SHUT)));
		assert_memory_equal(&p, &was, sizeof(p));
	}
	rig_adds_up(g);
	assert_int_equal(g->failed, 0);
	rig_free(g);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(a_probe_hears_what_a_packet_would_suffer_and_leaves_no_trace),
		cmocka_unit_test(a_probe_hears_its_class),
		cmocka_unit_test(metadata_that_is_no_probe_changes_nothing),
	};

	rig_alone();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
