/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: TFLite files that stay well formed while their shapes, quantization, options, constants and
 * connections change: read, lowered and laid out, without a device. Seeds are the networks of tests/golden, written to
 * the folder that WEIR_FUZZ_SEEDS names, before the run:
 *     mkdir corpus && WEIR_FUZZ_SEEDS=corpus build/fuzz/fuzz_net -max_total_time=600 corpus
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/base.h"
#include "format/tflite_flat.h"
#include "golden.h"
#include "vision/network.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t max_size);

/* Slots of the schema's tables. */
enum { MODEL_CODES = 1, MODEL_SUBGRAPHS = 2, MODEL_BUFFERS = 4 };
enum { GRAPH_TENSORS, GRAPH_INPUTS, GRAPH_OUTPUTS, GRAPH_OPS };
enum { TENSOR_SHAPE, TENSOR_TYPE, TENSOR_BUFFER, TENSOR_NAME, TENSOR_QUANTIZATION };
enum { QUANT_SCALE = 2, QUANT_ZERO, QUANT_AXIS = 6 };
enum { OP_CODE, OP_INPUTS, OP_OUTPUTS, OP_OPTIONS_TYPE, OP_OPTIONS };

/* Where something lies that may change. */
enum kind { DIM, SCALE, ZERO, OPTION, CONSTANT, INDEX, BYTE, LENGTH, KINDS };

#define PLACES 1024

struct places {
	size_t at[KINDS][PLACES];
	unsigned n[KINDS];
	/* Constants: where the offset to a buffer's bytes lies, by tensor with a shape of its own. */
	struct constant {
		size_t offset_at, shape_at;
		uint32_t rank;
		int type;
	} constants[PLACES];
	unsigned n_constants;
};

static void add(struct places *p, enum kind kind, size_t at)
{
	if (p->n[kind] < PLACES)
		p->at[kind][p->n[kind]++] = at;
}

/* ---- looking -------------------------------------------------------------------------------------- */

/* The byte of a field, or 0. */
static size_t field_at(const struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	uint16_t offset;

	if (b->err || !t->at || slot >= t->n_slots)
		return 0;
	memcpy(&offset, b->data + t->slots + 2 * (size_t)slot, sizeof(offset));
	return offset >= 4 && offset + 4u <= t->size ? t->at + offset : 0;
}

static void add_field(struct places *p, enum kind kind, const struct weir_flat *b, const struct weir_flat_table *t,
	unsigned slot)
{
	size_t at = field_at(b, t, slot);

	if (at)
		add(p, kind, at);
}

/* A vector's elements, and its length. */
static struct weir_flat_vector add_vector(struct places *p, enum kind kind, struct weir_flat *b,
	const struct weir_flat_table *t, unsigned slot, size_t element)
{
	struct weir_flat_vector v = {0};

	if (!weir_flat_vector(b, t, slot, element, "a vector", &v) || !v.at)
		return (struct weir_flat_vector){0};
	add(p, LENGTH, v.at - 4);
	for (uint32_t i = 0; i < v.count && i < 64; i++)
		add(p, kind, v.at + i * element);
	return v;
}

