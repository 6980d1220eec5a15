// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include "change.h"
#include "cookies.h"
#include "listfile.h"
#include "listpack.h"
#include "out.h"
#include "tell.h"
#include "trial.h"

/* where rules_parse_args() says a sentence stands */
#define COMMAND_LINE "command line"

#define NEW_FILE \
	"# mxdp: which TCP ports this host opens, and to whom. `mxdp help` explains the sentences, `mxdp check`\n" \
	"# reads this file and changes nothing, `mxdp apply` puts it in force. What no sentence allows is denied.\n" \
	"#\n" \
	"# admin ssh from 192.0.2.0/24          the way in that nothing can lock\n" \
	"# allow smtp                           mail from everywhere\n" \
	"# allow submission, submissions, imaps\n" \
	"\n"

int exit_code_of(int err)
{
	switch (err) {
	case 0:
		return EXIT_DONE;
	case -EINVAL:
	case -E2BIG:
	case -EFBIG:
	case -ERANGE:
	case -EDOM:
	case -EOVERFLOW:
	case -ENAMETOOLONG:
	case -EILSEQ:
		return EXIT_USAGE;
	default:
		return EXIT_KERNEL;
	}
}

int running_rules(const struct options *o, struct datapath *dp, struct rules *r, struct diag *d)
{
	__cleanup_free void *blob = NULL;
	size_t len = 0;
	int err;

	(void)o;
	*r = (struct rules){ 0 };
	err = dp_frozen(dp, &blob, &len, d);
	if (err)
		return err == -ENODATA ? -ENOENT : err;
	return rules_thaw(r, blob, len, d);
}

void dp_release(struct datapath **dp)
{
	if (*dp)
		dp_close(*dp);
	*dp = NULL;
}

void rules_drop(struct rules *r, size_t i)
{
	stmt_free(&r->v[i]);
	memmove(&r->v[i], &r->v[i + 1], (r->n - i - 1) * sizeof(*r->v));
	r->n--;
}

static struct stmt *rules_add(struct rules *r, const struct stmt *s)
{
	r->v = xrealloc(r->v, (r->n + 1) * sizeof(*r->v));
	stmt_copy(&r->v[r->n], s);
	return &r->v[r->n++];
}

const struct stmt *interface_named(const struct rules *r, const char *name)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == STMT_INTERFACE && (!name || !strcmp(r->v[i].name, name)))
			return &r->v[i];
	return NULL;
}

static const struct stmt *first_of(const struct rules *r, enum stmt_kind kind)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == kind)
			return &r->v[i];
	return NULL;
}

/* ---- the standing state, and the way back to it ---- */

/* Errors, and those remarks that begin with `remarks` ("": all, NULL: none). */
static void merge(struct diag *to, struct diag *from, const char *remarks)
{
	for (size_t i = 0; i < from->n; i++)
		if (from->msg[i].level == DIAG_ERROR ||
		    (remarks && !strncmp(from->msg[i].text, remarks, strlen(remarks))))
			diag_add(to, from->msg[i].level, "%s", from->msg[i].text);
	diag_free(from);
}

/* What another version keeps is read as it is where both keep it alike; the contents of lists are in that. */
static bool standing_same(struct standing *was, struct datapath *dp)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup(diag_free) struct diag quiet = { 0 };

	if (dp_frozen(dp, &was->frozen, &was->nfrozen, &quiet))
		return false;
	if (!rules_thaw(&r, was->frozen, was->nfrozen, &quiet))
		return true;
	free(take(was->frozen));
	return false;
}

/* What another version of mxdp has in force, as we would keep it. */
static int standing_hear(struct standing *was, struct datapath *dp, bool mend, struct diag *d)
{
	__cleanup_free char *text = NULL;
	__cleanup_rules struct rules r = { 0 };
	size_t len = 0;
	int err;

	was->loaded = true;
	if (standing_same(was, dp))
		return 0;
	err = dp_said(dp, &text, &len, d);
	if (!err)
		err = rules_heard(&r, text, len, d);
	if (!err)
		was->frozen = rules_freeze(&r, &was->nfrozen);
	else if (mend)
		diag_warn(d, "the rules that another version of mxdp has in force cannot be read");
	for (size_t i = 0; i < r.nlists; i++)
		if (r.lists[i].path)
			diag_warn(d, "list \"%s\": another version of mxdp keeps it otherwise, so it was read from %s again", r.lists[i].name,
				  r.lists[i].path);
	return mend ? 0 : err;
}

