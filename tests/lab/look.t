#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The verbs that look tell what is so: status, show, query, explain, export; for people and as JSON.
. "$(dirname "$0")/lib.sh"

# says EXIT REGEX VERB...: the exit code, and a line of the output
says() {
	local want=$1 regex=$2 out rc
	shift 2
	out=$(mxdp "$@" 2>&1) && rc=0 || rc=$?
	printf '%s\n' "$out"
	[ $rc = "$want" ] && grep -Eq -- "$regex" <<<"$out" || { echo "wanted exit $want and /$regex/, exit was $rc"; return 1; }
}

# json PATH VERB...: the value at a path like interfaces.0.name of the one document that the verb prints
json() {
	mxdp "${@:2}" --json | perl -MJSON::PP -e '
		local $/; my $v = JSON::PP->new->utf8->decode(<STDIN>);
		die "no schema 1\n" unless $v->{schema} == 1;
		for (split /\./, $ARGV[0]) { $v = ref $v eq "ARRAY" ? $v->[$_] : $v->{$_}; }
		print ref $v eq "ARRAY" ? scalar @$v : !defined $v ? "null" : $v, "\n"' "$1"
}

lab_up
mkdir -p "$LAB_DIR/mxdp/lists"
printf '%s\n' '# a published list' 203.0.113.0/24 2001:db8:bad::/48 198.51.100.70 >"$LAB_DIR/mxdp/lists/drop.txt"

# ---- nothing loaded ----

t 'status: not loaded, exit 3' says 3 'not loaded.*NOTHING IS FILTERED' status
t 'no verb is status' says 3 'NOTHING IS FILTERED'
same 'status -q prints nothing' '' "$(mxdp -q status 2>&1)"
same 'status --json is one document' 0 "$(json loaded status)"
t 'show rules: not loaded, exit 3, says what to do' says 3 'mxdp attach INTERFACE' show rules
t 'status without a file: attach is the remedy' says 3 'NOTHING IS FILTERED; `mxdp attach INTERFACE` begins' status
t 'query: not loaded, exit 3' says 3 'not loaded' query allow smtp
t 'explain: not loaded, exit 3' says 3 'not loaded' explain 192.0.2.9 25
t 'export of nothing is an answer' says 0 '^mxdp_loaded 0$' export
rules 'interface wan0' 'default deny' 'allow smtp'
t 'status with a file that can be applied: apply is the remedy' says 3 "\`mxdp apply\` puts $MXDP_CONFIG in force" status
t '... and names the interface that should be filtered' says 0 '^mxdp_interface_attached\{interface="wan0"\} 0$' export
t 'show alone lists what there is' says 0 'mxdp show flows' show
t 'show of something unknown' says 2 'did you mean "counters"' show cuonters

# ---- loaded ----

rules '# the lab' 'interface wan0' 'interface bad0' 'default deny' 'admin ssh from @office' \
	'list office 192.0.2.0/24 2001:db8:1::/64' 'list drop file lists/drop.txt' 'allow smtp' \
	'allow 7000-7010 from @office' 'deny smtp from 198.51.100.64/26' 'block @drop, 192.0.2.21'
t 'apply' mxdp apply
t 'status: all is well' says 0 'filters 2 of 2' status
t 'status: the file says what is in force' says 0 'the same as what is in force' status
same 'status --json: epoch' 1 "$(json epoch status)"
same 'status --json: state' attached "$(json interfaces.0.state status)"
t 'status names mode and driver' says 0 '^wan0 +attached +native +veth' status
t 'status -i narrows' says 0 'filters 1 of 1' status -i wan0
t 'status -i of a stranger' says 3 'nope0 is not filtered' status -i nope0

t 'show rules: numbers, ports, places' says 0 "^ *7 +allow smtp +25 +$MXDP_CONFIG:8$" show rules
same 'show rules --json' "$MXDP_CONFIG" "$(json rules.6.file show rules)"
same 'show rules --json: line' 8 "$(json rules.6.line show rules)"
t 'a sentence of the moment is marked' eval "mxdp allow 4190 --runtime && says 0 'allow sieve +4190 +runtime$' show rules"
t '... and status says that the file differs' says 0 'DIFFERS.*1 only in force' status
t 'reload takes it back' mxdp reload
t 'show lists' says 0 "^@drop +3 +2 +1 +20[0-9-]+ [0-9:]+ +$LAB_DIR/mxdp/lists/drop.txt$" show lists
same 'show lists --json' 2 "$(json lists.0.prefixes show lists)"
t 'show services' says 0 '7000-7010 +7000-7010 +0 +0' show services

