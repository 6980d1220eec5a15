// SPDX-License-Identifier: GPL-2.0-only
/* Opening: the place, the lock, the pins. */
#include <dirent.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <time.h>
#include "dp_private.h"

#define LOCK_STEP_MS 2

int dp_lock_wait_ms = 10000;

/* ---- maps ---- */

int view_map(struct dp_view *v, int fd, size_t offset, size_t len, bool writable)
{
	void *p = mmap(NULL, len, writable ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, offset);

	if (p == MAP_FAILED)
		return -errno;
	*v = (struct dp_view){ p, len };
	return 0;
}

void view_unmap(struct dp_view *v)
{
	if (v->p)
		munmap(v->p, v->len);
	v->p = NULL;
}

void *window_at(struct dp_window *w, size_t offset, size_t len)
{
	size_t from = offset & ~(size_t)(DP_PAGE - 1), to = (offset + len + DP_PAGE - 1) & ~(size_t)(DP_PAGE - 1);

	if (offset + len > w->total)
		return NULL;
	if (!w->v.p || offset < w->offset || offset + len > w->offset + w->v.len) {
		view_unmap(&w->v);
		if (w->whole) {
			from = 0;
			to = (w->total + DP_PAGE - 1) & ~(size_t)(DP_PAGE - 1);
		}
		if (view_map(&w->v, w->fd, from, to - from, w->writable))
			return NULL;
		w->offset = from;
	}
	w->last = (char *)w->v.p + (offset - w->offset);
	return w->last;
}

void window_close(struct dp_window *w)
{
	view_unmap(&w->v);
}

int map_info(int fd, struct bpf_map_info *info)
{
	uint32_t len = sizeof(*info);

	memset(info, 0, sizeof(*info));
	return bpf_obj_get_info_by_fd(fd, info, &len);
}

int map_make(const char *name, uint32_t value_size, uint32_t entries, struct diag *d)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_MMAPABLE);
	int fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, name, sizeof(uint32_t), value_size, entries, &opts);

	if (fd >= 0)
		return fd;
	if (fd == -EPERM)
		diag_error(
		    d, "the kernel does not let this user make BPF maps; run as root, or with CAP_BPF, CAP_NET_ADMIN "
		       "and CAP_PERFMON");
	else if (fd == -EINVAL)
		diag_error(d, "the kernel makes no BPF arrays that can be mapped; Linux 5.18 or newer is needed");
	else
		diag_error(d, "cannot make the table %s of %llu KiB: %s; the policy in force stays", name,
			   (unsigned long long)value_size * entries >> 10, strerror(-fd));
	return fd;
}

/* ---- pins ---- */

char *pin_path(const struct datapath *dp, const char *rel)
{
	return xasprintf("%s/%s", dp->root, rel);
}

bool pin_exists(const struct datapath *dp, const char *rel)
{
	struct stat st;

	return fstatat(dp->dir, rel, &st, AT_SYMLINK_NOFOLLOW) == 0;
}

/* The directory is ours and 0700, so nobody else can change what is under the path between the look and the open. */
int pin_get(const struct datapath *dp, const char *rel, struct diag *d)
{
	__cleanup_free char *path = pin_path(dp, rel);
	struct stat st;
	int fd;

	if (fstatat(dp->dir, rel, &st, AT_SYMLINK_NOFOLLOW)) {
		if (errno == ENOENT || errno == ENOTDIR)
			return -ENOENT;
		fd = -errno;
		diag_error(d, "%s: %s", path, strerror(-fd));
		return fd;
	}
	if (!S_ISREG(st.st_mode)) {
		diag_error(d, "%s is a %s where mxdp keeps a pin; remove it, then `mxdp apply`", path,
			   S_ISLNK(st.st_mode) ? "symbolic link" : S_ISDIR(st.st_mode) ? "directory" : "special file");
		return -EBADF;
	}
	fd = bpf_obj_get(path);
	if (fd < 0)
		diag_error(d, "cannot open the pin %s: %s%s", path, strerror(-fd),
			   fd == -EPERM || fd == -EACCES ? "; run as root" : "");
	return fd;
}

