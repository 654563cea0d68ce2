/* SPDX-License-Identifier: MIT */
/*
 * A model's files, whatever their format: tensors under GGUF's names, plain blocks of a ggml type or codes with
 * scales and zero points. Nothing is copied: tensors lie in the mapped files.
 */
#ifndef WEIR_FORMAT_CHECKPOINT_H
#define WEIR_FORMAT_CHECKPOINT_H

#include "base/base.h"
#include "format/gguf.h"

struct json_object;
struct weir_json;

/* How a quantizer coded a matrix: weight = (code - zero) * scale, a scale for each group of a row. */
struct weir_coding {
	unsigned bits;	/* of a code: 2, 3, 4 or 8; 0: the tensor is plain blocks of a ggml type */
	uint32_t group; /* weights of a row that share a scale; the last group of a row may be short */
	bool zeros;	/* a zero point for each group; without: 128 for all */
	bool row_act;	/* meant for activations with one scale a token: group is the whole row */
};

struct weir_checkpoint_tensor {
	const char *name; /* GGUF's: "blk.0.attn_q.weight"; terminated, without control characters */
	uint32_t type;	  /* of plain blocks (enum weir_type, or one that Weir does not run), also under coding */
	unsigned n_dims;  /* 1 to 4 */
	uint64_t dim[4];  /* dim[0] is the contiguous one (in, k); absent ones are 1; none is 0 */
	uint64_t weights; /* their product */
	const void *data; /* blocks in the mapped file; NULL: a type that Weir does not run, or codes alone */
	size_t size;	  /* bytes in the file, with scales and zero points */
	uint64_t offset;  /* of data in its file */
	unsigned shard;
	struct weir_coding coding;
};

struct weir_checkpoint;

/*
 * Opens a GGUF file (the first of its shards), or a folder as Hugging Face has them: config.json, and
 * model.safetensors or its shards and their index; floats, or AutoAWQ's 4 bit codes. A GGUF file that Weir quantized
 * gives its codes too. All places and shapes are checked here, codes and scales when they are read. 0, or -errno and a
 * sentence that names the file and the thing.
 */
int weir_checkpoint_open(const char *path, struct weir_checkpoint **out);
void weir_checkpoint_close(struct weir_checkpoint *c); /* takes NULL; tensors end with it */

const char *weir_checkpoint_path(const struct weir_checkpoint *c);
uint64_t weir_checkpoint_bytes(const struct weir_checkpoint *c); /* of all its files of weights */
const struct weir_gguf *weir_checkpoint_gguf(const struct weir_checkpoint *c); /* NULL: it is a folder */
struct json_object *weir_checkpoint_config(const struct weir_checkpoint *c); /* config.json; NULL: GGUF */
const struct weir_json *weir_checkpoint_json(const struct weir_checkpoint *c); /* the same, for look-ups */

size_t weir_checkpoint_tensor_count(const struct weir_checkpoint *c);
const struct weir_checkpoint_tensor *weir_checkpoint_tensor_at(const struct weir_checkpoint *c, size_t i);
const struct weir_checkpoint_tensor *weir_checkpoint_tensor(const struct weir_checkpoint *c, const char *name);

/* Groups of a coded tensor's row. */
static inline size_t weir_coding_groups(const struct weir_coding *coding, size_t k)
{
	return k / coding->group + (k % coding->group != 0);
}

/*
 * Rows [first_row, first_row + n_rows) of a matrix. codes, of a coded one: q (n_rows, k), scale and zero (n_rows,
 * groups); zero may be NULL where the coding has no zeros. floats, of any: out (n_rows, k). Rows are those of
 * dim[0] weights, so vectors have one. May be called from several threads at once. -EOPNOTSUPP and a sentence when
 * the tensor is not coded, or of a type that Weir does not run; -ERANGE for rows it does not have; -EINVAL for a scale
 * that is not finite, and what else codes may not be.
 */
int weir_checkpoint_codes(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t,
	size_t first_row, size_t n_rows, uint8_t *q, float *scale, uint8_t *zero);
int weir_checkpoint_floats(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t,
	size_t first_row, size_t n_rows, float *out);

/*
 * The module that a folder has for a GGUF name without its end: "blk.3.attn_q" is "model.layers.3.self_attn.q_proj".
 * False: it has none, or it does not fit.
 */
bool weir_hf_module(const char *name, size_t len, char *out, size_t size);

/* Tells the kernel that a tensor's bytes were read and can be dropped from memory. */
void weir_checkpoint_drop(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t);

#endif
