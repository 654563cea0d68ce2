/* SPDX-License-Identifier: MIT */
/*
 * The blocks that ggml's quantized types keep in files, byte by byte, and how the K types pack
 * their scales.
 */
#ifndef WEIR_QUANT_BLOCKS_H
#define WEIR_QUANT_BLOCKS_H

#include "base/base.h"

/*
 * As ggml-common.h of the ggml project lays them out. Bytes alone, so that a block may lie at any
 * address; d, dmin and m are little-endian halves.
 */
struct weir_block_q4_0 {
	uint8_t d[2], qs[16];
};

struct weir_block_q4_1 {
	uint8_t d[2], m[2], qs[16];
};

struct weir_block_q5_0 {
	uint8_t d[2], qh[4], qs[16];
};

struct weir_block_q5_1 {
	uint8_t d[2], m[2], qh[4], qs[16];
};

struct weir_block_q8_0 {
	uint8_t d[2];
	int8_t qs[32];
};

struct weir_block_q2_k {
	uint8_t scales[16], qs[64], d[2], dmin[2];
};

struct weir_block_q3_k {
	uint8_t hmask[32], qs[64], scales[12], d[2];
};

struct weir_block_q4_k {
	uint8_t d[2], dmin[2], scales[12], qs[128];
};

struct weir_block_q5_k {
	uint8_t d[2], dmin[2], scales[12], qh[32], qs[128];
};

struct weir_block_q6_k {
	uint8_t ql[128], qh[64];
	int8_t scales[16];
	uint8_t d[2];
};

static inline uint16_t weir_load_u16(const uint8_t *p)
{
	uint16_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline uint32_t weir_load_u32(const uint8_t *p)
{
	uint32_t v;

	memcpy(&v, p, sizeof(v));
	return v;
}

static inline float weir_load_half(const uint8_t *p)
{
	return weir_half_to_float(weir_load_u16(p));
}

/*
 * Q4_K and Q5_K: eight scales and eight minimums of 6 bits in 12 bytes. The first four of each lie
 * in the low 6 bits of bytes 0 to 3 and 4 to 7; of the others, the low nibbles lie in bytes 8 to 11
 * (scale low, minimum high) and the high pairs in the top of bytes 0 to 3 and 4 to 7.
 */
static inline void weir_unpack_k4_scales(const uint8_t packed[12], uint8_t scale[8], uint8_t min[8])
{
	for (int i = 0; i < 4; i++) {
		const uint8_t s = packed[i], m = packed[i + 4], both = packed[i + 8];

		scale[i] = s & 63;
		min[i] = m & 63;
		scale[i + 4] = (both & 15) | (s >> 6) << 4;
		min[i + 4] = both >> 4 | (m >> 6) << 4;
	}
}

/*
 * Q3_K: sixteen scales of 6 bits, kept with 32 added: low nibbles of 0 to 7 and 8 to 15 in the low
 * and high halves of bytes 0 to 7, high pairs of i in byte 8 + i % 4 at bits 2 * (i / 4).
 */
static inline void weir_unpack_q3_scales(const uint8_t packed[12], int8_t scale[16])
{
	for (int i = 0; i < 16; i++) {
		const int low = packed[i % 8] >> (i / 8 * 4) & 15;
		const int high = packed[8 + i % 4] >> (i / 4 * 2) & 3;

		scale[i] = (int8_t)((low | high << 4) - 32);
	}
}

#endif
