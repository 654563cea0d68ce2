/* SPDX-License-Identifier: MIT */
/* Rounding to nearest: the codes, scales and zeros of weights, and back; scales of channels put into matrices. */
#include <math.h>

#include "quant/grid.h"

size_t weir_quant_groups(const struct weir_quantizer *z, size_t k)
{
	return z->group ? k / z->group + (k % z->group != 0) : 1;
}

struct weir_grid weir_grid_choose(const struct weir_quantizer *z, float min, float max)
{
	const float levels = (float)((1u << z->bits) - 1), half = (float)(1u << (z->bits - 1));
	struct weir_grid g = {.most = levels};

	if (z->symmetric) {
		g.scale = WEIR_MAX(WEIR_MAX(max, -min), 1e-5f) / (half - 1);
		g.zero = half;
		g.least = 1;
	} else {
		g.scale = WEIR_MAX(max - min, 1e-5f) / levels;
	}
	/* No scale becomes 0: the smallest, 1e-5 / 255, still rounds to the smallest half. */
	if (z->half_scales)
		g.scale = weir_half_to_float(weir_float_to_half(g.scale));
	if (!z->symmetric)
		g.zero = weir_clamp(-weir_nearest(min / g.scale), 0, levels);
	return g;
}

int weir_grid_check(const struct weir_grid *g, const struct weir_extremes *e, size_t row, size_t begin)
{
	if (isnan(e->finite))
		return weir_fail(EINVAL, "row %zu has weights from column %zu on that are not finite", row, begin);
	if (!isfinite(g->scale))
		return weir_fail(ERANGE, "row %zu has weights from column %zu on that are too large to quantize: "
			"%g to %g", row, begin, (double)e->min, (double)e->max);
	return 0;
}

WEIR_PART void put_codes(const struct weir_grid *g, const float *w, const float *column, size_t n, uint8_t *q)
{
	for (size_t i = 0; i < n; i++)
		q[i] = (uint8_t)(int)weir_grid_code(g, column ? w[i] * column[i] : w[i]);
}

struct rows {
	const struct weir_quantizer *z;
	const float *w, *column;
	size_t k, groups;
	uint8_t *q, *zero;
	float *scale;
};

WEIR_PART int round_row(const struct rows *r, size_t row, const float *column)
{
	const struct weir_quantizer z = *r->z;
	const float *w = r->w + row * r->k;
	size_t at = row * r->groups;

	for (size_t i = 0, n; i < r->k; i += n, at++) {
		struct weir_extremes e;
		struct weir_grid g;
		int err;

		n = weir_group_size(&z, r->k, i);
		e = weir_find_extremes(w + i, column ? column + i : NULL, n);
		g = weir_grid_choose(&z, e.min, e.max);
		err = weir_grid_check(&g, &e, row, i);
		if (err)
			return err;
		put_codes(&g, w + i, column ? column + i : NULL, n, r->q + row * r->k + i);
		r->scale[at] = g.scale;
		if (r->zero)
			r->zero[at] = (uint8_t)(int)g.zero;
	}
	return 0;
}

/* Two copies of the loops: a test of column in them would cost as much as the rest. */
static WEIR_CLONES int round_plain(const struct rows *r, size_t row)
{
	return round_row(r, row, NULL);
}

static WEIR_CLONES int round_scaled(const struct rows *r, size_t row)
{
	return round_row(r, row, r->column);
}

int weir_quant_rtn(const struct weir_quantizer *z, const float *w, const float *column, size_t rows, size_t k,
	uint8_t *q, float *scale, uint8_t *zero)
{
	const struct rows r = {z, w, column, k, weir_quant_groups(z, k), q, zero, scale};
	int err = 0;

	for (size_t i = 0; !err && i < rows; i++)
		err = column ? round_scaled(&r, i) : round_plain(&r, i);
	return err;
}

static WEIR_CLONES void values_of(const uint8_t *q, float scale, float zero, size_t n, float *w)
{
	for (size_t i = 0; i < n; i++)
		w[i] = ((float)q[i] - zero) * scale;
}

void weir_quant_dequant(const struct weir_quantizer *z, const uint8_t *q, const float *scale, const uint8_t *zero,
	size_t rows, size_t k, float *w)
{
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = 0, n; i < k; i += n, scale++) {
			float middle = zero ? (float)*zero++ : (float)(1u << (z->bits - 1));

			n = weir_group_size(z, k, i);
			values_of(q + row * k + i, *scale, middle, n, w + row * k + i);
		}
	}
}

static WEIR_CLONES void multiply(float *w, const float *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		w[i] *= s[i];
}

static WEIR_CLONES void divide(float *w, const float *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		w[i] /= s[i];
}

void weir_scale_columns(float *w, size_t rows, size_t k, const float *s)
{
	for (size_t row = 0; row < rows; row++)
		multiply(w + row * k, s, k);
}

void weir_unscale_columns(float *w, size_t rows, size_t k, const float *s)
{
	for (size_t row = 0; row < rows; row++)
		divide(w + row * k, s, k);
}

void weir_unscale_rows(float *w, size_t rows, size_t k, const float *s)
{
	for (size_t row = 0; row < rows; row++) {
		for (size_t i = 0; i < k; i++)
			w[row * k + i] /= s[row];
	}
}
