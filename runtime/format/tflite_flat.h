/* SPDX-License-Identifier: MIT */
/*
 * FlatBuffers' tables, vectors and strings, read from bytes that nobody has checked. The first thing that
 * is wrong sets err and this thread's error text; from then on every read gives its default, so that
 * callers look at err once a table. Layout: "FlatBuffer Internals" of the FlatBuffers documentation.
 */
#ifndef WEIR_FORMAT_TFLITE_FLAT_H
#define WEIR_FORMAT_TFLITE_FLAT_H

#include "base/base.h"

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
	"FlatBuffers' values are read as they lie in the file, which is little-endian");

struct weir_flat {
	const uint8_t *data;
	size_t size;
	size_t budget; /* bytes of vectors that may still be walked through: see weir_flat_walk */
	int err;       /* 0 or -errno */
};

struct weir_flat_table {
	size_t at; /* 0: the file has none, and every field is its default */
	size_t slots;
	unsigned n_slots, size;
};

struct weir_flat_vector {
	size_t at; /* of element 0 */
	uint32_t count;
};

void weir_flat_init(struct weir_flat *b, const void *data, size_t size);

/* The table that the file begins with. False, here and below: err is set, also when it was before. */
bool weir_flat_root(struct weir_flat *b, struct weir_flat_table *out);

/* Fields by slot: 0 for the first of the schema's table. what names them in sentences: "its shape". */
bool weir_flat_has(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);
bool weir_flat_bool(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);
int weir_flat_i8(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);
int weir_flat_u8(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);
int32_t weir_flat_i32(
	struct weir_flat *b, const struct weir_flat_table *t, unsigned slot, int32_t absent);
uint32_t weir_flat_u32(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);
uint64_t weir_flat_u64(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);
float weir_flat_f32(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot);

/* An absent table has at == 0, an absent vector count == 0. */
bool weir_flat_table(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot,
	const char *what, struct weir_flat_table *out);
bool weir_flat_vector(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot, size_t element,
	const char *what, struct weir_flat_vector *out);
/* Element i < count of a vector of tables. */
bool weir_flat_element(
	struct weir_flat *b, const struct weir_flat_vector *v, uint32_t i, struct weir_flat_table *out);
/* A string as printable UTF-8, what is not as '?', cut to size; "" when absent. */
bool weir_flat_string(struct weir_flat *b, const struct weir_flat_table *t, unsigned slot,
	const char *what, char *out, size_t size);

/*
 * To be called before going through a vector's elements: a small file can name one long vector many times
 * over, and would take hours to read. No honest file comes near the limit.
 */
bool weir_flat_walk(
	struct weir_flat *b, const struct weir_flat_vector *v, size_t element, const char *what);

/* A value in the file; at and its bytes were checked. */
int32_t weir_flat_get_i32(const void *p);
int64_t weir_flat_get_i64(const void *p);
float weir_flat_get_f32(const void *p);

#endif
