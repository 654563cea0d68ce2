/* SPDX-License-Identifier: MIT */
/* MEAN over any axes and SOFTMAX of int8. */
#include <math.h>

#include "kernels/cnn_reduce.clh"
#include "vision/lower.h"

/* ---- MEAN ------------------------------------------------------------------------------------- */

#define MEAN_DIMS 3 /* kept or reduced ones before the last, of 6 that take turns */
#define MEAN_PARTS 8

/* The input's dims with neighbours of a kind put together, first to last, and none of size 1. */
struct dims {
	int n;
	int size[WEIR_TFLITE_DIMS], stride[WEIR_TFLITE_DIMS];
	bool reduced[WEIR_TFLITE_DIMS];
	int64_t count; /* of values that go into one */
};

static void merge_dims(const struct weir_tflite_tensor *in, unsigned axes, struct dims *d)
{
	int stride = 1;

	*d = (struct dims){.count = 1};
	for (unsigned i = 0; i < in->n_dims; i++) {
		bool reduced = axes >> i & 1;

		if (reduced)
			d->count *= in->dim[i];
		if (in->dim[i] == 1)
			continue;
		if (d->n && d->reduced[d->n - 1] == reduced) {
			d->size[d->n - 1] *= in->dim[i];
			continue;
		}
		d->size[d->n] = in->dim[i];
		d->reduced[d->n++] = reduced;
	}
	for (int i = d->n - 1; i >= 0; i--) {
		d->stride[i] = stride;
		stride *= d->size[i];
	}
}

/* The axes as bits: a constant of int32, negative ones count from the end, and repeated ones once. */
static int read_axes(struct weir_lower *l, unsigned op, int tensor, unsigned n_dims, unsigned *axes)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, tensor);

	*axes = 0;
	if (t->type != WEIR_TFLITE_I32)
		return weir_lower_fail_tensor(l, op, EINVAL, tensor, "axes must be INT32");
	if (!t->data)
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, tensor, "only constant axes are supported");
	for (size_t i = 0; i < t->count; i++) {
		int axis = weir_tflite_int(t, i);

		if (axis < -(int)n_dims || axis >= (int)n_dims)
			return weir_lower_fail_tensor(l, op, EINVAL, tensor, "there is no axis %d of %u", axis, n_dims);
		*axes |= 1u << (axis < 0 ? axis + (int)n_dims : axis);
	}
	return 0;
}

static int check_output(struct weir_lower *l, unsigned op, const struct weir_tflite_tensor *in, unsigned axes)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int32_t dim[WEIR_TFLITE_DIMS];
	unsigned n = 0;

	for (unsigned i = 0; i < in->n_dims; i++) {
		if (!(axes >> i & 1))
			dim[n++] = in->dim[i];
		else if (o->keep_dims)
			dim[n++] = 1;
	}
	return weir_lower_shape(l, op, o->outputs[0], n, dim);
}

static int check_mean(struct weir_lower *l, unsigned op, struct dims *d)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	unsigned axes;
	bool f32;
	int err = weir_lower_arity(l, op, 2, 2, 1);

	if (!err)
		err = weir_lower_same_type(l, op, (const int[]){o->inputs[0], o->outputs[0]}, 2, &f32);
	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	err = read_axes(l, op, o->inputs[1], in->n_dims, &axes);
	if (!err)
		err = check_output(l, op, in, axes);
	merge_dims(in, axes, d);
	return err;
}

/*
 * The factor between the scales, divided by the count with as many bits more before as the count has (and
 * as the exponent has room for): QuantizedMeanOrSum of TFLite's reference, for all axes and shapes alike.
 */
static int set_factor(struct weir_lower *l, unsigned op, int64_t count, struct weir_cnn_node *node)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in = weir_lower_tensor(l, o->inputs[0]);
	const struct weir_tflite_tensor *out = weir_lower_tensor(l, o->outputs[0]);
	double factor = (double)weir_tflite_scale(in, 0) / (double)weir_tflite_scale(out, 0);
	int32_t multiplier, exponent;
	int shift = 63 - __builtin_clzll((unsigned long long)count);

	if (!weir_fixed_factor(factor, &multiplier, &exponent))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, o->outputs[0],
			"the input's scale is %g times its scale, more than fixed-point arithmetic takes", factor);
	shift = WEIR_MIN(shift, WEIR_MIN(32, 31 + exponent));
	node->op.p[CNN_MEAN_MULTIPLIER] = (int)(((int64_t)multiplier << shift) / count);
	node->op.p[CNN_MEAN_EXPONENT] = exponent - shift;
	node->op.p[CNN_MEAN_ZERO_SUM] = (int)(uint32_t)(weir_tflite_zero(in, 0) * count);
	node->op.p[CNN_MEAN_ZERO] = weir_tflite_zero(out, 0);
	return 0;
}

