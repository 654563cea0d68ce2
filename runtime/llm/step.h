/* SPDX-License-Identifier: MIT */
/* Where tokens go in the cache and what each of them sees: the host's half of attention. */
#ifndef WEIR_LLM_STEP_H
#define WEIR_LLM_STEP_H

#include "kernels/step.clh"
#include "llm/params.h"

/*
 * A cache of slots. Plain: position p lies in slot p. Streaming: the first sinks positions lie in slots 0.., the others
 * in a ring behind them that holds the window and the tokens of one step, so that each token of a step still finds
 * its whole window; what a ring slot held is overwritten, nothing ever moves.
 */
struct weir_slots {
	uint32_t count;	 /* in all, a multiple of 64 */
	uint32_t sinks, window; /* window 0: plain */
	uint32_t ring;	 /* first slot of the ring */
	uint32_t ring_size;
	uint32_t step;	 /* most tokens of a step */
};

/* For plain caches: ctx positions. For streaming ones: sinks, window, and steps of at most step tokens. */
void weir_slots_init(struct weir_slots *s, uint32_t ctx, uint32_t sinks, uint32_t window, uint32_t step);

uint32_t weir_slots_of(const struct weir_slots *s, uint64_t position);

/* Fills the step for tokens [position, position + n), 1 <= n <= s->step, except for token ids. */
void weir_step_fill(const struct weir_slots *s, const struct weir_params *p, uint64_t position, uint32_t n,
	struct weir_step *step, int32_t *slot, int32_t *seen, float *rope);

#endif
