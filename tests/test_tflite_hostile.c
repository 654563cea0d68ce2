/* SPDX-License-Identifier: MIT */
/* Damaged and hostile TFLite files: each is refused with its sentence, none crashes. */
#include <fnmatch.h>

#include "base/base.h"
#include "suite.h"
#include "tflite_walk.h"
#include "tflite_writer.h"
#include "weir/weir.h"

/* ---- a file to spoil: in -> CONV_2D by w -> mid -> RELU -> out ------------------------------- */

enum { IN, W, MID, OUT, N_TENSORS };

struct parts {
	struct tflite_tensor tensors[N_TENSORS];
	struct weir_tflite_op ops[2];
	int32_t lists[2][2][2]; /* of each operator, inputs and outputs */
	int32_t inputs[2], outputs[2];
	unsigned n_inputs, n_outputs;
};

static const int8_t weights[8] = {1, 2, 3, 4, 5, 6, 7, 8};
static const float scales[] = {0.5f, 0.25f};
static const int64_t zeros[2];

static void set_activation(struct tflite_tensor *t, const char *name)
{
	*t = (struct tflite_tensor){.name = name,
		.type = WEIR_TFLITE_I8,
		.n_dims = 2,
		.dim = {1, 4},
		.n_scales = 1,
		.n_zeros = 1,
		.scale = scales,
		.zero = zeros};
}

static void set_op(struct parts *p, int i, int code, int a, int b, int out)
{
	p->lists[i][0][0] = a;
	p->lists[i][0][1] = b;
	p->lists[i][1][0] = out;
	p->ops[i] = (struct weir_tflite_op){.code = code,
		.version = 1,
		.inputs = p->lists[i][0],
		.n_inputs = b < 0 ? 1 : 2,
		.outputs = p->lists[i][1],
		.n_outputs = 1};
}

static void set_parts(struct parts *p)
{
	memset(p, 0, sizeof(*p));
	set_activation(&p->tensors[IN], "in");
	set_activation(&p->tensors[MID], "mid");
	set_activation(&p->tensors[OUT], "out");
	p->tensors[W] = (struct tflite_tensor){.name = "w",
		.type = WEIR_TFLITE_I8,
		.n_dims = 3,
		.dim = {2, 2, 2},
		.n_scales = 2,
		.n_zeros = 2,
		.scale = scales,
		.zero = zeros,
		.axis = 1,
		.data = weights,
		.size = sizeof(weights)};
	set_op(p, 0, WEIR_TFLITE_CONV_2D, IN, W, MID);
	set_op(p, 1, WEIR_TFLITE_RELU, MID, -1, OUT);
	p->inputs[0] = IN;
	p->outputs[0] = OUT;
	p->n_inputs = p->n_outputs = 1;
}

static struct tflite_writer *write_parts(const struct parts *p)
{
	struct tflite_writer *w = tflite_writer_new();

	tflite_writer_description(w, "to be spoilt");
	for (int i = 0; i < N_TENSORS; i++)
		tflite_writer_tensor(w, &p->tensors[i]);
	for (int i = 0; i < 2; i++)
		tflite_writer_op(w, &p->ops[i]);
	tflite_writer_ends(w, p->n_inputs, p->inputs, p->n_outputs, p->outputs);
	return w;
}

/* ---- how it is spoilt ------------------------------------------------------------------------ */

struct file { /* finished, in memory of its own size */
	const struct tflite_writer *w;
	unsigned char *data;
	size_t size;
};

static void put16(struct file *f, size_t at, unsigned value)
{
	memcpy(f->data + at, &(uint16_t){(uint16_t)value}, 2);
}

static void put32(struct file *f, size_t at, uint32_t value)
{
	memcpy(f->data + at, &value, 4);
}

static void put64(struct file *f, size_t at, uint64_t value)
{
	memcpy(f->data + at, &value, 8);
}

static size_t at_table(const struct file *f, enum tflite_table table, int index)
{
	return tflite_writer_table(f->w, table, index);
}

