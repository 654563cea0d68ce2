/* SPDX-License-Identifier: MIT */
/* cnn_conv.clh and cnn_depthwise.clh against loops straight from the operators' definitions. */
#include "cnn.h"

#include <math.h>

#include "base/base.h"
#include "vision/fixed.h"

enum fill { FILL_RANDOM, FILL_LEAST, FILL_EXTREMES };

/* One convolution; groups 0: a depthwise one, whose output has channels * multiplier. */
struct conv_shape {
	int n, h, w, c, kernel_h, kernel_w, stride_h, stride_w, dilation_h, dilation_w;
	int out_c, groups, padding, activation;
	int pad[4]; /* a PAD before it: top, bottom, left, right */
	enum fill fill;
	bool coarse; /* factors about 1, which shift sums to the left */
	bool per_tensor, no_bias;
	bool dense; /* FULLY_CONNECTED, whose results are rounded otherwise */
};

/*
 * Its tensors. Pictures are [n, h, w, c]; weights [out_c, kernel_h, kernel_w, c / groups] or [1, kernel_h,
 * kernel_w, out_c].
 */
struct conv_data {
	struct conv_shape s;
	int padded_h, padded_w, out_h, out_w, top, left, lo, hi;
	size_t n_in, n_weights, n_out;
	int8_t *in, *weights, *out;
	int32_t *bias;
	float in_scale, out_scale, *scale;
	int in_zero, out_zero;
};

static void size_axis(int size, int kernel, int stride, int dilation, bool same, int *out, int *before)
{
	int window = (kernel - 1) * dilation + 1, total;

	*out = same ? (size + stride - 1) / stride : (size - window) / stride + 1;
	total = (*out - 1) * stride + window - size;
	*before = same && total > 0 ? total / 2 : 0;
}

static int8_t fill_value(struct checkcl *c, enum fill fill)
{
	switch (fill) {
	case FILL_LEAST:
		return -128;
	case FILL_EXTREMES:
		return checkcl_random(c) % 2 ? -128 : 127;
	default:
		return (int8_t)checkcl_random(c);
	}
}

static int quantized(float real, float scale, int zero)
{
	return zero + (int)roundf(real / scale);
}

static void clamp_of(const struct conv_data *d, int activation, int *lo, int *hi)
{
	*lo = -128;
	*hi = 127;
	if (activation == WEIR_TFLITE_ACT_RELU || activation == WEIR_TFLITE_ACT_RELU6)
		*lo = WEIR_MAX(*lo, quantized(0, d->out_scale, d->out_zero));
	if (activation == WEIR_TFLITE_ACT_RELU_N1_TO_1) {
		*lo = WEIR_MAX(*lo, quantized(-1, d->out_scale, d->out_zero));
		*hi = WEIR_MIN(*hi, quantized(1, d->out_scale, d->out_zero));
	}
	if (activation == WEIR_TFLITE_ACT_RELU6)
		*hi = WEIR_MIN(*hi, quantized(6, d->out_scale, d->out_zero));
}

/* Scales that spread sums over the output's range, some channels more than others, some with their sign turned. */
static void conv_scales(struct checkcl *c, struct conv_data *d)
{
	int terms = d->s.kernel_h * d->s.kernel_w * (d->s.groups ? d->s.c / d->s.groups : 1);
	float spread = d->s.coarse ? 1 : 74.0f * 74.0f * sqrtf((float)terms) / 80.0f;

	d->in_scale = checkcl_uniform(c, 0.01f, 0.1f);
	d->out_scale = checkcl_uniform(c, 0.01f, 0.1f);
	d->in_zero = cnn_random(c, -128, 127);
	d->out_zero = cnn_random(c, -128, 127);
	for (int i = 0; i < d->s.out_c; i++)
		d->scale[i] = d->out_scale / d->in_scale / spread * checkcl_uniform(c, 0.3f, 3) *
			      (cnn_random(c, 0, 7) || d->s.per_tensor ? 1 : -1);
	if (d->s.per_tensor) {
		for (int i = 1; i < d->s.out_c; i++)
			d->scale[i] = d->scale[0];
	}
}

