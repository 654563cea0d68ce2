/* SPDX-License-Identifier: MIT */
/*
 * CONV_2D and FULLY_CONNECTED of int8: weights laid out as kernels/cnn_conv.clh reads them, and its
 * parameters.
 */
#include "kernels/cnn_conv.clh"
#include "vision/lower_conv.h"

struct conv_groups {
	int groups, depth, width; /* channels of input and output in each */
	int blocks, sets;	  /* of a group */
	int runs, run_taps, run_bytes, fours;
	size_t kernel_fours; /* of all runs */
};

static bool conv_groups(const struct weir_conv *c, int groups, int depth, struct conv_groups *g)
{
	bool joined = groups == 1 && c->dilation_w == 1;
	size_t bytes;

	g->groups = groups;
	g->depth = depth;
	g->width = c->channels / groups;
	g->blocks = (g->width + CNN_BLOCK - 1) / CNN_BLOCK;
	g->sets = (g->blocks + CNN_CONV_SET - 1) / CNN_CONV_SET;
	g->runs = joined ? 1 : c->kernel_w;
	g->run_taps = joined ? c->kernel_w : 1;
	if (!weir_size_mul((size_t)g->run_taps, (size_t)depth, &bytes) || bytes > INT32_MAX / 2)
		return false;
	g->run_bytes = (int)bytes;
	g->fours = (g->run_bytes + 3) / 4;
	g->kernel_fours = (size_t)g->fours * (size_t)g->runs * (size_t)c->kernel_h;
	return true;
}

static int floor_div(int64_t a, int b)
{
	return (int)(a >= 0 ? a / b : -((-a + b - 1) / b));
}

/*
 * Pixels whose windows lie in the row, with the bytes that fill up the last four of a run. The first one's
 * window begins at -left; the last one's ends stride * (n - 1) behind it.
 */
static void conv_direct(const struct weir_conv *c, const struct conv_groups *g, int32_t *p)
{
	int more = (g->fours * 4 - g->run_bytes + c->depth - 1) / c->depth;
	int64_t room = (int64_t)c->width - more - (int64_t)(c->kernel_w - 1) * c->dilation_w - 1 + c->left;
	int from = (c->left + c->stride_w - 1) / c->stride_w, to = floor_div(room, c->stride_w) + 1;

	p[CNN_CONV_DIRECT_FROM] = WEIR_MIN(from, c->out_w);
	p[CNN_CONV_DIRECT_TO] = WEIR_MIN(WEIR_MAX(to, p[CNN_CONV_DIRECT_FROM]), c->out_w);
}

static void conv_params(const struct weir_conv *c, const struct conv_groups *g, struct cnn_op *op)
{
	int32_t *p = op->p;
	int sets = g->sets * g->groups, stripes;
	int64_t parts;

	p[CNN_CONV_KERNEL_H] = c->kernel_h;
	p[CNN_CONV_STRIDE_H] = c->stride_h;
	p[CNN_CONV_STRIDE_W] = c->stride_w;
	p[CNN_CONV_DILATION_H] = c->dilation_h;
	p[CNN_CONV_DILATION_W] = c->dilation_w;
	p[CNN_CONV_TOP] = c->top;
	p[CNN_CONV_LEFT] = c->left;
	p[CNN_CONV_RUNS] = g->runs;
	p[CNN_CONV_RUN_TAPS] = g->run_taps;
	p[CNN_CONV_RUN_BYTES] = g->run_bytes;
	p[CNN_CONV_GROUPS] = g->groups;
	p[CNN_CONV_DEPTH] = g->depth;
	p[CNN_CONV_WIDTH] = g->width;
	p[CNN_CONV_BLOCKS] = g->blocks;
	p[CNN_CONV_SETS] = g->sets;
	p[CNN_CONV_ZERO] = weir_tflite_zero(c->input, 0);
	conv_direct(c, g, p);
	/* A dot product of a block is about a cycle, making int8 of a block ten. */
	parts = weir_conv_parts((double)c->out_w * g->blocks * g->groups * ((double)g->kernel_fours + 10));
	stripes = (int)WEIR_MIN(parts, sets);
	p[CNN_CONV_COLUMNS] = (int)WEIR_MIN(
		(parts + stripes - 1) / stripes, (c->out_w + CNN_CONV_TILE - 1) / CNN_CONV_TILE);
	op->parts = stripes * p[CNN_CONV_COLUMNS];
}

