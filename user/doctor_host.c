// SPDX-License-Identifier: GPL-2.0-only
/* doctor: the kernel, and the interfaces that are filtered. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <linux/ethtool.h>
#include <linux/sockios.h>
#include <net/if.h>
#include "doctor.h"
#include "tell.h"

void finding_add(struct findings *f, enum health how, const char *area, const char *remedy, const char *fmt, ...)
{
	char *text = NULL;
	va_list ap;

	va_start(ap, fmt);
	if (vasprintf(&text, fmt, ap) < 0)
		text = NULL;
	va_end(ap);
	f->v = xrealloc(f->v, (f->n + 1) * sizeof(*f->v));
	f->v[f->n++] = (struct finding){ .how = how, .area = area, .text = text, .remedy = remedy ? xstrdup(remedy) : NULL };
}

void findings_free(struct findings *f)
{
	for (size_t i = 0; i < f->n; i++) {
		free(f->v[i].text);
		free(f->v[i].remedy);
	}
	free(f->v);
	*f = (struct findings){ 0 };
}

/* The number in a file of /proc or /sys; -1: not there, or not ours to read. */
static long number_in(const char *path)
{
	__cleanup_close int fd = open(path, O_RDONLY | O_CLOEXEC);
	char buf[32];
	ssize_t n = fd < 0 ? -1 : read(fd, buf, sizeof(buf) - 1);

	if (n <= 0)
		return -1;
	buf[n] = '\0';
	return strtol(buf, NULL, 10);
}

/* ---- the kernel ---- */

static void look_at_conntrack(struct findings *f)
{
	long count = number_in("/proc/sys/net/netfilter/nf_conntrack_count");
	long max = number_in("/proc/sys/net/netfilter/nf_conntrack_max");

	if (count < 0 || max <= 0)
		return;
	if (count * 4 > max * 3)
		finding_add(f, HEALTH_WARN, "kernel",
			    "raise net.netfilter.nf_conntrack_max, or keep the mail ports out of it: `iptables -t raw -A "
			    "PREROUTING -p tcp -m multiport --dports 25,465,587,993 -j CT --notrack`, and the same for "
			    "OUTPUT with --sports",
			    "the connection table of netfilter is %ld %% full (%ld of %ld); when it is full the kernel drops "
			    "new mail connections that mxdp has let in", count * 100 / max, count, max);
	else
		finding_add(f, HEALTH_OK, "kernel", NULL, "the connection table of netfilter is %ld %% full (%ld of %ld)",
			    count * 100 / max, count, max);
}

void doctor_kernel(struct findings *f)
{
	struct utsname u;
	int major = 0, minor = 0;

	uname(&u);
	sscanf(u.release, "%d.%d", &major, &minor);
	if (major < 5 || (major == 5 && minor < 18))
		finding_add(f, HEALTH_BAD, "kernel", "install Linux 5.18 or newer; Debian 12 has 6.1",
			    "Linux %s lacks what the XDP program needs", u.release);
	else
		finding_add(f, HEALTH_OK, "kernel", NULL, "Linux %s", u.release);
	if (number_in("/proc/sys/net/core/bpf_jit_enable") == 0)
		finding_add(f, HEALTH_WARN, "kernel", "sysctl -w net.core.bpf_jit_enable=1, then `mxdp reload`",
			    "BPF programs are interpreted, not compiled: every packet costs several times as much");
	if (number_in("/proc/sys/kernel/unprivileged_bpf_disabled") == 0)
		finding_add(f, HEALTH_WARN, "kernel", "sysctl -w kernel.unprivileged_bpf_disabled=2",
			    "any user may load BPF programs here");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		finding_add(f, HEALTH_WARN, "kernel", "use a kernel with CONFIG_DEBUG_INFO_BTF, as all of Debian's are",
			    "the kernel has no type information (BTF): `connections` limits cannot be counted");
	look_at_conntrack(f);
}

/* ---- interfaces ---- */

#define FLAG_RXVLAN (1u << 8)
#define FLAG_LRO (1u << 15)

static int ethtool_flags(const char *name, uint32_t *flags)
{
	struct ethtool_value v = { .cmd = ETHTOOL_GFLAGS };
	struct ifreq req = { .ifr_data = (void *)&v };
	__cleanup_close int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	snprintf(req.ifr_name, sizeof(req.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCETHTOOL, &req))
		return -errno;
	*flags = v.data;
	return 0;
}

static void look_at_offloads(struct findings *f, const char *name)
{
	__cleanup_free char *remedy = NULL;
	uint32_t flags = 0;

	if (ethtool_flags(name, &flags))
		return;
	if (flags & FLAG_LRO) {
		remedy = xasprintf("ethtool -K %s lro off", name);
		finding_add(f, HEALTH_WARN, "interface", remedy,
			    "%s merges segments in hardware (LRO): what mxdp counts as one packet may be many", name);
	}
	if (flags & FLAG_RXVLAN)
		finding_add(f, HEALTH_OK, "interface", NULL,
			    "%s takes VLAN tags off in hardware; mxdp judges the packet inside, tagged or not", name);
}

static void look_at_interface(struct findings *f, const struct iface_view *v)
{
	const struct dp_iface *k = v->kernel;
	__cleanup_free char *remedy = NULL;

	if (v->state != IFACE_ATTACHED) {
		finding_add(f, HEALTH_BAD, "interface", "mxdp apply", "%s %s", v->name, iface_state_text(v->state));
		return;
	}
	if (k->mode == DP_GENERIC) {
		remedy = xasprintf("mxdp attach %s mode native, where the driver can; else live with it", v->name);
		finding_add(f, HEALTH_WARN, "interface", remedy,
			    "%s (driver %s) is filtered in generic mode: a flood costs nearly as much as without a filter",
			    v->name, k->driver);
	} else {
		finding_add(f, HEALTH_OK, "interface", NULL, "%s is filtered in native mode, driver %s, %" PRIu32 " row%s of counters%s",
			    v->name, k->driver, k->rows, k->rows == 1 ? "" : "s", k->frags ? ", frames in several buffers too" : "");
	}
	look_at_offloads(f, k->now);
}

void doctor_interfaces(struct findings *f, const struct look *l, const struct options *o)
{
	__cleanup_free struct iface_view *v = NULL;
	size_t n = 0;

	if (!l) {
		__cleanup_free char *begin = how_to_begin(o->config);

		finding_add(f, HEALTH_BAD, "interface", begin, "mxdp is not loaded: NOTHING IS FILTERED");
		return;
	}
	v = look_ifaces(l, &n);
	for (size_t i = 0; i < n; i++)
		look_at_interface(f, &v[i]);
	if (!n)
		finding_add(f, HEALTH_BAD, "interface", "mxdp attach INTERFACE", "no interface is filtered");
	if (l->observe)
		finding_add(f, HEALTH_NOTE, "rules", "mxdp enforce, when `mxdp status` shows nothing that you need",
			    "mxdp only observes: it drops nothing");
}
