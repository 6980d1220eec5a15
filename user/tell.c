// SPDX-License-Identifier: GPL-2.0-only
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>
#include "out.h"
#include "tell.h"

static void print_json_error(const struct diag *d, int code)
{
	__cleanup_json json_object *doc = json_document();
	__cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	json_object *error;

	if (!to)
		return;
	for (size_t i = 0; i < d->n; i++)
		if (d->msg[i].level == DIAG_ERROR)
			fprintf(to, "%s%s", ftell(to) > 0 ? "\n" : "", d->msg[i].text);
	fclose(to);
	error = json_sub(doc, "error");
	json_num(error, "code", code);
	json_str(error, "message", text);
	json_print(doc, stdout);
}

int verb_end(const struct options *o, struct diag *d, int code)
{
	struct diag loud = { 0 };

	/* what was done comes before the remarks on it, also when both go to one file */
	fflush(stdout);
	for (size_t i = 0; i < d->n; i++)
		if (!o->quiet || d->msg[i].level != DIAG_NOTE)
			diag_add(&loud, d->msg[i].level, "%s", d->msg[i].text);
	diag_print(&loud, stderr);
	if (o->json && code >= EXIT_USAGE)
		print_json_error(d, code);
	diag_free(&loud);
	diag_free(d);
	return code;
}

void say(const struct options *o, const char *fmt, ...)
{
	__cleanup_free char *text = NULL;
	va_list ap;

	if (o->quiet || o->json)
		return;
	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	put_escaped(text ? text : "", stdout);
	putchar('\n');
}

void json_done(void)
{
	__cleanup_json json_object *doc = json_document();

	json_yes(doc, "done", true);
	json_print(doc, stdout);
}

/* Edit distance with swapped neighbours as one step; words of a command line are short. */
static size_t distance(const char *a, const char *b)
{
	enum { LONGEST = 40 };
	size_t la = strlen(a), lb = strlen(b), cost[LONGEST + 1][LONGEST + 1];

	if (la > LONGEST || lb > LONGEST)
		return LONGEST;
	for (size_t i = 0; i <= la; i++)
		cost[i][0] = i;
	for (size_t j = 0; j <= lb; j++)
		cost[0][j] = j;
	for (size_t i = 1; i <= la; i++) {
		for (size_t j = 1; j <= lb; j++) {
			size_t best = cost[i - 1][j - 1] + (a[i - 1] != b[j - 1]);

			if (cost[i - 1][j] + 1 < best)
				best = cost[i - 1][j] + 1;
			if (cost[i][j - 1] + 1 < best)
				best = cost[i][j - 1] + 1;
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
			    cost[i - 2][j - 2] + 1 < best)
				best = cost[i - 2][j - 2] + 1;
			cost[i][j] = best;
		}
	}
	return cost[la][lb];
}

const char *nearest(const char *word, const char *const *candidates, size_t n)
{
	/* a third of the letters wrong is another word; the beginning of a word is that word */
	size_t len = strlen(word), best = len < 3 ? 1 : len < 6 ? 2 : len < 12 ? 3 : 4;
	const char *found = NULL;

	for (size_t i = 0; i < n; i++) {
		size_t cost = distance(word, candidates[i]);

		if (cost > 1 && len > 2 && !strncmp(word, candidates[i], len))
			cost = 1;
		if (cost < best) {
			best = cost;
			found = candidates[i];
		}
	}
	return found;
}

char *place_text(const struct stmt *s)
{
	if (!s->at.file)
		return xstrdup("said with --runtime");
	return xasprintf("%s:%u", s->at.file, s->at.line);
}

static bool names_interface(const struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == STMT_INTERFACE)
			return true;
	return false;
}

char *how_to_begin(const char *config)
{
	struct diag quiet = { 0 };
	struct rules r = { 0 };
	int err = rules_load(&r, config, &quiet);
	bool named = !err && names_interface(&r);

	rules_free(&r);
	diag_free(&quiet);
	if (named)
		return xasprintf("`mxdp apply` puts %s in force", config);
	if (access(config, F_OK))
		return xstrdup("`mxdp attach INTERFACE` begins");
	if (err)
		return xasprintf("%s has an error that `mxdp check` names; `mxdp apply` puts it in force when that is "
				 "mended", config);
	return xasprintf("`mxdp attach INTERFACE` puts %s in force, which names no interface yet", config);
}

int usage_error(struct diag *d, const char *verb, const char *fmt, ...)
{
	const struct verb_text *v = verb_by_name(verb);
	__cleanup_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	diag_error(d, "%s%s: mxdp %s (see `mxdp help %s`)", text, *text && text[strlen(text) - 1] == '?' ? " Usage" : "; usage", v ? v->v.args : verb, verb);
	return EXIT_USAGE;
}
