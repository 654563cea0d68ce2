/* SPDX-License-Identifier: MIT */
/* The shape of a decoder, read from a file's metadata and checked against its tensors. */
#ifndef WEIR_LLM_PARAMS_H
#define WEIR_LLM_PARAMS_H

#include "format/checkpoint.h"
#include "graph/ops.h"

#define WEIR_MAX_ROT 256

struct weir_params {
	char arch[32];
	uint32_t layers, dim, ff, heads, kv_heads, head_dim, n_rot, vocab, context;
	float eps;
	enum weir_rope_layout rope;
	bool qk_norm;			/* Qwen 3: RMSNorm on each head of q and k */
	double freq[WEIR_MAX_ROT / 2];	/* radians a position, of each rotated pair, scaling included */
};

/* 0, or -errno and a sentence that names the file and the key or tensor. */
int weir_params_read(const struct weir_checkpoint *c, struct weir_params *out);

/* 128 bits of what must agree for a saved cache to fit: architecture, shapes, tensor names, types and offsets. */
struct weir_hash;
int weir_params_fingerprint(const struct weir_checkpoint *c, struct weir_hash *h);

#endif
