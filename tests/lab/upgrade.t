#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A version of mxdp with another layout of the maps takes over, and gives back, under talking connections and knocks on
# closed ports: nothing is cut, nothing gets in, every packet is counted once, whatever is killed when.
. "$(dirname "$0")/lib.sh"

make -s -C "$LAB_ROOT" O="$LAB_BUILD/other" LAYOUT=-DMXDP_OTHER_LAYOUT >"$LAB_BUILD/other.log" 2>&1 ||
	bail "the other version does not build: $(tail -n 5 "$LAB_BUILD/other.log")"
ONE=$MXDP TWO=$LAB_BUILD/other/mxdp

lab_up
one() { ns mx "$ONE" "$@"; }
two() { ns mx "$TWO" "$@"; }
program() { ns mx ip link show wan0 | grep -o 'prog/xdp id [0-9]*'; }
books() { ls "$MXDP_BPFFS/mxdp/dev/wan0/counts" | wc -l; }
# what MXDP makes of knocks on closed ports, and of datagrams
knocks() {
	mxdp show counters 7002 -i wan0 --json | perl -MJSON::PP -e '
		local $/; my $n = 0;
		for my $s (map { @{$_->{services}} } @{JSON::PP->new->decode(<STDIN>)->{interfaces}}) {
			$_->{port} == 7002 and $n += $_->{dropped}{packets} for @{$s->{ports_counted}};
		}
		print "$n\n"'
}
epoch() { one status --json | sed -n 's/.*"epoch": *\([0-9]*\).*/\1/p'; }
datagrams() { metric mxdp_passed_packets_total reason=not-tcp interface=wan0; }

talk mx serve 7001 7002 7003 7005 &
within 5 serves mx 7005
rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001' 'admin ssh from 203.0.113.7' 'block 198.51.100.99'
t 'one version filters' one apply
for f in 4 6; do
	ip=MX$f
	spawn remote "$LAB_BIN/talk" hold -e 50 -s "$LAB_DIR/held$f" 10 ${!ip} 7001
	holders="${holders-} $LAB_PID"
done
within 5 test -s "$LAB_DIR/held6"

watch_begin wan0
inject_to() {
	spawn remote "$LAB_BIN/inject" up0 to="$LAB_MAC_WAN" count=100000000 "$@" >"$LAB_DIR/sent.$1"
	injectors="${injectors-} $LAB_PID"
}
inject_to id=1 src=$REMOTE4 dst=$MX4 dport=7002 rate=1000
inject_to id=2 src=$REMOTE6 dst=$MX6 dport=7002 rate=1000
inject_to id=3 src=$REMOTE4 dst=$MX4 dport=9 proto=udp rate=1000

# ---- what the other version says before it takes over ----

for verb in status 'show rules' export; do
	# shellcheck disable=SC2086
	two $verb >"$LAB_DIR/out" 2>&1
	same "$verb of another version: exit status 3" 3 $?
	t "... says whose filter it is, and what takes over" grep -q 'another version of mxdp filters here.*mxdp reload' "$LAB_DIR/out"
done
not_t 'it changes no rule' two allow 7005
t '... and the file is as it was' eval "! grep -q 7005 '$MXDP_CONFIG'"

# ---- a trial is not taken over from ----

rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001, 7007' 'admin ssh from 203.0.113.7' 'block 198.51.100.99'
t 'a policy on trial' one reload --confirm 60
not_t 'is not taken over from' two reload --no-confirm
t '... and the message says how long it lasts' eval "[[ \$LAB_OUT == *'on trial for another'*'mxdp confirm'* ]]"
t 'confirm' talk remote try 1 $MX4 7001
t 'go back' one rollback
rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001' 'admin ssh from 203.0.113.7' 'block 198.51.100.99'

# ---- up and down ----

t 'a sentence that no file says' one allow 7005 --runtime
t 'a ban' one ban 198.51.100.77 for 1h source fail2ban reason dictionary
t 'another' one ban 2001:db8:bad::/48
epoch=$(epoch)
before=$(program)
for round in 1 2; do
	MXDP=$TWO
	# --in-force goes by no file, so it may have an error
	keep=--keep-runtime
	[ $round = 1 ] || { keep=--in-force; cp "$MXDP_CONFIG" "$LAB_DIR/whole"; echo 'alow 7006' >>"$MXDP_CONFIG"; }
	t "$round: the other version takes over" two reload --no-confirm $keep
	t '... with a program of its own' eval "[ \"\$(program)\" != \"$before\" ]"
	t '... filters on every interface' two status
	t '... has the rules' two query allow 7001
	t '... and what was said with --runtime' two query allow 7005
	t '... and the bans' two query ban 2001:db8:bad::1
	t '... with what is known of them' eval "two show bans | grep '198.51.100.77 .*fail2ban.*dictionary'"
	seen=$(knocks)
	t '... counts on' within 5 eval "[ \$(knocks) -gt $seen ]"
	t '... an open port answers' talk remote try 1 $MX4 7001
	not_t '... a closed one does not' talk remote try -t 300 1 $MX6 7003
	same '... and the counts of before lie in one place' 2 "$(books)"
	one status >/dev/null 2>&1
	same '... where the first one sees that it is not its own' 3 $?
	MXDP=$ONE
	before=$(program)
	t "$round: and back" one reload --no-confirm $keep
	t '... filters' one status
	t '... with the same rules' one query allow 7005
	t '... and bans' one query ban 198.51.100.77
	holds '... nothing was counted twice or forgotten' "$(knocks) > $seen"
	before=$(program)
