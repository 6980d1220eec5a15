/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: parse. Finds where the packet comes from and which ports it names,
 * or the reason why that cannot be said.
 *
 * Everything is bounded by the IP length, not by the end of the frame: bytes
 * behind the packet are padding, whatever they look like. Only headers that
 * the kernel walks are walked; any other ends the walk with "no port".
 */
#ifndef MXDP_BPF_PARSE_H
#define MXDP_BPF_PARSE_H

#define MXDP_MAX_TAGS 2
#define MXDP_MAX_EXT_HEADERS 8
#define MXDP_MAX_EXT_BYTES 1024u /* all extension headers together; Linux hosts send under 100 */

enum { MXDP_PARSED = -1 }; /* ports known: go on; any other answer of parse() is a reason */

/*
 * What is known of the packet. Plain numbers only, no pointer into it: behind
 * parse() all paths of the verifier look alike, and it prunes them.
 */
struct pkt {
	__u64 src_hi, src_lo; /* IPv6 source, host order; IPv4: src_lo holds the address, src_hi 0 */
	__u64 dst_hi, dst_lo;
	__u32 frame_len;  /* of the whole frame, buffers behind the first included */
	__u32 tcp_off;    /* where the TCP header lies in the frame */
	__u32 sport, dport; /* host order */
	__u8 flags;       /* TCP flags as on the wire */
	__u8 family;      /* 0 IPv4, 1 IPv6 */
	__u8 has_source;  /* src_* are valid */
	__u8 to_group;    /* to a group address of Ethernet */
};

struct frame {
	void *data, *end, *ip;
};

/* linux/if_ether.h packs its header, and clang then loads byte by byte */
#define U16(p, off) (*(const volatile __u16 *)((const void *)(p) + (off)))
#define U8(p, off) (*(const volatile __u8 *)((const void *)(p) + (off)))
#define U32(p, off) (*(const volatile __u32 *)((const void *)(p) + (off)))

#define ETH_P_QINQ_OLD 0x9100

/* RFC 792, RFC 950; linux/icmp.h brings the C library's sockets along */
enum { ICMP_UNREACHABLE = 3, ICMP_REDIRECT = 5, ICMP_EXCEEDED = 11, ICMP_PARAMETER = 12, ICMP_TIMESTAMP = 13, ICMP_MASK_REPLY = 18 };

static __always_inline bool is_tag(__be16 proto)
{
	return proto == bpf_htons(ETH_P_8021Q) || proto == bpf_htons(ETH_P_8021AD) ||
	       proto == bpf_htons(ETH_P_QINQ_OLD);
}

/* The verifier of Linux 6.12 forgets what it knew of a number at a byte swap, and clang drops a mask that it thinks idle. */
static __always_inline __u32 port_of(__be16 port_be)
{
	__u32 port = bpf_ntohs(port_be);

	asm volatile("" : "+r"(port));
	return port & 0xffff;
}

/*
 * Whether more buffers follow the first costs a helper call to learn. It is
 * asked where the first is shorter than any Ethernet frame, or long enough
 * that a driver may have filled it, or where the IP length points beyond it.
 */
#define MXDP_SHORT_BUFFER 60u
#define MXDP_FULL_BUFFER 2048u

/* A header ends behind the first buffer: of the frame, or only of this buffer? */
static __always_inline int cut_short(struct xdp_md *ctx, const struct frame *f, struct pkt *p, int reason)
{
	if (!cfg.frags)
		return reason;
	p->frame_len = bpf_xdp_get_buff_len(ctx);
	return p->frame_len > (__u32)(f->end - f->data) ? MXDP_R_HEADER_SPLIT : reason;
}

/* Is all of the IP packet in the frame? */
static __always_inline bool frame_holds(struct xdp_md *ctx, const struct frame *f, struct pkt *p, __u32 l3_off, __u32 ip_len)
{
	__u32 linear = (__u32)(f->end - f->data);

	if (l3_off + ip_len <= linear)
		return true;
	if (!cfg.frags)
		return false;
	p->frame_len = bpf_xdp_get_buff_len(ctx);
	return l3_off + ip_len <= p->frame_len;
}

