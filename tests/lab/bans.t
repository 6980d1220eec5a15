#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Bans: bite on the next packet of an open connection, end to the second with nothing running, have owners, outlive everything but
# a reboot, and that by save and restore; a million of them; a feed that is killed.
. "$(dirname "$0")/lib.sh"

lab_up
export MXDP_STATE=$LAB_DIR/state
talk mx serve 7001 7002 &
within 5 serves mx 7002
rules 'interface wan0' 'default deny' 'admin 7002 from 192.0.2.99' 'exempt 192.0.2.100' 'allow 7001, 7002'
t 'attach' mxdp apply

left() { mxdp show bans --json | sed -n "/\"prefix\": \"${1//\//\\/}\"/,/remaining/ s/.*\"remaining_seconds\": \([0-9]*\).*/\1/p" | head -1; }
bans() { mxdp show bans "$@" --json | sed -n 's/^  "total": \([0-9]*\).*/\1/p'; }
hears() { talk remote try -b "$1" -t 400 1 "$2" "${3:-7001}"; }

# ---- an open connection ----
# peer FAMILY BANNED NEIGHBOUR RELAY
peer() {
	local f=$1 bad=$2 good=$3 relay=$4 at pids
	spawn remote "$LAB_BIN/talk" hold -b "$bad" -e 10 -s "$LAB_DIR/bad$f" 4 "$relay" 7001; pids=$LAB_PID
	spawn remote "$LAB_BIN/talk" hold -b "$good" -e 10 -s "$LAB_DIR/good$f" 4 "$relay" 7001; pids="$pids $LAB_PID"
	said() { stat_of "$LAB_DIR/$1$f" messages; }
	t "IPv$f: both talk" within 5 eval "[ \"\$(said bad)\" -gt 50 ] && [ \"\$(said good)\" -gt 50 ]"
	watch_begin wan0
	t "IPv$f: ban" mxdp ban "$bad/$((f == 4 ? 32 : 128))" for 1h
	inject remote to="$LAB_MAC_WAN" src="$bad" dst="$relay" dport=7001 flags=A count=50 id=77 >/dev/null
	sleep 0.25
	at=$(said bad)
	sleep 1
	same "IPv$f: not one message more" "$at" "$(said bad)"
	inject remote to="$LAB_MAC_WAN" src="$good" dst="$relay" dport=7001 flags=S id=78 >/dev/null
	watch_end
	same "IPv$f: not one frame more, from the first behind the command" '78 1' "$LAB_PASSED"
	not_t "IPv$f: no new connection" hears "$bad" "$relay"
	not_t "IPv$f: no ping" ns remote ping -c 1 -W 1 -I "$bad" "$relay"
	t "IPv$f: query says yes" mxdp query ban "$bad"
	at=$(said good)
	t "IPv$f: its neighbour goes on" within 5 eval "[ \"\$(said good)\" -gt $((at + 50)) ]"
	at=$(said bad)
	t "IPv$f: unban" mxdp unban "$bad"
	t "IPv$f: the same connections talk again" within 15 eval "[ \"\$(said bad)\" -gt $((at + 20)) ]"
	not_t "IPv$f: query says no" mxdp query ban "$bad"
	t "IPv$f: a ban of another port" mxdp ban "$bad/$((f == 4 ? 32 : 128))" port 7002
	not_t "IPv$f: ... refuses that port" hears "$bad" "$relay" 7002
	at=$(said bad)
	t "IPv$f: ... and lets this connection talk" within 5 eval "[ \"\$(said bad)\" -gt $((at + 20)) ]"
	t "IPv$f: unban" mxdp unban "$bad"
	# shellcheck disable=SC2086
	ends $pids
	same "IPv$f: nothing broke" '0 0' "$(stat_of "$LAB_DIR/bad$f" broken) $(stat_of "$LAB_DIR/good$f" broken)"
}
peer 4 $REMOTE4B $REMOTE4 $MX4
peer 6 $REMOTE6B $REMOTE6 $MX6

# ---- the end, with nothing running ----
ends_at() {
	local id=0 begun=${EPOCHREALTIME/./} first=
	declare -A sent
	watch_begin wan0
	mxdp -q ban 192.0.2.50 for "$1" || return
	local banned=${EPOCHREALTIME/./}
	while ((${EPOCHREALTIME/./} - banned < ($1 + 1) * 1000000)); do
		id=$((id + 1))
		sent[$id]=${EPOCHREALTIME/./}
		inject remote to="$LAB_MAC_WAN" src=192.0.2.50 dst=$MX4 dport=7001 flags=S id=$id >/dev/null
		sleep 0.05
	done
	watch_end
	first=$(head -1 <<<"$LAB_PASSED" | cut -d' ' -f1)
	echo "begun $begun, banned $banned, $id frames, the first that passed: $first"
	[ -n "$first" ] || return
	echo "it went $((sent[$first] - banned)) us behind the end of the command, $((sent[$first] - begun)) behind its beginning"
	# not before the time is over, and within half a second of it
	((sent[$first] - begun >= $1 * 1000000 - 100000 && sent[$first] - banned <= $1 * 1000000 + 500000))
}
t 'a ban of three seconds ends after three seconds, with nothing running' ends_at 3

