/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Bans as an operator and his tools say them: the model, and the lines that
 * feeds bring. Knows nothing of BPF; the table is the datapath's.
 */
#ifndef MXDP_BAN_MODEL_H
#define MXDP_BAN_MODEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "rules.h"

#define BAN_TEXT 56  /* of an owner or a reason, with the final NUL */
#define BAN_RANGES 14
#define BAN_SECONDS 600 /* unless said: what fail2ban does */
#define BAN_OWNER "hand"
#define BAN_LEN6 64     /* what a bare IPv6 address stands for */

struct ban {
	struct prefix p;
	struct port_range ports[BAN_RANGES]; /* ascending, apart */
	size_t nports;     /* 0: any, and everything that is not TCP besides */
	char owner[BAN_TEXT];
	char reason[BAN_TEXT]; /* "" none */
	int64_t left_ms;   /* -1: for ever */
	int64_t age_s;     /* since it was made */
	uint64_t hits;
};

enum ban_verb { BAN_NOTHING, BAN_ADD, BAN_DEL };
enum ban_format { BAN_DETECT, BAN_PLAIN, BAN_CROWDSEC };

/* What a line, or a command line, asks for. */
struct ban_wish {
	enum ban_verb verb;
	struct ban ban;          /* p is that of the first of `prefixes` */
	struct prefix *prefixes; /* as banned: a bare IPv6 address is its network already */
	struct prefix *said;     /* the same as written */
	size_t n;
	bool owner_said;
	bool longest;            /* a ban that lasts longer stays */
	char *note;              /* or NULL */
};
void ban_wish_free(struct ban_wish *w);

/* What holds for lines that do not say otherwise. */
struct ban_defaults {
	const char *owner;  /* NULL: "hand" */
	uint8_t len6;       /* 0: BAN_LEN6 */
	int64_t now_ms;     /* wall clock, for `until` */
	bool owner_wins;    /* the command line's owner is everybody's */
};

/*
 * The words behind `ban` or `unban`: ADDR[/LEN]... [for D|until T] [port P] [source T] [reason TEXT]. 0, or -EINVAL with
 * *why set (malloc'd).
 */
int ban_words(struct ban_wish *w, enum ban_verb verb, const struct ban_defaults *def, int n, char *const word[], char **why);

/* One line of a feed, NUL-terminated (it is written to). BAN_NOTHING for empty lines and comments. *format is set by the first that says. */
int ban_line(struct ban_wish *w, enum ban_format *format, const struct ban_defaults *def, char *line, char **why);

/* The line that ban_line() reads back, without newline; `until` is wall clock. Malloc'd. */
char *ban_saved(const struct ban *b, int64_t now_ms);

/* "any" or "25,465-587"; malloc'd. */
char *ban_ports_text(const struct ban *b);
/* "for 10m", "for ever" */
#define BAN_SPAN 40
const char *ban_span(int64_t ms, char buf[BAN_SPAN]);
bool ban_has_port(const struct ban *b, uint16_t port);
/* By address, owner, ports. */
int ban_cmp(const void *a, const void *b);

#endif
