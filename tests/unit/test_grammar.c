// SPDX-License-Identifier: GPL-2.0-only
#include <locale.h>
#include "told.h"
#include "sentences.h"

/* The one sentence of a text, printed. Malloc'd. */
static char *canonical(const char *text)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	if (parse(&r, text, &d))
		fail_msg("%s\nof: %s", told(&d), text);
	if (r.n != 1)
		fail_msg("%zu sentences in: %s", r.n, text);
	return stmt_text(&r.v[0]);
}

static void every_sentence_is_understood_and_printed(void **state)
{
	static const char *const row[][2] = {
		{ "interface eth0", "interface eth0" },
		{ "interface eth0 mode native", "interface eth0" },
		{ "interface eth0.7 mode generic", "interface eth0.7 mode generic" },
		{ "interface mode mode auto", "interface mode mode auto" },
		{ "default deny", "default deny" },
		{ "default allow", "default allow" },
		{ "observe", "observe" },
		{ "track socket", "track socket" },
		{ "track socket leases 64k", "track socket leases 64k" },
		{ "track socket leases 1M", "track socket leases 1M" },
		{ "track socket leases 1024k", "track socket leases 1M" },
		{ "track socket leases 100000", "track socket leases 128k" },
		{ "track socket leases 1000", "track socket leases 1k" },
		{ "admin ssh from 192.0.2.0/24", "admin ssh from 192.0.2.0/24" },
		{ "admin 22,2222 from @office, 2001:db8::1", "admin ssh, 2222 from @office, 2001:db8::1" },
		{ "admin ssh from any", "admin ssh from any" },
		{ "exempt 192.0.2.10", "exempt 192.0.2.10" },
		{ "exempt 192.0.2.10, @balancers 2001:db8::/64", "exempt 192.0.2.10, @balancers, 2001:db8::/64" },
		{ "allow smtp", "allow smtp" },
		{ "allow any", "allow any" },
		{ "allow 1-65535 from 10.0.0.0/8", "allow any from 10.0.0.0/8" },
		{ "allow 25,smtps , 1000:2000,993/tcp", "allow smtp, submissions, 1000-2000, imaps" },
		{ "allow \"Postfix SMTPS\", \"Dovecot Secure IMAP\"", "allow submissions, imaps" },
		{ "allow smtp from any", "allow smtp" },
		{ "allow smtp from any, 192.0.2.1", "allow smtp from any, 192.0.2.1" },
		{ "deny imaps from 198.51.100.0/24", "deny imaps from 198.51.100.0/24" },
		{ "deny imaps from 198.51.100.0/24,203.0.113.9 @drop", "deny imaps from 198.51.100.0/24, 203.0.113.9, @drop" },
		{ "deny imaps from 192.0.2.1 from 192.0.2.2", "deny imaps from 192.0.2.1, 192.0.2.2" },
		{ "block @drop", "block @drop" },
		{ "block 192.0.2.1,192.0.2.2", "block 192.0.2.1, 192.0.2.2" },
		{ "list office", "list office" },
		{ "list office 203.0.113.0/24 2001:db8:40::/48", "list office 203.0.113.0/24 2001:db8:40::/48" },
		{ "list office 203.0.113.0/24, 192.0.2.1", "list office 203.0.113.0/24 192.0.2.1" },
		{ "list drop file lists/drop.txt min 500 max 200000", "list drop file lists/drop.txt min 500 max 200000" },
		{ "list d change 50% widest /6 /16 cover yes private yes expire 1d2h take reject min 0 file x",
		  "list d file x min 0 take reject expire 26h private yes cover yes widest /6 /16 change 50%" },
		{ "list d file x private no cover no expire forever change any take permit", "list d file x take permit change any" },
		{ "list d file x expire 90 empty", "list d file x expire 90s empty" },
		{ "list d file x expire 2d keep", "list d file x expire 2d" },
		{ "list drop max 9 file a 192.0.2.1 min 2", "list drop 192.0.2.1 file a min 2 max 9" },
		{ "list file file \"my lists/a,b#c\"", "list file file \"my lists/a,b#c\"" },
		{ "allow smtp comment \"the world may deliver\"", "allow smtp comment \"the world may deliver\"" },
		{ "allow smtp from 192.0.2.1 comment us", "allow smtp from 192.0.2.1 comment \"us\"" },
		{ "list a comment \"say \\\"hi\\\", c:\\\\x # no comment\"", "list a comment \"say \\\"hi\\\", c:\\\\x # no comment\"" },
		{ "observe comment \"\"", "observe comment \"\"" },
		{ "allow submission limit 30/min", "allow submission limit 30/min" },
		{ "allow submission limit 30/60s", "allow submission limit 30/min" },
		{ "allow submission limit 30/minute burst 30", "allow submission limit 30/min" },
		{ "allow submission limit 30/m burst 60", "allow submission limit 30/min burst 60" },
		{ "allow submission limit 15/5s", "allow submission limit 15/5s" },
		{ "allow submission limit 100/hour", "allow submission limit 100/h" },
		{ "allow submission limit 10/second", "allow submission limit 10/s" },
		{ "allow submission limit 5/day burst 2", "allow submission limit 5/d burst 2" },
		{ "allow submission limit 7/90s", "allow submission limit 7/90s" },
		{ "allow imaps connections 50", "allow imaps connections 50" },
		{ "allow imaps connections 50 limit 60/min from 192.0.2.0/24, @a",
		  "allow imaps from 192.0.2.0/24, @a limit 60/min connections 50" },
		{ "allow imaps from @a connections 50 from @b", "allow imaps from @a, @b connections 50" },
		{ "allow imaps connections 50 per /24 /56", "allow imaps connections 50 per /24 /56" },
		{ "allow imaps connections 50 per /32 /64", "allow imaps connections 50" },
		{ "allow smtp global-limit 2000/s burst 4000", "allow smtp global-limit 2000/s burst 4000" },
		{ "allow smtp over drop global-limit 2000/s", "allow smtp global-limit 2000/s" },
		{ "allow imaps limit 60/min over reset", "allow imaps limit 60/min over reset" },
		{ "allow imaps limit 60/min over observe comment x", "allow imaps limit 60/min over observe comment \"x\"" },
		{ "allow imaps limit 60/min over ban 1h", "allow imaps limit 60/min over ban 1h" },
		{ "allow imaps limit 60/min over ban 90", "allow imaps limit 60/min over ban 90s" },
		{ "allow imaps limit 60/min over ban forever", "allow imaps limit 60/min over ban forever" },
		{ "allow smtp cookies auto", "allow smtp cookies auto" },
		{ "allow smtp cookies always from any", "allow smtp cookies always" },
		{ "allow smtp cookies never", "allow smtp cookies never" },
		{ "default deny comment \"\xc3\xa4\"", "default deny comment \"\xc3\xa4\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_free char *text = canonical(row[i][0]), *again = canonical(text);

		assert_string_equal(text, row[i][1]);
		assert_string_equal(again, text);
	}
}

static void layout_does_not_matter(void **state)
{
	static const char *const row[][2] = {
		{ "  \t allow\tsmtp  ", "allow smtp" },
		{ "allow smtp # the world", "allow smtp" },
		{ "allow smtp# the world", "allow smtp" },
		{ "allow smtp \\\n\tfrom 192.0.2.1", "allow smtp from 192.0.2.1" },
		{ "allow smtp, \\\r\n  imap\r\n", "allow smtp, imap" },
		{ "allow smtp,\\\nimap # first\n", "allow smtp, imap" },
		{ "allow \\\n\\\n\\\nsmtp", "allow smtp" },
		{ "allow smtp\\", "allow smtp" },
		{ "\xef\xbb\xbf" "allow smtp", "allow smtp" },
		{ "allow smtp\r\n", "allow smtp" },
		{ "allow smtp", "allow smtp" },
		{ "# allow imap \\\nallow smtp", "allow smtp" },
		{ "\n\n#\n\t\n\r\nallow smtp\n\n", "allow smtp" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_free char *text = canonical(row[i][0]);

		assert_string_equal(text, row[i][1]);
	}
}

static void a_sentence_knows_where_it_stands(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	assert_int_equal(parse(&r, "# one\n\nallow smtp, \\\n  imap\n  deny imaps\r\n\\\n block 192.0.2.1 # x\nobserve", &d), 0);
	assert_int_equal(r.n, 4);
	assert_string_equal(r.v[0].at.file, "mxdp.conf");
	assert_int_equal(r.v[0].at.line, 3);
	assert_int_equal(r.v[0].at.column, 1);
	assert_int_equal(r.v[1].at.line, 5);
	assert_int_equal(r.v[1].at.column, 3);
	assert_int_equal(r.v[2].at.line, 7);
	assert_int_equal(r.v[2].at.column, 2);
	assert_int_equal(r.v[3].at.line, 8);
}

#define NOT_AN_ADDRESS "is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 (names are not looked up)"

static void bad_input_is_refused_with_place_and_remedy(void **state)
{
	static const char *const row[][2] = {
		/* sentences */
		{ "alow smtp", "E: mxdp.conf:1:1: unknown word \"alow\"; did you mean \"allow\"?" },
		{ "Allow smtp", "E: mxdp.conf:1:1: unknown word \"Allow\"; did you mean \"allow\"?" },
		{ "frobnicate 7", "E: mxdp.conf:1:1: unknown word \"frobnicate\"; a sentence starts with allow, deny, block, admin, "
				  "exempt, list, default, interface, observe or track" },
		{ ", allow", "E: mxdp.conf:1:1: unexpected \",\" at the start of a sentence" },
		{ "\"allow\" smtp", "E: mxdp.conf:1:1: unknown word \"allow\"; did you mean \"allow\"?" },
		{ "allow smtp frm 192.0.2.1", "E: mxdp.conf:1:12: unexpected \"frm\"; did you mean \"from\"?" },
		{ "allow smtp coment x", "E: mxdp.conf:1:12: unexpected \"coment\"; did you mean \"comment\"?" },
		{ "observe now", "E: mxdp.conf:1:9: unexpected \"now\"" },
		{ "observe,", "E: mxdp.conf:1:8: unexpected \",\"" },
		/* what later versions have */
		{ "limit smtp 30/min", "E: mxdp.conf:1:1: \"limit\" belongs to an \"allow\", as in: allow submission limit 30/min "
				       "connections 20" },
		{ "ban 192.0.2.1 for 1h", "E: mxdp.conf:1:1: this version of mxdp does not have \"ban\" sentences; leave them out" },
		{ "proto icmp-echo deny", "E: mxdp.conf:1:1: this version of mxdp does not have \"proto\" sentences; leave them out" },
		{ "block 192.0.2.1 for 1h", "E: mxdp.conf:1:17: this version of mxdp does not have \"for\"; leave it out" },
		{ "allow limit", "E: mxdp.conf:1:7: expected ports, such as: smtp, 587, 1000-2000" },
		{ "track netfilter",
		  "E: mxdp.conf:1:7: this version of mxdp does not have \"track netfilter\"; it has \"track socket\"" },
		{ "track flow", "E: mxdp.conf:1:7: this version of mxdp does not have \"track flow\"; it has \"track socket\"" },
		/* ports */
		{ "allow", "E: mxdp.conf:1:6: expected ports, such as: smtp, 587, 1000-2000" },
		{ "allow # smtp", "E: mxdp.conf:1:6: expected ports, such as: smtp, 587, 1000-2000" },
		{ "allow from any", "E: mxdp.conf:1:7: expected ports, such as: smtp, 587, 1000-2000" },
		{ "allow ,smtp", "E: mxdp.conf:1:7: expected ports, such as: smtp, 587, 1000-2000" },
		{ "allow smtp,", "E: mxdp.conf:1:12: expected another port behind the \",\"" },
		{ "allow smtp,,imap", "E: mxdp.conf:1:12: expected another port behind the \",\"" },
		{ "allow smtp, from any", "E: mxdp.conf:1:13: expected another port behind the \",\"" },
		{ "allow smpt", "E: mxdp.conf:1:7: unknown service \"smpt\"; did you mean \"smtp\"?" },
		{ "allow smtp, 70000", "E: mxdp.conf:1:13: port 70000 is out of range; ports are 1 to 65535" },
		{ "allow smtp submission", "E: mxdp.conf:1:12: unexpected \"submission\"; ports are separated by commas" },
		{ "allow imap3", "E: mxdp.conf:1:7: \"imap3\" is port 220, which is dead; port 993 is \"imaps\" (write 220 if you "
				 "mean 220)" },
		{ "deny 53/udp", "E: mxdp.conf:1:6: \"53/udp\" is UDP, which passes unjudged: mxdp filters TCP; leave it out" },
		/* sources */
		{ "allow smtp from", "E: mxdp.conf:1:16: expected a source: an address, a prefix, any, or @LIST" },
		{ "block", "E: mxdp.conf:1:6: expected a source: an address, a prefix, any, or @LIST" },
		{ "block 192.0.2.1,", "E: mxdp.conf:1:17: expected another source behind the \",\"" },
		{ "block , 192.0.2.1", "E: mxdp.conf:1:7: expected a source: an address, a prefix, any, or @LIST" },
		{ "block from 192.0.2.1", "E: mxdp.conf:1:7: sources follow without \"from\" here: block 192.0.2.0/24" },
		{ "exempt from 192.0.2.1", "E: mxdp.conf:1:8: sources follow without \"from\" here: exempt 192.0.2.0/24" },
		{ "deny smtp from 192.0.2.7/24", "E: mxdp.conf:1:16: 192.0.2.7/24 has host bits set; did you mean 192.0.2.0/24?" },
		{ "deny smtp from 192.0.2.0/33",
		  "E: mxdp.conf:1:16: the prefix length of \"192.0.2.0/33\" is out of range; IPv4 has 0 to 32" },
		{ "deny smtp from office", "E: mxdp.conf:1:16: \"office\" is not an address; a list is written with \"@\": @office" },
		{ "block 192.0.2.1 coment x", "E: mxdp.conf:1:17: \"coment\" is not an address; did you mean \"comment\"?" },
		{ "block mx.example.org", "E: mxdp.conf:1:7: \"mx.example.org\" " NOT_AN_ADDRESS },
		{ "block !192.0.2.1", "E: mxdp.conf:1:7: \"!192.0.2.1\" " NOT_AN_ADDRESS },
		{ "block @", "E: mxdp.conf:1:7: \"@\" cannot be the name of a list; letters, digits, \"-\", \"_\" and \".\" can" },
		{ "block \"@a b\"",
		  "E: mxdp.conf:1:7: \"@a b\" cannot be the name of a list; letters, digits, \"-\", \"_\" and \".\" can" },
		{ "admin ssh", "E: mxdp.conf:1:10: expected \"from\" and the sources that shall never be locked out" },
		{ "admin ssh limit 3", "E: mxdp.conf:1:11: expected \"from\" and the sources that shall never be locked out" },
		/* limits */
		{ "allow smtp limit", "E: mxdp.conf:1:17: expected a rate behind \"limit\", such as: limit 30/min" },
		{ "allow smtp limit 30", "E: mxdp.conf:1:18: \"30\" is not a rate; write 10/s, 30/min, 15/5s or 100/h" },
		{ "allow smtp limit 30/fortnight",
		  "E: mxdp.conf:1:18: \"30/fortnight\" is not a rate; write 10/s, 30/min, 15/5s or 100/h" },
		{ "allow smtp limit 30/", "E: mxdp.conf:1:18: \"30/\" is not a rate; write 10/s, 30/min, 15/5s or 100/h" },
		{ "allow smtp limit /s", "E: mxdp.conf:1:18: \"/s\" is not a rate; write 10/s, 30/min, 15/5s or 100/h" },
		{ "allow smtp limit 0/s", "E: mxdp.conf:1:18: the rate \"0/s\" is out of range; 1/d to 1000000/s can be had" },
		{ "allow smtp limit 5/2d", "E: mxdp.conf:1:18: the rate \"5/2d\" counts over more than a day" },
		{ "allow smtp limit 30/min limit 5/s", "E: mxdp.conf:1:25: \"limit\" is said twice" },
		{ "allow smtp limit 30/min burst", "E: mxdp.conf:1:30: expected a number behind \"burst\": 1 to 1000000" },
		{ "allow smtp limit 30/min burst 0", "E: mxdp.conf:1:31: expected a number behind \"burst\": 1 to 1000000" },
		{ "allow smtp burst 60", "E: mxdp.conf:1:12: \"burst\" follows a rate: limit 30/min burst 60" },
		{ "allow smtp limit 2000/s", "E: mxdp.conf:1:12: a limit per source is 1000/s at most; \"global-limit\" takes more" },
		{ "allow smtp limit 1000/s burst 9",
		  "E: mxdp.conf:1:12: the burst is less than the rate lets through in a hundredth of a second, so the rate could "
		  "not be had; raise the burst" },
		{ "allow smtp limit 1/h burst 25", "E: mxdp.conf:1:12: it would take more than a day until the burst is to be had "
						   "again; lower the burst, or raise the rate" },
		{ "allow smtp connections many", "E: mxdp.conf:1:24: expected a number behind \"connections\": 1 to 1000000" },
		{ "allow smtp connections 5 connections 6", "E: mxdp.conf:1:26: \"connections\" is said twice" },
		{ "allow smtp connections 5 per /24", "E: mxdp.conf:1:33: expected the length of an IPv6 source too: per /24 /56" },
		{ "allow smtp connections 5 per 24",
		  "E: mxdp.conf:1:30: expected two lengths behind \"per\", of IPv4 and of IPv6: per /24 /56" },
		{ "allow smtp connections 5 per /24 /129",
		  "E: mxdp.conf:1:34: expected the length of an IPv6 source too: per /24 /56" },
		{ "allow smtp per /24 /56", "E: mxdp.conf:1:12: \"per\" says how large a source is, and this sentence sets no limit "
					    "per source" },
		{ "allow smtp over reset", "E: mxdp.conf:1:12: \"over\" says what becomes of what is over a limit, and this "
					   "sentence sets none" },
		{ "allow smtp limit 5/s over reject",
		  "E: mxdp.conf:1:27: expected what becomes of what is over the limit: drop, reset, observe or ban DURATION" },
		{ "allow smtp limit 5/s over ban", "E: mxdp.conf:1:30: expected how long to ban: over ban 1h" },
		{ "allow smtp limit 5/s over ban 0",
		  "E: mxdp.conf:1:31: a ban lasts a second at least and ten years at most, or is \"forever\"" },
		{ "allow smtp limit 5/s ban 1h", "E: mxdp.conf:1:22: \"ban\" follows \"over\": over ban 1h" },
		{ "allow smtp global-limit 5/s over ban 1h",
		  "E: mxdp.conf:1:12: \"over ban\" needs a limit per source (limit or connections): what all sources do together "
		  "is nobody's fault" },
		{ "allow smtp cookies", "E: mxdp.conf:1:19: expected when to answer with SYN cookies: auto, always or never" },
		{ "allow smtp cookies never cookies auto", "E: mxdp.conf:1:26: \"cookies\" is said twice" },
		{ "allow smtp limt 5/s", "E: mxdp.conf:1:12: unexpected \"limt\"; did you mean \"limit\"?" },
		{ "deny smtp limit 5/s",
		  "E: mxdp.conf:1:11: \"limit\" belongs to an \"allow\", as in: allow submission limit 30/min connections 20" },
		{ "block 192.0.2.1 connections 5", "E: mxdp.conf:1:17: \"connections\" belongs to an \"allow\", as in: allow "
						   "submission limit 30/min connections 20" },
		/* lists */
		{ "list", "E: mxdp.conf:1:5: expected the name of a list" },
		{ "list @office 192.0.2.1", "E: mxdp.conf:1:6: a list is declared without \"@\": list office" },
		{ "list a/b", "E: mxdp.conf:1:6: \"a/b\" cannot be the name of a list; letters, digits, \"-\", \"_\" and \".\" can" },
		{ "list a @b", "E: mxdp.conf:1:8: a list holds prefixes, not other lists" },
		{ "list a 0.0.0.0/0", "E: mxdp.conf:1:8: 0.0.0.0/0 is everything, and a list cannot hold that; write \"any\" in the "
				      "sentence instead" },
		{ "list a ::/0", "E: mxdp.conf:1:8: ::/0 is everything, and a list cannot hold that; write \"any\" in the "
				 "sentence instead" },
		{ "list a 192.0.2.1,", "E: mxdp.conf:1:18: expected another prefix behind the \",\"" },
		{ "list a file", "E: mxdp.conf:1:12: expected the path of a file behind \"file\"" },
		{ "list a file x file y", "E: mxdp.conf:1:15: \"file\" is said twice; a list has one file" },
		{ "list a file x min", "E: mxdp.conf:1:18: expected a number behind \"min\": 1 to 1000000000" },
		{ "list a file x min -1", "E: mxdp.conf:1:19: expected a number behind \"min\": 1 to 1000000000" },
		{ "list a file x min 0 min 5", "E: mxdp.conf:1:21: \"min\" is said twice" },
		{ "list a file x take", "E: mxdp.conf:1:19: expected \"reject\" or \"permit\" behind \"take\": which lines of a Postfix "
					"table" },
		{ "list a file x take dunno", "E: mxdp.conf:1:20: expected \"reject\" or \"permit\" behind \"take\": which lines of a "
					      "Postfix table" },
		{ "list a file x expire", "E: mxdp.conf:1:21: expected a duration behind \"expire\", such as 26h" },
		{ "list a file x expire soon", "E: mxdp.conf:1:22: \"soon\" is not a duration; write 90 (seconds), 10m, 1d12h or forever" },
		{ "list a file x expire 0", "E: mxdp.conf:1:22: a list cannot expire at once; write how old its data may be, such as 26h" },
		{ "list a file x private", "E: mxdp.conf:1:22: expected \"yes\" or \"no\" behind \"private\"" },
		{ "list a file x cover maybe", "E: mxdp.conf:1:21: expected \"yes\" or \"no\" behind \"cover\"" },
		{ "list a file x widest /8", "E: mxdp.conf:1:24: expected two prefix lengths behind \"widest\", IPv4 and IPv6, such as /8 /19" },
		{ "list a file x widest 8 19", "E: mxdp.conf:1:22: expected two prefix lengths behind \"widest\", IPv4 and IPv6, such as /8 "
					       "/19" },
		{ "list a file x widest /33 /19", "E: mxdp.conf:1:22: expected two prefix lengths behind \"widest\", IPv4 and IPv6, such as "
						  "/8 /19" },
		{ "list a file x change lots", "E: mxdp.conf:1:22: expected a share behind \"change\", such as 30%, or \"any\"" },
		{ "list a file x change %", "E: mxdp.conf:1:22: expected a share behind \"change\", such as 30%, or \"any\"" },
		{ "list a file x private yes private no", "E: mxdp.conf:1:27: \"private\" is said twice" },
		{ "list a 192.0.2.1 private yes",
		  "E: mxdp.conf:1:6: \"take\", \"expire\", \"private\", \"cover\", \"widest\" and \"change\" are about a list's file, and "
		  "list \"a\" names none" },
		{ "list a file x max 99999999999999999999",
		  "E: mxdp.conf:1:19: expected a number behind \"max\": 1 to 1000000000" },
		{ "list a file x max 5 max 6", "E: mxdp.conf:1:21: \"max\" is said twice" },
		{ "list a file x min 9 max 5", "E: mxdp.conf:1:6: list \"a\": min 9 is more than max 5" },
		{ "list a 192.0.2.1 min 5",
		  "E: mxdp.conf:1:6: \"min\" and \"max\" watch over a list's file, and list \"a\" names none" },
		/* the rest */
		{ "interface", "E: mxdp.conf:1:10: expected the name of an interface" },
		{ "interface 0123456789abcdef", "E: mxdp.conf:1:11: \"0123456789abcdef\" cannot be the name of an interface" },
		{ "interface a/b", "E: mxdp.conf:1:11: \"a/b\" cannot be the name of an interface" },
		{ "interface ..", "E: mxdp.conf:1:11: \"..\" cannot be the name of an interface" },
		{ "interface eth0 mod native", "E: mxdp.conf:1:16: unexpected \"mod\"; did you mean \"mode\"?" },
		{ "interface eth0 mode fast",
		  "E: mxdp.conf:1:21: unknown mode \"fast\"; native, generic and auto are known" },
		{ "interface eth0 mode", "E: mxdp.conf:1:20: expected a mode: native, generic or auto" },
		{ "default", "E: mxdp.conf:1:8: expected \"deny\" or \"allow\"" },
		{ "default drop", "E: mxdp.conf:1:9: the default is \"deny\" or \"allow\", not \"drop\"" },
		{ "track", "E: mxdp.conf:1:6: expected a tracker: socket" },
		{ "track soket", "E: mxdp.conf:1:7: unknown tracker \"soket\"; this version of mxdp has \"track socket\"" },
		{ "track socket leases", "E: mxdp.conf:1:20: expected the number of leases: 1k to 1M, such as 64k" },
		{ "track socket leases 2M", "E: mxdp.conf:1:21: expected the number of leases: 1k to 1M, such as 64k" },
		{ "track socket leases 64m", "E: mxdp.conf:1:21: expected the number of leases: 1k to 1M, such as 64k" },
		{ "track socket leases 999", "E: mxdp.conf:1:21: expected the number of leases: 1k to 1M, such as 64k" },
		{ "observe comment", "E: mxdp.conf:1:16: expected the text of the comment, in quotation marks" },
		{ "observe comment two words", "E: mxdp.conf:1:21: a comment is the end of a sentence; put all of its text in "
					       "quotation marks" },
		/* words that cannot be told apart */
		{ "observe comment \"open", "E: mxdp.conf:1:17: the quotation that starts here is not closed on its line" },
		{ "observe comment \"open\nobserve", "E: mxdp.conf:1:17: the quotation that starts here is not closed on its line" },
		{ "observe comment \"a\\n\"", "E: mxdp.conf:1:19: inside quotation marks only \\\" and \\\\ can follow a \\" },
		{ "observe comment \"a\"b", "E: mxdp.conf:1:20: a blank or a comma must follow the closing quotation mark" },
		{ "observe comment a\"b\"",
		  "E: mxdp.conf:1:18: a quotation mark inside a word; put the whole word in quotation marks" },
		{ "allow smtp, \\ \nimap", "E: mxdp.conf:1:13: blanks behind the \\; it continues a line only as its last character\n"
					   "E: mxdp.conf:2:1: unknown word \"imap\"; a sentence starts with allow, deny, block, "
					   "admin, exempt, list, default, interface, observe or track" },
		/* bytes */
		{ "allow smtp \x01", "E: mxdp.conf:1:12: a control character (0x01); take it out" },
		{ "allow\rsmtp", "E: mxdp.conf:1:6: a control character (0x0d); take it out" },
		{ "allow smtp # \x7f", "E: mxdp.conf:1:14: a control character (0x7f); take it out" },
		{ "allow smtp # \xc2\x9b", "E: mxdp.conf:1:14: a control character (U+009B); take it out" },
		{ "allow smtp # \xe9t\xe9", "E: mxdp.conf:1:14: a byte that is not UTF-8 (0xe9); save the file as UTF-8" },
		{ "allow smtp # \xc0\xaf", "E: mxdp.conf:1:14: a byte that is not UTF-8 (0xc0); save the file as UTF-8" },
		{ "allow smtp # \xed\xa0\x80", "E: mxdp.conf:1:14: a byte that is not UTF-8 (0xed); save the file as UTF-8" },
		/* columns count characters; lines count from 1, continued ones too */
		{ "# \xc3\xa4\n\nobserve comment \"\xc3\xa4\xc3\xa4\" x", "E: mxdp.conf:3:22: a comment is the end of a sentence; put all "
									   "of its text in quotation marks" },
		{ "observe\r\nallow smtp, \\\r\n  smpt\r\n", "E: mxdp.conf:3:3: unknown service \"smpt\"; did you mean \"smtp\"?" },
		{ "allow smtp, \\\n", "E: mxdp.conf:1:12: expected another port behind the \",\"" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		if (parse(&r, row[i][0], &d) != -22)
			fail_msg("not refused: %s", row[i][0]);
		assert_string_equal(told(&d), row[i][1]);
		assert_int_equal(r.n, 0);
	}
}

static void a_nul_byte_is_refused(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	assert_int_equal(rules_parse(&r, "mxdp.conf", "observe\nallow\0 smtp\n", 20, &d), -22);
	assert_string_equal(told(&d), "E: mxdp.conf:2:6: a NUL byte; this is not a text file");
	assert_int_equal(r.n, 0);
}

static void a_line_of_a_megabyte_is_refused_and_the_next_ones_read(void **state)
{
	static char text[1 << 20];
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };
	size_t n = sizeof(text) - 16;

	(void)state;
	memset(text, 'x', n);
	strcpy(text + n, "\nallow smpt\n");
	assert_int_equal(parse(&r, text, &d), -22);
	assert_string_equal(told(&d), "E: mxdp.conf:1:1: a line of more than 65536 bytes; long lists belong in a file: list NAME file "
				      "PATH\nE: mxdp.conf:2:7: unknown service \"smpt\"; did you mean \"smtp\"?");
}

static void a_line_as_long_as_allowed_is_read(void **state)
{
	static char text[65536 + 1];
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	strcpy(text, "list a");
	while (strlen(text) < sizeof(text) - 11)
		strcat(text, " 192.0.2.1");
	memset(text + strlen(text), ' ', sizeof(text) - 1 - strlen(text));
	assert_int_equal(strlen(text), 65536);
	assert_int_equal(parse(&r, text, &d), 0);
	assert_in_range(r.v[0].nprefixes, 6000, 6553);
}

static void all_errors_are_reported_but_no_more_than_twenty(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };
	char text[4096] = "allow smtp\n";

	(void)state;
	for (int i = 0; i < 30; i++)
		strcat(text, "alow smtp\n");
	assert_int_equal(parse(&r, text, &d), -22);
	assert_int_equal(d.errors, 20);
	assert_int_equal(d.n, 21);
	assert_string_equal(d.msg[0].text, "mxdp.conf:2:1: unknown word \"alow\"; did you mean \"allow\"?");
	assert_string_equal(d.msg[19].text, "mxdp.conf:21:1: unknown word \"alow\"; did you mean \"allow\"?");
	assert_string_equal(d.msg[20].text, "mxdp.conf: only the first 20 errors are shown");
	assert_int_equal(r.n, 0);
}

static void a_text_with_one_error_changes_nothing(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };
	__cleanup_free char *before = NULL, *after = NULL;

	(void)state;
	assert_int_equal(parse(&r, "allow smtp", &d), 0);
	before = stmt_text(&r.v[0]);
	assert_int_equal(parse(&r, "allow imap\nblock 192.0.2.300\nobserve\n", &d), -22);
	assert_int_equal(r.n, 1);
	after = stmt_text(&r.v[0]);
	assert_string_equal(before, after);
	assert_int_equal(parse(&r, "allow imap\n", &d), 0);
	assert_int_equal(r.n, 2);
}

