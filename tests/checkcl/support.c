/* SPDX-License-Identifier: MIT */
/* What the rows of checkcl share: random numbers, comparing, timing, plans, the step block. */
#include "checkcl.h"

#include <math.h>

#include "base/base.h"

#define TIME_SAMPLES 15
#define TIME_SAMPLE_SECONDS 0.02

/* splitmix64 (Steele, Lea and Flood 2014) */
uint32_t checkcl_random(struct checkcl *c)
{
	uint64_t z = c->seed += 0x9e3779b97f4a7c15u;

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
	z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
	return (uint32_t)((z ^ (z >> 31)) >> 32);
}

float checkcl_uniform(struct checkcl *c, float lo, float hi)
{
	return lo + (hi - lo) * (float)(checkcl_random(c) >> 8) * (1.0f / 16777216.0f);
}

void checkcl_fail(struct checkcl *c, const char *params, const char *what)
{
	c->checks++;
	c->failures++;
	printf("FAIL %s: %s\n", params, what);
}

static bool within(float got, float want, float bound)
{
	return isfinite(got) && isfinite(want) && fabsf(got - want) <= bound;
}

/* Counts a check of n values; each one's bound is its own, or without any abs + rel * |want|. */
static void compare(struct checkcl *c, const char *params, const float *got, const float *want,
	size_t n, const float *bound, float abs, float rel)
{
	size_t wrong = 0, first = 0;

	for (size_t i = 0; i < n; i++) {
		float b = bound ? bound[i] : abs + rel * fabsf(want[i]);

		if (within(got[i], want[i], b))
			continue;
		if (!wrong++)
			first = i;
	}
	c->checks++;
	if (!wrong)
		return;
	c->failures++;
	printf("FAIL %s: %zu of %zu wrong, the first at %zu: %.9g instead of %.9g, allowed %.3g\n",
		params, wrong, n, first, (double)got[first], (double)want[first],
		(double)(bound ? bound[first] : abs + rel * fabsf(want[first])));
}

void checkcl_compare(struct checkcl *c, const char *params, const float *got, const float *want,
	size_t n, float abs, float rel)
{
	compare(c, params, got, want, n, NULL, abs, rel);
}

void checkcl_compare_bounds(struct checkcl *c, const char *params, const float *got,
	const float *want, const float *bound, size_t n)
{
	compare(c, params, got, want, n, bound, 0, 0);
}

struct weir_plan *checkcl_plan(struct checkcl *c, const char *params, struct weir_graph *g)
{
	struct weir_plan *plan;

	if (!weir_graph_plan(g, &plan))
		return plan;
	checkcl_fail(c, params, weir_error());
	return NULL;
}

bool checkcl_run(struct checkcl *c, const char *params, struct weir_plan *plan, unsigned tokens)
{
	if (!weir_plan_run(plan, tokens) && !weir_device_wait(c->dev))
		return true;
	checkcl_fail(c, params, weir_error());
	return false;
}

/* Seconds of count runs; negative when one failed. */
static double time_runs(struct checkcl *c, struct weir_plan *plan, unsigned tokens, unsigned count)
{
	double start = weir_now();

	for (unsigned i = 0; i < count; i++) {
		if (weir_plan_run(plan, tokens))
			return -1;
	}
	return weir_device_wait(c->dev) ? -1 : weir_now() - start;
}

/* The best of some samples: other programs only ever make a run slower. */
void checkcl_time(struct checkcl *c, const char *params, struct weir_plan *plan, unsigned tokens,
	double bytes, double ops)
{
	double best, once;
	unsigned count;

	if (!c->bench)
		return;
	time_runs(c, plan, tokens, 1);
	best = once = time_runs(c, plan, tokens, 1);
	count = once > 0 && once < TIME_SAMPLE_SECONDS ? (unsigned)(TIME_SAMPLE_SECONDS / once) + 1
						       : 1;
	for (unsigned i = 0; i < TIME_SAMPLES && best > 0; i++) {
		double t = time_runs(c, plan, tokens, count);

		best = t < 0 ? t : WEIR_MIN(best, t / count);
	}
	if (best <= 0) {
		checkcl_fail(c, params, weir_error());
		return;
	}
	printf("%-44s %10.1f us %8.1f GB/s %8.1f GOPS\n", params, best * 1e6, bytes / best * 1e-9,
		ops / best * 1e-9);
}

/* The harness itself cannot go on without memory that it can reach. */
static void die(const char *what)
{
	fprintf(stderr, "checkcl: %s: %s\n", what, weir_error());
	exit(1);
}

void checkcl_put(struct weir_tensor *t, const void *data, size_t size)
{
	struct weir_buffer *buf = weir_tensor_buffer(t);
	void *p;

	if (weir_buffer_begin(buf, weir_tensor_offset(t), size, WEIR_ACCESS_WRITE, &p))
		die("cannot write a tensor");
	memcpy(p, data, size);
	if (weir_buffer_end(buf, p))
		die("cannot write a tensor");
}

void checkcl_get(struct weir_tensor *t, void *data, size_t size)
{
	struct weir_buffer *buf = weir_tensor_buffer(t);
	void *p;

	if (weir_buffer_begin(buf, weir_tensor_offset(t), size, WEIR_ACCESS_READ, &p))
		die("cannot read a tensor");
	memcpy(data, p, size);
	if (weir_buffer_end(buf, p))
		die("cannot read a tensor");
}

void checkcl_step_make(struct checkcl *c, struct weir_graph *g, unsigned width, unsigned n_rot,
	struct checkcl_step *out)
{
	static const char *const name[] = {"step", "token", "slot", "seen", "rope"};
	const size_t size[] = {sizeof(struct weir_step), width * sizeof(int), width * sizeof(int),
		width * sizeof(int),
		WEIR_MAX((size_t)width * 2 * n_rot * sizeof(float), sizeof(float))};
	struct weir_tensor **const tensor[] = {
		&out->t.step, &out->t.token, &out->t.slot, &out->t.seen, &out->t.rope};
	size_t align = weir_device_props(c->dev)->align, at = 0;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(size); i++)
		at = weir_align_up(at + size[i], align);
	if (weir_buffer_create(c->dev, at, "checkcl step", &out->buffer))
		die("cannot make the step block");
	at = 0;
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(size); i++) {
		*tensor[i] = weir_graph_bind(g, name[i], out->buffer, at, size[i]);
		at = weir_align_up(at + size[i], align);
	}
	out->t.width = width;
}

void checkcl_step_done(struct checkcl_step *s)
{
	weir_buffer_destroy(s->buffer);
	s->buffer = NULL;
}
