/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * `list add` and `list del` of a few prefixes, without reading, compiling or
 * writing what stays: for a list with a file, or for what is in force alone.
 */
#ifndef MXDP_LISTEDIT_H
#define MXDP_LISTEDIT_H

#include "verbs.h"

struct quick {
	const struct options *o;
	bool add;
	const char *name;
	const struct prefix *words; /* sorted, no duplicates */
	size_t n;
};

/*
 * -EAGAIN, without a message: this change is not of that kind, or there is no room for it, and nothing was done. Else an
 * exit code with d filled, and the operator told.
 */
int list_edit_quick(const struct quick *q, struct diag *d);

#endif
