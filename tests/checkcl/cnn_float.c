/* SPDX-License-Identifier: MIT */
/*
 * The windows of cnn_float.clh, convolutions and pools, against plain loops that sum in the same order:
 * every bit is the same.
 */
#include "cnn_float.h"

#include <float.h>

#include "base/base.h"

float cnn_limited(float v, int activation)
{
	float lo = -FLT_MAX, hi = FLT_MAX;

	if (activation == WEIR_TFLITE_ACT_RELU || activation == WEIR_TFLITE_ACT_RELU6)
		lo = 0;
	if (activation == WEIR_TFLITE_ACT_RELU_N1_TO_1)
		lo = -1;
	if (activation == WEIR_TFLITE_ACT_RELU6)
		hi = 6;
	if (activation == WEIR_TFLITE_ACT_RELU_N1_TO_1)
		hi = 1;
	return v < lo ? lo : v > hi ? hi : v;
}

float *cnn_floats(struct checkcl *c, size_t n)
{
	float *v = malloc(n * sizeof(*v));

	for (size_t i = 0; i < n; i++) {
		unsigned kind = checkcl_random(c) % 64;

		v[i] = checkcl_uniform(c, -2, 2);
		/* Sums of these lose all of the small ones, or come to 0: an order of their own is seen. */
		if (kind < 3)
			v[i] *= kind == 0 ? 1e8f : kind == 1 ? 1e-40f : 0;
	}
	return v;
}

size_t cnn_product(unsigned n, const int32_t *dim)
{
	size_t all = 1;

	for (unsigned d = 0; d < n; d++)
		all *= (size_t)dim[d];
	return all;
}

/* ---- windows ------------------------------------------------------------------------------------ */

enum window_what { WINDOW_CONV, WINDOW_DEPTHWISE, WINDOW_AVERAGE, WINDOW_MAX };
static const char *const window_name[] = {"conv", "depthwise", "average", "max"};
static const enum weir_tflite_code window_code[] = {WEIR_TFLITE_CONV_2D, WEIR_TFLITE_DEPTHWISE_CONV_2D,
	WEIR_TFLITE_AVERAGE_POOL_2D, WEIR_TFLITE_MAX_POOL_2D};

/* One layer. depth: input channels of a filter (1 for all but CONV). */
struct layer {
	enum window_what what;
	int32_t in[4], out[4];
	int kernel[2], stride[2], dilation[2], before[2], padding, activation, depth;
	float *weight, *bias;
};

static bool layer_sizes(struct layer *a)
{
	for (int d = 0; d < 2; d++) {
		int reach = (a->kernel[d] - 1) * a->dilation[d] + 1, in = a->in[1 + d], total;
		bool same = a->padding == WEIR_TFLITE_SAME;

		if (!same && reach > in)
			return false;
		a->out[1 + d] = same ? (in + a->stride[d] - 1) / a->stride[d] : (in - reach) / a->stride[d] + 1;
		total = (a->out[1 + d] - 1) * a->stride[d] + reach - in;
		a->before[d] = same && total > 0 ? total / 2 : 0;
	}
	a->out[0] = a->in[0];
	return true;
}

/* The weight of tap (ky, kx, i) of output channel o, as the file has it. */
static float tap(const struct layer *a, int o, int ky, int kx, int i)
{
	int at = ky * a->kernel[1] + kx;

	return a->what == WINDOW_DEPTHWISE ? a->weight[at * a->out[3] + o]
					   : a->weight[(o * a->kernel[0] * a->kernel[1] + at) * a->depth + i];
}

