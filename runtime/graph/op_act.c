/* SPDX-License-Identifier: MIT */
/* The row ops between matmuls: RMSNorm, SwiGLU's gate, packing (kernels/act.cl). */
#include "base/base.h"
#include "graph/ops.h"

/* As in kernels/act.cl. */
#define ACT_F32 1
#define ACT_PACKED 2
#define ACT_FINE 4
#define ACT_ROWS8 8
#define ACT_LOCAL 64
#define ACT_PART 256 /* WEIR_ACT_PART */

/* As for matmuls: more work-groups than threads, so that a late thread leaves its part to others. */
#define CPU_GROUPS 128

unsigned weir_packed_tile(unsigned width, bool fine)
{
	return width == 1 ? (fine ? 2 : 1) : WEIR_TILE;
}

size_t weir_packed_size(unsigned width, size_t k, bool fine)
{
	unsigned tile = weir_packed_tile(width, fine);
	size_t rows = ((size_t)width * (fine ? 2 : 1) + tile - 1) / tile * tile, size;

	/* No tensor has 0 bytes: what does not fit fails where the tensor is made. */
	return weir_size_mul(rows, k, &size) && weir_size_mul(size, 3, &size) ? size / 2 : 0;
}

static void check_row(struct weir_graph *g, const char *what, size_t k, struct weir_rows_out out)
{
	bool packed = out.packed || out.rows8;


	if (!k || k > INT32_MAX / 64)
		weir_graph_fail(g, EINVAL, "%s: a row of %zu is none that a kernel can count", what, k);
	else if (packed && k % 32)
		weir_graph_fail(g, EINVAL, "%s: a row of %zu cannot be packed in groups of 32", what, k);
	else if (out.packed && out.fine && out.rows8) /* their tiles have different tokens */
		weir_graph_fail(g, EINVAL, "%s: a row is either fine or has one scale", what);
}

/* How a row op is launched: tokens go by tiles when they are packed. */
struct rows_launch {
	unsigned groups, local;
	int tile, forms;
};

/* whole: each value depends on all of its row, which so is one unit of work. */
static struct rows_launch rows_launch(struct weir_graph *g, unsigned width, size_t k, bool whole,
	struct weir_rows_out out)
{
	bool fine = out.packed && out.fine;
	struct rows_launch l = {.tile = 1, .local = 1};
	size_t parts = whole || out.rows8 ? 1 : (k + ACT_PART - 1) / ACT_PART;
	unsigned tokens, tiles;

	if (out.packed || out.rows8)
		l.tile = (int)weir_packed_tile(width, fine);
	tokens = (unsigned)l.tile / (fine ? 2 : 1);
	tiles = (width + tokens - 1) / tokens;
	l.forms = (out.f32 ? ACT_F32 : 0) | (out.packed ? ACT_PACKED : 0) | (fine ? ACT_FINE : 0) |
		  (out.rows8 ? ACT_ROWS8 : 0);
	l.groups = (unsigned)WEIR_MIN(tiles * parts, (size_t)CPU_GROUPS);
	if (weir_device_props(weir_graph_device(g))->schedule == WEIR_SCHEDULE_GPU) {
		l.groups = tiles * tokens;
		l.local = ACT_LOCAL;
	}
	return l;
}

/* The kernel never touches the forms that nobody reads, but takes three pointers. */
static void rows_out(struct weir_op *op, struct weir_rows_out out)
{
	struct weir_tensor *any = out.f32 ? out.f32 : out.packed ? out.packed : out.rows8;

	weir_op_write(op, out.f32 ? out.f32 : any);
	weir_op_write(op, out.packed ? out.packed : any);
	weir_op_write(op, out.rows8 ? out.rows8 : any);
}

static size_t out_bytes(size_t k, struct weir_rows_out out)
{
	return (out.f32 ? k * 4 : 0) + (out.packed ? k * 3 / (out.fine ? 1 : 2) : 0) + (out.rows8 ? k : 0);
}

static void rmsnorm(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x,
	struct weir_tensor *weight, size_t k, float eps, unsigned width, bool head,
	struct weir_rows_out out)
{
	struct rows_launch l = rows_launch(g, width, k, true, out);
	struct weir_op *op;

	check_row(g, "rmsnorm", k, out);
	op = weir_graph_op(g, "rmsnorm", "act.cl", "", "act_rmsnorm", l.groups, l.local);
	weir_op_read(op, s->step);
	weir_op_read(op, x);
	weir_op_read(op, weight);
	rows_out(op, out);
	weir_op_int(op, (int32_t)k);
	weir_op_float(op, eps);
	weir_op_int(op, l.tile);
	weir_op_int(op, l.forms);
	weir_op_int(op, head);
	weir_op_cost(op, k * 4, k * 4 + out_bytes(k, out), k * 4);
}

void weir_op_rmsnorm(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x,
	struct weir_tensor *weight, size_t k, float eps, struct weir_rows_out out)
{
	rmsnorm(g, s, x, weight, k, eps, s->width, false, out);
}

void weir_op_rmsnorm_out(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x,
	struct weir_tensor *weight, size_t k, float eps, unsigned out_width, struct weir_rows_out out)
{
	rmsnorm(g, s, x, weight, k, eps, out_width, true, out);
}

void weir_op_silu_gate(struct weir_graph *g, const struct weir_step_tensors *s,
	struct weir_tensor *gate_up, size_t k, struct weir_rows_out out)
{
	struct rows_launch l = rows_launch(g, s->width, k, false, out);
	struct weir_op *op;

	check_row(g, "silu gate", k, out);
	op = weir_graph_op(g, "silu_gate", "act.cl", "", "act_silu_gate", l.groups, l.local);
	weir_op_read(op, s->step);
	weir_op_read(op, gate_up);
	rows_out(op, out);
	weir_op_int(op, (int32_t)k);
	weir_op_int(op, l.tile);
	weir_op_int(op, l.forms);
	weir_op_cost(op, 0, k * 8 + out_bytes(k, out), k * 16);
}

void weir_op_pack(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x, size_t k,
	struct weir_rows_out out)
{
	struct rows_launch l = rows_launch(g, s->width, k, false, out);
	struct weir_op *op;

	check_row(g, "pack", k, out);
	op = weir_graph_op(g, "pack", "act.cl", "", "act_pack", l.groups, l.local);
	weir_op_read(op, s->step);
	weir_op_read(op, x);
	rows_out(op, out);
	weir_op_int(op, (int32_t)k);
	weir_op_int(op, l.tile);
	weir_op_int(op, l.forms);
	weir_op_cost(op, 0, k * 4 + out_bytes(k, out), k * 4);
}
