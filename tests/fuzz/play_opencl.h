/* SPDX-License-Identifier: MIT */
/* OpenCL for fuzz targets: play_opencl.c. */
#ifndef WEIR_TESTS_FUZZ_PLAY_OPENCL_H
#define WEIR_TESTS_FUZZ_PLAY_OPENCL_H

#include <stdbool.h>
#include <stdlib.h>

#include "tools/weir-npu/space.h"

/* Where kernels' pointers must point to. */
extern struct space *play_space;

static inline void insist(bool ok)
{
	if (!ok)
		abort();
}

#endif
