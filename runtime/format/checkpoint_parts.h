/* SPDX-License-Identifier: MIT */
/* What the readers of checkpoints share. */
#ifndef WEIR_FORMAT_CHECKPOINT_PARTS_H
#define WEIR_FORMAT_CHECKPOINT_PARTS_H

#include "format/checkpoint.h"
#include "format/json.h"
#include "format/safetensors.h"

/* Where a folder's tensor comes from: its floats, or the three parts of AutoAWQ's codes. */
struct weir_folder_source {
	const struct weir_safetensor *data; /* or qweight */
	const struct weir_safetensor *zeros, *scales; /* NULL: floats */
};

/* quantization_config of a folder. */
struct weir_awq_config {
	bool used;	/* false: the folder has none */
	uint32_t group; /* 0: a whole row */
	struct weir_json config, floats; /* the object, and its modules_to_not_convert: an array, or NULL */
};

/* Tensors are a GGUF file's in its order, or a folder's with sources, and names of their own. */
struct weir_checkpoint {
	struct weir_checkpoint_tensor *tensors;
	size_t n_tensors;
	const struct weir_checkpoint_tensor **by_name;

	struct weir_gguf *gguf; /* NULL: a folder, of which: */
	char *path, *config_path;
	struct weir_json config;
	struct weir_safetensors *folder;
	struct weir_folder_source *sources;
	struct weir_awq_config awq;
};

/* Opens path as a folder into c, which is all zero; what it allocated is freed by weir_checkpoint_close either way. */
int weir_folder_open(struct weir_checkpoint *c, const char *path);

/*
 * GGUF's name for the module of a Hugging Face tensor, its name without ".weight" and the like (len bytes):
 * "model.layers.3.mlp.up_proj" is "blk.3.ffn_up". False for a module that decoders do not have. *linear: it is a
 * matrix that a quantizer may have coded.
 */
bool weir_hf_name(const char *module, size_t len, char *out, size_t size, bool *linear);

/* Reads quantization_config, where config.json has one. Refuses by name all that is not AutoAWQ's 4 bit GEMM layout. */
int weir_awq_read_config(struct weir_checkpoint *c);
/* Describes the matrix whose parts are s, each checked against the others and the config; t has its name. */
int weir_awq_tensor(
	const struct weir_checkpoint *c, const struct weir_folder_source *s, struct weir_checkpoint_tensor *t);
/* As weir_checkpoint_codes, for rows that are there. */
int weir_awq_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, size_t first_row,
	size_t n_rows, uint8_t *q, float *scale, uint8_t *zero);

/*
 * Codings of a GGUF file with weir.quantization keys: method (string), bits (2, 3, 4, 8), group (0: a row) and
 * activations ("token-int8", or absent). The matrices of its layers hold codes in Q4_1 blocks, 8 bits in Q8_0 blocks,
 * that repeat the scale of their group, so that what reads GGUF reads them: Q4_1's minimum is -zero * scale.
 */
int weir_gguf_codings(struct weir_checkpoint *c);
int weir_gguf_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t, size_t first_row,
	size_t n_rows, uint8_t *q, float *scale, uint8_t *zero);

#endif
