/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What may keep the filter from doing what its operator thinks it does: findings, each with what to do about it. Every
 * part looks at one thing and adds what it finds; none changes anything.
 */
#ifndef MXDP_DOCTOR_H
#define MXDP_DOCTOR_H

#include "look.h"

enum health {
	HEALTH_OK,
	HEALTH_NOTE, /* worth knowing */
	HEALTH_WARN, /* may cost mail, speed or safety */
	HEALTH_BAD,  /* does not work */
};

struct finding {
	enum health how;
	const char *area; /* "kernel", "interface", "service", "firewall", "traffic", "rules"; static */
	char *text, *remedy; /* remedy may be NULL */
};

struct findings {
	struct finding *v;
	size_t n;
};

/* `remedy` NULL: nothing need be done. */
void finding_add(struct findings *f, enum health how, const char *area, const char *remedy, const char *fmt, ...)
	__attribute__((format(printf, 5, 6)));
void findings_free(struct findings *f);
#define __cleanup_findings __cleanup(findings_free)

/* A host of each family that no rule names, [0] IPv4, [1] IPv6: looked for once, for lists may be long. */
struct strangers {
	bool is[2];
	struct prefix host[2];
};
void doctor_strangers(struct strangers *who, const struct rules *r);

/* `l` NULL where mxdp is not loaded: then only what can be said without it. */
void doctor_kernel(struct findings *f);
void doctor_interfaces(struct findings *f, const struct look *l, const struct options *o);
void doctor_services(struct findings *f, const struct look *l);
void doctor_firewalls(struct findings *f, const struct look *l);
void doctor_rules(struct findings *f, const struct look *l, const struct options *o);

#endif
