/* SPDX-License-Identifier: MIT */
/* Fills a vocabulary from the tokenizer.* metadata of a GGUF file. */
#include "format/tokenize.h"

#include "base/base.h"

#define KEY(name) "tokenizer.ggml." name

/* 0 and the value, or 0 and *out as it was where the key is absent. */
static int optional_bool(const struct weir_gguf *g, const char *key, bool *out)
{
	int err = weir_gguf_bool(g, key, out);

	return err == -ENOENT ? 0 : err;
}

static int optional_id(const struct weir_gguf *g, const char *key, int32_t count, int32_t *out)
{
	uint32_t id;
	int err = weir_gguf_u32(g, key, &id);

	if (err)
		return err == -ENOENT ? 0 : err;
	if (id >= (uint32_t)count)
		return weir_fail(EINVAL, "%s is %u; the vocabulary has %d tokens", key, id, count);
	*out = (int32_t)id;
	return 0;
}

/* A numeric array with one element for each token; absent: count 0. */
static int optional_numbers(const struct weir_gguf *g, const char *key, enum weir_gguf_value type,
	uint64_t tokens, struct weir_gguf_array *out)
{
	int err = weir_gguf_array(g, key, type, out);

	if (err) {
		memset(out, 0, sizeof(*out));
		return err == -ENOENT ? 0 : err;
	}
	if (out->count != tokens)
		return weir_fail(EINVAL, "%s has %llu elements; the vocabulary has %llu tokens",
			key, (unsigned long long)out->count, (unsigned long long)tokens);
	return 0;
}

/* Which kind of vocabulary it is. */
static int read_kind(const struct weir_gguf *g, enum weir_vocab_kind *kind)
{
	struct weir_str model;
	int err = weir_gguf_string(g, KEY("model"), &model);

	if (err == -ENOENT)
		return weir_fail(ENOENT, "the file has no vocabulary: " KEY("model") " is missing");
	if (err)
		return err;
	if (model.len == 5 && memcmp(model.ptr, "llama", 5) == 0) {
		*kind = WEIR_VOCAB_SPM;
	} else if (model.len == 4 && memcmp(model.ptr, "gpt2", 4) == 0) {
		*kind = WEIR_VOCAB_BPE;
	} else if ((model.len == 4 && memcmp(model.ptr, "none", 4) == 0) ||
		   (model.len == 8 && memcmp(model.ptr, "no_vocab", 8) == 0)) {
		return weir_fail(ENOENT, "the file has no vocabulary: " KEY("model") " is \"%.*s\"",
			(int)model.len, model.ptr);
	} else {
		return weir_fail(EOPNOTSUPP,
			KEY("model") " is \"%.*s\"; Weir knows \"llama\" (SPM) and \"gpt2\" "
				     "(byte-level BPE)",
			(int)WEIR_MIN(model.len, 64), model.ptr);
	}
	return 0;
}

static int read_pre(const struct weir_gguf *g, struct weir_vocab *v)
{
	struct weir_str pre;
	int err = weir_gguf_string(g, KEY("pre"), &pre);

	if (err)
		return err == -ENOENT ? 0 : err;
	snprintf(v->pre, sizeof(v->pre), "%.*s", (int)WEIR_MIN(pre.len, sizeof(v->pre) - 1),
		pre.ptr);
	return 0;
}

static int read_tokens(const struct weir_gguf *g, struct weir_vocab *v, size_t merges, bool *typed)
{
	struct weir_gguf_array texts, scores, types;
	const void *at = NULL;
	struct weir_str text;
	int err = weir_gguf_array(g, KEY("tokens"), WEIR_GGUF_STRING, &texts);

	if (err == -ENOENT)
		return weir_fail(EINVAL, KEY("model") " is there and " KEY("tokens") " is not");
	if (err)
		return err;
	if (texts.count == 0)
		return weir_fail(EINVAL, KEY("tokens") " is empty");
	err = optional_numbers(g, KEY("scores"), WEIR_GGUF_F32, texts.count, &scores);
	if (err)
		return err;
	err = optional_numbers(g, KEY("token_type"), WEIR_GGUF_I32, texts.count, &types);
	if (err)
		return err;
	*typed = types.count > 0;
	err = weir_vocab_reserve(v, (size_t)texts.count, merges);
	for (uint64_t i = 0; !err && weir_gguf_next_string(&texts, &at, &text); i++) {
		float score = scores.count ? (float)weir_gguf_number(&scores, i) : 0;
		int type = types.count ? (int)weir_gguf_number(&types, i) : WEIR_TOKEN_NORMAL;

		err = weir_vocab_add_token(v, text.ptr, text.len, score, type);
	}
	return err;
}

static int read_ids(const struct weir_gguf *g, struct weir_vocab *v)
{
	const struct {
		const char *key;
		int32_t *id;
		const char *text; /* of an SPM vocabulary whose file does not say */
	} ids[] = {
		{KEY("bos_token_id"), &v->bos, "<s>"},
		{KEY("eos_token_id"), &v->eos, "</s>"},
		{KEY("unknown_token_id"), &v->unk, "<unk>"},
		{KEY("eot_token_id"), &v->eot, NULL},
		{KEY("eom_token_id"), &v->eom, NULL},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(ids); i++) {
		int err = optional_id(g, ids[i].key, v->count, ids[i].id);

		if (err)
			return err;
		if (*ids[i].id < 0 && ids[i].text && v->kind == WEIR_VOCAB_SPM)
			*ids[i].id = weir_vocab_find(v, ids[i].text, strlen(ids[i].text));
	}
	return 0;
}