static bool conv_sizes(const struct conv_shape *s, struct conv_data *d)
{
	memset(d, 0, sizeof(*d));
	d->s = *s;
	d->padded_h = s->h + s->pad[0] + s->pad[1];
	d->padded_w = s->w + s->pad[2] + s->pad[3];
	if (s->padding == WEIR_TFLITE_VALID && ((s->kernel_h - 1) * s->dilation_h >= d->padded_h ||
						       (s->kernel_w - 1) * s->dilation_w >= d->padded_w))
		return false;
	size_axis(d->padded_h, s->kernel_h, s->stride_h, s->dilation_h, s->padding == WEIR_TFLITE_SAME, &d->out_h,
		&d->top);
	size_axis(d->padded_w, s->kernel_w, s->stride_w, s->dilation_w, s->padding == WEIR_TFLITE_SAME, &d->out_w,
		&d->left);
	return true;
}

/* False for shapes that have no output. in NULL: values as the shape says; else those, of a layer before. */
static bool conv_make(struct checkcl *c, const struct conv_shape *s, struct conv_data *d)
{
	size_t taps = (size_t)s->kernel_h * (size_t)s->kernel_w;

	if (!conv_sizes(s, d))
		return false;
	d->n_in = (size_t)s->n * (size_t)s->h * (size_t)s->w * (size_t)s->c;
	d->n_out = (size_t)s->n * (size_t)d->out_h * (size_t)d->out_w * (size_t)s->out_c;
	d->n_weights = taps * (size_t)s->out_c * (size_t)(s->groups ? s->c / s->groups : 1);
	d->in = malloc(d->n_in);
	d->weights = malloc(d->n_weights);
	d->out = malloc(d->n_out);
	d->bias = malloc((size_t)s->out_c * sizeof(*d->bias));
	d->scale = malloc((size_t)s->out_c * sizeof(*d->scale));
	for (size_t i = 0; i < d->n_in; i++)
		d->in[i] = fill_value(c, s->fill);
	for (size_t i = 0; i < d->n_weights; i++)
		d->weights[i] = fill_value(c, s->fill);
	for (int i = 0; i < s->out_c; i++)
		d->bias[i] = s->no_bias ? 0 : cnn_random(c, -5000, 5000);
	conv_scales(c, d);
	clamp_of(d, s->activation, &d->lo, &d->hi);
	return true;
}

static void conv_free(struct conv_data *d)
{
	free(d->in);
	free(d->weights);
	free(d->out);
	free(d->bias);
	free(d->scale);
}

/* ---- references ---------------------------------------------------------------------------------- */

/* Value of the padded input less the zero point; padding is 0. */
static int32_t input_at(const struct conv_data *d, int n, int y, int x, int ch)
{
	const struct conv_shape *s = &d->s;

	y -= s->pad[0];
	x -= s->pad[2];
	if (y < 0 || y >= s->h || x < 0 || x >= s->w)
		return 0;
	return d->in[((n * s->h + y) * s->w + x) * s->c + ch] - d->in_zero;
}

static int32_t conv_sum(const struct conv_data *d, int n, int oy, int ox, int o)
{
	const struct conv_shape *s = &d->s;
	int depth = s->groups ? s->c / s->groups : 1;
	int first = s->groups ? o / (s->out_c / s->groups) * depth : o / (s->out_c / s->c);
	uint32_t sum = (uint32_t)d->bias[o];

	for (int ky = 0; ky < s->kernel_h; ky++) {
		for (int kx = 0; kx < s->kernel_w; kx++) {
			int y = oy * s->stride_h - d->top + ky * s->dilation_h;
			int x = ox * s->stride_w - d->left + kx * s->dilation_w;

			for (int i = 0; i < depth; i++) {
				int tap = ky * s->kernel_w + kx;
				int8_t w = s->groups ? d->weights[(o * s->kernel_h * s->kernel_w + tap) * depth + i]
						     : d->weights[tap * s->out_c + o];

				sum += (uint32_t)(input_at(d, n, y, x, first + i) * w);
			}
		}
	}
	return (int32_t)sum;
}

