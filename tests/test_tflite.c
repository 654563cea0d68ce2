/* SPDX-License-Identifier: MIT */
/* The TFLite reader on real models and on files made here: every option, every sort of tensor. */
#include "base/base.h"
#include "suite.h"
#include "tflite_walk.h"
#include "tflite_writer.h"
#include "weir/weir.h"

static struct weir_tflite *parse(const void *data, size_t size)
{
	struct weir_tflite *f;

	ck_assert_msg(!weir_tflite_parse(data, size, "made.tflite", &f), "%s", weir_error());
	tflite_walk(f);
	return f;
}

static struct weir_tflite *finish(struct tflite_writer *w)
{
	size_t size;
	const void *data = tflite_writer_finish(w, &size);

	return parse(data, size);
}

/* ---- real models ----------------------------------------------------------------------------- */

static unsigned count_ops(const struct weir_tflite *f, int code)
{
	unsigned n = 0;

	for (unsigned i = 0; i < f->n_ops; i++)
		n += f->ops[i].code == code;
	return n;
}

/* What PyPI's package tflite 2.18 reads from the same files. */
static const struct model {
	const char *name, *description;
	size_t bytes;
	unsigned n_tensors, n_ops, constants;
	size_t constant_bytes;
	int32_t input, output;
	unsigned conv, depthwise, add, pad, average, reshape, mean, negative;
} models[] = {
	{"mcunet-320kb-1mb_imagenet", "TOCO Converted.", 1018208, 288, 122, 165, 757520, 287, 1, 37, 18,
		11, 54, 1, 1, 0, 158},
	{"person_detect", "TOCO Converted.", 300568, 89, 31, 57, 218928, 88, 87, 14, 14, 0, 0, 1, 1, 0,
		0},
	{"tinyengine-vww", "TinyNeuralNetwork Converted.", 613840, 163, 63, 99, 445128, 127, 78, 30, 15,
		8, 4, 0, 0, 2, 0},
};

static struct weir_tflite *open_model(const char *name)
{
	struct weir_tflite *f;
	const char *path;
	char file[64];

	snprintf(file, sizeof(file), "cnn/%s.tflite", name);
	path = suite_data(file, name);
	if (!path)
		return NULL;
	ck_assert(weir_tflite_is(path));
	ck_assert_msg(!weir_tflite_open(path, &f), "%s", weir_error());
	ck_assert_str_eq(f->path, path);
	tflite_walk(f);
	return f;
}

static void check_constants(const struct weir_tflite *f, const struct model *m)
{
	unsigned constants = 0, negative = 0;
	size_t bytes = 0;

	for (unsigned i = 0; i < f->n_tensors; i++) {
		const struct weir_tflite_tensor *t = &f->tensors[i];

		constants += t->data != NULL;
		bytes += t->data ? t->bytes : 0;
		for (unsigned c = 0; c < t->n_scales; c++)
			negative += weir_tflite_scale(t, c) < 0;
	}
	ck_assert_uint_eq(constants, m->constants);
	ck_assert_uint_eq(bytes, m->constant_bytes);
	ck_assert_uint_eq(negative, m->negative);
}

START_TEST(real_models)
{
	const struct model *m = &models[_i];
	struct weir_tflite *f = open_model(m->name);

	if (!f)
		return;
	ck_assert_str_eq(f->description, m->description);
	ck_assert_uint_eq(f->bytes, m->bytes);
	ck_assert_uint_eq(f->n_tensors, m->n_tensors);
	ck_assert_uint_eq(f->n_ops, m->n_ops);
	ck_assert(f->n_inputs == 1 && f->inputs[0] == m->input);
	ck_assert(f->n_outputs == 1 && f->outputs[0] == m->output);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_CONV_2D), m->conv);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_DEPTHWISE_CONV_2D), m->depthwise);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_ADD), m->add);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_PAD), m->pad);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_AVERAGE_POOL_2D), m->average);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_RESHAPE), m->reshape);
	ck_assert_uint_eq(count_ops(f, WEIR_TFLITE_MEAN), m->mean);
	check_constants(f, m);
	weir_tflite_close(f);
}
END_TEST

