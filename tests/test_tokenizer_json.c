/* SPDX-License-Identifier: MIT */
/* Tokenizers of Hugging Face folders: the ids of its own library, and vocabularies that go from one format to another
 * and back. */
#include "folder_writer.h"
#include "format/gguf_write.h"
#include "format/json.h"
#include "format/tokenize.h"
#include "suite.h"
#include "tokens.h"

#define GOLDEN "tests/golden/tokenizers.json"
#define CASES 12

/* ---- helpers ----------------------------------------------------------------------------------- */

static weir_tokenizer *open_folder(const char *folder)
{
	weir_tokenizer *t = NULL;

	ck_assert_msg(weir_tokenizer_open(&t, folder) == 0, "%s", weir_error());
	return t;
}

/* The tokenizer as a folder, read again. */
static weir_tokenizer *through_folder(const weir_tokenizer *t)
{
	char *folder = folder_make();
	weir_tokenizer *again;

	ck_assert_msg(weir_tokenizer_write_json(t, folder) == 0, "%s", weir_error());
	again = open_folder(folder);
	folder_remove(folder);
	free(folder);
	return again;
}

/* The tokenizer as GGUF keys, read again. */
static weir_tokenizer *through_gguf(const weir_tokenizer *t, uint32_t rows)
{
	struct weir_gguf_out *w = weir_gguf_out_new();
	struct weir_gguf_header header;
	weir_tokenizer *again;
	struct weir_gguf *g;

	ck_assert_msg(weir_tokenizer_put_gguf(t, rows, w) == 0, "%s", weir_error());
	ck_assert_int_eq(weir_gguf_out_finish(w, &header), 0);
	ck_assert_int_eq(weir_gguf_open_memory(header.data, header.size, "written", &g), 0);
	ck_assert_msg(weir_tokenizer_from_gguf(g, &again) == 0, "%s", weir_error());
	weir_gguf_close(g);
	weir_gguf_out_free(w);
	return again;
}

/* ---- golden ids -------------------------------------------------------------------------------- */

struct golden_tokenizers {
	struct weir_json root, models, texts, cases;
};

static void golden_open(struct golden_tokenizers *g)
{
	ck_assert_msg(!weir_json_open(GOLDEN, 1 << 20, &g->root), "%s", weir_error());
	ck_assert(!weir_json_object(&g->root, "models", &g->models));
	ck_assert(!weir_json_array(&g->root, "texts", &g->texts));
	ck_assert(!weir_json_array(&g->root, "cases", &g->cases));
	ck_assert_uint_eq(weir_json_count(&g->cases), CASES);
}

/* Members of from into to, which shares them. */
static void share(struct json_object *to, struct json_object *from)
{
	json_object_object_foreach(from, key, value)
		json_object_object_add(to, key, json_object_get(value));
}

static struct json_object *member(const struct weir_json *in, const char *key)
{
	struct json_object *value;

	ck_assert_msg(json_object_object_get_ex(in->value, key, &value), "no %s", key);
	return value;
}

/* The case's model: of those that cases share, without some tokens. */
static struct json_object *golden_model(const struct golden_tokenizers *g, const struct weir_json *c)
{
	struct json_object *model = json_object_new_object(), *vocab = json_object_new_object();
	struct weir_json shared, without, text;
	const char *name;

	ck_assert(!weir_json_string(c, "model", &name) && !weir_json_object(&g->models, name, &shared));
	ck_assert(!weir_json_array(c, "without", &without));
	share(model, shared.value);
	share(model, member(c, "options"));
	share(vocab, member(&shared, "vocab"));
	for (size_t i = 0; i < weir_json_count(&without); i++) {
		weir_json_at(&without, i, &text);
		json_object_object_del(vocab, json_object_get_string(text.value));
	}
	json_object_object_add(model, "vocab", vocab);
	return model;
}

static weir_tokenizer *golden_tokenizer(const struct golden_tokenizers *g, const struct weir_json *c)
{
	static const char *const parts[] = {"added_tokens", "normalizer", "pre_tokenizer", "post_processor"};
	struct json_object *all = json_object_new_object();
	char *folder = folder_make();
	weir_tokenizer *t;
	const char *text;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(parts); i++)
		json_object_object_add(all, parts[i], json_object_get(member(c, parts[i])));
	json_object_object_add(all, "model", golden_model(g, c));
	text = json_object_to_json_string(all);
	folder_put(folder, "tokenizer.json", text, strlen(text));
	json_object_put(all);
	t = open_folder(folder);
	folder_remove(folder);
	free(folder);
	return t;
}

