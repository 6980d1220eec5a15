// SPDX-License-Identifier: GPL-2.0-only
/* Bans: the words and lines that ask for them. */
#include <errno.h>
#include <inttypes.h>
#include <json-c/json.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include "bans.h"
#include "token.h"

#define FOREVER_MS (-1)
#define MAX_SECONDS 10000000000LL /* some three hundred years: no sum of it overflows */

static int __attribute__((format(printf, 2, 3))) no(char **why, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	*why = xvasprintf(fmt, ap);
	va_end(ap);
	return -EINVAL;
}

void ban_wish_free(struct ban_wish *w)
{
	free(take(w->prefixes));
	free(take(w->said));
	free(take(w->note));
	w->n = 0;
}

/* ---- words ---- */

static bool owner_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || strchr("._:/@+-", c);
}

static int set_owner(struct ban *b, const char *s, char **why)
{
	size_t n = strlen(s);

	for (size_t i = 0; i < n; i++)
		if (!owner_char(s[i]))
			return no(why, "\"%.*s\" cannot be the source of a ban: write letters, digits and ._:/@+-", clip(s, n), s);
	if (n == 0 || n >= BAN_TEXT)
		return no(why, "the source of a ban has 1 to %d letters", BAN_TEXT - 1);
	memcpy(b->owner, s, n + 1);
	return 0;
}

/* What does not fit is cut off, between characters. */
static void set_reason(struct ban *b, const char *s)
{
	size_t n = strlen(s), bad;

	if (n >= BAN_TEXT)
		n = BAN_TEXT - 1;
	while (s[n] && n && ((unsigned char)s[n] & 0xc0) == 0x80)
		n--;
	memcpy(b->reason, s, n);
	b->reason[n] = '\0';
	while (!text_clean(b->reason, n, &bad))
		b->reason[bad] = '?';
}

static int range_cmp(const void *a, const void *b)
{
	return (int)((const struct port_range *)a)->lo - ((const struct port_range *)b)->lo;
}

static void merge_ports(struct ban *b)
{
	size_t n = 0;

	qsort(b->ports, b->nports, sizeof(b->ports[0]), range_cmp);
	for (size_t i = 0; i < b->nports; i++) {
		if (n && b->ports[i].lo <= b->ports[n - 1].hi + 1) {
			if (b->ports[i].hi > b->ports[n - 1].hi)
				b->ports[n - 1].hi = b->ports[i].hi;
		} else {
			b->ports[n++] = b->ports[i];
		}
	}
	memset(b->ports + n, 0, (BAN_RANGES - n) * sizeof(b->ports[0]));
	b->nports = n;
	if (n == 1 && b->ports[0].lo == 1 && b->ports[0].hi == 65535) {
		memset(b->ports, 0, sizeof(b->ports));
		b->nports = 0;
	}
}

/* "smtp,465" at one place of the line; commas with blanks behind them are several words, and `more` says that one ended so. */
static int add_ports(struct ban *b, const char *s, char **why)
{
	while (*s) {
		size_t n = strcspn(s, ",");

		if (n && b->nports == BAN_RANGES) {
			merge_ports(b);
			if (b->nports == BAN_RANGES)
				return no(why, "a ban names %d ports or ranges at most; say `port any`", BAN_RANGES);
		}
		/* what fail2ban's jails say for all of them */
		if ((n == 7 && !strncmp(s, "0:65535", n)) || (n == 7 && !strncmp(s, "0-65535", n)))
			b->ports[b->nports++] = (struct port_range){ 1, 65535 };
		else if (n && word_ports(s, n, &b->ports[b->nports++], why))
			return -EINVAL;
		s += n + (s[n] == ',');
	}
	return 0;
}

static int set_duration(struct ban *b, const char *s, char **why)
{
	int64_t seconds;

	if (word_duration(s, strlen(s), &seconds, why))
		return -EINVAL;
	if (seconds == 0)
		return no(why, "a ban for 0 seconds is none; `mxdp unban` lifts one");
	b->left_ms = seconds < 0 || seconds > MAX_SECONDS ? FOREVER_MS : seconds * 1000;
	return 0;
}

/* Seconds since 1970, a fraction allowed. A moment that is over is told by left_ms 0. */
static int set_until(struct ban *b, const char *s, int64_t now_ms, char **why)
{
	double when;
	char *end;

	if (!strcmp(s, "forever")) {
		b->left_ms = FOREVER_MS;
		return 0;
	}
	when = strtod(s, &end);
	if (*end || end == s || !isfinite(when) || when < 0 || when > 1e12)
		return no(why, "\"%.*s\" is no moment: write seconds since 1970, or `forever`", clip(s, strlen(s)), s);
	b->left_ms = (int64_t)(when * 1000) - now_ms;
	if (b->left_ms < 0)
		b->left_ms = 0;
	return 0;
}

