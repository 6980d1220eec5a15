// SPDX-License-Identifier: GPL-2.0-only
/* `show limits`: the limits in force, and which sources have the most connections under them. */
#include <stdlib.h>
#include "limituse.h"
#include "show.h"

#define TOP 10

static const char *state_of(const struct limit_source *s)
{
	return s->full ? "full" : s->held ? "held" : "-";
}

static void limits_json(const struct limit_use *u, size_t top)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "limits");
	char buf[PREFIX_TEXT];

	for (unsigned int i = 1; i <= u->n; i++) {
		struct limit_sum sum = limit_use_sum(u, i);
		__cleanup_free char *text = limit_name(u, i), *limit = limits_text(&u->v[i]->limits);
		json_object *item = json_item(list), *sources;
		size_t shown = 0;

		json_str(item, "sentence", text);
		json_str(item, "limit", limit);
		json_num(item, "connections", sum.open);
		json_num(item, "sources", sum.sources);
		json_num(item, "full", sum.full);
		json_num(item, "held", sum.held);
		sources = json_list(item, "top");
		for (size_t k = 0; k < u->nsources && shown < top; k++) {
			const struct limit_source *s = &u->source[k];
			json_object *one;

			if (s->number != i)
				continue;
			one = json_item(sources);
			shown++;
			json_str(one, "source", prefix_text(&s->source, buf));
			json_num(one, "connections", s->open);
			json_num(one, "sockets", s->sockets);
			json_yes(one, "full", s->full);
			json_yes(one, "held", s->held);
		}
	}
	json_num(doc, "counted", u->total);
	json_num(doc, "uncounted", u->lost);
	json_print(doc, stdout);
}

static void print_limits(const struct limit_use *u)
{
	__cleanup_table struct table t = { .head = { "LIMIT OF", ">CONNECTIONS", ">SOURCES", ">FULL", ">HELD" } };
	char number[OUT_TEXT];

	for (unsigned int i = 1; i <= u->n; i++) {
		struct limit_sum sum = limit_use_sum(u, i);
		__cleanup_free char *text = limit_name(u, i);

		table_add(&t, "%s", text);
		table_add(&t, "%s", text_number(sum.open, number));
		table_add(&t, "%s", text_number(sum.sources, number));
		table_add(&t, "%s", text_number(sum.full, number));
		table_add(&t, "%s", text_number(sum.held, number));
	}
	table_print(&t, 0, stdout);
}

static void print_sources(const struct limit_use *u, size_t top)
{
	__cleanup_table struct table t = { .head = { "SOURCE", ">CONNECTIONS", ">MAY", "STATE", "LIMIT" } };
	char buf[PREFIX_TEXT], number[OUT_TEXT];
	size_t shown = 0;

	for (unsigned int i = 1; i <= u->n; i++) {
		shown = 0;
		for (size_t k = 0; k < u->nsources && shown < top; k++) {
			const struct limit_source *s = &u->source[k];
			__cleanup_free char *limit = NULL;

			if (s->number != i)
				continue;
			limit = limits_text(&u->v[i]->limits);
			shown++;
			table_add(&t, "%s", prefix_text(&s->source, buf));
			table_add(&t, "%s", text_number(s->open, number));
			table_add(&t, "%s", u->v[i]->limits.connections ? text_number(u->v[i]->limits.connections, number) : "-");
			table_add(&t, "%s", state_of(s));
			table_add(&t, "%s", limit);
		}
	}
	if (!t.n)
		return;
	putchar('\n');
	table_print(&t, 0, stdout);
}

int show_limits(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_limit_use struct limit_use u;
	size_t top = o->top > 0 ? (size_t)o->top : TOP;
	int err = limit_use_read(&u, l, d);

	(void)argc, (void)argv;
	if (err)
		return exit_code_of(err);
	if (o->json) {
		limits_json(&u, top);
	} else if (!u.n) {
		printf("no sentence in force has a limit; as in: mxdp allow submission limit 30/min connections 20\n");
	} else {
		print_limits(&u);
		print_sources(&u, top);
	}
	if (u.lost)
		diag_warn(d, "%llu connections were not counted, for their part of the table was full; more leases make a larger "
			     "table: track socket leases 256k", (unsigned long long)u.lost);
	return out_done(EXIT_DONE);
}
