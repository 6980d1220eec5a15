// SPDX-License-Identifier: GPL-2.0-only
/* ufw: commands, user.rules and user6.rules, /etc/default/ufw, and what `ufw status` prints. */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "import_text.h"
#include "token.h"

/* One rule as ufw says it; words that were not said are NULL. */
struct urule {
	enum im_action action;
	bool limit, route, out, log;
	const char *iface, *proto, *from, *to, *port, *sport, *app;
	unsigned int families;
};

struct ufw {
	struct im_chain *input;
	size_t stock;          /* rules before the user's */
	bool route_told, out_told;
};

static const struct im_service profiles[] = {
	{ "Postfix", "25" },
	{ "Postfix SMTPS", "465" },
	{ "Postfix Submission", "587" },
	{ "Mail submission", "587" },
	{ "Dovecot IMAP", "143" },
	{ "Dovecot Secure IMAP", "993" },
	{ "Dovecot POP3", "110" },
	{ "Dovecot Secure POP3", "995" },
	{ "Exim", "25" },
	{ "Exim SMTPS", "465" },
	{ "SMTP", "25" },
	{ "IMAP", "143" },
	{ "IMAPS", "993" },
	{ "POP3", "110" },
	{ "POP3S", "995" },
	{ "OpenSSH", "22" },
	{ "SSH", "22" },
	{ "WWW", "80" },
	{ "WWW Secure", "443" },
	{ "WWW Full", "80,443" },
	{ "WWW Cache", "8080" },
	{ "Apache", "80" },
	{ "Apache Secure", "443" },
	{ "Apache Full", "80,443" },
	{ "Nginx HTTP", "80" },
	{ "Nginx HTTPS", "443" },
	{ "Nginx Full", "80,443" },
	{ "Lighttpd HTTP", "80" },
	{ "Lighttpd HTTPS", "443" },
	{ "Lighttpd Full", "80,443" },
	{ "DNS", "53" },
	{ "Samba", "139,445" },
	{ "CUPS", "631" },
	{ "LDAP", "389" },
	{ "LDAPS", "636" },
	{ "VNC", "5900" },
	{ "Telnet", "23" },
};

const char *im_profile_ports(const char *name)
{
	for (size_t i = 0; i < sizeof(profiles) / sizeof(*profiles); i++)
		if (!strcasecmp(profiles[i].name, name))
			return profiles[i].tcp;
	return NULL;
}

/* ---- the chain ---- */

static struct im_rule *stock(struct import *im, struct im_chain *c, enum im_action action)
{
	struct im_rule *r = im_rule_new(im, (struct im_place){ im->path, 0 }, "ufw's own rules");

	r->stock = true;
	r->action = action;
	im_rule_insert(im, c, c->n, r);
	return r;
}

/* What ufw has before the user's rules, as far as TCP and neighbour discovery meet it. */
static void begin(struct import *im, struct ufw *u)
{
	struct im_chain *c = im_chain_made(im, IM_BOTH, "ufw", "INPUT");

	u->input = c;
	if (!c->hook) {
		c->hook = IM_INPUT;
		c->policy = IM_DROP;
		c->policy_text = "ufw denies incoming unless told otherwise";
		c->policy_at = (struct im_place){ im->path, 0 };
		im_match(im, stock(im, c, IM_ACCEPT), IM_IFACE, false)->text = "lo";
		im_match(im, stock(im, c, IM_ACCEPT), IM_STATE, false)->value = IM_ESTABLISHED | IM_RELATED;
		im_match(im, stock(im, c, IM_DROP), IM_STATE, false)->value = IM_INVALID;
		im_match(im, stock(im, c, IM_ACCEPT), IM_PROTO, false)->value = 58;
	}
	for (u->stock = 0; u->stock < c->n && c->rule[u->stock]->stock; u->stock++)
		;
}

