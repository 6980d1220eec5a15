// SPDX-License-Identifier: GPL-2.0-only
/*
 * The datapath against the running kernel: put, attach, replace, grow, recover, count. Needs root. Works in a network
 * and a mount namespace of its own, so nothing of it is left however it ends.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <netinet/ip.h>
#include <netinet/ip6.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <cmocka.h>
#include "dp_private.h"

#define BPFFS "/mnt" /* in a mount namespace of our own */
#define ROOT BPFFS "/mxdp"

/* ---- small helpers ---- */

static struct diag diag;

static const char *said(void)
{
	return diag.n ? diag.msg[diag.n - 1].text : "";
}

static void fresh_diag(void)
{
	diag_free(&diag);
}

#define OK(call) do { \
		int err_ = (call); \
		if (err_) \
			print_error("%s: %d: %s\n", #call, err_, said()); \
		assert_int_equal(err_, 0); \
	} while (0)

static void sh(const char *fmt, ...)
{
	char cmd[512];
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(cmd, sizeof(cmd), fmt, ap);
	va_end(ap);
	if (system(cmd))
		fail_msg("%s", cmd);
}

static struct datapath *open_dp(enum dp_open how)
{
	struct datapath *dp = NULL;

	OK(dp_open(&dp, BPFFS, how, &diag));
	return dp;
}

/* ---- images by hand ---- */

/*
 * Two policies, 0 and 1, that differ in every table a packet meets: port 25 is service 1 + p, the source 198.51.100.100
 * is class 5 + p (by way of the trie), and only that class may open that service. A packet judged by parts of both is
 * refused.
 */
#define OPEN_SOURCE 0xc6336464u
#define OTHER_SOURCE 0xc6336564u
static const char *const policy_text[] = { "policy zero", "policy one, somewhat longer" };


static void image_make(struct image *img, int p, size_t lines)
{
	union mxdp_line *node;
	size_t at = lines - 1;

	*img = (struct image){
	    .bank = xcalloc(1, sizeof(*img->bank)),
	    .lines = xcalloc(lines, sizeof(*img->lines)),
	    .nlines = lines,
	    .nclasses = 10,
	    .nprefixes = 1,
	    .frozen = xstrdup(policy_text[p]),
	    .nfrozen = strlen(policy_text[p]),
	};
	for (int i = 0; i < 65536; i++)
		img->bank->port[i] = MXDP_PORT_CLOSED | MXDP_PORT_KNOCK;
	img->bank->port[25] = 1 + p;
	img->bank->policy[5 + p][1 + p] = MXDP_CELL_ALLOW;
	img->bank->dir4[OPEN_SOURCE >> 16] = MXDP_NODE | at;
	/* 100 and nothing else below 198.51/16, one more step down */
	node = &img->lines[at];
	node->node.bits[0] = 1;
	node->node.bits[1] = 3ULL << (100 - 64);
	node->node.rank[1] = 1;
	node->node.rank[2] = node->node.rank[3] = 3;
	node->node.base = at * MXDP_LINE_CELLS + MXDP_NODE_INLINE;
	node->node.runs[1] = 5 + p;
	strcpy(img->services[0].key, "other");
	strcpy(img->services[1].key, "25");
	strcpy(img->services[2].key, "26");
	for (int i = 0; i < 3; i++)
		img->services[i].named = true;
}

static void image_drop(struct image *img)
{
	free(img->bank);
	free(img->lines);
	free(img->frozen);
}
#define __cleanup_image __cleanup(image_drop)

#define LEASES 1024u

static int put_in(struct datapath *dp, int p, size_t lines, uint32_t leases)
{
	__cleanup_image struct image img = {};

	image_make(&img, p, lines);
	return dp_put(dp, &img, leases, &diag);
}

static void put(int p, size_t lines, uint32_t leases)
{
	struct datapath *dp = open_dp(DP_CREATE);

	OK(put_in(dp, p, lines, leases));
	dp_close(dp);
}

static void attach(const char *name, enum dp_mode mode)
{
	struct datapath *dp = open_dp(DP_CHANGE);

	OK(dp_attach(dp, name, mode, &diag));
	dp_close(dp);
}

static void detach_everything(void)
{
	struct datapath *dp;

	if (dp_open(&dp, BPFFS, DP_CHANGE, &diag) == 0) {
		OK(dp_detach_all(dp, &diag));
		dp_close(dp);
	}
	assert_int_equal(access(ROOT, F_OK), -1);
}

/* ---- packets ---- */

struct frame4 {
	struct ethhdr eth;
	struct iphdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

struct frame6 {
	struct ethhdr eth;
	struct ip6_hdr ip;
	struct tcphdr tcp;
} __attribute__((packed));

static struct frame4 syn4(uint32_t source, uint16_t port)
{
	return (struct frame4){
	    .eth.h_proto = htons(ETH_P_IP),
	    .ip = {.version = 4,
		   .ihl = 5,
		   .tot_len = htons(40),
		   .ttl = 64,
		   .protocol = IPPROTO_TCP,
		   .saddr = htonl(source),
		   .daddr = htonl(0xc0000201)},
	    .tcp = {.source = htons(40000), .dest = htons(port), .doff = 5, .syn = 1},
	};
}

static struct frame6 syn6(uint16_t port)
{
	return (struct frame6){
		.eth.h_proto = htons(ETH_P_IPV6),
		.ip = { .ip6_flow = htonl(6u << 28), .ip6_plen = htons(20), .ip6_nxt = IPPROTO_TCP, .ip6_hlim = 64,
			.ip6_src.s6_addr = { 0x20, 1, 0xd, 0xb8, 1 }, .ip6_dst.s6_addr = { 0x20, 1, 0xd, 0xb8, 2 } },
		.tcp = { .source = htons(40000), .dest = htons(port), .doff = 5, .syn = 1 },
	};
}

static void expect_policy(struct datapath *dp, const char *ifname, int p)
{
	struct frame4 f = syn4(OPEN_SOURCE, 25);
	struct dp_verdict v;

	OK(dp_probe(dp, ifname, &f, sizeof(f), &v, &diag));
	assert_int_equal(v.said.reason, MXDP_R_ALLOWED);
	assert_int_equal(v.said.service, 1 + p);
	assert_int_equal(v.said.class_, 5 + p);
	assert_int_equal(v.action, XDP_PASS);
	assert_int_equal(v.said.epoch, dp_epoch(dp));
	if (dp_loader != program_load)
		return;
	f = syn4(OTHER_SOURCE, 25);
	OK(dp_probe(dp, ifname, &f, sizeof(f), &v, &diag));
	assert_int_equal(v.said.reason, MXDP_R_DENIED);
	assert_int_equal(v.action, XDP_DROP);
}

/* The policy in force, by its frozen text: 0 or 1. */
static int policy_of(struct datapath *dp)
{
	__cleanup_free void *blob = NULL;
	size_t len;

	OK(dp_frozen(dp, &blob, &len, &diag));
	for (int p = 0; p < 2; p++)
		if (len >= strlen(policy_text[p]) && !memcmp(blob, policy_text[p], strlen(policy_text[p])))
			return p;
	fail_msg("frozen text of no policy");
	return -1;
}

/* Sends it through the program of the interface as from the wire: counted. */
static void send_frames(const char *ifname, const void *frame, size_t len, unsigned int times, unsigned int queue)
{
	struct datapath *dp = open_dp(DP_LOOK);
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	struct xdp_md ctx = { .data_end = len, .ingress_ifindex = if_nametoindex(ifname), .rx_queue_index = queue };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = frame, .data_size_in = len, .repeat = times, .ctx_in = &ctx,
		    .ctx_size_in = sizeof(ctx));

	OK(dev_open(dp, ifname, &dev, &diag));
	OK(bpf_prog_test_run_opts(dev.prog_fd, &o));
	dp_close(dp);
}

static struct dp_counts *counts_of(const char *ifname)
{
	struct datapath *dp = open_dp(DP_LOOK);
	struct dp_counts *c = xmalloc(sizeof(*c));

	OK(dp_counts(dp, ifname, c, &diag));
	dp_close(dp);
	return c;
}

static struct mxdp_count total(const struct dp_counts *c)
{
	const struct mxdp_count *v = &c->cell[0][0][0][0];
	struct mxdp_count t = {};

	for (unsigned int i = 0; i < MXDP_COUNTERS_PER_ROW; i++) {
		t.packets += v[i].packets;
		t.bytes += v[i].bytes;
	}
	return t;
}

static struct dp_iface iface(const char *ifname)
{
	struct datapath *dp = open_dp(DP_LOOK);
	__cleanup_free struct dp_iface *v = NULL;
	struct dp_iface found = {};
	size_t n;

	OK(dp_ifaces(dp, &v, &n, &diag));
	for (size_t i = 0; i < n; i++)
		if (!strcmp(v[i].name, ifname))
			found = v[i];
	dp_close(dp);
	assert_string_equal(found.name, ifname);
	return found;
}

static void expect_well(const char *ifname)
{
	struct dp_iface f = iface(ifname);

	assert_int_equal(f.ifindex, if_nametoindex(ifname));
	assert_int_equal(f.link_ifindex, f.ifindex);
	assert_int_not_equal(f.prog_id, 0);
	assert_int_equal(f.running_id, f.prog_id);
}

static uint64_t probe_key(void)
{
	struct datapath *dp = open_dp(DP_LOOK);
	uint64_t key = dp->now.state->probe_key;

	dp_close(dp);
	return key;
}

static uint32_t link_id(const char *ifname)
{
	struct datapath *dp = open_dp(DP_LOOK);
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	struct bpf_link_info info = {};
	uint32_t len = sizeof(info);

	OK(dev_open(dp, ifname, &dev, &diag));
	OK(bpf_obj_get_info_by_fd(dev.link_fd, &info, &len));
	dp_close(dp);
	return info.id;
}

/* ---- opening ---- */

static void expect_refusal(const char *bpffs, enum dp_open how, int err, const char *words)
{
	struct datapath *dp = NULL;

	fresh_diag();
	assert_int_equal(dp_open(&dp, bpffs, how, &diag), err);
	assert_null(dp);
	if (!words) {
		assert_int_equal(diag.n, 0);
	} else if (!strstr(said(), words)) {
		fail_msg("\"%s\" does not say \"%s\"", said(), words);
	}
	fresh_diag();
}

static void without_pins_it_is_not_loaded(void **s)
{
	(void)s;
	expect_refusal(BPFFS, DP_LOOK, -ENOENT, NULL);
	expect_refusal(BPFFS, DP_CHANGE, -ENOENT, NULL);
	dp_close(open_dp(DP_CREATE));
	assert_int_equal(access(ROOT, F_OK), -1);
}

static void a_place_that_is_not_ours_is_refused(void **s)
{
	(void)s;
	expect_refusal("/tmp", DP_CREATE, -ENODEV, "--bpffs");
	expect_refusal("/tmp/dpt-missing", DP_LOOK, -ENODEV, "/tmp/dpt-missing");

	assert_int_equal(symlink("/tmp", ROOT), 0);
	expect_refusal(BPFFS, DP_CREATE, -ELOOP, "symbolic link");
	assert_int_equal(unlink(ROOT), 0);

	assert_int_equal(mkdir(ROOT, 0700), 0);
	assert_int_equal(chown(ROOT, 65534, 65534), 0);
	expect_refusal(BPFFS, DP_CREATE, -EACCES, "65534");
	expect_refusal(BPFFS, DP_LOOK, -EACCES, "65534");
	assert_int_equal(chown(ROOT, 0, 0), 0);
	assert_int_equal(chmod(ROOT, 0750), 0);
	expect_refusal(BPFFS, DP_CHANGE, -EACCES, "chmod 0700");
	assert_int_equal(rmdir(ROOT), 0);
}

static int map_for_test(uint32_t value_size)
{
	int fd = map_make("other", value_size, 1, &diag);

	assert_true(fd >= 0);
	return fd;
}

static void a_pin_that_is_not_ours_is_refused(void **s)
{
	__cleanup_close int banks = map_for_test(8), state = map_for_test(64);
	uint32_t zero = 0;
	uint8_t other[64] = { MXDP_ABI + 1 };
	char ours[32];

	(void)s;
	snprintf(ours, sizeof(ours), "schema %u", MXDP_ABI);
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	assert_int_equal(rename(ROOT "/now/banks", ROOT "/now/saved"), 0);
	assert_int_equal(bpf_obj_pin(banks, ROOT "/now/banks"), 0);
	expect_refusal(BPFFS, DP_LOOK, -EBADF, "now/banks");
	assert_int_equal(unlink(ROOT "/now/banks"), 0);
	assert_int_equal(rename(ROOT "/now/prog/dpt0", ROOT "/now/banks"), 0);
	expect_refusal(BPFFS, DP_LOOK, -EBADF, "program");
	assert_int_equal(rename(ROOT "/now/banks", ROOT "/now/prog/dpt0"), 0);
	assert_int_equal(symlink("saved", ROOT "/now/banks"), 0);
	expect_refusal(BPFFS, DP_LOOK, -EBADF, "symbolic link");
	assert_int_equal(unlink(ROOT "/now/banks"), 0);
	expect_refusal(BPFFS, DP_CHANGE, -EBADF, "lacks a pin");
	assert_int_equal(rename(ROOT "/now/saved", ROOT "/now/banks"), 0);

	assert_int_equal(rename(ROOT "/now/state", ROOT "/now/saved"), 0);
	assert_int_equal(bpf_map_update_elem(state, &zero, other, 0), 0);
	assert_int_equal(bpf_obj_pin(state, ROOT "/now/state"), 0);
	expect_refusal(BPFFS, DP_CHANGE, -EPROTO, ours);
	assert_int_equal(rename(ROOT "/now/saved", ROOT "/now/state"), 0);
	expect_well("dpt0");
	detach_everything();
}

