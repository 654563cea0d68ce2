/* SPDX-License-Identifier: MIT */
/* weir bench for networks: milliseconds a run. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tool.h"

struct times {
	struct engine engine;
	void **inputs; /* random bytes for each */
	double *ms;    /* of each run */
	size_t count, max;
	double median, min, mean;
};

/* A linear congruential generator with the constants of Numerical Recipes (Press et al., 7.1). */
static uint32_t draw(uint32_t *state)
{
	*state = *state * 1664525 + 1013904223;
	return *state;
}

/* Random bytes; for floats, random numbers in [0, 1). */
static void *draw_input(const struct weir_net_tensor *t, uint32_t *state)
{
	void *data = malloc(t->bytes);

	if (data && !strcmp(t->type, "float32")) {
		for (uint64_t i = 0; i < t->bytes / sizeof(float); i++)
			((float *)data)[i] = (float)(draw(state) >> 8) * 0x1p-24f;
	} else if (data) {
		for (uint64_t i = 0; i < t->bytes; i++)
			((unsigned char *)data)[i] = (unsigned char)(draw(state) >> 24);
	}
	return data;
}

static int times_draw(struct times *t)
{
	unsigned n = weir_net_inputs(t->engine.net);
	struct weir_net_tensor tensor;
	uint32_t state = 1;

	t->inputs = calloc(n ? n : 1, sizeof(*t->inputs));
	if (!t->inputs)
		return fail("out of memory for %u inputs", n);
	for (unsigned i = 0; i < n; i++) {
		if (weir_net_input(t->engine.net, i, &tensor) < 0)
			return fail_weir();
		t->inputs[i] = draw_input(&tensor, &state);
		if (!t->inputs[i])
			return fail("out of memory for an input of %llu bytes",
				(unsigned long long)tensor.bytes);
	}
	return 0;
}

static int times_run(struct times *t, double *seconds)
{
	double start;

	for (unsigned i = 0; i < weir_net_inputs(t->engine.net); i++) {
		struct weir_net_tensor tensor;

		if (weir_net_input(t->engine.net, i, &tensor) < 0 ||
			weir_net_input_write(t->engine.net, i, t->inputs[i], tensor.bytes) < 0)
			return fail_weir();
	}
	start = now();
	if (weir_net_run(t->engine.net) < 0)
		return fail_weir();
	*seconds = now() - start;
	return interrupted() ? fail("stopped") : 0;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int times_measure(struct times *t)
{
	const uint64_t asked = t->engine.options->repetitions;
	/* Building the plans, and finding out which way to run is faster, is over by then. */
	const unsigned warm_up = 10, least = 5;
	double seconds = 0, sum = 0;

	t->max = asked ? (size_t)asked : 100;
	t->ms = malloc(t->max * sizeof(*t->ms));
	if (!t->ms)
		return fail("out of memory for %zu times", t->max);
	for (unsigned i = 0; i < warm_up && sum < 3; i++, sum += seconds) {
		if (times_run(t, &seconds))
			return 1;
	}
	weir_profile_reset(t->engine.device);
	for (sum = 0; t->count < t->max && (asked || t->count < least || sum < 3); t->count++) {
		progress(NULL, "runs", t->count, t->max);
		if (times_run(t, &seconds))
			return 1;
		t->ms[t->count] = seconds * 1e3;
		sum += seconds;
	}
	progress_end();
	qsort(t->ms, t->count, sizeof(*t->ms), compare);
	t->min = t->ms[0];
	t->median = (t->ms[(t->count - 1) / 2] + t->ms[t->count / 2]) / 2;
	t->mean = sum * 1e3 / (double)t->count;
	return 0;
}

static const char *file_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

static int times_print(const struct times *t)
{
	char weights[32], memory[32], macs[32], device[64];
	struct weir_net_info info;

	weir_net_info(t->engine.net, &info);
	snprintf(device, sizeof(device), "%.20s %s/%s", weir_device_name(t->engine.device),
		weir_device_schedule(t->engine.device), weir_device_tier(t->engine.device));
	printf("| %-28s | %10s | %11s | %8s | %-32s | %7s | %9s | %8s | %10s | %6s |\n", "network",
		"weights", "activations", "MACs", "device", "threads", "ms median", "ms min",
		"pictures/s", "GMAC/s");
	printf("| ---------------------------- | ---------: | ----------: | -------: | "
	       "-------------------------------- | ------: | --------: | -------: | ---------: | "
	       "-----: |\n");
	printf("| %-28.28s | %10s | %11s | %8s | %-32s | %7u | %9.3f | %8.3f | %10.1f | %6.1f |\n",
		file_name(t->engine.path),
		format_bytes(info.weight_bytes, weights, sizeof(weights)),
		format_bytes(info.activation_bytes, memory, sizeof(memory)),
		format_count(info.macs, macs, sizeof(macs)), device,
		weir_device_threads(t->engine.device), t->median, t->min, 1e3 / t->median,
		(double)info.macs / t->median * 1e-6);
	return out_flush() || engine_profile((struct engine *)&t->engine, NULL);
}

static int times_json(struct times *t)
{
	struct json_object *object = json_object_new_object();
	struct weir_net_info info;

	weir_net_info(t->engine.net, &info);
	json_put_text(object, "file", t->engine.path);
	json_put_text(object, "weir", weir_version());
	json_put_network(object, &info);
	json_put_device(object, &t->engine);
	json_put(object, "one_launch", json_object_new_boolean(info.whole));
	json_put_int(object, "repetitions", t->count);
	json_put_real(object, "median_ms", t->median);
	json_put_real(object, "min_ms", t->min);
	json_put_real(object, "mean_ms", t->mean);
	json_put_real(object, "pictures_per_second", 1e3 / t->median);
	json_put_real(object, "gmacs_per_second", (double)info.macs / t->median * 1e-6);
	if (engine_profile(&t->engine, object)) {
		json_object_put(object);
		return 1;
	}
	return out_json(object);
}

int network_bench(const struct options *o)
{
	static const char *const others[] = {"n-prompt", "n-gen", "depth", "ctx", "batch", "kv"};
	const char *path = o->model ? o->model : getenv("WEIR_MODEL");
	struct times t = {0};
	int status;

	for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
		if (options_given(o, others[i]))
			return usage("bench",
				"--%s is for language models: %s is a network for pictures",
				others[i], path);
	}
	status = network_open(&t.engine, o, path) || times_draw(&t) || times_measure(&t);
	if (!status)
		status = o->json ? times_json(&t) : times_print(&t);
	for (unsigned i = 0; t.inputs && i < weir_net_inputs(t.engine.net); i++)
		free(t.inputs[i]);
	free(t.inputs);
	free(t.ms);
	engine_close(&t.engine);
	return status;
}