static void policy(struct import *im, struct ufw *u, struct im_place at, const char *word, const char *text)
{
	u->input->policy = !strcasecmp(word, "allow") || !strcasecmp(word, "accept") ? IM_ACCEPT :
			   !strcasecmp(word, "reject") ? IM_REJECT : IM_DROP;
	u->input->policy_at = at;
	u->input->policy_text = im_copy(im, text, strlen(text));
}

static bool anywhere(const char *s)
{
	return !s || !strcasecmp(s, "any") || !strcmp(s, "0.0.0.0/0") || !strcmp(s, "::/0") ||
	       !strcasecmp(s, "Anywhere");
}

static void address(struct import *im, struct im_rule *r, enum im_kind kind, const char *s)
{
	struct im_match *m;

	if (anywhere(s))
		return;
	m = im_match(im, r, kind, false);
	m->addrs = im_alloc(im, sizeof(*m->addrs));
	if (im_addr_word(im, m->addrs, s))
		return;
	m->kind = IM_MAYBE;
	m->text = im_text(im, "the address \"%s\"", s);
}

static bool ports(struct import *im, struct im_rule *r, enum im_kind kind, const char *s)
{
	char *copy = im_copy(im, s, strlen(s)), *save = NULL;
	struct im_match *m = im_match(im, r, kind, false);
	struct port_range one;

	for (char *p = strtok_r(copy, ",", &save); p; p = strtok_r(NULL, ",", &save)) {
		if (!im_port_word(im, r->at, p, ':', &one))
			return false;
		im_match_ports(im, m, one.lo, one.hi);
	}
	return m->nports > 0;
}

static bool matches(struct import *im, struct im_rule *r, const struct urule *x)
{
	const char *port = x->port;

	if (x->families != IM_BOTH)
		im_match(im, r, IM_FAMILY, false)->value = x->families;
	if (x->iface)
		im_match(im, r, IM_IFACE, false)->text = x->iface;
	if (x->app) {
		port = im_profile_ports(x->app);
		if (!port) {
			im_say(im, r->at, IM_LOSS,
			       "the application profile \"%s\" is not known here: not carried; write its ports instead",
			       x->app);
			return false;
		}
	}
	if (x->proto && strcasecmp(x->proto, "any") && strcasecmp(x->proto, "tcp"))
		im_match(im, r, IM_PROTO, false)->value = !strcasecmp(x->proto, "udp") ? 17 : 255;
	else if (x->proto && !strcasecmp(x->proto, "tcp"))
		im_match(im, r, IM_PROTO, false)->value = 6;
	if (port && strcasecmp(port, "any") && !ports(im, r, IM_PORT, port)) {
		im_say(im, r->at, IM_LOSS,
		       "\"%s\" is not a port or a service that is known here: not carried; write its number", port);
		return false;
	}
	if (x->sport && strcasecmp(x->sport, "any") && !ports(im, r, IM_SPORT, x->sport))
		return false;
	address(im, r, IM_SOURCE, x->from);
	address(im, r, IM_DEST, x->to);
	return true;
}

static struct im_rule *make(struct import *im, struct im_place at, const char *text, const struct urule *x)
{
	struct im_rule *r = im_rule_new(im, at, text);

	r->action = x->action;
	return matches(im, r, x) ? r : NULL;
}

static char *key_of(struct import *im, const struct urule *x)
{
	return im_text(im, "%d %d %s %s %s %s %s %s %s", x->action, x->limit, x->iface ? x->iface : "",
		       x->proto ? x->proto : "any", anywhere(x->from) ? "" : x->from, anywhere(x->to) ? "" : x->to,
		       x->port ? x->port : "", x->sport ? x->sport : "", x->app ? x->app : "");
}

