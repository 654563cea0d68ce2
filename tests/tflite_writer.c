/* SPDX-License-Identifier: MIT */
/* Writes TFLite files for tests; the format is described in FlatBuffers' internals and TensorFlow's
 * schema.fbs. */
#include "tflite_writer.h"

#include "base/base.h"

#define SLOTS 12

struct place { /* of a field, or (slot SLOTS) of a table */
	enum tflite_table table;
	int index;
	unsigned slot;
	size_t at;
};

struct tflite_writer {
	char *description;
	struct tflite_tensor *tensors;
	struct weir_tflite_op *ops;
	int32_t *inputs, *outputs;
	unsigned n_tensors, n_ops, n_inputs, n_outputs;
	unsigned char *data; /* the file */
	size_t size, room;
	struct place *places;
	size_t n_places;
};

/* ---- what is to be written ------------------------------------------------------------------- */

static void *grow(void *p, size_t bytes)
{
	p = realloc(p, bytes ? bytes : 1);
	if (!p)
		abort();
	return p;
}

static void *copy(const void *data, size_t bytes)
{
	return data ? memcpy(grow(NULL, bytes), data, bytes) : NULL;
}

struct tflite_writer *tflite_writer_new(void)
{
	struct tflite_writer *w = grow(NULL, sizeof(*w));

	memset(w, 0, sizeof(*w));
	return w;
}

void tflite_writer_free(struct tflite_writer *w)
{
	if (!w)
		return;
	for (unsigned i = 0; i < w->n_tensors; i++) {
		free((void *)w->tensors[i].name);
		free((void *)w->tensors[i].scale);
		free((void *)w->tensors[i].zero);
		free((void *)w->tensors[i].data);
	}
	for (unsigned i = 0; i < w->n_ops; i++) {
		free((void *)w->ops[i].inputs);
		free((void *)w->ops[i].outputs);
	}
	free(w->description);
	free(w->tensors);
	free(w->ops);
	free(w->inputs);
	free(w->outputs);
	free(w->data);
	free(w->places);
	free(w);
}

void tflite_writer_description(struct tflite_writer *w, const char *text)
{
	free(w->description);
	w->description = copy(text, strlen(text) + 1);
}

int tflite_writer_tensor(struct tflite_writer *w, const struct tflite_tensor *from)
{
	struct tflite_tensor *t;

	w->tensors = grow(w->tensors, (w->n_tensors + 1) * sizeof(*w->tensors));
	t = &w->tensors[w->n_tensors++];
	*t = *from;
	t->name = copy(t->name, t->name ? strlen(t->name) + 1 : 0);
	t->scale = copy(t->scale, t->n_scales * sizeof(*t->scale));
	t->zero = copy(t->zero, t->n_zeros * sizeof(*t->zero));
	t->data = copy(t->data, t->size);
	return (int)w->n_tensors - 1;
}

void tflite_writer_op(struct tflite_writer *w, const struct weir_tflite_op *from)
{
	struct weir_tflite_op *op;

	w->ops = grow(w->ops, (w->n_ops + 1) * sizeof(*w->ops));
	op = &w->ops[w->n_ops++];
	*op = *from;
	op->inputs = copy(op->inputs, op->n_inputs * sizeof(*op->inputs));
	op->outputs = copy(op->outputs, op->n_outputs * sizeof(*op->outputs));
}

void tflite_writer_ends(struct tflite_writer *w, unsigned n_inputs, const int32_t *inputs,
	unsigned n_outputs, const int32_t *outputs)
{
	free(w->inputs);
	free(w->outputs);
	w->inputs = copy(inputs, n_inputs * sizeof(*inputs));
	w->outputs = copy(outputs, n_outputs * sizeof(*outputs));
	w->n_inputs = n_inputs;
	w->n_outputs = n_outputs;
}

/* ---- bytes ----------------------------------------------------------------------------------- */