static float window_value(const struct layer *a, const float *in, int n, int y, int x, int o)
{
	int first = a->what == WINDOW_CONV	  ? o / (a->out[3] / (a->in[3] / a->depth)) * a->depth
		    : a->what == WINDOW_DEPTHWISE ? o / (a->out[3] / a->in[3])
						  : o;
	float sum = a->what == WINDOW_MAX ? -FLT_MAX : 0, count = 0;

	for (int ky = 0; ky < a->kernel[0]; ky++) {
		int at_y = y * a->stride[0] - a->before[0] + ky * a->dilation[0];

		for (int kx = 0; kx < a->kernel[1]; kx++) {
			int at_x = x * a->stride[1] - a->before[1] + kx * a->dilation[1];

			if (at_y < 0 || at_y >= a->in[1] || at_x < 0 || at_x >= a->in[2])
				continue;
			count++;
			for (int i = 0; i < a->depth; i++) {
				float v = in[((n * a->in[1] + at_y) * a->in[2] + at_x) * a->in[3] + first + i];

				if (a->what == WINDOW_MAX)
					sum = v > sum ? v : sum;
				else
					sum += a->weight ? v * tap(a, o, ky, kx, i) : v;
			}
		}
	}
	if (a->what == WINDOW_AVERAGE)
		sum /= count;
	return cnn_limited(a->bias ? sum + a->bias[o] : sum, a->activation);
}

static float *layer_want(const struct layer *a, const float *in)
{
	float *want = malloc(cnn_product(4, a->out) * sizeof(*want)), *to = want;

	for (int n = 0; n < a->out[0]; n++) {
		for (int y = 0; y < a->out[1]; y++) {
			for (int x = 0; x < a->out[2]; x++) {
				for (int o = 0; o < a->out[3]; o++)
					*to++ = window_value(a, in, n, y, x, o);
			}
		}
	}
	return want;
}

static void layer_weights(struct checkcl *c, struct layer *a)
{
	if (a->what != WINDOW_CONV && a->what != WINDOW_DEPTHWISE)
		return;
	a->weight = cnn_floats(c, (size_t)(a->kernel[0] * a->kernel[1] * a->out[3] * a->depth));
	a->bias = cnn_floats(c, (size_t)a->out[3]);
}

/* The layer in a network, from tensor in to a new one. */
static int layer_add(struct cnn_net *net, const struct layer *a, int in)
{
	int32_t ids[3] = {in, -1, -1}, out = cnn_net_tensor(net, WEIR_TFLITE_F32, 4, a->out, NULL);
	int32_t conv[4] = {a->out[3], a->kernel[0], a->kernel[1], a->depth};
	int32_t depthwise[4] = {1, a->kernel[0], a->kernel[1], a->out[3]};
	struct weir_tflite_op *o;

	if (a->weight) {
		ids[1] = cnn_net_tensor(
			net, WEIR_TFLITE_F32, 4, a->what == WINDOW_CONV ? conv : depthwise, a->weight);
		ids[2] = cnn_net_tensor(net, WEIR_TFLITE_F32, 1, &a->out[3], a->bias);
	}
	o = cnn_net_op(net, window_code[a->what], a->weight ? 3 : 1, ids, 1, &out);
	o->padding = a->padding;
	o->activation = a->activation;
	o->stride_h = a->stride[0];
	o->stride_w = a->stride[1];
	o->filter_h = a->kernel[0];
	o->filter_w = a->kernel[1];
	if (a->weight) {
		o->dilation_h = a->dilation[0];
		o->dilation_w = a->dilation[1];
	}
	return out;
}

static struct layer layer_random(struct checkcl *c, enum window_what what)
{
	struct layer a = {
		.what = what, .depth = 1, .padding = cnn_random(c, 0, 1), .activation = cnn_random(c, 0, 3)};
	int groups = what == WINDOW_CONV && !cnn_random(c, 0, 3) ? cnn_random(c, 2, 3) : 1;
	int multiplier = what == WINDOW_DEPTHWISE && !cnn_random(c, 0, 3) ? cnn_random(c, 2, 3) : 1;

	a.in[0] = cnn_random(c, 1, 2);
	a.in[3] = cnn_random(c, 1, 40);
	a.out[3] = a.in[3] * multiplier;
	if (what == WINDOW_CONV) {
		a.depth = cnn_random(c, 1, 20);
		a.in[3] = a.depth * groups;
		a.out[3] = cnn_random(c, 1, 40) * groups;
	}
	for (int d = 0; d < 2; d++) {
		a.in[1 + d] = cnn_random(c, 3, 18);
		a.kernel[d] = cnn_random(c, 1, 5);
		a.stride[d] = cnn_random(c, 1, 3);
		a.dilation[d] = a.weight || what >= WINDOW_AVERAGE || cnn_random(c, 0, 3) ? 1 : 2;
	}
	return a;
}

