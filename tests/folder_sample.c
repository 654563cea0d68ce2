/* SPDX-License-Identifier: MIT */
/* A small folder with a matrix in codes and one in floats, for tests and fuzzing: the shape of a model, not all of one. */
#include "folder_writer.h"

const char folder_sample_config[] =
	"{\"architectures\":[\"LlamaForCausalLM\"],\"model_type\":\"llama\",\"hidden_size\":64,\"intermediate_size\":64,"
	"\"num_hidden_layers\":1,\"num_attention_heads\":4,\"num_key_value_heads\":2,\"rms_norm_eps\":1e-05,"
	"\"rope_theta\":10000.0,\"rope_scaling\":null,\"max_position_embeddings\":512,\"vocab_size\":8,"
	"\"hidden_act\":\"silu\",\"tie_word_embeddings\":false," FOLDER_AWQ "}";

static const struct {
	const char *name;
	enum weir_dtype type;
	uint64_t dim[2];
} tensors[] = {
	{"lm_head.weight", WEIR_DTYPE_BF16, {8, 64}},
	{"model.embed_tokens.weight", WEIR_DTYPE_BF16, {8, 64}},
	{"model.layers.0.input_layernorm.weight", WEIR_DTYPE_BF16, {64}},
	{"model.layers.0.mlp.down_proj.weight", WEIR_DTYPE_F16, {64, 64}},
	{"model.layers.0.self_attn.q_proj.qweight", WEIR_DTYPE_I32, {64, 8}},
	{"model.layers.0.self_attn.q_proj.qzeros", WEIR_DTYPE_I32, {2, 8}},
	{"model.layers.0.self_attn.q_proj.scales", WEIR_DTYPE_F16, {2, 64}},
	{"model.layers.0.self_attn.rotary_emb.inv_freq", WEIR_DTYPE_I64, {8}},
};

void folder_sample(struct folder_writer *w)
{
	*w = (struct folder_writer){0};
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(tensors); i++)
		folder_writer_add(w, tensors[i].name, tensors[i].type, tensors[i].dim[1] ? 2 : 1, tensors[i].dim, NULL);
}
