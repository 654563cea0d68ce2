/* SPDX-License-Identifier: MIT */
/* The planner's promises, and graphs from ops to a plan's results. */
#include "base/base.h"
#include "graph/graph.h"
#include "graph/planner.h"
#include "suite.h"

static uint32_t random_next(uint32_t *x)
{
	*x ^= *x << 13;
	*x ^= *x >> 17;
	*x ^= *x << 5;
	return *x;
}

/* No two blocks that live together overlap; the arena is what its highest block says and no less than is alive. */
static void placed_check(const struct weir_block *b, size_t n, size_t arena, size_t align)
{
	size_t end = 0;

	for (size_t i = 0; i < n; i++) {
		size_t alive = 0;

		ck_assert_uint_eq(b[i].offset % align, 0);
		end = WEIR_MAX(end, b[i].offset + b[i].size);
		for (size_t j = 0; j < n; j++) {
			if (b[j].first <= b[i].first && b[i].first <= b[j].last)
				alive += b[j].size;
			if (i == j || b[i].first > b[j].last || b[j].first > b[i].last)
				continue;
			ck_assert(b[i].offset + b[i].size <= b[j].offset ||
				  b[j].offset + b[j].size <= b[i].offset);
		}
		ck_assert_uint_ge(arena, alive);
	}
	ck_assert_uint_eq(arena, end);
}

START_TEST(planner_random)
{
	uint32_t x = 7;

	for (int round = 0; round < 200; round++) {
		struct weir_block b[40];
		size_t n = 1 + random_next(&x) % 40, arena;
		int err;

		for (size_t i = 0; i < n; i++) {
			b[i].size = 1 + random_next(&x) % 5000;
			b[i].first = (int)(random_next(&x) % 30);
			b[i].last = b[i].first + (int)(random_next(&x) % 8);
		}
		arena = weir_planner_place(b, n, NULL, 0, 64, 0, &err);
		ck_assert_int_eq(err, 0);
		placed_check(b, n, arena, 64);
	}
}
END_TEST

/* A chain needs two buffers at a time, whatever its length. */
START_TEST(planner_chain)
{
	struct weir_block b[50];
	int err;

	for (int i = 0; i < 50; i++)
		b[i] = (struct weir_block){.size = 128, .first = i, .last = i + 1};
	ck_assert_uint_eq(weir_planner_place(b, 50, NULL, 0, 64, 0, &err), 256);
}
END_TEST

/* Whether two blocks that live together keep apart, or one of the rules lets them lie as they do. */
static bool pair_good(const struct weir_block *b, const struct weir_overlap *o, size_t n, size_t i, size_t j)
{
	if (b[i].first > b[j].last || b[j].first > b[i].last || b[i].offset + b[i].size <= b[j].offset ||
		b[j].offset + b[j].size <= b[i].offset)
		return true;
	for (size_t r = 0; r < n; r++) {
		int64_t distance = (int64_t)b[o[r].above].offset - (int64_t)b[o[r].below].offset;

		if ((o[r].below != i || o[r].above != j) && (o[r].below != j || o[r].above != i))
			continue;
		if (o[r].same ? !distance : distance >= o[r].gap && (!o[r].step || distance % (int64_t)o[r].step == 0))
			return true;
	}
	return false;
}

