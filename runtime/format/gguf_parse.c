/* SPDX-License-Identifier: MIT */
/* Reads the bytes of one GGUF file: header, metadata, tensors. Trusts none of them. */
#include "format/gguf_parse.h"

#include <inttypes.h>

#include "format/utf8.h"

/*
 * The least that a key (length, a byte, type, a byte of value) and a tensor's description take in a
 * file.
 */
#define KEY_BYTES (8 + 1 + 4 + 1)
#define TENSOR_BYTES (8 + 1 + 4 + 8 + 4 + 8)

/* Limits of the format's description: docs/gguf.md in the ggml project. */
#define KEY_MAX 65535
#define ALIGNMENT_DEFAULT 32
#define ALIGNMENT_MIN 8

#define NAME_MAX_BYTES 127
/* Larger than any page; keeps sums of offsets far from overflow. */
#define ALIGNMENT_MAX (1u << 24)

struct cursor {
	const struct weir_gguf_shard *s;
	size_t at; /* at most s->size */
};

static size_t left(const struct cursor *c)
{
	return c->s->size - c->at;
}

static bool take(struct cursor *c, void *out, size_t size)
{
	if (left(c) < size)
		return false;
	memcpy(out, c->s->data + c->at, size);
	c->at += size;
	return true;
}

static bool skip(struct cursor *c, size_t size)
{
	if (left(c) < size)
		return false;
	c->at += size;
	return true;
}

static bool take_string(struct cursor *c, struct weir_str *out)
{
	uint64_t len;

	if (!take(c, &len, sizeof(len)) || len > left(c))
		return false;
	out->ptr = (const char *)c->s->data + c->at;
	out->len = len;
	c->at += len;
	return true;
}

