#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Lists as others publish them, good and bad: what is refused is refused with its line, the list that was in force goes on
# biting, and everything else that the files say is done.
. "$(dirname "$0")/lib.sh"

lab_up
CONF_DIR=$(dirname "$MXDP_CONFIG")
LIST=$CONF_DIR/lists/bad
mkdir -p "$CONF_DIR/lists"

# answers NAME STATUS REGEX VERB...: exit status, and somewhere in what it printed
answers() {
	local name=$1 status=$2 regex=$3 out rc
	shift 3
	out=$(mxdp "$@" 2>&1) && rc=0 || rc=$?
	if [ "$rc" = "$status" ] && grep -Eq -- "$regex" <<<"$out"; then
		ok_line "$name"
	else
		not_ok_line "$name" "mxdp $*: exit status $rc, wanted $status and /$regex/" "$out"
	fi
}
opens() { ns stranger "$LAB_BIN/talk" try -t 300 1 $BADMX4 7001; }
held() { mxdp show lists --json | sed -n 's/.*"prefixes": \([0-9]*\).*/\1/p'; }
epoch() { mxdp status --json | sed -n 's/.*"epoch": \([0-9]*\).*/\1/p'; }

# 60 prefixes in each kind, the stranger among them
numbers() { seq 1 59 | awk '{ printf "198.18.%d.0/24\n", $1 }'; echo "$STRANGER4"; }
as_plain() { echo '; a list; Expires: soon'; numbers | sed 's/$/ ; SBL1234/'; }
as_table() { numbers | sed 's/$/\treject you are listed/'; }
as_json() {
	numbers | sed 's/.*/{"cidr":"&","sblid":"SBL1234","rir":"arin"}/'
	echo '{"type":"metadata","timestamp":'"$(date +%s)"',"size":4000,"records":60,"copyright":"(c)","terms":"none"}'
}
as_ipset() {
	echo 'create drop hash:net family inet hashsize 1024 maxelem 65536'
	numbers | sed 's/^/add drop /'
}
# base [GUARD...]: the rules, and a sentence that is another in each
base() {
	rules 'interface wan0' 'interface bad0' 'default deny' 'admin ssh from 192.0.2.0/24' "list bad file lists/bad $*" 'block @bad' \
		'allow 7001' "allow $((8000 + ++BASE))"
}
BASE=0
newest() { mxdp show rules | grep -qw "allow $((8000 + BASE))"; }

talk mx serve 7001 &
within 5 serves mx 7001

# ---- each kind, whole ----

base
for kind in plain table json ipset; do
	numbers | grep -v "^$STRANGER4" >"$LIST"
	t "$kind: without the stranger" mxdp apply --force
	t '... he comes in' opens
	"as_$kind" >"$LIST"
	t '... read' mxdp apply
	same '... whole' 60 "$(held)"
	not_t '... and he stays out' opens
done

# ---- each kind, spoilt ----

# refused NAME REGEX [GUARD...]: what lies in the file now is refused, with that message, and the rest is done
refused() {
	local name=$1 regex=$2
	shift 2
	base "$@"
	answers "$name: refused" 4 "$regex" reload
	same '... what was in force stays' 60 "$(held)"
	not_t '... and bites' opens
	t '... the rest of the rules is in force' newest
}
as_plain >"$LIST"
base
t 'a good list again' mxdp apply

