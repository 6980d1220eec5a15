// SPDX-License-Identifier: GPL-2.0-only
/*
 * The table of bans: see mxdp/bans.h. A change maps the pages it touches and no more, so that one ban costs the same in
 * an empty table and in one of a million.
 */
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>
#include "dp_private.h"

struct dp_bans {
	struct datapath *dp;
	uint32_t nlines;
	uint64_t now_ns;
	struct dp_window lines, records, head, texts;
	struct dp_classes *classes; /* opened when asked */
	bool many, writable;
	bool changed;
	bool lifted;
};

static struct mxdp_ban_line *line_at(struct dp_bans *t, uint32_t line)
{
	return window_at(&t->lines, (size_t)line * sizeof(struct mxdp_ban_line), sizeof(struct mxdp_ban_line));
}

static struct mxdp_banned *record_at(struct dp_bans *t, uint32_t i)
{
	return window_at(&t->records, (size_t)i * sizeof(struct mxdp_banned), sizeof(struct mxdp_banned));
}

static struct mxdp_ban_head *head_of(struct dp_bans *t)
{
	return t->head.v.p;
}

static struct mxdp_ban_text *text_at(struct dp_bans *t, uint32_t nr)
{
	return window_at(&t->texts, (size_t)nr * sizeof(struct mxdp_ban_text), sizeof(struct mxdp_ban_text));
}

#define BAN_LINE(t, line) line_at(t, line)
#define BAN_RECORD(t, i) record_at(t, i)
#define BAN_HEAD(t) head_of(t)
#include <mxdp/ban_put.h>

static uint64_t boottime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* ---- tables of a generation ---- */

static void text_store(struct mxdp_ban_text *t, enum mxdp_ban_text_kind kind, uint32_t hash, const void *bytes, size_t len)
{
	memset(t->text, 0, sizeof(t->text));
	memcpy(t->text, bytes, len);
	t->len = kind == MXDP_BAN_PORTS ? len / sizeof(t->range[0]) : len;
	t->hash = hash;
	__atomic_store_n(&t->kind, kind, __ATOMIC_RELEASE);
}

static uint32_t text_hash(enum mxdp_ban_text_kind kind, const void *bytes, size_t len)
{
	const unsigned char *p = bytes;
	uint32_t h = 2166136261u + kind;

	for (size_t i = 0; i < len; i++)
		h = (h ^ p[i]) * 16777619u;
	return h ^ h >> 15;
}

/* What automatic bans are called. */
static const struct {
	uint32_t nr;
	enum mxdp_ban_text_kind kind;
	const char *text;
} fixed_texts[] = {
	{ MXDP_BAN_OWNER_LIMIT, MXDP_BAN_OWNER, "limit" },
	{ MXDP_BAN_REASON_LIMIT, MXDP_BAN_REASON, "over its limit" },
};
#define NFIXED (sizeof(fixed_texts) / sizeof(*fixed_texts))

static int head_begin(const struct dp_generation *g)
{
	__cleanup_view struct dp_view head = {};
	__cleanup_view struct dp_view texts = {};
	struct mxdp_ban_head *h;
	int err = view_map(&head, g->ban_head_fd, 0, DP_PAGE, true) ?: view_map(&texts, g->ban_texts_fd, 0, DP_PAGE, true);

	if (err)
		return err;
	h = head.p;
	if (getrandom(h->key, sizeof(h->key), 0) != sizeof(h->key))
		return -EIO;
	for (size_t i = 0; i < NFIXED; i++)
		text_store((struct mxdp_ban_text *)texts.p + fixed_texts[i].nr, fixed_texts[i].kind,
			   text_hash(fixed_texts[i].kind, fixed_texts[i].text, strlen(fixed_texts[i].text)), fixed_texts[i].text,
			   strlen(fixed_texts[i].text));
	return 0;
}

static int tables_make(struct dp_generation *g, uint32_t lines, struct diag *d)
{
	g->ban_lines = lines;
	g->bans_fd = map_make("bans", sizeof(struct mxdp_ban_line), lines, d);
	g->banned_fd = g->bans_fd < 0 ? g->bans_fd :
		       map_make("banned", sizeof(struct mxdp_banned), lines * MXDP_BAN_WAYS, d);
	return g->banned_fd < 0 ? g->banned_fd : 0;
}

static int tables_begin(struct dp_generation *g, uint32_t lines, struct diag *d)
{
	int err = tables_make(g, lines, d);

	if (err)
		return err;
	g->ban_head_fd = map_make("ban_head", sizeof(struct mxdp_ban_head), 1, d);
	g->ban_texts_fd = g->ban_head_fd < 0 ? g->ban_head_fd :
			  map_make("ban_texts", sizeof(struct mxdp_ban_text), MXDP_BAN_TEXTS, d);
	if (g->ban_texts_fd < 0)
		return g->ban_texts_fd;
	err = head_begin(g);
	if (err)
		diag_error(d, "cannot begin the table of bans: %s; nothing was changed", strerror(-err));
	return err;
}

static int share_fd(int *to, int from)
{
	*to = fd_dup(from);
	return *to < 0 ? *to : 0;
}

