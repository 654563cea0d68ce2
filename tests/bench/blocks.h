/* SPDX-License-Identifier: MIT */
/*
 * Weights as blocks of ggml's types, rounded to nearest: for files whose speed is measured, and good enough to read
 * text. ggml's own quantizers search for better scales; the blocks have the same layout.
 */
#ifndef WEIR_TESTS_BENCH_BLOCKS_H
#define WEIR_TESTS_BENCH_BLOCKS_H

#include "format/gguf.h"

/* Whether there is a rounder for a type: F32, F16, Q4_0, Q4_1, Q5_0, Q8_0, Q4_K, Q6_K. */
bool blocks_have(uint32_t type);
/* n weights, finite and a multiple of the type's block, to blocks at out. */
void blocks_of(uint32_t type, const float *w, size_t n, void *out);

#endif
