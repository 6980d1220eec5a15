// SPDX-License-Identifier: GPL-2.0-only
/*
 * `status`: does it filter, and as the rules say? Everything is read from the kernel now.
 * Exit 0 all is well, 1 something is not as it should be, 3 nothing is filtered.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include "cookies.h"
#include "look.h"
#include "reason.h"
#include "tell.h"
#include "trial.h"

struct status {
	const struct options *o;
	struct look look;
	struct iface_view *iface;
	size_t nifaces;
	struct totals *total; /* by interface; zero where there are no counters */
	struct config_view config;
	size_t nservices, nprefixes;
	struct dp_trial trial;
	char *why; /* the files need not say what is in force */
	struct dp_counts *counts; /* of all interfaces shown, when observing */
	int code;
};

static const char *mode_name(enum dp_mode m)
{
	return m == DP_GENERIC ? "generic" : "native";
}

static void add_counts(struct status *s, const struct dp_counts *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to;

	if (!s->look.observe)
		return;
	if (!s->counts)
		s->counts = xcalloc(1, sizeof(*s->counts));
	to = (uint64_t *)s->counts;
	for (size_t i = 0; i < sizeof(*c) / sizeof(*to); i++)
		to[i] += from[i];
}

static int read_totals(struct status *s, struct diag *d)
{
	__cleanup_free struct dp_counts *c = NULL;

	s->total = xcalloc(s->nifaces, sizeof(*s->total));
	for (size_t i = 0; i < s->nifaces; i++) {
		int err;

		if (!s->iface[i].kernel)
			continue;
		err = look_counts(&s->look, s->iface[i].name, &c, d);
		if (err)
			return err;
		s->total[i] = counts_sum(c, ANY, ANY, ANY);
		add_counts(s, c);
	}
	return 0;
}

static int judge_state(const struct status *s)
{
	bool wrong = false;

	if (s->look.nifaces == 0)
		return EXIT_KERNEL;
	for (size_t i = 0; i < s->nifaces; i++)
		wrong |= s->iface[i].state != IFACE_ATTACHED || iface_renamed(s->iface[i].kernel) || !s->iface[i].kernel->pinned;
	wrong |= s->config.past.nkept != 0;
	return wrong ? EXIT_NO : EXIT_DONE;
}

/* --interface: that one only. */
static int narrow(struct status *s, struct diag *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->nifaces; i++)
		if (look_wants(s->o, s->iface[i].name) ||
		    (s->iface[i].kernel && look_wants(s->o, s->iface[i].kernel->now)))
			s->iface[kept++] = s->iface[i];
	s->nifaces = kept;
	if (kept || !s->o->iface)
		return 0;
	diag_error(d, "%s is not filtered, and no rule in force names it; `mxdp attach %s` attaches it", s->o->iface,
		   s->o->iface);
	return -ENODEV;
}

static bool has_list_file(const struct rules *r)
{
	for (size_t i = 0; i < r->nlists; i++)
		if (r->lists[i].path)
			return true;
	return false;
}

static int status_read(struct status *s, struct diag *d)
{
	struct rules file = { 0 };
	int err = look_open(&s->look, s->o, d);

	if (err)
		return err;
	s->iface = look_ifaces(&s->look, &s->nifaces);
	err = narrow(s, d);
	if (err)
		return err;
	if (!s->o->quiet || has_list_file(&s->look.rules))
		config_look(&s->config, s->o->config, &s->look.rules, &file);
	rules_free(&file);
	dp_trial(s->look.dp, &s->trial);
	if (s->config.state != CONFIG_SAME)
		s->why = trial_why(s->o, &s->trial);
	for (unsigned int i = 1; i < MXDP_SERVICES; i++)
		s->nservices += s->look.services[i].named;
	for (size_t i = 0; i < s->look.rules.nlists; i++)
		s->nprefixes += s->look.rules.lists[i].n;
	s->code = judge_state(s);
	return read_totals(s, d);
}