as_json | sed 20,30d >"$LIST"
refused 'JSON, lines lost' 'lists/bad:50:1: 49 records stand above, and the metadata counts 60'
as_json | head -n 40 >"$LIST"
refused 'JSON, cut after a line' 'no metadata behind the last record'
as_json | head -c 1000 >"$LIST"
refused 'JSON, cut within a line' 'lists/bad:[0-9]+:[0-9]+: not a JSON object: the line ends too early'
as_plain | head -n 25 >"$LIST"
refused 'plain, cut' 'would change too much: \+0 -36 of the 60 prefixes in force'
refused 'plain, cut, by min' 'list "bad" shrank: [0-9]+ prefixes, fewer than min 50' min 50 change any
as_ipset | head -c 700 >"$LIST"
refused 'ipset, cut' 'lists/bad:.*(would change too much|is not an address|host bits)'
: >"$LIST"
refused 'empty' 'lists/bad: no prefix in it'
printf '; this list has moved\n' >"$LIST"
refused 'only comments' 'lists/bad: no prefix in it'
rm "$LIST"
refused 'missing' 'lists/bad: cannot open'
mkdir "$LIST"
refused 'a directory' 'a directory, where a file is expected'
rmdir "$LIST"
{ as_table; echo '198.51.100.7 permit'; } >"$LIST"
refused 'a table that permits too' 'lists/bad:61:1: the table permits \(line 61\) and rejects \(line 1\)'
for kind in plain table json ipset; do
	case $kind in
	plain) line='10.0.0.0/8' ;;
	table) line='10.0.0.0/8 reject' ;;
	json) line='{"cidr":"10.0.0.0/8"}' ;;
	ipset) line='add drop 10.0.0.0/8' ;;
	esac
	"as_$kind" | sed "40i $line" | sed 's/"records":60/"records":61/' >"$LIST"
	refused "$kind with a private range" 'lists/bad:40: 10.0.0.0/8 is private \(RFC 1918\)'
	"as_$kind" | sed '30s/198/ 19x8/' >"$LIST"
	refused "$kind with garbage" 'lists/bad:30:[0-9]+: '
	"as_$kind" | sed '30s/18/\x00/' >"$LIST"
	refused "$kind with a NUL" 'lists/bad:30:[0-9]+: a NUL byte'
	{ "as_$kind"; echo '<html><body>502 Bad Gateway</body></html>'; } >"$LIST"
	refused "$kind with the end of a web page" 'lists/bad:6[0-9]:[0-9]+: '
done
echo '<html><body>502 Bad Gateway</body></html>' >"$LIST"
refused 'a web page' 'lists/bad:1:1: this is a web page'
as_plain | gzip >"$LIST"
refused 'compressed' 'lists/bad:1:1: this is compressed'
{ as_plain; echo 192.0.2.0/24; } >"$LIST"
refused "the relay's own network" "lists/bad:62: 192.0.2.0/24 covers this host's own address 192.0.2.10"
{ as_plain; echo 192.0.2.128/25; } >"$LIST"
refused 'a part of it' "lists/bad:62: 192.0.2.128/25 is a part of this host's own network 192.0.2.0/24"
{ as_plain; echo 192.0.0.0/20; } >"$LIST"
refused 'who may administer' 'lists/bad:62: 192.0.0.0/20 covers 192.0.2.0/24, of whom `admin ssh from 192.0.2.0/24` speaks' private yes
{ as_plain; echo 12.0.0.0/7; } >"$LIST"
refused 'too wide' 'lists/bad:62: 12.0.0.0/7 is wider than /8'
as_plain >"$LIST"
touch -d '3 days ago' "$LIST"
refused 'expired' 'lists/bad: expired: its data is of' expire 26h

# ---- said by status and diff, and over when the file is good ----

answers 'status says so' 1 'WARNING: list bad is old, of 20.*: its file is refused' status
answers '... in JSON' 1 '"reason": ".*lists/bad: expired' status --json
answers '... quietly too' 1 '^$' status --quiet
answers 'diff says so' 1 'list "bad" would stay as it is in force; its file is refused: .*expired' diff
answers 'check calls it an error' 2 'lists/bad: expired' check
answers 'a dry run too' 4 'its file is refused' apply --dry-run
base expire 26h empty
answers 'a list that counts as empty when it expired' 0 'expired, so list "bad" is empty' apply
t '... opens again' opens
as_plain >"$LIST"
t 'a fresh file' mxdp apply
not_t '... closes again' opens
answers '... and status is content' 0 'the same as what is in force' status
base
echo 'alow smtp' >>"$MXDP_CONFIG"
echo junk >"$LIST"
before=$(epoch)
answers 'an error in the rules refuses everything' 2 'unknown word "alow"' apply
same '... and changes nothing' "$before" "$(epoch)"

