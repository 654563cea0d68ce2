/* SPDX-License-Identifier: MIT */
/*
 * What choosing scales for weights needs of activations (float): their Gram matrix, how far results are from what they
 * should be, and how large each column is.
 */
#include "step.clh"
#include "math.clh"

#ifdef WEIR_CPU

/*
 * Registers have GRAM_ROWS x 32 values of the result; a unit has those of GRAM_SIDE rows and columns, whose activations
 * stay in the second cache: 512 tokens of twice 96 are 384 KiB.
 */
#define GRAM_ROWS 12
#define GRAM_SIDE 96 /* as in runtime/graph/op_calib.c */

/* Adds to what the result has on or over its diagonal. */
static inline void gram_store(global float *gram, int k, int row, int column, const float16 *sum)
{
	for (int j = 0; j < GRAM_ROWS && row + j < k; j++) {
		global float *at = gram + (size_t)(row + j) * k + column;
		float value[32];

		if (column >= row + j) {
			vstore16(vload16(0, at) + sum[2 * j], 0, at);
			vstore16(vload16(1, at) + sum[2 * j + 1], 1, at);
			continue;
		}
		vstore16(sum[2 * j], 0, value);
		vstore16(sum[2 * j + 1], 1, value);
		for (int i = row + j - column; i < 32; i++)
			at[i] += value[i];
	}
}

/* Rows from row on, and 32 columns. */
static inline void gram_tile(
	global const float *x, int tokens, int k, int row, int column, global float *gram)
{
	float16 sum[2 * GRAM_ROWS];

	#pragma unroll
	for (int j = 0; j < 2 * GRAM_ROWS; j++)
		sum[j] = (float16)(0);
	for (int t = 0; t < tokens; t++) {
		global const float *at = x + (size_t)t * k;
		float16 a = vload16(0, at + column), b = vload16(1, at + column);

		/* Past the last row nothing lies: take it again, and drop the sum. */
		#pragma unroll
		for (int j = 0; j < GRAM_ROWS; j++) {
			float16 v = (float16)(at[min(row + j, k - 1)]);

			sum[2 * j] = fma(a, v, sum[2 * j]);
			sum[2 * j + 1] = fma(b, v, sum[2 * j + 1]);
		}
	}
	gram_store(gram, k, row, column, sum);
}

