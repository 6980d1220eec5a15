// SPDX-License-Identifier: GPL-2.0-only
/* doctor: who listens and who may come in; what arrives at the mail ports; the rules against the files. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <mxdp/reasons.h>
#include "ask.h"
#include "doctor.h"
#include "flows.h"

static bool on_loopback(const struct prefix *p)
{
	static const uint8_t one[16] = { [15] = 1 };

	return p->family == 4 ? p->addr[0] == 127 : !memcmp(p->addr, one, sizeof(one));
}

void doctor_strangers(struct strangers *who, const struct rules *r)
{
	for (int six = 0; six < 2; six++)
		who->is[six] = ask_stranger(r, six ? 6 : 4, &who->host[six]);
}

static bool opens_for_everybody(const struct rules *r, const struct strangers *who, uint16_t port)
{
	for (int six = 0; six < 2; six++) {
		enum judge_says says = who->is[six] ? rules_judge(r, &who->host[six], port, true).says : JUDGE_DENY;

		if (says == JUDGE_ALLOW || says == JUDGE_DEFAULT_ALLOW || says == JUDGE_ADMIN)
			return true;
	}
	return false;
}

/* May anybody at all open this port? Strangers, or some source that a sentence names. */
static bool opens_for_somebody(const struct rules *r, const struct strangers *who, uint16_t port)
{
	if (opens_for_everybody(r, who, port))
		return true;
	for (const struct stmt *s = r->v; s < r->v + r->n; s++) {
		if (s->kind != STMT_ALLOW && s->kind != STMT_ADMIN)
			continue;
		for (size_t i = 0; i < s->nports; i++)
			if (port >= s->ports[i].lo && port <= s->ports[i].hi)
				return true;
	}
	return false;
}

static char *called(uint16_t port)
{
	const char *name = port_name(port);

	return name ? xasprintf("%u (%s)", port, name) : xasprintf("%u", port);
}

static void look_at_listeners(struct findings *f, const struct look *l, const struct strangers *who, const struct flow *v,
			      size_t n)
{
	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *port = called(v[i].lport), *remedy = NULL;

		if (on_loopback(&v[i].local) || (i && v[i - 1].lport == v[i].lport && !on_loopback(&v[i - 1].local)))
			continue;
		if (opens_for_somebody(&l->rules, who, v[i].lport))
			continue;
		remedy = xasprintf("mxdp allow %u, if it should be reached from outside; nothing otherwise", v[i].lport);
		finding_add(f, HEALTH_NOTE, "service", remedy, "somebody listens on port %s, and the rules let nobody in", port);
	}
}

static bool listens(const struct flow *v, size_t n, uint16_t port, bool *only_loopback)
{
	bool any = false;

	*only_loopback = true;
	for (size_t i = 0; i < n; i++) {
		if (v[i].lport != port)
			continue;
		any = true;
		*only_loopback &= on_loopback(&v[i].local);
	}
	return any;
}

/* Of ranges nothing is said: they are written to hold more than is used. */
static void look_at_allowed(struct findings *f, const struct look *l, const struct flow *v, size_t n)
{
	bool said[65536] = { false };

	for (const struct stmt *s = l->rules.v; s < l->rules.v + l->rules.n; s++) {
		if (s->kind != STMT_ALLOW && s->kind != STMT_ADMIN)
			continue;
		for (size_t i = 0; i < s->nports; i++) {
			uint16_t p = s->ports[i].lo;
			__cleanup_free char *port = NULL;
			bool only_loopback;

			if (p != s->ports[i].hi || said[p])
				continue;
			said[p] = true;
			port = called(p);
			if (!listens(v, n, p, &only_loopback))
				finding_add(f, HEALTH_WARN, "service",
					    "start the server, or take the port out of the rules; a server in a container or "
					    "another network namespace is not seen here",
					    "the rules open port %s, and nobody listens there", port);
			else if (only_loopback)
				finding_add(f, HEALTH_WARN, "service", "let the server listen on the outer addresses",
					    "the rules open port %s, and whoever listens there does so on the loopback alone",
					    port);
		}
	}
}

/* ---- traffic ---- */

static const uint16_t mail_ports[] = { 25, 465, 587, 143, 993, 110, 995, 4190 };