# ---- list replace ----

as_plain >"$LIST"
base private yes
t 'private ranges where the sentence says yes' mxdp apply
{ numbers; echo 10.0.0.0/8; } >"$LAB_DIR/feed"
answers 'list replace' 0 '\+1 -0, 61 now' list replace bad --file "$LAB_DIR/feed"
base
as_plain >"$LIST"
t 'without' mxdp apply
cp "$LIST" "$LAB_DIR/was"
answers 'list replace is guarded' 2 "$LAB_DIR/feed:61: 10.0.0.0/8 is private" list replace bad --file "$LAB_DIR/feed"
answers '... from standard input' 2 'standard input:61: 10.0.0.0/8 is private' list replace bad --file - <"$LAB_DIR/feed"
as_json | head -n 30 >"$LAB_DIR/feed"
answers '... whole or not at all' 2 'no metadata behind the last record' list replace bad --file "$LAB_DIR/feed"
numbers | head -n 20 >"$LAB_DIR/feed"
answers '... against a great change' 2 'would change too much: \+0 -40 of the 60' list replace bad --file "$LAB_DIR/feed"
t '... and leaves the file as it was' cmp "$LIST" "$LAB_DIR/was"
not_t '... and what is in force' opens
answers '... but what is meant is done' 0 '\+0 -40, 20 now' list replace bad --file "$LAB_DIR/feed" --force
t '...' opens
as_json >"$LAB_DIR/feed"
answers 'replaced by JSON' 0 '\+40 -0, 60 now' list replace bad --file - --force <"$LAB_DIR/feed"
t '... written as a plain list' grep -qx "$STRANGER4" "$LIST"
as_json >"$LIST"
t 'a published file' mxdp apply
answers '... is not edited by list add' 2 'lists/bad is JSON Lines, as others publish it' list add bad 198.51.100.9
answers '... but is by replace' 0 '\+1 -1' list replace bad --file - < <(numbers | sed '1s/.*/198.18.200.0\/24/')
t '... and plain then' grep -qx 198.18.200.0/24 "$LIST"

# ---- a boot with a bad file ----

base
as_plain >"$LIST"
t 'good once more' mxdp apply
same 'the copy is ours alone' '700 600' "$(stat -c %a "$MXDP_STATE") $(stat -c %a "$MXDP_STATE/lists/bad")"
mxdp -q detach
t 'nothing is filtered' opens
as_plain | head -c 300 | tr 1 x >"$LIST"
answers 'loaded anew with a bad file: the copy' 4 'the last good copy of 20.* \(60 prefixes\) is used' apply
not_t '... bites' opens
answers '... as status says' 1 'WARNING: list bad is old' status
mxdp -q detach
answers 'attach does so too' 4 'the last good copy of 20.* \(60 prefixes\) is used' attach bad0
not_t '... and it bites' opens
mxdp -q detach --all
rm -r "$MXDP_STATE"
answers 'without a copy nothing is loaded' 2 'lists/bad:2:' apply
answers '...' 3 'NOTHING IS FILTERED' status
echo "$STRANGER4" >"$LIST"
ln -s /nonexistent "$MXDP_STATE"
answers 'a place for copies that is none: a warning' 0 'warning: .*/state: .*not a directory' apply
rm "$MXDP_STATE"
as_plain >"$LIST"
t 'a list of some' mxdp apply --force
t 'one of them is taken out' mxdp list del bad $STRANGER4
mxdp -q detach
echo junk >>"$LIST"
answers '... and the copy does not bring it back' 4 'the last good copy of 20.* \(59 prefixes\) is used' apply
t '...' opens
as_plain >"$LIST"
t 'one of them is taken out, as others wrote the file meanwhile' eval 'mxdp apply --force && touch "$LIST" && mxdp list del bad $STRANGER4'
not_t '... from the copy too' grep -q "$STRANGER4" "$MXDP_STATE/lists/bad"
echo "$STRANGER4" >"$LIST"
t 'a list of one' mxdp apply --force
t 'emptied on purpose' mxdp list del bad $STRANGER4 --force
mxdp -q detach
answers '... it stays so over a boot' 4 'the last good copy of 20.* \(0 prefixes\) is used' apply
t '...' opens
echo "$STRANGER4" >"$LIST"
t '--state says where' mxdp apply --state "$LAB_DIR/elsewhere"
t '...' grep -qx "$STRANGER4/32" "$LAB_DIR/elsewhere/lists/bad"

