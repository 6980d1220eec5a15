// SPDX-License-Identifier: GPL-2.0-only
/* firewalld: firewall-cmd and firewall-offline-cmd commands, zone files, and what --list-all prints. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include "import_text.h"
#include "token.h"

/* One thing a zone says. What was not said is NULL. */
struct entry {
	struct im_place at;
	const char *text, *key;
	int priority;
	enum im_action action;
	const char *family, *source, *set, *dest, *port, *proto, *sport, *limit;
	bool source_no, no_match;  /* no_match: says nothing of new TCP connections */
	bool stock, mac;
};

struct zone {
	const char *name, *target;
	struct im_place target_at;
	struct entry *v;
	size_t n;
	struct entry *source;      /* which packets are this zone's */
	size_t nsources;
	const char *ifaces;
	bool listed;               /* its whole contents were read: nothing is assumed besides */
};

struct fwd {
	struct zone **zone;
	size_t nzones;
	const char *standard;      /* the default zone */
	struct zone *listing;      /* of --list-all */
	const char *last;          /* line before */
	bool permanent, reload;
	struct im_place permanent_at;
};

static const struct im_service services[] = {
	{ "smtp", "25" },
	{ "smtps", "465" },
	{ "smtp-submission", "587" },
	{ "submission", "587" },
	{ "imap", "143" },
	{ "imaps", "993" },
	{ "pop3", "110" },
	{ "pop3s", "995" },
	{ "managesieve", "4190" },
	{ "ssh", "22" },
	{ "http", "80" },
	{ "https", "443" },
	{ "dns", "53" },
	{ "dns-over-tls", "853" },
	{ "cockpit", "9090" },
	{ "ftp", "21" },
	{ "telnet", "23" },
	{ "ldap", "389" },
	{ "ldaps", "636" },
	{ "kerberos", "88" },
	{ "mysql", "3306" },
	{ "postgresql", "5432" },
	{ "samba", "139,445" },
	{ "nfs", "2049" },
	{ "nfs3", "2049" },
	{ "rpc-bind", "111" },
	{ "mountd", "20048" },
	{ "rsyncd", "873" },
	{ "redis", "6379" },
	{ "vnc-server", "5900-5903" },
	{ "rdp", "3389" },
	{ "squid", "3128" },
	{ "git", "9418" },
	{ "zabbix-agent", "10050" },
	{ "zabbix-server", "10051" },
	{ "prometheus", "9090" },
	{ "prometheus-node-exporter", "9100" },
	{ "grafana", "3000" },
	{ "elasticsearch", "9300,9200" },
	{ "mongodb", "27017" },
	{ "http3", "" },
	{ "dhcpv6-client", "" },
	{ "dhcp", "" },
	{ "dhcpv6", "" },
	{ "mdns", "" },
	{ "samba-client", "" },
	{ "ntp", "" },
	{ "snmp", "161" },
	{ "syslog", "" },
	{ "tftp", "" },
	{ "ipsec", "" },
	{ "ipp-client", "" },
	{ "ipp", "631" },
	{ "openvpn", "" },
	{ "wireguard", "" },
	{ "rspamd", "" },
	{ "puppetmaster", "8140" },
	{ "xmpp-client", "5222" },
	{ "xmpp-server", "5269" },
};

/* The TCP ports of a firewalld service with commas between, "" when it has none; *known false: no such service here. */
const char *im_service_ports(const char *name, bool *known)
{
	*known = true;
	for (size_t i = 0; i < sizeof(services) / sizeof(*services); i++)
		if (!strcmp(services[i].name, name))
			return services[i].tcp;
	*known = false;
	return "";
}

/* ---- zones ---- */

static bool has_stock_ssh(const char *name)
{
	static const char *const names[] = { "public", "home", "internal", "work", "external", "dmz" };

	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (!strcmp(name, names[i]))
			return true;
	return false;
}

static struct zone *zone(struct im_reader *r, const char *name)
{
	struct fwd *f = r->of_dialect;
	struct zone *z;

