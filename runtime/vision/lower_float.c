/* SPDX-License-Identifier: MIT */
/*
 * The float32 twins of the int8 operators, for kernels/cnn_float.clh. What they do is TFLite's
 * (tensorflow/lite/kernels and its reference_ops); shapes of windows by its ComputePaddingHeightWidth.
 */
#include "kernels/cnn_float.clh"
#include "vision/lower.h"

/* No side of a window or stride is larger, so that kernels can count in int32. */
#define SIDE_MAX (1 << 24)

static int float_bits(float v)
{
	int bits;

	memcpy(&bits, &v, sizeof(bits));
	return bits;
}

static int blocks_of(int channels)
{
	return (channels + CNN_F32_LANES - 1) / CNN_F32_LANES;
}

/* Bytes of pixels of c floats after which an output may begin below its input and stay aligned. */
static size_t overlay_step(int c)
{
	size_t step = (size_t)c * sizeof(float);

	while (step % 16)
		step += (size_t)c * sizeof(float);
	return step;
}

/* ---- windows ------------------------------------------------------------------------------------ */

struct window {
	int in;					   /* the tensor that is read */
	int pad[4];				   /* of a folded PAD: top, bottom, left, right */
	int64_t kernel[2], stride[2], dilation[2]; /* height, width */
	int64_t before[2];			   /* padding on top and left, the folded one too */
	int32_t out[2];
};

/* Finds the size of the output and the padding. */
static int window_shape(struct weir_lower *l, unsigned op, struct window *w)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in = weir_lower_tensor(l, w->in);

	if (o->padding != WEIR_TFLITE_SAME && o->padding != WEIR_TFLITE_VALID)
		return weir_lower_fail(l, op, EOPNOTSUPP, "padding %d is not supported", o->padding);
	for (int d = 0; d < 2; d++) {
		int64_t size = (int64_t)in->dim[1 + d] + w->pad[2 * d] + w->pad[2 * d + 1], reach, all, out;

		if (w->kernel[d] < 1 || w->stride[d] < 1 || w->dilation[d] < 1 || w->kernel[d] > SIDE_MAX ||
			w->stride[d] > SIDE_MAX || w->dilation[d] > SIDE_MAX)
			return weir_lower_fail(l, op, EINVAL,
				"its kernel is %d, its stride %d, its dilation %d", (int)w->kernel[d],
				(int)w->stride[d], (int)w->dilation[d]);
		reach = (w->kernel[d] - 1) * w->dilation[d] + 1;
		if (reach > SIDE_MAX || size > INT32_MAX / 2)
			return weir_lower_fail(l, op, EOPNOTSUPP, "its kernel reaches over %lld of %lld pixels",
				(long long)reach, (long long)size);
		out = o->padding == WEIR_TFLITE_SAME ? (size + w->stride[d] - 1) / w->stride[d]
						     : (size + w->stride[d] - reach) / w->stride[d];
		if (out < 1)
			return weir_lower_fail_tensor(l, op, EINVAL, w->in,
				"the kernel of %d does not fit into it", (int)w->kernel[d]);
		all = WEIR_MAX((out - 1) * w->stride[d] + reach - size, 0);
		w->before[d] = w->pad[2 * d] + (o->padding == WEIR_TFLITE_SAME ? all / 2 : 0);
		w->out[d] = (int32_t)out;
	}
	return 0;
}

