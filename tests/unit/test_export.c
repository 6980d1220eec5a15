// SPDX-License-Identifier: GPL-2.0-only
/* Promise: every packet is in the export once, whichever way it is summed, and the text is what Prometheus reads. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include "export.h"
#include "reason.h"

static struct look look;
static struct export_iface iface[2];
static struct config_view config;
static struct export e;
static char *text;
static uint64_t sent, sent_bytes;

/* Every cell that the packet path could count in gets a number of its own, in both families. */
static void fill(struct dp_counts *c)
{
	static const int services[] = { 0, 1, 2, 7 };

	for (size_t s = 0; s < 4; s++) {
		for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
			if (!reason_info(r) || (services[s] && !reason_has_port(r)))
				continue;
			for (int f = 0; f < 2; f++) {
				for (int o = 0; o <= reason_info(r)->drops; o++) {
					uint64_t n = 1 + (uint64_t)services[s] * 1000 + r * 10 + (uint64_t)(2 * f + o);

					c->cell[services[s]][f][o][r] = (struct mxdp_count){ n, n * 60 };
					sent += n;
					sent_bytes += n * 60;
				}
			}
		}
	}
}

static struct dp_iface kernel = { .name = "eth0", .ifindex = 2, .link_ifindex = 2, .prog_id = 9, .running_id = 9,
				  .driver = "vir\"tio\\net", .mode = DP_NATIVE };

static int setup(void **state)
{
	size_t len;
	FILE *to = open_memstream(&text, &len);

	(void)state;
	look = (struct look){ .epoch = 12, .deny = true };
	strcpy(look.services[0].key, "other");
	look.services[1] = (struct service){ .key = "25", .named = true };
	look.services[2] = (struct service){ .key = "1000-1999", .named = true };
	look.services[3] = (struct service){ .key = "993", .named = true }; /* no packet yet */
	look.services[7] = (struct service){ .key = "587", .named = false };
	look.service_of[25] = 1;
	memset(&look.service_of[1000], 2, 1000);
	look.service_of[993] = 3;
	iface[0] = (struct export_iface){ .view = { .name = "eth0", .kernel = &kernel, .state = IFACE_ATTACHED } };
	iface[0].counts = calloc(1, sizeof(*iface[0].counts));
	iface[1] = (struct export_iface){ .view = { .name = "eth1", .state = IFACE_MISSING } };
	sent = sent_bytes = 0;
	fill(iface[0].counts);
	e = (struct export){ .version = "1",
			     .revision = "r",
			     .look = &look,
			     .loaded = true,
			     .iface = iface,
			     .nifaces = 2,
			     .config = &config };
	export_prometheus(&e, to);
	fclose(to);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	free(text);
	free(iface[0].counts);
	return 0;
}

/* The sum of the samples of a name whose labels hold `with` (NULL: all). */
static uint64_t sum(const char *name, const char *with)
{
	size_t len = strlen(name);
	uint64_t total = 0;

	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n'), *value = end;
		char labels[512];

		if (strncmp(line, name, len) || (line[len] != '{' && line[len] != ' '))
			continue;
		while (value[-1] != ' ')
			value--;
		assert_true(value - line < (long)sizeof(labels));
		memcpy(labels, line, (size_t)(value - line));
		labels[value - line] = '\0';
		if (!with || strstr(labels, with))
			total += strtoull(value, NULL, 10);
	}
	return total;
}

static void sums_are_the_packets(void **state)
{
	(void)state;
	assert_int_equal(sum("mxdp_received_packets_total", NULL), sent);
	assert_int_equal(sum("mxdp_received_bytes_total", NULL), sent_bytes);
	assert_int_equal(sum("mxdp_passed_packets_total", NULL) + sum("mxdp_dropped_packets_total", NULL) +
			 sum("mxdp_observed_packets_total", NULL), sent);
	assert_int_equal(sum("mxdp_passed_bytes_total", NULL) + sum("mxdp_dropped_bytes_total", NULL) +
			 sum("mxdp_observed_bytes_total", NULL), sent_bytes);
}

