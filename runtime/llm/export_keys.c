/* SPDX-License-Identifier: MIT */
/* The keys that a GGUF file needs to be loaded by llama.cpp, for a model that came as a folder. */
#include "llm/export_parts.h"

static void put_u32(const struct weir_export *x, struct weir_gguf_out *w, const char *name, uint32_t value)
{
	char key[96];

	snprintf(key, sizeof(key), "%s.%s", x->params->arch, name);
	weir_gguf_put_u32(w, key, value);
}

static void put_f32(const struct weir_export *x, struct weir_gguf_out *w, const char *name, float value)
{
	char key[96];

	snprintf(key, sizeof(key), "%s.%s", x->params->arch, name);
	weir_gguf_put_f32(w, key, value);
}

/* The folder's own name. */
static void put_name(const struct weir_export *x, struct weir_gguf_out *w)
{
	const char *path = weir_checkpoint_path(x->in);
	size_t end = strlen(path), begin;

	while (end && path[end - 1] == '/')
		end--;
	for (begin = end; begin && path[begin - 1] != '/';)
		begin--;
	weir_gguf_put_bytes(w, "general.name", path + begin, end - begin);
}

/* Factors of their own for each pair come as a tensor. */
static void put_rope(const struct weir_export *x, struct weir_gguf_out *w)
{
	struct weir_export_rope rope;
	char key[96];

	weir_export_rope_of(x->params, &rope);
	put_u32(x, w, "rope.dimension_count", x->params->n_rot);
	put_f32(x, w, "rope.freq_base", (float)rope.base);
	if (!rope.even || rope.factor == 1)
		return;
	snprintf(key, sizeof(key), "%s.rope.scaling.type", x->params->arch);
	weir_gguf_put_string(w, key, "linear");
	put_f32(x, w, "rope.scaling.factor", (float)rope.factor);
}

int weir_export_keys(const struct weir_export *x, struct weir_gguf_out *w)
{
	const struct weir_params *p = x->params;

	weir_gguf_put_string(w, "general.architecture", p->arch);
	put_name(x, w);
	put_u32(x, w, "block_count", p->layers);
	put_u32(x, w, "context_length", p->context);
	put_u32(x, w, "embedding_length", p->dim);
	put_u32(x, w, "feed_forward_length", p->ff);
	put_u32(x, w, "attention.head_count", p->heads);
	put_u32(x, w, "attention.head_count_kv", p->kv_heads);
	put_u32(x, w, "attention.key_length", p->head_dim);
	put_u32(x, w, "attention.value_length", p->head_dim);
	put_f32(x, w, "attention.layer_norm_rms_epsilon", p->eps);
	put_u32(x, w, "vocab_size", p->vocab);
	put_rope(x, w);
	return x->tokenizer ? weir_tokenizer_put_gguf(x->tokenizer, p->vocab, w) : 0;
}
