/* SPDX-License-Identifier: MIT */
/* Loads a model: shape, words, then weights, each named tensor in its place. */
#include "format/tokenizer.h"
#include "llm/model.h"

void weir_model_settings_default(struct weir_model_settings *settings)
{
	memset(settings, 0, sizeof(*settings));
	settings->size = sizeof(*settings);
}

static int layer_reserve(weir_model *m, unsigned i)
{
	static const char *const qkv[] = {"blk.%u.attn_q.weight", "blk.%u.attn_k.weight", "blk.%u.attn_v.weight"};
	static const char *const attn_out[] = {"blk.%u.attn_output.weight"};
	static const char *const gate_up[] = {"blk.%u.ffn_gate.weight", "blk.%u.ffn_up.weight"};
	static const char *const down[] = {"blk.%u.ffn_down.weight"};
	const struct weir_params *p = &m->params;
	struct weir_layer *l = &m->layers[i];
	struct weir_weights *w = m->weights;
	size_t q = (size_t)p->heads * p->head_dim, kv = (size_t)p->kv_heads * p->head_dim;
	int err;

	if ((err = weir_weights_vector(w, &l->attn_norm, i, "blk.%u.attn_norm.weight", p->dim, true)) ||
		(err = weir_weights_linear(w, &l->qkv, i, qkv, (size_t[]){q, kv, kv}, 3, p->dim)) ||
		(err = weir_weights_linear(w, &l->attn_out, i, attn_out, (size_t[]){p->dim}, 1, q)) ||
		(err = weir_weights_vector(w, &l->ffn_norm, i, "blk.%u.ffn_norm.weight", p->dim, true)) ||
		(err = weir_weights_linear(w, &l->gate_up, i, gate_up, (size_t[]){p->ff, p->ff}, 2, p->dim)) ||
		(err = weir_weights_linear(w, &l->down, i, down, (size_t[]){p->dim}, 1, p->ff)))
		return err;
	if (!p->qk_norm)
		return 0;
	err = weir_weights_vector(w, &l->q_norm, i, "blk.%u.attn_q_norm.weight", p->head_dim, true);
	if (!err)
		err = weir_weights_vector(w, &l->k_norm, i, "blk.%u.attn_k_norm.weight", p->head_dim, true);
	return err;
}

static int model_reserve(weir_model *m, const struct weir_checkpoint *c)
{
	static const char *const embed[] = {"token_embd.weight"}, *const head[] = {"output.weight"};
	const struct weir_params *p = &m->params;
	int err;

	m->layers = calloc(p->layers, sizeof(*m->layers));
	if (!m->layers)
		return weir_fail(ENOMEM, "no memory for %u layers", p->layers);
	m->tied = !weir_checkpoint_tensor(c, "output.weight");
	err = weir_weights_linear(m->weights, &m->embed, 0, embed, (size_t[]){p->vocab}, 1, p->dim);
	for (unsigned i = 0; i < p->layers && !err; i++)
		err = layer_reserve(m, i);
	if (!err)
		err = weir_weights_vector(m->weights, &m->out_norm, 0, "output_norm.weight", p->dim, true);
	if (!err && !m->tied)
		err = weir_weights_linear(m->weights, &m->head, 0, head, (size_t[]){p->vocab}, 1, p->dim);
	return err ? err : weir_weights_all_used(m->weights);
}

/* general.name, or the folder's. */
static void model_name(char *out, size_t size, const struct weir_checkpoint *c)
{
	const struct weir_gguf *g = weir_checkpoint_gguf(c);
	const char *path = weir_checkpoint_path(c);
	size_t len = strlen(path), from;
	struct weir_str s = {path, 0};

	if (g && weir_gguf_string(g, "general.name", &s))
		return;
	if (!g) {
		while (len && path[len - 1] == '/')
			len--;
		for (from = len; from && path[from - 1] != '/';)
			from--;
		s = (struct weir_str){path + from, len - from};
	}
	snprintf(out, size, "%.*s", (int)WEIR_MIN(s.len, size - 1), s.ptr);
	for (char *at = out; *at; at++)
		if ((unsigned char)*at < ' ' || *at == 127)
			*at = ' ';
}

