#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs into an empty folder, then builds README's examples against that alone and runs the installed program.
set -eu
build=$(realpath "$1")
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
make -s O="$build" PREFIX=/usr DESTDIR="$root" install >/dev/null
export PKG_CONFIG_PATH="$root/usr/lib/pkgconfig" PKG_CONFIG_SYSROOT_DIR="$root"
for i in 1 2; do
	${CC:-gcc} -o "$root/readme$i" "$build/tests/readme$i.c" $(pkg-config --cflags --libs weir)
done
export LD_LIBRARY_PATH="$root/usr/lib"
"$root/usr/bin/weir" --version
# Nothing but weir_ symbols leaves the library.
others=$(nm -D --defined-only "$root/usr/lib/libweir.so" | awk '$3 !~ /^(weir_|WEIR_)/ {print $3}')
[ -z "$others" ] || { echo "exported: $others"; echo "1 passed, 1 failed"; exit 1; }
# And every function that the headers declare does.
nm -D --defined-only "$root/usr/lib/libweir.so" | sed 's/.* //; s/@.*//' >"$root/exported"
missing=$(grep -ho '\<weir_[a-z0-9_]*(' "$root"/usr/include/weir/*.h | tr -d '(' | sort -u | grep -vxFf "$root/exported" || true)
[ -z "$missing" ] || { echo "not exported: $missing"; echo "2 passed, 1 failed"; exit 1; }
readelf -d "$root/usr/lib/libweir.so" | grep -q 'SONAME.*libweir.so.0'
model=${WEIR_TEST_DATA:-none}/llm/stories260K-f32.gguf
if [ -f "$model" ]; then
	"$root/usr/bin/weir" run -m "$model" -p "" --temp 0 -n 200 --quiet >"$root/story"
	# Outer white space does not count: of the end the shell takes it, of the beginning sed.
	[ "$(sed '1s/^ *//' "$root/story")" = "$(cat "$WEIR_TEST_DATA/llm/stories260K-greedy200.txt")" ]
else
	echo "skip the installed program's story: no $model"
fi
network=${WEIR_TEST_DATA:-none}/cnn/mcunet-320kb-1mb_imagenet.tflite
if [ -f "$network" ]; then
	[ "$("$root/readme2" "$network" "$WEIR_TEST_DATA/images/coffee.png")" = 967 ] # espresso
else
	echo "skip the example for pictures: no $network"
fi
echo "6 passed, 0 failed"
