/* SPDX-License-Identifier: MIT */
/*
 * Every operator, and chains of them, against LiteRT's reference kernels: in all tiers, with and without the planner's
 * tricks.
 */
#include "base/base.h"
#include "golden.h"
#include "suite.h"
#include "vision/network.h"

/* A way of running all cases, or every step-th. */
struct way {
	const char *name, *tier, *schedule;
	enum weir_provider provider;
	bool no_tricks;
	uint64_t budget;
	enum weir_net_mode mode;
	unsigned step;
	const char *names; /* only cases whose names have this in them */
};

/* Halfway between the least and what the tricks need without a limit. */
#define BETWEEN 1

static const struct way ways[] = {
	{.name = "defaults"},
	{.name = "no tricks", .no_tricks = true},
	{.name = "streamed", .budget = WEIR_NET_LEAST},
	{.name = "streamed, no tricks", .budget = WEIR_NET_LEAST, .no_tricks = true},
	{.name = "half streamed", .budget = BETWEEN},
	{.name = "a launch a step", .mode = WEIR_NET_CHAIN},
	{.name = "one launch", .mode = WEIR_NET_WHOLE},
	{.name = "one launch, streamed", .mode = WEIR_NET_WHOLE, .budget = WEIR_NET_LEAST, .step = 3},
	{.name = "portable tier", .tier = "portable"},
	{.name = "portable tier, streamed", .tier = "portable", .budget = WEIR_NET_LEAST, .step = 3},
	{.name = "pmaddubsw tier", .tier = "pmaddubsw", .step = 2, .names = "int8"},
	{.name = "GPU schedule", .tier = "portable", .schedule = "gpu", .mode = WEIR_NET_CHAIN, .step = 5},
	{.name = "GPU schedule, streamed", .tier = "portable", .schedule = "gpu", .mode = WEIR_NET_CHAIN, .step = 7,
		.budget = WEIR_NET_LEAST},
	{.name = "two copies of buffers", .provider = WEIR_PROVIDER_SHADOW, .step = 4},
};

static struct golden_ops ops;
static unsigned streamed; /* networks of a way that had chains to stream */

/* NULL and a line when this machine does not have the way's tier. */
static weir_device *device_open(const struct way *way)
{
	struct weir_device_settings set;
	weir_device *dev;
	int err;

	weir_device_settings_default(&set);
	set.device = getenv("WEIR_TEST_DEVICE");
	set.provider = way->provider;
	set.tier = way->tier;
	set.schedule = way->schedule;
	err = weir_device_open(&dev, &set);
	if (err && way->tier && strcmp(way->tier, "portable")) {
		printf("skip %s: %s\n", way->name, weir_error());
		return NULL;
	}
	ck_assert_msg(!err, "%s: %s", way->name, weir_error());
	if (way->tier)
		ck_assert_str_eq(weir_device_tier(dev), way->tier);
	if (way->schedule)
		ck_assert_str_eq(weir_device_schedule(dev), way->schedule);
	return dev;
}

static uint64_t arena_of(weir_device *dev, const struct weir_tflite *file, struct weir_net_settings *set)
{
	struct weir_net_info info = {.activation_bytes = 0};
	weir_net *net;

	if (!weir_net_create(dev, file, set, &net))
		weir_net_info(net, &info);
	weir_net_destroy(net);
	return info.activation_bytes;
}

static struct weir_net_settings settings_for(weir_device *dev, const struct weir_tflite *file, const struct way *way)
{
	struct weir_net_settings set;
	uint64_t most, least;

	weir_net_settings_default(&set);
	set.mode = way->mode;
	set.memory_budget = way->budget;
	if (way->no_tricks)
		set.in_place = set.overlay = set.fold = false;
	if (way->budget != BETWEEN)
		return set;
	set.memory_budget = 0;
	most = arena_of(dev, file, &set);
	set.memory_budget = WEIR_NET_LEAST;
	least = arena_of(dev, file, &set);
	set.memory_budget = least + (most - least) / 2;
	return set;
}

/* One run, and what it gives. False and a line when it is wrong. */
static bool run_case(weir_net *net, const struct golden_case *c, unsigned run, const char *way)
{
	bool right = true;

	for (unsigned i = 0; i < c->inputs; i++)
		ck_assert_msg(!weir_net_input_write(net, i, golden_input(c, run, i), c->in_bytes[i]), "%s, %s: %s",
			way, c->name, weir_error());
	ck_assert_msg(!weir_net_run(net), "%s, %s: %s", way, c->name, weir_error());
	for (unsigned i = 0; i < c->outputs && right; i++) {
		uint8_t *got = malloc(c->out_bytes[i]);
		const char *differs;

		ck_assert_ptr_nonnull(got);
		ck_assert_msg(!weir_net_output_read(net, i, got, c->out_bytes[i]), "%s, %s: %s", way, c->name,
			weir_error());
		differs = golden_differs(c, run, i, got);
		if (differs)
			printf("%s: \"%s\", run %u, output %u: %s\n", way, c->name, run, i, differs);
		right = !differs;
		free(got);
	}
	return right;
}

