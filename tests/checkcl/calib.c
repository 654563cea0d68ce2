/* SPDX-License-Identifier: MIT */
/* The ops of calib.cl against sums in double. */
#include <math.h>

#include "base/base.h"
#include "rows.h"

struct calib_run {
	struct weir_graph *g;
	struct checkcl_step step;
	struct weir_tensor *x, *wanted, *out;
	struct weir_plan *plan;
	size_t width, k, n_out;
	float *in, *in_wanted, *got, *want, *bound;
	char params[96];
};

enum calib_op { CALIB_GRAM, CALIB_SQDIFF, CALIB_COLSTAT };
static const char *const op_name[] = {"gram", "sqdiff", "colstat"};

static void record(struct calib_run *r, enum calib_op op)
{
	if (op == CALIB_GRAM)
		weir_op_gram(r->g, &r->step.t, r->x, r->k, r->out);
	else if (op == CALIB_SQDIFF)
		weir_op_sqdiff(r->g, &r->step.t, r->x, r->wanted, r->k, r->out);
	else
		weir_op_colstat(r->g, &r->step.t, r->x, r->k, r->out);
}

static void run_free(struct calib_run *r)
{
	weir_graph_destroy(r->g);
	checkcl_step_done(&r->step);
	free(r->in);
	free(r->in_wanted);
	free(r->got);
	free(r->want);
	free(r->bound);
}

static bool run_make(struct checkcl *c, enum calib_op op, size_t width, size_t k, struct calib_run *r)
{
	size_t size = width * k * sizeof(float);

	*r = (struct calib_run){.width = width, .k = k};
	r->n_out = op == CALIB_GRAM ? k * k : op == CALIB_SQDIFF ? WEIR_SQDIFF_SUMS : 2 * k;
	snprintf(r->params, sizeof(r->params), "%s width %zu k %zu", op_name[op], width, k);
	if (weir_graph_create(c->dev, &r->g)) {
		checkcl_fail(c, r->params, weir_error());
		return false;
	}
	checkcl_step_make(c, r->g, (unsigned)width, 0, &r->step);
	r->x = rows_kept(r->g, "x", size);
	r->wanted = rows_kept(r->g, "wanted", size);
	r->out = rows_kept(r->g, "out", r->n_out * sizeof(float));
	record(r, op);
	r->plan = checkcl_plan(c, r->params, r->g);
	r->in = malloc(size);
	r->in_wanted = malloc(size);
	r->got = calloc(r->n_out, sizeof(float));
	r->want = calloc(r->n_out, sizeof(float));
	r->bound = calloc(r->n_out, sizeof(float));
	for (size_t i = 0; i < width * k; i++) {
		r->in[i] = checkcl_uniform(c, -2, 2) * (i % k == 3 ? 1000 : 1);
		r->in_wanted[i] = r->in[i] + checkcl_uniform(c, -0.01f, 0.01f);
	}
	if (r->plan)
		return true;
	run_free(r);
	return false;
}

/* One step over the first tokens; the rest of the rows is not a number. */
static bool run_step(struct checkcl *c, struct calib_run *r, size_t tokens)
{
	struct weir_step step = {.n_tokens = (int)tokens, .out_count = 1};
	size_t size = tokens * r->k * sizeof(float);

	rows_garbage(r->x);
	checkcl_put(r->x, r->in, size);
	rows_garbage(r->wanted);
	checkcl_put(r->wanted, r->in_wanted, size);
	checkcl_put(r->step.t.step, &step, sizeof(step));
	return checkcl_run(c, r->params, r->plan, (unsigned)tokens);
}

/* Adds a step's tokens to what is wanted. A sum of n errs by n roundings of its terms' sizes at most. */
static void gram_reference(struct calib_run *r, size_t tokens)
{
	for (size_t i = 0; i < r->k * r->k; i++) {
		double sum = 0, size = 0;

		for (size_t t = 0; t < tokens; t++) {
			double v = (double)r->in[t * r->k + i / r->k] * r->in[t * r->k + i % r->k];

			sum += v;
			size += fabs(v);
		}
		r->want[i] = (float)(r->want[i] + sum);
		r->bound[i] += (float)((double)(tokens + 4) * U * (size + fabs(r->want[i])));
	}
}

