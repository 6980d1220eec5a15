// SPDX-License-Identifier: GPL-2.0-only
/* `ban`, `unban`, `flush bans`, `query ban`: sources cut off for a time. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "ban_feed.h"
#include "change.h"
#include "look.h"
#include "tell.h"

static int exit_of(int err)
{
	return err == -ENOENT ? EXIT_KERNEL : err == -EPERM ? EXIT_USAGE : exit_code_of(err);
}

/* ---- ban ---- */

static void tell_bare(const struct ban_wish *w, struct diag *d)
{
	char buf[PREFIX_TEXT];

	for (size_t i = 0; i < w->n; i++)
		if (w->said[i].len != w->prefixes[i].len) {
			diag_note(d, "a bare IPv6 address stands for its network, %s here: write ADDRESS/128 for the one address, or "
				     "another length with --prefix6", prefix_text(&w->prefixes[i], buf));
			return;
		}
}

static void tell_bans(const struct options *o, const struct ban_wish *w)
{
	__cleanup_json json_object *doc = o->json ? json_document() : NULL;
	json_object *list = doc ? json_list(doc, "banned") : NULL;

	for (size_t i = 0; i < w->n; i++) {
		__cleanup_free char *text = NULL;
		struct ban b = w->ban;

		b.p = w->prefixes[i];
		text = ban_told(&b);
		if (doc)
			ban_json(json_item(list), &b);
		else
			say(o, "banned %s", text);
	}
	if (doc)
		json_print(doc, stdout);
}

static int ban_words_verb(struct ban_feed *f, enum ban_verb verb, int n, char **words, struct ban_wish *w)
{
	__cleanup_free char *why = NULL;
	int err = option_len6(f->o, &f->def.len6, f->d);

	if (err)
		return err;
	f->def.now_ms = wall_ms();
	err = ban_words(w, verb, &f->def, n, words, &why);
	if (err)
		usage_error(f->d, verb == BAN_ADD ? "ban" : "unban", "%s", why);
	return err;
}

static int feed_format(const struct options *o, struct ban_feed *f, struct diag *d)
{
	if (!o->format)
		return 0;
	if (!strcmp(o->format, "plain"))
		f->format = BAN_PLAIN;
	else if (!strcmp(o->format, "crowdsec"))
		f->format = BAN_CROWDSEC;
	else
		return diag_error(d, "--format %s is none of bans: say plain or crowdsec", o->format), -EINVAL;
	return 0;
}

/* `ban --stdin [source TAG]`: TAG for lines that name none, and for all of a CrowdSec feed */
static int feed_words(struct ban_feed *f, int argc, char **argv, struct diag *d)
{
	struct ban_wish w;
	char *words[] = { (char *)"192.0.2.1", (char *)"source", NULL };
	__cleanup_free char *why = NULL;

	if (argc == 1)
		return 0;
	if (argc != 3 || strcmp(argv[1], "source")) {
		usage_error(d, "ban", "`ban --stdin` takes `source TAG` and nothing else: the lines say the rest");
		return -EINVAL;
	}
	words[2] = argv[2];
	if (ban_words(&w, BAN_ADD, &f->def, 3, words, &why)) {
		usage_error(d, "ban", "%s", why);
		return -EINVAL;
	}
	ban_wish_free(&w);
	f->def.owner = argv[2];
	f->def.owner_wins = true;
	return 0;
}

static int feed_end(const struct options *o, struct ban_feed *f, const char *what, int code)
{
	if (o->json) {
		__cleanup_json json_object *doc = json_document();

		json_num(doc, "banned", f->banned);
		json_num(doc, "lifted", f->lifted);
		json_num(doc, "expired", f->over);
		json_num(doc, "refused", f->refused);
		if (code == EXIT_DONE || code == EXIT_PARTLY)
			json_print(doc, stdout);
		return code;
	}
	say(o, "%s: %zu banned, %zu lifted, %zu had expired, %zu refused", what, f->banned, f->lifted, f->over, f->refused);
	return code;
}

