// SPDX-License-Identifier: GPL-2.0-only
/* A policy on trial: begun by a put, ended by confirm, by going back, or by the clock of the packet path. */
#include <time.h>
#include "dp_private.h"

/* ---- the packet path's clock ---- */

/* No file tells it everywhere; a program of five instructions does. */
static int jiffies_read(uint64_t *now)
{
	const struct bpf_insn insns[] = {
		{ .code = BPF_ALU64 | BPF_MOV | BPF_X, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_1 },
		{ .code = BPF_JMP | BPF_CALL, .imm = BPF_FUNC_jiffies64 },
		{ .code = BPF_STX | BPF_MEM | BPF_DW, .dst_reg = BPF_REG_6, .src_reg = BPF_REG_0 },
		{ .code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0 },
		{ .code = BPF_JMP | BPF_EXIT },
	};
	LIBBPF_OPTS(bpf_prog_load_opts, load, .prog_flags = BPF_F_SLEEPABLE);
	LIBBPF_OPTS(bpf_test_run_opts, run, .ctx_in = now, .ctx_size_in = sizeof(*now));
	__cleanup_close int fd = bpf_prog_load(BPF_PROG_TYPE_SYSCALL, "mxdp_jiffies", "GPL", insns,
					       sizeof(insns) / sizeof(*insns), &load);

	return fd < 0 ? fd : bpf_prog_test_run_opts(fd, &run);
}

int (*dp_jiffies)(uint64_t *now) = jiffies_read;

uint64_t jiffies_per_second(void)
{
	struct timespec res;

	if (clock_getres(CLOCK_MONOTONIC_COARSE, &res) || res.tv_nsec <= 0)
		return 250;
	return (1000000000ULL + res.tv_nsec / 2) / res.tv_nsec;
}

/* ---- what there is ---- */

static bool running(const struct mxdp_state *st)
{
	uint64_t at = __atomic_load_n(&st->revert_at, __ATOMIC_ACQUIRE);

	return at && (at ^ MXDP_REVERT_AT(st->epoch, 0ULL)) >> MXDP_REVERT_SHIFT == 0;
}

/* The jiffy at which the trial that runs is over. */
static uint64_t ends_at(const struct mxdp_state *st)
{
	return st->revert_at & ((1ULL << MXDP_REVERT_SHIFT) - 1);
}

bool trial_running(const struct datapath *dp)
{
	return dp->have && running(dp->now.state);
}

bool trial_over(const struct datapath *dp)
{
	uint64_t now = 0;

	return trial_running(dp) && dp_jiffies(&now) == 0 && now >= ends_at(dp->now.state);
}

void dp_trial(const struct datapath *dp, struct dp_trial *t)
{
	const struct mxdp_state *st = dp->now.state;
	uint64_t now = 0, hz = jiffies_per_second();

	*t = (struct dp_trial){ 0 };
	if (!dp->have)
		return;
	t->running = running(st);
	t->epoch = st->trial_epoch;
	t->first = st->trial_first;
	/* what is no longer in force, and was not confirmed, was taken back, if by a killed command */
	t->end = t->running || !t->epoch ? DP_TRIAL_NONE :
		 st->trial_end == DP_TRIAL_CONFIRMED ? DP_TRIAL_CONFIRMED : DP_TRIAL_TAKEN_BACK;
	if (t->running && dp_jiffies(&now) == 0 && now < ends_at(st))
		t->seconds_left = (ends_at(st) - now + hz - 1) / hz;
}

bool dp_settled(const struct datapath *dp)
{
	return dp && dp->settled;
}

int dp_change_allowed(const struct datapath *dp, struct diag *d)
{
	struct dp_trial t;

	if (dp->other)
		return other_change_allowed(dp, d);
	if (!trial_running(dp) || dp->trial_is_mine)
		return 0;
	dp_trial(dp, &t);
	diag_error(d, "a policy is on trial for another %u seconds, and nothing else changes meanwhile; `mxdp confirm` makes "
		      "it lasting, `mxdp rollback` takes it back", t.seconds_left);
	return -EBUSY;
}

/* ---- begin ---- */

int trial_mark(struct mxdp_state *st, uint32_t epoch, unsigned int seconds, bool first, struct diag *d)
{
	uint64_t now = 0, at = 0;
	int err = seconds ? dp_jiffies(&now) : 0;

	if (err) {
		diag_error(d, "cannot read the kernel's clock, and without it there is no trial: %s; say --no-confirm to do "
			      "without", strerror(-err));
		return err;
	}
	if (seconds) {
		at = MXDP_REVERT_AT(epoch, now + seconds * jiffies_per_second());
		st->trial_epoch = epoch;
		st->trial_first = first;
		st->trial_end = DP_TRIAL_NONE;
	}
	/* not in force before the epoch is */
	__atomic_store_n(&st->revert_at, at, __ATOMIC_SEQ_CST);
	return 0;
}

int dp_trial_renew(struct datapath *dp, unsigned int seconds, struct diag *d)
{
	uint32_t epoch = dp_epoch(dp);

	if (!trial_running(dp) || trial_over(dp)) {
		diag_error(d, "the time of the trial was over before everything was attached; give it more with --confirm");
		return -ETIME;
	}
	return trial_mark(dp->now.state, epoch, seconds, dp->now.state->trial_first, d);
}

/* ---- end ---- */

/* The epoch's store ends the trial, for its number is in revert_at. */
static void end(struct mxdp_state *st, uint32_t epoch, enum dp_trial_end how)
{
	st->trial_end = how;
	flip(st, epoch);
	__atomic_store_n(&st->revert_at, 0, __ATOMIC_SEQ_CST);
}

int dp_confirm(struct datapath *dp, struct diag *d)
{
	uint32_t epoch = dp_epoch(dp);
	int err;

	if (!trial_running(dp)) {
		diag_error(d, "no policy is on trial");
		return -ENOENT;
	}
	if (trial_over(dp)) {
		err = dp_take_back(dp, d);
		if (!err)
			dp->settled = true;
		return err ?: -ETIME;
	}
	/* two further: the same bank, and leases that its own epoch and that of the way back granted are void */
	end(dp->now.state, epoch + 2, DP_TRIAL_CONFIRMED);
	dp->trial_is_mine = false;
	return 0;
}

int dp_take_back(struct datapath *dp, struct diag *d)
{
	struct mxdp_state *st = dp->now.state;
	int err;

	if (!trial_running(dp))
		return 0;
	/* while they have the filter: the policy of before never was in force there, and might lock out */
	err = detach_trial(dp, st->trial_epoch, d);
	dp->trial_is_mine = false;
	if (err)
		return err;
	if (!st->trial_first) {
		end(st, st->epoch + 1, DP_TRIAL_TAKEN_BACK);
		return 0;
	}
	err = remove_all(dp);
	if (err)
		diag_error(d, "nothing is attached any more, but %s cannot be removed: %s", dp->root, strerror(-err));
	return err;
}

int trial_settle(struct datapath *dp, struct diag *d)
{
	bool first = dp->now.state->trial_first;
	int err = dp_take_back(dp, d);

	if (err)
		return err;
	dp->settled = true;
	diag_note(d, "the policy on trial was not confirmed in time: %s",
		  first ? "nothing is filtered, as before it" : "what was in force before it is in force again");
	return 0;
}