/* The writer puts a table's vtable, of 28 bytes, right before it. */
static size_t at_vtable(const struct file *f, enum tflite_table table, int index)
{
	return at_table(f, table, index) - 28;
}

static size_t at_field(const struct file *f, enum tflite_table table, int index, unsigned slot)
{
	return tflite_writer_field(f->w, table, index, slot);
}

static size_t at_target(const struct file *f, enum tflite_table table, int index, unsigned slot)
{
	return tflite_writer_target(f->w, table, index, slot);
}

/* As if the writer had left the field out. */
static void leave_out(struct file *f, enum tflite_table table, int index, unsigned slot)
{
	put16(f, at_vtable(f, table, index) + 4 + 2 * slot, 0);
}

#define PARTS(name, ...)                                                                                 \
	static void name(struct parts *p)                                                                \
	{                                                                                                \
		__VA_ARGS__;                                                                             \
	}
#define BYTES(name, ...)                                                                                 \
	static void name(struct file *f)                                                                 \
	{                                                                                                \
		__VA_ARGS__;                                                                             \
	}

BYTES(nothing, f->size = 0)
BYTES(seven_bytes, f->size = 7)
BYTES(other_identifier, f->data[7] = '2')
BYTES(root_0, put32(f, 0, 0))
BYTES(root_far, put32(f, 0, UINT32_MAX))
BYTES(root_end, put32(f, 0, (uint32_t)f->size - 3))
BYTES(root_misaligned, put32(f, 0, (uint32_t)at_table(f, TFLITE_MODEL, 0) + 2))
BYTES(vtable_before, put32(f, at_table(f, TFLITE_MODEL, 0), 0x7fffffff))
BYTES(vtable_far, put32(f, at_table(f, TFLITE_MODEL, 0), 0x80000000u))
BYTES(vtable_odd, put32(f, at_table(f, TFLITE_MODEL, 0), 27))
BYTES(vtable_end,
	put32(f, at_table(f, TFLITE_MODEL, 0), (uint32_t)(at_table(f, TFLITE_MODEL, 0) - f->size) + 2))
BYTES(vtable_0_bytes, put16(f, at_vtable(f, TFLITE_MODEL, 0), 0))
BYTES(vtable_7_bytes, put16(f, at_vtable(f, TFLITE_MODEL, 0), 7))
BYTES(vtable_long, put16(f, at_vtable(f, TFLITE_MODEL, 0), 0xfffe))
BYTES(table_2_bytes, put16(f, at_vtable(f, TFLITE_MODEL, 0) + 2, 2))
BYTES(table_long, put16(f, at_vtable(f, TFLITE_MODEL, 0) + 2, 0xffff))
BYTES(field_in_soffset, put16(f, at_vtable(f, TFLITE_MODEL, 0) + 4, 2))
BYTES(field_beyond, put16(f, at_vtable(f, TFLITE_MODEL, 0) + 4, 5000))
BYTES(field_past_end, put16(f, at_vtable(f, TFLITE_MODEL, 0) + 4, 22))
BYTES(version_2, put32(f, at_field(f, TFLITE_MODEL, 0, 0), 2))
BYTES(version_none, leave_out(f, TFLITE_MODEL, 0, 0))
BYTES(description_long, put32(f, at_target(f, TFLITE_MODEL, 0, 3), UINT32_MAX))
BYTES(graphs_many, put32(f, at_target(f, TFLITE_MODEL, 0, 2), 0x40000001))
BYTES(graphs_none, put32(f, at_target(f, TFLITE_MODEL, 0, 2), 0))
BYTES(graphs_left_out, leave_out(f, TFLITE_MODEL, 0, 2))
BYTES(graph_far, put32(f, at_target(f, TFLITE_MODEL, 0, 2) + 4, 0x7ffffffc))
BYTES(graph_0, put32(f, at_target(f, TFLITE_MODEL, 0, 2) + 4, 0))
BYTES(tensors_many, put32(f, at_target(f, TFLITE_GRAPH, 0, 0), 0x40000000))
BYTES(tensors_none, put32(f, at_target(f, TFLITE_GRAPH, 0, 0), 0))
BYTES(ops_none, put32(f, at_target(f, TFLITE_GRAPH, 0, 3), 0))
BYTES(inputs_none, put32(f, at_target(f, TFLITE_GRAPH, 0, 1), 0))
BYTES(outputs_left_out, leave_out(f, TFLITE_GRAPH, 0, 2))
BYTES(inputs_many, put32(f, at_target(f, TFLITE_GRAPH, 0, 1), UINT32_MAX))
BYTES(tensor_far, put32(f, at_target(f, TFLITE_GRAPH, 0, 0) + 8, 0x10000000))
BYTES(op_far, put32(f, at_target(f, TFLITE_GRAPH, 0, 3) + 8, 0x10000000))
BYTES(code_far, put32(f, at_target(f, TFLITE_MODEL, 0, 1) + 4, 0x10000000))
BYTES(name_misaligned, put32(f, at_field(f, TFLITE_TENSOR, IN, 3), 1))
BYTES(shape_many, put32(f, at_target(f, TFLITE_TENSOR, IN, 0), 0x40000001))

