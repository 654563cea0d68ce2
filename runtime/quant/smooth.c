/* SPDX-License-Identifier: MIT */
/* SmoothQuant's scales: what makes activations hard to quantize moves into the weights that read them. */
#include <math.h>

#include "quant/grid.h"

static WEIR_CLONES void take_largest(float *most, const float *w, size_t k)
{
	for (size_t i = 0; i < k; i++)
		most[i] = fabsf(w[i]) > most[i] ? fabsf(w[i]) : most[i];
}

void weir_smooth_w_max(const float *w, size_t rows, size_t k, float *w_max)
{
	for (size_t row = 0; row < rows; row++)
		take_largest(w_max, w + row * k, k);
}

void weir_smooth_scales(const float *x_max, const float *w_max, size_t k, double alpha, float *s)
{
	for (size_t i = 0; i < k; i++) {
		double w = WEIR_MAX((double)w_max[i], 1e-5);

		s[i] = (float)WEIR_MAX(pow((double)x_max[i], alpha) / pow(w, 1 - alpha), 1e-5);
	}
}
