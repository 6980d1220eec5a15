/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the files of the datapath share; nobody else includes this (its own test does).
 *
 * The pins, and what a kill leaves
 * --------------------------------
 *   mxdp/now/{state,banks,trie,lease,gates,conns,frozen0,frozen1,services0,services1}   one generation of shared maps
 *   mxdp/now/{bans,banned,banhead,bantexts}          likewise; what they hold goes along from generation to generation
 *   mxdp/now/prog/DEV                                the program each interface runs on that generation
 *   mxdp/now/hear/                                   the programs that count connections for it: see dp_conns.c
 *   mxdp/now/{layout,said0,said1}                    for other versions: how this one lays its maps out, and its rules
 *   mxdp/dev/DEV/link                                what an interface keeps through all generations
 *   mxdp/dev/DEV/counts/ID/{layout,counters,ports}   what was counted, a book for each layout
 *   mxdp/next/                                       a writer is at work here, or was killed
 *
 * DEV is the interface's name with ':' for '.': bpffs keeps dots for itself, and interface names have no colon.
 *
 * One rule holds it together: `now` is the truth. Whatever takes more than one step starts by making `next` and ends by
 * removing it, under the exclusive lock. Whoever opens the pins and finds `next` (then its writer is dead, for the lock
 * was free) does what recover() does, readers too:
 *   - a link that runs another program than now/prog/DEV is updated to that one;
 *   - an interface without a link, and a program without an interface, are taken away: their attach never finished;
 *   - `next` is removed, and a link pinned there detached first;
 *   - without `now` nothing was ever in force, or the last detach was under way: everything is removed.
 *
 * An edit of some prefixes changes the bank in force: lines and classes are written behind those in use, which nobody sees.
 * The cells it will change are written down as they are, and the edit into the log, both in frozenN; then the log's word
 * says how many cells; then the cells are stored, then the leases voided, then the log's word stored
 * again, that the edit counts and no cells are to be put back. Killed before that store: the next open puts them back
 * (edit_undo()), for the lines they led to are never used again. Killed after: the edit is whole. Lines and classes that an
 * edit taken back has left harm nobody.
 * Lists of some length lie packed in now/lists/, written once and pinned before a bank speaks of them; what no bank speaks
 * of, the next put removes.
 *
 * A put that fits: frozenN, servicesN, the trie's half N and bank N of the idle bank N are written, in any order, none
 * of it visible; then state.epoch is stored, once. Killed before: the old policy is whole. Killed after: the new one.
 *
 * A put that needs larger tables makes a whole new generation in `next`, flipped from the start to the new policy, and
 * loads a program for every interface on it. Then the links are updated one by one: an interface runs the old program
 * on the old maps, which nobody touches, or the new program on the new maps. Then `now` and `next` change places in one
 * rename. Killed before the rename: the links go back to the old programs. Killed after: only the old maps are left to
 * remove.
 *
 * Between versions
 * ----------------
 * Never changed by any version: the names now, next, now/prog/DEV, now/layout, now/state, now/servicesN, now/saidN,
 * dev/DEV/link, dev/DEV/counts/ID/{layout,counters,ports}; the text of `layout` and the meaning of its keys (layout.h); the
 * 16 bytes before the sentences of saidN (struct dp_said_head); that N is the epoch's lowest bit; the lock; the one rule,
 * and that recover() does these four things and no more. Whatever else a version keeps lies in now/, and is nobody else's.
 *
 * Two versions whose layouts say the same (but for who wrote them) are one. Otherwise the one that is told to takes over:
 * it gives every interface a book of its own layout beside those that are there, makes a generation in `next`, loads,
 * updates the links, and exchanges `now` and `next`, as for larger tables. Nothing of the other version's is written. So:
 * killed before the exchange, either version brings the links back to the other's programs; killed after, it brings them to
 * ours. What was counted meanwhile stands in the book of whoever counted it.
 *
 * The truth about counts is the sum of all books of an interface, at any moment. Nobody adds to a book but the packet path
 * of its layout, and what `moved` cells say is only ever set to a sum. A version that comes back goes on in its own book
 * if that is still there. Books in which nobody counts any more are folded: their sums are written to a book "past", which
 * takes their place, with our own beside it, in one exchange of dev/DEV/counts; a kill leaves the old books or the new one.
 * Before, the links must be settled and a grace period over. A book with counts under reasons that this version does not know is kept.
 *
 * A policy on trial. revert_at carries the number of the epoch it ends; written before the epoch is stored, it means
 * nothing until then, and nothing once another epoch is. Killed before the flip: the old policy, not on trial. Killed
 * after: the new one, on trial, and the packet path goes back by itself when the time has come, to the other bank under
 * epoch + 1. Going back for good stores that epoch: packets notice no difference. Confirming stores epoch + 2, the same
 * bank; the trial ends in the same store, and leases of either epoch are void. The other bank is nobody's until one of
 * the two is done: no put while a trial runs.
 * What a new generation needs for the way back it brings along: the old policy lies in its other bank from the start.
 * An interface that the trial attaches has its epoch in the loader's page, and in its program's constants: past the
 * trial's end that program passes everything, for the policy of before never spoke of this interface. Going back detaches it before
 * it stores the epoch; killed in between, the trial goes on without it.
 *
 * A new program for one interface is pinned over now/prog/DEV first and the link updated after: killed between, the
 * rule brings the link forward.
 */
