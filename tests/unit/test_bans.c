// SPDX-License-Identifier: GPL-2.0-only
/* Bans as words and lines say them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include "bans.h"

#define NOW_MS 1700000000000LL

static struct ban_defaults def = { .now_ms = NOW_MS };

/* What a line comes to, in words; malloc'd. "!..." is an error. */
static char *read_line(const char *line, enum ban_format *format)
{
	__cleanup_free char *copy = xstrdup(line), *why = NULL, *saved = NULL;
	struct ban_wish w;
	char *text;

	if (ban_line(&w, format, &def, copy, &why)) {
		assert_non_null(why);
		return xasprintf("!%s", why);
	}
	assert_null(why);
	if (w.verb == BAN_NOTHING) {
		ban_wish_free(&w);
		return xstrdup("");
	}
	saved = ban_saved(&w.ban, NOW_MS);
	text = xasprintf("%s%s%s", w.verb == BAN_DEL ? "del " : "", saved, w.n > 1 ? " and more" : "");
	ban_wish_free(&w);
	return text;
}

static void expect_line(enum ban_format format, const char *line, const char *wanted)
{
	__cleanup_free char *got = read_line(line, &format);

	if (wanted[0] == '!' && got[0] == '!' && strstr(got, wanted + 1))
		return;
	assert_string_equal(got, wanted);
}
#define PLAIN(line, wanted) expect_line(BAN_DETECT, line, wanted)
#define CROWD(line, wanted) expect_line(BAN_DETECT, line, wanted)

#define HAND " port any source hand"

static void plain_lines_say_what_they_say(void **state)
{
	(void)state;
	PLAIN("192.0.2.7", "192.0.2.7 until 1700000600.000" HAND);
	PLAIN("  ban\t192.0.2.7 for 1h # why", "192.0.2.7 until 1700003600.000" HAND);
	PLAIN("add 192.0.2.0/24 for forever", "192.0.2.0/24 until forever" HAND);
	PLAIN("192.0.2.7 for -1\r", "192.0.2.7 until forever" HAND);
	PLAIN("192.0.2.7,192.0.2.8 198.51.100.0/24 for 90", "192.0.2.7 until 1700000090.000" HAND " and more");
	PLAIN("192.0.2.7 port smtp,465,submission", "192.0.2.7 until 1700000600.000 port 25,465,587 source hand");
	PLAIN("192.0.2.7 port 587, 25 for 1m", "192.0.2.7 until 1700000060.000 port 25,587 source hand");
	PLAIN("192.0.2.7 port 100-200,150:300,301", "192.0.2.7 until 1700000600.000 port 100-301 source hand");
	PLAIN("192.0.2.7 port 0:65535 source f2b-x", "192.0.2.7 until 1700000600.000 port any source f2b-x");
	PLAIN("192.0.2.7 port any", "192.0.2.7 until 1700000600.000" HAND);
	PLAIN("192.0.2.7 until 1700000001.25", "192.0.2.7 until 1700000001.250" HAND);
	PLAIN("192.0.2.7 until 1600000000", "192.0.2.7 until 1700000000.000" HAND);
	PLAIN("192.0.2.7 reason too many # failures", "192.0.2.7 until 1700000600.000" HAND " reason too many # failures");
	PLAIN("unban 192.0.2.7 source a/b:c", "del 192.0.2.7 until 1700000600.000 port any source a/b:c");
	PLAIN("2001:db8::7", "2001:db8::/64 until 1700000600.000" HAND);
	PLAIN("2001:db8::7/128", "2001:db8::7/128 until 1700000600.000" HAND);
	PLAIN("2001:db8::/48", "2001:db8::/48 until 1700000600.000" HAND);
	PLAIN("", "");
	PLAIN("# 192.0.2.7", "");
	PLAIN("   ", "");
}

static void a_line_that_cannot_be_says_why(void **state)
{
	(void)state;
	PLAIN("mail.example.org", "!is not an address");
	PLAIN("192.0.2.7/24", "!host bits");
	PLAIN("0.0.0.0/0", "!everybody");
	PLAIN("::/0", "!everybody");
	PLAIN("192.0.2.7 for", "!wants a word behind it");
	PLAIN("192.0.2.7 for 0", "!0 seconds");
	PLAIN("192.0.2.7 for 10y", "!not a duration");
	PLAIN("192.0.2.7 until nan", "!is no moment");
	PLAIN("192.0.2.7 until -1", "!is no moment");
	PLAIN("192.0.2.7 port smpt", "!did you mean \"smtp\"");
	PLAIN("192.0.2.7 port 1,3,5,7,9,11,13,15,17,19,21,23,25,27,29", "!14 ports");
	PLAIN("192.0.2.7 source a;b", "!cannot be the source");
	PLAIN("192.0.2.7 source 12345678901234567890123456789012345678901234567890123456", "!1 to 55 letters");
	PLAIN("for 3", "!where an address belongs");
	PLAIN("unban 192.0.2.7 for 3", "!`unban` takes");
	PLAIN("ban", "!address is missing");
}

static void a_long_reason_is_cut_between_characters(void **state)
{
	(void)state;
	PLAIN("192.0.2.7 reason 123456789012345678901234567890123456789012345678901234567890",
	      "192.0.2.7 until 1700000600.000" HAND " reason 1234567890123456789012345678901234567890123456789012345");
	PLAIN("192.0.2.7 reason 123456789012345678901234567890123456789012345678901234\xc3\xa9",
	      "192.0.2.7 until 1700000600.000" HAND " reason 123456789012345678901234567890123456789012345678901234");
	PLAIN("192.0.2.7 reason a\033[2Jb", "192.0.2.7 until 1700000600.000" HAND " reason a?[2Jb");
}

