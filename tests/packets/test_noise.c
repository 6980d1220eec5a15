// SPDX-License-Identifier: GPL-2.0-only
/*
 * A22: noise. Whatever comes, the verdict is pass or drop, every frame is
 * counted once, and the kernel has nothing to say.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <bpf/bpf.h>
#include "rows.h"

#define FLIPPED 150000u
#define RANDOM 30000u
#define LARGE 4000u
#define LARGE_MAX (64u * 1024)

static uint64_t seed;
static int kmsg = -1;

static unsigned int below(unsigned int n)
{
	return rig_random(&seed) % n;
}

static void scramble(uint8_t *b, size_t n)
{
	for (size_t i = 0; i < n; i += 8) {
		uint64_t r = rig_random(&seed);

		memcpy(b + i, &r, n - i < 8 ? n - i : 8);
	}
}

/* ---- the kernel's log ---- */

static void kmsg_mark(void)
{
	kmsg = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kmsg >= 0)
		lseek(kmsg, 0, SEEK_END);
}

/* Warnings of the kernel itself that speak of a fault of ours: other things may happen on this machine meanwhile. */
static unsigned int kmsg_faults(void)
{
	static const char *const words[] = {
		"WARNING:", "BUG:", "Oops", "RIP:", "Call Trace", "general protection", "refcount_t", "bpf", "XDP",
	};
	unsigned int faults = 0;
	char line[8192];
	ssize_t n;

	while ((n = read(kmsg, line, sizeof(line) - 1)) >= 0 || errno == EPIPE) {
		unsigned long priority;

		if (n < 0)
			continue; /* overrun: go on with the oldest that is left */
		line[n] = 0;
		priority = strtoul(line, NULL, 10);
		if (priority >> 3 || (priority & 7) > 4)
			continue;
		for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
			if (strstr(line, words[i])) {
				printf("  kernel: %s", line);
				faults++;
				break;
			}
		}
	}
	return faults;
}

/* ---- frames ---- */

static void feed(struct rig *g, const uint8_t *b, size_t len, size_t linear)
{
	int got = rig_run(g, &(struct rig_run){ .frame = b, .len = len, .linear = linear });

	if (got == XDP_PASS || got == XDP_DROP)
		return;
	printf("  verdict %d for %zu bytes:", got, len);
	for (size_t i = 0; i < len && i < 200; i++)
		printf("%s%02x", i % 4 ? "" : " ", b[i]);
	putchar('\n');
	g->failed++;
}

struct noise {
	struct rig *g;
	unsigned int forms, each;
};

static void count_form(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	struct noise *n = arg;

	(void)r;
	(void)f;
	(void)family;
	n->forms++;
}

/* Bits flipped where the headers are, the length changed now and then, in both directions. */
static void spoil(struct crafted *f)
{
	size_t headers = f->len < 160 ? f->len : 160;

	for (unsigned int n = 1 + below(6); n; n--)
		f->b[below(headers)] ^= 1 << below(8);
	if (below(4) == 0)
		f->b[below(headers)] = below(256);
	if (below(5) == 0)
		f->len = 14 + below(f->len - 13);
	else if (below(8) == 0 && f->len < 2000) {
		size_t more = below(1400);

		scramble(f->b + f->len, more);
		f->len += more;
	}
}

static void feed_spoilt(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	static struct crafted spoilt;
	struct noise *n = arg;

	(void)r;
	(void)family;
	for (unsigned int i = 0; i < n->each; i++) {
		if (f->len > 4000 && i >= 2)
			return; /* frames of many buffers have a test of their own */
		spoilt.len = f->len;
		spoilt.l3 = f->l3;
		spoilt.l4 = f->l4;
		memcpy(spoilt.b, f->b, f->len);
		spoil(&spoilt);
		feed(n->g, spoilt.b, spoilt.len, 0);
	}
}

static void end(struct rig *g)
{
	assert_true(rig_adds_up_unseen(g));
	assert_int_equal(g->failed, 0);
	printf("  %llu frames\n", (unsigned long long)g->sent);
	rig_free(g);
}

static void every_crafted_packet_with_bits_flipped(void **state)
{
	struct noise n = { .g = rig_new(NULL) };

	(void)state;
	rig_policy(n.g, rows_sentences);
	for (unsigned int i = 0; i < ROWS_TABLES; i++)
		rows_each(rows_all[i], count_form, &n);
	n.each = FLIPPED / n.forms + 1;
	for (unsigned int i = 0; i < ROWS_TABLES; i++)
		rows_each(rows_all[i], feed_spoilt, &n);
	assert_true(n.g->sent >= 100000);
	end(n.g);
}

