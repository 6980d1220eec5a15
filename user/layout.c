// SPDX-License-Identifier: GPL-2.0-only
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include "dp_private.h"
#include "layout.h"
#include "reason.h"

#define FIRST_LINE "mxdp-layout=1\n"
#define REASON "reason."

static const struct field {
	const char *key;
	size_t at;
	uint32_t own, least, most;
	bool optional;
} fields[] = {
#define X(field, key, own, least, most, optional) { key, offsetof(struct layout, field), own, least, most, optional },
	LAYOUT_FIELDS(X)
#undef X
};
#define NFIELDS (sizeof(fields) / sizeof(*fields))

static uint32_t *field_of(struct layout *l, size_t i)
{
	return (uint32_t *)(void *)((char *)l + fields[i].at);
}

/* ---- reading: nothing in the text is believed ---- */

static int number(const char *s, size_t n, uint32_t most, uint32_t *out)
{
	uint64_t v = 0;

	if (!n || n > 10)
		return -EBADMSG;
	for (size_t i = 0; i < n; i++) {
		if (s[i] < '0' || s[i] > '9')
			return -EBADMSG;
		v = v * 10 + (s[i] - '0');
	}
	if (v > most)
		return -EBADMSG;
	*out = v;
	return 0;
}

/* "reason.39=closed drop tcp": what the number is for, in words that may be more some day */
static int read_reason(struct layout *l, const char *key, size_t nkey, const char *value, size_t n)
{
	__cleanup_free char *words = xstrdup(value);
	char *save, *verdict;
	uint32_t nr;

	words[n] = '\0';
	if (number(key, nkey, LAYOUT_REASONS - 1, &nr) || l->verdict[nr])
		return -EBADMSG;
	strtok_r(words, " ", &save);
	verdict = strtok_r(NULL, " ", &save);
	if (!verdict)
		return -EBADMSG;
	l->verdict[nr] = strcmp(verdict, "pass") ? LAYOUT_DROPS : LAYOUT_PASSES;
	return 0;
}

static void read_version(struct layout *l, const char *value, size_t n)
{
	snprintf(l->version, sizeof(l->version), "%.*s", (int)(n < sizeof(l->version) ? n : sizeof(l->version) - 1), value);
	for (char *p = l->version; *p; p++)
		if (*p < ' ' || *p > '~')
			*p = '?';
}

static int read_field(struct layout *l, bool said[NFIELDS], const char *key, size_t nkey, const char *value, size_t n)
{
	for (size_t i = 0; i < NFIELDS; i++) {
		if (strlen(fields[i].key) != nkey || memcmp(fields[i].key, key, nkey))
			continue;
		if (said[i] || number(value, n, fields[i].most, field_of(l, i)) || *field_of(l, i) < fields[i].least)
			return -EBADMSG;
		said[i] = true;
	}
	return 0;
}

static int read_line(struct layout *l, bool said[NFIELDS], const char *line, size_t n)
{
	const char *equals = memchr(line, '=', n), *value = equals + 1;
	size_t nkey;

	if (!equals || equals == line)
		return -EBADMSG;
	nkey = equals - line;
	n -= nkey + 1;
	if (nkey == strlen("version") && !memcmp(line, "version", nkey)) {
		read_version(l, value, n);
		return 0;
	}
	if (nkey > strlen(REASON) && !memcmp(line, REASON, strlen(REASON)))
		return read_reason(l, line + strlen(REASON), nkey - strlen(REASON), value, n);
	return read_field(l, said, line, nkey, value, n);
}

/* All of it, or nothing of it. */
static bool bans_fit(const struct layout *l)
{
	const struct {
		uint32_t at, bytes, size;
	} part[] = {
		{ l->ban_hi, 8, l->ban_size }, { l->ban_lo, 8, l->ban_size }, { l->ban_expires, 8, l->ban_size },
		{ l->ban_hits, 8, l->ban_size }, { l->ban_made, 4, l->ban_size }, { l->ban_owner, 2, l->ban_size },
		{ l->ban_reason, 2, l->ban_size }, { l->ban_ports, 2, l->ban_size }, { l->ban_len, 1, l->ban_size },
		{ l->ban_family, 1, l->ban_size }, { l->text_kind, 1, l->text_size }, { l->text_len, 1, l->text_size },
		{ l->text_text, 1, l->text_size },
	};

	if (l->ban_size == LAYOUT_NONE)
		return true;
	if (l->text_size == LAYOUT_NONE || l->ban_size % 8 || l->text_size % 8 || l->ban_ignored_bit == LAYOUT_NONE ||
	    l->ban_tag_shift == LAYOUT_NONE || l->ban_claim == LAYOUT_NONE)
		return false;
	for (size_t i = 0; i < sizeof(part) / sizeof(*part); i++)
		if (part[i].at == LAYOUT_NONE || part[i].at % part[i].bytes || part[i].at + part[i].bytes > part[i].size)
			return false;
	return true;
}

