/* SPDX-License-Identifier: MIT */
/* matmul.cl against sums in double, for every kind of weights. */
#include "matmul.h"

#include <math.h>

#include "base/base.h"

#define WIDTH ACTIVATIONS

/* ---- one matmul ------------------------------------------------------------------------------ */

struct mode {
	const char *name;
	unsigned flags;
	bool bias;
	bool place; /* y is wider than the matrix */
};

static const struct mode modes[] = {
	{"plain", 0, false, false},
	{"add", WEIR_MATMUL_ADD, false, false},
	{"bias", 0, true, false},
	{"y_first", 0, false, true},
	{"out", WEIR_MATMUL_OUT, false, false},
	{"all", WEIR_MATMUL_ADD | WEIR_MATMUL_OUT, true, true},
};

/* A graph with one matmul and what it is fed. */
struct run {
	struct weir_graph *g;
	struct weir_plan *plan;
	struct checkcl_step step;
	struct weir_tensor *x, *y, *bias;
	const struct mode *mode;
	size_t width, columns, first;
	float *before, *bias_value, *got; /* y as it was, the bias, y as it is */
	char params[160];
};

static void run_free(struct run *r)
{
	weir_graph_destroy(r->g);
	checkcl_step_done(&r->step);
	free(r->before);
	free(r->bias_value);
	free(r->got);
}

static bool run_make(struct checkcl *c, const struct weights *w, const struct mode *mode,
	size_t width, struct run *r)
{
	const struct weir_plane_layout *l = &w->m.layout;
	enum form form = activations_form(&l->format);
	struct weir_rows_out x = {.f32 = NULL};

	memset(r, 0, sizeof(*r));
	snprintf(r->params, sizeof(r->params), "matmul %s rows %zu k %zu width %zu %s",
		w->kind->name, l->rows, l->k, width, mode->name);
	r->mode = mode;
	r->width = width;
	r->first = mode->place ? 32 : 0;
	r->columns = mode->place ? l->padded_rows + 48 : l->rows;
	if (weir_graph_create(c->dev, &r->g)) {
		checkcl_fail(c, r->params, weir_error());
		return false;
	}
	checkcl_step_make(c, r->g, (unsigned)width, 0, &r->step);
	r->x = weir_graph_tensor(r->g, "x", activations_size(form, width, l->k));
	r->y = weir_graph_tensor(r->g, "y", width * r->columns * sizeof(float));
	r->bias = weir_graph_tensor(r->g, "bias", l->rows * sizeof(float));
	weir_tensor_keep(r->x);
	weir_tensor_keep(r->y);
	weir_tensor_keep(r->bias);
	*(form == FORM_F32 ? &x.f32 : form == FORM_ROWS8 ? &x.rows8 : &x.packed) = r->x;
	weir_op_matmul(r->g, &r->step.t, "matmul", &w->m, x, (unsigned)width, r->y, r->columns,
		r->first, mode->bias ? r->bias : NULL, mode->flags);
	r->plan = checkcl_plan(c, r->params, r->g);
	if (!r->plan) {
		run_free(r);
		return false;
	}
	r->before = matmul_allocate(width * r->columns, sizeof(float));
	r->got = matmul_allocate(width * r->columns, sizeof(float));
	r->bias_value = matmul_allocate(l->rows, sizeof(float));
	for (size_t i = 0; i < width * r->columns; i++)
		r->before[i] = checkcl_uniform(c, -10, 10);
	for (size_t i = 0; i < l->rows; i++)
		r->bias_value[i] = checkcl_uniform(c, -10, 10);
	if (mode->bias)
		checkcl_put(r->bias, r->bias_value, l->rows * sizeof(float));
	return true;
}

