#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# Mail goes in and out through the filter, over IPv4 and IPv6, and nothing else does.
. "$(dirname "$0")/lib.sh"

lab_up
lab_mail
talk mx serve 22 3306 &
within 5 serves mx 3306

rules 'interface wan0' \
	'interface bad0' \
	'default deny' \
	"list office $REMOTE4B $REMOTE6B" \
	'admin ssh from @office' \
	'allow smtp' \
	'allow submission, submissions' \
	'allow imaps, pop3s' \
	'allow imap, pop3 from @office'
t 'apply attaches the filter to both interfaces' mxdp apply
t 'the kernel runs it on wan0' eval 'ns mx ip link show wan0 | grep -q "prog/xdp id"'
t 'the kernel runs it on bad0' eval 'ns mx ip link show bad0 | grep -q "prog/xdp id"'

AUTH=(--auth PLAIN --auth-user user@example.org --auth-password secret)
imap_login() { ns remote curl -sSk --max-time 10 "$@" -u user@example.org:secret -X 'EXAMINE INBOX'; }

# ways_in WORD SERVER URL_HOST FROM_OFFICE
ways_in() {
	local w=$1 a=$2 u=$3 office=$4
	t "$w: mail to 25 in the clear" swaks_from remote --server "$a" --to user@example.org --body "clear-$w"
	t "$w: mail to 25 with STARTTLS" swaks_from remote --server "$a" --tls --to user@example.org --body "starttls-$w"
	t "$w: both lie in the mailbox" eval "within 10 mailed example.org clear-$w && within 10 mailed example.org starttls-$w"
	t "$w: submission on 587, and on to the remote site over IPv4" swaks_from remote --server "$a" --port 587 --tls "${AUTH[@]}" \
		--to user@v4.example.net --body "submission-$w"
	t "$w: submission on 465, and on to the remote site over IPv6" swaks_from remote --server "$a" --port 465 --tlsc "${AUTH[@]}" \
		--to user@v6.example.net --body "submissions-$w"
	t "$w: the relay found the remote site in the DNS and delivered both" \
		eval "within 15 mailed example.net submission-$w && within 15 mailed example.net submissions-$w"
	t "$w: IMAP login on 993" imap_login "imaps://$u/"
	t "$w: POP3 login on 995" ns remote curl -sSk --max-time 10 -u user@example.org:secret "pop3s://$u/"
	t "$w: IMAP login on 143 from the office" imap_login --interface "$office" "imap://$u/"
	not_t "$w: but not from elsewhere" imap_login --connect-timeout 1 "imap://$u/"
	t "$w: admin ssh from the office" talk remote try -b "$office" 1 "$a" 22
	not_t "$w: but not from elsewhere" talk remote try -t 500 1 "$a" 22
	not_t "$w: a listening port that nobody allowed stays silent" talk remote try -t 500 1 "$a" 3306
	t "$w: ... silent, not refused" eval "[[ \$(talk remote try -t 500 1 $a 3306) == *silent=1* ]]"
	t "$w: ping answers" ns remote ping -c 2 -i 0.2 -W 2 "$a"
}

ways_in IPv4 $MX4 $MX4 $REMOTE4B
ways_in IPv6 $MX6 "[$MX6]" $REMOTE6B

for server in $REMOTE4 $REMOTE6; do
	same "DNS over UDP answers from $server" "10 mail.example.net." "$(ns mx dig +short +time=2 +tries=2 "@$server" example.net MX)"
	same "DNS over TCP answers from $server" "$REMOTE6" "$(ns mx dig +short +tcp +time=2 +tries=2 "@$server" mail.example.net AAAA)"
done

# 10 MB, the same bytes at the other end
base64 -w 76 /dev/urandom | head -c 10485760 >"$LAB_DIR/big.txt"
printf '\nthe-end\n' >>"$LAB_DIR/big.txt"
{ printf 'Subject: big-%s\r\n\r\n' TAG; cat "$LAB_DIR/big.txt"; } >"$LAB_DIR/big.eml"
wanted=$(sha256sum <"$LAB_DIR/big.txt")

# big WORD SERVER TO DOMAIN PORT [OPTION...]
big() {
	local w=$1 a=$2 to=$3 domain=$4 port=$5 found
	shift 5
	sed "1s/TAG/$w/" "$LAB_DIR/big.eml" >"$LAB_DIR/big-$w.eml"
	t "a mail of 10 MB $w" swaks_from remote --timeout 60 --server "$a" --port "$port" --to "$to" --data "@$LAB_DIR/big-$w.eml" \
		--suppress-data "$@"
	t '... arrives' within 30 mailed "$domain" "Subject: big-$w"
	found=$(grep -rl "^Subject: big-$w" "$LAB_DIR/mail/$domain/new" "$LAB_DIR/mail/$domain/cur" | head -1)
	same '... with every byte in place' "$wanted" "$(sed '1,/^\r*$/d; /^the-end/q' "${found:-/dev/null}" | sha256sum)"
}
big 'in-over-IPv4' $MX4 user@example.org example.org 25
big 'in-over-IPv6' $MX6 user@example.org example.org 25
big 'in-with-TLS-and-out-over-IPv4' $MX4 user@v4.example.net example.net 587 --tls "${AUTH[@]}"
big 'in-with-TLS-and-out-over-IPv6' $MX6 user@v6.example.net example.net 465 --tlsc "${AUTH[@]}"

# the remote site as a client: its own Postfix finds the relay by MX and delivers
t 'the remote Postfix takes a mail for the relay' swaks_from remote --server 127.0.0.1 --to user@example.org --body from-the-other-side
t '... and delivers it through the filter' within 15 mailed example.org from-the-other-side
t 'no Postfix of either site met an error' eval "! grep -E 'fatal|panic|status=(deferred|bounced)' $LAB_DIR/mail-*.log"

t 'detach takes the filter off' mxdp detach wan0
t '... and from the other interface' mxdp detach bad0
not_t '... so says the kernel' eval 'ns mx ip link | grep "prog/xdp id"'
t '... and the port that was closed answers' talk remote try 1 $MX4 3306
done_testing
