/* SPDX-License-Identifier: MIT */
/* The architectures that Weir runs, what their shapes must be, and a hash of what a model is. */
#include "llm/params_read.h"

#include <json-c/json.h>

struct arch {
	const char *name;
	enum weir_rope_layout rope;
	bool qk_norm;
};

static const struct arch archs[] = {
	{"llama", WEIR_ROPE_ADJACENT, false}, /* Llama 1 to 3, Mistral, TinyLlama, SmolLM2 */
	{"qwen2", WEIR_ROPE_HALVES, false},
	{"qwen3", WEIR_ROPE_HALVES, true},
};

int weir_params_set_arch(const struct weir_checkpoint *c, struct weir_params *p, const char *name, size_t len)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(archs); i++) {
		if (strlen(archs[i].name) != len || memcmp(archs[i].name, name, len))
			continue;
		snprintf(p->arch, sizeof(p->arch), "%s", archs[i].name);
		p->rope = archs[i].rope;
		p->qk_norm = archs[i].qk_norm;
		return 0;
	}
	return weir_fail(EOPNOTSUPP,
		"cannot load %s: the architecture %.*s is not one that Weir runs (llama, qwen2, qwen3)",
		weir_checkpoint_path(c), (int)WEIR_MIN(len, (size_t)64), name);
}

int weir_params_check_heads(const struct weir_checkpoint *c, const struct weir_params *p)
{
	if (p->heads % p->kv_heads || p->heads / p->kv_heads > WEIR_MAX_GROUP)
		return weir_params_fail(c, "%u heads share %u kv heads: the first must be 1 to %d times the second",
			p->heads, p->kv_heads, WEIR_MAX_GROUP);
	if (p->head_dim > WEIR_MAX_HEAD_DIM || p->head_dim % 4 || p->n_rot % 2)
		return weir_params_fail(c, "heads of %u with %u rotated: at most %d, a multiple of 4, and an even number",
			p->head_dim, p->n_rot, WEIR_MAX_HEAD_DIM);
	return 0;
}

int weir_params_read_vocab(const struct weir_checkpoint *c, struct weir_params *p)
{
	const struct weir_checkpoint_tensor *embd = weir_checkpoint_tensor(c, "token_embd.weight");

	if (!embd)
		return weir_params_fail(c, "the tensor token_embd.weight is missing");
	if (embd->dim[1] > (1u << 24))
		return weir_params_fail(c, "token_embd.weight has rows for %llu tokens", (unsigned long long)embd->dim[1]);
	p->vocab = (uint32_t)embd->dim[1];
	return 0;
}

int weir_params_read(const struct weir_checkpoint *c, struct weir_params *p)
{
	memset(p, 0, sizeof(*p));
	return weir_checkpoint_gguf(c) ? weir_params_read_gguf(c, p) : weir_params_read_hf(c, p);
}

static void hash_keys(const struct weir_gguf *g, struct weir_hash *h)
{
	char text[256];

	for (size_t i = 0; i < weir_gguf_meta_count(g); i++) {
		enum weir_gguf_value type;
		struct weir_str key;

		if (weir_gguf_meta(g, i, &key, &type) || type == WEIR_GGUF_ARRAY)
			continue;
		weir_gguf_meta_text(g, i, text, sizeof(text));
		weir_hash_add(h, key.ptr, key.len);
		weir_hash_add(h, text, strlen(text));
	}
}

/* A few weights of each tensor, so that two trainings of one shape differ. */
static int hash_weights(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, struct weir_hash *h)
{
	float *row;
	int err;

	if (t->data) {
		weir_hash_add(h, t->data, WEIR_MIN(t->size, 64));
		return 0;
	}
	row = malloc(t->dim[0] * sizeof(*row));
	if (!row)
		return weir_fail(ENOMEM, "no memory for a row of %s", t->name);
	err = weir_checkpoint_floats(c, t, 0, 1, row);
	if (!err)
		weir_hash_add(h, row, t->dim[0] * sizeof(*row));
	free(row);
	return err;
}

int weir_params_fingerprint(const struct weir_checkpoint *c, struct weir_hash *h)
{
	const struct weir_gguf *g = weir_checkpoint_gguf(c);
	const char *config;
	char text[256];
	int err = 0;

	weir_hash_init(h);
	for (size_t i = 0; i < weir_checkpoint_tensor_count(c) && !err; i++) {
		const struct weir_checkpoint_tensor *t = weir_checkpoint_tensor_at(c, i);
		int n = snprintf(text, sizeof(text), "%s %u %llu %llu %llu;", t->name, t->type,
			(unsigned long long)t->dim[0], (unsigned long long)t->dim[1],
			(unsigned long long)t->offset);

		weir_hash_add(h, text, (size_t)WEIR_MIN(n, (int)sizeof(text) - 1));
		if (t->data || t->coding.bits)
			err = hash_weights(c, t, h);
	}
	if (err)
		return err;
	if (g) {
		hash_keys(g, h);
		return 0;
	}
	config = json_object_to_json_string_ext(weir_checkpoint_config(c), JSON_C_TO_STRING_PLAIN);
	weir_hash_add(h, config, strlen(config));
	return 0;
}
