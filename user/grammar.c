// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "rules.h"
#include "token.h"

#define COMMAND_LINE "command line"

struct parser {
	const struct token *v;
	size_t n, i;
	const struct sentence *sentence;
	const char *file;
	struct diag *d;
	unsigned int errors;
	struct stmt *s;
};

static void say(struct parser *p, unsigned int line, unsigned int column, const char *text)
{
	if (!strcmp(p->file, COMMAND_LINE))
		diag_error(p->d, COMMAND_LINE ": %s", text);
	else
		diag_error(p->d, "%s:%u:%u: %s", p->file, line, column, text);
	p->errors++;
}

/* t NULL: the place is the end of the sentence. */
static int __attribute__((format(printf, 3, 4))) fail(struct parser *p, const struct token *t, const char *fmt, ...)
{
	__cleanup_free char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	text = xvasprintf(fmt, ap);
	va_end(ap);
	say(p, t ? t->line : p->sentence->end_line, t ? t->column : p->sentence->end_column, text);
	return -EINVAL;
}

static int fail_why(struct parser *p, const struct token *t, char *why)
{
	__cleanup_free char *text = why;

	return fail(p, t, "%s", text ? text : "out of memory");
}

static const struct token *peek(const struct parser *p)
{
	return p->i < p->n ? &p->v[p->i] : NULL;
}

static bool is_word(const struct token *t, const char *word)
{
	return t && t->kind == TOKEN_WORD && t->len == strlen(word) && !memcmp(t->text, word, t->len);
}

static bool accept(struct parser *p, const char *word)
{
	if (!is_word(peek(p), word))
		return false;
	p->i++;
	return true;
}

static bool accept_comma(struct parser *p)
{
	if (!peek(p) || peek(p)->kind != TOKEN_COMMA)
		return false;
	p->i++;
	return true;
}

/* Words of DESIGN's grammar that this version does not know yet. */
static bool is_later(const struct token *t)
{
	static const char *const later[] = {
		"ban", "unban", "proto", "for", "include", "group", "version", "icmp", "monitor",
	};

	for (size_t i = 0; i < sizeof(later) / sizeof(later[0]); i++)
		if (is_word(t, later[i]))
			return true;
	return false;
}

static int fail_later(struct parser *p, const struct token *t)
{
	return fail(p, t, "this version of mxdp does not have \"%s\"; leave it out", t->text);
}

/* Words that say how much an `allow` allows. */
static bool is_option(const struct token *t)
{
	static const char *const option[] = { "limit", "burst", "connections", "per", "global-limit", "over", "cookies" };

	for (size_t i = 0; i < sizeof(option) / sizeof(option[0]); i++)
		if (is_word(t, option[i]))
			return true;
	return false;
}

/* An option where none can stand. */
static int fail_option(struct parser *p, const struct token *t)
{
	if (is_word(t, "burst"))
		return fail(p, t, "\"burst\" follows a rate: limit 30/min burst 60");
	return fail(p, t, "\"%s\" belongs to an \"allow\", as in: allow submission limit 30/min connections 20", t->text);
}

/* A word no sentence has here. `words`: what could have stood here. */
static int unexpected(struct parser *p, const char *const *words, size_t nwords)
{
	const struct token *t = peek(p);
	__cleanup_free char *near = NULL;

	if (t->kind == TOKEN_COMMA)
		return fail(p, t, "unexpected \",\"");
	if (is_option(t))
		return fail_option(p, t);
	if (is_later(t))
		return fail_later(p, t);
	near = did_you_mean(t->text, t->len, words, nwords);
	return fail(p, t, "unexpected \"%.*s\"%s", clip(t->text, t->len), t->text, near);
}

#define WORDS(...) (const char *const[]){ __VA_ARGS__ }, sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(char *)

/* ---- ports and sources ---- */

static bool ends_ports(const struct token *t)
{
	return !t || is_word(t, "from") || is_word(t, "comment") || is_option(t);
}

static int parse_ports(struct parser *p)
{
	const char *wanted = "ports, such as: smtp, 587, 1000-2000";
	const struct token *t;
	struct stmt *s = p->s;
	char *why = NULL;

	do {
		t = peek(p);
		if (ends_ports(t) || t->kind == TOKEN_COMMA)
			return fail(p, t, s->nports ? "expected another port behind the \",\"" : "expected %s", wanted);
		if (is_later(t))
			return fail_later(p, t);
		s->ports = xrealloc(s->ports, (s->nports + 1) * sizeof(*s->ports));
		if (word_ports(t->text, t->len, &s->ports[s->nports], &why))
			return fail_why(p, t, why);
		s->nports++;
		p->i++;
	} while (accept_comma(p));

	t = peek(p);
	if (!ends_ports(t) && !is_later(t)) {
		struct port_range another;

		if (!word_ports(t->text, t->len, &another, NULL))
			return fail(p, t, "unexpected \"%.*s\"; ports are separated by commas", clip(t->text, t->len),
				    t->text);
	}
	return 0;
}

static int source_error(struct parser *p, const struct token *t, char *why)
{
	__cleanup_free char *text = why, *near = NULL;
	bool letters = t->len > 0;

	for (size_t i = 0; i < t->len; i++)
		letters &= t->text[i] != '.' && t->text[i] != ':' && t->text[i] != '/';
	if (!letters || t->kind != TOKEN_WORD || !list_name_ok(t->text, t->len))
		return fail(p, t, "%s", text);
	near = did_you_mean(t->text, t->len, WORDS("any", "from", "comment"));
	if (*near)
		return fail(p, t, "\"%.*s\" is not an address%s", clip(t->text, t->len), t->text, near);
	return fail(p, t, "\"%.*s\" is not an address; a list is written with \"@\": @%.*s", clip(t->text, t->len),
		    t->text, clip(t->text, t->len), t->text);
}

