/* SPDX-License-Identifier: MIT */
/* Tensors of a TFLite file: type, shape, values and quantization, and their values one by one. */
#include <inttypes.h>
#include <math.h>

#include "format/tflite_parse.h"

/* Slots of the schema's tables. */
/* clang-format off */
enum {
	TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME, TENSOR_QUANTIZATION, TENSOR_VARIABLE,
	TENSOR_SPARSITY, TENSOR_SIGNATURE, TENSOR_HAS_RANK, TENSOR_VARIANTS, TENSOR_EXTERNAL,
};
/* clang-format on */
enum { BUFFER_DATA, BUFFER_OFFSET, BUFFER_SIZE };
enum { QUANT_MIN, QUANT_MAX, QUANT_SCALE, QUANT_ZERO, QUANT_DETAILS_TYPE, QUANT_DETAILS, QUANT_AXIS };

/* ---- types ----------------------------------------------------------------------------------- */

/* The schema's enum TensorType; bytes 0: values are packed, or have no fixed size. */
/* clang-format off */
static const struct {
	const char *name;
	size_t bytes;
} types[] = {
	{"FLOAT32", 4}, {"FLOAT16", 2}, {"INT32", 4}, {"UINT8", 1}, {"INT64", 8}, {"STRING", 0},
	{"BOOL", 1}, {"INT16", 2}, {"COMPLEX64", 8}, {"INT8", 1}, {"FLOAT64", 8}, {"COMPLEX128", 16},
	{"UINT64", 8}, {"RESOURCE", 0}, {"VARIANT", 0}, {"UINT32", 4}, {"UINT16", 2}, {"INT4", 0},
	{"BFLOAT16", 2}, {"INT2", 0}, {"UINT4", 0}, {"FLOAT8_E4M3FN", 1}, {"FLOAT8_E5M2", 1},
};
/* clang-format on */

static bool is_known(int type)
{
	return type >= 0 && (size_t)type < WEIR_ARRAY_SIZE(types);
}

const char *weir_tflite_type_name(int type)
{
	static _Thread_local char number[24];

	if (is_known(type))
		return types[type].name;
	snprintf(number, sizeof(number), "type %d", type);
	return number;
}

size_t weir_tflite_type_size(int type)
{
	return is_known(type) ? types[type].bytes : 0;
}

/* ---- shape ----------------------------------------------------------------------------------- */

static int read_shape(
	struct weir_flat *b, const struct weir_flat_table *t, struct weir_tflite_tensor *out)
{
	struct weir_flat_vector shape;

	if (!weir_flat_vector(b, t, TENSOR_SHAPE, 4, "its shape", &shape))
		return b->err;
	if (shape.count > WEIR_TFLITE_DIMS)
		return weir_fail(ENOTSUP, "it has %u dimensions; Weir reads up to %d", shape.count,
			WEIR_TFLITE_DIMS);
	out->n_dims = shape.count;
	out->count = 1;
	for (unsigned i = 0; i < out->n_dims; i++) {
		out->dim[i] = weir_flat_get_i32(b->data + shape.at + 4 * i);
		if (out->dim[i] < 1)
			return weir_fail(EINVAL, "its dimension %u is %d", i, out->dim[i]);
		if (!weir_size_mul(out->count, (size_t)out->dim[i], &out->count))
			return weir_fail(EOVERFLOW, "it has more values than memory can count");
	}
	if (!weir_size_mul(out->count, weir_tflite_type_size(out->type), &out->bytes))
		return weir_fail(EOVERFLOW, "it has more bytes than memory can hold");
	return 0;
}

/* ---- values ---------------------------------------------------------------------------------- */

/* Values behind the flatbuffer: at an offset from the file's begin. Offset 1 is what writers leave where
 * none came. */
static int find_behind(const struct weir_flat *b, uint64_t offset, uint64_t size, const uint8_t **data)
{
	if (offset <= 1 || !size)
		return 0;
	if (offset > b->size || size > b->size - offset)
		return weir_fail(EINVAL,
			"its data lies at byte %" PRIu64 " and has %" PRIu64
			" bytes, but the file has %zu",
			offset, size, b->size);
	*data = b->data + offset;
	return 0;
}

static int find_data(struct weir_tflite_reader *r, uint32_t buffer, const uint8_t **data, uint64_t *size)
{
	struct weir_flat *b = &r->flat;
	struct weir_flat_vector bytes;
	struct weir_flat_table t;
	uint64_t offset;

	*data = NULL;
	if (!buffer) /* the schema's buffer for tensors without values */
		return 0;
	if (buffer >= r->buffers.count)
		return weir_fail(EINVAL, "its buffer is number %u, but there are %u buffers", buffer,
			r->buffers.count);
	if (!weir_flat_element(b, &r->buffers, buffer, &t) ||
		!weir_flat_vector(b, &t, BUFFER_DATA, 1, "its data", &bytes))
		return weir_fail_in(b->err, "buffer %u", buffer);
	offset = weir_flat_u64(b, &t, BUFFER_OFFSET);
	*size = weir_flat_u64(b, &t, BUFFER_SIZE);
	if (b->err)
		return weir_fail_in(b->err, "buffer %u", buffer);
	if (!bytes.count)
		return find_behind(b, offset, *size, data);
	*data = b->data + bytes.at;
	*size = bytes.count;
	return 0;
}

static int read_data(
	struct weir_tflite_reader *r, const struct weir_flat_table *t, struct weir_tflite_tensor *out)
{
	struct weir_flat *b = &r->flat;
	const uint32_t buffer = weir_flat_u32(b, t, TENSOR_BUFFER);
	uint64_t size = 0;
	int err;

