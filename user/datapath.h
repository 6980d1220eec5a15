/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one module that talks to the kernel about BPF: load, attach, pins, banks, counters, probes. Knows images, not
 * sentences. All functions return 0 or a negative errno with the reason and the remedy in d.
 *
 * Pins, under BPFFS/mxdp (0700, owner and type checked):
 *   now/{state,banks,trie,lease,gates,conns} maps shared by all interfaces, replaced together when one must grow
 *   now/{bans,banned,banhead,bantexts}  the bans, likewise
 *   now/frozen0 now/frozen1         the rules each bank was compiled from, as a blob (array of 4096-byte values)
 *   now/services0 now/services1     the service table that goes with each bank
 *   now/prog/IFNAME                 the program the interface runs
 *   now/layout                      how this version lays its maps out, for other versions (layout.h)
 *   now/said0 now/said1             the sentences in force as text, for other versions
 *   dev/IFNAME/link
 *   dev/IFNAME/counts/ID/{layout,counters,ports}    what was counted, by layout; the sum of all of them is the truth
 *   next/                           a writer is at work, or was killed: the next open, for looking too, puts things right
 * IFNAME has ':' for '.', which bpffs does not take. How all this survives a kill is written in dp_private.h.
 *
 * One flock on the pin directory: shared for looking, exclusive for changing (waits up to 10 s, then -EBUSY).
 * What belongs to one bank is written while the bank is idle and becomes valid with the flip of state.epoch, so a
 * kill at any point leaves the old policy or the new one whole.
 */
#ifndef MXDP_DATAPATH_H
#define MXDP_DATAPATH_H

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include "bans.h"
#include "diag.h"
#include "image.h"

struct datapath;

/* DP_BAN: to change bans, or with dp_edit() a few prefixes; that waits for no packet. DP_TAKE: DP_CHANGE, of another version's too */
enum dp_open { DP_LOOK, DP_CHANGE, DP_CREATE, DP_BAN, DP_TAKE };

/*
 * Opens what is pinned under bpffs (e.g. "/sys/fs/bpf"; the directory "mxdp" below it is ours). DP_LOOK and DP_CHANGE:
 * -ENOENT, without a message, when mxdp has no pins there. DP_CREATE makes the directory (and mounts bpffs when nothing
 * is mounted and the path is the default). Refuses: not bpffs, directory not ours or not 0700, symlink, pin of another type or size,
 * another version's layout (-EPROTO, saying how to take over; not with DP_TAKE, which is DP_CHANGE otherwise), another netns's sysfs where the pins are hidden (says nsenter).
 * A trial that is over is settled first, for looking too, with a note in d.
 */
int dp_open(struct datapath **dp, const char *bpffs, enum dp_open how, struct diag *d);
void dp_close(struct datapath *dp);

/* The policy in force. -ENODATA when none was ever put. */
uint32_t dp_epoch(const struct datapath *dp);
/* With DP_TAKE what another version keeps, where it is kept as this one would. malloc'd */
int dp_frozen(struct datapath *dp, void **blob, size_t *len, struct diag *d);
/* The same as it is kept: lists packed, edits apart. What it points into goes with dp_close(). -ENODATA likewise. */
int dp_kept(struct datapath *dp, struct kept_rules *k, struct diag *d);
int dp_services(struct datapath *dp, struct service out[MXDP_SERVICES], struct diag *d); /* all zero but "other" when none */
/* Which service each port belongs to, as the bank in force has it; all 0 when none. */
int dp_port_services(struct datapath *dp, uint8_t out[65536], struct diag *d);
/*
 * Has another version of mxdp laid out what is in force? Then the next dp_put() takes over from it; until then dp_frozen()
 * has nothing, and dp_said() tells the rules in force as rules_said() made them: malloc'd. NULL: none has.
 */
const char *dp_other_version(const struct datapath *dp);
int dp_said(struct datapath *dp, char **text, size_t *len, struct diag *d);
/* Which MXDP_PORT_COOKIES_* some port has; 0 when none, or it cannot be read. */
uint16_t dp_cookies(const struct datapath *dp);

/*
 * Puts img in force: waits until no packet can be looking at the idle bank (an RCU grace period since the last flip),
 * fills it, flips once. When the trie is too small, makes a larger one and replaces the programs of all interfaces by link
 * update. Counters of recycled services are folded into service 0 first. Needs DP_CHANGE or DP_CREATE. The first put
 * creates the shared maps. `lease_lines` (a power of two; a quarter of the connections to serve) sizes the lease table; when it
 * differs from what is there, the table is made anew and the programs are replaced, as when the trie grows.
 */
int dp_put(struct datapath *dp, const struct image *img, uint32_t lease_lines, struct diag *d);

