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
 * Unicode's White_Space as the inside of a class: PCRE2's own \s also takes U+180E, which Unicode
 * took away in 6.3. S and NOT_S are \s and \S.
 */
#define SPACES                                                                                     \
	"\\x{09}-\\x{0d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}"                         \
	"\\x{2028}\\x{2029}\\x{202f}\\x{205f}\\x{3000}"
#define S "[" SPACES "]"
#define NOT_S "[^" SPACES "]"
#define OTHER "[^" SPACES "\\p{L}\\p{N}]"

/*
 * The patterns, with their sources: the tokenizer.json files of the models named, and the list in
 * llama.cpp's src/llama-vocab.cpp, whose adapted contractions (ASCII letters alone) are used. An
 * expression splits what the one before it left.
 */
#define GPT2 "'(?:[stmd]|re|ve|ll)| ?\\p{L}+| ?\\p{N}+| ?" OTHER "+|" S "+(?!" NOT_S ")|" S "+"
#define CONTRACTIONS "'(?:[sStTmMdD]|[rR][eE]|[vV][eE]|[lL][lL])"
#define LETTERS_AND_DIGITS(digits)                                                                 \
	CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits "| ?" OTHER "+[\\r\\n]*|" S          \
		     "*[\\r\\n]+|" S "+(?!" NOT_S ")|" S "+"
/* Mistral-Nemo's tokenizer.json; llama.cpp's stand-in for it is coarser. */
#define UPPER "[\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}]"
#define LOWER "[\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}]"
#define TEKKEN                                                                                     \
	"[^\\r\\n\\p{L}\\p{N}]?" UPPER "*" LOWER "+|[^\\r\\n\\p{L}\\p{N}]?" UPPER "+" LOWER        \
	"*|\\p{N}| ?" OTHER "+[\\r\\n/]*|" S "*[\\r\\n]+|" S "+(?!" NOT_S ")|" S "+"

#define MAX_STAGES 4

enum pattern {
	PATTERN_GPT2,
	PATTERN_DIGITS_GPT2,
	PATTERN_LLAMA3,
	PATTERN_QWEN2,
	PATTERN_TEKKEN,
	PATTERN_DEFAULT,
};

static const char *const patterns[][MAX_STAGES] = {
	[PATTERN_GPT2] = {GPT2},
	[PATTERN_DIGITS_GPT2] = {"\\p{N}", GPT2},
	[PATTERN_LLAMA3] = {LETTERS_AND_DIGITS("\\p{N}{1,3}")},
	[PATTERN_QWEN2] = {LETTERS_AND_DIGITS("\\p{N}")},
	[PATTERN_TEKKEN] = {TEKKEN},
	[PATTERN_DEFAULT] = {"[\\p{P}$+<=>^~|]+", GPT2, "\\p{N}+", "[0-9][0-9][0-9]"},
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
	const struct pre_name *name;
	unsigned stages;
	pcre2_code *code[MAX_STAGES];
};

static int code_compile(const char *pattern, pcre2_code **out)
{
	int code_err;
	PCRE2_SIZE offset;
	PCRE2_UCHAR text[128];

	*out = pcre2_compile((PCRE2_SPTR)pattern, PCRE2_ZERO_TERMINATED, PCRE2_UTF | PCRE2_UCP,
		&code_err, &offset, NULL);
	if (!*out) {
		pcre2_get_error_message(code_err, text, sizeof(text));
		return weir_fail(
			EINVAL, "PCRE2 does not take a pre-tokenizer's pattern: %s", (char *)text);
	}
	/* Where the machine lets no code be made, PCRE2 interprets. */
	pcre2_jit_compile(*out, PCRE2_JIT_COMPLETE);
	return 0;
}

int weir_pretokenizer_create(const char *name, struct weir_pretokenizer **out)
{
	const struct pre_name *found = NULL;
	struct weir_pretokenizer *p;
	int err = 0;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(pre_names) && !found; i++) {
		if (strcmp(pre_names[i].name, *name ? name : "default") == 0)
			found = &pre_names[i];
	}
	if (!found)
		return weir_fail(EOPNOTSUPP,
			"tokenizer.ggml.pre is \"%s\", a pre-tokenizer that Weir does not know",
			name);
	p = calloc(1, sizeof(*p));
	if (!p)
		return weir_fail(ENOMEM, "no memory for a pre-tokenizer");
	p->name = found;
	while (p->stages < MAX_STAGES && patterns[found->pattern][p->stages] && !err) {
		err = code_compile(patterns[found->pattern][p->stages], &p->code[p->stages]);
		p->stages++;
	}
	if (err) {
		weir_pretokenizer_destroy(p);
		return err;
	}
	*out = p;
	return 0;
}

void weir_pretokenizer_destroy(struct weir_pretokenizer *p)
{
	if (!p)
		return;
	for (unsigned i = 0; i < p->stages; i++)
		pcre2_code_free(p->code[i]);
	free(p);
}

bool weir_pretokenizer_whole_words(const struct weir_pretokenizer *p)
{
	return p->name->whole_words;
}

bool weir_pretokenizer_add_bos(const struct weir_pretokenizer *p)
{
	return p->name->add_bos;
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
 * MAX_STAGES deep. */
static int split_stage(const struct split *s, unsigned stage, const char *text, size_t len)
{
	size_t at = 0, begin, end;
	int err = 0;

	if (stage == s->p->stages)
		return len > 0 ? s->fn(s->user, text, len) : 0;
	while (at < len && !err) {
		err = split_match(s, stage, text, len, at, &begin, &end);
		if (err)
			return err;
		if (begin > at)
			err = split_stage(s, stage + 1, text + at, begin - at);
		if (!err && end > begin)
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
