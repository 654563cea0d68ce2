/* SPDX-License-Identifier: MIT */
/* Sampling against a plain sort of everything, and its settings' checks. */
#include <math.h>

#include "base/base.h"
#include "llm/sampler.h"
#include "suite.h"

enum { VOCAB = 500 };

static struct weir_sampler sampler;
static float logits[VOCAB];

static void set_up(void)
{
	uint32_t x = 3;

	ck_assert_int_eq(weir_sampler_init(&sampler, VOCAB), 0);
	for (int i = 0; i < VOCAB; i++) {
		x = x * 1664525 + 1013904223;
		logits[i] = (float)(x >> 8) / (1 << 24) * 10;
	}
	logits[17] = logits[30]; /* equals */
}

static void tear_down(void)
{
	weir_sampler_free(&sampler);
}

static void settings(float temperature, int k, float p, float min_p, uint64_t seed)
{
	struct weir_sampling set;

	weir_sampling_default(&set);
	set.temperature = temperature;
	set.top_k = k;
	set.top_p = p;
	set.min_p = min_p;
	set.seed = seed;
	ck_assert_msg(!weir_sampler_set(&sampler, &set), "%s", weir_error());
}

static int by_logit(const void *a, const void *b)
{
	int x = *(const int *)a, y = *(const int *)b;

	return logits[x] > logits[y] ? -1 : logits[x] < logits[y] ? 1 : x - y;
}

/* Probabilities as the definitions say them, from a full sort. */
static void expected(float temperature, int k, float p, float min_p, double *out)
{
	int order[VOCAB], n = k && k < VOCAB ? k : VOCAB, m;
	double sum = 0, kept = 0;

	for (int i = 0; i < VOCAB; i++)
		order[i] = i;
	qsort(order, VOCAB, sizeof(*order), by_logit);
	memset(out, 0, VOCAB * sizeof(*out));
	for (int i = 0; i < n; i++)
		sum += exp(logits[order[i]] - logits[order[0]]);
	for (m = 0; m < n; m++) {
		double e = exp(logits[order[m]] - logits[order[0]]);

		if (m && (kept / sum >= p || e < min_p))
			break;
		kept += e;
	}
	sum = 0;
	for (int i = 0; i < m; i++)
		sum += out[order[i]] = exp((logits[order[i]] - logits[order[0]]) / temperature);
	for (int i = 0; i < VOCAB; i++)
		out[i] /= sum;
}

static void distribution(float temperature, int k, float p, float min_p)
{
	enum { DRAWS = 40000 };
	static int count[VOCAB];
	double want[VOCAB];

	settings(temperature, k, p, min_p, 5);
	expected(temperature, k, p, min_p, want);
	memset(count, 0, sizeof(count));
	for (int i = 0; i < DRAWS; i++)
		count[weir_sampler_draw(&sampler, logits, NULL, 0)]++;
	for (int i = 0; i < VOCAB; i++) {
		double sigma = sqrt(want[i] * (1 - want[i]) / DRAWS);

		if (want[i] == 0)
			ck_assert_int_eq(count[i], 0);
		ck_assert_double_le(fabs((double)count[i] / DRAWS - want[i]), 5 * sigma + 1e-9);
	}
}

START_TEST(distributions)
{
	distribution(1, 0, 1, 0);
	distribution(0.7f, 40, 1, 0);
	distribution(1.5f, 0, 0.8f, 0);
	distribution(1, 0, 1, 0.2f);
	distribution(0.8f, 40, 0.95f, 0.05f);
	distribution(1, 1, 1, 0);
	distribution(1, 100000, 0.5f, 0.3f);
}
END_TEST

START_TEST(greedy)
{
	settings(0, 40, 0.9f, 0, 1);
	logits[77] = 100;
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, NULL, 0), 77);
	logits[3] = NAN;
	logits[0] = NAN;
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, NULL, 0), 77);
	settings(1, 5, 0.9f, 0, 1);
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, NULL, 0), 77);
}
END_TEST

/* Logits that are all the same extreme, or none a number, give some token and no crash. */
START_TEST(degenerate)
{
	const float values[] = {NAN, INFINITY, -INFINITY, 0, 3e38f, -3e38f};

	for (size_t v = 0; v < WEIR_ARRAY_SIZE(values); v++) {
		for (int i = 0; i < VOCAB; i++)
			logits[i] = values[v];
		for (int t = 0; t < 2; t++) {
			settings((float)t, 40 * t, 0.9f, 0.1f, 1);
			int32_t token = weir_sampler_draw(&sampler, logits, NULL, 0);

			ck_assert(token >= 0 && token < VOCAB);
		}
	}
}
END_TEST

START_TEST(seeds)
{
	int32_t a[20], same = 0;

	settings(1, 0, 1, 0, 42);
	for (int i = 0; i < 20; i++)
		a[i] = weir_sampler_draw(&sampler, logits, NULL, 0);
	settings(1, 0, 1, 0, 42);
	for (int i = 0; i < 20; i++)
		ck_assert_int_eq(weir_sampler_draw(&sampler, logits, NULL, 0), a[i]);
	settings(1, 0, 1, 0, 43);
	for (int i = 0; i < 20; i++)
		same += weir_sampler_draw(&sampler, logits, NULL, 0) == a[i];
	ck_assert_int_lt(same, 10);
}
END_TEST

START_TEST(penalty)
{
	int32_t past[3] = {9, 9, 8};
	struct weir_sampling set;

	weir_sampling_default(&set);
	set.temperature = 0;
	set.repeat_penalty = 2;
	ck_assert_int_eq(weir_sampler_set(&sampler, &set), 0);
	memset(logits, 0, sizeof(logits));
	logits[9] = 10; /* 5 once penalised, however often it occurred */
	logits[8] = 7;	/* 3.5 */
	logits[7] = 4;
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, past, 3), 9);
	logits[7] = 6;
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, past, 3), 7);
	set.repeat_last = 0;
	ck_assert_int_eq(weir_sampler_set(&sampler, &set), 0);
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, past, 3), 9);
	/* A negative logit moves away from zero. */
	set.repeat_last = 64;
	ck_assert_int_eq(weir_sampler_set(&sampler, &set), 0);
	for (int i = 0; i < VOCAB; i++)
		logits[i] = -5;
	logits[9] = -3;
	logits[20] = -4;
	ck_assert_int_eq(weir_sampler_draw(&sampler, logits, past, 3), 20);
}
END_TEST

START_TEST(bad_settings)
{
	static const struct weir_sampling bad[] = {
		{.temperature = -1}, {.temperature = NAN}, {.top_k = -1}, {.top_p = 1.5f}, {.min_p = 2},
		{.repeat_penalty = -1}, {.repeat_last = 1 << 20},
	};

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(bad); i++) {
		struct weir_sampling set = bad[i];

		set.size = sizeof(set);
		if (!set.top_p)
			set.top_p = 1;
		if (!set.repeat_penalty)
			set.repeat_penalty = 1;
		ck_assert_int_eq(weir_sampler_set(&sampler, &set), -EINVAL);
	}
}
END_TEST

int main(void)
{
	Suite *s = suite_create("sampler");
	TCase *t = tcase_create("sampler");

	tcase_add_checked_fixture(t, set_up, tear_down);
	tcase_set_timeout(t, 60);
	tcase_add_test(t, distributions);
	tcase_add_test(t, greedy);
	tcase_add_test(t, degenerate);
	tcase_add_test(t, seeds);
	tcase_add_test(t, penalty);
	tcase_add_test(t, bad_settings);
	suite_add_tcase(s, t);
	return suite_run(s);
}
