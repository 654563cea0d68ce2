/* SPDX-License-Identifier: MIT */
/* Writes GGUF files for tests; the format is described in docs/gguf.md of the ggml project. */
#include "gguf_writer.h"

#include "base/base.h"

struct bytes {
	unsigned char *data;
	size_t size, room;
};

struct gguf_writer {
	uint32_t version, alignment;
	uint64_t n_keys, n_tensors;
	struct bytes keys, tensors, data, file;
};

/* ---- growing bytes --------------------------------------------------------------------------- */

/* data may be NULL: zeros. */
static void append(struct bytes *b, const void *data, size_t size)
{
	while (b->room - b->size < size) {
		b->room = b->room ? b->room * 2 : 1024;
		b->data = realloc(b->data, b->room);
		if (!b->data)
			abort();
	}
	if (!size)
		return;
	if (data)
		memcpy(b->data + b->size, data, size);
	else
		memset(b->data + b->size, 0, size);
	b->size += size;
}

static void append_u32(struct bytes *b, uint32_t value)
{
	append(b, &value, sizeof(value));
}

static void append_u64(struct bytes *b, uint64_t value)
{
	append(b, &value, sizeof(value));
}

static void append_string(struct bytes *b, const void *data, size_t size)
{
	append_u64(b, size);
	append(b, data, size);
}

static void pad(struct bytes *b, size_t alignment)
{
	append(b, NULL, weir_align_up(b->size, alignment) - b->size);
}

/* ---- metadata -------------------------------------------------------------------------------- */

struct gguf_writer *gguf_writer_new(uint32_t version)
{
	struct gguf_writer *w = calloc(1, sizeof(*w));

	if (!w)
		abort();
	w->version = version;
	w->alignment = 32; /* the format's default */
	return w;
}

void gguf_writer_free(struct gguf_writer *w)
{
	if (!w)
		return;
	free(w->keys.data);
	free(w->tensors.data);
	free(w->data.data);
	free(w->file.data);
	free(w);
}

void gguf_writer_raw(struct gguf_writer *w, const void *key, size_t key_len, uint32_t type,
	const void *value, size_t size)
{
	append_string(&w->keys, key, key_len);
	append_u32(&w->keys, type);
	append(&w->keys, value, size);
	w->n_keys++;
}

static size_t scalar_size(enum weir_gguf_value type)
{
	switch (type) {
	case WEIR_GGUF_U8:
	case WEIR_GGUF_I8:
	case WEIR_GGUF_BOOL:
		return 1;
	case WEIR_GGUF_U16:
	case WEIR_GGUF_I16:
		return 2;
	case WEIR_GGUF_U32:
	case WEIR_GGUF_I32:
	case WEIR_GGUF_F32:
		return 4;
	case WEIR_GGUF_U64:
	case WEIR_GGUF_I64:
	case WEIR_GGUF_F64:
		return 8;
	case WEIR_GGUF_STRING:
	case WEIR_GGUF_ARRAY:
		break;
	}
	abort();
}

void gguf_writer_scalar(
	struct gguf_writer *w, const char *key, enum weir_gguf_value type, const void *value)
{
	gguf_writer_raw(w, key, strlen(key), type, value, scalar_size(type));
}

void gguf_writer_u32(struct gguf_writer *w, const char *key, uint32_t value)
{
	gguf_writer_scalar(w, key, WEIR_GGUF_U32, &value);
}

void gguf_writer_f32(struct gguf_writer *w, const char *key, float value)
{
	gguf_writer_scalar(w, key, WEIR_GGUF_F32, &value);
}

void gguf_writer_bool(struct gguf_writer *w, const char *key, bool value)
{
	const uint8_t byte = value;

	gguf_writer_scalar(w, key, WEIR_GGUF_BOOL, &byte);
}

void gguf_writer_bytes(struct gguf_writer *w, const char *key, const void *value, size_t len)
{
	gguf_writer_raw(w, key, strlen(key), WEIR_GGUF_STRING, NULL, 0);
	append_string(&w->keys, value, len);
}

void gguf_writer_string(struct gguf_writer *w, const char *key, const char *value)
{
	gguf_writer_bytes(w, key, value, strlen(value));
}

static void begin_array(
	struct gguf_writer *w, const char *key, enum weir_gguf_value type, uint64_t count)
{
	gguf_writer_raw(w, key, strlen(key), WEIR_GGUF_ARRAY, NULL, 0);
	append_u32(&w->keys, type);
	append_u64(&w->keys, count);
}

void gguf_writer_array(struct gguf_writer *w, const char *key, enum weir_gguf_value type,
	const void *value, uint64_t count)
{
	begin_array(w, key, type, count);
	append(&w->keys, value, count * scalar_size(type));
}

void gguf_writer_strings(
	struct gguf_writer *w, const char *key, const char *const *strings, uint64_t count)
{
	begin_array(w, key, WEIR_GGUF_STRING, count);
	for (uint64_t i = 0; i < count; i++)
		append_string(&w->keys, strings[i], strlen(strings[i]));
}

void gguf_writer_alignment(struct gguf_writer *w, uint32_t alignment)
{
	gguf_writer_u32(w, "general.alignment", alignment);
	w->alignment = alignment;
}