static int child(void (*run)(void *), void *arg)
{
	pid_t pid;
	int status;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		run(arg);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

static void open_hidden(void *how)
{
	struct datapath *dp;

	if (unshare(CLONE_NEWNS) || mount("none", "/sys", "sysfs", 0, NULL))
		_exit(2);
	if (dp_open(&dp, DP_DEFAULT_BPFFS, *(enum dp_open *)how, &diag) != -EXDEV || !strstr(said(), "nsenter"))
		_exit(1);
}

/* The first process of its own little world, with a bpffs where everybody has it. */
static void as_init(void *arg)
{
	enum dp_open create = DP_CREATE, look = DP_LOOK;
	struct datapath *dp;

	(void)arg;
	if (unshare(CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", "/proc", "proc", 0, NULL) || mount("dpt", DP_DEFAULT_BPFFS, "bpf", 0, NULL))
		_exit(3);
	if (child(open_hidden, &create))
		_exit(4);
	if (dp_open(&dp, DP_DEFAULT_BPFFS, DP_LOOK, &diag) != -ENOENT || diag.n)
		_exit(5);
	if (mkdir(DP_DEFAULT_BPFFS "/mxdp", 0700) || child(open_hidden, &look))
		_exit(6);
}

static void make_init(void *arg)
{
	if (unshare(CLONE_NEWPID))
		_exit(7);
	_exit(child(as_init, arg));
}

static void a_hidden_bpffs_is_noticed(void **s)
{
	(void)s;
	assert_int_equal(child(make_init, NULL), 0);
}

static void open_as_nobody(void *arg)
{
	struct datapath *dp;

	(void)arg;
	if (setgid(65534) || setuid(65534))
		_exit(2);
	if (dp_open(&dp, BPFFS, DP_LOOK, &diag) != -EACCES || !strstr(said(), "run as root"))
		_exit(1);
}

static void another_user_gets_nothing(void **s)
{
	(void)s;
	put(0, 1, LEASES);
	assert_int_equal(child(open_as_nobody, NULL), 0);
	detach_everything();
}

/* ---- putting ---- */

static void what_was_put_is_read_back(void **s)
{
	struct service v[MXDP_SERVICES];
	__cleanup_image struct image img = {};
	__cleanup_free char *big = NULL;
	struct datapath *dp;
	void *blob;
	size_t len;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_CREATE);
	assert_int_equal(dp_epoch(dp), 1);
	assert_int_equal(policy_of(dp), 0);
	image_make(&img, 1, 1);
	img.services[2].named = false;
	/* larger than any frozen map so far, then small again */
	free(img.frozen);
	img.nfrozen = 700001;
	img.frozen = xcalloc(img.nfrozen, 1);
	memset(img.frozen, 0x5a, img.nfrozen);
	OK(dp_put(dp, &img, LEASES, &diag));
	OK(dp_frozen(dp, &blob, &len, &diag));
	assert_int_equal(len, img.nfrozen);
	assert_memory_equal(blob, img.frozen, len);
	free(blob);
	assert_int_equal(dp_epoch(dp), 2);
	OK(dp_services(dp, v, &diag));
	assert_string_equal(v[0].key, "other");
	assert_string_equal(v[1].key, "25");
	assert_true(v[1].named);
	assert_false(v[2].named);
	assert_string_equal(v[3].key, "");
	for (int i = 0; i < 4; i++) {
		OK(put_in(dp, i & 1, 1, LEASES));
		assert_int_equal(policy_of(dp), i & 1);
	}
	assert_int_equal(dp_epoch(dp), 6);
	assert_true(dp_memory(dp) > 2 * sizeof(struct mxdp_bank));
	dp_close(dp);
	detach_everything();
}

static void a_look_changes_nothing(void **s)
{
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_LOOK);
	assert_int_equal(put_in(dp, 1, 1, LEASES), -EINVAL);
	assert_int_equal(dp_epoch(dp), 1);
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	assert_int_equal(put_in(dp, 1, 1, 1000), -EINVAL); /* no power of two */
	assert_int_equal(policy_of(dp), 0);
	dp_close(dp);
	detach_everything();
}

static void a_frozen_pin_of_another_policy_is_noticed(void **s)
{
	struct datapath *dp;
	void *blob;
	size_t len;

	(void)s;
	put(0, 1, LEASES);
	put(1, 1, LEASES);
	assert_int_equal(unlink(ROOT "/now/frozen0"), 0);
	assert_int_equal(rename(ROOT "/now/frozen1", ROOT "/now/frozen0"), 0);
	dp = open_dp(DP_LOOK);
	fresh_diag();
	assert_int_equal(dp_frozen(dp, &blob, &len, &diag), -EBADMSG);
	assert_non_null(strstr(said(), "frozen0"));
	dp_close(dp);
	/* the next put makes what is missing, two of them both banks' */
	put(0, 1, LEASES);
	put(1, 1, LEASES);
	dp = open_dp(DP_LOOK);
	assert_int_equal(policy_of(dp), 1);
	dp_close(dp);
	detach_everything();
}

static uint64_t *lease_word(struct datapath *dp, struct dp_view *v)
{
	OK(view_map(v, dp->now.lease_fd, 0, LEASES * sizeof(struct mxdp_lease_line), true));
	return (uint64_t *)v->p + LEASES * MXDP_LEASE_WAYS - 1;
}

/* The epoch's last bits come again; the leases of then must not. */
static void leases_are_gone_before_their_epoch_comes_again(void **s)
{
	static const uint32_t marks[] = { 0x1000, 0x1800 };
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	for (size_t i = 0; i < 2; i++) {
		__cleanup_view struct dp_view v = {};
		uint64_t *word = lease_word(dp, &v);

		dp->now.state->epoch = marks[i] - 1;
		dp->now.state->voided = 0;
		dp->now.state->leases_wiped = marks[i] - 1;
		*word = 77;
		OK(put_in(dp, 1, 1, LEASES));
		assert_int_equal(dp_epoch(dp), marks[i]);
		assert_int_equal(*word, 77);
		OK(put_in(dp, 1, 1, LEASES)); /* the packets of before have gone by now */
		assert_int_equal(*word, 0);
		*word = 78;
		OK(put_in(dp, 1, 1, LEASES));
		assert_int_equal(*word, 78);

		/* bans and the end of a trial count too, whatever marks they step over */
		dp->now.state->voided = 0x7ff;
		OK(leases_void(dp, &diag));
		assert_int_equal(dp->now.state->voided, 0x800);
		assert_int_equal(*word, 0);
		*word = 79;
		OK(leases_void(dp, &diag));
		OK(put_in(dp, 1, 1, LEASES));
		assert_int_equal(*word, 79);
	}
	dp_close(dp);
	detach_everything();
}

/* ---- attaching ---- */

static void attach_judges_and_detach_leaves_nothing(void **s)
{
	int64_t begun = time(NULL);
	struct dp_iface f;
	struct datapath *dp;

	(void)s;
	dp = open_dp(DP_CREATE);
	assert_int_equal(dp_attach(dp, "dpt0", DP_NATIVE, &diag), -ENODATA);
	OK(put_in(dp, 0, 1, LEASES));
	assert_int_equal(dp_attach(dp, "dptnone", DP_NATIVE, &diag), -ENODEV);
	assert_int_equal(dp_attach(dp, "../dpt0", DP_NATIVE, &diag), -ENODEV);
	assert_int_equal(dp_detach(dp, "dpt0", &diag), -ENOENT);
	OK(dp_attach(dp, "dpt0", DP_NATIVE, &diag));
	expect_policy(dp, "dpt0", 0);
	OK(put_in(dp, 1, 1, LEASES));
	expect_policy(dp, "dpt0", 1);
	dp_close(dp);

	f = iface("dpt0");
	assert_int_equal(f.mode, DP_NATIVE);
	assert_true(f.frags);
	assert_string_equal(f.driver, "veth");
	/* however busy the machine; a second for the rounding */
	assert_true(f.attached_at >= begun - 1 && f.attached_at <= (int64_t)time(NULL) + 1);
	assert_true(f.rows >= 1 && f.rows <= DP_MAX_ROWS && (f.rows & (f.rows - 1)) == 0);
	expect_well("dpt0");

	attach("dpt0", DP_NATIVE); /* again: nothing done */
	assert_int_equal(iface("dpt0").prog_id, f.prog_id);
	attach("dpt2", DP_GENERIC);
	assert_int_equal(iface("dpt2").mode, DP_GENERIC);
	dp = open_dp(DP_CHANGE);
	OK(dp_detach(dp, "dpt0", &diag));
	assert_int_equal(dp_detach(dp, "dpt0", &diag), -ENOENT);
	expect_policy(dp, "dpt2", 1);
	OK(dp_detach(dp, "dpt2", &diag));
	dp_close(dp);
	assert_int_equal(access(ROOT, F_OK), -1);
}

static void names_with_dots_work(void **s)
{
	struct datapath *dp;

	(void)s;
	sh("ip link set dpt0 down && ip link set dpt0 name dpt0.5 && ip link set dpt0.5 up");
	put(0, 1, LEASES);
	attach("dpt0.5", DP_NATIVE);
	expect_well("dpt0.5");
	dp = open_dp(DP_LOOK);
	expect_policy(dp, "dpt0.5", 0);
	dp_close(dp);
	detach_everything();
	sh("ip link set dpt0.5 down && ip link set dpt0.5 name dpt0 && ip link set dpt0 up");
}

static void a_driver_without_native_mode_is_said(void **s)
{
	struct datapath *dp;

	(void)s;
	sh("ip link add dptbr type bridge");
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	fresh_diag();
	assert_int_equal(dp_attach(dp, "dptbr", DP_NATIVE, &diag), -EOPNOTSUPP);
	assert_int_equal(diag.n, 1);
	assert_non_null(strstr(said(), "mode generic"));
	assert_non_null(strstr(said(), "driver bridge"));
	assert_non_null(strstr(said(), "Underlying driver")); /* the kernel's own words */
	assert_int_equal(dp_detach(dp, "dptbr", &diag), -ENOENT); /* nothing left of it */
	fresh_diag();
	OK(dp_attach(dp, "dptbr", DP_AUTO, &diag));
	assert_non_null(strstr(said(), "GENERIC"));
	dp_close(dp);
	assert_int_equal(iface("dptbr").mode, DP_GENERIC);
	expect_well("dptbr");
	detach_everything();
	sh("ip link del dptbr");
}

static void the_mode_can_be_changed(void **s)
{
	struct frame4 f = syn4(OPEN_SOURCE, 25);
	__cleanup_free struct dp_counts *c = NULL;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_GENERIC);
	send_frames("dpt0", &f, sizeof(f), 7, 0);
	attach("dpt0", DP_NATIVE);
	assert_int_equal(iface("dpt0").mode, DP_NATIVE);
	expect_well("dpt0");
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 7);
	attach("dpt0", DP_AUTO);
	assert_int_equal(iface("dpt0").mode, DP_NATIVE);
	detach_everything();
}

/* Large frames need a program that takes them in pieces; veth tells the two kinds apart. */
static void with_frags_and_without_it_loads(void **s)
{
	struct datapath *dp;
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	__cleanup_close int fd = -1;
	struct dp_load l;

	(void)s;
	sh("ip link set dpt0 mtu 9000 && ip link set dpt1 mtu 9000");
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	expect_well("dpt0");
	assert_true(iface("dpt0").frags);
	attach("dpt2", DP_NATIVE);
	dp = open_dp(DP_CHANGE);
	OK(dev_open(dp, "dpt2", &dev, &diag));
	l = (struct dp_load){.g = &dp->now, .counters_fd = dev.counters_fd, .ports_fd = dev.ports_fd, .rows = dev.rows};
	fd = program_load(&l, &diag);
	assert_true(fd >= 0);
	OK(bpf_link_update(dev.link_fd, fd, NULL));
	dev_close(&dev);
	OK(dev_open(dp, "dpt0", &dev, &diag));
	assert_int_not_equal(bpf_link_update(dev.link_fd, fd, NULL), 0);
	dp_close(dp);
	sh("ip link set dpt0 mtu 1500 && ip link set dpt1 mtu 1500");
	detach_everything();
}

static int foreign_prog(void)
{
	const struct bpf_insn pass[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = XDP_PASS },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "stranger", "GPL", pass, 2, NULL);

	assert_true(fd >= 0);
	return fd;
}

