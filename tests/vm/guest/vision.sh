#!/bin/sh
# SPDX-License-Identifier: MIT
# Networks for pictures on the NPU, in a guest: LiteRT's bits for all models of the test data, and the program.
# WEIR_VM_TESTS: the folder with the suites for the kernel; WEIR_TEST_STRIDE: every so many of the 200 inputs.
set -u
weir=${WEIR_BIN:-build/weir}
data=${WEIR_TEST_DATA:-../shared/data}
suite=$(dirname "${WEIR_VM_TESTS:-build/tests/drm}")/test_vision_models
net=$data/cnn/mcunet-320kb-1mb_imagenet.tflite
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
. "${0%/*}/check.inc"
# The NPU needs no OpenCL here; looking for drivers would load a compiler each time.
export OCL_ICD_VENDORS=/nonexistent

if [ ! -r "$net" ]; then
	echo "skip networks for pictures on the NPU: no $net"
	exit 77
fi

# ---- every model, whole and streamed, against the golden values ----
WEIR_TEST_DEVICE=npu WEIR_TEST_STRIDE="${WEIR_TEST_STRIDE:-20}" "$suite" >"$work/suite" 2>&1
check "the models give LiteRT's bits" $?
sed 's/Checks:/checks:/; s/^/     /' "$work/suite" | tail -n 6
grep -q '^100%: Checks: [1-9]' "$work/suite"
check "the suite ran" $?

# ---- the program ----
"$weir" classify --device npu -m "$net" --top 1 "$data/images/chelsea.png" "$data/images/coffee.png" \
	"$data/images/rocket.jpg" >"$work/classes" 2>"$work/err"
check "classify: exit status" $?
cat "$work/classes"
tail -n 1 "$work/err"
[ "$(awk '{ sub(/^.*: /, ""); printf "%s ", $1 }' "$work/classes")" = "282 967 657 " ]
check "classify names tiger cat, espresso and missile" $?

echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
