// SPDX-License-Identifier: GPL-2.0-only
/* A list's file, read and judged; and what stands in for it when it is refused. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include "listfile.h"

static void made_at(struct list_case *c, const struct listfile *f, const char *path)
{
	struct stat st;

	c->made = f->dated ? f->dated : !stat(path, &st) ? st.st_mtime : 0;
}

/* 0: f is good; errors in d otherwise. */
static int read_and_judge(struct list_case *c, struct listfile *f, const char *path, struct diag *d)
{
	int err = listfile_open(f, path, d);

	f->take = c->s->guard.take;
	if (!err)
		err = listfile_scan(f, d);
	if (err)
		return err;
	made_at(c, f, path);
	return list_judge(c, f, d);
}

static void keep(struct list_load *out, struct lists_past *past, const char *name, const struct diag *why, const char *what,
		 struct diag *d)
{
	const char *first = NULL;
	char when[32] = "";
	time_t at = out->read_at;
	struct tm tm;

	for (size_t i = 0; i < why->n; i++) {
		if (why->msg[i].level == DIAG_ERROR && !first)
			first = why->msg[i].text;
		diag_add(d, why->msg[i].level == DIAG_NOTE ? DIAG_NOTE : DIAG_WARNING, "%s", why->msg[i].text);
	}
	if (localtime_r(&at, &tm))
		strftime(when, sizeof(when), "%Y-%m-%d %H:%M", &tm);
	diag_warn(d, "list \"%s\": its file is refused; %s of %s (%zu prefixes) %s", name, what, when, out->n,
		  past->in_force ? "stays in force" : "is used");
	past->kept = xrealloc(past->kept, (past->nkept + 1) * sizeof(*past->kept));
	past->kept[past->nkept++] = (struct list_kept){ xstrdup(name), xstrdup(first ? first : "refused") };
}

void lists_past_free(struct lists_past *past)
{
	for (size_t i = 0; i < past->nkept; i++) {
		free(past->kept[i].name);
		free(past->kept[i].why);
	}
	free(past->kept);
	past->kept = NULL;
	past->nkept = 0;
}

int list_load(struct list_load *out, struct list_case *c, const char *path, struct lists_past *past, struct diag *d)
{
	const struct list *running = past && past->in_force ? rules_list(past->in_force, c->s->name) : NULL;
	__cleanup_listfile struct listfile f = { 0 };
	__cleanup(diag_free) struct diag why = { 0 };
	struct list before = { 0 };
	int err;

	*out = (struct list_load){ .fresh = true, .read_at = time(NULL) };
	/* of a list that had no file its contents are no measure, nor do they stand in for one */
	if (running && running->path) {
		before.v = list_file_part(running, rules_list_said(past->in_force, c->s->name), &before.n);
		c->in_force = &before;
	}
	c->force = past && past->force;
	err = read_and_judge(c, &f, path, &why);
	if (err && err != -ESTALE && past) {
		out->fresh = false;
		if (c->in_force) {
			out->v = take(before.v);
			out->n = before.n;
			out->read_at = running->read_at;
			keep(out, past, c->s->name, &why, "what was read", d);
			return 0;
		}
		if (past->state && !listcopy_read(past->state, c->s->name, &out->v, &out->n, &out->read_at, d)) {
			keep(out, past, c->s->name, &why, "the last good copy", d);
			return 0;
		}
	}
	for (size_t i = 0; i < why.n; i++)
		diag_add(d, why.msg[i].level, "%s", why.msg[i].text);
	free(before.v);
	if (err == -ESTALE) {
		out->fresh = false;
		return 0;
	}
	if (err)
		return err;
	out->v = take(f.v);
	out->n = f.n;
	return 0;
}
