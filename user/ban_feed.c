// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "ban_feed.h"
#include "change.h"
#include "out.h"
#include "tell.h"

#define FLOOR4 16
#define FLOOR6 32
#define CHUNK (1u << 20)
#define LONGEST_LINE 65536u

int64_t wall_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

int no_filter(const struct options *o, struct diag *d)
{
	__cleanup_free char *begin = how_to_begin(o->config);

	diag_error(d, "mxdp is not loaded, nothing is filtered; %s", begin);
	return -ENOENT;
}

int option_len6(const struct options *o, uint8_t *len6, struct diag *d)
{
	const char *s = o->prefix6;
	unsigned long n;
	char *end;

	*len6 = 0;
	if (!s)
		return 0;
	s += *s == '/';
	n = strtoul(s, &end, 10);
	if (*end || end == s || n < FLOOR6 || n > 128) {
		diag_error(d, "--prefix6 wants a length from %d to 128, not \"%s\"", FLOOR6, o->prefix6);
		return -EINVAL;
	}
	*len6 = n;
	return 0;
}

/* ---- open, close ---- */

int feed_open(struct ban_feed *f)
{
	int err = dp_open(&f->dp, f->o->bpffs, DP_BAN, f->d);

	if (err)
		return err == -ENOENT && !f->d->errors ? no_filter(f->o, f->d) : err;
	err = dp_bans_open(&f->table, f->dp, f->bulk, f->d);
	if (err)
		dp_release(&f->dp);
	return err;
}

int feed_close(struct ban_feed *f)
{
	int err = dp_bans_close(take(f->table), f->d);

	if (f->thawed)
		rules_free(&f->rules);
	f->thawed = false;
	if (f->dp)
		dp_release(&f->dp);
	return err;
}

/* ---- what cannot be banned ---- */

static bool touches(const struct prefix *a, const struct prefix *b)
{
	return prefix_covers(a, b) || prefix_covers(b, a);
}

static bool source_touches(const struct rules *r, const struct source *s, const struct prefix *p, bool blocked)
{
	const struct list *l = s->kind == SOURCE_LIST ? rules_list(r, s->list) : NULL;

	if (s->kind == SOURCE_PREFIX)
		return blocked ? prefix_covers(&s->prefix, p) : touches(&s->prefix, p);
	for (size_t i = 0; l && i < l->n; i++)
		if (blocked ? prefix_covers(&l->v[i], p) : touches(&l->v[i], p))
			return true;
	return false;
}

const struct stmt *feed_sentence(struct ban_feed *f, const struct prefix *p, bool blocked)
{
	if (!f->thawed) {
		struct diag quiet = { 0 };

		f->thawed = running_rules(f->o, f->dp, &f->rules, &quiet) == 0;
		diag_free(&quiet);
	}
	for (size_t i = 0; f->thawed && i < f->rules.n; i++) {
		const struct stmt *s = &f->rules.v[i];

		if (blocked ? s->kind != STMT_BLOCK : s->kind != STMT_EXEMPT && s->kind != STMT_ADMIN)
			continue;
		for (size_t k = 0; k < s->nsources; k++)
			if (source_touches(&f->rules, &s->sources[k], p, blocked))
				return s;
	}
	return NULL;
}

static int check_protected(struct ban_feed *f, const struct prefix *p)
{
	__cleanup_free char *text = NULL, *place = NULL;
	const struct stmt *s;
	char buf[PREFIX_TEXT];
	bool yes, blocked;
	int err = dp_bans_class(f->table, p, &yes, &blocked, f->d);

	if (err || !yes)
		return err;
	s = feed_sentence(f, p, false);
	if (!s)
		return 0;
	text = stmt_text(s);
	place = place_text(s);
	diag_error(f->d, "%s is not banned: `%s` (%s) says that it, or a part of it, never is; take that sentence back first, or ban "
			 "what lies beside it", prefix_text(p, buf), text, place);
	return -EPERM;
}

