/* SPDX-License-Identifier: MIT */
/* Convolutions of int8: their tensors, shapes and options checked, and the tables of their channels. */
#include "vision/lower_conv.h"

#include <math.h>

/* Strides, dilations, padding and windows that indices on the device have room for. */
#define MAX_SPAN (1 << 20)

/* Cycles of a unit, about: less is lost in going to it, more leaves cores without one. */
#define UNIT_COST 2000

int weir_conv_weights(const struct weir_conv *c, unsigned rank, unsigned axis)
{
	const struct weir_tflite_tensor *w = c->weights;
	int id = c->o->inputs[1];

	if (w->type != WEIR_TFLITE_I8)
		return weir_lower_fail_tensor(c->l, c->op, EOPNOTSUPP, id,
			"weights of an int8 operator are supported as INT8 alone");
	if (!w->data)
		return weir_lower_fail_tensor(
			c->l, c->op, EOPNOTSUPP, id, "only constant weights are supported");
	if (w->n_dims != rank)
		return weir_lower_fail_tensor(
			c->l, c->op, EINVAL, id, "weights have %u dimensions, not %u", rank, w->n_dims);
	if (!w->n_scales)
		return weir_lower_fail_tensor(
			c->l, c->op, EINVAL, id, "it has no quantization (scale and zero point)");
	if (w->n_scales > 1 && (w->axis != (int)axis || w->n_scales != (unsigned)w->dim[axis]))
		return weir_lower_fail_tensor(c->l, c->op, EINVAL, id,
			"it has %u scales along axis %d; the output's channels are axis %u", w->n_scales,
			w->axis, axis);
	for (unsigned i = 0; i < w->n_scales; i++) {
		if (weir_tflite_zero(w, i))
			return weir_lower_fail_tensor(c->l, c->op, EOPNOTSUPP, id,
				"the zero point of channel %u is %d; weights are supported with 0 alone", i,
				weir_tflite_zero(w, i));
	}
	return 0;
}

int weir_conv_bias(const struct weir_conv *c)
{
	if (!c->bias)
		return 0;
	if (c->bias->type != WEIR_TFLITE_I32)
		return weir_lower_fail_tensor(c->l, c->op, EOPNOTSUPP, c->o->inputs[2],
			"the bias of an int8 operator is supported as INT32 alone");
	if (!c->bias->data)
		return weir_lower_fail_tensor(
			c->l, c->op, EOPNOTSUPP, c->o->inputs[2], "only a constant bias is supported");
	if (c->bias->count != (size_t)c->channels)
		return weir_lower_fail_tensor(c->l, c->op, EINVAL, c->o->inputs[2],
			"it has %zu values, the output has %d channels", c->bias->count, c->channels);
	return 0;
}

/* Tensors and their types; shapes and options come after. */
int weir_conv_open(struct weir_lower *l, unsigned op, struct weir_conv *c)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	bool f32;
	int err;

	memset(c, 0, sizeof(*c));
	c->l = l;
	c->op = op;
	c->o = o;
	err = weir_lower_arity(l, op, 2, 3, 1);
	if (err)
		return err;
	c->out = o->outputs[0];
	err = weir_lower_same_type(l, op, (int[]){o->inputs[0], c->out}, 2, &f32);
	if (err)
		return err;
	if (f32)
		return weir_lower_fail(l, op, EINVAL, "it is not int8");
	c->in = o->inputs[0];
	c->input = weir_lower_tensor(l, c->in);
	c->weights = weir_lower_tensor(l, o->inputs[1]);
	c->bias = o->n_inputs > 2 && o->inputs[2] >= 0 ? weir_lower_tensor(l, o->inputs[2]) : NULL;
	c->output = weir_lower_tensor(l, c->out);
	return weir_lower_clamp_i8(l, op, c->out, o->activation, &c->lo, &c->hi);
}

/* Where windows lie along one axis: the size of the output and the padding before the input. */
static int conv_axis(const struct weir_conv *c, const char *axis, int size, int before, int after, int kernel,
	int stride, int dilation, int *out_size, int *pad)
{
	int64_t padded = (int64_t)size + before + after, window, out, same = 0;

	if (stride < 1 || stride > MAX_SPAN || dilation < 1 || dilation > MAX_SPAN)
		return weir_lower_fail(c->l, c->op, EINVAL,
			"stride %d and dilation %d in %s are out of range", stride, dilation, axis);
	window = (int64_t)(kernel - 1) * dilation + 1;
	if (window > MAX_SPAN || padded > INT32_MAX / 2)
		return weir_lower_fail(c->l, c->op, EOPNOTSUPP,
			"a window of %lld over %lld values in %s is too large", (long long)window,
			(long long)padded, axis);
	if (c->o->padding == WEIR_TFLITE_SAME) {
		out = (padded + stride - 1) / stride;
		same = WEIR_MAX((out - 1) * stride + window - padded, 0);
	} else if (c->o->padding == WEIR_TFLITE_VALID) {
		out = padded < window ? 0 : (padded - window) / stride + 1;
	} else {
		return weir_lower_fail(
			c->l, c->op, EINVAL, "padding %d is neither SAME nor VALID", c->o->padding);
	}
	if (out < 1)
		return weir_lower_fail(c->l, c->op, EINVAL,
			"a window of %lld does not fit into %lld values in %s", (long long)window,
			(long long)padded, axis);
	*out_size = (int)out;
	*pad = (int)(before + same / 2);
	return 0;
}

