/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes as a GGUF file; what opens is read from end to end. Seeds are written
 * to the folder that WEIR_FUZZ_SEEDS names, before the run:
 *     mkdir corpus && WEIR_FUZZ_SEEDS=corpus build/fuzz/fuzz_gguf -max_total_time=180 corpus
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "gguf_walk.h"
#include "gguf_writer.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void save_seed(struct gguf_writer *w, const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (gguf_writer_save(w, path))
		fprintf(stderr, "cannot write %s\n", path);
	gguf_writer_free(w);
}

/* One tensor of each type that Weir runs, aligned to 8, and what shards say. */
static struct gguf_writer *every_type(void)
{
	struct gguf_writer *w = gguf_writer_new(3);
	size_t weights, bytes;
	char name[16];

	gguf_writer_alignment(w, 8);
	gguf_writer_u32(w, "split.no", 0);
	gguf_writer_u32(w, "split.count", 1);
	for (uint32_t type = 0; type < 64; type++) {
		if (!weir_type_block(type, &weights, &bytes))
			continue;
		snprintf(name, sizeof(name), "t%u", type);
		gguf_writer_tensor(w, name, type, 1, (uint64_t[]){weights}, NULL);
	}
	return w;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("WEIR_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
	save_seed(gguf_writer_sample(2), folder, "sample-v2.gguf");
	save_seed(gguf_writer_sample(3), folder, "sample-v3.gguf");
	save_seed(gguf_writer_new(3), folder, "nothing.gguf");
	save_seed(every_type(), folder, "every-type.gguf");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static volatile uint64_t sink;
	struct weir_gguf *g;

	if (!weir_gguf_open_memory(data, size, "fuzz.gguf", &g)) {
		sink = gguf_walk(g);
		(void)sink;
		weir_gguf_close(g);
	}
	return 0;
}