/*
 * The TCP header at `at`, `room` bytes before the IP packet ends.
 */
static __always_inline int parse_tcp(const struct frame *f, struct pkt *p, void *at, __u32 room, bool first_fragment)
{
	struct tcphdr *tcp = at;
	__u32 doff;

	if (room < sizeof(*tcp))
		return first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_TCP_HEADER;
	if ((void *)(tcp + 1) > f->end)
		return cfg.frags ? MXDP_R_HEADER_SPLIT : MXDP_R_TCP_HEADER;
	doff = tcp->doff * 4;
	if (doff < sizeof(*tcp))
		return MXDP_R_TCP_HEADER;
	if (doff > room)
		return first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_TCP_HEADER;
	p->sport = bpf_ntohs(tcp->source);
	p->dport = bpf_ntohs(tcp->dest);
	p->tcp_off = (__u32)(at - f->data);
	p->flags = ((__u8 *)tcp)[13];
	return MXDP_PARSED;
}

static __always_inline int other_protocol(__u8 proto)
{
	if (proto == IPPROTO_IPIP || proto == IPPROTO_IPV6 || proto == IPPROTO_GRE)
		return MXDP_R_TUNNEL;
	return MXDP_R_NOT_TCP;
}

static __always_inline int parse_icmp4(const struct frame *f, void *at, __u32 room)
{
	__u8 type;

	if (room < 1 || at + 1 > f->end)
		return MXDP_R_NOT_TCP;
	type = *(__u8 *)at;
	if (type == ICMP_UNREACHABLE || type == ICMP_EXCEEDED || type == ICMP_PARAMETER)
		return MXDP_R_ICMP_ERROR;
	if (type == ICMP_REDIRECT || (type >= ICMP_TIMESTAMP && type <= ICMP_MASK_REPLY))
		return MXDP_R_ICMP_ODD;
	return MXDP_R_NOT_TCP;
}

static __always_inline bool is_dhcp(const struct frame *f, void *at, __u32 room, __be16 client, __be16 server)
{
	struct udphdr *udp = at;

	return room >= sizeof(*udp) && (void *)(udp + 1) <= f->end &&
	       ((udp->dest == client && udp->source == server) || (udp->dest == server && udp->source == client));
}

/*
 * A loose or strict source route among the options? A function of its own,
 * verified once: options are too rare to pay for, in any sense, on the way.
 */
__noinline int ip4_source_route(struct xdp_md *ctx, __u32 at, __u32 len)
{
	__u8 opt[64] = {};
	__u32 i = 0;

	/* options come in words; of `!= 0` the verifier of Linux 6.1 learns nothing */
	if (len < 4 || len > 40 || bpf_xdp_load_bytes(ctx, at, opt, len))
		return 0;
	for (int n = 0; n < 40; n++) {
		__u8 kind = opt[i & 63];

		if (kind == 0)
			break;
		if (kind == 0x83 || kind == 0x89)
			return 1;
		i += kind == 1 ? 1 : opt[(i + 1) & 63];
		if (i >= len)
			break;
		asm volatile("" : "+r"(i));
	}
	return 0;
}

