/* SPDX-License-Identifier: MIT */
/*
 * attention.cl against a direct softmax in float64 over the stored keys and values: segments of every kind, decode
 * and prefill. All slots that no segment has hold bytes that are no numbers.
 */
#include "checkcl.h"

#include <math.h>

#include "base/base.h"
#include "cache.h"
#include "rope.h"
#include "rows.h"

#define FAR (-2000000000) /* where a stream's sinks are, seen from its newest token */

struct attention_shape {
	unsigned heads, kv_heads, head_dim;
	enum weir_kv kv;
	bool two_queries, packed;
};

/* How a step's keys lie in the cache. */
enum keys {
	KEYS_ONE,   /* one segment, from slot 0 */
	KEYS_SHIFT, /* one, from a slot in a block's middle */
	KEYS_RING,  /* sinks and a window in two segments, seen in part */
	KEYS_FOUR,  /* four segments with gaps, one of them empty */
	KEYS_BLIND, /* as one; the last token sees nothing */
};
static const char *const keys_name[] = {"one", "shifted", "ring", "four", "blind"};

/* What queries, keys and values are like. */
enum sizes {
	SIZES_PLAIN,
	SIZES_LARGE, /* scores up to 1e4 and beyond, values near a half's limit */
	SIZES_ZERO,  /* some rows of zeros */
};

struct attention_step {
	unsigned tokens, past; /* keys before the step's first token */
	enum keys keys;
	enum sizes sizes;
};

struct attention_run {
	const struct attention_shape *a;
	struct weir_attention_shape shape;
	unsigned width;
	char what[96], params[192];
	struct cache cache;
	struct weir_step step;
	int *seen;
	float *q; /* (width, rotations, heads, head_dim) */
	/* The graph's. */
	struct checkcl_step s;
	struct weir_graph *g;
	struct weir_plan *plan;
	struct weir_tensor *q_tensor;
	struct weir_rows_out out;
};

static unsigned rotations(const struct attention_run *r)
{
	return r->a->two_queries ? 2 : 1;
}

static size_t q_size(const struct attention_run *r)
{
	return (size_t)rotations(r) * r->a->heads * r->a->head_dim;
}

/* ---- a step's keys ---------------------------------------------------------------------------- */

static void add_segment(struct attention_run *r, int slot, int count, int pos, int sink)
{
	r->step.segment[r->step.n_segments++] =
		(struct weir_segment){.slot = slot, .count = count, .pos = pos, .sink = sink};
}

/* The newest key lies in the middle of the ring, which begins behind the sinks. */
static void ring_segments(struct attention_run *r, int total, int past)
{
	int sinks = 4, second = WEIR_MAX(total / 3, 1), first = total - second;
	int end = (int)r->shape.slots;

	add_segment(r, 0, sinks, FAR, 1);
	add_segment(r, end - first, first, -past, 0);
	add_segment(r, sinks, second, first - past, 0);
}

static void four_segments(struct attention_run *r, int total, int past)
{
	int part = total / 3;

	add_segment(r, 67, part, -past, 0);
	add_segment(r, 3, 0, -past + part, 0);
	add_segment(r, 67 + part + 5, part, -past + part, 0);
	add_segment(r, 67 + 2 * part + 70, total - 2 * part, -past + 2 * part, 0);
}

static void make_segments(struct attention_run *r, const struct attention_step *a)
{
	int total = (int)(a->past + a->tokens), past = (int)a->past;

	memset(&r->step, 0, sizeof(r->step));
	r->step.n_tokens = (int)a->tokens;
	for (unsigned t = 0; t < a->tokens; t++)
		r->seen[t] = INT32_MIN;
	switch (a->keys) {
	case KEYS_BLIND:
		r->seen[a->tokens - 1] = INT32_MAX;
		/* fall through */
	case KEYS_ONE:
		add_segment(r, 0, total, -past, 0);
		break;
	case KEYS_SHIFT:
		add_segment(r, 37, total, -past, 0);
		break;
	case KEYS_RING:
		ring_segments(r, total, past);
		for (unsigned t = 0; t < a->tokens; t++)
			r->seen[t] = (int)t - past + (int)a->tokens / 2;
		break;
	case KEYS_FOUR:
		four_segments(r, total, past);
		break;
	}
}

static void fill_vector(struct checkcl *c, float *x, unsigned n, float size)
{
	for (unsigned i = 0; i < n; i++)
		x[i] = checkcl_uniform(c, -size, size);
}

