/* SPDX-License-Identifier: GPL-2.0-only */
/* What is no error in rules, and probably not meant. */
#ifndef MXDP_LINT_H
#define MXDP_LINT_H

#include "rules.h"

/* Warnings about rules that passed rules_finish(): sentences that never decide, ports whose passwords travel in clear. */
void rules_lint(const struct rules *r, struct diag *d);

#endif
