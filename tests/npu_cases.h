/* SPDX-License-Identifier: MIT */
/* Tests of the runtime on an NPU, whatever stands behind it: the kernel module, or npu_local.c. */
#ifndef WEIR_TESTS_NPU_CASES_H
#define WEIR_TESTS_NPU_CASES_H

#include <check.h>

/*
 * Runs them all, and what extra adds to them (or NULL): what main returns. Arguments are main's:
 * some cases run this program once more.
 */
int npu_cases_run(int argc, char **argv, void (*extra)(Suite *s));

#endif
