// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "change.h"
#include "out.h"
#include "tell.h"

/* ---- the verbs, in the order of the help ---- */

#define PORTS_HELP \
	"PORTS are names or numbers with commas between them: smtp, 587, 1000-2000. SOURCE is an address, a prefix, any,\n" \
	"or @NAME of a list. The most specific source wins; on a tie deny wins. The order of sentences does not matter.\n"
#define WRITTEN_HELP \
	"The sentence is written to the rules file and put in force in one go. --runtime leaves the file alone: the\n" \
	"sentence holds until the next `apply` or `reload`. --dry-run only says what would be done.\n"

#define TRIAL_HELP \
	"--confirm 60s puts it on trial, and that is so unasked when you are logged in over SSH: what was in force before comes\n" \
	"back by itself after that time, whoever died or lost his connection, unless `mxdp confirm` is said over a new\n" \
	"connection. --no-confirm puts it in force for good at once.\n"

const struct verb_text verbs[] = {
	{ { "status", verb_status, "[status]", "what is filtered, where, and whether the files say what is in force" }, "int",
	  "Reads the kernel, not a memory of what was done. Without any verb mxdp shows this. Exit status 0 all is well, 1\n"
	  "something is not as it should be, 3 nothing is filtered.\n",
	  "mxdp\n  mxdp status --json" },
	{ { "show", verb_show, "show rules|services|lists|bans|counters|drops|flows|limits|history", "what is in force, and what was counted" }, "int",
	  "rules      the sentences in force, with the numbers that `mxdp delete` takes\n"
	  "services   the ports that rules name, and their packets\n"
	  "lists      the lists and how many prefixes they hold; `show lists NAME` prints one\n"
	  "bans       who is banned, for how long yet and by whom; `show bans source TAG`, --top N by packets\n"
	  "counters   packets and bytes by interface, service and reason; `show counters 25` for one port\n"
	  "drops      which ports are being knocked on, and why packets were dropped; --top N\n"
	  "flows      open connections of the services that rules name\n"
	  "limits     limits in force, and the sources with the most connections under them\n"
	  "history    policies that were in force for good, with the numbers that `mxdp rollback` takes\n"
	  "-i NAME narrows to one interface, -n prints numbers instead of names.\n",
	  "mxdp show rules\n  mxdp show drops --top 20\n  mxdp show counters smtp" },
	{ { "query", verb_query, "query allow|deny|admin|block ... | query ban ADDRESS", "is it so? exit status 0 yes, 1 no" }, "n",
	  "Asks the rules in force, or the bans.\n", "mxdp query allow smtp from 192.0.2.9 && echo open" },
	{ { "explain", verb_explain, "explain [tcp] ADDRESS PORT [syn|ack|synack|fin|rst] [sport PORT] [to ADDRESS] [on IFACE]",
	    "what would the filter do with this packet, and which sentence decides?" }, "in",
	  "Runs a packet through the loaded program itself. Nothing is sent and nothing is counted.\n",
	  "mxdp explain tcp 192.0.2.9 25\n  mxdp explain 2001:db8::9 imaps ack on eth0" },
	{ { "doctor", verb_doctor, "doctor", "what may keep the filter from doing what you think it does" }, "",
	  "Looks at the kernel, the interfaces, who listens and who may come in, the firewalls behind mxdp and whether they refuse\n"
	  "what it lets in, what arrives at the mail ports, and the rules against the files. Each finding says what to do. Changes\n"
	  "nothing. Exit status 0 nothing to do, 1 something should be done, 3 nothing is filtered.\n",
	  "mxdp doctor" },
	{ { "export", verb_export, "export [--format prometheus|json] [--output FILE]", "the counters, for monitoring" }, "oFi",
	  "Prints every counter as it is at this moment. --output replaces FILE in one step, for the textfile collector of\n"
	  "node_exporter.\n",
	  "mxdp export --output /var/lib/prometheus/node-exporter/mxdp.prom" },

	{ { "allow", verb_rule, "allow PORTS [from SOURCE, ...]", "let a source, or the world, open these ports" }, "rfdn",
	  PORTS_HELP WRITTEN_HELP, "mxdp allow smtp\n  mxdp allow submission, submissions from 203.0.113.0/24 @office" },
	{ { "deny", verb_rule, "deny PORTS [from SOURCE, ...]", "refuse new connections; open ones stay" }, "rfdn",
	  PORTS_HELP WRITTEN_HELP, "mxdp deny imaps from 198.51.100.0/24" },
	{ { "block", verb_rule, "block SOURCE, ...", "drop everything from a source, open connections included" }, "rfdn",
	  WRITTEN_HELP, "mxdp block 198.51.100.7\n  mxdp block @drop" },
	{ { "admin", verb_rule, "admin PORTS from SOURCE, ...", "a way in that no other sentence can close" }, "rfdn",
	  PORTS_HELP WRITTEN_HELP, "mxdp admin ssh from 203.0.113.0/24" },
	{ { "exempt", verb_rule, "exempt SOURCE, ...", "no block and no list applies to this source" }, "rfdn",
	  "Sentences that allow or deny ports to written addresses still judge it.\n" WRITTEN_HELP, "mxdp exempt 192.0.2.10" },
	{ { "default", verb_rule, "default deny|allow", "what happens to ports that no sentence names" }, "rfdn",
	  "Deny unless said otherwise. `default allow` governs only the ports that sentences name. The sentence takes the place\n"
	  "of the one that stands.\n" WRITTEN_HELP, "mxdp default deny" },
	{ { "observe", verb_rule, "observe", "count what would be dropped, drop nothing" }, "rfdn", WRITTEN_HELP, "mxdp observe" },
	{ { "enforce", verb_rule, "enforce", "drop again: takes `observe` back" }, "rfdn",
	  "Takes the sentence `observe` out of the rules file and out of force.\n", "mxdp enforce" },
	{ { "track", verb_rule, "track socket [leases N]", "who knows the open connections, and for how many at once" }, "rfdn",
	  "`leases` says how many connections the table of leases serves well: 1k to 1M, 64k unless said. More connections than\n"
	  "that still work, and cost a look into the kernel's own tables more often.\n" WRITTEN_HELP,
	  "mxdp track socket leases 256k" },
	{ { "on-stop", verb_rule, "on-stop detach|keep", "what stopping the systemd unit does" }, "rfdn",
	  "Takes the filter off unless said otherwise; `keep` leaves it on. The sentence takes the place of the one that stands.\n"
	  WRITTEN_HELP, "mxdp on-stop keep" },
	{ { "list", verb_list, "list add|del|replace|show NAME [PREFIX... | --file FILE]", "what a named list of prefixes holds" },
	  "rfdl",
	  "add, del, replace   change what the list holds. The rules file is rewritten when the prefixes stand there, and the\n"
	  "                    list's own file, comments kept, when it has one. --file - reads standard input.\n"
	  "show                prints what is in force, one prefix a line\n"
	  "Any other word is the name of a list to declare: `list NAME PREFIX...` or `list NAME file PATH [min N] [max N]\n"
	  "[GUARD...]`; guards, and the kinds of files that are read, are in mxdp.conf(5).\n"
	  WRITTEN_HELP,
	  "mxdp list office 203.0.113.0/24\n  mxdp list add office 2001:db8:40::/48\n  mxdp list replace drop --file drop.txt" },
	{ { "delete", verb_delete, "delete SENTENCE|NUMBER|list NAME", "take a sentence back" }, "rfd",
	  "NUMBER is the one that `mxdp show rules` prints. A sentence that stands in a file of conf.d is not taken out of it: the\n"
	  "message says where it stands. --runtime takes it back until the next `apply`.\n",
	  "mxdp delete allow smtp\n  mxdp delete 3" },

	{ { "ban", verb_ban, "ban ADDR[/LEN]... [for D] [port P] [source TAG] [reason TEXT] | ban --stdin",
	    "cut a source off for a time, open connections included" }, "fs6F",
	  "For 10 minutes unless said: 90, 10m, 1d12h, forever. `port smtp,465` cuts TCP to these ports; without it, or with\n"
	  "`port any`, everything. TAG (\"hand\" unless said) is whose ban it is: one owner's `unban` lifts no other's. The same\n"
	  "ban again lasts until the new end. A bare IPv6 address stands for its /64; --prefix6 N for another length. TEXT comes\n"
	  "last. Sources that `exempt` or `admin` name cannot be banned. --force for less than /16 or /32, and for the address you\n"
	  "came from.\n"
	  "--stdin takes lines `ADDR [for D] [port P] [source T] [reason R]` and `unban ADDR`, or CrowdSec's, as they come.\n"
	  "A line that cannot be is named, the others are done: exit status 4. --format plain or crowdsec; the first line says,\n"
	  "unless said.\n",
	  "mxdp ban 192.0.2.7 for 1h port smtp,submission source f2b-postfix\n  mxdp ban 2001:db8::7 reason \"dictionary attack\"\n"
	  "  mxdp ban --stdin < addresses" },
	{ { "unban", verb_unban, "unban ADDR[/LEN]... [source TAG]", "lift the bans of a source" }, "6",
	  "Of one owner, or of all. Not banned is no failure. Says when another ban or a block still covers the address.\n",
	  "mxdp unban 192.0.2.7 source f2b-postfix" },
	{ { "flush", verb_flush, "flush bans [source TAG]", "lift all bans, or all of one owner" }, "", "",
	  "mxdp flush bans source f2b-postfix" },
	{ { "save", verb_save, "save [FILE]", "write the bans to a file, to be restored after a reboot" }, "",
	  "FILE is `bans` in the state directory (--state) unless said. It is replaced in one step. Only a reboot,\n"
	  "and taking the filter off the last interface, loses bans.\n",
	  "mxdp save" },
	{ { "restore", verb_restore, "restore [FILE]", "ban again what `save` wrote, each until its own end" }, "",
	  "What has ended meanwhile stays out. A ban that is there already gets the end of the file.\n", "mxdp restore" },

	{ { "check", verb_check, "check [FILE]", "read the rules files, say what is wrong, change nothing" }, "",
	  "Exit status 0 when they are fine, 2 when not.\n", "mxdp check" },
	{ { "diff", verb_diff, "diff [FILE]", "what the files say other than what is in force" }, "",
	  "+ a sentence of the files that is not in force, - one in force that no file says, ~ a list that holds something\n"
	  "else. Exit status 0 when equal, 1 when not.\n", "mxdp diff" },
	{ { "apply", verb_apply, "apply [FILE]", "put the rules files in force and attach to the interfaces they name" }, "fdcbymk",
	  "All or nothing: when a file has an error or an interface cannot be filtered, everything stays as it was. Interfaces\n"
	  "that the files name no more are detached. Open connections go on. --dry-run says what would change. Refused without\n"
	  "--force: what would cut your own SSH connection off, and what would let nobody in any more. A list whose file is\n"
	  "refused stays as it is in force; the rest is done, and the exit status is 4.\n"
	  TRIAL_HELP
	  "--boot is for the boot: begins with what was in force before, when the files say what nobody has confirmed, or have\n"
	  "an error.\n",
	  "mxdp apply --dry-run\n  mxdp apply --confirm 2m" },
	{ { "confirm", verb_confirm, "confirm", "make the policy on trial lasting" }, "f",
	  "To be said over a new connection: the one over which the trial was begun is open and would stay so, whatever the policy\n"
	  "says, and proves nothing. Exit status 5 when it is too late, and what was before is in force again.\n",
	  "mxdp confirm" },
	{ { "rollback", verb_rollback, "rollback [N]", "go back to the last confirmed policy, or to that of a number" }, "fm",
	  "Ends a trial. Without one: what was in force for good before this, or the policy N of `mxdp show history`; the last\n"
	  "ten are kept. The rules files are left as they are, and a boot begins with the policy gone back to until an `apply` is\n"
	  "confirmed.\n", "mxdp rollback\n  mxdp rollback 7" },
	{ { "reload", verb_reload, "reload [FILE]", "the same, on a filter that is attached already" }, "fdcmk",
	  "Exit status 3 when nothing is attached. --keep-runtime keeps the sentences that were said with --runtime. --in-force\n"
	  "reads no file: another version of mxdp takes over what is in force.\n" TRIAL_HELP, "mxdp reload" },
	{ { "attach", verb_attach, "attach IFACE [mode native|generic|auto]", "filter on an interface" }, "rfdcm",
	  "The sentence `interface IFACE`. The first attach puts all of the rules file in force; without a file one is begun. Native\n"
	  "mode judges packets in the driver; generic mode works with every driver, later and slower; auto tries both. An\n"
	  "interface that was renamed goes on under its new name.\n" WRITTEN_HELP TRIAL_HELP,
	  "mxdp attach eth0" },
	{ { "detach", verb_detach, "detach [IFACE | --all]", "stop filtering" }, "rdaZ",
	  "With a name: takes the filter off that interface and its sentence out of the rules file (--runtime: leaves the file\n"
	  "alone). Without: takes the filter off everywhere, reads no file and writes none, so that `mxdp apply` brings it back.\n"
	  "--on-stop is for the systemd unit: does nothing where the rules in force say `on-stop keep`, or the interface has got\n"
	  "another name.\n",
	  "mxdp detach eth0\n  mxdp detach" },

	{ { "import", verb_import, "import FIREWALL [PATH|-]...", "an old firewall's rules, said as sentences of mxdp" }, "i",
	  "FIREWALL is iptables, ip6tables, ufw, firewalld or nft. PATH holds what iptables-save, `nft list ruleset` or `ufw status`\n"
	  "prints, a file of the old firewall, or a script, notes or a guide with its commands in them. The rules are evaluated, not\n"
	  "translated, and printed; nothing is applied. What is not carried is said on standard error, one line each:\n"
	  "PATH:LINE: note|loss|danger. -i NAME: for packets of this interface. Exit status 0 all is carried but notes, 4 not all.\n",
	  "mxdp import iptables /etc/iptables/rules.v4 ip6tables /etc/iptables/rules.v6\n  nft list ruleset | mxdp import nft" },

	{ { "help", verb_help, "help [VERB]", "this, or all about one verb" }, "", "", "mxdp help allow" },
	{ { "version", verb_version, "version", "which mxdp this is" }, "", "", "mxdp version" },
	{ { NULL } },
};

