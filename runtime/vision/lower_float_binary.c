/* SPDX-License-Identifier: MIT */
/* ADD, SUB and MUL of float32, with broadcasting over up to six dims (kernels/cnn_float.clh). */
#include "kernels/cnn_float.clh"
#include "vision/lower.h"

/* Values that a part has, about. */
#define PART_VALUES 1024

/* Dim d of six of a tensor's, ones put before its own. */
static int dim_of(const struct weir_tflite_tensor *t, int d)
{
	int own = d - (WEIR_TFLITE_DIMS - (int)t->n_dims);

	return own < 0 ? 1 : t->dim[own];
}

/* Strides, in rows of the input's own, of the four dims that make a row. */
static void row_strides(const struct weir_tflite_tensor *t, int *stride)
{
	int lies = 1;

	for (int d = CNN_BINARY_F32_DIMS - 1; d >= 0; d--) {
		stride[d] = dim_of(t, d) > 1 ? lies : 0;
		lies *= dim_of(t, d);
	}
}

/*
 * How a row's values are gone through: one line where both inputs' values follow one another or are one for
 * all.
 */
static void lines(const struct weir_tflite_tensor *const *in, const struct weir_tflite_tensor *out, int *p)
{
	int w = dim_of(out, 4), c = dim_of(out, 5), *line = p + CNN_BINARY_F32_LINE,
	    *step = p + CNN_BINARY_F32_STEP;
	bool join = true;

	for (int i = 0; i < 2; i++) {
		step[i] = dim_of(in[i], 5) > 1;
		line[i] = dim_of(in[i], 4) > 1 ? dim_of(in[i], 5) : 0;
		if (c == 1)
			step[i] = line[i];
		join &= w == 1 || line[i] == step[i] * c;
	}
	p[CNN_BINARY_F32_LINES] = join ? 1 : w;
	p[CNN_BINARY_F32_RUN] = join ? w * c : c;
	p[CNN_BINARY_F32_PART_RUN] = WEIR_MIN(p[CNN_BINARY_F32_RUN], PART_VALUES);
	p[CNN_BINARY_F32_PART_LINES] = WEIR_MAX(PART_VALUES / p[CNN_BINARY_F32_PART_RUN], 1);
}

static int binary_what(int code)
{
	return code == WEIR_TFLITE_ADD	 ? CNN_BINARY_F32_ADD
	       : code == WEIR_TFLITE_SUB ? CNN_BINARY_F32_SUB
					 : CNN_BINARY_F32_MUL;
}

/* That the inputs' dims can be broadcast together, and the output has the result. */
static int check_shapes(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *a = weir_lower_tensor(l, o->inputs[0]),
					*b = weir_lower_tensor(l, o->inputs[1]);
	unsigned n = WEIR_MAX(a->n_dims, b->n_dims);
	int32_t dim[WEIR_TFLITE_DIMS];

	for (unsigned d = 0; d < n; d++) {
		int x = dim_of(a, (int)(WEIR_TFLITE_DIMS - n + d)),
		    y = dim_of(b, (int)(WEIR_TFLITE_DIMS - n + d));

		if (x != y && x != 1 && y != 1)
			return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[1],
				"dim %d of the first input does not go with its %d", x, y);
		dim[d] = WEIR_MAX(x, y);
	}
	return weir_lower_shape(l, op, o->outputs[0], n, dim);
}

static int binary_node(struct weir_lower *l, unsigned op, const int *ids, float lo, float hi)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in[2], *out = weir_lower_tensor(l, o->outputs[0]);
	struct weir_cnn_node *node =
		weir_lower_node(l, op, "binary", CNN_BINARY_F32, ids[0], ids[1], o->outputs[0]);
	int *p;

	if (!node)
		return -ENOMEM;
	p = node->op.p;
	p[CNN_BINARY_F32_WHAT] = binary_what(o->code);
	memcpy(&p[CNN_BINARY_F32_LO], &lo, sizeof(lo));
	memcpy(&p[CNN_BINARY_F32_HI], &hi, sizeof(hi));
	for (int i = 0; i < 2; i++) {
		in[i] = weir_lower_tensor(l, ids[i]);
		row_strides(in[i], p + CNN_BINARY_F32_ROW + i * CNN_BINARY_F32_DIMS);
	}
	for (int d = 0; d < CNN_BINARY_F32_DIMS; d++)
		p[CNN_BINARY_F32_DIM + d] = dim_of(out, d);
	lines(in, out, p);
	node->op.parts =
		(p[CNN_BINARY_F32_LINES] + p[CNN_BINARY_F32_PART_LINES] - 1) / p[CNN_BINARY_F32_PART_LINES] *
		((p[CNN_BINARY_F32_RUN] + p[CNN_BINARY_F32_PART_RUN] - 1) / p[CNN_BINARY_F32_PART_RUN]);
	node->same = in[0]->count == out->count;
	node->same2 = in[1]->count == out->count;
	/* A constant is there as a whole, whatever rows are made. */
	if (node->same && (node->same2 || in[1]->data))
		node->stride = node->span = 1;
	node->macs = out->count;
	return 0;
}

int weir_lower_binary_f32(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int err = weir_lower_arity(l, op, 2, 2, 1), ids[3];
	float lo, hi;
	bool f32;

	if (err)
		return err;
	ids[0] = o->inputs[0];
	ids[1] = o->inputs[1];
	ids[2] = o->outputs[0];
	err = weir_lower_same_type(l, op, ids, 3, &f32);
	if (!err)
		err = check_shapes(l, op);
	if (!err)
		err = weir_lower_clamp_f32(l, op, o->activation, &lo, &hi);
	if (err)
		return err;
	/* Sums and products are the same both ways: what comes from another operator goes first. */
	if (o->code != WEIR_TFLITE_SUB && weir_lower_tensor(l, ids[0])->data) {
		ids[0] = o->inputs[1];
		ids[1] = o->inputs[0];
	}
	return binary_node(l, op, ids, lo, hi);
}
