/* SPDX-License-Identifier: MIT */
/* The row ops of act.cl against float64: every form of result, tiles that are not full, rows made to overflow. */
#include "rows.h"

#include <math.h>

#include "base/base.h"

#define EPS 1e-5f

enum act_op { ACT_RMSNORM, ACT_RMSNORM_OUT, ACT_SILU_GATE, ACT_PACK };
static const char *const op_name[] = {"rmsnorm", "rmsnorm_out", "silu_gate", "pack"};

struct act_case {
	enum act_op op;
	unsigned width, tokens; /* of the results: for rmsnorm_out, the head's */
	size_t k;
	bool f32, packed, rows8;
};

struct act_run {
	const struct act_case *a;
	char params[128];
	unsigned first, in_rows; /* where in x the rows begin, and how many x has */
	size_t columns;		 /* of x */
	float *x, *weight;
	float *want, *bound; /* (tokens, k) */
};

/* A row of its own kind: plain, zeros, an outlier, all equal in size, large, tiny. */
static void fill_row(struct checkcl *c, float *x, size_t n, unsigned kind)
{
	float size = kind == 4 ? 1e15f : kind == 5 ? 1e-20f : 2.0f;

	for (size_t i = 0; i < n; i++)
		x[i] = kind == 1 ? 0.0f : checkcl_uniform(c, -size, size);
	if (kind == 2)
		x[checkcl_random(c) % n] = -1e4f;
	for (size_t i = 0; kind == 3 && i < n; i++)
		x[i] = x[i] < 0 ? -3.0f : 3.0f;
}

static double silu(double x)
{
	return x / (1.0 + exp(-x));
}

/* The reference, and how far a float may be from it: rel times the value. */
static void reference_row(const struct act_run *r, const float *x, float *want, float *bound)
{
	size_t k = r->a->k;
	double sum = 0.0, inverse;
	float rel = 0.0f, least = 1e-28f;

	for (size_t i = 0; i < k; i++)
		sum += (double)x[i] * x[i];
	inverse = 1.0 / sqrt(sum / (double)k + EPS);
	for (size_t i = 0; i < k; i++) {
		double v = x[i];

		if (r->a->op == ACT_SILU_GATE) {
			/* exp to 4 ulp, a division to 2.5, a product. */
			v = silu(v) * x[k + i];
			rel = 16 * U;
			/* The exponential ends at e^88: below -88 that much of x is left. */
			least = fabsf(x[i]) * 7e-39f * fabsf(x[k + i]) + 1e-28f;
		} else if (r->a->op != ACT_PACK) {
			/* Half of the sum's error, at worst one rounding a term of each lane; root, division, products. */
			v *= inverse * r->weight[i];
			rel = (float)(k / 64 + 24) * U;
		}
		want[i] = (float)v;
		bound[i] = rel * fabsf(want[i]) + least;
	}
}

static void add_op(struct weir_graph *g, const struct weir_step_tensors *s, const struct act_case *a,
	struct weir_tensor *x, struct weir_tensor *weight, struct weir_rows_out out)
{
	switch (a->op) {
	case ACT_RMSNORM:
		weir_op_rmsnorm(g, s, x, weight, a->k, EPS, out);
		break;
	case ACT_RMSNORM_OUT:
		weir_op_rmsnorm_out(g, s, x, weight, a->k, EPS, a->width, out);
		break;
	case ACT_SILU_GATE:
		weir_op_silu_gate(g, s, x, a->k, out);
		break;
	case ACT_PACK:
		weir_op_pack(g, s, x, a->k, out);
		break;
	}
}

/* Bytes read and written by a run, for its time. */
static double moved(const struct act_run *r)
{
	const struct act_case *a = r->a;
	double row = (double)r->columns * 4 + (a->f32 ? a->k * 4.0 : 0) + (a->packed ? a->k * 1.5 : 0) +
		     (a->rows8 ? a->k : 0);

	return row * a->tokens;
}

