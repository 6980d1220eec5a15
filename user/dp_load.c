// SPDX-License-Identifier: GPL-2.0-only
/* Programs: the embedded object, loaded against given maps. */
#include <stdarg.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/utsname.h>
#include <time.h>
#include "dp_private.h"
#include "mxdp.skel.h"

/* ---- libbpf's words ---- */

#define LOG_LINES 12

static char *log_text;
static size_t log_len;

static int log_line(enum libbpf_print_level level, const char *fmt, va_list ap)
{
	char *more = NULL;
	int n;

	if (level == LIBBPF_DEBUG)
		return 0;
	n = vasprintf(&more, fmt, ap);
	if (n < 0)
		return 0;
	log_text = xrealloc(log_text, log_len + n + 1);
	memcpy(log_text + log_len, more, n + 1);
	log_len += n;
	free(more);
	return 0;
}

void log_start(void)
{
	libbpf_set_print(log_line);
	free(log_text);
	log_text = NULL;
	log_len = 0;
}

const char *log_tail(void)
{
	char *p;

	while (log_len && log_text[log_len - 1] == '\n')
		log_text[--log_len] = '\0';
	if (!log_len)
		return "";
	p = log_text + log_len;
	for (int lines = 0; p > log_text; p--)
		if (p[-1] == '\n' && ++lines == LOG_LINES)
			break;
	return p;
}

/* ---- what a failure means ---- */

static const struct {
	enum bpf_func_id id;
	const char *name;
} needed[] = {
	{ BPF_FUNC_jiffies64, "bpf_jiffies64" },
	{ BPF_FUNC_skc_lookup_tcp, "bpf_skc_lookup_tcp" },
	{ BPF_FUNC_tcp_check_syncookie, "bpf_tcp_check_syncookie" },
	{ BPF_FUNC_tcp_gen_syncookie, "bpf_tcp_gen_syncookie" },
	{ BPF_FUNC_xdp_load_bytes, "bpf_xdp_load_bytes" },
	{ BPF_FUNC_ktime_get_boot_ns, "bpf_ktime_get_boot_ns" },
	{ BPF_FUNC_xdp_get_buff_len, "bpf_xdp_get_buff_len" },
};

static const char *missing_helper(void)
{
	for (size_t i = 0; i < sizeof(needed) / sizeof(*needed); i++)
		if (libbpf_probe_bpf_helper(BPF_PROG_TYPE_XDP, needed[i].id, NULL) == 0)
			return needed[i].name;
	return NULL;
}

static void explain_load(int err, struct diag *d)
{
	__cleanup_free char *log = xstrdup(log_tail());
	const char *missing;
	struct utsname u;

	if (err == -EPERM || err == -EACCES) {
		/* the verifier says EACCES too, but then it has said something */
		if (err == -EPERM || geteuid()) {
			diag_error(d,
				   "the kernel does not let this user load XDP programs; run as root, or with "
				   "CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
			return;
		}
	}
	if (err == -ENOMEM) {
		diag_error(d, "out of memory while loading the XDP program; the filter stays as it was");
		return;
	}
	uname(&u);
	missing = missing_helper();
	if (missing)
		diag_error(d,
			   "the kernel (Linux %s) lacks %s, which the XDP program needs; Linux 5.18 or newer is needed",
			   u.release, missing);
	else
		diag_error(d, "the kernel (Linux %s) refused the XDP program: %s; please report this with:\n%s",
			   u.release, strerror(-err), log);
}

/* ---- loading ---- */

/* The power of two nearest to the kernel's jiffies per second. */
uint8_t tick_shift(void)
{
	struct timespec res;
	unsigned long hz;
	uint8_t shift = 0;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &res) || res.tv_nsec <= 0)
		return 8;
	hz = (1000000000UL + res.tv_nsec / 2) / res.tv_nsec;
	while (3UL << shift < 2 * hz)
		shift++;
	return shift;
}

