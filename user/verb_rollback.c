// SPDX-License-Identifier: GPL-2.0-only
/* `rollback`: out of a trial, or back in the history of policies that were in force for good. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "out.h"
#include "tell.h"
#include "trial.h"

struct rollback {
	const struct options *o;
	struct diag *d;
	struct datapath *dp;
	struct keep keep;
	struct standing was;
	struct rules before, to;
	struct kept about; /* of `to` */
};

static void rollback_free(struct rollback *b)
{
	dp_release(&b->dp);
	keep_close(&b->keep);
	standing_free(&b->was);
	rules_free(&b->before);
	rules_free(&b->to);
	kept_free(&b->about);
}

static int end_trial(struct rollback *b, const struct dp_trial *t)
{
	if (dp_take_back(b->dp, b->d))
		return EXIT_KERNEL;
	trial_abandon(b->o);
	if (t->first)
		say(b->o, "the trial is ended: nothing is filtered, as before it");
	else
		say(b->o, "the trial is ended: what was in force before it is in force again; the rules files are as they were");
	return EXIT_DONE;
}

/* -ENOENT, without a message: not that one. */
static int take_policy(struct rollback *b, unsigned int id, bool other)
{
	struct rules r = { 0 };
	struct kept about = { 0 };
	int err = history_read(&b->keep, id, &about, &r, b->d);

	if (!err && other && rules_equal(&r, &b->before))
		err = -ENOENT;
	if (err) {
		rules_free(&r);
		kept_free(&about);
		return err;
	}
	b->to = r;
	b->about = about;
	return 0;
}

/* The current one, when something else is in force; otherwise the next older one that says something else. */
static int choose(struct rollback *b, unsigned int id)
{
	unsigned int current;
	struct kept *v;
	size_t n;
	int err = history_list(&b->keep, &v, &n, &current, b->d);

	if (err)
		return EXIT_KERNEL;
	err = -ENOENT;
	for (size_t i = 0; i < n && err == -ENOENT; i++)
		if (id ? v[i].id == id : v[i].id <= current)
			err = take_policy(b, v[i].id, !id);
	history_free(v, n);
	if (!err)
		return EXIT_DONE;
	if (err != -ENOENT)
		return EXIT_KERNEL;
	if (id)
		diag_error(b->d, "there is no policy %u in the history; `mxdp show history` lists them", id);
	else
		diag_error(b->d, "the history holds no policy before the one in force; `mxdp show history` lists them");
	return EXIT_USAGE;
}

static int go_back(struct rollback *b, unsigned int id)
{
	const struct options *o = b->o;
	char at[OUT_TEXT];
	int code;

	if (keep_open(&b->keep, o->state, false, b->d)) {
		if (!b->d->errors)
			diag_error(b->d, "%s: no policy is kept there yet, so there is nothing to go back to", o->state);
		return EXIT_USAGE;
	}
	code = choose(b, id);
	if (code)
		return code;
	if (cuts_operator(o, &b->to, &b->before, b->d) || shuts_everybody(o, &b->to, &b->before, NULL, b->d))
		return EXIT_USAGE;
	rollback_prepare(o, &b->before, b->d);
	code = put_in_force(b->dp, &b->to, &b->was, PUT_ALL, NULL, 0, b->d);
	if (code)
		return code;
	rolled_back(o, b->about.id, &b->to, b->d);
	say(o, "in force again: policy %u of %s, `%s`%s%s; the rules files are as they were", b->about.id,
	    text_time(b->about.at, at), b->about.what, b->about.who ? " by " : "", b->about.who ? b->about.who : "");
	return EXIT_DONE;
}

static int rollback(struct rollback *b, unsigned int id)
{
	struct dp_trial t;
	int err = dp_open(&b->dp, b->o->bpffs, DP_CHANGE, b->d);

	if (err) {
		b->dp = NULL;
		if (err != -ENOENT)
			return EXIT_KERNEL;
		if (b->d->n) /* the open has said that it took a first policy back */
			return EXIT_DONE;
		diag_error(b->d, "mxdp is not loaded here, so nothing is in force that could be taken back");
		return EXIT_KERNEL;
	}
	if (dp_settled(b->dp) && !id)
		return EXIT_DONE;
	dp_trial(b->dp, &t);
	if (t.running && id) {
		diag_error(b->d, "a policy is on trial; `mxdp rollback` without a number ends that, then say this again");
		return EXIT_USAGE;
	}
	if (t.running)
		return end_trial(b, &t);
	if (standing_take(&b->was, b->dp, false, b->d) || rules_thaw(&b->before, b->was.frozen, b->was.nfrozen, b->d))
		return EXIT_KERNEL;
	return go_back(b, id);
}

int verb_rollback(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };
	unsigned long id = 0;
	sigset_t signals;
	int code;

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, "rollback", "too many words: \"%s\"", argv[2]));
	if (argc == 2 && (!argv[1][0] || argv[1][strspn(argv[1], "0123456789")] || strlen(argv[1]) > 6 ||
			  !(id = strtoul(argv[1], NULL, 10))))
		return verb_end(o, &d, usage_error(&d, "rollback", "\"%s\" is no number of `mxdp show history`", argv[1]));
	hold_signals(&signals);
	{
		__cleanup(rollback_free) struct rollback b = { .o = o, .d = &d, .keep.dir = -1 };

		code = rollback(&b, id);
	}
	release_signals(&signals);
	if (o->json && code == EXIT_DONE)
		json_done();
	return verb_end(o, &d, code);
}
