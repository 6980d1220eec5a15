#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# block cuts at the next packet; deny leaves open connections alone and refuses new ones.
. "$(dirname "$0")/lib.sh"

lab_up
talk mx serve 7001 &
within 5 serves mx 7001
rules 'interface wan0' 'default deny' 'allow 7001'
t 'attach' mxdp apply

# peer FAMILY ADDRESS NEIGHBOUR RELAY
peer() {
	local f=$1 bad=$2 good=$3 relay=$4 at pids
	spawn remote "$LAB_BIN/talk" hold -b "$bad" -e 10 -s "$LAB_DIR/bad$f" 4 "$relay" 7001; pids=$LAB_PID
	spawn remote "$LAB_BIN/talk" hold -b "$good" -e 10 -s "$LAB_DIR/good$f" 4 "$relay" 7001; pids="$pids $LAB_PID"
	said() { stat_of "$LAB_DIR/$1$f" messages; }
	t "IPv$f: both talk" within 5 eval "[ \"\$(said bad)\" -gt 50 ] && [ \"\$(said good)\" -gt 50 ]"

	t "IPv$f: deny" mxdp deny 7001 from "$bad"
	at=$(said bad)
	t "IPv$f: the open connections go on" within 5 eval "[ \"\$(said bad)\" -gt $((at + 100)) ]"
	not_t "IPv$f: the next SYN is refused" talk remote try -b "$bad" -t 400 1 "$relay" 7001
	t "IPv$f: ... of that source alone" talk remote try -b "$good" 1 "$relay" 7001
	t "IPv$f: the denial is taken back" mxdp delete deny 7001 from "$bad"
	t "IPv$f: ... and a new connection is made" talk remote try -b "$bad" 1 "$relay" 7001

	watch_begin wan0
	t "IPv$f: ping is answered" ns remote ping -c 1 -W 2 -I "$bad" "$relay"
	t "IPv$f: block" mxdp block "$bad"
	# what the client had in hand when the block came into force is written within one tenth of a second
	sleep 0.25
	at=$(said bad)
	inject remote to="$LAB_MAC_WAN" src="$bad" dst="$relay" dport=7001 flags=A count=50 id=77 >/dev/null
	sleep 1
	same "IPv$f: not one message more" "$at" "$(said bad)"
	inject remote to="$LAB_MAC_WAN" src="$good" dst="$relay" dport=7001 flags=S id=78 >/dev/null
	watch_end
	same "IPv$f: not one frame more" '78 1' "$LAB_PASSED"
	holds "IPv$f: the client waits" "$(stat_of "$LAB_DIR/bad$f" waiting_ms) >= 900"
	not_t "IPv$f: no new connection" talk remote try -b "$bad" -t 400 1 "$relay" 7001
	not_t "IPv$f: no ping" ns remote ping -c 1 -W 1 -I "$bad" "$relay"
	at=$(said good)
	t "IPv$f: its neighbour goes on" within 5 eval "[ \"\$(said good)\" -gt $((at + 50)) ]"
	at=$(said bad)
	t "IPv$f: the block is taken back" mxdp delete block "$bad"
	t "IPv$f: the same connections talk again" within 10 eval "[ \"\$(said bad)\" -gt $((at + 20)) ]"
	# shellcheck disable=SC2086
	ends $pids
	same "IPv$f: nothing broke" '0 0' "$(stat_of "$LAB_DIR/bad$f" broken) $(stat_of "$LAB_DIR/good$f" broken)"
}

peer 4 $REMOTE4B $REMOTE4 $MX4
peer 6 $REMOTE6B $REMOTE6 $MX6

# a sentence that came by the command line is in the file, and in force after a reload
t 'block by list' mxdp list junk $REMOTE4B
t '... and a sentence that uses it' mxdp block @junk
not_t '... cuts' talk remote try -b $REMOTE4B -t 400 1 $MX4 7001
t 'the file says so' grep -q '^block @junk' "$MXDP_CONFIG"
t 'reload' mxdp reload
not_t 'still cut' talk remote try -b $REMOTE4B -t 400 1 $MX4 7001
t 'exempt is stronger than block' mxdp exempt $REMOTE4B
t '... and the source is heard' talk remote try -b $REMOTE4B 1 $MX4 7001
done_testing
