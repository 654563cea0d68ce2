#!/bin/sh
# SPDX-License-Identifier: MIT
# Loads and unloads weir.ko 100 times (the quick set: 20): nothing may be left of it, and it must come back each time.
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
		/sys/kernel/debug/dri/weir* /sys/class/devcoredump/devcd* /sys/kernel/tracing/events/weir 2>/dev/null
	ls /dev/dri 2>/dev/null
	grep -E '^weir|weir' /proc/modules /proc/iomem /proc/interrupts 2>/dev/null
	grep weir /proc/slabinfo 2>/dev/null
}

nodes=$(ls /dev/dri | wc -l)
rounds=100
[ "${WEIR_VM_SET:-all}" != quick ] || rounds=20

# memory FIELDS: their sum in KiB.
memory() {
	echo 3 >/proc/sys/vm/drop_caches
	awk -v fields="$1" '$1 ~ "^(" fields "):$" { sum += $2 } END { print sum + 0 }' /proc/meminfo
}

"$b" rmmod weir
check "nothing is left of the module: $(left | tr '\n' ' ')" test -z "$(left)"
i=0
objects='Slab|VmallocUsed|Percpu|KernelStack'
while [ $i -lt $rounds ]; do
	i=$((i + 1))
	# The first rounds fill caches that stay.
	[ $i -ne 5 ] || { held=$(memory "$objects"); free=$(memory MemAvailable); }
	"$b" insmod "$module" || { check "load $i" false; break; }
	[ "$(ls /dev/dri | wc -l)" -eq "$nodes" ] || { check "load $i gives $nodes nodes" false; break; }
	"$b" rmmod weir || { check "unload $i" false; break; }
done
check "$rounds rounds, not $i" test $i -eq $rounds
check "nothing is left of the module: $(left | tr '\n' ' ')" test -z "$(left)"
held=$(($(memory "$objects") - held))
free=$((free - $(memory MemAvailable)))
echo "after $((rounds - 5)) more rounds: $held KiB more in objects of the kernel, $free KiB less free"
check "objects grew by less than 1 MiB" test $held -lt 1024
# Free pages wait on lists of each processor, 2 MiB at a time, where nothing counts them.
check "free memory fell by less than 16 MiB" test $free -lt 16384
"$b" insmod "$module"
check "it is there again" test "$(ls /dev/dri | wc -l)" -eq "$nodes"
echo "$passed passed, $failed failed"
[ $failed -eq 0 ]