/* data may be NULL: zeros. */
static void append(struct tflite_writer *w, const void *data, size_t size)
{
	while (w->room - w->size < size) {
		w->room = w->room ? w->room * 2 : 1024;
		w->data = grow(w->data, w->room);
	}
	if (data && size)
		memcpy(w->data + w->size, data, size);
	else
		memset(w->data + w->size, 0, size);
	w->size += size;
}

/* Zeros until `ahead` bytes from the end on are aligned. */
static void align(struct tflite_writer *w, size_t ahead, size_t to)
{
	while ((w->size + ahead) % to)
		append(w, NULL, 1);
}

static void set_u32(struct tflite_writer *w, size_t at, uint32_t value)
{
	memcpy(w->data + at, &value, sizeof(value));
}

/* ---- tables and vectors ---------------------------------------------------------------------- */

struct field {
	unsigned size; /* 0: absent */
	uint64_t value;
};

static void add_place(
	struct tflite_writer *w, enum tflite_table table, int index, unsigned slot, size_t at)
{
	w->places = grow(w->places, (w->n_places + 1) * sizeof(*w->places));
	w->places[w->n_places++] = (struct place){table, index, slot, at};
}

static const struct place *find_place(
	const struct tflite_writer *w, enum tflite_table table, int index, unsigned slot)
{
	for (size_t i = 0; i < w->n_places; i++) {
		const struct place *p = &w->places[i];

		if (p->table == table && p->index == index && p->slot == slot)
			return p;
	}
	return NULL;
}

/* A vtable and its table; fields in the order of slots, each aligned to its size. */
static void add_table(
	struct tflite_writer *w, enum tflite_table table, int index, const struct field fields[SLOTS])
{
	uint16_t vtable[2 + SLOTS] = {4 + 2 * SLOTS, 4};
	size_t at;
	int32_t back;

	for (unsigned i = 0; i < SLOTS; i++) {
		if (!fields[i].size)
			continue;
		vtable[2 + i] =
			(uint16_t)((vtable[1] + fields[i].size - 1) / fields[i].size * fields[i].size);
		vtable[1] = (uint16_t)(vtable[2 + i] + fields[i].size);
	}
	align(w, sizeof(vtable), 8);
	back = sizeof(vtable);
	append(w, vtable, sizeof(vtable));
	at = w->size;
	append(w, NULL, vtable[1]);
	memcpy(w->data + at, &back, sizeof(back));
	add_place(w, table, index, SLOTS, at);
	for (unsigned i = 0; i < SLOTS; i++) {
		if (!fields[i].size)
			continue;
		memcpy(w->data + at + vtable[2 + i], &fields[i].value, fields[i].size);
		add_place(w, table, index, i, at + vtable[2 + i]);
	}
}

/* Lets an offset point ahead to what comes next, its bytes aligned to 4, those behind a length to `to`. */
static void point(struct tflite_writer *w, size_t from, size_t to)
{
	align(w, 4, to);
	set_u32(w, from, (uint32_t)(w->size - from));
}

/* The field was written with a size of 4; absent ones have no vector. */
static void add_vector(struct tflite_writer *w, enum tflite_table table, int index, unsigned slot,
	const void *data, uint32_t count, size_t element, size_t to)
{
	point(w, find_place(w, table, index, slot)->at, to);
	append(w, &count, sizeof(count));
	append(w, data, count * element);
}

static void add_string(
	struct tflite_writer *w, enum tflite_table table, int index, unsigned slot, const char *text)
{
	add_vector(w, table, index, slot, text, (uint32_t)strlen(text), 1, 4);
	append(w, NULL, 1);
}

/* A vector of count offsets, to be filled; the byte of the first. */
static size_t add_offsets(
	struct tflite_writer *w, enum tflite_table table, int index, unsigned slot, uint32_t count)
{
	add_vector(w, table, index, slot, NULL, count, 4, 4);
	return w->size - 4 * (size_t)count;
}

/* From an offset to the table that follows; where the vtable lies is add_table's to say. */
static void add_child(struct tflite_writer *w, size_t from, enum tflite_table table, int index,
	const struct field fields[SLOTS])
{
	add_table(w, table, index, fields);
	set_u32(w, from, (uint32_t)(find_place(w, table, index, SLOTS)->at - from));
}