PARTS(dims_7, p->tensors[IN].n_dims = 7)
PARTS(dim_0, p->tensors[MID].dim[1] = 0)
PARTS(dim_negative, p->tensors[MID].dim[0] = -1)
PARTS(dim_absurd, p->tensors[W].dim[0] = INT32_MAX)
PARTS(dims_overflow, p->tensors[IN].n_dims = 4;
	for (int i = 0; i < 4; i++) p->tensors[IN].dim[i] = INT32_MAX)
PARTS(bytes_overflow, p->tensors[IN].n_dims = 3; p->tensors[IN].type = WEIR_TFLITE_F32;
	p->tensors[IN].dim[0] = p->tensors[IN].dim[1] = INT32_MAX; p->tensors[IN].dim[2] = 2)
PARTS(data_short, p->tensors[W].size = 7)
PARTS(data_of_other_type, p->tensors[W].type = WEIR_TFLITE_I32)
PARTS(behind, p->tensors[W].behind = true)
BYTES(behind_past_end, put64(f, at_field(f, TFLITE_BUFFER, W + 1, 1), f->size - 7))
BYTES(behind_far, put64(f, at_field(f, TFLITE_BUFFER, W + 1, 1), UINT64_MAX - 3))
BYTES(behind_long, put64(f, at_field(f, TFLITE_BUFFER, W + 1, 2), UINT64_MAX))
BYTES(behind_wrong_size, put64(f, at_field(f, TFLITE_BUFFER, W + 1, 2), 4))
BYTES(data_many, put32(f, at_target(f, TFLITE_BUFFER, W + 1, 0), 100000))
BYTES(buffer_many, put32(f, at_field(f, TFLITE_TENSOR, W, 2), 5))
BYTES(buffers_left_out, leave_out(f, TFLITE_MODEL, 0, 4))
BYTES(buffer_far, put32(f, at_target(f, TFLITE_MODEL, 0, 4) + 4 + 4 * (W + 1), 0x10000000))
PARTS(external, p->tensors[W].external = 1u << 31)
PARTS(sparse, p->tensors[W].sparse = true)
PARTS(variable_with_data, p->tensors[W].variable = true)

