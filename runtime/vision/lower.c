/* SPDX-License-Identifier: MIT */
/* What the functions that lower operators share: checks with sentences, nodes, and what is folded before they run. */
#include "vision/lower_core.h"

#include <float.h>
#include <math.h>
#include <stdarg.h>

#define MAX_TENSOR_BYTES (UINT64_C(1) << 30)

const struct weir_tflite *weir_lower_file(const struct weir_lower *l)
{
	return l->file;
}

const struct weir_tflite_tensor *weir_lower_tensor(const struct weir_lower *l, int id)
{
	return &l->file->tensors[id];
}

/* ---- sentences --------------------------------------------------------------------------------- */

static const char *op_name(const struct weir_tflite_op *op)
{
	return *op->custom ? op->custom : weir_tflite_code_name(op->code);
}

int weir_lower_fail(struct weir_lower *l, unsigned op, int err, const char *fmt, ...)
{
	char text[512];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	return weir_fail(err, "%s: operator %u (%s): %s", l->file->path, op, op_name(&l->file->ops[op]), text);
}

static void tensor_text(const struct weir_tflite_tensor *t, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "%s [", weir_tflite_type_name(t->type));

	for (unsigned d = 0; d < t->n_dims && n < size; d++)
		n += (size_t)snprintf(out + n, size - n, "%s%d", d ? ", " : "", t->dim[d]);
	if (n < size)
		snprintf(out + n, size - n, "]");
}

int weir_lower_fail_tensor(struct weir_lower *l, unsigned op, int err, int tensor, const char *fmt, ...)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, tensor);
	char text[512], shape[128];
	va_list args;

	va_start(args, fmt);
	vsnprintf(text, sizeof(text), fmt, args);
	va_end(args);
	tensor_text(t, shape, sizeof(shape));
	return weir_fail(err, "%s: operator %u (%s): tensor %d (%s), %s: %s", l->file->path, op,
		op_name(&l->file->ops[op]), tensor, t->name, shape, text);
}

/* ---- checks ------------------------------------------------------------------------------------ */

int weir_lower_arity(struct weir_lower *l, unsigned op, unsigned min_inputs, unsigned max_inputs, unsigned outputs)
{
	const struct weir_tflite_op *o = &l->file->ops[op];

	if (o->n_inputs < min_inputs || o->n_inputs > max_inputs)
		return weir_lower_fail(l, op, EINVAL, "it has %u inputs, not %u to %u", o->n_inputs, min_inputs,
			max_inputs);
	if (o->n_outputs != outputs)
		return weir_lower_fail(l, op, EINVAL, "it has %u outputs, not %u", o->n_outputs, outputs);
	for (unsigned i = 0; i < min_inputs; i++) {
		if (o->inputs[i] < 0)
			return weir_lower_fail(l, op, EINVAL, "its input %u is absent", i);
	}
	return 0;
}

int weir_lower_activation(struct weir_lower *l, unsigned op, int tensor, bool *f32)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, tensor);
	float scale;

	*f32 = t->type == WEIR_TFLITE_F32;
	if (*f32)
		return 0;
	if (t->type != WEIR_TFLITE_I8)
		return weir_lower_fail_tensor(l, op, EOPNOTSUPP, tensor, "only INT8 and FLOAT32 are supported");
	if (t->n_scales != 1)
		return weir_lower_fail_tensor(l, op, EINVAL, tensor,
			t->n_scales ? "it is quantized by channel, which only weights can be"
				    : "it has no quantization (scale and zero point)");
	scale = weir_tflite_scale(t, 0);
	if (!(scale > 0) || !isfinite(scale))
		return weir_lower_fail_tensor(l, op, EINVAL, tensor, "its scale is %g", (double)scale);
	if (weir_tflite_zero(t, 0) < -128 || weir_tflite_zero(t, 0) > 127)
		return weir_lower_fail_tensor(l, op, EINVAL, tensor, "its zero point is %d, outside of int8",
			weir_tflite_zero(t, 0));
	return 0;
}

int weir_lower_same_type(struct weir_lower *l, unsigned op, const int *tensors, unsigned n, bool *f32)
{
	bool first = false;
	int err;

	for (unsigned i = 0; i < n; i++) {
		err = weir_lower_activation(l, op, tensors[i], f32);
		if (err)
			return err;
		if (!i)
			first = *f32;
		else if (*f32 != first)
			return weir_lower_fail_tensor(l, op, EOPNOTSUPP, tensors[i],
				"the operator's other tensors are %s", first ? "FLOAT32" : "INT8");
	}
	return 0;
}