# ---- owners ----
mxdp -q ban $REMOTE4B for 1h source f2b-dovecot
mxdp -q ban $REMOTE4B for 1w source f2b-recidive reason 'again and again'
t 'an owner lifts his ban' mxdp unban $REMOTE4B source f2b-dovecot
t '... is told that another covers it' grep -q 'still covered by a ban of 192.0.2.21 for .* (source f2b-recidive)' <<<"$LAB_OUT"
not_t '... and it holds' hears $REMOTE4B $MX4
t 'not banned is no failure' mxdp unban $REMOTE4B source f2b-dovecot
t '... but said' grep -q 'was not banned by source f2b-dovecot' <<<"$LAB_OUT"
t 'banned again is no failure' mxdp ban $REMOTE4B for 2w source f2b-recidive
same '... and one ban' 1 "$(bans)"
t 'flush lifts those of one owner' mxdp flush bans source nobody
same '... of nobody none' 1 "$(bans)"
t 'flush of the owner' mxdp flush bans source f2b-recidive
t '... and the source is heard' hears $REMOTE4B $MX4

# ---- what is not banned ----
not_t 'an exempt source' mxdp ban 192.0.2.100
t '... the sentence and its place are named' grep -q "exempt 192.0.2.100.*mxdp.conf:4" <<<"$LAB_OUT"
not_t 'an admin source, in a larger prefix' mxdp ban 192.0.2.96/28
t '... the sentence and its place are named' grep -q "admin 7002 from 192.0.2.99.*mxdp.conf:3" <<<"$LAB_OUT"
not_t 'a large part of the internet' mxdp ban 198.0.0.0/8
t '... with --force' mxdp ban 198.0.0.0/8 --force
not_t 'the address one came from' env SSH_CONNECTION='203.0.113.5 4 192.0.2.10 22' nsenter --net="/run/netns/$LAB_ID-mx" "$MXDP" ban 203.0.113.0/24
t '... for a port that is not SSH' env SSH_CONNECTION='203.0.113.5 4 192.0.2.10 22' nsenter --net="/run/netns/$LAB_ID-mx" "$MXDP" ban 203.0.113.0/24 port smtp
same 'nothing else was banned' 2 "$(bans)"
mxdp -q flush bans
same 'without bans nothing is looked up' 0 "$(bans)"

# ---- what they outlive ----
mxdp -q ban $REMOTE4B for 1h
mxdp -q ban $REMOTE6B for 1h reason 'its whole /64'
still() { t "$1: still banned" eval "! hears $REMOTE4B $MX4 && ! hears $REMOTE6B $MX6 && [ \"\$(bans)\" = 2 ]"; }
t 'reload' mxdp reload; still reload
t 'a list that needs larger tables' eval 'awk "BEGIN { for (i = 0; i < 60000; i++) printf \"%d.%d.%d.0/24\n\", 130 + i % 40, i / 40 % 250, i / 7 % 250 }" | sort -u >"$LAB_DIR/mxdp/many.txt" && mxdp list many file "$LAB_DIR/mxdp/many.txt" && mxdp block @many'
still 'larger tables'
t 'another interface' mxdp attach bad0; still 'another interface'
t 'off the first, on again' eval 'mxdp detach wan0 && mxdp attach wan0'; still 'another attach'
t 'observe and enforce' eval 'mxdp observe && mxdp enforce'; still enforce
mxdp -q delete block @many
mxdp -q detach bad0

# ---- a reboot ----
t 'save' mxdp save
was=$(left $REMOTE4B)
t 'the last interface, and all is gone' mxdp detach
sleep 2
# ten minutes pass while the machine is off
awk -v CONVFMT=%.3f -v OFMT=%.3f '{ for (i = 1; i < NF; i++) if ($i == "until" && $(i + 1) != "forever") $(i + 1) -= 600 } 1' "$MXDP_STATE/bans" >"$LAB_DIR/later" &&
	cp "$LAB_DIR/later" "$MXDP_STATE/bans"
echo '198.51.100.1 until 1700000000 port any source hand' >>"$MXDP_STATE/bans"
t 'it comes up' mxdp apply
t 'nothing is banned' hears $REMOTE4B $MX4
t 'restore' mxdp restore
t '... what had ended stays out' grep -q 'restored 2 bans.*1 had expired' <<<"$LAB_OUT"
still restore
now=$(left $REMOTE4B)
holds "with the time that is left: $was before, $now now" "$was - $now >= 601 && $was - $now <= 615"
t 'restored twice is the same' eval 'mxdp restore && [ "$(bans)" = 2 ]'
t 'the reason came along' eval 'mxdp show bans | grep -q "its whole /64"'
t 'without a file there is nothing to restore' mxdp restore --state "$LAB_DIR/none"
mxdp -q flush bans