#ifndef MXDP_DP_PRIVATE_H
#define MXDP_DP_PRIVATE_H

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "datapath.h"
#include "layout.h"

#define DP_DEFAULT_BPFFS "/sys/fs/bpf"
#define DP_MAX_ROWS 32u /* 6 MiB each; an interface takes as many as it has receive queues */
#define DP_MIN_TRIE_LINES 4096u
#define DP_MAX_TRIE_LINES (1u << 27) /* both banks: cell numbers, sixteen to a line, have 30 bits */

/* ---- what only the loader reads and writes ---- */

/* frozenN, saidN: an array of pages; the first bytes of the first one say what follows them. */
#define DP_PAGE 4096u
#define DP_FROZEN_MAGIC 0x66787a6d /* "mzxf" */
struct dp_said_head {
	uint32_t magic;
	uint32_t epoch;
	uint64_t len;
};
_Static_assert(sizeof(struct dp_said_head) == 16, "said layout");

struct dp_frozen_head {
	uint32_t magic;
	uint32_t epoch;
	uint64_t len; /* of the blob */
	/* Lower half: how many edits of the log are made. Upper half: how many cells an edit under way has changed, or may have. */
	uint64_t log;
	uint32_t npacks, undo_room, log_room;
	uint32_t reserved[7];
};
_Static_assert(sizeof(struct dp_frozen_head) == 64, "frozen layout");
/* Behind the head: npacks numbers (u64) of lists under lists/, undo_room of these, log_room struct list_edit, the blob. */
struct dp_undo {
	uint32_t at, was; /* of struct dir_change */
};

/* servicesN: one value */
struct dp_service_pin {
	char key[48];
	uint8_t named;
	uint8_t reserved[7];
};
struct dp_services_pin {
	struct dp_service_pin v[MXDP_SERVICES];
};
_Static_assert(sizeof(struct dp_services_pin) == 56 * MXDP_SERVICES, "services layout");

/*
 * A book of ours. The counters map holds the rows that packets count in, then one row of the loader's: for each service number, what
 * belongs to those who had the number before and is shown under service 0. It is only ever set to a sum of the rows,
 * never added to, and no packet's counter is ever written: so the total is exact whatever is killed when. Then one page
 * about the programs.
 */
