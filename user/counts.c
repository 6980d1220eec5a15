// SPDX-License-Identifier: GPL-2.0-only
#include "counts.h"
#include "reason.h"

const char *family_name(enum family f)
{
	static const char *const name[] = { "ipv4", "ipv6", "link" };

	return name[f];
}

static enum family family_of(unsigned int index, unsigned int reason)
{
	const struct reason_info *r = reason_info(reason);

	return r && r->layer == MXDP_LAYER_LINK ? FAMILY_LINK : (enum family)index;
}

static void add(struct mxdp_count *to, const struct mxdp_count *c)
{
	to->packets += c->packets;
	to->bytes += c->bytes;
}

static void sum_reason(struct totals *t, const struct dp_counts *c, unsigned int service, int family,
		       unsigned int reason)
{
	const struct reason_info *info = reason_info(reason);
	bool drops = info && info->drops;

	for (unsigned int f = 0; f < 2; f++) {
		if (family != ANY && family_of(f, reason) != (enum family)family)
			continue;
		add(drops ? &t->dropped : &t->passed, &c->cell[service][f][0][reason]);
		add(drops ? &t->observed : &t->passed, &c->cell[service][f][1][reason]);
	}
}

static void sum_service(struct totals *t, const struct dp_counts *c, unsigned int service, int kind, int family,
			int reason)
{
	unsigned int first = reason == ANY ? 0 : (unsigned int)reason,
		     end = reason == ANY ? MXDP_REASON_SLOTS : first + 1;

	for (unsigned int r = first; r < end; r++) {
		if (service == 0 && kind != ANY && reason_has_port(r) != (kind == 0))
			continue;
		sum_reason(t, c, service, family, r);
	}
}

struct totals counts_sum(const struct dp_counts *c, int service, int family, int reason)
{
	struct totals t = { 0 };

	if (service == ANY) {
		for (unsigned int s = 0; s < MXDP_SERVICES; s++)
			sum_service(&t, c, s, ANY, family, reason);
		return t;
	}
	sum_service(&t, c, service == PORTLESS ? 0 : (unsigned int)service, service, family, reason);
	return t;
}

struct mxdp_count counts_received(const struct totals *t)
{
	struct mxdp_count all = t->passed;

	add(&all, &t->dropped);
	add(&all, &t->observed);
	return all;
}

void totals_add(struct totals *to, const struct totals *t)
{
	add(&to->passed, &t->passed);
	add(&to->dropped, &t->dropped);
	add(&to->observed, &t->observed);
}

bool totals_any(const struct totals *t)
{
	return t->passed.packets || t->dropped.packets || t->observed.packets;
}

static void json_count(json_object *o, const char *key, const struct mxdp_count *c)
{
	json_object *sub = json_sub(o, key);

	json_num(sub, "packets", c->packets);
	json_num(sub, "bytes", c->bytes);
}

void json_totals(json_object *o, const struct totals *t)
{
	json_count(o, "passed", &t->passed);
	json_count(o, "dropped", &t->dropped);
	json_count(o, "would_drop", &t->observed);
}

static void json_reason(json_object *list, const char *reason, enum family f, const char *verdict,
			const struct mxdp_count *c)
{
	json_object *item;

	if (!c->packets)
		return;
	item = json_item(list);
	json_str(item, "reason", reason);
	json_str(item, "family", family_name(f));
	json_str(item, "verdict", verdict);
	json_num(item, "packets", c->packets);
	json_num(item, "bytes", c->bytes);
}

void json_reasons(json_object *o, const struct dp_counts *c, int service)
{
	json_object *list = json_list(o, "reasons");

	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
		const struct reason_info *info = reason_info(r);

		for (int f = 0; info && f < FAMILIES; f++) {
			struct totals t = counts_sum(c, service, f, (int)r);

			json_reason(list, info->name, (enum family)f, "pass", &t.passed);
			json_reason(list, info->name, (enum family)f, "drop", &t.dropped);
			json_reason(list, info->name, (enum family)f, "would-drop", &t.observed);
		}
	}
}
