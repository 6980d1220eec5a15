// SPDX-License-Identifier: GPL-2.0-only
/* Putting an image in force: into the idle bank, or into a new generation of maps; and reading what is in force. */
#include <linux/membarrier.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <time.h>
#include "cookies.h"
#include "dp_private.h"

/* ---- grace: no packet looks at the idle bank any more ---- */

/*
 * A packet is judged inside one RCU read-side section, so a grace period after the flip nobody looks at the old bank.
 * Asking for one costs 8 to 16 ms, so it is skipped when one has certainly gone by itself: the kernel reports a stall
 * when a grace period takes 21 s (60 at most among distributions' settings), and judging a packet takes microseconds.
 * Five minutes leave room for a virtual machine whose CPU was taken away in between.
 */
#define GRACE_SURELY_NS (300ULL * 1000000000ULL)

static uint64_t boottime_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_BOOTTIME, &t);
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/*
 * An update of a map of maps returns when no program can hold the old element any more: the kernel's own promise to
 * those who do what we do, on one CPU and with nohz_full too, where membarrier does nothing or refuses.
 */
static int grace_by_map(void)
{
	__cleanup_close int inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace", 4, 4, 1, NULL);
	LIBBPF_OPTS(bpf_map_create_opts, opts, .inner_map_fd = inner < 0 ? 0 : inner);
	__cleanup_close int outer = -1;
	uint32_t zero = 0;

	if (inner < 0)
		return inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace", 4, 4, 1, &opts);
	return outer < 0 ? outer : bpf_map_update_elem(outer, &zero, &inner, BPF_ANY);
}

static int grace_by_membarrier(void)
{
	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		return -EOPNOTSUPP; /* it returns at once there */
	return syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) ? -errno : 0;
}

int grace_ask(void)
{
	return grace_by_map() == 0 ? 0 : grace_by_membarrier();
}

static void *grace_thread(void *p)
{
	struct dp_grace *g = p;

	g->err = grace_ask();
	return NULL;
}

static bool grace_needed(const struct datapath *dp)
{
	uint64_t at;

	if (!dp->have)
		return false;
	at = __atomic_load_n(&dp->now.state->flipped_ns, __ATOMIC_ACQUIRE);
	return at == DP_FLIP_UNDER_WAY || at > boottime_ns() || boottime_ns() - at < GRACE_SURELY_NS;
}

/* The wait goes on while the caller reads files and compiles. */
void grace_start(struct datapath *dp)
{
	if (grace_needed(dp))
		dp->grace.running = pthread_create(&dp->grace.thread, NULL, grace_thread, &dp->grace) == 0;
}

void grace_drop(struct datapath *dp)
{
	if (dp->grace.running)
		pthread_join(dp->grace.thread, NULL);
	dp->grace.running = false;
}

/* A thread that was started has waited since the open, under the lock; flips of our own since then need a wait of their
 * own. */
int grace_wait(struct datapath *dp, struct diag *d)
{
	bool asked = dp->grace.running;
	int err = 0;

	grace_drop(dp);
	if (asked)
		err = dp->grace.err;
	else if (grace_needed(dp))
		err = grace_ask();
	if (err)
		diag_error(d, "cannot wait until the idle bank is free: %s; the policy in force stays", strerror(-err));
	return err;
}

/* What is to be put; seconds not 0: on trial, and then `back` is what is in force, or NULL where no tables grow. */
struct put {
	const struct image *img, *back;
	uint32_t lease_lines;
	unsigned int seconds;
};

/* ---- what goes with a bank ---- */

static int said_fill(int fd, uint32_t pages, const struct image *img, uint32_t epoch)
{
	__cleanup_view struct dp_view v = {};
	struct dp_said_head *head;
	int err = view_map(&v, fd, 0, (size_t)pages * DP_PAGE, true);

	if (err)
		return err;
	head = v.p;
	*head = (struct dp_said_head){ .magic = DP_FROZEN_MAGIC, .epoch = epoch, .len = img->nsaid };
	if (img->nsaid)
		memcpy(head + 1, img->said, img->nsaid);
	return 0;
}

