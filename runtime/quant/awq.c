/* SPDX-License-Identifier: MIT */
/* AWQ's scales of input channels, and the loss by which one of them is chosen. */
#include <math.h>

#include "quant/forms.h"
#include "quant/grid.h"

static double raw_scale(double x, const float *w_mean, double ratio)
{
	double s = pow(x, ratio);

	if (w_mean)
		s /= pow((double)*w_mean, 1 - ratio) + 1e-4;
	return WEIR_MAX(s, 1e-4);
}

void weir_awq_scales(const float *x_mean, const float *w_mean, size_t k, double ratio, float *s)
{
	double most = 0, least = INFINITY, middle;

	for (size_t i = 0; i < k; i++) {
		double v = raw_scale((double)x_mean[i], w_mean ? w_mean + i : NULL, ratio);

		most = WEIR_MAX(most, v);
		least = WEIR_MIN(least, v);
	}
	middle = sqrt(most * least);
	for (size_t i = 0; i < k; i++) {
		s[i] = (float)(raw_scale((double)x_mean[i], w_mean ? w_mean + i : NULL, ratio) / middle);
		if (!isfinite(s[i]))
			s[i] = 1;
	}
}

static WEIR_CLONES void add_shares(const struct weir_quantizer *z, const float *w, size_t k, double *sum)
{
	for (size_t begin = 0, n; begin < k; begin += n) {
		struct weir_extremes e;
		double most;

		n = weir_group_size(z, k, begin);
		e = weir_find_extremes(w + begin, NULL, n);
		most = (double)WEIR_MAX(e.max, -e.min) + 1e-6;
		for (size_t i = begin; i < begin + n; i++)
			sum[i] += (double)fabsf(w[i]) / most;
	}
}

void weir_awq_w_mean_add(const struct weir_quantizer *z, const float *w, size_t rows, size_t k, double *sum)
{
	for (size_t row = 0; row < rows; row++)
		add_shares(z, w + row * k, k, sum);
}

void weir_awq_w_mean(const double *sum, size_t rows, size_t k, float *w_mean)
{
	for (size_t i = 0; i < k; i++)
		w_mean[i] = (float)(sum[i] / (double)rows);
}

int weir_awq_best(const double *loss, unsigned n, unsigned *best)
{
	*best = n;
	for (unsigned i = 0; i < n; i++) {
		if (isnan(loss[i]))
			return weir_fail(EINVAL, "loss %u of %u is not a number", i + 1, n);
		if (loss[i] < (*best < n ? loss[*best] : INFINITY))
			*best = i;
	}
	return *best < n ? 0 : weir_fail(EINVAL, "none of %u losses is finite", n);
}

/* ---- the loss of a matrix alone ------------------------------------------------------------------- */

#define PANELS 4 /* that a thread keeps in its cache while all rows pass */

struct loss {
	const float *gram;
	size_t k, blocks; /* blocks of WEIR_FORMS rows */
	float *d;	  /* (blocks, padded k, WEIR_FORMS_STRIDE) */
	double *sum;	  /* of each panel */
};

static void copy_panel(const struct loss *l, size_t p, float *panel)
{
	const size_t at = p * WEIR_PANEL, width = WEIR_MIN(WEIR_PANEL, l->k - at);

	memset(panel, 0, weir_panel_size(p) * sizeof(*panel));
	for (size_t i = 0; i < at + width; i++)
		memcpy(panel + i * WEIR_PANEL, l->gram + i * l->k + at, width * sizeof(*panel));
}

static int add_panels(void *user, size_t begin, size_t end)
{
	const struct loss *l = user;
	const size_t vectors = weir_align_up(l->k, WEIR_PANEL) * WEIR_FORMS_STRIDE;
	const size_t first = weir_panel_offset(begin);
	float *panels = malloc((weir_panel_offset(end) - first) * sizeof(*panels));

	if (!panels)
		return weir_fail(ENOMEM, "no memory for a part of a Gram matrix");
	for (size_t p = begin; p < end; p++)
		copy_panel(l, p, panels + weir_panel_offset(p) - first);
	for (size_t b = 0; b < l->blocks; b++) {
		for (size_t p = begin; p < end; p++) {
			double form[WEIR_FORMS] = {0};

			weir_forms_panel(l->d + b * vectors, panels + weir_panel_offset(p) - first, p, form);
			for (int f = 0; f < WEIR_FORMS; f++)
				l->sum[p] += form[f];
		}
	}
	free(panels);
	return 0;
}

int weir_awq_gram_loss(const float *d, const float *gram, size_t rows, size_t k, double tokens, unsigned threads,
	double *loss)
{
	const size_t padded = weir_align_up(k, WEIR_PANEL), panels = padded / WEIR_PANEL;
	struct loss l = {.gram = gram, .k = k, .blocks = (rows + WEIR_FORMS - 1) / WEIR_FORMS};
	int err;

	*loss = 0;
	l.d = malloc(l.blocks * padded * WEIR_FORMS_STRIDE * sizeof(*l.d));
	l.sum = calloc(panels, sizeof(*l.sum));
	err = l.d && l.sum ? 0 : weir_fail(ENOMEM, "no memory for the loss of %zu rows of %zu", rows, k);
	for (size_t b = 0, row = 0; !err && b < l.blocks; b++, row += WEIR_FORMS)
		weir_forms_put(l.d + b * padded * WEIR_FORMS_STRIDE, d + row * k, k, WEIR_MIN(WEIR_FORMS, rows - row), k,
			padded);
	if (!err)
		err = weir_parallel(threads, panels, PANELS, add_panels, &l);
	for (size_t p = 0; !err && p < panels; p++)
		*loss += l.sum[p] / (tokens * (double)rows);
	free(l.d);
	free(l.sum);
	return err;
}
