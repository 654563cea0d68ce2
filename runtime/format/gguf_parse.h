/* SPDX-License-Identifier: MIT */
/* What the parts of the GGUF reader share: a file of the set, its keys, and the tables of types. */
#ifndef WEIR_FORMAT_GGUF_PARSE_H
#define WEIR_FORMAT_GGUF_PARSE_H

#include "base/base.h"
#include "format/gguf.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"GGUF values are read as they lie in the file, which is little-endian");

struct weir_gguf_key {
	struct weir_str name;	 /* clean UTF-8, not empty */
	const unsigned char *at; /* the value's first byte */
	size_t size;		 /* its bytes */
	enum weir_gguf_value type;
};

/* One file. Keys stand in the file's order; by_name points at them sorted. */
struct weir_gguf_shard {
	char *path;
	const unsigned char *data;
	size_t size;
	bool mapped;
	unsigned index; /* from 0 */
	uint32_t version;
	size_t alignment;
	struct weir_gguf_key *keys;
	const struct weir_gguf_key **by_name;
	size_t n_keys;
};

struct weir_gguf {
	struct weir_gguf_shard *shards;
	unsigned n_shards;
	struct weir_gguf_tensor *tensors; /* of all shards; names are malloced */
	const struct weir_gguf_tensor **by_name;
	size_t n_tensors;
};

#define weir_gguf_fail(shard, err, fmt, ...)                                                       \
	weir_fail(err, "cannot read %s: " fmt, (shard)->path, ##__VA_ARGS__)

/* For "%.*s": keys may be long, a sentence is not. */
#define WEIR_GGUF_SHOW(str) (int)WEIR_MIN((str).len, 127), (str).ptr

/*
 * Reads a shard whose path, data, size and index are set: its version, keys and tensors, which it
 * appends to g's. 0 or -errno with a sentence; what it allocated is freed by weir_gguf_close either
 * way.
 */
int weir_gguf_parse(struct weir_gguf *g, struct weir_gguf_shard *s);

/* Order of strings by bytes, for sorting and searching. */
int weir_str_compare(const struct weir_str *a, const struct weir_str *b);

/* A key of one shard; NULL when absent. */
const struct weir_gguf_key *weir_gguf_find(const struct weir_gguf_shard *s, const char *name);
/* weir_gguf_u32 on one shard. */
int weir_gguf_shard_u32(const struct weir_gguf_shard *s, const char *name, uint32_t *out);
/* The array behind a key of type ARRAY. */
void weir_gguf_array_of(const struct weir_gguf_key *key, struct weir_gguf_array *out);

/* Bytes of a scalar of this type; 0 for strings, arrays and unknown numbers. */
size_t weir_gguf_value_size(uint32_t type);
/* "u32", "string", ...; NULL for an unknown number. */
const char *weir_gguf_value_name(uint32_t type);

/*
 * Weights in a block and its bytes, of every type with a name; bytes is 0 where they are not known
 * (types that were gone before GGUF was there). False for an unknown number.
 */
bool weir_type_shape(uint32_t type, size_t *weights, size_t *bytes);

#endif
