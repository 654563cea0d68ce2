/* SPDX-License-Identifier: MIT */
/* What checks of matmul.cl and embed.cl share: weights of every type, activations in both forms. */
#ifndef WEIR_CHECKCL_MATMUL_H
#define WEIR_CHECKCL_MATMUL_H

#include "checkcl.h"

#include <float.h>

#define UNIT (FLT_EPSILON / 2) /* how far a float operation can be off, relative */

/* How weights are kept: as blocks of a type, or as codes. */
struct weight_kind {
	const char *name;
	unsigned bits; /* of a code; 0: blocks of a type */
	enum weir_type type;
	struct weir_plane_format format; /* of codes: the group is k where k is less, or with row_act */
};

/* The kind of this name; the program ends when there is none. */
const struct weight_kind *weight_kind(const char *name);

/* Its plane's format for rows of k. */
struct weir_plane_format weight_format(const struct weight_kind *kind, size_t k);

/* A row's weights are multiples of this. */
size_t weight_block(const struct weight_kind *kind);

/* A matrix on the device and what the reference needs to know of it. */
struct weights {
	const struct weight_kind *kind;
	struct weir_matrix m;
	float *w;    /* (rows, k) */
	float *size; /* (rows, k): |q * scale| + |min|, at least: what a sum's terms amount to */
};

/* Fill bytes of blocks: at random, or all quants at an end of their range. */
enum { FILL_RANDOM = -1 };

/*
 * Makes copies planes after each other, all the same, of which the matrix is the first; w and size
 * only when there is one. False when that failed, which counts as a failed check.
 */
bool weights_make(struct checkcl *c, const struct weight_kind *kind, size_t rows, size_t k, int fill,
	size_t copies, struct weights *out);
void weights_free(struct weights *w);

/* The form of activations that planes of a format take. */
enum form { FORM_F32, FORM_PACKED, FORM_ROWS8 };

enum form activations_form(const struct weir_plane_format *format);

/* Quantized activations and what they stand for; floats alone for planes of floats. */
struct activations {
	size_t k;
	int8_t *q;    /* (ACTIVATIONS, k) */
	float *scale; /* (ACTIVATIONS, k / 32); as rows8 the same for all of a token */
	float *x;     /* (ACTIVATIONS, k), q * scale without rounding where quantized */
};

enum { X_RANDOM, X_MAX, X_MIN, X_ALTERNATE };

#define ACTIVATIONS (2 * WEIR_TILE + 6) /* tokens */

void activations_make(
	struct checkcl *c, size_t k, enum form form, int pattern, struct activations *out);
void activations_free(struct activations *a);

/* Puts the first tokens into what a matmul of this width reads; the rest of it is not a number. */
void activations_put(const struct activations *a, enum form form, size_t width, size_t tokens,
	struct weir_tensor *t);

/* Bytes of what a matmul of this width reads; packed and rows8 are as large. */
size_t activations_size(enum form form, size_t width, size_t k);

/* Zeroed memory, or the end of the program. */
void *matmul_allocate(size_t count, size_t size);

/* Times decode and prefill of one kind. */
void matmul_time(struct checkcl *c, const struct weight_kind *kind);

/* The rows of embed.cl and of fine activations. */
void embed_check(struct checkcl *c);
void fine_check(struct checkcl *c);

#endif
