#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The export is what promtool accepts, and its sums are what was sent.
. "$(dirname "$0")/lib.sh"

lab_up
# nobody but the injector may send: no neighbour discovery, no listener reports, no resets in answer
ns stranger sysctl -qw net.ipv6.conf.up0.disable_ipv6=1
ns mx ip neigh replace $STRANGER4 lladdr 02:6d:78:64:00:01 dev bad0
rules 'interface bad0' 'default deny' 'allow smtp' 'allow imaps from 198.51.100.0/24' \
	'block 198.51.100.99' 'allow 9999 from 203.0.113.1'
t 'attach' mxdp apply
sleep 1

accepted() { mxdp export >"$LAB_DIR/export" && promtool check metrics <"$LAB_DIR/export"; }
t 'promtool accepts an export of nothing' accepted
same '... and has no advice' '' "$LAB_OUT"

received_before=$(metric mxdp_received_packets_total interface=bad0)
bytes_before=$(metric mxdp_received_bytes_total interface=bad0)
rx_before=$(ns mx cat /proc/net/dev | awk '/bad0/ { print $3 }')
sent=0
# send COUNT KEY=VALUE...
send() {
	sent=$((sent + $1))
	inject stranger to="$LAB_MAC_BAD" rate=20000 count="$1" "${@:2}" >/dev/null || echo "cannot send $*"
}
a="src=$STRANGER4 dst=$BADMX4" b="src=$STRANGER6 dst=$BADMX6"
# shellcheck disable=SC2086
{
	send 1000 $a dport=25 flags=S
	send 1100 $b dport=25 flags=S
	send 1200 $a dport=993 flags=S
	send 1300 $b dport=993 flags=S
	send 1400 $a dport=3306 flags=S
	send 1500 $b dport=3306 flags=S tag=8100:5
	send 1600 $a dport=25 flags=A
	send 1700 $b dport=993 flags=A data=100
	send 1800 $a dport=25 flags=SF
	send 1900 src=198.51.100.99 dst=$BADMX4 dport=25 flags=S
	send 2000 $a dport=53 proto=udp data=20
	send 2100 $b dport=53 proto=udp
	send 2200 $a dport=1-65000 flags=S sport=1234
	send 300 $a dport=25 flags=S tag=8100:1 tag=8100:2 tag=8100:3
	send 400 $b dport=25 flags=S split=8 data=4
}
# the last one goes as three frames each
sent=$((sent + 800))

moved() { [ "$(($(metric mxdp_received_packets_total interface=bad0) - received_before))" -ge $sent ]; }
t 'everything sent was seen' within 5 moved
sleep 0.3
same 'received is what was sent, to the packet' $sent \
	"$(($(metric mxdp_received_packets_total interface=bad0) - received_before))"
same '... and what the kernel says the interface received' \
	"$(($(ns mx cat /proc/net/dev | awk '/bad0/ { print $3 }') - rx_before))" \
	"$(($(metric mxdp_received_packets_total interface=bad0) - received_before))"
holds 'bytes are counted too' "$(metric mxdp_received_bytes_total interface=bad0) - $bytes_before > 54 * $sent"
t 'promtool accepts the export' accepted
same '... and has no advice' '' "$LAB_OUT"
not_t 'no sample names a source address' eval "grep -v '^#' $LAB_DIR/export | grep -E '198\.51\.100|2001:db8'"
not_t 'no sample has a timestamp' eval "grep -v '^#' $LAB_DIR/export | grep -E '(}|^[a-z_]+) [0-9.e+-]+ [0-9]'"

same 'passed and dropped together are what was received' "$(metric mxdp_received_packets_total)" \
	"$(($(metric mxdp_passed_packets_total) + $(metric mxdp_dropped_packets_total)))"
same '... in bytes too' "$(metric mxdp_received_bytes_total)" \
	"$(($(metric mxdp_passed_bytes_total) + $(metric mxdp_dropped_bytes_total)))"

# counted WORD WANTED NAME LABEL=VALUE...
counted() { same "$1" "$2" "$(metric "${@:3}")"; }
counted 'port 25 passed, IPv4' 1001 mxdp_port_passed_packets_total port=25 family=ipv4
counted 'port 25 passed, IPv6' 1100 mxdp_port_passed_packets_total port=25 family=ipv6
counted 'port 993 passed, IPv4' 1201 mxdp_port_passed_packets_total port=993 family=ipv4
counted 'port 993 passed, IPv6' 0 mxdp_port_passed_packets_total port=993 family=ipv6
counted 'port 993 denied, IPv6' 1300 mxdp_port_dropped_packets_total port=993 family=ipv6 reason=denied
counted 'ports nobody may open' 3598 mxdp_port_dropped_packets_total port=other family=ipv4 reason=closed
counted '... tagged, over IPv6' 1500 mxdp_port_dropped_packets_total port=other family=ipv6 reason=closed
counted 'ACKs of no connection, IPv4' 1600 mxdp_port_dropped_packets_total port=25 family=ipv4 reason=no-connection
counted 'ACKs of no connection, IPv6' 1700 mxdp_port_dropped_packets_total port=993 family=ipv6 reason=no-connection
counted 'flags that no TCP sends' 1800 mxdp_port_dropped_packets_total port=25 reason=bad-flags
counted 'a blocked source' 1900 mxdp_port_dropped_packets_total port=25 reason=blocked
counted 'UDP, IPv4' 2000 mxdp_passed_packets_total family=ipv4 reason=not-tcp
counted 'UDP, IPv6' 2100 mxdp_passed_packets_total family=ipv6 reason=not-tcp
counted 'three tags' 300 mxdp_dropped_packets_total reason=vlan-depth
counted 'first fragments too small' 400 mxdp_dropped_packets_total reason=fragment-tiny
counted 'later fragments' 800 mxdp_dropped_packets_total reason=fragment

# ---- what is counted stays counted ----
passed=$(metric mxdp_passed_packets_total) dropped=$(metric mxdp_dropped_packets_total)
t 'a rule is added' mxdp allow 2525
t 'a rule is taken away' mxdp delete allow 9999 from 203.0.113.1
t 'reload' mxdp reload
same 'no change of rules changes a counter' "$passed $dropped" \
	"$(metric mxdp_passed_packets_total) $(metric mxdp_dropped_packets_total)"

# ---- for node_exporter's textfile collector, and for programs ----
mkdir "$LAB_DIR/textfile"
t 'export to a file' mxdp export --output "$LAB_DIR/textfile/mxdp.prom"
t '... promtool accepts it' eval "promtool check metrics <$LAB_DIR/textfile/mxdp.prom"
same '... any user may read it' 644 "$(stat -c %a "$LAB_DIR/textfile/mxdp.prom")"
same '... and nothing else lies there' mxdp.prom "$(ls -A "$LAB_DIR/textfile")"
before=$(stat -c %i "$LAB_DIR/textfile/mxdp.prom")
t 'again' mxdp export --output "$LAB_DIR/textfile/mxdp.prom"
t '... replaces it by rename' eval "[ $before != \$(stat -c %i $LAB_DIR/textfile/mxdp.prom) ]"
t 'export as JSON is JSON' eval "mxdp export --format json | perl -MJSON::PP -0777 -ne 'decode_json(\$_)'"
done_testing
