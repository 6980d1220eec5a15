// SPDX-License-Identifier: GPL-2.0-only
/*
 * The packet builder. It writes bytes and knows nothing of structures or of
 * the program under test, so that both cannot share a mistake.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "craft.h"

static const struct {
	const char *v4, *v6;
} parties[CRAFT_PARTIES] = {
	[STRANGER] = { "198.51.100.7", "2001:db8:7::7" },
	[OFFICE] = { "192.0.2.9", "2001:db8:2::9" },
	[DENIED] = { "198.51.100.66", "2001:db8:66::66" },
	[BLOCKED] = { "198.51.100.99", "2001:db8:99::99" },
	[EXEMPT] = { "192.0.2.200", "2001:db8:2::200" },
	[ADMIN_BLOCKED] = { "192.0.2.77", "2001:db8:2::77" },
};

const char *craft_address(enum craft_who who, unsigned int family)
{
	return family == 4 ? parties[who].v4 : parties[who].v6;
}

static void put(struct crafted *f, const void *bytes, size_t n)
{
	if (f->len + n > sizeof(f->b)) {
		fprintf(stderr, "craft: frame longer than %zu bytes\n", sizeof(f->b));
		abort();
	}
	if (bytes)
		memcpy(f->b + f->len, bytes, n);
	else
		memset(f->b + f->len, 0, n);
	f->len += n;
}

static void put8(struct crafted *f, unsigned int v)
{
	uint8_t b = v;

	put(f, &b, 1);
}

static void put16(struct crafted *f, unsigned int v)
{
	put8(f, v >> 8);
	put8(f, v);
}

static void put32(struct crafted *f, uint32_t v)
{
	put16(f, v >> 16);
	put16(f, v);
}

static void set16(struct crafted *f, size_t at, unsigned int v)
{
	f->b[at] = v >> 8;
	f->b[at + 1] = v;
}

static void put_address(struct crafted *f, const char *text, unsigned int family)
{
	uint8_t a[16];

	if (inet_pton(family == 4 ? AF_INET : AF_INET6, text, a) != 1) {
		fprintf(stderr, "craft: bad IPv%u address %s\n", family, text);
		abort();
	}
	put(f, a, family == 4 ? 4 : 16);
}

/* Ones' complement sum, RFC 1071. */
static uint32_t sum(const uint8_t *p, size_t n, uint32_t s)
{
	for (size_t i = 0; i < n; i++)
		s += i % 2 ? p[i] : (uint32_t)p[i] << 8;
	return s;
}

static uint16_t fold(uint32_t s)
{
	while (s >> 16)
		s = (s & 0xffff) + (s >> 16);
	return ~s;
}

static void put_ethernet(struct crafted *f, const struct craft *c)
{
	static const uint16_t stacks[TAG_STACKS][9] = {
		[TAG_NONE] = { 0 },
		[TAG_ONE] = { 0x8100 },
		[TAG_PRIORITY] = { 0x8100 },
		[TAG_OLD] = { 0x9100 },
		[TAG_AD_Q] = { 0x88a8, 0x8100 },
		[TAG_OLD_Q] = { 0x9100, 0x8100 },
		[TAG_Q_Q] = { 0x8100, 0x8100 },
		[TAG_THREE] = { 0x88a8, 0x8100, 0x8100 },
		[TAG_FIVE] = { 0x9100, 0x88a8, 0x8100, 0x8100, 0x8100 },
		[TAG_EIGHT] = { 0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100, 0x8100 },
	};

	put(f, c->to_group ? "\x01\x00\x5e\x00\x00\x01" : "\x02\x00\x00\x00\x00\x25", 6);
	put(f, "\x02\x00\x00\x00\x00\x07", 6);
	for (const uint16_t *t = stacks[c->tags]; *t; t++) {
		put16(f, *t);
		put16(f, c->tags == TAG_PRIORITY ? 0xe000 : 7);
	}
	put16(f, c->ethertype ? c->ethertype : c->family == 4 ? 0x0800 : 0x86dd);
}

