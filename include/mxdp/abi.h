/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What lies in the kernel: the maps that the packet path and the program
 * share. Sizes are asserted; units stand in the names; each structure says
 * who may write it. Any change of a layout raises MXDP_ABI.
 */
#ifndef MXDP_ABI_H
#define MXDP_ABI_H

#include <linux/types.h>
#include "bans.h"
#include "reasons.h"

/* What tests/lab/upgrade.t takes over from, and gives back to: a version that differs wherever another one may. */
#ifdef MXDP_OTHER_LAYOUT
#define MXDP_ABI 1002
#define MXDP_OTHER(...) __VA_ARGS__
#else
#define MXDP_ABI 5
#define MXDP_OTHER(...)
#endif

/* ---- state: one element; written by the loader, read by every packet ---- */

struct mxdp_state {
	MXDP_OTHER(__u64 other;)
	__u32 abi;            /* MXDP_ABI of the writer */
	__u32 epoch;          /* number of the policy in force; its lowest bit names the bank. One aligned store flips. */
	__u64 flipped_ns;     /* CLOCK_BOOTTIME of the last flip; the loader's own memory */
	__u64 probe_key;      /* a test run that knows it is a probe: see struct mxdp_probe */
	__u64 test_jiffies;   /* the clock, for programs loaded with cfg.test_clock */
	/*
	 * The policy of this epoch holds on trial until this jiffy; 0: none does. From then on every packet is judged by the
	 * other bank, under epoch + 1: the way back needs nobody to run. The epoch's last bits stand in the highest ones, so
	 * that it holds for no other epoch: whatever stores the epoch ends the trial in the same store.
	 */
	__u64 revert_at;
	__u32 bans;           /* 0: there is no ban, and no packet need look for one */
	__u32 cookie_options; /* what SYN cookies sent from here may carry beyond the MSS: MXDP_COOKIE_* */
	__u32 voided;         /* how often leases were voided while the epoch stayed: bans bite at once */
	__u32 reserved0;
	__u64 zero;           /* always 0, which the verifier cannot know: see bpf/forget.h */
	/* the loader's own memory of the last trial */
	__u32 trial_epoch;    /* what was on trial; 0: nothing ever was */
	__u8 trial_first;     /* nothing was in force before it */
	__u8 trial_end;       /* how it ended: enum dp_trial_end */
	__u8 reserved1[2];
	__u32 leases_wiped;   /* epoch and voided, summed, when the loader last wiped the leases */
	__u32 reserved2;
	__u64 limit_key[2];   /* what sources are hashed with: see source.h. Stays for as long as the filter lives. */
	__u64 more[4 - (0 MXDP_OTHER(+ 1))];
};
#define MXDP_REVERT_SHIFT 48
#define MXDP_REVERT_AT(epoch, jiffy) ((__u64)(epoch) << MXDP_REVERT_SHIFT | ((jiffy) & ((1ULL << MXDP_REVERT_SHIFT) - 1)))
_Static_assert(sizeof(struct mxdp_state) == 128, "state layout: the first line is what every packet reads");

/* cookie_options; from sysctls of the network namespace, as the kernel will read the ACK */
#define MXDP_COOKIE_TIME  0x1u /* timestamps have no secret offset (net.ipv4.tcp_timestamps is 2): needed for the others */
#define MXDP_COOKIE_SACK  0x2u
#define MXDP_COOKIE_SCALE 0x4u
#define MXDP_COOKIE_SHIFT 8    /* the window scale of this end, four bits */

/* ---- trie: source address to class. Lines of 64 bytes, both banks in one map ---- */

