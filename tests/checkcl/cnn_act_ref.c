/* SPDX-License-Identifier: MIT */
/*
 * References of int8 operators other than convolutions. Sources of the definitions: TFLite's reference kernels
 * (internal/reference) and gemmlowp's fixedpoint.h.
 */
#include "cnn_act_ref.h"

#include <math.h>
#include <stdbool.h>

#include "format/tflite.h"

static int64_t limit(int64_t x, int64_t lo, int64_t hi)
{
	return x < lo ? lo : x > hi ? hi : x;
}

static int to_int8(int64_t x)
{
	return (int)limit(x, INT8_MIN, INT8_MAX);
}

/* ---- fixed point ------------------------------------------------------------------------------ */

/* x / 2^bits to the next integer, halves up. */
static int64_t half_up(int64_t x, int bits)
{
	return (x + (INT64_C(1) << bits >> 1)) >> bits;
}

/* The same, halves away from zero. */
static int64_t half_away(int64_t x, int bits)
{
	return x < 0 ? -half_up(-x, bits) : half_up(x, bits);
}

static int wrap32(int64_t x)
{
	return (int)(uint32_t)(uint64_t)x;
}

/* A factor of at least 0 as fraction / 2^31 * 2^exponent, the fraction 0 or from 2^30 on. */
struct factor {
	int64_t fraction;
	int exponent;
};

static struct factor factor_of(double x)
{
	struct factor f = {0, 0};

	if (x == 0)
		return f;
	while (x >= 1) {
		x /= 2;
		f.exponent++;
	}
	while (x < 0.5) {
		x *= 2;
		f.exponent--;
	}
	f.fraction = llround(x * 2147483648.0);
	if (f.fraction == INT64_C(1) << 31) {
		f.fraction /= 2;
		f.exponent++;
	}
	return f.exponent < -31 ? (struct factor){0, 0} : f;
}

static int rescale(int x, struct factor f)
{
	int64_t y = f.exponent > 0 ? wrap32((int64_t)x * (INT64_C(1) << f.exponent)) : x;

	y = half_up(y * f.fraction, 31);
	return (int)(f.exponent < 0 ? half_away(y, -f.exponent) : y);
}

/* ---- two values ------------------------------------------------------------------------------- */

int ref_add(int a, struct cnn_q qa, int b, struct cnn_q qb, int sign, struct cnn_q out, int lo, int hi)
{
	double step = 2 * fmax((double)qa.scale, (double)qb.scale);
	int x = rescale((a - qa.zero) * (1 << 20), factor_of((double)qa.scale / step));
	int y = rescale((b - qb.zero) * (1 << 20), factor_of((double)qb.scale / step));

	x = rescale(x + sign * y, factor_of(step / (1048576.0 * (double)out.scale)));
	return (int)limit(x + out.zero, lo, hi);
}

int ref_mul(int a, struct cnn_q qa, int b, struct cnn_q qb, struct cnn_q out, int lo, int hi)
{
	float factor = qa.scale * qb.scale / out.scale;
	int x = rescale((a - qa.zero) * (b - qb.zero), factor_of((double)factor));

	return (int)limit(wrap32((int64_t)x + out.zero), lo, hi);
}

void ref_limits(int activation, struct cnn_q out, int *lo, int *hi)
{
	bool cut = activation == WEIR_TFLITE_ACT_RELU6 || activation == WEIR_TFLITE_ACT_RELU_N1_TO_1;
	float top = activation == WEIR_TFLITE_ACT_RELU6 ? 6.0f : 1.0f;

	*lo = activation == WEIR_TFLITE_NONE ? INT8_MIN : to_int8(out.zero);
	*hi = INT8_MAX;
	if (activation == WEIR_TFLITE_ACT_RELU_N1_TO_1)
		*lo = to_int8(out.zero - llroundf(1.0f / out.scale));
	if (cut)
		*hi = to_int8(out.zero + llroundf(top / out.scale));
}

/* ---- one value -------------------------------------------------------------------------------- */

int ref_logistic(int x, struct cnn_q in, struct cnn_q out)
{
	float value = in.scale * (float)(x - in.zero), inverse = 1.0f / out.scale;
	float e = (float)exp(-(double)value);

	return to_int8((int64_t)roundf(1.0f / (1.0f + e) * inverse) + out.zero);
}

int ref_relu(int x, struct cnn_q in, struct cnn_q out, float top)
{
	float factor = in.scale / out.scale;
	int64_t y = wrap32((int64_t)rescale(x - in.zero, factor_of((double)factor)) + out.zero);
	int64_t hi = isinf(top) ? INT8_MAX : limit(out.zero + llroundf(top / out.scale), INT8_MIN, INT8_MAX);

	return (int)limit(y, out.zero, hi);
}

int ref_requantize(int x, struct cnn_q in, struct cnn_q out)
{
	int y = rescale(x - in.zero, factor_of((double)in.scale / (double)out.scale));

	return to_int8(wrap32((int64_t)y + out.zero));
}

int ref_quantize(float x, struct cnn_q out)
{
	float y = roundf(x / out.scale);

	/* What x86 makes of a float that no int32 can hold. */
	if (!(y >= -2147483648.0f && y < 2147483648.0f))
		return to_int8(wrap32((int64_t)INT32_MIN + out.zero));
	return to_int8(wrap32((int64_t)y + out.zero));
}

static int64_t to_int16(int64_t x)
{
	return limit(x, INT16_MIN, INT16_MAX);
}

/* HARD_SWISH calculates with 16 bits: factors have 15 bits and an exponent. */
static struct factor factor16(float x)
{
	struct factor f = factor_of((double)x);

