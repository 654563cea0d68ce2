/* SPDX-License-Identifier: MIT */
/*
 * AVERAGE_POOL_2D and MAX_POOL_2D of int8. Like TFLite's they change no scale: only the clamp is in the
 * output's steps.
 */
#include "kernels/cnn_pool.clh"
#include "vision/lower.h"

/* A part has at least so many channels, a vector: overlaid, it may not read what another part writes. */
#define PART 16
#define PARTS 8

/* Windows over one of height and width; TFLite's ComputePaddingHeightWidth. */
struct windows {
	int filter, stride, in;
	int out, pad; /* pad: before the first place */
};

static int count_windows(struct weir_lower *l, unsigned op, int padding, struct windows *w)
{
	int64_t need;

	if (w->filter < 1 || w->stride < 1)
		return weir_lower_fail(l, op, EINVAL, "a window of %d with a stride of %d", w->filter, w->stride);
	if (padding == WEIR_TFLITE_SAME)
		w->out = (int)(((int64_t)w->in + w->stride - 1) / w->stride);
	else if (padding == WEIR_TFLITE_VALID && w->filter <= w->in)
		w->out = (int)(((int64_t)w->in - w->filter) / w->stride) + 1;
	else if (padding == WEIR_TFLITE_VALID)
		return weir_lower_fail(l, op, EINVAL, "a window of %d does not fit into %d", w->filter, w->in);
	else
		return weir_lower_fail(l, op, EINVAL, "there is no padding %d", padding);
	need = (int64_t)(w->out - 1) * w->stride + w->filter - w->in;
	/* Kernels count places in int32, those before and behind the picture included. */
	if (need + w->in > INT32_MAX / 2)
		return weir_lower_fail(l, op, EOPNOTSUPP, "a window of %d with a stride of %d is too large", w->filter,
			w->stride);
	w->pad = need > 0 ? (int)(need / 2) : 0;
	return 0;
}

static size_t least_multiple(size_t a, size_t b)
{
	size_t m = a;

	while (m % b)
		m += a;
	return m;
}

static void set_layout(struct weir_cnn_node *node, const struct windows *y, const struct windows *x)
{
	int channels = node->op.out.c;

	node->stride = y->stride;
	node->pad = y->pad;
	node->span = y->filter;
	node->op.parts = WEIR_MAX(1, WEIR_MIN(channels / PART, PARTS));
	/* Channel under channel, vectors on vectors. */
	node->overlay = least_multiple(16, (size_t)channels);
	node->macs = (uint64_t)node->rows * (unsigned)x->out * (unsigned)channels *
		     (uint64_t)WEIR_MIN(y->filter, y->in) * (uint64_t)WEIR_MIN(x->filter, x->in);
}

static int check_pool(struct weir_lower *l, unsigned op, struct windows *y, struct windows *x)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	bool f32;
	int err = weir_lower_arity(l, op, 1, 1, 1);

	if (!err)
		err = weir_lower_same_type(l, op, (const int[]){o->inputs[0], o->outputs[0]}, 2, &f32);
	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	if (in->n_dims != 4)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it has no 4 dimensions");
	*y = (struct windows){.filter = o->filter_h, .stride = o->stride_h, .in = in->dim[1]};
	*x = (struct windows){.filter = o->filter_w, .stride = o->stride_w, .in = in->dim[2]};
	err = count_windows(l, op, o->padding, y);
	if (!err)
		err = count_windows(l, op, o->padding, x);
	if (err)
		return err;
	return weir_lower_shape(l, op, o->outputs[0], 4, (const int32_t[]){in->dim[0], y->out, x->out, in->dim[3]});
}

static int pool(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct weir_cnn_node *node;
	struct windows y, x;
	int lo, hi, err = check_pool(l, op, &y, &x);

	if (!err)
		err = weir_lower_clamp_i8(l, op, o->outputs[0], o->activation, &lo, &hi);
	if (err)
		return err;
	/* The kernel's sums of int8 and their halves must fit into int32. */
	if ((int64_t)WEIR_MIN(y.filter, y.in) * WEIR_MIN(x.filter, x.in) > 1 << 23)
		return weir_lower_fail(l, op, EOPNOTSUPP, "a window of %d by %d is too large", y.filter, x.filter);
	node = weir_lower_node(l, op, label, kind, o->inputs[0], -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	node->op.p[CNN_POOL_HEIGHT] = y.filter;
	node->op.p[CNN_POOL_WIDTH] = x.filter;
	node->op.p[CNN_POOL_STRIDE_Y] = y.stride;
	node->op.p[CNN_POOL_STRIDE_X] = x.stride;
	node->op.p[CNN_POOL_TOP] = y.pad;
	node->op.p[CNN_POOL_LEFT] = x.pad;
	node->op.p[CNN_POOL_LO] = lo;
	node->op.p[CNN_POOL_HI] = hi;
	set_layout(node, &y, &x);
	return 0;
}

int weir_lower_average_pool(struct weir_lower *l, unsigned op)
{
	return pool(l, op, "average_pool", CNN_AVERAGE_I8);
}

int weir_lower_max_pool(struct weir_lower *l, unsigned op)
{
	return pool(l, op, "max_pool", CNN_MAX_I8);
}
