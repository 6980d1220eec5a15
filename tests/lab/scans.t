#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Whoever scans finds the open ports and nothing else, whatever the packets look like.
. "$(dirname "$0")/lib.sh"

OPEN='25 465 587 993'
CLOSED='22 143 3306 8080'
PORTS=1-1100,3306,8080

lab_up
# shellcheck disable=SC2086
talk mx serve $OPEN $CLOSED &
within 5 serves mx 8080
rules 'interface bad0' 'default deny' 'allow smtp, submission, submissions, imaps'

# scan FAMILY ARGUMENTS...: "PORT/STATE" of every port nmap has an opinion on, and what it says of all the others
scan() {
	local family=$1 target=$BADMX4
	shift
	[ "$family" = 4 ] || target="-6 $BADMX6"
	# shellcheck disable=SC2086
	ns stranger nmap -n -Pn --disable-arp-ping --max-retries 1 --min-rate 5000 --max-rtt-timeout 200ms --initial-rtt-timeout 100ms \
		"$@" -oG - $target >"$LAB_DIR/nmap" 2>&1 || { cat "$LAB_DIR/nmap"; return 1; }
	sed -n 's/.*Ports: //p' "$LAB_DIR/nmap" | sed 's/\t.*//' | tr ',' '\n' | sed -n 's,^ *\([0-9]*/[^/]*\)/.*,\1,p'
	sed -n 's/.*Ignored State: \([a-z|]*\) .*/others \1/p' "$LAB_DIR/nmap"
}

ports_in() { sed -n "s,^\([0-9]*\)/$1\$,\1,p" | sort -n | xargs; }
# Every opinion that tells one port from another
told_apart() { grep -v '^others' | cut -d/ -f2 | sort | uniq -c | xargs; }

# ---- what they find without a filter: if this fails, the rest would prove nothing ----
for f in 4 6; do
	same "IPv$f: without the filter -sS finds everything that listens" "$(tr ' ' '\n' <<<"$OPEN $CLOSED" | sort -n | xargs)" \
		"$(scan $f -sS -p $PORTS | ports_in open)"
	t "IPv$f: without the filter -sF tells open ports from closed ones" eval "scan $f -sF -p $PORTS | grep -q closed"
	t "IPv$f: without the filter -sA is answered" eval "scan $f -sA -p $PORTS | grep -q unfiltered"
done

t 'attach' mxdp apply
for f in 4 6; do
	found=$(scan $f -sS --min-rate 15000 -p 1-65535)
	same "IPv$f: -sS on all ports finds exactly the allowed ones" "$OPEN" "$(ports_in open <<<"$found")"
	same "IPv$f: ... and knows nothing of the others" 'others filtered' "$(grep others <<<"$found")"
	same "IPv$f: ... neither" '4 open' "$(told_apart <<<"$found")"
	for kind in -sA -sW; do
		found=$(scan $f $kind -p $PORTS)
		same "IPv$f: $kind learns nothing" 'others filtered' "$found"
	done
	for kind in -sN -sF -sX -sM; do
		found=$(scan $f $kind -p $PORTS)
		same "IPv$f: $kind learns nothing" 'others open|filtered' "$found"
	done
	for flags in SYNFIN SYNRST SYNFINPSHURG ALL URGPSH RST SYNACK; do
		found=$(scan $f -sS --scanflags $flags -p $PORTS)
		same "IPv$f: --scanflags $flags learns nothing" 'others filtered' "$found"
	done
	same "IPv$f: --badsum learns nothing" 'others filtered' "$(scan $f -sS --badsum -p $PORTS)"
	same "IPv$f: from source port 53, only the allowed ports" "$OPEN" "$(scan $f -sS -g 53 -p $PORTS | ports_in open)"
	same "IPv$f: with data on the SYN, only the allowed ports" "$OPEN" "$(scan $f -sS --data-length 40 -p $PORTS | ports_in open)"
done

