/* SPDX-License-Identifier: MIT */
/* What choosing scales for weights needs of activations (kernels/calib.cl). */
#include "base/base.h"
#include "graph/ops.h"

/* As for matmuls: more work-groups than threads, so that a late thread leaves its part to others. */
#define CPU_GROUPS WEIR_SQDIFF_SUMS

/* As in kernels/calib.cl. */
#define GRAM_SIDE 96
#define GPU_GRAM_SIDE 16
#define GPU_LOCAL 64

static bool is_gpu(struct weir_graph *g)
{
	return weir_device_props(weir_graph_device(g))->schedule == WEIR_SCHEDULE_GPU;
}

/* Kernels count values of a row, and of a result's rows, in ints; a row is whole vectors. */
static bool check(struct weir_graph *g, const char *what, size_t k, struct weir_tensor *out, size_t out_rows)
{
	size_t size;

	if (!weir_graph_ok(g))
		return false;
	if (!k || k % 32 || k > INT32_MAX / 64)
		weir_graph_fail(g, EINVAL, "%s: %zu columns are not 32s that a kernel can count", what, k);
	else if (!weir_size_mul(k, out_rows * sizeof(float), &size) || weir_tensor_size(out) < size)
		weir_graph_fail(g, EINVAL, "%s: %zu x %zu results do not fit", what, out_rows, k);
	return weir_graph_ok(g);
}

static struct weir_op *launch(struct weir_graph *g, const char *kernel, size_t units)
{
	return weir_graph_op(g, kernel, "calib.cl", "", kernel, (unsigned)units, is_gpu(g) ? GPU_LOCAL : 1);
}

void weir_op_gram(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x, size_t k,
	struct weir_tensor *gram)
{
	size_t sides;
	struct weir_op *op;

	if (!check(g, "gram", k, gram, k))
		return;
	sides = is_gpu(g) ? k / GPU_GRAM_SIDE : (k + GRAM_SIDE - 1) / GRAM_SIDE;
	op = launch(g, "calib_gram", is_gpu(g) ? WEIR_MIN(sides * sides, 4096u)
					       : WEIR_MIN(sides * (sides + 1) / 2, 4096u));
	weir_op_read(op, s->step);
	weir_op_read(op, x);
	weir_op_update(op, gram);
	weir_op_int(op, (int32_t)k);
	weir_op_cost(op, k * k * 8, k * 4, 2 * (uint64_t)k * k);
}

void weir_op_sqdiff(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *y,
	struct weir_tensor *wanted, size_t columns, struct weir_tensor *sums)
{
	struct weir_op *op;

	if (!check(g, "sqdiff", columns, sums, 0))
		return;
	if (weir_tensor_size(sums) < WEIR_SQDIFF_SUMS * sizeof(float)) {
		weir_graph_fail(g, EINVAL, "sqdiff: there is no room for %d sums", WEIR_SQDIFF_SUMS);
		return;
	}
	op = launch(g, "calib_sqdiff", WEIR_SQDIFF_SUMS);
	weir_op_read(op, s->step);
	weir_op_read(op, y);
	weir_op_read(op, wanted);
	weir_op_write(op, sums);
	weir_op_int(op, (int32_t)columns);
	weir_op_cost(op, 0, columns * 8, columns * 3);
}

void weir_op_colstat(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x, size_t k,
	struct weir_tensor *stat)
{
	struct weir_op *op;

	if (!check(g, "colstat", k, stat, 2))
		return;
	op = launch(g, "calib_colstat", WEIR_MIN(k / (is_gpu(g) ? 32 : 16), (size_t)CPU_GROUPS));
	weir_op_read(op, s->step);
	weir_op_read(op, x);
	weir_op_update(op, stat);
	weir_op_int(op, (int32_t)k);
	weir_op_cost(op, k * 16, k * 4, k * 2);
}
