/* SPDX-License-Identifier: GPL-2.0-only */
/* What this network namespace and its interfaces let answers from the driver be: SYN cookies and refusals. */
#ifndef MXDP_COOKIES_H
#define MXDP_COOKIES_H

#include <stdbool.h>
#include <stdint.h>
#include <mxdp/abi.h>
#include "diag.h"

/* The MXDP_COOKIE_* that the kernel would understand in an ACK, from the sysctls of the caller's network namespace. */
uint32_t cookies_options(void);

/* Which MXDP_PORT_COOKIES_* some port of the bank has. */
uint16_t cookies_wanted(const struct mxdp_bank *b);
/* Warns where the kernel's own settings make less of them than the rules say. */
void cookies_warn(uint16_t wanted, struct diag *d);

/*
 * How an answer gets out in native mode. Only veth is peculiar: it loses whatever is sent from XDP unless the other end
 * polls (an XDP program there, or GRO on). Kernels before 6.3 do not say whether it does; then nothing is sent. An enum
 * mxdp_answers, or -ENOENT with d filled: libmnl is not there, which only a veth is asked with.
 */
int answers_by(const char *ifname, const char *driver, struct diag *d);

#endif
