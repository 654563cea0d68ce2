/* SPDX-License-Identifier: MIT */
/* A model's weights in the device's memory: matrices as planes and vectors as floats, in few large buffers. */
#ifndef WEIR_LLM_WEIGHTS_H
#define WEIR_LLM_WEIGHTS_H

#include "format/checkpoint.h"
#include "graph/ops.h"
#include "weir/llm.h"

struct weir_vector {
	struct weir_buffer *buffer;
	size_t offset, n; /* n floats; n == 0: the model has none */
};

#define WEIR_LINEAR_PARTS 3

/*
 * y = W x + b for matrices that read the same x, one under the other (q, k, v; gate, up). Neighbours of one plane
 * format are one matrix, so that they are one launch.
 */
struct weir_linear {
	struct weir_matrix part[WEIR_LINEAR_PARTS];
	size_t first[WEIR_LINEAR_PARTS]; /* the part's first row in y */
	struct weir_vector bias[WEIR_LINEAR_PARTS];
	unsigned parts;
	size_t rows, k;
	char name[WEIR_LINEAR_PARTS][64]; /* the first tensor of each part: the file is closed after loading */
};

struct weir_weights;

int weir_weights_create(weir_device *dev, const struct weir_checkpoint *c, struct weir_weights **out);
void weir_weights_destroy(struct weir_weights *w); /* takes NULL; frees the buffers */

/*
 * Reserve places; names are formats with one %u for the layer. The structs are filled by weir_weights_load, and must
 * stay where they are until then. Tensors are checked: there, of a type that Weir runs, of the shape (k, rows[i]).
 */
int weir_weights_linear(struct weir_weights *w, struct weir_linear *out, unsigned layer,
	const char *const *names, const size_t *rows, unsigned n, size_t k);
/* A vector of n floats; an absent one is an error only where it is required. */
int weir_weights_vector(struct weir_weights *w, struct weir_vector *out, unsigned layer, const char *name,
	size_t n, bool required);

/* After all was reserved: allocates, repacks on all CPUs, and drops the file's pages behind itself. */
int weir_weights_load(struct weir_weights *w, weir_progress progress, void *user);

/* -EINVAL and a sentence if the file has a tensor that nobody reserved. */
int weir_weights_all_used(const struct weir_weights *w);

size_t weir_weights_bytes(const struct weir_weights *w);
/* How many buffers, and each: for tests that compare addresses. */
size_t weir_weights_buffers(const struct weir_weights *w);
struct weir_buffer *weir_weights_buffer(const struct weir_weights *w, size_t i);

#endif
