// SPDX-License-Identifier: GPL-2.0-only
/* Interfaces: links, what runs there, and putting things right after a kill. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include "cookies.h"
#include "dp_private.h"

/* ---- what the kernel says of an interface ---- */

struct running {
	uint32_t id; /* 0: no XDP program */
	enum dp_mode mode;
};

static int xdp_running(int ifindex, struct running *r)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	int err = bpf_xdp_query(ifindex, 0, &q);

	*r = (struct running){ .mode = DP_NATIVE };
	if (err)
		return err;
	r->id = q.drv_prog_id ?: q.hw_prog_id ?: q.skb_prog_id ?: q.prog_id;
	if (r->id && r->id == q.skb_prog_id)
		r->mode = DP_GENERIC;
	return 0;
}

static int if_ioctl(const char *ifname, unsigned long request, struct ifreq *ifr)
{
	__cleanup_close int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(ifr->ifr_name, sizeof(ifr->ifr_name), "%s", ifname);
	return s < 0 || ioctl(s, request, ifr) ? -errno : 0;
}

static void driver_of(const char *ifname, char out[32])
{
	struct ethtool_drvinfo info = { .cmd = ETHTOOL_GDRVINFO };
	struct ifreq ifr = { .ifr_data = (void *)&info };

	snprintf(out, 32, "%s", if_ioctl(ifname, SIOCETHTOOL, &ifr) ? "" : info.driver);
}

static int mtu_of(const char *ifname)
{
	struct ifreq ifr = {};

	return if_ioctl(ifname, SIOCGIFMTU, &ifr) ? 0 : ifr.ifr_mtu;
}

/* Without the right to look it up, the number must do. */
static void prog_name(uint32_t id, char out[BPF_OBJ_NAME_LEN])
{
	__cleanup_close int fd = bpf_prog_get_fd_by_id(id);
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len) || !info.name[0])
		snprintf(out, BPF_OBJ_NAME_LEN, "(no name)");
	else
		snprintf(out, BPF_OBJ_NAME_LEN, "%s", info.name);
}

/* Which link holds it there? 0: none, it was set by name (`ip link set ... xdp`). */
static uint32_t link_holding(int ifindex, uint32_t prog_id)
{
	for (uint32_t id = 0; bpf_link_get_next_id(id, &id) == 0;) {
		__cleanup_close int fd = bpf_link_get_fd_by_id(id);
		struct bpf_link_info info = {};
		uint32_t len = sizeof(info);

		if (fd >= 0 && bpf_obj_get_info_by_fd(fd, &info, &len) == 0 && info.type == BPF_LINK_TYPE_XDP &&
		    info.prog_id == prog_id && (int)info.xdp.ifindex == ifindex)
			return id;
	}
	return 0;
}

/* ---- pins of an interface ---- */

static bool name_valid(const char *name)
{
	return *name && strlen(name) < IFNAMSIZ && strcmp(name, ".") && strcmp(name, "..") && !strpbrk(name, "/: \t\n");
}

static void swap_char(char *s, char from, char to)
{
	for (; *s; s++)
		if (*s == from)
			*s = to;
}

void dev_close(struct dp_dev *dev)
{
	mx_close(&dev->link_fd);
	mx_close(&dev->prog_fd);
	mx_close(&dev->counters_fd);
	mx_close(&dev->ports_fd);
	*dev = (struct dp_dev)DP_DEV_NONE;
}
#define __cleanup_dev __cleanup(dev_close)

static int dev_part(const struct datapath *dp, const char *fmt, const char *pin, int *fd, struct diag *d)
{
	__cleanup_free char *rel = xasprintf("%s%s", fmt, pin);
	int got = pin_get(dp, rel, d);

	if (got == -ENOENT)
		return 0;
	if (got < 0)
		return got;
	*fd = got;
	return 0;
}

static int link_look(struct dp_dev *dev, struct diag *d)
{
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);
	int err = bpf_obj_get_info_by_fd(dev->link_fd, &info, &len);

	if (err || info.type != BPF_LINK_TYPE_XDP) {
		diag_error(d, "%s: what is pinned as its link is none of XDP", dev->name);
		return err ?: -EBADF;
	}
	dev->link_prog_id = info.prog_id;
	dev->link_ifindex = info.xdp.ifindex;
	return 0;
}

static int dev_fill(const struct datapath *dp, struct dp_dev *dev, struct diag *d)
{
	__cleanup_free char *rel = xasprintf("%s/link", dev->pin);
	int err;

	err = dev_part(dp, "dev/", rel, &dev->link_fd, d) ?: dev_part(dp, "now/prog/", dev->pin, &dev->prog_fd, d);
	if (!err && dev->link_fd >= 0)
		err = link_look(dev, d);
	if (dev->prog_fd >= 0)
		dev->prog_id = program_id(dev->prog_fd);
	return err ?: book_open(dp, dev, d);
}

