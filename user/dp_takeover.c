// SPDX-License-Identifier: GPL-2.0-only
/*
 * What another version of mxdp has in force, read by nothing but its own description; dp_put() then takes over. What is
 * promised between versions stands at the top of dp_private.h.
 */
#include <stdlib.h>
#include "dp_private.h"

int other_open(struct datapath *dp, const struct layout *l, struct diag *d)
{
	struct dp_other *o = xcalloc(1, sizeof(*o));
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, "now/state", 0, 1, &info, d);
	int err = fd < 0 ? fd : view_map(&o->state, fd, 0, LAYOUT_PAGE, false);

	if (err && fd >= 0)
		diag_error(d, "cannot map %s/now/state: %s", dp->root, strerror(-err));
	if (err == -ENOENT) {
		diag_error(d, "%s/now lacks a pin that belongs there; take the filter off with `rm -r %s` (connections stay), then "
			      "`mxdp apply`", dp->root, dp->root);
		err = -EBADF;
	}
	o->l = *l;
	if (err)
		free(o);
	else
		dp->other = o;
	return err;
}

void other_close(struct datapath *dp)
{
	if (!dp->other)
		return;
	view_unmap(&dp->other->state);
	free(take(dp->other));
}

static const void *at(const struct dp_other *o, uint32_t offset)
{
	return (const char *)o->state.p + offset;
}

uint64_t other_probe_key(const struct datapath *dp)
{
	uint32_t offset = dp->other->l.state_probe_key;

	return offset == LAYOUT_NONE ? 0 : *(const uint64_t *)at(dp->other, offset);
}

const char *dp_other_version(const struct datapath *dp)
{
	return dp && dp->other ? dp->other->l.version : NULL;
}

/* ---- a trial there ---- */

static uint32_t epoch_stored(const struct datapath *dp)
{
	return __atomic_load_n((const uint32_t *)at(dp->other, dp->other->l.state_epoch), __ATOMIC_ACQUIRE);
}

/* Is there one, and how many jiffies are left? Without a clock none is over. */
static bool other_trial(const struct datapath *dp, uint64_t *left)
{
	const struct layout *l = &dp->other->l;
	uint64_t revert, now = 0, end;

	if (l->state_revert_at == LAYOUT_NONE)
		return false;
	revert = *(const uint64_t *)at(dp->other, l->state_revert_at);
	end = revert & ((1ULL << l->state_revert_shift) - 1);
	*left = dp_jiffies(&now) || now < end ? end - now : 0;
	return revert && revert >> l->state_revert_shift ==
				(epoch_stored(dp) & ((1ULL << (64 - l->state_revert_shift)) - 1));
}

int other_change_allowed(const struct datapath *dp, struct diag *d)
{
	uint64_t left = 0, hz = jiffies_per_second();

	if (!other_trial(dp, &left) || !left)
		return 0;
	diag_error(d, "another version of mxdp (%s) has a policy on trial for another %llu seconds, and cannot be taken over from "
		      "meanwhile; `mxdp confirm` of that version makes it lasting; or wait, then say this again",
		   dp->other->l.version, (unsigned long long)((left + hz - 1) / hz));
	return -EBUSY;
}

bool other_must_go(const struct datapath *dp)
{
	uint64_t left = 0;

	return dp->other && dp->other->l.state_trial_first != LAYOUT_NONE && other_trial(dp, &left) && !left &&
	       *(const uint8_t *)at(dp->other, dp->other->l.state_trial_first);
}

uint32_t other_epoch(const struct datapath *dp)
{
	uint64_t left = 0;

	return epoch_stored(dp) + (other_trial(dp, &left) && !left);
}

/* ---- services ---- */

int other_services(struct datapath *dp, struct service out[MXDP_SERVICES], struct diag *d)
{
	const struct layout *l = &dp->other->l;
	__cleanup_free char *rel = xasprintf("now/services%u", other_epoch(dp) & 1);
	__cleanup_view struct dp_view v = {};
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, 0, 1, &info, d);
	int err = fd;

	if (fd >= 0 && info.value_size < (uint64_t)l->services * l->services_stride)
		err = -EBADMSG;
	else if (fd >= 0)
		err = view_map(&v, fd, 0, info.value_size, false);
	if (err < 0) {
		diag_error(d, "cannot read %s/%s of the other version: %s; take its filter off with `rm -r %s` (connections stay), "
			      "then `mxdp apply`", dp->root, rel, strerror(-err), dp->root);
		return err == -ENOENT ? -EBADF : err;
	}
	for (uint32_t i = 1; i < l->services && i < MXDP_SERVICES; i++) {
		const char *entry = (const char *)v.p + (size_t)i * l->services_stride, *key = entry + l->services_key;
		size_t n = strnlen(key, l->services_key_size);

		/* a key that was longer there names no service here, but its number stays taken: its counts are its own */
		if (n >= sizeof(out[i].key))
			n = sizeof(out[i].key) - 1;
		memcpy(out[i].key, key, n);
		out[i].named = entry[l->services_named];
	}
	return 0;
}

/* ---- the rules, as text ---- */

int dp_said(struct datapath *dp, char **text, size_t *len, struct diag *d)
{
	__cleanup_free char *rel = xasprintf("now/said%u", other_epoch(dp) & 1);
	__cleanup_view struct dp_view v = {};
	const struct dp_frozen_head *head;
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, DP_PAGE, 0, &info, d);
	int err = fd < 0 ? fd : view_map(&v, fd, 0, (size_t)info.max_entries * DP_PAGE, false);

	*text = NULL;
	if (err && err != -ENOENT)
		diag_error(d, "cannot read %s/%s: %s", dp->root, rel, strerror(-err));
	if (err)
		return err;
	head = v.p;
	if (head->magic != DP_FROZEN_MAGIC || head->len > v.len - sizeof(*head)) {
		diag_error(d, "%s/%s does not hold what mxdp keeps there", dp->root, rel);
		return -EBADMSG;
	}
	*len = head->len;
	*text = xmalloc(head->len + 1);
	memcpy(*text, head + 1, head->len);
	(*text)[head->len] = '\0';
	return 0;
}
