#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# 400,000 SYNs and 400,000 ACKs from random sources: nothing of ours fills up, nobody who talks notices.
. "$(dirname "$0")/lib.sh"

lab_up
talk mx serve 7001 &
within 5 serves mx 7001
rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001'
t 'attach' mxdp apply

# The flood comes by the same wire as half of those who talk.
spawn remote "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/near4" 75 $MX4 7001; holders=$LAB_PID
spawn remote "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/near6" 50 $MX6 7001; holders="$holders $LAB_PID"
spawn stranger "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/far4" 75 $BADMX4 7001; holders="$holders $LAB_PID"
spawn stranger "$LAB_BIN/talk" hold -e 200 -s "$LAB_DIR/far6" 50 $BADMX6 7001; holders="$holders $LAB_PID"
held=(near4 near6 far4 far6)
for h in "${held[@]}"; do within 10 eval "[ \"\$(stat_of $LAB_DIR/$h messages)\" -gt 100 ]"; done
total() { for h in "${held[@]}"; do stat_of "$LAB_DIR/$h" "$1"; done | awk '{ s += $1 } END { print s + 0 }'; }
talked() { total messages; }
same '250 connections talk' 250 "$(total connections)"

# Bytes of all BPF maps of this lab
maps_bytes() {
	local ids
	ids=$(find "$MXDP_BPFFS" -type f | while read -r pin; do
		bpftool map show pinned "$pin" 2>/dev/null | sed -n 's/^\([0-9]*\):.*/\1/p'
	done)
	for i in $ids; do bpftool map show id "$i"; done | sed -n 's/.*memlock \([0-9]*\)B.*/\1/p' |
		awk '{ s += $1 } END { print s + 0 }'
}
slab_kb() { awk '/^SUnreclaim/ { print $2 }' /proc/meminfo; }
entries() { find "$MXDP_BPFFS" -type f | wc -l; }

holds 'the filter has maps' "$(maps_bytes) > 1000000"

# flood WORD FLAGS: 400,000 packets, half of each family, while new connections are being made
flood() {
	local word=$1 flags=$2 maps slab pins before seen sent pid pids
	maps=$(maps_bytes) slab=$(slab_kb) pins=$(entries) before=$(talked)
	seen=$(ns mx cat /proc/net/dev | awk '/bad0/ { print $3 }')
	pids=
	for f in 4 6; do
		dst=$BADMX4
		[ $f = 4 ] || dst=$BADMX6
		spawn stranger "$LAB_BIN/inject" up0 to="$LAB_MAC_BAD" src=random dst=$dst dport=7001 flags="$flags" \
			count=200000 rate=50000 >"$LAB_DIR/flood$f"
		pids="$pids $LAB_PID"
	done
	t "$word: new connections are made meanwhile over IPv4" talk remote try -t 10000 40 $MX4 7001
	note "$LAB_OUT"
	t "$word: ... and over IPv6" talk remote try -t 10000 40 $MX6 7001
	note "$LAB_OUT"
	t "$word: ... and on the wire the flood comes by" talk stranger try -t 10000 40 $BADMX4 7001
	note "$LAB_OUT"
	for pid in $pids; do wait "$pid"; done
	sent=$(cat "$LAB_DIR/flood4" "$LAB_DIR/flood6" | awk '{ s += $1 } END { print s }')
	same "$word: 400,000 were sent" 400000 "$sent"
	note "$(($(ns mx cat /proc/net/dev | awk '/bad0/ { print $3 }') - seen)) frames reached the relay meanwhile"
	holds "$word: who talked before goes on talking" "$(talked) > $before + 250"
	sleep 1
	same "$word: the filter's memory is what it was" "$maps bytes, $pins pins" "$(maps_bytes) bytes, $(entries) pins"
	holds "$word: no slab of the kernel grew by what 400,000 entries would take ($slab kB before, $(slab_kb) kB after)" \
		"$(slab_kb) - $slab < 16384"
}

allowed=$(metric mxdp_passed_packets_total reason=allowed)
dropped=$(metric mxdp_port_dropped_packets_total reason=no-connection)
flood 'SYN flood to an open port' S
holds 'SYN flood: nearly all reached the filter, and passed to the listener' \
	"$(metric mxdp_passed_packets_total reason=allowed) - $allowed >= 380000"
flood 'ACK flood' A
holds 'ACK flood: nearly all reached the filter, and were dropped' \
	"$(metric mxdp_port_dropped_packets_total reason=no-connection) - $dropped >= 380000"
rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001 from 192.0.2.0/24 2001:db8:1::/48'
t 'the port closes for the rest of the world' mxdp reload
dropped=$(metric mxdp_port_dropped_packets_total reason=denied)
flood_closed() {
	inject stranger to="$LAB_MAC_BAD" src=random dst=$BADMX4 dport=7001 flags=S count=400000 rate=100000
}
t '400,000 SYNs to a port closed to them' flood_closed
holds '... nearly all reached the filter, and were dropped' \
	"$(metric mxdp_port_dropped_packets_total reason=denied) - $dropped >= 380000"

sleep 0.5
# shellcheck disable=SC2086
ends $holders
for h in "${held[@]}"; do
	same "none of the connections broke: $h" 0 "$(stat_of "$LAB_DIR/$h" broken)"
	holds "... none waited for long: $h" \
		"$(stat_of "$LAB_DIR/$h" slowest_ms) < 3000 && $(stat_of "$LAB_DIR/$h" waiting_ms) < 3000"
	note "$h: $(cat "$LAB_DIR/$h")"
done
done_testing
