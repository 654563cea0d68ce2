/* SPDX-License-Identifier: MIT */
/* Tokenizers: published test vectors, round trips of any bytes, special tokens, words, hostile
 * vocabularies. */
#include "suite.h"

#include "base/base.h"
#include "format/tokenize.h"
#include "tokens.h"
#include "vocabs.h"

/* ---- helpers ---- */

static weir_tokenizer *open_data(const char *name, const char *skips)
{
	const char *path = suite_data(name, skips);
	weir_tokenizer *t = NULL;

	if (path)
		ck_assert_msg(weir_tokenizer_open(&t, path) == 0, "%s", weir_error());
	return t;
}

/* The bytes that the tokens of text print; the caller frees them. */
static char *print_tokens(const weir_tokenizer *t, const int32_t *ids, int64_t n, size_t *len)
{
	size_t size = 0, at = 0, missing = 0;
	char *out;

	for (int64_t i = 0; i < n; i++) {
		missing += !weir_token_text(t, ids[i], false, len);
		size += *len;
	}
	ck_assert_uint_eq(missing, 0);
	out = malloc(size + 1);
	for (int64_t i = 0; i < n; i++) {
		const char *piece = weir_token_text(t, ids[i], false, len);

		memcpy(out + at, piece, *len);
		at += *len;
	}
	*len = size;
	return out;
}

/* Tokens of text print it again; skip: the space that SPM puts in front. */
static void round_trip(const weir_tokenizer *t, const char *text, size_t len, size_t skip)
{
	int64_t n;
	int32_t *ids = tokens_of(t, text, len, 0, &n);
	size_t got_len;
	char *got = print_tokens(t, ids, n, &got_len);

	if (len == 0)
		skip = 0;
	ck_assert_uint_eq(got_len, len + skip);
	ck_assert_int_eq(memcmp(got + skip, text, len), 0);
	free(got);
	free(ids);
}

static uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

/* ---- published vectors ---- */

static const char *const vector_files[] = {
	"tokenizers/ggml-vocab-gpt-2.gguf", "tokenizers/ggml-vocab-llama-spm.gguf"};

START_TEST(vectors)
{
	weir_tokenizer *t = open_data(vector_files[_i], "published test vectors");

	if (t)
		expect_vectors(t, vector_files[_i]);
	weir_tokenizer_close(t);
}
END_TEST

START_TEST(text_round_trip)
{
	static const char *const texts[] = {
		"text/moby-dick.txt", "text/wikitext2-raw-test.txt", "text/tinystories-sample.txt"};
	weir_tokenizer *t = open_data(vector_files[_i], "round trips");

	for (size_t i = 0; t && i < WEIR_ARRAY_SIZE(texts); i++) {
		const char *path = suite_data(texts[i], "its round trip");
		char *text;
		size_t len;

		if (!path)
			continue;
		ck_assert_int_eq(weir_file_read(path, 1 << 26, &text, &len), 0);
		round_trip(t, text, len, _i == 1);
		free(text);
	}
	weir_tokenizer_close(t);
}
END_TEST

/* ---- small vocabularies ---- */

static const char *const spm_words[] = {"\xe2\x96\x81"
					"ab",
	"ab",
	"\xe2\x96\x81"
	"a",
	"bc", "abc", "a", "b", "c", "\xe2\x96\x81", "<s", "s>", NULL};
static const char *const bpe_words[] = {"a b", "b c", "ab c", "\xc4\xa0 a",
	"\xc4\xa0"
	"a bc",
	NULL};
static const char *const controls[] = {"<|end|>", "<|end", "<x>", "<|im_end|>", NULL};
static const char *const users[] = {"<u>", "  ", "    ", "b<x>", "c<", NULL};

static weir_tokenizer *small_spm(void)
{
	return vocab_open(&(struct vocab){
		.spm = true, .words = spm_words, .control = controls, .user = users});
}

static weir_tokenizer *small_bpe(void)
{
	return vocab_open(&(struct vocab){.words = bpe_words,
		.control = controls,
		.user = users,
		.eos = "<x>",
		.pre = "gpt-2"});
}

/* Ids in the small ones. */
#define SPM_WORD 259
#define SPM_CONTROL (SPM_WORD + 11)
#define SPM_USER (SPM_CONTROL + 4)
#define BPE_WORD 256
#define BPE_CONTROL (BPE_WORD + 5)
#define BPE_USER (BPE_CONTROL + 4)

