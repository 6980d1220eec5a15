// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <ifaddrs.h>
#include <netinet/in.h>
#include <pwd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <utmpx.h>
#include "flows.h"
#include "operator.h"

#define SSH_VARIABLE "SSH_CONNECTION="
#define MAX_ENVIRON (4u << 20)
#define MAX_PARENTS 64
#define LOGIND_SESSIONS "/run/systemd/sessions"

/* ---- what is looked at ---- */

struct search {
	struct operator *op;
	struct operator said;  /* by variables, not live */
	struct flow *flow;     /* all of the host, read when first needed */
	size_t nflows;
	bool read;
	pid_t mux;             /* tmux or its like above us; 0 none */
};

static void read_flows(struct search *s)
{
	__cleanup_free uint8_t *want = xmalloc(65536);
	struct diag quiet = { 0 };

	if (s->read)
		return;
	s->read = true;
	memset(want, 1, 65536);
	flows_read(&s->flow, &s->nflows, want, &quiet);
	diag_free(&quiet);
}

static bool same_way(const struct way *a, const struct way *b)
{
	return a->port == b->port && a->pport == b->pport && !prefix_cmp(&a->peer, &b->peer) &&
	       !prefix_cmp(&a->here, &b->here);
}

static void add_way(struct operator *op, const struct way *w)
{
	for (size_t i = 0; i < op->n; i++)
		if (same_way(&op->v[i], w))
			return;
	if (op->n < WAYS_MAX)
		op->v[op->n++] = *w;
}

static bool established(const struct flow *f)
{
	return !strcmp(flow_state(f->state), "established") || !strcmp(flow_state(f->state), "close-wait");
}

static bool lives(struct search *s, const struct way *w)
{
	read_flows(s);
	for (size_t i = 0; i < s->nflows; i++) {
		const struct flow *f = &s->flow[i];

		if (f->lport == w->port && f->pport == w->pport && established(f) && !prefix_cmp(&f->peer, &w->peer) &&
		    !prefix_cmp(&f->local, &w->here))
			return true;
	}
	return false;
}

static void add_socket(struct search *s, uint32_t inode)
{
	read_flows(s);
	for (size_t i = 0; i < s->nflows; i++) {
		const struct flow *f = &s->flow[i];
		struct way w = { f->peer, f->local, f->pport, f->lport, true };

		if (f->inode == inode && inode && established(f))
			add_way(s->op, &w);
	}
}

/* ---- variables ---- */

static bool parse_address(char *word, struct prefix *out)
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	word[strcspn(word, "%")] = '\0';
	if (word_prefix(word, strlen(word), out, NULL))
		return false;
	if (out->family == 6 && !memcmp(out->addr, mapped, sizeof(mapped))) {
		memmove(out->addr, out->addr + 12, 4);
		memset(out->addr + 4, 0, 12);
		out->family = 4;
		out->len = 32;
	}
	return true;
}

static bool parse_way(const char *text, struct way *w)
{
	char from[64], to[64];
	unsigned int pport, port;

	*w = (struct way){ 0 };
	if (sscanf(text, "%63s %u %63s %u", from, &pport, to, &port) != 4 || port > 65535 || pport > 65535)
		return false;
	w->port = port;
	w->pport = pport;
	return parse_address(from, &w->peer) && parse_address(to, &w->here);
}

static void add_said(struct search *s, const char *text)
{
	struct way w;

	if (!text || !parse_way(text, &w))
		return;
	w.live = lives(s, &w);
	add_way(w.live ? s->op : &s->said, &w);
}

static void add_environ(struct search *s, pid_t pid)
{
	__cleanup_free char *path = xasprintf("/proc/%d/environ", pid), *text = NULL;
	struct diag quiet = { 0 };
	size_t len = 0;

	if (!file_read(path, MAX_ENVIRON, &text, &len, &quiet))
		for (size_t at = 0; at < len; at += strlen(text + at) + 1)
			if (!strncmp(text + at, SSH_VARIABLE, strlen(SSH_VARIABLE)))
				add_said(s, text + at + strlen(SSH_VARIABLE));
	diag_free(&quiet);
}

/* ---- processes ---- */

struct process {
	pid_t pid, parent;
	int terminal; /* 0: none */
	char name[32];
};

