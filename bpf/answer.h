/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: answer. The SYN is turned round where it lies and sent back by the
 * driver: a SYN-ACK that carries the kernel's own SYN cookie, or a refusal. A
 * function, called where a packet is to be answered and nowhere else.
 *
 * The cookie is the kernel's, made for the listener that would have got the
 * SYN, so the ACK that brings it back is the kernel's to take: nothing is
 * remembered here. The kernel also decides whether one is due (docs/notes.md).
 */
#ifndef MXDP_BPF_ANSWER_H
#define MXDP_BPF_ANSWER_H

#define ANSWER_TTL 64
#define ANSWER_WORDS 10u /* of a TCP header, the longest that is sent */
#define ETHERNET_LEAST 60u
/*
 * What a client may send before it hears more (RFC 6928). The kernel works the
 * window out anew from the ACK, and says so in its first segment; a larger one
 * here could be more than it will have.
 */
#define ANSWER_WINDOW 14600u

/* A TCP header in the making. */
struct reply {
	__be32 w[ANSWER_WORDS];
	__u32 words;  /* of them that are sent */
	__u32 l3, l4; /* where IP and TCP lie in the frame */
};

enum { OPT_END = 0, OPT_NOP = 1, OPT_MSS = 2, OPT_SCALE = 3, OPT_SACK = 4, OPT_TIME = 8, OPT_MD5 = 19, OPT_AO = 29 };

/* What syn_options() found: the peer's timestamp above, these below. */
#define SYN_SCALE   0x0fu /* the shift, or NO_SCALE */
#define SYN_SACK    0x10u
#define SYN_TIME    0x20u
#define SYN_SIGNED  0x40u /* MD5 or AO: the answer would have to be signed too */
#define NO_SCALE    0x0fu

/*
 * Walks `len` bytes of options at `at`. A function of its own, verified once. The walk only notes where each kind lies: with
 * more to decide on its way, the verifier takes every path for another one.
 */
__noinline __u64 syn_options(struct xdp_md *ctx, __u32 at, __u32 len)
{
	__u8 opt[64] = {}, where[32] = {}; /* of each kind: place + 1; kinds above 31 share 0 */
	__u64 found = NO_SCALE;
	__u32 i = 0, w;

	if (len < 4 || len > 40 || bpf_xdp_load_bytes(ctx, at, opt, len))
		return found;
	for (int n = 0; n < 40; n++) {
		__u32 kind = opt[i & 63], size = kind == OPT_NOP ? 1 : opt[(i + 1) & 63];

		if (kind == OPT_END || size == 0 || i + size > len)
			break; /* the kernel reads no further either */
		where[kind > 31 ? 0 : kind & 31] = i + 1;
		i += size;
		if (i >= len)
			break;
		asm volatile("" : "+r"(i));
	}
	w = where[OPT_SCALE];
	if (w && opt[w & 63] == 3) {
		__u32 shift = opt[(w + 1) & 63];

		found = shift > 14 ? 14 : shift;
	}
	if (where[OPT_SACK])
		found |= SYN_SACK;
	w = where[OPT_TIME];
	if (w && opt[w & 63] == 10) {
		__u32 v = (__u32)opt[(w + 1) & 63] << 24 | opt[(w + 2) & 63] << 16 | opt[(w + 3) & 63] << 8 | opt[(w + 4) & 63];

		found |= (__u64)v << 32 | SYN_TIME;
	}
	if (where[OPT_MD5] || where[OPT_AO])
		found |= SYN_SIGNED;
	return found;
}

/* Where the IP header lies in a frame of the form that is answered: no fragment, no IP options, no extension header; or 0. */
static __always_inline __u32 answer_l3(struct xdp_md *ctx, const struct pkt *p)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ip;
	__u32 l3 = sizeof(struct ethhdr);
	__be16 proto;

	if (data + sizeof(struct ethhdr) > end)
		return 0;
	proto = U16(data, 12);
	for (int n = 0; n < MXDP_MAX_TAGS && is_tag(proto); n++) {
		if (data + l3 + 4 > end)
			return 0;
		proto = U16(data + l3, 2);
		l3 += 4;
	}
	ip = data + l3;
	if (ip + sizeof(struct ipv6hdr) > end)
		return 0;
	if (p->family == 0)
		return proto == bpf_htons(ETH_P_IP) && U8(ip, 0) == 0x45 && !(U16(ip, 6) & bpf_htons(0x3fff)) ? l3 : 0;
	return proto == bpf_htons(ETH_P_IPV6) && U8(ip, 6) == IPPROTO_TCP ? l3 : 0;
}

