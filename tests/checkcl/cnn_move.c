/* SPDX-License-Identifier: MIT */
/* Operators that move values: each place of the output against the place of an input that it is to have. */
#include "cnn.h"

#include "base/base.h"

#define SCALE 0.05f
#define RANK WEIR_TFLITE_DIMS

struct box {
	unsigned rank;
	int32_t dim[RANK];
};

static size_t box_count(const struct box *b)
{
	size_t n = 1;

	for (unsigned d = 0; d < b->rank; d++)
		n *= (size_t)b->dim[d];
	return n;
}

static void box_place(const struct box *b, size_t at, int *x)
{
	for (unsigned d = b->rank; d-- > 0; at /= (size_t)b->dim[d])
		x[d] = (int)(at % (size_t)b->dim[d]);
}

static size_t box_at(const struct box *b, const int *x)
{
	size_t at = 0;

	for (unsigned d = 0; d < b->rank; d++)
		at = at * (size_t)b->dim[d] + (size_t)x[d];
	return at;
}

static struct box box_random(struct checkcl *c, unsigned rank)
{
	struct box b = {.rank = rank};

	for (unsigned d = 0; d < rank; d++)
		b.dim[d] = cnn_random(c, 1, rank > 3 ? 7 : 24);
	return b;
}

/* One operator with its inputs' values and what its outputs must be. */
struct move {
	struct cnn_net net;
	enum weir_tflite_type type;
	size_t size;
	int zero; /* of the output */
	unsigned n_in, n_out;
	int32_t in[CNN_NET_ENDS], out[CNN_NET_ENDS];
	char *value[CNN_NET_ENDS], *want[CNN_NET_ENDS];
	char params[200];
};

static void move_start(struct move *m, enum weir_tflite_type type)
{
	memset(m, 0, sizeof(*m));
	cnn_net_start(&m->net);
	m->type = type;
	m->size = weir_tflite_type_size(type);
}

static void move_done(struct move *m)
{
	for (unsigned i = 0; i < CNN_NET_ENDS; i++) {
		free(m->value[i]);
		free(m->want[i]);
	}
	cnn_net_done(&m->net);
}

static int tensor(struct move *m, const struct box *b, const void *data)
{
	int id = cnn_net_tensor(&m->net, m->type, b->rank, b->dim, data);

	if (m->type == WEIR_TFLITE_I8)
		cnn_net_quantize(&m->net, id, SCALE, m->zero);
	return id;
}

static int ints(struct move *m, unsigned n, const int32_t *values)
{
	int32_t count = (int32_t)n;

	return cnn_net_tensor(&m->net, WEIR_TFLITE_I32, 1, &count, values);
}

/* An input of random values; a constant one is no input of the network. */
static int input(struct checkcl *c, struct move *m, const struct box *b, bool constant, char **values)
{
	size_t n = box_count(b);
	char *v = malloc(n * m->size);

	for (size_t i = 0; i < n; i++) {
		float f = checkcl_uniform(c, -1000, 1000);

		if (m->type == WEIR_TFLITE_F32)
			memcpy(v + i * 4, &f, 4);
		else
			v[i] = (char)checkcl_random(c);
	}
	m->value[m->n_in] = *values = v;
	m->in[m->n_in] = tensor(m, b, constant ? v : NULL);
	return m->in[m->n_in++];
}

static int output(struct move *m, const struct box *b)
{
	m->want[m->n_out] = calloc(box_count(b), m->size);
	m->out[m->n_out] = tensor(m, b, NULL);
	return m->out[m->n_out++];
}

static void move_check(struct checkcl *c, struct move *m)
{
	int32_t ends[CNN_NET_ENDS];
	const void *values[CNN_NET_ENDS];
	unsigned n = 0;

	for (unsigned i = 0; i < m->n_in; i++) {
		if (m->net.tensors[m->in[i]].data)
			continue;
		values[n] = m->value[i];
		ends[n++] = m->in[i];
	}
	cnn_net_ends(&m->net, n, ends, m->n_out, m->out);
	cnn_net_check(c, m->params, &m->net, values, (const void *const *)m->want, 0);
}

