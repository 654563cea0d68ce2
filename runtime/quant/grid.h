/* SPDX-License-Identifier: MIT */
/* What rounding and the clip search share: the scale and zero of a group, and loops that become wide instructions. */
#ifndef WEIR_QUANT_GRID_H
#define WEIR_QUANT_GRID_H

#include "base/base.h"
#include "quant/quantize.h"

/*
 * A function compiled for each of these and chosen at load. Without contraction of multiply and add every copy gives
 * the same bits. Clang 14 cannot do it, and the choice runs before sanitizers are ready: both have the plain copy.
 */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__) && \
	!defined(__SANITIZE_THREAD__)
#define WEIR_CLONES __attribute__((target_clones("avx512f", "avx2", "default")))
#else
#define WEIR_CLONES
#endif
/* A part of such a function, compiled with it. */
#define WEIR_PART static inline __attribute__((always_inline))

/* Sums and extremes are taken in this many lanes on every machine. */
#define WEIR_LANES 16

/* The values of a group: (q - zero) * scale for q from least to most. */
struct weir_grid {
	float scale, zero, least, most;
};

struct weir_extremes {
	float min, max;
	float finite; /* 0; NaN when a weight is not finite */
};

/*
 * To the nearest integer, halves to even: adding 1.5 * 2^23 leaves no bits for a fraction. Exact below 2^22; larger
 * values stay large, which is all that the clamp after it needs.
 */
WEIR_PART float weir_nearest(float v)
{
	const float magic = 12582912.0f;

	return (v + magic) - magic;
}

/* NaN gives lo. */
WEIR_PART float weir_clamp(float v, float lo, float hi)
{
	v = v > lo ? v : lo;
	return v < hi ? v : hi;
}

/* The code of v as a float, q - zero not yet taken. */
WEIR_PART float weir_grid_code(const struct weir_grid *g, float v)
{
	return weir_clamp(weir_nearest(v / g->scale) + g->zero, g->least, g->most);
}

/* Of n > 0 weights, each times column[i] unless column is NULL. */
WEIR_PART struct weir_extremes weir_find_extremes(const float *w, const float *column, size_t n)
{
	float lo[WEIR_LANES], hi[WEIR_LANES], finite[WEIR_LANES] = {0};
	size_t i = 0;

	for (int j = 0; j < WEIR_LANES; j++)
		lo[j] = hi[j] = column ? w[0] * column[0] : w[0];
	for (; i + WEIR_LANES <= n; i += WEIR_LANES) {
		for (int j = 0; j < WEIR_LANES; j++) {
			float v = column ? w[i + j] * column[i + j] : w[i + j];

			lo[j] = v < lo[j] ? v : lo[j];
			hi[j] = v > hi[j] ? v : hi[j];
			finite[j] += v * 0.0f;
		}
	}
	for (int j = 0; i < n; i++, j++) {
		float v = column ? w[i] * column[i] : w[i];

		lo[j] = v < lo[j] ? v : lo[j];
		hi[j] = v > hi[j] ? v : hi[j];
		finite[j] += v * 0.0f;
	}
	for (int width = WEIR_LANES / 2; width; width /= 2) {
		for (int j = 0; j < width; j++) {
			lo[j] = lo[j + width] < lo[j] ? lo[j + width] : lo[j];
			hi[j] = hi[j + width] > hi[j] ? hi[j + width] : hi[j];
			finite[j] += finite[j + width];
		}
	}
	return (struct weir_extremes){lo[0], hi[0], finite[0]};
}

/* Weights from begin on that share a scale: group, or what is left of a row of k. */
static inline size_t weir_group_size(const struct weir_quantizer *z, size_t k, size_t begin)
{
	return z->group && z->group < k - begin ? z->group : k - begin;
}

/* The formulas that weir_quant_rtn names. The scale is infinite where it does not fit. */
struct weir_grid weir_grid_choose(const struct weir_quantizer *z, float min, float max);

/* 0, or -EINVAL or -ERANGE with a sentence, for the group of row that begins at column begin. */
int weir_grid_check(const struct weir_grid *g, const struct weir_extremes *e, size_t row, size_t begin);

#endif
