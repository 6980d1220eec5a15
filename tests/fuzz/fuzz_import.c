// SPDX-License-Identifier: GPL-2.0-only
/*
 * Any text as an old firewall, in every dialect (the first byte chooses): refused, or said as sentences that are
 * understood and of which every line says where it came from.
 */
#include <stdlib.h>
#include <string.h>
#include "import.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

#define must(x) do { if (!(x)) abort(); } while (0)

/* What import.c wants of out.c, which is not for fuzzing. */
void put_escaped(const char *s, FILE *to);
void put_escaped(const char *s, FILE *to)
{
	fputs(s, to);
}

static void check_lines(char *text)
{
	char *save = NULL;

	for (char *s = strtok_r(text, "\n", &save); s; s = strtok_r(NULL, "\n", &save))
		must(s[0] == '#' || strstr(s, " # "));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	static const char *const dialect[] = { "iptables", "ip6tables", "ufw", "firewalld", "nft" };
	__cleanup(import_free) struct import im = { 0 };
	__cleanup_free char *text = NULL, *said = NULL, *copy = NULL;
	struct import_source s = { .path = "old" };
	struct diag d = { 0 };
	size_t n = 0, nsaid = 0;
	FILE *out, *to;
	int err;

	if (len < 1 || len > 20000)
		return 0;
	s.dialect = dialect[data[0] % 5];
	copy = xmalloc(len);
	memcpy(copy, data + 1, len - 1);
	copy[len - 1] = '\0';
	s.text = copy;
	s.len = len - 1;
	out = open_memstream(&text, &n);
	to = open_memstream(&said, &nsaid);
	must(out && to);
	err = import_run(&im, &s, 1, NULL, out, &d);
	import_tell(&im, to);
	fclose(out);
	fclose(to);
	/* refused because nothing was found, or because it is too large: never because of what we would have printed */
	for (size_t i = 0; i < d.n; i++)
		must(!strstr(d.msg[i].text, "imported rules"));
	must((err != 0) == (d.errors != 0));
	must(err || n);
	if (!err)
		check_lines(text);
	diag_free(&d);
	return 0;
}
