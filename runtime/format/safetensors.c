/* SPDX-License-Identifier: MIT */
/* Opens safetensors files, single or by their index, maps them, and finds tensors. */
#include "format/safetensors_parse.h"

#include <sys/mman.h>
#include <unistd.h>

#include "format/json.h"
#include "format/utf8.h"

#define MAX_SHARDS 512
#define MAX_INDEX (64 << 20)

/* ---- shards ---------------------------------------------------------------------------------- */

static int shard_add(struct weir_safetensors *st, const char *folder, const char *name)
{
	struct weir_safetensors_shard *more = reallocarray(st->shards, st->n_shards + 1, sizeof(*more));

	if (!more)
		return weir_fail(ENOMEM, "cannot read %s: no memory", folder);
	st->shards = more;
	more[st->n_shards] = (struct weir_safetensors_shard){0};
	if (asprintf(&more[st->n_shards].path, "%s/%s", folder, name) < 0)
		return weir_fail(ENOMEM, "cannot read %s: no memory", folder);
	st->n_shards++;
	return 0;
}

static int shard_open(struct weir_safetensors *st, unsigned shard)
{
	struct weir_safetensors_shard *s = &st->shards[shard];
	const void *data;
	int err = weir_file_map(s->path, &data, &s->size);

	s->data = data;
	s->mapped = data != NULL;
	if (err)
		return weir_fail_in(err, "cannot read %s", s->path);
	return weir_safetensors_parse(st, shard);
}

/* A file beside the index: no path that leads elsewhere. */
static bool is_file_name(const char *name)
{
	return *name && *name != '.' && !strchr(name, '/') && strlen(name) < 256 &&
	       weir_utf8_is_clean(name, strlen(name));
}

static const char *name_of(const struct weir_safetensors_shard *s)
{
	return strrchr(s->path, '/') + 1;
}

/* The shard of this name, added where it is new. Maps name their shards in runs: the last one is looked at first. */
static int shard_of_name(struct weir_safetensors *st, const char *folder, const struct weir_json *entry)
{
	const char *name;
	int err = weir_json_string(entry, NULL, &name);

	if (err)
		return err;
	if (!is_file_name(name))
		return weir_json_fail(entry, EINVAL, "is not the name of a file beside it");
	for (unsigned i = st->n_shards; i--;)
		if (!strcmp(name_of(&st->shards[i]), name))
			return 0;
	if (st->n_shards == MAX_SHARDS)
		return weir_json_fail(entry, EFBIG, "is one shard more than %d", MAX_SHARDS);
	return shard_add(st, folder, name);
}

/* ---- tensors by name ------------------------------------------------------------------------- */

static int compare_names(const void *a, const void *b)
{
	const struct weir_safetensor *x = a, *y = b;
	int order = strcmp(x->name, y->name);

	return order ? order : (x->shard > y->shard) - (x->shard < y->shard);
}

static int sort_tensors(struct weir_safetensors *st)
{
	if (st->n_tensors)
		qsort(st->tensors, st->n_tensors, sizeof(*st->tensors), compare_names);
	for (size_t i = 1; i < st->n_tensors; i++) {
		const struct weir_safetensor *a = &st->tensors[i - 1], *b = &st->tensors[i];

		if (!strcmp(a->name, b->name))
			return weir_fail(EINVAL, "cannot read %s: tensor %s is there, and in %s too",
				st->shards[b->shard].path, b->name, st->shards[a->shard].path);
	}
	return 0;
}

static int compare_name(const void *name, const void *tensor)
{
	return strcmp(name, ((const struct weir_safetensor *)tensor)->name);
}

const struct weir_safetensor *weir_safetensors_find(const struct weir_safetensors *st, const char *name)
{
	if (!st->n_tensors)
		return NULL;
	return bsearch(name, st->tensors, st->n_tensors, sizeof(*st->tensors), compare_name);
}

/* ---- open ------------------------------------------------------------------------------------ */

/* Each tensor of the map is in the shard that it names. */
static int check_map(const struct weir_safetensors *st, const struct weir_json *map)
{
	struct weir_json entry;
	const void *at = NULL;
	const char *name;

	while (weir_json_next(map, &at, &entry)) {
		const struct weir_safetensor *t = weir_safetensors_find(st, entry.key);
		int err = weir_json_string(&entry, NULL, &name);

		if (err)
			return err;
		if (!t || strcmp(name_of(&st->shards[t->shard]), name))
			return weir_json_fail(&entry, EINVAL, "is said to be in %s, which lacks it", name);
	}
	return 0;
}

