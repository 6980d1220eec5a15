#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Old firewalls said as sentences: guides as people follow them, states that the real tools made, and every trap by its name.
# tests/import/guide-N.txt has the commands of a real guide on their own lines, and filler for its prose; MXDP_GUIDES names a
# directory with the guides themselves, which must give the very same.
. "$(dirname "$0")/lib.sh"

CASES=$LAB_ROOT/tests/import
WORK=$(mktemp -d)
trap 'rm -rf "$WORK"' EXIT

# import DIALECT FILE: $WORK/conf, $WORK/said
import() { (cd "$(dirname "$2")" && "$MXDP" import "$1" "$(basename "$2")" >"$WORK/conf" 2>"$WORK/said"); echo $? >"$WORK/rc"; }
golden() { import "$2" "$CASES/$1.txt" && diff "$CASES/$1.$2.conf" "$WORK/conf" && diff "$CASES/$1.$2.said" "$WORK/said"; }
said() { grep -q -- "$1" "$WORK/said" || { cat "$WORK/said"; return 1; }; }
sentence() { sed 's/ *#.*//' "$WORK/conf" | grep -qxF -- "$1" || { cat "$WORK/conf"; return 1; }; }
# checked: the file is one that mxdp takes, and what it says of ADDRESS and PORT
checked() { "$MXDP" check "$WORK/conf" && grep -Ev '^#|^$' "$WORK/conf" | grep -qv ' # ' && return 1 || return 0; }

for c in guide-0:iptables guide-1:iptables guide-1:firewalld guide-2:iptables guide-3:iptables guide-3:ufw guide-4:iptables; do
	t "${c%:*} as ${c#*:}: the rules and the messages" golden "${c%:*}" "${c#*:}"
	t "... which mxdp takes, every line with where it came from" checked
