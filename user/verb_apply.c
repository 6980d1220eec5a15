// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "change.h"
#include "listfile.h"
#include "out.h"
#include "tell.h"

struct apply {
	const struct options *o;
	struct diag *d;
	const char *path;
	struct datapath *dp; /* NULL: not loaded */
	struct standing was;
	struct rules before, after;
	struct lists_past past; /* what lists fall back on whose files are refused */
};

static void apply_free(struct apply *a)
{
	dp_release(&a->dp);
	standing_free(&a->was);
	rules_free(&a->before);
	rules_free(&a->after);
	lists_past_free(&a->past);
}

/* The pins are locked before the files are read: a sentence said meanwhile waits, and is in neither or in both. */
static int open_kernel(struct apply *a, enum dp_open how)
{
	int err = dp_open(&a->dp, a->o->bpffs, how, a->d);

	if (err) {
		a->dp = NULL;
		return err == -ENOENT ? EXIT_DONE : EXIT_KERNEL;
	}
	if (standing_take(&a->was, a->dp, true, a->d))
		return EXIT_KERNEL;
	if (a->was.frozen && rules_thaw(&a->before, a->was.frozen, a->was.nfrozen, a->d))
		return EXIT_KERNEL;
	return EXIT_DONE;
}

static int read_rules(struct apply *a)
{
	int err;

	a->past = (struct lists_past){
		.in_force = a->was.loaded ? &a->before : NULL, .state = a->o->state, .force = a->o->force,
	};
	err = rules_load_over(&a->after, a->path, &a->past, a->d);
	if (err == -ENOENT && !file_exists(a->path))
		diag_note(a->d, "`mxdp attach INTERFACE` begins a rules file");
	if (err)
		return EXIT_USAGE;
	if (!interface_named(&a->after, NULL)) {
		diag_error(a->d, "%s names no interface, so nothing would be filtered; `mxdp attach NAME` adds one, `mxdp detach` "
				 "takes the filter off", a->path);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* "8 sentences from FILE", or how many of them conf.d said. */
static void print_source(const struct apply *a)
{
	size_t n = in_file(&a->after, a->path);
	char said[OUT_TEXT + 16], number[OUT_TEXT];

	printf("in force: %s", text_plural(a->after.n, "sentence", "sentences", said, sizeof(said)));
	if (n != a->after.n)
		printf(", %s", text_number(n, number));
	fputs(" from ", stdout);
	put_escaped(a->path, stdout);
	if (n != a->after.n)
		printf(" and %s from conf.d beside it", text_number(a->after.n - n, number));
}

static void tell_done(struct apply *a)
{
	__cleanup_free struct dp_iface *v = NULL;
	__cleanup_json json_object *doc = json_document();
	json_object *list;
	size_t n = 0;

	if (dp_ifaces(a->dp, &v, &n, a->d))
		return;
	json_str(doc, "file", a->path);
	json_num(doc, "sentences", a->after.n);
	json_num(doc, "sentences_of_conf_d", a->after.n - in_file(&a->after, a->path));
	json_num(doc, "epoch", dp_epoch(a->dp));
	list = json_list(doc, "interfaces");
	for (size_t i = 0; i < n; i++)
		json_str(json_item(list), "name", v[i].name);
	list = json_list(doc, "lists_kept");
	for (size_t i = 0; i < a->past.nkept; i++) {
		json_object *item = json_item(list);

		json_str(item, "name", a->past.kept[i].name);
		json_str(item, "reason", a->past.kept[i].why);
	}
	if (a->o->json) {
		json_print(doc, stdout);
		return;
	}
	if (a->o->quiet)
		return;
	print_source(a);
	for (size_t i = 0; i < n; i++)
		printf("%s%s", i ? ", " : " on ", v[i].name);
	putchar('\n');
}

static int put(struct apply *a)
{
	int code;

	if (!a->dp) {
		code = open_kernel(a, DP_CREATE);
		if (code)
			return code;
		if (a->was.loaded)
			return -EAGAIN;
	}
	code = put_in_force(a->dp, &a->after, &a->was, PUT_ALL, NULL, a->d);
	if (code)
		return code;
	tell_done(a);
	listcopy_save_all(a->o->state, &a->after, a->d);
	return a->past.nkept ? EXIT_PARTLY : EXIT_DONE;
}

static int apply(const struct options *o, const char *path, bool only_loaded, struct diag *d)
{
	__cleanup(apply_free) struct apply a = { .o = o, .d = d, .path = path };
	int code = open_kernel(&a, o->dry_run ? DP_LOOK : DP_CHANGE);

	if (code)
		return code;
	if (only_loaded && (!a.was.loaded || !a.was.nifaces)) {
		__cleanup_free char *begin = how_to_begin(path);

		diag_error(d, "mxdp is attached nowhere, so there is nothing to reload; %s", begin);
		return EXIT_KERNEL;
	}
	code = read_rules(&a);
	if (code)
		return code;
	if (cuts_operator(o, &a.after, a.was.loaded ? &a.before : NULL, d) ||
	    shuts_everybody(o, &a.after, a.was.loaded ? &a.before : NULL, path, d))
		return EXIT_USAGE;
	if (!o->dry_run)
		return put(&a);
	code = would_compile(a.dp, &a.after, d);
	if (!code && rules_differ_print(&a.before, &a.after, o->json))
		say(o, "%s says what is in force", path);
	return code ? code : a.past.nkept ? EXIT_PARTLY : EXIT_DONE;
}

int apply_main(const struct options *o, int argc, char **argv, bool only_loaded)
{
	/* where a sentence stands is remembered, and must be found from any directory */
	__cleanup_free char *path = path_absolute(argc > 1 ? argv[1] : o->config);
	struct diag d = { 0 };
	int code;

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, argv[0], "too many words: \"%s\"", argv[2]));
	do
		code = apply(o, path, only_loaded, &d);
	while (code == -EAGAIN); /* somebody else loaded the filter in between: the files may have changed with it */
	return verb_end(o, &d, code);
}

int verb_apply(const struct options *o, int argc, char **argv)
{
	return apply_main(o, argc, argv, false);
}
