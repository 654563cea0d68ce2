/* SPDX-License-Identifier: MIT */
/*
 * Weights of ggml's types to float, block by block, in the order of operations that the formats
 * define.
 */
#include "quant/blocks.h"
#include "quant/plane.h"

static void from_f32(const void *src, float *out)
{
	memcpy(out, src, sizeof(*out));
}

static void from_f16(const void *src, float *out)
{
	*out = weir_load_half(src);
}

static void from_bf16(const void *src, float *out)
{
	*out = weir_bf16_to_float(weir_load_u16(src));
}

static void from_q4_0(const void *src, float *out)
{
	const struct weir_block_q4_0 *b = src;
	const float d = weir_load_half(b->d);

	for (int i = 0; i < 16; i++) {
		out[i] = (float)((b->qs[i] & 15) - 8) * d;
		out[i + 16] = (float)((b->qs[i] >> 4) - 8) * d;
	}
}

static void from_q4_1(const void *src, float *out)
{
	const struct weir_block_q4_1 *b = src;
	const float d = weir_load_half(b->d), m = weir_load_half(b->m);

	for (int i = 0; i < 16; i++) {
		out[i] = (float)(b->qs[i] & 15) * d + m;
		out[i + 16] = (float)(b->qs[i] >> 4) * d + m;
	}
}

static void from_q5_0(const void *src, float *out)
{
	const struct weir_block_q5_0 *b = src;
	const float d = weir_load_half(b->d);
	const uint32_t high = weir_load_u32(b->qh);

	for (int i = 0; i < 16; i++) {
		const int lo = (b->qs[i] & 15) | (int)(high >> i & 1) << 4;
		const int hi = b->qs[i] >> 4 | (int)(high >> (i + 16) & 1) << 4;

		out[i] = (float)(lo - 16) * d;
		out[i + 16] = (float)(hi - 16) * d;
	}
}

static void from_q5_1(const void *src, float *out)
{
	const struct weir_block_q5_1 *b = src;
	const float d = weir_load_half(b->d), m = weir_load_half(b->m);
	const uint32_t high = weir_load_u32(b->qh);

	for (int i = 0; i < 16; i++) {
		const int lo = (b->qs[i] & 15) | (int)(high >> i & 1) << 4;
		const int hi = b->qs[i] >> 4 | (int)(high >> (i + 16) & 1) << 4;

		out[i] = (float)lo * d + m;
		out[i + 16] = (float)hi * d + m;
	}
}

static void from_q8_0(const void *src, float *out)
{
	const struct weir_block_q8_0 *b = src;
	const float d = weir_load_half(b->d);

	for (int i = 0; i < 32; i++)
		out[i] = (float)b->qs[i] * d;
}

/* Q2_K and Q3_K keep weight i of 256 in byte i / 128 * 32 + i % 32, at bits 2 * (i / 32 % 4). */
static int two_bits(const uint8_t qs[64], int i)
{
	return qs[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;
}

static void from_q2_k(const void *src, float *out)
{
	const struct weir_block_q2_k *b = src;
	const float d = weir_load_half(b->d), dmin = weir_load_half(b->dmin);

	for (int i = 0; i < 256; i++) {
		const float scale = d * (float)(b->scales[i / 16] & 15);
		const float min = dmin * (float)(b->scales[i / 16] >> 4);

		out[i] = scale * (float)two_bits(b->qs, i) - min;
	}
}

static void from_q3_k(const void *src, float *out)
{
	const struct weir_block_q3_k *b = src;
	const float d = weir_load_half(b->d);
	int8_t scales[16];

	weir_unpack_q3_scales(b->scales, scales);
	for (int i = 0; i < 256; i++) {
		/* A bit that is not set takes 4 away. */
		const int high = b->hmask[i % 32] >> (i / 32) & 1;
		const int q = two_bits(b->qs, i) - (high ? 0 : 4);

		out[i] = d * (float)scales[i / 16] * (float)q;
	}
}

/*
 * Q4_K and Q5_K keep weight i of 256 in byte i / 64 * 32 + i % 32, in the low or the high nibble.
 */
static int nibble(const uint8_t qs[128], int i)
{
	return qs[i / 64 * 32 + i % 32] >> (i / 32 % 2 * 4) & 15;
}

static void from_q4_k(const void *src, float *out)
{
	const struct weir_block_q4_k *b = src;
	const float d = weir_load_half(b->d), dmin = weir_load_half(b->dmin);
	uint8_t scales[8], mins[8];

	weir_unpack_k4_scales(b->scales, scales, mins);
	for (int i = 0; i < 256; i++) {
		const float scale = d * (float)scales[i / 32];

		out[i] = scale * (float)nibble(b->qs, i) - dmin * (float)mins[i / 32];
	}
}

static void from_q5_k(const void *src, float *out)
{
	const struct weir_block_q5_k *b = src;
	const float d = weir_load_half(b->d), dmin = weir_load_half(b->dmin);
	uint8_t scales[8], mins[8];

	weir_unpack_k4_scales(b->scales, scales, mins);
	for (int i = 0; i < 256; i++) {
		const float scale = d * (float)scales[i / 32];
		const int q = nibble(b->qs, i) | (b->qh[i % 32] >> (i / 32) & 1) << 4;

		out[i] = scale * (float)q - dmin * (float)mins[i / 32];
	}
}

static void from_q6_k(const void *src, float *out)
{
	const struct weir_block_q6_k *b = src;
	const float d = weir_load_half(b->d);

	for (int i = 0; i < 256; i++) {
		/* Each 128 weights: 64 bytes of nibbles, low ones first, and 32 bytes of pairs. */
		const int low = b->ql[i / 128 * 64 + i % 64] >> (i / 64 % 2 * 4) & 15;
		const int high = b->qh[i / 128 * 32 + i % 32] >> (i / 32 % 4 * 2) & 3;

		out[i] = d * (float)b->scales[i / 16] * (float)((low | high << 4) - 32);
	}
}

static void (*const converters[])(const void *block, float *out) = {
	[WEIR_TYPE_F32] = from_f32,
	[WEIR_TYPE_F16] = from_f16,
	[WEIR_TYPE_BF16] = from_bf16,
	[WEIR_TYPE_Q4_0] = from_q4_0,
	[WEIR_TYPE_Q4_1] = from_q4_1,
	[WEIR_TYPE_Q5_0] = from_q5_0,
	[WEIR_TYPE_Q5_1] = from_q5_1,
	[WEIR_TYPE_Q8_0] = from_q8_0,
	[WEIR_TYPE_Q2_K] = from_q2_k,
	[WEIR_TYPE_Q3_K] = from_q3_k,
	[WEIR_TYPE_Q4_K] = from_q4_k,
	[WEIR_TYPE_Q5_K] = from_q5_k,
	[WEIR_TYPE_Q6_K] = from_q6_k,
};

void weir_type_to_float(enum weir_type type, const void *src, size_t n, float *out)
{
	const unsigned char *block = src;
	size_t weights, bytes;

	if (!weir_type_block(type, &weights, &bytes))
		return;
	for (size_t i = 0; i + weights <= n; i += weights, block += bytes)
		converters[type](block, out + i);
}
