/* SPDX-License-Identifier: MIT */
/* Writes a vocabulary as the tokenizer.* metadata of a GGUF file. */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/gguf_write.h"

#define KEY(name) "tokenizer.ggml." name

/* What such metadata cannot say. */
static int check(const struct weir_vocab *v)
{
	if (v->words && !*v->pre)
		return weir_fail(EOPNOTSUPP,
			"GGUF files have no name for the way this tokenizer cuts words: write a Hugging Face folder");
	for (int32_t i = 0; i < v->count; i++) {
		if (v->tokens[i].strip_left || v->tokens[i].strip_right)
			return weir_fail(EOPNOTSUPP,
				"token %d takes the white space beside it along, which GGUF files cannot say", i);
	}
	return 0;
}

static void put_texts(const struct weir_vocab *v, int32_t n, struct weir_gguf_out *w)
{
	weir_gguf_put_strings(w, KEY("tokens"), (uint64_t)n);
	for (int32_t i = 0; i < n; i++) {
		char unused[24];

		if (i < v->count && v->tokens[i].len > 0) {
			weir_gguf_put_element(w, weir_vocab_text(v, i), v->tokens[i].len);
			continue;
		}
		/* As converters write them: a name for itself, which readers expect. */
		snprintf(unused, sizeof(unused), "[PAD%d]", i);
		weir_gguf_put_element(w, unused, strlen(unused));
	}
}

static int put_types(const struct weir_vocab *v, int32_t n, struct weir_gguf_out *w)
{
	int32_t *types = malloc((size_t)n * sizeof(*types));

	if (!types)
		return weir_fail(ENOMEM, "no memory for %d tokens", n);
	for (int32_t i = 0; i < n; i++)
		types[i] = i < v->count && v->tokens[i].len > 0 ? v->tokens[i].type : WEIR_TOKEN_UNUSED;
	weir_gguf_put_array(w, KEY("token_type"), WEIR_GGUF_I32, types, (uint64_t)n);
	free(types);
	return 0;
}

/*
 * A score for each token. Where merges go by rank: that of the first that makes it, below zero; those that none makes
 * are behind them.
 */
static int put_scores(const struct weir_vocab *v, const struct weir_vocab_merge *merges, int32_t n,
	struct weir_gguf_out *w)
{
	float *scores = malloc((size_t)n * sizeof(*scores));

	if (!scores)
		return weir_fail(ENOMEM, "no memory for %d tokens", n);
	for (int32_t i = 0; i < n; i++)
		scores[i] = i < v->count && !v->ranked ? v->tokens[i].score : -(float)v->merges_used - (float)i;
	for (size_t i = v->ranked ? v->merges_used : 0; i-- > 0;) {
		if (merges[i].token < n)
			scores[merges[i].token] = -(float)merges[i].rank;
	}
	weir_gguf_put_array(w, KEY("scores"), WEIR_GGUF_F32, scores, (uint64_t)n);
	free(scores);
	return 0;
}

static bool merge_written(const struct weir_vocab_merge *m, int32_t n)
{
	return m->left < n && m->right < n && m->token < n;
}

/* "left right", by rank. */
static int put_merges(const struct weir_vocab *v, const struct weir_vocab_merge *merges, int32_t n,
	struct weir_gguf_out *w)
{
	char *text = malloc(2 * v->longest + 1);
	uint64_t count = 0;

	if (!text)
		return weir_fail(ENOMEM, "no memory for the merges' texts");
	for (size_t i = 0; i < v->merges_used; i++)
		count += merge_written(&merges[i], n);
	weir_gguf_put_strings(w, v->ranked ? WEIR_KEY_MERGES : KEY("merges"), count);
	for (size_t i = 0; i < v->merges_used; i++) {
		const struct weir_vocab_merge *m = &merges[i];
		size_t left = v->tokens[m->left].len, right = v->tokens[m->right].len;

		if (!merge_written(m, n))
			continue;
		memcpy(text, weir_vocab_text(v, m->left), left);
		text[left] = ' ';
		memcpy(text + left + 1, weir_vocab_text(v, m->right), right);
		if (memchr(text, ' ', left) || memchr(text + left + 1, ' ', right)) {
			free(text);
			return weir_fail(EOPNOTSUPP, "merge %d has a space in a token, which GGUF files cannot say", m->rank);
		}
		weir_gguf_put_element(w, text, left + 1 + right);
	}
	free(text);
	return 0;
}

static void put_id(struct weir_gguf_out *w, const char *key, int32_t id, int32_t n)
{
	if (id >= 0 && id < n)
		weir_gguf_put_u32(w, key, (uint32_t)id);
}

static void put_facts(const struct weir_vocab *v, int32_t n, struct weir_gguf_out *w)
{
	put_id(w, KEY("bos_token_id"), v->bos, n);
	put_id(w, KEY("eos_token_id"), v->eos, n);
	put_id(w, KEY("eot_token_id"), v->eot, n);
	put_id(w, KEY("eom_token_id"), v->eom, n);
	put_id(w, KEY("unknown_token_id"), v->unk, n);
	weir_gguf_put_bool(w, KEY("add_bos_token"), v->add_bos);
	weir_gguf_put_bool(w, KEY("add_space_prefix"), v->add_space_prefix);
	if (v->prefix_first)
		weir_gguf_put_bool(w, WEIR_KEY_PREFIX_FIRST, true);
	if (v->prefix_spare)
		weir_gguf_put_bool(w, WEIR_KEY_PREFIX_SPARE, true);
	if (v->chat_template)
		weir_gguf_put_string(w, "tokenizer.chat_template", v->chat_template);
}

int weir_tokenizer_put_gguf(const weir_tokenizer *t, uint32_t rows, struct weir_gguf_out *w)
{
	const struct weir_vocab *v = &t->vocab;
	const bool spm = v->kind == WEIR_VOCAB_SPM;
	int32_t n = rows ? (int32_t)WEIR_MIN(rows, INT32_MAX / 8) : v->count;
	struct weir_vocab_merge *merges;
	int err = check(v);

	if (err)
		return err;
	merges = weir_vocab_ranked(v);
	if (!merges)
		return -ENOMEM;
	weir_gguf_put_string(w, KEY("model"), spm ? "llama" : "gpt2");
	if (!spm)
		weir_gguf_put_string(w, KEY("pre"), *v->pre ? v->pre : "default");
	put_texts(v, n, w);
	if (spm)
		err = put_scores(v, merges, n, w);
	if (!err)
		err = put_types(v, n, w);
	if (!err && (!spm || v->ranked))
		err = put_merges(v, merges, n, w);
	free(merges);
	if (!err)
		put_facts(v, n, w);
	return err;
}