# ---- counters ----

talk mx serve 25 7001 3306 >/dev/null &
within 5 serves mx 3306
t 'smtp answers' talk remote try 2 $MX4 25
t '7001 answers the office' talk remote try 3 $MX6 7001
not_t 'a closed port is silent' talk remote try -t 300 1 $MX4 3306
not_t 'smtp is silent to the denied' talk stranger try -t 300 1 $BADMX4 25
ns stranger nmap -n -Pn -sS -p 8000-8099 --max-retries 0 $BADMX4 >/dev/null
inject stranger to="$LAB_MAC_BAD" src=$STRANGER4 dst=$BADMX4 dport=8443 flags=S count=7 >/dev/null
within 5 eval '[ "$(json ports.0.dropped.packets show drops)" = 7 ]'
t 'show drops: the port knocked on most comes first' eval \
	"mxdp show drops --top 3 | sed -n 2p | grep -Eq '^8443 .* other +7 '"
same 'show drops --top' 3 "$(json ports show drops --top 3)"
same 'show drops counts the ports' 102 "$(json ports_with_drops show drops -i bad0)"
t 'show drops: reasons' says 0 '^closed +10[78] ' show drops -i bad0
t 'show drops -i narrows' eval "mxdp show drops -i wan0 | sed -n 2p | grep -Eq '^3306 '"

sum_of() { json "$1.packets" show counters -i wan0; }
passed=$(sum_of interfaces.0.passed)
same 'show counters: single ports of a service of many' "$(json interfaces.0.services.0.passed.packets show counters 7001 -i wan0)" \
	"$(json interfaces.0.services.0.ports_counted.0.passed.packets show counters 7001 -i wan0)"
t 'show counters of one service' says 0 '^  denied +drop +1 ' show counters smtp -i bad0
t 'show counters of a port that no rule names' says 0 '^ *port +8443 +0 +0 B +7 ' show counters 8443
t 'show counters of an unknown service' says 2 'did you mean "smtp"' show counters smpt
t 'show counters of an unknown interface' says 3 'not attached to nope' show counters -i nope
same 'the sum over the services is the total' "$passed $(sum_of interfaces.0.dropped)" "$(mxdp show counters -i wan0 --json |
	perl -MJSON::PP -e 'local $/; my $i = decode_json(<STDIN>)->{interfaces}[0]; my ($p, $d) = (0, 0);
		$p += $_->{passed}{packets}, $d += $_->{dropped}{packets} for @{$i->{services}}; print "$p $d"')"
same 'and so is the sum over the reasons' "$((passed + $(sum_of interfaces.0.dropped)))" "$(mxdp show counters -i wan0 --json |
	perl -MJSON::PP -e 'local $/; my $n = 0; $n += $_->{packets} for @{decode_json(<STDIN>)->{interfaces}[0]{reasons}}; print $n')"

# ---- flows ----

