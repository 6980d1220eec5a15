// SPDX-License-Identifier: GPL-2.0-only
/* Lists as others publish them: ranges, Postfix's tables, JSON Lines, ipset. */
#include <arpa/inet.h>
#include <errno.h>
#include "listfile.h"
#include "told.h"

static char *scan(struct listfile *f, const char *text, struct diag *d)
{
	static char all[8192];
	char one[PREFIX_TEXT];

	f->name = "l";
	f->text = (char *)text;
	f->len = strlen(text);
	all[0] = '\0';
	if (listfile_scan(f, d))
		return NULL;
	for (size_t i = 0; i < f->n; i++) {
		strcat(all, i ? " " : "");
		strcat(all, prefix_text(&f->v[i], one));
	}
	free(take(f->v));
	return all;
}

struct row {
	const char *text, *says; /* the prefixes, or messages that begin with "E: " */
	enum list_take take;
};

static void assert_rows(const struct row *row, size_t n, enum list_format format)
{
	for (size_t i = 0; i < n; i++) {
		__cleanup_diag struct diag d = { 0 };
		struct listfile f = { .take = row[i].take };
		const char *got = scan(&f, row[i].text, &d);

		assert_string_equal(got ? got : told(&d), row[i].says);
		assert_int_equal(f.format, format);
		assert_true(got || (!f.v && !f.n));
	}
}
#define ROWS(v, format) assert_rows(v, sizeof(v) / sizeof(v[0]), format)

