// SPDX-License-Identifier: GPL-2.0-only
/*
 * Books: what an interface's packets were counted in, by layout. A version of mxdp counts in the book of its own layout and
 * reads all of them; the truth is their sum, at any moment and whoever was killed when.
 */
#include <stdio.h>
#include <stdlib.h>
#include "dp_private.h"
#include "layout.h"

#define PAST "past"

struct book {
	struct layout l;
	struct dp_view cells, ports;
	uint32_t rows, port_rows;
	struct bpf_map_info cells_info;
};

static void book_close(struct book *b)
{
	view_unmap(&b->cells);
	view_unmap(&b->ports);
}
#define __cleanup_book __cleanup(book_close)

char *books_rel(const struct dp_dev *dev)
{
	return xasprintf("dev/%s/counts", dev->pin);
}

static char *own_rel(const struct dp_dev *dev)
{
	return xasprintf("dev/%s/counts/%s", dev->pin, layout_own()->id);
}

/* ---- reading ---- */

static int damaged(const struct datapath *dp, const char *rel, struct diag *d)
{
	diag_error(d, "%s/%s does not hold what mxdp keeps there; what was counted in it is lost: `rm -r %s/%s`", dp->root, rel,
		   dp->root, rel);
	return -EBADF;
}

static int part(const struct datapath *dp, const char *rel, const char *name, uint32_t value_size, struct bpf_map_info *info,
		struct dp_view *v, struct diag *d)
{
	__cleanup_free char *path = xasprintf("%s/%s", rel, name);
	__cleanup_close int fd = pin_get_map(dp, path, value_size, 0, info, d);
	int err;

	if (fd == -ENOENT)
		return damaged(dp, rel, d);
	if (fd < 0)
		return fd;
	err = view_map(v, fd, 0, (size_t)info->value_size * info->max_entries, false);
	if (err)
		diag_error(d, "cannot map %s/%s: %s", dp->root, path, strerror(-err));
	return err;
}

static int layout_view(const struct datapath *dp, const char *rel, struct dp_view *v, struct diag *d)
{
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, LAYOUT_PAGE, 0, &info, d);
	int err;

	if (fd < 0)
		return fd;
	err = view_map(v, fd, 0, LAYOUT_PAGE, false);
	if (err)
		diag_error(d, "cannot map %s/%s: %s", dp->root, rel, strerror(-err));
	return err;
}

int layout_pinned(const struct datapath *dp, const char *rel, struct layout *l, struct diag *d)
{
	__cleanup_view struct dp_view v = {};

	return layout_view(dp, rel, &v, d) ?: layout_read(l, v.p, v.len, d);
}

int layout_is_pinned(const struct datapath *dp, const char *rel, bool *own, struct diag *d)
{
	__cleanup_view struct dp_view v = {};
	int err = layout_view(dp, rel, &v, d);

	*own = !err && layout_same(v.p, v.len);
	return err;
}

static int book_load(const struct datapath *dp, const char *rel, struct book *b, struct diag *d)
{
	__cleanup_free char *layout = xasprintf("%s/layout", rel);
	struct bpf_map_info info;
	uint64_t rest;
	int err = layout_pinned(dp, layout, &b->l, d);

	if (err)
		return err == -ENOENT || err == -EBADMSG ? damaged(dp, rel, d) : err;
	err = part(dp, rel, "counters", b->l.count_size, &b->cells_info, &b->cells, d) ?:
	      part(dp, rel, "ports", b->l.port_size, &info, &b->ports, d);
	if (err)
		return err;
	rest = (uint64_t)b->l.moved_cells + b->l.tail_cells;
	if (b->cells_info.max_entries < rest + b->l.row_cells || (b->cells_info.max_entries - rest) % b->l.row_cells ||
	    !info.max_entries || info.max_entries % 65536)
		return damaged(dp, rel, d);
	b->rows = (b->cells_info.max_entries - rest) / b->l.row_cells;
	b->port_rows = info.max_entries / 65536;
	return 0;
}

