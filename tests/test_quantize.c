/* SPDX-License-Identifier: MIT */
/* Rounding, AWQ's scales and clip values, SmoothQuant's scales: against the original formulas in float64. */
#include <math.h>

#include "base/base.h"
#include "golden.h"
#include "quant/forms.h"
#include "quant/quantize.h"
#include "quant_golden.h"
#include "suite.h"
#include "weir/weir.h"

static void *allocate(size_t n, size_t size)
{
	void *p = calloc(n, size);

	ck_assert_ptr_nonnull(p);
	return p;
}

static void *copy(const void *from, size_t size)
{
	return memcpy(allocate(1, size), from, size);
}

/* The text of a name that is used before the next call. */
static const char *named(const char *name, const char *what)
{
	static char text[64];

	snprintf(text, sizeof(text), "%s-%s", name, what);
	return text;
}

static void check_near(double got, double want, double relative, const char *what, size_t i)
{
	ck_assert_msg(fabs(got - want) <= relative * fabs(want), "%s %zu: %.9g, not %.9g", what, i, got, want);
}

struct codes {
	uint8_t *q, *zero;
	float *scale;
	size_t groups;
};

static struct codes round_weights(const struct weir_quantizer *z, const float *w, const float *column, size_t rows,
	size_t k)
{
	struct codes c = {.groups = weir_quant_groups(z, k)};

	c.q = allocate(rows, k);
	c.zero = allocate(rows, c.groups);
	c.scale = allocate(rows * c.groups, sizeof(float));
	ck_assert_msg(!weir_quant_rtn(z, w, column, rows, k, c.q, c.scale, c.zero), "%s", weir_error());
	return c;
}

static void free_codes(struct codes *c)
{
	free(c->q);
	free(c->zero);
	free(c->scale);
}

/* w becomes Q(w s) / s. */
static void round_scaled(const struct weir_quantizer *z, float *w, const float *s, size_t rows, size_t k)
{
	struct codes c = round_weights(z, w, s, rows, k);

	weir_quant_dequant(z, c.q, c.scale, c.zero, rows, k, w);
	weir_unscale_columns(w, rows, k, s);
	free_codes(&c);
}

/* ---- rounding ------------------------------------------------------------------------------------- */

static const struct {
	unsigned bits;
	uint32_t group;
} roundings[] = {{2, 32}, {2, 128}, {2, 0}, {3, 32}, {3, 128}, {3, 0}, {4, 32}, {4, 128}, {4, 0}, {8, 32}, {8, 128},
	{8, 0}};

static void check_rounding(const struct weir_quantizer *z, const char *how)
{
	const size_t rows = 48, k = 576;
	float *w = quant_weights(1, rows, k);
	struct codes c = round_weights(z, w, NULL, rows, k);
	char name[64];
	const uint8_t *want;
	uint64_t hash[3] = {golden_hash(c.q, rows * k), golden_hash(c.scale, rows * c.groups * sizeof(float)),
		golden_hash(c.zero, rows * c.groups)};

	snprintf(name, sizeof(name), "rtn-%u-%u%s", z->bits, z->group, how);
	want = quant_golden(name, 3, sizeof(uint64_t));
	ck_assert_msg(!memcmp(want, hash, sizeof(hash)), "%s: codes, scales or zeros are wrong (hash %d)", name,
		memcmp(want, hash, 8) ? 0 : memcmp(want + 8, hash + 1, 8) ? 1 : 2);
	free_codes(&c);
	free(w);
}

START_TEST(golden_codes)
{
	struct weir_quantizer z = {.bits = roundings[_i].bits, .group = roundings[_i].group};

	check_rounding(&z, "");
	z.half_scales = true;
	check_rounding(&z, "-half");
	z.half_scales = false;
	z.symmetric = true;
	check_rounding(&z, "-sym");
}
END_TEST

