# SPDX-License-Identifier: GPL-2.0-only
# Completion of mxdp for bash

_mxdp_words() { compgen -W "$1" -- "$cur"; }

_mxdp_interfaces() { ls /sys/class/net 2>/dev/null; }

_mxdp_lists() { mxdp show lists --json 2>/dev/null | sed -n 's/^ *"name": *"\([A-Za-z0-9_.-]*\)".*/\1/p'; }

_mxdp() {
	local cur prev verb='' i
	local verbs='status show query explain export monitor doctor allow deny block admin exempt default observe enforce track list delete
		ban unban flush save restore check diff apply reload confirm rollback import attach detach help version'
	local ports='smtp submission submissions imap imaps pop3 pop3s sieve ssh http https any'
	local options='--config --bpffs --state --json --quiet --help'

	cur=${COMP_WORDS[COMP_CWORD]}
	prev=${COMP_WORDS[COMP_CWORD - 1]}
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--config|--bpffs|--state|--output|--format|--interface|--top|--file|-o|-i) i=$((i + 1)) ;;
		-*) ;;
		*) verb=${COMP_WORDS[i]}; break ;;
		esac
	done

	COMPREPLY=()
	case $prev in
	--config|--bpffs|--state|--output|--file|-o|file) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
	--format) mapfile -t COMPREPLY < <(_mxdp_words 'prometheus json crowdsec plain'); return ;;
	--interface|-i|on) mapfile -t COMPREPLY < <(_mxdp_words "$(_mxdp_interfaces)"); return ;;
	mode) mapfile -t COMPREPLY < <(_mxdp_words 'native generic auto'); return ;;
	from) mapfile -t COMPREPLY < <(_mxdp_words "any $(_mxdp_lists | sed 's/^/@/')"); return ;;
	esac
	if [[ $cur == -* ]]; then
		case $verb in
		allow|deny|block|admin|exempt|default|observe|enforce|track) options+=' --runtime --force --dry-run' ;;
		list) options+=' --runtime --force --dry-run --file' ;;
		apply|reload) options+=' --force --dry-run --confirm --no-confirm --wait --comment --boot --only --keep-runtime --in-force' ;;
		attach) options+=' --runtime --force --dry-run --confirm --no-confirm' ;;
		detach) options+=' --runtime --dry-run --all' ;;
		show) options+=' --interface --numeric --top' ;;
		export) options+=' --output --format --interface' ;;
		ban) options+=' --stdin --format --force' ;;
		esac
		mapfile -t COMPREPLY < <(_mxdp_words "$options")
		return
	fi
	case $verb in
	'') mapfile -t COMPREPLY < <(_mxdp_words "$verbs") ;;
	show) mapfile -t COMPREPLY < <(_mxdp_words 'rules services lists counters drops flows bans limits history') ;;
	help) mapfile -t COMPREPLY < <(_mxdp_words "$verbs") ;;
	allow|deny|admin) mapfile -t COMPREPLY < <(_mxdp_words "$ports from") ;;
	block|exempt) mapfile -t COMPREPLY < <(_mxdp_words "$(_mxdp_lists | sed 's/^/@/')") ;;
	default) mapfile -t COMPREPLY < <(_mxdp_words 'deny allow') ;;
	track) mapfile -t COMPREPLY < <(_mxdp_words 'socket leases') ;;
	list) mapfile -t COMPREPLY < <(_mxdp_words "add del replace show $(_mxdp_lists) file") ;;
	delete) mapfile -t COMPREPLY < <(_mxdp_words 'allow deny block admin exempt list observe') ;;
	query) mapfile -t COMPREPLY < <(_mxdp_words 'allow deny admin block ban') ;;
	explain) mapfile -t COMPREPLY < <(_mxdp_words 'tcp syn ack synack fin rst sport to on') ;;
	attach|detach) mapfile -t COMPREPLY < <(_mxdp_words "$(_mxdp_interfaces)") ;;
	ban) mapfile -t COMPREPLY < <(_mxdp_words 'for port source reason') ;;
	unban) mapfile -t COMPREPLY < <(_mxdp_words 'source') ;;
	flush) mapfile -t COMPREPLY < <(_mxdp_words 'bans source') ;;
	import)
		if [[ $prev == import ]]; then
			mapfile -t COMPREPLY < <(_mxdp_words 'iptables ip6tables ufw firewalld nft')
		else
			mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		fi ;;
	check|diff|apply|reload|save|restore) mapfile -t COMPREPLY < <(compgen -f -- "$cur") ;;
	esac
}

complete -F _mxdp mxdp
