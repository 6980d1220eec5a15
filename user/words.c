// SPDX-License-Identifier: GPL-2.0-only
#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include "rules.h"
#include "token.h"

/*
 * The first name of a port is the one that is printed. The system's services file is asked last: it has four names
 * for 465 and none for 24.
 */
static const struct {
	const char *name;
	uint16_t port;
} names[] = {
	{ "smtp", 25 }, { "mail", 25 },
	{ "submission", 587 }, { "msa", 587 },
	{ "submissions", 465 }, { "smtps", 465 }, { "ssmtp", 465 }, { "urd", 465 },
	{ "imap", 143 }, { "imap2", 143 },
	{ "imaps", 993 },
	{ "pop3", 110 }, { "pop-3", 110 },
	{ "pop3s", 995 },
	{ "sieve", 4190 }, { "managesieve", 4190 },
	{ "lmtp", 24 },
	{ "ssh", 22 }, { "http", 80 }, { "https", 443 },
	/* firewalld */
	{ "smtp-submission", 587 },
	/* ufw's application profiles */
	{ "Mail submission", 587 },
	{ "Postfix", 25 }, { "Postfix SMTPS", 465 }, { "Postfix Submission", 587 },
	{ "Dovecot IMAP", 143 }, { "Dovecot Secure IMAP", 993 },
	{ "Dovecot POP3", 110 }, { "Dovecot Secure POP3", 995 },
	{ "OpenSSH", 22 }, { "WWW", 80 }, { "WWW Secure", 443 },
};
#define NNAMES (sizeof(names) / sizeof(names[0]))

#define no(why, ...) ({ if (why) *(why) = xasprintf(__VA_ARGS__); -EINVAL; })

static int no_service(const char *s, size_t n, char **why)
{
	const char *words[NNAMES + 1];
	__cleanup_free char *near = NULL;

	for (size_t i = 0; i < NNAMES; i++)
		words[i] = names[i].name;
	words[NNAMES] = "any";
	near = did_you_mean(s, n, words, NNAMES + 1);
	return no(why, "unknown service \"%.*s\"%s", clip(s, n), s, near);
}

static bool from_services_database(const char *s, size_t n, uint16_t *port)
{
	char name[64], buf[1024];
	struct servent e, *found = NULL;

	if (n >= sizeof(name) || memchr(s, '\0', n))
		return false;
	memcpy(name, s, n);
	name[n] = '\0';
	if (getservbyname_r(name, "tcp", &e, buf, sizeof(buf), &found) || !found)
		return false;
	*port = ntohs(found->s_port);
	return *port != 0;
}

static int service_port(const char *s, size_t n, struct port_range *out, char **why)
{
	uint16_t port = 0;

	if (same_word(s, n, "imap3"))
		return no(why, "\"imap3\" is port 220, which is dead; port 993 is \"imaps\" (write 220 if you mean "
			  "220)");
	for (size_t i = 0; i < NNAMES && !port; i++)
		if (same_word(s, n, names[i].name))
			port = names[i].port;
	if (!port && !from_services_database(s, n, &port))
		return no_service(s, n, why);
	*out = (struct port_range){ port, port };
	return 0;
}

/* One end of a range; more digits than a port has are out of range, however many. */
static int port_number(const char *s, size_t n, unsigned long *v, char **why)
{
	if (!all_digits(s, n))
		return no(why, "\"%.*s\" is not a port number", clip(s, n), s);
	if (!word_number(s, n, 65535, v) && !(n <= 5 && *v == 0))
		return no(why, "port %.*s is out of range; ports are 1 to 65535", clip(s, n), s);
	return 0;
}

static int numbers(const char *s, size_t n, struct port_range *out, char **why)
{
	size_t cut = strcspn(s, "-:");
	unsigned long lo = 0, hi = 0;

	if (cut > n)
		cut = n;
	if (cut == 0)
		return no(why, "the range \"%.*s\" has no start; did you mean 1-%.*s?", clip(s, n), s,
			  clip(s + 1, n - 1), s + 1);
	if (port_number(s, cut, &lo, why))
		return -EINVAL;
	if (cut == n) {
		hi = lo;
	} else if (cut + 1 == n) {
		return no(why, "the range \"%.*s\" has no end; did you mean %lu-65535?", clip(s, n), s, lo);
	} else if (port_number(s + cut + 1, n - cut - 1, &hi, why)) {
		return -EINVAL;
	}
	/* fail2ban writes every port as 0:65535 */
	if (lo == 0 && hi == 65535)
		lo = 1;
	if (lo == 0)
		return no(why, "port 0 is out of range; ports are 1 to 65535");
	if (lo > hi)
		return no(why, "the range %lu-%lu runs backwards; did you mean %lu-%lu?", lo, hi, hi, lo);
	*out = (struct port_range){ lo, hi };
	return 0;
}

