/* SPDX-License-Identifier: MIT */
/* Look-ups in a GGUF file's metadata by key and type. */
#include "format/gguf_parse.h"

#include <inttypes.h>
#include <math.h>

static int compare_name(const void *name, const void *key)
{
	const struct weir_gguf_key *const *k = key;

	return weir_str_compare(name, &(*k)->name);
}

const struct weir_gguf_key *weir_gguf_find(const struct weir_gguf_shard *s, const char *name)
{
	const struct weir_str str = {name, strlen(name)};
	const struct weir_gguf_key **found;

	if (!s->n_keys)
		return NULL;
	found = bsearch(&str, s->by_name, s->n_keys, sizeof(*s->by_name), compare_name);
	return found ? *found : NULL;
}

static int fail_type(
	const struct weir_gguf_shard *s, const struct weir_gguf_key *key, const char *want)
{
	const char *of = "", *type = weir_gguf_value_name(key->type);
	struct weir_gguf_array a;

	if (key->type == WEIR_GGUF_ARRAY) {
		weir_gguf_array_of(key, &a);
		of = "array of ";
		type = weir_gguf_value_name(a.type);
	}
	return weir_gguf_fail(s, EINVAL, "key %.*s has type %s%s, not %s",
		WEIR_GGUF_SHOW(key->name), of, type, want);
}

/* An integer of any type that is not negative. False for others. */
static bool read_unsigned(const void *at, enum weir_gguf_value type, uint64_t *out)
{
	uint64_t bits = 0;
	const size_t size = weir_gguf_value_size(type);

	memcpy(&bits, at, size);
	*out = bits;
	switch (type) {
	case WEIR_GGUF_U8:
	case WEIR_GGUF_U16:
	case WEIR_GGUF_U32:
	case WEIR_GGUF_U64:
		return true;
	case WEIR_GGUF_I8:
	case WEIR_GGUF_I16:
	case WEIR_GGUF_I32:
	case WEIR_GGUF_I64:
		return !(bits >> (8 * size - 1));
	default:
		return false;
	}
}

static bool is_integer(enum weir_gguf_value type)
{
	return weir_gguf_value_size(type) && type != WEIR_GGUF_F32 && type != WEIR_GGUF_F64 &&
	       type != WEIR_GGUF_BOOL;
}

int weir_gguf_shard_u32(const struct weir_gguf_shard *s, const char *name, uint32_t *out)
{
	const struct weir_gguf_key *key = weir_gguf_find(s, name);
	uint64_t value;

	if (!key)
		return -ENOENT;
	if (!is_integer(key->type))
		return fail_type(s, key, "an integer");
	if (!read_unsigned(key->at, key->type, &value))
		return weir_gguf_fail(s, EINVAL, "key %s is negative", name);
	if (value > UINT32_MAX)
		return weir_gguf_fail(
			s, EINVAL, "key %s is %" PRIu64 ", more than fits in 32 bits", name, value);
	*out = (uint32_t)value;
	return 0;
}

int weir_gguf_u32(const struct weir_gguf *g, const char *key, uint32_t *out)
{
	return weir_gguf_shard_u32(&g->shards[0], key, out);
}

/* Element of a numeric type as a double. */
static double read_number(const void *at, enum weir_gguf_value type)
{
	union {
		uint8_t u8;
		int8_t i8;
		uint16_t u16;
		int16_t i16;
		uint32_t u32;
		int32_t i32;
		float f32;
		uint64_t u64;
		int64_t i64;
		double f64;
	} v;

	memcpy(&v, at, weir_gguf_value_size(type));
	switch (type) {
	case WEIR_GGUF_U8:
		return v.u8;
	case WEIR_GGUF_I8:
		return v.i8;
	case WEIR_GGUF_U16:
		return v.u16;
	case WEIR_GGUF_I16:
		return v.i16;
	case WEIR_GGUF_U32:
		return v.u32;
	case WEIR_GGUF_I32:
		return v.i32;
	case WEIR_GGUF_F32:
		return (double)v.f32;
	case WEIR_GGUF_BOOL:
		return v.u8 != 0;
	case WEIR_GGUF_U64:
		return (double)v.u64;
	case WEIR_GGUF_I64:
		return (double)v.i64;
	case WEIR_GGUF_F64:
		return v.f64;
	case WEIR_GGUF_STRING:
	case WEIR_GGUF_ARRAY:
		break;
	}
	return 0;
}