	out->variable = weir_flat_bool(b, t, TENSOR_VARIABLE);
	if (weir_flat_u32(b, t, TENSOR_EXTERNAL))
		return weir_fail(
			ENOTSUP, "its values are in a file of their own, which Weir does not read");
	if (weir_flat_has(b, t, TENSOR_SPARSITY))
		return weir_fail(ENOTSUP, "its values are sparse, which Weir does not read");
	if (b->err)
		return b->err;
	err = find_data(r, buffer, &out->data, &size);
	if (err || !out->data)
		return err;
	if (out->variable)
		return weir_fail(EINVAL, "it is a variable, but has values");
	if (weir_tflite_type_size(out->type) && size != out->bytes)
		return weir_fail(EINVAL, "its data has %" PRIu64 " bytes, but %zu %s values have %zu",
			size, out->count, weir_tflite_type_name(out->type), out->bytes);
	return 0;
}

/* ---- quantization ---------------------------------------------------------------------------- */

/* A few weights of MCUNet, and their biases, have scales below 0: LiteRT computes with them as they are. */
static int check_scales(const struct weir_tflite_tensor *t)
{
	for (unsigned i = 0; i < t->n_scales; i++) {
		const float scale = weir_flat_get_f32(t->scale + 4 * (size_t)i);

		if (!isfinite(scale) || (scale < 0 && !t->data))
			return weir_fail(EINVAL, "its scale %u is %g", i, (double)scale);
	}
	for (unsigned i = 0; t->zero && i < t->n_scales; i++) {
		const int64_t zero = weir_flat_get_i64(t->zero + 8 * (size_t)i);

		if (zero < INT32_MIN || zero > INT32_MAX)
			return weir_fail(
				EINVAL, "its zero point %u is %" PRId64 ", beyond 32 bits", i, zero);
	}
	return 0;
}

/* One scale is for all; several are for the places along one dimension. */
static int check_axis(struct weir_tflite_tensor *t)
{
	if (t->n_scales <= 1 || t->n_dims == 1)
		t->axis = 0;
	if (t->n_scales <= 1)
		return 0;
	if (t->axis < 0 || (unsigned)t->axis >= t->n_dims)
		return weir_fail(EINVAL, "its %u scales are along dimension %d, but it has %u dimensions",
			t->n_scales, t->axis, t->n_dims);
	if ((unsigned)t->dim[t->axis] != t->n_scales)
		return weir_fail(EINVAL, "it has %u scales along dimension %d, which is %d", t->n_scales,
			t->axis, t->dim[t->axis]);
	return 0;
}

static int read_quantization(
	struct weir_flat *b, const struct weir_flat_table *t, struct weir_tflite_tensor *out)
{
	struct weir_flat_vector scales, zeros;
	struct weir_flat_table q;
	int details, err;

	if (!weir_flat_table(b, t, TENSOR_QUANTIZATION, "its quantization", &q))
		return b->err;
	weir_flat_vector(b, &q, QUANT_SCALE, 4, "its list of scales", &scales);
	weir_flat_vector(b, &q, QUANT_ZERO, 8, "its list of zero points", &zeros);
	out->axis = weir_flat_i32(b, &q, QUANT_AXIS, 0);
	details = weir_flat_u8(b, &q, QUANT_DETAILS_TYPE);
	if (b->err)
		return b->err;
	if (details)
		return weir_fail(
			ENOTSUP, "it is quantized by a scheme of its own (details type %d)", details);
	if (!scales.count) {
		out->axis = 0;
		return 0;
	}
	if (zeros.count && zeros.count != scales.count)
		return weir_fail(
			EINVAL, "it has %u scales, but %u zero points", scales.count, zeros.count);
	if (!weir_flat_walk(b, &scales, 4, "its list of scales") ||
		!weir_flat_walk(b, &zeros, 8, "its list of zero points"))
		return b->err;
	out->n_scales = scales.count;
	out->scale = b->data + scales.at;
	out->zero = zeros.count ? b->data + zeros.at : NULL;
	err = check_axis(out);
	return err ? err : check_scales(out);
}

int weir_tflite_read_tensor(
	struct weir_tflite_reader *r, const struct weir_flat_table *t, struct weir_tflite_tensor *out)
{
	struct weir_flat *b = &r->flat;
	int err;

	weir_flat_string(b, t, TENSOR_NAME, "its name", out->name, sizeof(out->name));
	out->type = weir_flat_i8(b, t, TENSOR_TYPE);
	if (b->err)
		return b->err;
	err = read_shape(b, t, out);
	if (!err)
		err = read_data(r, t, out);
	return err ? err : read_quantization(b, t, out);
}

/* ---- values one by one ----------------------------------------------------------------------- */

static size_t channel(const struct weir_tflite_tensor *t, unsigned i)
{
	return t->n_scales > 1 ? i : 0;
}

float weir_tflite_scale(const struct weir_tflite_tensor *t, unsigned i)
{
	return t->n_scales ? weir_flat_get_f32(t->scale + 4 * channel(t, i)) : 0.0f;
}

int32_t weir_tflite_zero(const struct weir_tflite_tensor *t, unsigned i)
{
	return t->zero ? (int32_t)weir_flat_get_i64(t->zero + 8 * channel(t, i)) : 0;
}

int32_t weir_tflite_int(const struct weir_tflite_tensor *t, size_t i)
{
	int64_t value;

	if (t->type == WEIR_TFLITE_I32)
		return weir_flat_get_i32(t->data + 4 * i);
	value = weir_flat_get_i64(t->data + 8 * i);
	return (int32_t)WEIR_MAX(INT32_MIN, WEIR_MIN(INT32_MAX, value));
}