int bans_make(const struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	if (!dp->have) {
		uint32_t lines = dp->other ? other_ban_room(dp) / MXDP_BAN_WAYS : 0;

		return tables_begin(g, lines < DP_BAN_LINES(DP_BANS) ? DP_BAN_LINES(DP_BANS) :
				       lines > DP_MAX_BAN_LINES ? DP_MAX_BAN_LINES : lines, d);
	}
	g->ban_lines = dp->now.ban_lines;
	return share_fd(&g->bans_fd, dp->now.bans_fd) ?: share_fd(&g->banned_fd, dp->now.banned_fd) ?:
	       share_fd(&g->ban_head_fd, dp->now.ban_head_fd) ?: share_fd(&g->ban_texts_fd, dp->now.ban_texts_fd);
}

int bans_open(struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	struct bpf_map_info info;

	g->bans_fd = pin_get_map(dp, "now/bans", sizeof(struct mxdp_ban_line), 0, &info, d);
	if (g->bans_fd < 0)
		return g->bans_fd;
	g->ban_lines = info.max_entries;
	g->banned_fd = pin_get_map(dp, "now/banned", sizeof(struct mxdp_banned), info.max_entries * MXDP_BAN_WAYS, &info, d);
	if (g->banned_fd < 0)
		return g->banned_fd;
	g->ban_head_fd = pin_get_map(dp, "now/banhead", sizeof(struct mxdp_ban_head), 1, &info, d);
	if (g->ban_head_fd < 0)
		return g->ban_head_fd;
	g->ban_texts_fd = pin_get_map(dp, "now/bantexts", sizeof(struct mxdp_ban_text), MXDP_BAN_TEXTS, &info, d);
	return g->ban_texts_fd < 0 ? g->ban_texts_fd : 0;
}

int bans_pin(const struct datapath *dp, const struct dp_generation *g, struct diag *d)
{
	return pin_put(dp, g->bans_fd, "next/bans", d) ?: pin_put(dp, g->banned_fd, "next/banned", d) ?:
	       pin_put(dp, g->ban_head_fd, "next/banhead", d) ?: pin_put(dp, g->ban_texts_fd, "next/bantexts", d);
}

void bans_note(const struct dp_generation *g)
{
	__cleanup_view struct dp_view v = {};
	const struct mxdp_ban_head *h;

	if (view_map(&v, g->ban_head_fd, 0, DP_PAGE, false)) {
		__atomic_store_n(&g->state->bans, 1, __ATOMIC_SEQ_CST); /* looking in vain harms nobody */
		return;
	}
	h = v.p;
	if (h->lengths[0] || h->lengths[1])
		__atomic_store_n(&g->state->bans, 1, __ATOMIC_SEQ_CST);
}

/* ---- open, close ---- */

static int table_open(struct dp_bans *t, const struct dp_generation *g, struct diag *d)
{
	size_t lines = g->ban_lines;

	t->nlines = g->ban_lines;
	t->lines = (struct dp_window){ .fd = g->bans_fd, .total = lines * sizeof(struct mxdp_ban_line),
				       .writable = t->writable, .whole = t->many };
	t->records = (struct dp_window){ .fd = g->banned_fd, .total = lines * MXDP_BAN_WAYS * sizeof(struct mxdp_banned),
					 .writable = t->writable, .whole = t->many };
	t->head = (struct dp_window){ .fd = g->ban_head_fd, .total = DP_PAGE, .writable = t->writable };
	t->texts = (struct dp_window){ .fd = g->ban_texts_fd, .total = MXDP_BAN_TEXTS * sizeof(struct mxdp_ban_text),
				       .writable = t->writable, .whole = t->many };
	if (window_at(&t->head, 0, sizeof(struct mxdp_ban_head)))
		return 0;
	diag_error(d, "cannot map %s/now/banhead", t->dp->root);
	return -EIO;
}

static void table_close(struct dp_bans *t)
{
	window_close(&t->lines);
	window_close(&t->records);
	window_close(&t->head);
	window_close(&t->texts);
	classes_close(t->classes);
}

int dp_bans_open(struct dp_bans **out, struct datapath *dp, bool many, struct diag *d)
{
	struct dp_bans *t = xcalloc(1, sizeof(*t));
	int err;

	*t = (struct dp_bans){ .dp = dp, .many = many, .writable = dp->how != DP_LOOK, .now_ns = boottime_ns() };
	err = table_open(t, &dp->now, d);
	if (err)
		free(take(t));
	*out = t;
	return err;
}

/* Lengths that no ban has any more cost packets no look. Automatic bans come at any time: count first, look after. */
static void lengths_prune(struct mxdp_ban_head *h, uint32_t family)
{
	uint64_t was = __atomic_load_n(&h->lengths[family], __ATOMIC_SEQ_CST), left = 0;

	for (int i = MXDP_BAN_LENGTHS - 1; i >= 0; i--) {
		uint32_t byte = was >> (8 * i) & 0xff;

		if (byte && __atomic_load_n(&h->used[family][byte - 1], __ATOMIC_SEQ_CST))
			left = left << 8 | byte;
	}
	if (left == was || !__atomic_compare_exchange_n(&h->lengths[family], &was, left, false, __ATOMIC_SEQ_CST,
							__ATOMIC_SEQ_CST))
		return;
	for (int i = 0; i < (int)MXDP_BAN_LENGTHS; i++) {
		uint32_t byte = was >> (8 * i) & 0xff;

		if (byte && __atomic_load_n(&h->used[family][byte - 1], __ATOMIC_SEQ_CST))
			mxdp_ban_join(h, family, byte - 1);
	}
}

