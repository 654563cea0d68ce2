/* SPDX-License-Identifier: MIT */
/*
 * Operators that only move values: PAD, CONCATENATION, SPLIT, TRANSPOSE by strided copies, RESHAPE and
 * SQUEEZE by sharing bytes (STRIDED_SLICE: lower_slice.c). What they do is TFLite's
 * (tensorflow/lite/kernels).
 */
#include "vision/lower_move.h"

#include "kernels/cnn_move.clh"

/* Bytes that a unit moves, about, and that a line has at least before it is cut. */
#define UNIT_BYTES 4096
#define LINE_BYTES 16384

void weir_move_dim(struct weir_move *m, int64_t dim, int64_t in, int64_t out)
{
	m->dim[m->rank] = dim;
	m->in[m->rank] = in;
	m->out[m->rank++] = out;
}

void weir_move_strides(const struct weir_tflite_tensor *t, int64_t *stride)
{
	int64_t n = 1;

	for (unsigned d = t->n_dims; d-- > 0; n *= t->dim[d])
		stride[d] = n;
}

/* As few dims as do the same: those of one left out, neighbours that lie together joined. */
static void move_join(struct weir_move *m)
{
	unsigned n = 0;

	for (unsigned d = 0; d < m->rank; d++) {
		if (m->dim[d] == 1)
			continue;
		if (n && m->in[n - 1] == m->in[d] * m->dim[d] && m->out[n - 1] == m->out[d] * m->dim[d]) {
			m->dim[n - 1] *= m->dim[d];
		} else {
			m->dim[n] = m->dim[d];
			n++;
		}
		m->in[n - 1] = m->in[d];
		m->out[n - 1] = m->out[d];
	}
	m->rank = n;
}

/* All products are within a tensor: below 2^30. */
int weir_move_node(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind, int in, int out,
	struct weir_move *m, int size, int byte)
{
	struct weir_cnn_node *node = weir_lower_node(l, op, label, kind, in, -1, out);
	int *p, *dim, lead;

	if (!node)
		return -ENOMEM;
	move_join(m);
	p = node->op.p;
	dim = p + CNN_MOVE_DIM;
	lead = CNN_MOVE_DIMS - (int)m->rank;
	node->rows = 1;
	node->macs = 1;
	for (int d = 0; d < CNN_MOVE_DIMS; d++) {
		dim[d] = d < lead ? 1 : (int)m->dim[d - lead];
		p[CNN_MOVE_IN + d] = d < lead ? size : (int)m->in[d - lead] * size;
		p[CNN_MOVE_OUT + d] = d < lead ? size : (int)m->out[d - lead] * size;
		node->rows *= d < CNN_MOVE_DIMS - 2 ? dim[d] : 1;
		node->macs *= (uint64_t)dim[d];
	}
	p[CNN_MOVE_SIZE] = size;
	p[CNN_MOVE_BYTE] = byte;
	p[CNN_MOVE_FROM] = (int)m->from * size;
	p[CNN_MOVE_TO] = (int)m->to * size;
	p[CNN_MOVE_RUN] = dim[5] > LINE_BYTES / size ? UNIT_BYTES / size : dim[5];
	p[CNN_MOVE_LINES] = WEIR_MAX(1, UNIT_BYTES / WEIR_MIN(dim[5] * size, UNIT_BYTES));
	node->op.parts = (dim[4] + p[CNN_MOVE_LINES] - 1) / p[CNN_MOVE_LINES] *
			 ((dim[5] + p[CNN_MOVE_RUN] - 1) / p[CNN_MOVE_RUN]);
	return 0;
}

int weir_lower_copy(struct weir_lower *l, unsigned op, int in, int out)
{
	struct weir_move m = {.rank = 0};

	weir_move_dim(&m, (int64_t)weir_lower_tensor(l, in)->bytes, 1, 1);
	return weir_move_node(l, op, "copy", CNN_COPY, in, out, &m, 1, 0);
}

int weir_move_size(struct weir_lower *l, unsigned op, int in, int out)
{
	const int tensors[] = {in, out};
	bool f32;
	int err = weir_lower_same_type(l, op, tensors, 2, &f32);

	return err ? err : f32 ? 4 : 1;
}

