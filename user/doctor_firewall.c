// SPDX-License-Identifier: GPL-2.0-only
/*
 * doctor: the firewalls behind us. What they are told is read with their own tools and judged by the importer's
 * evaluator: do they refuse a new connection that our rules let in?
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <arpa/inet.h>
#include "ask.h"
#include "doctor.h"
#include "import_eval.h"

#define MAX_RULESET (32u << 20)
#define PATIENCE_MS 5000

/* ---- their tools ---- */

static const char *tool_path(const char *name, char buf[64])
{
	static const char *const dirs[] = { "/usr/sbin", "/sbin", "/usr/bin" };

	for (size_t i = 0; i < sizeof(dirs) / sizeof(*dirs); i++) {
		snprintf(buf, 64, "%s/%s", dirs[i], name);
		if (access(buf, X_OK) == 0)
			return buf;
	}
	return NULL;
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1000LL + t.tv_nsec / 1000000;
}

/* All that the child writes until it ends; NULL when it takes too long or writes too much. */
static char *drain(int fd)
{
	int64_t end = now_ms() + PATIENCE_MS;
	size_t len = 0, room = 65536;
	char *text = xmalloc(room);

	for (;;) {
		struct pollfd p = { .fd = fd, .events = POLLIN };
		ssize_t got;

		if (poll(&p, 1, (int)(end - now_ms() > 0 ? end - now_ms() : 0)) <= 0)
			break;
		if (room - len < 4096)
			text = xrealloc(text, room *= 2);
		got = read(fd, text + len, room - len - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got == 0) {
			text[len] = '\0';
			return text;
		}
		if (got < 0 || (len += (size_t)got) > MAX_RULESET)
			break;
	}
	free(text);
	return NULL;
}

/* What `path args` prints, without a shell; NULL when it fails. */
static char *output_of(const char *path, char *const argv[])
{
	int pipefd[2], status;
	char *text;
	pid_t pid;

	if (pipe2(pipefd, O_CLOEXEC))
		return NULL;
	pid = fork();
	if (pid == 0) {
		int null = open("/dev/null", O_RDWR);

		dup2(null, 0);
		dup2(pipefd[1], 1);
		dup2(null, 2);
		execv(path, argv);
		_exit(127);
	}
	close(pipefd[1]);
	text = pid < 0 ? NULL : drain(pipefd[0]);
	close(pipefd[0]);
	if (pid < 0)
		return NULL;
	if (!text)
		kill(pid, SIGKILL);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (text && (!WIFEXITED(status) || WEXITSTATUS(status))) {
		free(text);
		text = NULL;
	}
	return text;
}

/* ---- what they would do ---- */

struct behind {
	const char *tool, *dialect;
	unsigned int families;
	char *const *argv;
	const char *kernel_file; /* not empty when the kernel has such tables; NULL: ask the tool */
	const char *show;        /* how to look at it */
};

#define ARGV(...) ((char *const[]){ __VA_ARGS__, NULL })
static const struct behind others[] = {
	{ "iptables-legacy-save", "iptables", IM_V4, ARGV((char *)"iptables-legacy-save"), "/proc/net/ip_tables_names",
	  "iptables-legacy -S" },
	{ "ip6tables-legacy-save", "ip6tables", IM_V6, ARGV((char *)"ip6tables-legacy-save"), "/proc/net/ip6_tables_names",
	  "ip6tables-legacy -S" },
	{ "iptables-nft-save", "iptables", IM_V4, ARGV((char *)"iptables-nft-save"), NULL, "iptables-nft -S" },
	{ "ip6tables-nft-save", "ip6tables", IM_V6, ARGV((char *)"ip6tables-nft-save"), NULL, "ip6tables-nft -S" },
	{ "nft", "nft", IM_BOTH, ARGV((char *)"nft", (char *)"-n", (char *)"list", (char *)"ruleset"), NULL, "nft list ruleset" },
};

/* Files of /proc have no size. */
static bool says_anything(const char *path)
{
	__cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char c;

	return fd >= 0 && read(fd, &c, 1) == 1;
}

static im_addr as_number(const struct prefix *p)
{
	im_addr x = 0;

	for (unsigned int i = 0; i < (p->family == 4 ? 4u : 16u); i++)
		x = x << 8 | p->addr[i];
	return x;
}

