/* SPDX-License-Identifier: MIT */
/* weir_file_*: a model file's metadata and tensors for programs that list them. */
#include "format/file_folder.h"

#include <stdarg.h>

#include "format/gguf_parse.h"
#include "format/tflite.h"

_Static_assert(WEIR_FILE_DIMS >= WEIR_TFLITE_DIMS, "tensors of a TFLite file fit in a listing");

/* What a format has to say; a tensor's number is in range. */
struct format {
	const char *(*path)(const weir_file *f);
	uint64_t (*bytes)(const weir_file *f);
	size_t (*meta_count)(const weir_file *f);
	int (*meta)(const weir_file *f, size_t i, char *key, size_t key_size, const char **type, char *value,
		size_t value_size);
	size_t (*tensor_count)(const weir_file *f);
	void (*tensor)(const weir_file *f, size_t i, struct weir_file_tensor *out);
};

struct weir_file {
	const struct format *of;
	struct weir_gguf *gguf; /* the file is one of the three */
	struct weir_tflite *tflite;
	struct weir_folder *folder;
	char format[48];
	char (*types)[16]; /* by tensor of a TFLite file: names of types that are numbers do not live long
			    */
};

/* ---- GGUF ------------------------------------------------------------------------------------ */

static const char *path_gguf(const weir_file *f)
{
	return weir_gguf_path(f->gguf);
}

static uint64_t bytes_gguf(const weir_file *f)
{
	return weir_gguf_bytes(f->gguf);
}

static size_t meta_count_gguf(const weir_file *f)
{
	return weir_gguf_meta_count(f->gguf);
}

static int meta_gguf(const weir_file *f, size_t i, char *key, size_t key_size, const char **type,
	char *value, size_t value_size)
{
	enum weir_gguf_value number;
	struct weir_str name;
	int err = weir_gguf_meta(f->gguf, i, &name, &number);

	if (err)
		return err;
	/* Keys have no zero bytes: the reader refuses them. */
	snprintf(key, key_size, "%.*s", (int)name.len, name.ptr);
	*type = weir_gguf_value_name(number);
	weir_gguf_meta_text(f->gguf, i, value, value_size);
	return 0;
}

static size_t tensor_count_gguf(const weir_file *f)
{
	return weir_gguf_tensor_count(f->gguf);
}

static void tensor_gguf(const weir_file *f, size_t i, struct weir_file_tensor *out)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor_at(f->gguf, i);

	*out = (struct weir_file_tensor){
		.name = t->name,
		.type = weir_type_name(t->type),
		.n_dims = t->n_dims,
		.dim = {t->dim[0], t->dim[1], t->dim[2], t->dim[3], 1, 1},
		.bytes = t->size,
		.offset = t->offset,
		.shard = t->shard,
	};
}

static const struct format gguf = {path_gguf, bytes_gguf, meta_count_gguf, meta_gguf, tensor_count_gguf, tensor_gguf};

/* ---- TFLite ---------------------------------------------------------------------------------- */

static const char *path_tflite(const weir_file *f)
{
	return f->tflite->path;
}

static uint64_t bytes_tflite(const weir_file *f)
{
	return f->tflite->bytes;
}

/* A text that is cut where its room ends. */
struct text {
	char *to;
	size_t size, len;
};

static void append(struct text *t, const char *fmt, ...) WEIR_PRINTF(2, 3);
static void append(struct text *t, const char *fmt, ...)
{
	va_list args;
	int n;

	va_start(args, fmt);
	n = vsnprintf(t->to + t->len, t->size - t->len, fmt, args);
	va_end(args);
	if (n > 0)
		t->len = WEIR_MIN(t->len + (size_t)n, t->size - 1);
}

static void tflite_description(const struct weir_tflite *f, struct text *t)
{
	append(t, "%s", f->description);
}

/* "31: 14 CONV_2D, 1 SOFTMAX", in the order in which they first come. */
static void tflite_operators(const struct weir_tflite *f, struct text *t)
{
	bool *counted = calloc(f->n_ops, sizeof(*counted));

	append(t, "%u", f->n_ops);
	for (unsigned i = 0; counted && i < f->n_ops && t->len + 1 < t->size; i++) {
		const struct weir_tflite_op *op = &f->ops[i];
		unsigned n = 0;

		if (counted[i])
			continue;
		for (unsigned j = i; j < f->n_ops; j++) {
			if (f->ops[j].code == op->code && !strcmp(f->ops[j].custom, op->custom)) {
				counted[j] = true;
				n++;
			}
		}
		append(t, "%s %u %s%s%s", i ? "," : ":", n, weir_tflite_code_name(op->code),
			*op->custom ? " " : "", op->custom);
	}
	free(counted);
}