static const float list_nan[] = {NAN}, list_infinite[] = {INFINITY}, list_negative[] = {-0.5f, 0.0f};
static const float list_second_nan[] = {-1.0f, NAN};
static const int64_t list_high[] = {1ll << 31}, list_low[] = {INT64_MIN};
PARTS(scales_many, p->tensors[MID].n_scales = 2; p->tensors[MID].n_zeros = 2)
PARTS(zeros_few, p->tensors[W].n_zeros = 1)
PARTS(zeros_many, p->tensors[MID].n_zeros = 2)
PARTS(axis_3, p->tensors[W].axis = 3)
PARTS(axis_negative, p->tensors[W].axis = -1)
PARTS(axis_other, p->tensors[W].dim[1] = 4; p->tensors[W].dim[0] = 1)
PARTS(scale_nan, p->tensors[MID].scale = list_nan)
PARTS(scale_infinite, p->tensors[MID].scale = list_infinite)
PARTS(scale_negative, p->tensors[MID].scale = list_negative)
PARTS(weights_scale_nan, p->tensors[W].scale = list_second_nan)
PARTS(zero_high, p->tensors[MID].zero = list_high)
PARTS(zero_low, p->tensors[MID].zero = list_low)
PARTS(blockwise, p->tensors[W].details = 2)
BYTES(scales_overflow, put32(f, at_target(f, TFLITE_QUANT, W, 2), 0x40000002))
BYTES(zeros_overflow, put32(f, at_target(f, TFLITE_QUANT, W, 3), 0x20000002))
BYTES(quantization_far, put32(f, at_field(f, TFLITE_TENSOR, W, 4), 0x10000000))

BYTES(code_many, put32(f, at_field(f, TFLITE_OP, 1, 0), 2))
BYTES(codes_left_out, leave_out(f, TFLITE_MODEL, 0, 1))
BYTES(code_negative, f->data[at_field(f, TFLITE_CODE, 0, 0)] = 0xfb;
	put32(f, at_field(f, TFLITE_CODE, 0, 3), (uint32_t)-7))
PARTS(input_4, p->lists[0][0][1] = 4)
PARTS(input_minus_2, p->lists[0][0][1] = -2)
PARTS(output_absent, p->lists[1][1][0] = -1)
PARTS(output_high, p->lists[1][1][0] = INT32_MAX)
BYTES(op_inputs_many, put32(f, at_target(f, TFLITE_OP, 0, 1), 0x40000000))
BYTES(options_other, f->data[at_field(f, TFLITE_OP, 0, 3)] = 5)
BYTES(options_far, put32(f, at_field(f, TFLITE_OP, 0, 4), 0x10000000))
BYTES(options_field_far, put16(f, at_vtable(f, TFLITE_OPTIONS, 0) + 6, 4000))
PARTS(padding_2, p->ops[0].padding = 2)
PARTS(reshape, p->ops[1].code = WEIR_TFLITE_RESHAPE)
PARTS(squeeze, p->ops[1].code = WEIR_TFLITE_SQUEEZE)
/* The list's length alone: what lies behind it is in the file, too. */
BYTES(list_7, put32(f, at_target(f, TFLITE_OPTIONS, 1, 0), 7))
BYTES(list_many, put32(f, at_target(f, TFLITE_OPTIONS, 1, 0), 0x10000000))

PARTS(reads_own, set_op(p, 0, WEIR_TFLITE_ADD, IN, MID, MID))
PARTS(reads_later, set_op(p, 0, WEIR_TFLITE_ADD, IN, OUT, MID))
PARTS(reads_nothing, set_op(p, 1, WEIR_TFLITE_RELU, OUT, -1, MID);
	set_op(p, 0, WEIR_TFLITE_RELU, IN, -1, IN))
PARTS(dangling, set_op(p, 0, WEIR_TFLITE_RELU, MID, -1, OUT); p->ops[1].n_outputs = 0)
PARTS(writes_twice, set_op(p, 1, WEIR_TFLITE_RELU, MID, -1, MID))
PARTS(writes_twice_at_once, p->ops[1].n_outputs = 2; p->lists[1][1][1] = OUT)
PARTS(writes_constant, set_op(p, 1, WEIR_TFLITE_RELU, MID, -1, W))
PARTS(input_twice, p->n_inputs = 2; p->inputs[1] = IN)
PARTS(input_constant, p->inputs[0] = W)
PARTS(input_high, p->inputs[0] = 4)
PARTS(input_negative, p->inputs[0] = -1)
PARTS(end_output_high, p->outputs[0] = INT32_MIN)
PARTS(output_unwritten, p->ops[1].n_outputs = 0)

