/* SPDX-License-Identifier: MIT */
/* Makes small vocabularies: all bytes, some words, some special tokens. */
#include "vocabs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "format/tokenizer.h"
#include "format/utf8.h"

#define MAX_TOKENS 1024
#define TEXT 64

struct list {
	char text[MAX_TOKENS][TEXT];
	const char *texts[MAX_TOKENS];
	float scores[MAX_TOKENS];
	int32_t types[MAX_TOKENS];
	uint32_t n;
};

static void add(struct list *l, const char *text, int32_t type, float score)
{
	if (l->n == MAX_TOKENS || strlen(text) >= TEXT)
		abort();
	strcpy(l->text[l->n], text);
	l->texts[l->n] = l->text[l->n];
	l->types[l->n] = type;
	l->scores[l->n] = score;
	l->n++;
}

static void add_all(struct list *l, const char *const *texts, int32_t type)
{
	for (; texts && *texts; texts++)
		add(l, *texts, type, 0);
}

static uint32_t find(const struct list *l, const char *text)
{
	for (uint32_t i = 0; i < l->n; i++) {
		if (strcmp(l->text[i], text) == 0)
			return i;
	}
	abort();
}

/* The characters of byte-level BPE: printable Latin-1 as it is, the others from U+0100 on. */
static void add_bytes(struct list *l)
{
	uint32_t shifted = 0x100;

	for (uint32_t b = 0; b < 256; b++) {
		bool plain = (b > 0x20 && b < 0x7f) || (b > 0xa0 && b != 0xad);
		char text[5] = "";

		weir_utf8_encode(plain ? b : shifted++, text);
		add(l, text, 1, 0);
	}
}

static void write_bpe(struct gguf_writer *w, const struct vocab *v, struct list *l)
{
	uint64_t merges = 0;

	add_bytes(l);
	for (; v->words && v->words[merges]; merges++) {
		const char *space = strchr(v->words[merges], ' ');
		char text[TEXT];

		snprintf(text, sizeof(text), "%.*s%s", (int)(space - v->words[merges]),
			v->words[merges], space + 1);
		add(l, text, 1, 0);
	}
	gguf_writer_strings(w, "tokenizer.ggml.merges", v->words, merges);
}

static void write_spm(const struct vocab *v, struct list *l)
{
	add(l, "<unk>", 2, 0);
	add(l, "<s>", 3, 0);
	add(l, "</s>", 3, 0);
	for (unsigned b = 0; b < 256; b++) {
		char text[8];

		snprintf(text, sizeof(text), "<0x%02X>", b);
		add(l, text, 6, 0);
	}
	for (int i = 0; v->words && v->words[i]; i++)
		add(l, v->words[i], 1, (float)-i);
}

struct gguf_writer *vocab_write(const struct vocab *v)
{
	struct gguf_writer *w = gguf_writer_new(3);
	struct list *l = calloc(1, sizeof(*l));

	if (!l)
		abort();
	gguf_writer_string(w, "tokenizer.ggml.model", v->spm ? "llama" : "gpt2");
	if (v->spm)
		write_spm(v, l);
	else
		write_bpe(w, v, l);
	add_all(l, v->control, 3);
	add_all(l, v->user, 4);
	if (v->pre)
		gguf_writer_string(w, "tokenizer.ggml.pre", v->pre);
	gguf_writer_strings(w, "tokenizer.ggml.tokens", l->texts, l->n);
	gguf_writer_array(w, "tokenizer.ggml.scores", WEIR_GGUF_F32, l->scores, l->n);
	gguf_writer_array(w, "tokenizer.ggml.token_type", WEIR_GGUF_I32, l->types, l->n);
	if (v->bos)
		gguf_writer_u32(w, "tokenizer.ggml.bos_token_id", find(l, v->bos));
	if (v->eos)
		gguf_writer_u32(w, "tokenizer.ggml.eos_token_id", find(l, v->eos));
	if (v->chat_template)
		gguf_writer_string(w, "tokenizer.chat_template", v->chat_template);
	free(l);
	return w;
}

int vocab_read(struct gguf_writer *w, weir_tokenizer **out)
{
	struct weir_gguf *g;
	size_t size;
	const void *data = gguf_writer_finish(w, &size);
	int err = weir_gguf_open_memory(data, size, "vocabulary", &g);

	if (err) {
		fprintf(stderr, "%s\n", weir_error());
		abort();
	}
	err = weir_tokenizer_from_gguf(g, out);
	weir_gguf_close(g);
	return err;
}

weir_tokenizer *vocab_open(const struct vocab *v)
{
	struct gguf_writer *w = vocab_write(v);
	weir_tokenizer *t;

	if (vocab_read(w, &t)) {
		fprintf(stderr, "%s\n", weir_error());
		abort();
	}
	gguf_writer_free(w);
	return t;
}
