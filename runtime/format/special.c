/* SPDX-License-Identifier: MIT */
/* Finds special tokens in text: at each byte, the vocabulary is asked for the lengths that can
 * start there alone. */
#include "format/tokenize.h"

#include <string.h>

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

bool weir_special_find(const struct weir_special *s, const struct weir_vocab *v, const char *text,
	size_t at, size_t end, bool control, struct weir_special_match *match)
{
	for (; at < end; at++) {
		unsigned char first = (unsigned char)text[at];
		const uint64_t *lengths = control ? s->any[first] : s->user[first];
		int32_t token = longest_at(lengths, v, text + at, end - at, control, &match->len);

		if (token >= 0) {
			match->at = at;
			match->token = token;
			return true;
		}
	}
	return false;
}
