// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "change.h"
#include "listedit.h"
#include "listfile.h"
#include "operator.h"
#include "out.h"
#include "tell.h"
#include "token.h"

/* Beyond so many words the whole is no dearer; and so many lines are in the file at one stroke or not at all. */
#define MOST_WORDS 1000u
#define MOST_LINES 64u
#define HEAD_ROOM 65536u
#define REWRITTEN (256u << 10) /* bytes: a file up to here is written anew to take lines out, and one that is a quarter blanks */
#define LARGEST (256u << 20)

struct quick_edit {
	const struct quick *q;
	struct diag *d;
	struct conffile main, file; /* path NULL: --runtime */
	struct rules written;
	struct datapath *dp;
	struct kept_rules kept;
	struct rules r;      /* in force; the edit is made here */
	struct list *l;
	const struct stmt *s; /* its sentence in force */
	struct prefix *did;  /* the words that change something */
	size_t ndid;
	struct list_stamp stamp; /* of the file as it was looked at, or changed, by this edit */
	uint64_t size;       /* of the file before */
	bool grown;
	struct conffile_spot *spots; /* of the words in the file that go */
	size_t nspots;
	size_t blanks;       /* bytes of the file */
	bool blanked;
};

static void forget_spots(struct quick_edit *e)
{
	for (size_t i = 0; i < e->nspots; i++)
		free(e->spots[i].was);
	free(e->spots);
	e->spots = NULL;
	e->nspots = 0;
}

static void quick_free(struct quick_edit *e)
{
	free(e->did);
	forget_spots(e);
	rules_free(&e->r);
	kept_rules_free(&e->kept);
	dp_release(&e->dp);
	if (e->file.path)
		conffile_close(&e->file);
	if (e->main.path)
		conffile_close(&e->main);
	rules_free(&e->written);
}

/* ---- is it of that kind? ---- */

static bool exists_in(const char *dir, const char *name)
{
	__cleanup_free char *path = xasprintf("%s/%s", dir, name);

	return file_exists(path);
}

/* What would have to be told at length, asked for, or kept on disk, is not for here. */
static bool is_plain_edit(const struct quick *q)
{
	const struct options *o = q->o;

	return q->n && q->n <= (o->runtime ? MOST_WORDS : MOST_LINES) && !o->dry_run && (o->runtime || !exists_in(o->state, "boot"));
}

/* An operator's own address: whether he would be locked out is judged from the whole. */
static bool is_operators(const struct quick_edit *e)
{
	const struct quick *q = e->q;
	struct operator op;

	find_operators(&op, &e->r);
	for (size_t i = 0; i < op.n; i++)
		for (size_t k = 0; k < q->n; k++)
			if (prefix_covers(&q->words[k], &op.v[i].peer))
				return true;
	return false;
}

/* Which file the list is written in, by the sentences of now. */
static int find_file(struct quick_edit *e, char **path)
{
	const struct options *o = e->q->o;
	struct diag quiet = { 0 };
	const struct stmt *s;
	int err = conffile_open(&e->main, o->config, false, &quiet);

	if (err)
		e->main = (struct conffile){ .lock_fd = -1 };
	if (!err)
		err = rules_parse(&e->written, o->config, e->main.text, e->main.len, &quiet) ?:
		      rules_parse_dropins(&e->written, o->config, &quiet);
	diag_free(&quiet);
	s = err ? NULL : rules_list_said(&e->written, e->q->name);
	if (!s || !s->path || s->nprefixes)
		return -EAGAIN;
	*path = path_beside(s->at.file, s->path);
	return 0;
}

/* Is the first line that says something a prefix and nothing else? Files of other kinds are not ours to edit. */
static bool is_plain_file(const char *path)
{
	__cleanup_free char *head = xmalloc(HEAD_ROOM + 1);
	FILE *f = fopen(path, "re");
	size_t n = f ? fread(head, 1, HEAD_ROOM, f) : 0;
	char *save, *line;
	bool plain = false;

	if (f)
		fclose(f);
	head[n] = '\0';
	for (line = strtok_r(head, "\n", &save); line; line = strtok_r(NULL, "\n", &save)) {
		size_t at = strspn(line, " \t\r"), len = strcspn(line + at, " \t\r#;"), end = at + len;
		struct prefix p;

		if (!len)
			continue;
		end += strspn(line + end, " \t\r");
		plain = !word_prefix(line + at, len, &p, NULL) && (!line[end] || strchr("#;", line[end]));
		break;
	}
	return plain;
}

