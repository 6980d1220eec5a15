#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-only
# The lock-out drill: over a real sshd, policies that forget SSH, commands and shells killed at random; and back in within
# the confirm time, every time.
. "$(dirname "$0")/lib.sh"

lab_up
ROUNDS=${MXDP_DRILL_ROUNDS:-24} SECONDS_ON_TRIAL=3
ssh_dir=$LAB_DIR/ssh
mkdir -p "$ssh_dir" /run/sshd
chmod 700 "$ssh_dir"
ssh-keygen -q -t ed25519 -N '' -f "$ssh_dir/host" && ssh-keygen -q -t ed25519 -N '' -f "$ssh_dir/key" || bail 'no keys'
cat >"$ssh_dir/config" <<-END
	HostKey $ssh_dir/host
	AuthorizedKeysFile $ssh_dir/key.pub
	PidFile none
	StrictModes no
	UsePAM no
	PermitRootLogin prohibit-password
	PasswordAuthentication no
	UseDNS no
	PrintMotd no
	SetEnv MXDP_BPFFS=$MXDP_BPFFS MXDP_CONFIG=$MXDP_CONFIG MXDP_STATE=$MXDP_STATE TMUX_TMPDIR=$ssh_dir PATH=$PATH:$LAB_BUILD
END
spawn mx /usr/sbin/sshd -D -e -f "$ssh_dir/config" >"$LAB_DIR/sshd.log" 2>&1
within 5 serves mx 22 || bail "no sshd: $(cat "$LAB_DIR/sshd.log")"

options=(-i "$ssh_dir/key" -o UserKnownHostsFile="$ssh_dir/known" -o StrictHostKeyChecking=no -o LogLevel=ERROR
	-o ConnectTimeout=1 -o BatchMode=yes -o IdentitiesOnly=yes -F none)
over_ssh() { ns remote ssh "${options[@]}" root@$MX4 "$@" </dev/null; }
from_b() { ns remote ssh -b $REMOTE4B "${options[@]}" root@$MX4 "$@" </dev/null; }

good() { rules 'interface wan0' 'admin ssh from 192.0.2.0/24' 'allow smtp'; }
forgets() { rules 'interface wan0' 'admin ssh from 203.0.113.0/24' 'allow smtp'; }

good
t 'sshd answers' over_ssh true
t 'the first apply, over SSH' eval 'LAB_SAID=$(over_ssh mxdp apply 2>&1) && grep -q "ON TRIAL for 1m00s" <<<"$LAB_SAID"'

# ---- confirm ----

same 'confirm over the connection of the apply proves nothing' 2 \
	"$(over_ssh 'mxdp rollback; mxdp apply >/dev/null 2>&1; mxdp confirm >/dev/null 2>&1; echo $?' | tail -1)"
t '... and over a new one it does' over_ssh mxdp confirm
t 'what is in force already needs no trial' eval '! over_ssh mxdp apply 2>&1 | grep -q TRIAL'
echo 'allow 7001' >>"$MXDP_CONFIG"
t 'no trial where none is wanted' eval '! over_ssh mxdp apply --no-confirm 2>&1 | grep -q TRIAL'
echo 'allow 7002' >>"$MXDP_CONFIG"
same 'the same connection is taken when forced' 0 "$(over_ssh 'mxdp -q apply && mxdp confirm --force >/dev/null 2>&1; echo $?')"
t 'the history knows who and from where' eval "mxdp show history | grep -q 'root from $REMOTE4'"

# ---- refused ----