static void describe(struct move *m, const char *what, const struct box *b)
{
	size_t n =
		(size_t)snprintf(m->params, sizeof(m->params), "%s %s [", what, weir_tflite_type_name(m->type));

	for (unsigned d = 0; d < b->rank; d++)
		n += (size_t)snprintf(m->params + n, sizeof(m->params) - n, "%s%d", d ? ", " : "", b->dim[d]);
	snprintf(m->params + n, sizeof(m->params) - n, "]");
}

/* Each row: some random cases of both types. */
static void each(struct checkcl *c, unsigned cases, void (*run)(struct checkcl *c, struct move *m))
{
	static const enum weir_tflite_type types[] = {WEIR_TFLITE_I8, WEIR_TFLITE_F32};

	for (unsigned i = 0; i < (c->quick ? 2 : cases); i++) {
		for (unsigned t = 0; t < 2; t++) {
			struct move m;

			move_start(&m, types[t]);
			run(c, &m);
			move_done(&m);
		}
	}
}

/* ---- PAD ---------------------------------------------------------------------------------------- */

static void pad_case(struct checkcl *c, struct move *m)
{
	struct box in = box_random(c, (unsigned)cnn_random(c, 1, 5)), out = in;
	int32_t by[2 * RANK], ids[2], shape[2] = {(int32_t)in.rank, 2};
	char *values, *want;

	m->zero = cnn_random(c, -128, 127);
	for (unsigned d = 0; d < in.rank; d++) {
		by[2 * d] = cnn_random(c, -2, 3) < 0 ? 0 : cnn_random(c, 0, 5);
		by[2 * d + 1] = cnn_random(c, -2, 3) < 0 ? 0 : cnn_random(c, 0, 5);
		out.dim[d] += by[2 * d] + by[2 * d + 1];
	}
	ids[0] = input(c, m, &in, false, &values);
	ids[1] = cnn_net_tensor(&m->net, WEIR_TFLITE_I32, 2, shape, by);
	output(m, &out);
	cnn_net_op(&m->net, WEIR_TFLITE_PAD, 2, ids, 1, m->out);
	want = m->want[0];
	for (size_t i = 0; i < box_count(&out); i++) {
		bool inside = true;
		int x[RANK];

		box_place(&out, i, x);
		for (unsigned d = 0; d < in.rank; d++) {
			x[d] -= by[2 * d];
			inside &= x[d] >= 0 && x[d] < in.dim[d];
		}
		if (inside)
			memcpy(want + i * m->size, values + box_at(&in, x) * m->size, m->size);
		else if (m->size == 1)
			want[i] = (char)m->zero;
	}
	describe(m, "pad to", &out);
	move_check(c, m);
}

static void check_pad(struct checkcl *c)
{
	each(c, 12, pad_case);
}

/* ---- CONCATENATION and SPLIT -------------------------------------------------------------------- */

/* Copies a part that stands at index first of axis in the whole, in either direction. */
static void band(const struct box *part, char *values, const struct box *whole, char *all, unsigned axis,
	int first, size_t size, bool out)
{
	for (size_t i = 0; i < box_count(part); i++) {
		int x[RANK];
		size_t at;

		box_place(part, i, x);
		x[axis] += first;
		at = box_at(whole, x);
		if (out)
			memcpy(values + i * size, all + at * size, size);
		else
			memcpy(all + at * size, values + i * size, size);
	}
}

static void concatenation_case(struct checkcl *c, struct move *m)
{
	struct box whole = box_random(c, (unsigned)cnn_random(c, 1, 5)), part[CNN_NET_ENDS];
	unsigned axis = (unsigned)cnn_random(c, 0, (int)whole.rank - 1), n = (unsigned)cnn_random(c, 1, 5);
	char *values[CNN_NET_ENDS];
	struct weir_tflite_op *o;
	int first = 0;

	whole.dim[axis] = 0;
	for (unsigned i = 0; i < n; i++) {
		part[i] = whole;
		part[i].dim[axis] = cnn_random(c, 1, 40);
		/* One of the later ones is a constant, now and then. */
		input(c, m, &part[i], i && !cnn_random(c, 0, 3), &values[i]);
	}
	for (unsigned i = 0; i < n; i++)
		whole.dim[axis] += part[i].dim[axis];
	output(m, &whole);
	o = cnn_net_op(&m->net, WEIR_TFLITE_CONCATENATION, n, m->in, 1, m->out);
	o->axis = cnn_random(c, 0, 1) ? (int)axis : (int)axis - (int)whole.rank;
	for (unsigned i = 0; i < n; first += part[i++].dim[axis])
		band(&part[i], values[i], &whole, m->want[0], axis, first, m->size, false);
	describe(m, "concatenation to", &whole);
	move_check(c, m);
}

