/* SPDX-License-Identifier: MIT */
/*
 * TFLite files: a flatbuffer read without generated code into a description of one network. Every offset, vector and
 * table is checked before it is used; the description points into the mapped file and lives as long as it.
 * Layout: FlatBuffers' internals and TensorFlow's schema.fbs (schema version 3), by their published descriptions.
 */
#ifndef WEIR_FORMAT_TFLITE_H
#define WEIR_FORMAT_TFLITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define WEIR_TFLITE_DIMS 6

/* Types that networks here may use; the reader takes any, and names those that it does not know by number. */
enum weir_tflite_type {
	WEIR_TFLITE_F32 = 0,
	WEIR_TFLITE_I32 = 2,
	WEIR_TFLITE_U8 = 3,
	WEIR_TFLITE_I64 = 4,
	WEIR_TFLITE_I8 = 9,
};
const char *weir_tflite_type_name(int type); /* "INT8", or "type 77" (of this thread, until the next call) */
size_t weir_tflite_type_size(int type);	     /* bytes of a value; 0 for a type without a fixed one or not known */

/* Builtin operators by the schema's numbers. */
enum weir_tflite_code {
	WEIR_TFLITE_ADD = 0,
	WEIR_TFLITE_AVERAGE_POOL_2D = 1,
	WEIR_TFLITE_CONCATENATION = 2,
	WEIR_TFLITE_CONV_2D = 3,
	WEIR_TFLITE_DEPTHWISE_CONV_2D = 4,
	WEIR_TFLITE_DEQUANTIZE = 6,
	WEIR_TFLITE_FULLY_CONNECTED = 9,
	WEIR_TFLITE_LOGISTIC = 14,
	WEIR_TFLITE_MAX_POOL_2D = 17,
	WEIR_TFLITE_MUL = 18,
	WEIR_TFLITE_RELU = 19,
	WEIR_TFLITE_RELU6 = 21,
	WEIR_TFLITE_RESHAPE = 22,
	WEIR_TFLITE_RESIZE_BILINEAR = 23,
	WEIR_TFLITE_SOFTMAX = 25,
	WEIR_TFLITE_PAD = 34,
	WEIR_TFLITE_TRANSPOSE = 39,
	WEIR_TFLITE_MEAN = 40,
	WEIR_TFLITE_SUB = 41,
	WEIR_TFLITE_SQUEEZE = 43,
	WEIR_TFLITE_STRIDED_SLICE = 45,
	WEIR_TFLITE_SPLIT = 49,
	WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR = 97,
	WEIR_TFLITE_QUANTIZE = 114,
	WEIR_TFLITE_HARD_SWISH = 117,
};
const char *weir_tflite_code_name(int code); /* "CONV_2D", any of the schema's; else "operator 207" */

enum weir_tflite_padding { WEIR_TFLITE_SAME = 0, WEIR_TFLITE_VALID = 1 };

enum weir_tflite_activation { /* the schema's numbers */
	WEIR_TFLITE_NONE = 0,
	WEIR_TFLITE_ACT_RELU = 1,
	WEIR_TFLITE_ACT_RELU_N1_TO_1 = 2,
	WEIR_TFLITE_ACT_RELU6 = 3,
	WEIR_TFLITE_ACT_TANH = 4,
	WEIR_TFLITE_ACT_SIGN_BIT = 5,
};

struct weir_tflite_tensor {
	char name[64]; /* printable, cut */
	int type;
	unsigned n_dims;
	int32_t dim[WEIR_TFLITE_DIMS]; /* each >= 1: what has none or no fixed size is refused by the networks, not here */
	size_t count;		       /* values: the dims' product, checked */
	size_t bytes;		       /* count * type's size; 0 for types without one */
	const uint8_t *data;	       /* bytes of them when the file has its values (not always aligned), else NULL */
	/* Quantization: n_scales 0 (none), 1 (per tensor) or dim[axis] (per channel); zero has as many. */
	unsigned n_scales;
	const uint8_t *scale; /* n_scales floats, little endian, not always aligned: weir_tflite_scale reads one */
	const uint8_t *zero;  /* n_scales int64, or NULL: all 0 */
	int axis;
	bool variable;
};
/* Scale and zero point of channel i (per tensor: any i). Zero points beyond 32 bits are refused by the reader. */
float weir_tflite_scale(const struct weir_tflite_tensor *t, unsigned i);
int32_t weir_tflite_zero(const struct weir_tflite_tensor *t, unsigned i);
/* Value i of a constant I32 or I64 tensor (that clamped to 32 bits). */
int32_t weir_tflite_int(const struct weir_tflite_tensor *t, size_t i);

struct weir_tflite_op {
	int code; /* builtin; 32 is CUSTOM */
	int version;
	char custom[64]; /* the name of a custom operator */
	const int32_t *inputs, *outputs; /* tensors; -1: an optional input that is absent. In the description's memory */
	unsigned n_inputs, n_outputs;
	/* Options, with the schema's defaults where the file has none. What an operator does not have is 0. */
	int padding, stride_w, stride_h, dilation_w, dilation_h, depth_multiplier, filter_w, filter_h;
	int activation;
	bool keep_dims;	       /* MEAN; FULLY_CONNECTED's keep_num_dims */
	bool shuffled_weights; /* FULLY_CONNECTED with another weights format than the default */
	int axis;	       /* CONCATENATION */
	int num_splits;
	float beta; /* SOFTMAX */
	bool align_corners, half_pixel_centers;
	int begin_mask, end_mask, ellipsis_mask, new_axis_mask, shrink_axis_mask;
	bool offset; /* STRIDED_SLICE: end is relative to begin */
	int squeeze_dims[WEIR_TFLITE_DIMS];
	unsigned n_squeeze_dims;
	int new_shape[WEIR_TFLITE_DIMS]; /* RESHAPE's option; its second input goes over it */
	unsigned n_new_shape;
};

/* The file's first subgraph; a file with more is read as far as the first (only control flow reaches the others). */
struct weir_tflite {
	char path[256]; /* for sentences, cut */
	const uint8_t *data; /* the file's bytes */
	size_t bytes;
	const struct weir_tflite_tensor *tensors;
	unsigned n_tensors;
	const struct weir_tflite_op *ops; /* in the order of execution */
	unsigned n_ops;
	const int32_t *inputs, *outputs;
	unsigned n_inputs, n_outputs;
	char description[128];
};

/* Maps and reads a file; the caller's to close. 0 or -errno with a sentence that begins with the path. */
int weir_tflite_open(const char *path, struct weir_tflite **out);
/* The same from memory, which must live as long; name stands for the path. */
int weir_tflite_parse(const void *data, size_t size, const char *name, struct weir_tflite **out);
void weir_tflite_close(struct weir_tflite *f); /* takes NULL */

/* Whether a file begins as TFLite files do ("TFL3" at byte 4). False, too, when it cannot be read. */
bool weir_tflite_is(const char *path);

/*
 * Checked by the reader, so that users need not: indices of tensors in ops, inputs and outputs are in range; data has
 * exactly `bytes` bytes; ops write no constant and no input, each tensor is written once at most, and is written
 * before it is read (constants, inputs and variables apart); n_scales fits dim[axis]; scales are finite, and >= 0
 * where the file has no values: MCUNet's weights and biases have 158 that are negative, and mean it.
 * (Bias tensors are known that name an axis they do not have; with one dimension that is taken as axis 0.)
 * Not checked: whether an operator's types, shapes and options make sense together.
 */

#endif
