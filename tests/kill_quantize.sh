#!/bin/sh
# SPDX-License-Identifier: MIT
# Kills weir quantize at moments spread over its run, again and again until one comes to its end, and compares the bytes with
# those of a run that nobody killed: tests/kill_quantize.sh WEIR MODEL TEXT FOLDER [ROUNDS]
set -u
weir=$1
model=$2
text=$3
work=$4
rounds=${5:-20}

# In the background exec makes the process that is killed weir's own.
quantize() {
	$2 "$weir" quantize --calib "$text" --samples 24 --length 64 --group 32 "$model" "$1"
}

now() {
	date +%s%N
}

quantize "$work/calm.gguf" "" >/dev/null || exit 1 # kernels are compiled and cached
rm "$work/calm.gguf"
start=$(now)
quantize "$work/calm.gguf" "" >/dev/null || exit 1
spent=$((($(now) - start) / 1000))

kills=0
resumed=0
i=0
while [ "$i" -lt "$rounds" ]; do
	i=$((i + 1))
	rm -rf "$work/killed.gguf" "$work/killed.gguf.partial"
	# From a twentieth of the time on, each round another part of it, and the second kill in a round at another moment.
	part=$((spent * (5 + i * 90 / rounds) / 100))
	for wait in "$part" $((part / 2 + spent / 5)); do
		quantize "$work/killed.gguf" exec >/dev/null 2>&1 &
		pid=$!
		sleep "$((wait / 1000000)).$(printf %06d $((wait % 1000000)))"
		kill -KILL "$pid" 2>/dev/null && kills=$((kills + 1))
		wait "$pid" 2>/dev/null
		[ -e "$work/killed.gguf" ] && break
	done
	if [ ! -e "$work/killed.gguf" ]; then
		quantize "$work/killed.gguf" "" >"$work/killed.out" 2>&1 || {
			cat "$work/killed.out"
			exit 1
		}
		grep -q "finished already" "$work/killed.out" && resumed=$((resumed + 1))
	fi
	cmp "$work/calm.gguf" "$work/killed.gguf" || exit 1
done
[ "$kills" -gt 0 ] || exit 1
echo "$rounds rounds, $kills kills, $resumed runs that went on: the same bytes"