struct dp_made {
	uint32_t prog_id;
	uint8_t frags;
	uint8_t answers; /* enum mxdp_answers */
	uint8_t reserved[2];
	uint64_t build;
};
struct dp_ledger {
	struct dp_made made[2]; /* of the program that runs, and of the one that is to take its place, in any order */
	uint32_t trial_epoch;   /* of the trial that attached the interface; 0: none did */
	uint8_t reserved[DP_PAGE - 36];
};
_Static_assert(sizeof(struct dp_ledger) == DP_PAGE, "ledger layout");
#define DP_LEDGER_CELLS (DP_PAGE / sizeof(struct mxdp_count))
#define DP_COUNTER_CELLS(rows) (((rows) + 1u) * MXDP_COUNTERS_PER_ROW + DP_LEDGER_CELLS)

/* state.flipped_ns while the epoch is being stored: whoever reads it cannot know when that was */
#define DP_FLIP_UNDER_WAY UINT64_MAX

/* ---- in memory ---- */

struct dp_generation {
	int state_fd, banks_fd, trie_fd, lease_fd, gates_fd, conns_fd;
	int bans_fd, banned_fd, ban_head_fd, ban_texts_fd;
	struct mxdp_state *state;
	uint32_t trie_lines, lease_lines, ban_lines;
};
#define DP_GENERATION_NONE { .state_fd = -1, .banks_fd = -1, .trie_fd = -1, .lease_fd = -1, .gates_fd = -1, .conns_fd = -1, \
			     .bans_fd = -1, .banned_fd = -1, .ban_head_fd = -1, .ban_texts_fd = -1 }
void generation_close(struct dp_generation *g);

struct dp_grace {
	pthread_t thread;
	bool running;
	int err;
};

/* A piece of a map in memory. */
struct dp_view {
	void *p;
	size_t len;
};

/* What another version of mxdp has in force, by its own description. */
struct dp_other {
	struct layout l;
	struct dp_view state;
};

struct datapath {
	char *root; /* BPFFS/mxdp */
	int dir;    /* the same, open and locked; -1 once it was removed */
	enum dp_open how;
	bool have;  /* `now` is there and open */
	struct dp_other *other; /* `now` is there, and of another layout: only with DP_TAKE */
	struct dp_generation now;
	struct dp_grace grace;
	struct dp_view *packs; /* lists that were looked into */
	size_t npacks;
	bool trial_is_mine; /* the trial that runs was begun by this open */
	bool settled;
};

/* A descriptor of one's own, or negative errno. */
static inline int fd_dup(int fd)
{
	int own = fcntl(fd, F_DUPFD_CLOEXEC, 3);

	return own < 0 ? -errno : own;
}

int view_map(struct dp_view *v, int fd, size_t offset, size_t len, bool writable);
void view_unmap(struct dp_view *v);
#define __cleanup_view __cleanup(view_unmap)

/* A piece of a map that moves to where it is needed, so that looking at one line costs the same in a table of any size. */
struct dp_window {
	int fd;
	size_t total;   /* bytes of the map */
	bool writable;
	bool whole;     /* map all of it at once: many places will be asked for */
	struct dp_view v;
	size_t offset;  /* of v in the map */
	void *last;     /* what was asked for last */
};
/* `len` bytes at `offset`, good until the next call; NULL when the kernel refuses. */
void *window_at(struct dp_window *w, size_t offset, size_t len);
void window_close(struct dp_window *w);

/* How long an open waits for another mxdp; shorter in tests. */
extern int dp_lock_wait_ms;

/* ---- pins (datapath.c); `rel` is relative to mxdp/ ---- */

char *pin_path(const struct datapath *dp, const char *rel);
bool pin_exists(const struct datapath *dp, const char *rel);
/* An open descriptor of what is pinned there. -ENOENT without a message; anything but a plain pin is refused. */
int pin_get(const struct datapath *dp, const char *rel, struct diag *d);
/* The same for a mappable array; value_size or entries 0: any. */
int pin_get_map(const struct datapath *dp, const char *rel, uint32_t value_size, uint32_t entries,
		struct bpf_map_info *info, struct diag *d);