/*
 * Weights of output channel o of its group to lane `lane` of the block at `out`, `next` bytes from four to
 * four.
 */
static int32_t conv_put_channel(const struct weir_conv *c, const struct conv_groups *g, const int8_t *w,
	const struct weir_conv_weights *at, char *out, size_t next)
{
	int32_t sum = 0;

	for (int ky = 0; ky < c->kernel_h; ky++) {
		for (int kx = 0; kx < c->kernel_w; kx++) {
			const int8_t *tap = w + ((size_t)ky * (size_t)c->kernel_w + (size_t)kx) * at->tap;
			size_t run = (size_t)ky * (size_t)g->runs + (size_t)(kx / g->run_taps);
			size_t byte = (size_t)(kx % g->run_taps) * (size_t)g->depth;

			for (size_t i = 0; i < (size_t)g->depth; i++, byte++) {
				int8_t value = tap[i * at->step];

				out[(run * (size_t)g->fours + byte / 4) * next + byte % 4] = (char)value;
				sum = (int32_t)((uint32_t)sum + (uint32_t)value);
			}
		}
	}
	return sum;
}

static int conv_put(const struct weir_conv *c, const struct conv_groups *g,
	const struct weir_conv_weights *at, char *consts, size_t weights_at, int *how)
{
	for (int i = 0; i < c->channels; i++) {
		int group = i / g->width, b = i % g->width / CNN_BLOCK, lane = i % g->width % CNN_BLOCK;
		/* The set of block b, and the blocks that it has. */
		int set = ((b + 1) * g->sets - 1) / g->blocks;
		int first = g->blocks * set / g->sets, size = g->blocks * (set + 1) / g->sets - first;
		size_t start = ((size_t)group * (size_t)g->blocks + (size_t)first) * g->kernel_fours;
		char *out = consts + weights_at + (start + (size_t)(b - first)) * 64 + (size_t)lane * 4;
		char *block = consts + ((size_t)group * (size_t)g->blocks + (size_t)b) * CNN_BLOCK_BYTES;
		const int8_t *w = (const int8_t *)c->weights->data + (size_t)i * at->channel;
		int err = weir_conv_channel(
			c, i, block, lane, conv_put_channel(c, g, w, at, out, (size_t)size * 64), how);

		if (err)
			return err;
	}
	return 0;
}

/* A row of `width` pixels. */
static void conv_flat(struct cnn_view *v, int width, int channels)
{
	v->n = v->h = v->ring = 1;
	v->w = width;
	v->c = channels;
	v->pitch = width * channels;
}

/* The node of a convolution of `groups` groups, weights where `at` says. */
int weir_conv_node(const struct weir_conv *c, const char *label, int groups, int depth,
	const struct weir_conv_weights *at)
{
	struct weir_cnn_node *node = weir_lower_node(c->l, c->op, label, CNN_CONV_I8, c->in, -1, c->out);
	size_t weights_at, weights, zeros, size, blocks;
	struct conv_groups g;
	int how = weir_conv_how(c);
	char *consts;
	int err;

	if (!node)
		return -ENOMEM;
	if (c->flat) {
		conv_flat(&node->op.in, c->width, c->depth);
		conv_flat(&node->op.out, c->out_w, c->channels);
		node->rows = 1;
	}
	if (!conv_groups(c, groups, depth, &g) || !weir_size_mul(g.kernel_fours, 64, &weights) ||
		!weir_size_mul(weights, (size_t)g.blocks * (size_t)groups, &weights))
		return weir_lower_fail(c->l, c->op, EFBIG, "weights of this shape are too large");
	blocks = (size_t)g.blocks * (size_t)groups;
	weights_at = blocks * CNN_BLOCK_BYTES;
	zeros = (size_t)g.fours * 4;
	if (!weir_size_add(weights_at, weights, &size) || !weir_size_add(size, zeros, &size))
		return weir_lower_fail(c->l, c->op, EFBIG, "weights of this shape are too large");
	consts = weir_lower_consts(c->l, node, size);
	if (!consts)
		return -ENOMEM;
	conv_params(c, &g, &node->op);
	err = conv_put(c, &g, at, consts, weights_at, &how);
	if (err)
		return err;
	memset(consts + weights_at + weights, weir_tflite_zero(c->input, 0), zeros);
	weir_conv_channels(c, node->op.p + CNN_CONV_CHANNELS, how);
	node->op.p[CNN_CONV_WEIGHTS_AT] = (int)weights_at;
	node->op.p[CNN_CONV_ZEROS_AT] = (int)(weights_at + weights);
	node->macs = (uint64_t)node->rows * (uint64_t)node->op.out.w * (uint64_t)c->channels *
		     (uint64_t)c->kernel_h * (uint64_t)c->kernel_w * (uint64_t)depth;
	weir_conv_streaming(c, node);
	return 0;
}

