// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "listpack.h"
#include "rules.h"
#include "token.h"

#define MAX_EDITED (256u << 20) /* lists too */
#define LOCK_TRIES 200 /* 10 seconds, 50 ms apart */

/* ---- reading ---- */

/* `size`: about how much there is */
static int read_all(int fd, const char *path, size_t size, size_t max, char **text, size_t *len, struct diag *d)
{
	size_t room = size < max ? size + 4096 : 4096, n = 0;
	__cleanup_free char *buf = xmalloc(room + 1);
	ssize_t got;

	while ((got = read(fd, buf + n, room - n)) != 0) {
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			int err = -errno;

			diag_error(d, "%s: cannot read: %s", path, strerror(-err));
			return err;
		}
		n += got;
		if (n > max) {
			diag_error(d, "%s: larger than %zu bytes, which is the limit for such a file", path, max);
			return -EFBIG;
		}
		if (n == room) {
			room *= 2;
			buf = xrealloc(buf, room + 1);
		}
	}
	buf[n] = '\0';
	*text = take(buf);
	*len = n;
	return 0;
}

int file_read(const char *path, size_t max, char **text, size_t *len, struct diag *d)
{
	/* not to hang on a pipe without a writer */
	__cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	struct stat st;
	int err;

	*text = NULL;
	*len = 0;
	if (fd < 0 || fstat(fd, &st)) {
		err = -errno;
		diag_error(d, "%s: cannot open: %s", path, strerror(-err));
		return err;
	}
	if (!S_ISREG(st.st_mode)) {
		diag_error(d, "%s: %s, where a file is expected", path,
			   S_ISDIR(st.st_mode) ? "a directory" :
			   S_ISFIFO(st.st_mode) ? "a pipe" : "a device or socket");
		return S_ISDIR(st.st_mode) ? -EISDIR : -EINVAL;
	}
	return read_all(fd, path, st.st_size, max, text, len, d);
}

void warn_if_writable(const char *path, struct diag *d)
{
	struct stat st;

	if (!stat(path, &st) && st.st_mode & S_IWOTH)
		diag_warn(d, "%s: everyone may write to this file; chmod o-w %s", path, path);
}

/* ---- replacing ---- */

static int write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno != EINTR)
			return -errno;
		if (n > 0) {
			text += n;
			len -= n;
		}
	}
	return 0;
}

static int sync_directory(const char *path)
{
	__cleanup_free char *dir = xstrdup(path);
	__cleanup_close int fd = -1;
	char *slash = strrchr(dir, '/');

	if (slash)
		slash[slash == dir] = '\0';
	fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	/* a file system that cannot sync a directory (EINVAL) keeps its names in order by itself */
	if (fd < 0 || (fsync(fd) && errno != EINVAL))
		return -errno;
	return 0;
}

/* Fills the new file `beside`, open as fd, down to the disk. */
static int fill(int fd, const char *beside, const void *text, size_t len, const struct stat *like)
{
	int err = write_all(fd, text, len);

	if (!err && like->st_uid != (uid_t)-1 && fchown(fd, like->st_uid, like->st_gid))
		err = -errno;
	if (!err && fchmod(fd, like->st_mode & 07777))
		err = -errno;
	if (!err && fsync(fd))
		err = -errno;
	if (err)
		unlink(beside);
	return err;
}

static int give_name(const char *beside, const char *path)
{
	int err = rename(beside, path) ? -errno : 0;

	if (err)
		unlink(beside);
	return err ? err : sync_directory(path);
}

int file_replace(const char *path, const void *text, size_t len, unsigned int mode, struct diag *d)
{
	__cleanup_free char *beside = xasprintf("%s.XXXXXX", path);
	struct stat like = { .st_uid = -1, .st_gid = -1, .st_mode = mode }, now;
	__cleanup_close int fd = -1;
	int err = 0;

	if (!lstat(path, &now) && !S_ISREG(now.st_mode) && !S_ISLNK(now.st_mode)) {
		diag_error(d, "%s: not a file; it is left as it is", path);
		return -EINVAL;
	}
	fd = mkostemp(beside, O_CLOEXEC);
	err = fd < 0 ? -errno : fill(fd, beside, text, len, &like);
	if (!err)
		err = give_name(beside, path);
	if (err)
		diag_error(d, "%s: cannot write: %s", path, strerror(-err));
	return err;
}