done
if [ -n "${MXDP_GUIDES:-}" ]; then
	n=0
	for g in "$MXDP_GUIDES"/*; do
		cp "$g" "$WORK/guide-$n.txt"
		for d in iptables ufw firewalld; do
			[ -e "$CASES/guide-$n.$d.conf" ] || continue
			import $d "$WORK/guide-$n.txt"
			same "the guide itself, $n as $d: rules" "$(cat "$CASES/guide-$n.$d.conf")" "$(cat "$WORK/conf")"
			same "the guide itself, $n as $d: messages" "$(cat "$CASES/guide-$n.$d.said")" "$(cat "$WORK/said")"
		done
		n=$((n + 1))
	done
fi

# ---- the traps ----

import iptables "$CASES/guide-4.txt"
t 'trap: locked-out SSH is a danger' said ':4: danger: locked-out SSH'
t 'trap: dead IPv6 neighbour discovery is named' said ':46: note: dead neighbour discovery'
t 'trap: source rules behind the open one never decide' said ':34: note: shadowed: never decides, since line 16 '
t 'trap: the nat table saved as the rules' said ':57: note: save into the wrong file: this writes the nat table alone'
t 'trap: IPv4 saved as IPv6' said ':57: note: save into the wrong file: this writes IPv4 rules to /etc/iptables/rules.v6'
t 'trap: what the IPv6 half forgot stays closed there' sentence 'allow imap from 0.0.0.0/0'
import iptables "$CASES/guide-2.txt"
t 'trap: accept-all default is a danger' said 'danger: accept-all default'
t '... and the policy says so' sentence 'default allow'
t 'trap: the rule for SSH that is commented out' said 'note: the rule for SSH is commented out'
import iptables "$CASES/guide-1.txt"
t 'trap: IMAP3 is not 993' said 'note: port 993 is imaps; "IMAP3" is port 220'
t 'trap: saved into a file called sudo' said 'note: save into the wrong file: this writes to a file called "sudo"'
import firewalld "$CASES/guide-1.txt"
t 'trap: --permanent without --reload' said ':34: note: --permanent alone changes nothing that runs'

# ---- the verb ----

same 'exit status 4: something is not carried' 4 "$(import iptables "$CASES/guide-4.txt"; cat "$WORK/rc")"
printf '%s\n' '*filter' ':INPUT DROP [0:0]' '-A INPUT -p tcp --dport 22 -j ACCEPT' COMMIT >"$WORK/a"
import iptables "$WORK/a"
t 'a save file gives its rules' sentence 'allow ssh'
not_t 'an unknown firewall is refused' "$MXDP" import pf "$WORK/a"
not_t 'a text without any rule is refused' "$MXDP" import iptables /dev/null
t '... with exit status 2' test "$("$MXDP" import nft /dev/null >/dev/null 2>&1; echo $?)" = 2
t 'standard input' sh -c '"$1" import iptables - <"$2" | grep -q "^allow ssh  *# -:3: "' sh "$MXDP" "$WORK/a"
printf '%s\n' '*filter' ':INPUT DROP [0:0]' '-A INPUT -p tcp --dport 25 -j ACCEPT' COMMIT >"$WORK/b"
t 'both families at once' sh -c '"$1" import iptables "$2" ip6tables "$3" 2>/dev/null | grep -q "^allow smtp from ::/0 "' sh "$MXDP" \
	"$WORK/a" "$WORK/b"

# ---- evaluated, not translated ----

# imports DIALECT LINE...
imports() { printf '%s\n' "${@:2}" >"$WORK/in"; import "$1" "$WORK/in"; }
DROP='-P INPUT DROP'

imports iptables "$DROP" '-N web' '-A INPUT -p tcp -m multiport --dports 80,443 -g web' '-A web -s 192.0.2.0/24 -j RETURN' '-A web -j ACCEPT'
t 'a chain entered by goto returns to nobody' sentence 'deny http, https from 192.0.2.0/24'
t '... and lets the rest in' sentence 'allow http, https'
imports iptables "$DROP" '-A INPUT ! -s 10.0.0.0/8 -p tcp --dport 25 -j ACCEPT'
t 'everybody but a network' sentence 'deny smtp from 10.0.0.0/8'
imports iptables "$DROP" '-A INPUT -p tcp --dport 25 -j DROP' '-A INPUT -p tcp --dport 25 -j ACCEPT'
t 'the first match wins' said ':3: note: shadowed'
not_t '... and the second does not' sentence 'allow smtp'
imports iptables '*raw' '-A PREROUTING -s 203.0.113.9 -j DROP' 'COMMIT' '*filter' ':INPUT ACCEPT [0:0]' '-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT' COMMIT
t 'raw comes before filter, and cuts open connections' sentence 'block 203.0.113.9'
imports iptables "$DROP" '-A INPUT -m state --state ESTABLISHED -j ACCEPT' '-A INPUT -s 203.0.113.9 -j DROP' '-A INPUT -p tcp --dport 25 -j ACCEPT'
t 'a DROP behind ESTABLISHED leaves open connections' sentence 'deny any from 203.0.113.9'
imports iptables "$DROP" '-A INPUT -m iprange --src-range 192.0.2.4-192.0.2.11 -p tcp --dport 25 -j ACCEPT'
t 'a range of addresses' sentence 'allow smtp from 192.0.2.4/30, 192.0.2.8/30'
imports iptables 'ipset create friends hash:net' 'ipset add friends 192.0.2.0/24' "iptables $DROP" \
	'iptables -A INPUT -p tcp --dport 143 -m set --match-set friends src -j ACCEPT'
t 'a set whose elements are there' sentence 'allow imap from 192.0.2.0/24'
imports iptables "$DROP" '-A INPUT -p tcp --dport 143 -m set --match-set friends src -j ACCEPT'
t 'a set whose elements are not' said ':2: loss: asks for the set friends, whose contents are not here'
imports iptables '-P INPUT ACCEPT' '-A INPUT -p tcp --dport 25 -m geoip --src-cc XX -j DROP'
t 'what nobody knows and refuses is a danger' said ':2: danger: asks for "-m geoip --src-cc XX"'
imports iptables 'PORTS="25 587"' 'for p in $PORTS 993; do' ' sudo iptables -A INPUT -p tcp --dport $p -j ACCEPT' done
t 'variables and loops of a script' sentence 'allow submission'
imports iptables 'iptables -A INPUT -p tcp \' '  --dport 25 \' '  -j ACCEPT'
t 'a command over several lines' sentence 'allow smtp'
imports iptables "$DROP" '-A INPUT -i eth1 -p tcp --dport 25 -j ACCEPT' '-A INPUT -i wg0 -j ACCEPT'
t 'what holds on another interface is said' said ':3: note: holds on interface wg0'
EST='-A INPUT -m conntrack --ctstate ESTABLISHED -j ACCEPT'
imports iptables "$DROP" "$EST" '-A INPUT -p tcp --dport 25 -m limit --limit 10/min -j ACCEPT'
t 'the trap of -m limit: one sender can use it up for all' said ':3: note: -m limit is of all sources together'
t '... and so it is carried' sentence 'allow smtp global-limit 10/min burst 5'
imports iptables "$DROP" '-A INPUT -p tcp --dport 25 -m limit --limit 10/min -j ACCEPT'
t 'a limit that counts every segment is no limit of connections' said ':2: loss: -m limit is not carried, for it counts the segments'
t '... and is left out' sentence 'allow smtp'
imports iptables "$DROP" "$EST" '-A INPUT -p tcp --syn --dport 587 -m connlimit --connlimit-above 20 -j REJECT --reject-with tcp-reset' \
	'-A INPUT -p tcp --dport 587 -j ACCEPT' \
	'-A INPUT -p tcp --dport 993 -m hashlimit --hashlimit-upto 30/min --hashlimit-burst 60 --hashlimit-mode srcip --hashlimit-srcmask 24 --hashlimit-name x -j ACCEPT' \
	'-A INPUT -p tcp --dport 22 -m recent --set --name s' '-A INPUT -p tcp --dport 22 -m recent --update --seconds 60 --hitcount 4 --name s -j DROP' \
	'-A INPUT -p tcp --dport 22 -j ACCEPT'
t 'connlimit is `connections`' sentence 'allow submission connections 20 over reset'
t 'hashlimit of each source is `limit`' sentence 'allow imaps limit 30/min burst 60 per /24 /64'
t 'recent counts in another way' said ':7: loss: -m recent (4 in 60 seconds) is not carried'
imports nft 'table inet f {' 'chain in { type filter hook input priority 0; policy drop;' 'ct state established accept' \
	'tcp dport 25 meter m { ip saddr limit rate over 10/minute burst 20 packets } drop' 'tcp dport 25 accept' \
	'tcp dport 80 limit rate 100/second burst 50 packets accept' '} }'
t 'nft: a meter of sources' sentence 'allow smtp from 0.0.0.0/0 limit 10/min burst 20'
t 'nft: a limit' sentence 'allow http global-limit 100/s burst 50'
imports iptables "$DROP" '-A INPUT -p tcp --dport 25 --no-such-option x -j ACCEPT'
t 'an option nobody knows is not carried' said ':2: loss: asks for "--no-such-option x"'
imports iptables "$DROP" '-A INPUT --dport 25 -j ACCEPT'
t 'what iptables refuses is a danger' said ':2: danger: ports without'
imports iptables '-A INPUT -p tcp --dport 25 -j ACCEPT' '-A OUTPUT -p tcp --dport 25 -j DROP' '-t nat -A PREROUTING -p tcp --dport 2525 -j REDIRECT --to-ports 25' \
	'iptables -t nat -A PREROUTING -p tcp --dport 2525 -j REDIRECT --to-ports 25'
t 'what goes out stays with the old firewall' said ':2: loss: chain OUTPUT'
t '... and so does what changes addresses' said ':4: loss: chain PREROUTING of table nat'

imports nft 'table inet f {' 'set s { type ipv4_addr; flags interval; elements = { 192.0.2.0/25 } }' \
	'chain in { type filter hook input priority 0; policy drop;' 'ct state vmap { established : accept, invalid : drop }' \
	'ip saddr @s tcp dport { 25, 587 } accept' 'tcp dport vmap { 143 : drop, 993 : accept }' '} }'
t 'nft: sets' sentence 'allow smtp, submission from 192.0.2.0/25'
t 'nft: verdict maps' sentence 'allow imaps'
imports nft 'nft add table inet f' "nft add chain inet f in '{ type filter hook input priority 0; policy drop; }'" 'nft add rule inet f in tcp dport 25 accept'
t 'nft: command lines' sentence 'allow smtp'
imports nft 'nft add rule inet filter input tcp dport 25 accept' 'nft add rule inet filter services tcp dport 143 accept'
t 'nft: single commands, of the chain input' sentence 'allow smtp'
t '... which is taken for what it is called' said ':1: note: the chain input is not made in this text'
t 'rules of a chain that nothing leads to are not dropped in silence: nft' said ':2: loss: nothing in this text leads to the chain services'
imports iptables 'iptables -A mail -p tcp --dport 25 -j ACCEPT' 'iptables -A INPUT -p tcp --dport 143 -j ACCEPT'
t '... and iptables' said ':1: loss: nothing in this text leads to the chain mail'
imports ufw 'ufw default deny incoming' 'ufw allow from 192.0.2.0/24 to any port 22 proto tcp' 'ufw deny from 192.0.2.9' 'ufw insert 1 deny from 192.0.2.8' \
	'ufw allow "Postfix SMTPS"' 'ufw limit 587/tcp' 'ufw allow in on eth0 to any port 4190'
t 'ufw: a source' sentence 'allow ssh from 192.0.2.0/24'
t 'ufw: inserted before' sentence 'deny any from 192.0.2.8'
t 'ufw: appended behind' sentence 'deny submissions, submission, sieve from 192.0.2.9'
t 'ufw: a profile' sentence 'allow submissions'
t 'ufw: its limit is said' said ":6: loss: ufw's limit"
imports ufw 'Status: active' 'Default: deny (incoming), allow (outgoing), disabled (routed)' '' 'To                         Action      From' \
	'--                         ------      ----' '[ 1] 25/tcp                ALLOW IN    Anywhere' '[ 2] 22/tcp                LIMIT IN    203.0.113.0/24' \
	'[ 3] 25/tcp (v6)           ALLOW IN    Anywhere (v6)'
t 'ufw: what status prints' sentence 'allow smtp'
t '... with sources' sentence 'allow ssh from 203.0.113.0/24'
imports firewalld 'firewall-cmd --zone=public --add-service={smtp,imaps}' 'firewall-cmd --zone=public --add-service=smtp' \
	'firewall-cmd --zone=public --remove-service=ssh' 'firewall-cmd --zone=trusted --add-source=192.0.2.0/24' \
	"firewall-cmd --add-rich-rule='rule family=\"ipv4\" source address=\"198.51.100.0/24\" service name=\"smtp\" reject'"
t 'firewalld: a service' sentence 'allow smtp'
t 'firewalld: braces of the shell' sentence 'allow imaps'
t 'firewalld: a source is a zone of its own' sentence 'allow any from 192.0.2.0/24'
t 'firewalld: a rich rule' sentence 'deny smtp from 198.51.100.0/24'
not_t 'firewalld: the service that was removed' sentence 'allow ssh'

# ---- the manual ----

# the blocks of mxdp-import(8): what is imported, what that says, and what messages come with it
MAN=$LAB_ROOT/docs/man/mxdp-import.8
block() { awk -v mark=".\\\\\" $1" '$0 == mark { on = 1; next } on && /^\.EE/ { exit } on && !/^\.EX/ { gsub(/\\-/, "-"); print }' "$MAN"; }
block 'import iptables' >"$WORK/in"
import iptables "$WORK/in"
t "the manual has an example" test -n "$(block said)" -a -n "$(block messages)"
same "... which gives what it says" "$(block said)" "$(grep -v '^#' "$WORK/conf" | sed 's/ *#.*//; /^$/d')"
while read -r message; do t "... and its message" said "$message"; done < <(block messages)

done_testing
