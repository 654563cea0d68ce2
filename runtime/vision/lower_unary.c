/* SPDX-License-Identifier: MIT */
/*
 * Operators on one value: LOGISTIC, HARD_SWISH, RELU, RELU6, QUANTIZE and DEQUANTIZE. A function of an
 * int8 is a table of 256, made here with the reference's own steps.
 */
#include <math.h>

#include "kernels/cnn_unary.clh"
#include "vision/lower_each.h"

/* The operator's tensors and their quantization. */
struct unary {
	int in, out;
	float in_scale, out_scale;
	int in_zero, out_zero;
};

static int check_shapes(struct weir_lower *l, unsigned op, struct unary *u)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	int err = weir_lower_arity(l, op, 1, 1, 1);

	if (err)
		return err;
	u->in = o->inputs[0];
	u->out = o->outputs[0];
	in = weir_lower_tensor(l, u->in);
	return weir_lower_shape(l, op, u->out, in->n_dims, in->dim);
}

/* Both tensors are of one type: int8 or float. */
static int check_unary(struct weir_lower *l, unsigned op, bool want_f32, struct unary *u)
{
	bool f32;
	int err = check_shapes(l, op, u);

	if (!err)
		err = weir_lower_same_type(l, op, (const int[]){u->in, u->out}, 2, &f32);
	if (err)
		return err;
	if (f32 != want_f32)
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, u->in, "only %s is supported here",
			want_f32 ? "FLOAT32" : "INT8");
	if (!f32) {
		u->in_scale = weir_tflite_scale(weir_lower_tensor(l, u->in), 0);
		u->out_scale = weir_tflite_scale(weir_lower_tensor(l, u->out), 0);
		u->in_zero = weir_tflite_zero(weir_lower_tensor(l, u->in), 0);
		u->out_zero = weir_tflite_zero(weir_lower_tensor(l, u->out), 0);
	}
	return 0;
}

static int wrap(int64_t x)
{
	return (int32_t)(uint32_t)(uint64_t)x;
}

static int clamp(int x, int lo, int hi)
{
	return WEIR_MAX(lo, WEIR_MIN(x, hi));
}

/* ---- tables ----------------------------------------------------------------------------------- */

/* A node for the table; value(params, x) is the output for x in [-128, 127]. */
static int add_table(struct weir_lower *l, unsigned op, const struct unary *u, const char *label,
	int (*value)(const void *params, int x), const void *params)
{
	struct weir_cnn_node *node = weir_lower_node(l, op, label, CNN_TABLE_I8, u->in, -1, u->out);
	int8_t *table;

	if (!node)
		return -ENOMEM;
	table = weir_lower_consts(l, node, CNN_TABLE_SIZE);
	if (!table)
		return -ENOMEM;
	for (int x = -128; x < 128; x++)
		table[(uint8_t)x] = (int8_t)clamp(value(params, x), -128, 127);
	weir_lower_each(node);
	node->same = true;
	return 0;
}

/* The fixed-point multiplier that takes differences of the input's values to the output's. */
struct rescale {
	int32_t multiplier, exponent;
	int in_zero, out_zero;
	int lo, hi;
};

static int rescaled(const void *params, int x)
{
	const struct rescale *r = params;
	int64_t y = weir_fixed_rescale(x - r->in_zero, r->multiplier, r->exponent);

	return clamp(wrap(y + r->out_zero), r->lo, r->hi);
}

static int add_rescale(struct weir_lower *l, unsigned op, const struct unary *u, const char *label, double factor,
	int lo, int hi)
{
	struct rescale r = {.in_zero = u->in_zero, .out_zero = u->out_zero, .lo = lo, .hi = hi};

	if (!weir_fixed_factor(factor, &r.multiplier, &r.exponent))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, u->out,
			"the input's scale is %g times its scale, more than fixed-point arithmetic takes", factor);
	return add_table(l, op, u, label, rescaled, &r);
}

/*
 * RELU and RELU6: rescaled, then limited to [0, top] in the output's steps. The factor is a float in
 * TFLite.
 */