static void a_foreign_program_is_left_alone_and_named(void **s)
{
	__cleanup_close int fd = foreign_prog();
	struct datapath *dp;
	char id[32];
	int link;

	(void)s;
	snprintf(id, sizeof(id), "id %u", program_id(fd));
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	assert_int_equal(bpf_xdp_attach(if_nametoindex("dpt0"), fd, XDP_FLAGS_DRV_MODE, NULL), 0);
	fresh_diag();
	assert_int_equal(dp_attach(dp, "dpt0", DP_NATIVE, &diag), -EBUSY);
	assert_non_null(strstr(said(), "\"stranger\""));
	assert_non_null(strstr(said(), id));
	assert_non_null(strstr(said(), "ip link set dev dpt0 xdp off"));
	assert_int_equal(bpf_xdp_detach(if_nametoindex("dpt0"), XDP_FLAGS_DRV_MODE, NULL), 0);

	link = bpf_link_create(fd, if_nametoindex("dpt0"), BPF_XDP, NULL);
	assert_true(link >= 0);
	assert_int_equal(dp_attach(dp, "dpt0", DP_AUTO, &diag), -EBUSY);
	assert_non_null(strstr(said(), "bpftool link detach id"));
	close(link);
	OK(dp_attach(dp, "dpt0", DP_NATIVE, &diag));
	dp_close(dp);
	detach_everything();
}

static void what_happens_to_interfaces_is_told(void **s)
{
	struct frame4 f = syn4(OPEN_SOURCE, 25);
	struct dp_iface i;
	struct datapath *dp;
	struct dp_dev dev = DP_DEV_NONE;
	struct dp_counts *c;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	send_frames("dpt0", &f, sizeof(f), 5, 0);

	/* detached by somebody */
	dp = open_dp(DP_LOOK);
	OK(dev_open(dp, "dpt0", &dev, &diag));
	OK(bpf_link_detach(dev.link_fd));
	dev_close(&dev);
	dp_close(dp);
	i = iface("dpt0");
	assert_int_equal(i.ifindex, if_nametoindex("dpt0"));
	assert_int_equal(i.link_ifindex, 0);
	assert_int_equal(i.running_id, 0);
	attach("dpt0", DP_NATIVE);
	expect_well("dpt0");

	/* the seconds of two clocks do not make it jump */
	i = iface("dpt0");
	for (int n = 0; n < 20; n++, usleep(60000))
		assert_int_equal(iface("dpt0").attached_at, i.attached_at);

	/* deleted and made again: a put goes on meanwhile, the counters stay */
	sh("ip link del dpt0");
	i = iface("dpt0");
	assert_int_equal(i.ifindex, 0);
	assert_int_equal(i.link_ifindex, 0);
	put(1, 1, LEASES);
	put(1, 10000, LEASES); /* a new generation, with nothing to replace on dpt0 */
	sh("ip link add dpt0 numrxqueues 2 numtxqueues 2 type veth peer name dpt1 numrxqueues 2 numtxqueues 2");
	sh("ip link set dpt0 up && ip link set dpt1 up");
	assert_int_equal(iface("dpt0").link_ifindex, 0);
	attach("dpt0", DP_NATIVE);
	expect_well("dpt0");
	send_frames("dpt0", &f, sizeof(f), 6, 0);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 11);
	free(c);
	detach_everything();
}

static void pins_follow_an_interface_that_was_renamed(void **s)
{
	struct frame4 f = syn4(OPEN_SOURCE, 25);
	struct dp_iface was, i;
	struct datapath *dp;
	struct dp_counts *c;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	send_frames("dpt0", &f, sizeof(f), 5, 0);
	was = iface("dpt0");
	assert_string_equal(was.now, "dpt0");

	/* still filtered, under its number; its old name given to another changes nothing in that */
	sh("ip link set dpt0 down && ip link set dpt0 name dpt.ren && ip link set dpt.ren up");
	i = iface("dpt0");
	assert_int_equal(i.ifindex, 0);
	assert_int_equal(i.link_ifindex, was.ifindex);
	assert_int_equal(i.running_id, was.prog_id);
	assert_string_equal(i.now, "dpt.ren");
	assert_string_equal(i.driver, "veth");
	dp = open_dp(DP_CHANGE);
	fresh_diag();
	assert_int_equal(dp_attach(dp, "dpt0", DP_NATIVE, &diag), -ENODEV);
	assert_non_null(strstr(said(), "is called dpt.ren now"));
	dp_close(dp);
	sh("ip link add dpt0 type veth peer name dptx && ip link set dpt0 up && ip link set dptx up");
	i = iface("dpt0");
	assert_int_equal(i.running_id, was.prog_id);
	assert_string_equal(i.now, "dpt.ren");
	assert_int_not_equal(i.ifindex, i.link_ifindex);

	/* attached under the new name, it is the same link and the same counters */
	attach("dpt.ren", DP_NATIVE);
	expect_well("dpt.ren");
	assert_int_equal(iface("dpt.ren").prog_id, was.prog_id);
	assert_true(iface("dpt.ren").frags == was.frags);
	c = counts_of("dpt.ren");
	assert_int_equal(total(c).packets, 5);
	free(c);
	assert_int_equal(access(ROOT "/dev/dpt0", F_OK), -1);
	assert_int_equal(access(ROOT "/now/prog/dpt0", F_OK), -1);
	assert_int_equal(access(ROOT "/now/prog/dpt:ren", F_OK), 0);
	assert_int_equal(access(ROOT "/next", F_OK), -1);
	put(1, 10000, LEASES); /* a new generation finds it */
	expect_well("dpt.ren");

	/* attaching what has the old name now lets go of neither */
	sh("ip link set dpt0 down && ip link set dpt0 name dptnew");
	sh("ip link set dpt.ren down && ip link set dpt.ren name dpt0 && ip link set dpt0 up");
	sh("ip link set dptnew name dpt.ren && ip link set dpt.ren up");
	attach("dpt.ren", DP_NATIVE);
	expect_well("dpt.ren");
	expect_well("dpt0");
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 5);
	free(c);

	/* two that changed names are too much to guess */
	sh("ip link set dpt0 down && ip link set dpt0 name dptnew && ip link set dpt.ren down && ip link set dpt.ren name dpt0 && "
	   "ip link set dptnew name dpt.ren && ip link set dpt0 up && ip link set dpt.ren up");
	dp = open_dp(DP_CHANGE);
	fresh_diag();
	assert_int_equal(dp_attach(dp, "dpt0", DP_NATIVE, &diag), -EBUSY);
	assert_non_null(strstr(said(), "mxdp detach"));
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	OK(dp_detach(dp, "dpt.ren", &diag));
	dp_close(dp);
	attach("dpt.ren", DP_NATIVE);
	expect_well("dpt.ren");
	detach_everything();
	sh("ip link del dpt0 && ip link set dpt.ren down && ip link set dpt.ren name dpt0 && ip link set dpt0 up");
}

static void an_interface_of_another_namespace_is_not_mistaken(void **s)
{
	struct dp_iface i;
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	sh("ip link add dptm type veth peer name dptn && ip link set dptm up && ip link set dptn up");
	attach("dptm", DP_NATIVE);
	sh("unshare -n sleep 3 & p=$!; sleep 0.1; ip link set dptm netns $p");
	i = iface("dptm");
	assert_int_equal(i.ifindex, 0);
	assert_int_not_equal(i.link_ifindex, 0);
	assert_int_not_equal(i.running_id, i.prog_id);
	dp = open_dp(DP_CHANGE);
	OK(dp_detach(dp, "dptm", &diag));
	dp_close(dp);
	sh("ip link del dptn");
}

/* ---- replacing ---- */

static void growing_replaces_programs_and_keeps_counters(void **s)
{
	struct frame4 f = syn4(OPEN_SOURCE, 25);
	uint32_t prog, link, lines, most;
	struct datapath *dp;
	struct dp_counts *c;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	attach("dpt2", DP_GENERIC);
	send_frames("dpt0", &f, sizeof(f), 100, 0);
	prog = iface("dpt0").prog_id;
	link = link_id("dpt0");

	dp = open_dp(DP_CHANGE);
	lines = dp->now.trie_lines;
	assert_int_equal(lines, DP_MIN_TRIE_LINES);
	most = lines / 2 - (lines / 2 - lines / 2 / 64) / 64; /* a 64th of what lies there stays free */
	OK(put_in(dp, 1, most, LEASES));
	assert_int_equal(dp->now.trie_lines, lines);
	expect_policy(dp, "dpt0", 1);
	OK(put_in(dp, 0, most, LEASES)); /* in the other half too */
	expect_policy(dp, "dpt0", 0);
	OK(put_in(dp, 1, most + 1, LEASES)); /* the first that does not fit */
	assert_true(dp->now.trie_lines > lines);
	assert_int_equal(dp_epoch(dp), 4);
	expect_policy(dp, "dpt0", 1);
	expect_policy(dp, "dpt2", 1);
	OK(put_in(dp, 0, 2000, LEASES));
	expect_policy(dp, "dpt2", 0);
	dp_close(dp);
	assert_int_not_equal(iface("dpt0").prog_id, prog);
	assert_int_equal(link_id("dpt0"), link);
	expect_well("dpt0");
	expect_well("dpt2");

	prog = iface("dpt0").prog_id;
	put(1, 1, LEASES * 4);
	assert_int_not_equal(iface("dpt0").prog_id, prog);
	send_frames("dpt0", &f, sizeof(f), 10, 0);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 110);
	assert_int_equal(total(c).bytes, 110 * sizeof(f));
	free(c);
	dp = open_dp(DP_LOOK);
	assert_int_equal(dp->now.lease_lines, LEASES * 4);
	expect_policy(dp, "dpt0", 1);
	expect_policy(dp, "dpt2", 1);
	assert_int_equal(policy_of(dp), 1);
	dp_close(dp);
	assert_int_equal(access(ROOT "/next", F_OK), -1);
	detach_everything();
}

static void pretend_other_build(const char *ifname)
{
	struct datapath *dp = open_dp(DP_LOOK);
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;
	__cleanup_view struct dp_view v = {};
	struct dp_ledger *l;

	OK(dev_open(dp, ifname, &dev, &diag));
	OK(ledger_map(&dev, &v, true));
	l = v.p;
	for (int i = 0; i < 2; i++)
		l->made[i].build ^= 2;
	dp_close(dp);
}

static void another_build_is_replaced_in_place(void **s)
{
	struct frame4 f = syn4(OPEN_SOURCE, 25);
	uint32_t prog, link;
	struct datapath *dp;
	struct dp_counts *c;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	send_frames("dpt0", &f, sizeof(f), 3, 0);
	prog = iface("dpt0").prog_id;
	link = link_id("dpt0");
	pretend_other_build("dpt0");
	attach("dpt0", DP_NATIVE);
	assert_int_not_equal(iface("dpt0").prog_id, prog);
	assert_int_equal(link_id("dpt0"), link);
	expect_well("dpt0");
	prog = iface("dpt0").prog_id;
	attach("dpt0", DP_NATIVE);
	assert_int_equal(iface("dpt0").prog_id, prog);
	dp = open_dp(DP_LOOK);
	expect_policy(dp, "dpt0", 0);
	dp_close(dp);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 3);
	free(c);
	detach_everything();
}

/* ---- counting ---- */

static void counters_are_exact(void **s)
{
	struct frame4 good = syn4(OPEN_SOURCE, 25), bad = syn4(OTHER_SOURCE, 25), shut = syn4(OPEN_SOURCE, 4242);
	struct frame6 six = syn6(25);
	struct dp_counts *c;
	unsigned int rows;
	struct dp_verdict v;
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	rows = iface("dpt0").rows;
	send_frames("dpt0", &good, sizeof(good), 1000, 0);
	send_frames("dpt0", &good, sizeof(good), 100, 1);
	send_frames("dpt0", &bad, sizeof(bad), 20, 0);
	send_frames("dpt0", &shut, sizeof(shut), 3, 1);
	send_frames("dpt0", &six, sizeof(six), 5, 1);
	dp = open_dp(DP_LOOK);
	OK(dp_probe(dp, "dpt0", &good, sizeof(good), &v, &diag)); /* a probe counts nowhere */
	dp_close(dp);

	c = counts_of("dpt0");
	assert_int_equal(c->cell[1][0][0][MXDP_R_ALLOWED].packets, 1100);
	assert_int_equal(c->cell[1][0][0][MXDP_R_ALLOWED].bytes, 1100 * sizeof(good));
	assert_int_equal(c->cell[1][0][0][MXDP_R_DENIED].packets, 20);
	assert_int_equal(c->cell[1][1][0][MXDP_R_DENIED].packets, 5);
	assert_int_equal(c->cell[0][0][0][MXDP_R_CLOSED].packets, 3);
	assert_int_equal(total(c).packets, 1128);
	assert_int_equal(total(c).bytes, 1123 * sizeof(good) + 5 * sizeof(six));
	assert_int_equal(c->port[25].passed.packets, 1100);
	assert_int_equal(c->port[25].dropped.packets, 25);
	assert_int_equal(c->port[4242].dropped.packets, 3);
	assert_int_equal(c->port[4242].dropped.bytes, 3 * sizeof(shut));
	assert_int_equal(c->port[26].passed.packets + c->port[26].dropped.packets, 0);
	free(c);
	assert_true(rows >= 1);
	detach_everything();
}

static void put_named(const char *one, const char *two)
{
	struct datapath *dp = open_dp(DP_CREATE);
	__cleanup_image struct image img = {};

	image_make(&img, 0, 1);
	strcpy(img.services[1].key, one);
	strcpy(img.services[2].key, two);
	OK(dp_put(dp, &img, LEASES, &diag));
	dp_close(dp);
}

