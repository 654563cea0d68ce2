/* SPDX-License-Identifier: MIT */
/* Fused plans: names kept apart, the same results in every way of running, what cannot be fused, and which way is taken. */
#include <math.h>

#include "device/fuse.h"
#include "device/kernel_sources.h"
#include "device_suite.h"

/* Names of every kind that are the same in both programs of it, and mean something else. */
static const char step_cl[] =
	"#include \"launch.clh\"\n"
	"#define TWICE(x) \\\n\t((x) * FACTOR)\n"
	"struct pair { int a, b; };\n"
	"typedef struct { int v; } box;\n"
	"typedef int quad __attribute__((vector_size(16)));\n"
	"constant int table[2] = {OFFSET, 3};\n"
	"/* not a function (of this file): other( */\n"
	"static inline int twist(int x)\n"
	"{ struct pair p = {x, FACTOR}; box b = {p.a * p.b}; quad q = {OFFSET, 0, 0, 0}; return b.v + TWICE(1) + q[0]; }\n"
	"WEIR_KERNEL advance(WEIR_PART_ARGS global int *p, global const int *q, int n, float f)\n"
	"{ for (int i = WEIR_PART; i < n; i += WEIR_PARTS) p[i] = twist(p[i] % 1000) + q[i] + table[i & 1] + (int)f; }\n"
	"WEIR_KERNEL slow(WEIR_PART_ARGS global int *p, int n)\n"
	"{ float a = p[0]; for (int i = 0; i < n && !WEIR_PART; i++) a = a * 0.999f + 1.0f; if (!WEIR_PART) p[0] += a > 0; }\n";

enum { CELLS = 64, STEPS = 90 };

static void put_fused_kernels(void)
{
	static const char *const ours[] = {"fetch.clh", "launch.clh", "plan.cl", "plan.clh", "ticket.clh"};
	char name[64];

	put_text("k/step.cl", step_cl);
	put_text("k/odd.cl", "#include \"launch.clh\"\nWEIR_KERNEL odd(WEIR_PART_ARGS global int *p) { if (p[0]) { p[0] = 1; }\n");
	for (const struct weir_kernel_source *s = weir_kernel_sources; s->name; s++) {
		for (size_t i = 0; i < WEIR_ARRAY_SIZE(ours); i++) {
			if (strcmp(s->name, ours[i]) != 0)
				continue;
			snprintf(name, sizeof(name), "k/%s", s->name);
			put_file(name, s->text, s->size);
		}
	}
}

static weir_device *device_with(const char *plan, unsigned threads)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);

	s.device = "cpu";
	s.schedule = "cpu";
	s.plan = plan;
	s.threads = threads;
	return open_with(&s);
}

static const struct {
	int factor, offset;
	const char *options;
} forms[] = {{2, 5, "-DFACTOR=2 -DOFFSET=5"}, {3, 11, "-DFACTOR=3 -DOFFSET=11"}, {7, 1, "-DOFFSET=1 -DFACTOR=7"}};

static struct weir_launch step_launch(weir_device *dev, size_t form, struct weir_buffer *b, size_t to, size_t from)
{
	const size_t unit = CELLS * sizeof(int);
	struct weir_program *p;
	struct weir_launch l;

	ck_assert_int_eq(weir_program_find(dev, "step.cl", forms[form].options, &p), 0);
	l = launch(p, "advance", b, to * unit);
	l.args[0].size = unit;
	l.args[1] = (struct weir_arg){.kind = WEIR_ARG_BUFFER, .buffer = b, .offset = from * unit, .size = unit};
	l.args[2] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = CELLS};
	l.args[3] = (struct weir_arg){.kind = WEIR_ARG_FLOAT, .f = (float)form + 0.5f};
	l.n_args = 4;
	l.groups = 1 + (unsigned)(form * 37 + to) % 64;
	l.bytes = form * 100000; /* so that chunks are few and many */
	l.ahead = form == 1 ? 10 * unit : 0; /* more than there is: a fetch must be harmless */
	return l;
}

/* What the launches do, in plain C. */
static void step_reference(int *p, const int *q, size_t form)
{
	for (int i = 0; i < CELLS; i++)
		p[i] = p[i] % 1000 * forms[form].factor + forms[form].factor + forms[form].offset + q[i] +
		       (i & 1 ? 3 : forms[form].offset) + (int)form;
}

