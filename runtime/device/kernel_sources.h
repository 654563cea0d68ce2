/* SPDX-License-Identifier: MIT */
/* The kernels' texts, which the build makes into C from kernels/ (build/gen/kernel_sources.c). */
#ifndef WEIR_DEVICE_KERNEL_SOURCES_H
#define WEIR_DEVICE_KERNEL_SOURCES_H

#include <stddef.h>

struct weir_kernel_source {
	const char *name; /* "gemv.cl", without a folder */
	const char *text;
	size_t size;
};

/* Ended by an entry whose name is NULL. */
extern const struct weir_kernel_source weir_kernel_sources[];

#endif