/*
 * Extension headers, a letter each. All begin with "next header, length", the
 * impostors among them too: what reads them as such is caught out.
 *   h hop-by-hop    d destination options   D the same, 2048 bytes   E the same, 520 bytes
 *   x destination options that claim 2048 bytes and have 8
 *   r routing (type 2)   0 routing type 0   a AH (16 bytes)   A AH of an impossible 8 bytes
 *   f atomic fragment    g the same with its reserved byte set   F first fragment   L later fragment
 *   ! the fragment header that c->frag asks for
 *   e ESP   m mobility   u unknown (253)   n no next header
 */
static unsigned int ext_type(char letter)
{
	switch (letter) {
	case 'h':
		return 0;
	case 'r':
	case '0':
		return 43;
	case 'a':
	case 'A':
		return 51;
	case 'f':
	case 'g':
	case 'F':
	case 'L':
	case '!':
		return 44;
	case 'e':
		return 50;
	case 'm':
		return 135;
	case 'u':
		return 253;
	case 'n':
		return 59;
	default:
		return 60;
	}
}

static size_t ext_size(char letter)
{
	switch (letter) {
	case 'D':
		return 2048;
	case 'E':
		return 520;
	case 'r':
	case '0':
		return 24;
	case 'a':
		return 16;
	default:
		return 8;
	}
}

static void fill_fragment(struct crafted *f, size_t at, char letter, const struct craft *c)
{
	if (letter == 'g')
		f->b[at + 1] = 0xff;
	else if (letter == 'F')
		set16(f, at + 2, 1);
	else if (letter == 'L')
		set16(f, at + 2, 1480);
	else if (letter == '!')
		set16(f, at + 2, (c->frag_at & 0xfff8) | c->more);
	memcpy(f->b + at + 4, "\x11\x22\x33\x44", 4);
}

static void put_ext(struct crafted *f, char letter, unsigned int next, const struct craft *c)
{
	size_t at = f->len, size = ext_size(letter);

	put(f, NULL, size);
	f->b[at] = next;
	if (ext_type(letter) == 44) {
		fill_fragment(f, at, letter, c);
		return;
	}
	if (ext_type(letter) == 51) {
		f->b[at + 1] = size / 4 - 2;
		return;
	}
	f->b[at + 1] = letter == 'x' ? 255 : size / 8 - 1;
	if (letter == 'r') {
		f->b[at + 2] = 2;
	} else if (letter != '0') { /* PadN */
		f->b[at + 2] = 1;
		f->b[at + 3] = size - 4 > 255 ? 255 : size - 4;
	}
}

static void put_tcp(struct crafted *f, const struct craft *c)
{
	size_t nopt = (c->ntcp_opt + 3) & ~3ul;
	unsigned int doff = c->doff ? c->doff : 5 + nopt / 4;

	put16(f, c->sport ? c->sport : 40000);
	put16(f, c->dport ? c->dport : 25);
	put32(f, c->seq ? c->seq : 1000);
	put32(f, c->ack);
	put8(f, (doff & 15) << 4 | (c->reserved & 15));
	put8(f, c->flags ? c->flags : SYN);
	put16(f, c->window ? c->window : 64240);
	put32(f, 0);
	put(f, c->tcp_opt, c->ntcp_opt);
	put(f, NULL, nopt - c->ntcp_opt);
	for (size_t i = 0; i < c->payload; i++)
		put8(f, 'a' + i % 26);
}

static void put_l4(struct crafted *f, const struct craft *c)
{
	if (c->raw) {
		put(f, c->raw, c->nraw);
	} else if (c->udp) {
		put16(f, c->sport);
		put16(f, c->dport);
		put16(f, 8 + c->payload);
		put16(f, 0);
		put(f, NULL, c->payload);
	} else {
		put_tcp(f, c);
	}
}