static int fail_list_name(struct parser *p, const struct token *t)
{
	return fail(p, t, "\"%.*s\" cannot be the name of a list; letters, digits, \"-\", \"_\" and \".\" can",
		    clip(t->text, t->len), t->text);
}

static int parse_source(struct parser *p, const struct token *t, struct source *out)
{
	char *why = NULL;

	*out = (struct source){ 0 };
	if (is_word(t, "any")) {
		out->kind = SOURCE_ANY;
		return 0;
	}
	if (t->text[0] == '@') {
		if (!list_name_ok(t->text + 1, t->len - 1))
			return fail_list_name(p, t);
		out->kind = SOURCE_LIST;
		out->list = xstrdup(t->text + 1);
		return 0;
	}
	out->kind = SOURCE_PREFIX;
	if (word_prefix(t->text, t->len, &out->prefix, &why))
		return source_error(p, t, why);
	return 0;
}

static bool ends_sources(const struct token *t)
{
	return !t || t->kind == TOKEN_COMMA || is_word(t, "from") || is_word(t, "comment") || is_option(t);
}

static int parse_sources(struct parser *p)
{
	struct stmt *s = p->s;
	size_t before = s->nsources;
	bool comma = false;
	struct source one;
	int err;

	for (;;) {
		const struct token *t = peek(p);

		if (ends_sources(t) && (comma || s->nsources == before))
			return fail(p, t, comma ? "expected another source behind the \",\"" :
				    "expected a source: an address, a prefix, any, or @LIST");
		if (ends_sources(t) || (is_later(t) && !comma))
			return 0;
		err = parse_source(p, t, &one);
		if (err)
			return err;
		s->sources = xrealloc(s->sources, (s->nsources + 1) * sizeof(*s->sources));
		s->sources[s->nsources++] = one;
		p->i++;
		comma = accept_comma(p);
	}
}

static int parse_from(struct parser *p)
{
	int err = 0;

	while (!err && accept(p, "from"))
		err = parse_sources(p);
	return err;
}

/* ---- one function for each kind of sentence; the first word is taken already ---- */

static int parse_interface(struct parser *p)
{
	static const char *const modes[] = {
		[MODE_NATIVE] = "native", [MODE_GENERIC] = "generic", [MODE_AUTO] = "auto",
	};
	const struct token *t = peek(p);

	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected the name of an interface");
	if (!iface_name_ok(t->text, t->len))
		return fail(p, t, "\"%.*s\" cannot be the name of an interface", clip(t->text, t->len), t->text);
	p->s->name = xstrdup(t->text);
	p->i++;
	if (!accept(p, "mode"))
		return 0;
	t = peek(p);
	for (size_t i = 0; i < 3; i++) {
		if (accept(p, modes[i])) {
			p->s->mode = i;
			return 0;
		}
	}
	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected a mode: native, generic or auto");
	return fail(p, t, "unknown mode \"%.*s\"; native, generic and auto are known", clip(t->text, t->len), t->text);
}

static int parse_default(struct parser *p)
{
	const struct token *t = peek(p);

	p->s->deny = accept(p, "deny");
	if (p->s->deny || accept(p, "allow"))
		return 0;
	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected \"deny\" or \"allow\"");
	return fail(p, t, "the default is \"deny\" or \"allow\", not \"%.*s\"", clip(t->text, t->len), t->text);
}

static int parse_observe(struct parser *p)
{
	(void)p;
	return 0;
}

static bool leases_number(const struct token *t, unsigned long *out)
{
	unsigned long v, unit = 1, room = 1024;
	size_t n = t->len;

	if (n > 1 && (t->text[n - 1] == 'k' || t->text[n - 1] == 'K'))
		unit = 1024;
	else if (n > 1 && t->text[n - 1] == 'M')
		unit = 1024 * 1024;
	if (!word_number(t->text, unit > 1 ? n - 1 : n, 1024 * 1024, &v) || v * unit > 1024 * 1024 || v * unit < 1000)
		return false;
	while (room < v * unit)
		room *= 2;
	*out = room;
	return true;
}

static int parse_on_stop(struct parser *p)
{
	const struct token *t = peek(p);

	p->s->keep = accept(p, "keep");
	if (p->s->keep || accept(p, "detach"))
		return 0;
	return fail(p, t, "expected \"detach\" or \"keep\"");
}

static int parse_track(struct parser *p)
{
	const struct token *t = peek(p);
	bool known = accept(p, "socket");

	if (is_word(t, "netfilter") || is_word(t, "flow"))
		return fail(p, t, "this version of mxdp does not have \"track %s\"; it has \"track socket\"", t->text);
	if (!known && (!t || t->kind == TOKEN_COMMA))
		return fail(p, t, "expected a tracker: socket");
	if (!known)
		return fail(p, t, "unknown tracker \"%.*s\"; this version of mxdp has \"track socket\"",
			    clip(t->text, t->len), t->text);
	if (!accept(p, "leases"))
		return 0;
	t = peek(p);
	if (!t || t->kind == TOKEN_COMMA || !leases_number(t, &p->s->leases))
		return fail(p, t, "expected the number of leases: 1k to 1M, such as 64k");
	p->i++;
	return 0;
}

