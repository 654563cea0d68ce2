/* SPDX-License-Identifier: MIT */
/*
 * Weights as kernels stream them. A plane holds a matrix of rows x k (out x in) with 16 rows interleaved, so
 * that one 64-byte vector has the same few k of 16 rows. Rows are padded with zero weights to a multiple of 16.
 * Nothing is lost: every ggml type has a plane that represents each of its weights exactly.
 *
 * One region of memory, three parts at the layout's offsets:
 *   quants  2 bits: [rows/16][k/16][64]: byte r*4+j of a vector has k = 16z+j in its lowest two bits, 16z+4+j in the
 *           next two, and so on.
 *           3 bits: [rows/16][k/32][3][64]: two vectors as of 2 bits with the low two bits of k = 32z.. and 32z+16..,
 *           then one with the high bits: bit t of byte r*4+j is that of k = 32z+4t+j.
 *           4 bits: [rows/16][k/8][64]: byte r*4+j of a vector has k = 8z+j in its low nibble, 8z+4+j in its high
 *           8 bits: [rows/16][k/4][64]: byte r*4+j has k = 4z+j. All unsigned: weight = (q - zero) * scale, or
 *           q * scale + min where the format has minimums.
 *           f16, bf16: [rows/16][k][16] 2 bytes; f32: [rows/16][k][16] 4 bytes.
 *   scales  one level:  half or float [rows/16][groups][16], or [32] with minimums: 16 scales, then 16 minimums
 *           two levels: int8 [rows/16][groups][16], or [32] with minimums: 16 scales (int8), 16 minimums (uint8)
 *   extra   two levels: half [rows/16][k/256][16], or [32] with minimums: 16 d, then 16 dmin;
 *           scale = d * scale8, min = -dmin * min8
 *           zeros: uint8 [rows/16][groups][16], the zero of each group
 *           else nothing
 * groups = k / group, rounded up: the last group of a row may be short.
 */
#ifndef WEIR_QUANT_PLANE_H
#define WEIR_QUANT_PLANE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "format/gguf.h"

#define WEIR_PLANE_ROWS 16
#define WEIR_PLANE_SUPER 256

enum weir_plane_base {
	WEIR_PLANE_U2,
	WEIR_PLANE_U3,
	WEIR_PLANE_U4,
	WEIR_PLANE_U8,
	WEIR_PLANE_F16,
	WEIR_PLANE_BF16,
	WEIR_PLANE_F32,
};

struct weir_plane_format {
	enum weir_plane_base base;
	uint32_t group;	   /* weights a scale: 16 with two levels, or a multiple of 32, at most k; 0 for floats */
	bool two_level;	   /* scales are int8 times a half for each 256 */
	bool has_min;	   /* asymmetric: minimums instead of the zero */
	uint8_t zero;	   /* what stands for zero when neither has_min nor zeros */
	bool zeros;	   /* what stands for zero is a group's own */
	bool f32_scales;   /* one level, floats instead of halves: what a quantizer searches with */
	bool row_act;	   /* 8 bits and one group a row: activations too have one scale a token (W8A8) */
};

struct weir_plane_layout {
	struct weir_plane_format format;
	size_t rows, k;	    /* as given; padded_rows is rows rounded up to 16 */
	size_t padded_rows;
	size_t groups; /* of a row; 0 for floats */
	size_t quants_size, scales_size, extra_size;
	size_t scales, extra; /* offsets from the region's start, multiples of align; quants lie at 0 */
	size_t size;	       /* of the region, a multiple of align */
};

static inline bool weir_plane_is_float(const struct weir_plane_format *f)
{
	return f->base >= WEIR_PLANE_F16;
}

/* The plane of a ggml type; NULL for a type that Weir does not run. */
const struct weir_plane_format *weir_plane_format(enum weir_type type);
bool weir_plane_format_equal(const struct weir_plane_format *a, const struct weir_plane_format *b);

/*
 * Sizes and offsets of a plane of rows x k. -EOVERFLOW when they do not fit, -EINVAL when k is not a multiple of
 * the type's block, or the group is more than k or none that kernels take (with a sentence).
 */
int weir_plane_layout(const struct weir_plane_format *format, size_t rows, size_t k, size_t align,
	struct weir_plane_layout *out);

/*
 * Repacks rows of a tensor of ggml type, as stored in a file at src (row-major, n_rows rows of k), into the plane
 * at dst, where they become rows first_row.. of the plane; first_row is a multiple of 16. Rows past n_rows in the
 * last block of 16 are zeroed only when first_row + n_rows == layout->rows. Calls on disjoint
 * rows may run in parallel when they share no block of 16.
 */
void weir_plane_pack(const struct weir_plane_layout *layout, void *dst, enum weir_type type,
	const void *src, size_t first_row, size_t n_rows);

/*
 * Weights as quantizers make them, and as files with codes hold them: weight = (q - zero) * scale. groups as in the
 * layout; scales become halves, to nearest even, unless the format has floats.
 */
struct weir_codes {
	const uint8_t *q;    /* (rows, k), each below 2^bits */
	const float *scale;  /* (rows, groups) */
	const uint8_t *zero; /* (rows, groups), read only where the format has zeros */
};

/* As weir_plane_pack, for a format of one level without minimums; codes begin with row first_row. */
void weir_plane_put(const struct weir_plane_layout *layout, void *dst, const struct weir_codes *codes,
	size_t first_row, size_t n_rows);

/* Row r of a plane as float, the reference that kernels are compared with. out: k floats. */
void weir_plane_row(const struct weir_plane_layout *layout, const void *plane, size_t row, float *out);

/* n weights of a ggml type, as stored in a file, as float: ggml's own formula. n: a multiple of the block. */
void weir_type_to_float(enum weir_type type, const void *src, size_t n, float *out);

#endif
