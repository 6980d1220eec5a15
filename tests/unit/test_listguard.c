// SPDX-License-Identifier: GPL-2.0-only
/* Guards of lists, and what stands in for a list that they refuse. */
#include <errno.h>
#include <sys/stat.h>
#include <time.h>
#include <utime.h>
#include "listfile.h"
#include "told.h"

#define BASE "admin ssh from 203.0.113.0/24\nallow smtp\n"
#define DECLARED "\nN: list \"a\" is declared at mxdp.conf:3"
#define BLOCKED BASE "list a file a.txt"
#define USED "\nblock @a\n"

/* What the files say with nothing behind them. */
static const char *loaded(const char *conf, const char *list)
{
	static char text[65536];
	struct diag d = { 0 };
	struct rules r = { 0 };

	write_file("mxdp.conf", conf);
	write_file("a.txt", list);
	if (!rules_load(&r, "mxdp.conf", &d))
		assert_int_equal(d.errors, 0);
	strcpy(text, told(&d));
	diag_free(&d);
	rules_free(&r);
	return text;
}

struct row {
	const char *conf, *list, *says;
};

static void assert_rows(const struct row *row, size_t n)
{
	for (size_t i = 0; i < n; i++)
		assert_string_equal(loaded(row[i].conf, row[i].list), row[i].says);
}
#define ROWS(v) assert_rows(v, sizeof(v) / sizeof(v[0]))

#define PRIVATE(line, p, what) "E: a.txt:" line ": " p " is " what ", and list \"a\" is used to refuse; take it out, or say \"private yes\" " \
			       "in the list's sentence"

static void private_ranges_are_refused_where_a_list_refuses(void **state)
{
	static const struct row rows[] = {
		{ BLOCKED USED, "198.51.100.1\n10.1.2.0/24\n", PRIVATE("2", "10.1.2.0/24", "private (RFC 1918)") DECLARED },
		{ BLOCKED USED, "172.31.0.0/16\n192.168.7.1\n100.127.0.1\n127.0.0.2\n169.254.1.1\n",
		  PRIVATE("1", "172.31.0.0/16", "private (RFC 1918)") "\n" PRIVATE("2", "192.168.7.1", "private (RFC 1918)") "\n"
		  PRIVATE("3", "100.127.0.1", "shared with providers (RFC 6598)") "\n" PRIVATE("4", "127.0.0.2", "loopback") "\n"
		  PRIVATE("5", "169.254.1.1", "link-local") DECLARED },
		{ BLOCKED USED, "239.0.0.1\n::1\nfe80::/64\nfd00:1::/32\nff02::/32\n",
		  PRIVATE("1", "239.0.0.1", "multicast") "\n" PRIVATE("2", "::1", "loopback") "\n" PRIVATE("3", "fe80::/64", "link-local") "\n"
		  PRIVATE("4", "fd00:1::/32", "private (RFC 4193)") "\n" PRIVATE("5", "ff02::/32", "multicast") DECLARED },
		{ BLOCKED USED, "10.0.0.1\n10.0.0.2\n10.0.0.3\n10.0.0.4\n10.0.0.5\n10.0.0.6\n10.0.0.7\n",
		  PRIVATE("1", "10.0.0.1", "private (RFC 1918)") "\n" PRIVATE("2", "10.0.0.2", "private (RFC 1918)") "\n"
		  PRIVATE("3", "10.0.0.3", "private (RFC 1918)") "\n" PRIVATE("4", "10.0.0.4", "private (RFC 1918)") "\n"
		  PRIVATE("5", "10.0.0.5", "private (RFC 1918)") "\nE: a.txt: and 2 more lines like these" DECLARED },
		{ BLOCKED USED, "192.128.0.0/9\n",
		  "E: a.txt:1: 192.128.0.0/9 covers 192.168.0.0/16, which is private (RFC 1918); take it out, or say \"private yes\" in the "
		  "list's sentence" DECLARED },
		{ BLOCKED " private yes" USED, "10.1.2.0/24\nfe80::/64\n192.128.0.0/9\n", "" },
		{ BLOCKED "\ndeny smtp from @a\n", "10.1.2.0/24\n", PRIVATE("1", "10.1.2.0/24", "private (RFC 1918)") DECLARED },
		/* an office is where private ranges belong */
		{ BLOCKED "\nallow imaps from @a\nadmin ssh from @a\nexempt @a\n", "10.1.2.0/24\n192.168.0.0/16\n8.0.0.0/5\nfd00::/8\n", "" },
		/* what stands in the sentence the operator wrote */
		{ BASE "list a 10.0.0.0/8 file a.txt" USED, "198.51.100.1\n", "" },
	};

	(void)state;
	ROWS(rows);
}

#define WIDE(line, p, least, said) "E: a.txt:" line ": " p " is wider than " least "; take it out, or say \"widest " said "\" in the list's sentence"