static uint16_t tcp_sum(const struct crafted *f, unsigned int family)
{
	size_t len = f->len - f->l4;
	uint32_t s = 6 + len;

	s = family == 4 ? sum(f->b + f->l3 + 12, 8, s) : sum(f->b + f->l3 + 8, 32, s);
	return fold(sum(f->b + f->l4, len, s));
}

static unsigned int proto_of(const struct craft *c)
{
	return c->proto ? c->proto : c->udp ? 17 : 6;
}

static void put_ip4(struct crafted *f, const struct craft *c)
{
	size_t nopt = (c->nip_opt + 3) & ~3ul;
	unsigned int where = 0x4000; /* DF, as TCP does */

	if (c->frag)
		where = (c->frag_at >> 3 & 0x1fff) | (c->more ? 0x2000 : 0);
	put8(f, ((c->version ? c->version : 4) & 15) << 4 | ((c->ihl ? c->ihl : 5 + nopt / 4) & 15));
	put8(f, 0);
	put16(f, 0);
	put16(f, 0x1234);
	put16(f, where);
	put8(f, 64);
	put8(f, proto_of(c));
	put16(f, 0);
	put_address(f, c->src ? c->src : craft_address(c->from, 4), 4);
	put_address(f, c->dst ? c->dst : US4, 4);
	put(f, c->ip_opt, c->nip_opt);
	put(f, NULL, nopt - c->nip_opt);
}

static void put_ip6(struct crafted *f, const struct craft *c)
{
	char letters[64];
	size_t n;

	snprintf(letters, sizeof(letters), "%s%s", c->ext ? c->ext : "", c->frag ? "!" : "");
	n = strlen(letters);
	put32(f, ((c->version ? c->version : 6) & 15) << 28);
	put16(f, 0);
	put8(f, n ? ext_type(letters[0]) : proto_of(c));
	put8(f, 64);
	put_address(f, c->src ? c->src : craft_address(c->from, 6), 6);
	put_address(f, c->dst ? c->dst : US6, 6);
	for (size_t i = 0; i < n; i++)
		put_ext(f, letters[i], i + 1 == n ? proto_of(c) : ext_type(letters[i + 1]), c);
}

static void slice(struct crafted *f, const struct craft *c)
{
	size_t have = f->len - f->l4, to = c->cut_to < have ? c->cut_to : have;

	if (!c->cut_to)
		return;
	memmove(f->b + f->l4, f->b + f->l4 + c->cut_from, to - c->cut_from);
	f->len = f->l4 + to - c->cut_from;
}

void craft(const struct craft *c, struct crafted *f)
{
	f->len = f->l3 = f->l4 = 0;
	if (c->frame) {
		put(f, c->frame, c->nframe);
		return;
	}
	put_ethernet(f, c);
	f->l3 = f->len;
	if (c->family == 4)
		put_ip4(f, c);
	else
		put_ip6(f, c);
	f->l4 = f->len;
	put_l4(f, c);
	if (!c->raw && !c->udp)
		set16(f, f->l4 + 16, tcp_sum(f, c->family) ^ (c->bad_tcp_sum ? 0x5555 : 0));
	slice(f, c);
	if (c->family == 4) {
		set16(f, f->l3 + 2, f->len - f->l3 + c->len_add);
		set16(f, f->l3 + 10, fold(sum(f->b + f->l3, f->l4 - f->l3, 0)) ^ (c->bad_ip_sum ? 0x5555 : 0));
	} else {
		set16(f, f->l3 + 4, f->len - f->l3 - 40 + c->len_add);
	}
	put(f, c->behind, c->nbehind);
	put(f, NULL, c->padding);
	if (c->keep && f->l3 + c->keep < f->len)
		f->len = f->l3 + c->keep;
	if (c->then)
		c->then(f);
}
