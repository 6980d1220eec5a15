// SPDX-License-Identifier: GPL-2.0-only
/*
 * How many connections a source has open: counted when the kernel says that
 * one is made, taken back when it says that it is closed, each in the word
 * that the socket itself remembers. So what is counted is what is there,
 * whatever happened in between.
 *
 * A tracing program is not run again while it runs on that CPU, and a packet
 * may end a connection in the middle of a close() that is being heard. So there
 * are two programs that do the same: what one of them misses the other hears,
 * and what both hear counts once, for the socket remembers.
 *
 * Counted are sockets that a listener got: established, fin-wait-1, fin-wait-2,
 * close-wait, last-ack and closing, until the kernel lets go of them. What it
 * keeps in their place in TIME_WAIT is no socket any more.
 *
 * `over ban` is judged here, by connections that were made: nobody can be
 * banned by SYNs that others forge in his name.
 */
#include <stdbool.h>
#include <linux/bpf.h>
#include <linux/in.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_tracing.h>
#include <mxdp/abi.h>
#include <mxdp/bans.h>
#include "maps.h"
#include "clock.h"
#include "trial.h"
#include "words.h"
#include "ban_insert.h"

/* What policy.h wants to know of a packet */
struct pkt {
	__u64 src_hi, src_lo;
	__u8 family;
};
#include "forget.h"
#include "policy.h"

const volatile struct mxdp_hear_cfg hear = {};

/* ---- what is wanted of the kernel's structures; where it lies is found out at load time ---- */

struct net {
	__u64 net_cookie;
} __attribute__((preserve_access_index));

typedef struct {
	struct net *net;
} possible_net_t;

struct in6_addr {
	union {
		__be32 u6_addr32[4];
	} in6_u;
} __attribute__((preserve_access_index));

struct sock_common {
	__be32 skc_daddr;
	__u16 skc_num;
	unsigned short skc_family;
	volatile unsigned char skc_state;
	possible_net_t skc_net;
	struct in6_addr skc_v6_daddr;
} __attribute__((preserve_access_index));

struct sock {
	struct sock_common __sk_common;
	__u16 sk_protocol;
} __attribute__((preserve_access_index));

struct bpf_iter_meta;
struct bpf_iter__tcp {
	struct bpf_iter_meta *meta;
	struct sock_common *sk_common;
} __attribute__((preserve_access_index));

enum { FAMILY_IP4 = 2, FAMILY_IP6 = 10 };
enum { ESTABLISHED = 1, SYN_RECV = 3, FIN_WAIT_1 = 4, FIN_WAIT_2 = 5, CLOSE = 7, CLOSE_WAIT = 8, LAST_ACK = 9, LISTEN = 10, CLOSING = 11 };
#define OPEN_STATES (1u << ESTABLISHED | 1u << FIN_WAIT_1 | 1u << FIN_WAIT_2 | 1u << CLOSE_WAIT | 1u << LAST_ACK | 1u << CLOSING)

/* ---- what a socket remembers: for each bank under which number it was counted, and where ---- */

#define NOWHERE (~0u)
struct opened {
	__u32 gen[2];
	__u32 word[2];
};

struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct opened);
} opened SEC(".maps");

/* ---- counting ---- */

static __always_inline void count_lost(void)
{
	__u32 at = MXDP_CONN_LINES(cfg.lease_mask + 1) - 1;
	struct mxdp_words *line = bpf_map_lookup_elem(&conns, &at);

	if (line)
		__sync_fetch_and_add(&line->word[0], 1);
}

