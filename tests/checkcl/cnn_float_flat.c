/* SPDX-License-Identifier: MIT */
/*
 * FULLY_CONNECTED, MEAN, SOFTMAX, ADD, SUB and MUL of floats against plain loops. Every bit is the same,
 * but for softmax, whose exp may be 4 ulp off on a device, and so may the result be, twice.
 */
#include "cnn_float.h"

#include <math.h>

#include "base/base.h"

#define ULP (1.0f / 8388608)

/*
 * An operator of floats, with the values of its inputs, its output's dims and what is to be in it; then it
 * is freed.
 */
static void check_op(struct checkcl *c, const char *params, struct cnn_net *net, unsigned n_in, int32_t *in,
	float **values, int32_t out, float *want, float rel)
{
	cnn_net_ends(net, n_in, in, 1, &out);
	cnn_net_check(c, params, net, (const void *const *)values, (const void *const *)&want, rel);
	cnn_net_done(net);
	for (unsigned i = 0; i < n_in; i++)
		free(values[i]);
	free(want);
}

static void connected_case(struct checkcl *c, int batch, int depth, int units, bool bias)
{
	int32_t dim[2] = {batch, depth}, shape[2] = {units, depth}, out_dim[2] = {batch, units}, ids[3], out;
	float *values = cnn_floats(c, (size_t)(batch * depth)),
	      *weight = cnn_floats(c, (size_t)(units * depth));
	float *b = cnn_floats(c, (size_t)units), *want = malloc((size_t)(batch * units) * sizeof(*want));
	struct cnn_net net;
	char params[80];

	cnn_net_start(&net);
	ids[0] = cnn_net_tensor(&net, WEIR_TFLITE_F32, 2, dim, NULL);
	ids[1] = cnn_net_tensor(&net, WEIR_TFLITE_F32, 2, shape, weight);
	ids[2] = bias ? cnn_net_tensor(&net, WEIR_TFLITE_F32, 1, &units, b) : -1;
	out = cnn_net_tensor(&net, WEIR_TFLITE_F32, 2, out_dim, NULL);
	cnn_net_op(&net, WEIR_TFLITE_FULLY_CONNECTED, 3, ids, 1, &out)->activation = WEIR_TFLITE_ACT_RELU;
	for (int i = 0; i < batch * units; i++) {
		float sum = 0;

		for (int k = 0; k < depth; k++)
			sum += values[i / units * depth + k] * weight[i % units * depth + k];
		want[i] = cnn_limited(bias ? sum + b[i % units] : sum, WEIR_TFLITE_ACT_RELU);
	}
	free(weight);
	free(b);
	snprintf(params, sizeof(params), "fully connected f32 %d x %d to %d", batch, depth, units);
	check_op(c, params, &net, 1, ids, &values, out, want, 0);
}

void cnn_check_connected(struct checkcl *c)
{
	connected_case(c, 1, 1, 1, true);
	connected_case(c, 1, 300, 35, true);
	connected_case(c, 9, 64, 48, false);
	if (!c->quick)
		connected_case(c, 3, 1280, 1000, true);
}

static void mean_case(struct checkcl *c, unsigned rank)
{
	int32_t dim[WEIR_TFLITE_DIMS], out_dim[WEIR_TFLITE_DIMS], axes[WEIR_TFLITE_DIMS], ids[2], out,
		n_axes = 0;
	bool keep = cnn_random(c, 0, 1);
	float *values, *want, count = 1;
	unsigned n_out = 0, summed = 0;
	struct cnn_net net;
	char params[80];

	for (unsigned d = 0; d < rank; d++) {
		dim[d] = cnn_random(c, 1, d + 1 == rank ? 40 : 6);
		if (cnn_random(c, 0, 1) || (!n_axes && d + 1 == rank)) {
			axes[n_axes++] = (int32_t)d - (cnn_random(c, 0, 1) ? (int32_t)rank : 0);
			summed |= 1u << d;
			count *= (float)dim[d];
		}
		if (keep || !(summed >> d & 1))
			out_dim[n_out++] = summed >> d & 1 ? 1 : dim[d];
	}
	values = cnn_floats(c, cnn_product(rank, dim));
	want = calloc(cnn_product(n_out, out_dim), sizeof(*want));
	for (size_t i = 0; i < cnn_product(rank, dim); i++) {
		size_t rest = i, at = 0, lies = 1;

		for (unsigned d = rank; d-- > 0; rest /= (size_t)dim[d]) {
			if (summed >> d & 1)
				continue;
			at += rest % (size_t)dim[d] * lies;
			lies *= (size_t)dim[d];
		}
		want[at] += values[i];
	}
	for (size_t i = 0; i < cnn_product(n_out, out_dim); i++)
		want[i] /= count;
	cnn_net_start(&net);
	ids[0] = cnn_net_tensor(&net, WEIR_TFLITE_F32, rank, dim, NULL);
	ids[1] = cnn_net_tensor(&net, WEIR_TFLITE_I32, 1, &n_axes, axes);
	out = cnn_net_tensor(&net, WEIR_TFLITE_F32, n_out, out_dim, NULL);
	cnn_net_op(&net, WEIR_TFLITE_MEAN, 2, ids, 1, &out)->keep_dims = keep;
	snprintf(params, sizeof(params), "mean f32 of %u dims, axes by bits %u", rank, summed);
	check_op(c, params, &net, 1, ids, &values, out, want, 0);
}