/* Halves go to even, codes stay in range, and groups of any length have scales of their own. */
START_TEST(rounding_by_hand)
{
	/* min -4, max 11: scale 1, zero 4; then a group of one, and of equal weights */
	const float w[] = {-4, 11, 0.5f, 1.5f, 2.5f, -0.5f, -1.5f, -2.5f, 3};
	const uint8_t want[] = {0, 15, 4, 6, 6, 4, 2, 2};
	const struct weir_quantizer z = {.bits = 4, .group = 8};
	struct codes c = round_weights(&z, w, NULL, 1, 9);

	ck_assert_uint_eq(c.groups, 2);
	ck_assert(c.scale[0] == 1 && c.zero[0] == 4);
	ck_assert_mem_eq(c.q, want, sizeof(want));
	ck_assert(c.scale[1] == 1e-5f / 15 && c.zero[1] == 0 && c.q[8] == 15);
	free_codes(&c);
}
END_TEST

START_TEST(symmetric_range)
{
	const float w[] = {-1, 1, 0, -0.25f};
	const uint8_t want[] = {1, 255, 128, 96};
	struct weir_quantizer z = {.bits = 8, .symmetric = true};
	struct codes c = round_weights(&z, w, NULL, 1, 4);
	float back[4];

	ck_assert_mem_eq(c.q, want, sizeof(want));
	ck_assert(c.zero[0] == 128 && c.scale[0] == 1.0f / 127);
	weir_quant_dequant(&z, c.q, c.scale, NULL, 1, 4, back);
	ck_assert(back[0] == -127 * c.scale[0] && back[2] == 0);
	ck_assert(!weir_quant_rtn(&z, w, NULL, 1, 4, c.q, c.scale, NULL));
	free_codes(&c);
}
END_TEST

/* A file packs round((w' + scale zero) / scale): that must give the codes back, for weights large, small and none. */
START_TEST(half_scales_pack)
{
	const size_t rows = 16, k = 576;
	const struct weir_quantizer z = {.bits = (unsigned[]){2, 3, 4, 8}[_i], .group = 128, .half_scales = true};
	float *w = quant_weights(2, rows, k), *back = allocate(rows * k, sizeof(*back));
	struct codes c;

	for (size_t i = 0; i < rows * k; i++)
		w[i] *= i / k == 3 ? 0 : i / k == 4 ? 1e-6f : i / k == 5 ? 1e5f : 1;
	c = round_weights(&z, w, NULL, rows, k);
	weir_quant_dequant(&z, c.q, c.scale, c.zero, rows, k, back);
	for (size_t i = 0; i < rows * k; i++) {
		size_t at = i / k * c.groups + i % k / 128;
		float s = c.scale[at];

		ck_assert(s > 0 && s == weir_half_to_float(weir_float_to_half(s)));
		ck_assert_uint_eq((unsigned)rintf((back[i] + s * c.zero[at]) / s), c.q[i]);
	}
	free_codes(&c);
	free(w);
	free(back);
}
END_TEST

START_TEST(rounding_refuses)
{
	struct weir_quantizer z = {.bits = 4, .group = 32};
	const float bad[] = {NAN, INFINITY, -INFINITY};
	float w[64] = {0}, scale[2];
	uint8_t q[64], zero[2];

	for (int at = 0; at < 64; at++) {
		for (int i = 0; i < 3; i++) {
			w[at] = bad[i];
			ck_assert_int_eq(weir_quant_rtn(&z, w, NULL, 1, 64, q, scale, zero), -EINVAL);
			w[at] = 0;
		}
	}
	w[40] = 1e6f;
	ck_assert_int_eq(weir_quant_rtn(&z, w, NULL, 1, 64, q, scale, zero), 0);
	z.half_scales = true;
	ck_assert_int_eq(weir_quant_rtn(&z, w, NULL, 1, 64, q, scale, zero), -ERANGE);
	ck_assert_ptr_nonnull(strstr(weir_error(), "column 32"));
	z.half_scales = false;
	w[40] = 3e38f;
	w[41] = -3e38f;
	ck_assert_int_eq(weir_quant_rtn(&z, w, NULL, 1, 64, q, scale, zero), -ERANGE);
}
END_TEST

