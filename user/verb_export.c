// SPDX-License-Identifier: GPL-2.0-only
/*
 * `export`: the counters for monitoring, read at the moment of asking. Not being loaded is an answer, not a failure:
 * the figures say so, and whoever collects them sees it.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "export.h"
#include "tell.h"

struct job {
	struct look look;
	struct rules file;
	struct config_view config;
	struct limit_use limits;
	struct dp_bans_owner *bans;
	struct iface_view *view; /* as the rules in force name them */
	struct export export;
};

static void job_free(struct job *j)
{
	for (size_t i = 0; i < j->export.nifaces; i++)
		free(j->export.iface[i].counts);
	free(j->export.iface);
	free(j->view);
	limit_use_free(&j->limits);
	free(j->bans);
	config_view_free(&j->config);
	rules_free(&j->file);
	look_close(&j->look);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static bool has_iface(const struct export *e, const char *name)
{
	for (size_t i = 0; i < e->nifaces; i++)
		if (strcmp(e->iface[i].view.name, name) == 0 ||
		    (e->iface[i].view.kernel && strcmp(e->iface[i].view.kernel->now, name) == 0))
			return true;
	return false;
}

static void add_iface(struct export *e, const struct iface_view *v)
{
	e->iface = xrealloc(e->iface, (e->nifaces + 1) * sizeof(*e->iface));
	e->iface[e->nifaces++] = (struct export_iface){ .view = *v };
}

/* Those in force, and those that the file names and nobody attached. */
static void collect_ifaces(struct job *j, const struct options *o)
{
	struct export *e = &j->export;
	size_t n = 0;

	if (e->loaded)
		j->view = look_ifaces(&j->look, &n);
	for (size_t i = 0; i < n; i++)
		if (look_wants(o, j->view[i].name))
			add_iface(e, &j->view[i]);
	for (size_t i = 0; i < j->file.n; i++) {
		const struct stmt *s = &j->file.v[i];

		if (s->kind == STMT_INTERFACE && look_wants(o, s->name) && !has_iface(e, s->name))
			add_iface(e, &(struct iface_view){ .name = s->name, .state = IFACE_MISSING });
	}
}

/* Only where connections are counted: the kernel's table of sockets is long to read. */
static void collect_limits(struct job *j, struct diag *d)
{
	struct diag quiet = { 0 };

	for (size_t i = 0; i < j->look.rules.n && !j->export.limits; i++)
		if (j->look.rules.v[i].limits.connections)
			j->export.limits = &j->limits;
	if (j->export.limits && limit_use_read(&j->limits, &j->look, &quiet)) {
		diag_warn(d, "the figures of limits are left out: %s", quiet.n ? quiet.msg[0].text : "they cannot be read");
		j->export.limits = NULL;
	}
	diag_free(&quiet);
}

static int collect_bans(struct job *j, struct diag *d)
{
	struct dp_bans *t;
	int err = dp_bans_open(&t, j->look.dp, true, d);

	if (err)
		return err;
	err = dp_bans_owners(t, &j->bans, &j->export.nbans, d);
	j->export.bans = j->bans;
	dp_bans_close(t, d);
	return err;
}

static int collect(struct job *j, const struct options *o, struct diag *d)
{
	double began = now();
	int err = look_open(&j->look, o, d);

	if (err && !(err == -ENOENT && d->errors == 0))
		return err;
	j->export = (struct export){ .version = MXDP_VERSION, .revision = MXDP_REVISION, .look = &j->look,
				     .loaded = err == 0, .config = &j->config };
	config_look(&j->config, o->config, &j->look.rules, &j->file);
	collect_ifaces(j, o);
	for (size_t i = 0; i < j->export.nifaces; i++) {
		struct export_iface *f = &j->export.iface[i];

		if (!f->view.kernel)
			continue;
		err = look_counts(&j->look, f->view.name, &f->counts, d);
		if (err)
			return err;
	}
	collect_limits(j, d);
	if (j->export.loaded) {
		err = collect_bans(j, d);
		if (err)
			return err;
	}
	j->export.memory = j->export.loaded ? dp_memory(j->look.dp) : 0;
	j->export.seconds = now() - began;
	return 0;
}

static void print(const struct job *j, bool json, FILE *to)
{
	if (json)
		export_json(&j->export, to);
	else
		export_prometheus(&j->export, to);
}

static int cannot_write(struct diag *d, const char *path)
{
	int err = errno ? errno : EIO;

	diag_error(d, "cannot write %s: %s", path, strerror(err));
	return -err;
}

/*
 * Beside it and renamed, so that a collector never reads half of it. No fsync: after a crash the figures would be stale
 * anyway, and this runs every few seconds.
 */
static int write_file(const struct job *j, bool json, const char *path, struct diag *d)
{
	__cleanup_free char *beside = xasprintf("%s.%d", path, (int)getpid());
	int fd = open(beside, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
	FILE *to = fd >= 0 ? fdopen(fd, "w") : NULL;
	bool good;
	int err;

	if (!to) {
		err = cannot_write(d, path);
		if (fd >= 0)
			close(fd);
		return err;
	}
	print(j, json, to);
	/* readable for the collector, whatever the umask */
	good = fchmod(fd, 0644) == 0 && !ferror(to);
	if (fclose(to) == 0 && good && rename(beside, path) == 0)
		return 0;
	err = cannot_write(d, path);
	unlink(beside);
	return err;
}

static int wants_json(const struct options *o, bool *json, struct diag *d)
{
	*json = o->json;
	if (!o->format)
		return 0;
	if (strcmp(o->format, "json") == 0) {
		*json = true;
		return 0;
	}
	if (strcmp(o->format, "prometheus") == 0 && !o->json)
		return 0;
	if (strcmp(o->format, "prometheus") == 0)
		return usage_error(d, "export", "--json and --format prometheus contradict each other");
	return usage_error(d, "export", "unknown format \"%s\"; there are prometheus and json", o->format);
}

static bool ends_with(const char *s, const char *end)
{
	size_t n = strlen(s), m = strlen(end);

	return n >= m && strcmp(s + n - m, end) == 0;
}

int verb_export(const struct options *o, int argc, char **argv)
{
	__cleanup(job_free) struct job j = { 0 };
	struct diag d = { 0 };
	bool json;
	int err;

	if (argc > 1) {
		usage_error(&d, "export", "`export` takes no words, \"%s\" is one", argv[1]);
		return verb_end(o, &d, EXIT_USAGE);
	}
	if (wants_json(o, &json, &d))
		return verb_end(o, &d, EXIT_USAGE);
	err = collect(&j, o, &d);
	if (err)
		return verb_end(o, &d, exit_code_of(err));
	if (!o->output) {
		print(&j, json, stdout);
		return look_end(o, &d, EXIT_DONE);
	}
	if (!json && !ends_with(o->output, ".prom"))
		diag_warn(&d, "%s does not end in .prom: node_exporter's textfile collector will not read it",
			  o->output);
	err = write_file(&j, json, o->output, &d);
	return verb_end(o, &d, err ? EXIT_KERNEL : EXIT_DONE);
}