static int add_prefix(struct ban_wish *w, const char *s, size_t n, uint8_t len6, char **why)
{
	struct prefix p, said;

	if (word_prefix(s, n, &p, why))
		return -EINVAL;
	if (p.len == 0)
		return no(why, "a ban of everybody is not made; `mxdp default deny` and no `allow` closes all ports");
	said = p;
	if (p.family == 6 && p.len == 128 && !memchr(s, '/', n) && len6 < 128) {
		p.len = len6;
		for (unsigned int bit = len6; bit < 128; bit++)
			p.addr[bit / 8] &= (uint8_t)~(0x80 >> (bit % 8));
	}
	w->prefixes = xrealloc(w->prefixes, (w->n + 1) * sizeof(*w->prefixes));
	w->said = xrealloc(w->said, (w->n + 1) * sizeof(*w->said));
	w->prefixes[w->n] = p;
	w->said[w->n++] = said;
	w->ban.p = w->prefixes[0];
	return 0;
}

static int add_prefixes(struct ban_wish *w, const char *s, uint8_t len6, char **why)
{
	while (*s) {
		size_t n = strcspn(s, ",");

		if (n && add_prefix(w, s, n, len6, why))
			return -EINVAL;
		s += n + (s[n] == ',');
	}
	return 0;
}

static const char *const keywords[] = { "for", "until", "port", "ports", "source", "reason", NULL };

static bool is_keyword(const char *s)
{
	for (size_t i = 0; keywords[i]; i++)
		if (same_word(s, strlen(s), keywords[i]))
			return true;
	return false;
}

static bool says(const char *s, const char *word)
{
	return same_word(s, strlen(s), word);
}

static int take_ports(struct ban_wish *w, int n, char *const word[], int *i, char **why)
{
	bool more;

	do {
		const char *s = word[++*i];

		more = s[0] && s[strlen(s) - 1] == ',';
		if (add_ports(&w->ban, s, why))
			return -EINVAL;
		if (*i + 1 < n && word[*i + 1][0] == ',')
			more = true;
	} while (more && *i + 1 < n);
	merge_ports(&w->ban);
	return 0;
}

static void take_reason(struct ban_wish *w, int n, char *const word[], int i)
{
	char text[BAN_TEXT * 2] = "";
	size_t at = 0;

	for (i++; i < n && at < sizeof(text) - 1; i++)
		at += snprintf(text + at, sizeof(text) - at, "%s%s", at ? " " : "", word[i]);
	set_reason(&w->ban, text);
}

static int take_word(struct ban_wish *w, const struct ban_defaults *def, int n, char *const word[], int *i, char **why)
{
	const char *s = word[*i];

	if (!is_keyword(s))
		return add_prefixes(w, s, def->len6 ?: BAN_LEN6, why);
	if (w->n == 0)
		return no(why, "\"%s\" stands where an address belongs", s);
	if (*i + 1 >= n)
		return no(why, "`%s` wants a word behind it", s);
	if (w->verb == BAN_DEL && !says(s, "source"))
		return no(why, "`unban` takes addresses and `source TAG`, not \"%s\"", s);
	if (says(s, "reason")) {
		take_reason(w, n, word, *i);
		*i = n;
		return 0;
	}
	if (says(s, "port") || says(s, "ports"))
		return take_ports(w, n, word, i, why);
	++*i;
	if (says(s, "for"))
		return set_duration(&w->ban, word[*i], why);
	if (says(s, "until"))
		return set_until(&w->ban, word[*i], def->now_ms, why);
	w->owner_said = true;
	return set_owner(&w->ban, word[*i], why);
}

static void wish_begin(struct ban_wish *w, enum ban_verb verb, const struct ban_defaults *def)
{
	*w = (struct ban_wish){ .verb = verb, .ban.left_ms = BAN_SECONDS * 1000LL };
	snprintf(w->ban.owner, sizeof(w->ban.owner), "%s", def->owner ?: BAN_OWNER);
	w->owner_said = def->owner != NULL;
}

