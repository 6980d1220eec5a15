# SPDX-License-Identifier: GPL-2.0-only
# Machines in software emulation, and what they said. Sourced by run and boot, which set root, build and store.
# Results are TAP with one count over all machines: a guest says "@begin SECTION", tests, "@end STATUS SECONDS", "@done".
tests=0 failed=0

bail() { echo "Bail out! $*"; exit 99; }

# ---- Debian's kernels ----

# The newest package of a version: of Debian's kernels the one for virtual machines, which is the smallest
kernel_package() {
	apt-cache pkgnames "linux-image-$1" | grep -E "^linux-image-${1//./\\.}[-+.].*-cloud-amd64$" | sort -V | tail -n 1
}

kernel_download() {
	local package=$1
	mkdir -p "$store" && cd "$store" || return
	compgen -G "${package}_*.deb" >/dev/null || apt-get -q -o APT::Sandbox::User=root download "$package" >&2 || return
	cd "$root" || return
}

libraries() { ldd "$@" 2>/dev/null | grep -o '/[^ :]*' | grep '\.so' | sort -u; }


# ---- what it said, with one count over all kernels ----

ok() { tests=$((tests + 1)); echo "ok $tests - $1"; }
not_ok() { tests=$((tests + 1)) failed=$((failed + 1)); echo "not ok $tests - $1"; }

section_done() {
	local kernel=$1 name=$2 status=$3 seconds=$4
	if [ "$status" != 0 ] && [ "$section_failed" = 0 ]; then
		not_ok "$kernel: $name: ends with status $status"
	elif [ -n "$section_plan" ] && [ "$section_plan" != "$section_seen" ]; then
		not_ok "$kernel: $name: $section_plan tests planned, $section_seen run"
	fi
	echo "# $kernel: $name: $seconds s"
}

tell() {
	local kernel=$1 file=$2 name='' word rest line
	# shellcheck disable=SC2086 # "@end STATUS SECONDS" is to be split
	while IFS= read -r line || [ -n "$line" ]; do
		line=${line%$'\r'}
		read -r word rest <<<"$line"
		case $line in
		'@begin '*) name=$rest section_failed=0 section_seen=0 section_plan= ;;
		'@end '*) section_done "$kernel" "$name" $rest; name= ;;
		'@done') told_all=1 ;;
		'1..'*) section_plan=${line#1..} ;;
		'ok '*|'not ok '*)
			section_seen=$((section_seen + 1))
			rest=$(sed -E 's/^(not )?ok *[0-9]* *-? *//' <<<"$line")
			if [ "$word" = ok ]; then ok "$kernel: $name: $rest"; else section_failed=1; not_ok "$kernel: $name: $rest"; fi
			;;
		*) echo "# $line" ;;
		esac
	done <"$file"
	[ -z "$name" ] || not_ok "$kernel: $name: did not come to an end"
}

trouble='WARNING:|BUG:|Oops|Call Trace|general protection|refcount_t|Kernel panic|segfault|use-after-free'

kernel_log() {
	if grep -aEq "$trouble" "$2"; then
		not_ok "$1: the kernel's log holds no warning"
		tr -d '\r' <"$2" | grep -aE -A 30 "$trouble" | head -n 120 | sed 's/^/# /'
	else
		ok "$1: the kernel's log holds no warning"
	fi
}