int weir_str_compare(const struct weir_str *a, const struct weir_str *b)
{
	int order = memcmp(a->ptr, b->ptr, WEIR_MIN(a->len, b->len));

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* ---- header ---------------------------------------------------------------------------------- */

static int parse_header(struct cursor *c, uint32_t *version, uint64_t *n_tensors, uint64_t *n_keys)
{
	const struct weir_gguf_shard *s = c->s;
	char magic[4];
	uint32_t swapped;

	if (!s->size)
		return weir_gguf_fail(s, EINVAL, "it is empty");
	if (!take(c, magic, 4) || memcmp(magic, "GGUF", 4))
		return weir_gguf_fail(s, EINVAL, "it is no GGUF file: it does not begin with GGUF");
	if (!take(c, version, 4))
		return weir_gguf_fail(s, EINVAL, "it ends in the header, at byte %zu", s->size);
	swapped = __builtin_bswap32(*version);
	if (*version > 0xffff && swapped >= 1 && swapped <= 0xffff)
		return weir_gguf_fail(s, ENOTSUP,
			"it is big-endian (GGUF version %" PRIu32
			"); Weir reads little-endian files",
			swapped);
	if (*version < 2 || *version > 3)
		return weir_gguf_fail(s, ENOTSUP,
			"it is GGUF version %" PRIu32 "; Weir reads versions 2 and 3", *version);
	if (!take(c, n_tensors, 8) || !take(c, n_keys, 8))
		return weir_gguf_fail(s, EINVAL, "it ends in the header, at byte %zu", s->size);
	if (*n_keys > left(c) / KEY_BYTES)
		return weir_gguf_fail(s, EINVAL,
			"it says %" PRIu64 " metadata keys, too many for its %zu bytes", *n_keys,
			s->size);
	if (*n_tensors > left(c) / TENSOR_BYTES)
		return weir_gguf_fail(s, EINVAL,
			"it says %" PRIu64 " tensors, too many for its %zu bytes", *n_tensors,
			s->size);
	return 0;
}

/* ---- metadata -------------------------------------------------------------------------------- */

static int fail_value(const struct cursor *c, const struct weir_gguf_key *key)
{
	return weir_gguf_fail(c->s, EINVAL,
		"the value of key %.*s goes past the end of the file, which has %zu bytes",
		WEIR_GGUF_SHOW(key->name), c->s->size);
}

static int parse_strings(struct cursor *c, const struct weir_gguf_key *key, uint64_t count)
{
	struct weir_str s;

	if (count > left(c) / 8)
		return fail_value(c, key);
	while (count--) {
		if (!take_string(c, &s))
			return fail_value(c, key);
	}
	return 0;
}

static int parse_array(struct cursor *c, const struct weir_gguf_key *key)
{
	uint32_t type;
	uint64_t count;
	size_t size;

	if (!take(c, &type, 4) || !take(c, &count, 8))
		return fail_value(c, key);
	if (type == WEIR_GGUF_ARRAY)
		return weir_gguf_fail(c->s, ENOTSUP,
			"key %.*s is an array of arrays, which Weir does not read",
			WEIR_GGUF_SHOW(key->name));
	if (type == WEIR_GGUF_STRING)
		return parse_strings(c, key, count);
	size = weir_gguf_value_size(type);
	if (!size)
		return weir_gguf_fail(c->s, EINVAL,
			"key %.*s is an array of value type %" PRIu32 ", which does not exist",
			WEIR_GGUF_SHOW(key->name), type);
	if (count > left(c) / size)
		return fail_value(c, key);
	c->at += count * size;
	return 0;
}

static int parse_value(struct cursor *c, const struct weir_gguf_key *key, uint32_t type)
{
	struct weir_str s;
	size_t size = weir_gguf_value_size(type);

	if (type == WEIR_GGUF_ARRAY)
		return parse_array(c, key);
	if (type == WEIR_GGUF_STRING)
		return take_string(c, &s) ? 0 : fail_value(c, key);
	if (!size)
		return weir_gguf_fail(c->s, EINVAL,
			"key %.*s has value type %" PRIu32 ", which does not exist",
			WEIR_GGUF_SHOW(key->name), type);
	return skip(c, size) ? 0 : fail_value(c, key);
}

static int parse_key(struct cursor *c, uint64_t number, uint64_t count, struct weir_gguf_key *key)
{
	uint32_t type;
	int err;

	if (!take_string(c, &key->name))
		return weir_gguf_fail(c->s, EINVAL,
			"it ends in metadata key %" PRIu64 " of %" PRIu64, number, count);
	if (!key->name.len || key->name.len > KEY_MAX || !weir_utf8_is_clean(key->name.ptr, key->name.len))
		return weir_gguf_fail(c->s, EINVAL,
			"metadata key %" PRIu64 " of %" PRIu64
			" has no name of 1 to %d bytes of UTF-8 text",
			number, count, KEY_MAX);
	if (!take(c, &type, 4))
		return fail_value(c, key);
	key->at = c->s->data + c->at;
	err = parse_value(c, key, type);
	if (err)
		return err;
	key->type = (enum weir_gguf_value)type;
	key->size = (size_t)(c->s->data + c->at - key->at);
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	const struct weir_gguf_key *const *ka = a, *const *kb = b;

	return weir_str_compare(&(*ka)->name, &(*kb)->name);
}

/* Sorted, so that neither a look-up nor the search for double keys is slow with a million keys. */
static int index_keys(struct weir_gguf_shard *s)
{
	for (size_t i = 0; i < s->n_keys; i++)
		s->by_name[i] = &s->keys[i];
	qsort(s->by_name, s->n_keys, sizeof(*s->by_name), compare_keys);
	for (size_t i = 1; i < s->n_keys; i++) {
		if (!compare_keys(&s->by_name[i - 1], &s->by_name[i]))
			return weir_gguf_fail(s, EINVAL, "key %.*s is there twice",
				WEIR_GGUF_SHOW(s->by_name[i]->name));
	}
	return 0;
}

static int parse_keys(struct weir_gguf_shard *s, struct cursor *c, uint64_t count)
{
	int err;

	if (!count)
		return 0;
	s->keys = calloc(count, sizeof(*s->keys));
	s->by_name = calloc(count, sizeof(*s->by_name));
	if (!s->keys || !s->by_name)
		return weir_gguf_fail(s, ENOMEM, "no memory for %" PRIu64 " keys", count);
	for (uint64_t i = 0; i < count; i++) {
		err = parse_key(c, i + 1, count, &s->keys[i]);
		if (err)
			return err;
	}
	s->n_keys = count;
	return index_keys(s);
}

static int find_alignment(struct weir_gguf_shard *s)
{
	uint32_t value = ALIGNMENT_DEFAULT;
	int err = weir_gguf_shard_u32(s, "general.alignment", &value);

	if (err && err != -ENOENT)
		return err;
	if (value < ALIGNMENT_MIN || value > ALIGNMENT_MAX || (value & (value - 1)))
		return weir_gguf_fail(s, EINVAL,
			"general.alignment is %" PRIu32 ", not a power of two from %d to %u", value,
			ALIGNMENT_MIN, ALIGNMENT_MAX);
	s->alignment = value;
	return 0;
}

/* ---- tensors --------------------------------------------------------------------------------- */

static int parse_tensor_name(
	struct cursor *c, uint64_t number, uint64_t count, struct weir_gguf_tensor *t)
{
	struct weir_str name;

	if (!take_string(c, &name))
		return weir_gguf_fail(c->s, EINVAL,
			"it ends in the name of tensor %" PRIu64 " of %" PRIu64, number, count);
	if (!name.len || name.len > NAME_MAX_BYTES || !weir_utf8_is_clean(name.ptr, name.len))
		return weir_gguf_fail(c->s, EINVAL,
			"tensor %" PRIu64 " of %" PRIu64
			" has no name of 1 to %d bytes of UTF-8 text",
			number, count, NAME_MAX_BYTES);
	t->name = strndup(name.ptr, name.len);
	return t->name ? 0 : weir_gguf_fail(c->s, ENOMEM, "no memory for tensor names");
}

/* Dims and their product. */
static int parse_dims(struct cursor *c, struct weir_gguf_tensor *t)
{
	uint32_t n_dims;

	if (!take(c, &n_dims, 4))
		return weir_gguf_fail(
			c->s, EINVAL, "it ends in the description of tensor %s", t->name);
	if (n_dims < 1 || n_dims > 4)
		return weir_gguf_fail(c->s, EINVAL,
			"tensor %s has %" PRIu32 " dimensions, not 1 to 4", t->name, n_dims);
	t->n_dims = n_dims;
	t->weights = 1;
	for (unsigned i = 0; i < 4; i++) {
		t->dim[i] = 1;
		if (i < n_dims && !take(c, &t->dim[i], 8))
			return weir_gguf_fail(
				c->s, EINVAL, "it ends in the description of tensor %s", t->name);
		if (!t->dim[i])
			return weir_gguf_fail(
				c->s, EINVAL, "dimension %u of tensor %s is 0", i, t->name);
		if (__builtin_mul_overflow(t->weights, t->dim[i], &t->weights))
			return weir_gguf_fail(c->s, EINVAL,
				"tensor %s has more weights than 64 bits can count", t->name);
	}
	return 0;
}

static int parse_type(struct cursor *c, struct weir_gguf_tensor *t)
{
	size_t weights, bytes;

	if (!take(c, &t->type, 4) || !take(c, &t->offset, 8))
		return weir_gguf_fail(
			c->s, EINVAL, "it ends in the description of tensor %s", t->name);
	if (!weir_type_shape(t->type, &weights, &bytes))
		return weir_gguf_fail(c->s, ENOTSUP,
			"tensor %s has type %" PRIu32 ", which Weir does not know", t->name,
			t->type);
	if (t->dim[0] % weights)
		return weir_gguf_fail(c->s, EINVAL,
			"tensor %s has rows of %" PRIu64
			" weights, but %s keeps them in blocks of %zu",
			t->name, t->dim[0], weir_type_name(t->type), weights);
	if (__builtin_mul_overflow(t->weights / weights, bytes, &t->size))
		return weir_gguf_fail(
			c->s, EINVAL, "tensor %s has more bytes than memory can hold", t->name);
	return 0;
}

/* From offsets in the data, which begins at data, to bytes of the file. */
static int place_tensor(const struct weir_gguf_shard *s, uint64_t data, struct weir_gguf_tensor *t)
{
	size_t weights, bytes;
	uint64_t end;

	if (t->offset % s->alignment)
		return weir_gguf_fail(s, EINVAL,
			"tensor %s begins at offset %" PRIu64
			", which is no multiple of the alignment, %zu",
			t->name, t->offset, s->alignment);
	if (__builtin_add_overflow(t->offset, data, &t->offset) ||
		__builtin_add_overflow(t->offset, t->size, &end))
		return weir_gguf_fail(
			s, EINVAL, "tensor %s has an offset that does not fit in 64 bits", t->name);
	if (end > s->size)
		return weir_gguf_fail(s, EINVAL,
			"tensor %s ends at byte %" PRIu64 ", the file has %zu", t->name, end,
			s->size);
	t->shard = s->index;
	if (weir_type_block(t->type, &weights, &bytes))
		t->data = s->data + t->offset;
	return 0;
}

static int compare_offsets(const void *a, const void *b)
{
	const struct weir_gguf_tensor *const *ta = a, *const *tb = b;
	uint64_t x = (*ta)->offset, y = (*tb)->offset;

	/*
	 * By place in the file's list where the offset is the same, for the sentence to be the same
	 * everywhere.
	 */
	return x != y ? (x > y) - (x < y) : (*ta > *tb) - (*ta < *tb);
}

static int check_overlap(
	const struct weir_gguf_shard *s, const struct weir_gguf_tensor *tensors, size_t count)
{
	const struct weir_gguf_tensor **order = calloc(count, sizeof(*order));
	size_t n = 0;
	int err = 0;

	if (!order)
		return weir_gguf_fail(s, ENOMEM, "no memory for %zu tensors", count);
	for (size_t i = 0; i < count; i++) {
		if (tensors[i].size) /* else its size is not known */
			order[n++] = &tensors[i];
	}
	qsort(order, n, sizeof(*order), compare_offsets);
	for (size_t i = 1; i < n && !err; i++) {
		const struct weir_gguf_tensor *a = order[i - 1], *b = order[i];

		if (a->offset + a->size > b->offset)
			err = weir_gguf_fail(s, EINVAL,
				"tensors %s and %s overlap at byte %" PRIu64, a->name, b->name,
				b->offset);
	}
	free(order);
	return err;
}

static int grow_tensors(struct weir_gguf *g, const struct weir_gguf_shard *s, uint64_t count)
{
	struct weir_gguf_tensor *more;
	size_t total;

	if (!weir_size_add(g->n_tensors, count, &total))
		return weir_gguf_fail(s, EOVERFLOW, "the shards have too many tensors");
	more = reallocarray(g->tensors, total, sizeof(*more));
	if (!more)
		return weir_gguf_fail(s, ENOMEM, "no memory for %zu tensors", total);
	memset(more + g->n_tensors, 0, count * sizeof(*more));
	g->tensors = more;
	return 0;
}

static int parse_tensors(struct weir_gguf *g, struct cursor *c, uint64_t count)
{
	const size_t first = g->n_tensors;
	uint64_t data;
	int err;

	if (!count)
		return 0;
	err = grow_tensors(g, c->s, count);
	for (uint64_t i = 0; i < count && !err; i++) {
		struct weir_gguf_tensor *t = &g->tensors[g->n_tensors++];

		err = parse_tensor_name(c, i + 1, count, t);
		if (!err)
			err = parse_dims(c, t);
		if (!err)
			err = parse_type(c, t);
	}
	if (err)
		return err;
	data = weir_align_up(c->at, c->s->alignment);
	for (size_t i = first; i < g->n_tensors && !err; i++)
		err = place_tensor(c->s, data, &g->tensors[i]);
	return err ? err : check_overlap(c->s, g->tensors + first, count);
}

int weir_gguf_parse(struct weir_gguf *g, struct weir_gguf_shard *s)
{
	struct cursor c = {.s = s};
	uint64_t n_tensors = 0, n_keys = 0;
	int err;

	err = parse_header(&c, &s->version, &n_tensors, &n_keys);
	if (!err)
		err = parse_keys(s, &c, n_keys);
	if (!err)
		err = find_alignment(s);
	if (!err)
		err = parse_tensors(g, &c, n_tensors);
	return err;
}
