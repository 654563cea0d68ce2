/* SPDX-License-Identifier: MIT */
/*
 * Rows of a matrix of weights as float, by the tokens of the step: the embedding. Options:
 * plane.clh. A unit of work is EMBED_CHUNK weights of one token; one kernel serves both schedules.
 */
#pragma OPENCL FP_CONTRACT OFF

#include "launch.clh"
#include "step.clh"
#include "plane.clh"

#ifdef WEIR_CPU
#define EMBED_KERNEL WEIR_KERNEL
#else
#define EMBED_KERNEL kernel void
#endif

#define EMBED_CHUNK 512 /* as in runtime/graph/op_matmul.c */

#if PLANE_FLOAT

static inline void embed_chunk(struct plane p, int row, int begin, int end, global float *y)
{
	for (int i = begin + get_local_id(0); i < end; i += get_local_size(0))
		y[i] = plane_weight(p, row / PLANE_ROWS, row % PLANE_ROWS, i);
}

#else

static inline void embed_int(struct plane p, int row, int at, global float *y)
{
	int block = row / PLANE_ROWS, r = row % PLANE_ROWS;
	int w = ((global const int *)plane_vectors(p, block))[at * PLANE_ROWS + r];
	float scale = plane_scale(p, block, r, at * PLANE_VECTOR / PLANE_GROUP);

#if PLANE_HAS_MIN
	float minimum = plane_min(p, block, r, at * PLANE_VECTOR / PLANE_GROUP);
#else
	float minimum = 0;
#endif
	int zero = plane_zero(p, block, r, at * PLANE_VECTOR / PLANE_GROUP);

#if PLANE_BASE == PLANE_U4
	vstore4(fma(convert_float4(as_char4(w & 0x0f0f0f0f)) - zero, scale, minimum), at * 2, y);
	vstore4(fma(convert_float4(as_char4((w >> 4) & 0x0f0f0f0f)) - zero, scale, minimum),
		at * 2 + 1, y);
#else
	vstore4(fma(convert_float4(as_uchar4(w)) - zero, scale, minimum), at, y);
#endif
}

static inline void embed_chunk(struct plane p, int row, int begin, int end, global float *y)
{
	begin /= PLANE_VECTOR;
	end /= PLANE_VECTOR;
	for (int at = begin + get_local_id(0); at < end; at += get_local_size(0))
		embed_int(p, row, at, y);
}

#endif

EMBED_KERNEL embed(WEIR_PART_ARGS global const uchar *restrict region, global float *restrict y,
	global const int *restrict token, global const struct weir_step *restrict step,
	int scales_at, int extra_at, int k)
{
	struct plane p = plane_open(region, scales_at, extra_at, k);
	int chunks = (k + EMBED_CHUNK - 1) / EMBED_CHUNK;
	long units = (long)step->n_tokens * chunks;

	for (long u = WEIR_PART; u < units; u += WEIR_PARTS) {
		int t = u / chunks, begin = u % chunks * EMBED_CHUNK;

		embed_chunk(p, token[t], begin, min(begin + EMBED_CHUNK, k), y + (size_t)t * k);
	}
}
