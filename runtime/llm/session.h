/* SPDX-License-Identifier: MIT */
/* A conversation: its cache, its plans, its place in the text. */
#ifndef WEIR_LLM_SESSION_H
#define WEIR_LLM_SESSION_H

#include "llm/decoder.h"
#include "llm/sampler.h"
#include "llm/step.h"

struct weir_session {
	const weir_model *model;
	struct weir_session_settings set; /* with every 0 resolved */
	struct weir_slots slots;
	struct weir_decoder_io io;
	struct weir_graph *step_graph, *fill_graph, *heads_graph;
	struct weir_plan *step, *fill, *heads; /* the last two are made when first needed */
	size_t fill_head; /* where in fill its head begins */
	struct weir_buffer *heads_logits;
	struct weir_sampler sampler;
	float *logits; /* (vocab), after the last token */
	uint64_t position;
	bool huge; /* pages of the cache */
	int32_t past[WEIR_SAMPLER_PAST]; /* token of position p at p % WEIR_SAMPLER_PAST */
	struct weir_session_stats stats;
};

/* Newest first, at most max; returns how many. */
size_t weir_session_past(const weir_session *s, int32_t *tokens, size_t max);

#endif
