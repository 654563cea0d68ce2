/* SPDX-License-Identifier: MIT */
/* Opens GGUF files, maps them and their shards, and finds tensors. */
#include "format/gguf_parse.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- shards' names: model-00001-of-00003.gguf ------------------------------------------------ */

#define SUFFIX_LENGTH (sizeof("-00001-of-00003.gguf") - 1)

/* Reads five digits; -1 if they are not digits. */
static int read_five(const char *p)
{
	int n = 0;

	for (int i = 0; i < 5; i++) {
		if (p[i] < '0' || p[i] > '9')
			return -1;
		n = n * 10 + (p[i] - '0');
	}
	return n;
}

/* Number and count from the end of a shard's name; false for other names. */
static bool shard_of_name(const char *path, unsigned *number, unsigned *count)
{
	const size_t len = strlen(path);
	const char *p;
	int no, of;

	if (len < SUFFIX_LENGTH)
		return false;
	p = path + len - SUFFIX_LENGTH;
	if (p[0] != '-' || memcmp(p + 6, "-of-", 4) || strcmp(p + 15, ".gguf"))
		return false;
	no = read_five(p + 1);
	of = read_five(p + 10);
	if (no < 1 || of < 1 || no > of)
		return false;
	*number = (unsigned)no;
	*count = (unsigned)of;
	return true;
}

static int shard_path(const char *first, unsigned number, unsigned count, char **out)
{
	const int stem = (int)(strlen(first) - SUFFIX_LENGTH);

	if (asprintf(out, "%.*s-%05u-of-%05u.gguf", stem, first, number, count) < 0) {
		*out = NULL;
		return weir_fail(ENOMEM, "cannot read %s: no memory", first);
	}
	return 0;
}

/* ---- files ----------------------------------------------------------------------------------- */

static int map_file(struct weir_gguf_shard *s)
{
	const void *data;
	int err = weir_file_map(s->path, &data, &s->size);

	s->data = data;
	s->mapped = data != NULL;
	return err ? weir_fail_in(err, "cannot read %s", s->path) : 0;
}

/* What the shards say about their places, where they say it, against their names. */
static int check_split(const struct weir_gguf *g, const struct weir_gguf_shard *s)
{
	uint32_t count = g->n_shards, number = s->index;
	int err;

	err = weir_gguf_shard_u32(s, "split.count", &count);
	if (err && err != -ENOENT)
		return err;
	err = weir_gguf_shard_u32(s, "split.no", &number);
	if (err && err != -ENOENT)
		return err;
	if (g->n_shards == 1 && count <= 1)
		return 0;
	if (count != g->n_shards)
		return weir_gguf_fail(s, EINVAL,
			"split.count is %" PRIu32 ", but its name says that there %s %u", count,
			g->n_shards == 1 ? "is" : "are", g->n_shards);
	if (number != s->index)
		return weir_gguf_fail(s, EINVAL,
			"split.no is %" PRIu32 ", but by its name it is %u", number, s->index);
	return 0;
}

static int open_shard(struct weir_gguf *g, struct weir_gguf_shard *s)
{
	int err = map_file(s);

	if (!err)
		err = weir_gguf_parse(g, s);
	return err ? err : check_split(g, s);
}

/* ---- tensors by name ------------------------------------------------------------------------- */

static int compare_tensors(const void *a, const void *b)
{
	const struct weir_gguf_tensor *const *ta = a, *const *tb = b;

	return strcmp((*ta)->name, (*tb)->name);
}

static int compare_tensor_name(const void *name, const void *tensor)
{
	const struct weir_gguf_tensor *const *t = tensor;

	return strcmp(name, (*t)->name);
}

static int index_tensors(struct weir_gguf *g)
{
	const struct weir_gguf_shard *s = &g->shards[0];
	uint32_t count;
	int err;

	err = weir_gguf_shard_u32(s, "split.tensors.count", &count);
	if (err && err != -ENOENT)
		return err;
	if (!err && count != g->n_tensors)
		return weir_gguf_fail(s, EINVAL,
			"split.tensors.count is %" PRIu32 ", but there are %zu tensors", count,
			g->n_tensors);
	if (!g->n_tensors)
		return 0;
	g->by_name = calloc(g->n_tensors, sizeof(*g->by_name));
	if (!g->by_name)
		return weir_gguf_fail(s, ENOMEM, "no memory for %zu tensors", g->n_tensors);
	for (size_t i = 0; i < g->n_tensors; i++)
		g->by_name[i] = &g->tensors[i];
	qsort(g->by_name, g->n_tensors, sizeof(*g->by_name), compare_tensors);
	for (size_t i = 1; i < g->n_tensors; i++) {
		if (!compare_tensors(&g->by_name[i - 1], &g->by_name[i]))
			return weir_gguf_fail(
				s, EINVAL, "tensor %s is there twice", g->by_name[i]->name);
	}
	return 0;
}

