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
 * the kernel sent when its queue was full (then there is no request socket).
 */
static __always_inline bool cookie_ack(struct bpf_sock *listener, const struct pkt *p)
{
	struct tcphdr tcp = {
		.source = bpf_htons(p->sport), .dest = bpf_htons(p->dport), .seq = p->seq_be, .ack_seq = p->ack_be,
		.doff = 5, .ack = 1,
	};

	if ((p->flags & (F_ACK | F_SYN | F_RST)) != F_ACK)
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

/* `line` is where a lease may be granted, or NULL. */
static __always_inline int track(struct xdp_md *ctx, const struct pkt *p, struct mxdp_lease_line *line, __u64 hash,
				 __u64 stamp)
{
	struct bpf_sock *sk = socket_of(ctx, p);
	int reason = MXDP_R_LIVE;
	__u32 state;

	if (!sk)
		return MXDP_R_NO_CONNECTION;
	state = sk->state;
	if (state == BPF_TCP_LISTEN) {
		reason = cookie_ack(sk, p) ? MXDP_R_COOKIE : MXDP_R_NO_CONNECTION;
		line = NULL;
	}
	bpf_sk_release(sk);
	if (line && state != BPF_TCP_SYN_SENT && state != BPF_TCP_NEW_SYN_RECV && state != BPF_TCP_TIME_WAIT)
		lease_grant(line, hash, stamp);
	return reason;
}

#endif /* MXDP_BPF_TRACKER_H */
