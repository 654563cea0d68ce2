/* SPDX-License-Identifier: MIT */
/* Rounds weights to blocks of ggml's types. */
#include "blocks.h"

#include <math.h>

#include "quant/blocks.h"

/* Stores a value as a half, and gives back what the half is. */
static float put_half(uint8_t *at, float value)
{
	const uint16_t h = weir_float_to_half(value);

	memcpy(at, &h, sizeof(h));
	return weir_half_to_float(h);
}

static float inverse(float d)
{
	return d ? 1 / d : 0;
}

static int clamp(float v, int lo, int hi)
{
	const float r = nearbyintf(v);

	return r < (float)lo ? lo : r > (float)hi ? hi : (int)r;
}

/* The weight that is farthest from zero, with its sign: it becomes the code that has no opposite. */
static float farthest(const float *w, size_t n)
{
	float far = 0;

	for (size_t i = 0; i < n; i++)
		if (fabsf(w[i]) > fabsf(far))
			far = w[i];
	return far;
}

static void range(const float *w, size_t n, float *min, float *max)
{
	*min = *max = w[0];
	for (size_t i = 1; i < n; i++) {
		*min = fminf(*min, w[i]);
		*max = fmaxf(*max, w[i]);
	}
}

static void to_f32(const float *w, void *out)
{
	memcpy(out, w, sizeof(*w));
}

static void to_f16(const float *w, void *out)
{
	put_half(out, *w);
}

static void to_q4_0(const float *w, void *out)
{
	struct weir_block_q4_0 *b = out;
	const float scale = inverse(put_half(b->d, farthest(w, 32) / -8));

	for (int i = 0; i < 16; i++)
		b->qs[i] = (uint8_t)((clamp(w[i] * scale, -8, 7) + 8) | (clamp(w[i + 16] * scale, -8, 7) + 8) << 4);
}

static void to_q4_1(const float *w, void *out)
{
	struct weir_block_q4_1 *b = out;
	float min, max, m, scale;

	range(w, 32, &min, &max);
	scale = inverse(put_half(b->d, (max - min) / 15));
	m = put_half(b->m, min);
	for (int i = 0; i < 16; i++)
		b->qs[i] = (uint8_t)(clamp((w[i] - m) * scale, 0, 15) | clamp((w[i + 16] - m) * scale, 0, 15) << 4);
}

static void to_q5_0(const float *w, void *out)
{
	struct weir_block_q5_0 *b = out;
	const float scale = inverse(put_half(b->d, farthest(w, 32) / -16));
	uint32_t high = 0;

	for (int i = 0; i < 16; i++) {
		const int lo = clamp(w[i] * scale, -16, 15) + 16, hi = clamp(w[i + 16] * scale, -16, 15) + 16;

		b->qs[i] = (uint8_t)((lo & 15) | (hi & 15) << 4);
		high |= (uint32_t)(lo >> 4) << i | (uint32_t)(hi >> 4) << (i + 16);
	}
	memcpy(b->qh, &high, sizeof(high));
}

static void to_q8_0(const float *w, void *out)
{
	struct weir_block_q8_0 *b = out;
	const float scale = inverse(put_half(b->d, fabsf(farthest(w, 32)) / 127));

	for (int i = 0; i < 32; i++)
		b->qs[i] = (int8_t)clamp(w[i] * scale, -127, 127);
}

/* Eight scales and minimums of 6 bits: what weir_unpack_k4_scales reads. */
static void pack_k4_scales(uint8_t packed[12], const uint8_t scale[8], const uint8_t min[8])
{
	for (int i = 0; i < 4; i++) {
		packed[i] = (uint8_t)(scale[i] | scale[i + 4] >> 4 << 6);
		packed[i + 4] = (uint8_t)(min[i] | min[i + 4] >> 4 << 6);
		packed[i + 8] = (uint8_t)((scale[i + 4] & 15) | (min[i + 4] & 15) << 4);
	}
}

