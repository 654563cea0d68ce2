/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes as a TFLite file; what opens is read from end to end and must keep the
 * reader's word. Seeds are written to the folder that WEIR_FUZZ_SEEDS names, before the run: mkdir corpus
 * && WEIR_FUZZ_SEEDS=corpus build/fuzz/fuzz_tflite -max_total_time=180 corpus
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include "tflite_walk.h"
#include "tflite_writer.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void save_seed(struct tflite_writer *w, const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof(path), "%s/%s", folder, name);
	if (tflite_writer_save(w, path))
		fprintf(stderr, "cannot write %s\n", path);
	tflite_writer_free(w);
}

/* As little as opens. */
static struct tflite_writer *smallest(void)
{
	struct tflite_writer *w = tflite_writer_new();
	const int32_t in = tflite_writer_tensor(w, &(struct tflite_tensor){.n_dims = 1, .dim = {1}});
	const int32_t out = tflite_writer_tensor(w, &(struct tflite_tensor){.n_dims = 1, .dim = {1}});

	tflite_writer_op(w, &(struct weir_tflite_op){.code = WEIR_TFLITE_RELU,
				    .n_inputs = 1,
				    .inputs = &in,
				    .n_outputs = 1,
				    .outputs = &out});
	tflite_writer_ends(w, 1, &in, 1, &out);
	return w;
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *folder = getenv("WEIR_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (!folder)
		return 0;
	save_seed(tflite_writer_sample(), folder, "sample.tflite");
	save_seed(smallest(), folder, "smallest.tflite");
	save_seed(tflite_writer_new(), folder, "nothing.tflite");
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static volatile uint64_t sink;
	struct weir_tflite *f;

	if (!weir_tflite_parse(data, size, "fuzz.tflite", &f)) {
		sink = tflite_walk(f);
		(void)sink;
		weir_tflite_close(f);
	}
	return 0;
}