/* The rules as every version understands them; frozen_write() writes them as this one keeps them. */
static int said_write(struct datapath *dp, const char *dir, const struct image *img, uint32_t epoch, struct diag *d)
{
	__cleanup_free char *rel = bank_pin(dir, "said", epoch & 1);
	uint32_t pages = pages_for(sizeof(struct dp_said_head) + img->nsaid);
	__cleanup_close int fd = pages_get(dp, rel, &pages, d);
	int err;

	if (fd < 0)
		return fd;
	err = said_fill(fd, pages, img, epoch);
	if (err)
		diag_error(d, "cannot write %s/%s: %s; the policy in force stays", dp->root, rel, strerror(-err));
	return err;
}

static int rules_write(struct datapath *dp, const char *dir, const struct image *img, uint32_t epoch, struct diag *d)
{
	return frozen_write(dp, dir, img, epoch, d) ?: said_write(dp, dir, img, epoch, d);
}

static int services_write(struct datapath *dp, const char *dir, const struct image *img, uint32_t epoch, struct diag *d)
{
	__cleanup_free char *rel = bank_pin(dir, "services", epoch & 1);
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, sizeof(struct dp_services_pin), 1, &info, d);
	__cleanup_view struct dp_view v = {};
	struct dp_services_pin *s;
	int err;

	if (fd < 0) {
		if (fd == -ENOENT)
			diag_error(d,
				   "%s/%s is missing; take the filter off with `rm -r %s` (connections stay), then "
				   "`mxdp apply`",
				   dp->root, rel, dp->root);
		return fd;
	}
	err = view_map(&v, fd, 0, sizeof(*s), true);
	if (err) {
		diag_error(d, "cannot write %s/%s: %s; the policy in force stays", dp->root, rel, strerror(-err));
		return err;
	}
	s = v.p;
	memset(s, 0, sizeof(*s));
	for (unsigned int i = 0; i < MXDP_SERVICES; i++) {
		memcpy(s->v[i].key, img->services[i].key, sizeof(s->v[i].key));
		s->v[i].named = img->services[i].named;
	}
	return 0;
}

/*
 * Numbers that a trial gives out are known to the policy of before too: after the way back they keep their counters, and
 * go to nobody else.
 */
static int services_tell(struct datapath *dp, const char *dir, const struct image *img, uint32_t epoch, struct diag *d)
{
	__cleanup_free char *rel = bank_pin(dir, "services", epoch & 1);
	struct bpf_map_info info;
	__cleanup_close int fd = pin_get_map(dp, rel, sizeof(struct dp_services_pin), 1, &info, d);
	__cleanup_view struct dp_view v = {};
	struct dp_services_pin *s;
	int err = fd < 0 ? fd : view_map(&v, fd, 0, sizeof(*s), true);

	if (err) {
		diag_error(d, "cannot write %s/%s: %s; the policy in force stays", dp->root, rel, strerror(-err));
		return err;
	}
	s = v.p;
	for (unsigned int i = 1; i < MXDP_SERVICES; i++)
		if (!s->v[i].key[0])
			memcpy(s->v[i].key, img->services[i].key, sizeof(s->v[i].key));
	return 0;
}

/* Each bank has one half of the lines, which begins a page. What a policy leaves of it is for edits in place. */
#define LINES_PER_PAGE (DP_PAGE / sizeof(union mxdp_line))

static uint64_t trie_lines_for(const struct image *img)
{
	uint64_t half = img->nlines + img->nlines / 16 + 1024;

	if (half < DP_MIN_TRIE_LINES / 2)
		half = DP_MIN_TRIE_LINES / 2;
	return 2 * ((half + LINES_PER_PAGE - 1) / LINES_PER_PAGE * LINES_PER_PAGE);
}

/* Does img fit, with a little room left? */
static bool trie_holds(uint32_t lines, const struct image *img)
{
	return img->nlines + img->nlines / 64 <= lines / 2;
}

/*
 * What all sources together have had under a limit goes on under its new number. The few SYNs that come until the flip
 * are not in it.
 */
static int globals_carry(const struct datapath *dp, const struct dp_generation *g, const struct image *img, uint32_t epoch,
			 struct diag *d)
{
	__cleanup_view struct dp_view gates = {}, banks = {};
	const struct mxdp_bank *old;
	struct mxdp_words *w;
	int err = view_map(&gates, g->gates_fd, 0, MXDP_GATE_ALL * sizeof(*w), true);