/* One connection more: the number of the word it is counted in, or NOWHERE when all that could be are taken. */
__noinline __u32 count_open(__u64 hash, __u32 bank)
{
	__u64 tag = hash >> 24 | 1;
	__u32 half = bank & 1 ? cfg.lease_mask + 1 : 0;

	for (__u64 n = 0; n < MXDP_CONN_REACH; n++) { /* spilt as 32 bits it would be forgotten */
		__u32 at = half + ((__u32)(hash + n) & cfg.lease_mask);
		struct mxdp_words *line = bpf_map_lookup_elem(&conns, &at);

		if (!line)
			break;
		for (__u32 i = 0; i < 8; i++) {
			__u64 w = *(volatile __u64 *)&line->word[i];

			if (w >> 24 != tag && w & MXDP_CONN_COUNT)
				continue;
			/* added by exchange, not by addition: the word may have become another's meanwhile */
			if (__sync_val_compare_and_swap(&line->word[i], w, (w >> 24 == tag ? w : tag << 24) + 1) == w)
				return at * 8 + i;
		}
	}
	return NOWHERE;
}

/* The word is its source's for as long as it is counted there, so here an addition will do. */
static __always_inline void count_close(__u32 word)
{
	__u32 at = word / 8;
	struct mxdp_words *line = bpf_map_lookup_elem(&conns, &at);

	if (line)
		__sync_fetch_and_sub(&line->word[word & 7], 1);
}

/* ---- sockets ---- */

static __always_inline bool is_ours(const struct sock_common *sk)
{
	return sk->skc_net.net->net_cookie == hear.netns;
}

static __always_inline bool peer_of(const struct sock_common *sk, struct pkt *p)
{
	__u64 hi, lo;

	p->src_hi = 0;
	p->family = 0;
	if (sk->skc_family == FAMILY_IP4) {
		p->src_lo = bpf_ntohl(sk->skc_daddr);
		return true;
	}
	if (sk->skc_family != FAMILY_IP6)
		return false;
	hi = (__u64)bpf_ntohl(sk->skc_v6_daddr.in6_u.u6_addr32[0]) << 32 | bpf_ntohl(sk->skc_v6_daddr.in6_u.u6_addr32[1]);
	lo = (__u64)bpf_ntohl(sk->skc_v6_daddr.in6_u.u6_addr32[2]) << 32 | bpf_ntohl(sk->skc_v6_daddr.in6_u.u6_addr32[3]);
	if (hi == 0 && lo >> 32 == 0xffff) { /* IPv4 on a socket of both families */
		p->src_lo = lo & 0xffffffff;
		return true;
	}
	p->src_hi = hi;
	p->src_lo = lo;
	p->family = 1;
	return true;
}

/* The number of the limit that bank `bank` puts this peer under at this port, as the packet path would find it. */
__noinline __u32 limit_met(__u64 hi, __u64 lo, __u32 is_ip6, __u32 port, __u32 bank)
{
	struct pkt p = { .src_hi = hi, .src_lo = lo, .family = is_ip6 & 1 };
	const struct mxdp_bank *b = &banks[bank & 1];
	bool dressed = false;
	__u32 class_ = class_of(b, &p, &dressed) & (MXDP_CLASSES - 1);
	__u8 cell = b->policy[class_][b->port[port & 0xffff] & MXDP_PORT_SERVICE];

	return cell >> MXDP_CELL_LIMIT_SHIFT;
}

/* Is this connection one too many, of a source that is banned for that? Asked once for each that is made. */
static __always_inline bool too_many(const struct mxdp_bank *b, __u32 bank, const struct mxdp_limit *l, __u64 hash)
{
	struct mxdp_words *line = gate_line(hash);

	if (l->connections && conns_held(hash, conns_half(bank)) > l->connections)
		return true;
	return l->spacing && line && !gate_take(line, hash, clock_jiffies(), l->spacing, l->slack, b->ahead, false);
}

static __always_inline bool in_force(__u32 bank)
{
	__u32 epoch = *(volatile __u32 *)&state.epoch;

	return ((epoch + trial_over(epoch)) & 1) == (bank & 1);
}

