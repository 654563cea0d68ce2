/* SPDX-License-Identifier: MIT */
/* embed.cl against rows of planes, for every type of weights. */
#include "matmul.h"

#include "base/base.h"

static const enum weir_type types[] = {WEIR_TYPE_F32, WEIR_TYPE_F16, WEIR_TYPE_BF16, WEIR_TYPE_Q4_0,
	WEIR_TYPE_Q4_1, WEIR_TYPE_Q5_0, WEIR_TYPE_Q5_1, WEIR_TYPE_Q8_0, WEIR_TYPE_Q2_K,
	WEIR_TYPE_Q3_K, WEIR_TYPE_Q4_K, WEIR_TYPE_Q5_K, WEIR_TYPE_Q6_K};

static void check_type(struct checkcl *c, enum weir_type type, size_t rows, size_t k)
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

	snprintf(params, sizeof(params), "embed %s rows %zu k %zu", weir_type_name(type), rows, k);
	if (!weights_make(c, type, rows, k, FILL_RANDOM, 1, &w))
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
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(types); i++) {
		size_t block, bytes;

		weir_type_block(types[i], &block, &bytes);
		check_type(c, types[i], 40, block == 1 ? 33 : block);
		check_type(c, types[i], 100, 1536);
	}
}