/* ---- options --------------------------------------------------------------------------------- */

#define BYTE(x) ((struct field){1, (uint8_t)(x)})
#define INT(x) ((struct field){4, (uint32_t)(x)})
#define LONG(x) ((struct field){8, (uint64_t)(x)})
#define OFFSET INT(0)
#define WHEN(x, then) ((x) ? (then) : (struct field){0})

static struct field real(float x)
{
	uint32_t bits;

	memcpy(&bits, &x, sizeof(bits));
	return INT(bits);
}

#define FIELDS(...) memcpy(f, (struct field[SLOTS]){__VA_ARGS__}, SLOTS * sizeof(*f))

/* Options of convolutions and pools. */
static int window_options(const struct weir_tflite_op *op, struct field f[SLOTS])
{
	const struct field act = BYTE(op->activation), dw = INT(op->dilation_w), dh = INT(op->dilation_h);

	FIELDS(BYTE(op->padding), INT(op->stride_w), INT(op->stride_h));
	switch (op->code) {
	case WEIR_TFLITE_CONV_2D:
		memcpy(f + 3, (struct field[]){act, dw, dh}, 3 * sizeof(*f));
		return 1;
	case WEIR_TFLITE_DEPTHWISE_CONV_2D:
		memcpy(f + 3, (struct field[]){INT(op->depth_multiplier), act, dw, dh}, 4 * sizeof(*f));
		return 2;
	default:
		memcpy(f + 3, (struct field[]){INT(op->filter_w), INT(op->filter_h), act},
			3 * sizeof(*f));
		return 5;
	}
}

/* The fields of an operator's options and their number in the schema's union; 0: it has none. */
static int options(const struct weir_tflite_op *op, struct field f[SLOTS])
{
	memset(f, 0, SLOTS * sizeof(*f));
	switch (op->code) {
	case WEIR_TFLITE_CONV_2D:
	case WEIR_TFLITE_DEPTHWISE_CONV_2D:
	case WEIR_TFLITE_AVERAGE_POOL_2D:
	case WEIR_TFLITE_MAX_POOL_2D:
		return window_options(op, f);
	case WEIR_TFLITE_FULLY_CONNECTED:
		FIELDS(BYTE(op->activation), BYTE(op->shuffled_weights), BYTE(op->keep_dims));
		return 8;
	case WEIR_TFLITE_SOFTMAX:
		FIELDS(real(op->beta));
		return 9;
	case WEIR_TFLITE_CONCATENATION:
		FIELDS(INT(op->axis), BYTE(op->activation));
		return 10;
	case WEIR_TFLITE_ADD:
	case WEIR_TFLITE_SUB:
	case WEIR_TFLITE_MUL:
		FIELDS(BYTE(op->activation));
		return op->code == WEIR_TFLITE_ADD ? 11 : op->code == WEIR_TFLITE_SUB ? 28 : 21;
	case WEIR_TFLITE_RESIZE_BILINEAR:
		FIELDS({0}, {0}, BYTE(op->align_corners), BYTE(op->half_pixel_centers));
		return 15;
	case WEIR_TFLITE_RESIZE_NEAREST_NEIGHBOR:
		FIELDS(BYTE(op->align_corners), BYTE(op->half_pixel_centers));
		return 74;
	case WEIR_TFLITE_RESHAPE:
	case WEIR_TFLITE_SQUEEZE:
		FIELDS(OFFSET);
		return op->code == WEIR_TFLITE_RESHAPE ? 17 : 30;
	case WEIR_TFLITE_PAD:
		return 22;
	case WEIR_TFLITE_TRANSPOSE:
		return 26;
	case WEIR_TFLITE_MEAN:
		FIELDS(BYTE(op->keep_dims));
		return 27;
	case WEIR_TFLITE_STRIDED_SLICE:
		FIELDS(INT(op->begin_mask), INT(op->end_mask), INT(op->ellipsis_mask),
			INT(op->new_axis_mask), INT(op->shrink_axis_mask), BYTE(op->offset));
		return 32;
	case WEIR_TFLITE_SPLIT:
		FIELDS(INT(op->num_splits));
		return 35;
	case WEIR_TFLITE_DEQUANTIZE:
		return 38;
	case WEIR_TFLITE_QUANTIZE:
		return 89;
	case WEIR_TFLITE_HARD_SWISH:
		return 91;
	default:
		return 0;
	}
}

