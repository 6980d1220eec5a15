#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Floods of a million SYNs from random sources, answered from the driver: who talks notices nothing, who comes gets in.
. "$(dirname "$0")/lib.sh"

lab_up
# a veth takes answers only where the other end polls
ns stranger ethtool -K up0 gro on
ns remote ethtool -K up0 gro on
ns mx sysctl -qw net.core.somaxconn=256 net.ipv4.tcp_max_syn_backlog=256
talk mx serve 7001 7002 7003 &
within 5 serves mx 7003
rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001 cookies auto' 'allow 7002 cookies never' \
	'allow 7003 cookies always'
t 'attach' mxdp apply
same '`always` warns where the kernel gives cookies only under pressure' 1 "$(grep -c 'tcp_syncookies=2' <<<"$LAB_OUT")"
answers() { mxdp status --json | grep -c '"answers": *true'; }
same 'both interfaces can answer' 2 "$(answers)"

nstat_of() { ns mx nstat -asz "$1" | awk -v name="$1" '$1 == name { print $2 }'; }
cookies_sent() { metric mxdp_dropped_packets_total reason=cookie-sent; }
asked() { metric mxdp_passed_packets_total reason=allowed; }

spawn remote "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/near4" 75 $MX4 7001; holders=$LAB_PID
spawn remote "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/near6" 50 $MX6 7001; holders="$holders $LAB_PID"
spawn stranger "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/far4" 75 $BADMX4 7001; holders="$holders $LAB_PID"
spawn stranger "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/far6" 50 $BADMX6 7001; holders="$holders $LAB_PID"
held=(near4 near6 far4 far6)
for h in "${held[@]}"; do within 10 eval "[ \"\$(stat_of $LAB_DIR/$h messages)\" -gt 100 ]"; done
total() { for h in "${held[@]}"; do stat_of "$LAB_DIR/$h" "$1"; done | awk '{ s += $1 } END { print s + 0 }'; }
same '250 connections talk' 250 "$(total connections)"

# visitors FILE HOST ADDRESS PORT: 100 connections, ten at a time, while the flood lasts
visitors() {
	local i
	for i in 1 2 3 4 5 6 7 8 9 10; do
		talk "$2" try -t 1000 10 "$3" "$4"
		sleep 0.5
	done >"$1"
}
made() { awk '{ sub(/made=/, "", $1); s += $1 } END { print s + 0 }' "$1"; }

# flood WORD PORT: a million SYNs, half of each family, and 400 visitors meanwhile
flood() {
	local word=$1 port=$2 before sent0 took pids= v pid seen
	before=$(total messages) sent0=$(cookies_sent)
	seen=$(ns mx cat /proc/net/dev | awk '/bad0/ { print $3 }')
	took=${EPOCHREALTIME/./}
	for f in 4 6; do
		dst=$BADMX4
		[ $f = 4 ] || dst=$BADMX6
		spawn stranger "$LAB_BIN/inject" up0 to="$LAB_MAC_BAD" src=random dst=$dst dport="$port" flags=S \
			count=500000 rate=62500 >"$LAB_DIR/flood$f"
		pids="$pids $LAB_PID"
	done
	visitors "$LAB_DIR/v.near4" remote $MX4 "$port" & pids="$pids $!"
	visitors "$LAB_DIR/v.near6" remote $MX6 "$port" & pids="$pids $!"
	visitors "$LAB_DIR/v.far4" stranger $BADMX4 "$port" & pids="$pids $!"
	visitors "$LAB_DIR/v.far6" stranger $BADMX6 "$port" & pids="$pids $!"
	for pid in $pids; do wait "$pid"; done
	took=$(((${EPOCHREALTIME/./} - took) / 1000))
	same "$word: a million were sent" 1000000 \
		"$(cat "$LAB_DIR/flood4" "$LAB_DIR/flood6" | awk '{ s += $1 } END { print s }')"
	seen=$(($(ns mx cat /proc/net/dev | awk '/bad0/ { print $3 }') - seen))
	note "$seen frames reached the relay in $took ms, $(($(cookies_sent) - sent0)) were answered from the driver"
	for v in near4 near6 far4 far6; do
		holds "$word: of 100 who come meanwhile, 99 get in within a second: $v, $(made "$LAB_DIR/v.$v") did" \
			"$(made "$LAB_DIR/v.$v") >= 99"
		note "$(tr '\n' ' ' <"$LAB_DIR/v.$v")"
	done
	holds "$word: who talked before goes on talking" "$(total messages) > $before + 250"
}