/* What people type who come from other filters. */
static const struct {
	const char *word, *verb;
} synonyms[] = {
	{ "accept", "allow" }, { "permit", "allow" }, { "open", "allow" }, { "drop", "block" }, { "reject", "deny" },
	{ "close", "delete" }, { "remove", "delete" }, { "del", "delete" }, { "start", "apply" }, { "enable", "attach" },
	{ "load", "apply" }, { "stop", "detach" }, { "disable", "detach" }, { "off", "detach" }, { "restart", "reload" },
	{ "policy", "default" }, { "lists", "show lists" }, { "rules", "show rules" }, { "counters", "show counters" },
	{ "drops", "show drops" }, { "flows", "show flows" }, { "services", "show services" }, { "stats", "show counters" },
	{ "test", "check" }, { "revert", "rollback" }, { "undo", "rollback" }, { "commit", "confirm" },
	{ "history", "show history" }, { "interface", "attach" }, { "metrics", "export" },
};

const struct verb_text *verb_by_name(const char *name)
{
	for (const struct verb_text *t = verbs; t->v.name; t++)
		if (!strcmp(t->v.name, name))
			return t;
	return NULL;
}

static int unknown_verb(const char *word, struct diag *d)
{
	const char *names[sizeof(verbs) / sizeof(*verbs)], *meant = NULL;
	size_t n = 0;

	for (size_t i = 0; i < sizeof(synonyms) / sizeof(*synonyms); i++)
		if (!strcmp(word, synonyms[i].word))
			meant = synonyms[i].verb;
	while (verbs[n].v.name) {
		names[n] = verbs[n].v.name;
		n++;
	}
	if (!meant)
		meant = nearest(word, names, n);
	if (meant)
		diag_error(d, "there is no verb \"%s\"; did you mean \"%s\"?", word, meant);
	else
		diag_error(d, "there is no verb \"%s\"; `mxdp help` lists them", word);
	return EXIT_USAGE;
}

