// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <sys/stat.h>
#include "told.h"

#define NO_ADMIN "W: no \"admin\" sentence: under default deny a mistake can lock you out; write, with the network you work " \
		 "from: admin ssh from 192.0.2.0/24"
#define OFFICE "admin ssh from 203.0.113.9\n"

/* ---- the whole is checked ---- */

static void what_is_wrong_to_say_together_is_refused(void **state)
{
	static const char *const row[][2] = {
		{ OFFICE "block @drop", "E: mxdp.conf:2:1: no list is called \"drop\"; declare it: list NAME PREFIX..." },
		{ OFFICE "list drop 192.0.2.1\nblock @dorp", "E: mxdp.conf:3:1: no list is called \"dorp\"; did you mean \"drop\"?" },
		{ OFFICE "list a 192.0.2.1\nlist a 192.0.2.2\nblock @a",
		  "E: mxdp.conf:3:1: list \"a\" is declared twice; first at mxdp.conf:2" },
		{ OFFICE "interface eth0\n\ninterface eth0 mode auto",
		  "E: mxdp.conf:4:1: interface \"eth0\" is named twice; first at mxdp.conf:2" },
		{ OFFICE "default deny\ndefault allow",
		  "E: mxdp.conf:3:1: the default is \"allow\" here and \"deny\" at mxdp.conf:2; keep one" },
		{ OFFICE "track socket\ntrack socket leases 1M",
		  "E: mxdp.conf:3:1: the tracker is described twice and differently; first at mxdp.conf:2" },
		{ OFFICE "block any", "E: mxdp.conf:2:1: this blocks everybody, open connections and SSH included; to open no port that "
				      "is not named, write: default deny" },
		{ OFFICE "block 192.0.2.1, ::/0", "E: mxdp.conf:2:1: this blocks everybody, open connections and SSH included; to open "
						  "no port that is not named, write: default deny" },
		{ OFFICE "deny any", "E: mxdp.conf:2:1: this denies everything to everybody, and on a tie deny wins; to open no port "
				     "that is not named, write: default deny" },
		{ OFFICE "deny 0:65535 from 0.0.0.0/0", "E: mxdp.conf:2:1: this denies everything to everybody, and on a tie deny wins; "
							"to open no port that is not named, write: default deny" },
		{ OFFICE "exempt any", "E: mxdp.conf:2:1: this exempts everybody, so that no block or list would apply; name the hosts "
				       "you trust" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		assert_int_equal(parse(&r, row[i][0], &d), 0);
		assert_int_equal(rules_finish(&r, &d), -EINVAL);
		assert_string_equal(told(&d), row[i][1]);
		assert_int_equal(r.nlists, 0);
	}
}

static void what_may_be_a_mistake_is_warned_of(void **state)
{
	static const char *const row[][2] = {
		{ OFFICE "allow smtp", "" },
		{ OFFICE "allow imap, pop3\ndefault deny\ndefault deny\nobserve\nobserve", "" },
		{ OFFICE "deny any from 192.0.2.0/24\ndeny smtp\nblock 192.0.2.1", "" },
		{ OFFICE "allow smtp, submission limit 30/min",
		  "W: mxdp.conf:2:1: a rate limit on port 25 holds up the mail of honest servers, which deliver in bursts; give the "
		  "users' ports a sentence of their own, and port 25 at most \"connections\"" },
		{ OFFICE "allow smtp connections 50 over reset\nallow submission limit 30/min\nallow smtp limit 9/s over observe", "" },
		{ "allow smtp", NO_ADMIN },
		{ "default deny\nallow ssh", NO_ADMIN },
		{ "default allow", "" },
		{ "admin ssh from any",
		  "W: mxdp.conf:1:1: everybody can reach an admin port, blocked sources too; name the network you work from" },
		{ "admin ssh from 192.0.2.1, 0.0.0.0/0",
		  "W: mxdp.conf:1:1: everybody can reach an admin port, blocked sources too; name the network you work from" },
		{ OFFICE "list a 192.0.2.1", "N: mxdp.conf:2:1: list \"a\" is used by no sentence; one uses it as @a" },
		{ OFFICE "list a\nallow smtp from @a",
		  "W: mxdp.conf:2:1: list \"a\" is empty, so what is said of @a is said of nobody" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		assert_int_equal(parse(&r, row[i][0], &d), 0);
		assert_int_equal(rules_finish(&r, &d), 0);
		assert_string_equal(told(&d), row[i][1]);
	}
}

static void lists_hold_what_was_said_sorted_and_once(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };
	const struct list *l;
	char text[PREFIX_TEXT];

	(void)state;
	assert_int_equal(parse(&r, OFFICE "list a 2001:db8::/32 192.0.2.2 192.0.2.1 192.0.2.2\nblock @a", &d), 0);
	assert_int_equal(rules_finish(&r, &d), 0);
	l = rules_list(&r, "a");
	assert_int_equal(l->n, 3);
	assert_string_equal(prefix_text(&l->v[0], text), "192.0.2.1");
	assert_string_equal(prefix_text(&l->v[1], text), "192.0.2.2");
	assert_string_equal(prefix_text(&l->v[2], text), "2001:db8::/32");
	assert_null(l->path);
	assert_null(rules_list(&r, "b"));
}

static void a_sentence_is_found_by_what_it_says(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 }, like = { 0 };

	(void)state;
	assert_int_equal(parse(&r, "allow smtp\nallow imaps, smtp\nblock 192.0.2.1", &d), 0);
	assert_int_equal(parse(&like, "allow 25, 993 comment \"x\"\nallow 26", &d), 0);
	assert_ptr_equal(rules_find(&r, &like.v[0]), &r.v[1]);
	assert_null(rules_find(&r, &like.v[1]));
}

