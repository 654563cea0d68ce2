/* SPDX-License-Identifier: MIT */
/* The reference's view of a KV cache, written and read by the indices that graph/ops.h states. */
#ifndef WEIR_CHECKCL_CACHE_H
#define WEIR_CHECKCL_CACHE_H

#include "checkcl.h"

struct cache {
	struct weir_attention_shape shape;
	struct weir_kv_layout layout;
	char *bytes; /* of the layer, the host's copy */
	struct weir_buffer *buffer;
};

/* A layer's region, host and device, full of bytes that are no numbers as halfs and as floats. */
bool cache_make(struct checkcl *c, const struct weir_attention_shape *shape, struct cache *out);
void cache_done(struct cache *k); /* after the graph */
struct weir_tensor *cache_bind(struct cache *k, struct weir_graph *g);

void cache_fill(struct cache *k); /* the host's copy, with those bytes again */

/* Copies all of it to the device, or back. */
void cache_put(struct checkcl *c, const struct cache *k);
void cache_get(struct checkcl *c, struct cache *k);

/* Dimension d of a slot's key or value as it is stored; head is a KV head. */
double cache_key(const struct cache *k, unsigned head, unsigned slot, unsigned d);
double cache_value(const struct cache *k, unsigned head, unsigned slot, unsigned d);
/* The step between neighbouring numbers: what rounding to the nearest may be off is half. */
double cache_key_step(const struct cache *k, unsigned head, unsigned slot, unsigned d);
double cache_value_step(const struct cache *k, unsigned head, unsigned slot, unsigned d);

/* Stores a slot's key and value, head_dim floats each, into the host's copy. */
void cache_store(struct cache *k, unsigned head, unsigned slot, const float *key, const float *value);

/* Overwrites the slot's key and value with the bytes of cache_fill. */
void cache_erase(struct cache *k, unsigned head, unsigned slot);

#endif
