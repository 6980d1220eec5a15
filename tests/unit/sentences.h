/* SPDX-License-Identifier: GPL-2.0-only */
/* For unit tests: sentences that could be said, made by throwing dice. */
#ifndef MXDP_TESTS_SENTENCES_H
#define MXDP_TESTS_SENTENCES_H

#include "told.h"

static unused struct prefix any_prefix(uint64_t *seed)
{
	struct prefix p = { .family = dice(seed) & 1 ? 4 : 6 };
	unsigned int bits = p.family == 4 ? 32 : 128;

	p.len = dice(seed) % 3 ? 1 + dice(seed) % bits : bits;
	for (unsigned int i = 0; i < bits / 8; i++)
		p.addr[i] = dice(seed) % 3 ? dice(seed) : 0;
	if (p.family == 6)
		p.addr[0] |= 0x20; /* not IPv4 in IPv6 clothes, which is read as IPv4 */
	for (unsigned int bit = p.len; bit < bits; bit++)
		p.addr[bit / 8] &= ~(0x80 >> (bit % 8));
	if (p.family == 6 && !p.addr[0])
		return any_prefix(seed);
	return p;
}

static unused char *any_name(uint64_t *seed)
{
	static const char letters[] = "abcdefghijklmnopqrstuvwxyzABCXYZ0123456789-_.";
	size_t n = 1 + dice(seed) % 12;
	char *s = xcalloc(n + 1, 1);

	for (size_t i = 0; i < n; i++)
		s[i] = letters[dice(seed) % (i ? sizeof(letters) - 1 : 26)];
	return s;
}

/* Quotation marks, blanks, comment signs, letters of two bytes: whatever can stand between quotation marks. */
static unused char *any_text(uint64_t *seed)
{
	static const char *const bits[] = { "a", "Z", " ", "\t", "\"", "\\", "#", ",", "@", "\xc3\xa4", "\xe2\x82\xac", "/", "from" };
	__cleanup_free char *s = xstrdup("");
	size_t n = 1 + dice(seed) % 12;

	for (size_t i = 0; i < n; i++) {
		char *more = xasprintf("%s%s", s, bits[dice(seed) % (sizeof(bits) / sizeof(bits[0]))]);

		free(s);
		s = more;
	}
	return take(s);
}

static unused void add_ports(struct stmt *s, uint64_t *seed)
{
	static const uint16_t known[] = { 25, 587, 465, 143, 993, 110, 995, 4190, 24, 22, 80, 443, 220, 8025, 1, 65535 };

	s->nports = 1 + dice(seed) % 5;
	s->ports = xcalloc(s->nports, sizeof(*s->ports));
	for (size_t i = 0; i < s->nports; i++) {
		struct port_range *p = &s->ports[i];

		p->lo = dice(seed) % 2 ? known[dice(seed) % 16] : 1 + dice(seed) % 65535;
		p->hi = dice(seed) % 3 ? p->lo : p->lo + dice(seed) % (65536 - p->lo);
		if (dice(seed) % 20 == 0)
			*p = (struct port_range){ 1, 65535 };
	}
}

static unused void add_sources(struct stmt *s, uint64_t *seed, size_t n)
{
	s->nsources = n;
	s->sources = n ? xcalloc(n, sizeof(*s->sources)) : NULL;
	for (size_t i = 0; i < n; i++) {
		struct source *one = &s->sources[i];

		one->kind = dice(seed) % 5 ? SOURCE_PREFIX : dice(seed) % 3 ? SOURCE_LIST : SOURCE_ANY;
		if (one->kind == SOURCE_LIST)
			one->list = any_name(seed);
		else if (one->kind == SOURCE_PREFIX)
			one->prefix = any_prefix(seed);
	}
}