static int check_floor(struct ban_feed *f, const struct prefix *p)
{
	int floor = p->family == 4 ? FLOOR4 : FLOOR6;
	char buf[PREFIX_TEXT];

	if (f->force || p->len >= floor)
		return 0;
	diag_error(f->d, "%s is a large part of the internet; a ban of less than /%d needs --force", prefix_text(p, buf), floor);
	return -EPERM;
}

/* The SSH connection the operator came by: a ban cuts it at the next packet. */
static int check_operator(struct ban_feed *f, const struct prefix *p, const struct ban *b)
{
	const char *ssh = getenv("SSH_CONNECTION");
	char from[64], to[64], buf[PREFIX_TEXT];
	struct prefix peer;
	unsigned int port;

	if (f->force || !ssh || sscanf(ssh, "%63s %*u %63s %u", from, to, &port) != 3 || port > 65535)
		return 0;
	from[strcspn(from, "%")] = '\0';
	if (word_prefix(from, strlen(from), &peer, NULL) || !prefix_covers(p, &peer) || !ban_has_port(b, port))
		return 0;
	diag_error(f->d, "this would cut your own SSH connection from %s off; say `mxdp admin %u from %s` if that is not to happen, "
			 "or --force", from, port, prefix_text(&peer, buf));
	return -EPERM;
}

static int check_wish(struct ban_feed *f, const struct ban_wish *w)
{
	int err = 0;

	for (size_t i = 0; !err && i < w->n; i++)
		err = check_floor(f, &w->prefixes[i]) ?: check_operator(f, &w->prefixes[i], &w->ban) ?:
		      check_protected(f, &w->prefixes[i]);
	return err;
}

/* ---- doing ---- */

static int ban_one(struct ban_feed *f, const struct ban *b, bool longest)
{
	bool again;
	int err = dp_ban(f->table, b, longest, &again, f->d);

	while (err == -ENOSPC) {
		err = dp_bans_close(take(f->table), f->d) ?: dp_bans_grow(f->dp, 2, f->d) ?:
		      dp_bans_open(&f->table, f->dp, f->bulk, f->d);
		if (!err)
			err = dp_ban(f->table, b, longest, &again, f->d);
	}
	if (!err)
		f->banned++;
	return err;
}

int feed_unban(struct ban_feed *f, const struct ban_wish *w, size_t i, size_t *n)
{
	const char *owner = w->owner_said ? w->ban.owner : NULL;
	size_t host = 0;
	int err = dp_unban(f->table, &w->prefixes[i], owner, n, f->d);

	if (!err && w->said[i].len != w->prefixes[i].len)
		err = dp_unban(f->table, &w->said[i], owner, &host, f->d);
	*n += host;
	f->lifted += *n;
	return err;
}

int feed_wish(struct ban_feed *f, const struct ban_wish *w)
{
	int err = 0;

	if (w->verb == BAN_DEL) {
		for (size_t i = 0; !err && i < w->n; i++) {
			size_t n;

			err = feed_unban(f, w, i, &n);
		}
		return err;
	}
	if (w->verb != BAN_ADD)
		return 0;
	if (w->ban.left_ms == 0) {
		f->over += w->n;
		return 0;
	}
	err = check_wish(f, w);
	for (size_t i = 0; !err && i < w->n; i++) {
		struct ban b = w->ban;

		b.p = w->prefixes[i];
		err = ban_one(f, &b, w->longest);
	}
	return err;
}

/* ---- lines ---- */

static void bad_line(struct ban_feed *f, const char *why)
{
	f->refused++;
	fflush(stdout);
	fprintf(stderr, "mxdp: %s:%lu: ", f->name, f->line);
	put_escaped(why, stderr);
	fputc('\n', stderr);
}

/* What the layers below said of the line becomes the line's message. */
static void bad_wish(struct ban_feed *f, struct diag *said)
{
	for (size_t i = 0; i < said->n; i++)
		if (said->msg[i].level == DIAG_ERROR) {
			bad_line(f, said->msg[i].text);
			return;
		}
	bad_line(f, "not done");
}