	if (!name)
		name = f->standard;
	for (size_t i = 0; i < f->nzones; i++)
		if (!strcmp(f->zone[i]->name, name))
			return f->zone[i];
	z = im_alloc(r->im, sizeof(*z));
	*z = (struct zone){ .name = im_copy(r->im, name, strlen(name)),
			    .ifaces = "",
			    .target = !strcmp(name, "drop")	 ? "DROP"
				      : !strcmp(name, "trusted") ? "ACCEPT"
								 : "default" };
	*im_push(r->im, f->zone, f->nzones) = z;
	return z;
}

static struct entry *entry(struct im_reader *r, struct zone *z, struct im_place at, const char *text, const char *key)
{
	struct entry *e = im_push(r->im, z->v, z->n);

	*e = (struct entry){ .at = at,
			     .text = im_copy(r->im, text, strlen(text)),
			     .key = im_copy(r->im, key, strlen(key)),
			     .action = IM_ACCEPT };
	return e;
}

static void set_port(struct import *im, struct entry *e, const char *s)
{
	const char *slash = strchr(s, '/');

	e->port = im_copy(im, s, slash ? (size_t)(slash - s) : strlen(s));
	e->proto = slash ? slash + 1 : "tcp";
}

static void set_service(struct im_reader *r, struct entry *e, const char *name)
{
	bool known;
	const char *ports = im_service_ports(name, &known);

	e->port = ports;
	e->proto = "tcp";
	e->no_match = !*ports;
	if (!known)
		im_say(r->im, e->at, IM_LOSS,
		       "the service \"%s\" is not known here: not carried; write its ports instead", name);
	else if (!*ports)
		im_say(r->im, e->at, IM_NOTE, "the service \"%s\" is not TCP, and passes mxdp unjudged; nothing to do",
		       name);
}

/* ---- rich rules ---- */

static bool yes(const char *s)
{
	return s && (same_word(s, strlen(s), "yes") || same_word(s, strlen(s), "true") || !strcmp(s, "1"));
}

/* word, or word=value with the quotation marks gone */
static const char *value_of(const char *s, const char *name)
{
	size_t n = strlen(name);

	return !strncmp(s, name, n) && s[n] == '=' ? s + n + 1 : NULL;
}

static void rich_word(struct im_reader *r, struct entry *e, const char **part, const char *s)
{
	static const char *const parts[] = { "source",	    "destination", "service",	"port",	      "protocol",
					     "source-port", "icmp-block",  "icmp-type", "masquerade", "forward-port",
					     "log",	    "nflog",	   "audit",	"accept",     "reject",
					     "drop",	    "mark",	   "limit",	"rule",	      "tcp-mss-clamp" };
	const char *v;

	for (size_t i = 0; i < sizeof(parts) / sizeof(*parts); i++)
		if (!strcmp(s, parts[i])) {
			if (strcmp(s, "limit") || strcmp(*part, "log"))
				*part = !strcmp(s, "limit") && !strcmp(*part, "audit") ? "log limit" : parts[i];
			else
				*part = "log limit";
			if (!strcmp(s, "accept"))
				e->action = IM_ACCEPT;
			else if (!strcmp(s, "drop"))
				e->action = IM_DROP;
			else if (!strcmp(s, "reject"))
				e->action = IM_REJECT;
			else if (!strcmp(s, "masquerade") || !strcmp(s, "forward-port") || !strncmp(s, "icmp", 4) ||
				 !strcmp(s, "mark"))
				e->no_match = true;
			return;
		}
	if (!strcmp(s, "NOT") || !strcmp(s, "not"))
		e->source_no |= !strcmp(*part, "source");
	else if ((v = value_of(s, "family")))
		e->family = v;
	else if ((v = value_of(s, "priority")))
		e->priority = atoi(v);
	else if ((v = value_of(s, "invert")))
		e->source_no |= yes(v) && !strcmp(*part, "source");
	else if ((v = value_of(s, "address")))
		*(!strcmp(*part, "destination") ? &e->dest : &e->source) = v;
	else if ((v = value_of(s, "ipset")))
		e->set = v;
	else if ((v = value_of(s, "mac")))
		e->mac = true;
	else if ((v = value_of(s, "name")))
		set_service(r, e, v);
	else if ((v = value_of(s, "port")))
		*(!strcmp(*part, "source-port") ? &e->sport : &e->port) = v;
	else if ((v = value_of(s, "protocol")))
		e->proto = v;
	else if ((v = value_of(s, "value")) && !strcmp(*part, "protocol"))
		e->proto = v;
	else if ((v = value_of(s, "value")) && !strcmp(*part, "limit"))
		e->limit = v;
}

