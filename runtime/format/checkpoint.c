/* SPDX-License-Identifier: MIT */
/* Checkpoints: opened, their tensors listed by name, and rows of them read. */
#include "format/checkpoint_parts.h"

#include "quant/plane.h"

/* ---- open and close -------------------------------------------------------------------------- */

static int tensors_of_gguf(struct weir_checkpoint *c)
{
	const size_t n = weir_gguf_tensor_count(c->gguf);

	c->tensors = calloc(WEIR_MAX(n, (size_t)1), sizeof(*c->tensors));
	if (!c->tensors)
		return weir_fail(ENOMEM, "cannot read %s: no memory", weir_gguf_path(c->gguf));
	for (size_t i = 0; i < n; i++) {
		const struct weir_gguf_tensor *t = weir_gguf_tensor_at(c->gguf, i);

		c->tensors[i] = (struct weir_checkpoint_tensor){
			.name = t->name,
			.type = t->type,
			.n_dims = t->n_dims,
			.dim = {t->dim[0], t->dim[1], t->dim[2], t->dim[3]},
			.weights = t->weights,
			.data = t->data,
			.size = t->size,
			.offset = t->offset,
			.shard = t->shard,
		};
	}
	c->n_tensors = n;
	return 0;
}

static int compare_tensors(const void *a, const void *b)
{
	const struct weir_checkpoint_tensor *const *x = a, *const *y = b;

	return strcmp((*x)->name, (*y)->name);
}

static int index_tensors(struct weir_checkpoint *c)
{
	c->by_name = calloc(WEIR_MAX(c->n_tensors, (size_t)1), sizeof(*c->by_name));
	if (!c->by_name)
		return weir_fail(ENOMEM, "cannot read %s: no memory", weir_checkpoint_path(c));
	for (size_t i = 0; i < c->n_tensors; i++)
		c->by_name[i] = &c->tensors[i];
	qsort(c->by_name, c->n_tensors, sizeof(*c->by_name), compare_tensors);
	for (size_t i = 1; i < c->n_tensors; i++)
		if (!compare_tensors(&c->by_name[i - 1], &c->by_name[i]))
			return weir_fail(EINVAL, "cannot read %s: the tensor %s is there in two ways",
				weir_checkpoint_path(c), c->by_name[i]->name);
	return 0;
}

static int open_gguf(struct weir_checkpoint *c, const char *path)
{
	int err = weir_gguf_open(path, &c->gguf);

	if (!err)
		err = tensors_of_gguf(c);
	return err ? err : weir_gguf_codings(c);
}

int weir_checkpoint_open(const char *path, struct weir_checkpoint **out)
{
	struct weir_checkpoint *c = calloc(1, sizeof(*c));
	int err;

	*out = NULL;
	if (!c)
		return weir_fail(ENOMEM, "cannot read %s: no memory", path);
	err = weir_path_is_folder(path) ? weir_folder_open(c, path) : open_gguf(c, path);
	if (!err)
		err = index_tensors(c);
	if (err) {
		weir_checkpoint_close(c);
		return err;
	}
	*out = c;
	return 0;
}

void weir_checkpoint_close(struct weir_checkpoint *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < c->n_tensors && !c->gguf; i++)
		free((char *)c->tensors[i].name);
	free(c->by_name);
	free(c->tensors);
	free(c->sources);
	weir_gguf_close(c->gguf);
	weir_safetensors_close(c->folder);
	weir_json_close(&c->config);
	free(c->config_path);
	free(c->path);
	free(c);
}

/* ---- what it is ------------------------------------------------------------------------------ */

const char *weir_checkpoint_path(const struct weir_checkpoint *c)
{
	return c->gguf ? weir_gguf_path(c->gguf) : c->path;
}

uint64_t weir_checkpoint_bytes(const struct weir_checkpoint *c)
{
	return c->gguf ? weir_gguf_bytes(c->gguf) : weir_safetensors_bytes(c->folder);
}

const struct weir_gguf *weir_checkpoint_gguf(const struct weir_checkpoint *c)
{
	return c->gguf;
}

struct json_object *weir_checkpoint_config(const struct weir_checkpoint *c)
{
	return c->config.value;
}

