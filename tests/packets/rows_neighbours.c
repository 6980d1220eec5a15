// SPDX-License-Identifier: GPL-2.0-only
/* Table F: the neighbours of the rule set. What keeps the host on its network passes, whoever sends it. */
#include "rows.h"

#define ICMP(t) .proto = 1, RAW(t "\0\0\0\0\0\0\0")
#define ICMP6(t) .proto = 58, RAW(t "\0\0\0\0\0\0\0\xfe\x80\0\0\0\0\0\0\0\0\0\0\0\0\0\7")
#define UDP(s, d) .udp = true, .sport = s, .dport = d

static void ethernet_group(struct crafted *f)
{
	f->b[0] = 0x33;
	f->b[1] = 0x33;
}

#define TO_ALL .then = ethernet_group

static const struct row rows[] = {
	/* F1, W13 */
	{ "F1 router solicitation", { ICMP6("\x85"), .dst = "ff02::2", TO_ALL }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 router advertisement",
	  { ICMP6("\x86"), .src = "fe80::1", .dst = "ff02::1", TO_ALL }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 neighbour solicitation", { ICMP6("\x87"), .dst = "ff02::1:ff00:25", TO_ALL }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 duplicate address detection, from ::", { ICMP6("\x87"), .src = "::", .dst = "ff02::1:ff00:25", TO_ALL },
	  PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 neighbour advertisement", { ICMP6("\x88") }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 ICMPv6 redirect belongs to neighbour discovery (RFC 4861)",
	  { ICMP6("\x89"), .src = "fe80::1" }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 multicast listener query, behind hop-by-hop",
	  { .ext = "h", ICMP6("\x82"), .src = "fe80::1", .dst = "ff02::1", TO_ALL }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 multicast listener report", { .ext = "h", ICMP6("\x83"), .dst = "ff02::1" }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 multicast listener done", { .ext = "h", ICMP6("\x84"), .dst = "ff02::2" }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 multicast listener report, version 2",
	  { .ext = "h", ICMP6("\x8f"), .dst = "ff02::16" }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 DHCP to the client", { UDP(67, 68), .payload = 240 }, PASS(DHCP, NONE), 4 },
	{ "F1 DHCP to the server",
	  { UDP(68, 67), .src = "0.0.0.0", .dst = "255.255.255.255", TO_ALL }, PASS(DHCP, NONE), 4 },
	{ "F1 DHCPv6 to the client", { UDP(547, 546) }, PASS(DHCP, NONE), 6 },
	{ "F1 DHCPv6 to the server", { UDP(546, 547), .src = "fe80::7", .dst = "ff02::1:2" }, PASS(DHCP, NONE), 6 },
	{ "F1 one of DHCP's ports is not DHCP", { UDP(5000, 68) }, PASS(NOT_TCP, NONE), 4 },
	{ "F1 one of DHCPv6's ports is not DHCP", { UDP(547, 5000) }, PASS(NOT_TCP, NONE), 6 },
	{ "F1 IGMP", { .proto = 2, RAW("\x11\x64\0\0\0\0\0\0"), .dst = "224.0.0.1", TO_ALL }, PASS(NOT_TCP, NONE), 4 },

	/* the same from a blocked source */
	{ "F1 neighbour solicitation from a blocked source",
	  { .from = BLOCKED, ICMP6("\x87") }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 router advertisement from a blocked source",
	  { .from = BLOCKED, ICMP6("\x86") }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 multicast listener report from a blocked source",
	  { .from = BLOCKED, .ext = "h", ICMP6("\x8f") }, PASS(NEIGHBOUR, NONE), 6 },
	{ "F1 DHCP from a blocked source", { .from = BLOCKED, UDP(67, 68) }, PASS(DHCP, NONE), 4 },
	{ "F1 DHCPv6 from a blocked source", { .from = BLOCKED, UDP(547, 546) }, PASS(DHCP, NONE), 6 },
	{ "F2 ICMP error from a blocked source", { .from = BLOCKED, ICMP("\x03\x04") }, PASS(ICMP_ERROR, NONE), 4 },
	{ "F2 packet too big from a blocked source", { .from = BLOCKED, ICMP6("\x02") }, PASS(ICMP_ERROR, NONE), 6 },

	/* F2, C18, W13: ICMP errors always pass by design; which connection they speak of is the stack's business */
	{ "F2 W13 unreachable: fragmentation needed", { ICMP("\x03\x04") }, PASS(ICMP_ERROR, NONE), 4 },
	{ "F2 unreachable: host", { ICMP("\x03\x01") }, PASS(ICMP_ERROR, NONE), 4 },
	{ "F2 time exceeded", { ICMP("\x0b") }, PASS(ICMP_ERROR, NONE), 4 },
	{ "F2 parameter problem", { ICMP("\x0c") }, PASS(ICMP_ERROR, NONE), 4 },
	{ "F2 unreachable", { ICMP6("\x01") }, PASS(ICMP_ERROR, NONE), 6 },
	{ "F2 W13 packet too big", { ICMP6("\x02") }, PASS(ICMP_ERROR, NONE), 6 },
	{ "F2 time exceeded", { ICMP6("\x03") }, PASS(ICMP_ERROR, NONE), 6 },
	{ "F2 parameter problem", { ICMP6("\x04") }, PASS(ICMP_ERROR, NONE), 6 },
	{ "F2 packet too big behind destination options", { .ext = "d", ICMP6("\x02") }, PASS(ICMP_ERROR, NONE), 6 },

	/* F3 */
	{ "F3 redirect", { ICMP("\x05\x01") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 timestamp request", { ICMP("\x0d") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 timestamp reply", { ICMP("\x0e") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 information request", { ICMP("\x0f") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 information reply", { ICMP("\x10") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 mask request", { ICMP("\x11") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 mask reply", { ICMP("\x12") }, DROP(ICMP_ODD, NONE), 4 },
	{ "F3 echo request is no business of a TCP filter", { ICMP("\x08") }, PASS(NOT_TCP, NONE), 4 },
	{ "F3 echo reply", { ICMP("\0") }, PASS(NOT_TCP, NONE), 4 },
	{ "F3 echo request is no business of a TCP filter", { ICMP6("\x80") }, PASS(NOT_TCP, NONE), 6 },
	{ "F3 echo request from a blocked source", { .from = BLOCKED, ICMP("\x08") }, DROP(BLOCKED, NONE), 4 },
	{ "F3 echo request from a blocked source", { .from = BLOCKED, ICMP6("\x80") }, DROP(BLOCKED, NONE), 6 },

	/* F4: UDP is not judged, asked for or not, by design */
	{ "F4 DNS answer", { UDP(53, 40001), .payload = 60 }, PASS(NOT_TCP, NONE) },
	{ "F4 NTP answer", { UDP(123, 123), .payload = 48 }, PASS(NOT_TCP, NONE) },
	{ "F4 DNS answer from a blocked source", { .from = BLOCKED, UDP(53, 40001) }, DROP(BLOCKED, NONE) },

	/* F5: of our own addresses only the one that is spoken to can be told: land */
	{ "F5 from 127.0.0.1", { .src = "127.0.0.1" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from 127.255.255.254", { .src = "127.255.255.254" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from 0.0.0.0", { .src = "0.0.0.0" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from 0.255.255.255", { .src = "0.255.255.255" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from multicast 224.0.0.1", { .src = "224.0.0.1" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from multicast 239.255.255.255", { .src = "239.255.255.255" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from 240.0.0.1", { .src = "240.0.0.1" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from broadcast", { .src = "255.255.255.255" }, DROP(BAD_SOURCE, SMTP), 4 },
	{ "F5 from loopback, an ACK to a closed port",
	  { .src = "127.0.0.1", .dport = 26, .flags = ACK }, DROP(BAD_SOURCE, SHUT), 4 },
	{ "F5 from loopback, a SYN to a closed port: closed is asked first",
	  { .src = "127.0.0.1", .dport = 26 }, DROP(CLOSED, SHUT), 4 },
	{ "F5 land", { .src = US4 }, DROP(LAND, SMTP), 4 },
	{ "F5 land, same ports", { .src = US4, .sport = 25 }, DROP(LAND, SMTP), 4 },
	{ "F5 land, an RST", { .src = US4, .flags = RST }, DROP(LAND, SMTP), 4 },
	{ "F5 from ::", { .src = "::" }, DROP(BAD_SOURCE, SMTP), 6 },
	{ "F5 from ::1", { .src = "::1" }, DROP(BAD_SOURCE, SMTP), 6 },
	{ "F5 from multicast ff02::1", { .src = "ff02::1" }, DROP(BAD_SOURCE, SMTP), 6 },
	{ "F5 from multicast ff0e::1", { .src = "ff0e::1" }, DROP(BAD_SOURCE, SMTP), 6 },
	{ "F5 land", { .src = US6 }, DROP(LAND, SMTP), 6 },
	{ "F5 land, an ACK to a closed port", { .src = US6, .dport = 26, .flags = ACK }, DROP(LAND, SHUT), 6 },
	{ "F5 land, a SYN to a closed port: closed is asked first",
	  { .src = US6, .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "F5 next to 0/8", { .src = "1.0.0.1" }, PASS(ALLOWED, SMTP), 4 },
	{ "F5 next to 127/8, below", { .src = "126.255.255.254" }, PASS(ALLOWED, SMTP), 4 },
	{ "F5 next to 127/8, above", { .src = "128.0.0.1" }, PASS(ALLOWED, SMTP), 4 },
	{ "F5 next to 224/4", { .src = "223.255.255.254" }, PASS(ALLOWED, SMTP), 4 },
	{ "F5 link-local is a good source", { .src = "169.254.1.7" }, PASS(ALLOWED, SMTP), 4 },
	{ "F5 link-local is a good source", { .src = "fe80::7" }, PASS(ALLOWED, SMTP), 6 },
	{ "F5 unique local is a good source", { .src = "fd00::7" }, PASS(ALLOWED, SMTP), 6 },
	{ "F5 next to multicast", { .src = "feff::7" }, PASS(ALLOWED, SMTP), 6 },
	{ "F5 bad source, not TCP: not judged", { .src = "0.0.0.0", UDP(53, 5353) }, PASS(NOT_TCP, NONE), 4 },

	/* F6 */
	{ "F6 to multicast", { .dst = "224.0.0.1" }, DROP(TO_GROUP, SMTP), 4 },
	{ "F6 to multicast", { .dst = "ff02::1" }, DROP(TO_GROUP, SMTP), 6 },
	{ "F6 to multicast, an ACK to a closed port",
	  { .dst = "239.1.2.3", .dport = 26, .flags = ACK }, DROP(TO_GROUP, SHUT), 4 },
	{ "F6 to multicast, a SYN to a closed port: closed is asked first",
	  { .dst = "239.1.2.3", .dport = 26 }, DROP(CLOSED, SHUT), 4 },
	{ "F6 to 240/4", { .dst = "240.1.2.3" }, DROP(TO_GROUP, SMTP), 4 },
	{ "F6 to broadcast", { .dst = "255.255.255.255" }, DROP(TO_GROUP, SMTP), 4 },
	{ "F6 to a group of Ethernet, to one host of IP", { .to_group = true }, DROP(TO_GROUP, SMTP) },
	{ "F6 an ACK to a group of Ethernet", { .to_group = true, .flags = ACK }, DROP(TO_GROUP, SMTP) },
	{ "F6 UDP to multicast is not judged", { .dst = "224.0.0.251", UDP(5353, 5353) }, PASS(NOT_TCP, NONE), 4 },

	/* F7 */
	{ "F7 6to4 form of a blocked address", { .src = "2002:c633:6463::1" }, DROP(BLOCKED, SMTP), 6 },
	{ "F7 6to4 form of a blocked address, an ACK",
	  { .src = "2002:c633:6463:77::1", .flags = ACK }, DROP(BLOCKED, SMTP), 6 },
	{ "F7 6to4 form of a blocked address, UDP",
	  { .src = "2002:c633:6463::1", UDP(53, 5353) }, DROP(BLOCKED, NONE), 6 },
	{ "F7 6to4 form of its neighbour", { .src = "2002:c633:6464::1" }, PASS(ALLOWED, SMTP), 6 },
	{ "F7 NAT64 form of a blocked address", { .src = "64:ff9b::198.51.100.99" }, DROP(BLOCKED, SMTP), 6 },
	{ "F7 NAT64 form of its neighbour", { .src = "64:ff9b::198.51.100.100" }, PASS(ALLOWED, SMTP), 6 },
	{ "F7 6to4 form of a blocked admin's address: blocked, and no admin",
	  { .src = "2002:c000:24d::1", .dport = 22 }, DROP(BLOCKED, SSH), 6 },
	{ "F7 NAT64 form of a blocked admin's address: blocked, and no admin",
	  { .src = "64:ff9b::192.0.2.77", .dport = 22 }, DROP(BLOCKED, SSH), 6 },
	{ "F7 6to4 form of an admin's address is no admin",
	  { .src = "2002:c000:209::1", .dport = 22 }, DROP(DENIED, SSH), 6 },
	{ "F7 mapped form of a blocked address", { .src = "::ffff:198.51.100.99" }, DROP(BAD_SOURCE, SMTP), 6 },
	{ "F7 mapped form of any address", { .src = "::ffff:198.51.100.7" }, DROP(BAD_SOURCE, SMTP), 6 },
	{ "F7 compatible form of a blocked address", { .src = "::198.51.100.99" }, DROP(BAD_SOURCE, SMTP), 6 },
};

const struct table rows_neighbours = { "table F", rows, sizeof(rows) / sizeof(rows[0]) };
