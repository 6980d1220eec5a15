// SPDX-License-Identifier: GPL-2.0-only
#include <stdlib.h>
#include "ask.h"
#include "lint.h"

static char *place_of(const struct stmt *s)
{
	return s->at.file ? xasprintf("%s:%u:%u: ", s->at.file, s->at.line, s->at.column) : xstrdup("");
}

static void warn_if_idle(const struct rules *r, const struct stmt *s, struct diag *d)
{
	__cleanup_free char *place = NULL, *text = NULL;

	if (s->kind != STMT_ALLOW && s->kind != STMT_DENY && s->kind != STMT_BLOCK && s->kind != STMT_ADMIN)
		return;
	if (ask_decides(r, s))
		return;
	place = place_of(s);
	text = stmt_text(s);
	diag_warn(d, "%s`%s` never decides: other sentences, for more specific sources or of the same, say the same or win; "
		     "`mxdp explain` names them; take it out, or correct it", place, text);
}

/* Where the password is sent before, or without, TLS. Submission and sieve refuse it until STARTTLS, as shipped. */
static const struct {
	uint16_t port;
	const char *instead;
} in_clear[] = {
	{ 143, "imaps (993)" }, { 110, "pop3s (995)" }, { 21, "a protocol with TLS" }, { 23, "ssh (22)" },
};

static void warn_if_clear(const struct rules *r, struct diag *d)
{
	for (size_t i = 0; i < sizeof(in_clear) / sizeof(*in_clear); i++) {
		for (int family = 4; family <= 6; family += 2) {
			__cleanup_free char *place = NULL;
			struct judge_answer a;
			struct prefix host;

			if (!ask_stranger(r, family, &host))
				continue;
			a = rules_judge(r, &host, in_clear[i].port, true);
			if (a.says != JUDGE_ALLOW)
				continue;
			place = a.because ? place_of(a.because) : xstrdup("");
			diag_warn(d, "%sport %u is open to everybody and begins in clear text; offer %s, and allow this one from your "
				     "own networks only", place, in_clear[i].port, in_clear[i].instead);
			break;
		}
	}
}

void rules_lint(const struct rules *r, struct diag *d)
{
	for (size_t i = 0; i < r->n; i++)
		warn_if_idle(r, &r->v[i], d);
	warn_if_clear(r, d);
}