int standing_take(struct standing *was, struct datapath *dp, bool mend, struct diag *d)
{
	struct diag found = { 0 };
	int err;

	*was = (struct standing){ 0 };
	if (dp_other_version(dp)) {
		err = standing_hear(was, dp, mend, d);
		return err ?: dp_ifaces(dp, &was->ifaces, &was->nifaces, d);
	}
	err = dp_frozen(dp, &was->frozen, &was->nfrozen, mend ? &found : d);
	if (err == -EBADMSG && mend) {
		diag_warn(d, "the rules in force cannot be read, somebody else wrote into their copy; they are replaced");
		was->loaded = true;
		err = 0;
	} else {
		was->loaded = !err;
	}
	if (err == -ENODATA || !err)
		diag_free(&found);
	else
		merge(d, &found, "");
	if (err && err != -ENODATA)
		return err;
	return dp_ifaces(dp, &was->ifaces, &was->nifaces, d);
}

void standing_free(struct standing *was)
{
	free(was->frozen);
	free(was->ifaces);
	*was = (struct standing){ 0 };
}

static const struct dp_iface *iface_in(const struct dp_iface *v, size_t n, const char *name)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, name))
			return &v[i];
	return NULL;
}

/* The same interface, though its pins may have got another name meanwhile. */
static const struct dp_iface *same_iface(const struct dp_iface *v, size_t n, const struct dp_iface *as)
{
	for (size_t i = 0; i < n; i++)
		if (as->link_ifindex && v[i].link_ifindex == as->link_ifindex)
			return &v[i];
	return iface_in(v, n, as->name);
}

static uint32_t lease_lines(const struct rules *r)
{
	const struct stmt *track = first_of(r, STMT_TRACK);
	unsigned long leases = track && track->leases ? track->leases : DEFAULT_LEASES;
	uint32_t lines = 1;

	while (lines < (leases + 3) / 4)
		lines <<= 1;
	return lines;
}

/* 0 or an exit code. */
static int compile_for(struct datapath *dp, const struct rules *r, struct image *img, struct diag *d)
{
	__cleanup_free struct service *before = xcalloc(MXDP_SERVICES, sizeof(*before));
	int err;

	if (dp) {
		err = dp_services(dp, before, d);
		if (err && err != -ENODATA)
			return EXIT_KERNEL;
	}
	return exit_code_of(image_compile(img, r, dp ? before : NULL, d));
}

static int put_rules(struct datapath *dp, const struct rules *r, struct diag *d)
{
	__cleanup(image_free) struct image img = { 0 };
	int code = compile_for(dp, r, &img, d);

	if (code)
		return code;
	return dp_put(dp, &img, lease_lines(r), d) ? EXIT_KERNEL : EXIT_DONE;
}

/* Larger tables take what is in force along, for the way back. */
static int put_on_trial(struct datapath *dp, const struct rules *r, const struct standing *was, unsigned int seconds,
			struct diag *d)
{
	__cleanup(image_free) struct image img = { 0 }, back = { 0 };
	__cleanup_rules struct rules before = { 0 };
	int code = compile_for(dp, r, &img, d);
	bool grows = !code && dp_put_grows(dp, &img, lease_lines(r));

	if (!code && grows && rules_thaw(&before, was->frozen, was->nfrozen, d))
		code = EXIT_KERNEL;
	if (!code && grows)
		code = compile_for(dp, &before, &back, d);
	if (code)
		return code;
	return dp_put_trial(dp, &img, grows ? &back : NULL, lease_lines(r), seconds, d) ? EXIT_KERNEL : EXIT_DONE;
}

static int restore_ifaces(const struct standing *was, struct datapath *dp, struct diag *d)
{
	__cleanup_free struct dp_iface *now = NULL;
	size_t n = 0;
	int bad = dp_ifaces(dp, &now, &n, d);

	/* those that were there first: the last one out would take the maps along */
	for (size_t i = 0; i < was->nifaces; i++) {
		const struct dp_iface *is = same_iface(now, n, &was->ifaces[i]);

		if (was->ifaces[i].link_ifindex && (!is || is->mode != was->ifaces[i].mode))
			bad |= dp_attach(dp, is ? is->name : was->ifaces[i].name, was->ifaces[i].mode, d);
	}
	for (size_t i = 0; i < n; i++)
		if (!same_iface(was->ifaces, was->nifaces, &now[i]))
			bad |= dp_detach(dp, now[i].name, d);
	return bad;
}

void standing_restore(const struct standing *was, struct datapath *dp, struct diag *d)
{
	__cleanup_rules struct rules r = { 0 };
	struct dp_trial trial;
	int bad;

	dp_trial(dp, &trial);
	if (!was->loaded) {
		bad = dp_detach_all(dp, d);
	} else if (trial.running) {
		bad = dp_take_back(dp, d);
	} else {
		bad = was->frozen ? rules_thaw(&r, was->frozen, was->nfrozen, d) : -EBADMSG;
		if (!bad)
			bad = put_rules(dp, &r, d);
		bad |= restore_ifaces(was, dp, d);
	}
	if (bad)
		diag_error(d, "the state before could not be put back whole; `mxdp status` shows what is in force now");
	else
		diag_note(d, was->loaded ? "everything is in force as it was" : "nothing is attached, as before");
}

