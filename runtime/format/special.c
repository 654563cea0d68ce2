/* SPDX-License-Identifier: MIT */
/* Finds special tokens in text: at each byte, the vocabulary is asked for the lengths that can
 * start there alone. */
#include "format/tokenize.h"

#include <string.h>

#include "format/utf8.h"

static bool is_special(enum weir_token_type type)
{
	return type == WEIR_TOKEN_CONTROL || type == WEIR_TOKEN_UNKNOWN || type == WEIR_TOKEN_USER;
}

void weir_special_init(struct weir_special *s, const struct weir_vocab *v)
{
	memset(s, 0, sizeof(*s));
	for (int32_t i = 0; i < v->count; i++) {
		const struct weir_vocab_token *token = &v->tokens[i];
		unsigned char first;
		unsigned bit;

		if (!is_special(token->type) || token->len == 0 || token->len > WEIR_SPECIAL_MAX)
			continue;
		first = (unsigned char)weir_vocab_text(v, i)[0];
		bit = token->len - 1;
		s->any[first][bit / 64] |= UINT64_C(1) << bit % 64;
		if (token->type == WEIR_TOKEN_USER)
			s->user[first][bit / 64] |= UINT64_C(1) << bit % 64;
	}
}

/* The longest special token that text, of len bytes, starts with; -1: none. */
static int32_t longest_at(const uint64_t *lengths, const struct weir_vocab *v, const char *text,
	size_t len, bool control, size_t *found)
{
	for (int w = WEIR_SPECIAL_MAX / 64 - 1; w >= 0; w--) {
		uint64_t bits = lengths[w];

		while (bits != 0) {
			unsigned bit = 63 - (unsigned)__builtin_clzll(bits);
			size_t length = (size_t)w * 64 + bit + 1;
			int32_t token;

			bits &= ~(UINT64_C(1) << bit);
			if (length > len)
				continue;
			token = weir_vocab_find(v, text, length);
			if (token < 0 || !is_special(v->tokens[token].type))
				continue;
			if (!control && v->tokens[token].type != WEIR_TOKEN_USER)
				continue;
			*found = length;
			return token;
		}
	}
	return -1;
}

/* Unicode's White_Space. */
static bool is_space(uint32_t c)
{
	return (c >= 0x09 && c <= 0x0d) || c == 0x20 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
	       (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
	       c == 0x205f || c == 0x3000;
}

/* Where the white space that ends text[at, end) begins. */
static size_t space_before(const char *text, size_t at, size_t end)
{
	for (;;) {
		size_t from = end, length = SIZE_MAX;
		uint32_t c = 0;

		while (from > at && end - from < 3 && length != end - from) {
			from--;
			length = weir_utf8_decode(text + from, end - from, &c);
		}
		if (from == end || length != end - from || !is_space(c))
			return end;
		end = from;
	}
}

/* Where the white space that text[at, end) begins with ends. */
static size_t space_behind(const char *text, size_t at, size_t end)
{
	uint32_t c;
	size_t length;

	while (at < end && (length = weir_utf8_decode(text + at, end - at, &c)) > 0 && is_space(c))
		at += length;
	return at;
}

/* Takes the white space along that the token wants, in text[at, end). */
static void match_strip(const struct weir_vocab_token *token, const char *text, size_t at, size_t end,
	struct weir_special_match *match)
{
	size_t begin = match->at, behind = match->at + match->len;

	if (token->strip_left)
		begin = space_before(text, at, begin);
	if (token->strip_right)
		behind = space_behind(text, behind, end);
	match->at = begin;
	match->len = behind - begin;
}

bool weir_special_find(const struct weir_special *s, const struct weir_vocab *v, const char *text,
	size_t at, size_t end, bool control, struct weir_special_match *match)
{
	for (size_t i = at; i < end; i++) {
		unsigned char first = (unsigned char)text[i];
		const uint64_t *lengths = control ? s->any[first] : s->user[first];
		int32_t token = longest_at(lengths, v, text + i, end - i, control, &match->len);

		if (token >= 0) {
			match->at = i;
			match->token = token;
			match_strip(&v->tokens[token], text, at, end, match);
			return true;
		}
	}
	return false;
}