/* The shapes of a convolution over pictures: weights [.., height, width, ..] at dims 1 and 2. */
int weir_conv_shape(struct weir_conv *c)
{
	const struct weir_tflite_tensor *source;
	int pad[4], err;

	if (c->input->n_dims != 4)
		return weir_lower_fail_tensor(
			c->l, c->op, EINVAL, c->in, "it has %u dimensions, not 4", c->input->n_dims);
	c->in = weir_lower_padded(c->l, c->in, pad);
	source = weir_lower_tensor(c->l, c->in);
	c->height = source->dim[1];
	c->width = source->dim[2];
	c->depth = source->dim[3];
	c->kernel_h = c->weights->dim[1];
	c->kernel_w = c->weights->dim[2];
	c->stride_h = c->o->stride_h;
	c->stride_w = c->o->stride_w;
	c->dilation_h = c->o->dilation_h;
	c->dilation_w = c->o->dilation_w;
	err = conv_axis(c, "height", c->height, pad[0], pad[1], c->kernel_h, c->stride_h, c->dilation_h,
		&c->out_h, &c->top);
	if (!err)
		err = conv_axis(c, "width", c->width, pad[2], pad[3], c->kernel_w, c->stride_w, c->dilation_w,
			&c->out_w, &c->left);
	if (err)
		return err;
	return weir_lower_shape(
		c->l, c->op, c->out, 4, (int32_t[]){c->input->dim[0], c->out_h, c->out_w, c->channels});
}

/* ---- channels ---------------------------------------------------------------------------------- */

/* What a sum of channel i is multiplied by: TFLite multiplies scales as doubles. */
static double conv_factor(const struct weir_conv *c, int i)
{
	double in = weir_tflite_scale(c->input, 0);
	double w = weir_tflite_scale(c->weights, c->weights->n_scales > 1 ? (unsigned)i : 0);

	return in * w / (double)weir_tflite_scale(c->output, 0);
}

static int conv_out_of_range(const struct weir_conv *c, int i)
{
	return weir_lower_fail(c->l, c->op, EINVAL, "channel %d is scaled by %g, which is out of range", i,
		conv_factor(c, i));
}

/* FULLY_CONNECTED's sums are multiplied by the factor itself, not by its fixed-point form (LiteRT 2.3). */
static int conv_channel_real(const struct weir_conv *c, int i, char *block, int lane)
{
	double factor = conv_factor(c, i);
	uint64_t mantissa;
	int exponent = 0;

	if (!isfinite(factor))
		return conv_out_of_range(c, i);
	mantissa = (uint64_t)ldexp(frexp(fabs(factor), &exponent), 53);
	if (exponent > 20)
		return conv_out_of_range(c, i);
	((int32_t *)(block + CNN_BLOCK_SIGN))[lane] = factor < 0 ? -1 : 1;
	((uint64_t *)(block + CNN_BLOCK_MANTISSA))[lane] = mantissa;
	((int64_t *)(block + CNN_BLOCK_REAL_SHIFT))[lane] = 21 - exponent;
	return 0;
}

/* TFLite's fixed point; sets *how to ANY unless it scales down. */
static int conv_channel_fixed(const struct weir_conv *c, int i, char *block, int lane, int *how)
{
	int32_t multiplier, exponent;

	if (!weir_fixed_factor(conv_factor(c, i), &multiplier, &exponent))
		return conv_out_of_range(c, i);
	if (!multiplier)
		exponent = -1; /* as good as any */
	((int32_t *)(block + CNN_BLOCK_MULTIPLIER))[lane] = multiplier;
	((int32_t *)(block + CNN_BLOCK_EXPONENT))[lane] = exponent;
	((int64_t *)(block + CNN_BLOCK_ROUND))[CNN_BLOCK_WIDE(lane)] =
		(INT64_C(1) << 30) + (INT64_C(1) << (30 - WEIR_MIN(exponent, 0)));
	((int64_t *)(block + CNN_BLOCK_SHIFT))[CNN_BLOCK_WIDE(lane)] = 31 - WEIR_MIN(exponent, 0);
	if (exponent >= 0)
		*how = CNN_CHANNELS_ANY;
	return 0;
}

int weir_conv_how(const struct weir_conv *c)
{
	return c->o->code == WEIR_TFLITE_FULLY_CONNECTED ? CNN_CHANNELS_REAL : CNN_CHANNELS_DOWN;
}

int weir_conv_channel(const struct weir_conv *c, int i, char *block, int lane, int32_t sum, int *how)
{
	uint32_t start = c->bias ? (uint32_t)weir_tflite_int(c->bias, (size_t)i) : 0;

	start -= (uint32_t)(weir_tflite_zero(c->input, 0) + 128) * (uint32_t)sum;
	((uint32_t *)(block + CNN_BLOCK_START))[lane] = start;
	return *how == CNN_CHANNELS_REAL ? conv_channel_real(c, i, block, lane)
					 : conv_channel_fixed(c, i, block, lane, how);
}

/* Parameters that all kinds have; tables of all blocks are filled. */
void weir_conv_channels(const struct weir_conv *c, int32_t *p, int how)
{
	p[CNN_CHANNELS_LO] = c->lo;
	p[CNN_CHANNELS_HI] = c->hi;
	p[CNN_CHANNELS_ZERO] = weir_tflite_zero(c->output, 0);
	p[CNN_CHANNELS_HOW] = how;
}

/*
 * How rows go with rows of the input, for the layout. Pictures of a batch come one after another: no such
 * rule there.
 */
void weir_conv_streaming(const struct weir_conv *c, struct weir_cnn_node *node)
{
	if (node->op.in.n != 1)
		return;
	node->stride = c->stride_h;
	node->pad = c->top;
	node->span = (c->kernel_h - 1) * c->dilation_h + 1;
}

/* The number of parts of a row whose making costs so many cycles. */
int64_t weir_conv_parts(double cost)
{
	return (int64_t)WEIR_MIN(WEIR_MAX(cost / UNIT_COST, 1.0), 4096.0);
}