static const char *pin_kind(int fd)
{
	static char text[64];
	char proc[32];
	ssize_t n;

	snprintf(proc, sizeof(proc), "/proc/self/fd/%d", fd);
	n = readlink(proc, text, sizeof(text) - 1);
	if (n < 0)
		return "";
	text[n] = '\0';
	if (strstr(text, "bpf-map"))
		return "map";
	if (strstr(text, "bpf-prog"))
		return "program";
	return strstr(text, "bpf_link") || strstr(text, "bpf-link") ? "link" : text;
}

int pin_get_map(const struct datapath *dp, const char *rel, uint32_t value_size, uint32_t entries,
		struct bpf_map_info *info, struct diag *d)
{
	__cleanup_close int fd = pin_get(dp, rel, d);
	const char *kind;
	int own = fd;

	if (fd < 0)
		return fd;
	/* what kind of thing it is costs another look, and tells only what to say: nothing else passes for such a map */
	if (map_info(fd, info) || info->key_size != sizeof(uint32_t) || info->type != BPF_MAP_TYPE_ARRAY ||
	    !(info->map_flags & BPF_F_MMAPABLE) || (value_size && info->value_size != value_size) ||
	    (entries && info->max_entries != entries)) {
		kind = pin_kind(fd);
		diag_error(
		    d,
		    "%s/%s is not the map mxdp pins there (%s%s); take the filter off with `rm -r %s` (connections "
		    "stay), then `mxdp apply`",
		    dp->root, rel, *kind && strcmp(kind, "map") ? "it is a " : "",
		    *kind && strcmp(kind, "map") ? kind : "type or size differ", dp->root);
		return -EBADF;
	}
	fd = -1;
	return own;
}

int pin_put(const struct datapath *dp, int fd, const char *rel, struct diag *d)
{
	__cleanup_free char *path = pin_path(dp, rel);
	int err = bpf_obj_pin(fd, path);

	if (err)
		diag_error(d, "cannot pin %s: %s", path, strerror(-err));
	return err;
}

int pin_rename(const struct datapath *dp, const char *from, const char *to, struct diag *d)
{
	int err = renameat(dp->dir, from, dp->dir, to) ? -errno : 0;

	if (err)
		diag_error(d, "cannot rename %s/%s to %s: %s", dp->root, from, to, strerror(-err));
	return err;
}

int pin_replace(const struct datapath *dp, int fd, const char *rel, struct diag *d)
{
	int err = pin_put(dp, fd, "next/pin", d);

	if (!err)
		err = pin_rename(dp, "next/pin", rel, d);
	if (err)
		unlinkat(dp->dir, "next/pin", 0);
	return err;
}

int pin_mkdir(const struct datapath *dp, const char *rel, struct diag *d)
{
	int err = mkdirat(dp->dir, rel, 0700) && errno != EEXIST ? -errno : 0;

	if (err)
		diag_error(d, "cannot make the directory %s/%s: %s", dp->root, rel, strerror(-err));
	return err;
}

static int remove_tree(int at, const char *name)
{
	int fd, err = 0;
	struct dirent *e;
	DIR *dir;

	if (unlinkat(at, name, 0) == 0 || errno == ENOENT)
		return 0;
	fd = openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	dir = fd >= 0 ? fdopendir(fd) : NULL;
	if (!dir) {
		err = -errno;
		mx_close(&fd);
		return err;
	}
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			err = remove_tree(dirfd(dir), e->d_name) ?: err;
	closedir(dir);
	if (unlinkat(at, name, AT_REMOVEDIR))
		err = err ?: -errno;
	return err;
}

int pin_remove(const struct datapath *dp, const char *rel)
{
	return remove_tree(dp->dir, rel);
}

