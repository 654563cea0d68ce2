/* SPDX-License-Identifier: MIT */
/* Text to tokens and back: SPM and byte-level BPE from a vocabulary, whatever file that came from. */
#ifndef WEIR_FORMAT_TOKENIZER_H
#define WEIR_FORMAT_TOKENIZER_H

#include "format/gguf.h"
#include "weir/llm.h"

/*
 * From a file's metadata. Copies what it needs: the file may be closed after. -ENOENT: the file has no vocabulary
 * (tokenizer.ggml.model is absent, "none" or "no_vocab"), so its model can run, but not on text. -EOPNOTSUPP: a kind
 * of vocabulary or a pre-tokenizer that Weir does not know. -EINVAL: what the file says about its tokens is wrong.
 */
int weir_tokenizer_from_gguf(const struct weir_gguf *g, weir_tokenizer **out);

/* Text in which only some parts may hold control tokens; words merge across the parts' borders. */
struct weir_span {
	const char *text;
	size_t len;
	bool special; /* control tokens' text becomes those tokens */
};

/* Ids of the spans' text, as if joined. *tokens is malloced, the caller's. bos: put it first where the model wants one. */
int weir_tokenizer_encode(const weir_tokenizer *t, const struct weir_span *spans, size_t count, bool bos,
	int32_t **tokens, size_t *n);

/* The file's chat template; NULL if it has none. */
const char *weir_tokenizer_template(const weir_tokenizer *t);
/* The id of a token by its exact text, as the vocabulary has it; -1 if absent. */
int32_t weir_tokenizer_find(const weir_tokenizer *t, const char *text);
/* Whether the model wants a beginning token before its text. */
bool weir_tokenizer_wants_bos(const weir_tokenizer *t);

#endif