static void golden_expect(const struct golden_tokenizers *g, const struct weir_json *c, const weir_tokenizer *t,
	const char *how)
{
	struct weir_json ids, one, text, id;

	ck_assert(!weir_json_array(c, "ids", &ids));
	ck_assert_uint_eq(weir_json_count(&ids), weir_json_count(&g->texts));
	for (size_t i = 0; i < weir_json_count(&ids); i++) {
		int64_t n;
		int32_t *got;
		bool same;

		weir_json_at(&ids, i, &one);
		weir_json_at(&g->texts, i, &text);
		got = tokens_of(t, json_object_get_string(text.value), (size_t)json_object_get_string_len(text.value),
			WEIR_TOKENIZE_BOS | WEIR_TOKENIZE_SPECIAL, &n);
		same = (size_t)n == weir_json_count(&one);
		for (size_t k = 0; same && k < weir_json_count(&one); k++) {
			weir_json_at(&one, k, &id);
			same = got[k] == json_object_get_int(id.value);
		}
		ck_assert_msg(same, "%s, %s, text %zu: %s, not %s", json_object_get_string(member(c, "name")), how, i,
			ids_text(got, n), json_object_get_string(one.value));
		free(got);
	}
}

START_TEST(golden)
{
	struct golden_tokenizers g;
	weir_tokenizer *t, *again, *third;
	struct weir_json c;
	bool gguf;

	golden_open(&g);
	weir_json_at(&g.cases, (size_t)_i, &c);
	ck_assert(!weir_json_bool(&c, "gguf", &gguf));
	t = golden_tokenizer(&g, &c);
	if (t->vocab.kind == WEIR_VOCAB_BPE)
		ck_assert_str_eq(t->vocab.pre, json_object_get_string(member(&c, "name")));
	golden_expect(&g, &c, t, "read");
	again = through_folder(t);
	golden_expect(&g, &c, again, "written and read");
	weir_tokenizer_close(again);
	if (gguf) {
		again = through_gguf(t, 0);
		golden_expect(&g, &c, again, "as GGUF");
		third = through_folder(again);
		golden_expect(&g, &c, third, "as GGUF, written and read");
		weir_tokenizer_close(third);
		weir_tokenizer_close(again);
	} else {
		struct weir_gguf_out *w = weir_gguf_out_new();

		ck_assert_int_eq(weir_tokenizer_put_gguf(t, 0, w), -EOPNOTSUPP);
		ck_assert_ptr_nonnull(strstr(weir_error(), "GGUF files"));
		weir_gguf_out_free(w);
	}
	weir_tokenizer_close(t);
	weir_json_close(&g.root);
}
END_TEST

/* ---- vocabularies of GGUF files ---------------------------------------------------------------- */

static const char *const vector_files[] = {
	"tokenizers/ggml-vocab-gpt-2.gguf", "tokenizers/ggml-vocab-llama-spm.gguf"};

static void same_ids(const weir_tokenizer *a, const weir_tokenizer *b, const char *text, size_t len)
{
	int64_t n, m;
	int32_t *x = tokens_of(a, text, len, WEIR_TOKENIZE_SPECIAL, &n);
	int32_t *y = tokens_of(b, text, len, WEIR_TOKENIZE_SPECIAL, &m);

	ck_assert_int_eq(n, m);
	ck_assert_int_eq(memcmp(x, y, (size_t)n * sizeof(*x)), 0);
	free(x);
	free(y);
}

/* Of the text data, and of runs, where ties between merges could show. */
static void same_tokenizers(const weir_tokenizer *a, const weir_tokenizer *b)
{
	const char *path = suite_data("text/wikitext2-raw-test.txt", "a text's ids");
	char run[64], *text;
	size_t len;

	ck_assert_int_eq(weir_token_count(a), weir_token_count(b));
	ck_assert_int_eq(weir_token_bos(a), weir_token_bos(b));
	ck_assert_int_eq(weir_token_eos(a), weir_token_eos(b));
	for (int32_t i = 0; i < weir_token_count(a); i++)
		ck_assert_msg(weir_token_is_end(a, i) == weir_token_is_end(b, i), "token %d ends a text once", i);
	for (const char *c = " a-=.\n"; *c; c++) {
		memset(run, *c, sizeof(run));
		for (len = 1; len < sizeof(run); len++)
			same_ids(a, b, run, len);
	}
	if (!path)
		return;
	ck_assert_int_eq(weir_file_read(path, 1 << 24, &text, &len), 0);
	same_ids(a, b, text, WEIR_MIN(len, (size_t)1 << 18));
	free(text);
}

START_TEST(vectors)
{
	const char *path = suite_data(vector_files[_i], "vocabularies of GGUF files");
	weir_tokenizer *t, *folder, *gguf;

	if (!path)
		return;
	t = open_folder(path);
	folder = through_folder(t);
	expect_vectors(folder, vector_files[_i]);
	same_tokenizers(t, folder);
	gguf = through_gguf(folder, 0);
	expect_vectors(gguf, vector_files[_i]);
	same_tokenizers(t, gguf);
	weir_tokenizer_close(gguf);
	weir_tokenizer_close(folder);
	weir_tokenizer_close(t);
}
END_TEST