/* ---- the options of allow ---- */

static int fail_twice(struct parser *p, const char *word)
{
	return fail(p, &p->v[p->i - 1], "\"%s\" is said twice", word);
}

/* The number behind `word`, or an error. */
static int parse_many(struct parser *p, const char *word, uint32_t *out)
{
	const struct token *t = peek(p);
	unsigned long v;

	if (!t || t->kind != TOKEN_WORD || !word_number(t->text, t->len, 1000000, &v))
		return fail(p, t, "expected a number behind \"%s\": 1 to 1000000", word);
	*out = v;
	p->i++;
	return 0;
}

static int parse_rate(struct parser *p, const char *word, struct rate *out)
{
	const struct token *t = peek(p);
	char *why = NULL;

	if (out->n)
		return fail_twice(p, word);
	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected a rate behind \"%s\", such as: %s 30/min", word, word);
	if (word_rate(t->text, t->len, out, &why))
		return fail_why(p, t, why);
	p->i++;
	return accept(p, "burst") ? parse_many(p, "burst", &out->burst) : 0;
}

static bool source_length(const struct token *t, unsigned int max, uint8_t *out)
{
	unsigned long v;

	if (!t || t->kind != TOKEN_WORD || t->text[0] != '/' || !word_number(t->text + 1, t->len - 1, max, &v))
		return false;
	*out = v;
	return true;
}

static int parse_per(struct parser *p, struct limits *l)
{
	if (l->len4)
		return fail_twice(p, "per");
	if (!source_length(peek(p), 32, &l->len4))
		return fail(p, peek(p), "expected two lengths behind \"per\", of IPv4 and of IPv6: per /24 /56");
	p->i++;
	if (!source_length(peek(p), 128, &l->len6))
		return fail(p, peek(p), "expected the length of an IPv6 source too: per /%u /56", l->len4);
	p->i++;
	return 0;
}

/* Where the word stood, for what is found out at the end of the sentence. */
struct seen {
	const struct token *over, *per, *first;
};

static int parse_over(struct parser *p, struct limits *l, struct seen *seen)
{
	static const char *const words[] = { "drop", "reset", "observe", "ban" };
	const struct token *t = peek(p);
	char *why = NULL;

	if (seen->over)
		return fail_twice(p, "over");
	seen->over = &p->v[p->i - 1];
	while (l->over <= OVER_BAN && !accept(p, words[l->over]))
		l->over++;
	if (l->over > OVER_BAN) {
		l->over = OVER_DROP;
		return fail(p, t, "expected what becomes of what is over the limit: drop, reset, observe or ban DURATION");
	}
	if (l->over != OVER_BAN)
		return 0;
	t = peek(p);
	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected how long to ban: over ban 1h");
	if (word_duration(t->text, t->len, &l->ban, &why))
		return fail_why(p, t, why);
	if (l->ban == 0 || l->ban > 10LL * 366 * 86400)
		return fail(p, t, "a ban lasts a second at least and ten years at most, or is \"forever\"");
	p->i++;
	return 0;
}

static int parse_cookies(struct parser *p, struct limits *l)
{
	static const char *const words[] = { [COOKIES_AUTO] = "auto", [COOKIES_ALWAYS] = "always", [COOKIES_NEVER] = "never" };

	if (l->cookies)
		return fail_twice(p, "cookies");
	for (unsigned int i = COOKIES_AUTO; i <= COOKIES_NEVER; i++) {
		if (accept(p, words[i])) {
			l->cookies = i;
			return 0;
		}
	}
	return fail(p, peek(p), "expected when to answer with SYN cookies: auto, always or never");
}

static int parse_option(struct parser *p, struct limits *l, struct seen *seen)
{
	const struct token *t = peek(p);

	if (!seen->first)
		seen->first = t;
	if (accept(p, "limit"))
		return parse_rate(p, "limit", &l->source);
	if (accept(p, "global-limit"))
		return parse_rate(p, "global-limit", &l->global);
	if (accept(p, "connections"))
		return l->connections ? fail_twice(p, "connections") : parse_many(p, "connections", &l->connections);
	if (accept(p, "per")) {
		seen->per = t;
		return parse_per(p, l);
	}
	if (accept(p, "over"))
		return parse_over(p, l, seen);
	if (accept(p, "cookies"))
		return parse_cookies(p, l);
	return fail_option(p, t);
}

static int end_options(struct parser *p, struct limits *l, const struct seen *seen)
{
	const char *wrong;

	if (seen->over && !limits_any(l))
		return fail(p, seen->over, "\"over\" says what becomes of what is over a limit, and this sentence sets none");
	if (seen->per && !l->source.n && !l->connections)
		return fail(p, seen->per, "\"per\" says how large a source is, and this sentence sets no limit per source");
	if (l->len4 == LIMIT_LEN4 && l->len6 == LIMIT_LEN6)
		l->len4 = l->len6 = 0;
	wrong = limits_wrong(l);
	return wrong ? fail(p, seen->first, "%s", wrong) : 0;
}

static int parse_allow(struct parser *p)
{
	struct limits *l = &p->s->limits;
	struct seen seen = { NULL };
	int err = parse_ports(p);

	while (!err) {
		if (accept(p, "from"))
			err = parse_sources(p);
		else if (is_option(peek(p)))
			err = parse_option(p, l, &seen);
		else
			break;
	}
	if (!err && seen.first && is_word(peek(p), "ban"))
		return fail(p, peek(p), "\"ban\" follows \"over\": over ban 1h");
	return err ? err : end_options(p, l, &seen);
}

