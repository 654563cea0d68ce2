/* SPDX-License-Identifier: MIT */
/* A second process of the NPU's suite, and dma-bufs that go between the two: part of npu_cases.c. */
#ifndef WEIR_TESTS_NPU_PASS_H
#define WEIR_TESTS_NPU_PASS_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

#include "weir/weir.h"

/* Starts this program once more with the arguments option and a socket to it; fails the test when it cannot. */
pid_t npu_pass_start(const char *option, int *socket);

/* A message of size bytes, with an fd or -1. */
bool npu_pass_send(int socket, const void *data, size_t size, int fd);
bool npu_pass_receive(int socket, void *data, size_t size, int *fd);

/* Nothing when there is none: a second process has no test to fail. */
weir_device *npu_pass_device(void);

#endif
