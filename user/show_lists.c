// SPDX-License-Identifier: GPL-2.0-only
/* `show lists`: the lists as they are in force, which may be other than the file is by now. */
#include "show.h"

static void lists_json(const struct rules *r)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "lists");

	for (size_t i = 0; i < r->nlists; i++) {
		const struct list *l = &r->lists[i];
		json_object *item = json_item(list);

		json_str(item, "name", l->name);
		json_num(item, "prefixes", l->n);
		json_num(item, "ipv4", list_count(l, 4));
		json_num(item, "ipv6", list_count(l, 6));
		json_str(item, "file", l->path);
		json_time(item, "read_at", l->read_at);
	}
	json_print(doc, stdout);
}

static int show_one(const struct options *o, const struct rules *r, const char *name, struct diag *d)
{
	const struct list *l = rules_list(r, *name == '@' ? name + 1 : name);

	if (!l) {
		diag_error(d, "there is no list \"%s\" in force; `mxdp show lists` names them", name);
		return EXIT_USAGE;
	}
	list_print(o, l, true);
	return out_done(EXIT_DONE);
}

int show_lists(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_table struct table t = { .head = { "LIST", ">PREFIXES", ">IPV4", ">IPV6", "READ AT", "FILE" } };

	if (argc)
		return show_one(o, &l->rules, argv[0], d);
	if (o->json) {
		lists_json(&l->rules);
		return out_done(EXIT_DONE);
	}
	for (size_t i = 0; i < l->rules.nlists; i++) {
		const struct list *list = &l->rules.lists[i];
		char all[OUT_TEXT], ip4[OUT_TEXT], ip6[OUT_TEXT], when[OUT_TEXT];

		table_add(&t, "@%s", list->name);
		table_add(&t, "%s", text_number(list->n, all));
		table_add(&t, "%s", text_number(list_count(list, 4), ip4));
		table_add(&t, "%s", text_number(list_count(list, 6), ip6));
		table_add(&t, "%s", text_time(list->read_at, when));
		table_add(&t, "%s", list->path ? list->path : "-");
	}
	if (l->rules.nlists)
		table_print(&t, 0, stdout);
	else
		printf("no lists are in force\n");
	return out_done(EXIT_DONE);
}
