#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Faults of operation (E) and attacks on the machinery (G), each row of the list in docs/faults.md by its name.
. "$(dirname "$0")/lib.sh"

lab_up
talk mx serve 7001 7002 &
within 5 serves mx 7002
base() { rules 'interface wan0' 'default deny' 'admin ssh from 203.0.113.7' 'allow 7001' "$@"; }

# filters WHEN: an open port answers and a closed one does not
filters() {
	t "$1: an open port answers" talk remote try 1 $MX4 7001
	not_t "$1: a closed port is silent" talk remote try -t 300 1 $MX4 7002
}
# says CODE REGEX COMMAND...: exit status and something that is said
says() {
	local want=$1 regex=$2 out rc
	shift 2
	out=$("$@" 2>&1) && rc=0 || rc=$?
	[ $rc = "$want" ] && grep -Eq -- "$regex" <<<"$out" || { echo "exit status $rc: $out"; false; }
}
# What an interface runs, and the maps it uses: others may filter on this machine too
program_of() { ns mx ip -d link show "$1" | sed -n 's/.*prog\/xdp id \([0-9]*\).*/\1/p'; }
maps_of() { bpftool -j prog show id "$1" | sed -n 's/.*"map_ids":\[\([0-9,]*\)\].*/\1/p' | tr , ' '; }
gone() { local what=$1 id; shift; for id in "$@"; do bpftool $what show id "$id" >/dev/null 2>&1 && return 1; done; return 0; }

base
t 'apply' mxdp apply
filters 'to begin with'

# ---- E1: kill -9 of the command; nothing else of ours runs ----

for i in 1 2 3 4 5 6 7 8; do
	spawn mx "$MXDP" apply >/dev/null 2>&1
	sleep 0.00$((RANDOM % 9 + 1))
	kill -9 "$LAB_PID" 2>/dev/null
	wait "$LAB_PID" 2>/dev/null
done
filters 'E1 eight times kill -9'
t 'E1 the next command adopts what is there' mxdp apply
t 'E1 ... and status is content' mxdp status

# ---- E4: bad files, refused as a whole ----

good=$(cat "$MXDP_CONFIG")
bad_file() {
	local name=$1
	cp "$MXDP_CONFIG" "$LAB_DIR/bad"
	not_t "E4 $name is refused" mxdp apply
	printf '%s\n' "$LAB_OUT" >"$LAB_DIR/said"
	t "E4 $name: the place is named" grep -Eq "mxdp.conf(:[0-9]+:[0-9]+)?" "$LAB_DIR/said"
	t "E4 $name: the file is as it was" cmp "$MXDP_CONFIG" "$LAB_DIR/bad"
	t "E4 $name: the rules in force are as they were" eval 'mxdp show rules | grep -q "allow 7001"'
}
printf '%s\nallow 7002\nalow 7003\n' "$good" >"$MXDP_CONFIG" && bad_file 'an unknown word'
printf '%s\nallow 70002\n' "$good" >"$MXDP_CONFIG" && bad_file 'a port out of range'
printf '%s\nallow 7002\0\n' "$good" >"$MXDP_CONFIG" && bad_file 'a NUL byte'
: >"$MXDP_CONFIG" && bad_file 'an empty file'
{ printf '%s\nallow ' "$good"; head -c 1048576 /dev/zero | tr '\0' 7; } >"$MXDP_CONFIG" && bad_file 'a line of a megabyte'
head -c 4096 /dev/urandom >"$MXDP_CONFIG" && bad_file 'noise'
rm "$MXDP_CONFIG"
t 'E4 a missing file is refused' says 2 'mxdp.conf' mxdp apply
mkdir "$MXDP_CONFIG"
t 'E4 a directory is refused' says 2 'mxdp.conf' mxdp apply
rmdir "$MXDP_CONFIG"
printf '%s\r\n' 'interface wan0' 'default deny' 'admin ssh from 203.0.113.7' 'allow 7001' >"$MXDP_CONFIG"
t 'E4 CRLF is understood' mxdp apply
printf '%s' "$good" >"$MXDP_CONFIG"
t 'E4 no newline at the end is understood' mxdp apply
base
filters 'E4'

# ---- E7: two at once ----

for i in 1 2 3 4 5 6 7 8; do
	spawn mx "$MXDP" --quiet allow 710$i
	writers[i]=$LAB_PID
