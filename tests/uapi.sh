#!/bin/sh
# SPDX-License-Identifier: MIT
# uapi/*.h mean the same to every kind of process: each structure and field is compiled for x86_64, i386, arm64 and
# 32-bit arm, and sizes, offsets and ioctl numbers are compared. Also: no hidden padding, and it is C++ too.
#     tests/uapi.sh
set -u
clang=${CLANG:-clang}
work=$(mktemp -d) || exit 1
trap 'rm -rf "$work"' EXIT
passed=0
failed=0

ok() {
	passed=$((passed + 1))
}

fail() {
	failed=$((failed + 1))
	echo "FAIL: $*"
}

# drm.h comes with libdrm; asm/*.h of this machine say nothing about its word size that the headers use.
drm=$(pkg-config --cflags libdrm 2>/dev/null || echo -I/usr/include/libdrm)
asm=/usr/include/$(gcc -print-multiarch 2>/dev/null)
flags="-I. -Iuapi $drm -isystem $asm -isystem /usr/include -ffreestanding"

# One line a structure or field: its name, and the expression that tells size or offset.
awk '
	/^struct [a-z_]+ \{/ { s = $2; print "size " s; next }
	/^\};/ { s = "" }
	s != "" && /^\t(__[us][0-9]+|char) / {
		f = $2; sub(/[;\[].*/, "", f); print "field " s " " f }
	/^#define DRM_IOCTL_WEIR_/ { print "ioctl " $2 }' uapi/weir_drm.h uapi/weir_npu.h >"$work/list"
[ "$(grep -c '^field' "$work/list")" -gt 100 ] || fail "the headers were not understood"

{
	echo '#include "uapi/weir_drm.h"'
	echo '#include "uapi/weir_npu.h"'
	echo 'const unsigned long long layout[] = {'
	awk '
		$1 == "size" { print "\tsizeof(struct " $2 ")," }
		$1 == "field" { print "\t__builtin_offsetof(struct " $2 ", " $3 ") << 16 | sizeof(((struct " $2 " *)0)->" $3 ")," }
		$1 == "ioctl" { print "\t(unsigned int)" $2 "," }' "$work/list"
	echo '};'
} >"$work/layout.c"

for target in x86_64-linux-gnu i386-linux-gnu aarch64-linux-gnu arm-linux-gnueabihf; do
	# shellcheck disable=SC2086 # lists of words
	if $clang --target=$target $flags -Wall -Wextra -Wno-gnu-folding-constant -S -o "$work/$target.s" "$work/layout.c" \
		2>"$work/err" && [ ! -s "$work/err" ]; then
		ok
	else
		fail "$target: $(head -n 3 "$work/err")"
		continue
	fi
	# Values of the array: .quad, or two .long (a 32-bit assembler), or .xword; the comment behind them goes.
	awk '/^layout:/ { on = 1; next } on && /^[^\t ]/ { exit }
		on && $1 == ".quad" || on && $1 == ".xword" { print $2 }
		on && $1 == ".long" { if (half) { print low; half = 0 } else { low = $2; half = 1 } }' \
		"$work/$target.s" >"$work/$target.values"
done

# A size that is no multiple of 8, or two targets that differ, are named.
paste -d ' ' "$work/list" "$work/x86_64-linux-gnu.values" >"$work/named"
[ "$(wc -l <"$work/list")" -eq "$(wc -l <"$work/x86_64-linux-gnu.values")" ] || fail "values are missing"
while read -r kind name field value; do
	case $kind in
	size) [ $((field % 8)) -eq 0 ] && ok || fail "struct $name has $field bytes: not a multiple of 8" ;;
	field) [ -n "$value" ] && ok || fail "$name.$field" ;;
	esac
done <"$work/named"
for target in i386-linux-gnu aarch64-linux-gnu arm-linux-gnueabihf; do
	if cmp -s "$work/x86_64-linux-gnu.values" "$work/$target.values"; then
		ok
	else
		fail "$target differs from x86_64: $(paste -d ' ' "$work/named" "$work/$target.values" |
			awk '$NF != $(NF - 1)' | head -n 3)"
	fi
done

# Hidden padding would carry bytes of the stack from one side to the other.
printf '#include "uapi/weir_drm.h"\n#include "uapi/weir_npu.h"\n' >"$work/padded.c"
# shellcheck disable=SC2086
if $clang $flags -fsyntax-only -Wpadded "$work/padded.c" 2>&1 | grep '^[^ ]*uapi/weir_[a-z]*.h:.*warning' >"$work/err"; then
	fail "padding: $(head -n 3 "$work/err")"
else
	ok
fi
cp "$work/padded.c" "$work/padded.cc"
for standard in c++98 c++17; do
	# shellcheck disable=SC2086
	if $clang $flags -Wno-long-long -x c++ -std=$standard -fsyntax-only -Wall "$work/padded.cc" 2>"$work/err"; then
		ok
	else
		fail "$standard: $(head -n 3 "$work/err")"
	fi
done
echo "$passed passed, $failed failed"
[ "$failed" -eq 0 ]