static __always_inline __u16 fold(__u64 sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return ~(__u16)((sum & 0xffff) + (sum >> 16));
}

/* The largest segment this interface takes, as the kernel's own SYN-ACK says it. */
static __always_inline __u32 own_mss(struct xdp_md *ctx, __u32 heads, __u32 otherwise)
{
	__u32 mtu = 0;

	bpf_check_mtu(ctx, 0, &mtu, 0, 0);
	if (mtu < 576)
		return otherwise;
	return (mtu > 0xffff ? 0xffff : mtu) - heads;
}

/*
 * The kernel's cookies carry window scale and SACK in the lowest bits of their timestamp and take them from its echo. Here it
 * can be told only where the loader saw that timestamps have no secret offset. One form, unused places filled up.
 */
static __always_inline void say_options(__be32 *w, __u64 theirs, __u32 ours)
{
	__u64 now = bpf_ktime_get_coarse_ns() / 1000000, stamp; /* ms, as in cookie_init_timestamp() of 6.1 to 6.18 */
	bool sack = theirs & SYN_SACK && ours & MXDP_COOKIE_SACK;
	__u32 scale = ours & MXDP_COOKIE_SCALE ? theirs & SYN_SCALE : NO_SCALE;

	stamp = (now & ~63ULL) | (sack ? 0x10 : 0) | scale;
	if (stamp > now)
		stamp -= 64; /* later segments must not carry an older one */
	w[6] = sack ? bpf_htonl(OPT_SACK << 24 | 2 << 16 | OPT_TIME << 8 | 10) :
		      bpf_htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_TIME << 8 | 10);
	w[7] = bpf_htonl(stamp);
	w[8] = bpf_htonl(theirs >> 32);
	w[9] = scale == NO_SCALE ? bpf_htonl(OPT_NOP << 24 | OPT_NOP << 16 | OPT_NOP << 8 | OPT_NOP) :
				   bpf_htonl(OPT_NOP << 24 | OPT_SCALE << 16 | 3 << 8 | (ours >> MXDP_COOKIE_SHIFT & 0x0f));
}

/*
 * The kernel's cookie for the SYN whose IP header lies at l3: the sequence number, and above it the segment size it stands
 * for. Negative: no cookie is due, or nobody listens. A function of its own for the sake of the stack.
 */
__noinline __s64 make_cookie(struct xdp_md *ctx, const struct pkt *p, __u32 l3)
{
	void *ip, *tcp, *end = (void *)(long)ctx->data_end;
	__u32 len, heads;
	struct bpf_sock *sk;
	__s64 cookie = -1;

	if (!p)
		return -1;
	heads = p->family == 0 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr);
	ip = (void *)(long)ctx->data + (l3 & 31);
	tcp = ip + heads;
	if (ip + sizeof(struct ipv6hdr) > end || tcp + sizeof(struct tcphdr) > end)
		return -1;
	len = U8(tcp, 12) >> 4 << 2;
	/* the verifier knows only bounds of the very register, one at a time */
	asm volatile("" : "+r"(len));
	if (len < sizeof(struct tcphdr))
		return -1;
	asm volatile("" : "+r"(len));
	if (len > 60)
		return -1;
	sk = socket_of(ctx, p);
	if (!sk)
		return -1;
	if (sk->state == BPF_TCP_LISTEN) {
		__u8 copy[60] = {}; /* the helper wants a buffer whose size is known */

		if (!bpf_xdp_load_bytes(ctx, (l3 & 31) + heads, copy, len))
			cookie = bpf_tcp_gen_syncookie(sk, ip, heads, (void *)copy, len);
	}
	bpf_sk_release(sk);
	return cookie;
}

