/* SPDX-License-Identifier: MIT */
/* Files of Hugging Face folders that are wrong, odd or hostile: each is refused with its sentence, or opens. */
#include <fnmatch.h>

#include "folder_writer.h"
#include "format/tokenize.h"
#include "suite.h"
#include "tokens.h"

/* Parts of tokenizer.json in place of those of a small one that opens. */
struct part {
	const char *added, *normalizer, *pre, *post, *options, *vocab, *merges;
	const char *sentence; /* a pattern, behind the file's name; NULL: it opens */
	int err;	      /* 0: EINVAL */
};

#define BYTE_LEVEL "{\"type\":\"ByteLevel\",\"add_prefix_space\":false}"
#define SPLIT(regex, rest) "{\"type\":\"Split\",\"pattern\":{\"Regex\":\"" regex "\"}" rest "}"
#define ISOLATED(regex) SPLIT(regex, ",\"behavior\":\"Isolated\"")
#define THEN_BYTES(step) "{\"type\":\"Sequence\",\"pretokenizers\":[" step "," BYTE_LEVEL "]}"
#define PRE(step) .pre = THEN_BYTES(step), .err = EOPNOTSUPP
#define REGEX(regex) PRE(ISOLATED(regex))
#define ADDED(rest) "[{\"id\":3,\"content\":\"<s>\"" rest "}]"
#define TEMPLATE(single, tokens)                                                                                       \
	"{\"type\":\"TemplateProcessing\",\"single\":[" single "],\"special_tokens\":{" tokens "}}"
#define BOS "{\"SpecialToken\":{\"id\":\"<s>\"}}"
#define TEXT "{\"Sequence\":{\"id\":\"A\"}}"

