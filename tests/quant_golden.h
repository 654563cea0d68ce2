/* SPDX-License-Identifier: MIT */
/* tests/golden/quant.pack, and the weights and activations that it belongs to (formats: README.md there). */
#ifndef WEIR_TESTS_QUANT_GOLDEN_H
#define WEIR_TESTS_QUANT_GOLDEN_H

#include <stddef.h>
#include <stdint.h>

#define QUANT_GOLDEN "tests/golden/quant.pack"

/* NULL, or a sentence that says what is wrong with the file. */
const char *quant_golden_open(const char *path);
void quant_golden_close(void);

/* A record's values, n of them of size bytes; the test ends where it is absent or has another size. */
const void *quant_golden(const char *name, size_t n, size_t size);

/* Malloced (rows, k) and (n, k), the caller's to free. */
float *quant_weights(uint32_t seed, size_t rows, size_t k);
float *quant_tokens(uint32_t seed, size_t n, size_t k);

#endif
