// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include "change.h"
#include "tell.h"
#include "trial.h"

static bool filtering_on(const struct standing *was, const char *name)
{
	for (size_t i = 0; i < was->nifaces; i++)
		if (!strcmp(was->ifaces[i].name, name))
			return was->ifaces[i].link_ifindex && was->ifaces[i].running_id == was->ifaces[i].prog_id;
	return false;
}

/* An interface that was renamed goes on under its new name, and the sentence with the name it had gives way. */
static int take_over(struct change *c, const char *name)
{
	for (size_t i = 0; i < c->was.nifaces; i++) {
		const struct dp_iface *k = &c->was.ifaces[i];
		const struct stmt old = { .kind = STMT_INTERFACE, .name = (char *)k->name };

		if (!strcmp(k->now, name) && strcmp(k->name, name) && !k->ifindex)
			return change_unsay(c, &old, UNSAY_BY_NAME);
	}
	return 0;
}

int attach_sentence(const struct options *o, const struct stmt *s, const struct plan *asked, struct diag *d)
{
	static const char *const mode[] = { [DP_NATIVE] = "native", [DP_GENERIC] = "generic", [DP_AUTO] = "auto" };
	struct plan plan = *asked;
	__cleanup_change struct change c = { .attach = s, .plan = &plan };
	__cleanup(outcome_free) struct outcome x = { 0 };
	__cleanup_free char *text = stmt_text(s), *done = NULL;
	__cleanup_free struct dp_iface *v = NULL;
	size_t n = 0;
	int code = change_begin(&c, o, d, true);

	if (code)
		return code;
	x = outcome_of(&c, s);
	if (take_over(&c, s->name) || change_say(&c, s))
		return EXIT_USAGE;
	x.was_in_force &= filtering_on(&c.was, s->name);
	/* nothing to try */
	if (x.was_in_force && !plan.asked)
		plan.seconds = 0;
	code = change_commit(&c);
	if (code)
		return code;
	if (!o->dry_run && dp_ifaces(c.dp, &v, &n, d))
		return EXIT_KERNEL;
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, s->name))
			done = xasprintf("filtering on %s (%s mode)", s->name, mode[v[i].mode]);
	if (plan.seconds && !o->dry_run && !o->json)
		say(o, "%s; %s is written when it is confirmed", done ? done : text, o->runtime ? "nothing" : o->config);
	else
		tell_change(&c, &x, text, done ? done : text);
	for (size_t i = 0; i < n; i++)
		if (strcmp(v[i].name, s->name) && !c.loaded)
			say(o, "filtering on %s too: the rules name it", v[i].name);
	code = c.past.nkept ? EXIT_PARTLY : EXIT_DONE;
	if (!plan.seconds || o->dry_run)
		return code;
	trial_tell(o, plan.seconds);
	change_end(&c);
	return o->wait ? trial_wait(o, d) : code;
}

int verb_attach(const struct options *o, int argc, char **argv)
{
	__cleanup_rules struct rules said = { 0 };
	__cleanup_free char **words = xcalloc(argc + 1, sizeof(*words));
	struct diag d = { 0 };
	struct plan plan;

	if (argc < 2)
		return verb_end(o, &d, usage_error(&d, "attach", "the name of the interface is missing"));
	memcpy(words, argv, argc * sizeof(*words));
	words[0] = (char *)"interface";
	if (rules_parse_args(&said, argc, words, &d) || plan_make(&plan, o, &d))
		return verb_end(o, &d, EXIT_USAGE);
	return verb_end(o, &d, attach_sentence(o, &said.v[0], &plan, &d));
}