/* The node of a window, with the output's shape and activation checked. */
static int window_node(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind,
	const struct window *w, int32_t channels, struct weir_cnn_node **out)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const int32_t dim[4] = {weir_lower_tensor(l, w->in)->dim[0], w->out[0], w->out[1], channels};
	int err = weir_lower_shape(l, op, o->outputs[0], 4, dim), *p;
	struct weir_cnn_node *node;
	float lo, hi;

	if (!err)
		err = weir_lower_clamp_f32(l, op, o->activation, &lo, &hi);
	if (err)
		return err;
	node = *out = weir_lower_node(l, op, label, kind, w->in, -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	p = node->op.p;
	for (int d = 0; d < 2; d++) {
		p[CNN_F32_KERNEL_H + d] = (int)w->kernel[d];
		p[CNN_F32_STRIDE_H + d] = (int)w->stride[d];
		p[CNN_F32_DILATION_H + d] = (int)w->dilation[d];
		p[CNN_F32_TOP + d] = (int)w->before[d];
	}
	p[CNN_F32_LO] = float_bits(lo);
	p[CNN_F32_HI] = float_bits(hi);
	p[CNN_F32_MULTIPLIER] = 1;
	/* With more pictures than one the rows of input and output do not run alike. */
	if (dim[0] == 1) {
		node->stride = (int)w->stride[0];
		node->pad = (int)w->before[0];
		node->span = (int)((w->kernel[0] - 1) * w->dilation[0] + 1);
	}
	return 0;
}

/* ---- convolutions ------------------------------------------------------------------------------- */

/* Weights with their dims, and a bias, or NULL, of as many values as there are output channels. */
struct filter {
	const struct weir_tflite_tensor *weight, *bias;
};

static int check_values(struct weir_lower *l, unsigned op, int id, unsigned n_dims)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, id);

	if (t->type != WEIR_TFLITE_F32)
		return weir_lower_fail_tensor(
			l, op, EOPNOTSUPP, id, "with a FLOAT32 input only FLOAT32 is supported");
	if (!t->data)
		return weir_lower_fail_tensor(
			l, op, EOPNOTSUPP, id, "weights that are no constant are not supported");
	if (t->n_dims != n_dims)
		return weir_lower_fail_tensor(l, op, EINVAL, id, "it has %u dims, not %u", t->n_dims, n_dims);
	return 0;
}

/*
 * The inputs that all three have: values of n_dims (0: any), weights of w_dims, a bias of dim `channel` of
 * the weights.
 */
static int check_filter(
	struct weir_lower *l, unsigned op, unsigned n_dims, unsigned w_dims, unsigned channel, struct filter *f)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int err = weir_lower_arity(l, op, 2, 3, 1), tensors[2], bias;
	bool f32;

	if (err)
		return err;
	tensors[0] = o->inputs[0];
	tensors[1] = o->outputs[0];
	err = weir_lower_same_type(l, op, tensors, 2, &f32);
	if (!err)
		err = check_values(l, op, o->inputs[1], w_dims);
	if (err)
		return err;
	if (n_dims && weir_lower_tensor(l, o->inputs[0])->n_dims != n_dims)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it does not have %u dims", n_dims);
	f->weight = weir_lower_tensor(l, o->inputs[1]);
	bias = o->n_inputs > 2 ? o->inputs[2] : -1;
	f->bias = bias >= 0 ? weir_lower_tensor(l, bias) : NULL;
	if (!f->bias)
		return 0;
	err = check_values(l, op, bias, f->bias->n_dims);
	if (!err && f->bias->count != (size_t)f->weight->dim[channel])
		err = weir_lower_fail_tensor(
			l, op, EINVAL, bias, "there are %d output channels", f->weight->dim[channel]);
	return err;
}

/* Values of a file are not always aligned. */
static float value_at(const struct weir_tflite_tensor *t, size_t i)
{
	float v;

	memcpy(&v, t->data + i * sizeof(v), sizeof(v));
	return v;
}

/*
 * Weights as kernels read them, in blocks of 16 lanes: of n channels of a group each, `taps` values a
 * channel. tap_step and channel_step say how the file has them.
 */