static void describe(const struct layer *a, char *params, size_t size)
{
	snprintf(params, size,
		"%s_f32 [%d, %d, %d, %d] to %d, kernel %dx%d by %d, stride %d %d, dilation %d %d, %s, act %d",
		window_name[a->what], a->in[0], a->in[1], a->in[2], a->in[3], a->out[3], a->kernel[0],
		a->kernel[1], a->depth, a->stride[0], a->stride[1], a->dilation[0], a->dilation[1],
		a->padding == WEIR_TFLITE_SAME ? "same" : "valid", a->activation);
}

static void window_case(struct checkcl *c, enum window_what what)
{
	struct layer a = layer_random(c, what);
	struct cnn_net net;
	char params[200];
	float *values, *want;
	int32_t in, out;

	if (!layer_sizes(&a))
		return;
	layer_weights(c, &a);
	values = cnn_floats(c, cnn_product(4, a.in));
	want = layer_want(&a, values);
	describe(&a, params, sizeof(params));
	cnn_net_start(&net);
	in = cnn_net_tensor(&net, WEIR_TFLITE_F32, 4, a.in, NULL);
	out = layer_add(&net, &a, in);
	cnn_net_ends(&net, 1, &in, 1, &out);
	cnn_net_check(c, params, &net, (const void *const *)&values, (const void *const *)&want, 0);
	cnn_net_done(&net);
	free(values);
	free(want);
	free(a.weight);
	free(a.bias);
}

static void check_conv(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 3 : 24); i++)
		window_case(c, WINDOW_CONV);
}

static void check_depthwise(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 3 : 24); i++)
		window_case(c, WINDOW_DEPTHWISE);
}

static void check_pools(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 4 : 32); i++)
		window_case(c, i % 2 ? WINDOW_AVERAGE : WINDOW_MAX);
}

/*
 * A chain that can be streamed by rows, whose depthwise layers and pool can overlay their inputs: conv,
 * depthwise, conv, ADD of the first, PAD, depthwise of stride 2, pool.
 */
#define CHAIN 5

struct chain {
	struct cnn_net net;
	struct layer layer[CHAIN];
	float *values[CHAIN + 3]; /* the input's and those of every tensor since */
	unsigned n;
	int32_t dim[4], at; /* of the last one */
};

static void chain_layer(struct checkcl *c, struct chain *s, struct layer *a, int channels)
{
	memcpy(a->in, s->dim, sizeof(a->in));
	a->dilation[0] = a->dilation[1] = 1;
	a->out[3] = channels;
	layer_sizes(a);
	layer_weights(c, a);
	s->values[s->n + 1] = layer_want(a, s->values[s->n]);
	s->n++;
	s->at = layer_add(&s->net, a, s->at);
	memcpy(s->dim, a->out, sizeof(s->dim));
}

static void chain_residual(struct chain *s, int32_t with, const float *values)
{
	int32_t pair[2] = {with, s->at};
	size_t n = cnn_product(4, s->dim);
	float *sum = malloc(n * sizeof(*sum));

	s->at = cnn_net_tensor(&s->net, WEIR_TFLITE_F32, 4, s->dim, NULL);
	cnn_net_op(&s->net, WEIR_TFLITE_ADD, 2, pair, 1, &s->at);
	for (size_t i = 0; i < n; i++)
		sum[i] = values[i] + s->values[s->n][i];
	s->values[++s->n] = sum;
}

