// SPDX-License-Identifier: GPL-2.0-only
/* The sentences in force as text: how one version of mxdp tells another what its rules are. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "rules.h"

#define RUNTIME " # --runtime"
#define PLACE "in force"

static void say(const struct rules *r, const struct stmt *s, FILE *f)
{
	const struct list *l = s->kind == STMT_LIST ? rules_list(r, s->name) : NULL;
	__cleanup_free char *text = NULL;
	struct stmt whole = *s;

	if (s->path && l && l->path)
		whole.path = l->path;
	text = stmt_text(&whole);
	fprintf(f, "%s%s\n", text, s->at.file ? "" : RUNTIME);
}

char *rules_said(const struct rules *r, size_t *len)
{
	char *text = NULL;
	FILE *f = open_memstream(&text, len);

	for (size_t i = 0; f && i < r->n; i++)
		say(r, &r->v[i], f);
	if (f && fclose(f) == 0)
		return text;
	free(text);
	*len = 0;
	return xstrdup("");
}

static const char *first_error(const struct diag *d)
{
	for (size_t i = 0; i < d->n; i++)
		if (d->msg[i].level == DIAG_ERROR)
			return d->msg[i].text;
	return "";
}

static void hear_line(struct rules *r, const char *line, size_t n, struct diag *d)
{
	size_t mark = strlen(RUNTIME), before = r->n;
	bool runtime = n > mark && !memcmp(line + n - mark, RUNTIME, mark);
	struct diag found = { 0 };

	if (runtime)
		n -= mark;
	if (rules_parse(r, PLACE, line, n, &found))
		diag_warn(d, "what was in force says `%.*s`, which this version does not understand: %s", (int)n, line,
			  first_error(&found));
	for (size_t i = before; i < r->n && runtime; i++) {
		free(r->v[i].at.file);
		r->v[i].at = (struct origin){ 0 };
	}
	diag_free(&found);
}

int rules_heard(struct rules *r, const char *text, size_t len, struct diag *d)
{
	struct diag found = { 0 };
	int err;

	*r = (struct rules){ 0 };
	for (const char *line = text, *end; line < text + len; line = end + 1) {
		end = memchr(line, '\n', text + len - line);
		if (!end)
			end = text + len;
		hear_line(r, line, end - line, d);
	}
	err = rules_finish(r, &found);
	if (err) {
		diag_warn(d, "what was in force cannot be told whole any more: %s", first_error(&found));
		rules_free(r);
	}
	diag_free(&found);
	return err ? -EINVAL : 0;
}