static void check_tensor(const struct weir_tflite *f, int i, const char *name, int type, unsigned n_dims,
	const int32_t *dim, unsigned n_scales, float scale, int32_t zero, int axis)
{
	const struct weir_tflite_tensor *t = &f->tensors[i];

	ck_assert_str_eq(t->name, name);
	ck_assert_int_eq(t->type, type);
	ck_assert_uint_eq(t->n_dims, n_dims);
	ck_assert(!memcmp(t->dim, dim, n_dims * sizeof(*dim)));
	ck_assert_uint_eq(t->n_scales, n_scales);
	ck_assert_float_eq(weir_tflite_scale(t, 0), scale);
	ck_assert_int_eq(weir_tflite_zero(t, 0), zero);
	ck_assert_int_eq(t->axis, axis);
}

START_TEST(mcunet)
{
	struct weir_tflite *f = open_model("mcunet-320kb-1mb_imagenet");
	const struct weir_tflite_op *op;

	if (!f)
		return;
	check_tensor(f, 287, "input", WEIR_TFLITE_I8, 4, (int32_t[]){1, 176, 176, 3}, 1,
		0.007874015718698502f, 0, 0);
	check_tensor(f, 1, "Reshape", WEIR_TFLITE_I8, 2, (int32_t[]){1, 1000}, 1, 0.20178799331188202f,
		-44, 0);
	check_tensor(f, 7, "blocks/0/mobile_inverted_conv/depth_conv/conv/weight", WEIR_TFLITE_I8, 4,
		(int32_t[]){1, 3, 3, 16}, 16, weir_tflite_scale(&f->tensors[7], 0), 0, 3);
	check_tensor(f, 2, "Reshape/shape", WEIR_TFLITE_I32, 1, (int32_t[]){2}, 0, 0, 0, 0);
	ck_assert_int_eq(weir_tflite_int(&f->tensors[2], 0), -1);
	ck_assert_int_eq(weir_tflite_int(&f->tensors[2], 1), 1000);
	/* One of the weights with a scale below 0. */
	ck_assert_float_eq(weir_tflite_scale(&f->tensors[85], 239), -1.19514246e-10f);

	op = &f->ops[1];
	ck_assert(op->code == WEIR_TFLITE_CONV_2D && op->version == 3 && op->n_inputs == 3 &&
		  op->n_outputs == 1);
	ck_assert(op->inputs[0] == 285 && op->inputs[1] == 286 && op->inputs[2] == 284 &&
		  op->outputs[0] == 282);
	ck_assert(op->padding == WEIR_TFLITE_VALID && op->stride_w == 2 && op->stride_h == 2);
	ck_assert(op->dilation_w == 1 && op->dilation_h == 1 && op->activation == WEIR_TFLITE_ACT_RELU6);
	op = &f->ops[119];
	ck_assert(op->code == WEIR_TFLITE_AVERAGE_POOL_2D && op->filter_w == 6 && op->filter_h == 6);
	op = &f->ops[121];
	ck_assert(op->code == WEIR_TFLITE_RESHAPE && op->n_new_shape == 2);
	ck_assert(op->new_shape[0] == -1 && op->new_shape[1] == 1000);
	weir_tflite_close(f);
}
END_TEST

START_TEST(person_detect)
{
	struct weir_tflite *f = open_model("person_detect");

	if (!f)
		return;
	check_tensor(f, 88, "input", WEIR_TFLITE_I8, 4, (int32_t[]){1, 96, 96, 1}, 1,
		0.007843137718737125f, -1, 0);
	check_tensor(f, 0, "MobilenetV1/Conv2d_0/weights/read", WEIR_TFLITE_I8, 4,
		(int32_t[]){1, 3, 3, 8}, 8, 0.016358856111764908f, 0, 3);
	/* Its biases name axis 3, which they do not have. */
	check_tensor(f, 33, "MobilenetV1/MobilenetV1/Conv2d_0/Conv2D_bias", WEIR_TFLITE_I32, 1,
		(int32_t[]){8}, 8, weir_tflite_scale(&f->tensors[33], 0), 0, 0);
	ck_assert(f->ops[0].depth_multiplier == 8 && f->ops[0].padding == WEIR_TFLITE_SAME);
	ck_assert(f->ops[30].code == WEIR_TFLITE_SOFTMAX && f->ops[30].beta == 1.0f);
	weir_tflite_close(f);
}
END_TEST