static void ranges_become_prefixes(void **state)
{
	static const struct row rows[] = {
		{ "192.0.2.0-192.0.2.255\n", "192.0.2.0/24" },
		{ "192.0.2.1-192.0.2.1", "192.0.2.1" },
		{ "192.0.2.1-192.0.2.6 # six\n", "192.0.2.1 192.0.2.2/31 192.0.2.4/31 192.0.2.6" },
		{ "0.0.0.1-0.0.0.2;", "0.0.0.1 0.0.0.2" },
		{ "255.255.255.254-255.255.255.255", "255.255.255.254/31" },
		{ "0.0.0.0-127.255.255.255", "0.0.0.0/1" },
		{ "2001:db8::-2001:db8::ffff\r\n", "2001:db8::/112" },
		{ "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe-ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
		  "ffff:ffff:ffff:ffff:ffff:ffff:ffff:fffe/127" },
		{ "::-7fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "::/1" },
	};

	(void)state;
	ROWS(rows, LIST_PLAIN);
}

/* Whatever the quick readers take, word_prefix() takes as the same. */
static void every_spelling_of_an_address_is_read_as_in_a_sentence(void **state)
{
	static const char letters[] = "0123456789abcdefABCDEFx:./%-::::....";
	static const char *const starts[] = { "", "::", "2001:db8:", "192.0.2.", "1.2.3.4/", "::ffff:", "0:0:0:0:0:ffff:", "2001::/" };
	uint64_t seed = 99;
	size_t good = 0;

	(void)state;
	for (int round = 0; round < 300000; round++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_free struct prefix *v = NULL;
		char word[64];
		struct prefix p;
		size_t n, len = 0;
		bool ok;

		strcpy(word, starts[dice(&seed) % 8]);
		for (size_t i = 1 + dice(&seed) % (round % 2 ? 4 : 16); i--;)
			len = strlen(word), word[len] = letters[dice(&seed) % (sizeof(letters) - 1)], word[len + 1] = '\0';
		if (strchr(word, '-') || !*word)
			continue;
		ok = !word_prefix(word, strlen(word), &p, NULL) && p.len;
		if (ok != !listfile_parse("l", word, strlen(word), &v, &n, &d))
			fail_msg("\"%s\": %s", word, told(&d));
		if (!ok)
			continue;
		good++;
		assert_int_equal(n, 1);
		assert_int_equal(prefix_cmp(v, &p), 0);
	}
	assert_true(good > 5000);
}

static void of_a_postfix_table_the_lines_that_reject_are_taken(void **state)
{
	static const struct row rows[] = {
		{ "# postscreen_access.cidr\n192.0.2.0/24\treject\n2001:db8::/32 REJECT you are listed\n", "192.0.2.0/24 2001:db8::/32" },
		{ "192.0.2.1 permit\n192.0.2.2 OK\n", "192.0.2.1 192.0.2.2" },
		{ "192.0.2.1 permit\n192.0.2.2 reject\n",
		  "E: l:2:1: the table permits (line 1) and rejects (line 2); say which of them the list is to hold: \"take reject\" or "
		  "\"take permit\" behind the file in its sentence" },
		{ "192.0.2.1 permit\n192.0.2.2 reject\n", "192.0.2.2", TAKE_REJECT },
		{ "192.0.2.1 permit\n192.0.2.2 reject\n", "192.0.2.1", TAKE_PERMIT },
		{ "192.0.2.1 permit\n", "", TAKE_REJECT },
		/* the first line that fits decides */
		{ "192.0.2.64/26 dunno\n192.0.2.0/24 reject\n", "192.0.2.0/26 192.0.2.128/25" },
		{ "192.0.2.0/24 reject\n192.0.2.64/26 dunno\n", "192.0.2.0/24" },
		{ "192.0.2.0/24 permit\n192.0.2.64/26 reject\n", "", TAKE_REJECT },
		{ "192.0.2.1 reject\n192.0.2.0/24 dunno\n192.0.2.0/24 reject\n", "192.0.2.1" },
		{ "192.0.2.0/24 dunno\n192.0.2.0/24 reject\n", "" },
		{ "192.0.2.1 reject\n0.0.0.0/0 dunno\n192.0.2.2 reject\n", "192.0.2.1" },
		{ "192.0.2.1 dunno\n192.0.2.3 dunno\n192.0.2.0/30 reject\n", "192.0.2.0 192.0.2.2" },
		{ "192.0.2.1-192.0.2.2 reject\n", "192.0.2.1 192.0.2.2" },
		{ "192.0.2.1 reject\n0.0.0.0/0 reject\n",
		  "E: l:2:1: 0.0.0.0/0 is everything, and a list cannot hold that; write \"any\" in the sentence instead" },
		{ "192.0.2.1 reject\n192.0.2.2 prepend X\n192.0.2.3\n",
		  "E: l:2:11: unknown action \"prepend\"; permit, reject and dunno are known\n"
		  "E: l:3:1: no action behind \"192.0.2.3\"; permit, reject and dunno are known" },
		{ "192.0.2.1 reject\n  and more\n",
		  "E: l:2:1: a line that begins with a blank continues the one before it in such a table; join them" },
		{ "if 192.0.2.0/24\n!192.0.2.2 reject\nendif\n",
		  "E: l:1:1: \"if\": conditions are not followed here; write the prefixes that are meant\n"
		  "E: l:2:1: \"!192.0.2.2\": conditions are not followed here; write the prefixes that are meant\n"
		  "E: l:3:1: \"endif\": conditions are not followed here; write the prefixes that are meant" },
		{ "192.0.2.7/24 reject\n", "E: l:1:1: 192.0.2.7/24 has host bits set; did you mean 192.0.2.0/24?" },
	};

	(void)state;
	ROWS(rows, LIST_TABLE);
}

#define TRAILER "{\"type\":\"metadata\",\"timestamp\":1788000000,\"size\":99,\"records\":2,\"copyright\":\"(c) \\u00e9\",\"terms\":\"x\"}\n"

static void json_lines_are_counted_by_their_metadata(void **state)
{
	static const struct row rows[] = {
		{ "{\"cidr\":\"192.0.2.0/24\",\"sblid\":\"SBL1\",\"rir\":\"arin\"}\r\n{ \"x\" : [1,-2.5e3,{\"y\":null}], \"cidr\":\"2001:db8::/32\" }\n"
		  TRAILER, "192.0.2.0/24 2001:db8::/32" },
		{ "{\"cidr\":\"192.0.2.0\\/24\"}\n{\"cidr\":\"192\\u002e0.2.1\"}\n", "192.0.2.0/24 192.0.2.1" },
		/* two published files in one */
		{ "{\"cidr\":\"192.0.2.1\"}\n{\"cidr\":\"192.0.2.2\"}\n" TRAILER "{\"cidr\":\"::1\"}\n{\"cidr\":\"::2\"}\n" TRAILER,
		  "192.0.2.1 192.0.2.2 ::1 ::2" },
		{ "{\"cidr\":\"192.0.2.1\"}\n" TRAILER "{\"cidr\":\"192.0.2.2\"}\n",
		  "E: l:2:1: 1 records stand above, and the metadata counts 2: the file is not whole" },
		{ "{\"type\":\"metadata\"}\n", "E: l:1:1: metadata without a number of \"records\", so that nothing shows whether the file is "
					     "whole" },
		{ "{\"type\":\"metadata\",\"records\":-1}\n", "E: l:1:1: metadata without a number of \"records\", so that nothing shows "
							   "whether the file is whole" },
		{ "{\"asn\":64500}\n", "E: l:1:1: no member \"cidr\"; each line is an object with one, such as {\"cidr\":\"192.0.2.0/24\"}" },
		{ "{\"cidr\":\"192.0.2.1\"}\n{\"cidr\":\"192.0.2", "E: l:2:17: not a JSON object: the line ends too early" },
		{ "{\"cidr\":7}", "E: l:1:9: not a JSON object" },
		{ "{\"cidr\":\"192.0.2.1\",\"cidr\":\"192.0.2.2\"}", "E: l:1:28: not a JSON object" },
		{ "{\"cidr\":\"192.0.2.1\"} x", "E: l:1:22: not a JSON object" },
		{ "{\"cidr\":\"192.0.2.1\",}", "E: l:1:21: not a JSON object" },
		{ "{\"a\":01,\"cidr\":\"192.0.2.1\"}", "E: l:1:7: not a JSON object" },
		{ "{\"a\":[[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]],\"cidr\":\"192.0.2.1\"}", "E: l:1:22: not a JSON object" },
		{ "{\"cidr\":\"192.0.2.1/24\"}", "E: l:1:9: 192.0.2.1/24 has host bits set; did you mean 192.0.2.0/24?" },
		{ "{\"cidr\":\"0.0.0.0/0\"}", "E: l:1:9: 0.0.0.0/0 is everything, and a list cannot hold that; write \"any\" in the sentence "
					    "instead" },
		{ "{\"cidr\":\"192.0.2.1\"}\n192.0.2.2\n", "E: l:2:1: this line is of a plain list, and the file began as JSON Lines; a list's "
							 "file is of one kind" },
	};
	__cleanup_diag struct diag d = { 0 };
	struct listfile f = { 0 };

	(void)state;
	ROWS(rows, LIST_JSON);
	scan(&f, rows[0].text, &d);
	assert_true(f.counted);
	assert_int_equal(f.dated, 1788000000);
	scan(&f, rows[1].text, &d);
	assert_false(f.counted);
	assert_int_equal(f.dated, 0);
	scan(&f, "{\"cidr\":\"192.0.2.1\"}\n{\"cidr\":\"192.0.2.2\"}\n" TRAILER "{\"cidr\":\"::1\"}\n", &d);
	assert_false(f.counted);
}

#define CREATE4 "create bad hash:net family inet hashsize 1024 maxelem 65536 bucketsize 12 initval 0x1\n"
#define CREATE6 "create bad6 hash:net family inet6 hashsize 1024 maxelem 65536 timeout 600 counters comment\n"

static void what_ipset_saves_is_read(void **state)
{
	static const struct row rows[] = {
		{ CREATE4 "add bad 192.0.2.0/24\nadd bad 198.51.100.7 comment \"a nomatch b\"\r\n", "192.0.2.0/24 198.51.100.7" },
		{ "add bad 192.0.2.1\nadd worse 2001:db8::/32 -exist\n", "192.0.2.1 2001:db8::/32" },
		{ CREATE4 "add bad 192.0.2.0/24\nadd bad 192.0.2.64/26 nomatch\n", "192.0.2.0/26 192.0.2.128/25" },
		/* the most specific entry decides, in any order */
		{ CREATE4 "add bad 192.0.2.65\nadd bad 192.0.2.64/26 nomatch\nadd bad 192.0.2.0/24\n", "192.0.2.0/26 192.0.2.65 192.0.2.128/25" },
		{ CREATE4 "add bad 192.0.2.0/24 nomatch\n", "" },
		{ "create bad hash:ip family inet netmask 24\nadd bad 192.0.2.0\n", "192.0.2.0/24" },
		{ CREATE4, "" },
		{ CREATE4 "add bad 2001:db8::/32\n", "E: l:2:9: \"2001:db8::/32\" is IPv6, and the set \"bad\" is of the other family" },
		{ CREATE4 "add other 192.0.2.1\n", "E: l:2:5: no set \"other\" was created above" },
		{ CREATE4 "create other hash:ip\n", "E: l:2:8: a second set, \"other\" after \"bad\"; a list's file holds one of each family: ipset "
						  "save bad" },
		{ "create p hash:ip,port family inet\n", "E: l:1:10: the set \"p\" is of type hash:ip,port, and a list holds what hash:ip and "
							 "hash:net hold" },
		{ "create b bitmap:ip range 192.0.2.0/24\n", "E: l:1:10: the set \"b\" is of type bitmap:ip, and a list holds what hash:ip and "
							     "hash:net hold" },
		{ CREATE4 "flush bad\n", "E: l:2:1: this line is of a plain list, and the file began as an ipset save; a list's file is of one "
					 "kind" },
		{ CREATE4 "add bad 192.0.2.1 wings\n", "E: l:2:19: unexpected \"wings\"" },
		{ CREATE4 "add bad 192.0.2.1 timeout soon\n", "E: l:2:19: unexpected \"timeout\"" },
		{ CREATE4 "add bad\n", "E: l:2:8: expected the name of a set and an entry" },
		{ CREATE4 "add bad 192.0.2.1,tcp:25\n", "E: l:2:9: \"192.0.2.1,tcp:25\" is not an address; write 192.0.2.1, 192.0.2.0/24 or "
							"2001:db8::/32 (names are not looked up)" },
		{ CREATE4 "add bad 0.0.0.0/0\n", "E: l:2:9: 0.0.0.0/0 is everything, and a list cannot hold that; write \"any\" in the sentence "
						 "instead" },
	};
	__cleanup_diag struct diag d = { 0 };
	struct listfile f = { 0 };

	(void)state;
	ROWS(rows, LIST_IPSET);
	assert_string_equal(scan(&f, CREATE4 CREATE6 "add bad 192.0.2.1 timeout 0\nadd bad6 ::1 timeout 99 packets 0 bytes 0\n", &d),
			    "192.0.2.1 ::1");
	assert_string_equal(told(&d), "N: l: the list holds both sets, \"bad\" and \"bad6\"\n"
				      "W: l: 1 entries have a timeout, which a list does not keep: they stay until the file is read again; "
				      "what is to end by itself is a ban");
}

/* ---- what is taken out of others, against looking at every address ---- */

struct line {
	struct prefix p;
	int action;
};

static bool in_table(const struct line *v, size_t n, const struct prefix *host)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_covers(&v[i].p, host))
			return v[i].action == 0;
	return false;
}