	if (!err && dp->have)
		err = view_map(&banks, dp->now.banks_fd, 0, 2 * sizeof(*old), false);
	if (err) {
		diag_error(d, "cannot map the tables of limits: %s; the policy in force stays", strerror(-err));
		return err;
	}
	w = gates.p;
	/* the policy in force, in the bank to go back to: its words are where they belong */
	if (dp->have && !((epoch ^ dp_epoch(dp)) & 1))
		return 0;
	old = dp->have ? (const struct mxdp_bank *)banks.p + (dp_epoch(dp) & 1) : NULL;
	for (unsigned int i = 1; i < MXDP_LIMITS; i++) {
		__u64 *to = &w[MXDP_GATE_GLOBAL(epoch & 1, i)].word[i % 8];

		*to = 0;
		for (unsigned int k = 1; old && k < MXDP_LIMITS; k++)
			if (img->bank->limit[i].global_spacing && old->limit[k].id == img->bank->limit[i].id)
				*to = w[MXDP_GATE_GLOBAL(dp_epoch(dp) & 1, k)].word[k % 8];
	}
	return 0;
}

static int bank_write(const struct datapath *dp, const struct dp_generation *g, const struct image *img, uint32_t epoch, struct diag *d)
{
	uint32_t half = g->trie_lines / 2, start = epoch & 1 ? half : 0;
	__cleanup_view struct dp_view banks = {};
	__cleanup_view struct dp_view trie = {};
	int err = view_map(&banks, g->banks_fd, 0, 2 * sizeof(struct mxdp_bank), true);

	if (!err && img->nlines)
		err = view_map(&trie, g->trie_fd, (size_t)start * sizeof(union mxdp_line),
			       img->nlines * sizeof(union mxdp_line), true);
	if (err) {
		diag_error(d, "cannot map the idle bank: %s; the policy in force stays", strerror(-err));
		return err;
	}
	if (!err)
		err = globals_carry(dp, g, img, epoch, d);
	if (err)
		return err;
	if (img->nlines)
		memcpy(trie.p, img->lines, img->nlines * sizeof(*img->lines));
	image_place_bank(img, start, epoch, (struct mxdp_bank *)banks.p + (epoch & 1));
	return 0;
}

/* What the policy before holds of its sources is there for the way back: no word of it may pass for one that no limit made. */
static int trial_ahead(const struct dp_generation *g, uint32_t epoch, struct diag *d)
{
	__cleanup_view struct dp_view banks = {};
	int err = view_map(&banks, g->banks_fd, 0, 2 * sizeof(struct mxdp_bank), true);
	struct mxdp_bank *b = banks.p;

	if (err) {
		diag_error(d, "cannot map the banks: %s; the policy in force stays", strerror(-err));
		return err;
	}
	if (b[epoch & 1].ahead < b[~epoch & 1].ahead)
		b[epoch & 1].ahead = b[~epoch & 1].ahead;
	return 0;
}

void flip(struct mxdp_state *st, uint32_t epoch)
{
	__atomic_store_n(&st->flipped_ns, DP_FLIP_UNDER_WAY, __ATOMIC_SEQ_CST);
	__atomic_store_n(&st->epoch, epoch, __ATOMIC_SEQ_CST);
	__atomic_store_n(&st->flipped_ns, boottime_ns(), __ATOMIC_SEQ_CST);
}

/* ---- services whose numbers go to others ---- */

/*
 * What was counted under the number so far goes to service 0. Its packets are no longer counted by anybody unless the
 * number is still in use in the policy that the flip behind this replaces; then the few of the microseconds between
 * count for its heir.
 */