static __always_inline int parse_ip4(struct xdp_md *ctx, const struct frame *f, struct pkt *p)
{
	struct iphdr *ip = f->ip;
	__u32 l3_off = (__u32)(f->ip - f->data);
	__u32 head, len;
	__u16 frag;
	void *l4;

	p->family = 0;
	if ((void *)(ip + 1) > f->end)
		return cut_short(ctx, f, p, MXDP_R_IP_HEADER);
	if (ip->version != 4)
		return MXDP_R_IP_VERSION;
	head = ip->ihl * 4;
	if (head < sizeof(*ip))
		return MXDP_R_IP_HEADER;
	len = bpf_ntohs(ip->tot_len);
	if (len < head || !frame_holds(ctx, f, p, l3_off, len))
		return MXDP_R_IP_LENGTH;
	l4 = f->ip + head;
	if (l4 > f->end)
		return cut_short(ctx, f, p, MXDP_R_IP_HEADER);
	p->src_hi = 0;
	p->dst_hi = 0;
	p->src_lo = bpf_ntohl(ip->saddr);
	p->dst_lo = bpf_ntohl(ip->daddr);
	p->has_source = 1;
	if (head > sizeof(*ip) && ip4_source_route(ctx, l3_off + sizeof(*ip), head - sizeof(*ip)))
		return MXDP_R_SOURCE_ROUTE;

	frag = bpf_ntohs(ip->frag_off) & 0x3fff; /* offset and "more fragments" */
	if (ip->protocol != IPPROTO_TCP) {
		if (frag & 0x1fff)
			return other_protocol(ip->protocol);
		if (ip->protocol == IPPROTO_ICMP)
			return parse_icmp4(f, l4, len - head);
		if (ip->protocol == IPPROTO_UDP && is_dhcp(f, l4, len - head, bpf_htons(68), bpf_htons(67)))
			return MXDP_R_DHCP;
		return other_protocol(ip->protocol);
	}
	if (frag & 0x1fff)
		return MXDP_R_FRAGMENT;
	return parse_tcp(f, p, l4, len - head, frag != 0);
}

static __always_inline bool ip6_carries_tcp_maybe(__u8 next)
{
	return next == IPPROTO_TCP || next == IPPROTO_HOPOPTS || next == IPPROTO_ROUTING ||
	       next == IPPROTO_DSTOPTS || next == IPPROTO_AH || next == IPPROTO_FRAGMENT;
}

static __always_inline int parse_icmp6(const struct frame *f, void *at, bool fragmented)
{
	__u8 type;

	if (at + 1 > f->end)
		return MXDP_R_NOT_TCP;
	type = *(__u8 *)at;
	if (type >= 133 && type <= 137) /* RFC 4861 */
		return fragmented ? MXDP_R_FRAGMENT_ND : MXDP_R_NEIGHBOUR;
	if ((type >= 130 && type <= 132) || type == 143) /* RFC 2710, RFC 3810 */
		return MXDP_R_NEIGHBOUR;
	if (type >= 1 && type <= 4)
		return MXDP_R_ICMP_ERROR;
	return MXDP_R_NOT_TCP;
}