#define FIRST "its first table"
static const struct hostile {
	void (*parts)(struct parts *p); /* NULL: none is spoilt before the file is written */
	void (*bytes)(struct file *f);	/* NULL: none afterwards */
	const char *pattern;		/* of the sentence: numbers of bytes are the writer's affair */
} hostile[] = {
	{NULL, nothing, "it is empty"},
	{NULL, seven_bytes, "it is no TFLite file: it has no TFL3 at byte 4"},
	{NULL, other_identifier, "it is no TFLite file: it has no TFL3 at byte 4"},
	{NULL, root_0, FIRST " has offset 0, at byte 0"},
	{NULL, root_far, FIRST " begins 4294967295 bytes behind byte 0, but the file has *"},
	{NULL, root_end, FIRST " begins * bytes behind byte 0, but the file has *"},
	{NULL, root_misaligned, FIRST " begins at byte *, which is no multiple of 4"},
	{NULL, vtable_before, FIRST ", at byte *, has its vtable at byte -2147483* of *"},
	{NULL, vtable_far, FIRST ", at byte *, has its vtable at byte 2147483* of *"},
	{NULL, vtable_odd, FIRST ", at byte *, has its vtable at byte * of *"},
	{NULL, vtable_end, FIRST ", at byte *, has its vtable at byte * of *"},
	{NULL, vtable_0_bytes, FIRST " has a vtable of 0 bytes at byte * of *"},
	{NULL, vtable_7_bytes, FIRST " has a vtable of 7 bytes at byte * of *"},
	{NULL, vtable_long, FIRST " has a vtable of 65534 bytes at byte * of *"},
	{NULL, table_2_bytes, FIRST " has 2 bytes at byte * of *"},
	{NULL, table_long, FIRST " has 65535 bytes at byte * of *"},
	{NULL, field_in_soffset, "field 0 of the table at byte * lies at bytes 2 to 6 of its 24"},
	{NULL, field_beyond, "field 0 of the table at byte * lies at bytes 5000 to 5004 of its 24"},
	{NULL, field_past_end, "field 0 of the table at byte * lies at bytes 22 to 26 of its 24"},
	{NULL, version_2, "it has version 2 of TFLite's schema; Weir reads version 3"},
	{NULL, version_none, "it has version 0 of TFLite's schema; Weir reads version 3"},
	{NULL, description_long,
		"its description has 4294967295 values from byte * on, but the file has * bytes"},
	{NULL, graphs_many,
		"its list of subgraphs has 1073741825 values from byte * on, but the file has * bytes"},
	{NULL, graphs_none, "it has no subgraph"},
	{NULL, graphs_left_out, "it has no subgraph"},
	{NULL, graph_far,
		"subgraph 0: its table begins 2147483644 bytes behind byte *, but the file has *"},
	{NULL, graph_0, "subgraph 0: its table has offset 0, at byte *"},
	{NULL, tensors_many,
		"subgraph 0: its list of tensors has 1073741824 values from byte * on, but *"},
	{NULL, tensors_none, "operator 0 (CONV_2D): input 0 is tensor 0, but there are 0 tensors"},
	{NULL, ops_none, "it has no operators"},
	{NULL, inputs_none, "it has no inputs"},
	{NULL, outputs_left_out, "it has no outputs"},
	{NULL, inputs_many, "subgraph 0: its list of inputs has 4294967295 values from byte * on, but *"},
	{NULL, tensor_far,
		"tensor 1: its table begins 268435456 bytes behind byte *, but the file has *"},
	{NULL, op_far, "operator 1: its table begins 268435456 bytes behind byte *, but the file has *"},
	{NULL, code_far,
		"operator 0: operator code 0: its table begins 268435456 bytes behind byte *, but *"},
	{NULL, name_misaligned, "tensor 0: its name begins at byte *, which is no multiple of 4"},
	{NULL, shape_many,
		"tensor 0 (in): its shape has 1073741825 values from byte * on, but the file has * "
		"bytes"},

	{dims_7, NULL, "tensor 0 (in): it has 7 dimensions; Weir reads up to 6"},
	{dim_0, NULL, "tensor 2 (mid): its dimension 1 is 0"},
	{dim_negative, NULL, "tensor 2 (mid): its dimension 0 is -1"},
	{dim_absurd, NULL,
		"tensor 1 (w): its data has 8 bytes, but 8589934588 INT8 values have 8589934588"},
	{dims_overflow, NULL, "tensor 0 (in): it has more values than memory can count"},
	{bytes_overflow, NULL, "tensor 0 (in): it has more bytes than memory can hold"},
	{data_short, NULL, "tensor 1 (w): its data has 7 bytes, but 8 INT8 values have 8"},
	{data_of_other_type, NULL, "tensor 1 (w): its data has 8 bytes, but 8 INT32 values have 32"},
	{behind, behind_past_end,
		"tensor 1 (w): its data lies at byte * and has 8 bytes, but the file has *"},
	{behind, behind_far,
		"tensor 1 (w): its data lies at byte 18446744073709551612 and has 8 bytes, but *"},
	{behind, behind_long,
		"tensor 1 (w): its data lies at byte * and has 18446744073709551615 bytes, but *"},
	{behind, behind_wrong_size, "tensor 1 (w): its data has 4 bytes, but 8 INT8 values have 8"},
	{NULL, data_many, "tensor 1 (w): buffer 2: its data has 100000 values from byte * on, but *"},
	{NULL, buffer_many, "tensor 1 (w): its buffer is number 5, but there are 5 buffers"},
	{NULL, buffers_left_out, "tensor 1 (w): its buffer is number 2, but there are 0 buffers"},
	{NULL, buffer_far,
		"tensor 1 (w): buffer 2: its table begins 268435456 bytes behind byte *, but *"},
	{external, NULL, "tensor 1 (w): its values are in a file of their own, which Weir does not read"},
	{sparse, NULL, "tensor 1 (w): its values are sparse, which Weir does not read"},
	{variable_with_data, NULL, "tensor 1 (w): it is a variable, but has values"},

	{scales_many, NULL, "tensor 2 (mid): it has 2 scales along dimension 0, which is 1"},
	{zeros_few, NULL, "tensor 1 (w): it has 2 scales, but 1 zero points"},
	{zeros_many, NULL, "tensor 2 (mid): it has 1 scales, but 2 zero points"},
	{axis_3, NULL, "tensor 1 (w): its 2 scales are along dimension 3, but it has 3 dimensions"},
	{axis_negative, NULL,
		"tensor 1 (w): its 2 scales are along dimension -1, but it has 3 dimensions"},
	{axis_other, NULL, "tensor 1 (w): it has 2 scales along dimension 1, which is 4"},
	{scale_nan, NULL, "tensor 2 (mid): its scale 0 is nan"},
	{scale_infinite, NULL, "tensor 2 (mid): its scale 0 is inf"},
	{scale_negative, NULL, "tensor 2 (mid): its scale 0 is -0.5"},
	{weights_scale_nan, NULL, "tensor 1 (w): its scale 1 is nan"},
	{zero_high, NULL, "tensor 2 (mid): its zero point 0 is 2147483648, beyond 32 bits"},
	{zero_low, NULL, "tensor 2 (mid): its zero point 0 is -9223372036854775808, beyond 32 bits"},
	{blockwise, NULL, "tensor 1 (w): it is quantized by a scheme of its own (details type 2)"},
	{NULL, scales_overflow,
		"tensor 1 (w): its list of scales has 1073741826 values from byte * on, but *"},
	{NULL, zeros_overflow,
		"tensor 1 (w): its list of zero points has 536870914 values from byte * on, but *"},
	{NULL, quantization_far,
		"tensor 1 (w): its quantization begins 268435456 bytes behind byte *, but *"},

	{NULL, code_many, "operator 1: its code is number 2, but there are 2 operator codes"},
	{NULL, codes_left_out, "operator 0: its code is number 0, but there are 0 operator codes"},
	{NULL, code_negative, "operator 0: its code is -5"},
	{input_4, NULL, "operator 0 (CONV_2D): input 1 is tensor 4, but there are 4 tensors"},
	{input_minus_2, NULL, "operator 0 (CONV_2D): input 1 is tensor -2, but there are 4 tensors"},
	{output_absent, NULL, "operator 1 (RELU): output 0 is tensor -1, but there are 4 tensors"},
	{output_high, NULL, "operator 1 (RELU): output 0 is tensor 2147483647, but there are 4 tensors"},
	{NULL, op_inputs_many,
		"operator 0 (CONV_2D): its list of inputs has 1073741824 values from byte * on, but *"},
	{NULL, options_other, "operator 0 (CONV_2D): its options are of type 5, not 1 (Conv2DOptions)"},
	{NULL, options_far,
		"operator 0 (CONV_2D): its table of options begins 268435456 bytes behind byte *, but *"},
	{NULL, options_field_far,
		"operator 0 (CONV_2D): Conv2DOptions: field 1 of the table at byte * lies at *"},
	{padding_2, NULL, "operator 0 (CONV_2D): its padding is 2, neither SAME (0) nor VALID (1)"},
	{reshape, list_7, "operator 1 (RESHAPE): its new shape has 7 dimensions; Weir reads up to 6"},
	{reshape, list_many,
		"operator 1 (RESHAPE): its new shape has 268435456 values from byte * on, but *"},
	{squeeze, list_7,
		"operator 1 (SQUEEZE): its list to squeeze has 7 dimensions; Weir reads up to 6"},

	{reads_own, NULL, "operator 0 (ADD): it reads tensor 2 (mid), which it writes itself"},
	{reads_later, NULL,
		"operator 0 (ADD): it reads tensor 3 (out), which operator 1 writes only later"},
	{reads_nothing, NULL,
		"operator 0 (RELU): it writes tensor 0 (in), which is an input of the network"},
	{dangling, NULL, "operator 0 (RELU): it reads tensor 2 (mid), which no operator writes"},
	{writes_twice, NULL, "operator 1 (RELU): it writes tensor 2 (mid), which operator 0 writes too"},
	{writes_twice_at_once, NULL,
		"operator 1 (RELU): it writes tensor 3 (out), which operator 1 writes too"},
	{writes_constant, NULL, "operator 1 (RELU): it writes tensor 1 (w), whose values the file has"},
	{input_twice, NULL, "tensor 0 (in) is an input, but it is one twice"},
	{input_constant, NULL, "tensor 1 (w) is an input, but the file has its values"},
	{input_high, NULL, "input 0 is tensor 4, but there are 4 tensors"},
	{input_negative, NULL, "input 0 is tensor -1, but there are 4 tensors"},
	{end_output_high, NULL, "output 0 is tensor -2147483648, but there are 4 tensors"},
	{output_unwritten, NULL, "tensor 3 (out) is an output, but no operator writes it"},
};