int work_begin(struct datapath *dp, struct diag *d)
{
	return pin_mkdir(dp, "next", d) ?: pin_mkdir(dp, "next/prog", d);
}

void work_end(struct datapath *dp)
{
	pin_remove(dp, "next");
}

/* `now` goes first, in one rename: without it the rest is recognized as rubbish. */
int remove_all(struct datapath *dp)
{
	int err;

	generation_close(&dp->now);
	dp->have = false;
	pin_remove(dp, "next");
	if (renameat(dp->dir, "now", dp->dir, "next") && errno != ENOENT)
		return -errno;
	err = pin_remove(dp, "dev") ?: pin_remove(dp, "next");
	if (!err && rmdir(dp->root))
		err = -errno;
	return err;
}

/* ---- the generation in force ---- */

void generation_close(struct dp_generation *g)
{
	if (g->state)
		munmap(g->state, DP_PAGE);
	mx_close(&g->state_fd);
	mx_close(&g->banks_fd);
	mx_close(&g->trie_fd);
	mx_close(&g->lease_fd);
	mx_close(&g->gates_fd);
	mx_close(&g->conns_fd);
	mx_close(&g->bans_fd);
	mx_close(&g->banned_fd);
	mx_close(&g->ban_head_fd);
	mx_close(&g->ban_texts_fd);
	*g = (struct dp_generation)DP_GENERATION_NONE;
}

/* What nobody but the version itself can do, and nobody else should try. */
static int other_version(const struct layout *l, struct diag *d)
{
	diag_error(d, "another version of mxdp filters here: %s, with map layout %s, and this one has %s; `mxdp reload` takes over "
		      "from it without a gap", *l->version ? l->version : "an unknown one", l->id, layout_own()->id);
	return -EPROTO;
}

static int other_schema(const struct datapath *dp, uint32_t abi, struct diag *d)
{
	diag_error(d,
		   "%s was pinned by an mxdp with schema %u, this one has schema %u; use that mxdp, or take its "
		   "filter off with `rm -r %s` (connections stay), then `mxdp apply`",
		   dp->root, abi, MXDP_ABI, dp->root);
	return -EPROTO;
}

static int state_open(struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	struct bpf_map_info info;
	struct dp_view v = {};
	int err;

	g->state_fd = pin_get_map(dp, "now/state", 0, 1, &info, d);
	if (g->state_fd < 0)
		return g->state_fd;
	err = view_map(&v, g->state_fd, 0, DP_PAGE, dp->how != DP_LOOK);
	if (err) {
		diag_error(d, "cannot map %s/now/state: %s", dp->root, strerror(-err));
		return err;
	}
	g->state = v.p;
	if (info.value_size != sizeof(*g->state) || g->state->abi != MXDP_ABI)
		return other_schema(dp, g->state->abi, d);
	return 0;
}

/* A kill never leaves half a generation: where there is none, somebody removed a pin. */
int pin_missing(const struct datapath *dp, int err, struct diag *d)
{
	if (err != -ENOENT)
		return err;
	diag_error(d, "%s/now lacks a pin that belongs there; take the filter off with `rm -r %s` (connections stay), then "
		      "`mxdp apply`", dp->root, dp->root);
	return -EBADF;
}

static int tables_of_connections(const struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	struct bpf_map_info info;

	g->lease_fd = pin_get_map(dp, "now/lease", sizeof(struct mxdp_lease_line), 0, &info, d);
	if (g->lease_fd < 0)
		return g->lease_fd;
	g->lease_lines = info.max_entries;
	g->gates_fd = pin_get_map(dp, "now/gates", sizeof(struct mxdp_words), MXDP_GATE_ALL, &info, d);
	if (g->gates_fd < 0)
		return g->gates_fd;
	g->conns_fd = pin_get_map(dp, "now/conns", sizeof(struct mxdp_words), MXDP_CONN_LINES(g->lease_lines), &info, d);
	return g->conns_fd < 0 ? g->conns_fd : 0;
}