static void status_free(struct status *s)
{
	look_close(&s->look);
	free(s->iface);
	free(s->total);
	free(s->counts);
	free(s->why);
	config_view_free(&s->config);
}

/* ---- for people ---- */

static void print_head(const struct status *s)
{
	const struct look *l = &s->look;
	size_t good = 0;

	for (size_t i = 0; i < s->nifaces; i++)
		good += s->iface[i].kernel && *s->iface[i].kernel->now;
	if (s->nifaces == 0)
		printf("mxdp is loaded, but no interface is attached: nothing is filtered\n");
	else if (good == 0)
		printf("mxdp is loaded, but NOTHING IS FILTERED\n");
	else if (l->observe)
		printf("mxdp observes %zu of %zu interface%s: it counts what it would drop, and DROPS NOTHING\n", good,
		       s->nifaces, s->nifaces == 1 ? "" : "s");
	else
		printf("mxdp filters %zu of %zu interface%s\n", good, s->nifaces, s->nifaces == 1 ? "" : "s");
}

static void print_policy(const struct status *s)
{
	char rules[64], services[64], lists[64], prefixes[64], memory[OUT_TEXT];
	const struct look *l = &s->look;

	printf("policy  epoch %" PRIu32 ", default %s, %s, %s, %s, %s, %s\n", l->epoch, l->deny ? "deny" : "allow",
	       l->observe ? "observing" : "enforcing",
	       text_plural(l->rules.n, "rule", "rules", rules, sizeof(rules)),
	       text_plural(s->nservices, "service", "services", services, sizeof(services)),
	       text_plural(l->rules.nlists, "list", "lists", lists, sizeof(lists)),
	       text_plural(s->nprefixes, "prefix", "prefixes", prefixes, sizeof(prefixes)));
	printf("memory  %s in the kernel\n", text_bytes(dp_memory(l->dp), memory));
}

static void print_config(const struct status *s)
{
	const struct config_view *c = &s->config;

	printf("file    ");
	put_escaped(s->o->config, stdout);
	if (c->state == CONFIG_SAME)
		printf(": the same as what is in force\n");
	else if (c->state == CONFIG_MISSING)
		printf(": NOT THERE; what is in force will not come back after a reboot\n");
	else if (c->state == CONFIG_BROKEN) {
		printf(": HAS AN ERROR and could not be applied: ");
		put_escaped(c->why ? c->why : "see `mxdp check`", stdout);
		putchar('\n');
	} else {
		printf(": DIFFERS from what is in force (%zu only in the file, %zu only in force, %zu list%s); see "
		       "`mxdp diff`\n",
		       c->only_file, c->only_running, c->lists, c->lists == 1 ? "" : "s");
	}
}

static void print_trial(const struct status *s)
{
	char left[OUT_TEXT];

	if (s->trial.running)
		printf("trial   ON TRIAL for another %s: `mxdp confirm` over a new connection makes it lasting, `mxdp rollback` "
		       "ends it;\n        otherwise %s by itself\n", text_span(s->trial.seconds_left, left),
		       s->trial.first ? "the filter goes" : "what was in force before comes back");
	if (s->why) {
		fputs("        ", stdout);
		put_escaped(s->why, stdout);
		putchar('\n');
	}
}

/* ---- what enforcing would do ---- */

struct would_drop {
	int service, reason;
	struct mxdp_count c;
};

static int most_first(const void *a, const void *b)
{
	const struct would_drop *x = a, *y = b;

	return x->c.packets < y->c.packets ? 1 : x->c.packets > y->c.packets ? -1 : 0;
}

/* Malloc'd, by service and reason, the most first. */
static struct would_drop *would_drop(const struct status *s, size_t *n)
{
	struct would_drop *v = NULL;