/* ---- reading --------------------------------------------------------------------------------- */

START_TEST(hostile_files)
{
	const struct hostile *h = &hostile[_i];
	struct weir_tflite *read = (struct weir_tflite *)1;
	char pattern[300];
	struct parts p;
	struct file f;
	struct tflite_writer *w;
	void *copy;

	set_parts(&p);
	if (h->parts)
		h->parts(&p);
	w = write_parts(&p);
	f.w = w;
	f.data = tflite_writer_finish(w, &f.size);
	if (h->bytes)
		h->bytes(&f);
	snprintf(pattern, sizeof(pattern), "bad.tflite: %s", h->pattern);
	ck_assert_int_lt(tflite_parse_copy(f.data, f.size, &read, &copy), 0);
	ck_assert_msg(!fnmatch(pattern, weir_error(), 0), "%s", weir_error());
	ck_assert_ptr_null(read);
	free(copy);
	tflite_writer_free(w);
}
END_TEST

/* The file that the others spoil is a good one. */
START_TEST(not_spoilt)
{
	struct parts p;
	struct tflite_writer *w;
	struct weir_tflite *read;
	const unsigned char *data;
	size_t size;

	set_parts(&p);
	p.tensors[W].scale = list_negative; /* which constants may have */
	w = write_parts(&p);
	data = tflite_writer_finish(w, &size);
	ck_assert_msg(!weir_tflite_parse(data, size, "good.tflite", &read), "%s", weir_error());
	tflite_walk(read);
	weir_tflite_close(read);
	tflite_writer_free(w);
}
END_TEST