/* ---- options, wherever they stand ---- */

static const struct option_text {
	const char *name;
	char letter;  /* what a verb's `options` lists; 0: every verb takes it */
	char brief;   /* -j; 0: none */
	bool value;
	size_t field; /* in struct options */
} option_texts[] = {
#define FIELD(f) offsetof(struct options, f)
	{ "config", 0, 0, true, FIELD(config) },
	{ "bpffs", 0, 0, true, FIELD(bpffs) },
	{ "state", 0, 0, true, FIELD(state) },
	{ "json", 0, 'j', false, FIELD(json) },
	{ "quiet", 0, 'q', false, FIELD(quiet) },
	{ "runtime", 'r', 0, false, FIELD(runtime) },
	{ "force", 'f', 0, false, FIELD(force) },
	{ "numeric", 'n', 'n', false, FIELD(numeric) },
	{ "dry-run", 'd', 0, false, FIELD(dry_run) },
	{ "output", 'o', 'o', true, FIELD(output) },
	{ "format", 'F', 0, true, FIELD(format) },
	{ "interface", 'i', 'i', true, FIELD(iface) },
	{ "top", 't', 0, true, FIELD(top) },
	{ "all", 'a', 0, false, FIELD(all) },
	{ "on-stop", 'Z', 0, false, FIELD(on_stop) },
	{ "file", 'l', 0, true, FIELD(file) },
	{ "confirm", 'c', 0, true, FIELD(confirm) },
	{ "no-confirm", 'c', 0, false, FIELD(no_confirm) },
	{ "wait", 'c', 0, false, FIELD(wait) },
	{ "boot", 'b', 0, false, FIELD(boot) },
	{ "keep-runtime", 'k', 0, false, FIELD(keep_runtime) },
	{ "in-force", 'k', 0, false, FIELD(in_force) },
	{ "only", 'y', 0, true, FIELD(only) },
	{ "comment", 'm', 0, true, FIELD(comment) },
	{ "stdin", 's', 0, false, FIELD(from_stdin) },
	{ "prefix6", '6', 0, true, FIELD(prefix6) },
#undef FIELD
};
#define NOPTIONS (sizeof(option_texts) / sizeof(*option_texts))

