// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include "rows.h"

#define SENTENCES \
	"default deny\n" \
	"list office 192.0.2.0/24 2001:db8:2::/48\n" \
	"list bad 198.51.100.99 192.0.2.77 192.0.2.200 2001:db8:99::/48 2001:db8:2::77 2001:db8:2::200\n" \
	"admin ssh from @office\n" \
	"exempt 192.0.2.200 2001:db8:2::200\n" \
	"allow smtp\n" \
	"deny smtp from 198.51.100.66 2001:db8:66::/48\n" \
	"allow submission from @office\n" \
	"allow 8000-8009\n" \
	"deny 8000-8009 from 198.51.0.0/16 2001:db8::/32\n" \
	"allow 8000-8009 from 198.51.100.7 2001:db8:7::7\n" \
	"block @bad\n"

const char rows_sentences[] = SENTENCES;
const char rows_sentences_observe[] = SENTENCES "observe\n";

const struct table *const rows_all[ROWS_TABLES] = { &rows_parse, &rows_fragments, &rows_neighbours, &rows_policy };

void rows_each(const struct table *t,
	       void (*fn)(const struct row *r, const struct crafted *f, unsigned int family, void *arg), void *arg)
{
	static struct crafted f;

	for (size_t i = 0; i < t->n; i++) {
		const struct row *r = &t->rows[i];

		for (unsigned int family = 4; family <= 6; family += 2) {
			if (r->family && r->family != family)
				continue;
			for (unsigned int tags = 0; tags < (r->as_is ? 1 : TAG_FORMS); tags++) {
				struct craft c = r->in;

				c.family = family;
				if (!r->as_is)
					c.tags = tags;
				craft(&c, &f);
				fn(r, &f, family, arg);
			}
		}
	}
}

void rows_expect(const struct row *r, const struct crafted *f, unsigned int family, void *arg)
{
	static const struct row *failed;
	struct rig *g = arg;
	char what[256];

	snprintf(what, sizeof(what), "%s (IPv%u, IP header at %zu%s)", r->shows, family, f->l3,
		 g->observe ? ", observing" : "");
	g->quiet = r == failed;
	if (!rig_expect(g, what, &(struct rig_run){ .frame = f->b, .len = f->len }, family, r->says))
		failed = r;
	g->quiet = false;
}

void rows_run(struct rig *g, const struct table *t)
{
	uint64_t before = g->sent;

	rig_policy(g, rows_sentences);
	rows_each(t, rows_expect, g);
	rig_policy(g, rows_sentences_observe);
	rows_each(t, rows_expect, g);
	printf("  %s: %zu rows, %llu packets\n", t->name, t->n, (unsigned long long)(g->sent - before));
}
