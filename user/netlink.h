/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * libmnl, loaded by the first who asks the kernel something over netlink (`show flows`, `doctor`, cookies on a veth). Loading
 * it at every start would cost every ban what nothing in a ban needs.
 */
#ifndef MXDP_NETLINK_H
#define MXDP_NETLINK_H

#include <libmnl/libmnl.h>
#include "diag.h"

#define MNL_CALLS(X) \
	X(attr_get_payload) X(attr_get_payload_len) X(attr_get_type) X(attr_get_u16) X(attr_get_u64) X(attr_parse) \
	X(attr_put_strz) X(attr_put_u32) X(cb_run) X(nlmsg_get_payload) X(nlmsg_get_payload_len) X(nlmsg_put_extra_header) \
	X(nlmsg_put_header) X(socket_bind) X(socket_close) X(socket_get_portid) X(socket_open) X(socket_recvfrom) X(socket_sendto)

/* libmnl's calls, by their names without "mnl_". Empty before netlink_load(). */
extern struct mnl {
#define X(call) __typeof__(mnl_##call) *call;
	MNL_CALLS(X)
#undef X
} mnl;

/* 0: mnl is filled, and stays so. -ENOENT with d filled: the library, or one of its calls, is not on this machine. */
int netlink_load(struct diag *d);

#endif