static double factor_of(const struct conv_data *d, int o)
{
	return (double)d->in_scale * (double)d->scale[o] / (double)d->out_scale;
}

static void conv_reference(struct conv_data *d)
{
	const struct conv_shape *s = &d->s;
	size_t at = 0;

	for (int i = 0; i < s->n * d->out_h * d->out_w; i++) {
		int n = i / (d->out_h * d->out_w), y = i / d->out_w % d->out_h, x = i % d->out_w;

		for (int o = 0; o < s->out_c; o++) {
			int32_t multiplier, exponent, v = conv_sum(d, n, y, x, o);

			if (s->dense) {
				v = (int32_t)round((double)v * factor_of(d, o)) + d->out_zero;
			} else {
				weir_fixed_factor(factor_of(d, o), &multiplier, &exponent);
				v = weir_fixed_rescale(v, multiplier, exponent) + d->out_zero;
			}
			d->out[at++] = (int8_t)WEIR_MIN(WEIR_MAX(v, d->lo), d->hi);
		}
	}
}

/* ---- networks ------------------------------------------------------------------------------------ */

static int net_pad(struct cnn_net *n, const struct conv_data *d, int in)
{
	const struct conv_shape *s = &d->s;
	const int32_t amounts[8] = {0, 0, s->pad[0], s->pad[1], s->pad[2], s->pad[3], 0, 0};
	int paddings = cnn_net_tensor(n, WEIR_TFLITE_I32, CNN_DIMS(4, 2), amounts);
	int out = cnn_net_tensor(n, WEIR_TFLITE_I8, CNN_DIMS(s->n, d->padded_h, d->padded_w, s->c), NULL);

	cnn_net_quantize(n, out, d->in_scale, d->in_zero);
	cnn_net_op(n, WEIR_TFLITE_PAD, 2, (int32_t[]){in, paddings}, 1, (int32_t[]){out});
	return out;
}

/* Adds the layer behind tensor `in`; its output. */
static int net_conv(struct cnn_net *n, const struct conv_data *d, int in)
{
	const struct conv_shape *s = &d->s;
	struct weir_tflite_op *op;
	int weights, bias = -1, out;

	if (s->pad[0] + s->pad[1] + s->pad[2] + s->pad[3])
		in = net_pad(n, d, in);
	weights = s->groups ? cnn_net_tensor(n, WEIR_TFLITE_I8,
				      CNN_DIMS(s->out_c, s->kernel_h, s->kernel_w, s->c / s->groups), d->weights)
			    : cnn_net_tensor(n, WEIR_TFLITE_I8, CNN_DIMS(1, s->kernel_h, s->kernel_w, s->out_c),
				      d->weights);
	if (s->per_tensor)
		cnn_net_quantize(n, weights, d->scale[0], 0);
	else
		cnn_net_quantize_axis(n, weights, s->groups ? 0 : 3, (unsigned)s->out_c, d->scale);
	if (!s->no_bias)
		bias = cnn_net_tensor(n, WEIR_TFLITE_I32, CNN_DIMS(s->out_c), d->bias);
	out = cnn_net_tensor(n, WEIR_TFLITE_I8, CNN_DIMS(s->n, d->out_h, d->out_w, s->out_c), NULL);
	cnn_net_quantize(n, out, d->out_scale, d->out_zero);
	op = cnn_net_op(n, s->groups ? WEIR_TFLITE_CONV_2D : WEIR_TFLITE_DEPTHWISE_CONV_2D, 3,
		(int32_t[]){in, weights, bias}, 1, (int32_t[]){out});
	op->padding = s->padding;
	op->stride_h = s->stride_h;
	op->stride_w = s->stride_w;
	op->dilation_h = s->dilation_h;
	op->dilation_w = s->dilation_w;
	op->activation = s->activation;
	return out;
}

