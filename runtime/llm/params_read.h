/* SPDX-License-Identifier: MIT */
/* What the readers of a decoder's shape share: GGUF metadata and config.json say the same by other names. */
#ifndef WEIR_LLM_PARAMS_READ_H
#define WEIR_LLM_PARAMS_READ_H

#include "base/base.h"
#include "llm/params.h"

/* Bounds that no model comes near, so that products of shapes stay far from overflow. */
#define WEIR_MAX_LAYERS 1024
#define WEIR_MAX_DIM (1u << 20)
#define WEIR_MAX_HEADS 4096
#define WEIR_MAX_HEAD_DIM 256
#define WEIR_MAX_GROUP 16 /* query heads that share a kv head: as attention.cl holds them */
#define WEIR_MAX_CONTEXT (1u << 27)

#define weir_params_fail(c, fmt, ...)                                                              \
	weir_fail(EINVAL, "cannot load %s: " fmt, weir_checkpoint_path(c), ##__VA_ARGS__)

/* Sets what GGUF's name of an architecture stands for; refuses the ones that Weir does not run. */
int weir_params_set_arch(const struct weir_checkpoint *c, struct weir_params *p, const char *name, size_t len);

/* Heads, kv heads, head_dim and n_rot against each other. */
int weir_params_check_heads(const struct weir_checkpoint *c, const struct weir_params *p);
/* The vocabulary that the embedding has rows for. */
int weir_params_read_vocab(const struct weir_checkpoint *c, struct weir_params *p);

int weir_params_read_gguf(const struct weir_checkpoint *c, struct weir_params *p);
int weir_params_read_hf(const struct weir_checkpoint *c, struct weir_params *p);

#endif