/* Is every count inside its element, and every cell inside its row? */
static bool fits(const struct layout *l)
{
	const uint32_t port[] = { l->port_passed, l->port_dropped, l->port_observed, l->port_knocked4, l->port_knocked6 };
	uint64_t last = (uint64_t)(l->services - 1) * l->service_cells + (uint64_t)l->family_cells + l->observed_cells +
			l->reasons - 1;
	uint64_t behind = (l->port_packets > l->port_bytes ? l->port_packets : l->port_bytes) + 8ULL;

	if (last >= l->row_cells || (l->moved_cells && l->moved_cells != l->row_cells) || l->count_size % 8 ||
	    l->port_size % 8 || l->count_packets + 8 > l->count_size || l->count_bytes + 8 > l->count_size ||
	    l->count_packets % 8 || l->count_bytes % 8 || l->port_packets % 8 || l->port_bytes % 8)
		return false;
	for (size_t i = 0; i < sizeof(port) / sizeof(*port); i++)
		if (port[i] != LAYOUT_NONE && (port[i] % 8 || port[i] + behind > l->port_size))
			return false;
	if (l->knocked_reason == LAYOUT_NONE ? l->port_knocked4 != LAYOUT_NONE || l->port_knocked6 != LAYOUT_NONE :
					       l->knocked_reason >= l->reasons)
		return false;
	if (l->state_epoch % 4 || (l->state_probe_key != LAYOUT_NONE && l->state_probe_key % 8) ||
	    (l->state_revert_at != LAYOUT_NONE && (l->state_revert_at % 8 || l->state_revert_shift == LAYOUT_NONE)))
		return false;
	if (l->services_key + (uint64_t)l->services_key_size > l->services_stride || l->services_named >= l->services_stride)
		return false;
	if (!bans_fit(l))
		return false;
	if (l->made_at == LAYOUT_NONE)
		return true;
	return l->made_entries != LAYOUT_NONE && l->made_size != LAYOUT_NONE && l->made_prog != LAYOUT_NONE &&
	       l->made_frags != LAYOUT_NONE && l->made_prog + 4ULL <= l->made_size && l->made_frags < l->made_size &&
	       (l->made_at | l->made_size | l->made_prog) % 4 == 0 &&
	       l->made_at + (uint64_t)l->made_entries * l->made_size <= (uint64_t)l->tail_cells * l->count_size;
}

/* All but who wrote it: two versions that say the same of their maps have the same. */
static void identify(struct layout *l, const char *text, size_t len)
{
	const char *version = memmem(text, len, "\nversion=", 9), *end;
	uLong crc = crc32_z(0, (const Bytef *)text, version ? (size_t)(version + 1 - text) : len);

	if (version) {
		end = memchr(version + 1, '\n', text + len - version - 1);
		crc = crc32_z(crc, (const Bytef *)end, text + len - end);
	}
	snprintf(l->id, sizeof(l->id), "%u-%08lx", l->abi, crc);
}

static int read_all(struct layout *l, const char *text, size_t len)
{
	bool said[NFIELDS] = { false };

	if (len < strlen(FIRST_LINE) || memcmp(text, FIRST_LINE, strlen(FIRST_LINE)) || text[len - 1] != '\n')
		return -EBADMSG;
	for (const char *line = text + strlen(FIRST_LINE), *end; line < text + len; line = end + 1) {
		end = memchr(line, '\n', text + len - line);
		if (read_line(l, said, line, end - line))
			return -EBADMSG;
	}
	for (size_t i = 0; i < NFIELDS; i++)
		if (!said[i] && !fields[i].optional)
			return -EBADMSG;
	return fits(l) ? 0 : -EBADMSG;
}