static int generation_open(struct datapath *dp, struct dp_generation *g, struct diag *d)
{
	struct bpf_map_info info;
	int err = state_open(dp, g, d);

	if (err)
		return err;
	g->banks_fd = pin_get_map(dp, "now/banks", 2 * sizeof(struct mxdp_bank), 1, &info, d);
	if (g->banks_fd < 0)
		return g->banks_fd;
	g->trie_fd = pin_get_map(dp, "now/trie", sizeof(union mxdp_line), 0, &info, d);
	if (g->trie_fd < 0)
		return g->trie_fd;
	g->trie_lines = info.max_entries;
	/* a ban asks nothing of the tables of connections, and fail2ban starts a process for every ban */
	return (dp->how == DP_BAN ? 0 : tables_of_connections(dp, g, d)) ?: bans_open(dp, g, d);
}

int now_whole(struct datapath *dp, struct diag *d)
{
	return dp->have && dp->now.lease_fd < 0 ? pin_missing(dp, tables_of_connections(dp, &dp->now, d), d) : 0;
}

int now_open(struct datapath *dp, struct diag *d)
{
	struct dp_generation g __cleanup(generation_close) = DP_GENERATION_NONE;
	struct layout l;
	bool own;
	int err = layout_is_pinned(dp, "now/layout", &own, d);

	if (!err && !own) {
		err = layout_pinned(dp, "now/layout", &l, d);
		if (!err && strcmp(l.id, layout_own()->id))
			return dp->how == DP_TAKE ? other_open(dp, &l, d) : other_version(&l, d);
	}
	if (!err)
		err = generation_open(dp, &g, d);

	err = pin_missing(dp, err, d);
	if (err)
		return err;
	generation_close(&dp->now);
	dp->now = g;
	g = (struct dp_generation)DP_GENERATION_NONE;
	dp->have = true;
	return 0;
}

/* ---- the place ---- */

static bool on_bpffs(const char *path)
{
	struct statfs fs;

	return statfs(path, &fs) == 0 && (unsigned long)fs.f_type == BPF_FS_MAGIC;
}

static bool same_place(const char *a, const char *b)
{
	struct stat x, y;

	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
}

/* `ip netns exec` mounts a sysfs of its own over /sys, and the pins are out of sight. */
static bool hidden(const char *bpffs, enum dp_open how)
{
	static const char init[] = "/proc/1/root" DP_DEFAULT_BPFFS;

	if (strcmp(bpffs, DP_DEFAULT_BPFFS) || !on_bpffs(init) || same_place(init, bpffs))
		return false;
	if (!on_bpffs(bpffs) && how == DP_CREATE)
		return true;
	return access("/proc/1/root" DP_DEFAULT_BPFFS "/mxdp", F_OK) == 0 &&
	       access(DP_DEFAULT_BPFFS "/mxdp", F_OK) != 0;
}

static int place_check(const char *bpffs, enum dp_open how, struct diag *d)
{
	int err;

	if (hidden(bpffs, how)) {
		diag_error(d, "mxdp's pins are under the " DP_DEFAULT_BPFFS
			      " of the init process, which is hidden here (`ip netns exec` mounts another /sys); use "
			      "`nsenter --net=/run/netns/NAME mxdp ...` instead");
		return -EXDEV;
	}
	if (on_bpffs(bpffs))
		return 0;
	if (strcmp(bpffs, DP_DEFAULT_BPFFS)) {
		diag_error(d,
			   "%s is not on a BPF file system; give --bpffs a directory on one, or mount one there: "
			   "`mount -t bpf bpf %s`",
			   bpffs, bpffs);
		return -ENODEV;
	}
	if (how != DP_CREATE)
		return -ENOENT;
	if (mount("bpf", bpffs, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RELATIME, "mode=0700") == 0)
		return 0;
	err = -errno;
	diag_error(d, "no BPF file system is mounted at %s and mounting one failed: %s; %s", bpffs, strerror(-err),
		   err == -EPERM || err == -EACCES ? "run as root"
		   : err == -ENODEV		   ? "the kernel lacks CONFIG_BPF_SYSCALL"
						   : "try `mount -t bpf bpf " DP_DEFAULT_BPFFS "`");
	return err;
}

