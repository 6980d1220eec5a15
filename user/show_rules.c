// SPDX-License-Identifier: GPL-2.0-only
/* `show rules`: the sentences in force. The numbers are those that `delete` takes. */
#include <stdlib.h>
#include <string.h>
#include "show.h"

/* "25,587,1000-1999": the names alone confuse (imap2, urd). Malloc'd. */
static char *ports_text(const struct stmt *s)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < s->nports; i++) {
		const struct port_range *p = &s->ports[i];
		char *longer;

		if (p->lo == p->hi)
			longer = xasprintf("%s%s%u", text, i ? "," : "", p->lo);
		else
			longer = xasprintf("%s%s%u-%u", text, i ? "," : "", p->lo, p->hi);
		free(text);
		text = longer;
	}
	return text;
}

static bool has_kind(const struct rules *r, enum stmt_kind kind)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == kind)
			return true;
	return false;
}

static void rules_json(const struct look *l)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list;

	json_num(doc, "epoch", l->epoch);
	json_str(doc, "default", l->deny ? "deny" : "allow");
	json_yes(doc, "observe", l->observe);
	list = json_list(doc, "rules");
	for (size_t i = 0; i < l->rules.n; i++) {
		const struct stmt *s = &l->rules.v[i];
		__cleanup_free char *text = stmt_text(s), *ports = ports_text(s);
		json_object *item = json_item(list);

		json_num(item, "number", i + 1);
		json_str(item, "sentence", text);
		json_str(item, "ports", *ports ? ports : NULL);
		json_str(item, "comment", s->comment);
		json_yes(item, "runtime", !s->at.file);
		json_str(item, "file", s->at.file);
		if (s->at.file)
			json_num(item, "line", s->at.line);
	}
	json_print(doc, stdout);
}

static void add_place(struct table *t, const struct stmt *s)
{
	if (s->at.file)
		table_add(t, "%s:%u", s->at.file, s->at.line);
	else
		table_add(t, "runtime");
}

int show_rules(const struct options *o, struct look *l, int argc, char **argv, struct diag *d)
{
	__cleanup_table struct table t = { .head = { ">NR", "RULE", "PORTS", "WHERE" } };

	(void)argc, (void)argv, (void)d;
	if (o->json) {
		rules_json(l);
		return out_done(EXIT_DONE);
	}
	for (size_t i = 0; i < l->rules.n; i++) {
		__cleanup_free char *text = stmt_text(&l->rules.v[i]), *ports = ports_text(&l->rules.v[i]);

		table_add(&t, "%zu", i + 1);
		table_add(&t, "%s", text);
		table_add(&t, "%s", *ports ? ports : "-");
		add_place(&t, &l->rules.v[i]);
	}
	if (!has_kind(&l->rules, STMT_DEFAULT)) {
		table_add(&t, "-");
		table_add(&t, "default %s", l->deny ? "deny" : "allow");
		table_add(&t, "-");
		table_add(&t, "unless said otherwise");
	}
	table_print(&t, 0, stdout);
	return out_done(EXIT_DONE);
}