static enum dp_mode mode_of(const struct stmt *s)
{
	switch (s->mode) {
	case MODE_GENERIC:
		return DP_GENERIC;
	case MODE_AUTO:
		return DP_AUTO;
	case MODE_NATIVE:
		break;
	}
	return DP_NATIVE;
}

static int attach_named(struct datapath *dp, const struct rules *r, const char *only, struct diag *d)
{
	for (size_t i = 0; i < r->n; i++) {
		const struct stmt *s = &r->v[i];

		if (s->kind != STMT_INTERFACE || (only && strcmp(s->name, only)))
			continue;
		if (dp_attach(dp, s->name, mode_of(s), d))
			return EXIT_KERNEL;
		if (s->mode == MODE_GENERIC)
			diag_warn(d, "%s: GENERIC mode, as its sentence says: every packet gets its socket buffer before "
				     "it is judged, so a flood costs several times more than in native mode", s->name);
	}
	return EXIT_DONE;
}

static int detach_unnamed(struct datapath *dp, const struct rules *r, struct diag *d)
{
	__cleanup_free struct dp_iface *now = NULL;
	size_t n = 0;

	if (dp_ifaces(dp, &now, &n, d))
		return EXIT_KERNEL;
	for (size_t i = 0; i < n; i++)
		if (!interface_named(r, now[i].name) && dp_detach(dp, now[i].name, d))
			return EXIT_KERNEL;
	return EXIT_DONE;
}

int interfaces_as_said(struct datapath *dp, const struct rules *r, struct diag *d)
{
	return attach_named(dp, r, NULL, d) ?: detach_unnamed(dp, r, d);
}

/* What the trial would detach has no way back to the filter, so it waits. */
static int note_unnamed(struct datapath *dp, const struct rules *r, struct diag *d)
{
	__cleanup_free struct dp_iface *now = NULL;
	size_t n = 0;

	if (dp_ifaces(dp, &now, &n, d))
		return EXIT_KERNEL;
	for (size_t i = 0; i < n; i++)
		if (!interface_named(r, now[i].name))
			diag_note(d, "%s stays filtered until the policy is confirmed", now[i].name);
	return EXIT_DONE;
}

int would_compile(struct datapath *dp, const struct rules *r, struct diag *d)
{
	__cleanup(image_free) struct image img = { 0 };

	return compile_for(dp, r, &img, d);
}

/* A Ctrl-C between two steps would leave the first one standing alone. */
void hold_signals(sigset_t *before)
{
	static const int held[] = { SIGINT, SIGTERM, SIGHUP, SIGQUIT, SIGPIPE };
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(held) / sizeof(*held); i++)
		sigaddset(&set, held[i]);
	sigprocmask(SIG_BLOCK, &set, before);
}

void release_signals(const sigset_t *before)
{
	sigprocmask(SIG_SETMASK, before, NULL);
}

int put_in_force(struct datapath *dp, const struct rules *r, const struct standing *was, enum put_ifaces which,
		 const char *ifname, unsigned int seconds, struct diag *d)
{
	sigset_t signals;
	int code;

	hold_signals(&signals);
	code = seconds ? put_on_trial(dp, r, was, seconds, d) : put_rules(dp, r, d);
	if (!code)
		cookies_warn(dp_cookies(dp), d);
	if (!code && which != PUT_NONE)
		code = attach_named(dp, r, which == PUT_ONE ? ifname : NULL, d);
	if (!code && which == PUT_ALL)
		code = seconds ? note_unnamed(dp, r, d) : detach_unnamed(dp, r, d);
	if (!code && seconds && dp_trial_renew(dp, seconds, d))
		code = EXIT_KERNEL;
	if (code)
		standing_restore(was, dp, d);
	release_signals(&signals);
	return code;
}

/* ---- what protects the operator (and guard.c) ---- */

/* Does s speak of somebody? A list may be empty. */
static bool speaks_of_somebody(const struct rules *r, const struct stmt *s)
{
	for (size_t i = 0; i < s->nsources; i++) {
		const struct list *l = s->sources[i].kind == SOURCE_LIST ? rules_list(r, s->sources[i].list) : NULL;

		if (!l || l->n)
			return true;
	}
	return s->nsources == 0;
}

static bool lets_in(const struct rules *r, const struct stmt *s)
{
	if (s->kind == STMT_DEFAULT)
		return !s->deny;
	return (s->kind == STMT_ALLOW || s->kind == STMT_ADMIN) && speaks_of_somebody(r, s);
}

/* Does no sentence let anybody open anything? */
static bool is_shut(const struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (lets_in(r, &r->v[i]))
			return false;
	return true;
}