# nmap cuts IPv4 only; a first fragment without the whole TCP header goes nowhere, whatever port it names
same 'IPv4: -f learns nothing' 'others filtered' "$(scan 4 -sS -f -p $PORTS)"
same 'IPv4: --mtu 8 learns nothing' 'others filtered' "$(scan 4 -sS --mtu 8 -p $PORTS)"
same 'IPv4: --mtu 16 learns nothing' 'others filtered' "$(scan 4 -sS --mtu 16 -p $PORTS)"
same 'IPv4: --ip-options S (source route) learns nothing' 'others filtered' "$(scan 4 -sS --ip-options "S $BADMX4" -p 1-30,3306)"
same 'IPv4: --ip-options R finds the allowed ports' '25' "$(scan 4 -sS --ip-options R -p 1-30,3306 | ports_in open)"

# hping3's tricks
for way in '-X' '-Y' '-F -P -U' '-S -A' '-S -f' '-S -s 53' ''; do
	# shellcheck disable=SC2086
	t "hping3 $way to a closed port: no answer" eval "ns stranger hping3 -n -q $way -c 4 -i u20000 -p 3306 $BADMX4 2>&1 | grep -q ' 0 packets received'"
done
t 'hping3 -S to an open port: every one answered' eval "ns stranger hping3 -n -q -S -c 4 -i u20000 -p 25 $BADMX4 2>&1 | grep -q ' 4 packets received'"

# ---- tagged and cut frames, in both families; what passed is asked of the host behind the filter ----
#      ID is 1000 + a running number; `wanted` collects those that must pass
id=1000 wanted=
# frame PASSES KEY=VALUE...
frame() {
	local passes=$1
	shift
	id=$((id + 1))
	[ "$passes" = no ] || wanted="$wanted$id 1"$'\n'
	SAID[id]=$*
	inject stranger to="$LAB_MAC_BAD" id=$id "$@" >/dev/null || echo "cannot send $*"
}
declare -a SAID

watch_begin bad0
for f in 4 6; do
	if [ $f = 4 ]; then ends_at="src=$STRANGER4 dst=$BADMX4"; else ends_at="src=$STRANGER6 dst=$BADMX6"; fi
	for tags in '' 'tag=8100:0' 'tag=8100:100' 'tag=88a8:7' 'tag=9100:7' 'tag=88a8:7 tag=8100:100' 'tag=8100:0 tag=8100:0' \
		'tag=9100:9 tag=8100:100'; do
		# shellcheck disable=SC2086
		{
			frame yes $ends_at $tags dport=25 flags=S
			frame yes $ends_at $tags dport=993 flags=SEC
			for port in $CLOSED 1 65535; do
				frame no $ends_at $tags dport=$port flags=S
			done
			for port in 25 3306; do
				for flags in A - F FPU FA R RA SF SR SA SFRPAUEC P; do
					frame no $ends_at $tags dport=$port flags=$flags
				done
				frame no $ends_at $tags dport=$port flags=S split=8
				frame no $ends_at $tags dport=$port flags=S split=16 data=40
			done
			frame no $ends_at $tags dport=3306 flags=S split=24 data=40
			frame no $ends_at $tags sport=53 dport=3306 flags=S
		}
	done
	for tags in 'tag=8100:1 tag=8100:2 tag=8100:3' 'tag=88a8:1 tag=88a8:2 tag=8100:3 tag=8100:4'; do
		# shellcheck disable=SC2086
		for port in 25 3306; do
			frame no $ends_at $tags dport=$port flags=S
		done
	done
done
watch_end
passed=$LAB_PASSED
same "of $((id - 1000)) tagged and cut frames exactly the SYNs to open ports pass" "$(sort <<<"${wanted%$'\n'}")" "$(sort <<<"$passed")"
for n in $(sort <<<"$passed"$'\n'"${wanted%$'\n'}" | uniq -u | cut -d' ' -f1); do
	note "frame $n: ${SAID[n]:-}"
done
t 'deeper tags are counted as what they are' eval "[ \$(metric mxdp_dropped_packets_total reason=vlan-depth) = 8 ]"
done_testing