/* "input INT8 [1, 96, 96, 1] scale 0.0078 zero -1; ..." */
static void tflite_ends(const struct weir_tflite *f, struct text *t, const int32_t *ends, unsigned n)
{
	for (unsigned i = 0; i < n && t->len + 1 < t->size; i++) {
		const struct weir_tflite_tensor *tensor = &f->tensors[ends[i]];

		append(t, "%s%s %s [", i ? "; " : "", tensor->name, weir_tflite_type_name(tensor->type));
		for (unsigned d = 0; d < tensor->n_dims; d++)
			append(t, "%s%d", d ? ", " : "", tensor->dim[d]);
		append(t, "]");
		if (tensor->n_scales)
			append(t, " scale %.9g zero %d", (double)weir_tflite_scale(tensor, 0),
				weir_tflite_zero(tensor, 0));
	}
}

static void tflite_inputs(const struct weir_tflite *f, struct text *t)
{
	tflite_ends(f, t, f->inputs, f->n_inputs);
}

static void tflite_outputs(const struct weir_tflite *f, struct text *t)
{
	tflite_ends(f, t, f->outputs, f->n_outputs);
}

/* What there is to say of a TFLite file, in words of our own: the format has no keys. */
static const struct {
	const char *key;
	void (*write)(const struct weir_tflite *f, struct text *t);
} tflite_keys[] = {
	{"description", tflite_description},
	{"operators", tflite_operators},
	{"inputs", tflite_inputs},
	{"outputs", tflite_outputs},
};

static size_t meta_count_tflite(const weir_file *f)
{
	(void)f;
	return WEIR_ARRAY_SIZE(tflite_keys);
}

static int meta_tflite(const weir_file *f, size_t i, char *key, size_t key_size, const char **type,
	char *value, size_t value_size)
{
	struct text t = {.to = value, .size = value_size};

	if (i >= WEIR_ARRAY_SIZE(tflite_keys))
		return weir_fail(ERANGE, "%s has %zu keys, no number %zu", f->tflite->path,
			WEIR_ARRAY_SIZE(tflite_keys), i);
	snprintf(key, key_size, "%s", tflite_keys[i].key);
	*type = "string";
	if (!value_size)
		return 0;
	*value = '\0';
	tflite_keys[i].write(f->tflite, &t);
	return 0;
}

static size_t tensor_count_tflite(const weir_file *f)
{
	return f->tflite->n_tensors;
}

static void tensor_tflite(const weir_file *f, size_t i, struct weir_file_tensor *out)
{
	const struct weir_tflite_tensor *t = &f->tflite->tensors[i];

	*out = (struct weir_file_tensor){
		.name = t->name,
		.type = f->types[i],
		.n_dims = t->n_dims,
		.bytes = t->bytes,
		.offset = t->data ? (uint64_t)(t->data - f->tflite->data) : 0,
	};
	for (unsigned d = 0; d < WEIR_FILE_DIMS; d++)
		out->dim[d] = d < t->n_dims ? (uint64_t)t->dim[d] : 1;
}

static const struct format tflite = {
	path_tflite, bytes_tflite, meta_count_tflite, meta_tflite, tensor_count_tflite, tensor_tflite};

/* ---- folders --------------------------------------------------------------------------------- */

static const char *path_folder(const weir_file *f)
{
	return f->folder->path;
}

static uint64_t bytes_folder(const weir_file *f)
{
	return weir_safetensors_bytes(f->folder->tensors);
}

static size_t meta_count_folder(const weir_file *f)
{
	return f->folder->n_keys;
}

static int meta_folder(const weir_file *f, size_t i, char *key, size_t key_size, const char **type, char *value,
	size_t value_size)
{
	return weir_folder_meta(f->folder, i, key, key_size, type, value, value_size);
}

static size_t tensor_count_folder(const weir_file *f)
{
	return weir_safetensors_count(f->folder->tensors);
}