int dev_open(const struct datapath *dp, const char *name, struct dp_dev *out, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	__cleanup_free char *dir = NULL;
	int err;

	*out = (struct dp_dev)DP_DEV_NONE;
	if (!name_valid(name))
		return -ENOENT;
	snprintf(dev.name, sizeof(dev.name), "%s", name);
	snprintf(dev.pin, sizeof(dev.pin), "%s", name);
	swap_char(dev.pin, '.', ':');
	memcpy(out->name, dev.name, sizeof(dev.name));
	memcpy(out->pin, dev.pin, sizeof(dev.pin));
	dir = xasprintf("dev/%s", dev.pin);
	if (!pin_exists(dp, dir))
		return -ENOENT;
	err = dev_fill(dp, &dev, d);
	if (err)
		return err;
	*out = dev;
	dev = (struct dp_dev)DP_DEV_NONE;
	return 0;
}

static int name_cmp(const void *a, const void *b)
{
	return strcmp(a, b);
}

int pin_names(const struct datapath *dp, const char *rel, char (**v)[IFNAMSIZ], size_t *n)
{
	int fd = openat(dp->dir, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd >= 0 ? fdopendir(fd) : NULL;
	struct dirent *e;

	*v = NULL;
	*n = 0;
	if (!dir)
		return errno == ENOENT ? 0 : -errno;
	while ((e = readdir(dir))) {
		if (e->d_name[0] == '.' || strlen(e->d_name) >= IFNAMSIZ)
			continue;
		*v = xrealloc(*v, (*n + 1) * sizeof(**v));
		memset((*v)[*n], 0, IFNAMSIZ);
		strcpy((*v)[(*n)++], e->d_name);
	}
	closedir(dir);
	if (*n)
		qsort(*v, *n, sizeof(**v), name_cmp);
	return 0;
}

int dev_names(const struct datapath *dp, char (**v)[IFNAMSIZ], size_t *n, struct diag *d)
{
	int err = pin_names(dp, "dev", v, n);

	if (err)
		diag_error(d, "cannot read %s/dev: %s", dp->root, strerror(-err));
	for (size_t i = 0; i < *n; i++)
		swap_char((*v)[i], ':', '.');
	return err;
}

static void dev_remove(const struct datapath *dp, const char *pin)
{
	__cleanup_free char *link = xasprintf("dev/%s/link", pin);
	__cleanup_free char *dir = xasprintf("dev/%s", pin);
	__cleanup_free char *prog = xasprintf("now/prog/%s", pin);

	/* the link first: an interface without one is known to be rubbish */
	pin_remove(dp, link);
	pin_remove(dp, dir);
	pin_remove(dp, prog);
}

/* ---- the loader's page: which build a program is ---- */

int ledger_map(const struct dp_dev *dev, struct dp_view *v, bool writable)
{
	return view_map(v, dev->counters_fd,
			(size_t)(dev->rows + 1) * MXDP_COUNTERS_PER_ROW * sizeof(struct mxdp_count), DP_PAGE, writable);
}

/* An unknown program, of a writer killed in between, is all zero: another build. */
static struct dp_made made_look(const struct dp_dev *dev, uint32_t prog_id)
{
	__cleanup_view struct dp_view v = {};
	const struct dp_ledger *l;

	if (dev->counters_fd < 0 || ledger_map(dev, &v, false))
		return (struct dp_made){};
	l = v.p;
	for (int i = 0; i < 2; i++)
		if (l->made[i].prog_id == prog_id)
			return l->made[i];
	return (struct dp_made){};
}

/* Written over the one that is not running. */
static int made_note(const struct dp_dev *dev, int prog_fd, const struct dp_load *l, struct diag *d)
{
	__cleanup_view struct dp_view v = {};
	struct dp_ledger *ledger;
	int i, err = ledger_map(dev, &v, true);

	if (err) {
		diag_error(d, "%s: cannot map its counters: %s", dev->name, strerror(-err));
		return err;
	}
	ledger = v.p;
	i = dev->prog_id && ledger->made[0].prog_id == dev->prog_id;
	ledger->made[i] = (struct dp_made){ .prog_id = program_id(prog_fd), .frags = l->frags, .answers = l->answers,
					    .build = program_build() };
	return 0;
}

/* ---- loading for an interface ---- */

/* The most receive queues the interface can ever have without being made anew; 0: nobody knows. */
static uint32_t queues_of(const char *ifname)
{
	struct ethtool_channels ch = { .cmd = ETHTOOL_GCHANNELS };
	struct ifreq ifr = { .ifr_data = (void *)&ch };

	return if_ioctl(ifname, SIOCETHTOOL, &ifr) ? 0 : ch.max_combined + ch.max_rx;
}

/*
 * A row has one writer where each queue has a row and one CPU polls a queue at a time. That is native mode; the generic
 * one runs wherever RPS sends the packet, tun in whoever writes to it, and bond and team count their ports' queues
 * alike.
 */
static bool rows_shared(const struct dp_dev *dev, enum dp_mode mode)
{
	uint32_t queues = queues_of(dev->name);
	char driver[32];

	driver_of(dev->name, driver);
	return mode != DP_NATIVE || !queues || queues > dev->rows || !strcmp(driver, "tun") ||
	       !strcmp(driver, "bonding") || !strcmp(driver, "team");
}

static int dev_answers(const struct dp_dev *dev, enum dp_mode mode, struct diag *d)
{
	char driver[32];

	driver_of(dev->name, driver);
	return mode == DP_NATIVE ? answers_by(dev->name, driver, d) : MXDP_ANSWERS_TX;
}

/* Does what the link holds run in this network namespace? A number alone may be another interface's here. */
static bool dev_running(const struct dp_dev *dev, struct running *r)
{
	return dev->link_ifindex && !xdp_running(dev->link_ifindex, r) && r->id && r->id == dev->link_prog_id;
}

/* What the interface is called now: other than dev->name when it was renamed. "" when it is out of sight. */
static void dev_called(const struct dp_dev *dev, char now[IFNAMSIZ])
{
	struct running r;

	if (!dev_running(dev, &r) || !if_indextoname(dev->link_ifindex, now))
		*now = '\0';
}

/* The mode it runs in; generic, to be on the safe side, when it is out of sight. */
static enum dp_mode dev_mode(const struct dp_dev *dev)
{
	struct running r;

	return dev_running(dev, &r) ? r.mode : DP_GENERIC;
}

/* Which trial attached the interface? 0: none. */
static uint32_t dev_trial(const struct dp_dev *dev)
{
	__cleanup_view struct dp_view v = {};

	return dev->counters_fd < 0 || ledger_map(dev, &v, false) ? 0 : ((const struct dp_ledger *)v.p)->trial_epoch;
}

static int dev_trial_note(const struct dp_dev *dev, uint32_t epoch, struct diag *d)
{
	__cleanup_view struct dp_view v = {};
	int err = ledger_map(dev, &v, true);

	if (err)
		diag_error(d, "%s: cannot map its counters: %s", dev->name, strerror(-err));
	else
		((struct dp_ledger *)v.p)->trial_epoch = epoch;
	return err;
}

static int dev_load(const struct dp_dev *dev, const struct dp_generation *g, enum dp_mode mode, bool frags,
		    struct diag *d)
{
	int answers = dev_answers(dev, mode, d), err;
	struct dp_load l = {
		.g = g, .counters_fd = dev->counters_fd, .ports_fd = dev->ports_fd, .rows = dev->rows,
		.shared = rows_shared(dev, mode), .frags = frags, .trial_epoch = dev_trial(dev), .answers = answers,
	};
	__cleanup_close int fd = answers < 0 ? answers : dp_loader(&l, d);

	if (fd < 0)
		return fd;
	err = made_note(dev, fd, &l, d);
	return err ?: fd_dup(fd);
}

/* What drove frags away from the running program would do so again. */
static bool dev_frags(const struct datapath *dp, const struct dp_dev *dev)
{
	struct dp_made m = made_look(dev, dev->link_prog_id);
	bool frags = true;

	if (m.prog_id && m.build)
		return m.frags;
	return !dp->other || !books_frags(dp, dev, dev->link_prog_id, &frags) || frags;
}

static int link_to(int link_fd, int prog_fd, int old_fd)
{
	LIBBPF_OPTS(bpf_link_update_opts, opts, .flags = old_fd >= 0 ? BPF_F_REPLACE : 0,
		    .old_prog_fd = old_fd >= 0 ? old_fd : 0);

	return bpf_link_update(link_fd, prog_fd, &opts);
}

static int dev_follow(const struct dp_dev *dev, int prog_fd, int old_fd, struct diag *d)
{
	int err = link_to(dev->link_fd, prog_fd, old_fd);

	if (err == -ENOLINK) /* the interface went away just now: nothing runs there */
		return 0;
	if (err)
		diag_error(d, "%s: cannot replace the program: %s; the old one goes on", dev->name, strerror(-err));
	return err;
}

/* ---- all interfaces at once ---- */

static int replace_load(struct datapath *dp, const char *name, const struct dp_generation *g, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	__cleanup_close int fd = -1;
	__cleanup_free char *rel = NULL;
	int err = dev_open(dp, name, &dev, d);

	if (err)
		return err;
	if (dev.link_fd < 0 || dev.counters_fd < 0 || dev.ports_fd < 0)
		return 0;
	fd = dev_load(&dev, g, dev_mode(&dev), dev_frags(dp, &dev), d);
	if (fd < 0)
		return fd;
	rel = xasprintf("next/prog/%s", dev.pin);
	return pin_put(dp, fd, rel, d);
}

static int replace_link(struct datapath *dp, const char *name, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	__cleanup_close int fd = -1;
	__cleanup_free char *rel = NULL;
	int err = dev_open(dp, name, &dev, d);

	if (err || dev.link_fd < 0 || !dev.link_ifindex)
		return err;
	rel = xasprintf("next/prog/%s", dev.pin);
	fd = pin_get(dp, rel, d);
	return fd < 0 ? fd : dev_follow(&dev, fd, dev.prog_fd, d);
}

int replace_all(struct datapath *dp, const struct dp_generation *g, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err = dev_names(dp, &name, &n, d);

	for (size_t i = 0; !err && i < n; i++)
		err = replace_load(dp, name[i], g, d);
	for (size_t i = 0; !err && i < n; i++)
		err = replace_link(dp, name[i], d);
	return err;
}

/* The link of an interface brought to now/prog, whatever it runs. */
static int dev_settle(struct datapath *dp, const char *name, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	int err = dev_open(dp, name, &dev, d);

	if (err)
		return err;
	if (dev.link_fd < 0) {
		dev_remove(dp, dev.pin);
		return 0;
	}
	if (!dev.link_ifindex || dev.prog_fd < 0 || dev.link_prog_id == dev.prog_id)
		return 0;
	return dev_follow(&dev, dev.prog_fd, -1, d);
}

void replace_undo(struct datapath *dp, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;

	dev_names(dp, &name, &n, d);
	for (size_t i = 0; i < n; i++)
		dev_settle(dp, name[i], d);
}

/* ---- after a kill ---- */

/* Removing the pin alone would let go of the interface some time later. */
static void detach_unfinished(struct datapath *dp, struct diag *d)
{
	__cleanup_close int fd = pin_exists(dp, "next/link") ? pin_get(dp, "next/link", d) : -1;

	if (fd >= 0)
		bpf_link_detach(fd);
}

static int progs_tidy(struct datapath *dp)
{
	__cleanup_free char (*pin)[IFNAMSIZ] = NULL;
	size_t n;
	int err = pin_names(dp, "now/prog", &pin, &n);

	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *dev = xasprintf("dev/%s", pin[i]);

		if (!pin_exists(dp, dev))
			dev_remove(dp, pin[i]);
	}
	return err;
}

