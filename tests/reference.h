/* SPDX-License-Identifier: MIT */
/* A decoder in plain C floats, straight from the formulas: what the suites compare libweir's logits with. */
#ifndef WEIR_TESTS_REFERENCE_H
#define WEIR_TESTS_REFERENCE_H

#include <stddef.h>
#include <stdint.h>

struct weir_reference;

/*
 * Llama, Qwen2 or Qwen3 from a GGUF file, its weights as float32. window 0: keeps every token, at most
 * context of them (0: the model's own context, at most 4096).
 *
 * Otherwise it streams as StreamingLLM does (Xiao et al. 2023, section 3.2): the cache keeps keys without
 * rotation; at each step keys are rotated by their index in the cache and the query by min(position,
 * cache length - 1). A token attends to the first sinks tokens and the last window ones, itself among
 * these; context is ignored.
 *
 * 0, or -errno with a sentence in weir_error().
 */
int weir_reference_open(struct weir_reference **out, const char *path, uint32_t context,
	uint32_t sinks, uint32_t window);
void weir_reference_close(struct weir_reference *r); /* takes NULL */

uint32_t weir_reference_vocabulary(const struct weir_reference *r);

/* Logits after token, vocabulary floats that last until the next call; NULL, with a sentence, on failure. */
const float *weir_reference_feed(struct weir_reference *r, int32_t token);

/*
 * The same for n tokens, several times faster than one by one: fn gets the logits after each, in order.
 * What fn returns, if not 0, stops and is returned; the reference is then to be reset.
 */
int weir_reference_feed_each(struct weir_reference *r, const int32_t *tokens, size_t n,
	int (*fn)(void *user, size_t i, const float *logits), void *user);

/* Forgets the text. */
void weir_reference_reset(struct weir_reference *r);

#endif