	*n = 0;
	for (int service = 0; s->counts && service <= PORTLESS; service++) {
		for (int reason = 0; reason < (int)MXDP_REASON_SLOTS; reason++) {
			struct totals t = counts_sum(s->counts, service, ANY, reason);

			if (!t.observed.packets)
				continue;
			v = xrealloc(v, (*n + 1) * sizeof(*v));
			v[(*n)++] = (struct would_drop){ service, reason, t.observed };
		}
	}
	if (*n)
		qsort(v, *n, sizeof(*v), most_first);
	return v;
}

static void print_would_drop(const struct status *s)
{
	enum { SHOWN = 15 };
	__cleanup_table struct table t = { .head = { "SERVICE", "REASON", ">WOULD DROP", ">BYTES", "BECAUSE" } };
	__cleanup_free struct would_drop *v = NULL;
	size_t n;

	if (!s->look.observe)
		return;
	v = would_drop(s, &n);
	if (!n) {
		printf("\nSo far nothing came that enforcing would have dropped.\n");
		return;
	}
	for (size_t i = 0; i < n && i < SHOWN; i++) {
		const struct reason_info *r = reason_info(v[i].reason);
		char packets[OUT_TEXT], bytes[OUT_TEXT];

		table_add(&t, "%s", service_name(&s->look, v[i].service, s->o->numeric));
		table_add(&t, "%s", r ? r->name : "?");
		table_add(&t, "%s", text_number(v[i].c.packets, packets));
		table_add(&t, "%s", text_bytes(v[i].c.bytes, bytes));
		table_add(&t, "%s", r ? r->text : "");
	}
	printf("\nEnforcing would have dropped:\n");
	table_print(&t, 2, stdout);
	if (n > SHOWN)
		printf("  and %zu more; see `mxdp show counters`\n", n - SHOWN);
	printf("`mxdp show drops` has the ports. When nothing here is missed, `mxdp enforce` begins to drop.\n");
}

static const char *state_name(const struct iface_view *v)
{
	return v->state == IFACE_ATTACHED && iface_renamed(v->kernel) ? "renamed" : iface_state_name(v->state);
}

static void print_ifaces(const struct status *s)
{
	__cleanup_table struct table t = { .head = { "INTERFACE", "STATE", "MODE", "DRIVER", ">PROGRAM", "SINCE",
						     ">PASSED", ">DROPPED", s->look.observe ? ">WOULD DROP" : NULL } };

	for (size_t i = 0; i < s->nifaces; i++) {
		const struct iface_view *v = &s->iface[i];
		char since[OUT_TEXT], passed[OUT_TEXT], dropped[OUT_TEXT], observed[OUT_TEXT];
		const struct dp_iface *k = v->kernel;

		table_add(&t, "%s", v->name);
		table_add(&t, "%s", state_name(v));
		table_add(&t, "%s", !k ? "-" : k->mode == DP_GENERIC ? "GENERIC" : "native");
		table_add(&t, "%s", k && *k->driver ? k->driver : "-");
		if (k)
			table_add(&t, "%" PRIu32, k->prog_id);
		else
			table_add(&t, "-");
		table_add(&t, "%s", k ? text_time(k->attached_at, since) : "-");
		table_add(&t, "%s", text_number(s->total[i].passed.packets, passed));
		table_add(&t, "%s", text_number(s->total[i].dropped.packets, dropped));
		if (s->look.observe)
			table_add(&t, "%s", text_number(s->total[i].observed.packets, observed));
	}
	if (s->nifaces) {
		putchar('\n');
		table_print(&t, 0, stdout);
	}
}

static void print_renamed(const struct dp_iface *k)
{
	bool taken = k->ifindex != 0;

	printf("\nWARNING: %s was renamed: now %s, and filtered there%s.\n", k->name, k->now,
	       taken ? "; the name was given to another interface" : "");
	if (!taken)
		printf("         Write `interface %s` in place of `interface %s` and `mxdp apply`, or `mxdp attach %s`:\n"
		       "         the counters go along. `mxdp detach %s` takes the filter off.\n",
		       k->now, k->name, k->now, k->now);
}

