#!/bin/sh
# SPDX-License-Identifier: MIT
# Runs IGT's tests of what every DRM driver must do, in a guest whose only DRM device is the one to test.
#     tests/vm/igt.sh ROOT [TEST...]
# ROOT is what tests/vm/igt-prepare made; it may be read-only. Needs root.
# Prints each subtest that failed and closes with the counts.
set -u
root=${1:?"Usage: tests/vm/igt.sh ROOT [TEST...]"}
shift
# Of IGT's prime tests each wants a driver with a renderer of its own; those that would take any other skip, saying why.
[ $# -gt 0 ] || set -- core_getversion core_getclient core_getstats core_auth core_setmaster core_sysfs core_debugfs \
	syncobj_basic syncobj_wait syncobj_timeline syncobj_eventfd \
	prime_mmap prime_self_import prime_vgem dumb_buffer core_hotunplug device_reset
tests=/usr/libexec/igt-gpu-tools
[ -x "$root$tests/core_getversion" ] || { echo "skip IGT: there is none in $root"; exit 77; }

for folder in dev proc sys; do
	mount --rbind "/$folder" "$root/$folder" 2>/dev/null || mount -o rbind "/$folder" "$root/$folder" || exit 1
done
mount -t tmpfs tmp "$root/tmp" && mount -t tmpfs run "$root/run" || exit 1
grep -q ' /sys/kernel/debug ' /proc/mounts || mount -t debugfs debugfs "$root/sys/kernel/debug"
log=$(mktemp) || exit 1

passed=0
failed=0
skipped=0

# count WORD: how many subtests ended in it. A test without subtests says it once, at the start of a line.
count() {
	grep -cE "^(Subtest [^ ]+: |Dynamic subtest [^ ]+: )?$1( \(|$)" "$log"
}

for test in "$@"; do
	if [ ! -x "$root$tests/$test" ]; then
		echo "skip $test: this IGT has no such test"
		skipped=$((skipped + 1))
		continue
	fi
	timeout 300 chroot "$root" "$tests/$test" >"$log" 2>&1
	status=$?
	good=$(count SUCCESS)
	bad=$(($(count FAIL) + $(count CRASH) + $(count TIMEOUT)))
	none=$(count SKIP)
	# 77 skips, 98 and 99 report failures that were counted; a test that died otherwise has failed once more.
	case $status in 0 | 77 | 79 | 98 | 99) ;; *) bad=$((bad + 1)) ;; esac
	[ $((good + bad + none)) -gt 0 ] || none=1
	passed=$((passed + good))
	failed=$((failed + bad))
	skipped=$((skipped + none))
	echo "igt $test: $good passed, $none skipped, $bad failed, exit $status"
	[ "$bad" -eq 0 ] || tail -n 40 "$log" | sed 's/^/     /'
	[ "$good" -gt 0 ] || grep -m 1 -iE 'requirement|skip|not found|no known' "$log" | sed 's/^/     /'
done
rm -f "$log"
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" -eq 0 ] && [ "$passed" -gt 0 ]
