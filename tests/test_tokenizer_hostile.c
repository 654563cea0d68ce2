/* SPDX-License-Identifier: MIT */
/* Vocabularies that are wrong, odd or hostile: one sentence, or behaviour that is written down. */
#include "suite.h"

#include "base/base.h"
#include "format/vocab.h"
#include "tokens.h"
#include "vocabs.h"

struct hostile {
	const char *model;
	const char *const *tokens;
	uint64_t n, scores, types, merges;
	float score;
	int32_t type;
	enum weir_gguf_value scores_type, types_type;
	const char *const *merge;
	const char *id_key;
	uint32_t id;
	const char *wrong; /* NULL: it opens */
};

static const char *const abc[] = {"a", "b", "", "a", "ab"};
static const char *const good_merge[] = {"a b", "a nothing", "b a"};
static const char *const bad_merge[] = {"a b", "ab"};
#define ABC .tokens = abc, .n = 5

static const struct hostile hostile[] = {
	{.model = "llama", .wrong = "tokens"},
	{.model = "llama", ABC},
	{.model = "llama", ABC, .scores = 4, .wrong = "4 elements"},
	{.model = "llama", ABC, .scores = 5, .scores_type = WEIR_GGUF_I32, .wrong = "scores"},
	{.model = "llama", ABC, .scores = 5, .score = __builtin_nanf("")},
	{.model = "llama", ABC, .scores = 5, .score = __builtin_inff()},
	{.model = "llama", ABC, .types = 6, .type = 1, .wrong = "6 elements"},
	{.model = "llama",
		ABC,
		.types = 5,
		.type = 1,
		.types_type = WEIR_GGUF_F32,
		.wrong = "token_type"},
	{.model = "llama", ABC, .types = 5, .type = 7, .wrong = "type 7"},
	{.model = "llama", ABC, .types = 5, .type = -1, .wrong = "type -1"},
	{.model = "llama", ABC, .types = 5, .type = 6},
	{.model = "llama", ABC, .types = 5, .type = 4},
	{.model = "llama", ABC, .types = 5, .type = 3},
	{.model = "llama",
		ABC,
		.id_key = "tokenizer.ggml.bos_token_id",
		.id = 5,
		.wrong = "bos_token_id is 5"},
	{.model = "llama",
		ABC,
		.id_key = "tokenizer.ggml.eos_token_id",
		.id = UINT32_MAX,
		.wrong = "eos_token_id"},
	{.model = "llama", ABC, .id_key = "tokenizer.ggml.eot_token_id", .id = 4},
	{.model = "gpt2", ABC, .wrong = "merges"},
	{.model = "gpt2", ABC, .merges = 3, .merge = good_merge},
	{.model = "gpt2", ABC, .merges = 2, .merge = bad_merge, .wrong = "element 1 has no space"},
	{.model = "gpt2", .merges = 2, .merge = bad_merge, .wrong = "tokens"},
};

static struct gguf_writer *hostile_write(const struct hostile *h)
{
	struct gguf_writer *w = gguf_writer_new(3);
	float scores[8];
	int32_t types[8];

	for (int i = 0; i < 8; i++) {
		scores[i] = h->score;
		types[i] = h->type;
	}
	gguf_writer_string(w, "tokenizer.ggml.model", h->model);
	if (h->n > 0)
		gguf_writer_strings(w, "tokenizer.ggml.tokens", h->tokens, h->n);
	if (h->scores > 0)
		gguf_writer_array(w, "tokenizer.ggml.scores",
			h->scores_type ? h->scores_type : WEIR_GGUF_F32, scores, h->scores);
	if (h->types > 0)
		gguf_writer_array(w, "tokenizer.ggml.token_type",
			h->types_type ? h->types_type : WEIR_GGUF_I32, types, h->types);
	if (h->merge)
		gguf_writer_strings(w, "tokenizer.ggml.merges", h->merge, h->merges);
	if (h->id_key)
		gguf_writer_u32(w, h->id_key, h->id);
	return w;
}

