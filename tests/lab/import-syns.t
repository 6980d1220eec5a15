#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What an import says is what the old firewall does: 100,000 SYNs and some open connections through the real iptables or nft,
# in a network namespace of its own, and through the imported rules. Every verdict is compared.
. "$(dirname "$0")/lib.sh"

STATES=$LAB_ROOT/tests/import/states
SYNS=${SYNS:-100000}
SEEDS=${SEEDS:-3}
lab_up
WORK=$LAB_DIR/import
LAB_SYNS=$LAB_BIN/syns
mkdir -p "$WORK"
if ! [ "$LAB_SYNS" -nt "$LAB_ROOT/tests/lab/syns.c" ] || ! [ "$LAB_SYNS" -nt "$LAB_BUILD/libmxdp.a" ]; then
	${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -I"$LAB_ROOT/include" -I"$LAB_ROOT/user" -o "$LAB_SYNS.$$" \
		"$LAB_ROOT/tests/lab/syns.c" "$LAB_BUILD/libmxdp.a" -l:libbpf.a -lelf -lz -ljson-c && mv "$LAB_SYNS.$$" "$LAB_SYNS" ||
		bail 'syns does not build'
fi

# import ARGUMENTS...: $WORK/new, $WORK/said
import() { "$MXDP" import "$@" >"$WORK/new" 2>"$WORK/said" || [ $? = 4 ]; }
# open connections that only mxdp leaves alone are a loss that was said
more_is_said() { grep -q ' 0 only with mxdp' "$WORK/out" || grep -q 'loss: refuses' "$WORK/said"; }

# through COMMAND SEED: the old firewall of $WORK/old, loaded with COMMAND, beside the rules of $WORK/new
through() {
	local rc=0
	ip netns add "$LAB_ID-old" || return
	ns old ip link set lo up
	# the kernel tracks connections while somebody asks for their state: those opened before the rules come are to be known
	printf 'table inet watch {\n\tchain in { type filter hook input priority -400; ct state new counter; }\n}\n' | ns old nft -f - &&
		ns old "$LAB_SYNS" run "$WORK/old" "$WORK/new" "$2" "$SYNS" 300 "$1" >"$WORK/out" 2>&1 || rc=$?
	ip netns del "$LAB_ID-old"
	cat "$WORK/out"
	[ $rc = 0 ] && more_is_said
}

iptables_old() { # LEGACY|NFT
	grep -Ev '^(create|add) ' "$WORK/old4" >"$WORK/load4"
	grep -E '^(create|add) ' "$WORK/old4" >"$WORK/sets"
	cat "$WORK/old4" "$WORK/old6" >"$WORK/old"
	LOAD="ipset restore <$WORK/sets; iptables-$1-restore <$WORK/load4 && ip6tables-$1-restore <$WORK/old6"
}

# ---- random firewalls ----

for seed in $(seq "$SEEDS"); do
	kind=nft
	[ $((seed % 2)) = 0 ] && kind=legacy
	"$LAB_SYNS" make iptables "$seed" >"$WORK/old4"
	"$LAB_SYNS" make ip6tables "$seed" >"$WORK/old6"
	iptables_old $kind
	t "iptables $seed is imported" import iptables "$WORK/old4" ip6tables "$WORK/old6"
	t "... and $SYNS SYNs go as through iptables-$kind" through "$LOAD" "$seed"
	note "$(tail -n 1 "$WORK/out")"
done
for seed in $(seq "$SEEDS"); do
	"$LAB_SYNS" make nft "$seed" >"$WORK/old"
	t "nft $seed is imported" import nft "$WORK/old"
	t "... and $SYNS SYNs go as through nft" through "nft -f $WORK/old" "$seed"
	note "$(tail -n 1 "$WORK/out")"
done

# ---- what the tools themselves save ----

# saved KIND: loads the random rules of $WORK/old4 and old6 and saves them with the tool
saved() {
	ip netns add "$LAB_ID-old" || return
	ns old sh -c "$LOAD" && ns old "iptables-$1-save" -c >"$WORK/saved4" && ns old "ip6tables-$1-save" >"$WORK/saved6"
	local rc=$?
	ip netns del "$LAB_ID-old"
	return $rc
}
for kind in legacy nft; do
	"$LAB_SYNS" make iptables 77 >"$WORK/old4"
	"$LAB_SYNS" make ip6tables 77 >"$WORK/old6"
	iptables_old $kind
	t "iptables-$kind-save" saved $kind
	cat "$WORK/sets" "$WORK/saved4" >"$WORK/saved"
	t '... is imported' import iptables "$WORK/saved" ip6tables "$WORK/saved6"
	t "... and $SYNS SYNs go as through it" through "$LOAD" 77
done
"$LAB_SYNS" make nft 78 >"$WORK/old"
listed() {
	ip netns add "$LAB_ID-old" && ns old nft -f "$WORK/old" && ns old nft list ruleset >"$WORK/listed"
	local rc=$?
	ip netns del "$LAB_ID-old"
	return $rc
}
t 'nft list ruleset' listed
t '... is imported' import nft "$WORK/listed"
t "... and $SYNS SYNs go as through it" through "nft -f $WORK/old" 78

# ---- states of the real ufw and firewalld (tests/import/states/make) ----

cp "$STATES/ufw-iptables.txt" "$WORK/old4"
cp "$STATES/ufw-ip6tables.txt" "$WORK/old6"
iptables_old nft
t 'ufw: user.rules and user6.rules are imported' import ufw "$STATES/ufw-user.rules" "$STATES/ufw-user6.rules"
t "... and $SYNS SYNs go as through what ufw loaded" through "$LOAD" 1
t 'ufw: what status prints is imported' import ufw "$STATES/ufw-status.txt"
t "... and $SYNS SYNs go as through what ufw loaded" through "$LOAD" 2
t 'ufw: what status numbered prints is imported' import ufw "$STATES/ufw-numbered.txt"
t "... and $SYNS SYNs go as through what ufw loaded" through "$LOAD" 3
t 'ufw: what iptables-save prints of it is imported' import iptables "$WORK/old4" ip6tables "$WORK/old6"
t "... and $SYNS SYNs go as through it" through "$LOAD" 4
cp "$STATES/firewalld-nft.txt" "$WORK/old"
t 'firewalld: its zone files are imported' import firewalld "$STATES"/zones/*.xml
t "... and $SYNS SYNs go as through what firewalld loaded" through "nft -f $WORK/old" 5
t 'firewalld: its nft ruleset is imported' import nft "$WORK/old"
t "... and $SYNS SYNs go as through it" through "nft -f $WORK/old" 6

# ---- the loaded program, for a sample ----

# every verdict that the program gives is the kernel's
program_agrees() {
	local addr port old said bad=0
	while read -r addr port old; do
		said=$(mxdp explain tcp "$addr" "$port" on wan0 --json | sed -n 's/^ *"verdict": "\([a-z]*\)",*$/\1/p')
		[ "$said" = "$old" ] || { echo "$addr to $port: the old firewall $old, the program ${said:-nothing}"; bad=1; }
	done <"$WORK/sample"
	[ "$(wc -l <"$WORK/sample")" -ge 60 ] && return $bad
}
"$LAB_SYNS" make nft 3 >"$WORK/old"
import nft "$WORK/old"
SYNS=2000 SYNS_SAMPLE=$WORK/sample through "nft -f $WORK/old" 9 >/dev/null
{ echo 'interface wan0'; cat "$WORK/new"; } >"$MXDP_CONFIG"
t 'imported rules are applied' mxdp apply --force
t '... and the loaded program says what the old firewall did' program_agrees

done_testing
