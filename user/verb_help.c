// SPDX-License-Identifier: GPL-2.0-only
#include <string.h>
#include "out.h"
#include "tell.h"

static const char intro[] =
	"mxdp: filters TCP ports at the network driver.\n"
	"\n"
	"usage: mxdp [OPTION...] [VERB ...]\n"
	"\n";

static const char options_text[] =
	"\n"
	"Options stand anywhere; every verb takes:\n"
	"  --config FILE   the rules file (MXDP_CONFIG, " MXDP_SYSCONFDIR "/mxdp/mxdp.conf); conf.d/*.conf beside it are read too\n"
	"  --bpffs DIR     where the filter is pinned (MXDP_BPFFS, /sys/fs/bpf)\n"
	"  --state DIR     where policies and the last good copies of lists are kept (MXDP_STATE, " DEFAULT_STATE ")\n"
	"  -j, --json      answers, and errors, as JSON on standard output\n"
	"  -q, --quiet     only warnings and errors\n"
	"  --              what follows is no option\n"
	"\n"
	"Exit status: 0 done or already so, 1 the answer is no, 2 usage or rules, 3 kernel or not attached, 4 partly done,\n"
	"5 rolled back.\n";

static const struct {
	const char *first, *title;
} groups[] = {
	{ "status", "Look" }, { "allow", "Change the rules" }, { "ban", "Cut sources off for a time" },
	{ "check", "Files and interfaces" }, { "help", "Besides" },
};

static const char *title_of(const char *name)
{
	for (size_t i = 0; i < sizeof(groups) / sizeof(*groups); i++)
		if (!strcmp(groups[i].first, name))
			return groups[i].title;
	return NULL;
}

static const struct {
	char letter;
	const char *text;
} own_options[] = {
	{ 'r', "--runtime          put in force, leave the rules file alone" },
	{ 'f', "--force            also what looks like a mistake: locking yourself out, emptying a list" },
	{ 'd', "--dry-run          check all of it, change nothing, say what would be done" },
	{ 'n', "-n, --numeric      numbers instead of names" },
	{ 'i', "-i, --interface N  only this interface" },
	{ 't', "--top N            only the first N" },
	{ 'o', "-o, --output FILE  replace FILE in one step" },
	{ 'F', "--format F         as said above" },
	{ 's', "--stdin            lines from standard input" },
	{ '6', "--prefix6 N        a bare IPv6 address stands for its network of that length; 64 unless said" },
	{ 'a', "--all              all interfaces" },
	{ 'l', "--file FILE        prefixes from a file, one a line; - is standard input" },
	{ 'c', "--confirm TIME     on trial for that long, 3s to 1d" },
	{ 'c', "--no-confirm       for good at once, also over SSH" },
	{ 'c', "--wait             until the trial has ended; exit status 5 when it was not confirmed" },
	{ 'b', "--boot             as said above" },
	{ 'k', "--keep-runtime     keep the sentences that were said with --runtime" },
	{ 'k', "--in-force         not the files: what is in force, by this version of mxdp" },
	{ 'y', "--only NAME        attach to this interface, and leave the others as they are" },
	{ 'm', "--comment TEXT     kept with the policy, for `mxdp show history`" },
};

static void print_verb(const struct verb_text *t)
{
	bool first = true;

	printf("usage: mxdp %s\n\n%s\n", t->v.args, t->v.help);
	if (*t->more)
		printf("\n%s", t->more);
	for (size_t i = 0; i < sizeof(own_options) / sizeof(*own_options); i++) {
		if (!strchr(t->options, own_options[i].letter))
			continue;
		printf("%s  %s\n", first ? "\n" : "", own_options[i].text);
		first = false;
	}
	printf("\nexample:\n  %s\n", t->example);
}

static void print_table(void)
{
	fputs(intro, stdout);
	for (const struct verb_text *t = verbs; t->v.name; t++) {
		const char *title = title_of(t->v.name);

		if (title)
			printf("%s%s\n", t == verbs ? "" : "\n", title);
		printf("  %-9s %s\n", t->v.name, t->v.help);
	}
	fputs(options_text, stdout);
}

static void json_verb(json_object *item, const struct verb_text *t)
{
	json_str(item, "name", t->v.name);
	json_str(item, "args", t->v.args);
	json_str(item, "help", t->v.help);
	json_str(item, "more", t->more);
	json_str(item, "example", t->example);
}

static void print_json(const struct verb_text *one)
{
	__cleanup_json json_object *doc = json_document();
	json_object *list = json_list(doc, "verbs");

	for (const struct verb_text *t = verbs; t->v.name; t++)
		if (!one || one == t)
			json_verb(json_item(list), t);
	json_print(doc, stdout);
}

int verb_help(const struct options *o, int argc, char **argv)
{
	const struct verb_text *t = argc > 1 ? verb_by_name(argv[1]) : NULL;
	struct diag d = { 0 };

	if (argc > 1 && !t) {
		diag_error(&d, "there is no verb \"%s\"; `mxdp help` lists them", argv[1]);
		return verb_end(o, &d, EXIT_USAGE);
	}
	if (o->json)
		print_json(t);
	else if (t)
		print_verb(t);
	else
		print_table();
	return EXIT_DONE;
}

int verb_version(const struct options *o, int argc, char **argv)
{
	__cleanup_json json_object *doc = NULL;

	(void)argc;
	(void)argv;
	if (!o->json) {
		printf("mxdp %s (%s)\n", MXDP_VERSION, MXDP_REVISION);
		return EXIT_DONE;
	}
	doc = json_document();
	json_str(doc, "version", MXDP_VERSION);
	json_str(doc, "revision", MXDP_REVISION);
	json_num(doc, "abi", MXDP_ABI);
	json_print(doc, stdout);
	return EXIT_DONE;
}
