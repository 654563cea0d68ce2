/* SPDX-License-Identifier: MIT */
/*
 * STRIDED_SLICE, with masks, new axes, negative strides and ends relative to begins as TFLite has them
 * (tensorflow/lite/kernels/strided_slice.cc).
 */
#include "vision/lower_move.h"

/* An axis of the input with new ones put in: what is taken of it. */
struct slice_axis {
	int64_t size, begin, end, stride;
	bool begin_all, end_all, shrink;
	bool added; /* by new_axis_mask */
};

struct slice {
	struct slice_axis axis[WEIR_MOVE_RANK];
	unsigned rank;
	bool offset; /* ends are relative to begins */
};

static bool bit(int mask, int i)
{
	return i < 32 && (uint32_t)mask >> i & 1;
}

/*
 * Spreads begin, end and strides over the input's dims: an ellipsis stands for as many whole ones as are
 * left, and a dim with no value is whole.
 */
static int slice_spread(struct weir_lower *l, unsigned op, struct slice *s)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in = weir_lower_tensor(l, o->inputs[0]);
	int values = (int)weir_lower_tensor(l, o->inputs[1])->count, added = 0, rank, left, at = 0;
	unsigned next = 0;

	for (int i = 0; i < values; i++)
		added += !bit(o->ellipsis_mask, i) && bit(o->new_axis_mask, i);
	rank = (int)in->n_dims + added;
	left = rank - values; /* more dims than an ellipsis' one that it stands for */
	if (rank > WEIR_MOVE_RANK)
		return weir_lower_fail(l, op, EOPNOTSUPP, "it slices %d axes; no more than %d are supported",
			rank, WEIR_MOVE_RANK);
	s->rank = (unsigned)rank;
	for (int i = 0; i < rank; i++) {
		struct slice_axis *a = &s->axis[i];
		bool whole = at >= values || bit(o->ellipsis_mask, at);

		*a = (struct slice_axis){
			.size = 1, .end = 1, .stride = 1, .begin_all = whole, .end_all = whole};
		a->added = !whole && bit(o->new_axis_mask, at);
		if (!a->added) {
			if (next == in->n_dims)
				return weir_lower_fail_tensor(
					l, op, EINVAL, o->inputs[0], "it slices more dims");
			a->size = in->dim[next++];
		}
		if (!whole && !a->added) {
			a->begin = weir_tflite_int(weir_lower_tensor(l, o->inputs[1]), (size_t)at);
			a->end = weir_tflite_int(weir_lower_tensor(l, o->inputs[2]), (size_t)at);
			a->stride = weir_tflite_int(weir_lower_tensor(l, o->inputs[3]), (size_t)at);
			a->begin_all = bit(o->begin_mask, at);
			a->end_all = bit(o->end_mask, at);
			a->shrink = bit(o->shrink_axis_mask, at);
		}
		/* An ellipsis stays the one that is read until it stands for all that it has to. */
		if (at < values && bit(o->ellipsis_mask, at) && left-- > 0)
			continue;
		at++;
	}
	if (next != in->n_dims)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it slices fewer dims");
	return 0;
}

static int64_t clamp_index(int64_t i, const struct slice_axis *a)
{
	int64_t low = a->stride > 0 ? 0 : -1, high = a->stride > 0 ? a->size : a->size - 1;

	i = i < 0 ? i + a->size : i;
	return i < low ? low : i > high ? high : i;
}

/* The first index taken and how many are; none: 0. */
static int64_t slice_count(const struct slice *s, const struct slice_axis *a, int64_t *first)
{
	int64_t end;

	*first = a->begin_all ? (a->stride > 0 ? 0 : a->size - 1) : clamp_index(a->begin, a);
	if (a->shrink)
		return a->stride > 0 && *first < a->size;
	end = a->end_all ? (a->stride > 0 ? a->size : -1)
			 : clamp_index(s->offset ? a->end + *first : a->end, a);
	if (a->stride > 0)
		return *first < end ? (end - *first - 1) / a->stride + 1 : 0;
	return *first > end ? (*first - end - 1) / -a->stride + 1 : 0;
}

static int slice_node(struct weir_lower *l, unsigned op, const struct slice *s, int size)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in = weir_lower_tensor(l, o->inputs[0]);
	int64_t stride[WEIR_TFLITE_DIMS], count[WEIR_MOVE_RANK], first, lies = 1;
	struct weir_move m = {.rank = s->rank};
	int32_t dim[WEIR_MOVE_RANK];
	unsigned n = 0, next = in->n_dims;
	int err;

	weir_move_strides(in, stride);
	for (unsigned i = 0; i < s->rank; i++) {
		if (!s->axis[i].stride)
			return weir_lower_fail(l, op, EINVAL, "its stride of axis %u is 0", i);
		count[i] = slice_count(s, &s->axis[i], &first);
		if (!count[i])
			return weir_lower_fail_tensor(
				l, op, EOPNOTSUPP, o->inputs[0], "it leaves nothing of axis %u", i);
		if (!s->axis[i].shrink)
			dim[n++] = (int32_t)count[i];
	}
	err = weir_lower_shape(l, op, o->outputs[0], n, dim);
	if (err)
		return err;
	for (unsigned i = s->rank; i-- > 0; lies *= count[i]) {
		const struct slice_axis *a = &s->axis[i];

		m.dim[i] = slice_count(s, a, &first);
		m.out[i] = lies;
		m.in[i] = 0;
		if (a->added)
			continue;
		m.in[i] = a->stride * stride[--next];
		m.from += first * stride[next];
	}
	return weir_move_node(l, op, "slice", CNN_COPY, o->inputs[0], o->outputs[0], &m, size, 0);
}

int weir_lower_strided_slice(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct slice s = {.offset = o->offset};
	int err = weir_lower_arity(l, op, 4, 4, 1), size;
	size_t values;

	if (err)
		return err;
	size = weir_move_size(l, op, o->inputs[0], o->outputs[0]);
	if (size < 0)
		return size;
	values = weir_lower_tensor(l, o->inputs[1])->count;
	for (int i = 1; i < 4; i++) {
		err = weir_lower_ints(l, op, o->inputs[i], false, values);
		if (err)
			return err;
		if (weir_lower_tensor(l, o->inputs[i])->n_dims != 1)
			return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[i], "it is no vector");
	}
	if (values > 31)
		return weir_lower_fail_tensor(
			l, op, EOPNOTSUPP, o->inputs[1], "no more than 31 axes are supported");
	if (o->ellipsis_mask & (o->ellipsis_mask - 1u))
		return weir_lower_fail(l, op, EINVAL, "its mask has more than one ellipsis");
	err = slice_spread(l, op, &s);
	return err ? err : slice_node(l, op, &s, size);
}
