// SPDX-License-Identifier: GPL-2.0-only
/*
 * `list add` and `list del` in place: whatever is added and taken out, one after the other, every source is judged as by a
 * compilation of the whole, and the rules as they are kept say what the whole rules say.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "listpack.h"
#include "oracle.h"
#include "told.h"

#define NLISTS 4u
#define FREE_LIST " private yes cover yes widest /1 /1 change any min 0\n"

static const char *const policies[] = {
	"allow 25\nblock @a\ndeny 143 from @b\nallow 143 from @c\nexempt @d\n",
	"allow 25 from @a\nallow 25 from 10.0.0.0/8\ndeny 25 from @b\nblock 10.1.0.0/16\nadmin ssh from @c\nblock @d\n",
	"default allow\ndeny any from @a\nallow 587 from @b\nblock @c\nblock @d\n",
	"block @a\nblock @b\nblock @c\nexempt 10.2.0.0/15 2001:db8::/32\nallow 25,993 limit 10/m\ndeny 993 from @d\n",
};

struct lab {
	struct rules whole;     /* edited prefix by prefix, compiled each time */
	struct rules packed;    /* thawed anew for each edit, as a command would */
	struct kept_rules kept;
	struct image img;
	struct mxdp_bank *bank;
	union mxdp_line *map;
	uint32_t first, nlines;
};

static size_t edits, lookups, rebuilt, packs;

static void no_error(int err, struct diag *d)
{
	if (err)
		fail_msg("%s", d->n ? d->msg[0].text : strerror(-err));
	diag_free(d);
}

static void write_list(const char *name, size_t n)
{
	__cleanup_free struct class_prefix *v = xmalloc((n + 1) * sizeof(*v));
	char *text = NULL, buf[PREFIX_TEXT];
	size_t len;
	FILE *f = open_memstream(&text, &len);

	n = oracle_crowd(v, n, 2);
	fputs("# a list\n", f);
	for (size_t i = 0; i < n; i++)
		if (v[i].p.len)
			fprintf(f, "%s\n", prefix_text(&v[i].p, buf));
	fclose(f);
	write_file(name, text);
	free(text);
}

/* From scratch, as `apply` would put it. */
static void put(struct lab *l, uint32_t slack)
{
	struct diag d = { 0 };
	struct service before[MXDP_SERVICES];
	bool first_time = !l->bank;

	memcpy(before, l->img.services, sizeof(before));
	image_free(&l->img);
	no_error(image_compile(&l->img, &l->whole, first_time ? NULL : before, &d), &d);
	free(l->bank);
	free(l->map);
	l->first = 2 + oracle_below(100);
	l->nlines = l->img.nlines + slack;
	l->bank = xmalloc(sizeof(*l->bank));
	l->map = xmalloc((l->first + l->nlines) * sizeof(*l->map));
	memset(l->map, 0xff, (l->first + l->nlines) * sizeof(*l->map));
	memcpy(l->map + l->first, l->img.lines, l->img.nlines * sizeof(*l->map));
	image_place_bank(&l->img, l->first, 1, l->bank);
	free(l->kept.packs);
	free(l->kept.edits);
	l->kept = (struct kept_rules){ .blob = l->img.frozen, .len = l->img.nfrozen, .npacks = l->img.npacks };
	l->kept.packs = xcalloc(l->img.npacks, sizeof(*l->kept.packs));
	for (size_t i = 0; i < l->img.npacks; i++)
		l->kept.packs[i] = l->img.packs[i].p;
	packs += l->img.npacks;
}

static void end(struct lab *l)
{
	l->kept.blob = NULL;
	kept_rules_free(&l->kept);
	image_free(&l->img);
	rules_free(&l->whole);
	free(l->bank);
	free(l->map);
}

static void begin(struct lab *l, const char *policy, size_t most)
{
	__cleanup_free char *text = NULL;
	struct diag d = { 0 };
	static const char *const name[NLISTS] = { "a", "b", "c", "d" };

	*l = (struct lab){ 0 };
	for (unsigned int i = 0; i < NLISTS; i++)
		write_list(name[i], 1 + oracle_below(most));
	text = xasprintf("list a file a%slist b file b%slist c file c%slist d file d%s%s", FREE_LIST, FREE_LIST, FREE_LIST, FREE_LIST,
			 policy);
	no_error(rules_parse(&l->whole, "mxdp.conf", text, strlen(text), &d), &d);
	no_error(rules_finish(&l->whole, &d), &d);
	put(l, 200 + oracle_below(4000));
}

/* One of some list, or one that has to do with one, or any. */
static struct prefix some_prefix(const struct lab *l)
{
	const struct list *from = &l->whole.lists[oracle_below(NLISTS)];
	struct class_prefix crowd[4];
	struct prefix p;