static int ban_stdin(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };
	struct ban_feed f = { .o = o, .d = &d, .force = o->force, .name = "standard input" };
	int err = option_len6(o, &f.def.len6, &d) ?: feed_format(o, &f, &d) ?: feed_words(&f, argc, argv, &d), code;

	if (err)
		return verb_end(o, &d, EXIT_USAGE);
	err = feed_lines(&f, STDIN_FILENO);
	code = err ? exit_of(err) : f.refused ? EXIT_PARTLY : EXIT_DONE;
	return verb_end(o, &d, feed_end(o, &f, f.name, code));
}

int verb_ban(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };
	struct ban_feed f = { .o = o, .d = &d, .force = o->force };
	struct ban_wish w = { 0 };
	int err, closed;

	if (o->from_stdin)
		return ban_stdin(o, argc, argv);
	if (o->format) {
		diag_error(&d, "--format is for `ban --stdin`");
		return verb_end(o, &d, EXIT_USAGE);
	}
	if (argc < 2)
		return verb_end(o, &d, usage_error(&d, "ban", "ban whom? for example `mxdp ban 192.0.2.7 for 1h`"));
	if (ban_words_verb(&f, BAN_ADD, argc - 1, argv + 1, &w))
		return verb_end(o, &d, EXIT_USAGE);
	err = feed_open(&f);
	if (!err) {
		err = feed_wish(&f, &w);
		closed = feed_close(&f);
		err = err ?: closed;
	}
	if (!err) {
		tell_bans(o, &w);
		tell_bare(&w, &d);
	}
	ban_wish_free(&w);
	return verb_end(o, &d, err ? exit_of(err) : EXIT_DONE);
}

/* ---- unban ---- */

/* What covers it still: another ban, or a `block`. */
static int tell_covered(struct ban_feed *f, const struct prefix *p)
{
	__cleanup_free struct ban *v = NULL;
	char buf[PREFIX_TEXT], wide[PREFIX_TEXT];
	bool protected, blocked;
	size_t n = 0;
	int err = dp_bans_of(f->table, p, &v, &n, f->d);

	for (size_t i = 0; !err && i < n; i++) {
		char span[BAN_SPAN];

		diag_note(f->d, "%s is still covered by a ban of %s %s (source %s)", prefix_text(p, buf),
			  prefix_text(&v[i].p, wide), ban_span(v[i].left_ms, span), v[i].owner);
	}
	err = err ?: dp_bans_class(f->table, p, &protected, &blocked, f->d);
	if (!err && blocked) {
		const struct stmt *s = feed_sentence(f, p, true);
		__cleanup_free char *text = s ? stmt_text(s) : NULL, *place = s ? place_text(s) : NULL;

		if (s)
			diag_note(f->d, "%s is still covered by `%s` (%s)", prefix_text(p, buf), text, place);
	}
	return err;
}

/* A bare IPv6 address lifts what `ban` of it made, and a ban of just it. */
static int unban_each(struct ban_feed *f, const struct ban_wish *w, json_object *list)
{
	const char *owner = w->owner_said ? w->ban.owner : NULL;
	int err = 0;

	for (size_t i = 0; !err && i < w->n; i++) {
		char buf[PREFIX_TEXT];
		size_t n = 0;

		err = feed_unban(f, w, i, &n);
		if (err)
			return err;
		if (list) {
			json_object *item = json_item(list);

			json_str(item, "prefix", prefix_text(&w->prefixes[i], buf));
			json_num(item, "bans", n);
		} else if (n) {
			say(f->o, "unbanned %s%s%s", prefix_text(&w->prefixes[i], buf), owner ? " of source " : "", owner ?: "");
		}
		if (!n)
			diag_note(f->d, "%s was not banned%s%s", prefix_text(&w->prefixes[i], buf), owner ? " by source " : "", owner ?: "");
		err = tell_covered(f, &w->prefixes[i]);
	}
	return err;
}

