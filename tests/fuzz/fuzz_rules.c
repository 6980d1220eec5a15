// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any text through the parser and the editor. What is understood must be read back as the same from its print and from
 * its frozen form, and an edit of the file must do to the sentences what it says and nothing else.
 */
#include <stdlib.h>
#include <string.h>
#include "rules.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define must(x) do { if (!(x)) abort(); } while (0)

static void parse_again(struct rules *r, const char *text, size_t len)
{
	struct diag d = { 0 };

	must(rules_parse(r, "mxdp.conf", text, len, &d) == 0);
	must(d.errors == 0);
	diag_free(&d);
}

static void print_and_read(const struct stmt *s)
{
	__cleanup_free char *text = stmt_text(s), *again = NULL;
	__cleanup(rules_free) struct rules r = { 0 };

	/* what takes a whole line with short words may print longer than a line may be */
	if (strlen(text) > 65536)
		return;
	parse_again(&r, text, strlen(text));
	must(r.n == 1 && stmt_same(s, &r.v[0]));
	again = stmt_text(&r.v[0]);
	must(!strcmp(text, again));
}

static void freeze_and_thaw(const struct rules *r)
{
	__cleanup(rules_free) struct rules s = { 0 };
	struct diag d = { 0 };
	size_t na, nb;
	__cleanup_free void *a = rules_freeze(r, &na), *b = NULL;

	must(rules_thaw(&s, a, na, &d) == 0);
	b = rules_freeze(&s, &nb);
	must(na == nb && !memcmp(a, b, na));
	diag_free(&d);
}

static struct conffile file_of(const uint8_t *data, size_t len)
{
	struct conffile c = { .path = xstrdup("mxdp.conf"), .text = xmalloc(len + 1), .len = len, .lock_fd = -1 };

	memcpy(c.text, data, len);
	c.text[len] = '\0';
	return c;
}

/* r without sentence i is what the text says when its line is taken out; with `x` there, when it is replaced. */
static void edit(const struct rules *r, size_t i, const uint8_t *data, size_t len, const char *with)
{
	__cleanup(conffile_close) struct conffile c = file_of(data, len);
	__cleanup(rules_free) struct rules s = { 0 }, x = { 0 };
	struct diag d = { 0 };
	size_t k = 0;

	if (with)
		must(conffile_replace_line(&c, r->v[i].at.line, with, &d) == 0);
	else
		must(conffile_remove_line(&c, r->v[i].at.line, &d) == 0);
	parse_again(&s, c.text, c.len);
	must(s.n == r->n - !with);
	for (size_t j = 0; j < r->n; j++)
		if (j != i)
			must(stmt_same(&r->v[j], &s.v[k++]));
		else if (with)
			k++;
	if (with) {
		parse_again(&x, with, strlen(with));
		must(stmt_same(&x.v[0], &s.v[i]));
	}
	diag_free(&d);
}

static void append(const struct rules *r, const uint8_t *data, size_t len)
{
	__cleanup(conffile_close) struct conffile c = file_of(data, len);
	__cleanup(rules_free) struct rules s = { 0 };

	conffile_append(&c, "deny sieve from 192.0.2.1");
	must(c.len > len && !memcmp(c.text, data, len));
	parse_again(&s, c.text, c.len);
	must(s.n == r->n + 1 && s.v[r->n].kind == STMT_DENY && s.v[r->n].ports[0].lo == 4190);
}

static void judge(struct rules *r)
{
	struct prefix host = { .family = 4, .len = 32, .addr = { 192, 0, 2, 1 } };
	struct diag d = { 0 };

	/* no file is to be read here */
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].path)
			return;
	if (!rules_finish(r, &d)) {
		struct judge_answer a = rules_judge(r, &host, 25, true);

		must(!a.because || (a.because >= r->v && a.because < r->v + r->n));
		freeze_and_thaw(r);
	}
	diag_free(&d);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	__cleanup(rules_free) struct rules r = { 0 };
	struct diag d = { 0 };
	int err = rules_parse(&r, "mxdp.conf", (const char *)data, len, &d);

	must((err != 0) == (d.errors != 0) && d.errors <= 20);
	diag_free(&d);
	if (err) {
		must(r.n == 0);
		return 0;
	}
	for (size_t i = 0; i < r.n; i++)
		print_and_read(&r.v[i]);
	freeze_and_thaw(&r);
	append(&r, data, len);
	if (r.n) {
		size_t i = len % r.n;

		edit(&r, i, data, len, NULL);
		edit(&r, i, data, len, "block 203.0.113.0/24");
	}
	judge(&r);
	return 0;
}