static void prune(struct dp_bans *t)
{
	struct mxdp_ban_head *h = head_of(t);

	lengths_prune(h, 0);
	lengths_prune(h, 1);
	if (h->lengths[0] || h->lengths[1])
		return;
	__atomic_store_n(&t->dp->now.state->bans, 0, __ATOMIC_SEQ_CST);
	bans_note(&t->dp->now);
}

int dp_bans_close(struct dp_bans *t, struct diag *d)
{
	int err = 0;

	if (!t)
		return 0;
	if (t->lifted)
		prune(t);
	if (t->changed)
		err = leases_void(t->dp, d);
	table_close(t);
	free(t);
	return err;
}

/* ---- texts ---- */

#define TEXT_REACH 16u /* places where a text may lie, from its hash on */

static bool text_is(const struct mxdp_ban_text *x, enum mxdp_ban_text_kind kind, uint32_t hash, const void *bytes, size_t len)
{
	size_t n = kind == MXDP_BAN_PORTS ? x->len * sizeof(x->range[0]) : x->len;

	return x->kind == kind && x->hash == hash && n == len && !memcmp(x->text, bytes, len);
}

static int fixed_number(enum mxdp_ban_text_kind kind, const void *bytes, size_t len)
{
	for (size_t i = 0; i < NFIXED; i++)
		if (fixed_texts[i].kind == kind && strlen(fixed_texts[i].text) == len && !memcmp(fixed_texts[i].text, bytes, len))
			return fixed_texts[i].nr;
	return 0;
}

/* Its number; or, with *vacant the first free place (0: none), -ENOENT. */
static int text_find(struct dp_bans *t, enum mxdp_ban_text_kind kind, const void *bytes, size_t len, uint32_t *vacant)
{
	uint32_t hash = text_hash(kind, bytes, len);
	int nr = fixed_number(kind, bytes, len);

	*vacant = 0;
	for (uint32_t i = 0; !nr && i < TEXT_REACH; i++) {
		uint32_t at = (hash + i) % MXDP_BAN_TEXTS;
		const struct mxdp_ban_text *x = text_at(t, at);

		if (!x)
			return -EIO;
		if (text_is(x, kind, hash, bytes, len))
			nr = at;
		else if (!x->kind && !*vacant && at > MXDP_BAN_REASON_LIMIT)
			*vacant = at;
	}
	return nr ?: -ENOENT;
}

static bool holds(uint64_t word, const struct mxdp_banned *r, uint64_t now_ns)
{
	return word & ~MXDP_BAN_SPILLED && mxdp_ban_tag(word) != MXDP_BAN_CLAIM &&
	       (r->expires_ns == MXDP_BAN_FOREVER_NS || r->expires_ns > now_ns);
}

/* Every taken word with its record. */
typedef void visit_fn(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg);
static int each(struct dp_bans *t, visit_fn *fn, void *arg)
{
	t->lines.whole = t->records.whole = true;
	for (uint32_t line = 0; line < t->nlines; line++) {
		struct mxdp_ban_line *l = line_at(t, line);

		if (!l)
			return -EIO;
		for (uint32_t way = 0; way < MXDP_BAN_WAYS; way++) {
			uint64_t word = __atomic_load_n(&l->word[way], __ATOMIC_ACQUIRE);
			struct mxdp_banned *r;

			if (!(word & ~MXDP_BAN_SPILLED) || mxdp_ban_tag(word) == MXDP_BAN_CLAIM)
				continue;
			r = record_at(t, line * MXDP_BAN_WAYS + way);
			if (!r)
				return -EIO;
			fn(t, l, way, r, arg);
		}
	}
	return 0;
}

static void note_texts(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	bool *used = arg;

	if (!holds(l->word[way], r, t->now_ns))
		return;
	used[r->owner % MXDP_BAN_TEXTS] = true;
	used[r->reason % MXDP_BAN_TEXTS] = true;
	used[r->ports % MXDP_BAN_TEXTS] = true;
}

/* Forgets the texts of bans that are gone: once a minute at most, for it reads all bans. */
static int texts_sweep(struct dp_bans *t)
{
	__cleanup_free bool *used = xcalloc(MXDP_BAN_TEXTS, sizeof(*used));
	struct mxdp_ban_head *h = head_of(t);
	uint64_t now_s = t->now_ns / MXDP_BAN_SECOND_NS;
	int err;

	if (h->texts_swept_s && now_s < h->texts_swept_s + 60)
		return 0;
	err = each(t, note_texts, used);
	if (err)
		return err;
	h->texts = 0;
	for (uint32_t i = MXDP_BAN_REASON_LIMIT + 1; i < MXDP_BAN_TEXTS; i++) {
		struct mxdp_ban_text *x = text_at(t, i);

		if (x && !used[i])
			x->kind = MXDP_BAN_FREE;
		h->texts += used[i];
	}
	h->texts_swept_s = now_s;
	return 0;
}

