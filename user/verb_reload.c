// SPDX-License-Identifier: GPL-2.0-only
#include "change.h"

int verb_reload(const struct options *o, int argc, char **argv)
{
	return apply_main(o, argc, argv, true);
}
