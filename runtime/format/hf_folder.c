/* SPDX-License-Identifier: MIT */
/* Hugging Face folders: config.json and safetensors, whose tensors get GGUF's names. */
#include "format/checkpoint_parts.h"

#define MAX_CONFIG (16 << 20)

/* ---- tensors --------------------------------------------------------------------------------- */

static bool ends_with(const char *name, const char *end)
{
	const size_t n = strlen(name), m = strlen(end);

	return n >= m && !strcmp(name + n - m, end);
}

/* A tensor of the same module, with another name behind its last dot. */
static const struct weir_safetensor *sibling(
	const struct weir_checkpoint *c, const struct weir_safetensor *t, const char *name)
{
	const char *dot = strrchr(t->name, '.');
	char text[WEIR_SAFETENSORS_NAME + 16];

	snprintf(text, sizeof(text), "%.*s.%s", dot ? (int)(dot - t->name) : 0, t->name, name);
	return weir_safetensors_find(c->folder, text);
}

static int bad(const struct weir_checkpoint *c, const struct weir_safetensor *t, int err, const char *what)
{
	return weir_fail(err, "cannot read %s: the tensor %s %s", weir_safetensors_path(c->folder, t->shard), t->name,
		what);
}

static bool type_of(enum weir_dtype type, uint32_t *out)
{
	switch (type) {
	case WEIR_DTYPE_F32:
		*out = WEIR_TYPE_F32;
		return true;
	case WEIR_DTYPE_F16:
		*out = WEIR_TYPE_F16;
		return true;
	case WEIR_DTYPE_BF16:
		*out = WEIR_TYPE_BF16;
		return true;
	default:
		return false;
	}
}

static int float_tensor(const struct weir_checkpoint *c, const struct weir_safetensor *s, struct weir_checkpoint_tensor *t)
{
	if (!type_of(s->type, &t->type))
		return weir_fail(EOPNOTSUPP, "cannot read %s: the tensor %s has the type %s: Weir runs F32, F16, BF16, "
			"and AutoAWQ's codes", weir_safetensors_path(c->folder, s->shard), s->name,
			weir_dtype_name(s->type));
	if (!s->n_dims || s->n_dims > 4 || !s->count)
		return bad(c, s, EINVAL, "has no weights, or not 1 to 4 dimensions");
	t->n_dims = s->n_dims;
	for (unsigned i = 0; i < 4; i++)
		t->dim[i] = i < s->n_dims ? s->dim[s->n_dims - 1 - i] : 1;
	t->weights = s->count;
	t->data = s->data;
	t->size = s->size;
	return 0;
}

static int coded_tensor(const struct weir_checkpoint *c, const struct weir_safetensor *s, struct weir_folder_source *source,
	struct weir_checkpoint_tensor *t)
{
	source->zeros = sibling(c, s, "qzeros");
	source->scales = sibling(c, s, "scales");
	if (!c->awq.used)
		return bad(c, s, EINVAL, "holds codes, but config.json has no quantization_config");
	if (!source->zeros || !source->scales)
		return bad(c, s, EINVAL, "has no qzeros and scales beside it");
	return weir_awq_tensor(c, source, t);
}

/* "blk.0.attn_q.weight"; a name that is none of a decoder's stays as it is, for others to refuse. */
static int name_tensor(const struct weir_checkpoint *c, const struct weir_safetensor *s, bool coded, const char **out)
{
	const char *dot = strrchr(s->name, '.');
	char stem[64], name[96];
	bool linear, known;

	known = dot && weir_hf_name(s->name, (size_t)(dot - s->name), stem, sizeof(stem), &linear);
	if (coded && !(known && linear))
		return bad(c, s, EINVAL, "holds codes of what is no linear layer of a decoder");
	if (known)
		snprintf(name, sizeof(name), "%s.%.16s", stem, coded ? "weight" : dot + 1);
	*out = strdup(known ? name : s->name);
	return *out ? 0 : weir_fail(ENOMEM, "cannot read %s: no memory for tensor names", c->path);
}

