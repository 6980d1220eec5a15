// SPDX-License-Identifier: GPL-2.0-only
/* `show THING`: the table of what can be shown. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "show.h"
#include "tell.h"

static const struct thing {
	const char *name;
	SHOW((*show));
	int max_words; /* behind the name */
	const char *help;
} things[] = {
	{ "rules", show_rules, 0, "the sentences in force, with their numbers, and where they stand" },
	{ "services", show_services, 0, "ports that rules name, and what passed and was dropped there" },
	{ "lists", show_lists, 1,
	  "named lists of prefixes, how long they are, where they came from; `show lists NAME` prints one" },
	{ "bans", show_bans, 2, "who is banned, how long yet and by whom; `show bans source TAG`, --top N" },
	{ "counters", show_counters, 1,
	  "packets and bytes per interface, service and reason; `show counters 25` narrows" },
	{ "drops", show_drops, 0, "which ports are being knocked on, and why packets were dropped; --top N" },
	{ "flows", show_flows, 0, "open connections of the services that rules name" },
	{ "limits", show_limits, 0, "limits in force, and the sources with the most connections under them; --top N" },
	{ "history", show_history, 0, "policies that were in force for good; `mxdp rollback NR` goes back to one" },
};

#define N_THINGS (sizeof(things) / sizeof(*things))

static int list_things(const struct options *o)
{
	__cleanup_table struct table t = { .head = { "SHOW", "WHAT" } };
	__cleanup_json json_object *doc = NULL;
	json_object *list;

	if (o->json) {
		doc = json_document();
		list = json_list(doc, "things");
		for (size_t i = 0; i < N_THINGS; i++) {
			json_object *item = json_item(list);

			json_str(item, "name", things[i].name);
			json_str(item, "help", things[i].help);
		}
		json_print(doc, stdout);
		return out_done(EXIT_DONE);
	}
	for (size_t i = 0; i < N_THINGS; i++) {
		table_add(&t, "mxdp show %s", things[i].name);
		table_add(&t, "%s", things[i].help);
	}
	table_print(&t, 0, stdout);
	return out_done(EXIT_DONE);
}

/* The whole name, or a beginning of it: `show rule`, `show count`. */
static const struct thing *thing_by_name(const char *word)
{
	const struct thing *found = NULL;

	for (size_t i = 0; i < N_THINGS; i++) {
		if (strncmp(things[i].name, word, strlen(word)))
			continue;
		if (found)
			return NULL;
		found = &things[i];
	}
	return found;
}

static void unknown_thing(struct diag *d, const char *word)
{
	const char *names[N_THINGS], *meant;

	for (size_t i = 0; i < N_THINGS; i++)
		names[i] = things[i].name;
	meant = nearest(word, names, N_THINGS);
	if (meant)
		usage_error(d, "show", "there is no \"%s\" to show; did you mean \"%s\"?", word, meant);
	else
		usage_error(d, "show", "there is no \"%s\" to show; `mxdp show` lists what there is", word);
}

int verb_show(const struct options *o, int argc, char **argv)
{
	__cleanup_look struct look l = { 0 };
	const struct thing *thing;
	struct diag d = { 0 };
	int err;

	if (argc < 2)
		return list_things(o);
	thing = *argv[1] ? thing_by_name(argv[1]) : NULL;
	if (!thing) {
		unknown_thing(&d, argv[1]);
		return verb_end(o, &d, EXIT_USAGE);
	}
	if (argc - 2 > thing->max_words) {
		usage_error(&d, "show", "`show %s` does not take \"%s\"", thing->name, argv[2 + thing->max_words]);
		return verb_end(o, &d, EXIT_USAGE);
	}
	/* what lies on the disk is there without a filter too */
	err = thing->show == show_history ? 0 : look_must_open(&l, o, &d);
	if (err == 0 && l.dp)
		err = look_check_iface(&l, o, &d);
	if (err)
		return verb_end(o, &d, err == -ENOENT ? EXIT_KERNEL : exit_code_of(err));
	return verb_end(o, &d, thing->show(o, &l, argc - 2, argv + 2, &d));
}

int show_sum(const struct options *o, const struct look *l, struct dp_counts **sum, struct diag *d)
{
	__cleanup_free struct dp_counts *one = NULL;

	*sum = xcalloc(1, sizeof(**sum));
	for (size_t i = 0; i < l->nifaces; i++) {
		uint64_t *to = (uint64_t *)*sum, *from;
		int err;

		if (!look_wants(o, l->ifaces[i].name))
			continue;
		err = look_counts(l, l->ifaces[i].name, &one, d);
		if (err)
			return err;
		from = (uint64_t *)one;
		for (size_t n = 0; n < sizeof(**sum) / sizeof(uint64_t); n++)
			to[n] += from[n];
	}
	return 0;
}
