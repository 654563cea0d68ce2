/* SPDX-License-Identifier: MIT */
/*
 * Byte-level BPE (GPT-2, Radford et al. 2019): every byte is written as a printable character of
 * its own, and in each word neighbours merge by the rank of their pair.
 */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/utf8.h"

/* Bytes that stand for themselves; the others are U+0100 and up, in order. */
static bool is_plain_byte(unsigned b)
{
	return (b >= 0x21 && b <= 0x7e) || (b >= 0xa1 && b <= 0xac) || b >= 0xae;
}

/* How many bytes are not plain: U+0100 to U+0143. */
#define SHIFTED_BYTES 68

static void byte_characters(uint16_t character[256])
{
	uint16_t shifted = 0x100;

	for (unsigned b = 0; b < 256; b++)
		character[b] = is_plain_byte(b) ? (uint16_t)b : shifted++;
}

/* The byte that a character stands for; -1: none. */
static int character_byte(uint32_t character)
{
	uint32_t shifted = 0x100;

	if (character < 0x100)
		return is_plain_byte(character) ? (int)character : -1;
	if (character >= 0x100 + SHIFTED_BYTES)
		return -1;
	for (unsigned b = 0; b < 256; b++) {
		if (!is_plain_byte(b) && shifted++ == character)
			return (int)b;
	}
	return -1;
}

void weir_bpe_bytes(const struct weir_vocab *v, int32_t byte_token[256])
{
	uint16_t character[256];

	byte_characters(character);
	for (unsigned b = 0; b < 256; b++) {
		char text[4];

		byte_token[b] =
			weir_vocab_find_plain(v, text, weir_utf8_encode(character[b], text));
	}
}

size_t weir_bpe_print(const struct weir_vocab *v, int32_t token, char *out)
{
	const char *text = weir_vocab_text(v, token);
	size_t len = v->tokens[token].len, n = 0;

	for (size_t at = 0; at < len;) {
		uint32_t character;
		size_t length = weir_utf8_decode(text + at, len - at, &character);
		int byte = length ? character_byte(character) : -1;

		if (byte >= 0) {
			out[n++] = (char)byte;
		} else {
			length = length ? length : 1;
			memcpy(out + n, text + at, length);
			n += length;
		}
		at += length;
	}
	return n;
}

struct bpe_call {
	const weir_tokenizer *t;
	struct weir_merger *m;
	struct weir_tokens *out;
	uint16_t character[256];
	char *word; /* as the vocabulary writes it, at most longest bytes */
};

/* The token that a whole word is; -1: none. */
static int32_t whole_word(const struct bpe_call *call, const char *word, size_t len)
{
	size_t longest = call->t->vocab.longest, n = 0;

	if (len > longest)
		return -1;
	for (size_t i = 0; i < len; i++) {
		char text[4];
		size_t length = weir_utf8_encode(call->character[(unsigned char)word[i]], text);

		if (length > longest - n)
			return -1;
		memcpy(call->word + n, text, length);
		n += length;
	}
	return weir_vocab_find_plain(&call->t->vocab, call->word, n);
}

static int encode_word(void *user, const char *word, size_t len)
{
	const struct bpe_call *call = user;
	struct weir_merger *m = call->m;
	int err;

	if (weir_pretokenizer_whole_words(call->t->pre)) {
		int32_t token = whole_word(call, word, len);

		if (token >= 0)
			return weir_tokens_add(call->out, token);
	}
	err = weir_merger_start(m, word, len);
	if (err)
		return err;
	/*
	 * A byte that the vocabulary has no token for (there are such vocabularies) is left out, and those beside it
	 * meet: so does Hugging Face's library.
	 */
	for (size_t i = 0; i < len; i++) {
		int32_t token = call->t->byte_token[(unsigned char)word[i]];

		if (token >= 0)
			weir_merger_add(m, 1, token);
	}
	err = weir_merger_run(m);
	for (int32_t i = m->n > 0 ? 0 : -1; i >= 0 && !err; i = m->symbols[i].next)
		err = weir_tokens_add(call->out, m->symbols[i].token);
	return err;
}

int weir_bpe_encode(const weir_tokenizer *t, struct weir_merger *m, const char *text, size_t len,
	struct weir_tokens *out)
{
	struct bpe_call call = {.t = t, .m = m, .out = out};
	int err;

	byte_characters(call.character);
	call.word = malloc(t->vocab.longest + 1);
	if (!call.word)
		return weir_fail(ENOMEM, "no memory to tokenize %zu bytes", len);
	err = weir_pretokenize(t->pre, text, len, encode_word, &call);
	free(call.word);
	return err;
}