/* ---- the file -------------------------------------------------------------------------------- */

static void write_codes(struct tflite_writer *w)
{
	size_t at = add_offsets(w, TFLITE_MODEL, 0, 1, w->n_ops);

	for (unsigned i = 0; i < w->n_ops; i++, at += 4) {
		const struct weir_tflite_op *op = &w->ops[i];

		add_child(w, at, TFLITE_CODE, (int)i,
			(struct field[SLOTS]){BYTE(op->code > 127 ? 127 : op->code),
				WHEN(*op->custom, OFFSET), INT(op->version), INT(op->code)});
		if (*op->custom)
			add_string(w, TFLITE_CODE, (int)i, 1, op->custom);
	}
}

static void write_quantization(struct tflite_writer *w, int i)
{
	const struct tflite_tensor *t = &w->tensors[i];

	add_child(w, find_place(w, TFLITE_TENSOR, i, 4)->at, TFLITE_QUANT, i,
		(struct field[SLOTS]){[2] = WHEN(t->n_scales, OFFSET),
			[3] = WHEN(t->n_zeros, OFFSET),
			[4] = BYTE(t->details),
			[6] = INT(t->axis)});
	if (t->n_scales)
		add_vector(w, TFLITE_QUANT, i, 2, t->scale, t->n_scales, 4, 4);
	if (t->n_zeros)
		add_vector(w, TFLITE_QUANT, i, 3, t->zero, t->n_zeros, 8, 8);
}

static void write_tensors(struct tflite_writer *w)
{
	size_t at = add_offsets(w, TFLITE_GRAPH, 0, 0, w->n_tensors);

	for (unsigned n = 0; n < w->n_tensors; n++, at += 4) {
		const struct tflite_tensor *t = &w->tensors[n];
		const bool quantized = t->n_scales || t->n_zeros;
		const int i = (int)n;

		add_child(w, at, TFLITE_TENSOR, i,
			(struct field[SLOTS]){OFFSET, BYTE(t->type), INT(t->data ? n + 1 : 0),
				WHEN(t->name, OFFSET), WHEN(quantized, OFFSET), BYTE(t->variable),
				WHEN(t->sparse, INT(4)), /* leads to no table */
				[10] = WHEN(t->external, INT(t->external))});
		add_vector(w, TFLITE_TENSOR, i, 0, t->dim, t->n_dims, 4, 4);
		if (t->name)
			add_string(w, TFLITE_TENSOR, i, 3, t->name);
		if (quantized)
			write_quantization(w, i);
	}
}

static void write_ops(struct tflite_writer *w)
{
	size_t at = add_offsets(w, TFLITE_GRAPH, 0, 3, w->n_ops);

	for (unsigned n = 0; n < w->n_ops; n++, at += 4) {
		const struct weir_tflite_op *op = &w->ops[n];
		struct field f[SLOTS];
		const int type = options(op, f), i = (int)n;

		add_child(w, at, TFLITE_OP, i,
			(struct field[SLOTS]){INT(n), OFFSET, OFFSET, BYTE(type), WHEN(type, OFFSET)});
		add_vector(w, TFLITE_OP, i, 1, op->inputs, op->n_inputs, 4, 4);
		add_vector(w, TFLITE_OP, i, 2, op->outputs, op->n_outputs, 4, 4);
		if (type)
			add_child(w, find_place(w, TFLITE_OP, i, 4)->at, TFLITE_OPTIONS, i, f);
		if (op->code == WEIR_TFLITE_RESHAPE)
			add_vector(w, TFLITE_OPTIONS, i, 0, op->new_shape, op->n_new_shape, 4, 4);
		if (op->code == WEIR_TFLITE_SQUEEZE)
			add_vector(w, TFLITE_OPTIONS, i, 0, op->squeeze_dims, op->n_squeeze_dims, 4, 4);
	}
}

