/* SPDX-License-Identifier: MIT */
/* Reads the header of one safetensors file and checks each tensor's place. */
#include "format/safetensors_parse.h"

#include <inttypes.h>

#include "format/json.h"
#include "format/utf8.h"

#define HEADER_MAX 100000000 /* as the format's own library has it */

static const struct {
	const char *name;
	size_t size;
} types[] = {
	[WEIR_DTYPE_BOOL] = {"BOOL", 1},
	[WEIR_DTYPE_U8] = {"U8", 1},
	[WEIR_DTYPE_I8] = {"I8", 1},
	[WEIR_DTYPE_F8_E5M2] = {"F8_E5M2", 1},
	[WEIR_DTYPE_F8_E4M3] = {"F8_E4M3", 1},
	[WEIR_DTYPE_I16] = {"I16", 2},
	[WEIR_DTYPE_U16] = {"U16", 2},
	[WEIR_DTYPE_F16] = {"F16", 2},
	[WEIR_DTYPE_BF16] = {"BF16", 2},
	[WEIR_DTYPE_I32] = {"I32", 4},
	[WEIR_DTYPE_U32] = {"U32", 4},
	[WEIR_DTYPE_F32] = {"F32", 4},
	[WEIR_DTYPE_I64] = {"I64", 8},
	[WEIR_DTYPE_U64] = {"U64", 8},
	[WEIR_DTYPE_F64] = {"F64", 8},
};

const char *weir_dtype_name(enum weir_dtype type)
{
	return types[type].name;
}

size_t weir_dtype_size(enum weir_dtype type)
{
	return types[type].size;
}

static int parse_type(const struct weir_json *entry, struct weir_safetensor *t)
{
	struct weir_json value;
	const char *name;
	int err = weir_json_string(entry, "dtype", &name);

	if (err)
		return err;
	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(types); i++) {
		if (!strcmp(name, types[i].name)) {
			t->type = (enum weir_dtype)i;
			return 0;
		}
	}
	weir_json_member(entry, "dtype", &value);
	return weir_json_fail(&value, ENOTSUP, "is %.32s, which Weir does not know", name);
}

static int parse_shape(const struct weir_json *entry, struct weir_safetensor *t)
{
	struct weir_json shape, element;
	int err = weir_json_array(entry, "shape", &shape);

	if (err)
		return err;
	if (weir_json_count(&shape) > WEIR_SAFETENSORS_DIMS)
		return weir_json_fail(&shape, EINVAL, "has %zu dimensions, more than %d", weir_json_count(&shape),
			WEIR_SAFETENSORS_DIMS);
	t->n_dims = (unsigned)weir_json_count(&shape);
	t->count = 1;
	for (unsigned i = 0; i < WEIR_SAFETENSORS_DIMS; i++) {
		t->dim[i] = 1;
		if (i >= t->n_dims)
			continue;
		weir_json_at(&shape, i, &element);
		err = weir_json_u64(&element, NULL, &t->dim[i]);
		if (err)
			return err;
		if (__builtin_mul_overflow(t->count, t->dim[i], &t->count))
			return weir_json_fail(&shape, EINVAL, "has a product that 64 bits cannot count");
	}
	if (!weir_size_mul(t->count, types[t->type].size, &t->size))
		return weir_json_fail(&shape, EINVAL, "has more bytes than memory can hold");
	return 0;
}

/* data_offsets, against the shape and the room bytes of data that there are. */
static int parse_place(const struct weir_json *entry, uint64_t room, struct weir_safetensor *t, uint64_t *begin)
{
	struct weir_json offsets, element;
	uint64_t end = 0;
	int err = weir_json_array(entry, "data_offsets", &offsets);

	if (err)
		return err;
	if (weir_json_count(&offsets) != 2)
		return weir_json_fail(&offsets, EINVAL, "has %zu values, not 2", weir_json_count(&offsets));
	weir_json_at(&offsets, 0, &element);
	err = weir_json_u64(&element, NULL, begin);
	if (err)
		return err;
	weir_json_at(&offsets, 1, &element);
	err = weir_json_u64(&element, NULL, &end);
	if (err)
		return err;
	if (end < *begin || end - *begin != t->size)
		return weir_json_fail(&offsets, EINVAL, "is %" PRIu64 " to %" PRIu64 ", but its shape has %zu bytes",
			*begin, end, t->size);
	if (end > room)
		return weir_json_fail(&offsets, EINVAL, "ends at byte %" PRIu64 ", the file has %" PRIu64 " of data",
			end, room);
	return 0;
}