static bool in_set(const struct line *v, size_t n, const struct prefix *host)
{
	int best = -1, action = 1;

	for (size_t i = 0; i < n; i++)
		if (prefix_covers(&v[i].p, host) && v[i].p.len > best) {
			best = v[i].p.len;
			action = v[i].action;
		}
	return action == 0;
}

static bool has(const struct line *v, size_t n, const struct prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (!prefix_cmp(&v[i].p, p))
			return true;
	return false;
}

static void holes_are_cut_as_the_others_would_judge(void **state)
{
	uint64_t seed = 7;

	(void)state;
	for (int round = 0; round < 400; round++) {
		__cleanup_diag struct diag d = { 0 };
		struct listfile f = { .name = "l", .take = TAKE_REJECT };
		struct line v[24];
		char text[4096] = "", one[PREFIX_TEXT];
		size_t n = 2 + dice(&seed) % 22, k = 0;
		bool table = round % 2;

		for (size_t i = 0; i < n; i++) {
			struct line l = { .p = { .family = 4, .len = 24 + dice(&seed) % 9, .addr = { 203, 0, 113 } }, .action = dice(&seed) % 2 };

			l.p.addr[3] = dice(&seed) & (0xff00 >> (l.p.len - 24));
			if (!table && has(v, k, &l.p))
				continue;
			v[k++] = l;
			sprintf(text + strlen(text), table ? "%s %s\n" : "add s %s%s\n", prefix_text(&l.p, one),
				table ? l.action ? "dunno" : "reject" : l.action ? " nomatch" : "");
		}
		f.text = text;
		f.len = strlen(text);
		if (listfile_scan(&f, &d))
			fail_msg("%s", told(&d));
		for (unsigned int a = 0; a < 256; a++) {
			struct prefix host = { .family = 4, .len = 32, .addr = { 203, 0, 113, a } };
			bool is = false;

			for (size_t i = 0; i < f.n; i++)
				is |= prefix_covers(&f.v[i], &host);
			if (is != (table ? in_table(v, k, &host) : in_set(v, k, &host)))
				fail_msg("203.0.113.%u in\n%s", a, text);
		}
		free(f.v);
	}
}

