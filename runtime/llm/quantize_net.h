/* SPDX-License-Identifier: MIT */
/* One decoder layer in floats on the device, a block of calibration tokens at a time: what a quantizer compares with. */
#ifndef WEIR_LLM_QUANTIZE_NET_H
#define WEIR_LLM_QUANTIZE_NET_H

#include "graph/ops.h"
#include "llm/quantize_layer.h"

/* What stays of a block after its forward run: (width, columns) floats each. */
enum weir_quant_act {
	WEIR_QUANT_ACT_X,	  /* what enters the layer */
	WEIR_QUANT_ACT_ATTN_IN,	  /* input of q, k, v */
	WEIR_QUANT_ACT_MIXED,	  /* input of o */
	WEIR_QUANT_ACT_ATTN_DIFF, /* what attention adds to x */
	WEIR_QUANT_ACT_MID,	  /* x and that */
	WEIR_QUANT_ACT_FFN_IN,	  /* input of gate and up */
	WEIR_QUANT_ACT_GATED,	  /* input of down */
	WEIR_QUANT_ACT_FFN_DIFF,  /* what the feed-forward network adds */
	/* between ops, of the forward run and of each candidate of a search: */
	WEIR_QUANT_ACT_QKV,
	WEIR_QUANT_ACT_QUERY,
	WEIR_QUANT_ACT_GATE_UP,
	WEIR_QUANT_ACT_TRY_ROW, /* a candidate's mixed or gated */
	WEIR_QUANT_ACT_TRY_OUT,
	WEIR_QUANT_ACT_PACKED, /* in the largest packed form */
	WEIR_QUANT_ACTS,
};

/* The activation that enters a linear. */
static inline enum weir_quant_act weir_quant_input(enum weir_quant_linear l)
{
	static const enum weir_quant_act act[WEIR_QUANT_LINEARS] = {
		WEIR_QUANT_ACT_ATTN_IN, WEIR_QUANT_ACT_MIXED, WEIR_QUANT_ACT_FFN_IN, WEIR_QUANT_ACT_GATED};

	return act[l];
}

struct weir_quant_span {
	size_t offset, size;
};

/* Made once; each layer's weights take the place of those before. */
struct weir_quant_net {
	weir_device *dev;
	const struct weir_quant_layer *layer;
	unsigned width; /* tokens of every block */
	struct weir_attention_shape shape;
	struct weir_buffer *weights; /* matrices, then biases and norms */
	struct weir_matrix matrix[WEIR_QUANT_LINEARS]; /* float planes */
	struct weir_quant_span bias[WEIR_QUANT_LINEARS], norm[WEIR_QUANT_NORMS];
	struct weir_buffer *step; /* the same for every block */
	struct weir_quant_span step_at, token_at, slot_at, seen_at, rope_at;
	struct weir_buffer *acts;
	struct weir_quant_span act[WEIR_QUANT_ACTS];
	struct weir_buffer *kv;
	struct weir_graph *attn_graph, *ffn_graph;
	struct weir_plan *attn, *ffn;
	size_t bytes; /* of the buffers */
};

/* layer has the shapes, now, and the weights at each load; it must stay. destroy takes what create left. */
int weir_quant_net_create(
	weir_device *dev, const struct weir_quant_layer *layer, unsigned width, struct weir_quant_net *net);
void weir_quant_net_destroy(struct weir_quant_net *net);

/* The layer's weights into the device's memory. */
int weir_quant_net_load(struct weir_quant_net *net);

/*
 * Runs a block through the layer; x: (width, dim) floats of the host's, which become what leaves the layer where out is
 * not NULL (it may be x). The activations stay until the next run.
 */
int weir_quant_net_run(struct weir_quant_net *net, const float *x, float *out);

/* The size of rows of an activation, in floats. */
size_t weir_quant_columns(const struct weir_quant_net *net, enum weir_quant_act act);
/* Reads tokens [first, first + n) of an activation after a run. */
int weir_quant_net_read(struct weir_quant_net *net, enum weir_quant_act act, unsigned first, unsigned n, float *out);

/* For graphs over the same memory. */
struct weir_tensor *weir_quant_net_act(const struct weir_quant_net *net, struct weir_graph *g, enum weir_quant_act act);
void weir_quant_net_step(const struct weir_quant_net *net, struct weir_graph *g, struct weir_step_tensors *s);
/* NULL where the model has none. */
struct weir_tensor *weir_quant_net_bias(
	const struct weir_quant_net *net, struct weir_graph *g, enum weir_quant_linear linear);

/*
 * The two modules of a layer from the normed input on, with m in place of the first linear's matrix: attention up to and
 * with o, and the network from gate and up to down. in is in the form that m takes; the row before the last linear goes to
 * row, the result to out.
 */
void weir_quant_net_attention(const struct weir_quant_net *net, struct weir_graph *g,
	const struct weir_step_tensors *s, const struct weir_matrix *m, struct weir_rows_out in,
	enum weir_quant_act row, enum weir_quant_act out);
void weir_quant_net_ffn(const struct weir_quant_net *net, struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_matrix *m, struct weir_rows_out in, enum weir_quant_act row, enum weir_quant_act out);

/* An aligned span of size bytes at the end of *total. */
struct weir_quant_span weir_quant_span_take(weir_device *dev, size_t *total, size_t size);

/* A matrix into a float plane at dst, on all CPUs. */
int weir_quant_pack(const struct weir_plane_layout *layout, const float *w, void *dst);

/* n floats to the device, or from it. */
int weir_quant_put(struct weir_buffer *b, size_t offset, const float *values, size_t n);
int weir_quant_get(struct weir_buffer *b, size_t offset, float *values, size_t n);

#endif
