#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Connections opened before the filter came keep talking through everything that is done to it.
. "$(dirname "$0")/lib.sh"

lab_up
lab_mail
talk mx serve 7001 7003 &
talk remote serve 7002 &
within 5 serves mx 7003
within 5 serves remote 7002

# base_rules [LINE...]
base_rules() { rules 'interface wan0' 'default deny' 'allow smtp, imap, imaps, 7001' "$@"; }

# ---- before anything is attached: connections in both directions ----
held=(in4 in6 out4 out6 silent4 silent6 silentout)
talk remote hold -e 50 -s "$LAB_DIR/in4" 20 $MX4 7001 2>"$LAB_DIR/in4.err" &
talk remote hold -e 50 -s "$LAB_DIR/in6" 20 $MX6 7001 2>"$LAB_DIR/in6.err" &
talk mx hold -e 50 -s "$LAB_DIR/out4" 20 $REMOTE4 7002 2>"$LAB_DIR/out4.err" &
talk mx hold -e 50 -s "$LAB_DIR/out6" 20 $REMOTE6 7002 2>"$LAB_DIR/out6.err" &
# one word in seven seconds: seven times as long as a lease
talk remote hold -e 7000 -s "$LAB_DIR/silent4" 5 $MX4 7001 2>"$LAB_DIR/silent4.err" &
talk remote hold -e 7000 -s "$LAB_DIR/silent6" 5 $MX6 7001 2>"$LAB_DIR/silent6.err" &
talk mx hold -e 7000 -s "$LAB_DIR/silentout" 5 $REMOTE4 7002 2>"$LAB_DIR/silentout.err" &
started=$EPOCHSECONDS
session smtp-in talk remote pipe $MX4 25
session imap-in talk remote pipe $MX6 143
session smtp-out talk mx pipe $REMOTE6 25
session idle-in talk remote pipe $MX6 25
session idle-out talk mx pipe $REMOTE4 25
for s in smtp-in smtp-out idle-in idle-out; do
	t "an SMTP dialogue is open: $s" session_hears $s '^220 '
done
t 'an IMAP dialogue is open' session_hears imap-in 'OK .*ready'
t 'IMAP login' session_asks imap-in 'a LOGIN user@example.org secret' 'a OK'
for s in "${held[@]}"; do
	t "connections talk: $s" within 5 eval "[ \"\$(stat_of $LAB_DIR/$s messages)\" -gt 0 ]"
done

# moved NAME BEFORE: has it said something since?
moved() { [ "$(stat_of "$LAB_DIR/$1" messages)" -gt "$2" ] && [ "$(stat_of "$LAB_DIR/$1" broken)" = 0 ]; }

# alive WHEN: every connection says something and is answered, from now on
alive() {
	local s before
	for s in in4 in6 out4 out6; do
		before=$(stat_of "$LAB_DIR/$s" messages)
		# every one of the twenty, twice
		t "$1: connections talk: $s" within 5 moved $s $((before + 40))
	done
	t "$1: SMTP in" session_asks smtp-in NOOP '^250 '
	t "$1: SMTP out" session_asks smtp-out NOOP '^250 '
	t "$1: IMAP in" session_asks imap-in 'n NOOP' '^n OK'
}

program() { ns mx ip link show wan0 | grep -o 'prog/xdp id [0-9]*'; }
filters() { t "$1: a closed port is silent" eval "[[ \$(talk remote try -t 300 1 $MX4 7003) == *silent=1* ]]"; }

alive 'before'
base_rules
t 'attach under live connections' mxdp apply
filters 'attached'
alive 'attached'

