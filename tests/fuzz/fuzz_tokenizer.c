/* SPDX-License-Identifier: MIT */
/*
 * Tokenizers of hostile vocabularies: the input is metadata (kind, tokens with types and scores,
 * merges, ids) and then the text. What must hold: ids in range, plain text makes no control token,
 * and the same text the same tokens.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/tokenize.h"
#include "gguf_writer.h"

struct input {
	const uint8_t *p;
	size_t left;
};

static unsigned take(struct input *in)
{
	if (in->left == 0)
		return 0;
	in->left--;
	return *in->p++;
}

/* A short string of the input's, terminated, in one of count places of 24 bytes. */
static const char *take_text(struct input *in, char *place)
{
	static const char *const usual[] = {"<unk>", "<s>", "</s>", "<0x41>", "\xe2\x96\x81",
		"<|im_end|>", "\xc4\xa0", "a", "aa", "aaaa", "ab"};
	unsigned kind = take(in), len = 0;

	if (kind < sizeof(usual) / sizeof(*usual))
		return strcpy(place, usual[kind]);
	for (kind %= 23; len < kind && in->left > 0; len++)
		place[len] = (char)take(in);
	place[len] = 0;
	return place;
}

static void write_vocabulary(struct input *in, struct gguf_writer *w)
{
	static const char *const pres[] = {
		"default", "gpt-2", "llama-bpe", "qwen2", "smollm", "tekken", "none such", ""};
	char texts[2][64][24];
	const char *tokens[64], *merges[64];
	float scores[64];
	int32_t types[64];
	unsigned flags = take(in), n = take(in) % 64, m = take(in) % 64;

	for (unsigned i = 0; i < n; i++) {
		unsigned b = take(in);

		tokens[i] = take_text(in, texts[0][i]);
		types[i] = (int32_t)(b % 8);
		scores[i] = b < 8 ? __builtin_nanf("") : (float)(b / 8);
	}
	for (unsigned i = 0; i < m; i++)
		merges[i] = take_text(in, texts[1][i]);
	gguf_writer_string(w, "tokenizer.ggml.model", flags & 1 ? "llama" : "gpt2");
	gguf_writer_strings(w, "tokenizer.ggml.tokens", tokens, n);
	if (flags & 2)
		gguf_writer_array(w, "tokenizer.ggml.token_type", WEIR_GGUF_I32, types, n);
	if (flags & 4)
		gguf_writer_array(w, "tokenizer.ggml.scores", WEIR_GGUF_F32, scores,
			n - (flags & 8 && n > 0));
	if (!(flags & 1))
		gguf_writer_strings(w, "tokenizer.ggml.merges", merges, m);
	gguf_writer_string(w, "tokenizer.ggml.pre", pres[take(in) % 8]);
	if (flags & 16)
		gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", take(in));
	if (flags & 32)
		gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", take(in));
	if (flags & 64)
		gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", take(in) & 1);
}

static void check(const weir_tokenizer *t, const int32_t *ids, size_t n, bool plain)
{
	for (size_t i = 0; i < n; i++) {
		size_t len;

		if (ids[i] < 0 || ids[i] >= weir_token_count(t) ||
			!weir_token_text(t, ids[i], true, &len))
			abort();
		if (plain && t->vocab.tokens[ids[i]].type == WEIR_TOKEN_CONTROL)
			abort();
	}
}

static void tokenize(const weir_tokenizer *t, const char *text, size_t len)
{
	size_t cut = len / 3;
	struct weir_span spans[] = {{.text = text, .len = cut, .special = false},
		{.text = text + cut, .len = len - cut, .special = true}};

	for (unsigned special = 0; special < 2; special++) {
		struct weir_span whole = {.text = text, .len = len, .special = special};
		int32_t *ids, *again;
		size_t n, m;

		if (weir_tokenizer_encode(t, &whole, 1, false, &ids, &n) ||
			weir_tokenizer_encode(t, &whole, 1, false, &again, &m))
			abort();
		check(t, ids, n, !special);
		if (n != m || (n > 0 && memcmp(ids, again, n * sizeof(*ids)) != 0))
			abort();
		free(ids);
		free(again);
	}
	{
		int32_t *ids;
		size_t n;

		if (weir_tokenizer_encode(t, spans, 2, true, &ids, &n))
			abort();
		check(t, ids, n, false);
		free(ids);
	}
	if (weir_utf8_whole(text, len) + 3 < len || weir_utf8_whole(text, len) > len)
		abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input in = {.p = data, .left = size};
	struct gguf_writer *w = gguf_writer_new(3);
	struct weir_gguf *g;
	weir_tokenizer *t;
	size_t file_size;
	const void *file;

	write_vocabulary(&in, w);
	file = gguf_writer_finish(w, &file_size);
	if (weir_gguf_open_memory(file, file_size, "fuzz", &g) == 0) {
		if (weir_tokenizer_from_gguf(g, &t) == 0) {
			tokenize(t, (const char *)in.p, in.left);
			weir_tokenizer_close(t);
		}
		weir_gguf_close(g);
	}
	gguf_writer_free(w);
	return 0;
}