int weir_lower_shape(struct weir_lower *l, unsigned op, int tensor, unsigned n_dims, const int32_t *dims)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, tensor);
	struct weir_tflite_tensor want = *t;
	char shape[128];

	if (t->n_dims == n_dims && !memcmp(t->dim, dims, n_dims * sizeof(*dims)))
		return 0;
	want.n_dims = WEIR_MIN(n_dims, WEIR_TFLITE_DIMS);
	memcpy(want.dim, dims, want.n_dims * sizeof(*dims));
	tensor_text(&want, shape, sizeof(shape));
	return weir_lower_fail_tensor(l, op, EINVAL, tensor, "the operator makes %s", shape);
}

/* TFLite's CalculateActivationRangeQuantized: limits in real numbers, rounded to the output's steps. */
int weir_lower_clamp_i8(struct weir_lower *l, unsigned op, int tensor, int activation, int *lo, int *hi)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, tensor);
	float scale = weir_tflite_scale(t, 0), top = 0, bottom = 0;
	float zero = (float)weir_tflite_zero(t, 0);

	*lo = -128;
	*hi = 127;
	if (activation == WEIR_TFLITE_NONE)
		return 0;
	if (activation == WEIR_TFLITE_ACT_RELU6)
		top = 6;
	else if (activation == WEIR_TFLITE_ACT_RELU_N1_TO_1)
		top = -(bottom = -1);
	else if (activation != WEIR_TFLITE_ACT_RELU)
		return weir_lower_fail(l, op, EOPNOTSUPP, "the fused activation %d is not supported", activation);
	/* In floats, where nothing overflows: what is clamped to int8 is exact. */
	*lo = (int)fminf(fmaxf(zero + roundf(bottom / scale), -128), 127);
	if (activation != WEIR_TFLITE_ACT_RELU)
		*hi = (int)fminf(fmaxf(zero + roundf(top / scale), -128), 127);
	return 0;
}

int weir_lower_clamp_f32(struct weir_lower *l, unsigned op, int activation, float *lo, float *hi)
{
	/* Even without an activation TFLite turns infinities into the largest numbers. */
	*lo = -FLT_MAX;
	*hi = FLT_MAX;
	switch (activation) {
	case WEIR_TFLITE_NONE:
		return 0;
	case WEIR_TFLITE_ACT_RELU:
		*lo = 0;
		return 0;
	case WEIR_TFLITE_ACT_RELU6:
		*lo = 0;
		*hi = 6;
		return 0;
	case WEIR_TFLITE_ACT_RELU_N1_TO_1:
		*lo = -1;
		*hi = 1;
		return 0;
	}
	return weir_lower_fail(l, op, EOPNOTSUPP, "the fused activation %d is not supported", activation);
}

/* ---- nodes ------------------------------------------------------------------------------------- */

struct cnn_view weir_lower_view(const struct weir_lower *l, int tensor)
{
	const struct weir_tflite_tensor *t = weir_lower_tensor(l, tensor);
	struct cnn_view v = {.n = 1, .h = 1, .w = 1, .c = 1};
	int *at[4] = {&v.n, &v.h, &v.w, &v.c};
	int d = (int)t->n_dims;

	for (int i = 3; i >= 0 && d > 0; i--)
		*at[i] = t->dim[--d];
	while (d > 0)
		v.n *= t->dim[--d];
	v.pitch = v.w * v.c * (int)weir_tflite_type_size(t->type);
	v.ring = v.n * v.h;
	return v;
}

struct weir_cnn_node *weir_lower_node(struct weir_lower *l, unsigned op, const char *label, enum cnn_kind kind, int in,
	int in2, int out)
{
	struct weir_cnn_node *node;

	if (l->n_nodes == l->max_nodes) {
		size_t max = l->max_nodes ? 2 * l->max_nodes : 64;
		struct weir_cnn_node *nodes = realloc(l->nodes, max * sizeof(*nodes));

		if (!nodes) {
			weir_fail(ENOMEM, "%s: no memory for %zu nodes", l->file->path, max);
			return NULL;
		}
		l->nodes = nodes;
		l->max_nodes = max;
	}
	node = &l->nodes[l->n_nodes++];
	memset(node, 0, sizeof(*node));
	node->label = label;
	node->source = (int)op;
	node->in = in;
	node->in2 = in2;
	node->out = out;
	node->op.kind = kind;
	node->op.parts = 1;
	if (in >= 0)
		node->op.in = weir_lower_view(l, in);
	if (in2 >= 0)
		node->op.in2 = weir_lower_view(l, in2);
	node->op.out = weir_lower_view(l, out);
	node->rows = node->op.out.n * node->op.out.h;
	return node;
}