static int parse_name(const struct weir_json *entry, struct weir_safetensor *t)
{
	const size_t len = strlen(entry->key);

	if (!len || len > WEIR_SAFETENSORS_NAME || !weir_utf8_is_clean(entry->key, len))
		return weir_json_fail(entry, EINVAL, "is no name of 1 to %d bytes without control characters",
			WEIR_SAFETENSORS_NAME);
	t->name = strdup(entry->key);
	return t->name ? 0 : weir_fail(ENOMEM, "cannot read %s: no memory for tensor names", entry->file);
}

/* data: where the tensors' bytes begin in the file. */
static int parse_tensor(const struct weir_safetensors_shard *s, size_t data, const struct weir_json *entry,
	struct weir_safetensor *t)
{
	uint64_t begin = 0;
	int err = parse_name(entry, t);

	if (!err)
		err = parse_type(entry, t);
	if (!err)
		err = parse_shape(entry, t);
	if (!err)
		err = parse_place(entry, s->size - data, t, &begin);
	if (err)
		return err;
	t->offset = data + begin;
	t->data = s->data + t->offset;
	return 0;
}

static int compare_places(const void *a, const void *b)
{
	const struct weir_safetensor *const *x = a, *const *y = b;

	if ((*x)->offset != (*y)->offset)
		return (*x)->offset < (*y)->offset ? -1 : 1;
	return strcmp((*x)->name, (*y)->name);
}

static int check_overlap(
	const struct weir_safetensors_shard *s, const struct weir_safetensor *tensors, size_t count)
{
	const struct weir_safetensor **order = calloc(WEIR_MAX(count, (size_t)1), sizeof(*order));
	size_t n = 0;
	int err = 0;

	if (!order)
		return weir_fail(ENOMEM, "cannot read %s: no memory for %zu tensors", s->path, count);
	for (size_t i = 0; i < count; i++)
		if (tensors[i].size)
			order[n++] = &tensors[i];
	qsort(order, n, sizeof(*order), compare_places);
	for (size_t i = 1; i < n && !err; i++) {
		const struct weir_safetensor *a = order[i - 1], *b = order[i];

		if (a->offset + a->size > b->offset)
			err = weir_fail(EINVAL, "cannot read %s: tensors %s and %s overlap at byte %" PRIu64, s->path,
				a->name, b->name, b->offset);
	}
	free(order);
	return err;
}

static int parse_tensors(struct weir_safetensors *st, unsigned shard, size_t data, const struct weir_json *header)
{
	const struct weir_safetensors_shard *s = &st->shards[shard];
	const size_t first = st->n_tensors, count = (size_t)json_object_object_length(header->value);
	struct weir_safetensor *more = reallocarray(st->tensors, first + count + 1, sizeof(*more));
	struct weir_json entry;
	const void *at = NULL;
	int err = 0;

	if (!more)
		return weir_fail(ENOMEM, "cannot read %s: no memory for %zu tensors", s->path, count);
	st->tensors = more;
	while (!err && weir_json_next(header, &at, &entry)) {
		struct weir_safetensor *t = &st->tensors[st->n_tensors];

		if (!strcmp(entry.key, "__metadata__"))
			continue;
		*t = (struct weir_safetensor){.shard = shard};
		st->n_tensors++;
		err = parse_tensor(s, data, &entry, t);
	}
	return err ? err : check_overlap(s, st->tensors + first, st->n_tensors - first);
}

int weir_safetensors_parse(struct weir_safetensors *st, unsigned shard)
{
	const struct weir_safetensors_shard *s = &st->shards[shard];
	struct weir_json header, object;
	uint64_t size;
	int err;

	if (s->size < 8)
		return weir_fail(EINVAL, "cannot read %s: it has %zu bytes, too few for a safetensors file", s->path,
			s->size);
	memcpy(&size, s->data, 8);
	if (size > HEADER_MAX)
		return weir_fail(EFBIG, "cannot read %s: its header has %" PRIu64 " bytes by its first 8, more than %d",
			s->path, size, HEADER_MAX);
	if (size > s->size - 8)
		return weir_fail(EINVAL, "cannot read %s: its header ends at byte %" PRIu64 ", the file has %zu",
			s->path, size + 8, s->size);
	err = weir_json_parse(s->path, (const char *)s->data + 8, (size_t)size, &header);
	if (err)
		return err;
	err = weir_json_object(&header, NULL, &object);
	if (!err)
		err = parse_tensors(st, shard, 8 + (size_t)size, &object);
	weir_json_close(&header);
	return err;
}