static void colstat_reference(struct calib_run *r, size_t tokens)
{
	for (size_t i = 0; i < r->k; i++) {
		double sum = r->want[i];

		for (size_t t = 0; t < tokens; t++) {
			float v = fabsf(r->in[t * r->k + i]);

			sum += v;
			r->want[r->k + i] = fmaxf(r->want[r->k + i], v);
		}
		r->want[i] = (float)sum;
		r->bound[i] += (float)((double)(tokens + 4) * U * sum);
	}
}

static void check_sqdiff(struct checkcl *c, struct calib_run *r, size_t tokens)
{
	double got = 0, sum = 0;
	float one, want, bound;

	for (size_t i = 0; i < tokens * r->k; i++) {
		double d = (double)r->in[i] - r->in_wanted[i];

		/* The difference of floats that are near each other is exact. */
		sum += d * d;
	}
	for (size_t i = 0; i < r->n_out; i++)
		got += r->got[i];
	one = (float)got;
	want = (float)sum;
	bound = want * (float)(r->k * tokens / WEIR_SQDIFF_SUMS + 64) * U;
	checkcl_compare_bounds(c, r->params, &one, &want, &bound, 1);
}

static void check_symmetric(struct checkcl *c, const struct calib_run *r)
{
	for (size_t i = 0; i < r->k * r->k; i++) {
		if (r->got[i] != r->got[i % r->k * r->k + i / r->k]) {
			checkcl_fail(c, r->params, "its triangles differ");
			return;
		}
	}
}

/* Two steps: the second adds to the first, but for differences. */
static void check_op(struct checkcl *c, enum calib_op op, size_t width, size_t k)
{
	const size_t counts[] = {width, WEIR_MAX(width / 2, (size_t)1)};
	struct calib_run r;

	if (!run_make(c, op, width, k, &r))
		return;
	checkcl_put(r.out, r.got, r.n_out * sizeof(float));
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(counts); i++) {
		if (!run_step(c, &r, counts[i]))
			break;
		checkcl_get(r.out, r.got, r.n_out * sizeof(float));
		if (op == CALIB_SQDIFF) {
			check_sqdiff(c, &r, counts[i]);
			continue;
		}
		(op == CALIB_GRAM ? gram_reference : colstat_reference)(&r, counts[i]);
		checkcl_compare_bounds(c, r.params, r.got, r.want, r.bound, r.n_out);
		if (op == CALIB_GRAM)
			check_symmetric(c, &r);
	}
	run_free(&r);
}

static void time_op(struct checkcl *c, enum calib_op op, size_t width, size_t k)
{
	struct calib_run r;

	if (!c->bench || !run_make(c, op, width, k, &r))
		return;
	if (run_step(c, &r, width))
		checkcl_time(c, r.params, r.plan, (unsigned)width, 4.0 * k * width,
			op == CALIB_GRAM ? 2.0 * k * k * width : 3.0 * k * width);
	run_free(&r);
}

static void check_all(struct checkcl *c, enum calib_op op)
{
	check_op(c, op, 1, 32);
	check_op(c, op, 5, 96);
	check_op(c, op, 40, 224);
	time_op(c, op, 512, 576);
	time_op(c, op, 512, 1536);
}

static void check_gram(struct checkcl *c)
{
	check_all(c, CALIB_GRAM);
}

static void check_sqdiffs(struct checkcl *c)
{
	check_all(c, CALIB_SQDIFF);
	check_op(c, CALIB_SQDIFF, 70, 576);
}

static void check_colstat(struct checkcl *c)
{
	check_all(c, CALIB_COLSTAT);
	check_op(c, CALIB_COLSTAT, 3, 2080);
}

const struct checkcl_row checkcl_calib[] = {
	{"calib/gram", check_gram},
	{"calib/sqdiff", check_sqdiffs},
	{"calib/colstat", check_colstat},
	{NULL, NULL},
};
