/* SPDX-License-Identifier: MIT */
/*
 * Operators of one or two values at a place, int8 and float activations, against cnn_act_ref.h value by
 * value.
 */
#include <math.h>

#include "base/base.h"
#include "cnn_act.h"

/* ---- two operands ----------------------------------------------------------------------------- */

struct pair {
	struct act_shape a, b;
	bool const_a, const_b;
};

static const struct pair pairs[] = {
	{ACT_SHAPE(1, 5, 7, 3), ACT_SHAPE(1, 5, 7, 3)},
	{ACT_SHAPE(2, 9, 8, 24), ACT_SHAPE(2, 9, 8, 24)},
	{ACT_SHAPE(1, 40, 40, 40), ACT_SHAPE(1, 40, 40, 40)},
	{ACT_SHAPE(300), ACT_SHAPE(300)},
	{ACT_SHAPE(256, 1), ACT_SHAPE(1, 256)}, /* all there are, when their values are 0, 1, ... */
	{ACT_SHAPE(1, 6, 6, 48), ACT_SHAPE(1, 1, 1, 48)},
	{ACT_SHAPE(1, 1, 1, 48), ACT_SHAPE(3, 6, 6, 48)},
	{ACT_SHAPE(1, 6, 5, 20), ACT_SHAPE(1, 6, 5, 1)},
	{ACT_SHAPE(1, 6, 1, 20), ACT_SHAPE(1, 6, 5, 1)},
	{ACT_SHAPE(2, 4, 3, 5, 6, 7), ACT_SHAPE(2, 1, 3, 1, 6, 1)},
	{ACT_SHAPE(4, 1, 5, 1, 17), ACT_SHAPE(3, 1, 2, 17)},
	{ACT_SHAPE(5, 7), ACT_SHAPE(1)},
	{ACT_SHAPE(1), ACT_SHAPE(2, 3, 4)},
	{ACT_SHAPE(1, 8, 9, 3), ACT_SHAPE(3), false, true},
	{ACT_SHAPE(3), ACT_SHAPE(1, 8, 9, 3), true, false},
	{ACT_SHAPE(1, 8, 9, 33), ACT_SHAPE(9, 1), false, true},
	{ACT_SHAPE(1, 8, 9, 4), ACT_SHAPE(8, 1, 4), false, true},
	{ACT_SHAPE(1, 8, 9, 4), ACT_SHAPE(1, 8, 9, 4), true, false},
};

static void broadcast_shape(const struct pair *p, struct act_shape *out)
{
	out->n = WEIR_MAX(p->a.n, p->b.n);
	for (unsigned d = 1; d <= out->n; d++) {
		int32_t a = d <= p->a.n ? p->a.dim[p->a.n - d] : 1, b = d <= p->b.n ? p->b.dim[p->b.n - d] : 1;

		out->dim[out->n - d] = WEIR_MAX(a, b);
	}
}

/* Which value of an operand value i of the output is made of. */
static size_t operand_at(const struct act_shape *operand, const struct act_shape *out, size_t i)
{
	size_t at = 0, stride = 1;

	for (unsigned d = 1; d <= operand->n; d++) {
		size_t size = (size_t)out->dim[out->n - d], own = (size_t)operand->dim[operand->n - d];

		at += own == 1 ? 0 : i % size * stride;
		stride *= own;
		i /= size;
	}
	return at;
}

struct pair_data {
	enum weir_tflite_code code;
	int activation;
	struct act_shape out;
	struct cnn_q qa, qb, qo;
	int8_t *a, *b, *want;
};

static void pair_reference(const struct pair *p, struct pair_data *d)
{
	int lo, hi;

	ref_limits(d->activation, d->qo, &lo, &hi);
	d->want = malloc(act_count(&d->out));
	if (!d->want)
		abort();
	for (size_t i = 0; i < act_count(&d->out); i++) {
		int a = d->a[operand_at(&p->a, &d->out, i)], b = d->b[operand_at(&p->b, &d->out, i)];

		if (d->code == WEIR_TFLITE_MUL)
			d->want[i] = (int8_t)ref_mul(a, d->qa, b, d->qb, d->qo, lo, hi);
		else
			d->want[i] = (int8_t)ref_add(a, d->qa, b, d->qb, d->code == WEIR_TFLITE_ADD ? 1 : -1, d->qo, lo,
				hi);
	}
}