/* ---- tensors --------------------------------------------------------------------------------- */

uint64_t gguf_writer_data(struct gguf_writer *w, const void *data, size_t size)
{
	uint64_t offset;

	pad(&w->data, w->alignment);
	offset = w->data.size;
	append(&w->data, data, size);
	return offset;
}

void gguf_writer_describe(struct gguf_writer *w, const void *name, size_t name_len, uint32_t n_dims,
	const uint64_t *dim, uint32_t type, uint64_t offset)
{
	append_string(&w->tensors, name, name_len);
	append_u32(&w->tensors, n_dims);
	append(&w->tensors, dim, n_dims * sizeof(*dim));
	append_u32(&w->tensors, type);
	append_u64(&w->tensors, offset);
	w->n_tensors++;
}

void gguf_writer_tensor(struct gguf_writer *w, const char *name, uint32_t type, unsigned n_dims,
	const uint64_t *dim, const void *data)
{
	size_t weights, bytes, n = 1;

	if (!weir_type_block(type, &weights, &bytes))
		abort();
	for (unsigned i = 0; i < n_dims; i++)
		n *= dim[i];
	gguf_writer_describe(w, name, strlen(name), n_dims, dim, type,
		gguf_writer_data(w, data, n / weights * bytes));
}

/* ---- file ------------------------------------------------------------------------------------ */

const void *gguf_writer_finish(struct gguf_writer *w, size_t *size)
{
	struct bytes *f = &w->file;

	f->size = 0;
	append(f, "GGUF", 4);
	append_u32(f, w->version);
	append_u64(f, w->n_tensors);
	append_u64(f, w->n_keys);
	append(f, w->keys.data, w->keys.size);
	append(f, w->tensors.data, w->tensors.size);
	if (w->data.size) {
		pad(f, w->alignment);
		append(f, w->data.data, w->data.size);
	}
	*size = f->size;
	return f->data;
}

int gguf_writer_save(struct gguf_writer *w, const char *path)
{
	FILE *file = fopen(path, "wbe");
	size_t size;
	const void *data = gguf_writer_finish(w, &size);
	int err = 0;

	if (!file)
		return -errno;
	if (fwrite(data, 1, size, file) != size)
		err = -EIO;
	if (fclose(file) && !err)
		err = -errno;
	return err;
}

/* ---- a sample -------------------------------------------------------------------------------- */

struct gguf_writer *gguf_writer_sample(uint32_t version)
{
	static const char *const words[] = {"<unk>", "", "two\nlines", "\xe2\x82\xac"};
	struct gguf_writer *w = gguf_writer_new(version);
	float floats[64 * 3];

	for (int i = 0; i < 64 * 3; i++)
		floats[i] = (float)i / 4;
	gguf_writer_string(w, "general.architecture", "llama");
	gguf_writer_scalar(w, "u8", WEIR_GGUF_U8, &(uint8_t){200});
	gguf_writer_scalar(w, "i8", WEIR_GGUF_I8, &(int8_t){-3});
	gguf_writer_scalar(w, "u16", WEIR_GGUF_U16, &(uint16_t){60000});
	gguf_writer_scalar(w, "i16", WEIR_GGUF_I16, &(int16_t){1234});
	gguf_writer_u32(w, "u32", 4000000000);
	gguf_writer_scalar(w, "i32", WEIR_GGUF_I32, &(int32_t){-70000});
	gguf_writer_f32(w, "f32", 1e-5f);
	gguf_writer_bool(w, "yes", true);
	gguf_writer_bool(w, "no", false);
	gguf_writer_scalar(w, "u64", WEIR_GGUF_U64, &(uint64_t){UINT64_MAX});
	gguf_writer_scalar(w, "i64", WEIR_GGUF_I64, &(int64_t){INT64_MIN});
	gguf_writer_scalar(w, "f64", WEIR_GGUF_F64, &(double){0.1});
	gguf_writer_scalar(w, "huge", WEIR_GGUF_F64, &(double){1e300});
	gguf_writer_bytes(w, "bytes", "a\0b\xff\x1b[1m", 8);
	gguf_writer_strings(w, "words", words, 4);
	gguf_writer_array(w, "scores", WEIR_GGUF_F32, floats, 40);
	gguf_writer_array(w, "flags", WEIR_GGUF_BOOL, (uint8_t[]){1, 0, 1}, 3);
	gguf_writer_array(w, "nothing", WEIR_GGUF_I32, NULL, 0);
	gguf_writer_strings(w, "no.words", NULL, 0);
	gguf_writer_tensor(w, "a.weight", WEIR_TYPE_F32, 2, (uint64_t[]){64, 3}, floats);
	gguf_writer_tensor(w, "b.weight", WEIR_TYPE_Q4_K, 2, (uint64_t[]){256, 2}, NULL);
	gguf_writer_describe(
		w, "c.odd", 5, 1, (uint64_t[]){256}, 17, gguf_writer_data(w, NULL, 74));
	gguf_writer_tensor(w, "d.bias", WEIR_TYPE_F16, 1, (uint64_t[]){7}, NULL);
	return w;
}