static int recycle(struct datapath *dp, const char *name, const bool gone[MXDP_SERVICES], struct diag *d)
{
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	__cleanup_free struct dp_sums *sums = xmalloc(sizeof(*sums));
	__cleanup_view struct dp_view v = {};
	struct mxdp_count *c;
	int err = dev_open(dp, name, &dev, d);

	if (err || dev.counters_fd < 0)
		return err;
	err = books_sum(dp, &dev, false, sums, d);
	if (err)
		return err;
	err = view_map(&v, dev.counters_fd, 0, (size_t)DP_COUNTER_CELLS(dev.rows) * sizeof(*c), true);
	if (err) {
		diag_error(d, "%s: cannot map its counters: %s; the policy in force stays", name, strerror(-err));
		return err;
	}
	c = v.p;
	for (uint32_t i = 4 * MXDP_REASON_SLOTS; i < MXDP_SERVICES * 4 * MXDP_REASON_SLOTS; i++) {
		uint32_t r = i % MXDP_REASON_SLOTS, o = i / MXDP_REASON_SLOTS & 1, f = i / MXDP_REASON_SLOTS >> 1 & 1,
			 service = i / MXDP_REASON_SLOTS / 4;
		const struct mxdp_count *all = &sums->cell[service][f][o][r], *moved = &sums->moved[service][f][o][r];

		if (gone[service])
			c[MXDP_COUNTER(dev.rows, service, f, o, r)] =
			    (struct mxdp_count){ .packets = all->packets - moved->packets, .bytes = all->bytes - moved->bytes };
	}
	return 0;
}

static int recycle_all(struct datapath *dp, const struct image *img, struct diag *d)
{
	__cleanup_free char (*name)[IFNAMSIZ] = NULL;
	__cleanup_free struct service *before = xcalloc(MXDP_SERVICES, sizeof(*before));
	bool gone[MXDP_SERVICES] = {}, any = false;
	size_t n = 0;
	int err = dp_services(dp, before, d);

	if (err)
		return err;
	for (unsigned int i = 1; i < MXDP_SERVICES; i++) {
		gone[i] = before[i].key[0] && strncmp(before[i].key, img->services[i].key, sizeof(before[i].key));
		any |= gone[i];
	}
	if (any)
		err = dev_names(dp, &name, &n, d);
	for (size_t i = 0; !err && i < n; i++)
		err = recycle(dp, name[i], gone, d);
	return err;
}

/* ---- a new generation ---- */

static int generation_pin(struct datapath *dp, const struct dp_generation *g, struct diag *d)
{
	int err = pin_put(dp, g->state_fd, "next/state", d) ?: pin_put(dp, g->banks_fd, "next/banks", d) ?:
		  pin_put(dp, g->trie_fd, "next/trie", d) ?: pin_put(dp, g->lease_fd, "next/lease", d) ?:
		  pin_put(dp, g->gates_fd, "next/gates", d) ?: pin_put(dp, g->conns_fd, "next/conns", d) ?: bans_pin(dp, g, d) ?:
		  layout_pin(dp, "next/layout", d);

	for (uint32_t bank = 0; !err && bank < 2; bank++) {
		__cleanup_free char *services = bank_pin("next", "services", bank);
		__cleanup_free char *frozen = bank_pin("next", "frozen", bank);
		__cleanup_close int s = map_make("services", sizeof(struct dp_services_pin), 1, d);
		__cleanup_close int f = s < 0 ? s : map_make("frozen", DP_PAGE, 1, d);

		err = f < 0 ? f : pin_put(dp, s, services, d) ?: pin_put(dp, f, frozen, d);
	}
	return err;
}

static int random_fill(void *to, size_t n, struct diag *d)
{
	if (getrandom(to, n, 0) == (ssize_t)n)
		return 0;
	diag_error(d, "the kernel gives no random bytes: %s", strerror(errno));
	return -EIO;
}

static int probe_key_make(struct mxdp_state *st, struct diag *d)
{
	int err = 0;

	while (!err && !st->probe_key)
		err = random_fill(&st->probe_key, sizeof(st->probe_key), d);
	return err;
}

static int generation_state(const struct datapath *dp, struct dp_generation *g, uint32_t epoch, struct diag *d)
{
	struct dp_view v = {};
	int err = view_map(&v, g->state_fd, 0, DP_PAGE, true);

	if (err) {
		diag_error(d, "cannot map the new state: %s; the policy in force stays", strerror(-err));
		return err;
	}
	g->state = v.p;
	*g->state = (struct mxdp_state){ .abi = MXDP_ABI, .epoch = epoch, .flipped_ns = DP_FLIP_UNDER_WAY,
					   .bans = dp->have ? dp->now.state->bans : 0 };
	if (dp->have) {
		g->state->voided = dp->now.state->voided;
		g->state->leases_wiped = dp->now.state->leases_wiped;
		g->state->probe_key = dp->now.state->probe_key;
		memcpy(g->state->limit_key, dp->now.state->limit_key, sizeof(g->state->limit_key));
		return 0;
	}
	if (dp->other)
		g->state->probe_key = other_probe_key(dp);
	return random_fill(g->state->limit_key, sizeof(g->state->limit_key), d) ?: probe_key_make(g->state, d);
}