static void tensor_folder(const weir_file *f, size_t i, struct weir_file_tensor *out)
{
	const struct weir_safetensor *t = weir_safetensors_at(f->folder->tensors, i);

	*out = (struct weir_file_tensor){
		.name = t->name,
		.type = weir_dtype_name(t->type),
		.n_dims = t->n_dims,
		.bytes = t->size,
		.offset = t->offset,
		.shard = t->shard,
	};
	for (unsigned d = 0; d < WEIR_FILE_DIMS; d++)
		out->dim[d] = t->dim[d];
}

static const struct format folder = {
	path_folder, bytes_folder, meta_count_folder, meta_folder, tensor_count_folder, tensor_folder};

/* ---- opening --------------------------------------------------------------------------------- */

static int open_gguf(weir_file *f, const char *path)
{
	unsigned shards;
	int err = weir_gguf_open(path, &f->gguf);

	f->of = &gguf;
	if (err)
		return err;
	shards = weir_gguf_shards(f->gguf);
	if (shards == 1)
		snprintf(f->format, sizeof(f->format), "GGUF v%u", weir_gguf_version(f->gguf));
	else
		snprintf(f->format, sizeof(f->format), "GGUF v%u, %u shards", weir_gguf_version(f->gguf),
			shards);
	return 0;
}

static int open_tflite(weir_file *f, const char *path)
{
	int err = weir_tflite_open(path, &f->tflite);

	f->of = &tflite;
	if (err)
		return err;
	snprintf(f->format, sizeof(f->format), "TFLite v3");
	f->types = calloc(f->tflite->n_tensors, sizeof(*f->types));
	if (!f->types)
		return weir_fail(ENOMEM, "%s: no memory for %u tensors", path, f->tflite->n_tensors);
	for (unsigned i = 0; i < f->tflite->n_tensors; i++)
		snprintf(f->types[i], sizeof(f->types[i]), "%s",
			weir_tflite_type_name(f->tflite->tensors[i].type));
	return 0;
}

static int open_folder(weir_file *f, const char *path)
{
	unsigned shards;
	int err = weir_folder_list(path, &f->folder);

	f->of = &folder;
	if (err)
		return err;
	shards = weir_safetensors_shards(f->folder->tensors);
	if (shards == 1)
		snprintf(f->format, sizeof(f->format), "safetensors");
	else
		snprintf(f->format, sizeof(f->format), "safetensors, %u shards", shards);
	return 0;
}

static int open_any(weir_file *f, const char *path)
{
	if (weir_path_is_folder(path))
		return open_folder(f, path);
	return weir_tflite_is(path) ? open_tflite(f, path) : open_gguf(f, path);
}

int weir_file_open(weir_file **out, const char *path)
{
	weir_file *f = calloc(1, sizeof(*f));
	int err;

	*out = NULL;
	if (!f)
		return weir_fail(ENOMEM, "cannot read %s: no memory", path);
	err = open_any(f, path);
	if (err) {
		weir_file_close(f);
		return err;
	}
	*out = f;
	return 0;
}

void weir_file_close(weir_file *f)
{
	if (!f)
		return;
	weir_gguf_close(f->gguf);
	weir_tflite_close(f->tflite);
	weir_folder_unlist(f->folder);
	free(f->types);
	free(f);
}

const char *weir_file_format(const weir_file *f)
{
	return f->format;
}

/* ---- listing --------------------------------------------------------------------------------- */

uint64_t weir_file_bytes(const weir_file *f)
{
	return f->of->bytes(f);
}

size_t weir_file_meta_count(const weir_file *f)
{
	return f->of->meta_count(f);
}

int weir_file_meta(const weir_file *f, size_t i, char *key, size_t key_size, const char **type,
	char *value, size_t value_size)
{
	return f->of->meta(f, i, key, key_size, type, value, value_size);
}

size_t weir_file_tensor_count(const weir_file *f)
{
	return f->of->tensor_count(f);
}

int weir_file_tensor(const weir_file *f, size_t i, struct weir_file_tensor *out)
{
	const size_t count = weir_file_tensor_count(f);

	if (i >= count)
		return weir_fail(ERANGE, "%s has %zu tensors, no number %zu", f->of->path(f), count, i);
	f->of->tensor(f, i, out);
	return 0;
}