static const struct part byte_level[] = {
	{.sentence = NULL},
	/* ---- tokens */
	{.vocab = "{}", .added = "[]", .sentence = ": model.vocab has no tokens"},
	{.vocab = "[]", .sentence = ": model.vocab is an array, not an object"},
	{.vocab = "{\"a\":0,\"b\":1,\"b\":2}", .sentence = ": line 1: the key b is there twice"},
	{.vocab = "{\"a\":0,\"b\":0,\"ab\":2}", .sentence = ": model.vocab.b has id 0, which another token has too"},
	{.vocab = "{\"a\":-1,\"b\":1,\"ab\":2}", .sentence = ": model.vocab.a is negative"},
	{.vocab = "{\"a\":\"0\",\"b\":1,\"ab\":2}", .sentence = ": model.vocab.a is a string, not an integer"},
	{.vocab = "{\"a\":0.5,\"b\":1,\"ab\":2}", .sentence = ": model.vocab.a is a number with a fraction, *"},
	{.vocab = "{\"a\":4294967296,\"b\":1,\"ab\":2}", .sentence = ": model.vocab.a is 4294967296, more than *"},
	{.vocab = "{\"a\":4294967295,\"b\":1,\"ab\":2}", .sentence = ": model.vocab.a is id 4294967295, far beyond *"},
	{.vocab = "{\"a\":65539,\"b\":1,\"ab\":2}", .sentence = NULL},
	{.vocab = "{\"a\":65540,\"b\":1,\"ab\":2}", .sentence = ": model.vocab.a is id 65540, far beyond *"},
	{.vocab = "{\"a\":0,\"b\":1,\"ab\":2,\"\":7}", .sentence = NULL},
	{.vocab = "{\"a\\u0000\":0}", .sentence = ": line 1: a key with a zero byte"},
	/* ---- added tokens */
	{.added = "{}", .sentence = ": added_tokens is an object, not an array"},
	{.added = "[3]", .sentence = ": added_tokens\\[0] is an integer, not an object"},
	{.added = "[{\"id\":3}]", .sentence = ": added_tokens\\[0].content is missing"},
	{.added = "[{\"content\":\"<s>\"}]", .sentence = ": added_tokens\\[0].id is missing"},
	{.added = "[{\"id\":3,\"content\":7}]", .sentence = ": added_tokens\\[0].content is an integer, not a string"},
	{.added = "[{\"id\":3,\"content\":\"<\\u0000\"}]", .sentence = ": added_tokens\\[0].content has a zero byte"},
	{.added = "[{\"id\":-3,\"content\":\"<s>\"}]", .sentence = ": added_tokens\\[0].id is negative"},
	{.added = "[{\"id\":999999,\"content\":\"<s>\"}]", .sentence = ": added_tokens\\[0] is id 999999, far *"},
	{.added = "[{\"id\":0,\"content\":\"<s>\"}]", .sentence = ": added_tokens\\[0] has id 0, which another *"},
	{.added = "[{\"id\":3,\"content\":\"ab\"}]", .sentence = ": the added token 3 has the text of token 2"},
	{.added = "[{\"id\":0,\"content\":\"a\"}]", .sentence = NULL},
	{.added = ADDED(",\"special\":1"), .sentence = ": added_tokens\\[0].special is an integer, not a boolean"},
	{.added = ADDED(",\"single_word\":true"), .err = EOPNOTSUPP, .sentence = ": added_tokens\\[0] is single_word, *"},
	/* ---- merges */
	{.merges = "{}", .sentence = ": model.merges is an object, not an array"},
	{.merges = "[7]", .sentence = ": model.merges\\[0] is an integer, not a string"},
	{.merges = "[\"ab\"]", .sentence = ": model.merges\\[0] is not two tokens with a space between them"},
	{.merges = "[\"a b b\"]", .sentence = ": model.merges\\[0] is not two tokens with a space between them"},
	{.merges = "[[\"a\"]]", .sentence = ": model.merges\\[0] has 1 elements, not two tokens"},
	{.merges = "[[\"a\",1]]", .sentence = ": model.merges\\[0]\\[1] is an integer, not a string"},
	{.merges = "[\"a c\"]", .sentence = ": model.merges\\[0] names a text that is no token"},
	{.merges = "[\" b\"]", .sentence = ": model.merges\\[0] names a text that is no token"},
	{.merges = "[\"b a\"]", .sentence = ": model.merges\\[0] makes a text that is no token"},
	{.merges = "[\"a b\",[\"a\",\"b\"]]", .sentence = ": model.merges\\[1] is there twice"},
	{.merges = "[[\"a\",\"b\"]]", .sentence = NULL},
	{.vocab = "{\"<\":0,\"s>\":1,\"b\":2}", .merges = "[\"< s>\"]", .sentence = NULL},
	/* ---- the model */
	{.options = "\"type\":\"Unigram\",", .err = EOPNOTSUPP, .sentence = ": model is Unigram, which Weir does not *"},
	{.options = "\"type\":\"WordPiece\",", .err = EOPNOTSUPP, .sentence = ": model is WordPiece, which Weir *"},
	{.options = "\"dropout\":0.1,", .err = EOPNOTSUPP, .sentence = ": model has dropout: its tokens are random"},
	{.options = "\"dropout\":0.0,\"continuing_subword_prefix\":\"\",", .sentence = NULL},
	{.options = "\"end_of_word_suffix\":\"</w>\",", .err = EOPNOTSUPP, .sentence = ": model has end_of_word_suffix, *"},
	{.options = "\"unk_token\":\"<s>\",", .sentence = NULL},
	{.options = "\"unk_token\":\"c\",", .sentence = ": model has an unk_token that is no token"},
	{.options = "\"ignore_merges\":1,", .sentence = ": model.ignore_merges is an integer, not a boolean"},
	/* ---- steps */
	{.normalizer = "{\"type\":\"Lowercase\"}", .err = EOPNOTSUPP, .sentence = ": normalizer is Lowercase, which *"},
	{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"}]}", .sentence = NULL},
	{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[{\"type\":\"NFC\"},{\"type\":\"\\u001b[2J\"}]}",
		.err = EOPNOTSUPP,
		.sentence = ": normalizer.normalizers\\[1] is ?\\[2J, which Weir does not know here"},
	{.normalizer = "{\"type\":\"Sequence\"}", .sentence = ": normalizer.normalizers is missing"},
	{.normalizer = "7", .sentence = ": normalizer is an integer, not an object"},
	{.pre = "null", .err = EOPNOTSUPP, .sentence = ": model has no byte_fallback and no ByteLevel *"},
	{.pre = "{\"type\":\"ByteLevel\"}", .err = EOPNOTSUPP, .sentence = ": pre_tokenizer has add_prefix_space, *"},
	{.pre = "{\"type\":\"Sequence\",\"pretokenizers\":[" BYTE_LEVEL ",{\"type\":\"Digits\"}]}",
		.err = EOPNOTSUPP,
		.sentence = ": pre_tokenizer.pretokenizers\\[1] is a step behind ByteLevel, *"},
	{PRE("{\"type\":\"Whitespace\"}"), .sentence = ": pre_tokenizer.pretokenizers\\[0] is Whitespace, *"},
	{.pre = THEN_BYTES("{\"typ\":1}"), .sentence = ": pre_tokenizer.pretokenizers\\[0].type is missing"},
	{PRE(SPLIT("a", ",\"behavior\":\"Contiguous\"")), .sentence = ": pre_tokenizer.pretokenizers\\[0] is a Split *"},
	{.pre = THEN_BYTES(SPLIT("a", "")), .sentence = ": pre_tokenizer.pretokenizers\\[0].behavior is missing"},
	{PRE(ISOLATED("a") "," ISOLATED("a") "," ISOLATED("a") "," ISOLATED("a") "," ISOLATED("a") "," ISOLATED(
		 "a") "," ISOLATED("a") "," ISOLATED("a")),
		.sentence = ": pre_tokenizer.pretokenizers\\[8] is one step more than the 8 that Weir takes"},
	/* ---- expressions */
	{REGEX("a*"), .sentence = ": a pre-tokenizer's expression can match nothing at all"},
	{REGEX(""), .sentence = ": a pre-tokenizer's expression can match nothing at all"},
	{REGEX("(a"), .sentence = ": PCRE2 does not take a pre-tokenizer's expression: *"},
	{REGEX("((a{1,999}){1,999}){1,999}"), .sentence = ": PCRE2 does not take a pre-tokenizer's expression: *"},
	{REGEX("\\\\p{Nonsense}"), .sentence = ": PCRE2 does not take a pre-tokenizer's expression: *"},
	{REGEX("\\\\h"), .sentence = ": the regular expression has an escape at \"\\\\h\", which Weir does not know"},
	{REGEX("a\\\\"), .sentence = ": the regular expression has an escape at *"},
	{REGEX("\\\\pL"), .sentence = ": the regular expression has a property without braces at *"},
	{REGEX("\\\\p{L"), .sentence = ": the regular expression has a property's name at *"},
	{REGEX("\\\\p{}"), .sentence = ": the regular expression has a property's name at *"},
	{REGEX("\\\\u12"), .sentence = ": the regular expression has a character's number at *"},
	{REGEX("[a"), .sentence = ": the regular expression has a class without an end at *"},
	{REGEX("[]a]"), .sentence = ": the regular expression has an empty class at *"},
	{REGEX("[a[b]]"), .sentence = ": the regular expression has a class in a class at *"},
	{REGEX("[a&&b]"), .sentence = ": the regular expression has a class in a class at *"},
	{REGEX("[\\\\S]"), .sentence = ": the regular expression has a class of all but spaces in a class at *"},
	{REGEX("[\\\\s-z]"), .sentence = ": the regular expression has a range of classes at *"},
	{REGEX("[!-\\\\d]"), .sentence = ": the regular expression has a range of classes at *"},
	{REGEX("[!-\\\\p{L}]"), .sentence = ": the regular expression has a range of classes at *"},
	{REGEX("(?<n>a)"), .sentence = ": the regular expression has a kind of group at *"},
	{REGEX("(?R)a"), .sentence = ": the regular expression has a kind of group at *"},
	{REGEX("(*ACCEPT)"), .sentence = ": the regular expression has a verb at *"},
	{REGEX("^a"), .sentence = ": the regular expression has an anchor at *"},
	{REGEX("a{1,2}+"), .sentence = ": the regular expression has a count at *"},
	{REGEX("a{2}?"), .sentence = ": the regular expression has a count at *"},
	{REGEX("a{,2}"), .sentence = ": the regular expression has a brace at *"},
	{REGEX("a{2"), .sentence = ": the regular expression has a count at *"},
	{.pre = THEN_BYTES(ISOLATED("a\\u0000")), .sentence = ": pre_tokenizer.pretokenizers\\[0].pattern.Regex has a zero byte"},
	{.pre = THEN_BYTES(ISOLATED("[^\\\\s\\\\d-]++|[-\\\\s]|\\\\p{^L}|\\\\P{Han}|(?>a|b)\\\\.")), .sentence = NULL},
	/* ---- behind the model */
	{.post = TEMPLATE(BOS "," TEXT, "\"<s>\":{\"ids\":[3]}"), .sentence = NULL},
	{.post = TEMPLATE(TEXT, ""), .sentence = NULL},
	{.post = TEMPLATE(TEXT "," BOS, ""), .sentence = NULL},
	{.post = TEMPLATE(BOS "," TEXT, ""), .sentence = ": post_processor.special_tokens.<s> is missing"},
	{.post = TEMPLATE(BOS, "\"<s>\":{\"ids\":[3]}"), .sentence = ": post_processor.single has no place for the text"},
	{.post = TEMPLATE(BOS "," TEXT, "\"<s>\":{\"ids\":[9]}"), .sentence = ": post_processor*ids\\[0] is 9; the *"},
	{.post = TEMPLATE(BOS "," TEXT, "\"<s>\":{\"ids\":[]}"), .err = EOPNOTSUPP, .sentence = ": *ids has 0 tokens; *"},
	{.post = TEMPLATE(BOS "," BOS "," TEXT, "\"<s>\":{\"ids\":[3]}"),
		.err = EOPNOTSUPP,
		.sentence = ": post_processor.single\\[1] is a second token before a text; *"},
	{.post = "{\"type\":\"RobertaProcessing\"}", .err = EOPNOTSUPP, .sentence = ": post_processor is Roberta*"},
};

static char *file_text(const struct part *p)
{
	char *text = NULL;

	if (asprintf(&text,
		    "{\"added_tokens\":%s,\"normalizer\":%s,\"pre_tokenizer\":%s,\"post_processor\":%s,\"model\":{%s"
		    "\"vocab\":%s,\"merges\":%s}}",
		    p->added ? p->added : ADDED(",\"special\":true"), p->normalizer ? p->normalizer : "null",
		    p->pre ? p->pre : BYTE_LEVEL, p->post ? p->post : "null", p->options ? p->options : "",
		    p->vocab ? p->vocab : "{\"a\":0,\"b\":1,\"ab\":2}", p->merges ? p->merges : "[\"a b\"]") < 0)
		abort();
	return text;
}

/* What opening the folder gives, and its sentence. */
static void expect_open(const char *folder, const char *file, int err, const char *sentence)
{
	char pattern[512];
	weir_tokenizer *t = NULL;
	int got = weir_tokenizer_from_json(folder, &t);

	if (!sentence) {
		ck_assert_msg(!got, "%s", weir_error());
		ck_assert_int_ge(weir_tokenize(t, "abc <s>d", 8, 3, NULL, 0), 0);
		weir_tokenizer_close(t);
		return;
	}
	snprintf(pattern, sizeof(pattern), "cannot read %s/%s%s", folder, file, sentence);
	ck_assert_msg(got == -(err ? err : EINVAL), "%d, not %d: %s", got, -(err ? err : EINVAL), weir_error());
	ck_assert_msg(fnmatch(pattern, weir_error(), 0) == 0, "\"%s\" is not as \"%s\"", weir_error(), pattern);
}

START_TEST(byte_level_files)
{
	char *folder = folder_make(), *text = file_text(&byte_level[_i]);

	folder_put(folder, "tokenizer.json", text, strlen(text));
	expect_open(folder, "tokenizer.json", byte_level[_i].err, byte_level[_i].sentence);
	folder_remove(folder);
	free(folder);
	free(text);
}
END_TEST

/* ---- byte fallback ----------------------------------------------------------------------------- */

#define MARK "\xe2\x96\x81"
#define REPLACE "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"" MARK "\"}"
#define PREPEND "{\"type\":\"Prepend\",\"prepend\":\"" MARK "\"}"
#define METASPACE(rest) "{\"type\":\"Metaspace\",\"replacement\":\"" MARK "\"" rest "}"

static const struct part fallback[] = {
	{.normalizer = REPLACE},
	{.pre = METASPACE(",\"split\":false")},
	{.pre = METASPACE(",\"split\":false,\"add_prefix_space\":false")},
	{.sentence = ": it has byte_fallback and nothing that turns spaces into U+2581", .err = EOPNOTSUPP},
	{.normalizer = PREPEND, .sentence = ": it has byte_fallback and nothing *", .err = EOPNOTSUPP},
	{.normalizer = REPLACE, .options = "\"ignore_merges\":true,", .err = EOPNOTSUPP, .sentence = ": model has *"},
	{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"a\"},\"content\":\"" MARK "\"}",
		.err = EOPNOTSUPP,
		.sentence = ": normalizer replaces something else than spaces, *"},
	{.normalizer = "{\"type\":\"Replace\",\"pattern\":{\"String\":\" \"},\"content\":\"_\"}",
		.err = EOPNOTSUPP,
		.sentence = ": normalizer has a content other than U+2581"},
	{.normalizer = "{\"type\":\"Sequence\",\"normalizers\":[" PREPEND "," PREPEND "," REPLACE "]}",
		.err = EOPNOTSUPP,
		.sentence = ": normalizer.normalizers\\[1] is Prepend, *"},
	{.normalizer = REPLACE, .pre = METASPACE(",\"split\":false"), .err = EOPNOTSUPP, .sentence = ": *Metaspace, *"},
	{.pre = METASPACE(""), .err = EOPNOTSUPP, .sentence = ": pre_tokenizer is a Metaspace that splits words, *"},
	{.pre = METASPACE(",\"split\":false,\"prepend_scheme\":\"last\""),
		.err = EOPNOTSUPP,
		.sentence = ": pre_tokenizer has a prepend_scheme that Weir does not know"},
	{.normalizer = REPLACE, .added = ADDED(",\"normalized\":true"), .err = EOPNOTSUPP,
		.sentence = ": added_tokens\\[0] is looked for in normalized text, *"},
	{.normalizer = REPLACE, .added = ADDED(",\"normalized\":true,\"special\":true")},
	{.normalizer = REPLACE, .options = "\"unk_token\":\"none\",", .sentence = ": model has an unk_token that is no *"},
	{.normalizer = REPLACE, .vocab = "{\"a\":0,\"b\":1,\"ab\":2}", .err = EOPNOTSUPP,
		.sentence = ": model has byte_fallback and no token <0x00> for a byte"},
};

START_TEST(fallback_files)
{
	char *folder = folder_make(), vocab[8192] = "{\"a\":0,\"b\":1,\"ab\":2", options[128], *text;
	struct part p = fallback[_i];

	for (unsigned b = 0; b < 256; b++)
		snprintf(vocab + strlen(vocab), 32, ",\"<0x%02X>\":%u", b, 4 + b);
	strcat(vocab, "}");
	snprintf(options, sizeof(options), "\"byte_fallback\":true,%s", p.options ? p.options : "");
	p.options = options;
	p.vocab = p.vocab ? p.vocab : vocab;
	p.pre = p.pre ? p.pre : "null";
	text = file_text(&p);
	folder_put(folder, "tokenizer.json", text, strlen(text));
	expect_open(folder, "tokenizer.json", p.err, p.sentence);
	folder_remove(folder);
	free(folder);
	free(text);
}
END_TEST

/* ---- other files, and what is no tokenizer.json at all ------------------------------------------ */

static const struct {
	const char *file, *text, *sentence;
} others[] = {
	{"tokenizer_config.json", "{\"bos_token\":\"nothing\"}", " has a bos_token that is no token"},
	{"tokenizer_config.json", "{\"eos_token\":{\"content\":3}}", ": eos_token.content is an integer, not a string"},
	{"tokenizer_config.json", "{\"bos_token\":[]}", ": bos_token is an array, not a string"},
	{"tokenizer_config.json", "{\"add_bos_token\":\"yes\"}", ": add_bos_token is a string, not a boolean"},
	{"tokenizer_config.json", "{\"chat_template\":[{\"template\":\"x\"}]}", ": chat_template\\[0].name is missing"},
	{"tokenizer_config.json", "{\"chat_template\":3}", ": chat_template is an integer, not a string"},
	{"tokenizer_config.json", "{\"chat_template\":\"a\\u0000\"}", ": chat_template has a zero byte"},
	{"tokenizer_config.json", "{", ": line 1: a key in quotes is due"},
	{"generation_config.json", "{\"eos_token_id\":[0,9]}", ": eos_token_id\\[1] is 9; the vocabulary has 4 tokens"},
	{"generation_config.json", "{\"eos_token_id\":-1}", ": eos_token_id is negative"},
	{"generation_config.json", "{\"eos_token_id\":[[]]}", ": eos_token_id\\[0] is an array, not an integer"},
	{"config.json", "{\"bos_token_id\":4}", " has bos_token_id 4; the vocabulary has 4 tokens"},
	{"tokenizer.json", "[]", " is an array, not an object"},
	{"tokenizer.json", "{}", ": model is missing"},
	{"tokenizer.json", "{\"pre_tokenizer\":" BYTE_LEVEL "}", ": model is missing"},
};

START_TEST(other_files)
{
	char *folder = folder_make(), *text = file_text(&byte_level[0]);
	char pattern[256];
	weir_tokenizer *t;

	folder_put(folder, "tokenizer.json", text, strlen(text));
	folder_put(folder, others[_i].file, others[_i].text, strlen(others[_i].text));
	ck_assert_int_lt(weir_tokenizer_from_json(folder, &t), 0);
	snprintf(pattern, sizeof(pattern), "*%s/%s*%s", folder, others[_i].file, others[_i].sentence);
	ck_assert_msg(fnmatch(pattern, weir_error(), 0) == 0, "\"%s\" is not as \"%s\"", weir_error(), pattern);
	folder_remove(folder);
	free(folder);
	free(text);
}
END_TEST

START_TEST(absent_and_deep)
{
	char *folder = folder_make(), deep[4096];
	weir_tokenizer *t;

	ck_assert_int_eq(weir_tokenizer_from_json(folder, &t), -ENOENT);
	ck_assert_ptr_nonnull(strstr(weir_error(), "has no tokenizer.json"));
	memset(deep, '[', sizeof(deep));
	folder_put(folder, "tokenizer.json", deep, sizeof(deep));
	expect_open(folder, "tokenizer.json", EINVAL, ": line 1: more than 64 objects and arrays in each other");
	folder_remove(folder);
	ck_assert_int_eq(weir_tokenizer_from_json(folder, &t), -ENOENT);
	free(folder);
}
END_TEST

static Suite *suite(void)
{
	Suite *s = suite_create("hostile tokenizer.json");
	TCase *c = tcase_create("hostile tokenizer.json");

	tcase_add_loop_test(c, byte_level_files, 0, WEIR_ARRAY_SIZE(byte_level));
	tcase_add_loop_test(c, fallback_files, 0, WEIR_ARRAY_SIZE(fallback));
	tcase_add_loop_test(c, other_files, 0, WEIR_ARRAY_SIZE(others));
	tcase_add_test(c, absent_and_deep);
	suite_add_tcase(s, c);
	return s;
}

int main(void)
{
	return suite_run(suite());
}