void warn_if_shut(const struct rules *r, struct diag *d)
{
	bool observes = first_of(r, STMT_OBSERVE);

	if (is_shut(r))
		diag_warn(d, "no sentence allows anything: %severy new TCP connection to this host %s refused; say "
			     "`mxdp allow smtp`, for example, and `mxdp admin ssh from YOUR-ADDRESS`",
			  observes ? "when enforcing, " : "", observes ? "will be" : "is");
}

/* What lets somebody in, the first few named: "`allow smtp` (mxdp.conf:8), `observe` (...) and 3 more". Malloc'd. */
static char *what_lets_in(const struct rules *r)
{
	enum { NAMED = 4 };
	char *text = xstrdup("");
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++) {
		__cleanup_free char *was = NULL, *said = NULL, *place = NULL;

		if ((r->v[i].kind != STMT_OBSERVE && !lets_in(r, &r->v[i])) || ++n > NAMED)
			continue;
		was = text;
		said = stmt_text(&r->v[i]);
		place = place_text(&r->v[i]);
		text = xasprintf("%s%s`%s` (%s)", was, n > 1 ? ", " : "", said, place);
	}
	if (n > NAMED) {
		__cleanup_free char *was = text;

		text = xasprintf("%s and %zu more", was, n - NAMED);
	}
	return text;
}

size_t in_file(const struct rules *r, const char *file)
{
	size_t n = 0;

	for (size_t i = 0; i < r->n; i++)
		n += r->v[i].at.file && !strcmp(r->v[i].at.file, file);
	return n;
}

bool shuts_everybody(const struct options *o, const struct rules *r, const struct rules *before, const char *file,
		     struct diag *d)
{
	__cleanup_free char *lost = NULL;
	bool empty;

	if (o->force || !before || !is_shut(r) || first_of(r, STMT_OBSERVE) ||
	    (is_shut(before) && !first_of(before, STMT_OBSERVE))) {
		warn_if_shut(r, d);
		return false;
	}
	lost = what_lets_in(before);
	empty = file && !in_file(r, file);
	diag_error(d, "%s%safter this nobody could open any TCP port of this host; in force now, and lost then: %s. "
		      "--force does it all the same", file ? file : "", !file ? "" : empty ? ": no sentence in it; " : ": ",
		   lost);
	return true;
}

/* ---- the files ---- */

bool file_exists(const char *path)
{
	struct stat st;

	return stat(path, &st) == 0 || errno != ENOENT;
}

char *path_absolute(const char *path)
{
	__cleanup_free char *here = path[0] == '/' ? NULL : getcwd(NULL, 0);

	return here ? xasprintf("%s/%s", here[1] ? here : "", path) : xstrdup(path);
}

