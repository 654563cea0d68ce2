/* SPDX-License-Identifier: MIT */
/*
 * Fusing: the kernels of a plan's launches become functions of one kernel (kernels/plan.cl), which reads from a table what
 * each launch does. The same program then runs the plan as a chain of launches or by one launch.
 */
#ifndef WEIR_DEVICE_FUSE_H
#define WEIR_DEVICE_FUSE_H

#include "device/backend.h"

/* One program's kernels among the fused ones: its place in the text is its number. */
struct weir_fuse_part {
	const char *file, *options;
};

/*
 * The text of parts, each with its options as macros and with its own names: what a file defines as x is x_<number> in part
 * <number>. Malloced. -EOPNOTSUPP with a sentence where a file's kernels are not declared by kernels/launch.clh.
 */
int weir_fuse_text(const struct weir_fuse_part *parts, size_t count, char **text, size_t *size);

/*
 * Replaces a plan's launches by launches of one fused kernel, and gives one launch that does the same: whole, whose args are as
 * valid. table is the buffer that they read, the caller's. 0; -EOPNOTSUPP where these launches cannot be fused (launches are as
 * they were); else an error.
 */
int weir_fuse(weir_device *dev, struct weir_launch *launches, size_t count, struct weir_launch *whole, struct weir_buffer **table);

#endif
