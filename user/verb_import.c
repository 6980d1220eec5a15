// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "change.h"
#include "import.h"
#include "out.h"
#include "tell.h"

#define MAX_TEXT (64u << 20)

struct texts {
	struct import_source *v;
	size_t n;
};

static void texts_free(struct texts *t)
{
	for (size_t i = 0; i < t->n; i++)
		free((char *)t->v[i].text);
	free(t->v);
}

static int read_stdin(char **text, size_t *len, struct diag *d)
{
	FILE *f = open_memstream(text, len);
	char buf[65536];
	ssize_t n;

	if (!f)
		return -ENOMEM;
	while ((n = read(STDIN_FILENO, buf, sizeof(buf))) > 0 && (size_t)ftell(f) <= MAX_TEXT)
		fwrite(buf, 1, n, f);
	fclose(f);
	if (n >= 0 && *len <= MAX_TEXT)
		return 0;
	diag_error(d, n < 0 ? "standard input: %s" : "standard input is longer than a firewall's rules are",
		   strerror(errno));
	return n < 0 ? -errno : -EFBIG;
}

/* KIND [PATH...] KIND [PATH...] ... */
static int read_all(struct texts *t, int argc, char **argv, struct diag *d)
{
	const char *kind = NULL;
	bool stdin_read = false;

	t->v = xcalloc(argc, sizeof(*t->v));
	for (int i = 1; i < argc;) {
		struct import_source *s = &t->v[t->n];
		char *text = NULL;
		int err;

		if (import_dialect(argv[i]))
			kind = argv[i++];
		else if (!kind)
			return usage_error(
				d, "import",
				"\"%s\" is no firewall that can be imported; iptables, ip6tables, ufw, firewalld "
				"and nft are",
				argv[i]);
		*s = (struct import_source){ .dialect = kind, .path = "-" };
		if (i < argc && !import_dialect(argv[i]))
			s->path = argv[i++];
		if (!strcmp(s->path, "-") && stdin_read)
			return usage_error(d, "import", "standard input can be read once");
		stdin_read |= !strcmp(s->path, "-");
		err = strcmp(s->path, "-") ? file_read(s->path, MAX_TEXT, &text, &s->len, d)
					   : read_stdin(&text, &s->len, d);
		s->text = text;
		t->n++;
		if (err)
			return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static int import(const struct options *o, int argc, char **argv, struct diag *d)
{
	__cleanup(texts_free) struct texts t = { 0 };
	__cleanup(import_free) struct import im = { 0 };
	enum im_level worst;
	int err;

	if (argc < 2)
		return usage_error(d, "import", "which firewall? iptables, ip6tables, ufw, firewalld or nft");
	err = read_all(&t, argc, argv, d);
	if (err)
		return err;
	err = import_run(&im, t.v, t.n, o->iface, stdout, d);
	fflush(stdout);
	worst = import_tell(&im, stderr);
	if (err)
		return EXIT_USAGE;
	return out_done(worst == IM_NOTE ? EXIT_DONE : EXIT_PARTLY);
}

int verb_import(const struct options *o, int argc, char **argv)
{
	struct diag d = { 0 };

	return verb_end(o, &d, import(o, argc, argv, &d));
}
