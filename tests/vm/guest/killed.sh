#!/bin/sh
# SPDX-License-Identifier: MIT
# weir-npu is killed while a process works on the NPU: the process gets a sentence, and another NPU works at once.
# vm: quick --hook killed.hook
set -u
out=/run/out

. "${0%/*}/check.inc"
. "${0%/*}/wait.inc"

bound() {
	ls -d /sys/bus/pci/drivers/weir/*:* 2>/dev/null | wc -l
}

[ -r "$story" ] || { echo "skip killing weir-npu: no $story"; exit 77; }
talk -n 100 >/tmp/before 2>/tmp/err
check "the NPU works" $?
for slot in rp1 rp2; do
	busy_start
	touch $out/kill-$slot
	until_true 300 test -e $out/killed-$slot
	check "weir-npu is killed" $?
	busy_ends
	check "the process that worked on it ends by itself, saying: $(tail -n 1 /tmp/busy.err)" $?
	talk -n 5 >/dev/null 2>/tmp/err
	test $? -ne 0
	check "a new process is refused: $(tail -n 1 /tmp/err)" $?
	# Nothing tells this machine's slot that the device in it is dead: who plugs in another one takes it out.
	echo 1 >"$(ls -d /sys/bus/pci/drivers/weir/*:* | head -n 1)/remove"
	check "the dead one is taken out" $?
	before=$(bound)
	touch $out/plug-$slot
	until_true 300 test -e $out/plugged-$slot
	check "another NPU is put in" $?
	until_true 100 test "$(bound)" -gt "$before" || sleep 2
	talk -n 100 >/tmp/after 2>/tmp/err && cmp /tmp/before /tmp/after
	check "it gives the same text as before: $(tail -n 1 /tmp/err)" $?
done
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