static void a_number_that_changes_hands_leaves_its_counts_to_other(void **s)
{
	struct frame4 good = syn4(OPEN_SOURCE, 25), bad = syn4(OTHER_SOURCE, 25), shut = syn4(OPEN_SOURCE, 4242);
	struct dp_counts *c;

	(void)s;
	put_named("25", "26");
	attach("dpt0", DP_NATIVE);
	send_frames("dpt0", &good, sizeof(good), 50, 0);
	send_frames("dpt0", &bad, sizeof(bad), 4, 1);
	send_frames("dpt0", &shut, sizeof(shut), 2, 0);
	put_named("8025", "26");
	c = counts_of("dpt0");
	assert_int_equal(c->cell[1][0][0][MXDP_R_ALLOWED].packets, 0);
	assert_int_equal(c->cell[0][0][0][MXDP_R_ALLOWED].packets, 50);
	assert_int_equal(c->cell[0][0][0][MXDP_R_ALLOWED].bytes, 50 * sizeof(good));
	assert_int_equal(c->cell[0][0][0][MXDP_R_DENIED].packets, 4);
	assert_int_equal(c->cell[0][0][0][MXDP_R_CLOSED].packets, 2);
	assert_int_equal(total(c).packets, 56);
	free(c);
	send_frames("dpt0", &good, sizeof(good), 7, 1);
	put_named("8025", "26"); /* the same hands: nothing moves */
	c = counts_of("dpt0");
	assert_int_equal(c->cell[1][0][0][MXDP_R_ALLOWED].packets, 7);
	assert_int_equal(total(c).packets, 63);
	free(c);
	put_named("", "26"); /* given up, then taken by another, in a new generation */
	put(0, 20000, LEASES);
	c = counts_of("dpt0");
	assert_int_equal(c->cell[1][0][0][MXDP_R_ALLOWED].packets, 0);
	assert_int_equal(c->cell[0][0][0][MXDP_R_ALLOWED].packets, 57);
	assert_int_equal(total(c).packets, 63);
	assert_int_equal(total(c).bytes, 63 * sizeof(good));
	free(c);
	detach_everything();
}

/* ---- several at once ---- */

static void many_puts(void *arg)
{
	for (int i = 0; i < 15; i++) {
		struct datapath *dp;

		if (dp_open(&dp, BPFFS, DP_CHANGE, &diag) || put_in(dp, i & 1, 1, LEASES))
			_exit(1);
		dp_close(dp);
	}
	(void)arg;
}

static void writers_take_turns(void **s)
{
	pid_t pid[3];
	struct datapath *dp;
	int status;

	(void)s;
	put(0, 1, LEASES);
	fflush(NULL);
	for (int i = 0; i < 3; i++) {
		pid[i] = fork();
		if (pid[i] == 0) {
			many_puts(NULL);
			_exit(0);
		}
	}
	for (int i = 0; i < 3; i++) {
		waitpid(pid[i], &status, 0);
		assert_int_equal(status, 0);
	}
	dp = open_dp(DP_LOOK);
	assert_int_equal(dp_epoch(dp), 1 + 3 * 15);
	dp_close(dp);
	detach_everything();
}

static void open_while_held(void *arg)
{
	struct datapath *dp;

	(void)arg;
	dp_lock_wait_ms = 60;
	if (dp_open(&dp, BPFFS, DP_LOOK, &diag) != -EBUSY || !strstr(said(), "another mxdp"))
		_exit(1);
}

static void open_beside_a_look(void *arg)
{
	struct datapath *dp;

	(void)arg;
	dp_lock_wait_ms = 60;
	if (dp_open(&dp, BPFFS, DP_LOOK, &diag))
		_exit(1);
	dp_close(dp);
	if (dp_open(&dp, BPFFS, DP_CHANGE, &diag) != -EBUSY)
		_exit(2);
}

static void a_held_lock_ends_in_a_clear_word(void **s)
{
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	assert_int_equal(child(open_while_held, NULL), 0);
	dp_close(dp);
	dp = open_dp(DP_LOOK);
	assert_int_equal(child(open_beside_a_look, NULL), 0);
	dp_close(dp);
	detach_everything();
}

/* ---- a policy on trial ---- */

/* Seconds; loading two programs takes a while when the machine is busy. */
#define TRIAL 3

static int policy_on_wire(const char *ifname, uint64_t key);

static int put_trial_in(struct datapath *dp, int p, size_t lines, uint32_t leases, unsigned int seconds)
{
	__cleanup_image struct image img = {}, back = {};

	image_make(&img, p, lines);
	image_make(&back, !p, 1);
	return dp_put_trial(dp, &img, &back, leases, seconds, &diag);
}

/* Jiffies as this process sees them; the packet path keeps the kernel's. */
static uint64_t told_jiffies;
static int (*true_jiffies)(uint64_t *now);

static int jiffies_told(uint64_t *now)
{
	*now = told_jiffies;
	return 0;
}

static void clock_stands(void)
{
	true_jiffies = true_jiffies ?: dp_jiffies;
	OK(true_jiffies(&told_jiffies));
	dp_jiffies = jiffies_told;
}

static void clock_back(void)
{
	dp_jiffies = true_jiffies ?: dp_jiffies;
}

/* The verdict of the program that runs there on a packet of the wire, past the datapath. */
static int verdict_on_wire(const char *ifname, uint32_t source, uint16_t port)
{
	struct frame4 f = syn4(source, port);
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = &f, .data_size_in = sizeof(f), .repeat = 1);
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	__cleanup_close int fd = -1;

	assert_int_equal(bpf_xdp_query(if_nametoindex(ifname), 0, &q), 0);
	if (!q.prog_id)
		return -1;
	fd = bpf_prog_get_fd_by_id(q.prog_id);
	assert_true(fd >= 0);
	assert_int_equal(bpf_prog_test_run_opts(fd, &o), 0);
	return o.retval;
}

static bool noted(const char *words)
{
	for (size_t i = 0; i < diag.n; i++)
		if (strstr(diag.msg[i].text, words))
			return true;
	return false;
}

static void nothing_on(const char *ifname)
{
	assert_int_equal(verdict_on_wire(ifname, OTHER_SOURCE, 25), -1);
}

static void trial_ends_alone(size_t lines, uint32_t leases, bool grows)
{
	__cleanup_image struct image img = {};
	struct dp_trial t;
	struct datapath *dp;
	uint64_t key;

	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	image_make(&img, 1, lines);
	dp = open_dp(DP_CHANGE);
	assert_int_equal(dp_put_grows(dp, &img, leases), grows);
	OK(put_trial_in(dp, 1, lines, leases, 60));
	OK(dp_attach(dp, "dpt2", DP_NATIVE, &diag));
	OK(dp_trial_renew(dp, TRIAL, &diag));
	key = dp->now.state->probe_key;
	dp_trial(dp, &t);
	assert_true(t.running && !t.first && t.seconds_left >= 1 && t.seconds_left <= TRIAL);
	dp_close(dp);
	assert_int_equal(policy_on_wire("dpt0", key), 1);
	assert_int_equal(verdict_on_wire("dpt2", OTHER_SOURCE, 25), XDP_DROP);
	sleep(TRIAL);
	usleep(100000);
	/* nobody has run since */
	assert_int_equal(policy_on_wire("dpt0", key), 0);
	assert_int_equal(verdict_on_wire("dpt0", OTHER_SOURCE, 25), XDP_DROP);
	assert_int_equal(verdict_on_wire("dpt2", OTHER_SOURCE, 25), XDP_PASS);
	fresh_diag();
	dp = open_dp(DP_LOOK);
	assert_true(dp_settled(dp));
	assert_true(noted("was not confirmed in time"));
	assert_int_equal(policy_of(dp), 0);
	expect_policy(dp, "dpt0", 0);
	dp_trial(dp, &t);
	assert_true(!t.running && t.end == DP_TRIAL_TAKEN_BACK);
	dp_close(dp);
	nothing_on("dpt2");
	assert_int_equal(access(ROOT "/dev/dpt2", F_OK), -1);
	fresh_diag();
	dp = open_dp(DP_CHANGE);
	assert_false(dp_settled(dp)); /* said once */
	OK(put_in(dp, 1, lines, leases));
	expect_policy(dp, "dpt0", 1);
	dp_close(dp);
	detach_everything();
}

static void a_trial_ends_by_itself(void **s)
{
	(void)s;
	trial_ends_alone(1, LEASES, false);
}

static void a_trial_in_larger_tables_has_its_way_back_too(void **s)
{
	(void)s;
	trial_ends_alone(6000, LEASES, true);
	trial_ends_alone(1, LEASES * 2, true);
}

static void a_first_policy_on_trial_leaves_nothing(void **s)
{
	struct datapath *dp;

	(void)s;
	dp = open_dp(DP_CREATE);
	OK(put_trial_in(dp, 1, 1, LEASES, 60));
	OK(dp_attach(dp, "dpt0", DP_NATIVE, &diag));
	OK(dp_attach(dp, "dpt2", DP_GENERIC, &diag));
	OK(dp_trial_renew(dp, TRIAL, &diag));
	dp_close(dp);
	assert_int_equal(verdict_on_wire("dpt0", OTHER_SOURCE, 25), XDP_DROP);
	sleep(TRIAL);
	usleep(100000);
	assert_int_equal(verdict_on_wire("dpt0", OTHER_SOURCE, 25), XDP_PASS);
	assert_int_equal(verdict_on_wire("dpt2", OTHER_SOURCE, 25), XDP_PASS);
	fresh_diag();
	assert_int_equal(dp_open(&dp, BPFFS, DP_LOOK, &diag), -ENOENT);
	assert_true(noted("nothing is filtered"));
	nothing_on("dpt0");
	nothing_on("dpt2");
	assert_int_equal(access(ROOT, F_OK), -1);
	/* the same, found over by one who begins */
	dp = open_dp(DP_CREATE);
	OK(put_trial_in(dp, 1, 1, LEASES, TRIAL));
	dp_close(dp);
	sleep(TRIAL);
	usleep(100000);
	put(0, 1, LEASES);
	detach_everything();
}

static void confirmed_it_lasts(void **s)
{
	struct dp_trial t;
	struct datapath *dp;
	uint64_t key;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	dp = open_dp(DP_CHANGE);
	assert_int_equal(dp_confirm(dp, &diag), -ENOENT);
	OK(put_trial_in(dp, 1, 1, LEASES, TRIAL));
	OK(dp_attach(dp, "dpt2", DP_NATIVE, &diag));
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	key = dp->now.state->probe_key;
	OK(dp_confirm(dp, &diag));
	dp_trial(dp, &t);
	assert_true(!t.running && t.end == DP_TRIAL_CONFIRMED);
	assert_int_equal(policy_of(dp), 1);
	dp_close(dp);
	sleep(TRIAL);
	usleep(100000);
	assert_int_equal(policy_on_wire("dpt0", key), 1);
	assert_int_equal(verdict_on_wire("dpt2", OTHER_SOURCE, 25), XDP_DROP);
	/* a later trial is none of what an earlier one attached */
	dp = open_dp(DP_CHANGE);
	assert_false(dp_settled(dp));
	OK(put_trial_in(dp, 0, 1, LEASES, TRIAL));
	dp_close(dp);
	sleep(TRIAL);
	usleep(100000);
	assert_int_equal(policy_on_wire("dpt0", key), 1);
	assert_int_equal(verdict_on_wire("dpt2", OTHER_SOURCE, 25), XDP_DROP);
	dp = open_dp(DP_LOOK);
	expect_policy(dp, "dpt2", 1);
	dp_close(dp);
	detach_everything();
}

static void too_late_is_too_late(void **s)
{
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	clock_stands();
	dp = open_dp(DP_CHANGE);
	OK(put_trial_in(dp, 1, 1, LEASES, 10));
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	told_jiffies += 10 * jiffies_per_second() - 1;
	assert_false(trial_over(dp));
	OK(dp_trial_renew(dp, 5, &diag));
	told_jiffies += 5 * jiffies_per_second() - 1;
	assert_false(trial_over(dp));
	told_jiffies++; /* between the open and the confirm */
	assert_int_equal(dp_trial_renew(dp, 5, &diag), -ETIME);
	assert_int_equal(dp_confirm(dp, &diag), -ETIME);
	assert_true(dp_settled(dp));
	assert_int_equal(policy_of(dp), 0);
	expect_policy(dp, "dpt0", 0);
	dp_close(dp);
	detach_everything();
}

static void while_a_trial_runs_nothing_else_changes(void **s)
{
	struct dp_trial t;
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	dp = open_dp(DP_CHANGE);
	OK(put_trial_in(dp, 1, 1, LEASES, 60));
	OK(dp_attach(dp, "dpt0", DP_GENERIC, &diag)); /* put off: the mode has no way back */
	assert_true(noted("when the policy is confirmed"));
	dp_close(dp);
	assert_int_equal(iface("dpt0").mode, DP_NATIVE);
	dp = open_dp(DP_CHANGE);
	fresh_diag();
	assert_int_equal(put_in(dp, 0, 1, LEASES), -EBUSY);
	assert_true(noted("`mxdp confirm`") && noted("`mxdp rollback`"));
	assert_int_equal(put_in(dp, 0, 6000, LEASES), -EBUSY);
	assert_int_equal(put_trial_in(dp, 0, 1, LEASES, 9), -EBUSY);
	assert_int_equal(dp_attach(dp, "dpt2", DP_NATIVE, &diag), -EBUSY);
	assert_int_equal(policy_of(dp), 1);
	dp_close(dp);
	dp = open_dp(DP_LOOK);
	expect_policy(dp, "dpt0", 1);
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	OK(dp_take_back(dp, &diag));
	dp_trial(dp, &t);
	assert_true(!t.running && t.end == DP_TRIAL_TAKEN_BACK);
	expect_policy(dp, "dpt0", 0);
	OK(put_in(dp, 1, 1, LEASES));
	OK(put_trial_in(dp, 0, 1, LEASES, 60));
	dp_close(dp);
	/* detaching is free */
	detach_everything();
}

