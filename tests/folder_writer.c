/* SPDX-License-Identifier: MIT */
/* Writes safetensors files and folders with them. */
#include "folder_writer.h"

#include <dirent.h>
#include <unistd.h>

static const size_t type_size[] = {[WEIR_DTYPE_U8] = 1, [WEIR_DTYPE_I8] = 1, [WEIR_DTYPE_F8_E4M3] = 1,
	[WEIR_DTYPE_F16] = 2, [WEIR_DTYPE_BF16] = 2, [WEIR_DTYPE_I32] = 4, [WEIR_DTYPE_F32] = 4, [WEIR_DTYPE_I64] = 8};

static void *grow(void *array, size_t size)
{
	void *more = realloc(array, size);

	if (!more)
		abort();
	return more;
}

void folder_writer_add(struct folder_writer *w, const char *name, enum weir_dtype type, unsigned n_dims,
	const uint64_t *dim, const void *data)
{
	struct folder_tensor *t;

	w->tensors = grow(w->tensors, (w->n + 1) * sizeof(*w->tensors));
	t = &w->tensors[w->n++];
	*t = (struct folder_tensor){.type = type, .n_dims = n_dims, .size = type_size[type]};
	snprintf(t->name, sizeof(t->name), "%s", name);
	for (unsigned i = 0; i < n_dims; i++) {
		t->dim[i] = dim[i];
		t->size *= dim[i];
	}
	t->data = grow(NULL, t->size + 1);
	if (data)
		memcpy(t->data, data, t->size);
	else
		memset(t->data, 0, t->size);
}

void folder_writer_floats(struct folder_writer *w, const char *name, enum weir_dtype type, unsigned n_dims,
	const uint64_t *dim, const float *floats)
{
	struct folder_tensor *t;

	folder_writer_add(w, name, type, n_dims, dim, NULL);
	t = &w->tensors[w->n - 1];
	if (type == WEIR_DTYPE_F32) {
		memcpy(t->data, floats, t->size);
		return;
	}
	for (size_t i = 0; i < t->size / 2; i++) {
		uint16_t half = weir_float_to_half(floats[i]);
		uint32_t bits;

		memcpy(&bits, &floats[i], 4);
		if (type == WEIR_DTYPE_BF16)
			half = (uint16_t)(bits >> 16);
		memcpy(t->data + 2 * i, &half, 2);
	}
}

struct folder_tensor *folder_writer_find(struct folder_writer *w, const char *name)
{
	for (size_t i = 0; i < w->n; i++)
		if (!strcmp(w->tensors[i].name, name))
			return &w->tensors[i];
	abort();
}

void folder_writer_remove(struct folder_writer *w, const char *name)
{
	struct folder_tensor *t = folder_writer_find(w, name);

	free(t->data);
	*t = w->tensors[--w->n];
}

void folder_writer_free(struct folder_writer *w)
{
	for (size_t i = 0; i < w->n; i++)
		free(w->tensors[i].data);
	free(w->tensors);
	*w = (struct folder_writer){0};
}

uint8_t *folder_writer_safetensors(const struct folder_writer *w, size_t first, size_t n, unsigned offset, size_t *size)
{
	char *header = NULL;
	size_t header_size = 0, at = 0;
	FILE *f = open_memstream(&header, &header_size);
	uint64_t length;
	uint8_t *file;

	if (!f)
		abort();
	fprintf(f, "{\"__metadata__\":{\"format\":\"pt\"}");
	for (size_t i = first; i < first + n; i++) {
		const struct folder_tensor *t = &w->tensors[i];

		fprintf(f, ",\"%s\":{\"dtype\":\"%s\",\"shape\":[", t->name, weir_dtype_name(t->type));
		for (unsigned d = 0; d < t->n_dims; d++)
			fprintf(f, "%s%llu", d ? "," : "", (unsigned long long)t->dim[d]);
		fprintf(f, "],\"data_offsets\":[%zu,%zu]}", at, at + t->size);
		at += t->size;
	}
	fputc('}', f);
	fflush(f);
	fprintf(f, "%*s", (int)((offset + 8 - header_size % 8) % 8), "");
	fclose(f);
	length = header_size;
	*size = 8 + header_size + at;
	file = grow(NULL, *size);
	memcpy(file, &length, 8);
	memcpy(file + 8, header, header_size);
	at = 8 + header_size;
	for (size_t i = first; i < first + n; at += w->tensors[i++].size)
		memcpy(file + at, w->tensors[i].data, w->tensors[i].size);
	free(header);
	return file;
}

char *folder_make(void)
{
	char *name = strdup("/tmp/weir-folder-XXXXXX");

	if (!name || !mkdtemp(name))
		abort();
	return name;
}

void folder_remove(const char *folder)
{
	DIR *dir = opendir(folder);
	char path[512];

	for (struct dirent *e; dir && (e = readdir(dir));) {
		snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
		if (*e->d_name != '.')
			unlink(path);
	}
	if (dir)
		closedir(dir);
	rmdir(folder);
}

void folder_put(const char *folder, const char *name, const void *data, size_t size)
{
	char path[512];
	FILE *f;

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	f = fopen(path, "wb");
	if (!f || fwrite(data, 1, size, f) != size || fclose(f))
		abort();
}

void folder_put_tensors(const char *folder, const struct folder_writer *w, unsigned shards)
{
	char name[64], *index = NULL;
	size_t index_size, done = 0;
	FILE *f = open_memstream(&index, &index_size);

	if (!f)
		abort();
	fprintf(f, "{\"metadata\":{\"total_size\":1},\"weight_map\":{");
	for (unsigned i = 0; i < shards; i++) {
		const size_t n = (w->n - done) / (shards - i);
		size_t size;
		uint8_t *file = folder_writer_safetensors(w, done, n, 0, &size);

		snprintf(name, sizeof(name), "model-%05u-of-%05u.safetensors", i + 1, shards);
		folder_put(folder, shards > 1 ? name : "model.safetensors", file, size);
		for (size_t t = done; t < done + n; t++)
			fprintf(f, "%s\"%s\":\"%s\"", t ? "," : "", w->tensors[t].name, name);
		done += n;
		free(file);
	}
	fprintf(f, "}}");
	fclose(f);
	if (shards > 1)
		folder_put(folder, "model.safetensors.index.json", index, index_size);
	free(index);
}
