/* SPDX-License-Identifier: MIT */
/*
 * safetensors files, single or sharded by an index, mapped read-only: every name, shape and place is checked at open.
 * The format: 8 bytes of length, that much JSON with dtype, shape and data_offsets of each tensor, then the data
 * (https://huggingface.co/docs/safetensors).
 */
#ifndef WEIR_FORMAT_SAFETENSORS_H
#define WEIR_FORMAT_SAFETENSORS_H

#include "base/base.h"

#define WEIR_SAFETENSORS_DIMS 8
#define WEIR_SAFETENSORS_NAME 255

enum weir_dtype {
	WEIR_DTYPE_BOOL,
	WEIR_DTYPE_U8,
	WEIR_DTYPE_I8,
	WEIR_DTYPE_F8_E5M2,
	WEIR_DTYPE_F8_E4M3,
	WEIR_DTYPE_I16,
	WEIR_DTYPE_U16,
	WEIR_DTYPE_F16,
	WEIR_DTYPE_BF16,
	WEIR_DTYPE_I32,
	WEIR_DTYPE_U32,
	WEIR_DTYPE_F32,
	WEIR_DTYPE_I64,
	WEIR_DTYPE_U64,
	WEIR_DTYPE_F64,
};

const char *weir_dtype_name(enum weir_dtype type); /* "BF16" */
size_t weir_dtype_size(enum weir_dtype type);	   /* bytes of an element */

struct weir_safetensor {
	const char *name; /* terminated; UTF-8 without control characters, at most WEIR_SAFETENSORS_NAME bytes */
	enum weir_dtype type;
	unsigned n_dims; /* 0 (one value) to WEIR_SAFETENSORS_DIMS */
	uint64_t dim[WEIR_SAFETENSORS_DIMS]; /* the last one is contiguous; absent ones are 1; may be 0 */
	uint64_t count;	  /* their product */
	const void *data; /* in the mapped file; maybe not aligned to its type */
	size_t size;	  /* bytes: count times the type's */
	uint64_t offset;  /* of data in its file */
	unsigned shard;
};

struct weir_safetensors;

/*
 * Opens model.safetensors of a folder or, where there is none, model.safetensors.index.json and the shards beside it
 * that its weight_map names. -ENOENT with a sentence: it has neither. Refused, with a sentence that names file and
 * tensor: headers past the file's end, unknown types, spans that are not the shape's bytes, places outside the data
 * or over each other, tensors that are there twice or are not where the map says, paths that lead elsewhere.
 */
int weir_safetensors_open(const char *folder, struct weir_safetensors **out);
/* One file's bytes, which must outlive out; for tests and fuzzing. */
int weir_safetensors_open_memory(const void *data, size_t size, const char *name, struct weir_safetensors **out);
void weir_safetensors_close(struct weir_safetensors *st); /* takes NULL; tensors end with it */

unsigned weir_safetensors_shards(const struct weir_safetensors *st);
const char *weir_safetensors_path(const struct weir_safetensors *st, unsigned shard);
uint64_t weir_safetensors_bytes(const struct weir_safetensors *st); /* of all shards */

/* In order of names. */
size_t weir_safetensors_count(const struct weir_safetensors *st);
const struct weir_safetensor *weir_safetensors_at(const struct weir_safetensors *st, size_t i);
const struct weir_safetensor *weir_safetensors_find(const struct weir_safetensors *st, const char *name);

/* Tells the kernel that a tensor's bytes were read and can be dropped from memory. */
void weir_safetensors_drop(const struct weir_safetensors *st, const struct weir_safetensor *t);

#endif
