/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A change: the rules in force and the files, edited together, put in force
 * and written in one go, or both left as they were.
 *
 * Order of locks: the main file, then a list file, then the pins. They are held
 * from change_begin() to change_end(), so that of two commands at once the
 * second one edits what the first one left.
 */
#ifndef MXDP_CHANGE_H
#define MXDP_CHANGE_H

#include <signal.h>
#include "verbs.h"

struct operator;

/* What was in force before a change, to go back to. */
struct standing {
	bool loaded;
	void *frozen; /* NULL although loaded: what is in force cannot be read, somebody else wrote into its copy */
	size_t nfrozen;
	struct dp_iface *ifaces;
	size_t nifaces;
};
/* `mend`: rules that cannot be read are no error, only to be replaced; a warning says so. */
int standing_take(struct standing *was, struct datapath *dp, bool mend, struct diag *d);
/* Rules and interfaces as they were; nothing at all when nothing was loaded. Says so when that fails too. */
void standing_restore(const struct standing *was, struct datapath *dp, struct diag *d);
void standing_free(struct standing *was);
#define __cleanup_standing __cleanup(standing_free)

struct change {
	const struct options *o;
	struct diag *d;

	struct conffile file;   /* path NULL: --runtime, no file is touched */
	struct rules written;   /* sentences of the main file as it was opened */
	struct rules dropins;   /* sentences of conf.d */
	struct conffile listed; /* a list's own file, when it is edited; path NULL otherwise */

	struct datapath *dp;    /* NULL: not loaded */
	bool loaded;            /* a policy is in force */
	struct rules running;   /* in force; edits are made here */
	struct standing was;

	bool file_edited, listed_edited, running_edited;
	const char *listed_is; /* name of the list in force that says what `listed` says now; NULL: none does */
	const struct stmt *attach; /* attach this interface too; loads the files when nothing is loaded */
	const char *detach;     /* take the filter off this one */
	struct lists_past past; /* for lists that the first attach reads */
	const struct plan *plan; /* `attach`: on trial, or for good (trial.h); NULL otherwise */
};

/*
 * Opens and locks both sides. With `create` a missing main file is begun with a short header (and written only by
 * change_commit()); without it, -ENOENT. --runtime leaves the files alone and needs a loaded filter unless `attach` is set.
 * Returns an exit code with d filled. change_end() is due in any case.
 */
int change_begin(struct change *c, const struct options *o, struct diag *d, bool create);
/* Checks files and rules as edited, puts them in force, attaches and detaches, writes; or takes all of it back. */
int change_commit(struct change *c);
void change_end(struct change *c);
#define __cleanup_change __cleanup(change_end)

/* The sentence that s takes the place of: the same one, or the one of its kind where there can be only one
 * (default, observe, track, an interface by name, a list by name). */
struct stmt *change_standing(const struct rules *r, const struct stmt *s);
/* The same sentence, wherever it stands in the files; NULL when in none. */
const struct stmt *change_in_files(const struct change *c, const struct stmt *s);
enum unsay { UNSAY_SAME, UNSAY_BY_NAME }; /* by name: the interface or list of that name, whatever else is said of it */
/* Says a sentence (adds it or replaces its predecessor) or takes it back, on both sides. Nothing is done where it is so
 * already. -EINVAL with d filled when the sentence to replace or remove stands in a drop-in. */
int change_say(struct change *c, const struct stmt *s);
int change_unsay(struct change *c, const struct stmt *s, enum unsay how);
bool file_exists(const char *path);
/* From the root, malloc'd. */
char *path_absolute(const char *path);

/*
 * Adds to r, which stands, what was said with --runtime among the sentences `running`, and returns how many. A warning for
 * each that does not go with r.
 */
size_t rules_keep_runtime(struct rules *r, const struct rules *running, struct diag *d);

/* How a sentence stood before the change, for the message. */
struct outcome {
	bool was_in_force; /* nothing had to be done to what is in force */
	bool was_written;  /* nor to the files */
	bool taken_back;   /* the change takes it back: "was" means that it was not there */
	char *place;       /* where it stood in the files, or NULL */
};
struct outcome outcome_of(const struct change *c, const struct stmt *s);
void outcome_free(struct outcome *x);
/* One line or a JSON object: `done` is "allowed smtp (25) from any", `sentence` its canonical text. After the commit. */
void tell_change(const struct change *c, const struct outcome *x, const char *sentence, const char *done);

/* ---- putting rules in force ---- */

/* Which interfaces a change touches: one by name, all that the rules name (and no others), or none. */
enum put_ifaces { PUT_NONE, PUT_ONE, PUT_ALL };
/*
 * Compiles r and puts it in force on dp, then attaches and detaches. When anything fails everything is as in `was` again.
 * Signals that ask to stop wait. `seconds` not 0: on trial; then what would be detached, or run in another mode, waits
 * for interfaces_as_said(). Exit code with d filled.
 */
int put_in_force(struct datapath *dp, const struct rules *r, const struct standing *was, enum put_ifaces which,
		 const char *ifname, unsigned int seconds, struct diag *d);
/* Attaches what r names, and detaches what it does not. */
int interfaces_as_said(struct datapath *dp, const struct rules *r, struct diag *d);
/* Compiles only. dp may be NULL. */
int would_compile(struct datapath *dp, const struct rules *r, struct diag *d);
void hold_signals(sigset_t *before);
void release_signals(const sigset_t *before);

/* Who could be locked out: whoever runs this command or, true, all who are logged in where nobody stands above it. (guard.c) */
bool find_operators(struct operator *op, const struct rules *before);
/*
 * Would r refuse a new SSH connection of the way the operator came by, and the rules before it not; or leave no admin
 * sentence? Says so. Always false with --force, and when r only observes. (guard.c)
 */
bool cuts_operator(const struct options *o, const struct rules *r, const struct rules *before, struct diag *d);
/* Warns when r lets nobody in at all. */
void warn_if_shut(const struct rules *r, struct diag *d);
/*
 * Would r let nobody in at all, where `before` (NULL: nothing was in force) let somebody? What a full disk or an unfinished
 * copy leaves of a file is not to close every port: says what would be lost, and names `file` (NULL: none is read). With
 * --force, or where nothing is dropped or lost: false, and a warning when nobody is let in.
 */
bool shuts_everybody(const struct options *o, const struct rules *r, const struct rules *before, const char *file,
		     struct diag *d);
size_t in_file(const struct rules *r, const char *file); /* how many sentences stand in that file */
const struct stmt *interface_named(const struct rules *r, const char *name); /* name NULL: any */

struct plan;
/* `attach`, by the sentence (verb_attach.c). Exit code with d filled. */
int attach_sentence(const struct options *o, const struct stmt *s, const struct plan *plan, struct diag *d);

/* `apply` (verb_apply.c); `reload` is the same on a filter that is attached already. */
int apply_main(const struct options *o, int argc, char **argv, bool only_loaded);

/* ---- differences (verb_diff.c) ---- */

/* Prints what `to` says other than `from`; returns whether they are equal. With json: an object instead of text. */
bool rules_differ_print(const struct rules *from, const struct rules *to, bool json);

void rules_drop(struct rules *r, size_t i); /* takes sentence i out */
#define __cleanup_dp __cleanup(dp_release)
void dp_release(struct datapath **dp);
#define __cleanup_rules __cleanup(rules_free)

#endif
