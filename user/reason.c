// SPDX-License-Identifier: GPL-2.0-only
#include <stddef.h>
#include "reason.h"

static const struct reason_info table[MXDP_REASON_SLOTS] = {
#define X(nr, sym, name_, verdict, layer_, text_) \
	[nr] = { .name = name_, .text = text_, .drops = MXDP_##verdict != MXDP_PASS, .layer = MXDP_LAYER_##layer_ },
	MXDP_REASONS(X)
#undef X
};

const struct reason_info *reason_info(unsigned int reason)
{
	return reason < MXDP_REASON_SLOTS && table[reason].name ? &table[reason] : NULL;
}

bool reason_has_port(unsigned int reason)
{
	const struct reason_info *r = reason_info(reason);

	return r && (r->layer == MXDP_LAYER_TCP || reason == MXDP_R_TO_GROUP || reason == MXDP_R_BAD_SOURCE ||
		     reason == MXDP_R_LAND || reason == MXDP_R_BLOCKED);
}
