/* SPDX-License-Identifier: MIT */
/*
 * Touches everything that an open GGUF file offers, for tests with damaged files under sanitizers.
 */
#ifndef WEIR_TESTS_GGUF_WALK_H
#define WEIR_TESTS_GGUF_WALK_H

#include <stdlib.h>
#include <string.h>

#include "format/gguf.h"
#include "quant/plane.h"

/* Weights of a tensor that are turned into floats, from each end. */
#define GGUF_WALK_WEIGHTS 512

static inline void gguf_walk_array(const struct weir_gguf_array *a, uint64_t *sum)
{
	const void *at = NULL;
	struct weir_str s;

	if (a->type == WEIR_GGUF_STRING) {
		uint64_t count = 0;

		for (; weir_gguf_next_string(a, &at, &s); count++) {
			for (size_t i = 0; i < s.len; i++)
				*sum += (unsigned char)s.ptr[i];
		}
		if (count != a->count)
			abort();
	} else if (a->count) {
		*sum += weir_gguf_number(a, 0) > 0;
		*sum += weir_gguf_number(a, a->count - 1) > 0;
	}
}

static inline void gguf_walk_key(const struct weir_gguf *g, const char *key, uint64_t *sum)
{
	struct weir_gguf_array a;
	struct weir_str s;
	uint32_t u;
	float f;
	bool b;

	if (!weir_gguf_u32(g, key, &u))
		*sum += u;
	if (!weir_gguf_f32(g, key, &f))
		*sum += f > 0;
	if (!weir_gguf_bool(g, key, &b))
		*sum += b;
	if (!weir_gguf_string(g, key, &s)) {
		for (size_t i = 0; i < s.len; i++)
			*sum += (unsigned char)s.ptr[i];
	}
	for (int type = WEIR_GGUF_U8; type <= WEIR_GGUF_F64; type++) {
		if (!weir_gguf_array(g, key, (enum weir_gguf_value)type, &a))
			gguf_walk_array(&a, sum);
	}
}

static inline void gguf_walk_tensor(
	const struct weir_gguf *g, const struct weir_gguf_tensor *t, uint64_t *sum)
{
	float out[GGUF_WALK_WEIGHTS];
	const unsigned char *data = t->data;
	size_t weights, bytes, n;

	if (weir_gguf_tensor(g, t->name) != t || !weir_type_name(t->type))
		abort();
	if (!data)
		return;
	if (!weir_type_block(t->type, &weights, &bytes))
		abort();
	n = t->weights < GGUF_WALK_WEIGHTS ? t->weights : GGUF_WALK_WEIGHTS;
	weir_type_to_float((enum weir_type)t->type, data, n, out);
	*sum += out[n - 1] > 0;
	weir_type_to_float((enum weir_type)t->type, data + t->size - n / weights * bytes, n, out);
	*sum += out[0] > 0;
	weir_gguf_drop(g, t);
}

/*
 * A sum of what was read, so that no compiler leaves the reading out. Aborts where the file
 * contradicts itself.
 */
static inline uint64_t gguf_walk(const struct weir_gguf *g)
{
	uint64_t sum = weir_gguf_version(g) + weir_gguf_bytes(g) + weir_gguf_shards(g);
	enum weir_gguf_value type;
	struct weir_str key;
	char text[300], name[200];

	for (size_t i = 0; i < weir_gguf_meta_count(g); i++) {
		if (weir_gguf_meta(g, i, &key, &type))
			abort();
		for (size_t size = 1; size <= sizeof(text); size = size * 3 + 1) {
			weir_gguf_meta_text(g, i, text, size);
			if (strlen(text) >= size)
				abort();
		}
		if (key.len < sizeof(name)) {
			memcpy(name, key.ptr, key.len);
			name[key.len] = '\0';
			gguf_walk_key(g, name, &sum);
		}
	}
	for (size_t i = 0; i < weir_gguf_tensor_count(g); i++)
		gguf_walk_tensor(g, weir_gguf_tensor_at(g, i), &sum);
	return sum;
}

#endif
