// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <linux/genetlink.h>
#include <net/if.h>
#include <stdio.h>
#include <string.h>
#include "cookies.h"
#include "netlink.h"

/* ---- sysctls ---- */

/* The last number of the file, or -1. */
static long last_number(const char *path)
{
	FILE *f = fopen(path, "re");
	long v, last = -1;

	if (!f)
		return -1;
	while (fscanf(f, "%ld", &v) == 1)
		last = v;
	fclose(f);
	return last;
}

/* As tcp_select_initial_window() reckons it for a listener that leaves its buffers to the kernel. */
static uint32_t own_scale(long most)
{
	uint32_t scale = 0;

	while (most >> (16 + scale) && scale < 14)
		scale++;
	return scale;
}

uint32_t cookies_options(void)
{
	long rmem = last_number("/proc/sys/net/ipv4/tcp_rmem"), most = last_number("/proc/sys/net/core/rmem_max");
	uint32_t options = MXDP_COOKIE_TIME;

	if (last_number("/proc/sys/net/ipv4/tcp_timestamps") != 2)
		return 0;
	if (last_number("/proc/sys/net/ipv4/tcp_sack") > 0)
		options |= MXDP_COOKIE_SACK;
	if (last_number("/proc/sys/net/ipv4/tcp_window_scaling") > 0 && rmem >= 0 && most >= 0)
		options |= MXDP_COOKIE_SCALE | own_scale(rmem > most ? rmem : most) << MXDP_COOKIE_SHIFT;
	return options;
}

uint16_t cookies_wanted(const struct mxdp_bank *b)
{
	uint16_t bits = 0;

	for (unsigned int port = 0; port < 65536; port++)
		bits |= b->port[port];
	return bits & MXDP_PORT_COOKIES;
}

void cookies_warn(uint16_t wanted, struct diag *d)
{
	long how = last_number("/proc/sys/net/ipv4/tcp_syncookies");

	if (wanted && how == 0)
		diag_warn(d, "SYN cookies are switched off in the kernel, so none are sent: `sysctl -w "
			     "net.ipv4.tcp_syncookies=1` switches them on");
	else if (wanted & MXDP_PORT_COOKIES_ALWAYS && how == 1)
		diag_warn(d, "`cookies always`: the kernel makes and takes SYN cookies only while a listener's queue is "
			     "full; `sysctl -w net.ipv4.tcp_syncookies=2` makes it do so for every SYN");
}

/* ---- does what is sent from XDP arrive? ---- */

/* linux/netdev.h, of Linux 6.3 */
#define NETDEV_GENL "netdev"
enum { NETDEV_DEV_GET = 1, NETDEV_DEV_IFINDEX = 1, NETDEV_DEV_XDP_FEATURES = 3 };
#define NETDEV_XDP_NDO_XMIT 4u

struct wanted_attr {
	uint16_t type;
	uint64_t value;
	bool found;
};

static int on_attr(const struct nlattr *attr, void *data)
{
	struct wanted_attr *w = data;
	size_t len = mnl.attr_get_payload_len(attr);

	if (mnl.attr_get_type(attr) != w->type || (len != 2 && len != 8))
		return MNL_CB_OK;
	w->value = len == 2 ? mnl.attr_get_u16(attr) : mnl.attr_get_u64(attr);
	w->found = true;
	return MNL_CB_OK;
}

static int on_answer(const struct nlmsghdr *nlh, void *data)
{
	return mnl.attr_parse(nlh, sizeof(struct genlmsghdr), on_attr, data);
}

static bool ask(struct mnl_socket *nl, struct nlmsghdr *nlh, struct wanted_attr *w)
{
	char buf[MNL_SOCKET_BUFFER_SIZE];
	int got, more = 1;

	nlh->nlmsg_seq = 1;
	if (mnl.socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return false;
	while (more > 0 && (got = (int)mnl.socket_recvfrom(nl, buf, sizeof(buf))) > 0)
		more = mnl.cb_run(buf, (size_t)got, 1, mnl.socket_get_portid(nl), on_answer, w);
	return more == 0 && w->found;
}

static struct nlmsghdr *request(char *buf, uint16_t family, uint8_t cmd)
{
	struct nlmsghdr *nlh = mnl.nlmsg_put_header(buf);
	struct genlmsghdr *g = mnl.nlmsg_put_extra_header(nlh, sizeof(*g));

	nlh->nlmsg_type = family;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK;
	g->cmd = cmd;
	g->version = 1;
	return nlh;
}

static bool xdp_features(struct mnl_socket *nl, unsigned int ifindex, uint64_t *features)
{
	struct wanted_attr family = { .type = CTRL_ATTR_FAMILY_ID }, w = { .type = NETDEV_DEV_XDP_FEATURES };
	char buf[MNL_SOCKET_BUFFER_SIZE];
	struct nlmsghdr *nlh = request(buf, GENL_ID_CTRL, CTRL_CMD_GETFAMILY);

	mnl.attr_put_strz(nlh, CTRL_ATTR_FAMILY_NAME, NETDEV_GENL);
	if (!ask(nl, nlh, &family))
		return false;
	nlh = request(buf, (uint16_t)family.value, NETDEV_DEV_GET);
	mnl.attr_put_u32(nlh, NETDEV_DEV_IFINDEX, ifindex);
	if (!ask(nl, nlh, &w))
		return false;
	*features = w.value;
	return true;
}

int answers_by(const char *ifname, const char *driver, struct diag *d)
{
	struct mnl_socket *nl;
	uint64_t features = 0;
	int err;

	if (strcmp(driver, "veth"))
		return MXDP_ANSWERS_TX;
	err = netlink_load(d);
	if (err)
		return err;
	nl = mnl.socket_open(NETLINK_GENERIC);
	if (!nl)
		return MXDP_ANSWERS_NONE;
	if (mnl.socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0 || !xdp_features(nl, if_nametoindex(ifname), &features))
		features = 0;
	mnl.socket_close(nl);
	return features & NETDEV_XDP_NDO_XMIT ? MXDP_ANSWERS_REDIRECT : MXDP_ANSWERS_NONE;
}