/* ---- options --------------------------------------------------------------------------------- */

/* Each option that an operator has is another number than its neighbours. */
/* clang-format off */
static const struct weir_tflite_op with_options[] = {
	{.code = WEIR_TFLITE_CONV_2D, .padding = WEIR_TFLITE_VALID, .stride_w = 2, .stride_h = 3,
		.activation = 1, .dilation_w = 4, .dilation_h = 5},
	{.code = WEIR_TFLITE_DEPTHWISE_CONV_2D, .padding = WEIR_TFLITE_VALID, .stride_w = 2, .stride_h = 3,
		.depth_multiplier = 6, .activation = 3, .dilation_w = 4, .dilation_h = 5},
	{.code = WEIR_TFLITE_AVERAGE_POOL_2D, .padding = WEIR_TFLITE_VALID, .stride_w = 2, .stride_h = 3,
		.filter_w = 4, .filter_h = 5, .activation = 2},
	{.code = WEIR_TFLITE_MAX_POOL_2D, .padding = WEIR_TFLITE_SAME, .stride_w = 7, .stride_h = 8,
		.filter_w = 9, .filter_h = 10, .activation = 4},
	{.code = WEIR_TFLITE_FULLY_CONNECTED, .activation = 5, .keep_dims = true},
	{.code = WEIR_TFLITE_FULLY_CONNECTED, .shuffled_weights = true},
	{.code = WEIR_TFLITE_SOFTMAX, .beta = 0.75f},
	{.code = WEIR_TFLITE_CONCATENATION, .axis = -1, .activation = 3},
	{.code = WEIR_TFLITE_ADD, .activation = 1},
	{.code = WEIR_TFLITE_SUB, .activation = 2},
	{.code = WEIR_TFLITE_MUL, .activation = 3},
	{.code = WEIR_TFLITE_RESHAPE, .n_new_shape = 6, .new_shape = {1, -1, 3, 4, 5, 6}},
	{.code = WEIR_TFLITE_RESHAPE},
	{.code = WEIR_TFLITE_SQUEEZE, .n_squeeze_dims = 2, .squeeze_dims = {-2, 1}},
	{.code = WEIR_TFLITE_MEAN, .keep_dims = true},
	{.code = WEIR_TFLITE_STRIDED_SLICE, .begin_mask = 1, .end_mask = 2, .ellipsis_mask = 4,
		.new_axis_mask = 8, .shrink_axis_mask = 16, .offset = true},
	{.code = WEIR_TFLITE_SPLIT, .num_splits = 3},
	{.code = WEIR_TFLITE_RESIZE_BILINEAR, .align_corners = true},
	{.code = WEIR_TFLITE_RESIZE_BILINEAR, .half_pixel_centers = true},
	{.code = WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, .align_corners = true},
	{.code = WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR, .half_pixel_centers = true},
	{.code = WEIR_TFLITE_PAD},
	{.code = WEIR_TFLITE_TRANSPOSE},
	{.code = WEIR_TFLITE_QUANTIZE},
	{.code = WEIR_TFLITE_DEQUANTIZE},
	{.code = WEIR_TFLITE_HARD_SWISH},
	{.code = WEIR_TFLITE_LOGISTIC},
	{.code = WEIR_TFLITE_RELU},
	{.code = WEIR_TFLITE_RELU6},
};
/* clang-format on */

/* A file of one operator, which reads tensor 0 and writes tensor 1. */
static struct tflite_writer *one_op(const struct weir_tflite_op *from)
{
	struct tflite_writer *w = tflite_writer_new();
	struct weir_tflite_op op = *from;
	const int32_t in = tflite_writer_tensor(w, &(struct tflite_tensor){.n_dims = 2, .dim = {2, 3}});
	const int32_t out = tflite_writer_tensor(w, &(struct tflite_tensor){.n_dims = 2, .dim = {2, 3}});