/* Columns scaled on the way are the codes of scaled columns; scales put in and taken out leave the product. */
START_TEST(scales_apply)
{
	const size_t rows = 8, k = 100;
	const struct weir_quantizer z = {.bits = 4, .group = 32};
	float *w = quant_weights(3, rows, k), *scaled = copy(w, rows * k * sizeof(*w)), s[100];
	struct codes a, b;

	for (size_t i = 0; i < k; i++)
		s[i] = 1 + (float)i / 7;
	weir_scale_columns(scaled, rows, k, s);
	ck_assert(scaled[k + 3] == w[k + 3] * s[3]);
	a = round_weights(&z, w, s, rows, k);
	b = round_weights(&z, scaled, NULL, rows, k);
	ck_assert_mem_eq(a.q, b.q, rows * k);
	ck_assert_mem_eq(a.scale, b.scale, rows * a.groups * sizeof(float));
	ck_assert_mem_eq(a.zero, b.zero, rows * a.groups);
	weir_unscale_columns(scaled, rows, k, s);
	weir_unscale_rows(w, rows, k, s);
	for (size_t i = 0; i < rows * k; i++)
		check_near((double)scaled[i], (double)(w[i] * s[i / k]), 3e-7, "weight", i);
	free_codes(&a);
	free_codes(&b);
	free(w);
	free(scaled);
}
END_TEST

/* ---- AWQ ------------------------------------------------------------------------------------------ */

static const struct linear {
	const char *name;
	uint32_t seed;
	size_t rows, k, n;
	struct weir_quantizer z;
	bool duo, clips;
} linears[] = {
	{"v", 20, 192, 576, 1100, {.bits = 4, .group = 128}, false, true},
	{"v3", 20, 192, 576, 1100, {.bits = 3, .group = 32}, false, true},
	{"v-duo", 20, 192, 576, 1100, {.bits = 4, .group = 128}, true, false},
	{"v-row", 20, 192, 576, 200, {.bits = 4}, false, true},
	{"gate", 30, 1536, 576, 600, {.bits = 4, .group = 128}, false, true},
	{"down", 40, 576, 1536, 600, {.bits = 4, .group = 128}, false, true},
};

static float *mean_size(const float *x, size_t n, size_t k)
{
	float *mean = allocate(k, sizeof(*mean));

	for (size_t c = 0; c < k; c++) {
		double sum = 0;

		for (size_t t = 0; t < n; t++)
			sum += (double)fabsf(x[t * k + c]);
		mean[c] = (float)(sum / (double)n);
	}
	return mean;
}

/* The whole symmetric matrix, as a device gives it. */
static float *gram_of(const float *x, size_t n, size_t k)
{
	const size_t panels = weir_align_up(k, WEIR_PANEL) / WEIR_PANEL;
	float *packed = allocate(weir_panel_offset(panels), sizeof(float)), *g = allocate(k * k, sizeof(*g));

	ck_assert_int_eq(weir_gram_of_tokens(x, k, n, k, 0, packed), 0);
	for (size_t i = 0; i < k; i++) {
		for (size_t j = i; j < k; j++) {
			g[i * k + j] = packed[weir_panel_offset(j / WEIR_PANEL) + i * WEIR_PANEL + j % WEIR_PANEL];
			g[j * k + i] = g[i * k + j];
		}
	}
	free(packed);
	return g;
}

static float *duo_mean(const struct weir_quantizer *z, const float *const *w, unsigned n, size_t rows, size_t k)
{
	double *sum = allocate(k, sizeof(*sum));
	float *mean = allocate(k, sizeof(*mean));

	for (unsigned i = 0; i < n; i++)
		weir_awq_w_mean_add(z, w[i], rows, k, sum);
	weir_awq_w_mean(sum, n * rows, k, mean);
	free(sum);
	return mean;
}

static double linear_loss(const struct linear *l, const float *w, const float *s, const float *gram)
{
	float *d = copy(w, l->rows * l->k * sizeof(*w));
	double loss;

	round_scaled(&l->z, d, s, l->rows, l->k);
	for (size_t i = 0; i < l->rows * l->k; i++)
		d[i] -= w[i];
	ck_assert_int_eq(weir_awq_gram_loss(d, gram, l->rows, l->k, (double)l->n, 0, &loss), 0);
	free(d);
	return loss;
}

