// SPDX-License-Identifier: GPL-2.0-only
/* `show services`: numbers, ports, and the sums over all interfaces (or the one asked for). */
#include "show.h"

static void json_service(json_object *list, const struct look *l, const struct dp_counts *c, int s)
{
	struct totals t = counts_sum(c, s, ANY, ANY);
	json_object *item = json_item(list);

	json_num(item, "number", (uint64_t)s);
	json_str(item, "name", service_name(l, s, false));
	json_str(item, "ports", s ? l->services[s].key : NULL);
	json_yes(item, "named", l->services[s].named);
	json_totals(item, &t);
}

static void add_service(struct table *t, const struct look *l, const struct dp_counts *c, int s, bool numeric)
{
	char passed[OUT_TEXT], dropped[OUT_TEXT], observed[OUT_TEXT];
	struct totals sum = counts_sum(c, s, ANY, ANY);

	table_add(t, "%d", s);
	table_add(t, "%s", service_name(l, s, numeric));
	table_add(t, "%s", s == 0 ? "all that no rule names" : l->services[s].key);
	table_add(t, "%s", text_number(sum.passed.packets, passed));
	table_add(t, "%s", text_number(sum.dropped.packets, dropped));
	if (l->observe)
		table_add(t, "%s", text_number(sum.observed.packets, observed));
	table_add(t, "%s", s && !l->services[s].named ? "named by no rule any more" : "");
}

int show_services(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_table struct table t = { .head = { ">NR", "SERVICE", "PORTS", ">PASSED", ">DROPPED",
						     l->observe ? ">WOULD DROP" : "", l->observe ? "" : NULL } };
	__cleanup_json json_object *doc = json_document();
	__cleanup_free struct dp_counts *c = NULL;
	int err = show_sum(o, l, &c, d);
	json_object *list;

	(void)argc, (void)argv;
	if (err)
		return exit_code_of(err);
	list = json_list(doc, "services");
	for (int s = 0; s < (int)MXDP_SERVICES; s++) {
		if (s && !*l->services[s].key)
			continue;
		json_service(list, l, c, s);
		add_service(&t, l, c, s, o->numeric);
	}
	if (o->json)
		json_print(doc, stdout);
	else
		table_print(&t, 0, stdout);
	return out_done(EXIT_DONE);
}
