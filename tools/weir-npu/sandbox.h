/* SPDX-License-Identifier: MIT */
/* Takes from a worker what it does not need: sandbox.c. */
#ifndef WEIR_NPU_SANDBOX_H
#define WEIR_NPU_SANDBOX_H

/*
 * The folder of compiled kernels, made if need be: POCL_CACHE_DIR is set to it. 0 or -errno with a
 * line in the log.
 */
int sandbox_environment(int ctx);

/*
 * For the calling process, which has one thread yet, and all that it starts. 0 or -errno with a
 * line in the log.
 */
int sandbox_enter(int ctx);

#endif
