#compdef mxdp
# SPDX-License-Identifier: GPL-2.0-only
# Completion of mxdp for zsh

_mxdp() {
	local -a verbs ports interfaces
	local context state line
	verbs=(
		'status:what is filtered, where' 'show:what is in force, and what was counted' 'query:is it so?'
		'explain:what would the filter do with this packet' 'export:the counters, for monitoring' 'doctor:what is wrong here'
		'allow:let a source open these ports' 'deny:refuse new connections' 'block:drop everything from a source'
		'admin:a way in that no other sentence can close' 'exempt:no block, list or ban applies' 'default:ports that no sentence names'
		'observe:count, drop nothing' 'enforce:drop again' 'track:who knows the open connections' 'list:a named set of prefixes'
		'delete:take a sentence back' 'ban:cut a source off for a time' 'unban:lift a ban' 'flush:lift many bans'
		'save:write the bans down' 'restore:bring saved bans back' 'check:read the rules files' 'diff:files against what is in force'
		'apply:put the rules files in force' 'reload:the same, when attached already' 'confirm:make a change lasting'
		'rollback:back to the last confirmed policy' 'import:rules from another firewall' 'attach:filter on an interface'
		'detach:stop filtering' 'help:all about a verb' 'version:which mxdp this is'
	)
	ports=(smtp submission submissions imap imaps pop3 pop3s sieve ssh http https any)
	interfaces=(${(f)"$(ls /sys/class/net 2>/dev/null)"})

	_arguments -C \
		'--config[the rules file]:file:_files' '--bpffs[where the pins lie]:directory:_files -/' \
		'--state[the state directory]:directory:_files -/' '(-j --json)'{-j,--json}'[print JSON]' \
		'(-q --quiet)'{-q,--quiet}'[say nothing but errors]' '--runtime[leave the files alone]' '--force[all the same]' \
		'--dry-run[only say what would be done]' '--help[help]' '1: :->verb' '*: :->word'
	case $state in
	verb) _describe verb verbs ;;
	word)
		case $line[1] in
		show) _values what rules services lists counters drops flows bans limits history ;;
		help) _describe verb verbs ;;
		allow|deny|admin) _values -s , port $ports from ;;
		default) _values what deny allow ;;
		list) _values what add del replace show file ;;
		delete) _values what allow deny block admin exempt list observe ;;
		query) _values what allow deny admin block ban ;;
		attach|detach) compadd -a interfaces ;;
		ban) _values word for port source reason ;;
		flush) _values word bans source ;;
		import) _values firewall iptables ip6tables ufw firewalld nft; _files ;;
		check|diff|apply|reload|save|restore) _files ;;
		esac ;;
	esac
}

_mxdp "$@"
