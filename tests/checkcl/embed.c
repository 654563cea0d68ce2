/* SPDX-License-Identifier: MIT */
/* embed.cl against rows of planes, for every kind of weights that embeddings can have. */
#include "matmul.h"

#include "base/base.h"

static const char *const kinds[] = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K",
	"Q4_K", "Q5_K", "Q6_K", "W4g128", "W8g128"};

static void check_kind(struct checkcl *c, const struct weight_kind *kind, size_t rows, size_t k)
{
	enum { TOKENS = 5, EMBED_WIDTH = 7 };
	struct weir_step step = {.n_tokens = TOKENS};
	int token[EMBED_WIDTH] = {0, (int)rows - 1, 15, 16, (int)rows / 2, 1, 2};
	float want[EMBED_WIDTH * 1536], bound[EMBED_WIDTH * 1536], got[EMBED_WIDTH * 1536];
	struct checkcl_step s;
	struct weir_tensor *y;
	struct weir_plan *plan;
	struct weir_graph *g;
	struct weights w;
	char params[96];

	snprintf(params, sizeof(params), "embed %s rows %zu k %zu", kind->name, rows, k);
	if (!weights_make(c, kind, rows, k, FILL_RANDOM, 1, &w))
		return;
	if (weir_graph_create(c->dev, &g)) {
		checkcl_fail(c, params, weir_error());
		weights_free(&w);
		return;
	}
	checkcl_step_make(c, g, EMBED_WIDTH, 0, &s);
	y = weir_graph_tensor(g, "y", EMBED_WIDTH * k * sizeof(float));
	weir_tensor_keep(y);
	weir_op_embed(g, &s.t, &w.m, y);
	plan = checkcl_plan(c, params, g);
	for (size_t i = 0; i < EMBED_WIDTH * k; i++) {
		size_t at = (size_t)token[i / k] * k + i % k;
		bool there = i / k < TOKENS;

		/* A weight is a product and a sum; the reference rounds them as well. */
		bound[i] = there ? 4 * UNIT * w.size[at] : 0;
		want[i] = there ? w.w[at] : -1;
		got[i] = -1;
	}
	if (plan) {
		checkcl_put(y, got, EMBED_WIDTH * k * sizeof(float));
		checkcl_put(s.t.step, &step, sizeof(step));
		checkcl_put(s.t.token, token, sizeof(token));
		if (checkcl_run(c, params, plan, TOKENS)) {
			checkcl_get(y, got, EMBED_WIDTH * k * sizeof(float));
			checkcl_compare_bounds(c, params, got, want, bound, EMBED_WIDTH * k);
		}
	}
	weir_graph_destroy(g);
	checkcl_step_done(&s);
	weights_free(&w);
}

void embed_check(struct checkcl *c)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(kinds); i++) {
		const struct weight_kind *kind = weight_kind(kinds[i]);
		size_t block = weight_block(kind);

		check_kind(c, kind, 40, block == 1 ? 33 : block);
		check_kind(c, kind, 100, kind->bits ? 576 : 1536); /* the last group of codes is short */
	}
}