static int text_number(struct dp_bans *t, enum mxdp_ban_text_kind kind, const void *bytes, size_t len)
{
	struct mxdp_ban_head *h = head_of(t);
	uint32_t vacant;
	int nr = text_find(t, kind, bytes, len, &vacant);

	if (nr != -ENOENT)
		return nr;
	/* reasons are many and leave room for owners and ports */
	if (!vacant || h->texts >= MXDP_BAN_TEXTS * (kind == MXDP_BAN_REASON ? 3 : 4) / 5) {
		nr = texts_sweep(t) ?: text_find(t, kind, bytes, len, &vacant);
		if (nr != -ENOENT)
			return nr;
		if (!vacant || h->texts >= MXDP_BAN_TEXTS * (kind == MXDP_BAN_REASON ? 3 : 4) / 5)
			return -ENOSPC;
	}
	text_store(text_at(t, vacant), kind, text_hash(kind, bytes, len), bytes, len);
	h->texts++;
	return vacant;
}

static void text_read(const struct mxdp_ban_text *x, enum mxdp_ban_text_kind kind, char out[BAN_TEXT])
{
	*out = '\0';
	if (x && x->kind == kind && x->len < BAN_TEXT) {
		memcpy(out, x->text, x->len);
		out[x->len] = '\0';
	}
}

/* ---- between the model and the table ---- */

_Static_assert(BAN_TEXT == MXDP_BAN_TEXT_ROOM && BAN_RANGES == MXDP_BAN_RANGES, "the model fits the table");
_Static_assert(sizeof(struct port_range) == 4, "ranges are stored as they are");

static struct mxdp_ban_key key_of(const struct prefix *p)
{
	struct mxdp_ban_key k = { .family = p->family == 6, .len = p->len };

	for (int i = 0; i < (k.family ? 8 : 4); i++) {
		if (k.family)
			k.hi = k.hi << 8 | p->addr[i];
		k.lo = k.lo << 8 | p->addr[k.family ? 8 + i : i];
	}
	if (k.len)
		mxdp_ban_mask(&k);
	return k;
}

static void prefix_of(const struct mxdp_banned *r, struct prefix *p)
{
	*p = (struct prefix){ .family = r->family ? 6 : 4, .len = r->len };
	for (int i = 0; i < (r->family ? 8 : 4); i++) {
		if (r->family)
			p->addr[i] = r->hi >> (56 - 8 * i);
		p->addr[r->family ? 8 + i : i] = r->lo >> (r->family ? 56 - 8 * i : 24 - 8 * i);
	}
}

/* The texts that r names; NULL where it names none, or none that can be read. */
struct ban_texts {
	const struct mxdp_ban_text *owner, *reason, *ports;
};

static void ban_of_record(const struct mxdp_banned *r, const struct ban_texts *x, uint64_t now_ns, struct ban *b)
{
	*b = (struct ban){ .left_ms = -1, .hits = r->hits };
	prefix_of(r, &b->p);
	if (r->expires_ns != MXDP_BAN_FOREVER_NS)
		b->left_ms = r->expires_ns > now_ns ? (r->expires_ns - now_ns) / 1000000 : 0;
	b->age_s = (int64_t)(now_ns / MXDP_BAN_SECOND_NS) - r->made_s;
	if (x->ports && x->ports->kind == MXDP_BAN_PORTS && x->ports->len <= BAN_RANGES) {
		b->nports = x->ports->len;
		memcpy(b->ports, x->ports->range, x->ports->len * sizeof(b->ports[0]));
	}
	text_read(x->owner, MXDP_BAN_OWNER, b->owner);
	text_read(x->reason, MXDP_BAN_REASON, b->reason);
}

/* A copy, for the window that it is seen through moves on. */
static const struct mxdp_ban_text *text_copy(struct dp_bans *t, uint32_t nr, struct mxdp_ban_text *to)
{
	const struct mxdp_ban_text *x = nr ? text_at(t, nr % MXDP_BAN_TEXTS) : NULL;

	if (!x)
		return NULL;
	*to = *x;
	return to;
}

static void ban_read(struct dp_bans *t, const struct mxdp_banned *r, struct ban *b)
{
	struct mxdp_ban_text owner, reason, ports;
	struct ban_texts x = { text_copy(t, r->owner, &owner), text_copy(t, r->reason, &reason), text_copy(t, r->ports, &ports) };

	ban_of_record(r, &x, t->now_ns, b);
}

static uint64_t expires(const struct dp_bans *t, int64_t left_ms)
{
	uint64_t ns = t->now_ns + (uint64_t)left_ms * 1000000ULL;

	/* what does not fit a word of seconds is for ever: some 136 years */
	if (left_ms < 0 || (uint64_t)left_ms / 1000 >= MXDP_BAN_FOREVER - t->now_ns / MXDP_BAN_SECOND_NS - 1)
		return MXDP_BAN_FOREVER_NS;
	return ns;
}