static void pair_net(struct checkcl *c, const char *params, const struct pair *p, const struct pair_data *d)
{
	const void *in[2], *want = d->want;
	struct cnn_net net;
	int32_t operands[2], inputs[2];
	unsigned n = 0;
	int out;

	cnn_net_start(&net);
	operands[0] = act_tensor(&net, &p->a, d->qa, p->const_a ? d->a : NULL);
	operands[1] = act_tensor(&net, &p->b, d->qb, p->const_b ? d->b : NULL);
	out = act_tensor(&net, &d->out, d->qo, NULL);
	for (int i = 0; i < 2; i++) {
		if (i ? p->const_b : p->const_a)
			continue;
		in[n] = i ? d->b : d->a;
		inputs[n++] = operands[i];
	}
	cnn_net_op(&net, d->code, 2, operands, 1, &out)->activation = d->activation;
	cnn_net_ends(&net, n, inputs, 1, &out);
	cnn_net_check(c, params, &net, in, &want, 0);
	cnn_net_time(c, params, &net, 1, (double)act_count(&d->out));
	cnn_net_done(&net);
}

static void check_pair(struct checkcl *c, enum weir_tflite_code code, const struct pair *p, int activation)
{
	struct pair_data d = {.code = code, .activation = activation, .qa = act_random_q(c), .qb = act_random_q(c)};
	char params[256], a[80], b[80];

	broadcast_shape(p, &d.out);
	if (checkcl_random(c) % 4 == 0)
		d.qb.scale = d.qa.scale;
	d.qo.zero = cnn_random(c, -128, 127);
	d.qo.scale = code == WEIR_TFLITE_MUL ? d.qa.scale * d.qb.scale * powf(10, checkcl_uniform(c, -1, 2.5f))
					     : WEIR_MAX(d.qa.scale, d.qb.scale) * powf(10, checkcl_uniform(c, -1, 1));
	d.a = act_random_values(c, act_count(&p->a));
	d.b = act_random_values(c, act_count(&p->b));
	if (p->a.n == 2 && p->a.dim[0] == 256) {
		for (int i = 0; i < 256; i++)
			d.a[i] = d.b[i] = (int8_t)(i - 128);
	}
	pair_reference(p, &d);
	snprintf(params, sizeof(params), "%s %s%s, %s%s act %d", weir_tflite_code_name(code), act_text(&p->a, a),
		p->const_a ? " constant" : "", act_text(&p->b, b), p->const_b ? " constant" : "", activation);
	pair_net(c, params, p, &d);
	free(d.a);
	free(d.b);
	free(d.want);
}

static void check_pairs(struct checkcl *c, enum weir_tflite_code code)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(pairs); i += c->quick ? 3 : 1)
		check_pair(c, code, &pairs[i], (int)(i % 4));
}

static void run_add(struct checkcl *c)
{
	check_pairs(c, WEIR_TFLITE_ADD);
}

static void run_sub(struct checkcl *c)
{
	check_pairs(c, WEIR_TFLITE_SUB);
}

static void run_mul(struct checkcl *c)
{
	check_pairs(c, WEIR_TFLITE_MUL);
}

/* ---- one value -------------------------------------------------------------------------------- */

static int table_value(enum weir_tflite_code code, int x, struct cnn_q in, struct cnn_q out)
{
	switch (code) {
	case WEIR_TFLITE_LOGISTIC:
		return ref_logistic(x, in, out);
	case WEIR_TFLITE_HARD_SWISH:
		return ref_hard_swish(x, in, out);
	case WEIR_TFLITE_RELU:
		return ref_relu(x, in, out, INFINITY);
	case WEIR_TFLITE_RELU6:
		return ref_relu(x, in, out, 6);
	default:
		return ref_requantize(x, in, out);
	}
}

/* All 256 values, and more of them for a row that is cut into parts. */
static void check_table(struct checkcl *c, enum weir_tflite_code code, const struct act_shape *shape)
{
	struct cnn_q in = act_random_q(c);
	struct cnn_q out = {in.scale * powf(10, checkcl_uniform(c, -1, 1)), cnn_random(c, -128, 127)};
	size_t n = act_count(shape);
	int8_t *x = malloc(n), *want = malloc(n);
	char params[256], text[80];
	struct act_net s;

	if (!x || !want)
		abort();
	if (code == WEIR_TFLITE_LOGISTIC)
		out = (struct cnn_q){1.0f / 256, -128};
	for (size_t i = 0; i < n; i++) {
		x[i] = (int8_t)(uint8_t)i;
		want[i] = (int8_t)table_value(code, x[i], in, out);
	}
	act_make(&s, code, shape, &in, shape, &out);
	snprintf(params, sizeof(params), "%s %s scales %g %g zeros %d %d", weir_tflite_code_name(code),
		act_text(shape, text), (double)in.scale, (double)out.scale, in.zero, out.zero);
	act_check(c, &s, params, x, want, 0);
	free(x);
	free(want);
}

static void run_table(struct checkcl *c)
{
	static const enum weir_tflite_code codes[] = {WEIR_TFLITE_LOGISTIC, WEIR_TFLITE_HARD_SWISH, WEIR_TFLITE_RELU,
		WEIR_TFLITE_RELU6, WEIR_TFLITE_QUANTIZE};
	static const struct act_shape shapes[] = {ACT_SHAPE(256), ACT_SHAPE(1, 8, 9, 5), ACT_SHAPE(1, 5001)};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(codes); i++) {
		for (int j = 0; j < (c->quick ? 2 : 8); j++)
			check_table(c, codes[i], &shapes[j % 3]);
	}
}