static bool process_read(pid_t pid, struct process *p)
{
	__cleanup_free char *path = xasprintf("/proc/%d/stat", pid), *text = NULL;
	struct diag quiet = { 0 };
	size_t len;
	int err = file_read(path, 4096, &text, &len, &quiet);
	char *open = err ? NULL : strchr(text, '('), *close = err ? NULL : strrchr(text, ')');

	diag_free(&quiet);
	*p = (struct process){ .pid = pid };
	if (!open || !close || close < open || sscanf(close + 1, " %*c %d %*d %*d %d", &p->parent, &p->terminal) != 2)
		return false;
	snprintf(p->name, sizeof(p->name), "%.*s", (int)(close - open - 1), open + 1);
	return true;
}

static bool is_server(const struct process *p)
{
	return !strncmp(p->name, "sshd", 4) || !strcmp(p->name, "dropbear");
}

/* "tmux: server", "tmux: client", "screen", ... */
static const char *mux_kind(const struct process *p)
{
	static const char *const kind[] = { "tmux", "screen", "SCREEN", "zellij", "dtach", "abduco" };

	for (size_t i = 0; i < sizeof(kind) / sizeof(*kind); i++)
		if (!strncmp(p->name, kind[i], strlen(kind[i])))
			return kind[i];
	return NULL;
}

static void add_sockets(struct search *s, pid_t pid)
{
	__cleanup_free char *path = xasprintf("/proc/%d/fd", pid);
	DIR *dir = opendir(path);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		unsigned int inode;
		char to[64];
		ssize_t n = readlinkat(dirfd(dir), e->d_name, to, sizeof(to) - 1);

		if (n <= 0)
			continue;
		to[n] = '\0';
		if (sscanf(to, "socket:[%u]", &inode) == 1)
			add_socket(s, inode);
	}
	if (dir)
		closedir(dir);
}

/* From pid up to the first server that holds a connection. */
static void walk(struct search *s, pid_t pid)
{
	struct process p;

	for (int i = 0; i < MAX_PARENTS && pid > 1 && process_read(pid, &p); i++, pid = p.parent) {
		size_t before = s->op->n;

		if (!s->mux && mux_kind(&p))
			s->mux = p.pid;
		if (!is_server(&p)) {
			add_environ(s, pid);
			continue;
		}
		add_sockets(s, pid);
		if (s->op->n > before)
			return;
	}
}

static uid_t owner_of(pid_t pid)
{
	__cleanup_free char *path = xasprintf("/proc/%d", pid);
	struct stat st;

	return stat(path, &st) ? (uid_t)-1 : st.st_uid;
}

/* A shell in tmux has the server above it, which nobody logged in over; those who look into it now are its clients. */
static void walk_clients(struct search *s)
{
	struct process server, p;
	struct dirent *e;
	DIR *dir;

	if (!process_read(s->mux, &server))
		return;
	dir = opendir("/proc");
	while (dir && (e = readdir(dir))) {
		pid_t pid = isdigit((unsigned char)e->d_name[0]) ? atoi(e->d_name) : 0;
		const char *kind;

		if (!pid || pid == server.pid || owner_of(pid) != owner_of(server.pid) || !process_read(pid, &p))
			continue;
		kind = mux_kind(&p);
		if (kind && !strcasecmp(kind, mux_kind(&server)) && p.parent != server.pid)
			walk(s, p.parent);
	}
	if (dir)
		closedir(dir);
}

/* ---- all of it ---- */

static bool is_here(const struct prefix *address)
{
	struct ifaddrs *all, *i;
	bool found = false;

	if (getifaddrs(&all))
		return true;
	for (i = all; i && !found; i = i->ifa_next) {
		int family = i->ifa_addr ? i->ifa_addr->sa_family : AF_UNSPEC;

		if (family == AF_INET && address->family == 4)
			found = !memcmp(&((struct sockaddr_in *)(void *)i->ifa_addr)->sin_addr, address->addr, 4);
		else if (family == AF_INET6 && address->family == 6)
			found = !memcmp(&((struct sockaddr_in6 *)(void *)i->ifa_addr)->sin6_addr, address->addr, 16);
	}
	freeifaddrs(all);
	return found;
}

void operator_find(struct operator *op)
{
	struct search s = { .op = op };

	*op = (struct operator){ 0 };
	add_said(&s, getenv("SSH_CONNECTION"));
	walk(&s, getppid());
	if (s.mux)
		walk_clients(&s);
	for (size_t i = 0; !op->n && i < s.said.n; i++)
		if (is_here(&s.said.v[i].here))
			add_way(op, &s.said.v[i]);
	free(s.flow);
}