/* A file without token types says by its special ids alone which tokens are no plain text. */
static void guess_types(struct weir_vocab *v)
{
	const int32_t control[] = {v->bos, v->eos, v->eot, v->eom};
	int32_t bytes[256];

	if (v->kind == WEIR_VOCAB_SPM) {
		weir_spm_bytes(v, bytes);
		for (unsigned b = 0; b < 256; b++) {
			if (bytes[b] >= 0)
				v->tokens[bytes[b]].type = WEIR_TOKEN_BYTE;
		}
		if (v->unk >= 0)
			v->tokens[v->unk].type = WEIR_TOKEN_UNKNOWN;
	}
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(control); i++) {
		if (control[i] >= 0)
			v->tokens[control[i]].type = WEIR_TOKEN_CONTROL;
	}
}

/* The merges' array; absent for SPM, unless it is Weir's own. */
static int find_merges(
	const struct weir_gguf *g, enum weir_vocab_kind kind, struct weir_gguf_array *merges)
{
	int err;

	memset(merges, 0, sizeof(*merges));
	if (kind != WEIR_VOCAB_BPE) {
		err = weir_gguf_array(g, WEIR_KEY_MERGES, WEIR_GGUF_STRING, merges);
		return err == -ENOENT ? 0 : err;
	}
	err = weir_gguf_array(g, KEY("merges"), WEIR_GGUF_STRING, merges);
	if (err == -ENOENT)
		return weir_fail(
			EINVAL, KEY("model") " is \"gpt2\" and " KEY("merges") " is missing");
	return err;
}

static int read_merges(const struct weir_gguf_array *merges, struct weir_vocab *v)
{
	const void *at = NULL;
	struct weir_str text;
	int err = 0;

	for (int32_t rank = 0; !err && merges->count && weir_gguf_next_string(merges, &at, &text);
		rank++) {
		const char *space = text.len > 1 ? memchr(text.ptr + 1, ' ', text.len - 1) : NULL;
		size_t left;

		if (!space)
			return weir_fail(EINVAL,
				"merges: element %d has no space between two tokens", rank);
		left = (size_t)(space - text.ptr);
		err = weir_vocab_add_merge(v, text.ptr, left, space + 1, text.len - left - 1, rank);
	}
	return err;
}

static int read_template(const struct weir_gguf *g, struct weir_vocab *v)
{
	struct weir_str text;
	int err = weir_gguf_string(g, "tokenizer.chat_template", &text);

	if (err)
		return err == -ENOENT ? 0 : err;
	v->chat_template = strndup(text.ptr, text.len);
	return v->chat_template ? 0 : weir_fail(ENOMEM, "no memory for the chat template");
}

static int read_vocab(const struct weir_gguf *g, struct weir_vocab *v)
{
	struct weir_gguf_array merges;
	bool typed = false;
	int err = find_merges(g, v->kind, &merges);

	if (!err)
		err = read_pre(g, v);
	if (!err)
		err = read_tokens(g, v, (size_t)merges.count, &typed);
	if (!err)
		err = read_ids(g, v);
	if (err)
		return err;
	if (!typed)
		guess_types(v);
	weir_vocab_settle(v);
	v->ranked = v->kind == WEIR_VOCAB_SPM && merges.type == WEIR_GGUF_STRING;
	err = read_merges(&merges, v);
	if (!err)
		err = read_template(g, v);
	return err;
}

/* What a file leaves open: SPM models want bos and a space before text, BPE models by their
 * pre-tokenizer. */
static int read_flags(const struct weir_gguf *g, weir_tokenizer *t)
{
	struct weir_vocab *v = &t->vocab;
	int err;

	v->add_bos = t->pre ? weir_pretokenizer_add_bos(t->pre) : true;
	v->add_space_prefix = !t->pre;
	err = optional_bool(g, KEY("add_bos_token"), &v->add_bos);
	if (!err)
		err = optional_bool(g, KEY("add_space_prefix"), &v->add_space_prefix);
	if (!err)
		err = optional_bool(g, WEIR_KEY_PREFIX_FIRST, &v->prefix_first);
	return err ? err : optional_bool(g, WEIR_KEY_PREFIX_SPARE, &v->prefix_spare);
}

int weir_tokenizer_from_gguf(const struct weir_gguf *g, weir_tokenizer **out)
{
	enum weir_vocab_kind kind = WEIR_VOCAB_SPM;
	struct weir_vocab v;
	weir_tokenizer *t;
	int err = read_kind(g, &kind);

	if (err)
		goto error_named;
	weir_vocab_init(&v, kind);
	err = read_vocab(g, &v);
	if (err) {
		weir_vocab_fini(&v);
		goto error_named;
	}
	err = weir_tokenizer_create(&v, &t);
	if (err)
		goto error_named;
	err = read_flags(g, t);
	if (err) {
		weir_tokenizer_close(t);
		goto error_named;
	}
	*out = t;
	return 0;
error_named:
	return weir_fail_in(err, "%s", weir_gguf_path(g));
}
