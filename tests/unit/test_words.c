// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <locale.h>
#include <netdb.h>
#include "told.h"

static void assert_ports(const char *s, unsigned int lo, unsigned int hi)
{
	__cleanup_free char *why = NULL;
	struct port_range p = { 0 };

	if (word_ports(s, strlen(s), &p, &why))
		fail_msg("\"%s\": %s", s, why);
	if (p.lo != lo || p.hi != hi)
		fail_msg("\"%s\" is %u-%u, not %u-%u", s, p.lo, p.hi, lo, hi);
}

static void every_mail_name_and_alias_is_known(void **state)
{
	static const struct {
		const char *name;
		unsigned int port;
	} row[] = {
		{ "smtp", 25 }, { "mail", 25 }, { "submission", 587 }, { "msa", 587 }, { "submissions", 465 },
		{ "smtps", 465 }, { "ssmtp", 465 }, { "urd", 465 }, { "imap", 143 }, { "imap2", 143 }, { "imaps", 993 },
		{ "pop3", 110 }, { "pop-3", 110 }, { "pop3s", 995 }, { "sieve", 4190 }, { "managesieve", 4190 },
		{ "lmtp", 24 }, { "ssh", 22 }, { "http", 80 }, { "https", 443 },
		/* ufw's application profiles, firewalld's services */
		{ "Postfix", 25 }, { "Postfix SMTPS", 465 }, { "Postfix Submission", 587 }, { "Dovecot IMAP", 143 },
		{ "Dovecot Secure IMAP", 993 }, { "Dovecot POP3", 110 }, { "Dovecot Secure POP3", 995 }, { "SMTP", 25 },
		{ "SMTPS", 465 }, { "IMAPS", 993 }, { "POP3S", 995 }, { "Mail submission", 587 }, { "OpenSSH", 22 },
		{ "smtp-submission", 587 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++)
		assert_ports(row[i].name, row[i].port, row[i].port);
}

static void ports_are_read_in_every_way_tools_write_them(void **state)
{
	(void)state;
	assert_ports("25", 25, 25);
	assert_ports("1", 1, 1);
	assert_ports("65535", 65535, 65535);
	assert_ports("25/tcp", 25, 25);
	assert_ports("smtp/tcp", 25, 25);
	assert_ports("Postfix SMTPS/TCP", 465, 465);
	assert_ports("1000-2000", 1000, 2000);
	assert_ports("6000:6010", 6000, 6010);
	assert_ports("6000:6010/tcp", 6000, 6010);
	assert_ports("7-7", 7, 7);
	assert_ports("any", 1, 65535);
	assert_ports("0:65535", 1, 65535);
}

static void a_word_is_read_by_its_length_not_its_nul(void **state)
{
	struct port_range p;
	struct prefix a;
	char text[] = "25,smtps 192.0.2.1/327";

	(void)state;
	assert_int_equal(word_ports(text, 2, &p, NULL), 0);
	assert_int_equal(p.lo, 25);
	assert_int_equal(word_ports(text + 3, 4, &p, NULL), 0);
	assert_int_equal(p.lo, 25);
	assert_int_equal(word_prefix(text + 9, 12, &a, NULL), 0);
	assert_int_equal(a.len, 32);
	assert_int_equal(word_ports("25\0x", 4, &p, NULL), -22);
	assert_int_equal(word_prefix("192.0.2.1\0x", 11, &a, NULL), -22);
}

static void what_is_no_port_is_refused_with_its_remedy(void **state)
{
	static const char *const row[][2] = {
		{ "smpt", "unknown service \"smpt\"; did you mean \"smtp\"?" },
		{ "submision", "unknown service \"submision\"; did you mean \"submission\"?" },
		{ "imasp", "unknown service \"imasp\"; did you mean \"imaps\"?" },
		{ "pops", "unknown service \"pops\"; did you mean \"pop3s\"?" },
		{ "Postfix Smpts", "unknown service \"Postfix Smpts\"; did you mean \"Postfix SMTPS\"?" },
		{ "nonsense-word", "unknown service \"nonsense-word\"" },
		{ "imap3", "\"imap3\" is port 220, which is dead; port 993 is \"imaps\" (write 220 if you mean 220)" },
		{ "IMAP3", "\"imap3\" is port 220, which is dead; port 993 is \"imaps\" (write 220 if you mean 220)" },
		{ "0", "port 0 is out of range; ports are 1 to 65535" },
		{ "65536", "port 65536 is out of range; ports are 1 to 65535" },
		{ "99999999999999999999999", "port 99999999999999999999999 is out of range; ports are 1 to 65535" },
		{ "25-70000", "port 70000 is out of range; ports are 1 to 65535" },
		{ "2000-1000", "the range 2000-1000 runs backwards; did you mean 1000-2000?" },
		{ "1000-", "the range \"1000-\" has no end; did you mean 1000-65535?" },
		{ ":1023", "the range \":1023\" has no start; did you mean 1-1023?" },
		{ "-25", "the range \"-25\" has no start; did you mean 1-25?" },
		{ "25x", "\"25x\" is not a port number" },
		{ "25-26-27", "\"26-27\" is not a port number" },
		{ "1-smtp", "\"smtp\" is not a port number" },
		{ "53/udp", "\"53/udp\" is UDP, which passes unjudged: mxdp filters TCP; leave it out" },
		{ "25/sctp", "unknown protocol in \"25/sctp\"; mxdp filters TCP: write it without \"/\"" },
		{ "/tcp", "an empty word where a port or service belongs" },
		{ "", "an empty word where a port or service belongs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_free char *why = NULL;
		struct port_range p;

		assert_int_equal(word_ports(row[i][0], strlen(row[i][0]), &p, &why), -22);
		assert_string_equal(why, row[i][1]);
	}
}

static void a_long_word_is_shown_by_its_start(void **state)
{
	__cleanup_free char *why = NULL;
	struct port_range p;
	char word[5000];

	(void)state;
	memset(word, 'x', sizeof(word));
	assert_int_equal(word_ports(word, sizeof(word), &p, &why), -22);
	assert_in_range(strlen(why), 60, 120);
}

static void port_names_are_the_mail_names(void **state)
{
	(void)state;
	assert_string_equal(port_name(25), "smtp");
	assert_string_equal(port_name(587), "submission");
	assert_string_equal(port_name(465), "submissions");
	assert_string_equal(port_name(143), "imap");
	assert_string_equal(port_name(993), "imaps");
	assert_string_equal(port_name(110), "pop3");
	assert_string_equal(port_name(995), "pop3s");
	assert_string_equal(port_name(4190), "sieve");
	assert_string_equal(port_name(24), "lmtp");
	assert_null(port_name(8026));
}

static void other_port_names_are_those_of_the_services_database(void **state)
{
	const struct servent *e = getservbyport(htons(23), "tcp");

	(void)state;
	if (!e)
		skip(); /* a machine without such a database */
	assert_string_equal(port_name(23), e->s_name);
	/* read once: the same again */
	assert_ptr_equal(port_name(23), port_name(23));
}

static void assert_prefix(const char *s, const char *canonical, unsigned int family, unsigned int len)
{
	__cleanup_free char *why = NULL;
	char text[PREFIX_TEXT];
	struct prefix p;

	if (word_prefix(s, strlen(s), &p, &why))
		fail_msg("\"%s\": %s", s, why);
	assert_int_equal(p.family, family);
	assert_int_equal(p.len, len);
	assert_string_equal(prefix_text(&p, text), canonical);
}

static void addresses_of_both_families_are_read_and_printed(void **state)
{
	(void)state;
	assert_prefix("192.0.2.1", "192.0.2.1", 4, 32);
	assert_prefix("192.0.2.1/32", "192.0.2.1", 4, 32);
	assert_prefix("192.0.2.0/24", "192.0.2.0/24", 4, 24);
	assert_prefix("0.0.0.0/0", "0.0.0.0/0", 4, 0);
	assert_prefix("128.0.0.0/1", "128.0.0.0/1", 4, 1);
	assert_prefix("2001:db8::/32", "2001:db8::/32", 6, 32);
	assert_prefix("2001:DB8:0::1", "2001:db8::1", 6, 128);
	assert_prefix("::/0", "::/0", 6, 0);
	assert_prefix("2001:db8::4:0/110", "2001:db8::4:0/110", 6, 110);
	/* IPv4 in IPv6 clothes is IPv4: no packet carries the other form */
	assert_prefix("::ffff:192.0.2.1", "192.0.2.1", 4, 32);
	assert_prefix("::ffff:192.0.2.0/120", "192.0.2.0/24", 4, 24);
}

static void what_is_no_address_is_refused_with_its_remedy(void **state)
{
	static const char *const row[][2] = {
		{ "192.0.2.7/24", "192.0.2.7/24 has host bits set; did you mean 192.0.2.0/24?" },
		{ "2001:db8::1/32", "2001:db8::1/32 has host bits set; did you mean 2001:db8::/32?" },
		{ "10.0.0.1/0", "10.0.0.1/0 has host bits set; did you mean 0.0.0.0/0?" },
		{ "192.0.2.0/33", "the prefix length of \"192.0.2.0/33\" is out of range; IPv4 has 0 to 32" },
		{ "2001:db8::/129", "the prefix length of \"2001:db8::/129\" is out of range; IPv6 has 0 to 128" },
		{ "192.0.2.0/99999999999999999999",
		  "the prefix length of \"192.0.2.0/99999999999999999999\" is out of range; IPv4 has 0 to 32" },
		{ "192.0.2.0/", "\"192.0.2.0/\" has no prefix length behind the \"/\"" },
		{ "192.0.2.0/x", "the prefix length of \"192.0.2.0/x\" is not a number" },
		{ "192.0.2.0/-1", "the prefix length of \"192.0.2.0/-1\" is not a number" },
		{ "192.0.2.0/255.255.255.0",
		  "\"192.0.2.0/255.255.255.0\" has a netmask for a prefix length; did you mean 192.0.2.0/24?" },
		{ "192.0.2.1-192.0.2.9", "\"192.0.2.1-192.0.2.9\" is a range of addresses; write it as prefixes" },
		{ "fe80::1%eth0", "\"fe80::1%eth0\" names a zone; leave \"%eth0\" out" },
		{ "mx.example.org", "\"mx.example.org\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 "
				    "(names are not looked up)" },
		{ "192.0.2", "\"192.0.2\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 "
			     "(names are not looked up)" },
		{ "192.0.2.256", "\"192.0.2.256\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 "
				 "(names are not looked up)" },
		{ "", "\"\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 (names are not looked up)" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_free char *why = NULL;
		struct prefix p;

		assert_int_equal(word_prefix(row[i][0], strlen(row[i][0]), &p, &why), -22);
		assert_string_equal(why, row[i][1]);
	}
}

static void prefixes_sort_parents_before_children(void **state)
{
	static const char *const sorted[] = { "0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/16", "10.0.0.0", "10.0.0.1", "192.0.2.0/24",
					      "::/0", "2001:db8::/32", "2001:db8::", "2001:db9::/32" };

	(void)state;
	for (size_t i = 0; i < sizeof(sorted) / sizeof(sorted[0]); i++) {
		for (size_t j = 0; j < sizeof(sorted) / sizeof(sorted[0]); j++) {
			struct prefix a = prefix_of(sorted[i]), b = prefix_of(sorted[j]);
			int c = prefix_cmp(&a, &b);

			assert_int_equal((c > 0) - (c < 0), (i > j) - (i < j));
		}
	}
}

static void a_prefix_covers_what_lies_in_it_and_nothing_else(void **state)
{
	static const struct {
		const char *p, *of;
		bool covers;
	} row[] = {
		{ "10.0.0.0/8", "10.255.255.255", true }, { "10.0.0.0/8", "11.0.0.0", false },
		{ "10.0.0.0/8", "10.0.0.0/8", true },     { "10.0.0.0/8", "10.0.0.0/7", false },
		{ "0.0.0.0/0", "203.0.113.9", true },     { "0.0.0.0/0", "2001:db8::1", false },
		{ "::/0", "192.0.2.1", false },           { "::/0", "2001:db8::1", true },
		{ "192.0.2.128/25", "192.0.2.128", true }, { "192.0.2.128/25", "192.0.2.127", false },
		{ "192.0.2.1", "192.0.2.1", true },       { "192.0.2.1", "192.0.2.0", false },
		{ "2001:db8::/33", "2001:db8:8000::", false }, { "2001:db8::/33", "2001:db8:7fff::", true },
		{ "2001:db8::1", "2001:db8::1", true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		struct prefix p = prefix_of(row[i].p), of = prefix_of(row[i].of);

		if (prefix_covers(&p, &of) != row[i].covers)
			fail_msg("%s covers %s: not as promised", row[i].p, row[i].of);
	}
}

static void durations_are_read_in_all_units(void **state)
{
	static const struct {
		const char *s;
		int64_t seconds;
	} row[] = {
		{ "90", 90 }, { "0", 0 }, { "10m", 600 }, { "45s", 45 }, { "2h", 7200 }, { "1d12h", 129600 }, { "1w", 604800 },
		{ "1d2h3m4s", 93784 }, { "forever", -1 }, { "-1", -1 }, { "9223372036854775807", INT64_MAX },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		int64_t s = -7;

		assert_int_equal(word_duration(row[i].s, strlen(row[i].s), &s, NULL), 0);
		assert_int_equal(s, row[i].seconds);
	}
}

static void what_is_no_duration_is_refused(void **state)
{
	static const char *const junk[] = { "", "m", "10x", "-2", "1.5h", "1d12", "10 m", "m10", "10M", "ten", "1dd", "+5" };
	static const char *const long_ones[] = { "9223372036854775808", "99999999999999999999", "15250284452472w",
						 "9223372036854775807s1s", "106751991167301d" };

	(void)state;
	for (size_t i = 0; i < sizeof(junk) / sizeof(junk[0]); i++) {
		__cleanup_free char *why = NULL, *wanted = NULL;
		int64_t s;

		assert_int_equal(word_duration(junk[i], strlen(junk[i]), &s, &why), -22);
		wanted = xasprintf("\"%s\" is not a duration; write 90 (seconds), 10m, 1d12h or forever", junk[i]);
		assert_string_equal(why, wanted);
	}
	for (size_t i = 0; i < sizeof(long_ones) / sizeof(long_ones[0]); i++) {
		__cleanup_free char *why = NULL, *wanted = NULL;
		int64_t s;

		assert_int_equal(word_duration(long_ones[i], strlen(long_ones[i]), &s, &why), -22);
		wanted = xasprintf("the duration \"%s\" is too long; \"forever\" is longer", long_ones[i]);
		assert_string_equal(why, wanted);
	}
}

static void the_locale_changes_nothing(void **state)
{
	__cleanup_free char *why = NULL;
	struct port_range p;

	(void)state;
	/* whatever the machine has; a Turkish one would make another letter of I */
	if (!setlocale(LC_ALL, "tr_TR.UTF-8") && !setlocale(LC_ALL, "tr_TR"))
		setlocale(LC_ALL, "C.UTF-8");
	assert_ports("IMAP", 143, 143);
	assert_int_equal(word_ports("\xc4\xb1map", 5, &p, &why), -22);
	assert_string_equal(why, "unknown service \"\xc4\xb1map\"");
	setlocale(LC_ALL, "C");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_mail_name_and_alias_is_known),
		cmocka_unit_test(ports_are_read_in_every_way_tools_write_them),
		cmocka_unit_test(a_word_is_read_by_its_length_not_its_nul),
		cmocka_unit_test(what_is_no_port_is_refused_with_its_remedy),
		cmocka_unit_test(a_long_word_is_shown_by_its_start),
		cmocka_unit_test(port_names_are_the_mail_names),
		cmocka_unit_test(other_port_names_are_those_of_the_services_database),
		cmocka_unit_test(addresses_of_both_families_are_read_and_printed),
		cmocka_unit_test(what_is_no_address_is_refused_with_its_remedy),
		cmocka_unit_test(prefixes_sort_parents_before_children),
		cmocka_unit_test(a_prefix_covers_what_lies_in_it_and_nothing_else),
		cmocka_unit_test(durations_are_read_in_all_units),
		cmocka_unit_test(what_is_no_duration_is_refused),
		cmocka_unit_test(the_locale_changes_nothing),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
