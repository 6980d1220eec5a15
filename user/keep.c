// SPDX-License-Identifier: GPL-2.0-only
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "keep.h"

#define MAX_KEPT (256u << 20)
#define NEW ".new"

void kept_free(struct kept *k)
{
	free(k->who);
	free(k->what);
	free(k->comment);
	free(k->boot_id);
	free(k->ways);
	free(k->attach);
	*k = (struct kept){ 0 };
}

char *boot_id(void)
{
	const char *told = getenv("MXDP_BOOT_ID");
	struct diag quiet = { 0 };
	char *text = NULL;
	size_t len;

	if (told && *told)
		return xstrdup(told);
	if (file_read("/proc/sys/kernel/random/boot_id", 4096, &text, &len, &quiet))
		text = xstrdup("unknown");
	text[strcspn(text, "\n")] = '\0';
	diag_free(&quiet);
	return text;
}

/* ---- the directory ---- */

int keep_open(struct keep *k, const char *path, bool make, struct diag *d)
{
	struct stat st;
	int err;

	*k = (struct keep){ .path = path, .dir = -1 };
	if (make && mkdir(path, 0700) && errno != EEXIST) {
		err = -errno;
		diag_error(d, "cannot make the directory %s, where policies are kept: %s; --state DIR names another", path,
			   strerror(-err));
		return err;
	}
	k->dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (k->dir < 0 || fstat(k->dir, &st)) {
		err = -errno;
		if (make || err != -ENOENT)
			diag_error(d, "%s, where policies are kept: %s; --state DIR names another", path, strerror(-err));
		return err;
	}
	if (st.st_uid != geteuid() || st.st_mode & 077) {
		diag_error(d, "%s, where policies are kept, may be reached by others (owner %u, mode %04o); `chown %u` and "
			      "`chmod 0700` it, or name another with --state DIR", path, (unsigned int)st.st_uid,
			   (unsigned int)st.st_mode & 07777, (unsigned int)geteuid());
		keep_close(k);
		return -EACCES;
	}
	return 0;
}

void keep_close(struct keep *k)
{
	if (k->dir >= 0)
		close(k->dir);
	k->dir = -1;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
	(void)st, (void)kind, (void)at;
	return remove(path);
}

static int remove_tree(const struct keep *k, const char *name)
{
	__cleanup_free char *path = xasprintf("%s/%s", k->path, name);

	return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS) && errno != ENOENT ? -errno : 0;
}

static int failed(const struct keep *k, const char *name, int err, struct diag *d)
{
	if (err)
		diag_error(d, "%s/%s: cannot write: %s", k->path, name, strerror(-err));
	return err;
}

int keep_remove(const struct keep *k, const char *name, struct diag *d)
{
	/* renamed first: half a directory is never taken for a whole one */
	if (renameat(k->dir, name, k->dir, NEW) && errno == ENOTEMPTY)
		remove_tree(k, NEW);
	if (renameat(k->dir, name, k->dir, NEW) && errno != ENOENT)
		return failed(k, name, -errno, d);
	if (fsync(k->dir) && errno != EINVAL)
		return failed(k, name, -errno, d);
	return failed(k, NEW, remove_tree(k, NEW), d);
}

/* ---- writing ---- */

/* A large file that did not change shares its blocks with the copy of before. */
static bool same_bytes(int dir, const char *name, const void *text, size_t len)
{
	__cleanup_close int fd = dir < 0 ? -1 : openat(dir, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW);
	__cleanup_free char *held = NULL;
	struct stat st;

	if (fd < 0 || fstat(fd, &st) || !S_ISREG(st.st_mode) || (size_t)st.st_size != len)
		return false;
	held = xmalloc(len);
	return read(fd, held, len) == (ssize_t)len && !memcmp(held, text, len);
}

