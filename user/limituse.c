// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include <string.h>
#include "flows.h"
#include "limituse.h"

/* The states of a socket that count: see bpf/conns.bpf.c. */
static bool is_open(const struct flow *f)
{
	static const char *const states[] = { "established", "fin-wait-1", "close-wait", "last-ack", "closing" };

	for (size_t i = 0; i < sizeof(states) / sizeof(*states); i++)
		if (!strcmp(flow_state(f->state), states[i]))
			return true;
	/* when the server has closed, what is left in this state is no socket any more */
	return !strcmp(flow_state(f->state), "fin-wait-2") && f->inode;
}

static unsigned int number_of(const struct limit_use *u, const struct stmt *s)
{
	for (unsigned int i = 1; i <= u->n; i++)
		if (stmt_same(u->v[i], s))
			return i;
	return 0;
}

static struct prefix source_of(const struct limits *l, const struct prefix *host)
{
	struct prefix p = *host;

	p.len = host->family == 4 ? (l->len4 ?: LIMIT_LEN4) : (l->len6 ?: LIMIT_LEN6);
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int keep = p.len >= 8 * (i + 1) ? 8 : p.len > 8 * i ? p.len - 8 * i : 0;

		p.addr[i] &= 0xff00 >> keep;
	}
	return p;
}

static int by_source(const void *a, const void *b)
{
	const struct limit_source *x = a, *y = b;

	return x->number != y->number ? (x->number < y->number ? -1 : 1) : prefix_cmp(&x->source, &y->source);
}

static int by_connections(const void *a, const void *b)
{
	const struct limit_source *x = a, *y = b;

	if (x->number != y->number)
		return x->number < y->number ? -1 : 1;
	if (x->open != y->open)
		return x->open > y->open ? -1 : 1;
	return prefix_cmp(&x->source, &y->source);
}

static void add_flow(struct limit_use *u, const struct look *l, const struct flow *f)
{
	struct judge_answer a = rules_judge(&l->rules, &f->peer, f->lport, true);

	if (!a.limited)
		return;
	u->source[u->nsources++] = (struct limit_source){
		.number = number_of(u, a.because), .source = source_of(&a.because->limits, &f->peer), .sockets = is_open(f),
	};
}

static void join_sources(struct limit_use *u)
{
	size_t n = 0;

	if (u->nsources)
		qsort(u->source, u->nsources, sizeof(*u->source), by_source);
	for (size_t i = 0; i < u->nsources; i++) {
		if (n && !by_source(&u->source[n - 1], &u->source[i]))
			u->source[n - 1].sockets += u->source[i].sockets;
		else
			u->source[n++] = u->source[i];
	}
	u->nsources = n;
}

/* Handshakes that hang, and connections that are over: their sources have nothing to show. */
static void drop_idle(struct limit_use *u)
{
	size_t n = 0;

	for (size_t i = 0; i < u->nsources; i++)
		if (u->source[i].open || u->source[i].sockets || u->source[i].held)
			u->source[n++] = u->source[i];
	u->nsources = n;
}

static int ask_tables(struct limit_use *u, const struct look *l, struct diag *d)
{
	struct dp_limits t;
	int err = dp_limits_read(l->dp, &t, d);

	for (size_t i = 0; !err && i < u->nsources; i++) {
		struct limit_source *s = &u->source[i];
		const struct limits *max = &u->v[s->number]->limits;

		s->open = max->connections && t.counted ? dp_limit_open(&t, s->number, &s->source) : s->sockets;
		s->full = max->connections && s->open >= max->connections;
		s->held = dp_limit_held(&t, s->number, &s->source);
	}
	u->lost = err ? 0 : t.lost;
	u->total = err ? 0 : t.total;
	drop_idle(u);
	dp_limits_free(&t);
	if (!err && u->nsources)
		qsort(u->source, u->nsources, sizeof(*u->source), by_connections);
	return err;
}

int limit_use_read(struct limit_use *u, const struct look *l, struct diag *d)
{
	__cleanup_free struct flow *v = NULL;
	__cleanup_free uint8_t *want = xcalloc(65536, 1);
	size_t n = 0;
	int err;

	*u = (struct limit_use){ 0 };
	err = image_limits(&l->rules, u->v, &u->n, d);
	if (err || !u->n)
		return err;
	for (unsigned int i = 1; i <= u->n; i++)
		for (size_t k = 0; k < u->v[i]->nports; k++)
			memset(want + u->v[i]->ports[k].lo, 1, u->v[i]->ports[k].hi - u->v[i]->ports[k].lo + 1);
	err = flows_read(&v, &n, want, d);
	if (err)
		return err;
	u->source = xcalloc(n ? n : 1, sizeof(*u->source));
	for (size_t i = 0; i < n; i++)
		add_flow(u, l, &v[i]);
	join_sources(u);
	return ask_tables(u, l, d);
}

void limit_use_free(struct limit_use *u)
{
	free(u->source);
	*u = (struct limit_use){ 0 };
}

char *limit_name(const struct limit_use *u, unsigned int number)
{
	struct stmt bare = *u->v[number];

	bare.comment = NULL;
	return stmt_text(&bare);
}

struct limit_sum limit_use_sum(const struct limit_use *u, unsigned int number)
{
	struct limit_sum sum = { 0 };

	for (size_t i = 0; i < u->nsources; i++) {
		const struct limit_source *s = &u->source[i];

		if (s->number != number)
			continue;
		sum.open += s->open;
		sum.sources += s->open != 0;
		sum.full += s->full;
		sum.held += s->held;
	}
	return sum;
}
