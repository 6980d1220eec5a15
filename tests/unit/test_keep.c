// SPDX-License-Identifier: GPL-2.0-only
/* Policies on disk: what was kept comes back as it was, whatever happened to the files, and whole or not at all. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "keep.h"

static char dir[64], state[80], conf[96];
static struct diag diag;
static struct keep keep;

static void write_text(const char *path, const char *text)
{
	FILE *f = fopen(path, "w");

	assert_non_null(f);
	fputs(text, f);
	assert_int_equal(fclose(f), 0);
}

static void sh(const char *fmt, const char *arg)
{
	__cleanup_free char *cmd = NULL;

	assert_true(asprintf(&cmd, fmt, arg) > 0);
	assert_int_equal(system(cmd), 0);
}

static int begin(void **s)
{
	(void)s;
	strcpy(dir, "/tmp/mxdp-keep.XXXXXX");
	if (!mkdtemp(dir))
		return -1;
	snprintf(state, sizeof(state), "%s/state", dir);
	snprintf(conf, sizeof(conf), "%s/mxdp.conf", dir);
	return keep_open(&keep, state, true, &diag);
}

static int end(void **s)
{
	(void)s;
	keep_close(&keep);
	diag_free(&diag);
	sh("rm -rf %s", dir);
	return 0;
}

static struct rules load(const char *text)
{
	struct rules r;

	write_text(conf, text);
	if (rules_load(&r, conf, &diag))
		diag_print(&diag, stderr);
	assert_int_equal(diag.errors, 0);
	return r;
}

static void same(const struct rules *a, const struct rules *b)
{
	assert_int_equal(a->n, b->n);
	for (size_t i = 0; i < a->n; i++) {
		assert_true(stmt_same(&a->v[i], &b->v[i]));
		assert_int_equal(a->v[i].at.line, b->v[i].at.line);
		assert_true(!a->v[i].at.file == !b->v[i].at.file);
		if (a->v[i].at.file)
			assert_string_equal(a->v[i].at.file, b->v[i].at.file);
	}
	assert_int_equal(a->nlists, b->nlists);
	for (size_t i = 0; i < a->nlists; i++) {
		const struct list *l = rules_list(b, a->lists[i].name);

		assert_non_null(l);
		assert_int_equal(l->n, a->lists[i].n);
		assert_memory_equal(l->v, a->lists[i].v, l->n * sizeof(*l->v));
		assert_true(!l->path == !a->lists[i].path);
		if (l->path)
			assert_string_equal(l->path, a->lists[i].path);
		assert_int_equal(l->read_at, a->lists[i].read_at);
	}
}

static struct rules everything(void)
{
	struct rules r;

	sh("mkdir -p %s/conf.d %1$s/lists", dir);
	sh("echo 'allow imaps from @drop comment \"with # in it\"' >%s/conf.d/a.conf", dir);
	sh("printf '198.51.100.0/24 ; odd\\n2001:db8::/32\\n' >%s/lists/drop.txt", dir);
	r = load("interface wan0 mode auto\ndefault deny\nobserve\nadmin ssh from 192.0.2.0/24 2001:db8:1::/48\n"
		 "list drop file lists/drop.txt cover yes min 1 max 10\nlist office 203.0.113.0/24\nallow smtp, 587, 1000-1999 from @office any\n"
		 "block @drop # why\nexempt 192.0.2.10\ntrack socket leases 1M\n");
	/* said with --runtime: it stands in no file, and a list may hold more than its file */
	free(r.v[2].at.file);
	r.v[2].at = (struct origin){ 0 };
	r.lists[0].n--;
	return r;
}