struct command_line {
	struct options o;
	struct diag d;
	char **word;       /* what is left: the verb and its words */
	char **split;      /* the same, made from one word */
	int nwords;
	bool given[NOPTIONS];
	bool help, version;
};

static int set_option(struct command_line *c, size_t i, const char *value)
{
	const struct option_text *t = &option_texts[i];
	char *at = (char *)&c->o + t->field, *end;

	c->given[i] = true;
	if (!t->value) {
		*(bool *)at = true;
		return EXIT_DONE;
	}
	if (!value || !*value) {
		diag_error(&c->d, "--%s wants a word behind it", t->name);
		return EXIT_USAGE;
	}
	if (t->letter != 't') {
		*(const char **)at = value;
		return EXIT_DONE;
	}
	errno = 0;
	c->o.top = strtol(value, &end, 10);
	if (!errno && !*end && c->o.top > 0)
		return EXIT_DONE;
	diag_error(&c->d, "--top wants a number from 1 on, not \"%s\"", value);
	return EXIT_USAGE;
}

static int unknown_option(struct command_line *c, const char *word)
{
	const char *names[NOPTIONS + 2] = { [NOPTIONS] = "help", [NOPTIONS + 1] = "version" }, *meant;
	__cleanup_free char *name = xstrdup(word);

	for (size_t i = 0; i < NOPTIONS; i++)
		names[i] = option_texts[i].name;
	name[strcspn(name, "=")] = '\0';
	meant = name[0] == '-' && name[1] == '-' ? nearest(name + 2, names, NOPTIONS + 2) : NULL;
	if (meant)
		diag_error(&c->d, "there is no option %s; did you mean --%s?", name, meant);
	else
		diag_error(&c->d, "there is no option %s; `mxdp help` lists them", name);
	return EXIT_USAGE;
}

