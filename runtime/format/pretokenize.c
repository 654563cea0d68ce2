/* SPDX-License-Identifier: MIT */
/*
 * Cuts text into the words inside which byte-level BPE merges, by the regular expressions of the
 * models' own tokenizers, run by PCRE2. What an expression does not match is a word too.
 */
#include "format/tokenize.h"

#include "base/base.h"
#include "format/utf8.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/*
 * The expressions, as the tokenizer.json files of the models named have them, in Oniguruma's syntax; the default one is
 * from the list in llama.cpp's src/llama-vocab.cpp. An expression splits what the one before it left.
 */
#define LETTERS_AND_DIGITS(digits)                                                                 \
	"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                      \
	"| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
/* Mistral-Nemo's; llama.cpp's stand-in for it is coarser. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN                                                                                     \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER        \
	"*|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define NAMED_STEPS 4

enum pattern {
	PATTERN_GPT2,
	PATTERN_DIGITS_GPT2,
	PATTERN_LLAMA3,
	PATTERN_QWEN2,
	PATTERN_TEKKEN,
	PATTERN_DEFAULT,
};

static const char *const patterns[][NAMED_STEPS] = {
	[PATTERN_GPT2] = {WEIR_REGEX_GPT2},
	[PATTERN_DIGITS_GPT2] = {"\\p{N}", WEIR_REGEX_GPT2},
	[PATTERN_LLAMA3] = {LETTERS_AND_DIGITS("\\p{N}{1,3}")},
	[PATTERN_QWEN2] = {LETTERS_AND_DIGITS("\\p{N}")},
	[PATTERN_TEKKEN] = {TEKKEN},
	[PATTERN_DEFAULT] = {"[\\p{P}$+<=>^~|]+", WEIR_REGEX_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"},
};

/* Names that GGUF files use. Each was checked to mean exactly this pattern and these flags in
 * llama.cpp. */
static const struct pre_name {
	const char *name;
	enum pattern pattern;
	bool whole_words, add_bos;
} pre_names[] = {
	{"default", PATTERN_DEFAULT, false, false},
	{"gpt-2", PATTERN_GPT2, false, false},
	{"phi-2", PATTERN_GPT2, false, false},
	{"mpt", PATTERN_GPT2, false, false},
	{"olmo", PATTERN_GPT2, false, false},
	{"jais", PATTERN_GPT2, false, false},
	{"trillion", PATTERN_GPT2, false, false},
	{"exaone4", PATTERN_GPT2, false, false},
	{"smollm", PATTERN_DIGITS_GPT2, false, false},
	{"starcoder", PATTERN_DIGITS_GPT2, false, false},
	{"refact", PATTERN_DIGITS_GPT2, false, false},
	{"command-r", PATTERN_DIGITS_GPT2, false, false},
	{"codeshell", PATTERN_DIGITS_GPT2, false, false},
	{"exaone", PATTERN_DIGITS_GPT2, false, false},
	{"minerva-7b", PATTERN_DIGITS_GPT2, false, false},
	{"llama-bpe", PATTERN_LLAMA3, true, true},
	{"llama-v3", PATTERN_LLAMA3, true, true},
	{"llama3", PATTERN_LLAMA3, true, true},
	{"falcon3", PATTERN_LLAMA3, true, true},
	{"falcon-h1", PATTERN_LLAMA3, true, true},
	{"pixtral", PATTERN_LLAMA3, true, true},
	{"lfm2", PATTERN_LLAMA3, true, true},
	{"smaug-bpe", PATTERN_LLAMA3, false, false},
	{"dbrx", PATTERN_LLAMA3, false, false},
	{"qwen2", PATTERN_QWEN2, false, false},
	{"deepseek-r1-qwen", PATTERN_QWEN2, false, false},
	{"stablelm2", PATTERN_QWEN2, false, false},
	{"megrez", PATTERN_QWEN2, false, false},
	{"tekken", PATTERN_TEKKEN, true, true},
};