/* ---- editing ---- */

/* The file that path leads to, or would be: symlinks followed, also when there is no file yet. */
static char *resolve(const char *path)
{
	char *whole = realpath(path, NULL);
	__cleanup_free char *copy = NULL, *dir = NULL;
	struct stat st;
	char *slash;

	if (whole || errno != ENOENT)
		return whole;
	/* a link that leads nowhere is not a place to begin a file */
	if (!lstat(path, &st)) {
		errno = ENOENT;
		return NULL;
	}
	copy = xstrdup(path);
	slash = strrchr(copy, '/');
	if (slash)
		*slash = '\0';
	dir = realpath(!slash ? "." : slash == copy ? "/" : copy, NULL);
	if (!dir)
		return NULL;
	return xasprintf("%s/%s", dir[1] ? dir : "", slash ? slash + 1 : copy);
}

static int take_lock(const char *path, struct diag *d)
{
	__cleanup_free char *name = xasprintf("%s.lock", path);
	struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	int fd = open(name, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600), err;

	if (fd < 0) {
		err = -errno;
		diag_error(d, "%s: cannot open the lock: %s", name, strerror(-err));
		return err;
	}
	for (int i = 0; flock(fd, LOCK_EX | LOCK_NB); i++) {
		if (i < LOCK_TRIES && (errno == EWOULDBLOCK || errno == EINTR)) {
			nanosleep(&pause, NULL);
			continue;
		}
		err = errno == EWOULDBLOCK ? -EBUSY : -errno;
		if (err == -EBUSY)
			diag_error(d, "%s: another mxdp command is changing this file; try again when it is done",
				   path);
		else
			diag_error(d, "%s: cannot lock: %s", name, strerror(-err));
		close(fd);
		return err;
	}
	return fd;
}

static int open_locked(struct conffile *c, bool create, bool text, struct diag *d)
{
	struct stat st;

	c->lock_fd = take_lock(c->path, d);
	if (c->lock_fd < 0)
		return c->lock_fd;
	if (!text)
		return 0;
	if (create && lstat(c->path, &st) && errno == ENOENT) {
		c->text = xstrdup("");
		return 0;
	}
	return file_read(c->path, MAX_EDITED, &c->text, &c->len, d);
}

static int conffile_begin(struct conffile *c, const char *path, bool create, bool text, struct diag *d)
{
	struct stat st;
	int err = 0;

	*c = (struct conffile){ .lock_fd = -1 };
	c->path = resolve(path);
	if (!c->path)
		err = -errno;
	else if (!create && stat(c->path, &st))
		err = -errno;
	if (err)
		diag_error(d, "%s: cannot open: %s", path, strerror(-err));
	else
		err = open_locked(c, create, text, d);
	if (err)
		conffile_close(c);
	return err;
}

int conffile_open(struct conffile *c, const char *path, bool create, struct diag *d)
{
	return conffile_begin(c, path, create, true, d);
}

int conffile_lock(struct conffile *c, const char *path, struct diag *d)
{
	return conffile_begin(c, path, false, false, d);
}

void conffile_close(struct conffile *c)
{
	if (c->ready)
		unlink(c->ready);
	free(c->ready);
	free(c->path);
	free(c->text);
	if (c->lock_fd >= 0)
		close(c->lock_fd);
	*c = (struct conffile){ .lock_fd = -1 };
}

static const char *newline_of(const struct conffile *c)
{
	const char *nl = memchr(c->text, '\n', c->len);

	return nl && nl > c->text && nl[-1] == '\r' ? "\r\n" : "\n";
}

