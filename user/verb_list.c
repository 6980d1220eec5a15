// SPDX-License-Identifier: GPL-2.0-only
/* list add|del|replace|show NAME: what a list holds. Any other word is the name of a list to declare. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "change.h"
#include "listedit.h"
#include "listfile.h"
#include "out.h"
#include "show.h"
#include "tell.h"
#include "token.h"

#define MAX_INPUT (64u << 20)

struct set {
	struct prefix *v; /* sorted, no duplicates */
	size_t n;
};

static void set_free(struct set *s)
{
	free(s->v);
	*s = (struct set){ 0 };
}
#define __cleanup_set __cleanup(set_free)

static void set_sort(struct set *s)
{
	size_t m = 0;

	if (s->n)
		qsort(s->v, s->n, sizeof(*s->v), prefix_cmp);
	for (size_t i = 0; i < s->n; i++)
		if (!m || prefix_cmp(&s->v[m - 1], &s->v[i]))
			s->v[m++] = s->v[i];
	s->n = m;
}

static bool set_has(const struct set *s, const struct prefix *p)
{
	return s->n && bsearch(p, s->v, s->n, sizeof(*s->v), prefix_cmp);
}

static struct set set_of(const struct prefix *v, size_t n)
{
	struct set s = { .v = xmalloc(n * sizeof(*v)), .n = n };

	if (n)
		memcpy(s.v, v, n * sizeof(*v));
	set_sort(&s);
	return s;
}

enum op { OP_ADD, OP_DEL, OP_REPLACE };

struct counts {
	size_t added, removed, now;
};

/* `v` as the operation leaves it: what stays keeps its place, what is new comes behind. */
static struct set operate(enum op op, const struct prefix *v, size_t n, const struct set *words, struct counts *c)
{
	__cleanup_set struct set old = set_of(v, n);
	struct set out = { .v = xmalloc((n + words->n) * sizeof(*v)) };

	*c = (struct counts){ 0 };
	for (size_t i = 0; i < n; i++) {
		bool said = set_has(words, &v[i]);

		if (op == OP_ADD || said == (op == OP_REPLACE))
			out.v[out.n++] = v[i];
		else
			c->removed++;
	}
	for (size_t i = 0; op != OP_DEL && i < words->n; i++) {
		if (set_has(&old, &words->v[i]))
			continue;
		out.v[out.n++] = words->v[i];
		c->added++;
	}
	c->now = out.n;
	return out;
}

/* ---- what the operator said ---- */

