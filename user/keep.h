/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Policies kept on disk, in the state directory (--state, MXDP_STATE, /var/lib/mxdp; 0700):
 *
 *   history/000007   a policy that was put in force for good; the last ten
 *   history/current  the number of the last one
 *   trial            the policy on trial, and who began it; becomes one of the history when it is confirmed
 *   boot             what to begin with at boot in place of the rules files, as long as nobody has confirmed what they say
 *
 * Each is a directory: `about`; `policy`, the sentences with their places; lists/NAME, what each list held; files/, copies of
 * the files as they were, with their paths in files/INDEX. It is written beside and renamed, so that it is there whole or
 * not at all. The rules files themselves are never touched from here.
 *
 * Written only while the pins are locked for a change. Nothing here is asked while packets are judged: who loses this
 * directory loses the history, and at a reboot in mid-trial the way back.
 */
#ifndef MXDP_KEEP_H
#define MXDP_KEEP_H

#include <stdbool.h>
#include <stdint.h>
#include "diag.h"
#include "rules.h"

#define KEEP_POLICIES 10u

struct kept {
	unsigned int id;   /* of the history */
	int64_t at;        /* wall clock, seconds */
	char *who;         /* "alice from 192.0.2.7" */
	char *what;        /* "apply /etc/mxdp/mxdp.conf" */
	char *comment;     /* --comment, or NULL */
	bool nothing;      /* boot: nothing was in force */

	/* trial */
	char *boot_id;     /* of this boot, and with the epoch the name of the trial */
	uint32_t epoch;
	char *ways;        /* the connections it was begun over, one a line, as operator_text() has them */
	char *attach;      /* the sentence of `attach`, to be written when it is confirmed */
	bool all;          /* interfaces that the policy does not name are detached when it is confirmed */
};
void kept_free(struct kept *k);
#define __cleanup_kept __cleanup(kept_free)

/* Where: an open state directory. */
struct keep {
	const char *path;
	int dir; /* -1 */
};
/* Makes the directory when it is missing and `make`. -ENOENT without a message otherwise; refuses one that is not ours. */
int keep_open(struct keep *k, const char *path, bool make, struct diag *d);
void keep_close(struct keep *k);
#define __cleanup_keep __cleanup(keep_close)

/* `name` is "trial" or "boot". r NULL: no policy, about->nothing is set. main_file NULL: no copies of files. */
int keep_write(const struct keep *k, const char *name, const struct kept *about, const struct rules *r,
	       const char *main_file, struct diag *d);
/* -ENOENT, without a message: there is none. r NULL: only about. */
int keep_read(const struct keep *k, const char *name, struct kept *about, struct rules *r, struct diag *d);
int keep_remove(const struct keep *k, const char *name, struct diag *d);

/* ---- history ---- */

/* Adds a policy, makes it the current one and forgets those beyond the last ten. from_trial: it is what lies in `trial`. */
int history_add(const struct keep *k, const struct kept *about, const struct rules *r, const char *main_file,
		struct diag *d);
int history_add_trial(const struct keep *k, struct diag *d);
/* The newest first; `current`: the number of the one last put in force for good, 0 none. *v is malloc'd. */
int history_list(const struct keep *k, struct kept **v, size_t *n, unsigned int *current, struct diag *d);
void history_free(struct kept *v, size_t n);
int history_read(const struct keep *k, unsigned int id, struct kept *about, struct rules *r, struct diag *d);
int history_set_current(const struct keep *k, unsigned int id, struct diag *d);

/* "2f6ae13c-..."; MXDP_BOOT_ID for tests of a reboot. Malloc'd. */
char *boot_id(void);

#endif
