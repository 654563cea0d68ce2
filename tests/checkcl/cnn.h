/* SPDX-License-Identifier: MIT */
/* Networks made by hand, as a TFLite file would describe them, and run in every way that Weir has. */
#ifndef WEIR_CHECKCL_CNN_H
#define WEIR_CHECKCL_CNN_H

#include "checkcl.h"
#include "format/tflite.h"

#define CNN_NET_TENSORS 64
#define CNN_NET_OPS 16
#define CNN_NET_ENDS 8 /* inputs or outputs of an op or of the network */

struct cnn_net {
	struct weir_tflite file;
	struct weir_tflite_tensor tensors[CNN_NET_TENSORS];
	struct weir_tflite_op ops[CNN_NET_OPS];
	int32_t lists[2 * CNN_NET_OPS + 2][CNN_NET_ENDS]; /* what the ops' and the network's lists point to */
	unsigned n_lists;
	void *memory[4 * CNN_NET_TENSORS]; /* values and scales, freed by cnn_net_done */
	unsigned n_memory;
};

void cnn_net_start(struct cnn_net *n);
void cnn_net_done(struct cnn_net *n);

/* A new tensor: its number. data NULL: not a constant; else its bytes, copied. */
int cnn_net_tensor(struct cnn_net *n, enum weir_tflite_type type, unsigned n_dims, const int32_t *dims,
	const void *data);
#define CNN_DIMS(...) (sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t)), (const int32_t[]){__VA_ARGS__}

/*
 * Quantization: one scale and zero point, or, with n_scales > 1, a scale for each index of the axis and zero
 * points 0.
 */
void cnn_net_quantize(struct cnn_net *n, int tensor, float scale, int zero);
void cnn_net_quantize_axis(struct cnn_net *n, int tensor, int axis, unsigned n_scales, const float *scales);

/*
 * A new op, with options as the schema has them by default (strides, dilations and beta are 1): the caller's
 * to set.
 */
struct weir_tflite_op *cnn_net_op(struct cnn_net *n, enum weir_tflite_code code, unsigned n_inputs,
	const int32_t *inputs, unsigned n_outputs, const int32_t *outputs);

/* The network's inputs and outputs. */
void cnn_net_ends(struct cnn_net *n, unsigned n_inputs, const int32_t *inputs, unsigned n_outputs,
	const int32_t *outputs);

/*
 * Runs the network by launches and in one launch, with memory shared in every way and in none, and in as
 * little as can be; in[i] are the bytes of input i, want[i] those that output i must have. Float outputs may
 * differ by rel of their size, others not. Each output of each run is a check.
 */
void cnn_net_check(struct checkcl *c, const char *params, const struct cnn_net *n, const void *const *in,
	const void *const *want, float rel);

/*
 * With --bench: the time of a run of the network by launches and in one launch, divided by `same`: by that
 * many like ops, which hide what a run itself takes. ops: multiply-adds * 2 of one.
 */
void cnn_net_time(struct checkcl *c, const char *params, const struct cnn_net *n, unsigned same, double ops);

/* That the network is refused, with a sentence that has `what` in it. */
void cnn_net_refused(struct checkcl *c, const char *params, const struct cnn_net *n, const char *what);

int cnn_random(struct checkcl *c, int lo, int hi); /* both inclusive */
void cnn_random_bytes(struct checkcl *c, void *data, size_t size);

#endif