/*
 * Puts a few prefixes of lists in force otherwise, in the bank that packets read: `what` is what image_compile_edit() says of
 * them, `log` the edits that make it so. Each source is judged by the table before or by that behind it; leases are void. Killed
 * anywhere it is all made or not at all. -ENOSPC, without a message: no room, so the whole must be put, with dp_put(). As
 * dp_put() it is refused while a policy is on trial.
 */
int dp_edit(struct datapath *dp, struct image_edit *what, const struct list_edit *log, size_t nlog, struct diag *d);

/* ---- a policy on trial (dp_trial.c) ---- */

/*
 * dp_put(), on trial: when dp_confirm() has not come `seconds` later, packets are judged by the policy of before again, and
 * pass on interfaces attached meanwhile (dp_attach() behind this, before dp_close()). Nothing has to run for that. `back`:
 * the image of the policy in force, used only where dp_put_grows() says so; NULL otherwise.
 */
int dp_put_trial(struct datapath *dp, const struct image *img, const struct image *back, uint32_t lease_lines,
		 unsigned int seconds, struct diag *d);
/*
 * Interfaces are attached behind the put, and programs take a while to load: the time counts from here. -ETIME with a message:
 * it was over already.
 */
int dp_trial_renew(struct datapath *dp, unsigned int seconds, struct diag *d);
/* Would putting img need larger tables, so that both policies must be put into them? */
bool dp_put_grows(const struct datapath *dp, const struct image *img, uint32_t lease_lines);
/* -ENOENT: nothing is on trial. -ETIME, without a message: too late, what was before is in force. */
int dp_confirm(struct datapath *dp, struct diag *d);
/* What was before is in force again; what the trial attached is detached. The first policy ever: all is removed. */
int dp_take_back(struct datapath *dp, struct diag *d);
/*
 * Everything that changes rules, lists or interfaces asks this first: while another command's policy is on trial, -EBUSY
 * with the remedy. Bans and detaching are free.
 */
int dp_change_allowed(const struct datapath *dp, struct diag *d);

enum dp_trial_end { DP_TRIAL_NONE, DP_TRIAL_CONFIRMED, DP_TRIAL_TAKEN_BACK };
struct dp_trial {
	bool running;
	bool first;               /* nothing was in force before it */
	uint32_t epoch;           /* names the last trial; 0: there never was one */
	unsigned int seconds_left;
	enum dp_trial_end end;    /* of the last one, when none is running */
};
void dp_trial(const struct datapath *dp, struct dp_trial *t);
/* Did this open find a trial over, and put what was before in force? It has said so in its d. */
bool dp_settled(const struct datapath *dp);

/* ---- interfaces ---- */

enum dp_mode { DP_NATIVE, DP_GENERIC, DP_AUTO };

struct dp_iface {
	char name[IFNAMSIZ];
	int ifindex;         /* now, by name; 0 when there is no such interface */
	int link_ifindex;    /* what the link is attached to; 0 when the interface went away beneath it */
	char now[IFNAMSIZ];  /* what the interface that runs our program is called now; "" when none does, or not in this
			      * network namespace. Other than name: it was renamed, and is filtered all the same */
	enum dp_mode mode;   /* DP_NATIVE or DP_GENERIC, as the kernel says */
	uint32_t prog_id;    /* of the link */
	bool pinned;         /* that program's own pin is there: without it nothing can be asked of it (`explain`) */
	uint32_t running_id; /* XDP program the kernel runs there, or where no link is, under the name; 0 none. Equal to prog_id
			      * when all is well */
	char driver[32];
	int64_t attached_at; /* wall clock seconds (program load time) */
	bool frags;
	bool answers;        /* what is sent from here arrives: SYN cookies, refusals */
	uint32_t rows;
};

/*
 * Needs a policy in force. Already attached in the same mode with the same program: 0, nothing done. Pins follow an interface that was
 * renamed to the name it has now, its counters with them. Attached with another build of
 * our program: link update, no gap, counters kept. A foreign XDP program: -EBUSY, names it (name, id) and how to remove it.
 * DP_NATIVE never falls back; the message then says what to do (`mode generic`, MTU, driver). DP_AUTO falls back with a loud warning.
 */
int dp_attach(struct datapath *dp, const char *ifname, enum dp_mode mode, struct diag *d);
/* Takes the filter off and removes the interface's pins; the last one out removes everything. -ENOENT when not attached. */
int dp_detach(struct datapath *dp, const char *ifname, struct diag *d);
int dp_detach_all(struct datapath *dp, struct diag *d);
/* Reads the kernel, not a memory of what was done. Malloc'd array. */
int dp_ifaces(struct datapath *dp, struct dp_iface **v, size_t *n, struct diag *d);

/* ---- bans ---- */

struct dp_bans;

