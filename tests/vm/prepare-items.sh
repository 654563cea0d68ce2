# SPDX-License-Identifier: MIT
# The items that tests/vm/prepare makes, each by one function that does nothing where the item is there.

prepare_busybox() {
	ready busybox && return
	apt_world trixie amd64
	fetch busybox-static
	unpack "$work/busybox"
	finish busybox
}

# prepare_qemu x86|arm: QEMU 11 or later, the first with vfio-user-pci that Debian packages.
prepare_qemu() {
	item=qemu-$1
	ready "$item" && return
	need_disk 500
	apt_world trixie amd64
	closure trixie-backports "base-files" "qemu-system-$1"
	unpack "$work/$item"
	mkdir "$work/$item/wrap"
	case $1 in x86) name=qemu-system-x86_64 ;; *) name=qemu-system-aarch64 ;; esac
	wrap "$work/$item/wrap/$name" "$cache/$item" "$cache/$item/usr/bin/$name" \
		-L "$cache/$item/usr/share/qemu" -L "$cache/$item/usr/share/seabios"
	finish "$item"
}

# prepare_compiler: the compiler that a kernel's release builds it with, and what kbuild's programs link to.
prepare_compiler() {
	item=cc-$release-$arch
	ready "$item" && return
	need_disk 700
	apt_world "$release" amd64
	cross=
	[ "$arch" = amd64 ] || cross=-$triple
	kbuild=$(depends_of linux-headers-amd64 | grep '^linux-headers-' | head -n 1)
	kbuild=$(depends_of "$kbuild" | grep '^linux-kbuild-' | head -n 1)
	closure "$release" base-files "$compiler$cross" "binutils$cross" "$kbuild"
	unpack "$work/$item"
	rm -rf "$work/$item/usr/src" "$work/$item"/usr/lib/linux-kbuild-*
	root=$work/$item bin=$work/$item/wrap
	# In bookworm the loader lies in /lib64, in trixie in /usr/lib64 with a link.
	mkdir "$bin" "$bin/exec"
	version=${compiler#gcc-}
	for program in "$root/usr/bin/$triple"-*; do
		name=${program##*/}
		case $name in *-gcc-[0-9]* | *-cpp* | *-gcc-ar* | *-gcc-nm* | *-gcc-ranlib* | *-lto-dump*) continue ;; esac
		wrap "$bin/$name" "$cache/$item" "$cache/$item/usr/bin/$name"
	done
	# The compiler's own passes and the assembler and linker that it starts.
	for program in "$root"/usr/lib*/gcc*/"$triple/$version"/cc1 "$root"/usr/lib*/gcc*/"$triple/$version"/collect2 \
		"$root"/usr/lib*/gcc*/"$triple/$version"/lto-wrapper; do
		[ -f "$program" ] || continue
		wrap "$bin/exec/${program##*/}" "$cache/$item" "$cache/$item${program#"$root"}"
	done
	for name in as ld nm; do
		ln -s "../$triple-$name" "$bin/exec/$name"
	done
	for name in "$triple-gcc" "$triple-$compiler"; do
		wrap "$bin/$name" "$cache/$item" "$cache/$item/usr/bin/$triple-$compiler" "-B$cache/$item/wrap/exec/"
	done
	finish "$item"
}

# kernel_packages: sets meta, headers, common, kbuild and image out of the suite's newest.
kernel_packages() {
	apt_world "$release" "$arch"
	meta=$(apt-cache show "linux-headers-$arch/$suite" 2>/dev/null | sed -n 's/^Depends: //p' | head -n 1 |
		tr ',' '\n' | sed 's/^ *//; s/[ (].*//' | grep '^linux-headers-' | head -n 1)
	[ -n "$meta" ] || skip "$suite has no linux-headers-$arch"
	headers=$meta
	image=linux-image-${headers#linux-headers-}
	common=$(depends_of "$headers" | grep '^linux-headers-.*-common$' | head -n 1)
	kbuild=$(depends_of "$headers" | grep '^linux-kbuild-' | head -n 1)
	[ -n "$common" ] && [ -n "$kbuild" ] || skip "$headers names no common headers or no kbuild"
}

prepare_kernel() {
	kernel_row "$1" || fail "no kernel is called $1"
	item=kernels/$kernel
	ready "$item" && return
	prepare_compiler
	kernel_row "$1"
	item=kernels/$kernel
	need_disk 700
	kernel_packages
	fetch "$headers" "$common"
	# Nothing boots the last one: it shows that the module builds. Newer images come in several packages.
	[ "$kernel" = 6.1-arm64 ] || fetch "$image" $(depends_of "$image" | grep -E '^linux-(binary|modules)-[0-9]')
	unpack "$work/$item"
	# kbuild's programs run here, whatever the kernel is for.
	apt_world "$release" amd64
	fetch "$kbuild"
	unpack "$work/$item"
	relocate "$work/$item" "$cache/$item" "$cache/cc-$release-$arch"
	[ "$kernel" = 6.1-arm64 ] || guest_modules "$work/$item"
	finish "$item"
}

# relocate WHERE FINAL COMPILER: headers that were made for /usr/src build in FINAL, with that compiler.
relocate() {
	src=$1/usr/src/$headers
	sed -i "s|/usr/src|$2/usr/src|" "$src/Makefile"
	# First or last: CC may be defined with or without delay.
	sed -i '/^override CROSS_COMPILE/d' "$src/.kernelvariables"
	sed -i "1i override CROSS_COMPILE = $3/wrap/$triple-" "$src/.kernelvariables"
	# With it kbuild would call pahole, which may be absent, to describe types that nothing reads.
	rm -f "$src/vmlinux"
	ln -s "usr/src/$headers" "$1/kdir"
	find "$1/usr/lib/$kbuild" -type f | while read -r program; do
		[ "$(head -c 4 "$program" | tail -c 3)" = ELF ] || continue
		mv "$program" "$program.elf"
		wrap "$program" "$3" "$2${program#"$1"}.elf"
	done
	echo "${headers#linux-headers-}" >"$1/version"
}

# Modules that a guest may need, in any order: what they need in turn is found below.
guest_wanted='virtio_pci virtio_iommu virtio_console 9p 9pnet_virtio overlay drm drm_kms_helper drm_shmem_helper
drm_exec gpu_sched vgem udmabuf vivid'

# guest_modules WHERE: unpacks those modules and writes their needs, "name need...", one line a module.
guest_modules() {
	mkdir "$1/guest"
	find "$1" -name '*.ko*' -type f | while read -r file; do
		name=${file##*/}
		name=$(printf '%s\n' "${name%%.*}" | tr - _)
		echo "$name $file"
	done >"$work/modules"
	left=$guest_wanted
	: >"$1/guest/needs"
	while [ -n "$left" ]; do
		now=$left left=
		for name in $now; do
			[ ! -f "$1/guest/$name.ko" ] || continue
			file=$(sed -n "s/^$name //p" "$work/modules" | head -n 1)
			[ -n "$file" ] || continue
			case $file in
			*.xz) xz -dc "$file" ;;
			*.zst) zstd -qdc "$file" ;;
			*) cat "$file" ;;
			esac >"$1/guest/$name.ko" || skip "cannot unpack ${file##*/}"
			needs=$(tr '\0' '\n' <"$1/guest/$name.ko" | sed -n 's/^depends=//p' | head -n 1 | tr -- ',-' ' _')
			echo "$name $needs" >>"$1/guest/needs"
			left="$left $needs"
		done
	done
	[ -f "$1/guest/drm.ko" ] || fail "$image holds no drm.ko: does Debian package kernels otherwise now?"
	for file in "$1"/boot/vmlinuz-* "$1"/usr/lib/modules/*/vmlinuz; do
		[ ! -f "$file" ] || mv "$file" "$1/vmlinuz"
	done
	[ -f "$1/vmlinuz" ] || fail "$image holds no kernel"
	rm -rf "$1/lib/modules" "$1/usr/lib/modules" "$1/boot"
}

# prepare_sysroot: a Debian for arm64 that programs are cross-built for and that is the guest's root there.
prepare_sysroot() {
	# One of before the program read pictures lacks the libraries for it.
	[ ! -d "$cache/sysroot-arm64" ] || [ -f "$cache/sysroot-arm64/usr/include/jpeglib.h" ] || rm -rf "$cache/sysroot-arm64"
	ready sysroot-arm64 && return
	need_disk 700
	apt_world trixie arm64
	closure trixie base-files dash bash coreutils grep sed mawk findutils diffutils util-linux procps \
		strace busybox-static libc6-dev libgcc-14-dev libdrm-dev check ocl-icd-opencl-dev opencl-headers \
		libpcre2-dev libjson-c-dev libedit-dev libpng-dev libjpeg62-turbo-dev
	unpack "$work/sysroot-arm64"
	ln -sf mawk "$work/sysroot-arm64/usr/bin/awk"
	finish sysroot-arm64
}
