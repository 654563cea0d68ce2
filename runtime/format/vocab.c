/* SPDX-License-Identifier: MIT */
/* Tokens and merges of a vocabulary, found by hashing. */
#include "format/vocab.h"

#include "base/base.h"

#include <math.h>
#include <sys/random.h>

void weir_vocab_init(struct weir_vocab *v, enum weir_vocab_kind kind)
{
	memset(v, 0, sizeof(*v));
	v->kind = kind;
	v->bos = v->eos = v->eot = v->eom = v->unk = -1;
	/* Without randomness a crafted file could make lookups slow, never wrong. */
	if (getrandom(&v->seed, sizeof(v->seed), GRND_NONBLOCK) != sizeof(v->seed))
		v->seed = (uintptr_t)v;
}

void weir_vocab_fini(struct weir_vocab *v)
{
	free(v->tokens);
	free(v->chat_template);
	for (unsigned i = 0; v->words && i < v->words->n; i++)
		free(v->words->step[i].regex);
	free(v->words);
	free(v->bytes);
	free(v->slots);
	free(v->merges);
	memset(v, 0, sizeof(*v));
}

/* A power of two at least twice count, so that a table is at most half full. */
static size_t table_size(size_t count)
{
	size_t size = 16;

	while (size < count * 2)
		size *= 2;
	return size;
}

int weir_vocab_reserve(struct weir_vocab *v, size_t tokens, size_t merges)
{
	if (tokens > INT32_MAX / 4 || merges > INT32_MAX / 4)
		return weir_fail(E2BIG,
			"the vocabulary has %zu tokens and %zu merges; at most %d of each fit",
			tokens, merges, INT32_MAX / 4);
	v->tokens_size = (int32_t)tokens;
	v->slots_size = table_size(tokens);
	v->merges_size = table_size(merges);
	v->tokens = malloc((tokens ? tokens : 1) * sizeof(*v->tokens));
	v->slots = malloc(v->slots_size * sizeof(*v->slots));
	v->merges = malloc(v->merges_size * sizeof(*v->merges));
	if (!v->tokens || !v->slots || !v->merges)
		return weir_fail(ENOMEM, "no memory for a vocabulary of %zu tokens", tokens);
	for (size_t i = 0; i < v->slots_size; i++)
		v->slots[i] = -1;
	for (size_t i = 0; i < v->merges_size; i++)
		v->merges[i].left = -1;
	return 0;
}

