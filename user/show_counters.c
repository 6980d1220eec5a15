// SPDX-License-Identifier: GPL-2.0-only
/* `show counters [PORT|SERVICE]`: by interface: by service, by single port where a service is many, by reason. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "reason.h"
#include "show.h"

#define PORTS_SHOWN 20

/* What the word behind `show counters` asks for. */
struct narrow {
	int service;             /* ANY: everything */
	struct port_range ports; /* these of them, lo 0: all */
};

static bool is_single(const struct look *l, int service)
{
	const char *key = l->services[service].key;

	return *key && !key[strspn(key, "0123456789")];
}

static int narrow_to(struct narrow *n, const struct look *l, const char *word, struct diag *d)
{
	__cleanup_free char *why = NULL;
	int err;

	for (int s = 0; s < (int)MXDP_SERVICES; s++) {
		/* a port whose service no rule names any more goes on being counted, under another service */
		if ((s == 0 || l->services[s].named) && strcmp(l->services[s].key, word) == 0) {
			*n = (struct narrow){ .service = s };
			return 0;
		}
	}
	err = word_ports(word, strlen(word), &n->ports, &why);
	if (err) {
		diag_error(d, "%s", why ? why : "this is no port and no service");
		return err;
	}
	n->service = l->service_of[n->ports.lo];
	for (unsigned int p = n->ports.lo; p <= n->ports.hi; p++) {
		if (l->service_of[p] == n->service)
			continue;
		diag_error(d, "%s holds ports of several services; `mxdp show services` lists them", word);
		return -EINVAL;
	}
	return 0;
}

static bool port_asked(const struct look *l, const struct narrow *n, int service, unsigned int port)
{
	return l->service_of[port] == service && (!n->ports.lo || (port >= n->ports.lo && port <= n->ports.hi));
}

/* Does the whole service answer the question, or single ports of it only? */
static bool whole_service(const struct look *l, const struct narrow *n)
{
	return !n->ports.lo || is_single(l, n->service);
}

static bool skip_service(const struct look *l, const struct narrow *n, const struct dp_counts *c, int s)
{
	struct totals t;

	if (n->service != ANY)
		return s != n->service;
	if (s == PORTLESS || s == 0)
		return false;
	if (!*l->services[s].key)
		return true;
	t = counts_sum(c, s, ANY, ANY);
	return !l->services[s].named && !totals_any(&t);
}

/* ---- for people ---- */

static void add_count(struct table *t, const struct mxdp_count *c)
{
	char packets[OUT_TEXT], bytes[OUT_TEXT];

	table_add(t, "%s", text_number(c->packets, packets));
	table_add(t, "%s", text_bytes(c->bytes, bytes));
}

/* Has the table a column for what observing let pass? */
static bool has_observed(const struct table *t)
{
	return t->head[6] != NULL;
}

static void add_totals(struct table *t, const struct totals *sum)
{
	add_count(t, &sum->passed);
	add_count(t, &sum->dropped);
	if (has_observed(t))
		add_count(t, &sum->observed);
}

static void add_port(struct table *t, unsigned int port, const struct mxdp_port_count *pc)
{
	table_add(t, "  port");
	table_add(t, "%u", port);
	add_count(t, &pc->passed);
	add_count(t, &pc->dropped);
	if (has_observed(t))
		add_count(t, &pc->observed);
}

static void add_ports(struct table *t, const struct look *l, const struct narrow *n, const struct dp_counts *c, int s,
		      long limit)
{
	bool one_asked = n->ports.lo && n->ports.lo == n->ports.hi;
	long shown = 0, more = 0;

	for (unsigned int p = 1; p < 65536; p++) {
		const struct mxdp_port_count *pc = &c->port[p];

		if (!port_asked(l, n, s, p) || (!one_asked && !pc->passed.packets && !pc->dropped.packets && !pc->observed.packets))
			continue;
		if (limit && shown++ >= limit) {
			more++;
			continue;
		}
		add_port(t, p, pc);
	}
	if (more) {
		table_add(t, "  and %ld more", more);
		for (int i = 0; i < (has_observed(t) ? 7 : 5); i++)
			table_add(t, "%s", "");
	}
}

static void print_services(const struct options *o, const struct look *l, const struct narrow *n,
			   const struct dp_counts *c)
{
	struct totals all = counts_sum(c, ANY, ANY, ANY);
	bool observed = l->observe || all.observed.packets;
	__cleanup_table struct table t = { .head = { "SERVICE", "PORTS", ">PASSED", ">BYTES", ">DROPPED", ">BYTES",
						     observed ? ">WOULD DROP" : NULL, observed ? ">BYTES" : NULL } };

	for (int s = 0; s <= PORTLESS; s++) {
		struct totals sum = counts_sum(c, s, ANY, ANY);

		if (skip_service(l, n, c, s))
			continue;
		if (s == PORTLESS || whole_service(l, n) || n->service == ANY) {
			table_add(&t, "%s", service_name(l, s, o->numeric));
			table_add(&t, "%s", s == 0 || s == PORTLESS ? "-" : l->services[s].key);
			add_totals(&t, &sum);
		}
		if (s != PORTLESS && n->ports.lo && !whole_service(l, n))
			add_ports(&t, l, n, c, s, o->top);
		else if (s && s != PORTLESS && !is_single(l, s))
			add_ports(&t, l, n, c, s, o->top ? o->top : n->service == ANY ? PORTS_SHOWN : 0);
	}
	if (n->service == ANY) {
		table_add(&t, "total");
		table_add(&t, "-");
		add_totals(&t, &all);
	}
	table_print(&t, 2, stdout);
}

