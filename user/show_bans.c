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

static int read_bans(const struct look *l, struct dp_ban_list **list, struct diag *d)
{
	struct dp_bans *t;
	int err = dp_bans_open(&t, l->dp, true, d);

	if (err)
		return err;
	err = dp_bans_all(t, list, d);
	dp_bans_close(t, d);
	return err;
}

static void item_of(json_object *o, size_t i, void *list)
{
	struct ban b;

	dp_ban_list_get(list, i, &b);
	ban_json(o, &b);
}

static void print_json(struct dp_ban_list *l, size_t n)
{
	__cleanup_json json_object *doc = json_document();

	json_num(doc, "total", dp_ban_list_len(l));
	json_print_list(doc, "bans", n, item_of, l, stdout);
}

/* "for 3m" without its first word */
static const char *left_text(const struct ban *b, char buf[BAN_SPAN])
{
	return b->left_ms < 0 ? "for ever" : ban_span(b->left_ms, buf) + 4;
}

static void print_table(const struct dp_ban_list *l, size_t n)
{
	__cleanup_table struct table t = { .head = { "SOURCE", ">LEFT", "PORTS", "BY", ">PACKETS", "REASON" } };
	char buf[PREFIX_TEXT], span[BAN_SPAN];

	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *ports = NULL;
		struct ban b;

		dp_ban_list_get(l, i, &b);
		ports = ban_ports_text(&b);
		table_add(&t, "%s", prefix_text(&b.p, buf));
		table_add(&t, "%s", left_text(&b, span));
		table_add(&t, "%s", ports);
		table_add(&t, "%s", b.owner);
		table_add(&t, "%" PRIu64, b.hits);
		table_add(&t, "%s", b.reason);
	}
	table_print(&t, 0, stdout);
}

static void print_lines(const struct dp_ban_list *l, size_t n)
{
	char buf[PREFIX_TEXT], span[BAN_SPAN];

	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *ports = NULL;
		struct ban b;

		dp_ban_list_get(l, i, &b);
		ports = ban_ports_text(&b);
		printf("%s  %s  %s  %s  %" PRIu64 "  ", prefix_text(&b.p, buf), left_text(&b, span), ports, b.owner,
		       b.hits);
		put_escaped(b.reason, stdout);
		putchar('\n');
	}
}

int show_bans(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_ban_list struct dp_ban_list *list = NULL;
	size_t n, shown;
	int err;

	if (argc && (argc != 2 || strcmp(argv[0], "source")))
		return usage_error(d, "show", "`show bans` takes `source TAG`");
	err = read_bans(l, &list, d);
	if (err)
		return exit_code_of(err);
	if (argc)
		dp_ban_list_only(list, argv[1]);
	dp_ban_list_sort(list, o->top);
	n = dp_ban_list_len(list);
	shown = o->top && (size_t)o->top < n ? (size_t)o->top : n;
	if (o->json)
		print_json(list, shown);
	else if (shown < WIDE_FROM)
		print_table(list, shown);
	else
		print_lines(list, shown);
	if (!o->json && shown < n)
		say(o, "%zu more", n - shown);
	return out_done(EXIT_DONE);
}
