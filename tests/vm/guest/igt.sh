#!/bin/sh
# SPDX-License-Identifier: MIT
# IGT's tests of what every DRM driver must do, on the NPU's node, or the buffer manager's where there is none.
# vm: igt
# WEIR_IGT: the root that tests/vm/igt-prepare made; it may be read-only. Arguments: other tests than these.
set -u
root=${WEIR_IGT:-none}
tests=/usr/libexec/igt-gpu-tools
# IGT's prime tests want drivers with a renderer of their own: they are here to say so.
[ $# -gt 0 ] || set -- core_getversion core_getclient core_getstats core_auth core_setmaster core_sysfs core_debugfs \
	syncobj_basic syncobj_wait syncobj_timeline syncobj_eventfd prime_mmap prime_self_import prime_vgem \
	core_hotunplug device_reset

skip() {
	echo "skip IGT: $*"
	exit 77
}
[ -x "$root$tests/core_getversion" ] || skip "there is none: tests/vm/igt-prepare fetches it"
[ -e /sys/kernel/debug/sync/sw_sync ] || skip "this kernel has no SW_SYNC, whose fences its syncobj tests wait for"
card=$(ls -d /sys/bus/pci/drivers/weir/*/drm/card* /sys/bus/platform/drivers/weir/*/drm/card* 2>/dev/null | head -n 1)
[ -n "$card" ] || skip "no device of weir.ko here"
export IGT_DEVICE="drm:/dev/dri/${card##*/}"

for folder in dev proc sys; do
	mount --rbind "/$folder" "$root/$folder" || exit 1
done
mount -t tmpfs tmp "$root/tmp" && mount -t tmpfs run "$root/run" || exit 1
log=$(mktemp) || exit 1
trap 'rm -f "$log" "$log.again"' EXIT

passed=0
failed=0
skipped=0

# ended WORD: names of the subtests that ended so; "-" for a test without any, which says the word alone.
ended() {
	sed -nE "s/^(Dynamic subtest|Subtest) ([^ ]+): $1( .*)?\$/\2/p; s/^$1( \(.*)?\$/-/p" "$log"
}

# Several measure times of 100 ms, which an emulated processor on a busy machine misses: they may try five times
# more, alone.
passes_alone() {
	[ "$2" != - ] || return 1
	for _ in 1 2 3 4 5; do
		timeout 100 chroot "$root" "$tests/$1" --run-subtest "$2" >"$log.again" 2>&1 && return
	done
	return 1
}

for test in "$@"; do
	timeout 800 chroot "$root" "$tests/$test" >"$log" 2>&1
	status=$?
	good=$(ended SUCCESS | wc -l)
	none=$(ended SKIP | wc -l)
	bad=0
	for subtest in $(ended '(FAIL|CRASH|TIMEOUT)'); do
		if passes_alone "$test" "$subtest"; then
			good=$((good + 1))
			echo "igt $test: $subtest passed alone, not among the others"
		else
			bad=$((bad + 1))
			echo "FAIL igt $test: $subtest"
			grep CRITICAL "$log.again" | head -n 5
		fi
	done
	# 77 and 79 skip, 98 and 99 are failures that were counted; anything else is one more.
	case $status in
	0 | 77 | 79 | 98 | 99) ;;
	*)
		bad=$((bad + 1))
		echo "FAIL igt $test: exit status $status"
		tail -n 5 "$log"
		;;
	esac
	[ $((good + bad + none)) -gt 0 ] || none=1
	passed=$((passed + good))
	failed=$((failed + bad))
	skipped=$((skipped + none))
	echo "igt $test: $good passed, $none skipped, $bad failed"
	[ $((good + bad)) -gt 0 ] || echo "skip igt $test: $(grep -m 1 -A 1 '^Test requirement:' "$log" | tr '\n' ' ')"
done
echo "$passed passed, $failed failed"
echo "igt: $skipped subtests skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
