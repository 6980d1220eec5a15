#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# observe counts what would be dropped and drops nothing; enforce drops it.
. "$(dirname "$0")/lib.sh"

lab_up
talk mx serve 7001 7002 &
within 5 serves mx 7002
rules 'interface wan0' 'default deny' 'observe' 'allow 7001'
t 'attach, observing' mxdp apply
t 'status says so' eval "mxdp status | grep -qi observ"
for relay in $MX4 $MX6; do
	t "observing: an allowed port answers: $relay" talk remote try 1 $relay 7001
	t "observing: a closed port answers too: $relay" talk remote try 1 $relay 7002
done
t 'a blocked source is heard' eval "mxdp block $REMOTE4B && talk remote try -b $REMOTE4B 1 $MX4 7001"
watch_begin wan0
inject remote to="$LAB_MAC_WAN" src=$REMOTE4 dst=$MX4 dport=7002 flags=SF id=5 count=10 >/dev/null
inject remote to="$LAB_MAC_WAN" src=$REMOTE6 dst=$MX6 dport=7002 flags=A split=8 id=6 count=10 >/dev/null
watch_end
same 'frames that no rule could let in pass, every fragment of them' '5 10
6 30' "$LAB_PASSED"
same 'nothing was dropped' 0 "$(metric mxdp_port_dropped_packets_total)"
holds 'but what would have been was counted' "$(metric mxdp_observed_packets_total) >= 22"
t 'show drops names the ports that it would drop' eval "mxdp show drops | grep -E '^7002 .* other +0 +0 B +[0-9]+ +[1-9]'"
t '... and so does the count of the port' eval "mxdp show counters 7002 | grep -E 'port +7002 +[0-9]+ +[0-9.]+ [A-Za-z]+ +0 +0 B +[1-9]'"

t 'a range that names the port takes it in' mxdp allow any from 203.0.113.5
t '... and its counts stand under the service that judges it' eval "mxdp show drops | grep -E '^7002 .* any '"
mxdp -q delete allow any from 203.0.113.5

t 'enforce' mxdp enforce
not_t 'the file no longer says observe' grep -q '^observe' "$MXDP_CONFIG"
for relay in $MX4 $MX6; do
	t "enforcing: an allowed port answers: $relay" talk remote try 1 $relay 7001
	not_t "enforcing: a closed port is silent: $relay" talk remote try -t 400 1 $relay 7002
done
not_t 'the blocked source is silent' talk remote try -b $REMOTE4B -t 400 1 $MX4 7001
t 'a port that a rule named once' eval 'mxdp -q allow 7003 && mxdp -q delete allow 7003'
not_t '... is knocked on' talk remote try -t 400 1 $MX4 7003
t '... and its knocks are shown' eval "mxdp show counters 7003 | grep -E 'port +7003 +0 +0 B +[1-9]'"
t 'observe again, for the moment' mxdp observe --runtime
t 'the closed port answers' talk remote try 1 $MX4 7002
not_t '... and the file does not know' grep -q '^observe' "$MXDP_CONFIG"
t 'reload brings back what the file says' mxdp reload
not_t 'the closed port is silent' talk remote try -t 400 1 $MX4 7002
done_testing
