/* SPDX-License-Identifier: MIT */
/* Quadratic forms of several vectors at once, from a Gram matrix or from the tokens that it sums. */
#include "quant/forms.h"

#include "quant/grid.h"

#define STRIDE WEIR_FORMS_STRIDE
#define TOKENS 8    /* tokens at a time: one load of d for all of them */
#define BLOCK 512   /* products summed in float before they go into a double */
#define GRAM_ROWS 4 /* rows of G at a time */

/* Numbers that stay in a register: sums in arrays would be left in memory. They may lie at any address. */
typedef float floats __attribute__((vector_size(64)));
typedef float floats_at __attribute__((vector_size(64), aligned(4)));
typedef double doubles __attribute__((vector_size(64)));

_Static_assert(sizeof(floats) == 4 * WEIR_PANEL && STRIDE == WEIR_PANEL, "a vector is a row of a panel");

/* sum[f] += d[i][f] * panel[i] for rows i in [begin, end) */
WEIR_PART void add_rows(floats *sum, const float *d, const float *panel, size_t begin, size_t end)
{
	floats s[WEIR_FORMS];

	memcpy(s, sum, sizeof(s));
	for (size_t i = begin; i < end; i++) {
		const floats row = *(const floats_at *)(panel + i * WEIR_PANEL);

		for (int f = 0; f < WEIR_FORMS; f++)
			s[f] += d[i * STRIDE + (size_t)f] * row;
	}
	memcpy(sum, s, sizeof(s));
}

WEIR_CLONES void weir_forms_panel(const float *d, const float *panel, size_t p, double out[WEIR_FORMS])
{
	const size_t at = p * WEIR_PANEL;
	floats sum[WEIR_FORMS] = {{0}};

	/* What lies above the diagonal block counts twice, for what lies below. */
	add_rows(sum, d, panel, 0, at);
	for (int f = 0; f < WEIR_FORMS; f++)
		sum[f] *= 2;
	add_rows(sum, d, panel, at, at + WEIR_PANEL);
	for (int f = 0; f < WEIR_FORMS; f++) {
		for (int j = 0; j < WEIR_PANEL; j++)
			out[f] += (double)(sum[f][j] * d[(at + (size_t)j) * STRIDE + (size_t)f]);
	}
}

/* Products of count tokens with d; count is a constant where this is called. */
WEIR_PART void add_tokens(const float *d, const float *x, size_t stride, size_t n, int count, double *out)
{
	double y[TOKENS][WEIR_FORMS] = {{0}};

	for (size_t begin = 0; begin < n; begin += BLOCK) {
		const size_t end = WEIR_MIN(begin + BLOCK, n);
		floats sum[TOKENS] = {{0}};

		for (size_t i = begin; i < end; i++) {
			const floats row = *(const floats_at *)(d + i * STRIDE);

			for (int t = 0; t < count; t++)
				sum[t] += x[(size_t)t * stride + i] * row;
		}
		for (int t = 0; t < count; t++) {
			for (int f = 0; f < WEIR_FORMS; f++)
				y[t][f] += (double)sum[t][f];
		}
	}
	for (int t = 0; t < count; t++) {
		for (int f = 0; f < WEIR_FORMS; f++)
			out[f] += y[t][f] * y[t][f];
	}
}

WEIR_CLONES void weir_forms_tokens(const float *d, const float *x, size_t stride, size_t tokens, size_t n,
	double out[WEIR_FORMS])
{
	size_t t = 0;

	for (; t + TOKENS <= tokens; t += TOKENS)
		add_tokens(d, x + t * stride, stride, n, TOKENS, out);
	for (; t < tokens; t++)
		add_tokens(d, x + t * stride, stride, n, 1, out);
}

void weir_forms_put(float *d, const float *rows, size_t row_stride, size_t count, size_t n, size_t padded)
{
	memset(d, 0, padded * STRIDE * sizeof(*d));
	for (size_t i = 0; i < n; i++) {
		for (size_t f = 0; f < count; f++)
			d[i * STRIDE + f] = rows[f * row_stride + i];
	}
}

/* ---- Gram matrices -------------------------------------------------------------------------------- */

struct gram {
	const float *x;
	size_t stride, tokens, n;
	float *panels;
};

/* GRAM_ROWS rows from row i on of a panel; column: the panel's channels (tokens, 16) as double. */
static WEIR_CLONES void gram_rows(const struct gram *g, const double *column, size_t i, float *out)
{
	doubles low[GRAM_ROWS] = {{0}}, high[GRAM_ROWS] = {{0}};
	const size_t half = WEIR_PANEL / 2;

	for (size_t t = 0; t < g->tokens; t++) {
		const doubles a = *(const doubles *)(column + t * WEIR_PANEL);
		const doubles b = *(const doubles *)(column + t * WEIR_PANEL + half);

		for (size_t r = 0; r < GRAM_ROWS; r++) {
			const double x = (double)g->x[t * g->stride + i + r];

			low[r] += x * a;
			high[r] += x * b;
		}
	}
	for (size_t r = 0; r < GRAM_ROWS; r++) {
		for (size_t j = 0; j < half; j++) {
			out[r * WEIR_PANEL + j] = (float)low[r][j];
			out[r * WEIR_PANEL + half + j] = (float)high[r][j];
		}
	}
}

/* A row of what is left when the rows are no multiple of GRAM_ROWS. */
static void gram_row(const struct gram *g, const double *column, size_t i, float *out)
{
	double sum[WEIR_PANEL] = {0};

	for (size_t t = 0; t < g->tokens; t++) {
		for (size_t j = 0; j < WEIR_PANEL; j++)
			sum[j] += (double)g->x[t * g->stride + i] * column[t * WEIR_PANEL + j];
	}
	for (size_t j = 0; j < WEIR_PANEL; j++)
		out[j] = (float)sum[j];
}

static void gram_panel(const struct gram *g, size_t p, double *column)
{
	const size_t at = p * WEIR_PANEL, width = WEIR_MIN(WEIR_PANEL, g->n - at), rows = at + width;
	float *out = g->panels + weir_panel_offset(p);
	size_t i = 0;

	memset(column, 0, g->tokens * WEIR_PANEL * sizeof(*column));
	memset(out, 0, weir_panel_size(p) * sizeof(*out));
	for (size_t t = 0; t < g->tokens; t++) {
		for (size_t j = 0; j < width; j++)
			column[t * WEIR_PANEL + j] = (double)g->x[t * g->stride + at + j];
	}
	for (; i + GRAM_ROWS <= rows; i += GRAM_ROWS)
		gram_rows(g, column, i, out + i * WEIR_PANEL);
	for (; i < rows; i++)
		gram_row(g, column, i, out + i * WEIR_PANEL);
}

static int gram_panels(void *user, size_t begin, size_t end)
{
	const struct gram *g = user;
	double *column = aligned_alloc(sizeof(doubles), g->tokens * WEIR_PANEL * sizeof(*column));

	if (!column)
		return weir_fail(ENOMEM, "no memory for the channels of %zu tokens", g->tokens);
	for (size_t p = begin; p < end; p++)
		gram_panel(g, p, column);
	free(column);
	return 0;
}

int weir_gram_of_tokens(const float *x, size_t stride, size_t tokens, size_t n, unsigned threads, float *panels)
{
	struct gram g = {x, stride, tokens, n, panels};

	return weir_parallel(threads, weir_align_up(n, WEIR_PANEL) / WEIR_PANEL, 1, gram_panels, &g);
}