static void check_concatenation(struct checkcl *c)
{
	each(c, 12, concatenation_case);
}

static void split_case(struct checkcl *c, struct move *m)
{
	struct box whole = box_random(c, (unsigned)cnn_random(c, 1, 5)), part = whole;
	unsigned axis = (unsigned)cnn_random(c, 0, (int)whole.rank - 1), n = (unsigned)cnn_random(c, 1, 5);
	int32_t named = (int32_t)axis - (cnn_random(c, 0, 1) ? (int32_t)whole.rank : 0), ids[2];
	char *values;

	part.dim[axis] = cnn_random(c, 1, 20);
	whole.dim[axis] = part.dim[axis] * (int32_t)n;
	ids[0] = cnn_net_tensor(&m->net, WEIR_TFLITE_I32, 0, NULL, &named);
	ids[1] = input(c, m, &whole, false, &values);
	for (unsigned i = 0; i < n; i++) {
		output(m, &part);
		band(&part, m->want[i], &whole, values, axis, (int)i * part.dim[axis], m->size, true);
	}
	cnn_net_op(&m->net, WEIR_TFLITE_SPLIT, 2, ids, n, m->out)->num_splits = (int)n;
	describe(m, "split into", &part);
	move_check(c, m);
}

static void check_split(struct checkcl *c)
{
	each(c, 12, split_case);
}

/* ---- STRIDED_SLICE ------------------------------------------------------------------------------ */

/* What is taken of each axis, and the ways to say so. */
struct slice {
	struct box in, out;
	int first[RANK], step[RANK], count[RANK];
	bool shrink[RANK];
	unsigned n;
	int32_t begin[RANK + 2], end[RANK + 2], stride[RANK + 2];
	int begin_mask, end_mask, shrink_mask, new_mask, ellipsis_mask;
	bool offset;
};

static void slice_axis(struct checkcl *c, struct slice *s, unsigned d, bool whole)
{
	int size = s->in.dim[d], step = cnn_random(c, 1, 3) * (cnn_random(c, 0, 2) ? 1 : -1), room;

	s->first[d] = whole ? 0 : cnn_random(c, 0, size - 1);
	s->step[d] = whole ? 1 : step;
	room = s->step[d] > 0 ? (size - 1 - s->first[d]) / s->step[d] : s->first[d] / -s->step[d];
	s->count[d] = whole ? size : 1 + cnn_random(c, 0, room);
	s->shrink[d] = !whole && !cnn_random(c, 0, 5);
	if (s->shrink[d])
		s->step[d] = s->count[d] = 1;
	else
		s->out.dim[s->out.rank++] = s->count[d];
}

/* One value of begin, end and strides for axis d: from the front, from the back, or by a mask. */
static void slice_say(struct checkcl *c, struct slice *s, unsigned d)
{
	int size = s->in.dim[d], step = s->step[d], last = s->first[d] + (s->count[d] - 1) * step;
	int end = last + (step > 0 ? 1 : -1), bit = 1 << s->n;

	s->stride[s->n] = step;
	s->begin[s->n] = s->first[d] - (cnn_random(c, 0, 1) ? size : 0);
	if (s->first[d] == (step > 0 ? 0 : size - 1) && cnn_random(c, 0, 1)) {
		s->begin_mask |= bit;
		s->begin[s->n] = cnn_random(c, -9, 9);
	}
	if (s->offset) {
		/* Before the first index is further than by one: what is negative counts from the end. */
		s->end[s->n] = (end < 0 ? -size - 1 : end) - s->first[d];
	} else if (end < 0 || end >= size) {
		/* Past the end in either direction. */
		s->end[s->n] = end < 0 ? -size - cnn_random(c, 1, 3) : size + cnn_random(c, 0, 3);
		if (cnn_random(c, 0, 1)) {
			s->end_mask |= bit;
			s->end[s->n] = cnn_random(c, -9, 9);
		}
	} else {
		s->end[s->n] = end - (cnn_random(c, 0, 1) ? size : 0);
	}
	if (s->shrink[d]) {
		s->shrink_mask |= bit;
		s->end[s->n] = cnn_random(c, -9, 9);
	}
	s->n++;
}

