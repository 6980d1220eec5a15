#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# What an operator reads is so: examples work when pasted, and the manual lists what the program and the header list.
. "$(dirname "$0")/lib.sh"

MAN8=$LAB_ROOT/docs/man/mxdp.8 MAN5=$LAB_ROOT/docs/man/mxdp.conf.5
EXAMPLE=$LAB_ROOT/docs/mxdp.conf.example README=$LAB_ROOT/README.md METRICS=$LAB_ROOT/docs/metrics.md

lab_up
CONF_DIR=$(dirname "$MXDP_CONFIG")
WORK=$LAB_DIR/docs
mkdir -p "$WORK/bin" "$WORK/blocks" "$CONF_DIR/lists"
printf '#!/bin/sh\nexec nsenter --net=%s -- %s "$@"\n' "/run/netns/$LAB_ID-mx" "$MXDP" >"$WORK/bin/mxdp"
chmod +x "$WORK/bin/mxdp"
drop_list() { awk 'BEGIN { for (i = 0; i < 600; i++) printf "198.18.%d.%d\n", i / 200, i % 200 + 1 }' >"$CONF_DIR/lists/drop.txt"; }
drop_list

# what one list has and the other has not
same_lists() { diff <(echo "$1") <(echo "$2"); }
plain() { sed 's/\\-/-/g; s/\\~/ /g; s/\\(dq/"/g; s/\\&//g; s/\\e/\\/g'; }