# ---- feeds ----
feed() {
	mkfifo "$LAB_DIR/feed"
	nsenter --net="/run/netns/$LAB_ID-mx" "$MXDP" ban --stdin source crowd <"$LAB_DIR/feed" >"$LAB_DIR/feed.out" 2>&1 &
	LAB_PID=$!
	exec 9>"$LAB_DIR/feed"
}
feed
echo '{"action":"add","duration":"3h59m51.3s","origin":"CAPI","scenario":"crowdsecurity/smtp-bf","scope":"Ip","type":"ban","value":"'$REMOTE4B'"}' >&9
t 'a line of a feed that stays open is in force at once' within 2 mxdp query ban $REMOTE4B
not_t '... and cuts' hears $REMOTE4B $MX4
printf '{"action":"del","scope":"Ip","value":"%s"}\n{"action":"add","scope":"Country","value":"XX"}\n' $REMOTE4B >&9
t '... so is the next' within 2 eval "! mxdp query ban $REMOTE4B"
exec 9>&-
wait "$LAB_PID"
same 'a line that cannot be: exit status 4' 4 $?
t '... its number' grep -q 'standard input:3: .*Country XX' "$LAB_DIR/feed.out"

awk 'BEGIN { for (i = 0; i < 20000; i++) printf "10.%d.%d.%d for 1h source f2b reason %d failures\n", i / 40000, i / 200 % 200, i % 200 + 1, i % 5 + 3 }' >"$LAB_DIR/20k"
talk remote hold -e 20 -s "$LAB_DIR/steady" 20 $MX4 7001 2>/dev/null &
within 5 eval '[ "$(stat_of "$LAB_DIR/steady" messages)" -gt 20 ]'
killed_feeds() {
	local i n=0
	for i in 1 2 3 4 5 6 7 8 9 10 11 12; do
		nsenter --net="/run/netns/$LAB_ID-mx" "$MXDP" -q ban --stdin <"$LAB_DIR/20k" &
		LAB_PID=$!
		sleep 0.0$((RANDOM % 10))$((RANDOM % 10))
		kill -9 "$LAB_PID" 2>/dev/null && n=$((n + 1))
		wait "$LAB_PID" 2>/dev/null
		mxdp -q ban 203.0.113.$i || return
		mxdp query ban 203.0.113.$i >/dev/null || return
	done
	echo "$n of 12 were killed"
	[ $n -gt 0 ]
}
t 'feeds are killed at any moment' killed_feeds
t 'the next one is done' mxdp -q ban --stdin <"$LAB_DIR/20k"
same 'all of it is banned' 20012 "$(bans)"
t 'one of it' mxdp query ban 10.0.99.100
t 'flush' mxdp flush bans
same 'nothing is banned' 0 "$(bans)"
t 'nothing was left claimed: all of it fits again' mxdp -q ban --stdin <"$LAB_DIR/20k"
same 'all of it, once more' 20000 "$(bans)"
mxdp -q flush bans
same 'who was never banned talked all the while' 0 "$(stat_of "$LAB_DIR/steady" broken)"

# ---- a million ----
awk 'BEGIN { for (i = 0; i < 1000000; i++) printf "%d.%d.%d.%d for 1d\n", 20 + i / 4000000, i / 15625 % 256, i / 125 % 125, i % 125 }' >"$LAB_DIR/million"
begun=${EPOCHREALTIME/./}
t 'a million bans' mxdp -q ban --stdin <"$LAB_DIR/million"
note "loaded in $(((${EPOCHREALTIME/./} - begun) / 1000)) ms"
begun=${EPOCHREALTIME/./}
mxdp show bans >"$LAB_DIR/listed"
note "listed in $(((${EPOCHREALTIME/./} - begun) / 1000)) ms; $(mxdp status | grep memory)"
same 'each is listed' 1000000 "$(grep -c '^20\.' "$LAB_DIR/listed")"
same '... once' 1000000 "$(cut -d' ' -f1 "$LAB_DIR/listed" | sort -u | wc -l)"
# as one document it took 2.3 GB once
same '... as JSON too, in half a gigabyte of addresses' 1000000 \
	"$(ulimit -v 512000; mxdp show bans --json | grep -c '^      "prefix": ')"
t 'one more' mxdp ban $REMOTE4B
not_t '... cuts' hears $REMOTE4B $MX4
t '... its neighbour is heard' hears $REMOTE4 $MX4
t 'save them' mxdp save
same 'each is saved' 1000001 "$(grep -c until "$MXDP_STATE/bans")"
t 'flush them' mxdp flush bans
t 'the one is heard' hears $REMOTE4B $MX4
same 'who was never banned talked all the while' 0 "$(stat_of "$LAB_DIR/steady" broken)"
done_testing