static char *from_words(int argc, char *const argv[], struct diag *d)
{
	__cleanup_rules struct rules r = { 0 };

	if (rules_parse_args(&r, argc, argv, d))
		return xstrdup(told(d));
	assert_int_equal(r.n, 1);
	assert_string_equal(r.v[0].at.file, "command line");
	return stmt_text(&r.v[0]);
}

static void the_command_line_is_the_same_sentence(void **state)
{
	static const struct {
		char *argv[8];
		const char *text;
	} row[] = {
		{ { "allow", "smtp" }, "allow smtp" },
		{ { "allow", "smtp,", "submission", "from", "192.0.2.1" }, "allow smtp, submission from 192.0.2.1" },
		{ { "allow", "smtp,imaps" }, "allow smtp, imaps" },
		{ { "allow", "smtp, imaps" }, "allow smtp, imaps" },
		{ { "allow", "Postfix SMTPS" }, "allow submissions" },
		{ { "allow smtp from 192.0.2.1" }, "allow smtp from 192.0.2.1" },
		{ { "observe", "comment", "a, \"b\" # c \\" }, "observe comment \"a, \\\"b\\\" # c \\\\\"" },
		{ { "observe", "comment", "a,b" }, "observe comment \"a,b\"" },
		{ { "list", "a", "file", "/x y,z" }, "list a file \"/x y,z\"" },
		{ { "allow", "smpt" }, "E: command line: unknown service \"smpt\"; did you mean \"smtp\"?" },
		{ { "allow" }, "E: command line: expected ports, such as: smtp, 587, 1000-2000" },
		{ { "allow", "smtp", "# imap" }, "E: command line: unexpected \"# imap\"" },
		{ { "" }, "E: command line: expected one sentence, such as: allow smtp" },
		{ { "allow smtp\nallow imap" }, "E: command line: a line break in a word; a sentence is one line" },
		{ { "allow", "smtp\nimap" }, "E: command line: a line break in a word; a sentence is one line" },
		{ { "allow", "\x1b[31m" }, "E: command line: a control character (0x1b); take it out" },
		{ { "allow", "" }, "E: command line: an empty word where a port or service belongs" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_free char *text = NULL;
		int argc = 0;

		while (row[i].argv[argc])
			argc++;
		text = from_words(argc, row[i].argv, &d);
		assert_string_equal(text, row[i].text);
	}
}

static void a_path_on_the_command_line_is_meant_from_where_one_stands(void **state)
{
	char *argv[] = { "list", "a", "file", "lists/a.txt" };
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free char *text = NULL;

	(void)state;
	assert_int_equal(chdir("/usr"), 0);
	text = from_words(4, argv, &d);
	assert_string_equal(text, "list a file /usr/lists/a.txt");
}

static void sentences_that_say_the_same_are_the_same(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} row[] = {
		{ "allow smtp, imap", "allow 143,25", true },
		{ "allow smtp, smtp", "allow 25", true },
		{ "allow smtp", "allow smtp from any", true },
		{ "allow smtp", "allow smtp comment \"x\"", true },
		{ "allow smtp from 192.0.2.1, @a", "allow smtp from @a 192.0.2.1", true },
		{ "list a 192.0.2.1 192.0.2.2", "list a 192.0.2.2 192.0.2.1", true },
		{ "track socket", "track socket leases 64k", true },
		{ "interface eth0", "interface eth0 mode native", true },
		{ "allow smtp", "deny smtp", false },
		{ "allow smtp", "allow smtp, imap", false },
		{ "allow smtp", "allow smtp from 0.0.0.0/0", false },
		{ "allow smtp from any", "allow smtp from any, 192.0.2.1", false },
		{ "allow smtp from 192.0.2.1", "allow smtp from 192.0.2.2", false },
		{ "allow smtp from @a", "allow smtp from @b", false },
		{ "allow 25-26", "allow 25, 26", false },
		{ "block 192.0.2.0/24", "block 192.0.2.0/25", false },
		{ "block @a", "exempt @a", false },
		{ "default deny", "default allow", false },
		{ "interface eth0", "interface eth1", false },
		{ "interface eth0", "interface eth0 mode auto", false },
		{ "list a 192.0.2.1", "list b 192.0.2.1", false },
		{ "list a 192.0.2.1", "list a 192.0.2.1 file x", false },
		{ "list a file x", "list a file y", false },
		{ "list a file x min 5", "list a file x", false },
		{ "list a file x min 0", "list a file x", false },
		{ "list a file x private yes", "list a file x", false },
		{ "list a file x expire 60m", "list a file x expire 1h", true },
		{ "list a file x expire 1h empty", "list a file x expire 1h", false },
		{ "list a file x widest /6 /16", "list a file x widest /6 /17", false },
		{ "list a file x change 30%", "list a file x change any", false },
		{ "track socket", "track socket leases 128k", false },
		{ "allow smtp limit 30/min connections 5", "allow smtp connections 5 limit 30/60s burst 30", true },
		{ "allow smtp connections 5 per /32 /64", "allow smtp connections 5 over drop", true },
		{ "allow smtp limit 30/min", "allow smtp", false },
		{ "allow smtp limit 30/min", "allow smtp limit 30/min burst 31", false },
		{ "allow smtp limit 30/min", "allow smtp limit 60/2min", false },
		{ "allow smtp limit 30/min", "allow smtp global-limit 30/min", false },
		{ "allow smtp connections 5", "allow smtp connections 6", false },
		{ "allow smtp connections 5", "allow smtp connections 5 per /24 /64", false },
		{ "allow smtp connections 5", "allow smtp connections 5 over reset", false },
		{ "allow smtp limit 30/min over ban 1h", "allow smtp limit 30/min over ban 2h", false },
		{ "allow smtp", "allow smtp cookies auto", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		assert_int_equal(parse(&r, row[i].a, &d), 0);
		assert_int_equal(parse(&r, row[i].b, &d), 0);
		if (stmt_same(&r.v[0], &r.v[1]) != row[i].same || stmt_same(&r.v[1], &r.v[0]) != row[i].same)
			fail_msg("\"%s\" and \"%s\": not as promised", row[i].a, row[i].b);
		assert_true(stmt_same(&r.v[0], &r.v[0]));
	}
}

static void the_id_of_a_limit_is_the_sentence_in_any_order(void **state)
{
	static const struct {
		const char *a, *b;
		bool same;
	} row[] = {
		{ "allow smtp, imap limit 30/min", "allow 143, 25 limit 30/60s comment \"x\"", true },
		{ "allow smtp from 192.0.2.1, @a limit 30/min", "allow smtp from @a, 192.0.2.1 limit 30/min", true },
		{ "allow smtp limit 30/min", "allow smtp from any limit 30/min", true },
		{ "allow smtp limit 30/min", "allow imap limit 30/min", false },
		{ "allow smtp limit 30/min", "allow smtp limit 30/min connections 5", false },
		{ "allow smtp limit 30/min", "allow smtp from @a limit 30/min", false },
		{ "allow smtp from @b limit 30/min", "allow smtp from @a limit 30/min", false },
		{ "allow 25-26 limit 30/min", "allow 25, 26 limit 30/min", false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		assert_int_equal(parse(&r, row[i].a, &d) ?: parse(&r, row[i].b, &d), 0);
		if ((limit_id(&r.v[0]) == limit_id(&r.v[1])) != row[i].same)
			fail_msg("\"%s\" and \"%s\": not as promised", row[i].a, row[i].b);
		assert_int_equal(limit_cmp(&r.v[0], &r.v[1]) == 0, row[i].same);
		assert_int_equal(limit_cmp(&r.v[0], &r.v[1]) < 0, limit_cmp(&r.v[1], &r.v[0]) > 0);
	}
}

static void what_is_printed_is_read_back_as_the_same(void **state)
{
	uint64_t seed = 20240607;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		__cleanup(stmt_free) struct stmt s = any_sentence(&seed), copy = { 0 };
		__cleanup_free char *text = stmt_text(&s), *again = NULL;
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		if (parse(&r, text, &d))
			fail_msg("sentence %d: %s\n%s", i, text, told(&d));
		if (r.n != 1 || !stmt_same(&s, &r.v[0]))
			fail_msg("sentence %d is read back as another: %s", i, text);
		assert_int_equal(!s.comment, !r.v[0].comment);
		if (s.comment)
			assert_string_equal(s.comment, r.v[0].comment);
		again = stmt_text(&r.v[0]);
		assert_string_equal(text, again);
		stmt_copy(&copy, &s);
		assert_true(stmt_same(&copy, &s));
	}
}

/* Not for what it understands, which is tested above, but that it comes back from anything, and with its promise kept. */
static void torn_and_mixed_sentences_are_survived(void **state)
{
	static const char *const bits[] = { "allow", "deny", "block", "list", "from", "any", "@", "@a", ",", " ", "\\\n", "\"", "#",
					    "\n", "25", "-", "/", "192.0.2.1", "2001:db8::", "file", "min", "comment", "\r\n" };
	uint64_t seed = 99;

	(void)state;
	for (int i = 0; i < 20000; i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };
		char text[512] = "";
		int err;

		for (unsigned int n = dice(&seed) % 24; n; n--) {
			strcat(text, bits[dice(&seed) % (sizeof(bits) / sizeof(bits[0]))]);
			if (dice(&seed) % 2)
				strcat(text, " ");
		}
		err = parse(&r, text, &d);
		if (err ? err != -22 || !d.errors || r.n : d.errors != 0)
			fail_msg("text %d: returns %d with %zu errors and %zu sentences", i, err, d.errors, r.n);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_sentence_is_understood_and_printed),
		cmocka_unit_test(layout_does_not_matter),
		cmocka_unit_test(a_sentence_knows_where_it_stands),
		cmocka_unit_test(bad_input_is_refused_with_place_and_remedy),
		cmocka_unit_test(a_nul_byte_is_refused),
		cmocka_unit_test(a_line_of_a_megabyte_is_refused_and_the_next_ones_read),
		cmocka_unit_test(a_line_as_long_as_allowed_is_read),
		cmocka_unit_test(all_errors_are_reported_but_no_more_than_twenty),
		cmocka_unit_test(a_text_with_one_error_changes_nothing),
		cmocka_unit_test(the_command_line_is_the_same_sentence),
		cmocka_unit_test(a_path_on_the_command_line_is_meant_from_where_one_stands),
		cmocka_unit_test(sentences_that_say_the_same_are_the_same),
		cmocka_unit_test(the_id_of_a_limit_is_the_sentence_in_any_order),
		cmocka_unit_test(what_is_printed_is_read_back_as_the_same),
		cmocka_unit_test(torn_and_mixed_sentences_are_survived),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