/* Into dir; `before`: a directory that may hold the same, or -1. */
static int put_file(int dir, int before, const char *name, const void *text, size_t len)
{
	const size_t worth = 65536;
	__cleanup_close int fd = -1;
	FILE *to;
	int err;

	if (len > worth && same_bytes(before, name, text, len) && linkat(before, name, dir, name, 0) == 0)
		return 0;
	fd = openat(dir, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	if (fd < 0)
		return -errno;
	to = fdopen(dup(fd), "w");
	if (!to)
		return -errno;
	fwrite(text, 1, len, to);
	err = fclose(to) ? -errno : 0;
	return err ? err : fsync(fd) ? -errno : 0;
}

static int open_dir(int at, const char *name)
{
	int fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

	return fd < 0 ? -errno : fd;
}

static int make_dir(int at, const char *name)
{
	return mkdirat(at, name, 0700) && errno != EEXIST ? -errno : open_dir(at, name);
}

static void say_line(FILE *to, const char *key, const char *value)
{
	if (!value)
		return;
	/* several lines of one key are one value */
	for (const char *end; *value; value = *end ? end + 1 : end) {
		end = value + strcspn(value, "\n");
		fprintf(to, "%s %.*s\n", key, (int)(end - value), value);
	}
}

static int put_about(int dir, const struct kept *k)
{
	__cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return -ENOMEM;
	fprintf(to, "at %" PRId64 "\n", k->at);
	say_line(to, "who", k->who);
	say_line(to, "what", k->what);
	say_line(to, "comment", k->comment);
	if (k->nothing)
		fputs("nothing\n", to);
	say_line(to, "boot", k->boot_id);
	if (k->epoch)
		fprintf(to, "epoch %" PRIu32 "\n", k->epoch);
	say_line(to, "way", k->ways);
	say_line(to, "attach", k->attach);
	if (k->all)
		fputs("all\n", to);
	fclose(to);
	return put_file(dir, -1, "about", text, len);
}

/* Every sentence under a line that says where it stands. */
static int put_policy(int dir, int before, const struct rules *r)
{
	__cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return -ENOMEM;
	for (size_t i = 0; i < r->n; i++) {
		const struct stmt *s = &r->v[i];
		__cleanup_free char *said = stmt_text(s);
		bool placed = s->at.file && !strpbrk(s->at.file, "\n");

		fprintf(to, "#@ %u %u %s\n%s\n", placed ? s->at.line : 0, placed ? s->at.column : 0,
			placed ? s->at.file : "-", said);
	}
	fclose(to);
	return put_file(dir, before, "policy", text, len);
}

static int put_list(int dir, int before, const struct list *l)
{
	__cleanup_free char *text = NULL, *head = NULL;
	char *to;

	head = xasprintf("#@ %" PRId64 " %s\n", l->read_at, l->path && !strpbrk(l->path, "\n") ? l->path : "-");
	text = xmalloc(strlen(head) + 1 + l->n * PREFIX_TEXT);
	to = stpcpy(text, head);
	for (size_t i = 0; i < l->n; i++)
		to = prefix_line(to, &l->v[i]);
	return put_file(dir, before, l->name, text, to - text);
}

static int put_lists(int dir, int before, const struct rules *r)
{
	__cleanup_close int to = make_dir(dir, "lists"), from = before < 0 ? -1 : open_dir(before, "lists");
	int err = to < 0 ? to : 0;

	for (size_t i = 0; !err && i < r->nlists; i++)
		err = put_list(to, from, &r->lists[i]);
	return err ? err : fsync(to) && errno != EINVAL ? -errno : 0;
}

/* A copy that cannot be had is left out: the policy is kept without it. */
static int put_copy(int to, int from, FILE *index, unsigned int *n, const char *path)
{
	const char *slash = strrchr(path, '/');
	__cleanup_free char *name = xasprintf("%02u-%s", *n, slash ? slash + 1 : path), *text = NULL;
	struct diag quiet = { 0 };
	size_t len;
	int err = file_read(path, MAX_KEPT, &text, &len, &quiet);

	diag_free(&quiet);
	if (err)
		return 0;
	++*n;
	fprintf(index, "%s\t%s\n", name, path);
	return put_file(to, from, name, text, len);
}

static int is_conf(const struct dirent *e)
{
	size_t n = strlen(e->d_name);

	return e->d_name[0] != '.' && n > 5 && !strcmp(e->d_name + n - 5, ".conf");
}

static int put_dropins(int to, int from, FILE *index, unsigned int *n, const char *main_file)
{
	const char *slash = strrchr(main_file, '/');
	__cleanup_free char *dir = xasprintf("%.*sconf.d", slash ? (int)(slash + 1 - main_file) : 0, main_file);
	struct dirent **names = NULL;
	int found = scandir(dir, &names, is_conf, alphasort), err = 0;

	for (int i = 0; i < found; i++) {
		__cleanup_free char *path = xasprintf("%s/%s", dir, names[i]->d_name);

		err = err ? err : put_copy(to, from, index, n, path);
		free(names[i]);
	}
	free(names);
	return err;
}

static int put_files(int dir, int before, const struct rules *r, const char *main_file)
{
	__cleanup_close int to = make_dir(dir, "files"), from = before < 0 ? -1 : open_dir(before, "files");
	__cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *index = open_memstream(&text, &len);
	unsigned int n = 0;
	int err = to < 0 ? to : 0;

	if (!index)
		return -ENOMEM;
	if (!err)
		err = put_copy(to, from, index, &n, main_file);
	if (!err)
		err = put_dropins(to, from, index, &n, main_file);
	for (size_t i = 0; !err && i < r->nlists; i++)
		if (r->lists[i].path)
			err = put_copy(to, from, index, &n, r->lists[i].path);
	fclose(index);
	if (!err)
		err = put_file(to, -1, "INDEX", text, len);
	return err ? err : fsync(to) && errno != EINVAL ? -errno : 0;
}

static int fill(int dir, int before, const struct kept *about, const struct rules *r, const char *main_file)
{
	int err = put_about(dir, about);

	if (!err && r)
		err = put_policy(dir, before, r);
	if (!err && r)
		err = put_lists(dir, before, r);
	if (!err && r && main_file)
		err = put_files(dir, before, r, main_file);
	return err ? err : fsync(dir) && errno != EINVAL ? -errno : 0;
}

/* `before`: a kept policy that may hold large files alike, or NULL. */
static int write_dir(const struct keep *k, const char *name, const char *before, const struct kept *about,
		     const struct rules *r, const char *main_file, struct diag *d)
{
	__cleanup_close int dir = -1, like = before ? open_dir(k->dir, before) : -1;
	int err = remove_tree(k, NEW);

	if (!err)
		dir = make_dir(k->dir, NEW);
	if (!err)
		err = dir < 0 ? dir : fill(dir, like, about, r, main_file);
	if (!err && renameat2(k->dir, NEW, k->dir, name, RENAME_NOREPLACE))
		err = errno != EEXIST ? -errno : renameat2(k->dir, NEW, k->dir, name, RENAME_EXCHANGE) ? -errno : 0;
	if (!err && fsync(k->dir) && errno != EINVAL)
		err = -errno;
	remove_tree(k, NEW);
	return failed(k, name, err, d);
}

static char *history_name(unsigned int id)
{
	return xasprintf("history/%06u", id);
}

static unsigned int current_id(const struct keep *k)
{
	__cleanup_free char *path = xasprintf("%s/history/current", k->path), *text = NULL;
	struct diag quiet = { 0 };
	size_t len;
	unsigned int id = file_read(path, 64, &text, &len, &quiet) ? 0 : strtoul(text, NULL, 10);

	diag_free(&quiet);
	return id;
}

int keep_write(const struct keep *k, const char *name, const struct kept *about, const struct rules *r,
	       const char *main_file, struct diag *d)
{
	__cleanup_free char *before = history_name(current_id(k));

	return write_dir(k, name, before, about, r, main_file, d);
}

/* ---- reading ---- */

static void take_line(struct kept *k, const char *key, const char *value)
{
	const struct {
		const char *key;
		char **to;
	} texts[] = {
		{ "who", &k->who }, { "what", &k->what }, { "comment", &k->comment }, { "boot", &k->boot_id },
		{ "way", &k->ways }, { "attach", &k->attach },
	};

	for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
		__cleanup_free char *was = NULL;

		if (strcmp(key, texts[i].key))
			continue;
		was = *texts[i].to;
		*texts[i].to = was ? xasprintf("%s\n%s", was, value) : xstrdup(value);
	}
	if (!strcmp(key, "at"))
		k->at = strtoll(value, NULL, 10);
	if (!strcmp(key, "epoch"))
		k->epoch = strtoul(value, NULL, 10);
	k->nothing |= !strcmp(key, "nothing");
	k->all |= !strcmp(key, "all");
}

