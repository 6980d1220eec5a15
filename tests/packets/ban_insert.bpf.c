// SPDX-License-Identifier: GPL-2.0-only
/* The kernel's side of adding a ban, to be run by hand: BPF_PROG_TEST_RUN. */
#include <stdbool.h>
#include <linux/bpf.h>
#include <bpf/bpf_helpers.h>
#include <mxdp/abi.h>
#include "maps.h"
#include "clock.h"
#include "ban_insert.h"

struct wish {
	__u64 hi, lo;
	__u32 family, len, seconds;
	int said;
};

SEC("syscall")
int ban(struct wish *w)
{
	w->said = ban_source(w->family, w->hi, w->lo, w->len, w->seconds);
	return 0;
}

char LICENSE[] SEC("license") = "GPL";