static struct mxdp_count count_at(const char *at, uint32_t packets, uint32_t bytes)
{
	return (struct mxdp_count){
		.packets = *(const volatile uint64_t *)(const void *)(at + packets), .bytes = *(const volatile uint64_t *)(const void *)(at + bytes),
	};
}

static void add(struct mxdp_count *to, struct mxdp_count c)
{
	to->packets += c.packets;
	to->bytes += c.bytes;
}

/* By family, observed, reason. */
typedef struct mxdp_count service_counts[2][2][MXDP_REASON_SLOTS];

static void sum_reasons(const struct book *b, uint64_t cell, struct mxdp_count to[MXDP_REASON_SLOTS], bool *unknown)
{
	const struct layout *l = &b->l;

	for (uint32_t r = 0; r < l->reasons; r++) {
		struct mxdp_count c = count_at((const char *)b->cells.p + (cell + r) * l->count_size, l->count_packets, l->count_bytes);
		uint32_t as;

		if (!c.packets && !c.bytes)
			continue;
		as = layout_reason(l, r);
		*unknown |= as != r;
		add(&to[as], c);
	}
}

/* One row, into `to`; the row of what was moved has nothing to say of services that are ours as "other". */
static void sum_row(const struct book *b, uint64_t row, service_counts *to, bool moved, bool *unknown)
{
	const struct layout *l = &b->l;

	for (uint32_t s = moved; s < l->services && !(moved && s >= MXDP_SERVICES); s++) {
		for (unsigned int k = 0; k < 4; k++) {
			uint64_t cell = row * l->row_cells + (uint64_t)s * l->service_cells + (uint64_t)(k >> 1) * l->family_cells +
					(uint64_t)(k & 1) * l->observed_cells;

			sum_reasons(b, cell, to[s < MXDP_SERVICES ? s : 0][k >> 1][k & 1], unknown);
		}
	}
}

static void sum_knock(const struct layout *l, const char *p, unsigned int family, uint32_t at, uint32_t port, struct dp_sums *out)
{
	unsigned int reason = layout_reason(l, l->knocked_reason);
	struct mxdp_count c = count_at(p + at, l->port_packets, l->port_bytes);

	if (reason == MXDP_R_CLOSED) {
		add(&out->port[port].knocked[family], c);
		return;
	}
	out->unknown |= c.packets != 0;
	add(&out->port[port].dropped, c);
	add(&out->cell[0][family][0][reason], c);
}

static void sum_ports(const struct book *b, struct dp_sums *out)
{
	const struct layout *l = &b->l;

	for (uint64_t i = 0; i < b->port_rows * 65536ULL; i++) {
		const char *p = (const char *)b->ports.p + i * l->port_size;
		struct mxdp_port_count *to = &out->port[i & 65535];

		add(&to->passed, count_at(p + l->port_passed, l->port_packets, l->port_bytes));
		add(&to->dropped, count_at(p + l->port_dropped, l->port_packets, l->port_bytes));
		if (l->port_observed != LAYOUT_NONE)
			add(&to->observed, count_at(p + l->port_observed, l->port_packets, l->port_bytes));
		if (l->port_knocked4 != LAYOUT_NONE)
			sum_knock(l, p, 0, l->port_knocked4, i & 65535, out);
		if (l->port_knocked6 != LAYOUT_NONE)
			sum_knock(l, p, 1, l->port_knocked6, i & 65535, out);
	}
}

static void sum_book(const struct book *b, bool with_moved, struct dp_sums *out)
{
	for (uint32_t row = 0; row < b->rows; row++)
		sum_row(b, row, out->cell, false, &out->unknown);
	if (b->l.moved_cells && with_moved)
		sum_row(b, b->rows, out->moved, true, &out->unknown);
	sum_ports(b, out);
}

int books_sum(const struct datapath *dp, const struct dp_dev *dev, bool own_moved, struct dp_sums *out, struct diag *d)
{
	__cleanup_free char (*id)[IFNAMSIZ] = NULL;
	__cleanup_free char *dir = books_rel(dev);
	size_t n;
	int err = pin_names(dp, dir, &id, &n);

	memset(out, 0, sizeof(*out));
	if (err)
		diag_error(d, "cannot read %s/%s: %s", dp->root, dir, strerror(-err));
	for (size_t i = 0; !err && i < n; i++) {
		__cleanup_free char *rel = xasprintf("%s/%s", dir, id[i]);
		__cleanup_book struct book b = {};

		err = book_load(dp, rel, &b, d);
		if (!err)
			sum_book(&b, own_moved || strcmp(id[i], layout_own()->id), out);
	}
	return err;
}