static int pack(struct weir_lower *l, struct weir_cnn_node *node, const struct filter *f, int groups, int n,
	size_t taps, size_t tap_step, size_t channel_step)
{
	size_t block = (1 + taps) * CNN_F32_LANES;
	float *to;

	node->op.parts = groups * blocks_of(n);
	to = weir_lower_consts(l, node, (size_t)node->op.parts * block * sizeof(float));
	if (!to)
		return -ENOMEM;
	for (int part = 0; part < node->op.parts; part++, to += block) {
		int first = part % blocks_of(n) * CNN_F32_LANES, lanes = WEIR_MIN(n - first, CNN_F32_LANES);

		for (int i = 0; i < lanes; i++) {
			size_t channel = (size_t)(part / blocks_of(n)) * (size_t)n + (size_t)(first + i);

			to[i] = f->bias ? value_at(f->bias, channel) : 0;
			for (size_t t = 0; t < taps; t++)
				to[(1 + t) * CNN_F32_LANES + (size_t)i] =
					value_at(f->weight, t * tap_step + channel * channel_step);
		}
	}
	return 0;
}

static void window_options(
	const struct weir_tflite_op *o, const struct weir_tflite_tensor *weight, struct window *w)
{
	w->kernel[0] = weight->dim[1];
	w->kernel[1] = weight->dim[2];
	w->stride[0] = o->stride_h;
	w->stride[1] = o->stride_w;
	w->dilation[0] = o->dilation_h;
	w->dilation[1] = o->dilation_w;
}

int weir_lower_conv_f32(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct weir_cnn_node *node;
	struct filter f;
	struct window w;
	int err = check_filter(l, op, 4, 4, 0, &f), depth, channels, groups;

	if (err)
		return err;
	w.in = weir_lower_padded(l, o->inputs[0], w.pad);
	window_options(o, f.weight, &w);
	depth = f.weight->dim[3];
	channels = weir_lower_tensor(l, w.in)->dim[3];
	groups = channels / depth;
	if (channels % depth || f.weight->dim[0] % groups)
		return weir_lower_fail_tensor(
			l, op, EINVAL, o->inputs[1], "it does not fit to %d input channels", channels);
	err = window_shape(l, op, &w);
	if (!err)
		err = window_node(l, op, "conv", CNN_CONV_F32, &w, f.weight->dim[0], &node);
	if (err)
		return err;
	node->op.p[CNN_F32_DEPTH] = depth;
	node->op.p[CNN_F32_GROUP] = f.weight->dim[0] / groups;
	node->macs = (uint64_t)weir_lower_tensor(l, o->outputs[0])->count *
		     (f.weight->count / (uint64_t)f.weight->dim[0]);
	return pack(l, node, &f, groups, f.weight->dim[0] / groups, f.weight->count / (size_t)f.weight->dim[0],
		1, f.weight->count / (size_t)f.weight->dim[0]);
}

int weir_lower_depthwise_f32(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct weir_cnn_node *node;
	struct filter f;
	struct window w;
	int err = check_filter(l, op, 4, 4, 3, &f), channels, out;

	if (err)
		return err;
	w.in = weir_lower_padded(l, o->inputs[0], w.pad);
	window_options(o, f.weight, &w);
	channels = weir_lower_tensor(l, w.in)->dim[3];
	out = f.weight->dim[3];
	if (f.weight->dim[0] != 1 || out % channels)
		return weir_lower_fail_tensor(
			l, op, EINVAL, o->inputs[1], "it does not fit to %d input channels", channels);
	err = window_shape(l, op, &w);
	if (!err)
		err = window_node(l, op, "depthwise", CNN_DEPTHWISE_F32, &w, out, &node);
	if (err)
		return err;
	node->op.p[CNN_F32_MULTIPLIER] = out / channels;
	if (out == channels && node->span)
		node->overlay = overlay_step(channels);
	node->macs = (uint64_t)weir_lower_tensor(l, o->outputs[0])->count * (f.weight->count / (uint64_t)out);
	return pack(l, node, &f, 1, out, f.weight->count / (size_t)out, (size_t)out, 1);
}

/* A view of one row of n pixels of c channels. */
static void row_view(struct cnn_view *v, size_t n, int c)
{
	v->n = v->h = v->ring = 1;
	v->w = (int)n;
	v->c = c;
	v->pitch = (int)(n * (size_t)c * sizeof(float));
}