struct weir_pretokenizer {
	struct weir_vocab_words words; /* the regexes are others' */
	bool add_bos;
	unsigned steps; /* compiled */
	pcre2_code *code[WEIR_VOCAB_STEPS];
};

static int code_fail(int code_err)
{
	PCRE2_UCHAR text[128];

	pcre2_get_error_message(code_err, text, sizeof(text));
	return weir_fail(EOPNOTSUPP, "PCRE2 does not take a pre-tokenizer's expression: %s", (char *)text);
}

static int code_compile(const char *regex, pcre2_code **out)
{
	uint32_t empty = 0;
	int code_err;
	PCRE2_SIZE offset;
	char *pattern;
	int err = weir_regex_translate(regex, &pattern);

	if (err)
		return err;
	*out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
		&code_err, &offset, NULL);
	free(pattern);
	if (!*out)
		return code_fail(code_err);
	pcre2_pattern_info(*out, PCRE2_INFO_MATCHEMPTY, &empty);
	if (empty) {
		pcre2_code_free(*out);
		return weir_fail(EOPNOTSUPP, "a pre-tokenizer's expression can match nothing at all");
	}
	/* Where the machine lets no code be made, PCRE2 interprets. */
	pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
	return 0;
}

int weir_pretokenizer_compile(const struct weir_vocab_words *words, struct weir_pretokenizer **out)
{
	struct weir_pretokenizer *p = calloc(1, sizeof(*p));
	int err = 0;

	if (!p)
		return weir_fail(ENOMEM, "no memory for a pre-tokenizer");
	p->words = *words;
	while (p->steps < words->n && !err) {
		err = code_compile(words->step[p->steps].regex, &p->code[p->steps]);
		p->steps += !err;
	}
	if (err) {
		weir_pretokenizer_destroy(p);
		return err;
	}
	*out = p;
	return 0;
}

static void named_words(const struct pre_name *name, struct weir_vocab_words *out)
{
	const char *const *regex = patterns[name->pattern];

	*out = (struct weir_vocab_words){.whole = name->whole_words};
	for (; out->n < NAMED_STEPS && regex[out->n]; out->n++)
		out->step[out->n].regex = (char *)regex[out->n];
}

int weir_pretokenizer_create(const char *name, struct weir_pretokenizer **out)
{
	const struct pre_name *found = NULL;
	struct weir_vocab_words words;
	int err;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(pre_names) && !found; i++) {
		if (strcmp(pre_names[i].name, *name ? name : "default") == 0)
			found = &pre_names[i];
	}
	if (!found)
		return weir_fail(EOPNOTSUPP,
			"tokenizer.ggml.pre is \"%s\", a pre-tokenizer that Weir does not know",
			name);
	named_words(found, &words);
	err = weir_pretokenizer_compile(&words, out);
	if (!err)
		(*out)->add_bos = found->add_bos;
	return err;
}

/* An expression that has a name and is the only step matches every character: nothing lies between. */
static bool words_equal(const struct weir_vocab_words *a, const struct weir_vocab_words *named)
{
	bool equal = a->n == named->n && a->whole == named->whole;

	for (unsigned i = 0; i < a->n && equal; i++) {
		const struct weir_vocab_step *step = &a->step[i];

		equal = strcmp(step->regex, named->step[i].regex) == 0 && !step->drop_matches &&
			(!step->drop_others || a->n == 1);
	}
	return equal;
}

const char *weir_pretokenizer_name(const struct weir_vocab_words *words)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(pre_names); i++) {
		struct weir_vocab_words named;

		named_words(&pre_names[i], &named);
		if (words_equal(words, &named))
			return pre_names[i].name;
	}
	return NULL;
}

void weir_pretokenizer_destroy(struct weir_pretokenizer *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->steps; i++)
		pcre2_code_free(p->code[i]);
	free(p);
}