# ---- a hundred reloads, each with another rule, while somebody knocks on a closed port without pause ----
watch_begin wan0
spawn remote "$LAB_BIN/inject" up0 to="$LAB_MAC_WAN" src=$REMOTE4 dst=$MX4 dport=7003 count=10000000 rate=2000 id=1 >/dev/null
knockers=$LAB_PID
spawn remote "$LAB_BIN/inject" up0 to="$LAB_MAC_WAN" src=$REMOTE6 dst=$MX6 dport=7003 count=10000000 rate=2000 id=2 >/dev/null
knockers="$knockers $LAB_PID"
failed=0
for i in {1..100}; do
	base_rules "allow $((8000 + i)) from 203.0.113.$i" "deny 7001 from 198.51.100.$i"
	mxdp reload >"$LAB_DIR/reload.out" 2>&1 || { failed=$((failed + 1)); note "$(cat "$LAB_DIR/reload.out")"; }
done
same 'a hundred reloads, each with another rule' 0 $failed
t 'the last of them is in force' eval "mxdp show rules | grep 8100 | grep -q 203.0.113.100"
not_t 'the one before is not' eval "mxdp show rules | grep 203.0.113.99"
alive 'after 100 reloads'

# ---- the program itself is replaced: another size of the lease table is another program ----
before=$(program)
base_rules 'track socket leases 1M'
t 'a larger lease table' mxdp reload
t '... is a new program in the place of the old' eval "[ -n \"\$(program)\" ] && [ \"\$(program)\" != \"$before\" ]"
filters 'replaced'
alive 'program replaced'
before=$(program)
seq 1 60000 | awk '{ printf "11.%d.%d.%d\n2001:db8:%x:%x::/64\n", $1 / 250 % 250, $1 % 250, $1 * 7 % 250, 4096 + $1 / 1000, $1 % 1000 }' |
	LC_ALL=C sort -u >"$LAB_DIR/mxdp/drop.txt"
base_rules 'list drop file drop.txt' 'block @drop'
t 'tens of thousands of blocked prefixes' mxdp reload
filters 'large tables'
alive 'large tables'
base_rules
t 'and back to small tables' mxdp reload
alive 'small tables'

# shellcheck disable=SC2086
ends $knockers
inject remote to="$LAB_MAC_WAN" src=$REMOTE4 dst=$MX4 dport=7001 id=3 >/dev/null
watch_end
same 'not one knock on the closed port got past while rules and programs changed' '3 1' "$LAB_PASSED"
t '... and there were thousands' eval "[ \$(metric mxdp_port_dropped_packets_total reason=closed) -gt 5000 ]"

# ---- off and on ----
t 'detach' mxdp detach wan0
same '... the kernel runs no program' '' "$(program)"
alive 'detached'
t 'attach again' mxdp attach wan0
filters 'attached again'
alive 'attached again'

# ---- silence ----
while [ $((EPOCHSECONDS - started)) -lt 23 ]; do sleep 0.5; done
for s in silent4 silent6 silentout; do
	holds "connections that are silent for seven seconds at a time: $s" "$(stat_of "$LAB_DIR/$s" messages) >= 15"
done
t 'an SMTP connection in that said nothing since before the attach' session_asks idle-in NOOP '^250 '
t 'an SMTP connection out that said nothing since before the attach' session_asks idle-out NOOP '^250 '

# ---- and they end as they should ----
session_says smtp-in 'EHLO client.example.com'
t 'EHLO' session_hears smtp-in '^250 '
t 'MAIL' session_asks smtp-in 'MAIL FROM:<sender@example.com>' '^250 '
t 'RCPT' session_asks smtp-in 'RCPT TO:<user@example.org>' '^250 '
t 'DATA' session_asks smtp-in DATA '^354 '
session_says smtp-in 'Subject: survived'
session_says smtp-in ''
t 'the old connection delivers a mail' session_asks smtp-in . '^250 '
t '... and it lies in the mailbox' within 10 mailed example.org 'Subject: survived'
t 'QUIT is answered' session_asks smtp-in QUIT '^221 '
for s in "${held[@]}"; do
	same "none broke, no segment was sent twice: $s" '0 0' "$(stat_of "$LAB_DIR/$s" broken) $(stat_of "$LAB_DIR/$s" retransmits)"
	[ ! -s "$LAB_DIR/$s.err" ] || note "$(cat "$LAB_DIR/$s.err")"
	note "$s: $(cat "$LAB_DIR/$s")"
done
done_testing