/* Who bans opens no table of connections, and yet wipes the leases in their time. */
static void a_ban_wipes_leases_in_their_time(void **s)
{
	__cleanup_view struct dp_view v = {};
	struct datapath *dp;
	uint64_t *word;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	word = lease_word(dp, &v);
	dp_close(dp);
	dp = open_dp(DP_BAN);
	assert_int_equal(dp->now.lease_fd, -1);
	dp->now.state->epoch = 0x1000;
	dp->now.state->leases_wiped = 0x1000;
	dp->now.state->voided = 0x7fe;
	*word = 77;
	OK(leases_void(dp, &diag));
	assert_int_equal(*word, 77);
	OK(leases_void(dp, &diag));
	assert_int_equal(*word, 77);
	OK(leases_void(dp, &diag)); /* the first change behind the half */
	assert_int_equal(*word, 0);
	assert_int_equal(dp->now.state->voided, 0x801);
	/* where somebody took the table away, it says so */
	dp->now.state->voided = 0x1001;
	assert_int_equal(rename(ROOT "/now/lease", ROOT "/now/saved"), 0);
	assert_int_equal(leases_void(dp, &diag), -EBADF);
	assert_non_null(strstr(diag.msg[0].text, "lacks a pin"));
	assert_int_equal(rename(ROOT "/now/saved", ROOT "/now/lease"), 0);
	diag_free(&diag);
	dp_close(dp);
	detach_everything();
}

/* What ends a trial leaves out an epoch. */
static void a_trial_across_the_round_of_epochs_leaves_no_lease(void **s)
{
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	for (uint32_t before = 0x17fd; before <= 0x17ff; before++) {
		__cleanup_view struct dp_view v = {};
		uint64_t *word = lease_word(dp, &v);

		dp->now.state->epoch = before;
		dp->now.state->leases_wiped = before;
		*word = 77;
		OK(put_trial_in(dp, 1, 1, LEASES, 60));
		OK(dp_confirm(dp, &diag));
		assert_int_equal(dp_epoch(dp), before + 3);
		OK(put_in(dp, 1, 1, LEASES)); /* the first change behind the mark */
		assert_int_equal(*word, 0);
	}
	dp_close(dp);
	detach_everything();
}

/* A ban during a trial neither makes it lasting nor takes it back; the ban stays when the trial is over. */
static void a_ban_leaves_a_trial_alone(void **s)
{
	struct ban b = { .p = { .family = 4, .len = 32, .addr = { 198, 51, 100, 7 } }, .owner = "hand", .left_ms = -1 }, found;
	__cleanup_ban_list struct dp_ban_list *list = NULL;
	struct datapath *dp;
	struct dp_bans *bans;
	struct dp_trial t;
	bool again, yes;

	(void)s;
	put(0, 1, LEASES);
	dp = open_dp(DP_CHANGE);
	OK(put_trial_in(dp, 1, 1, LEASES, 60));
	dp_close(dp);
	dp = open_dp(DP_BAN);
	OK(dp_bans_open(&bans, dp, false, &diag));
	OK(dp_bans_class(bans, &b.p, &yes, &yes, &diag));
	OK(dp_ban(bans, &b, false, &again, &diag));
	assert_false(again);
	OK(dp_bans_close(bans, &diag));
	dp_trial(dp, &t);
	assert_true(t.running);
	OK(dp_bans_grow(dp, 2, &diag));
	dp_trial(dp, &t);
	assert_true(t.running);
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	OK(dp_take_back(dp, &diag));
	dp_close(dp);
	dp = open_dp(DP_LOOK);
	OK(dp_bans_open(&bans, dp, true, &diag));
	OK(dp_bans_all(bans, &list, &diag));
	OK(dp_bans_close(bans, &diag));
	assert_int_equal(dp_ban_list_len(list), 1);
	dp_ban_list_get(list, 0, &found);
	assert_memory_equal(&found.p, &b.p, sizeof(b.p));
	assert_string_equal(found.owner, "hand");
	assert_int_equal(found.left_ms, -1);
	assert_int_equal(dp->now.state->bans, 1);
	dp_close(dp);
	detach_everything();
}

/* ---- another version of mxdp ---- */

static void text_into(const char *pin, const char *text)
{
	__cleanup_close int fd = bpf_obj_get(pin);
	__cleanup_view struct dp_view v = {};

	assert_true(fd >= 0);
	OK(view_map(&v, fd, 0, LAYOUT_PAGE, true));
	memset(v.p, 0, LAYOUT_PAGE);
	strcpy(v.p, text);
}

/*
 * What is in force becomes another version's: the same maps, described by a text that says one thing more. `more`: that
 * line, with its newline.
 */
static void pretend_other_layout(const char *more)
{
	__cleanup_free char *text = xasprintf("%s%s", layout_text(), more);
	static const char *const ifname[] = { "dpt0", "dpt2" };
	struct layout l;

	OK(layout_read(&l, text, strlen(text), &diag));
	text_into(ROOT "/now/layout", text);
	for (size_t i = 0; i < 2; i++) {
		__cleanup_free char *was = xasprintf(ROOT "/dev/%s/counts/%s", ifname[i], layout_own()->id);
		__cleanup_free char *is = xasprintf(ROOT "/dev/%s/counts/%s", ifname[i], l.id);
		__cleanup_free char *layout = xasprintf("%s/layout", is);

		if (access(was, F_OK))
			continue;
		assert_int_equal(rename(was, is), 0);
		text_into(layout, text);
	}
}

static struct datapath *open_taking(void)
{
	return open_dp(DP_TAKE);
}

static void take_over(int p, size_t lines)
{
	struct datapath *dp = open_taking();

	OK(put_in(dp, p, lines, LEASES));
	dp_close(dp);
}

static size_t books_of(const char *ifname)
{
	__cleanup_free char *dir = xasprintf(ROOT "/dev/%s/counts", ifname);
	DIR *d = opendir(dir);
	size_t n = 0;

	assert_non_null(d);
	while (readdir(d))
		n++;
	closedir(d);
	return n - 2;
}

static void another_version_is_named_and_left_alone(void **s)
{
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	pretend_other_layout("future=1\n");
	expect_refusal(BPFFS, DP_LOOK, -EPROTO, "another version of mxdp filters here");
	expect_refusal(BPFFS, DP_CHANGE, -EPROTO, "mxdp reload");
	expect_refusal(BPFFS, DP_CREATE, -EPROTO, layout_own()->id);
	assert_int_equal(verdict_on_wire("dpt0", OTHER_SOURCE, 25), XDP_DROP);
	/* what describes nothing is not taken over from */
	text_into(ROOT "/now/layout", "mxdp-layout=1\nabi=7\n");
	expect_refusal(BPFFS, DP_TAKE, -EBADMSG, "damaged");
	text_into(ROOT "/now/layout", layout_text());
	pretend_other_layout("future=1\n");
	dp = open_taking();
	assert_non_null(dp_other_version(dp));
	OK(dp_detach_all(dp, &diag));
	dp_close(dp);
	assert_int_equal(access(ROOT, F_OK), -1);
	nothing_on("dpt0");
}

static void counts_are_taken_over_and_given_back(void **s)
{
	struct frame4 open = syn4(OPEN_SOURCE, 25), knock = syn4(OTHER_SOURCE, 25);
	struct mxdp_count all = {};
	uint32_t epoch;
	uint64_t key;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	attach("dpt2", DP_GENERIC);
	key = probe_key();
	for (unsigned int round = 1; round <= 4; round++) {
		__cleanup_free struct dp_counts *c = NULL;
		struct datapath *dp;

		send_frames("dpt0", &open, sizeof(open), 3, 0);
		send_frames("dpt0", &knock, sizeof(knock), 2, 1);
		pretend_other_layout(round & 1 ? "future=1\n" : "future=2\n");
		dp = open_taking();
		epoch = dp_epoch(dp);
		OK(put_in(dp, round & 1, 1, LEASES));
		assert_true(dp_epoch(dp) > epoch);
		assert_null(dp_other_version(dp));
		dp_close(dp);
		expect_well("dpt0");
		expect_well("dpt2");
		assert_int_equal(policy_on_wire("dpt0", key), round & 1);
		assert_int_equal(probe_key(), key);
		c = counts_of("dpt0");
		all = total(c);
		assert_int_equal(all.packets, 5 * round);
		assert_int_equal(all.bytes, 5 * round * sizeof(open));
		/* ours, and one of all that was before */
		assert_int_equal(books_of("dpt0"), 2);
		assert_int_equal(books_of("dpt2"), 2);
	}
	put(0, 9000, LEASES);
	all = total(counts_of("dpt0"));
	assert_int_equal(all.packets, 20);
	detach_everything();
}

static size_t bans_of(struct ban **v)
{
	__cleanup_ban_list struct dp_ban_list *list = NULL;
	struct datapath *dp = open_dp(DP_LOOK);
	struct dp_bans *bans;

	assert_int_equal(dp->now.state->bans, 1);
	OK(dp_bans_open(&bans, dp, true, &diag));
	OK(dp_bans_all(bans, &list, &diag));
	OK(dp_bans_close(bans, &diag));
	dp_close(dp);
	*v = xcalloc(dp_ban_list_len(list), sizeof(**v));
	for (size_t i = 0; i < dp_ban_list_len(list); i++)
		dp_ban_list_get(list, i, &(*v)[i]);
	return dp_ban_list_len(list);
}

static void bans_are_taken_over(void **s)
{
	const struct ban made[] = {
		{ .p = { .family = 4, .len = 32, .addr = { 198, 51, 100, 7 } }, .owner = "hand", .left_ms = -1 },
		{ .p = { .family = 4, .len = 24, .addr = { 203, 0, 113 } }, .owner = "fail2ban", .reason = "dictionary",
		  .left_ms = 3600000, .nports = 2, .ports = { { 25, 25 }, { 465, 587 } } },
		{ .p = { .family = 6, .len = 64, .addr = { 0x20, 1, 0xd, 0xb8, 1, 2, 3, 4 } }, .owner = "hand", .left_ms = -1 },
		{ .p = { .family = 4, .len = 32, .addr = { 192, 0, 2, 1 } }, .owner = "gone", .left_ms = 1 },
	};
	__cleanup_free struct ban *v = NULL;
	unsigned int found = 0;
	struct dp_bans *bans;
	struct datapath *dp;
	bool again;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	dp = open_dp(DP_BAN);
	OK(dp_bans_open(&bans, dp, false, &diag));
	for (size_t i = 0; i < sizeof(made) / sizeof(*made); i++)
		OK(dp_ban(bans, &made[i], false, &again, &diag));
	OK(dp_bans_close(bans, &diag));
	dp_close(dp);
	usleep(20000);
	for (unsigned int round = 1; round <= 3; round++) {
		pretend_other_layout(round & 1 ? "future=1\n" : "future=2\n");
		take_over(round & 1, 1);
	}
	assert_int_equal(bans_of(&v), 3);
	for (size_t i = 0; i < 3; i++)
		for (size_t k = 0; k < 3; k++) {
			if (memcmp(&v[i].p, &made[k].p, sizeof(v[i].p)))
				continue;
			found |= 1u << k;
			assert_string_equal(v[i].owner, made[k].owner);
			assert_string_equal(v[i].reason, made[k].reason);
			assert_int_equal(v[i].nports, made[k].nports);
			assert_memory_equal(v[i].ports, made[k].ports, sizeof(v[i].ports));
			assert_int_equal(v[i].left_ms < 0, made[k].left_ms < 0);
			assert_true(v[i].left_ms <= made[k].left_ms && v[i].left_ms >= made[k].left_ms - 600000);
		}
	assert_int_equal(found, 7);
	detach_everything();
}

/* All that a generation has goes along when a table of it grows: what readers open, and what other versions read. */
static void larger_bans_keep_every_pin(void **s)
{
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	sh("ls -R " ROOT "/now > /tmp/dpt.before");
	dp = open_dp(DP_BAN);
	OK(dp_bans_grow(dp, 2, &diag));
	dp_close(dp);
	sh("ls -R " ROOT "/now | cmp - /tmp/dpt.before && rm /tmp/dpt.before");
	put(1, 1, LEASES);
	expect_well("dpt0");
	pretend_other_layout("future=1\n");
	take_over(0, 1);
	expect_well("dpt0");
	detach_everything();
}

