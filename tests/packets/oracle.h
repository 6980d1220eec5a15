/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A second opinion: parse, sane and policy once more, in plain C, on the bytes
 * of the frame, as slow as is clear. Written from the design and the RFCs and
 * not from the program, so that both cannot share a mistake.
 */
#ifndef MXDP_TEST_PACKETS_ORACLE_H
#define MXDP_TEST_PACKETS_ORACLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <mxdp/abi.h>

/* What one rule says, as the oracle reads it; opinion_sentences() writes the same as sentences. */
enum opinion_verb { OPINION_ALLOW, OPINION_DENY, OPINION_BLOCK, OPINION_EXEMPT, OPINION_ADMIN };
struct opinion_rule {
	enum opinion_verb verb;
	unsigned int lo, hi;  /* ports; BLOCK and EXEMPT have none */
	unsigned int family;  /* 4, 6; 0: any source */
	uint8_t addr[16];
	unsigned int len;
};

#define OPINION_RULES 64
struct opinion_policy {
	bool default_allow;
	struct opinion_rule rule[OPINION_RULES];
	size_t n;
};

struct opinion {
	int reason;
	int also;            /* a reason as good: the stack throws the packet away in any case; -1: none */
	int port;            /* counted under this port; -1: none */
	unsigned int family; /* of the header that was read; 0: none */
};

/* In a host without any socket. */
struct opinion opinion_of(const struct opinion_policy *p, const uint8_t *frame, size_t len);
void opinion_sentences(const struct opinion_policy *p, char *text, size_t size);

#endif