static int parse_rule(struct parser *p)
{
	int err = parse_ports(p);

	return err ? err : parse_from(p);
}

static int parse_admin(struct parser *p)
{
	int err = parse_rule(p);

	if (!err && !p->s->nsources && ends_ports(peek(p)))
		return fail(p, peek(p), "expected \"from\" and the sources that shall never be locked out");
	return err;
}

static int parse_cut(struct parser *p)
{
	if (is_word(peek(p), "from"))
		return fail(p, peek(p), "sources follow without \"from\" here: %s 192.0.2.0/24",
			    p->s->kind == STMT_BLOCK ? "block" : "exempt");
	return parse_sources(p);
}

static int parse_list_prefix(struct parser *p)
{
	const struct token *t = peek(p);
	struct stmt *s = p->s;
	struct prefix one;
	char text[PREFIX_TEXT], *why = NULL;

	if (t->text[0] == '@')
		return fail(p, t, "a list holds prefixes, not other lists");
	if (word_prefix(t->text, t->len, &one, &why))
		return fail_why(p, t, why);
	if (one.len == 0)
		return fail(p, t, "%s is everything, and a list cannot hold that; write \"any\" in the sentence "
			    "instead", prefix_text(&one, text));
	s->prefixes = xrealloc(s->prefixes, (s->nprefixes + 1) * sizeof(*s->prefixes));
	s->prefixes[s->nprefixes++] = one;
	p->i++;
	return 0;
}

static int parse_list_number(struct parser *p, const char *word, unsigned long *out)
{
	const struct token *t = peek(p);

	if (*out)
		return fail(p, &p->v[p->i - 1], "\"%s\" is said twice", word);
	if (!t || t->kind == TOKEN_COMMA || !word_number(t->text, t->len, 1000000000, out))
		return fail(p, t, "expected a number behind \"%s\": 1 to 1000000000", word);
	p->i++;
	return 0;
}

static int parse_list_file(struct parser *p)
{
	const struct token *t = peek(p);

	if (p->s->path)
		return fail(p, &p->v[p->i - 1], "\"file\" is said twice; a list has one file");
	if (!t || t->kind == TOKEN_COMMA || !t->len || t->len > 4000)
		return fail(p, t, "expected the path of a file behind \"file\"");
	p->s->path = xstrdup(t->text);
	p->i++;
	return 0;
}

/* ---- what a list's file is held against ---- */

static int parse_yes(struct parser *p, const char *word, bool *out)
{
	*out = accept(p, "yes");
	if (*out || accept(p, "no"))
		return 0;
	return fail(p, peek(p), "expected \"yes\" or \"no\" behind \"%s\"", word);
}

static int parse_private(struct parser *p)
{
	return parse_yes(p, "private", &p->s->guard.private_ok);
}

static int parse_cover(struct parser *p)
{
	return parse_yes(p, "cover", &p->s->guard.cover_ok);
}

static int parse_take(struct parser *p)
{
	bool reject = accept(p, "reject");

	if (!reject && !accept(p, "permit"))
		return fail(p, peek(p), "expected \"reject\" or \"permit\" behind \"take\": which lines of a Postfix table");
	p->s->guard.take = reject ? TAKE_REJECT : TAKE_PERMIT;
	return 0;
}

static int parse_expire(struct parser *p)
{
	const struct token *t = peek(p);
	struct list_guard *g = &p->s->guard;
	char *why = NULL;

	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected a duration behind \"expire\", such as 26h");
	if (word_duration(t->text, t->len, &g->expire, &why))
		return fail_why(p, t, why);
	if (g->expire == 0)
		return fail(p, t, "a list cannot expire at once; write how old its data may be, such as 26h");
	/* forever is what holds when nothing is said */
	g->expire = g->expire < 0 ? 0 : g->expire;
	p->i++;
	g->expire_empty = accept(p, "empty");
	if (!g->expire_empty)
		accept(p, "keep");
	g->expire_empty &= g->expire != 0;
	return 0;
}

static int parse_widest_one(struct parser *p, unsigned long bits, uint8_t *out)
{
	const struct token *t = peek(p);
	unsigned long v;

	if (!t || t->kind == TOKEN_COMMA || t->text[0] != '/' || !word_number(t->text + 1, t->len - 1, bits, &v))
		return fail(p, t, "expected two prefix lengths behind \"widest\", IPv4 and IPv6, such as /8 /19");
	*out = v;
	p->i++;
	return 0;
}

static int parse_widest(struct parser *p)
{
	struct list_guard *g = &p->s->guard;
	int err = parse_widest_one(p, 32, &g->widest4);

	return err ? err : parse_widest_one(p, 128, &g->widest6);
}

static int parse_change(struct parser *p)
{
	const struct token *t = peek(p);
	unsigned long v;

	if (accept(p, "any")) {
		p->s->guard.change = CHANGE_ANY;
		return 0;
	}
	if (!t || t->kind == TOKEN_COMMA || !t->len ||
	    !word_number(t->text, t->len - (t->text[t->len - 1] == '%'), 1000000, &v))
		return fail(p, t, "expected a share behind \"change\", such as 30%%, or \"any\"");
	p->s->guard.change = v;
	p->i++;
	return 0;
}