static void look_tensor(struct places *p, struct weir_flat *b, const struct weir_flat_table *t,
	const struct weir_flat_vector *buffers)
{
	struct weir_flat_vector shape = add_vector(p, DIM, b, t, TENSOR_SHAPE, 4), data = {0};
	uint32_t number = weir_flat_u32(b, t, TENSOR_BUFFER);
	struct weir_flat_table quantization = {0}, buffer = {0};
	int type = weir_flat_i8(b, t, TENSOR_TYPE);

	add_field(p, BYTE, b, t, TENSOR_TYPE);
	if (weir_flat_table(b, t, TENSOR_QUANTIZATION, "quantization", &quantization) && quantization.at) {
		add_vector(p, SCALE, b, &quantization, QUANT_SCALE, 4);
		add_vector(p, ZERO, b, &quantization, QUANT_ZERO, 8);
		add_field(p, OPTION, b, &quantization, QUANT_AXIS);
	}
	if (b->err || !number || number >= buffers->count || !weir_flat_element(b, buffers, number, &buffer) ||
		!weir_flat_vector(b, &buffer, 0, 1, "data", &data) || !data.at || p->n_constants == PLACES)
		return;
	p->constants[p->n_constants++] = (struct constant){
		.offset_at = field_at(b, &buffer, 0),
		.shape_at = shape.at,
		.rank = shape.at ? shape.count : 0,
		.type = type,
	};
	for (uint32_t i = 0; type == WEIR_TFLITE_I32 && i + 4 <= data.count && i < 64; i += 4)
		add(p, CONSTANT, data.at + i);
}

static void look_op(struct places *p, struct weir_flat *b, const struct weir_flat_table *t)
{
	struct weir_flat_table options = {0};

	add_vector(p, INDEX, b, t, OP_INPUTS, 4);
	add_vector(p, INDEX, b, t, OP_OUTPUTS, 4);
	add_field(p, INDEX, b, t, OP_CODE);
	add_field(p, BYTE, b, t, OP_OPTIONS_TYPE);
	if (!weir_flat_table(b, t, OP_OPTIONS, "options", &options) || !options.at)
		return;
	for (unsigned slot = 0; slot < options.n_slots; slot++)
		add_field(p, OPTION, b, &options, slot);
}

/* False when the file is not whole any more. */
static bool look(const uint8_t *data, size_t size, struct places *p)
{
	struct weir_flat_vector graphs, tensors, ops, buffers, codes;
	struct weir_flat_table model, graph, t;
	struct weir_flat b;

	memset(p, 0, sizeof(*p));
	weir_flat_init(&b, data, size);
	if (!weir_flat_root(&b, &model) || !weir_flat_vector(&b, &model, MODEL_SUBGRAPHS, 4, "subgraphs", &graphs) ||
		!weir_flat_vector(&b, &model, MODEL_BUFFERS, 4, "buffers", &buffers) ||
		!weir_flat_vector(&b, &model, MODEL_CODES, 4, "codes", &codes) || !graphs.count ||
		!weir_flat_element(&b, &graphs, 0, &graph) ||
		!weir_flat_vector(&b, &graph, GRAPH_TENSORS, 4, "tensors", &tensors) ||
		!weir_flat_vector(&b, &graph, GRAPH_OPS, 4, "operators", &ops))
		return false;
	add_vector(p, INDEX, &b, &graph, GRAPH_INPUTS, 4);
	add_vector(p, INDEX, &b, &graph, GRAPH_OUTPUTS, 4);
	for (uint32_t i = 0; i < tensors.count && i < PLACES && weir_flat_element(&b, &tensors, i, &t); i++)
		look_tensor(p, &b, &t, &buffers);
	for (uint32_t i = 0; i < ops.count && i < PLACES && weir_flat_element(&b, &ops, i, &t); i++)
		look_op(p, &b, &t);
	for (uint32_t i = 0; i < codes.count && i < PLACES && weir_flat_element(&b, &codes, i, &t); i++) {
		for (unsigned slot = 0; slot < t.n_slots; slot++)
			add_field(p, BYTE, &b, &t, slot);
	}
	return !b.err;
}

/* ---- changing ------------------------------------------------------------------------------------- */

static uint64_t random_next(uint64_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 7;
	*x ^= *x << 17;
	return *x >> 11;
}

static int32_t some_dim(uint64_t *x)
{
	static const int32_t dims[] = {0, 1, 1, 2, 3, 4, 5, 7, 8, 13, 16, 17, 31, 33, 64, 100, 255, 256, 1000, 4097,
		65536, 1 << 20, 1 << 30, INT32_MAX, -1, INT32_MIN};

	return dims[random_next(x) % (random_next(x) % 4 ? 16 : WEIR_ARRAY_SIZE(dims))];
}