/* ---- files ---- */

static void a_list_file_is_read_once_and_then_kept(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	mkdir("lists", 0755);
	write_file("lists/a.txt", "192.0.2.1\n");
	write_file("mxdp.conf", OFFICE "list a file lists/a.txt 192.0.2.9\nblock @a\n");
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), 0);
	assert_int_equal(rules_list(&r, "a")->n, 2);
	assert_true(rules_list(&r, "a")->path[0] == '/');
	assert_true(rules_list(&r, "a")->read_at > 1700000000);
	write_file("lists/a.txt", "192.0.2.1\n192.0.2.2\n192.0.2.3\n");
	assert_int_equal(rules_finish(&r, &d), 0);
	assert_int_equal(rules_list(&r, "a")->n, 2);
	/* another file is another matter */
	write_file("lists/b.txt", "192.0.2.1\n192.0.2.2\n192.0.2.3\n");
	free(r.v[1].path);
	r.v[1].path = xstrdup("lists/b.txt");
	assert_int_equal(rules_finish(&r, &d), 0);
	assert_int_equal(rules_list(&r, "a")->n, 4);
	assert_int_equal(d.n, 0);
}

static void drop_ins_are_read_in_byte_order_behind_the_main_file(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };
	static const char *const order[] = { "etc/mxdp.conf", "etc/conf.d/10-a.conf", "etc/conf.d/9-b.conf", "etc/conf.d/Z.conf",
					     "etc/conf.d/a.conf" };

	(void)state;
	mkdir("etc", 0755);
	mkdir("etc/conf.d", 0755);
	mkdir("etc/conf.d/lists", 0755);
	write_file("etc/mxdp.conf", "admin ssh from 203.0.113.9\n");
	write_file("etc/conf.d/a.conf", "observe\n");
	write_file("etc/conf.d/9-b.conf", "# nothing but\nlist b file lists/b.txt\n");
	write_file("etc/conf.d/10-a.conf", "block @b");
	write_file("etc/conf.d/Z.conf", "allow smtp\n");
	write_file("etc/conf.d/.hidden.conf", "nonsense\n");
	write_file("etc/conf.d/a.conf.new", "nonsense\n");
	write_file("etc/conf.d/README", "nonsense\n");
	/* relative to the file that names it */
	write_file("etc/conf.d/lists/b.txt", "192.0.2.1\n");
	assert_int_equal(rules_load(&r, "etc/mxdp.conf", &d), 0);
	assert_string_equal(told(&d), "");
	assert_int_equal(r.n, 5);
	for (size_t i = 0; i < 5; i++)
		assert_string_equal(r.v[i].at.file, order[i]);
	assert_int_equal(rules_list(&r, "b")->n, 1);
}