static int text_of(struct dp_bans *t, enum mxdp_ban_text_kind kind, const void *bytes, size_t len, uint16_t *out, const char *what,
		   struct diag *d)
{
	int nr = len ? text_number(t, kind, bytes, len) : 0;

	*out = nr > 0 ? nr : 0;
	if (nr == -ENOSPC && kind == MXDP_BAN_REASON)
		return 0; /* the ban matters more */
	if (nr >= 0)
		return 0;
	if (nr == -ENOSPC)
		diag_error(d, "there is no room for another %s of bans: %u different texts are in use; `mxdp show bans` lists "
			      "them, `mxdp flush bans source TAG` makes room", what, head_of(t)->texts);
	else
		diag_error(d, "cannot read %s/now/bantexts", t->dp->root);
	return nr == -ENOSPC ? -E2BIG : nr;
}

static int new_of(struct dp_bans *t, const struct ban *b, bool longest, struct mxdp_ban_new *n, struct diag *d)
{
	*n = (struct mxdp_ban_new){ .key = key_of(&b->p), .expires_ns = expires(t, b->left_ms), .now_ns = t->now_ns,
				    .longest = longest };
	return text_of(t, MXDP_BAN_OWNER, b->owner, strlen(b->owner), &n->owner, "owner", d) ?:
	       text_of(t, MXDP_BAN_REASON, b->reason, strlen(b->reason), &n->reason, "reason", d) ?:
	       text_of(t, MXDP_BAN_PORTS, b->ports, b->nports * sizeof(b->ports[0]), &n->ports, "set of ports", d);
}

/* ---- changes ---- */

static void uncount_old(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	uint64_t word = __atomic_load_n(&l->word[way], __ATOMIC_ACQUIRE);
	size_t *n = arg;

	if (holds(word, r, t->now_ns))
		return;
	if (__atomic_compare_exchange_n(&l->word[way], &word, word & MXDP_BAN_SPILLED, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST)) {
		mxdp_ban_count(head_of(t), r->family, r->len, -1);
		(*n)++;
	}
}

/* What has expired gives its words, and its lengths, back. Reads all bans. */
static int sweep(struct dp_bans *t)
{
	size_t n = 0;
	int err = each(t, uncount_old, &n);

	prune(t);
	return err;
}

static int no_length(struct dp_bans *t, const struct mxdp_ban_key *k, struct diag *d)
{
	uint64_t lengths = head_of(t)->lengths[k->family];
	__cleanup_free char *text = xstrdup("");

	for (; lengths & 0xff; lengths >>= 8) {
		char *more = xasprintf("%s%s/%u", text, *text ? " " : "", (unsigned int)(lengths & 0xff) - 1);

		free(text);
		text = more;
	}
	diag_error(d, "bans of IPv%c have %u different prefix lengths already (%s), each of which costs every new connection a "
		      "look, and /%u would be one more; ban a prefix of one of these, or lift all bans of one (`mxdp show bans`)",
		   k->family ? '6' : '4', MXDP_BAN_LENGTHS, text, k->len);
	return -E2BIG;
}

int dp_ban(struct dp_bans *t, const struct ban *b, bool longest, bool *again, struct diag *d)
{
	struct mxdp_ban_new n;
	int err = new_of(t, b, longest, &n, d), said;

	if (err)
		return err;
	__atomic_store_n(&t->dp->now.state->bans, 1, __ATOMIC_SEQ_CST);
	t->changed = true;
	said = mxdp_ban_put(t, &n, t->nlines);
	if (said == MXDP_BAN_NO_LENGTH) {
		err = sweep(t);
		if (err)
			return err;
		__atomic_store_n(&t->dp->now.state->bans, 1, __ATOMIC_SEQ_CST);
		said = mxdp_ban_put(t, &n, t->nlines);
	}
	*again = said == MXDP_BAN_AGAIN;
	if (said >= 0)
		return 0;
	t->lifted = true;
	return said == MXDP_BAN_NO_LENGTH ? no_length(t, &n.key, d) : -ENOSPC;
}

static bool owned(const struct mxdp_banned *r, int owner)
{
	return !owner || r->owner == owner;
}

/* 0: any; -ENOENT: nobody is called so */
static int owner_number(struct dp_bans *t, const char *owner)
{
	uint32_t vacant;

	return owner ? text_find(t, MXDP_BAN_OWNER, owner, strlen(owner), &vacant) : 0;
}

static bool lift(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, const struct mxdp_banned *r)
{
	uint64_t word = __atomic_load_n(&l->word[way], __ATOMIC_ACQUIRE);
	bool held = holds(word, r, t->now_ns);
	uint32_t family = r->family, len = r->len;

	while (!__atomic_compare_exchange_n(&l->word[way], &word, word & MXDP_BAN_SPILLED, false, __ATOMIC_SEQ_CST,
					    __ATOMIC_SEQ_CST))
		if (!(word & ~MXDP_BAN_SPILLED) || mxdp_ban_tag(word) == MXDP_BAN_CLAIM)
			return false;
	mxdp_ban_count(head_of(t), family, len, -1);
	t->lifted = true;
	return held;
}