static int net_input(struct cnn_net *n, const struct conv_data *d)
{
	int in = cnn_net_tensor(n, WEIR_TFLITE_I8, CNN_DIMS(d->s.n, d->s.h, d->s.w, d->s.c), NULL);

	cnn_net_quantize(n, in, d->in_scale, d->in_zero);
	return in;
}

static void conv_name(const struct conv_shape *s, char *out, size_t size)
{
	snprintf(out, size, "%s %dx%dx%dx%d kernel %dx%d stride %dx%d dilation %dx%d to %d groups %d %s pad %d,%d,%d,%d",
		s->groups ? "conv" : "depthwise", s->n, s->h, s->w, s->c, s->kernel_h, s->kernel_w, s->stride_h,
		s->stride_w, s->dilation_h, s->dilation_w, s->out_c, s->groups,
		s->padding == WEIR_TFLITE_SAME ? "SAME" : "VALID", s->pad[0], s->pad[1], s->pad[2], s->pad[3]);
}

static void check_shape(struct checkcl *c, const struct conv_shape *s)
{
	struct conv_data d;
	struct cnn_net n;
	char params[192];
	int in, out;

	if (!conv_make(c, s, &d))
		return;
	conv_name(s, params, sizeof(params));
	conv_reference(&d);
	cnn_net_start(&n);
	in = net_input(&n, &d);
	out = net_conv(&n, &d, in);
	cnn_net_ends(&n, 1, (int32_t[]){in}, 1, (int32_t[]){out});
	cnn_net_check(c, params, &n, (const void *[]){d.in}, (const void *[]){d.out}, 0);
	cnn_net_done(&n);
	conv_free(&d);
}

/* ---- shapes -------------------------------------------------------------------------------------- */

static void random_options(struct checkcl *c, struct conv_shape *s)
{
	s->stride_h = s->stride_w = 1;
	s->dilation_h = s->dilation_w = 1;
	if (cnn_random(c, 0, 1)) {
		s->stride_h = cnn_random(c, 1, 3);
		s->stride_w = cnn_random(c, 1, 3);
	}
	if (!cnn_random(c, 0, 3)) {
		s->dilation_h = cnn_random(c, 1, 3);
		s->dilation_w = cnn_random(c, 1, 3);
	}
	s->padding = cnn_random(c, WEIR_TFLITE_SAME, WEIR_TFLITE_VALID);
	s->activation = cnn_random(c, WEIR_TFLITE_NONE, WEIR_TFLITE_ACT_RELU6);
	s->fill = cnn_random(c, 0, 3) ? FILL_RANDOM : cnn_random(c, FILL_LEAST, FILL_EXTREMES);
	s->coarse = !cnn_random(c, 0, 4);
	s->per_tensor = !cnn_random(c, 0, 4);
	s->no_bias = !cnn_random(c, 0, 4);
	for (int i = 0; i < 4 && cnn_random(c, 0, 3) == 0; i++)
		s->pad[i] = cnn_random(c, 0, 3);
}

static struct conv_shape random_shape(struct checkcl *c)
{
	struct conv_shape s = {.n = cnn_random(c, 0, 3) ? 1 : cnn_random(c, 2, 3)};

	s.h = cnn_random(c, 1, 14);
	s.w = cnn_random(c, 0, 3) ? cnn_random(c, 1, 14) : cnn_random(c, 15, 90);
	s.kernel_h = cnn_random(c, 1, 7);
	s.kernel_w = cnn_random(c, 0, 1) ? s.kernel_h : cnn_random(c, 1, 7);
	random_options(c, &s);
	return s;
}

static void check_conv(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 12 : 150); i++) {
		struct conv_shape s = random_shape(c);

		s.c = cnn_random(c, 0, 1) ? cnn_random(c, 1, 70) : 4 * cnn_random(c, 1, 17);
		s.out_c = cnn_random(c, 1, 70);
		s.groups = 1;
		if (i % 3 == 0)
			s.kernel_h = s.kernel_w = 1;
		check_shape(c, &s);
	}
}