static void wide_prefixes_are_refused(void **state)
{
	static const struct row rows[] = {
		{ BLOCKED USED, "11.0.0.0/8\n2001::/19\n", "" },
		{ BLOCKED USED, "12.0.0.0/7\n", WIDE("1", "12.0.0.0/7", "/8", "/7 /19") DECLARED },
		{ BLOCKED USED, "2a00::/12\n", WIDE("1", "2a00::/12", "/19", "/8 /12") DECLARED },
		{ BLOCKED " widest /7 /12" USED, "12.0.0.0/7\n2a00::/12\n", "" },
		{ BLOCKED " widest /16 /32" USED, "11.0.0.0/15\n", WIDE("1", "11.0.0.0/15", "/16", "/15 /32") DECLARED },
		{ BLOCKED "\nallow imaps from @a\n", "12.0.0.0/7\n", "" },
	};

	(void)state;
	ROWS(rows);
}

static void a_list_that_covers_an_admin_or_exempt_source_is_refused(void **state)
{
	static const struct row rows[] = {
		{ BLOCKED USED, "203.0.113.7\n", "" },
		{ BLOCKED USED, "198.51.100.1\n203.0.0.0/16\n",
		  "E: a.txt:2: 203.0.0.0/16 covers 203.0.113.0/24, of whom `admin ssh from 203.0.113.0/24` speaks; take it out, or say "
		  "\"cover yes\" in the list's sentence" DECLARED },
		{ BLOCKED " cover yes" USED, "203.0.0.0/16\n", "" },
		{ BLOCKED "\nexempt 2001:db8::7\nblock @a\n", "2001:db8::/32\n",
		  "E: a.txt:1: 2001:db8::/32 covers 2001:db8::7, of whom `exempt 2001:db8::7` speaks; take it out, or say \"cover yes\" in "
		  "the list's sentence" DECLARED },
		/* an admin by list, and one that is declared behind */
		{ BLOCKED USED "list b 198.51.100.9\nexempt @b\n", "198.51.100.9\n",
		  "E: a.txt:1: 198.51.100.9 covers 198.51.100.9, of whom `exempt @b` speaks; take it out, or say \"cover yes\" in the list's "
		  "sentence" DECLARED },
	};

	(void)state;
	ROWS(rows);
}

static void what_a_file_is_must_fit_what_the_list_is_for(void **state)
{
	static const struct row rows[] = {
		{ BLOCKED USED, "198.51.100.1 reject\n", "" },
		{ BLOCKED USED, "198.51.100.1 permit\n",
		  "E: a.txt: the table only permits, and list \"a\" is used to refuse; if that is meant, say \"take permit\" in its "
		  "sentence" DECLARED },
		{ BLOCKED " take permit" USED, "198.51.100.1 permit\n198.51.100.2 reject\n", "" },
		{ BLOCKED "\nallow imaps from @a\n", "198.51.100.1 permit\n", "" },
		{ BLOCKED USED, "{\"cidr\":\"198.51.100.1\"}\n",
		  "E: a.txt: no metadata behind the last record, so nothing shows whether the file is whole; say how many prefixes there must "
		  "be at least, \"min N\" in the sentence of list \"a\"" DECLARED },
		{ BLOCKED " min 1" USED, "{\"cidr\":\"198.51.100.1\"}\n", "" },
		{ BLOCKED "\nallow imaps from @a\n", "{\"cidr\":\"198.51.100.1\"}\n", "" },
	};

	(void)state;
	ROWS(rows);
}

static void set_age(const char *file, time_t age)
{
	struct utimbuf t = { .actime = time(NULL) - age, .modtime = time(NULL) - age };

	assert_int_equal(utime(file, &t), 0);
}

static void old_data_expires(void **state)
{
	__cleanup_rules struct rules r = { 0 };
	struct diag d = { 0 };
	char json[256];

	(void)state;
	assert_string_equal(loaded(BLOCKED " expire 26h" USED, "198.51.100.1\n"), "");
	set_age("a.txt", 3 * 86400);
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), -EINVAL);
	assert_non_null(strstr(told(&d), "E: a.txt: expired: its data is of 20"));
	diag_free(&d);
	/* what the data says of itself goes before the time of the file */
	snprintf(json, sizeof(json), "{\"cidr\":\"198.51.100.1\"}\n{\"type\":\"metadata\",\"timestamp\":%ld,\"records\":1}\n", (long)time(NULL) - 99);
	write_file("a.txt", json);
	set_age("a.txt", 3 * 86400);
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), 0);
	rules_free(&r);
	snprintf(json, sizeof(json), "{\"cidr\":\"198.51.100.1\"}\n{\"type\":\"metadata\",\"timestamp\":%ld,\"records\":1}\n",
		 (long)time(NULL) - 99 * 3600);
	write_file("a.txt", json);
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), -EINVAL);
	diag_free(&d);
	/* a dead updater opens again, where that is wanted */
	write_file("mxdp.conf", BASE "list a 198.51.100.99 file a.txt expire 26h empty" USED);
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), 0);
	assert_string_equal(told(&d), "W: a.txt: expired, so list \"a\" is empty but for what its sentence holds");
	assert_int_equal(rules_list(&r, "a")->n, 1);
	diag_free(&d);
}

