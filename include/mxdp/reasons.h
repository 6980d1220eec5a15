/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The one list of reasons. The packet path counts under these numbers; the
 * metrics, the manual and the tests are generated from, or checked against,
 * this list.
 *
 * MXDP_REASON(number, SYMBOL, name, verdict, layer, sentence)
 *
 *   number   stable for ever: it is an index into pinned counters. New reasons
 *            take free numbers; a number is never given a second meaning.
 *   name     stable: label value in metrics and JSON.
 *   verdict  PASS, DROP or TX (answered from here), when not observing. What is answered is not passed on, and is counted
 *            with what is dropped.
 *   layer    LINK: decided before an address family is known.
 *            IP:   decided before, or without, a TCP port.
 *            TCP:  decided with both ports known; counted per service and port.
 */
#ifndef MXDP_REASONS_H
#define MXDP_REASONS_H

#define MXDP_REASONS(X) \
	X(0,  NOT_IP,        "not-ip",        PASS, LINK, "not an IP packet: no business of a TCP filter") \
	X(1,  ARP,           "arp",           PASS, LINK, "ARP always passes") \
	X(2,  NEIGHBOUR,     "neighbour",     PASS, IP,   "neighbour discovery, router advertisement and multicast listener messages always pass") \
	X(3,  ICMP_ERROR,    "icmp-error",    PASS, IP,   "ICMP errors always pass: a large mail needs its path MTU") \
	X(4,  NOT_TCP,       "not-tcp",       PASS, IP,   "not TCP: passed unjudged") \
	X(5,  TUNNEL,        "tunnel",        PASS, IP,   "a tunnel (IP in IP, 6in4, GRE): passed unjudged") \
	X(6,  LEASE,         "lease",         PASS, TCP,  "the kernel vouched for this connection within this second") \
	X(7,  LIVE,          "live",          PASS, TCP,  "the kernel knows this connection") \
	X(8,  COOKIE,        "cookie",        PASS, TCP,  "a handshake answered by SYN cookies completes") \
	X(9,  ALLOWED,       "allowed",       PASS, TCP,  "a rule allows this source to open this port") \
	X(10, DEFAULT_ALLOW, "default-allow", PASS, TCP,  "no rule governs this port and the default is allow") \
	X(11, ADMIN,         "admin",         PASS, TCP,  "an admin sentence: cannot be locked out") \
	X(12, CROSSED,       "crossed",       PASS, TCP,  "simultaneous open: this host is opening the very same connection") \
	X(13, DHCP,          "dhcp",          PASS, IP,   "DHCP always passes") \
	X(14, TRIAL_OVER,    "trial-over",    PASS, LINK, "attached on trial, and not confirmed in time: unfiltered until the next mxdp command detaches") \
	X(19, OTHER_PASSED,  "other-passed",  PASS, IP,   "passed by another version of mxdp, before this one, for a reason that this one does not know") \
	X(20, FRAME_SHORT,   "frame-short",   DROP, LINK, "the frame ends inside its Ethernet header or VLAN tag") \
	X(21, VLAN_DEPTH,    "vlan-depth",    DROP, LINK, "more than two VLAN tags") \
	X(22, IP_VERSION,    "ip-version",    DROP, LINK, "IP version and EtherType disagree") \
	X(23, IP_HEADER,     "ip-header",     DROP, IP,   "the IP header is cut short or its length is impossible") \
	X(24, IP_LENGTH,     "ip-length",     DROP, IP,   "the IP length is smaller than the headers or larger than the frame") \
	X(25, SOURCE_ROUTE,  "source-route",  DROP, IP,   "source routing: IPv4 option or IPv6 routing header type 0") \
	X(26, EXT_HEADERS,   "ext-headers",   DROP, IP,   "IPv6 extension headers: too many, too long, cut short or out of order") \
	X(27, JUMBO,         "jumbo",         DROP, IP,   "IPv6 jumbo payload or zero payload length") \
	X(28, FRAGMENT,      "fragment",      DROP, IP,   "a later fragment that may carry TCP") \
	X(29, FRAGMENT_TINY, "fragment-tiny", DROP, IP,   "a first fragment without the whole TCP header") \
	X(30, FRAGMENT_ND,   "fragment-nd",   DROP, IP,   "fragmented neighbour discovery (RFC 6980)") \
	X(31, TCP_HEADER,    "tcp-header",    DROP, IP,   "the TCP header is cut short or its data offset is impossible") \
	X(32, HEADER_SPLIT,  "header-split",  DROP, IP,   "the headers do not lie in the first buffer of a multi-buffer frame") \
	X(33, ICMP_ODD,      "icmp-odd",      DROP, IP,   "ICMP redirect, timestamp, information or mask message") \
	X(34, TO_GROUP,      "to-group",      DROP, IP,   "TCP to a multicast or broadcast address") \
	X(35, BAD_SOURCE,    "bad-source",    DROP, IP,   "TCP from an address no host can have") \
	X(36, LAND,          "land",          DROP, IP,   "source and destination address are the same") \
	X(37, BAD_FLAGS,     "bad-flags",     DROP, TCP,  "TCP flags that no TCP sends together") \
	X(38, PORT_ZERO,     "port-zero",     DROP, TCP,  "TCP port 0") \
	X(39, CLOSED,        "closed",        DROP, TCP,  "SYN to a port that no source may open") \
	X(40, DENIED,        "denied",        DROP, TCP,  "a rule, or the default, denies this source this port") \
	X(41, BLOCKED,       "blocked",       DROP, IP,   "everything from this source is blocked") \
	X(42, NO_CONNECTION, "no-connection", DROP, TCP,  "not a SYN, and the kernel knows no such connection") \
	X(43, BANNED,        "banned",        DROP, IP,   "the source is banned") \
	X(44, OVER_RATE,     "over-rate",     DROP, TCP,  "SYN from a source that opens connections faster than its limit") \
	X(45, OVER_CONNECTIONS, "over-connections", DROP, TCP, "the source has as many connections open as it may") \
	X(46, OVER_GLOBAL,   "over-global",   DROP, TCP,  "SYN beyond what all sources together may send") \
	X(47, COOKIE_SENT,   "cookie-sent",   TX,   TCP,  "SYN answered with a SYN cookie in the kernel's stead") \
	X(48, REFUSED,       "refused",       TX,   TCP,  "over a limit that says reset: answered with RST") \
	X(63, OTHER_DROPPED, "other-dropped", DROP, IP,   "dropped by another version of mxdp, before this one, for a reason that this one does not know")

#ifndef MXDP_OTHER_LAYOUT
#define MXDP_REASON_SLOTS 64 /* room for every number, passes and drops */
#else
#define MXDP_REASON_SLOTS 128
#endif

enum mxdp_verdict_kind { MXDP_PASS = 0, MXDP_DROP = 1, MXDP_TX = 2 };
enum mxdp_layer { MXDP_LAYER_LINK, MXDP_LAYER_IP, MXDP_LAYER_TCP };

enum mxdp_reason {
#define X(nr, sym, name, verdict, layer, text) MXDP_R_##sym = nr,
	MXDP_REASONS(X)
#undef X
};

/* Bit r is set when reason r does not pass; and when it is answered. */
#define X(nr, sym, name, verdict, layer, text) | ((unsigned long long)(MXDP_##verdict != MXDP_PASS) << nr)
static const unsigned long long mxdp_drop_mask __attribute__((unused)) = 0ULL MXDP_REASONS(X);
#undef X
#define X(nr, sym, name, verdict, layer, text) | ((unsigned long long)(MXDP_##verdict == MXDP_TX) << nr)
static const unsigned long long mxdp_tx_mask __attribute__((unused)) = 0ULL MXDP_REASONS(X);
#undef X

#endif /* MXDP_REASONS_H */
