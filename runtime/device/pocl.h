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

/*
 * Whether a binary holds what runs, so that it is worth its time. What PoCL runs is compiled for the number of
 * work-items, and what it puts into a binary once more for any number: 4.7 s for the kernels of a language model
 * on a machine that compiles those that run in 3.7 s. With POCL_WORK_GROUP_SPECIALIZATION=0 the two are one, which takes
 * 4.7 s: for who has no place for PoCL's own cache, where a program comes from in 30 ms and by a binary in 3 ms.
 */
bool weir_pocl_runs_binaries(int major);

#endif