/* The SYN-ACK's sequence number and options. False: no cookie. */
static __always_inline bool say_cookie(struct xdp_md *ctx, const struct pkt *p, struct reply *r, __u32 options_len)
{
	__u64 theirs = options_len >= 8 ? syn_options(ctx, r->l4 + sizeof(struct tcphdr), options_len) : NO_SCALE;
	__u32 ours = *(volatile __u32 *)&state.cookie_options;
	__s64 cookie;

	if (theirs & SYN_SIGNED)
		return false;
	cookie = make_cookie(ctx, p, r->l3);
	if (cookie < 0)
		return false;
	r->w[1] = bpf_htonl((__u32)cookie);
	r->w[5] = bpf_htonl(OPT_MSS << 24 | 4 << 16 | own_mss(ctx, p->family == 0 ? 40 : 60, cookie >> 32 & 0xffff));
	r->words = 6;
	if (ours & MXDP_COOKIE_TIME && theirs & SYN_TIME) {
		say_options(r->w, theirs, ours);
		r->words = ANSWER_WORDS;
	}
	r->w[3] = bpf_htonl(r->words << 28 | (F_SYN | F_ACK) << 16 | ANSWER_WINDOW);
	return true;
}

/* Sums of what lies in the frame, before it is turned round, or of what was written into it. */
static __always_inline __u64 turn_ip4(void *ip, __u32 segment)
{
	__u32 first = bpf_htonl(0x45000000 | (sizeof(struct iphdr) + segment)), second = bpf_htonl(0x00004000);
	__u32 third = bpf_htonl(ANSWER_TTL << 24 | IPPROTO_TCP << 16), from = U32(ip, 12), to = U32(ip, 16);
	__u64 addresses = (__u64)from + to;

	*(__u32 *)ip = first;
	*(__u32 *)(ip + 4) = second;
	*(__u32 *)(ip + 8) = third;
	*(__u16 *)(ip + 10) = fold(addresses + first + second + third);
	*(__u32 *)(ip + 12) = to;
	*(__u32 *)(ip + 16) = from;
	return addresses;
}

static __always_inline __u64 turn_ip6(void *ip, __u32 segment)
{
	__u64 sum = 0;

	*(__u32 *)ip = bpf_htonl(0x60000000);
	*(__u32 *)(ip + 4) = bpf_htonl(segment << 16 | IPPROTO_TCP << 8 | ANSWER_TTL);
	for (int i = 8; i < 24; i += 4) {
		__u32 from = U32(ip, i), to = U32(ip, i + 16);

		sum += (__u64)from + to;
		*(__u32 *)(ip + i) = to;
		*(__u32 *)(ip + i + 16) = from;
	}
	return sum;
}

static __always_inline void turn_ethernet(void *data)
{
	__u32 to = U32(data, 0), from = U32(data, 6);
	__u16 to_end = U16(data, 4), from_end = U16(data, 10);

	*(__u32 *)data = from;
	*(__u16 *)(data + 4) = from_end;
	*(__u32 *)(data + 6) = to;
	*(__u16 *)(data + 10) = to_end;
}

/* Makes the frame the answer: r's TCP header, and nothing behind it. */
__noinline int turn_round(struct xdp_md *ctx, const struct pkt *p, struct reply *r)
{
	__u32 segment, ends, len;
	void *data, *end, *ip, *tcp;
	__u64 sum;

	if (!p || !r)
		return 0;
	segment = r->words * 4;
	ends = r->l4 + segment;
	len = ends < ETHERNET_LEAST ? ETHERNET_LEAST : ends;
	if (len != p->frame_len && bpf_xdp_adjust_tail(ctx, (int)len - (int)p->frame_len))
		return 0;
	data = (void *)(long)ctx->data;
	end = (void *)(long)ctx->data_end;
	ip = data + (r->l3 & 31);
	tcp = data + (r->l4 & 127);
	if (data + sizeof(struct ethhdr) > end || ip + (p->family == 0 ? 20 : 40) > end || tcp + 20 > end)
		return 0;
	turn_ethernet(data);
	sum = p->family == 0 ? turn_ip4(ip, segment) : turn_ip6(ip, segment);
	sum += (__u64)bpf_htonl(IPPROTO_TCP) + bpf_htonl(segment);
	for (__u32 i = 0; i < ANSWER_WORDS; i++)
		sum += r->w[i];
	r->w[4] = fold(sum);
	for (__u32 i = 0; i < ANSWER_WORDS; i++) {
		if (i >= r->words || tcp + i * 4 + 4 > end)
			break;
		*(__u32 *)(tcp + i * 4) = r->w[i];
	}
	for (int i = 0; i < 6; i += 2) { /* no answer that is padded ends more than six bytes short */
		void *pad = data + (ends & 127) + i;

		if (pad + 2 > end)
			break;
		*(__u16 *)pad = 0;
	}
	return 1;
}