done
cp "$LAB_DIR/whole" "$MXDP_CONFIG"
holds 'the epoch goes on' "$(epoch) > $epoch"
t 'a reload that is not told otherwise goes by the files' two reload --no-confirm
not_t '... which do not say what was said with --runtime' two query allow 7005
t 'attach takes over too' one attach wan0
t '... and is the first one again' one status

# ---- lists: what both keep alike is taken as it is, whatever their files say by now ----

mkdir -p "${MXDP_CONFIG%/*}/lists"
seq 1 1500 | awk '{ printf "11.%d.%d.0/24\n", $1 / 250, $1 % 250 }' >"${MXDP_CONFIG%/*}/lists/bad"
printf '%s\n' 'list bad file lists/bad' 'block @bad' >>"$MXDP_CONFIG"
t 'a list with a file' one reload --no-confirm --force
t '... to which is added what the file does not say' one list add bad 198.51.100.98 --runtime
t '... and from which is taken what it says' one list del bad 11.1.1.0/24 --runtime
echo 'no address' >>"${MXDP_CONFIG%/*}/lists/bad"
has() { two list show bad | grep -qx "$1"; }
t 'the other version takes over' two reload --no-confirm --in-force
t '... has what was added' has 198.51.100.98
not_t '... and not what was taken out' has 11.1.1.0/24
# of a version that keeps its rules otherwise only the sentences are understood
rm "$MXDP_BPFFS"/mxdp/now/frozen*
not_t 'where lists are kept otherwise their files are read, and one with an error ends it' one reload --no-confirm --in-force
t '... and the other version goes on' eval "[ -n \"\$(program)\" ] && talk remote try 1 $MX4 7001"
sed -i '$d' "${MXDP_CONFIG%/*}/lists/bad"
t '... until it is mended' one reload --no-confirm --in-force
t '... and that is said' eval "[[ \$LAB_OUT == *'read from '*' again'* ]]"
rules 'interface wan0' 'interface bad0' 'default deny' 'allow 7001' 'admin ssh from 203.0.113.7' 'block 198.51.100.99'

# ---- kill -9 at any step, and either version mends ----

killed=0 bad=0
shot() {
	local by=$1 next=$2 at=$3
	case $(ns mx "$LAB_BIN/killat" "$at" "$by" reload --no-confirm 2>&1) in *'killed at'*) killed=$((killed + 1)) ;; esac
	[ -n "$(program)" ] || { bad=$((bad + 1)); note "killed at $at: not filtered"; }
	ns mx "$next" reload --no-confirm >"$LAB_DIR/out" 2>&1 || { bad=$((bad + 1)); note "killed at $at: $(cat "$LAB_DIR/out")"; }
	ns mx "$next" status --quiet >/dev/null 2>&1 || { bad=$((bad + 1)); note "killed at $at: status"; }
}
one reload --no-confirm >/dev/null 2>&1
total=$(ns mx "$LAB_BIN/killat" 0 "$TWO" reload --no-confirm 2>&1 | sed -n 's/.*after //p' | tail -n 1)
one reload --no-confirm >/dev/null 2>&1
note "a takeover makes $total system calls"
for i in {1..10}; do
	at=$((total * (2 * i + 15) / 37))
	case $((i % 2)) in
	1) shot "$TWO" "$ONE" $at ;;
	0) shot "$TWO" "$TWO" $at; one reload --no-confirm >/dev/null 2>&1 ;;
	esac
done
holds 'takeovers were killed at many steps' "$killed >= 9"
same 'and either version mended what was left' 0 $bad
t 'the first one filters' one status

# ---- every packet was counted once ----

MXDP=$ONE
# shellcheck disable=SC2086
ends $injectors
sent() { sed -n 's/^\([0-9]*\) packets.*/\1/p' "$LAB_DIR/sent.id=$1"; }
sleep 0.3
watch_end
same 'nothing was let in' '' "$(grep -v '^3 ' <<<"$LAB_PASSED")"
same 'every knock was counted, once' $(($(sent 1) + $(sent 2))) "$(knocks)"
same 'every datagram was counted, once' "$(sent 3)" "$(datagrams)"
for f in 4 6; do
	same "no connection was cut, no segment sent twice: IPv$f" '0 0' "$(stat_of "$LAB_DIR/held$f" broken) $(stat_of "$LAB_DIR/held$f" retransmits)"
	holds "... and they talked: IPv$f" "$(stat_of "$LAB_DIR/held$f" messages) > 200"
done
# shellcheck disable=SC2086
ends $holders
t 'the other version takes the filter off' two detach
same '... and leaves nothing' '' "$(program)$(ls "$MXDP_BPFFS" | grep mxdp)"
done_testing
