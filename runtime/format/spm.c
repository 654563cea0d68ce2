/* SPDX-License-Identifier: MIT */
/*
 * SentencePiece's BPE (Kudo and Richardson 2018), as "llama" vocabularies use it: spaces become
 * U+2581, neighbours merge by the score of the token they make, and a character that no token has
 * is written as its bytes.
 */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/utf8.h"

static const char space_mark[] = "\xe2\x96\x81"; /* U+2581 */
#define SPACE_MARK_LEN 3

void weir_spm_bytes(const struct weir_vocab *v, int32_t byte_token[256])
{
	for (unsigned b = 0; b < 256; b++) {
		char text[8];
		int32_t token;

		snprintf(text, sizeof(text), "<0x%02X>", b);
		token = weir_vocab_find(v, text, 6);
		if (token >= 0 && v->tokens[token].type == WEIR_TOKEN_CONTROL)
			token = -1;
		byte_token[b] = token;
	}
}

bool weir_spm_spaced(const char *text, size_t len)
{
	return (len > 0 && *text == ' ') ||
	       (len >= SPACE_MARK_LEN && memcmp(text, space_mark, SPACE_MARK_LEN) == 0);
}

static unsigned hex_digit(char c)
{
	return (unsigned)(c <= '9' ? c - '0' : (c | 0x20) - 'a' + 10);
}

bool weir_spm_is_byte(const char *text, size_t len)
{
	return len == 6 && memcmp(text, "<0x", 3) == 0 &&
	       strspn(text + 3, "0123456789abcdefABCDEF") == 2 && text[5] == '>';
}

size_t weir_spm_print(const struct weir_vocab *v, int32_t token, char *out)
{
	const char *text = weir_vocab_text(v, token);
	size_t len = v->tokens[token].len, n = 0;

	if (v->tokens[token].type == WEIR_TOKEN_BYTE && weir_spm_is_byte(text, len)) {
		out[0] = (char)(hex_digit(text[3]) << 4 | hex_digit(text[4]));
		return 1;
	}
	for (size_t i = 0; i < len;) {
		if (len - i >= SPACE_MARK_LEN &&
			memcmp(text + i, space_mark, SPACE_MARK_LEN) == 0) {
			out[n++] = ' ';
			i += SPACE_MARK_LEN;
		} else {
			out[n++] = text[i++];
		}
	}
	return n;
}

/* text with its spaces as marks, and one in front if asked for; malloced. */
static char *escape_spaces(const char *text, size_t len, bool space, size_t *escaped_len)
{
	size_t spaces = space, n = 0;
	char *out;

	for (size_t i = 0; i < len; i++)
		spaces += text[i] == ' ';
	out = malloc(len + spaces * SPACE_MARK_LEN + 1);
	if (!out)
		return NULL;
	if (space) {
		memcpy(out, space_mark, SPACE_MARK_LEN);
		n = SPACE_MARK_LEN;
	}
	for (size_t i = 0; i < len; i++) {
		if (text[i] == ' ') {
			memcpy(out + n, space_mark, SPACE_MARK_LEN);
			n += SPACE_MARK_LEN;
		} else {
			out[n++] = text[i];
		}
	}
	*escaped_len = n;
	return out;
}

/* A character without a token: its bytes' tokens, or one unknown token where a byte has none, or
 * nothing. */
static int add_bytes(const weir_tokenizer *t, const char *text, size_t len, struct weir_tokens *out)
{
	int err = 0;

	for (size_t i = 0; i < len; i++) {
		if (t->byte_token[(unsigned char)text[i]] < 0)
			return t->vocab.unk >= 0 ? weir_tokens_add(out, t->vocab.unk) : 0;
	}
	for (size_t i = 0; i < len && !err; i++)
		err = weir_tokens_add(out, t->byte_token[(unsigned char)text[i]]);
	return err;
}

static int add_symbols(
	const weir_tokenizer *t, const struct weir_merger *m, struct weir_tokens *out)
{
	int err = 0;

	for (int32_t i = m->n > 0 ? 0 : -1; i >= 0 && !err; i = m->symbols[i].next) {
		const struct weir_symbol *s = &m->symbols[i];
		int32_t token = s->token;

		if (token < 0)
			token = weir_vocab_find_plain(&t->vocab, m->text + s->at, s->len);
		err = token >= 0 ? weir_tokens_add(out, token)
				 : add_bytes(t, m->text + s->at, s->len, out);
	}
	return err;
}

int weir_spm_encode(const weir_tokenizer *t, struct weir_merger *m, const char *text, size_t len,
	bool space, struct weir_tokens *out)
{
	size_t n;
	char *escaped = escape_spaces(text, len, space, &n);
	int err;

	if (!escaped)
		return weir_fail(ENOMEM, "no memory to tokenize %zu bytes", len);
	err = weir_merger_start(m, escaped, n);
	if (err)
		goto error;
	for (size_t at = 0; at < n;) {
		uint32_t character;
		size_t length = weir_utf8_decode(escaped + at, n - at, &character);

		length = length ? length : 1;
		weir_merger_add(m, length,
			t->vocab.ranked ? weir_vocab_find_plain(&t->vocab, escaped + at, length) : -1);
		at += length;
	}
	err = weir_merger_run(m);
	if (!err)
		err = add_symbols(t, m, out);
error:
	free(escaped);
	return err;
}
