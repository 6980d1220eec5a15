#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Kill -9 at any point of a change leaves the old policy or the new one, whole, and the next command works.
. "$(dirname "$0")/lib.sh"

lab_up
talk mx serve 7001 7003 &
within 5 serves mx 7003
spawn remote "$LAB_BIN/talk" hold -e 50 -s "$LAB_DIR/held" 10 $MX4 7001
holder=$LAB_PID

# Two policies that differ in everything a policy has. The mask says, port by port, what a stranger's SYN would meet.
policy_a() {
	rules 'interface wan0' 'default deny' 'allow 7001' 'list friends 203.0.113.0/25 2001:db8:a::/48' 'allow 1001, 1002' \
		'allow 1003 from @friends' 'deny 1001 from 198.51.100.0/24' 'block 203.0.113.130'
}
policy_b() {
	rules 'interface wan0' 'default deny' 'allow 7001' 'list friends 203.0.113.128/25 2001:db8:b::/48' 'allow 1004, 1005' \
		'allow 1003 from @friends' 'deny 1005 from 198.51.100.0/24' 'block 203.0.113.7'
}
probes=('203.0.113.1 1001' '203.0.113.1 1002' '203.0.113.1 1003' '203.0.113.1 1004' '203.0.113.1 1005' '203.0.113.129 1003'
	'198.51.100.9 1001' '198.51.100.9 1005' '203.0.113.130 1001' '203.0.113.7 1004' '2001:db8:a::1 1003' '2001:db8:b::1 1003')

# Verdicts of the program the kernel runs, one letter a probe
mask() {
	local p out=
	for p in "${probes[@]}"; do
		# shellcheck disable=SC2086
		case $(mxdp explain tcp $p syn on wan0 2>&1 | sed -n 's/^verdict *//p') in
		pass) out=${out}P ;;
		drop) out=${out}D ;;
		*) out="${out}?" ;;
		esac
	done
	echo "$out"
}

policy_a
t 'policy A' mxdp apply
A=$(mask)
policy_b
t 'policy B' mxdp apply
B=$(mask)
pins() { (cd "$MXDP_BPFFS" && find . | sort); }
pins_before=$(pins)
same 'A is what it should be' PPPDDDDDDDPD "$A"
same 'B is what it should be' DDDPPPDDDDDP "$B"
[ $LAB_FAILED = 0 ] || bail 'without two known policies nothing can be told'

killed=0 torn=0 broken=0 stale=0 reported=0
report() { [ $((reported += 1)) -gt 20 ] || printf '%s\n' "$*" | sed 's/^/# /'; }

# One change that is killed: COMMAND brings WANTED about, OTHER is in force before.
# shot HOW OLD NEW COMMAND...: HOW is the number of a system call, or a time in seconds
shot() {
	local how=$1 old=$2 new=$3 now said
	shift 3
	case $how in
	*.*) said=$(ns mx timeout -s KILL "$how" "$@" 2>&1; echo "status $?") ;;
	*) said=$(ns mx "$LAB_BIN/killat" "$how" "$@" 2>&1) ;;
	esac
	case $said in *killed*|*'status 137'*|*Killed*) killed=$((killed + 1)) ;; esac
	now=$(mask)
	[ "$now" = "$old" ] || [ "$now" = "$new" ] || { torn=$((torn + 1)); report "$how: $now is neither $old nor $new; $*: $said"; }
}

# The next command of any kind works, and brings the new policy about.
recovers() {
	local new=$1 out
	shift
	out=$("$@" 2>&1) || { broken=$((broken + 1)); report "$*: $out"; }
	[ "$(mask)" = "$new" ] || { stale=$((stale + 1)); report "after $*: $(mask), not $new"; }
}

calls_of() { ns mx "$LAB_BIN/killat" 0 "$@" 2>&1 | sed -n 's/.*after //p' | tail -1; }

# ---- apply, at every so manieth of its system calls, then at any time ----
policy_a
total=$(calls_of "$MXDP" apply)
note "apply makes $total system calls"
policy_b
mxdp apply >/dev/null 2>&1
state=B
flip_to() {
	if [ $state = B ]; then policy_a; old=$B new=$A state=A; else policy_b; old=$A new=$B state=B; fi
}
shots=0
for ((i = 0; i < 60; i++)); do
	flip_to
	shot $((1 + i * total / 60)) "$old" "$new" "$MXDP" apply
	recovers "$new" mxdp apply
	shots=$((shots + 1))
done
for ((i = 0; i < 40; i++)); do
	flip_to
	shot "0.$(printf %04d $((RANDOM % 400)))" "$old" "$new" "$MXDP" reload
	recovers "$new" mxdp reload
	shots=$((shots + 1))
done