static void rich(struct im_reader *r, struct zone *z, struct im_place at, const char *text, const char *s)
{
	struct entry *e = entry(r, z, at, text, s);
	const char *part = "rule";
	char **w;
	size_t n = im_plain(r->im, s, &w);
	bool says = false;

	e->action = IM_CONTINUE;
	for (size_t i = 0; i < n; i++)
		rich_word(r, e, &part, w[i]);
	says = e->action != IM_CONTINUE;
	/* a rule that only logs, or that has an element and no action, as firewalld itself understands it */
	if (!says && (e->port || e->proto) && !strstr(s, "log"))
		e->action = IM_ACCEPT;
	if (e->action == IM_CONTINUE || e->no_match) {
		if (!(e->port && !*e->port))
			im_say(r->im, at, IM_NOTE, "decides nothing about new TCP connections; not carried");
		e->no_match = true;
	}
}

/* ---- zones to chains ---- */

static int rank(const struct entry *e)
{
	if (e->priority < 0)
		return -1;
	if (e->priority > 0)
		return 2;
	return e->action == IM_ACCEPT;
}

static int cmp_entry(const void *a, const void *b)
{
	const struct entry *const *p = a, *const *q = b;

	if (rank(*p) != rank(*q))
		return rank(*p) < rank(*q) ? -1 : 1;
	if ((*p)->priority != (*q)->priority)
		return (*p)->priority < (*q)->priority ? -1 : 1;
	return *p < *q ? -1 : *p > *q;
}

static void address(struct import *im, struct im_rule *r, enum im_kind kind, const char *s, bool no)
{
	struct im_match *m = im_match(im, r, kind, no);

	im_match(im, r, IM_FAMILY, false)->value = strchr(s, ':') ? IM_V6 : IM_V4;
	m = &r->m[r->n - 2];
	m->addrs = im_alloc(im, sizeof(*m->addrs));
	if (im_addr_word(im, m->addrs, s))
		return;
	m->kind = IM_MAYBE;
	m->text = im_text(im, "the address \"%s\"", s);
}

static bool ports(struct import *im, struct im_rule *r, enum im_kind kind, const char *s)
{
	struct im_match *m = im_match(im, r, kind, false);
	char *copy = im_copy(im, s, strlen(s)), *save = NULL;
	struct port_range one;

	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (!im_port_word(im, r->at, p, '-', &one)) {
			im_say(im, r->at, IM_LOSS, "\"%s\" is not a port: not carried", p);
			return false;
		}
		im_match_ports(im, m, one.lo, one.hi);
	}
	return m->nports > 0;
}

static void limit(struct import *im, struct im_rule *r, const char *s)
{
	struct im_match *m = im_match(im, r, IM_RATE, false);
	const char *slash = strchr(s, '/');

	m->text = im_text(im, "limit %s", s);
	m->rate = (struct im_rate){
		.counts = IM_COUNTS_ALL, .exact = true, .n = strtoul(s, NULL, 10), .burst = 5, .seconds = 1
	};
	if (slash && slash[1] == 'm')
		m->rate.seconds = 60;
	else if (slash && slash[1] == 'h')
		m->rate.seconds = 3600;
	else if (slash && slash[1] == 'd')
		m->rate.seconds = 86400;
}

