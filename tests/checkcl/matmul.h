/* SPDX-License-Identifier: MIT */
/* What checks of matmul.cl and embed.cl share: weights of every type, activations in both forms. */
#ifndef WEIR_CHECKCL_MATMUL_H
#define WEIR_CHECKCL_MATMUL_H

#include "checkcl.h"

#include <float.h>

#define UNIT (FLT_EPSILON / 2) /* how far a float operation can be off, relative */

/* A matrix on the device and what the reference needs to know of it. */
struct weights {
	enum weir_type type;
	struct weir_matrix m;
	float *w;    /* (rows, k) */
	float *size; /* (rows, k): |q * scale| + |min|, at least; what a sum's terms amount to */
};

/* Fill bytes of blocks: at random, or all quants at an end of their range. */
enum { FILL_RANDOM = -1 };

/*
 * Makes copies planes after each other, all the same, of which the matrix is the first; w and size
 * only when there is one. False when that failed, which counts as a failed check.
 */
bool weights_make(struct checkcl *c, enum weir_type type, size_t rows, size_t k, int fill,
	size_t copies, struct weights *out);
void weights_free(struct weights *w);

/* Quantized activations and what they stand for; floats alone for planes of floats. */
struct activations {
	size_t k;
	int8_t *q;    /* (ACTIVATIONS, k) */
	float *scale; /* (ACTIVATIONS, k / 32) */
	float *x;     /* (ACTIVATIONS, k), q * scale without rounding where quantized */
};

enum { X_RANDOM, X_MAX, X_MIN, X_ALTERNATE };

#define ACTIVATIONS (2 * WEIR_TILE + 6) /* tokens */

void activations_make(
	struct checkcl *c, size_t k, bool floats, int pattern, struct activations *out);
void activations_free(struct activations *a);

/* Puts the first tokens into what a matmul of this width reads; the rest of it is not a number. */
void activations_put(const struct activations *a, bool floats, size_t width, size_t tokens,
	struct weir_tensor *t);

/* Bytes of what a matmul of this width reads. */
size_t activations_size(bool floats, size_t width, size_t k);

/* Zeroed memory, or the end of the program. */
void *matmul_allocate(size_t count, size_t size);

/* Times decode and prefill of one type. */
void matmul_time(struct checkcl *c, enum weir_type type);

/* The rows of embed.cl and of fine activations. */
void embed_check(struct checkcl *c);
void fine_check(struct checkcl *c);

#endif
