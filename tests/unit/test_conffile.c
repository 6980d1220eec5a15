// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <signal.h>
#include <time.h>
#include "listpack.h"
#include "told.h"

#define CONF "mxdp.conf"
#define __cleanup_conffile __cleanup(conffile_close)

static void assert_file(const char *name, const char *wanted)
{
	assert_string_equal(read_file(name), wanted);
}

/* Opens a file with this text in it. */
static struct conffile opened(const char *text, struct diag *d)
{
	struct conffile c;

	write_file(CONF, text);
	if (conffile_open(&c, CONF, false, d))
		fail_msg("%s", told(d));
	return c;
}

static void appending_keeps_all_that_is_there(void **state)
{
	static const struct {
		const char *before, *after;
	} row[] = {
		{ "", "allow imap\n" },
		{ "allow smtp\n", "allow smtp\nallow imap\n" },
		{ "allow smtp", "allow smtp\nallow imap\n" },
		{ "# a\n\n\tallow smtp # b\n\n", "# a\n\n\tallow smtp # b\n\nallow imap\n" },
		{ "allow smtp\r\n", "allow smtp\r\nallow imap\r\n" },
		{ "allow smtp\r\n# end", "allow smtp\r\n# end\r\nallow imap\r\n" },
		/* a '\' at the end must not swallow the new sentence */
		{ "allow smtp \\\n", "allow smtp \\\n\nallow imap\n" },
		{ "allow smtp \\", "allow smtp \\\n\nallow imap\n" },
		{ "# allow smtp \\\n", "# allow smtp \\\nallow imap\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_conffile struct conffile c = opened(row[i].before, &d);
		__cleanup_rules struct rules r = { 0 };

		conffile_append(&c, "allow imap");
		assert_int_equal(conffile_commit(&c, &d), 0);
		assert_file(CONF, row[i].after);
		assert_int_equal(parse(&r, c.text, &d), 0);
		assert_int_equal(r.v[r.n - 1].ports[0].lo, 143);
	}
}

static void removing_takes_the_sentence_and_nothing_else(void **state)
{
	static const struct {
		const char *before;
		unsigned int line;
		const char *after;
	} row[] = {
		{ "allow smtp\n", 1, "" },
		{ "# a\nallow smtp # b\n# c\n", 2, "# a\n# c\n" },
		{ "a\nallow smtp, \\\n  imap, \\\n  pop3\nb\n", 2, "a\nb\n" },
		{ "a\nallow smtp, \\\n  imap, \\\n  pop3\nb\n", 4, "a\nb\n" },
		{ "a\r\nallow smtp\r\nb", 2, "a\r\nb" },
		{ "a\nallow smtp", 2, "a\n" },
		{ "\xef\xbb\xbf" "allow smtp\nb\n", 1, "\xef\xbb\xbf" "b\n" },
		{ "# x \\\nallow smtp\n", 2, "# x \\\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_conffile struct conffile c = opened(row[i].before, &d);

		assert_int_equal(conffile_remove_line(&c, row[i].line, &d), 0);
		assert_int_equal(conffile_commit(&c, &d), 0);
		assert_file(CONF, row[i].after);
	}
}

static void replacing_keeps_indent_comment_and_line_ending(void **state)
{
	static const struct {
		const char *before;
		unsigned int line;
		const char *after;
	} row[] = {
		{ "allow smtp\n", 1, "deny imap\n" },
		{ "  allow smtp   # the world\n", 1, "  deny imap   # the world\n" },
		{ "allow smtp# x\n", 1, "deny imap # x\n" },
		{ "\tallow smtp\r\nb\r\n", 1, "\tdeny imap\r\nb\r\n" },
		{ "b\nallow smtp", 2, "b\ndeny imap" },
		{ "b\nallow smtp # x\r\n", 2, "b\ndeny imap # x\r\n" },
		{ "a\nallow smtp, \\\n  pop3 # both\nb\n", 2, "a\ndeny imap # both\nb\n" },
		{ "a\nallow smtp, \\\n  pop3\nb\n", 3, "a\ndeny imap\nb\n" },
		{ "a\nlist x comment \"# no comment\"\nb\n", 2, "a\ndeny imap\nb\n" },
		{ "allow smtp \\\n# x\n", 1, "deny imap # x\n" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(row) / sizeof(row[0]); i++) {
		__cleanup_diag struct diag d = { 0 };
		__cleanup_conffile struct conffile c = opened(row[i].before, &d);

		assert_int_equal(conffile_replace_line(&c, row[i].line, "deny imap", &d), 0);
		assert_int_equal(conffile_commit(&c, &d), 0);
		assert_file(CONF, row[i].after);
	}
}

static void a_line_without_a_sentence_is_not_edited(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = opened("# allow smtp\n\nallow smtp\n", &d);
	char wanted[400];

	(void)state;
	assert_int_equal(conffile_remove_line(&c, 1, &d), -ENOENT);
	assert_int_equal(conffile_replace_line(&c, 2, "x", &d), -ENOENT);
	assert_int_equal(conffile_remove_line(&c, 4, &d), -ENOENT);
	assert_string_equal(c.text, "# allow smtp\n\nallow smtp\n");
	snprintf(wanted, sizeof(wanted), "E: %s:1: no sentence stands there\nE: %s:2: no sentence stands there\n"
		 "E: %s:4: no sentence stands there", c.path, c.path, c.path);
	assert_string_equal(told(&d), wanted);
}

static void nothing_is_written_before_commit(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct conffile c = opened("allow smtp\n", &d);

	(void)state;
	conffile_append(&c, "allow imap");
	assert_file(CONF, "allow smtp\n");
	conffile_close(&c);
	assert_file(CONF, "allow smtp\n");
}

static void mode_and_owner_are_kept(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = opened("allow smtp\n", &d);
	unsigned int id = geteuid() ? geteuid() : 12345;
	struct stat st;

	(void)state;
	assert_int_equal(chown(CONF, id, getegid()), 0);
	assert_int_equal(chmod(CONF, 0640), 0);
	conffile_append(&c, "allow imap");
	assert_int_equal(conffile_commit(&c, &d), 0);
	assert_int_equal(stat(CONF, &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
	assert_int_equal(st.st_uid, id);
	assert_int_equal(chmod(CONF, 0644), 0);
	assert_int_equal(chown(CONF, geteuid(), getegid()), 0);
}

static void a_symlink_is_followed_to_its_target(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = { .lock_fd = -1 };
	struct stat st;

	(void)state;
	mkdir("real", 0755);
	write_file("real/file", "allow smtp\n");
	assert_int_equal(symlink("real/file", "link.conf"), 0);
	assert_int_equal(conffile_open(&c, "link.conf", false, &d), 0);
	conffile_append(&c, "allow imap");
	assert_int_equal(conffile_commit(&c, &d), 0);
	assert_int_equal(lstat("link.conf", &st), 0);
	assert_true(S_ISLNK(st.st_mode));
	assert_file("real/file", "allow smtp\nallow imap\n");
	/* one lock whichever name is used */
	assert_int_equal(access("real/file.lock", F_OK), 0);
	assert_int_equal(access("link.conf.lock", F_OK), -1);
}

static void a_new_file_is_begun_only_when_asked(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = { .lock_fd = -1 };
	struct stat st;

	(void)state;
	assert_int_equal(conffile_open(&c, "new.conf", false, &d), -ENOENT);
	assert_string_equal(told(&d), "E: new.conf: cannot open: No such file or directory");
	assert_int_equal(conffile_open(&c, "new.conf", true, &d), 0);
	assert_int_equal(c.len, 0);
	assert_int_equal(access("new.conf", F_OK), -1);
	conffile_append(&c, "allow smtp");
	assert_int_equal(conffile_commit(&c, &d), 0);
	assert_file("new.conf", "allow smtp\n");
	assert_int_equal(stat("new.conf", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0640);
}

static void a_prepared_change_waits_for_commit_and_goes_without(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct conffile c = opened("allow smtp\n", &d);

	(void)state;
	conffile_append(&c, "allow imap");
	assert_int_equal(conffile_prepare(&c, &d), 0);
	assert_file(CONF, "allow smtp\n");
	assert_file(CONF ".new", "allow smtp\nallow imap\n");
	conffile_close(&c);
	assert_file(CONF, "allow smtp\n");
	assert_int_equal(access(CONF ".new", F_OK), -1);

	c = opened("allow smtp\n", &d);
	conffile_append(&c, "allow imap");
	assert_int_equal(conffile_prepare(&c, &d), 0);
	assert_int_equal(conffile_commit(&c, &d), 0);
	conffile_close(&c);
	assert_file(CONF, "allow smtp\nallow imap\n");
	assert_int_equal(access(CONF ".new", F_OK), -1);
}

static void what_a_killed_command_left_is_no_hindrance(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = opened("allow smtp\n", &d);

	(void)state;
	write_file(CONF ".new", "half a sent");
	conffile_append(&c, "allow imap");
	assert_int_equal(conffile_commit(&c, &d), 0);
	assert_file(CONF, "allow smtp\nallow imap\n");
	assert_int_equal(access(CONF ".new", F_OK), -1);
}

static void a_kill_at_any_moment_leaves_the_old_file_or_the_new_one(void **state)
{
	static const char old[] = "allow smtp\n", new[] = "allow smtp\nallow imap\n";
	unsigned int olds = 0, news = 0;

	(void)state;
	for (unsigned int i = 0; i < 60; i++) {
		struct timespec wait = { .tv_nsec = i * 20 * 1000 };
		pid_t child;

		write_file(CONF, old);
		child = fork();
		if (!child) {
			struct diag d = { 0 };
			struct conffile c;

			if (conffile_open(&c, CONF, false, &d))
				_exit(1);
			conffile_append(&c, "allow imap");
			conffile_commit(&c, &d);
			_exit(0);
		}
		nanosleep(&wait, NULL);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		olds += !strcmp(read_file(CONF), old);
		news += !strcmp(read_file(CONF), new);
	}
	assert_int_equal(olds + news, 60);
	assert_true(olds > 0);
}

static void a_full_disk_leaves_the_old_file(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = opened("allow smtp\n", &d);
	struct rlimit whole, tiny;
	char wanted[400];
	int err;

	(void)state;
	conffile_append(&c, "allow imap");
	getrlimit(RLIMIT_FSIZE, &whole);
	tiny = whole;
	tiny.rlim_cur = 5;
	signal(SIGXFSZ, SIG_IGN);
	setrlimit(RLIMIT_FSIZE, &tiny);
	err = conffile_commit(&c, &d);
	setrlimit(RLIMIT_FSIZE, &whole);
	assert_int_equal(err, -EFBIG);
	snprintf(wanted, sizeof(wanted), "E: %s: cannot write: File too large", c.path);
	assert_string_equal(told(&d), wanted);
	assert_file(CONF, "allow smtp\n");
	assert_int_equal(access(CONF ".new", F_OK), -1);
}

static void two_editors_take_turns(void **state)
{
	int status;

	(void)state;
	write_file(CONF, "");
	for (int i = 0; i < 8; i++) {
		if (fork())
			continue;
		for (int k = 0; k < 5; k++) {
			struct diag d = { 0 };
			struct conffile c;

			if (conffile_open(&c, CONF, false, &d))
				_exit(1);
			conffile_append(&c, "allow smtp");
			if (conffile_commit(&c, &d))
				_exit(1);
			conffile_close(&c);
		}
		_exit(0);
	}
	while (wait(&status) > 0)
		assert_int_equal(status, 0);
	assert_int_equal(strlen(read_file(CONF)), 8 * 5 * strlen("allow smtp\n"));
}

static void a_lock_that_is_a_symlink_is_not_followed(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct conffile c;

	(void)state;
	write_file("trap.conf", "allow smtp\n");
	assert_int_equal(symlink("victim", "trap.conf.lock"), 0);
	assert_int_equal(conffile_open(&c, "trap.conf", false, &d), -ELOOP);
	assert_int_equal(access("victim", F_OK), -1);
}

static void a_file_is_read_whole_or_not_at_all(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_free char *text = NULL;
	size_t len;

	(void)state;
	write_file("ten", "0123456789");
	assert_int_equal(file_read("ten", 10, &text, &len, &d), 0);
	assert_int_equal(len, 10);
	assert_string_equal(text, "0123456789");
	free(take(text));
	assert_int_equal(file_read("ten", 9, &text, &len, &d), -EFBIG);
	assert_null(text);
	assert_string_equal(told(&d), "E: ten: larger than 9 bytes, which is the limit for such a file");
}

static void replacing_a_file_leaves_no_trace_beside_it(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct dirent *e;
	unsigned int n = 0;
	struct stat st;
	DIR *dir;

	(void)state;
	mkdir("out", 0755);
	assert_int_equal(file_replace("out/x.prom", "one\n", 4, 0640, &d), 0);
	assert_int_equal(file_replace("out/x.prom", "two\n", 4, 0604, &d), 0);
	assert_file("out/x.prom", "two\n");
	assert_int_equal(stat("out/x.prom", &st), 0);
	assert_int_equal(st.st_mode & 07777, 0604);
	dir = opendir("out");
	while ((e = readdir(dir)))
		n += e->d_name[0] != '.';
	closedir(dir);
	assert_int_equal(n, 1);
}

static void what_is_no_file_is_not_replaced(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	struct stat st;

	(void)state;
	mkdir("a directory", 0755);
	assert_int_equal(file_replace("a directory", "x", 1, 0644, &d), -EINVAL);
	assert_int_equal(mkfifo("fifo", 0600), 0);
	assert_int_equal(file_replace("fifo", "x", 1, 0644, &d), -EINVAL);
	assert_int_equal(file_replace("missing/file", "x", 1, 0644, &d), -ENOENT);
	assert_string_equal(told(&d), "E: a directory: not a file; it is left as it is\nE: fifo: not a file; it is left as it is\n"
				      "E: missing/file: cannot write: No such file or directory");
	assert_int_equal(lstat("fifo", &st), 0);
	assert_true(S_ISFIFO(st.st_mode));
}

static void an_edit_in_the_file_itself_is_taken_back(void **state)
{
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = opened("11.0.0.1\n11.0.0.2", &d);
	struct conffile_spot spot = { 9, 8, (char []){ "11.0.0.2" } };
	struct list_stamp is = list_stamp_of(CONF);

	(void)state;
	assert_int_equal(conffile_grow(&c, "11.0.0.3\n", &is, &d), 0);
	assert_file(CONF, "11.0.0.1\n11.0.0.2\n11.0.0.3\n");
	assert_int_equal(is.size, 27);
	conffile_shrink(&c, &is, 17, &d);
	assert_file(CONF, "11.0.0.1\n11.0.0.2");
	is = list_stamp_of(CONF);
	assert_int_equal(conffile_blank(&c, &spot, 1, &is, &d), 0);
	assert_file(CONF, "11.0.0.1\n#       ");
	conffile_unblank(&c, &spot, 1, &is, &d);
	assert_file(CONF, "11.0.0.1\n11.0.0.2");
	assert_int_equal(d.n, 0);
}

/* A feed renames its new file over the old one, and asks nobody for a lock. */
static void a_file_that_another_took_the_place_of_is_left_alone(void **state)
{
	static const char feed[] = "12.0.0.0/16\n12.1.0.0/16\n12.2.0.0/16\n";
	__cleanup_diag struct diag d = { 0 };
	__cleanup_conffile struct conffile c = opened("11.0.0.1\n11.0.0.2\n", &d);
	struct conffile_spot spot = { 9, 8, (char []){ "11.0.0.2" } };
	struct list_stamp is = list_stamp_of(CONF), was = is;

	(void)state;
	write_file("feed", feed);
	assert_int_equal(rename("feed", CONF), 0);
	assert_int_equal(conffile_grow(&c, "11.0.0.3\n", &is, &d), -ESTALE);
	assert_int_equal(conffile_blank(&c, &spot, 1, &is, &d), -ESTALE);
	assert_int_equal(d.n, 0);
	conffile_shrink(&c, &is, 9, &d);
	conffile_unblank(&c, &spot, 1, &is, &d);
	assert_int_equal(d.n, 2);
	assert_file(CONF, feed);
	assert_true(list_stamp_same(&is, &was));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(appending_keeps_all_that_is_there),
		cmocka_unit_test(removing_takes_the_sentence_and_nothing_else),
		cmocka_unit_test(replacing_keeps_indent_comment_and_line_ending),
		cmocka_unit_test(a_line_without_a_sentence_is_not_edited),
		cmocka_unit_test(nothing_is_written_before_commit),
		cmocka_unit_test(mode_and_owner_are_kept),
		cmocka_unit_test(a_symlink_is_followed_to_its_target),
		cmocka_unit_test(a_new_file_is_begun_only_when_asked),
		cmocka_unit_test(a_prepared_change_waits_for_commit_and_goes_without),
		cmocka_unit_test(what_a_killed_command_left_is_no_hindrance),
		cmocka_unit_test(a_kill_at_any_moment_leaves_the_old_file_or_the_new_one),
		cmocka_unit_test(a_full_disk_leaves_the_old_file),
		cmocka_unit_test(two_editors_take_turns),
		cmocka_unit_test(a_lock_that_is_a_symlink_is_not_followed),
		cmocka_unit_test(a_file_is_read_whole_or_not_at_all),
		cmocka_unit_test(replacing_a_file_leaves_no_trace_beside_it),
		cmocka_unit_test(what_is_no_file_is_not_replaced),
		cmocka_unit_test(an_edit_in_the_file_itself_is_taken_back),
		cmocka_unit_test(a_file_that_another_took_the_place_of_is_left_alone),
	};

	return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