int pin_put(const struct datapath *dp, int fd, const char *rel, struct diag *d);
int pin_rename(const struct datapath *dp, const char *from, const char *to, struct diag *d);
/* Pins fd at `rel`, in place of what is there: one rename. Needs work_begin(). */
int pin_replace(const struct datapath *dp, int fd, const char *rel, struct diag *d);
int pin_mkdir(const struct datapath *dp, const char *rel, struct diag *d);
/* Everything below and itself. Missing is fine. */
int pin_remove(const struct datapath *dp, const char *rel);
int work_begin(struct datapath *dp, struct diag *d);
void work_end(struct datapath *dp);
/* An array map that can be mapped, all zero. */
int map_make(const char *name, uint32_t value_size, uint32_t entries, struct diag *d);
int map_info(int fd, struct bpf_map_info *info);
int now_open(struct datapath *dp, struct diag *d);
/* What pin_get() of a pin of `now` failed with; -ENOENT gets its message and is -EBADF. */
int pin_missing(const struct datapath *dp, int err, struct diag *d);
/* DP_BAN opens no tables of connections (lease, gates, conns); whoever shares or settles a generation wants them. */
int now_whole(struct datapath *dp, struct diag *d);
/* Takes away everything, the directory too. */
int remove_all(struct datapath *dp);

/* ---- what goes with a bank (dp_kept.c) ---- */

char *bank_pin(const char *dir, const char *what, uint32_t bank); /* "now/frozen1", malloc'd */
uint32_t pages_for(size_t len); /* of DP_PAGE, a power of two */
/* An open map of that many pages, pinned at rel: what is there when it fits and is not far too large. */
int pages_get(struct datapath *dp, const char *rel, uint32_t *pages, struct diag *d);
int frozen_damaged(const struct datapath *dp, const char *rel, struct diag *d);
/* The rules of img and its lists, for the bank of that epoch. */
int frozen_write(struct datapath *dp, const char *dir, const struct image *img, uint32_t epoch, struct diag *d);
/* Removes the lists that neither bank speaks of. */
void packs_tidy(struct datapath *dp);
/* All of them belong to the next generation too. */
int packs_share(struct datapath *dp, struct diag *d);
uint64_t packs_memory(struct datapath *dp);
uint64_t pin_memory(struct datapath *dp, const char *rel); /* dp_count.c */
/* Takes back an edit that a kill left half made. */
bool edit_half_made(const struct datapath *dp);
void edit_undo(const struct datapath *dp);
/* Called between any two stores of an edit: a test kills there. */
extern void (*dp_edit_step)(const char *name);

/* ---- putting (dp_put.c) ---- */

/* Before their number goes on: leases are gone before it comes again. */
int leases_wipe(const struct datapath *dp, struct diag *d);
/* All leases are void; epoch, bank and a trial that runs stay. */
int leases_void(struct datapath *dp, struct diag *d);
/* `next` becomes `now`; what was `now` is in `next` then, to be removed. */
int generation_swap(struct datapath *dp, struct diag *d);

/* ---- classes of the bank in force, one prefix at a time (dp_class.c) ---- */

struct dp_classes;
/* `many`: of more than a few prefixes */
struct dp_classes *classes_open(const struct datapath *dp, bool many);
void classes_close(struct dp_classes *w);
/* Is a class of an `exempt` or `admin` sentence, or a blocked one, among those of p? */
int classes_say(struct dp_classes *w, const struct prefix *p, bool *protected, bool *blocked);

/* ---- bans (dp_bans.c) ---- */

#define DP_BANS 131072u      /* there is room for so many at first */
#define DP_MAX_BAN_LINES (1u << 22)
/* Five to a line of eight: one line in fifteen spills, and no ban of a million finds its eight lines full. */
#define DP_BAN_LINES(bans) (((bans) + 4u) / 5u)
/* The tables of a new generation: those in force, or new ones. */
int bans_make(const struct datapath *dp, struct dp_generation *g, struct diag *d);
int bans_open(struct datapath *dp, struct dp_generation *g, struct diag *d);
int bans_pin(const struct datapath *dp, const struct dp_generation *g, struct diag *d);
/* Takes over what another version bans, into g; more than once does no harm. What finds no room is said. */
int bans_receive(struct datapath *dp, const struct dp_generation *g, struct diag *d);
/* Says in g's state whether there are bans; after the swap, for automatic ones come at any time. */
void bans_note(const struct dp_generation *g);

