// SPDX-License-Identifier: GPL-2.0-only
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include "import_text.h"
#include "token.h"

#define MAX_RUNS 20000 /* commands that loops make of one text */
#define MAX_NEST 4

/* ---- lines ---- */

static bool blank(char c)
{
	return c == ' ' || c == '\t';
}

const char *im_trim(struct import *im, const char *s)
{
	size_t n;

	while (blank(*s))
		s++;
	n = strlen(s);
	while (n && blank(s[n - 1]))
		n--;
	return s[n] ? im_copy(im, s, n) : s;
}

/* The entities that guides have in commands. Tags are taken out when the text is HTML. */
static char *plain_line(struct im_reader *r, const char *s, size_t n)
{
	static const struct {
		const char *name;
		char c;
	} entity[] = { { "&lt;", '<' },	  { "&gt;", '>' },   { "&amp;", '&' },
		       { "&quot;", '"' }, { "&#39;", '\'' }, { "&nbsp;", ' ' } };
	char *out = im_alloc(r->im, n + 1), *p = out;

	for (size_t i = 0; i < n; i++) {
		size_t k;

		if (r->in_tag) {
			r->in_tag = s[i] != '>';
			continue;
		}
		if (r->html && s[i] == '<' && i + 1 < n &&
		    (isalpha((unsigned char)s[i + 1]) || strchr("/!", s[i + 1]))) {
			r->in_tag = true;
			continue;
		}
		for (k = 0; k < sizeof(entity) / sizeof(*entity); k++)
			if (s[i] == '&' && n - i >= strlen(entity[k].name) &&
			    !strncmp(s + i, entity[k].name, strlen(entity[k].name)))
				break;
		if (k < sizeof(entity) / sizeof(*entity)) {
			*p++ = entity[k].c;
			i += strlen(entity[k].name) - 1;
		} else if ((unsigned char)s[i] == 0xc2 && i + 1 < n && (unsigned char)s[i + 1] == 0xa0) {
			*p++ = ' '; /* a space that does not break, as copied from a web page */
			i++;
		} else {
			*p++ = s[i] ? s[i] : ' ';
		}
	}
	while (p > out && (p[-1] == '\r' || blank(p[-1])))
		p--;
	*p = '\0';
	return out;
}

/* ---- words ---- */

static size_t operator_length(const char *s)
{
	static const char *const ops[] = { "&&", "||", ">>", "2>&1", "2>", "&>", ";", "|", "&", ">", "<" };

	for (size_t i = 0; i < sizeof(ops) / sizeof(*ops); i++)
		if (!strncmp(s, ops[i], strlen(ops[i])))
			return strlen(ops[i]);
	return 0;
}

bool im_split(struct import *im, const char *s, struct im_words *out)
{
	char *buf = im_alloc(im, 2 * strlen(s) + 2);
	bool whole = true;

	*out = (struct im_words){ 0 };
	while (*s) {
		struct im_word w = { .s = buf };
		size_t n;

		if (blank(*s)) {
			s++;
			continue;
		}
		if (*s == '#')
			break;
		n = operator_length(s);
		if (n && !(*s == '2' && s[1] != '>')) {
			w.op = true;
			memcpy(buf, s, n);
			buf += n;
			s += n;
		} else {
			while (*s && !blank(*s) && (!strchr(";|&<>", *s))) {
				if (*s == '\'' || *s == '"') {
					char q = *s++;

					w.quoted = true;
					w.single |= q == '\'';
					while (*s && *s != q) {
						if (q == '"' && *s == '\\' && s[1])
							s++;
						*buf++ = *s++;
					}
					whole &= *s == q;
					if (*s)
						s++;
				} else if (*s == '\\' && s[1]) {
					w.quoted = true;
					*buf++ = s[1];
					s += 2;
				} else {
					*buf++ = *s++;
				}
			}
		}
		*buf++ = '\0';
		*im_push(im, out->v, out->n) = w;
	}
	return whole;
}

size_t im_plain(struct import *im, const char *s, char ***out)
{
	struct im_words w;

	im_split(im, s, &w);
	*out = im_alloc(im, (w.n + 1) * sizeof(**out));
	for (size_t i = 0; i < w.n; i++)
		(*out)[i] = (char *)w.v[i].s;
	return w.n;
}

/* ---- variables and loops ---- */

static const char *value_of(const struct im_reader *r, const char *name, size_t n)
{
	for (size_t i = r->nvars; i-- > 0;)
		if (strlen(r->var[i].name) == n && !memcmp(r->var[i].name, name, n))
			return r->var[i].value;
	return NULL;
}