static void errors_of_all_files_are_told_at_once(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	mkdir("conf.d", 0755);
	write_file("mxdp.conf", "alow smtp\n");
	write_file("conf.d/x.conf", "\nallow smpt\n");
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), -EINVAL);
	assert_string_equal(told(&d), "E: mxdp.conf:1:1: unknown word \"alow\"; did you mean \"allow\"?\n"
				      "E: conf.d/x.conf:2:7: unknown service \"smpt\"; did you mean \"smtp\"?");
	assert_int_equal(r.n, 0);
	assert_null(r.v);
	unlink("conf.d/x.conf");
	assert_int_equal(rmdir("conf.d"), 0);
}

#define DECLARED "N: list \"a\" is declared at mxdp.conf:3"

static void a_list_that_shrank_or_grew_too_much_is_refused(void **state)
{
	static const char *const row[][2] = {
		{ OFFICE "block @a\nlist a file a.txt min 3", "" },
		{ OFFICE "block @a\nlist a file a.txt min 3 max 3", "" },
		{ OFFICE "block @a\nlist a file a.txt min 4 192.0.2.77",
		  "E: a.txt: list \"a\" shrank: 3 prefixes, fewer than min 4; if that is right, lower min\n" DECLARED },
		{ OFFICE "block @a\nlist a file a.txt max 2",
		  "E: a.txt: list \"a\" grew: 3 prefixes, more than max 2; if that is right, raise max\n" DECLARED },
		{ OFFICE "block @a\nlist a file none.txt min 1",
		  "E: none.txt: list \"a\" shrank: 0 prefixes, fewer than min 1; if that is right, lower min\n" DECLARED },
		{ OFFICE "block @a\nlist a file none.txt",
		  "E: none.txt: no prefix in it, which is what a feed that moved or a full disk leaves; if list \"a\" may be empty, say "
		  "\"min 0\" in its sentence\n" DECLARED },
		{ OFFICE "allow smtp from @a\nlist a file none.txt",
		  "W: mxdp.conf:3:1: list \"a\" is empty, so what is said of @a is said of nobody" },
		{ OFFICE "block @a\nlist a file none.txt min 0",
		  "W: mxdp.conf:3:1: list \"a\" is empty, so what is said of @a is said of nobody" },
	};

	(void)state;
	write_file("a.txt", "192.0.2.1\n192.0.2.2\n192.0.2.3\n192.0.2.1\n");
	write_file("none.txt", "; moved\n");
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };

		write_file("mxdp.conf", row[i][0]);
		assert_int_equal(rules_load(&r, "mxdp.conf", &d), row[i][1][0] == 'E' ? -EINVAL : 0);
		assert_string_equal(told(&d), row[i][1]);
	}
}

static void a_list_file_with_an_error_refuses_the_whole(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	mkdir("lists", 0755);
	write_file("lists/bad.txt", "192.0.2.1\n192.0.2.9/24\n");
	write_file("mxdp.conf", OFFICE "block @a, @b\nlist a file lists/bad.txt\nlist b file lists/gone.txt\n");
	assert_int_equal(rules_load(&r, "mxdp.conf", &d), -EINVAL);
	assert_string_equal(told(&d), "E: lists/bad.txt:2:1: 192.0.2.9/24 has host bits set; did you mean 192.0.2.0/24?\n"
				      "N: list \"a\" is declared at mxdp.conf:3\n"
				      "E: lists/gone.txt: cannot open: No such file or directory\n"
				      "N: list \"b\" is declared at mxdp.conf:4");
	assert_int_equal(r.n + r.nlists, 0);
}

