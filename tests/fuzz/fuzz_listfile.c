// SPDX-License-Identifier: GPL-2.0-only
/* Any text as a list file: refused with a reason, or sorted prefixes without host bits that are read back from their print. */
#include <stdlib.h>
#include <string.h>
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define must(x) do { if (!(x)) abort(); } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	__cleanup_free struct prefix *v = NULL;
	char text[PREFIX_TEXT];
	struct diag d = { 0 };
	int64_t seconds;
	size_t n = 0;
	int err = listfile_parse("list", (const char *)data, len, &v, &n, &d);

	must((err != 0) == (d.errors != 0) && d.errors <= 20);
	must(!err || (!v && !n));
	diag_free(&d);
	for (size_t i = 0; i < n; i++) {
		struct prefix p;

		must(i == 0 || prefix_cmp(&v[i - 1], &v[i]) < 0);
		prefix_text(&v[i], text);
		must(word_prefix(text, strlen(text), &p, NULL) == 0 && prefix_cmp(&p, &v[i]) == 0);
		must(prefix_covers(&p, &v[i]));
	}
	if (!word_duration((const char *)data, len, &seconds, NULL))
		must(seconds >= -1);
	return 0;
}