START_TEST(spm_merges)
{
	weir_tokenizer *t = small_spm();

	/* "▁ab" is best; of "abc" then "bc" beats "abc" only where "ab" did not merge first. */
	EXPECT(t, "ab", 0, SPM_WORD);
	EXPECT(t, "abc", 0, SPM_WORD, SPM_WORD + 7);
	EXPECT(t, "cbc", 0, SPM_WORD + 8, SPM_WORD + 7, SPM_WORD + 3);
	EXPECT(t, "ab", WEIR_TOKENIZE_BOS, 1, SPM_WORD);
	expect(t, "", 0, "");
	expect(t, "", WEIR_TOKENIZE_BOS, "1");
	/* No token: the character's bytes. */
	EXPECT(t, "\xc3\xa9", 0, SPM_WORD + 8, VOCAB_SPM_BYTE(0xc3), VOCAB_SPM_BYTE(0xa9));
	/* "<s" and ">" would make "<s>", but text makes no control token. */
	EXPECT(t, "<s>", 0, SPM_WORD + 8, SPM_WORD + 9, VOCAB_SPM_BYTE('>'));
	EXPECT(t, "<s>", WEIR_TOKENIZE_SPECIAL, 1);
	/* A space comes before text that follows a special token. */
	EXPECT(t, "a<s>a", WEIR_TOKENIZE_SPECIAL, SPM_WORD + 2, 1, SPM_WORD + 2);
	weir_tokenizer_close(t);
}
END_TEST

START_TEST(bpe_merges)
{
	weir_tokenizer *t = small_bpe();

	EXPECT(t, "abc", 0, BPE_WORD + 2);
	EXPECT(t, "bcab", 0, BPE_WORD + 1, BPE_WORD);
	/* The word " abc" starts with rank 0, so " a bc" never meets. */
	EXPECT(t, "x abc", 0, 'x', ' ', BPE_WORD + 2);
	EXPECT(t, "x ac", 0, 'x', BPE_WORD + 3, 'c');
	/* Words end where the pre-tokenizer says: "a" and "b" in different words do not merge. */
	EXPECT(t, "a\nb", 0, 'a', '\n', 'b');
	EXPECT(t, "ab", WEIR_TOKENIZE_BOS, BPE_WORD);
	expect(t, "", WEIR_TOKENIZE_BOS, "");
	weir_tokenizer_close(t);
}
END_TEST

START_TEST(special_tokens)
{
	weir_tokenizer *t = small_bpe();
	const unsigned special = WEIR_TOKENIZE_SPECIAL;

	/* The longest at the leftmost place; control tokens only where they are asked for. */
	EXPECT(t, "<|end|>", special, BPE_CONTROL);
	EXPECT(t, "<|end|", special, BPE_CONTROL + 1, '|');
	EXPECT(t, "<|end", 0, '<', '|', 'e', 'n', 'd');
	EXPECT(t, "<u>", 0, BPE_USER);
	EXPECT(t, "a<u>bc", 0, 'a', BPE_USER, BPE_WORD + 1);
	/* Runs of spaces, longest first. */
	EXPECT(t, "       ", 0, BPE_USER + 2, BPE_USER + 1, ' ');
	/* A user-defined token that starts before a control token wins. */
	EXPECT(t, "ab<x>", special, 'a', BPE_USER + 3);
	EXPECT(t, "<x>b<x>", special, BPE_CONTROL + 2, BPE_USER + 3);
	weir_tokenizer_close(t);
}
END_TEST

static void expect_spans(const weir_tokenizer *t, const struct weir_span *spans, size_t count,
	size_t n, const int32_t *want)
{
	int32_t *ids;
	size_t got;
	char *w = ids_text(want, (int64_t)n), *g;

	ck_assert_int_eq(weir_tokenizer_encode(t, spans, count, false, &ids, &got), 0);
	g = ids_text(ids, (int64_t)got);
	ck_assert_str_eq(g, w);
	free(g);
	free(w);
	free(ids);
}
#define EXPECT_SPANS(t, spans, ...)                                                                \
	expect_spans(t, spans, WEIR_ARRAY_SIZE(spans),                                             \
		sizeof((int32_t[]){__VA_ARGS__}) / sizeof(int32_t), (int32_t[]){__VA_ARGS__})
#define SPAN(string, is_special)                                                                   \
	{                                                                                          \
		.text = string, .len = sizeof(string) - 1, .special = is_special                   \
	}