/* Runs it over the first tokens of a; the result is in r->got. */
static bool run_tokens(struct checkcl *c, struct run *r, const struct weights *w,
	const struct activations *a, size_t tokens)
{
	bool out = r->mode->flags & WEIR_MATMUL_OUT;
	/* The count that does not apply says one token, where more are right. */
	struct weir_step step = {
		.n_tokens = out ? 1 : (int)tokens, .out_count = out ? (int)tokens : 1};
	size_t size = r->width * r->columns * sizeof(float);

	activations_put(a, activations_form(&w->m.layout.format), r->width, tokens, r->x);
	checkcl_put(r->step.t.step, &step, sizeof(step));
	checkcl_put(r->y, r->before, size);
	if (!checkcl_run(c, r->params, r->plan, (unsigned)tokens))
		return false;
	checkcl_get(r->y, r->got, size);
	return true;
}

/*
 * What row row gives for x, and how far off it may be. Each float operation on a sum errs by at
 * most UNIT of what it gives, which is at most the sum of the terms' sizes (Higham 2002,
 * section 3.1: n operations, n * UNIT to first order).
 */
static double reference(const struct weights *w, const float *x, size_t row, float *bound)
{
	const struct weir_plane_layout *l = &w->m.layout;
	size_t step = weir_plane_is_float(&l->format) ? 2 : WEIR_MIN(l->format.group, 32u);
	/*
	 * An addition for each group, or each 32 of it, or for each two where floats go to two sums, and at most
	 * ten more: in a term its scale, its minimum and the reference's weight (two), after the last
	 * one four more of an eight's rest, the sum of both parts, the bias.
	 */
	double operations = (double)(l->k / step + 10), sum = 0, size = 0;

	for (size_t i = 0; i < l->k; i++) {
		sum += (double)w->w[row * l->k + i] * x[i];
		size += (double)w->size[row * l->k + i] * fabsf(x[i]);
	}
	*bound = (float)(operations * UNIT * size);
	return sum;
}

/* All of y: results, and what must not have changed. */
static void check_result(struct checkcl *c, const struct run *r, const struct weights *w,
	const struct activations *a, size_t tokens)
{
	size_t n = r->width * r->columns, rows = w->m.layout.rows, padded = w->m.layout.padded_rows;
	float *want = matmul_allocate(n, sizeof(float)), *bound = matmul_allocate(n, sizeof(float));
	char params[200];

	for (size_t i = 0; i < n; i++) {
		size_t t = i / r->columns, row = i % r->columns - r->first; /* huge before first */

		want[i] = r->before[i];
		if (t >= tokens || row >= padded)
			continue;
		if (row >= rows) { /* a pad's place in a wider y: anything */
			want[i] = r->got[i];
			continue;
		}
		double v = reference(w, a->x + t * a->k, row, &bound[i]);

		if (r->mode->bias)
			v += r->bias_value[row];
		if (r->mode->flags & WEIR_MATMUL_ADD)
			v += r->before[i];
		want[i] = (float)v;
		bound[i] += 4 * UNIT *
			    (fabsf(want[i]) + fabsf(r->bias_value[row]) + fabsf(r->before[i]));
	}
	snprintf(params, sizeof(params), "%s tokens %zu", r->params, tokens);
	checkcl_compare_bounds(c, params, r->got, want, bound, n);
	free(want);
	free(bound);
}

/* Decode must give what prefill gave, bit for bit. */
static void check_decode(struct checkcl *c, const struct run *prefill, struct run *decode,
	const struct weights *w, const struct activations *a)
{
	for (size_t t = 0; t < WIDTH; t += 7) {
		struct activations one = {
			a->k, a->q + t * a->k, a->scale + t * a->k / 32, a->x + t * a->k};

		if (run_tokens(c, decode, w, &one, 1))
			checkcl_compare(c, decode->params, decode->got,
				prefill->got + t * prefill->columns, prefill->columns, 0, 0);
	}
}

