/* SPDX-License-Identifier: MIT */
/* Fine activations end to end: RMSNorm packs two columns a token, matmul adds them; against sums in double. */
#include <math.h>

#include "base/base.h"
#include "matmul.h"

#define EPS 1e-5f

struct fine {
	struct weights w;
	size_t k, rows, width, tokens;
	float *x, *norm, *got, *want, *bound;
	char params[160];
};

/* What the norm gives for a row: k values. */
static void normalize(const struct fine *f, const float *x, double *out)
{
	double sum = 0;

	for (size_t i = 0; i < f->k; i++)
		sum += (double)x[i] * x[i];
	for (size_t i = 0; i < f->k; i++)
		out[i] = x[i] / sqrt(sum / (double)f->k + EPS) * f->norm[i];
}

/*
 * A value is off by half a step of the second column, 1 / 508 of the group's scale, and by the floats' own rounding in
 * norm, packing and sum; a matmul of one column alone would be off 254 times the first.
 */
static void reference(struct fine *f)
{
	double *x = matmul_allocate(f->k, sizeof(*x));

	for (size_t t = 0; t < f->tokens; t++) {
		normalize(f, f->x + t * f->k, x);
		for (size_t r = 0; r < f->rows; r++) {
			double sum = 0, bound = 0, size = 0;

			for (size_t i = 0; i < f->k; i++) {
				double top = 0;

				for (size_t j = i / 32 * 32; j < i / 32 * 32 + 32; j++)
					top = fmax(top, fabs(x[j]));
				sum += f->w.w[r * f->k + i] * x[i];
				size += f->w.size[r * f->k + i] * top;
				bound += fabs(f->w.w[r * f->k + i]) * top / 127 / 508;
			}
			f->want[t * f->rows + r] = (float)sum;
			f->bound[t * f->rows + r] = (float)(bound + (double)(f->k / 8 + 40) * UNIT * size);
		}
	}
	free(x);
}

static void run(struct checkcl *c, struct fine *f)
{
	struct weir_step step = {.n_tokens = 1, .out_first = 2, .out_count = (int)f->tokens};
	size_t in_rows = f->width + 2;
	struct weir_rows_out packed = {.fine = true};
	struct weir_tensor *x, *norm, *y;
	struct checkcl_step s;
	struct weir_plan *plan;
	struct weir_graph *g;

	if (weir_graph_create(c->dev, &g)) {
		checkcl_fail(c, f->params, weir_error());
		return;
	}
	checkcl_step_make(c, g, (unsigned)in_rows, 0, &s);
	x = weir_graph_tensor(g, "x", in_rows * f->k * sizeof(float));
	norm = weir_graph_tensor(g, "norm", f->k * sizeof(float));
	y = weir_graph_tensor(g, "y", f->width * f->rows * sizeof(float));
	packed.packed = weir_graph_tensor(g, "packed", weir_packed_size((unsigned)f->width, f->k, true));
	weir_tensor_keep(x);
	weir_tensor_keep(norm);
	weir_tensor_keep(y);
	weir_op_rmsnorm_out(g, &s.t, x, norm, f->k, EPS, (unsigned)f->width, packed);
	weir_op_matmul(g, &s.t, "fine", &f->w.m, packed, (unsigned)f->width, y, f->rows, 0, NULL, WEIR_MATMUL_OUT);
	plan = checkcl_plan(c, f->params, g);
	if (plan) {
		float *in = matmul_allocate(in_rows * f->k, sizeof(*in));

		memcpy(in + 2 * f->k, f->x, f->tokens * f->k * sizeof(*in));
		checkcl_put(s.t.step, &step, sizeof(step));
		checkcl_put(x, in, in_rows * f->k * sizeof(*in));
		checkcl_put(norm, f->norm, f->k * sizeof(float));
		if (checkcl_run(c, f->params, plan, (unsigned)f->tokens)) {
			checkcl_get(y, f->got, f->tokens * f->rows * sizeof(float));
			checkcl_compare_bounds(c, f->params, f->got, f->want, f->bound, f->tokens * f->rows);
		}
		free(in);
	}
	weir_graph_destroy(g);
	checkcl_step_done(&s);
}

static void check(struct checkcl *c, const struct weight_kind *kind, size_t rows, size_t k, size_t width, size_t tokens)
{
	struct fine f = {.k = k, .rows = rows, .width = width, .tokens = tokens};

	snprintf(f.params, sizeof(f.params), "fine %s rows %zu k %zu width %zu tokens %zu", kind->name, rows,
		k, width, tokens);
	if (!weights_make(c, kind, rows, k, FILL_RANDOM, 1, &f.w))
		return;
	f.x = matmul_allocate(tokens * k, sizeof(float));
	f.norm = matmul_allocate(k, sizeof(float));
	f.got = matmul_allocate(tokens * rows, sizeof(float));
	f.want = matmul_allocate(tokens * rows, sizeof(float));
	f.bound = matmul_allocate(tokens * rows, sizeof(float));
	for (size_t i = 0; i < tokens * k; i++)
		f.x[i] = checkcl_uniform(c, -3, 3);
	f.x[7] = 40; /* an outlier that makes its group coarse */
	for (size_t i = 0; i < k; i++)
		f.norm[i] = checkcl_uniform(c, -2, 2);
	reference(&f);
	run(c, &f);
	free(f.x);
	free(f.norm);
	free(f.got);
	free(f.want);
	free(f.bound);
	weights_free(&f.w);
}

void fine_check(struct checkcl *c)
{
	static const char *const kinds[] = {
		"Q4_0", "Q4_1", "Q8_0", "Q2_K", "Q6_K", "W4g128"};

	for (size_t i = 0; i < (c->quick ? 2 : WEIR_ARRAY_SIZE(kinds)); i++) {
		const struct weight_kind *kind = weight_kind(kinds[i]);
		size_t k = weight_block(kind) > 32 ? 256 : 96;

		check(c, kind, 40, k, 1, 1);
		check(c, kind, 20, 2 * k, 6, 6);
		check(c, kind, 48, k, 20, 1);
		check(c, kind, 48, k, 20, 13);
		check(c, kind, 48, k, 20, 20);
	}
}
