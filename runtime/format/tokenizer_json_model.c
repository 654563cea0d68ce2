/* SPDX-License-Identifier: MIT */
/* The model in tokenizer.json: its tokens, those added to it, and its merges. */
#include "format/tokenizer_json.h"

#include "format/tokenize.h"
#include "format/utf8.h"

/* Ids without a token that a file may have beyond its number of tokens. */
#define MAX_HOLES 65536

/* What stands at an id; text NULL: nothing. */
struct entry {
	const char *text;
	int type;
	bool strip_left, strip_right;
};

struct table {
	struct entry *entries;
	size_t count; /* the highest id and one more */
	size_t limit; /* of ids */
};

/* ---- ids --------------------------------------------------------------------------------------- */

static int read_id(const struct weir_json *in, const char *key, struct table *t, uint32_t *id)
{
	int err = weir_json_u32(in, key, id);

	if (!err && *id >= t->limit)
		return weir_json_fail(in, EINVAL, "is id %u, far beyond the number of tokens", *id);
	if (!err)
		t->count = WEIR_MAX(t->count, (size_t)*id + 1);
	return err;
}

/* The highest id, so that there is a place for each. */
static int count_ids(const struct weir_json *vocab, const struct weir_json *added, struct table *t)
{
	const void *at = NULL;
	struct weir_json member;
	uint32_t id;
	size_t n = (size_t)json_object_object_length(vocab->value);
	int err = 0;

	if (added->value)
		n += weir_json_count(added);
	t->limit = n + MAX_HOLES;
	while (!err && weir_json_next(vocab, &at, &member))
		err = read_id(&member, NULL, t, &id);
	for (size_t i = 0; !err && added->value && i < weir_json_count(added); i++) {
		weir_json_at(added, i, &member);
		err = read_id(&member, "id", t, &id);
	}
	if (!err && t->count == 0)
		return weir_json_fail(vocab, EINVAL, "has no tokens");
	return err;
}

static int take_vocab(const struct weir_json *vocab, struct table *t)
{
	const void *at = NULL;
	struct weir_json member;
	uint32_t id;

	while (weir_json_next(vocab, &at, &member)) {
		int err = weir_json_u32(&member, NULL, &id);

		if (err)
			return err;
		if (t->entries[id].text)
			return weir_json_fail(&member, EINVAL, "has id %u, which another token has too", id);
		t->entries[id].text = member.key;
		t->entries[id].type = WEIR_TOKEN_NORMAL;
	}
	return 0;
}

/* ---- added tokens ------------------------------------------------------------------------------ */

/* What an added token says about how it is found. */
struct added {
	uint32_t id;
	const char *text;
	bool special, strip_left, strip_right, single_word, normalized;
};

static int read_added(const struct weir_json *token, struct added *a)
{
	const struct {
		const char *key;
		bool *value;
	} flags[] = {
		{"special", &a->special},
		{"lstrip", &a->strip_left},
		{"rstrip", &a->strip_right},
		{"single_word", &a->single_word},
		{"normalized", &a->normalized},
	};
	int err = weir_json_u32(token, "id", &a->id);

	if (!err)
		err = weir_json_string(token, "content", &a->text);
	for (size_t i = 0; !err && i < WEIR_ARRAY_SIZE(flags); i++)
		err = weir_json_optional_bool(token, flags[i].key, flags[i].value);
	return err;
}

/* spaces: the normalizer changes spaces, in which such a token would be looked for as changed itself. */
static int check_added(const struct weir_json *token, const struct added *a, const struct entry *e, bool spaces)
{
	if (e->text && strcmp(e->text, a->text) != 0)
		return weir_json_fail(token, EINVAL, "has id %u, which another token has too", a->id);
	if (strlen(a->text) > WEIR_SPECIAL_MAX)
		return weir_json_fail(token, EOPNOTSUPP, "has %zu bytes; Weir looks for added tokens of up to %d",
			strlen(a->text), WEIR_SPECIAL_MAX);
	if (a->single_word)
		return weir_json_fail(
			token, EOPNOTSUPP, "is single_word, found between other words alone, which Weir does not do");
	if (spaces && a->normalized && !a->special)
		return weir_json_fail(token, EOPNOTSUPP, "is looked for in normalized text, which Weir does not do");
	return 0;
}