static void fill(struct checkcl *c, struct attention_run *r, const struct attention_step *a)
{
	unsigned n = r->a->head_dim;
	float large = a->sizes == SIZES_LARGE;
	float key[256], value[256];

	make_segments(r, a);
	cache_fill(&r->cache);
	for (int i = 0; i < r->step.n_segments; i++) {
		const struct weir_segment *s = r->step.segment + i;

		for (int slot = s->slot; slot < s->slot + s->count; slot++) {
			bool zero = a->sizes == SIZES_ZERO && slot % 3 == 0;

			for (unsigned h = 0; h < r->a->kv_heads; h++) {
				fill_vector(c, key, n, zero ? 0.0f : large ? 300.0f : 2.0f);
				fill_vector(c, value, n, zero ? 0.0f : large ? 60000.0f : 2.0f);
				cache_store(&r->cache, h, (unsigned)slot, key, value);
			}
		}
	}
	for (unsigned t = 0; t < a->tokens; t++) {
		float size = a->sizes == SIZES_ZERO && t % 2 == 0 ? 0.0f : large ? 100.0f : 1.0f;

		for (size_t i = 0; i < q_size(r); i++)
			r->q[t * q_size(r) + i] = checkcl_uniform(c, -size, size);
	}
}

/* ---- the reference ---------------------------------------------------------------------------- */

struct score {
	double p;
	unsigned slot;
};

/* The keys that a token sees, with their scores; *error: the largest sum of sizes of a score's terms. */
static size_t score_keys(const struct attention_run *r, unsigned t, unsigned h, struct score *scores, double *error)
{
	unsigned n = r->a->head_dim, head = h / (r->a->heads / r->a->kv_heads);
	size_t count = 0;

	for (int i = 0; i < r->step.n_segments; i++) {
		const struct weir_segment *s = r->step.segment + i;
		unsigned turn = s->sink && r->a->two_queries;
		const float *q = r->q + t * q_size(r) + ((size_t)turn * r->a->heads + h) * n;

		for (int j = 0; j < s->count; j++) {
			int64_t pos = (int64_t)s->pos + j;
			double sum = 0.0, sizes = 0.0;
			unsigned slot = (unsigned)(s->slot + j);

			if (pos > (int64_t)t || (!s->sink && pos < r->seen[t]))
				continue;
			for (unsigned d = 0; d < n; d++) {
				double term = q[d] * cache_key(&r->cache, head, slot, d);

				sum += term;
				sizes += fabs(term);
			}
			scores[count].slot = slot;
			scores[count++].p = sum / sqrt(n);
			*error = fmax(*error, sizes / sqrt(n));
		}
	}
	return count;
}

/*
 * One head of a token, and how far a float may be off. Roundings add up like a random walk, four sigmas of which
 * are allowed: a score of head_dim terms shifts its weight and, as the others may shift too, their sum; then
 * there are as many terms as keys, the exponential's and the merge's few ulp.
 */
static void reference_head(const struct attention_run *r, unsigned t, unsigned h, struct score *scores,
	float *want, float *bound)
{
	unsigned n = r->a->head_dim, head = h / (r->a->heads / r->a->kv_heads);
	double error = 0.0, top = -INFINITY, sum = 0.0, rel;
	size_t count = score_keys(r, t, h, scores, &error);

	for (size_t i = 0; i < count; i++)
		top = fmax(top, scores[i].p);
	for (size_t i = 0; i < count; i++) {
		scores[i].p = exp(scores[i].p - top);
		sum += scores[i].p;
	}
	rel = expm1(2 * (4 * sqrt(n) + 4) * U * error) + (4 * sqrt((double)count) + 64) * U;
	for (unsigned d = 0; d < n; d++) {
		double v = 0.0, sizes = 0.0;

		for (size_t i = 0; i < count; i++) {
			double term = scores[i].p * cache_value(&r->cache, head, scores[i].slot, d);

			v += term;
			sizes += fabs(term);
		}
		want[d] = count ? (float)(v / sum) : 0.0f;
		bound[d] = (float)(count ? rel * sizes / sum : 0.0) + 1e-30f;
	}
}

static void check(struct checkcl *c, const struct attention_run *r, unsigned tokens)
{
	size_t k = (size_t)r->a->heads * r->a->head_dim;
	float *want = malloc(tokens * k * sizeof(float)), *bound = malloc(tokens * k * sizeof(float));
	struct score *scores = malloc((r->shape.slots + 1) * sizeof(*scores));

	for (unsigned t = 0; t < tokens; t++) {
		for (unsigned h = 0; h < r->a->heads; h++) {
			size_t at = t * k + (size_t)h * r->a->head_dim;

			reference_head(r, t, h, scores, want + at, bound + at);
		}
	}
	if (r->out.f32)
		rows_check_f32(c, r->params, r->out.f32, tokens * k, want, bound);
	if (r->out.packed)
		rows_check_packed(c, r->params, r->out.packed, r->width, tokens, k, want, bound);
	if (r->out.rows8)
		rows_check_rows8(c, r->params, r->out.rows8, r->width, tokens, k, want, bound);
	free(want);
	free(bound);
	free(scores);
}