/* ---- what stands in ---- */

static int load_over(struct rules *r, struct rules *in_force, const char *state, bool force, struct lists_past *past, struct diag *d)
{
	rules_free(r);
	diag_free(d);
	lists_past_free(past);
	*past = (struct lists_past){ .in_force = in_force, .state = state, .force = force };
	return rules_load_over(r, "mxdp.conf", past, d);
}

static void write_numbers(const char *file, int from, int n)
{
	FILE *f = fopen(file, "w");

	for (int i = from; i < from + n; i++)
		fprintf(f, "198.18.%d.%d\n", i / 250, i % 250);
	fclose(f);
}

static void a_great_change_is_held_up(void **state)
{
	static const struct {
		const char *conf;
		int from, n;
		bool force, taken;
	} rows[] = {
		{ BLOCKED USED, 0, 100, false, true },  { BLOCKED USED, 0, 70, false, true },  { BLOCKED USED, 0, 69, false, false },
		{ BLOCKED USED, 0, 130, false, true },  { BLOCKED USED, 0, 131, false, false }, { BLOCKED USED, 30, 100, false, true },
		{ BLOCKED USED, 31, 100, false, false }, { BLOCKED USED, 0, 69, true, true },   { BLOCKED " change 50%" USED, 0, 50, false, true },
		{ BLOCKED " change 50%" USED, 0, 49, false, false },  { BLOCKED " change any" USED, 500, 1, false, true },
		{ BLOCKED "\nallow imaps from @a\n", 500, 1, false, true },
		{ BLOCKED " change 10%\nallow imaps from @a\n", 0, 80, false, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct rules before = { 0 }, r = { 0 };
		struct lists_past past = { 0 };
		struct diag d = { 0 };

		write_file("mxdp.conf", rows[i].conf);
		write_numbers("a.txt", 0, 100);
		assert_int_equal(rules_load(&before, "mxdp.conf", &d), 0);
		write_numbers("a.txt", rows[i].from, rows[i].n);
		assert_int_equal(load_over(&r, &before, NULL, rows[i].force, &past, &d), 0);
		if (rules_list(&r, "a")->n != (size_t)(rows[i].taken ? rows[i].n : 100) || past.nkept != !rows[i].taken ||
		    rules_list(&r, "a")->fresh != rows[i].taken)
			fail_msg("row %zu: %zu prefixes; %s", i, rules_list(&r, "a")->n, told(&d));
		rules_free(&r);
		rules_free(&before);
		lists_past_free(&past);
		diag_free(&d);
	}
}

static void a_small_list_may_change_by_a_few(void **state)
{
	__cleanup_rules struct rules before = { 0 }, r = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup(lists_past_free) struct lists_past past = { 0 };

	(void)state;
	loaded(BLOCKED USED, "198.51.100.1\n");
	assert_int_equal(rules_load(&before, "mxdp.conf", &d), 0);
	write_file("a.txt", "198.51.100.2\n198.51.100.3\n198.51.100.4\n");
	assert_int_equal(load_over(&r, &before, NULL, false, &past, &d), 0);
	assert_string_equal(told(&d), "");
	assert_int_equal(rules_list(&r, "a")->n, 3);
}

static void a_refused_list_stays_as_it_is_in_force_and_the_rest_changes(void **state)
{
	static const char *const bad[] = { "198.51.100.1\njunk\n", "", "198.51.100.1\n10.0.0.0/8\n", "{\"cidr\":\"198.51", "<html>", NULL };
	__cleanup_rules struct rules before = { 0 }, r = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup(lists_past_free) struct lists_past past = { 0 };

	(void)state;
	loaded(BLOCKED " 198.51.100.77" USED, "198.51.100.1\n198.51.100.2\n");
	assert_int_equal(rules_load(&before, "mxdp.conf", &d), 0);
	before.lists[0].read_at = 1700000000;
	write_file("mxdp.conf", BASE "list a file a.txt 198.51.100.88\nblock @a\nallow pop3\n");
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		if (bad[i])
			write_file("a.txt", bad[i]);
		else
			unlink("a.txt");
		assert_int_equal(load_over(&r, &before, NULL, false, &past, &d), 0);
		assert_int_equal(d.errors, 0);
		assert_int_equal(r.n, 5);
		/* what its sentence holds is not the file's */
		assert_int_equal(rules_list(&r, "a")->n, 3);
		assert_int_equal(rules_list(&r, "a")->v[2].addr[3], 88);
		assert_int_equal(rules_list(&r, "a")->read_at, 1700000000);
		assert_int_equal(past.nkept, 1);
		assert_string_equal(past.kept[0].name, "a");
		assert_non_null(strstr(told(&d), "W: list \"a\": its file is refused; what was read of 2023-11-1"));
	}
	assert_string_equal(past.kept[0].why, "a.txt: cannot open: No such file or directory");
	/* an error of the rules themselves still refuses everything */
	write_file("mxdp.conf", BLOCKED USED "alow smtp\n");
	assert_int_equal(load_over(&r, &before, NULL, false, &past, &d), -EINVAL);
	/* and so does a list of which nothing is known */
	write_file("mxdp.conf", BLOCKED "\nlist b file b.txt\nblock @a, @b\n");
	assert_int_equal(load_over(&r, &before, NULL, false, &past, &d), -EINVAL);
	assert_non_null(strstr(told(&d), "E: b.txt: cannot open"));
}