static void what_is_no_rules_file_is_refused(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	mkdir("directory.conf", 0755);
	mkfifo("pipe.conf", 0644);
	write_file("empty.conf", "");
	write_file("comments.conf", "# allow smtp\n");
	assert_int_equal(rules_load(&r, "gone.conf", &d), -ENOENT);
	assert_int_equal(rules_load(&r, "directory.conf", &d), -EISDIR);
	assert_int_equal(rules_load(&r, "pipe.conf", &d), -EINVAL);
	assert_int_equal(rules_load(&r, "empty.conf", &d), -EINVAL);
	assert_int_equal(rules_load(&r, "comments.conf", &d), -EINVAL);
	assert_string_equal(told(&d), "E: gone.conf: cannot open: No such file or directory\n"
				      "E: directory.conf: a directory, where a file is expected\n"
				      "E: pipe.conf: a pipe, where a file is expected\n"
				      "E: empty.conf: no sentence in it; to close every port, write: default deny\n"
				      "E: comments.conf: no sentence in it; to close every port, write: default deny");
}

static void a_rules_file_that_everyone_may_write_to_is_warned_of(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	(void)state;
	write_file("open.conf", OFFICE);
	chmod("open.conf", 0646);
	assert_int_equal(rules_load(&r, "open.conf", &d), 0);
	assert_string_equal(told(&d), "W: open.conf: everyone may write to this file; chmod o-w open.conf");
}

/* ---- the plain judge ---- */

static const char *const says_text[] = {
	[JUDGE_ALLOW] = "allow", [JUDGE_DEFAULT_ALLOW] = "default-allow", [JUDGE_ADMIN] = "admin", [JUDGE_DENY] = "deny",
	[JUDGE_CLOSED] = "closed", [JUDGE_BLOCKED] = "blocked", [JUDGE_NOT_BLOCKED] = "not-blocked",
};

struct judged {
	const char *host;
	unsigned int port;
	const char *says;
	unsigned int line; /* of the sentence that decided; 0: none */
	bool plain;        /* not a SYN */
};

static void assert_judged(const char *text, const struct judged *row)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_rules struct rules r = { 0 };

	if (parse(&r, text, &d) || rules_finish(&r, &d))
		fail_msg("%s", told(&d));
	for (; row->host; row++) {
		struct prefix host = prefix_of(row->host);
		struct judge_answer a = rules_judge(&r, &host, row->port, !row->plain);
		unsigned int line = a.because ? a.because->at.line : 0;

		if (strcmp(says_text[a.says], row->says) || line != row->line)
			fail_msg("%s to %u: %s by line %u, not %s by line %u, of\n%s", row->host, row->port, says_text[a.says], line,
				 row->says, row->line, text);
	}
}

static void the_most_specific_source_wins_in_any_order(void **state)
{
	static const char *const text[] = {
		"allow submission\ndeny submission from 203.0.113.0/24\nallow submission from 203.0.113.5\n",
		"allow submission from 203.0.113.5\n\n\nallow submission\ndeny submission from 203.0.113.0/24\n",
	};
	static const struct judged first[] = {
		{ "192.0.2.1", 587, "allow", 1 }, { "203.0.113.4", 587, "deny", 2 }, { "203.0.113.5", 587, "allow", 3 },
		{ "2001:db8::1", 587, "allow", 1 }, { "192.0.2.1", 25, "closed", 0 }, { NULL },
	};
	static const struct judged second[] = {
		{ "192.0.2.1", 587, "allow", 4 }, { "203.0.113.4", 587, "deny", 5 }, { "203.0.113.5", 587, "allow", 1 },
		{ "2001:db8::1", 587, "allow", 4 }, { NULL },
	};

	(void)state;
	assert_judged(text[0], first);
	assert_judged(text[1], second);
}

