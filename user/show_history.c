// SPDX-License-Identifier: GPL-2.0-only
/* `show history`: policies that were in force for good. Read from the disk, whether mxdp is loaded or not. */
#include <errno.h>
#include "keep.h"
#include "show.h"
#include "tell.h"

static void json_policy(json_object *item, const struct kept *k, bool current)
{
	json_num(item, "number", k->id);
	json_time(item, "at", k->at);
	json_str(item, "who", k->who);
	json_str(item, "what", k->what);
	json_str(item, "comment", k->comment);
	json_yes(item, "last", current);
}

static void add_policy(struct table *t, const struct kept *k, bool current)
{
	char at[OUT_TEXT];

	table_add(t, "%s%u", current ? "*" : "", k->id);
	table_add(t, "%s", text_time(k->at, at));
	table_add(t, "%s", k->who ? k->who : "-");
	table_add(t, "%s", k->what ? k->what : "-");
	table_add(t, "%s", k->comment ? k->comment : "");
}

int show_history(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_table struct table t = { .head = { ">NR", "WHEN", "WHO", "WHAT", "COMMENT" } };
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "policies");
	__cleanup_keep struct keep k = { .dir = -1 };
	unsigned int current = 0;
	struct kept *v = NULL;
	size_t n = 0;
	int err = keep_open(&k, o->state, false, d);

	(void)l, (void)argc, (void)argv;
	if (!err)
		err = history_list(&k, &v, &n, &current, d);
	if (err && err != -ENOENT)
		return EXIT_KERNEL;
	for (size_t i = 0; i < n; i++) {
		json_policy(json_item(list), &v[i], v[i].id == current);
		add_policy(&t, &v[i], v[i].id == current);
	}
	if (o->json)
		json_print(doc, stdout);
	else if (n)
		table_print(&t, 0, stdout);
	else
		say(o, "no policy is kept in %s yet", o->state);
	history_free(v, n);
	return out_done(EXIT_DONE);
}
