// SPDX-License-Identifier: GPL-2.0-only
/* Limits as the kernel has them now: what a source has open, and when its next SYN may come. */
#include <stdio.h>
#include <stdlib.h>
#include <mxdp/source.h>
#include "dp_private.h"

static int copy(int fd, size_t lines, struct mxdp_words **out)
{
	__cleanup_view struct dp_view v = {};
	int err = view_map(&v, fd, 0, lines * sizeof(**out), false);

	if (err)
		return err;
	*out = xmalloc(v.len);
	memcpy(*out, v.p, v.len);
	return 0;
}

/* The kernel's own clock is told nowhere else; 0: not told. */
static uint64_t jiffies_now(void)
{
	FILE *f = fopen("/proc/timer_list", "re");
	unsigned long long jiffies = 0;
	char line[256];

	while (f && !jiffies && fgets(line, sizeof(line), f))
		sscanf(line, "jiffies: %llu", &jiffies);
	if (f)
		fclose(f);
	return jiffies;
}

int dp_limits_read(struct datapath *dp, struct dp_limits *out, struct diag *d)
{
	__cleanup_view struct dp_view banks = {};
	const struct mxdp_bank *b;
	int err;

	*out = (struct dp_limits){};
	if (!dp->have)
		return -ENODATA;
	err = view_map(&banks, dp->now.banks_fd, 0, 2 * sizeof(*b), false) ?: copy(dp->now.gates_fd, MXDP_GATE_ALL, &out->gates) ?:
	      copy(dp->now.conns_fd, MXDP_CONN_LINES(dp->now.lease_lines), &out->conns);
	if (err) {
		diag_error(d, "cannot read the tables of limits in %s: %s", dp->root, strerror(-err));
		return err;
	}
	b = (const struct mxdp_bank *)banks.p + (dp_epoch(dp) & 1);
	memcpy(out->v, b->limit, sizeof(out->v));
	memcpy(out->key, dp->now.state->limit_key, sizeof(out->key));
	out->ahead = b->ahead;
	out->counted = b->conns != 0;
	out->lease_lines = dp->now.lease_lines;
	out->half = dp_epoch(dp) & 1 ? dp->now.lease_lines : 0;
	out->lost = out->conns[MXDP_CONN_LINES(out->lease_lines) - 1].word[0];
	for (uint32_t i = 0; out->counted && i < out->lease_lines; i++)
		for (unsigned int k = 0; k < 8; k++)
			out->total += out->conns[out->half + i].word[k] & MXDP_CONN_COUNT;
	out->jiffies = jiffies_now();
	return 0;
}

void dp_limits_free(struct dp_limits *l)
{
	free(l->gates);
	free(l->conns);
	*l = (struct dp_limits){};
}

static uint64_t be64(const uint8_t *at, unsigned int n)
{
	uint64_t x = 0;

	while (n--)
		x = x << 8 | *at++;
	return x;
}

static uint64_t hash_of(const struct dp_limits *l, unsigned int number, const struct prefix *host)
{
	bool ip6 = host->family == 6;

	return source_hash(l->key, &l->v[number], ip6, ip6 ? be64(host->addr, 8) : 0,
			   ip6 ? be64(host->addr + 8, 8) : be64(host->addr, 4));
}

uint64_t dp_limit_open(const struct dp_limits *l, unsigned int number, const struct prefix *host)
{
	uint64_t hash = hash_of(l, number, host), tag = hash >> 24 | 1, open = 0;

	for (uint32_t n = 0; n < MXDP_CONN_REACH; n++)
		for (uint32_t i = 0; i < 8; i++) {
			uint64_t w = l->conns[l->half + ((uint32_t)(hash + n) & (l->lease_lines - 1))].word[i];

			open += w >> 24 == tag ? w & MXDP_CONN_COUNT : 0;
		}
	return open;
}

bool dp_limit_held(const struct dp_limits *l, unsigned int number, const struct prefix *host)
{
	uint64_t hash = hash_of(l, number, host), tag = hash >> (64 - MXDP_GATE_TAG_BITS);
	uint64_t now = l->jiffies * MXDP_LIMIT_STEPS << MXDP_GATE_TAG_BITS;
	const struct mxdp_words *line = &l->gates[(uint32_t)hash & (MXDP_GATE_LINES - 1)];

	for (uint32_t i = 0; l->jiffies && l->v[number].spacing && i < 8; i++) {
		uint64_t due = (line->word[i] - now) >> MXDP_GATE_TAG_BITS;

		if (((line->word[i] ^ tag) & ((1u << MXDP_GATE_TAG_BITS) - 1)) == 0 && due <= l->ahead && due > l->v[number].slack)
			return true;
	}
	return false;
}
