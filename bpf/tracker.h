/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: tracker, `track socket`. The host terminates its TCP, so the truth
 * about a connection lies in the kernel's own socket table; this asks it.
 */
#ifndef MXDP_BPF_TRACKER_H
#define MXDP_BPF_TRACKER_H

static __always_inline struct bpf_sock *socket_of(struct xdp_md *ctx, const struct pkt *p)
{
	struct bpf_sock_tuple t = {};

	if (p->family == 0) {
		t.ipv4.saddr = bpf_htonl(p->src_lo);
		t.ipv4.daddr = bpf_htonl(p->dst_lo);
		t.ipv4.sport = bpf_htons(p->sport);
		t.ipv4.dport = bpf_htons(p->dport);
		return bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv4), BPF_F_CURRENT_NETNS, 0);
	}
	*(__be64 *)&t.ipv6.saddr[0] = bpf_cpu_to_be64(p->src_hi);
	*(__be64 *)&t.ipv6.saddr[2] = bpf_cpu_to_be64(p->src_lo);
	*(__be64 *)&t.ipv6.daddr[0] = bpf_cpu_to_be64(p->dst_hi);
	*(__be64 *)&t.ipv6.daddr[2] = bpf_cpu_to_be64(p->dst_lo);
	t.ipv6.sport = bpf_htons(p->sport);
	t.ipv6.dport = bpf_htons(p->dport);
	return bpf_skc_lookup_tcp(ctx, &t, sizeof(t.ipv6), BPF_F_CURRENT_NETNS, 0);
}

/*
 * Only a listener: no connection, unless this ACK brings back a cookie that
 * the kernel sent when its queue was full (then there is no request socket). A function, for the room that its headers take
 * on the stack.
 */
static __noinline bool cookie_ack(struct xdp_md *ctx, struct bpf_sock *listener, const struct pkt *p)
{
	struct tcphdr tcp;

	if ((p->flags & (F_ACK | F_SYN | F_RST)) != F_ACK || bpf_xdp_load_bytes(ctx, p->tcp_off, &tcp, sizeof(tcp)))
		return false;
	if (p->family == 0) {
		struct iphdr ip = { .version = 4, .ihl = 5, .saddr = bpf_htonl(p->src_lo), .daddr = bpf_htonl(p->dst_lo) };

		return bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), &tcp, sizeof(tcp)) == 0;
	} else {
		struct ipv6hdr ip = { .version = 6 };

		*(__be64 *)&ip.saddr.s6_addr[0] = bpf_cpu_to_be64(p->src_hi);
		*(__be64 *)&ip.saddr.s6_addr[8] = bpf_cpu_to_be64(p->src_lo);
		*(__be64 *)&ip.daddr.s6_addr[0] = bpf_cpu_to_be64(p->dst_hi);
		*(__be64 *)&ip.daddr.s6_addr[8] = bpf_cpu_to_be64(p->dst_lo);
		return bpf_tcp_check_syncookie(listener, &ip, sizeof(ip), &tcp, sizeof(tcp)) == 0;
	}
}

/*
 * RFC 9293, 3.5: both ends may open at once, and then a SYN answers ours. A
 * closed port asks the kernel so only where a connection of our own can start,
 * and once a tick and queue: a flood of knocks costs no lookups, and a peer
 * that truly crosses us sends again.
 */
#define FIRST_OWN_PORT 1024
__u64 crossing_asked[64] SEC(".data.crossing");

static __always_inline bool crossing_due(struct xdp_md *ctx, __u32 port)
{
	__u64 *asked, now;

	if (likely(port < FIRST_OWN_PORT))
		return false;
	asked = &crossing_asked[ctx->rx_queue_index & 63];
	now = clock_jiffies();
	if (*asked == now)
		return false;
	*asked = now;
	return true;
}

/* `word`: the lease that may be granted, `hash` names its line; or 0. *opens: this ends a handshake, and there will be one connection more. */
static __always_inline int track(struct xdp_md *ctx, const struct pkt *p, bool syn, __u64 hash, __u64 word,
				 bool *opens)
{
	struct bpf_sock *sk = socket_of(ctx, p);
	int reason = MXDP_R_LIVE;
	__u32 state;

	if (!sk)
		return syn ? MXDP_R_CLOSED : MXDP_R_NO_CONNECTION;
	state = sk->state;
	if (syn)
		reason = state == BPF_TCP_SYN_SENT ? MXDP_R_CROSSED : MXDP_R_CLOSED;
	else if (state == BPF_TCP_LISTEN)
		reason = cookie_ack(ctx, sk, p) ? MXDP_R_COOKIE : MXDP_R_NO_CONNECTION;
	bpf_sk_release(sk);
	*opens = p->flags & F_ACK && (reason == MXDP_R_COOKIE || (reason == MXDP_R_LIVE && state == BPF_TCP_NEW_SYN_RECV));
	if (word && state != BPF_TCP_LISTEN && state != BPF_TCP_SYN_SENT && state != BPF_TCP_NEW_SYN_RECV &&
	    state != BPF_TCP_TIME_WAIT) {
		struct mxdp_lease_line *line = lease_line(hash);

		if (line)
			lease_grant(line, word);
	}
	return reason;
}

#endif /* MXDP_BPF_TRACKER_H */
