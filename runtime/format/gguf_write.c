/* SPDX-License-Identifier: MIT */
/* Composes the header of a GGUF file; the format is described in docs/gguf.md of the ggml project. */
#include "format/gguf_write.h"

#include "format/gguf_parse.h"

#define VERSION 3
#define ALIGNMENT 32 /* the format's default, so no key has to say it */

/* Bytes that grow; what goes wrong is kept by the stream until it is closed. */
struct text {
	FILE *file;
	char *data;
	size_t size;
};

struct weir_gguf_out {
	struct text keys, tensors;
	uint64_t n_keys, n_tensors;
	uint64_t *offset; /* n_tensors; in the data, until finish makes them offsets in the file */
	uint64_t data_size;
	int err; /* ENOMEM, EOVERFLOW: what the puts met */
	char *header;
};

static void put(struct text *t, const void *data, size_t size)
{
	if (size)
		fwrite(data, 1, size, t->file);
}

static void put_u32(struct text *t, uint32_t value)
{
	put(t, &value, sizeof(value));
}

static void put_u64(struct text *t, uint64_t value)
{
	put(t, &value, sizeof(value));
}

static void put_str(struct text *t, const void *data, size_t size)
{
	put_u64(t, size);
	put(t, data, size);
}

struct weir_gguf_out *weir_gguf_out_new(void)
{
	struct weir_gguf_out *w = calloc(1, sizeof(*w));

	if (w) {
		w->keys.file = open_memstream(&w->keys.data, &w->keys.size);
		w->tensors.file = open_memstream(&w->tensors.data, &w->tensors.size);
	}
	if (w && w->keys.file && w->tensors.file)
		return w;
	weir_gguf_out_free(w);
	weir_fail(ENOMEM, "no memory for the header of a GGUF file");
	return NULL;
}

static int text_close(struct text *t)
{
	int bad = 0;

	if (t->file) {
		bad = ferror(t->file);
		bad |= fclose(t->file);
	}
	t->file = NULL;
	return bad;
}

void weir_gguf_out_free(struct weir_gguf_out *w)
{
	if (!w)
		return;
	text_close(&w->keys);
	text_close(&w->tensors);
	free(w->keys.data);
	free(w->tensors.data);
	free(w->offset);
	free(w->header);
	free(w);
}

/* ---- keys ---- */

static struct text *put_key(struct weir_gguf_out *w, const char *key, size_t len, enum weir_gguf_value type)
{
	w->n_keys++;
	put_str(&w->keys, key, len);
	put_u32(&w->keys, type);
	return &w->keys;
}

void weir_gguf_put_scalar(struct weir_gguf_out *w, const char *key, enum weir_gguf_value type,
	const void *value)
{
	if (w)
		put(put_key(w, key, strlen(key), type), value, weir_gguf_value_size(type));
}

void weir_gguf_put_u32(struct weir_gguf_out *w, const char *key, uint32_t value)
{
	weir_gguf_put_scalar(w, key, WEIR_GGUF_U32, &value);
}

void weir_gguf_put_f32(struct weir_gguf_out *w, const char *key, float value)
{
	weir_gguf_put_scalar(w, key, WEIR_GGUF_F32, &value);
}

void weir_gguf_put_bool(struct weir_gguf_out *w, const char *key, bool value)
{
	const uint8_t byte = value;

	weir_gguf_put_scalar(w, key, WEIR_GGUF_BOOL, &byte);
}

void weir_gguf_put_bytes(struct weir_gguf_out *w, const char *key, const void *value, size_t len)
{
	if (w)
		put_str(put_key(w, key, strlen(key), WEIR_GGUF_STRING), value, len);
}

void weir_gguf_put_string(struct weir_gguf_out *w, const char *key, const char *value)
{
	weir_gguf_put_bytes(w, key, value, strlen(value));
}

static void begin_array(struct weir_gguf_out *w, const char *key, enum weir_gguf_value type, uint64_t count)
{
	put_u32(put_key(w, key, strlen(key), WEIR_GGUF_ARRAY), type);
	put_u64(&w->keys, count);
}

