/* SPDX-License-Identifier: MIT */
/* Operators of a TFLite file: code, tensors, and the options of those that Weir runs. */
#include "format/tflite_parse.h"

/* Slots of the schema's tables. */
enum { CODE_DEPRECATED, CODE_CUSTOM, CODE_VERSION, CODE_BUILTIN };
enum { OP_CODE, OP_INPUTS, OP_OUTPUTS, OP_OPTIONS_TYPE, OP_OPTIONS };

/* ---- options --------------------------------------------------------------------------------- */

/* One field of a table of options: its slot there and its place in struct weir_tflite_op. */
struct option {
	unsigned slot;
	enum { I8, I32, BOOL, F32 } kind;
	size_t at;
	int32_t absent; /* the schema's default of an I32 */
};

/* clang-format off */
#define OPTION(slot_, kind_, name, ...)                                                               \
	{.slot = slot_, .kind = kind_, .at = offsetof(struct weir_tflite_op, name), ##__VA_ARGS__}
#define OPTIONS(...) (const struct option[]){__VA_ARGS__, {.at = SIZE_MAX}}
/* clang-format on */
#define POOL                                                                                             \
	OPTIONS(OPTION(0, I8, padding), OPTION(1, I32, stride_w), OPTION(2, I32, stride_h),              \
		OPTION(3, I32, filter_w), OPTION(4, I32, filter_h), OPTION(5, I8, activation))

/* The schema's union BuiltinOptions and its tables, where they tell what an operator does. */
static const struct table {
	int code, type;
	const char *name;
	const struct option *options; /* the last one's at is SIZE_MAX */
} tables[] = {
	{WEIR_TFLITE_CONV_2D, 1, "Conv2DOptions",
		OPTIONS(OPTION(0, I8, padding), OPTION(1, I32, stride_w), OPTION(2, I32, stride_h),
			OPTION(3, I8, activation), OPTION(4, I32, dilation_w, .absent = 1),
			OPTION(5, I32, dilation_h, .absent = 1))},
	{WEIR_TFLITE_DEPTHWISE_CONV_2D, 2, "DepthwiseConv2DOptions",
		OPTIONS(OPTION(0, I8, padding), OPTION(1, I32, stride_w), OPTION(2, I32, stride_h),
			OPTION(3, I32, depth_multiplier), OPTION(4, I8, activation),
			OPTION(5, I32, dilation_w, .absent = 1),
			OPTION(6, I32, dilation_h, .absent = 1))},
	{WEIR_TFLITE_AVERAGE_POOL_2D, 5, "Pool2DOptions", POOL},
	{WEIR_TFLITE_MAX_POOL_2D, 5, "Pool2DOptions", POOL},
	{WEIR_TFLITE_FULLY_CONNECTED, 8, "FullyConnectedOptions",
		OPTIONS(OPTION(0, I8, activation), OPTION(1, BOOL, shuffled_weights),
			OPTION(2, BOOL, keep_dims))},
	{WEIR_TFLITE_SOFTMAX, 9, "SoftmaxOptions", OPTIONS(OPTION(0, F32, beta))},
	{WEIR_TFLITE_CONCATENATION, 10, "ConcatenationOptions",
		OPTIONS(OPTION(0, I32, axis), OPTION(1, I8, activation))},
	{WEIR_TFLITE_ADD, 11, "AddOptions", OPTIONS(OPTION(0, I8, activation))},
	{WEIR_TFLITE_MUL, 21, "MulOptions", OPTIONS(OPTION(0, I8, activation))},
	{WEIR_TFLITE_SUB, 28, "SubOptions", OPTIONS(OPTION(0, I8, activation))},
	{WEIR_TFLITE_MEAN, 27, "ReducerOptions", OPTIONS(OPTION(0, BOOL, keep_dims))},
	/* Slots 0 and 1 were sizes once. */
	{WEIR_TFLITE_RESIZE_BILINEAR, 15, "ResizeBilinearOptions",
		OPTIONS(OPTION(2, BOOL, align_corners), OPTION(3, BOOL, half_pixel_centers))},
	{WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, 74, "ResizeNearestNeighborOptions",
		OPTIONS(OPTION(0, BOOL, align_corners), OPTION(1, BOOL, half_pixel_centers))},
	{WEIR_TFLITE_STRIDED_SLICE, 32, "StridedSliceOptions",
		OPTIONS(OPTION(0, I32, begin_mask), OPTION(1, I32, end_mask),
			OPTION(2, I32, ellipsis_mask), OPTION(3, I32, new_axis_mask),
			OPTION(4, I32, shrink_axis_mask), OPTION(5, BOOL, offset))},
	{WEIR_TFLITE_SPLIT, 35, "SplitOptions", OPTIONS(OPTION(0, I32, num_splits))},
	/* Theirs are lists: see read_lists. */
	{WEIR_TFLITE_RESHAPE, 17, "ReshapeOptions", NULL},
	{WEIR_TFLITE_SQUEEZE, 30, "SqueezeOptions", NULL},
};

static const struct table *find_table(int code)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(tables); i++) {
		if (tables[i].code == code)
			return &tables[i];
	}
	return NULL;
}

static void read_option(struct weir_flat *b, const struct weir_flat_table *t, const struct option *o,
	struct weir_tflite_op *op)
{
	void *to = (char *)op + o->at;

