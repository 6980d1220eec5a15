// SPDX-License-Identifier: GPL-2.0-only
/* allow deny block admin exempt default observe enforce track: a sentence said on the command line. */
#include <stdlib.h>
#include <string.h>
#include "change.h"
#include "out.h"
#include "tell.h"

/* ---- in words ---- */

static void put_ports(const struct stmt *s, bool numeric, FILE *to)
{
	for (size_t i = 0; i < s->nports; i++) {
		const struct port_range *p = &s->ports[i];
		const char *name = p->lo == p->hi && !numeric ? port_name(p->lo) : NULL;

		fputs(i ? ", " : " ", to);
		if (p->lo == 1 && p->hi == 65535)
			fputs("every port", to);
		else if (p->lo != p->hi)
			fprintf(to, "%u-%u", p->lo, p->hi);
		else if (name)
			fprintf(to, "%s (%u)", name, p->lo);
		else
			fprintf(to, "%u", p->lo);
	}
}

static void put_sources(const struct stmt *s, FILE *to)
{
	char buf[PREFIX_TEXT];

	if (!s->nsources)
		fputs(" any", to);
	for (size_t i = 0; i < s->nsources; i++) {
		const struct source *f = &s->sources[i];

		fputs(i ? ", " : " ", to);
		if (f->kind == SOURCE_LIST)
			fprintf(to, "@%s", f->list);
		else
			fputs(f->kind == SOURCE_ANY ? "any" : prefix_text(&f->prefix, buf), to);
	}
}

/* "allowed smtp (25) from any". Malloc'd. */
static char *done_text(const struct stmt *s, bool numeric)
{
	static const char *const word[] = {
		[STMT_ADMIN] = "admin", [STMT_ALLOW] = "allowed", [STMT_DENY] = "denied",
		[STMT_BLOCK] = "blocked", [STMT_EXEMPT] = "exempted",
	};
	char *text = NULL;
	size_t len;
	FILE *to;

	switch (s->kind) {
	case STMT_DEFAULT:
		return xasprintf("ports that no sentence names are %s now", s->deny ? "denied" : "allowed");
	case STMT_OBSERVE:
		return xstrdup("observing: what the rules deny is counted, and passes");
	case STMT_ADMIN:
	case STMT_ALLOW:
	case STMT_DENY:
	case STMT_BLOCK:
	case STMT_EXEMPT:
		break;
	default:
		return stmt_text(s);
	}
	to = open_memstream(&text, &len);
	if (!to)
		return stmt_text(s);
	fputs(word[s->kind], to);
	if (s->nports) {
		put_ports(s, numeric, to);
		fputs(" from", to);
	}
	put_sources(s, to);
	if (s->kind == STMT_ALLOW)
		limits_print(&s->limits, to);
	fclose(to);
	return text;
}

/* ---- sentences that say the opposite ---- */

static bool ports_meet(const struct stmt *a, const struct stmt *b)
{
	for (size_t i = 0; i < a->nports; i++)
		for (size_t j = 0; j < b->nports; j++)
			if (a->ports[i].lo <= b->ports[j].hi && b->ports[j].lo <= a->ports[i].hi)
				return true;
	return false;
}

static const struct source any = { .kind = SOURCE_ANY };

static const struct source *source_at(const struct stmt *s, size_t i)
{
	return s->nsources ? &s->sources[i] : &any;
}

static size_t source_count(const struct stmt *s)
{
	return s->nsources ? s->nsources : 1;
}

static bool is_any(const struct source *s)
{
	return s->kind == SOURCE_ANY || (s->kind == SOURCE_PREFIX && s->prefix.len == 0);
}

static bool equally_specific(const struct source *a, const struct source *b)
{
	if (is_any(a) || is_any(b))
		return is_any(a) && is_any(b);
	if (a->kind != b->kind)
		return false;
	return a->kind == SOURCE_LIST ? !strcmp(a->list, b->list) : !prefix_cmp(&a->prefix, &b->prefix);
}

static bool list_covers(const struct list *l, const struct prefix *p)
{
	for (size_t i = 0; l && i < l->n; i++)
		if (prefix_covers(&l->v[i], p))
			return true;
	return false;
}

/* Is everything from `s` inside what the blocked source `b` is? */
static bool inside(const struct rules *r, const struct source *b, const struct source *s)
{
	if (b->kind == SOURCE_LIST)
		return s->kind == SOURCE_LIST ? !strcmp(b->list, s->list) :
		       s->kind == SOURCE_PREFIX && list_covers(rules_list(r, b->list), &s->prefix);
	if (b->kind == SOURCE_PREFIX)
		return s->kind == SOURCE_PREFIX && prefix_covers(&b->prefix, &s->prefix);
	return true;
}

