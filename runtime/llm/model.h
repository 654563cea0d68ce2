/* SPDX-License-Identifier: MIT */
/* A decoder's weights and words, immutable once loaded. */
#ifndef WEIR_LLM_MODEL_H
#define WEIR_LLM_MODEL_H

#include "base/base.h"
#include "llm/params.h"
#include "llm/weights.h"

struct weir_layer {
	struct weir_vector attn_norm;	/* (dim) */
	struct weir_linear qkv;		/* (heads + 2 kv_heads) * head_dim x dim */
	struct weir_vector q_norm, k_norm; /* (head_dim), Qwen 3 */
	struct weir_linear attn_out;	/* dim x heads * head_dim */
	struct weir_vector ffn_norm;	/* (dim) */
	struct weir_linear gate_up;	/* 2 ff x dim, gate first */
	struct weir_linear down;	/* dim x ff */
};

struct weir_model {
	weir_device *dev;
	struct weir_params params;
	struct weir_weights *weights;
	weir_tokenizer *tokenizer; /* NULL: the file has no vocabulary */
	struct weir_linear embed; /* vocab x dim */
	struct weir_linear head;  /* vocab x dim, unless tied */
	bool tied;		  /* the head is the embedding */
	struct weir_vector out_norm;
	struct weir_layer *layers;
	struct weir_hash fingerprint;
	struct weir_model_info info;
};

static inline const struct weir_linear *weir_model_head(const weir_model *m)
{
	return m->tied ? &m->embed : &m->head;
}

#endif
