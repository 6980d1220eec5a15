// SPDX-License-Identifier: GPL-2.0-only
/* What a bank was compiled from, kept beside it: the rules, their lists, and the edits since. And the edits themselves. */
#include <dirent.h>
#include <stdlib.h>
#include "dp_private.h"

char *bank_pin(const char *dir, const char *what, uint32_t bank)
{
	return xasprintf("%s/%s%u", dir, what, bank);
}

static int cannot(const struct datapath *dp, const char *how, const char *rel, int err, struct diag *d)
{
	diag_error(d, "cannot %s %s/%s: %s; the policy in force stays", how, dp->root, rel, strerror(-err));
	return err;
}

/* ---- where things lie in frozenN ---- */

struct frozen {
	struct dp_frozen_head *head;
	uint64_t *pack; /* numbers of the lists, under lists/ */
	struct dp_undo *undo;
	struct list_edit *log;
	void *blob;
	size_t size; /* of all of it */
};

static bool frozen_parts(struct frozen *f, struct dp_frozen_head *head, size_t room)
{
	uint64_t size = sizeof(*head) + 8ULL * head->npacks + sizeof(*f->undo) * (uint64_t)head->undo_room +
			sizeof(*f->log) * (uint64_t)head->log_room;

	f->head = head;
	f->pack = (uint64_t *)(head + 1);
	f->undo = (struct dp_undo *)(f->pack + head->npacks);
	f->log = (struct list_edit *)(f->undo + head->undo_room);
	f->blob = f->log + head->log_room;
	f->size = size + head->len;
	return size <= room && head->len <= room - size;
}

/* Only what has lists can be edited; a full log costs a compilation of the whole. */
static struct dp_frozen_head head_for(const struct image *img, uint32_t epoch)
{
	bool large = img->nprefixes > 50000;

	return (struct dp_frozen_head){
		.magic = DP_FROZEN_MAGIC, .epoch = epoch, .len = img->nfrozen, .npacks = img->npacks,
		.undo_room = img->nlists ? 512 : 0, .log_room = !img->nlists ? 0 : large ? 8192 : 256,
	};
}

/* ---- lists ---- */

static char *pack_pin(const char *dir, uint64_t id)
{
	return xasprintf("%s/lists/%llx", dir, (unsigned long long)id);
}

/* Numbers of all packs that are pinned in `in`, now or next. Malloc'd. */
static uint64_t *pack_ids(const struct datapath *dp, const char *in, size_t *n)
{
	__cleanup_free char *rel = xasprintf("%s/lists", in);
	int fd = openat(dp->dir, rel, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	uint64_t *v = NULL;
	struct dirent *e;

	*n = 0;
	if (!dir) {
		mx_close(&fd);
		return NULL;
	}
	while ((e = readdir(dir))) {
		char *end;
		uint64_t id = strtoull(e->d_name, &end, 16);

		if (*end || !id)
			continue;
		v = xrealloc(v, (*n + 1) * sizeof(*v));
		v[(*n)++] = id;
	}
	closedir(dir);
	return v;
}

static int pack_map(const struct datapath *dp, const char *dir, uint64_t id, struct dp_view *v, struct diag *d)
{
	__cleanup_free char *rel = pack_pin(dir, id);
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, DP_PAGE, 0, &info, d);
	int err = fd < 0 ? fd : view_map(v, fd, 0, (size_t)info.max_entries * DP_PAGE, false);

	return err && err != -ENOENT && fd >= 0 ? cannot(dp, "map", rel, err, d) : err;
}

static bool pack_same(const struct datapath *dp, const char *dir, uint64_t id, const struct image_pack *p)
{
	__cleanup_view struct dp_view v = {};
	struct diag quiet = {};
	int err = pack_map(dp, dir, id, &v, &quiet);

	diag_free(&quiet);
	return !err && v.len >= p->len && !memcmp(v.p, p->p, p->len);
}