void cnn_check_mean(struct checkcl *c)
{
	for (int i = 0; i < (c->quick ? 4 : 30); i++)
		mean_case(c, 1 + (unsigned)i % WEIR_TFLITE_DIMS);
}

static void softmax_case(struct checkcl *c, int rows, int depth, float beta, float spread)
{
	int32_t dim[2] = {rows, depth}, in, out;
	float *values = malloc((size_t)(rows * depth) * sizeof(*values)),
	      *want = malloc((size_t)(rows * depth) * sizeof(*want));
	struct cnn_net net;
	char params[80];

	for (int i = 0; i < rows * depth; i++)
		values[i] = checkcl_uniform(c, -spread, spread);
	for (int y = 0; y < rows; y++) {
		const float *v = values + y * depth;
		float most = v[0], sum = 0;

		for (int i = 0; i < depth; i++)
			most = fmaxf(most, v[i]);
		for (int i = 0; i < depth; i++)
			sum += want[y * depth + i] = expf((v[i] - most) * beta);
		for (int i = 0; i < depth; i++)
			want[y * depth + i] /= sum;
	}
	cnn_net_start(&net);
	in = cnn_net_tensor(&net, WEIR_TFLITE_F32, 2, dim, NULL);
	out = cnn_net_tensor(&net, WEIR_TFLITE_F32, 2, dim, NULL);
	cnn_net_op(&net, WEIR_TFLITE_SOFTMAX, 1, &in, 1, &out)->beta = beta;
	snprintf(params, sizeof(params), "softmax f32 %d x %d, beta %g", rows, depth, (double)beta);
	check_op(c, params, &net, 1, &in, &values, out, want, 8 * ULP);
}

void cnn_check_softmax(struct checkcl *c)
{
	softmax_case(c, 1, 1, 1, 1);
	softmax_case(c, 3, 17, 1, 10);
	softmax_case(c, 2, 1000, 0.5f, 20);
	softmax_case(c, 4, 16, 1, 40);
}

/* ---- ADD, SUB, MUL ------------------------------------------------------------------------------ */

static size_t broadcast_at(const int32_t *dim, const int32_t *out, size_t i)
{
	size_t at = 0, lies = 1;

	for (unsigned d = WEIR_TFLITE_DIMS; d-- > 0; i /= (size_t)out[d]) {
		at += dim[d] > 1 ? i % (size_t)out[d] * lies : 0;
		lies *= (size_t)dim[d];
	}
	return at;
}

static void binary_case(
	struct checkcl *c, enum weir_tflite_code code, unsigned rank, bool broadcast, int constant)
{
	int32_t dim[2][WEIR_TFLITE_DIMS], out_dim[WEIR_TFLITE_DIMS], ids[2], in[2], out;
	unsigned before = WEIR_TFLITE_DIMS - rank, n_in = 0;
	int activation = cnn_random(c, 0, 3);
	float *values[2], *given[2], *want;
	struct weir_tflite_op *o;
	struct cnn_net net;
	char params[80];

	for (unsigned d = 0; d < WEIR_TFLITE_DIMS; d++) {
		int n = d < before ? 1 : cnn_random(c, 1, rank > 4 ? 5 : 12);

		for (int k = 0; k < 2; k++)
			dim[k][d] = broadcast && !cnn_random(c, 0, 2) ? 1 : n;
		out_dim[d] = WEIR_MAX(dim[0][d], dim[1][d]);
	}
	cnn_net_start(&net);
	for (int k = 0; k < 2; k++) {
		values[k] = cnn_floats(c, cnn_product(WEIR_TFLITE_DIMS, dim[k]));
		ids[k] = cnn_net_tensor(
			&net, WEIR_TFLITE_F32, rank, dim[k] + before, k == constant ? values[k] : NULL);
		if (k == constant)
			continue;
		in[n_in] = ids[k];
		given[n_in++] = values[k];
	}
	out = cnn_net_tensor(&net, WEIR_TFLITE_F32, rank, out_dim + before, NULL);
	o = cnn_net_op(&net, code, 2, ids, 1, &out);
	o->activation = activation;
	want = malloc(cnn_product(WEIR_TFLITE_DIMS, out_dim) * sizeof(*want));
	for (size_t i = 0; i < cnn_product(WEIR_TFLITE_DIMS, out_dim); i++) {
		float a = values[0][broadcast_at(dim[0], out_dim, i)],
		      b = values[1][broadcast_at(dim[1], out_dim, i)];

		want[i] = cnn_limited(code == WEIR_TFLITE_ADD	? a + b
				      : code == WEIR_TFLITE_SUB ? a - b
								: a * b,
			activation);
	}
	snprintf(params, sizeof(params), "%s f32 of %u dims%s, constant %d", weir_tflite_code_name(code), rank,
		broadcast ? ", broadcast" : "", constant);
	if (constant >= 0)
		free(values[constant]);
	check_op(c, params, &net, n_in, in, given, out, want, 0);
}

void cnn_check_binary(struct checkcl *c)
{
	static const enum weir_tflite_code code[] = {WEIR_TFLITE_ADD, WEIR_TFLITE_SUB, WEIR_TFLITE_MUL};

	for (int i = 0; i < (c->quick ? 6 : 72); i++)
		binary_case(c, code[i % 3], 1 + (unsigned)i / 3 % WEIR_TFLITE_DIMS, i / 18 % 2,
			i / 36 ? i / 3 % 2 : -1);
}
