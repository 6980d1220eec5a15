// SPDX-License-Identifier: GPL-2.0-only
/* `confirm`: the policy on trial holds for good. */
#include <errno.h>
#include <string.h>
#include "tell.h"
#include "trial.h"

static int too_late(struct diag *d)
{
	diag_error(d, "too late: the time was over, and what was in force before it is in force again; see `mxdp diff`, then "
		      "`mxdp apply` once more");
	return EXIT_ROLLED_BACK;
}

static int same_connection(struct diag *d)
{
	diag_error(d, "this is the very connection over which the trial was begun; it is open and stays open whatever the "
		      "policy says. Log in anew, and say `mxdp confirm` there; --force takes it all the same");
	return EXIT_USAGE;
}

/* What waited for it: interfaces, the history, the sentence of `attach`. May be done again after a kill. */
static int finish(const struct options *o, struct datapath **dp, const struct kept *trial, struct diag *d)
{
	__cleanup_rules struct rules r = { 0 }, said = { 0 };
	const struct plan plan = { .seconds = 0 };
	int code = EXIT_DONE;

	if (trial->all && (running_rules(o, *dp, &r, d) || interfaces_as_said(*dp, &r, d)))
		code = EXIT_PARTLY;
	trial_confirmed(o, trial, d);
	if (code || !trial->attach)
		return code;
	dp_release(dp);
	if (rules_parse(&said, "command line", trial->attach, strlen(trial->attach), d) || said.n != 1)
		return EXIT_PARTLY;
	return attach_sentence(o, &said.v[0], &plan, d) ? EXIT_PARTLY : EXIT_DONE;
}

static int confirm(const struct options *o, struct diag *d)
{
	__cleanup_kept struct kept trial = { 0 };
	__cleanup_dp struct datapath *dp = NULL;
	struct operator op;
	struct dp_trial t;
	int err = dp_open(&dp, o->bpffs, DP_CHANGE, d);
	bool known;

	if (err) {
		dp = NULL;
		if (err != -ENOENT)
			return EXIT_KERNEL;
		if (d->n) /* the open has said that it took a first policy back */
			return too_late(d);
		diag_error(d, "mxdp is not loaded here, so no policy is on trial");
		return EXIT_KERNEL;
	}
	if (dp_settled(dp))
		return too_late(d);
	dp_trial(dp, &t);
	known = trial_read(o, &t, &trial, d);
	if (!t.running && known && t.end == DP_TRIAL_CONFIRMED)
		return finish(o, &dp, &trial, d);
	if (!t.running) {
		say(o, "already so: no policy is on trial");
		return EXIT_DONE;
	}
	operator_find(&op);
	if (!o->force && known && operator_same(&op, trial.ways))
		return same_connection(d);
	err = dp_confirm(dp, d);
	if (err)
		return err == -ETIME ? too_late(d) : EXIT_KERNEL;
	say(o, "confirmed: the policy holds for good");
	return finish(o, &dp, &trial, d);
}

int verb_confirm(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };
	sigset_t signals;
	int code;

	if (argc > 1)
		return verb_end(o, &d, usage_error(&d, "confirm", "confirm takes no words, \"%s\" is one", argv[1]));
	hold_signals(&signals);
	code = confirm(o, &d);
	release_signals(&signals);
	if (o->json && code == EXIT_DONE)
		json_done();
	return verb_end(o, &d, code);
}
