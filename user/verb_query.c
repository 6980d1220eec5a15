// SPDX-License-Identifier: GPL-2.0-only
/* `query SENTENCE`: is it so? Judged by the rules in force. Exit 0 yes, 1 no. */
#include <errno.h>
#include <string.h>
#include "ask.h"
#include "ban_feed.h"
#include "look.h"
#include "tell.h"

struct question {
	struct rules said; /* the one sentence */
	enum ask what;
};

static void question_free(struct question *q)
{
	rules_free(&q->said);
}

static bool kind_of_question(struct question *q, const struct stmt *s)
{
	switch (s->kind) {
	case STMT_ALLOW:
		q->what = ASK_OPENS;
		return true;
	case STMT_DENY:
		q->what = ASK_REFUSED;
		return true;
	case STMT_ADMIN:
		q->what = ASK_ADMIN;
		return true;
	case STMT_BLOCK:
		q->what = ASK_BLOCKED;
		return true;
	default:
		return false;
	}
}

static int parse_question(struct question *q, int argc, char **argv, struct diag *d)
{
	int err;

	if (argc < 2) {
		usage_error(d, "query", "query what? for example `mxdp query allow smtp from 192.0.2.9`");
		return -EINVAL;
	}
	err = rules_parse_args(&q->said, argc - 1, argv + 1, d);
	if (err)
		return err;
	if (q->said.n != 1 || !kind_of_question(q, &q->said.v[0])) {
		usage_error(d, "query", "`query` asks about allow, deny, admin or block");
		return -EINVAL;
	}
	return 0;
}

static int check_lists(const struct question *q, const struct rules *running, struct diag *d)
{
	const struct stmt *s = &q->said.v[0];

	for (size_t i = 0; i < s->nsources; i++) {
		if (s->sources[i].kind != SOURCE_LIST || rules_list(running, s->sources[i].list))
			continue;
		diag_error(d, "no list \"%s\" is in force; `mxdp show lists` names those that are", s->sources[i].list);
		return -EINVAL;
	}
	return 0;
}

static void answer_json(const struct question *q, bool yes, const struct ask_where *w)
{
	__cleanup_free char *text = stmt_text(&q->said.v[0]), *because = NULL;
	__cleanup_json json_object *doc = json_document();
	char buf[PREFIX_TEXT];
	json_object *but;

	json_str(doc, "question", text);
	json_yes(doc, "answer", yes);
	if (!yes && w->host.family) {
		but = json_sub(doc, "not_so_for");
		json_str(but, "source", prefix_text(&w->host, buf));
		if (w->port)
			json_num(but, "port", w->port);
		because = w->answer.because ? stmt_text(w->answer.because) : NULL;
		json_str(but, "because", because);
	}
	json_print(doc, stdout);
}

static bool asks_for_one(const struct stmt *s)
{
	const struct prefix *p = s->nsources == 1 && s->sources[0].kind == SOURCE_PREFIX ? &s->sources[0].prefix : NULL;

	return p && p->len == (p->family == 4 ? 32 : 128);
}

static void answer_text(const struct question *q, bool yes, const struct ask_where *w)
{
	__cleanup_free char *because = NULL, *place = NULL;
	char buf[PREFIX_TEXT];

	puts(yes ? "yes" : "no");
	if (yes || !w->host.family || !w->answer.because)
		return;
	because = stmt_text(w->answer.because);
	place = place_text(w->answer.because);
	fputs("because of `", stdout);
	put_escaped(because, stdout);
	fputs("` (", stdout);
	put_escaped(place, stdout);
	if (asks_for_one(&q->said.v[0]))
		puts(")");
	else
		printf("), for example from %s\n", prefix_text(&w->host, buf));
}

int verb_query(const struct options *o, int argc, char **argv)
{
	__cleanup(question_free) struct question q = { 0 };
	__cleanup_look struct look l = { 0 };
	struct ask_where w = { 0 };
	struct diag d = { 0 };
	bool yes;
	int err;

	if (argc > 1 && !strcmp(argv[1], "ban"))
		return ban_query(o, argc - 1, argv + 1);
	if (parse_question(&q, argc, argv, &d))
		return verb_end(o, &d, EXIT_USAGE);
	err = look_must_open(&l, o, &d);
	if (err)
		return verb_end(o, &d, err == -ENOENT ? EXIT_KERNEL : exit_code_of(err));
	if (check_lists(&q, &l.rules, &d))
		return verb_end(o, &d, EXIT_USAGE);
	yes = ask_rules(&l.rules, q.what, &q.said.v[0], &w);
	if (o->json)
		answer_json(&q, yes, &w);
	else if (!o->quiet)
		answer_text(&q, yes, &w);
	return look_end(o, &d, yes ? EXIT_DONE : EXIT_NO);
}
