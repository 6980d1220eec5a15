#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# doctor: what it finds, and that it says what to do.
. "$(dirname "$0")/lib.sh"

lab_up
# finds REGEX, and what it says to do: the next line
finds() { mxdp doctor >"$LAB_DIR/said" 2>&1; grep -Eq -- "$1" "$LAB_DIR/said" || { cat "$LAB_DIR/said"; false; }; }
misses() { mxdp doctor >"$LAB_DIR/said" 2>&1; ! grep -E -- "$1" "$LAB_DIR/said"; }
advises() { grep -A1 -E -- "$1" "$LAB_DIR/said" | grep -Eq -- "-> .*$2" || { cat "$LAB_DIR/said"; false; }; }
code() { mxdp doctor >/dev/null 2>&1; echo $?; }

same 'not loaded: exit 3' 3 "$(code)"
t 'not loaded: said' finds 'BAD .*NOTHING IS FILTERED'
t '... with what begins, where there is no rules file yet' advises 'NOTHING IS FILTERED' 'mxdp attach INTERFACE'

talk mx serve 25 7001 7003 &
within 5 serves mx 7003
rules 'interface wan0' 'default deny' 'allow smtp' 'allow 7001, 7002' 'allow 7100-7200'
t 'apply' mxdp apply
t 'the kernel' finds '^ok .*Linux [0-9]'
t 'the interface' finds '^ok .*wan0 is filtered in native mode, driver veth'
t 'no admin sentence' finds 'WARNING no `admin` sentence'
t '... and what to do' advises 'no `admin`' 'mxdp admin ssh'
t 'a port that nobody serves' finds 'WARNING the rules open port 7002, and nobody listens'
t 'a range is no promise' misses 'ports? 71[0-9][0-9]'
t 'a listener that nobody can reach' finds 'note .*listens on port 7003, and the rules let nobody in'
t '... and what to do' advises 'port 7003' 'mxdp allow 7003'
t 'port 25 hears nothing: a provider may block it' finds 'WARNING port 25 .*not one SYN'
t 'somebody comes' talk remote try 1 $MX4 25
t 'port 25 hears somebody' finds '^ok .*port 25 .*1 connection was let in'
same 'something should be done: exit 1' 1 "$(code)"

mxdp -q allow 7003
t 'the file says what is in force' finds '^ok .*says what is in force'
mxdp -q --runtime deny 7003 from 203.0.113.9
t 'it differs' finds 'WARNING .*differs from what is in force: 0 only in the file, 1 only in force'
t '... and what to do' advises 'differs from' 'mxdp diff'
mxdp -q reload
echo 'alow 7004' >>"$MXDP_CONFIG"
t 'the file has an error' finds 'WARNING .*has an error'
sed -i '$d' "$MXDP_CONFIG"

t 'on trial' mxdp -q reload --confirm 30s
t '... is mentioned' finds 'WARNING the policy is on trial'
t '... and what to do' advises 'on trial' 'mxdp confirm'
t 'confirmed' mxdp -q confirm
t '... nothing is on trial' misses 'on trial'

# ---- check: what is probably not meant ----

printf '%s\n' 'interface wan0' 'default deny' 'admin ssh from 203.0.113.7' 'allow smtp' 'allow imap, imaps' 'allow smtp from 192.0.2.0/24' \
	'deny smtp from 192.0.2.0/24' 'allow pop3 from 192.0.2.0/24' >"$LAB_DIR/lint.conf"
lint() { mxdp check "$LAB_DIR/lint.conf" 2>&1; }
t 'check: a sentence that never decides' eval 'lint | grep -Eq "lint.conf:6:1: .allow smtp from 192.0.2.0/24. never decides"'
not_t '... only that one' eval 'lint | grep "never decides" | grep -v ":6:1"'
t 'check: a port in clear text open to everybody' eval 'lint | grep -Eq "lint.conf:5:1: port 143 is open to everybody"'
not_t '... not one that is open to few' eval 'lint | grep "port 110"'

# ---- who else filters behind us ----

for tool in iptables-legacy iptables-nft; do
	t "$tool: rules that refuse port 25" eval "ns mx $tool -A INPUT -p tcp --dport 7001 -j ACCEPT && ns mx $tool -A INPUT -p tcp --dport 25 -j DROP"
	t "... found" finds "WARNING port 25 is open in mxdp, and $tool-save behind it refuses new IPv4 connections.*-A INPUT -p tcp.*--dport 25 -j DROP"
	t '... not the port that it lets in' misses "port 7001 is open in mxdp, and $tool"
	ns mx $tool -F INPUT
	t "... gone" misses "port 25 is open in mxdp, and $tool"
done
t 'ip6tables: a default that refuses' ns mx ip6tables-legacy -P INPUT DROP
t '... found, for IPv6' finds 'WARNING port 25 is open in mxdp, and ip6tables-legacy-save behind it refuses new IPv6 connections to it, by its default'
ns mx ip6tables-legacy -P INPUT ACCEPT
t 'nft: a set of ports' ns mx nft -f - <<'END'
table inet mail { chain in { type filter hook input priority 0; policy drop; ct state established,related accept; tcp dport { 25, 7002, 7003 } accept; }; }
END
t '... found' finds 'WARNING port 7001 is open in mxdp, and nft behind it refuses new IPv4'
t '... for both families' finds 'WARNING port 7001 is open in mxdp, and nft behind it refuses new IPv6'
t '... not what it lets in' misses 'port 25 is open in mxdp, and nft'
ns mx nft flush ruleset
t 'Docker' eval "ns mx iptables-legacy -t nat -N DOCKER"
t '... is mentioned' finds 'note .*Docker has chains'
ns mx iptables-legacy -t nat -X DOCKER

# ---- what is not as it should be ----

t 'observing is mentioned' eval "mxdp -q observe --runtime && finds 'note .*only observes'"
mxdp -q reload
if ns mx ip link add link bad0 name macv0 type macvlan 2>/dev/null; then
	mxdp -q --runtime attach macv0 mode generic >/dev/null 2>&1
	t 'generic mode' finds 'WARNING macv0 .*generic mode'
	mxdp -q --runtime detach macv0
	ns mx ip link del macv0
else
	skip 'generic mode' 'no macvlan here'
fi
bpftool link detach pinned "$MXDP_BPFFS/mxdp/dev/wan0/link"
t 'our program was taken off' finds '^BAD .*wan0'
mxdp -q apply
t 'JSON' eval 'mxdp doctor --json | python3 -c "import json,sys; d=json.load(sys.stdin); assert all(f[\"health\"] in (\"ok\",\"note\",\"warning\",\"bad\") for f in d[\"findings\"])"'

mxdp -q admin ssh from 203.0.113.7
talk mx serve 22 7002 &
within 5 serves mx 22
t 'all is well: exit 0' eval 'mxdp doctor || { mxdp doctor; false; }'
if [ "$(cat /proc/sys/kernel/unprivileged_bpf_disabled)" = 0 ]; then
	t 'G2 any user may load BPF programs: a warning' finds 'WARNING any user may load BPF'
else
	t 'G2 nobody else may load BPF programs: no warning' misses 'any user may load BPF'
fi
done_testing
