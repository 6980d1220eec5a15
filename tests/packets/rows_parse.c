// SPDX-License-Identifier: GPL-2.0-only
/* Table A: how frames are taken apart. */
#include "rows.h"

/* An honest SYN, as an inner or a smuggled packet: the TCP header alone, in IPv4, in IPv6. */
#define TCP26 "\x9c\x40\x00\x1a\x00\x00\x03\xe8\x00\x00\x00\x00\x50\x02\xfa\xf0\x00\x00\x00\x00"
#define TCP25 "\x9c\x40\x00\x19\x00\x00\x03\xe8\x00\x00\x00\x00\x50\x02\xfa\xf0\x00\x00\x00\x00"
#define INNER4 "\x45\x00\x00\x28\x12\x34\x40\x00\x40\x06\x00\x00\xc6\x33\x64\x07\xcb\x00\x71\x19" TCP26
#define INNER6 \
	"\x60\x00\x00\x00\x00\x14\x06\x40" \
	"\x20\x01\x0d\xb8\x00\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07" \
	"\x20\x01\x0d\xb8\x00\x25\x00\x00\x00\x00\x00\x00\x00\x00\x00\x25" TCP26
#define MACS "\x02\x00\x00\x00\x00\x25\x02\x00\x00\x00\x00\x07"
#define ARP_WHO_HAS "\x08\x06\0\1\x08\0\6\4\0\1\2\0\0\0\0\7\xc6\x33\x64\7\0\0\0\0\0\0\xcb\0\x71\x19"
#define NOPS8 "\1\1\1\1\1\1\1\1"

static void cut_tag(struct crafted *f)
{
	f->len = f->l3 - 2;
}

static void call_it_ip6(struct crafted *f)
{
	f->b[f->l3 - 2] = 0x86;
	f->b[f->l3 - 1] = 0xdd;
}

static void call_it_ip4(struct crafted *f)
{
	f->b[f->l3 - 2] = 0x08;
	f->b[f->l3 - 1] = 0x00;
}

static void evil_bit(struct crafted *f)
{
	f->b[f->l3 + 6] |= 0x80; /* RFC 3514 */
}