int word_ports(const char *s, size_t n, struct port_range *out, char **why)
{
	const char *slash = memchr(s, '/', n);
	__cleanup_free char *copy = NULL;
	size_t m = slash ? (size_t)(slash - s) : n;

	if (slash && same_word(slash + 1, n - m - 1, "udp"))
		return no(why, "\"%.*s\" is UDP, which passes unjudged: mxdp filters TCP; leave it out", clip(s, n), s);
	if (slash && !same_word(slash + 1, n - m - 1, "tcp"))
		return no(why, "unknown protocol in \"%.*s\"; mxdp filters TCP: write it without \"/\"", clip(s, n), s);
	if (memchr(s, '\0', n))
		return no_service(s, n, why);
	if (m == 0)
		return no(why, "an empty word where a port or service belongs");
	if (same_word(s, m, "any")) {
		*out = (struct port_range){ 1, 65535 };
		return 0;
	}
	copy = strndup(s, m);
	if (!copy)
		return -ENOMEM;
	if (all_digits(s, 1) || ((s[0] == '-' || s[0] == ':') && m > 1 && all_digits(s + 1, 1)))
		return numbers(copy, strlen(copy), out, why);
	return service_port(s, m, out, why);
}

const char *mail_port_name(unsigned int port)
{
	for (size_t i = 0; i < NNAMES; i++)
		if (names[i].port == port)
			return names[i].name;
	return NULL;
}

/* The services database is read once: asking it for each of 65,536 ports would read its file as often. */
static char **services_by_port(void)
{
	static char **by_port;
	struct servent *e;
	uint16_t port;

	if (by_port)
		return by_port;
	by_port = xcalloc(65536, sizeof(*by_port));
	setservent(1);
	while ((e = getservent())) {
		port = ntohs(e->s_port);
		if (!strcmp(e->s_proto, "tcp") && !by_port[port] && text_clean(e->s_name, strlen(e->s_name), NULL))
			by_port[port] = xstrdup(e->s_name);
	}
	endservent();
	return by_port;
}

const char *port_name(uint16_t port)
{
	const char *name = mail_port_name(port);

	return name ? name : services_by_port()[port];
}

/* ---- addresses ---- */

static unsigned int family_bits(const struct prefix *p)
{
	return p->family == 4 ? 32 : 128;
}

/* Clears the host bits; says whether any was set. */
static bool mask(struct prefix *p)
{
	bool any = false;

	for (unsigned int i = 0; i < 16; i++) {
		unsigned int keep = p->len >= 8 * (i + 1) ? 8 : p->len > 8 * i ? p->len - 8 * i : 0;
		uint8_t m = 0xff00 >> keep;

		any |= p->addr[i] & ~m;
		p->addr[i] &= m;
	}
	return any;
}

/* ::ffff:192.0.2.1 is an IPv4 address to everyone who writes it; no packet carries it. */
static void unmap(struct prefix *p)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	if (p->family != 6 || p->len < 96 || memcmp(p->addr, mapped, sizeof(mapped)))
		return;
	p->family = 4;
	p->len -= 96;
	memmove(p->addr, p->addr + 12, 4);
	memset(p->addr + 4, 0, 12);
}

/* The length of a netmask such as 255.255.255.0, or -1. */
static int netmask_length(const char *s)
{
	uint32_t m;

	if (inet_pton(AF_INET, s, &m) != 1)
		return -1;
	m = ntohl(m);
	for (int len = 0; len <= 32; len++)
		if (m == (len ? 0xffffffffu << (32 - len) : 0))
			return len;
	return -1;
}

