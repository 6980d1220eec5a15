// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "look.h"
#include "tell.h"
#include "trial.h"

#define DEFAULT_SECONDS 60
#define LEAST_SECONDS 3
#define MOST_SECONDS 86400

int plan_make(struct plan *p, const struct options *o, struct diag *d)
{
	__cleanup_free char *why = NULL;
	int64_t seconds;

	*p = (struct plan){ .asked = o->confirm };
	operator_find(&p->op);
	if (o->confirm && o->no_confirm) {
		diag_error(d, "--confirm and --no-confirm contradict each other");
		return EXIT_USAGE;
	}
	if (!o->confirm) {
		p->seconds = o->no_confirm || !p->op.n ? 0 : DEFAULT_SECONDS;
		return EXIT_DONE;
	}
	if (word_duration(o->confirm, strlen(o->confirm), &seconds, &why) || seconds < LEAST_SECONDS ||
	    seconds > MOST_SECONDS) {
		diag_error(d, "--confirm wants a time from 3s to 1d, not \"%s\"; for good: --no-confirm", o->confirm);
		return EXIT_USAGE;
	}
	p->seconds = seconds;
	return EXIT_DONE;
}

bool rules_equal(const struct rules *a, const struct rules *b)
{
	struct config_view v = { 0 };
	bool same;

	config_compare(&v, a, b);
	same = v.state == CONFIG_SAME;
	config_view_free(&v);
	return same;
}

/* ---- what is kept ---- */

static struct kept about_of(const struct options *o, const struct occasion *x)
{
	return (struct kept){
		.at = time(NULL), .who = operator_name(&x->plan->op), .what = xstrdup(x->what),
		.comment = o->comment ? xstrdup(o->comment) : NULL,
	};
}

/* What is in force goes into the history before something else takes its place, unless it is there as the last. */
static int keep_standing(const struct keep *k, const struct occasion *x, struct diag *d)
{
	__cleanup_rules struct rules last = { 0 };
	__cleanup_kept struct kept was = { 0 }, about = { .at = time(NULL), .what = xasprintf("in force before `%s`", x->what) };
	unsigned int current;
	struct kept *v;
	size_t n;
	struct diag quiet = { 0 };
	int err = x->before ? history_list(k, &v, &n, &current, d) : 0;

	if (err || !x->before)
		return err;
	history_free(v, n);
	err = current ? history_read(k, current, &was, &last, &quiet) : -ENOENT;
	diag_free(&quiet);
	if (!err && rules_equal(&last, x->before))
		return 0;
	return history_add(k, &about, x->before, NULL, d);
}

/* A boot in mid-trial begins with this. */
static int keep_for_boot(const struct keep *k, const struct rules *r, const char *what, struct diag *d)
{
	__cleanup_kept struct kept about = { .at = time(NULL), .what = xstrdup(what), .boot_id = boot_id(), .nothing = !r };

	return keep_write(k, "boot", &about, r, NULL, d);
}

int trial_prepare(const struct options *o, const struct occasion *x, uint32_t epoch, struct diag *d)
{
	__cleanup_kept struct kept about = about_of(o, x);
	__cleanup_keep struct keep k = { .dir = -1 };
	int err = keep_open(&k, o->state, true, d);

	about.boot_id = boot_id();
	about.epoch = epoch;
	about.ways = operator_text(&x->plan->op);
	about.attach = x->attach ? xstrdup(x->attach) : NULL;
	about.all = x->all;
	if (!err)
		err = keep_standing(&k, x, d);
	if (!err)
		err = keep_write(&k, "trial", &about, x->r, x->main_file, d);
	/* `attach` leaves the files alone until it is confirmed, and with them what a boot begins with */
	if (!err && x->files)
		err = keep_for_boot(&k, x->before, x->what, d);
	if (!err)
		return EXIT_DONE;
	diag_note(d, "nothing was changed: a trial keeps what to go back to at a reboot; --no-confirm does without");
	return EXIT_KERNEL;
}

void trial_abandon(const struct options *o)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	struct diag quiet = { 0 };

	/* what a boot begins with is left: it is what is in force now, as before */
	if (!keep_open(&k, o->state, false, &quiet))
		keep_remove(&k, "trial", &quiet);
	diag_free(&quiet);
}

/* What went wrong does not undo what was done. */
static void as_warnings(struct diag *d, struct diag *found, const char *what)
{
	for (size_t i = 0; i < found->n; i++)
		if (found->msg[i].level == DIAG_ERROR)
			diag_warn(d, "%s: %s", what, found->msg[i].text);
	diag_free(found);
}

static int add_to_history(const struct keep *k, const struct options *o, const struct occasion *x, struct diag *d)
{
	__cleanup_kept struct kept about = about_of(o, x), was = { 0 };
	__cleanup_rules struct rules last = { 0 };
	struct diag quiet = { 0 };
	unsigned int current;
	struct kept *v;
	size_t n;
	int err = history_list(k, &v, &n, &current, d);

	if (err)
		return err;
	history_free(v, n);
	err = current ? history_read(k, current, &was, &last, &quiet) : -ENOENT;
	diag_free(&quiet);
	/* a thousand reloads of one policy are one */
	if (!err && rules_equal(&last, x->r) && !o->comment)
		return 0;
	err = keep_standing(k, x, d);
	return err ? err : history_add(k, &about, x->r, x->main_file, d);
}

void put_for_good(const struct options *o, const struct occasion *x, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	struct diag found = { 0 };
	int err = keep_open(&k, o->state, true, &found);

	if (!err)
		err = add_to_history(&k, o, x, &found);
	/* the files are what is in force, and a boot begins with them */
	if (!err && x->files)
		err = keep_remove(&k, "boot", &found);
	if (!err)
		keep_remove(&k, "trial", &found);
	as_warnings(d, &found, "in force, but not in the history that `mxdp rollback` goes back in");
}