uint64_t program_build(void)
{
	static uint64_t build;
	const unsigned char *p;
	size_t n;

	if (build)
		return build;
	p = mxdp_bpf__elf_bytes(&n);
	build = 0xcbf29ce484222325ULL; /* FNV-1a */
	for (size_t i = 0; i < n; i++)
		build = (build ^ p[i]) * 0x100000001b3ULL;
	build |= 1;
	return build;
}

uint32_t program_id(int fd)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	return bpf_obj_get_info_by_fd(fd, &info, &len) ? 0 : info.id;
}

static int random_bytes(void *to, size_t n)
{
	return getrandom(to, n, 0) == (ssize_t)n ? 0 : -EIO;
}

static void skel_free(struct mxdp_bpf **skel)
{
	mxdp_bpf__destroy(*skel);
}

static int reuse_maps(struct mxdp_bpf *skel, const struct dp_load *l)
{
	return bpf_map__reuse_fd(skel->maps.data_state, l->g->state_fd) ?:
	       bpf_map__reuse_fd(skel->maps.bss, l->g->banks_fd) ?:
	       bpf_map__reuse_fd(skel->maps.trie, l->g->trie_fd) ?:
	       bpf_map__reuse_fd(skel->maps.lease, l->g->lease_fd) ?:
	       bpf_map__reuse_fd(skel->maps.gates, l->g->gates_fd) ?:
	       bpf_map__reuse_fd(skel->maps.conns, l->g->conns_fd) ?:
	       bpf_map__reuse_fd(skel->maps.bans, l->g->bans_fd) ?:
	       bpf_map__reuse_fd(skel->maps.banned, l->g->banned_fd) ?:
	       bpf_map__reuse_fd(skel->maps.data_bans, l->g->ban_head_fd) ?:
	       bpf_map__reuse_fd(skel->maps.ban_texts, l->g->ban_texts_fd) ?:
	       bpf_map__reuse_fd(skel->maps.counters, l->counters_fd) ?:
	       bpf_map__reuse_fd(skel->maps.ports, l->ports_fd);
}

/*
 * libbpf gives every program of a section "xdp.frags" the flag for frames in several buffers, and takes it away for
 * nobody. With a handler of our own for the section's name, the flag is what we set. It stays: libbpf 1.1 frees the
 * last handler twice.
 */
static int without_frags(void)
{
	static int handler = -1;

	if (handler < 0)
		handler = libbpf_register_prog_handler("xdp.frags", BPF_PROG_TYPE_XDP, BPF_XDP, NULL);
	return handler < 0 ? handler : 0;
}

static int load_once(const struct dp_load *l, bool frags)
{
	struct mxdp_bpf *skel __cleanup(skel_free) = NULL;
	int err = frags ? 0 : without_frags();
	struct mxdp_cfg *cfg;

	if (err)
		return err;
	skel = mxdp_bpf__open();
	if (!skel)
		return -errno;
	bpf_program__set_flags(skel->progs.mxdp, frags ? BPF_F_XDP_HAS_FRAGS : 0);
	cfg = &skel->rodata->cfg;
	*cfg = (struct mxdp_cfg){
		.probe_key = l->g->state->probe_key, .lease_mask = l->g->lease_lines - 1, .row_mask = l->rows - 1,
		.tick_shift = tick_shift(), .frags = frags, .shared_rows = l->shared,
		.attached_on_trial = l->trial_epoch, .answers = l->answers, .ban_lines = l->g->ban_lines,
	};
	err = random_bytes(cfg->lease_key, sizeof(cfg->lease_key)) ?: reuse_maps(skel, l);
	if (!err)
		err = mxdp_bpf__load(skel);
	if (err)
		return err;
	return fd_dup(bpf_program__fd(skel->progs.mxdp));
}

static int load_either(struct dp_load *l)
{
	int fd = load_once(l, l->frags);

	if (fd != -EINVAL || !l->frags)
		return fd;
	/* a kernel that does not know the flag says just this */
	log_start();
	l->frags = false;
	return load_once(l, false);
}

int program_load(struct dp_load *l, struct diag *d)
{
	int fd;

	log_start();
	fd = load_either(l);
	if (fd < 0)
		explain_load(fd, d);
	return fd;
}

int (*dp_loader)(struct dp_load *l, struct diag *d) = program_load;