int weir_gguf_f32(const struct weir_gguf *g, const char *name, float *out)
{
	const struct weir_gguf_shard *s = &g->shards[0];
	const struct weir_gguf_key *key = weir_gguf_find(s, name);
	double value;

	if (!key)
		return -ENOENT;
	if (key->type != WEIR_GGUF_F32 && key->type != WEIR_GGUF_F64)
		return fail_type(s, key, "f32");
	value = read_number(key->at, key->type);
	/* Not by a cast: out of range it is undefined. */
	if (!(fabs(value) <= (double)__FLT_MAX__))
		return weir_gguf_fail(s, EINVAL, "key %s is %g, not a finite f32", name, value);
	*out = (float)value;
	return 0;
}

int weir_gguf_bool(const struct weir_gguf *g, const char *name, bool *out)
{
	const struct weir_gguf_shard *s = &g->shards[0];
	const struct weir_gguf_key *key = weir_gguf_find(s, name);

	if (!key)
		return -ENOENT;
	if (key->type != WEIR_GGUF_BOOL)
		return fail_type(s, key, "bool");
	*out = *key->at != 0;
	return 0;
}

int weir_gguf_string(const struct weir_gguf *g, const char *name, struct weir_str *out)
{
	const struct weir_gguf_shard *s = &g->shards[0];
	const struct weir_gguf_key *key = weir_gguf_find(s, name);

	if (!key)
		return -ENOENT;
	if (key->type != WEIR_GGUF_STRING)
		return fail_type(s, key, "string");
	out->ptr = (const char *)key->at + 8; /* behind its length */
	out->len = key->size - 8;
	return 0;
}

void weir_gguf_array_of(const struct weir_gguf_key *key, struct weir_gguf_array *out)
{
	uint32_t type;

	memcpy(&type, key->at, 4);
	memcpy(&out->count, key->at + 4, 8);
	out->type = (enum weir_gguf_value)type;
	out->data = key->at + 12;
	out->size = key->size - 12;
}

int weir_gguf_array(const struct weir_gguf *g, const char *name, enum weir_gguf_value type,
	struct weir_gguf_array *out)
{
	const struct weir_gguf_shard *s = &g->shards[0];
	const struct weir_gguf_key *key = weir_gguf_find(s, name);
	char want[32];

	if (!key)
		return -ENOENT;
	snprintf(want, sizeof(want), "array of %s", weir_gguf_value_name(type));
	if (key->type != WEIR_GGUF_ARRAY)
		return fail_type(s, key, want);
	weir_gguf_array_of(key, out);
	return out->type == type ? 0 : fail_type(s, key, want);
}

bool weir_gguf_next_string(const struct weir_gguf_array *a, const void **at, struct weir_str *out)
{
	const char *p = *at ? *at : a->data;
	uint64_t len;

	if (a->type != WEIR_GGUF_STRING || p == (const char *)a->data + a->size)
		return false;
	memcpy(&len, p, sizeof(len));
	out->ptr = p + sizeof(len);
	out->len = len;
	*at = out->ptr + len;
	return true;
}

double weir_gguf_number(const struct weir_gguf_array *a, uint64_t i)
{
	const size_t size = weir_gguf_value_size(a->type);

	return size ? read_number((const char *)a->data + i * size, a->type) : 0;
}

size_t weir_gguf_meta_count(const struct weir_gguf *g)
{
	return g->shards[0].n_keys;
}

int weir_gguf_meta(
	const struct weir_gguf *g, size_t i, struct weir_str *key, enum weir_gguf_value *type)
{
	const struct weir_gguf_shard *s = &g->shards[0];

	if (i >= s->n_keys)
		return weir_gguf_fail(
			s, ERANGE, "it has %zu metadata keys, no number %zu", s->n_keys, i);
	*key = s->keys[i].name;
	*type = s->keys[i].type;
	return 0;
}