static void check_groups(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 4 : 40); i++) {
		struct conv_shape s = random_shape(c);

		s.groups = cnn_random(c, 2, 6);
		s.c = s.groups * cnn_random(c, 1, 12);
		s.out_c = s.groups * cnn_random(c, 1, 40);
		check_shape(c, &s);
	}
}

static void check_depthwise(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 12 : 150); i++) {
		struct conv_shape s = random_shape(c);

		s.c = cnn_random(c, 0, 3) ? cnn_random(c, 1, 70) : 16 * cnn_random(c, 1, 5);
		if (i % 5 == 0)
			s.c = 1;
		s.out_c = s.c * (i % 5 < 2 ? cnn_random(c, 1, 9) : 1);
		check_shape(c, &s);
	}
}

/* Layers as MobileNets have them: for streaming, overlaid depthwise layers and folded PADs between them. */
static void check_chain(struct checkcl *c)
{
	struct conv_shape layers[] = {
		{.kernel_h = 3, .kernel_w = 3, .stride_h = 2, .stride_w = 2, .out_c = 16, .groups = 1, .pad = {0, 1, 0, 1},
			.padding = WEIR_TFLITE_VALID},
		{.kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1, .out_c = 16},
		{.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1, .out_c = 40, .groups = 1},
		{.kernel_h = 7, .kernel_w = 7, .stride_h = 2, .stride_w = 2, .out_c = 40, .pad = {3, 2, 3, 2},
			.padding = WEIR_TFLITE_VALID},
		{.kernel_h = 1, .kernel_w = 1, .stride_h = 1, .stride_w = 1, .out_c = 12, .groups = 1},
		{.kernel_h = 5, .kernel_w = 5, .stride_h = 1, .stride_w = 1, .out_c = 12},
	};
	enum { LAYERS = WEIR_ARRAY_SIZE(layers) };
	struct conv_data d[LAYERS];
	struct cnn_net n;
	int first, last;

	cnn_net_start(&n);
	for (size_t i = 0; i < LAYERS; i++) {
		struct conv_shape *s = &layers[i];

		s->n = 1;
		s->h = i ? d[i - 1].out_h : 38;
		s->w = i ? d[i - 1].out_w : 50;
		s->c = i ? s[-1].out_c : 3;
		s->dilation_h = s->dilation_w = 1;
		conv_make(c, s, &d[i]);
		if (i) {
			memcpy(d[i].in, d[i - 1].out, d[i].n_in);
			d[i].in_scale = d[i - 1].out_scale;
			d[i].in_zero = d[i - 1].out_zero;
		}
		conv_reference(&d[i]);
		first = last = i ? last : net_input(&n, &d[i]);
		last = net_conv(&n, &d[i], first);
	}
	cnn_net_ends(&n, 1, (int32_t[]){0}, 1, (int32_t[]){last});
	cnn_net_check(c, "a chain of convolutions", &n, (const void *[]){d[0].in}, (const void *[]){d[LAYERS - 1].out}, 0);
	cnn_net_done(&n);
	for (size_t i = 0; i < LAYERS; i++)
		conv_free(&d[i]);
}

/* ---- FULLY_CONNECTED ------------------------------------------------------------------------------ */

/*
 * As a convolution of 1x1: what differs is how shapes are written and, with one scale, how the factor is
 * rounded.
 */
