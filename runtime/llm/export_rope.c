/* SPDX-License-Identifier: MIT */
/* How a model's positions are scaled, told by its frequencies: GGUF files and folders say it in different ways. */
#include <math.h>

#include "llm/export_parts.h"

/* Floats in files are this close to what was meant. */
#define CLOSE 1e-5

static bool close_to(double a, double b)
{
	return fabs(a - b) <= CLOSE * fabs(b);
}

/*
 * No scaling changes the ratio of the first two frequencies: linear scaling divides both, Llama 3's neither, since they
 * are its fastest pairs.
 */
void weir_export_rope_of(const struct weir_params *p, struct weir_export_rope *out)
{
	const uint32_t pairs = p->n_rot / 2;
	const double ratio = pairs > 1 ? p->freq[0] / p->freq[1] : 0;

	memset(out, 0, sizeof(*out));
	/* Bases are given as floats, or as whole numbers that fit one. */
	out->base = pairs > 1 ? (double)(float)pow(ratio, pairs) : 10000;
	out->even = true;
	out->factor = 1;
	for (uint32_t i = 0; i < pairs; i++) {
		out->pair[i] = pow(out->base, -2.0 * i / p->n_rot) / p->freq[i];
		out->even &= close_to(out->pair[i], out->pair[0]);
		out->factor = WEIR_MAX(out->factor, out->pair[i]);
	}
	if (out->even && close_to(out->factor, 1))
		out->factor = 1;
}

/*
 * Llama 3.1's scaling, as transformers computes it (modeling_rope_utils.py, llama3): pairs whose wave is longer than
 * the original context are slowed by the factor, those shorter than a quarter of it are not, and between the two
 * frequencies are mixed. 1 and 4 are what all of these models have.
 */
static double llama3_pair(double freq, double factor, double original)
{
	const double low = 1, high = 4, turns = original * freq / (2 * M_PI);
	double smooth;

	if (turns < low)
		return factor;
	if (turns > high)
		return 1;
	smooth = (turns - low) / (high - low);
	return 1 / ((1 - smooth) / factor + smooth);
}

bool weir_export_rope_llama3(const struct weir_export_rope *rope, uint32_t n_rot, uint32_t *original)
{
	static const uint32_t contexts[] = {8192, 4096, 2048, 16384, 32768};

	for (size_t c = 0; c < WEIR_ARRAY_SIZE(contexts); c++) {
		uint32_t i = 0;

		/* Factors come from files as floats, some from halves. */
		while (i < n_rot / 2 && fabs(rope->pair[i] / llama3_pair(pow(rope->base, -2.0 * i / n_rot), rope->factor,
							contexts[c]) - 1) < 1e-3)
			i++;
		if (i == n_rot / 2) {
			*original = contexts[c];
			return true;
		}
	}
	return false;
}