static void set_var(struct im_reader *r, const char *name, const char *value)
{
	for (size_t i = 0; i < r->nvars; i++)
		if (!strcmp(r->var[i].name, name)) {
			r->var[i].value = value;
			return;
		}
	*im_push(r->im, r->var, r->nvars) = (struct im_var){ name, value };
}

static size_t name_length(const char *s)
{
	size_t n = 0;

	while (isalnum((unsigned char)s[n]) || s[n] == '_')
		n++;
	return n && !isdigit((unsigned char)s[0]) ? n : 0;
}

/* What is not known stays as it is, with its '$'. */
static const char *expand(struct im_reader *r, const struct im_word *w)
{
	const char *s = w->s;
	char *out = "";

	if (w->single || !strchr(s, '$'))
		return s;
	while (*s) {
		const char *dollar = strchr(s, '$'), *name, *value;
		bool brace;
		size_t n;

		if (!dollar)
			return im_text(r->im, "%s%s", out, s);
		brace = dollar[1] == '{';
		name = dollar + 1 + brace;
		n = name_length(name);
		value = n && (!brace || name[n] == '}') ? value_of(r, name, n) : NULL;
		if (!value || strlen(out) > 65536)
			return im_text(r->im, "%s%s", out, s);
		out = im_text(r->im, "%s%.*s%s", out, (int)(dollar - s), s, value);
		s = name + n + brace;
	}
	return out;
}

struct im_loop {
	struct im_loop *outer;
	const char *var;
	char **value;
	size_t nvalues;
	struct im_line {
		struct im_place at;
		const char *text;
		struct im_words w;
	} *body;
	size_t n;
};

/* --add-service={smtp,imaps} is two words to the shell. */
static bool expand_braces(struct im_reader *r, const char *s, char ***v, size_t *k)
{
	const char *open = strchr(s, '{'), *close = open ? strchr(open, '}') : NULL;

	if (strncmp(s, "--", 2) || !close || !memchr(open, ',', close - open))
		return false;
	for (const char *p = open + 1; p <= close; p += strcspn(p, ",}") + 1)
		*im_push(r->im, *v, *k) =
			im_text(r->im, "%.*s%.*s%s", (int)(open - s), s, (int)strcspn(p, ",}"), p, close + 1);
	return true;
}

static void expand_all(struct im_reader *r, const struct im_word *w, size_t n, char ***out, size_t *nout)
{
	char **v = NULL;
	size_t k = 0;

	for (size_t i = 0; i < n; i++) {
		const char *s = expand(r, &w[i]);

		if (!w[i].quoted && expand_braces(r, s, &v, &k))
			continue;
		/* `$PORTS` outside of quotes is as many words as it holds */
		if (!w[i].quoted && strchr(w[i].s, '$') && strpbrk(s, " \t")) {
			const char *p = s;

			while (*p) {
				size_t len = strcspn(p, " \t");

				if (len)
					*im_push(r->im, v, k) = im_copy(r->im, p, len);
				p += len + strspn(p + len, " \t");
			}
		} else {
			*im_push(r->im, v, k) = (char *)s;
		}
	}
	*im_push(r->im, v, k) = NULL;
	*out = v;
	*nout = k - 1;
}

static const char *base_name(const char *s)
{
	const char *slash = strrchr(s, '/');

	return slash ? slash + 1 : s;
}

/* Words that may stand before a command and change nothing about what it does. */
static size_t skip_prefix(char **v, size_t n)
{
	size_t i = 0;

	while (i < n) {
		const char *s = base_name(v[i]);

		if (!strcmp(s, "sudo") || !strcmp(s, "doas") || !strcmp(s, "env") || !strcmp(s, "exec") ||
		    !strcmp(s, "command")) {
			i++;
			while (i < n && v[i][0] == '-')
				i += !strcmp(v[i], "-u") ? 2 : 1;
		} else if (!strcmp(s, "then") || !strcmp(s, "do") || !strcmp(s, "else") || !strcmp(s, "{") ||
			   !strcmp(s, "!") || !strcmp(s, "if") || !strcmp(s, "while")) {
			i++;
		} else {
			break;
		}
	}
	return i < n ? i : n;
}

static void run(struct im_reader *r, struct im_place at, const char *text, const struct im_words *line, size_t *runs);