	op.version = 7;
	op.inputs = (const int32_t[]){in, -1};
	op.n_inputs = 2;
	op.outputs = &out;
	op.n_outputs = 1;
	tflite_writer_op(w, &op);
	tflite_writer_ends(w, 1, &in, 1, &out);
	return w;
}

static void check_options(const struct weir_tflite_op *a, const struct weir_tflite_op *b)
{
	static const char zeros[sizeof(a->new_shape)];

	ck_assert_int_eq(a->code, b->code);
	ck_assert(a->padding == b->padding && a->stride_w == b->stride_w && a->stride_h == b->stride_h);
	ck_assert(a->dilation_w == b->dilation_w && a->dilation_h == b->dilation_h);
	ck_assert(a->depth_multiplier == b->depth_multiplier && a->activation == b->activation);
	ck_assert(
		a->filter_w == b->filter_w && a->filter_h == b->filter_h && a->keep_dims == b->keep_dims);
	ck_assert(a->shuffled_weights == b->shuffled_weights && a->axis == b->axis);
	ck_assert(a->num_splits == b->num_splits && a->beta == b->beta);
	ck_assert(a->align_corners == b->align_corners && a->half_pixel_centers == b->half_pixel_centers);
	ck_assert(a->begin_mask == b->begin_mask && a->end_mask == b->end_mask);
	ck_assert(a->ellipsis_mask == b->ellipsis_mask && a->new_axis_mask == b->new_axis_mask);
	ck_assert(a->shrink_axis_mask == b->shrink_axis_mask && a->offset == b->offset);
	ck_assert(a->n_squeeze_dims == b->n_squeeze_dims && a->n_new_shape == b->n_new_shape);
	ck_assert(!memcmp(a->squeeze_dims, b->squeeze_dims, sizeof(zeros)));
	ck_assert(!memcmp(a->new_shape, b->new_shape, sizeof(zeros)));
	ck_assert_str_eq(a->custom, b->custom);
}

START_TEST(every_option)
{
	const struct weir_tflite_op *want = &with_options[_i];
	struct tflite_writer *w = one_op(want);
	struct weir_tflite *f = finish(w);
	const struct weir_tflite_op *op = &f->ops[0];

	check_options(op, want);
	ck_assert_int_eq(op->version, 7);
	ck_assert(op->n_inputs == 2 && op->inputs[0] == 0 && op->inputs[1] == -1);
	ck_assert(op->n_outputs == 1 && op->outputs[0] == 1);
	weir_tflite_close(f);
	tflite_writer_free(w);
}
END_TEST

/* Without a table, options are the schema's defaults: 0, but 1 for dilations. */
START_TEST(no_options)
{
	const struct weir_tflite_op *from = &with_options[_i];
	struct weir_tflite_op want = {.code = from->code};
	struct tflite_writer *w = one_op(from);
	struct weir_tflite *f;
	unsigned char *data;
	size_t size;

	want.dilation_w = want.dilation_h =
		want.code == WEIR_TFLITE_CONV_2D || want.code == WEIR_TFLITE_DEPTHWISE_CONV_2D;
	data = tflite_writer_finish(w, &size);
	data[tflite_writer_field(w, TFLITE_OP, 0, 3)] = 0;
	f = parse(data, size);
	check_options(&f->ops[0], &want);
	weir_tflite_close(f);
	tflite_writer_free(w);
}
END_TEST

/* ---- codes and names ------------------------------------------------------------------------- */

static struct weir_tflite *with_code(int code, const char *custom, int deprecated, int builtin)
{
	struct weir_tflite_op op = {.code = code};
	struct tflite_writer *w;
	struct weir_tflite *f;
	unsigned char *data;
	size_t size;

	snprintf(op.custom, sizeof(op.custom), "%s", custom);
	w = one_op(&op);
	data = tflite_writer_finish(w, &size);
	data[tflite_writer_field(w, TFLITE_CODE, 0, 0)] = (unsigned char)deprecated;
	memcpy(data + tflite_writer_field(w, TFLITE_CODE, 0, 3), &builtin, sizeof(builtin));
	f = parse(data, size);
	tflite_writer_free(w); /* the description's numbers and names are its own */
	return f;
}