/* ---- interfaces (dp_attach.c) ---- */

struct dp_dev {
	char name[IFNAMSIZ];
	char pin[IFNAMSIZ];
	int link_fd, prog_fd, counters_fd, ports_fd; /* -1: not there */
	uint32_t rows;
	uint32_t link_prog_id;
	int link_ifindex;
	uint32_t prog_id; /* of now/prog/DEV */
};
#define DP_DEV_NONE { .link_fd = -1, .prog_fd = -1, .counters_fd = -1, .ports_fd = -1 }
/* -ENOENT without a message: no pins of that name. Parts may be missing. */
int dev_open(const struct datapath *dp, const char *name, struct dp_dev *dev, struct diag *d);
void dev_close(struct dp_dev *dev);
/* Names of all interfaces with pins, malloc'd; sorted. */
int dev_names(const struct datapath *dp, char (**v)[IFNAMSIZ], size_t *n, struct diag *d);
/* Names of what lies in a directory of pins, as they stand there, sorted; malloc'd. A missing directory is empty. */
int pin_names(const struct datapath *dp, const char *rel, char (**v)[IFNAMSIZ], size_t *n);
/* now: every interface follows now/prog; `next` and what never finished is removed. */
int recover(struct datapath *dp, struct diag *d);
/* Loads a program for every attached interface on g, pins it under next/prog and updates the links; all or none. */
int replace_all(struct datapath *dp, const struct dp_generation *g, struct diag *d);
/* After replace_all(): the links back to now/prog. */
void replace_undo(struct datapath *dp, struct diag *d);
/* Names of what lies in a directory of pins, as they stand there, malloc'd, sorted. A missing directory is empty. */
int pin_names(const struct datapath *dp, const char *rel, char (**v)[IFNAMSIZ], size_t *n);
/* Before replace_all() when another version's place is taken: a book for every interface. */
int books_begin(struct datapath *dp, struct diag *d);
/* The loader's page behind the counters. */
int ledger_map(const struct dp_dev *dev, struct dp_view *v, bool writable);

/* ---- books (dp_books.c) ---- */

struct dp_sums {
	struct mxdp_count cell[MXDP_SERVICES][2][2][MXDP_REASON_SLOTS];  /* as counted */
	struct mxdp_count moved[MXDP_SERVICES][2][2][MXDP_REASON_SLOTS]; /* of that, what is service 0's: see struct dp_ledger */
	struct mxdp_port_count port[65536];
	bool unknown; /* something was counted under a reason that this version does not know */
};
/* Everything that was ever counted for the interface; `own_moved` false: without what our own ledger says. 17 MiB. */
int books_sum(const struct datapath *dp, const struct dp_dev *dev, bool own_moved, struct dp_sums *out, struct diag *d);
/* "dev/DEV/counts", malloc'd */
char *books_rel(const struct dp_dev *dev);
/* Our own into dev: its counters_fd, ports_fd, rows. Parts may be missing. */
int book_open(const struct datapath *dp, struct dp_dev *dev, struct diag *d);
/* A new one, in place of what is there. Needs work_begin(). */
int book_make(struct datapath *dp, struct dp_dev *dev, uint32_t rows, struct diag *d);
/* Does any book know the program, and was it made for frames in several buffers? */
bool books_frags(const struct datapath *dp, const struct dp_dev *dev, uint32_t prog_id, bool *frags);
/* Makes one of the books that nobody counts in any more. What cannot be done now, the next put does. */
void books_fold(struct datapath *dp);
int layout_pin(const struct datapath *dp, const char *rel, struct diag *d);
/* -ENOENT, without a message: none there. */
int layout_pinned(const struct datapath *dp, const char *rel, struct layout *l, struct diag *d);
/* own: is it the layout of this program? Where not, reading it tells whose. Fails as layout_pinned(). */
int layout_is_pinned(const struct datapath *dp, const char *rel, bool *own, struct diag *d);

