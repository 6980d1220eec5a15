// SPDX-License-Identifier: GPL-2.0-only
/*
 * Connections, counted: the programs that hear of them, and the count of those that were there before.
 *
 *   now/hear/opened          what sockets remember
 *   now/hear/BUILDa BUILDb   the two programs of this build at the tracepoint
 *
 * A bank whose `conns` is not 0 has its half of the table kept by them. So what a put does to the idle bank is: `conns` to 0,
 * a grace period, the bank filled, its half wiped, `conns` to the new epoch, and then every socket there is is shown to the
 * iterator, while the programs count those that are made meanwhile: who finds that a socket was counted leaves it. A kill in
 * between leaves an idle bank that is counted for nothing.
 */
#include <stdlib.h>
#include <sys/socket.h>
#include "dp_private.h"
#include "conns.skel.h"

#ifndef SO_NETNS_COOKIE
#define SO_NETNS_COOKIE 71
#endif

static void skel_free(struct conns_bpf **skel)
{
	conns_bpf__destroy(*skel);
}

static uint32_t build_of(void)
{
	uint32_t build = 2166136261u; /* FNV-1a */
	const unsigned char *p;
	size_t n;

	p = conns_bpf__elf_bytes(&n);
	for (size_t i = 0; i < n; i++)
		build = (build ^ p[i]) * 16777619u;
	return build;
}

static int netns_cookie(uint64_t *cookie)
{
	__cleanup_close int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*cookie);

	return s < 0 || getsockopt(s, SOL_SOCKET, SO_NETNS_COOKIE, cookie, &len) ? -errno : 0;
}

static int explain(int err, struct diag *d)
{
	const char *log = log_tail();

	if (err == -EPERM || (err == -EACCES && geteuid()))
		diag_error(d, "the kernel does not let this user count connections; run as root, or with CAP_BPF, CAP_NET_ADMIN "
			      "and CAP_PERFMON");
	else if (access("/sys/kernel/btf/vmlinux", R_OK))
		diag_error(d, "connections cannot be counted: this kernel does not describe itself (CONFIG_DEBUG_INFO_BTF); leave "
			      "\"connections\" and \"over ban\" out of the rules");
	else
		diag_error(d, "connections cannot be counted: the kernel refused the programs that hear of them: %s; leave "
			      "\"connections\" and \"over ban\" out of the rules, and please report this with:\n%s",
			   strerror(-err), log);
	return err;
}

/* Open, with the maps of g; `opened_fd` < 0: a new map of what sockets remember. */
static int skel_open(struct conns_bpf **out, const struct dp_generation *g, int opened_fd, uint32_t bank)
{
	struct conns_bpf *skel = conns_bpf__open();
	int err;

	*out = skel;
	if (!skel)
		return -errno;
	skel->rodata->cfg.lease_mask = g->lease_lines - 1;
	skel->rodata->cfg.tick_shift = tick_shift();
	skel->rodata->cfg.ban_lines = g->ban_lines;
	skel->rodata->hear.bank = bank;
	bpf_map__set_autocreate(skel->maps.lease, false);
	bpf_map__set_autocreate(skel->maps.counters, false);
	bpf_map__set_autocreate(skel->maps.ports, false);
	bpf_map__set_autocreate(skel->maps.ban_texts, false);
	err = netns_cookie((uint64_t *)&skel->rodata->hear.netns) ?: bpf_map__reuse_fd(skel->maps.data_state, g->state_fd) ?:
	      bpf_map__reuse_fd(skel->maps.bss, g->banks_fd) ?: bpf_map__reuse_fd(skel->maps.trie, g->trie_fd) ?:
	      bpf_map__reuse_fd(skel->maps.gates, g->gates_fd) ?: bpf_map__reuse_fd(skel->maps.conns, g->conns_fd) ?:
	      bpf_map__reuse_fd(skel->maps.bans, g->bans_fd) ?: bpf_map__reuse_fd(skel->maps.banned, g->banned_fd) ?:
	      bpf_map__reuse_fd(skel->maps.data_bans, g->ban_head_fd);
	if (!err && opened_fd >= 0)
		err = bpf_map__reuse_fd(skel->maps.opened, opened_fd);
	return err;
}

