/* SPDX-License-Identifier: MIT */
/*
 * An NPU without a kernel: stands in for the module weir behind weir_drm_calls, in this process.
 * Each open file gets a worker of weir-npu, the very program that executes a context's queues, over
 * its socket; buffers are memfds, and their fds pass for dma-bufs.
 */
#ifndef WEIR_TESTS_NPU_LOCAL_H
#define WEIR_TESTS_NPU_LOCAL_H

#include <stdbool.h>

/*
 * First thing in main: a worker is this program once more, and then the call does not return. Puts
 * the local NPU in place of the module. false with a line on stdout: there is no OpenCL device to
 * execute by.
 */
bool npu_local_start(int argc, char **argv);

/* What happens to the device of the file that was opened last. */
void npu_local_unplug(void);
/* Buffers that exist, over all files. */
unsigned npu_local_buffers(void);

#endif
