/* SPDX-License-Identifier: MIT */
/*
 * A layer's scales and ranges: AWQ as the projects llm-awq and AutoAWQ do it (all scales are searched on the weights as
 * they are, then put in, then ranges are clipped), SmoothQuant with one alpha or the best of several.
 */
#include "base/base.h"
#include "llm/quantize_run.h"

#define ALPHAS 14
#define FIRST_ALPHA 0.3
#define ALPHA_STEP 0.05

/* What a scaling is between. */
static const struct scaling {
	enum weir_quant_linear linear; /* whose columns are multiplied */
	int norm;		       /* whose weights are divided; -1: */
	int before;		       /* the piece whose rows are */
} scalings[WEIR_QUANTIZE_SCALINGS] = {
	[WEIR_QUANTIZE_ATTN_IN] = {WEIR_QUANT_QKV, WEIR_QUANT_ATTN_NORM, -1},
	[WEIR_QUANTIZE_ATTN_OUT] = {WEIR_QUANT_OUT, -1, WEIR_QUANT_V},
	[WEIR_QUANTIZE_FFN_IN] = {WEIR_QUANT_GATE_UP, WEIR_QUANT_FFN_NORM, -1},
	[WEIR_QUANTIZE_FFN_OUT] = {WEIR_QUANT_DOWN, -1, WEIR_QUANT_UP},
};

static bool is_awq(const struct weir_quant_run *r)
{
	return r->set.method == WEIR_QUANTIZE_AWQ;
}

bool weir_quant_is_scaled(const struct weir_quant_run *r, enum weir_quantize_scaling scaling)
{
	const struct scaling *sc = &scalings[scaling];

	if (r->set.method == WEIR_QUANTIZE_RTN || r->layer.linear[sc->linear].kept)
		return false;
	if (sc->norm >= 0)
		return true;
	if (!is_awq(r))
		return scaling == WEIR_QUANTIZE_FFN_OUT && r->set.alpha_down >= 0;
	/* v and o where their shapes are the same: never with grouped queries. */
	return scaling != WEIR_QUANTIZE_ATTN_OUT || (r->layer.piece[WEIR_QUANT_V].rows == r->params.dim &&
		r->layer.linear[WEIR_QUANT_OUT].k == r->params.dim);
}

/* Whether the scales between two linears are searched by the Gram matrix of the second one's input. */
static bool by_gram(const struct weir_quant_run *r, enum weir_quantize_scaling scaling)
{
	return is_awq(r) && weir_quant_is_scaled(r, scaling);
}

/* ---- what the method needs ------------------------------------------------------------------- */

static int arrays_make(struct weir_quant_run *r)
{
	for (unsigned i = 0; i < WEIR_QUANTIZE_SCALINGS; i++) {
		size_t k = r->layer.linear[scalings[i].linear].k;

		r->scales[i] = calloc(k, sizeof(float));
		r->candidates[i] = calloc(WEIR_MAX(r->tries, 1), k * sizeof(float));
		if (!r->scales[i] || !r->candidates[i])
			return weir_fail(ENOMEM, "no memory for %u scales of %zu channels", r->tries, k);
	}
	return 0;
}

static int searches_make(struct weir_quant_run *r)
{
	bool row_act = r->set.token_int8;
	int err = weir_quant_search_create(&r->net, WEIR_QUANT_QKV, &r->quantizer, row_act, r->tries,
		r->calib.samples, r->set.exhaustive, &r->search[0]);

	if (!err)
		err = weir_quant_search_create(&r->net, WEIR_QUANT_GATE_UP, &r->quantizer, row_act, r->tries,
			r->calib.samples, r->set.exhaustive, &r->search[1]);
	if (!err && by_gram(r, WEIR_QUANTIZE_ATTN_OUT))
		err = weir_quant_gram_create(&r->net, WEIR_QUANT_OUT, &r->quantizer, &r->gram[0]);
	if (!err && by_gram(r, WEIR_QUANTIZE_FFN_OUT))
		err = weir_quant_gram_create(&r->net, WEIR_QUANT_DOWN, &r->quantizer, &r->gram[1]);
	return err;
}