static int pack_make(struct datapath *dp, const char *rel, const struct image_pack *p, struct diag *d)
{
	uint32_t pages = (p->len + DP_PAGE - 1) / DP_PAGE;
	__cleanup_close int fd = map_make("list", DP_PAGE, pages, d);
	__cleanup_view struct dp_view v = {};
	int err = fd < 0 ? fd : view_map(&v, fd, 0, (size_t)pages * DP_PAGE, true);

	if (fd >= 0 && err)
		return cannot(dp, "write", rel, err, d);
	if (err)
		return err;
	memcpy(v.p, p->p, p->len);
	return pin_put(dp, fd, rel, d);
}

/* The one in `dir` that says the same; 0: none. `last`: the highest number there. */
static uint64_t pack_find(const struct datapath *dp, const char *dir, const struct image_pack *p, uint64_t *last)
{
	uint64_t found = 0;
	size_t n;
	__cleanup_free uint64_t *v = pack_ids(dp, dir, &n);

	*last = 0;
	for (size_t i = 0; i < n; i++) {
		if (v[i] > *last)
			*last = v[i];
		if (!found && pack_same(dp, dir, v[i], p))
			found = v[i];
	}
	return found;
}

static int pack_lend(struct datapath *dp, uint64_t from, uint64_t to, struct diag *d)
{
	__cleanup_free char *now = pack_pin("now", from), *next = pack_pin("next", to);
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, now, DP_PAGE, 0, &info, d);

	return fd < 0 ? fd : pin_put(dp, fd, next, d);
}

/* A list that is as it was lies there already. What nobody needs any more packs_tidy() removes. */
static int pack_store(struct datapath *dp, const char *dir, const struct image_pack *p, uint64_t *id, struct diag *d)
{
	__cleanup_free char *lists = xasprintf("%s/lists", dir), *rel = NULL;
	uint64_t last, other, had;
	int err = pin_mkdir(dp, lists, d);

	if (err)
		return err;
	*id = pack_find(dp, dir, p, &last);
	if (*id)
		return 0;
	*id = last + 1;
	had = strcmp(dir, "now") ? pack_find(dp, "now", p, &other) : 0;
	if (had)
		return pack_lend(dp, had, *id, d);
	rel = pack_pin(dir, *id);
	return pack_make(dp, rel, p, d);
}

int packs_share(struct datapath *dp, struct diag *d)
{
	size_t n;
	__cleanup_free uint64_t *id = pack_ids(dp, "now", &n);
	int err = n ? pin_mkdir(dp, "next/lists", d) : 0;

	for (size_t i = 0; i < n && !err; i++)
		err = pack_lend(dp, id[i], id[i], d);
	return err;
}

/* ---- writing ---- */

uint32_t pages_for(size_t len)
{
	uint32_t need = (len + DP_PAGE - 1) / DP_PAGE, pages = 1;

	while (pages < need)
		pages *= 2;
	return pages;
}

static int frozen_fill(int fd, uint32_t pages, const struct image *img, const struct dp_frozen_head *head, const uint64_t *id)
{
	__cleanup_view struct dp_view v = {};
	struct frozen f;
	int err = view_map(&v, fd, 0, (size_t)pages * DP_PAGE, true);

	if (err)
		return err;
	*(struct dp_frozen_head *)v.p = *head;
	frozen_parts(&f, v.p, v.len);
	if (img->npacks)
		memcpy(f.pack, id, img->npacks * sizeof(*id));
	if (img->nfrozen)
		memcpy(f.blob, img->frozen, img->nfrozen);
	return 0;
}

int pages_get(struct datapath *dp, const char *rel, uint32_t *pages, struct diag *d)
{
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, DP_PAGE, 0, &info, d);
	int err;

	if (fd >= 0 && info.max_entries >= *pages && info.max_entries <= *pages * 4) {
		*pages = info.max_entries;
		return fd_dup(fd);
	}
	if (fd < 0 && fd != -ENOENT)
		return fd;
	mx_close(&fd);
	fd = map_make("frozen", DP_PAGE, *pages, d);
	if (fd < 0)
		return fd;
	err = work_begin(dp, d) ?: pin_replace(dp, fd, rel, d);
	if (strncmp(rel, "next/", 5))
		work_end(dp);
	return err ?: fd_dup(fd);
}