static void put_entry(struct import *im, struct im_chain *c, const struct entry *e)
{
	struct im_rule *r = im_rule_new(im, e->at, e->text);

	if (e->no_match)
		return;
	r->action = e->action;
	r->stock = e->stock;
	if (e->family)
		im_match(im, r, IM_FAMILY, false)->value = strstr(e->family, "6") ? IM_V6 : IM_V4;
	if (e->source)
		address(im, r, IM_SOURCE, e->source, e->source_no);
	if (e->dest)
		address(im, r, IM_DEST, e->dest, false);
	if (e->set)
		im_match(im, r, IM_SOURCE, e->source_no)->set = im_set(im, "ipset", e->set, true);
	if (e->mac)
		im_match(im, r, IM_MAYBE, false)->text = "the MAC address";
	if (e->proto && strcmp(e->proto, "tcp"))
		im_match(im, r, IM_PROTO, false)->value = !strcmp(e->proto, "udp")    ? 17
							  : !strcmp(e->proto, "icmp") ? 1
										      : 255;
	else if (e->proto)
		im_match(im, r, IM_PROTO, false)->value = 6;
	if (e->port && *e->port && !ports(im, r, IM_PORT, e->port))
		return;
	if (e->sport && !ports(im, r, IM_SPORT, e->sport))
		return;
	if (e->limit)
		limit(im, r, e->limit);
	im_rule_insert(im, c, c->n, r);
}

static struct im_rule *last(struct import *im, struct im_chain *c, struct im_place at, const char *text,
			    enum im_action action)
{
	struct im_rule *r = im_rule_new(im, at, text);

	r->stock = true;
	r->action = action;
	im_rule_insert(im, c, c->n, r);
	return r;
}

static void put_zone(struct im_reader *r, struct zone *z)
{
	struct import *im = r->im;
	struct im_chain *c = im_chain_made(im, IM_BOTH, "firewalld", im_text(im, "zone %s", z->name));
	struct entry **v = im_alloc(im, (z->n + 1) * sizeof(*v));
	enum im_action end = !strcmp(z->target, "ACCEPT") ? IM_ACCEPT
			     : !strcmp(z->target, "DROP") ? IM_DROP
							  : IM_REJECT;

	for (size_t i = 0; i < z->n; i++)
		v[i] = &z->v[i];
	if (z->n)
		qsort(v, z->n, sizeof(*v), cmp_entry);
	for (size_t i = 0; i < z->n; i++)
		put_entry(im, c, v[i]);
	/* a zone that refuses still answers pings and lets ICMPv6 in */
	im_match(im, last(im, c, z->target_at, "ICMP", IM_ACCEPT), IM_PROTO, false)->value = 58;
	last(im, c, z->target_at, im_text(im, "zone %s, target %s", z->name, z->target), end);
}

static struct im_rule *go(struct import *im, struct im_chain *c, const struct zone *z)
{
	struct im_rule *r = last(im, c, (struct im_place){ im->path, 0 }, im_text(im, "to zone %s", z->name), IM_GOTO);

	r->target = im_text(im, "zone %s", z->name);
	return r;
}

static void assume_stock(struct im_reader *r, struct zone *z)
{
	struct entry *e;

	if (z->listed || !has_stock_ssh(z->name))
		return;
	for (size_t i = 0; i < z->n; i++)
		if (!strcmp(z->v[i].key, "-service ssh"))
			return;
	e = entry(r, z, (struct im_place){ r->path, 0 },
		  im_text(r->im, "zone %s has the service ssh from the start", z->name), "");
	e->port = "22";
	e->proto = "tcp";
	e->stock = true;
	im_say(r->im, (struct im_place){ r->path, z->n > 1 ? z->v[0].at.line : 1 }, IM_NOTE,
	       "what zone %s holds besides is not in this "
	       "text; it is taken to be as firewalld ships it, with the service ssh",
	       z->name);
}