static int prefix_length(struct prefix *p, const char *s, const char *word, char **why)
{
	unsigned int v = 0;
	char text[PREFIX_TEXT];
	int len;

	if (!*s)
		return no(why, "\"%s\" has no prefix length behind the \"/\"", word);
	if (p->family == 4 && strchr(s, '.') && (len = netmask_length(s)) >= 0) {
		p->len = len;
		mask(p);
		return no(why, "\"%s\" has a netmask for a prefix length; did you mean %s?", word,
			  prefix_text(p, text));
	}
	if (!all_digits(s, strlen(s)))
		return no(why, "the prefix length of \"%s\" is not a number", word);
	for (const char *c = s; *c && v < 1000; c++)
		v = 10 * v + (*c - '0');
	if (v > family_bits(p))
		return no(why, "the prefix length of \"%s\" is out of range; IPv%u has 0 to %u", word, p->family,
			  family_bits(p));
	p->len = v;
	return 0;
}

static bool address(struct prefix *p, const char *s)
{
	p->family = strchr(s, ':') ? 6 : 4;
	p->len = family_bits(p);
	return inet_pton(p->family == 4 ? AF_INET : AF_INET6, s, p->addr) == 1;
}

static int no_address(const char *s, size_t n, char **why)
{
	const char *dash = memchr(s, '-', n), *zone = memchr(s, '%', n);
	char first[64] = "";
	struct prefix p = { 0 };

	if (dash && dash - s < (long)sizeof(first)) {
		memcpy(first, s, dash - s);
		if (address(&p, first))
			return no(why, "\"%.*s\" is a range of addresses; write it as prefixes", clip(s, n), s);
	}
	if (zone && memchr(s, ':', n))
		return no(why, "\"%.*s\" names a zone; leave \"%.*s\" out", clip(s, n), s,
			  clip(zone, n - (zone - s)), zone);
	return no(why, "\"%.*s\" is not an address; write 192.0.2.1, 192.0.2.0/24 or 2001:db8::/32 "
		  "(names are not looked up)", clip(s, n), s);
}

int word_prefix(const char *s, size_t n, struct prefix *out, char **why)
{
	char word[96], buf[96], text[PREFIX_TEXT];
	char *slash;
	struct prefix p = { 0 };

	if (n >= sizeof(word) || memchr(s, '\0', n))
		return no_address(s, n, why);
	memcpy(word, s, n);
	word[n] = '\0';
	memcpy(buf, word, n + 1);
	slash = strchr(buf, '/');
	if (slash)
		*slash++ = '\0';
	if (!address(&p, buf))
		return no_address(s, n, why);
	if (slash && prefix_length(&p, slash, word, why))
		return -EINVAL;
	if (mask(&p))
		return no(why, "%s has host bits set; did you mean %s?", word, prefix_text(&p, text));
	unmap(&p);
	*out = p;
	return 0;
}

int prefix_cmp(const void *a, const void *b)
{
	const struct prefix *p = a, *q = b;
	int c;

	if (p->family != q->family)
		return p->family < q->family ? -1 : 1;
	c = memcmp(p->addr, q->addr, sizeof(p->addr));
	if (c)
		return c;
	return p->len < q->len ? -1 : p->len > q->len;
}

bool prefix_covers(const struct prefix *p, const struct prefix *of)
{
	unsigned int whole = p->len / 8, rest = p->len % 8;

	if (p->family != of->family || p->len > of->len || memcmp(p->addr, of->addr, whole))
		return false;
	return !rest || !((p->addr[whole] ^ of->addr[whole]) & (0xff00 >> rest) & 0xff);
}

const char *prefix_text(const struct prefix *p, char *buf)
{
	size_t n;

	inet_ntop(p->family == 4 ? AF_INET : AF_INET6, p->addr, buf, PREFIX_TEXT);
	if (p->len < family_bits(p)) {
		n = strlen(buf);
		snprintf(buf + n, PREFIX_TEXT - n, "/%u", p->len);
	}
	return buf;
}

static char *put_number(char *to, unsigned int v)
{
	if (v >= 100)
		*to++ = '0' + v / 100;
	if (v >= 10)
		*to++ = '0' + v / 10 % 10;
	*to++ = '0' + v % 10;
	return to;
}