/* ---- graphs ----------------------------------------------------------------------------------- */

static bool run_make(struct checkcl *c, struct attention_run *r, const struct attention_shape *a, unsigned width,
	unsigned slots)
{
	size_t k = (size_t)a->heads * a->head_dim;

	memset(r, 0, sizeof(*r));
	r->a = a;
	r->width = width;
	r->shape = (struct weir_attention_shape){.heads = a->heads, .kv_heads = a->kv_heads,
		.head_dim = a->head_dim, .n_rot = a->head_dim, .slots = slots, .kv = a->kv,
		.two_queries = a->two_queries};
	snprintf(r->what, sizeof(r->what), "attention heads %u/%u dim %u %s%s%s width %u", a->heads, a->kv_heads,
		a->head_dim, a->kv == WEIR_KV_Q8 ? "q8" : a->kv == WEIR_KV_F32 ? "f32" : "f16", a->two_queries ? " two queries" : "",
		a->packed ? " packed" : "", width);
	if (!cache_make(c, &r->shape, &r->cache))
		return false;
	if (weir_graph_create(c->dev, &r->g)) {
		checkcl_fail(c, r->what, weir_error());
		cache_done(&r->cache);
		return false;
	}
	r->seen = malloc(width * sizeof(int));
	r->q = malloc(width * q_size(r) * sizeof(float));
	checkcl_step_make(c, r->g, width, a->head_dim, &r->s);
	r->q_tensor = rows_kept(r->g, "q", width * q_size(r) * sizeof(float));
	/* Alone or beside the floats and rows of one scale: both occur. */
	if (!a->packed || a->two_queries)
		r->out.f32 = rows_kept(r->g, "f32", width * k * sizeof(float));
	if (a->packed)
		r->out.packed = rows_kept(r->g, "packed", weir_packed_size(width, k, false));
	if (a->packed && a->two_queries)
		r->out.rows8 = rows_kept(r->g, "rows8", weir_packed_size(width, k, false));
	weir_op_attention(r->g, &r->s.t, &r->shape, r->q_tensor, cache_bind(&r->cache, r->g), r->out);
	r->plan = checkcl_plan(c, r->what, r->g);
	return true;
}

static void run_done(struct attention_run *r)
{
	weir_graph_destroy(r->g);
	checkcl_step_done(&r->s);
	cache_done(&r->cache);
	free(r->seen);
	free(r->q);
}

static void put_step(struct checkcl *c, struct attention_run *r, const struct attention_step *a)
{
	fill(c, r, a);
	snprintf(r->params, sizeof(r->params), "%s tokens %u past %u keys %s sizes %d", r->what, a->tokens, a->past,
		keys_name[a->keys], (int)a->sizes);
	checkcl_put(r->s.t.step, &r->step, sizeof(r->step));
	checkcl_put(r->s.t.seen, r->seen, a->tokens * sizeof(int));
	checkcl_put(r->q_tensor, r->q, a->tokens * q_size(r) * sizeof(float));
	cache_put(c, &r->cache);
	if (r->out.f32)
		rows_garbage(r->out.f32);
	if (r->out.packed)
		rows_garbage(r->out.packed);
	if (r->out.rows8)
		rows_garbage(r->out.rows8);
}

static void run_steps(struct checkcl *c, const struct attention_shape *a, unsigned width, unsigned slots,
	const struct attention_step *steps, size_t n)
{
	struct attention_run r;

	if (!run_make(c, &r, a, width, slots))
		return;
	for (size_t i = 0; i < n && r.plan; i++) {
		put_step(c, &r, steps + i);
		if (checkcl_run(c, r.params, r.plan, steps[i].tokens))
			check(c, &r, steps[i].tokens);
	}
	run_done(&r);
}

static const struct attention_shape shapes[] = {
	{9, 3, 64, WEIR_KV_F16, true, true},
	{8, 4, 8, WEIR_KV_Q8, false, true},
	{4, 1, 80, WEIR_KV_F16, false, false},
	{8, 4, 8, WEIR_KV_F16, true, false},
	{9, 3, 64, WEIR_KV_Q8, false, true},
	{4, 4, 64, WEIR_KV_F16, false, true},
	{4, 4, 80, WEIR_KV_Q8, true, true},
	{16, 2, 128, WEIR_KV_F16, false, true},
	{16, 2, 128, WEIR_KV_Q8, true, true},
	{2, 2, 128, WEIR_KV_F16, true, false},
	{13, 1, 20, WEIR_KV_F16, false, false},
	{16, 1, 96, WEIR_KV_F16, false, true},
	{3, 1, 256, WEIR_KV_Q8, false, false},
	{34, 2, 4, WEIR_KV_F16, false, false},
	{8, 4, 8, WEIR_KV_F32, true, true},
	{9, 3, 64, WEIR_KV_F32, false, true},
};