static void put_all(struct im_reader *r)
{
	struct import *im = r->im;
	struct fwd *f = r->of_dialect;
	struct im_chain *c = im_chain_made(im, IM_BOTH, "firewalld", "INPUT");
	struct zone *standard = NULL;

	/* one zone alone is the policy that was meant */
	if (f->nzones == 1 && f->zone[0]->listed && !f->zone[0]->nsources)
		f->standard = f->zone[0]->name;
	standard = zone(r, NULL);
	c->hook = IM_INPUT;
	c->policy = IM_REJECT;
	im->families = IM_BOTH;
	im_match(im, last(im, c, (struct im_place){ 0 }, "", IM_ACCEPT), IM_IFACE, false)->text = "lo";
	im_match(im, last(im, c, (struct im_place){ 0 }, "", IM_ACCEPT), IM_STATE, false)->value =
		IM_ESTABLISHED | IM_RELATED;
	im_match(im, last(im, c, (struct im_place){ 0 }, "", IM_DROP), IM_STATE, false)->value = IM_INVALID;
	for (size_t i = 0; i < f->nzones; i++)
		for (size_t k = 0; k < f->zone[i]->nsources; k++) {
			const struct entry *e = &f->zone[i]->source[k];
			struct im_rule *x = go(im, c, f->zone[i]);

			x->at = e->at;
			if (!strncmp(e->source, "ipset:", 6))
				im_match(im, x, IM_SOURCE, false)->set = im_set(im, "ipset", e->source + 6, true);
			else
				address(im, x, IM_SOURCE, e->source, false);
			x->stock = false;
			x->text = e->text;
		}
	for (size_t i = 0; i < f->nzones; i++)
		if (*f->zone[i]->ifaces)
			im_match(im, go(im, c, f->zone[i]), IM_IFACE, false)->text = f->zone[i]->ifaces;
	go(im, c, standard);
	for (size_t i = 0; i < f->nzones; i++) {
		assume_stock(r, f->zone[i]);
		put_zone(r, f->zone[i]);
	}
	if (f->permanent && !f->reload)
		im_say(im, f->permanent_at, IM_NOTE,
		       "--permanent alone changes nothing that runs, and no `firewall-cmd --reload` follows here; "
		       "imported as if it did");
}

/* ---- commands ---- */

static const char *option_value(char **w, size_t n, size_t *i, const char *name)
{
	const char *v = value_of(w[*i], name);

	if (v)
		return v;
	return !strcmp(w[*i], name) && *i + 1 < n ? w[++*i] : NULL;
}

static void remove_entry(struct zone *z, struct im_reader *r, struct im_place at, const char *text, const char *key)
{
	bool found = false;
	struct entry *e;

	for (size_t i = z->n; i-- > 0;)
		if (!strcmp(z->v[i].key, key)) {
			memmove(&z->v[i], &z->v[i + 1], (--z->n - i) * sizeof(*z->v));
			found = true;
		}
	if (found)
		return;
	if (strcmp(key, "service ssh")) {
		im_say(r->im, at, IM_NOTE, "removes what is not in this text");
		return;
	}
	e = entry(r, z, at, text, "-service ssh");
	e->no_match = true;
}

static void add_iface(struct import *im, struct zone *z, const char *name)
{
	z->ifaces = im_text(im, "%s%s%s", z->ifaces, *z->ifaces ? "," : "", name);
}

static void add_source(struct im_reader *r, struct zone *z, struct im_place at, const char *text, const char *s)
{
	*im_push(r->im, z->source, z->nsources) =
		(struct entry){ .at = at, .text = im_copy(r->im, text, strlen(text)), .source = s };
}

