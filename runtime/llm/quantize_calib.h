/* SPDX-License-Identifier: MIT */
/* Calibration text as the hidden states of its tokens, and what a pass over them collects of a layer. */
#ifndef WEIR_LLM_QUANTIZE_CALIB_H
#define WEIR_LLM_QUANTIZE_CALIB_H

#include "llm/quantize_net.h"
#include "weir/quantize.h"

/* Blocks of tokens that were taken from a text, as what enters the next layer. */
struct weir_quant_calib {
	uint64_t blocks;  /* that the text has */
	unsigned samples; /* taken */
	unsigned length;  /* tokens of each */
	size_t dim;
	int32_t *tokens; /* (samples, length) */
	float *hidden;	 /* (samples, length, dim) */
};

static inline bool weir_quant_calibrates(const struct weir_quantize_settings *set)
{
	return set->text || set->tokens;
}

/*
 * Cuts the text, or the tokens, and looks up embeddings. -EINVAL with a sentence for too few tokens, or a text for a model
 * without words.
 * free takes what create left.
 */
int weir_quant_calib_create(const struct weir_checkpoint *in, const struct weir_params *p, const weir_tokenizer *t,
	const struct weir_quantize_settings *set, struct weir_quant_calib *c);
void weir_quant_calib_free(struct weir_quant_calib *c);

static inline float *weir_quant_block(const struct weir_quant_calib *c, unsigned i)
{
	return c->hidden + (size_t)i * c->length * c->dim;
}

static inline size_t weir_quant_tokens(const struct weir_quant_calib *c)
{
	return (size_t)c->samples * c->length;
}

/* What quantizers want to know of the inputs of a layer's linears. */
struct weir_quant_stats {
	struct weir_quant_net *net;
	const struct weir_quant_calib *calib;
	bool gram[WEIR_QUANT_LINEARS]; /* which inputs' Gram matrices are made */
	bool sampled;
	struct weir_buffer *buffer;
	struct weir_quant_span column_at[WEIR_QUANT_LINEARS], gram_at[WEIR_QUANT_LINEARS];
	struct weir_graph *graph;
	struct weir_plan *plan;
	float *mean[WEIR_QUANT_LINEARS], *max[WEIR_QUANT_LINEARS]; /* (k): of |x| over all tokens */
	float *sample[WEIR_QUANT_LINEARS];			   /* (samples, k): the clip search's tokens */
	size_t samples, stride;
};

/* gram: for which linears; sampled: the clip search will want tokens. destroy takes what create left. */
int weir_quant_stats_create(struct weir_quant_net *net, const struct weir_quant_calib *calib,
	const bool gram[WEIR_QUANT_LINEARS], bool sampled, struct weir_quant_stats *st);
void weir_quant_stats_destroy(struct weir_quant_stats *st);

int weir_quant_stats_begin(struct weir_quant_stats *st);
/* After block i ran through the net. */
int weir_quant_stats_add(struct weir_quant_stats *st, unsigned i);
/* Fills mean and max. */
int weir_quant_stats_end(struct weir_quant_stats *st);
/* (k, k) of a linear whose Gram matrix is made. */
int weir_quant_stats_gram(struct weir_quant_stats *st, enum weir_quant_linear l, float *out);

#endif
