#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# A list of a million prefixes that changes all the time, under traffic: nobody is judged by half a list, no packet goes
# uncounted, and the list kept on disk and in the kernel are one in the end. UPDATES: how many (100).
. "$(dirname "$0")/lib.sh"

UPDATES=${UPDATES:-100}
lab_up
CONF_DIR=$(dirname "$MXDP_CONFIG")
LIST=$CONF_DIR/lists/big
mkdir -p "$CONF_DIR/lists"

# Two sources that every version blocks, by entries of their own and within one that comes and goes; two that none does,
# with neighbours that come and go on both sides and in between.
IN4=20.0.5.5 IN6=2a00:5:5:5::5 OUT4=20.0.6.6 OUT6=2a00:6:6:6::6
COMING4='20.0.5.0/24 20.0.6.7 20.0.6.8/29 20.0.6.0/30 20.0.7.0/24 20.0.5.4/31 20.0.5.4/30'
COMING6='2a00:5:5::/48 2a00:6:6:7::/64 2a00:6:6:6::7 2a00:6:6:6::4/127 2a00:5:5:5::/64 2a00:6:7::/48'
read -ra COMING <<<"$COMING4 $COMING6"

# a million, by the number of the version
million() {
	awk -v from="$1" 'BEGIN {
		for (i = 0; i < 799998; i++) {
			n = i + from
			printf "%d.%d.%d.%d%s\n", 25 + n % 70, int(n / 70) % 250, int(n / 17500) % 250, i % 20 < 11 ? n % 251 : 0,
				i % 20 < 11 ? "" : "/24"
		}
		for (i = 0; i < 200000; i++)
			printf "2a01:%x:%x:%x::/64\n", (i + from) % 1000, int(i / 1000), i % 7
	}' | sort -u
	printf '%s\n' $IN4 $IN6
}

million 0 >"$LAB_DIR/big0"
million 3000 >"$LAB_DIR/big1"
cp "$LAB_DIR/big0" "$LIST"
# how many it is when sets are made of it: what is in force must say the same
holds 'a list of about a million' "$(wc -l <"$LIST") > 900000"

rules 'interface wan0' 'interface bad0' 'default deny' 'admin ssh from 192.0.2.0/24' 'list big file lists/big' 'block @big' \
	'allow 7001,7002,7003,7004'
t 'apply' mxdp apply --force
held() { mxdp show lists --json | sed -n 's/.*"prefixes": \([0-9]*\).*/\1/p' | head -n 1; }
was=$(held)
holds 'and it is in force' "${was:-0} > 900000"

# ---- one prefix: bites at once, and is gone at once ----

talk mx serve 7001 &
within 5 serves mx 7001
opens() { ns stranger "$LAB_BIN/talk" try -t 300 1 $BADMX4 7001; }
t 'the stranger comes in' opens
t 'he is added' mxdp list add big $STRANGER4
[ -n "$was" ] || bail 'nothing is in force'
same '... to what was there' $((was + 1)) "$(held)"
not_t '... and stays out' opens
t '... and stands in the file' grep -qx $STRANGER4 "$LIST"
t '... which is the same as what is in force' mxdp diff
t 'he is taken out' mxdp list del big $STRANGER4
t '... and comes in' opens
not_t '... and is not in the file' grep -q $STRANGER4 "$LIST"
t '... which is the same as what is in force' mxdp diff
t 'a reading of the whole file agrees' mxdp reload
same '... to the last prefix' "$was" "$(held)"
t 'for now alone' mxdp list add big $STRANGER4 --runtime
not_t '... he stays out' opens
not_t '... and is not in the file' grep -q $STRANGER4 "$LIST"
t '... and is taken out' mxdp list del big $STRANGER4 --runtime
t '... and comes in' opens

# ---- under traffic, all the time ----

# what was said for now alone left its trace: from here on the file and what is in force are one again
t 'a reading of the whole file again' mxdp reload