/* The tiles of a unit that reach over the diagonal, and what mirrors them. */
static inline void gram_unit(
	global const float *x, int tokens, int k, int first_row, int first_column, global float *gram)
{
	int columns = min(first_column + GRAM_SIDE, k), rows = min(first_row + GRAM_SIDE, k);

	for (int row = first_row; row < rows; row += GRAM_ROWS) {
		for (int column = first_column; column < columns; column += 32) {
			if (column + 31 >= row)
				gram_tile(x, tokens, k, row, column, gram);
		}
	}
	/* By 16 rows, whose lines stay near. */
	for (int row = first_row; row < rows; row += 16) {
		for (int column = max(first_column, row + 1); column < columns; column++) {
			for (int r = row; r < min(row + 16, column); r++)
				gram[(size_t)column * k + r] = gram[(size_t)r * k + column];
		}
	}
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void calib_gram(
	global const struct weir_step *restrict step, global const float *restrict x, global float *restrict gram, int k)
{
	int sides = (k + GRAM_SIDE - 1) / GRAM_SIDE, unit = 0;

	for (int i = 0; i < sides; i++) {
		for (int j = i; j < sides; j++, unit++) {
			if (unit % get_num_groups(0) == get_group_id(0))
				gram_unit(x, step->n_tokens, k, i * GRAM_SIDE, j * GRAM_SIDE, gram);
		}
	}
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void calib_sqdiff(global const struct weir_step *restrict step,
	global const float *restrict y, global const float *restrict wanted, global float *restrict sums, int columns)
{
	long n = (long)step->n_tokens * columns / 16; /* vectors, but for the rest, which the last group takes */
	long begin = n * get_group_id(0) / get_num_groups(0), end = n * (get_group_id(0) + 1) / get_num_groups(0);
	float16 lanes = 0.0f;
	float sum;

	for (long i = begin; i < end; i++) {
		float16 d = vload16(i, y) - vload16(i, wanted);

		lanes = fma(d, d, lanes);
	}
	sum = weir_sum16(lanes);
	if (get_group_id(0) + 1 == get_num_groups(0)) {
		for (long i = n * 16; i < (long)step->n_tokens * columns; i++)
			sum = fma(y[i] - wanted[i], y[i] - wanted[i], sum);
	}
	sums[get_group_id(0)] = sum;
}

__attribute__((reqd_work_group_size(1, 1, 1))) kernel void calib_colstat(
	global const struct weir_step *restrict step, global const float *restrict x, global float *restrict stat, int k)
{
	for (int i = get_group_id(0); i < k / 16; i += get_num_groups(0)) {
		float16 sum = 0.0f, top = vload16(i, stat + k);

		for (int t = 0; t < step->n_tokens; t++) {
			float16 v = fabs(vload16(i, x + (size_t)t * k));

			sum += v;
			top = max(top, v);
		}
		vstore16(vload16(i, stat) + sum, i, stat);
		vstore16(top, i, stat + k);
	}
}

#else /* WEIR_GPU */

#define LOCAL 64 /* as in runtime/graph/op_calib.c */
#define SIDE 16	 /* a work-group has SIDE x SIDE values of the result, SIDE * SIDE / LOCAL a work-item */

__attribute__((reqd_work_group_size(LOCAL, 1, 1))) kernel void calib_gram(
	global const struct weir_step *restrict step, global const float *restrict x, global float *restrict gram, int k)
{
	int sides = k / SIDE, lid = (int)get_local_id(0);
	int column = lid % SIDE, row = lid / SIDE * 4;

	for (int unit = get_group_id(0); unit < sides * sides; unit += get_num_groups(0)) {
		int r = unit / sides * SIDE + row, c = unit % sides * SIDE + column;
		float4 sum = 0.0f;

		for (int t = 0; t < step->n_tokens; t++)
			sum = fma(vload4(0, x + (size_t)t * k + r), (float4)(x[(size_t)t * k + c]), sum);
		gram[(size_t)r * k + c] += sum.x;
		gram[(size_t)(r + 1) * k + c] += sum.y;
		gram[(size_t)(r + 2) * k + c] += sum.z;
		gram[(size_t)(r + 3) * k + c] += sum.w;
	}
}

__attribute__((reqd_work_group_size(LOCAL, 1, 1))) kernel void calib_sqdiff(
	global const struct weir_step *restrict step, global const float *restrict y, global const float *restrict wanted,
	global float *restrict sums, int columns)
{
	local float part[LOCAL];
	long n = (long)step->n_tokens * columns;
	int lid = (int)get_local_id(0);
	float sum = 0.0f;

	for (long i = get_global_id(0); i < n; i += get_global_size(0))
		sum = fma(y[i] - wanted[i], y[i] - wanted[i], sum);
	part[lid] = sum;
	barrier(CLK_LOCAL_MEM_FENCE);
	sum = 0.0f;
	for (int i = 0; i < LOCAL; i++)
		sum += part[i];
	if (lid == 0)
		sums[get_group_id(0)] = sum;
}

__attribute__((reqd_work_group_size(LOCAL, 1, 1))) kernel void calib_colstat(
	global const struct weir_step *restrict step, global const float *restrict x, global float *restrict stat, int k)
{
	for (int i = get_global_id(0); i < k; i += get_global_size(0)) {
		float sum = 0.0f, top = stat[k + i];

		for (int t = 0; t < step->n_tokens; t++) {
			float v = fabs(x[(size_t)t * k + i]);

			sum += v;
			top = max(top, v);
		}
		stat[i] += sum;
		stat[k + i] = top;
	}
}

#endif