static int open_file(struct quick_edit *e)
{
	__cleanup_free char *path = NULL;
	struct diag quiet = { 0 };
	int err;

	if (e->q->o->runtime)
		return 0;
	err = find_file(e, &path);
	if (err)
		return err;
	err = conffile_lock(&e->file, path, &quiet);
	diag_free(&quiet);
	if (err) {
		e->file = (struct conffile){ .lock_fd = -1 };
		return -EAGAIN;
	}
	e->stamp = list_stamp_of(e->file.path);
	return is_plain_file(e->file.path) ? 0 : -EAGAIN;
}

/* ---- what is in force ---- */

static int open_kernel(struct quick_edit *e)
{
	struct diag quiet = { 0 };
	int err = dp_open(&e->dp, e->q->o->bpffs, DP_BAN, &quiet);

	if (err)
		e->dp = NULL;
	if (!err)
		err = dp_kept(e->dp, &e->kept, &quiet) ?: rules_thaw_kept(&e->r, &e->kept, &quiet);
	diag_free(&quiet);
	if (err)
		return -EAGAIN;
	e->l = rules_list(&e->r, e->q->name);
	e->s = rules_list_said(&e->r, e->q->name);
	if (!e->l || !e->s || !e->s->path || e->s->nprefixes)
		return -EAGAIN;
	/* what the file holds and what is in force must be one, or the edit of one is not that of the other */
	if (!e->q->o->runtime && !list_stamp_same(&e->l->stamp, &e->stamp))
		return -EAGAIN;
	return 0;
}

/* Lists that the guards would have to walk are to be whole for that. */
static bool guards_want_whole(const struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; (r->v[i].kind == STMT_ADMIN || r->v[i].kind == STMT_EXEMPT) && k < r->v[i].nsources; k++) {
			const struct source *s = &r->v[i].sources[k];
			const struct list *l = s->kind == SOURCE_LIST ? rules_list((struct rules *)r, s->list) : NULL;

			if (l && l->pack)
				return true;
		}
	return false;
}

static bool words_good(const struct quick_edit *e)
{
	struct diag quiet = { 0 };
	bool good = e->q->o->force || (!guards_want_whole(&e->r) && !list_judge_words(&e->r, e->s, e->did, e->ndid, &quiet));

	diag_free(&quiet);
	return good;
}

static int change_list(struct quick_edit *e)
{
	const struct quick *q = e->q;

	e->did = xmalloc(q->n * sizeof(*e->did));
	for (size_t i = 0; i < q->n; i++)
		if (list_change(e->l, &q->words[i], q->add))
			e->did[e->ndid++] = q->words[i];
	/* an empty list, and one out of its bounds, is for the other way to refuse; so is a word that a guard minds */
	if (!e->l->n || (e->s->min && e->l->n < e->s->min) || (e->s->max && e->l->n > e->s->max))
		return -EAGAIN;
	return q->add && e->ndid && !words_good(e) ? -EAGAIN : 0;
}

/* ---- the file ---- */

static int grow_file(struct quick_edit *e)
{
	char *lines = NULL, buf[PREFIX_TEXT];
	size_t len;
	FILE *f = open_memstream(&lines, &len);
	int err;

	for (size_t i = 0; f && i < e->ndid; i++)
		fprintf(f, "%s\n", prefix_text(&e->did[i], buf));
	if (!f || fclose(f))
		return -EAGAIN;
	e->size = e->stamp.size;
	err = conffile_grow(&e->file, lines, &e->stamp, e->d);
	free(lines);
	e->grown = !err;
	return err == -ESTALE ? -EAGAIN : err ? EXIT_KERNEL : 0;
}

/* Could the word on a line be p? The first eight or sixteen bits are looked at, for a million lines are looked at. */
static bool may_be(const char *word, size_t n, const struct prefix *p)
{
	unsigned int first = 0;
	size_t i = 0;

	if (p->family == 4) {
		for (; i < n && i < 3 && word[i] >= '0' && word[i] <= '9'; i++)
			first = first * 10 + (word[i] - '0');
		return i && first == p->addr[0];
	}
	for (; i < n && i < 4; i++) {
		unsigned int c = word[i] | 0x20;

		if (c >= '0' && c <= '9')
			first = first << 4 | (c - '0');
		else if (c >= 'a' && c <= 'f')
			first = first << 4 | (c - 'a' + 10);
		else
			break;
	}
	return first == (unsigned int)(p->addr[0] << 8 | p->addr[1]);
}

