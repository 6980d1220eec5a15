// SPDX-License-Identifier: GPL-2.0-only
/* What was read, in words: needs neither kernel nor files. */
#include <stdlib.h>
#include <string.h>
#include "look.h"

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
	if (*i->now && (i->ifindex == 0 || i->ifindex == i->link_ifindex))
		return IFACE_ATTACHED;
	if (i->ifindex == 0)
		return IFACE_GONE;
	if (i->link_ifindex && i->link_ifindex != i->ifindex)
		return IFACE_OTHER;
	return i->running_id ? IFACE_FOREIGN : IFACE_STRIPPED;
}

bool iface_renamed(const struct dp_iface *i)
{
	return *i->now && strcmp(i->now, i->name) != 0;
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
		[IFACE_OTHER] = "is not filtered: another interface has this name now; `mxdp apply` attaches it",
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

static bool equal_text(const char *a, const char *b)
{
	return a == b || (a && b && strcmp(a, b) == 0);
}

bool same_sentence(const struct stmt *a, const struct stmt *b)
{
	if (a->kind != STMT_LIST || b->kind != STMT_LIST)
		return stmt_same(a, b);
	return strcmp(a->name, b->name) == 0 && equal_text(a->path, b->path) && a->min == b->min && a->max == b->max &&
	       guard_same(&a->guard, &b->guard);
}

static bool says(const struct rules *r, const struct stmt *s)
{
	for (size_t i = 0; i < r->n; i++)
		if (same_sentence(&r->v[i], s))
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
	lists_past_free(&v->past);
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
