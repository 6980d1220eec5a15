// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <string.h>
#include "change.h"
#include "listfile.h"
#include "out.h"
#include "tell.h"
#include "trial.h"

struct apply {
	const struct options *o;
	struct diag *d;
	const char *path;
	struct datapath *dp; /* NULL: not loaded */
	struct standing was;
	struct rules before, after;
	struct lists_past past; /* what lists fall back on whose files are refused */
	struct plan plan;
	size_t nruntime; /* sentences that --keep-runtime kept */
	bool named;     /* the file was named on the command line */
	bool kept;      /* not the files, but what is in force, or was before what nobody confirmed (--boot) */
	bool fell_back; /* --boot: ... for the files have an error */
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
	return dp_change_allowed(a->dp, a->d) ? EXIT_KERNEL : EXIT_DONE;
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
	if (a->o->keep_runtime)
		a->nruntime = rules_keep_runtime(&a->after, &a->before, a->d);
	if (!interface_named(&a->after, NULL)) {
		diag_error(a->d, "%s names no interface, so nothing would be filtered; `mxdp attach NAME` adds one, `mxdp detach` "
				 "takes the filter off", a->path);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

/* What is in force, whatever the files say by now: an upgrade is no moment for a policy that nobody has confirmed. */
static int keep_rules(struct apply *a)
{
	if (!a->was.frozen) {
		diag_error(a->d, "%s", a->was.loaded ? "what is in force cannot be read, so it cannot be kept; `mxdp reload` puts the "
			   "files in force" : "nothing is in force; `mxdp apply` puts the files in force");
		return EXIT_KERNEL;
	}
	a->kept = true;
	return rules_thaw(&a->after, a->was.frozen, a->was.nfrozen, a->d) ? EXIT_KERNEL : EXIT_DONE;
}

/* "8 sentences from FILE", or how many of them conf.d said. */
static void print_source(const struct apply *a)
{
	size_t n = in_file(&a->after, a->path);
	char said[OUT_TEXT + 16], number[OUT_TEXT];

	printf("in force: %s", text_plural(a->after.n, "sentence", "sentences", said, sizeof(said)));
	if (a->kept) {
		fputs(", as before", stdout);
		return;
	}
	if (n != a->after.n)
		printf(", %s", text_number(n, number));
	fputs(" from ", stdout);
	put_escaped(a->path, stdout);
	n += a->nruntime;
	if (n != a->after.n)
		printf(" and %s from conf.d beside it", text_number(a->after.n - n, number));
	if (a->nruntime)
		printf(" and %s said with --runtime", text_number(a->nruntime, number));
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
	json_num(doc, "sentences_of_conf_d", a->after.n - in_file(&a->after, a->path) - a->nruntime);
	json_num(doc, "sentences_of_runtime", a->nruntime);
	json_num(doc, "epoch", dp_epoch(a->dp));
	json_num(doc, "trial_seconds", a->plan.seconds);
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

static bool all_filtered(const struct apply *a)
{
	for (size_t i = 0; i < a->after.n; i++) {
		const struct stmt *s = &a->after.v[i];
		bool found = s->kind != STMT_INTERFACE;

		for (size_t k = 0; k < a->was.nifaces && !found; k++)
			found = !strcmp(a->was.ifaces[k].name, s->name) && a->was.ifaces[k].link_ifindex &&
				a->was.ifaces[k].running_id == a->was.ifaces[k].prog_id;
		if (!found)
			return false;
	}
	return true;
}

/* What is in force already needs no trial, unless one was asked for. */
static void plan_trial(struct apply *a)
{
	if (a->o->boot || a->kept || (!a->plan.asked && a->was.loaded && all_filtered(a) && rules_equal(&a->before, &a->after)))
		a->plan.seconds = 0;
}

static int put_and_keep(struct apply *a)
{
	__cleanup_free char *what = xasprintf("apply %s", a->path);
	const struct occasion x = {
		.plan = &a->plan, .what = what, .main_file = a->kept ? NULL : a->path, .r = &a->after,
		.before = a->was.frozen ? &a->before : NULL, .all = !a->o->only,
		.files = true,
	};
	int code;

	if (a->plan.seconds && a->was.loaded && !a->was.frozen) {
		diag_error(a->d, "what is in force cannot be read, so nothing could be kept to go back to, and there is no trial; "
				 "--no-confirm does without");
		return EXIT_KERNEL;
	}
	code = a->plan.seconds ? trial_prepare(a->o, &x, dp_epoch(a->dp) + 1, a->d) : EXIT_DONE;

	if (code)
		return code;
	code = put_in_force(a->dp, &a->after, &a->was, a->o->only ? PUT_ONE : PUT_ALL, a->o->only,
			    a->plan.seconds, a->d);
	if (code && a->plan.seconds)
		trial_abandon(a->o);
	if (!code && !a->plan.seconds && !a->kept)
		put_for_good(a->o, &x, a->d);
	return code;
}

static int put(struct apply *a)
{
	sigset_t signals;
	int code;

	if (!a->dp) {
		code = open_kernel(a, DP_CREATE);
		if (code)
			return code;
		if (a->was.loaded)
			return -EAGAIN;
	}
	plan_trial(a);
	hold_signals(&signals);
	code = put_and_keep(a);
	release_signals(&signals);
	if (code)
		return code;
	tell_done(a);
	listcopy_save_all(a->o->state, &a->after, a->d);
	code = a->past.nkept ? EXIT_PARTLY : EXIT_DONE;
	if (!a->plan.seconds)
		return code;
	trial_tell(a->o, a->plan.seconds);
	dp_release(&a->dp);
	return a->o->wait ? trial_wait(a->o, a->d) : code;
}

/* A boot begins with the last policy that was confirmed when the files say another. -ENOENT: they do not. */
static int read_kept(struct apply *a)
{
	__cleanup_kept struct kept about = { 0 };
	char at[OUT_TEXT];
	int err = boot_rules(a->o, &about, &a->after, a->d);

	if (err)
		return err;
	a->kept = true;
	diag_warn(a->d, "`%s` of %s %s: %s, and not what %s says; `mxdp diff` shows the difference, `mxdp apply` puts the file "
			"in force", about.what, text_time(about.at, at),
		  strcmp(about.what, "rollback") ? "was not confirmed" : "left the file as it is",
		  about.nothing ? "nothing was in force before it, so nothing is filtered" :
				  "what was in force is put in force again", a->path);
	return 0;
}

/* The first apply after a boot is one for the boot, whether it says so or not. */
static bool at_boot(const struct apply *a)
{
	return a->o->boot || (!a->was.loaded && !a->named && !a->o->force && boot_is_due(a->o));
}

static int read_boot(struct apply *a)
{
	__cleanup_kept struct kept about = { 0 };
	int err = read_kept(a), code;
	char at[OUT_TEXT];

	if (!err)
		return EXIT_DONE;
	/* what is kept is damaged: said, and the files are all there is */
	code = read_rules(a);
	if (!code || last_policy(a->o, &about, &a->after, a->d))
		return code;
	a->kept = a->fell_back = true;
	diag_warn(a->d, "%s cannot be applied, so the last policy that was in force for good, of %s, is put in force",
		  a->path, text_time(about.at, at));
	return EXIT_DONE;
}

static int apply(const struct options *o, const char *path, bool named, bool only_loaded, struct diag *d)
{
	__cleanup(apply_free) struct apply a = { .o = o, .d = d, .path = path, .named = named };
	int code = open_kernel(&a, o->dry_run ? DP_LOOK : DP_TAKE);

	if (code)
		return code;
	if (only_loaded && (!a.was.loaded || !a.was.nifaces)) {
		__cleanup_free char *begin = how_to_begin(path);

		diag_error(d, "mxdp is attached nowhere, so there is nothing to reload; %s", begin);
		return EXIT_KERNEL;
	}
	code = plan_make(&a.plan, o, d);
	if (!code)
		code = o->in_force ? keep_rules(&a) : at_boot(&a) ? read_boot(&a) : read_rules(&a);
	if (code || (a.kept && !a.after.n))
		return code;
	if (o->only && !interface_named(&a.after, o->only)) {
		diag_error(d, "%s: no sentence `interface %s` in it, so nothing was done", path, o->only);
		return EXIT_USAGE;
	}
	if ((!o->boot && cuts_operator(o, &a.after, a.was.loaded ? &a.before : NULL, d)) ||
	    shuts_everybody(o, &a.after, a.was.loaded ? &a.before : NULL, path, d))
		return EXIT_USAGE;
	if (!o->dry_run) {
		code = put(&a);
		return !code && a.fell_back ? EXIT_PARTLY : code;
	}
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
	if (o->in_force && (argc > 1 || o->boot || o->keep_runtime))
		return verb_end(o, &d, usage_error(&d, argv[0], "--in-force reads no file, so a FILE, --boot and --keep-runtime say "
						   "something else"));
	do
		code = apply(o, path, argc > 1, only_loaded, &d);
	while (code == -EAGAIN); /* somebody else loaded the filter in between: the files may have changed with it */
	return verb_end(o, &d, code);
}

int verb_apply(const struct options *o, int argc, char **argv)
{
	return apply_main(o, argc, argv, false);
}
