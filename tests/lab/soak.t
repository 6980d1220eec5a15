#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What an operator does now and then, again and again: attach and detach, package upgrade and downgrade (to a version with
# another layout of the maps, and killed on the way), under connections that talk in both directions and somebody who
# knocks on closed ports. Nothing is lost, and nothing is let in while the filter is on.
#
# ROUNDS of attach and detach (a round is one of each), PACKAGES of upgrades and downgrades, or as many as MINUTES allow.
# `make soak` does a thousand.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian.sh"

ROUNDS=${ROUNDS:-8} PACKAGES=${PACKAGES:-4} MINUTES=${MINUTES:-600}
lab_up
talk mx serve 7001 7002 &
talk remote serve 7002 &
within 5 serves mx 7002
within 5 serves remote 7002
SERVER=$(ns mx ss -Hltnp 'sport = :7001' | sed -n 's/.*pid=\([0-9]*\).*/\1/p' | head -n 1)
program() { ns mx ip link show "$1" | grep -o 'prog/xdp id [0-9]*'; }

# What the kernel answered to knocks on a port where nobody listens: it saw them. No process is started to read it.
declare -a words
declare -i answered
answered() {
	local line at
	while read -r -a line; do
		[ "${line[0]}" = Tcp: ] || continue
		[ "${line[1]}" != RtoAlgorithm ] || { words=("${line[@]}"); continue; }
		for at in "${!words[@]}"; do [ "${words[at]}" != OutRsts ] || answered=${line[at]}; done
	done <"/proc/$SERVER/net/snmp"
}
exec {pause}<> <(:)
rest() { read -r -t "$1" -u "$pause"; }

held=(in4 in6 out4 out6)
talk remote hold -e 50 -s "$LAB_DIR/in4" 10 $MX4 7001 2>"$LAB_DIR/in4.err" &
talk remote hold -e 50 -s "$LAB_DIR/in6" 10 $MX6 7001 2>"$LAB_DIR/in6.err" &
talk mx hold -e 50 -s "$LAB_DIR/out4" 10 $REMOTE4 7002 2>"$LAB_DIR/out4.err" &
talk mx hold -e 50 -s "$LAB_DIR/out6" 10 $REMOTE6 7002 2>"$LAB_DIR/out6.err" &
moved() { [ "$(stat_of "$LAB_DIR/$1" messages)" -gt "$2" ] && [ "$(stat_of "$LAB_DIR/$1" broken)" = 0 ]; }
alive() {
	local s
	for s in "${held[@]}"; do
		t "$1: connections talk: $s" within 5 moved $s $(($(stat_of "$LAB_DIR/$s" messages) + 20))
	done
}

injectors=
knock() { spawn "$1" "$LAB_BIN/inject" up0 "${@:2}" count=100000000 rate=2000 dport=7003 >/dev/null; }
knock remote id=1 to="$LAB_MAC_WAN" src=$REMOTE4 dst=$MX4
injectors=$LAB_PID
knock remote id=2 to="$LAB_MAC_WAN" src=$REMOTE6 dst=$MX6
injectors="$injectors $LAB_PID"
stranger() { knock stranger id=3 to="$LAB_MAC_BAD" src=$STRANGER4 dst=$BADMX4; knocker=$LAB_PID; }
stranger

policy() { rules "$@" 'default deny' 'admin ssh from 203.0.113.7' 'allow 7001'; }

# ---- attach and detach ----

failed=0 let_in=0 blind=0 bare=0 slowest=0
wrong() { [ $((failed += 1)) -gt 10 ] || note "$*: $(cat "$LAB_DIR/said")"; }

# One round; COMMANDS put the filter on wan0, and take it off
round() {
	local on=$1 off=$2 before began=${EPOCHREALTIME/./} took
	mxdp -q $on >"$LAB_DIR/said" 2>&1 || wrong "$on"
	took=$(((${EPOCHREALTIME/./} - began) / 1000))
	[ $took -le $slowest ] || slowest=$took
	# what had passed before is answered by now
	rest 0.01
	answered; before=$answered
	rest 0.03
	answered
	[ $answered = $before ] || { let_in=$((let_in + answered - before)); note "$on: $((answered - before)) knocks let in"; }
	mxdp -q $off >"$LAB_DIR/said" 2>&1 || wrong "$off"
	before=$answered
	rest 0.04 # they come in handfuls, every 32 ms
	answered
	[ $answered != $before ] || blind=$((blind + 1))
}

policy 'interface bad0'
t 'the other interface is filtered' mxdp apply
rest 0.05
watch_begin bad0
for ((i = 0; i < ROUNDS / 2; i++)); do
	round 'attach wan0' 'detach wan0'
	[ -z "$(program wan0)" ] && [ -n "$(program bad0)" ] || bare=$((bare + 1))