static int take_added(const struct weir_json *root, const struct weir_json *added, struct table *t)
{
	bool spaces = false;
	int err = 0;

	if (weir_json_has(root, "normalizer")) {
		enum weir_vocab_kind kind;

		err = weir_tokenizer_json_kind(root, &kind);
		spaces = !err && kind == WEIR_VOCAB_SPM;
	}
	for (size_t i = 0; !err && added->value && i < weir_json_count(added); i++) {
		struct added a = {0};
		struct weir_json token;
		struct entry *e;

		weir_json_at(added, i, &token);
		err = read_added(&token, &a);
		if (err)
			break;
		e = &t->entries[a.id];
		err = check_added(&token, &a, e, spaces);
		*e = (struct entry){
			.text = a.text,
			.type = a.special ? WEIR_TOKEN_CONTROL : WEIR_TOKEN_USER,
			.strip_left = a.strip_left,
			.strip_right = a.strip_right,
		};
	}
	return err;
}

/* ---- into the vocabulary ----------------------------------------------------------------------- */

static int put_entry(const struct entry *e, struct weir_vocab *v)
{
	int type = e->type, id = v->count;
	const char *text = e->text;
	int err;

	if (!text) {
		text = "";
		type = WEIR_TOKEN_UNUSED;
	} else if (v->kind == WEIR_VOCAB_SPM && type == WEIR_TOKEN_NORMAL && weir_spm_is_byte(text, strlen(text))) {
		type = WEIR_TOKEN_BYTE;
	}
	err = weir_vocab_add_token(v, text, strlen(text), 0, type);
	if (err)
		return err;
	v->tokens[id].strip_left = e->strip_left;
	v->tokens[id].strip_right = e->strip_right;
	/* Keys of an object differ, so this is an added token's text. */
	if (*text && weir_vocab_find(v, text, strlen(text)) != id)
		return weir_fail(EINVAL, "the added token %d has the text of token %d", id,
			weir_vocab_find(v, text, strlen(text)));
	return 0;
}

/*
 * Byte fallback needs a token for every byte. Byte-level vocabularies may lack some (SmolLM2's has no control
 * characters): Hugging Face's library then puts the unk_token, which in these is a control token that no plain text may
 * become, so here such bytes are left out, as they are where no unk_token is named.
 */
static int check_bytes(const struct weir_json *model, const struct weir_vocab *v)
{
	int32_t bytes[256];

	if (v->kind != WEIR_VOCAB_SPM)
		return 0;
	weir_spm_bytes(v, bytes);
	for (unsigned b = 0; b < 256; b++) {
		if (bytes[b] < 0)
			return weir_json_fail(
				model, EOPNOTSUPP, "has byte_fallback and no token <0x%02X> for a byte", b);
	}
	return 0;
}

static int read_unknown(const struct weir_json *model, struct weir_vocab *v)
{
	const char *text;
	int err;

	if (!weir_json_has(model, "unk_token"))
		return 0;
	err = weir_json_string(model, "unk_token", &text);
	if (err)
		return err;
	v->unk = weir_vocab_find(v, text, strlen(text));
	if (v->unk < 0)
		return weir_json_fail(model, EINVAL, "has an unk_token that is no token");
	if (v->kind == WEIR_VOCAB_SPM && v->tokens[v->unk].type == WEIR_TOKEN_NORMAL)
		v->tokens[v->unk].type = WEIR_TOKEN_UNKNOWN;
	return 0;
}

static int put_tokens(const struct weir_json *model, const struct table *t, struct weir_vocab *v)
{
	struct weir_json merges;
	int err = weir_json_array(model, "merges", &merges);

	if (!err)
		err = weir_vocab_reserve(v, t->count, weir_json_count(&merges));
	for (size_t i = 0; i < t->count && !err; i++) {
		err = put_entry(&t->entries[i], v);
		if (err)
			return weir_fail_in(err, "cannot read %s", model->file);
	}
	if (!err)
		err = check_bytes(model, v);
	return err ? err : read_unknown(model, v);
}

/* Parts of BPE that no model of the field uses. */
static int check_model(const struct weir_json *model)
{
	static const char *const texts[] = {"continuing_subword_prefix", "end_of_word_suffix"};
	const char *text;
	double dropout = 0;
	int err = 0;

	if (weir_json_has(model, "type"))
		err = weir_json_string(model, "type", &text);
	if (!err && weir_json_has(model, "type") && strcmp(text, "BPE") != 0)
		return weir_json_step_unknown(model, text);
	for (size_t i = 0; !err && i < WEIR_ARRAY_SIZE(texts); i++) {
		if (!weir_json_has(model, texts[i]))
			continue;
		err = weir_json_string(model, texts[i], &text);
		if (!err && *text)
			return weir_json_fail(model, EOPNOTSUPP, "has %s, which Weir does not know", texts[i]);
	}
	if (!err && weir_json_has(model, "dropout"))
		err = weir_json_double(model, "dropout", &dropout);
	if (!err && dropout != 0)
		return weir_json_fail(model, EOPNOTSUPP, "has dropout: its tokens are random");
	return err;
}

