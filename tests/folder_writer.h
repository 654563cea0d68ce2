/* SPDX-License-Identifier: MIT */
/*
 * Writes folders as Hugging Face has them, for tests: config.json and safetensors, single or sharded, and the story
 * model as one, its matrices in floats or in AutoAWQ's codes. Aborts when memory is out or a file cannot be written.
 */
#ifndef WEIR_TESTS_FOLDER_WRITER_H
#define WEIR_TESTS_FOLDER_WRITER_H

#include "format/safetensors.h"

struct folder_tensor {
	char name[96];
	enum weir_dtype type;
	unsigned n_dims;
	uint64_t dim[4]; /* the last one is contiguous */
	uint8_t *data;
	size_t size;
};

struct folder_writer { /* starts as all zero */
	struct folder_tensor *tensors;
	size_t n;
};

/* data has the tensor's bytes, which are copied; NULL: zeros. */
void folder_writer_add(struct folder_writer *w, const char *name, enum weir_dtype type, unsigned n_dims,
	const uint64_t *dim, const void *data);
/* n floats or, for F16 and BF16, what they are rounded to. */
void folder_writer_floats(struct folder_writer *w, const char *name, enum weir_dtype type, unsigned n_dims,
	const uint64_t *dim, const float *floats);
struct folder_tensor *folder_writer_find(struct folder_writer *w, const char *name); /* aborts if it is not there */
void folder_writer_remove(struct folder_writer *w, const char *name);
void folder_writer_free(struct folder_writer *w);

/* Tensors [first, first + n) as a file; malloced. The first one's data lies at offset modulo 8 in it. */
uint8_t *folder_writer_safetensors(const struct folder_writer *w, size_t first, size_t n, unsigned offset, size_t *size);

char *folder_make(void); /* a new folder; free the name */
void folder_remove(const char *folder); /* and what is in it */
void folder_put(const char *folder, const char *name, const void *data, size_t size);
/* model.safetensors, or so many shards and their index. */
void folder_put_tensors(const char *folder, const struct folder_writer *w, unsigned shards);

/* ---- a sample -------------------------------------------------------------------------------- */

#define FOLDER_AWQ \
	"\"quantization_config\":{\"quant_method\":\"awq\",\"bits\":4,\"group_size\":32,\"zero_point\":true," \
	"\"version\":\"gemm\",\"modules_to_not_convert\":[\"lm_head\"]}"

/* config.json and tensors of one layer, not all that a model has: one matrix in codes (zeros), others in floats. */
extern const char folder_sample_config[];
void folder_sample(struct folder_writer *w);

/* ---- the story model ------------------------------------------------------------------------- */

struct story {
	enum weir_dtype type; /* of floats: F32, F16, BF16 */
	uint32_t group;	      /* 0: no codes; UINT32_MAX: a group a row */
	bool twin;	      /* codes are written as the floats (F32) that they stand for */
};

/*
 * The tensors of the GGUF file by their Hugging Face names, rows of q and k in that order, and config.json (free it).
 * The feed-forward part grows by zero rows from 172 to 192, so that AutoAWQ's words and groups divide it.
 */
void folder_story(struct folder_writer *w, const char *gguf, const struct story *story, char **config);

#endif