/* What goes with a qweight. */
static bool is_part(const struct weir_safetensor *s)
{
	return ends_with(s->name, ".qzeros") || ends_with(s->name, ".scales");
}

static int add_tensor(struct weir_checkpoint *c, const struct weir_safetensor *s)
{
	struct weir_checkpoint_tensor *t = &c->tensors[c->n_tensors];
	struct weir_folder_source *source = &c->sources[c->n_tensors];
	const bool coded = ends_with(s->name, ".qweight");
	int err;

	if (is_part(s))
		return bad(c, s, EINVAL, "has no qweight beside it");
	err = name_tensor(c, s, coded, &t->name);
	if (err)
		return err;
	c->n_tensors++;
	t->offset = s->offset;
	t->shard = s->shard;
	source->data = s;
	return coded ? coded_tensor(c, s, source, t) : float_tensor(c, s, t);
}

/* Scales and zero points go with their codes; frequencies of RoPE follow from config.json; a tied head is not read. */
static bool is_passed(const struct weir_checkpoint *c, const struct weir_safetensor *s, bool tied)
{
	if (is_part(s))
		return sibling(c, s, "qweight");
	return ends_with(s->name, ".rotary_emb.inv_freq") || (tied && !strncmp(s->name, "lm_head.", 8));
}

static int read_tensors(struct weir_checkpoint *c)
{
	const size_t n = weir_safetensors_count(c->folder);
	bool tied = false;
	int err = weir_json_bool(&c->config, "tie_word_embeddings", &tied);

	if (err && err != -ENOENT)
		return err;
	c->tensors = calloc(n + 1, sizeof(*c->tensors));
	c->sources = calloc(n + 1, sizeof(*c->sources));
	if (!c->tensors || !c->sources)
		return weir_fail(ENOMEM, "cannot read %s: no memory", c->path);
	err = 0;
	for (size_t i = 0; i < n && !err; i++) {
		const struct weir_safetensor *s = weir_safetensors_at(c->folder, i);

		if (!is_passed(c, s, tied))
			err = add_tensor(c, s);
	}
	return err;
}

/* A head of its own, or one that config.json says is the embedding. */
static int check_head(const struct weir_checkpoint *c)
{
	bool tied = false;

	for (size_t i = 0; i < c->n_tensors; i++)
		if (!strcmp(c->tensors[i].name, "output.weight"))
			return 0;
	if (!weir_json_bool(&c->config, "tie_word_embeddings", &tied) && tied)
		return 0;
	return weir_fail(EINVAL, "cannot read %s: the tensor lm_head.weight is missing, and tie_word_embeddings is not set in "
		"config.json", c->path);
}

/* ---- folders --------------------------------------------------------------------------------- */

static int read_config(struct weir_checkpoint *c)
{
	int err;

	if (asprintf(&c->config_path, "%s/config.json", c->path) < 0) {
		c->config_path = NULL;
		return weir_fail(ENOMEM, "cannot read %s: no memory", c->path);
	}
	err = weir_json_open(c->config_path, MAX_CONFIG, &c->config);
	if (err == -ENOENT)
		return weir_fail(ENOENT, "cannot read %s: a model's folder has config.json, this one has none", c->path);
	if (!err && !json_object_is_type(c->config.value, json_type_object))
		err = weir_json_fail(&c->config, EINVAL, "is no object");
	return err;
}

int weir_folder_open(struct weir_checkpoint *c, const char *path)
{
	int err;

	c->path = strdup(path);
	if (!c->path)
		return weir_fail(ENOMEM, "cannot read %s: no memory", path);
	err = read_config(c);
	if (!err)
		err = weir_awq_read_config(c);
	if (!err)
		err = weir_safetensors_open(path, &c->folder);
	if (!err)
		err = read_tensors(c);
	return err ? err : check_head(c);
}
