// SPDX-License-Identifier: GPL-2.0-only
/* Promise: what explain runs through the program is a frame that a wire could bring. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <string.h>
#include <arpa/inet.h>
#include <cmocka.h>
#include "packet.h"

static struct prefix host(const char *text)
{
	struct prefix p = { 0 };

	if (strchr(text, ':')) {
		p.family = 6;
		p.len = 128;
		assert_int_equal(inet_pton(AF_INET6, text, p.addr), 1);
	} else {
		p.family = 4;
		p.len = 32;
		assert_int_equal(inet_pton(AF_INET, text, p.addr), 1);
	}
	return p;
}

static uint32_t sum_of(const uint8_t *p, size_t n)
{
	uint32_t sum = 0;

	assert_int_equal(n % 2, 0);
	for (size_t i = 0; i < n; i += 2)
		sum += (uint32_t)(p[i] << 8 | p[i + 1]);
	return sum;
}

static uint32_t folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return sum;
}

/* RFC 1071, section 3: the example; and data of odd length. */
static void checksum_of_rfc_1071(void **state)
{
	static const uint8_t data[] = { 0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7, 0x80 };

	(void)state;
	assert_int_equal(packet_checksum(data, 8, 0), (uint16_t)~0xddf2);
	assert_int_equal(packet_checksum(data, 9, 0), (uint16_t)~folded(0xddf2 + 0x8000));
}

/* The checksums were computed by other means. */
static void ipv4_syn_byte_by_byte(void **state)
{
	static const uint8_t want[] = {
		0x02, 0, 0, 0, 0, 2, 0x02, 0, 0, 0, 0, 1, 0x08, 0x00,
		0x45, 0, 0, 44, 0, 0, 0x40, 0, 64, 6, 0xb6, 0xc1, 192, 0, 2, 9, 192, 0, 2, 1,
		0x9c, 0x40, 0, 25, 0, 0, 0, 7, 0, 0, 0, 0, 0x60, 0x02, 0xfa, 0xf0, 0x7c, 0xca, 0, 0, 2, 4, 0x05, 0xb4,
	};
	struct packet p = { .to_mac = { 2, 0, 0, 0, 0, 2 },
			    .from_mac = { 2, 0, 0, 0, 0, 1 },
			    .src = host("192.0.2.9"),
			    .dst = host("192.0.2.1"),
			    .sport = 40000,
			    .dport = 25,
			    .flags = PACKET_SYN,
			    .seq = 7,
			    .ack = 9 };
	uint8_t frame[PACKET_MAX];

	(void)state;
	assert_int_equal(packet_craft(&p, frame), 60);
	assert_memory_equal(frame, want, sizeof(want));
	assert_int_equal(frame[58] | frame[59], 0);
}

static void both_checksums_add_up(const char *src, const char *dst, uint8_t flags)
{
	struct packet p = { .src = host(src), .dst = host(dst), .sport = 0xfffe, .dport = 993, .flags = flags,
			    .seq = 0xdeadbeef, .ack = 0xfeedface };
	size_t ip = p.src.family == 4 ? 20 : 40, addr = p.src.family == 4 ? 4 : 16, tcp = flags & PACKET_SYN ? 24 : 20;
	uint8_t frame[PACKET_MAX];
	size_t len = packet_craft(&p, frame);
	const uint8_t *seg = frame + 14 + ip;

	assert_true(len >= 14 + ip + tcp && len >= 60);
	if (p.src.family == 4)
		assert_int_equal(folded(sum_of(frame + 14, 20)), 0xffff);
	assert_int_equal(
		folded(sum_of(p.src.addr, addr) + sum_of(p.dst.addr, addr) + 6 + (uint32_t)tcp + sum_of(seg, tcp)),
		0xffff);
	assert_int_equal(seg[13], flags);
	assert_int_equal(seg[12] >> 4, tcp / 4);
	assert_int_equal(seg[2] << 8 | seg[3], 993);
	assert_int_equal(seg[8], flags & PACKET_ACK ? 0xfe : 0);
	assert_int_equal(frame[12] << 8 | frame[13], p.src.family == 4 ? 0x0800 : 0x86dd);
	assert_int_equal(p.src.family == 4 ? frame[16] << 8 | frame[17] : frame[18] << 8 | frame[19],
			 p.src.family == 4 ? 20 + tcp : tcp);
	assert_int_equal(p.src.family == 4 ? frame[23] : frame[20], 6);
	assert_memory_equal(frame + 14 + ip - 2 * addr, p.src.addr, addr);
	assert_memory_equal(frame + 14 + ip - addr, p.dst.addr, addr);
}

static void checksums_are_right(void **state)
{
	static const uint8_t flags[] = { PACKET_SYN, PACKET_ACK, PACKET_SYN | PACKET_ACK, PACKET_FIN | PACKET_ACK,
					 PACKET_RST };

	(void)state;
	for (size_t i = 0; i < sizeof(flags); i++) {
		both_checksums_add_up("203.0.113.255", "192.0.2.1", flags[i]);
		both_checksums_add_up("2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "2001:db8::1", flags[i]);
	}
}

static void two_families_make_no_packet(void **state)
{
	struct packet p = { .src = host("192.0.2.9"), .dst = host("2001:db8::1"), .flags = PACKET_SYN };
	uint8_t frame[PACKET_MAX];

	(void)state;
	assert_int_equal(packet_craft(&p, frame), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(checksum_of_rfc_1071),
		cmocka_unit_test(ipv4_syn_byte_by_byte),
		cmocka_unit_test(checksums_are_right),
		cmocka_unit_test(two_families_make_no_packet),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
