/* SPDX-License-Identifier: MIT */
/* Reads FlatBuffers' tables and vectors. Trusts no offset and no length. */
#include "format/tflite_flat.h"

#include "format/utf8.h"

/* How often all of a file may be walked through, and what a tiny one may have beyond that. */
#define WALKS 8
#define WALK_MIN (64 * 1024)

#define GET(type, p)                                                                                     \
	({                                                                                               \
		type value_;                                                                             \
		memcpy(&value_, (p), sizeof(value_));                                                    \
		value_;                                                                                  \
	})

int32_t weir_flat_get_i32(const void *p)
{
	return GET(int32_t, p);
}

int64_t weir_flat_get_i64(const void *p)
{
	return GET(int64_t, p);
}

float weir_flat_get_f32(const void *p)
{
	return GET(float, p);
}

void weir_flat_init(struct weir_flat *b, const void *data, size_t size)
{
	*b = (struct weir_flat){.data = data, .size = size};
	if (!weir_size_mul(size, WALKS, &b->budget) || !weir_size_add(b->budget, WALK_MIN, &b->budget))
		b->budget = SIZE_MAX;
}

/* Keeps the first error. */
#define FAIL(b, ...)                                                                                     \
	({                                                                                               \
		if (!(b)->err)                                                                           \
			(b)->err = weir_fail(EINVAL, __VA_ARGS__);                                       \
		false;                                                                                   \
	})

/* Whether count bytes lie in the file from at on; at may be anything. */
static bool inside(const struct weir_flat *b, size_t at, size_t count)
{
	return at <= b->size && count <= b->size - at;
}

/* Follows the offset that lies at byte `from`, which is inside, to something of at least 4 bytes. */
static bool follow(struct weir_flat *b, size_t from, const char *what, size_t *to)
{
	const uint32_t offset = GET(uint32_t, b->data + from);

	if (!offset)
		return FAIL(b, "%s has offset 0, at byte %zu", what, from);
	if (!weir_size_add(from, offset, to) || !inside(b, *to, 4))
		return FAIL(b, "%s begins %u bytes behind byte %zu, but the file has %zu", what, offset,
			from, b->size);
	if (*to % 4)
		return FAIL(b, "%s begins at byte %zu, which is no multiple of 4", what, *to);
	return true;
}

/* A table and its vtable, which lie in the file whole. at is inside with 4 bytes. */
static bool open_table(struct weir_flat *b, size_t at, const char *what, struct weir_flat_table *out)
{
	const int64_t vtable = (int64_t)at - GET(int32_t, b->data + at);
	size_t from, bytes;

	if (vtable < 0 || !inside(b, (size_t)vtable, 4) || vtable % 2)
		return FAIL(b, "%s, at byte %zu, has its vtable at byte %lld of %zu", what, at,
			(long long)vtable, b->size);
	from = (size_t)vtable;
	bytes = GET(uint16_t, b->data + from);
	if (bytes < 4 || bytes % 2 || !inside(b, from, bytes))
		return FAIL(
			b, "%s has a vtable of %zu bytes at byte %zu of %zu", what, bytes, from, b->size);
	out->size = GET(uint16_t, b->data + from + 2);
	if (out->size < 4 || !inside(b, at, out->size))
		return FAIL(b, "%s has %u bytes at byte %zu of %zu", what, out->size, at, b->size);
	out->at = at;
	out->slots = from + 4;
	out->n_slots = (unsigned)(bytes - 4) / 2;
	return true;
}

bool weir_flat_root(struct weir_flat *b, struct weir_flat_table *out)
{
	size_t at;

	*out = (struct weir_flat_table){0};
	if (b->err)
		return false;
	if (!inside(b, 0, 4))
		return FAIL(b, "it ends in the header, at byte %zu", b->size);
	return follow(b, 0, "its first table", &at) && open_table(b, at, "its first table", out);
}

/* ---- fields ---------------------------------------------------------------------------------- */

