// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include "trial.h"
#include "change.h"
#include "look.h"
#include "out.h"
#include "tell.h"

/* `hint`: where the last one was found. Both are nearly in the same order, so a long file is walked once, not squared. */
static bool said_in(const struct rules *r, const struct stmt *s, size_t *hint)
{
	for (size_t k = 0; k < r->n; k++) {
		size_t i = (*hint + k) % r->n;

		if (!same_sentence(&r->v[i], s))
			continue;
		*hint = i + 1;
		return true;
	}
	return false;
}

static size_t print_one_side(const struct rules *of, const struct rules *without, char sign, json_object *list)
{
	size_t hint = 0, n = 0;

	for (size_t i = 0; i < of->n; i++) {
		const struct stmt *s = &of->v[i];
		__cleanup_free char *text = NULL, *place = NULL;

		if (said_in(without, s, &hint))
			continue;
		n++;
		text = stmt_text(s);
		if (list) {
			json_object *item = json_item(list);

			json_str(item, "sentence", text);
			json_str(item, "file", s->at.file);
			if (s->at.file)
				json_num(item, "line", s->at.line);
			continue;
		}
		place = place_text(s);
		printf("%c ", sign);
		put_escaped(text, stdout);
		fputs("   (", stdout);
		put_escaped(place, stdout);
		fputs(")\n", stdout);
	}
	return n;
}

struct delta {
	size_t added, removed;
};

/* Both are sorted: one walk. */
static struct delta compare_lists(const struct list *from, const struct list *to)
{
	struct delta x = { 0 };
	size_t i = 0, j = 0;

	while (i < from->n || j < to->n) {
		int c = i == from->n ? 1 : j == to->n ? -1 : prefix_cmp(&from->v[i], &to->v[j]);

		x.removed += c < 0;
		x.added += c > 0;
		i += c <= 0;
		j += c >= 0;
	}
	return x;
}

static size_t print_lists(const struct rules *from, const struct rules *to, json_object *out)
{
	size_t n = 0;

	for (size_t i = 0; i < to->nlists; i++) {
		const struct list *l = &to->lists[i], *old = rules_list(from, l->name);
		struct delta x;

		if (!old)
			continue;
		x = compare_lists(old, l);
		if (!x.added && !x.removed)
			continue;
		n++;
		if (out) {
			json_object *item = json_item(out);

			json_str(item, "name", l->name);
			json_num(item, "added", x.added);
			json_num(item, "removed", x.removed);
		} else {
			printf("~ list %s: +%zu -%zu prefixes\n", l->name, x.added, x.removed);
		}
	}
	return n;
}

bool rules_differ_print(const struct rules *from, const struct rules *to, bool json)
{
	__cleanup_json json_object *doc = json ? json_document() : NULL;
	size_t n = 0;

	n += print_one_side(from, to, '-', json ? json_list(doc, "removed") : NULL);
	n += print_one_side(to, from, '+', json ? json_list(doc, "added") : NULL);
	n += print_lists(from, to, json ? json_list(doc, "lists") : NULL);
	if (json) {
		json_yes(doc, "equal", n == 0);
		json_print(doc, stdout);
	}
	return n == 0;
}

static int diff(const struct options *o, const char *path, struct diag *d)
{
	__cleanup_rules struct rules running = { 0 }, file = { 0 };
	__cleanup_dp struct datapath *dp = NULL;
	__cleanup(lists_past_free) struct lists_past past = { .in_force = &running };
	__cleanup_free char *why = NULL;
	struct diag said = { 0 };
	struct dp_trial trial;
	bool equal;
	int err = dp_open(&dp, o->bpffs, DP_LOOK, d);

	if (err)
		dp = NULL;
	else
		err = running_rules(o, dp, &running, d);
	if (err == -ENOENT && !d->errors) {
		__cleanup_free char *begin = how_to_begin(path);

		diag_error(d, "mxdp is not loaded here, so there is nothing to compare %s with; `mxdp check` reads it, "
			      "and %s", path, begin);
	}
	if (err)
		return EXIT_KERNEL;
	dp_trial(dp, &trial);
	dp_release(&dp);
	err = rules_load_over(&file, path, &past, &said);
	for (size_t i = 0; err && i < said.n; i++)
		if (said.msg[i].level == DIAG_ERROR)
			diag_error(d, "%s", said.msg[i].text);
	/* what is unwise in the files is for `check` to say */
	diag_free(&said);
	if (err)
		return EXIT_USAGE;
	equal = rules_differ_print(&running, &file, o->json);
	for (size_t i = 0; i < past.nkept; i++)
		diag_warn(d, "list \"%s\" would stay as it is in force; its file is refused: %s", past.kept[i].name,
			  past.kept[i].why);
	if (!equal) {
		why = trial_why(o, &trial);
		if (why)
			diag_note(d, "%s", why);
		return EXIT_NO;
	}
	if (past.nkept)
		return EXIT_NO;
	say(o, "%s says what is in force", path);
	return EXIT_DONE;
}

int verb_diff(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, "diff", "too many words: \"%s\"", argv[2]));
	return verb_end(o, &d, diff(o, argc > 1 ? argv[1] : o->config, &d));
}
