#!/bin/sh
# SPDX-License-Identifier: MIT
# Loads and unloads weir.ko 100 times (20 in the quick set and on kernels that check every access): nothing may be left
# of it, and it must come back each time.
set -u
module=$WEIR_VM_MODULE
b=$WEIR_VM_BUSYBOX
passed=0
failed=0

# check SENTENCE COMMAND...
check() {
	what=$1
	shift
	if "$@"; then
		passed=$((passed + 1))
	else
		failed=$((failed + 1))
		echo "FAIL $what"
	fi
}

# left: what the module puts into the system's folders, one line each.
left() {
	ls -d /sys/module/weir /sys/bus/pci/drivers/weir /sys/bus/platform/drivers/weir* /sys/bus/platform/devices/weir* \
		/sys/kernel/debug/dri/weir* /sys/kernel/tracing/events/weir 2>/dev/null
	ls -l /sys/class/drm | grep -o 'card.*/weir/.*'
	grep -E '^weir|weir' /proc/modules /proc/iomem /proc/interrupts 2>/dev/null
	grep weir /proc/slabinfo 2>/dev/null
}

# Dumps of faults outlive the module for minutes unless they are read and dropped.
for dump in /sys/class/devcoredump/devcd*/data; do
	[ ! -e "$dump" ] || echo 1 >"$dump"
done
nodes=$(ls /dev/dri | wc -l)
rounds=100
case ${WEIR_VM_SET:-all} in quick | kasan) rounds=20 ;; esac

# memory FIELDS: their sum in KiB.
memory() {
	echo 3 >/proc/sys/vm/drop_caches
	awk -v fields="$1" '$1 ~ "^(" fields "):$" { sum += $2 } END { print sum + 0 }' /proc/meminfo
}

"$b" rmmod weir
check "nothing is left of the module: $(left | tr '\n' ' ')" test -z "$(left)"
others=$(ls /dev/dri 2>/dev/null | wc -l)
i=0
objects='Slab|VmallocUsed|Percpu|KernelStack'
while [ $i -lt $rounds ]; do
	i=$((i + 1))
	# The first rounds fill caches that stay.
	[ $i -ne 5 ] || { held=$(memory "$objects"); free=$(memory MemAvailable); }
	"$b" insmod "$module" || { check "load $i" false; break; }
	[ "$(ls /dev/dri | wc -l)" -eq "$nodes" ] || { check "load $i gives $nodes nodes" false; break; }
	"$b" rmmod weir || { check "unload $i" false; break; }
	[ "$(ls /dev/dri 2>/dev/null | wc -l)" -eq "$others" ] || { check "unload $i leaves no node" false; break; }
done
check "$rounds rounds, not $i" test $i -eq $rounds
check "nothing is left of the module: $(left | tr '\n' ' ')" test -z "$(left)"
held=$(($(memory "$objects") - held))
free=$((free - $(memory MemAvailable)))
echo "after $((rounds - 5)) more rounds: $held KiB more in objects of the kernel, $free KiB less free"
check "objects grew by less than 1 MiB" test $held -lt 1024
# Free pages wait on lists of each processor, 2 MiB at a time, and in freed vmalloc ranges, where nothing counts them.
check "free memory fell by less than 32 MiB" test $free -lt 32768
"$b" insmod "$module"
check "it is there again" test "$(ls /dev/dri | wc -l)" -eq "$nodes"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