static void ports_sum_to_packets_with_a_port(void **state)
{
	uint64_t portless = 0;

	(void)state;
	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++)
		for (int f = 0; f < 2; f++)
			for (int o = 0; o < 2; o++)
				portless += reason_has_port(r) ? 0 : iface[0].counts->cell[0][f][o][r].packets;
	assert_true(portless > 0);
	assert_int_equal(sum("mxdp_port_passed_packets_total", NULL) + sum("mxdp_port_dropped_packets_total", NULL) +
			 sum("mxdp_port_observed_packets_total", NULL), sent - portless);
}

static void splits_agree(void **state)
{
	(void)state;
	assert_int_equal(sum("mxdp_received_packets_total", "family=\"ipv4\"") +
			 sum("mxdp_received_packets_total", "family=\"ipv6\"") +
			 sum("mxdp_received_packets_total", "family=\"link\""), sent);
	assert_true(sum("mxdp_received_packets_total", "family=\"link\"") > 0);
	for (unsigned int r = 0; r < MXDP_REASON_SLOTS; r++) {
		char with[64];

		if (!reason_info(r) || reason_info(r)->layer != MXDP_LAYER_TCP || !reason_info(r)->drops)
			continue;
		snprintf(with, sizeof(with), "reason=\"%s\"", reason_info(r)->name);
		assert_int_equal(sum("mxdp_port_dropped_packets_total", with), sum("mxdp_dropped_packets_total", with));
		assert_int_equal(sum("mxdp_port_observed_packets_total", with),
				 sum("mxdp_observed_packets_total", with));
	}
}

static void one_cell_is_one_sample(void **state)
{
	char want[256];

	(void)state;
	snprintf(want, sizeof(want),
		 "\nmxdp_port_dropped_packets_total{interface=\"eth0\",port=\"25\",family=\"ipv6\",reason=\"denied\"} "
		 "%llu\n",
		 iface[0].counts->cell[1][1][0][MXDP_R_DENIED].packets);
	assert_non_null(strstr(text, want));
	snprintf(want, sizeof(want),
		 "\nmxdp_passed_bytes_total{interface=\"eth0\",family=\"link\",reason=\"arp\"} %llu\n",
		 iface[0].counts->cell[0][0][0][MXDP_R_ARP].bytes + iface[0].counts->cell[0][1][0][MXDP_R_ARP].bytes);
	assert_non_null(strstr(text, want));
}

static void rates_begin_at_zero(void **state)
{
	(void)state;
	assert_non_null(
		strstr(text, "\nmxdp_port_passed_packets_total{interface=\"eth0\",port=\"993\",family=\"ipv4\"} 0\n"));
	assert_non_null(strstr(text, "\nmxdp_port_dropped_packets_total{interface=\"eth0\",port=\"993\",family="
				     "\"ipv6\",reason=\"denied\"} 0\n"));
}

static void what_is_not_filtered_is_said(void **state)
{
	(void)state;
	assert_non_null(strstr(text, "\nmxdp_interface_attached{interface=\"eth0\"} 1\n"));
	assert_non_null(strstr(text, "\nmxdp_interface_attached{interface=\"eth1\"} 0\n"));
	assert_non_null(strstr(text, "\nmxdp_loaded 1\n"));
}

static void labels_are_escaped(void **state)
{
	(void)state;
	assert_non_null(strstr(text, "driver=\"vir\\\"tio\\\\net\""));
}