static void the_line_of_a_prefix_is_found_again(void **state)
{
	static const char *const text[] = {
		"# one\n192.0.2.0/25\n\n192.0.2.200-192.0.2.203\n", "192.0.2.0/25 reject\n192.0.2.99 dunno\n\n192.0.2.200/30 reject\n",
		"{\"cidr\":\"192.0.2.0/25\"}\n\n\n{\"cidr\":\"192.0.2.200/30\"}\n", "create s hash:net\nadd s 192.0.2.0/25\n\nadd s 192.0.2.200/30\n",
	};
	const unsigned int first[] = { 2, 1, 1, 2 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		__cleanup_diag struct diag d = { 0 };
		struct listfile f = { .name = "l", .text = (char *)text[i], .len = strlen(text[i]) };

		assert_int_equal(listfile_scan(&f, &d), 0);
		assert_int_equal(f.n, 2);
		assert_int_equal(listfile_line(&f, &f.v[0]), first[i]);
		assert_int_equal(listfile_line(&f, &f.v[1]), 4);
		free(f.v);
	}
}

static void a_line_of_a_megabyte_is_only_a_line(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free char *text = xmalloc((1 << 20) + 64);
	__cleanup_free struct prefix *v = NULL;
	size_t n;

	(void)state;
	memset(text, 'x', 1 << 20);
	memcpy(text, "192.0.2.1 # ", 12);
	strcpy(text + (1 << 20), "\n192.0.2.2\n");
	assert_int_equal(listfile_parse("l", text, strlen(text), &v, &n, &d), 0);
	assert_int_equal(n, 2);
	memset(text, 'x', 12);
	assert_int_equal(listfile_parse("l", text, strlen(text), &v, &n, &d), -EINVAL);
	assert_int_equal(d.n, 1);
	assert_true(strlen(d.msg[0].text) < 300);
}