/*
 * The losses are the golden ones, and so are the chosen ratio and its scales. s (k) becomes the golden scales: a last
 * bit more or less would decide ties of the clip search otherwise.
 */
static void check_search(const char *name, const double *loss, const float *x_mean, const float *w_mean, size_t k,
	float *s)
{
	double want[WEIR_AWQ_RATIOS];
	uint32_t want_best;
	const void *scales = quant_golden(named(name, "scales"), k, sizeof(float));
	float *own;
	unsigned best;

	memcpy(want, quant_golden(named(name, "losses"), WEIR_AWQ_RATIOS, sizeof(double)), sizeof(want));
	memcpy(&want_best, quant_golden(named(name, "best"), 1, sizeof(want_best)), sizeof(want_best));
	for (unsigned i = 0; i < WEIR_AWQ_RATIOS; i++)
		check_near(loss[i], want[i], 1e-5, name, i);
	ck_assert_int_eq(weir_awq_best(loss, WEIR_AWQ_RATIOS, &best), 0);
	ck_assert_uint_eq(best, want_best);
	weir_awq_scales(x_mean, w_mean, k, (double)best / WEIR_AWQ_RATIOS, s);
	own = copy(s, k * sizeof(*s));
	memcpy(s, scales, k * sizeof(*s));
	for (size_t i = 0; i < k; i++)
		check_near((double)own[i], (double)s[i], 1e-6, "scale", i);
	free(own);
}

/* Every stride-th of n tokens, divided by s. */
static float *sample(const float *x, size_t n, size_t k, const float *s, size_t *count)
{
	const size_t stride = weir_awq_clip_stride(n);
	float *out;

	*count = (n + stride - 1) / stride;
	out = allocate(*count * k, sizeof(*out));
	for (size_t t = 0; t < *count; t++)
		memcpy(out + t * k, x + t * stride * k, k * sizeof(*out));
	weir_unscale_columns(out, *count, k, s);
	return out;
}

static void check_clip(const struct linear *l, const float *w, const float *x, const float *s)
{
	const size_t groups = weir_quant_groups(&l->z, l->k);
	float *scaled = copy(w, l->rows * l->k * sizeof(*w)), *clamped, *clip = allocate(l->rows * groups, sizeof(*clip));
	float *want = copy(quant_golden(named(l->name, "clip"), l->rows * groups, sizeof(*want)),
		l->rows * groups * sizeof(*want));
	size_t n, ties = 0;
	float *tokens = sample(x, l->n, l->k, s, &n);

	weir_scale_columns(scaled, l->rows, l->k, s);
	clamped = copy(scaled, l->rows * l->k * sizeof(*w));
	ck_assert_msg(!weir_awq_clip(&l->z, clamped, l->rows, l->k, tokens, n, 0, clip), "%s", weir_error());
	for (size_t i = 0; i < l->rows * groups; i++) {
		if (isnan(want[i]))
			ties++;
		else
			check_near((double)clip[i], (double)want[i], 1e-5, "clip value", i);
	}
	weir_awq_clamp(&l->z, scaled, l->rows, l->k, clip);
	ck_assert_mem_eq(scaled, clamped, l->rows * l->k * sizeof(*w));
	printf("%s: %zu of %zu clip values left out, too close in float64\n", l->name, ties, l->rows * groups);
	free(scaled);
	free(clamped);
	free(clip);
	free(want);
	free(tokens);
}

START_TEST(golden_linear)
{
	const struct linear *l = &linears[_i];
	float *w = quant_weights(l->seed, l->rows, l->k), *x = quant_tokens(l->seed + 100, l->n, l->k);
	float *x_mean = mean_size(x, l->n, l->k), *gram = gram_of(x, l->n, l->k), *s = allocate(l->k, sizeof(*s));
	float *w_mean = l->duo ? duo_mean(&l->z, (const float *const[]){w}, 1, l->rows, l->k) : NULL;
	double loss[WEIR_AWQ_RATIOS];

	for (unsigned i = 0; i < WEIR_AWQ_RATIOS; i++) {
		weir_awq_scales(x_mean, w_mean, l->k, (double)i / WEIR_AWQ_RATIOS, s);
		loss[i] = linear_loss(l, w, s, gram);
	}
	check_search(l->name, loss, x_mean, w_mean, l->k, s);
	if (l->clips)
		check_clip(l, w, x, s);
	free(w);
	free(x);
	free(x_mean);
	free(gram);
	free(s);
	free(w_mean);
}
END_TEST