/* Leases hold under the key of one program only, so a table of the right size can go on being used. */
static int generation_maps(const struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	g->state_fd = map_make("state", sizeof(struct mxdp_state), 1, d);
	g->banks_fd = g->state_fd < 0 ? g->state_fd : map_make("banks", 2 * sizeof(struct mxdp_bank), 1, d);
	g->trie_fd = g->banks_fd < 0 ? g->banks_fd : map_make("trie", sizeof(union mxdp_line), g->trie_lines, d);
	if (g->trie_fd < 0)
		return g->trie_fd;
	g->lease_fd = dp->have && dp->now.lease_lines == g->lease_lines ? fd_dup(dp->now.lease_fd) :
		      map_make("lease", sizeof(struct mxdp_lease_line), g->lease_lines, d);
	if (g->lease_fd < 0)
		return g->lease_fd;
	/* what is known of sources holds for as long as their key; connections are counted anew */
	g->gates_fd = dp->have ? fd_dup(dp->now.gates_fd) : map_make("gates", sizeof(struct mxdp_words), MXDP_GATE_ALL, d);
	if (g->gates_fd < 0)
		return g->gates_fd;
	g->conns_fd = map_make("conns", sizeof(struct mxdp_words), MXDP_CONN_LINES(g->lease_lines), d);
	return g->conns_fd < 0 ? g->conns_fd : bans_make(dp, g, d);
}

static int bank_make(struct datapath *dp, const struct dp_generation *g, const struct image *img, uint32_t epoch,
		     struct diag *d)
{
	return rules_write(dp, "next", img, epoch, d) ?: services_write(dp, "next", img, epoch, d) ?:
	       bank_write(dp, g, img, epoch, d) ?: conns_begin(dp, g, "next", epoch, d);
}

/* Ours, or another version's. */
static bool in_force(const struct datapath *dp)
{
	return dp->have || dp->other;
}

static int generation_make(struct datapath *dp, struct dp_generation *g, const struct put *p, uint32_t epoch,
			   struct diag *d)
{
	int err = generation_maps(dp, g, d) ?: generation_state(dp, g, epoch, d) ?:
		  trial_mark(g->state, epoch, p->seconds, !in_force(dp), d) ?: generation_pin(dp, g, d) ?:
		  bank_make(dp, g, p->img, epoch, d);

	if (err || !p->seconds || !in_force(dp))
		return err;
	return bank_make(dp, g, p->back, epoch - 1, d) ?: trial_ahead(g, epoch, d) ?:
	       services_tell(dp, "next", p->img, epoch - 1, d);
}

int generation_swap(struct datapath *dp, struct diag *d)
{
	int err =
	    renameat2(dp->dir, "next", dp->dir, "now", in_force(dp) ? RENAME_EXCHANGE : RENAME_NOREPLACE) ?
		-errno : 0;

	if (err)
		diag_error(d, "cannot put the new tables in place of the old in %s: %s%s; the policy in force stays",
			   dp->root, strerror(-err), err == -EINVAL ? " (Linux 5.17 or newer is needed)" : "");
	return err;
}

/* Those that a limit made while programs were loaded and links moved. */
static int late_bans(struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	return dp->other ? bans_receive(dp, g, d) : 0;
}

static int generation_replace(struct datapath *dp, struct dp_generation *g, const struct put *p, uint32_t epoch,
			      struct diag *d)
{
	int err = generation_make(dp, g, p, epoch, d);

