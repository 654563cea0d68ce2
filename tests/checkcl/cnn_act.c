/* SPDX-License-Identifier: MIT */
/*
 * Pools, MEAN and SOFTMAX of int8 against cnn_act_ref.h, and what is refused; what these rows share with
 * cnn_each.c.
 */
#include <math.h>

#include "base/base.h"
#include "cnn_act.h"

/* ---- tensors ---------------------------------------------------------------------------------- */

size_t act_count(const struct act_shape *s)
{
	size_t count = 1;

	for (unsigned i = 0; i < s->n; i++)
		count *= (size_t)s->dim[i];
	return count;
}

const char *act_text(const struct act_shape *s, char text[80])
{
	size_t n = 0;

	text[0] = 0;
	for (unsigned i = 0; i < s->n; i++)
		n += (size_t)snprintf(text + n, 80 - n, "%s%d", i ? "x" : "", s->dim[i]);
	return text;
}

struct cnn_q act_random_q(struct checkcl *c)
{
	static const int ends[] = {-128, 127, 0};
	struct cnn_q q = {powf(10, checkcl_uniform(c, -3, 0)), cnn_random(c, -128, 127)};
	unsigned pick = checkcl_random(c) % 6;

	if (pick < WEIR_ARRAY_SIZE(ends))
		q.zero = ends[pick];
	return q;
}

int8_t *act_random_values(struct checkcl *c, size_t count)
{
	int8_t *v = malloc(count);

	if (!v)
		abort();
	cnn_random_bytes(c, v, count);
	if (checkcl_random(c) % 5 == 0)
		memset(v, checkcl_random(c) % 2 ? 127 : -128, count);
	return v;
}

int act_tensor(struct cnn_net *net, const struct act_shape *s, struct cnn_q q, const void *data)
{
	int t = cnn_net_tensor(net, WEIR_TFLITE_I8, s->n, s->dim, data);

	cnn_net_quantize(net, t, q.scale, q.zero);
	return t;
}

void act_make(struct act_net *s, enum weir_tflite_code code, const struct act_shape *in, const struct cnn_q *in_q,
	const struct act_shape *out, const struct cnn_q *out_q)
{
	cnn_net_start(&s->net);
	s->in = in_q ? act_tensor(&s->net, in, *in_q, NULL)
		     : cnn_net_tensor(&s->net, WEIR_TFLITE_F32, in->n, in->dim, NULL);
	s->out = out_q ? act_tensor(&s->net, out, *out_q, NULL)
		       : cnn_net_tensor(&s->net, WEIR_TFLITE_F32, out->n, out->dim, NULL);
	s->op = cnn_net_op(&s->net, code, 1, &s->in, 1, &s->out);
	cnn_net_ends(&s->net, 1, &s->in, 1, &s->out);
}

void act_check(struct checkcl *c, struct act_net *s, const char *params, const void *in, const void *want,
	float rel)
{
	cnn_net_check(c, params, &s->net, &in, &want, rel);
	cnn_net_time(c, params, &s->net, 1, (double)s->net.tensors[s->in].count);
	cnn_net_done(&s->net);
}

/* ---- pools ------------------------------------------------------------------------------------ */

struct pool_shape {
	struct act_shape in;
	int filter_h, filter_w, stride_h, stride_w, padding, activation;
};

static const struct pool_shape pools[] = {
	{ACT_SHAPE(1, 8, 8, 16), 2, 2, 2, 2, WEIR_TFLITE_VALID, WEIR_TFLITE_NONE},
	{ACT_SHAPE(2, 7, 9, 40), 3, 3, 1, 1, WEIR_TFLITE_SAME, WEIR_TFLITE_ACT_RELU},
	{ACT_SHAPE(1, 7, 9, 24), 3, 2, 2, 3, WEIR_TFLITE_SAME, WEIR_TFLITE_ACT_RELU6},
	{ACT_SHAPE(1, 5, 5, 160), 5, 5, 5, 5, WEIR_TFLITE_VALID, WEIR_TFLITE_NONE},
	{ACT_SHAPE(3, 11, 6, 3), 4, 5, 2, 1, WEIR_TFLITE_SAME, WEIR_TFLITE_ACT_RELU_N1_TO_1},
	{ACT_SHAPE(1, 40, 40, 48), 3, 3, 2, 2, WEIR_TFLITE_SAME, WEIR_TFLITE_NONE},
	{ACT_SHAPE(1, 1, 33, 17), 7, 7, 1, 2, WEIR_TFLITE_SAME, WEIR_TFLITE_NONE},
	{ACT_SHAPE(1, 30, 4, 129), 17, 3, 4, 1, WEIR_TFLITE_VALID, WEIR_TFLITE_NONE},
};