/* A word of the guards? Then it is taken, and *err says whether what follows is right. `said`: those before it. */
static bool parse_guard(struct parser *p, unsigned int *said, int *err)
{
	static const struct {
		const char *word;
		int (*parse)(struct parser *p);
	} guards[] = {
		{ "take", parse_take }, { "expire", parse_expire }, { "private", parse_private }, { "cover", parse_cover },
		{ "widest", parse_widest }, { "change", parse_change },
	};

	for (size_t i = 0; i < sizeof(guards) / sizeof(guards[0]); i++) {
		if (!accept(p, guards[i].word))
			continue;
		if (*said & 1u << i)
			*err = fail(p, &p->v[p->i - 1], "\"%s\" is said twice", guards[i].word);
		else
			*err = guards[i].parse(p);
		*said |= 1u << i;
		return true;
	}
	return false;
}

static int parse_min(struct parser *p)
{
	struct list_guard *g = &p->s->guard;

	if (!p->s->min && !g->may_be_empty && accept(p, "0")) {
		g->may_be_empty = true;
		return 0;
	}
	if (g->may_be_empty)
		return fail(p, &p->v[p->i - 1], "\"min\" is said twice");
	return parse_list_number(p, "min", &p->s->min);
}

static int parse_list_words(struct parser *p, const struct token *name)
{
	static const struct list_guard unsaid;
	struct stmt *s = p->s;
	unsigned int said = 0;
	bool comma = false;
	int err = 0;

	while (!err && peek(p) && !is_word(peek(p), "comment")) {
		const struct token *t = peek(p);

		if (t->kind == TOKEN_COMMA)
			return comma ? fail(p, t, "expected another prefix behind the \",\"") : unexpected(p, NULL, 0);
		if (is_later(t) && !comma)
			return fail_later(p, t);
		if (!comma && accept(p, "file"))
			err = parse_list_file(p);
		else if (!comma && accept(p, "min"))
			err = parse_min(p);
		else if (!comma && accept(p, "max"))
			err = parse_list_number(p, "max", &s->max);
		else if (!comma && parse_guard(p, &said, &err))
			;
		else if (!(err = parse_list_prefix(p)))
			comma = accept_comma(p);
	}
	if (!err && comma)
		return fail(p, peek(p), "expected another prefix behind the \",\"");
	if (!err && (s->min || s->max) && !s->path)
		return fail(p, name, "\"min\" and \"max\" watch over a list's file, and list \"%s\" names none",
			    s->name);
	if (!err && !s->path && !guard_same(&s->guard, &unsaid))
		return fail(p, name, "\"take\", \"expire\", \"private\", \"cover\", \"widest\" and \"change\" are about a list's "
			    "file, and list \"%s\" names none", s->name);
	if (!err && s->max && s->min > s->max)
		return fail(p, name, "list \"%s\": min %lu is more than max %lu", s->name, s->min, s->max);
	return err;
}

static int parse_list(struct parser *p)
{
	const struct token *t = peek(p);

	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected the name of a list");
	if (t->text[0] == '@' && list_name_ok(t->text + 1, t->len - 1))
		return fail(p, t, "a list is declared without \"@\": list %s", t->text + 1);
	if (!list_name_ok(t->text, t->len))
		return fail_list_name(p, t);
	p->s->name = xstrdup(t->text);
	p->i++;
	return parse_list_words(p, t);
}

/* The place of a kind in this table is its number. `then` is what may follow, for help with a misspelt word. */
static const struct {
	const char *word;
	int (*parse)(struct parser *p);
	const char *then[8];
} kinds[] = {
	[STMT_INTERFACE] = { "interface", parse_interface, { "mode" } },
	[STMT_DEFAULT] = { "default", parse_default, { NULL } },
	[STMT_OBSERVE] = { "observe", parse_observe, { NULL } },
	[STMT_TRACK] = { "track", parse_track, { "leases" } },
	[STMT_ADMIN] = { "admin", parse_admin, { "from" } },
	[STMT_EXEMPT] = { "exempt", parse_cut, { NULL } },
	[STMT_ALLOW] = { "allow", parse_allow, { "from", "limit", "connections", "per", "global-limit", "over", "cookies" } },
	[STMT_DENY] = { "deny", parse_rule, { "from" } },
	[STMT_BLOCK] = { "block", parse_cut, { NULL } },
	[STMT_LIST] = { "list", parse_list, { NULL } },
	[STMT_ON_STOP] = { "on-stop", parse_on_stop, { NULL } },
};
#define NKINDS (sizeof(kinds) / sizeof(kinds[0]))

static int parse_comment(struct parser *p)
{
	const struct token *t = peek(p);

	if (!t || t->kind == TOKEN_COMMA)
		return fail(p, t, "expected the text of the comment, in quotation marks");
	p->s->comment = xstrdup(t->text);
	p->i++;
	if (peek(p))
		return fail(p, peek(p), "a comment is the end of a sentence; put all of its text in quotation marks");
	return 0;
}

static int unknown_sentence(struct parser *p, const struct token *t)
{
	const char *words[NKINDS];
	__cleanup_free char *near = NULL;

	if (t->kind == TOKEN_COMMA)
		return fail(p, t, "unexpected \",\" at the start of a sentence");
	if (is_option(t))
		return fail_option(p, t);
	if (is_later(t))
		return fail(p, t, "this version of mxdp does not have \"%s\" sentences; leave them out", t->text);
	for (size_t i = 0; i < NKINDS; i++)
		words[i] = kinds[i].word;
	near = did_you_mean(t->text, t->len, words, NKINDS);
	return fail(p, t, "unknown word \"%.*s\"%s", clip(t->text, t->len), t->text,
		    *near ? near : "; a sentence starts with allow, deny, block, admin, exempt, list, default, "
				   "interface, observe or track");
}

