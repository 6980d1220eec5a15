// SPDX-License-Identifier: GPL-2.0-only
/*
 * `explain`: what would the filter do with this packet, and why? A real frame runs through the attached program itself;
 * the plain judge, which knows nothing of the program, names the sentence. When the two disagree, that is a fault of
 * ours and is said.
 */
#include <errno.h>
#include <ifaddrs.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netpacket/packet.h>
#include <linux/bpf.h>
#include "look.h"
#include "packet.h"
#include "reason.h"
#include "tell.h"

#define USUAL_SPORT 40000

static const struct flag_word {
	const char *word;
	uint8_t flags;
	const char *text;
} flag_words[] = {
	{ "syn", PACKET_SYN, "SYN" },
	{ "ack", PACKET_ACK, "ACK" },
	{ "synack", PACKET_SYN | PACKET_ACK, "SYN+ACK" },
	{ "fin", PACKET_FIN | PACKET_ACK, "FIN+ACK" }, /* no TCP sends a bare FIN */
	{ "rst", PACKET_RST, "RST" },
};

struct explain {
	const struct flag_word *flags;
	struct packet packet;
	bool has_dst;
	const char *iface;  /* as it is called now */
	const char *pinned; /* as mxdp knows it */
	struct look look;
	struct dp_verdict verdict;
	struct judge_answer answer;
	bool agree;
};

static void explain_free(struct explain *e)
{
	look_close(&e->look);
}

/* ---- words ---- */

static int one_host(const char *word, struct prefix *p, struct diag *d)
{
	__cleanup_free char *why = NULL;

	if (word_prefix(word, strlen(word), p, &why)) {
		usage_error(d, "explain", "%s", why ? why : "this is no address");
		return -EINVAL;
	}
	if (p->len != (p->family == 4 ? 32 : 128)) {
		usage_error(d, "explain", "\"%s\" is many addresses; a packet comes from one", word);
		return -EINVAL;
	}
	return 0;
}

static int one_port(const char *word, uint16_t *port, struct diag *d)
{
	__cleanup_free char *why = NULL;
	struct port_range r;

	if (word_ports(word, strlen(word), &r, &why)) {
		usage_error(d, "explain", "%s", why ? why : "this is no port");
		return -EINVAL;
	}
	if (r.lo != r.hi) {
		usage_error(d, "explain", "\"%s\" is many ports; a packet goes to one", word);
		return -EINVAL;
	}
	*port = r.lo;
	return 0;
}

static const struct flag_word *flags_by_word(const char *word)
{
	for (size_t i = 0; i < sizeof(flag_words) / sizeof(*flag_words); i++)
		if (strcmp(flag_words[i].word, word) == 0)
			return &flag_words[i];
	return NULL;
}

/* `sport N`, `to ADDRESS`, `on IFACE`; a flag word stands alone. Returns the words taken, or -EINVAL. */
static int parse_extra(struct explain *e, int argc, char **argv, struct diag *d)
{
	const struct flag_word *f = flags_by_word(argv[0]);
	const char *word = argv[0];

	if (f) {
		e->flags = f;
		return 1;
	}
	if (strcmp(word, "sport") && strcmp(word, "to") && strcmp(word, "on")) {
		usage_error(d, "explain", "\"%s\" is none of syn, ack, synack, fin, rst, sport, to, on", word);
		return -EINVAL;
	}
	if (argc < 2) {
		usage_error(d, "explain", "`%s` wants a word behind it", word);
		return -EINVAL;
	}
	if (*word == 's')
		return one_port(argv[1], &e->packet.sport, d) ? -EINVAL : 2;
	if (*word == 'o') {
		e->iface = argv[1];
		return 2;
	}
	e->has_dst = true;
	return one_host(argv[1], &e->packet.dst, d) ? -EINVAL : 2;
}

