/* SPDX-License-Identifier: MIT */
/*
 * Models beside a reference, in lockstep: both read the same block of tokens before the next one, so that a block's logits
 * of the reference are all that is ever kept, whatever the window and the text.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval.h"

/* What the reference's logits may take; with 128,000 tokens of vocabulary a block is 256 tokens. */
#define BLOCK_BYTES (128u << 20)
#define BLOCK_LEAST 16

/* Whether both cut the text into the same tokens: else their predictions are of different things. */
static int same_tokens(const struct eval_run *reference, const struct eval_run *r)
{
	int32_t ours = r->engine.info.vocabulary, theirs = reference->engine.info.vocabulary;
	size_t at = 0;

	if (ours != theirs)
		return fail("%s has a vocabulary of %d tokens and %s, the reference, of %d: they "
			    "cannot be compared",
			r->engine.path, ours, reference->engine.path, theirs);
	while (at < r->n && at < reference->n && r->tokens[at] == reference->tokens[at])
		at++;
	if (at == r->n && at == reference->n)
		return 0;
	return fail("%s cuts the text into other tokens than %s, the reference, from token %zu on: "
		    "they cannot be compared",
		r->engine.path, reference->engine.path, at);
}

static int block_create(struct eval_block *b, const struct eval_run *reference)
{
	size_t batch = reference->options.batch ? (size_t)reference->options.batch : 512;

	b->vocabulary = (size_t)reference->engine.info.vocabulary;
	b->size = BLOCK_BYTES / (b->vocabulary * sizeof(float));
	b->size = b->size < batch ? b->size : batch; /* more would be computed in batches anyway */
	b->size = b->size < reference->size ? b->size : (size_t)reference->size;
	b->size = b->size > BLOCK_LEAST ? b->size : BLOCK_LEAST;
	b->logits = malloc(b->size * b->vocabulary * sizeof(*b->logits));
	b->softmax = malloc(b->size * sizeof(*b->softmax));
	return b->logits && b->softmax
		       ? 0
		       : fail("out of memory for the logits of %zu tokens", b->size);
}

static int lockstep_windows(struct eval_run *runs, size_t count, const struct eval_block *b)
{
	uint64_t windows = runs->windows, size = runs->size;
	char note[32];

	for (uint64_t w = 0; w < windows; w++) {
		for (size_t i = 0; i < count; i++) {
			weir_session_reset(runs[i].engine.session);
			runs[i].end = (size_t)((w + 1) * size);
		}
		for (uint64_t at = 0; at < size; at += b->size) {
			size_t n = (size_t)(size - at < b->size ? size - at : b->size);

			snprintf(note, sizeof(note), "perplexity %.3f", exp(eval_nll(runs)));
			if (progress(w + at ? note : NULL, "windows", w, windows))
				return fail("stopped");
			for (size_t i = 0; i < count; i++) {
				if (eval_feed(&runs[i], (size_t)(w * size + at), n))
					return 1;
			}
		}
	}
	return 0;
}

int eval_lockstep(struct eval_run *runs, size_t count)
{
	struct eval_block block = {0};
	int status = 0;

	for (size_t i = 1; i < count && !status; i++)
		status = same_tokens(&runs[0], &runs[i]);
	for (size_t i = 0; i < count && !status; i++) {
		runs[i].options.ctx = i ? runs->size : runs->options.ctx; /* the reference's windows */
		status = eval_plan(&runs[i]);
		runs[i].block = &block;
		runs[i].reference = i == 0;
	}
	if (!status)
		status = block_create(&block, &runs[0]) || lockstep_windows(runs, count, &block);
	free(block.logits);
	free(block.softmax);
	for (size_t i = 0; i < count; i++)
		runs[i].block = NULL;
	return status;
}