START_TEST(spans)
{
	weir_tokenizer *t = small_bpe();
	const struct weir_span content[] = {
		SPAN("<x>", true), SPAN("<x>", false), SPAN("<x>", true)};
	/* Words merge across borders; a control token across two special parts too, into plain ones
	 * never. */
	const struct weir_span words[] = {SPAN("a", false), SPAN("b", true), SPAN("c", false)};
	const struct weir_span split[] = {
		SPAN("<", true), SPAN("x>", true), SPAN("<", true), SPAN("x>", false)};
	/* Text before markup cannot swallow its control token by a user-defined one. */
	const struct weir_span swallow[] = {
		SPAN("bc", false), SPAN("<x>", true), SPAN("b", false), SPAN("<x>", true)};
	const struct weir_span empty[] = {SPAN("", true), SPAN("", false)};

	EXPECT_SPANS(t, content, BPE_CONTROL + 2, '<', 'x', '>', BPE_CONTROL + 2);
	EXPECT_SPANS(t, words, BPE_WORD + 2);
	EXPECT_SPANS(t, split, BPE_CONTROL + 2, '<', 'x', '>');
	EXPECT_SPANS(t, swallow, BPE_WORD + 1, BPE_CONTROL + 2, 'b', BPE_CONTROL + 2);
	expect_spans(t, empty, 2, 0, (int32_t[]){0});
	weir_tokenizer_close(t);
}
END_TEST

START_TEST(token_facts)
{
	weir_tokenizer *t = small_bpe(), *spm = small_spm();
	size_t len;

	ck_assert_int_eq(weir_token_count(t), BPE_USER + 5);
	ck_assert_int_eq(weir_token_bos(t), -1);
	ck_assert_int_eq(weir_token_eos(t), BPE_CONTROL + 2);
	ck_assert(weir_token_is_end(t, BPE_CONTROL));	  /* <|end|> by its text */
	ck_assert(weir_token_is_end(t, BPE_CONTROL + 2)); /* eos */
	ck_assert(weir_token_is_end(t, BPE_CONTROL + 3)); /* <|im_end|> */
	ck_assert(!weir_token_is_end(t, BPE_CONTROL + 1));
	ck_assert(!weir_token_is_end(t, -1));
	ck_assert(!weir_token_is_end(t, 1 << 30));
	ck_assert_ptr_null(weir_token_text(t, -1, true, &len));
	ck_assert_ptr_null(weir_token_text(t, weir_token_count(t), true, &len));
	ck_assert_ptr_nonnull(weir_token_text(t, BPE_CONTROL, false, &len));
	ck_assert_uint_eq(len, 0);
	ck_assert_int_eq(memcmp(weir_token_text(t, BPE_CONTROL, true, &len), "<|end|>", 7), 0);
	ck_assert_uint_eq(len, 7);
	ck_assert_int_eq(memcmp(weir_token_text(t, BPE_WORD + 3, false, &len), " a", 2), 0);
	ck_assert_uint_eq(len, 2);
	ck_assert_int_eq(memcmp(weir_token_text(spm, SPM_WORD, false, &len), " ab", 3), 0);
	ck_assert_int_eq(*weir_token_text(spm, VOCAB_SPM_BYTE(0xe9), false, &len), (char)0xe9);
	ck_assert_uint_eq(len, 1);
	ck_assert_int_eq(weir_token_bos(spm), 1);
	ck_assert_int_eq(weir_token_eos(spm), 2);
	ck_assert(weir_tokenizer_wants_bos(spm) && !weir_tokenizer_wants_bos(t));
	ck_assert_int_eq(weir_tokenizer_find(t, "<u>"), BPE_USER);
	ck_assert_int_eq(weir_tokenizer_find(t, "nothing"), -1);
	ck_assert_ptr_null(weir_tokenizer_template(t));
	weir_tokenizer_close(t);
	weir_tokenizer_close(spm);
	weir_tokenizer_close(NULL);
}
END_TEST

/* Converters wrote some models' markup as user-defined tokens: they are control tokens all the
 * same. */
START_TEST(user_defined_markup)
{
	static const char *const text[] = {"<|im_end|>", "<|im_start|>", NULL};
	weir_tokenizer *t = vocab_open(&(struct vocab){.user = text});

	EXPECT(t, "<|im_end|>", WEIR_TOKENIZE_SPECIAL, 256);
	ck_assert(weir_token_is_end(t, 256));
	ck_assert(!weir_token_is_end(t, 257));
	EXPECT(t,
		"<|im_start|>"
		"a",
		WEIR_TOKENIZE_SPECIAL, 257, 'a');
	EXPECT(t, "<|", 0, '<', '|');
	ck_assert_int_eq(weir_tokenize(t, "<|im_end|>", 10, 0, NULL, 0), 10);
	weir_tokenizer_close(t);
}
END_TEST

