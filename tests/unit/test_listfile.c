// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/stat.h>
#include "told.h"

static void assert_list(const char *text, const char *wanted)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free struct prefix *v = NULL;
	char all[2048] = "", one[PREFIX_TEXT];
	size_t n;

	if (listfile_parse("lists/drop.txt", text, strlen(text), &v, &n, &d))
		fail_msg("%s", told(&d));
	for (size_t i = 0; i < n; i++) {
		strcat(all, i ? " " : "");
		strcat(all, prefix_text(&v[i], one));
	}
	assert_string_equal(all, wanted);
	assert_int_equal(d.n, 0);
}

static void lists_are_read_as_they_are_published(void **state)
{
	(void)state;
	assert_list("192.0.2.0/24\n198.51.100.7\n", "192.0.2.0/24 198.51.100.7");
	/* Spamhaus DROP */
	assert_list("; Spamhaus DROP List 2026/09/05\n; Expires: Sat\n1.10.16.0/20 ; SBL256894\n1.19.0.0/16 ; SBL434604\n",
		    "1.10.16.0/20 1.19.0.0/16");
	assert_list("# comment\n\n  \t\n192.0.2.1 # ours\n192.0.2.2#ours\n192.0.2.3;ours\n", "192.0.2.1 192.0.2.2 192.0.2.3");
	assert_list("192.0.2.1\r\n2001:db8::/32\r\n", "192.0.2.1 2001:db8::/32");
	assert_list("\xef\xbb\xbf" "192.0.2.1", "192.0.2.1");
	assert_list("  192.0.2.1  ", "192.0.2.1");
	/* the comments of others may be in any encoding */
	assert_list("# caf\xe9\n192.0.2.1 ; \xe9\x01\n", "192.0.2.1");
	assert_list("", "");
	assert_list("# nothing\n", "");
}

static void prefixes_come_sorted_and_once(void **state)
{
	(void)state;
	assert_list("2001:db8::/32\n192.0.2.0/24\n10.0.0.0/8\n192.0.2.0/24\n10.0.0.0/16\n2001:db8::/32\n10.0.0.0/8\n",
		    "10.0.0.0/8 10.0.0.0/16 192.0.2.0/24 2001:db8::/32");
}