forgets
not_t 'a policy that forgets SSH is refused' over_ssh mxdp apply
t '... says why' grep -q "refuse new SSH connections from $REMOTE4" <<<"$LAB_OUT"
not_t '... where SSH_CONNECTION was dropped too, as sudo does' over_ssh env -u SSH_CONNECTION -u SSH_CLIENT mxdp apply
t '... says why' grep -q "refuse new SSH connections from $REMOTE4" <<<"$LAB_OUT"
not_t '... from all the shells above too' over_ssh 'env -i sh -c "env -i PATH=$PATH MXDP_BPFFS=$MXDP_BPFFS MXDP_CONFIG=$MXDP_CONFIG MXDP_STATE=$MXDP_STATE mxdp apply; exit \$?"'
not_t '... for a trial too' over_ssh mxdp apply --confirm 9s
not_t '... by a sentence' over_ssh mxdp block 192.0.2.0/24 --dry-run --config /dev/null
rules 'interface wan0' 'allow ssh' 'allow smtp'
not_t 'a policy without any admin sentence is refused' over_ssh mxdp apply
t '... says why' grep -q 'no `admin` sentence' <<<"$LAB_OUT"
rules 'interface wan0' 'allow ssh' 'allow smtp' observe
t '... but not when it only observes' over_ssh mxdp apply --dry-run
good
mxdp apply >/dev/null 2>&1
forgets
t 'nobody is logged in over SSH here: not refused' mxdp apply --dry-run

# ---- no shell above: systemctl reload, cron ----