/* Which of the words that go stands first on the line, or -1; and where. */
static int goes(const struct quick_edit *e, const char *line, size_t n, const char **word, size_t *len)
{
	struct prefix p;
	size_t at = 0;

	while (at < n && (line[at] == ' ' || line[at] == '\t'))
		at++;
	*word = line + at;
	for (size_t i = 0; i < e->ndid; i++) {
		if (!may_be(*word, n - at, &e->did[i]))
			continue;
		for (*len = 0; at + *len < n && !strchr(" \t\r#;", (*word)[*len]); ++*len)
			;
		if (!word_prefix(*word, *len, &p, NULL) && !prefix_cmp(&p, &e->did[i]))
			return i;
	}
	return -1;
}

static void note_spot(struct quick_edit *e, size_t at, const char *word, size_t len)
{
	e->spots = xrealloc(e->spots, (e->nspots + 1) * sizeof(*e->spots));
	e->spots[e->nspots++] = (struct conffile_spot){ at, len, memcpy(xmalloc(len), word, len) };
}

/* What an earlier edit left of a line. */
static bool is_blanked(const char *line, size_t n)
{
	size_t at = 1;

	if (n < 2 || line[0] != '#')
		return false;
	while (at < n && line[at] == ' ')
		at++;
	return at == n;
}

/*
 * Where the words that go stand, and how many bytes earlier edits have left. -EAGAIN: one is not there as a word of its own
 * (in a range, perhaps).
 */
static int find_spots(struct quick_edit *e, const char *text, size_t size)
{
	bool seen[MOST_LINES] = { false };
	size_t len;

	e->blanks = 0;
	for (size_t from = 0; from < size;) {
		const char *line = text + from, *nl = memchr(line, '\n', size - from), *word;
		size_t n = nl ? (size_t)(nl - line) : size - from;
		int which = goes(e, line, n, &word, &len);

		if (which >= 0) {
			seen[which] = true;
			note_spot(e, word - text, word, len);
		}
		if (is_blanked(line, n))
			e->blanks += n + 1;
		from += n + 1;
	}
	for (size_t i = 0; i < e->ndid; i++)
		if (!seen[i])
			return -EAGAIN;
	return 0;
}

static bool full_of_blanks(const struct quick_edit *e, size_t size)
{
	return e->blanks > size / 4;
}

/* Every other line stays as it is, but what earlier edits left where that is much. */
static int cut_lines(struct quick_edit *e)
{
	struct conffile *f = &e->file;
	size_t left = 0, spot = 0, n;
	bool tidy;
	int err = file_read(f->path, LARGEST, &f->text, &f->len, e->d);
	struct list_stamp now = list_stamp_of(f->path);

	if (err)
		return EXIT_KERNEL;
	err = list_stamp_same(&now, &e->stamp) ? find_spots(e, f->text, f->len) : -EAGAIN;
	if (err)
		return err;
	tidy = full_of_blanks(e, f->len);
	for (size_t from = 0; from < f->len; from += n) {
		const char *nl = memchr(f->text + from, '\n', f->len - from);
		bool goes;

		n = nl ? (size_t)(nl - f->text) + 1 - from : f->len - from;
		goes = spot < e->nspots && e->spots[spot].at < from + n;
		spot += goes;
		if (goes || (tidy && is_blanked(f->text + from, nl ? n - 1 : n)))
			continue;
		memmove(f->text + left, f->text + from, n);
		left += n;
	}
	f->len = left;
	return conffile_prepare(f, e->d) ? EXIT_KERNEL : 0;
}

/* To write twenty megabytes for one line takes longer than all the rest: its word becomes a comment where it stands. */
static int blank_words(struct quick_edit *e)
{
	__cleanup_close int fd = open(e->file.path, O_RDONLY | O_CLOEXEC);
	struct stat st;
	char *text;
	int err;

	if (fd < 0 || fstat(fd, &st))
		return -EAGAIN;
	text = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
	if (text == MAP_FAILED)
		return -EAGAIN;
	err = find_spots(e, text, st.st_size);
	munmap(text, st.st_size);
	if (err)
		return err;
	if (full_of_blanks(e, st.st_size)) {
		forget_spots(e);
		return cut_lines(e);
	}
	err = conffile_blank(&e->file, e->spots, e->nspots, &e->stamp, e->d);
	e->blanked = err != -ESTALE;
	return err == -ESTALE ? -EAGAIN : err ? EXIT_KERNEL : 0;
}

static int cut_file(struct quick_edit *e)
{
	return e->stamp.size > REWRITTEN ? blank_words(e) : cut_lines(e);
}

static int prepare_file(struct quick_edit *e)
{
	int err;

	if (!e->file.path) {
		e->stamp = (struct list_stamp){ 0 };
		return 0;
	}
	err = e->q->add ? grow_file(e) : cut_file(e);
	if (!err && e->file.ready)
		e->stamp = list_stamp_of(e->file.ready);
	return err;
}

