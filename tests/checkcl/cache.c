/* SPDX-License-Identifier: MIT */
/* The reference's view of a KV cache. */
#include "cache.h"

#include <math.h>

#include "base/base.h"

/* 0xffff is no number as a half, 0xffffffff none as a float; as int8 it is -1. */
#define FILL 0xff

bool cache_make(struct checkcl *c, const struct weir_attention_shape *shape, struct cache *out)
{
	out->shape = *shape;
	weir_kv_layout(shape, weir_device_props(c->dev)->align, &out->layout);
	out->bytes = malloc(out->layout.size);
	if (weir_buffer_create(c->dev, out->layout.size, "checkcl cache", &out->buffer)) {
		free(out->bytes);
		checkcl_fail(c, "cache", weir_error());
		return false;
	}
	cache_fill(out);
	return true;
}

void cache_done(struct cache *k)
{
	weir_buffer_destroy(k->buffer);
	free(k->bytes);
}

struct weir_tensor *cache_bind(struct cache *k, struct weir_graph *g)
{
	return weir_graph_bind(g, "kv", k->buffer, 0, k->layout.size);
}

void cache_fill(struct cache *k)
{
	memset(k->bytes, FILL, k->layout.size);
}

void cache_put(struct checkcl *c, const struct cache *k)
{
	void *p;

	if (weir_buffer_begin(k->buffer, 0, k->layout.size, WEIR_ACCESS_WRITE, &p)) {
		checkcl_fail(c, "cache", weir_error());
		return;
	}
	memcpy(p, k->bytes, k->layout.size);
	weir_buffer_end(k->buffer, p);
}

void cache_get(struct checkcl *c, struct cache *k)
{
	void *p;

	if (weir_buffer_begin(k->buffer, 0, k->layout.size, WEIR_ACCESS_READ, &p)) {
		checkcl_fail(c, "cache", weir_error());
		return;
	}
	memcpy(k->bytes, p, k->layout.size);
	weir_buffer_end(k->buffer, p);
}

static size_t key_index(const struct cache *k, unsigned head, unsigned slot, unsigned d)
{
	const struct weir_attention_shape *s = &k->shape;

	return ((head * (size_t)(s->slots / 16) + slot / 16) * s->head_dim + d) * 16 + slot % 16;
}

static size_t value_index(const struct cache *k, unsigned head, unsigned slot, unsigned d)
{
	return (head * (size_t)k->shape.slots + slot) * k->shape.head_dim + d;
}

static float *scale_at(const struct cache *k, size_t part, unsigned head, unsigned slot)
{
	return (float *)(k->bytes + part) + (size_t)head * k->shape.slots + slot;
}

static double load(const struct cache *k, size_t part, size_t index, size_t scales, unsigned head, unsigned slot)
{
	const char *p = k->bytes + part;

	if (k->shape.kv == WEIR_KV_Q8)
		return (double)((const int8_t *)p)[index] * *scale_at(k, scales, head, slot);
	if (k->shape.kv == WEIR_KV_F32)
		return ((const float *)p)[index];
	return weir_half_to_float(((const uint16_t *)p)[index]);
}

double cache_key(const struct cache *k, unsigned head, unsigned slot, unsigned d)
{
	return load(k, k->layout.k, key_index(k, head, slot, d), k->layout.k_scale, head, slot);
}

double cache_value(const struct cache *k, unsigned head, unsigned slot, unsigned d)
{
	return load(k, k->layout.v, value_index(k, head, slot, d), k->layout.v_scale, head, slot);
}

/* A half has 11 significant bits, and no step finer than 2^-24. */
static double half_step(double v)
{
	int e;

	frexp(v, &e);
	return ldexp(1.0, WEIR_MAX(e - 11, -24));
}

double cache_key_step(const struct cache *k, unsigned head, unsigned slot, unsigned d)
{
	if (k->shape.kv == WEIR_KV_Q8)
		return *scale_at(k, k->layout.k_scale, head, slot);
	return k->shape.kv == WEIR_KV_F32 ? 0 : half_step(cache_key(k, head, slot, d));
}

double cache_value_step(const struct cache *k, unsigned head, unsigned slot, unsigned d)
{
	if (k->shape.kv == WEIR_KV_Q8)
		return *scale_at(k, k->layout.v_scale, head, slot);
	return k->shape.kv == WEIR_KV_F32 ? 0 : half_step(cache_value(k, head, slot, d));
}

static float top_of(const float *x, unsigned n)
{
	float top = 0.0f;

	for (unsigned i = 0; i < n; i++)
		top = fmaxf(top, fabsf(x[i]));
	return top;
}

static void store(struct cache *k, size_t part, size_t index, float v, float scale)
{
	char *p = k->bytes + part;

	if (k->shape.kv == WEIR_KV_Q8)
		((int8_t *)p)[index] = (int8_t)(scale > 0.0f ? lrintf(v / scale) : 0);
	else if (k->shape.kv == WEIR_KV_F32)
		((float *)p)[index] = v;
	else
		((uint16_t *)p)[index] = weir_float_to_half(v);
}

void cache_store(struct cache *k, unsigned head, unsigned slot, const float *key, const float *value)
{
	unsigned n = k->shape.head_dim;
	float key_scale = top_of(key, n) / 127.0f, value_scale = top_of(value, n) / 127.0f;

	if (k->shape.kv == WEIR_KV_Q8) {
		*scale_at(k, k->layout.k_scale, head, slot) = key_scale;
		*scale_at(k, k->layout.v_scale, head, slot) = value_scale;
	}
	for (unsigned d = 0; d < n; d++) {
		store(k, k->layout.k, key_index(k, head, slot, d), key[d], key_scale);
		store(k, k->layout.v, value_index(k, head, slot, d), value[d], value_scale);
	}
}

void cache_erase(struct cache *k, unsigned head, unsigned slot)
{
	size_t unit = weir_kv_bytes(k->shape.kv);

	for (unsigned d = 0; d < k->shape.head_dim; d++) {
		memset(k->bytes + k->layout.k + key_index(k, head, slot, d) * unit, FILL, unit);
		memset(k->bytes + k->layout.v + value_index(k, head, slot, d) * unit, FILL, unit);
	}
	if (k->shape.kv == WEIR_KV_Q8) {
		memset(scale_at(k, k->layout.k_scale, head, slot), FILL, sizeof(float));
		memset(scale_at(k, k->layout.v_scale, head, slot), FILL, sizeof(float));
	}
}