static void assert_cells(struct weir_buffer *b, int (*want)[CELLS])
{
	int *got = begin(b, 0, 4 * sizeof(*want), WEIR_ACCESS_READ);

	ck_assert_mem_eq(got, want, 4 * sizeof(*want));
	end(b, got);
}

static void run_steps(const char *way, unsigned threads)
{
	weir_device *dev = device_with(way, threads);
	struct weir_buffer *b = buffer(dev, 4 * CELLS * sizeof(int));
	struct weir_launch l[STEPS];
	static int want[4][CELLS];
	struct weir_plan *p;

	memset(want, 0, sizeof(want));
	for (size_t i = 0; i < STEPS; i++)
		l[i] = step_launch(dev, i % 3, b, i * 5 % 4, (i * 5 + 1) % 4);
	p = plan(dev, l, STEPS);
	ck_assert_int_eq(p->whole != NULL, strcmp(way, "plain") != 0);
	ck_assert_uint_eq(weir_plan_count(p), STEPS);
	for (int r = 0; r < 30; r++) {
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
		if (r % 3)
			ck_assert_int_eq(weir_device_wait(dev), 0);
		for (size_t i = 0; i < STEPS; i++)
			step_reference(want[i * 5 % 4], want[(i * 5 + 1) % 4], i % 3);
	}
	/* A part of it, as a chain. */
	ck_assert_int_eq(weir_plan_run_some(p, 7, 20, 1), 0);
	for (size_t i = 7; i < 27; i++)
		step_reference(want[i * 5 % 4], want[(i * 5 + 1) % 4], i % 3);
	ck_assert_int_eq(weir_plan_run_some(p, 7, STEPS, 1), -EINVAL);
	assert_cells(b, want);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}

START_TEST(fuse_same)
{
	static const char *const ways[] = {"plain", "chain", "whole", "auto"};

	for (unsigned threads = 1; threads <= 2; threads++)
		run_steps(ways[_i], threads);
}
END_TEST

/* Ops that say so run at once; the one behind them waits for both. */
START_TEST(fuse_beside)
{
	weir_device *dev = device_with("whole", 2);
	struct weir_buffer *b = buffer(dev, 4 * CELLS * sizeof(int));
	struct weir_launch l[3 * 30];
	static int want[4][CELLS];
	struct weir_plan *p;

	memset(want, 0, sizeof(want));
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(l); i += 3) {
		l[i] = step_launch(dev, 0, b, 0, 2);
		l[i + 1] = step_launch(dev, 1, b, 1, 3);
		l[i + 1].beside = true;
		l[i + 2] = step_launch(dev, 2, b, 2 + i % 2, i % 2);
	}
	p = plan(dev, l, WEIR_ARRAY_SIZE(l));
	for (int r = 0; r < 200; r++) {
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
		for (size_t i = 0; i < WEIR_ARRAY_SIZE(l); i += 3) {
			step_reference(want[0], want[2], 0);
			step_reference(want[1], want[3], 1);
			step_reference(want[2 + i % 2], want[i % 2], 2);
		}
	}
	assert_cells(b, want);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* Waits that last longer than anyone's patience: all but the one that works leave, and what they left is done all the same. */