static void add(struct import *im, struct ufw *u, struct im_place at, const char *text, const struct urule *x,
		size_t where)
{
	struct im_rule *r;
	struct im_match *m;

	im->families |= x->families;
	if (x->route || x->out) {
		if (x->out ? !u->out_told : !u->route_told)
			im_say(im, at, x->action == IM_ACCEPT ? IM_NOTE : IM_LOSS,
			       "is about what goes %s this host, and mxdp filters what "
			       "comes in to it; leave ufw in place for it",
			       x->out ? "out of" : "through");
		*(x->out ? &u->out_told : &u->route_told) = true;
		return;
	}
	r = make(im, at, text, x);
	if (!r)
		return;
	r->key = key_of(im, x);
	if (x->limit) {
		struct im_rule *over = make(im, at, text, x);

		over->action = IM_REJECT;
		over->key = r->key;
		m = im_match(im, over, IM_RATE, false);
		m->text = "ufw's limit (the sixth connection of a source in 30 seconds is refused)";
		m->rate = (struct im_rate){ .counts = IM_COUNTS_SOURCE,
					    .over = true,
					    .n = 5,
					    .seconds = 30,
					    .burst = 5,
					    .len4 = 32,
					    .len6 = 128 };
		im_rule_insert(im, u->input, where++, over);
	}
	im_rule_insert(im, u->input, where, r);
}

/* ---- commands ---- */

static bool is_action(const char *s, struct urule *x)
{
	x->limit = !strcasecmp(s, "limit");
	if (!strcasecmp(s, "allow") || x->limit)
		x->action = IM_ACCEPT;
	else if (!strcasecmp(s, "deny"))
		x->action = IM_DROP;
	else if (!strcasecmp(s, "reject"))
		x->action = IM_REJECT;
	else
		return false;
	return true;
}

static void port_word(struct import *im, struct urule *x, const char *s)
{
	const char *slash = strchr(s, '/');

	if (slash) {
		x->port = im_copy(im, s, slash - s);
		x->proto = slash + 1;
	} else if (isdigit((unsigned char)*s) || !strcasecmp(s, "any")) {
		x->port = s;
	} else if (!im_profile_ports(s) || islower((unsigned char)*s)) {
		x->port = s;
	} else {
		x->app = s;
	}
}

static unsigned int families_of(const struct urule *x)
{
	const char *const v[] = { x->from, x->to };

	for (size_t i = 0; i < 2; i++)
		if (v[i] && (strchr(v[i], ':') || strchr(v[i], '.')))
			return strchr(v[i], ':') ? IM_V6 : IM_V4;
	return IM_BOTH;
}

/* allow [in|out] [on IF] [log] PORT | [proto P] [from A [port P]] [to A [port P]]; false: not understood */
static bool parse_rule(struct import *im, struct urule *x, char **w, size_t n)
{
	bool to = true;

	for (size_t i = 0; i < n; i++) {
		const char *s = w[i], *value = i + 1 < n ? w[i + 1] : NULL;

		if (!strcmp(s, "in") || !strcmp(s, "out")) {
			x->out |= *s == 'o';
		} else if (!strcmp(s, "log") || !strcmp(s, "log-all")) {
			x->log = true;
		} else if (!strcmp(s, "comment") && value) {
			i++;
		} else if (!value && strcmp(s, "on") && strcmp(s, "from") && strcmp(s, "to")) {
			port_word(im, x, s);
		} else if (!value) {
			return false;
		} else if (!strcmp(s, "on")) {
			x->iface = value;
			i++;
		} else if (!strcmp(s, "proto")) {
			x->proto = value;
			i++;
		} else if (!strcmp(s, "from") || !strcmp(s, "to")) {
			to = *s == 't';
			*(to ? &x->to : &x->from) = value;
			i++;
		} else if (!strcmp(s, "port")) {
			if (to && strchr(value, '/'))
				port_word(im, x, value);
			else
				*(to ? &x->port : &x->sport) = value;
			i++;
		} else if (!strcmp(s, "app")) {
			if (to)
				x->app = value;
			i++;
		} else if (!strcmp(value, "comment")) {
			port_word(im, x, s);
		} else {
			return false;
		}
	}
	x->families = families_of(x);
	return x->port || x->app || x->from || x->to || x->iface || x->sport;
}

