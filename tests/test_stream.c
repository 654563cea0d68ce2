/* SPDX-License-Identifier: MIT */
/*
 * Streaming: two-query attention against StreamingLLM's own way, slots and segments against their definition, and memory
 * and time that stay flat. WEIR_TEST_STREAM names another model, with F32 weights, for the comparison, and
 * WEIR_TEST_FLAT one for the long stream (minutes).
 */
#include <math.h>

#include "base/base.h"
#include "llm/session.h"
#include "models.h"
#include "reference.h"
#include "suite.h"

#define SINKS 4
#define WINDOW 252

/*
 * What every token of a step sees, by the segments and seen[], is what the definition says: the sinks, and the window's
 * newest positions up to its own; and each of these positions lies in the slot that it was written to.
 */
static void slots_check(uint32_t sinks, uint32_t window, uint32_t step, uint64_t total)
{
	struct weir_params p = {.n_rot = 2, .freq = {1}};
	struct weir_slots s;
	int32_t slot[64], seen[64];
	float rope[64 * 4];
	uint64_t *owner;
	uint32_t x = 1;

	weir_slots_init(&s, 0, sinks, window, step);
	owner = malloc(s.count * sizeof(*owner));
	ck_assert(owner && step <= 64);
	memset(owner, 0xff, s.count * sizeof(*owner));
	for (uint64_t at = 0; at < total;) {
		uint32_t n = 1 + (x = x * 1664525 + 1013904223) % 97 % step;
		struct weir_step st;

		weir_step_fill(&s, &p, at, n, &st, slot, seen, rope);
		for (uint32_t t = 0; t < n; t++) {
			ck_assert_int_lt(slot[t], (int)s.count);
			owner[slot[t]] = at + t;
		}
		for (uint32_t t = 0; t < n; t++) {
			uint64_t now = at + t, keys = 0;

			for (int i = 0; i < st.n_segments; i++) {
				const struct weir_segment *g = &st.segment[i];

				ck_assert_int_le(g->slot + g->count, (int)s.count);
				for (int k = 0; k < g->count; k++) {
					int64_t pos = (int64_t)at + g->pos + k;

					if (g->pos + k > (int)t || (!g->sink && g->pos + k < seen[t]))
						continue;
					keys++;
					ck_assert_int_eq((int64_t)owner[g->slot + k], pos);
					ck_assert(pos < sinks || (uint64_t)pos + window > now);
					ck_assert_int_eq(g->sink, pos < sinks);
				}
			}
			ck_assert_uint_eq(keys, WEIR_MIN(now + 1, (uint64_t)sinks + window));
		}
		at += n;
	}
	free(owner);
}

START_TEST(slots)
{
	slots_check(4, 252, 64, 3000);
	slots_check(0, 16, 16, 500);
	slots_check(1, 1, 1, 100);
	slots_check(5, 7, 33, 500);
	slots_check(40, 3, 64, 500);
}
END_TEST

/* A position of a billion has the angles that a wide computation gives, and relative positions that fit. */
START_TEST(far_positions)
{
	struct weir_params p = {.n_rot = 4, .freq = {1, 0.01}};
	struct weir_slots s;
	struct weir_step st;
	int32_t slot[2], seen[2];
	float rope[2 * 8];
	uint64_t at = 5000000000ull;

	weir_slots_init(&s, 0, 4, 252, 64);
	weir_step_fill(&s, &p, at, 2, &st, slot, seen, rope);
	for (int t = 0; t < 2; t++)
		for (int i = 0; i < 2; i++) {
			long double a = (long double)(at + t) * p.freq[i];

			ck_assert_float_eq_tol(rope[8 * t + 2 * i], (float)cosl(a), 1e-6f);
			ck_assert_float_eq_tol(rope[8 * t + 2 * i + 1], (float)sinl(a), 1e-6f);
			ck_assert_float_eq_tol(rope[8 * t + 4 + 2 * i], (float)cos(255 * p.freq[i]), 1e-6f);
		}
	ck_assert_int_eq(st.segment[0].sink, 1);
	ck_assert_int_lt(st.segment[0].pos, -1000);
	ck_assert_int_eq(seen[1], -250);
}
END_TEST

struct compare {
	struct weir_reference *r;
	const int32_t *tokens;
	double worst;	   /* |difference| of any logit */
	double worst_full; /* of tokens past the window alone */
	size_t base;
	uint32_t vocab;
};

static int compare_logits(void *user, size_t i, const float *logits)
{
	struct compare *c = user;
	const float *want = weir_reference_feed(c->r, c->tokens[c->base + i]);

	if (!want)
		return -EINVAL;
	for (uint32_t v = 0; v < c->vocab; v++) {
		double d = fabs((double)logits[v] - want[v]);

		c->worst = fmax(c->worst, d);
		if (c->base + i >= SINKS + WINDOW)
			c->worst_full = fmax(c->worst_full, d);
	}
	return 0;
}

