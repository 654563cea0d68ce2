#!/bin/sh
# SPDX-License-Identifier: MIT
# Networks on the NPU, in a guest: the story is the golden one, decoding takes no system call, two processes that share
# the device get the tokens that each gets alone.
# WEIR_TEST_MODEL: a larger model that shall talk too.
set -u
weir=${WEIR_BIN:-build/weir}
data=${WEIR_TEST_DATA:-../shared/data}
story=$data/llm/stories260K-f32.gguf
golden=$data/llm/stories260K-greedy200.txt
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. "${0%/*}/check.inc"
# The NPU needs no OpenCL here; looking for drivers would load a compiler each time.
export OCL_ICD_VENDORS=/nonexistent

npu() {
	"$weir" run --device npu "$@"
}

if [ ! -r "$story" ]; then
	echo "skip networks on the NPU: no $story"
	exit 77
fi

# ---- the story ----
npu -m "$story" -p "" --temp 0 -n 200 >"$work/story" 2>"$work/err"
check "run: exit status" $?
# White space around it does not count; all else is exact.
strip() {
	tr '\n' '\r' <"$1" | sed 's/^[ \r]*//; s/[ \r]*$//'
}
[ "$(strip "$work/story")" = "$(strip "$golden")" ]
check "the story is the golden one" $?
tail -n 3 "$work/err"

# ---- system calls ----
# The difference of two runs is what so many more tokens cost: the text is written, nothing else. On a machine that is busy
# with other things the device falls asleep in between, or takes longer than a process spins: so there are more tries, the
# later ones shorter.
more_calls() {
	for n in 20 $((20 + $1)); do
		strace -f -c -o "$work/calls.$n" "$weir" run --device npu -m "$story" -p "" --temp 0 -n $n \
			>"$work/text.$n" 2>/dev/null || return 1
		# percent, seconds, microseconds a call, calls, [errors,] name
		awk '$1 ~ /^[0-9.]+$/ && NF >= 5 && $NF != "total" { print $NF, $4 }' "$work/calls.$n" | sort >"$work/list.$n"
	done
	join -a 2 -e 0 -o 0,1.2,2.2 "$work/list.20" "$work/list.$n" | awk '$3 != $2 { print $1, $3 - $2 }' >"$work/more"
	echo "$1 more tokens, system calls more: $(tr '\n' ';' <"$work/more")"
	awk -v n="$1" '$1 == "write" { written = $2 } $1 != "write" && $2 != 0 { bad = 1 } END { exit bad || written < n }' \
		"$work/more"
}
if command -v strace >/dev/null 2>&1; then
	more_calls 100 || more_calls 100 || more_calls 100 || more_calls 30 || more_calls 30 ||
		more_calls 10 || more_calls 10
	check "a decoded token costs no system call but writing the text" $?
else
	echo "skip system calls: no strace"
fi

# ---- two processes ----
npu -m "$story" -p "Once upon a time" --temp 0 -n 150 >"$work/alone.1" 2>/dev/null
npu -m "$story" -p "The dog" --temp 0 -n 150 >"$work/alone.2" 2>/dev/null
npu -m "$story" -p "Once upon a time" --temp 0 -n 150 >"$work/both.1" 2>/dev/null &
first=$!
npu -m "$story" -p "The dog" --temp 0 -n 150 >"$work/both.2" 2>/dev/null
check "two at a time: the second ends well" $?
wait "$first"
check "two at a time: the first ends well" $?
[ -s "$work/alone.1" ] && cmp -s "$work/alone.1" "$work/both.1"
check "two at a time: the first says what it says alone" $?
[ -s "$work/alone.2" ] && cmp -s "$work/alone.2" "$work/both.2"
check "two at a time: the second says what it says alone" $?

# ---- a model that talks ----
if [ -n "${WEIR_TEST_MODEL:-}" ]; then
	echo "Why is the sky blue?" | "$weir" chat --device npu -m "$WEIR_TEST_MODEL" --temp 0 -n "${WEIR_TEST_TOKENS:-40}" \
		>"$work/talk" 2>"$work/err"
	check "the larger model talks" $?
	cat "$work/talk"
	tail -n 3 "$work/err"
	[ "$(wc -w <"$work/talk")" -gt 10 ]
	check "it says more than ten words" $?
fi

OCL_ICD_VENDORS= "$weir" info 2>&1 | sed 's/^/     /'
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