/* ---- another version's generation (dp_takeover.c) ---- */

int other_open(struct datapath *dp, const struct layout *l, struct diag *d);
void other_close(struct datapath *dp);
/* The one that packets are judged under: past the end of a trial, that of the way back. */
uint32_t other_epoch(const struct datapath *dp);
uint64_t other_probe_key(const struct datapath *dp); /* 0: not known */
int other_services(struct datapath *dp, struct service out[MXDP_SERVICES], struct diag *d);
/* The bans that hold there, malloc'd; and how many there is room for. */
int other_bans(const struct datapath *dp, struct ban **v, size_t *n, struct diag *d);
uint32_t other_ban_room(const struct datapath *dp);
/* dp_change_allowed() for it. */
int other_change_allowed(const struct datapath *dp, struct diag *d);
/* The trial of a first policy is over: there, nothing is filtered any more. */
bool other_must_go(const struct datapath *dp);

/* ---- programs (dp_load.c) ---- */

struct dp_load {
	const struct dp_generation *g;
	int counters_fd, ports_fd;
	uint32_t rows;
	bool shared; /* two CPUs may count in one row at once */
	bool frags;  /* in: try; out: the program has it */
	uint32_t trial_epoch; /* of the trial that attaches the interface */
	uint8_t answers; /* enum mxdp_answers */
};
int program_load(struct dp_load *l, struct diag *d);
/* program_load(), unless a test has put a smaller program in its place: the verifier takes half a second for ours. */
extern int (*dp_loader)(struct dp_load *l, struct diag *d);
/* Names the object embedded here. Never 0. */
uint64_t program_build(void);
uint32_t program_id(int fd);
/* libbpf's words while something was tried: started, then the last lines of it (static storage). */
void log_start(void);
const char *log_tail(void);

/* ---- trials (dp_trial.c) ---- */

/* The packet path's clock, and how fast it goes; a test has its own. */
extern int (*dp_jiffies)(uint64_t *now);
uint64_t jiffies_per_second(void);
bool trial_running(const struct datapath *dp);
bool trial_over(const struct datapath *dp);
/* What epoch, not in force yet, will be: on trial from now on, or (seconds 0) lasting. */
int trial_mark(struct mxdp_state *st, uint32_t epoch, unsigned int seconds, bool first, struct diag *d);
/* dp_take_back() for a trial that is over, with a note. */
int trial_settle(struct datapath *dp, struct diag *d);
/* Takes the filter off what that trial attached (dp_attach.c). */
int detach_trial(struct datapath *dp, uint32_t epoch, struct diag *d);

/* ---- putting (dp_put.c) ---- */

void flip(struct mxdp_state *st, uint32_t epoch);

/* Jiffies >> this count steps of about a second. */
uint8_t tick_shift(void);

/* ---- connections (dp_conns.c) ---- */

/* Nobody counts for this bank any more when it returns. */
int conns_quiet(const struct dp_generation *g, uint32_t bank, struct diag *d);
/* The filled bank of `epoch` is counted for, if its rules ask for that, and the sockets that are there are in the count. */
int conns_begin(struct datapath *dp, const struct dp_generation *g, const char *dir, uint32_t epoch, struct diag *d);
/* For a generation in `next` that shares the banks and the count of `now`: its own programs, on the same memory of sockets. */
int conns_share(struct datapath *dp, const struct dp_generation *g, struct diag *d);
/* After the flip: when neither bank needs them, the programs go. */
void conns_end(struct datapath *dp);

/* ---- grace (dp_put.c) ---- */

/* Returns when no packet is any more where one may have been at the call. */
int grace_ask(void);
void grace_start(struct datapath *dp);
int grace_wait(struct datapath *dp, struct diag *d);
void grace_drop(struct datapath *dp);

#endif