taken() { ns mx ethtool -S bad0 | sed -n 's/.*rx_queue_[0-9]*_xdp_packets: //p' | awk '{ s += $1 } END { print s + 0 }'; }
counted() { mxdp show counters --json | python3 -c '
import json, sys
for i in json.load(sys.stdin)["interfaces"]:
    if i["name"] == "bad0":
        print(i["passed"]["packets"] + i["dropped"]["packets"])'; }
verdicts() { metric "mxdp_port_${1}_packets_total" "port=$2" interface=bad0; }

taken_before=$(taken) counted_before=$(counted)
watch_begin bad0
send() { # ID FAMILY SOURCE PORT RATE
	local dst=$BADMX4
	[ "$2" = 4 ] || dst=$BADMX6
	spawn stranger "$LAB_BIN/inject" up0 to="$LAB_MAC_BAD" src="$3" dst=$dst dport="$4" sport=0 flags=S id="$1" count=100000000 \
		rate="$5" >"$LAB_DIR/sent.$1"
	senders="$senders $LAB_PID"
}
senders=
send 1 4 $IN4 7004 2000
send 2 6 $IN6 7004 2000
send 3 4 $OUT4 7002 2000
send 4 6 $OUT6 7002 2000
send 5 4 random 7003 20000
send 6 6 random 7003 20000

begin=${EPOCHREALTIME/./} failed=0 slowest=0 updates=0
update() {
	local at=${EPOCHREALTIME/./} took
	mxdp "$@" >"$LAB_DIR/said" 2>&1 || { failed=$((failed + 1)); note "mxdp $*: $(head -n 3 "$LAB_DIR/said")"; }
	took=$(((${EPOCHREALTIME/./} - at) / 1000))
	[ $took -le $slowest ] || slowest=$took
	updates=$((updates + 1))
}
for ((n = 0; n < UPDATES; n++)); do
	what=${COMING[n / 2 % ${#COMING[@]}]}
	if ((n % 2)); then update list del big "$what"; else update list add big "$what"; fi
done
took=$(((${EPOCHREALTIME/./} - begin) / 1000)) once=$slowest
same 'every update was made' 0 "$failed"
note "$updates updates of one prefix in $took ms: $((updates * 1000 / (took + 1))) a second; the slowest took $once ms"
# and whole lists, others and back
for n in 1 0 1; do
	cp "$LAB_DIR/big$n" "$LIST.next" && mv "$LIST.next" "$LIST"
	update reload --force
	for what in "${COMING[@]:0:4}"; do update list add big "$what"; update list del big "$what"; done
done
same 'and each that followed the whole list' 0 "$failed"
ends $senders
sleep 0.5
watch_end

passed() { awk -v id="$1" '$1 == id { print $2; found = 1 } END { if (!found) print 0 }' <<<"$LAB_PASSED"; }
sent() { awk '{ print $1 }' "$LAB_DIR/sent.$1"; }
for i in 1 2 3 4; do holds "source $i sent all the while ($(sent $i) packets)" "$(sent $i) > 1000"; done
same 'no packet of a source that every list blocks passed, IPv4' 0 "$(passed 1)"
same '... IPv6' 0 "$(passed 2)"
same '... by the counters' 0 "$(verdicts passed 7004)"
same 'no packet of a source that no list blocks was dropped' 0 "$(verdicts dropped 7002)"
same '... every one that the host saw was counted' "$(($(passed 3) + $(passed 4)))" "$(verdicts passed 7002)"
holds '... and those were nearly all' "($(passed 3) + $(passed 4)) * 100 >= ($(sent 3) + $(sent 4)) * 95"
holds 'others were blocked and passed all the while' "$(verdicts dropped 7003) > 100 && $(verdicts passed 7003) > 1000"
same 'each frame that reached the filter was counted once' $(($(taken) - taken_before)) $(($(counted) - counted_before))

# ---- what remains is one ----

t 'file and force are the same' mxdp diff
now=$(held)
t 'a reading of the whole file' mxdp reload
same '... finds what was kept' "$now" "$(held)"

done_testing