static void on_a_tie_deny_wins(void **state)
{
	static const struct judged row[] = {
		{ "192.0.2.1", 25, "deny", 2 }, { "192.0.2.9", 25, "allow", 1 }, { "198.51.100.1", 143, "closed", 5 }, { NULL },
	};

	(void)state;
	assert_judged("allow smtp from 192.0.2.0/24, 192.0.2.1\ndeny smtp from @a\nlist a 192.0.2.1\nallow imap\ndeny imap\n", row);
}

static void any_is_less_specific_than_every_prefix(void **state)
{
	static const struct judged row[] = {
		{ "192.0.2.1", 25, "allow", 2 }, { "2001:db8::1", 25, "deny", 1 }, { NULL },
	};

	(void)state;
	assert_judged("deny smtp\nallow smtp from 0.0.0.0/0\n", row);
}

static void admin_passes_what_is_blocked_and_denied(void **state)
{
	static const struct judged row[] = {
		{ "203.0.113.9", 22, "admin", 1 }, { "203.0.113.9", 22, "not-blocked", 0, true },
		{ "203.0.113.9", 25, "blocked", 2 }, { "203.0.113.9", 25, "blocked", 2, true },
		{ "203.0.113.9", 0, "blocked", 2, true }, { "192.0.2.1", 22, "deny", 0 }, { "192.0.2.1", 25, "allow", 5 },
		{ "192.0.2.1", 25, "not-blocked", 0, true }, { NULL },
	};

	(void)state;
	assert_judged("admin ssh from @office\nblock 203.0.113.0/24\ndeny ssh from 203.0.113.9\nlist office 203.0.113.9\nallow smtp\n",
		      row);
}

static void exempt_passes_block_and_lists_but_not_written_addresses(void **state)
{
	static const struct judged row[] = {
		{ "192.0.2.10", 25, "allow", 2 }, { "192.0.2.10", 25, "not-blocked", 0, true }, { "192.0.2.11", 25, "blocked", 3 },
		{ "192.0.2.10", 143, "deny", 7 }, { "192.0.2.10", 993, "allow", 2 }, { "198.51.100.7", 993, "deny", 6 }, { NULL },
	};

	(void)state;
	assert_judged("exempt 192.0.2.10\nallow smtp, imap, imaps\nblock 192.0.2.0/24\nblock 192.0.2.10\n"
		      "list bad 192.0.2.10 198.51.100.7\ndeny imaps from @bad\ndeny imap from 192.0.2.10\n", row);
}

static void the_default_speaks_where_no_sentence_does(void **state)
{
	static const struct judged denied[] = {
		{ "192.0.2.1", 80, "closed", 1 }, { "192.0.2.1", 587, "deny", 1 }, { "203.0.113.9", 587, "allow", 2 }, { NULL },
	};
	static const struct judged allowed[] = {
		{ "192.0.2.1", 80, "default-allow", 1 }, { "192.0.2.1", 587, "deny", 2 }, { "203.0.113.9", 587, "allow", 2 },
		{ "192.0.2.1", 22, "deny", 3 },   { "203.0.113.9", 22, "admin", 3 },
		/* named only to be denied to some: open to the others */
		{ "192.0.2.1", 143, "default-allow", 1 }, { "203.0.113.9", 143, "deny", 4 },
		/* denied to all */
		{ "192.0.2.1", 110, "closed", 5 }, { "192.0.2.66", 80, "blocked", 6 }, { "192.0.2.66", 110, "closed", 5 }, { NULL },
	};

	(void)state;
	assert_judged("default deny\nallow submission from 203.0.113.9\n", denied);
	assert_judged("default allow\nallow submission from 203.0.113.9\nadmin ssh from 203.0.113.9\ndeny imap from 203.0.113.9\n"
		      "deny pop3\nblock 192.0.2.66\n", allowed);
}

