/* SPDX-License-Identifier: GPL-2.0-only */
/* The verbs: one function each, in a table in main.c. */
#ifndef MXDP_VERBS_H
#define MXDP_VERBS_H

#include <stdbool.h>
#include "diag.h"
#include "datapath.h"
#include "rules.h"

/* DESIGN: 0 done or already so, 1 a "no" answer, 2 usage or configuration, 3 kernel or not attached, 4 partly done, 5 rolled back */
enum exit_code { EXIT_DONE = 0, EXIT_NO = 1, EXIT_USAGE = 2, EXIT_KERNEL = 3, EXIT_PARTLY = 4, EXIT_ROLLED_BACK = 5 };

#define DEFAULT_CONFIG MXDP_SYSCONFDIR "/mxdp/mxdp.conf"
#define DEFAULT_STATE MXDP_LOCALSTATEDIR "/lib/mxdp"

/* What the options before or behind the verb said; main() takes them out of argv wherever they stand. */
struct options {
	const char *config;  /* --config PATH, MXDP_CONFIG, SYSCONFDIR/mxdp/mxdp.conf */
	const char *bpffs;   /* --bpffs PATH, MXDP_BPFFS, /sys/fs/bpf */
	bool json;           /* --json, -j */
	bool runtime;        /* --runtime: put in force, do not write */
	bool force;          /* --force */
	bool quiet;          /* --quiet, -q */
	bool numeric;        /* --numeric, -n */
	bool dry_run;        /* --dry-run */
	const char *output;  /* --output FILE, -o */
	const char *format;  /* --format prometheus|json, plain|crowdsec */
	const char *iface;   /* --interface NAME, -i */
	long top;            /* --top N; 0 not said */
	bool all;            /* --all */
	bool on_stop;        /* --on-stop */
	bool from_stdin;     /* --stdin */
	const char *prefix6; /* --prefix6 LENGTH */
	const char *file;    /* --file FILE, "-" for standard input */
	const char *state;   /* --state DIR, MXDP_STATE, LOCALSTATEDIR/lib/mxdp: policies, saved bans, and the last good copies of lists */
	const char *confirm; /* --confirm DURATION */
	bool no_confirm;     /* --no-confirm */
	bool wait;           /* --wait */
	bool boot;           /* --boot */
	bool keep_runtime;   /* --keep-runtime */
	bool in_force;       /* --in-force */
	const char *only;    /* --only NAME: the other interfaces are left as they are */
	const char *comment; /* --comment TEXT */
};

struct verb {
	const char *name;
	int (*run)(const struct options *o, int argc, char **argv); /* argv[0] is the verb; returns an exit code */
	const char *args;    /* "allow PORTS [from SOURCE]..." for help */
	const char *help;    /* one line */
};

#define VERB(f) int f(const struct options *o, int argc, char **argv)
/* change: verb_*.c of their names; `rule` serves allow deny block admin exempt default observe enforce */
VERB(verb_attach); VERB(verb_detach); VERB(verb_apply); VERB(verb_check); VERB(verb_diff); VERB(verb_reload); VERB(verb_import);
VERB(verb_rule); VERB(verb_list); VERB(verb_delete); VERB(verb_confirm); VERB(verb_rollback);
VERB(verb_ban); VERB(verb_unban); VERB(verb_flush); VERB(verb_save); VERB(verb_restore);
/* look */
VERB(verb_status); VERB(verb_show); VERB(verb_query); VERB(verb_explain); VERB(verb_doctor); VERB(verb_export);
VERB(verb_help); VERB(verb_version);

/* Negative errno of the layers below to an exit code: -EINVAL and its like to 2, everything else to 3. */
int exit_code_of(int err);

/* The rules in force, thawed. -ENOENT without a message: mxdp is not loaded here. */
int running_rules(const struct options *o, struct datapath *dp, struct rules *r, struct diag *d);

#endif