static int parse_sentence(struct parser *p)
{
	const struct token *first = &p->v[0];
	const char *words[9];
	size_t kind, n = 0;
	int err;

	for (kind = 0; kind < NKINDS && !is_word(first, kinds[kind].word); kind++)
		;
	if (kind == NKINDS)
		return unknown_sentence(p, first);
	p->i = 1;
	p->s->kind = kind;
	p->s->at = (struct origin){ xstrdup(p->file), first->line, first->column };
	err = kinds[kind].parse(p);
	if (err)
		return err;
	if (accept(p, "comment"))
		return parse_comment(p);
	if (!peek(p))
		return 0;
	while (n < 8 && kinds[kind].then[n]) {
		words[n] = kinds[kind].then[n];
		n++;
	}
	words[n++] = "comment";
	return unexpected(p, words, n);
}

/* ---- whole texts ---- */

static void bad_byte(struct parser *p, unsigned int line, const char *start, size_t n, size_t bad)
{
	unsigned char c = start[bad], next = bad + 1 < n ? start[bad + 1] : 0;
	__cleanup_free char *text = NULL;
	unsigned int column = 1;

	for (size_t i = 0; i < bad; i++)
		column += ((unsigned char)start[i] & 0xc0) != 0x80;
	if (c == 0)
		text = xstrdup("a NUL byte; this is not a text file");
	else if (c < 0x20 || c == 0x7f)
		text = xasprintf("a control character (0x%02x); take it out", c);
	else if (c == 0xc2 && (next & 0xc0) == 0x80)
		text = xasprintf("a control character (U+%04X); take it out", next);
	else
		text = xasprintf("a byte that is not UTF-8 (0x%02x); save the file as UTF-8", c);
	say(p, line, column, text);
}

/* One error for each line that no text file has. */
static void check_bytes(struct parser *p, const char *text, size_t len)
{
	unsigned int line = 1;
	size_t at = 0, end, n, bad;

	if (len >= 3 && !memcmp(text, "\xef\xbb\xbf", 3))
		at = 3;
	for (; at < len && p->errors < MAX_ERRORS; at = end + 1, line++) {
		const char *nl = memchr(text + at, '\n', len - at);

		end = nl ? (size_t)(nl - text) : len;
		n = end - at;
		if (nl && n && text[end - 1] == '\r')
			n--;
		if (!text_clean(text + at, n, &bad))
			bad_byte(p, line, text + at, n, bad);
	}
}

static void drop_stmts(struct stmt *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		stmt_free(&v[i]);
	free(v);
}

static void parse_all(struct parser *p, const char *text, size_t len, struct stmt **v, size_t *n)
{
	struct sentence s;
	struct lexer lx;
	struct stmt one;
	size_t room = 0;

	lexer_init(&lx, text, len);
	while (p->errors < MAX_ERRORS && lexer_next(&lx, &s)) {
		one = (struct stmt){ 0 };
		p->v = s.v;
		p->n = s.n;
		p->i = 0;
		p->sentence = &s;
		p->s = &one;
		if (s.error)
			say(p, s.error_line, s.error_column, s.error);
		if (s.error || !s.n)
			continue;
		if (parse_sentence(p)) {
			stmt_free(&one);
			continue;
		}
		if (*n == room) {
			room = room ? 2 * room : 16;
			*v = xrealloc(*v, room * sizeof(**v));
		}
		(*v)[(*n)++] = one;
	}
	lexer_free(&lx);
}

int rules_parse(struct rules *r, const char *file, const char *text, size_t len, struct diag *d)
{
	struct parser p = { .file = file, .d = d };
	struct stmt *v = NULL;
	size_t n = 0;

	check_bytes(&p, text, len);
	if (!p.errors)
		parse_all(&p, text, len, &v, &n);
	if (p.errors == MAX_ERRORS)
		diag_note(d, "%s: only the first %d errors are shown", file, MAX_ERRORS);
	if (p.errors) {
		drop_stmts(v, n);
		return -EINVAL;
	}
	if (n) {
		r->v = xrealloc(r->v, (r->n + n) * sizeof(*r->v));
		memcpy(r->v + r->n, v, n * sizeof(*v));
		r->n += n;
	}
	free(v);
	return 0;
}

static void put_quoted(FILE *f, const char *s)
{
	fputc('"', f);
	for (; *s; s++) {
		if (*s == '"' || *s == '\\')
			fputc('\\', f);
		fputc(*s, f);
	}
	fputc('"', f);
}

static void put_word(FILE *f, const char *s)
{
	if (*s && !s[strcspn(s, " \t\r\n,#\"\\")])
		fputs(s, f);
	else
		put_quoted(f, s);
}

/* A word of the shell's that holds a comma is a list of ports or sources, unless it is a comment's text or a path. */
static void put_arg(FILE *f, const char *before, const char *s)
{
	bool text = before && (!strcmp(before, "comment") || !strcmp(before, "file"));

	if (!text && strchr(s, ',') && !s[strcspn(s, "\r\n#\"\\")])
		fputs(s, f);
	else
		put_word(f, s);
}

/* On the command line a path is relative to where the operator stands; in the file it will be read from elsewhere. */
static void paths_absolute(struct stmt *v, size_t n)
{
	__cleanup_free char *here = getcwd(NULL, 0);

	for (size_t i = 0; here && i < n; i++) {
		if (v[i].path && v[i].path[0] != '/') {
			char *whole = xasprintf("%s/%s", here[1] ? here : "", v[i].path);

			free(v[i].path);
			v[i].path = whole;
		}
	}
}