static int parse_words(struct explain *e, int argc, char **argv, struct diag *d)
{
	int i = 1;

	if (i < argc && strcmp(argv[i], "tcp") == 0)
		i++;
	if (i < argc && strcmp(argv[i], "from") == 0)
		i++;
	if (argc - i < 2) {
		usage_error(d, "explain", "explain which packet? for example `mxdp explain 192.0.2.9 smtp syn`");
		return -EINVAL;
	}
	e->flags = flags_by_word("syn");
	e->packet.sport = USUAL_SPORT;
	if (one_host(argv[i], &e->packet.src, d) || one_port(argv[i + 1], &e->packet.dport, d))
		return -EINVAL;
	for (i += 2; i < argc;) {
		int taken = parse_extra(e, argc - i, argv + i, d);

		if (taken < 0)
			return taken;
		i += taken;
	}
	if (e->has_dst && e->packet.dst.family != e->packet.src.family) {
		usage_error(d, "explain", "the packet would come from an IPv%d address and go to an IPv%d one",
			    e->packet.src.family, e->packet.dst.family);
		return -EINVAL;
	}
	return 0;
}

/* ---- the frame ---- */

static bool is_link_local(const uint8_t *addr)
{
	return addr[0] == 0xfe && (addr[1] & 0xc0) == 0x80;
}

/* Takes an address of the interface as the destination; a link-local one only for a source that is link-local too. */
static bool take_address(struct explain *e, const struct sockaddr *sa)
{
	const uint8_t *addr;

	if (sa->sa_family == AF_INET && e->packet.src.family == 4) {
		addr = (const uint8_t *)&((const struct sockaddr_in *)sa)->sin_addr;
		e->packet.dst = (struct prefix){ .family = 4, .len = 32 };
		memcpy(e->packet.dst.addr, addr, 4);
		return true;
	}
	if (sa->sa_family != AF_INET6 || e->packet.src.family != 6)
		return false;
	addr = (const uint8_t *)&((const struct sockaddr_in6 *)sa)->sin6_addr;
	if (is_link_local(addr) != is_link_local(e->packet.src.addr))
		return false;
	e->packet.dst = (struct prefix){ .family = 6, .len = 128 };
	memcpy(e->packet.dst.addr, addr, 16);
	return true;
}

/* Is the source on a network that the interface has an address in? */
static bool on_net(const struct ifaddrs *i, const struct prefix *src)
{
	const uint8_t *addr, *mask;
	size_t n = src->family == 4 ? 4 : 16;

	if (!i->ifa_addr || !i->ifa_netmask || i->ifa_addr->sa_family != (src->family == 4 ? AF_INET : AF_INET6))
		return false;
	if (src->family == 4) {
		addr = (const uint8_t *)&((const struct sockaddr_in *)i->ifa_addr)->sin_addr;
		mask = (const uint8_t *)&((const struct sockaddr_in *)i->ifa_netmask)->sin_addr;
	} else {
		addr = (const uint8_t *)&((const struct sockaddr_in6 *)i->ifa_addr)->sin6_addr;
		mask = (const uint8_t *)&((const struct sockaddr_in6 *)i->ifa_netmask)->sin6_addr;
	}
	for (size_t k = 0; k < n; k++)
		if ((addr[k] ^ src->addr[k]) & mask[k])
			return false;
	return true;
}

/* By the name it has now, or by the one it had. */
static const struct dp_iface *attached(const struct look *l, const char *name)
{
	for (size_t i = 0; i < l->nifaces; i++)
		if (strcmp(l->ifaces[i].now, name) == 0)
			return &l->ifaces[i];
	for (size_t i = 0; i < l->nifaces; i++)
		if (strcmp(l->ifaces[i].name, name) == 0)
			return &l->ifaces[i];
	return NULL;
}

static bool is_filtered(const struct look *l, const char *name)
{
	const struct dp_iface *k = attached(l, name);

	return k && iface_state(k) == IFACE_ATTACHED;
}

/* The interface that was asked for, else the one on whose network the source is, else the first that the rules name. */
static const char *choose_iface(const struct explain *e, const struct ifaddrs *all)
{
	const struct look *l = &e->look;

	for (const struct ifaddrs *i = all; i; i = i->ifa_next)
		if (on_net(i, &e->packet.src) && is_filtered(l, i->ifa_name))
			return attached(l, i->ifa_name)->name;
	for (size_t i = 0; i < l->rules.n; i++)
		if (l->rules.v[i].kind == STMT_INTERFACE && is_filtered(l, l->rules.v[i].name))
			return l->rules.v[i].name;
	for (size_t i = 0; i < l->nifaces; i++)
		if (iface_state(&l->ifaces[i]) == IFACE_ATTACHED)
			return l->ifaces[i].name;
	return NULL;
}