const struct weir_vocab_words *weir_pretokenizer_words(const struct weir_pretokenizer *p)
{
	return &p->words;
}

bool weir_pretokenizer_whole_words(const struct weir_pretokenizer *p)
{
	return p->words.whole;
}

bool weir_pretokenizer_add_bos(const struct weir_pretokenizer *p)
{
	return p->add_bos;
}

struct split {
	const struct weir_pretokenizer *p;
	pcre2_match_data *data;
	pcre2_match_context *context;
	int (*fn)(void *user, const char *word, size_t len);
	void *user;
};

/* The next match at or after at; *begin is len where there is none. */
static int split_match(const struct split *s, unsigned stage, const char *text, size_t len,
	size_t at, size_t *begin, size_t *end)
{
	const pcre2_code *code = s->p->code[stage];
	PCRE2_SPTR subject = (PCRE2_SPTR)text;
	PCRE2_UCHAR reason[128];
	const PCRE2_SIZE *range;
	int rc = pcre2_match(code, subject, len, at, PCRE2_NO_UTF_CHECK, s->data, s->context);

	if (rc == PCRE2_ERROR_JIT_STACKLIMIT)
		rc = pcre2_match(code, subject, len, at, PCRE2_NO_UTF_CHECK | PCRE2_NO_JIT, s->data,
			s->context);
	*begin = *end = len;
	if (rc == PCRE2_ERROR_NOMATCH)
		return 0;
	if (rc < 0) {
		pcre2_get_error_message(rc, reason, sizeof(reason));
		return weir_fail(EINVAL, "cannot split %zu bytes of text into words: %s", len - at,
			(char *)reason);
	}
	range = pcre2_get_ovector_pointer(s->data);
	*begin = range[0];
	*end = range[1];
	return 0;
}

/* Splits valid UTF-8 by the expression of a stage and what it leaves by the next one's; at most
 * WEIR_VOCAB_STEPS deep. */
static int split_stage(const struct split *s, unsigned stage, const char *text, size_t len)
{
	const struct weir_vocab_step *step = &s->p->words.step[stage];
	size_t at = 0, begin, end;
	int err = 0;

	if (stage == s->p->steps)
		return len > 0 ? s->fn(s->user, text, len) : 0;
	while (at < len && !err) {
		err = split_match(s, stage, text, len, at, &begin, &end);
		if (err)
			return err;
		if (begin > at && !step->drop_others)
			err = split_stage(s, stage + 1, text + at, begin - at);
		if (!err && end > begin && !step->drop_matches)
			err = split_stage(s, stage + 1, text + begin, end - begin);
		at = end;
	}
	return err;
}

int weir_pretokenize(const struct weir_pretokenizer *p, const char *text, size_t len,
	int (*fn)(void *user, const char *word, size_t len), void *user)
{
	struct split s = {.p = p, .fn = fn, .user = user};
	int err = 0;

	s.data = pcre2_match_data_create(1, NULL);
	s.context = pcre2_match_context_create(NULL);
	if (!s.data || !s.context) {
		err = weir_fail(ENOMEM, "no memory to split %zu bytes of text into words", len);
		goto error;
	}
	/* The patterns look at each character a few times at most: this bounds a mistake, not a
	 * text. */
	pcre2_set_match_limit(s.context, (uint32_t)WEIR_MIN(len * 32 + 10000, UINT32_MAX));
	pcre2_set_depth_limit(s.context, 10000);
	/* Bytes that are no UTF-8 are words of their own: no pattern says anything about them. */
	for (size_t at = 0; at < len && !err;) {
		bool valid;
		size_t run = weir_utf8_run(text + at, len - at, &valid);

		err = valid ? split_stage(&s, 0, text + at, run) : fn(user, text + at, run);
		at += run;
	}
error:
	pcre2_match_context_free(s.context);
	pcre2_match_data_free(s.data);
	return err;
}
