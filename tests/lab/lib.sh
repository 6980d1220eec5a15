# SPDX-License-Identifier: GPL-2.0-only
# The lab: private networks with real mail servers in them. Sourced by tests/lab/*.t and tools/demo.
#
#   lab_up                  namespaces, wires, bpffs and a configuration of this run's own
#   lab_mail                Postfix and Dovecot on the relay, Postfix and DNS at the remote site
#   ns HOST COMMAND...      runs a command on a host of the lab: mx (the relay), remote, stranger
#   mxdp VERB...            the program under test, on the relay
#   t NAME COMMAND...       one test: the command must succeed      (not_t: must fail)
#   done_testing
#
#            remote ──────── wan0 ┐
#      192.0.2.20  192.0.2.10     │  mx
#   2001:db8:1::20  2001:db8:1::10│
#          stranger ──────── bad0 ┘
#     198.51.100.66  198.51.100.10
#   2001:db8:2::66   2001:db8:2::10
#
# Everything is named after this process and is removed when it ends, however it ends; what a killed run could not
# remove, the next one does. LAB_KEEP=1 leaves it all in place, for looking around. The machine's own interfaces,
# addresses, routes and firewall are never touched.

set -u
export LC_ALL=C PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

LAB_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
LAB_BUILD=${MXDP_BUILD:-$LAB_ROOT/build}
LAB_BIN=$LAB_BUILD/lab
MXDP=${MXDP:-$LAB_BUILD/mxdp}
LAB_ID=mxdp-$$
LAB_TMP=${TMPDIR:-/tmp}
LAB_DIR=$LAB_TMP/mxdp-lab.$$
unset MXDP_BUILD

MX4=192.0.2.10 MX6=2001:db8:1::10
REMOTE4=192.0.2.20 REMOTE6=2001:db8:1::20
REMOTE4B=192.0.2.21 REMOTE6B=2001:db8:1::21
BADMX4=198.51.100.10 BADMX6=2001:db8:2::10
STRANGER4=198.51.100.66 STRANGER6=2001:db8:2::66

export MXDP_BPFFS=$LAB_DIR/bpf MXDP_CONFIG=$LAB_DIR/mxdp/mxdp.conf MXDP_STATE=$LAB_DIR/state
unset SSH_CONNECTION

# ---- tests, as TAP ----

LAB_TESTS=0 LAB_FAILED=0

ok_line() { LAB_TESTS=$((LAB_TESTS + 1)); echo "ok $LAB_TESTS - $1"; }

not_ok_line() {
	LAB_TESTS=$((LAB_TESTS + 1)) LAB_FAILED=$((LAB_FAILED + 1))
	echo "not ok $LAB_TESTS - $1"
	shift
	[ $# = 0 ] || printf '%s\n' "$@" | tail -n 40 | sed 's/^/# /'
}

# t NAME COMMAND...: a function or a program; what it printed is shown when it fails, and stays in $LAB_OUT.
t() {
	local name=$1 rc
	shift
	LAB_OUT=$("$@" 2>&1) && rc=0 || rc=$?
	if [ $rc = 0 ]; then ok_line "$name"; else not_ok_line "$name" "exit status $rc of: $*" "$LAB_OUT"; fi
	return 0
}

not_t() {
	local name=$1
	shift
	if LAB_OUT=$("$@" 2>&1); then not_ok_line "$name" "succeeded, and should not have: $*" "$LAB_OUT"; else ok_line "$name"; fi
	return 0
}

# same NAME WANTED GOT
same() { if [ "$2" = "$3" ]; then ok_line "$1"; else not_ok_line "$1" "wanted: $2" "got:    $3"; fi; }

# holds NAME EXPRESSION: an arithmetic condition
holds() { if (($2)); then ok_line "$1"; else not_ok_line "$1" "does not hold: $2"; fi; }

skip() { LAB_TESTS=$((LAB_TESTS + 1)); echo "ok $LAB_TESTS - $1 # SKIP $2"; }

note() { printf '# %s\n' "$*"; }

done_testing() { echo "1..$LAB_TESTS"; exit $((LAB_FAILED > 0)); }

bail() { echo "Bail out! $*"; exit 99; }

# within SECONDS COMMAND...: until it succeeds
within() {
	local end=$((${EPOCHREALTIME/./} + $1 * 1000000))
	shift
	until "$@" >/dev/null 2>&1; do
		[ "${EPOCHREALTIME/./}" -lt $end ] || return 1
		sleep 0.05
	done
}

# ---- life of a lab ----

lab_started_at() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20; }