static void run_graph(struct checkcl *c, const struct act_run *r)
{
	const struct act_case *a = r->a;
	size_t x_size = r->in_rows * r->columns * sizeof(float);
	struct weir_step step = {.n_tokens = (int)r->in_rows, .n_segments = 0};
	struct weir_tensor *x, *weight;
	struct weir_rows_out out = {.f32 = NULL};
	struct checkcl_step s;
	struct weir_graph *g;
	struct weir_plan *plan;

	if (weir_graph_create(c->dev, &g)) {
		checkcl_fail(c, r->params, weir_error());
		return;
	}
	/* For rmsnorm_out the step is wider than the head. */
	checkcl_step_make(c, g, a->op == ACT_RMSNORM_OUT ? r->in_rows : a->width, 2, &s);
	x = rows_kept(g, "x", x_size);
	weight = rows_kept(g, "weight", a->k * sizeof(float));
	if (a->f32)
		out.f32 = rows_kept(g, "f32", a->width * a->k * sizeof(float));
	if (a->packed)
		out.packed = rows_kept(g, "packed", weir_packed_size(a->width, a->k, false));
	if (a->rows8)
		out.rows8 = rows_kept(g, "rows8", weir_packed_size(a->width, a->k, false));
	add_op(g, &s.t, a, x, weight, out);
	plan = checkcl_plan(c, r->params, g);
	if (!plan)
		goto done;

	step.out_first = (int)r->first;
	step.out_count = (int)a->tokens;
	checkcl_put(s.t.step, &step, sizeof(step));
	checkcl_put(x, r->x, x_size);
	checkcl_put(weight, r->weight, a->k * sizeof(float));
	if (out.f32)
		rows_garbage(out.f32);
	if (out.packed)
		rows_garbage(out.packed);
	if (out.rows8)
		rows_garbage(out.rows8);
	if (!checkcl_run(c, r->params, plan, a->tokens))
		goto done;
	if (out.f32)
		rows_check_f32(c, r->params, out.f32, a->tokens * a->k, r->want, r->bound);
	if (out.packed)
		rows_check_packed(c, r->params, out.packed, a->width, a->tokens, a->k, r->want, r->bound);
	if (out.rows8)
		rows_check_rows8(c, r->params, out.rows8, a->width, a->tokens, a->k, r->want, r->bound);
	checkcl_time(c, r->params, plan, a->tokens, moved(r), 0);
done:
	weir_graph_destroy(g);
	checkcl_step_done(&s);
}

static void run_case(struct checkcl *c, const struct act_case *a)
{
	struct act_run r = {.a = a, .first = a->op == ACT_RMSNORM_OUT ? 3 : 0};

	r.in_rows = a->tokens + r.first;
	r.columns = a->op == ACT_SILU_GATE ? 2 * a->k : a->k;
	snprintf(r.params, sizeof(r.params), "%s width %u tokens %u k %zu%s%s%s", op_name[a->op], a->width,
		a->tokens, a->k, a->f32 ? " f32" : "", a->packed ? " packed" : "", a->rows8 ? " rows8" : "");
	r.x = malloc(r.in_rows * r.columns * sizeof(float));
	r.weight = malloc(a->k * sizeof(float));
	r.want = malloc(a->tokens * a->k * sizeof(float));
	r.bound = malloc(a->tokens * a->k * sizeof(float));
	for (unsigned t = 0; t < r.in_rows; t++)
		fill_row(c, r.x + t * r.columns, r.columns, a->width == 1 ? checkcl_random(c) % 6 : t % 6);
	for (size_t i = 0; i < a->k; i++)
		r.weight[i] = checkcl_uniform(c, -2.0f, 2.0f);
	for (unsigned t = 0; t < a->tokens; t++)
		reference_row(&r, r.x + (r.first + t) * r.columns, r.want + t * a->k, r.bound + t * a->k);
	run_graph(c, &r);
	free(r.x);
	free(r.weight);
	free(r.want);
	free(r.bound);
}

static void run_op(struct checkcl *c, enum act_op op)
{
	static const struct {
		unsigned width, tokens;
	} width[] = {{1, 1}, {2, 2}, {12, 12}, {13, 13}, {40, 7}, {40, 29}, {300, 290}};
	static const size_t packed_k[] = {32, 64, 96, 576, 2080}, float_k[] = {1, 7, 16, 33, 80, 576};
	size_t n = c->quick ? 3 : WEIR_ARRAY_SIZE(width);
	size_t n_k = c->quick ? 3 : WEIR_ARRAY_SIZE(packed_k);

	for (size_t i = 0; i < n; i++) {
		struct act_case a = {.op = op, .width = width[i].width, .tokens = width[i].tokens};

		for (size_t j = 0; j < n_k; j++) {
			a.k = packed_k[j];
			a.packed = true;
			a.f32 = op != ACT_PACK && j % 2;
			a.rows8 = j % 3 == 1;
			run_case(c, &a);
		}
		a.packed = a.f32 = false;
		a.rows8 = true;
		a.k = 160;
		run_case(c, &a);
		if (!c->quick && i < 2) { /* two chunks and a bit */
			a.k = 2 * WEIR_ROWS8_CHUNK + 32;
			run_case(c, &a);
		}
		a.rows8 = false;
		a.f32 = true;
		for (size_t j = 0; op != ACT_PACK && j < WEIR_ARRAY_SIZE(float_k); j++) {
			a.k = float_k[j];
			run_case(c, &a);
		}
	}
}

static void run_rmsnorm(struct checkcl *c)
{
	run_op(c, ACT_RMSNORM);
}

static void run_rmsnorm_out(struct checkcl *c)
{
	run_op(c, ACT_RMSNORM_OUT);
}

static void run_silu_gate(struct checkcl *c)
{
	run_op(c, ACT_SILU_GATE);
}

static void run_pack(struct checkcl *c)
{
	run_op(c, ACT_PACK);
}

const struct checkcl_row checkcl_act[] = {
	{"act/rmsnorm", run_rmsnorm},
	{"act/rmsnorm_out", run_rmsnorm_out},
	{"act/silu_gate", run_silu_gate},
	{"act/pack", run_pack},
	{NULL, NULL},
};
