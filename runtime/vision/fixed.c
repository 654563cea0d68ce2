/* SPDX-License-Identifier: MIT */
/* Fixed-point factors and rescaling; the definitions are gemmlowp's and TFLite's (quantization_util, common.h). */
#include "vision/fixed.h"

#include <math.h>

bool weir_fixed_factor(double factor, int32_t *multiplier, int32_t *exponent)
{
	int64_t fraction;
	int e = 0;

	*multiplier = 0;
	*exponent = 0;
	if (!isfinite(factor))
		return false;
	if (factor == 0)
		return true;
	fraction = llround(frexp(factor, &e) * 2147483648.0);
	if (fraction == INT64_C(1) << 31) {
		fraction /= 2;
		e++;
	}
	if (e < -31) {
		e = 0;
		fraction = 0;
	}
	*multiplier = (int32_t)fraction;
	*exponent = e;
	return e <= 30;
}

int32_t weir_fixed_high(int32_t a, int32_t b)
{
	if (a == INT32_MIN && b == INT32_MIN)
		return INT32_MAX;
	return (int32_t)(((int64_t)a * b + (INT64_C(1) << 30)) >> 31);
}

int32_t weir_fixed_shift(int32_t x, int exponent)
{
	int32_t mask = (int32_t)((UINT32_C(1) << exponent) - 1), rest = x & mask;

	return (x >> exponent) + (rest > (mask >> 1) + (x < 0 ? 1 : 0));
}

int32_t weir_fixed_rescale(int32_t x, int32_t multiplier, int32_t exponent)
{
	int32_t left = exponent > 0 ? (int32_t)((uint32_t)x << exponent) : x;

	return weir_fixed_shift(weir_fixed_high(left, multiplier), exponent < 0 ? -exponent : 0);
}

int8_t weir_fixed_quantize(float v, float scale, int32_t zero)
{
	float steps = roundf(v / scale);
	int32_t q = steps >= -2147483648.0f && steps < 2147483648.0f ? (int32_t)steps : INT32_MIN;

	q = (int32_t)((uint32_t)q + (uint32_t)zero);
	return (int8_t)(q < -128 ? -128 : q > 127 ? 127 : q);
}
