/* SPDX-License-Identifier: MIT */
/* Rows of activations as ops leave them: checks of their two forms, shared by act.c, rope.c and attention.c. */
#ifndef WEIR_CHECKCL_ROWS_H
#define WEIR_CHECKCL_ROWS_H

#include "checkcl.h"

/* Half an ulp of a float, relative: the most that one rounding is off. */
#define U (1.0f / 16777216.0f)

/* A planned tensor that the host reads or writes. */
struct weir_tensor *rows_kept(struct weir_graph *g, const char *name, size_t size);

/* Fills a tensor, so that what an op leaves unwritten shows. */
void rows_garbage(struct weir_tensor *t);

/* Compares n floats; bound has what each may be off. */
void rows_check_f32(struct checkcl *c, const char *params, struct weir_tensor *f32, size_t n,
	const float *want, const float *bound);

/*
 * Compares tokens packed rows of k with want (tokens, k): scales, weights, sums, and the zero rows that fill up
 * the last tile. width is the graph's.
 */
void rows_check_packed(struct checkcl *c, const char *params, struct weir_tensor *packed, unsigned width,
	unsigned tokens, size_t k, const float *want, const float *bound);

/* The same for rows of one scale. */
void rows_check_rows8(struct checkcl *c, const char *params, struct weir_tensor *rows8, unsigned width,
	unsigned tokens, size_t k, const float *want, const float *bound);

#endif