int frozen_write(struct datapath *dp, const char *dir, const struct image *img, uint32_t epoch, struct diag *d)
{
	__cleanup_free char *rel = bank_pin(dir, "frozen", epoch & 1);
	__cleanup_free uint64_t *id = xcalloc(img->npacks, sizeof(*id));
	struct dp_frozen_head head = head_for(img, epoch);
	__cleanup_close int fd = -1;
	struct frozen f;
	uint32_t pages;
	int err = 0;

	for (size_t i = 0; i < img->npacks && !err; i++)
		err = pack_store(dp, dir, &img->packs[i], &id[i], d);
	if (err)
		return err;
	frozen_parts(&f, &head, 0);
	pages = pages_for(f.size);
	fd = pages_get(dp, rel, &pages, d);
	if (fd < 0)
		return fd;
	err = frozen_fill(fd, pages, img, &head, id);
	return err ? cannot(dp, "write", rel, err, d) : 0;
}

/* ---- reading ---- */

int frozen_damaged(const struct datapath *dp, const char *rel, struct diag *d)
{
	diag_error(d, "%s/%s does not belong to the policy in force: somebody else wrote there; `mxdp apply` mends it",
		   dp->root, rel);
	return -EBADMSG;
}

static int frozen_map(const struct datapath *dp, uint32_t bank, bool writable, struct dp_view *v, struct frozen *f, struct diag *d)
{
	__cleanup_free char *rel = bank_pin("now", "frozen", bank);
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, DP_PAGE, 0, &info, d);
	const struct dp_frozen_head *head;
	int err;

	if (fd == -ENOENT)
		return frozen_damaged(dp, rel, d);
	if (fd < 0)
		return fd;
	err = view_map(v, fd, 0, (size_t)info.max_entries * DP_PAGE, writable);
	if (err)
		return cannot(dp, "map", rel, err, d);
	head = v->p;
	/* an epoch that ended a trial has the bank of another, filled earlier; and edits leave the bank */
	if (head->magic != DP_FROZEN_MAGIC || (head->epoch & 1) != bank || !frozen_parts(f, v->p, v->len) ||
	    (uint32_t)head->log > head->log_room)
		return frozen_damaged(dp, rel, d);
	return 0;
}

/* Packs stay mapped while dp is open. */
static int pack_open(struct datapath *dp, uint64_t id, const struct listpack **out, struct diag *d)
{
	__cleanup_free char *rel = pack_pin("now", id);
	struct dp_view v = {};
	int err = pack_map(dp, "now", id, &v, d);

	if (!err && !listpack_whole(v.p, v.len)) {
		view_unmap(&v);
		err = -ENOENT;
	}
	if (err)
		return err == -ENOENT ? frozen_damaged(dp, rel, d) : err;
	dp->packs = xrealloc(dp->packs, (dp->npacks + 1) * sizeof(*dp->packs));
	dp->packs[dp->npacks++] = v;
	*out = v.p;
	return 0;
}

int dp_kept(struct datapath *dp, struct kept_rules *k, struct diag *d)
{
	__cleanup_view struct dp_view v = {};
	struct frozen f;
	int err;

	*k = (struct kept_rules){ 0 };
	if (!dp->have && !dp->other)
		return -ENODATA;
	err = frozen_map(dp, (dp->other ? other_epoch(dp) : dp_epoch(dp)) & 1, false, &v, &f, d);
	if (err)
		return err;
	k->packs = xcalloc(f.head->npacks, sizeof(*k->packs));
	for (uint32_t i = 0; i < f.head->npacks && !err; i++, k->npacks++)
		err = pack_open(dp, f.pack[i], &k->packs[i], d);
	if (err) {
		kept_rules_free(k);
		return err;
	}
	k->len = f.head->len;
	k->blob = xmalloc(k->len);
	memcpy(k->blob, f.blob, k->len);
	k->nedits = (uint32_t)f.head->log;
	k->edits = xmalloc(k->nedits * sizeof(*k->edits));
	memcpy(k->edits, f.log, k->nedits * sizeof(*k->edits));
	return 0;
}

