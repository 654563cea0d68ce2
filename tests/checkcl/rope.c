/* SPDX-License-Identifier: MIT */
/* rope.cl against float64: queries, and keys and values in their slots, with every other slot untouched. */
#include "rope.h"

#include <math.h>

#include "base/base.h"
#include "cache.h"
#include "rows.h"

#define EPS 1e-6f
#define HALF_MAX 65504.0f

struct rope_case {
	unsigned heads, kv_heads, head_dim, n_rot;
	enum weir_kv kv;
	enum weir_rope_layout rope;
	bool two_queries, norm;
	unsigned width, tokens;
};

struct rope_run {
	const struct rope_case *a;
	struct weir_attention_shape shape;
	char params[160];
	float *qkv, *angles, *norm[2]; /* of queries, of keys */
	int *slot;
	struct cache cache;
};

static size_t row_size(const struct rope_case *a)
{
	return (size_t)(a->heads + 2 * a->kv_heads) * a->head_dim;
}

/*
 * A head as the kernel should leave it, and how far a float may be off: the norm's sum of head_dim squares, its
 * root, its division, two products and a sum.
 */
static void reference_head(const struct rope_run *r, const float *x, const float *norm, const float *angles,
	double *out, double *bound)
{
	const struct rope_case *a = r->a;
	unsigned n = a->head_dim, pairs = a->n_rot / 2;
	bool halves = a->rope == WEIR_ROPE_HALVES;
	double in[256], sum = 0.0, rel = 3 * U;

	for (unsigned d = 0; d < n; d++) {
		in[d] = x[d];
		sum += in[d] * in[d];
	}
	for (unsigned d = 0; norm && d < n; d++)
		in[d] *= norm[d] / sqrt(sum / n + EPS);
	if (norm)
		rel += (n / 16.0 + 24) * U;
	for (unsigned d = a->n_rot; d < n; d++) {
		out[d] = in[d];
		bound[d] = rel * fabs(in[d]);
	}
	for (unsigned i = 0; i < pairs; i++) {
		unsigned d0 = halves ? i : 2 * i, d1 = halves ? i + pairs : 2 * i + 1;
		double c = angles[2 * i], s = angles[2 * i + 1];

		out[d0] = in[d0] * c - in[d1] * s;
		out[d1] = in[d0] * s + in[d1] * c;
		bound[d0] = rel * (fabs(in[d0] * c) + fabs(in[d1] * s)) + 1e-37;
		bound[d1] = rel * (fabs(in[d0] * s) + fabs(in[d1] * c)) + 1e-37;
	}
}

static void check_queries(struct checkcl *c, const struct rope_run *r, struct weir_tensor *q)
{
	const struct rope_case *a = r->a;
	unsigned rotations = a->two_queries ? 2 : 1, n = a->head_dim;
	size_t count = (size_t)a->tokens * rotations * a->heads * n, i = 0;
	float *want = malloc(count * sizeof(float)), *bound = malloc(count * sizeof(float));

	for (unsigned t = 0; t < a->tokens; t++) {
		for (unsigned turn = 0; turn < rotations; turn++) {
			for (unsigned h = 0; h < a->heads; h++) {
				double w[256], b[256];

				reference_head(r, r->qkv + t * row_size(a) + h * n, r->norm[0],
					r->angles + (t * 2 + turn) * a->n_rot, w, b);
				for (unsigned d = 0; d < n; d++, i++) {
					want[i] = (float)w[d];
					bound[i] = (float)b[d] + U * fabsf(want[i]);
				}
			}
		}
	}
	rows_check_f32(c, r->params, q, count, want, bound);
	free(want);
	free(bound);
}

/* A stored row is the reference saturated and rounded to the nearest that its slot can hold. */
static void check_stored(struct checkcl *c, const struct rope_run *r, unsigned head, unsigned slot, bool key,
	const double *w, const double *b)
{
	float want[256], got[256], bound[256];

	for (unsigned d = 0; d < r->a->head_dim; d++) {
		double step = key ? cache_key_step(&r->cache, head, slot, d) :
				    cache_value_step(&r->cache, head, slot, d);

		want[d] = (float)w[d];
		if (r->a->kv == WEIR_KV_F16)
			want[d] = fminf(fmaxf(want[d], -HALF_MAX), HALF_MAX);
		got[d] = (float)(key ? cache_key(&r->cache, head, slot, d) :
				       cache_value(&r->cache, head, slot, d));
		/* The scale itself is 2 ulp off, at most 127 times; a row of zeros has none. */
		bound[d] = (float)(b[d] + step * (0.5 + 127 * 8 * U)) + 8 * U * fabsf(want[d]);
	}
	checkcl_compare_bounds(c, r->params, got, want, bound, r->a->head_dim);
}