static int long_option(struct command_line *c, int argc, char **argv, int *at)
{
	const char *word = argv[*at], *name = word + 2, *equals = strchr(name, '=');
	size_t len = equals ? (size_t)(equals - name) : strlen(name);

	c->help |= !strcmp(name, "help");
	c->version |= !strcmp(name, "version");
	if (!strcmp(name, "help") || !strcmp(name, "version"))
		return EXIT_DONE;
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option_text *t = &option_texts[i];

		if (strlen(t->name) != len || memcmp(t->name, name, len))
			continue;
		if (equals && !t->value) {
			diag_error(&c->d, "--%s takes no value", t->name);
			return EXIT_USAGE;
		}
		if (t->value && !equals)
			return set_option(c, i, *at + 1 < argc ? argv[++*at] : NULL);
		return set_option(c, i, equals ? equals + 1 : NULL);
	}
	return unknown_option(c, word);
}

/* -jq, -i eth0, -ieth0 */
static int short_options(struct command_line *c, int argc, char **argv, int *at)
{
	for (const char *s = argv[*at] + 1; *s; s++) {
		size_t i = 0;
		int code;

		if (*s == 'h' || *s == 'V') {
			c->help |= *s == 'h';
			c->version |= *s == 'V';
			continue;
		}
		while (i < NOPTIONS && option_texts[i].brief != *s)
			i++;
		if (i == NOPTIONS)
			return unknown_option(c, argv[*at]);
		if (option_texts[i].value)
			return set_option(c, i, s[1] ? s + 1 : *at + 1 < argc ? argv[++*at] : NULL);
		code = set_option(c, i, NULL);
		if (code)
			return code;
	}
	return EXIT_DONE;
}

