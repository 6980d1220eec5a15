// SPDX-License-Identifier: GPL-2.0-only
/* Promise: what is shown can be read, lines up, and carries nothing to the terminal but text. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "out.h"

static char *caught;
static size_t caught_len;

static FILE *begin(void)
{
	FILE *to = open_memstream(&caught, &caught_len);

	assert_non_null(to);
	return to;
}

static void ends_as(FILE *to, const char *want)
{
	fclose(to);
	assert_string_equal(caught, want);
	free(caught);
}

static void numbers(void **state)
{
	char buf[OUT_TEXT];

	(void)state;
	assert_string_equal(text_number(0, buf), "0");
	assert_string_equal(text_number(999, buf), "999");
	assert_string_equal(text_number(1000, buf), "1,000");
	assert_string_equal(text_number(123456, buf), "123,456");
	assert_string_equal(text_number(UINT64_MAX, buf), "18,446,744,073,709,551,615");
	assert_string_equal(text_bytes(1023, buf), "1023 B");
	assert_string_equal(text_bytes(1024, buf), "1.0 KiB");
	assert_string_equal(text_bytes(1536 * 1024, buf), "1.5 MiB");
	assert_string_equal(text_bytes(UINT64_MAX, buf), "16.0 EiB");
}

static void spans_and_times(void **state)
{
	char buf[OUT_TEXT];

	(void)state;
	assert_string_equal(text_span(-5, buf), "0s");
	assert_string_equal(text_span(59, buf), "59s");
	assert_string_equal(text_span(185, buf), "3m05s");
	assert_string_equal(text_span(7800, buf), "2h10m");
	assert_string_equal(text_span(90061, buf), "1d01h");
	setenv("TZ", "UTC", 1);
	assert_string_equal(text_time(0, buf), "-");
	assert_string_equal(text_time(86400, buf), "1970-01-02 00:00:00");
}

static void columns_line_up(void **state)
{
	struct table t = { .head = { "NAME", ">N", "LAST" } };
	FILE *to = begin();

	(void)state;
	table_add(&t, "a");
	table_add(&t, "%d", 1234);
	table_add(&t, "x");
	table_add(&t, "longer-name");
	table_add(&t, "5");
	table_print(&t, 2, to);
	table_free(&t);
	ends_as(to, "  NAME            N  LAST\n"
		    "  a            1234  x\n"
		    "  longer-name     5\n");
}

static void umlauts_are_one_wide(void **state)
{
	struct table t = { .head = { "NAME", ">N" } };
	FILE *to = begin();

	(void)state;
	table_add(&t, "b\xc3\xbcro");
	table_add(&t, "1");
	table_add(&t, "euro");
	table_add(&t, "1");
	table_print(&t, 0, to);
	table_free(&t);
	ends_as(to, "NAME  N\nb\xc3\xbcro  1\neuro  1\n");
}

static void nothing_steers_the_terminal(void **state)
{
	FILE *to = begin();

	(void)state;
	/* escape, newline, delete, the one-byte forms of U+009B, and its UTF-8 form; overlong slash; surrogate */
	put_escaped("a\x1b[2J\n\x7f|\x9b|\xc2\x9b|\xc0\xaf|\xed\xa0\x80|b", to);
	ends_as(to, "a\\x1b[2J\\x0a\\x7f|\\x9b|\\xc2\\x9b|\\xc0\\xaf|\\xed\\xa0\\x80|b");
}

static void json_is_json(void **state)
{
	json_object *doc = json_document(), *again, *item;
	FILE *to = begin();

	(void)state;
	json_str(doc, "text", "tab\there \"quoted\" \xff");
	json_str(doc, "nothing", NULL);
	json_num(doc, "big", UINT64_MAX);
	json_yes(doc, "yes", true);
	json_time(doc, "when", 86400);
	json_time(doc, "never", 0);
	json_num(json_item(json_list(doc, "list")), "n", 1);
	json_print(doc, to);
	json_release(&doc);
	assert_null(doc);
	fclose(to);
	again = json_tokener_parse(caught);
	assert_non_null(again);
	assert_true(json_object_object_get_ex(again, "schema", &item));
	assert_int_equal(json_object_get_int(item), 1);
	assert_true(json_object_object_get_ex(again, "text", &item));
	assert_string_equal(json_object_get_string(item), "tab\there \"quoted\" \\xff");
	assert_true(json_object_object_get_ex(again, "big", &item));
	assert_true(json_object_is_type(item, json_type_int));
	assert_true(json_object_get_uint64(item) == UINT64_MAX);
	assert_true(json_object_object_get_ex(again, "when", &item));
	assert_string_equal(json_object_get_string(item), "1970-01-02T00:00:00Z");
	assert_true(json_object_object_get_ex(again, "never", &item));
	assert_null(item);
	json_object_put(again);
	free(caught);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(numbers),
		cmocka_unit_test(spans_and_times),
		cmocka_unit_test(columns_line_up),
		cmocka_unit_test(umlauts_are_one_wide),
		cmocka_unit_test(nothing_steers_the_terminal),
		cmocka_unit_test(json_is_json),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