static int pick_iface(struct explain *e, const struct options *o, const struct ifaddrs *all, struct diag *d)
{
	const struct dp_iface *k;

	if (!e->iface)
		e->iface = o->iface;
	if (!e->iface)
		e->iface = choose_iface(e, all);
	if (!e->iface) {
		diag_error(d, "no interface is filtered: every packet passes; `mxdp attach INTERFACE` begins");
		return -ENODEV;
	}
	k = attached(&e->look, e->iface);
	if (!k) {
		diag_error(d, "mxdp is not attached to %s; `mxdp status` lists the interfaces that are filtered",
			   e->iface);
		return -ENODEV;
	}
	e->pinned = k->name;
	e->iface = *k->now ? k->now : k->name;
	return 0;
}

static int pick_addresses(struct explain *e, const struct ifaddrs *all, struct diag *d)
{
	for (const struct ifaddrs *i = all; i; i = i->ifa_next) {
		if (!i->ifa_addr || strcmp(i->ifa_name, e->iface))
			continue;
		if (i->ifa_addr->sa_family == AF_PACKET)
			memcpy(e->packet.to_mac, ((const struct sockaddr_ll *)i->ifa_addr)->sll_addr, 6);
		else if (!e->has_dst)
			e->has_dst = take_address(e, i->ifa_addr);
	}
	/* of the sender's only that it is no group's is of interest */
	memcpy(e->packet.from_mac, (uint8_t[]){ 0x02, 0, 0, 0, 0, 0x01 }, 6);
	if (e->has_dst)
		return 0;
	diag_error(d, "%s has no IPv%d address that this packet could go to; say `to ADDRESS`", e->iface,
		   e->packet.src.family);
	return -EINVAL;
}

static int find_ends(struct explain *e, const struct options *o, struct diag *d)
{
	struct ifaddrs *all;
	int err;

	if (getifaddrs(&all)) {
		err = -errno;
		diag_error(d, "cannot read the addresses of the interfaces: %s", strerror(-err));
		return err;
	}
	err = pick_iface(e, o, all, d);
	if (!err)
		err = pick_addresses(e, all, d);
	freeifaddrs(all);
	return err;
}

/* ---- do the program and the rules agree? ---- */

static bool over_limit(unsigned int reason)
{
	return reason == MXDP_R_OVER_RATE || reason == MXDP_R_OVER_CONNECTIONS || reason == MXDP_R_OVER_GLOBAL ||
	       reason == MXDP_R_REFUSED;
}

static bool syn_agrees(unsigned int reason, enum judge_says says)
{
	switch (reason) {
	case MXDP_R_ALLOWED:
	case MXDP_R_OVER_RATE:
	case MXDP_R_OVER_CONNECTIONS:
	case MXDP_R_OVER_GLOBAL:
		return says == JUDGE_ALLOW;
	case MXDP_R_DEFAULT_ALLOW:
		return says == JUDGE_DEFAULT_ALLOW;
	case MXDP_R_ADMIN:
		return says == JUDGE_ADMIN;
	case MXDP_R_DENIED:
		return says == JUDGE_DENY || says == JUDGE_CLOSED;
	case MXDP_R_CLOSED: /* the program does not look the source up then, so a block of it does not show */
		return says == JUDGE_DENY || says == JUDGE_CLOSED || says == JUDGE_BLOCKED;
	case MXDP_R_BLOCKED:
		return says == JUDGE_BLOCKED;
	}
	return true;
}

static bool agrees(const struct explain *e)
{
	unsigned int reason = e->verdict.said.reason;

	if (e->flags->flags == PACKET_SYN)
		return syn_agrees(reason, e->answer.says) && (!over_limit(reason) || e->answer.limited);
	if (reason == MXDP_R_BLOCKED)
		return e->answer.says == JUDGE_BLOCKED;
	if (reason == MXDP_R_LIVE || reason == MXDP_R_NO_CONNECTION || reason == MXDP_R_COOKIE)
		return e->answer.says != JUDGE_BLOCKED;
	return true;
}