static int relu(struct weir_lower *l, unsigned op, const char *label, float top)
{
	struct unary u;
	int hi = 127, err = check_unary(l, op, false, &u);

	if (err)
		return err;
	if (isfinite(top)) {
		float steps = roundf(top / u.out_scale);

		if (!(steps < 0x1p31f - 256))
			return weir_lower_fail_tensor(l, op, EOPNOTSUPP, u.out, "its scale of %g is too small for %g",
				(double)u.out_scale, (double)top);
		hi = WEIR_MIN(127, u.out_zero + (int)steps);
	}
	return add_rescale(l, op, &u, label, (double)(u.in_scale / u.out_scale), u.out_zero, hi);
}

int weir_lower_relu(struct weir_lower *l, unsigned op)
{
	return relu(l, op, "relu", INFINITY);
}

int weir_lower_relu6(struct weir_lower *l, unsigned op)
{
	return relu(l, op, "relu6", 6);
}

/* TFLite fills its own table with floats, rounded in this order. */
static int logistic(const void *params, int x)
{
	const struct unary *u = params;
	float value = u->in_scale * (float)(x - u->in_zero);
	float y = roundf(1.0f / (1.0f + expf(-value)) * (1.0f / u->out_scale));

	return (int)(y + (float)u->out_zero);
}

int weir_lower_logistic(struct weir_lower *l, unsigned op)
{
	struct unary u;
	int err = check_unary(l, op, false, &u);

	if (err)
		return err;
	if (u.out_scale != 1.0f / 256)
		return weir_lower_fail_tensor(l, op, EINVAL, u.out, "its scale is %g, not 1/256", (double)u.out_scale);
	return add_table(l, op, &u, "logistic", logistic, &u);
}

/* ---- HARD_SWISH ------------------------------------------------------------------------------- */

/* x * relu6(x + 3) / 6 in 16 bits, as TFLite's reference does it. */
struct hard_swish {
	int in_zero, out_zero;
	int out_multiplier, out_exponent;	/* to the output's steps, of 7 more bits */
	int relu_multiplier, relu_exponent; /* to steps of 3 / 2^15 */
};

static int saturate16(int64_t x)
{
	return (int)WEIR_MAX(INT16_MIN, WEIR_MIN(x, INT16_MAX));
}

/* The high half of a doubled product, rounded half up; one of them is not -2^15. */
static int high16(int a, int b)
{
	return (a * b + (1 << 14)) >> 15;
}

/*
 * RoundingDivideByPOT as gemmlowp has it for 16 bits: by 2^16 and more its mask is all ones, which makes 1
 * of what is not negative, and -1 of what is.
 */
static int shift16(int x, int exponent)
{
	if (exponent > 15)
		return x < 0 ? -1 : 1;
	return weir_fixed_shift(x, exponent);
}

static int to_multiplier16(int32_t multiplier)
{
	return (int)WEIR_MIN(((int64_t)multiplier + (1 << 15)) >> 16, INT16_MAX);
}

/*
 * x * 2^exponent * multiplier / 2^15, saturating; the last bit of a shift to the left comes after the
 * multiplication.
 */
static int relu_part(const struct hard_swish *h, int x)
{
	int exponent = h->relu_exponent;

	if (exponent > 0)
		x = saturate16((int64_t)x * (INT64_C(1) << (exponent - 1)));
	x = high16(x, h->relu_multiplier);
	if (exponent > 0)
		x = saturate16((int64_t)x * 2);
	return exponent < 0 ? shift16(x, -exponent) : x;
}

static int hard_swish(const void *params, int x)
{
	const struct hard_swish *h = params;
	int fine = (x - h->in_zero) * 128;
	int gate = (relu_part(h, fine) + (1 << 15)) >> 1;
	int product = gate * high16(fine, h->out_multiplier) / (1 << 15);

	return shift16(product, -h->out_exponent) + h->out_zero;
}

static bool factor16(float factor, int *multiplier, int *exponent)
{
	int32_t wide, e;

	if (!weir_fixed_factor((double)factor, &wide, &e))
		return false;
	*multiplier = to_multiplier16(wide);
	*exponent = e;
	return true;
}

