// SPDX-License-Identifier: GPL-2.0-only
/* `show bans`: who is banned, for how long yet, by whom, and what it cut. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "ban_feed.h"
#include "show.h"
#include "tell.h"

/* Printed as they come: a table of a million rows would be laid out in memory first. */
#define WIDE_FROM 10000

static int by_hits(const void *a, const void *b)
{
	const struct ban *x = a, *y = b;

	return x->hits < y->hits ? 1 : x->hits > y->hits ? -1 : ban_cmp(a, b);
}

static int read_bans(const struct look *l, struct ban **v, size_t *n, struct diag *d)
{
	struct dp_bans *t;
	int err = dp_bans_open(&t, l->dp, true, d);

	if (err)
		return err;
	err = dp_bans_all(t, v, n, d);
	dp_bans_close(t, d);
	return err;
}

static size_t only_of(struct ban *v, size_t n, const char *owner)
{
	size_t kept = 0;

	for (size_t i = 0; i < n; i++)
		if (!owner || !strcmp(v[i].owner, owner))
			v[kept++] = v[i];
	return kept;
}

static void print_json(const struct ban *v, size_t n, size_t all)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "bans");

	json_num(doc, "total", all);
	for (size_t i = 0; i < n; i++)
		ban_json(json_item(list), &v[i]);
	json_print(doc, stdout);
}

/* "for 3m" without its first word */
static const char *left_text(const struct ban *b, char buf[BAN_SPAN])
{
	return b->left_ms < 0 ? "for ever" : ban_span(b->left_ms, buf) + 4;
}

static void print_table(const struct ban *v, size_t n)
{
	__cleanup_table struct table t = { .head = { "SOURCE", ">LEFT", "PORTS", "BY", ">PACKETS", "REASON" } };
	char buf[PREFIX_TEXT], span[BAN_SPAN];

	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *ports = ban_ports_text(&v[i]);

		table_add(&t, "%s", prefix_text(&v[i].p, buf));
		table_add(&t, "%s", left_text(&v[i], span));
		table_add(&t, "%s", ports);
		table_add(&t, "%s", v[i].owner);
		table_add(&t, "%" PRIu64, v[i].hits);
		table_add(&t, "%s", v[i].reason);
	}
	table_print(&t, 0, stdout);
}

static void print_lines(const struct ban *v, size_t n)
{
	char buf[PREFIX_TEXT], span[BAN_SPAN];

	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *ports = ban_ports_text(&v[i]);

		printf("%s  %s  %s  %s  %" PRIu64 "  ", prefix_text(&v[i].p, buf), left_text(&v[i], span), ports, v[i].owner,
		       v[i].hits);
		put_escaped(v[i].reason, stdout);
		putchar('\n');
	}
}

int show_bans(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_free struct ban *v = NULL;
	size_t n = 0, shown;
	int err;

	if (argc && (argc != 2 || strcmp(argv[0], "source")))
		return usage_error(d, "show", "`show bans` takes `source TAG`");
	err = read_bans(l, &v, &n, d);
	if (err)
		return exit_code_of(err);
	n = only_of(v, n, argc ? argv[1] : NULL);
	if (n)
		qsort(v, n, sizeof(*v), o->top ? by_hits : ban_cmp);
	shown = o->top && (size_t)o->top < n ? (size_t)o->top : n;
	if (o->json)
		print_json(v, shown, n);
	else if (shown < WIDE_FROM)
		print_table(v, shown);
	else
		print_lines(v, shown);
	if (!o->json && shown < n)
		say(o, "%zu more", n - shown);
	return out_done(EXIT_DONE);
}