/*
 * A cell is a class number, or names a node or a tail. Both are numbered from the bank's first line (bank.trie_first), so
 * that a bank's lines mean the same wherever they lie; a zeroed cell is class 0.
 *
 * A node (MXDP_NODE | line) spreads 8 address bits over 256 places. Neighbouring places with the same cell are one run;
 * bit i of `bits` is set when a run starts at place i (bit 0 always is). The cell of place i is cell number
 *     base + rank[i / 64] + popcount(bits[i / 64] up to and with bit i % 64) - 1
 * of the bank's lines taken as an array of cells, sixteen to a line. Up to six runs lie in the node's own line
 * (base = line * 16 + MXDP_NODE_INLINE). Where there are more, base carries MXDP_NODE_CODED, and that room says again of the
 * first MXDP_NODE_CODES runs which of three classes they have, two bits each, or MXDP_CODE_FAR: most packets need no other line.
 *
 * A tail (MXDP_TAIL | cell) stands for a long path with nothing beside it: its head, then the cell below when it goes on,
 * then `length` address bits from the present depth on, from the top of the first cell. An address with these bits has the
 * match class, or goes on below; any other has the miss class, or is looked for in the tail right behind. A tail never
 * crosses a line, nor do the up to MXDP_TAILS tails that follow on each other, of which none goes on.
 *
 * Every node and every tail that goes on takes at least 8 address bits, so MXDP_TRIE_STEPS are enough for any address.
 * IPv4 has one tail at most, behind the first 16 bits, and it does not go on: a line more or less matters less there than
 * a branch.
 *
 * Before the nodes lie bits, from line bank.named4 and bank.named6 on (0: there are none). A clear bit says that nothing but
 * class 0 lies there, and most strangers need no other line, nor dir4; what is set says nothing. For IPv4 a hash of the /24
 * says which two bits of one cell, and there are 2^(32 - bank.named4_shift) bits: eight and more for each /24 that has another
 * class, so that what is small stays in the nearest cache. Where that makes one for each /24 there is, they are in order, and
 * each has one. For IPv6, where dir6 says no class and prefixes are many, a hash of the first 32 bits.
 */
#define MXDP_NODE         0x80000000u
#define MXDP_TAIL         0x40000000u
#define MXDP_NODE_INLINE  10u
#define MXDP_NODE_CODED   0x80000000u
#define MXDP_NODE_CODES   80u
#define MXDP_CODE_FAR     3u
#define MXDP_NODE_BASE(base) ((base) & ~MXDP_NODE_CODED)
#define MXDP_LINE_CELLS   16u
#define MXDP_TAILS        4u
#define MXDP_NAMED4_LINES(shift) (1u << (23 - (shift))) /* of 512 bits */
#define MXDP_NAMED6_LINES 16384u
#define MXDP_NAMED4(bank, a) ((__u32)(((a) & ~0xffu) * (bank)->named4_factor) >> ((bank)->named4_shift & 31)) /* number of the first bit */
#define MXDP_NAMED_FACTOR    0x9e3779b1u
#define MXDP_NAMED6(top)     ((__u32)((top) * MXDP_NAMED_FACTOR) >> 9)
#define MXDP_NAMED_LINE(bit) ((bit) >> 9)
#define MXDP_NAMED_CELL(bit) ((bit) >> 5 & 15)
#define MXDP_NAMED4_BITS(bit, a) (1u << ((bit) & 31) | 1u << ((a) >> 8 & 31)) /* in its cell; where bits are in order, one */
#define MXDP_NAMED6_BITS(bit)    (1u << ((bit) & 31))
#define MXDP_TRIE_STEPS   17u /* IPv6, behind the first 16 bits: 13 of eight bits, then four tails */

/* head of a tail */
#define MXDP_TAIL_MISS(h)   ((h) & 0x3ffu)
#define MXDP_TAIL_MATCH(h)  ((h) >> 10 & 0x3ffu)
#define MXDP_TAIL_LENGTH(h) ((h) >> 20 & 0x7fu) /* 1..112; of one that goes on at most MXDP_TAIL_FAR */
#define MXDP_TAIL_FAR       56u
#define MXDP_TAIL_MORE      0x40000000u
#define MXDP_TAIL_ON        0x80000000u