static int32_t some_int(uint64_t *x)
{
	switch (random_next(x) % 4) {
	case 0: return (int32_t)(random_next(x) % 9) - 4;
	case 1: return (int32_t)(random_next(x) % 300) - 20;
	case 2: return some_dim(x);
	default: return (int32_t)random_next(x);
	}
}

static float some_scale(uint64_t *x, float old)
{
	static const float scales[] = {0.0f, -0.0f, 1.0f, 1.0f / 256, 1e-45f, 1e-38f, 1e-20f, 1e-9f, 1e9f, 1e20f,
		3.4e38f, -1.0f, INFINITY, NAN};

	if (random_next(x) % 2)
		return scales[random_next(x) % WEIR_ARRAY_SIZE(scales)];
	return old * (float)(1 + random_next(x) % 4000) / 1000.0f;
}

static int64_t some_zero(uint64_t *x)
{
	static const int64_t zeros[] = {0, -128, 127, -129, 128, INT32_MIN, INT32_MAX, INT64_MIN, INT64_MAX};

	return random_next(x) % 2 ? zeros[random_next(x) % WEIR_ARRAY_SIZE(zeros)] : (int64_t)(random_next(x) % 256) - 128;
}

static void put_i32(uint8_t *data, size_t at, int32_t v)
{
	memcpy(data + at, &v, sizeof(v));
}

/* One place gets another value. */
static void change_one(uint8_t *data, enum kind kind, size_t at, uint64_t *x)
{
	float scale;
	int64_t zero;

	switch (kind) {
	case DIM: put_i32(data, at, some_dim(x)); break;
	case SCALE:
		scale = some_scale(x, weir_flat_get_f32(data + at));
		memcpy(data + at, &scale, sizeof(scale));
		break;
	case ZERO:
		zero = some_zero(x);
		memcpy(data + at, &zero, sizeof(zero));
		break;
	case OPTION:
		/* Flags and enums have one byte, and may stand where no int can. */
		if (at % 4 || random_next(x) % 2)
			data[at] = (uint8_t)some_int(x);
		else
			put_i32(data, at, some_int(x));
		break;
	case INDEX: put_i32(data, at, (int32_t)(random_next(x) % 12) - 1); break;
	case BYTE: data[at] = (uint8_t)random_next(x); break;
	case LENGTH: put_i32(data, at, (int32_t)(random_next(x) % 8)); break;
	default: put_i32(data, at, some_int(x));
	}
}

/* A dim of some size becomes another in all tensors: what belongs together stays together. */
static void change_dims(uint8_t *data, const struct places *p, uint64_t *x)
{
	int32_t old, new = some_dim(x);

	if (!p->n[DIM])
		return;
	old = weir_flat_get_i32(data + p->at[DIM][random_next(x) % p->n[DIM]]);
	for (unsigned i = 0; i < p->n[DIM]; i++) {
		if (weir_flat_get_i32(data + p->at[DIM][i]) == old)
			put_i32(data, p->at[DIM][i], new);
	}
}

static size_t type_size(int type)
{
	return type == WEIR_TFLITE_I8 || type == WEIR_TFLITE_U8 ? 1 : type == WEIR_TFLITE_I64 ? 8 : 4;
}

/*
 * Gives a constant as many bytes as its shape says: fewer where they lie, more at the file's end, where there is room.
 * The file's new size.
 */
