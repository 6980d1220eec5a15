/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the verbs that look have in common: everything that is in force, read from the kernel once, under the shared
 * lock.
 */
#ifndef MXDP_LOOK_H
#define MXDP_LOOK_H

#include "counts.h"
#include "datapath.h"
#include "out.h"
#include "rules.h"
#include "verbs.h"

struct look {
	struct datapath *dp;
	struct rules rules;
	struct service services[MXDP_SERVICES];
	uint8_t service_of[65536]; /* by port; 0 for ports that no rule names */
	struct dp_iface *ifaces;
	size_t nifaces;
	uint32_t epoch;
	bool observe;
	bool deny; /* the default */
};

/* 0; -ENOENT without a message when mxdp is not loaded here; else negative errno with d filled. look_close() is due in
 * any case. */
int look_open(struct look *l, const struct options *o, struct diag *d);
void look_close(struct look *l);
#define __cleanup_look __cleanup(look_close)

/* The end of a verb that has printed its document: messages go to stderr, no second document follows. Returns code. */
int look_end(const struct options *o, struct diag *d, int code);

/* look_open() for verbs that have nothing to show when mxdp is not loaded: says so in d. */
int look_must_open(struct look *l, const struct options *o, struct diag *d);

/* "smtp" for a single port that has a name (and numbers are not asked for), else the key; "no port" for PORTLESS. */
const char *service_name(const struct look *l, int service, bool numeric);

/* ---- interfaces ---- */

enum iface_state {
	IFACE_ATTACHED, /* filtered; iface_renamed() tells whether under another name */
	IFACE_MISSING,  /* named in the rules, not attached */
	IFACE_GONE,     /* there is no interface of this name any more */
	IFACE_OTHER,    /* the name was given to another interface, and that one is not filtered */
	IFACE_FOREIGN,  /* another XDP program runs there */
	IFACE_STRIPPED, /* nothing runs there: our program was taken off, or the interface was made anew */
};

struct iface_view {
	const char *name;
	const struct dp_iface *kernel; /* NULL when missing */
	enum iface_state state;
};

/* Those attached, then those that the rules name besides. Malloc'd array; the names belong to l. */
struct iface_view *look_ifaces(const struct look *l, size_t *n);
enum iface_state iface_state(const struct dp_iface *i);
/* Is what runs our program called something else now (i->now)? */
bool iface_renamed(const struct dp_iface *i);
/* "attached", "not-attached", "gone", "replaced", "foreign", "detached" */
const char *iface_state_name(enum iface_state s);
const char *iface_state_text(enum iface_state s); /* what it means and what to do, NULL for IFACE_ATTACHED */

/* o->iface narrows: is this one asked for? */
bool look_wants(const struct options *o, const char *ifname);
/* -ENODEV with a message when --interface names one that is not attached. */
int look_check_iface(const struct look *l, const struct options *o, struct diag *d);
/* Reads the counters of an interface into *c, made when NULL. */
int look_counts(const struct look *l, const char *ifname, struct dp_counts **c, struct diag *d);

/* ---- the file against what is in force ---- */

enum config_state { CONFIG_SAME, CONFIG_DIFFERS, CONFIG_MISSING, CONFIG_BROKEN };

struct config_view {
	enum config_state state;
	size_t only_file;    /* sentences not in force */
	size_t only_running; /* sentences in force that no file says */
	size_t lists;        /* lists whose contents differ */
	char *why;           /* CONFIG_BROKEN: the first error */
	struct lists_past past; /* lists whose files are refused, so that older contents stay in force */
};

/* Do both say the same, but for what inline lists hold? That is compared as lists. */
bool same_sentence(const struct stmt *a, const struct stmt *b);
/* How the file stands to the rules in force. Lists that only one of them has count as sentences. */
void config_look(struct config_view *v, const char *path, const struct rules *running, struct rules *file);
/* The comparing alone: only_file, only_running, lists and state. */
void config_compare(struct config_view *v, const struct rules *file, const struct rules *running);
void config_view_free(struct config_view *v);
const char *config_state_name(enum config_state s); /* "same", "differs", "missing", "broken" */

/* Prefixes of all lists, one list: of one family (4 or 6), or 0 for both. */
size_t list_count(const struct list *l, int family);

#endif
