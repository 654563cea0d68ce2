/* SPDX-License-Identifier: MIT */
/*
 * Ops as networks use them. Each call appends the launches that do the work on the graph's device: the schedule
 * and the tier are chosen here, once. Shapes are (rows, columns), the last contiguous; "width" is the most
 * tokens a step of this graph can have, step.n_tokens the ones that it has. Sources of algorithms in the .cl files.
 */
#ifndef WEIR_GRAPH_OPS_H
#define WEIR_GRAPH_OPS_H

#include "graph/graph.h"
#include "kernels/step.clh"
#include "quant/plane.h"
#include "weir/llm.h"

/* The step's tensors, shared by all ops of a graph (kernels/step.clh). */
struct weir_step_tensors {
	struct weir_tensor *step;  /* struct weir_step */
	struct weir_tensor *token; /* int (width) */
	struct weir_tensor *slot;  /* int (width) */
	struct weir_tensor *seen;  /* int (width) */
	struct weir_tensor *rope;  /* float (width, 2, n_rot / 2, 2) */
	unsigned width;
};

/* ---- activations (act.cl) --------------------------------------------------------------------- */

/*
 * What a matmul reads. As float: (width, k) f32. Packed: int8 in groups of 32 with scales and sums, tiles of T tokens
 * (T = 1 when width == 1, else WEIR_TILE); tile t starts at t * T * k * 3 / 2 bytes and has
 *   int   q[k / 4][T]       4 int8 each
 *   float scale[k / 32][T]
 *   int   sum32[k / 32][T]  sum of the group's q
 *   int   sum16[k / 16][T]  of its halves
 * k is a multiple of 32. The rows of tokens past n_tokens in the last tile are zero.
 * x = q * scale, scale = max|x| / 127, q rounded to nearest even.
 */
#define WEIR_TILE 12

/*
 * Fine: each token has two neighbouring columns, so a tile has T / 2 tokens (T = 2 when width == 1): x to 8 bits, then what
 * that left, to 8 bits more: x = q0 * scale0 + q1 * scale1, scale1 = scale0 / 254. A matmul of memory's speed does twice
 * the arithmetic for it. The head takes this: there a rounding goes straight into the logits.
 */

/*
 * Rows of 8 bits: one scale a token, for planes with row_act. As packed, but scale[0][T] is the token's, and
 * sum32[c][T] the sum of the q from c * WEIR_ROWS8_CHUNK on, as many or to the row's end, so that dot products of 8-bit
 * weights with them are exact in an int; the other scales and sums are not there.
 */
#define WEIR_ROWS8_CHUNK 32768

/* T: the columns of a tile. */
unsigned weir_packed_tile(unsigned width, bool fine);
/* Bytes of packed activations for width tokens of k. */
size_t weir_packed_size(unsigned width, size_t k, bool fine);

/*
 * Where a row op leaves its rows: in one form or several, NULL for a form that nobody reads.
 */
struct weir_rows_out {
	struct weir_tensor *f32;    /* (width, k) */
	struct weir_tensor *packed; /* weir_packed_size(width, k, fine) bytes */
	struct weir_tensor *rows8;  /* weir_packed_size(width, k, false) bytes */
	bool fine;		    /* how packed is packed: row ops of this file take both */
};

/* RMSNorm: x / sqrt(mean(x^2) + eps) * weight. x (width, k) f32, weight (k) f32. Zhang & Sennrich 2019. */
void weir_op_rmsnorm(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x,
	struct weir_tensor *weight, size_t k, float eps, struct weir_rows_out out);

/*
 * The same for the rows that the head reads: row i of the result is token step.out_first + i of x,
 * i < step.out_count; s->width of the result's rows at most out_width.
 */
void weir_op_rmsnorm_out(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x,
	struct weir_tensor *weight, size_t k, float eps, unsigned out_width, struct weir_rows_out out);

/* silu(gate) * up: gate_up (width, 2k) f32, the gate's k first. SwiGLU, Shazeer 2020. */
void weir_op_silu_gate(struct weir_graph *g, const struct weir_step_tensors *s,
	struct weir_tensor *gate_up, size_t k, struct weir_rows_out out);

/* (width, k) f32 in other forms. */
void weir_op_pack(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x, size_t k,
	struct weir_rows_out out);

/* ---- matmul (matmul.cl) ----------------------------------------------------------------------- */

/* A matrix of weights in a buffer; rows outputs, k inputs. */
struct weir_matrix {
	struct weir_plane_layout layout;
	struct weir_buffer *buffer;
	size_t offset; /* of the plane's region */
	const char *name;
};

enum {
	WEIR_MATMUL_ADD = 1 << 0, /* y += instead of y = : a residual */
	WEIR_MATMUL_OUT = 1 << 1, /* rows are the head's: step.out_count of them, not n_tokens */
	WEIR_MATMUL_BESIDE = 1 << 3, /* other columns of the y that the op before writes, from the same x */
};

