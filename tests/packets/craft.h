/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Packets, said by what differs from the honest one: a SYN from a stranger to
 * port 25 of this host. Zero in a member means "as an honest host would".
 */
#ifndef MXDP_TEST_CRAFT_H
#define MXDP_TEST_CRAFT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* TCP flags; NO_FLAGS because 0 means "honest", which is SYN */
enum {
	FIN = 0x01, SYN = 0x02, RST = 0x04, PSH = 0x08, ACK = 0x10, URG = 0x20, ECE = 0x40, CWR = 0x80,
	NO_FLAGS = 0x100,
};

/* In members that are written in few bits: a value whose low bits are zero, where plain 0 means "honest". */
#define SAY_ZERO 0x10000

/* What the policy of the packet tables thinks of them: see rows.h. */
enum craft_who { STRANGER, OFFICE, DENIED, BLOCKED, EXEMPT, ADMIN_BLOCKED, CRAFT_PARTIES };
#define US4 "203.0.113.25"
#define US6 "2001:db8:25::25"

/* Every way a row is sent: without a tag, with one, with two. */
enum craft_tags {
	TAG_NONE,
	TAG_ONE,      /* 0x8100, VLAN 7 */
	TAG_PRIORITY, /* 0x8100, VLAN 0 */
	TAG_OLD,      /* 0x9100 */
	TAG_AD_Q,     /* 0x88a8 0x8100 */
	TAG_OLD_Q,    /* 0x9100 0x8100 */
	TAG_Q_Q,      /* 0x8100 0x8100 */
	TAG_FORMS,
	TAG_THREE = TAG_FORMS, TAG_FIVE, TAG_EIGHT, /* deeper than any honest bridge */
	TAG_STACKS,
};

#define CRAFT_MAX (68 * 1024)

struct crafted {
	size_t len, l3, l4; /* of the frame; offsets of the IP header and of what stands behind all IP headers */
	uint8_t b[CRAFT_MAX];
};

struct craft {
	/* frame */
	unsigned int tags;      /* enum craft_tags; rows leave it to the runner */
	unsigned int ethertype; /* of the innermost; else by family */
	bool to_group;          /* group bit of the Ethernet destination */
	const char *frame;      /* all bytes of the frame, `nframe` of them: nothing else is heeded */
	size_t nframe;

	/* IP */
	unsigned int family;    /* 4 or 6; rows for both leave it to the runner */
	enum craft_who from;
	const char *src, *dst;  /* as text, instead of `from` and this host */
	unsigned int version;
	unsigned int ihl;       /* in words, as written; the options take the room they take */
	const char *ip_opt;     /* IPv4 options, padded with zeroes to whole words */
	size_t nip_opt;
	int len_add;            /* the IP length is a lie by that much */
	const char *ext;        /* IPv6 extension headers, a letter each: see craft.c */
	unsigned int proto;     /* of what `raw` holds; TCP otherwise */
	bool udp;               /* UDP with the ports below */
	bool frag;              /* a fragment: IPv4 by its header, IPv6 by a fragment header behind ext */
	bool more;              /* ... with more to come */
	unsigned int frag_at;   /* ... its offset in bytes, a multiple of eight */
	unsigned int cut_from, cut_to; /* bytes [from, to) of the IP payload (TCP header and data) go out; to 0: all */
	bool bad_ip_sum, bad_tcp_sum;

	/* TCP */
	unsigned int sport, dport; /* SAY_ZERO for port 0 */
	unsigned int flags;
	uint32_t seq, ack;
	unsigned int doff;      /* in words, as written */
	unsigned int reserved;  /* the bits between data offset and flags */
	unsigned int window;
	const char *tcp_opt;    /* padded with zeroes to whole words */
	size_t ntcp_opt;
	size_t payload;         /* bytes of data */

	const char *raw;        /* instead of TCP */
	size_t nraw;

	/* in the end */
	const char *behind;     /* bytes behind the IP length, still in the frame */
	size_t nbehind;
	size_t padding;         /* zero bytes behind that */
	unsigned int keep;      /* the frame ends this many bytes behind the beginning of the IP header */
	void (*then)(struct crafted *f); /* the last word */
};

#define RAW(s) .raw = (s), .nraw = sizeof(s) - 1
#define IP_OPT(s) .ip_opt = (s), .nip_opt = sizeof(s) - 1
#define TCP_OPT(s) .tcp_opt = (s), .ntcp_opt = sizeof(s) - 1
#define BEHIND(s) .behind = (s), .nbehind = sizeof(s) - 1
#define FRAME(s) .frame = (s), .nframe = sizeof(s) - 1

void craft(const struct craft *c, struct crafted *f);

/* The address of a party, as text. */
const char *craft_address(enum craft_who who, unsigned int family);

#endif