/* Counts the socket for one bank, unless it is counted there. `as`: the same socket, as the helpers want it; `made`: now. */
static __always_inline void open_for(const struct sock_common *sk, void *as, const struct pkt *p, __u32 bank, bool made)
{
	const struct mxdp_bank *b = &banks[bank & 1];
	__u32 gen = *(volatile __u32 *)&b->conns, number, word;
	const struct mxdp_limit *l;
	struct opened *o;
	__u64 hash;

	if (!gen)
		return;
	number = limit_met(p->src_hi, p->src_lo, p->family, sk->skc_num, bank);
	/* clang 19 knows how large it can be, and drops the mask that tells the verifier so */
	asm volatile("" : "+r"(number));
	l = &b->limit[number & (MXDP_LIMITS - 1)];
	if (!number || (!l->connections && l->over != MXDP_OVER_BAN))
		return;
	o = bpf_sk_storage_get(&opened, as, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!o) {
		count_lost();
		return;
	}
	if (o->gen[bank & 1] == gen)
		return;
	hash = source_hash(state.limit_key, l, p->family, p->src_hi, p->src_lo);
	word = l->connections ? count_open(hash, bank) : NOWHERE;
	if (word == NOWHERE && l->connections)
		count_lost();
	o->word[bank & 1] = word;
	o->gen[bank & 1] = gen;
	if (made && l->over == MXDP_OVER_BAN && !(b->flags & MXDP_BANK_OBSERVE) && in_force(bank) && too_many(b, bank, l, hash))
		ban_source(p->family, p->src_hi, p->src_lo, p->family ? l->len6 : l->len4, l->ban_seconds);
}

static __always_inline void closed_for(struct opened *o, __u32 bank)
{
	__u32 gen = o->gen[bank & 1];

	if (gen && gen == *(volatile __u32 *)&banks[bank & 1].conns && o->word[bank & 1] != NOWHERE)
		count_close(o->word[bank & 1]);
	o->gen[bank & 1] = 0;
}

static __always_inline int hear_change(struct sock *sk, int from, int to)
{
	struct opened *o;
	struct pkt p;

	if (sk->sk_protocol != IPPROTO_TCP)
		return 0;
	if (from == SYN_RECV && to == ESTABLISHED && is_ours(&sk->__sk_common) && peer_of(&sk->__sk_common, &p)) {
		open_for(&sk->__sk_common, sk, &p, 0, true);
		open_for(&sk->__sk_common, sk, &p, 1, true);
	} else if (to == CLOSE) {
		o = bpf_sk_storage_get(&opened, sk, 0, 0);
		if (o) {
			closed_for(o, 0);
			closed_for(o, 1);
		}
	}
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(mxdp_hear, struct sock *sk, int from, int to)
{
	(void)ctx;
	return hear_change(sk, from, to);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(mxdp_hear_too, struct sock *sk, int from, int to)
{
	(void)ctx;
	return hear_change(sk, from, to);
}

/* ---- the sockets that are there already ---- */

/*
 * Which ports have a listener: a socket at another port is one of our own connections. The kernel shows listeners first.
 * Ports below this are nobody's by chance.
 */
#define FIRST_OWN_PORT 1024
__u64 listening[1024] SEC(".data.listening");

/* The kernel holds the socket's lock here, so that it cannot change its state meanwhile. */
SEC("iter/tcp")
int mxdp_seed(struct bpf_iter__tcp *ctx)
{
	struct sock_common *sk = ctx->sk_common;
	struct pkt p;
	__u32 port;

	if (!sk || !is_ours(sk))
		return 0;
	port = sk->skc_num;
	if (sk->skc_state == LISTEN)
		listening[port / 64 & 1023] |= 1ULL << (port & 63);
	if (sk->skc_state > CLOSING || !(OPEN_STATES >> sk->skc_state & 1))
		return 0;
	if (port >= FIRST_OWN_PORT && !(listening[port / 64 & 1023] >> (port & 63) & 1))
		return 0;
	if (peer_of(sk, &p))
		open_for(sk, sk, &p, hear.bank, false);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