int weir_lower_conv(struct weir_lower *l, unsigned op)
{
	struct weir_conv_weights at;
	struct weir_conv c;
	int depth, err = weir_conv_open(l, op, &c);

	if (!err)
		err = weir_conv_weights(&c, 4, 0);
	if (err)
		return err;
	c.channels = c.weights->dim[0];
	depth = c.weights->dim[3];
	err = weir_conv_bias(&c);
	if (!err)
		err = weir_conv_shape(&c);
	if (err)
		return err;
	if (c.depth % depth || c.channels % (c.depth / depth))
		return weir_lower_fail_tensor(l, op, EINVAL, c.o->inputs[1],
			"filters of %d channels do not divide the input's %d channels into groups", depth,
			c.depth);
	at.step = 1;
	at.tap = (size_t)depth;
	at.channel = at.tap * (size_t)c.kernel_h * (size_t)c.kernel_w;
	return weir_conv_node(&c, "conv", c.depth / depth, depth, &at);
}

/* ---- FULLY_CONNECTED ---------------------------------------------------------------------------- */

int weir_lower_fully_connected(struct weir_lower *l, unsigned op)
{
	struct weir_conv_weights at;
	int32_t dims[WEIR_TFLITE_DIMS];
	size_t batch;
	struct weir_conv c;
	int err = weir_conv_open(l, op, &c);

	if (!err)
		err = weir_conv_weights(&c, 2, 0);
	if (err)
		return err;
	if (c.o->shuffled_weights)
		return weir_lower_fail_tensor(
			l, op, EOPNOTSUPP, c.o->inputs[1], "shuffled weights are not supported");
	c.channels = c.weights->dim[0];
	c.depth = c.weights->dim[1];
	err = weir_conv_bias(&c);
	if (err)
		return err;
	if (!c.input->n_dims || c.input->count % (size_t)c.depth ||
		(c.o->keep_dims && c.input->dim[c.input->n_dims - 1] != c.depth))
		return weir_lower_fail_tensor(l, op, EINVAL, c.in,
			"it does not divide into rows of %d, as the weights have", c.depth);
	batch = c.input->count / (size_t)c.depth;
	memcpy(dims, c.o->keep_dims ? c.input->dim : (int32_t[WEIR_TFLITE_DIMS]){(int32_t)batch},
		sizeof(dims));
	dims[c.o->keep_dims ? c.input->n_dims - 1 : 1] = c.channels;
	err = weir_lower_shape(l, op, c.out, c.o->keep_dims ? c.input->n_dims : 2, dims);
	if (err)
		return err;
	c.height = c.out_h = c.kernel_h = c.kernel_w = 1;
	c.stride_h = c.stride_w = c.dilation_h = c.dilation_w = 1;
	c.width = c.out_w = (int)batch;
	c.flat = true;
	at = (struct weir_conv_weights){.channel = (size_t)c.depth, .tap = (size_t)c.depth, .step = 1};
	return weir_conv_node(&c, "dense", 1, c.depth, &at);
}
