/* SPDX-License-Identifier: MIT */
/* DEPTHWISE_CONV_2D of int8: weights laid out as kernels/cnn_depthwise.clh reads them, and its parameters. */
#include "kernels/cnn_depthwise.clh"
#include "vision/lower_conv.h"

/* Cycles that a part's row of output should take at least. */
#define LEAST_COST 400

/* Of which size moving sums serve, or 0; and the size of packed kernels: columns, and fours of a column. */
static int depthwise_moving(const struct weir_conv *c, int multiplier, int *columns, int *fours)
{
	int size = WEIR_MAX(c->kernel_h, c->kernel_w), moving = size <= 3   ? 3
								: size <= 5 ? 5
									    : CNN_DEPTHWISE_MOST;

	if (multiplier != 1 || c->dilation_w != 1 || c->stride_w > 2 || size > CNN_DEPTHWISE_MOST)
		moving = 0;
	*columns = moving ? moving : c->kernel_w;
	*fours = ((moving ? moving : c->kernel_h) + 3) / 4;
	return moving;
}

static void depthwise_params(
	const struct weir_conv *c, int moving, int multiplier, int fours, struct cnn_op *op)
{
	int32_t *p = op->p;
	double cost = (double)c->out_w * ((double)c->kernel_w * fours * (moving ? 2 : 100) + 15);
	int group;

	p[CNN_DEPTHWISE_MOVING] = moving;
	p[CNN_DEPTHWISE_KERNEL_H] = c->kernel_h;
	p[CNN_DEPTHWISE_KERNEL_W] = c->kernel_w;
	p[CNN_DEPTHWISE_STRIDE_H] = c->stride_h;
	p[CNN_DEPTHWISE_STRIDE_W] = c->stride_w;
	p[CNN_DEPTHWISE_DILATION_H] = c->dilation_h;
	p[CNN_DEPTHWISE_DILATION_W] = c->dilation_w;
	p[CNN_DEPTHWISE_TOP] = c->top;
	p[CNN_DEPTHWISE_LEFT] = c->left;
	p[CNN_DEPTHWISE_MULTIPLIER] = multiplier;
	p[CNN_DEPTHWISE_BLOCKS] = (c->channels + CNN_BLOCK - 1) / CNN_BLOCK;
	p[CNN_DEPTHWISE_ZERO] = weir_tflite_zero(c->input, 0);
	/* A part's cost is that of all rows when the output overlays the input: so few blocks each, that threads share evenly. */
	group = (int)(LEAST_COST / cost) + 1;
	op->parts = (p[CNN_DEPTHWISE_BLOCKS] + group - 1) / group;
}

/* Weights [1, h, w, channels] by block, column of the kernel, four and lane; channels' tables. */
static int depthwise_put(
	const struct weir_conv *c, char *consts, size_t weights_at, int columns, int fours, int *how)
{
	const int8_t *w = (const int8_t *)c->weights->data;

	for (int i = 0; i < c->channels; i++) {
		size_t block = (size_t)i / CNN_BLOCK;
		int lane = i % CNN_BLOCK, err;
		char *out =
			consts + weights_at + block * (size_t)columns * (size_t)fours * 64 + (size_t)lane * 4;
		int32_t sum = 0;

		for (int ky = 0; ky < c->kernel_h; ky++) {
			for (int kx = 0; kx < c->kernel_w; kx++) {
				size_t tap = (size_t)ky * (size_t)c->kernel_w + (size_t)kx;
				int8_t value = w[tap * (size_t)c->channels + (size_t)i];

				out[((size_t)kx * (size_t)fours + (size_t)(ky / 4)) * 64 + (size_t)(ky % 4)] =
					(char)value;
				sum = (int32_t)((uint32_t)sum + (uint32_t)value);
			}
		}
		err = weir_conv_channel(c, i, consts + block * CNN_BLOCK_BYTES, lane, sum, how);
		if (err)
			return err;
	}
	return 0;
}

/* Channels may overlay in blocks: a block's bytes of a pixel are the same in input and output. */
static size_t depthwise_overlay(int channels)
{
	size_t a = CNN_BLOCK, b = (size_t)channels;

	while (b) {
		size_t rest = a % b;

		a = b;
		b = rest;
	}
	return CNN_BLOCK / a * (size_t)channels;
}

static int depthwise_node(const struct weir_conv *c, int multiplier)
{
	struct weir_cnn_node *node =
		weir_lower_node(c->l, c->op, "depthwise", CNN_DEPTHWISE_I8, c->in, -1, c->out);
	size_t blocks = ((size_t)c->channels + CNN_BLOCK - 1) / CNN_BLOCK,
	       weights_at = blocks * CNN_BLOCK_BYTES;
	int columns, fours, moving = depthwise_moving(c, multiplier, &columns, &fours), err;
	size_t weights, size;
	int how = weir_conv_how(c);
	char *consts;

	if (!node)
		return -ENOMEM;
	if (!weir_size_mul(blocks * 64, (size_t)columns * (size_t)fours, &weights) ||
		!weir_size_add(weights_at + CNN_BLOCK, weights, &size))
		return weir_lower_fail(c->l, c->op, EFBIG, "weights of this shape are too large");
	consts = weir_lower_consts(c->l, node, size);
	if (!consts)
		return -ENOMEM;
	depthwise_params(c, moving, multiplier, fours, &node->op);
	err = depthwise_put(c, consts, weights_at, columns, fours, &how);
	if (err)
		return err;
	memset(consts + weights_at + weights, weir_tflite_zero(c->input, 0), CNN_BLOCK);
	weir_conv_channels(c, node->op.p + CNN_DEPTHWISE_CHANNELS, how);
	node->op.p[CNN_DEPTHWISE_WEIGHTS_AT] = (int)weights_at;
	node->op.p[CNN_DEPTHWISE_ZEROS_AT] = (int)(weights_at + weights);
	node->macs = (uint64_t)node->rows * (uint64_t)node->op.out.w * (uint64_t)c->channels *
		     (uint64_t)c->kernel_h * (uint64_t)c->kernel_w;
	weir_conv_streaming(c, node);
	if (multiplier == 1)
		node->overlay = depthwise_overlay(c->channels);
	return 0;
}

int weir_lower_depthwise(struct weir_lower *l, unsigned op)
{
	struct weir_conv c;
	int err = weir_conv_open(l, op, &c);

	if (!err)
		err = weir_conv_weights(&c, 4, 3);
	if (err)
		return err;
	c.channels = c.weights->dim[3];
	err = weir_conv_bias(&c);
	if (!err)
		err = weir_conv_shape(&c);
	if (err)
		return err;
	if (c.weights->dim[0] != 1 || c.channels % c.depth)
		return weir_lower_fail_tensor(l, op, EINVAL, c.o->inputs[1],
			"they are no filters for each of the input's %d channels", c.depth);
	if (c.depth == 1 && c.channels > 1) {
		struct weir_conv_weights at = {.channel = 1, .tap = (size_t)c.channels, .step = 1};

		return weir_conv_node(&c, "depthwise", 1, 1, &at);
	}
	return depthwise_node(&c, c.channels / c.depth);
}