START_TEST(codes)
{
	static const struct {
		int deprecated, builtin, code;
	} rows[] = {{3, 3, 3}, {3, 0, 3}, {0, 3, 3}, {127, 151, 151}, {0, 0, 0}, {-1, 2, 2}, {32, 32, 32},
		{0, 5000, 5000}};
	struct weir_tflite *f;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(rows); i++) {
		f = with_code(WEIR_TFLITE_RELU, "", rows[i].deprecated, rows[i].builtin);
		ck_assert_int_eq(f->ops[0].code, rows[i].code);
		ck_assert_str_eq(f->ops[0].custom, "");
		weir_tflite_close(f);
	}
	f = with_code(32, "Edge\nTPU", 32, 32);
	ck_assert_str_eq(f->ops[0].custom, "Edge?TPU");
	weir_tflite_close(f);
}
END_TEST

START_TEST(names)
{
	ck_assert_str_eq(weir_tflite_code_name(WEIR_TFLITE_ADD), "ADD");
	ck_assert_str_eq(weir_tflite_code_name(WEIR_TFLITE_DEPTHWISE_CONV_2D), "DEPTHWISE_CONV_2D");
	ck_assert_str_eq(weir_tflite_code_name(32), "CUSTOM");
	ck_assert_str_eq(weir_tflite_code_name(WEIR_TFLITE_SPLIT), "SPLIT");
	ck_assert_str_eq(
		weir_tflite_code_name(WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR), "RESIZE_NEAREST_NEIGHBOR");
	ck_assert_str_eq(weir_tflite_code_name(WEIR_TFLITE_QUANTIZE), "QUANTIZE");
	ck_assert_str_eq(weir_tflite_code_name(WEIR_TFLITE_HARD_SWISH), "HARD_SWISH");
	ck_assert_str_eq(weir_tflite_code_name(150), "GELU");
	ck_assert_str_eq(weir_tflite_code_name(209), "STABLEHLO_CASE");
	ck_assert_str_eq(weir_tflite_code_name(210), "operator 210");
	ck_assert_str_eq(weir_tflite_code_name(-1), "operator -1");
	ck_assert_str_eq(weir_tflite_type_name(WEIR_TFLITE_F32), "FLOAT32");
	ck_assert_str_eq(weir_tflite_type_name(WEIR_TFLITE_I8), "INT8");
	ck_assert_str_eq(weir_tflite_type_name(77), "type 77");
	ck_assert_str_eq(weir_tflite_type_name(-5), "type -5");
	ck_assert_uint_eq(weir_tflite_type_size(WEIR_TFLITE_I64), 8);
	ck_assert_uint_eq(weir_tflite_type_size(WEIR_TFLITE_U8), 1);
	ck_assert_uint_eq(weir_tflite_type_size(11), 16); /* COMPLEX128 */
	ck_assert_uint_eq(weir_tflite_type_size(5), 0);	  /* STRING */
	ck_assert_uint_eq(weir_tflite_type_size(17), 0);  /* INT4: two a byte */
	ck_assert_uint_eq(weir_tflite_type_size(77), 0);
}
END_TEST

/* ---- tensors --------------------------------------------------------------------------------- */

