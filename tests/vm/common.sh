# SPDX-License-Identifier: MIT
# What the scripts of tests/vm share: the cache folder, how they give up, and the names of kernels.

cache=${WEIR_VM_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/weir-vm}
case $cache in /*) ;; *) cache=$PWD/$cache ;; esac
self=${0##*/}

fail() {
	echo "tests/vm/$self: $*" >&2
	exit 1
}

# 77 tells tests/run that nothing was tested and that the last line says why.
skip() {
	echo "tests/vm/$self: $*" >&2
	exit 77
}

# name, Debian release, suite that holds the kernel, architecture, kernel's name in Debian, compiler
kernels='6.12-amd64 trixie trixie amd64 gcc-14
6.1-amd64 bookworm bookworm amd64 gcc-12
new-amd64 trixie trixie-backports amd64 gcc-14
6.12-arm64 trixie trixie arm64 gcc-14
6.1-arm64 bookworm bookworm arm64 gcc-12'

# kernel_row NAME: sets release, suite, arch and compiler, or fails.
kernel_row() {
	row=$(printf '%s\n' "$kernels" | grep -F "$1 ") || return 1
	set -- $row
	kernel=$1 release=$2 suite=$3 arch=$4 compiler=$5
	case $arch in amd64) triple=x86_64-linux-gnu ;; *) triple=aarch64-linux-gnu ;; esac
}

# An item is whole once its marker is there; the marker holds the place that the item was made for.
ready() {
	[ -f "$cache/$1/.ready" ] && [ "$(cat "$cache/$1/.ready")" = "$cache" ]
}