# blocks MANUAL: writes its examples to $WORK/blocks/LINE, each under its mark: example, rules, judged, list, errors, text
blocks() {
	rm -f "$WORK"/blocks/*
	awk -v dir="$WORK/blocks" '
		/^\.\\" / { mark = substr($0, 5); next }
		/^\.EX/ { file = sprintf("%s/%04d", dir, NR); print mark > file; mark = ""; next }
		/^\.EE/ { close(file); file = ""; next }
		file { print > file }
	' "$1"
	for b in "$WORK"/blocks/*; do plain <"$b" >"$b.new" && mv "$b.new" "$b"; done
}
every_block_is_marked() {
	awk '/^\.EX/ && before !~ /^\.\\" (example( fresh| [0-9])?|rules|judged|list|errors|text)$/ {
		print FILENAME ":" FNR ": this example has no mark"; bad = 1 } { before = $0 } END { exit bad }' "$1"
}

# ---- what is generated ----

t 'the reasons of docs/reasons.md and mxdp.8 are those of reasons.h' "$LAB_ROOT/tools/gen-reasons" --check
sed 's/"land"/"landed"/' "$LAB_ROOT/include/mxdp/reasons.h" >"$WORK/reasons.h"
not_t '... and it is noticed when they are not' env REASONS_H="$WORK/reasons.h" "$LAB_ROOT/tools/gen-reasons" --check

# ---- mxdp.8 ----

t 'mxdp.8 has every verb of `mxdp help`, with its words, and no other' same_lists \
	"$("$MXDP" help --json | sed -n 's/^ *"args": "\(.*\)",$/mxdp \1/p' | sort)" \
	"$(plain <"$MAN8" | awk '/^\.SH/ { on = /COMMANDS/ } on && before == ".TP" && sub(/^\.B mxdp /, "mxdp ") { print } { before = $0 }' | sort)"
options() { grep -Eo -- '(^|[ ,(])--[a-z][a-z-]+' | tr -d ' ,(' | sort -u; }
verbs=$("$MXDP" help --json | sed -n 's/^ *"name": "\(.*\)",$/\1/p')
t 'mxdp.8 has every option, and no other' same_lists \
	"$( (for v in '' $verbs; do "$MXDP" help ${v:+"$v"} | grep -E '^  (-.,? )?.*--[a-z]' ; done; echo ' --help --version') | options)" \
	"$(plain <"$MAN8" | sed -n '/^\.SH OPTIONS/,/^\.SH "COMMANDS/p' | sed 's/"//g; /^\.\(TP\|B\|BI\|BR\) *-/!d' | options)"
if command -v mandoc >/dev/null; then
	same 'the manual is clean to mandoc' '' "$(mandoc -T lint "$MAN8" "$MAN5" "$LAB_ROOT/docs/man/mxdp-import.8" 2>&1)"
else
	skip 'the manual is clean to mandoc' 'mandoc is not installed'
fi
t 'every example of mxdp.8 says what it is' every_block_is_marked "$MAN8"
t 'every example of mxdp.conf.5 says what it is' every_block_is_marked "$MAN5"

# What an example starts from: fresh, or these rules in force
base() {
	drop_list
	if [ "$1" = fresh ]; then
		mxdp detach -q
		rm -f "$MXDP_CONFIG"
		return
	fi
	rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow smtp' 'list office 203.0.113.0/24' \
		'list drop file lists/drop.txt' 'allow submission from @office' 'block @drop'
	mxdp apply -q --force
}
paste_block() {
	local rc=0
	(cd "$CONF_DIR" && PATH=$WORK/bin:$PATH bash -eu -o pipefail "$WORK/script") || rc=$?
	[ $rc = "$1" ] || { echo "exit status $rc, and should be $1, of:"; cat "$WORK/script"; return 1; }
}
blocks "$MAN8"
run=0
for b in "$WORK"/blocks/*; do
	read -r mark how <"$b"
	[ "$mark" = example ] || continue
	run=$((run + 1))
	sed "1d; s/\\beth0\\b/wan0/g; s|/etc/mxdp|$CONF_DIR|g; s|/var/lib/prometheus/node-exporter|$WORK|g" "$b" >"$WORK/script"
	base "$how"
	[ "$how" != fresh ] || how=
	t "mxdp.8: $(head -n 1 "$WORK/script")" paste_block "${how:-0}"
done
holds 'mxdp.8 has examples' "$run >= $(echo "$verbs" | wc -w)"

# ---- mxdp.conf.5 ----

# stdin is a whole file, beside which there is lists/drop.txt
checks() { cat >"$CONF_DIR/checked.conf" && "$MXDP" check --config "$CONF_DIR/checked.conf"; }
judges() {
	local line command status rc bad=0
	sed '/^# mxdp/d; s/\beth0\b/wan0/' "$1" >"$MXDP_CONFIG"
	mxdp apply || return
	while read -r line; do
		command=${line#\# mxdp } status=${command##*-> } command=${command%%->*}
		# the words of the example are the words of the command
		# shellcheck disable=SC2086
		mxdp $command && rc=0 || rc=$?
		[ "$rc" = "$status" ] || { echo "exit status $rc: $line"; bad=1; }
	done < <(grep '^# mxdp' "$1")
	return $bad
}
blocks "$MAN5"
drop_list
seen=' '
for b in "$WORK"/blocks/*; do
	read -r mark <"$b"
	sed -i 1d "$b"
	seen="$seen$mark "
	case $mark in
	rules) t "mxdp.conf.5: $(head -n 1 "$b")" checks <"$b" ;;
	judged)
		base fresh
		t "mxdp.conf.5: the rules are checked: $(sed -n 3p "$b")" checks <"$b"
		t '... and judge as it says' judges "$b"
		;;
	list)
		cp "$b" "$CONF_DIR/lists/one.txt"
		t 'mxdp.conf.5: the file of a list' checks <<<$'interface eth0\nlist one file lists/one.txt\nblock @one'
		;;
	errors)
		while read -r sentence && read -r said; do
			printf '%s\n' "$sentence" >"$CONF_DIR/checked.conf"
			same "mxdp.conf.5: error: $sentence" "mxdp: $CONF_DIR/checked.conf:$said" \
				"$("$MXDP" check --config "$CONF_DIR/checked.conf" 2>&1 | head -n 1)"
		done <"$b"
		;;
	esac
done
for mark in rules judged list errors; do
	case $seen in *" $mark "*) ok_line "mxdp.conf.5 has examples: $mark" ;; *) not_ok_line "mxdp.conf.5 has examples: $mark" ;; esac
done

# ---- mxdp.conf.example ----

t 'mxdp.conf.example is fine' checks <"$EXAMPLE"
t '... drops nothing when it is attached as it is' grep -qx observe "$EXAMPLE"
t '... and is fine with every sentence in it said' checks < <(sed 's/^#\([a-z]\)/\1/' "$EXAMPLE")
base fresh
cp "$EXAMPLE" "$MXDP_CONFIG"
t '... can be attached with' mxdp attach wan0

# ---- metrics.md ----

base rules
# so that there is something to say of everything
mxdp -q ban 203.0.113.99 for 1h
mxdp -q --runtime allow 7001 connections 5
mxdp export >"$WORK/prom"
t 'metrics.md has every metric with its type, and no other' same_lists "$(sed -n 's/^# TYPE //p' "$WORK/prom" | sort)" \
	"$(sed -n 's/^| `\(mxdp_[a-z_]*\)` | \([a-z]*\) .*/\1 \2/p' "$METRICS" | sort)"

sed -n '/^```yaml/,/^```$/p' "$METRICS" | sed '1d; $d' >"$WORK/alerts.yml"
if command -v promtool >/dev/null; then
	t 'its alerts are rules for Prometheus' promtool check rules "$WORK/alerts.yml"
else
	skip 'its alerts are rules for Prometheus' 'promtool is not installed'
fi
alert_metrics() { grep -Eo 'mxdp_[a-z_]+' "$WORK/alerts.yml" | grep -vxf <(sed -n 's/^# TYPE \([^ ]*\) .*/\1/p' "$WORK/prom"); }
same '... and speak of metrics that there are' '' "$(alert_metrics)"

# ---- README.md ----

unknown_words() {
	local word bad=0
	for word in $(grep -Eo '(^|[`#( ])mxdp [a-z]+' "$README" | grep -Eo '[a-z]+$' | sort -u); do
		case " $verbs $PROSE " in *[[:space:]]"$word"[[:space:]]*) ;; *) echo "no verb: mxdp $word"; bad=1 ;; esac
	done
	for word in $(grep -Eo '\b(tools|docs|tests|user|bpf|include)/[A-Za-z0-9._/-]*[A-Za-z0-9]' "$README" | sort -u); do
		[ -e "$LAB_ROOT/$word" ] || { echo "no file: $word"; bad=1; }
	done
	for word in $(grep -Eo '(^|`)make [a-z]+' "$README" | grep -Eo '[a-z]+$' | sort -u); do
		grep -q "^$word:" "$LAB_ROOT/Makefile" || { echo "no target: make $word"; bad=1; }
	done
	return $bad
}
# what follows the name in plain sentences and in what the program prints
PROSE='filters observes is shows'
t 'the commands and files of README.md exist' unknown_words
holds '... and it has some' "$(grep -Ec "^(# )?mxdp [a-z]" "$README") >= 8"

done_testing