#define MANY ((1u << 20) + 1)

/* So many tensors that their descriptions would be 50 times as large as the file. */
START_TEST(too_many)
{
	struct parts p;
	struct tflite_writer *w;
	struct weir_tflite *read;
	struct file f;

	set_parts(&p);
	p.tensors[W].n_dims = 1;
	p.tensors[W].dim[0] = 4 * MANY;
	p.tensors[W].n_scales = p.tensors[W].n_zeros = 0;
	p.tensors[W].size = 4 * MANY;
	p.tensors[W].data = calloc(MANY, 4);
	ck_assert_ptr_nonnull(p.tensors[W].data);
	w = write_parts(&p);
	free((void *)p.tensors[W].data);
	f.w = w;
	f.data = tflite_writer_finish(w, &f.size);
	put32(&f, at_target(&f, TFLITE_GRAPH, 0, 0), MANY);
	ck_assert_int_eq(weir_tflite_parse(f.data, f.size, "bad.tflite", &read), -EFBIG);
	ck_assert_str_eq(weir_error(), "bad.tflite: it has 1048577 tensors and 2 operators; Weir reads "
				       "up to 1048576 and 1048576");
	tflite_writer_free(w);
}
END_TEST

#define SHARERS 200
#define SHARED 5000

/* Operators that share one long list: what a reader does with it must not grow with both. */
START_TEST(shared_lists)
{
	struct tflite_writer *w = tflite_writer_new();
	int32_t *list = calloc(SHARED, sizeof(*list));
	struct weir_tflite *read;
	struct file f;
	int32_t in, out;

	ck_assert_ptr_nonnull(list);
	in = tflite_writer_tensor(w, &(struct tflite_tensor){.name = "in"});
	for (unsigned i = 0; i < SHARERS; i++) {
		out = tflite_writer_tensor(w, &(struct tflite_tensor){.name = "out"});
		tflite_writer_op(w, &(struct weir_tflite_op){.code = WEIR_TFLITE_CONCATENATION,
					    .n_inputs = i + 1 < SHARERS ? 1 : SHARED,
					    .inputs = list,
					    .n_outputs = 1,
					    .outputs = &out});
	}
	tflite_writer_ends(w, 1, &in, 1, &out);
	f.w = w;
	f.data = tflite_writer_finish(w, &f.size);
	ck_assert_msg(!weir_tflite_parse(f.data, f.size, "good.tflite", &read), "%s", weir_error());
	weir_tflite_close(read);
	for (int i = 0; i + 1 < SHARERS; i++)
		put32(&f, at_field(&f, TFLITE_OP, i, 1),
			(uint32_t)(at_target(&f, TFLITE_OP, SHARERS - 1, 1) -
				   at_field(&f, TFLITE_OP, i, 1)));
	ck_assert_int_eq(weir_tflite_parse(f.data, f.size, "bad.tflite", &read), -EINVAL);
	ck_assert_msg(!fnmatch("bad.tflite: operator * (CONCATENATION): its list of inputs, of 5000 "
			       "values, is one "
			       "of the same that too many tables share",
			      weir_error(), 0),
		"%s", weir_error());
	free(list);
	tflite_writer_free(w);
}
END_TEST

int main(void)
{
	Suite *suite = suite_create("tflite_hostile");
	TCase *tc = tcase_create("hostile");

	tcase_add_loop_test(tc, hostile_files, 0, (int)WEIR_ARRAY_SIZE(hostile));
	tcase_add_test(tc, not_spoilt);
	tcase_add_test(tc, too_many);
	tcase_add_test(tc, shared_lists);
	suite_add_tcase(suite, tc);
	return suite_run(suite);
}