/* All runs, and the first again: nothing may be left over from one in the next. */
static bool try_case(weir_device *dev, const struct golden_case *c, const struct way *way)
{
	struct weir_net_settings set;
	struct weir_tflite *file;
	bool right = false;
	weir_net *net;

	if (weir_tflite_parse(c->model, c->model_bytes, c->name, &file)) {
		printf("%s: %s\n", way->name, weir_error());
		return false;
	}
	set = settings_for(dev, file, way);
	if (weir_net_create(dev, file, &set, &net)) {
		printf("%s: %s\n", way->name, weir_error());
	} else if (weir_net_inputs(net) != c->inputs || weir_net_outputs(net) != c->outputs) {
		printf("%s: \"%s\" has %u inputs and %u outputs\n", way->name, c->name, weir_net_inputs(net),
			weir_net_outputs(net));
	} else {
		struct weir_net_info info;

		weir_net_info(net, &info);
		streamed += info.streamed > 0;
		right = true;
		for (unsigned run = 0; run <= c->runs && right; run++)
			right = run_case(net, c, run % c->runs, way->name);
	}
	weir_net_destroy(net);
	weir_tflite_close(file);
	return right;
}

START_TEST(all_cases)
{
	const struct way *way = &ways[_i];
	/* For a look at one failure: part of a case's name, and of a way's. */
	const char *only = getenv("WEIR_TEST_CASE"), *this_way = getenv("WEIR_TEST_WAY");
	unsigned step = only || !way->step ? 1 : way->step, tried = 0, wrong = 0;
	weir_device *dev;

	if (this_way && !strstr(way->name, this_way))
		return;
	dev = device_open(way);
	if (!dev)
		return;
	streamed = 0;
	for (unsigned i = 0; i < ops.n; i += step) {
		const char *name = ops.cases[i].name;

		if ((only && !strstr(name, only)) || (way->names && !strstr(name, way->names)))
			continue;
		tried++;
		wrong += !try_case(dev, &ops.cases[i], way);
	}
	weir_device_close(dev);
	ck_assert_uint_gt(tried, 0);
	if (!only)
		ck_assert_msg(way->budget ? streamed > 2 : !streamed, "%s: %u networks are streamed", way->name,
			streamed);
	ck_assert_msg(!wrong, "%s: %u of %u cases are wrong", way->name, wrong, tried);
}
END_TEST

/* The comparison itself: one wrong bit in an exact case, and a float just beyond the tolerance, are found. */
START_TEST(differences)
{
	unsigned exact = 0, tolerant = 0;

	for (unsigned i = 0; i < ops.n; i++) {
		struct golden_case *c = &ops.cases[i];
		uint8_t *got = malloc(c->out_bytes[0]);
		float f;

		ck_assert_ptr_nonnull(got);
		memcpy(got, golden_output(c, 0, 0), c->out_bytes[0]);
		ck_assert_ptr_null(golden_differs(c, 0, 0, got));
		if (c->tolerance == 0) {
			got[c->out_bytes[0] - 1] ^= 1;
			ck_assert_ptr_nonnull(golden_differs(c, 0, 0, got));
			exact++;
		} else {
			memcpy(&f, got, sizeof(f));
			f = f * 1.001f + 0.001f;
			memcpy(got, &f, sizeof(f));
			ck_assert_ptr_nonnull(golden_differs(c, 0, 0, got));
			tolerant++;
		}
		free(got);
	}
	ck_assert_uint_gt(exact, 800);
	ck_assert_uint_gt(tolerant, 10);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("vision ops");
	TCase *c = tcase_create("golden");
	const char *error = golden_ops_read(GOLDEN_OPS, &ops);
	int ret;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (error) {
		fprintf(stderr, "%s\n", error);
		return 1;
	}
	tcase_set_timeout(c, 600);
	tcase_add_test(c, differences);
	tcase_add_loop_test(c, all_cases, 0, (int)WEIR_ARRAY_SIZE(ways));
	suite_add_tcase(s, c);
	ret = suite_run(s);
	golden_ops_free(&ops);
	return ret;
}
