/* SPDX-License-Identifier: MIT */
/* Composes the header of a safetensors file, as the README of the safetensors project describes it. */
#include "format/safetensors_write.h"

#include <json-c/json.h>

#define ALIGNMENT 64
#define LENGTH 8 /* bytes of the number in front */

struct weir_safetensors_out {
	struct json_object *root;
	uint64_t *offset;
	size_t n;
	uint64_t data_size;
	int err;
	char *header;
};

/* Takes value over, also on failure. */
static bool add(struct json_object *to, const char *key, struct json_object *value)
{
	if (value && !json_object_object_add(to, key, value))
		return true;
	json_object_put(value);
	return false;
}

struct weir_safetensors_out *weir_safetensors_out_new(void)
{
	struct weir_safetensors_out *w = calloc(1, sizeof(*w));
	struct json_object *meta = json_object_new_object();

	if (w)
		w->root = json_object_new_object();
	/* The key that transformers wants: which framework's tensors these are. */
	if (w && w->root && meta && add(meta, "format", json_object_new_string("pt"))) {
		if (add(w->root, "__metadata__", meta))
			return w;
		meta = NULL;
	}
	json_object_put(meta);
	weir_safetensors_out_free(w);
	weir_fail(ENOMEM, "no memory for the header of a safetensors file");
	return NULL;
}

void weir_safetensors_out_free(struct weir_safetensors_out *w)
{
	if (!w)
		return;
	json_object_put(w->root);
	free(w->offset);
	free(w->header);
	free(w);
}

static struct json_object *numbers(const uint64_t *values, unsigned n)
{
	struct json_object *list = json_object_new_array();

	for (unsigned i = 0; list && i < n; i++) {
		struct json_object *number = json_object_new_uint64(values[i]);

		if (number && !json_object_array_add(list, number))
			continue;
		json_object_put(number);
		json_object_put(list);
		list = NULL;
	}
	return list;
}

static bool describe(struct weir_safetensors_out *w, const char *name, enum weir_dtype type,
	unsigned n_dims, const uint64_t *dim, uint64_t end)
{
	struct json_object *t = json_object_new_object();

	if (t && add(t, "dtype", json_object_new_string(weir_dtype_name(type))) &&
		add(t, "shape", numbers(dim, n_dims)) &&
		add(t, "data_offsets", numbers((const uint64_t[]){w->data_size, end}, 2)))
		return add(w->root, name, t);
	json_object_put(t);
	return false;
}

void weir_safetensors_put(struct weir_safetensors_out *w, const char *name, enum weir_dtype type,
	unsigned n_dims, const uint64_t *dim)
{
	uint64_t *more, end = weir_dtype_size(type);

	if (!w || w->err)
		return;
	for (unsigned i = 0; i < n_dims; i++)
		if (__builtin_mul_overflow(end, dim[i], &end))
			w->err = EOVERFLOW;
	if (w->err || __builtin_add_overflow(end, w->data_size, &end) || end > INT64_MAX / 2) {
		w->err = EOVERFLOW;
		return;
	}
	more = reallocarray(w->offset, w->n + 1, sizeof(*more));
	if (more)
		w->offset = more;
	if (!more || !describe(w, name, type, n_dims, dim, end)) {
		w->err = ENOMEM;
		return;
	}
	w->offset[w->n++] = w->data_size;
	w->data_size = end;
}

int weir_safetensors_out_finish(struct weir_safetensors_out *w, struct weir_safetensors_header *out)
{
	const char *text = NULL;
	size_t len = 0;
	uint64_t size;

	memset(out, 0, sizeof(*out));
	if (!w->err)
		text = json_object_to_json_string_length(w->root, JSON_C_TO_STRING_NOSLASHESCAPE, &len);
	if (text) {
		out->size = weir_align_up(LENGTH + len, ALIGNMENT);
		w->header = malloc(out->size);
	}
	if (!w->header)
		return w->err == EOVERFLOW ? weir_fail(EOVERFLOW, "a tensor is too big for a safetensors file") :
					     weir_fail(ENOMEM, "no memory for the header of a safetensors file");
	size = out->size - LENGTH;
	memcpy(w->header, &size, LENGTH);
	memcpy(w->header + LENGTH, text, len);
	memset(w->header + LENGTH + len, ' ', size - len);
	for (size_t i = 0; i < w->n; i++)
		w->offset[i] += out->size;
	out->data = w->header;
	out->offset = w->offset;
	out->file_size = out->size + w->data_size;
	return 0;
}