static uint64_t mix(uint64_t h)
{
	/* The finalizer of splitmix64 (Steele, Lea, Flood 2014; Stafford's variant 13). */
	h = (h ^ h >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	h = (h ^ h >> 27) * UINT64_C(0x94d049bb133111eb);
	return h ^ h >> 31;
}

static size_t text_hash(const struct weir_vocab *v, const char *text, size_t len)
{
	uint64_t h = v->seed ^ len, word;

	for (; len >= 8; text += 8, len -= 8) {
		memcpy(&word, text, 8);
		h = mix(h ^ word);
	}
	word = 0;
	if (len > 0)
		memcpy(&word, text, len);
	return (size_t)mix(h ^ word);
}

/* The slot that holds the text's id, or the free one where it belongs. */
static size_t text_slot(const struct weir_vocab *v, const char *text, size_t len)
{
	size_t mask = v->slots_size - 1, slot = text_hash(v, text, len) & mask;

	while (v->slots[slot] >= 0) {
		const struct weir_vocab_token *token = &v->tokens[v->slots[slot]];

		if (token->len == len && memcmp(v->bytes + token->at, text, len) == 0)
			break;
		slot = (slot + 1) & mask;
	}
	return slot;
}

static int bytes_append(struct weir_vocab *v, const char *text, size_t len)
{
	if (v->bytes_size - v->bytes_used < len + 1) {
		size_t size = WEIR_MAX(v->bytes_size * 2, v->bytes_used + len + 4096);
		char *bytes = realloc(v->bytes, size);

		if (!bytes)
			return weir_fail(
				ENOMEM, "no memory for the vocabulary's %zu bytes of text", size);
		v->bytes = bytes;
		v->bytes_size = size;
	}
	if (len > 0)
		memcpy(v->bytes + v->bytes_used, text, len);
	v->bytes[v->bytes_used + len] = 0;
	v->bytes_used += len + 1;
	return 0;
}

int weir_vocab_add_token(struct weir_vocab *v, const char *text, size_t len, float score, int type)
{
	struct weir_vocab_token *token = &v->tokens[v->count];
	size_t at = v->bytes_used;
	int err;

	if (v->count == v->tokens_size)
		return weir_fail(
			EINVAL, "the vocabulary has more tokens than the %d announced", v->count);
	if (len > WEIR_VOCAB_TOKEN_MAX)
		return weir_fail(EINVAL, "token %d has %zu bytes; at most %d make sense", v->count,
			len, WEIR_VOCAB_TOKEN_MAX);
	if (type < 0 || type > WEIR_TOKEN_BYTE)
		return weir_fail(EINVAL, "token %d has type %d; types are 1 to 6", v->count, type);
	err = bytes_append(v, text, len);
	if (err)
		return err;
	token->at = at;
	token->len = (uint32_t)len;
	token->score = isnan(score) ? -INFINITY : score;
	token->type = type ? (enum weir_token_type)type : WEIR_TOKEN_NORMAL;
	token->end = token->strip_left = token->strip_right = false;
	if (len > 0) {
		size_t slot = text_slot(v, v->bytes + at, len);

		if (v->slots[slot] < 0)
			v->slots[slot] = v->count;
	}
	v->longest = WEIR_MAX(v->longest, len);
	v->count++;
	return 0;
}

int32_t weir_vocab_find(const struct weir_vocab *v, const char *text, size_t len)
{
	if (len == 0 || len > v->longest)
		return -1;
	return v->slots[text_slot(v, text, len)];
}

int32_t weir_vocab_find_plain(const struct weir_vocab *v, const char *text, size_t len)
{
	int32_t token = weir_vocab_find(v, text, len);

	return token >= 0 && weir_token_plain(v->tokens[token].type) ? token : -1;
}

/* The slot of a pair, or the free one where it belongs. */
static struct weir_vocab_merge *merge_slot(const struct weir_vocab *v, int32_t left, int32_t right)
{
	uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
	size_t mask = v->merges_size - 1, slot = (size_t)mix(key ^ v->seed) & mask;

	while (v->merges[slot].left >= 0 &&
		(v->merges[slot].left != left || v->merges[slot].right != right))
		slot = (slot + 1) & mask;
	return &v->merges[slot];
}

int weir_vocab_add_merge(struct weir_vocab *v, const char *left, size_t left_len, const char *right,
	size_t right_len, int32_t rank)
{
	int32_t l = weir_vocab_find(v, left, left_len), r = weir_vocab_find(v, right, right_len);
	struct weir_vocab_merge *merge;
	char *text;
	int32_t token;

	if (l < 0 || r < 0)
		return 0;
	text = malloc(left_len + right_len);
	if (!text)
		return weir_fail(ENOMEM, "no memory for merge %d", rank);
	memcpy(text, left, left_len);
	memcpy(text + left_len, right, right_len);
	token = weir_vocab_find_plain(v, text, left_len + right_len);
	free(text);
	if (token < 0)
		return 0;
	merge = merge_slot(v, l, r);
	if (merge->left >= 0)
		return 0;
	if (++v->merges_used > v->merges_size / 2)
		return weir_fail(EINVAL, "the vocabulary has more merges than announced");
	*merge = (struct weir_vocab_merge){.left = l, .right = r, .rank = rank, .token = token};
	return 0;
}

const struct weir_vocab_merge *weir_vocab_merge(
	const struct weir_vocab *v, int32_t left, int32_t right)
{
	const struct weir_vocab_merge *merge;

	if (left < 0 || right < 0)
		return NULL;
	merge = merge_slot(v, left, right);
	return merge->left < 0 ? NULL : merge;
}

static int compare_ranks(const void *a, const void *b)
{
	const struct weir_vocab_merge *x = a, *y = b;

	return (x->rank > y->rank) - (x->rank < y->rank);
}

struct weir_vocab_merge *weir_vocab_ranked(const struct weir_vocab *v)
{
	struct weir_vocab_merge *list = malloc((v->merges_used + 1) * sizeof(*list));
	size_t n = 0;

	if (!list) {
		weir_fail(ENOMEM, "no memory for %zu merges", v->merges_used);
		return NULL;
	}
	for (size_t i = 0; i < v->merges_size; i++) {
		if (v->merges[i].left >= 0)
			list[n++] = v->merges[i];
	}
	qsort(list, n, sizeof(*list), compare_ranks);
	return list;
}

/*
 * Texts that instruction-tuned models use as markup. Some converters wrote them as user-defined
 * tokens, which plain text could then become: here they are control tokens whatever the file says,
 * unless it says that they are normal.
 */
static const struct {
	const char *text;
	bool end;
} markup[] = {
	{"</s>", true},
	{"<|endoftext|>", true},
	{"<|end_of_text|>", true},
	{"<|im_end|>", true},
	{"<|eot_id|>", true},
	{"<|eom_id|>", true},
	{"<|end|>", true},
	{"<end_of_turn>", true},
	{"<|im_start|>", false},
	{"<|start_header_id|>", false},
	{"<|end_header_id|>", false},
};

void weir_vocab_settle(struct weir_vocab *v)
{
	const int32_t ids[] = {v->eos, v->eot, v->eom};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(ids); i++) {
		if (ids[i] >= 0)
			v->tokens[ids[i]].end = true;
	}
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(markup); i++) {
		int32_t id = weir_vocab_find(v, markup[i].text, strlen(markup[i].text));

		if (id < 0)
			continue;
		if (v->tokens[id].type == WEIR_TOKEN_USER)
			v->tokens[id].type = WEIR_TOKEN_CONTROL;
		if (markup[i].end && v->tokens[id].type == WEIR_TOKEN_CONTROL)
			v->tokens[id].end = true;
	}
	/* Some files type the unknown token as control. One that also begins or ends a text stands
	 * for nothing. */
	if (v->unk >= 0 && v->tokens[v->unk].type == WEIR_TOKEN_CONTROL) {
		if (v->unk == v->bos || v->tokens[v->unk].end)
			v->unk = -1;
		else
			v->tokens[v->unk].type = WEIR_TOKEN_UNKNOWN;
	}
}