# ---- a sentence: the file and the kernel; each is old or new ----
[ $state = B ] || { flip_to; mxdp apply >/dev/null 2>&1; }
files_ok=0
total=$(calls_of "$MXDP" allow 1002 from 203.0.113.1)
note "allow makes $total system calls"
t 'the sentence of the trial run is taken back' mxdp delete allow 1002 from 203.0.113.1
with=${B:0:1}P${B:2}
for ((i = 0; i < 60; i++)); do
	before=$(cat "$MXDP_CONFIG")
	if ((i % 2)); then how="0.$(printf %04d $((RANDOM % 400)))"; else how=$((1 + i * total / 60)); fi
	shot "$how" "$B" "$with" "$MXDP" allow 1002 from 203.0.113.1
	case $(cat "$MXDP_CONFIG") in
	"$before"|"$before"$'\n''allow 1002 from 203.0.113.1') mxdp check >/dev/null 2>&1 && files_ok=$((files_ok + 1)) ;;
	*) report "$how: the file is neither old nor new: $(diff <(echo "$before") "$MXDP_CONFIG")" ;;
	esac
	recovers "$with" mxdp allow 1002 from 203.0.113.1
	recovers "$B" mxdp delete allow 1002 from 203.0.113.1
	shots=$((shots + 1))
done
same 'after each of 60 killed sentences the file was the old or the new one, and whole' 60 $files_ok

# ---- a list ----
total=$(calls_of "$MXDP" list replace friends 203.0.113.128/25 2001:db8:b::/48)
note "list replace makes $total system calls"
swapped=${B:0:2}P${B:3:2}D${B:6:4}PD
for ((i = 0; i < 40; i++)); do
	if ((i % 2)); then how="0.$(printf %04d $((RANDOM % 400)))"; else how=$((1 + i * total / 40)); fi
	shot "$how" "$B" "$swapped" "$MXDP" list replace friends 203.0.113.0/25 2001:db8:a::/48
	recovers "$swapped" mxdp list replace friends 203.0.113.0/25 2001:db8:a::/48
	recovers "$B" mxdp list replace friends 203.0.113.128/25 2001:db8:b::/48
	shots=$((shots + 1))
done

# ---- attach and detach: the interface has the whole filter or none, and packets say so ----
whole_or_none() {
	local now=none
	if ns mx ip link show wan0 | grep -q prog/xdp; then
		talk remote try -t 2000 1 $MX4 7001 >/dev/null || now="the open port is closed"
		! talk remote try -t 150 1 $MX4 7003 >/dev/null || now="the closed port is open"
		[ "$now" = none ] || { half=$((half + 1)); report "$1: $now"; }
	fi
}
half=0
policy_b
mxdp apply >/dev/null 2>&1 || note 'policy B cannot be applied'
total=$(calls_of "$MXDP" detach wan0)
for ((i = 0; i < 20; i++)); do
	# detach takes `interface wan0` out of the file too
	policy_b
	mxdp apply >"$LAB_DIR/again" 2>&1 || { broken=$((broken + 1)); report "apply after a killed detach: $(cat "$LAB_DIR/again")"; }
	[ "$(mask)" = "$B" ] || { half=$((half + 1)); report "after a killed detach and apply: $(mask)"; }
	ns mx "$LAB_BIN/killat" $((1 + i * total / 20)) "$MXDP" detach wan0 >/dev/null 2>&1
	whole_or_none 'killed detach'
done
mxdp detach wan0 >/dev/null 2>&1
policy_b
total=$(calls_of "$MXDP" apply)
for ((i = 0; i < 20; i++)); do
	mxdp detach wan0 >"$LAB_DIR/again" 2>&1
	policy_b
	ns mx "$LAB_BIN/killat" $((1 + i * total / 20)) "$MXDP" apply >/dev/null 2>&1
	whole_or_none 'killed attach'
	mxdp apply >"$LAB_DIR/again" 2>&1 || { broken=$((broken + 1)); report "apply after a killed attach: $(cat "$LAB_DIR/again")"; }
	[ "$(mask)" = "$B" ] || { half=$((half + 1)); report "after a killed attach and apply: $(mask)"; }
done
same 'kills of attach and detach left all or nothing, and the next apply made it whole' 0 $half

note "$shots shots, $killed of them hit before the command had ended"
holds 'most of 200 shots hit' "$shots >= 200 && $killed >= 120"
same 'the policy in force was never a mixture' 0 $torn
same 'the next command always worked' 0 $broken
same '... and did what it says' 0 $stale
same 'nothing of a killed command is left among the pins' "$pins_before" "$(pins)"
t 'what killed commands left beside the file does not pile up' eval "[ \$(find $LAB_DIR/mxdp -type f ! -name mxdp.conf ! -name '*.lock' | wc -l) -le 1 ]"
ends "$holder"
same 'who talked all the while was not disturbed' '0' "$(stat_of "$LAB_DIR/held" broken)"
note "$(cat "$LAB_DIR/held")"
done_testing
