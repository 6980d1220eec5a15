// SPDX-License-Identifier: GPL-2.0-only
/*
 * What another version of mxdp has in force, read by nothing but its own description; dp_put() then takes over. What is
 * promised between versions stands at the top of dp_private.h.
 */
#include <stdlib.h>
#include <time.h>
#include "bans.h"
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

/* ---- bans ---- */

struct bans_view {
	const struct layout *l;
	struct dp_view words, records, texts;
	uint32_t nrecords, ntexts;
	uint64_t now_ns;
};

static void bans_view_close(struct bans_view *b)
{
	view_unmap(&b->words);
	view_unmap(&b->records);
	view_unmap(&b->texts);
}

static int bans_part(const struct datapath *dp, const char *rel, uint32_t value_size, struct dp_view *v, struct bpf_map_info *info,
		     struct diag *d)
{
	__cleanup_close int fd = pin_get_map(dp, rel, value_size, 0, info, d);
	int err = fd < 0 ? fd : view_map(v, fd, 0, (size_t)info->value_size * info->max_entries, false);

	if (err && (fd >= 0 || err == -ENOENT))
		diag_error(d, "cannot read %s/%s of the other version: %s", dp->root, rel, strerror(-err));
	return err == -ENOENT ? -EBADF : err;
}

static int bans_view_open(const struct datapath *dp, struct bans_view *b, struct diag *d)
{
	const struct layout *l = b->l = &dp->other->l;
	struct bpf_map_info words, records, texts;
	struct timespec t;
	int err;

	err = bans_part(dp, "now/bans", 0, &b->words, &words, d) ?:
	      bans_part(dp, "now/banned", l->ban_size, &b->records, &records, d) ?:
	      bans_part(dp, "now/bantexts", l->text_size, &b->texts, &texts, d);
	if (err)
		return err;
	b->nrecords = records.max_entries;
	b->ntexts = texts.max_entries;
	if (b->words.len / 8 < b->nrecords || words.value_size % 8) {
		diag_error(d, "%s/now/bans of the other version does not hold a word for each ban", dp->root);
		return -EBADF;
	}
	clock_gettime(CLOCK_BOOTTIME, &t);
	b->now_ns = t.tv_sec * 1000000000ULL + t.tv_nsec;
	return 0;
}

static const char *ban_text(const struct bans_view *b, uint16_t nr, uint8_t kind, size_t each, size_t *n)
{
	const struct layout *l = b->l;
	const char *x = (const char *)b->texts.p + (size_t)nr * l->text_size;

	*n = 0;
	if (!nr || nr >= b->ntexts || (uint8_t)x[l->text_kind] != kind ||
	    l->text_text + (uint8_t)x[l->text_len] * each > l->text_size)
		return NULL;
	*n = (uint8_t)x[l->text_len];
	return x + l->text_text;
}

static void text_copy(const struct bans_view *b, uint16_t nr, uint8_t kind, char out[BAN_TEXT])
{
	size_t n;
	const char *text = ban_text(b, nr, kind, 1, &n);

	if (n >= BAN_TEXT)
		n = BAN_TEXT - 1;
	if (text)
		memcpy(out, text, n);
	out[n] = '\0';
}

static uint64_t u64_at(const char *r, uint32_t at_)
{
	return *(const volatile uint64_t *)(const void *)(r + at_);
}

static uint16_t u16_at(const char *r, uint32_t at_)
{
	return *(const uint16_t *)(const void *)(r + at_);
}

static void address_of(uint64_t hi, uint64_t lo, struct prefix *p)
{
	for (int i = 0; i < (p->family == 6 ? 8 : 4); i++) {
		if (p->family == 6)
			p->addr[i] = hi >> (56 - 8 * i);
		p->addr[p->family == 6 ? 8 + i : i] = lo >> (p->family == 6 ? 56 - 8 * i : 24 - 8 * i);
	}
}

/* False: nothing that holds. */
static bool ban_look(const struct bans_view *b, uint32_t i, struct ban *out)
{
	const char *r = (const char *)b->records.p + (size_t)i * b->l->ban_size;
	uint64_t word = u64_at(b->words.p, i * 8) & ~(1ULL << b->l->ban_ignored_bit), expires;
	uint8_t len = r[b->l->ban_len], family = r[b->l->ban_family];
	const char *ports;
	size_t n;

	expires = u64_at(r, b->l->ban_expires);
	if (!word || word >> b->l->ban_tag_shift == b->l->ban_claim || expires <= b->now_ns || !len || family > 1 ||
	    len > (family ? 128 : 32))
		return false;
	*out = (struct ban){ .p = { .family = family ? 6 : 4, .len = len }, .hits = u64_at(r, b->l->ban_hits), .left_ms = -1 };
	address_of(u64_at(r, b->l->ban_hi), u64_at(r, b->l->ban_lo), &out->p);
	if (expires != MXDP_BAN_FOREVER_NS)
		out->left_ms = (expires - b->now_ns + 999999) / 1000000;
	out->age_s = (int64_t)(b->now_ns / 1000000000) - *(const uint32_t *)(const void *)(r + b->l->ban_made);
	text_copy(b, u16_at(r, b->l->ban_owner), MXDP_BAN_OWNER, out->owner);
	text_copy(b, u16_at(r, b->l->ban_reason), MXDP_BAN_REASON, out->reason);
	if (!u16_at(r, b->l->ban_ports))
		return true;
	ports = ban_text(b, u16_at(r, b->l->ban_ports), MXDP_BAN_PORTS, sizeof(struct port_range), &n);
	/* more ports than there is room for would be fewer ports: all of them, then */
	if (ports && n <= BAN_RANGES) {
		out->nports = n;
		memcpy(out->ports, ports, n * sizeof(struct port_range));
	}
	return true;
}

int other_bans(const struct datapath *dp, struct ban **v, size_t *n, struct diag *d)
{
	__cleanup(bans_view_close) struct bans_view b = {};
	size_t room = 0;
	int err;

	*v = NULL;
	*n = 0;
	if (dp->other->l.ban_size == LAYOUT_NONE)
		return 0;
	err = bans_view_open(dp, &b, d);
	for (uint32_t i = 0; !err && i < b.nrecords; i++) {
		if (*n == room) {
			room = room ? room * 2 : 64;
			*v = xrealloc(*v, room * sizeof(**v));
		}
		*n += ban_look(&b, i, &(*v)[*n]);
	}
	return err;
}

uint32_t other_ban_room(const struct datapath *dp)
{
	struct diag quiet = {};
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, "now/banned", 0, 0, &info, &quiet);

	diag_free(&quiet);
	return fd < 0 ? 0 : info.max_entries;
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
	const struct dp_said_head *head;
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