int weir_lower_fully_connected_f32(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	struct weir_cnn_node *node;
	struct filter f;
	int err = check_filter(l, op, 0, 2, 0, &f), units, depth;
	int32_t dim[WEIR_TFLITE_DIMS];
	unsigned n_dims = 2;
	float lo, hi;

	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	units = f.weight->dim[0];
	depth = f.weight->dim[1];
	if (o->shuffled_weights)
		return weir_lower_fail(l, op, EOPNOTSUPP, "shuffled weights are not supported");
	if (in->count % (size_t)depth || (o->keep_dims && (!in->n_dims || in->dim[in->n_dims - 1] != depth)))
		return weir_lower_fail_tensor(
			l, op, EINVAL, o->inputs[0], "the weights are for %d values", depth);
	dim[0] = (int32_t)(in->count / (size_t)depth);
	if (o->keep_dims) {
		n_dims = in->n_dims;
		memcpy(dim, in->dim, sizeof(dim));
	}
	dim[n_dims - 1] = units;
	err = weir_lower_shape(l, op, o->outputs[0], n_dims, dim);
	if (!err)
		err = weir_lower_clamp_f32(l, op, o->activation, &lo, &hi);
	if (err)
		return err;
	node = weir_lower_node(l, op, "fully connected", CNN_CONV_F32, o->inputs[0], -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	row_view(&node->op.in, in->count / (size_t)depth, depth);
	row_view(&node->op.out, in->count / (size_t)depth, units);
	node->rows = 1;
	for (int i = CNN_F32_KERNEL_H; i <= CNN_F32_DILATION_W; i++)
		node->op.p[i] = 1;
	node->op.p[CNN_F32_LO] = float_bits(lo);
	node->op.p[CNN_F32_HI] = float_bits(hi);
	node->op.p[CNN_F32_DEPTH] = depth;
	node->op.p[CNN_F32_GROUP] = units;
	node->macs = (uint64_t)in->count * (uint64_t)units;
	return pack(l, node, &f, 1, units, (size_t)depth, 1, (size_t)depth);
}

/* ---- pools, mean, softmax ----------------------------------------------------------------------- */

/* An operator of one float input, and perhaps others that are no values, and one float output. */
static int check_unary(struct weir_lower *l, unsigned op, unsigned inputs)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	int err = weir_lower_arity(l, op, inputs, inputs, 1), tensors[2];
	bool f32;

	if (err)
		return err;
	tensors[0] = o->inputs[0];
	tensors[1] = o->outputs[0];
	return weir_lower_same_type(l, op, tensors, 2, &f32);
}

static int lower_pool(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	struct window w = {
		.kernel = {o->filter_h, o->filter_w}, .stride = {o->stride_h, o->stride_w}, .dilation = {1, 1}};
	struct weir_cnn_node *node;
	int err = check_unary(l, op, 1), channels;

	if (err)
		return err;
	w.in = o->inputs[0];
	if (weir_lower_tensor(l, w.in)->n_dims != 4)
		return weir_lower_fail_tensor(l, op, EINVAL, w.in, "it does not have 4 dims");
	channels = weir_lower_tensor(l, w.in)->dim[3];
	err = window_shape(l, op, &w);
	if (!err)
		err = window_node(l, op, label, kind, &w, channels, &node);
	if (err)
		return err;
	node->op.parts = blocks_of(channels);
	if (node->span)
		node->overlay = overlay_step(channels);
	node->macs = (uint64_t)weir_lower_tensor(l, o->outputs[0])->count *
		     (uint64_t)WEIR_MIN(w.kernel[0], weir_lower_tensor(l, w.in)->dim[1]) *
		     (uint64_t)WEIR_MIN(w.kernel[1], weir_lower_tensor(l, w.in)->dim[2]);
	return 0;
}

int weir_lower_average_pool_f32(struct weir_lower *l, unsigned op)
{
	return lower_pool(l, op, "average pool", CNN_AVERAGE_F32);
}

int weir_lower_max_pool_f32(struct weir_lower *l, unsigned op)
{
	return lower_pool(l, op, "max pool", CNN_MAX_F32);
}

