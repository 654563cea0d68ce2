/* SPDX-License-Identifier: MIT */
/*
 * RESIZE_NEAREST_NEIGHBOR and RESIZE_BILINEAR: where pixels come from, in tables for
 * kernels/cnn_resize.clh. Positions and weights are made with the operations and roundings of TFLite's
 * reference_ops (resize_nearest_neighbor.h, resize_bilinear.h).
 */
#include <math.h>

#include "kernels/cnn_resize.clh"
#include "vision/lower.h"

/* Bytes that a part writes, about. */
#define PART_BYTES 4096

/* TFLite's 10-bit arithmetic of int8 has room for no larger sides. */
#define SIDE_MAX (1 << 20)

/* One side of a picture, and how its pixels are related. */
struct side {
	int in, out;
	bool align_corners, half_pixel_centers;
};

static int nearest(const struct side *s, int i)
{
	bool corners = s->align_corners && s->out > 1;
	float scale = corners ? (float)(s->in - 1) / (float)(s->out - 1) : (float)s->in / (float)s->out;
	float at = ((float)i + (s->half_pixel_centers ? 0.5f : 0.0f)) * scale;

	at = s->align_corners ? roundf(at) : floorf(at);
	return WEIR_MIN((int)at, s->in - 1);
}

/* The pixels before and behind a place, and the second one's weight: for floats its bits. */
struct between {
	int low, high, weight;
};

/*
 * Rounding of the scale can take the last places of a much larger output past the input's end, where TFLite
 * would read what is not there: they are the last pixel.
 */
static struct between bilinear_i8(const struct side *s, int i)
{
	bool corners = s->align_corners && s->out > 1;
	int in = corners ? s->in - 1 : s->in, out = corners ? s->out - 1 : s->out;
	int scale = (CNN_RESIZE_ONE * in + out / 2) / out;
	int at = i * scale + (s->half_pixel_centers ? scale / 2 - CNN_RESIZE_ONE / 2 : 0);
	struct between b;

	at = WEIR_MIN(at, (s->in - 1) * CNN_RESIZE_ONE + CNN_RESIZE_ONE - 1);
	b.low = WEIR_MAX(at / CNN_RESIZE_ONE, 0);
	b.high = WEIR_MIN((at + CNN_RESIZE_ONE - 1) / CNN_RESIZE_ONE, s->in - 1);
	b.weight = at - CNN_RESIZE_ONE * b.low;
	return b;
}

static struct between bilinear_f32(const struct side *s, int i)
{
	bool corners = s->align_corners && s->out > 1;
	float scale = corners ? (float)(s->in - 1) / (float)(s->out - 1) : (float)s->in / (float)s->out;
	float at = s->half_pixel_centers ? ((float)i + 0.5f) * scale - 0.5f : (float)i * scale, weight;
	struct between b;

	at = fminf(at, (float)s->in);
	b.low = WEIR_MIN(WEIR_MAX((int)floorf(at), 0), s->in - 1);
	b.high = WEIR_MIN((int)ceilf(at), s->in - 1);
	weight = at - (float)b.low;
	memcpy(&b.weight, &weight, sizeof(weight));
	return b;
}

struct resize {
	bool f32;
	int channels;
	struct side y, x;
};

/* What both operators check: NHWC, a constant size, and that the output has it. */
static int check_resize(struct weir_lower *l, unsigned op, struct resize *r)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int err = weir_lower_arity(l, op, 2, 2, 1), tensors[2];
	const struct weir_tflite_tensor *in, *size;
	int32_t dim[4];

	if (err)
		return err;
	tensors[0] = o->inputs[0];
	tensors[1] = o->outputs[0];
	err = weir_lower_same_type(l, op, tensors, 2, &r->f32);
	if (!err)
		err = weir_lower_ints(l, op, o->inputs[1], false, 2);
	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	size = weir_lower_tensor(l, o->inputs[1]);
	if (in->n_dims != 4)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it has %u dims, not 4", in->n_dims);
	if (size->n_dims != 1)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[1], "it is no vector");
	memcpy(dim, in->dim, sizeof(dim));
	dim[1] = weir_tflite_int(size, 0);
	dim[2] = weir_tflite_int(size, 1);
	r->channels = in->dim[3];
	r->y = (struct side){in->dim[1], dim[1], o->align_corners, o->half_pixel_centers};
	r->x = (struct side){in->dim[2], dim[2], o->align_corners, o->half_pixel_centers};
	return weir_lower_shape(l, op, o->outputs[0], 4, dim);
}

