/* SPDX-License-Identifier: MIT */
/* What the parts of the safetensors reader share. */
#ifndef WEIR_FORMAT_SAFETENSORS_PARSE_H
#define WEIR_FORMAT_SAFETENSORS_PARSE_H

#include "format/safetensors.h"

struct weir_safetensors_shard {
	char *path;
	const unsigned char *data;
	size_t size;
	bool mapped;
};

struct weir_safetensors {
	struct weir_safetensors_shard *shards;
	unsigned n_shards;
	struct weir_safetensor *tensors; /* of all shards, by name in the end; names are malloced */
	size_t n_tensors;
};

/* Appends the tensors of a shard, whose path, data and size are set. 0, or -errno with a sentence. */
int weir_safetensors_parse(struct weir_safetensors *st, unsigned shard);

#endif