int weir_lower_ints(struct weir_lower *l, unsigned op, int id, bool wide, size_t n)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, id);

	if (t->type != WEIR_TFLITE_I32 && !(wide && t->type == WEIR_TFLITE_I64))
		return weir_lower_fail_tensor(
			l, op, EOPNOTSUPP, id, "only %s is supported here", wide ? "INT32 or INT64" : "INT32");
	if (!t->data)
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, id, "it is no constant");
	if (n && t->count != n)
		return weir_lower_fail_tensor(l, op, EINVAL, id, "it has %zu values, not %zu", t->count, n);
	return 0;
}

/* ---- PAD ---------------------------------------------------------------------------------------- */

#define PAD_RANK 5

/* One side of dim d: what lies there inside of the dims before, whole in those behind. */
static int pad_side(struct weir_lower *l, unsigned op, int in, int out, const int *before, unsigned d,
	int64_t begin, int64_t width, int size, int byte)
{
	const struct weir_tflite_tensor *i = weir_lower_tensor(l, in), *o = weir_lower_tensor(l, out);
	int64_t stride[WEIR_TFLITE_DIMS];
	struct weir_move m = {.to = 0};

	if (!width)
		return 0;
	weir_move_strides(o, stride);
	for (unsigned k = 0; k < o->n_dims; k++) {
		int64_t dim = k < d ? i->dim[k] : o->dim[k], first = k < d ? before[k] : 0, lies = stride[k] * size;

		weir_move_dim(&m, k == d ? width : dim, lies, lies);
		m.to += (k == d ? begin : first) * lies;
	}
	weir_move_dim(&m, size, 1, 1);
	return weir_move_node(l, op, "pad", CNN_FILL, in, out, &m, 1, byte);
}

static int pad_nodes(struct weir_lower *l, unsigned op, int in, int out, const int *before, int size)
{
	const struct weir_tflite_tensor *i = weir_lower_tensor(l, in), *o = weir_lower_tensor(l, out);
	int64_t in_stride[WEIR_TFLITE_DIMS], out_stride[WEIR_TFLITE_DIMS];
	int byte = size == 1 ? weir_tflite_zero(o, 0) : 0, err = 0;
	struct weir_move m = {.to = 0};

	for (unsigned d = 0; d < o->n_dims && !err; d++) {
		int64_t end = (int64_t)before[d] + i->dim[d];

		err = pad_side(l, op, in, out, before, d, 0, before[d], size, byte);
		if (!err)
			err = pad_side(l, op, in, out, before, d, end, o->dim[d] - end, size, byte);
	}
	if (err)
		return err;
	weir_move_strides(i, in_stride);
	weir_move_strides(o, out_stride);
	for (unsigned d = 0; d < o->n_dims; d++) {
		weir_move_dim(&m, i->dim[d], in_stride[d], out_stride[d]);
		m.to += before[d] * out_stride[d];
	}
	return weir_move_node(l, op, "pad", CNN_COPY, in, out, &m, size, 0);
}

int weir_lower_pad(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in, *by;
	int err = weir_lower_arity(l, op, 2, 2, 1), size, before[PAD_RANK];
	int32_t dim[PAD_RANK];

	if (err)
		return err;
	size = weir_move_size(l, op, o->inputs[0], o->outputs[0]);
	if (size < 0)
		return size;
	in = weir_lower_tensor(l, o->inputs[0]);
	by = weir_lower_tensor(l, o->inputs[1]);
	if (in->n_dims < 1 || in->n_dims > PAD_RANK)
		return weir_lower_fail_tensor(
			l, op, EOPNOTSUPP, o->inputs[0], "only 1 to %d dims are supported", PAD_RANK);
	err = weir_lower_ints(l, op, o->inputs[1], true, 2 * (size_t)in->n_dims);
	if (err)
		return err;
	if (by->n_dims != 2 || by->dim[1] != 2)
		return weir_lower_fail_tensor(
			l, op, EINVAL, o->inputs[1], "paddings are two values a dim: [%u, 2]", in->n_dims);
	for (unsigned d = 0; d < in->n_dims; d++) {
		int32_t first = weir_tflite_int(by, 2 * d), last = weir_tflite_int(by, 2 * d + 1);
		int64_t sum = (int64_t)in->dim[d] + first + last;

		if (first < 0 || last < 0 || sum > INT32_MAX)
			return weir_lower_fail_tensor(
				l, op, EINVAL, o->inputs[1], "it pads dim %u by %d and %d", d, first, last);
		before[d] = first;
		dim[d] = (int32_t)sum;
	}
	err = weir_lower_shape(l, op, o->outputs[0], in->n_dims, dim);
	return err ? err : pad_nodes(l, op, o->inputs[0], o->outputs[0], before, size);
}