/* ---- everybody who is logged in ---- */

static void add_flows_of(struct search *s, const struct prefix *peer)
{
	for (size_t i = 0; i < s->nflows; i++) {
		const struct flow *f = &s->flow[i];
		struct way w = { f->peer, f->local, f->pport, f->lport, true };

		if (established(f) && !prefix_cmp(&f->peer, peer))
			add_way(s->op, &w);
	}
}

static void add_utmp(struct search *s)
{
	struct utmpx *u;

	setutxent();
	while ((u = getutxent())) {
		bool v6 = u->ut_addr_v6[1] || u->ut_addr_v6[2] || u->ut_addr_v6[3];
		struct prefix peer = { .family = v6 ? 6 : 4, .len = v6 ? 128 : 32 };

		if (u->ut_type != USER_PROCESS || (!v6 && !u->ut_addr_v6[0]))
			continue;
		memcpy(peer.addr, u->ut_addr_v6, v6 ? 16 : 4);
		add_flows_of(s, &peer);
	}
	endutxent();
}

/* logind knows logins without a terminal too; it writes KEY=VALUE lines, a file for each session. */
static void add_logind(struct search *s)
{
	static const char key[] = "\nREMOTE_HOST=";
	DIR *dir = opendir(LOGIND_SESSIONS);
	struct dirent *e;

	while (dir && (e = readdir(dir))) {
		__cleanup_free char *path = xasprintf(LOGIND_SESSIONS "/%s", e->d_name), *text = NULL;
		struct diag quiet = { 0 };
		struct prefix peer;
		size_t len;
		char *host = e->d_name[0] == '.' || strchr(e->d_name, '.') || file_read(path, 65536, &text, &len, &quiet) ?
			NULL : strstr(text, key);

		diag_free(&quiet);
		if (!host)
			continue;
		host += strlen(key);
		host[strcspn(host, "\n")] = '\0';
		if (parse_address(host, &peer))
			add_flows_of(s, &peer);
	}
	if (dir)
		closedir(dir);
}

bool nobody_at_a_terminal(void)
{
	struct process p;

	return process_read(getpid(), &p) && !p.terminal;
}

void operator_logins(struct operator *op, const uint8_t port[65536])
{
	struct search s = { .op = op, .read = true };
	struct diag quiet = { 0 };

	*op = (struct operator){ 0 };
	if (!flows_read(&s.flow, &s.nflows, port, &quiet) && s.nflows) {
		add_utmp(&s);
		add_logind(&s);
	}
	diag_free(&quiet);
	free(s.flow);
}

static char *way_text(const struct way *w)
{
	char peer[PREFIX_TEXT], here[PREFIX_TEXT];

	return xasprintf("%s %u %s %u", prefix_text(&w->peer, peer), w->pport, prefix_text(&w->here, here), w->port);
}

char *operator_text(const struct operator *op)
{
	char *text = xstrdup("");

	for (size_t i = 0; i < op->n; i++) {
		__cleanup_free char *was = text, *one = way_text(&op->v[i]);

		text = xasprintf("%s%s%s", was, i ? "\n" : "", one);
	}
	return text;
}

char *operator_name(const struct operator *op)
{
	const char *sudo = getenv("SUDO_USER");
	const struct passwd *pw = sudo && *sudo ? NULL : getpwuid(getuid());
	__cleanup_free char *uid = xasprintf("user %u", (unsigned int)getuid());
	const char *name = sudo && *sudo ? sudo : pw ? pw->pw_name : uid;
	char peer[PREFIX_TEXT];

	if (!op->n)
		return xstrdup(name);
	return xasprintf("%s from %s", name, prefix_text(&op->v[0].peer, peer));
}

static bool has_line(const char *text, const char *line)
{
	for (const char *p = text; p && *p; p += strcspn(p, "\n"), p += *p == '\n')
		if (strcspn(p, "\n") == strlen(line) && !strncmp(p, line, strlen(line)))
			return true;
	return false;
}

bool operator_same(const struct operator *op, const char *text)
{
	for (size_t i = 0; i < op->n; i++) {
		__cleanup_free char *one = way_text(&op->v[i]);

		if (!has_line(text, one))
			return false;
	}
	return op->n > 0;
}
