// SPDX-License-Identifier: GPL-2.0-only
/* What an `allow` says of how much: checked, printed, compared. */
#include <stdlib.h>
#include <string.h>
#include "rules.h"

bool limits_any(const struct limits *l)
{
	return l->source.n || l->global.n || l->connections;
}

static bool same_rate(const struct rate *a, const struct rate *b)
{
	return a->n == b->n && a->seconds == b->seconds && a->burst == b->burst;
}

bool limits_same(const struct limits *a, const struct limits *b)
{
	return same_rate(&a->source, &b->source) && same_rate(&a->global, &b->global) &&
	       a->connections == b->connections && a->len4 == b->len4 && a->len6 == b->len6 && a->over == b->over &&
	       a->cookies == b->cookies && a->ban == b->ban;
}

/* ---- what cannot be kept ---- */

/* The clock of the packet path may tick as slowly as a hundred times a second: what comes within a tick is a burst. */
#define SLOWEST_TICKS 100
#define FASTEST_SOURCE 1000 /* a second: steps of 1/1024 tick keep such a rate within one percent */
#define LONGEST_BURST 86400 /* seconds until a burst is had again */

static bool burst_below_tick(const struct rate *r)
{
	return (uint64_t)r->burst * SLOWEST_TICKS * r->seconds < r->n;
}

static bool burst_too_long(const struct rate *r)
{
	return (uint64_t)r->burst * r->seconds > (uint64_t)LONGEST_BURST * r->n;
}

const char *limits_wrong(const struct limits *l)
{
	if (l->source.n > (uint64_t)FASTEST_SOURCE * l->source.seconds)
		return "a limit per source is 1000/s at most; \"global-limit\" takes more";
	if ((l->source.n && burst_below_tick(&l->source)) || (l->global.n && burst_below_tick(&l->global)))
		return "the burst is less than the rate lets through in a hundredth of a second, so the rate could not be had; "
		       "raise the burst";
	if ((l->source.n && burst_too_long(&l->source)) || (l->global.n && burst_too_long(&l->global)))
		return "it would take more than a day until the burst is to be had again; lower the burst, or raise the rate";
	if (l->over == OVER_BAN && !l->source.n && !l->connections)
		return "\"over ban\" needs a limit per source (limit or connections): what all sources do together is nobody's fault";
	return NULL;
}

/* ---- in words ---- */

static void print_rate(const char *word, const struct rate *r, FILE *to)
{
	static const struct {
		uint32_t seconds;
		const char *name;
	} unit[] = { { 86400, "d" }, { 3600, "h" }, { 60, "min" }, { 1, "s" } };
	size_t i = 0;

	while (r->seconds % unit[i].seconds)
		i++;
	fprintf(to, " %s %u/", word, r->n);
	if (r->seconds != unit[i].seconds)
		fprintf(to, "%u", r->seconds / unit[i].seconds);
	fputs(unit[i].name, to);
	if (r->burst != r->n)
		fprintf(to, " burst %u", r->burst);
}

static void print_duration(int64_t seconds, FILE *to)
{
	if (seconds < 0)
		fputs("forever", to);
	else if (seconds % 86400 == 0)
		fprintf(to, "%lldd", (long long)seconds / 86400);
	else if (seconds % 3600 == 0)
		fprintf(to, "%lldh", (long long)seconds / 3600);
	else if (seconds % 60 == 0)
		fprintf(to, "%lldm", (long long)seconds / 60);
	else
		fprintf(to, "%llds", (long long)seconds);
}

void limits_print(const struct limits *l, FILE *to)
{
	static const char *const over[] = { "", " over reset", " over observe", " over ban " };
	static const char *const cookies[] = { "", " cookies auto", " cookies always", " cookies never" };

	if (l->source.n)
		print_rate("limit", &l->source, to);
	if (l->connections)
		fprintf(to, " connections %u", l->connections);
	if (l->len4)
		fprintf(to, " per /%u /%u", l->len4, l->len6);
	if (l->global.n)
		print_rate("global-limit", &l->global, to);
	fputs(over[l->over], to);
	if (l->over == OVER_BAN)
		print_duration(l->ban, to);
	fputs(cookies[l->cookies], to);
}

char *limits_text(const struct limits *l)
{
	char *text = NULL;
	size_t len;
	FILE *to = open_memstream(&text, &len);

	if (!to)
		return xstrdup("");
	limits_print(l, to);
	if (fclose(to) || !text) {
		free(text);
		return xstrdup("");
	}
	if (len)
		memmove(text, text + 1, len);
	return text;
}

/* ---- which is stricter ---- */

static int cmp(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* What is not said holds nothing back. */
static int cmp_limit(uint64_t a, uint64_t b)
{
	return cmp(a ? a : UINT64_MAX, b ? b : UINT64_MAX);
}

static int cmp_rate(const struct rate *a, const struct rate *b)
{
	if (!a->n || !b->n)
		return cmp_limit(a->n, b->n);
	return cmp((uint64_t)a->n * b->seconds, (uint64_t)b->n * a->seconds);
}

static unsigned int len_of(uint8_t said, uint8_t unsaid)
{
	return said ? said : unsaid;
}

int limit_cmp(const struct stmt *s, const struct stmt *t)
{
	const struct limits *a = &s->limits, *b = &t->limits;

	if (!limits_any(a) || !limits_any(b))
		return cmp(!limits_any(a), !limits_any(b));
	return cmp_rate(&a->source, &b->source) ?: cmp_limit(a->connections, b->connections) ?:
	       cmp_limit(a->source.burst, b->source.burst) ?: cmp_rate(&a->global, &b->global) ?:
	       cmp_limit(a->global.burst, b->global.burst) ?:
	       cmp(len_of(a->len4, LIMIT_LEN4), len_of(b->len4, LIMIT_LEN4)) ?:
	       cmp(len_of(a->len6, LIMIT_LEN6), len_of(b->len6, LIMIT_LEN6)) ?: cmp(b->over, a->over) ?:
	       cmp(b->ban, a->ban) ?: cmp(limit_id(s), limit_id(t));
}

/* ---- its name among numbers ---- */

static uint64_t hash_bytes(const void *v, size_t n)
{
	const uint8_t *at = v;
	uint64_t h = 0xcbf29ce484222325ULL; /* FNV-1a */

	for (size_t i = 0; i < n; i++)
		h = (h ^ at[i]) * 0x100000001b3ULL;
	return h * 0x9e3779b97f4a7c15ULL;
}

static uint64_t hash_source(const struct source *s)
{
	char text[PREFIX_TEXT] = "any";

	if (s->kind == SOURCE_LIST)
		return hash_bytes(s->list, strlen(s->list)) * 3;
	if (s->kind == SOURCE_PREFIX)
		prefix_text(&s->prefix, text);
	return hash_bytes(text, strlen(text));
}

uint64_t limit_id(const struct stmt *s)
{
	static const struct source any = { .kind = SOURCE_ANY };
	__cleanup_free char *text = limits_text(&s->limits);
	uint64_t id = hash_bytes(text, strlen(text)) + (s->nsources ? 0 : hash_source(&any));

	/* a sum, for the order does not count */
	for (size_t i = 0; i < s->nports; i++)
		id += hash_bytes(&s->ports[i], sizeof(s->ports[i])) * 5;
	for (size_t i = 0; i < s->nsources; i++)
		id += hash_source(&s->sources[i]);
	return id;
}
