#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The Debian package in a clean Debian tree: lintian, install, upgrade and downgrade under a talking connection, remove,
# purge; and the units.
. "$(dirname "$0")/lib.sh"

tree=$LAB_BUILD/debian-tree debs=$LAB_BUILD/deb
for tool in debootstrap dpkg-buildpackage lintian systemd-analyze; do
	command -v $tool >/dev/null && continue
	skip "the Debian package" "$tool is missing: tools/install-packages deb"
	done_testing
done

# The tree is made once: what a clean Debian has, and nothing that mxdp brings. Every run works on a copy that is thrown away.
clean_tree() {
	[ -e "$tree/ready" ] && return
	rm -rf --one-file-system "$tree"
	debootstrap --variant=minbase --include=systemd,udev,libbpf1,libelf1,libjson-c5,libmnl0,zlib1g bookworm "$tree" \
		>"$LAB_BUILD/debootstrap.log" 2>&1 && touch "$tree/ready"
}
if ! clean_tree; then
	skip "the Debian package" "debootstrap cannot make a clean tree here: see $LAB_BUILD/debootstrap.log"
	done_testing
fi

lab_up
root=$LAB_DIR/debian

# clean COMMAND...: as root of the clean Debian, on the relay's network, with this run's bpffs
clean() {
	ns mx unshare --mount --propagation private sh -c '
		root=$1 tree=$2 dir=$3
		shift 3
		mount -t overlay overlay -o "lowerdir=$tree,upperdir=$dir/upper,workdir=$dir/work" "$root" &&
		mount -t proc proc "$root/proc" && mount -t sysfs sysfs "$root/sys" && mount --bind "$dir/bpf" "$root/sys/fs/bpf" &&
		mount --bind "$dir/debs" "$root/mnt" && exec chroot "$root" "$@"' sh "$root" "$tree" "$LAB_DIR" \
		env -i HOME=/root PATH="$PATH" LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}
mkdir -p "$root" "$LAB_DIR/upper" "$LAB_DIR/work" "$LAB_DIR/debs"

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

units=$LAB_DIR/newer/lib/systemd/system
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

t 'install' clean dpkg -i /mnt/old.deb
same 'no unit is enabled' '' "$(clean sh -c 'ls /etc/systemd/system/*.wants 2>/dev/null | grep mxdp')"
same 'no pin was made' '' "$(ls -d "$LAB_DIR/bpf/mxdp" 2>/dev/null)"
t 'the rules file holds no sentence' clean sh -c '! grep -q "^[^#]" /etc/mxdp/mxdp.conf'
not_t 'and apply says so' clean mxdp apply
t 'its words are right once the comment signs are off' clean sh -c 'sed "s/^#\([a-z]\)/\1/; /file lists/d; /@drop/d" /etc/mxdp/mxdp.conf > /tmp/all.conf && mxdp check /tmp/all.conf'
t 'the unit wants an admin line' clean sh -c '! grep -rqsE --include=*.conf "^[[:space:]]*admin[[:space:]]" /etc/mxdp'
t 'the manual pages are there' clean sh -c 'ls /usr/share/man/man8/mxdp.8.gz /usr/share/man/man5/mxdp.conf.5.gz || grep -rqs path-exclude=/usr/share/man /etc/dpkg'

# ---- upgrade and downgrade under a talking connection ----

clean sh -c 'printf "%s\n" "interface wan0" "default deny" "admin ssh from 203.0.113.7" "allow 7001" > /etc/mxdp/mxdp.conf'
spawn mx "$LAB_BIN/talk" serve 7001 7002
server=$LAB_PID
within 5 serves mx 7001
t 'apply' clean mxdp apply
spawn remote "$LAB_BIN/talk" hold -s "$LAB_DIR/hold" 20 $MX4 7001
holder=$LAB_PID
within 5 test -s "$LAB_DIR/hold"
passed=$(clean mxdp export | sed -n 's/^mxdp_port_passed_packets_total{[^}]*port="7001"[^}]*} //p' | awk '{ n += $1 } END { print n + 0 }')
t 'upgrade' clean dpkg -i /mnt/new.deb
same 'the new version is installed' "$version+1" "$(clean dpkg-query -W -f '${Version}' mxdp)"
t 'still filtering' clean mxdp status
not_t 'a closed port is silent' talk remote try -t 400 1 $MX4 7002
t 'downgrade' clean dpkg -i /mnt/old.deb
t 'still filtering' clean mxdp status
t 'an open port answers' talk remote try 1 $MX4 7001
now=$(clean mxdp export | sed -n 's/^mxdp_port_passed_packets_total{[^}]*port="7001"[^}]*} //p' | awk '{ n += $1 } END { print n + 0 }')
holds 'the counters went on' "$now > $passed"
t 'the connections go on' kill -0 "$holder"
same 'none of them was cut' 0 "$(stat_of "$LAB_DIR/hold" broken)"

# ---- remove and purge ----

t 'remove takes the filter off' clean dpkg -r mxdp
same 'no pin is left' '' "$(ls -d "$LAB_DIR/bpf/mxdp" 2>/dev/null)"
t 'the closed port answers' talk remote try 1 $MX4 7002
t 'the rules file stays' clean test -e /etc/mxdp/mxdp.conf
t 'purge' clean dpkg -P mxdp
not_t 'nothing is left in /etc' clean sh -c 'find /etc /var/lib -name "*mxdp*" -not -path "/var/lib/dpkg/*" | grep .'
ends "$holder" "$server"
done_testing
