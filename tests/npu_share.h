/* SPDX-License-Identifier: MIT */
/* Networks on the NPU, and a cache that a second process attends to: part of npu_cases.c. */
#ifndef WEIR_TESTS_NPU_SHARE_H
#define WEIR_TESTS_NPU_SHARE_H

#include <check.h>

void npu_share_add(TCase *c);

/* The second process: its end of the socket. What main returns. */
int npu_share_other(int socket);

#endif