static void check_dense_shape(struct checkcl *c, int batch, int k, int out_c, bool keep_dims, bool per_tensor)
{
	struct conv_shape s = {.n = 1, .h = 1, .w = batch, .c = k, .kernel_h = 1, .kernel_w = 1, .stride_h = 1,
		.stride_w = 1, .dilation_h = 1, .dilation_w = 1, .out_c = out_c, .groups = 1, .per_tensor = per_tensor, .dense = true};
	int in, weights, bias, out;
	struct weir_tflite_op *op;
	struct conv_data d;
	struct cnn_net n;
	char params[96];

	conv_make(c, &s, &d);
	snprintf(params, sizeof(params), "dense %dx%d to %d%s", batch, k, out_c, keep_dims ? ", dims kept" : "");
	conv_reference(&d);
	cnn_net_start(&n);
	in = keep_dims ? cnn_net_tensor(&n, WEIR_TFLITE_I8, CNN_DIMS(1, 1, batch, k), NULL)
		       : cnn_net_tensor(&n, WEIR_TFLITE_I8, CNN_DIMS(batch, 1, k), NULL);
	cnn_net_quantize(&n, in, d.in_scale, d.in_zero);
	weights = cnn_net_tensor(&n, WEIR_TFLITE_I8, CNN_DIMS(out_c, k), d.weights);
	if (per_tensor)
		cnn_net_quantize(&n, weights, d.scale[0], 0);
	else
		cnn_net_quantize_axis(&n, weights, 0, (unsigned)out_c, d.scale);
	bias = cnn_net_tensor(&n, WEIR_TFLITE_I32, CNN_DIMS(out_c), d.bias);
	out = keep_dims ? cnn_net_tensor(&n, WEIR_TFLITE_I8, CNN_DIMS(1, 1, batch, out_c), NULL)
			: cnn_net_tensor(&n, WEIR_TFLITE_I8, CNN_DIMS(batch, out_c), NULL);
	cnn_net_quantize(&n, out, d.out_scale, d.out_zero);
	op = cnn_net_op(&n, WEIR_TFLITE_FULLY_CONNECTED, 3, (int32_t[]){in, weights, bias}, 1, (int32_t[]){out});
	op->keep_dims = keep_dims;
	cnn_net_ends(&n, 1, (int32_t[]){in}, 1, (int32_t[]){out});
	cnn_net_check(c, params, &n, (const void *[]){d.in}, (const void *[]){d.out}, 0);
	cnn_net_done(&n);
	conv_free(&d);
}

static void check_dense(struct checkcl *c)
{
	check_dense_shape(c, 1, 160, 2, false, false);
	for (int i = 0; i < (c->quick ? 4 : 40); i++)
		check_dense_shape(c, cnn_random(c, 1, 9), cnn_random(c, 1, 300), cnn_random(c, 1, 140), i % 2,
			i % 4 > 1);
}

/* ---- what is refused ------------------------------------------------------------------------------ */

/* Tensors of the network that is spoilt: a convolution's. */
enum { IN, WEIGHTS, BIAS, OUT };

#define SPOIL(name, statement)                                                                     \
	static void spoil_##name(struct cnn_net *n)                                                \
	{                                                                                          \
		statement;                                                                         \
	}

SPOIL(stride, n->ops[0].stride_h = 0)
SPOIL(dilation, n->ops[0].dilation_w = INT32_MAX)
SPOIL(padding, n->ops[0].padding = 2)
SPOIL(activation, n->ops[0].activation = WEIR_TFLITE_ACT_TANH)
SPOIL(window, n->ops[0].dilation_h = 4)
SPOIL(output, n->tensors[OUT].dim[1]++)
SPOIL(bias_count, n->tensors[BIAS].count--)
SPOIL(bias_type, n->tensors[BIAS].type = WEIR_TFLITE_I64)
SPOIL(weights_type, n->tensors[WEIGHTS].type = WEIR_TFLITE_U8)
SPOIL(weights_data, n->tensors[WEIGHTS].data = NULL)
SPOIL(weights_rank, n->tensors[WEIGHTS].n_dims = 3)
SPOIL(weights_depth, n->tensors[WEIGHTS].dim[3] = 5)
SPOIL(weights_axis, n->tensors[WEIGHTS].axis = 3)
SPOIL(weights_scales, n->tensors[WEIGHTS].n_scales = 0)
SPOIL(weights_zero, n->tensors[WEIGHTS].zero = n->tensors[WEIGHTS].data)
SPOIL(scale, n->tensors[IN].n_scales = 0)
SPOIL(factor, cnn_net_quantize(n, OUT, 1e-30f, 0))
SPOIL(rank, n->tensors[IN].n_dims = 3)
SPOIL(arity, n->ops[0].n_inputs = 1)

