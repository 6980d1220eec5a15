// SPDX-License-Identifier: GPL-2.0-only
/* What was read, in words: needs neither kernel nor files. */
#include <stdlib.h>
#include <string.h>
#include "look.h"

/* One "lo" or "lo-hi" of a key. Returns what is behind it, NULL when it is none. */
static const char *key_range(const char *s, unsigned long *lo, unsigned long *hi)
{
	char *end;

	*lo = strtoul(s, &end, 10);
	*hi = *lo;
	if (end == s)
		return NULL;
	if (*end == '-') {
		s = end + 1;
		*hi = strtoul(s, &end, 10);
		if (end == s)
			return NULL;
	}
	if (*lo < 1 || *hi > 65535 || *lo > *hi || (*end && *end != ','))
		return NULL;
	return *end ? end + 1 : end;
}

void look_map_ports(struct look *l)
{
	memset(l->service_of, 0, sizeof(l->service_of));
	for (unsigned int s = 1; s < MXDP_SERVICES; s++) {
		const char *at = l->services[s].key;
		unsigned long lo, hi;

		if (!l->services[s].named)
			continue;
		while (*at && (at = key_range(at, &lo, &hi)))
			memset(l->service_of + lo, (int)s, hi - lo + 1);
	}
}

const char *service_name(const struct look *l, int service, bool numeric)
{
	const char *key, *name;
	char *end;
	unsigned long port;

	if (service == PORTLESS)
		return "no port";
	key = l->services[service].key;
	if (!*key)
		return service == 0 ? "other" : "(free)";
	port = strtoul(key, &end, 10);
	if (numeric || *end || end == key || port > 65535)
		return key;
	name = port_name((uint16_t)port);
	return name ? name : key;
}

/* ---- interfaces ---- */

enum iface_state iface_state(const struct dp_iface *i)
{
	if (i->ifindex == 0)
		return IFACE_GONE;
	if (i->running_id && i->running_id != i->prog_id)
		return IFACE_FOREIGN;
	if (i->link_ifindex && i->link_ifindex != i->ifindex)
		return IFACE_OTHER;
	return i->link_ifindex && i->running_id ? IFACE_ATTACHED : IFACE_STRIPPED;
}

const char *iface_state_name(enum iface_state s)
{
	static const char *const name[] = { "attached", "not-attached", "gone", "replaced", "foreign", "detached" };

	return name[s];
}

const char *iface_state_text(enum iface_state s)
{
	static const char *const text[] = {
		[IFACE_MISSING] = "is named in the rules but not filtered; `mxdp apply` attaches it",
		[IFACE_GONE] = "went away, nothing is filtered there; `mxdp apply` attaches it once it is back, "
			       "`mxdp detach` forgets it",
		[IFACE_OTHER] = "is not filtered: another interface bears the name now; `mxdp apply` attaches it",
		[IFACE_FOREIGN] = "is not filtered: it runs an XDP program that is not mxdp's; take that off "
				  "(`ip link set NAME xdp off`), then `mxdp apply`",
		[IFACE_STRIPPED] = "is not filtered: the program was taken off, or the interface was made anew; "
				   "`mxdp apply` attaches it again",
	};

	return text[s];
}

/* ---- the file against what is in force ---- */

static bool list_same(const struct list *a, const struct list *b)
{
	if (a->n != b->n)
		return false;
	for (size_t i = 0; i < a->n; i++)
		if (prefix_cmp(&a->v[i], &b->v[i]))
			return false;
	return true;
}

/* A list sentence is the same when it declares the same list: what it holds is compared as a list. */
static bool says(const struct rules *r, const struct stmt *s)
{
	if (s->kind != STMT_LIST)
		return rules_find(r, s) != NULL;
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == STMT_LIST && strcmp(r->v[i].name, s->name) == 0)
			return true;
	return false;
}

static size_t count_missing(const struct rules *from, const struct rules *in)
{
	size_t n = 0;

	for (size_t i = 0; i < from->n; i++)
		n += !says(in, &from->v[i]);
	return n;
}

void config_compare(struct config_view *v, const struct rules *file, const struct rules *running)
{
	v->only_file = count_missing(file, running);
	v->only_running = count_missing(running, file);
	v->lists = 0;
	for (size_t i = 0; i < file->nlists; i++) {
		const struct list *other = rules_list(running, file->lists[i].name);

		v->lists += other && !list_same(&file->lists[i], other);
	}
	v->state = v->only_file || v->only_running || v->lists ? CONFIG_DIFFERS : CONFIG_SAME;
}

void config_view_free(struct config_view *v)
{
	free(v->why);
	v->why = NULL;
}

const char *config_state_name(enum config_state s)
{
	static const char *const name[] = { "same", "differs", "missing", "broken" };

	return name[s];
}

size_t list_count(const struct list *l, int family)
{
	size_t n = 0;

	if (family == 0)
		return l->n;
	for (size_t i = 0; i < l->n; i++)
		n += l->v[i].family == family;
	return n;
}