int layout_read(struct layout *l, const char *text, size_t len, struct diag *d)
{
	size_t n = strnlen(text, len);
	__cleanup_free char *own = xmalloc(n + 1);
	int err;

	memcpy(own, text, n);
	own[n] = '\0';
	memset(l, 0, sizeof(*l));
	for (size_t i = 0; i < NFIELDS; i++)
		*field_of(l, i) = LAYOUT_NONE;
	err = n ? read_all(l, own, n) : -EBADMSG;
	if (err)
		diag_error(d, "the description of the maps is damaged, or of a kind that this mxdp does not know");
	else
		identify(l, own, n);
	return err;
}

unsigned int layout_reason(const struct layout *l, unsigned int reason)
{
	if (reason_info(reason))
		return reason;
	return l->verdict[reason] == LAYOUT_DROPS ? MXDP_R_OTHER_DROPPED : MXDP_R_OTHER_PASSED;
}

/* ---- our own ---- */

static const char *verdict_word(unsigned int reason)
{
	return mxdp_tx_mask >> reason & 1 ? "tx" : mxdp_drop_mask >> reason & 1 ? "drop" : "pass";
}

/* Every command writes this text to know the maps for its own, and fail2ban starts one for every ban: so not by stdio. */
struct text {
	char *at, *end;
};

static void put(struct text *t, const char *s)
{
	size_t n = strlen(s);

	if (n > (size_t)(t->end - t->at))
		n = t->end - t->at;
	memcpy(t->at, s, n);
	t->at += n;
}

static void put_value(struct text *t, const char *key, const char *between, uint32_t v)
{
	char digits[12], *p = digits + sizeof(digits) - 1;

	*p = '\0';
	do
		*--p = '0' + v % 10;
	while (v /= 10);
	put(t, key);
	put(t, between);
	put(t, p);
}

static void write_own(struct text *t)
{
	static const char *const layer[] = { [MXDP_LAYER_LINK] = " link\n", [MXDP_LAYER_IP] = " ip\n", [MXDP_LAYER_TCP] = " tcp\n" };

	put(t, FIRST_LINE "version=" MXDP_VERSION "-" MXDP_REVISION "\n");
	for (size_t i = 0; i < NFIELDS; i++) {
		put_value(t, fields[i].key, "=", fields[i].own);
		put(t, "\n");
	}
	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
		const struct reason_info *is = reason_info(r);

		if (!is)
			continue;
		put_value(t, REASON, "", r);
		put(t, "=");
		put(t, is->name);
		put(t, " ");
		put(t, verdict_word(r));
		put(t, layer[is->layer]);
	}
	/* what nobody else reads, so that whoever changes it has another layout */
	put_value(t, "own=state", ":", sizeof(struct mxdp_state));
	put_value(t, " bank", ":", sizeof(struct mxdp_bank));
	put_value(t, " line", ":", sizeof(union mxdp_line));
	put_value(t, " lease", ":", sizeof(struct mxdp_lease_line));
	put_value(t, " limits", ":", MXDP_LIMITS);
	put_value(t, " classes", ":", MXDP_CLASSES);
	put_value(t, " rules", ":", RULES_FREEZE_VERSION);
	put(t, "\n");
}

const char *layout_text(void)
{
	static char text[LAYOUT_PAGE];
	struct text t = { text, text + sizeof(text) - 1 };

	if (!*text)
		write_own(&t);
	return text;
}

/* Behind the line that says the version, which is the second. */
static const char *behind_version(const char *text)
{
	const char *line = text + strlen(FIRST_LINE), *end = strchr(line, '\n');

	return end ? end + 1 : line;
}

bool layout_same(const char *text, size_t len)
{
	const char *own = layout_text();

	if (strnlen(text, len) == len || strncmp(text, own, strlen(FIRST_LINE "version=")))
		return false;
	return !strcmp(behind_version(text), behind_version(own));
}

const struct layout *layout_own(void)
{
	static struct layout own;
	struct diag d = { 0 };

	/* a text that did not fit its page, or that does not read, is a fault of the program: test_layout */
	if (!own.id[0] && layout_read(&own, layout_text(), LAYOUT_PAGE, &d)) {
		diag_print(&d, stderr);
		abort();
	}
	diag_free(&d);
	return &own;
}