START_TEST(fuse_patience)
{
	weir_device *dev = device_with("whole", 2);
	struct weir_buffer *b = buffer(dev, 4 * CELLS * sizeof(int));
	struct weir_launch l[40];
	struct weir_plan *p;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(l); i++) {
		l[i] = step_launch(dev, 0, b, 0, 1);
		l[i].kernel = "slow";
		l[i].args[1] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = i % 8 == 3 ? 4000000 : 10};
		l[i].n_args = 2;
	}
	p = plan(dev, l, WEIR_ARRAY_SIZE(l));
	ck_assert_ptr_nonnull(p->whole);
	for (int r = 0; r < 3; r++)
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(b, 0), 3 * (int)WEIR_ARRAY_SIZE(l));
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* Short plans stay as they are, unless a way is asked for. */
START_TEST(fuse_short)
{
	weir_device *dev = device_with(NULL, 2);
	struct weir_buffer *b = buffer(dev, 4 * CELLS * sizeof(int));
	struct weir_launch l = step_launch(dev, 0, b, 0, 1);
	struct weir_plan *p = plan(dev, &l, 1);

	ck_assert_ptr_null(p->whole);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* What cannot be fused runs as it did: kernels of another kind, local memory, too many buffers. */
START_TEST(fuse_not)
{
	weir_device *dev = device_with("whole", 2);
	struct weir_buffer *b = buffer(dev, 4096), *many[WEIR_LAUNCH_ARGS];
	struct weir_launch add = launch_add(program(dev, "main.cl", NULL), b, 0, 3);
	struct weir_launch l[WEIR_LAUNCH_ARGS];
	struct weir_plan *p = plan(dev, &add, 1);

	ck_assert_ptr_null(p->whole);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(b, 0), 3);
	weir_plan_destroy(p);
	for (size_t i = 0; i < WEIR_LAUNCH_ARGS; i++) {
		many[i] = buffer(dev, 4 * CELLS * sizeof(int));
		l[i] = step_launch(dev, 0, many[i], 0, 1);
	}
	p = plan(dev, l, WEIR_LAUNCH_ARGS);
	ck_assert_ptr_null(p->whole);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(many[WEIR_LAUNCH_ARGS - 1], 0), 2 + 5 + 5);
	weir_plan_destroy(p);
	for (size_t i = 0; i < WEIR_LAUNCH_ARGS; i++)
		weir_buffer_destroy(many[i]);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(fuse_refused)
{
	static const struct {
		struct weir_fuse_part part;
		int err;
		const char *says;
	} cases[] = {
		{{"main.cl", ""}, -EOPNOTSUPP, "kernels/main.cl is not written to be fused"},
		{{"odd.cl", ""}, -EINVAL, "kernels/odd.cl: its braces or parentheses do not match"},
		{{"step.cl", "-cl-fast-relaxed-math"}, -EOPNOTSUPP, "the option -cl-fast-relaxed-math cannot be one of a part"},
		{{"absent.cl", ""}, -ENOENT, "absent.cl"},
	};
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	weir_device *dev;
	char *text;
	size_t size;

	for (size_t i = 0; i < WEIR_ARRAY_SIZE(cases); i++) {
		ck_assert_int_eq(weir_fuse_text(&cases[i].part, 1, &text, &size), cases[i].err);
		ck_assert_msg(strstr(weir_error(), cases[i].says) != NULL, "%s", weir_error());
		ck_assert_ptr_null(text);
	}
	s.plan = "twisted";
	ck_assert_int_eq(weir_device_open(&dev, &s), -EINVAL);
	ck_assert_str_eq(weir_error(), "plan twisted: there is no such way (auto, plain, chain, whole)");
}
END_TEST

/* ---- which way -------------------------------------------------------------------- */

/* Runs whose ways take so long, with noise; how many were whole. */
static unsigned pace_runs(struct weir_pace *p, unsigned n, double chain, double whole)
{
	unsigned count = 0;
	static unsigned state = 1;

	for (unsigned i = 0; i < n; i++) {
		bool way = weir_pace_whole(p);

		state = state * 1664525 + 1013904223;
		weir_pace_count(p, way, (way ? whole : chain) * (1 + (state >> 16) % 100 * 0.001 + ((state >> 8) % 50 == 0)));
		count += way;
	}
	return count;
}

START_TEST(pace_learns)
{
	struct weir_pace p = {0};

	pace_runs(&p, 16, 2, 1);
	ck_assert(p.whole);
	ck_assert_uint_ge(pace_runs(&p, 1000, 2, 1), 950);
	/* Whole gets slow: that is seen soon, and it is tried the less often. */
	pace_runs(&p, 100, 2, 10);
	ck_assert(!p.whole);
	ck_assert_uint_le(pace_runs(&p, 2000, 2, 10), 40);
	/* And quick again: it is taken at the next try. */
	pace_runs(&p, 1200, 2, 1);
	ck_assert(p.whole);
	/* Both get slow at once, as under load: nothing to change. */
	pace_runs(&p, 500, 20, 10);
	ck_assert(p.whole);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("fuse");
	TCase *t = tcase_create("fuse");

	tcase_add_unchecked_fixture(t, put_fused_kernels, NULL);
	tcase_set_timeout(t, 120);
	tcase_add_loop_test(t, fuse_same, 0, 4);
	tcase_add_test(t, fuse_beside);
	tcase_add_test(t, fuse_patience);
	tcase_add_test(t, fuse_short);
	tcase_add_test(t, fuse_not);
	tcase_add_test(t, fuse_refused);
	tcase_add_test(t, pace_learns);
	suite_add_tcase(s, t);
	return s;
}

int main(void)
{
	return device_suite_run(make_suite());
}
