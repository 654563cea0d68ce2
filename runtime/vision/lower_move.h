/* SPDX-License-Identifier: MIT */
/* What operators that move values share: moves by strides, made into nodes for kernels/cnn_move.clh. */
#ifndef WEIR_VISION_LOWER_MOVE_H
#define WEIR_VISION_LOWER_MOVE_H

#include "vision/lower.h"

/* More than tensors have: STRIDED_SLICE may put axes in. */
#define WEIR_MOVE_RANK 12

/*
 * dim[0] is the outermost; strides and begins are in values. No more than six of the dims are larger than
 * 1, and all that is reached lies in the tensors.
 */
struct weir_move {
	unsigned rank;
	int64_t dim[WEIR_MOVE_RANK], in[WEIR_MOVE_RANK], out[WEIR_MOVE_RANK];
	int64_t from, to;
};

void weir_move_dim(struct weir_move *m, int64_t dim, int64_t in, int64_t out);

/* Strides of a whole tensor. */
void weir_move_strides(const struct weir_tflite_tensor *t, int64_t *stride);

/*
 * A node for what m says, of values of size bytes; byte is what CNN_FILL writes, and its size is 1. m is
 * spoiled. 0 or -errno with a sentence.
 */
int weir_move_node(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind, int in, int out,
	struct weir_move *m, int size, int byte);

/*
 * Bytes of a value, 1 or 4, when operator op's input in and output out have the same type; or -errno with a
 * sentence.
 */
int weir_move_size(struct weir_lower *l, unsigned op, int in, int out);

#endif