done
watch_end
same 'another interface stayed filtered all the while' "0 " "$bare $LAB_PASSED"
alive "attached and detached $i times"
mxdp -q detach >/dev/null
ends "$knocker"
for ((; i < ROUNDS; i++)); do
	policy 'interface wan0'
	round apply detach
	[ ! -e "$MXDP_BPFFS/mxdp" ] || bare=$((bare + 1))
done
same 'every detach of the last interface left no pin' 0 $bare
same "$ROUNDS times attach and detach: all were done" 0 $failed
same 'nothing was let in while attached' 0 $let_in
holds 'and what is let in would have been seen' "$blind <= ROUNDS / 20"
alive "attached and detached $i times"
note "the slowest attach: $slowest ms; whether detached knocks came through was not seen $blind times"

# ---- package upgrade and downgrade ----

packages() {
	local version until=$((SECONDS + MINUTES * 60)) began slowest=0 took lost=0 killed=0 next program_was same_program=0 did=0
	local -a name=(old.deb new.deb)
	version=$(dpkg-deb -f "$DEBIAN_DEB" Version)
	make -s -C "$LAB_ROOT" O="$LAB_BUILD/other" LAYOUT=-DMXDP_OTHER_LAYOUT >"$LAB_BUILD/other.log" 2>&1 &&
		debian_repack old.deb "$version" && debian_repack new.deb "$version+1" "$LAB_BUILD/other/mxdp" ||
		{ not_ok_line 'two versions of the package' "$(tail -n 5 "$LAB_BUILD/other.log")"; return; }
	install() { debian dpkg --force-unsafe-io -i "/mnt/$1" >"$LAB_DIR/said" 2>&1; }
	t 'install' install old.deb
	debian sh -c 'cat >/etc/mxdp/mxdp.conf' <<-END
		interface wan0
		interface bad0
		default deny
		admin ssh from 203.0.113.7
		allow 7001
	END
	t 'apply' debian mxdp apply
	stranger
	rest 0.05
	answered; before=$answered
	watch_begin wan0
	failed=0
	for ((i = 1; i <= PACKAGES && SECONDS < until; i++)); do
		did=$i
		next=${name[i % 2]} program_was=$(program wan0)
		# every fourth is killed at some moment, scripts of the package and all, and done again
		if ((i % 4 == 0)); then
			setsid nsenter --net="/run/netns/$LAB_ID-mx" --mount="/proc/$LAB_DEBIAN/ns/mnt" -- chroot "$LAB_DIR/debian" \
				env -i HOME=/root PATH="$PATH" LC_ALL=C DEBIAN_FRONTEND=noninteractive \
				dpkg --force-unsafe-io -i "/mnt/$next" >/dev/null 2>&1 &
			rest "0.$(printf %03d $((RANDOM % 800 + 50)))"
			kill -9 -- "-$!" 2>/dev/null && killed=$((killed + 1))
			wait $! 2>/dev/null
			[ -n "$(program wan0)" ] && [ -n "$(program bad0)" ] || { lost=$((lost + 1)); note "$i: killed, and not filtered"; }
		fi
		began=${EPOCHREALTIME/./}
		install "$next" || wrong "$i: dpkg -i $next"
		took=$(((${EPOCHREALTIME/./} - began) / 1000))
		[ $took -le $slowest ] || slowest=$took
		debian mxdp status --quiet >"$LAB_DIR/said" 2>&1 || wrong "$i: status of $next"
		[ "$(program wan0)" != "$program_was" ] || same_program=$((same_program + 1))
	done
	ends "$knocker"
	watch_end
	answered
	same "$did upgrades and downgrades, $killed more killed on the way: all were done" 0 $failed
	same 'each put its own program in the place of the other' 0 $same_program
	same 'the filter was never off' 0 $lost
	same 'nothing was let in' " 0" "$LAB_PASSED $((answered - before))"
	alive "$did upgrades and downgrades"
	t 'remove' debian dpkg -r mxdp
	not_t 'no pin is left' test -e "$MXDP_BPFFS/mxdp"
	note "the slowest installation: $slowest ms"
}
if [ "$PACKAGES" = 0 ]; then
	note 'no packages'
elif ! command -v debootstrap dpkg-buildpackage >/dev/null || ! debian_tree; then
	skip 'package upgrade and downgrade' 'no clean Debian tree can be made here: tools/install-packages deb'
elif ! debian_package || ! debian_up; then
	not_ok_line 'package upgrade and downgrade' 'no package, or no clean Debian'
else
	packages
fi

# ---- nobody noticed ----

# shellcheck disable=SC2086
ends $injectors
for s in "${held[@]}"; do
	same "no connection was cut: $s" 0 "$(stat_of "$LAB_DIR/$s" broken)"
	[ ! -s "$LAB_DIR/$s.err" ] || note "$(cat "$LAB_DIR/$s.err")"
	note "$s: $(cat "$LAB_DIR/$s")"
done
done_testing