static void what_was_kept_comes_back(void **s)
{
	struct kept about = {
		.at = 1700000000, .who = (char *)"alice from 192.0.2.7", .what = (char *)"apply x", .comment = (char *)"a\nb",
		.boot_id = (char *)"b-1", .epoch = 77, .ways = (char *)"192.0.2.7 1 192.0.2.1 22\n192.0.2.8 2 192.0.2.1 22",
		.attach = (char *)"interface eth0", .all = true,
	}, got;
	struct rules r = everything(), back;

	(void)s;
	assert_int_equal(keep_write(&keep, "trial", &about, &r, conf, &diag), 0);
	/* the files go; what was kept is whole in itself */
	sh("rm -r %s/conf.d %1$s/lists %1$s/mxdp.conf", dir);
	assert_int_equal(keep_read(&keep, "trial", &got, &back, &diag), 0);
	same(&r, &back);
	assert_int_equal(got.at, about.at);
	assert_string_equal(got.who, about.who);
	assert_string_equal(got.what, about.what);
	assert_string_equal(got.comment, about.comment);
	assert_string_equal(got.boot_id, about.boot_id);
	assert_string_equal(got.ways, about.ways);
	assert_string_equal(got.attach, about.attach);
	assert_int_equal(got.epoch, 77);
	assert_true(got.all && !got.nothing);
	kept_free(&got);
	rules_free(&r);
	rules_free(&back);
}

static void copies_of_the_files_are_kept_byte_by_byte(void **s)
{
	struct rules r = everything();

	(void)s;
	assert_int_equal(history_add(&keep, &(struct kept){ .what = (char *)"apply" }, &r, conf, &diag), 0);
	sh("cd %s && cmp mxdp.conf state/history/000001/files/00-mxdp.conf", dir);
	sh("cd %s && cmp conf.d/a.conf state/history/000001/files/01-a.conf", dir);
	sh("cd %s && cmp lists/drop.txt state/history/000001/files/02-drop.txt", dir);
	sh("cd %s && grep -q \"01-a.conf\t$PWD/conf.d/a.conf\" state/history/000001/files/INDEX", dir);
	rules_free(&r);
}

static void nothing_is_something_to_go_back_to(void **s)
{
	struct kept about;
	struct rules r = { 0 };

	(void)s;
	assert_int_equal(keep_read(&keep, "boot", &about, &r, &diag), -ENOENT);
	assert_int_equal(keep_write(&keep, "boot", &(struct kept){ .nothing = true }, NULL, NULL, &diag), 0);
	assert_int_equal(keep_read(&keep, "boot", &about, &r, &diag), 0);
	assert_true(about.nothing);
	assert_int_equal(r.n, 0);
	kept_free(&about);
	assert_int_equal(keep_remove(&keep, "boot", &diag), 0);
	assert_int_equal(keep_remove(&keep, "boot", &diag), 0);
	assert_int_equal(keep_read(&keep, "boot", &about, &r, &diag), -ENOENT);
	assert_int_equal(diag.errors, 0);
}

static void the_last_ten_are_kept_and_the_current_one(void **s)
{
	unsigned int current;
	struct kept *v;
	size_t n;

	(void)s;
	for (int i = 1; i <= 25; i++) {
		struct rules r = load("default deny\nallow smtp\n");

		assert_int_equal(history_add(&keep, &(struct kept){ .at = i }, &r, conf, &diag), 0);
		rules_free(&r);
	}
	assert_int_equal(history_list(&keep, &v, &n, &current, &diag), 0);
	assert_int_equal(n, KEEP_POLICIES);
	assert_int_equal(current, 25);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(v[i].id, 25 - i);
	history_free(v, n);
	/* one gone back to stays current until something else is put */
	assert_int_equal(history_set_current(&keep, 16, &diag), 0);
	assert_int_equal(history_list(&keep, &v, &n, &current, &diag), 0);
	assert_int_equal(current, 16);
	history_free(v, n);
}

static void a_large_list_that_did_not_change_is_stored_once(void **s)
{
	struct stat a, b, c;
	char path[200];
	struct rules r;

	(void)s;
	sh("seq 1 20000 | awk '{ printf \"10.%%d.%%d.0/24\\n\", $1 / 250, $1 %% 250 }' >%s/big.txt", dir);
	r = load("default deny\nlist big file big.txt private yes\nblock @big\n");
	for (int i = 0; i < 2; i++)
		assert_int_equal(history_add(&keep, &(struct kept){ .at = i }, &r, conf, &diag), 0);
	r.lists[0].n--;
	assert_int_equal(history_add(&keep, &(struct kept){ .at = 3 }, &r, conf, &diag), 0);
	snprintf(path, sizeof(path), "%s/history/000001/lists/big", state);
	assert_int_equal(stat(path, &a), 0);
	snprintf(path, sizeof(path), "%s/history/000002/lists/big", state);
	assert_int_equal(stat(path, &b), 0);
	snprintf(path, sizeof(path), "%s/history/000003/lists/big", state);
	assert_int_equal(stat(path, &c), 0);
	assert_int_equal(a.st_ino, b.st_ino);
	assert_int_not_equal(a.st_ino, c.st_ino);
	rules_free(&r);
}

