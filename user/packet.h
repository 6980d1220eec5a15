/* SPDX-License-Identifier: GPL-2.0-only */
/* Crafts a TCP segment without data, as a wire would bring it. */
#ifndef MXDP_PACKET_H
#define MXDP_PACKET_H

#include <stddef.h>
#include <stdint.h>
#include "rules.h"

#define PACKET_FIN 0x01u
#define PACKET_SYN 0x02u
#define PACKET_RST 0x04u
#define PACKET_ACK 0x10u

struct packet {
	uint8_t from_mac[6], to_mac[6];
	struct prefix src, dst; /* single hosts of one family */
	uint16_t sport, dport;
	uint8_t flags;
	uint32_t seq, ack;
};

#define PACKET_MAX 128

/*
 * Ethernet, IPv4 or IPv6, TCP; all checksums right; a SYN carries its MSS; padded to the 60 bytes of the shortest
 * Ethernet frame. Returns the length, 0 when src and dst are not of one family.
 */
size_t packet_craft(const struct packet *p, uint8_t frame[PACKET_MAX]);

/* The Internet checksum (RFC 1071) over data, on top of `sum`, folded and complemented; in host byte order. */
uint16_t packet_checksum(const void *data, size_t len, uint32_t sum);

#endif