int weir_quant_scale_create(struct weir_quant_run *r)
{
	bool gram[WEIR_QUANT_LINEARS] = {0};
	int err;

	r->tries = is_awq(r) ? WEIR_AWQ_RATIOS : r->set.alpha == WEIR_QUANTIZE_ALPHA_AUTO ? ALPHAS : 0;
	gram[WEIR_QUANT_OUT] = by_gram(r, WEIR_QUANTIZE_ATTN_OUT);
	gram[WEIR_QUANT_DOWN] = by_gram(r, WEIR_QUANTIZE_FFN_OUT);
	if ((err = weir_quant_net_create(r->dev, &r->layer, r->calib.length, &r->net)) ||
		(err = weir_quant_stats_create(&r->net, &r->calib, gram, is_awq(r) && r->set.clip, &r->stats)) ||
		(err = arrays_make(r)))
		return err;
	return r->tries ? searches_make(r) : 0;
}

void weir_quant_scale_destroy(struct weir_quant_run *r)
{
	for (unsigned i = 0; i < 2; i++) {
		weir_quant_search_destroy(&r->search[i]);
		weir_quant_gram_destroy(&r->gram[i]);
	}
	weir_quant_stats_destroy(&r->stats);
	weir_quant_net_destroy(&r->net);
	for (unsigned i = 0; i < WEIR_QUANTIZE_SCALINGS; i++) {
		free(r->scales[i]);
		free(r->candidates[i]);
	}
}

/* ---- progress: a unit is about what a block takes in floats ------------------------------------ */

static uint64_t search_work(const struct weir_quant_run *r)
{
	return r->tries ? 1 + r->tries * 3 / 4 : 0;
}

static uint64_t gram_work(const struct weir_quant_run *r)
{
	return is_awq(r) ? 1 + r->calib.samples / 32 : 0;
}

static uint64_t clip_work(const struct weir_quant_run *r)
{
	return is_awq(r) && r->set.clip ? WEIR_QUANT_PIECES : 0;
}

uint64_t weir_quant_layer_work(const struct weir_quant_run *r)
{
	return r->calib.samples * (1 + search_work(r)) + gram_work(r) + clip_work(r) + 1;
}

/* ---- passes over the blocks ------------------------------------------------------------------ */

int weir_quant_pass_layer(struct weir_quant_run *r)
{
	int err = weir_quant_net_load(&r->net);

	for (unsigned i = 0; i < r->calib.samples && !err; i++) {
		float *x = weir_quant_block(&r->calib, i);

		err = weir_quant_net_run(&r->net, x, x);
		if (!err)
			err = weir_quant_progress(r, 1);
	}
	return err;
}

/* Where no search follows, the hidden states go on at once. */
static int statistics_pass(struct weir_quant_run *r)
{
	int err = weir_quant_stats_begin(&r->stats);

	for (unsigned i = 0; i < r->calib.samples && !err; i++) {
		float *x = weir_quant_block(&r->calib, i);

		err = weir_quant_net_run(&r->net, x, r->tries ? NULL : x);
		if (!err)
			err = weir_quant_stats_add(&r->stats, i);
		if (!err)
			err = weir_quant_progress(r, 1);
	}
	return err ? err : weir_quant_stats_end(&r->stats);
}

/*
 * Block number i of a pass, in an order whose beginnings are spread over the whole text, too: steps of about n times the
 * golden ratio that share no divisor with n.
 */
static unsigned spread(unsigned i, unsigned n)
{
	unsigned step = WEIR_MAX((unsigned)(n * 0.618), 1), a, b;

	for (;; step++) {
		for (a = step, b = n; b;) {
			unsigned rest = a % b;

			a = b;
			b = rest;
		}
		if (a == 1)
			return (unsigned)((uint64_t)i * step % n);
	}
}

static int search_pass(struct weir_quant_run *r)
{
	int err = weir_quant_search_begin(&r->search[0], r->candidates[WEIR_QUANTIZE_ATTN_IN]);

	if (!err)
		err = weir_quant_search_begin(&r->search[1], r->candidates[WEIR_QUANTIZE_FFN_IN]);
	for (unsigned i = 0; i < r->calib.samples && !err; i++) {
		float *x = weir_quant_block(&r->calib, spread(i, r->calib.samples));

		if ((err = weir_quant_net_run(&r->net, x, x)) || (err = weir_quant_search_run(&r->search[0])) ||
			(err = weir_quant_search_run(&r->search[1])) ||
			(err = weir_quant_search_add(&r->search[0])) ||
			(err = weir_quant_search_add(&r->search[1])))
			return err;
		err = weir_quant_progress(r, search_work(r));
	}
	return err;
}