int recover(struct datapath *dp, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err;

	detach_unfinished(dp, d);
	if (!pin_exists(dp, "now")) {
		err = remove_all(dp);
		if (err)
			diag_error(d, "cannot remove what a killed mxdp left in %s: %s", dp->root, strerror(-err));
		return err;
	}
	err = dev_names(dp, &name, &n, d);
	for (size_t i = 0; !err && i < n; i++)
		err = dev_settle(dp, name[i], d);
	if (err)
		return err;
	err = progs_tidy(dp) ?: pin_remove(dp, "next");
	if (err)
		diag_error(d, "cannot remove what a killed mxdp left in %s: %s", dp->root, strerror(-err));
	return err;
}

/* ---- attach ---- */

static const char *mode_word(enum dp_mode mode)
{
	return mode == DP_GENERIC ? "generic" : "native";
}

static void explain_foreign(const char *ifname, int ifindex, uint32_t id, enum dp_mode mode, struct diag *d)
{
	uint32_t link = link_holding(ifindex, id);
	char name[BPF_OBJ_NAME_LEN];

	prog_name(id, name);
	if (link)
		diag_error(d,
			   "%s: another XDP program is attached: \"%s\", id %u (%s), held by link %u; stop the "
			   "program that attached it, or remove it with `bpftool link detach id %u`",
			   ifname, name, id, mode_word(mode), link, link);
	else
		diag_error(d,
			   "%s: another XDP program is attached: \"%s\", id %u (%s); stop the program that attached "
			   "it, or remove it with `ip link set dev %s %s off`",
			   ifname, name, id, mode_word(mode), ifname, mode == DP_GENERIC ? "xdpgeneric" : "xdp");
}