int weir_tokenizer_json_tokens(const struct weir_json *root, struct weir_vocab *v)
{
	struct weir_json model, vocab, added = {0};
	struct table t = {0};
	int err = weir_json_object(root, "model", &model);

	if (!err)
		err = check_model(&model);
	if (!err)
		err = weir_json_object(&model, "vocab", &vocab);
	if (!err && weir_json_has(root, "added_tokens"))
		err = weir_json_array(root, "added_tokens", &added);
	if (!err)
		err = count_ids(&vocab, &added, &t);
	if (err)
		return err;
	t.entries = calloc(t.count, sizeof(*t.entries));
	if (!t.entries)
		return weir_fail(ENOMEM, "no memory for %zu tokens", t.count);
	err = take_vocab(&vocab, &t);
	if (!err)
		err = take_added(root, &added, &t);
	if (!err)
		err = put_tokens(&model, &t, v);
	free(t.entries);
	return err;
}

/* ---- merges ------------------------------------------------------------------------------------ */

/* "left right" or ["left", "right"]. */
static int read_merge(const struct weir_json *merge, struct weir_str *left, struct weir_str *right)
{
	struct weir_json one;
	const char *text, *space;
	int err;

	if (json_object_is_type(merge->value, json_type_array)) {
		if (weir_json_count(merge) != 2)
			return weir_json_fail(merge, EINVAL, "has %zu elements, not two tokens", weir_json_count(merge));
		weir_json_at(merge, 0, &one);
		err = weir_json_bytes(&one, NULL, left);
		weir_json_at(merge, 1, &one);
		return err ? err : weir_json_bytes(&one, NULL, right);
	}
	err = weir_json_string(merge, NULL, &text);
	if (err)
		return err;
	space = strchr(text, ' ');
	if (!space || strchr(space + 1, ' '))
		return weir_json_fail(merge, EINVAL, "is not two tokens with a space between them");
	*left = (struct weir_str){text, (size_t)(space - text)};
	*right = (struct weir_str){space + 1, strlen(space + 1)};
	return 0;
}

static bool is_token(const struct weir_vocab *v, const struct weir_str *left, const struct weir_str *right)
{
	char text[2 * WEIR_VOCAB_TOKEN_MAX];

	/* Both are tokens, so they fit. */
	memcpy(text, left->ptr, left->len);
	memcpy(text + left->len, right->ptr, right->len);
	return weir_vocab_find(v, text, left->len + right->len) >= 0;
}

static int take_merge(const struct weir_json *merge, int32_t rank, struct weir_vocab *v)
{
	struct weir_str left, right;
	size_t before = v->merges_used;
	int32_t l, r;
	int err = read_merge(merge, &left, &right);

	if (err)
		return err;
	l = weir_vocab_find(v, left.ptr, left.len);
	r = weir_vocab_find(v, right.ptr, right.len);
	if (l < 0 || r < 0)
		return weir_json_fail(merge, EINVAL, "names a text that is no token");
	if (weir_vocab_merge(v, l, r))
		return weir_json_fail(merge, EINVAL, "is there twice");
	err = weir_vocab_add_merge(v, left.ptr, left.len, right.ptr, right.len, rank);
	/* One that would make a special token is left out: that text is found before there are words. */
	if (!err && v->merges_used == before && !is_token(v, &left, &right))
		return weir_json_fail(merge, EINVAL, "makes a text that is no token");
	return err;
}

int weir_tokenizer_json_merges(const struct weir_json *root, struct weir_vocab *v)
{
	struct weir_json model, merges, merge;
	int err = weir_json_object(root, "model", &model);

	if (!err)
		err = weir_json_array(&model, "merges", &merges);
	for (size_t i = 0; !err && i < weir_json_count(&merges); i++) {
		weir_json_at(&merges, i, &merge);
		err = take_merge(&merge, (int32_t)i, v);
	}
	v->ranked = v->kind == WEIR_VOCAB_SPM;
	return err;
}