/* The default model, where a person has it. */
START_TEST(smollm2)
{
	const char *path = getenv("WEIR_TEST_SMOLLM2");
	weir_tokenizer *t, *folder, *gguf;

	if (!path || access(path, R_OK)) {
		printf("skip SmolLM2's tokenizer: WEIR_TEST_SMOLLM2 names no file\n");
		return;
	}
	t = open_folder(path);
	folder = through_folder(t);
	gguf = through_gguf(t, 0);
	same_tokenizers(t, folder);
	same_tokenizers(t, gguf);
	ck_assert_str_eq(weir_tokenizer_template(t), weir_tokenizer_template(folder));
	ck_assert_str_eq(weir_tokenizer_template(t), weir_tokenizer_template(gguf));
	weir_tokenizer_close(gguf);
	weir_tokenizer_close(folder);
	weir_tokenizer_close(t);
}
END_TEST

/* ---- what stands beside tokenizer.json --------------------------------------------------------- */

#define SMALL                                                                                                          \
	"{\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true},{\"id\":6,\"content\":\"<e>\",\"special\"" \
	":true},{\"id\":4,\"content\":\"<f>\",\"special\":true}],\"pre_tokenizer\":{\"type\":\"ByteLevel\","           \
	"\"add_prefix_space\":false},\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[\"a b\"]}}"

static void put(const char *folder, const char *name, const char *text)
{
	folder_put(folder, name, text, strlen(text));
}

START_TEST(beside)
{
	char *folder = folder_make();
	weir_tokenizer *t, *gguf;

	put(folder, "tokenizer.json", SMALL);
	t = open_folder(folder);
	ck_assert(weir_token_bos(t) == -1 && weir_token_eos(t) == -1 && !weir_tokenizer_wants_bos(t));
	ck_assert_ptr_null(weir_tokenizer_template(t));
	/* Id 5 is nobody's. */
	ck_assert_int_eq(weir_token_count(t), 7);
	EXPECT(t, "abab<e>", WEIR_TOKENIZE_SPECIAL, 2, 2, 6);
	weir_tokenizer_close(t);

	put(folder, "tokenizer_config.json",
		"{\"bos_token\":\"<s>\",\"eos_token\":{\"content\":\"<e>\"},\"add_bos_token\":true,\"chat_template\":"
		"[{\"name\":\"tool_use\",\"template\":\"no\"},{\"name\":\"default\",\"template\":\"yes\"}]}");
	put(folder, "generation_config.json", "{\"eos_token_id\":[4,6,1]}");
	put(folder, "config.json", "{\"eos_token_id\":0,\"bos_token_id\":1}");
	t = open_folder(folder);
	EXPECT(t, "a", WEIR_TOKENIZE_BOS, 3, 0);
	ck_assert_int_eq(weir_token_eos(t), 6);
	for (int32_t i = 0; i < 7; i++)
		ck_assert_int_eq(weir_token_is_end(t, i), i == 6 || i == 4 || i == 1 || i == 0);
	ck_assert_str_eq(weir_tokenizer_template(t), "yes");
	/* As many tokens as the model has rows; three ends have keys. */
	gguf = through_gguf(t, 9);
	ck_assert_int_eq(weir_token_count(gguf), 9);
	ck_assert(weir_token_is_end(gguf, 6) && weir_token_is_end(gguf, 4) && weir_token_is_end(gguf, 1));
	ck_assert_str_eq(weir_tokenizer_template(gguf), "yes");
	EXPECT(gguf, "abab<e>", WEIR_TOKENIZE_BOS | WEIR_TOKENIZE_SPECIAL, 3, 2, 2, 6);
	weir_tokenizer_close(gguf);
	gguf = through_gguf(t, 4);
	ck_assert_int_eq(weir_token_count(gguf), 4);
	ck_assert_int_eq(weir_token_eos(gguf), -1);
	weir_tokenizer_close(gguf);
	weir_tokenizer_close(t);

	put(folder, "chat_template.jinja", "from a file");
	t = open_folder(folder);
	ck_assert_str_eq(weir_tokenizer_template(t), "from a file");
	weir_tokenizer_close(t);
	folder_remove(folder);
	free(folder);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("tokenizer.json");
	TCase *c = tcase_create("tokenizer.json");

	tcase_set_timeout(c, 600);
	tcase_add_loop_test(c, golden, 0, CASES);
	tcase_add_loop_test(c, vectors, 0, 2);
	tcase_add_test(c, smollm2);
	tcase_add_test(c, beside);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