/* Killed between, a version leaves a book of its own: nothing in it is lost, and it is folded by whoever comes next. */
static void a_book_of_a_killed_version_counts(void **s)
{
	__cleanup_free char *is = xasprintf(ROOT "/dev/dpt0/counts/%s", layout_own()->id);
	struct frame4 open = syn4(OPEN_SOURCE, 25);
	__cleanup_free struct dp_counts *c = NULL;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	send_frames("dpt0", &open, sizeof(open), 5, 0);
	pretend_other_layout("future=1\n");
	take_over(0, 1);
	send_frames("dpt0", &open, sizeof(open), 2, 0);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 7);
	/* a stray one, of another layout, that says what was folded already once more */
	sh("mkdir " ROOT "/stray");
	{
		__cleanup_close int layout = bpf_obj_get(ROOT "/dev/dpt0/counts/past/layout");
		__cleanup_close int counters = bpf_obj_get(ROOT "/dev/dpt0/counts/past/counters");
		__cleanup_close int ports = bpf_obj_get(ROOT "/dev/dpt0/counts/past/ports");

		OK(bpf_obj_pin(layout, ROOT "/stray/layout"));
		OK(bpf_obj_pin(counters, ROOT "/stray/counters"));
		OK(bpf_obj_pin(ports, ROOT "/stray/ports"));
	}
	assert_int_equal(rename(ROOT "/stray", ROOT "/dev/dpt0/counts/77-0000"), 0);
	free(c);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 12);
	assert_int_equal(books_of("dpt0"), 3);
	put(1, 1, LEASES);
	assert_int_equal(books_of("dpt0"), 2);
	free(c);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 12);
	assert_int_equal(c->port[25].passed.packets, 12);
	assert_int_equal(access(is, F_OK), 0);
	detach_everything();
}

/* A version that knows more reasons counted: they show as such, and its book is kept for when it comes back. */
static void what_this_version_has_no_name_for_is_kept(void **s)
{
	struct frame4 knock = syn4(OTHER_SOURCE, 25);
	__cleanup_free struct dp_counts *c = NULL;
	__cleanup_free char *text = NULL;
	struct layout l;
	char *denied;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	send_frames("dpt0", &knock, sizeof(knock), 4, 0);
	pretend_other_layout("future=1\n");
	take_over(0, 1);
	/* "denied" becomes a number that we do not know, in the book of before and its text */
	{
		__cleanup_close int fd = bpf_obj_get(ROOT "/dev/dpt0/counts/past/counters");
		__cleanup_view struct dp_view v = {};
		struct mxdp_count *n;

		OK(view_map(&v, fd, 0, DP_COUNTER_CELLS(1) * sizeof(*n), true));
		n = v.p;
		for (unsigned int service = 0; service < MXDP_SERVICES; service++) {
			n[MXDP_COUNTER(0, service, 0, 0, 61)] = n[MXDP_COUNTER(0, service, 0, 0, MXDP_R_DENIED)];
			n[MXDP_COUNTER(0, service, 0, 0, MXDP_R_DENIED)] = (struct mxdp_count){ 0 };
		}
	}
	text = xasprintf("%sreason.61=unheard-of drop tcp\nfuture=1\n", layout_text());
	OK(layout_read(&l, text, strlen(text), &diag));
	text_into(ROOT "/dev/dpt0/counts/past/layout", text);
	denied = xasprintf(ROOT "/dev/dpt0/counts/%s", l.id);
	assert_int_equal(rename(ROOT "/dev/dpt0/counts/past", denied), 0);
	c = counts_of("dpt0");
	assert_int_equal(total(c).packets, 4);
	assert_int_equal(c->cell[1][0][0][MXDP_R_OTHER_DROPPED].packets, 4);
	put(1, 1, LEASES);
	put(0, 1, LEASES);
	assert_int_equal(access(denied, F_OK), 0);
	assert_int_equal(books_of("dpt0"), 2);
	free(c);
	c = counts_of("dpt0");
	assert_int_equal(c->cell[1][0][0][MXDP_R_OTHER_DROPPED].packets, 4);
	free(denied);
	detach_everything();
}

static void a_damaged_book_is_named(void **s)
{
	__cleanup_free struct dp_counts *c = xmalloc(sizeof(*c));
	struct datapath *dp;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	pretend_other_layout("future=1\n");
	take_over(0, 1);
	assert_int_equal(unlink(ROOT "/dev/dpt0/counts/past/ports"), 0);
	dp = open_dp(DP_LOOK);
	assert_int_equal(dp_counts(dp, "dpt0", c, &diag), -EBADF);
	assert_non_null(strstr(said(), "counts/past"));
	dp_close(dp);
	fresh_diag();
	put(1, 1, LEASES);
	expect_well("dpt0");
	detach_everything();
}

static void a_trial_is_not_taken_over_from(void **s)
{
	struct datapath *dp;

	(void)s;
	clock_stands();
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	dp = open_dp(DP_CHANGE);
	OK(put_trial_in(dp, 1, 1, LEASES, 60));
	dp_close(dp);
	pretend_other_layout("future=1\n");
	dp = open_taking();
	assert_int_equal(dp_change_allowed(dp, &diag), -EBUSY);
	assert_int_equal(put_in(dp, 1, 1, LEASES), -EBUSY);
	assert_non_null(strstr(said(), "on trial for another 60 seconds"));
	dp_close(dp);
	fresh_diag();
	/* over: what packets are judged by is what was before it, and that is what is taken over from */
	told_jiffies += 60 * jiffies_per_second();
	dp = open_taking();
	assert_int_equal(dp_epoch(dp), 3);
	OK(put_in(dp, 0, 1, LEASES));
	assert_int_equal(dp_epoch(dp), 4);
	dp_close(dp);
	expect_well("dpt0");
	/* the first policy of all was on trial: nothing is taken over, nothing is filtered */
	detach_everything();
	dp = open_dp(DP_CREATE);
	OK(put_trial_in(dp, 1, 1, LEASES, 60));
	OK(dp_attach(dp, "dpt0", DP_NATIVE, &diag));
	dp_close(dp);
	pretend_other_layout("future=1\n");
	told_jiffies += 60 * jiffies_per_second();
	assert_int_equal(dp_open(&dp, BPFFS, DP_TAKE, &diag), -ENOENT);
	assert_true(noted("nothing is filtered"));
	nothing_on("dpt0");
	clock_back();
}

static void a_takeover_may_be_on_trial_itself(void **s)
{
	__cleanup_image struct image img = {}, back = {};
	struct datapath *dp;

	(void)s;
	clock_stands();
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	pretend_other_layout("future=1\n");
	image_make(&img, 1, 1);
	image_make(&back, 0, 1);
	dp = open_taking();
	assert_true(dp_put_grows(dp, &img, LEASES));
	OK(dp_put_trial(dp, &img, &back, LEASES, 60, &diag));
	assert_true(trial_running(dp));
	dp_close(dp);
	told_jiffies += 60 * jiffies_per_second();
	dp = open_dp(DP_LOOK);
	assert_true(noted("not confirmed"));
	assert_int_equal(policy_of(dp), 0);
	dp_close(dp);
	assert_int_equal(policy_on_wire("dpt0", probe_key()), 0);
	clock_back();
	detach_everything();
}

static struct prefix chance_prefix(unsigned int *seed)
{
	static const uint8_t lens[2][6] = { { 8, 15, 18, 24, 29, 32 }, { 28, 47, 48, 61, 64, 128 } };
	struct prefix p = { .family = rand_r(seed) & 1 ? 4 : 6 };

	p.len = lens[p.family == 6][rand_r(seed) % 6];
	if (p.family == 4) {
		p.addr[0] = 10 + (rand_r(seed) & 1);
		for (int i = 1; i < 4; i++)
			p.addr[i] = rand_r(seed) & 0x83;
	} else {
		memcpy(p.addr, (uint8_t[]){ 0x20, 1, 0x0d, 0xb8 }, 4);
		for (int i = 4; i < 16; i++)
			p.addr[i] = rand_r(seed) % 3 ? 0 : rand_r(seed) & 0x81;
	}
	for (unsigned int bit = p.len; bit < 128; bit++)
		p.addr[bit / 8] &= (uint8_t)~(0x80 >> bit % 8);
	return p;
}

static bool any_touches(const struct prefix *v, size_t n, const struct prefix *p)
{
	for (size_t i = 0; i < n; i++)
		if (prefix_covers(&v[i], p) || prefix_covers(p, &v[i]))
			return true;
	return false;
}

/* Who may not be banned is read from the class table in force: nodes, and tails of every depth. */
static void the_class_table_says_who_is_protected(void **s)
{
	enum { ROUNDS = 12, SENTENCES = 40, ASKED = 3000 };
	unsigned int seed = 20260301, yes = 0;
	struct datapath *dp;

	(void)s;
	for (int round = 0; round < ROUNDS; round++) {
		struct prefix v[SENTENCES];
		struct rules r = {};
		struct image img = {};
		struct dp_bans *bans;
		char text[SENTENCES * 80], buf[PREFIX_TEXT];
		size_t n = 1 + rand_r(&seed) % SENTENCES, at = snprintf(text, sizeof(text), "allow smtp\n");

		for (size_t i = 0; i < n; i++) {
			v[i] = chance_prefix(&seed);
			at += snprintf(text + at, sizeof(text) - at, "%s %s\n", i % 3 ? "exempt" : "admin ssh from", prefix_text(&v[i], buf));
		}
		OK(rules_parse(&r, "chance", text, at, &diag) ?: rules_finish(&r, &diag) ?: image_compile(&img, &r, NULL, &diag));
		dp = open_dp(DP_CREATE);
		OK(dp_put(dp, &img, LEASES, &diag));
		OK(dp_bans_open(&bans, dp, round % 2, &diag));
		for (int i = 0; i < ASKED; i++) {
			struct prefix p = chance_prefix(&seed);
			bool protected, blocked;

			OK(dp_bans_class(bans, &p, &protected, &blocked, &diag));
			if (protected != any_touches(v, n, &p))
				fail_msg("%s: %s among\n%s", prefix_text(&p, buf), protected ? "protected" : "not protected", text);
			assert_false(blocked);
			yes += protected;
		}
		OK(dp_bans_close(bans, &diag));
		dp_close(dp);
		image_free(&img);
		rules_free(&r);
	}
	assert_in_range(yes, ROUNDS * ASKED / 20, ROUNDS * ASKED / 20 * 19);
	detach_everything();
}

/* ---- a few prefixes of lists in place ---- */

#define LISTED 1500u /* so many that they are kept packed */

/* One list that is blocked, and the port that everybody else may open. */
static void put_list(uint32_t leases)
{
	__cleanup_free char *text = xmalloc(LISTED * 24 + 100);
	struct datapath *dp = open_dp(DP_CREATE);
	struct rules r = {};
	struct image img = {};
	size_t at = sprintf(text, "allow smtp\nblock @bad\nlist bad 203.0.113.1");

	for (unsigned int i = 1; i < LISTED; i++)
		at += sprintf(text + at, " 11.%u.%u.0/24", i / 200, i % 200);
	OK(rules_parse(&r, "listed", text, at, &diag) ?: rules_finish(&r, &diag) ?: image_compile(&img, &r, NULL, &diag));
	assert_int_equal(img.npacks, 1);
	OK(dp_put(dp, &img, leases, &diag));
	image_free(&img);
	rules_free(&r);
	dp_close(dp);
}

static struct prefix host4(uint32_t a)
{
	struct prefix p = { .family = 4, .len = 32 };

	a = htonl(a);
	memcpy(p.addr, &a, 4);
	return p;
}

/* As `list add|del` would. */
static int edit_list(struct datapath *dp, const struct prefix *p, bool add)
{
	__cleanup_free struct service *services = xcalloc(MXDP_SERVICES, sizeof(*services));
	struct list_edit log = list_edit_of(add ? LIST_ADD : LIST_DEL, 0, p);
	struct image_edit what = {};
	struct kept_rules kept;
	struct rules r;
	int err = dp_kept(dp, &kept, &diag) ?: rules_thaw_kept(&r, &kept, &diag);

	if (err)
		return err;
	assert_non_null(r.lists[0].pack);
	assert_true(list_change(&r.lists[0], p, add));
	err = dp_services(dp, services, &diag) ?: image_compile_edit(&what, &r, services, p, 1, &diag) ?:
	      dp_edit(dp, &what, &log, 1, &diag);
	image_edit_free(&what);
	rules_free(&r);
	kept_rules_free(&kept);
	return err;
}

static bool list_in_force_has(struct datapath *dp, const struct prefix *p)
{
	struct kept_rules kept;
	struct rules r;
	bool has;

	OK(dp_kept(dp, &kept, &diag) ?: rules_thaw_kept(&r, &kept, &diag));
	has = list_has(&r.lists[0], p);
	rules_free(&r);
	kept_rules_free(&kept);
	return has;
}

/* What is kept of the list, and what the program does, are the same. */
static void expect_listed(const char *ifname, uint32_t source, bool listed)
{
	struct datapath *dp = open_dp(DP_LOOK);
	const struct prefix p = host4(source);
	struct frame4 f = syn4(source, 25);
	struct dp_verdict v;

	OK(dp_probe(dp, ifname, &f, sizeof(f), &v, &diag));
	assert_int_equal(v.said.reason, listed ? MXDP_R_BLOCKED : MXDP_R_ALLOWED);
	assert_int_equal(list_in_force_has(dp, &p), listed);
	dp_close(dp);
}

