/* SPDX-License-Identifier: GPL-2.0 */
/*
 * weir_compat.h - what differs between the kernels that weir.ko builds on.
 *
 * WEIR_HAVE_* come from Kbuild, which looks into the kernel's headers. Files other than this one
 * use the newest kernel's names.
 */
#ifndef WEIR_COMPAT_H
#define WEIR_COMPAT_H

#include <linux/eventfd.h>
#include <linux/mm.h>
#include <linux/module.h>

/* Device structures are written as they stand in memory: little-endian, with 64-bit stores. */
#if !defined(CONFIG_64BIT) || defined(CONFIG_CPU_BIG_ENDIAN)
#error "weir.ko needs a 64-bit little-endian kernel"
#endif

#ifdef WEIR_HAVE_IMPORT_NS_TEXT
#define WEIR_IMPORT_NS(ns)	MODULE_IMPORT_NS(#ns)
#else
#define WEIR_IMPORT_NS(ns)	MODULE_IMPORT_NS(ns)
#endif

#ifndef WEIR_HAVE_VM_FLAGS_SET
static inline void vm_flags_set(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags |= flags;
}

static inline void vm_flags_clear(struct vm_area_struct *vma, vm_flags_t flags)
{
	vma->vm_flags &= ~flags;
}
#endif

/* A platform driver's remove that gives nothing back. */
#ifdef WEIR_HAVE_REMOVE_NEW
#define WEIR_PLATFORM_REMOVE(fn)	.remove_new = (fn)
#else
#define WEIR_PLATFORM_REMOVE(fn)	.remove = (fn)
#endif

static inline void weir_eventfd_signal(struct eventfd_ctx *ctx)
{
#ifdef WEIR_HAVE_EVENTFD_SIGNAL_ONE
	eventfd_signal(ctx);
#else
	eventfd_signal(ctx, 1);
#endif
}

/* Fields of struct drm_driver that kernels have or lack. */
#ifdef WEIR_HAVE_DRIVER_DATE
#define WEIR_DRIVER_DATE	.date = "20261122",
#else
#define WEIR_DRIVER_DATE
#endif

#ifdef WEIR_HAVE_PRIME_HELPERS
#define WEIR_DRIVER_PRIME \
	.prime_handle_to_fd = drm_gem_prime_handle_to_fd, \
	.prime_fd_to_handle = drm_gem_prime_fd_to_handle,
#else
#define WEIR_DRIVER_PRIME
#endif

#ifdef FOP_UNSIGNED_OFFSET
#define WEIR_FOP_FLAGS		.fop_flags = FOP_UNSIGNED_OFFSET,
#else
#define WEIR_FOP_FLAGS
#endif

#endif /* WEIR_COMPAT_H */