static void print_reasons(const struct narrow *n, const struct dp_counts *c)
{
	__cleanup_table struct table t = { .head = { "REASON", "VERDICT", ">PACKETS", ">BYTES", "WHY" } };

	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
		struct totals sum = counts_sum(c, n->service, ANY, (int)r);
		const struct reason_info *info = reason_info(r);
		const struct mxdp_count *count[] = { &sum.passed, &sum.dropped, &sum.observed };
		static const char *const verdict[] = { "pass", "drop", "would drop" };

		for (int i = 0; info && i < 3; i++) {
			if (!count[i]->packets)
				continue;
			table_add(&t, "%s", info->name);
			table_add(&t, "%s", verdict[i]);
			add_count(&t, count[i]);
			table_add(&t, "%s", info->text);
		}
	}
	putchar('\n');
	if (t.n)
		table_print(&t, 2, stdout);
	else
		printf("  nothing was counted yet\n");
}

static void print_iface(const struct options *o, const struct look *l, const struct narrow *n, const struct dp_iface *i,
			const struct dp_counts *c)
{
	put_escaped(i->name, stdout);
	if (iface_state(i) != IFACE_ATTACHED)
		printf(" (NOT FILTERED NOW: %s)", iface_state_name(iface_state(i)));
	putchar('\n');
	print_services(o, l, n, c);
	if (n->service == ANY || whole_service(l, n))
		print_reasons(n, c);
	else if (n->service == 0)
		printf("\n  no rule names %s; reasons are counted for all such ports together: `mxdp show counters "
		       "other`\n",
		       n->ports.lo == n->ports.hi ? "this port" : "these ports");
	else
		printf("\n  reasons are counted for the service: `mxdp show counters %s`\n",
		       l->services[n->service].key);
}

/* ---- for programs ---- */

static void json_ports(json_object *o, const struct look *l, const struct narrow *n, const struct dp_counts *c, int s)
{
	json_object *list = json_list(o, "ports_counted");

	for (unsigned int p = 1; p < 65536; p++) {
		const struct mxdp_port_count *pc = &c->port[p];
		struct totals t = { .passed = pc->passed, .dropped = pc->dropped, .observed = pc->observed };
		json_object *item;

		if (!port_asked(l, n, s, p) || !totals_any(&t))
			continue;
		item = json_item(list);
		json_num(item, "port", p);
		json_totals(item, &t);
	}
}

static void json_iface(json_object *item, const struct look *l, const struct narrow *n, const struct dp_iface *i,
		       const struct dp_counts *c)
{
	struct totals all = counts_sum(c, ANY, ANY, ANY);
	json_object *list;

	json_str(item, "name", i->name);
	json_str(item, "state", iface_state_name(iface_state(i)));
	if (n->service == ANY) {
		json_totals(item, &all);
		json_reasons(item, c, ANY);
	}
	list = json_list(item, "services");
	for (int s = 0; s <= PORTLESS; s++) {
		struct totals sum = counts_sum(c, s, ANY, ANY);
		json_object *service;

		if (skip_service(l, n, c, s))
			continue;
		service = json_item(list);
		json_str(service, "name", service_name(l, s, false));
		json_str(service, "ports", s == 0 || s == PORTLESS ? NULL : l->services[s].key);
		json_totals(service, &sum);
		json_reasons(service, c, s);
		if (s != PORTLESS)
			json_ports(service, l, n, c, s);
	}
}

int show_counters(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_json json_object *doc = json_document();
	__cleanup_free struct dp_counts *c = NULL;
	struct narrow n = { .service = ANY };
	json_object *list;
	bool first = true;

	if (argc > 0 && narrow_to(&n, l, argv[0], d))
		return EXIT_USAGE;
	json_num(doc, "epoch", l->epoch);
	json_yes(doc, "observe", l->observe);
	list = json_list(doc, "interfaces");
	for (size_t i = 0; i < l->nifaces; i++) {
		const struct dp_iface *k = &l->ifaces[i];
		int err;

		if (!look_wants(o, k->name))
			continue;
		err = look_counts(l, k->name, &c, d);
		if (err)
			return exit_code_of(err);
		if (o->json) {
			json_iface(json_item(list), l, &n, k, c);
			continue;
		}
		if (!first)
			putchar('\n');
		first = false;
		print_iface(o, l, &n, k, c);
	}
	if (o->json)
		json_print(doc, stdout);
	else if (first)
		printf("no interface is attached: nothing is counted\n");
	return out_done(EXIT_DONE);
}