spawn remote bash -c "exec 5<>/dev/tcp/$MX4/25; sleep 20"
talker4=$LAB_PID
spawn remote bash -c "exec 5<>/dev/tcp/$MX6/7001; echo hello >&5; sleep 20"
talker6=$LAB_PID
spawn remote bash -c "exec 5<>/dev/tcp/$MX4/3306; sleep 20"
inject remote to="$LAB_MAC_WAN" src=192.0.2.77 dst=$MX4 sport=1777 dport=25 flags=S >/dev/null
flows() { mxdp show flows; }
flow() { flows | grep -Eq "$1"; }
t 'show flows: IPv4' within 5 flow "^smtp +established +$MX4:25 +$REMOTE4:[0-9]+ +[0-9]+s +[0-9]+s$"
t 'show flows: IPv6' within 5 flow "^7000-7010 +established +\[$MX6\]:7001 +\[$REMOTE6\]:[0-9]+ "
t 'show flows: a handshake half done' within 5 flow "^smtp +syn-recv +$MX4:25 +192.0.2.77:1777 "
spawn mx perl -MIO::Socket::INET -e 'my $s = IO::Socket::INET->new(Listen => 1, LocalPort => 7002) or die; close $s->accept; sleep 20'
within 5 serves mx 7002
ns remote bash -c "exec 5<>/dev/tcp/$MX4/7002; cat <&5" # the server closes first
t 'show flows: one that is over, and its idle time' within 5 flow "^7000-7010 +time-wait +$MX4:7002 +$REMOTE4:[0-9]+ +- +[0-9]+s$"
not_t 'show flows: nothing of ports that no rule names' flow ':3306'
sleep 2
t 'show flows: an age' within 5 flow "^smtp +established .* ([2-9]|1[0-9])s +([2-9]|1[0-9])s$"
t 'show flows --json' eval "mxdp show flows --json | grep -q '\"peer_port\": 1777'"
spawn remote bash -c "exec 5<>/dev/tcp/$MX4/25; while echo x >&5; do sleep 0.1; done"
talker=$LAB_PID
t 'show flows: no age where only "more than nothing" is known' within 5 flow '^smtp +established .* - +0s$'
not_t '...' flow ' >0s '
ends $talker

# ---- explain ----

t 'explain: allowed' says 0 '^verdict +pass$' explain 192.0.2.9 25
t 'explain: the sentence and its place' eval "says 0 '^decided +allow smtp$' explain 192.0.2.9 25 && says 0 ' $MXDP_CONFIG:8$' explain 192.0.2.9 25"
t 'explain: the long form' says 0 "^packet +SYN 192.0.2.9:40000 -> $MX4:25 on wan0$" explain tcp 192.0.2.9 25 syn
t 'explain: the interface on whose network the source is' says 0 "-> $BADMX4:25 on bad0$" explain $STRANGER4 smtp
t 'explain: the first interface of the rules for all others' says 0 "-> $MX4:25 on wan0$" explain 8.8.8.8 smtp
t 'explain: denied' says 0 '^reason +denied:' explain $STRANGER4 smtp
t 'explain: closed' says 0 '^reason +closed:' explain 8.8.8.8 3306
t 'explain: the default' says 0 '^decided +default deny$' explain 8.8.8.8 7001
t 'explain: blocked by a list' says 0 '^decided +block @drop' explain 203.0.113.5 25
t 'explain: blocked as 6to4' says 0 '^reason +blocked:' explain 2002:cb00:7105::1 25
t 'explain: admin passes though blocked' says 0 '^reason +admin:' explain 192.0.2.21 ssh
t 'explain: impossible source' says 0 "^decided +the packet's own form" explain 127.0.0.1 25
t 'explain: IPv6' says 0 "^packet +SYN \[2001:db8:1::99\]:40000 -> \[$MX6\]:7001 on wan0" explain 2001:db8:1::99 7001
t 'explain: an ACK of nobody' says 0 '^reason +no-connection:' explain 192.0.2.9 25 ack
port=$(mxdp show flows | sed -n "s/^smtp *established.* $REMOTE4:\([0-9]*\) .*/\1/p" | head -n 1)
t 'explain: an ACK of a live connection' says 0 '^reason +live:' explain $REMOTE4 25 ack sport "$port" to $MX4
t 'explain: RST of a blocked source' says 0 '^reason +blocked:' explain 192.0.2.21 25 rst
for word in syn ack synack fin rst; do
	same "explain $word --json: program and rules agree" 1 "$(json agrees explain 198.51.100.99 25 $word)"
done
same 'explain --json: the place' "block @drop, 192.0.2.21 $MXDP_CONFIG 11" \
	"$(for k in sentence file line; do json decided_by.$k explain 203.0.113.5 25; done | xargs -n 10 | sed 's/ *$//')"
