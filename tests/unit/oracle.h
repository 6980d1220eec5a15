/* SPDX-License-Identifier: GPL-2.0-only */
/* What the tests of the compiler compare with: plain, slow where it may be, and sharing nothing with what is tested. */
#ifndef MXDP_TEST_ORACLE_H
#define MXDP_TEST_ORACLE_H

#include "image.h"

/* The same numbers in every run, so that what failed once fails again. */
void oracle_seed(uint64_t seed);
uint64_t oracle_random(void);
uint32_t oracle_below(uint32_t n);
double oracle_now_ms(void);

/* ---- prefixes ---- */

int oracle_cmp(const struct prefix *a, const struct prefix *b); /* family, address, length */
bool oracle_covers(const struct prefix *p, const struct prefix *of);
void oracle_mask(struct prefix *p);                             /* host bits to zero */
struct prefix oracle_prefix(int family, unsigned int len);      /* random */
struct prefix oracle_ip4(uint32_t addr, unsigned int len);
struct prefix oracle_first(const struct prefix *p);             /* as a host */
struct prefix oracle_last(const struct prefix *p);
struct prefix oracle_beside(const struct prefix *host, int step); /* the address before (-1) or behind (1), wrapping */
struct prefix oracle_inside(const struct prefix *p);            /* a random host of it */

/*
 * n prefixes, sorted, unique (fewer when duplicates fell out), classes below nclasses. Nested, adjacent, crowded
 * and scattered ones of both families, all lengths.
 */
size_t oracle_crowd(struct class_prefix *v, size_t n, unsigned int nclasses);
/* What published lists look like: 55 % /32, 40 % /24, 4 % /22, 1 % /20, anywhere. Sorted, unique. */
size_t oracle_blocklist(struct class_prefix *v, size_t n);

/* ---- longest prefix match: binary search, then outwards; v must stay ---- */

struct oracle_table;
struct oracle_table *oracle_table_new(const struct class_prefix *v, size_t n);
void oracle_table_free(struct oracle_table *t);
unsigned int oracle_class(const struct oracle_table *t, const struct prefix *host);
/* The same by reading all of v. */
unsigned int oracle_class_slow(const struct class_prefix *v, size_t n, const struct prefix *host);

/* ---- the packet's way, with the very code of bpf/policy.h ---- */

/* `map` is the whole trie map, `nlines` long. */
unsigned int oracle_packet_class(const struct mxdp_bank *b, const union mxdp_line *map, size_t nlines,
				 const struct prefix *host);
/* What the program would count the packet under: enum mxdp_reason; -1 for a segment that is left to the tracker. */
int oracle_packet_reason(const struct mxdp_bank *b, const union mxdp_line *map, size_t nlines,
			 const struct prefix *host, uint16_t port, bool syn);

#endif