/* ---- CONCATENATION and SPLIT -------------------------------------------------------------------- */

/* An axis that may count from the end; -1 when the tensor has no such one. */
static int resolve_axis(int axis, unsigned n_dims)
{
	int64_t a = axis < 0 ? (int64_t)axis + n_dims : axis;

	return a >= 0 && a < n_dims ? (int)a : -1;
}

/* part stands in whole from index first of axis on: one is copied to the other. */
static int band_node(struct weir_lower *l, unsigned op, const char *label, int part, int whole, int axis,
	int64_t first, int size, bool split)
{
	const struct weir_tflite_tensor *p = weir_lower_tensor(l, part), *w = weir_lower_tensor(l, whole);
	int64_t band[WEIR_TFLITE_DIMS], all[WEIR_TFLITE_DIMS];
	struct weir_move m = {.to = 0};

	weir_move_strides(p, band);
	weir_move_strides(w, all);
	for (unsigned d = 0; d < p->n_dims; d++)
		weir_move_dim(&m, p->dim[d], split ? all[d] : band[d], split ? band[d] : all[d]);
	if (split)
		m.from = first * all[axis];
	else
		m.to = first * all[axis];
	return weir_move_node(l, op, label, CNN_COPY, split ? whole : part, split ? part : whole, &m, size, 0);
}

/*
 * An input of CONCATENATION: as the first one but along the axis, and int8 in the output's steps, as TFLite
 * asks.
 */
static int concatenation_input(struct weir_lower *l, unsigned op, int id, int axis, int64_t *sum)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, id),
					*first = weir_lower_tensor(l, o->inputs[0]);
	const struct weir_tflite_tensor *out = weir_lower_tensor(l, o->outputs[0]);
	int size = weir_move_size(l, op, id, o->outputs[0]);

	if (size < 0)
		return size;
	if (t->n_dims != first->n_dims)
		return weir_lower_fail_tensor(l, op, EINVAL, id, "the first input has %u dims", first->n_dims);
	for (unsigned d = 0; d < t->n_dims; d++) {
		if ((int)d != axis && t->dim[d] != first->dim[d])
			return weir_lower_fail_tensor(
				l, op, EINVAL, id, "dim %u of the first input is %d", d, first->dim[d]);
	}
	if (size == 1 && (weir_tflite_scale(t, 0) != weir_tflite_scale(out, 0) ||
				 weir_tflite_zero(t, 0) != weir_tflite_zero(out, 0)))
		return weir_lower_fail_tensor(l, op, EINVAL, id,
			"its scale %g and zero point %d are not those of the output, %g and %d",
			(double)weir_tflite_scale(t, 0), weir_tflite_zero(t, 0),
			(double)weir_tflite_scale(out, 0), weir_tflite_zero(out, 0));
	*sum += t->dim[axis];
	return *sum <= INT32_MAX ? size : weir_lower_fail(l, op, EINVAL, "its inputs are too large together");
}

