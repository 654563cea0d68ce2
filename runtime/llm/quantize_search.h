/* SPDX-License-Identifier: MIT */
/* The losses of candidate scales, measured on the device. */
#ifndef WEIR_LLM_QUANTIZE_SEARCH_H
#define WEIR_LLM_QUANTIZE_SEARCH_H

#include "llm/quantize_net.h"
#include "quant/quantize.h"

#define WEIR_QUANT_TRIES 20

/*
 * Candidates for the scales s between a norm and the linear that reads it: for each, the norm's weights / s leave
 * activations that go into the kernels' integers, Q(W s) is a plane of codes with float scales, and what the module makes
 * of them is compared with what it makes in floats. Made once, filled for each layer.
 *
 * They race (as in Maron and Moore 1994, "Hoeffding Races"): one that is behind the best by more than chance would have it
 * stops early, so that the time goes to those that are close. The first never stops: its loss is reported.
 */
struct weir_quant_search {
	struct weir_quant_net *net;
	enum weir_quant_linear linear; /* WEIR_QUANT_QKV or WEIR_QUANT_GATE_UP */
	struct weir_quantizer quantizer;
	bool row_act; /* activations to 8 bits by token (W8A8); else to 16 by groups of 32 */
	unsigned n;   /* candidates */
	struct weir_buffer *buffer;
	struct weir_matrix matrix[WEIR_QUANT_TRIES];
	struct weir_quant_span norm[WEIR_QUANT_TRIES], sums[WEIR_QUANT_TRIES];
	struct weir_graph *graph[WEIR_QUANT_TRIES];
	struct weir_plan *plan[WEIR_QUANT_TRIES];
	bool exhaustive; /* nobody stops */
	bool stopped[WEIR_QUANT_TRIES];
	unsigned blocks, most_blocks;
	double *block; /* (most_blocks, n): squared errors of each block, in the order of adding */
};

/* most_blocks: that will be added at most. destroy takes what create left. */
int weir_quant_search_create(struct weir_quant_net *net, enum weir_quant_linear linear,
	const struct weir_quantizer *quantizer, bool row_act, unsigned n, unsigned most_blocks, bool exhaustive,
	struct weir_quant_search *s);
void weir_quant_search_destroy(struct weir_quant_search *s);

/* Quantizes the layer's weights for each candidate; scales: (n, k). */
int weir_quant_search_begin(struct weir_quant_search *s, const float *scales);
/* After a block ran through the net: run submits the candidates, add waits and takes their errors. */
int weir_quant_search_run(struct weir_quant_search *s);
int weir_quant_search_add(struct weir_quant_search *s);
/* Mean squared error of the module's output over all blocks; INFINITY for those that stopped. Returns how many did not. */
unsigned weir_quant_search_losses(const struct weir_quant_search *s, double loss[WEIR_QUANT_TRIES]);

/*
 * The losses of a linear alone, from its input's Gram matrix G: tr(D G D^T) / (tokens * rows), D what quantizing changed.
 */
struct weir_quant_gram {
	struct weir_quant_net *net;
	enum weir_quant_linear linear; /* WEIR_QUANT_OUT or WEIR_QUANT_DOWN */
	struct weir_quantizer quantizer;
	unsigned width; /* rows of D that are multiplied at once */
	struct weir_buffer *buffer;
	struct weir_matrix gram; /* a float plane */
	struct weir_quant_span step, d_at, product;
	struct weir_graph *graph;
	struct weir_plan *plan;
	float *d; /* (rows, k) */
	double *row; /* (rows): of each row of D, its part of the trace */
};

int weir_quant_gram_create(struct weir_quant_net *net, enum weir_quant_linear linear,
	const struct weir_quantizer *quantizer, struct weir_quant_gram *m);
void weir_quant_gram_destroy(struct weir_quant_gram *m);

/* gram (k, k): of the layer's input of the linear. */
int weir_quant_gram_load(struct weir_quant_gram *m, const float *gram);
/* The loss with scales s (k). */
int weir_quant_gram_loss(struct weir_quant_gram *m, const float *s, double tokens, double *loss);

#endif