/* Puts `with` in the place of [from, to). */
static void change(struct conffile *c, size_t from, size_t to, const char *with)
{
	size_t n = strlen(with), len = c->len - (to - from) + n;
	char *text = xmalloc(len + 1);

	memcpy(text, c->text, from);
	memcpy(text + from, with, n);
	memcpy(text + from + n, c->text + to, c->len - to);
	text[len] = '\0';
	free(c->text);
	c->text = text;
	c->len = len;
}

/* Does the text end in a '\' that would swallow the next line? */
static bool ends_open(const struct conffile *c)
{
	struct sentence s = { 0 }, one;
	struct lexer lx;

	lexer_init(&lx, c->text, c->len);
	while (lexer_next(&lx, &one))
		s = one;
	lexer_free(&lx);
	return s.open;
}

void conffile_append(struct conffile *c, const char *sentence)
{
	const char *nl = newline_of(c);
	bool unfinished = c->len && c->text[c->len - 1] != '\n';
	__cleanup_free char *more = xasprintf("%s%s%s%s", unfinished ? nl : "", ends_open(c) ? nl : "", sentence, nl);

	change(c, c->len, c->len, more);
}

static int find_line(const struct conffile *c, unsigned int line, struct sentence *s, struct diag *d)
{
	struct lexer lx;
	bool found = false;

	lexer_init(&lx, c->text, c->len);
	while (!found && lexer_next(&lx, s))
		found = s->line <= line && line <= s->last_line && (s->n || s->error);
	lexer_free(&lx);
	if (found)
		return 0;
	diag_error(d, "%s:%u: no sentence stands there", c->path, line);
	return -ENOENT;
}

int conffile_remove_line(struct conffile *c, unsigned int line, struct diag *d)
{
	struct sentence s;
	int err = find_line(c, line, &s, d);

	if (!err)
		change(c, s.begin, s.end, "");
	return err;
}

int conffile_replace_line(struct conffile *c, unsigned int line, const char *sentence, struct diag *d)
{
	__cleanup_free char *with = NULL;
	size_t first, last, comment;
	struct sentence s;
	int err = find_line(c, line, &s, d);

	if (err)
		return err;
	first = s.begin;
	while (first < s.end && (c->text[first] == ' ' || c->text[first] == '\t'))
		first++;
	last = s.end;
	if (last > first && c->text[last - 1] == '\n')
		last--;
	if (last > first && last < s.end && c->text[last - 1] == '\r')
		last--;
	comment = s.comment;
	if (comment >= last) {
		change(c, first, last, sentence);
		return 0;
	}
	while (comment > first && (c->text[comment - 1] == ' ' || c->text[comment - 1] == '\t'))
		comment--;
	with = xasprintf("%s%s", sentence, comment == s.comment ? " " : "");
	change(c, first, comment, with);
	return 0;
}

int conffile_prepare(struct conffile *c, struct diag *d)
{
	__cleanup_free char *beside = xasprintf("%s.new", c->path);
	struct stat like = { .st_uid = -1, .st_gid = -1, .st_mode = 0640 };
	__cleanup_close int fd = -1;
	int err;

	if (stat(c->path, &like) && errno != ENOENT) {
		err = -errno;
		diag_error(d, "%s: cannot look at it: %s", c->path, strerror(-err));
		return err;
	}
	/* what a killed command left; nobody else writes it while we hold the lock */
	unlink(beside);
	fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
	err = fd < 0 ? -errno : fill(fd, beside, c->text, c->len, &like);
	if (err)
		diag_error(d, "%s: cannot write: %s", c->path, strerror(-err));
	else
		c->ready = take(beside);
	return err;
}

int conffile_commit(struct conffile *c, struct diag *d)
{
	__cleanup_free char *beside = NULL;
	int err = c->ready ? 0 : conffile_prepare(c, d);

	if (err)
		return err;
	beside = take(c->ready);
	err = give_name(beside, c->path);
	if (err)
		diag_error(d, "%s: cannot write: %s", c->path, strerror(-err));
	return err;
}

