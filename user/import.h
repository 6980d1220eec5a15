/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Import: an old firewall as one plain model, whatever language it was written
 * in. A dialect reads text into chains of rules; the evaluator asks them about
 * every kind of new TCP connection there is; the printer says the answers as
 * sentences of ours. Nothing here reads the kernel or changes anything.
 *
 * Everything hangs on one struct import and goes with import_free().
 */
#ifndef MXDP_IMPORT_H
#define MXDP_IMPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include "diag.h"
#include "rules.h"

/* ---- the model ---- */

#define IM_V4 1u
#define IM_V6 2u
#define IM_BOTH (IM_V4 | IM_V6)

typedef unsigned __int128 im_addr; /* host order; IPv4 in the low 32 bits */

/* Addresses of both families ([0] IPv4, [1] IPv6) as spans, in any order, overlapping or not, until im_addrs_sort(). */
struct im_span {
	im_addr lo, hi;
};
struct im_addrs {
	struct im_span *v[2];
	size_t n[2];
	bool sorted;
};

/* A set that has a name, as of ipset or nft; `known` when the text holds its elements. */
struct im_set {
	const char *name, *table;
	struct im_addrs addrs;
	struct port_range *ports; /* a set of ports */
	size_t nports;
	struct im_rule **map;     /* a verdict map: one rule for each element, with its own matches and action */
	size_t nmap;
	bool known;
};

struct im_place {
	const char *path;
	unsigned int line; /* 0: of no line, but of the whole */
};

/* What a limit counts. Evaluated as for a source that is far below it; the printer says what became of the rest. */
enum im_counts { IM_COUNTS_SOURCE, IM_COUNTS_ALL, IM_COUNTS_CONNECTIONS };
struct im_rate {
	enum im_counts counts;
	bool over;                 /* matches what is beyond the limit, not what is below */
	bool exact;                /* a bucket with a rate and a burst, or a count of connections: ours are the same */
	unsigned long n, seconds;  /* n in so many seconds; connections: n */
	unsigned long burst;
	unsigned int len4, len6;   /* how many bits of the address make a source */
};

enum im_kind {
	IM_NEVER,    /* never true of a new TCP connection from outside; text says why */
	IM_FAMILY,   /* value: IM_V4, IM_V6 */
	IM_PROTO,    /* value: protocol number; or several, in ports */
	IM_STATE,    /* value: states it accepts */
	IM_FLAGS,    /* (flags & mask) == value */
	IM_SOURCE,   /* addrs, or set */
	IM_DEST,     /* addrs */
	IM_PORT,     /* ports: destination port, of TCP or UDP */
	IM_SPORT,    /* ports: source port */
	IM_IFACE,    /* text: names with commas between, a '+' at the end of one for any ending */
	IM_ICMP6,    /* ports: types of ICMPv6 */
	IM_RATE,
	IM_MAYBE,    /* nobody knows from here; text says what it asks */
};

#define IM_NEW 1u
#define IM_ESTABLISHED 2u
#define IM_RELATED 4u
#define IM_INVALID 8u
#define IM_UNTRACKED 16u

struct im_match {
	enum im_kind kind;
	bool no; /* negated */
	unsigned int value, mask;
	const char *text;
	struct im_addrs *addrs;
	struct im_set *set; /* SOURCE, PORT: instead of addrs, ports */
	struct port_range *ports;
	size_t nports;
	struct im_rate rate;
};

enum im_action { IM_CONTINUE, IM_ACCEPT, IM_DROP, IM_REJECT, IM_RETURN, IM_JUMP, IM_GOTO, IM_NOTRACK, IM_MAP };

struct im_rule {
	struct im_place at;
	const char *text;         /* as it stood */
	struct im_match *m;
	size_t n;
	enum im_action action;
	const char *target;       /* JUMP, GOTO: the chain; CONTINUE: what it does (LOG) */
	struct im_set *map;       /* MAP */
	bool reset;               /* REJECT by RST */
	bool bare;                /* a line of a rules file, no command */
	bool stock;               /* what the old tool always says; nobody wrote it, so nobody is told of it */
	const char *key;          /* its words, for -D */

	/* found by evaluating */
	struct im_chain *chain, *to;
	bool decides, closes, opens, limits, carried, seen, cuts;
	bool counts_open;         /* its limit counts segments of open connections as well */
	bool over_reset;          /* what is over its limit is answered by RST */
	bool skip;                /* of another source or family than the node that is asked about */
	unsigned int sentences;   /* how many say its limit */
	unsigned int number;
	const struct im_rule *shadow;
};

enum im_hook { IM_NO_HOOK, IM_INGRESS, IM_PREROUTING, IM_INPUT, IM_ELSEWHERE };

struct im_chain {
	const char *name, *table;
	unsigned int families;
	enum im_hook hook;
	int priority;
	enum im_action policy;    /* of base chains: ACCEPT, DROP or REJECT */
	struct im_place policy_at;
	const char *policy_text;  /* NULL: nobody said it */
	struct im_rule **rule;
	size_t n;
	bool declared;            /* the text says that there is such a chain, and not only what is put into it */
	bool reached;             /* by some packet */
	bool cuts;                /* its policy refuses segments of open connections */
	bool inward;              /* rules of it are on the way in */
	const char *generated;    /* whose it is, when a daemon fills it with what holds for the moment: "fail2ban" */
};