/* Up to one new axis before, an ellipsis for axes [whole, whole_end), and no words for the last ones. */
static void slice_make(struct checkcl *c, struct slice *s)
{
	unsigned rank = s->in.rank, whole = rank, whole_end = rank, said = rank;

	s->offset = !cnn_random(c, 0, 5);
	if (!s->offset && !cnn_random(c, 0, 2)) {
		whole = (unsigned)cnn_random(c, 0, (int)rank - 1);
		whole_end = (unsigned)cnn_random(c, (int)whole, (int)rank - 1) + 1;
	} else if (!s->offset && !cnn_random(c, 0, 2)) {
		said = (unsigned)cnn_random(c, 1, (int)rank);
	}
	if (!s->offset && !cnn_random(c, 0, 3)) {
		s->new_mask = 1 << s->n;
		s->begin[s->n] = cnn_random(c, -9, 9);
		s->end[s->n] = cnn_random(c, -9, 9);
		s->stride[s->n++] = 1;
		s->out.dim[s->out.rank++] = 1;
	}
	for (unsigned d = 0; d < rank; d++) {
		bool in_ellipsis = d >= whole && d < whole_end;

		slice_axis(c, s, d, in_ellipsis || d >= said);
		if (in_ellipsis && d == whole) {
			s->ellipsis_mask = 1 << s->n;
			s->begin[s->n] = s->end[s->n] = 0;
			s->stride[s->n++] = 1;
		} else if (!in_ellipsis && d < said) {
			slice_say(c, s, d);
		}
	}
}

static void slice_case(struct checkcl *c, struct move *m)
{
	struct slice s = {.in = box_random(c, (unsigned)cnn_random(c, 1, 5))};
	struct weir_tflite_op *o;
	struct box taken = {.rank = s.in.rank};
	int32_t ids[4];
	char *values;

	slice_make(c, &s);
	ids[0] = input(c, m, &s.in, false, &values);
	ids[1] = ints(m, s.n, s.begin);
	ids[2] = ints(m, s.n, s.end);
	ids[3] = ints(m, s.n, s.stride);
	output(m, &s.out);
	o = cnn_net_op(&m->net, WEIR_TFLITE_STRIDED_SLICE, 4, ids, 1, m->out);
	o->begin_mask = s.begin_mask;
	o->end_mask = s.end_mask;
	o->shrink_axis_mask = s.shrink_mask;
	o->new_axis_mask = s.new_mask;
	o->ellipsis_mask = s.ellipsis_mask;
	o->offset = s.offset;
	memcpy(taken.dim, s.count, sizeof(taken.dim));
	for (size_t i = 0; i < box_count(&taken); i++) {
		int x[RANK];

		box_place(&taken, i, x);
		for (unsigned d = 0; d < taken.rank; d++)
			x[d] = s.first[d] + x[d] * s.step[d];
		memcpy(m->want[0] + i * m->size, values + box_at(&s.in, x) * m->size, m->size);
	}
	describe(m, "slice of", &s.in);
	move_check(c, m);
}

static void check_slice(struct checkcl *c)
{
	each(c, 40, slice_case);
}

/* ---- TRANSPOSE, RESHAPE, SQUEEZE ---------------------------------------------------------------- */

