/* SPDX-License-Identifier: MIT */
/* weir bench: tokens per second of reading a prompt and of generating; networks are network_bench.c's. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

struct test {
	uint64_t prompt, gen, depth; /* prompt or gen is 0 */
	char name[64];
	double mean, deviation; /* tokens per second */
};

struct bench {
	const struct options *options;
	struct engine engine;
	struct test tests[2 * SIZES_MAX * SIZES_MAX];
	size_t n_tests;
	uint64_t longest; /* positions that the longest test fills */
	int32_t *tokens;  /* longest of them, drawn at random */
	float *logits;
};

static void bench_add(struct bench *b, uint64_t prompt, uint64_t gen, uint64_t depth)
{
	struct test *t = &b->tests[b->n_tests];

	if (!prompt && !gen)
		return;
	t->prompt = prompt;
	t->gen = gen;
	t->depth = depth;
	snprintf(t->name, sizeof(t->name), "%s%llu", prompt ? "pp" : "tg",
		(unsigned long long)(prompt + gen));
	if (depth)
		snprintf(t->name + strlen(t->name), sizeof(t->name) - strlen(t->name), " @ d%llu",
			(unsigned long long)depth);
	if (prompt + gen + depth > b->longest)
		b->longest = prompt + gen + depth;
	b->n_tests++;
}

static int bench_plan(struct bench *b)
{
	const struct options *o = b->options;
	const struct sizes standard_prompt = {1, {512}}, standard_gen = {1, {128}},
			   no_depth = {1, {0}};
	const struct sizes *prompts = o->prompts.count ? &o->prompts : &standard_prompt;
	const struct sizes *gens = o->gens.count ? &o->gens : &standard_gen;
	const struct sizes *depths = o->depths.count ? &o->depths : &no_depth;

	for (size_t d = 0; d < depths->count; d++) {
		for (size_t i = 0; i < prompts->count; i++)
			bench_add(b, prompts->at[i], 0, depths->at[d]);
		for (size_t i = 0; i < gens->count; i++)
			bench_add(b, 0, gens->at[i], depths->at[d]);
	}
	if (!b->n_tests)
		return usage("bench", "-p 0 and -n 0 leave nothing to measure");
	if (o->ctx && o->ctx < b->longest)
		return usage("bench",
			"--ctx %llu is too small: the longest test takes %llu positions",
			(unsigned long long)o->ctx, (unsigned long long)b->longest);
	return 0;
}

/* Random tokens: any will do, as the time does not depend on them. */
static int bench_draw(struct bench *b)
{
	uint64_t state = 0x9e3779b97f4a7c15;
	uint32_t vocabulary = (uint32_t)b->engine.info.vocabulary;

	b->tokens = malloc((size_t)b->longest * sizeof(*b->tokens));
	b->logits = malloc((size_t)vocabulary * sizeof(*b->logits));
	if (!b->tokens || !b->logits)
		return fail("out of memory for %llu tokens", (unsigned long long)b->longest);
	for (uint64_t i = 0; i < b->longest; i++) {
		/* xorshift64 (Marsaglia 2003) */
		state ^= state << 13;
		state ^= state >> 7;
		state ^= state << 17;
		b->tokens[i] = (int32_t)((state >> 32) % vocabulary);
	}
	return 0;
}

static int bench_feed(struct bench *b, const int32_t *tokens, uint64_t n)
{
	if (interrupted())
		return fail("stopped");
	return weir_session_feed(b->engine.session, tokens, (size_t)n, NULL, NULL) < 0 ? fail_weir()
										       : 0;
}

/* One run of a test, cut to gen generated tokens; seconds of its timed part. */
static int bench_once(struct bench *b, const struct test *t, uint64_t gen, double *seconds)
{
	double start;

	weir_session_reset(b->engine.session);
	if (t->depth && bench_feed(b, b->tokens, t->depth))
		return 1;
	start = now();
	if (t->prompt && bench_feed(b, b->tokens + t->depth, t->prompt))
		return 1;
	for (uint64_t i = 0; i < gen; i++) {
		if (bench_feed(b, b->tokens + t->depth + i, 1))
			return 1;
	}
	/* Nothing counts as computed before its result can be read. */
	if (weir_session_logits(b->engine.session, b->logits) < 0)
		return fail_weir();
	*seconds = now() - start;
	return 0;
}