int weir_lower_concatenation(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *first;
	unsigned n = WEIR_MAX(o->n_inputs, 1);
	int32_t dim[WEIR_TFLITE_DIMS];
	int err = weir_lower_arity(l, op, n, n, 1), axis, size = 0;
	int64_t sum = 0;

	if (err)
		return err;
	first = weir_lower_tensor(l, o->inputs[0]);
	axis = resolve_axis(o->axis, first->n_dims);
	if (axis < 0)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it has no axis %d", o->axis);
	if (o->activation != WEIR_TFLITE_NONE)
		return weir_lower_fail(
			l, op, EOPNOTSUPP, "the fused activation %d is not supported", o->activation);
	for (unsigned i = 0; i < n; i++) {
		size = concatenation_input(l, op, o->inputs[i], axis, &sum);
		if (size < 0)
			return size;
	}
	memcpy(dim, first->dim, sizeof(dim));
	dim[axis] = (int32_t)sum;
	err = weir_lower_shape(l, op, o->outputs[0], first->n_dims, dim);
	sum = 0;
	for (unsigned i = 0; i < n && !err; i++) {
		err = band_node(l, op, "concatenation", o->inputs[i], o->outputs[0], axis, sum, size, false);
		sum += weir_lower_tensor(l, o->inputs[i])->dim[axis];
	}
	return err;
}

int weir_lower_split(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	int32_t dim[WEIR_TFLITE_DIMS];
	int err, axis, size = 0;

	if (o->num_splits < 1)
		return weir_lower_fail(l, op, EINVAL, "it splits into %d", o->num_splits);
	err = weir_lower_arity(l, op, 2, 2, (unsigned)o->num_splits);
	if (!err)
		err = weir_lower_ints(l, op, o->inputs[0], false, 1);
	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[1]);
	axis = resolve_axis(weir_tflite_int(weir_lower_tensor(l, o->inputs[0]), 0), in->n_dims);
	if (axis < 0)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[1], "it has no axis %d",
			weir_tflite_int(weir_lower_tensor(l, o->inputs[0]), 0));
	if (in->dim[axis] % o->num_splits)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[1],
			"dim %d cannot be split into %d alike", axis, o->num_splits);
	memcpy(dim, in->dim, sizeof(dim));
	dim[axis] /= o->num_splits;
	for (int i = 0; i < o->num_splits && !err; i++) {
		size = weir_move_size(l, op, o->inputs[1], o->outputs[i]);
		if (size < 0)
			return size;
		err = weir_lower_shape(l, op, o->outputs[i], in->n_dims, dim);
		if (!err)
			err = band_node(l, op, "split", o->outputs[i], o->inputs[1], axis,
				(int64_t)i * dim[axis], size, true);
	}
	return err;
}

/* ---- TRANSPOSE ---------------------------------------------------------------------------------- */

int weir_lower_transpose(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in, *by;
	int64_t stride[WEIR_TFLITE_DIMS], lies[WEIR_TFLITE_DIMS];
	int err = weir_lower_arity(l, op, 2, 2, 1), size, from[WEIR_TFLITE_DIMS];
	int32_t dim[WEIR_TFLITE_DIMS];
	struct weir_move m = {.to = 0};
	unsigned seen = 0;

	if (err)
		return err;
	size = weir_move_size(l, op, o->inputs[0], o->outputs[0]);
	if (size < 0)
		return size;
	in = weir_lower_tensor(l, o->inputs[0]);
	by = weir_lower_tensor(l, o->inputs[1]);
	err = weir_lower_ints(l, op, o->inputs[1], false, 0);
	if (err)
		return err;
	if (by->n_dims != 1 || by->count != in->n_dims)
		return weir_lower_fail_tensor(
			l, op, EINVAL, o->inputs[1], "it does not name %u dims", in->n_dims);
	for (unsigned d = 0; d < in->n_dims; d++) {
		from[d] = resolve_axis(weir_tflite_int(by, d), in->n_dims);
		if (from[d] < 0 || (seen & 1u << from[d]))
			return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[1],
				"it is no permutation: value %u is %d", d, weir_tflite_int(by, d));
		seen |= 1u << from[d];
		dim[d] = in->dim[from[d]];
	}
	err = weir_lower_shape(l, op, o->outputs[0], in->n_dims, dim);
	if (err)
		return err;
	weir_move_strides(in, stride);
	weir_move_strides(weir_lower_tensor(l, o->outputs[0]), lies);
	for (unsigned d = 0; d < in->n_dims; d++)
		weir_move_dim(&m, dim[d], stride[from[d]], lies[d]);
	return weir_move_node(l, op, "transpose", CNN_COPY, o->inputs[0], o->outputs[0], &m, size, 0);
}