/* A boot begins with r, or with the files where they say it. */
static int boot_with(const struct keep *k, const struct options *o, const struct rules *r, const char *what, struct diag *d)
{
	__cleanup_rules struct rules file = { 0 };
	struct config_view v = { 0 };
	bool same;

	config_look(&v, o->config, r, &file);
	same = v.state == CONFIG_SAME;
	config_view_free(&v);
	return same ? keep_remove(k, "boot", d) : keep_for_boot(k, r, what, d);
}

void rollback_prepare(const struct options *o, const struct rules *before, struct diag *d)
{
	const struct occasion x = { .what = "rollback", .before = before };
	__cleanup_keep struct keep k = { .dir = -1 };
	struct diag found = { 0 };

	if (!keep_open(&k, o->state, true, &found))
		keep_standing(&k, &x, &found);
	as_warnings(d, &found, "what is in force now does not go into the history");
}

void rolled_back(const struct options *o, unsigned int id, const struct rules *r, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	struct diag found = { 0 };
	int err = keep_open(&k, o->state, true, &found);

	if (!err)
		err = history_set_current(&k, id, &found);
	if (!err)
		boot_with(&k, o, r, "rollback", &found);
	as_warnings(d, &found, "in force, but a reboot would not bring it back");
}

void changed_for_good(const struct options *o, const struct rules *r, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	__cleanup_kept struct kept about = { 0 };
	struct diag quiet = { 0 }, found = { 0 };

	if (keep_open(&k, o->state, false, &quiet) || keep_read(&k, "boot", &about, NULL, &quiet)) {
		diag_free(&quiet);
		return;
	}
	boot_with(&k, o, r, about.what, &found);
	as_warnings(d, &found, "in force, but a reboot would not bring it back");
}

void trial_confirmed(const struct options *o, const struct kept *trial, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	struct diag found = { 0 };
	int err = keep_open(&k, o->state, true, &found);

	if (!err && !trial->attach)
		err = keep_remove(&k, "boot", &found);
	if (!err)
		err = history_add_trial(&k, &found);
	as_warnings(d, &found, "confirmed and in force, but not in the history that `mxdp rollback` goes back in");
}

/* ---- what is told ---- */

bool trial_read(const struct options *o, const struct dp_trial *t, struct kept *about, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	__cleanup_free char *boot = boot_id();

	*about = (struct kept){ 0 };
	return !keep_open(&k, o->state, false, d) && !keep_read(&k, "trial", about, NULL, d) && about->epoch == t->epoch &&
	       about->boot_id && !strcmp(about->boot_id, boot);
}

void trial_tell(const struct options *o, unsigned int seconds)
{
	char span[OUT_TEXT];

	say(o, "ON TRIAL for %s. Log in over a NEW connection, for an open one proves nothing, and say there: mxdp confirm",
	    text_span(seconds, span));
	say(o, "Otherwise what was in force before comes back by itself; `mxdp rollback` does it at once.");
}

int trial_wait(const struct options *o, struct diag *d)
{
	const struct timespec step = { .tv_nsec = 200 * 1000 * 1000 };

	for (;; nanosleep(&step, NULL)) {
		__cleanup_dp struct datapath *dp = NULL;
		struct dp_trial t;
		int err = dp_open(&dp, o->bpffs, DP_LOOK, d);

		if (err) {
			dp = NULL;
			return err == -ENOENT ? EXIT_ROLLED_BACK : EXIT_KERNEL;
		}
		dp_trial(dp, &t);
		if (!t.running)
			return t.end == DP_TRIAL_CONFIRMED ? EXIT_DONE : EXIT_ROLLED_BACK;
	}
}

char *trial_why(const struct options *o, const struct dp_trial *t)
{
	__cleanup_kept struct kept about = { 0 }, trial = { 0 };
	__cleanup_keep struct keep k = { .dir = -1 };
	struct diag quiet = { 0 };
	char at[OUT_TEXT], *why = NULL;
	bool held = !keep_open(&k, o->state, false, &quiet) && !keep_read(&k, "boot", &about, NULL, &quiet);

	if (held && !t->running) {
		text_time(about.at, at);
		if (trial_read(o, t, &trial, &quiet) && t->end == DP_TRIAL_CONFIRMED)
			why = xasprintf("`%s` of %s was confirmed, but the command was cut short: `mxdp confirm` finishes it",
					about.what, at);
		else
			why = xasprintf("`%s` of %s %s; a boot begins with what is in force now, until an `mxdp apply` is "
					"confirmed", about.what, at, !strcmp(about.what, "rollback") ? "left the files as they are" :
					"was not confirmed, and left the files as they are");
	}
	diag_free(&quiet);
	return why;
}

int boot_rules(const struct options *o, struct kept *about, struct rules *r, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };

	return keep_open(&k, o->state, false, d) ?: keep_read(&k, "boot", about, r, d);
}

int last_policy(const struct options *o, struct kept *about, struct rules *r, struct diag *d)
{
	__cleanup_keep struct keep k = { .dir = -1 };
	unsigned int current;
	struct kept *v;
	size_t n;
	int err = keep_open(&k, o->state, false, d) ?: history_list(&k, &v, &n, &current, d);

	if (err)
		return err;
	history_free(v, n);
	return current ? history_read(&k, current, about, r, d) : -ENOENT;
}

bool boot_is_due(const struct options *o)
{
	__cleanup_kept struct kept about = { 0 };
	__cleanup_free char *now = boot_id();
	struct diag quiet = { 0 };
	bool due = !boot_rules(o, &about, NULL, &quiet) && about.boot_id && strcmp(about.boot_id, now);

	diag_free(&quiet);
	return due;
}
