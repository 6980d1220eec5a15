// SPDX-License-Identifier: GPL-2.0-only
/* The description that one version of mxdp leaves for another. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <errno.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <mxdp/reasons.h>
#include "layout.h"
#include "rules.h"

static struct layout l;

static int reads(const char *text)
{
	struct diag d = { 0 };
	int err = layout_read(&l, text, strlen(text) + 1, &d);

	/* a refusal says something, and nothing else does */
	assert_int_equal(d.errors, err != 0);
	/* and what the quick look calls ours reads as ours */
	assert_int_equal(layout_same(text, strlen(text) + 1), !err && !strcmp(l.id, layout_own()->id));
	diag_free(&d);
	return err;
}

/* Our own text with the value of a key replaced; NULL: the line is left out. */
static char *with(const char *key, const char *value)
{
	__cleanup_free char *begin = xasprintf("\n%s=", key);
	const char *text = layout_text(), *line = strstr(text, begin), *end = line ? strchr(line + 1, '\n') : NULL;

	assert_non_null(line);
	return value ? xasprintf("%.*s%s%s%s", (int)(line - text), text, begin, value, end) :
		       xasprintf("%.*s%s", (int)(line - text), text, end);
}

static int reads_with(const char *key, const char *value)
{
	__cleanup_free char *text = with(key, value);

	return reads(text);
}

static void our_own_text_says_what_the_headers_say(void **s)
{
	(void)s;
	assert_true(strlen(layout_text()) < LAYOUT_PAGE);
	assert_int_equal(reads(layout_text()), 0);
	assert_int_equal(memcmp(&l, layout_own(), sizeof(l)), 0);
	assert_true(l.version[0]);
	assert_int_equal(l.verdict[MXDP_R_CLOSED], LAYOUT_DROPS);
	assert_int_equal(l.verdict[MXDP_R_COOKIE_SENT], LAYOUT_DROPS);
	assert_int_equal(l.verdict[MXDP_R_LEASE], LAYOUT_PASSES);
	assert_int_equal(l.verdict[MXDP_REASON_SLOTS - 2], LAYOUT_UNKNOWN);
}

static void another_version_of_the_same_layout_is_the_same(void **s)
{
	char id[LAYOUT_ID];

	(void)s;
	assert_int_equal(reads_with("version", "9.9.9-somebody"), 0);
	assert_string_equal(l.id, layout_own()->id);
	assert_string_equal(l.version, "9.9.9-somebody");
	assert_int_equal(reads_with("own", "whatever"), 0);
	assert_string_not_equal(l.id, layout_own()->id);
	strcpy(id, l.id);
	assert_int_equal(reads_with("abi", "77"), 0);
	assert_string_not_equal(l.id, layout_own()->id);
	assert_string_not_equal(l.id, id);
	assert_int_equal(reads_with("version", "\033[31m\xff"), 0);
	assert_string_equal(l.version, "?[31m?");
	/* a page that does not end is nobody's */
	assert_false(layout_same(layout_text(), strlen(layout_text())));
}

static void what_is_not_known_is_passed_over(void **s)
{
	__cleanup_free char *more = xasprintf("%sbans.line=64\nreason.200=sent-away drop udp of-late\nfuture=a=b = c\n", layout_text());

	(void)s;
	assert_int_equal(reads(more), 0);
	assert_int_equal(l.verdict[200], LAYOUT_DROPS);
	assert_int_equal(reads_with("reason.39", "renamed drop tcp"), 0);
	assert_int_equal(reads_with("ports.knocked4", NULL), 0);
	assert_int_equal(l.port_knocked4, LAYOUT_NONE);
	assert_int_equal(reads_with("made.at", NULL), 0);
}

