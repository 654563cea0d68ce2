/* SPDX-License-Identifier: MIT */
/* Checks of rows that ops leave as float or packed. */
#include "rows.h"

#include <math.h>

#include "base/base.h"

/* What an untouched byte holds: a large number as a float, conspicuous as int8. */
#define GARBAGE 0x7b

struct weir_tensor *rows_kept(struct weir_graph *g, const char *name, size_t size)
{
	struct weir_tensor *t = weir_graph_tensor(g, name, size);

	weir_tensor_keep(t);
	return t;
}

void rows_garbage(struct weir_tensor *t)
{
	size_t size = weir_tensor_size(t);
	void *p = malloc(size);

	memset(p, GARBAGE, size);
	checkcl_put(t, p, size);
	free(p);
}

void rows_check_f32(struct checkcl *c, const char *params, struct weir_tensor *f32, size_t n,
	const float *want, const float *bound)
{
	float *got = malloc(n * sizeof(*got));

	checkcl_get(f32, got, n * sizeof(*got));
	checkcl_compare_bounds(c, params, got, want, bound, n);
	free(got);
}

/* The packed format as ops.h describes it, read by its indices. */
struct packed_view {
	const int32_t *q;
	const float *scale;
	const int32_t *sum32, *sum16;
	unsigned tile;
	size_t group; /* values of one scale */
};

static struct packed_view packed_view(const char *packed, unsigned width, unsigned t, size_t k)
{
	unsigned tile = width == 1 ? 1 : WEIR_TILE;
	const char *base = packed + (t / tile) * tile * k * 3 / 2;
	struct packed_view v = {.tile = tile, .group = 32};

	v.q = (const int32_t *)base;
	v.scale = (const float *)(v.q + k / 4 * tile);
	v.sum32 = (const int32_t *)(v.scale + k / 32 * tile);
	v.sum16 = v.sum32 + k / 32 * tile;
	v.q += t % tile;
	v.scale += t % tile;
	v.sum32 += t % tile;
	v.sum16 += t % tile;
	return v;
}

static int packed_q(const struct packed_view *v, size_t i)
{
	return (int8_t)((uint32_t)v->q[i / 4 * v->tile] >> (i % 4 * 8));
}

static bool chunk_sums_right(const struct packed_view *v, size_t k)
{
	for (size_t begin = 0; begin < k; begin += WEIR_ROWS8_CHUNK) {
		int sum = 0;

		for (size_t i = begin; i < WEIR_MIN(begin + WEIR_ROWS8_CHUNK, k); i++)
			sum += packed_q(v, i);
		if (v->sum32[begin / WEIR_ROWS8_CHUNK * v->tile] != sum)
			return false;
	}
	return true;
}

static bool sums_right(const struct packed_view *v, size_t k)
{
	if (v->group != 32)
		return chunk_sums_right(v, k);
	for (size_t h = 0; h < k / 16; h++) {
		int sum = 0;

		for (size_t i = 0; i < 16; i++)
			sum += packed_q(v, h * 16 + i);
		if (v->sum16[h * v->tile] != sum)
			return false;
		if (h % 2 && v->sum32[h / 2 * v->tile] != sum + v->sum16[(h - 1) * v->tile])
			return false;
	}
	return true;
}

static bool group_zero(const struct packed_view *v, size_t k)
{
	for (size_t i = 0; i < k; i++) {
		if (packed_q(v, i) || v->scale[i / v->group * v->tile] != 0.0f)
			return false;
	}
	return sums_right(v, k);
}

/* A scale is max|x| / 127 to 2 ulp, or of the wanted values' error; a weight is within half a step. */
static void check_packed_row(struct checkcl *c, const char *params, const struct packed_view *v, size_t k,
	const float *want, const float *bound)
{
	float *got = malloc(k * sizeof(*got)), *near = malloc(k * sizeof(*near));
	float top = 0.0f, slack = 0.0f;

	for (size_t i = 0; i < k; i++) {
		float s = v->scale[i / v->group * v->tile];

		if (i % v->group == 0)
			top = slack = 0.0f;
		top = fmaxf(top, fabsf(want[i]));
		slack = fmaxf(slack, bound[i]);
		got[i] = (float)packed_q(v, i) * s;
		/* x / s goes through two roundings and is at most 127. */
		near[i] = bound[i] + s * (0.5f + 127 * 4 * U) + fabsf(want[i]) * 4 * U;
		if (i % v->group == v->group - 1) {
			float scale = top / 127.0f;

			checkcl_compare(c, params, &s, &scale, 1, slack / 127.0f, 4 * U);
		}
	}
	checkcl_compare_bounds(c, params, got, want, near, k);
	if (!sums_right(v, k))
		checkcl_fail(c, params, "a sum is not that of its group");
	free(got);
	free(near);
}

static void check_tokens(struct checkcl *c, const char *params, struct weir_tensor *packed, size_t group,
	unsigned width, unsigned tokens, size_t k, const float *want, const float *bound)
{
	unsigned tile = width == 1 ? 1 : WEIR_TILE;
	size_t size = weir_packed_size(width, k, false);
	char *got = malloc(size);

	checkcl_get(packed, got, size);
	for (unsigned t = 0; t < (tokens + tile - 1) / tile * tile; t++) {
		struct packed_view v = packed_view(got, width, t, k);

		v.group = group;
		if (t < tokens)
			check_packed_row(c, params, &v, k, want + t * k, bound + t * k);
		else if (!group_zero(&v, k))
			checkcl_fail(c, params, "a row that fills up the last tile is not zero");
	}
	free(got);
}

void rows_check_packed(struct checkcl *c, const char *params, struct weir_tensor *packed, unsigned width,
	unsigned tokens, size_t k, const float *want, const float *bound)
{
	check_tokens(c, params, packed, 32, width, tokens, k, want, bound);
}

void rows_check_rows8(struct checkcl *c, const char *params, struct weir_tensor *rows8, unsigned width,
	unsigned tokens, size_t k, const float *want, const float *bound)
{
	check_tokens(c, params, rows8, k, width, tokens, k, want, bound);
}