static void a_port_is_closed_when_nobody_may_open_it(void **state)
{
	static const struct judged row[] = {
		/* allowed to nobody: the list is empty, or the same source is denied */
		{ "192.0.2.1", 25, "closed", 0 }, { "192.0.2.1", 143, "closed", 3 }, { "192.0.2.9", 143, "closed", 0 },
		/* open to one, if only since an exempt source need not mind a list */
		{ "192.0.2.9", 993, "deny", 0 }, { "192.0.2.1", 993, "allow", 4 },
		{ "198.51.100.9", 995, "deny", 7 }, { "192.0.2.77", 995, "allow", 6 }, { NULL },
	};

	(void)state;
	assert_judged("allow smtp from @empty\nallow imap from 192.0.2.1\ndeny imap from 192.0.2.1\nallow imaps from 192.0.2.1\n"
		      "exempt 192.0.2.77\nallow pop3s\ndeny pop3s from @bad\nlist empty\nlist bad 192.0.2.0/24 198.51.100.0/24\n", row);
}

static void a_blocked_address_stays_blocked_in_other_clothes(void **state)
{
	static const struct judged row[] = {
		{ "2002:c000:0201::1", 25, "blocked", 2 }, { "64:ff9b::c000:201", 25, "blocked", 2 },
		{ "2002:c000:0202::1", 25, "allow", 1 }, { "64:ff9b::c000:202", 25, "allow", 1 },
		{ "2002:c000:0201::1", 25, "blocked", 2, true }, { NULL },
	};

	(void)state;
	assert_judged("allow smtp\nblock 192.0.2.1\n", row);
}

/*
 * The judge against enumeration: sources are the 16 addresses of 10.0.0.0/28 and what they are told is worked out for each
 * from the promise itself, sentence by sentence and bit by bit.
 */
struct told_of {
	enum stmt_kind kind;
	unsigned int bits, len; /* len 99: any */
	bool listed;
};

static bool matches(const struct told_of *t, unsigned int host)
{
	return t->len == 99 || t->len == 0 || (t->bits ^ host) >> (4 - t->len) == 0;
}

static const char *by_promise(const struct told_of *t, unsigned int n, unsigned int host, bool default_allow)
{
	bool exempt = false, blocks = false, admin = false, governed = false;
	const char *says = NULL;
	int best = -2;

	for (unsigned int i = 0; i < n; i++) {
		governed |= t[i].kind == STMT_ALLOW || t[i].kind == STMT_ADMIN;
		exempt |= t[i].kind == STMT_EXEMPT && matches(&t[i], host);
		blocks |= t[i].kind == STMT_BLOCK && matches(&t[i], host);
		admin |= t[i].kind == STMT_ADMIN && matches(&t[i], host);
	}
	for (unsigned int i = 0; i < n; i++) {
		int len = t[i].len == 99 ? -1 : (int)t[i].len;

		if ((t[i].kind != STMT_ALLOW && t[i].kind != STMT_DENY) || !matches(&t[i], host))
			continue;
		if (t[i].kind == STMT_DENY && t[i].listed && exempt)
			continue;
		if (len > best || (len == best && t[i].kind == STMT_DENY)) {
			best = len;
			says = t[i].kind == STMT_DENY ? "deny" : "allow";
		}
	}
	if (admin)
		return "admin";
	if (!says)
		says = default_allow && !governed ? "default-allow" : "deny";
	return blocks && !exempt ? "blocked" : says;
}