static size_t refit(uint8_t *data, size_t size, size_t max_size, const struct constant *c)
{
	size_t bytes = type_size(c->type), from, to, had;

	for (uint32_t i = 0; i < c->rank; i++) {
		int32_t dim = weir_flat_get_i32(data + c->shape_at + 4 * (size_t)i);

		if (dim < 1 || !weir_size_mul(bytes, (size_t)dim, &bytes))
			return size;
	}
	if (!c->offset_at || bytes > max_size)
		return size;
	from = c->offset_at + (uint32_t)weir_flat_get_i32(data + c->offset_at);
	had = (uint32_t)weir_flat_get_i32(data + from);
	if (bytes <= had) {
		put_i32(data, from, (int32_t)bytes);
		return size;
	}
	/* The length stands 4 bytes before bytes that are aligned to 16. */
	to = ((size + 4 + 15) & ~(size_t)15) - 4;
	if (!had || to + 4 + bytes > max_size)
		return size;
	memset(data + size, 0, to - size);
	put_i32(data, to, (int32_t)bytes);
	for (size_t i = 0; i < bytes; i++)
		data[to + 4 + i] = data[from + 4 + i % had];
	put_i32(data, c->offset_at, (int32_t)(to - c->offset_at));
	return to + 4 + bytes;
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed)
{
	/* What is changed how often. */
	static const uint8_t often[] = {DIM, DIM, SCALE, SCALE, ZERO, OPTION, OPTION, OPTION, CONSTANT, CONSTANT, INDEX,
		BYTE, LENGTH};
	static struct places p;
	uint64_t x = seed * UINT64_C(0x9e3779b97f4a7c15) + 1;

	random_next(&x);
	if (random_next(&x) % 32 == 0 || !look(data, size, &p))
		return LLVMFuzzerMutate(data, size, max_size);
	for (unsigned i = 0, n = 1 + random_next(&x) % 3; i < n; i++) {
		enum kind kind = often[random_next(&x) % sizeof(often)];

		if (random_next(&x) % 3 == 0)
			change_dims(data, &p, &x);
		else if (p.n[kind])
			change_one(data, kind, p.at[kind][random_next(&x) % p.n[kind]], &x);
	}
	/* Lengths and offsets may have changed: look again. */
	if (random_next(&x) % 8 && look(data, size, &p)) {
		for (unsigned i = 0; i < p.n_constants; i++)
			size = refit(data, size, max_size, &p.constants[i]);
	}
	return size;
}

/* ---- running -------------------------------------------------------------------------------------- */

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("WEIR_FUZZ_SEEDS"), *error;
	struct golden_ops ops;
	char path[512];

	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
	error = golden_ops_read(GOLDEN_OPS, &ops);
	if (error) {
		fprintf(stderr, "%s\n", error);
		exit(1);
	}
	for (unsigned i = 0; i < ops.n; i++) {
		FILE *f;

		/* Every third of the larger kinds is enough to begin with. */
		if (ops.cases[i].model_bytes > 8192 || (i % 3 && ops.cases[i].inputs == 1))
			continue;
		snprintf(path, sizeof(path), "%s/case%u.tflite", folder, i);
		f = fopen(path, "wb");
		if (!f || fwrite(ops.cases[i].model, 1, ops.cases[i].model_bytes, f) != ops.cases[i].model_bytes)
			fprintf(stderr, "cannot write %s\n", path);
		if (f)
			fclose(f);
	}
	golden_ops_free(&ops);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const char stale[] = "of another call";
	uint64_t how = golden_hash(data, size);
	struct weir_net_settings set;
	struct weir_tflite *f;
	int err;

	weir_fail(EINVAL, "%s", stale);
	err = weir_tflite_parse(data, size, "fuzz.tflite", &f);
	if (!err) {
		weir_net_settings_default(&set);
		set.fold = how & 1;
		set.in_place = how & 2;
		set.overlay = how & 4;
		set.memory_budget = how & 8 ? WEIR_NET_LEAST : how & 16 ? how >> 16 & 0xffff : 0;
		err = weir_net_check(f, &set);
		weir_tflite_close(f);
	}
	/* Bad input has a sentence of its own. */
	if (err > 0 || (err && (!strcmp(weir_error(), stale) || !*weir_error())))
		abort();
	return 0;
}