static void check_mode(struct checkcl *c, const struct weights *w, const struct activations *a,
	const struct mode *mode, bool all_counts)
{
	static const size_t counts[] = {
		1, WEIR_TILE - 1, WEIR_TILE, WEIR_TILE + 1, 2 * WEIR_TILE, WIDTH};
	struct run decode, prefill;

	if (!run_make(c, w, mode, 1, &decode))
		return;
	if (!run_make(c, w, mode, WIDTH, &prefill)) {
		run_free(&decode);
		return;
	}
	if (run_tokens(c, &decode, w, a, 1))
		check_result(c, &decode, w, a, 1);
	for (size_t i = all_counts ? 0 : WEIR_ARRAY_SIZE(counts) - 1; i < WEIR_ARRAY_SIZE(counts);
		i++) {
		if (run_tokens(c, &prefill, w, a, counts[i]))
			check_result(c, &prefill, w, a, counts[i]);
	}
	if (!mode->bias && !(mode->flags & WEIR_MATMUL_ADD) && !mode->place)
		check_decode(c, &prefill, &decode, w, a);
	run_free(&prefill);
	run_free(&decode);
}

static void check_shape(
	struct checkcl *c, const struct weight_kind *kind, size_t rows, size_t k, size_t n_modes)
{
	struct activations a;
	struct weights w;

	if (!weights_make(c, kind, rows, k, FILL_RANDOM, 1, &w))
		return;
	activations_make(c, k, activations_form(&w.m.layout.format), X_RANDOM, &a);
	for (size_t i = 0; i < n_modes; i++)
		check_mode(c, &w, &a, &modes[i], i == 0);
	activations_free(&a);
	weights_free(&w);
}

/* Every weight and every activation at an end of its range: the largest sums. */
static void check_extremes(struct checkcl *c, const struct weight_kind *kind, size_t k, size_t n_fills)
{
	static const int fills[] = {0xff, 0x00, 0x7f, 0x80};

	for (size_t i = 0; i < n_fills; i++) {
		struct weights w;

		if (!weights_make(c, kind, 16, k, fills[i], 1, &w))
			return;
		for (int pattern = X_MAX; pattern <= X_ALTERNATE; pattern++) {
			struct activations a;

			activations_make(c, k, activations_form(&w.m.layout.format), pattern, &a);
			check_mode(c, &w, &a, &modes[0], false);
			activations_free(&a);
		}
		weights_free(&w);
	}
}

/* ---- rows ------------------------------------------------------------------------------------ */

static void check_kind(struct checkcl *c, const char *name)
{
	static const size_t float_k[] = {1, 7, 65, 576}, block_k[] = {32, 64, 576, 1536},
			    super_k[] = {256, 512, 768, 1536},
			    code_k[] = {128, 160, 576, 1536}; /* short last groups */
	static const size_t rows[] = {16, 5, 40, 100};
	const struct weight_kind *kind = weight_kind(name);
	const size_t *k = float_k, block = weight_block(kind);

	if (block > 1)
		k = kind->format.group > 32 ? code_k : block == 32 ? block_k : super_k;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(rows); i++) {
		if (c->quick && i == 3)
			break;
		check_shape(c, kind, rows[i], k[i], i == 2 ? WEIR_ARRAY_SIZE(modes) : 1);
	}
	check_extremes(c, kind, 512, c->quick && kind->bits ? 1 : 4);
	if (!c->quick) /* more units of work than work-groups */
		check_shape(c, kind, 2100, 256, 1);
	if (c->bench)
		matmul_time(c, kind);
}

/* The same matmul on the same device in another tier; the result is in got. */
static bool run_tier(struct checkcl *c, enum weir_tier tier, const struct weight_kind *kind, size_t width,
	float *got, size_t n)
{
	struct weir_device_settings settings;
	struct checkcl other = {.seed = 99};
	struct activations a;
	struct weights w;
	struct run r;
	bool ok = false;

	weir_device_settings_default(&settings);
	settings.device = weir_device_name(c->dev);
	settings.tier = weir_tier_name(tier);
	settings.schedule = weir_device_schedule(c->dev);
	if (weir_device_open(&other.dev, &settings)) {
		checkcl_fail(c, weir_tier_name(tier), weir_error());
		return false;
	}
	if (weights_make(&other, kind, 40, 512, FILL_RANDOM, 1, &w)) {
		activations_make(&other, 512, activations_form(&w.m.layout.format), X_RANDOM, &a);
		if (run_make(&other, &w, &modes[0], width, &r)) {
			ok = run_tokens(&other, &r, &w, &a, width);
			memcpy(got, r.got, n * sizeof(float));
			run_free(&r);
		}
		activations_free(&a);
		weights_free(&w);
	}
	c->failures += other.failures;
	c->checks += other.failures;
	weir_device_close(other.dev);
	return ok;
}