static const struct spoilt {
	void (*spoil)(struct cnn_net *n);
	const char *what; /* in the sentence */
} spoilt[] = {
	{spoil_stride, "stride 0"},
	{spoil_dilation, "out of range"},
	{spoil_padding, "neither SAME nor VALID"},
	{spoil_activation, "activation 4"},
	{spoil_window, "does not fit"},
	{spoil_output, "the operator makes INT8 [1, 4, 4, 8]"},
	{spoil_bias_count, "7 values"},
	{spoil_bias_type, "INT32 alone"},
	{spoil_weights_type, "INT8 alone"},
	{spoil_weights_data, "constant weights"},
	{spoil_weights_rank, "4 dimensions, not 3"},
	{spoil_weights_depth, "do not divide"},
	{spoil_weights_axis, "axis 3"},
	{spoil_weights_scales, "no quantization"},
	{spoil_weights_zero, "zero point of channel 0"},
	{spoil_scale, "no quantization"},
	{spoil_factor, "out of range"},
	{spoil_rank, "dimensions, not 4"},
	{spoil_arity, "1 inputs"},
};

static void check_refused(struct checkcl *c)
{
	struct conv_shape s = {.n = 1, .h = 6, .w = 6, .c = 4, .kernel_h = 3, .kernel_w = 3, .stride_h = 1, .stride_w = 1,
		.dilation_h = 1, .dilation_w = 1, .out_c = 8, .groups = 1, .padding = WEIR_TFLITE_VALID};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(spoilt); i++) {
		struct conv_data d;
		struct cnn_net n;
		int in, out;

		conv_make(c, &s, &d);
		memset(d.weights, 1, d.n_weights);
		cnn_net_start(&n);
		in = net_input(&n, &d);
		out = net_conv(&n, &d, in);
		cnn_net_ends(&n, 1, (int32_t[]){in}, 1, (int32_t[]){out});
		spoilt[i].spoil(&n);
		cnn_net_refused(c, spoilt[i].what, &n, spoilt[i].what);
		cnn_net_done(&n);
		conv_free(&d);
	}
}

/* ---- times ---------------------------------------------------------------------------------------- */

