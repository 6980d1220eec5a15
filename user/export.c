// SPDX-License-Identifier: GPL-2.0-only
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include "export.h"
#include "reason.h"

/* ---- the format ---- */

static void put_label(const char *s, FILE *to)
{
	for (; *s; s++) {
		if (*s == '\n')
			fputs("\\n", to);
		else if (*s == '\\' || *s == '"')
			fprintf(to, "\\%c", *s);
		else
			fputc(*s, to);
	}
}

static void family(FILE *to, const char *name, const char *type, const char *help)
{
	fprintf(to, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, type);
}

/* Labels as name, value pairs; NULL ends. */
static void put_name(FILE *to, const char *name, va_list ap)
{
	const char *label = va_arg(ap, const char *);

	fputs(name, to);
	for (int i = 0; label; i++, label = va_arg(ap, const char *)) {
		fprintf(to, "%s%s=\"", i ? "," : "{", label);
		put_label(va_arg(ap, const char *), to);
		fputc('"', to);
	}
}

static void __attribute__((sentinel)) sample(FILE *to, const char *name, uint64_t value, ...)
{
	bool labels;
	va_list ap;

	va_start(ap, value);
	labels = va_arg(ap, const char *) != NULL;
	va_end(ap);
	va_start(ap, value);
	put_name(to, name, ap);
	va_end(ap);
	fprintf(to, "%s %" PRIu64 "\n", labels ? "}" : "", value);
}

/* ---- one value ---- */

static void gauge(FILE *to, const char *name, const char *help, uint64_t value)
{
	family(to, name, "gauge", help);
	sample(to, name, value, NULL);
}

static void put_build(const struct export *e, FILE *to)
{
	family(to, "mxdp_build_info", "gauge", "The mxdp program that wrote this.");
	sample(to, "mxdp_build_info", 1, "version", e->version, "revision", e->revision, NULL);
	gauge(to, "mxdp_loaded", "Whether a policy lies in the kernel (1) or mxdp is not loaded at all (0).",
	      e->loaded);
}

static void put_ifaces(const struct export *e, FILE *to)
{
	family(to, "mxdp_interface_attached", "gauge",
	       "Whether the interface is filtered now, as the kernel says (1); 0: named in the rules, or attached "
	       "once, and not filtered.");
	for (size_t i = 0; i < e->nifaces; i++)
		sample(to, "mxdp_interface_attached", e->iface[i].view.state == IFACE_ATTACHED, "interface",
		       e->iface[i].view.name, NULL);
	if (!e->loaded)
		return;
	family(to, "mxdp_interface_info", "gauge", "How the interface is filtered.");
	for (size_t i = 0; i < e->nifaces; i++) {
		const struct dp_iface *k = e->iface[i].view.kernel;
		char id[16];

		if (!k)
			continue;
		snprintf(id, sizeof(id), "%" PRIu32, k->prog_id);
		sample(to, "mxdp_interface_info", 1, "interface", k->name, "driver", k->driver, "mode",
		       k->mode == DP_GENERIC ? "generic" : "native", "program_id", id, NULL);
	}
}

static void put_policy(const struct export *e, FILE *to)
{
	const struct look *l = e->look;

	gauge(to, "mxdp_policy_epoch", "Number of the policy in force; a change of the policy raises it.", l->epoch);
	gauge(to, "mxdp_policy_observe", "Whether the policy only observes (1) or enforces (0).", l->observe);
	gauge(to, "mxdp_policy_default_deny", "Whether TCP ports that no rule names are denied (1) or allowed (0).",
	      l->deny);
	gauge(to, "mxdp_policy_rules", "Sentences in force.", l->rules.n);
	gauge(to, "mxdp_memory_bytes", "Kernel memory of the maps.", e->memory);
}

static void put_bans(const struct export *e, FILE *to)
{
	family(to, "mxdp_bans", "gauge", "Bans that hold, by owner.");
	for (size_t i = 0; i < e->nbans; i++)
		sample(to, "mxdp_bans", e->bans[i].n, "source", e->bans[i].name, NULL);
}