/* How a quantizer coded a model: "W4 g128", "W8A8"; groups of whole rows are not one number: "W4". */
static void coding_name(const struct weir_checkpoint *c, char *out, size_t size)
{
	const struct weir_coding *first = NULL;
	bool equal = true;

	for (size_t i = 0; i < weir_checkpoint_tensor_count(c); i++) {
		const struct weir_coding *coding = &weir_checkpoint_tensor_at(c, i)->coding;

		if (coding->bits && !first)
			first = coding;
		equal &= !coding->bits || coding->group == first->group;
	}
	*out = '\0';
	if (first && first->row_act)
		snprintf(out, size, "W%uA8", first->bits);
	else if (first)
		snprintf(out, size, equal ? "W%u g%u" : "W%u", first->bits, first->group);
}

/* The type that most weights have. */
static uint32_t main_type(const struct weir_checkpoint *c)
{
	uint64_t weights[64] = {0};
	uint32_t best = 0;

	for (size_t i = 0; i < weir_checkpoint_tensor_count(c); i++) {
		const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor_at(c, i);

		if (t->type < WEIR_ARRAY_SIZE(weights))
			weights[t->type] += t->weights;
	}
	for (uint32_t i = 1; i < WEIR_ARRAY_SIZE(weights); i++)
		if (weights[i] > weights[best])
			best = i;
	return best;
}

static void model_info(weir_model *m, const struct weir_checkpoint *c)
{
	const struct weir_params *p = &m->params;
	struct weir_model_info *info = &m->info;

	model_name(info->name, sizeof(info->name), c);
	snprintf(info->architecture, sizeof(info->architecture), "%s", p->arch);
	coding_name(c, info->type, sizeof(info->type));
	if (!*info->type)
		snprintf(info->type, sizeof(info->type), "%s", weir_type_name(main_type(c)));
	for (size_t i = 0; i < weir_checkpoint_tensor_count(c); i++)
		info->parameters += weir_checkpoint_tensor_at(c, i)->weights;
	info->file_bytes = weir_checkpoint_bytes(c);
	info->weight_bytes = weir_weights_bytes(m->weights);
	info->layers = (int32_t)p->layers;
	info->embedding = (int32_t)p->dim;
	info->feed_forward = (int32_t)p->ff;
	info->heads = (int32_t)p->heads;
	info->kv_heads = (int32_t)p->kv_heads;
	info->head_dim = (int32_t)p->head_dim;
	info->vocabulary = (int32_t)p->vocab;
	info->context = (int32_t)p->context;
}

static int model_words(weir_model *m, const struct weir_checkpoint *c)
{
	const struct weir_gguf *g = weir_checkpoint_gguf(c);
	int err = g ? weir_tokenizer_from_gguf(g, &m->tokenizer)
		    : weir_tokenizer_from_json(weir_checkpoint_path(c), &m->tokenizer);

	if (err == -ENOENT) /* weights alone, for benchmarks */
		return 0;
	if (!err && (uint32_t)weir_token_count(m->tokenizer) > m->params.vocab)
		err = weir_fail(EINVAL, "cannot load %s: it has %d tokens and embeddings for %u",
			weir_checkpoint_path(c), weir_token_count(m->tokenizer), m->params.vocab);
	return err;
}

int weir_model_load(weir_model **out, weir_device *dev, const char *path,
	const struct weir_model_settings *settings)
{
	struct weir_model_settings defaults;
	struct weir_checkpoint *c = NULL;
	weir_model *m = NULL;
	int err;

	if (!settings) {
		weir_model_settings_default(&defaults);
		settings = &defaults;
	}
	err = weir_checkpoint_open(path, &c);
	if (err)
		return err;
	m = calloc(1, sizeof(*m));
	if (!m) {
		err = weir_fail(ENOMEM, "no memory for a model");
		goto error;
	}
	m->dev = dev;
	if ((err = weir_params_read(c, &m->params)) || (err = model_words(m, c)) ||
		(err = weir_weights_create(dev, c, &m->weights)) || (err = model_reserve(m, c)))
		goto error;
	err = weir_params_fingerprint(c, &m->fingerprint);
	if (!err)
		err = weir_weights_load(m->weights, settings->progress, settings->user);
	if (err)
		goto error;
	model_info(m, c);
	weir_checkpoint_close(c);
	*out = m;
	return 0;
error:
	weir_model_close(m);
	weir_checkpoint_close(c);
	return err;
}

void weir_model_close(weir_model *m)
{
	if (!m)
		return;
	weir_weights_destroy(m->weights);
	weir_tokenizer_close(m->tokenizer);
	free(m->layers);
	free(m);
}

void weir_model_describe(const weir_model *m, struct weir_model_info *out)
{
	*out = m->info;
}

const weir_tokenizer *weir_model_tokenizer(const weir_model *m)
{
	return m->tokenizer;
}