/* Anybody may make a directory in a bpffs with the usual mode 1777: trust only our own. */
static int dir_check(const char *root, const struct stat *st, struct diag *d)
{
	if (S_ISLNK(st->st_mode)) {
		diag_error(d, "%s is a symbolic link, which mxdp does not follow; remove it", root);
		return -ELOOP;
	}
	if (!S_ISDIR(st->st_mode)) {
		diag_error(d, "%s is not a directory; remove it", root);
		return -ENOTDIR;
	}
	if (st->st_uid != geteuid()) {
		if (st->st_uid == 0)
			diag_error(d, "%s belongs to root; run as root", root);
		else
			diag_error(d, "%s was made by user %u, not by mxdp; remove it", root, (unsigned int)st->st_uid);
		return -EACCES;
	}
	if (st->st_mode & 077) {
		diag_error(
		    d, "%s has mode %04o, so that others may reach the pins; see what is in it, then `chmod 0700 %s`",
		    root, (unsigned int)st->st_mode & 07777, root);
		return -EACCES;
	}
	return 0;
}

static int dir_open(struct datapath *dp, struct diag *d)
{
	struct stat st;
	int err;

	if (dp->how == DP_CREATE && mkdir(dp->root, 0700) && errno != EEXIST) {
		err = -errno;
		diag_error(d, "cannot make the directory %s: %s%s", dp->root, strerror(-err),
			   err == -EACCES || err == -EPERM ? "; run as root" : "");
		return err;
	}
	if (lstat(dp->root, &st)) {
		err = -errno;
		if (err != -ENOENT)
			diag_error(d, "%s: %s%s", dp->root, strerror(-err), err == -EACCES ? "; run as root" : "");
		return err;
	}
	err = dir_check(dp->root, &st, d);
	if (err)
		return err;
	dp->dir = open(dp->root, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dp->dir >= 0)
		return 0;
	err = -errno;
	if (err != -ENOENT)
		diag_error(d, "%s: %s", dp->root, strerror(-err));
	return err;
}

/* No alarm and no thread: a lock that is held for milliseconds is worth asking for again. */
static int dir_lock(struct datapath *dp, int kind, struct diag *d)
{
	const struct timespec step = { .tv_nsec = LOCK_STEP_MS * 1000000L };
	int err;

	for (int waited = 0; flock(dp->dir, kind | LOCK_NB); waited += LOCK_STEP_MS) {
		err = -errno;
		if (err == -EINTR)
			continue;
		if (err != -EWOULDBLOCK) {
			diag_error(d, "cannot lock %s: %s", dp->root, strerror(-err));
			return err;
		}
		if (waited >= dp_lock_wait_ms) {
			diag_error(
			    d, "another mxdp is at work on %s and did not finish within %d seconds; see `fuser -v %s`",
			    dp->root, dp_lock_wait_ms / 1000, dp->root);
			return -EBUSY;
		}
		nanosleep(&step, NULL);
	}
	return 0;
}

static bool dir_gone(const struct datapath *dp)
{
	struct stat st;

	return fstat(dp->dir, &st) || st.st_nlink == 0;
}

static bool leftovers(const struct datapath *dp)
{
	return pin_exists(dp, "next") || (!pin_exists(dp, "now") && pin_exists(dp, "dev"));
}