union mxdp_line {
	struct {
		__u64 bits[4];
		__u32 base;    /* cell number of the first run, and MXDP_NODE_CODED */
		__u8 rank[4];  /* set bits in the words before this one */
		union {
			__u32 runs[6]; /* cells, when they are six or fewer */
			struct {
				__u32 classes; /* ten bits each, the first in the lowest */
				__u32 codes[MXDP_NODE_CODES / 16];
			};
		};
	} node;
	__u32 cell[MXDP_LINE_CELLS];
};
_Static_assert(sizeof(union mxdp_line) == 64, "one cache line");

/* ---- bank: one of two sets of policy; the loader fills the idle one ---- */

#define MXDP_SERVICES 256u  /* service 0: every port that no rule names */
#define MXDP_CLASSES  1024u /* class 0: every source that no rule names */

#define MXDP_BANK_OBSERVE  0x1u /* count what would be dropped, drop nothing */
#define MXDP_BANK_BLOCKS   0x2u /* some class is blocked: non-SYN packets need their class looked up */
#define MXDP_BANK_CONNECTIONS 0x4u /* some limit counts connections */
#define MXDP_BANK_HEARS       0x8u /* some limit must hear of connections that are made */

/* port[]: low byte is the service */
#define MXDP_PORT_SERVICE  0x00ffu
#define MXDP_PORT_CLOSED   0x8000u /* no source at all may open it */
#define MXDP_PORT_FREE     0x4000u /* not governed (default allow): every segment passes unless its source is blocked */
#define MXDP_PORT_KNOCK    0x0800u /* closed, of service 0, and not only observed: a SYN is counted under `knocked` */
#define MXDP_PORT_COOKIES  0x3000u /* SYN cookies from the driver: one of the two below, or neither */
#define MXDP_PORT_COOKIES_AUTO   0x1000u /* when the kernel itself would send them */
#define MXDP_PORT_COOKIES_ALWAYS 0x2000u /* for every SYN, as far as the kernel takes the answer */

/* class_flags[] */
#define MXDP_CLASS_BLOCKED 0x1u
#define MXDP_CLASS_EXEMPT  0x2u

/* policy[class][service]: a verdict, and the number of the limit that an ALLOW is under (0: none) */
#define MXDP_CELL_VERDICT 0x03u
#define MXDP_CELL_LIMIT_SHIFT 2
enum mxdp_cell {
	MXDP_CELL_DENY = 0,
	MXDP_CELL_ALLOW = 1,
	MXDP_CELL_DEFAULT_ALLOW = 2,
	MXDP_CELL_ADMIN = 3,
};

/*
 * What an `allow` says of how much. Rates are spacings: one SYN every `spacing` steps of a part of a jiffy; 0: no such
 * limit. Limits are numbered by how strict they are: of two, the lower number holds more back.
 */
#define MXDP_LIMITS 64u
#define MXDP_LIMIT_STEPS  1024u      /* steps to a jiffy, of a source */
#define MXDP_GLOBAL_STEPS (1u << 20) /* the same, of all sources together */
enum mxdp_over { MXDP_OVER_DROP = 0, MXDP_OVER_RESET = 1, MXDP_OVER_OBSERVE = 2, MXDP_OVER_BAN = 3 };
struct mxdp_limit {
	__u64 spacing, slack;               /* per source; slack: (burst - 1) * spacing */
	__u64 global_spacing, global_slack; /* of all sources together */
	__u32 connections;                  /* per source, 0: no limit */
	__u32 ban_seconds;                  /* MXDP_OVER_BAN; ~0: for ever */
	__u8 len4, len6;                    /* how many bits of its address make a source */
	__u8 over;                          /* enum mxdp_over */
	__u8 reserved[5];
	__u64 id;                           /* stays the same while the sentence does: what words of the tables are hashed with */
	__u64 reserved2;
};
_Static_assert(sizeof(struct mxdp_limit) == 64, "limit layout");