/* A write that was killed leaves its directory beside; the next one clears it away. */
static void what_a_killed_write_left_is_in_nobodys_way(void **s)
{
	struct rules r = load("default deny\nallow smtp\n"), back;
	struct kept about;

	(void)s;
	sh("mkdir -p %s/.new/lists && echo rubbish >%1$s/.new/policy", state);
	assert_int_equal(keep_read(&keep, "trial", &about, &back, &diag), -ENOENT);
	assert_int_equal(keep_write(&keep, "trial", &(struct kept){ .at = 1 }, &r, conf, &diag), 0);
	sh("mkdir -p %s/.new/lists", state);
	assert_int_equal(keep_write(&keep, "trial", &(struct kept){ .at = 2 }, &r, conf, &diag), 0);
	assert_int_equal(keep_read(&keep, "trial", &about, &back, &diag), 0);
	assert_int_equal(about.at, 2);
	kept_free(&about);
	rules_free(&back);
	sh("mkdir -p %s/.new/lists", state);
	assert_int_equal(keep_remove(&keep, "trial", &diag), 0);
	sh("test ! -e %s/.new -a ! -e %1$s/trial", state);
	rules_free(&r);
}

static void damage_is_said_and_nothing_of_it_used(void **s)
{
	static const char *const harm[] = {
		"echo 'allow smtp' >%s/boot/policy", "echo '#@ 1 1 /x' >%s/boot/policy",
		"printf '#@ 1 1 /x\\nalow smtp\\n' >%s/boot/policy", "printf '#@ 1 1 /x\\nblock @drop\\n' >%s/boot/policy",
		"rm %s/boot/policy", ": >%s/boot/policy", "rm -r %s/boot/lists", "echo junk >%s/boot/lists/drop",
		"printf '#@ 1 -\\n1.2.3\\n' >%s/boot/lists/drop",
	};
	struct rules r = everything(), back;
	struct kept about;

	(void)s;
	for (size_t i = 0; i < sizeof(harm) / sizeof(*harm); i++) {
		assert_int_equal(keep_write(&keep, "boot", &(struct kept){ .at = 1 }, &r, conf, &diag), 0);
		sh(harm[i], state);
		diag_free(&diag);
		assert_int_not_equal(keep_read(&keep, "boot", &about, &back, &diag), 0);
		assert_int_not_equal(diag.errors, 0);
		assert_int_equal(back.n, 0);
		kept_free(&about);
	}
	rules_free(&r);
}

static void a_directory_that_others_reach_is_refused(void **s)
{
	struct keep other;

	(void)s;
	sh("chmod 0755 %s", state);
	assert_int_equal(keep_open(&other, state, true, &diag), -EACCES);
	assert_non_null(strstr(diag.msg[0].text, "chmod"));
	sh("chmod 0700 %s && ln -s state %1$s-link", state);
	diag_free(&diag);
	assert_int_not_equal(keep_open(&other, "/tmp/no/such/place", true, &diag), 0);
	snprintf(conf, sizeof(conf), "%s-link", state);
	assert_int_not_equal(keep_open(&other, conf, true, &diag), 0);
	assert_int_equal(diag.errors, 2);
	diag_free(&diag);
	assert_int_equal(keep_open(&other, "/tmp/no/such/place", false, &diag), -ENOENT);
	assert_int_equal(diag.errors, 0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, begin, end)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(what_was_kept_comes_back),
		TEST(copies_of_the_files_are_kept_byte_by_byte),
		TEST(nothing_is_something_to_go_back_to),
		TEST(the_last_ten_are_kept_and_the_current_one),
		TEST(a_large_list_that_did_not_change_is_stored_once),
		TEST(what_a_killed_write_left_is_in_nobodys_way),
		TEST(damage_is_said_and_nothing_of_it_used),
		TEST(a_directory_that_others_reach_is_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