/* One option that adds, removes or sets something. */
static bool option(struct im_reader *r, struct im_place at, const char *text, char **w, size_t n, size_t *i,
		   const char *zone_name)
{
	struct fwd *f = r->of_dialect;
	const char *v;

	if ((v = option_value(w, n, i, "--add-service"))) {
		set_service(r, entry(r, zone(r, zone_name), at, text, im_text(r->im, "service %s", v)), v);
	} else if ((v = option_value(w, n, i, "--add-port"))) {
		set_port(r->im, entry(r, zone(r, zone_name), at, text, im_text(r->im, "port %s", v)), v);
	} else if ((v = option_value(w, n, i, "--add-rich-rule"))) {
		rich(r, zone(r, zone_name), at, text, v);
	} else if ((v = option_value(w, n, i, "--add-protocol"))) {
		entry(r, zone(r, zone_name), at, text, im_text(r->im, "protocol %s", v))->proto = v;
	} else if ((v = option_value(w, n, i, "--add-source-port"))) {
		struct entry *e = entry(r, zone(r, zone_name), at, text, im_text(r->im, "source-port %s", v));

		e->sport = im_copy(r->im, v, strcspn(v, "/"));
		e->proto = strchr(v, '/') ? strchr(v, '/') + 1 : "tcp";
	} else if ((v = option_value(w, n, i, "--add-source")) || (v = option_value(w, n, i, "--change-source"))) {
		add_source(r, zone(r, zone_name), at, text, v);
	} else if ((v = option_value(w, n, i, "--add-interface")) ||
		   (v = option_value(w, n, i, "--change-interface"))) {
		add_iface(r->im, zone(r, zone_name), v);
	} else if ((v = option_value(w, n, i, "--remove-service"))) {
		remove_entry(zone(r, zone_name), r, at, text, im_text(r->im, "service %s", v));
	} else if ((v = option_value(w, n, i, "--remove-port"))) {
		remove_entry(zone(r, zone_name), r, at, text, im_text(r->im, "port %s", v));
	} else if ((v = option_value(w, n, i, "--remove-rich-rule"))) {
		remove_entry(zone(r, zone_name), r, at, text, v);
	} else if ((v = option_value(w, n, i, "--set-target"))) {
		zone(r, zone_name)->target = v;
		zone(r, zone_name)->target_at = at;
	} else if ((v = option_value(w, n, i, "--set-default-zone"))) {
		f->standard = v;
		zone(r, v);
	} else if ((v = option_value(w, n, i, "--new-zone"))) {
		zone(r, v)->listed = true;
	} else {
		return false;
	}
	return true;
}

static void other_option(struct im_reader *r, struct im_place at, const char *s)
{
	if (!strncmp(s, "--direct", 8) || !strcmp(s, "--passthrough"))
		im_say(r->im, at, IM_DANGER, "a direct rule is not carried; import what `iptables-save` prints for it");
	else if (!strncmp(s, "--add-masquerade", 16) || !strncmp(s, "--add-forward", 13))
		im_say(r->im, at, IM_LOSS,
		       "changes addresses or forwards; mxdp does not: leave firewalld in place for it");
	else if (!strncmp(s, "--add-icmp", 10))
		im_say(r->im, at, IM_LOSS, "is about ICMP, which passes mxdp; leave firewalld in place for it");
	else if (!strncmp(s, "--add-", 6) || !strncmp(s, "--remove-", 9) || !strncmp(s, "--policy", 8))
		im_say(r->im, at, IM_LOSS, "\"%.60s\" is not carried", s);
}

static bool is_command(const char *name)
{
	return !strcmp(name, "firewall-cmd") || !strcmp(name, "firewall-offline-cmd");
}

static void command(struct im_reader *r, struct im_place at, const char *text, char **w, size_t n)
{
	struct fwd *f = r->of_dialect;
	const char *zone_name = NULL, *v;
	bool permanent = false, changes = false;

	for (size_t i = 1; i < n; i++) {
		size_t k = i;

		if (!strcmp(w[i], ">") || !strcmp(w[i], "2>"))
			n = i;
		else if ((v = option_value(w, n, &k, "--zone")))
			zone_name = v;
		permanent |= i < n && !strcmp(w[i], "--permanent");
		f->reload |= i < n && (!strcmp(w[i], "--reload") || !strcmp(w[i], "--complete-reload") ||
				       !strcmp(w[i], "--runtime-to-permanent"));
	}
	for (size_t i = 1; i < n; i++) {
		if (option_value(w, n, &i, "--zone"))
			continue;
		if (option(r, at, text, w, n, &i, zone_name))
			changes = true;
		else
			other_option(r, at, w[i]);
	}
	if (n > 1 && w[1][0] == '-')
		r->im->understood++;
	if (permanent && changes && !f->permanent && !strcmp(w[0], "firewall-cmd")) {
		f->permanent = true;
		f->permanent_at = at;
	}
}

/* ---- --list-all ---- */

