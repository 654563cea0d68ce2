/* SPDX-License-Identifier: MIT */
/*
 * Softmax sums over a vocabulary. With several models they are made hundreds of thousands of times, each over tens of
 * thousands of tokens: loops here are plain enough for the compiler to use vectors (the Makefile asks it to).
 */
#include <math.h>
#include <string.h>

#include "eval.h"

#define BLOCK 128 /* floats that lie in the fastest cache together */
#define LANES 16  /* sums that are independent of each other */

/*
 * exp(x) for x <= 0, to 1.2e-7 of it, and 0 below -87.3: 2^n e^t with x = n ln 2 + t, and the series of e^t, whose next
 * term is below 2e-9 for |t| <= ln(2) / 2. Adding 1.5 * 2^23 rounds to a whole number. ln 2 is taken in two parts, of
 * which n times the first is exact.
 */
static inline float power(float x)
{
	union {
		int32_t i;
		float f;
	} scale;
	float n = (x * 1.44269504f + 12582912.0f) - 12582912.0f;
	float t = (x - n * 0.693145752f) - n * 1.42860677e-6f;
	int32_t exponent = (int32_t)n + 127;
	float e = 1 / 5040.0f;

	e = e * t + 1 / 720.0f;
	e = e * t + 1 / 120.0f;
	e = e * t + 1 / 24.0f;
	e = e * t + 1 / 6.0f;
	e = e * t + 1 / 2.0f;
	e = e * t + 1;
	e = e * t + 1;
	scale.i = (exponent > 0 ? exponent : 0) << 23;
	return e * scale.f;
}

/* out (BLOCK): exp(x - max) of len floats, and zeros. */
static void powers(const float *x, float max, size_t len, float *out)
{
	for (size_t i = 0; i < len; i++)
		out[i] = power(x[i] - max);
	if (len < BLOCK)
		memset(out + len, 0, (BLOCK - len) * sizeof(*out));
}

static double block_sum(const float *x)
{
	float lane[LANES] = {0};
	double sum = 0;

	for (size_t i = 0; i < BLOCK; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] += x[i + j];
	for (size_t j = 0; j < LANES; j++)
		sum += (double)lane[j];
	return sum;
}

static float largest(const float *x, size_t n)
{
	float lane[LANES];
	size_t i = 0;

	for (size_t j = 0; j < LANES; j++)
		lane[j] = x[0];
	for (; i + LANES <= n; i += LANES)
		for (size_t j = 0; j < LANES; j++)
			lane[j] = x[i + j] > lane[j] ? x[i + j] : lane[j];
	for (; i < n; i++)
		lane[0] = x[i] > lane[0] ? x[i] : lane[0];
	for (size_t j = 1; j < LANES; j++)
		lane[0] = lane[j] > lane[0] ? lane[j] : lane[0];
	return lane[0];
}

void softmax_of(const float *logits, size_t n, struct softmax *out)
{
	float e[BLOCK], max = largest(logits, n);

	memset(out, 0, sizeof(*out));
	out->max = max;
	while (out->top < n - 1 && logits[out->top] != max)
		out->top++;
	for (size_t i = 0; i < n; i += BLOCK) {
		powers(logits + i, max, n - i < BLOCK ? n - i : BLOCK, e);
		out->total += block_sum(e);
	}
}

double softmax_nll(const struct softmax *s, const float *logits, size_t token)
{
	return log(s->total) + (double)s->max - (double)logits[token];
}

double softmax_divergence(const struct softmax *p, const float *reference, const struct softmax *q,
	const float *logits, size_t n)
{
	double sum = 0;
	float e[BLOCK];

	/* ln(p / q) is the difference of the logits less that of the logarithms of both totals. */
	for (size_t i = 0; i < n; i += BLOCK) {
		size_t len = n - i < BLOCK ? n - i : BLOCK;

		powers(reference + i, p->max, len, e);
		for (size_t j = 0; j < len; j++)
			e[j] *= reference[i + j] - logits[i + j];
		sum += block_sum(e);
	}
	return sum / p->total + (log(q->total) + (double)q->max) -
	       (log(p->total) + (double)p->max);
}