static void bad_lines_are_refused_with_place_and_remedy(void **state)
{
	static const char *const row[][2] = {
		{ "\n\n192.0.2.7/24\n", "E: lists/drop.txt:3:1: 192.0.2.7/24 has host bits set; did you mean 192.0.2.0/24?" },
		{ "  192.0.2.0/40", "E: lists/drop.txt:1:3: the prefix length of \"192.0.2.0/40\" is out of range; IPv4 has 0 to 32" },
		{ "192.0.2.1 spam\n", "E: lists/drop.txt:1:11: unexpected text behind \"192.0.2.1\"; one prefix a line, comments "
				      "start with # or ;" },
		{ "192.0.2.1, 192.0.2.2\n", "E: lists/drop.txt:1:12: unexpected text behind \"192.0.2.1,\"; one prefix a line, "
					    "comments start with # or ;" },
		{ "0.0.0.0/0", "E: lists/drop.txt:1:1: 0.0.0.0/0 is everything, and a list cannot hold that; write \"any\" in the "
			       "sentence instead" },
		{ "::/0", "E: lists/drop.txt:1:1: ::/0 is everything, and a list cannot hold that; write \"any\" in the sentence "
			  "instead" },
		{ "example.org\n192.0.2.300\n",
		  "E: lists/drop.txt:1:1: \"example.org\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 (names "
		  "are not looked up)\n"
		  "E: lists/drop.txt:2:1: \"192.0.2.300\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 (names "
		  "are not looked up)" },
		{ "\n <html>\n<body>\n", "E: lists/drop.txt:2:2: this is a web page, not a list; a download that failed leaves such a "
					 "file" },
		{ "\x1f\x8b\x08\xff", "E: lists/drop.txt:1:1: this is compressed; unpack it first: gunzip" },
		{ "\xff\xfe" "1", "E: lists/drop.txt:1:1: this is UTF-16; save it as UTF-8" },
		{ "[\"192.0.2.1\"]", "E: lists/drop.txt:1:1: this is a JSON array; a list has one object a line: jq -c '.[]'" },
		{ "192.0.2.9-192.0.2.1", "E: lists/drop.txt:1:1: the range \"192.0.2.9-192.0.2.1\" runs backwards" },
		{ "192.0.2.9-2001:db8::1", "E: lists/drop.txt:1:1: the range \"192.0.2.9-2001:db8::1\" begins in one family and ends in "
					   "the other" },
		{ "0.0.0.0-255.255.255.255", "E: lists/drop.txt:1:1: 0.0.0.0-255.255.255.255 is everything, and a list cannot hold that; "
					     "write \"any\" in the sentence instead" },
		{ "::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "E: lists/drop.txt:1:1: ::-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff is everything, and a list cannot hold that; write "
		  "\"any\" in the sentence instead" },
		{ "192.0.2.1\nadd drop 192.0.2.2\n", "E: lists/drop.txt:2:1: this line is of an ipset save, and the file began as a "
						     "plain list; a list's file is of one kind" },
		{ "192.0.2.1\n{\"cidr\":\"192.0.2.2\"}\n", "E: lists/drop.txt:2:1: this line is of JSON Lines, and the file began as a "
							 "plain list; a list's file is of one kind" },
		{ "192.0.2.1\n192.0.2.2 permit\n", "E: lists/drop.txt:2:1: this line is of a Postfix table, and the file began as a "
						   "plain list; a list's file is of one kind" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		struct prefix *v;
		size_t n;

		assert_int_equal(listfile_parse("lists/drop.txt", row[i][0], strlen(row[i][0]), &v, &n, &d), -EINVAL);
		assert_string_equal(told(&d), row[i][1]);
		assert_null(v);
		assert_int_equal(n, 0);
	}
}

static void a_nul_byte_in_a_list_is_refused(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct prefix *v;
	size_t n;

	(void)state;
	assert_int_equal(listfile_parse("x", "192.0.2.1\n# \0\n", 14, &v, &n, &d), -EINVAL);
	assert_string_equal(told(&d), "E: x:2:3: a NUL byte; this is not a text file");
}

static void no_more_than_twenty_bad_lines_are_reported(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	char text[1024] = "";
	struct prefix *v;
	size_t n;

	(void)state;
	for (int i = 0; i < 40; i++)
		strcat(text, "bad\n");
	assert_int_equal(listfile_parse("x", text, strlen(text), &v, &n, &d), -EINVAL);
	assert_int_equal(d.errors, 20);
	assert_string_equal(d.msg[20].text, "x: only the first 20 errors are shown");
}

static void a_hundred_thousand_prefixes_are_read_whole(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free struct prefix *v = NULL;
	__cleanup_free char *text = xmalloc(100000 * 20);
	size_t len = 0, n;

	(void)state;
	/* every second /25 from the top down, each second line twice */
	for (unsigned int i = 100000; i-- > 0;) {
		unsigned int k = i % 3 ? i : i / 2;

		len += sprintf(text + len, "%u.%u.%u.%u/25\n", 1 + (k >> 16), k >> 8 & 255, k & 255, k & 1 ? 128 : 0);
	}
	assert_int_equal(listfile_parse("x", text, len, &v, &n, &d), 0);
	for (size_t i = 1; i < n; i++)
		assert_true(prefix_cmp(&v[i - 1], &v[i]) < 0);
	/* all numbers but the multiples of 3, and the halves of these: those of them above 50000 are gone for good */
	{
		__cleanup_free bool *there = xcalloc(100000, sizeof(bool));
		size_t wanted = 0;

		for (unsigned int i = 0; i < 100000; i++)
			there[i % 3 ? i : i / 2] = true;
		for (unsigned int i = 0; i < 100000; i++)
			wanted += there[i];
		assert_int_equal(n, wanted);
	}
}

static void what_is_no_file_is_refused_and_never_waited_for(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct prefix *v;
	size_t n;

	(void)state;
	mkdir("directory", 0755);
	mkfifo("pipe", 0644);
	assert_int_equal(listfile_read("missing", &v, &n, &d), -ENOENT);
	assert_int_equal(listfile_read("directory", &v, &n, &d), -EISDIR);
	assert_int_equal(listfile_read("pipe", &v, &n, &d), -EINVAL);
	assert_int_equal(listfile_read("/dev/zero", &v, &n, &d), -EINVAL);
	assert_string_equal(told(&d), "E: missing: cannot open: No such file or directory\n"
				      "E: directory: a directory, where a file is expected\n"
				      "E: pipe: a pipe, where a file is expected\n"
				      "E: /dev/zero: a device or socket, where a file is expected");
}

static void a_list_that_everyone_may_write_to_is_warned_of(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free struct prefix *v = NULL;
	size_t n;

	(void)state;
	write_file("list", "192.0.2.1\n");
	chmod("list", 0666);
	assert_int_equal(listfile_read("list", &v, &n, &d), 0);
	assert_string_equal(told(&d), "W: list: everyone may write to this file; chmod o-w list");
	assert_int_equal(n, 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(lists_are_read_as_they_are_published),
		cmocka_unit_test(prefixes_come_sorted_and_once),
		cmocka_unit_test(bad_lines_are_refused_with_place_and_remedy),
		cmocka_unit_test(a_nul_byte_in_a_list_is_refused),
		cmocka_unit_test(no_more_than_twenty_bad_lines_are_reported),
		cmocka_unit_test(a_hundred_thousand_prefixes_are_read_whole),
		cmocka_unit_test(what_is_no_file_is_refused_and_never_waited_for),
		cmocka_unit_test(a_list_that_everyone_may_write_to_is_warned_of),
	};

	return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
