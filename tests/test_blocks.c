/* SPDX-License-Identifier: MIT */
/* Blocks that models for measuring are made of: what they hold is what was put in, as close as the type can be. */
#include <math.h>

#include "bench/blocks.h"
#include "quant/plane.h"
#include "suite.h"

#define N 2048

static uint32_t state;

static float uniform(float low, float high)
{
	state = state * 1664525 + 1013904223;
	return low + (high - low) * (float)(state >> 8) * 0x1p-24f;
}

/* The most that a weight may be off, in parts of its block's farthest one: with both signs alike, and mostly positive. */
static const struct {
	uint32_t type;
	size_t block;
	float both, positive;
} types[] = {
	{WEIR_TYPE_F32, 32, 0, 0},
	{WEIR_TYPE_F16, 32, 0x1p-11f, 0x1p-11f},
	/* A step of 1/8 or 1/16 of the farthest: half of it, but for the far end of the other sign, which has no code. */
	{WEIR_TYPE_Q4_0, 32, 0.126f, 0.063f},
	{WEIR_TYPE_Q5_0, 32, 0.063f, 0.032f},
	{WEIR_TYPE_Q4_1, 32, 0.068f, 0.038f},
	{WEIR_TYPE_Q8_0, 32, 0.0045f, 0.0045f},
	/* And what rounding the scales of 6 and 8 bits adds. */
	{WEIR_TYPE_Q4_K, 256, 0.085f, 0.05f},
	{WEIR_TYPE_Q6_K, 256, 0.036f, 0.02f},
};

static void fill(float *w, size_t block, float low)
{
	for (size_t i = 0; i < N; i += block) {
		const float size = powf(10, uniform(-1, 1));

		for (size_t j = i; j < i + block && j < N; j++)
			w[j] = uniform(low * size, size);
	}
}

static void check_off(const float *w, const float *back, size_t block, float off)
{
	for (size_t i = 0; i < N; i += block) {
		float far = 0;

		for (size_t j = i; j < i + block; j++)
			far = fmaxf(far, fabsf(w[j]));
		for (size_t j = i; j < i + block; j++)
			ck_assert_msg(fabsf(back[j] - w[j]) <= off * far, "weight %zu is %g, was %g, of %g at most", j,
				(double)back[j], (double)w[j], (double)far);
	}
}

static void check_type(int i, float low, float off)
{
	static float w[N], back[N];
	static unsigned char blocks[N * sizeof(float)];

	state = (uint32_t)i + 1;
	fill(w, types[i].block, low);
	ck_assert(blocks_have(types[i].type));
	blocks_of(types[i].type, w, N, blocks);
	weir_type_to_float((enum weir_type)types[i].type, blocks, N, back);
	check_off(w, back, types[i].block, off);
}

START_TEST(test_both_signs)
{
	check_type(_i, -1, types[_i].both);
}
END_TEST

START_TEST(test_mostly_positive)
{
	check_type(_i, -0.1f, types[_i].positive);
}
END_TEST

START_TEST(test_zeros)
{
	static const float w[N];
	static float back[N];
	static unsigned char blocks[N * sizeof(float)];

	blocks_of(types[_i].type, w, N, blocks);
	weir_type_to_float((enum weir_type)types[_i].type, blocks, N, back);
	for (size_t i = 0; i < N; i++)
		ck_assert(back[i] == 0);
}
END_TEST

START_TEST(test_no_other)
{
	ck_assert(!blocks_have(WEIR_TYPE_Q2_K));
	ck_assert(!blocks_have(12345));
}
END_TEST

int main(void)
{
	Suite *s = suite_create("blocks");
	TCase *t = tcase_create("rounding");

	tcase_add_loop_test(t, test_both_signs, 0, (int)WEIR_ARRAY_SIZE(types));
	tcase_add_loop_test(t, test_mostly_positive, 0, (int)WEIR_ARRAY_SIZE(types));
	tcase_add_loop_test(t, test_zeros, 0, (int)WEIR_ARRAY_SIZE(types));
	tcase_add_test(t, test_no_other);
	suite_add_tcase(s, t);
	return suite_run(s);
}