START_TEST(tensors)
{
	struct tflite_writer *w = one_op(&with_options[0]);
	static const int64_t longs[] = {INT64_MIN, -1, 1, INT64_MAX};
	static const int32_t ints[] = {INT32_MIN, INT32_MAX};
	const struct weir_tflite_tensor *t;
	char name[100];
	struct weir_tflite *f;

	memset(name, 'n', sizeof(name));
	memcpy(name + 61, "\xc3\xa4", 2); /* ends where the room ends: a whole character is left out */
	name[99] = '\0';
	tflite_writer_tensor(
		w, &(struct tflite_tensor){
			   .name = name, .type = 77, .n_dims = 6, .dim = {1, 2, 3, 4, 5, 6}});
	tflite_writer_tensor(w, &(struct tflite_tensor){.name = "a\x1b\xff",
					.type = WEIR_TFLITE_I64,
					.n_dims = 1,
					.dim = {4},
					.data = longs,
					.size = sizeof(longs)});
	tflite_writer_tensor(w, &(struct tflite_tensor){.type = WEIR_TFLITE_I32,
					.n_dims = 1,
					.dim = {2},
					.data = ints,
					.size = sizeof(ints),
					.behind = true});
	tflite_writer_tensor(w, &(struct tflite_tensor){.type = WEIR_TFLITE_U8,
					.n_dims = 2,
					.dim = {3, 2},
					.n_scales = 2,
					.n_zeros = 2,
					.scale = (float[]){0.5f, 0.0f},
					.zero = (int64_t[]){INT32_MIN, INT32_MAX},
					.axis = 1});
	tflite_writer_tensor(w, &(struct tflite_tensor){.type = WEIR_TFLITE_I8,
					.n_dims = 1,
					.dim = {3},
					.n_scales = 1,
					.scale = (float[]){0.125f},
					.axis = 9,
					.variable = true});
	tflite_writer_tensor(w, &(struct tflite_tensor){.type = 5, .data = "string", .size = 6});
	f = finish(w);

	t = &f->tensors[2];
	ck_assert_uint_eq(strlen(t->name), 61 + 2);
	ck_assert_uint_eq(t->count, 720);
	ck_assert(t->bytes == 0 && t->type == 77 && t->n_dims == 6 && t->dim[5] == 6 && !t->data &&
		  !t->n_scales);
	t = &f->tensors[3];
	ck_assert_str_eq(t->name, "a??");
	ck_assert(weir_tflite_int(t, 0) == INT32_MIN && weir_tflite_int(t, 1) == -1);
	ck_assert(weir_tflite_int(t, 2) == 1 && weir_tflite_int(t, 3) == INT32_MAX);
	t = &f->tensors[4];
	ck_assert_uint_eq(t->bytes, 8);
	ck_assert_ptr_eq(t->data + 8, f->data + f->bytes); /* behind all else */
	ck_assert(weir_tflite_int(t, 0) == INT32_MIN && weir_tflite_int(t, 1) == INT32_MAX);
	t = &f->tensors[5];
	ck_assert(t->n_scales == 2 && t->axis == 1 && weir_tflite_scale(t, 0) == 0.5f &&
		  weir_tflite_scale(t, 1) == 0);
	ck_assert(weir_tflite_zero(t, 0) == INT32_MIN && weir_tflite_zero(t, 1) == INT32_MAX);
	t = &f->tensors[6];
	ck_assert(t->variable && t->n_scales == 1 && !t->zero && t->axis == 0);
	ck_assert(weir_tflite_scale(t, 2) == 0.125f && weir_tflite_zero(t, 2) == 0);
	t = &f->tensors[7];
	ck_assert(t->n_dims == 0 && t->count == 1 && t->bytes == 0 && !memcmp(t->data, "string", 6));
	ck_assert_str_eq(t->name, "");
	weir_tflite_close(f);
	tflite_writer_free(w);
}
END_TEST

/* Another subgraph, whose offset leads nowhere, is not looked at. */
START_TEST(second_subgraph)
{
	struct tflite_writer *w = tflite_writer_sample();
	size_t size;
	unsigned char *data = tflite_writer_finish(w, &size);

	data[tflite_writer_target(w, TFLITE_MODEL, 0, 2)] = 2;
	weir_tflite_close(parse(data, size));
	tflite_writer_free(w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tflite");
	TCase *tc = tcase_create("tflite");
	const int n_options = (int)WEIR_ARRAY_SIZE(with_options);

	tcase_add_loop_test(tc, real_models, 0, (int)WEIR_ARRAY_SIZE(models));
	tcase_add_test(tc, mcunet);
	tcase_add_test(tc, person_detect);
	tcase_add_loop_test(tc, every_option, 0, n_options);
	tcase_add_loop_test(tc, no_options, 0, n_options);
	tcase_add_test(tc, codes);
	tcase_add_test(tc, names);
	tcase_add_test(tc, tensors);
	tcase_add_test(tc, second_subgraph);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