static void transpose_case(struct checkcl *c, struct move *m)
{
	struct box in = box_random(c, (unsigned)cnn_random(c, 1, 6)), out = in;
	int32_t from[RANK], ids[2];
	char *values;

	for (unsigned d = 0; d < in.rank; d++) {
		unsigned other = (unsigned)cnn_random(c, 0, (int)d);

		from[d] = (int32_t)d;
		from[d] = from[other];
		from[other] = (int32_t)d;
	}
	for (unsigned d = 0; d < in.rank; d++)
		out.dim[d] = in.dim[from[d]];
	ids[0] = input(c, m, &in, false, &values);
	ids[1] = ints(m, in.rank, from);
	output(m, &out);
	cnn_net_op(&m->net, WEIR_TFLITE_TRANSPOSE, 2, ids, 1, m->out);
	for (size_t i = 0; i < box_count(&out); i++) {
		int x[RANK], y[RANK];

		box_place(&out, i, x);
		for (unsigned d = 0; d < in.rank; d++)
			y[from[d]] = x[d];
		memcpy(m->want[0] + i * m->size, values + box_at(&in, y) * m->size, m->size);
	}
	describe(m, "transpose of", &in);
	move_check(c, m);
}

static void check_transpose(struct checkcl *c)
{
	each(c, 16, transpose_case);
}

/* RESHAPE, SQUEEZE of that, and TRANSPOSE, so that there is something to do. */
static void reshape_case(struct checkcl *c, struct move *m)
{
	struct box in = box_random(c, 4), flat = {.rank = 4}, thin = {.rank = 2}, out = {.rank = 2};
	int32_t shape[4], from[2] = {1, 0}, ids[2], middle[2];
	struct weir_tflite_op *o;
	char *values;

	flat.dim[0] = flat.dim[2] = 1;
	flat.dim[1] = thin.dim[0] = out.dim[1] = in.dim[0] * in.dim[1];
	flat.dim[3] = thin.dim[1] = out.dim[0] = in.dim[2] * in.dim[3];
	memcpy(shape, flat.dim, sizeof(shape));
	shape[cnn_random(c, 0, 1) ? 1 : 3] = -1;
	ids[0] = input(c, m, &in, false, &values);
	middle[0] = tensor(m, &flat, NULL);
	middle[1] = tensor(m, &thin, NULL);
	output(m, &out);
	ids[1] = ints(m, 4, shape);
	o = cnn_net_op(&m->net, WEIR_TFLITE_RESHAPE, cnn_random(c, 0, 1) ? 2 : 1, ids, 1, &middle[0]);
	o->n_new_shape = 4;
	memcpy(o->new_shape, shape, sizeof(shape));
	o = cnn_net_op(&m->net, WEIR_TFLITE_SQUEEZE, 1, &middle[0], 1, &middle[1]);
	/* All dims of 1 are not meant where one of the others is 1. */
	o->n_squeeze_dims = 2;
	o->squeeze_dims[0] = -2;
	o->squeeze_dims[1] = 0;
	ids[0] = middle[1];
	ids[1] = ints(m, 2, from);
	cnn_net_op(&m->net, WEIR_TFLITE_TRANSPOSE, 2, ids, 1, m->out);
	for (int y = 0; y < thin.dim[0]; y++) {
		for (int x = 0; x < thin.dim[1]; x++)
			memcpy(m->want[0] + (size_t)(x * thin.dim[0] + y) * m->size,
				values + (size_t)(y * thin.dim[1] + x) * m->size, m->size);
	}
	describe(m, "reshape of", &in);
	move_check(c, m);
}

static void check_reshape(struct checkcl *c)
{
	each(c, 6, reshape_case);
}

/* ---- what is refused ---------------------------------------------------------------------------- */

