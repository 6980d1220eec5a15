// SPDX-License-Identifier: GPL-2.0-only
/* `doctor`: exit 0 nothing to do, 1 something should be done, 3 nothing is filtered. */
#include <errno.h>
#include <stdio.h>
#include "doctor.h"
#include "tell.h"

static const char *const health_name[] = {
	[HEALTH_OK] = "ok", [HEALTH_NOTE] = "note", [HEALTH_WARN] = "warning", [HEALTH_BAD] = "bad",
};

static void print_findings(const struct findings *f)
{
	static const char *const mark[] = {
		[HEALTH_OK] = "ok      ", [HEALTH_NOTE] = "note    ", [HEALTH_WARN] = "WARNING ", [HEALTH_BAD] = "BAD     ",
	};

	for (size_t i = 0; i < f->n; i++) {
		printf("%s", mark[f->v[i].how]);
		put_escaped(f->v[i].text ? f->v[i].text : "", stdout);
		putchar('\n');
		if (!f->v[i].remedy)
			continue;
		fputs("        -> ", stdout);
		put_escaped(f->v[i].remedy, stdout);
		putchar('\n');
	}
}

static void print_json(const struct findings *f)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "findings");

	for (size_t i = 0; i < f->n; i++) {
		json_object *item = json_item(list);

		json_str(item, "health", health_name[f->v[i].how]);
		json_str(item, "area", f->v[i].area);
		json_str(item, "text", f->v[i].text);
		json_str(item, "remedy", f->v[i].remedy);
	}
	json_print(doc, stdout);
}

static int doctor(const struct options *o, struct diag *d)
{
	__cleanup_findings struct findings f = { 0 };
	struct look look = { 0 };
	int err = look_open(&look, o, d);
	const struct look *l = err ? NULL : &look;
	enum health worst = HEALTH_OK;

	if (err && err != -ENOENT) {
		look_close(&look);
		return EXIT_KERNEL;
	}
	doctor_kernel(&f);
	doctor_interfaces(&f, l, o);
	doctor_rules(&f, l, o);
	doctor_services(&f, l);
	doctor_firewalls(&f, l);
	look_close(&look);
	for (size_t i = 0; i < f.n; i++)
		worst = f.v[i].how > worst ? f.v[i].how : worst;
	if (o->json)
		print_json(&f);
	else if (!o->quiet)
		print_findings(&f);
	return err ? EXIT_KERNEL : worst >= HEALTH_WARN ? EXIT_NO : EXIT_DONE;
}

int verb_doctor(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };

	if (argc > 1)
		return verb_end(o, &d, usage_error(&d, "doctor", "too many words: \"%s\"", argv[1]));
	return look_end(o, &d, doctor(o, &d));
}