/* ---- all of it ---- */

static int put(struct quick_edit *e)
{
	__cleanup_free struct service *services = xcalloc(MXDP_SERVICES, sizeof(*services));
	__cleanup(image_edit_free) struct image_edit what = { 0 };
	__cleanup_free struct list_edit *log = xmalloc((e->ndid + 1) * sizeof(*log));
	uint32_t number = e->l - e->r.lists;
	struct diag found = { 0 };
	int err;

	for (size_t i = 0; i < e->ndid; i++)
		log[i] = list_edit_of(e->q->add ? LIST_ADD : LIST_DEL, number, &e->did[i]);
	log[e->ndid] = list_edit_stamp(number, &e->stamp);
	err = dp_services(e->dp, services, &found) ?:
	      image_compile_edit(&what, &e->r, services, e->did, e->ndid, &found) ?:
	      dp_edit(e->dp, &what, log, e->ndid + 1, &found);
	if (err == -ENOSPC || err == -E2BIG || err == -ESTALE) {
		diag_free(&found);
		return -EAGAIN;
	}
	for (size_t i = 0; i < found.n; i++)
		diag_add(e->d, found.msg[i].level, "%s", found.msg[i].text);
	diag_free(&found);
	return err ? EXIT_KERNEL : 0;
}

static int put_and_write(struct quick_edit *e)
{
	int err = prepare_file(e);

	if (!err)
		err = put(e);
	if (err) {
		if (e->grown)
			conffile_shrink(&e->file, &e->stamp, e->size, e->d);
		if (e->blanked)
			conffile_unblank(&e->file, e->spots, e->nspots, &e->stamp, e->d);
		return err;
	}
	if (e->file.ready && conffile_commit(&e->file, e->d)) {
		diag_error(e->d, "what is in force was changed all the same, and differs from %s now; `mxdp diff` shows it, `mxdp "
				 "apply` puts the file in force", e->file.path);
		return EXIT_PARTLY;
	}
	return 0;
}

/* ---- what is told ---- */

static void warn_not_gone(const struct quick_edit *e)
{
	char buf[PREFIX_TEXT], wide_text[PREFIX_TEXT];
	size_t k = 0;

	for (size_t i = 0; !e->q->add && i < e->q->n; i++) {
		struct prefix wide = e->q->words[i];
		bool covered = false;

		while (wide.len-- > 1) {
			wide.addr[wide.len / 8] &= 0xff00 >> wide.len % 8;
			if (!list_has(e->l, &wide))
				continue;
			covered = true;
			diag_warn(e->d, "%s is still in list %s, by %s", prefix_text(&e->q->words[i], buf), e->q->name,
				  prefix_text(&wide, wide_text));
		}
		if (k < e->ndid && !prefix_cmp(&e->did[k], &e->q->words[i]))
			k++;
		else if (!covered)
			diag_warn(e->d, "%s is not in list %s", prefix_text(&e->q->words[i], buf), e->q->name);
	}
}

/*
 * What the next boot falls back on must not bring back what was taken out; but to write a long copy takes longer than all
 * the rest.
 */
static void edit_copy(const struct quick_edit *e)
{
	if (!e->q->add && e->ndid && e->file.path && e->stamp.size <= REWRITTEN)
		listcopy_forget(e->q->o->state, e->q->name, e->did, e->ndid, e->d);
}

static void tell(const struct quick_edit *e)
{
	struct change c = { .o = e->q->o, .d = e->d, .loaded = true, .listed.path = e->file.path };
	struct outcome x = { .was_in_force = !e->ndid, .was_written = !e->ndid };
	__cleanup_free char *what = xasprintf("list %s", e->q->name);
	__cleanup_free char *done = xasprintf("%zu %s list %s, %zu now", e->ndid, e->q->add ? "added to" : "removed from",
					      e->q->name, e->l->n);

	tell_change(&c, &x, what, done);
}

int list_edit_quick(const struct quick *q, struct diag *d)
{
	__cleanup(quick_free) struct quick_edit e = {
		.q = q, .d = d, .main.lock_fd = -1, .file.lock_fd = -1,
	};
	sigset_t signals;
	int err = is_plain_edit(q) ? open_file(&e) : -EAGAIN;

	if (!err)
		err = open_kernel(&e) ?: change_list(&e);
	if (!err && is_operators(&e))
		err = -EAGAIN;
	if (err)
		return err;
	if (e.ndid) {
		hold_signals(&signals);
		err = put_and_write(&e);
		release_signals(&signals);
	}
	if (err)
		return err;
	edit_copy(&e);
	warn_not_gone(&e);
	tell(&e);
	return EXIT_DONE;
}
