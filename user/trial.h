/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What goes with putting a policy in force, on trial or for good: how long the trial is, what is kept on disk for the way
 * back, and what the operator is told. The trial itself is the datapath's.
 */
#ifndef MXDP_TRIAL_H
#define MXDP_TRIAL_H

#include "change.h"
#include "keep.h"
#include "operator.h"

struct plan {
	struct operator op;
	unsigned int seconds; /* of the trial; 0: for good */
	bool asked;           /* --confirm was said */
};
/* --confirm and --no-confirm, or 60 s when run over SSH. 0 or EXIT_USAGE with d filled. */
int plan_make(struct plan *p, const struct options *o, struct diag *d);

/* What is put, for those who read of it later. */
struct occasion {
	const struct plan *plan;
	const char *what;          /* "apply /etc/mxdp/mxdp.conf" */
	const char *main_file;     /* copies of it and its like are kept; NULL: none */
	const struct rules *r;     /* what is put */
	const struct rules *before; /* what is in force; NULL: nothing */
	const char *attach;        /* `attach`, on trial: the sentence to be written later */
	bool all;                  /* confirm detaches what r does not name, and attaches what it does */
	bool files;                /* r is what the files say, and a boot may begin with them */
};
/*
 * Before a trial: keeps what is in force, for the history and for a reboot in mid-trial. `epoch` is the one that it will
 * have. Exit code with d filled: without a place to keep it there is no trial.
 */
int trial_prepare(const struct options *o, const struct occasion *x, uint32_t epoch, struct diag *d);
/* It did not come to it: undoes trial_prepare(). */
void trial_abandon(const struct options *o);
/* After a policy was put for good; what goes wrong here is a warning, for it is in force. */
void put_for_good(const struct options *o, const struct occasion *x, struct diag *d);
/* Before `rollback` puts a policy of the history: what is in force goes there too. Behind it: the history's current one. */
void rollback_prepare(const struct options *o, const struct rules *before, struct diag *d);
void rolled_back(const struct options *o, unsigned int id, const struct rules *r, struct diag *d);
/* The same for a sentence: as long as the files are not what a boot begins with, it belongs to what is. */
void changed_for_good(const struct options *o, const struct rules *r, struct diag *d);
/* What confirm does on disk. */
void trial_confirmed(const struct options *o, const struct kept *trial, struct diag *d);

/* The trial that `trial` in the state directory speaks of is the one that runs, or ran last, here. */
bool trial_read(const struct options *o, const struct dp_trial *t, struct kept *about, struct diag *d);
/* Do both say the same? */
bool rules_equal(const struct rules *a, const struct rules *b);

void trial_tell(const struct options *o, unsigned int seconds);
/* --wait: until it is confirmed (EXIT_DONE) or over (EXIT_ROLLED_BACK). */
int trial_wait(const struct options *o, struct diag *d);
/* For `status` and `diff`: why the files need not say what is in force, or NULL. Malloc'd. */
char *trial_why(const struct options *o, const struct dp_trial *t);
/* What to begin with at boot in place of the files. -ENOENT: the files. */
int boot_rules(const struct options *o, struct kept *about, struct rules *r, struct diag *d);
/* The last policy that was in force for good. -ENOENT: none is kept. */
int last_policy(const struct options *o, struct kept *about, struct rules *r, struct diag *d);
/* Is there such a thing from an earlier boot? */
bool boot_is_due(const struct options *o);

#endif
