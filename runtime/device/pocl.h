/* SPDX-License-Identifier: MIT */
/* What is particular to PoCL, for the runtime and for weir-npu. */
#ifndef WEIR_DEVICE_POCL_H
#define WEIR_DEVICE_POCL_H

#include <stdbool.h>

#ifndef CL_TARGET_OPENCL_VERSION
#define CL_TARGET_OPENCL_VERSION 120
#endif
#include <CL/cl.h>

/* The major version of PoCL; 0: the platform is another. */
int weir_pocl_major(cl_platform_id platform);

/*
 * PoCL 6.0 can hit an assertion of LLVM and abort the process when it is asked for a program's binary; 3.1 and 7.1 do
 * not, and 4 and 5 were never tried. PoCL keeps a cache of compiled kernels of its own, so little is lost without.
 */
static inline bool weir_pocl_gives_binaries(int major)
{
	return major == 0 || major <= 3 || major >= 7;
}

#endif