static int read_about(const struct keep *k, const char *name, struct kept *about, struct diag *d)
{
	__cleanup_free char *path = xasprintf("%s/%s/about", k->path, name), *text = NULL;
	size_t len;
	int err;

	*about = (struct kept){ 0 };
	if (access(path, F_OK))
		return -errno;
	err = file_read(path, MAX_KEPT, &text, &len, d);
	for (char *line = text, *next; !err && line && *line; line = next) {
		char *value = line + strcspn(line, " \n");

		next = line + strcspn(line, "\n");
		if (*next)
			*next++ = '\0';
		if (*value)
			*value++ = '\0';
		take_line(about, line, value);
	}
	return err;
}

static int damaged(const char *path, struct diag *d)
{
	diag_error(d, "%s: not as mxdp wrote it; it cannot be used", path);
	return -EBADMSG;
}

static int read_sentence(struct rules *r, const char *place, const char *said, struct diag *d)
{
	unsigned int line, column;
	struct origin *o;
	size_t n = r->n;
	int at = 0, err;

	if (sscanf(place, "#@ %u %u %n", &line, &column, &at) != 2 || !at)
		return -EBADMSG;
	err = rules_parse(r, place + at, said, strlen(said), d);
	if (err || r->n != n + 1)
		return -EBADMSG;
	o = &r->v[n].at;
	o->line = line;
	o->column = column;
	if (!line) {
		free(o->file);
		*o = (struct origin){ 0 };
	}
	return 0;
}