/*
 * A link says only a number when the driver refuses; over netlink the same request brings the driver's words. Should it
 * succeed there, it is taken back at once.
 */
static void kernel_words(int ifindex, int prog_fd, uint32_t flags, char *out, size_t size)
{
	static const char mark[] = "Kernel error message: ";
	LIBBPF_OPTS(bpf_xdp_attach_opts, opts, .old_prog_fd = prog_fd);
	const char *p;

	log_start();
	if (bpf_xdp_attach(ifindex, prog_fd, flags | XDP_FLAGS_UPDATE_IF_NOEXIST, NULL) == 0)
		bpf_xdp_detach(ifindex, flags | XDP_FLAGS_REPLACE, &opts);
	p = strstr(log_tail(), mark);
	snprintf(out, size, "%s", p ? p + strlen(mark) : "");
	out[strcspn(out, "\n")] = '\0';
}

static bool says(const char *words, const char *a, const char *b)
{
	return strcasestr(words, a) || strcasestr(words, b);
}

static char *attach_remedy(const char *ifname, enum dp_mode mode, int err, const char *words, int mtu)
{
	if (err == -EPERM)
		return xstrdup("; run as root, or with CAP_BPF, CAP_NET_ADMIN and CAP_PERFMON");
	if (err == -ENODEV)
		return xstrdup("; the interface went away");
	if (says(words, "lro", "large receive"))
		return xasprintf("; switch large receive offload off (`ethtool -K %s lro off`)", ifname);
	if (says(words, "gro_hw", "gro-hw") || says(words, "gro hw", "hw gro"))
		return xasprintf("; switch hardware GRO off (`ethtool -K %s rx-gro-hw off`)", ifname);
	if (mode == DP_GENERIC)
		return xstrdup("");
	if (says(words, "ring", "queue") || says(words, "channel", "channels"))
		return xasprintf("; change the number of queues (`ethtool -L %s`), or say `mode generic` (slower)",
				 ifname);
	if (says(words, "mtu", "frame size") || err == -ERANGE || (mtu > 3498 && err != -EOPNOTSUPP))
		return xstrdup("; the MTU is too large for native XDP with this driver: lower it (3498 fits a page on "
			       "most), or say `mode generic` (slower)");
	if (err == -EOPNOTSUPP)
		return xstrdup("; this driver has no native XDP: say `mode generic` (slower: every packet gets its "
			       "socket buffer first)");
	return xstrdup("; `mode generic` (slower) does not need the driver's help");
}

