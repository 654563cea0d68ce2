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

/*
 * From a Hugging Face folder: its tokenizer.json, and of tokenizer_config.json, chat_template.jinja,
 * generation_config.json and config.json what they say about special tokens and the chat template. Gives the ids that
 * Hugging Face's tokenizers library (0.23) gives, except:
 * - text that is not in Unicode's normal form C stays as it is where the normalizer is NFC (Qwen);
 * - text without WEIR_TOKENIZE_SPECIAL becomes no special token, which that library would find;
 * - a special token with normalized set, behind a normalizer that changes spaces, is looked for in the text as it is;
 * - a special token that takes the white space beside it along takes none out of a part of other kind (spans), and
 *   no other token is found in what it took;
 * - a byte that a byte-level vocabulary has no token for is left out, also where that library puts the unk_token, which
 *   is a special one (SmolLM2: some control characters);
 * - no token is put behind a text, whatever the post-processor says;
 * - ids that a file leaves out are tokens without text: that library gives added tokens other ids than the file then.
 * -ENOENT: there is no tokenizer.json. -EOPNOTSUPP: a model, step or option that Weir does not know. -EINVAL: what
 * the files say is wrong.
 */
int weir_tokenizer_from_json(const char *folder, weir_tokenizer **out);

struct weir_gguf_out;

/*
 * The tokenizer's keys into a file's header. rows: of the model's embedding; as many tokens are written, unused ones
 * behind the last (tokens past the rows are left out); 0: as many as there are. An SPM vocabulary that merges by rank
 * gets scores for other readers, and keys of Weir's own (weir.tokenizer.*), by which it reads as it is.
 * -EOPNOTSUPP and a sentence: GGUF has no name for its pre-tokenizer, or no way to say what a token does.
 */
int weir_tokenizer_put_gguf(const weir_tokenizer *t, uint32_t rows, struct weir_gguf_out *w);

/*
 * Writes tokenizer.json, tokenizer_config.json (special tokens, chat template) and generation_config.json (all tokens
 * that end a text) into a folder that is there, each by a rename. Hugging Face's tokenizers library gives the same ids
 * by them as Weir with WEIR_TOKENIZE_SPECIAL. -EOPNOTSUPP and a sentence: a vocabulary that such files cannot hold;
 * nothing is written then.
 */
int weir_tokenizer_write_json(const weir_tokenizer *t, const char *folder);

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