static void a_prefix_is_edited_in_place(void **s)
{
	struct prefix p = host4(0x0c010203), wide = { 4, 8, { 13 } };
	struct datapath *dp;
	uint32_t epoch, voided;

	(void)s;
	put_list(LEASES);
	attach("dpt0", DP_NATIVE);
	expect_listed("dpt0", 0x0c010203, false);
	dp = open_dp(DP_BAN);
	epoch = dp_epoch(dp);
	voided = dp->now.state->voided;
	OK(edit_list(dp, &p, true));
	assert_int_equal(dp_epoch(dp), epoch);
	assert_int_equal(dp->now.state->voided, voided + 1);
	dp_close(dp);
	expect_listed("dpt0", 0x0c010203, true);
	expect_listed("dpt0", 0x0c010204, false);
	dp = open_dp(DP_BAN);
	OK(edit_list(dp, &p, false));
	/* 256 cells at once */
	assert_int_equal(edit_list(dp, &wide, true), 0);
	dp_close(dp);
	expect_listed("dpt0", 0x0c010203, false);
	/* what follows takes the edits along: another put begins from what dp_frozen() says */
	dp = open_dp(DP_LOOK);
	assert_true(list_in_force_has(dp, &wide));
	dp_close(dp);
	detach_everything();
}

static void a_full_log_says_so_and_changes_nothing(void **s)
{
	struct datapath *dp;
	unsigned int n = 0;
	int err = 0;

	(void)s;
	put_list(LEASES);
	dp = open_dp(DP_BAN);
	while (!err && n < 10000) {
		struct prefix p = host4(0x0c000000 + n * 7);

		err = edit_list(dp, &p, true);
		if (!err)
			n++;
		else
			assert_false(list_in_force_has(dp, &p));
	}
	assert_int_equal(err, -ENOSPC);
	assert_in_range(n, 100, 9000);
	dp_close(dp);
	detach_everything();
}

static void while_a_trial_runs_no_prefix_is_edited(void **s)
{
	struct prefix p = host4(0x0c010203);
	struct datapath *dp;

	(void)s;
	put_list(LEASES);
	dp = open_dp(DP_CHANGE);
	OK(put_trial_in(dp, 1, 1, LEASES, 60));
	dp_close(dp);
	dp = open_dp(DP_BAN);
	assert_true(dp_edit(dp, &(struct image_edit){}, &(struct list_edit){ .op = LIST_ADD }, 1, &diag) < 0);
	assert_true(noted("confirm"));
	dp_close(dp);
	dp = open_dp(DP_CHANGE);
	OK(dp_take_back(dp, &diag));
	dp_close(dp);
	dp = open_dp(DP_BAN);
	OK(edit_list(dp, &p, true));
	dp_close(dp);
	detach_everything();
}

/* No memory for mappings: from the second, third... one on, up to the put that needs no more of them. */
static int mappings_left = -1;

void *mmap(void *at, size_t len, int prot, int flags, int fd, off_t offset)
{
	if (fd < 0 || !(flags & MAP_SHARED) || mappings_left < 0)
		return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
	if (mappings_left--)
		return (void *)syscall(SYS_mmap, at, len, prot, flags, fd, offset);
	mappings_left = 0;
	errno = ENOMEM;
	return MAP_FAILED;
}

static void a_put_that_fails_leaves_the_lists_in_force(void **s)
{
	static const char text[] = "allow smtp";
	struct prefix p = host4(0xcb007101);
	struct rules r = {};
	struct image img = {};
	int err = -ENOMEM;

	(void)s;
	put_list(LEASES);
	OK(rules_parse(&r, "unlisted", text, strlen(text), &diag) ?: rules_finish(&r, &diag) ?: image_compile(&img, &r, NULL, &diag));
	for (int n = 0; err; n++) {
		struct datapath *dp = open_dp(DP_CHANGE);

		mappings_left = n;
		err = dp_put(dp, &img, LEASES, &diag);
		mappings_left = -1;
		assert_true(err || n > 3);
		if (err)
			assert_true(list_in_force_has(dp, &p));
		dp_close(dp);
		fresh_diag();
	}
	image_free(&img);
	rules_free(&r);
	detach_everything();
}

static int steps_to_live;

static void die_there(const char *name)
{
	(void)name;
	if (!steps_to_live--)
		kill(getpid(), SIGKILL);
}

static bool edit_killed(const struct prefix *p, bool add, int step)
{
	pid_t pid = fork();
	int status;

	if (!pid) {
		struct datapath *dp;

		steps_to_live = step;
		dp_edit_step = die_there;
		if (dp_open(&dp, BPFFS, DP_BAN, &diag) || edit_list(dp, p, add))
			_exit(9);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		assert_int_equal(WEXITSTATUS(status), 0);
	return WIFSIGNALED(status);
}

static void a_kill_at_any_step_of_an_edit_leaves_a_whole_list(void **s)
{
	struct prefix p = { 4, 13, { 12, 8 } };
	unsigned int kept = 0, taken_back = 0;
	bool add = true;

	(void)s;
	put_list(LEASES);
	attach("dpt0", DP_NATIVE);
	for (int step = 0; edit_killed(&p, add, step); step++) {
		struct datapath *dp = open_dp(DP_LOOK);
		bool has = list_in_force_has(dp, &p);

		/* eight cells: all of them, or none */
		for (uint32_t i = 0; i < 8; i++) {
			struct frame4 f = syn4(0x0c080001 + (i << 16), 25);
			struct dp_verdict v;

			OK(dp_probe(dp, "dpt0", &f, sizeof(f), &v, &diag));
			assert_int_equal(v.said.reason, has ? MXDP_R_BLOCKED : MXDP_R_ALLOWED);
		}
		dp_close(dp);
		kept += has == add;
		taken_back += has != add;
		add = !has;
	}
	assert_true(taken_back >= 8);
	assert_true(kept >= 1);
	detach_everything();
}

/* ---- kill -9 ---- */

/* A program of a few lines that answers a probe with what the tables say of port 25, as policy_text[] has it. */
static int small_load(struct dp_load *l, struct diag *d)
{
#define INSN(...) (struct bpf_insn){ __VA_ARGS__ }
#define LOAD(size, dst, src, at) INSN(.code = BPF_LDX | BPF_MEM | size, .dst_reg = dst, .src_reg = src, .off = at)
#define STORE(size, dst, src, at) INSN(.code = BPF_STX | BPF_MEM | size, .dst_reg = dst, .src_reg = src, .off = at)
#define ALU_K(op, dst, k) INSN(.code = BPF_ALU64 | op | BPF_K, .dst_reg = dst, .imm = k)
#define ALU_X(op, dst, src) INSN(.code = BPF_ALU64 | op | BPF_X, .dst_reg = dst, .src_reg = src)
#define VALUE(dst, fd)                                                                                                 \
	INSN(.code = BPF_LD | BPF_DW | BPF_IMM, .dst_reg = dst, .src_reg = BPF_PSEUDO_MAP_VALUE, .imm = fd), INSN(0)
	const struct bpf_insn insns[] = {
		LOAD(BPF_W, 2, 1, offsetof(struct xdp_md, data_meta)),
		LOAD(BPF_W, 3, 1, offsetof(struct xdp_md, data)),
		ALU_X(BPF_MOV, 4, 2),
		ALU_K(BPF_ADD, 4, sizeof(struct mxdp_probe)),
		INSN(.code = BPF_JMP | BPF_JGT | BPF_X, .dst_reg = 4, .src_reg = 3, .off = 15),
		VALUE(1, l->g->state_fd),
		LOAD(BPF_W, 5, 1, offsetof(struct mxdp_state, epoch)),
		STORE(BPF_W, 2, 5, offsetof(struct mxdp_probe, epoch)),
		ALU_K(BPF_AND, 5, 1),
		ALU_K(BPF_MUL, 5, sizeof(struct mxdp_bank)),
		VALUE(1, l->g->banks_fd),
		ALU_X(BPF_ADD, 1, 5),
		LOAD(BPF_H, 5, 1, offsetof(struct mxdp_bank, port) + 2 * 25),
		STORE(BPF_B, 2, 5, offsetof(struct mxdp_probe, service)),
		ALU_K(BPF_ADD, 5, 4),
		STORE(BPF_H, 2, 5, offsetof(struct mxdp_probe, class_)),
		ALU_K(BPF_MOV, 5, MXDP_R_ALLOWED),
		STORE(BPF_B, 2, 5, offsetof(struct mxdp_probe, reason)),
		ALU_K(BPF_MOV, 0, XDP_PASS),
		INSN(.code = BPF_JMP | BPF_EXIT),
	};
	int fd = bpf_prog_load(BPF_PROG_TYPE_XDP, "small", "GPL", insns, sizeof(insns) / sizeof(*insns), NULL);

	if (fd < 0)
		diag_error(d, "small program: %s", strerror(-fd));
	return fd;
}

/* What really runs on the interface, asked past the datapath: one whole policy or nothing. -1: nothing runs. */
static int policy_on_wire(const char *ifname, uint64_t key)
{
	struct {
		struct mxdp_probe probe;
		struct frame4 f;
	} __attribute__((packed)) in = {.probe.key = key, .probe.reason = 63}, out;
	struct xdp_md ctx = { .data = sizeof(in.probe), .data_end = sizeof(in) };
	LIBBPF_OPTS(bpf_test_run_opts, o, .data_in = &in, .data_size_in = sizeof(in), .data_out = &out,
		    .data_size_out = sizeof(out), .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .repeat = 1);
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	__cleanup_close int fd = -1;
	int p;

	in.f = syn4(OPEN_SOURCE, 25);
	/* the program may be replaced, and be gone, between the question for its number and the one for it */
	do {
		assert_int_equal(bpf_xdp_query(if_nametoindex(ifname), 0, &q), 0);
		fd = q.prog_id ? bpf_prog_get_fd_by_id(q.prog_id) : -1;
	} while (q.prog_id && fd == -ENOENT);
	if (fd < 0)
		return -1;
	assert_int_equal(bpf_prog_test_run_opts(fd, &o), 0);
	p = out.probe.class_ - 5;
	if (out.probe.reason != MXDP_R_ALLOWED || (p & ~1) || out.probe.service != 1 + p)
		fail_msg("%s: half a policy: reason %u service %u class %u epoch %u", ifname, out.probe.reason,
			 out.probe.service, out.probe.class_, out.probe.epoch);
	return p;
}

struct op {
	const char *name;
	void (*before)(void);
	void (*run)(void);
	bool holds; /* dpt0 is filtered all the while */
};

static void must(int err)
{
	if (err)
		_exit(9);
}

static struct datapath *must_open(void)
{
	struct datapath *dp;

	must(dp_open(&dp, BPFFS, DP_CREATE, &diag));
	return dp;
}

#define OP(name_, call) \
	static void name_(void) \
	{ \
		struct datapath *dp = must_open(); \
		must(call); \
		dp_close(dp); \
	}
OP(run_put, put_in(dp, 1, 1, LEASES))
OP(run_grow, put_in(dp, 1, 6000, LEASES))
OP(run_lease, put_in(dp, 1, 1, LEASES * 2))
OP(run_attach, dp_attach(dp, "dpt0", DP_NATIVE, &diag))
OP(run_mode, dp_attach(dp, "dpt0", DP_GENERIC, &diag))
OP(run_detach, dp_detach(dp, "dpt2", &diag))
OP(run_detach_all, dp_detach_all(dp, &diag))
OP(run_first, put_in(dp, 1, 1, LEASES) ?: dp_attach(dp, "dpt0", DP_NATIVE, &diag))

OP(run_trial, put_trial_in(dp, 1, 1, LEASES, 60) ?: dp_attach(dp, "dpt2", DP_NATIVE, &diag))
OP(run_trial_grow, put_trial_in(dp, 1, 6000, LEASES, 60) ?: dp_attach(dp, "dpt2", DP_NATIVE, &diag))
OP(run_trial_first, put_trial_in(dp, 1, 1, LEASES, 60) ?: dp_attach(dp, "dpt0", DP_NATIVE, &diag))
OP(run_confirm, dp_confirm(dp, &diag))
OP(run_take_back, dp_take_back(dp, &diag))
OP(run_settle, 0)

static void run_frozen(void)
{
	struct datapath *dp = must_open();
	__cleanup_image struct image img = {};

	/* larger frozen maps for both banks: the text with something behind it */
	image_make(&img, 1, 1);
	free(img.frozen);
	img.nfrozen = 50000;
	img.frozen = xcalloc(img.nfrozen, 1);
	strcpy(img.frozen, policy_text[1]);
	must(dp_put(dp, &img, LEASES, &diag));
	must(dp_put(dp, &img, LEASES, &diag));
	dp_close(dp);
}

static void before_both(void)
{
	detach_everything();
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	attach("dpt2", DP_GENERIC);
}

static void before_one(void)
{
	detach_everything();
	put(0, 1, LEASES);
	attach("dpt2", DP_NATIVE);
}

static void before_upgrade(void)
{
	before_both();
	pretend_other_build("dpt0");
}

static void before_nothing(void)
{
	detach_everything();
}

static void before_dead(void)
{
	struct datapath *dp;
	struct dp_dev dev __cleanup(dev_close) = DP_DEV_NONE;

	before_both();
	dp = open_dp(DP_LOOK);
	OK(dev_open(dp, "dpt0", &dev, &diag));
	OK(bpf_link_detach(dev.link_fd));
	dp_close(dp);
}

static void before_one_trial(void)
{
	detach_everything();
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
}

static void before_confirm(void)
{
	before_one_trial();
	run_trial();
}

static void before_settle(void)
{
	clock_stands();
	before_confirm();
	told_jiffies += 60 * jiffies_per_second();
}

static void before_settle_first(void)
{
	clock_stands();
	detach_everything();
	run_trial_first();
	told_jiffies += 60 * jiffies_per_second();
}

static void before_renamed(void)
{
	detach_everything();
	put(0, 1, LEASES);
	sh("ip link set dpt0 down && ip link set dpt0 name dptr && ip link set dptr up");
	attach("dptr", DP_NATIVE);
	sh("ip link set dptr down && ip link set dptr name dpt0 && ip link set dpt0 up");
}

static void before_other(void)
{
	before_both();
	pretend_other_layout("future=1\n");
}

static void run_take(void)
{
	struct datapath *dp;

	must(dp_open(&dp, BPFFS, DP_TAKE, &diag));
	must(put_in(dp, 1, 1, LEASES));
	dp_close(dp);
}

static const struct op ops[] = {
	{ "put", before_both, run_put, true },
	{ "put with larger frozen maps", before_both, run_frozen, true },
	{ "put into a larger trie", before_both, run_grow, true },
	{ "put with another lease size", before_both, run_lease, true },
	{ "upgrade", before_upgrade, run_attach, true },
	{ "detach one", before_both, run_detach, true },
	{ "attach", before_one, run_attach, false },
	{ "attach anew what was detached", before_dead, run_attach, false },
	{ "attach what was renamed", before_renamed, run_attach, true },
	{ "attach in another mode", before_both, run_mode, false },
	{ "detach all", before_both, run_detach_all, false },
	{ "first put and attach", before_nothing, run_first, false },
	{ "put on trial", before_one_trial, run_trial, true },
	{ "put on trial into larger tables", before_one_trial, run_trial_grow, true },
	{ "first put on trial", before_nothing, run_trial_first, false },
	{ "confirm", before_confirm, run_confirm, true },
	{ "take back", before_confirm, run_take_back, true },
	{ "take over", before_other, run_take, true },
	{ "settle", before_settle, run_settle, true },
	{ "settle the first policy", before_settle_first, run_settle, false },
};

/* Where something changes that outlives the process, or may have been changed through memory just before. */
static bool step_of_interest(const struct __ptrace_syscall_info *info)
{
	static const uint64_t plain[] = {
		SYS_mkdirat, SYS_unlinkat, SYS_renameat, SYS_renameat2, SYS_munmap,
#ifdef SYS_mkdir
		SYS_mkdir, SYS_rmdir,
#endif
	};
	uint64_t cmd = info->entry.args[0];

	if (info->entry.nr == SYS_bpf)
		return cmd == BPF_OBJ_PIN || cmd == BPF_LINK_CREATE || cmd == BPF_LINK_UPDATE ||
		       cmd == BPF_LINK_DETACH || cmd == BPF_PROG_LOAD;
	for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++)
		if (plain[i] == info->entry.nr)
			return true;
	return false;
}

