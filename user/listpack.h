/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Lists as they are kept in the kernel: packed, sorted, and never written
 * again; with the edits since beside them. So one prefix is found, added or
 * taken out without reading a million.
 *
 * A list is whole (v) or packed (pack, added, removed; v is NULL). list_has(),
 * list_around() and list_change() take both; all other code wants whole ones.
 */
#ifndef MXDP_LISTPACK_H
#define MXDP_LISTPACK_H

#include "rules.h"

/* Lists shorter than this stay with the sentences. */
#define LIST_PACKED 1024u

/*
 * What follows the head, each sorted by prefix_cmp():
 *   IPv4            u64 address << 8 | length
 *   IPv6 up to /64  u64 first half
 *   IPv6 beyond     u64 first half, u64 second half
 *   then a byte of length for each IPv6 one, up to /64 first
 */
#define LISTPACK_MAGIC 0x6b70786d7473696cULL
struct listpack {
	uint64_t magic;
	uint32_t n4, n6, n6_long, reserved;
	uint64_t v[];
};
_Static_assert(sizeof(struct listpack) == 24, "listpack layout");

size_t listpack_size(const struct prefix *v, size_t n);
void listpack_write(struct listpack *to, const struct prefix *v, size_t n);
/* Is this one, as long as it says? Its contents are believed. */
bool listpack_whole(const struct listpack *p, size_t len);
static inline size_t listpack_count(const struct listpack *p)
{
	return (size_t)p->n4 + p->n6 + p->n6_long;
}

/* One edit, as it is kept: of the list with this place among the lists in force. */
enum list_op { LIST_ADD = 1, LIST_DEL = 2, LIST_READ = 3 };
struct list_edit {
	uint8_t op;
	uint8_t family, len;
	uint8_t reserved;
	uint32_t list;
	uint8_t addr[16]; /* LIST_READ: the new struct list_stamp, which the file has since */
};
_Static_assert(sizeof(struct list_edit) == 24, "list_edit layout");

struct list_edit list_edit_of(enum list_op op, uint32_t list, const struct prefix *p);
struct list_edit list_edit_stamp(uint32_t list, const struct list_stamp *s);

bool list_has(const struct list *l, const struct prefix *p);
/* Appends what of the list covers p or lies inside it, itself included, to *v, in no order. False: more than `most`. */
bool list_around(const struct list *l, const struct prefix *p, size_t most, struct prefix **v, size_t *n);
/* Adds or takes out p. False: it was so already. */
bool list_change(struct list *l, const struct prefix *p, bool add);
/* Makes a packed list whole. */
void list_unpack(struct list *l);

/* The file as it is now; all zero when it cannot be looked at. */
struct list_stamp list_stamp_of(const char *path);
struct list_stamp list_stamp_at(int fd);
bool list_stamp_same(const struct list_stamp *a, const struct list_stamp *b); /* and not zero */

/* What the datapath keeps of the rules of a bank. */
struct kept_rules {
	void *blob; /* rules_freeze_kept() */
	size_t len;
	const struct listpack **packs; /* those the blob speaks of, in order; the array is ours, they are the datapath's */
	size_t npacks;
	struct list_edit *edits;
	size_t nedits;
};
void kept_rules_free(struct kept_rules *k);

/* Rules as rules_freeze() makes them, but lists of LIST_PACKED and more are left out, to be kept packed beside them. */
void *rules_freeze_kept(const struct rules *r, size_t *len);
/* rules_thaw(), which refuses lists that are kept elsewhere; here they have `kept` set and no contents. */
int rules_thaw_partly(struct rules *r, const void *blob, size_t len, struct diag *d);
/* Lists are packed where they are so kept: their packs must outlive r, unless list_unpack() comes before. */
int rules_thaw_kept(struct rules *r, const struct kept_rules *k, struct diag *d);
/* The same rules as rules_freeze() makes them. Malloc'd; NULL with d filled when they are damaged. */
void *rules_whole(const struct kept_rules *k, size_t *len, struct diag *d);

#endif