/* The axes that MEAN sums up, by bits. */
static int mean_axes(struct weir_lower *l, unsigned op, unsigned *axes)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *by = weir_lower_tensor(l, o->inputs[1]);
	int n_dims = (int)weir_lower_tensor(l, o->inputs[0])->n_dims;
	int err = weir_lower_ints(l, op, o->inputs[1], false, 0);

	*axes = 0;
	for (size_t i = 0; i < by->count && !err; i++) {
		int axis = weir_tflite_int(by, i);

		if (axis < -n_dims || axis >= n_dims)
			return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it has no axis %d", axis);
		*axes |= 1u << (axis < 0 ? axis + n_dims : axis);
	}
	return err;
}

/* The input's dims as those that stay and those that are summed up, neighbours of a kind joined. */
static void mean_dims(const struct weir_tflite_tensor *in, unsigned axes, struct cnn_op *op)
{
	int *dim[2] = {op->p + CNN_MEAN_F32_KEEP, op->p + CNN_MEAN_F32_SUM};
	int *stride[2] = {op->p + CNN_MEAN_F32_KEEP_STRIDE, op->p + CNN_MEAN_F32_SUM_STRIDE};
	int at[2] = {CNN_MEAN_F32_DIMS, CNN_MEAN_F32_DIMS}, lies = 1, last = -1;
	int64_t count = 1;

	for (int i = 0; i < CNN_MEAN_F32_DIMS; i++)
		dim[0][i] = dim[1][i] = 1;
	for (unsigned d = in->n_dims; d-- > 0; lies *= in->dim[d]) {
		int sum = (int)(axes >> d & 1);

		if (in->dim[d] == 1)
			continue;
		if (sum != last)
			stride[sum][--at[sum]] = lies;
		dim[sum][at[sum]] *= in->dim[d];
		count *= sum ? in->dim[d] : 1;
		last = sum;
	}
	op->p[CNN_MEAN_F32_COUNT] = float_bits((float)count);
}

int weir_lower_mean_f32(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	struct weir_cnn_node *node;
	int err = check_unary(l, op, 2), *keep;
	int32_t dim[WEIR_TFLITE_DIMS];
	unsigned axes, n = 0;

	if (!err)
		err = mean_axes(l, op, &axes);
	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	for (unsigned d = 0; d < in->n_dims; d++) {
		if (o->keep_dims || !(axes >> d & 1))
			dim[n++] = axes >> d & 1 ? 1 : in->dim[d];
	}
	err = weir_lower_shape(l, op, o->outputs[0], n, dim);
	if (err)
		return err;
	node = weir_lower_node(l, op, "mean", CNN_MEAN_F32, o->inputs[0], -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	mean_dims(in, axes, &node->op);
	keep = node->op.p + CNN_MEAN_F32_KEEP;
	node->rows = keep[0] * keep[1];
	node->op.parts = blocks_of(keep[2]);
	node->macs = in->count;
	return 0;
}

int weir_lower_softmax_f32(struct weir_lower *l, unsigned op)
{
	const struct weir_tflite_op *o = &weir_lower_file(l)->ops[op];
	const struct weir_tflite_tensor *in;
	struct weir_cnn_node *node;
	int err = check_unary(l, op, 1);

	if (err)
		return err;
	in = weir_lower_tensor(l, o->inputs[0]);
	if (!in->n_dims)
		return weir_lower_fail_tensor(l, op, EINVAL, o->inputs[0], "it has no dims");
	err = weir_lower_shape(l, op, o->outputs[0], in->n_dims, in->dim);
	if (err)
		return err;
	node = weir_lower_node(l, op, "softmax", CNN_SOFTMAX_F32, o->inputs[0], -1, o->outputs[0]);
	if (!node)
		return -ENOMEM;
	node->op.p[CNN_SOFTMAX_F32_DEPTH] = in->dim[in->n_dims - 1];
	node->op.p[CNN_SOFTMAX_F32_BETA] = float_bits(o->beta);
	node->rows = (int)(in->count / (size_t)in->dim[in->n_dims - 1]);
	node->same = true;
	node->macs = in->count;
	return 0;
}