static void print_mute(const struct iface_view *v)
{
	if (!v->kernel || v->state != IFACE_ATTACHED || v->kernel->answers)
		return;
	printf("\nnote: ");
	put_escaped(v->name, stdout);
	printf(" loses what it would answer itself, so SYN cookies are left to the kernel: the other end of this veth\n"
	       "      takes none. `ethtool -K PEER gro on` over there, then `mxdp detach` and `mxdp attach` here\n");
}

static void print_cookies(const struct status *s)
{
	uint16_t wanted = dp_cookies(s->look.dp);
	struct diag d = { 0 };

	cookies_warn(wanted, &d);
	for (size_t i = 0; i < d.n; i++)
		printf("\nWARNING: %s\n", d.msg[i].text);
	diag_free(&d);
	for (size_t i = 0; wanted && i < s->nifaces; i++)
		print_mute(&s->iface[i]);
}

static void print_old_lists(const struct status *s)
{
	for (size_t i = 0; i < s->config.past.nkept; i++) {
		const struct list_kept *k = &s->config.past.kept[i];
		const struct list *l = rules_list(&s->look.rules, k->name);
		char read[OUT_TEXT];

		printf("\nWARNING: list ");
		put_escaped(k->name, stdout);
		printf(" is old, of %s: its file is refused\n         ", text_time(l ? l->read_at : 0, read));
		put_escaped(k->why, stdout);
		putchar('\n');
	}
}

static void print_troubles(const struct status *s)
{
	print_old_lists(s);
	for (size_t i = 0; i < s->nifaces; i++) {
		const struct iface_view *v = &s->iface[i];

		if (v->kernel && iface_renamed(v->kernel))
			print_renamed(v->kernel);
		if (v->state != IFACE_ATTACHED) {
			printf("\nWARNING: ");
			put_escaped(v->name, stdout);
			printf(" %s\n", iface_state_text(v->state));
		}
		if (v->state == IFACE_ATTACHED && !v->kernel->pinned) {
			printf("\nWARNING: ");
			put_escaped(v->name, stdout);
			printf(" is filtered, but somebody took the pin of its program away: `mxdp apply` makes it anew\n");
		}
		if (v->state == IFACE_FOREIGN)
			printf("         the foreign program has id %" PRIu32 ": `bpftool prog show id %" PRIu32
			       "` names it\n",
			       v->kernel->running_id, v->kernel->running_id);
		if (v->kernel && v->kernel->mode == DP_GENERIC) {
			printf("\nWARNING: ");
			put_escaped(v->name, stdout);
			printf(" is filtered in GENERIC mode: the kernel has already spent a socket buffer on every "
			       "packet,\n"
			       "         so a flood costs nearly what it would cost without a filter\n");
		}
	}
}

/* ---- for programs ---- */

static void json_config(json_object *doc, const struct status *s)
{
	json_object *c = json_sub(doc, "config"), *list;

	json_str(c, "path", s->o->config);
	json_str(c, "state", config_state_name(s->config.state));
	json_num(c, "only_in_file", s->config.only_file);
	json_num(c, "only_in_force", s->config.only_running);
	json_num(c, "lists_differing", s->config.lists);
	json_str(c, "error", s->config.why);
	list = json_list(c, "lists_old");
	for (size_t i = 0; i < s->config.past.nkept; i++) {
		json_object *item = json_item(list);

		json_str(item, "name", s->config.past.kept[i].name);
		json_str(item, "reason", s->config.past.kept[i].why);
	}
}

static void json_trial(json_object *doc, const struct status *s)
{
	static const char *const end[] = { NULL, "confirmed", "taken-back" };
	json_object *t = json_sub(doc, "trial");

	json_yes(t, "running", s->trial.running);
	json_num(t, "seconds_left", s->trial.seconds_left);
	json_str(t, "last", end[s->trial.end]);
	json_str(t, "why_files_differ", s->why);
}

