/* SPDX-License-Identifier: MIT */
/* A vocabulary as every file format can describe it: tokens, merges, special ids. It knows no file.
 */
#ifndef WEIR_FORMAT_VOCAB_H
#define WEIR_FORMAT_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Longest text of a token; the longest in the field's vocabularies have a few hundred bytes. */
#define WEIR_VOCAB_TOKEN_MAX 65535

enum weir_vocab_kind {
	WEIR_VOCAB_SPM, /* SentencePiece: merges by the score of what they make, U+2581 for a space
			 */
	WEIR_VOCAB_BPE, /* byte-level BPE: merges by rank, inside the words that a pre-tokenizer
			   cuts */
};

/* Token types by their number in GGUF files. */
enum weir_token_type {
	WEIR_TOKEN_NORMAL = 1,
	WEIR_TOKEN_UNKNOWN = 2, /* stands for text that has no token */
	WEIR_TOKEN_CONTROL = 3, /* markup: never made from plain text, prints nothing */
	WEIR_TOKEN_USER = 4,	/* found in text before anything else is split */
	WEIR_TOKEN_UNUSED = 5,
	WEIR_TOKEN_BYTE = 6, /* "<0x0A>" */
};

struct weir_vocab_token {
	size_t at;    /* of its text in the vocabulary's bytes, */
	uint32_t len; /* terminated, though it may hold zero bytes */
	float score;  /* SPM: never NaN */
	enum weir_token_type type;
	bool end; /* ends a text or a turn */
	/* Special and user-defined tokens: found in text, it takes the white space beside it along. */
	bool strip_left, strip_right;
};

struct weir_vocab_merge {
	int32_t left, right; /* left -1: the slot is free */
	int32_t rank;
	int32_t token; /* that they become */
};

#define WEIR_VOCAB_STEPS 8

/*
 * How text is cut into words where no name says it: by regular expressions as tokenizer.json files have them
 * (Oniguruma's Ruby syntax). Each cuts what the one before left; matches and what lies between are words.
 */
struct weir_vocab_step {
	char *regex;
	bool drop_matches, drop_others; /* they become no words: no token */
};
struct weir_vocab_words {
	struct weir_vocab_step step[WEIR_VOCAB_STEPS];
	unsigned n;
	bool whole; /* a word that is a token as a whole is that token, whatever the merges would make of it */
};

struct weir_vocab {
	enum weir_vocab_kind kind;
	char pre[64]; /* pre-tokenizer's name as GGUF has it; BPE alone */
	struct weir_vocab_words *words; /* BPE; NULL: as pre says. With them, an empty pre is no name */
	bool ranked; /* SPM: neighbours merge by rank as in BPE, not by score */
	struct weir_vocab_token *tokens;
	int32_t count;
	size_t longest;			 /* bytes of the longest text */
	int32_t bos, eos, eot, eom, unk; /* -1: none */
	bool add_bos;			 /* put bos before a text */
	bool add_space_prefix;		 /* SPM: put a space before a text and what follows a special token, */
	bool prefix_first;		 /* before a text alone, */
	bool prefix_spare;		 /* not where one stands already */
	char *chat_template;		 /* NULL: none */

	/* Filled by the functions below alone. */
	char *bytes;
	size_t bytes_used, bytes_size;
	int32_t tokens_size;
	int32_t *slots; /* open addressing by text; -1: free */
	size_t slots_size;
	struct weir_vocab_merge *merges; /* open addressing by (left, right) */
	size_t merges_size, merges_used;
	uint64_t seed; /* of both hashes: a file cannot know which keys will collide */
};

void weir_vocab_init(struct weir_vocab *v, enum weir_vocab_kind kind);
void weir_vocab_fini(struct weir_vocab *v);

/* Room for so many tokens and merges, before the first is added; counts are of things that exist in
 * memory. */
int weir_vocab_reserve(struct weir_vocab *v, size_t tokens, size_t merges);
/*
 * Appends a token, id v->count. Texts are copied. An empty text is allowed and never found; of two
 * tokens with the same text the first is found. 0, or -errno and a sentence: too many, too long, an
 * unknown type.
 */
int weir_vocab_add_token(struct weir_vocab *v, const char *text, size_t len, float score, int type);
/*
 * The next merge by rank. One that names a text which is no token, or would make a control token,
 * can never happen and is left out, but takes its rank; of two of the same pair the first counts.
 */
int weir_vocab_add_merge(struct weir_vocab *v, const char *left, size_t left_len, const char *right,
	size_t right_len, int32_t rank);
/*
 * After the last token and special id, before the first merge: marks which tokens end a turn, by id
 * and by the texts the field uses, and makes sure that no text becomes a control token, not even as
 * unknown.
 */
void weir_vocab_settle(struct weir_vocab *v);

/* Id of a text; -1: none. */
int32_t weir_vocab_find(const struct weir_vocab *v, const char *text, size_t len);
/* The same, for a text that plain text may become: no control token, no byte, no unknown. */
int32_t weir_vocab_find_plain(const struct weir_vocab *v, const char *text, size_t len);
/* The merge of two tokens; NULL: none. */
const struct weir_vocab_merge *weir_vocab_merge(
	const struct weir_vocab *v, int32_t left, int32_t right);
/* All v->merges_used merges by rank, malloced; NULL: no memory, with a sentence. */
struct weir_vocab_merge *weir_vocab_ranked(const struct weir_vocab *v);

static inline const char *weir_vocab_text(const struct weir_vocab *v, int32_t token)
{
	return v->bytes + v->tokens[token].at;
}

/* Whether plain text may become a token of this type. */
static inline bool weir_token_plain(enum weir_token_type type)
{
	return type == WEIR_TOKEN_NORMAL || type == WEIR_TOKEN_USER || type == WEIR_TOKEN_UNUSED;
}

#endif