bool books_frags(const struct datapath *dp, const struct dp_dev *dev, uint32_t prog_id, bool *frags)
{
	__cleanup_free char (*id)[IFNAMSIZ] = NULL;
	__cleanup_free char *dir = books_rel(dev);
	struct diag quiet = {};
	bool found = false;
	size_t n = 0;

	pin_names(dp, dir, &id, &n);
	for (size_t i = 0; i < n && !found; i++) {
		__cleanup_free char *rel = xasprintf("%s/%s", dir, id[i]);
		__cleanup_book struct book b = {};
		const char *tail, *p;

		if (book_load(dp, rel, &b, &quiet) || b.l.made_at == LAYOUT_NONE)
			continue;
		tail = (const char *)b.cells.p + (size_t)(b.cells_info.max_entries - b.l.tail_cells) * b.l.count_size;
		for (uint32_t k = 0; k < b.l.made_entries && !found; k++) {
			p = tail + b.l.made_at + (size_t)k * b.l.made_size;
			found = prog_id && *(const uint32_t *)(const void *)(p + b.l.made_prog) == prog_id;
			*frags = found && p[b.l.made_frags];
		}
	}
	diag_free(&quiet);
	return found;
}

/* ---- our own ---- */

/* Any of the two may be missing when somebody took a pin away. */
static int own_part(const struct datapath *dp, const char *rel, const char *name, uint32_t value_size, uint32_t entries, int *fd,
		    struct bpf_map_info *info, struct diag *d)
{
	__cleanup_free char *path = xasprintf("%s/%s", rel, name);
	int got = pin_get_map(dp, path, value_size, entries, info, d);

	if (got >= 0)
		*fd = got;
	return got == -ENOENT || got >= 0 ? 0 : got;
}

int book_open(const struct datapath *dp, struct dp_dev *dev, struct diag *d)
{
	__cleanup_free char *rel = own_rel(dev);
	struct bpf_map_info info;
	int err = own_part(dp, rel, "counters", sizeof(struct mxdp_count), 0, &dev->counters_fd, &info, d);

	if (err || dev->counters_fd < 0)
		return err;
	dev->rows = info.max_entries / MXDP_COUNTERS_PER_ROW - 1;
	if (!dev->rows || info.max_entries != DP_COUNTER_CELLS(dev->rows)) {
		diag_error(d, "%s/%s/counters has not the size mxdp gives it; take the filter off with `rm -r %s` (connections "
			      "stay), then `mxdp apply`", dp->root, rel, dp->root);
		return -EBADF;
	}
	return own_part(dp, rel, "ports", sizeof(struct mxdp_port_count), dev->rows * 65536, &dev->ports_fd, &info, d);
}

int layout_pin(const struct datapath *dp, const char *rel, struct diag *d)
{
	__cleanup_close int fd = map_make("layout", LAYOUT_PAGE, 1, d);
	__cleanup_view struct dp_view v = {};
	int err;

	if (fd < 0)
		return fd;
	err = view_map(&v, fd, 0, LAYOUT_PAGE, true);
	if (err) {
		diag_error(d, "cannot map the description of the maps: %s", strerror(-err));
		return err;
	}
	memcpy(v.p, layout_text(), strlen(layout_text()));
	return pin_put(dp, fd, rel, d);
}

static int book_pins(const struct datapath *dp, const char *rel, int counters_fd, int ports_fd, struct diag *d)
{
	__cleanup_free char *layout = xasprintf("%s/layout", rel);
	__cleanup_free char *counters = xasprintf("%s/counters", rel);
	__cleanup_free char *ports = xasprintf("%s/ports", rel);

	return pin_mkdir(dp, rel, d) ?: layout_pin(dp, layout, d) ?: pin_put(dp, counters_fd, counters, d) ?:
	       pin_put(dp, ports_fd, ports, d);
}

