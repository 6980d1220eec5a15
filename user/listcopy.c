// SPDX-License-Identifier: GPL-2.0-only
/*
 * The last good copy of a list, for a boot at which its file is missing, broken or refused: plain text, so that whoever
 * looks for it can read it. The names of lists are good names of files.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "listfile.h"
#include "token.h"

#define HEAD "# mxdp's last good copy of this list, used when its file is refused and nothing is in force\n"
#define MAX_COPY (1u << 30)

static int bad_directory(const char *path, const struct stat *st, struct diag *d)
{
	if (!S_ISDIR(st->st_mode))
		diag_warn(d, "%s: not a directory, so no copies of lists are kept in it", path);
	else if (st->st_uid != geteuid() || st->st_mode & (S_IWGRP | S_IWOTH))
		diag_warn(d, "%s: others may write to it, so no copies of lists are kept in it; chown root %s && chmod 700 %s",
			  path, path, path);
	else
		return 0;
	return -EPERM;
}

static int make_directory(const char *path, bool make, struct diag *d)
{
	struct stat st;
	int err = 0;

	if (make && mkdir(path, 0700) && errno != EEXIST)
		err = -errno;
	else if (lstat(path, &st))
		err = -errno;
	if (!err)
		return bad_directory(path, &st, d);
	if (make || err != -ENOENT)
		diag_warn(d, "%s: %s; the last good copies of lists are not at hand", path, strerror(-err));
	return err;
}

/* DIR/lists/NAME, when the directories are ours. Malloc'd; NULL with *err. */
static char *copy_path(const char *dir, const char *name, bool make, int *err, struct diag *d)
{
	__cleanup_free char *lists = xasprintf("%s/lists", dir);

	*err = make_directory(dir, make, d);
	if (!*err)
		*err = make_directory(lists, make, d);
	return *err ? NULL : xasprintf("%s/%s", lists, name);
}

static bool says_already(const char *path, const char *text, size_t len)
{
	__cleanup_free char *old = NULL;
	struct diag quiet = { 0 };
	struct stat st;
	size_t n;
	bool same = !stat(path, &st) && (size_t)st.st_size == len && !file_read(path, MAX_COPY, &old, &n, &quiet) && n == len &&
		    !memcmp(old, text, len);

	diag_free(&quiet);
	return same;
}

int listcopy_save(const char *dir, const char *name, const struct prefix *v, size_t n, struct diag *d)
{
	__cleanup_free char *path = NULL, *text = NULL;
	struct diag said = { 0 };
	char *to;
	int err;

	path = copy_path(dir, name, true, &err, d);
	if (!path)
		return err;
	text = xmalloc(sizeof(HEAD) + n * PREFIX_TEXT);
	to = stpcpy(text, HEAD);
	for (size_t i = 0; i < n; i++)
		to = prefix_line(to, &v[i]);
	if (says_already(path, text, to - text))
		return 0;
	err = file_replace(path, text, to - text, 0600, &said);
	for (size_t i = 0; i < said.n; i++)
		diag_warn(d, "%s; list \"%s\" is in force, but has no good copy for the next boot", said.msg[i].text, name);
	diag_free(&said);
	return err;
}

void listcopy_save_all(const char *dir, const struct rules *r, struct diag *d)
{
	for (size_t i = 0; i < r->nlists; i++) {
		const struct list *l = &r->lists[i];
		__cleanup_free struct prefix *v = NULL;
		size_t n;

		if (!l->fresh)
			continue;
		v = list_file_part(l, rules_list_said(r, l->name), &n);
		/* one directory that cannot be had is one warning */
		if (listcopy_save(dir, l->name, v, n, d))
			return;
	}
}

int listcopy_read(const char *dir, const char *name, struct prefix **v, size_t *n, int64_t *saved, struct diag *d)
{
	__cleanup_listfile struct listfile f = { 0 };
	__cleanup_free char *path = NULL;
	struct diag said = { 0 };
	struct stat st;
	int err;

	path = copy_path(dir, name, false, &err, d);
	if (path && lstat(path, &st))
		err = -errno;
	else if (path && !S_ISREG(st.st_mode))
		err = -EINVAL;
	if (err)
		return err;
	err = listfile_open(&f, path, &said);
	if (!err)
		err = listfile_scan(&f, &said);
	if (err)
		diag_warn(d, "the last good copy of list \"%s\" cannot be used: %s", name, said.n ? said.msg[0].text : strerror(-err));
	diag_free(&said);
	*v = take(f.v);
	*n = f.n;
	*saved = st.st_mtime;
	return err;
}

void listcopy_forget(const char *dir, const char *name, const struct prefix *gone, size_t ngone, struct diag *d)
{
	__cleanup_free struct prefix *v = NULL;
	size_t n = 0, left = 0;
	int64_t saved;

	if (listcopy_read(dir, name, &v, &n, &saved, d))
		return;
	for (size_t i = 0; i < n; i++)
		if (!bsearch(&v[i], gone, ngone, sizeof(*gone), prefix_cmp))
			v[left++] = v[i];
	if (left < n)
		listcopy_save(dir, name, v, left, d);
}