static int read_stream(struct listfile *f, FILE *in, struct diag *d)
{
	*f = (struct listfile){ .name = "standard input", .text = xmalloc(MAX_INPUT) };
	f->len = fread(f->text, 1, MAX_INPUT, in);
	if (ferror(in)) {
		diag_error(d, "standard input: %s", strerror(errno));
		return EXIT_USAGE;
	}
	if (f->len == MAX_INPUT) {
		diag_error(d, "standard input: more than %u MiB is no list", MAX_INPUT >> 20);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int read_words(struct set *out, int argc, char **argv, struct diag *d)
{
	for (int i = 0; i < argc; i++) {
		size_t len = strlen(argv[i]);
		__cleanup_free char *why = NULL;

		while (len && argv[i][len - 1] == ',')
			len--;
		if (!len)
			continue;
		out->v = xrealloc(out->v, (out->n + 1) * sizeof(*out->v));
		if (word_prefix(argv[i], len, &out->v[out->n], &why)) {
			diag_error(d, "%s", why ? why : "not a prefix");
			return EXIT_USAGE;
		}
		if (out->v[out->n].len == 0) {
			diag_error(d, "%s is everything, and a list cannot hold that; write \"any\" in the sentence instead",
				   argv[i]);
			return EXIT_USAGE;
		}
		out->n++;
	}
	return EXIT_DONE;
}

/* The words, or a file's text: what it holds may depend on the list's sentence, see scan_file(). */
static int read_prefixes(struct set *out, struct listfile *f, const struct options *o, int argc, char **argv, struct diag *d)
{
	const char *file = o->file;
	int code;

	if (!file && argc == 1 && !strcmp(argv[0], "-"))
		file = "-";
	else if (file && argc)
		return usage_error(d, "list", "prefixes come from the command line or from --file, not from both");
	else if (!file && !argc)
		return usage_error(d, "list", "the prefixes are missing");
	if (file && !strcmp(file, "-"))
		code = read_stream(f, stdin, d);
	else if (file)
		code = listfile_open(f, file, d) ? EXIT_USAGE : EXIT_DONE;
	else
		code = read_words(out, argc, argv, d);
	set_sort(out);
	return code;
}

/* ---- the list ---- */

static void unknown_list(struct diag *d, const char *name, const struct rules *const *in, size_t nin)
{
	__cleanup_free const char **names = NULL;
	const char *meant;
	size_t n = 0;

	for (size_t i = 0; i < nin; i++) {
		for (size_t k = 0; k < in[i]->n; k++) {
			if (in[i]->v[k].kind != STMT_LIST)
				continue;
			names = xrealloc(names, (n + 1) * sizeof(*names));
			names[n++] = in[i]->v[k].name;
		}
	}
	meant = n ? nearest(name, names, n) : NULL;
	if (meant)
		diag_error(d, "there is no list \"%s\"; did you mean \"%s\"?", name, meant);
	else
		diag_error(d, "there is no list \"%s\"; `mxdp list %s PREFIX...` declares it", name, name);
}

/* The one prefix of a line of a list file; comments and blank lines have none. */
static bool line_prefix(const char *line, size_t len, struct prefix *p)
{
	size_t end = 0;

	while (len && strchr(" \t", *line)) {
		line++;
		len--;
	}
	while (end < len && !strchr(" \t\r#;", line[end]))
		end++;
	return end && !word_prefix(line, end, p, NULL);
}

/* The text of a list file as the operation leaves it: every other line stays as it is. */
static void edit_text(struct conffile *f, enum op op, const struct set *words)
{
	__cleanup_set struct set there = { 0 };
	char *text = NULL, buf[PREFIX_TEXT];
	size_t len, at = 0;
	FILE *to = open_memstream(&text, &len);
	struct prefix p;

	while (to && at < f->len) {
		const char *line = f->text + at, *nl = memchr(line, '\n', f->len - at);
		size_t n = nl ? (size_t)(nl - line) : f->len - at;
		bool is = line_prefix(line, n, &p);

		at += n + 1;
		if (is && op != OP_ADD && set_has(words, &p) == (op == OP_DEL))
			continue;
		fwrite(line, 1, n, to);
		fputc('\n', to);
		if (is) {
			there.v = xrealloc(there.v, (there.n + 1) * sizeof(p));
			there.v[there.n++] = p;
		}
	}
	set_sort(&there);
	for (size_t i = 0; to && op != OP_DEL && i < words->n; i++)
		if (!set_has(&there, &words->v[i]))
			fprintf(to, "%s\n", prefix_text(&words->v[i], buf));
	if (!to || fclose(to))
		return;
	free(f->text);
	f->text = text;
	f->len = len;
}

struct edit {
	struct change c;
	enum op op;
	const char *name;
	struct set words;
	struct listfile from; /* --file; name NULL without */
	bool *held; /* of each word: the list held it, in force or in the file */
	struct counts in_force, in_file;
	struct set file_now; /* what the list's own file holds then */
	const struct stmt *written; /* the sentence in the files, NULL */
	bool in_dropin;
};

static void edit_free(struct edit *e)
{
	change_end(&e->c);
	set_free(&e->words);
	set_free(&e->file_now);
	listfile_free(&e->from);
	free(e->held);
}

static void note_held(struct edit *e, const struct prefix *v, size_t n)
{
	__cleanup_set struct set old = set_of(v, n);

	if (!e->held)
		e->held = xcalloc(e->words.n, sizeof(*e->held));
	for (size_t i = 0; i < e->words.n; i++)
		e->held[i] |= set_has(&old, &e->words.v[i]);
}

/* A feed that failed is an empty file; nobody means to empty a list by it. */
static int check_size(const struct edit *e, const struct stmt *s, size_t n)
{
	if (e->c.o->force)
		return EXIT_DONE;
	if (!n)
		diag_error(e->c.d, "list %s would be empty; --force empties it", e->name);
	else if (s->path && s->min && n < s->min)
		diag_error(e->c.d, "list %s would hold %zu, and its sentence says min %lu", e->name, n, s->min);
	else if (s->path && s->max && n > s->max)
		diag_error(e->c.d, "list %s would hold %zu, and its sentence says max %lu", e->name, n, s->max);
	else
		return EXIT_DONE;
	return EXIT_USAGE;
}

/* A line of a published table or of JSON is not ours to take out or add; all of them can be replaced by plain ones. */
static int make_plain(struct edit *e, const struct listfile *f)
{
	struct conffile *to = &e->c.listed;

	if (f->format == LIST_PLAIN)
		return EXIT_DONE;
	if (e->op != OP_REPLACE) {
		diag_error(e->c.d, "%s is %s, as others publish it, and the next fetch would undo the edit; write the prefix into the "
				   "sentence of list %s beside \"file\", or change what is in force with --runtime", f->name,
			   list_format_name(f->format), e->name);
		return EXIT_USAGE;
	}
	to->text[0] = '\0';
	to->len = 0;
	return EXIT_DONE;
}

static int edit_list_file(struct edit *e, const struct stmt *s)
{
	struct change *c = &e->c;
	__cleanup_free char *path = path_beside(s->at.file, s->path);
	__cleanup_set struct set old = { 0 }, now = { 0 };
	struct listfile f = { .name = path, .take = s->guard.take };

	if (conffile_open(&c->listed, path, false, c->d)) {
		c->listed = (struct conffile){ .lock_fd = -1 };
		return EXIT_USAGE;
	}
	f.text = c->listed.text;
	f.len = c->listed.len;
	if (listfile_scan(&f, c->d))
		return EXIT_USAGE;
	old = (struct set){ f.v, f.n };
	if (make_plain(e, &f))
		return EXIT_USAGE;
	note_held(e, old.v, old.n);
	now = operate(e->op, old.v, old.n, &e->words, &e->in_file);
	if (!e->in_file.added && !e->in_file.removed)
		return EXIT_DONE;
	c->listed_edited = true;
	edit_text(&c->listed, e->op, &e->words);
	e->file_now = now;
	now = (struct set){ 0 };
	return check_size(e, s, e->file_now.n);
}

static int edit_sentence(struct edit *e, const struct stmt *s)
{
	struct change *c = &e->c;
	__cleanup(stmt_free) struct stmt next = { 0 };
	__cleanup_free char *text = NULL;
	struct set now = operate(e->op, s->prefixes, s->nprefixes, &e->words, &e->in_file);

	note_held(e, s->prefixes, s->nprefixes);
	stmt_copy(&next, s);
	free(next.prefixes);
	next.prefixes = now.v;
	next.nprefixes = now.n;
	if (!e->in_file.added && !e->in_file.removed)
		return EXIT_DONE;
	if (e->in_dropin) {
		__cleanup_free char *place = place_text(s);

		diag_error(c->d, "list %s stands in %s, which only you edit; change it there and `mxdp apply`, or change "
				 "what is in force with --runtime", e->name, place);
		return EXIT_USAGE;
	}
	text = stmt_text(&next);
	if (conffile_replace_line(&c->file, s->at.line, text, c->d))
		return EXIT_USAGE;
	c->file_edited = true;
	return check_size(e, s, now.n);
}

/* What is in force: inline lists are said by their sentence, a file's list by what was read from it. */
static int edit_running(struct edit *e)
{
	const struct stmt like = { .kind = STMT_LIST, .name = (char *)e->name };
	struct stmt *s = change_standing(&e->c.running, &like);
	struct list *l = rules_list(&e->c.running, e->name);
	struct set now;

	if (!s || !l)
		return EXIT_DONE;
	note_held(e, l->v, l->n);
	if (s->path) {
		now = operate(e->op, l->v, l->n, &e->words, &e->in_force);
		free(l->v);
		set_sort(&now);
		l->v = now.v;
		l->n = now.n;
	} else {
		now = operate(e->op, s->prefixes, s->nprefixes, &e->words, &e->in_force);
		free(s->prefixes);
		s->prefixes = now.v;
		s->nprefixes = now.n;
	}
	if (!e->in_force.added && !e->in_force.removed)
		return EXIT_DONE;
	/* no longer what its file says, unless note_sameness() finds it so */
	l->stamp = (struct list_stamp){ 0 };
	e->c.running_edited = true;
	return check_size(e, s, now.n);
}

static void note_sameness(struct edit *e)
{
	const struct list *l = rules_list(&e->c.running, e->name);
	struct set *f = &e->file_now;
	bool same = l && e->c.listed_edited && !e->written->nprefixes && l->n == f->n;

	set_sort(f);
	for (size_t i = 0; same && i < f->n; i++)
		same = !prefix_cmp(&l->v[i], &f->v[i]);
	if (same)
		e->c.listed_is = e->name;
}

static int find_list(struct edit *e)
{
	const struct stmt like = { .kind = STMT_LIST, .name = (char *)e->name };
	const struct rules *in[] = { &e->c.running, &e->c.written, &e->c.dropins };

	e->written = change_standing(&e->c.written, &like);
	if (!e->written) {
		e->written = change_standing(&e->c.dropins, &like);
		e->in_dropin = e->written != NULL;
	}
	if (e->written || change_standing(&e->c.running, &like))
		return EXIT_DONE;
	unknown_list(e->c.d, e->name, in, 3);
	return EXIT_USAGE;
}

/* What --file holds; to replace a list by it the guards of the list must agree. What was in force stays otherwise. */
static int scan_file(struct edit *e)
{
	const struct stmt like = { .kind = STMT_LIST, .name = (char *)e->name };
	const struct rules *r = e->c.loaded ? &e->c.running : &e->c.written;
	const struct stmt *s = change_standing(r, &like);
	const struct list *l = rules_list(&e->c.running, e->name);
	struct list before = { 0 };
	struct list_case k = { .r = r, .lists = r->lists, .nlists = r->nlists, .s = s, .force = e->c.o->force };
	int err;

	if (!e->from.name)
		return EXIT_DONE;
	e->from.take = s ? s->guard.take : e->written ? e->written->guard.take : TAKE_UNSAID;
	if (listfile_scan(&e->from, e->c.d))
		return EXIT_USAGE;
	e->words = set_of(e->from.v, e->from.n);
	if (e->op != OP_REPLACE || !s || !s->path)
		return EXIT_DONE;
	k.made = e->from.dated;
	if (l)
		before.v = list_file_part(l, s, &before.n);
	k.in_force = l ? &before : NULL;
	err = list_judge(&k, &e->from, e->c.d);
	free(before.v);
	return err ? EXIT_USAGE : EXIT_DONE;
}

/* A word that the guards would refuse at the next reading of the file would have the whole file refused then. */
static int judge_words(const struct edit *e)
{
	const struct stmt like = { .kind = STMT_LIST, .name = (char *)e->name };
	const struct rules *r = e->c.loaded ? &e->c.running : &e->c.written;
	const struct stmt *s = e->written ? e->written : change_standing(r, &like);

	if (e->op != OP_ADD || !s->path || e->c.o->force || !list_judge_words(r, s, e->words.v, e->words.n, e->c.d))
		return EXIT_DONE;
	diag_note(e->c.d, "list %s is as it was; --force adds it all the same", e->name);
	return EXIT_USAGE;
}

/* What the next boot falls back on must not bring back what was taken out on purpose. */
static void save_copy(const struct edit *e)
{
	const struct list *l = rules_list(&e->c.running, e->name);
	const struct stmt like = { .kind = STMT_LIST, .name = (char *)e->name };
	const struct stmt *s = change_standing(&e->c.running, &like);
	__cleanup_free struct prefix *v = NULL;
	size_t n;

	if (!s || !s->path || !l || !e->c.listed_edited || e->c.o->dry_run || (e->op == OP_ADD && l->n))
		return;
	if (e->op == OP_DEL && l->n) {
		listcopy_forget(e->c.o->state, e->name, e->words.v, e->words.n, e->c.d);
		return;
	}
	v = list_file_part(l, s, &n);
	listcopy_save(e->c.o->state, e->name, v, n, e->c.d);
}

static bool warn_still_covered(const struct edit *e, const struct prefix *p)
{
	const struct list *l = rules_list(&e->c.running, e->name);
	char buf[PREFIX_TEXT], wide[PREFIX_TEXT];
	bool covered = false;

	for (size_t k = 0; l && k < l->n; k++) {
		if (l->v[k].len >= p->len || !prefix_covers(&l->v[k], p))
			continue;
		covered = true;
		diag_warn(e->c.d, "%s is still in list %s, by %s", prefix_text(p, buf), e->name,
			  prefix_text(&l->v[k], wide));
	}
	return covered;
}

/* What was to go and is there still, or never was. */
static void warn_not_gone(const struct edit *e)
{
	enum { NAMED = 5 };
	char buf[PREFIX_TEXT];
	size_t missing = 0;

	for (size_t i = 0; e->op == OP_DEL && i < e->words.n; i++) {
		if (warn_still_covered(e, &e->words.v[i]) || !e->held || e->held[i])
			continue;
		if (++missing <= NAMED)
			diag_warn(e->c.d, "%s is not in list %s", prefix_text(&e->words.v[i], buf), e->name);
	}
	if (missing > NAMED)
		diag_warn(e->c.d, "nor are %zu others", missing - NAMED);
}

static void tell(const struct edit *e)
{
	static const char *const did[] = { [OP_ADD] = "added to", [OP_DEL] = "removed from" };
	const struct counts *n = e->c.loaded ? &e->in_force : &e->in_file;
	struct outcome x = {
		.was_in_force = !e->c.running_edited,
		.was_written = !e->c.file_edited && !e->c.listed_edited,
	};
	__cleanup_free char *what = xasprintf("list %s", e->name), *done = NULL;

	if (e->c.loaded && !e->c.running_edited)
		n = &e->in_file;
	done = e->op == OP_REPLACE ?
	       xasprintf("list %s: +%zu -%zu, %zu now", e->name, n->added, n->removed, n->now) :
	       xasprintf("%zu %s list %s, %zu now", n->added + n->removed, did[e->op], e->name, n->now);
	tell_change(&e->c, &x, what, done);
}

static int change_list(const struct options *o, enum op op, int argc, char **argv, struct diag *d)
{
	__cleanup(edit_free) struct edit e = { .op = op, .name = argv[0] };
	int code = read_prefixes(&e.words, &e.from, o, argc - 1, argv + 1, d);

	if (!code && op != OP_REPLACE && !e.from.name) {
		code = list_edit_quick(&(struct quick){ o, op == OP_ADD, e.name, e.words.v, e.words.n }, d);
		if (code != -EAGAIN)
			return code;
		code = EXIT_DONE;
	}
	if (!code)
		code = change_begin(&e.c, o, d, false);
	if (!code)
		code = find_list(&e);
	if (!code)
		code = scan_file(&e);
	if (!code)
		code = judge_words(&e);
	if (!code && e.written && !o->runtime)
		code = e.written->path ? edit_list_file(&e, e.written) : edit_sentence(&e, e.written);
	if (!code && e.c.loaded)
		code = edit_running(&e);
	if (!code)
		note_sameness(&e);
	if (!code)
		code = change_commit(&e.c);
	if (code)
		return code;
	save_copy(&e);
	warn_not_gone(&e);
	tell(&e);
	return EXIT_DONE;
}

/* ---- show ---- */

void list_print(const struct options *o, const struct list *l, bool in_force)
{
	__cleanup_json json_object *doc = NULL;
	json_object *list;
	char buf[PREFIX_TEXT];

	if (!o->json) {
		for (size_t i = 0; i < l->n; i++)
			puts(prefix_text(&l->v[i], buf));
		return;
	}
	doc = json_document();
	json_str(doc, "name", l->name);
	json_str(doc, "path", l->path);
	json_time(doc, "read_at", l->read_at);
	json_yes(doc, "in_force", in_force);
	list = json_list(doc, "prefixes");
	for (size_t i = 0; i < l->n; i++)
		json_object_array_add(list, json_object_new_string(prefix_text(&l->v[i], buf)));
	json_print(doc, stdout);
}

static int show_list(const struct options *o, int argc, char **argv, struct diag *d)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_dp struct datapath *dp = NULL;
	const struct rules *in[] = { &r };
	const struct list *l;
	bool in_force;
	int err;

	if (argc > 1)
		return usage_error(d, "list", "too many words: \"%s\"", argv[1]);
	err = dp_open(&dp, o->bpffs, DP_LOOK, d);
	if (err)
		dp = NULL;
	else
		err = running_rules(o, dp, &r, d);
	if (err && err != -ENOENT)
		return EXIT_KERNEL;
	in_force = !err;
	if (!in_force && rules_load(&r, o->config, d))
		return EXIT_USAGE;
	l = rules_list(&r, argv[0]);
	if (!l) {
		unknown_list(d, argv[0], in, 1);
		return EXIT_USAGE;
	}
	if (!in_force)
		diag_note(d, "mxdp is not loaded here; this is what %s says", o->config);
	list_print(o, l, in_force);
	return EXIT_DONE;
}

/* "list office now holds 2 prefixes": there may be many. Malloc'd. */
static char *declared_text(const struct stmt *s)
{
	char held[OUT_TEXT + 16];

	if (s->path)
		return xasprintf("list %s now holds what %s says", s->name, s->path);
	return xasprintf("list %s now holds %s", s->name,
			 text_plural(s->nprefixes, "prefix", "prefixes", held, sizeof(held)));
}

/* `list office 203.0.113.0/24`: the sentence. Over one that stands already only `replace` writes. */
static int declare_list(const struct options *o, int argc, char **argv, struct diag *d)
{
	__cleanup_rules struct rules said = { 0 };
	__cleanup_change struct change c = { 0 };
	__cleanup(outcome_free) struct outcome x = { 0 };
	__cleanup_free char *text = NULL, *done = NULL;
	const struct stmt *s, *old;
	int code;

	if (rules_parse_args(&said, argc, argv, d))
		return EXIT_USAGE;
	s = &said.v[0];
	text = stmt_text(s);
	done = declared_text(s);
	code = change_begin(&c, o, d, true);
	if (code)
		return code;
	old = change_standing(&c.running, s);
	if (!old)
		old = change_standing(&c.written, s);
	if (old && !stmt_same(old, s)) {
		__cleanup_free char *place = place_text(old);

		diag_error(d, "list %s is declared already (%s); `mxdp list add|del|replace %s PREFIX...` changes what it "
			   "holds", s->name, place, s->name);
		return EXIT_USAGE;
	}
	x = outcome_of(&c, s);
	if (change_say(&c, s))
		return EXIT_USAGE;
	code = change_commit(&c);
	if (!code)
		tell_change(&c, &x, text, done);
	return code;
}

static const char *const op_word[] = { [OP_ADD] = "add", [OP_DEL] = "del", [OP_REPLACE] = "replace" };

static bool is_operation(const char *s)
{
	for (int i = 0; i < 3; i++)
		if (!strcmp(s, op_word[i]))
			return true;
	return !strcmp(s, "show");
}

static int run(const struct options *o, int argc, char **argv, struct diag *d)
{
	if (argc < 2)
		return usage_error(d, "list", "what to do, and the name of the list, are missing");
	if (argc < 3 && is_operation(argv[1]))
		return usage_error(d, "list", "the name of the list is missing");
	if (argc < 3)
		return usage_error(d, "list", "what list \"%s\" is to hold is missing", argv[1]);
	if (!strcmp(argv[1], "show"))
		return show_list(o, argc - 2, argv + 2, d);
	for (int i = 0; i < 3; i++)
		if (!strcmp(argv[1], op_word[i]))
			return change_list(o, i, argc - 2, argv + 2, d);
	return declare_list(o, argc, argv, d);
}

int verb_list(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };

	return verb_end(o, &d, run(o, argc, argv, &d));
}
