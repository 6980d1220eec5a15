// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <linux/tcp.h>
#include "flows.h"
#include "netlink.h"

/* include/net/tcp_states.h; the C library's netinet/tcp.h does not live beside linux/tcp.h */
enum {
	ESTABLISHED = 1, SYN_SENT, SYN_RECV, FIN_WAIT_1, FIN_WAIT_2, TIME_WAIT, CLOSE, CLOSE_WAIT, LAST_ACK, LISTEN,
	CLOSING, NEW_SYN_RECV,
};

const char *flow_state(uint8_t state)
{
	static const char *const name[] = {
		[ESTABLISHED] = "established", [SYN_SENT] = "syn-sent", [SYN_RECV] = "syn-recv",
		[FIN_WAIT_1] = "fin-wait-1", [FIN_WAIT_2] = "fin-wait-2", [TIME_WAIT] = "time-wait",
		[CLOSE] = "close", [CLOSE_WAIT] = "close-wait", [LAST_ACK] = "last-ack", [LISTEN] = "listen",
		[CLOSING] = "closing", [NEW_SYN_RECV] = "syn-recv",
	};

	return state < sizeof(name) / sizeof(*name) && name[state] ? name[state] : "unknown";
}

struct reading {
	const uint8_t *want; /* NULL: every port */
	uint32_t states;
	struct flow *v;
	size_t n, room;
};

static void set_host(struct prefix *p, uint8_t family, const uint32_t addr[4])
{
	static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

	*p = (struct prefix){ .family = 4, .len = 32 };
	if (family == AF_INET) {
		memcpy(p->addr, addr, 4);
	} else if (memcmp(addr, mapped, sizeof(mapped)) == 0) {
		memcpy(p->addr, &addr[3], 4);
	} else {
		*p = (struct prefix){ .family = 6, .len = 128 };
		memcpy(p->addr, addr, 16);
	}
}

/*
 * The kernel keeps no time of birth of a connection. It starts the clocks "last data sent" and "last data received"
 * when the connection is made, so while one side has sent no data yet its clock tells the age; later the longest one is
 * a bound.
 */
static void read_info(struct flow *f, const struct tcp_info *info, size_t len)
{
	if (len < offsetof(struct tcp_info, tcpi_last_ack_recv) + sizeof(info->tcpi_last_ack_recv))
		return;
	f->idle_ms = info->tcpi_last_data_recv;
	if (info->tcpi_last_ack_recv < f->idle_ms)
		f->idle_ms = info->tcpi_last_ack_recv;
	f->age_ms = info->tcpi_last_data_recv;
	if (info->tcpi_last_data_sent > f->age_ms)
		f->age_ms = info->tcpi_last_data_sent;
	if (len < offsetof(struct tcp_info, tcpi_data_segs_out) + sizeof(info->tcpi_data_segs_out))
		return;
	f->age_exact = info->tcpi_data_segs_in == 0 || info->tcpi_data_segs_out == 0;
}

static void read_timer(struct flow *f, const struct inet_diag_msg *m)
{
	/* TCP_TIMEWAIT_LEN: since then nothing but stray segments */
	if (f->state == TIME_WAIT && m->idiag_expires <= 60000)
		f->idle_ms = 60000 - (int64_t)m->idiag_expires;
}

static int on_attr(const struct nlattr *attr, void *data)
{
	struct flow *f = data;

	if (mnl.attr_get_type(attr) == INET_DIAG_INFO && f->state != TIME_WAIT && f->state != SYN_RECV) {
		struct tcp_info info = { 0 };
		size_t len = mnl.attr_get_payload_len(attr);

		memcpy(&info, mnl.attr_get_payload(attr), len < sizeof(info) ? len : sizeof(info));
		read_info(f, &info, len);
	}
	return MNL_CB_OK;
}