# With tcp_syncookies 1 the kernel asks for cookies when its queue of 256 is full: the flood fills it, the driver sees it
kernel0=$(nstat_of TcpExtSyncookiesSent) sent0=$(cookies_sent)
flood 'auto, tcp_syncookies 1' 7001
holds 'auto: nine of ten were answered from the driver' "$(cookies_sent) - $sent0 > 900000"
note "the kernel itself sent $(($(nstat_of TcpExtSyncookiesSent) - kernel0))"
holds 'auto: the kernel itself sent few' "$(nstat_of TcpExtSyncookiesSent) - $kernel0 < 50000"
holds 'auto: cookies came back and were taken' "$(nstat_of TcpExtSyncookiesRecv) > 50"

# What is in the queue times out; the pressure goes, and nothing more is answered here
ns mx sysctl -qw net.ipv4.tcp_synack_retries=0
quiet() {
	local before
	before=$(cookies_sent)
	talk remote try -t 1000 5 $MX4 7001 && talk remote try -t 1000 5 $MX6 7001 && [ "$(cookies_sent)" = "$before" ]
}
t 'auto: without pressure the kernel answers again' within 90 quiet

ns mx sysctl -qw net.ipv4.tcp_syncookies=2
sent0=$(cookies_sent) kernel0=$(nstat_of TcpExtSyncookiesSent)
flood 'always, tcp_syncookies 2' 7003
holds 'always: all but those of odd shape were answered from the driver' "$(cookies_sent) - $sent0 > 999000"
holds 'always: the kernel itself sent next to none' "$(nstat_of TcpExtSyncookiesSent) - $kernel0 < 100"

sent0=$(cookies_sent)
t 'never: the kernel sends them' talk remote try -t 1000 20 $MX4 7002
same 'never: nothing from the driver' "$sent0" "$(cookies_sent)"

# ---- what a connection keeps of its options ----

# options NAME PORT: as ss shows them for a connection from the remote site
established() { ns mx ss -tinoH -O state established "( sport = :$1 )" dst $REMOTE4; }
options() {
	local before
	before=$(established "$2" | awk '{ printf " %s ", $4 }')
	session "$1" talk remote pipe $MX4 "$2"
	session_asks "$1" hello hello || return
	established "$2" | awk -v before="$before" 'index(before, " " $4 " ") == 0 {
		$0 = " " $0; print ($0 ~ /[ \t]ts /) " " ($0 ~ /[ \t]sack /) " " ($0 ~ /wscale:/) }'
}
same 'timestamps, SACK, window scale by a cookie of the kernel: all kept' '1 1 1' "$(options a 7002)"
same '... by a cookie from the driver: none, for timestamps have a secret offset' '0 0 0' "$(options b 7003)"
ns mx sysctl -qw net.ipv4.tcp_timestamps=2
t 'reload' mxdp reload
same '... from the driver, with net.ipv4.tcp_timestamps 2: all kept' '1 1 1' "$(options c 7003)"

# ---- where it cannot work ----

sleep 0.5
# shellcheck disable=SC2086
ends $holders
for h in "${held[@]}"; do
	same "none of the connections broke: $h" 0 "$(stat_of "$LAB_DIR/$h" broken)"
	holds "... none waited for long: $h" \
		"$(stat_of "$LAB_DIR/$h" slowest_ms) < 3000 && $(stat_of "$LAB_DIR/$h" waiting_ms) < 3000"
	note "$h: $(cat "$LAB_DIR/$h")"
done

t 'detach' mxdp detach
ns stranger ethtool -K up0 gro off
t 'attach, and the other end of a veth does not poll' mxdp apply
same '... that interface answers nothing' 1 "$(answers)"
t '... status says so, and what helps' grep -q 'gro on' <(mxdp status)
sent0=$(cookies_sent)
t '... and the kernel answers' talk stranger try -t 1000 20 $BADMX4 7003
same '... as many as came' "$sent0" "$(cookies_sent)"
ns mx sysctl -qw net.ipv4.tcp_syncookies=0
t 'cookies switched off in the kernel: a warning' grep -q 'tcp_syncookies=1' <(mxdp status)
done_testing