static bool in_loop(struct im_reader *r, struct im_place at, const char *text, const struct im_word *w, size_t n,
		    size_t *runs)
{
	struct im_loop *l = r->loop;

	if (n >= 3 && !strcmp(w[0].s, "for") && !strcmp(w[2].s, "in")) {
		struct im_loop *inner = im_alloc(r->im, sizeof(*inner));
		unsigned int depth = 0;

		for (struct im_loop *o = l; o; o = o->outer)
			depth++;
		if (depth >= MAX_NEST)
			return true;
		inner->outer = l;
		inner->var = w[1].s;
		expand_all(r, w + 3, n - 3, &inner->value, &inner->nvalues);
		r->loop = inner;
		return true;
	}
	if (!l)
		return false;
	if (n && !strcmp(w[0].s, "do")) {
		w++;
		n--;
	}
	if (n && !strcmp(w[0].s, "done")) {
		r->loop = l->outer;
		for (size_t i = 0; i < l->nvalues; i++) {
			set_var(r, l->var, l->value[i]);
			for (size_t k = 0; k < l->n && *runs < MAX_RUNS; k++)
				run(r, l->body[k].at, l->body[k].text, &l->body[k].w, runs);
		}
		return true;
	}
	if (n)
		*im_push(r->im, l->body, l->n) = (struct im_line){ at, text, { (struct im_word *)w, n } };
	return true;
}

static bool assignment(struct im_reader *r, char **v, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		size_t len = name_length(v[i]);

		if (i == 0 && n > 1 && !strcmp(v[0], "export"))
			continue;
		if (!len || v[i][len] != '=' || strchr(v[i] + len, '$') || strchr(v[i] + len, '`'))
			return false;
		set_var(r, im_copy(r->im, v[i], len), v[i] + len + 1);
	}
	return n > 0;
}

/* One command between operators. */
static bool simple(struct im_reader *r, struct im_place at, const char *text, const struct im_word *w, size_t n,
		   size_t *runs)
{
	char **v;
	size_t nv, from;
	const char *name;

	if (!n || in_loop(r, at, text, w, n, runs))
		return n > 0;
	if (++*runs > MAX_RUNS)
		return true;
	expand_all(r, w, n, &v, &nv);
	if (assignment(r, v, nv))
		return true;
	from = skip_prefix(v, nv);
	if (from == nv)
		return false;
	name = base_name(v[from]);
	if (!r->is_command(name))
		return false;
	for (size_t i = from; i < nv; i++) {
		if (strchr(v[i], '$') || (strchr(v[i], '`') && nv > 1)) {
			if (nv - from < 2 || v[from + 1][0] != '-')
				return false;
			r->im->understood++;
			im_say(r->im, at, IM_LOSS,
			       "\"%.80s\" is not known from here, so the command is left out; write its value in its "
			       "place",
			       v[i]);
			return true;
		}
	}
	v[from] = (char *)name;
	r->command(r, at, text, v + from, nv - from);
	return true;
}

static bool splits(const struct im_word *w)
{
	return w->op && strcmp(w->s, ">") && strcmp(w->s, ">>") && strcmp(w->s, "<") && strcmp(w->s, "2>") &&
	       strcmp(w->s, "&>") && strcmp(w->s, "2>&1");
}

static bool run_line(struct im_reader *r, struct im_place at, const char *text, const struct im_words *line,
		     size_t *runs)
{
	bool any = false;

	for (size_t i = 0, k; i < line->n; i = k + 1) {
		for (k = i; k < line->n && !splits(&line->v[k]); k++)
			;
		r->rest = line->v + k;
		r->nrest = line->n - k;
		any |= simple(r, at, text, line->v + i, k - i, runs);
	}
	return any;
}

static void run(struct im_reader *r, struct im_place at, const char *text, const struct im_words *line, size_t *runs)
{
	r->rest = NULL;
	r->nrest = 0;
	simple(r, at, text, line->v, line->n, runs);
}

/* ---- what is a command, in a text for people ---- */

static const char *skip_marks(struct im_reader *r, const char *s)
{
	const char *was;

	do {
		was = s;
		while (blank(*s))
			s++;
		if ((*s == '$' || *s == '>' || (*s == '#' && r->prompts)) && blank(s[1]))
			s += 2;
		else if ((*s == '-' || *s == '*' || *s == '+') && blank(s[1]))
			s += 2;
		else if (isdigit((unsigned char)*s)) {
			size_t n = strspn(s, "0123456789");

			if ((s[n] == '.' || s[n] == ')') && blank(s[n + 1]) && n < 4)
				s += n + 2;
		}
	} while (s != was);
	return s;
}

/* A prompt such as root@mx:~# */
static const char *skip_prompt(const char *s)
{
	const char *at = strchr(s, '@'), *end = strpbrk(s, "#$");

	return at && end && at < end && end - s < 60 && blank(end[1]) && !memchr(s, ' ', end - s) ? end + 2 : s;
}

static bool starts_command(struct im_reader *r, const char *s)
{
	struct im_words w;
	char **v;
	size_t n, i;

	if (!im_split(r->im, s, &w) && !w.n)
		return false;
	v = im_alloc(r->im, (w.n + 1) * sizeof(*v));
	for (n = 0; n < w.n; n++)
		v[n] = (char *)w.v[n].s;
	i = skip_prefix(v, n);
	return i < n && r->is_command(base_name(v[i]));
}

