/* SPDX-License-Identifier: MIT */
/* What the parts of the reader of tokenizer.json share. */
#ifndef WEIR_FORMAT_TOKENIZER_JSON_H
#define WEIR_FORMAT_TOKENIZER_JSON_H

#include "format/json.h"
#include "format/vocab.h"

/*
 * Members of a member: null is none, an object of type "Sequence" is what its list has, any other object is the only
 * one. Must stay while its steps are in use.
 */
struct weir_json_steps {
	struct weir_json one, list;
	size_t n;
};
int weir_json_steps(const struct weir_json *root, const char *key, const char *list_key,
	struct weir_json_steps *out);
/* Step i and its type, *out's parent being in steps. */
int weir_json_step(
	const struct weir_json_steps *steps, size_t i, struct weir_json *out, const char **type);
/* The sentence for a step that Weir does not know; returns -EOPNOTSUPP. */
int weir_json_step_unknown(const struct weir_json *step, const char *type);

/* The member key, a boolean; absent or null: as it was. */
int weir_json_optional_bool(const struct weir_json *in, const char *key, bool *out);

/* ---- steps before and after the model (tokenizer_json_steps.c) ---- */

/* Which kind of vocabulary it is: byte-level where the pre-tokenizer has that step, else with byte fallback. */
int weir_tokenizer_json_kind(const struct weir_json *root, enum weir_vocab_kind *kind);
/* normalizer and pre_tokenizer into words or pre, and the flags of SPM's spaces. whole: the model takes whole words. */
int weir_tokenizer_json_text(const struct weir_json *root, bool whole, struct weir_vocab *v);
/*
 * post_processor into add_bos and bos, once there are tokens; *says: it decides. A token that it puts behind a text is
 * left out: texts that a model goes on from have no end.
 */
int weir_tokenizer_json_ends(const struct weir_json *root, struct weir_vocab *v, bool *says);

/* ---- the model (tokenizer_json_model.c) ---- */

/* model.vocab, added_tokens and unk_token into v's tokens, with room for the merges. */
int weir_tokenizer_json_tokens(const struct weir_json *root, struct weir_vocab *v);
/* model.merges, once v is settled. */
int weir_tokenizer_json_merges(const struct weir_json *root, struct weir_vocab *v);

#endif