before=$(metric mxdp_port_dropped_packets_total interface=bad0)
mxdp explain $STRANGER4 25 >/dev/null
same 'explain counts nothing' "$before" "$(metric mxdp_port_dropped_packets_total interface=bad0)"
t 'explain: to another address' says 0 '-> 192.0.2.200:25 on wan0' explain 192.0.2.9 25 to 192.0.2.200
t 'explain: on a stranger of an interface' says 3 'not attached to lo' explain 192.0.2.9 25 on lo
t 'explain: two families' says 2 'IPv6 address and go to an IPv4' explain 2001:db8::1 25 to 192.0.2.1
t 'explain: a network is no source' says 2 'many addresses' explain 192.0.2.0/24 25
t 'explain: a range is no port' says 2 'many ports' explain 192.0.2.9 25-30
t 'explain: nonsense' says 2 'none of syn' explain 192.0.2.9 25 xmas
t 'explain: nothing' says 2 'for example' explain

# ---- query ----

t 'query: yes' says 0 '^yes$' query allow smtp
t 'query: no, and why' says 1 'deny smtp from 198.51.100.64/26' query allow smtp from $STRANGER4
t 'query: one hole in a network is a no' says 1 '^no$' query allow smtp from 198.51.100.0/24
t 'query: deny' says 0 '^yes$' query deny smtp from 198.51.100.64/26
t 'query: block' says 0 '^yes$' query block 203.0.113.9
t 'query: not blocked' says 1 '^no$' query block 192.0.2.9
same 'query -q prints nothing' '' "$(mxdp -q query deny smtp 2>&1)"
same 'query --json' 1 "$(json answer query allow smtp)"
t 'query: an unknown list' says 2 'no list "nope"' query allow smtp from @nope
t 'query: nothing' says 2 'for example' query
t 'query: what it cannot answer' says 2 'asks about' query observe

# ---- export ----

accepted() { mxdp export >"$LAB_DIR/export" && promtool check metrics <"$LAB_DIR/export"; }
t 'promtool accepts the export' accepted
same '... and has no advice' '' "$LAB_OUT"
not_t 'no source address is a label' grep -E "$STRANGER4|192\.0\.2\.|2001:db8" "$LAB_DIR/export"
same 'export: the figures of show counters' "$(json interfaces.0.services.0.dropped.packets show counters smtp -i bad0)" \
	"$(metric mxdp_port_dropped_packets_total interface=bad0 port=25)"
t 'export --output' mxdp export --output "$LAB_DIR/mxdp.prom"
same '... readable for the collector, and nothing beside it' "644 mxdp.prom" \
	"$(stat -c %a "$LAB_DIR/mxdp.prom") $(cd "$LAB_DIR" && echo mxdp.prom*)"
t '... also with a narrow umask' eval "(umask 077; mxdp export -o $LAB_DIR/mxdp.prom) && [ \$(stat -c %a $LAB_DIR/mxdp.prom) = 644 ]"
t 'export --output: a name that no collector reads' says 0 'does not end in .prom' export -o "$LAB_DIR/figures"
t 'export --output: a directory that is not there' says 3 'cannot write' export -o "$LAB_DIR/none/mxdp.prom"
ln -s "$LAB_DIR/figures" "$LAB_DIR/link.prom"
t 'export --output replaces a link and does not follow it' eval "mxdp export -o $LAB_DIR/link.prom && [ ! -L $LAB_DIR/link.prom ]"
t 'export --format json' says 0 '"schema": 1' export --format json
t 'export --format nonsense' says 2 'unknown format' export --format xml
t 'a full disk is an error' eval 'mxdp export >/dev/full; [ $? = 3 ]'

# ---- observe ----

t 'observe' mxdp observe --runtime
t 'status says that nothing is dropped' says 0 'DROPS NOTHING' status
t 'explain says what would be' says 0 '^verdict +pass .*WOULD BE DROPPED' explain $STRANGER4 25
same 'explain --json' 'pass 1' "$(json verdict explain $STRANGER4 25) $(json would_drop explain $STRANGER4 25)"
inject stranger to="$LAB_MAC_BAD" src=$STRANGER4 dst=$BADMX4 dport=25 flags=S count=3 >/dev/null
t 'counters show it apart' within 5 says 0 '^  denied +would drop +3 ' show counters smtp -i bad0
same 'export too' 3 "$(metric mxdp_port_observed_packets_total interface=bad0 port=25)"
t 'reload' mxdp reload

# ---- what is not as it should be ----