void *weir_lower_consts(struct weir_lower *l, struct weir_cnn_node *node, size_t size)
{
	free(node->consts);
	node->consts = size && size <= MAX_TENSOR_BYTES ? calloc(1, size) : NULL;
	node->consts_size = node->consts ? size : 0;
	if (!node->consts)
		weir_lower_fail(l, (unsigned)node->source, ENOMEM, "no memory for %zu bytes of constants", size);
	return node->consts;
}

int weir_lower_padded(const struct weir_lower *l, int tensor, int pad[4])
{
	const struct weir_lower_tensor *t = &l->tensors[tensor];

	memset(pad, 0, 4 * sizeof(*pad));
	if (!t->padded)
		return tensor;
	memcpy(pad, t->pad, sizeof(t->pad));
	return t->pad_source;
}

/* ---- sharing of bytes ---------------------------------------------------------------------------- */

int weir_lower_storage(const struct weir_lower *l, int tensor)
{
	while (l->tensors[tensor].alias >= 0)
		tensor = l->tensors[tensor].alias;
	return tensor;
}

int weir_lower_alias(struct weir_lower *l, unsigned op, int in, int out)
{
	int root = weir_lower_storage(l, in);
	struct weir_lower_tensor *r = &l->tensors[root], *o = &l->tensors[out];

	/* An output has bytes of its own: the host reads it, or lends it a buffer. */
	if (o->output && (r->output || r->input || weir_lower_tensor(l, root)->data))
		return weir_lower_copy(l, op, in, out);
	o->alias = root;
	r->shared = true;
	r->output |= o->output;
	return 0;
}

/* ---- folding ------------------------------------------------------------------------------------- */

static bool same_quantization(const struct weir_tflite_tensor *a, const struct weir_tflite_tensor *b)
{
	if (a->type != b->type || a->n_scales != b->n_scales)
		return false;
	return !a->n_scales || (a->n_scales == 1 && weir_tflite_scale(a, 0) == weir_tflite_scale(b, 0) &&
				       weir_tflite_zero(a, 0) == weir_tflite_zero(b, 0));
}

/* Whether tensor is read exactly once, as input 0 of a convolution, and is none of the network's own. */
static bool read_by_convolution(const struct weir_lower *l, int tensor)
{
	const struct weir_lower_tensor *t = &l->tensors[tensor];
	const struct weir_tflite_op *reader;

	if (t->readers != 1 || t->input || t->output)
		return false;
	reader = &l->file->ops[t->reader];
	return (reader->code == WEIR_TFLITE_CONV_2D || reader->code == WEIR_TFLITE_DEPTHWISE_CONV_2D) &&
	       reader->inputs[0] == tensor;
}

/* A PAD of height and width alone before a convolution: the convolution's kernel pads. */
static bool fold_pad(struct weir_lower *l, const struct weir_tflite_op *op)
{
	const struct weir_tflite_tensor *in, *out, *by;
	struct weir_lower_tensor *t;
	int pad[8];

	if (op->n_inputs != 2 || op->n_outputs != 1 || op->inputs[0] < 0 || op->inputs[1] < 0)
		return false;
	in = weir_lower_tensor(l, op->inputs[0]);
	by = weir_lower_tensor(l, op->inputs[1]);
	out = weir_lower_tensor(l, op->outputs[0]);
	if (in->n_dims != 4 || out->n_dims != 4 || by->n_dims != 2 || by->count != 8 || !by->data ||
		(by->type != WEIR_TFLITE_I32 && by->type != WEIR_TFLITE_I64))
		return false;
	for (unsigned i = 0; i < 8; i++) {
		pad[i] = weir_tflite_int(by, i);
		/* Large ones are left to PAD itself: kernels count in int32. */
		if (pad[i] < 0 || pad[i] > 1 << 15)
			return false;
	}
	for (unsigned d = 0; d < 4; d++) {
		if ((int64_t)in->dim[d] + pad[2 * d] + pad[2 * d + 1] != out->dim[d])
			return false;
	}
	if (pad[0] || pad[1] || pad[6] || pad[7] || !same_quantization(in, out) ||
		!read_by_convolution(l, op->outputs[0]))
		return false;
	t = &l->tensors[op->outputs[0]];
	t->padded = true;
	t->pad_source = op->inputs[0];
	memcpy(t->pad, pad + 2, sizeof(t->pad));
	return true;
}