/* The byte where a field of size bytes lies; 0: it is absent, or something is wrong. */
static size_t field(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot, size_t size)
{
	size_t offset;

	if (b->err || !t->at || slot >= t->n_slots)
		return 0;
	offset = GET(uint16_t, b->data + t->slots + 2 * (size_t)slot);
	if (!offset)
		return 0;
	if (offset < 4 || offset > t->size || size > t->size - offset) {
		FAIL(b, "field %u of the table at byte %zu lies at bytes %zu to %zu of its %u", slot,
			t->at, offset, offset + size, t->size);
		return 0;
	}
	return t->at + offset;
}

bool weir_flat_has(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	return field(b, t, slot, 1) != 0;
}

#define SCALAR(type, absent)                                                                             \
	const size_t at = field(b, t, slot, sizeof(type));                                               \
	return at ? GET(type, b->data + at) : (absent)

bool weir_flat_bool(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	return weir_flat_u8(b, t, slot) != 0;
}

int weir_flat_i8(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	SCALAR(int8_t, 0);
}

int weir_flat_u8(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	SCALAR(uint8_t, 0);
}

int32_t weir_flat_i32(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot, int32_t absent)
{
	SCALAR(int32_t, absent);
}

uint32_t weir_flat_u32(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	SCALAR(uint32_t, 0);
}

uint64_t weir_flat_u64(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	SCALAR(uint64_t, 0);
}

float weir_flat_f32(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot)
{
	SCALAR(float, 0);
}

bool weir_flat_table(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot,
	const char *what, struct weir_flat_table *out)
{
	const size_t from = field(b, t, slot, 4);
	size_t at;

	*out = (struct weir_flat_table){0};
	if (!from)
		return !b->err;
	return follow(b, from, what, &at) && open_table(b, at, what, out);
}

bool weir_flat_vector(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot, size_t element,
	const char *what, struct weir_flat_vector *out)
{
	const size_t from = field(b, t, slot, 4);
	uint32_t count;
	size_t at;

	*out = (struct weir_flat_vector){0};
	if (!from)
		return !b->err;
	if (!follow(b, from, what, &at))
		return false;
	count = GET(uint32_t, b->data + at);
	at += 4;
	if (count > (b->size - at) / element)
		return FAIL(b, "%s has %u values from byte %zu on, but the file has %zu bytes", what,
			count, at, b->size);
	*out = (struct weir_flat_vector){.at = at, .count = count};
	return true;
}

bool weir_flat_element(
	struct weir_flat *b, const struct weir_flat_vector *v, uint32_t i, struct weir_flat_table *out)
{
	size_t at;

	*out = (struct weir_flat_table){0};
	if (b->err)
		return false;
	return follow(b, v->at + 4 * (size_t)i, "its table", &at) && open_table(b, at, "its table", out);
}

bool weir_flat_walk(
	struct weir_flat *b, const struct weir_flat_vector *v, size_t element, const char *what)
{
	const size_t bytes = v->count * element; /* in the file, so no overflow */

	if (b->err)
		return false;
	if (bytes > b->budget)
		return FAIL(b, "%s, of %u values, is one of the same that too many tables share", what,
			v->count);
	b->budget -= bytes;
	return true;
}

/* ---- strings --------------------------------------------------------------------------------- */

bool weir_flat_string(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot,
	const char *what, char *out, size_t size)
{
	struct weir_flat_vector v;
	size_t len, to = 0;
	const char *p;

	*out = '\0';
	if (!weir_flat_vector(b, t, slot, 1, what, &v))
		return false;
	p = (const char *)b->data + v.at;
	for (size_t i = 0; i < v.count; i += len ? len : 1) {
		len = weir_utf8_printable(p + i, v.count - i);
		if (to + (len ? len : 1) >= size)
			break;
		if (len)
			memcpy(out + to, p + i, len);
		else
			out[to] = '?';
		to += len ? len : 1;
	}
	out[to] = '\0';
	return true;
}