/* "-" is standard input, and "-1" a duration: words both. */
static bool is_option(const char *s)
{
	return s[0] == '-' && s[1] && !(s[1] >= '0' && s[1] <= '9');
}

static int parse(struct command_line *c, int argc, char **argv)
{
	bool options = true;
	int code = EXIT_DONE;

	c->word = xcalloc(argc + 1, sizeof(*c->word));
	for (int i = 1; i < argc && !code; i++) {
		if (options && !strcmp(argv[i], "--"))
			options = false;
		else if (options && !strncmp(argv[i], "--", 2))
			code = long_option(c, argc, argv, &i);
		else if (options && is_option(argv[i]))
			code = short_options(c, argc, argv, &i);
		else
			c->word[c->nwords++] = argv[i];
	}
	return code;
}

static int check_options(struct command_line *c, const struct verb_text *t)
{
	for (size_t i = 0; i < NOPTIONS; i++) {
		const struct option_text *x = &option_texts[i];

		if (!c->given[i] || !x->letter || strchr(t->options, x->letter))
			continue;
		diag_error(&c->d, "`mxdp %s` does not take --%s; see `mxdp help %s`", t->v.name, x->name, t->v.name);
		return EXIT_USAGE;
	}
	return EXIT_DONE;
}

static const char *from_environment(const char *name, const char *otherwise)
{
	const char *s = getenv(name);

	return s && *s ? s : otherwise;
}

/* Under a closed descriptor 0, 1 or 2 a rules file or a map could be opened, and messages be written into it. */
static void fill_standard_fds(void)
{
	int fd;

	do
		fd = open("/dev/null", O_RDWR);
	while (fd >= 0 && fd <= 2);
	if (fd > 2)
		close(fd);
}

/* `mxdp "allow smtp"`: a sentence in the shell's quotes is that sentence. Blanks inside its own quotes part no words. */
static void unquote(struct command_line *c)
{
	char *s = c->word[0], *to;

	c->split = xcalloc(strlen(s) / 2 + 2, sizeof(*c->split));
	c->word = c->split;
	c->nwords = 0;
	for (;;) {
		bool quoted = false;

		s += strspn(s, " \t");
		if (!*s)
			break;
		c->word[c->nwords++] = to = s;
		for (; *s && (quoted || !strchr(" \t", *s)); s++) {
			if (*s == '"') {
				quoted = !quoted;
				continue;
			}
			s += quoted && *s == '\\' && s[1];
			*to++ = *s;
		}
		s += *s != '\0';
		*to = '\0';
	}
	if (!c->nwords)
		c->word[c->nwords++] = s;
}

static int run(struct command_line *c)
{
	static char *status[] = { (char *)"status", NULL };
	static char *version[] = { (char *)"version", NULL };
	char *help[] = { (char *)"help", c->nwords ? c->word[0] : NULL, NULL };
	const struct verb_text *t;

	if (c->help)
		return verb_help(&c->o, c->nwords ? 2 : 1, help);
	if (c->version)
		return verb_version(&c->o, 1, version);
	if (!c->nwords) {
		c->word = status;
		c->nwords = 1;
	}
	if (c->nwords == 1 && strpbrk(c->word[0], " \t"))
		unquote(c);
	t = verb_by_name(c->word[0]);
	if (!t)
		return verb_end(&c->o, &c->d, unknown_verb(c->word[0], &c->d));
	if (check_options(c, t))
		return verb_end(&c->o, &c->d, EXIT_USAGE);
	return t->v.run(&c->o, c->nwords, c->word);
}

int main(int argc, char **argv)
{
	struct command_line c = {
		.o.config = from_environment("MXDP_CONFIG", DEFAULT_CONFIG),
		.o.bpffs = from_environment("MXDP_BPFFS", "/sys/fs/bpf"),
		.o.state = from_environment("MXDP_STATE", DEFAULT_STATE),
	};
	__cleanup_free char *config = NULL, **words = NULL, **split = NULL;
	int code;

	fill_standard_fds();
	code = parse(&c, argc, argv);
	words = c.word;
	/* where a sentence stands is remembered, and must be found from any directory */
	config = path_absolute(c.o.config);
	c.o.config = config;
	code = code ? verb_end(&c.o, &c.d, code) : run(&c);
	split = c.split;
	if ((fflush(stdout) || ferror(stdout)) && code == EXIT_DONE)
		code = out_done(EXIT_KERNEL);
	return code;
}