#define DIM ((size_t)192)
#define FF ((size_t)512)
#define MLP_TOKENS ((size_t)96)

/* y (n, rows) = x (n, k) w^T */
static void multiply(const float *x, const float *w, size_t n, size_t rows, size_t k, float *y)
{
	for (size_t i = 0; i < n * rows; i++) {
		const float *a = x + i / rows * k, *b = w + i % rows * k;
		double sum[4] = {0};

		for (size_t j = 0; j < k; j++)
			sum[j % 4] += (double)(a[j] * b[j]);
		y[i] = (float)(sum[0] + sum[1] + sum[2] + sum[3]);
	}
}

static float *mlp(const float *x, const float *gate, const float *up, const float *down)
{
	float *g = allocate(MLP_TOKENS * FF, sizeof(*g)), *u = allocate(MLP_TOKENS * FF, sizeof(*u));
	float *y = allocate(MLP_TOKENS * DIM, sizeof(*y));

	multiply(x, gate, MLP_TOKENS, FF, DIM, g);
	multiply(x, up, MLP_TOKENS, FF, DIM, u);
	for (size_t i = 0; i < MLP_TOKENS * FF; i++)
		u[i] *= g[i] / (1 + expf(-g[i]));
	multiply(u, down, MLP_TOKENS, DIM, FF, y);
	free(g);
	free(u);
	return y;
}

static double mlp_loss(const struct weir_quantizer *z, const float *const w[3], const float *x, const float *s,
	const float *want)
{
	float *gate = copy(w[0], FF * DIM * sizeof(float)), *up = copy(w[1], FF * DIM * sizeof(float)), *got;
	double sum = 0;

	round_scaled(z, gate, s, FF, DIM);
	round_scaled(z, up, s, FF, DIM);
	got = mlp(x, gate, up, w[2]);
	for (size_t i = 0; i < MLP_TOKENS * DIM; i++)
		sum += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
	free(gate);
	free(up);
	free(got);
	return sum / (double)(MLP_TOKENS * DIM);
}

/* Two matrices share scales, and what is compared lies behind an activation and a third. */
START_TEST(golden_mlp)
{
	const struct weir_quantizer z = {.bits = _i ? 3 : 4, .group = 64};
	float *gate = quant_weights(50, FF, DIM), *up = quant_weights(51, FF, DIM), *down = quant_weights(52, DIM, FF);
	const float *const w[] = {gate, up, down};
	float *x = quant_tokens(150, MLP_TOKENS, DIM), *x_mean = mean_size(x, MLP_TOKENS, DIM), s[DIM];
	float *w_mean = _i ? duo_mean(&z, w, 2, FF, DIM) : NULL, *want = mlp(x, gate, up, down);
	double loss[WEIR_AWQ_RATIOS];

	for (unsigned i = 0; i < WEIR_AWQ_RATIOS; i++) {
		weir_awq_scales(x_mean, w_mean, DIM, (double)i / WEIR_AWQ_RATIOS, s);
		loss[i] = mlp_loss(&z, w, x, s, want);
	}
	check_search(_i ? "mlp-duo" : "mlp", loss, x_mean, w_mean, DIM, s);
	free(gate);
	free(up);
	free(down);
	free(x);
	free(x_mean);
	free(w_mean);
	free(want);
}
END_TEST

START_TEST(scales_by_hand)
{
	const float x[] = {0, 1, 4, 16}, none[] = {0, 0}, w[] = {0, 1};
	float s[4];

	weir_awq_scales(x, NULL, 4, 0.5, s); /* 1e-4, 1, 2, 4 over sqrt(4e-4) = 0.02 */
	check_near((double)s[0], 0.005, 1e-6, "scale", 0);
	check_near((double)s[3], 200, 1e-6, "scale", 3);
	weir_awq_scales(x, NULL, 4, 0, s);
	for (int i = 0; i < 4; i++)
		ck_assert(s[i] == 1);
	weir_awq_scales(none, w, 2, 0.5, s); /* 0 / (0 + 1e-4) and 0 / (1 + 1e-4): both clamped */
	ck_assert(s[0] == 1 && s[1] == 1);
	weir_awq_scales((const float[]){INFINITY, 1}, NULL, 2, 0.5, s); /* inf / inf; 1 / inf stays, as in AutoAWQ */
	ck_assert(s[0] == 1 && s[1] == 0);
}
END_TEST