static int windows(int in, int filter, int stride, int padding, int *pad)
{
	int out = padding == WEIR_TFLITE_SAME ? (in + stride - 1) / stride : (in - filter) / stride + 1;

	*pad = WEIR_MAX(0, (out - 1) * stride + filter - in) / 2;
	return out;
}

static int pool_value(const struct pool_shape *p, const int8_t *picture, int y, int x, int ch, bool average)
{
	const int32_t *dim = p->in.dim;
	int best = -128, count = 0;
	int64_t sum = 0;

	for (int i = WEIR_MAX(y, 0); i < WEIR_MIN(y + p->filter_h, dim[1]); i++) {
		for (int j = WEIR_MAX(x, 0); j < WEIR_MIN(x + p->filter_w, dim[2]); j++) {
			int v = picture[(i * dim[2] + j) * dim[3] + ch];

			sum += v;
			best = WEIR_MAX(best, v);
			count++;
		}
	}
	return average ? ref_average(sum, count) : best;
}

static void check_pool(struct checkcl *c, const struct pool_shape *p, enum weir_tflite_code code)
{
	const int32_t *dim = p->in.dim;
	int top, left, lo, hi, h = windows(dim[1], p->filter_h, p->stride_h, p->padding, &top);
	int w = windows(dim[2], p->filter_w, p->stride_w, p->padding, &left);
	struct act_shape out = ACT_SHAPE(dim[0], h, w, dim[3]);
	int8_t *in = act_random_values(c, act_count(&p->in)), *want = malloc(act_count(&out)), *next = want;
	struct cnn_q q = act_random_q(c);
	char params[256], text[80];
	struct act_net s;

	if (!want)
		abort();
	ref_limits(p->activation, q, &lo, &hi);
	for (int row = 0; row < dim[0] * h; row++) {
		const int8_t *picture = in + row / h * dim[1] * dim[2] * dim[3];

		for (int i = 0; i < w * dim[3]; i++) {
			int v = pool_value(p, picture, row % h * p->stride_h - top,
				i / dim[3] * p->stride_w - left, i % dim[3], code == WEIR_TFLITE_AVERAGE_POOL_2D);

			*next++ = (int8_t)WEIR_MIN(WEIR_MAX(v, lo), hi);
		}
	}
	act_make(&s, code, &p->in, &q, &out, &q);
	s.op->filter_h = p->filter_h;
	s.op->filter_w = p->filter_w;
	s.op->stride_h = p->stride_h;
	s.op->stride_w = p->stride_w;
	s.op->padding = p->padding;
	s.op->activation = p->activation;
	snprintf(params, sizeof(params), "%s %s %dx%d", weir_tflite_code_name(code), act_text(&p->in, text), p->filter_h,
		p->filter_w);
	act_check(c, &s, params, in, want, 0);
	free(in);
	free(want);
}

static void run_pools(struct checkcl *c, enum weir_tflite_code code)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(pools); i += c->quick ? 2 : 1)
		check_pool(c, &pools[i], code);
}

static void run_average(struct checkcl *c)
{
	run_pools(c, WEIR_TFLITE_AVERAGE_POOL_2D);
}

static void run_max(struct checkcl *c)
{
	run_pools(c, WEIR_TFLITE_MAX_POOL_2D);
}

/* ---- MEAN and SOFTMAX ------------------------------------------------------------------------- */

static const struct mean_shape {
	struct act_shape in, axes;
	bool keep, same_scale;
} means[] = {
	{ACT_SHAPE(1, 7, 7, 160), ACT_SHAPE(1, 2), true, true},
	{ACT_SHAPE(2, 7, 5, 24), ACT_SHAPE(2, 1), false, false},
	{ACT_SHAPE(3, 40, 48), ACT_SHAPE(-1), true, false},
	{ACT_SHAPE(2, 3, 4, 5), ACT_SHAPE(0, 2, 0, -2), false, false},
	{ACT_SHAPE(2, 3, 4, 5, 6, 7), ACT_SHAPE(1, 3, 5), true, false},
	{ACT_SHAPE(2, 3, 4, 5, 6, 7), ACT_SHAPE(0, 2, 4), false, true},
	{ACT_SHAPE(100), ACT_SHAPE(0), false, false},
	{ACT_SHAPE(4, 33), ACT_SHAPE(0), true, true},
	{ACT_SHAPE(1, 1, 1, 64), ACT_SHAPE(1, 2), false, false},
	{ACT_SHAPE(1, 64, 65, 17), ACT_SHAPE(1, 2), false, false},
};

static bool is_axis(const struct mean_shape *m, unsigned d)
{
	for (unsigned i = 0; i < m->axes.n; i++) {
		if ((m->axes.dim[i] + (int32_t)m->in.n) % (int32_t)m->in.n == (int32_t)d)
			return true;
	}
	return false;
}