static void reasons_of_others_have_reasons_of_their_own(void **s)
{
	__cleanup_free char *more = xasprintf("%sreason.200=a drop tcp\nreason.201=b pass ip\nreason.202=c tx tcp\n", layout_text());

	(void)s;
	assert_int_equal(reads(more), 0);
	assert_int_equal(layout_reason(&l, MXDP_R_DENIED), MXDP_R_DENIED);
	assert_int_equal(layout_reason(&l, 200), MXDP_R_OTHER_DROPPED);
	assert_int_equal(layout_reason(&l, 201), MXDP_R_OTHER_PASSED);
	assert_int_equal(layout_reason(&l, 202), MXDP_R_OTHER_DROPPED);
	assert_int_equal(layout_reason(&l, 203), MXDP_R_OTHER_PASSED);
}

static void what_does_not_fit_together_is_refused(void **s)
{
	static const char *const wrong[][2] = {
		{ "abi", NULL }, { "abi", "" }, { "abi", "-1" }, { "abi", "2x" }, { "abi", "99999999999" }, { "abi", "4294967295" },
		{ "state.epoch", "4093" }, { "state.epoch", "6" }, { "state.epoch", NULL }, { "state.probe_key", "12" },
		{ "state.revert_at", "33" }, { "state.revert_shift", "64" }, { "state.revert_shift", NULL },
		{ "services.entries", "0" }, { "services.entries", "100000" }, { "services.key_size", "57" },
		{ "services.key", "4000" }, { "services.named", "56" }, { "services.stride", "0" },
		{ "counters.size", "8" }, { "counters.size", "20" }, { "counters.packets", "16" }, { "counters.bytes", "4" },
		{ "counters.row_cells", "1" }, { "counters.row_cells", "67108865" }, { "counters.moved_cells", "1" },
		{ "counters.service_cells", "67108864" }, { "counters.family_cells", "65536" }, { "counters.reasons", "257" },
		{ "counters.reasons", "20" }, { "ports.size", "16" }, { "ports.passed", "4080" }, { "ports.dropped", "12" },
		{ "ports.bytes", "4088" }, { "ports.knocked_reason", NULL }, { "ports.knocked_reason", "255" },
		{ "made.entries", "65" }, { "made.at", "4090" }, { "made.size", NULL }, { "made.frags", "4095" },
		{ "made.prog", "3" }, { "reason.39", "" }, { "reason.39", "closed" },
	};

	(void)s;
	for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
		if (!reads_with(wrong[i][0], wrong[i][1]))
			fail_msg("%s=%s was taken", wrong[i][0], wrong[i][1] ? wrong[i][1] : "(nothing)");
		assert_string_equal(l.id, "");
	}
	assert_int_equal(reads(""), -EBADMSG);
	assert_int_equal(reads("mxdp-layout=1\n"), -EBADMSG);
	assert_int_equal(reads("mxdp-layout=2\n"), -EBADMSG);
}

static void a_key_is_said_once(void **s)
{
	__cleanup_free char *twice = xasprintf("%sabi=2\n", layout_text());
	__cleanup_free char *reason = xasprintf("%sreason.39=open pass tcp\n", layout_text());
	__cleanup_free char *big = xasprintf("%sreason.256=big pass tcp\n", layout_text());
	__cleanup_free char *cut = xasprintf("%sabi", layout_text());
	__cleanup_free char *bare = xasprintf("%sabi\n", layout_text());
	__cleanup_free char *nameless = xasprintf("%s=2\n", layout_text());

	(void)s;
	assert_int_equal(reads(twice), -EBADMSG);
	assert_int_equal(reads(reason), -EBADMSG);
	assert_int_equal(reads(big), -EBADMSG);
	assert_int_equal(reads(cut), -EBADMSG);
	assert_int_equal(reads(bare), -EBADMSG);
	assert_int_equal(reads(nameless), -EBADMSG);
}

