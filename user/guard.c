// SPDX-License-Identifier: GPL-2.0-only
/* What keeps the operator from locking himself out: would the rules refuse a new connection of the way he came by? */
#include "change.h"
#include "image.h"
#include "operator.h"

static bool says(const struct rules *r, enum stmt_kind kind)
{
	for (size_t i = 0; i < r->n; i++)
		if (r->v[i].kind == kind)
			return true;
	return false;
}

/* As the packet path judges a SYN: the tables themselves, for what counts is what is put into the kernel. */
static bool image_opens(const struct image *img, const struct prefix *from, uint16_t port)
{
	unsigned int class_ = image_class(img, from), entry = img->bank->port[port];
	unsigned int cell = img->bank->policy[class_][entry & MXDP_PORT_SERVICE] & MXDP_CELL_VERDICT;

	if (entry & MXDP_PORT_CLOSED)
		return false;
	if (img->bank->class_flags[class_] & MXDP_CLASS_BLOCKED && cell != MXDP_CELL_ADMIN)
		return false;
	return cell != MXDP_CELL_DENY;
}

static bool judge_opens(const struct rules *r, const struct prefix *from, uint16_t port)
{
	enum judge_says says = rules_judge(r, from, port, true).says;

	return says != JUDGE_DENY && says != JUDGE_CLOSED && says != JUDGE_BLOCKED;
}

/* img NULL: the sentences alone are asked. */
static bool refuses(const struct rules *r, const struct image *img, const struct way *w)
{
	return !judge_opens(r, &w->peer, w->port) || (img && !image_opens(img, &w->peer, w->port));
}

/* The first way that r refuses and `before` does not. */
static const struct way *cut_way(const struct operator *op, const struct rules *r, const struct rules *before)
{
	__cleanup(image_free) struct image img = { 0 };
	struct diag quiet = { 0 };
	bool compiled = !image_compile(&img, r, NULL, &quiet);

	diag_free(&quiet);
	for (size_t i = 0; i < op->n; i++)
		if (refuses(r, compiled ? &img : NULL, &op->v[i]) && !(before && refuses(before, NULL, &op->v[i])))
			return &op->v[i];
	return NULL;
}

/* Where nobody stands above this process, everybody who is logged in over SSH: over a port that is an admin's, or its own. */
static bool find_logins(struct operator *op, const struct rules *before)
{
	__cleanup_free uint8_t *port = xcalloc(65536, 1);

	if (!nobody_at_a_terminal())
		return false;
	port[22] = 1;
	for (size_t i = 0; before && i < before->n; i++)
		for (size_t k = 0; before->v[i].kind == STMT_ADMIN && k < before->v[i].nports; k++)
			for (unsigned int p = before->v[i].ports[k].lo; p <= before->v[i].ports[k].hi; p++)
				port[p] = 1;
	operator_logins(op, port);
	return op->n > 0;
}

bool find_operators(struct operator *op, const struct rules *before)
{
	operator_find(op);
	return !op->n && find_logins(op, before);
}

bool cuts_operator(const struct options *o, const struct rules *r, const struct rules *before, struct diag *d)
{
	struct operator op;
	const struct way *cut;
	bool logins;
	char buf[PREFIX_TEXT];

	if (o->force || says(r, STMT_OBSERVE))
		return false;
	logins = find_operators(&op, before);
	if (!op.n)
		return false;
	/* what only observes refuses nobody */
	if (before && says(before, STMT_OBSERVE))
		before = NULL;
	cut = cut_way(&op, r, before);
	if (cut) {
		prefix_text(&cut->peer, buf);
		diag_error(d, "this would refuse new SSH connections from %s to port %u, %s; say "
			      "`mxdp admin %u from %s` first, or --force", buf, cut->port,
			   logins ? "from where somebody is logged in" : "the way you came", cut->port, buf);
		return true;
	}
	if (says(r, STMT_ADMIN) || (before && !says(before, STMT_ADMIN)))
		return false;
	prefix_text(&op.v[0].peer, buf);
	diag_error(d, "this leaves no `admin` sentence, and %s logged in over SSH: the next mistake could lock you out; "
		      "say `mxdp admin %u from %s` first, or --force", logins ? "somebody is" : "you are", op.v[0].port, buf);
	return true;
}