static void put_lists(const struct export *e, FILE *to)
{
	const struct rules *r = &e->look->rules;
	bool begun = false;

	if (r->nlists == 0)
		return;
	family(to, "mxdp_list_entries", "gauge", "Prefixes of the list in force.");
	for (size_t i = 0; i < r->nlists; i++)
		sample(to, "mxdp_list_entries", r->lists[i].n, "list", r->lists[i].name, NULL);
	for (size_t i = 0; i < r->nlists; i++) {
		if (r->lists[i].read_at <= 0)
			continue;
		if (!begun)
			family(to, "mxdp_list_updated_timestamp_seconds", "gauge",
			       "When the file of the list was read.");
		begun = true;
		sample(to, "mxdp_list_updated_timestamp_seconds", (uint64_t)r->lists[i].read_at, "list",
		       r->lists[i].name, NULL);
	}
}

static void put_config(const struct export *e, FILE *to)
{
	const struct config_view *c = e->config;

	if (!c)
		return;
	gauge(to, "mxdp_config_valid", "Whether the rules file can be read and has no error.",
	      c->state == CONFIG_SAME || c->state == CONFIG_DIFFERS);
	if (!e->loaded || c->state == CONFIG_BROKEN || c->state == CONFIG_MISSING)
		return;
	gauge(to, "mxdp_config_unapplied_changes", "Sentences of the rules file that are not in force.", c->only_file);
	gauge(to, "mxdp_config_unsaved_changes", "Sentences in force that the rules file does not say.",
	      c->only_running);
	gauge(to, "mxdp_config_lists_differing", "Lists whose contents in force are not those of the rules file.",
	      c->lists);
}

static void put_services(const struct export *e, FILE *to)
{
	family(to, "mxdp_port_info", "gauge", "Names of the ports that rules name.");
	for (int s = 1; s < (int)MXDP_SERVICES; s++)
		if (e->look->services[s].named)
			sample(to, "mxdp_port_info", 1, "port", e->look->services[s].key, "name",
			       service_name(e->look, s, false), NULL);
}

/* ---- counters ---- */

enum kind { PASSED, DROPPED, OBSERVED };

struct series {
	const char *name;
	bool bytes;
	enum kind kind;
	const char *help;
};

static uint64_t value_of(const struct series *s, const struct totals *t)
{
	const struct mxdp_count *c = s->kind == PASSED ? &t->passed : s->kind == DROPPED ? &t->dropped : &t->observed;

	return s->bytes ? c->bytes : c->packets;
}

/* All packets have one number of bytes at least, so both series of a kind speak of the same label values. */
static bool was_counted(const struct series *s, const struct totals *t)
{
	const struct series packets = { .kind = s->kind };

	return value_of(&packets, t) != 0;
}

static void put_received(const struct export *e, const char *name, bool bytes, const char *help, FILE *to)
{
	family(to, name, "counter", help);
	for (size_t i = 0; i < e->nifaces; i++) {
		if (!e->iface[i].counts)
			continue;
		for (int f = 0; f < FAMILIES; f++) {
			struct totals t = counts_sum(e->iface[i].counts, ANY, f, ANY);
			struct mxdp_count all = counts_received(&t);

			sample(to, name, bytes ? all.bytes : all.packets, "interface", e->iface[i].view.name, "family",
			       family_name((enum family)f), NULL);
		}
	}
}

static void put_by_reason(const struct export *e, const struct series *s, FILE *to)
{
	family(to, s->name, "counter", s->help);
	for (size_t i = 0; i < e->nifaces; i++) {
		for (int f = 0; e->iface[i].counts && f < FAMILIES; f++) {
			for (int r = 0; r < MXDP_REASON_SLOTS; r++) {
				struct totals t = counts_sum(e->iface[i].counts, ANY, f, r);

				if (reason_info((unsigned int)r) && was_counted(s, &t))
					sample(to, s->name, value_of(s, &t), "interface", e->iface[i].view.name,
					       "family", family_name((enum family)f), "reason",
					       reason_info((unsigned int)r)->name, NULL);
			}
		}
	}
}

/*
 * Always there, so that a rate begins at 0 and not at the first packet: the drop that a service sees first. `denied`
 * where rules name the port, `closed` where none does.
 */
static bool always(const struct series *s, const struct look *l, int service, int reason)
{
	if (s->kind != DROPPED)
		return false;
	return service == 0 ? reason == MXDP_R_CLOSED : l->services[service].named && reason == MXDP_R_DENIED;
}

