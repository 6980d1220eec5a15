#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Debian package in a clean Debian tree: lintian, install, upgrade and downgrade under a talking connection, remove,
# purge; and the units.
. "$(dirname "$0")/lib.sh"
. "$(dirname "$0")/debian.sh"

debs=$LAB_BUILD/deb
for tool in debootstrap dpkg-buildpackage lintian systemd-analyze; do
	command -v $tool >/dev/null && continue
	skip "the Debian package" "$tool is missing: tools/install-packages deb"
	done_testing
done
if ! debian_tree; then
	skip "the Debian package" "debootstrap cannot make a clean tree here: see $LAB_BUILD/debootstrap.log"
	done_testing
fi

lab_up
debian_up || bail 'no clean Debian'

# ---- the package ----

t 'make deb' make -s -C "$LAB_ROOT" O="$LAB_BUILD" deb
package=$(ls -t "$debs"/mxdp_[0-9]*.deb 2>/dev/null | head -n 1)
[ -n "$package" ] || { done_testing; }
t 'lintian finds nothing' eval 'said=$(lintian --fail-on error,warning,info,pedantic --suppress-tags no-nmu-in-changelog "$debs"/*.changes 2>&1 | grep -v "running with root"); [ -z "$said" ] || { echo "$said"; false; }'
version=$(dpkg-deb -f "$package" Version)
cp "$package" "$LAB_DIR/debs/old.deb"
dpkg-deb -R "$package" "$LAB_DIR/newer"
sed -i "s/^Version: .*/Version: $version+1/" "$LAB_DIR/newer/DEBIAN/control"
dpkg-deb -b "$LAB_DIR/newer" "$LAB_DIR/debs/new.deb" >/dev/null

# ---- the units ----

units=$LAB_DIR/newer/usr/lib/systemd/system
[ -d "$units" ] || units=$LAB_DIR/newer/lib/systemd/system
verify() {
	local said
	mkdir -p "$LAB_DIR/units"
	sed "s|/usr/sbin/mxdp|$MXDP|; /^Documentation=/d" "$units/$1" >"$LAB_DIR/units/$1"
	said=$(systemd-analyze verify --man=no --recursive-errors=no "$LAB_DIR/units/$1" 2>&1)
	[ -z "$said" ] || { echo "$said"; false; }
}
for unit in mxdp@.service mxdp-bans.service mxdp-export.service mxdp-export.timer; do
	t "systemd-analyze verify $unit" verify $unit
done
exposure() { systemd-analyze security --offline=yes --threshold=30 "$LAB_DIR/units/$1"; }
for unit in mxdp@.service mxdp-bans.service mxdp-export.service; do
	t "systemd-analyze security $unit: at most 3.0" exposure $unit
done

# ---- install: nothing is filtered, nothing starts ----

t 'install' debian dpkg -i /mnt/old.deb
same 'no unit is enabled' '' "$(debian sh -c 'ls /etc/systemd/system/*.wants 2>/dev/null | grep mxdp')"
same 'no pin was made' '' "$(ls -d "$LAB_DIR/bpf/mxdp" 2>/dev/null)"
t 'the rules file holds no sentence' debian sh -c '! grep -q "^[^#]" /etc/mxdp/mxdp.conf'
not_t 'and apply says so' debian mxdp apply
t 'its words are right once the comment signs are off' debian sh -c 'sed "s/^#\([a-z]\)/\1/; /file lists/d; /@drop/d" /etc/mxdp/mxdp.conf > /tmp/all.conf && mxdp check /tmp/all.conf'
t 'the unit wants an admin line' debian sh -c '! grep -rqsE --include=*.conf "^[[:space:]]*admin[[:space:]]" /etc/mxdp'
t 'the manual pages are there' debian sh -c 'ls /usr/share/man/man8/mxdp.8.gz /usr/share/man/man5/mxdp.conf.5.gz || grep -rqs path-exclude=/usr/share/man /etc/dpkg'

# ---- upgrade and downgrade under a talking connection ----

debian sh -c 'printf "%s\n" "interface wan0" "default deny" "admin ssh from 203.0.113.7" "allow 7001" > /etc/mxdp/mxdp.conf'
spawn mx "$LAB_BIN/talk" serve 7001 7002
server=$LAB_PID
within 5 serves mx 7001
t 'apply' debian mxdp apply
spawn remote "$LAB_BIN/talk" hold -s "$LAB_DIR/hold" 20 $MX4 7001
holder=$LAB_PID
within 5 test -s "$LAB_DIR/hold"
passed=$(debian mxdp export | sed -n 's/^mxdp_port_passed_packets_total{[^}]*port="7001"[^}]*} //p' | awk '{ n += $1 } END { print n + 0 }')
t 'an edit that nobody has applied' debian sh -c 'echo "allow 7002" >>/etc/mxdp/mxdp.conf'
t 'upgrade' debian dpkg -i /mnt/new.deb
same 'the new version is installed' "$version+1" "$(debian dpkg-query -W -f '${Version}' mxdp)"
t 'still filtering' debian mxdp status
not_t 'a closed port is silent, whatever the file says by now' talk remote try -t 400 1 $MX4 7002
t 'downgrade' debian dpkg -i /mnt/old.deb
t 'still filtering' debian mxdp status
t 'an open port answers' talk remote try 1 $MX4 7001
now=$(debian mxdp export | sed -n 's/^mxdp_port_passed_packets_total{[^}]*port="7001"[^}]*} //p' | awk '{ n += $1 } END { print n + 0 }')
holds 'the counters went on' "$now > $passed"
t 'the connections go on' kill -0 "$holder"
same 'none of them was cut' 0 "$(stat_of "$LAB_DIR/hold" broken)"

# ---- remove and purge ----

t 'the unit is enabled for an interface' debian systemctl -q enable mxdp@wan0
t 'remove takes the filter off' debian dpkg -r mxdp
same 'no pin is left' '' "$(ls -d "$LAB_DIR/bpf/mxdp" 2>/dev/null)"
t 'the closed port answers' talk remote try 1 $MX4 7002
t 'the rules file stays' debian test -e /etc/mxdp/mxdp.conf
t 'purge' debian dpkg -P mxdp
not_t 'nothing is left in /etc' debian sh -c 'find /etc /var/lib -name "*mxdp*" -not -path "/var/lib/dpkg/*" | grep .'
ends "$holder" "$server"
done_testing