	switch (o->kind) {
	case I8:
		*(int *)to = weir_flat_i8(b, t, o->slot);
		break;
	case I32:
		*(int *)to = weir_flat_i32(b, t, o->slot, o->absent);
		break;
	case BOOL:
		*(bool *)to = weir_flat_bool(b, t, o->slot);
		break;
	case F32:
		*(float *)to = weir_flat_f32(b, t, o->slot);
		break;
	}
}

/* Slot 0 of t, a list of at most WEIR_TFLITE_DIMS numbers. */
static int read_list(struct weir_flat *b, const struct weir_flat_table *t, const char *what, int *list,
	unsigned *count)
{
	struct weir_flat_vector v;

	if (!weir_flat_vector(b, t, 0, 4, what, &v))
		return b->err;
	if (v.count > WEIR_TFLITE_DIMS)
		return weir_fail(ENOTSUP, "%s has %u dimensions; Weir reads up to %d", what, v.count,
			WEIR_TFLITE_DIMS);
	for (uint32_t i = 0; i < v.count; i++)
		list[i] = weir_flat_get_i32(b->data + v.at + 4 * i);
	*count = v.count;
	return 0;
}

static int read_lists(struct weir_flat *b, const struct weir_flat_table *t, struct weir_tflite_op *op)
{
	if (op->code == WEIR_TFLITE_RESHAPE)
		return read_list(b, t, "its new shape", op->new_shape, &op->n_new_shape);
	if (op->code == WEIR_TFLITE_SQUEEZE)
		return read_list(b, t, "its list to squeeze", op->squeeze_dims, &op->n_squeeze_dims);
	return 0;
}

static int read_options(struct weir_flat *b, const struct weir_flat_table *t, struct weir_tflite_op *op)
{
	const struct table *table = find_table(op->code);
	const int type = weir_flat_u8(b, t, OP_OPTIONS_TYPE);
	struct weir_flat_table options = {0};

	if (b->err || !table)
		return b->err;
	if (type && type != table->type)
		return weir_fail(EINVAL, "its options are of type %d, not %d (%s)", type, table->type,
			table->name);
	if (type && !weir_flat_table(b, t, OP_OPTIONS, "its table of options", &options))
		return b->err;
	for (const struct option *o = table->options; o && o->at != SIZE_MAX; o++)
		read_option(b, &options, o, op);
	if (b->err)
		return weir_fail_in(b->err, "%s", table->name);
	if (op->padding != WEIR_TFLITE_SAME && op->padding != WEIR_TFLITE_VALID)
		return weir_fail(
			EINVAL, "its padding is %d, neither SAME (0) nor VALID (1)", op->padding);
	return read_lists(b, &options, op);
}

/* ---- code and tensors ------------------------------------------------------------------------ */

static int read_code(struct weir_tflite_reader *r, uint32_t index, struct weir_tflite_op *op)
{
	struct weir_flat *b = &r->flat;
	struct weir_flat_table t;
	int32_t deprecated, builtin, code;

	if (index >= r->codes.count)
		return weir_fail(EINVAL, "its code is number %u, but there are %u operator codes", index,
			r->codes.count);
	if (!weir_flat_element(b, &r->codes, index, &t))
		return weir_fail_in(b->err, "operator code %u", index);
	/* Files from before there were more than 127 operators have the first alone. */
	deprecated = weir_flat_i8(b, &t, CODE_DEPRECATED);
	builtin = weir_flat_i32(b, &t, CODE_BUILTIN, 0);
	code = WEIR_MAX(deprecated, builtin);
	op->version = weir_flat_i32(b, &t, CODE_VERSION, 1);
	if (code == WEIR_TFLITE_CUSTOM)
		weir_flat_string(b, &t, CODE_CUSTOM, "its name", op->custom, sizeof(op->custom));
	if (b->err)
		return weir_fail_in(b->err, "operator code %u", index);
	if (code < 0)
		return weir_fail(EINVAL, "its code is %d", code);
	op->code = code;
	return 0;
}

static int read_tensors(
	struct weir_tflite_reader *r, const struct weir_flat_table *t, struct weir_tflite_op *op)
{
	struct weir_flat *b = &r->flat;
	struct weir_flat_vector in, out;
	int32_t *numbers;
	int err;

	weir_flat_vector(b, t, OP_INPUTS, 4, "its list of inputs", &in);
	weir_flat_vector(b, t, OP_OUTPUTS, 4, "its list of outputs", &out);
	if (b->err || !weir_flat_walk(b, &in, 4, "its list of inputs") ||
		!weir_flat_walk(b, &out, 4, "its list of outputs"))
		return b->err;
	numbers = calloc((size_t)in.count + out.count + 1, sizeof(*numbers));
	if (!numbers)
		return weir_fail(ENOMEM, "no memory for its inputs and outputs");
	op->inputs = numbers;
	op->outputs = numbers + in.count;
	err = weir_tflite_read_numbers(r, &in, "input", true, numbers);
	if (!err)
		err = weir_tflite_read_numbers(r, &out, "output", false, numbers + in.count);
	op->n_inputs = in.count;
	op->n_outputs = out.count;
	return err;
}

int weir_tflite_read_op(
	struct weir_tflite_reader *r, const struct weir_flat_table *t, struct weir_tflite_op *op)
{
	const uint32_t index = weir_flat_u32(&r->flat, t, OP_CODE);
	int err = r->flat.err;

	if (!err)
		err = read_code(r, index, op);
	if (!err)
		err = read_tensors(r, t, op);
	return err ? err : read_options(&r->flat, t, op);
}
