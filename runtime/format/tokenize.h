/* SPDX-License-Identifier: MIT */
/* What the parts of the tokenizer share: its state, the merging of symbols, words, and special
 * tokens in text. */
#ifndef WEIR_FORMAT_TOKENIZE_H
#define WEIR_FORMAT_TOKENIZE_H

#include "format/tokenizer.h"
#include "format/vocab.h"

/* Most bytes of text in one call, so that symbols can be counted in 32 bits after spaces grew to
 * U+2581. */
#define WEIR_TOKENIZE_MAX ((size_t)1 << 29)

struct weir_tokens {
	int32_t *ids;
	size_t n, size;
};
int weir_tokens_add(struct weir_tokens *tokens, int32_t id);

/* ---- special tokens in text (special.c) ---- */

/* Longest special token that is looked for in text; longer ones exist by id alone. */
#define WEIR_SPECIAL_MAX 128

/* For each first byte, which lengths the special tokens have that start with it: bit length - 1. */
struct weir_special {
	uint64_t any[256][WEIR_SPECIAL_MAX / 64];
	uint64_t user[256][WEIR_SPECIAL_MAX / 64];
};
void weir_special_init(struct weir_special *s, const struct weir_vocab *v);

struct weir_special_match {
	size_t at, len;
	int32_t token;
};
/*
 * The leftmost special token in text[at, end), the longest that starts there, with the white space that it takes
 * along; user-defined ones alone if !control. False: none.
 */
bool weir_special_find(const struct weir_special *s, const struct weir_vocab *v, const char *text,
	size_t at, size_t end, bool control, struct weir_special_match *match);

/* ---- words (pretokenize.c) ---- */

struct weir_pretokenizer;

/* By its name in GGUF files; "" is "default". -EOPNOTSUPP and a sentence for one that Weir does not
 * know. */
int weir_pretokenizer_create(const char *name, struct weir_pretokenizer **out);
/*
 * By its steps, whose texts must outlive it. -EOPNOTSUPP and a sentence for an expression that PCRE2 or Weir would
 * not understand as Oniguruma does, or that matches nothing at all.
 */
int weir_pretokenizer_compile(
	const struct weir_vocab_words *words, struct weir_pretokenizer **out);
/* The name that GGUF files have for such words; NULL: none. */
const char *weir_pretokenizer_name(const struct weir_vocab_words *words);
/* What cuts its words, until it is destroyed. */
const struct weir_vocab_words *weir_pretokenizer_words(const struct weir_pretokenizer *p);
void weir_pretokenizer_destroy(struct weir_pretokenizer *p); /* takes NULL */
/* A word that is a token as a whole is that token, whatever the merges would make of it. */
bool weir_pretokenizer_whole_words(const struct weir_pretokenizer *p);
/* Whether such vocabularies want a beginning token where the file does not say. */
bool weir_pretokenizer_add_bos(const struct weir_pretokenizer *p);
/*
 * Calls fn for each word, in order; together they are the text, unless a step drops some. The first error of fn stops.
 */
int weir_pretokenize(const struct weir_pretokenizer *p, const char *text, size_t len,
	int (*fn)(void *user, const char *word, size_t len), void *user);

/* ---- expressions (regex.c) ---- */

/* What GPT-2 cuts words by (Radford et al. 2019). */
#define WEIR_REGEX_GPT2                                                                            \
	"'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

/* An expression of Oniguruma's Ruby syntax in PCRE2's, malloced. -EOPNOTSUPP and a sentence: what Weir cannot say so. */
int weir_regex_translate(const char *regex, char **out);

/* ---- merging (merge.c) ---- */

struct weir_symbol {
	uint32_t at, len;   /* in the text; len 0: merged into the one before */
	int32_t prev, next; /* -1: none */
	int32_t token;	    /* -1: none */
};

struct weir_candidate;

/* Symbols of a text, merged by the vocabulary; one serves many texts. */
struct weir_merger {
	const struct weir_vocab *vocab;
	const char *text;
	struct weir_symbol *symbols;
	size_t n, size;
	struct weir_candidate *heap;
	size_t heap_n, heap_size;
};
void weir_merger_init(struct weir_merger *m, const struct weir_vocab *v);
void weir_merger_fini(struct weir_merger *m);
/* Forgets the symbols and makes room for up to n of text's. */
int weir_merger_start(struct weir_merger *m, const char *text, size_t n);
/* Appends a symbol behind the last one. */
void weir_merger_add(struct weir_merger *m, size_t len, int32_t token);
/* Merges neighbours, best first and of equals the leftmost, until none can be: O(n log n). */
int weir_merger_run(struct weir_merger *m);

/* ---- the tokenizer ---- */

struct weir_piece {
	size_t at;
	uint32_t len;
};

struct weir_tokenizer {
	struct weir_vocab vocab;
	struct weir_special special;
	struct weir_pretokenizer *pre; /* BPE */
	int32_t byte_token[256];       /* -1: none */
	struct weir_piece
		*pieces; /* what each token prints, in printed; control tokens print their text */
	char *printed;
};

/* Takes v over, also when it fails. */
int weir_tokenizer_create(struct weir_vocab *v, weir_tokenizer **out);

/* Keys of Weir's own in GGUF files: what SPM vocabularies of tokenizer.json files say beyond GGUF's. */
#define WEIR_KEY_MERGES "weir.tokenizer.merges"		     /* strings "left right": they merge by rank */
#define WEIR_KEY_PREFIX_FIRST "weir.tokenizer.prefix_first" /* bool */
#define WEIR_KEY_PREFIX_SPARE "weir.tokenizer.prefix_spare" /* bool */

/*
 * The merges by rank that do what an SPM vocabulary's scores do: *out is malloced. Of a token that two neighbours in
 * three symbols could both become, a rank takes the longer left part where a score takes the leftmost. -EOPNOTSUPP:
 * ranks cannot say it.
 */
int weir_spm_merges(const struct weir_vocab *v, struct weir_vocab_merge **out, size_t *n);

/* Tokens of a text without special tokens. m is the vocabulary's merger. */
int weir_spm_encode(const weir_tokenizer *t, struct weir_merger *m, const char *text, size_t len,
	bool space, struct weir_tokens *out);
int weir_bpe_encode(const weir_tokenizer *t, struct weir_merger *m, const char *text, size_t len,
	struct weir_tokens *out);
/* Whether a text is as a byte's token has it: "<0x0A>". */
bool weir_spm_is_byte(const char *text, size_t len);
/* Whether an SPM text starts with a space, or the mark that stands for one. */
bool weir_spm_spaced(const char *text, size_t len);
/* The ids of the 256 bytes in such vocabularies. */
void weir_spm_bytes(const struct weir_vocab *v, int32_t byte_token[256]);
void weir_bpe_bytes(const struct weir_vocab *v, int32_t byte_token[256]);
/* Bytes that a plain token prints, into out (at most its text's length); returns how many. */
size_t weir_spm_print(const struct weir_vocab *v, int32_t token, char *out);
size_t weir_bpe_print(const struct weir_vocab *v, int32_t token, char *out);

#endif
