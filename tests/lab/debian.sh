# SPDX-License-Identifier: GPL-2.0-only
# A clean Debian on the relay, for tests of the package. Sourced behind lib.sh.
#
#   debian_tree                 what a clean Debian like this one has, and nothing that mxdp brings; made once
#   debian_up                   a copy of it that this run throws away, with its network and its bpffs; debs/ is its /mnt
#   debian COMMAND...           a command there
#   debian_package              the package of this tree in $DEBIAN_DEB, made unless it is there
#   debian_repack NAME VERSION [FILE]   debs/NAME: the same with another version, and FILE for its program

debian_tree() {
	local tree=$LAB_BUILD/debian-tree suite elf=libelf1
	[ -e "$tree/ready" ] && return
	# what the package needs is what there was where it was made
	suite=$(. /etc/os-release && echo "${VERSION_CODENAME-}")
	[ "$suite" = bookworm ] || elf=libelf1t64
	rm -rf --one-file-system "$tree"
	debootstrap --variant=minbase --include=systemd,udev,libbpf1,$elf,libjson-c5,libmnl0,zlib1g "$suite" "$tree" \
		>"$LAB_BUILD/debootstrap.log" 2>&1 && touch "$tree/ready"
}

debian_up() {
	local root=$LAB_DIR/debian
	mkdir -p "$root" "$LAB_DIR/upper" "$LAB_DIR/work" "$LAB_DIR/debs"
	# the mounts live as long as the namespace, and that as long as this process
	spawn mx unshare --mount --propagation private sh -c '
		root=$1 tree=$2 dir=$3
		mount -t overlay overlay -o "lowerdir=$tree,upperdir=$dir/upper,workdir=$dir/work" "$root" &&
		mount -t proc proc "$root/proc" && mount -t sysfs sysfs "$root/sys" && mount --bind "$dir/bpf" "$root/sys/fs/bpf" &&
		mount --bind "$dir/debs" "$root/mnt" && : >"$dir/debian-is-up" && exec sleep infinity' \
		sh "$root" "$LAB_BUILD/debian-tree" "$LAB_DIR"
	LAB_DEBIAN=$LAB_PID
	within 10 test -e "$LAB_DIR/debian-is-up"
}

debian() {
	nsenter --net="/run/netns/$LAB_ID-mx" --mount="/proc/$LAB_DEBIAN/ns/mnt" -- chroot "$LAB_DIR/debian" \
		env -i HOME=/root PATH="$PATH" LC_ALL=C DEBIAN_FRONTEND=noninteractive "$@"
}

debian_package() {
	DEBIAN_DEB=$(ls -t "$LAB_BUILD"/deb/mxdp_[0-9]*.deb 2>/dev/null | head -n 1)
	[ -n "$DEBIAN_DEB" ] && [ "$DEBIAN_DEB" -nt "$MXDP" ] && return
	make -s -C "$LAB_ROOT" O="$LAB_BUILD" deb >/dev/null || return
	DEBIAN_DEB=$(ls -t "$LAB_BUILD"/deb/mxdp_[0-9]*.deb | head -n 1)
}

debian_repack() {
	local work=$LAB_DIR/repack
	rm -rf "$work"
	dpkg-deb -R "$DEBIAN_DEB" "$work" && sed -i "s/^Version: .*/Version: $2/" "$work/DEBIAN/control" || return
	[ -z "${3-}" ] || install -m 0755 "$3" "$work/usr/sbin/mxdp" || return
	dpkg-deb -b "$work" "$LAB_DIR/debs/$1" >/dev/null
}