static void explain_attach(const char *ifname, int ifindex, int prog_fd, enum dp_mode mode, int err, struct diag *d)
{
	uint32_t flags = mode == DP_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE;
	__cleanup_free char *remedy = NULL;
	char driver[32], words[256];
	int mtu = mtu_of(ifname);

	driver_of(ifname, driver);
	kernel_words(ifindex, prog_fd, flags, words, sizeof(words));
	remedy = attach_remedy(ifname, mode, err, words, mtu);
	diag_error(d, "%s: the kernel refused to attach in %s mode: %s%s%s (driver %s, MTU %d)%s", ifname,
		   mode_word(mode), strerror(-err), *words ? ": " : "", words, *driver ? driver : "unknown", mtu,
		   remedy);
}

/* A row for each queue; where they cannot be known, or are many, for each CPU. */
static uint32_t rows_wanted(const char *ifname)
{
	int cpus = libbpf_num_possible_cpus();
	uint32_t queues = queues_of(ifname), rows = 1;

	if (!queues || queues > DP_MAX_ROWS)
		queues = cpus > 0 ? cpus : 1;
	while (rows < queues && rows < DP_MAX_ROWS)
		rows *= 2;
	return rows;
}

/* Counters of its own, when it has none. */
static int dev_make(struct datapath *dp, struct dp_dev *dev, struct diag *d)
{
	__cleanup_free char *dir = xasprintf("dev/%s", dev->pin);

	if (dev->counters_fd >= 0 && dev->ports_fd >= 0)
		return 0;
	return pin_mkdir(dp, "dev", d) ?: pin_mkdir(dp, dir, d) ?: book_make(dp, dev, rows_wanted(dev->name), d);
}

int books_begin(struct datapath *dp, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err = dev_names(dp, &name, &n, d);

	for (size_t i = 0; !err && i < n; i++) {
		__cleanup_dev struct dp_dev dev = DP_DEV_NONE;

		err = dev_open(dp, name[i], &dev, d) ?: dev_make(dp, &dev, d) ?: dev_trial_note(&dev, 0, d);
	}
	return err;
}

static int link_make(int ifindex, int prog_fd, enum dp_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode == DP_GENERIC ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);

	return bpf_link_create(prog_fd, ifindex, BPF_XDP, &opts);
}

/* Loads, creates the link, pins both. On failure *prog_fd is the program that was refused, if it came so far. */
static int attach_once(struct datapath *dp, struct dp_dev *dev, int ifindex, enum dp_mode mode, bool frags,
		       int *prog_fd, struct diag *d)
{
	__cleanup_free char *prog = xasprintf("now/prog/%s", dev->pin);
	__cleanup_free char *pin = xasprintf("dev/%s/link", dev->pin);
	__cleanup_close int link_fd = -1;
	int err;

	mx_close(prog_fd);
	*prog_fd = dev_load(dev, &dp->now, mode, frags, d);
	if (*prog_fd < 0)
		return *prog_fd;
	err = pin_replace(dp, *prog_fd, prog, d);
	if (err)
		return err;
	dev->prog_id = program_id(*prog_fd);
	link_fd = link_make(ifindex, *prog_fd, mode);
	if (link_fd < 0)
		return link_fd;
	err = pin_put(dp, link_fd, "next/link", d) ?: pin_rename(dp, "next/link", pin, d);
	if (err)
		bpf_link_detach(link_fd);
	return err;
}