START_TEST(hostile_metadata)
{
	const struct hostile *h = &hostile[_i];
	struct gguf_writer *w = hostile_write(h);
	weir_tokenizer *t = NULL;
	int err = vocab_read(w, &t);

	if (h->wrong) {
		ck_assert_int_lt(err, 0);
		ck_assert_msg(strstr(weir_error(), h->wrong), "case %d: %s", _i, weir_error());
		ck_assert_msg(strncmp(weir_error(), "vocabulary: ", 12) == 0, "case %d: %s", _i,
			weir_error());
	} else {
		static const char text[] = "abab \xff\xe2\x82 zz";

		ck_assert_msg(err == 0, "case %d: %s", _i, weir_error());
		ck_assert_int_ge(weir_tokenize(t, text, sizeof(text), 3, NULL, 0), 0);
		ck_assert_int_eq(weir_token_count(t), 5);
		weir_tokenizer_close(t);
	}
	gguf_writer_free(w);
}
END_TEST

START_TEST(long_token)
{
	char *text = malloc(WEIR_VOCAB_TOKEN_MAX + 2);
	const char *const tokens[] = {text};
	struct hostile h = {.model = "llama", .tokens = tokens, .n = 1, .types = 1, .type = 4};
	weir_tokenizer *t;

	memset(text, 'a', WEIR_VOCAB_TOKEN_MAX + 1);
	for (int over = 0; over < 2; over++) {
		struct gguf_writer *w;

		text[WEIR_VOCAB_TOKEN_MAX + over] = 0;
		w = hostile_write(&h);
		ck_assert_int_eq(vocab_read(w, &t), over ? -EINVAL : 0);
		if (!over) {
			ck_assert_int_eq(
				weir_tokenize(t, text, WEIR_VOCAB_TOKEN_MAX, 3, NULL, 0), 0);
			weir_tokenizer_close(t);
		}
		text[WEIR_VOCAB_TOKEN_MAX] = 'a';
		gguf_writer_free(w);
	}
	free(text);
}
END_TEST

/* A file without token types still has markup that text does not become, and bytes that print as
 * bytes. */
START_TEST(no_types)
{
	static const char *const tokens[] = {"<unk>", "<s>", "</s>", "<0x41>", "a", "<s"};
	struct gguf_writer *w = gguf_writer_new(3);
	weir_tokenizer *t;
	size_t len;

	gguf_writer_string(w, "tokenizer.ggml.model", "llama");
	gguf_writer_strings(w, "tokenizer.ggml.tokens", tokens, 6);
	gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
	ck_assert_int_eq(vocab_read(w, &t), 0);
	gguf_writer_free(w);
	EXPECT(t, "a</s>", WEIR_TOKENIZE_SPECIAL | WEIR_TOKENIZE_BOS, 1, 4, 2);
	EXPECT(t, "Aa", 0, 3, 4);
	EXPECT(t, "ab\xc3\xa9", 0, 4, 0, 0); /* unknown, one for a character */
	ck_assert_int_eq(*weir_token_text(t, 3, false, &len), 'A');
	ck_assert_uint_eq(len, 1);
	weir_tokenizer_close(t);
}
END_TEST

/* An unknown token that the file calls control still stands for unknown text; one that ends texts
 * never does. */
START_TEST(control_unknown)
{
	static const char *const tokens[] = {"?", "<s>", "</s>", "a"};
	static const int32_t types[] = {3, 3, 3, 1};

	for (uint32_t unk = 0; unk < 3; unk++) {
		struct gguf_writer *w = gguf_writer_new(3);
		weir_tokenizer *t;

		gguf_writer_string(w, "tokenizer.ggml.model", "llama");
		gguf_writer_strings(w, "tokenizer.ggml.tokens", tokens, 4);
		gguf_writer_array(w, "tokenizer.ggml.token_type", WEIR_GGUF_I32, types, 4);
		gguf_writer_u32(w, "tokenizer.ggml.unknown_token_id", unk);
		gguf_writer_bool(w, "tokenizer.ggml.add_space_prefix", false);
		ck_assert_int_eq(vocab_read(w, &t), 0);
		gguf_writer_free(w);
		expect(t, "xa", 0, unk ? "3" : "0 3");
		weir_tokenizer_close(t);
	}
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hostile vocabularies");
	TCase *c = tcase_create("hostile vocabularies");

	tcase_add_loop_test(c, hostile_metadata, 0, WEIR_ARRAY_SIZE(hostile));
	tcase_add_test(c, long_token);
	tcase_add_test(c, no_types);
	tcase_add_test(c, control_unknown);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