static void delete_rule(struct import *im, struct ufw *u, struct im_place at, const struct urule *x)
{
	const char *key = key_of(im, x);
	bool found = false;

	for (size_t i = u->input->n; i-- > u->stock;)
		if (u->input->rule[i]->key && !strcmp(u->input->rule[i]->key, key)) {
			im_rule_remove(u->input, i);
			found = true;
		}
	if (!found && !x->out && !x->route)
		im_say(im, at, IM_NOTE, "deletes a rule that is not in this text");
}

static void set_default(struct import *im, struct ufw *u, struct im_place at, const char *text, char **w, size_t n)
{
	const char *where = n > 1 ? w[1] : "incoming";
	struct urule x;

	/* `default deny incoming` and `default incoming deny` are both understood */
	if (n > 1 && !is_action(w[0], &x) && is_action(w[1], &x)) {
		where = w[0];
		w[0] = w[1];
	}
	if (!n || !is_action(w[0], &x))
		return;
	if (!strcmp(where, "incoming") || !strcmp(where, "input"))
		policy(im, u, at, w[0], text);
	else if (x.action != IM_ACCEPT)
		im_say(im, at, IM_LOSS,
		       "what this host sends or forwards is not filtered by mxdp; leave ufw in place for it");
	im->families = IM_BOTH;
}

static bool is_command(const char *name)
{
	return !strcmp(name, "ufw");
}

static void command(struct im_reader *r, struct im_place at, const char *text, char **w, size_t n)
{
	struct ufw *u = r->of_dialect;
	struct urule x = { .families = IM_BOTH };
	bool remove = false;
	size_t i = 1, where = u->input->n;

	while (i < n && !strncmp(w[i], "--", 2))
		i++;
	if (i < n && !strcmp(w[i], "rule"))
		i++;
	if (i < n && !strcmp(w[i], "route")) {
		x.route = true;
		i++;
	}
	if (i < n && !strcmp(w[i], "delete")) {
		remove = true;
		i++;
	}
	if (i + 1 < n && !strcmp(w[i], "insert")) {
		where = u->stock + strtoul(w[i + 1], NULL, 10) - 1;
		i += 2;
	} else if (i < n && !strcmp(w[i], "prepend")) {
		where = u->stock;
		i++;
	}
	if (i >= n)
		return;
	if (remove && all_digits(w[i], strlen(w[i]))) {
		r->im->understood++;
		im_say(r->im, at, IM_LOSS,
		       "deletes by number, of a list that is not in this text: not carried, so that the rule still "
		       "counts");
		return;
	}
	if (!strcmp(w[i], "default")) {
		set_default(r->im, u, at, text, w + i + 1, n - i - 1);
		r->im->understood++;
		return;
	}
	if (!strcmp(w[i], "reset")) {
		u->input->n = u->stock;
		return;
	}
	if (!is_action(w[i], &x)) {
		static const char *const quiet[] = { "enable", "disable", "reload", "status",
						     "show",   "logging", "app",    "version" };

		for (size_t k = 0; k < sizeof(quiet) / sizeof(*quiet); k++)
			if (!strcmp(w[i], quiet[k]))
				return;
		r->im->prose++;
		return;
	}
	r->im->understood++;
	for (size_t k = i + 1; k < n; k++)
		if (!strcmp(w[k], ">") || !strcmp(w[k], ">>"))
			n = k;
	if (!parse_rule(r->im, &x, w + i + 1, n - i - 1))
		im_say(r->im, at, IM_DANGER,
		       "is not understood, and nothing of it is carried; mend it and import again");
	else if (remove)
		delete_rule(r->im, u, at, &x);
	else
		add(r->im, u, at, text, &x, where);
}

