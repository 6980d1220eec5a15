// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "change.h"
#include "lint.h"
#include "cookies.h"
#include "out.h"
#include "tell.h"

static void print_fine(const struct options *o, const char *path, const struct rules *r, const struct image *img,
		       const struct diag *d)
{
	__cleanup_json json_object *doc = json_document();
	size_t services = 0;
	json_object *list;
	char said[OUT_TEXT + 16], used[OUT_TEXT + 16], held[OUT_TEXT + 16];
	size_t dropins = r->n - in_file(r, path);
	__cleanup_free char *more = dropins ? xasprintf(" (%zu of them from conf.d beside it)", dropins) : xstrdup("");

	for (unsigned int i = 1; i < MXDP_SERVICES; i++)
		services += img->services[i].named;
	if (!o->json) {
		say(o, "%s: fine: %s%s, %s, %s", path,
		    text_plural(r->n, "sentence", "sentences", said, sizeof(said)), more,
		    text_plural(services, "service", "services", used, sizeof(used)),
		    text_plural(img->nprefixes, "prefix", "prefixes", held, sizeof(held)));
		return;
	}
	json_str(doc, "file", path);
	json_yes(doc, "ok", true);
	json_num(doc, "sentences", r->n);
	json_num(doc, "services", services);
	json_num(doc, "prefixes", img->nprefixes);
	list = json_list(doc, "warnings");
	for (size_t i = 0; i < d->n; i++)
		if (d->msg[i].level == DIAG_WARNING)
			json_str(json_item(list), "message", d->msg[i].text);
	json_print(doc, stdout);
}

static int check(const struct options *o, const char *path, struct diag *d)
{
	__cleanup_rules struct rules r = { 0 };
	__cleanup(image_free) struct image img = { 0 };

	if (rules_load(&r, path, d) || image_compile(&img, &r, NULL, d))
		return EXIT_USAGE;
	if (!interface_named(&r, NULL))
		diag_warn(d, "%s names no interface, so nothing would be filtered; `mxdp attach NAME` adds it", path);
	warn_if_shut(&r, d);
	rules_lint(&r, d);
	cookies_warn(cookies_wanted(img.bank), d);
	print_fine(o, path, &r, &img, d);
	return EXIT_DONE;
}

int verb_check(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };

	if (argc > 2)
		return verb_end(o, &d, usage_error(&d, "check", "too many words: \"%s\"", argv[2]));
	return verb_end(o, &d, check(o, argc > 1 ? argv[1] : o->config, &d));
}