ends $talker4 $talker6
echo 'allow smpt' >>"$MXDP_CONFIG"
t 'status: a file with an error' says 0 "HAS AN ERROR.*$MXDP_CONFIG:12:7.*did you mean" status
t 'export: the same' says 0 '^mxdp_config_valid 0$' export
sed -i '$d' "$MXDP_CONFIG"
echo 'allow imaps' >>"$MXDP_CONFIG"
t 'status: an edit that is not applied' says 0 'DIFFERS.*1 only in the file' status
t 'export: the same' says 0 '^mxdp_config_unapplied_changes 1$' export
ns mx ip link del bad0
t 'status: an interface went away, exit 1' says 1 '^WARNING: bad0 went away' status
t '... its counters are still there' says 0 'NOT FILTERED NOW' show counters -i bad0
t '... and the export says so' says 0 '^mxdp_interface_attached\{interface="bad0"\} 0$' export
lab_wire bad0 stranger 198.51.100 10 66 2001:db8:2
t 'status: made anew, it is not filtered, exit 1' says 1 'filters 1 of 2' status
mv "$MXDP_CONFIG" "$MXDP_CONFIG.away"
t 'status: no file' says 1 'NOT THERE' status
mv "$MXDP_CONFIG.away" "$MXDP_CONFIG"
t 'apply mends it' mxdp apply
t 'status: all is well again' says 0 'filters 2 of 2' status

link=$(bpftool -j link show pinned "$MXDP_BPFFS/mxdp/dev/bad0/link" | sed 's/.*"id":\([0-9]*\).*/\1/')
t 'our program is taken off behind our back' bpftool link detach id "$link"
t 'status: it runs no program, exit 1' says 1 '^WARNING: bad0 is not filtered: the program was taken off' status
same 'status --json' detached "$(json interfaces.0.state status)"
t 'another program comes' eval "bpftool prog load $LAB_BUILD/mxdp.bpf.o $MXDP_BPFFS/foreign &&
	ns mx bpftool net attach xdp pinned $MXDP_BPFFS/foreign dev bad0"
t 'status: a foreign program, exit 1' says 1 "^WARNING: bad0 is not filtered: it runs an XDP program that is not mxdp's" status
t 'its number is named' says 1 "has id $(bpftool -j prog show pinned "$MXDP_BPFFS/foreign" | sed 's/.*"id":\([0-9]*\).*/\1/'):" status
ns mx bpftool net detach xdp dev bad0
rm "$MXDP_BPFFS/foreign"
t 'apply mends it' mxdp apply
rm -r "$MXDP_BPFFS/mxdp/dev/bad0"
t 'status: named in the rules, not attached, exit 1' says 1 '^WARNING: bad0 is named in the rules but not filtered' status

# ---- default allow, and the default that nobody wrote ----

rules 'interface wan0' 'allow smtp' 'allow 7001 from @office' 'list office 192.0.2.0/24'
t 'apply without a default' mxdp apply
t 'show rules: the default that nobody wrote' says 0 '^ +- +default deny +- +unless said otherwise$' show rules
t 'explain: the same' says 0 '^decided +default deny \(unless said otherwise\)$' explain 8.8.8.8 3306
t 'default allow' mxdp default allow --runtime
t 'explain: what no rule names passes' says 0 '^reason +default-allow:' explain 8.8.8.8 3306
t 'explain: the default that was said' says 0 '^decided +default allow$' explain 8.8.8.8 3306
t 'explain: ... for a packet that opens nothing, too' says 0 '^decided +default allow$' explain 8.8.8.8 80 ack
rules 'interface wan0' 'default allow' 'allow smtp' 'allow 7001 from @office' 'list office 192.0.2.0/24'
t 'apply' mxdp apply
t 'explain: ... and where it stands' says 0 " $MXDP_CONFIG:2$" explain 8.8.8.8 80 ack
t 'explain: a sentence for others' says 0 'opens this port, and not to this source' explain 8.8.8.8 7001
t 'query knows' says 0 '^yes$' query allow 3306
t 'detach' mxdp detach wan0 --runtime
t 'the last one out: not loaded' says 3 'NOTHING IS FILTERED' status
done_testing