/* A row above, two below and a column on the right. */
static void chain_pad(struct chain *s)
{
	const int32_t shape[2] = {4, 2}, by[8] = {0, 0, 1, 2, 0, 1, 0, 0};
	int32_t ids[2] = {s->at, cnn_net_tensor(&s->net, WEIR_TFLITE_I32, 2, shape, by)};
	size_t row = (size_t)(s->dim[2] * s->dim[3]), bigger = (size_t)((s->dim[2] + 1) * s->dim[3]);
	float *padded = calloc((size_t)(s->dim[1] + 3) * bigger, sizeof(*padded));

	for (int y = 0; y < s->dim[1]; y++)
		memcpy(padded + (size_t)(y + 1) * bigger, s->values[s->n] + (size_t)y * row,
			row * sizeof(*padded));
	s->dim[1] += 3;
	s->dim[2] += 1;
	s->at = cnn_net_tensor(&s->net, WEIR_TFLITE_F32, 4, s->dim, NULL);
	cnn_net_op(&s->net, WEIR_TFLITE_PAD, 2, ids, 1, &s->at);
	s->values[++s->n] = padded;
}

static void chain_case(struct checkcl *c, int h, int w, int channels)
{
	struct chain s = {
		.layer =
			{{.what = WINDOW_CONV, .kernel = {3, 3}, .stride = {1, 1}, .depth = 3, .activation = 3},
				{.what = WINDOW_DEPTHWISE, .kernel = {3, 3}, .stride = {1, 1}, .depth = 1},
				{.what = WINDOW_CONV, .kernel = {1, 1}, .stride = {1, 1}, .depth = channels},
				{.what = WINDOW_DEPTHWISE,
					.kernel = {5, 3},
					.stride = {2, 2},
					.depth = 1,
					.padding = 1},
				{.what = WINDOW_AVERAGE, .kernel = {2, 2}, .stride = {1, 1}, .depth = 1}},
		.dim = {1, h, w, 3},
	};
	int32_t in, first;
	char params[80];

	cnn_net_start(&s.net);
	s.values[0] = cnn_floats(c, cnn_product(4, s.dim));
	s.at = in = cnn_net_tensor(&s.net, WEIR_TFLITE_F32, 4, s.dim, NULL);
	chain_layer(c, &s, &s.layer[0], channels);
	first = s.at;
	chain_layer(c, &s, &s.layer[1], channels);
	chain_layer(c, &s, &s.layer[2], channels);
	chain_residual(&s, first, s.values[1]);
	chain_pad(&s);
	chain_layer(c, &s, &s.layer[3], channels);
	chain_layer(c, &s, &s.layer[4], channels);
	snprintf(params, sizeof(params), "float chain [%d, %d] of %d channels", h, w, channels);
	cnn_net_ends(&s.net, 1, &in, 1, &s.at);
	cnn_net_check(
		c, params, &s.net, (const void *const *)&s.values[0], (const void *const *)&s.values[s.n], 0);
	cnn_net_done(&s.net);
	for (int k = 0; k < CHAIN; k++) {
		free(s.layer[k].weight);
		free(s.layer[k].bias);
	}
	for (unsigned i = 0; i <= s.n; i++)
		free(s.values[i]);
}

static void check_chain(struct checkcl *c)
{
	chain_case(c, 12, 9, 16);
	chain_case(c, 21, 10, 7);
	if (!c->quick)
		chain_case(c, 64, 48, 24);
}

/* ---- what is refused, and times ------------------------------------------------------------------ */