/* HELP and TYPE once and first, samples of a family together, no series twice, no timestamp, newline at the end. */
static void the_format_is_kept(void **state)
{
	char seen[64][64], current[64] = "", name[64], last = 0;
	size_t nseen = 0;

	(void)state;
	for (const char *line = text; *line; line = strchr(line, '\n') + 1) {
		const char *end = strchr(line, '\n'), *again;
		size_t len = strcspn(line, " {\n");

		assert_non_null(end);
		last = *end;
		if (strncmp(line, "# HELP ", 7) == 0) {
			assert_int_equal(sscanf(line, "# HELP %63s", current), 1);
			for (size_t i = 0; i < nseen; i++)
				assert_string_not_equal(seen[i], current);
			assert_true(nseen < 64);
			strcpy(seen[nseen++], current);
			assert_int_equal(sscanf(end + 1, "# TYPE %63s", name), 1);
			assert_string_equal(name, current);
			continue;
		}
		if (*line == '#')
			continue;
		assert_true(strlen(current) == len && strncmp(line, current, len) == 0);
		for (const char *p = line; p < end; p++) /* one space only: no timestamp. Labels here hold none */
			if (*p == ' ')
				assert_int_equal(strspn(p + 1, "0123456789."), (size_t)(end - p - 1));
		len = (size_t)(strchr(line, ' ') - line) + 1;
		for (again = end + 1; *again; again = strchr(again, '\n') + 1)
			assert_true(strncmp(again, line, len) != 0);
	}
	assert_int_equal(last, '\n');
	assert_true(nseen > 20);
}

static void not_loaded_is_a_figure_too(void **state)
{
	struct export none = { .version = "1",
			       .revision = "r",
			       .look = &look,
			       .loaded = false,
			       .iface = &iface[1],
			       .nifaces = 1,
			       .config = &config };
	char *said = NULL;
	size_t len;
	FILE *to = open_memstream(&said, &len);

	(void)state;
	export_prometheus(&none, to);
	fclose(to);
	assert_non_null(strstr(said, "\nmxdp_loaded 0\n"));
	assert_non_null(strstr(said, "\nmxdp_interface_attached{interface=\"eth1\"} 0\n"));
	assert_null(strstr(said, "_total"));
	free(said);
}

static uint64_t json_packets(json_object *o)
{
	json_object *n;

	assert_true(json_object_object_get_ex(o, "packets", &n));
	return json_object_get_uint64(n);
}

static uint64_t json_all(json_object *o)
{
	static const char *const key[] = { "passed", "dropped", "would_drop" };
	uint64_t all = 0;
	json_object *sub;

	for (int i = 0; i < 3; i++) {
		assert_true(json_object_object_get_ex(o, key[i], &sub));
		all += json_packets(sub);
	}
	return all;
}

static void json_says_the_same(void **state)
{
	uint64_t by_service = 0, by_reason = 0;
	json_object *doc, *list, *one, *part;
	char *said = NULL;
	size_t len;
	FILE *to = open_memstream(&said, &len);

	(void)state;
	export_json(&e, to);
	fclose(to);
	doc = json_tokener_parse(said);
	assert_non_null(doc);
	assert_true(json_object_object_get_ex(doc, "interfaces", &list));
	assert_int_equal(json_object_array_length(list), 2);
	one = json_object_array_get_idx(list, 0);
	assert_int_equal(json_all(one), sent);
	assert_true(json_object_object_get_ex(one, "services", &part));
	for (size_t i = 0; i < json_object_array_length(part); i++)
		by_service += json_all(json_object_array_get_idx(part, i));
	assert_int_equal(by_service, sent);
	assert_true(json_object_object_get_ex(one, "reasons", &part));
	for (size_t i = 0; i < json_object_array_length(part); i++)
		by_reason += json_packets(json_object_array_get_idx(part, i));
	assert_int_equal(by_reason, sent);
	json_object_put(doc);
	free(said);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(sums_are_the_packets),
		cmocka_unit_test(ports_sum_to_packets_with_a_port),
		cmocka_unit_test(splits_agree),
		cmocka_unit_test(one_cell_is_one_sample),
		cmocka_unit_test(rates_begin_at_zero),
		cmocka_unit_test(what_is_not_filtered_is_said),
		cmocka_unit_test(labels_are_escaped),
		cmocka_unit_test(the_format_is_kept),
		cmocka_unit_test(not_loaded_is_a_figure_too),
		cmocka_unit_test(json_says_the_same),
	};

	return cmocka_run_group_tests(tests, setup, teardown);
}