	f.fraction = f.fraction >= INT32_MAX - (1 << 15) ? INT16_MAX : half_up(f.fraction, 16);
	return f;
}

/* Division by a power of two whose mask has to fit into 16 bits: it is cut off there. */
static int64_t half_away16(int64_t x, int bits)
{
	int16_t mask = (int16_t)(uint16_t)((UINT64_C(1) << bits) - 1), rest = (int16_t)((int16_t)x & mask);
	int limit16 = (mask >> 1) + (x < 0);

	return (x >> bits) + (rest > limit16);
}

int ref_hard_swish(int x, struct cnn_q in, struct cnn_q out)
{
	float fine = 1.0f / 128.0f * in.scale;
	struct factor to_out = factor16(fine / out.scale), to_gate = factor16(fine / (3.0f / 32768.0f));
	int64_t value = (x - in.zero) * 128, gate = value, y;

	if (to_gate.exponent > 0)
		gate = to_int16(gate * (INT64_C(1) << (to_gate.exponent - 1)));
	gate = half_up(gate * to_gate.fraction, 15);
	if (to_gate.exponent > 0)
		gate = to_int16(2 * gate);
	if (to_gate.exponent < 0)
		gate = half_away16(gate, -to_gate.exponent);
	gate = (gate + 32768) >> 1;
	y = gate * half_up(value * to_out.fraction, 15) / 32768;
	return to_int8(half_away16(y, -to_out.exponent) + out.zero);
}

float ref_unary_f32(int code, float x)
{
	float y = x + 3.0f;

	switch (code) {
	case WEIR_TFLITE_RELU:
		return x < 0 ? 0 : x;
	case WEIR_TFLITE_RELU6:
		return x > 6 ? 6 : x < 0 ? 0 : x;
	case WEIR_TFLITE_LOGISTIC:
		return (float)(x < -9 ? exp((double)x) : 1 / (1 + exp(-(double)x))); /* TFLite's cut */
	}
	y = y > 0 ? y : 0;
	return x * (y < 6 ? y : 6) / 6.0f;
}

/* ---- many values ------------------------------------------------------------------------------ */

int ref_average(int64_t sum, int count)
{
	return (int)((sum > 0 ? sum + count / 2 : sum - count / 2) / count);
}

int ref_mean(int64_t sum, int64_t count, struct cnn_q in, struct cnn_q out)
{
	struct factor f = factor_of((double)in.scale / (double)out.scale);
	int shift = 0;

	while (count >> (shift + 1))
		shift++;
	shift = (int)limit(shift, 0, limit(31 + f.exponent, 0, 32));
	f.fraction = f.fraction * (INT64_C(1) << shift) / count;
	f.exponent -= shift;
	return to_int8(wrap32((int64_t)rescale(wrap32(sum - in.zero * count), f) + out.zero));
}

static int64_t to_int32(int64_t x)
{
	return limit(x, INT32_MIN, INT32_MAX);
}

/* The product of two numbers of 31 bits behind the point, or of one and another kind, of that kind. */
static int64_t times(int64_t a, int64_t b)
{
	return half_up(a * b, 31);
}

/* exp(x) for x <= 0 with 26 bits behind the point, 31 behind the result's. */
static int64_t exp_of(int64_t x)
{
	static const int64_t powers[] = {242, 720401, 39332535, 290630308, 790015084, 1302514674, 1672461947};
	const int64_t quarter = 1 << 24;
	int64_t rest = -x % quarter ? quarter - -x % quarter : 0, left, y, y2, y4, series, result;

	if (!x)
		return INT32_MAX;
	/* x is rest - 1/4 (so in [-1/4, 0)) less the quarters that are left. */
	rest -= quarter;
	left = (rest - x) / quarter;
	y = to_int32(rest * 32) + (1 << 28);
	y2 = times(y, y);
	y4 = times(y2, y2);
	series = half_away(times(half_away(y4, 2) + times(y2, y), 715827883) + y2, 1);
	result = 1895147668 + times(1895147668, y + series);
	for (int i = 0; i < 7; i++) {
		if (left >> i & 1)
			result = times(result, powers[6 - i]);
	}
	return result;
}

/* 1 / (1 + x) for x in [0, 1). */
static int64_t reciprocal(int64_t x)
{
	int64_t half = (x + (INT64_C(1) << 31)) / 2, y = 1515870810 + times(half, -1010580540);

	for (int i = 0; i < 3; i++)
		y += to_int32(times(y, (1 << 29) - times(half, y)) * 4);
	return to_int32(y * 2);
}

void ref_softmax(const int8_t *in, int8_t *out, int depth, float beta, float scale)
{
	double factor = fmin((double)beta * (double)scale * 67108864.0, INT32_MAX);
	struct factor f = factor_of(factor);
	int64_t radius = (INT64_C(31) << 26) >> f.exponent, sum = 0, inverse;
	int top = INT8_MIN, bits = 0;

	for (int i = 0; i < depth; i++)
		top = in[i] > top ? in[i] : top;
	for (int i = 0; i < depth; i++) {
		if (top - in[i] <= radius)
			sum += half_away(exp_of(rescale(in[i] - top, f)), 12);
	}
	while (sum >> (bits + 20)) /* of the sum before the point, but one */
		bits++;
	inverse = reciprocal((sum << (12 - bits)) - (INT64_C(1) << 31));
	for (int i = 0; i < depth; i++) {
		int64_t y = 0;

		if (top - in[i] <= radius && bits <= 8)
			y = half_away(times(inverse, exp_of(rescale(in[i] - top, f))), bits + 23);
		out[i] = (int8_t)to_int8(y - 128);
	}
}