static void json_would_drop(json_object *doc, const struct status *s)
{
	json_object *list = json_list(doc, "would_drop");
	__cleanup_free struct would_drop *v = NULL;
	size_t n;

	v = would_drop(s, &n);
	for (size_t i = 0; i < n; i++) {
		const struct reason_info *r = reason_info(v[i].reason);
		json_object *item = json_item(list);

		json_str(item, "service", service_name(&s->look, v[i].service, false));
		json_str(item, "reason", r ? r->name : NULL);
		json_num(item, "packets", v[i].c.packets);
		json_num(item, "bytes", v[i].c.bytes);
	}
}

static void json_iface(json_object *item, const struct iface_view *v, const struct totals *t)
{
	const struct dp_iface *k = v->kernel;

	json_str(item, "name", v->name);
	json_str(item, "state", state_name(v));
	json_yes(item, "filtered", v->state == IFACE_ATTACHED);
	if (!k)
		return;
	json_str(item, "mode", mode_name(k->mode));
	json_str(item, "driver", *k->driver ? k->driver : NULL);
	json_num(item, "program_id", k->prog_id);
	json_num(item, "running_program_id", k->running_id);
	json_num(item, "ifindex", (uint64_t)(*k->now ? k->link_ifindex : k->ifindex));
	json_str(item, "name_now", *k->now ? k->now : NULL);
	json_yes(item, "frags", k->frags);
	json_yes(item, "answers", k->answers);
	json_time(item, "since", k->attached_at);
	json_totals(item, t);
}

static void status_json(const struct status *s, bool loaded)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list;

	json_str(doc, "version", MXDP_VERSION);
	json_yes(doc, "loaded", loaded);
	json_num(doc, "exit", (uint64_t)s->code);
	if (loaded) {
		json_num(doc, "epoch", s->look.epoch);
		json_str(doc, "default", s->look.deny ? "deny" : "allow");
		json_yes(doc, "observe", s->look.observe);
		json_num(doc, "rules", s->look.rules.n);
		json_num(doc, "services", s->nservices);
		json_num(doc, "lists", s->look.rules.nlists);
		json_num(doc, "prefixes", s->nprefixes);
		json_num(doc, "memory_bytes", dp_memory(s->look.dp));
		json_config(doc, s);
		json_trial(doc, s);
		if (s->look.observe)
			json_would_drop(doc, s);
	}
	list = json_list(doc, "interfaces");
	for (size_t i = 0; i < s->nifaces; i++)
		json_iface(json_item(list), &s->iface[i], &s->total[i]);
	json_print(doc, stdout);
}

static void status_print(const struct status *s)
{
	if (s->o->json) {
		status_json(s, true);
		return;
	}
	print_head(s);
	print_policy(s);
	print_config(s);
	print_trial(s);
	print_ifaces(s);
	print_would_drop(s);
	print_troubles(s);
	print_cookies(s);
}

static void print_not_loaded(const struct status *s)
{
	__cleanup_free char *begin = how_to_begin(s->o->config);

	printf("mxdp is not loaded: NOTHING IS FILTERED; ");
	put_escaped(begin, stdout);
	putchar('\n');
}

static void not_loaded(struct status *s)
{
	s->code = EXIT_KERNEL;
	if (s->o->quiet)
		return;
	if (s->o->json)
		status_json(s, false);
	else
		print_not_loaded(s);
}

int verb_status(const struct options *o, int argc, char **argv)
{
	__cleanup(status_free) struct status s = { .o = o };
	struct diag d = { 0 };
	int err;

	if (argc > 1) {
		usage_error(&d, "status", "`status` takes no words, \"%s\" is one", argv[1]);
		return verb_end(o, &d, EXIT_USAGE);
	}
	err = status_read(&s, &d);
	if (err == -ENOENT && d.errors == 0)
		not_loaded(&s);
	else if (err)
		return verb_end(o, &d, exit_code_of(err));
	else if (!o->quiet)
		status_print(&s);
	return look_end(o, &d, s.code);
}
