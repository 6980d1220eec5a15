#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Limits against real servers and clients: rates, bursts, and connections that are exactly those that ss shows.
. "$(dirname "$0")/lib.sh"

lab_up
# The two servers behind one limit, in processes of their own, and one that nobody limits
spawn mx "$LAB_BIN/talk" serve 7001; server1=$LAB_PID
spawn mx "$LAB_BIN/talk" serve 7002; server2=$LAB_PID
spawn mx "$LAB_BIN/talk" serve 7003
within 5 serves mx 7001 && within 5 serves mx 7002 && within 5 serves mx 7003 || bail 'no server'
ns stranger ip route add default via $BADMX4
for i in 1 2 3 4 5 6 7 8; do ns remote ip addr add 192.0.2.10$i/24 dev up0; ns remote ip -6 addr add 2001:db8:1:$i::1/48 dev up0 nodad preferred_lft 0; done
ns mx ip -6 route add 2001:db8:1::/48 dev wan0
ns remote ip -6 route replace 2001:db8:1::/48 dev up0

put() { rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7003' "$@"; mxdp -q apply --force || mxdp -q reload; }
# made N FROM TO PORT: so many of N connections, one after the other, each with a third of a second
made() { talk remote try -b "$2" -t 300 "$1" "$3" "$4" 2>&1 | grep -o 'made=[0-9]*' | cut -d= -f2; }
try() { talk remote try -t 300 "$@"; }

# what the kernel shows of a limit's ports; fin-wait-2 counts for as long as the server has not closed
sockets() {
	ns mx ss -Htne state established state fin-wait-1 state fin-wait-2 state close-wait state last-ack state closing \
		'( sport = :7001 or sport = :7002 )' | grep -vc 'timewait'
}
# all of the table, and what is shown of the sources that have a socket
counted() { mxdp show limits --json | sed -n 's/^ *"counted": *\([0-9]*\),*$/\1/p'; }
shown() { mxdp show limits --json | sed -n 's/^ *"connections": *\([0-9]*\),*$/\1/p' | head -n 1; }
agrees() { local a b c; a=$(counted) b=$(sockets) c=$(shown); [ "$a" = "$b" ] && [ "$a" = "$c" ]; }
exact() {
	if within 5 agrees; then ok_line "$1: $(counted) counted, as ss shows"; else
		not_ok_line "$1" "counted: $(counted)" "ss: $(sockets)" "$(mxdp show limits)" "$(ns mx ss -tn)"; fi
}

# ---- rates ----

t 'a rate is put in force' put 'allow 7001, 7002 limit 5/min'
try -b 192.0.2.101 12 $MX4 7001 >"$LAB_DIR/try" 2>&1
note "$(cat "$LAB_DIR/try")"
same 'a burst of 5, and no more' 5 "$(sed -n 's/.*made=\([0-9]*\).*/\1/p' "$LAB_DIR/try")"
not_t '... at the other port of the sentence neither' try -b 192.0.2.101 1 $MX4 7002
t '... at another port' try -b 192.0.2.101 5 $MX4 7003
t 'the next address is not held' try -b 192.0.2.102 5 $MX4 7001
try -b 2001:db8:1:1::1 9 $MX6 7001 >"$LAB_DIR/try" 2>&1
same 'IPv6: a burst of 5' 5 "$(sed -n 's/.*made=\([0-9]*\).*/\1/p' "$LAB_DIR/try")"
t '... and the next /64 is not held' try -b 2001:db8:1:2::1 5 $MX6 7001
holds 'what was too many is counted' "$(metric mxdp_dropped_packets_total reason=over-rate) >= 12"
explained() { mxdp explain tcp "$1" 7001 to $MX4 on wan0; }
t 'explain names the limit of who is held' eval "explained 192.0.2.101 | tr '\n' ' ' | grep -q 'drop.*over-rate.*allow 7001, 7002 limit 5/min.*limit 5/min: the source'"
t '... and of who is not, and takes nothing from him' eval 'for i in 1 2 3 4 5 6 7; do explained 192.0.2.103; done | grep -c "within it" | grep -qx 7'
t '... which he shows' try -b 192.0.2.103 5 $MX4 7001
t 'exempt knows no limit' mxdp exempt 192.0.2.101
t '... at once' try -b 192.0.2.101 9 $MX4 7001

# ---- connections ----

t 'connections are put in force' put 'allow 7001, 7002 connections 12'
t '... and the programs that count them are there' test -n "$(ls "$MXDP_BPFFS/mxdp/now/hear")"
spawn remote "$LAB_BIN/talk" hold -b 192.0.2.101 -e 50 -s "$LAB_DIR/a" 8 $MX4 7001; a=$LAB_PID
spawn remote "$LAB_BIN/talk" hold -b 2001:db8:1:1::1 -e 50 -s "$LAB_DIR/b" 12 $MX6 7002; b=$LAB_PID
spawn remote "$LAB_BIN/talk" hold -b 192.0.2.102 -e 50 -s "$LAB_DIR/c" 5 $MX4 7003; c=$LAB_PID
within 5 eval "[ \"\$(sockets)\" = 20 ]"
exact 'twenty are open'
same '... 8 of them of one source' 8 "$(mxdp show limits --json | grep -A1 '"source": "192.0.2.101"' | sed -n 's/.*"connections": \([0-9]*\).*/\1/p')"
t 'four more of it' try -b 192.0.2.101 4 $MX4 7002
spawn remote "$LAB_BIN/talk" hold -b 192.0.2.101 -e 50 -s "$LAB_DIR/d" 4 $MX4 7002; d=$LAB_PID
within 5 eval "[ \"\$(sockets)\" = 24 ]"
not_t 'the 13th is refused' try -b 192.0.2.101 1 $MX4 7001
not_t 'IPv6: the 13th is refused, of the same /64' try -b 2001:db8:1:1::1 1 $MX6 7001
t 'another source is not' try -b 192.0.2.102 1 $MX4 7001
holds 'what was too many is counted' "$(metric mxdp_dropped_packets_total reason=over-connections) >= 2"
same 'the exporter says it too' 24 "$(metric mxdp_limit_connections)"
kill -9 "$d"; wait "$d" 2>/dev/null
within 5 eval "[ \"\$(sockets)\" = 20 ]"
exact 'kill -9 of a client'
t '... gives its place back' try -b 192.0.2.101 1 $MX4 7001

# Of many handshakes begun at once no more end than may, but for those that the driver has in hand at once.
burst() { talk remote burst -b "$1" -t 1500 150 "$2" 7001 2>&1 | sed -n 's/made=\([0-9]*\) .*/\1/p'; }
for f in 4 6; do
	if [ $f = 4 ]; then n=$(burst 192.0.2.103 $MX4); else n=$(burst 2001:db8:1:3::1 $MX6); fi
	holds "IPv$f: 150 at once, for 12 places: 12 at least" "$n >= 12"
	holds "IPv$f: ... and not a batch of the driver's (64) more" "$n <= 12 + 64"
	note "IPv$f: 150 at once, for 12 places: $n were made"
done
exact 'and when they have gone'

# ---- what was open before ----

t 'the limit goes' put 'allow 7001, 7002'
t '... and with it, at the next change, the programs' eval 'mxdp -q reload; [ ! -e "$MXDP_BPFFS/mxdp/now/hear" ]'
t 'it comes back' put 'allow 7001, 7002 connections 12'
exact 'what was open before is counted'
t 'another number' put 'allow 7001, 7002 connections 10'
exact 'what was open before is counted under the new sentence'
not_t '... and holds' try -b 2001:db8:1:1::1 1 $MX6 7001
t 'larger tables' put 'allow 7001, 7002 connections 10' 'track socket leases 256k'
exact 'what was open before is counted in them'
t 'and back' put 'allow 7001, 7002 connections 10'
bans() { awk 'BEGIN { for (i = 0; i < 180000; i++) printf "10.%d.%d.%d for 1h\n", i / 65536, i / 256 % 256, i % 256 }'; }
t 'more bans than there was room for' eval 'bans | mxdp -q ban --stdin'
spawn remote "$LAB_BIN/talk" hold -b 192.0.2.103 -e 50 3 $MX4 7001; d=$LAB_PID
within 5 eval "[ \"\$(sockets)\" = 23 ]"
exact 'what was open before is counted beside the larger table, and what came since'
ends "$d"
within 5 eval "[ \"\$(sockets)\" = 20 ]"
exact '... and what went'
t 'detach' mxdp -q detach --all
[ ! -e "$MXDP_BPFFS/mxdp" ] && ok_line 'detach takes everything with it' || not_ok_line 'detach takes everything with it'
t 'attach' mxdp -q apply --force
exact 'what was open before the attach is counted'

# ---- bans: by connections that were made, and not by SYNs that anybody can forge ----

t 'a ban is put in force' put 'allow 7001, 7002 limit 5/min over ban 4s'
inject remote to="$LAB_MAC_WAN" src=192.0.2.104 dst=$MX4 dport=7001 flags=S count=300 rate=3000 >/dev/null
t '300 forged SYNs ban nobody' try -b 192.0.2.104 1 $MX4 7001
for f in 4 6; do
	if [ $f = 4 ]; then from=192.0.2.105 to=$MX4 beside=192.0.2.106; else from=2001:db8:1:5::1 to=$MX6 beside=2001:db8:1:6::1; fi
	t "IPv$f: five connections" try -b $from 5 $to 7001
	not_t "IPv$f: the sixth is one too many" try -b $from 2 $to 7002
	not_t "IPv$f: ... and then nothing goes, at another port neither" try -b $from 1 $to 7003
	t "IPv$f: beside it nobody is banned" try -b $beside 1 $to 7001
	t "IPv$f: the ban ends by itself" within 8 try -b $from 1 $to 7003
done
t 'many connections' put 'allow 7001, 7002 connections 6 over ban 4s'
spawn remote "$LAB_BIN/talk" hold -b 192.0.2.107 -e 50 -s "$LAB_DIR/e" 6 $MX4 7001; e=$LAB_PID
within 5 eval "[ \"\$(stat_of $LAB_DIR/e messages)\" -gt 20 ]"
at=$(stat_of "$LAB_DIR/e" messages)
t 'six may be open, and talk' within 5 eval "[ \"\$(stat_of $LAB_DIR/e messages)\" -gt $((at + 50)) ]"
not_t 'the seventh is one too many' try -b 192.0.2.107 2 $MX4 7001
sleep 0.3
at=$(stat_of "$LAB_DIR/e" messages)
sleep 1
same '... and silences the other six' "$at" "$(stat_of "$LAB_DIR/e" messages)"
t 'for as long as the ban' within 8 eval "[ \"\$(stat_of $LAB_DIR/e messages)\" -gt $at ]"
ends "$e"
t 'nobody is banned while the rules only observe' put observe 'allow 7001, 7002 limit 5/min over ban 4s'
t '... whatever comes' try -b 192.0.2.108 15 $MX4 7001

# ---- floods of real handshakes, with everything happening at once ----

t 'a higher number' put 'allow 7001, 7002 connections 400'
churn() { # clients that come and go, some of them killed
	local end=$((SECONDS + $1)) f=$2 n=0 p
	while [ $SECONDS -lt $end ]; do
		n=$((n % 8 + 1))
		src=192.0.2.10$n to=$MX4
		[ "$f" = 4 ] || { src=2001:db8:1:$n::1 to=$MX6; }
		nsenter --net="/run/netns/$LAB_ID-remote" -- "$LAB_BIN/talk" hold -b $src -e 20 $((n * 5)) $to 700$((n % 2 + 1)) >/dev/null 2>&1 &
		p=$!
		nsenter --net="/run/netns/$LAB_ID-remote" -- "$LAB_BIN/talk" try -b $src -t 300 60 $to 7001 >/dev/null 2>&1
		if [ $((n % 3)) = 0 ]; then kill -9 $p; else kill $p; fi 2>/dev/null
		wait $p 2>/dev/null
	done
}
churn 12 4 & churn4=$!
churn 12 6 & churn6=$!
spawn stranger "$LAB_BIN/inject" up0 to="$LAB_MAC_BAD" src=random dst=$BADMX4 dport=7001 flags=S count=100000 rate=10000 >/dev/null
flood=$LAB_PID
sleep 2
for n in 401 402 403 404 405 406; do put "allow 7001, 7002 connections $n" >/dev/null 2>&1; sleep 0.5; done
kill -9 "$server2"; wait "$server2" 2>/dev/null
spawn mx "$LAB_BIN/talk" serve 7002; server2=$LAB_PID
wait $churn4 $churn6; wait $flood
exact 'handshakes, kill -9 of clients and of a server, a flood of half-open ones, six reloads: all at once'
ends "$a" "$b" "$c"
within 10 eval "[ \"\$(sockets)\" = 0 ]"
exact 'when all have gone'
kill -9 "$server1"; wait "$server1" 2>/dev/null
exact 'kill -9 of the server'
same 'nothing was lost for want of room' 0 "$(metric mxdp_limit_uncounted_connections)"

done_testing
