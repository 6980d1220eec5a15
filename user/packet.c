// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "packet.h"

#define ETH_HEADER 14u
#define IP4_HEADER 20u
#define IP6_HEADER 40u
#define TCP_HEADER 20u
#define PROTO_TCP 6u
#define SHORTEST_FRAME 60u
#define WINDOW 64240u

static uint8_t *put16(uint8_t *to, uint16_t v)
{
	to[0] = (uint8_t)(v >> 8);
	to[1] = (uint8_t)v;
	return to + 2;
}

static uint8_t *put32(uint8_t *to, uint32_t v)
{
	return put16(put16(to, (uint16_t)(v >> 16)), (uint16_t)v);
}

static uint8_t *put(uint8_t *to, const void *from, size_t n)
{
	memcpy(to, from, n);
	return to + n;
}

static uint32_t sum16(const uint8_t *p, size_t len, uint32_t sum)
{
	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	if (len & 1)
		sum += (uint32_t)p[len - 1] << 8;
	return sum;
}

uint16_t packet_checksum(const void *data, size_t len, uint32_t sum)
{
	sum = sum16(data, len, sum);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static uint8_t *put_ip4(uint8_t *to, const struct packet *p, size_t payload)
{
	uint8_t *ip = to;

	to = put(to, (uint8_t[]){ 0x45, 0 }, 2);
	to = put16(to, (uint16_t)(IP4_HEADER + payload));
	to = put32(to, 0x4000); /* no identification, do not fragment */
	to = put(to, (uint8_t[]){ 64, PROTO_TCP, 0, 0 }, 4);
	to = put(to, p->src.addr, 4);
	to = put(to, p->dst.addr, 4);
	put16(ip + 10, packet_checksum(ip, IP4_HEADER, 0));
	return to;
}

static uint8_t *put_ip6(uint8_t *to, const struct packet *p, size_t payload)
{
	to = put32(to, 0x60000000);
	to = put16(to, (uint16_t)payload);
	to = put(to, (uint8_t[]){ PROTO_TCP, 64 }, 2);
	to = put(to, p->src.addr, 16);
	return put(to, p->dst.addr, 16);
}

static uint8_t *put_tcp(uint8_t *to, const struct packet *p, size_t len)
{
	size_t addr = p->src.family == 4 ? 4 : 16;
	uint8_t *tcp = to;
	uint32_t sum;

	to = put16(to, p->sport);
	to = put16(to, p->dport);
	to = put32(to, p->seq);
	to = put32(to, p->flags & PACKET_ACK ? p->ack : 0);
	to = put(to, (uint8_t[]){ (uint8_t)(len / 4 << 4), p->flags }, 2);
	to = put16(to, WINDOW);
	to = put32(to, 0);
	if (p->flags & PACKET_SYN)
		to = put32(to, 0x02040000u | (p->src.family == 4 ? 1460 : 1440));
	sum = sum16(p->src.addr, addr, PROTO_TCP + (uint32_t)len);
	sum = sum16(p->dst.addr, addr, sum);
	put16(tcp + 16, packet_checksum(tcp, len, sum));
	return to;
}

size_t packet_craft(const struct packet *p, uint8_t frame[PACKET_MAX])
{
	size_t tcp = TCP_HEADER + (p->flags & PACKET_SYN ? 4 : 0);
	bool ip4 = p->src.family == 4;
	uint8_t *to = frame;

	if (p->src.family != p->dst.family)
		return 0;
	memset(frame, 0, PACKET_MAX);
	to = put(to, p->to_mac, 6);
	to = put(to, p->from_mac, 6);
	to = put16(to, ip4 ? 0x0800 : 0x86dd);
	to = ip4 ? put_ip4(to, p, tcp) : put_ip6(to, p, tcp);
	to = put_tcp(to, p, tcp);
	return (size_t)(to - frame) < SHORTEST_FRAME ? SHORTEST_FRAME : (size_t)(to - frame);
}