/* With rules no arena is larger than its blocks' sum, every pair obeys, and the same blocks lie in the same places. */
START_TEST(planner_rules)
{
	size_t smaller = 0;
	uint32_t x = 11;

	for (int round = 0; round < 300; round++) {
		struct weir_block b[30], again[30];
		struct weir_overlap o[40];
		size_t n = 2 + random_next(&x) % 29, rules = random_next(&x) % 40, align = (size_t)1 << random_next(&x) % 8;
		size_t end = 0, sum = 0, arena, plain;
		int err;

		for (size_t i = 0; i < n; i++) {
			b[i].size = 1 + random_next(&x) % 3000;
			b[i].first = (int)(random_next(&x) % 10);
			b[i].last = b[i].first + (int)(random_next(&x) % 8);
		}
		for (size_t r = 0; r < rules; r++) {
			o[r] = (struct weir_overlap){.below = random_next(&x) % n, .above = random_next(&x) % n,
				.gap = (int64_t)(random_next(&x) % 4000) - 2000, .step = random_next(&x) % 50,
				.same = random_next(&x) % 4 == 0};
			if (o[r].below == o[r].above)
				o[r].above = (o[r].above + 1) % n;
		}
		memcpy(again, b, sizeof(b));
		plain = weir_planner_place(again, n, NULL, 0, align, 0, &err);
		memcpy(again, b, sizeof(b));
		arena = weir_planner_place(b, n, o, rules, align, 0, &err);
		ck_assert_int_eq(err, 0);
		for (size_t i = 0; i < n; i++) {
			ck_assert_uint_eq(b[i].offset % align, 0);
			end = WEIR_MAX(end, b[i].offset + b[i].size);
			sum += b[i].size;
			for (size_t j = 0; j < i; j++)
				ck_assert(pair_good(b, o, rules, i, j));
		}
		ck_assert_uint_eq(arena, end);
		ck_assert_uint_le(arena, sum);
		smaller += arena < plain;
		ck_assert_uint_eq(weir_planner_place(again, n, o, rules, align, 0, &err), arena);
		ck_assert_mem_eq(again, b, n * sizeof(*b));
	}
	ck_assert_uint_gt(smaller, 150);
}
END_TEST

/* A block over another by steps of 48 under an alignment of 32: by 96. And one in another's place. */
START_TEST(planner_rule_steps)
{
	struct weir_block b[3] = {{.size = 960, .last = 1}, {.size = 960, .first = 1, .last = 2}, {.size = 960, .first = 2, .last = 3}};
	const struct weir_overlap o[2] = {{.below = 1, .above = 0, .gap = 40, .step = 48}, {.below = 2, .above = 1, .same = true}};
	int err;

	ck_assert_uint_eq(weir_planner_place(b, 3, o, 2, 32, 0, &err), 960 + 96);
	ck_assert_int_eq(err, 0);
	ck_assert_uint_eq(b[0].offset, 96);
	ck_assert_uint_eq(b[1].offset, 0);
	ck_assert_uint_eq(b[2].offset, 0);
}
END_TEST

/* Gaps and steps far out of range, and blocks that are not there, allow nothing and break nothing. */
START_TEST(planner_rule_limits)
{
	struct weir_block b[2] = {{.size = 64, .last = 1}, {.size = 64, .last = 1}};
	const struct weir_overlap o[] = {{.below = 0, .above = 1, .gap = INT64_MIN, .step = SIZE_MAX}, {.below = 0, .above = 9},
		{.below = 1, .above = 1, .same = true}, {.below = 1, .above = 0, .gap = INT64_MAX},
		{.below = 0, .above = 1, .gap = 0, .step = ((size_t)1 << 62) + 1}};
	int err;

	ck_assert_uint_eq(weir_planner_place(b, 2, o, WEIR_ARRAY_SIZE(o), 64, 0, &err), 128);
	ck_assert_int_eq(err, 0);
}
END_TEST

/* Hundreds of tensors with rules are placed while nobody waits. */
START_TEST(planner_time)
{
	enum { N = 500 };
	static struct weir_block b[N];
	static struct weir_overlap o[N];
	uint32_t x = 5;
	double t;
	int err;

	for (size_t i = 0; i < N; i++) {
		b[i] = (struct weir_block){.size = 1 + random_next(&x) % 5000, .first = (int)(random_next(&x) % 300)};
		b[i].last = b[i].first + (int)(random_next(&x) % 10);
		o[i] = (struct weir_overlap){.below = i, .above = random_next(&x) % N, .gap = (int64_t)(random_next(&x) % 3000)};
	}
	t = weir_now();
	weir_planner_place(b, N, o, N, 64, 0, &err);
	t = weir_now() - t;
	ck_assert_int_eq(err, 0);
	/* 15 ms on a 2.5 GHz core; sanitizers and neighbours take their part. */
	ck_assert_double_lt(t, 1);
}
END_TEST