static void put_port_reasons(const struct series *s, const struct export *e, const struct export_iface *i, int service,
			     int f, FILE *to)
{
	const char *port = service == 0 ? "other" : e->look->services[service].key;

	for (int r = 0; r < MXDP_REASON_SLOTS; r++) {
		struct totals t = counts_sum(i->counts, service, f, r);
		const struct reason_info *info = reason_info((unsigned int)r);

		if (info && (was_counted(s, &t) || always(s, e->look, service, r)))
			sample(to, s->name, value_of(s, &t), "interface", i->view.name, "port", port, "family",
			       family_name((enum family)f), "reason", info->name, NULL);
	}
}

static void put_port_passed(const struct series *s, const struct export *e, const struct export_iface *i, int service,
			    int f, FILE *to)
{
	const char *port = service == 0 ? "other" : e->look->services[service].key;
	struct totals t = counts_sum(i->counts, service, f, ANY);

	if (was_counted(s, &t) || service == 0 || e->look->services[service].named)
		sample(to, s->name, value_of(s, &t), "interface", i->view.name, "port", port, "family",
		       family_name((enum family)f), NULL);
}

static void put_by_port(const struct export *e, const struct series *s, FILE *to)
{
	family(to, s->name, "counter", s->help);
	for (size_t i = 0; i < e->nifaces; i++) {
		for (int service = 0; e->iface[i].counts && service < (int)MXDP_SERVICES; service++) {
			if (service && !*e->look->services[service].key)
				continue;
			for (int f = 0; f < FAMILY_LINK; f++) {
				if (s->kind == PASSED)
					put_port_passed(s, e, &e->iface[i], service, f, to);
				else
					put_port_reasons(s, e, &e->iface[i], service, f, to);
			}
		}
	}
}

#define WHAT_PORT                                                                                                   \
	" by the service of their destination port; \"other\" is every port that no rule names. Packets without a " \
	"TCP port are not among them, but for blocked ones."

static const struct series by_reason[] = {
	{ "mxdp_passed_packets_total", false, PASSED, "Packets passed to the kernel, by reason." },
	{ "mxdp_passed_bytes_total", true, PASSED, "Bytes of the frames passed to the kernel, by reason." },
	{ "mxdp_dropped_packets_total", false, DROPPED, "Packets dropped, by reason." },
	{ "mxdp_dropped_bytes_total", true, DROPPED, "Bytes of the frames dropped, by reason." },
	{ "mxdp_observed_packets_total", false, OBSERVED,
	  "Packets passed because the policy only observed; enforcing would have dropped them for this reason." },
	{ "mxdp_observed_bytes_total", true, OBSERVED, "Bytes of the frames that only observing let pass." },
};

static const struct series by_port[] = {
	{ "mxdp_port_passed_packets_total", false, PASSED, "TCP packets passed," WHAT_PORT },
	{ "mxdp_port_passed_bytes_total", true, PASSED, "Bytes of the frames passed," WHAT_PORT },
	{ "mxdp_port_dropped_packets_total", false, DROPPED, "TCP packets dropped," WHAT_PORT },
	{ "mxdp_port_dropped_bytes_total", true, DROPPED, "Bytes of the frames dropped," WHAT_PORT },
	{ "mxdp_port_observed_packets_total", false, OBSERVED, "TCP packets that only observing let pass," WHAT_PORT },
	{ "mxdp_port_observed_bytes_total", true, OBSERVED,
	  "Bytes of the frames that only observing let pass," WHAT_PORT },
};

static void put_counters(const struct export *e, FILE *to)
{
	put_received(e, "mxdp_received_packets_total", false,
		     "Packets judged: passed, dropped and observed together. Family \"link\": judged before an IP "
		     "version was known.",
		     to);
	put_received(e, "mxdp_received_bytes_total", true, "Bytes of the frames judged.", to);
	for (size_t i = 0; i < sizeof(by_reason) / sizeof(*by_reason); i++)
		put_by_reason(e, &by_reason[i], to);
	for (size_t i = 0; i < sizeof(by_port) / sizeof(*by_port); i++)
		put_by_port(e, &by_port[i], to);
}