/* Was it a rule that decided? Else it was the form of the packet, or the kernel's table of connections. */
static bool rule_decided(const struct explain *e)
{
	switch (e->verdict.said.reason) {
	case MXDP_R_ALLOWED:
	case MXDP_R_DEFAULT_ALLOW:
	case MXDP_R_ADMIN:
	case MXDP_R_DENIED:
	case MXDP_R_CLOSED:
	case MXDP_R_BLOCKED:
	case MXDP_R_OVER_RATE:
	case MXDP_R_OVER_GLOBAL:
		return true;
	case MXDP_R_OVER_CONNECTIONS:
		return e->flags->flags == PACKET_SYN;
	}
	return false;
}

static bool kernel_decided(const struct explain *e)
{
	unsigned int reason = e->verdict.said.reason;

	return reason == MXDP_R_LIVE || reason == MXDP_R_NO_CONNECTION || reason == MXDP_R_COOKIE;
}

/* ---- the answer ---- */

static const char *verdict_word(uint32_t action)
{
	return action == XDP_PASS ? "pass" : action == XDP_DROP ? "drop" : "neither pass nor drop";
}

static char *end_text(const struct prefix *host, uint16_t port)
{
	char buf[PREFIX_TEXT];

	return xasprintf(host->family == 6 ? "[%s]:%u" : "%s:%u", prefix_text(host, buf), port);
}

/* Refused, because the sentence that speaks of the port lets others in. */
static bool is_elsewhere(const struct explain *e)
{
	const struct stmt *s = e->answer.because;

	return s && (s->kind == STMT_ALLOW || s->kind == STMT_ADMIN) &&
	       (e->answer.says == JUDGE_DENY || e->answer.says == JUDGE_CLOSED);
}

static void print_decided(const struct explain *e)
{
	const struct stmt *s = e->answer.because;
	__cleanup_free char *text = NULL;

	if (kernel_decided(e)) {
		printf("decided  the kernel's table of connections, not a rule\n");
	} else if (!rule_decided(e)) {
		printf("decided  the packet's own form, before any rule\n");
	} else if (!s) {
		printf("decided  default %s (unless said otherwise)\n", e->look.deny ? "deny" : "allow");
	} else {
		text = stmt_text(s);
		fputs("decided  ", stdout);
		put_escaped(text, stdout);
		if (is_elsewhere(e))
			fputs(": opens this port, and not to this source", stdout);
		fputs("\n         ", stdout);
		put_escaped(s->at.file ? s->at.file : "runtime, in no file", stdout);
		if (s->at.file)
			printf(":%u", s->at.line);
		putchar('\n');
	}
}

static void print_answer(const struct explain *e)
{
	__cleanup_free char *from = end_text(&e->packet.src, e->packet.sport),
			    *to = end_text(&e->packet.dst, e->packet.dport);
	const struct reason_info *info = reason_info(e->verdict.said.reason);
	int service = e->verdict.said.service;
	bool spared = info && info->drops && e->verdict.action == XDP_PASS;

	printf("packet   %s %s -> %s on %s\n", e->flags->text, from, to, e->iface);
	printf("verdict  %s%s\n", verdict_word(e->verdict.action),
	       spared ? " (mxdp observes: it WOULD BE DROPPED when enforcing)" : "");
	printf("reason   %s: %s\n", info ? info->name : "unknown",
	       info ? info->text : "a reason this program does not know");
	printf("service  %s", service_name(&e->look, service, false));
	if (service && strcmp(service_name(&e->look, service, false), e->look.services[service].key))
		printf(" (%s)", e->look.services[service].key);
	putchar('\n');
	print_decided(e);
	if (e->answer.limited) {
		__cleanup_free char *limit = limits_text(&e->answer.because->limits);

		printf("limit    %s: %s\n", limit, over_limit(e->verdict.said.reason) ? "the source, or all together, are over it now" :
										"this one more is within it now");
	}
	printf("policy   epoch %" PRIu32 "\n", e->verdict.said.epoch);
}

static void json_decided(json_object *doc, const struct explain *e)
{
	const struct stmt *s = rule_decided(e) ? e->answer.because : NULL;
	__cleanup_free char *text = s ? stmt_text(s) : NULL;
	json_object *by = json_sub(doc, "decided_by");

	json_str(by, "who", rule_decided(e) ? (s ? "rule" : "default") : kernel_decided(e) ? "kernel" : "packet");
	json_str(by, "sentence", text);
	if (s && e->answer.limited) {
		__cleanup_free char *limit = limits_text(&s->limits);

		json_str(by, "limit", limit);
		json_yes(by, "over_limit", over_limit(e->verdict.said.reason));
	}
	json_str(by, "file", s ? s->at.file : NULL);
	if (s && s->at.file)
		json_num(by, "line", s->at.line);
	if (s)
		json_yes(by, "runtime", !s->at.file);
}