START_TEST(planner_overflow)
{
	struct weir_block b[2] = {{.size = SIZE_MAX - 10}, {.size = 64}};
	int err;

	weir_planner_place(b, 1, NULL, 0, 64, 0, &err);
	ck_assert_int_eq(err, -EOVERFLOW);
	b[0].size = SIZE_MAX / 2 + 1;
	b[1].size = SIZE_MAX / 2 + 1;
	weir_planner_place(b, 2, NULL, 0, 64, 0, &err);
	ck_assert_int_eq(err, -EOVERFLOW);
	ck_assert_uint_eq(weir_planner_place(b, 0, NULL, 0, 64, 0, &err), 0);
	ck_assert_int_eq(err, 0);
}
END_TEST

#define KERNELS                                                                                        \
	"kernel void scale(global const float *x, global float *y, float f, int n)\n"                 \
	"{ for (int i = 0; i < n; i++) y[i] = x[i] * f; }\n"                                           \
	"kernel void add(global float *y, global const float *a, global const float *b, int n)\n"      \
	"{ for (int i = 0; i < n; i++) y[i] += a[i] * b[i]; }\n"

static char kernel_dir[] = "/tmp/weir-graph-XXXXXX";

static weir_device *device_open(enum weir_provider provider)
{
	struct weir_device_settings set;
	weir_device *dev;

	weir_device_settings_default(&set);
	set.device = getenv("WEIR_TEST_DEVICE");
	set.provider = provider;
	ck_assert_msg(!weir_device_open(&dev, &set), "%s", weir_error());
	return dev;
}

static void scale(struct weir_graph *g, struct weir_tensor *x, struct weir_tensor *y, float f, int n)
{
	struct weir_op *op = weir_graph_op(g, "scale", "graph_test.cl", "", "scale", 1, 1);

	weir_op_read(op, x);
	weir_op_write(op, y);
	weir_op_float(op, f);
	weir_op_int(op, n);
	weir_op_cost(op, (uint64_t)n * 8, 0, 0);
}

/* x -> 2x -> 6x -> 24x, then y += 24x * x: planned tensors overlay, results are right, on copies too. */
static void graph_runs(enum weir_provider provider)
{
	enum { N = 1000 };
	weir_device *dev = device_open(provider);
	struct weir_buffer *buf;
	struct weir_graph *g;
	struct weir_plan *plan;
	struct weir_tensor *in, *t[3], *out;
	struct weir_op *op;
	float *at;
	void *ptr;

	ck_assert_int_eq(weir_buffer_create(dev, 4 * N, "in", &buf), 0);
	ck_assert_int_eq(weir_graph_create(dev, &g), 0);
	in = weir_graph_bind(g, "in", buf, 0, 4 * N);
	for (int i = 0; i < 3; i++)
		t[i] = weir_graph_tensor(g, "t", 4 * N);
	out = weir_graph_tensor(g, "out", 4 * N);
	weir_tensor_keep(out);
	scale(g, in, t[0], 2, N);
	scale(g, t[0], t[1], 3, N);
	scale(g, t[1], t[2], 4, N);
	op = weir_graph_op(g, "add", "graph_test.cl", "", "add", 1, 1);
	weir_op_update(op, out);
	weir_op_read(op, t[2]);
	weir_op_read(op, in);
	weir_op_int(op, N);
	ck_assert_msg(!weir_graph_plan(g, &plan), "%s", weir_error());
	ck_assert_uint_eq(weir_plan_count(plan), 4);
	ck_assert_uint_lt(weir_graph_arena(g), weir_graph_unshared(g));
	ck_assert_int_eq(weir_buffer_begin(buf, 0, 4 * N, WEIR_ACCESS_WRITE, &ptr), 0);
	at = ptr;
	for (int i = 0; i < N; i++)
		at[i] = (float)i;
	ck_assert_int_eq(weir_buffer_end(buf, ptr), 0);
	for (int run = 1; run <= 3; run++) {
		ck_assert_int_eq(weir_plan_run(plan, 1), 0);
		ck_assert_int_eq(weir_buffer_begin(weir_tensor_buffer(out), weir_tensor_offset(out), 4 * N,
				WEIR_ACCESS_READ, &ptr), 0);
		at = ptr;
		for (int i = 0; i < N; i++)
			ck_assert_float_eq(at[i], 24.0f * i * i * run);
		ck_assert_int_eq(weir_buffer_end(weir_tensor_buffer(out), ptr), 0);
	}
	weir_graph_destroy(g);
	weir_buffer_destroy(buf);
	weir_device_close(dev);
}