static int open_map(struct weir_safetensors *st, const char *folder, const struct weir_json *index)
{
	struct weir_json map, entry;
	const void *at = NULL;
	int err = weir_json_object(index, "weight_map", &map);

	if (err)
		return err;
	while (!err && weir_json_next(&map, &at, &entry))
		err = shard_of_name(st, folder, &entry);
	for (unsigned i = 0; i < st->n_shards && !err; i++)
		err = shard_open(st, i);
	if (!err)
		err = sort_tensors(st);
	return err ? err : check_map(st, &map);
}

static int open_sharded(struct weir_safetensors *st, const char *folder)
{
	struct weir_json index;
	char *path;
	int err;

	if (asprintf(&path, "%s/model.safetensors.index.json", folder) < 0)
		return weir_fail(ENOMEM, "cannot read %s: no memory", folder);
	err = weir_json_open(path, MAX_INDEX, &index);
	if (err == -ENOENT)
		err = weir_fail(ENOENT, "cannot read %s: it has neither model.safetensors nor "
					"model.safetensors.index.json", folder);
	else if (!err)
		err = open_map(st, folder, &index);
	weir_json_close(&index);
	free(path);
	return err;
}

int weir_safetensors_open(const char *folder, struct weir_safetensors **out)
{
	struct weir_safetensors *st = calloc(1, sizeof(*st));
	int err;

	*out = NULL;
	if (!st)
		return weir_fail(ENOMEM, "cannot read %s: no memory", folder);
	err = shard_add(st, folder, "model.safetensors");
	if (!err && !access(st->shards[0].path, F_OK)) {
		err = shard_open(st, 0);
		if (!err)
			err = sort_tensors(st);
	} else if (!err) {
		free(st->shards[--st->n_shards].path);
		err = open_sharded(st, folder);
	}
	if (err) {
		weir_safetensors_close(st);
		return err;
	}
	*out = st;
	return 0;
}

int weir_safetensors_open_memory(const void *data, size_t size, const char *name, struct weir_safetensors **out)
{
	struct weir_safetensors *st = calloc(1, sizeof(*st));
	int err;

	*out = NULL;
	if (!st)
		return weir_fail(ENOMEM, "cannot read %s: no memory", name);
	err = shard_add(st, ".", name);
	if (!err) {
		st->shards[0].data = data;
		st->shards[0].size = size;
		err = weir_safetensors_parse(st, 0);
	}
	if (!err)
		err = sort_tensors(st);
	if (err) {
		weir_safetensors_close(st);
		return err;
	}
	*out = st;
	return 0;
}

void weir_safetensors_close(struct weir_safetensors *st)
{
	if (!st)
		return;
	for (size_t i = 0; i < st->n_tensors; i++)
		free((char *)st->tensors[i].name);
	for (unsigned i = 0; i < st->n_shards; i++) {
		if (st->shards[i].mapped)
			munmap((void *)st->shards[i].data, st->shards[i].size);
		free(st->shards[i].path);
	}
	free(st->tensors);
	free(st->shards);
	free(st);
}

/* ---- look-ups -------------------------------------------------------------------------------- */

unsigned weir_safetensors_shards(const struct weir_safetensors *st)
{
	return st->n_shards;
}

const char *weir_safetensors_path(const struct weir_safetensors *st, unsigned shard)
{
	return st->shards[shard].path;
}

uint64_t weir_safetensors_bytes(const struct weir_safetensors *st)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < st->n_shards; i++)
		bytes += st->shards[i].size;
	return bytes;
}

size_t weir_safetensors_count(const struct weir_safetensors *st)
{
	return st->n_tensors;
}

const struct weir_safetensor *weir_safetensors_at(const struct weir_safetensors *st, size_t i)
{
	return i < st->n_tensors ? &st->tensors[i] : NULL;
}

void weir_safetensors_drop(const struct weir_safetensors *st, const struct weir_safetensor *t)
{
	const struct weir_safetensors_shard *s = &st->shards[t->shard];
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t begin = t->offset / page * page;

	/* A page that a neighbour shares is read from the file again when it is touched. */
	if (s->mapped && t->size)
		madvise((char *)s->data + begin, t->offset + t->size - begin, MADV_DONTNEED);
}
