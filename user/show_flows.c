// SPDX-License-Identifier: GPL-2.0-only
/* `show flows`: the connections of the services that rules name, from the kernel's own tables: it is the tracker. */
#include <inttypes.h>
#include <stdlib.h>
#include "flows.h"
#include "show.h"

static char *end_text(const struct prefix *host, uint16_t port)
{
	char buf[PREFIX_TEXT];

	return xasprintf(host->family == 6 ? "[%s]:%u" : "%s:%u", prefix_text(host, buf), port);
}

static void json_span(json_object *o, const char *key, int64_t ms)
{
	if (ms < 0)
		json_str(o, key, NULL);
	else
		json_num(o, key, (uint64_t)ms / 1000);
}

static void flows_json(const struct look *l, const struct flow *v, size_t n)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "flows");
	char buf[PREFIX_TEXT];

	for (size_t i = 0; i < n; i++) {
		const struct flow *f = &v[i];
		json_object *item = json_item(list);

		json_str(item, "service", service_name(l, l->service_of[f->lport], false));
		json_str(item, "state", flow_state(f->state));
		json_str(item, "local", prefix_text(&f->local, buf));
		json_num(item, "local_port", f->lport);
		json_str(item, "peer", prefix_text(&f->peer, buf));
		json_num(item, "peer_port", f->pport);
		json_span(item, "age_seconds", f->age_exact ? f->age_ms : -1);
		json_span(item, "age_at_least_seconds", f->age_ms);
		json_span(item, "idle_seconds", f->idle_ms);
	}
	json_print(doc, stdout);
}

static void add_flow(struct table *t, const struct look *l, const struct flow *f, bool numeric)
{
	__cleanup_free char *local = end_text(&f->local, f->lport), *peer = end_text(&f->peer, f->pport);
	char span[OUT_TEXT];

	table_add(t, "%s", service_name(l, l->service_of[f->lport], numeric));
	table_add(t, "%s", flow_state(f->state));
	table_add(t, "%s", local);
	table_add(t, "%s", peer);
	/* more than nothing is not worth saying */
	if (f->age_ms < 0 || (!f->age_exact && f->age_ms < 1000))
		table_add(t, "-");
	else
		table_add(t, "%s%s", f->age_exact ? "" : ">", text_span(f->age_ms / 1000, span));
	table_add(t, "%s", f->idle_ms < 0 ? "-" : text_span(f->idle_ms / 1000, span));
}

int show_flows(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_table struct table t = { .head = { "SERVICE", "STATE", "LOCAL", "PEER", ">AGE", ">IDLE" } };
	__cleanup_free struct flow *v = NULL;
	size_t n;
	int err = flows_read(&v, &n, l->service_of, d);

	(void)argc, (void)argv;
	if (err)
		return exit_code_of(err);
	if (o->json) {
		flows_json(l, v, n);
		return out_done(EXIT_DONE);
	}
	for (size_t i = 0; i < n; i++)
		add_flow(&t, l, &v[i], o->numeric);
	if (n)
		table_print(&t, 0, stdout);
	else
		printf("no connection to a service that rules name\n");
	return out_done(EXIT_DONE);
}