enum answer_kind { ANSWER_COOKIE, ANSWER_RST };

/*
 * Answers the SYN in ctx, which p describes: 1, and the frame may be sent; or 0, and it is as it was (padding
 * aside). Behind it no packet pointer is good.
 */
__noinline int answer(struct xdp_md *ctx, const struct pkt *p, int kind)
{
	struct reply r = {};
	void *tcp;

	if (!p || cfg.answers == MXDP_ANSWERS_NONE || p->frame_len != ctx->data_end - ctx->data ||
	    p->frame_len >= MXDP_FULL_BUFFER)
		return 0;
	if (cfg.frags && p->frame_len < MXDP_SHORT_BUFFER && bpf_xdp_get_buff_len(ctx) != p->frame_len)
		return 0;
	r.l3 = answer_l3(ctx, p);
	if (!r.l3)
		return 0;
	r.l4 = r.l3 + (p->family == 0 ? sizeof(struct iphdr) : sizeof(struct ipv6hdr));
	tcp = (void *)(long)ctx->data + (r.l4 & 127);
	if (tcp + sizeof(struct tcphdr) > (void *)(long)ctx->data_end)
		return 0;
	r.w[0] = bpf_htonl(p->dport << 16 | (p->sport & 0xffff));
	r.w[2] = bpf_htonl(bpf_ntohl(U32(tcp, 4)) + 1);
	if (kind == ANSWER_RST) {
		r.words = 5;
		r.w[3] = bpf_htonl(r.words << 28 | (F_RST | F_ACK) << 16);
	} else if (!say_cookie(ctx, p, &r, (U8(tcp, 12) >> 4 << 2) - sizeof(struct tcphdr))) {
		return 0;
	}
	return turn_round(ctx, p, &r);
}

/*
 * Does this SYN ask the kernel for a cookie? `auto` asks with one SYN a tick and receive queue, and with every SYN for a
 * second after the kernel gave one: without pressure that costs next to nothing.
 */
enum { GATE_ASKED, GATE_SENT, GATE_WORDS = 8 }; /* jiffies; a line to each queue */
__u64 cookie_gates[64][GATE_WORDS] SEC(".data.cookies");

static __always_inline bool cookie_due(__u64 *gate, __u32 entry, __u64 now)
{
	if (entry & MXDP_PORT_COOKIES_ALWAYS || now - gate[GATE_SENT] <= 1ULL << cfg.tick_shift)
		return true;
	if (gate[GATE_ASKED] == now)
		return false;
	gate[GATE_ASKED] = now;
	return true;
}

/* A SYN that may come in, to a port with this entry: answered with a cookie? */
static __always_inline bool answer_cookie(struct xdp_md *ctx, const struct pkt *p, __u32 entry)
{
	__u64 *gate = cookie_gates[ctx->rx_queue_index & 63], now = clock_jiffies();

	if (!cookie_due(gate, entry, now) || !answer(ctx, p, ANSWER_COOKIE))
		return false;
	if (gate[GATE_SENT] != now)
		gate[GATE_SENT] = now;
	return true;
}

/* Answers a SYN with RST: a real sender need not wait for a time-out. */
static __always_inline bool answer_rst(struct xdp_md *ctx, const struct pkt *p)
{
	return answer(ctx, p, ANSWER_RST);
}

#endif /* MXDP_BPF_ANSWER_H */