enum im_level { IM_NOTE, IM_LOSS, IM_DANGER };

struct im_message {
	struct im_place at;
	enum im_level level;
	char *text;
	size_t order;
};

struct im_block;
struct import {
	struct im_block *blocks;
	struct im_chain **chain;
	size_t nchains;
	struct im_set **set;
	size_t nsets;
	struct im_message *msg;
	size_t nmsgs;
	const char *iface;        /* the packets' interface; "" when nobody named one */
	unsigned int families;    /* of which something was read */
	size_t understood;        /* commands and rules */
	size_t prose;             /* lines that are none */
	size_t ssh_comment;       /* a rule for port 22 that is commented out: its line */
	const char *dialect, *path;
	unsigned int nrules;
	void *firewalld;          /* its zones, until the last text was read */
	/* own addresses as destinations name them */
	im_addr own[2];
	bool has_own[2], many_own[2];
};

void import_free(struct import *im);

/* Memory that goes with im; zeroed. */
void *im_alloc(struct import *im, size_t n);
char *im_text(struct import *im, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
char *im_copy(struct import *im, const char *s, size_t n);
void *im_grow(struct import *im, void *v, size_t n, size_t size);
/* One more element at the end of v (n of them): a pointer to it, good until the next push. */
#define im_push(im, v, n) ({ (v) = im_grow(im, v, n, sizeof(*(v))); &(v)[(n)++]; })

/* "PATH:LINE: level: text"; the same words of the same place are said once. */
void im_say(struct import *im, struct im_place at, enum im_level level, const char *fmt, ...)
	__attribute__((format(printf, 4, 5)));

/* The text as a whole, for what is of no line. */
struct im_place im_place_of_import(const struct import *im);

struct im_chain *im_chain(struct import *im, unsigned int families, const char *table, const char *name); /* NULL */
struct im_chain *im_chain_made(struct import *im, unsigned int families, const char *table,
			       const char *name); /* found or made */
struct im_set *im_set(struct import *im, const char *table, const char *name, bool make);
struct im_rule *im_rule_new(struct import *im, struct im_place at, const char *text);
void im_rule_insert(struct import *im, struct im_chain *c, size_t i, struct im_rule *r);
void im_rule_remove(struct im_chain *c, size_t i);
struct im_match *im_match(struct import *im, struct im_rule *r, enum im_kind kind, bool no);
void im_match_ports(struct import *im, struct im_match *m, unsigned int lo, unsigned int hi);

void im_span(struct import *im, struct im_addrs *a, int six, im_addr lo, im_addr hi);
void im_prefix(struct import *im, struct im_addrs *a, const struct prefix *p);
/* "192.0.2.1", "192.0.2.0/24", "192.0.2.7/255.255.255.0", "192.0.2.1-192.0.2.9"; host bits are masked off. */
bool im_addr_word(struct import *im, struct im_addrs *a, const char *s);
void im_addrs_sort(struct im_addrs *a);
bool im_addrs_hold(const struct im_addrs *a, int six, im_addr x);
/* "25", "smtp", "1:1023", "1000-2000"; says so when the name is the IMAP3 trap. */
bool im_port_word(struct import *im, struct im_place at, const char *s, char between, struct port_range *out);

#define IM_WAY_BACK                                                                                                    \
	"the check of the way back is about forged sources; the kernel's rp_filter and the old firewall still do it "  \
	"behind mxdp"

/* ---- dialects: each reads a text into im ---- */

void import_iptables(struct import *im, const char *path, const char *text, unsigned int family);
void import_ufw(struct import *im, const char *path, const char *text);
void import_firewalld(struct import *im, const char *path, const char *text);
void import_firewalld_end(struct import *im);
void import_nft(struct import *im, const char *path, const char *text);

/* The TCP ports of a service or an application, as firewalld and ufw name them; "": it has none. */
struct im_service {
	const char *name;
	const char *tcp; /* "25", "80,443", "1024:65535" */
};
const char *im_profile_ports(const char *name); /* NULL: not known */
const char *im_service_ports(const char *name, bool *known);

/* ---- the evaluator and the printer ---- */

/*
 * The whole: evaluates what was read and prints the rules to `out`; messages are in im then. 0, or -EINVAL when what
 * was printed would not be understood (a fault of ours; said in d), -E2BIG when the old policy is too large to be
 * evaluated.
 */
int import_print(struct import *im, FILE *out, struct diag *d);
/* Messages, the worst first and then by place, one a line. Returns the worst level. */
enum im_level import_tell(struct import *im, FILE *to);

/* One text to one answer; for verb_import, the tests and the fuzzer. */
struct import_source {
	const char *dialect, *path, *text;
	size_t len;
};
bool import_dialect(const char *name);
int import_run(struct import *im, const struct import_source *v, size_t n, const char *iface, FILE *out,
	       struct diag *d);

#endif