done
failed=0
for w in "${writers[@]}"; do wait "$w" || failed=$((failed + 1)); done
same 'E7 eight changes at once: all are done' 0 $failed
same 'E7 ... and written' 8 "$(grep -c '^allow 710[1-8]' "$MXDP_CONFIG")"
same 'E7 ... and in force' 8 "$(mxdp show rules | grep -c 'allow 710[1-8]')"
exec {held}<"$MXDP_BPFFS/mxdp"
flock "$held"
t 'E7 while another one works the second waits, and refuses in the end' says 3 'another mxdp' mxdp apply
exec {held}<&-
base
t 'E7 afterwards all is well' mxdp apply

# ---- E8: foreign programs ----

cat >"$LAB_DIR/pass.c" <<'END'
__attribute__((section("xdp"), used)) int other(void *ctx) { (void)ctx; return 2; }
char gpl[] __attribute__((section("license"), used)) = "GPL";
END
clang -target bpf -O2 -g -c -o "$LAB_DIR/pass.o" "$LAB_DIR/pass.c" && bpftool prog load "$LAB_DIR/pass.o" "$MXDP_BPFFS/other"
ns mx bpftool net attach xdp pinned "$MXDP_BPFFS/other" dev bad0
t 'E8 a foreign program is a refusal that names it' says 3 'other' mxdp attach bad0
t 'E8 ... and stays' eval 'ns mx ip link show bad0 | grep -q prog/xdp'
not_t 'E8 ... and no sentence is written' grep -q bad0 "$MXDP_CONFIG"
ns mx bpftool net detach xdp dev bad0
t 'E8 with it gone the interface is filtered' mxdp attach bad0
not_t 'E8 a program that comes later is refused by the kernel' ns mx bpftool net attach xdp pinned "$MXDP_BPFFS/other" dev bad0
rm "$MXDP_BPFFS/other"
t 'E8 somebody takes ours off' bpftool link detach pinned "$MXDP_BPFFS/mxdp/dev/bad0/link"
t 'E8 ... status notices' says 1 'bad0' mxdp status
t 'E8 ... and apply brings it back' mxdp apply
t 'E8 ... for good' mxdp status
t 'detach' mxdp detach bad0

# ---- E9: what becomes of interfaces ----

ns mx ip link set wan0 down
ns mx ip link set wan0 up
ns mx ip route replace default via $REMOTE4
within 5 talk remote try 1 $MX4 7001
filters 'E9 down and up'
ns mx ip link set wan0 mtu 1400
filters 'E9 another MTU'
ns mx ip link set wan0 mtu 1500
ip link add moved netns "$LAB_ID-mx" type veth peer name far netns "$LAB_ID-remote"
ns mx ip link set moved up
t 'E9 a third interface' mxdp attach moved
ns mx ip link set moved netns "$LAB_ID-stranger"
t 'E9 moved to another namespace: status says so' says 1 'moved' mxdp status
ns stranger ip link del moved
t 'E9 deleted: status says so' says 1 'moved' mxdp status
ip link add moved netns "$LAB_ID-mx" type veth peer name far netns "$LAB_ID-remote"
t 'E9 made again: status says that it is not filtered' says 1 'moved' mxdp status
t 'E9 ... and apply takes it in' mxdp apply
t 'E9 ... for good' mxdp status
t 'E9 detached' mxdp detach moved
ns mx ip link del moved

# ---- E10: no native support ----

if ns mx ip link add link bad0 name macv0 type macvlan 2>/dev/null; then
	t 'E10 a driver without XDP: a refusal that names the remedy' says 3 'mode generic' mxdp attach macv0
	t 'E10 generic mode only when it is asked for, and it is said' says 0 'generic' mxdp attach macv0 mode generic
	t 'E10 status names it' says 0 'GENERIC' mxdp status
	t 'E10 detached' mxdp detach macv0
	ns mx ip link del macv0
else
	skip 'E10 a driver without XDP' 'no macvlan here'
fi
t 'E10 nothing may be locked in memory' ns mx prlimit --memlock=0 "$MXDP" apply
t 'E10 without the capability: said so' says 3 'CAP_BPF|run as root' ns mx setpriv --bounding-set=-all --inh-caps=-all "$MXDP" attach bad0
base

# ---- E11: nothing to write on ----

