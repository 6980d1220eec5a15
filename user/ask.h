/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Questions to the rules in force: what do they say of a whole set of sources and ports? The answer of the rules
 * changes only where a prefix or a port range that they name begins or ends, so asking there is asking everywhere.
 */
#ifndef MXDP_ASK_H
#define MXDP_ASK_H

#include "rules.h"

/* A host that no rule and no list in force names, of a family; false when every address is named. Prefixes of length 0
 * are what sentences say for everybody, and name nobody. */
bool ask_stranger(const struct rules *r, int family, struct prefix *host);

enum ask { ASK_OPENS, ASK_REFUSED, ASK_BLOCKED, ASK_ADMIN };

/*
 * Is it so for all sources and all ports that the sentence names? No source: for strangers of both families.
 * ASK_BLOCKED asks for no ports. `where`, when not NULL, is set to the first host and port of which it is not so, with
 * the answer.
 */
struct ask_where {
	struct prefix host;
	uint16_t port;
	struct judge_answer answer;
};
bool ask_rules(const struct rules *r, enum ask what, const struct stmt *s, struct ask_where *where);

/* Is there a source and a port of which this sentence of r (allow, deny, admin, block) decides? */
bool ask_decides(const struct rules *r, const struct stmt *s);

#endif