/* ---- candidates ------------------------------------------------------------------------------ */

static double exponent_of(const struct weir_quant_run *r, unsigned i)
{
	return is_awq(r) ? (double)i / WEIR_AWQ_RATIOS : FIRST_ALPHA + ALPHA_STEP * i;
}

/* AWQ's scales of all ratios, for what reads one input. */
static int awq_candidates(struct weir_quant_run *r, unsigned scaling)
{
	enum weir_quant_linear l = scalings[scaling].linear;
	const struct weir_quant_matrix *m = &r->layer.linear[l];
	double *sum = r->set.duo ? calloc(m->k, sizeof(*sum)) : NULL;
	float *w_mean = r->set.duo ? calloc(m->k, sizeof(*w_mean)) : NULL;

	if (r->set.duo && (!sum || !w_mean)) {
		free(sum);
		free(w_mean);
		return weir_fail(ENOMEM, "no memory for the means of %zu columns", m->k);
	}
	if (r->set.duo) {
		weir_awq_w_mean_add(&r->quantizer, m->w, m->rows, m->k, sum);
		weir_awq_w_mean(sum, m->rows, m->k, w_mean);
	}
	for (unsigned i = 0; i < r->tries; i++)
		weir_awq_scales(
			r->stats.mean[l], w_mean, m->k, exponent_of(r, i), r->candidates[scaling] + i * m->k);
	free(sum);
	free(w_mean);
	return 0;
}

/* SmoothQuant's scales: of the alpha that was set into scales, or, where a norm precedes, of all that are tried. */
static int smooth_candidates(struct weir_quant_run *r, unsigned scaling)
{
	enum weir_quant_linear l = scalings[scaling].linear;
	const struct weir_quant_matrix *m = &r->layer.linear[l];
	bool norm = scalings[scaling].norm >= 0;
	float *w_max = calloc(m->k, sizeof(*w_max));

	if (!w_max)
		return weir_fail(ENOMEM, "no memory for the maxima of %zu columns", m->k);
	weir_smooth_w_max(m->w, m->rows, m->k, w_max);
	for (unsigned i = 0; norm && i < r->tries; i++)
		weir_smooth_scales(
			r->stats.max[l], w_max, m->k, exponent_of(r, i), r->candidates[scaling] + i * m->k);
	if (!norm || !r->tries)
		weir_smooth_scales(r->stats.max[l], w_max, m->k, norm ? r->set.alpha : r->set.alpha_down,
			r->scales[scaling]);
	free(w_max);
	return 0;
}

static int candidates_make(struct weir_quant_run *r)
{
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANTIZE_SCALINGS && !err; i++)
		if (weir_quant_is_scaled(r, i))
			err = is_awq(r) ? awq_candidates(r, i) : smooth_candidates(r, i);
	return err;
}

/* The best of a scaling's candidates. */
static int choose(struct weir_quant_run *r, unsigned scaling, const double *loss, unsigned finished)
{
	struct weir_quantize_choice *c = &r->now.choice[scaling];
	size_t k = r->layer.linear[scalings[scaling].linear].k;
	unsigned best;
	int err = weir_awq_best(loss, r->tries, &best);

	if (err)
		return weir_fail_in(err, "layer %u", r->now.index);
	*c = (struct weir_quantize_choice){
		.finished = finished, .exponent = exponent_of(r, best), .first_loss = loss[0], .loss = loss[best]};
	memcpy(r->scales[scaling], r->candidates[scaling] + best * k, k * sizeof(float));
	return 0;
}