static bool try_text(struct im_reader *r, struct im_place at, const char *s)
{
	struct im_words w;
	size_t runs = 0;

	s = skip_prompt(skip_marks(r, s));
	if (!*s)
		return true;
	if (*s == '#')
		return true;
	if (r->line && r->line(r, at, s))
		return true;
	im_split(r->im, s, &w);
	return run_line(r, at, s, &w, &runs);
}

/* `iptables -L` in the middle of a sentence */
static bool try_quoted(struct im_reader *r, struct im_place at, const char *s)
{
	bool any = false;

	for (const char *a = strchr(s, '`'), *b; a && (b = strchr(a + 1, '`')); a = strchr(b + 1, '`')) {
		char *inner = im_copy(r->im, a + 1, b - a - 1);

		if (starts_command(r, inner))
			any |= try_text(r, at, inner);
	}
	return any;
}

static bool word_in(const char *s, const char *word)
{
	size_t n = strlen(word);

	for (; *s; s++)
		if (!strncasecmp(s, word, n) && !isalnum((unsigned char)s[n]))
			return true;
	return false;
}

static void prose(struct im_reader *r, struct im_place at, const char *s)
{
	if (word_in(s, "imap3") && word_in(s, "993"))
		im_say(r->im, at, IM_NOTE,
		       "port 993 is imaps; \"IMAP3\" is port 220, a protocol nobody speaks: do not write imap3 for "
		       "993");
	if (*s) {
		r->im->prose++;
		if (!r->prose_line)
			r->prose_line = at.line;
	}
}

/* A rule for SSH that somebody put a '#' before */
static void comment(struct im_reader *r, struct im_place at, const char *s)
{
	s += strspn(s, "# \t");
	if ((strstr(s, "-A ") || strstr(s, "iptables") || strstr(s, "allow") || strstr(s, "--add")) &&
	    (word_in(s, "22") || word_in(s, "ssh") || strstr(s, "22/tcp")) && !r->im->ssh_comment)
		r->im->ssh_comment = at.line;
}

static void one_line(struct im_reader *r, struct im_place at, const char *s)
{
	const char *p = s + strspn(s, " \t");

	if (*p == '#' && !(r->prompts && blank(p[1]) && starts_command(r, p + 2))) {
		comment(r, at, p);
		return;
	}
	if (try_text(r, at, s))
		return;
	if (!try_quoted(r, at, s))
		prose(r, at, s);
}

/* Is '#' a prompt here? Only where every command has it. */
static void find_style(struct im_reader *r, const char *text)
{
	size_t plain = 0, prompts = 0;
	static const char *const tags[] = { "<html", "<HTML", "<pre", "<code", "<p>", "<br" };

	for (size_t i = 0; i < sizeof(tags) / sizeof(*tags); i++)
		r->html |= strstr(text, tags[i]) != NULL;
	if (text[0] == '#' && text[1] == '!')
		return;
	for (const char *s = text; *s; s += strcspn(s, "\n"), s += *s == '\n') {
		size_t n = strcspn(s, "\n");
		char word[256];

		while (n && blank(*s)) {
			s++;
			n--;
		}
		if (n < 3 || n >= sizeof(word))
			continue;
		memcpy(word, s, n);
		word[n] = '\0';
		if (word[0] == '#' && blank(word[1]))
			prompts += starts_command(r, word + 2);
		else
			plain += starts_command(r, word) || !strncmp(word, "-A ", 3);
	}
	r->prompts = prompts && !plain;
}

void im_read(struct im_reader *r, const char *text)
{
	char *held = NULL;
	struct im_place at = { r->path, 0 };
	unsigned int line = 0;

	if (!strncmp(text, "\xef\xbb\xbf", 3))
		text += 3;
	find_style(r, text);
	while (*text) {
		size_t n = strcspn(text, "\n"), len;
		char *s = plain_line(r, text, n);

		text += n + (text[n] == '\n');
		line++;
		if (!held)
			at.line = line;
		len = strlen(s);
		if (held)
			s = im_text(r->im, "%s%s", held, s);
		held = NULL;
		if (len && s[strlen(s) - 1] == '\\' && *text && strlen(s) < 65536) {
			s[strlen(s) - 1] = ' ';
			held = s;
			continue;
		}
		one_line(r, at, s);
	}
	if (r->im->prose && r->prose_line)
		im_say(r->im, (struct im_place){ r->path, r->prose_line }, IM_NOTE,
		       "%zu line%s from here on hold no command of %s and "
		       "were skipped",
		       r->im->prose, r->im->prose == 1 ? "" : "s", r->im->dialect);
}