static int bench_test(struct bench *b, struct test *t)
{
	const uint64_t n = b->options->repetitions ? b->options->repetitions : 5;
	/* A few tokens, or one whole prompt, build the kernels and touch the memory. */
	uint64_t warm_up = t->gen < 8 ? t->gen : 8;
	double seconds, speed, sum = 0, squares = 0;

	if (bench_once(b, t, warm_up, &seconds))
		return 1;
	weir_profile_reset(b->engine.device);
	for (uint64_t i = 0; i < n; i++) {
		progress(NULL, t->name, i, n);
		if (bench_once(b, t, t->gen, &seconds))
			return 1;
		speed = (double)(t->prompt + t->gen) / (seconds > 0 ? seconds : 1e-9);
		sum += speed;
		squares += speed * speed;
	}
	progress_end();
	t->mean = sum / (double)n;
	t->deviation = n > 1 ? sqrt(fmax(0, (squares - sum * t->mean) / (double)(n - 1))) : 0;
	return 0;
}

static void print_head(void)
{
	printf("| %-28s | %10s | %10s | %-32s | %7s | %14s | %18s |\n", "model", "size", "params",
		"device", "threads", "test", "t/s");
	printf("| ---------------------------- | ---------: | ---------: | "
	       "-------------------------------- | ------: | -------------: | -----------------: "
	       "|\n");
}

static int print_row(const struct engine *e, const struct test *t)
{
	char model[64], device[64], size[32], params[32];

	snprintf(model, sizeof(model), "%.*s %s", 21,
		*e->info.name ? e->info.name : e->info.architecture, e->info.type);
	snprintf(device, sizeof(device), "%.20s %s/%s", weir_device_name(e->device),
		weir_device_schedule(e->device), weir_device_tier(e->device));
	printf("| %-28s | %10s | %10s | %-32s | %7u | %14s | %9.2f ± %6.2f |\n", model,
		format_bytes(e->info.file_bytes, size, sizeof(size)),
		format_count(e->info.parameters, params, sizeof(params)), device,
		weir_device_threads(e->device), t->name, t->mean, t->deviation);
	return out_flush();
}

static int print_json(struct bench *b)
{
	struct json_object *object = json_object_new_object(), *list = json_object_new_array();

	json_put_model(object, &b->engine);
	json_put_text(object, "weir", weir_version());
	json_put_int(object, "repetitions", b->options->repetitions ? b->options->repetitions : 5);
	for (size_t i = 0; i < b->n_tests; i++) {
		const struct test *t = &b->tests[i];
		struct json_object *row = json_object_new_object();

		json_put_text(row, "test", t->name);
		json_put_int(row, "prompt", t->prompt);
		json_put_int(row, "generated", t->gen);
		json_put_int(row, "depth", t->depth);
		json_put_real(row, "tokens_per_second", t->mean);
		json_put_real(row, "deviation", t->deviation);
		json_object_array_add(list, row);
	}
	json_put(object, "tests", list);
	if (engine_profile(&b->engine, object)) {
		json_object_put(object);
		return 1;
	}
	return out_json(object);
}

static int bench_run(struct bench *b)
{
	const struct options *o = b->options;

	if (bench_plan(b))
		return EXIT_USAGE;
	if (engine_open(&b->engine, o) ||
		engine_session(&b->engine, b->longest > o->ctx ? b->longest : 0) || bench_draw(b))
		return 1;
	if (!o->json)
		print_head();
	for (size_t i = 0; i < b->n_tests; i++) {
		if (bench_test(b, &b->tests[i]))
			return 1;
		if (!o->json && print_row(&b->engine, &b->tests[i]))
			return 1;
	}
	return o->json ? print_json(b) : engine_profile(&b->engine, NULL);
}

static int bench_language(const struct options *o)
{
	struct bench *b = calloc(1, sizeof(*b));
	int status;

	if (!b)
		return fail("out of memory");
	b->options = o;
	status = bench_run(b);
	engine_close(&b->engine);
	free(b->tokens);
	free(b->logits);
	free(b);
	return status;
}

int cmd_bench(const struct options *o)
{
	if (network_named(o))
		return network_bench(o);
	if (o->memory_budget)
		return usage("bench", "--memory-budget is for networks in TFLite files");
	return bench_language(o);
}
