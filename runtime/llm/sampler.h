/* SPDX-License-Identifier: MIT */
/* From logits to a token, on the host: the same seed gives the same tokens on every machine. */
#ifndef WEIR_LLM_SAMPLER_H
#define WEIR_LLM_SAMPLER_H

#include "weir/llm.h"

/* How many past tokens a penalty can look back over. */
#define WEIR_SAMPLER_PAST 4096

struct weir_candidate {
	float logit;
	int32_t token;
};

struct weir_sampler {
	struct weir_sampling set;
	uint64_t random[4]; /* xoshiro256**'s state */
	struct weir_candidate *candidates; /* (vocab) */
	float *logits;			   /* (vocab), a copy to penalise */
	int32_t vocab;
};

int weir_sampler_init(struct weir_sampler *s, int32_t vocab);
void weir_sampler_free(struct weir_sampler *s);

/* -EINVAL and a sentence for values out of range. */
int weir_sampler_set(struct weir_sampler *s, const struct weir_sampling *set);

/*
 * Draws a token: repeat penalty (Keskar et al. 2019) over the last past tokens, top-k, top-p (Holtzman et al. 2019),
 * min-p (Nguyen et al. 2024), then temperature. logits: vocab floats; NaN counts as minus infinity.
 */
int32_t weir_sampler_draw(struct weir_sampler *s, const float *logits, const int32_t *past, size_t n_past);

#endif