/*
 * y[t][y_first + r] (+)= sum_k w[r][k] * x[t][k] (+ bias[r]). x in the form that the plane's format takes
 * (weir_plane_is_float: x.f32, row_act: x.rows8, else x.packed). y (width, y_columns) f32; columns outside [y_first, y_first + rows) are
 * not written. bias (rows) f32 or NULL. width 1 is the decode form (GEMV), more the prefill form.
 */
void weir_op_matmul(struct weir_graph *g, const struct weir_step_tensors *s, const char *label,
	const struct weir_matrix *w, struct weir_rows_out x, unsigned width, struct weir_tensor *y,
	size_t y_columns, size_t y_first, struct weir_tensor *bias, unsigned flags);

/* Rows of a matrix by s->token: y (width, k) f32. Planes of 2 and 3 bits and with row_act are refused. */
void weir_op_embed(struct weir_graph *g, const struct weir_step_tensors *s, const struct weir_matrix *w,
	struct weir_tensor *y);

/* ---- attention (attention.cl) ----------------------------------------------------------------- */

enum weir_rope_layout {
	WEIR_ROPE_ADJACENT, /* pairs (0,1), (2,3): Llama's GGUF */
	WEIR_ROPE_HALVES,   /* pairs (i, i + n_rot/2): NeoX, Qwen */
};

struct weir_attention_shape {
	unsigned heads, kv_heads, head_dim, n_rot;
	unsigned slots; /* KV slots a layer, a multiple of 64 */
	enum weir_kv kv;
	enum weir_rope_layout rope;
	bool two_queries; /* streaming: a second rotation of the query, for sinks */
};

/*
 * One layer's keys and values, in a region of a buffer, written once, never moved:
 *   f16: half k[kv_heads][slots/16][head_dim][16]; half v[kv_heads][slots][head_dim]
 *   q8:  char k[...same]; char v[...same]; float k_scale[kv_heads][slots]; float v_scale[kv_heads][slots]
 *  f32: as f16, with floats
 * each part aligned to 64 bytes. Sizes and offsets by weir_kv_layout.
 */
struct weir_kv_layout {
	size_t k, v, k_scale, v_scale; /* offsets in the layer's region */
	size_t size;		       /* of a layer, a multiple of align */
};
/* Bytes of one value of a cache. */
size_t weir_kv_bytes(enum weir_kv kv);
void weir_kv_layout(const struct weir_attention_shape *shape, size_t align, struct weir_kv_layout *out);

/*
 * RoPE and the cache: qkv (width, (heads + 2 kv_heads) * head_dim) f32, q then k then v. Rotates q into q_out
 * (width, rotations, heads, head_dim) f32, rotations 2 if shape.two_queries else 1; k, rotated at the true position,
 * and v go to their slots. q_norm, k_norm (head_dim) f32: per-head RMSNorm before RoPE (Qwen 3), or both NULL.
 * kv is the layer's region.
 */
void weir_op_rope_store(struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_attention_shape *shape, struct weir_tensor *qkv, struct weir_tensor *q_norm,
	struct weir_tensor *k_norm, float eps, struct weir_tensor *q_out, struct weir_tensor *kv);

/*
 * Cascaded attention over the step's segments, causal within the step: partial results (maximum, sum, weighted values)
 * of each segment's share, merged by log-sum-exp (as in FlashDecoding and FlashInfer). scale = 1 / sqrt(head_dim).
 * out (width, heads * head_dim). scratch for the partials is a tensor of the graph's own.
 */
void weir_op_attention(struct weir_graph *g, const struct weir_step_tensors *s,
	const struct weir_attention_shape *shape, struct weir_tensor *q, struct weir_tensor *kv,
	struct weir_rows_out out);

/* ---- calibration (calib.cl) ------------------------------------------------------------------- */

/* All of the step's n_tokens; float throughout. k and columns are multiples of 32. */

/* The Gram matrix: gram (k, k) += X^T X, x (width, k). Both triangles are there, and exactly symmetric. */
void weir_op_gram(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x, size_t k,
	struct weir_tensor *gram);

/* The squares of y - wanted, both (width, columns), in sums (WEIR_SQDIFF_SUMS) that are theirs when added (in double). */
#define WEIR_SQDIFF_SUMS 128
void weir_op_sqdiff(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *y,
	struct weir_tensor *wanted, size_t columns, struct weir_tensor *sums);

/* Of each column of x (width, k): stat[0] += the sum of |x|, stat[1] = max(stat[1], |x|). stat (2, k), zero at first. */
void weir_op_colstat(struct weir_graph *g, const struct weir_step_tensors *s, struct weir_tensor *x, size_t k,
	struct weir_tensor *stat);

#endif
