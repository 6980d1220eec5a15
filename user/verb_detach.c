// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include "change.h"
#include "out.h"
#include "tell.h"

static void say_how_back(const struct options *o)
{
	__cleanup_free char *begin = how_to_begin(o->config);

	say(o, "nothing is filtered now; the rules files are as they were, %s", begin);
}

/* Reads no file before it is done, so that it works whatever state the files are in. */
static int detach_all(const struct options *o, struct diag *d)
{
	__cleanup_dp struct datapath *dp = NULL;
	__cleanup_free struct dp_iface *v = NULL;
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "detached");
	size_t n = 0;
	int err = dp_open(&dp, o->bpffs, o->dry_run ? DP_LOOK : DP_TAKE, d);

	if (err)
		dp = NULL;
	if (err && err != -ENOENT)
		return EXIT_KERNEL;
	if (!err && (dp_ifaces(dp, &v, &n, d) || (!o->dry_run && dp_detach_all(dp, d))))
		return EXIT_KERNEL;
	for (size_t i = 0; i < n; i++) {
		json_str(json_item(list), "name", v[i].name);
		say(o, "%s %s", o->dry_run ? "would detach from" : "detached from", v[i].name);
	}
	if (o->json)
		json_print(doc, stdout);
	else if (err)
		say(o, "already so: mxdp is attached nowhere");
	else if (!o->dry_run)
		say_how_back(o);
	return EXIT_DONE;
}

/* The name by which mxdp knows the interface, which is an older one when it was renamed; NULL: not attached. */
static const char *known_as(const struct change *c, const char *name)
{
	for (size_t i = 0; i < c->was.nifaces; i++)
		if (!strcmp(c->was.ifaces[i].now, name))
			return c->was.ifaces[i].name;
	for (size_t i = 0; i < c->was.nifaces; i++)
		if (!strcmp(c->was.ifaces[i].name, name))
			return c->was.ifaces[i].name;
	return NULL;
}

static int detach_one(const struct options *o, const char *name, struct diag *d)
{
	__cleanup_change struct change c = { .detach = name };
	__cleanup_free char *text = xasprintf("interface %s", name), *done = xasprintf("detached from %s", name);
	const struct stmt s = { .kind = STMT_INTERFACE, .name = (char *)name };
	struct outcome x = { .taken_back = true };
	struct options here = *o;
	struct stmt older = s;
	const char *on;
	int code;

	/* with no file at all there is no sentence to take back */
	here.runtime |= !file_exists(o->config);
	code = change_begin(&c, &here, d, false);
	if (code)
		return code;
	on = known_as(&c, name);
	older.name = (char *)on;
	if (change_unsay(&c, &s, UNSAY_BY_NAME) ||
	    (on && strcmp(on, name) && change_unsay(&c, &older, UNSAY_BY_NAME)))
		return EXIT_USAGE;
	if (!on && !c.file_edited && !c.running_edited && !if_nametoindex(name)) {
		diag_error(d, "there is no interface %s, and no sentence names it; `mxdp status` lists what is filtered", name);
		return EXIT_USAGE;
	}
	c.detach = on;
	code = change_commit(&c);
	if (code)
		return code;
	x.was_in_force = !on && !c.running_edited;
	x.was_written = !c.file_edited;
	tell_change(&c, &x, text, done);
	return EXIT_DONE;
}

/* Is the filter to stay although its unit is stopped? What cannot be read is no reason to leave it on. */
static bool stays(const struct options *o)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup_dp struct datapath *dp = NULL;
	struct diag quiet = { 0 };
	bool keep = false;

	if (dp_open(&dp, o->bpffs, DP_LOOK, &quiet))
		dp = NULL;
	else if (!running_rules(o, dp, &r, &quiet))
		for (size_t i = 0; i < r.n; i++)
			keep |= r.v[i].kind == STMT_ON_STOP && r.v[i].keep;
	diag_free(&quiet);
	return keep;
}

/* systemd stops the unit of a name that goes. The device may live on under another one, and is to stay filtered. */
static bool renamed(const struct options *o, const char *name, char now[IFNAMSIZ])
{
	__cleanup_free struct dp_iface *v = NULL;
	__cleanup_dp struct datapath *dp = NULL;
	struct diag quiet = { 0 };
	size_t n = 0;

	if (dp_open(&dp, o->bpffs, DP_LOOK, &quiet))
		dp = NULL;
	else if (dp_ifaces(dp, &v, &n, &quiet))
		n = 0;
	diag_free(&quiet);
	for (size_t i = 0; i < n; i++) {
		/* the name may be another device's by now */
		if (strcmp(v[i].name, name) || !*v[i].now || !strcmp(v[i].now, name))
			continue;
		memcpy(now, v[i].now, IFNAMSIZ);
		return true;
	}
	return false;
}

int verb_detach(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };
	char now[IFNAMSIZ];

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, "detach", "too many words: \"%s\"", argv[2]));
	if (o->on_stop && stays(o)) {
		say(o, "the filter stays: the rules say `on-stop keep`; `mxdp detach` takes it off");
		return verb_end(o, &d, EXIT_DONE);
	}
	if (o->on_stop && argc == 2 && renamed(o, argv[1], now)) {
		say(o, "the filter stays: %s is called %s now; `mxdp attach %s` goes on under that name, `mxdp detach %s` takes it off",
		    argv[1], now, now, now);
		return verb_end(o, &d, EXIT_DONE);
	}
	if (argc == 1)
		return verb_end(o, &d, detach_all(o, &d));
	if (o->all)
		return verb_end(o, &d, usage_error(&d, "detach", "--all and \"%s\" contradict each other", argv[1]));
	return verb_end(o, &d, detach_one(o, argv[1], &d));
}