/*
 * A node with room for `columns` ints a pixel of a row and of a column; its tables. NULL with a sentence.
 */
static int *resize_node(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind,
	size_t columns, struct weir_cnn_node **node)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *out = weir_lower_tensor(l, o->outputs[0]);
	size_t size = weir_tflite_type_size(out->type) * (size_t)out->dim[3];
	size_t step = WEIR_MAX(PART_BYTES / size, 1);

	*node = weir_lower_node(l, op, label, kind, o->inputs[0], -1, o->outputs[0]);
	if (!*node)
		return NULL;
	step = WEIR_MIN(step, (size_t)out->dim[2]);
	(*node)->op.p[CNN_RESIZE_PIXEL] = (int)size;
	(*node)->op.p[CNN_RESIZE_STEP] = (int)step;
	(*node)->op.parts = (int)(((size_t)out->dim[2] + step - 1) / step);
	(*node)->macs = out->count * (columns > 1 ? 4 : 1);
	return weir_lower_consts(l, *node, columns * ((size_t)out->dim[1] + (size_t)out->dim[2]) * sizeof(int));
}

int weir_lower_resize_nearest(struct weir_lower *l, unsigned op)
{
	struct weir_cnn_node *node;
	struct resize r;
	int err = check_resize(l, op, &r), *table;

	if (err)
		return err;
	table = resize_node(l, op, "nearest", CNN_NEAREST, 1, &node);
	if (!table)
		return -ENOMEM;
	for (int i = 0; i < r.x.out; i++)
		table[i] = nearest(&r.x, i) * node->op.p[CNN_RESIZE_PIXEL];
	for (int i = 0; i < r.y.out; i++)
		table[r.x.out + i] = nearest(&r.y, i);
	return 0;
}

/* Three columns of a table; what a pixel counts is unit. */
static void bilinear_table(const struct side *s, bool f32, int unit, int *table)
{
	for (int i = 0; i < s->out; i++) {
		struct between b = f32 ? bilinear_f32(s, i) : bilinear_i8(s, i);

		table[i] = b.low * unit;
		table[s->out + i] = b.high * unit;
		table[2 * s->out + i] = b.weight;
	}
}

static bool side_fits(const struct side *s)
{
	return s->in <= SIDE_MAX && s->out <= SIDE_MAX;
}

int weir_lower_resize_bilinear(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct weir_cnn_node *node;
	struct resize r;
	int err = check_resize(l, op, &r), *table;

	if (err)
		return err;
	if (o->align_corners && o->half_pixel_centers)
		return weir_lower_fail(l, op, EINVAL, "it has both align_corners and half_pixel_centers");
	if (!r.f32 && !(side_fits(&r.y) && side_fits(&r.x)))
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP,
			WEIR_MAX(r.y.in, r.x.in) > SIDE_MAX ? o->inputs[0] : o->outputs[0],
			"no side of more than 2^20 is supported");
	table = resize_node(l, op, "bilinear", r.f32 ? CNN_BILINEAR_F32 : CNN_BILINEAR_I8, 3, &node);
	if (!table)
		return -ENOMEM;
	bilinear_table(&r.x, r.f32, r.channels, table);
	bilinear_table(&r.y, r.f32, 1, table + 3 * (size_t)r.x.out);
	return 0;
}