/* ---- RESHAPE and SQUEEZE ------------------------------------------------------------------------ */

/* The shape asked for, from the second input or else from the option; how many dims it has, or -errno. */
static int reshape_wish(struct weir_lower *l, unsigned op, int32_t *dim)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int id = o->n_inputs > 1 ? o->inputs[1] : -1, err;
	const struct weir_tflite_tensor *t = id >= 0 ? weir_lower_tensor(l, id) : NULL;

	if (t) {
		err = weir_lower_ints(l, op, id, false, 0);
		if (err)
			return err;
	}
	if (t && t->n_dims == 1) {
		if (t->count > WEIR_TFLITE_DIMS)
			return weir_lower_fail_tensor(
				l, op, EOPNOTSUPP, id, "no more than %d dims are supported", WEIR_TFLITE_DIMS);
		for (size_t i = 0; i < t->count; i++)
			dim[i] = weir_tflite_int(t, i);
		return (int)t->count;
	}
	/* Old files have a scalar's shape as [0]. */
	if (o->n_new_shape == 1 && !o->new_shape[0])
		return 0;
	for (unsigned i = 0; i < o->n_new_shape; i++)
		dim[i] = o->new_shape[i];
	return (int)o->n_new_shape;
}

int weir_lower_reshape(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int err = weir_lower_arity(l, op, 1, 2, 1), size, n, open = -1;
	int32_t dim[WEIR_TFLITE_DIMS] = {0};
	size_t count = 1, all;

	if (err)
		return err;
	size = weir_move_size(l, op, o->inputs[0], o->outputs[0]);
	n = size < 0 ? size : reshape_wish(l, op, dim);
	if (n < 0)
		return n;
	all = weir_lower_tensor(l, o->inputs[0])->count;
	for (int d = 0; d < n; d++) {
		if (dim[d] == -1 && open < 0)
			open = d;
		else if (dim[d] < 1 || !weir_size_mul(count, (size_t)dim[d], &count))
			return weir_lower_fail(l, op, EINVAL, "dim %d of the new shape is %d", d, dim[d]);
	}
	if (open >= 0 && all / count <= INT32_MAX) {
		dim[open] = (int32_t)(all / count);
		count *= all / count;
	}
	if (count != all)
		return weir_lower_fail_tensor(
			l, op, EINVAL, o->inputs[0], "the new shape has %zu values, not %zu", count, all);
	err = weir_lower_shape(l, op, o->outputs[0], (unsigned)n, dim);
	return err ? err : weir_lower_alias(l, op, o->inputs[0], o->outputs[0]);
}

int weir_lower_squeeze(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	int err = weir_lower_arity(l, op, 1, 1, 1), size;
	int32_t dim[WEIR_TFLITE_DIMS];
	unsigned gone = 0, n = 0;

	if (err)
		return err;
	size = weir_move_size(l, op, o->inputs[0], o->outputs[0]);
	if (size < 0)
		return size;
	in = weir_lower_tensor(l, o->inputs[0]);
	for (unsigned i = 0; i < o->n_squeeze_dims; i++) {
		int d = resolve_axis(o->squeeze_dims[i], in->n_dims);

		if (d < 0 || in->dim[d] != 1)
			return weir_lower_fail_tensor(
				l, op, EINVAL, o->inputs[0], "it has no dim %d of 1", o->squeeze_dims[i]);
		gone |= 1u << d;
	}
	for (unsigned d = 0; d < in->n_dims; d++) {
		if (o->n_squeeze_dims ? !(gone >> d & 1) : in->dim[d] != 1)
			dim[n++] = in->dim[d];
	}
	err = weir_lower_shape(l, op, o->outputs[0], n, dim);
	return err ? err : weir_lower_alias(l, op, o->inputs[0], o->outputs[0]);
}