/* tokens and max: how many there are is returned, no more than max are written. */
START_TEST(max_tokens)
{
	weir_tokenizer *t = small_bpe();
	int32_t ids[3] = {-7, -7, -7};

	ck_assert_int_eq(weir_tokenize(t, "xyz", 3, 0, ids, 2), 3);
	ck_assert_int_eq(ids[1], 'y');
	ck_assert_int_eq(ids[2], -7);
	weir_tokenizer_close(t);
}
END_TEST

START_TEST(random_bytes)
{
	weir_tokenizer *t = _i ? small_spm() : small_bpe();
	uint32_t state = 12345;

	for (int k = 0; k < 3000; k++) {
		char text[64];
		size_t len = next_random(&state) % sizeof(text);

		for (size_t i = 0; i < len; i++) {
			uint32_t r = next_random(&state);

			text[i] =
				r & 0x100 ? "abc <>\n\xc3\xa9\xe2\x96\x81"[(r >> 9) % 12] : (char)r;
		}
		/* U+2581 in SPM text is a space from then on. */
		if (_i && memmem(text, len, "\xe2\x96\x81", 3))
			continue;
		/* User-defined tokens stop SPM's space: this text has none, and plain text starts
		 * with one. */
		if (_i && (memmem(text, len, "  ", 2) || memmem(text, len, "c<", 2)))
			continue;
		round_trip(t, text, len, _i && len > 0);
	}
	weir_tokenizer_close(t);
}
END_TEST

/* ---- characters ---- */

START_TEST(utf8_whole)
{
	static const struct {
		const char *text;
		size_t whole;
	} cases[] = {
		{"", 0},
		{"abc", 3},
		{"a\xc3", 1},
		{"a\xc3\xa9", 3},
		{"\xe2\x96", 0},
		{"\xe2\x96\x81", 3},
		{"\xf0\x9f\x98", 0},
		{"x\xf0\x9f\x98\x80", 5},
		{"\x80", 1},
		{"a\xff", 2},
		{"\xc0", 1},
		{"\xe0\x80", 2},
		{"\xed\xa0", 2},
		{"\xf4\x90", 2},
		{"\xf5", 1},
		{"a\xe2\x96"
		 "b",
			4},
		{"\xf0\x9f", 0},
		{"\xf0", 0},
		{"\x80\x80\x80\x80", 4},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++)
		ck_assert_msg(
			weir_utf8_whole(cases[i].text, strlen(cases[i].text)) == cases[i].whole,
			"case %zu", i);
}
END_TEST

/* ---- words ---- */

struct words {
	char text[512];
	size_t n;
};

static int add_word(void *user, const char *word, size_t len)
{
	struct words *w = user;

	if (w->n > 0)
		w->text[w->n++] = '|';
	memcpy(w->text + w->n, word, len);
	w->n += len;
	return 0;
}

/* Expected words are by Python's regex module from the expressions in the models' tokenizer.json
 * files. */
START_TEST(words)
{
	static const struct {
		const char *pre, *text, *want;
	} cases[] = {
#include "words.inc"
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		struct weir_pretokenizer *p;
		struct words w = {.n = 0};

		ck_assert_int_eq(weir_pretokenizer_create(cases[i].pre, &p), 0);
		ck_assert_int_eq(
			weir_pretokenize(p, cases[i].text, strlen(cases[i].text), add_word, &w), 0);
		w.text[w.n] = 0;
		ck_assert_msg(strcmp(w.text, cases[i].want) == 0, "%s, case %zu: [%s], not [%s]",
			cases[i].pre, i, w.text, cases[i].want);
		weir_pretokenizer_destroy(p);
	}
}
END_TEST

/* A word that is a token is that token for Llama 3, whatever the merges make of it. */
START_TEST(whole_words)
{
	static const char *const merges[] = {"b c", "a b", "ab c", NULL};
	struct vocab v = {.words = merges, .pre = "llama-bpe"};
	weir_tokenizer *t = vocab_open(&v);

	EXPECT(t, "abc", 0, 258);
	EXPECT(t, "abca", 0, 'a', 256, 'a');
	weir_tokenizer_close(t);
	v.pre = "smaug-bpe";
	t = vocab_open(&v);
	EXPECT(t, "abc", 0, 'a', 256);
	weir_tokenizer_close(t);
}
END_TEST

