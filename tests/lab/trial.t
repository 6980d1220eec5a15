#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A policy on trial: what was before comes back by itself; confirm, rollback, the history, a reboot in mid-trial.
. "$(dirname "$0")/lib.sh"

lab_up
talk mx serve 7001 7002 &
within 5 serves mx 7002

opens() { talk remote try -t 1500 1 $MX4 "$1" >/dev/null; }
shut() { ! talk remote try -t 200 1 $MX4 "$1" >/dev/null; }
equal() { mxdp diff >/dev/null 2>&1; }
in_history() { mxdp show history --json | grep -c '"number"'; }
# What a machine has after a reboot: the disk, and nothing in the kernel
reboots() { mxdp detach >/dev/null 2>&1; export MXDP_BOOT_ID=boot-$1; }
first() { rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7001'; }
second() { rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7002'; }

first
t 'apply, for good where nobody is logged in over SSH' mxdp apply
same 'it is the first of the history' 1 "$(in_history)"
t '... with copies of the files' cmp "$MXDP_CONFIG" "$MXDP_STATE/history/000001/files/00-mxdp.conf"
same 'nobody else looks into the state directory' 700 "$(stat -c %a "$MXDP_STATE")"
for i in 1 2 3; do mxdp -q reload; done
same 'the same policy again is no other policy' 1 "$(in_history)"

# ---- the clock ----

second
t 'on trial' mxdp apply --confirm 4s
t '... says how to confirm' grep -q 'NEW connection' <<<"$LAB_OUT"
t '... and is in force' opens 7002
t '... wholly' shut 7001
t 'status tells of it' eval 'mxdp status | grep -q "ON TRIAL for another"'
t '... to programs too' eval 'mxdp status --json | grep -q "\"running\": *true"'
not_t 'nothing else changes meanwhile: a sentence' mxdp allow 7003
t '... with the remedy' grep -q 'mxdp confirm.*mxdp rollback' <<<"$LAB_OUT"
not_t '... an apply' mxdp apply
not_t '... an attach' mxdp attach bad0
not_t '... a list' mxdp list new 192.0.2.1
t '... and no file' eval '! grep -q 7003 $MXDP_CONFIG'
sleep 4.2
t 'over: what was before, though no mxdp ran' opens 7001
t '... wholly' shut 7002
t 'the next command says so, once' eval 'mxdp status 2>&1 | grep -q "not confirmed in time"'
t '... once' eval '! mxdp status 2>&1 | grep -q "not confirmed in time"'
t 'the edit in the file is left as it is' grep -q 'allow 7002' "$MXDP_CONFIG"
t '... and status says why it differs' eval 'mxdp status | grep -q "was not confirmed"'
t '... and diff' eval 'mxdp diff 2>&1 | grep -q "was not confirmed"'
same 'it is not in the history' 1 "$(in_history)"
same 'confirm: nothing is on trial' 0 "$(mxdp confirm >/dev/null 2>&1; echo $?)"

t 'again on trial' mxdp apply --confirm 3s
sleep 3.2
same 'too late is 5' 5 "$(mxdp confirm >/dev/null 2>&1; echo $?)"
t 'again on trial' mxdp apply --confirm 3s
same 'a trial that is waited for, and over, is 5' 5 "$(mxdp apply --confirm 3s >/dev/null 2>&1; mxdp rollback >/dev/null; mxdp apply --confirm 3s --wait >/dev/null 2>&1; echo $?)"

# ---- confirm ----

t 'again on trial' mxdp apply --confirm 3s --comment 'the new port'
t 'confirmed' mxdp confirm
sleep 3.2
t 'it stays' opens 7002
t '... and is in the history' eval 'mxdp show history | grep -q "the new port"'
t '... and the files say it' equal
t 'sentences again' mxdp allow 7003

# ---- rollback ----

t 'rollback takes back what was said since' mxdp rollback
t '... is in force' eval '! mxdp query -q allow 7003'
t '... what was confirmed last' opens 7002
t 'rollback once more, to the one before' mxdp rollback
t '... is in force' opens 7001
t '... wholly' shut 7002
t '... and the files are as they were' grep -q 'allow 7003' "$MXDP_CONFIG"
not_t 'there is nothing before the first' mxdp rollback
not_t 'nor one of that number' mxdp rollback 4711
last=$(mxdp show history --json | sed -n 's/.*"number": *\([0-9]*\).*/\1/p' | sort -n | tail -1)
t 'a number of the history' mxdp rollback "$last"
t '... is in force' mxdp query -q allow 7003
t '... which the files say' equal
t 'back to the second' mxdp rollback 2
second
t 'apply' mxdp apply
t 'rollback in mid-trial' eval 'first && mxdp apply --confirm 60s && mxdp rollback'
t '... is in force' opens 7002
for i in $(seq 1 13); do rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7002' "allow 71$i"; mxdp -q apply; done
same 'the last ten are kept' 10 "$(in_history)"

# ---- larger tables, lists from files ----

seq 1 6000 | awk '{ printf "45.%d.%d.0/24\n", $1 / 250, $1 % 250 }' >"$LAB_DIR/mxdp/many.txt"
echo 203.0.113.0/24 >"$LAB_DIR/mxdp/few.txt"
rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7001' 'list l file few.txt change any' 'block @l'
t 'a list from a file' mxdp apply
cp "$LAB_DIR/mxdp/many.txt" "$LAB_DIR/mxdp/few.txt"
rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7002' 'list l file few.txt change any' 'block @l' 'track socket leases 1M'
t 'on trial, with tables that must grow' mxdp apply --confirm 4s
t '... in force' opens 7002
sleep 4.2
t '... and over' opens 7001
t 'the list is that of before' eval '[ "$(mxdp show lists l)" = 203.0.113.0/24 ]'
t 'for good' mxdp apply
t '... and back: the list as it was read then' mxdp rollback
t '...' eval '[ "$(mxdp show lists l)" = 203.0.113.0/24 ]'

# ---- interfaces ----

rules 'interface wan0' 'interface bad0' 'admin ssh from 192.0.2.0/24' 'allow 7001'
t 'another interface, on trial' mxdp apply --confirm 4s
not_t '... is filtered' eval 'ns stranger "$LAB_BIN/talk" try -t 200 1 $BADMX4 7002'
sleep 4.2
t '... over: it is not' eval 'ns stranger "$LAB_BIN/talk" try -t 1500 1 $BADMX4 7002'
t '... and the next command lets go of it' eval 'mxdp status >/dev/null 2>&1; ! ns mx ip link show bad0 | grep -q prog/xdp'
t 'both for good' mxdp apply
rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7001'
t 'one less, on trial' mxdp apply --confirm 60s
t '... stays filtered for that time' eval 'ns mx ip link show bad0 | grep -q prog/xdp'
t 'confirmed' mxdp confirm
not_t '... and is let go then' eval 'ns mx ip link show bad0 | grep -q prog/xdp'
before=$(cat "$MXDP_CONFIG")
t 'attach on trial' mxdp attach bad0 --confirm 60s
same '... writes nothing yet' "$before" "$(cat "$MXDP_CONFIG")"
t 'confirmed' mxdp confirm
t '... and written' grep -q '^interface bad0' "$MXDP_CONFIG"
t '... in force' equal
t 'detach' mxdp detach bad0

# ---- the first ever ----

t 'detach' mxdp detach
t 'first, on trial' mxdp apply --confirm 4s
t '... in force' shut 7002
sleep 4.2
t '... over: nothing is filtered' opens 7002
same '... and the next command sees to it' 3 "$(mxdp status >/dev/null 2>&1; echo $?)"
not_t '... no pin is left' test -e "$MXDP_BPFFS/mxdp"

# ---- reboot ----

first
t 'apply' mxdp apply --no-confirm
second
t 'on trial' mxdp apply --confirm 60s
reboots 2
t 'a reboot in mid-trial' mxdp apply --boot
t '... says why' grep -q 'was not confirmed' <<<"$LAB_OUT"
t '... comes up with what was before' opens 7001
t '... wholly' shut 7002
t '... and leaves the file' grep -q 'allow 7002' "$MXDP_CONFIG"
reboots 3
t 'another, by a unit that says plain apply' mxdp apply
t '... too' opens 7001
t 'the operator applies the file' mxdp apply
t '... in force' opens 7002
reboots 4
t 'a reboot begins with the files again' mxdp apply --boot
t '... in force' opens 7002
echo 'alow smtp' >>"$MXDP_CONFIG"
reboots 5
same 'a file with an error at boot: partly done' 4 "$(mxdp apply --boot >/dev/null 2>&1; echo $?)"
t '... the last policy that held for good' opens 7002
second
t 'apply' mxdp apply
t 'back, and reboot' eval 'mxdp rollback 2>&1'
mxdp show rules >"$LAB_DIR/before"
reboots 6
t 'boot' mxdp apply --boot
t '... what was gone back to' eval 'mxdp show rules | cut -d" " -f1-6 | cmp - <(cut -d" " -f1-6 "$LAB_DIR/before")'
t 'a sentence belongs to it' mxdp allow 7009
reboots 7
t 'boot' mxdp apply --boot
t '...' mxdp query -q allow 7009
second
t 'apply' mxdp apply

rules 'interface wan0' 'interface bad0' 'admin ssh from 192.0.2.0/24' 'allow 7002'
reboots 8
t 'a unit for each interface: one' mxdp apply --boot --only wan0
not_t '... and no other' eval 'ns mx ip link show bad0 | grep -q prog/xdp'
t '... and the other' mxdp apply --boot --only bad0
t '... both' eval '[ "$(ns mx ip link | grep -c prog/xdp)" = 2 ]'
not_t 'one that the rules do not name' mxdp apply --boot --only lo
second
t 'apply' mxdp apply

# ---- killed on the way ----

# confirm, killed at any of its steps: it holds, or it can be said again; then no boot begins with anything else
first
mxdp -q apply >/dev/null 2>&1
second
mxdp apply --confirm 60s >/dev/null 2>&1
calls=$(ns mx "$LAB_BIN/killat" 0 "$MXDP" confirm 2>&1 | sed -n 's/.*after //p' | tail -1)
note "confirm makes $calls system calls"
whole=0 shots=16
for ((i = 0; i < shots; i++)); do
	if ((i % 2)); then second; port=7002; else first; port=7001; fi
	mxdp apply --confirm 60s >/dev/null 2>&1
	ns mx "$LAB_BIN/killat" $((calls * (i + shots / 2) / (shots + shots / 2))) "$MXDP" confirm >/dev/null 2>&1
	mxdp confirm >/dev/null 2>&1 && mxdp query -q allow $port && [ ! -e "$MXDP_STATE/boot" ] && equal &&
		! mxdp status --json | grep -q '"running": *true' && whole=$((whole + 1))
done
same 'after each killed confirm the next one made it whole' $shots $whole
second
t 'apply' mxdp apply

# ---- no place to keep ----

rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow 7001'
not_t 'no trial without a place to keep what to go back to' mxdp apply --confirm 60s --state /proc/nowhere
t '... and says how to do without' grep -q -- --no-confirm <<<"$LAB_OUT"
t '... nothing was changed' opens 7002
t 'for good it is done, with a warning' mxdp apply --state /proc/nowhere
t '...' grep -q 'warning: in force, but not in the history' <<<"$LAB_OUT"
mkdir "$LAB_DIR/open" && chmod 777 "$LAB_DIR/open"
not_t 'nor one that others may reach' mxdp apply --confirm 60s --state "$LAB_DIR/open"
not_t 'times that are none' mxdp apply --confirm soon
not_t '...' mxdp apply --confirm forever
not_t '... or contradict' mxdp apply --confirm 60s --no-confirm

done_testing