/* A float input that is only quantized: the host does that, with the same result, and the floats need no memory. */
static bool fold_quantize(struct weir_lower *l, const struct weir_tflite_op *op)
{
	struct weir_lower_tensor *in, *out;
	bool f32;

	if (op->n_inputs != 1 || op->n_outputs != 1 || op->inputs[0] < 0)
		return false;
	in = &l->tensors[op->inputs[0]];
	out = &l->tensors[op->outputs[0]];
	if (!in->input || in->readers != 1 || in->output || out->output ||
		weir_lower_tensor(l, op->inputs[0])->type != WEIR_TFLITE_F32 ||
		weir_lower_activation(l, (unsigned)(op - l->file->ops), op->outputs[0], &f32) || f32 ||
		weir_lower_shape(l, (unsigned)(op - l->file->ops), op->outputs[0],
			weir_lower_tensor(l, op->inputs[0])->n_dims, weir_lower_tensor(l, op->inputs[0])->dim))
		return false;
	in->folded = op->outputs[0];
	in->input = false;
	out->input = true;
	return true;
}

static bool folded(struct weir_lower *l, const struct weir_tflite_op *op)
{
	if (!l->fold)
		return false;
	return (op->code == WEIR_TFLITE_PAD && fold_pad(l, op)) ||
	       (op->code == WEIR_TFLITE_QUANTIZE && fold_quantize(l, op));
}

/* ---- the whole file ------------------------------------------------------------------------------ */

#define OPERATOR(code, i8, f32) {WEIR_TFLITE_##code, weir_lower_##i8, weir_lower_##f32}

static const struct operator {
	int code;
	weir_lower_fn *i8, *f32;
} operators[] = {
	OPERATOR(ADD, add, binary_f32),
	OPERATOR(AVERAGE_POOL_2D, average_pool, average_pool_f32),
	OPERATOR(CONCATENATION, concatenation, concatenation),
	OPERATOR(CONV_2D, conv, conv_f32),
	OPERATOR(DEPTHWISE_CONV_2D, depthwise, depthwise_f32),
	OPERATOR(DEQUANTIZE, dequantize, dequantize),
	OPERATOR(FULLY_CONNECTED, fully_connected, fully_connected_f32),
	OPERATOR(HARD_SWISH, hard_swish, unary_f32),
	OPERATOR(LOGISTIC, logistic, unary_f32),
	OPERATOR(MAX_POOL_2D, max_pool, max_pool_f32),
	OPERATOR(MEAN, mean, mean_f32),
	OPERATOR(MUL, mul, binary_f32),
	OPERATOR(PAD, pad, pad),
	OPERATOR(QUANTIZE, quantize, quantize),
	OPERATOR(RELU, relu, unary_f32),
	OPERATOR(RELU6, relu6, unary_f32),
	OPERATOR(RESHAPE, reshape, reshape),
	OPERATOR(RESIZE_BILINEAR, resize_bilinear, resize_bilinear),
	OPERATOR(RESIZE_NEAREST_NEIGHBOR, resize_nearest, resize_nearest),
	OPERATOR(SOFTMAX, softmax, softmax_f32),
	OPERATOR(SPLIT, split, split),
	OPERATOR(SQUEEZE, squeeze, squeeze),
	OPERATOR(STRIDED_SLICE, strided_slice, strided_slice),
	OPERATOR(SUB, sub, binary_f32),
	OPERATOR(TRANSPOSE, transpose, transpose),
};

/* SPLIT's value is its second input, behind the axis. */
static int main_input(const struct weir_tflite_op *op)
{
	unsigned i = op->code == WEIR_TFLITE_SPLIT ? 1 : 0;

	return i < op->n_inputs ? op->inputs[i] : -1;
}

static int lower_op(struct weir_lower *l, unsigned index)
{
	const struct weir_tflite_op *op = &l->file->ops[index];
	int in = main_input(op), type;

	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(operators); i++) {
		if (operators[i].code != op->code)
			continue;
		if (in < 0)
			return weir_lower_fail(l, index, EINVAL, "it has no input");
		type = weir_lower_tensor(l, in)->type;
		if (type != WEIR_TFLITE_I8 && type != WEIR_TFLITE_F32)
			return weir_lower_fail_tensor(l, index, EOPNOTSUPP, in,
				"only INT8 and FLOAT32 are supported");
		return type == WEIR_TFLITE_I8 ? operators[i].i8(l, index) : operators[i].f32(l, index);
	}
	if (in >= 0)
		return weir_lower_fail_tensor(l, index, EOPNOTSUPP, in, "the operator is not supported");
	return weir_lower_fail(l, index, EOPNOTSUPP, "the operator is not supported");
}