/* Every record of exactly this key. */
static int each_of(struct dp_bans *t, const struct mxdp_ban_key *k, visit_fn *fn, void *arg)
{
	struct mxdp_ban_spot spot = mxdp_ban_spot(head_of(t)->key, k, t->nlines);

	for (uint32_t i = 0; i < MXDP_BAN_REACH; i++) {
		struct mxdp_ban_line *l = line_at(t, spot.line);
		bool spilled;

		if (!l)
			return -EIO;
		spilled = l->word[0] & MXDP_BAN_SPILLED;
		for (uint32_t way = 0; way < MXDP_BAN_WAYS; way++) {
			struct mxdp_banned *r;

			if (mxdp_ban_tag(l->word[way]) != spot.tag)
				continue;
			r = record_at(t, spot.line * MXDP_BAN_WAYS + way);
			if (!r)
				return -EIO;
			if (r->hi == k->hi && r->lo == k->lo && r->len == k->len && r->family == k->family)
				fn(t, l, way, r, arg);
		}
		if (!spilled)
			break;
		mxdp_ban_on(&spot, t->nlines);
	}
	return 0;
}

struct lifting {
	int owner;
	size_t n;
};

static void lift_one(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	struct lifting *x = arg;

	if (owned(r, x->owner))
		x->n += lift(t, l, way, r);
}

static int cannot_read(const struct dp_bans *t, int err, struct diag *d)
{
	if (err)
		diag_error(d, "cannot read the bans in %s/now: %s", t->dp->root, strerror(-err));
	return err;
}

int dp_unban(struct dp_bans *t, const struct prefix *p, const char *owner, size_t *n, struct diag *d)
{
	struct lifting x = { .owner = owner_number(t, owner) };
	struct mxdp_ban_key k = key_of(p);
	int err = 0;

	if (k.len && x.owner != -ENOENT)
		err = x.owner < 0 ? x.owner : each_of(t, &k, lift_one, &x);
	*n = x.n;
	return cannot_read(t, err, d);
}

int dp_bans_flush(struct dp_bans *t, const char *owner, size_t *n, struct diag *d)
{
	struct lifting x = { .owner = owner_number(t, owner) };
	int err = x.owner == -ENOENT ? 0 : x.owner < 0 ? x.owner : each(t, lift_one, &x);

	*n = x.n;
	if (!err)
		err = sweep(t);
	return cannot_read(t, err, d);
}

/* ---- looks ---- */

struct found {
	struct ban *v;
	size_t n, room;
};

static void take_down(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	struct found *f = arg;

	if (!holds(l->word[way], r, t->now_ns))
		return;
	if (f->n == f->room) {
		f->room = f->room ? f->room * 2 : 16;
		f->v = xrealloc(f->v, f->room * sizeof(*f->v));
	}
	ban_read(t, r, &f->v[f->n++]);
}

int dp_bans_of(struct dp_bans *t, const struct prefix *p, struct ban **v, size_t *n, struct diag *d)
{
	uint64_t lengths = head_of(t)->lengths[p->family == 6];
	struct found f = {};
	int err = 0;

	for (int len = p->len; !err && len > 0; len--) {
		struct prefix wide = *p;
		struct mxdp_ban_key k;

		if (!mxdp_ban_lengths_has(lengths, len))
			continue;
		wide.len = len;
		k = key_of(&wide);
		err = each_of(t, &k, take_down, &f);
	}
	*v = f.v;
	*n = f.n;
	return cannot_read(t, err, d);
}

/* ---- all of them ---- */

struct dp_ban_list {
	struct mxdp_banned *v;
	size_t n, room;
	uint64_t now_ns;
	struct mxdp_ban_text text[MXDP_BAN_TEXTS];
};

static void note_down(struct dp_bans *t, struct mxdp_ban_line *line, uint32_t way, struct mxdp_banned *r, void *arg)
{
	struct dp_ban_list *l = arg;

	if (!holds(line->word[way], r, t->now_ns))
		return;
	if (l->n == l->room) {
		l->room = l->room ? l->room * 2 : 64;
		l->v = xrealloc(l->v, l->room * sizeof(*l->v));
	}
	l->v[l->n++] = *r;
}

int dp_bans_all(struct dp_bans *t, struct dp_ban_list **out, struct diag *d)
{
	struct dp_ban_list *l = xcalloc(1, sizeof(*l));
	int err;

	l->now_ns = t->now_ns;
	t->texts.whole = true;
	err = each(t, note_down, l);
	for (uint32_t i = 1; !err && i < MXDP_BAN_TEXTS; i++) {
		const struct mxdp_ban_text *x = text_at(t, i);

		if (x)
			l->text[i] = *x;
		else
			err = -EIO;
	}
	if (err)
		dp_ban_list_free(&l);
	*out = l;
	return cannot_read(t, err, d);
}

void dp_ban_list_free(struct dp_ban_list **l)
{
	if (*l)
		free((*l)->v);
	free(*l);
	*l = NULL;
}

size_t dp_ban_list_len(const struct dp_ban_list *l)
{
	return l ? l->n : 0;
}

static const struct mxdp_ban_text *list_text(const struct dp_ban_list *l, uint32_t nr)
{
	return nr ? &l->text[nr % MXDP_BAN_TEXTS] : NULL;
}