/* Which value of the output, with the reduced dims kept as 1, value i of the input goes into. */
static size_t mean_at(const struct mean_shape *m, size_t i)
{
	size_t at = 0, stride = 1;

	for (unsigned d = m->in.n; d-- > 0;) {
		size_t size = (size_t)m->in.dim[d];

		if (!is_axis(m, d)) {
			at += i % size * stride;
			stride *= size;
		}
		i /= size;
	}
	return at;
}

static void mean_reference(const struct mean_shape *m, const int8_t *in, struct cnn_q qi, struct cnn_q qo, size_t n_out,
	int8_t *want)
{
	int64_t *sum = calloc(n_out, sizeof(*sum));
	size_t n = act_count(&m->in);

	if (!sum)
		abort();
	for (size_t i = 0; i < n; i++)
		sum[mean_at(m, i)] += in[i];
	for (size_t i = 0; i < n_out; i++)
		want[i] = (int8_t)ref_mean(sum[i], (int64_t)(n / n_out), qi, qo);
	free(sum);
}

static void check_mean(struct checkcl *c, const struct mean_shape *m)
{
	struct act_shape out = {0};
	struct cnn_q qi = act_random_q(c), qo = m->same_scale ? qi : act_random_q(c);
	int8_t *in = act_random_values(c, act_count(&m->in)), *want;
	char params[256], text[80], axes[80];
	int32_t inputs[2];
	struct act_net s;

	for (unsigned d = 0; d < m->in.n; d++) {
		if (!is_axis(m, d))
			out.dim[out.n++] = m->in.dim[d];
		else if (m->keep)
			out.dim[out.n++] = 1;
	}
	if (!m->same_scale)
		qo.scale = qi.scale * powf(10, checkcl_uniform(c, -1, 1));
	want = malloc(act_count(&out));
	if (!want)
		abort();
	mean_reference(m, in, qi, qo, act_count(&out), want);
	act_make(&s, WEIR_TFLITE_MEAN, &m->in, &qi, &out, &qo);
	inputs[0] = s.in;
	inputs[1] = cnn_net_tensor(&s.net, WEIR_TFLITE_I32, CNN_DIMS((int32_t)m->axes.n), m->axes.dim);
	s.net.file.n_ops = 0;
	s.op = cnn_net_op(&s.net, WEIR_TFLITE_MEAN, 2, inputs, 1, &s.out);
	s.op->keep_dims = m->keep;
	snprintf(params, sizeof(params), "MEAN %s over %s", act_text(&m->in, text), act_text(&m->axes, axes));
	act_check(c, &s, params, in, want, 0);
	free(in);
	free(want);
}

static void run_mean(struct checkcl *c)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(means); i += c->quick ? 2 : 1)
		check_mean(c, &means[i]);
}

static void check_softmax(struct checkcl *c, const struct act_shape *shape, float scale, float beta, int spread)
{
	struct cnn_q qi = {scale, cnn_random(c, -128, 127)}, qo = {1.0f / 256, -128};
	size_t n = act_count(shape), depth = (size_t)shape->dim[shape->n - 1];
	int8_t *in = malloc(n), *want = malloc(n);
	char params[256], text[80];
	struct act_net s;

	if (!in || !want)
		abort();
	for (size_t i = 0; i < n; i++)
		in[i] = (int8_t)cnn_random(c, -spread, spread - 1);
	for (size_t i = 0; i < n; i += depth)
		ref_softmax(in + i, want + i, (int)depth, beta, scale);
	act_make(&s, WEIR_TFLITE_SOFTMAX, shape, &qi, shape, &qo);
	s.op->beta = beta;
	snprintf(params, sizeof(params), "SOFTMAX %s scale %g beta %g spread %d", act_text(shape, text), (double)scale,
		(double)beta, spread);
	act_check(c, &s, params, in, want, 0);
	free(in);
	free(want);
}

static void run_softmax(struct checkcl *c)
{
	static const struct act_shape shapes[] = {ACT_SHAPE(1, 1000), ACT_SHAPE(9, 10), ACT_SHAPE(1, 5, 6, 2), ACT_SHAPE(257),
		ACT_SHAPE(3, 1)};
	static const float scales[] = {0.1f, 1e-3f, 1.7f, 1e-7f, 100};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(shapes); i += c->quick ? 2 : 1) {
		for (size_t j = 0; j < WEIR_ARRAY_SIZE(scales); j++)
			check_softmax(c, &shapes[i], scales[j], j % 2 ? 1 : 0.7f, j % 3 ? 128 : 20);
	}
	/* One value in all places: sums as large as they get, up to where nothing is left of an output. */
	check_softmax(c, &(struct act_shape)ACT_SHAPE(1, 5000), 1e-7f, 1, 1);
}

/* ---- what is refused -------------------------------------------------------------------------- */