/* The first bytes are such that more than the EtherType is looked at. */
static void likely_head(uint8_t *b, size_t len)
{
	static const uint8_t types[][2] = {
		{ 8, 0 }, { 0x86, 0xdd }, { 0x81, 0 }, { 0x88, 0xa8 }, { 0x91, 0 }, { 8, 6 },
	};
	size_t at = 12;

	b[0] &= 0xfe;
	while (at + 30 < len) {
		unsigned int n = below(6);

		memcpy(b + at, types[n], 2);
		at += 2;
		if (n == 0) {
			b[at] = 0x45 + (below(4) ? 0 : below(11));
			b[at + 9] = below(3) ? 6 : b[at + 9];
			b[at + 2] = below(2) ? (len - at) >> 8 : b[at + 2];
			b[at + 3] = len - at;
			b[at + 6] &= below(2) ? 0xc0 : 0xff;
		} else if (n == 1) {
			static const uint8_t next[] = { 6, 6, 0, 43, 44, 51, 58, 60, 17 };

			b[at] = 0x60 | (b[at] & 15);
			b[at + 4] = below(2) ? (len - at - 40) >> 8 : b[at + 4];
			b[at + 5] = len - at - 40;
			b[at + 6] = next[below(sizeof(next))];
		}
		if (n < 2 || n == 5)
			return;
		at += 2;
	}
}

static void random_frames(void **state)
{
	static uint8_t b[2048];
	struct rig *g = rig_new(NULL);

	(void)state;
	rig_policy(g, rows_sentences);
	for (unsigned int i = 0; i < RANDOM; i++) {
		size_t len = 14 + below(below(2) ? 120 : 1500);

		scramble(b, len);
		if (i & 3)
			likely_head(b, len);
		feed(g, b, len, 0);
	}
	end(g);
}

static void random_frames_in_many_buffers(void **state)
{
	static uint8_t b[LARGE_MAX];
	struct rig *g = rig_new(NULL);
	struct rig_run split = { .frame = b, .len = 200, .linear = 100 };
	bool splits;

	(void)state;
	rig_policy(g, rows_sentences);
	splits = rig_run(g, &split) >= 0; /* since 6.18 */
	for (unsigned int i = 0; i < LARGE; i++) {
		size_t len = i & 1 ? 4096 + below(LARGE_MAX - 4096) : 200 + below(3000);

		scramble(b, len < 4096 ? len : 4096);
		if (i & 6)
			likely_head(b, len);
		feed(g, b, len, i & 1 || !splits ? 0 : 14 + below(150));
	}
	end(g);
}

static void random_frames_without_frags(void **state)
{
	static uint8_t b[2048];
	struct rig *g = rig_new(&(struct rig_options){ .no_frags = true });

	(void)state;
	rig_policy(g, rows_sentences);
	for (unsigned int i = 0; i < RANDOM / 3; i++) {
		size_t len = 14 + below(1500);

		scramble(b, len);
		likely_head(b, len);
		feed(g, b, len, 0);
	}
	end(g);
}

/* Of a million instructions it walks no more. What it walks is time under the lock at each load, and room for what comes. */
#define WALKED 150000u

static void the_verifier_is_far_from_its_limit(void **state)
{
	static const struct rig_options how[] = { { 0 }, { .no_frags = true }, { .attached_on_trial = 7 }, { .shared_rows = true } };

	(void)state;
	for (size_t i = 0; i < sizeof(how) / sizeof(*how); i++) {
		struct rig *g = rig_new(&how[i]);
		struct bpf_prog_info info = { 0 };
		__u32 len = sizeof(info);

		assert_int_equal(bpf_obj_get_info_by_fd(g->prog, &info, &len), 0);
		print_message("walked: %u instructions\n", info.verified_insns);
		assert_in_range(info.verified_insns, 1, WALKED);
		rig_free(g);
	}
}

static void the_kernel_had_nothing_to_say(void **state)
{
	(void)state;
	if (kmsg < 0)
		skip();
	assert_int_equal(kmsg_faults(), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_crafted_packet_with_bits_flipped),
		cmocka_unit_test(random_frames),
		cmocka_unit_test(random_frames_in_many_buffers),
		cmocka_unit_test(random_frames_without_frags),
		cmocka_unit_test(the_verifier_is_far_from_its_limit),
		cmocka_unit_test(the_kernel_had_nothing_to_say),
	};

	rig_alone();
	kmsg_mark();
	seed = rig_seed();
	return cmocka_run_group_tests(tests, NULL, NULL);
}