/* One series for each sentence, and none for a source. */
static void put_limits(const struct limit_use *u, FILE *to)
{
	bool begun = false;

	for (unsigned int i = 1; u && i <= u->n; i++) {
		__cleanup_free char *text = limit_name(u, i);
		struct limit_sum sum = limit_use_sum(u, i);

		if (!u->v[i]->limits.connections)
			continue;
		if (!begun) {
			family(to, "mxdp_limit_connections", "gauge", "Open connections that count under the limit of a sentence.");
			begun = true;
		}
		sample(to, "mxdp_limit_connections", sum.open, "sentence", text, NULL);
	}
	if (begun)
		gauge(to, "mxdp_limit_uncounted_connections", "Connections that the table of limits had no room for.", u->lost);
}

void export_prometheus(const struct export *e, FILE *to)
{
	put_build(e, to);
	put_ifaces(e, to);
	put_config(e, to);
	if (e->loaded) {
		put_policy(e, to);
		put_lists(e, to);
		if (e->nbans)
			put_bans(e, to);
		put_services(e, to);
		put_limits(e->limits, to);
		put_counters(e, to);
	}
	family(to, "mxdp_export_duration_seconds", "gauge", "How long the reading of these figures took.");
	fprintf(to, "mxdp_export_duration_seconds %.6f\n", e->seconds);
}

/* ---- JSON ---- */

static void json_services(json_object *o, const struct export *e, const struct dp_counts *c)
{
	json_object *list = json_list(o, "services");

	for (int s = 0; s <= PORTLESS; s++) {
		struct totals t = counts_sum(c, s, ANY, ANY);
		json_object *item;

		if (s && s != PORTLESS && !*e->look->services[s].key)
			continue;
		item = json_item(list);
		json_str(item, "name", service_name(e->look, s, false));
		json_str(item, "ports", s == 0 || s == PORTLESS ? NULL : e->look->services[s].key);
		json_totals(item, &t);
		json_reasons(item, c, s);
	}
}

static void json_iface(json_object *item, const struct export *e, const struct export_iface *i)
{
	const struct dp_iface *k = i->view.kernel;
	struct totals t;

	json_str(item, "name", i->view.name);
	json_str(item, "state", iface_state_name(i->view.state));
	json_yes(item, "attached", i->view.state == IFACE_ATTACHED);
	if (k) {
		json_str(item, "driver", *k->driver ? k->driver : NULL);
		json_str(item, "mode", k->mode == DP_GENERIC ? "generic" : "native");
		json_num(item, "program_id", k->prog_id);
	}
	if (!i->counts)
		return;
	t = counts_sum(i->counts, ANY, ANY, ANY);
	json_totals(item, &t);
	json_reasons(item, i->counts, ANY);
	json_services(item, e, i->counts);
}

static void json_config(json_object *doc, const struct config_view *c)
{
	json_object *o = json_sub(doc, "config");

	json_str(o, "state", config_state_name(c->state));
	json_num(o, "only_in_file", c->only_file);
	json_num(o, "only_in_force", c->only_running);
	json_num(o, "lists_differing", c->lists);
}

static void json_lists(json_object *doc, const struct rules *r)
{
	json_object *list = json_list(doc, "lists");

	for (size_t i = 0; i < r->nlists; i++) {
		json_object *item = json_item(list);

		json_str(item, "name", r->lists[i].name);
		json_num(item, "prefixes", r->lists[i].n);
		json_time(item, "read_at", r->lists[i].read_at);
	}
}

static void json_bans(json_object *doc, const struct export *e)
{
	json_object *list = json_list(doc, "bans");

	for (size_t i = 0; i < e->nbans; i++) {
		json_object *item = json_item(list);

		json_str(item, "source", e->bans[i].name);
		json_num(item, "entries", e->bans[i].n);
	}
}

void export_json(const struct export *e, FILE *to)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list;

	json_str(doc, "version", e->version);
	json_str(doc, "revision", e->revision);
	json_yes(doc, "loaded", e->loaded);
	if (e->config)
		json_config(doc, e->config);
	if (e->loaded) {
		json_num(doc, "epoch", e->look->epoch);
		json_yes(doc, "observe", e->look->observe);
		json_str(doc, "default", e->look->deny ? "deny" : "allow");
		json_num(doc, "rules", e->look->rules.n);
		json_num(doc, "memory_bytes", e->memory);
		json_bans(doc, e);
		json_lists(doc, &e->look->rules);
	}
	list = json_list(doc, "interfaces");
	for (size_t i = 0; i < e->nifaces; i++)
		json_iface(json_item(list), e, &e->iface[i]);
	json_print(doc, to);
}
