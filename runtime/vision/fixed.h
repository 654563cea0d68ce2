/* SPDX-License-Identifier: MIT */
/*
 * The fixed-point arithmetic of TFLite's int8 operators, in plain C: what the host prepares for kernels, and what
 * references compute with. Rounding as described in kernels/cnn_fixed.clh.
 */
#ifndef WEIR_VISION_FIXED_H
#define WEIR_VISION_FIXED_H

#include <stdbool.h>
#include <stdint.h>

/*
 * A factor as multiplier / 2^31 * 2^exponent with |multiplier| in [2^30, 2^31] or 0: TFLite's QuantizeMultiplier, with
 * its rounding, its carry into the exponent and its flush to zero below 2^-31. Converters do make channels of negative
 * scale. False when factor is not finite, or its exponent is above 30.
 */
bool weir_fixed_factor(double factor, int32_t *multiplier, int32_t *exponent);

int32_t weir_fixed_high(int32_t a, int32_t b);	     /* SaturatingRoundingDoublingHighMul, saturating */
int32_t weir_fixed_shift(int32_t x, int exponent);   /* RoundingDivideByPOT */
int32_t weir_fixed_rescale(int32_t x, int32_t multiplier, int32_t exponent); /* MultiplyByQuantizedMultiplier */

/*
 * A float to int8 as QUANTIZE does (AffineQuantize): to the nearest, halves away from zero. What int32 does not hold, and
 * NaN, become INT_MIN before the zero point is added, and that wraps: what TFLite's code does on x86.
 */
int8_t weir_fixed_quantize(float v, float scale, int32_t zero);

#endif