static void run_shapes(struct checkcl *c, unsigned width, unsigned slots, const struct attention_step *steps,
	size_t n)
{
	size_t count = c->quick ? 3 : WEIR_ARRAY_SIZE(shapes);

	for (size_t i = 0; i < count; i++)
		run_steps(c, shapes + i, width, slots, steps, n);
}

static void run_decode(struct checkcl *c)
{
	static const struct attention_step steps[] = {
		{1, 0, KEYS_ONE, SIZES_PLAIN}, {1, 0, KEYS_ONE, SIZES_ZERO}, {1, 0, KEYS_BLIND, SIZES_PLAIN},
		{1, 63, KEYS_ONE, SIZES_PLAIN}, {1, 100, KEYS_SHIFT, SIZES_LARGE},
		{1, 129, KEYS_SHIFT, SIZES_ZERO}, {1, 200, KEYS_RING, SIZES_PLAIN},
		{1, 2, KEYS_RING, SIZES_PLAIN}, {1, 700, KEYS_FOUR, SIZES_LARGE},
		{1, 1000, KEYS_SHIFT, SIZES_PLAIN}, {1, 1023, KEYS_ONE, SIZES_LARGE},
		{1, 900, KEYS_RING, SIZES_LARGE},
	};
	static const struct attention_step long_steps[] = {
		{1, 4095, KEYS_ONE, SIZES_PLAIN}, {1, 4095, KEYS_SHIFT, SIZES_LARGE},
		{1, 4000, KEYS_RING, SIZES_PLAIN},
	};

	run_shapes(c, 1, 1088, steps, WEIR_ARRAY_SIZE(steps));
	for (size_t i = 0; i < 2 && !c->quick; i++)
		run_steps(c, shapes + i, 1, 4224, long_steps, WEIR_ARRAY_SIZE(long_steps));
}

static void run_prefill(struct checkcl *c)
{
	static const struct attention_step steps[] = {
		{70, 0, KEYS_ONE, SIZES_PLAIN}, {70, 0, KEYS_SHIFT, SIZES_LARGE}, {1, 0, KEYS_ONE, SIZES_PLAIN},
		{17, 40, KEYS_SHIFT, SIZES_ZERO}, {33, 170, KEYS_RING, SIZES_PLAIN},
		{70, 120, KEYS_RING, SIZES_LARGE}, {61, 100, KEYS_FOUR, SIZES_PLAIN},
		{23, 30, KEYS_BLIND, SIZES_PLAIN}, {2, 300, KEYS_SHIFT, SIZES_PLAIN},
	};

	run_shapes(c, 70, 384, steps, WEIR_ARRAY_SIZE(steps));
}

/* ---- times ------------------------------------------------------------------------------------ */

static void time_step(struct checkcl *c, const struct attention_shape *a, unsigned width, unsigned past)
{
	struct attention_step step = {width, past, KEYS_ONE, SIZES_PLAIN};
	struct attention_run r;
	double keys = 0, row = a->kv == WEIR_KV_Q8 ? a->head_dim + 4 : 2 * a->head_dim;

	if (!run_make(c, &r, a, width, (past + width + 63) / 64 * 64))
		return;
	if (r.plan) {
		put_step(c, &r, &step);
		for (unsigned t = 0; t < width; t++)
			keys += past + t + 1;
		checkcl_time(c, r.params, r.plan, width, 2 * row * a->kv_heads * (past + width),
			keys * a->heads * a->head_dim * 4);
	}
	run_done(&r);
}

static void run_time(struct checkcl *c)
{
	static const struct attention_shape timed[] = {
		{9, 3, 64, WEIR_KV_F16, false, true},
		{9, 3, 64, WEIR_KV_Q8, false, true},
		{32, 4, 64, WEIR_KV_F16, false, true},
		{32, 4, 64, WEIR_KV_Q8, false, true},
		{32, 32, 64, WEIR_KV_F16, false, true},
	};

	for (size_t i = 0; c->bench && i < WEIR_ARRAY_SIZE(timed); i++) {
		time_step(c, timed + i, 1, 63);
		time_step(c, timed + i, 1, 511);
		time_step(c, timed + i, 1, 4095);
		time_step(c, timed + i, 1, 65535);
		time_step(c, timed + i, 512, 0);
		time_step(c, timed + i, 512, 1536);
	}
}

const struct checkcl_row checkcl_attention[] = {
	{"rope_store", rope_run_store},
	{"attention/decode", run_decode},
	{"attention/prefill", run_prefill},
	{"attention/time", run_time},
	{NULL, NULL},
};