void weir_gguf_put_array(struct weir_gguf_out *w, const char *key, enum weir_gguf_value type,
	const void *values, uint64_t count)
{
	if (!w)
		return;
	begin_array(w, key, type, count);
	put(&w->keys, values, count * weir_gguf_value_size(type));
}

void weir_gguf_put_strings(struct weir_gguf_out *w, const char *key, uint64_t count)
{
	if (w)
		begin_array(w, key, WEIR_GGUF_STRING, count);
}

void weir_gguf_put_element(struct weir_gguf_out *w, const void *text, size_t len)
{
	if (w)
		put_str(&w->keys, text, len);
}

void weir_gguf_put_copy(struct weir_gguf_out *w, const struct weir_gguf *g, size_t i)
{
	const struct weir_gguf_key *key = &g->shards[0].keys[i];

	if (w)
		put(put_key(w, key->name.ptr, key->name.len, key->type), key->at, key->size);
}

/* ---- tensors ---- */

static bool tensor_bytes(uint32_t type, unsigned n_dims, const uint64_t *dim, size_t *bytes)
{
	size_t weights, size, n = 1;

	if (!weir_type_block(type, &weights, &size))
		return false;
	for (unsigned i = 0; i < n_dims; i++)
		if (!weir_size_mul(n, dim[i], &n))
			return false;
	return !(dim[0] % weights) && weir_size_mul(n / weights, size, bytes);
}

/* Offsets in the data, each aligned; the last one's end may be padded too. */
static bool place(struct weir_gguf_out *w, size_t bytes)
{
	uint64_t end;

	w->offset[w->n_tensors++] = w->data_size;
	if (__builtin_add_overflow(w->data_size, bytes, &end) || end > INT64_MAX - ALIGNMENT)
		return false;
	w->data_size = weir_align_up(end, ALIGNMENT);
	return true;
}

void weir_gguf_put_tensor(struct weir_gguf_out *w, const char *name, uint32_t type, unsigned n_dims,
	const uint64_t *dim)
{
	size_t bytes = 0;
	uint64_t *more;

	if (!w || w->err)
		return;
	more = reallocarray(w->offset, w->n_tensors + 1, sizeof(*more));
	if (!more) {
		w->err = ENOMEM;
		return;
	}
	w->offset = more;
	put_str(&w->tensors, name, strlen(name));
	put_u32(&w->tensors, n_dims);
	put(&w->tensors, dim, n_dims * sizeof(*dim));
	put_u32(&w->tensors, type);
	put_u64(&w->tensors, w->data_size);
	if (!tensor_bytes(type, n_dims, dim, &bytes) || !place(w, bytes))
		w->err = EOVERFLOW;
}

/* ---- header ---- */

/* Everything before the data, padded to its alignment. */
static int compose(struct weir_gguf_out *w, size_t *size)
{
	struct text head = {0};
	static const char zeros[ALIGNMENT];
	size_t used = 4 + sizeof(uint32_t) + 2 * sizeof(uint64_t) + w->keys.size + w->tensors.size;

	head.file = open_memstream(&head.data, &head.size);
	if (!head.file)
		return ENOMEM;
	put(&head, "GGUF", 4);
	put_u32(&head, VERSION);
	put_u64(&head, w->n_tensors);
	put_u64(&head, w->n_keys);
	put(&head, w->keys.data, w->keys.size);
	put(&head, w->tensors.data, w->tensors.size);
	put(&head, zeros, weir_align_up(used, ALIGNMENT) - used);
	if (text_close(&head)) {
		free(head.data);
		return ENOMEM;
	}
	w->header = head.data;
	*size = head.size;
	return 0;
}

int weir_gguf_out_finish(struct weir_gguf_out *w, struct weir_gguf_header *out)
{
	memset(out, 0, sizeof(*out));
	if (text_close(&w->keys) | text_close(&w->tensors))
		w->err = ENOMEM;
	if (!w->err)
		w->err = compose(w, &out->size);
	if (w->err)
		return weir_fail(w->err, w->err == ENOMEM ? "no memory for the header of a GGUF file" :
							    "a tensor is too big for a GGUF file");
	for (uint64_t i = 0; i < w->n_tensors; i++)
		w->offset[i] += out->size;
	out->data = w->header;
	out->offset = w->offset;
	out->file_size = out->size + w->data_size;
	return 0;
}