/* Any byte changed, any number of them lost: it is read or refused, and what is read keeps every count inside its row. */
static void damaged_text_does_no_harm(void **s)
{
	size_t n = strlen(layout_text()), taken = 0;

	(void)s;
	srandom(4);
	for (int i = 0; i < 20000; i++) {
		__cleanup_free char *text = xstrdup(layout_text());
		uint64_t last;

		for (int k = random() % 3; k >= 0; k--)
			text[random() % n] = random() % 4 ? "0123456789=\n"[random() % 12] : random();
		if (random() % 4 == 0)
			text[random() % n] = '\0';
		if (reads(text))
			continue;
		taken++;
		last = (uint64_t)(l.services - 1) * l.service_cells + l.family_cells + l.observed_cells + l.reasons - 1;
		assert_true(last < l.row_cells);
		assert_true(l.count_packets + 8 <= l.count_size && l.count_bytes + 8 <= l.count_size);
		assert_true(l.port_dropped + l.port_packets + 8ULL <= l.port_size);
		assert_true(l.services_key + l.services_key_size <= l.services_stride);
	}
	assert_true(taken > 100 && taken < 19000);
}

/* ---- the rules as text ---- */

static void parse(struct rules *r, const char *text)
{
	struct diag d = { 0 };

	assert_int_equal(rules_parse(r, "/etc/mxdp/mxdp.conf", text, strlen(text), &d), 0);
	assert_int_equal(rules_finish(r, &d), 0);
	diag_free(&d);
}

static void rules_are_told_and_heard(void **s)
{
	struct rules r = { 0 }, heard = { 0 };
	__cleanup_free char *said = NULL;
	struct diag d = { 0 };
	size_t len;

	(void)s;
	parse(&r, "interface eth0 mode auto\nlist office 192.0.2.0/24 2001:db8::/32\nadmin ssh from @office\n"
		  "allow smtp limit 30/min burst 60 comment \"it's # --runtime\"\nblock 198.51.100.7\n");
	/* what the command line said, as change.c leaves it */
	free(r.v[4].at.file);
	r.v[4].at = (struct origin){ 0 };
	said = rules_said(&r, &len);
	assert_int_equal(len, strlen(said));
	assert_int_equal(rules_heard(&heard, said, len, &d), 0);
	assert_int_equal(d.n, 0);
	assert_int_equal(heard.n, r.n);
	for (size_t i = 0; i < r.n; i++) {
		assert_true(stmt_same(&heard.v[i], &r.v[i]));
		assert_int_equal(heard.v[i].at.file == NULL, r.v[i].at.file == NULL);
	}
	assert_int_equal(heard.nlists, 1);
	assert_int_equal(heard.lists[0].n, 2);
	rules_free(&heard);
	rules_free(&r);
}

static void sentences_of_another_time_are_left_out_and_named(void **s)
{
	static const char said[] = "interface eth0\nbefriend 192.0.2.1 # --runtime\nallow smtp\nblock 198.51.100.7 # --runtime\nallow imap";
	struct rules r = { 0 };
	struct diag d = { 0 };

	(void)s;
	assert_int_equal(rules_heard(&r, said, strlen(said), &d), 0);
	assert_int_equal(r.n, 4);
	assert_non_null(r.v[1].at.file);
	assert_null(r.v[2].at.file);
	assert_int_equal(d.errors, 0);
	assert_int_equal(d.n, 1);
	assert_non_null(strstr(d.msg[0].text, "befriend 192.0.2.1"));
	diag_free(&d);
	rules_free(&r);
	/* a list whose file is gone: no rules at all are better than others */
	assert_int_equal(rules_heard(&r, "list a file /nowhere/at/all\nblock @a\n", 37, &d), -EINVAL);
	assert_int_equal(r.n, 0);
	assert_int_equal(d.errors, 0);
	assert_int_equal(d.n, 1);
	diag_free(&d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(our_own_text_says_what_the_headers_say),
		cmocka_unit_test(another_version_of_the_same_layout_is_the_same),
		cmocka_unit_test(what_is_not_known_is_passed_over),
		cmocka_unit_test(reasons_of_others_have_reasons_of_their_own),
		cmocka_unit_test(what_does_not_fit_together_is_refused),
		cmocka_unit_test(a_key_is_said_once),
		cmocka_unit_test(damaged_text_does_no_harm),
		cmocka_unit_test(rules_are_told_and_heard),
		cmocka_unit_test(sentences_of_another_time_are_left_out_and_named),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
