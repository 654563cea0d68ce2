/* SPDX-License-Identifier: MIT */
/* weir_file_*: a model file's metadata and tensors for programs that list them. */
#include "weir/llm.h"

#include "format/gguf_parse.h"

struct weir_file {
	struct weir_gguf *gguf;
	char format[48];
};

int weir_file_open(weir_file **out, const char *path)
{
	weir_file *f = calloc(1, sizeof(*f));
	unsigned shards;
	int err;

	*out = NULL;
	if (!f)
		return weir_fail(ENOMEM, "cannot read %s: no memory", path);
	err = weir_gguf_open(path, &f->gguf);
	if (err) {
		free(f);
		return err;
	}
	shards = weir_gguf_shards(f->gguf);
	if (shards == 1)
		snprintf(f->format, sizeof(f->format), "GGUF v%u", weir_gguf_version(f->gguf));
	else
		snprintf(f->format, sizeof(f->format), "GGUF v%u, %u shards",
			weir_gguf_version(f->gguf), shards);
	*out = f;
	return 0;
}

void weir_file_close(weir_file *f)
{
	if (!f)
		return;
	weir_gguf_close(f->gguf);
	free(f);
}

const char *weir_file_format(const weir_file *f)
{
	return f->format;
}

uint64_t weir_file_bytes(const weir_file *f)
{
	return weir_gguf_bytes(f->gguf);
}

size_t weir_file_meta_count(const weir_file *f)
{
	return weir_gguf_meta_count(f->gguf);
}

int weir_file_meta(const weir_file *f, size_t i, char *key, size_t key_size, const char **type,
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

size_t weir_file_tensor_count(const weir_file *f)
{
	return weir_gguf_tensor_count(f->gguf);
}

int weir_file_tensor(const weir_file *f, size_t i, struct weir_file_tensor *out)
{
	const struct weir_gguf_tensor *t = weir_gguf_tensor_at(f->gguf, i);

	if (!t)
		return weir_fail(ERANGE, "%s has %zu tensors, no number %zu",
			weir_gguf_path(f->gguf), weir_gguf_tensor_count(f->gguf), i);
	*out = (struct weir_file_tensor){
		.name = t->name,
		.type = weir_type_name(t->type),
		.n_dims = t->n_dims,
		.dim = {t->dim[0], t->dim[1], t->dim[2], t->dim[3]},
		.bytes = t->size,
		.offset = t->offset,
		.shard = t->shard,
	};
	return 0;
}