static void set_dims(const struct dims *d, struct weir_cnn_node *node)
{
	int *p = node->op.p, last = d->n - 1, rows = 1;
	int at[2] = {MEAN_DIMS - 1, MEAN_DIMS - 1};

	p[CNN_MEAN_KEPT] = p[CNN_MEAN_REDUCED] = 1;
	for (int i = 0; i < MEAN_DIMS; i++)
		p[CNN_MEAN_ROW_SIZE + i] = p[CNN_MEAN_SIZE + i] = 1;
	if (last >= 0)
		p[d->reduced[last] ? CNN_MEAN_REDUCED : CNN_MEAN_KEPT] = d->size[last];
	for (int i = last - 1; i >= 0; i--) {
		int k = at[d->reduced[i]]--;

		p[(d->reduced[i] ? CNN_MEAN_SIZE : CNN_MEAN_ROW_SIZE) + k] = d->size[i];
		p[(d->reduced[i] ? CNN_MEAN_STRIDE : CNN_MEAN_ROW_STRIDE) + k] = d->stride[i];
		rows *= d->reduced[i] ? 1 : d->size[i];
	}
	node->rows = rows;
	node->op.parts = WEIR_MAX(1, WEIR_MIN(p[CNN_MEAN_KEPT] / 16, MEAN_PARTS));
	node->macs = (uint64_t)rows * (unsigned)p[CNN_MEAN_KEPT] * (uint64_t)d->count;
}

int weir_lower_mean(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct weir_cnn_node *node;
	struct dims d = {0};
	int err = check_mean(l, op, &d);

	if (err)
		return err;
	node = weir_lower_node(l, op, "mean", CNN_MEAN_I8, o->inputs[0], -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	set_dims(&d, node);
	return set_factor(l, op, d.count, node);
}

/* ---- SOFTMAX ---------------------------------------------------------------------------------- */

#define DIFF_BITS 5 /* before the point of exp's argument */

static int saturating_left(int x, int shift)
{
	int64_t y = (int64_t)x * (INT64_C(1) << shift);

	return (int)WEIR_MAX(INT32_MIN, WEIR_MIN(y, INT32_MAX));
}

/*
 * exp(x) for x in [-1/4, 0), 31 bits behind the point: four terms of Taylor's series at -1/8, as gemmlowp
 * has them.
 */
static int exp_quarter(int x)
{
	const int exp_eighth = 1895147668, third = 715827883; /* exp(-1/8), 1/3 */
	int y = x + (1 << 28), y2 = weir_fixed_high(y, y), y3 = weir_fixed_high(y2, y), y4 = weir_fixed_high(y2, y2);
	int rest = weir_fixed_high(weir_fixed_shift(y4, 2) + y3, third) + y2;

	return exp_eighth + weir_fixed_high(exp_eighth, y + weir_fixed_shift(rest, 1));
}

/*
 * exp(x) for x <= 0 with 26 bits behind the point; 31 behind the result's: gemmlowp's
 * exp_on_negative_values.
 */
static int exp_negative(int x)
{
	/* exp(-2^i) for i from -2 to 4 */
	static const int power[] = {1672461947, 1302514674, 790015084, 290630308, 39332535, 720401, 242};
	const int quarter = 1 << 24;
	int within = (x & (quarter - 1)) - quarter, y = exp_quarter(saturating_left(within, DIFF_BITS));
	int rest = within - x;

	for (int i = 0; i < 7; i++) {
		if (rest >> (24 + i) & 1)
			y = weir_fixed_high(y, power[i]);
	}
	return x ? y : INT32_MAX;
}

/*
 * exp of the differences from 0 to -255 times factor; 0 for those that exp's argument cannot hold, which
 * from 2^30 on are all but 0.
 */
static void fill_exps(double factor, int32_t *exps)
{
	int32_t multiplier, exponent;

	exps[0] = exp_negative(0);
	if (!weir_fixed_factor(factor, &multiplier, &exponent))
		return;
	for (int i = 1; i < 256 && i <= 31 * (INT64_C(1) << 26) >> exponent; i++)
		exps[i] = exp_negative(weir_fixed_rescale(-i, multiplier, exponent));
}

/* The output's scale and zero point are given; beta and the input's scale make exp's argument. */
static int check_softmax(struct weir_lower *l, unsigned op, double *factor)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in, *out;
	bool f32;
	int err = weir_lower_arity(l, op, 1, 1, 1);

	if (!err)
		err = weir_lower_same_type(l, op, (const int[]){o->inputs[0], o->outputs[0]}, 2, &f32);
	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	out = weir_lower_tensor(l, o->outputs[0]);
	if (!in->n_dims)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it has no dimension to go over");
	if (weir_tflite_zero(out, 0) != -128 || fabsf(weir_tflite_scale(out, 0) - 1.0f / 256) > 0.001f / 256)
		return weir_lower_fail_tensor(l, op, EINVAL, o->outputs[0], 
			"its scale is %g and its zero point %d, not 1/256 and -128",
			(double)weir_tflite_scale(out, 0), weir_tflite_zero(out, 0));
	*factor = (double)o->beta * (double)weir_tflite_scale(in, 0) * (1 << (31 - DIFF_BITS));
	if (!(*factor > 1))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, o->inputs[0],
			"a beta of %g times its scale of %g is too small", (double)o->beta,
			(double)weir_tflite_scale(in, 0));
	return weir_lower_shape(l, op, o->outputs[0], in->n_dims, in->dim);
}

int weir_lower_softmax(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	struct weir_cnn_node *node;
	int32_t *exps;
	double factor = 0;
	int err = check_softmax(l, op, &factor);

	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	node = weir_lower_node(l, op, "softmax", CNN_SOFTMAX_I8, o->inputs[0], -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	exps = weir_lower_consts(l, node, 256 * sizeof(*exps));
	if (!exps)
		return -ENOMEM;
	fill_exps(factor, exps);
	node->op.p[CNN_SOFTMAX_DEPTH] = in->dim[in->n_dims - 1];
	node->rows = (int)(in->count / (size_t)in->dim[in->n_dims - 1]);
	node->macs = 4 * in->count;
	return 0;
}
