/* SPDX-License-Identifier: MIT */
/*
 * Chat templates of any bytes, and messages: the format is found or refused, and conversations
 * become tokens of which messages are never markup. Input: a byte of flags, the template, a zero
 * byte, then messages between zero bytes.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "format/tokenizer.h"
#include "gguf_writer.h"

#define MAX_MESSAGES 6

/* All bytes, and the markup of every format. */
static void write_vocabulary(struct gguf_writer *w, const char *jinja, bool bos)
{
	static const char *const control[] = {"<s>", "</s>", "<|im_start|>", "<|im_end|>",
		"<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "[INST]", "[/INST]"};
	static const size_t controls = sizeof(control) / sizeof(*control);
	char bytes[256][8];
	const char *tokens[256 + sizeof(control) / sizeof(*control)];
	int32_t types[sizeof(tokens) / sizeof(*tokens)];

	for (unsigned b = 0; b < 256; b++) {
		static const char hex[] = "0123456789ABCDEF";

		memcpy(bytes[b], "<0x00>", 7);
		bytes[b][3] = hex[b >> 4];
		bytes[b][4] = hex[b & 15];
		tokens[b] = bytes[b];
		types[b] = 6;
	}
	for (size_t i = 0; i < controls; i++) {
		tokens[256 + i] = control[i];
		types[256 + i] = 3;
	}
	gguf_writer_string(w, "tokenizer.ggml.model", "llama");
	gguf_writer_strings(w, "tokenizer.ggml.tokens", tokens, 256 + controls);
	gguf_writer_array(w, "tokenizer.ggml.token_type", WEIR_GGUF_I32, types, 256 + controls);
	gguf_writer_bool(w, "tokenizer.ggml.add_bos_token", bos);
	gguf_writer_string(w, "tokenizer.chat_template", jinja);
}

static size_t count_controls(const int32_t *ids, size_t n)
{
	size_t found = 0;

	for (size_t i = 0; i < n; i++)
		found += ids[i] >= 256;
	return found;
}

static size_t read_messages(char *p, char *end, struct weir_chat_message *messages)
{
	static const char *const roles[] = {"user", "assistant", "system", "user"};
	size_t n = 0;

	while (p < end && n < MAX_MESSAGES) {
		messages[n].role = roles[(unsigned char)*p % 4];
		messages[n].content = p + (*p != 0);
		p += strlen(p) + 1;
		n++;
	}
	return n;
}

/* The whole conversation in a format, then with texts that are nothing: as many control tokens. */
static void converse(const weir_tokenizer *t, enum weir_chat_format format,
	struct weir_chat_message *messages, size_t count, size_t from, bool answer)
{
	int32_t *ids, *empty;
	size_t n, m;

	if (weir_chat_encode(t, format, messages, count, from, answer, &ids, &n))
		return;
	for (size_t i = 0; i < count; i++)
		messages[i].content = "x";
	if (weir_chat_encode(t, format, messages, count, from, answer, &empty, &m))
		abort();
	if (count_controls(ids, n) != count_controls(empty, m))
		abort();
	free(ids);
	free(empty);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct weir_chat_message messages[MAX_MESSAGES];
	struct gguf_writer *w;
	struct weir_gguf *g;
	weir_tokenizer *t;
	size_t file_size, count;
	const void *file;
	char *text, *rest;
	unsigned flags;

	if (size < 1)
		return 0;
	flags = data[0];
	text = malloc(size);
	memcpy(text, data + 1, size - 1);
	text[size - 1] = 0;
	rest = text + strlen(text) + 1;
	w = gguf_writer_new(3);
	write_vocabulary(w, text, flags & 1);
	file = gguf_writer_finish(w, &file_size);
	if (weir_gguf_open_memory(file, file_size, "fuzz", &g) == 0) {
		if (weir_tokenizer_from_gguf(g, &t))
			abort();
		for (int f = weir_chat_format_of(t) < 0 ? 0 : -1; f < WEIR_CHAT_FORMATS; f++) {
			int format = f < 0 ? weir_chat_format_of(t) : f;

			count = read_messages(rest, text + size, messages);
			converse(t, (enum weir_chat_format)format, messages, count,
				count ? flags / 4 % count : 0, flags & 2);
		}
		weir_tokenizer_close(t);
		weir_gguf_close(g);
	}
	gguf_writer_free(w);
	free(text);
	return 0;
}