int dp_frozen(struct datapath *dp, void **blob, size_t *len, struct diag *d)
{
	struct kept_rules k;
	int err = dp_kept(dp, &k, d);

	if (err)
		return err;
	if (k.npacks || k.nedits) {
		*blob = rules_whole(&k, len, d);
		err = *blob ? 0 : -EBADMSG;
	} else {
		*blob = take(k.blob);
		*len = k.len;
	}
	kept_rules_free(&k);
	return err;
}

/* ---- lists that nobody needs any more ---- */

static bool speaks_of(const struct frozen *f, uint64_t id)
{
	for (uint32_t i = 0; i < f->head->npacks; i++)
		if (f->pack[i] == id)
			return true;
	return false;
}

void packs_tidy(struct datapath *dp)
{
	__cleanup_view struct dp_view v0 = {}, v1 = {};
	struct dp_view *const v[2] = { &v0, &v1 };
	struct diag quiet = {};
	struct frozen f[2];
	bool known[2];
	int err = 0;
	size_t n;
	__cleanup_free uint64_t *id = pack_ids(dp, "now", &n);

	if (!n)
		return;
	/* the bank before is spoken for as long as there is a way back to it */
	for (uint32_t bank = 0; bank < 2 && (!err || err == -EBADMSG); bank++) {
		err = frozen_map(dp, bank, false, v[bank], &f[bank], &quiet);
		known[bank] = !err && (bank == (dp_epoch(dp) & 1) || trial_running(dp));
	}
	diag_free(&quiet);
	/* a bank that was never filled speaks of none; one that cannot be looked into may speak of all */
	if (err && err != -EBADMSG)
		return;
	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *rel = pack_pin("now", id[i]);

		if (!(known[0] && speaks_of(&f[0], id[i])) && !(known[1] && speaks_of(&f[1], id[i])))
			pin_remove(dp, rel);
	}
}

uint64_t packs_memory(struct datapath *dp)
{
	uint64_t sum = 0;
	size_t n;
	__cleanup_free uint64_t *id = pack_ids(dp, "now", &n);

	for (size_t i = 0; i < n; i++) {
		__cleanup_free char *rel = pack_pin("now", id[i]);

		sum += pin_memory(dp, rel);
	}
	return sum;
}

/* ---- edits ---- */

static void no_step(const char *name)
{
	(void)name;
}

void (*dp_edit_step)(const char *name) = no_step;

struct editing {
	struct dp_view frozen, banks, trie, state;
	struct frozen f;
	struct mxdp_bank *bank;
	struct mxdp_state *st;
};

static void editing_end(struct editing *e)
{
	view_unmap(&e->frozen);
	view_unmap(&e->banks);
	view_unmap(&e->trie);
	view_unmap(&e->state);
}

static int editing_begin(const struct datapath *dp, struct editing *e, struct diag *d)
{
	uint32_t bank;
	int err = view_map(&e->state, dp->now.state_fd, 0, DP_PAGE, true);

	if (err)
		return cannot(dp, "map", "now/state", err, d);
	e->st = e->state.p;
	bank = e->st->epoch & 1;
	err = view_map(&e->banks, dp->now.banks_fd, 0, 2 * sizeof(struct mxdp_bank), true);
	if (err)
		return cannot(dp, "map", "now/banks", err, d);
	e->bank = (struct mxdp_bank *)e->banks.p + bank;
	return frozen_map(dp, bank, true, &e->frozen, &e->f, d);
}

static void store_cell(struct mxdp_bank *b, uint32_t at, uint32_t cell)
{
	uint32_t *to = at < 65536 ? &b->dir4[at] : &b->dir6[(at - 65536) & 0xffff];

	__atomic_store_n(to, cell, __ATOMIC_RELEASE);
}

/*
 * Every lease void, and the epoch as it is: a trial would end with it. Where loads pass each other, a lease may still be
 * granted by a cell of before under the number of now; it ends within its second.
 */
static void void_leases(struct mxdp_state *st)
{
	__atomic_fetch_add(&st->voided, 1, __ATOMIC_SEQ_CST);
}