/* A table of bans open for looking or changing, whatever dp was opened for allows. `many`: more than a few are to be touched. */
int dp_bans_open(struct dp_bans **t, struct datapath *dp, bool many, struct diag *d);
/* What was changed bites from here on: open connections are judged anew. */
int dp_bans_close(struct dp_bans *t, struct diag *d);

/*
 * Makes a ban hold, or hold to another end when it is there already (same prefix, owner and ports): *again. With `longest`
 * one that lasts longer stays as it is. -ENOSPC without a message: dp_bans_grow(). -E2BIG: too many prefix lengths, owners,
 * or sets of ports.
 */
int dp_ban(struct dp_bans *t, const struct ban *b, bool longest, bool *again, struct diag *d);
/* Lifts the bans of exactly this prefix, of one owner or (NULL) all; how many there were. */
int dp_unban(struct dp_bans *t, const struct prefix *p, const char *owner, size_t *n, struct diag *d);
int dp_bans_flush(struct dp_bans *t, const char *owner, size_t *n, struct diag *d);
/* All that hold and cover p, longest prefix first. Malloc'd. */
int dp_bans_of(struct dp_bans *t, const struct prefix *p, struct ban **v, size_t *n, struct diag *d);

/* All that hold, as they stood when they were read, 48 bytes each: there may be a million. Outlives the table. */
struct dp_ban_list;
int dp_bans_all(struct dp_bans *t, struct dp_ban_list **l, struct diag *d);
void dp_ban_list_free(struct dp_ban_list **l);
#define __cleanup_ban_list __cleanup(dp_ban_list_free)
/* How many; NULL: none. */
size_t dp_ban_list_len(const struct dp_ban_list *l);
void dp_ban_list_get(const struct dp_ban_list *l, size_t i, struct ban *b);
/* Leaves those of one owner. */
void dp_ban_list_only(struct dp_ban_list *l, const char *owner);
/* As ban_cmp() has it; `by_hits`: first those that cut the most. Before, they are in no order. */
void dp_ban_list_sort(struct dp_ban_list *l, bool by_hits);

/* How many hold, by owner. Malloc'd. */
struct dp_bans_owner {
	char name[BAN_TEXT];
	size_t n;
};
int dp_bans_owners(struct dp_bans *t, struct dp_bans_owner **v, size_t *n, struct diag *d);

/* Makes the tables larger, `times` as large, and replaces the programs of all interfaces. No dp_bans may be open. */
int dp_bans_grow(struct datapath *dp, unsigned int times, struct diag *d);

/* Is a source of an `exempt` or `admin` sentence inside p, or p inside one? And a blocked one? */
int dp_bans_class(struct dp_bans *t, const struct prefix *p, bool *protected, bool *blocked, struct diag *d);

/* ---- counters ---- */

struct dp_counts {
	/* summed over rows; index as in abi.h */
	struct mxdp_count cell[MXDP_SERVICES][2][2][MXDP_REASON_SLOTS]; /* [service][family][observed][reason] */
	struct mxdp_port_count port[65536]; /* `dropped` holds the knocks, `knocked` is 0 */
};
int dp_counts(struct datapath *dp, const char *ifname, struct dp_counts *out, struct diag *d); /* 6 MiB: allocate it */

/* ---- limits ---- */

/* The limits in force and their tables, as they were at one moment. Limits go by their number in the cells. */
struct dp_limits {
	struct mxdp_limit v[MXDP_LIMITS];
	uint64_t lost;    /* connections that the table had no room for, since it was made */
	bool counted;     /* connections are */
	uint64_t total;   /* of connections counted, of all sources under all limits */
	/* the rest is for the functions below */
	__u64 key[2];
	uint64_t ahead, jiffies;
	uint32_t lease_lines, half;
	struct mxdp_words *gates, *conns;
};
int dp_limits_read(struct datapath *dp, struct dp_limits *out, struct diag *d);
void dp_limits_free(struct dp_limits *l);
/* How many connections the source that host belongs to has open. */
uint64_t dp_limit_open(const struct dp_limits *l, unsigned int number, const struct prefix *host);
/* Did it come so fast that its next SYN is not due yet? */
bool dp_limit_held(const struct dp_limits *l, unsigned int number, const struct prefix *host);

/* ---- probe ---- */

struct dp_verdict {
	uint32_t action; /* XDP_PASS, XDP_DROP */
	struct mxdp_probe said;
};
/* Runs a frame through the program attached to ifname as a probe: judged, not counted, not remembered. Runs in the caller's
 * network namespace, so the tracker sees that namespace's sockets. */
int dp_probe(struct datapath *dp, const char *ifname, const void *frame, size_t len, struct dp_verdict *out, struct diag *d);

/* What the maps cost, in bytes of kernel memory. */
uint64_t dp_memory(struct datapath *dp);

#endif
