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

/* See dp_private.h: what former holders of a number counted is service 0's. */
static void move(const struct dp_sums *s, struct dp_counts *out)
{
	const size_t each = sizeof(s->cell[0]) / sizeof(struct mxdp_count);
	const struct mxdp_count *moved = &s->moved[0][0][0][0];
	struct mxdp_count *cell = &out->cell[0][0][0][0];

	for (size_t i = each; i < MXDP_SERVICES * each; i++) {
		take_off(&cell[i], &moved[i]);
		add(&cell[i % each], &moved[i]);
	}
}

/* What was counted in one place for three: see struct mxdp_port_count. */
static void sum_knocks(struct dp_counts *out, unsigned int port)
{
	struct mxdp_port_count *p = &out->port[port];

	for (unsigned int family = 0; family < 2; family++) {
		add(&p->dropped, &p->knocked[family]);
		add(&out->cell[0][family][0][MXDP_R_CLOSED], &p->knocked[family]);
		p->knocked[family] = (struct mxdp_count){};
	}
}

int dp_counts(struct datapath *dp, const char *ifname, struct dp_counts *out, struct diag *d)
{
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	__cleanup_free struct dp_sums *sums = xmalloc(sizeof(*sums));
	int err = dev_attached(dp, ifname, &dev, d) ?: books_sum(dp, &dev, true, sums, d);

	if (err)
		return err;
	memcpy(out->cell, sums->cell, sizeof(out->cell));
	memcpy(out->port, sums->port, sizeof(out->port));
	move(sums, out);
	for (unsigned int port = 0; port < 65536; port++)
		sum_knocks(out, port);
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

uint64_t pin_memory(struct datapath *dp, const char *rel)
{
	struct diag quiet = {};
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, 0, 0, &info, &quiet);

	diag_free(&quiet);
	if (fd < 0)
		return 0;
	return ((uint64_t)(info.value_size + 7) / 8 * 8 * info.max_entries + DP_PAGE - 1) / DP_PAGE * DP_PAGE;
}

static uint64_t books_memory(struct datapath *dp, const struct dp_dev *dev)
{
	static const char *const part[] = { "layout", "counters", "ports" };
	__cleanup_free char (*id)[IFNAMSIZ] = NULL;
	__cleanup_free char *dir = books_rel(dev);
	uint64_t sum = 0;
	size_t n = 0;

	pin_names(dp, dir, &id, &n);
	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < sizeof(part) / sizeof(*part); k++) {
			__cleanup_free char *rel = xasprintf("%s/%s/%s", dir, id[i], part[k]);

			sum += pin_memory(dp, rel);
		}
	return sum;
}

uint64_t dp_memory(struct datapath *dp)
{
	static const char *const shared[] = {
	    "now/state",   "now/banks",	  "now/trie",	   "now/lease",	 "now/gates", "now/conns", "now/layout",
	    "now/frozen0", "now/frozen1", "now/services0", "now/services1", "now/said0", "now/said1",
	    "now/bans",    "now/banned",  "now/banhead", "now/bantexts",
	};
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	struct diag quiet = {};
	uint64_t sum = 0;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(shared) / sizeof(*shared); i++)
		sum += pin_memory(dp, shared[i]);
	sum += packs_memory(dp);
	dev_names(dp, &name, &n, &quiet);
	diag_free(&quiet);
	for (size_t i = 0; i < n; i++) {
		struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;

		if (dev_open(dp, name[i], &dev, &quiet) == 0)
			sum += books_memory(dp, &dev);
		diag_free(&quiet);
	}
	return sum;
}