/* All of it in one rename, so that nobody ever meets half a book. */
int book_make(struct datapath *dp, struct dp_dev *dev, uint32_t rows, struct diag *d)
{
	__cleanup_free char *rel = own_rel(dev);
	__cleanup_free char *dir = books_rel(dev);

	mx_close(&dev->counters_fd);
	mx_close(&dev->ports_fd);
	dev->ports_fd = -1;
	dev->rows = rows;
	dev->counters_fd = map_make("counters", sizeof(struct mxdp_count), DP_COUNTER_CELLS(rows), d);
	if (dev->counters_fd < 0)
		return dev->counters_fd;
	dev->ports_fd = map_make("ports", sizeof(struct mxdp_port_count), rows * 65536u, d);
	if (dev->ports_fd < 0)
		return dev->ports_fd;
	pin_remove(dp, rel);
	return pin_mkdir(dp, dir, d) ?: book_pins(dp, "next/book", dev->counters_fd, dev->ports_fd, d) ?:
	       pin_rename(dp, "next/book", rel, d);
}

/* ---- folding: the books that nobody counts in any more become one ---- */

static int past_write(int counters_fd, int ports_fd, const struct dp_sums *s)
{
	__cleanup_view struct dp_view cells = {};
	__cleanup_view struct dp_view ports = {};
	struct mxdp_count *c;
	int err = view_map(&cells, counters_fd, 0, (size_t)DP_COUNTER_CELLS(1) * sizeof(*c), true) ?:
		  view_map(&ports, ports_fd, 0, sizeof(s->port), true);

	if (err)
		return err;
	c = cells.p;
	for (uint32_t i = 0; i < MXDP_SERVICES * 4 * MXDP_REASON_SLOTS; i++) {
		uint32_t r = i % MXDP_REASON_SLOTS, o = i / MXDP_REASON_SLOTS & 1, f = i / MXDP_REASON_SLOTS >> 1 & 1,
			 service = i / MXDP_REASON_SLOTS / 4;

		c[MXDP_COUNTER(0, service, f, o, r)] = s->cell[service][f][o][r];
		c[MXDP_COUNTER(1, service, f, o, r)] = s->moved[service][f][o][r];
	}
	memcpy(ports.p, s->port, sizeof(s->port));
	return 0;
}

static int past_make(struct datapath *dp, const char *rel, const struct dp_sums *s, struct diag *d)
{
	__cleanup_close int counters = map_make("counters", sizeof(struct mxdp_count), DP_COUNTER_CELLS(1), d);
	__cleanup_close int ports = counters < 0 ? counters : map_make("ports", sizeof(struct mxdp_port_count), 65536, d);
	int err = ports < 0 ? ports : past_write(counters, ports, s);

	if (err && ports >= 0)
		diag_error(d, "cannot write down what was counted before: %s", strerror(-err));
	return err ?: book_pins(dp, rel, counters, ports, d);
}

/* The same maps, pinned a second time. */
static int book_copy(struct datapath *dp, const char *from, const char *to, struct diag *d)
{
	static const char *const name[] = { "layout", "counters", "ports" };
	int err = pin_mkdir(dp, to, d);

	for (size_t i = 0; !err && i < sizeof(name) / sizeof(*name); i++) {
		__cleanup_free char *old = xasprintf("%s/%s", from, name[i]);
		__cleanup_free char *new = xasprintf("%s/%s", to, name[i]);
		__cleanup_close int fd = pin_get(dp, old, d);

		err = fd < 0 ? fd : pin_put(dp, fd, new, d);
	}
	return err;
}

static void sums_add(struct dp_sums *to, const struct dp_sums *s)
{
	struct mxdp_count *a = (void *)to;
	const struct mxdp_count *b = (const void *)s;

	for (size_t i = 0; i < offsetof(struct dp_sums, unknown) / sizeof(*a); i++)
		add(&a[i], b[i]);
}