int verb_unban(const struct options *o, int argc, char **argv)
{
	__cleanup_json json_object *doc = o->json ? json_document() : NULL;
	struct diag d = { 0 };
	struct ban_feed f = { .o = o, .d = &d, .force = true };
	struct ban_wish w = { 0 };
	int err, closed;

	if (argc < 2)
		return verb_end(o, &d, usage_error(&d, "unban", "unban whom? for example `mxdp unban 192.0.2.7`"));
	if (ban_words_verb(&f, BAN_DEL, argc - 1, argv + 1, &w))
		return verb_end(o, &d, EXIT_USAGE);
	err = feed_open(&f);
	if (!err) {
		err = unban_each(&f, &w, doc ? json_list(doc, "unbanned") : NULL);
		closed = feed_close(&f);
		err = err ?: closed;
	}
	ban_wish_free(&w);
	if (!err && doc)
		json_print(doc, stdout);
	return verb_end(o, &d, err ? exit_of(err) : EXIT_DONE);
}

/* ---- flush ---- */

int verb_flush(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };
	struct ban_feed f = { .o = o, .d = &d, .bulk = true };
	const char *owner = argc == 4 && !strcmp(argv[2], "source") ? argv[3] : NULL;
	size_t n = 0;
	int err, closed;

	if (argc < 2 || strcmp(argv[1], "bans") || (argc != 2 && !owner))
		return verb_end(o, &d, usage_error(&d, "flush", argc < 2 ? "flush what?" : "flush takes `bans` or `bans source TAG`"));
	err = feed_open(&f);
	if (!err) {
		err = dp_bans_flush(f.table, owner, &n, &d);
		closed = feed_close(&f);
		err = err ?: closed;
	}
	if (!err && o->json) {
		__cleanup_json json_object *doc = json_document();

		json_num(doc, "lifted", n);
		json_print(doc, stdout);
	} else if (!err) {
		say(o, "lifted %zu ban%s%s%s", n, n == 1 ? "" : "s", owner ? " of source " : "", owner ?: "");
	}
	return verb_end(o, &d, err ? exit_of(err) : EXIT_DONE);
}

/* ---- query ---- */

static int query_table(struct datapath *dp, const struct prefix *p, struct ban **v, size_t *n, struct diag *d)
{
	struct dp_bans *t;
	int err = dp_bans_open(&t, dp, false, d);

	if (err)
		return err;
	err = dp_bans_of(t, p, v, n, d);
	dp_bans_close(t, d);
	return err;
}

static int query_end(const struct options *o, struct diag *d, const struct ban *v, size_t n)
{
	__cleanup_json json_object *doc = o->json ? json_document() : NULL;
	json_object *list;

	if (doc) {
		json_yes(doc, "answer", n > 0);
		list = json_list(doc, "bans");
		for (size_t i = 0; i < n; i++)
			ban_json(json_item(list), &v[i]);
		json_print(doc, stdout);
	} else if (!o->quiet) {
		puts(n ? "yes" : "no");
		for (size_t i = 0; i < n; i++) {
			__cleanup_free char *text = ban_told(&v[i]);

			say(o, "%s", text);
		}
	}
	return look_end(o, d, n ? EXIT_DONE : EXIT_NO);
}

int ban_query(const struct options *o, int argc, char **argv)
{
	__cleanup_free struct ban *v = NULL;
	__cleanup_free char *why = NULL;
	struct datapath *dp = NULL;
	struct diag d = { 0 };
	struct prefix p;
	size_t n = 0;
	int err;

	if (argc != 2)
		return verb_end(o, &d, usage_error(&d, "query", "`query ban` asks about one address or prefix"));
	if (word_prefix(argv[1], strlen(argv[1]), &p, &why))
		return verb_end(o, &d, usage_error(&d, "query", "%s", why));
	err = dp_open(&dp, o->bpffs, DP_LOOK, &d);
	if (err == -ENOENT && !d.errors)
		err = no_filter(o, &d);
	err = err ?: query_table(dp, &p, &v, &n, &d);
	if (dp)
		dp_close(dp);
	return err ? verb_end(o, &d, exit_of(err)) : query_end(o, &d, v, n);
}