	do {
		if (from->n && oracle_below(4)) {
			p = from->v[oracle_below(from->n)];
			if (oracle_below(3) == 0) {
				p = oracle_inside(&p);
				p.len = 1 + oracle_below(p.len);
			} else if (oracle_below(3) == 0 && p.len > 8) {
				p.len -= 1 + oracle_below(7);
			}
		} else {
			p = crowd[oracle_crowd(crowd, 4, 2) - 1].p;
		}
	} while (!p.len);
	oracle_mask(&p);
	return p;
}

static struct lab with_all_of(const struct rules *r, const struct service *before)
{
	struct lab l = { 0 };
	struct diag d = { 0 };

	no_error(image_compile(&l.img, r, before, &d), &d);
	l.first = 2;
	l.nlines = l.img.nlines;
	l.bank = xmalloc(sizeof(*l.bank));
	l.map = xmalloc((l.first + l.nlines) * sizeof(*l.map));
	memset(l.map, 0xff, l.first * sizeof(*l.map));
	memcpy(l.map + l.first, l.img.lines, l.img.nlines * sizeof(*l.map));
	image_place_bank(&l.img, l.first, 1, l.bank);
	return l;
}

static int reason(const struct lab *l, const struct prefix *host, uint16_t port, bool syn)
{
	return oracle_packet_reason(l->bank, l->map, l->first + l->nlines, host, port, syn);
}

/* A port that the last source was taken from is closed for a compilation; until there is one each source is refused by itself. */
static bool same_reason(int is, int should)
{
	return is == should || (should == MXDP_R_CLOSED && (is == MXDP_R_DENIED || is == MXDP_R_BLOCKED));
}

static void same_verdict(const struct lab *l, const struct lab *want, const struct prefix *host)
{
	static const uint16_t port[] = { 25, 143, 587, 993, 22, 80 };
	char buf[PREFIX_TEXT];

	for (size_t i = 0; i < sizeof(port) / sizeof(*port); i++)
		for (int syn = 0; syn < 2; syn++) {
			int is = reason(l, host, port[i], syn), should = reason(want, host, port[i], syn);

			lookups++;
			if (!same_reason(is, should))
				fail_msg("%s to %u: reason %d, by compiling the whole %d", prefix_text(host, buf), port[i], is, should);
		}
}

static void check(const struct lab *l, const struct prefix *changed, size_t n, unsigned int others)
{
	struct lab want = with_all_of(&l->whole, l->img.services);
	struct prefix host[5];

	for (size_t i = 0; i < n + others; i++) {
		struct prefix p = i < n ? changed[i] : some_prefix(l);

		host[0] = oracle_first(&p);
		host[1] = oracle_last(&p);
		host[2] = oracle_inside(&p);
		host[3] = oracle_beside(&host[0], -1);
		host[4] = oracle_beside(&host[1], 1);
		for (int k = 0; k < 5; k++)
			same_verdict(l, &want, &host[k]);
	}
	end(&want);
}

static void publish(struct lab *l, const struct dir_change *v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t *cell = v[i].at < 65536 ? &l->bank->dir4[v[i].at] : &l->bank->dir6[v[i].at - 65536];

		assert_int_equal(*cell, v[i].was);
		*cell = v[i].is;
	}
}

/* What is kept and edited says the same as what is whole. */
static void same_rules(struct lab *l)
{
	struct diag d = { 0 };
	size_t nwhole, nkept;
	__cleanup_free void *kept = rules_whole(&l->kept, &nkept, &d), *whole = rules_freeze(&l->whole, &nwhole);

	no_error(kept ? 0 : -EBADMSG, &d);
	assert_int_equal(nkept, nwhole);
	assert_memory_equal(kept, whole, nwhole);
}

static void in_place(struct lab *l, const struct prefix *v, size_t n)
{
	static struct dir_change changes[65536];
	const struct class_bank to = { l->bank, l->map + l->first, l->nlines };
	struct image_edit e = { 0 };
	struct diag d = { 0 };
	size_t nchanges;
	int err;

	no_error(rules_thaw_kept(&l->packed, &l->kept, &d), &d);
	err = image_compile_edit(&e, &l->packed, l->img.services, v, n, &d) ?: classtable_edit(&to, &e, changes, 65536, &nchanges);
	rules_free(&l->packed);
	image_edit_free(&e);
	diag_free(&d);
	if (!err) {
		publish(l, changes, nchanges);
		return;
	}
	if (err != -ENOSPC)
		fail_msg("an edit says %s", strerror(-err));
	rebuilt++;
	same_rules(l);
	put(l, 200 + oracle_below(4000));
}

