/* SPDX-License-Identifier: MIT */
/* What CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED of int8 have in common when they are lowered. */
#ifndef WEIR_VISION_LOWER_CONV_H
#define WEIR_VISION_LOWER_CONV_H

#include "kernels/cnn_channels.clh"
#include "vision/lower.h"

/* What they come down to. */
struct weir_conv {
	struct weir_lower *l;
	unsigned op;
	const struct weir_tflite_op *o;
	int in, out; /* tensors; in: behind a folded PAD */
	const struct weir_tflite_tensor *input, *weights, *bias, *output;
	int height, width, depth; /* of the input */
	int kernel_h, kernel_w;
	int stride_h, stride_w, dilation_h, dilation_w;
	int top, left, out_h, out_w;
	int channels; /* of the output */
	bool flat;    /* input and output are one row of pixels, whatever their shapes */
	int lo, hi;
};

/* ---- lower_conv_shape.c ---------------------------------------------------------------------------- */

/*
 * Tensors and their types, in *c; shapes and options come after. As all that return int: 0, or -errno with a
 * sentence.
 */
int weir_conv_open(struct weir_lower *l, unsigned op, struct weir_conv *c);

/*
 * That the weights are constant int8 of this rank, quantized by tensor or along this axis, and the bias fits
 * channels.
 */
int weir_conv_weights(const struct weir_conv *c, unsigned rank, unsigned axis);
int weir_conv_bias(const struct weir_conv *c);

/* The shapes of a convolution over pictures, whose weights have height and width as dims 1 and 2. */
int weir_conv_shape(struct weir_conv *c);

/*
 * Channel i's place in the table of its block: lane `lane`. sum: of its weights. *how begins as weir_conv_how and is changed
 * by a channel for which that does not do.
 */
int weir_conv_how(const struct weir_conv *c); /* an enum cnn_channels_how */
int weir_conv_channel(const struct weir_conv *c, int i, char *block, int lane, int32_t sum, int *how);

/* The op's enum cnn_channels_param. */
void weir_conv_channels(const struct weir_conv *c, int32_t *p, int how);

/* How rows go with rows of the input, for the layout. */
void weir_conv_streaming(const struct weir_conv *c, struct weir_cnn_node *node);

/* Into how many parts to cut a row whose making costs so many cycles. */
int64_t weir_conv_parts(double cost);

/* ---- lower_conv.c ---------------------------------------------------------------------------------- */

/*
 * Where the file has weights: bytes from one output channel, tap of the kernel or input channel to the next.
 */
struct weir_conv_weights {
	size_t channel, tap, step;
};

/* The node of a convolution in `groups` groups of `depth` input channels each. */
int weir_conv_node(const struct weir_conv *c, const char *label, int groups, int depth,
	const struct weir_conv_weights *at);

#endif