/* With frags, and without where the driver does not take them. */
static int attach_mode(struct datapath *dp, struct dp_dev *dev, int ifindex, enum dp_mode mode, bool quiet,
		       struct diag *d)
{
	__cleanup_close int prog_fd = -1;
	size_t errors = d->errors;
	int err = attach_once(dp, dev, ifindex, mode, true, &prog_fd, d);

	if (prog_fd >= 0 && d->errors == errors && (err == -EOPNOTSUPP || err == -EINVAL))
		err = attach_once(dp, dev, ifindex, mode, false, &prog_fd, d);
	if (err && d->errors == errors && !quiet)
		explain_attach(dev->name, ifindex, prog_fd, mode, err, d);
	return err;
}

static int attach_any(struct datapath *dp, struct dp_dev *dev, int ifindex, enum dp_mode mode, struct diag *d)
{
	size_t errors = d->errors;
	int err = dev_make(dp, dev, d) ?: dev_trial_note(dev, trial_running(dp) ? dp_epoch(dp) : 0, d);

	if (err || mode != DP_AUTO)
		return err ?: attach_mode(dp, dev, ifindex, mode, false, d);
	err = attach_mode(dp, dev, ifindex, DP_NATIVE, true, d);
	if (!err || d->errors != errors)
		return err;
	err = attach_mode(dp, dev, ifindex, DP_GENERIC, false, d);
	if (!err)
		diag_warn(d,
			  "%s: attached in GENERIC mode: the driver did not take the native one. Every packet gets "
			  "its socket buffer before it is judged, so a flood costs several times more",
			  dev->name);
	return err;
}

/* An interface that never had a link leaves nothing behind; one that had keeps its counters. */
static int attach_new(struct datapath *dp, struct dp_dev *dev, int ifindex, enum dp_mode mode, struct diag *d)
{
	bool fresh = dev->link_fd < 0;
	int err = work_begin(dp, d);

	if (!err)
		err = attach_any(dp, dev, ifindex, mode, d);
	if (err && fresh)
		dev_remove(dp, dev->pin);
	work_end(dp);
	return err;
}

/* Native and generic cannot be had at once: the one ends before the other begins. */
static int attach_other_mode(struct datapath *dp, struct dp_dev *dev, int ifindex, enum dp_mode mode, enum dp_mode old,
			     struct diag *d)
{
	int err = bpf_link_detach(dev->link_fd), back;

	if (err) {
		diag_error(d, "%s: cannot leave %s mode: %s", dev->name, mode_word(old), strerror(-err));
		return err;
	}
	err = attach_new(dp, dev, ifindex, mode, d);
	if (!err) {
		diag_note(d, "%s: changed from %s to %s mode; it was unfiltered for a moment", dev->name,
			  mode_word(old), mode_word(mode));
		return 0;
	}
	back = attach_new(dp, dev, ifindex, old, d);
	if (back)
		diag_error(d, "%s is NOT FILTERED: going back to %s mode failed too: %s", dev->name, mode_word(old),
			   strerror(-back));
	return err;
}

/* Another build of our program: the pin first, the link after; see dp_private.h. */
static int attach_upgrade(struct datapath *dp, struct dp_dev *dev, struct diag *d)
{
	__cleanup_free char *prog = xasprintf("now/prog/%s", dev->pin);
	__cleanup_close int fd = -1;
	int err = work_begin(dp, d);

	if (!err)
		err = fd = dev_load(dev, &dp->now, dev_mode(dev), dev_frags(dp, dev), d);
	if (err >= 0)
		err = pin_replace(dp, fd, prog, d);
	if (!err) {
		err = dev_follow(dev, fd, dev->prog_fd, d);
		if (err && dev->prog_fd >= 0)
			pin_replace(dp, dev->prog_fd, prog, d);
	}
	work_end(dp);
	return err;
}