	if (err || !in_force(dp))
		return err ?: generation_swap(dp, d);
	if (dp->other)
		err = books_begin(dp, d) ?: bans_receive(dp, g, d);
	if (err)
		return err;
	/* programs take a while to load: the time counts from here */
	err = recycle_all(dp, p->img, d) ?: replace_all(dp, g, d) ?: late_bans(dp, g, d) ?:
	      trial_mark(g->state, epoch, p->seconds, false, d) ?: generation_swap(dp, d);
	if (err)
		replace_undo(dp, d);
	return err;
}

static uint32_t trie_lines_of(const struct put *p)
{
	uint32_t lines = trie_lines_for(p->img), back = p->back ? trie_lines_for(p->back) : 0;

	return lines > back ? lines : back;
}

static int put_new(struct datapath *dp, const struct put *p, struct diag *d)
{
	struct dp_generation g __cleanup(generation_close) = DP_GENERATION_NONE;
	uint32_t epoch = dp_epoch(dp) + 1;
	int err = work_begin(dp, d);

	g.trie_lines = trie_lines_of(p);
	g.lease_lines = p->lease_lines;
	if (!err)
		err = generation_replace(dp, &g, p, epoch, d);
	work_end(dp);
	if (err)
		return err;
	bans_note(&g);
	__atomic_store_n(&g.state->flipped_ns, boottime_ns(), __ATOMIC_SEQ_CST);
	other_close(dp);
	generation_close(&dp->now);
	dp->now = g;
	g = (struct dp_generation)DP_GENERATION_NONE;
	dp->have = true;
	return 0;
}

/* ---- putting ---- */

/*
 * A lease holds the last bits of epoch and voided, summed: its number. Twice in each round of them the table is wiped, by
 * the first change behind each half: so a lease is gone before its number comes again, the last ones granted before a
 * wipe too. What moves the number on without the loader (the end of a trial, an automatic ban) wipes nothing; so a lease
 * of a round before may vouch, for what is left of one second in seventy minutes.
 */
int leases_wipe(const struct datapath *dp, struct diag *d)
{
	__cleanup_view struct dp_view v = {};
	__cleanup_close int fd = -1;
	struct bpf_map_info info;
	uint32_t number;
	int err;

	if (!dp->have)
		return 0;
	number = dp_epoch(dp) + __atomic_load_n(&dp->now.state->voided, __ATOMIC_ACQUIRE);
	if (!((number ^ dp->now.state->leases_wiped) & ~(MXDP_LEASE_EPOCHS >> 1)))
		return 0;
	/* who bans has not opened it, and needs it twice in seventy minutes of a ban a second */
	fd = pin_get_map(dp, "now/lease", sizeof(struct mxdp_lease_line), 0, &info, d);
	if (fd < 0)
		return pin_missing(dp, fd, d);
	err = view_map(&v, fd, 0, (size_t)info.max_entries * info.value_size, true);
	if (err) {
		diag_error(d, "cannot map the lease table: %s; the policy in force stays", strerror(-err));
		return err;
	}
	memset(v.p, 0, v.len);
	dp->now.state->leases_wiped = number;
	return 0;
}

int leases_void(struct datapath *dp, struct diag *d)
{
	int err = leases_wipe(dp, d);

	if (!err)
		__atomic_fetch_add(&dp->now.state->voided, 1, __ATOMIC_SEQ_CST);
	return err;
}

static int put_idle(struct datapath *dp, const struct put *p, struct diag *d)
{
	uint32_t epoch = dp_epoch(dp) + 1;
	int err;

	err = conns_quiet(&dp->now, epoch, d) ?: rules_write(dp, "now", p->img, epoch, d) ?:
	      services_write(dp, "now", p->img, epoch, d) ?: bank_write(dp, &dp->now, p->img, epoch, d) ?:
	      conns_begin(dp, &dp->now, "now", epoch, d) ?: recycle_all(dp, p->img, d);
	if (!err && p->seconds)
		err = trial_ahead(&dp->now, epoch, d) ?: services_tell(dp, "now", p->img, epoch - 1, d);
	if (!err)
		err = trial_mark(dp->now.state, epoch, p->seconds, false, d);
	if (err)
		return err;
	flip(dp->now.state, epoch);
	conns_end(dp);
	return 0;
}

bool dp_put_grows(const struct datapath *dp, const struct image *img, uint32_t lease_lines)
{
	return dp->other || (dp->have && (!trie_holds(dp->now.trie_lines, img) || lease_lines != dp->now.lease_lines));
}