static unused void add_list(struct stmt *s, uint64_t *seed)
{
	s->name = any_name(seed);
	s->nprefixes = dice(seed) % 6;
	s->prefixes = s->nprefixes ? xcalloc(s->nprefixes, sizeof(*s->prefixes)) : NULL;
	for (size_t i = 0; i < s->nprefixes; i++)
		s->prefixes[i] = any_prefix(seed);
	if (dice(seed) % 2)
		return;
	s->path = any_text(seed);
	s->min = dice(seed) % 2 ? 1 + dice(seed) % 500 : 0;
	s->max = dice(seed) % 2 ? 500 + dice(seed) % 100000 : 0;
	s->guard.may_be_empty = !s->min && dice(seed) % 2;
	s->guard.take = dice(seed) % 3;
	s->guard.expire = dice(seed) % 2 ? 1 + dice(seed) % 1000000 : 0;
	s->guard.expire_empty = s->guard.expire && dice(seed) % 2;
	s->guard.private_ok = dice(seed) % 2;
	s->guard.cover_ok = dice(seed) % 2;
	s->guard.widest4 = dice(seed) % 2 ? 1 + dice(seed) % 32 : 0;
	s->guard.widest6 = s->guard.widest4 ? 1 + dice(seed) % 128 : 0;
	s->guard.change = dice(seed) % 3 ? 0 : dice(seed) % 2 ? CHANGE_ANY : 1 + dice(seed) % 500;
}

static unused struct rate any_rate(uint64_t *seed)
{
	static const uint32_t seconds[] = { 1, 5, 60, 90, 300, 3600, 86400 };
	struct rate r = { 1 + dice(seed) % 1000, seconds[dice(seed) % 7], 0 };

	if (r.n > r.seconds * 1000)
		r.n = r.seconds;
	r.burst = dice(seed) % 2 ? r.n : 1 + r.n / 2 + dice(seed) % 8;
	if (dice(seed) % 2 && (uint64_t)r.burst * r.seconds > 86400ULL * r.n)
		r.burst = r.n;
	return r;
}

static unused struct limits any_limits(uint64_t *seed)
{
	struct limits l = { .cookies = dice(seed) % 3 ? COOKIES_UNSAID : dice(seed) % 4 };

	if (dice(seed) % 2)
		l.source = any_rate(seed);
	if (dice(seed) % 2)
		l.connections = 1 + dice(seed) % 1000000;
	if (dice(seed) % 4 == 0)
		l.global = any_rate(seed);
	if ((l.source.n || l.connections) && dice(seed) % 2) {
		l.len4 = 1 + dice(seed) % 32;
		l.len6 = 1 + dice(seed) % 128;
		if (l.len4 == 32 && l.len6 == 64)
			l.len4 = l.len6 = 0;
	}
	if (limits_any(&l))
		l.over = dice(seed) % 4;
	if (l.over == OVER_BAN)
		l.ban = dice(seed) % 3 ? 1 + (int64_t)(dice(seed) % 1000000) : -1;
	return limits_wrong(&l) ? any_limits(seed) : l;
}

static unused struct stmt any_sentence(uint64_t *seed)
{
	struct stmt s = { .kind = dice(seed) % (STMT_ON_STOP + 1), .at = { xstrdup("mxdp.conf"), 1 + dice(seed) % 99, 1 } };

	switch (s.kind) {
	case STMT_INTERFACE:
		s.name = any_name(seed);
		s.mode = dice(seed) % 3;
		break;
	case STMT_DEFAULT:
		s.deny = dice(seed) % 2;
		break;
	case STMT_ON_STOP:
		s.keep = dice(seed) % 2;
		break;
	case STMT_OBSERVE:
		break;
	case STMT_TRACK:
		s.leases = dice(seed) % 2 ? 1024u << dice(seed) % 11 : 0;
		break;
	case STMT_ALLOW:
		s.limits = any_limits(seed);
		/* fallthrough */
	case STMT_DENY:
		add_ports(&s, seed);
		add_sources(&s, seed, dice(seed) % 4);
		break;
	case STMT_ADMIN:
		add_ports(&s, seed);
		add_sources(&s, seed, 1 + dice(seed) % 3);
		break;
	case STMT_EXEMPT:
	case STMT_BLOCK:
		add_sources(&s, seed, 1 + dice(seed) % 3);
		break;
	case STMT_LIST:
		add_list(&s, seed);
		break;
	}
	if (dice(seed) % 3 == 0)
		s.comment = any_text(seed);
	return s;
}

#endif