int rules_parse_args(struct rules *r, int argc, char *const argv[], struct diag *d)
{
	__cleanup_free char *text = NULL;
	size_t len = 0, before = r->n;
	struct rules one = { 0 };
	FILE *f = open_memstream(&text, &len);
	bool broken = false;
	int err;

	if (!f)
		return -ENOMEM;
	for (int i = 0; i < argc; i++) {
		broken |= strpbrk(argv[i], "\r\n") != NULL;
		if (i)
			fputc(' ', f);
		/* one word with blanks is a whole sentence in the shell's quotes */
		if (argc == 1)
			fputs(argv[0], f);
		else
			put_arg(f, i ? argv[i - 1] : NULL, argv[i]);
	}
	fclose(f);
	if (broken) {
		diag_error(d, COMMAND_LINE ": a line break in a word; a sentence is one line");
		return -EINVAL;
	}
	err = rules_parse(&one, COMMAND_LINE, text, len, d);
	if (!err && one.n != 1) {
		diag_error(d, COMMAND_LINE ": expected one sentence, such as: allow smtp");
		err = -EINVAL;
	}
	if (err) {
		drop_stmts(one.v, one.n);
		return err;
	}
	paths_absolute(one.v, one.n);
	r->v = xrealloc(r->v, (before + 1) * sizeof(*r->v));
	r->v[r->n++] = one.v[0];
	free(one.v);
	return 0;
}

/* ---- printing ---- */

static void put_ports(FILE *f, const struct stmt *s)
{
	for (size_t i = 0; i < s->nports; i++) {
		const struct port_range *p = &s->ports[i];

		fputs(i ? ", " : " ", f);
		if (p->lo == 1 && p->hi == 65535)
			fputs("any", f);
		else if (p->lo != p->hi)
			fprintf(f, "%u-%u", p->lo, p->hi);
		else if (mail_port_name(p->lo))
			fputs(mail_port_name(p->lo), f);
		else
			fprintf(f, "%u", p->lo);
	}
}

static bool says_any(const struct stmt *s)
{
	return s->nsources == 0 || (s->nsources == 1 && s->sources[0].kind == SOURCE_ANY);
}

static void put_sources(FILE *f, const struct stmt *s)
{
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < s->nsources; i++) {
		const struct source *one = &s->sources[i];

		fputs(i ? ", " : " ", f);
		if (one->kind == SOURCE_ANY)
			fputs("any", f);
		else if (one->kind == SOURCE_LIST)
			fprintf(f, "@%s", one->list);
		else
			fputs(prefix_text(&one->prefix, text), f);
	}
}

static void put_expire(FILE *f, const struct list_guard *g)
{
	static const struct {
		int64_t seconds;
		char letter;
	} units[] = { { 86400, 'd' }, { 3600, 'h' }, { 60, 'm' }, { 1, 's' } };
	size_t i = 0;

	while (g->expire % units[i].seconds)
		i++;
	fprintf(f, " expire %lld%c%s", (long long)(g->expire / units[i].seconds), units[i].letter,
		g->expire_empty ? " empty" : "");
}

static void put_guard(FILE *f, const struct list_guard *g)
{
	if (g->may_be_empty)
		fputs(" min 0", f);
	if (g->take)
		fputs(g->take == TAKE_PERMIT ? " take permit" : " take reject", f);
	if (g->expire)
		put_expire(f, g);
	if (g->private_ok)
		fputs(" private yes", f);
	if (g->cover_ok)
		fputs(" cover yes", f);
	if (g->widest4)
		fprintf(f, " widest /%u /%u", g->widest4, g->widest6);
	if (g->change == CHANGE_ANY)
		fputs(" change any", f);
	else if (g->change)
		fprintf(f, " change %u%%", g->change);
}

static void put_list(FILE *f, const struct stmt *s)
{
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < s->nprefixes; i++)
		fprintf(f, " %s", prefix_text(&s->prefixes[i], text));
	if (s->path) {
		fputs(" file ", f);
		put_word(f, s->path);
	}
	if (s->min)
		fprintf(f, " min %lu", s->min);
	if (s->max)
		fprintf(f, " max %lu", s->max);
	put_guard(f, &s->guard);
}

static void put_leases(FILE *f, unsigned long n)
{
	if (n && n % (1024 * 1024) == 0)
		fprintf(f, " leases %luM", n / (1024 * 1024));
	else if (n && n % 1024 == 0)
		fprintf(f, " leases %luk", n / 1024);
	else if (n)
		fprintf(f, " leases %lu", n);
}

static void put_stmt(FILE *f, const struct stmt *s)
{
	fputs(kinds[s->kind].word, f);
	if (s->name) {
		fputc(' ', f);
		put_word(f, s->name);
	}
	switch (s->kind) {
	case STMT_INTERFACE:
		fputs(s->mode == MODE_GENERIC ? " mode generic" : s->mode == MODE_AUTO ? " mode auto" : "", f);
		break;
	case STMT_DEFAULT:
		fputs(s->deny ? " deny" : " allow", f);
		break;
	case STMT_ON_STOP:
		fputs(s->keep ? " keep" : " detach", f);
		break;
	case STMT_OBSERVE:
		break;
	case STMT_TRACK:
		fputs(" socket", f);
		put_leases(f, s->leases);
		break;
	case STMT_ADMIN:
	case STMT_ALLOW:
	case STMT_DENY:
		put_ports(f, s);
		if (s->kind == STMT_ADMIN || !says_any(s)) {
			fputs(" from", f);
			put_sources(f, s);
		}
		limits_print(&s->limits, f);
		break;
	case STMT_EXEMPT:
	case STMT_BLOCK:
		put_sources(f, s);
		break;
	case STMT_LIST:
		put_list(f, s);
		break;
	}
	if (s->comment) {
		fputs(" comment ", f);
		put_quoted(f, s->comment);
	}
}