static void check_refused(struct checkcl *c)
{
	struct layer a = {.what = WINDOW_CONV,
		.in = {1, 4, 4, 6},
		.out = {1, 4, 4, 8},
		.kernel = {3, 3},
		.stride = {1, 1},
		.dilation = {1, 1},
		.depth = 6};
	struct weir_tflite_tensor *weight, *bias;
	struct weir_tflite_op *o;
	struct cnn_net net;
	int32_t in, out;

	layer_weights(c, &a);
	cnn_net_start(&net);
	in = cnn_net_tensor(&net, WEIR_TFLITE_F32, 4, a.in, NULL);
	out = layer_add(&net, &a, in);
	cnn_net_ends(&net, 1, &in, 1, &out);
	o = &net.ops[0];
	weight = &net.tensors[o->inputs[1]];
	bias = &net.tensors[o->inputs[2]];
	o->stride_h = 0;
	cnn_net_refused(c, "conv_f32", &net, "its stride 0");
	o->stride_h = 2;
	cnn_net_refused(c, "conv_f32", &net, "the operator makes FLOAT32 [1, 2, 4, 8]");
	o->stride_h = 1;
	o->dilation_w = 1 << 24;
	cnn_net_refused(c, "conv_f32", &net, "its kernel reaches over 33554433 of 4 pixels");
	o->dilation_w = 2;
	o->padding = WEIR_TFLITE_VALID;
	cnn_net_refused(c, "conv_f32", &net, "the kernel of 3 does not fit into it");
	o->padding = 2;
	cnn_net_refused(c, "conv_f32", &net, "padding 2 is not supported");
	o->padding = WEIR_TFLITE_SAME;
	o->activation = WEIR_TFLITE_ACT_TANH;
	cnn_net_refused(c, "conv_f32", &net, "the fused activation 4 is not supported");
	bias->count = 7;
	cnn_net_refused(c, "conv_f32", &net, "there are 8 output channels");
	weight->dim[3] = 4;
	bias->count = 8;
	cnn_net_refused(c, "conv_f32", &net, "it does not fit to 6 input channels");
	weight->type = WEIR_TFLITE_I8;
	cnn_net_refused(c, "conv_f32", &net, "with a FLOAT32 input only FLOAT32 is supported");
	weight->type = WEIR_TFLITE_F32;
	weight->data = NULL;
	cnn_net_refused(c, "conv_f32", &net, "weights that are no constant are not supported");
	o->code = WEIR_TFLITE_MAX_POOL_2D;
	cnn_net_refused(c, "max_f32", &net, "it has 3 inputs, not 1 to 1");
	cnn_net_done(&net);
	free(a.weight);
	free(a.bias);
}

/* With --bench: layers as networks have them. */
static void check_times(struct checkcl *c)
{
	struct layer layers[] = {
		{.what = WINDOW_CONV, .in = {1, 160, 160, 3}, .kernel = {3, 3}, .stride = {2, 2}, .depth = 3},
		{.what = WINDOW_CONV, .in = {1, 28, 28, 128}, .kernel = {1, 1}, .stride = {1, 1}, .depth = 128},
		{.what = WINDOW_DEPTHWISE,
			.in = {1, 56, 56, 64},
			.kernel = {3, 3},
			.stride = {1, 1},
			.depth = 1},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(layers) && c->bench; i++) {
		struct layer *a = &layers[i];
		struct cnn_net net;
		char params[200];
		int32_t in, out;

		a->dilation[0] = a->dilation[1] = 1;
		a->out[3] = a->what == WINDOW_CONV ? WEIR_MAX(a->in[3], 16) : a->in[3];
		layer_sizes(a);
		layer_weights(c, a);
		cnn_net_start(&net);
		in = cnn_net_tensor(&net, WEIR_TFLITE_F32, 4, a->in, NULL);
		out = layer_add(&net, a, in);
		cnn_net_ends(&net, 1, &in, 1, &out);
		describe(a, params, sizeof(params));
		cnn_net_time(c, params, &net, 1,
			2.0 * (double)cnn_product(4, a->out) * a->kernel[0] * a->kernel[1] * a->depth);
		cnn_net_done(&net);
		free(a->weight);
		free(a->bias);
	}
}

const struct checkcl_row checkcl_cnn_float[] = {
	{"cnn_conv_f32", check_conv},
	{"cnn_depthwise_f32", check_depthwise},
	{"cnn_pool_f32", check_pools},
	{"cnn_chain_f32", check_chain},
	{"cnn_float_refused", check_refused},
	{"cnn_float_times", check_times},
	{"cnn_fully_connected_f32", cnn_check_connected},
	{"cnn_mean_f32", cnn_check_mean},
	{"cnn_softmax_f32", cnn_check_softmax},
	{"cnn_binary_f32", cnn_check_binary},
	{NULL, NULL},
};