static void each_word(struct im_reader *r, struct im_place at, const char *values, const char *what)
{
	struct fwd *f = r->of_dialect;
	char **w;
	size_t n = im_plain(r->im, values, &w);

	for (size_t i = 0; i < n; i++) {
		const char *text = im_text(r->im, "%s: %s", what, w[i]);

		if (!strcmp(what, "services"))
			set_service(r, entry(r, f->listing, at, text, text), w[i]);
		else if (!strcmp(what, "ports"))
			set_port(r->im, entry(r, f->listing, at, text, text), w[i]);
		else if (!strcmp(what, "sources"))
			add_source(r, f->listing, at, text, w[i]);
		else if (!strcmp(what, "interfaces"))
			add_iface(r->im, f->listing, w[i]);
	}
}

static bool line(struct im_reader *r, struct im_place at, const char *s)
{
	static const char *const what[] = { "services", "ports", "sources", "interfaces" };
	struct fwd *f = r->of_dialect;
	const char *last_line = f->last;

	f->last = s;
	if (!strncmp(s, "target: ", 8)) {
		const char *name = last_line ? im_copy(r->im, last_line, strcspn(last_line, " (")) : "public";

		f->listing = zone(r, list_name_ok(name, strlen(name)) ? name : "public");
		f->listing->listed = true;
		f->listing->target = im_trim(r->im, s + 8);
		f->listing->target_at = at;
		if (last_line && strstr(last_line, "(active") && f->nzones == 1)
			f->standard = f->listing->name;
		r->im->understood++;
		return true;
	}
	if (!f->listing)
		return false;
	if (!strncmp(s, "rule ", 5)) {
		rich(r, f->listing, at, s, s);
		return true;
	}
	for (size_t i = 0; i < sizeof(what) / sizeof(*what); i++) {
		size_t n = strlen(what[i]);

		if (!strncmp(s, what[i], n) && s[n] == ':') {
			each_word(r, at, s + n + 1, what[i]);
			return true;
		}
	}
	if (!strncmp(s, "masquerade: yes", 15) || (!strncmp(s, "forward-ports: ", 15) && s[15]))
		im_say(r->im, at, IM_LOSS,
		       "changes addresses or forwards; mxdp does not: leave firewalld in place for it");
	return strchr(s, ':') != NULL;
}

/* ---- zone files ---- */

struct element {
	char name[32];
	bool closes, empty;
	const char **word; /* name=value */
	size_t n;
	struct im_place at;
	const char *text;
};

static bool next_element(struct im_reader *r, const char **s, unsigned int *number, struct element *e)
{
	const char *p = *s;
	size_t n = 0;

	*e = (struct element){ 0 };
	for (;; p++) {
		for (; *p && *p != '<'; p++)
			*number += *p == '\n';
		if (!*p)
			return false;
		if (!strncmp(p, "<!--", 4)) {
			for (; *p && strncmp(p, "-->", 3); p++)
				*number += *p == '\n';
			continue;
		}
		if (p[1] != '?' && p[1] != '!')
			break;
	}
	e->at = (struct im_place){ r->path, *number };
	e->text = im_trim(r->im, im_copy(r->im, p, strcspn(p, ">\n") + (p[strcspn(p, ">\n")] == '>')));
	e->closes = *++p == '/';
	p += e->closes;
	while (*p && !isspace((unsigned char)*p) && *p != '>' && *p != '/' && n + 1 < sizeof(e->name))
		e->name[n++] = *p++;
	while (*p && *p != '>') {
		size_t k = strcspn(p, "= \t\r\n>/");

		if (k && p[k] == '=' && (p[k + 1] == '"' || p[k + 1] == '\'')) {
			const char quote = p[k + 1], *value = p + k + 2, *end = strchr(value, quote);

			if (!end)
				return false;
			*im_push(r->im, e->word, e->n) =
				im_text(r->im, "%.*s=%.*s", (int)k, p, (int)(end - value), value);
			p = end + 1;
			continue;
		}
		e->empty = *p == '/';
		*number += *p == '\n';
		p += k ? k : 1;
	}
	*s = p + (*p == '>');
	return true;
}

static const char *attribute(const struct element *e, const char *name)
{
	for (size_t i = 0; i < e->n; i++) {
		const char *v = value_of(e->word[i], name);

		if (v)
			return v;
	}
	return NULL;
}

