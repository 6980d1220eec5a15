/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Text that holds commands: a script, notes, a whole guide as Markdown or HTML. Finds the commands in it, expands
 * simple variables and `for` loops, and counts as prose what is none.
 */
#ifndef MXDP_IMPORT_TEXT_H
#define MXDP_IMPORT_TEXT_H

#include "import.h"

struct im_word {
	const char *s;
	bool op;     /* ; | && || & and redirections */
	bool quoted, single;
};

struct im_words {
	struct im_word *v;
	size_t n;
};

struct im_reader {
	struct import *im;
	const char *path;
	/* A line that is no shell command and yet is ours (a save file's): true when it was taken. */
	bool (*line)(struct im_reader *r, struct im_place at, const char *line);
	bool (*is_command)(const char *name);
	/* w[0] is the command's name without directory; the words behind it are expanded. */
	void (*command)(struct im_reader *r, struct im_place at, const char *text, char **w, size_t n);
	void *of_dialect;
	const struct im_word *rest; /* behind the command on its line: a pipe and where it goes */
	size_t nrest;

	/* its own */
	bool prompts, html, in_tag;
	struct im_var { const char *name, *value; } *var;
	size_t nvars;
	struct im_loop *loop;
	size_t prose_line;
};

void im_read(struct im_reader *r, const char *text);
/* Splits as the shell does; the words are im's. false: a quotation mark without its other half. */
bool im_split(struct import *im, const char *s, struct im_words *out);
/* Plain words without operators, for save files. */
size_t im_plain(struct import *im, const char *s, char ***out);
const char *im_trim(struct import *im, const char *s);

#endif
