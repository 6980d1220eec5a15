// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "look.h"
#include "tell.h"

static void note_flags(struct look *l)
{
	l->deny = true;
	for (size_t i = 0; i < l->rules.n; i++) {
		if (l->rules.v[i].kind == STMT_OBSERVE)
			l->observe = true;
		if (l->rules.v[i].kind == STMT_DEFAULT)
			l->deny = l->rules.v[i].deny;
	}
}

int look_open(struct look *l, const struct options *o, struct diag *d)
{
	int err;

	*l = (struct look){ 0 };
	err = dp_open(&l->dp, o->bpffs, DP_LOOK, d);
	if (err)
		return err;
	err = running_rules(o, l->dp, &l->rules, d);
	if (err)
		return err == -ENODATA ? -ENOENT : err;
	err = dp_services(l->dp, l->services, d);
	if (err)
		return err;
	err = dp_ifaces(l->dp, &l->ifaces, &l->nifaces, d);
	if (err)
		return err;
	l->epoch = dp_epoch(l->dp);
	err = dp_port_services(l->dp, l->service_of, d);
	if (err)
		return err;
	note_flags(l);
	return 0;
}

int look_must_open(struct look *l, const struct options *o, struct diag *d)
{
	int err = look_open(l, o, d);

	if (err == -ENOENT && d->errors == 0) {
		__cleanup_free char *begin = how_to_begin(o->config);

		diag_error(d, "mxdp is not loaded, nothing is filtered; %s", begin);
	}
	return err;
}

int look_end(const struct options *o, struct diag *d, int code)
{
	struct options said = *o;

	code = out_done(code);
	said.json = false;
	return verb_end(&said, d, code);
}

void look_close(struct look *l)
{
	rules_free(&l->rules);
	free(l->ifaces);
	l->ifaces = NULL;
	if (l->dp)
		dp_close(l->dp);
	l->dp = NULL;
}

/* ---- interfaces ---- */

static bool is_listed(const struct iface_view *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, name) == 0)
			return true;
	return false;
}

struct iface_view *look_ifaces(const struct look *l, size_t *n)
{
	struct iface_view *v = xcalloc(l->nifaces + l->rules.n, sizeof(*v));

	*n = 0;
	for (size_t i = 0; i < l->nifaces; i++) {
		const struct dp_iface *k = &l->ifaces[i];

		v[(*n)++] = (struct iface_view){ .name = k->name, .kernel = k, .state = iface_state(k) };
	}
	for (size_t i = 0; i < l->rules.n; i++) {
		const struct stmt *s = &l->rules.v[i];

		if (s->kind == STMT_INTERFACE && !is_listed(v, *n, s->name))
			v[(*n)++] = (struct iface_view){ .name = s->name, .state = IFACE_MISSING };
	}
	return v;
}

bool look_wants(const struct options *o, const char *ifname)
{
	return !o->iface || strcmp(o->iface, ifname) == 0;
}

int look_check_iface(const struct look *l, const struct options *o, struct diag *d)
{
	for (size_t i = 0; i < l->nifaces; i++)
		if (look_wants(o, l->ifaces[i].name))
			return 0;
	if (!o->iface)
		return 0;
	for (size_t i = 0; i < l->nifaces; i++) {
		if (strcmp(l->ifaces[i].now, o->iface))
			continue;
		diag_error(d, "%s was renamed, and mxdp knows it as %s; say `-i %s`, or `mxdp attach %s` to take the new "
			      "name over", o->iface, l->ifaces[i].name, l->ifaces[i].name, o->iface);
		return -ENODEV;
	}
	diag_error(d, "mxdp is not attached to %s; `mxdp status` lists the interfaces that are filtered", o->iface);
	return -ENODEV;
}

int look_counts(const struct look *l, const char *ifname, struct dp_counts **c, struct diag *d)
{
	if (!*c)
		*c = xmalloc(sizeof(**c));
	return dp_counts(l->dp, ifname, *c, d);
}

/* ---- the file against what is in force ---- */

void config_look(struct config_view *v, const char *path, const struct rules *running, struct rules *file)
{
	struct diag d = { 0 };
	int err;

	*v = (struct config_view){ .past.in_force = running };
	err = rules_load_over(file, path, &v->past, &d);
	v->past.in_force = NULL;
	if (err == 0) {
		config_compare(v, file, running);
	} else {
		v->state = err == -ENOENT ? CONFIG_MISSING : CONFIG_BROKEN;
		for (size_t i = 0; i < d.n && !v->why; i++)
			if (d.msg[i].level == DIAG_ERROR)
				v->why = xstrdup(d.msg[i].text);
	}
	diag_free(&d);
}