/* Adds a book to the sums, or, when it holds what this version has no name for, keeps it as it is. */
static int fold_one(struct datapath *dp, const char *rel, const char *id, struct dp_sums *all, struct dp_sums *one, size_t *folded,
		    struct diag *d)
{
	__cleanup_book struct book b = {};
	__cleanup_free char *to = xasprintf("next/fold/%s", id);
	int err;

	if (!strcmp(id, layout_own()->id))
		return book_copy(dp, rel, to, d);
	err = book_load(dp, rel, &b, d);
	if (err)
		return err;
	memset(one, 0, sizeof(*one));
	sum_book(&b, true, one);
	if (one->unknown)
		return book_copy(dp, rel, to, d);
	sums_add(all, one);
	*folded += strcmp(id, PAST) || strcmp(b.l.id, layout_own()->id);
	return 0;
}

static int fold_swap(struct datapath *dp, const char *dir, const struct dp_sums *all, struct diag *d)
{
	__cleanup_free char *past = xstrdup("next/fold/" PAST);
	int err;

	for (unsigned int i = 2; pin_exists(dp, past); i++) {
		free(past);
		past = xasprintf("next/fold/" PAST "%u", i);
	}
	err = past_make(dp, past, all, d);
	if (err)
		return err;
	err = renameat2(dp->dir, "next/fold", dp->dir, dir, RENAME_EXCHANGE) ? -errno : 0;
	if (err)
		diag_error(d, "cannot put what was counted before in one place in %s/%s: %s", dp->root, dir, strerror(-err));
	return err;
}

static int fold_books(struct datapath *dp, const char *dir, const char (*id)[IFNAMSIZ], size_t n, struct diag *d)
{
	__cleanup_free struct dp_sums *all = xcalloc(1, sizeof(*all));
	__cleanup_free struct dp_sums *one = xcalloc(1, sizeof(*one));
	size_t folded = 0;
	int err = pin_mkdir(dp, "next/fold", d);

	for (size_t i = 0; !err && i < n; i++) {
		__cleanup_free char *rel = xasprintf("%s/%s", dir, id[i]);

		err = fold_one(dp, rel, id[i], all, one, &folded, d);
	}
	if (!err && folded)
		err = fold_swap(dp, dir, all, d);
	pin_remove(dp, "next/fold");
	return err;
}

/* Our own, and at most one beside it that is written as we would: nothing to do. */
static bool is_folded(const struct datapath *dp, const char *dir, const char (*id)[IFNAMSIZ], size_t n)
{
	__cleanup_free char *layout = xasprintf("%s/" PAST "/layout", dir);
	struct diag quiet = {};
	struct layout l;
	bool past = false, other = false;

	for (size_t i = 0; i < n; i++)
		if (!strcmp(id[i], PAST))
			past = true;
		else
			other |= strcmp(id[i], layout_own()->id) != 0;
	if (past && !other)
		other = layout_pinned(dp, layout, &l, &quiet) || strcmp(l.id, layout_own()->id);
	diag_free(&quiet);
	return !other;
}

static int fold_dev(struct datapath *dp, const char *name, struct diag *d)
{
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	__cleanup_free char (*id)[IFNAMSIZ] = NULL;
	__cleanup_free char *dir = NULL;
	size_t n = 0;
	int err = dev_open(dp, name, &dev, d);

	if (err)
		return err;
	dir = books_rel(&dev);
	err = pin_names(dp, dir, &id, &n);
	/* an interface whose program is not known to be ours may count anywhere */
	if (!err && dev.link_ifindex && (dev.prog_fd < 0 || dev.link_prog_id != dev.prog_id))
		return 0;
	if (err || is_folded(dp, dir, (const char (*)[IFNAMSIZ])id, n))
		return err;
	err = grace_ask() ?: work_begin(dp, d);
	if (!err)
		err = fold_books(dp, dir, (const char (*)[IFNAMSIZ])id, n, d);
	work_end(dp);
	return err;
}

void books_fold(struct datapath *dp)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	struct diag quiet = {};
	size_t n = 0;

	dev_names(dp, &name, &n, &quiet);
	for (size_t i = 0; i < n; i++)
		fold_dev(dp, name[i], &quiet);
	diag_free(&quiet);
}