static int skel_load(struct conns_bpf *skel, bool seeding)
{
	bpf_program__set_autoload(skel->progs.mxdp_seed, seeding);
	bpf_program__set_autoload(skel->progs.mxdp_hear, !seeding);
	bpf_program__set_autoload(skel->progs.mxdp_hear_too, !seeding);
	return conns_bpf__load(skel);
}

/* ---- hearing ---- */

static int attach_pinned(struct datapath *dp, struct bpf_program *prog, const char *rel, struct diag *d)
{
	__cleanup_close int fd = bpf_raw_tracepoint_open(NULL, bpf_program__fd(prog));

	return fd < 0 ? explain(fd, d) : pin_put(dp, fd, rel, d);
}

/* -ENOENT without a message: nobody hears yet. */
static int opened_get(struct datapath *dp, const char *dir, struct diag *d)
{
	__cleanup_free char *rel = xasprintf("%s/hear/opened", dir);
	__cleanup_close int fd = pin_get(dp, rel, d);
	struct bpf_map_info info;

	if (fd < 0)
		return fd;
	if (map_info(fd, &info) || info.type != BPF_MAP_TYPE_SK_STORAGE) {
		diag_error(d, "%s/%s is not the map mxdp pins there; take the filter off with `rm -r %s` (connections stay), then "
			      "`mxdp apply`", dp->root, rel, dp->root);
		return -EBADF;
	}
	return fd_dup(fd);
}

static int hear_make(struct datapath *dp, const struct dp_generation *g, const char *dir, const char *a, const char *b, struct diag *d)
{
	struct conns_bpf *skel __cleanup(skel_free) = NULL;
	__cleanup_free char *hear = xasprintf("%s/hear", dir), *opened = xasprintf("%s/hear/opened", dir);
	__cleanup_close int opened_fd = opened_get(dp, dir, d);
	int err;

	if (opened_fd < 0 && opened_fd != -ENOENT)
		return opened_fd;
	log_start();
	err = skel_open(&skel, g, opened_fd, 0) ?: skel_load(skel, false);
	if (err)
		return explain(err, d);
	err = pin_mkdir(dp, hear, d);
	if (!err && opened_fd < 0)
		err = pin_put(dp, bpf_map__fd(skel->maps.opened), opened, d);
	pin_remove(dp, a);
	pin_remove(dp, b);
	return err ?: attach_pinned(dp, skel->progs.mxdp_hear, a, d) ?: attach_pinned(dp, skel->progs.mxdp_hear_too, b, d);
}

/* Another build's programs go when this one's are there: while both hear, every socket still counts once. */
static void hear_tidy(struct datapath *dp, const char *dir, uint32_t build)
{
	__cleanup_free char (*pin)[IFNAMSIZ] = NULL, *hear = xasprintf("%s/hear", dir), *ours = xasprintf("%08x", build);
	size_t n;

	pin_names(dp, hear, &pin, &n);
	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *rel = xasprintf("%s/%s", hear, pin[i]);

		if (strcmp(pin[i], "opened") && strncmp(pin[i], ours, 8))
			pin_remove(dp, rel);
	}
}

static int hear_on(struct datapath *dp, const struct dp_generation *g, const char *dir, struct diag *d)
{
	uint32_t build = build_of();
	__cleanup_free char *a = xasprintf("%s/hear/%08xa", dir, build), *b = xasprintf("%s/hear/%08xb", dir, build);
	int err = 0;

	if (!pin_exists(dp, a) || !pin_exists(dp, b))
		err = hear_make(dp, g, dir, a, b, d);
	if (!err)
		hear_tidy(dp, dir, build);
	return err;
}

int conns_share(struct datapath *dp, const struct dp_generation *g, struct diag *d)
{
	__cleanup_close int fd = opened_get(dp, "now", d);
	int err;

	if (fd < 0)
		return fd == -ENOENT ? 0 : fd;
	err = pin_mkdir(dp, "next/hear", d) ?: pin_put(dp, fd, "next/hear/opened", d);
	return err ?: hear_on(dp, g, "next", d);
}

