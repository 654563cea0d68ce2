/* SPDX-License-Identifier: MIT */
/*
 * Weights times activations: decode (TILE 1, a matrix with one vector) and prefill (tiles of TILE
 * tokens). A unit of work is 16 rows and a tile; work-groups share out the units that the step has.
 * All weight formats come here: options in plane.clh, TILE, the columns in a tile of packed
 * activations, and LANES, the columns of a token.
 */
#pragma OPENCL FP_CONTRACT OFF

#include "launch.clh"
#include "step.clh"
#include "pack.clh"
#include "plane.clh"

/* LANES 2: each token is two columns of packed activations, whose results are one (ops.h: fine). */

#define MATMUL_ADD 1 /* as WEIR_MATMUL_ADD and WEIR_MATMUL_OUT in runtime/graph/ops.h */
#define MATMUL_OUT 2
#define MATMUL_BIAS 4 /* there is a bias; without it the pointer is of something else */

struct matmul_out {
	global float *y;
	global const float *bias;
	int rows, columns, first, flags;
};

static inline int matmul_tokens(global const struct weir_step *step, int flags)
{
	return flags & MATMUL_OUT ? step->out_count : step->n_tokens;
}

/* How many of a block's rows there are: 16 and more, but in the last block. */
static inline int matmul_places(struct matmul_out out, int block)
{
	return out.rows - block * PLANE_ROWS;
}

/* One row of one token. */
static inline void matmul_store(struct matmul_out out, int token, int row, float value)
{
	global float *y = out.y + (size_t)token * out.columns + out.first + row;

	if (out.flags & MATMUL_BIAS)
		value += out.bias[row];
	*y = out.flags & MATMUL_ADD ? *y + value : value;
}

#ifdef WEIR_CPU
#include "matmul_cpu.clh"
#else
#include "matmul_gpu.clh"
#endif
