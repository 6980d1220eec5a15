/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Station: sane. What no honest TCP sends, each under its own reason.
 * Flag combinations follow nf_conntrack_proto_tcp.c (tcp_valid_flags):
 * PSH, ECE and CWR say nothing; the rest must be one of nine.
 */
#ifndef MXDP_BPF_SANE_H
#define MXDP_BPF_SANE_H

#define F_FIN 0x01u
#define F_SYN 0x02u
#define F_RST 0x04u
#define F_PSH 0x08u
#define F_ACK 0x10u
#define F_URG 0x20u

#define FLAGS_OK(set) (1ULL << (set))
#define VALID_FLAGS \
	(FLAGS_OK(F_SYN) | FLAGS_OK(F_SYN | F_URG) | FLAGS_OK(F_SYN | F_ACK) | FLAGS_OK(F_RST) | \
	 FLAGS_OK(F_RST | F_ACK) | FLAGS_OK(F_FIN | F_ACK) | FLAGS_OK(F_FIN | F_ACK | F_URG) | FLAGS_OK(F_ACK) | \
	 FLAGS_OK(F_ACK | F_URG))

static __always_inline bool is_syn(__u8 flags)
{
	return (flags & (F_SYN | F_ACK | F_FIN | F_RST)) == F_SYN;
}

/* Data or an acknowledgement, and nothing that changes the connection: what may ride on a lease. */
static __always_inline bool is_plain(__u8 flags)
{
	return (flags & (F_SYN | F_ACK | F_FIN | F_RST)) == F_ACK;
}

static __always_inline bool ip4_bad_source(__u32 a)
{
	__u8 top = a >> 24;

	return top == 0 || top == 127 || top >= 224;
}

static __always_inline bool ip6_bad_source(__u64 hi, __u64 lo)
{
	if (hi >> 56 == 0xff)
		return true;
	/* ::, ::1 and the mapped and compatible forms of IPv4: none is ever on a wire (RFC 4291, RFC 6890) */
	return hi == 0 && (lo >> 32 == 0 || lo >> 32 == 0xffff);
}

static __always_inline int sane(const struct pkt *p)
{
	if (p->family == 0) {
		if ((__u32)p->dst_lo >= 0xe0000000u)
			return MXDP_R_TO_GROUP;
		if (ip4_bad_source(p->src_lo))
			return MXDP_R_BAD_SOURCE;
	} else {
		if (p->dst_hi >> 56 == 0xff)
			return MXDP_R_TO_GROUP;
		if (ip6_bad_source(p->src_hi, p->src_lo))
			return MXDP_R_BAD_SOURCE;
	}
	if (p->to_group)
		return MXDP_R_TO_GROUP;
	if (p->src_lo == p->dst_lo && p->src_hi == p->dst_hi)
		return MXDP_R_LAND;
	if (!(VALID_FLAGS >> (p->flags & (F_FIN | F_SYN | F_RST | F_ACK | F_URG)) & 1))
		return MXDP_R_BAD_FLAGS;
	if (p->sport == 0 || p->dport == 0)
		return MXDP_R_PORT_ZERO;
	return MXDP_PARSED;
}

#endif /* MXDP_BPF_SANE_H */