#define DECISION(action, value, more) "{\"action\":\"" action "\",\"value\":\"" value "\"" more "}"

static void crowdsec_lines_say_what_they_say(void **state)
{
	(void)state;
	CROWD(DECISION("add", "192.0.2.7", ",\"duration\":\"3h59m51.5s\",\"id\":1,\"origin\":\"CAPI\",\"scenario\":\"crowdsecurity/ssh-bf\","
		       "\"scope\":\"Ip\",\"type\":\"ban\",\"uuid\":\"x\""),
	      "192.0.2.7 until 1700014391.500 port any source CAPI reason crowdsecurity/ssh-bf");
	CROWD(DECISION("add", "192.0.2.0/24", ",\"scope\":\"Range\",\"duration\":\"300ms\""),
	      "192.0.2.0/24 until 1700000000.300 port any source crowdsec");
	CROWD(DECISION("add", "2001:db8::7", ",\"duration\":\"1h0m0s\",\"origin\":\"lists:a b\""),
	      "2001:db8::/64 until 1700003600.000 port any source lists:a-b");
	CROWD(DECISION("add", "192.0.2.7", ",\"duration\":\"-5m3s\""), "192.0.2.7 until 1700000000.000 port any source crowdsec");
	CROWD(DECISION("add", "192.0.2.7", ",\"duration\":\"2562047h47m16.854775807s\""),
	      "192.0.2.7 until 10923372036.854 port any source crowdsec");
	CROWD(DECISION("del", "192.0.2.7", ",\"origin\":\"CAPI\""), "del 192.0.2.7 until 1700000600.000 port any source CAPI");
	CROWD(DECISION("add", "192.0.2.7", ",\"type\":\"captcha\""), "");
	CROWD(DECISION("add", "192.0.2.7", ",\"simulated\":true"), "");
	CROWD(DECISION("add", "DE", ",\"scope\":\"Country\""), "!only addresses and ranges");
	CROWD(DECISION("add", "192.0.2.7", ",\"duration\":\"3y\""), "!is no duration");
	CROWD(DECISION("add", "192.0.2.7", ",\"duration\":\"1.2.3s\""), "!is no duration");
	CROWD(DECISION("do", "192.0.2.7", ""), "!neither add nor del");
	CROWD("{\"action\":\"add\"}", "!without");
	CROWD("{\"action\":", "!no JSON object");
	expect_line(BAN_CROWDSEC, "[1]", "!no JSON object");
	expect_line(BAN_PLAIN, "{}", "!is not an address");
}

static void the_first_line_says_the_format(void **state)
{
	enum ban_format format = BAN_DETECT;
	__cleanup_free char *nothing = read_line("  ", &format), *first = NULL, *second = NULL;

	(void)state;
	assert_int_equal(format, BAN_DETECT);
	first = read_line(DECISION("add", "192.0.2.7", ""), &format);
	assert_int_equal(format, BAN_CROWDSEC);
	second = read_line("192.0.2.8", &format);
	assert_int_equal(*second, '!');
}

static void a_saved_ban_is_read_back(void **state)
{
	static const struct port_range ports[] = { { 1, 2 }, { 25, 25 }, { 60000, 65535 } };
	struct ban b = { .p = { .family = 6, .len = 128, .addr = { 0x20, 1, [15] = 9 } }, .left_ms = 12345, .nports = 3 };
	__cleanup_free char *line = NULL, *why = NULL;
	enum ban_format format = BAN_PLAIN;
	struct ban_wish w;

	(void)state;
	memcpy(b.ports, ports, sizeof(ports));
	strcpy(b.owner, "f2b-postfix");
	strcpy(b.reason, "for port until source reason");
	line = ban_saved(&b, NOW_MS);
	assert_int_equal(ban_line(&w, &format, &def, line, &why), 0);
	assert_int_equal(w.verb, BAN_ADD);
	assert_int_equal(w.n, 1);
	assert_memory_equal(&w.ban.p, &b.p, sizeof(b.p));
	assert_int_equal(w.ban.left_ms, b.left_ms);
	assert_int_equal(w.ban.nports, 3);
	assert_memory_equal(w.ban.ports, b.ports, sizeof(b.ports));
	assert_string_equal(w.ban.owner, b.owner);
	assert_string_equal(w.ban.reason, b.reason);
	ban_wish_free(&w);
}

static void spans_are_read_at_a_glance(void **state)
{
	char buf[BAN_SPAN];

	(void)state;
	assert_string_equal(ban_span(-1, buf), "for ever");
	assert_string_equal(ban_span(1, buf), "for 1s");
	assert_string_equal(ban_span(600000, buf), "for 10m");
	assert_string_equal(ban_span(599001, buf), "for 10m");
	assert_string_equal(ban_span(90061000, buf), "for 1d1h1m1s");
	assert_string_equal(ban_span(0, buf), "for 0s");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(plain_lines_say_what_they_say),
		cmocka_unit_test(a_line_that_cannot_be_says_why),
		cmocka_unit_test(a_long_reason_is_cut_between_characters),
		cmocka_unit_test(crowdsec_lines_say_what_they_say),
		cmocka_unit_test(the_first_line_says_the_format),
		cmocka_unit_test(a_saved_ban_is_read_back),
		cmocka_unit_test(spans_are_read_at_a_glance),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