static int put(struct datapath *dp, const struct put *p, struct diag *d)
{
	const struct image *img = p->img;
	uint32_t lease_lines = p->lease_lines;
	int err;

	if (dp->how == DP_LOOK || !lease_lines || lease_lines & (lease_lines - 1)) {
		diag_error(d,
			   "the policy was not put in force: opened for looking only, or %u lease lines, which is no "
			   "power of two",
			   lease_lines);
		return -EINVAL;
	}
	if (trie_lines_for(img) > DP_MAX_TRIE_LINES) {
		diag_error(d, "the lists need %zu lines of the class table; it has room for %u", img->nlines,
			   DP_MAX_TRIE_LINES / 2);
		return -E2BIG;
	}
	err = dp_change_allowed(dp, d) ?: grace_wait(dp, d) ?: leases_wipe(dp, d);
	if (err)
		return err;
	if (!dp->have || dp_put_grows(dp, img, lease_lines))
		err = put_new(dp, p, d);
	else
		err = put_idle(dp, p, d);
	packs_tidy(dp);
	if (err)
		return err;
	dp->now.state->cookie_options = cookies_options();
	books_fold(dp);
	return 0;
}

int dp_put(struct datapath *dp, const struct image *img, uint32_t lease_lines, struct diag *d)
{
	return put(dp, &(struct put){ .img = img, .lease_lines = lease_lines }, d);
}

int dp_put_trial(struct datapath *dp, const struct image *img, const struct image *back, uint32_t lease_lines,
		 unsigned int seconds, struct diag *d)
{
	int err = put(dp, &(struct put){ img, back, lease_lines, seconds }, d);

	dp->trial_is_mine = !err;
	return err;
}

/* ---- reading ---- */

int dp_port_services(struct datapath *dp, uint8_t out[65536], struct diag *d)
{
	__cleanup_view struct dp_view banks = {};
	const struct mxdp_bank *b;
	int err;

	memset(out, 0, 65536);
	if (!dp->have)
		return 0;
	err = view_map(&banks, dp->now.banks_fd, 0, 2 * sizeof(struct mxdp_bank), false);
	if (err) {
		diag_error(d, "cannot read %s/now/banks: %s", dp->root, strerror(-err));
		return err;
	}
	b = (const struct mxdp_bank *)banks.p + (dp_epoch(dp) & 1);
	for (unsigned int port = 0; port < 65536; port++)
		out[port] = b->port[port] & MXDP_PORT_SERVICE;
	return 0;
}

uint16_t dp_cookies(const struct datapath *dp)
{
	__cleanup_view struct dp_view banks = {};

	if (!dp->have || view_map(&banks, dp->now.banks_fd, 0, 2 * sizeof(struct mxdp_bank), false))
		return 0;
	return cookies_wanted((const struct mxdp_bank *)banks.p + (dp_epoch(dp) & 1));
}

int dp_services(struct datapath *dp, struct service out[MXDP_SERVICES], struct diag *d)
{
	__cleanup_free char *rel = bank_pin("now", "services", dp_epoch(dp) & 1);
	__cleanup_free struct dp_services_pin *s = NULL;
	__cleanup_close int fd = -1;
	struct bpf_map_info info;
	uint32_t zero = 0;
	int err;

	memset(out, 0, MXDP_SERVICES * sizeof(*out));
	strcpy(out[0].key, "other");
	if (dp->other)
		return other_services(dp, out, d);
	if (!dp->have)
		return 0;
	fd = pin_get_map(dp, rel, sizeof(*s), 1, &info, d);
	if (fd < 0)
		return fd == -ENOENT ? frozen_damaged(dp, rel, d) : fd;
	s = xmalloc(sizeof(*s));
	err = bpf_map_lookup_elem(fd, &zero, s);
	if (err) {
		diag_error(d, "cannot read %s/%s: %s", dp->root, rel, strerror(-err));
		return err;
	}
	for (unsigned int i = 0; i < MXDP_SERVICES; i++) {
		memcpy(out[i].key, s->v[i].key, sizeof(out[i].key) - 1);
		out[i].named = s->v[i].named;
	}
	return 0;
}