/* ---- open and close -------------------------------------------------------------------------- */

static int create(const char *name, unsigned n_shards, struct weir_gguf **out)
{
	struct weir_gguf *g = calloc(1, sizeof(*g));

	if (g)
		g->shards = calloc(n_shards, sizeof(*g->shards));
	if (g && g->shards)
		g->shards[0].path = strdup(name);
	if (!g || !g->shards || !g->shards[0].path) {
		if (g)
			free(g->shards);
		free(g);
		return weir_fail(ENOMEM, "cannot read %s: no memory", name);
	}
	g->n_shards = n_shards;
	for (unsigned i = 0; i < n_shards; i++)
		g->shards[i].index = i;
	*out = g;
	return 0;
}

static int open_all(struct weir_gguf *g)
{
	int err = open_shard(g, &g->shards[0]);

	for (unsigned i = 1; i < g->n_shards && !err; i++) {
		err = shard_path(g->shards[0].path, i + 1, g->n_shards, &g->shards[i].path);
		if (!err)
			err = open_shard(g, &g->shards[i]);
	}
	return err ? err : index_tensors(g);
}

int weir_gguf_open(const char *path, struct weir_gguf **out)
{
	unsigned number = 1, count = 1;
	struct weir_gguf *g;
	int err;

	*out = NULL;
	if (shard_of_name(path, &number, &count) && number != 1)
		return weir_fail(EINVAL, "cannot read %s: it is shard %u of %u; open the first one",
			path, number, count);
	err = create(path, count, &g);
	if (err)
		return err;
	err = open_all(g);
	if (err) {
		weir_gguf_close(g);
		return err;
	}
	*out = g;
	return 0;
}

int weir_gguf_open_memory(const void *data, size_t size, const char *name, struct weir_gguf **out)
{
	struct weir_gguf *g;
	int err;

	*out = NULL;
	err = create(name, 1, &g);
	if (err)
		return err;
	g->shards[0].data = data;
	g->shards[0].size = size;
	err = weir_gguf_parse(g, &g->shards[0]);
	if (!err)
		err = check_split(g, &g->shards[0]);
	if (!err)
		err = index_tensors(g);
	if (err) {
		weir_gguf_close(g);
		return err;
	}
	*out = g;
	return 0;
}

void weir_gguf_close(struct weir_gguf *g)
{
	if (!g)
		return;
	for (size_t i = 0; i < g->n_tensors; i++)
		free((char *)g->tensors[i].name);
	free(g->tensors);
	free(g->by_name);
	for (unsigned i = 0; i < g->n_shards; i++) {
		struct weir_gguf_shard *s = &g->shards[i];

		if (s->mapped)
			munmap((void *)s->data, s->size);
		free(s->keys);
		free(s->by_name);
		free(s->path);
	}
	free(g->shards);
	free(g);
}

const char *weir_gguf_path(const struct weir_gguf *g)
{
	return g->shards[0].path;
}

unsigned weir_gguf_version(const struct weir_gguf *g)
{
	return g->shards[0].version;
}

unsigned weir_gguf_shards(const struct weir_gguf *g)
{
	return g->n_shards;
}

uint64_t weir_gguf_bytes(const struct weir_gguf *g)
{
	uint64_t bytes = 0;

	for (unsigned i = 0; i < g->n_shards; i++)
		bytes += g->shards[i].size;
	return bytes;
}

size_t weir_gguf_tensor_count(const struct weir_gguf *g)
{
	return g->n_tensors;
}

const struct weir_gguf_tensor *weir_gguf_tensor_at(const struct weir_gguf *g, size_t i)
{
	return i < g->n_tensors ? &g->tensors[i] : NULL;
}

const struct weir_gguf_tensor *weir_gguf_tensor(const struct weir_gguf *g, const char *name)
{
	const struct weir_gguf_tensor **found;

	if (!g->n_tensors)
		return NULL;
	found = bsearch(name, g->by_name, g->n_tensors, sizeof(*g->by_name), compare_tensor_name);
	return found ? *found : NULL;
}

void weir_gguf_drop(const struct weir_gguf *g, const struct weir_gguf_tensor *t)
{
	const struct weir_gguf_shard *s = &g->shards[t->shard];
	const uint64_t page = (uint64_t)sysconf(_SC_PAGESIZE);
	const uint64_t begin = t->offset / page * page;

	/* A page that a neighbour shares is read from the file again when it is touched. */
	if (s->mapped)
		madvise((char *)s->data + begin, t->offset + t->size - begin, MADV_DONTNEED);
}