static bool only_this_line(int err)
{
	return err == -EPERM || err == -E2BIG;
}

static int do_line(struct ban_feed *f, char *line, size_t len)
{
	__cleanup_free char *why = NULL;
	struct diag said = { 0 }, *outer = f->d;
	struct ban_wish w;
	int err;

	f->line++;
	if (memchr(line, '\0', len)) {
		bad_line(f, "a NUL byte");
		return 0;
	}
	if (ban_line(&w, &f->format, &f->def, line, &why)) {
		bad_line(f, why);
		return 0;
	}
	f->d = &said;
	err = feed_wish(f, &w);
	f->d = outer;
	if (only_this_line(err))
		bad_wish(f, &said);
	for (size_t i = 0; i < said.n; i++)
		if (!only_this_line(err))
			diag_add(f->d, said.msg[i].level, "%s", said.msg[i].text);
	diag_free(&said);
	ban_wish_free(&w);
	return only_this_line(err) ? 0 : err;
}

/* Whole lines of the buffer; what is left of the last one is moved to its beginning. */
static int do_lines(struct ban_feed *f, char *buf, size_t *n, bool end)
{
	char *at = buf, *stop = buf + *n, *nl;
	int err = feed_open(f), closed;

	if (err)
		return err;
	f->def.now_ms = wall_ms();
	while (!err && at < stop && ((nl = memchr(at, '\n', stop - at)) || end)) {
		if (!nl)
			nl = stop;
		*nl = '\0';
		err = do_line(f, at, nl - at);
		at = nl < stop ? nl + 1 : stop;
	}
	closed = feed_close(f);
	*n = stop - at;
	memmove(buf, at, *n);
	return err ?: closed;
}

int feed_lines(struct ban_feed *f, int fd)
{
	__cleanup_free char *buf = xmalloc(CHUNK + 1);
	size_t n = 0;
	int err = 0;

	f->bulk = true;
	for (;;) {
		ssize_t got = read(fd, buf + n, CHUNK - n);

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0) {
			err = -errno;
			diag_error(f->d, "%s: %s", f->name, strerror(-err));
			return err;
		}
		n += got;
		if (got == 0 && n == 0)
			return 0;
		if (got == 0 || memchr(buf + n - got, '\n', got))
			err = do_lines(f, buf, &n, got == 0);
		if (err || got == 0)
			return err;
		if (n >= LONGEST_LINE) {
			f->line++;
			bad_line(f, "a line of more than 65536 bytes; the rest is not read");
			return -EINVAL;
		}
	}
}

/* ---- telling ---- */

char *ban_told(const struct ban *b)
{
	__cleanup_free char *ports = ban_ports_text(b);
	char prefix[PREFIX_TEXT], span[BAN_SPAN];

	return xasprintf("%s %s, %s%s (source %s)%s%s", prefix_text(&b->p, prefix), ban_span(b->left_ms, span),
			 b->nports ? "port " : "everything", b->nports ? ports : "", b->owner, *b->reason ? ": " : "", b->reason);
}

void ban_json(json_object *o, const struct ban *b)
{
	char prefix[PREFIX_TEXT];
	json_object *ports;

	json_str(o, "prefix", prefix_text(&b->p, prefix));
	json_str(o, "source", b->owner);
	json_str(o, "reason", *b->reason ? b->reason : NULL);
	if (b->left_ms < 0)
		json_object_object_add(o, "remaining_seconds", NULL);
	else
		json_num(o, "remaining_seconds", (b->left_ms + 999) / 1000);
	json_time(o, "until", b->left_ms < 0 ? 0 : (wall_ms() + b->left_ms) / 1000);
	json_num(o, "age_seconds", b->age_s > 0 ? b->age_s : 0);
	json_num(o, "packets", b->hits);
	ports = json_list(o, "ports");
	for (size_t i = 0; i < b->nports; i++) {
		json_object *range = json_item(ports);

		json_num(range, "first", b->ports[i].lo);
		json_num(range, "last", b->ports[i].hi);
	}
}