int weir_lower_hard_swish(struct weir_lower *l, unsigned op)
{
	struct hard_swish h;
	struct unary u;
	float fine;
	int err = check_unary(l, op, false, &u);

	if (err)
		return err;
	h.in_zero = u.in_zero;
	h.out_zero = u.out_zero;
	fine = 1.0f / 128.0f * u.in_scale;
	if (!factor16(fine / u.out_scale, &h.out_multiplier, &h.out_exponent) || h.out_exponent > 0)
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, u.out,
			"its scale of %g is less than 1/128 of the input's, %g", (double)u.out_scale,
			(double)u.in_scale);
	if (!factor16(fine / (3.0f / 32768.0f), &h.relu_multiplier, &h.relu_exponent))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, u.in, "its scale of %g is too large",
			(double)u.in_scale);
	return add_table(l, op, &u, "hard_swish", hard_swish, &h);
}

/* ---- QUANTIZE and DEQUANTIZE ------------------------------------------------------------------ */

static int32_t float_bits(float f)
{
	int32_t bits;

	memcpy(&bits, &f, sizeof(bits));
	return bits;
}

/* A node between int8 and float; q is the int8 tensor. */
static int add_conversion(struct weir_lower *l, unsigned op, const struct unary *u, const char *label,
	enum cnn_kind kind, int q)
{
	struct weir_cnn_node *node = weir_lower_node(l, op, label, kind, u->in, -1, u->out);

	if (!node)
		return -ENOMEM;
	node->op.p[CNN_QUANTIZE_SCALE] = float_bits(weir_tflite_scale(weir_lower_tensor(l, q), 0));
	node->op.p[CNN_QUANTIZE_ZERO] = weir_tflite_zero(weir_lower_tensor(l, q), 0);
	weir_lower_each(node);
	return 0;
}

int weir_lower_quantize(struct weir_lower *l, unsigned op)
{
	struct unary u;
	bool f32;
	int err = check_shapes(l, op, &u);

	if (!err)
		err = weir_lower_activation(l, op, u.out, &f32);
	if (err)
		return err;
	if (f32)
		return weir_lower_fail_tensor(l, op, EINVAL, u.out, "the output of QUANTIZE cannot be FLOAT32");
	err = weir_lower_activation(l, op, u.in, &f32);
	if (err)
		return err;
	if (f32)
		return add_conversion(l, op, &u, "quantize", CNN_QUANTIZE, u.out);
	err = check_unary(l, op, false, &u);
	if (err)
		return err;
	return add_rescale(l, op, &u, "requantize", (double)u.in_scale / (double)u.out_scale, -128, 127);
}

int weir_lower_dequantize(struct weir_lower *l, unsigned op)
{
	struct unary u;
	bool f32;
	int err = check_shapes(l, op, &u);

	if (!err)
		err = weir_lower_activation(l, op, u.in, &f32);
	if (err)
		return err;
	if (f32)
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, u.in, "only INT8 can be dequantized");
	err = weir_lower_activation(l, op, u.out, &f32);
	if (err)
		return err;
	if (!f32)
		return weir_lower_fail_tensor(l, op, EINVAL, u.out, "the output of DEQUANTIZE must be FLOAT32");
	return add_conversion(l, op, &u, "dequantize", CNN_DEQUANTIZE, u.in);
}

/* ---- floats ----------------------------------------------------------------------------------- */

static enum cnn_unary_function function_of(int code)
{
	switch (code) {
	case WEIR_TFLITE_RELU:
		return CNN_UNARY_RELU;
	case WEIR_TFLITE_RELU6:
		return CNN_UNARY_RELU6;
	case WEIR_TFLITE_LOGISTIC:
		return CNN_UNARY_LOGISTIC;
	default:
		return CNN_UNARY_HARD_SWISH;
	}
}

int weir_lower_unary_f32(struct weir_lower *l, unsigned op)
{
	static const char *const labels[] = {
		[CNN_UNARY_RELU] = "relu",
		[CNN_UNARY_RELU6] = "relu6",
		[CNN_UNARY_LOGISTIC] = "logistic",
		[CNN_UNARY_HARD_SWISH] = "hard_swish",
	};
	enum cnn_unary_function function = function_of(weir_lower_file(l)->ops[op].code);
	struct weir_cnn_node *node;
	struct unary u;
	int err = check_unary(l, op, true, &u);

	if (err)
		return err;
	node = weir_lower_node(l, op, labels[function], CNN_UNARY_F32, u.in, -1, u.out);
	if (!node)
		return -ENOMEM;
	node->op.p[CNN_UNARY_FUNCTION] = function;
	weir_lower_each(node);
	node->same = true;
	return 0;
}