mkdir "$LAB_DIR/plain"
t 'E11 not a bpffs: said so' says 3 'bpf' mxdp --bpffs "$LAB_DIR/plain" apply
same 'E11 ... and nothing is put there' '' "$(ls "$LAB_DIR/plain")"
mount -o remount,ro "$MXDP_BPFFS"
t 'E11 a read-only bpffs: an error' says 3 '' mxdp attach bad0
mount -o remount,rw "$MXDP_BPFFS"
not_t 'E11 ... and no sentence' grep -q bad0 "$MXDP_CONFIG"
filters 'E11 a read-only bpffs'
group=/sys/fs/cgroup/mxdp-lab-$$
if mkdir "$group" 2>/dev/null && [ -w "$group/memory.max" ]; then
	for i in {0..65535}; do echo "$((20 + i / 65536)).$((i / 256)).$((i % 256)).0/24"; done >"$LAB_DIR/mxdp/many.txt"
	base 'list many file many.txt' 'block @many'
	echo 12M >"$group/memory.max"
	not_t 'E11 out of memory' ns mx sh -c 'echo $$ > "$1"; exec "$2" apply' sh "$group/cgroup.procs" "$MXDP"
	base
	filters 'E11 out of memory'
	t 'E11 the next command works' mxdp apply
	within 5 rmdir "$group"
else
	rmdir "$group" 2>/dev/null
	skip 'E11 out of memory' 'no memory cgroup to be had here'
fi

# ---- E14: status of what is broken ----

t 'E14 a program pin is gone' rm "$MXDP_BPFFS/mxdp/now/prog/wan0"
not_t 'E14 ... status is not content' mxdp status
t 'E14 ... apply mends it' mxdp apply
t 'E14 ...' mxdp status
filters 'E14 mended'
mv "$MXDP_BPFFS/mxdp/now/lease" "$MXDP_BPFFS/mxdp/now/state2" 2>/dev/null
t 'E14 a map pin is gone: said, with the way out' says 3 'rm -r|mxdp' mxdp status
mv "$MXDP_BPFFS/mxdp/now/state2" "$MXDP_BPFFS/mxdp/now/lease"
t 'E14 back in its place' mxdp status

# ---- G ----

modes() { find "$MXDP_BPFFS/mxdp" "$@" -printf '%m %p\n'; }
same 'G1 directories are the owner'\''s alone' '' "$(modes -type d | grep -v '^700 ')"
same 'G1 pins are the owner'\''s alone' '' "$(modes ! -type d | grep -v '^600 ')"
not_t 'G1 nobody else reads' ns mx setpriv --reuid=nobody --regid=nogroup --clear-groups "$MXDP" show counters
not_t 'G1 nobody else changes' ns mx setpriv --reuid=nobody --regid=nogroup --clear-groups "$MXDP" --runtime allow 7002

other=$LAB_DIR/bpf2
mkdir "$other"
mount -t bpf mxdp-lab2 "$other"
mkdir "$other/mxdp"
chmod 700 "$other/mxdp"
chown nobody "$other/mxdp"
t 'G3 a directory that another user made is refused' says 3 'mxdp' mxdp --bpffs "$other" apply
rmdir "$other/mxdp"
mkdir "$other/mxdp"
chmod 777 "$other/mxdp"
t 'G3 one that others may write to is refused' says 3 'mxdp' mxdp --bpffs "$other" apply
rmdir "$other/mxdp"
mkdir "$other/elsewhere"
ln -s elsewhere "$other/mxdp"
t 'G3 a link is refused, not followed' says 3 'mxdp' mxdp --bpffs "$other" apply
same 'G3 ... and nothing was put there' '' "$(ls "$other/elsewhere")"
umount "$other"
now=$MXDP_BPFFS/mxdp/now
mv "$now/trie" "$now/trie2"
bpftool map create "$now/trie" type hash key 4 value 4 entries 1 name other
t 'G3 another type at the place of a pin is refused' says 3 'trie' mxdp status
rm "$now/trie"
mv "$now/trie2" "$now/trie"
t 'G3 put right again' mxdp status