START_TEST(unknown_names)
{
	struct vocab v = {.pre = "klingon"};
	struct gguf_writer *w = vocab_write(&v);
	weir_tokenizer *t;

	ck_assert_int_eq(vocab_read(w, &t), -EOPNOTSUPP);
	ck_assert_ptr_nonnull(strstr(weir_error(), "klingon"));
	gguf_writer_free(w);
	for (int i = 0; i < 3; i++) {
		static const char *const models[] = {"t5", "no_vocab", "none"};

		w = gguf_writer_new(3);
		gguf_writer_string(w, "tokenizer.ggml.model", models[i]);
		ck_assert_int_eq(vocab_read(w, &t), i ? -ENOENT : -EOPNOTSUPP);
		ck_assert_ptr_nonnull(strstr(weir_error(), models[i]));
		gguf_writer_free(w);
	}
	w = gguf_writer_new(3);
	ck_assert_int_eq(vocab_read(w, &t), -ENOENT);
	gguf_writer_free(w);
	ck_assert_int_eq(weir_tokenizer_open(&t, "/nonexistent"), -ENOENT);
}
END_TEST

/* ---- long texts ---- */

START_TEST(long_texts)
{
	static const char *const repeated[] = {"a", " ", "\n", "'", "\xff", "7", "\xe2\x96\x81",
		" a", "\xe6\xbc\xa2", "a\xcc\x81", "<", "\r\n ", "!?"};
	static const char *const pres[] = {NULL, "gpt-2", "llama-bpe", "qwen2", "smollm", "tekken"};
	const size_t size = 1 << 18;
	char *text = malloc(size);

	for (size_t p = 0; p <= WEIR_ARRAY_SIZE(pres); p++) {
		struct vocab v = {.words = bpe_words, .control = controls, .user = users};
		weir_tokenizer *t;

		if (p < WEIR_ARRAY_SIZE(pres))
			v.pre = pres[p];
		else
			v = (struct vocab){.spm = true,
				.words = spm_words,
				.control = controls,
				.user = users};
		t = vocab_open(&v);
		for (size_t i = 0; i < WEIR_ARRAY_SIZE(repeated); i++) {
			size_t len = strlen(repeated[i]), n = size / len * len;
			double start = weir_now(), seconds;

			for (size_t at = 0; at < n; at += len)
				memcpy(text + at, repeated[i], len);
			ck_assert_int_gt(
				weir_tokenize(t, text, n, WEIR_TOKENIZE_SPECIAL, NULL, 0), 0);
			/* About 0.1 s; sanitizers and a busy machine take much more, a quadratic
			 * one hours. */
			seconds = weir_now() - start;
			ck_assert_msg(seconds < 20, "%zu of \"%s\", %s: %.1f s", n, repeated[i],
				v.pre ? v.pre : "-", seconds);
		}
		weir_tokenizer_close(t);
	}
	free(text);
}
END_TEST

/* The same in real vocabularies, where whole rows of letters are tokens. */
START_TEST(long_texts_real)
{
	weir_tokenizer *t = open_data(vector_files[_i], "long texts in real vocabularies");
	const size_t size = 1 << 20;
	char *text = malloc(size);

	for (const char *c = "a =-\n\xc3"; t && *c; c++) {
		double start = weir_now();

		memset(text, *c, size);
		round_trip(t, text, size, _i);
		ck_assert_msg(weir_now() - start < 20, "1 MiB of byte %d: %.1f s", *c,
			weir_now() - start);
	}
	free(text);
	weir_tokenizer_close(t);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tokenizer");
	TCase *c = tcase_create("tokenizer");

	tcase_set_timeout(c, 600);
	tcase_add_loop_test(c, vectors, 0, 2);
	tcase_add_loop_test(c, text_round_trip, 0, 2);
	tcase_add_test(c, spm_merges);
	tcase_add_test(c, bpe_merges);
	tcase_add_test(c, special_tokens);
	tcase_add_test(c, spans);
	tcase_add_test(c, token_facts);
	tcase_add_test(c, user_defined_markup);
	tcase_add_test(c, max_tokens);
	tcase_add_loop_test(c, random_bytes, 0, 2);
	tcase_add_test(c, utf8_whole);
	tcase_add_test(c, words);
	tcase_add_test(c, whole_words);
	tcase_add_test(c, unknown_names);
	tcase_add_test(c, long_texts);
	tcase_add_loop_test(c, long_texts_real, 0, 2);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
