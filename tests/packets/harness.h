/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The rig: the program itself, loaded with a clock that tests set, fed frame
 * by frame through BPF_PROG_TEST_RUN in the caller's network namespace.
 *
 * It keeps its own books: a copy of both counter maps as they must look by
 * now. After every expected packet the maps must equal the books, so exactly
 * one cell moved, by one packet and by the frame's bytes.
 */
#ifndef MXDP_TEST_HARNESS_H
#define MXDP_TEST_HARNESS_H

#include <linux/bpf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <mxdp/abi.h>

#define RIG_TICK_SHIFT 8
#define RIG_SECOND (1ull << RIG_TICK_SHIFT) /* a second of the test clock, in its jiffies */
#define RIG_PROBE_KEY 0x6d7864702d6b6579ull

struct rig {
	struct mxdp_bpf *skel;
	int prog;
	struct mxdp_state *state;
	struct mxdp_bank *banks;
	union mxdp_line *trie;
	struct mxdp_lease_line *lease;
	struct mxdp_words *gates, *conns;
	struct mxdp_count *counters;
	struct mxdp_ban_line *bans;
	struct mxdp_banned *banned;
	struct mxdp_ban_head *ban_head;
	struct mxdp_ban_text *ban_texts;
	struct mxdp_port_count *ports;
	size_t lease_lines, trie_lines, ban_lines;
	struct mxdp_count *book_counters;
	struct mxdp_port_count *book_ports;
	char service[MXDP_SERVICES][48]; /* keys of the services in force */
	uint64_t sent, sent_bytes;       /* frames run, probes left out */
	/* frames were split by hand: bytes behind an IP packet that ends in the first buffer may go uncounted */
	bool split;
	unsigned int failed;
	bool quiet;  /* failures are not counted: they are others of one that was */
	bool observe;
};

struct rig_options {
	bool no_frags;    /* loaded without xdp.frags */
	bool shared_rows;
	unsigned int lease_lines; /* 0: 256 */
	uint32_t attached_on_trial; /* epoch of the trial that attached the interface */
	unsigned int ban_lines;   /* 0: 64 */
};

/* A network namespace of one's own: no socket, no interface but lo. */
void rig_alone(void);

/* Anything the kernel refuses here ends the program with a message: no test can go on without. */
struct rig *rig_new(const struct rig_options *o);
void rig_free(struct rig *g);

/* Puts rules in force: parsed, compiled and placed by the project's own code; one more epoch. */
void rig_policy(struct rig *g, const char *sentences);
void rig_seconds(struct rig *g, unsigned int n);
/* MXDP_PORT_COOKIES_* of a port in the bank in force, whatever its sentences say. */
void rig_cookies(struct rig *g, unsigned int port, unsigned int bits);

struct rig_run {
	const void *frame;
	size_t len;
	size_t linear;            /* so many bytes lie in the first buffer; 0: as the kernel likes */
	struct mxdp_probe *probe; /* carried as metadata, and its answer */
	size_t nmeta;             /* bytes of metadata; 0: all of it */
	uint8_t *answer;          /* the frame as it is behind the program: room for RIG_ANSWER bytes */
	size_t *nanswer;
};
#define RIG_ANSWER (128 * 1024)
/* The verdict, or a negative errno of the test run itself. Counts in `sent`, unless it was a probe. */
int rig_run(struct rig *g, const struct rig_run *r);

#define NOPORT (-1)

/* What a row expects. */
struct rig_says {
	int verdict;         /* when not observing */
	int reason;
	int port;            /* counted under this destination port, or NOPORT */
	const char *service; /* key of the service; NULL: service 0 */
};
#define PASS(why, ...) { XDP_PASS, MXDP_R_##why, __VA_ARGS__ }
#define DROP(why, ...) { XDP_DROP, MXDP_R_##why, __VA_ARGS__ }
#define SENT(why, ...) { XDP_TX, MXDP_R_##why, __VA_ARGS__ }
#define SAYS(...) (struct rig_says)__VA_ARGS__

/*
 * Runs r and compares: verdict, reason, service, family, port, bytes. What differs is said on stdout under `what`, and
 * counted in g->failed. family: 4 or 6; reasons of the link are counted under IPv4, whatever the frame claims to be.
 */
bool rig_expect(struct rig *g, const char *what, const struct rig_run *r, unsigned int family, struct rig_says s);

/* The counters add up to the frames sent, packets and bytes, and every port's. Says so and returns false when not. */
bool rig_adds_up(struct rig *g);
/* Knocks on ports of no service are counted in one place for three; this moves them where they belong. NOPORT: all ports. */
void rig_fold(struct rig *g, int port);
/* The same after frames that went by rig_run() alone; the books are brought up to date. */
bool rig_adds_up_unseen(struct rig *g);

/* No lease lies in the table. */
bool rig_no_lease(const struct rig *g);

/* Unless ok: says so, and counts a failure. Returns ok. */
bool rig_claim(struct rig *g, bool ok, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

const char *rig_reason_name(int reason);
enum mxdp_layer rig_reason_layer(int reason);

/* Seeded, so that a failure can be had again: MXDP_SEED, or a fresh one; printed. */
uint64_t rig_seed(void);
uint64_t rig_random(uint64_t *seed);

#endif