static void zone_element(struct im_reader *r, struct zone *z, const struct element *e)
{
	const char *v = attribute(e, "name"), *port = attribute(e, "port"), *proto = attribute(e, "protocol");

	if (!strcmp(e->name, "service") && v) {
		set_service(r, entry(r, z, e->at, e->text, e->text), v);
	} else if (!strcmp(e->name, "port") && port) {
		struct entry *x = entry(r, z, e->at, e->text, e->text);

		x->port = port;
		x->proto = proto ? proto : "tcp";
	} else if (!strcmp(e->name, "source-port") && port) {
		struct entry *x = entry(r, z, e->at, e->text, e->text);

		x->sport = port;
		x->proto = proto ? proto : "tcp";
	} else if (!strcmp(e->name, "protocol")) {
		entry(r, z, e->at, e->text, e->text)->proto = attribute(e, "value");
	} else if (!strcmp(e->name, "interface") && v) {
		add_iface(r->im, z, v);
	} else if (!strcmp(e->name, "source")) {
		if (attribute(e, "address"))
			add_source(r, z, e->at, e->text, attribute(e, "address"));
		else if (attribute(e, "ipset"))
			add_source(r, z, e->at, e->text, im_text(r->im, "ipset:%s", attribute(e, "ipset")));
		else
			im_say(r->im, e->at, IM_LOSS, "a source by its MAC address is not carried");
	} else if (!strcmp(e->name, "masquerade") || !strcmp(e->name, "forward-port")) {
		im_say(r->im, e->at, IM_LOSS,
		       "changes addresses or forwards; mxdp does not: leave firewalld in place for it");
	} else if (!strncmp(e->name, "icmp-block", 10)) {
		im_say(r->im, e->at, IM_LOSS, "is about ICMP, which passes mxdp; leave firewalld in place for it");
	}
}

/* A rule of a zone file is made into the words of a rich rule. */
static void zone_file(struct im_reader *r, const char *text)
{
	const char *slash = strrchr(r->path, '/'), *name = slash ? slash + 1 : r->path, *v;
	struct zone *z = zone(r, strcmp(name, "-") ? im_copy(r->im, name, strcspn(name, ".")) : "public");
	struct im_place rule_at = { 0 };
	char *words = NULL;
	unsigned int number = 1;
	struct element e;

	while (next_element(r, &text, &number, &e)) {
		if (!strcmp(e.name, "zone") && !e.closes) {
			r->im->understood++;
			z->listed = true;
			z->target_at = e.at;
			v = attribute(&e, "target");
			z->target = v ? v : "default";
		} else if (!strcmp(e.name, "rule")) {
			if (e.closes && words) {
				rich(r, z, rule_at, words, words);
				words = NULL;
			} else if (!e.closes && !e.empty) {
				words = "rule";
				rule_at = e.at;
			}
			for (size_t i = 0; words && i < e.n; i++)
				words = im_text(r->im, "%s %s", words, e.word[i]);
		} else if (words && !e.closes) {
			words = im_text(r->im, "%s %s", words, e.name);
			for (size_t i = 0; i < e.n; i++)
				words = im_text(r->im, "%s %s", words, e.word[i]);
		} else if (!e.closes) {
			zone_element(r, z, &e);
		}
	}
}

/* Zones stand in files of their own, so that chains are made when the last one was read. */
void import_firewalld(struct import *im, const char *path, const char *text)
{
	struct im_reader r = { .im = im, .path = path, .line = line, .is_command = is_command, .command = command };
	struct fwd *f = im->firewalld;

	if (!f) {
		f = im->firewalld = im_alloc(im, sizeof(*f));
		f->standard = "public";
	}
	r.of_dialect = f;
	f->listing = NULL;
	if (strstr(text, "<zone"))
		zone_file(&r, text);
	else
		im_read(&r, text);
}

void import_firewalld_end(struct import *im)
{
	struct im_reader r = { .im = im, .path = im->path, .of_dialect = im->firewalld };

	put_all(&r);
}