static void ask_port(struct findings *f, const struct behind *b, const struct im_map *map, const struct look *l,
		     const struct strangers *who, uint16_t port)
{
	for (int six = 0; six < 2; six++) {
		struct judge_answer ours;
		const struct prefix *host = &who->host[six];
		const struct im_cell *cell;

		if (!(b->families & (six ? IM_V6 : IM_V4)) || !who->is[six])
			continue;
		ours = rules_judge(&l->rules, host, port, true);
		if (ours.says != JUDGE_ALLOW && ours.says != JUDGE_ADMIN)
			continue;
		cell = im_answer(map, six, as_number(host), port);
		if (!cell || cell->verdict == IM_ACCEPT)
			continue;
		finding_add(f, HEALTH_WARN, "firewall", b->show,
			    "port %u is open in mxdp, and %s behind it refuses new IPv%d connections to it%s%s", port, b->tool,
			    six ? 6 : 4, cell->by && cell->by->text ? ": " : ", by its default",
			    cell->by && cell->by->text ? cell->by->text : "");
	}
}

static bool names_chain(const struct import *im, const char *prefix, size_t n)
{
	for (size_t i = 0; i < im->nchains; i++)
		if (!strncmp(im->chain[i]->name, prefix, n))
			return true;
	return false;
}

static void judge_behind(struct findings *f, const struct behind *b, const char *text, const struct look *l,
			 const struct strangers *who)
{
	struct import im = { .iface = l && l->nifaces ? l->ifaces[0].name : "", .path = b->tool, .dialect = b->dialect };
	size_t before = f->n;
	bool seen[65536] = { false };
	struct im_map map = { 0 };

	if (!strcmp(b->dialect, "nft"))
		import_nft(&im, b->tool, text);
	else
		import_iptables(&im, b->tool, text, b->families);
	if (!im.nrules && !im.nchains) {
		import_free(&im);
		return;
	}
	if (names_chain(&im, "DOCKER", 6))
		finding_add(f, HEALTH_NOTE, "firewall", NULL,
			    "Docker has chains in %s: ports that containers publish are judged by mxdp first, under the port that "
			    "the packet carries from outside", b->tool);
	if (im_evaluate(&im, &map)) {
		finding_add(f, HEALTH_NOTE, "firewall", b->show, "%s has more rules than could be looked through", b->tool);
		import_free(&im);
		return;
	}
	for (const struct stmt *s = l ? l->rules.v : NULL; l && s < l->rules.v + l->rules.n; s++) {
		for (size_t i = 0; (s->kind == STMT_ALLOW || s->kind == STMT_ADMIN) && i < s->nports; i++) {
			uint16_t port = s->ports[i].lo;

			if (port != s->ports[i].hi || seen[port])
				continue;
			seen[port] = true;
			ask_port(f, b, &map, l, who, port);
		}
	}
	if (l && f->n == before)
		finding_add(f, HEALTH_OK, "firewall", NULL, "%s has rules, and refuses nothing that mxdp lets in for everybody", b->tool);
	import_free(&im);
}

static bool file_says(const char *path, const char *line)
{
	__cleanup_free char *text = NULL;
	struct diag quiet = { 0 };
	size_t len;
	bool found;

	found = !file_read(path, 65536, &text, &len, &quiet) && strstr(text, line);
	diag_free(&quiet);
	return found;
}

void doctor_firewalls(struct findings *f, const struct look *l)
{
	struct strangers who = { 0 };

	if (l)
		doctor_strangers(&who, &l->rules);
	if (file_says("/etc/ufw/ufw.conf", "ENABLED=yes"))
		finding_add(f, HEALTH_NOTE, "firewall", "ufw status verbose",
			    "ufw is enabled behind mxdp: a port must be open in both; `mxdp import ufw` carries its rules over");
	if (access("/run/firewalld.pid", F_OK) == 0)
		finding_add(f, HEALTH_NOTE, "firewall", "firewall-cmd --list-all",
			    "firewalld runs behind mxdp: a port must be open in both; `mxdp import firewalld` carries its rules over");
	for (size_t i = 0; i < sizeof(others) / sizeof(*others); i++) {
		const struct behind *b = &others[i];
		__cleanup_free char *text = NULL;
		char path[64];

		if (b->kernel_file && !says_anything(b->kernel_file))
			continue;
		if (!tool_path(b->tool, path)) {
			if (b->kernel_file)
				finding_add(f, HEALTH_NOTE, "firewall", NULL, "the kernel has tables of %s, and the tool to read them is missing",
					    b->tool);
			continue;
		}
		text = output_of(path, b->argv);
		if (text && *text)
			judge_behind(f, b, text, l, &who);
	}
}
