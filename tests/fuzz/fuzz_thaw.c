// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any bytes as frozen rules. The checksum is made right first, so that what lies behind it is reached. What is
 * thawed must freeze to the same blob, and be fit for all that is done with rules.
 */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define must(x) do { if (!(x)) abort(); } while (0)
#define HEADER 24

static void use(struct rules *r)
{
	struct prefix host = { .family = 4, .len = 32, .addr = { 192, 0, 2, 1 } };

	for (size_t i = 0; i < r->n; i++) {
		__cleanup_free char *text = stmt_text(&r->v[i]);
		struct stmt copy;

		stmt_copy(&copy, &r->v[i]);
		must(*text && stmt_same(&copy, &r->v[i]) && rules_find(r, &copy));
		stmt_free(&copy);
	}
	for (unsigned int syn = 0; syn < 2; syn++) {
		rules_judge(r, &host, 25, syn);
		rules_judge(r, &(struct prefix){ .family = 6, .len = 128, .addr = { 0x20, 0x02, 192, 0, 2, 1 } }, 0, syn);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	__cleanup(rules_free) struct rules r = { 0 };
	__cleanup_free uint8_t *blob = xmalloc(len + HEADER);
	__cleanup_free void *again = NULL;
	struct diag d = { 0 };
	uint64_t whole = len + HEADER;
	uint32_t crc = crc32(0, data, len), version = 1;
	size_t n;

	must(rules_thaw(&r, data, len, &d) == -74 || r.n + r.nlists <= len);
	rules_free(&r);
	memcpy(blob, "MXDPRULE", 8);
	memcpy(blob + 8, &version, 4);
	memcpy(blob + 12, &crc, 4);
	memcpy(blob + 16, &whole, 8);
	memcpy(blob + HEADER, data, len);
	if (rules_thaw(&r, blob, whole, &d) == 0) {
		use(&r);
		again = rules_freeze(&r, &n);
		must(n == whole && !memcmp(again, blob, n));
	} else {
		must(d.errors > 0 && r.n == 0);
	}
	diag_free(&d);
	return 0;
}