char *stmt_text(const struct stmt *s)
{
	char *text = NULL;
	size_t len;
	FILE *f = open_memstream(&text, &len);

	if (f) {
		put_stmt(f, s);
		if (fclose(f) == 0 && text)
			return text;
	}
	free(text);
	return xstrdup("");
}

/* ---- sentences compared, copied, freed ---- */

static int cmp_port(const void *a, const void *b)
{
	const struct port_range *p = a, *q = b;

	return p->lo != q->lo ? p->lo - q->lo : p->hi - q->hi;
}

static int cmp_source(const void *a, const void *b)
{
	const struct source *p = a, *q = b;

	if (p->kind != q->kind)
		return p->kind < q->kind ? -1 : 1;
	if (p->kind == SOURCE_LIST)
		return strcmp(p->list, q->list);
	return p->kind == SOURCE_PREFIX ? prefix_cmp(&p->prefix, &q->prefix) : 0;
}

/* Sorted copy without duplicates; *n becomes its length. */
static void *as_set(const void *v, size_t *n, size_t size, int (*cmp)(const void *, const void *))
{
	char *set = xmalloc(*n * size);
	size_t m = 0;

	if (!*n)
		return set;
	memcpy(set, v, *n * size);
	qsort(set, *n, size, cmp);
	for (size_t i = 0; i < *n; i++)
		if (m == 0 || cmp(set + (m - 1) * size, set + i * size))
			memmove(set + m++ * size, set + i * size, size);
	*n = m;
	return set;
}

static bool same_set(const void *a, size_t na, const void *b, size_t nb, size_t size,
		     int (*cmp)(const void *, const void *))
{
	__cleanup_free char *x = as_set(a, &na, size, cmp), *y = as_set(b, &nb, size, cmp);

	if (na != nb)
		return false;
	for (size_t i = 0; i < na; i++)
		if (cmp(x + i * size, y + i * size))
			return false;
	return true;
}

static bool same_text(const char *a, const char *b)
{
	return a == b || (a && b && !strcmp(a, b));
}

static bool same_sources(const struct stmt *a, const struct stmt *b)
{
	if (a->kind != STMT_LIST && (says_any(a) || says_any(b)))
		return says_any(a) && says_any(b);
	return same_set(a->sources, a->nsources, b->sources, b->nsources, sizeof(*a->sources), cmp_source);
}

bool guard_same(const struct list_guard *a, const struct list_guard *b)
{
	return a->take == b->take && a->may_be_empty == b->may_be_empty && a->expire == b->expire &&
	       a->expire_empty == b->expire_empty && a->private_ok == b->private_ok && a->cover_ok == b->cover_ok &&
	       a->widest4 == b->widest4 && a->widest6 == b->widest6 && a->change == b->change;
}

static unsigned long leases_said(const struct stmt *s)
{
	return s->leases ? s->leases : DEFAULT_LEASES;
}

bool stmt_same(const struct stmt *a, const struct stmt *b)
{
	return a->kind == b->kind && a->mode == b->mode && a->deny == b->deny && a->keep == b->keep && a->min == b->min && a->max == b->max &&
	       guard_same(&a->guard, &b->guard) && leases_said(a) == leases_said(b) && limits_same(&a->limits, &b->limits) &&
	       same_text(a->name, b->name) && same_text(a->path, b->path) &&
	       same_set(a->ports, a->nports, b->ports, b->nports, sizeof(*a->ports), cmp_port) && same_sources(a, b) &&
	       same_set(a->prefixes, a->nprefixes, b->prefixes, b->nprefixes, sizeof(*a->prefixes), prefix_cmp);
}

void stmt_free(struct stmt *s)
{
	for (size_t i = 0; i < s->nsources; i++)
		free(s->sources[i].list);
	free(s->at.file);
	free(s->name);
	free(s->ports);
	free(s->sources);
	free(s->prefixes);
	free(s->path);
	free(s->comment);
	*s = (struct stmt){ 0 };
}

static char *copy_text(const char *s)
{
	return s ? xstrdup(s) : NULL;
}

static void *copy_array(const void *v, size_t n, size_t size)
{
	return n ? memcpy(xmalloc(n * size), v, n * size) : NULL;
}

void stmt_copy(struct stmt *to, const struct stmt *from)
{
	struct stmt s = *from;

	s.at.file = copy_text(from->at.file);
	s.name = copy_text(from->name);
	s.ports = copy_array(from->ports, from->nports, sizeof(*from->ports));
	s.sources = copy_array(from->sources, from->nsources, sizeof(*from->sources));
	for (size_t i = 0; i < s.nsources; i++)
		s.sources[i].list = copy_text(from->sources[i].list);
	s.prefixes = copy_array(from->prefixes, from->nprefixes, sizeof(*from->prefixes));
	s.path = copy_text(from->path);
	s.comment = copy_text(from->comment);
	*to = s;
}