# lab_remove PID: everything that a run of that process made
lab_remove() {
	local dir=$LAB_TMP/mxdp-lab.$1 n pids try
	for n in /run/netns/mxdp-"$1"-*; do
		[ -e "$n" ] || continue
		for try in 1 2 3 4 5 6 7 8 9 10; do
			pids=$(ip netns pids "${n##*/}" 2>/dev/null)
			[ -n "$pids" ] || break
			if [ $try = 1 ]; then kill $pids 2>/dev/null; else kill -9 $pids 2>/dev/null; fi
			sleep 0.1
		done
	done
	for n in /run/netns/mxdp-"$1"-*; do
		[ -e "$n" ] && ip netns del "${n##*/}"
	done
	if mountpoint -q "$dir/bpf" 2>/dev/null; then umount "$dir/bpf" 2>/dev/null || umount -l "$dir/bpf"; fi
	rm -rf --one-file-system "$dir"
}

# What an older run left behind because it was killed
lab_sweep() {
	local found pid
	for found in /run/netns/mxdp-*-mx "$LAB_TMP"/mxdp-lab.*; do
		[ -e "$found" ] || continue
		pid=${found##*/}
		pid=${pid#mxdp-} pid=${pid#lab.} pid=${pid%-mx}
		case $pid in *[!0-9]*|'') continue ;; esac
		[ "$pid" != $$ ] || continue
		if [ -d "/proc/$pid" ]; then
			# the lab's own process, or another one that was given its number?
			[ -e "$LAB_TMP/mxdp-lab.$pid/started" ] || continue
			[ "$(cat "$LAB_TMP/mxdp-lab.$pid/started")" != "$(lab_started_at "$pid")" ] || continue
		fi
		lab_remove "$pid"
	done
}

lab_down() {
	trap - EXIT
	trap '' INT TERM HUP
	[ -z "${LAB_KEEP:-}" ] || { note "kept: $LAB_DIR, namespaces $LAB_ID-*"; return; }
	lab_remove $$
}

lab_helpers() {
	local name
	mkdir -p "$LAB_BIN"
	for name in talk inject killat; do
		[ "$LAB_BIN/$name" -nt "$LAB_ROOT/tests/lab/$name.c" ] && continue
		${CC:-cc} -std=gnu11 -D_GNU_SOURCE -O2 -Wall -Wextra -o "$LAB_BIN/$name.$$" "$LAB_ROOT/tests/lab/$name.c" &&
			mv "$LAB_BIN/$name.$$" "$LAB_BIN/$name" || return
	done
}

ns() { nsenter --net="/run/netns/$LAB_ID-$1" -- "${@:2}"; }

mxdp() { ns mx "$MXDP" "$@"; }

# spawn HOST COMMAND...: in the background; LAB_PID is the command itself, not a shell around it
spawn() {
	nsenter --net="/run/netns/$LAB_ID-$1" -- "${@:2}" &
	LAB_PID=$!
}

# ends PID...: asks them to end and waits until they have
ends() { kill "$@" 2>/dev/null; wait "$@" 2>/dev/null; }

lab_host() {
	ip netns add "$LAB_ID-$1" && ns "$1" sysctl -qw net.ipv6.conf.all.accept_dad=0 net.ipv6.conf.default.accept_dad=0 \
		net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.default.rp_filter=0 net.ipv6.conf.default.router_solicitations=0 \
		net.ipv4.icmp_ratelimit=0 && ns "$1" ip link set lo up
}

# lab_wire MX_IFACE HOST IPV4_PREFIX MX_LAST HOST_LAST IPV6_PREFIX
lab_wire() {
	ip link add "$1" netns "$LAB_ID-mx" type veth peer name up0 netns "$LAB_ID-$2" || return
	ns mx ip addr add "$3.$4/24" dev "$1" && ns mx ip addr add "$6::$4/64" dev "$1" nodad &&
		ns "$2" ip addr add "$3.$5/24" dev up0 && ns "$2" ip addr add "$6::$5/64" dev up0 nodad &&
		ns mx ip link set "$1" up && ns "$2" ip link set up0 up || return
	# a veth leaves the sum to hardware that is not there; a filter that looked at it would be fooled
	ns mx ethtool -K "$1" tx off >/dev/null 2>&1 && ns "$2" ethtool -K up0 tx off >/dev/null 2>&1
}

lab_up() {
	[ "$(id -u)" = 0 ] || bail "namespaces and XDP need root"
	[ -x "$MXDP" ] || bail "$MXDP is not there; run make first"
	lab_sweep
	trap lab_down EXIT
	trap 'exit 129' HUP
	trap 'exit 130' INT
	trap 'exit 143' TERM
	mkdir -p "$LAB_DIR/bpf" "$LAB_DIR/mxdp" || bail "cannot make $LAB_DIR"
	chmod 755 "$LAB_DIR"
	lab_started_at $$ >"$LAB_DIR/started"
	lab_helpers || bail "the lab's helpers do not build"
	mount -t bpf mxdp-lab "$LAB_DIR/bpf" || bail "cannot mount bpffs on $LAB_DIR/bpf"
	lab_host mx && lab_host remote && lab_host stranger || bail "cannot make network namespaces"
	lab_wire wan0 remote 192.0.2 10 20 2001:db8:1 || bail "cannot wire the remote site to the relay"
	lab_wire bad0 stranger 198.51.100 10 66 2001:db8:2 || bail "cannot wire the stranger to the relay"
	ns remote ip addr add $REMOTE4B/24 dev up0
	ns remote ip addr add $REMOTE6B/64 dev up0 nodad preferred_lft 0 # only for who asks for it
	ns mx ip route add default via $REMOTE4
	ns mx ip -6 route add default via $REMOTE6
	LAB_MAC_WAN=$(ns mx ip -o link show wan0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/')
	LAB_MAC_BAD=$(ns mx ip -o link show bad0 | sed 's/.*ether \([0-9a-f:]*\).*/\1/')
}

# rules LINE...: the main file, whole
rules() { printf '%s\n' "$@" >"$MXDP_CONFIG"; }

talk() { ns "$1" "$LAB_BIN/talk" "${@:2}"; }
inject() { ns "$1" "$LAB_BIN/inject" up0 "${@:2}"; }

# watch_begin IFACE, watch_end: LAB_PASSED says which injected frames passed the filter of that interface, as "ID COUNT" lines
watch_begin() {
	: >"$LAB_DIR/watch"
	spawn mx "$LAB_BIN/inject" watch "$1" >"$LAB_DIR/watch"
	LAB_WATCH=$LAB_PID
	within 5 grep -q watching "$LAB_DIR/watch" || bail "cannot watch $1"
}
watch_end() {
	sleep 0.3
	ends "$LAB_WATCH"
	[ "$(tail -n 1 "$LAB_DIR/watch")" = end ] || bail "the watcher did not end well: $(cat "$LAB_DIR/watch")"
	LAB_PASSED=$(sed '1d;$d' "$LAB_DIR/watch")
}

# metric NAME [LABEL=VALUE...]: the sum of the export's samples of that name that carry all these labels
metric() {
	local name=$1
	shift
	mxdp export | awk -v name="$name" -v want="$*" '
		BEGIN { n = split(want, w, " "); for (i = 1; i <= n; i++) { sub(/=/, "=\"", w[i]); w[i] = w[i] "\"" } }
		$1 == name || index($1, name "{") == 1 {
			for (i = 1; i <= n; i++)
				if (!index($0, "{" w[i]) && !index($0, "," w[i]))
					next
			sum += $NF
		}
		END { printf "%d\n", sum }'
}

# stat_of FILE KEY: a figure of `talk hold -s FILE`
stat_of() { sed -n "s/.*\b$2=\([0-9]*\).*/\1/p" "$1" 2>/dev/null; }

# serves HOST PORT: does something listen there?
serves() { [ -n "$(ns "$1" ss -Hltn "sport = :$2")" ]; }

# ---- dialogues that stay open while things happen ----
#   session NAME COMMAND...    session_says NAME TEXT    session_hears NAME REGEX [SECONDS]

declare -A LAB_SESSION_FD

session() {
	local name=$1 fd
	shift
	mkfifo "$LAB_DIR/$name.in"
	exec {fd}<>"$LAB_DIR/$name.in"
	LAB_SESSION_FD[$name]=$fd
	: >"$LAB_DIR/$name.out"
	"$@" <"$LAB_DIR/$name.in" >"$LAB_DIR/$name.out" 2>&1 &
}

session_says() { printf '%s\r\n' "$2" >&"${LAB_SESSION_FD[$1]}"; }

# What was said before the last session_hears does not count again. Called through t(), that is, in a subshell: the
# place is kept in a file.
session_hears() {
	local file=$LAB_DIR/$1.out at=0
	[ -e "$file.at" ] && at=$(cat "$file.at")
	within "${3:-10}" session_has "$file" "$at" "$2" || { tail -c +$((at + 1)) "$file"; return 1; }
	stat -c %s "$file" >"$file.at"
}

session_has() { tail -c +$(($2 + 1)) "$1" | grep -aEq -- "$3"; }

# session_asks NAME TEXT REGEX: says, and hears the answer
session_asks() { session_says "$1" "$2" && session_hears "$1" "$3" "${4:-10}"; }

# ---- servers ----

lab_certificate() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=mx.example.org \
		-keyout "$LAB_DIR/key.pem" -out "$LAB_DIR/cert.pem" 2>/dev/null
}

# Runs a server on HOST with the lab's resolver in place of the machine's
lab_daemon() {
	ns "$1" unshare --mount sh -c 'mount --bind "$1" /etc/resolv.conf; shift; exec "$@"' sh "$LAB_DIR/resolv.conf" "${@:2}" \
		>"$LAB_DIR/$1-${2##*/}.log" 2>&1 </dev/null &
}

# lab_postfix_listener NAME-IN-MASTER.CF [OPTION...]
lab_postfix_listener() { printf '%s inet n - n - - smtpd\n' "$1"; shift; [ $# = 0 ] || printf '  -o %s\n' "$@"; }

lab_postfix_config() {
	local host=$1 name=$2 domain=${3%%,*} domains=$3 dir=$LAB_DIR/postfix-$1
	mkdir -p "$dir/etc" "$dir/queue" "$dir/data" "$LAB_DIR/mail"
	chown postfix "$dir/data"
	chown mail:mail "$LAB_DIR/mail"
	cat >"$dir/etc/main.cf" <<-END
		compatibility_level = 3.6
		queue_directory = $dir/queue
		data_directory = $dir/data
		maillog_file = $LAB_DIR/mail-$host.log
		maillog_file_prefixes = $LAB_DIR
		alias_maps =
		alias_database =
		local_recipient_maps =
		mydestination =
		myhostname = $name
		mydomain = $domain
		mynetworks = 127.0.0.0/8 [::1]/128
		inet_interfaces = all
		inet_protocols = all
		smtpd_peername_lookup = no
		smtpd_banner = \$myhostname ESMTP
		biff = no
		message_size_limit = 20000000
		virtual_mailbox_limit = 0
		virtual_mailbox_domains = $domains
		virtual_mailbox_base = $LAB_DIR/mail
		virtual_mailbox_maps = static:$domain/
		virtual_minimum_uid = 1
		virtual_uid_maps = static:$(id -u mail)
		virtual_gid_maps = static:$(id -g mail)
		smtpd_tls_security_level = may
		smtpd_tls_cert_file = $LAB_DIR/cert.pem
		smtpd_tls_key_file = $LAB_DIR/key.pem
		smtpd_tls_session_cache_database =
		smtp_tls_session_cache_database =
		smtp_address_preference = any
		smtpd_sasl_type = dovecot
		smtpd_sasl_path = inet:127.0.0.1:12345
		smtpd_client_connection_rate_limit = 0
		smtpd_client_connection_count_limit = 0
		smtpd_timeout = 600s
	END
	{
		lab_postfix_listener smtp
		[ "$host" != mx ] || {
			lab_postfix_listener submission smtpd_tls_security_level=encrypt smtpd_sasl_auth_enable=yes
			lab_postfix_listener submissions smtpd_tls_wrappermode=yes smtpd_sasl_auth_enable=yes
		}
		cat <<-END
			pickup unix n - n 60 1 pickup
			cleanup unix n - n - 0 cleanup
			qmgr unix n - n 300 1 qmgr
			tlsmgr unix - - n 1000? 1 tlsmgr
			rewrite unix - - n - - trivial-rewrite
			bounce unix - - n - 0 bounce
			defer unix - - n - 0 bounce
			trace unix - - n - 0 bounce
			verify unix - - n - 1 verify
			flush unix n - n 1000? 0 flush
			proxymap unix - - n - - proxymap
			smtp unix - - n - - smtp
			relay unix - - n - - smtp
			showq unix n - n - - showq
			error unix - - n - - error
			retry unix - - n - - error
			discard unix - - n - - discard
			virtual unix - n n - - virtual
			anvil unix - - n - 1 anvil
			scache unix - - n - 1 scache
			postlog unix-dgram n - n - 1 postlogd
		END
	} >"$dir/etc/master.cf"
}

lab_postfix() {
	lab_postfix_config "$@"
	lab_daemon "$1" postfix -c "$LAB_DIR/postfix-$1/etc" start-fg
}

# Settings have other names since 2.4: each version's are here, and what both call the same is below
lab_dovecot_2_3() {
	cat <<-END
		ssl_cert = <$LAB_DIR/cert.pem
		ssl_key = <$LAB_DIR/key.pem
		disable_plaintext_auth = no
		mail_location = maildir:$LAB_DIR/mail/%d
		passdb {
		  driver = passwd-file
		  args = scheme=PLAIN username_format=%u $1/users
		}
		userdb {
		  driver = static
		  args = uid=mail gid=mail home=$LAB_DIR/mail/%d
		}
		service auth {
		  inet_listener {
		    address = 127.0.0.1
		    port = 12345
		  }
		}
	END
}

lab_dovecot_2_4() {
	cat <<-END
		dovecot_config_version = 2.4.0
		dovecot_storage_version = 2.4.0
		ssl_server_cert_file = $LAB_DIR/cert.pem
		ssl_server_key_file = $LAB_DIR/key.pem
		auth_allow_cleartext = yes
		mail_driver = maildir
		mail_path = $LAB_DIR/mail/%{user | domain}
		passdb passwd-file {
		  passwd_file_path = $1/users
		}
		userdb static {
		  fields {
		    uid = mail
		    gid = mail
		    home = $LAB_DIR/mail/%{user | domain}
		  }
		}
		service auth {
		  inet_listener sasl {
		    listen = 127.0.0.1
		    port = 12345
		  }
		}
	END
}

lab_dovecot() {
	local dir=$LAB_DIR/dovecot settings=lab_dovecot_2_4
	mkdir -p "$dir"
	echo "user@example.org:{PLAIN}secret" >"$dir/users"
	chmod 644 "$dir/users"
	case $(dovecot --version) in 2.[0-3].*) settings=lab_dovecot_2_3 ;; esac
	# the version is asked for in the first line
	{
		$settings "$dir"
		cat <<-END
			base_dir = $dir/run
			state_dir = $dir/state
			log_path = $LAB_DIR/dovecot.log
			protocols = imap pop3
			listen = *, ::
			ssl = yes
			auth_mechanisms = plain login
			mail_uid = mail
			mail_gid = mail
			first_valid_uid = 1
			mail_max_userip_connections = 0
		END
	} >"$dir/dovecot.conf"
	lab_daemon mx dovecot -F -c "$dir/dovecot.conf"
}

lab_dns() {
	cat >"$LAB_DIR/dnsmasq.conf" <<-END
		keep-in-foreground
		no-resolv
		no-hosts
		bind-interfaces
		listen-address=$REMOTE4,$REMOTE6
		user=root
		pid-file=
		host-record=mx.example.org,$MX4,$MX6
		host-record=mail.example.net,$REMOTE4,$REMOTE6
		host-record=mail4.example.net,$REMOTE4
		host-record=mail6.example.net,$REMOTE6
		mx-host=example.org,mx.example.org,10
		mx-host=example.net,mail.example.net,10
		mx-host=v4.example.net,mail4.example.net,10
		mx-host=v6.example.net,mail6.example.net,10
		local=/#/
	END
	lab_daemon remote dnsmasq -C "$LAB_DIR/dnsmasq.conf"
}

lab_mail() {
	local port
	printf 'nameserver %s\nnameserver %s\noptions timeout:2 attempts:2\n' $REMOTE4 $REMOTE6 >"$LAB_DIR/resolv.conf"
	lab_certificate || bail "openssl makes no certificate"
	lab_dns
	lab_dovecot
	lab_postfix mx mx.example.org example.org
	lab_postfix remote mail.example.net "example.net, v4.example.net, v6.example.net"
	for port in 25 465 587 143 993 110 995 12345; do
		within 20 serves mx $port || bail "nothing serves port $port on the relay: $(tail -n 5 "$LAB_DIR"/*.log)"
	done
	within 20 serves remote 25 && within 20 serves remote 53 || bail "the remote site has no mail or no DNS: $(tail -n 5 "$LAB_DIR"/*.log)"
}

# mailed DOMAIN TEXT: a mail with that text lies in the domain's mailbox
mailed() { grep -rqs -- "$2" "$LAB_DIR/mail/$1/new" "$LAB_DIR/mail/$1/cur"; }

# swaks_from HOST ARGUMENT...: a mail from HOST
swaks_from() { ns "$1" swaks --timeout 10 --helo client.example.com --from sender@example.com "${@:2}"; }