static void check_cache(struct checkcl *c, struct rope_run *r)
{
	const struct rope_case *a = r->a;
	unsigned n = a->head_dim;
	char *rest = malloc(r->cache.layout.size);

	cache_get(c, &r->cache);
	for (unsigned t = 0; t < a->tokens; t++) {
		const float *k = r->qkv + t * row_size(a) + (size_t)a->heads * n, *v = k + a->kv_heads * n;
		unsigned slot = (unsigned)r->slot[t];

		for (unsigned h = 0; h < a->kv_heads; h++) {
			double w[256], b[256];

			reference_head(r, k + h * n, r->norm[1], r->angles + t * 2 * a->n_rot, w, b);
			check_stored(c, r, h, slot, true, w, b);
			for (unsigned d = 0; d < n; d++) {
				w[d] = v[h * n + d];
				b[d] = 0.0;
			}
			check_stored(c, r, h, slot, false, w, b);
			cache_erase(&r->cache, h, slot);
		}
	}
	memcpy(rest, r->cache.bytes, r->cache.layout.size);
	cache_fill(&r->cache);
	if (memcmp(rest, r->cache.bytes, r->cache.layout.size))
		checkcl_fail(c, r->params, "bytes of other slots changed");
	free(rest);
}

static void run_graph(struct checkcl *c, struct rope_run *r)
{
	const struct rope_case *a = r->a;
	size_t qkv_size = a->width * row_size(a) * sizeof(float);
	size_t norm_size = a->head_dim * sizeof(float);
	struct weir_step step = {.n_tokens = (int)a->tokens};
	struct weir_tensor *qkv, *q, *norm[2] = {NULL, NULL};
	struct checkcl_step s;
	struct weir_graph *g;
	struct weir_plan *plan;

	if (weir_graph_create(c->dev, &g)) {
		checkcl_fail(c, r->params, weir_error());
		return;
	}
	checkcl_step_make(c, g, a->width, a->n_rot, &s);
	qkv = rows_kept(g, "qkv", qkv_size);
	q = rows_kept(g, "q", (size_t)a->width * 2 * a->heads * a->head_dim * sizeof(float));
	for (int i = 0; i < 2 && a->norm; i++)
		norm[i] = rows_kept(g, "norm", norm_size);
	weir_op_rope_store(g, &s.t, &r->shape, qkv, norm[0], norm[1], EPS, q, cache_bind(&r->cache, g));
	plan = checkcl_plan(c, r->params, g);
	if (!plan)
		goto done;

	checkcl_put(s.t.step, &step, sizeof(step));
	checkcl_put(s.t.slot, r->slot, a->tokens * sizeof(int));
	if (a->n_rot)
		checkcl_put(s.t.rope, r->angles, (size_t)a->tokens * 2 * a->n_rot * sizeof(float));
	checkcl_put(qkv, r->qkv, a->tokens * row_size(a) * sizeof(float));
	for (int i = 0; i < 2 && a->norm; i++)
		checkcl_put(norm[i], r->norm[i], norm_size);
	rows_garbage(q);
	cache_put(c, &r->cache);
	if (!checkcl_run(c, r->params, plan, a->tokens))
		goto done;
	check_queries(c, r, q);
	check_cache(c, r);
	checkcl_time(c, r->params, plan, a->tokens, (double)a->tokens * (double)row_size(a) * 8, 0);
done:
	weir_graph_destroy(g);
	checkcl_step_done(&s);
}

