#!/bin/sh
# SPDX-License-Identifier: MIT
# The NPU is taken out while a process works on it, and comes back: the process ends with a sentence, not with a hang,
# and processes that open the NPU anew work as before.
set -u
device=$(dirname "$(ls -d /sys/bus/pci/drivers/weir/*:*/drm 2>/dev/null | head -n 1)")
device=$(realpath "$device")

. "${0%/*}/check.inc"
. "${0%/*}/wait.inc"

[ -r "$story" ] || { echo "skip taking the NPU out: no $story"; exit 77; }
talk -n 100 >/tmp/before 2>/tmp/err
check "the NPU works: $(tail -n 1 /tmp/err)" $?

for round in 1 2 3; do
	busy_start
	echo 1 >"$device/remove"
	check "round $round: the device is gone" $?
	busy_ends
	check "round $round: the process that worked on it ends by itself, saying: $(tail -n 1 /tmp/busy.err)" $?
	test ! -e "$device"
	check "round $round: its folder is gone" $?
	talk -n 5 >/dev/null 2>/tmp/err
	test $? -ne 0
	check "round $round: a new process is refused: $(tail -n 1 /tmp/err)" $?
	echo 1 >/sys/bus/pci/rescan
	until_true 100 test -e "$device/driver"
	check "round $round: the device is back" $?
	talk -n 100 >/tmp/after 2>/tmp/err && cmp /tmp/before /tmp/after
	check "round $round: it gives the same text as before" $?
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
