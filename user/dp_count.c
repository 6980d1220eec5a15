// SPDX-License-Identifier: GPL-2.0-only
/* Counters, probes, and what it all costs. */
#include <linux/if_ether.h>
#include <stdlib.h>
#include "dp_private.h"

static int dev_attached(struct datapath *dp, const char *ifname, struct dp_dev *dev, struct diag *d)
{
	int err = dev_open(dp, ifname, dev, d);

	if (err == -ENOENT || (!err && (dev->counters_fd < 0 || dev->ports_fd < 0))) {
		diag_error(d, "%s: mxdp is not attached there; `mxdp attach %s`", ifname, ifname);
		return -ENOENT;
	}
	return err;
}

static void add(struct mxdp_count *to, const struct mxdp_count *c)
{
	to->packets += c->packets;
	to->bytes += c->bytes;
}

static void take_off(struct mxdp_count *from, const struct mxdp_count *c)
{
	from->packets -= c->packets;
	from->bytes -= c->bytes;
}

static void sum_cells(const struct mxdp_count *c, uint32_t rows, struct dp_counts *out)
{
	const uint32_t each = MXDP_COUNTERS_PER_ROW / MXDP_SERVICES;
	struct mxdp_count *to = &out->cell[0][0][0][0];
	const struct mxdp_count *former = c + rows * MXDP_COUNTERS_PER_ROW;

	for (uint32_t row = 0; row < rows; row++)
		for (uint32_t i = 0; i < MXDP_COUNTERS_PER_ROW; i++)
			add(&to[i], &c[row * MXDP_COUNTERS_PER_ROW + i]);
	/* see dp_private.h: what former holders of a number counted is service 0's */
	for (uint32_t i = each; i < MXDP_COUNTERS_PER_ROW; i++) {
		take_off(&to[i], &former[i]);
		add(&to[i % each], &former[i]);
	}
}

/* What was counted in one place for three: see struct mxdp_port_count. */
static void sum_knocks(const struct mxdp_port_count *p, uint32_t port, struct dp_counts *out)
{
	for (unsigned int family = 0; family < 2; family++) {
		add(&out->port[port].dropped, &p->knocked[family]);
		add(&out->cell[0][family][0][MXDP_R_CLOSED], &p->knocked[family]);
	}
}

int dp_counts(struct datapath *dp, const char *ifname, struct dp_counts *out, struct diag *d)
{
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	__cleanup_view struct dp_view cells = {};
	__cleanup_view struct dp_view ports = {};
	const struct mxdp_port_count *p;
	int err = dev_attached(dp, ifname, &dev, d);

	if (err)
		return err;
	err =
	    view_map(&cells, dev.counters_fd, 0, (size_t)DP_COUNTER_CELLS(dev.rows) * sizeof(struct mxdp_count), false)
		?: view_map(&ports, dev.ports_fd, 0, (size_t)dev.rows * 65536 * sizeof(*p), false);
	if (err) {
		diag_error(d, "%s: cannot map its counters: %s", ifname, strerror(-err));
		return err;
	}
	memset(out, 0, sizeof(*out));
	sum_cells(cells.p, dev.rows, out);
	p = ports.p;
	for (uint32_t i = 0; i < dev.rows * 65536; i++) {
		add(&out->port[i & 65535].passed, &p[i].passed);
		add(&out->port[i & 65535].dropped, &p[i].dropped);
		add(&out->port[i & 65535].observed, &p[i].observed);
		sum_knocks(&p[i], i & 65535, out);
	}
	return 0;
}

/* ---- probe ---- */

int dp_probe(struct datapath *dp, const char *ifname, const void *frame, size_t len, struct dp_verdict *out,
	     struct diag *d)
{
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	size_t size = sizeof(struct mxdp_probe) + len;
	__cleanup_free char *in = xcalloc(1, size);
	__cleanup_free char *back = xcalloc(1, size);
	struct xdp_md ctx = { .data = sizeof(struct mxdp_probe), .data_end = size };
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = in, .data_size_in = size, .data_out = back,
		    .data_size_out = size, .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	struct mxdp_probe *probe = (void *)in;
	int err;

	if (len < ETH_HLEN) {
		diag_error(d, "a frame of %zu bytes cannot be tried; the kernel wants %d at least", len, ETH_HLEN);
		return -EINVAL;
	}
	err = dev_attached(dp, ifname, &dev, d);
	if (err)
		return err;
	*probe = (struct mxdp_probe){ .key = dp->now.state->probe_key, .reason = MXDP_REASON_SLOTS };
	memcpy(in + sizeof(*probe), frame, len);
	err = bpf_prog_test_run_opts(dev.prog_fd, &opts);
	if (err) {
		diag_error(d, "%s: the kernel does not run the program on a crafted frame: %s%s", ifname,
			   strerror(-err), err == -EPERM ? "; run as root" : "");
		return err;
	}
	out->action = opts.retval;
	memcpy(&out->said, back, sizeof(out->said));
	if (opts.data_size_out < sizeof(out->said) || out->said.reason >= MXDP_REASON_SLOTS) {
		diag_error(d, "%s: its program did not answer the probe; `mxdp reload` loads this version's", ifname);
		return -EPROTO;
	}
	return 0;
}

/* ---- memory ---- */

static uint64_t pin_memory(struct datapath *dp, const char *rel)
{
	struct diag quiet = {};
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, 0, 0, &info, &quiet);

	diag_free(&quiet);
	if (fd < 0)
		return 0;
	return ((uint64_t)(info.value_size + 7) / 8 * 8 * info.max_entries + DP_PAGE - 1) / DP_PAGE * DP_PAGE;
}

uint64_t dp_memory(struct datapath *dp)
{
	static const char *const shared[] = {
	    "now/state",   "now/banks",	  "now/trie",	   "now/lease",	 "now/gates", "now/conns",
	    "now/frozen0", "now/frozen1", "now/services0", "now/services1",
	    "now/bans",    "now/banned",  "now/banhead", "now/bantexts",
	};
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	struct diag quiet = {};
	uint64_t sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++)
		sum += pin_memory(dp, shared[i]);
	dev_names(dp, &name, &n, &quiet);
	diag_free(&quiet);
	for (size_t i = 0; i < n; i++) {
		struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;

		if (dev_open(dp, name[i], &dev, &quiet) == 0 && dev.rows)
			sum += DP_COUNTER_CELLS(dev.rows) * sizeof(struct mxdp_count) +
			       (uint64_t)dev.rows * 65536 * sizeof(struct mxdp_port_count);
		diag_free(&quiet);
	}
	return sum;
}