static int attach_again(struct datapath *dp, struct dp_dev *dev, int ifindex, enum dp_mode mode, struct diag *d)
{
	struct running r;
	int err = xdp_running(ifindex, &r);

	if (err) {
		diag_error(d, "%s: cannot ask which XDP program runs there: %s", dev->name, strerror(-err));
		return err;
	}
	if (dev->link_fd >= 0 && dev->link_ifindex && (dev->link_ifindex != ifindex || r.id != dev->link_prog_id)) {
		diag_error(d,
			   "%s: the pins of this name belong to another interface, number %d in another network "
			   "namespace; `mxdp detach %s` lets go of it, or use another --bpffs for this namespace",
			   dev->name, dev->link_ifindex, dev->name);
		return -EBUSY;
	}
	if (dev->link_fd >= 0 && dev->link_ifindex) {
		if (mode != DP_AUTO && mode != r.mode && trial_running(dp)) {
			diag_note(d, "%s: goes over to %s mode when the policy is confirmed", dev->name, mode_word(mode));
			return 0;
		}
		if (mode != DP_AUTO && mode != r.mode)
			return attach_other_mode(dp, dev, ifindex, mode, r.mode, d);
		/* a pin that somebody took away is made anew the same way */
		if (dev->prog_fd < 0 || made_look(dev, r.id).build != program_build())
			return attach_upgrade(dp, dev, d);
		return 0;
	}
	if (r.id) {
		explain_foreign(dev->name, ifindex, r.id, r.mode, d);
		return -EBUSY;
	}
	return attach_new(dp, dev, ifindex, mode, d);
}

/*
 * The pins of an interface that was renamed get its new name. The program is pinned under both names meanwhile: what a
 * kill leaves is a program without an interface, which recover() takes away.
 */
static int dev_rename(struct datapath *dp, const struct dp_dev *dev, const char *name, struct diag *d)
{
	__cleanup_free char *pin = xstrdup(name), *from = NULL, *to = NULL, *prog = NULL, *old = NULL;
	int err = work_begin(dp, d);

	swap_char(pin, '.', ':');
	from = xasprintf("dev/%s", dev->pin);
	to = xasprintf("dev/%s", pin);
	old = xasprintf("now/prog/%s", dev->pin);
	prog = xasprintf("now/prog/%s", pin);
	if (!err && dev->prog_fd >= 0)
		err = pin_replace(dp, dev->prog_fd, prog, d);
	if (!err)
		err = pin_rename(dp, from, to, d);
	pin_remove(dp, err ? prog : old);
	work_end(dp);
	if (!err)
		diag_note(d, "%s was renamed to %s; it stays filtered, and keeps its counters under the new name",
			  dev->name, name);
	return err;
}

/* Pins of a name whose interface is gone make way; those of one that lives do not. */
static int name_free(struct datapath *dp, const char *name, const struct dp_dev *wants, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	int err = dev_open(dp, name, &dev, d);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (dev.link_ifindex) {
		diag_error(d, "%s was renamed to %s, and the interface that was called %s was renamed too; `mxdp "
			      "detach %s` and `mxdp detach %s` let go of both, then `mxdp apply`",
			   wants->name, name, name, wants->name, name);
		return -EBUSY;
	}
	dev_remove(dp, dev.pin);
	return 0;
}

static int follow_rename(struct datapath *dp, const struct dp_dev *dev, const char *now, struct diag *d)
{
	return name_free(dp, now, dev, d) ?: dev_rename(dp, dev, now, d);
}

/* Pins of two names may be in the way of ifname: those of an interface that was called so, and of one that is now. */
static int follow_names(struct datapath *dp, const char *ifname, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	char now[IFNAMSIZ];
	size_t n;
	int err = dev_names(dp, &name, &n, d);

	/* the one that was called so first: it frees the name */
	for (int pass = 0; pass < 2; pass++) {
		for (size_t i = 0; !err && i < n; i++) {
			__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
			bool same = strcmp(name[i], ifname) == 0;

			if (same != (pass == 0))
				continue;
			err = dev_open(dp, name[i], &dev, d);
			if (err && err != -ENOENT)
				return err;
			err = 0;
			dev_called(&dev, now);
			if (*now && strcmp(now, name[i]) && (same || !strcmp(now, ifname)))
				err = follow_rename(dp, &dev, now, d);
		}
	}
	return err;
}

static int no_interface(const struct datapath *dp, const char *ifname, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	char now[IFNAMSIZ] = "";

	if (!dev_open(dp, ifname, &dev, d))
		dev_called(&dev, now);
	if (*now)
		diag_error(d, "%s was renamed: it is called %s now and is filtered there; `mxdp attach %s` takes the new "
			      "name over, or write `interface %s` in place of `interface %s`",
			   ifname, now, now, now, ifname);
	else
		diag_error(d, "%s: no such interface in this network namespace; `ip link` lists them", ifname);
	return -ENODEV;
}