static void check_quantize(struct checkcl *c, const struct act_shape *shape, struct cnn_q q)
{
	static const float edges[] = {0.49999997f, 8388609, 2147483520.0f, 2147483648.0f, -2147483648.0f, 3e38f,
		1e-40f};
	size_t n = act_count(shape);
	float *x = malloc(n * sizeof(*x));
	int8_t *want = malloc(n);
	char params[256], text[80];
	struct act_net s;

	if (!x || !want)
		abort();
	for (size_t i = 0; i < n; i++) {
		/* Halves among them, which are rounded away from zero. */
		x[i] = i % 3 ? checkcl_uniform(c, -300, 300) * q.scale : (float)cnn_random(c, -600, 600) / 2 * q.scale;
		if (i % 7 == 0)
			x[i] = edges[checkcl_random(c) % WEIR_ARRAY_SIZE(edges)] * (i % 2 ? 1.0f : -1.0f);
		want[i] = (int8_t)ref_quantize(x[i], q);
	}
	act_make(&s, WEIR_TFLITE_QUANTIZE, shape, NULL, shape, &q);
	snprintf(params, sizeof(params), "QUANTIZE %s scale %g zero %d", act_text(shape, text), (double)q.scale, q.zero);
	act_check(c, &s, params, x, want, 0);
	free(x);
	free(want);
}

static void check_dequantize(struct checkcl *c, const struct act_shape *shape, struct cnn_q q)
{
	size_t n = act_count(shape);
	int8_t *x = act_random_values(c, n);
	float *want = malloc(n * sizeof(*want));
	char params[256], text[80];
	struct act_net s;

	if (!want)
		abort();
	for (size_t i = 0; i < n; i++)
		want[i] = (float)((double)q.scale * (x[i] - q.zero));
	act_make(&s, WEIR_TFLITE_DEQUANTIZE, shape, &q, shape, NULL);
	snprintf(params, sizeof(params), "DEQUANTIZE %s", act_text(shape, text));
	act_check(c, &s, params, x, want, 0);
	free(x);
	free(want);
}

static void run_quantize(struct checkcl *c)
{
	static const struct act_shape shapes[] = {ACT_SHAPE(1, 9, 9, 3), ACT_SHAPE(1, 5000), ACT_SHAPE(2, 3, 4, 5, 17)};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(shapes); i++) {
		check_quantize(c, &shapes[i], act_random_q(c));
		check_quantize(c, &shapes[i], (struct cnn_q){1, i % 2 ? 3 : -3});
		check_dequantize(c, &shapes[i], act_random_q(c));
	}
}

static void check_unary(struct checkcl *c, enum weir_tflite_code code, const struct act_shape *shape, float rel)
{
	static const float edges[] = {0, -0.0f, 6, 3, -3, 16.7f, -9.1f, -80, 80, 1e30f, -1e-40f};
	size_t n = act_count(shape);
	float *x = malloc(n * sizeof(*x)), *want = malloc(n * sizeof(*want));
	char params[256], text[80];
	struct act_net s;

	if (!x || !want)
		abort();
	for (size_t i = 0; i < n; i++) {
		x[i] = i % 9 ? checkcl_uniform(c, -20, 20) : edges[checkcl_random(c) % WEIR_ARRAY_SIZE(edges)];
		want[i] = ref_unary_f32(code, x[i]);
	}
	act_make(&s, code, shape, NULL, shape, NULL);
	snprintf(params, sizeof(params), "%s float %s", weir_tflite_code_name(code), act_text(shape, text));
	act_check(c, &s, params, x, want, rel);
	free(x);
	free(want);
}

static void run_unary(struct checkcl *c)
{
	static const struct act_shape shapes[] = {ACT_SHAPE(1, 9, 9, 3), ACT_SHAPE(1, 5000)};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(shapes); i++) {
		check_unary(c, WEIR_TFLITE_RELU, &shapes[i], 0);
		check_unary(c, WEIR_TFLITE_RELU6, &shapes[i], 0);
		check_unary(c, WEIR_TFLITE_HARD_SWISH, &shapes[i], 0);
		check_unary(c, WEIR_TFLITE_LOGISTIC, &shapes[i], 1e-6f);
	}
}

const struct checkcl_row checkcl_cnn_each[] = {
	{"cnn_add", run_add},
	{"cnn_sub", run_sub},
	{"cnn_mul", run_mul},
	{"cnn_table", run_table},
	{"cnn_quantize", run_quantize},
	{"cnn_unary_f32", run_unary},
	{NULL, NULL},
};
