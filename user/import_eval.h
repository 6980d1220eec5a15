/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the old firewall answers to a new TCP connection: a map from source
 * prefix and destination port to a verdict. All addresses inside a node's prefix
 * that lie in none of its children are in the same written sets, and all ports
 * of an atom in the same written ranges, so that one packet of each speaks for all.
 */
#ifndef MXDP_IMPORT_EVAL_H
#define MXDP_IMPORT_EVAL_H

#include "import.h"

#define IM_LIMITS 4

struct im_cell {
	enum im_action verdict;      /* ACCEPT, DROP, REJECT */
	const struct im_rule *by; /* the deciding rule, or NULL: `policy` of that chain (NULL too: no chain at all) */
	const struct im_chain *policy;
	struct im_rule *limit[IM_LIMITS]; /* what an ACCEPT is under */
	unsigned int nlimits;
	bool cuts;                   /* segments of open connections are refused too, by this rule or policy: */
	struct im_rule *cut_by;
	struct im_chain *cut_policy;
};

struct im_node {
	int six;
	im_addr lo, hi;
	unsigned int len;
	int parent;                  /* -1: the whole family */
	bool speaks;                 /* some address is in no child, and can come in from outside */
	im_addr speaker;
	bool cut;                    /* open connections are dropped too, whatever the port */
	bool cut_tcp;                /* ... by rules that speak of TCP alone */
	struct im_cell *cell;        /* one for each atom; a node that does not speak has its parent's */
};

struct im_map {
	struct im_node *node;
	size_t nnodes;
	unsigned int *port;          /* atom i: port[i] .. port[i + 1] - 1 */
	size_t natoms;
	/* other packets, UDP by family and neighbour discovery: what becomes of them */
	enum im_action udp[2], neighbour;
};

enum im_packet_kind { IM_SYN, IM_OPEN, IM_UDP, IM_NEIGHBOUR };
struct im_packet {
	enum im_packet_kind kind;
	int six;
	im_addr src;
	unsigned int port;
};

/* The first match that no new TCP connection of the family meets, wherever it comes from and goes to; NULL: none. */
const struct im_match *im_why_not(const struct import *im, const struct im_rule *r, int six);
bool im_true_of(const struct import *im, const struct im_rule *r, const struct im_packet *p);

/* -E2BIG: too large to be evaluated within reason. */
int im_evaluate(struct import *im, struct im_map *map);
/* The answer to one connection; NULL: to an address that nothing comes from. It belongs to the map. */
const struct im_cell *im_answer(const struct im_map *map, int six, im_addr src, unsigned int port);

#endif