static int read_policy(const struct keep *k, const char *name, struct rules *r, struct diag *d)
{
	__cleanup_free char *path = xasprintf("%s/%s/policy", k->path, name), *text = NULL;
	size_t len;
	int err = file_read(path, MAX_KEPT, &text, &len, d);

	for (char *place = text, *said, *next; !err && *place; place = next) {
		said = strchr(place, '\n');
		if (!said)
			return damaged(path, d);
		*said++ = '\0';
		next = said + strcspn(said, "\n");
		if (*next)
			*next++ = '\0';
		if (read_sentence(r, place, said, d))
			return damaged(path, d);
	}
	return err || r->n ? err : damaged(path, d);
}

/* What the list held; the file it came from is not read again. */
static int read_list(const struct keep *k, const char *name, const struct stmt *s, struct list *l, struct diag *d)
{
	__cleanup_free char *path = xasprintf("%s/%s/lists/%s", k->path, name, s->name), *text = NULL;
	size_t len;
	int at = 0, err = file_read(path, MAX_KEPT, &text, &len, d);
	char *body;

	if (err)
		return err;
	*l = (struct list){ .name = xstrdup(s->name) };
	body = strchr(text, '\n');
	if (!body || sscanf(text, "#@ %" SCNd64 " %n", &l->read_at, &at) != 1 || !at)
		return damaged(path, d);
	*body++ = '\0';
	if (text[at] == '/')
		l->path = xstrdup(text + at);
	return listfile_parse(path, body, len - (body - text), &l->v, &l->n, d);
}

static int read_lists(const struct keep *k, const char *name, struct rules *r, struct diag *d)
{
	int err = 0;

	for (size_t i = 0; !err && i < r->n; i++) {
		if (r->v[i].kind != STMT_LIST)
			continue;
		r->lists = xrealloc(r->lists, (r->nlists + 1) * sizeof(*r->lists));
		r->lists[r->nlists] = (struct list){ 0 };
		err = read_list(k, name, &r->v[i], &r->lists[r->nlists++], d);
	}
	return err;
}

static bool lists_known(const struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t j = 0; j < r->v[i].nsources; j++)
			if (r->v[i].sources[j].kind == SOURCE_LIST && !rules_list(r, r->v[i].sources[j].list))
				return false;
	return true;
}