/* One op with one input. */
static void check_refused(struct checkcl *c, enum weir_tflite_code code, struct act_shape in, struct cnn_q qi,
	struct act_shape out, struct cnn_q qo, const char *what)
{
	struct act_net s;

	act_make(&s, code, &in, &qi, &out, &qo);
	cnn_net_refused(c, what, &s.net, what);
	cnn_net_done(&s.net);
}

static void refuse_pools(struct checkcl *c)
{
	static const struct act_shape in = ACT_SHAPE(1, 4, 4, 2), out = ACT_SHAPE(1, 2, 2, 2);
	static const struct {
		int filter, stride, padding, activation;
		const char *what;
	} bad[] = {
		{0, 1, 0, 0, "a window of 0"},
		{2, 0, 0, 0, "a stride of 0"},
		{5, 1, WEIR_TFLITE_VALID, 0, "does not fit"},
		{2, 2, 7, 0, "no padding 7"},
		{2, 1, 0, 0, "the operator makes"},
		{INT32_MAX, INT32_MAX, 0, 0, "too large"},
		{2, 2, 0, WEIR_TFLITE_ACT_TANH, "activation"},
	};
	struct cnn_q q = {1, 0};
	struct act_net s;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(bad); i++) {
		act_make(&s, WEIR_TFLITE_AVERAGE_POOL_2D, &in, &q, &out, &q);
		s.op->filter_h = s.op->filter_w = bad[i].filter;
		s.op->stride_h = s.op->stride_w = bad[i].stride;
		s.op->padding = bad[i].padding;
		s.op->activation = bad[i].activation;
		cnn_net_refused(c, bad[i].what, &s.net, bad[i].what);
		cnn_net_done(&s.net);
	}
}

static void refuse_pair(struct checkcl *c, struct act_shape b, float out_scale, const char *what)
{
	static const struct act_shape a = ACT_SHAPE(1, 4, 4, 2);
	struct cnn_net net;
	int32_t inputs[2];
	int out;

	cnn_net_start(&net);
	inputs[0] = act_tensor(&net, &a, (struct cnn_q){1, 0}, NULL);
	inputs[1] = act_tensor(&net, &b, (struct cnn_q){1, 0}, NULL);
	out = act_tensor(&net, &a, (struct cnn_q){out_scale, 0}, NULL);
	cnn_net_op(&net, WEIR_TFLITE_ADD, 2, inputs, 1, &out);
	cnn_net_ends(&net, 2, inputs, 1, &out);
	cnn_net_refused(c, what, &net, what);
	cnn_net_done(&net);
}

static void run_refused(struct checkcl *c)
{
	static const struct act_shape in = ACT_SHAPE(1, 8), other = ACT_SHAPE(1, 9);
	struct cnn_q q = {1, 0}, soft = {1.0f / 256, -128};

	refuse_pools(c);
	refuse_pair(c, (struct act_shape)ACT_SHAPE(4, 3), 1, "broadcast");
	refuse_pair(c, (struct act_shape)ACT_SHAPE(5, 1, 4, 4, 2), 1, "the operator makes");
	refuse_pair(c, in, 1e-7f, "broadcast");
	refuse_pair(c, (struct act_shape)ACT_SHAPE(1), 1e-7f, "too small");
	check_refused(c, WEIR_TFLITE_RELU, in, q, other, q, "the operator makes");
	check_refused(c, WEIR_TFLITE_RELU, in, q, in, (struct cnn_q){1e-12f, 0}, "fixed-point");
	check_refused(c, WEIR_TFLITE_RELU6, in, q, in, (struct cnn_q){1e-9f, 0}, "too small");
	check_refused(c, WEIR_TFLITE_LOGISTIC, in, q, in, q, "1/256");
	check_refused(c, WEIR_TFLITE_HARD_SWISH, in, q, in, (struct cnn_q){1e-3f, 0}, "1/128");
	check_refused(c, WEIR_TFLITE_QUANTIZE, in, (struct cnn_q){1e30f, 0}, in, q, "fixed-point");
	check_refused(c, WEIR_TFLITE_SOFTMAX, in, q, in, q, "1/256");
	check_refused(c, WEIR_TFLITE_SOFTMAX, in, (struct cnn_q){1e-9f, 0}, in, soft, "too small");
	check_refused(c, WEIR_TFLITE_DEQUANTIZE, in, q, in, q, "must be FLOAT32");
	check_refused(c, WEIR_TFLITE_MEAN, in, q, in, q, "1 inputs");
}

const struct checkcl_row checkcl_cnn_act[] = {
	{"cnn_average", run_average},
	{"cnn_max", run_max},
	{"cnn_mean", run_mean},
	{"cnn_softmax", run_softmax},
	{"cnn_act_refused", run_refused},
	{NULL, NULL},
};