static void answer_json(const struct explain *e)
{
	const struct reason_info *info = reason_info(e->verdict.said.reason);
	__cleanup_json json_object *doc = json_document();
	char buf[PREFIX_TEXT];
	json_object *sub;

	json_str(doc, "interface", e->iface);
	sub = json_sub(doc, "packet");
	json_str(sub, "source", prefix_text(&e->packet.src, buf));
	json_num(sub, "source_port", e->packet.sport);
	json_str(sub, "destination", prefix_text(&e->packet.dst, buf));
	json_num(sub, "port", e->packet.dport);
	json_str(sub, "flags", e->flags->word);
	json_str(doc, "verdict", verdict_word(e->verdict.action));
	json_yes(doc, "observe", e->look.observe);
	json_yes(doc, "would_drop", info && info->drops);
	json_str(doc, "reason", info ? info->name : NULL);
	json_str(doc, "text", info ? info->text : NULL);
	sub = json_sub(doc, "service");
	json_num(sub, "number", e->verdict.said.service);
	json_str(sub, "name", service_name(&e->look, e->verdict.said.service, false));
	json_str(sub, "ports", e->verdict.said.service ? e->look.services[e->verdict.said.service].key : NULL);
	json_num(doc, "class", e->verdict.said.class_);
	json_num(doc, "epoch", e->verdict.said.epoch);
	json_decided(doc, e);
	json_yes(doc, "agrees", e->agree);
	json_print(doc, stdout);
}

static void say_disagreement(const struct explain *e, struct diag *d)
{
	static const char *const says[] = {
		"allow", "allow by default", "admin", "deny", "closed", "blocked", "not blocked",
	};
	const struct reason_info *info = reason_info(e->verdict.said.reason);
	__cleanup_free char *text = e->answer.because ? stmt_text(e->answer.because) : NULL;

	diag_error(d,
		   "INTERNAL ERROR: the program in the kernel says \"%s\", the rules in force say \"%s\"%s%s%s; this "
		   "is a fault of mxdp: please report it with the output of `mxdp show rules`. `mxdp apply` compiles the "
		   "rules anew",
		   info ? info->name : "an unknown reason", says[e->answer.says], text ? " (" : "", text ? text : "",
		   text ? ")" : "");
}

static const struct stmt *written_default(const struct rules *r)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == STMT_DEFAULT)
			return &r->v[i];
	return NULL;
}

static int explain_run(struct explain *e, const struct options *o, struct diag *d)
{
	uint8_t frame[PACKET_MAX];
	int err;

	err = look_must_open(&e->look, o, d);
	if (!err)
		err = find_ends(e, o, d);
	if (err)
		return err;
	e->packet.flags = e->flags->flags;
	err = dp_probe(e->look.dp, e->pinned, frame, packet_craft(&e->packet, frame), &e->verdict, d);
	if (err)
		return err;
	e->answer = rules_judge(&e->look.rules, &e->packet.src, e->packet.dport, e->flags->flags == PACKET_SYN);
	/* of a packet that opens nothing the judge only says that no sentence blocks it */
	if (e->verdict.said.reason == MXDP_R_DEFAULT_ALLOW && !e->answer.because)
		e->answer.because = written_default(&e->look.rules);
	e->agree = agrees(e);
	return 0;
}

int verb_explain(const struct options *o, int argc, char **argv)
{
	__cleanup(explain_free) struct explain e = { 0 };
	struct diag d = { 0 };
	int err;

	if (parse_words(&e, argc, argv, &d))
		return verb_end(o, &d, EXIT_USAGE);
	err = explain_run(&e, o, &d);
	if (err)
		return verb_end(o, &d, err == -ENOENT ? EXIT_KERNEL : exit_code_of(err));
	if (o->json)
		answer_json(&e);
	else if (!o->quiet)
		print_answer(&e);
	if (!e.agree)
		say_disagreement(&e, &d);
	return look_end(o, &d, e.agree ? EXIT_DONE : EXIT_KERNEL);
}
