// SPDX-License-Identifier: GPL-2.0-only
/* `save`, `restore`: the bans over a reboot, with the moments of the wall clock at which they end. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "ban_feed.h"
#include "change.h"
#include "out.h"
#include "tell.h"

static int exit_of(int err)
{
	return err == -ENOENT ? EXIT_KERNEL : exit_code_of(err);
}

static char *state_file(const struct options *o, int argc, char **argv)
{
	return argc > 1 ? xstrdup(argv[1]) : xasprintf("%s/bans", o->state);
}

static int all_bans(const struct options *o, struct dp_ban_list **l, struct diag *d)
{
	struct datapath *dp = NULL;
	struct dp_bans *t = NULL;
	int err = dp_open(&dp, o->bpffs, DP_LOOK, d);

	if (err)
		return err == -ENOENT && !d->errors ? no_filter(o, d) : err;
	err = dp_bans_open(&t, dp, true, d);
	if (!err)
		err = dp_bans_all(t, l, d);
	dp_bans_close(t, d);
	dp_close(dp);
	return err;
}

static int write_bans(const char *path, const struct dp_ban_list *l, struct diag *d)
{
	__cleanup_free char *text = NULL;
	int64_t now = wall_ms();
	char when[OUT_TEXT];
	size_t len = 0;
	FILE *to = open_memstream(&text, &len);
	bool bad;

	if (!to)
		return -ENOMEM;
	fprintf(to, "# bans of mxdp, saved %s; `mxdp restore` reads them\n", text_time(now / 1000, when));
	for (size_t i = 0; i < dp_ban_list_len(l); i++) {
		__cleanup_free char *line = NULL;
		struct ban b;

		dp_ban_list_get(l, i, &b);
		line = ban_saved(&b, now);
		fprintf(to, "%s\n", line);
	}
	bad = ferror(to);
	if (fclose(to) || bad)
		return -ENOMEM;
	return file_replace(path, text, len, 0600, d);
}

int verb_save(const struct options *o, int argc, char **argv)
{
	__cleanup_free char *path = NULL;
	__cleanup_ban_list struct dp_ban_list *bans = NULL;
	struct diag d = { 0 };
	size_t n;
	int err;

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, "save", "one file is enough"));
	path = state_file(o, argc, argv);
	err = all_bans(o, &bans, &d);
	n = dp_ban_list_len(bans);
	if (!err && argc == 1 && mkdir(o->state, 0700) && errno != EEXIST) {
		err = -errno;
		diag_error(&d, "cannot make the directory %s: %s", o->state, strerror(-err));
	}
	err = err ?: write_bans(path, bans, &d);
	if (err)
		return verb_end(o, &d, exit_of(err));
	if (o->json) {
		__cleanup_json json_object *doc = json_document();

		json_num(doc, "saved", n);
		json_str(doc, "file", path);
		json_print(doc, stdout);
	} else {
		say(o, "saved %zu ban%s in %s", n, n == 1 ? "" : "s", path);
	}
	return verb_end(o, &d, EXIT_DONE);
}

int verb_restore(const struct options *o, int argc, char **argv)
{
	__cleanup_free char *path = NULL;
	__cleanup_close int fd = -1;
	struct diag d = { 0 };
	struct ban_feed f = { .o = o, .d = &d, .force = true, .format = BAN_PLAIN };
	int err;

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, "restore", "one file is enough"));
	path = state_file(o, argc, argv);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 && errno == ENOENT && argc == 1) {
		diag_note(&d, "%s is not there: nothing was saved", path);
		return verb_end(o, &d, EXIT_DONE);
	}
	if (fd < 0) {
		diag_error(&d, "%s: %s", path, strerror(errno));
		return verb_end(o, &d, EXIT_USAGE);
	}
	f.name = path;
	err = feed_lines(&f, fd);
	if (err)
		return verb_end(o, &d, exit_of(err));
	if (o->json) {
		__cleanup_json json_object *doc = json_document();

		json_num(doc, "restored", f.banned);
		json_num(doc, "expired", f.over);
		json_num(doc, "refused", f.refused);
		json_print(doc, stdout);
	} else {
		say(o, "restored %zu ban%s from %s; %zu had expired", f.banned, f.banned == 1 ? "" : "s", path, f.over);
	}
	return verb_end(o, &d, f.refused ? EXIT_PARTLY : EXIT_DONE);
}