static uint64_t opened(const struct dp_counts *c, unsigned int service)
{
	uint64_t n = 0;

	for (unsigned int family = 0; family < 2; family++)
		n += c->cell[service][family][0][MXDP_R_ALLOWED].packets + c->cell[service][family][0][MXDP_R_ADMIN].packets +
		     c->cell[service][family][0][MXDP_R_DEFAULT_ALLOW].packets +
		     c->cell[service][family][0][MXDP_R_COOKIE_SENT].packets;
	return n;
}

static void look_at_traffic(struct findings *f, const struct look *l, const struct strangers *who, const struct flow *v, size_t n)
{
	for (size_t m = 0; m < sizeof(mail_ports) / sizeof(*mail_ports); m++) {
		__cleanup_free struct dp_counts *c = NULL;
		uint8_t service = l->service_of[mail_ports[m]];
		__cleanup_free char *port = called(mail_ports[m]);
		struct diag quiet = { 0 };
		char said[OUT_TEXT + 32];
		bool only_loopback;
		uint64_t syns = 0;

		if (!service || !listens(v, n, mail_ports[m], &only_loopback) || only_loopback)
			continue;
		for (size_t i = 0; i < l->nifaces; i++)
			if (!look_counts(l, l->ifaces[i].name, &c, &quiet))
				syns += opened(c, service);
		diag_free(&quiet);
		if (syns)
			finding_add(f, HEALTH_OK, "traffic", NULL, "port %s: %s let in", port,
				    text_plural(syns, "connection was", "connections were", said, sizeof(said)));
		else if (opens_for_everybody(&l->rules, who, mail_ports[m]))
			finding_add(f, mail_ports[m] == 25 ? HEALTH_WARN : HEALTH_NOTE, "traffic",
				    "try from outside (`swaks --server THIS-HOST --quit-after banner`) and run `mxdp doctor` again: "
				    "if this line stays, the packets do not arrive, and a provider in front of this host blocks "
				    "the port",
				    "port %s: not one SYN has been let in since the filter was attached", port);
	}
}

void doctor_services(struct findings *f, const struct look *l)
{
	__cleanup_free struct flow *v = NULL;
	struct strangers who = { 0 };
	struct diag d = { 0 };
	size_t n = 0;

	if (!l)
		return;
	if (listeners_read(&v, &n, &d)) {
		finding_add(f, HEALTH_NOTE, "service", NULL, "%s", d.n ? d.msg[0].text : "cannot read who listens");
		diag_free(&d);
		return;
	}
	doctor_strangers(&who, &l->rules);
	look_at_allowed(f, l, v, n);
	look_at_listeners(f, l, &who, v, n);
	look_at_traffic(f, l, &who, v, n);
}

/* ---- rules ---- */

static bool has(const struct rules *r, enum stmt_kind kind)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == kind)
			return true;
	return false;
}

void doctor_rules(struct findings *f, const struct look *l, const struct options *o)
{
	struct config_view c = { 0 };
	struct rules file = { 0 };
	struct dp_trial trial;

	if (!l)
		return;
	if (!has(&l->rules, STMT_ADMIN))
		finding_add(f, HEALTH_WARN, "rules", "mxdp admin ssh from YOUR-NETWORK",
			    "no `admin` sentence: nothing keeps a later rule from locking you out");
	dp_trial(l->dp, &trial);
	if (trial.running)
		finding_add(f, HEALTH_WARN, "rules", "log in anew, then `mxdp confirm`; or `mxdp rollback`",
			    "the policy is on trial: in %u seconds what was before is in force again", trial.seconds_left);
	config_look(&c, o->config, &l->rules, &file);
	rules_free(&file);
	if (c.state == CONFIG_SAME)
		finding_add(f, HEALTH_OK, "rules", NULL, "%s says what is in force, epoch %" PRIu32, o->config, l->epoch);
	else if (c.state == CONFIG_MISSING)
		finding_add(f, HEALTH_WARN, "rules", "write the rules down: `mxdp show rules`",
			    "%s is not there: a reboot forgets what is in force", o->config);
	else if (c.state == CONFIG_BROKEN)
		finding_add(f, HEALTH_WARN, "rules", "mxdp check", "%s has an error and cannot be applied: %s", o->config,
			    c.why ? c.why : "see `mxdp check`");
	else
		finding_add(f, HEALTH_WARN, "rules", "mxdp diff, then `mxdp apply`, or say the sentences again without --runtime",
			    "%s differs from what is in force: %zu only in the file, %zu only in force, %zu lists", o->config,
			    c.only_file, c.only_running, c.lists);
	config_view_free(&c);
}