struct mxdp_bank {
	__u32 flags;
	__u32 epoch;               /* the epoch this bank was filled for: for whoever looks into it, not for the packet path */
	__u64 ahead;               /* no word of a limit is further ahead of the clock than this, in steps; see MXDP_GATE_LATE */
	__u32 conns;               /* not 0: connections are counted for this bank, under this number */
	__u32 trie_first;          /* of this bank's lines in the trie map */
	__u32 trie_used;           /* of this bank's lines; those behind are for edits. Never reused while the bank lives */
	__u32 classes_used;        /* likewise */
	__u32 named4, named6;      /* first lines of the bits of IPv4 and IPv6, of this bank's lines; 0: none */
	__u32 named4_factor;       /* MXDP_NAMED4() */
	__u32 named4_shift;        /* ... 8 to 20 */
	__u32 named4_set;          /* bits of IPv4 that are set */
	__u32 reserved[3];
	__u16 port[65536];         /* by destination port, host byte order */
	__u32 dir4[65536];         /* cell by the first 16 bits of an IPv4 source */
	__u32 dir6[65536];         /* cell by the first 16 bits of an IPv6 source */
	__u8 class_flags[MXDP_CLASSES];
	__u8 policy[MXDP_CLASSES][MXDP_SERVICES];
	struct mxdp_limit limit[MXDP_LIMITS]; /* 0 is never used */
};
_Static_assert(sizeof(struct mxdp_bank) == 64 + 2 * 65536 + 2 * 4 * 65536 + 1024 + 1024 * 256 + 64 * 64, "bank layout");

/* ---- lease: eight 64-bit words to a line; written by the packet path ---- */

#define MXDP_LEASE_WAYS 8u
#define MXDP_LEASE_EPOCHS 0xfffu /* epoch bits in a lease: the loader zeroes the table twice before they come round */
struct mxdp_lease_line {
	__u64 word[MXDP_LEASE_WAYS];
};

/*
 * ---- gates: who came how fast. A word is a source under a limit, eight to a line; written by the packet path ----
 *
 *     63                    24 23       0
 *     | when its next is due  |   tag   |    in steps of 1/1024 jiffy, modulo 2^40
 *
 * A time that has passed, or is further ahead than any limit looks (mxdp_bank.ahead), makes a free word. Behind the lines
 * lie the words of all sources together, two sets for the two banks: when the next is due, in steps of 1/2^20 jiffy, whole.
 */
#define MXDP_GATE_LINES 16384u
#define MXDP_GATE_ALL (MXDP_GATE_LINES + 2 * MXDP_LIMITS / 8)
#define MXDP_GATE_TAG_BITS 24
#define MXDP_GATE_LATE (4 * MXDP_LIMIT_STEPS) /* a CPU may have read the clock so long before it looks into a line */
#define MXDP_GATE_GLOBAL(bank, number) (MXDP_GATE_LINES + (bank) * (MXDP_LIMITS / 8) + (number) / 8) /* word: number % 8 */

/*
 * ---- conns: how many connections a source has open under a limit. Written by the program that hears of them ----
 *
 *     63                 24 23        0
 *     |   tag, never 0     |  count   |
 *
 * Two halves for the two banks, each of as many lines as the lease table. A source is counted in its own line or one of
 * those behind it, perhaps in several words, which are added up. A word of 0 was never used: whoever finds one has seen all
 * of a source. A word with count 0 is free.
 */
#define MXDP_CONN_REACH 8u /* lines */
#define MXDP_CONN_COUNT 0xffffffULL
#define MXDP_CONN_LINES(lease_lines) (2 * (lease_lines) + 1) /* word 0 of the last line: connections there was no room for */

struct mxdp_words {
	__u64 word[8];
};

/* ---- counters: per interface; written by the packet path ---- */