const struct weir_json *weir_checkpoint_json(const struct weir_checkpoint *c)
{
	return &c->config;
}

size_t weir_checkpoint_tensor_count(const struct weir_checkpoint *c)
{
	return c->n_tensors;
}

const struct weir_checkpoint_tensor *weir_checkpoint_tensor_at(const struct weir_checkpoint *c, size_t i)
{
	return i < c->n_tensors ? &c->tensors[i] : NULL;
}

static int compare_tensor_name(const void *name, const void *tensor)
{
	const struct weir_checkpoint_tensor *const *t = tensor;

	return strcmp(name, (*t)->name);
}

const struct weir_checkpoint_tensor *weir_checkpoint_tensor(const struct weir_checkpoint *c, const char *name)
{
	const struct weir_checkpoint_tensor **found;

	found = bsearch(name, c->by_name, c->n_tensors, sizeof(*c->by_name), compare_tensor_name);
	return found ? *found : NULL;
}

/* ---- rows ------------------------------------------------------------------------------------ */

static int check_rows(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, size_t first_row,
	size_t n_rows)
{
	const uint64_t rows = t->weights / t->dim[0];

	if (first_row <= rows && n_rows <= rows - first_row)
		return 0;
	return weir_fail(ERANGE, "%s: the tensor %s has %llu rows, not %zu from %zu on", weir_checkpoint_path(c),
		t->name, (unsigned long long)rows, n_rows, first_row);
}

int weir_checkpoint_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t,
	size_t first_row, size_t n_rows, uint8_t *q, float *scale, uint8_t *zero)
{
	int err = check_rows(c, t, first_row, n_rows);

	if (err)
		return err;
	if (t->coding.bits)
		return c->gguf ? weir_gguf_codes(c, t, first_row, n_rows, q, scale, zero)
			       : weir_awq_codes(c, t, first_row, n_rows, q, scale, zero);
	return weir_fail(EOPNOTSUPP, "%s: the tensor %s has no codes", weir_checkpoint_path(c), t->name);
}

/* One row of a coded tensor, by way of its codes. */
static int row_of_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, size_t row,
	float *out)
{
	const size_t k = t->dim[0], groups = weir_coding_groups(&t->coding, k);
	float *scale = malloc(groups * sizeof(*scale));
	uint8_t *q = malloc(k), *zero = malloc(groups);
	int err;

	if (scale && q && zero)
		err = weir_checkpoint_codes(c, t, row, 1, q, scale, zero);
	else
		err = weir_fail(ENOMEM, "%s: no memory for a row of %s", weir_checkpoint_path(c), t->name);
	for (size_t i = 0; i < k && !err; i++) {
		const size_t g = i / t->coding.group;

		out[i] = (float)((int)q[i] - (int)zero[g]) * scale[g];
	}
	free(scale);
	free(q);
	free(zero);
	return err;
}

int weir_checkpoint_floats(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t,
	size_t first_row, size_t n_rows, float *out)
{
	int err = check_rows(c, t, first_row, n_rows);
	size_t weights, bytes;

	if (err)
		return err;
	for (size_t i = 0; t->coding.bits && i < n_rows && !err; i++)
		err = row_of_codes(c, t, first_row + i, out + i * t->dim[0]);
	if (err || t->coding.bits)
		return err;
	if (!t->data || !weir_type_block(t->type, &weights, &bytes))
		return weir_fail(EOPNOTSUPP, "%s: the tensor %s has the type %s, which Weir does not run",
			weir_checkpoint_path(c), t->name, weir_type_name(t->type));
	bytes *= t->dim[0] / weights; /* of a row */
	weir_type_to_float(t->type, (const char *)t->data + first_row * bytes, n_rows * t->dim[0], out);
	return 0;
}

void weir_checkpoint_drop(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t)
{
	const size_t i = (size_t)(t - c->tensors);
	const struct weir_folder_source *s;

	if (c->gguf) {
		weir_gguf_drop(c->gguf, weir_gguf_tensor_at(c->gguf, i));
		return;
	}
	s = &c->sources[i];
	weir_safetensors_drop(c->folder, s->data);
	if (!s->scales)
		return;
	weir_safetensors_drop(c->folder, s->zeros);
	weir_safetensors_drop(c->folder, s->scales);
}