static void write_buffers(struct tflite_writer *w)
{
	size_t at = add_offsets(w, TFLITE_MODEL, 0, 4, w->n_tensors + 1);

	add_child(w, at, TFLITE_BUFFER, 0, (struct field[SLOTS]){{0}});
	for (unsigned n = 0; n < w->n_tensors; n++) {
		const struct tflite_tensor *t = &w->tensors[n];
		const int i = (int)n + 1;

		add_child(w, at += 4, TFLITE_BUFFER, i,
			(struct field[SLOTS]){WHEN(t->data && !t->behind, OFFSET),
				WHEN(t->behind, LONG(0)), WHEN(t->behind, LONG(t->size))});
		if (t->data && !t->behind)
			add_vector(w, TFLITE_BUFFER, i, 0, t->data, (uint32_t)t->size, 1, 16);
	}
}

/* Values behind the flatbuffer, and their buffers' offsets. */
static void write_behind(struct tflite_writer *w)
{
	for (unsigned i = 0; i < w->n_tensors; i++) {
		uint64_t at;

		if (!w->tensors[i].behind)
			continue;
		align(w, 0, 16);
		at = w->size;
		memcpy(w->data + find_place(w, TFLITE_BUFFER, (int)i + 1, 1)->at, &at, sizeof(at));
		append(w, w->tensors[i].data, w->tensors[i].size);
	}
}

unsigned char *tflite_writer_finish(struct tflite_writer *w, size_t *size)
{
	w->size = w->n_places = 0;
	append(w, "\0\0\0\0TFL3", 8);
	add_child(w, 0, TFLITE_MODEL, 0,
		(struct field[SLOTS]){INT(3), OFFSET, OFFSET, WHEN(w->description, OFFSET), OFFSET});
	if (w->description)
		add_string(w, TFLITE_MODEL, 0, 3, w->description);
	write_codes(w);
	add_child(w, add_offsets(w, TFLITE_MODEL, 0, 2, 1), TFLITE_GRAPH, 0,
		(struct field[SLOTS]){OFFSET, OFFSET, OFFSET, OFFSET});
	add_vector(w, TFLITE_GRAPH, 0, 1, w->inputs, w->n_inputs, 4, 4);
	add_vector(w, TFLITE_GRAPH, 0, 2, w->outputs, w->n_outputs, 4, 4);
	write_tensors(w);
	write_ops(w);
	write_buffers(w);
	write_behind(w);
	*size = w->size;
	return w->data;
}

int tflite_writer_save(struct tflite_writer *w, const char *path)
{
	size_t size;
	const unsigned char *data = tflite_writer_finish(w, &size);
	FILE *file = fopen(path, "wb");
	int err = 0;

	if (!file)
		return -errno;
	if (fwrite(data, 1, size, file) != size)
		err = -EIO;
	if (fclose(file) && !err)
		err = -errno;
	return err;
}

size_t tflite_writer_field(
	const struct tflite_writer *w, enum tflite_table table, int index, unsigned slot)
{
	const struct place *p = find_place(w, table, index, slot);

	if (!p)
		abort();
	return p->at;
}

size_t tflite_writer_table(const struct tflite_writer *w, enum tflite_table table, int index)
{
	return tflite_writer_field(w, table, index, SLOTS);
}

size_t tflite_writer_target(
	const struct tflite_writer *w, enum tflite_table table, int index, unsigned slot)
{
	const size_t at = tflite_writer_field(w, table, index, slot);
	uint32_t offset;

	memcpy(&offset, w->data + at, sizeof(offset));
	return at + offset;
}
