/* SPDX-License-Identifier: MIT */
/*
 * libFuzzer target: any bytes as the files of a Hugging Face folder: tokenizer.json, and after a zero byte
 * tokenizer_config.json and a text. What opens tokenizes, and is written and read as GGUF keys and as a folder. Seeds
 * are written to the folder that WEIR_FUZZ_SEEDS names, before the run.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "folder_writer.h"
#include "format/gguf_write.h"
#include "format/json.h"
#include "format/tokenize.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/dev/shm/weir-fuzz-XXXXXX", again[] = "/dev/shm/weir-fuzz-XXXXXX";

static void remove_folders(void)
{
	folder_remove(folder);
	folder_remove(again);
}

/* ---- seeds: the cases of tests/golden ---------------------------------------------------------- */

/* The first few tokens and merges, so that a seed is short. */
static struct json_object *short_model(const struct weir_json *models, const struct weir_json *c)
{
	struct json_object *model = json_object_new_object(), *vocab = json_object_new_object();
	struct json_object *merges = json_object_new_array();
	struct weir_json shared, part, one;
	const void *at = NULL;
	const char *name;

	if (weir_json_string(c, "model", &name) || weir_json_object(models, name, &shared))
		abort();
	weir_json_object(&shared, "vocab", &part);
	while (weir_json_next(&part, &at, &one)) {
		if (json_object_get_int(one.value) < 270 || strlen(one.key) < 4)
			json_object_object_add(vocab, one.key, json_object_get(one.value));
	}
	weir_json_array(&shared, "merges", &part);
	for (size_t i = 0; i < 12; i++) {
		weir_json_at(&part, i, &one);
		json_object_array_add(merges, json_object_get(one.value));
	}
	weir_json_object(c, "options", &part);
	at = NULL;
	while (weir_json_next(&part, &at, &one))
		json_object_object_add(model, one.key, json_object_get(one.value));
	json_object_object_add(model, "vocab", vocab);
	json_object_object_add(model, "merges", merges);
	return model;
}

static void save_seed(const char *to, const struct weir_json *models, const struct weir_json *c, size_t i)
{
	static const char *const parts[] = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor"};
	static const char rest[] = "\0{\"eos_token\":\"</s>\",\"add_bos_token\":true}\0the  text<s>\n12";
	struct json_object *all = json_object_new_object(), *part;
	char path[600];
	FILE *f;

	for (size_t k = 0; k < WEIR_ARRAY_SIZE(parts); k++) {
		json_object_object_get_ex(c->value, parts[k], &part);
		json_object_object_add(all, parts[k], json_object_get(part));
	}
	json_object_object_add(all, "model", short_model(models, c));
	snprintf(path, sizeof(path), "%s/golden-%zu", to, i);
	f = fopen(path, "wb");
	if (f) {
		fputs(json_object_to_json_string_ext(all, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE), f);
		fwrite(rest, 1, sizeof(rest) - 1, f);
		fclose(f);
	}
	json_object_put(all);
}

static void save_seeds(const char *to)
{
	struct weir_json root, models, cases, one;

	if (weir_json_open("tests/golden/tokenizers.json", 1 << 20, &root)) {
		fprintf(stderr, "%s\n", weir_error());
		return;
	}
	if (weir_json_object(&root, "models", &models) || weir_json_array(&root, "cases", &cases))
		abort();
	for (size_t i = 0; i < weir_json_count(&cases); i++) {
		weir_json_at(&cases, i, &one);
		save_seed(to, &models, &one, i);
	}
	weir_json_close(&root);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	const char *to = getenv("WEIR_FUZZ_SEEDS");

	(void)argc;
	(void)argv;
	if (to)
		save_seeds(to);
	if (!mkdtemp(folder) || !mkdtemp(again))
		abort();
	atexit(remove_folders);
	return 0;
}

/* ---- one input --------------------------------------------------------------------------------- */

static void tokenize(const weir_tokenizer *t, const char *text, size_t len)
{
	struct weir_span spans[] = {{.text = text, .len = len / 2}, {.text = text + len / 2, .len = len - len / 2, .special = true}};
	int32_t *ids;
	size_t n;

	if (weir_tokenizer_encode(t, spans, 2, true, &ids, &n))
		return; /* an expression that takes too long */
	for (size_t i = 0; i < n; i++) {
		size_t bytes;

		if (ids[i] < 0 || ids[i] >= weir_token_count(t) || !weir_token_text(t, ids[i], true, &bytes))
			abort();
	}
	free(ids);
}

static void through_gguf(const weir_tokenizer *t, const char *text, size_t len)
{
	struct weir_gguf_out *w = weir_gguf_out_new();
	struct weir_gguf_header header;
	weir_tokenizer *copy;
	struct weir_gguf *g;

	if (!weir_tokenizer_put_gguf(t, 0, w)) {
		if (weir_gguf_out_finish(w, &header) || weir_gguf_open_memory(header.data, header.size, "fuzz", &g))
			abort();
		if (!weir_tokenizer_from_gguf(g, &copy)) {
			if (weir_token_count(copy) != weir_token_count(t))
				abort();
			tokenize(copy, text, len);
			weir_tokenizer_close(copy);
		}
		weir_gguf_close(g);
	}
	weir_gguf_out_free(w);
}

/* What Weir writes, it reads. */
static void through_folder(const weir_tokenizer *t, const char *text, size_t len)
{
	weir_tokenizer *copy;

	if (weir_tokenizer_write_json(t, again))
		return;
	if (weir_tokenizer_from_json(again, &copy)) {
		fprintf(stderr, "%s\n", weir_error());
		abort();
	}
	tokenize(copy, text, len);
	weir_tokenizer_close(copy);
}

/* The next part, up to a zero byte or the end. */
static const uint8_t *next_part(const uint8_t **data, size_t *left, size_t *size)
{
	const uint8_t *part = *data, *end = memchr(part, 0, *left);

	*size = end ? (size_t)(end - part) : *left;
	*data += *size + !!end;
	*left -= *size + !!end;
	return part;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t nothing;
	weir_tokenizer *t;
	const uint8_t *part;
	size_t n;

	if (size == 0)
		data = &nothing;
	part = next_part(&data, &size, &n);
	folder_put(folder, "tokenizer.json", part, n);
	part = next_part(&data, &size, &n);
	folder_put(folder, "tokenizer_config.json", part, n);
	if (weir_tokenizer_from_json(folder, &t))
		return 0;
	tokenize(t, (const char *)data, size);
	through_gguf(t, (const char *)data, size);
	through_folder(t, (const char *)data, size);
	weir_tokenizer_close(t);
	return 0;
}
