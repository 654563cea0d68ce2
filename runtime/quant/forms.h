/* SPDX-License-Identifier: MIT */
/* Errors of what quantizing changed in rows, d: d^T G d for G = sum over tokens of x x^T, for ten d at a time. */
#ifndef WEIR_QUANT_FORMS_H
#define WEIR_QUANT_FORMS_H

#include <stddef.h>

/*
 * Vectors side by side: (n, WEIR_FORMS_STRIDE), of which the first WEIR_FORMS columns count. So many partial sums go
 * into the registers of AVX-512, and the clip search has ten steps.
 */
#define WEIR_FORMS 10
#define WEIR_FORMS_STRIDE 16
#define WEIR_PANEL 16

/*
 * A Gram matrix as panels of 16 columns, each down to its diagonal: panel p holds rows [0, 16 (p + 1)), 16 floats a row.
 * n is rounded up to a multiple of 16, with zeros; so are the rows of vectors that go with it.
 */
static inline size_t weir_panel_size(size_t p)
{
	return (p + 1) * WEIR_PANEL * WEIR_PANEL;
}

/* Floats before panel p; those of a whole matrix of p panels. */
static inline size_t weir_panel_offset(size_t p)
{
	return p * (p + 1) / 2 * WEIR_PANEL * WEIR_PANEL;
}

/* Adds to each d_f^T G d_f what panel p of G and its mirror image give. */
void weir_forms_panel(const float *d, const float *panel, size_t p, double out[WEIR_FORMS]);

/* The same whole, from tokens: out[f] += sum over tokens of (x . d_f)^2. x: (tokens, stride), n of each are read. */
void weir_forms_tokens(const float *d, const float *x, size_t stride, size_t tokens, size_t n,
	double out[WEIR_FORMS]);

/* panels: the Gram matrix of such tokens, summed in double. -ENOMEM with a sentence. */
int weir_gram_of_tokens(const float *x, size_t stride, size_t tokens, size_t n, unsigned threads, float *panels);

/* Ten rows (row_stride apart; count of them, the others are zeros) of n floats put side by side, with zeros up to padded. */
void weir_forms_put(float *d, const float *rows, size_t row_stride, size_t count, size_t n, size_t padded);

#endif
