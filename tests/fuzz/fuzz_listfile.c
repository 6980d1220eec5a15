// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any text as a list file of any kind: refused with a reason, or sorted prefixes without host bits that are read back from
 * their print and whose line is found again. One word alone is judged as in a sentence.
 */
#include <stdlib.h>
#include <string.h>
#include "listfile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define must(x) do { if (!(x)) abort(); } while (0)

static void check_prefixes(const struct listfile *f)
{
	char text[PREFIX_TEXT];

	for (size_t i = 0; i < f->n; i++) {
		struct prefix p;

		must(i == 0 || prefix_cmp(&f->v[i - 1], &f->v[i]) < 0);
		prefix_text(&f->v[i], text);
		must(word_prefix(text, strlen(text), &p, NULL) == 0 && prefix_cmp(&p, &f->v[i]) == 0);
		must(prefix_covers(&p, &f->v[i]) && p.len > 0);
		must(i > 3 || listfile_line(f, &f->v[i]) > 0);
	}
}

static void check_word(const char *s, size_t len)
{
	__cleanup_free struct prefix *v = NULL;
	struct diag d = { 0 };
	struct prefix p;
	size_t n = 0;

	if (!len || len > 80 || memchr(s, 0, len))
		return;
	for (size_t i = 0; i < len; i++)
		if (strchr(" \t\r\n#;-<[{!\xef", s[i]))
			return;
	must((word_prefix(s, len, &p, NULL) == 0 && p.len > 0) == (listfile_parse("word", s, len, &v, &n, &d) == 0));
	must(!n || (n == 1 && prefix_cmp(&p, v) == 0));
	diag_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	struct listfile f = { .name = "list", .text = (char *)data, .len = len, .take = len % 3 };
	struct diag d = { 0 };
	int64_t seconds;
	int err = listfile_scan(&f, &d);

	must((err != 0) == (d.errors != 0) && d.errors <= 20);
	must(!err || (!f.v && !f.n));
	diag_free(&d);
	check_prefixes(&f);
	free(f.v);
	check_word((const char *)data, len);
	if (!word_duration((const char *)data, len, &seconds, NULL))
		must(seconds >= -1);
	return 0;
}