/* The layers of MCUNet-320kB, tinyengine-vww and person_detect that take most of their time. */
static const struct conv_shape timed[] = {
	{.h = 176, .w = 176, .c = 3, .kernel_h = 3, .stride_h = 2, .out_c = 16, .groups = 1, .pad = {1, 1, 1, 1}},
	{.h = 88, .w = 88, .c = 16, .kernel_h = 3, .stride_h = 1, .out_c = 16, .pad = {1, 1, 1, 1}},
	{.h = 88, .w = 88, .c = 16, .kernel_h = 1, .stride_h = 1, .out_c = 8, .groups = 1},
	{.h = 88, .w = 88, .c = 8, .kernel_h = 1, .stride_h = 1, .out_c = 24, .groups = 1},
	{.h = 88, .w = 88, .c = 24, .kernel_h = 7, .stride_h = 2, .out_c = 24, .pad = {3, 3, 3, 3}},
	{.h = 44, .w = 44, .c = 16, .kernel_h = 1, .stride_h = 1, .out_c = 80, .groups = 1},
	{.h = 44, .w = 44, .c = 80, .kernel_h = 7, .stride_h = 1, .out_c = 80, .pad = {3, 3, 3, 3}},
	{.h = 44, .w = 44, .c = 80, .kernel_h = 1, .stride_h = 1, .out_c = 16, .groups = 1},
	{.h = 44, .w = 44, .c = 80, .kernel_h = 5, .stride_h = 2, .out_c = 80, .pad = {2, 2, 2, 2}},
	{.h = 22, .w = 22, .c = 24, .kernel_h = 1, .stride_h = 1, .out_c = 120, .groups = 1},
	{.h = 22, .w = 22, .c = 120, .kernel_h = 5, .stride_h = 1, .out_c = 120, .pad = {2, 2, 2, 2}},
	{.h = 22, .w = 22, .c = 120, .kernel_h = 1, .stride_h = 1, .out_c = 24, .groups = 1},
	{.h = 11, .w = 11, .c = 240, .kernel_h = 7, .stride_h = 1, .out_c = 240, .pad = {3, 3, 3, 3}},
	{.h = 11, .w = 11, .c = 48, .kernel_h = 1, .stride_h = 1, .out_c = 288, .groups = 1},
	{.h = 11, .w = 11, .c = 240, .kernel_h = 1, .stride_h = 1, .out_c = 48, .groups = 1},
	{.h = 6, .w = 6, .c = 96, .kernel_h = 1, .stride_h = 1, .out_c = 480, .groups = 1},
	{.h = 6, .w = 6, .c = 480, .kernel_h = 7, .stride_h = 1, .out_c = 480, .pad = {3, 3, 3, 3}},
	{.h = 6, .w = 6, .c = 480, .kernel_h = 1, .stride_h = 1, .out_c = 96, .groups = 1},
	{.h = 1, .w = 1, .c = 160, .kernel_h = 1, .stride_h = 1, .out_c = 1000, .groups = 1},
	{.h = 20, .w = 20, .c = 48, .kernel_h = 3, .stride_h = 1, .out_c = 48, .pad = {1, 1, 1, 1}},
	{.h = 5, .w = 5, .c = 240, .kernel_h = 1, .stride_h = 1, .out_c = 40, .groups = 1},
	{.h = 5, .w = 5, .c = 240, .kernel_h = 3, .stride_h = 1, .out_c = 240, .pad = {1, 1, 1, 1}},
	{.h = 3, .w = 3, .c = 96, .kernel_h = 1, .stride_h = 1, .out_c = 384, .groups = 1},
	{.h = 96, .w = 96, .c = 1, .kernel_h = 3, .stride_h = 2, .out_c = 8, .pad = {0, 1, 0, 1}},
	{.h = 48, .w = 48, .c = 8, .kernel_h = 3, .stride_h = 1, .out_c = 8, .pad = {1, 1, 1, 1}},
	{.h = 32, .w = 32, .c = 16, .kernel_h = 3, .stride_h = 1, .out_c = 16, .groups = 1, .pad = {1, 1, 1, 1}},
	{.h = 8, .w = 8, .c = 64, .kernel_h = 3, .stride_h = 1, .out_c = 64, .groups = 1, .pad = {1, 1, 1, 1}},
};

static void time_shapes(struct checkcl *c)
{
	for (size_t i = 0; c->bench && i < WEIR_ARRAY_SIZE(timed); i++) {
		struct conv_shape s = timed[i];
		struct conv_data d;
		struct cnn_net n;
		char params[96];
		enum { SAME = 8 };
		int32_t in, out[SAME];

		s.n = s.dilation_h = s.dilation_w = 1;
		s.kernel_w = s.kernel_h;
		s.stride_w = s.stride_h;
		s.padding = WEIR_TFLITE_VALID;
		conv_make(c, &s, &d);
		snprintf(params, sizeof(params), "%s %dx%dx%d %dx%d/%d to %d", s.groups ? "conv" : "depthwise", s.h, s.w,
			s.c, s.kernel_h, s.kernel_w, s.stride_h, s.out_c);
		cnn_net_start(&n);
		in = net_input(&n, &d);
		for (int j = 0; j < SAME; j++)
			out[j] = net_conv(&n, &d, in);
		cnn_net_ends(&n, 1, &in, SAME, out);
		cnn_net_time(c, params, &n, SAME,
			2.0 * (double)d.n_out * s.kernel_h * s.kernel_w * (s.groups ? s.c / s.groups : 1));
		cnn_net_done(&n);
		conv_free(&d);
	}
}

const struct checkcl_row checkcl_cnn_conv[] = {
	{"cnn_conv", check_conv},
	{"cnn_conv_groups", check_groups},
	{"cnn_depthwise", check_depthwise},
	{"cnn_conv_chain", check_chain},
	{"cnn_dense", check_dense},
	{"cnn_conv_refused", check_refused},
	{"cnn_conv_times", time_shapes},
	{NULL, NULL},
};