START_TEST(best_of_losses)
{
	unsigned best;

	ck_assert_int_eq(weir_awq_best((const double[]){3, 1, 2, 1}, 4, &best), 0);
	ck_assert_uint_eq(best, 1);
	ck_assert_int_eq(weir_awq_best((const double[]){INFINITY, 0}, 2, &best), 0);
	ck_assert_uint_eq(best, 1);
	ck_assert_int_eq(weir_awq_best((const double[]){1, NAN}, 2, &best), -EINVAL);
	ck_assert_int_eq(weir_awq_best((const double[]){INFINITY, INFINITY}, 2, &best), -EINVAL);
	ck_assert_uint_eq(weir_awq_clip_stride(1), 1);
	ck_assert_uint_eq(weir_awq_clip_stride(1023), 1);
	ck_assert_uint_eq(weir_awq_clip_stride(65536), 128);
}
END_TEST

/* Sizes that are no multiple of anything: both ways to an error, and the loss, are the plain sum. */
START_TEST(forms_are_sums)
{
	static const size_t sizes[] = {1, 15, 16, 17, 50, 130, 700};
	const size_t k = sizes[_i], padded = weir_align_up(k, WEIR_PANEL), tokens = 43, rows = 13;
	float *d = quant_weights(4, rows, k), *x = quant_tokens(5, tokens, k), *gram = gram_of(x, tokens, k);
	float *side = allocate(padded * WEIR_FORMS_STRIDE, sizeof(*side)), *panels;
	double want = 0, ten = 0, loss, a[WEIR_FORMS] = {0}, b[WEIR_FORMS] = {0};

	panels = allocate(weir_panel_offset(padded / WEIR_PANEL), sizeof(*panels));
	for (size_t i = 0; i < tokens * rows; i++) {
		double y = 0;

		for (size_t j = 0; j < k; j++)
			y += (double)x[i / rows * k + j] * (double)d[i % rows * k + j];
		want += y * y;
		ten += i % rows == 9 ? y * y : 0;
	}
	ck_assert_int_eq(weir_awq_gram_loss(d, gram, rows, k, (double)tokens, 2, &loss), 0);
	check_near(loss, want / (double)(tokens * rows), 1e-5, "loss", k);
	weir_forms_put(side, d, k, WEIR_FORMS, k, padded);
	ck_assert_int_eq(weir_gram_of_tokens(x, k, tokens, k, 2, panels), 0);
	for (size_t p = 0; p < padded / WEIR_PANEL; p++)
		weir_forms_panel(side, panels + weir_panel_offset(p), p, a);
	weir_forms_tokens(side, x, k, tokens, k, b);
	check_near(a[9], ten, 1e-5, "Gram form", k);
	check_near(b[9], ten, 1e-5, "tokens form", k);
	free(d);
	free(x);
	free(gram);
	free(side);
	free(panels);
}
END_TEST