static __always_inline int parse_ip6(struct xdp_md *ctx, const struct frame *f, struct pkt *p)
{
	struct ipv6hdr *ip = f->ip;
	__u32 l3_off = (__u32)(f->ip - f->data);
	__u32 len, off = 0; /* off: bytes of extension headers walked */
	bool fragmented = false, first_fragment = false;
	__u8 next;
	void *at;

	p->family = 1;
	if ((void *)(ip + 1) > f->end)
		return cut_short(ctx, f, p, MXDP_R_IP_HEADER);
	if (ip->version != 6) {
		p->family = 0; /* of no family */
		return MXDP_R_IP_VERSION;
	}
	len = bpf_ntohs(ip->payload_len);
	if (len == 0 && ip->nexthdr != IPPROTO_NONE)
		return MXDP_R_JUMBO;
	if (!frame_holds(ctx, f, p, l3_off, sizeof(*ip) + len))
		return MXDP_R_IP_LENGTH;
	p->src_hi = bpf_be64_to_cpu(*(__be64 *)&ip->saddr.s6_addr[0]);
	p->src_lo = bpf_be64_to_cpu(*(__be64 *)&ip->saddr.s6_addr[8]);
	p->dst_hi = bpf_be64_to_cpu(*(__be64 *)&ip->daddr.s6_addr[0]);
	p->dst_lo = bpf_be64_to_cpu(*(__be64 *)&ip->daddr.s6_addr[8]);
	p->has_source = 1;

	next = ip->nexthdr;
	at = ip + 1;
	if (next == IPPROTO_TCP)
		return parse_tcp(f, p, at, len, false);

	for (int n = 0; n <= MXDP_MAX_EXT_HEADERS;) {
		__u8 *h = at + off;
		__u32 size;

		if (!ip6_carries_tcp_maybe(next))
			break;
		if (next == IPPROTO_TCP)
			return parse_tcp(f, p, h, len - off, first_fragment);
		if (n == MXDP_MAX_EXT_HEADERS)
			return MXDP_R_EXT_HEADERS;
		/* every extension header has eight bytes at least */
		if (off + 8 > len)
			return first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_EXT_HEADERS;
		if ((void *)(h + 8) > f->end)
			return cfg.frags ? MXDP_R_HEADER_SPLIT : MXDP_R_EXT_HEADERS;
		if (next == IPPROTO_HOPOPTS && n != 0) /* RFC 8200: only first */
			return MXDP_R_EXT_HEADERS;
		if (next == IPPROTO_ROUTING && h[2] == 0) /* RFC 5095 */
			return MXDP_R_SOURCE_ROUTE;
		if (next == IPPROTO_FRAGMENT) {
			__u16 where = bpf_ntohs(*(__be16 *)(h + 2));

			if (fragmented)
				return MXDP_R_EXT_HEADERS;
			fragmented = true;
			if (where & 0xfff8)
				return ip6_carries_tcp_maybe(h[0]) ? MXDP_R_FRAGMENT : MXDP_R_NOT_TCP;
			first_fragment = where & 1; /* an atomic fragment is a whole packet: RFC 6946 */
			size = 8;
		} else if (next == IPPROTO_AH) {
			size = (h[1] + 2u) * 4;
			if (size < 12)
				return MXDP_R_EXT_HEADERS;
		} else {
			size = (h[1] + 1u) * 8;
		}
		next = h[0];
		off += size;
		forget(off);
		off &= MXDP_MAX_EXT_BYTES * 4 - 1; /* as it is already; Linux 6.1 would not carry the bound below to copies of it */
		n++;
		/*
		 * Linux 6.1 takes a loop only where a jump leads back to its head, no other instruction may fall into it.
		 * So nothing is left to be done behind the last branch.
		 */
		asm volatile("" : "+r"(next), "+r"(off), "+r"(n));
		if (off > len)
			return first_fragment ? MXDP_R_FRAGMENT_TINY : MXDP_R_EXT_HEADERS;
		if (off > MXDP_MAX_EXT_BYTES)
			return MXDP_R_EXT_HEADERS;
	}
	at += off;
	if (next == IPPROTO_ICMPV6 && off < len)
		return parse_icmp6(f, at, fragmented);
	if (next == IPPROTO_UDP && is_dhcp(f, at, len - off, bpf_htons(546), bpf_htons(547)))
		return MXDP_R_DHCP;
	return other_protocol(next);
}

/*
 * Any packet at all; p is zeroed but for frame_len. A function of its own, so that the lane keeps its registers, and verified
 * once: walked from where it is called it was a third of the whole.
 */
__attribute__((noinline)) int parse(struct xdp_md *ctx, struct pkt *p)
{
	struct frame frame = { .data = (void *)(long)ctx->data, .end = (void *)(long)ctx->data_end }, *f = &frame;
	struct ethhdr *eth = f->data;
	__be16 proto;
	void *at = eth + 1;

	if (!p)
		return MXDP_R_NOT_IP;
	if (cfg.frags && (p->frame_len < MXDP_SHORT_BUFFER || p->frame_len >= MXDP_FULL_BUFFER))
		p->frame_len = bpf_xdp_get_buff_len(ctx);
	if (at > f->end)
		return MXDP_R_FRAME_SHORT;
	proto = U16(eth, 12);
	p->to_group = eth->h_dest[0] & 1;
	for (int n = 0; n < MXDP_MAX_TAGS; n++) {
		if (!is_tag(proto))
			break;
		if (at + 4 > f->end)
			return MXDP_R_FRAME_SHORT;
		proto = *(__be16 *)(at + 2);
		at += 4;
	}
	f->ip = at;
	if (proto == bpf_htons(ETH_P_IP))
		return parse_ip4(ctx, f, p);
	if (proto == bpf_htons(ETH_P_IPV6))
		return parse_ip6(ctx, f, p);
	if (proto == bpf_htons(ETH_P_ARP))
		return MXDP_R_ARP;
	if (is_tag(proto))
		return MXDP_R_VLAN_DEPTH;
	return MXDP_R_NOT_IP;
}