static bool half_made(const struct frozen *f)
{
	return f->head->log >> 32;
}

/* What cannot be read will be complained of by who needs it. */
bool edit_half_made(const struct datapath *dp)
{
	__cleanup_view struct dp_view v = {};
	struct diag quiet = {};
	struct frozen f;
	bool half = dp->have && !frozen_map(dp, dp_epoch(dp) & 1, false, &v, &f, &quiet) && half_made(&f);

	diag_free(&quiet);
	return half;
}

void edit_undo(const struct datapath *dp)
{
	struct editing e __cleanup(editing_end) = {};
	struct diag quiet = {};
	uint32_t n;

	if (!edit_half_made(dp) || editing_begin(dp, &e, &quiet) || leases_wipe(dp, &quiet)) {
		diag_free(&quiet);
		return;
	}
	n = e.f.head->log >> 32;
	for (uint32_t i = 0; i < n && i < e.f.head->undo_room; i++)
		store_cell(e.bank, e.f.undo[i].at, e.f.undo[i].was);
	void_leases(e.st);
	__atomic_store_n(&e.f.head->log, (uint64_t)(uint32_t)e.f.head->log, __ATOMIC_SEQ_CST);
}

/*
 * Until the last store of the log's word the edit is not made: whoever finds its upper half set puts the cells back. Leases
 * are void before that store, and after the cells.
 */
static void publish(struct editing *e, const struct dir_change *v, size_t n, const struct list_edit *log, size_t nlog)
{
	struct frozen *f = &e->f;
	uint32_t before = f->head->log;

	for (size_t i = 0; i < n; i++)
		f->undo[i] = (struct dp_undo){ v[i].at, v[i].was };
	memcpy(f->log + before, log, nlog * sizeof(*log));
	dp_edit_step("written");
	__atomic_store_n(&f->head->log, (uint64_t)n << 32 | before, __ATOMIC_SEQ_CST);
	dp_edit_step("begun");
	for (size_t i = 0; i < n; i++) {
		store_cell(e->bank, v[i].at, v[i].is);
		dp_edit_step("a cell stored");
	}
	void_leases(e->st);
	dp_edit_step("leases void");
	__atomic_store_n(&f->head->log, before + nlog, __ATOMIC_SEQ_CST);
	dp_edit_step("done");
}

static int edit(struct datapath *dp, struct editing *e, struct image_edit *what, const struct list_edit *log, size_t nlog,
		struct diag *d)
{
	__cleanup_free struct dir_change *v = xmalloc(e->f.head->undo_room * sizeof(*v));
	uint32_t half = dp->now.trie_lines / 2;
	struct class_bank to = { .bank = e->bank, .nlines = half };
	size_t n;
	int err;

	if (nlog > e->f.head->log_room - (uint32_t)e->f.head->log)
		return -ENOSPC;
	/* the lines of a bank begin where it says */
	err = view_map(&e->trie, dp->now.trie_fd, (size_t)e->bank->trie_first * sizeof(union mxdp_line),
		       (size_t)half * sizeof(union mxdp_line), true);
	if (err)
		return cannot(dp, "map", "now/trie", err, d);
	to.lines = e->trie.p;
	err = classtable_edit(&to, what, v, e->f.head->undo_room, &n);
	if (err)
		return err;
	err = leases_wipe(dp, d);
	if (err)
		return err;
	publish(e, v, n, log, nlog);
	return 0;
}

int dp_edit(struct datapath *dp, struct image_edit *what, const struct list_edit *log, size_t nlog, struct diag *d)
{
	struct editing e __cleanup(editing_end) = {};
	int err = dp->have ? dp_change_allowed(dp, d) : -ENODATA;

	if (err)
		return err;
	err = editing_begin(dp, &e, d);
	if (!err && half_made(&e.f)) {
		diag_error(d, "an edit of a list that was cut off could not be taken back, for want of memory perhaps; `mxdp apply` puts "
			      "the whole in force");
		err = -EBUSY;
	}
	return err ?: edit(dp, &e, what, log, nlog, d);
}
