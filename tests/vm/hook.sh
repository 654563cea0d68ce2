# SPDX-License-Identifier: MIT
# The NPU's server and QEMU's monitor, for tests/vm/boot and for hook scripts beside a guest.
# A hook runs in bash with WEIR_VM_WORK (boot's own folder) and WEIR_VM_OUT (/run/out in the guest); it begins with
#     . "$WEIR_VM_HERE/hook.sh"
# It may wait for files that the guest writes and write files that the guest waits for.
work=${WEIR_VM_WORK:-${work:-}}

# npu_settings SERVER ARGUMENTS IOMMU: what npu_start starts.
npu_settings() {
	printf 'server=%q server_args=%q\n' "$1" "$2" >"$work/npu"
	: >"$work/npu.log"
	echo 0 >"$work/npu.count"
}

# npu_start: a server on a socket of its own; $work/npu.socket names it.
npu_start() {
	local count socket i
	. "$work/npu"
	count=$(($(cat "$work/npu.count") + 1))
	echo "$count" >"$work/npu.count"
	socket=$work/npu$count.sock
	echo "$socket" >"$work/npu.socket"
	# The arguments are words.
	"$server" --socket "$socket" $server_args >>"$work/npu.log" 2>&1 </dev/null 6<&- &
	echo $! >"$work/npu.pid"
	# The shell is not to say how it ended.
	disown $!
	for ((i = 0; i < 100; i++)); do
		[ ! -S "$socket" ] || return 0
		kill -0 "$(cat "$work/npu.pid")" 2>/dev/null || return 1
		sleep 0.1
	done
	return 1
}

npu_pid() {
	cat "$work/npu.pid"
}

# npu_kill: as a crash would.
npu_kill() {
	kill -KILL "$(npu_pid)"
}

npu_stop() {
	[ -f "$work/npu.pid" ] || return 0
	kill "$(npu_pid)" 2>/dev/null
	rm -f "$work/npu.pid"
}

# npu_device SLOT: rp0 (where it stands from the start) to rp3.
npu_device() {
	printf '{"driver":"vfio-user-pci","id":"npu-%s","bus":"%s","socket":{"type":"unix","path":"%s"}}' \
		"$1" "$1" "$(cat "$work/npu.socket")"
}

# qmp COMMAND [ARGUMENTS]: prints the monitor's answer; fails where that is an error.
qmp() {
	local line
	[ -f "$work/qmp.greeted" ] || {
		: >"$work/qmp.greeted"
		qmp qmp_capabilities >/dev/null || return 1
	}
	printf '{"execute":"%s","arguments":%s}\n' "$1" "${2:-{\}}" >"$work/qmp.in"
	while IFS= read -r -t 30 line <&9; do
		case $line in
		*'"event":'* | *'"QMP":'*) ;;
		*'"return":'*) printf '%s\n' "$line"; return 0 ;;
		*) printf '%s\n' "$line"; return 1 ;;
		esac
	done
	return 1
}

# npu_plug SLOT: puts a new device in, with a server of its own.
npu_plug() {
	npu_start && qmp device_add "$(npu_device "$1")"
}

# wait_for FILE SECONDS: until the guest made /run/out/FILE.
wait_for() {
	local i
	for ((i = 0; i < $2 * 5; i++)); do
		[ ! -e "$WEIR_VM_OUT/$1" ] || return 0
		sleep 0.2
	done
	return 1
}

[ -z "${WEIR_VM_WORK:-}" ] || exec 9<>"$work/qmp.out"
