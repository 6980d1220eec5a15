// SPDX-License-Identifier: GPL-2.0-only
/*
 * Table B: fragments. TCP is not sent in fragments; so a first fragment must
 * hold the whole TCP header and is judged like a whole packet, and later ones
 * are dropped: nothing that was cut can be put together behind the filter.
 */
#include "rows.h"

#define TCP25 "\x9c\x40\x00\x19\x00\x00\x03\xe8\x00\x00\x00\x00\x50\x02\xfa\xf0\x00\x00\x00\x00"
#define SOLICIT "\x87\0\0\0\0\0\0\0\x20\x01\x0d\xb8\0\x25\0\0\0\0\0\0\0\0\0\x25"
#define ADVERTISE "\x86\0\0\0\x40\0\0\x1e\0\0\0\0\0\0\0\0"
#define FRAG .frag = true
#define FIRST FRAG, .more = true

static void dont_fragment(struct crafted *f)
{
	f->b[f->l3 + 6] |= 0x40;
}

static const struct row rows[] = {
	{ "B1 first of two honest fragments, open port", { FIRST, .payload = 100, .cut_to = 64 }, PASS(ALLOWED, SMTP) },
	{ "B1 first of two honest fragments, closed port",
	  { FIRST, .dport = 26, .payload = 100, .cut_to = 64 }, DROP(CLOSED, SHUT) },
	{ "B1 second of two honest fragments: later TCP fragments are dropped by design",
	  { FRAG, .frag_at = 64, .payload = 100, .cut_from = 64, .cut_to = 120 }, DROP(FRAGMENT, NONE) },
	{ "B1 one in the middle",
	  { FIRST, .frag_at = 64, .payload = 200, .cut_from = 64, .cut_to = 128 }, DROP(FRAGMENT, NONE) },

	{ "B2 W9 first fragment of 8 bytes (nmap -f)", { FIRST, .cut_to = 8 }, DROP(FRAGMENT_TINY, NONE) },
	{ "B2 W9 first fragment of 16 bytes (nmap -ff)", { FIRST, .cut_to = 16 }, DROP(FRAGMENT_TINY, NONE) },
	{ "B2 first fragment of 24 bytes, whole header", { FIRST, .payload = 40, .cut_to = 24 }, PASS(ALLOWED, SMTP) },
	{ "B2 first fragment of 24 bytes of a header of 28", { FIRST, TCP_OPT("\2\4\5\xb4\1\1\1\0"), .cut_to = 24 },
	  DROP(FRAGMENT_TINY, NONE) },
	{ "B2 first fragment without a byte of TCP", { FIRST, .proto = 6, RAW("") }, DROP(FRAGMENT_TINY, NONE) },
	{ "B2 first fragment of 8 bytes, the rest is padding",
	  { FIRST, .cut_to = 8, .padding = 40 }, DROP(FRAGMENT_TINY, NONE) },
	{ "B2 first fragment of 8 bytes from a blocked source",
	  { FIRST, .from = BLOCKED, .cut_to = 8 }, DROP(FRAGMENT_TINY, NONE) },

	{ "B3 fragment at offset 8 that would rewrite the flags", { FRAG, .frag_at = 8, .cut_from = 8, .cut_to = 20 },
	  DROP(FRAGMENT, NONE) },
	{ "B3 fragment at offset 8, more to come", { FIRST, .frag_at = 8, .payload = 80, .cut_from = 8, .cut_to = 48 },
	  DROP(FRAGMENT, NONE) },

	{ "B4 overlap that rewrites the port: a second first fragment is judged by its own",
	  { FIRST, .dport = 26, .payload = 40 }, DROP(CLOSED, SHUT) },
	{ "B4 overlap that rewrites what follows the ports",
	  { FRAG, .frag_at = 16, .payload = 40, .cut_from = 16, .cut_to = 60 }, DROP(FRAGMENT, NONE) },
	{ "B4 exact duplicate of a first fragment", { FIRST, .payload = 100, .cut_to = 64 }, PASS(ALLOWED, SMTP) },

	{ "B5 offset and length beyond 65535", { FRAG, .frag_at = 65528, .payload = 40 }, DROP(FRAGMENT, NONE) },
	{ "B5 offset and length beyond 65535, not TCP: left to the stack",
	  { FRAG, .frag_at = 65528, .proto = 17, RAW("12345678") }, PASS(NOT_TCP, NONE) },

	{ "B7 later fragment without its first", { FRAG, .frag_at = 1480, .payload = 40, .cut_from = 20, .cut_to = 60 },
	  DROP(FRAGMENT, NONE) },
	{ "B7 W8 later fragment whose bytes look like TCP to the open port",
	  { FRAG, .frag_at = 1480, .proto = 6, RAW(TCP25) }, DROP(FRAGMENT, NONE) },
	{ "B7 later fragment without a byte", { FRAG, .frag_at = 1480, .proto = 6, RAW("") }, DROP(FRAGMENT, NONE) },
	{ "B7 later fragment from a blocked source", { FRAG, .from = BLOCKED, .frag_at = 1480 }, DROP(FRAGMENT, NONE) },

	{ "B8 the same id with another protocol: UDP is not judged", { FRAG, .frag_at = 64, .proto = 17, RAW(TCP25) },
	  PASS(NOT_TCP, NONE) },
	{ "B8 first fragment of UDP",
	  { FIRST, .udp = true, .sport = 53, .dport = 40000, .payload = 40 }, PASS(NOT_TCP, NONE) },
	{ "B8 fragment of UDP from a blocked source", { FRAG, .from = BLOCKED, .frag_at = 64, .proto = 17, RAW(TCP25) },
	  DROP(BLOCKED, NONE) },

	{ "B9 first fragment ends in the TCP header", { .ext = "F", .cut_to = 19 }, DROP(FRAGMENT_TINY, NONE), 6 },
	{ "B9 first fragment ends in destination options", { .ext = "F", .proto = 60, RAW("\6\1\1\4\0\0\0\0") },
	  DROP(FRAGMENT_TINY, NONE), 6 },
	{ "B9 first fragment ends in the first half of destination options",
	  { .ext = "F", .proto = 60, RAW("\6\0\1\4") }, DROP(FRAGMENT_TINY, NONE), 6 },
	{ "B9 first fragment ends behind destination options",
	  { .ext = "Fd", .proto = 6, RAW("") }, DROP(FRAGMENT_TINY, NONE), 6 },
	{ "B9 first fragment ends inside its own fragment header",
	  { .ext = "F", .len_add = -24 }, DROP(EXT_HEADERS, NONE), 6 },
	{ "B9 first fragment with the whole chain", { .ext = "hdFd" }, PASS(ALLOWED, SMTP), 6 },
	{ "B9 first fragment with the whole chain, closed port",
	  { .ext = "hdFd", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "B9 first fragment of ICMPv6 that ends before it begins: not TCP, left to the stack",
	  { .ext = "Fd", .proto = 58, RAW("") }, PASS(NOT_TCP, NONE), 6 },

	{ "B10 overlap: no later fragment of TCP passes", { .ext = "L", .payload = 40 }, DROP(FRAGMENT, NONE), 6 },
	{ "B10 later fragment that goes on with destination options", { .ext = "Ld" }, DROP(FRAGMENT, NONE), 6 },
	{ "B10 later fragment behind a hop-by-hop header", { .ext = "hL" }, DROP(FRAGMENT, NONE), 6 },

	{ "B11 W12 atomic fragment, open port", { .ext = "f" }, PASS(ALLOWED, SMTP), 6 },
	{ "B11 W12 atomic fragment, closed port", { .ext = "f", .dport = 26 }, DROP(CLOSED, SHUT), 6 },
	{ "B11 W12 atomic fragment without a connection", { .ext = "f", .flags = ACK }, DROP(NO_CONNECTION, SMTP), 6 },
	{ "B11 atomic fragment with half a TCP header is cut short, not tiny",
	  { .ext = "f", .cut_to = 12 }, DROP(TCP_HEADER, NONE), 6 },
	{ "B11 W11 atomic fragment, its reserved byte set: still eight bytes", { .ext = "g" }, PASS(ALLOWED, SMTP), 6 },
	{ "B11 W11 atomic fragment, its reserved byte set, closed port",
	  { .ext = "g", .dport = 26 }, DROP(CLOSED, SHUT), 6 },

	{ "B12 fragment header twice", { .ext = "ff" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "B12 first fragment inside an atomic one", { .ext = "fF" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "B12 atomic fragment inside a first one", { .ext = "Ff" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "B12 later fragment inside an atomic one", { .ext = "fL" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "B12 fragment header inside a later one", { .ext = "Lf" }, DROP(FRAGMENT, NONE), 6 },
	{ "B12 fragment headers apart", { .ext = "fdf" }, DROP(EXT_HEADERS, NONE), 6 },
	{ "B12 a later fragment that says UDP passes: the port was judged with the first, which holds it",
	  { .ext = "L", .udp = true, .sport = 1, .dport = 2 }, PASS(NOT_TCP, NONE), 6 },

	{ "B13 more to come, yet everything inside", { FIRST }, PASS(ALLOWED, SMTP) },
	{ "B13 more to come, yet everything inside, closed port", { FIRST, .dport = 26 }, DROP(CLOSED, SHUT) },
	{ "B13 more to come, yet everything inside, no connection",
	  { FIRST, .flags = ACK }, DROP(NO_CONNECTION, SMTP) },
	{ "B13 don't fragment, and more fragments", { FIRST, .then = dont_fragment }, PASS(ALLOWED, SMTP), 4 },
	{ "B13 don't fragment, and more fragments, closed port",
	  { FIRST, .then = dont_fragment, .dport = 26 }, DROP(CLOSED, SHUT), 4 },

	{ "B14 neighbour solicitation in a first fragment",
	  { .ext = "F", .proto = 58, RAW(SOLICIT) }, DROP(FRAGMENT_ND, NONE), 6 },
	{ "B14 neighbour solicitation in an atomic fragment",
	  { .ext = "f", .proto = 58, RAW(SOLICIT) }, DROP(FRAGMENT_ND, NONE), 6 },
	{ "B14 router advertisement in a fragment",
	  { .ext = "f", .proto = 58, RAW(ADVERTISE) }, DROP(FRAGMENT_ND, NONE), 6 },
	{ "B14 router advertisement behind options in a fragment", { .ext = "Fd", .proto = 58, RAW(ADVERTISE) },
	  DROP(FRAGMENT_ND, NONE), 6 },
	{ "B14 redirect in a fragment",
	  { .ext = "hf", .proto = 58, RAW("\x89\0\0\0\0\0\0\0") }, DROP(FRAGMENT_ND, NONE), 6 },
	{ "B14 an ICMPv6 error may be fragmented",
	  { .ext = "F", .proto = 58, RAW("\2\0\0\0\0\0\5\0") }, PASS(ICMP_ERROR, NONE), 6 },
	{ "B14 an echo request may be fragmented",
	  { .ext = "F", .proto = 58, RAW("\x80\0\0\0\0\0\0\0") }, PASS(NOT_TCP, NONE), 6 },
	{ "B14 later fragment of ICMPv6", { .ext = "L", .proto = 58, RAW(SOLICIT) }, PASS(NOT_TCP, NONE), 6 },
	{ "B14 later fragment of ICMP",
	  { FRAG, .frag_at = 1480, .proto = 1, RAW("\5\0\0\0\0\0\0\0") }, PASS(NOT_TCP, NONE), 4 },
};

const struct table rows_fragments = { "table B", rows, sizeof(rows) / sizeof(rows[0]) };
