/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: config.json, a zero byte, and model.safetensors of a folder, or a GGUF file; what opens is read as a
 * model reads it.
 * Seeds: see fuzz_gguf.c.
 */
#include <stdio.h>
#include <unistd.h>

#include "folder_writer.h"
#include "format/checkpoint.h"
#include "gguf_writer.h"
#include "llm/params.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROWS 3

static char *folder;

static void remove_folder(void)
{
	folder_remove(folder);
	free(folder);
}

static void save_seed(const char *seeds, const char *name, const char *config, const struct folder_writer *w)
{
	const size_t length = strlen(config) + 1;
	size_t size;
	uint8_t *file = folder_writer_safetensors(w, 0, w->n, 0, &size);
	uint8_t *seed = malloc(length + size);

	if (!seed)
		abort();
	memcpy(seed, config, length);
	memcpy(seed + length, file, size);
	folder_put(seeds, name, seed, length + size);
	free(seed);
	free(file);
}

/* The sample in codes; in floats, as a Qwen 3 with RoPE in one object; as a Mistral with a window. */
static void save_seeds(const char *seeds)
{
	struct folder_writer w;

	folder_sample(&w);
	save_seed(seeds, "codes", folder_sample_config, &w);
	folder_writer_remove(&w, "model.layers.0.self_attn.q_proj.qweight");
	folder_writer_remove(&w, "model.layers.0.self_attn.q_proj.qzeros");
	folder_writer_remove(&w, "model.layers.0.self_attn.q_proj.scales");
	save_seed(seeds, "qwen3",
		"{\"model_type\":\"qwen3\",\"hidden_size\":64,\"intermediate_size\":64,\"num_hidden_layers\":1,"
		"\"num_attention_heads\":4,\"num_key_value_heads\":2,\"head_dim\":32,\"tie_word_embeddings\":true,"
		"\"rope_parameters\":{\"rope_theta\":1000000,\"rope_type\":\"llama3\",\"factor\":8.0,"
		"\"low_freq_factor\":1.0,\"high_freq_factor\":4.0,\"original_max_position_embeddings\":8192}}", &w);
	save_seed(seeds, "mistral",
		"{\"architectures\":[\"MistralForCausalLM\"],\"model_type\":\"mistral\",\"hidden_size\":64,"
		"\"intermediate_size\":64,\"num_hidden_layers\":1,\"num_attention_heads\":4,\"sliding_window\":4096,"
		"\"use_sliding_window\":true,\"rope_scaling\":{\"type\":\"linear\",\"factor\":2.0}}", &w);
	folder_writer_free(&w);
}

/* One matrix of codes, all zero, in the blocks that carry so many bits. */
static void save_gguf(const char *seeds, const char *name, uint32_t bits, uint32_t type, const char *activations)
{
	struct gguf_writer *w = gguf_writer_new(3);
	char path[512];

	gguf_writer_string(w, "general.architecture", "llama");
	gguf_writer_string(w, "weir.quantization.method", "awq");
	gguf_writer_u32(w, "weir.quantization.bits", bits);
	gguf_writer_u32(w, "weir.quantization.group", activations ? 0 : 64);
	if (activations)
		gguf_writer_string(w, "weir.quantization.activations", activations);
	gguf_writer_tensor(w, "blk.0.attn_q.weight", type, 2, (uint64_t[]){96, 4}, NULL);
	snprintf(path, sizeof(path), "%s/%s", seeds, name);
	if (gguf_writer_save(w, path))
		abort();
	gguf_writer_free(w);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *seeds = getenv("WEIR_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (seeds) {
		save_seeds(seeds);
		save_gguf(seeds, "w4", 4, WEIR_TYPE_Q4_1, NULL);
		save_gguf(seeds, "w2", 2, WEIR_TYPE_Q4_1, NULL);
		save_gguf(seeds, "w8a8", 8, WEIR_TYPE_Q8_0, "token-int8");
	}
	folder = folder_make();
	atexit(remove_folder);
	return 0;
}

/* Rows from both ends of a tensor, as floats, and as codes where it has them. */
static void read_tensor(const struct weir_checkpoint *c, const struct weir_checkpoint_tensor *t)
{
	const size_t rows = t->weights / t->dim[0], n = WEIR_MIN(rows, (size_t)ROWS), k = t->dim[0];
	float *out, *scale;
	uint8_t *q, *zero;

	/* Of a type that Weir does not run nothing can be read, and no file bounds its shape. */
	if (!t->data && !t->coding.bits)
		return;
	out = malloc(n * k * sizeof(*out));
	scale = malloc(n * k * sizeof(*scale));
	q = malloc(n * k);
	zero = malloc(n * k);
	if (!out || !scale || !q || !zero)
		abort();
	weir_checkpoint_floats(c, t, 0, n, out);
	weir_checkpoint_floats(c, t, rows - n, n, out);
	if (t->coding.bits)
		weir_checkpoint_codes(c, t, rows - n, n, q, scale, zero);
	weir_checkpoint_drop(c, t);
	free(out);
	free(scale);
	free(q);
	free(zero);
}

static int open_input(const uint8_t *data, size_t size, struct weir_checkpoint **c)
{
	const uint8_t *end = memchr(data, 0, size);
	const size_t length = end ? (size_t)(end - data) : size;
	char path[64];

	if (size > 4 && !memcmp(data, "GGUF", 4)) {
		folder_put(folder, "model.gguf", data, size);
		snprintf(path, sizeof(path), "%s/model.gguf", folder);
		return weir_checkpoint_open(path, c);
	}
	folder_put(folder, "config.json", data, length);
	folder_put(folder, "model.safetensors", end ? end + 1 : data, end ? size - length - 1 : 0);
	return weir_checkpoint_open(folder, c);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct weir_checkpoint *c;
	struct weir_params p;
	struct weir_hash h;

	if (open_input(data, size, &c))
		return 0;
	weir_params_read(c, &p);
	weir_params_fingerprint(c, &h);
	for (size_t i = 0; i < weir_checkpoint_tensor_count(c); i++)
		read_tensor(c, weir_checkpoint_tensor_at(c, i));
	weir_checkpoint_close(c);
	return 0;
}
