// SPDX-License-Identifier: GPL-2.0-only
/*
 * The filter itself, behind a step that gives the packet another source each
 * time; and two programs that take the same step and return at once, which is
 * what every figure is net of.
 */
#include "../../bpf/mxdp.bpf.c"

enum bench_vary {
	VARY_NOTHING,
	VARY_FLOW,   /* one of `flows` connections, in random order */
	VARY_SOURCE, /* any of a billion sources; IPv6: of half as many /32s, all that are given out */
};

const volatile __u32 vary = VARY_NOTHING;
const volatile __u32 flow_mask = 0;
__u64 lcg = 88172645463325252ULL;

static __always_inline void set_source(struct xdp_md *ctx, __u32 a)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct ethhdr *eth = data;

	if (data + sizeof(*eth) + sizeof(struct ipv6hdr) > end)
		return;
	if (eth->h_proto == bpf_htons(ETH_P_IP)) {
		((struct iphdr *)(eth + 1))->saddr = bpf_htonl(a);
	} else if (vary == VARY_FLOW) {
		((struct ipv6hdr *)(eth + 1))->saddr.s6_addr32[3] = bpf_htonl(a);
	} else {
		((struct ipv6hdr *)(eth + 1))->saddr.s6_addr32[0] = bpf_htonl(0x20000000 | (a & 0x1fffffff));
		((struct ipv6hdr *)(eth + 1))->saddr.s6_addr32[1] = a * 0x9e3779b1;
	}
}

static __always_inline __u32 next_random(void)
{
	lcg = lcg * 6364136223846793005ULL + 1442695040888963407ULL;
	return lcg >> 32;
}

static __always_inline void another_source(struct xdp_md *ctx)
{
	if (vary == VARY_FLOW)
		set_source(ctx, 0x0b000000 + (next_random() & flow_mask));
	else if (vary == VARY_SOURCE)
		set_source(ctx, 0x0b000000 + (next_random() & 0x3fffffff));
}

SEC("xdp.frags")
int base_pass(struct xdp_md *ctx)
{
	another_source(ctx);
	return XDP_PASS;
}

SEC("xdp.frags")
int base_drop(struct xdp_md *ctx)
{
	another_source(ctx);
	return XDP_DROP;
}

/*
 * The least that any filter with counters does for a SYN to a closed port: type, protocol, flags, port, one counter. No
 * policy, no lengths, one family. What the machine takes for it is the floor under the first rows.
 */
SEC("xdp.frags")
int bench_least(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end;
	struct mxdp_port_count *pc;
	__u32 port;

	if (data + 54 > end || U16(data, 12) != bpf_htons(ETH_P_IP) || U8(data, 14) != 0x45 || U8(data, 23) != IPPROTO_TCP ||
	    U16(data, 20) & bpf_htons(0x3fff) || U8(data, 47) != F_SYN)
		return XDP_PASS;
	port = port_of(U16(data, 36));
	if (banks[0].port[port] & MXDP_PORT_SERVICE)
		return XDP_PASS;
	pc = bpf_map_lookup_elem(&ports, &port);
	if (pc)
		count(&pc->knocked[0], (__u32)(end - data));
	return XDP_DROP;
}

SEC("xdp.frags")
int bench_filter(struct xdp_md *ctx)
{
	another_source(ctx);
	return filter(ctx);
}

__u32 next_flow SEC(".data") = 0;

/* Grants the leases of all flows, one a run: what the tracker would have said of each. */
SEC("xdp.frags")
int grant(struct xdp_md *ctx)
{
	void *data = (void *)(long)ctx->data, *end = (void *)(long)ctx->data_end, *ip = data + sizeof(struct ethhdr);
	struct mxdp_lease_line *line;
	struct lane l;
	struct pkt p;
	__u64 hash, word;

	set_source(ctx, 0x0b000000 + (next_flow++ & flow_mask));
	if (ip + sizeof(struct iphdr) + sizeof(struct tcphdr) > end)
		return XDP_ABORTED;
	if (!(lane_is_ip4(ip) ? lane_find(&l, data, end, ip, 0) : lane_find(&l, data, end, ip, 1)))
		return XDP_ABORTED;
	lane_fill(&l, &p);
	hash = lease_hash(&p);
	word = lease_word(hash, lease_stamp(state.epoch, clock_jiffies() >> cfg.tick_shift));
	line = lease_line(hash);
	if (!line)
		return XDP_ABORTED;
	if (!lease_good(line, word))
		lease_grant(line, word);
	return XDP_PASS;
}