static void what_is_in_force_already_is_taken_whatever_the_guards_say(void **state)
{
	__cleanup_rules struct rules before = { 0 }, r = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup(lists_past_free) struct lists_past past = { 0 };

	(void)state;
	loaded(BLOCKED " private yes" USED, "10.0.0.0/8\n");
	assert_int_equal(rules_load(&before, "mxdp.conf", &d), 0);
	write_file("mxdp.conf", BLOCKED USED);
	assert_int_equal(load_over(&r, &before, NULL, false, &past, &d), 0);
	assert_string_equal(told(&d), "");
}

static void at_boot_the_copy_on_disk_stands_in(void **state)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_diag struct diag d = { 0 };
	__cleanup(lists_past_free) struct lists_past past = { 0 };
	struct stat st;

	(void)state;
	loaded(BLOCKED " 198.51.100.77" USED, "198.51.100.1\n2001:db8:a::/48\n198.51.100.0/25\n");
	assert_int_equal(load_over(&r, NULL, "state", false, &past, &d), 0);
	assert_int_equal(past.nkept, 0);
	listcopy_save_all("state", &r, &d);
	assert_string_equal(told(&d), "");
	assert_int_equal(stat("state", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0700);
	assert_string_equal(read_file("state/lists/a"),
			    "# mxdp's last good copy of this list, used when its file is refused and nothing is in force\n"
			    "198.51.100.0/25\n198.51.100.1/32\n2001:0db8:000a:0000:0000:0000:0000:0000/48\n");
	write_file("a.txt", "half a li");
	assert_int_equal(load_over(&r, NULL, "state", false, &past, &d), 0);
	assert_int_equal(past.nkept, 1);
	assert_int_equal(rules_list(&r, "a")->n, 4);
	assert_false(rules_list(&r, "a")->fresh);
	/* the bad file is not copied over the good one */
	listcopy_save_all("state", &r, &d);
	assert_non_null(strstr(read_file("state/lists/a"), "198.51.100.1/32"));
	/* a copy that is no copy, or that others could have written, is none */
	write_file("state/lists/a", "junk\n");
	assert_int_equal(load_over(&r, NULL, "state", false, &past, &d), -EINVAL);
	assert_non_null(strstr(told(&d), "W: the last good copy of list \"a\" cannot be used: state/lists/a:1:1: "));
	write_file("state/lists/a", "198.51.100.1\n");
	chmod("state", 0777);
	assert_int_equal(load_over(&r, NULL, "state", false, &past, &d), -EINVAL);
	assert_non_null(strstr(told(&d), "W: state: others may write to it, so no copies of lists are kept in it"));
	chmod("state", 0700);
	assert_int_equal(load_over(&r, NULL, "state", false, &past, &d), 0);
	assert_int_equal(load_over(&r, NULL, "elsewhere", false, &past, &d), -EINVAL);
	assert_int_equal(stat("elsewhere", &st), -1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(private_ranges_are_refused_where_a_list_refuses),
		cmocka_unit_test(wide_prefixes_are_refused),
		cmocka_unit_test(a_list_that_covers_an_admin_or_exempt_source_is_refused),
		cmocka_unit_test(what_a_file_is_must_fit_what_the_list_is_for),
		cmocka_unit_test(old_data_expires),
		cmocka_unit_test(a_great_change_is_held_up),
		cmocka_unit_test(a_small_list_may_change_by_a_few),
		cmocka_unit_test(a_refused_list_stays_as_it_is_in_force_and_the_rest_changes),
		cmocka_unit_test(what_is_in_force_already_is_taken_whatever_the_guards_say),
		cmocka_unit_test(at_boot_the_copy_on_disk_stands_in),
	};

	return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
