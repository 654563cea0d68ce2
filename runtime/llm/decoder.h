/* SPDX-License-Identifier: MIT */
/* The decoder as graphs over a session's memory. */
#ifndef WEIR_LLM_DECODER_H
#define WEIR_LLM_DECODER_H

#include "llm/model.h"

/* What the host writes for a step of up to width tokens: kernels/step.clh. Offsets in io. */
struct weir_decoder_inputs {
	size_t step, token, slot, seen, rope;
	size_t begin, size; /* the range that holds them all */
	unsigned width;
};

/*
 * What a session's graphs share: one buffer of small things that the host writes each step or reads after it, and
 * the KV cache. Steps of one token have inputs of their own, a kilobyte that lies together.
 */
struct weir_decoder_io {
	struct weir_buffer *io, *kv;
	struct weir_decoder_inputs one, many;
	size_t hidden; /* float (many.width, dim): what leaves the last layer */
	size_t logits; /* float (1, vocab) */
	size_t size;
	struct weir_attention_shape shape;
	struct weir_kv_layout layer; /* of one layer in kv */
};

/* Fills offsets and sizes for steps of at most width tokens, of io->shape; buffers are the caller's to make. */
void weir_decoder_layout(const weir_model *m, unsigned width, struct weir_decoder_io *io);

enum weir_decoder_part {
	WEIR_DECODER_STEP, /* one token: embedding to logits */
	WEIR_DECODER_FILL, /* up to io->many.width tokens: embedding to hidden, then hidden of token out_first to logits */
	WEIR_DECODER_HEADS, /* hidden of out_count tokens to logits of their own (WEIR_HEADS, vocab) */
};

/* Tokens whose logits WEIR_DECODER_HEADS computes at once: a few tiles. */
#define WEIR_HEADS (4 * WEIR_TILE)

/*
 * Builds and plans one part. logits: WEIR_DECODER_HEADS' result, NULL for other parts. The graph is the caller's.
 * head_at: the plan's first launch that is not of the layers but of the head.
 */
int weir_decoder_build(const weir_model *m, const struct weir_decoder_io *io, enum weir_decoder_part part,
	struct weir_buffer *logits, struct weir_graph **graph, struct weir_plan **plan,
	size_t *head_at);

#endif