int ban_words(struct ban_wish *w, enum ban_verb verb, const struct ban_defaults *def, int n, char *const word[], char **why)
{
	int err = 0;

	*why = NULL;
	wish_begin(w, verb, def);
	for (int i = 0; !err && i < n; i++)
		err = take_word(w, def, n, word, &i, why);
	if (!err && w->n == 0)
		err = no(why, "an address is missing");
	if (err)
		ban_wish_free(w);
	return err;
}

/* ---- CrowdSec's lines ---- */

/* Go's: 3h59m51.7s, 300ms, -5s; what is over is 0. */
static int go_duration(const char *s, int64_t *ms)
{
	static const struct {
		const char *unit;
		double ms;
	} units[] = { { "ns", 1e-6 }, { "us", 1e-3 }, { "\xc2\xb5s", 1e-3 }, { "ms", 1 }, { "s", 1e3 }, { "m", 6e4 }, { "h", 3.6e6 } };
	bool over = *s == '-';
	double sum = 0;

	s += over || *s == '+';
	if (!*s)
		return -EINVAL;
	while (*s) {
		size_t digits = strspn(s, "0123456789."), i, best = SIZE_MAX, longest = 0;
		char *end;
		double part = strtod(s, &end);

		if (!digits || end != s + digits)
			return -EINVAL;
		for (i = 0; i < sizeof(units) / sizeof(*units); i++)
			if (!strncmp(end, units[i].unit, strlen(units[i].unit)) && strlen(units[i].unit) > longest) {
				best = i;
				longest = strlen(units[i].unit);
			}
		if (best == SIZE_MAX)
			return -EINVAL;
		sum += part * units[best].ms;
		s = end + longest;
	}
	*ms = over ? 0 : sum >= MAX_SECONDS * 1000.0 ? FOREVER_MS : (int64_t)sum;
	return 0;
}

static const char *member(json_object *o, const char *key)
{
	json_object *m;

	return json_object_object_get_ex(o, key, &m) && json_object_is_type(m, json_type_string) ? json_object_get_string(m) : NULL;
}

static bool truth(json_object *o, const char *key)
{
	json_object *m;

	return json_object_object_get_ex(o, key, &m) && json_object_get_boolean(m);
}

static void set_origin(struct ban_wish *w, const struct ban_defaults *def, const char *origin)
{
	size_t n = 0;

	if (!origin || !*origin || (def->owner_wins && def->owner))
		return;
	for (; origin[n] && n < BAN_TEXT - 1; n++)
		w->ban.owner[n] = owner_char(origin[n]) ? origin[n] : '-';
	w->ban.owner[n] = '\0';
	w->owner_said = true;
}

static int crowdsec_object(struct ban_wish *w, const struct ban_defaults *def, json_object *o, char **why)
{
	const char *action = member(o, "action"), *value = member(o, "value"), *scope = member(o, "scope");
	const char *type = member(o, "type"), *duration = member(o, "duration"), *scenario = member(o, "scenario");

	if (!action || !value)
		return no(why, "a decision without \"action\" or \"value\"");
	if (strcmp(action, "add") && strcmp(action, "del"))
		return no(why, "the action \"%.*s\" is neither add nor del", clip(action, strlen(action)), action);
	w->verb = *action == 'a' ? BAN_ADD : BAN_DEL;
	if (truth(o, "simulated") || (type && !says(type, "ban"))) {
		w->verb = BAN_NOTHING;
		return 0;
	}
	if (scope && !says(scope, "ip") && !says(scope, "range"))
		return no(why, "a decision on \"%.*s %.*s\": only addresses and ranges can be banned", clip(scope, strlen(scope)), scope,
			  clip(value, strlen(value)), value);
	if (duration && go_duration(duration, &w->ban.left_ms))
		return no(why, "\"%.*s\" is no duration", clip(duration, strlen(duration)), duration);
	if (scenario)
		set_reason(&w->ban, scenario);
	set_origin(w, def, member(o, "origin"));
	/* of several decisions on one address the longest holds */
	w->longest = true;
	return add_prefix(w, value, strlen(value), def->len6 ?: BAN_LEN6, why);
}

static int crowdsec_line(struct ban_wish *w, const struct ban_defaults *def, const char *line, size_t len, char **why)
{
	static struct json_tokener *tok;
	json_object *o;
	int err;

	if (!tok)
		tok = json_tokener_new();
	if (!tok)
		return no(why, "out of memory");
	json_tokener_reset(tok);
	o = json_tokener_parse_ex(tok, line, len);
	wish_begin(w, BAN_NOTHING, def);
	if (!def->owner)
		strcpy(w->ban.owner, "crowdsec");
	if (!o || !json_object_is_type(o, json_type_object))
		err = no(why, "no JSON object");
	else
		err = crowdsec_object(w, def, o, why);
	json_object_put(o);
	return err;
}