# as a unit of systemd runs it, where logind says that somebody has logged in from $1
mkdir "$LAB_DIR/sessions"
from_unit() {
	printf '# of logind\nUID=0\nREMOTE=1\nREMOTE_HOST=%s\nSERVICE=sshd\n' "$1" >"$LAB_DIR/sessions/7"
	ns mx setsid -w unshare --mount --propagation private sh -c 'mount -t tmpfs tmpfs /run && mkdir -p /run/systemd/sessions &&
		cp "$1"/* /run/systemd/sessions && shift && exec "$@"' sh "$LAB_DIR/sessions" \
		setpriv --bounding-set=-all,+bpf,+net_admin,+perfmon --inh-caps=-all --no-new-privs "${@:2}" </dev/null
}
good
mxdp apply >/dev/null 2>&1
spawn remote ssh "${options[@]}" root@$MX4 'echo in; sleep 60' >"$LAB_DIR/logged-in" </dev/null
login=$LAB_PID
within 5 grep -q in "$LAB_DIR/logged-in"
forgets
not_t 'with nobody above, who is logged in counts' from_unit $REMOTE4 "$MXDP" reload --no-confirm
t '... says why' grep -q "refuse new SSH connections from $REMOTE4 to port 22, from where somebody is logged in" <<<"$LAB_OUT"
t '... but not who only knocks, or is logged in from elsewhere' from_unit 198.51.100.7 "$MXDP" reload --no-confirm --dry-run
t '... nor when it is forced' from_unit $REMOTE4 "$MXDP" reload --no-confirm --force --dry-run
rules 'interface wan0' 'allow ssh' 'allow smtp'
not_t 'nor may the last admin sentence go' from_unit $REMOTE4 "$MXDP" reload --no-confirm
good
echo 'allow 7009' >>"$MXDP_CONFIG"
t 'a policy that does not forget is put in force' from_unit $REMOTE4 "$MXDP" reload --no-confirm
t '... for good' eval '! mxdp status | grep -q TRIAL'
mkdir -p "$(dirname "$MXDP_CONFIG")/lists"
echo 203.0.113.9 >"$(dirname "$MXDP_CONFIG")/lists/bad"
rules 'interface wan0' 'admin 2222 from 203.0.113.7' 'allow ssh' 'list bad file lists/bad' 'block @bad'
t 'a list, and a way in that it may cut' mxdp apply
not_t 'an edit of one prefix, too, may not cut who is logged in' from_unit $REMOTE4 "$MXDP" list add bad $REMOTE4
t '... says why' grep -q "refuse new SSH connections from $REMOTE4 to port 22, from where somebody is logged in" <<<"$LAB_OUT"
t '... nor is it written' eval '! grep -q $REMOTE4 "$(dirname "$MXDP_CONFIG")/lists/bad"'
t '... and others are added' from_unit $REMOTE4 "$MXDP" list add bad 203.0.113.10
ends "$login"
good
mxdp apply >/dev/null 2>&1

# ---- tmux ----

good
mxdp apply >/dev/null 2>&1
t 'tmux, begun over one connection' over_ssh "tmux -L lab -f /dev/null new-session -d -x 80 -y 24 'env PATH=$PATH:$LAB_BUILD bash --norc'"
ns remote ssh -tt -b $REMOTE4B "${options[@]}" root@$MX4 'TERM=xterm tmux -L lab attach' >"$LAB_DIR/tmux.out" 2>&1 </dev/zero &
attached=$!
within 5 eval '[ -n "$(over_ssh tmux -L lab list-clients)" ]' || note 'no client of tmux'
rules 'interface wan0' "admin ssh from $REMOTE4" 'allow smtp'
over_ssh "tmux -L lab send-keys 'mxdp apply >$LAB_DIR/tmux.said 2>&1; echo done >>$LAB_DIR/tmux.said' Enter"
t 'in tmux the command ends' within 10 grep -q done "$LAB_DIR/tmux.said"
t 'in tmux the connection of now counts, not the one it was begun over' grep -q "refuse new SSH connections from $REMOTE4B" "$LAB_DIR/tmux.said"
over_ssh tmux -L lab kill-server
ends "$attached"

# ---- the drill ----

forgets
calls=$(over_ssh "$LAB_BIN/killat 0 mxdp apply --dry-run --force" 2>&1 | sed -n 's/.*after //p' | tail -1)
good
mxdp apply >/dev/null 2>&1
t 'the operator is in' over_ssh true
trial="mxdp apply --force --confirm ${SECONDS_ON_TRIAL}s"
worst=0 late=0 cut=0 refused=0 killed=0
for ((round = 0; round < ROUNDS; round++)); do
	forgets
	case $((round % 6)) in
	0) # refused, and nothing happened
		over_ssh mxdp apply >/dev/null 2>&1 || refused=$((refused + 1))
		;;
	1) # it works, and the operator is out; the client is killed
		spawn remote ssh "${options[@]}" root@$MX4 "$trial; sleep 60" >/dev/null 2>&1 </dev/null
		within 5 eval 'mxdp status --json | grep -q "\"running\": *true"'
		kill -9 "$LAB_PID"; wait "$LAB_PID" 2>/dev/null
		;;
	2) # the shell and its sshd are killed as soon as it is in force
		over_ssh "$trial >/dev/null 2>&1; kill -9 \$PPID \$\$" >/dev/null 2>&1
		;;
	3) # the command itself is killed, at any of its steps
		said=$(over_ssh "$LAB_BIN/killat $((1 + RANDOM % (calls * 2))) $trial" 2>&1)
		case $said in *killed*) killed=$((killed + 1)) ;; esac
		;;
	4) # ... at any moment
		said=$(over_ssh "timeout -s KILL 0.$(printf %03d $((RANDOM % 900))) $trial; echo status \$?" 2>&1)
		case $said in *'status 137'*) killed=$((killed + 1)) ;; esac
		;;
	5) # tables that must grow, programs that are replaced; killed at any moment
		echo "track socket leases $((256 * (1 + round % 12)))k" >>"$MXDP_CONFIG"
		said=$(over_ssh "timeout -s KILL 1.$(printf %03d $((RANDOM % 900))) $trial; echo status \$?" 2>&1)
		case $said in *'status 137'*) killed=$((killed + 1)) ;; esac
		;;
	esac
	from=${EPOCHREALTIME/./}
	# over an open connection nothing shows; only a new one tells
	over_ssh true 2>/dev/null || cut=$((cut + 1))
	within 20 over_ssh true
	took=$(((${EPOCHREALTIME/./} - from) / 10000))
	[ $took -le $worst ] || worst=$took
	# a try that fails takes a second, and a login its time
	[ $took -le $((SECONDS_ON_TRIAL * 100 + 400)) ] || { late=$((late + 1)); note "round $round: $took"; }
	good
	mxdp rollback >/dev/null 2>&1
	mxdp apply >"$LAB_DIR/again" 2>&1 || { late=$((late + 1)); note "round $round: apply: $(cat "$LAB_DIR/again")"; }
done
note "$ROUNDS rounds: $cut times locked out for a while, $killed commands killed on the way, $refused refused; back in at most $worst hundredths of a second after the command"
same 'back in within the confirm time, every time' 0 $late
holds 'the operator really was locked out' "$cut >= ROUNDS / 4"
holds 'without --force it was refused every time' "$refused == (ROUNDS + 5) / 6"
holds 'commands were killed on the way' "$killed >= ROUNDS / 6"
t 'and all is as it was' mxdp diff
done_testing
