/* SPDX-License-Identifier: MIT */
/* How long matmul.cl takes, in decode and in prefill. */
#include "matmul.h"

#include "base/base.h"

#define BENCH_TOKENS 96

/* Weights of a plan: for decode much more than caches hold; prefill hardly minds where they lie. */
#define BENCH_DECODE_BYTES (192u << 20)
#define BENCH_PREFILL_BYTES (24u << 20)

/* A plan of many matmuls, each with weights of its own. */
static void time_shape(
	struct checkcl *c, const struct weight_kind *kind, size_t rows, size_t k, size_t tokens)
{
	struct weir_plane_format format = weight_format(kind, k);
	struct weir_step step = {.n_tokens = (int)tokens, .out_count = 1};
	struct weir_plane_layout l;
	struct weir_rows_out x;
	struct checkcl_step s;
	struct weir_plan *plan;
	struct weir_tensor *y;
	struct weir_graph *g;
	struct weights w;
	size_t copies;
	char params[96];

	snprintf(params, sizeof(params), "matmul %s %zu x %zu, %zu tokens", kind->name,
		rows, k, tokens);
	if (weir_plane_layout(&format, rows, k, weir_device_props(c->dev)->align, &l))
		return;
	copies = WEIR_MIN(
		(tokens == 1 ? BENCH_DECODE_BYTES : BENCH_PREFILL_BYTES) / l.size + 1, (size_t)250);
	if (!weights_make(c, kind, rows, k, FILL_RANDOM, copies, &w))
		return;
	if (weir_graph_create(c->dev, &g)) {
		checkcl_fail(c, params, weir_error());
		weights_free(&w);
		return;
	}
	checkcl_step_make(c, g, (unsigned)tokens, 0, &s);
	x.f32 = weir_graph_tensor(g, "x", activations_size(activations_form(&format), tokens, k));
	x = (struct weir_rows_out){.f32 = x.f32, .packed = x.f32, .rows8 = x.f32};
	weir_tensor_keep(x.f32);
	y = weir_graph_tensor(g, "y", tokens * rows * sizeof(float));
	for (size_t i = 0; i < copies; i++) {
		struct weir_matrix m = w.m;

		m.offset = i * l.size;
		weir_op_matmul(g, &s.t, "matmul", &m, x, (unsigned)tokens, y, rows, 0, NULL, 0);
	}
	plan = checkcl_plan(c, params, g);
	if (plan) {
		void *zero = matmul_allocate(weir_tensor_size(x.f32), 1);

		checkcl_put(x.f32, zero, weir_tensor_size(x.f32));
		checkcl_put(s.t.step, &step, sizeof(step));
		free(zero);
		checkcl_time(c, params, plan, (unsigned)tokens,
			(double)(l.quants_size + l.scales_size + l.extra_size) * copies,
			2.0 * rows * k * tokens * copies);
	}
	weir_graph_destroy(g);
	checkcl_step_done(&s);
	weights_free(&w);
}

void matmul_time(struct checkcl *c, const struct weight_kind *kind)
{
	static const size_t shapes[][2] = {{576, 1536}, {1536, 576}, {2048, 5632}, {4096, 4096}};

	for (size_t tokens = 1; tokens <= BENCH_TOKENS; tokens += BENCH_TOKENS - 1) {
		for (size_t i = 0; i < WEIR_ARRAY_SIZE(shapes); i++) {
			if (shapes[i][1] % weight_block(kind) == 0)
				time_shape(c, kind, shapes[i][0], shapes[i][1], tokens);
		}
	}
}