static void list_ban(const struct dp_ban_list *l, const struct mxdp_banned *r, struct ban *b)
{
	struct ban_texts x = { list_text(l, r->owner), list_text(l, r->reason), list_text(l, r->ports) };

	ban_of_record(r, &x, l->now_ns, b);
}

void dp_ban_list_get(const struct dp_ban_list *l, size_t i, struct ban *b)
{
	list_ban(l, &l->v[i], b);
}

void dp_ban_list_only(struct dp_ban_list *l, const char *owner)
{
	size_t kept = 0;

	for (size_t i = 0; i < l->n; i++) {
		char name[BAN_TEXT];

		text_read(list_text(l, l->v[i].owner), MXDP_BAN_OWNER, name);
		if (!strcmp(name, owner))
			l->v[kept++] = l->v[i];
	}
	l->n = kept;
}

static int number_cmp(uint64_t a, uint64_t b)
{
	return a < b ? -1 : a > b;
}

/* ban_cmp() of both, but few bans are of the same prefix, and only those need be written out. */
static int record_cmp(const void *a, const void *b, void *list)
{
	const struct mxdp_banned *x = a, *y = b;
	struct ban p, q;
	int c = number_cmp(x->family, y->family) ?: number_cmp(x->hi, y->hi) ?: number_cmp(x->lo, y->lo) ?: number_cmp(x->len, y->len);

	if (c)
		return c;
	list_ban(list, x, &p);
	list_ban(list, y, &q);
	return ban_cmp(&p, &q);
}

static int hits_cmp(const void *a, const void *b, void *list)
{
	const struct mxdp_banned *x = a, *y = b;

	return number_cmp(y->hits, x->hits) ?: record_cmp(a, b, list);
}

void dp_ban_list_sort(struct dp_ban_list *l, bool by_hits)
{
	if (l->n)
		qsort_r(l->v, l->n, sizeof(*l->v), by_hits ? hits_cmp : record_cmp, l);
}

int dp_bans_class(struct dp_bans *t, const struct prefix *p, bool *protected, bool *blocked, struct diag *d)
{
	int err;

	if (!t->classes)
		t->classes = classes_open(t->dp, t->many);
	err = classes_say(t->classes, p, protected, blocked);
	if (err)
		diag_error(d, "cannot read the class table in %s/now: %s", t->dp->root, strerror(-err));
	return err;
}

static void count_owner(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	size_t *by = arg;

	by[r->owner % MXDP_BAN_TEXTS] += holds(l->word[way], r, t->now_ns);
}

int dp_bans_owners(struct dp_bans *t, struct dp_bans_owner **v, size_t *n, struct diag *d)
{
	__cleanup_free size_t *by = xcalloc(MXDP_BAN_TEXTS, sizeof(*by));
	int err = each(t, count_owner, by);

	*v = NULL;
	*n = 0;
	for (uint32_t i = 0; !err && i < MXDP_BAN_TEXTS; i++) {
		if (!by[i])
			continue;
		*v = xrealloc(*v, (*n + 1) * sizeof(**v));
		text_read(text_at(t, i), MXDP_BAN_OWNER, (*v)[*n].name);
		(*v)[(*n)++].n = by[i];
	}
	return cannot_read(t, err, d);
}

/* ---- larger tables ---- */

struct carrying {
	struct dp_bans *to;
	bool full;
};

static void carry_one(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	struct carrying *c = arg;
	struct mxdp_ban_new n = {
		.key = { .hi = r->hi, .lo = r->lo, .family = r->family, .len = r->len }, .expires_ns = r->expires_ns,
		.now_ns = t->now_ns, .owner = r->owner, .reason = r->reason, .ports = r->ports, .longest = true,
	};
	struct mxdp_banned *is;
	int said;

	if (!holds(l->word[way], r, t->now_ns))
		return;
	said = mxdp_ban_put(c->to, &n, c->to->nlines);
	c->full |= said < 0;
	if (said != MXDP_BAN_MADE)
		return;
	is = c->to->records.last;
	is->made_s = r->made_s;
	__atomic_fetch_add(&is->hits, r->hits, __ATOMIC_RELAXED);
}

static int carry(struct dp_bans *from, struct dp_bans *to)
{
	struct carrying c = { .to = to };
	int err = each(from, carry_one, &c);

	return err ?: c.full ? -ENOSPC : 0;
}

static void uncount_one(struct dp_bans *t, struct mxdp_ban_line *l, uint32_t way, struct mxdp_banned *r, void *arg)
{
	(void)l;
	(void)way;
	(void)arg;
	mxdp_ban_count(head_of(t), r->family, r->len, -1);
}

static int receive(struct dp_bans *t, const struct ban *b, struct diag *d)
{
	struct mxdp_ban_new n;
	struct mxdp_banned *is;
	int err = new_of(t, b, true, &n, d), said;

	if (err)
		return err;
	said = mxdp_ban_put(t, &n, t->nlines);
	if (said != MXDP_BAN_MADE)
		return said < 0 ? -ENOSPC : 0;
	is = t->records.last;
	is->made_s = t->now_ns / MXDP_BAN_SECOND_NS - b->age_s;
	__atomic_fetch_add(&is->hits, b->hits, __ATOMIC_RELAXED);
	return 0;
}