/* Slots in an order of their own, none twice: 37 has no factor in common with a power of two. */
static void fill(struct checkcl *c, struct rope_run *r)
{
	const struct rope_case *a = r->a;
	size_t n = row_size(a);

	for (unsigned t = 0; t < a->tokens; t++) {
		/* Beyond a half's range, zeros, and plain. */
		float size = t % 5 == 3 ? 1e6f : t % 5 == 4 ? 0.0f : 4.0f;

		for (size_t i = 0; i < n; i++)
			r->qkv[t * n + i] = checkcl_uniform(c, -size, size);
		r->slot[t] = (int)((5 + t * 37) % r->shape.slots);
		for (unsigned i = 0; i < a->n_rot; i++) {
			double angle = checkcl_uniform(c, -3.14f, 3.14f);

			r->angles[(t * a->n_rot + i) * 2] = (float)cos(angle);
			r->angles[(t * a->n_rot + i) * 2 + 1] = (float)sin(angle);
		}
	}
	for (int i = 0; i < 2; i++) {
		for (unsigned d = 0; a->norm && d < a->head_dim; d++)
			r->norm[i][d] = checkcl_uniform(c, -2.0f, 2.0f);
	}
}

static void run_case(struct checkcl *c, const struct rope_case *a)
{
	struct rope_run r = {.a = a};

	r.shape = (struct weir_attention_shape){.heads = a->heads, .kv_heads = a->kv_heads,
		.head_dim = a->head_dim, .n_rot = a->n_rot, .slots = 256, .kv = a->kv, .rope = a->rope,
		.two_queries = a->two_queries};
	snprintf(r.params, sizeof(r.params),
		"rope_store heads %u/%u dim %u rot %u %s %s%s%s width %u tokens %u", a->heads, a->kv_heads,
		a->head_dim, a->n_rot, a->kv == WEIR_KV_Q8 ? "q8" : a->kv == WEIR_KV_F32 ? "f32" : "f16",
		a->rope == WEIR_ROPE_HALVES ? "halves" : "adjacent", a->two_queries ? " two queries" : "",
		a->norm ? " norm" : "", a->width, a->tokens);
	if (!cache_make(c, &r.shape, &r.cache))
		return;
	r.qkv = malloc(a->tokens * row_size(a) * sizeof(float));
	r.angles = malloc(((size_t)a->tokens * 2 * a->n_rot + 1) * sizeof(float));
	r.slot = malloc(a->tokens * sizeof(int));
	for (int i = 0; i < 2; i++)
		r.norm[i] = a->norm ? malloc(a->head_dim * sizeof(float)) : NULL;
	fill(c, &r);
	run_graph(c, &r);
	free(r.qkv);
	free(r.angles);
	free(r.slot);
	free(r.norm[0]);
	free(r.norm[1]);
	cache_done(&r.cache);
}

void rope_run_store(struct checkcl *c)
{
	static const struct rope_case cases[] = {
		{8, 4, 8, 8, WEIR_KV_F16, WEIR_ROPE_ADJACENT, false, false, 1, 1},
		{9, 3, 64, 64, WEIR_KV_F16, WEIR_ROPE_ADJACENT, false, false, 40, 35},
		{9, 3, 64, 64, WEIR_KV_Q8, WEIR_ROPE_ADJACENT, true, false, 40, 40},
		{4, 4, 80, 32, WEIR_KV_F16, WEIR_ROPE_HALVES, false, false, 17, 17},
		{4, 4, 80, 20, WEIR_KV_Q8, WEIR_ROPE_ADJACENT, true, false, 5, 5},
		{16, 2, 128, 128, WEIR_KV_F16, WEIR_ROPE_HALVES, true, true, 1, 1},
		{16, 2, 128, 128, WEIR_KV_Q8, WEIR_ROPE_HALVES, false, true, 20, 20},
		{2, 1, 20, 10, WEIR_KV_F16, WEIR_ROPE_HALVES, true, true, 33, 20},
		{2, 1, 20, 20, WEIR_KV_Q8, WEIR_ROPE_HALVES, false, true, 7, 7},
		{3, 1, 256, 64, WEIR_KV_F16, WEIR_ROPE_ADJACENT, false, true, 9, 9},
		{2, 2, 4, 0, WEIR_KV_F16, WEIR_ROPE_ADJACENT, false, false, 5, 5},
		{9, 3, 64, 64, WEIR_KV_F32, WEIR_ROPE_ADJACENT, true, false, 20, 20},
		{4, 4, 80, 20, WEIR_KV_F32, WEIR_ROPE_HALVES, false, true, 5, 5},
	};
	size_t n = c->quick ? 3 : WEIR_ARRAY_SIZE(cases);

	for (size_t i = 0; i < n; i++)
		run_case(c, cases + i);
}
