// SPDX-License-Identifier: GPL-2.0-only
/* `show drops`: which ports are being knocked on, from the counters of all 65,536 ports; and why packets are dropped. */
#include <stdlib.h>
#include "reason.h"
#include "show.h"

#define TOP 20

struct knock {
	uint16_t port;
	const struct mxdp_port_count *count;
};

/* What was dropped, and what would have been. */
static uint64_t knocks(const struct mxdp_port_count *pc)
{
	return pc->dropped.packets + pc->observed.packets;
}

static int more_dropped(const void *a, const void *b)
{
	const struct knock *x = a, *y = b;
	uint64_t dx = knocks(x->count), dy = knocks(y->count);

	return dx != dy ? (dx < dy ? 1 : -1) : (int)x->port - (int)y->port;
}

/* Ports that were knocked on in vain, the most knocked first; those that only observing let in too. Malloc'd. */
static struct knock *knocked_on(const struct dp_counts *c, size_t *n)
{
	struct knock *v = xcalloc(65536, sizeof(*v));

	*n = 0;
	for (unsigned int p = 0; p < 65536; p++)
		if (knocks(&c->port[p]))
			v[(*n)++] = (struct knock){ .port = (uint16_t)p, .count = &c->port[p] };
	qsort(v, *n, sizeof(*v), more_dropped);
	return v;
}

static void add_count(struct table *t, const struct mxdp_count *c)
{
	char packets[OUT_TEXT], bytes[OUT_TEXT];

	table_add(t, "%s", text_number(c->packets, packets));
	table_add(t, "%s", text_bytes(c->bytes, bytes));
}

static void print_ports(const struct options *o, const struct look *l, const struct knock *v, size_t n, size_t top)
{
	__cleanup_table struct table t = { .head = { ">PORT", "NAME", "SERVICE", ">DROPPED", ">BYTES", ">PASSED" } };
	char number[OUT_TEXT];
	bool observed = false;

	for (size_t i = 0; i < n && i < top; i++)
		observed |= v[i].count->observed.packets != 0;
	if (observed)
		t.head[6] = ">WOULD DROP";
	for (size_t i = 0; i < n && i < top; i++) {
		const char *name = o->numeric ? NULL : port_name(v[i].port);

		table_add(&t, "%u", v[i].port);
		table_add(&t, "%s", name ? name : "-");
		table_add(&t, "%s", service_name(l, l->service_of[v[i].port], o->numeric));
		add_count(&t, &v[i].count->dropped);
		table_add(&t, "%s", text_number(v[i].count->passed.packets, number));
		if (observed)
			table_add(&t, "%s", text_number(v[i].count->observed.packets, number));
	}
	if (!n) {
		printf("nothing was dropped at any port%s\n", l->observe ? ", nor would have been: mxdp observes" : "");
		return;
	}
	table_print(&t, 0, stdout);
	if (n > top)
		printf("and %s more ports; `mxdp show drops --top %zu` shows them all\n", text_number(n - top, number),
		       n);
}

static void print_reasons(const struct look *l, const struct dp_counts *c)
{
	__cleanup_table struct table t = { .head = { "REASON", ">DROPPED", ">BYTES", l->observe ? ">WOULD DROP" : "WHY",
						     l->observe ? "WHY" : NULL } };
	char number[OUT_TEXT];

	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
		struct totals sum = counts_sum(c, ANY, ANY, (int)r);
		const struct reason_info *info = reason_info(r);

		if (!info || !info->drops || !totals_any(&sum))
			continue;
		table_add(&t, "%s", info->name);
		add_count(&t, &sum.dropped);
		if (l->observe)
			table_add(&t, "%s", text_number(sum.observed.packets, number));
		table_add(&t, "%s", info->text);
	}
	if (!t.n)
		return;
	putchar('\n');
	table_print(&t, 0, stdout);
}

static void drops_json(const struct options *o, const struct look *l, const struct dp_counts *c, const struct knock *v,
		       size_t n, size_t top)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list;

	json_str(doc, "interface", o->iface);
	json_yes(doc, "observe", l->observe);
	json_num(doc, "ports_with_drops", n); /* or with what would have been dropped */
	list = json_list(doc, "ports");
	for (size_t i = 0; i < n && i < top; i++) {
		json_object *item = json_item(list);

		json_num(item, "port", v[i].port);
		json_str(item, "name", port_name(v[i].port));
		json_str(item, "service", service_name(l, l->service_of[v[i].port], false));
		json_totals(item, &(struct totals){ .passed = v[i].count->passed, .dropped = v[i].count->dropped,
						    .observed = v[i].count->observed });
	}
	list = json_list(doc, "reasons");
	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
		struct totals sum = counts_sum(c, ANY, ANY, (int)r);
		const struct reason_info *info = reason_info(r);
		json_object *item;

		if (!info || !info->drops || !totals_any(&sum))
			continue;
		item = json_item(list);
		json_str(item, "reason", info->name);
		json_str(item, "text", info->text);
		json_totals(item, &sum);
	}
	json_print(doc, stdout);
}

int show_drops(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	size_t n, top = o->top > 0 ? (size_t)o->top : TOP;
	__cleanup_free struct dp_counts *c = NULL;
	__cleanup_free struct knock *v = NULL;
	int err = show_sum(o, l, &c, d);

	(void)argc, (void)argv;
	if (err)
		return exit_code_of(err);
	v = knocked_on(c, &n);
	if (o->json) {
		drops_json(o, l, c, v, n, top);
	} else {
		print_ports(o, l, v, n, top);
		print_reasons(l, c);
	}
	return out_done(EXIT_DONE);
}
