/* SPDX-License-Identifier: MIT */
/*
 * From the operators of a TFLite file to ops of the device's table (kernels/cnn.clh). One function an operator
 * checks types, shapes, quantization and options, and adds the nodes that do the work.
 */
#ifndef WEIR_VISION_LOWER_H
#define WEIR_VISION_LOWER_H

#include "base/base.h"
#include "format/tflite.h"
#include "kernels/cnn.clh"
#include "vision/fixed.h"
#include "vision/layout.h"

struct weir_cnn_node {
	const char *label; /* for profiles and messages: a literal, "conv" */
	int source;	   /* the operator in the file */
	struct cnn_op op;  /* all but views' space, at and ring, and consts, which come with the layout */
	int in, in2, out;  /* tensors of the file; -1: none */
	int rows;	   /* that the op counts; by default those of its output */
	/* For the layout: see there. span 0, same false, overlay 0 unless the operator says otherwise. */
	int stride, pad, span;
	bool same, same2;
	size_t overlay;
	uint64_t macs;	   /* multiply-adds, or operations of a kind */
	void *consts;	   /* malloced, the node's: weights, multipliers, tables. Read by kernels at cnn_consts() */
	size_t consts_size;
};

struct weir_lower; /* the network while it is being lowered */

const struct weir_tflite *weir_lower_file(const struct weir_lower *l);
/* Tensor id of the file; id must be in range, as the reader saw to. */
const struct weir_tflite_tensor *weir_lower_tensor(const struct weir_lower *l, int id);

/* -err with "PATH: operator 12 (CONV_2D): " before the sentence. */
int weir_lower_fail(struct weir_lower *l, unsigned op, int err, const char *fmt, ...) WEIR_PRINTF(4, 5);
/* The same with ": tensor 7 (NAME), int8 [1, 8, 8, 3]: " behind the operator. */
int weir_lower_fail_tensor(struct weir_lower *l, unsigned op, int err, int tensor, const char *fmt, ...)
	WEIR_PRINTF(5, 6);

/*
 * Checks that op has exactly (or with absent ones allowed: at least) the inputs and outputs named; the mandatory ones are
 * there. 0 or -EINVAL with a sentence.
 */
int weir_lower_arity(struct weir_lower *l, unsigned op, unsigned min_inputs, unsigned max_inputs, unsigned outputs);

/*
 * A tensor that an int8 operator takes: I8, per-tensor quantized with scale > 0, zero point in [-128, 127]. Or F32 for the
 * float twins. Sets *f32. With types and values that no kernel takes: -EOPNOTSUPP or -EINVAL with a sentence.
 */
int weir_lower_activation(struct weir_lower *l, unsigned op, int tensor, bool *f32);
/* The same for all inputs given and the output together: all I8 or all F32. */
int weir_lower_same_type(struct weir_lower *l, unsigned op, const int *tensors, unsigned n, bool *f32);

/* That the output's dims are these, and says what they are otherwise. */
int weir_lower_shape(struct weir_lower *l, unsigned op, int tensor, unsigned n_dims, const int32_t *dims);

/* That a tensor is a constant of INT32 (wide: or INT64), of n values if n is not 0 (lower_move.c). */
int weir_lower_ints(struct weir_lower *l, unsigned op, int tensor, bool wide, size_t n);

/*
 * n, h, w, c, pitch and ring of a whole tensor: dims with ones put before; more than 4 dims count into n. Sizes are within
 * int32 (checked when the network is opened: no tensor is larger than 2^30 bytes).
 */
struct cnn_view weir_lower_view(const struct weir_lower *l, int tensor);

/*
 * A new node, zeroed but for kind, label, source, views of in, in2 and out (-1: none), rows = out's n * h and parts = 1. NULL
 * after ENOMEM was set; valid until the next call.
 */
struct weir_cnn_node *weir_lower_node(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind, int in,
	int in2, int out);

/* malloced zeroed constants for the node; NULL and a sentence without memory or beyond 2^30 bytes. */
void *weir_lower_consts(struct weir_lower *l, struct weir_cnn_node *node, size_t size);

/*
 * When tensor was made by a PAD that is to be folded into its one reader, a convolution: the PAD's input and its padding
 * {top, bottom, left, right}. Else the tensor itself and zeros. The padding's value is the zero point (0 for floats).
 */
int weir_lower_padded(const struct weir_lower *l, int tensor, int pad[4]);

/* Limits of an int8 (or float) output under a fused activation, as TFLite's CalculateActivationRange; -EOPNOTSUPP for others. */
int weir_lower_clamp_i8(struct weir_lower *l, unsigned op, int tensor, int activation, int *lo, int *hi);
int weir_lower_clamp_f32(struct weir_lower *l, unsigned op, int activation, float *lo, float *hi);

/*
 * One function an operator (lower_*.c); op is its index in the file. 0 or -errno with a sentence. The caller has looked at
 * the type of input 0: F32 goes to the functions named so, I8 to the others, any other type nowhere. The two of quantization
 * and those that only move values take both.
 */
typedef int weir_lower_fn(struct weir_lower *l, unsigned op);
/* lower_conv.c */
weir_lower_fn weir_lower_conv, weir_lower_depthwise, weir_lower_fully_connected;
/* lower_pool.c, lower_reduce.c */
weir_lower_fn weir_lower_average_pool, weir_lower_max_pool, weir_lower_mean, weir_lower_softmax;
/* lower_binary.c, lower_unary.c */
weir_lower_fn weir_lower_add, weir_lower_sub, weir_lower_mul;
weir_lower_fn weir_lower_logistic, weir_lower_hard_swish, weir_lower_relu, weir_lower_relu6;
weir_lower_fn weir_lower_quantize, weir_lower_dequantize;
/* lower_float.c */
weir_lower_fn weir_lower_conv_f32, weir_lower_depthwise_f32, weir_lower_fully_connected_f32;
weir_lower_fn weir_lower_average_pool_f32, weir_lower_max_pool_f32, weir_lower_mean_f32, weir_lower_softmax_f32;
weir_lower_fn weir_lower_binary_f32 /* ADD, SUB, MUL */, weir_lower_unary_f32 /* LOGISTIC, HARD_SWISH, RELU, RELU6 */;
/* lower_move.c, lower_resize.c: both types */
weir_lower_fn weir_lower_pad, weir_lower_concatenation, weir_lower_split, weir_lower_strided_slice,
	weir_lower_transpose, weir_lower_reshape, weir_lower_squeeze;
weir_lower_fn weir_lower_resize_nearest, weir_lower_resize_bilinear;

/* RESHAPE and SQUEEZE: out has in's bytes. The network finds out whether they can share them, else they are copied. */
int weir_lower_alias(struct weir_lower *l, unsigned op, int in, int out);
/* A node that copies all bytes of in to out, which has as many (lower_move.c). */
int weir_lower_copy(struct weir_lower *l, unsigned op, int in, int out);

#endif
