/* SPDX-License-Identifier: MIT */
/* One decoder layer's weights as floats on the host, where a quantizer changes them. */
#ifndef WEIR_LLM_QUANTIZE_LAYER_H
#define WEIR_LLM_QUANTIZE_LAYER_H

#include "format/checkpoint.h"
#include "llm/params.h"

/* Matrices that read the same input are one, the one's rows under the other's. */
enum weir_quant_linear {
	WEIR_QUANT_QKV,	    /* (heads + 2 kv_heads) * head_dim x dim */
	WEIR_QUANT_OUT,	    /* dim x heads * head_dim */
	WEIR_QUANT_GATE_UP, /* 2 ff x dim */
	WEIR_QUANT_DOWN,    /* dim x ff */
	WEIR_QUANT_LINEARS,
};

/* A file's matrix: rows [first, first + rows) of a linear. */
struct weir_quant_piece {
	const char *name; /* a format with one %u for the layer, of the weight */
	enum weir_quant_linear linear;
	size_t first, rows;
	bool clip; /* AWQ searches its range: not of q and k, and of none that is kept */
};

enum {
	WEIR_QUANT_Q,
	WEIR_QUANT_K,
	WEIR_QUANT_V,
	WEIR_QUANT_O,
	WEIR_QUANT_GATE,
	WEIR_QUANT_UP,
	WEIR_QUANT_D,
	WEIR_QUANT_PIECES,
};

/* Vectors of a layer. */
enum {
	WEIR_QUANT_ATTN_NORM, /* (dim) */
	WEIR_QUANT_FFN_NORM,  /* (dim) */
	WEIR_QUANT_Q_NORM,    /* (head_dim), Qwen 3 */
	WEIR_QUANT_K_NORM,
	WEIR_QUANT_NORMS,
};
extern const char *const weir_quant_norm_names[WEIR_QUANT_NORMS];

struct weir_quant_layer {
	const struct weir_params *params;
	struct weir_quant_piece piece[WEIR_QUANT_PIECES];
	struct weir_quant_matrix {
		size_t rows, k;
		bool kept;   /* k is not a multiple of 32: no format holds it, so it stays as it is */
		float *w;    /* (rows, k) */
		float *bias; /* (rows), zeros where a piece has none; NULL: no layer has any */
	} linear[WEIR_QUANT_LINEARS];
	float *norm[WEIR_QUANT_NORMS]; /* NULL: the architecture has none */
	size_t norm_size[WEIR_QUANT_NORMS];
	size_t bytes; /* of all the arrays */
};

/* Room for a layer of the checkpoint's shape; params must stay. free takes what create left, whatever it returned. */
int weir_quant_layer_create(
	const struct weir_checkpoint *in, const struct weir_params *p, struct weir_quant_layer *l);
void weir_quant_layer_free(struct weir_quant_layer *l);

/* Fills it with layer index's values, on all CPUs, and lets go of the file's pages. */
int weir_quant_layer_read(struct weir_quant_layer *l, const struct weir_checkpoint *in, unsigned index);

/* The layer's tensor of a name with %u, or of the bias that goes with a weight's name; NULL: there is none. */
const struct weir_checkpoint_tensor *weir_quant_tensor(
	const struct weir_checkpoint *in, const char *name, unsigned index);
const struct weir_checkpoint_tensor *weir_quant_bias(
	const struct weir_checkpoint *in, const struct weir_quant_piece *piece, unsigned index);

/* A piece's rows in its linear. */
static inline float *weir_quant_rows(const struct weir_quant_layer *l, const struct weir_quant_piece *piece)
{
	const struct weir_quant_matrix *m = &l->linear[piece->linear];

	return m->w + piece->first * m->k;
}

#endif