/* All tiers that the device has give the same bits. */
static void check_tiers(struct checkcl *c)
{
	static const char *const some[] = {
		"Q4_0", "Q8_0", "Q4_K", "Q6_K", "W4g128", "W3g128", "W2g64", "W8g128", "W8A8"};
	enum weir_tier best = weir_device_props(c->dev)->tier;
	float want[40 * WIDTH], got[40 * WIDTH];
	char params[96];

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(some); i++) {
		const struct weight_kind *kind = weight_kind(some[i]);

		for (size_t width = 1; width <= WIDTH; width += WIDTH - 1) {
			if (!run_tier(c, WEIR_TIER_PORTABLE, kind, width, want, 40 * width))
				continue;
			for (int tier = WEIR_TIER_PORTABLE + 1; tier <= (int)best; tier++) {
				snprintf(params, sizeof(params),
					"tiers portable and %s of %s width %zu",
					weir_tier_name((enum weir_tier)tier),
					kind->name, width);
				if (run_tier(c, (enum weir_tier)tier, kind, width, got,
					    40 * width))
					checkcl_compare(c, params, got, want, 40 * width, 0, 0);
			}
		}
	}
}

#define KIND_ROW(name)                                                                             \
	static void check_##name(struct checkcl *c)                                                \
	{                                                                                          \
		check_kind(c, #name);                                                              \
	}

KIND_ROW(F32)
KIND_ROW(F16)
KIND_ROW(BF16)
KIND_ROW(Q4_0)
KIND_ROW(Q4_1)
KIND_ROW(Q5_0)
KIND_ROW(Q5_1)
KIND_ROW(Q8_0)
KIND_ROW(Q2_K)
KIND_ROW(Q3_K)
KIND_ROW(Q4_K)
KIND_ROW(Q5_K)
KIND_ROW(Q6_K)
KIND_ROW(W4g128)
KIND_ROW(W3g128)
KIND_ROW(W2g64)
KIND_ROW(W8g128)

/* Rows of more than two chunks too, whose sums would overflow if they were one. */
static void check_W8A8(struct checkcl *c)
{
	const struct weight_kind *kind = weight_kind("W8A8");

	check_kind(c, "W8A8");
	if (!c->quick)
		check_extremes(c, kind, 2 * WEIR_ROWS8_CHUNK + 64, 2);
}

/* Tiles of activations that no cache holds: each goes by patches of two blocks, and one block is left over. */
static void check_patches(struct checkcl *c)
{
	if (!c->quick)
		check_shape(c, weight_kind("Q4_0"), 72, 32768, 1);
}

const struct checkcl_row checkcl_matmul[] = {
	{"matmul-f32", check_F32},
	{"matmul-f16", check_F16},
	{"matmul-bf16", check_BF16},
	{"matmul-q4_0", check_Q4_0},
	{"matmul-q4_1", check_Q4_1},
	{"matmul-q5_0", check_Q5_0},
	{"matmul-q5_1", check_Q5_1},
	{"matmul-q8_0", check_Q8_0},
	{"matmul-q2_k", check_Q2_K},
	{"matmul-q3_k", check_Q3_K},
	{"matmul-q4_k", check_Q4_K},
	{"matmul-q5_k", check_Q5_K},
	{"matmul-q6_k", check_Q6_K},
	{"matmul-w4g128", check_W4g128},
	{"matmul-w3g128", check_W3g128},
	{"matmul-w2g64", check_W2g64},
	{"matmul-w8g128", check_W8g128},
	{"matmul-w8a8", check_W8A8},
	{"matmul-patches", check_patches},
	{"matmul-tiers", check_tiers},
	{"embed", embed_check},
	{"fine", fine_check},
	{NULL, NULL},
};
