/* SPDX-License-Identifier: MIT */
/* Names of a decoder's modules: Hugging Face's and GGUF's. */
#include "format/checkpoint_parts.h"

struct module {
	const char *hf, *gguf;
	bool linear;
};

static const struct module of_model[] = {
	{"model.embed_tokens", "token_embd", false},
	{"model.norm", "output_norm", false},
	{"lm_head", "output", true},
};

static const struct module of_layer[] = {
	{"input_layernorm", "attn_norm", false},
	{"self_attn.q_proj", "attn_q", true},
	{"self_attn.k_proj", "attn_k", true},
	{"self_attn.v_proj", "attn_v", true},
	{"self_attn.o_proj", "attn_output", true},
	{"self_attn.q_norm", "attn_q_norm", false},
	{"self_attn.k_norm", "attn_k_norm", false},
	{"post_attention_layernorm", "ffn_norm", false},
	{"mlp.gate_proj", "ffn_gate", true},
	{"mlp.up_proj", "ffn_up", true},
	{"mlp.down_proj", "ffn_down", true},
};

static const struct module *find(const struct module *modules, size_t n, const char *name, size_t len)
{
	for (size_t i = 0; i < n; i++)
		if (strlen(modules[i].hf) == len && !memcmp(modules[i].hf, name, len))
			return &modules[i];
	return NULL;
}

bool weir_hf_name(const char *name, size_t len, char *out, size_t size, bool *linear)
{
	static const char layers[] = "model.layers.";
	const size_t stem = sizeof(layers) - 1;
	const struct module *m = find(of_model, WEIR_ARRAY_SIZE(of_model), name, len);
	size_t at = stem;

	if (m) {
		snprintf(out, size, "%s", m->gguf);
	} else if (len > stem && !memcmp(name, layers, stem)) {
		while (at < len && name[at] >= '0' && name[at] <= '9')
			at++;
		/* One way to write a number, so that no two names become one. */
		if (at == stem || at > stem + 4 || (name[stem] == '0' && at > stem + 1) || at == len ||
			name[at] != '.')
			return false;
		m = find(of_layer, WEIR_ARRAY_SIZE(of_layer), name + at + 1, len - at - 1);
		if (m)
			snprintf(out, size, "blk.%.*s.%s", (int)(at - stem), name + stem, m->gguf);
	}
	if (m)
		*linear = m->linear;
	return m != NULL;
}

/* "blk.3.": the length of that, the layer's number at name + 4; 0: no layer's. */
static size_t layer_stem(const char *name, size_t len)
{
	static const char layers[] = "blk.";
	size_t at = sizeof(layers) - 1;

	if (len < at || memcmp(name, layers, at))
		return 0;
	while (at < len && name[at] >= '0' && name[at] <= '9')
		at++;
	return at > sizeof(layers) - 1 && at < len && name[at] == '.' ? at + 1 : 0;
}

bool weir_hf_module(const char *name, size_t len, char *out, size_t size)
{
	const size_t stem = layer_stem(name, len);
	const struct module *modules = stem ? of_layer : of_model;
	const size_t n = stem ? WEIR_ARRAY_SIZE(of_layer) : WEIR_ARRAY_SIZE(of_model);
	const char *hf = NULL;

	for (size_t i = 0; i < n && !hf; i++)
		if (strlen(modules[i].gguf) == len - stem && !memcmp(modules[i].gguf, name + stem, len - stem))
			hf = modules[i].hf;
	if (hf && stem)
		return (size_t)snprintf(out, size, "model.layers.%.*s%s", (int)(stem - 4), name + 4, hf) < size;
	return hf && (size_t)snprintf(out, size, "%s", hf) < size;
}