/* A directory of another name is mistyped as easily as it is meant. */
static int make_directory(const char *file, struct diag *d)
{
	__cleanup_free char *dir = xstrdup(file);
	char *slash = strrchr(dir, '/');

	if (!slash || slash == dir)
		return EXIT_DONE;
	*slash = '\0';
	if (strcmp(file, DEFAULT_CONFIG)) {
		if (file_exists(dir))
			return EXIT_DONE;
		diag_error(d, "%s: there is no such directory, so %s cannot be begun in it", dir, slash + 1);
		return EXIT_USAGE;
	}
	if (mkdir(dir, 0755) && errno != EEXIST) {
		diag_error(d, "%s: cannot make the directory: %s", dir, strerror(errno));
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int open_files(struct change *c, bool create)
{
	const char *path = c->o->config;
	bool fresh = !file_exists(path);

	if (fresh && (!create || c->o->dry_run)) {
		if (create)
			return EXIT_DONE;
		diag_error(c->d, "%s: no such file; `mxdp attach INTERFACE` begins one, --runtime changes only what is in "
				 "force", path);
		return EXIT_USAGE;
	}
	if (fresh && make_directory(path, c->d))
		return EXIT_USAGE;
	if (conffile_open(&c->file, path, create, c->d)) {
		c->file = (struct conffile){ .lock_fd = -1 };
		return EXIT_USAGE;
	}
	if (c->file.len == 0 && create) {
		free(c->file.text);
		c->file.text = xstrdup(NEW_FILE);
		c->file.len = strlen(NEW_FILE);
	}
	if (rules_parse(&c->written, path, c->file.text, c->file.len, c->d) ||
	    rules_parse_dropins(&c->dropins, path, c->d)) {
		diag_note(c->d, "nothing was changed; --runtime changes only what is in force and reads no file");
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int open_kernel(struct change *c)
{
	int err = dp_open(&c->dp, c->o->bpffs, c->o->dry_run ? DP_LOOK : c->attach ? DP_TAKE : DP_CHANGE, c->d);

	if (err) {
		c->dp = NULL;
		return err == -ENOENT ? EXIT_DONE : EXIT_KERNEL;
	}
	if (standing_take(&c->was, c->dp, false, c->d))
		return EXIT_KERNEL;
	c->loaded = c->was.loaded;
	if (c->loaded && rules_thaw(&c->running, c->was.frozen, c->was.nfrozen, c->d))
		return EXIT_KERNEL;
	return EXIT_DONE;
}

int change_begin(struct change *c, const struct options *o, struct diag *d, bool create)
{
	int code = EXIT_DONE;

	*c = (struct change){
		.o = o, .d = d, .attach = c->attach, .detach = c->detach, .plan = c->plan, .file.lock_fd = -1, .listed.lock_fd = -1,
		.past.state = o->state,
	};
	if (!o->runtime)
		code = open_files(c, create);
	if (!code)
		code = open_kernel(c);
	if (!code && c->loaded && dp_change_allowed(c->dp, d))
		code = EXIT_KERNEL;
	if (!code && o->runtime && !c->loaded && !c->attach && !c->detach) {
		__cleanup_free char *begin = how_to_begin(o->config);

		diag_error(d, "mxdp is not loaded here, so there is nothing in force to change; %s", begin);
		code = EXIT_KERNEL;
	}
	return code;
}

void change_end(struct change *c)
{
	dp_release(&c->dp);
	if (c->listed.path)
		conffile_close(&c->listed);
	if (c->file.path)
		conffile_close(&c->file);
	rules_free(&c->written);
	rules_free(&c->dropins);
	rules_free(&c->running);
	standing_free(&c->was);
	lists_past_free(&c->past);
}

/* ---- edits ---- */

struct stmt *change_standing(const struct rules *r, const struct stmt *s)
{
	for (size_t i = 0; i < r->n; i++) {
		struct stmt *t = &r->v[i];

		if (t->kind != s->kind)
			continue;
		switch (s->kind) {
		case STMT_DEFAULT:
		case STMT_OBSERVE:
		case STMT_TRACK:
		case STMT_ON_STOP:
			return t;
		case STMT_INTERFACE:
		case STMT_LIST:
			if (!strcmp(t->name, s->name))
				return t;
			break;
		default:
			if (stmt_same(t, s))
				return t;
		}
	}
	return NULL;
}

const struct stmt *change_in_files(const struct change *c, const struct stmt *s)
{
	const struct stmt *found = rules_find(&c->written, s);

	return found ? found : rules_find(&c->dropins, s);
}

static int stands_in_dropin(struct change *c, const struct stmt *t)
{
	__cleanup_free char *text = stmt_text(t), *place = place_text(t);

	diag_error(c->d, "`%s` stands in %s, which only you edit; change it there and `mxdp apply`, or change what is "
			 "in force with --runtime", text, place);
	return -EINVAL;
}

static int say_in_file(struct change *c, const struct stmt *s)
{
	__cleanup_free char *text = stmt_text(s);
	const struct stmt *old;

	if (!c->file.path || change_in_files(c, s))
		return 0;
	old = change_standing(&c->dropins, s);
	if (old)
		return stands_in_dropin(c, old);
	old = change_standing(&c->written, s);
	if (old && conffile_replace_line(&c->file, old->at.line, text, c->d))
		return -EINVAL;
	if (!old)
		conffile_append(&c->file, text);
	c->file_edited = true;
	return 0;
}

int change_say(struct change *c, const struct stmt *s)
{
	struct stmt *old;
	int err = say_in_file(c, s);

	if (err || !c->loaded || rules_find(&c->running, s))
		return err;
	old = change_standing(&c->running, s);
	if (old) {
		stmt_free(old);
		stmt_copy(old, s);
	} else {
		rules_add(&c->running, s);
	}
	c->running_edited = true;
	return 0;
}

static bool is_meant(const struct stmt *t, const struct stmt *s, enum unsay how)
{
	return how == UNSAY_BY_NAME ? t->kind == s->kind && !strcmp(t->name, s->name) : stmt_same(t, s);
}

static int unsay_in_file(struct change *c, const struct stmt *s, enum unsay how)
{
	if (!c->file.path)
		return 0;
	for (size_t i = 0; i < c->dropins.n; i++)
		if (is_meant(&c->dropins.v[i], s, how))
			return stands_in_dropin(c, &c->dropins.v[i]);
	/* from the end, so that the lines before keep their numbers */
	for (size_t i = c->written.n; i--;) {
		if (!is_meant(&c->written.v[i], s, how))
			continue;
		if (conffile_remove_line(&c->file, c->written.v[i].at.line, c->d))
			return -EINVAL;
		c->file_edited = true;
	}
	return 0;
}

int change_unsay(struct change *c, const struct stmt *s, enum unsay how)
{
	int err = unsay_in_file(c, s, how);

	if (err)
		return err;
	for (size_t i = c->running.n; i--;) {
		if (!is_meant(&c->running.v[i], s, how))
			continue;
		rules_drop(&c->running, i);
		c->running_edited = true;
	}
	return 0;
}

static int keep_one(struct rules *r, const struct stmt *s, struct diag *d)
{
	struct stmt *old = change_standing(r, s), was = { 0 };
	struct diag found = { 0 };
	int err;

	if (old) {
		was = *old;
		stmt_copy(old, s);
	} else {
		old = rules_add(r, s);
	}
	err = rules_finish(r, &found);
	if (!err) {
		stmt_free(&was);
	} else {
		__cleanup_free char *text = stmt_text(s);

		diag_warn(d, "`%s`, said with --runtime, does not go with the files and is not kept: %s", text,
			  found.n ? found.msg[0].text : "");
		if (was.at.file) {
			stmt_free(old);
			*old = was;
		} else {
			rules_drop(r, old - r->v);
		}
	}
	diag_free(&found);
	return err;
}

size_t rules_keep_runtime(struct rules *r, const struct rules *running, struct diag *d)
{
	size_t kept = 0;

	for (size_t i = 0; i < running->n; i++)
		if (!running->v[i].at.file && !rules_find(r, &running->v[i]))
			kept += !keep_one(r, &running->v[i], d);
	return kept;
}

/* ---- commit ---- */

static void lists_copy(struct rules *to, const struct rules *from)
{
	to->lists = xcalloc(from->nlists, sizeof(*to->lists));
	to->nlists = from->nlists;
	for (size_t i = 0; i < from->nlists; i++) {
		struct list *l = &to->lists[i];

		*l = from->lists[i];
		l->name = xstrdup(l->name);
		l->path = l->path ? xstrdup(l->path) : NULL;
		l->v = xmalloc(l->n * sizeof(*l->v));
		memcpy(l->v, from->lists[i].v, l->n * sizeof(*l->v));
	}
}

/* The sentence of `in` that says what s says. `from`: where to begin, for both are nearly in the same order. */
static const struct stmt *find_from(const struct rules *in, const struct stmt *s, size_t *from)
{
	for (size_t k = 0; k < in->n; k++) {
		size_t i = (*from + k) % in->n;

		if (!stmt_same(&in->v[i], s))
			continue;
		*from = (i + 1) % in->n;
		return &in->v[i];
	}
	return NULL;
}

/*
 * While the file is as it was, a sentence stands on its line of now, and the one just said on the command line: so the
 * messages say it. Returns the lines of then; restore_places() sets them.
 */
static struct origin *places_of_now(struct rules *after, const struct rules *written)
{
	struct origin *then = xcalloc(after->n, sizeof(*then));
	size_t from = 0;

	for (size_t i = 0; i < after->n; i++) {
		struct origin *at = &after->v[i].at;
		const struct stmt *was = find_from(written, &after->v[i], &from);

		then[i] = *at;
		at->file = xstrdup(was ? at->file : COMMAND_LINE);
		at->line = was ? was->at.line : at->line;
		at->column = was ? was->at.column : at->column;
	}
	return then;
}

static void restore_places(struct rules *after, const struct origin *then, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		free(after->v[i].at.file);
		after->v[i].at = then[i];
	}
}

/* The files as they will be, read as a whole. Lists in force are not read again: they are not what is being changed. */
static int check_files(struct change *c, struct rules *after)
{
	__cleanup_free struct origin *then = NULL;
	struct diag found = { 0 };
	int err = rules_parse(after, c->o->config, c->file.text, c->file.len, &found);
	size_t n = after->n;

	if (!err) {
		then = places_of_now(after, &c->written);
		for (size_t i = 0; i < c->dropins.n; i++)
			rules_add(after, &c->dropins.v[i]);
		if (c->loaded)
			lists_copy(after, &c->running);
		err = rules_finish_over(after, c->attach && !c->loaded ? &c->past : NULL, &found);
		restore_places(after, then, n);
	}
	merge(c->d, &found, c->attach ? "" : NULL);
	if (!err)
		return EXIT_DONE;
	diag_note(c->d, "nothing was changed");
	return EXIT_USAGE;
}

/* Sentences in force that stand in the files are named by the line where they stand now. */
static void relocate(struct rules *running, const struct rules *after)
{
	size_t from = 0;

	for (size_t i = 0; i < running->n; i++) {
		struct stmt *s = &running->v[i];
		const struct stmt *t = find_from(after, s, &from);

		if (!t)
			continue;
		free(s->at.file);
		s->at = t->at;
		s->at.file = t->at.file ? xstrdup(t->at.file) : NULL;
	}
}

static void forget_command_line(struct rules *r)
{
	for (size_t i = 0; i < r->n; i++) {
		struct origin *at = &r->v[i].at;

		if (at->file && !strcmp(at->file, COMMAND_LINE)) {
			free(at->file);
			*at = (struct origin){ 0 };
		}
	}
}

static int finish_running(struct change *c, const struct rules *after)
{
	struct diag found = { 0 };
	int err = rules_finish(&c->running, &found);

	merge(c->d, &found, COMMAND_LINE);
	if (err)
		return EXIT_USAGE;
	if (c->file_edited) {
		relocate(&c->running, after);
	} else {
		relocate(&c->running, &c->dropins);
		relocate(&c->running, &c->written);
	}
	forget_command_line(&c->running);
	return EXIT_DONE;
}

/* The first attach puts all of the files in force. */
static int load_first(struct change *c, struct rules *all)
{
	const struct stmt *s = c->attach;
	struct stmt *old;
	int err = 0;

	if (!c->o->runtime && c->file.path)
		return check_files(c, all);
	if (file_exists(c->o->config))
		err = rules_load_over(all, c->o->config, &c->past, c->d);
	if (err)
		return EXIT_USAGE;
	old = change_standing(all, s);
	if (old) {
		stmt_free(old);
		stmt_copy(old, s);
	} else {
		rules_add(all, s);
	}
	forget_command_line(all);
	return rules_finish(all, c->d) ? EXIT_USAGE : EXIT_DONE;
}

static int create_datapath(struct change *c)
{
	__cleanup_free void *blob = NULL;
	size_t len;

	if (c->dp)
		return EXIT_DONE;
	if (dp_open(&c->dp, c->o->bpffs, DP_CREATE, c->d)) {
		c->dp = NULL;
		return EXIT_KERNEL;
	}
	if (dp_frozen(c->dp, &blob, &len, c->d) == -ENODATA)
		return EXIT_DONE;
	diag_error(c->d, "another mxdp command loaded the filter at this moment; run this one again");
	return EXIT_KERNEL;
}

/* A full disk shows before anything is in force; and the disk's time passes while the kernel waits for its packets. */
static int prepare_files(struct change *c)
{
	if (c->file_edited && conffile_prepare(&c->file, c->d))
		return EXIT_KERNEL;
	if (c->listed_edited && conffile_prepare(&c->listed, c->d))
		return EXIT_KERNEL;
	return EXIT_DONE;
}

/* What is in force says the same as a file that was prepared: so edits of single prefixes find both as one. */
static void stamp_listed(struct change *c)
{
	struct list *l = c->listed_is && c->listed.ready ? rules_list(&c->running, c->listed_is) : NULL;

	if (l)
		l->stamp = list_stamp_of(c->listed.ready);
}

static int write_files(struct change *c)
{
	if (c->file_edited && conffile_commit(&c->file, c->d))
		return EXIT_KERNEL;
	if (c->listed_edited && conffile_commit(&c->listed, c->d))
		return EXIT_KERNEL;
	return EXIT_DONE;
}

/* The rules of an interface that is the last one go with it. */
static bool last_one(const struct change *c)
{
	return c->detach && c->was.nifaces == 1 && !strcmp(c->was.ifaces[0].name, c->detach);
}

static enum put_ifaces which_ifaces(const struct change *c)
{
	return !c->attach ? PUT_NONE : c->loaded ? PUT_ONE : PUT_ALL;
}

/* The sentence is written when it is confirmed. */
static int do_on_trial(struct change *c, const struct rules *r, const struct rules *before)
{
	__cleanup_free char *text = stmt_text(c->attach), *what = xasprintf("attach %s", c->attach->name);
	const struct occasion x = {
		.plan = c->plan, .what = what, .r = r, .before = before, .attach = c->o->runtime ? NULL : text,
	};
	int code = c->loaded ? EXIT_DONE : create_datapath(c);

	if (!code)
		code = trial_prepare(c->o, &x, dp_epoch(c->dp) + 1, c->d);
	if (code)
		return code;
	code = put_in_force(c->dp, r, &c->was, which_ifaces(c), c->attach->name, c->plan->seconds, c->d);
	if (code)
		trial_abandon(c->o);
	return code;
}

static int do_it(struct change *c, const struct rules *r)
{
	bool put = r && !last_one(c);
	int code = prepare_files(c);

	if (code)
		return code;
	stamp_listed(c);
	if (put && (c->loaded || c->attach)) {
		if (!c->loaded)
			code = create_datapath(c);
		if (!code)
			code = put_in_force(c->dp, r, &c->was, which_ifaces(c), c->attach ? c->attach->name : NULL, 0,
					    c->d);
		if (code)
			return code;
	}
	code = write_files(c);
	if (code) {
		if (put && c->dp)
			standing_restore(&c->was, c->dp, c->d);
		return code;
	}
	if (c->detach && iface_in(c->was.ifaces, c->was.nifaces, c->detach) && dp_detach(c->dp, c->detach, c->d))
		return EXIT_PARTLY;
	return EXIT_DONE;
}

/* What is kept on disk of what is in force now. */
static void keep_done(struct change *c, const struct rules *r, const struct rules *before)
{
	__cleanup_free char *what = c->attach ? xasprintf("attach %s", c->attach->name) : NULL;

	if (c->plan && what)
		put_for_good(c->o, &(struct occasion){ .plan = c->plan, .what = what, .r = r, .before = before,
						       .main_file = c->o->runtime ? NULL : c->o->config }, c->d);
	if (r && !c->o->runtime && !last_one(c))
		changed_for_good(c->o, r, c->d);
}

static int do_it_undisturbed(struct change *c, const struct rules *r, const struct rules *before)
{
	bool trial = c->plan && c->plan->seconds && r;
	sigset_t signals;
	int code;

	hold_signals(&signals);
	code = trial ? do_on_trial(c, r, before) : do_it(c, r);
	if (!code && !trial && r)
		keep_done(c, r, before);
	release_signals(&signals);
	return code;
}

int change_commit(struct change *c)
{
	__cleanup_rules struct rules after = { 0 }, before = { 0 };
	const struct rules *r = NULL;
	int code = EXIT_DONE;

	if (c->attach && !c->loaded) {
		code = load_first(c, &after);
		r = &after;
	} else {
		if (c->file_edited)
			code = check_files(c, &after);
		if (!code && (c->running_edited || c->attach)) {
			code = finish_running(c, &after);
			r = &c->running;
		}
	}
	if (code)
		return code;
	if (r && c->loaded && rules_thaw(&before, c->was.frozen, c->was.nfrozen, c->d))
		return EXIT_KERNEL;
	if (r && cuts_operator(c->o, r, c->loaded ? &before : NULL, c->d))
		return EXIT_USAGE;
	if (r && shuts_everybody(c->o, r, c->loaded ? &before : NULL, c->o->runtime ? NULL : c->o->config, c->d))
		return EXIT_USAGE;
	if (c->o->dry_run)
		return r ? would_compile(c->dp, r, c->d) : EXIT_DONE;
	code = do_it_undisturbed(c, r, c->loaded ? &before : NULL);
	if (!code && r)
		listcopy_save_all(c->o->state, r, c->d);
	return code;
}

/* ---- what was done, in one line ---- */

struct outcome outcome_of(const struct change *c, const struct stmt *s)
{
	const struct stmt *t = change_in_files(c, s);

	return (struct outcome){
		.was_in_force = c->loaded && rules_find(&c->running, s),
		.was_written = t != NULL,
		.place = t ? place_text(t) : NULL,
	};
}

void outcome_free(struct outcome *x)
{
	mx_free(&x->place);
}

static void tell_json(const struct change *c, const struct outcome *x, const char *sentence, const char *path,
		      bool live)
{
	__cleanup_json json_object *doc = json_document();

	json_str(doc, "sentence", sentence);
	json_yes(doc, "changed", (live && !x->was_in_force) || (!c->o->runtime && !x->was_written));
	json_yes(doc, "in_force", live && !x->taken_back && !c->o->dry_run);
	json_str(doc, "file", c->o->runtime ? NULL : path);
	json_yes(doc, "dry_run", c->o->dry_run);
	json_print(doc, stdout);
}

void tell_change(const struct change *c, const struct outcome *x, const char *sentence, const char *done)
{
	const struct options *o = c->o;
	bool live = c->loaded || c->attach, silent_file = o->runtime || x->was_written, named;
	const char *path = c->listed.path ? c->listed.path : o->config;
	const char *dry = o->dry_run ? "dry run, nothing is changed: " : "";
	const char *file = x->taken_back ? "taken out of" : "written to";
	__cleanup_free char *place = x->place ? xasprintf(" (%s)", x->place) : xstrdup("");

	if (o->json)
		tell_json(c, x, sentence, path, live);
	else if (silent_file && (!live || x->was_in_force))
		say(o, x->taken_back ? "already so: no sentence says `%s`%s" : "already so: %s%s", sentence, place);
	else if (!live)
		say(o, "%s%s %s: %s", dry, file, path, sentence);
	else if (o->runtime)
		say(o, "%s%s; the files stay as they are (--runtime)", dry, done);
	else if (x->was_in_force)
		say(o, "%s%s: was in force already; now %s %s", dry, done, file, path);
	else if (x->was_written)
		say(o, x->taken_back ? "%s%s; no file said it%s" : "%s%s; was written already%s", dry, done, place);
	else
		say(o, "%s%s; %s %s", dry, done, file, path);
	named = interface_named(&c->written, NULL) || interface_named(&c->dropins, NULL);
	if (!live && !o->runtime && !x->taken_back)
		diag_note(c->d, "mxdp is not loaded here, so this is not in force; `mxdp %s` loads the rules",
			  named ? "apply" : "attach INTERFACE");
}