int bans_receive(struct datapath *dp, const struct dp_generation *g, struct diag *d)
{
	struct dp_bans t = { .dp = dp, .many = true, .writable = true, .now_ns = boottime_ns() };
	__cleanup_free struct ban *v = NULL;
	struct diag quiet = {};
	size_t n = 0, lost = 0;
	int err = other_bans(dp, &v, &n, d) ?: table_open(&t, g, d);

	for (size_t i = 0; !err && i < n; i++)
		lost += receive(&t, &v[i], &quiet) != 0;
	if (lost)
		diag_warn(d, "%zu of the %zu bans of the other version find no room in this one, and are lost: %s", lost, n,
			  quiet.n ? quiet.msg[0].text : "too many, or of too many prefix lengths");
	diag_free(&quiet);
	table_close(&t);
	if (!err)
		bans_note(g);
	return err;
}

/* The same tables, but for those of the bans. */
static int generation_share(const struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	struct dp_view v = {};
	int err = share_fd(&g->state_fd, dp->now.state_fd) ?: share_fd(&g->banks_fd, dp->now.banks_fd) ?:
		  share_fd(&g->trie_fd, dp->now.trie_fd) ?: share_fd(&g->lease_fd, dp->now.lease_fd) ?:
		  share_fd(&g->gates_fd, dp->now.gates_fd) ?: share_fd(&g->conns_fd, dp->now.conns_fd) ?:
		  share_fd(&g->ban_head_fd, dp->now.ban_head_fd) ?: share_fd(&g->ban_texts_fd, dp->now.ban_texts_fd) ?:
		  view_map(&v, g->state_fd, 0, DP_PAGE, true);

	g->state = v.p;
	g->trie_lines = dp->now.trie_lines;
	g->lease_lines = dp->now.lease_lines;
	if (err)
		diag_error(d, "cannot share the tables of %s/now: %s", dp->root, strerror(-err));
	return err;
}

/* What is pinned in `now` and not yet in its place in `next`: all but the programs, which are loaded on the new tables. */
static int pin_again(struct datapath *dp, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	size_t n;
	int err = pin_names(dp, "now", &name, &n);

	for (size_t i = 0; !err && i < n; i++) {
		__cleanup_free char *from = xasprintf("now/%s", name[i]), *to = xasprintf("next/%s", name[i]);
		__cleanup_close int fd = -1;

		if (!strcmp(name[i], "prog") || !strcmp(name[i], "hear") || !strcmp(name[i], "lists") ||
		    pin_exists(dp, to))
			continue;
		fd = pin_get(dp, from, d);
		err = fd < 0 ? fd : pin_put(dp, fd, to, d);
	}
	return err;
}

static int pin_all(struct datapath *dp, const struct dp_generation *g, struct diag *d)
{
	return bans_pin(dp, g, d) ?: pin_again(dp, d) ?: packs_share(dp, d) ?: conns_share(dp, g, d);
}

/* head.used is of both tables while there are two, and too high for a while when we are killed: never too low. */
static int grow(struct datapath *dp, struct dp_generation *g, struct dp_bans *old, struct dp_bans *new, struct diag *d)
{
	int err = table_open(new, g, d), moved;

	if (!err) {
		err = carry(old, new);
		if (err)
			diag_error(d, "cannot carry the bans over: %s; the table stays as it was", strerror(-err));
	}
	if (!err)
		err = pin_all(dp, g, d) ?: replace_all(dp, g, d) ?: generation_swap(dp, d);
	if (err) {
		replace_undo(dp, d);
		each(new, uncount_one, NULL);
		return err;
	}
	/* automatic bans that came meanwhile */
	moved = carry(old, new);
	each(old, uncount_one, NULL);
	if (moved)
		diag_warn(d, "bans that a limit made in this moment may have been lost");
	return 0;
}

int dp_bans_grow(struct datapath *dp, unsigned int times, struct diag *d)
{
	struct dp_generation g __cleanup(generation_close) = DP_GENERATION_NONE;
	struct dp_bans old = { .dp = dp, .many = true, .writable = true, .now_ns = boottime_ns() }, new = old;
	int err;

	if (dp->now.ban_lines > DP_MAX_BAN_LINES / times) {
		diag_error(d, "the table of bans is full, and as large as it gets; `mxdp show bans` lists them, `mxdp flush bans "
			      "source TAG` makes room; prefixes that hold for long belong in a list (`block @NAME`)");
		return -E2BIG;
	}
	err = now_whole(dp, d) ?: work_begin(dp, d) ?: generation_share(dp, &g, d) ?: tables_make(&g, dp->now.ban_lines * times, d) ?:
	      table_open(&old, &dp->now, d);
	if (!err)
		err = grow(dp, &g, &old, &new, d);
	work_end(dp);
	table_close(&old);
	table_close(&new);
	if (err)
		return err;
	generation_close(&dp->now);
	dp->now = g;
	g = (struct dp_generation)DP_GENERATION_NONE;
	return leases_void(dp, d);
}