char *prefix_line(char *to, const struct prefix *p)
{
	static const char hex[] = "0123456789abcdef";

	if (p->family == 4) {
		for (int i = 0; i < 4; i++) {
			to = put_number(to, p->addr[i]);
			*to++ = i < 3 ? '.' : '/';
		}
	} else {
		for (int i = 0; i < 16; i++) {
			*to++ = hex[p->addr[i] >> 4];
			*to++ = hex[p->addr[i] & 15];
			if (i % 2)
				*to++ = i < 15 ? ':' : '/';
		}
	}
	to = put_number(to, p->len);
	*to++ = '\n';
	return to;
}

/* ---- durations ---- */

static int64_t unit_seconds(char c)
{
	switch (c) {
	case 's':
		return 1;
	case 'm':
		return 60;
	case 'h':
		return 3600;
	case 'd':
		return 86400;
	case 'w':
		return 604800;
	}
	return 0;
}

static int no_duration(const char *s, size_t n, char **why)
{
	return no(why, "\"%.*s\" is not a duration; write 90 (seconds), 10m, 1d12h or forever", clip(s, n), s);
}

static int too_long(const char *s, size_t n, char **why)
{
	return no(why, "the duration \"%.*s\" is too long; \"forever\" is longer", clip(s, n), s);
}

int word_duration(const char *s, size_t n, int64_t *seconds, char **why)
{
	int64_t sum = 0, part, unit;
	size_t i = 0;

	if (same_word(s, n, "forever") || same_word(s, n, "-1")) {
		*seconds = -1;
		return 0;
	}
	if (n == 0)
		return no_duration(s, n, why);
	while (i < n) {
		size_t start = i;

		for (part = 0; i < n && s[i] >= '0' && s[i] <= '9'; i++)
			if (__builtin_mul_overflow(part, 10, &part) || __builtin_add_overflow(part, s[i] - '0', &part))
				return too_long(s, n, why);
		if (i == start)
			return no_duration(s, n, why);
		/* a bare number is seconds, but only alone: "1d12" may have meant hours */
		unit = i == n && start == 0 ? 1 : i < n ? unit_seconds(s[i++]) : 0;
		if (!unit)
			return no_duration(s, n, why);
		if (__builtin_mul_overflow(part, unit, &part) || __builtin_add_overflow(sum, part, &sum))
			return too_long(s, n, why);
	}
	*seconds = sum;
	return 0;
}

/* ---- rates ---- */

static int no_rate(const char *s, size_t n, char **why)
{
	return no(why, "\"%.*s\" is not a rate; write 10/s, 30/min, 15/5s or 100/h", clip(s, n), s);
}

/* "min", "5s", "hour": in seconds; 0: none of them. */
static unsigned long rate_period(const char *s, size_t n)
{
	static const struct {
		const char *name;
		unsigned long seconds;
	} unit[] = {
		{ "s", 1 }, { "sec", 1 }, { "second", 1 }, { "m", 60 }, { "min", 60 }, { "minute", 60 },
		{ "h", 3600 }, { "hour", 3600 }, { "d", 86400 }, { "day", 86400 },
	};
	unsigned long many = 1;
	size_t digits = 0;

	while (digits < n && s[digits] >= '0' && s[digits] <= '9')
		digits++;
	if (digits && !word_number(s, digits, 86400, &many))
		return 0;
	for (size_t i = 0; i < sizeof(unit) / sizeof(unit[0]); i++)
		if (same_word(s + digits, n - digits, unit[i].name))
			return many * unit[i].seconds;
	return 0;
}

int word_rate(const char *s, size_t n, struct rate *out, char **why)
{
	const char *slash = memchr(s, '/', n);
	unsigned long many, seconds;

	if (!slash || !all_digits(s, slash - s))
		return no_rate(s, n, why);
	if (!word_number(s, slash - s, 1000000, &many))
		return no(why, "the rate \"%.*s\" is out of range; 1/d to 1000000/s can be had", clip(s, n), s);
	seconds = rate_period(slash + 1, n - (slash + 1 - s));
	if (!seconds)
		return no_rate(s, n, why);
	if (seconds > 86400)
		return no(why, "the rate \"%.*s\" counts over more than a day", clip(s, n), s);
	*out = (struct rate){ many, seconds, many };
	return 0;
}