struct mxdp_count {
	MXDP_OTHER(__u64 bytes, packets;)
#ifndef MXDP_OTHER_LAYOUT
	__u64 packets;
	__u64 bytes; /* of the frame, from its first Ethernet byte */
#endif
};

/*
 * counters[((row * MXDP_SERVICES + service) * 2 + family) * 128 + observed * 64 + reason]
 * row: receive queue & cfg.row_mask; a queue is polled by one CPU at a time, so its row has one writer, unless
 * cfg.shared_rows; family: 0 IPv4 and LINK reasons, 1 IPv6;
 * observed: 1 when the reason says drop but the policy in force only observes.
 */
#define MXDP_COUNTERS_PER_ROW (MXDP_SERVICES * 2u * 2u * MXDP_REASON_SLOTS)
#ifdef MXDP_OTHER_LAYOUT
#define MXDP_COUNTER(row, service, family, observed, reason) \
	(((((__u32)(row) * 2u + (observed)) * 2u + (family)) * MXDP_SERVICES + (service)) * MXDP_REASON_SLOTS + (reason))
#else
#define MXDP_COUNTER(row, service, family, observed, reason) \
	(((((__u32)(row) * MXDP_SERVICES + (service)) * 2u + (family)) * 2u + (observed)) * MXDP_REASON_SLOTS + (reason))
#endif

/* ports[row * 65536 + port]: every TCP packet with both ports known, by destination port (host byte order) */
struct mxdp_port_count {
	MXDP_OTHER(struct mxdp_count other;)
	struct mxdp_count passed;
	struct mxdp_count dropped;
	struct mxdp_count observed; /* passed, because the policy in force only observes */
	/*
	 * By family: SYNs dropped as CLOSED when the port had no service of its own. Counted here and nowhere else: whoever
	 * reads adds them to `dropped`, and their sum over all ports to the counters of service 0.
	 */
	struct mxdp_count knocked[2];
};

/* How an answer gets out by the interface the packet came in by. */
enum mxdp_answers {
	MXDP_ANSWERS_TX = 0,
	MXDP_ANSWERS_REDIRECT = 1, /* veth: XDP_TX does not wake an other end that polls for GRO alone, and fills its ring for good */
	MXDP_ANSWERS_NONE = 2,     /* nothing would arrive: the kernel answers */
};

/* ---- cfg: constants of a loaded program; the verifier leaves out the branches they rule out ---- */

struct mxdp_cfg {
	__u64 lease_key[2];
	__u64 probe_key;
	__u32 lease_mask;  /* lines - 1, lines a power of two */
	__u32 row_mask;    /* rows - 1, rows a power of two */
	__u8 tick_shift;   /* jiffies >> tick_shift counts steps of about one second */
	__u8 frags;        /* the program was loaded for multi-buffer frames */
	__u8 test_clock;   /* time comes from state.test_jiffies */
	__u8 shared_rows;  /* two CPUs may count in one row at once: add with atomics (5 ns each here) */
	__u32 attached_on_trial; /* epoch of the trial that attached the interface: when it is over, every packet passes; 0: none */
	__u8 answers;      /* enum mxdp_answers */
	__u8 reserved[3];
	__u32 ban_lines;   /* of the table of bans */
};
_Static_assert(sizeof(struct mxdp_cfg) == 48, "cfg layout");

/* The same of the programs that hear of connections. */
struct mxdp_hear_cfg {
	__u64 netns; /* cookie of the network namespace whose sockets count */
	__u32 bank;  /* which one the iterator counts for */
	__u32 reserved;
};

/*
 * A test run that carries this as XDP metadata, with the right key, is judged
 * like any packet but counted nowhere and remembered nowhere; the answer is
 * written into it. No wire can bring metadata.
 */
struct mxdp_probe {
	__u64 key;
	__u32 epoch;
	__u8 reason;
	__u8 service;
	__u16 class_;
};
_Static_assert(sizeof(struct mxdp_probe) == 16, "probe layout");

#endif /* MXDP_ABI_H */
