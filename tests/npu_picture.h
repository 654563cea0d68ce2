/* SPDX-License-Identifier: MIT */
/* A picture that another process puts into a shared buffer, classified where it lies: part of npu_cases.c. */
#ifndef WEIR_TESTS_NPU_PICTURE_H
#define WEIR_TESTS_NPU_PICTURE_H

#include <check.h>

void npu_picture_add(TCase *c);

/* The second process: its end of the socket. What main returns. */
int npu_picture_other(int socket);

#endif
