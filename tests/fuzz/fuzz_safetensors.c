/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes as a safetensors file; what opens is read from end to end. Seeds: see fuzz_gguf.c.
 */
#include <stdio.h>

#include "folder_writer.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void save_seed(const struct folder_writer *w, const char *folder, const char *name)
{
	size_t size;
	uint8_t *file = folder_writer_safetensors(w, 0, w->n, 0, &size);

	folder_put(folder, name, file, size);
	free(file);
}

/* One tensor of each type that the writer knows, of several shapes. */
static void add_types(struct folder_writer *w)
{
	static const enum weir_dtype types[] = {WEIR_DTYPE_U8, WEIR_DTYPE_I8, WEIR_DTYPE_F8_E4M3, WEIR_DTYPE_F16,
		WEIR_DTYPE_BF16, WEIR_DTYPE_I32, WEIR_DTYPE_F32, WEIR_DTYPE_I64};
	char name[16];

	for (unsigned i = 0; i < WEIR_ARRAY_SIZE(types); i++) {
		snprintf(name, sizeof(name), "t%u", i);
		folder_writer_add(w, name, types[i], i % 4, (uint64_t[]){2, 3, 1}, NULL);
	}
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("WEIR_FUZZ_SEEDS");
	struct folder_writer w = {0};

	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
	save_seed(&w, folder, "nothing.safetensors");
	add_types(&w);
	save_seed(&w, folder, "types.safetensors");
	folder_writer_free(&w);
	folder_sample(&w);
	save_seed(&w, folder, "sample.safetensors");
	folder_writer_free(&w);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static volatile unsigned sink;
	struct weir_safetensors *st;

	if (weir_safetensors_open_memory(data, size, "fuzz.safetensors", &st))
		return 0;
	for (size_t i = 0; i < weir_safetensors_count(st); i++) {
		const struct weir_safetensor *t = weir_safetensors_at(st, i);

		for (size_t b = 0; b < t->size; b++)
			sink += ((const uint8_t *)t->data)[b];
		(void)sink;
		if (weir_safetensors_find(st, t->name) != t)
			abort();
	}
	weir_safetensors_close(st);
	return 0;
}