static const struct row rows[] = {
	/* A1: test runs begin at 14 bytes; a frame cut inside Ethernet itself cannot be shown */
	{ "A1 frame ends one byte behind EtherType", { .keep = 1 }, DROP(IP_HEADER, NONE) },
	{ "A1 frame ends in the middle of the only tag",
	  { .tags = TAG_ONE, .then = cut_tag }, DROP(FRAME_SHORT, NONE), .as_is = true },
	{ "A1 frame ends in the middle of the second tag",
	  { .tags = TAG_AD_Q, .then = cut_tag }, DROP(FRAME_SHORT, NONE), .as_is = true },
	{ "A1 type of a tag, and nothing behind it", { FRAME(MACS "\x81\x00") }, DROP(FRAME_SHORT, NONE), 4, true },
	{ "A1 frame ends 19 bytes into the IPv4 header", { .keep = 19 }, DROP(IP_HEADER, NONE), 4 },
	{ "A1 frame ends 39 bytes into the IPv6 header", { .keep = 39 }, DROP(IP_HEADER, NONE), 6 },
	{ "A1 frame ends in the IPv4 options", { IP_OPT(NOPS8), .keep = 24 }, DROP(IP_LENGTH, NONE), 4 },
	{ "A1 frame ends in an extension header", { .ext = "D", .keep = 48 }, DROP(IP_LENGTH, NONE), 6 },
	{ "A1 frame ends 19 bytes into the TCP header", { .keep = 39 }, DROP(IP_LENGTH, NONE), 4 },
	{ "A1 frame ends 19 bytes into the TCP header", { .keep = 59 }, DROP(IP_LENGTH, NONE), 6 },
	{ "A1 IP length ends 19 bytes into the TCP header", { .len_add = -1 }, DROP(TCP_HEADER, NONE) },
	{ "A1 IP length ends behind the ports: ports alone are no TCP header",
	  { .len_add = -16 }, DROP(TCP_HEADER, NONE) },
	{ "A1 nothing behind the IP header", { .proto = 6, RAW("") }, DROP(TCP_HEADER, NONE), 4 },

	/* A2 */
	{ "A2 version 6 under EtherType IPv4", { .version = 6 }, DROP(IP_VERSION, NONE), 4 },
	{ "A2 version 4 under EtherType IPv6", { .version = 4 }, DROP(IP_VERSION, NONE), 6 },
	{ "A2 version 5", { .version = 5 }, DROP(IP_VERSION, NONE) },
	{ "A2 version 0", { .version = SAY_ZERO }, DROP(IP_VERSION, NONE) },
	{ "A2 a whole IPv4 packet under EtherType IPv6",
	  { .payload = 40, .then = call_it_ip6 }, DROP(IP_VERSION, NONE), 4 },
	{ "A2 a whole IPv6 packet under EtherType IPv4", { .then = call_it_ip4 }, DROP(IP_VERSION, NONE), 6 },

	/* A3, W4 */
	{ "A3 W4 header of four words", { .ihl = 4 }, DROP(IP_HEADER, NONE), 4 },
	{ "A3 W4 header of no word", { .ihl = SAY_ZERO }, DROP(IP_HEADER, NONE), 4 },
	{ "A3 header of 15 words, past the packet", { .ihl = 15 }, DROP(IP_LENGTH, NONE), 4 },
	{ "A3 header of 15 words that leaves no room for TCP",
	  { .ihl = 15, .payload = 20 }, DROP(TCP_HEADER, NONE), 4 },

	/* A4, W7 */
	{ "A4 total length smaller than the header", { .len_add = -21 }, DROP(IP_LENGTH, NONE), 4 },
	{ "A4 total length 0", { .len_add = -40 }, DROP(IP_LENGTH, NONE), 4 },
	{ "A4 W7 IP length one byte more than the frame", { .len_add = 1 }, DROP(IP_LENGTH, NONE) },
	{ "A4 W7 total length 65535", { .len_add = 65535 - 40 }, DROP(IP_LENGTH, NONE), 4 },
	{ "A4 W7 payload length 65535", { .len_add = 65535 - 20 }, DROP(IP_LENGTH, NONE), 6 },

	/* A5, W7 */
	{ "A5 bytes behind the IP length are not looked at: padding", { .padding = 6 }, PASS(ALLOWED, SMTP) },
	{ "A5 bytes behind the IP length are not looked at: a TCP header to the open port",
	  { .proto = 6, RAW(""), BEHIND(TCP25) }, DROP(TCP_HEADER, NONE), 4 },
	{ "A5 bytes behind the IP length are not looked at: half of the TCP header",
	  { .len_add = -8 }, DROP(TCP_HEADER, NONE) },
	{ "A5 bytes behind the IP length are not looked at: TCP options that the data offset counts",
	  { .doff = 8, BEHIND(NOPS8 "\1\1\1\1") }, DROP(TCP_HEADER, NONE) },
	{ "A5 bytes behind the IP length are not looked at: the TCP header behind destination options",
	  { .ext = "d", .proto = 6, RAW(""), BEHIND(TCP25) }, DROP(TCP_HEADER, NONE), 6 },
	{ "A5 bytes behind the IP length are not looked at: half of an extension header",
	  { .ext = "d", .len_add = -24 }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A5 bytes behind the IP length are not looked at: an ICMP error",
	  { .proto = 1, RAW(""), BEHIND("\x03\x04\0\0\0\0\0\0") }, PASS(NOT_TCP, NONE), 4 },
	{ "A5 bytes behind the IP length are not looked at: an ICMP redirect",
	  { .proto = 1, RAW(""), BEHIND("\x05\x01\0\0\0\0\0\0") }, PASS(NOT_TCP, NONE), 4 },
	{ "A5 bytes behind the IP length are not looked at: DHCP",
	  { .proto = 17, RAW(""), BEHIND("\0\x43\0\x44\0\x08\0\0") }, PASS(NOT_TCP, NONE), 4 },
	{ "A5 bytes behind the IP length are not looked at: half of DHCP's UDP header",
	  { .proto = 17, RAW("\0\x43\0\x44"), BEHIND("\0\x08\0\0") }, PASS(NOT_TCP, NONE), 4 },
	{ "A5 bytes behind the IP length are not looked at: DHCPv6",
	  { .ext = "d", .proto = 17, RAW(""), BEHIND("\x02\x23\x02\x22\0\x08\0\0") }, PASS(NOT_TCP, NONE), 6 },
	{ "A5 bytes behind the IP length are not looked at: neighbour discovery",
	  { .ext = "d", .proto = 58, RAW(""), BEHIND("\x87\0\0\0\0\0\0\0") }, PASS(NOT_TCP, NONE), 6 },
	{ "A5 a blocked source gains nothing by DHCP behind the IP length",
	  { .from = BLOCKED, .proto = 17, RAW(""), BEHIND("\0\x43\0\x44\0\x08\0\0") }, DROP(BLOCKED, NONE), 4 },
	{ "A5 a blocked source gains nothing by an ICMP error behind the IP length",
	  { .from = BLOCKED, .proto = 1, RAW(""), BEHIND("\x03\x04\0\0\0\0\0\0") }, DROP(BLOCKED, NONE), 4 },
	{ "A5 a blocked source gains nothing by DHCPv6 behind the IP length",
	  { .from = BLOCKED, .ext = "d", .proto = 17, RAW(""), BEHIND("\x02\x23\x02\x22\0\x08\0\0") },
	  DROP(BLOCKED, NONE), 6 },

	/* A6, W5 */
	{ "A6 W5 one word of IPv4 options, open port behind it", { IP_OPT("\1\1\1\0") }, PASS(ALLOWED, SMTP), 4 },
	{ "A6 W5 forty bytes of IPv4 options, open port behind them",
	  { IP_OPT("\x07\x28\x04" NOPS8 NOPS8 NOPS8 NOPS8 "\1\1\1\1\1") }, PASS(ALLOWED, SMTP), 4 },
	{ "A6 W5 forty bytes of IPv4 options, closed port behind them",
	  { .dport = 26, IP_OPT(NOPS8 NOPS8 NOPS8 NOPS8 NOPS8) }, DROP(CLOSED, SHUT), 4 },
	{ "A6 ports are not read out of the options",
	  { .dport = 26, IP_OPT("\x9c\x40\x00\x19\x94\x04\0\0") }, DROP(CLOSED, SHUT), 4 },
	{ "A6 router alert", { IP_OPT("\x94\x04\0\0") }, PASS(ALLOWED, SMTP), 4 },
	{ "A6 timestamp option", { IP_OPT("\x44\x0c\x05\0\0\0\0\0\0\0\0\0") }, PASS(ALLOWED, SMTP), 4 },
	{ "A6 loose source route", { IP_OPT("\x83\x07\x04\xcb\x00\x71\x19") }, DROP(SOURCE_ROUTE, NONE), 4 },
	{ "A6 strict source route", { IP_OPT("\x89\x07\x04\xcb\x00\x71\x19") }, DROP(SOURCE_ROUTE, NONE), 4 },
	{ "A6 source route behind 32 no-operations", { IP_OPT(NOPS8 NOPS8 NOPS8 NOPS8 "\x83\x07\x04\xcb\x00\x71\x19") },
	  DROP(SOURCE_ROUTE, NONE), 4 },
	{ "A6 source route in the last word",
	  { IP_OPT(NOPS8 NOPS8 NOPS8 NOPS8 "\1\1\1\1\1\x89\x03\x04") }, DROP(SOURCE_ROUTE, NONE), 4 },
	{ "A6 source route behind another option",
	  { IP_OPT("\x94\x04\0\0\x89\x07\x04\xcb\x00\x71\x19") }, DROP(SOURCE_ROUTE, NONE), 4 },
	{ "A6 the number of a source route inside another option is none", { IP_OPT("\x07\x07\x04\x83\x07\x04\x01") },
	  PASS(ALLOWED, SMTP), 4 },
	{ "A6 the number of a source route behind the end of the options is none",
	  { IP_OPT("\0\x83\x07\x04\xcb\x00\x71\x19") }, PASS(ALLOWED, SMTP), 4 },
	{ "A6 source route, not TCP",
	  { IP_OPT("\x83\x07\x04\xcb\x00\x71\x19"), .udp = true, .sport = 53, .dport = 5353 },
	  DROP(SOURCE_ROUTE, NONE), 4 },
	{ "A6 an option of length 0: no loop", { IP_OPT("\x07\0\0\0") }, PASS(ALLOWED, SMTP), 4 },
	{ "A6 an option past the header: no overread", { IP_OPT("\x07\xff\x04\0") }, PASS(ALLOWED, SMTP), 4 },

	/* A7, A8: the filter does not verify checksums; the stack does, and no state of ours hangs on the packet */
	{ "A7 wrong IPv4 header checksum: left to the stack", { .bad_ip_sum = true }, PASS(ALLOWED, SMTP), 4 },
	{ "A7 wrong IPv4 header checksum opens no port", { .bad_ip_sum = true, .dport = 26 }, DROP(CLOSED, SHUT), 4 },
	{ "A8 wrong TCP checksum (--badsum): left to the stack", { .bad_tcp_sum = true }, PASS(ALLOWED, SMTP) },
	{ "A8 wrong TCP checksum (--badsum) finds a closed port closed",
	  { .bad_tcp_sum = true, .dport = 26 }, DROP(CLOSED, SHUT) },
	{ "A8 wrong TCP checksum on an ACK without a connection",
	  { .bad_tcp_sum = true, .flags = ACK }, DROP(NO_CONNECTION, SMTP) },

	/* A9, W6 */
	{ "A9 W6 data offset 0", { .doff = SAY_ZERO }, DROP(TCP_HEADER, NONE) },
	{ "A9 W6 data offset 4", { .doff = 4 }, DROP(TCP_HEADER, NONE) },
	{ "A9 W6 data offset one word past the segment", { .doff = 6 }, DROP(TCP_HEADER, NONE) },
	{ "A9 W6 data offset 15, past the segment", { .doff = 15, .payload = 39 }, DROP(TCP_HEADER, NONE) },
	{ "A9 data offset 15 that just fits", { .doff = 15, .payload = 40 }, PASS(ALLOWED, SMTP) },

	/* A10 */
	{ "A10 TCP option of length 0", { TCP_OPT("\x08\0\0\0") }, PASS(ALLOWED, SMTP) },
	{ "A10 TCP option of length 1", { TCP_OPT("\x08\1\0\0") }, PASS(ALLOWED, SMTP) },
	{ "A10 TCP option past the header", { TCP_OPT("\x02\xff\x05\xb4") }, PASS(ALLOWED, SMTP) },
	{ "A10 TCP option past the header, closed port",
	  { TCP_OPT("\x02\xff\x05\xb4"), .dport = 26 }, DROP(CLOSED, SHUT) },
	{ "A10 window scale 255", { TCP_OPT("\x03\x03\xff\0") }, PASS(ALLOWED, SMTP) },
	{ "A10 two MSS options", { TCP_OPT("\x02\x04\x05\xb4\x02\x04\x00\x01") }, PASS(ALLOWED, SMTP) },

	/* A11, W20 */
	{ "A11 reserved TCP bits", { .reserved = 15 }, PASS(ALLOWED, SMTP) },
	{ "A11 W20 ECN set-up", { .flags = SYN | ECE | CWR }, PASS(ALLOWED, SMTP) },
	{ "A11 accurate ECN set-up", { .flags = SYN | ECE | CWR, .reserved = 1 }, PASS(ALLOWED, SMTP) },
	{ "A11 SYN with PSH", { .flags = SYN | PSH }, PASS(ALLOWED, SMTP) },
	{ "A11 SYN with URG", { .flags = SYN | URG }, PASS(ALLOWED, SMTP) },
	{ "A11 SYN with PSH and URG", { .flags = SYN | PSH | URG }, PASS(ALLOWED, SMTP) },
	{ "A11 SYN with ECE, CWR and PSH to a closed port",
	  { .flags = SYN | PSH | ECE | CWR, .dport = 26 }, DROP(CLOSED, SHUT) },
	{ "A11 ACK with PSH, URG, ECE, CWR is an ACK",
	  { .flags = ACK | PSH | URG | ECE | CWR }, DROP(NO_CONNECTION, SMTP) },

	/* A12 */
	{ "A12 payload length 0 without a hop-by-hop header", { .len_add = -20 }, DROP(JUMBO, NONE), 6 },
	{ "A12 jumbo payload", { .ext = "h", .len_add = -28 }, DROP(JUMBO, NONE), 6 },
	{ "A12 an empty packet: payload length 0, no next header", { .ext = "n", .proto = 6, RAW(""), .len_add = -8 },
	  PASS(NOT_TCP, NONE), 6 },
	{ "A12 an empty packet from a blocked source",
	  { .from = BLOCKED, .ext = "n", .proto = 6, RAW(""), .len_add = -8 }, DROP(BLOCKED, NONE), 6 },
	{ "A12 payload length one too short", { .len_add = -1 }, DROP(TCP_HEADER, NONE), 6 },
	{ "A12 payload length one too long", { .len_add = 1 }, DROP(IP_LENGTH, NONE), 6 },

	/* A13, W10 */
	{ "A13 hop-by-hop header", { .ext = "h" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 hop-by-hop header, closed port", { .ext = "h", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "A13 destination options", { .ext = "d" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 destination options, closed port", { .ext = "d", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "A13 routing header of type 2", { .ext = "r" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 routing header of type 2, closed port", { .ext = "r", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "A13 authentication header", { .ext = "a" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 authentication header, closed port", { .ext = "a", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "A13 all together", { .ext = "hdrfad" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 all together, closed port", { .ext = "hdrfad", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "A13 520 bytes of destination options", { .ext = "E" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 seven extension headers", { .ext = "hdddddd" }, PASS(ALLOWED, SMTP), 6 },
	{ "A13 eight extension headers, closed port", { .ext = "hddddddd", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "A13 W10 nine extension headers are too many", { .ext = "hdddddddd" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A13 W10 twenty extension headers are too many",
	  { .ext = "hddddddddddddddddddd" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A13 W10 twenty extension headers before UDP are too many", { .ext = "hddddddddddddddddddd", .udp = true },
	  DROP(EXT_HEADERS, NONE), 6 },
	{ "A13 W10 1040 bytes of extension headers are too long", { .ext = "EE" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A13 W10 2048 bytes of extension header are too long", { .ext = "D" }, DROP(EXT_HEADERS, NONE), 6 },

	/* A14 */
	{ "A14 extension header past the packet", { .ext = "x" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A14 extension header past the packet, not past the frame",
	  { .ext = "x", .padding = 2048 }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A14 length 255, eight times", { .ext = "xxxxxxxx" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A14 packet ends inside the first eight bytes", { .ext = "d", .len_add = -21 }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A14 authentication header of an impossible length", { .ext = "A" }, DROP(EXT_HEADERS, NONE), 6 },

	/* A15 */
	{ "A15 hop-by-hop header not first", { .ext = "dh" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A15 hop-by-hop header twice", { .ext = "hh" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "A15 routing header of type 0", { .ext = "0" }, DROP(SOURCE_ROUTE, NONE), 6 },
	{ "A15 routing header of type 0 behind others", { .ext = "hd0d" }, DROP(SOURCE_ROUTE, NONE), 6 },
	{ "A15 routing header of type 0, not TCP", { .ext = "0", .udp = true }, DROP(SOURCE_ROUTE, NONE), 6 },

	/* A16 */
	{ "A16 an unknown next header ends the walk: what stands behind is not TCP",
	  { .ext = "u", .dport = 26 }, PASS(NOT_TCP, NONE), 6 },
	{ "A16 an unknown next header behind known ones", { .ext = "hdu", .dport = 26 }, PASS(NOT_TCP, NONE), 6 },
	{ "A16 ESP ends the walk", { .ext = "e" }, PASS(NOT_TCP, NONE), 6 },
	{ "A16 a mobility header ends the walk", { .ext = "m" }, PASS(NOT_TCP, NONE), 6 },
	{ "A16 no next header ends the walk, bytes behind it are nothing", { .ext = "n" }, PASS(NOT_TCP, NONE), 6 },
	{ "A16 an unknown IPv4 protocol", { .proto = 253, RAW(TCP26) }, PASS(NOT_TCP, NONE), 4 },
	{ "A16 ESP in IPv4", { .proto = 50, RAW(TCP26) }, PASS(NOT_TCP, NONE), 4 },
	{ "A16 AH in IPv4: the kernel takes none without a key for it",
	  { .proto = 51, RAW("\6\2\0\0" TCP26) }, PASS(NOT_TCP, NONE), 4 },
	{ "A16 SCTP to a mail port is not TCP", { .proto = 132, RAW(TCP25) }, PASS(NOT_TCP, NONE) },
	{ "A16 an unknown next header from a blocked source", { .from = BLOCKED, .ext = "u" }, DROP(BLOCKED, NONE), 6 },

	/* A17, W2: every row goes untagged and in six forms of tags; here is what lies deeper */
	{ "A17 W2 three tags", { .tags = TAG_THREE }, DROP(VLAN_DEPTH, NONE), .as_is = true },
	{ "A17 W2 five tags", { .tags = TAG_FIVE }, DROP(VLAN_DEPTH, NONE), .as_is = true },
	{ "A17 W2 eight tags", { .tags = TAG_EIGHT }, DROP(VLAN_DEPTH, NONE), .as_is = true },
	{ "A17 inner packet to the open port", { 0 }, PASS(ALLOWED, SMTP) },
	{ "A17 inner packet to a closed port", { .dport = 26 }, DROP(CLOSED, SHUT) },

	/* A19: what is not TCP passes in this version; tunnels are counted as what they are */
	{ "A19 ARP", { FRAME(MACS ARP_WHO_HAS) }, PASS(ARP, NONE), 4, true },
	{ "A19 tagged ARP", { FRAME(MACS "\x81\0\0\7" ARP_WHO_HAS) }, PASS(ARP, NONE), 4, true },
	{ "A19 ARP in two tags", { FRAME(MACS "\x88\xa8\0\7\x81\0\0\7" ARP_WHO_HAS) }, PASS(ARP, NONE), 4, true },
	{ "A19 ARP cut short is ARP's business", { FRAME(MACS "\x08\x06\0\1") }, PASS(ARP, NONE), 4, true },
	{ "A19 LLDP", { FRAME("\x01\x80\xc2\0\0\x0e\2\0\0\0\0\7\x88\xcc\2\7\4\2\0\0\0\0\7\4\2\5\x31\6\2\0\x78\0\0") },
	  PASS(NOT_IP, NONE), 4, true },
	{ "A19 LLC (spanning tree)",
	  { FRAME("\x01\x80\xc2\0\0\0\2\0\0\0\0\7\0\x26\x42\x42\3\0\0\0\0\0") }, PASS(NOT_IP, NONE), 4, true },
	{ "A19 MPLS", { FRAME(MACS "\x88\x47\0\1\1\x40" INNER4) }, PASS(NOT_IP, NONE), 4, true },
	{ "A19 PPPoE", { FRAME(MACS "\x88\x64\x11\0\0\1\0\x2a\0\x21" INNER4) }, PASS(NOT_IP, NONE), 4, true },
	{ "A19 an EtherType nobody knows", { .ethertype = 0x1234 }, PASS(NOT_IP, NONE) },
	{ "A19 IP in IP", { .proto = 4, RAW(INNER4) }, PASS(TUNNEL, NONE) },
	{ "A19 6in4, IPv6 in IPv6", { .proto = 41, RAW(INNER6) }, PASS(TUNNEL, NONE) },
	{ "A19 GRE", { .proto = 47, RAW("\0\0\x08\0" INNER4) }, PASS(TUNNEL, NONE) },
	{ "A19 IP in IPv6 behind destination options (RFC 2473)",
	  { .ext = "d", .proto = 4, RAW(INNER4) }, PASS(TUNNEL, NONE), 6 },
	{ "A19 a tunnel from a blocked source", { .from = BLOCKED, .proto = 4, RAW(INNER4) }, DROP(BLOCKED, NONE) },

	/* A20, W30 */
	{ "A20 W30 jumbo frame", { .payload = 3000 }, PASS(ALLOWED, SMTP) },
	{ "A20 W30 frame in many buffers", { .payload = 60000 }, PASS(ALLOWED, SMTP) },
	{ "A20 W30 frame in many buffers, closed port", { .payload = 9000, .dport = 26 }, DROP(CLOSED, SHUT) },
	{ "A20 W30 frame in many buffers, IP length past all of them",
	  { .payload = 9000, .len_add = 1 }, DROP(IP_LENGTH, NONE) },
	{ "A20 W30 frame in many buffers, most of it padding", { .padding = 9000 }, PASS(ALLOWED, SMTP) },
	{ "A20 W30 frame in many buffers, most of it padding, closed port",
	  { .padding = 9000, .dport = 26 }, DROP(CLOSED, SHUT) },
	{ "A20 W30 frame in many buffers that is not IP",
	  { .ethertype = 0x1234, .payload = 9000 }, PASS(NOT_IP, NONE) },
	{ "A20 W30 frame in many buffers, too many tags",
	  { .tags = TAG_THREE, .payload = 9000 }, DROP(VLAN_DEPTH, NONE), .as_is = true },
	{ "A20 W30 frame in many buffers, wrong version", { .version = 5, .payload = 9000 }, DROP(IP_VERSION, NONE) },

	/* B13 speaks of the header too */
	{ "B13 the evil bit", { .then = evil_bit }, PASS(ALLOWED, SMTP), 4 },
};

const struct table rows_parse = { "table A", rows, sizeof(rows) / sizeof(rows[0]) };