/* Runs op in a child that is killed at entry of its nth step. True: it ended before. */
static bool run_killed(const struct op *op, int n)
{
	struct __ptrace_syscall_info info;
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		op->run();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	ptrace(PTRACE_SETOPTIONS, pid, 0, PTRACE_O_EXITKILL | PTRACE_O_TRACESYSGOOD);
	for (;;) {
		ptrace(PTRACE_SYSCALL, pid, 0, 0);
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (WIFEXITED(status)) {
			assert_int_equal(WEXITSTATUS(status), 0);
			return true;
		}
		if (!WIFSTOPPED(status) || WSTOPSIG(status) != (SIGTRAP | 0x80) ||
		    ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info) <= 0 ||
		    info.op != PTRACE_SYSCALL_INFO_ENTRY || !step_of_interest(&info))
			continue;
		if (n-- == 0)
			break;
	}
	kill(pid, SIGKILL);
	waitpid(pid, &status, 0);
	return false;
}

/* The other version's, as it was: its programs, its policy, and nothing of ours but an empty book. */
static void expect_other_whole(void)
{
	__cleanup_free struct dp_iface *v = NULL;
	struct datapath *dp;
	size_t n;

	fresh_diag();
	assert_int_equal(access(ROOT "/next", F_OK), -1);
	dp = open_dp(DP_TAKE);
	assert_non_null(dp_other_version(dp));
	OK(dp_ifaces(dp, &v, &n, &diag));
	assert_int_equal(n, 2);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(v[i].running_id, v[i].prog_id);
		assert_int_equal(policy_on_wire(v[i].name, other_probe_key(dp)), 0);
	}
	dp_close(dp);
	take_over(1, 1);
}

/* After a kill: what the datapath tells is one whole policy, and the interfaces agree with it. */
static void expect_whole(const char *what, int step)
{
	__cleanup_free struct dp_iface *v = NULL;
	struct datapath *dp;
	int p, err;
	size_t n;

	fresh_diag();
	err = dp_open(&dp, BPFFS, DP_LOOK, &diag);
	if (err == -EPROTO) {
		expect_other_whole();
		return;
	}
	if (err == -ENOENT) {
		assert_int_equal(policy_on_wire("dpt0", 0), -1);
		assert_int_equal(policy_on_wire("dpt2", 0), -1);
		return;
	}
	if (err)
		print_error("%s, step %d: %s\n", what, step, said());
	assert_int_equal(err, 0);
	assert_int_equal(access(ROOT "/next", F_OK), -1);
	p = policy_of(dp);
	OK(dp_ifaces(dp, &v, &n, &diag));
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(v[i].running_id, v[i].link_ifindex ? v[i].prog_id : 0);
		expect_policy(dp, v[i].name, p);
		if (v[i].link_ifindex)
			assert_int_equal(policy_on_wire(v[i].now, dp->now.state->probe_key), p);
	}
	dp_close(dp);
}

static void take_back_any(void)
{
	struct datapath *dp = NULL;

	if (dp_open(&dp, BPFFS, DP_CHANGE, &diag) == 0)
		OK(dp_take_back(dp, &diag));
	dp_close(dp);
}

static void a_kill_at_any_step_leaves_a_whole_policy(void **s)
{
	(void)s;
	dp_loader = small_load;
	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++) {
		bool ended = false;
		int step;

		for (step = 0; !ended; step++) {
			ops[i].before();
			ended = run_killed(&ops[i], step);
			if (ops[i].holds) /* before anybody repairs */
				assert_int_not_equal(policy_on_wire("dpt0", 0), -1);
			expect_whole(ops[i].name, step);
			/* and the next command does what it is asked */
			take_back_any();
			put(1, 1, LEASES);
			attach("dpt0", DP_AUTO);
			expect_well("dpt0");
		}
		clock_back();
		print_message("             %-30s %d steps\n", ops[i].name, step - 1);
		assert_true(step > 3);
	}
	detach_everything();
}

static void restless(void)
{
	for (unsigned int i = 0;; i++) {
		struct datapath *dp = must_open();

		must(put_in(dp, i & 1, i % 3 == 2 ? 3000 : 1, i % 5 == 4 ? LEASES * 2 : LEASES));
		must(dp_attach(dp, "dpt0", DP_NATIVE, &diag));
		if (i % 4 == 1)
			must(dp_attach(dp, "dpt2", DP_GENERIC, &diag));
		if (i % 4 == 3)
			must(dp_detach(dp, "dpt2", &diag));
		dp_close(dp);
	}
}

static void a_kill_at_any_moment_leaves_a_whole_policy(void **s)
{
	(void)s;
	dp_loader = small_load;
	before_both();
	srandom(7);
	for (int i = 0; i < 60; i++) {
		int looks = random() % 500, status;
		pid_t pid;

		fflush(NULL);
		pid = fork();
		if (pid == 0) {
			restless();
			_exit(0);
		}
		while (looks--) {
			assert_int_not_equal(policy_on_wire("dpt0", 0), -1); /* never unfiltered */
			policy_on_wire("dpt2", 0);
			usleep(50);
		}
		kill(pid, SIGKILL);
		waitpid(pid, &status, 0);
		assert_true(WIFSIGNALED(status)); /* it had not failed by itself */
		expect_whole("restless", i);
	}
	detach_everything();
}

/* The same with the program itself: a packet judged by parts of two policies would be refused. */
static void packets_meet_one_policy_while_it_changes(void **s)
{
	uint64_t key;
	pid_t pid;
	int status;

	(void)s;
	put(0, 1, LEASES);
	attach("dpt0", DP_NATIVE);
	key = probe_key();
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		for (int i = 0; i < 60; i++) {
			struct datapath *dp = must_open();

			must(put_in(dp, i & 1, i == 30 ? 9000 : 100 * (i % 7) + 1, LEASES));
			dp_close(dp);
		}
		_exit(0);
	}
	while (waitpid(pid, &status, WNOHANG) == 0) {
		for (int i = 0; i < 20; i++)
			assert_int_not_equal(policy_on_wire("dpt0", key), -1);
		usleep(100);
	}
	assert_int_equal(status, 0);
	detach_everything();
}

/* ---- ---- */

static int world_make(void **s)
{
	(void)s;
	if (geteuid()) {
		print_message("this test needs root\n");
		return -1;
	}
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -1;
	if (mount("dpt", BPFFS, "bpf", 0, "mode=1777"))
		return -1;
	/* no packets but the test's own */
	sh("echo 1 > /proc/sys/net/ipv6/conf/default/disable_ipv6");
	sh("ip link set lo up");
	sh("ip link add dpt0 numrxqueues 2 numtxqueues 2 type veth peer name dpt1 numrxqueues 2 numtxqueues 2");
	sh("ip link add dpt2 type veth peer name dpt3");
	sh("for i in 0 1 2 3; do ip link set dpt$i up; done");
	return 0;
}

/* What a failed test left, its lock included, is none of the next one's. */
static int tidy(void **s)
{
	(void)s;
	fresh_diag();
	dp_loader = program_load;
	clock_back();
	return system("rm -rf " ROOT);
}

static int world_end(void **s)
{
	(void)s;
	fresh_diag();
	return 0;
}

#define TEST(f) cmocka_unit_test_teardown(f, tidy)

int main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(without_pins_it_is_not_loaded),
		TEST(a_place_that_is_not_ours_is_refused),
		TEST(a_pin_that_is_not_ours_is_refused),
		TEST(a_hidden_bpffs_is_noticed),
		TEST(another_user_gets_nothing),
		TEST(what_was_put_is_read_back),
		TEST(a_look_changes_nothing),
		TEST(leases_are_gone_before_their_epoch_comes_again),
		TEST(a_ban_wipes_leases_in_their_time),
		TEST(a_frozen_pin_of_another_policy_is_noticed),
		TEST(attach_judges_and_detach_leaves_nothing),
		TEST(names_with_dots_work),
		TEST(a_driver_without_native_mode_is_said),
		TEST(the_mode_can_be_changed),
		TEST(with_frags_and_without_it_loads),
		TEST(a_foreign_program_is_left_alone_and_named),
		TEST(what_happens_to_interfaces_is_told),
		TEST(pins_follow_an_interface_that_was_renamed),
		TEST(an_interface_of_another_namespace_is_not_mistaken),
		TEST(growing_replaces_programs_and_keeps_counters),
		TEST(another_build_is_replaced_in_place),
		TEST(counters_are_exact),
		TEST(a_number_that_changes_hands_leaves_its_counts_to_other),
		TEST(writers_take_turns),
		TEST(a_held_lock_ends_in_a_clear_word),
		TEST(a_trial_ends_by_itself),
		TEST(a_trial_in_larger_tables_has_its_way_back_too),
		TEST(a_first_policy_on_trial_leaves_nothing),
		TEST(confirmed_it_lasts),
		TEST(too_late_is_too_late),
		TEST(while_a_trial_runs_nothing_else_changes),
		TEST(a_trial_across_the_round_of_epochs_leaves_no_lease),
		TEST(a_ban_leaves_a_trial_alone),
		TEST(the_class_table_says_who_is_protected),
		TEST(a_prefix_is_edited_in_place),
		TEST(a_full_log_says_so_and_changes_nothing),
		TEST(while_a_trial_runs_no_prefix_is_edited),
		TEST(a_put_that_fails_leaves_the_lists_in_force),
		TEST(a_kill_at_any_step_of_an_edit_leaves_a_whole_list),
		TEST(another_version_is_named_and_left_alone),
		TEST(counts_are_taken_over_and_given_back),
		TEST(bans_are_taken_over),
		TEST(larger_bans_keep_every_pin),
		TEST(a_book_of_a_killed_version_counts),
		TEST(what_this_version_has_no_name_for_is_kept),
		TEST(a_damaged_book_is_named),
		TEST(a_trial_is_not_taken_over_from),
		TEST(a_takeover_may_be_on_trial_itself),
		TEST(packets_meet_one_policy_while_it_changes),
		TEST(a_kill_at_any_step_leaves_a_whole_policy),
		TEST(a_kill_at_any_moment_leaves_a_whole_policy),
	};

	return cmocka_run_group_tests(tests, world_make, world_end);
}