/*
 * The lane: whole IPv4 without options, or IPv6 straight to TCP, behind at
 * most two tags; nearly all packets. Takes nothing that parse() would judge
 * otherwise: whatever is odd in the least goes there. Finds first and fills in
 * later, so that a knock on a closed port is answered from registers.
 */
struct lane {
	void *data, *ip, *tcp;
	__u8 family;
};

/*
 * Fields that stand together are compared together, and a frame's type stands
 * right before its IP header, tags or not: type, version, header length.
 */
static __always_inline bool lane_is_ip4(const void *ip)
{
	return (U32(ip, -2) & bpf_htonl(0xffffff00)) == bpf_htonl(ETH_P_IP << 16 | 0x4500);
}

static __always_inline bool lane_is_ip6(const void *ip)
{
	return (U32(ip, -2) & bpf_htonl(0xfffff000)) == bpf_htonl((__u32)ETH_P_IPV6 << 16 | 0x6000);
}

/* The IP header of a frame that starts with at least 54 bytes, or NULL where the lane ends. */
static __always_inline void *lane_untag(void *data, void *end)
{
	void *ip = data + sizeof(struct ethhdr);

	for (int n = 0; n < MXDP_MAX_TAGS && is_tag(U16(ip, -2)); n++) {
		ip += 4;
		if (ip + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
			return NULL;
	}
	return ip;
}

/* `family` is a constant, and `ip` best too, so many bytes behind `data` */
static __always_inline bool lane_find(struct lane *l, void *data, void *end, void *ip, __u8 family)
{
	__u32 head = family ? sizeof(struct ipv6hdr) : sizeof(struct iphdr);
	__u32 len, doff, room = (__u32)(end - ip);
	void *tcp = ip + head;

	if (family == 0) {
		/* neither "more fragments" nor an offset; the protocol */
		if ((U32(ip, 6) & bpf_htonl(0x3fff00ff)) != bpf_htonl(IPPROTO_TCP))
			return false;
		len = bpf_ntohs(U16(ip, 2));
	} else {
		if (tcp + sizeof(struct tcphdr) > end || U8(ip, 6) != IPPROTO_TCP)
			return false;
		len = bpf_ntohs(U16(ip, 4)) + head;
	}
	doff = U8(tcp, 12);
	if (len > room || doff < 0x50 || (doff >> 2 & 0x3c) + head > len)
		return false;
	if ((__u32)(end - data) >= MXDP_FULL_BUFFER && len != room)
		return false; /* more buffers may follow, and all their bytes count */
	*l = (struct lane){ .data = data, .ip = ip, .tcp = tcp, .family = family };
	return true;
}

static __always_inline void lane_fill(const struct lane *l, struct pkt *p)
{
	p->to_group = U8(l->data, 0) & 1;
	p->family = l->family;
	if (l->family == 0) {
		p->src_hi = 0;
		p->dst_hi = 0;
		p->src_lo = bpf_ntohl(U32(l->ip, 12));
		p->dst_lo = bpf_ntohl(U32(l->ip, 16));
	} else {
		struct ipv6hdr *ip6 = l->ip;

		p->src_hi = bpf_be64_to_cpu(*(__be64 *)&ip6->saddr.s6_addr[0]);
		p->src_lo = bpf_be64_to_cpu(*(__be64 *)&ip6->saddr.s6_addr[8]);
		p->dst_hi = bpf_be64_to_cpu(*(__be64 *)&ip6->daddr.s6_addr[0]);
		p->dst_lo = bpf_be64_to_cpu(*(__be64 *)&ip6->daddr.s6_addr[8]);
	}
	p->tcp_off = (__u32)(l->tcp - l->data);
	p->sport = bpf_ntohs(U16(l->tcp, 0));
	p->dport = bpf_ntohs(U16(l->tcp, 2));
	p->flags = U8(l->tcp, 13);
}

#endif /* MXDP_BPF_PARSE_H */