static int check_tensors(struct weir_lower *l)
{
	for (unsigned i = 0; i < l->file->n_tensors; i++) {
		const struct weir_tflite_tensor *t = &l->file->tensors[i];

		if (t->bytes > MAX_TENSOR_BYTES)
			return weir_fail(EOPNOTSUPP, "%s: tensor %u (%s) has %zu bytes; no more than 2^30 are supported",
				l->file->path, i, t->name, t->bytes);
		if (t->variable)
			return weir_fail(EOPNOTSUPP, "%s: tensor %u (%s) is a variable, which is not supported",
				l->file->path, i, t->name);
	}
	return 0;
}

static void find_readers(struct weir_lower *l)
{
	for (unsigned i = 0; i < l->file->n_ops; i++) {
		const struct weir_tflite_op *op = &l->file->ops[i];

		for (unsigned j = 0; j < op->n_inputs; j++) {
			if (op->inputs[j] < 0)
				continue;
			l->tensors[op->inputs[j]].readers++;
			l->tensors[op->inputs[j]].reader = (int)i;
		}
	}
}

static int check_ends(const struct weir_lower *l, const char *what, const int32_t *ids, unsigned n)
{
	if (!n)
		return weir_fail(EINVAL, "%s: the network has no %s", l->file->path, what);
	for (unsigned i = 0; i < n; i++) {
		const struct weir_tflite_tensor *t = weir_lower_tensor(l, ids[i]);

		if (t->type != WEIR_TFLITE_I8 && t->type != WEIR_TFLITE_F32)
			return weir_fail(EOPNOTSUPP, "%s: %s %u, tensor %d (%s), is %s: only INT8 and FLOAT32 are supported",
				l->file->path, what, i, ids[i], t->name, weir_tflite_type_name(t->type));
		if (t->data)
			return weir_fail(EOPNOTSUPP, "%s: %s %u, tensor %d (%s), is a constant", l->file->path, what, i,
				ids[i], t->name);
		for (unsigned j = 0; j < i; j++) {
			if (ids[j] == ids[i])
				return weir_fail(EOPNOTSUPP, "%s: %ss %u and %u are the same tensor %d (%s)",
					l->file->path, what, j, i, ids[i], t->name);
		}
	}
	return 0;
}

static int lower_all(struct weir_lower *l)
{
	const struct weir_tflite *f = l->file;
	int err = check_tensors(l);

	if (!err)
		err = check_ends(l, "input", f->inputs, f->n_inputs);
	if (!err)
		err = check_ends(l, "output", f->outputs, f->n_outputs);
	if (err)
		return err;
	for (unsigned i = 0; i < f->n_tensors; i++) {
		l->tensors[i].alias = -1;
		l->tensors[i].folded = -1;
	}
	for (unsigned i = 0; i < f->n_inputs; i++)
		l->tensors[f->inputs[i]].input = true;
	for (unsigned i = 0; i < f->n_outputs; i++) {
		if (l->tensors[f->outputs[i]].input)
			return weir_fail(EOPNOTSUPP, "%s: tensor %d (%s) is an input and an output", f->path,
				f->outputs[i], weir_lower_tensor(l, f->outputs[i])->name);
		l->tensors[f->outputs[i]].output = true;
	}
	find_readers(l);
	for (unsigned i = 0; i < f->n_ops && !err; i++)
		err = folded(l, &f->ops[i]) ? 0 : lower_op(l, i);
	return err;
}

int weir_lower_create(const struct weir_tflite *file, bool fold, struct weir_lower **out)
{
	struct weir_lower *l = calloc(1, sizeof(*l));
	int err;

	*out = NULL;
	if (l)
		l->tensors = calloc((size_t)file->n_tensors + 1, sizeof(*l->tensors));
	if (!l || !l->tensors) {
		free(l);
		return weir_fail(ENOMEM, "%s: no memory for its %u tensors", file->path, file->n_tensors);
	}
	l->file = file;
	l->fold = fold;
	err = lower_all(l);
	if (err) {
		weir_lower_destroy(l);
		return err;
	}
	*out = l;
	return 0;
}

void weir_lower_destroy(struct weir_lower *l)
{
	if (!l)
		return;
	for (size_t i = 0; i < l->n_nodes; i++)
		free(l->nodes[i].consts);
	free(l->nodes);
	free(l->tensors);
	free(l);
}