# ---- speed ----

awk 'BEGIN { srand(7); for (i = 0; i < 1000000; i++) printf "%d.%d.%d.%d\n", 11 + int(rand() * 80), int(rand() * 256), int(rand() * 256), int(rand() * 256) }' |
	grep -Ev '^(0|1[0-9][0-9]|2[0-9][0-9])\.' >"$LIST"
base
time_of() { local s=${EPOCHREALTIME/./}; "$@" >/dev/null 2>&1; echo $(((${EPOCHREALTIME/./} - s) / 1000)); }
note "check of a million prefixes: $(time_of mxdp check) ms; apply --force: $(time_of mxdp apply --force) ms; again: $(time_of mxdp reload) ms"

# ---- what lists hold lies in the kernel once, and twice only while there is a way back ----

packs() { find "$MXDP_BPFFS/mxdp/now/lists" -type f 2>/dev/null | wc -l; }
many_from() { seq "$1" "$2" | awk '{ printf "20.%d.%d.0/24\n", $1 / 250, $1 % 250 }'; }
base private yes cover yes
many_from 1 3000 >"$LIST"
t 'a list of 3,000' mxdp apply --force
same '... lies there once' 1 "$(packs)"
many_from 2000 6000 >"$LIST"
t 'another in its place' mxdp reload --force
same '... and the one before is gone' 1 "$(packs)"
many_from 1 5000 >"$LIST"
t 'a third, on trial' mxdp apply --force --confirm 60s
same '... and the way back is there' 2 "$(packs)"
t '... and is taken' mxdp rollback
t 'what comes next' mxdp reload --force
same '... leaves one' 1 "$(packs)"

# ---- a large file is not written anew for each prefix that goes, nor does it fill up with what is left of them ----

numbers_from() { seq "$1" "$2" | awk '{ printf "20.%d.%d.0/24\n", $1 / 250, $1 % 250 }'; }
blanks() { grep -c '^# *$' "$LIST"; }
base private yes cover yes
numbers_from 1 30000 >"$LIST"
echo '# its last line' >>"$LIST"
t 'a list of 30,000' mxdp apply --force
t 'one goes where it stands' mxdp list del bad 20.7.7.0/24
same '... and leaves a line of blanks' 1 "$(blanks)"
t '... out of the file and out of force' eval 'mxdp diff && ! grep -q 20.7.7.0/24 "$LIST"'
sed -i 's/^20\.[1-4][0-9]\..*/#            /' "$LIST"
t 'so many went' mxdp apply --force
holds '... that much of it is blanks' "$(blanks) > 9000"
t 'and one more' mxdp list del bad 20.7.8.0/24
same '... takes them all away' 0 "$(blanks)"
same '... and leaves the rest as it was' "$(numbers_from 1 30000 | grep -Ev '^20\.([1-4][0-9]\.|7\.[78]\.)'; echo '# its last line')" "$(cat "$LIST")"
t '... and in force' mxdp diff

done_testing
