/* SPDX-License-Identifier: MIT */
/* GGUF v2 and v3 files, single or sharded, mapped read-only: metadata and tensors, every length checked at open. */
#ifndef WEIR_FORMAT_GGUF_H
#define WEIR_FORMAT_GGUF_H

#include "base/base.h"

/* Tensor types by their number in the file (ggml's enum); the ones that Weir runs. */
enum weir_type {
	WEIR_TYPE_F32 = 0,
	WEIR_TYPE_F16 = 1,
	WEIR_TYPE_Q4_0 = 2,
	WEIR_TYPE_Q4_1 = 3,
	WEIR_TYPE_Q5_0 = 6,
	WEIR_TYPE_Q5_1 = 7,
	WEIR_TYPE_Q8_0 = 8,
	WEIR_TYPE_Q2_K = 10,
	WEIR_TYPE_Q3_K = 11,
	WEIR_TYPE_Q4_K = 12,
	WEIR_TYPE_Q5_K = 13,
	WEIR_TYPE_Q6_K = 14,
	WEIR_TYPE_BF16 = 30,
};

/* "Q4_K" and so on, also for types that Weir does not run ("IQ2_XS"); NULL for an unknown number. */
const char *weir_type_name(uint32_t type);
/* Weights in a block and its bytes; false for a type that Weir does not run. */
bool weir_type_block(uint32_t type, size_t *weights, size_t *bytes);

/* Metadata value types by their number in the file. */
enum weir_gguf_value {
	WEIR_GGUF_U8, WEIR_GGUF_I8, WEIR_GGUF_U16, WEIR_GGUF_I16, WEIR_GGUF_U32, WEIR_GGUF_I32,
	WEIR_GGUF_F32, WEIR_GGUF_BOOL, WEIR_GGUF_STRING, WEIR_GGUF_ARRAY, WEIR_GGUF_U64, WEIR_GGUF_I64,
	WEIR_GGUF_F64,
};

struct weir_gguf_array {
	enum weir_gguf_value type; /* of an element; never ARRAY: nested arrays are refused at open */
	uint64_t count;
	const void *data;	   /* elements as they lie in the file, not aligned; strings: see next */
	size_t size;		   /* bytes of data */
};

struct weir_gguf_tensor {
	const char *name; /* terminated; checked to be UTF-8 without control bytes, at most 127 bytes */
	uint32_t type;	  /* a number with a name, maybe not one that Weir runs */
	unsigned n_dims;  /* 1 to 4 */
	uint64_t dim[4];  /* dim[0] is the contiguous one (in, k); absent ones are 1; none is 0 */
	uint64_t weights; /* their product */
	const void *data; /* in the mapped file; NULL when the type is not one that Weir runs */
	size_t size;	  /* bytes */
	uint64_t offset;  /* in its file */
	unsigned shard;
};

struct weir_gguf;

/*
 * Opens path and, for a name that ends in -00001-of-0000N.gguf, its N - 1 sisters. Everything is checked here:
 * counts against the file's size, string and array bounds, alignment, dims, tensor bounds, overlap and double
 * names, duplicate keys. 0, or -errno and a sentence that names the file and the thing.
 */
int weir_gguf_open(const char *path, struct weir_gguf **out);
void weir_gguf_close(struct weir_gguf *g); /* takes NULL; tensors' data and strings end with it */

/* The same over bytes in memory (one file), for fuzzing and tests; data must outlive g. */
int weir_gguf_open_memory(const void *data, size_t size, const char *name, struct weir_gguf **out);

const char *weir_gguf_path(const struct weir_gguf *g);
unsigned weir_gguf_version(const struct weir_gguf *g);
unsigned weir_gguf_shards(const struct weir_gguf *g);
uint64_t weir_gguf_bytes(const struct weir_gguf *g); /* of all shards */

/* Typed look-ups: 0; -ENOENT when the key is absent (no sentence set); -EINVAL and a sentence on another type. */
/* Integers: any unsigned or non-negative signed integer type that fits. */
int weir_gguf_u32(const struct weir_gguf *g, const char *key, uint32_t *out);
int weir_gguf_f32(const struct weir_gguf *g, const char *key, float *out); /* F32 or F64; finite */
int weir_gguf_bool(const struct weir_gguf *g, const char *key, bool *out);
int weir_gguf_string(const struct weir_gguf *g, const char *key, struct weir_str *out);
int weir_gguf_array(const struct weir_gguf *g, const char *key, enum weir_gguf_value type,
	struct weir_gguf_array *out);

/*
 * Walks a string array: *at starts as NULL, or 0 elements read. False after the last.
 *     const void *at = NULL; struct weir_str s;
 *     while (weir_gguf_next_string(&array, &at, &s)) ...
 */
bool weir_gguf_next_string(const struct weir_gguf_array *a, const void **at, struct weir_str *out);
/* Element i of a numeric array; i < count. */
double weir_gguf_number(const struct weir_gguf_array *a, uint64_t i);

/* By index, for listings: key and value type (for arrays, count says how many), value written as text. */
size_t weir_gguf_meta_count(const struct weir_gguf *g);
int weir_gguf_meta(const struct weir_gguf *g, size_t i, struct weir_str *key, enum weir_gguf_value *type);
/* Text of value i, cut with "..." to size; arrays as [N x TYPE] and their first elements. */
void weir_gguf_meta_text(const struct weir_gguf *g, size_t i, char *text, size_t size);

size_t weir_gguf_tensor_count(const struct weir_gguf *g);
const struct weir_gguf_tensor *weir_gguf_tensor_at(const struct weir_gguf *g, size_t i);
const struct weir_gguf_tensor *weir_gguf_tensor(const struct weir_gguf *g, const char *name);

/* Tells the kernel that a tensor's bytes were read and can be dropped from memory. */
void weir_gguf_drop(const struct weir_gguf *g, const struct weir_gguf_tensor *t);

#endif