/* weight = d * scale * q - dmin * min */
static void to_q4_k(const float *w, void *out)
{
	struct weir_block_q4_k *b = out;
	float step[8], low[8], d, dmin;
	uint8_t scale[8], min[8];

	for (int s = 0; s < 8; s++) {
		float lo, hi;

		range(w + 32 * s, 32, &lo, &hi);
		low[s] = fmaxf(-lo, 0);
		step[s] = fmaxf(hi + low[s], 0) / 15;
	}
	d = put_half(b->d, farthest(step, 8) / 63);
	dmin = put_half(b->dmin, farthest(low, 8) / 63);
	for (int s = 0; s < 8; s++) {
		scale[s] = (uint8_t)clamp(step[s] * inverse(d), 0, 63);
		min[s] = (uint8_t)clamp(low[s] * inverse(dmin), 0, 63);
	}
	pack_k4_scales(b->scales, scale, min);
	for (int i = 0; i < 128; i++) {
		/* Each 32 bytes hold two groups of 32: the first in the low nibbles. */
		const int s = i / 32 * 2, at = 32 * s + i % 32;
		const float lo = (w[at] + dmin * min[s]) * inverse(d * scale[s]);
		const float hi = (w[at + 32] + dmin * min[s + 1]) * inverse(d * scale[s + 1]);

		b->qs[i] = (uint8_t)(clamp(lo, 0, 15) | clamp(hi, 0, 15) << 4);
	}
}

static void put_q6(struct weir_block_q6_k *b, int i, int q)
{
	/* Halves of 128: four runs of 32, by twos in a byte's nibbles, and their high pairs in one byte. */
	const int half = i / 128, run = i % 128 / 32, at = i % 32;

	b->ql[64 * half + run % 2 * 32 + at] |= (uint8_t)((q & 15) << run / 2 * 4);
	b->qh[32 * half + at] |= (uint8_t)(q >> 4 << run * 2);
}

/* weight = d * scale * (q - 32) */
static void to_q6_k(const float *w, void *out)
{
	struct weir_block_q6_k *b = out;
	float step[16], d;

	memset(b, 0, sizeof(*b));
	for (int s = 0; s < 16; s++)
		step[s] = farthest(w + 16 * s, 16) / -32;
	d = put_half(b->d, farthest(step, 16) / -128);
	for (int s = 0; s < 16; s++) {
		b->scales[s] = (int8_t)clamp(step[s] * inverse(d), -128, 127);
		for (int i = 16 * s; i < 16 * s + 16; i++)
			put_q6(b, i, clamp(w[i] * inverse(d * b->scales[s]), -32, 31) + 32);
	}
}

static const struct rounder {
	uint32_t type;
	void (*block)(const float *w, void *out);
} rounders[] = {
	{WEIR_TYPE_F32, to_f32},
	{WEIR_TYPE_F16, to_f16},
	{WEIR_TYPE_Q4_0, to_q4_0},
	{WEIR_TYPE_Q4_1, to_q4_1},
	{WEIR_TYPE_Q5_0, to_q5_0},
	{WEIR_TYPE_Q8_0, to_q8_0},
	{WEIR_TYPE_Q4_K, to_q4_k},
	{WEIR_TYPE_Q6_K, to_q6_k},
};

static const struct rounder *rounder_of(uint32_t type)
{
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(rounders); i++)
		if (rounders[i].type == type)
			return &rounders[i];
	return NULL;
}

bool blocks_have(uint32_t type)
{
	return rounder_of(type);
}

void blocks_of(uint32_t type, const float *w, size_t n, void *out)
{
	const struct rounder *r = rounder_of(type);
	size_t weights = 1, bytes = 0;

	if (!r || !weir_type_block(type, &weights, &bytes))
		return;
	for (size_t i = 0; i < n; i += weights)
		r->block(w + i, (char *)out + i / weights * bytes);
}
