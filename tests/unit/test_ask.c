// SPDX-License-Identifier: GPL-2.0-only
/* Promise: `query` about many sources and ports answers what asking about each single one would. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "ask.h"

static void parse(struct rules *r, const char *text)
{
	struct diag d = { 0 };

	*r = (struct rules){ 0 };
	if (rules_parse(r, "test", text, strlen(text), &d) || rules_finish(r, &d))
		diag_print(&d, stderr);
	assert_int_equal(d.errors, 0);
	diag_free(&d);
}

static bool ask(const struct rules *r, enum ask what, const char *sentence, struct ask_where *w)
{
	struct rules said = { 0 };
	struct diag d = { 0 };
	bool yes;

	assert_int_equal(rules_parse(&said, "test", sentence, strlen(sentence), &d), 0);
	yes = ask_rules(r, what, &said.v[0], w);
	rules_free(&said);
	diag_free(&d);
	return yes;
}

static void strangers_are_named_by_nobody(void **state)
{
	struct prefix host;
	struct rules r;

	(void)state;
	parse(&r, "list crowd 0.0.0.0/1 128.0.0.0/2 192.0.0.0/3 224.0.0.0/4 240.0.0.0/5 248.0.0.0/6 252.0.0.0/7 "
		  "254.0.0.0/8\n"
		  "allow smtp from 255.0.0.0/9\n");
	assert_true(ask_stranger(&r, 4, &host));
	assert_memory_equal(host.addr, ((uint8_t[]){ 255, 128, 0, 0 }), 4);
	rules_free(&r);
	parse(&r, "allow smtp from 0.0.0.0/1, 128.0.0.0/1\nallow imaps from ::/0\n");
	assert_false(ask_stranger(&r, 4, &host));
	assert_true(ask_stranger(&r, 6, &host));
	rules_free(&r);
}

static void holes_are_found(void **state)
{
	struct ask_where w = { 0 };
	struct rules r;

	(void)state;
	parse(&r, "default deny\nallow smtp, 1000-1999\ndeny smtp from 203.0.113.77\nlist few 192.0.2.1 "
		  "192.0.2.9\nblock @few\n"
		  "allow imaps from 198.51.100.0/24\n");
	assert_true(ask(&r, ASK_OPENS, "allow smtp", NULL));
	assert_true(ask(&r, ASK_OPENS, "allow smtp from 203.0.113.76", NULL));
	assert_false(ask(&r, ASK_OPENS, "allow smtp from 203.0.113.0/24", &w));
	assert_memory_equal(w.host.addr, ((uint8_t[]){ 203, 0, 113, 77 }), 4);
	assert_int_equal(w.port, 25);
	assert_int_equal(w.answer.because->kind, STMT_DENY);
	assert_false(ask(&r, ASK_REFUSED, "deny smtp from 203.0.113.0/24", NULL));
	assert_true(ask(&r, ASK_REFUSED, "deny smtp from 203.0.113.77", NULL));
	assert_true(ask(&r, ASK_OPENS, "allow 1000-1999", NULL));
	assert_false(ask(&r, ASK_OPENS, "allow 1000-2000", &w));
	assert_int_equal(w.port, 2000);
	assert_true(ask(&r, ASK_REFUSED, "deny imaps", NULL));
	assert_true(ask(&r, ASK_OPENS, "allow imaps from 198.51.100.0/24", NULL));
	assert_false(ask(&r, ASK_OPENS, "allow imaps from 198.51.100.0/23", &w));
	assert_memory_equal(w.host.addr, ((uint8_t[]){ 198, 51, 101, 0 }), 4);
	assert_true(ask(&r, ASK_BLOCKED, "block @few", NULL));
	assert_false(ask(&r, ASK_BLOCKED, "block 192.0.2.8/31", NULL));
	rules_free(&r);
}

/* ---- against asking of each ---- */

static uint32_t seed = 1;

static uint32_t below(uint32_t n)
{
	seed = seed * 1664525 + 1013904223;
	return (uint32_t)((uint64_t)(seed >> 8) * n >> 24);
}

static void random_prefix(FILE *to)
{
	uint32_t len = 26 + below(7), host = below(64) & ~((1u << (32 - len)) - 1);

	fprintf(to, "10.0.0.%u/%u", host & 63, len);
}

static void random_ports(FILE *to)
{
	uint32_t lo = 100 + below(8);

	fprintf(to, "%u-%u", lo, lo + below(4));
}

/* Malloc'd. */
static char *random_rules(void)
{
	static const char *const verb[] = { "block", "exempt", "admin", "allow", "deny" };
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	fprintf(to, "default %s\n", below(2) ? "deny" : "allow");
	for (uint32_t n = 1 + below(8); n; n--) {
		uint32_t v = below(5);

		fprintf(to, "%s ", verb[v]);
		if (v >= 2)
			random_ports(to);
		if (v < 3 || below(4)) {
			fputs(v >= 2 ? " from " : "", to);
			random_prefix(to);
		}
		fputc('\n', to);
	}
	fclose(to);
	return text;
}

static bool every_single_one(const struct rules *r, enum ask what, const struct stmt *s)
{
	for (uint32_t i = 0; i < 1u << (32 - s->sources[0].prefix.len); i++) {
		struct prefix host = s->sources[0].prefix;

		host.len = 32;
		host.addr[3] = (uint8_t)(host.addr[3] + i);
		for (uint32_t p = s->ports[0].lo; p <= s->ports[0].hi; p++) {
			enum judge_says says = rules_judge(r, &host, (uint16_t)p, true).says;
			bool opens = says == JUDGE_ALLOW || says == JUDGE_DEFAULT_ALLOW || says == JUDGE_ADMIN;

			if (opens != (what == ASK_OPENS))
				return false;
		}
	}
	return true;
}

static void the_same_as_asking_each(void **state)
{
	int yes = 0, no = 0;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		enum ask what = below(2) ? ASK_OPENS : ASK_REFUSED;
		struct rules r, said = { 0 };
		struct diag d = { 0 };
		char *text = random_rules(), *question = NULL;
		size_t len;
		FILE *to = open_memstream(&question, &len);
		bool want;

		parse(&r, text);
		fputs(what == ASK_OPENS ? "allow " : "deny ", to);
		random_ports(to);
		fputs(" from ", to);
		random_prefix(to);
		fclose(to);
		assert_int_equal(rules_parse(&said, "test", question, len, &d), 0);
		want = every_single_one(&r, what, &said.v[0]);
		if (ask_rules(&r, what, &said.v[0], NULL) != want)
			fail_msg("%s of:\n%s", question, text);
		yes += want;
		no += !want;
		rules_free(&said);
		rules_free(&r);
		diag_free(&d);
		free(question);
		free(text);
	}
	/* the rounds say something only when both answers were common */
	assert_true(yes > 300 && no > 300);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(strangers_are_named_by_nobody),
		cmocka_unit_test(holes_are_found),
		cmocka_unit_test(the_same_as_asking_each),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