/* text through both, past the window by n tokens, in steps of many tokens and of one. */
static void streams_as_reference(const char *path, const char *text_path, size_t n, double limit)
{
	weir_device *dev = model_device(NULL, NULL, 2, WEIR_PROVIDER_AUTO);
	weir_model *m = model_open(dev, path);
	weir_session *s = model_session(m, WEIR_KV_F32, 0, SINKS, WINDOW, 48);
	int32_t *tokens = calloc(1 << 20, sizeof(*tokens));
	struct weir_model_info info;
	struct compare c = {.tokens = tokens};
	char *text;
	size_t size;

	ck_assert(tokens);
	weir_model_describe(m, &info);
	c.vocab = (uint32_t)info.vocabulary;
	ck_assert_int_eq(weir_file_read(text_path, 1 << 24, &text, &size), 0);
	n += SINKS + WINDOW;
	ck_assert_int_ge(weir_tokenize(weir_model_tokenizer(m), text, WEIR_MIN(size, 16 * n), WEIR_TOKENIZE_BOS,
				 tokens, 1 << 20),
		(int64_t)n);
	ck_assert_msg(!weir_reference_open(&c.r, path, 0, SINKS, WINDOW), "%s", weir_error());
	/* Most in steps of 48, every fourth stretch one by one. */
	for (int part = 0; c.base < n; part++) {
		size_t now = WEIR_MIN(n - c.base, 100), each = part % 4 == 3 ? 1 : now;

		for (size_t i = 0; i < now; i += each) {
			ck_assert_msg(!weir_session_feed_each(s, tokens + c.base, each, compare_logits, &c), "%s",
				weir_error());
			c.base += each;
		}
	}
	printf("streaming %s: %zu tokens, largest difference of a logit %.2g, past the window %.2g\n",
		strrchr(path, '/') + 1, n, c.worst, c.worst_full);
	ck_assert_double_gt(c.worst_full, 0);
	ck_assert_double_le(c.worst, limit);
	weir_reference_close(c.r);
	free(text);
	free(tokens);
	weir_session_destroy(s);
	weir_model_close(m);
	weir_device_close(dev);
}

START_TEST(as_streaming_llm)
{
	const char *model = suite_data("llm/stories260K-f32.gguf", "streaming against the reference");
	const char *text = suite_data("text/moby-dick.txt", "streaming against the reference");
	const char *other = getenv("WEIR_TEST_STREAM");

	if (!model || !text)
		return;
	streams_as_reference(model, text, 2000, 1e-4);
	if (other)
		streams_as_reference(other, text, 2000, 1e-4);
}
END_TEST

static long resident(void)
{
	long pages = 0;
	FILE *f = fopen("/proc/self/statm", "r");

	ck_assert(f && fscanf(f, "%*d %ld", &pages) == 1);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

/* From token 10,000 to 50,000 neither memory nor the time a token grows. */
static void stays_flat(const char *path)
{
	weir_device *dev = model_device(NULL, NULL, 2, WEIR_PROVIDER_AUTO);
	weir_model *m = model_open(dev, path);
	weir_session *s = model_session(m, WEIR_KV_F16, 0, SINKS, WINDOW, 0);
	double first = 0, last = 0;
	long memory = 0;

	for (int part = 0; part < 50; part++) {
		double best = INFINITY;

		/* The fastest hundred of a thousand: neighbours come and go. */
		for (int round = 0; round < 10; round++) {
			double start = weir_now();

			for (int i = 0; i < 100; i++) {
				int32_t token = (part * 1000 + round * 100 + i) * 31 % 512;

				ck_assert_int_eq(weir_session_feed(s, &token, 1, NULL, NULL), 0);
			}
			best = fmin(best, weir_now() - start);
		}
		if (part == 10) {
			memory = resident();
			first = best;
		}
		last = best;
	}
	ck_assert_uint_eq(weir_session_position(s), 50000);
	printf("stream of 50,000, %s: %ld KiB at 10,000 and %ld KiB at 50,000; %.0f and %.0f us a token\n",
		strrchr(path, '/') + 1, memory, resident(), first * 1e4, last * 1e4);
	ck_assert_int_le(resident(), memory + 256);
	ck_assert_double_le(last, 1.5 * first);
	weir_session_destroy(s);
	weir_model_close(m);
	weir_device_close(dev);
}

START_TEST(flat)
{
	const char *path = suite_data("llm/stories260K-f32.gguf", "a long stream");
	const char *other = getenv("WEIR_TEST_FLAT");

	if (path)
		stays_flat(path);
	if (other)
		stays_flat(other);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("stream");
	TCase *t = tcase_create("stream");

	tcase_set_timeout(t, 1800);
	tcase_add_test(t, slots);
	tcase_add_test(t, far_positions);
	tcase_add_test(t, as_streaming_llm);
	tcase_add_test(t, flat);
	suite_add_tcase(s, t);
	return suite_run(s);
}
