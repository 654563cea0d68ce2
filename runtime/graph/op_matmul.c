/* SPDX-License-Identifier: MIT */
/* The ops that read planes of weights: matmul.cl and embed.cl. */
#include "graph/ops.h"

#include "base/base.h"

/*
 * Work-groups of a launch. On a CPU many more than the threads, so that a late thread leaves its
 * share to others: 128 beat 2 to 8 on a 2-core x86_64 under PoCL 3.1. A GPU wants as many as there
 * are units of work.
 */
#define CPU_GROUPS 128
#define GPU_GROUPS 4096
#define GPU_LOCAL 64

#define EMBED_CHUNK 512 /* as in kernels/embed.cl */
#define OFFSET_UNIT 64	/* kernels get offsets in these, as an int */

/* A flag of the kernel's own, beside ADD and OUT: there is a bias. */
#define MATMUL_BIAS (1 << 2)

static void set_groups(weir_device *dev, size_t units, unsigned *groups, unsigned *local)
{
	bool gpu = weir_device_props(dev)->schedule == WEIR_SCHEDULE_GPU;

	*groups = (unsigned)WEIR_MIN(units, (size_t)(gpu ? GPU_GROUPS : CPU_GROUPS));
	*local = gpu ? GPU_LOCAL : 1;
}

static void plane_options(const struct weir_plane_format *f, char *out, size_t size)
{
	snprintf(out, size,
		"-DPLANE_BASE=%d -DPLANE_GROUP=%d -DPLANE_TWO_LEVEL=%d -DPLANE_HAS_MIN=%d "
		"-DPLANE_ZERO=%d -DPLANE_ZEROS=%d -DPLANE_F32_SCALES=%d -DPLANE_ROW_ACT=%d",
		(int)f->base, f->row_act ? 0 : (int)f->group, f->two_level, f->has_min, f->zero,
		f->zeros, f->f32_scales, f->row_act);
}

/* Kernels count rows and columns in ints, and a row of activations in bytes. */
static bool check_matrix(struct weir_graph *g, const struct weir_matrix *w)
{
	const struct weir_plane_layout *l = &w->layout;

	if (l->rows > INT32_MAX - WEIR_PLANE_ROWS || l->k > INT32_MAX / 16 ||
		l->scales / OFFSET_UNIT > INT32_MAX || l->extra / OFFSET_UNIT > INT32_MAX)
		weir_graph_fail(g, EOVERFLOW, "%s: %zu x %zu is more than a kernel can count",
			w->name, l->rows, l->k);
	return weir_graph_ok(g);
}

static void plane_arguments(struct weir_op *op, const struct weir_plane_layout *l)
{
	weir_op_int(op, (int32_t)(l->scales / OFFSET_UNIT));
	weir_op_int(op, (int32_t)(l->extra / OFFSET_UNIT));
	weir_op_int(op, (int32_t)l->k);
}

static bool check_output(struct weir_graph *g, const struct weir_matrix *w, unsigned width,
	const struct weir_tensor *y, size_t y_columns, size_t y_first)
{
	if (!y_columns || y_columns > INT32_MAX ||
		weir_tensor_size(y) / sizeof(float) / y_columns < width || y_first > y_columns ||
		w->layout.rows > y_columns - y_first)
		weir_graph_fail(g, EINVAL, "%s: %zu rows at column %zu do not fit %u x %zu results",
			w->name, w->layout.rows, y_first, width, y_columns);
	return weir_graph_ok(g);
}

void weir_op_matmul(struct weir_graph *g, const struct weir_step_tensors *s, const char *label,
	const struct weir_matrix *w, struct weir_rows_out x, unsigned width, struct weir_tensor *y,
	size_t y_columns, size_t y_first, struct weir_tensor *bias, unsigned flags)
{
	const struct weir_plane_layout *l = &w->layout;
	bool is_float = weir_plane_is_float(&l->format), row_act = l->format.row_act;
	bool fine = !is_float && !row_act && x.fine;
	unsigned tile = weir_packed_tile(width, fine), lanes = fine ? 2 : 1, groups, local;
	char options[256], plane[224];
	struct weir_op *op;

	if (!weir_graph_ok(g) || !check_matrix(g, w) ||
		!check_output(g, w, width, y, y_columns, y_first))
		return;
	plane_options(&l->format, plane, sizeof(plane));
	snprintf(options, sizeof(options), "%s -DTILE=%u -DLANES=%u", plane, tile, lanes);
	set_groups(weir_graph_device(g),
		l->padded_rows / WEIR_PLANE_ROWS * ((width * lanes + tile - 1) / tile), &groups, &local);

	op = weir_graph_op(g, label, "matmul.cl", options, "matmul", groups, local);
	weir_op_read(op, weir_graph_bind(g, w->name, w->buffer, w->offset, l->size));
	weir_op_read(op, is_float ? x.f32 : row_act ? x.rows8 : x.packed);
	if (flags & WEIR_MATMUL_ADD)
		weir_op_update(op, y);
	else
		weir_op_write(op, y);
	weir_op_read(op, bias ? bias : s->step);
	weir_op_read(op, s->step);
	plane_arguments(op, l);
	weir_op_int(op, (int32_t)l->rows);
	weir_op_int(op, (int32_t)y_columns);
	weir_op_int(op, (int32_t)y_first);
	weir_op_int(op, (int32_t)((flags & (WEIR_MATMUL_ADD | WEIR_MATMUL_OUT)) | (bias ? MATMUL_BIAS : 0)));
	weir_op_ahead(op, is_float ? l->size : l->scales);
	if (flags & WEIR_MATMUL_BESIDE)
		weir_op_beside(op);
	weir_op_cost(op, l->size, (is_float ? l->k * 4 : lanes * l->k * 3 / 2) + l->rows * 4,
		2 * (uint64_t)lanes * l->rows * l->k);
}

void weir_op_embed(struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_matrix *w, struct weir_tensor *y)
{
	const struct weir_plane_layout *l = &w->layout;
	unsigned groups, local;
	char options[224];
	struct weir_op *op;

	if (!weir_graph_ok(g) || !check_matrix(g, w))
		return;
	if (l->format.base <= WEIR_PLANE_U3 || l->format.row_act) {
		weir_graph_fail(g, ENOTSUP, "%s: embeddings of 2 or 3 bits, or with one scale a row, are not read",
			w->name);
		return;
	}
	plane_options(&l->format, options, sizeof(options));
	set_groups(weir_graph_device(g), s->width * ((l->k + EMBED_CHUNK - 1) / EMBED_CHUNK),
		&groups, &local);

	op = weir_graph_op(g, "embed", "embed.cl", options, "embed", groups, local);
	weir_op_read(op, weir_graph_bind(g, w->name, w->buffer, w->offset, l->size));
	weir_op_write(op, y);
	weir_op_read(op, s->token);
	weir_op_read(op, s->step);
	plane_arguments(op, l);
	weir_op_cost(op, 0, l->size / l->padded_rows + l->k * 4, l->k);
}