int keep_read(const struct keep *k, const char *name, struct kept *about, struct rules *r, struct diag *d)
{
	int err = read_about(k, name, about, d);

	if (err || !r || about->nothing)
		return err;
	*r = (struct rules){ 0 };
	err = read_policy(k, name, r, d);
	if (!err)
		err = read_lists(k, name, r, d);
	if (!err && !lists_known(r)) {
		diag_error(d, "%s/%s: a sentence names a list that is not there; it cannot be used", k->path, name);
		err = -EBADMSG;
	}
	if (err)
		rules_free(r);
	return err;
}

/* ---- history ---- */

static int newest_first(const void *a, const void *b)
{
	unsigned int x = ((const struct kept *)a)->id, y = ((const struct kept *)b)->id;

	return x < y ? 1 : x > y ? -1 : 0;
}

void history_free(struct kept *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		kept_free(&v[i]);
	free(v);
}

int history_list(const struct keep *k, struct kept **v, size_t *n, unsigned int *current, struct diag *d)
{
	int fd = open_dir(k->dir, "history");
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;

	*v = NULL;
	*n = 0;
	*current = current_id(k);
	if (!dir)
		return fd == -ENOENT ? 0 : failed(k, "history", fd < 0 ? fd : -errno, d);
	while ((e = readdir(dir))) {
		unsigned int id = strtoul(e->d_name, NULL, 10);
		__cleanup_free char *name = history_name(id);
		struct kept one;

		if (!id || strcmp(name + strlen("history/"), e->d_name) || read_about(k, name, &one, d))
			continue;
		one.id = id;
		*v = xrealloc(*v, (*n + 1) * sizeof(**v));
		(*v)[(*n)++] = one;
	}
	closedir(dir);
	if (*n)
		qsort(*v, *n, sizeof(**v), newest_first);
	return 0;
}

int history_read(const struct keep *k, unsigned int id, struct kept *about, struct rules *r, struct diag *d)
{
	__cleanup_free char *name = history_name(id);
	int err = keep_read(k, name, about, r, d);

	about->id = id;
	return err;
}

int history_set_current(const struct keep *k, unsigned int id, struct diag *d)
{
	__cleanup_free char *path = xasprintf("%s/history/current", k->path), *text = xasprintf("%u\n", id);

	return file_replace(path, text, strlen(text), 0600, d);
}

static void forget_old(const struct keep *k, const struct kept *v, size_t n, unsigned int current, struct diag *d)
{
	for (size_t i = 0, left = n; i < n && left > KEEP_POLICIES; i++) {
		const struct kept *old = &v[n - 1 - i];
		__cleanup_free char *name = history_name(old->id);

		if (old->id == current)
			continue;
		keep_remove(k, name, d);
		left--;
	}
}

/* The number that comes next, and room for it. */
static int history_next(const struct keep *k, unsigned int *id, struct diag *d)
{
	__cleanup_close int dir = make_dir(k->dir, "history");
	unsigned int current;
	struct kept *v;
	size_t n;
	int err = dir < 0 ? failed(k, "history", dir, d) : history_list(k, &v, &n, &current, d);

	if (err)
		return err;
	*id = n ? v[0].id + 1 : 1;
	history_free(v, n);
	return 0;
}

static int history_done(const struct keep *k, unsigned int id, struct diag *d)
{
	unsigned int current;
	struct kept *v;
	size_t n;
	int err = history_set_current(k, id, d);

	if (!err)
		err = history_list(k, &v, &n, &current, d);
	if (err)
		return err;
	forget_old(k, v, n, current, d);
	history_free(v, n);
	return 0;
}

int history_add(const struct keep *k, const struct kept *about, const struct rules *r, const char *main_file,
		struct diag *d)
{
	__cleanup_free char *name = NULL, *before = history_name(current_id(k));
	unsigned int id;
	int err = history_next(k, &id, d);

	if (err)
		return err;
	name = history_name(id);
	err = write_dir(k, name, before, about, r, main_file, d);
	return err ? err : history_done(k, id, d);
}

int history_add_trial(const struct keep *k, struct diag *d)
{
	__cleanup_free char *name = NULL;
	unsigned int id;
	int err = history_next(k, &id, d);

	if (err)
		return err;
	name = history_name(id);
	if (renameat(k->dir, "trial", k->dir, name))
		return errno == ENOENT ? 0 : failed(k, name, -errno, d);
	return history_done(k, id, d);
}