/* Opens the directory, locks it, and repairs what a killed writer left. -EAGAIN: removed while we waited. */
static int dir_enter(struct datapath *dp, struct diag *d)
{
	int kind = dp->how == DP_LOOK ? LOCK_SH : LOCK_EX, err;

	err = dir_open(dp, d) ?: dir_lock(dp, kind, d);
	while (!err) {
		if (dir_gone(dp))
			return -EAGAIN;
		if (!leftovers(dp))
			return 0;
		/* a look repairs too, or it would show what is not so; for that long it takes the writer's lock */
		if (kind == LOCK_SH)
			err = dir_lock(dp, LOCK_EX, d);
		if (!err && !dir_gone(dp) && leftovers(dp))
			err = recover(dp, d);
		if (!err && kind == LOCK_SH && !dir_gone(dp))
			err = dir_lock(dp, LOCK_SH, d);
	}
	return err;
}

static int other_end(struct datapath *dp, struct diag *d)
{
	int err = dp_detach_all(dp, d);

	other_close(dp);
	if (!err)
		diag_note(d, "the first policy, on trial under another version of mxdp, was not confirmed in time: nothing is "
			     "filtered, as before it");
	return err;
}

/* -EAGAIN: the trial of the first policy was over, and with it the directory is gone. */
static int dp_enter(struct datapath *dp, struct diag *d)
{
	int err;

	while ((err = dir_enter(dp, d)) == -EAGAIN) {
		mx_close(&dp->dir);
		dp->dir = -1;
	}
	if (!err && pin_exists(dp, "now"))
		err = now_open(dp, d);
	else if (!err && dp->how != DP_CREATE)
		err = -ENOENT;
	if (!err && dp->how != DP_LOOK)
		edit_undo(dp);
	if (err || dp->how == DP_LOOK || !(trial_over(dp) || other_must_go(dp)))
		return err;
	err = dp->other ? other_end(dp, d) : now_whole(dp, d) ?: trial_settle(dp, d);
	if (err || dp->have)
		return err;
	mx_close(&dp->dir);
	dp->dir = -1;
	return -EAGAIN;
}

static int open_once(struct datapath **out, const char *bpffs, enum dp_open how, struct diag *d)
{
	struct datapath *dp;
	int err = place_check(bpffs, how, d);

	*out = NULL;
	if (err)
		return err;
	log_start();
	dp = xcalloc(1, sizeof(*dp));
	*dp = (struct datapath){.root = xasprintf("%s/mxdp", bpffs), .dir = -1, .how = how, .now = DP_GENERATION_NONE};
	while ((err = dp_enter(dp, d)) == -EAGAIN)
		;
	if (err) {
		dp_close(dp);
		return err;
	}
	if (how != DP_LOOK && how != DP_BAN)
		grace_start(dp);
	*out = dp;
	return 0;
}

/* What a look shows is so: a trial that is over is settled by a writer first, and an edit half made is taken back. */
int dp_open(struct datapath **out, const char *bpffs, enum dp_open how, struct diag *d)
{
	int err = open_once(out, bpffs, how, d);
	bool over;

	if (err || how != DP_LOOK)
		return err;
	over = trial_over(*out);
	if (!over && !edit_half_made(*out))
		return 0;
	dp_close(take(*out));
	err = open_once(out, bpffs, over ? DP_CHANGE : DP_BAN, d);
	if (err)
		return err;
	dp_close(take(*out));
	err = open_once(out, bpffs, how, d);
	if (!err)
		(*out)->settled = over;
	return err;
}

void dp_close(struct datapath *dp)
{
	if (!dp)
		return;
	grace_drop(dp);
	/* made for a policy that never came: succeeds only when empty */
	if (dp->dir >= 0 && dp->how == DP_CREATE && !dp->have && !dp->other && !dir_gone(dp))
		rmdir(dp->root);
	generation_close(&dp->now);
	other_close(dp);
	for (size_t i = 0; i < dp->npacks; i++)
		view_unmap(&dp->packs[i]);
	free(dp->packs);
	mx_close(&dp->dir);
	free(dp->root);
	free(dp);
}

uint32_t dp_epoch(const struct datapath *dp)
{
	if (dp->other)
		return other_epoch(dp);
	return dp->have ? __atomic_load_n(&dp->now.state->epoch, __ATOMIC_ACQUIRE) : 0;
}