static void step(struct lab *l)
{
	struct prefix v[5];
	size_t n = 1 + (oracle_below(3) == 0) * oracle_below(5), did = 0;
	uint32_t list = oracle_below(NLISTS);
	bool add = oracle_below(2);

	for (size_t i = 0; i < n; i++) {
		struct prefix p = some_prefix(l);

		if (!add && l->whole.lists[list].n && oracle_below(4))
			p = l->whole.lists[list].v[oracle_below(l->whole.lists[list].n)];
		if (!list_change(&l->whole.lists[list], &p, add))
			continue;
		v[did++] = p;
		l->kept.edits = xrealloc(l->kept.edits, (l->kept.nedits + 1) * sizeof(*l->kept.edits));
		l->kept.edits[l->kept.nedits++] = list_edit_of(add ? LIST_ADD : LIST_DEL, list, &p);
	}
	if (!did)
		return;
	edits += did;
	in_place(l, v, did);
	check(l, v, did, 10);
}

static void test_edits_say_what_a_compilation_says(void **state)
{
	(void)state;
	oracle_seed(21);
	for (unsigned int round = 0; round < 120; round++) {
		struct lab l;

		begin(&l, policies[round % 4], round % 10 == 9 ? 6000 : round % 3 ? 60 : 1500);
		for (int i = 0; i < 40; i++)
			step(&l);
		same_rules(&l);
		end(&l);
	}
	assert_true(packs > 10);
	print_message("           %zu edits, %zu verdicts, no difference; %zu packed lists; %zu times there was no room\n", edits, lookups,
		      packs, rebuilt);
	assert_true(rebuilt < edits / 10);
}

/* Milliseconds at a million is a promise; that the work does not grow with the list is what can be asserted. */
static void test_an_edit_looks_only_around_itself(void **state)
{
	struct lab l;
	struct prefix p = oracle_ip4(0, 1), *around = NULL;
	size_t n = 0;

	(void)state;
	oracle_seed(22);
	begin(&l, policies[0], 3);
	/* so much inside one prefix that compiling the whole is no dearer: said before it is walked */
	for (unsigned int i = 0; i < 3000; i++) {
		struct prefix host = oracle_ip4(i * 7, 32);

		list_change(&l.whole.lists[0], &host, true);
	}
	assert_false(list_around(&l.whole.lists[0], &p, 1000, &around, &n));
	assert_int_equal(n, 1000);
	free(around);
	end(&l);
}

static void test_a_log_that_is_damaged_is_refused(void **state)
{
	struct prefix p = oracle_ip4(0x0a000000, 24);
	struct list_edit good = list_edit_of(LIST_ADD, 0, &p), bad[4] = { good, good, good, good };
	struct lab l;

	(void)state;
	oracle_seed(23);
	begin(&l, policies[0], 3000);
	bad[0].list = 99;
	bad[1].op = 77;
	bad[2].len = 8; /* bits behind it */
	bad[2].addr[1] = 1;
	bad[3].family = 5;
	for (int i = 0; i < 4; i++) {
		struct diag d = { 0 };

		l.kept.edits = &bad[i];
		l.kept.nedits = 1;
		assert_int_equal(rules_thaw_kept(&l.packed, &l.kept, &d), -EBADMSG);
		assert_true(d.n == 1 && strstr(d.msg[0].text, "apply"));
		diag_free(&d);
	}
	l.kept.edits = NULL;
	l.kept.nedits = 0;
	end(&l);
}

/* Nor one whose packs are fewer, or other, than the sentences say. */
static void test_packs_that_do_not_belong_are_refused(void **state)
{
	struct diag d = { 0 };
	struct lab l;

	(void)state;
	oracle_seed(24);
	do
		begin(&l, policies[0], 3000);
	while (l.kept.npacks < 2 && (end(&l), true));
	l.kept.npacks--;
	assert_int_equal(rules_thaw_kept(&l.packed, &l.kept, &d), -EBADMSG);
	l.kept.packs[0] = l.kept.packs[1];
	l.kept.npacks++;
	assert_int_equal(rules_thaw_kept(&l.packed, &l.kept, &d), -EBADMSG);
	diag_free(&d);
	assert_false(listpack_whole(l.kept.packs[0], listpack_size(NULL, 0)));
	end(&l);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_edits_say_what_a_compilation_says),
		cmocka_unit_test(test_an_edit_looks_only_around_itself),
		cmocka_unit_test(test_a_log_that_is_damaged_is_refused),
		cmocka_unit_test(test_packs_that_do_not_belong_are_refused),
	};

	return cmocka_run_group_tests(tests, scratch_enter, scratch_leave);
}