/* ---- the sockets that are there ---- */

static int iterate(struct bpf_program *prog)
{
	struct bpf_link *link = bpf_program__attach_iter(prog, NULL);
	__cleanup_close int fd = link ? bpf_iter_create(bpf_link__fd(link)) : -errno;
	char none[64];
	ssize_t n;

	bpf_link__destroy(link);
	if (fd < 0)
		return fd;
	/* it writes nothing; EAGAIN says that it has shown a million and goes on */
	do {
		n = read(fd, none, sizeof(none));
	} while (n > 0 || (n < 0 && (errno == EAGAIN || errno == EINTR)));
	return n < 0 ? -errno : 0;
}

/* Twice: a bucket of the kernel's table that grew while it was read may have been shown in part. */
static int seed(struct datapath *dp, const struct dp_generation *g, const char *dir, uint32_t bank, struct diag *d)
{
	struct conns_bpf *skel __cleanup(skel_free) = NULL;
	__cleanup_close int opened_fd = opened_get(dp, dir, d);
	int err;

	if (opened_fd < 0)
		return opened_fd;
	log_start();
	err = skel_open(&skel, g, opened_fd, bank) ?: skel_load(skel, true);
	if (!err)
		err = iterate(skel->progs.mxdp_seed) ?: iterate(skel->progs.mxdp_seed);
	return err ? explain(err, d) : 0;
}

/* ---- what a put does ---- */

static int banks_map(const struct dp_generation *g, struct dp_view *v, struct diag *d)
{
	int err = view_map(v, g->banks_fd, 0, 2 * sizeof(struct mxdp_bank), true);

	if (err)
		diag_error(d, "cannot map the banks: %s; the policy in force stays", strerror(-err));
	return err;
}

int conns_quiet(const struct dp_generation *g, uint32_t bank, struct diag *d)
{
	__cleanup_view struct dp_view banks = {};
	struct mxdp_bank *b;
	int err = banks_map(g, &banks, d);

	if (err)
		return err;
	b = (struct mxdp_bank *)banks.p + (bank & 1);
	if (!b->conns)
		return 0;
	__atomic_store_n(&b->conns, 0, __ATOMIC_SEQ_CST);
	err = grace_ask();
	if (err)
		diag_error(d, "cannot wait until nobody counts for the idle bank: %s; the policy in force stays", strerror(-err));
	return err;
}

static int half_wipe(const struct dp_generation *g, uint32_t bank, struct diag *d)
{
	size_t half = (size_t)g->lease_lines * sizeof(struct mxdp_words);
	__cleanup_view struct dp_view v = {};
	int err = view_map(&v, g->conns_fd, 0, 2 * half, true);

	if (err)
		diag_error(d, "cannot map the table of connections: %s; the policy in force stays", strerror(-err));
	else
		memset((char *)v.p + (bank & 1) * half, 0, half);
	return err;
}

int conns_begin(struct datapath *dp, const struct dp_generation *g, const char *dir, uint32_t epoch, struct diag *d)
{
	__cleanup_view struct dp_view banks = {};
	struct mxdp_bank *b;
	int err = banks_map(g, &banks, d);

	if (err)
		return err;
	b = (struct mxdp_bank *)banks.p + (epoch & 1);
	if (!(b->flags & MXDP_BANK_HEARS))
		return 0;
	err = half_wipe(g, epoch, d) ?: hear_on(dp, g, dir, d);
	if (err)
		return err;
	__atomic_store_n(&b->conns, epoch ?: 1, __ATOMIC_SEQ_CST);
	return b->flags & MXDP_BANK_CONNECTIONS ? seed(dp, g, dir, epoch, d) : 0;
}

void conns_end(struct datapath *dp)
{
	struct diag quiet = {};
	__cleanup_view struct dp_view banks = {};
	const struct mxdp_bank *b;

	if (!banks_map(&dp->now, &banks, &quiet)) {
		b = banks.p;
		if (!((b[0].flags | b[1].flags) & MXDP_BANK_HEARS))
			pin_remove(dp, "now/hear");
	}
	diag_free(&quiet);
}