/* ---- ufw status ---- */

static const char *find_action(const char *s, size_t *len)
{
	static const char *const words[] = { " ALLOW ", " DENY ", " REJECT ", " LIMIT " };

	for (size_t i = 0; i < 4; i++) {
		const char *at = strstr(s, words[i]);

		if (at) {
			*len = strlen(words[i]);
			return at;
		}
	}
	return NULL;
}

/* "25/tcp on eth0 (v6)", "203.0.113.5 25", "Anywhere", "Postfix" */
static void status_side(struct import *im, const char *s, struct urule *x, bool to)
{
	char **w, *app = "";
	size_t n = im_plain(im, s, &w);

	for (size_t i = 0; i < n; i++) {
		if (!strcmp(w[i], "(v6)")) {
			x->families = IM_V6;
		} else if (!strcmp(w[i], "(log)") || !strcmp(w[i], "(out)")) {
			;
		} else if (!strcmp(w[i], "on") && i + 1 < n) {
			x->iface = w[++i];
		} else if (!strcmp(w[i], "Anywhere")) {
			;
		} else if (w[i][0] == '(') {
			break; /* the profile's name behind its ports */
		} else if (strchr(w[i], ':') ? strchr(w[i], ':') != strrchr(w[i], ':') : strchr(w[i], '.') != NULL) {
			*(to ? &x->to : &x->from) = w[i];
		} else if (isdigit((unsigned char)w[i][0])) {
			if (to)
				port_word(im, x, w[i]);
			else
				x->sport = im_copy(im, w[i], strcspn(w[i], "/"));
		} else {
			app = im_text(im, "%s%s%s", app, *app ? " " : "", w[i]);
		}
	}
	if (to && *app)
		x->app = app;
}

static bool status_row(struct im_reader *r, struct im_place at, const char *s)
{
	struct urule x = { .families = IM_V4 };
	const char *text = s, *action, *rest, *hash;
	char word[8] = "";
	size_t len;

	if (*s == '[' && strchr(s, ']'))
		s = strchr(s, ']') + 1;
	action = find_action(s, &len);
	if (!action)
		return false;
	rest = action + len;
	rest += strspn(rest, " ");
	memcpy(word, action + 1, len - 2);
	if (!is_action(word, &x))
		return false;
	if (!strncmp(rest, "IN", 2))
		rest += 2;
	else if (!strncmp(rest, "OUT", 3) || !strncmp(rest, "FWD", 3)) {
		x.out = *rest == 'O';
		x.route = *rest == 'F';
		rest += 3;
	}
	hash = strchr(rest, '#');
	/* a row has its columns apart, a sentence with a capital word in it has not */
	if (action[-1 * (action > s)] != ' ' && !isdigit((unsigned char)s[strspn(s, " ")]))
		return false;
	status_side(r->im, im_copy(r->im, s, action - s), &x, true);
	status_side(r->im, hash ? im_copy(r->im, rest, hash - rest) : rest, &x, false);
	if (x.families == IM_V4 && families_of(&x) != IM_BOTH)
		x.families = families_of(&x);
	r->im->understood++;
	add(r->im, r->of_dialect, at, im_trim(r->im, text), &x, ((struct ufw *)r->of_dialect)->input->n);
	return true;
}