/* ---- lines at the end ---- */

static int cannot_write(const struct conffile *c, int err, struct diag *d)
{
	diag_error(d, "%s: cannot write: %s", c->path, strerror(-err));
	return err;
}

/* Without the newline that its last line may lack, the first new word would become part of that line. */
static bool ends_in_newline(int fd, uint64_t size)
{
	char last;

	return !size || (pread(fd, &last, 1, size - 1) == 1 && last == '\n');
}

/* The file as it was looked at: what takes no lock of ours may have put another there. Negative errno, -ESTALE likewise. */
static int open_as_is(const struct conffile *c, int flags, const struct list_stamp *is)
{
	int fd = open(c->path, flags | O_CLOEXEC | O_NOFOLLOW);
	struct list_stamp now;

	if (fd < 0)
		return -errno;
	now = list_stamp_at(fd);
	if (list_stamp_same(&now, is))
		return fd;
	close(fd);
	return -ESTALE;
}

static int cut_to(int fd, uint64_t size)
{
	return ftruncate(fd, size) ? -errno : 0;
}

static void still_grown(const struct conffile *c, int err, struct diag *d)
{
	diag_error(d, "%s: the lines just added to it could not be taken out again: %s; its last lines are not in force", c->path,
		   strerror(-err));
}

int conffile_grow(struct conffile *c, const char *lines, struct list_stamp *is, struct diag *d)
{
	__cleanup_close int fd = open_as_is(c, O_RDWR | O_APPEND, is);
	__cleanup_free char *all = NULL;
	int err, undo;

	if (fd < 0)
		return fd == -ESTALE ? fd : cannot_write(c, fd, d);
	all = xasprintf("%s%s", ends_in_newline(fd, is->size) ? "" : "\n", lines);
	err = write_all(fd, all, strlen(all));
	if (!err && fdatasync(fd))
		err = -errno;
	if (!err) {
		*is = list_stamp_at(fd);
		return 0;
	}
	undo = cut_to(fd, is->size);
	if (undo)
		still_grown(c, undo, d);
	return cannot_write(c, err, d);
}

void conffile_shrink(struct conffile *c, const struct list_stamp *is, uint64_t to, struct diag *d)
{
	__cleanup_close int fd = open_as_is(c, O_WRONLY, is);
	int err = fd < 0 ? fd : cut_to(fd, to);

	if (err)
		still_grown(c, err, d);
}

/* ---- words taken out where they stand ---- */

static int write_spots(int fd, const struct conffile_spot *v, size_t n, bool back)
{
	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *text = memset(xmalloc(v[i].len), ' ', v[i].len);
		ssize_t did;

		text[0] = '#';
		did = pwrite(fd, back ? v[i].was : text, v[i].len, v[i].at);
		if (did != (ssize_t)v[i].len)
			return did < 0 ? -errno : -EIO;
	}
	return fdatasync(fd) ? -errno : 0;
}

int conffile_blank(struct conffile *c, const struct conffile_spot *v, size_t n, struct list_stamp *is, struct diag *d)
{
	__cleanup_close int fd = open_as_is(c, O_WRONLY, is);
	int err;

	if (fd < 0)
		return fd == -ESTALE ? fd : cannot_write(c, fd, d);
	err = write_spots(fd, v, n, false);
	*is = list_stamp_at(fd);
	return err ? cannot_write(c, err, d) : 0;
}

void conffile_unblank(struct conffile *c, const struct conffile_spot *v, size_t n, const struct list_stamp *is, struct diag *d)
{
	__cleanup_close int fd = open_as_is(c, O_WRONLY, is);
	int err = fd < 0 ? fd : write_spots(fd, v, n, true);

	if (err)
		diag_error(d, "%s: the prefixes just taken out of it could not be written back: %s; they are still in force",
			   c->path, strerror(-err));
}