ip link add 'od"\d' netns "$LAB_ID-mx" type veth peer name far netns "$LAB_ID-remote"
t 'G4 an interface with quotes in its name' mxdp --runtime attach 'od"\d'
t 'G4 ... JSON stays JSON' eval 'mxdp status --json | python3 -m json.tool >/dev/null'
t 'G4 ... and the export well formed' eval 'mxdp export | promtool check metrics >/dev/null && mxdp export | grep -Fq "interface=\"od\\\"\\\\d\""'
mxdp --runtime -q detach 'od"\d'
ns mx ip link del 'od"\d'
esc=$(printf '\033')
not_t 'G4 an escape sequence in a word' mxdp allow "${esc}[31m"
not_t 'G4 ... is not printed as it is' grep -q "$esc" <<<"$LAB_OUT"

chmod 666 "$MXDP_CONFIG"
t 'G5 a rules file that anybody may write' says 0 'everyone may write' mxdp check
chmod 640 "$MXDP_CONFIG"

bank=$(($(mxdp status --json | sed -n 's/.*"epoch": *\([0-9]*\).*/\1/p' | head -n 1) % 2))
t 'G7 somebody writes into a map' bpftool map update pinned "$MXDP_BPFFS/mxdp/now/frozen$bank" key 0 0 0 0 value hex \
	$(for i in {1..4096}; do echo 00; done)
t 'G7 ... it is reported' says 3 'somebody else wrote' mxdp show rules
t 'G7 ... and apply mends it' mxdp apply
t 'G7 ...' mxdp show rules
filters 'G7'

# ---- E2: a thousand reloads, under a connection that talks and somebody who knocks ----

spawn remote "$LAB_BIN/talk" hold -e 20 -s "$LAB_DIR/hold" 20 $MX4 7001
holder=$LAB_PID
watch_begin wan0
spawn remote "$LAB_BIN/inject" up0 to="$LAB_MAC_WAN" src=$REMOTE4 dst=$MX4 dport=7002 count=10000000 rate=2000 id=1 >/dev/null
knocker=$LAB_PID
failed=0
for ((i = 0; i < 1000; i++)); do
	mxdp -q reload >/dev/null 2>&1 || failed=$((failed + 1))
done
ends "$knocker"
watch_end
same 'E2 a thousand reloads' 0 $failed
same 'E2 no knock on a closed port came through' '' "$LAB_PASSED"
same 'E2 no connection was cut' 0 "$(stat_of "$LAB_DIR/hold" broken)"
t 'E2 ... and they talk' eval "before=\$(stat_of '$LAB_DIR/hold' messages); within 5 eval '[ \"\$(stat_of $LAB_DIR/hold messages)\" -gt \$((before + 40)) ]'"
ends "$holder"

# ---- a library that only some ask for is not there ----

libmnl=$(ldconfig -p | sed -n 's/.*libmnl\.so\.0 .*=> //p' | head -n 1)
without_libmnl() {
	ns mx unshare --mount --propagation private sh -c 'mount --bind /dev/null "$1" && shift && exec "$@"' sh "$(realpath "$libmnl")" "$@"
}
t 'without libmnl: who asks for it says what is missing' says 3 'libmnl\.so\.0.*package libmnl0' without_libmnl "$MXDP" show flows
cp "$MXDP_CONFIG" "$LAB_DIR/before"
t 'without libmnl: ... so does a veth that is to be filtered' says 3 'libmnl\.so\.0.*package libmnl0' without_libmnl "$MXDP" attach bad0
t 'without libmnl: ... which changes nothing' cmp "$MXDP_CONFIG" "$LAB_DIR/before"
t 'without libmnl: a ban does not ask' without_libmnl "$MXDP" ban 203.0.113.99
t 'without libmnl: ... nor does its end' without_libmnl "$MXDP" unban 203.0.113.99
t 'without libmnl: status does not ask' without_libmnl "$MXDP" status
filters 'without libmnl'
t 'with it again' mxdp reload

# ---- E13: nothing is left ----

program=$(program_of wan0)
maps=$(maps_of "$program")
holds 'E13 the interface runs a program with maps' "$(wc -w <<<"$maps") > 4"
t 'E13 detach' mxdp detach
not_t 'E13 no pin' test -e "$MXDP_BPFFS/mxdp"
t 'E13 no program' within 5 gone prog "$program"
# shellcheck disable=SC2086
t 'E13 no map' within 5 gone map $maps
same 'E13 nothing on the interface' '' "$(ns mx ip -d link show wan0 | grep -o 'prog/xdp')"
t 'E13 every port answers' talk remote try 1 $MX4 7002
done_testing