static void prefixes_are_sorted_the_same_however_many(void **state)
{
	uint64_t seed = 3;

	(void)state;
	for (int round = 0; round < 40; round++) {
		size_t n = dice(&seed) % 3000, m = n;
		__cleanup_free struct prefix *a = xcalloc(n + 1, sizeof(*a)), *b = xcalloc(n + 1, sizeof(*b));

		for (size_t i = 0; i < n; i++) {
			a[i].family = dice(&seed) % 3 ? 4 : 6;
			a[i].len = a[i].family == 4 ? 24 : 64;
			for (int k = 0; k < (a[i].family == 4 ? 3 : 8); k++)
				a[i].addr[k] = round % 2 ? dice(&seed) : dice(&seed) % 4;
		}
		memcpy(b, a, n * sizeof(*a));
		qsort(b, n, sizeof(*b), prefix_cmp);
		for (size_t i = m = 0; i < n; i++)
			if (!m || prefix_cmp(&b[m - 1], &b[i]))
				b[m++] = b[i];
		{
			/* as a text, for that is how they are sorted */
			__cleanup_diag struct diag d = { 0 };
			__cleanup_free char *text = xcalloc(n + 1, PREFIX_TEXT);
			__cleanup_free struct prefix *v = NULL;
			char one[PREFIX_TEXT], *to = text;
			size_t got;

			for (size_t i = 0; i < n; i++)
				to = stpcpy(stpcpy(to, prefix_text(&a[i], one)), "\n");
			assert_int_equal(listfile_parse("l", text, to - text, &v, &got, &d), 0);
			assert_int_equal(got, m);
			for (size_t i = 0; i < m; i++)
				assert_int_equal(prefix_cmp(&v[i], &b[i]), 0);
		}
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(ranges_become_prefixes),
		cmocka_unit_test(every_spelling_of_an_address_is_read_as_in_a_sentence),
		cmocka_unit_test(of_a_postfix_table_the_lines_that_reject_are_taken),
		cmocka_unit_test(json_lines_are_counted_by_their_metadata),
		cmocka_unit_test(what_ipset_saves_is_read),
		cmocka_unit_test(holes_are_cut_as_the_others_would_judge),
		cmocka_unit_test(the_line_of_a_prefix_is_found_again),
		cmocka_unit_test(a_line_of_a_megabyte_is_only_a_line),
		cmocka_unit_test(prefixes_are_sorted_the_same_however_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