/* Does t decide instead of s, or s instead of t, for some port and source of both? */
static bool opposes(const struct rules *r, const struct stmt *s, const struct stmt *t)
{
	bool verdicts = (s->kind == STMT_ALLOW && t->kind == STMT_DENY) || (s->kind == STMT_DENY && t->kind == STMT_ALLOW);
	bool blocked = s->kind == STMT_ALLOW && t->kind == STMT_BLOCK;
	bool blocks = s->kind == STMT_BLOCK && t->kind == STMT_ALLOW;

	if (!verdicts && !blocked && !blocks)
		return false;
	if (verdicts && !ports_meet(s, t))
		return false;
	for (size_t i = 0; i < source_count(s); i++) {
		for (size_t j = 0; j < source_count(t); j++) {
			const struct source *a = source_at(s, i), *b = source_at(t, j);

			if (verdicts ? equally_specific(a, b) : blocked ? inside(r, b, a) : inside(r, a, b))
				return true;
		}
	}
	return false;
}

/* Two that allow the same to the same: the stricter limit holds, whichever was said last. */
static bool limits_meet(const struct stmt *s, const struct stmt *t)
{
	if (s->kind != STMT_ALLOW || t->kind != STMT_ALLOW || !ports_meet(s, t) || limits_same(&s->limits, &t->limits))
		return false;
	for (size_t i = 0; i < source_count(s); i++)
		for (size_t j = 0; j < source_count(t); j++)
			if (equally_specific(source_at(s, i), source_at(t, j)))
				return limit_cmp(s, t) != 0;
	return false;
}

static void warn_limit(const struct stmt *s, const struct stmt *t, struct diag *d)
{
	__cleanup_free char *text = stmt_text(t), *place = place_text(t);

	if (limit_cmp(t, s) < 0)
		diag_warn(d, "the stricter limit of `%s` (%s) holds where both speak of the same source and port; "
			     "`mxdp delete %s` takes that back", text, place, text);
	else
		diag_note(d, "this limit is stricter than `%s` (%s), and holds where both speak of the same source and port",
			  text, place);
}

static void warn_opposites(const struct rules *r, const struct stmt *s, struct diag *d)
{
	bool wins = s->kind == STMT_DENY || s->kind == STMT_BLOCK;

	for (size_t i = 0; i < r->n; i++) {
		__cleanup_free char *text = NULL, *place = NULL;

		if (limits_meet(s, &r->v[i]))
			warn_limit(s, &r->v[i], d);
		if (!opposes(r, s, &r->v[i]))
			continue;
		text = stmt_text(&r->v[i]);
		place = place_text(&r->v[i]);
		if (wins)
			diag_warn(d, "this overrides `%s` (%s) where both speak of the same source and port", text, place);
		else
			diag_warn(d, "this is overridden by `%s` (%s) where both speak of the same source and port; "
				     "`mxdp delete %s` takes that back", text, place, text);
	}
}

/* ---- the verbs ---- */

static const struct rules *all_rules(const struct change *c)
{
	return c->loaded ? &c->running : &c->written;
}

static int say_sentence(const struct options *o, const struct stmt *s, struct diag *d)
{
	__cleanup_change struct change c = { 0 };
	__cleanup(outcome_free) struct outcome x = { 0 };
	__cleanup_free char *text = stmt_text(s), *done = done_text(s, o->numeric);
	int code = change_begin(&c, o, d, true);

	if (code)
		return code;
	x = outcome_of(&c, s);
	if (change_say(&c, s))
		return EXIT_USAGE;
	code = change_commit(&c);
	if (code)
		return code;
	warn_opposites(all_rules(&c), s, d);
	tell_change(&c, &x, text, done);
	return EXIT_DONE;
}

static int enforce(const struct options *o, struct diag *d)
{
	const struct stmt s = { .kind = STMT_OBSERVE };
	__cleanup_change struct change c = { 0 };
	struct outcome x = { .taken_back = true };
	int code = change_begin(&c, o, d, false);

	if (code)
		return code;
	if (change_unsay(&c, &s, UNSAY_SAME))
		return EXIT_USAGE;
	code = change_commit(&c);
	if (code)
		return code;
	x.was_in_force = !c.running_edited;
	x.was_written = !c.file_edited;
	tell_change(&c, &x, "observe", "enforcing: what the rules deny is dropped");
	return EXIT_DONE;
}

int verb_rule(const struct options *o, int argc, char **argv)
{
	__cleanup_rules struct rules said = { 0 };
	struct diag d = { 0 };
	int code;

	if (!strcmp(argv[0], "enforce")) {
		code = argc > 1 ? usage_error(&d, "enforce", "enforce takes no words") : enforce(o, &d);
		return verb_end(o, &d, code);
	}
	if (argc == 1 && strcmp(argv[0], "observe"))
		return verb_end(o, &d, usage_error(&d, argv[0], "the words behind \"%s\" are missing", argv[0]));
	if (rules_parse_args(&said, argc, argv, &d))
		return verb_end(o, &d, EXIT_USAGE);
	return verb_end(o, &d, say_sentence(o, &said.v[0], &d));
}