/* Threads do not matter, few tokens (which go another way) neither; what is not finite is refused. */
START_TEST(clip_ways)
{
	const size_t rows = 40, k = 200, n = 64;
	const struct weir_quantizer z = {.bits = 3, .group = 96};
	float *w = quant_weights(6, rows, k), *x = quant_tokens(7, n, k), *a = copy(w, rows * k * sizeof(*w));
	float *b = copy(w, rows * k * sizeof(*w));

	ck_assert_int_eq(weir_awq_clip(&z, a, rows, k, x, n, 1, NULL), 0);
	ck_assert_int_eq(weir_awq_clip(&z, b, rows, k, x, n, 4, NULL), 0);
	ck_assert_mem_eq(a, b, rows * k * sizeof(*a));
	ck_assert(memcmp(a, w, rows * k * sizeof(*a)));
	memset(x + 32 * k, 0, 32 * k * sizeof(*x)); /* tokens of zeros change no choice */
	memcpy(a, w, rows * k * sizeof(*a));
	memcpy(b, w, rows * k * sizeof(*b));
	ck_assert_int_eq(weir_awq_clip(&z, a, rows, k, x, 64, 2, NULL), 0); /* 96 / 2 <= 64: by the Gram matrix */
	ck_assert_int_eq(weir_awq_clip(&z, b, rows, k, x, 32, 2, NULL), 0); /* by tokens */
	for (size_t i = 0; i < rows * k; i++)
		ck_assert(a[i] == b[i]);
	ck_assert_int_eq(weir_awq_clip(&z, a, rows, k, x, 0, 2, NULL), -EINVAL);
	x[5 * k + 100] = NAN;
	ck_assert_int_eq(weir_awq_clip(&z, a, rows, k, x, n, 2, NULL), -EINVAL);
	ck_assert_ptr_nonnull(strstr(weir_error(), "from column 96 on"));
	x[5 * k + 100] = 0;
	a[3 * k + 199] = INFINITY;
	ck_assert_int_eq(weir_awq_clip(&z, a, rows, k, x, n, 2, NULL), -EINVAL);
	free(w);
	free(x);
	free(a);
	free(b);
}
END_TEST

/* ---- SmoothQuant ---------------------------------------------------------------------------------- */

START_TEST(golden_smooth)
{
	static const char *const names[] = {"0.5", "0.6", "0.7", "0.8", "0.9"};
	const size_t k = 576, n = 64;
	float *x = quant_tokens(110, n, k), *a = quant_weights(10, 64, k), *b = quant_weights(11, 48, k);
	float *x_max = allocate(k, sizeof(*x_max)), *w_max = allocate(k, sizeof(*w_max)), s[576], want[576];

	weir_smooth_w_max(x, n, k, x_max);
	weir_smooth_w_max(a, 64, k, w_max);
	weir_smooth_w_max(b, 48, k, w_max);
	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(names); i++) {
		memcpy(want, quant_golden(named("smooth", names[i]), k, sizeof(float)), sizeof(want));
		weir_smooth_scales(x_max, w_max, k, 0.5 + 0.1 * i, s);
		for (size_t c = 0; c < k; c++)
			check_near((double)s[c], (double)want[c], 1e-6, names[i], c);
	}
	weir_smooth_scales((const float[]){0, 4}, (const float[]){1, 0}, 2, 0.5, s);
	ck_assert(s[0] == 1e-5f);
	check_near((double)s[1], 2 / sqrt(1e-5), 1e-6, "scale of a column of zeros", 1);
	free(x);
	free(a);
	free(b);
	free(x_max);
	free(w_max);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("quantize");
	TCase *tc = tcase_create("quantize");
	const char *error = quant_golden_open(QUANT_GOLDEN);
	int failed;

	if (error) {
		fprintf(stderr, "%s %s\n", QUANT_GOLDEN, error);
		return 1;
	}
	tcase_set_timeout(tc, 300);
	tcase_add_loop_test(tc, golden_codes, 0, (int)WEIR_ARRAY_SIZE(roundings));
	tcase_add_test(tc, rounding_by_hand);
	tcase_add_test(tc, symmetric_range);
	tcase_add_loop_test(tc, half_scales_pack, 0, 4);
	tcase_add_test(tc, rounding_refuses);
	tcase_add_test(tc, scales_apply);
	tcase_add_loop_test(tc, golden_linear, 0, (int)WEIR_ARRAY_SIZE(linears));
	tcase_add_loop_test(tc, golden_mlp, 0, 2);
	tcase_add_test(tc, scales_by_hand);
	tcase_add_test(tc, best_of_losses);
	tcase_add_loop_test(tc, forms_are_sums, 0, 7);
	tcase_add_test(tc, clip_ways);
	tcase_add_test(tc, golden_smooth);
	suite_add_tcase(suite, tc);
	failed = suite_run(suite);
	quant_golden_close();
	return failed;
}