int dp_attach(struct datapath *dp, const char *ifname, enum dp_mode mode, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	int ifindex = name_valid(ifname) ? if_nametoindex(ifname) : 0;
	int err;

	if (!dp->have) {
		diag_error(d,
			   "%s: no policy is in force that it could be attached with; `mxdp apply` puts one in force",
			   ifname);
		return -ENODATA;
	}
	if (!ifindex)
		return no_interface(dp, ifname, d);
	err = dp_change_allowed(dp, d) ?: follow_names(dp, ifname, d);
	if (err)
		return err;
	err = dev_open(dp, ifname, &dev, d);
	if (err && err != -ENOENT)
		return err;
	return attach_again(dp, &dev, ifindex, mode, d);
}

/* ---- detach ---- */

static int detach_one(struct datapath *dp, const char *ifname, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	int err = dev_open(dp, ifname, &dev, d);

	if (err)
		return err;
	err = dev.link_fd >= 0 ? bpf_link_detach(dev.link_fd) : 0;
	if (err && err != -ENOLINK) {
		diag_error(d, "%s: cannot detach: %s", ifname, strerror(-err));
		return err;
	}
	dev_remove(dp, dev.pin);
	return 0;
}

static int remove_if_last(struct datapath *dp, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err = dev_names(dp, &name, &n, d);

	if (err || n)
		return err;
	if (dp->have && dp->now.state->bans)
		diag_note(d, "the bans are gone with the filter; `mxdp save` before, and `mxdp restore` after, bring them along");
	err = remove_all(dp);
	if (err)
		diag_error(d, "nothing is attached any more, but %s cannot be removed: %s", dp->root, strerror(-err));
	return err;
}

int dp_detach(struct datapath *dp, const char *ifname, struct diag *d)
{
	int err = work_begin(dp, d);

	if (err)
		return err;
	err = detach_one(dp, ifname, d);
	work_end(dp);
	return err ?: remove_if_last(dp, d);
}

int detach_trial(struct datapath *dp, uint32_t epoch, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err = dev_names(dp, &name, &n, d) ?: work_begin(dp, d);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
		int one = dev_open(dp, name[i], &dev, d);

		if (!one && dev_trial(&dev) == epoch)
			one = detach_one(dp, name[i], d);
		err = err ?: one;
	}
	work_end(dp);
	return err;
}

int dp_detach_all(struct datapath *dp, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err = dev_names(dp, &name, &n, d) ?: work_begin(dp, d), one;

	if (err)
		return err;
	for (size_t i = 0; i < n; i++) {
		one = detach_one(dp, name[i], d);
		err = err ?: one;
	}
	work_end(dp);
	return err ?: remove_if_last(dp, d);
}

/* ---- what is attached ---- */

static int64_t clock_ns(clockid_t id)
{
	struct timespec t;

	clock_gettime(id, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int64_t loaded_at(const struct dp_dev *dev)
{
	struct bpf_prog_info info = {};
	uint32_t len = sizeof(info);

	if (dev->prog_fd < 0 || bpf_obj_get_info_by_fd(dev->prog_fd, &info, &len))
		return 0;
	/* seconds of two clocks that tick at different moments would differ by one from call to call */
	return (clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME) + (int64_t)info.load_time + 500000000) / 1000000000;
}

static int iface_look(struct datapath *dp, const char *name, struct dp_iface *out, struct diag *d)
{
	__cleanup_dev struct dp_dev dev = DP_DEV_NONE;
	struct running r = {};
	struct dp_made made;
	int err = dev_open(dp, name, &dev, d);

	if (err)
		return err;
	made = made_look(&dev, dev.link_prog_id);
	*out = (struct dp_iface){
		.ifindex = if_nametoindex(name), .link_ifindex = dev.link_ifindex, .prog_id = dev.link_prog_id,
		.pinned = dev.prog_fd >= 0, .attached_at = loaded_at(&dev), .frags = made.frags,
		.answers = made.answers != MXDP_ANSWERS_NONE, .rows = dev.rows,
	};
	snprintf(out->name, sizeof(out->name), "%s", name);
	/* renamed, the name perhaps given to another: the truth is what the link holds */
	dev_called(&dev, out->now);
	if (*out->now)
		dev_running(&dev, &r);
	else if (out->ifindex)
		xdp_running(out->ifindex, &r);
	out->running_id = r.id;
	out->mode = r.mode;
	driver_of(*out->now ? out->now : name, out->driver);
	return 0;
}

int dp_ifaces(struct datapath *dp, struct dp_iface **v, size_t *n, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t names;
	int err = dev_names(dp, &name, &names, d);

	*v = NULL;
	*n = 0;
	if (err)
		return err;
	*v = xcalloc(names, sizeof(**v));
	for (size_t i = 0; i < names; i++) {
		err = iface_look(dp, name[i], &(*v)[*n], d);
		if (err == -ENOENT)
			continue;
		if (err) {
			free(take(*v));
			*n = 0;
			return err;
		}
		(*n)++;
	}
	return 0;
}