/* An operator of one picture and one constant that is wrong. */
static const struct refusal {
	enum weir_tflite_code code;
	const char *what; /* part of the sentence */
	unsigned rank, n;
	int32_t values[10]; /* of the constant */
	int32_t dim[2];	    /* of the constant; dim[0] 0: it is a vector of n */
} refusals[] = {
	{WEIR_TFLITE_PAD, "it pads dim 1 by -1 and 0", 4, 8, {0, 0, -1, 0, 0, 0, 0, 0}, {4, 2}},
	{WEIR_TFLITE_PAD, "it pads dim 2 by 0 and 2147483647", 4, 8, {0, 0, 0, 0, 0, INT32_MAX, 0, 0}, {4, 2}},
	{WEIR_TFLITE_PAD, "it has 6 values, not 8", 4, 6, {0}, {3, 2}},
	{WEIR_TFLITE_PAD, "paddings are two values a dim", 4, 8, {0}, {2, 4}},
	{WEIR_TFLITE_PAD, "the operator makes", 4, 8, {0, 0, 1, 1}, {4, 2}},
	{WEIR_TFLITE_TRANSPOSE, "it is no permutation: value 2 is 1", 4, 4, {0, 1, 1, 3}, {0}},
	{WEIR_TFLITE_TRANSPOSE, "it is no permutation: value 0 is 4", 4, 4, {4, 1, 2, 3}, {0}},
	{WEIR_TFLITE_TRANSPOSE, "it does not name 4 dims", 4, 3, {0, 1, 2}, {0}},
	{WEIR_TFLITE_TRANSPOSE, "the operator makes", 4, 4, {0, 2, 1, 3}, {0}},
	{WEIR_TFLITE_RESHAPE, "the new shape has 61 values, not 60", 4, 1, {61}, {0}},
	{WEIR_TFLITE_RESHAPE, "the new shape has 56 values, not 60", 4, 2, {7, -1}, {0}},
	{WEIR_TFLITE_RESHAPE, "dim 1 of the new shape is -1", 4, 2, {-1, -1}, {0}},
	{WEIR_TFLITE_RESHAPE, "dim 0 of the new shape is 0", 4, 2, {0, 60}, {0}},
	{WEIR_TFLITE_RESHAPE, "no more than 6 dims are supported", 4, 7, {1, 1, 1, 1, 1, 1, 60}, {0}},
	{WEIR_TFLITE_RESIZE_BILINEAR, "the operator makes", 4, 2, {0, 7}, {0}},
	{WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, "it has 3 values, not 2", 4, 3, {5, 4, 3}, {0}},
	{WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, "it has 3 dims, not 4", 3, 2, {5, 4}, {0}},
};

static void check_refusal(struct checkcl *c, const struct refusal *r)
{
	static const struct box picture = {4, {1, 5, 4, 3}}, list = {3, {5, 4, 3}};
	const struct box *b = r->rank == 4 ? &picture : &list;
	int32_t count = (int32_t)r->n, ids[2];
	struct move m;
	char *values;

	move_start(&m, WEIR_TFLITE_I8);
	ids[0] = input(c, &m, b, false, &values);
	ids[1] = cnn_net_tensor(&m.net, WEIR_TFLITE_I32, r->dim[0] ? 2 : 1, r->dim[0] ? r->dim : &count, r->values);
	output(&m, b);
	cnn_net_op(&m.net, r->code, 2, ids, 1, m.out);
	cnn_net_ends(&m.net, 1, ids, 1, m.out);
	cnn_net_refused(c, weir_tflite_code_name(r->code), &m.net, r->what);
	/* What is not there when the network is loaded cannot say what it does. */
	m.net.tensors[ids[1]].data = NULL;
	cnn_net_refused(c, weir_tflite_code_name(r->code), &m.net, "tensor 1 (t1), INT32");
	move_done(&m);
}