START_TEST(graph_host)
{
	graph_runs(WEIR_PROVIDER_HOST);
}
END_TEST

START_TEST(graph_shadow)
{
	graph_runs(WEIR_PROVIDER_SHADOW);
}
END_TEST

/* The first error stays, with its sentence, and nothing after it crashes. */
START_TEST(graph_errors)
{
	weir_device *dev = device_open(WEIR_PROVIDER_AUTO);
	struct weir_graph *g;
	struct weir_plan *plan;
	struct weir_tensor *a, *b;

	ck_assert_int_eq(weir_graph_create(dev, &g), 0);
	a = weir_graph_tensor(g, "a", 64);
	b = weir_graph_tensor(g, "b", 64);
	scale(g, a, b, 1, 16);
	ck_assert(!weir_graph_ok(g));
	scale(g, b, a, 1, 16);
	weir_op_local(weir_graph_op(g, "x", "none.cl", "", "x", 1, 1), 4);
	ck_assert_int_eq(weir_graph_plan(g, &plan), -EINVAL);
	ck_assert_str_eq(weir_error(), "the op scale reads the tensor a before anything writes it");
	weir_graph_destroy(g);

	ck_assert_int_eq(weir_graph_create(dev, &g), 0);
	weir_graph_tensor(g, "empty", 0);
	ck_assert_int_eq(weir_graph_plan(g, &plan), -EINVAL);
	weir_graph_destroy(g);

	ck_assert_int_eq(weir_graph_create(dev, &g), 0);
	b = weir_graph_tensor(g, "b", 64);
	weir_op_write(weir_graph_op(g, "x", "none.cl", "", "x", 1, 1), b);
	ck_assert_int_lt(weir_graph_plan(g, &plan), 0);
	ck_assert(strstr(weir_error(), "none.cl"));
	weir_graph_destroy(g);
	weir_device_close(dev);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("graph");
	TCase *t = tcase_create("graph");
	char path[64];
	FILE *f;
	int failed;

	if (!mkdtemp(kernel_dir))
		return 1;
	snprintf(path, sizeof(path), "%s/graph_test.cl", kernel_dir);
	f = fopen(path, "w");
	if (!f || fputs(KERNELS, f) < 0 || fclose(f))
		return 1;
	setenv("WEIR_KERNELS", kernel_dir, 1);
	tcase_set_timeout(t, 120);
	tcase_add_test(t, planner_random);
	tcase_add_test(t, planner_chain);
	tcase_add_test(t, planner_rules);
	tcase_add_test(t, planner_rule_steps);
	tcase_add_test(t, planner_rule_limits);
	tcase_add_test(t, planner_time);
	tcase_add_test(t, planner_overflow);
	tcase_add_test(t, graph_host);
	tcase_add_test(t, graph_shadow);
	tcase_add_test(t, graph_errors);
	suite_add_tcase(s, t);
	failed = suite_run(s);
	unlink(path);
	rmdir(kernel_dir);
	return failed;
}