static bool line(struct im_reader *r, struct im_place at, const char *s)
{
	struct ufw *u = r->of_dialect;
	const char *p;

	if (!strncmp(s, "Default:", 8)) {
		p = s + 8 + strspn(s + 8, " ");
		/* a sentence that explains such a line is none */
		p += strcspn(p, " ");
		if (strcmp(p, " (incoming)") && strncmp(p, " (incoming),", 12))
			return false;
		p = s + 8 + strspn(s + 8, " ");
		policy(r->im, u, at, im_copy(r->im, p, strcspn(p, " ,")), s);
		r->im->understood++;
		return true;
	}
	if (!strncmp(s, "DEFAULT_INPUT_POLICY=", 21)) {
		p = s + 21 + (s[21] == '"');
		policy(r->im, u, at, im_copy(r->im, p, strcspn(p, "\"")), s);
		r->im->understood++;
		return true;
	}
	if (!strcmp(s, "Status: inactive")) {
		im_say(r->im, at, IM_DANGER,
		       "ufw is switched off here, and so refuses nothing; the rules are imported as if it were on");
		r->im->understood++;
		return true;
	}
	if (!strncmp(s, "Status:", 7) || !strncmp(s, "Logging:", 8) || !strncmp(s, "New profiles:", 13) ||
	    !strncmp(s, "To  ", 4) || !strncmp(s, "--  ", 4))
		return true;
	return status_row(r, at, s);
}

/* ---- user.rules: one tuple a rule; the rest of the file is made from them ---- */

static const char *unescape(struct import *im, const char *s)
{
	char *out = im_copy(im, s, strlen(s)), *p = out;

	for (; *s; s++) {
		if (!strncmp(s, "%20", 3)) {
			*p++ = ' ';
			s += 2;
		} else {
			*p++ = *s;
		}
	}
	*p = '\0';
	return out;
}

static void tuple(struct import *im, struct ufw *u, struct im_place at, const char *s)
{
	struct urule x = { 0 };
	char **w, *under;
	const char *dir;
	size_t n = im_plain(im, s, &w);

	if (n && !strncmp(w[n - 1], "comment=", 8))
		n--;
	if (n < 6 || n > 9)
		goto odd;
	if (!strncmp(w[0], "route:", 6)) {
		x.route = true;
		w[0] += 6;
	}
	under = strchr(w[0], '_');
	if (under)
		*under = '\0';
	if (!is_action(w[0], &x))
		goto odd;
	x.proto = w[1];
	x.port = w[2];
	x.to = w[3];
	x.sport = w[4];
	x.from = w[5];
	if (n >= 8 && strcmp(w[6], "-"))
		x.app = unescape(im, w[6]);
	/* the ports of a profile are written out beside its name */
	if (x.app && strcmp(x.port, "any"))
		x.app = NULL;
	dir = n == 7 || n == 9 ? w[n - 1] : "in";
	x.out = !strncmp(dir, "out", 3) && !x.route;
	if (!strncmp(dir, "in_", 3) && !x.route)
		x.iface = dir + 3;
	x.families = strchr(x.from, ':') || strchr(x.to, ':') ? IM_V6 : IM_V4;
	im->understood++;
	add(im, u, at, im_copy(im, s, strcspn(s, "\n") - (strstr(s, " comment=") ? strlen(strstr(s, " comment=")) : 0)),
	    &x, u->input->n);
	return;
odd:
	im_say(im, at, IM_DANGER, "a tuple that is not understood, and nothing of it is carried: %.100s", s);
}

static void tuples(struct import *im, struct ufw *u, const char *path, const char *text)
{
	static const char mark[] = "### tuple ### ";
	unsigned int number = 1;

	for (; *text; number++) {
		size_t n = strcspn(text, "\n");

		if (n > strlen(mark) && !strncmp(text, mark, strlen(mark)))
			tuple(im, u, (struct im_place){ path, number },
			      im_trim(im, im_copy(im, text + strlen(mark), n - strlen(mark) - (text[n - 1] == '\r'))));
		text += n + (text[n] == '\n');
	}
}

void import_ufw(struct import *im, const char *path, const char *text)
{
	struct ufw u = { 0 };
	struct im_reader r = {
		.im = im, .path = path, .line = line, .is_command = is_command, .command = command, .of_dialect = &u
	};

	begin(im, &u);
	if (strstr(text, "### tuple ###"))
		tuples(im, &u, path, text);
	else
		im_read(&r, text);
	if (!im->families)
		im->families = IM_BOTH;
}