static void refuse_bands(struct checkcl *c)
{
	static const struct box part = {2, {3, 4}}, whole = {2, {3, 8}};
	const int32_t axis = 1;
	struct weir_tflite_op *o;
	struct move m;
	char *values;
	int32_t ids[2];

	move_start(&m, WEIR_TFLITE_I8);
	input(c, &m, &part, false, &values);
	input(c, &m, &part, false, &values);
	output(&m, &whole);
	o = cnn_net_op(&m.net, WEIR_TFLITE_CONCATENATION, 2, m.in, 1, m.out);
	cnn_net_ends(&m.net, 2, m.in, 1, m.out);
	cnn_net_refused(c, "concatenation of other dims", &m.net, "the operator makes");
	o->axis = -3;
	cnn_net_refused(c, "concatenation", &m.net, "it has no axis -3");
	o->axis = 1;
	o->activation = WEIR_TFLITE_ACT_RELU;
	cnn_net_refused(c, "concatenation", &m.net, "the fused activation 1 is not supported");
	o->activation = WEIR_TFLITE_NONE;
	cnn_net_quantize(&m.net, m.in[1], SCALE, 1);
	cnn_net_refused(c, "concatenation", &m.net, "its scale 0.05 and zero point 1 are not those of the output");
	m.net.tensors[m.in[1]].dim[0] = 2;
	cnn_net_refused(c, "concatenation", &m.net, "dim 0 of the first input is 3");
	move_done(&m);

	move_start(&m, WEIR_TFLITE_F32);
	ids[0] = cnn_net_tensor(&m.net, WEIR_TFLITE_I32, 0, NULL, &axis);
	ids[1] = input(c, &m, &whole, false, &values);
	output(&m, &part);
	o = cnn_net_op(&m.net, WEIR_TFLITE_SPLIT, 2, ids, 1, m.out);
	cnn_net_ends(&m.net, 1, &ids[1], 1, m.out);
	cnn_net_refused(c, "split", &m.net, "it splits into 0");
	o->num_splits = 2;
	cnn_net_refused(c, "split", &m.net, "it has 1 outputs, not 2");
	o->num_splits = 1;
	cnn_net_refused(c, "split", &m.net, "the operator makes");
	m.net.tensors[ids[1]].dim[1] = 7;
	o->num_splits = 2;
	o->n_outputs = 2;
	cnn_net_refused(c, "split", &m.net, "dim 1 cannot be split into 2 alike");
	move_done(&m);
}

static void refuse_slice(struct checkcl *c)
{
	static const struct box b = {2, {3, 4}};
	static const struct {
		const char *what;
		int32_t begin, end, stride;
		int ellipsis, new_axes, shrink;
	} wrong[] = {
		{"its stride of axis 0 is 0", 0, 3, 0, 0, 0, 0},
		{"it leaves nothing of axis 0", 2, 2, 1, 0, 0, 0},
		{"it leaves nothing of axis 0", 3, 0, 1, 0, 0, 1},
		{"it leaves nothing of axis 0", 0, 3, INT32_MIN, 0, 0, 0},
		{"its mask has more than one ellipsis", 0, 3, 1, 3, 0, 0},
		{"the operator makes INT8 [2, 4]", 1, 3, 1, 0, 0, 0},
		{"the operator makes INT8 [1, 3, 4]", 0, 3, 1, 0, 1, 0},
		{"the operator makes INT8 [4]", 1, 0, 1, 0, 0, 1},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(wrong); i++) {
		struct weir_tflite_op *o;
		struct move m;
		int32_t ids[4];
		char *values;

		move_start(&m, WEIR_TFLITE_I8);
		ids[0] = input(c, &m, &b, false, &values);
		ids[1] = ints(&m, 1, &wrong[i].begin);
		ids[2] = ints(&m, 1, &wrong[i].end);
		ids[3] = ints(&m, 1, &wrong[i].stride);
		output(&m, &b);
		o = cnn_net_op(&m.net, WEIR_TFLITE_STRIDED_SLICE, 4, ids, 1, m.out);
		o->ellipsis_mask = wrong[i].ellipsis;
		o->new_axis_mask = wrong[i].new_axes;
		o->shrink_axis_mask = wrong[i].shrink;
		cnn_net_ends(&m.net, 1, ids, 1, m.out);
		cnn_net_refused(c, "slice", &m.net, wrong[i].what);
		move_done(&m);
	}
}

static void check_refused(struct checkcl *c)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(refusals); i++)
		check_refusal(c, &refusals[i]);
	refuse_bands(c);
	refuse_slice(c);
}

const struct checkcl_row checkcl_cnn_move[] = {
	{"cnn_pad", check_pad},
	{"cnn_concatenation", check_concatenation},
	{"cnn_split", check_split},
	{"cnn_strided_slice", check_slice},
	{"cnn_transpose", check_transpose},
	{"cnn_reshape", check_reshape},
	{"cnn_move_refused", check_refused},
	{NULL, NULL},
};