/* ---- plain lines ---- */

#define MAX_WORDS 256

/* Cuts the line at blanks; a comment ends it, but not within a reason. */
static int split(char *line, char *word[MAX_WORDS])
{
	bool reason = false;
	int n = 0;

	for (;;) {
		line += strspn(line, " \t\r");
		if (!*line || (*line == '#' && !reason) || n == MAX_WORDS)
			return n;
		word[n++] = line;
		line += strcspn(line, " \t\r");
		if (*line)
			*line++ = '\0';
		reason |= says(word[n - 1], "reason");
	}
}

static int plain_line(struct ban_wish *w, const struct ban_defaults *def, char *line, char **why)
{
	enum ban_verb verb = BAN_ADD;
	char *word[MAX_WORDS], **first = word;
	int n = split(line, word);

	if (n == 0) {
		wish_begin(w, BAN_NOTHING, def);
		return 0;
	}
	if (n == MAX_WORDS)
		return no(why, "more than %d words", MAX_WORDS - 1);
	if (says(word[0], "unban") || says(word[0], "del"))
		verb = BAN_DEL;
	if (verb == BAN_DEL || says(word[0], "ban") || says(word[0], "add")) {
		first++;
		n--;
	}
	return ban_words(w, verb, def, n, first, why);
}

int ban_line(struct ban_wish *w, enum ban_format *format, const struct ban_defaults *def, char *line, char **why)
{
	const char *s = line + strspn(line, " \t\r");
	int err;

	*why = NULL;
	*w = (struct ban_wish){ 0 };
	if (*s && *format == BAN_DETECT)
		*format = *s == '{' ? BAN_CROWDSEC : BAN_PLAIN;
	if (*s && *format == BAN_CROWDSEC)
		err = crowdsec_line(w, def, s, strlen(s), why);
	else
		err = plain_line(w, def, line, why);
	if (err)
		ban_wish_free(w);
	return err;
}

/* ---- texts ---- */

char *ban_ports_text(const struct ban *b)
{
	__cleanup_free char *text = xstrdup(b->nports ? "" : "any");

	for (size_t i = 0; i < b->nports; i++) {
		const struct port_range *r = &b->ports[i];
		char *more = r->lo == r->hi ? xasprintf("%s%s%u", text, i ? "," : "", r->lo) :
					      xasprintf("%s%s%u-%u", text, i ? "," : "", r->lo, r->hi);

		free(text);
		text = more;
	}
	return take(text);
}

const char *ban_span(int64_t ms, char buf[BAN_SPAN])
{
	static const struct {
		int64_t seconds;
		char unit;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	int64_t left = (ms + 999) / 1000;
	size_t at = 0;

	if (ms < 0)
		return strcpy(buf, "for ever");
	at += snprintf(buf, BAN_SPAN, "for ");
	for (size_t i = 0; i < sizeof(units) / sizeof(*units); i++) {
		if (left >= units[i].seconds || (units[i].seconds == 1 && at == 4))
			at += snprintf(buf + at, BAN_SPAN - at, "%" PRId64 "%c", left / units[i].seconds, units[i].unit);
		left %= units[i].seconds;
	}
	return buf;
}

bool ban_has_port(const struct ban *b, uint16_t port)
{
	for (size_t i = 0; i < b->nports; i++)
		if (b->ports[i].lo <= port && port <= b->ports[i].hi)
			return true;
	return b->nports == 0;
}

char *ban_saved(const struct ban *b, int64_t now_ms)
{
	__cleanup_free char *ports = ban_ports_text(b), *until = NULL;
	char prefix[PREFIX_TEXT];

	prefix_text(&b->p, prefix);
	/* an IPv6 address without its length would be read as its network */
	if (b->p.family == 6 && b->p.len == 128)
		strcat(prefix, "/128");
	until = b->left_ms < 0 ? xstrdup("forever") :
		xasprintf("%" PRId64 ".%03d", (now_ms + b->left_ms) / 1000, (int)((now_ms + b->left_ms) % 1000));
	return xasprintf("%s until %s port %s source %s%s%s", prefix, until, ports, b->owner, *b->reason ? " reason " : "", b->reason);
}

int ban_cmp(const void *a, const void *b)
{
	const struct ban *x = a, *y = b;

	return prefix_cmp(&x->p, &y->p) ?: strcmp(x->owner, y->owner) ?: memcmp(x->ports, y->ports, sizeof(x->ports));
}
