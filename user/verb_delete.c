// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "change.h"
#include "tell.h"

static bool is_number(const char *s)
{
	return *s && strspn(s, "0123456789") == strlen(s);
}

static int by_number(const struct change *c, const char *word, struct stmt *out)
{
	unsigned long nr;

	if (!c->loaded) {
		diag_error(c->d, "mxdp is not loaded here, so no sentence has a number; say the sentence itself");
		return EXIT_KERNEL;
	}
	errno = 0;
	nr = strtoul(word, NULL, 10);
	if (errno || nr < 1 || nr > c->running.n) {
		diag_error(c->d, "there is no sentence number %s; `mxdp show rules` prints 1 to %zu", word, c->running.n);
		return EXIT_USAGE;
	}
	stmt_copy(out, &c->running.v[nr - 1]);
	return EXIT_DONE;
}

/* `delete list NAME`: nobody wants to repeat what it holds. */
static const struct stmt *by_list_name(const struct change *c, const char *name)
{
	const struct stmt like = { .kind = STMT_LIST, .name = (char *)name };
	const struct rules *in[] = { &c->running, &c->written, &c->dropins };

	for (size_t i = 0; i < 3; i++) {
		const struct stmt *s = change_standing(in[i], &like);

		if (s)
			return s;
	}
	return NULL;
}

/* `how`: a list found by name or number may hold something else in the file than it does in force. */
static int find(const struct change *c, int argc, char **argv, struct stmt *out, enum unsay *how)
{
	__cleanup_rules struct rules said = { 0 };
	const struct stmt *list;

	*how = UNSAY_SAME;
	if (argc == 1 && is_number(argv[0])) {
		int code = by_number(c, argv[0], out);

		if (!code && (out->kind == STMT_LIST || out->kind == STMT_INTERFACE))
			*how = UNSAY_BY_NAME;
		return code;
	}
	if (argc == 2 && !strcmp(argv[0], "list")) {
		list = by_list_name(c, argv[1]);
		if (!list) {
			diag_error(c->d, "there is no list \"%s\"; `mxdp show lists` names them", argv[1]);
			return EXIT_USAGE;
		}
		stmt_copy(out, list);
		*how = UNSAY_BY_NAME;
		return EXIT_DONE;
	}
	if (rules_parse_args(&said, argc, argv, c->d))
		return EXIT_USAGE;
	stmt_copy(out, &said.v[0]);
	return EXIT_DONE;
}

static const struct stmt *user_of_list(const struct rules *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		for (size_t k = 0; k < r->v[i].nsources; k++)
			if (r->v[i].sources[k].kind == SOURCE_LIST && !strcmp(r->v[i].sources[k].list, name))
				return &r->v[i];
	return NULL;
}

static bool list_in_use(const struct change *c, const char *name)
{
	const struct rules *in[] = { &c->running, &c->written, &c->dropins };

	for (size_t i = 0; i < 3; i++) {
		const struct stmt *s = user_of_list(in[i], name);
		__cleanup_free char *text = NULL, *place = NULL;

		if (!s)
			continue;
		text = stmt_text(s);
		place = place_text(s);
		diag_error(c->d, "list %s is used by `%s` (%s); delete that first", name, text, place);
		return true;
	}
	return false;
}

/* The sentence is not there as it was said, but one that speaks of its first port or source may be meant. */
static void hint(const struct change *c, const struct stmt *s)
{
	const struct rules *in[] = { &c->running, &c->written, &c->dropins };

	for (size_t i = 0; i < 3; i++) {
		for (size_t k = 0; k < in[i]->n; k++) {
			const struct stmt *t = &in[i]->v[k];
			__cleanup_free char *text = NULL, *place = NULL;

			if (t->kind != s->kind)
				continue;
			for (size_t p = 0; p < t->nports && s->nports && !text; p++)
				if (t->ports[p].lo <= s->ports[0].lo && s->ports[0].lo <= t->ports[p].hi)
					text = stmt_text(t);
			if (!text)
				continue;
			place = place_text(t);
			diag_warn(c->d, "`%s` (%s) speaks of that port, but is another sentence, and stays", text, place);
			return;
		}
	}
}

static int delete(const struct options *o, int argc, char **argv, struct diag *d)
{
	__cleanup_change struct change c = { 0 };
	__cleanup(stmt_free) struct stmt s = { 0 };
	__cleanup_free char *text = NULL, *done = NULL;
	struct outcome x = { .taken_back = true };
	enum unsay how;
	int code = change_begin(&c, o, d, false);

	if (!code)
		code = find(&c, argc, argv, &s, &how);
	if (code)
		return code;
	if (s.kind == STMT_LIST && list_in_use(&c, s.name))
		return EXIT_USAGE;
	text = stmt_text(&s);
	done = xasprintf("deleted `%s`", text);
	if (change_unsay(&c, &s, how))
		return EXIT_USAGE;
	/* an interface that no sentence names is not filtered */
	if (s.kind == STMT_INTERFACE && c.running_edited)
		c.detach = s.name;
	x.was_in_force = !c.running_edited;
	x.was_written = !c.file_edited;
	code = change_commit(&c);
	if (code)
		return code;
	if (x.was_in_force && x.was_written)
		hint(&c, &s);
	tell_change(&c, &x, text, done);
	return EXIT_DONE;
}

int verb_delete(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };

	if (argc < 2)
		return verb_end(o, &d, usage_error(&d, "delete", "the sentence to delete is missing"));
	return verb_end(o, &d, delete(o, argc - 1, argv + 1, &d));
}