static int on_socket(const struct nlmsghdr *nlh, void *data)
{
	const struct inet_diag_msg *m = mnl.nlmsg_get_payload(nlh);
	struct reading *r = data;
	struct flow *f;

	if (mnl.nlmsg_get_payload_len(nlh) < sizeof(*m) || (r->want && !r->want[ntohs(m->id.idiag_sport)]))
		return MNL_CB_OK;
	if (r->n == r->room) {
		r->room = r->room ? r->room * 2 : 64;
		r->v = xrealloc(r->v, r->room * sizeof(*r->v));
	}
	f = &r->v[r->n++];
	*f = (struct flow){ .lport = ntohs(m->id.idiag_sport),
			    .pport = ntohs(m->id.idiag_dport),
			    .state = m->idiag_state,
			    .idle_ms = -1,
			    .age_ms = -1,
			    .inode = m->idiag_inode,
			    .uid = m->idiag_uid };
	set_host(&f->local, m->idiag_family, m->id.idiag_src);
	set_host(&f->peer, m->idiag_family, m->id.idiag_dst);
	read_timer(f, m);
	mnl.attr_parse(nlh, sizeof(*m), on_attr, f);
	return MNL_CB_OK;
}

static int dump_family(struct mnl_socket *nl, uint8_t family, struct reading *r)
{
	char buf[MNL_SOCKET_BUFFER_SIZE * 4];
	struct nlmsghdr *nlh = mnl.nlmsg_put_header(buf);
	struct inet_diag_req_v2 *req;
	unsigned int seq = (unsigned int)time(NULL) + family;
	int got;

	nlh->nlmsg_type = SOCK_DIAG_BY_FAMILY;
	nlh->nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
	nlh->nlmsg_seq = seq;
	req = mnl.nlmsg_put_extra_header(nlh, sizeof(*req));
	req->sdiag_family = family;
	req->sdiag_protocol = IPPROTO_TCP;
	req->idiag_ext = 1 << (INET_DIAG_INFO - 1);
	req->idiag_states = r->states;
	if (mnl.socket_sendto(nl, nlh, nlh->nlmsg_len) < 0)
		return -errno;
	while ((got = (int)mnl.socket_recvfrom(nl, buf, sizeof(buf))) > 0) {
		int more = mnl.cb_run(buf, (size_t)got, seq, mnl.socket_get_portid(nl), on_socket, r);

		if (more < MNL_CB_STOP)
			return -errno;
		if (more == MNL_CB_STOP)
			return 0;
	}
	return got < 0 ? -errno : 0;
}

static int by_port_and_peer(const void *a, const void *b)
{
	const struct flow *x = a, *y = b;
	int c;

	if (x->lport != y->lport)
		return x->lport < y->lport ? -1 : 1;
	c = prefix_cmp(&x->peer, &y->peer);
	if (c == 0)
		c = (int)x->pport - (int)y->pport;
	return c ? c : prefix_cmp(&x->local, &y->local);
}

static int read_all(struct reading r, struct flow **v, size_t *n, struct diag *d)
{
	struct mnl_socket *nl;
	int err;

	*v = NULL;
	*n = 0;
	err = netlink_load(d);
	if (err)
		return err;
	nl = mnl.socket_open(NETLINK_SOCK_DIAG);
	if (!nl || mnl.socket_bind(nl, 0, MNL_SOCKET_AUTOPID) < 0)
		err = -errno;
	if (!err)
		err = dump_family(nl, AF_INET, &r);
	/* -ENOENT: a kernel without IPv6 */
	if (!err && (err = dump_family(nl, AF_INET6, &r)) == -ENOENT)
		err = 0;
	if (nl)
		mnl.socket_close(nl);
	if (err) {
		free(r.v);
		diag_error(d, "cannot read the kernel's socket tables: %s%s", strerror(-err),
			   err == -ENOENT ? "; is the module tcp_diag there?" : "");
		return err;
	}
	if (r.n)
		qsort(r.v, r.n, sizeof(*r.v), by_port_and_peer);
	*v = r.v;
	*n = r.n;
	return 0;
}

int flows_read(struct flow **v, size_t *n, const uint8_t want[65536], struct diag *d)
{
	struct reading r = { .want = want };

	for (int s = ESTABLISHED; s <= NEW_SYN_RECV; s++)
		if (s != LISTEN && s != CLOSE)
			r.states |= 1u << s;
	return read_all(r, v, n, d);
}

int listeners_read(struct flow **v, size_t *n, struct diag *d)
{
	return read_all((struct reading){ .states = 1u << LISTEN }, v, n, d);
}
