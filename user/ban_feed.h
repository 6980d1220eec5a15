/* SPDX-License-Identifier: GPL-2.0-only */
/* Wishes for bans carried out: what `ban`, `unban`, `ban --stdin` and `restore` have in common. */
#ifndef MXDP_BAN_FEED_H
#define MXDP_BAN_FEED_H

#include <json-c/json.h>
#include "bans.h"
#include "verbs.h"

struct ban_feed {
	const struct options *o;
	struct diag *d;
	struct ban_defaults def;
	enum ban_format format;
	bool force;        /* no floor for short prefixes, no care for the operator's own address */
	bool bulk;         /* many wishes: tables are mapped whole */
	const char *name;  /* of the file, for messages; NULL: the command line */

	struct datapath *dp;
	struct dp_bans *table;
	struct rules rules; /* in force, read when a message needs them */
	bool thawed;

	unsigned long line;
	size_t banned, lifted, over, refused; /* over: their time was over before */
};

/* Opens the pins, with the lock, for as long as feed_close() is not called. -ENOENT with a message: not loaded. */
int feed_open(struct ban_feed *f);
int feed_close(struct ban_feed *f);
/* All prefixes of the wish, or none: what cannot be is said in f->d. */
int feed_wish(struct ban_feed *f, const struct ban_wish *w);
/* Lifts the bans of the i-th prefix; a bare IPv6 address stands for its network and for itself. */
int feed_unban(struct ban_feed *f, const struct ban_wish *w, size_t i, size_t *n);
/* Lines from fd to its end; each chunk is in force before the next is waited for. What is wrong with a line is said at once on stderr. */
int feed_lines(struct ban_feed *f, int fd);
/* The sentence that says of p, or of something p touches, that it is exempt or admin (or blocked); NULL. */
const struct stmt *feed_sentence(struct ban_feed *f, const struct prefix *p, bool blocked);

int64_t wall_ms(void);
/* One line about a ban, for people. Malloc'd. */
char *ban_told(const struct ban *b);
void ban_json(json_object *o, const struct ban *b);
int ban_query(const struct options *o, int argc, char **argv); /* `query ban ADDR` */
int no_filter(const struct options *o, struct diag *d);       /* says that mxdp is not loaded; -ENOENT */
/* len6 of --prefix6; 0 when not said; -EINVAL with a message. */
int option_len6(const struct options *o, uint8_t *len6, struct diag *d);

#endif
