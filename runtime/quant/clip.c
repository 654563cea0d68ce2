/* SPDX-License-Identifier: MIT */
/* AWQ's search for the value at which the weights of a group are clipped before they are rounded. */
#include <math.h>

#include "quant/forms.h"
#include "quant/grid.h"

/* A larger Gram matrix is not worth its memory (8 MiB). */
#define MAX_GRAM 2048
#define ROWS 16 /* of w that a thread takes at a time */

_Static_assert(WEIR_AWQ_CLIPS == WEIR_FORMS, "a step is a form");

struct search {
	const struct weir_quantizer *z;
	float *w;
	size_t rows, k;
	const float *x;
	size_t tokens;
	float *clip; /* (rows, groups) or NULL */
	/* The group at hand: its number, columns [begin, begin + n), their Gram matrix; NULL: tokens are cheaper. */
	size_t group, begin, n;
	float *panels;
};

static float step_clip(float largest, int step)
{
	return largest * (float)(1 - step / (2.0 * WEIR_AWQ_CLIPS));
}

/* out: (WEIR_AWQ_CLIPS, n), what each step changes in the weights. */
static WEIR_CLONES void find_changes(const struct weir_quantizer *z, const float *w, size_t n,
	const struct weir_extremes *e, float largest, float *out)
{
	for (int step = 0; step < WEIR_AWQ_CLIPS; step++, out += n) {
		const float m = step_clip(largest, step);
		const struct weir_grid g = weir_grid_choose(z, weir_clamp(e->min, -m, m), weir_clamp(e->max, -m, m));

		for (size_t i = 0; i < n; i++)
			out[i] = (weir_grid_code(&g, weir_clamp(w[i], -m, m)) - g.zero) * g.scale - w[i];
	}
}

static void find_errors(const struct search *s, const float *d, double error[WEIR_FORMS])
{
	const size_t panels = weir_align_up(s->n, WEIR_PANEL) / WEIR_PANEL;

	if (!s->panels) {
		weir_forms_tokens(d, s->x + s->begin, s->k, s->tokens, s->n, error);
		return;
	}
	for (size_t p = 0; p < panels; p++)
		weir_forms_panel(d, s->panels + weir_panel_offset(p), p, error);
}

/* changes and d: what find_changes and weir_forms_put write. */
static int search_row(const struct search *s, size_t row, float *changes, float *d)
{
	float *w = s->w + row * s->k + s->begin;
	const struct weir_extremes e = weir_find_extremes(w, NULL, s->n);
	const struct weir_grid g = weir_grid_choose(s->z, e.min, e.max);
	const float largest = WEIR_MAX(e.max, -e.min);
	double error[WEIR_FORMS] = {0};
	unsigned best;
	float m;
	int err = weir_grid_check(&g, &e, row, s->begin);

	if (err)
		return err;
	find_changes(s->z, w, s->n, &e, largest, changes);
	weir_forms_put(d, changes, s->n, WEIR_FORMS, s->n, weir_align_up(s->n, WEIR_PANEL));
	find_errors(s, d, error);
	err = weir_awq_best(error, WEIR_AWQ_CLIPS, &best);
	if (err)
		return weir_fail_in(err, "clip values of row %zu from column %zu on", row, s->begin);
	m = step_clip(largest, (int)best);
	for (size_t i = 0; i < s->n; i++)
		w[i] = weir_clamp(w[i], -m, m);
	if (s->clip)
		s->clip[row * weir_quant_groups(s->z, s->k) + s->group] = m;
	return 0;
}

static int search_rows(void *user, size_t begin, size_t end)
{
	const struct search *s = user;
	const size_t vectors = weir_align_up(s->n, WEIR_PANEL) * WEIR_FORMS_STRIDE;
	float *d = malloc((vectors + s->n * WEIR_FORMS) * sizeof(*d));
	int err = 0;

	if (!d)
		return weir_fail(ENOMEM, "no memory to clip groups of %zu", s->n);
	for (size_t row = begin; !err && row < end; row++)
		err = search_row(s, row, d + vectors, d);
	free(d);
	return err;
}

static int search_group(struct search *s, unsigned threads)
{
	const size_t panels = weir_align_up(s->n, WEIR_PANEL) / WEIR_PANEL;
	int err = 0;

	s->panels = NULL;
	/* Half of n^2 products a vector, or n for each token. */
	if (s->n / 2 <= s->tokens && s->n <= MAX_GRAM) {
		s->panels = malloc(weir_panel_offset(panels) * sizeof(*s->panels));
		if (!s->panels)
			return weir_fail(ENOMEM, "no memory for the Gram matrix of %zu channels", s->n);
		err = weir_gram_of_tokens(s->x + s->begin, s->k, s->tokens, s->n, threads, s->panels);
	}
	if (!err)
		err = weir_parallel(threads, s->rows, ROWS, search_rows, s);
	free(s->panels);
	return err;
}

int weir_awq_clip(const struct weir_quantizer *z, float *w, size_t rows, size_t k, const float *x, size_t n,
	unsigned threads, float *clip)
{
	struct search s = {.z = z, .w = w, .rows = rows, .k = k, .x = x, .tokens = n, .clip = clip};
	int err = 0;

	if (!n)
		return weir_fail(EINVAL, "no tokens to search clip values with");
	for (; !err && s.begin < k; s.begin += s.n, s.group++) {
		s.n = weir_group_size(z, k, s.begin);
		err = search_group(&s, threads);
	}
	return err;
}

size_t weir_awq_clip_stride(size_t tokens)
{
	return WEIR_MAX(tokens / WEIR_AWQ_CLIP_TOKENS, 1);
}

void weir_awq_clamp(const struct weir_quantizer *z, float *w, size_t rows, size_t k, const float *clip)
{
	for (size_t row = 0; row < rows; row++, w += k) {
		for (size_t begin = 0, n; begin < k; begin += n, clip++) {
			n = weir_group_size(z, k, begin);
			for (size_t i = begin; i < begin + n; i++)
				w[i] = weir_clamp(w[i], -*clip, *clip);
		}
	}
}