/* Scales between two linears: losses from the Gram matrix of the second's input. */
static int gram_search(struct weir_quant_run *r, struct weir_quant_gram *m, unsigned scaling)
{
	size_t k = r->layer.linear[m->linear].k;
	double loss[WEIR_AWQ_RATIOS];
	float *gram = malloc(k * k * sizeof(*gram));
	int err = gram ? 0 : weir_fail(ENOMEM, "no memory for a Gram matrix of %zu channels", k);

	if (!err)
		err = weir_quant_stats_gram(&r->stats, m->linear, gram);
	if (!err)
		err = weir_quant_gram_load(m, gram);
	free(gram);
	for (unsigned i = 0; i < r->tries && !err; i++)
		err = weir_quant_gram_loss(
			m, r->candidates[scaling] + i * k, (double)weir_quant_tokens(&r->calib), &loss[i]);
	return err ? err : choose(r, scaling, loss, r->tries);
}

static int search(struct weir_quant_run *r)
{
	static const unsigned of[] = {WEIR_QUANTIZE_ATTN_IN, WEIR_QUANTIZE_FFN_IN};
	double loss[WEIR_QUANT_TRIES];
	int err = search_pass(r);

	for (unsigned i = 0; i < 2 && !err; i++) {
		unsigned finished = weir_quant_search_losses(&r->search[i], loss);

		err = choose(r, of[i], loss, finished);
	}
	if (!err && by_gram(r, WEIR_QUANTIZE_ATTN_OUT))
		err = gram_search(r, &r->gram[0], WEIR_QUANTIZE_ATTN_OUT);
	if (!err && by_gram(r, WEIR_QUANTIZE_FFN_OUT))
		err = gram_search(r, &r->gram[1], WEIR_QUANTIZE_FFN_OUT);
	return err ? err : weir_quant_progress(r, gram_work(r));
}

/* ---- into the weights ------------------------------------------------------------------------ */

static void scale_apply(struct weir_quant_run *r, unsigned scaling)
{
	const struct scaling *sc = &scalings[scaling];
	const struct weir_quant_matrix *m = &r->layer.linear[sc->linear];
	const float *s = r->scales[scaling];

	weir_scale_columns(m->w, m->rows, m->k, s);
	if (sc->norm >= 0) {
		weir_unscale_columns(r->layer.norm[sc->norm], 1, m->k, s);
	} else {
		const struct weir_quant_piece *piece = &r->layer.piece[sc->before];
		const struct weir_quant_matrix *before = &r->layer.linear[piece->linear];

		weir_unscale_rows(weir_quant_rows(&r->layer, piece), piece->rows, before->k, s);
		if (before->bias)
			weir_unscale_columns(before->bias + piece->first, 1, piece->rows, s);
	}
	if (r->stats.samples)
		weir_unscale_columns(r->stats.sample[sc->linear], r->stats.samples, m->k, s);
}

static int clip(struct weir_quant_run *r)
{
	unsigned threads = weir_device_props(r->dev)->compute_units;
	int err = 0;

	for (unsigned i = 0; i < WEIR_QUANT_PIECES && !err; i++) {
		const struct weir_quant_piece *piece = &r->layer.piece[i];

		if (piece->clip)
			err = weir_awq_clip(&r->quantizer, weir_quant_rows(&r->layer, piece), piece->rows,
				r->layer.linear[piece->linear].k, r->stats.sample[piece->linear], r->stats.samples,
				threads, NULL);
		if (!err)
			err = weir_quant_progress(r, 1);
	}
	return err;
}

/* Seconds since *from, which becomes now. */
static double lap(double *from)
{
	double before = *from;

	*from = weir_now();
	return *from - before;
}

int weir_quant_scale_layer(struct weir_quant_run *r)
{
	double from = weir_now();
	int err = weir_quant_net_load(&r->net);

	if (!err)
		err = statistics_pass(r);
	r->now.statistics_seconds = lap(&from);
	if (!err)
		err = candidates_make(r);
	if (!err && r->tries)
		err = search(r);
	if (err)
		return err;
	r->now.search_seconds = lap(&from);
	for (unsigned i = 0; i < WEIR_QUANTIZE_SCALINGS; i++)
		if (weir_quant_is_scaled(r, i))
			scale_apply(r, i);
	if (is_awq(r) && r->set.clip)
		err = clip(r);
	r->now.clip_seconds = lap(&from);
	return err;
}