static void the_judge_keeps_the_promise_on_random_rules(void **state)
{
	static const char *const verbs[] = { "allow smtp from", "deny smtp from", "block", "exempt", "admin smtp from" };
	static const enum stmt_kind kinds[] = { STMT_ALLOW, STMT_DENY, STMT_BLOCK, STMT_EXEMPT, STMT_ADMIN };
	unsigned int seen[JUDGE_NOT_BLOCKED] = { 0 };
	uint64_t seed = 8;

	(void)state;
	for (int round = 0; round < 3000; round++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_rules struct rules r = { 0 };
		unsigned int n = 1 + dice(&seed) % 7;
		bool default_allow = dice(&seed) % 2;
		struct told_of t[7];
		char text[2048];
		size_t len = sprintf(text, "default %s\n", default_allow ? "allow" : "deny");

		for (unsigned int i = 0; i < n; i++) {
			unsigned int kind = dice(&seed) % 5;

			t[i] = (struct told_of){ .kind = kinds[kind], .len = dice(&seed) % 5, .listed = dice(&seed) % 2 };
			t[i].bits = (dice(&seed) % 16) & (0xf0 >> t[i].len & 0xf);
			if (kind < 2 && dice(&seed) % 4 == 0)
				t[i] = (struct told_of){ .kind = kinds[kind], .len = 99 };
			if (t[i].len == 99)
				len += sprintf(text + len, "%s any\n", verbs[kind]);
			else if (t[i].listed)
				len += sprintf(text + len, "%s @l%u\nlist l%u 10.0.0.%u/%u\n", verbs[kind], i, i, t[i].bits, 28 + t[i].len);
			else
				len += sprintf(text + len, "%s 10.0.0.%u/%u\n", verbs[kind], t[i].bits, 28 + t[i].len);
		}
		assert_int_equal(parse(&r, text, &d), 0);
		assert_int_equal(rules_finish(&r, &d), 0);
		for (unsigned int host = 0; host < 16; host++) {
			const char *wanted = by_promise(t, n, host, default_allow);
			struct prefix p = { .family = 4, .len = 32, .addr = { 10, 0, 0, host } };
			struct judge_answer a = rules_judge(&r, &p, 25, true);

			seen[a.says]++;
			/* closed says the same to everybody, so it is asked for below */
			if (a.says != JUDGE_CLOSED && strcmp(says_text[a.says], wanted))
				fail_msg("round %d, 10.0.0.%u: %s, not %s, of\n%s", round, host, says_text[a.says], wanted, text);
			if (a.says == JUDGE_CLOSED)
				for (unsigned int other = 0; other < 16; other++)
					if (strcmp(by_promise(t, n, other, default_allow), "deny") &&
					    strcmp(by_promise(t, n, other, default_allow), "blocked"))
						fail_msg("round %d: closed, but 10.0.0.%u may open it, of\n%s", round, other, text);
		}
	}
	/* the dice have thrown every answer */
	for (unsigned int i = 0; i < JUDGE_NOT_BLOCKED; i++)
		assert_true(seen[i] > 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_wrong_to_say_together_is_refused),
		cmocka_unit_test(what_may_be_a_mistake_is_warned_of),
		cmocka_unit_test(lists_hold_what_was_said_sorted_and_once),
		cmocka_unit_test(a_sentence_is_found_by_what_it_says),
		cmocka_unit_test(a_list_file_is_read_once_and_then_kept),
		cmocka_unit_test(drop_ins_are_read_in_byte_order_behind_the_main_file),
		cmocka_unit_test(errors_of_all_files_are_told_at_once),
		cmocka_unit_test(a_list_that_shrank_or_grew_too_much_is_refused),
		cmocka_unit_test(a_list_file_with_an_error_refuses_the_whole),
		cmocka_unit_test(what_is_no_rules_file_is_refused),
		cmocka_unit_test(a_rules_file_that_everyone_may_write_to_is_warned_of),
		cmocka_unit_test(the_most_specific_source_wins_in_any_order),
		cmocka_unit_test(on_a_tie_deny_wins),
		cmocka_unit_test(any_is_less_specific_than_every_prefix),
		cmocka_unit_test(admin_passes_what_is_blocked_and_denied),
		cmocka_unit_test(exempt_passes_block_and_lists_but_not_written_addresses),
		cmocka_unit_test(the_default_speaks_where_no_sentence_does),
		cmocka_unit_test(a_port_is_closed_when_nobody_may_open_it),
		cmocka_unit_test(a_blocked_address_stays_blocked_in_other_clothes),
		cmocka_unit_test(the_judge_keeps_the_promise_on_random_rules),
	};

	return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
