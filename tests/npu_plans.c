/* SPDX-License-Identifier: MIT */
/* Plans on the NPU: order, arguments, threads, the profile, and that a step costs no ioctl. */
#include <math.h>

#include "npu_device.h"

/* ---- plans --------------------------------------------------------------- */

/* Adding and doubling in turn: only this order gives this number. */
START_TEST(order)
{
	weir_device *dev = open_npu(_i ? WEIR_PROVIDER_SHADOW : WEIR_PROVIDER_WEIR);
	struct weir_buffer *b = buffer(dev, 4096);
	struct weir_launch l[50];
	struct weir_plan *p;
	uint32_t want = 1;

	for (int i = 0; i < 50; i++)
		l[i] = launch_add(program(dev, "main.cl", i & 1 ? "-DSCALE=p[0]" : NULL), b, 0,
			i & 1 ? 1 : i);
	p = plan(dev, l, 50);
	set_int(b, 0, 1);
	for (int r = 0; r < 3; r++) {
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
		for (uint32_t i = 0; i < 50; i++)
			want = i & 1 ? want + want : want + i;
	}
	ck_assert_int_eq(get_int(b, 0), (int)want);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* Plans larger than the ring, and more runs than are remembered, without a wait between. */
START_TEST(long_plans)
{
	enum { COUNT = NPU_RING_PACKETS + 77 };
	struct weir_device_settings s = npu_settings(WEIR_PROVIDER_AUTO);
	struct weir_launch *l = calloc(COUNT, sizeof(*l));
	struct weir_buffer *b;
	struct weir_plan *p, *one;
	weir_device *dev;

	s.profile = _i == 1;
	dev = open_with(&s);
	b = buffer(dev, 64);
	for (int i = 0; i < COUNT; i++)
		l[i] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	p = plan(dev, l, COUNT);
	one = plan(dev, l, 1);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	for (int i = 0; i < 3 * NPU_RUNS + 5; i++)
		ck_assert_int_eq(weir_plan_run(one, 1), 0);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(b, 0), 2 * COUNT + 3 * NPU_RUNS + 5);
	weir_plan_destroy(p);
	weir_plan_destroy(one);
	weir_buffer_destroy(b);
	weir_device_close(dev);
	free(l);
}
END_TEST

START_TEST(arguments)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	const float x = 1.0f + 0x1p-23f, a = 1.0f + 3 * 0x1p-23f, c = -1.0f;
	struct weir_buffer *b = buffer(dev, 256);
	struct weir_launch l = launch(program(dev, "main.cl", NULL), "mul_add", b, 0);
	volatile float product = x * a;
	float *p;
	int *q;

	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_FLOAT, .f = a};
	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_LOCAL, .size = 64};
	p = begin(b, 0, 64, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE);
	p[0] = x;
	p[2] = c;
	end(b, p);
	run(dev, &l, 1);
	p = begin(b, 0, 64, WEIR_ACCESS_READ);
	ck_assert(p[1] == product + c);
	ck_assert(p[3] == fmaf(x, a, c));
	ck_assert(p[4] == x / a);
	end(b, p);
	l = launch(program(dev, "main.cl", NULL), "items", b, 0);
	l.groups = 3;
	l.local = 8;
	run(dev, &l, 1);
	q = begin(b, 0, 256, WEIR_ACCESS_READ);
	for (int i = 0; i < 24; i++)
		ck_assert_int_eq(q[i], 8);
	end(b, q);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

START_TEST(refused)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_program *prog = program(dev, "main.cl", NULL);
	struct weir_buffer *b = buffer(dev, 256);
	struct weir_launch good = launch_add(prog, b, 0, 1), l = good;
	struct weir_plan *p;

	l.n_args = 1;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL,
		"takes 2 arguments, the launch add gives 1");
	l = good;
	l.local = 2;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "work-groups of 1 x 1 x 1");
	l = good;
	l.kernel = "absent";
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "no kernel absent");
	l = launch(prog, "items", b, 0);
	l.local = 1u << 30;
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "takes work-groups of");
	l = launch(prog, "mul_add", b, 0);
	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_FLOAT, .f = 1};
	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_LOCAL, .size = (size_t)1 << 40};
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "bytes of local memory");
	run(dev, &good, 1);
	ck_assert_int_eq(get_int(b, 0), 1);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

struct session {
	weir_device *dev;
	int number, result;
};

static void *session_main(void *arg)
{
	struct session *s = arg;
	struct weir_program *prog;
	struct weir_buffer *b;
	struct weir_launch l;
	struct weir_plan *p;
	char options[32];
	int *ptr;

	s->result = -1;
	snprintf(options, sizeof(options), "-DSCALE=%d", s->number);
	if (weir_buffer_create(s->dev, 4096, "session", &b) < 0 ||
		weir_program_get(s->dev, "main.cl", options, &prog) < 0)
		return NULL;
	l = launch_add(prog, b, 1024, 1);
	if (weir_plan_create(s->dev, &l, 1, &p) < 0)
		return NULL;
	for (int i = 0; i < 50; i++) {
		if (weir_plan_run(p, 1) < 0 ||
			weir_buffer_begin(b, 1024, 4, WEIR_ACCESS_READ | WEIR_ACCESS_WRITE,
				(void **)&ptr) < 0)
			return NULL;
		*ptr += 1;
		s->result = *ptr;
		if (weir_buffer_end(b, ptr) < 0)
			return NULL;
	}
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	return NULL;
}

/* Threads with a program of their own each: building of one goes on beside the runs of others. */
static void run_sessions(weir_device *const *devs, unsigned n_devs)
{
	struct session s[4];
	pthread_t t[4];

	for (int i = 0; i < 4; i++) {
		s[i] = (struct session){.dev = devs[(unsigned)i % n_devs], .number = i + 1};
		ck_assert_int_eq(pthread_create(&t[i], NULL, session_main, &s[i]), 0);
	}
	for (int i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < 4; i++)
		ck_assert_int_eq(s[i].result, 50 * (i + 2));
}

START_TEST(sessions)
{
	weir_device *devs[2] = {open_npu(WEIR_PROVIDER_AUTO), open_npu(WEIR_PROVIDER_AUTO)};

	run_sessions(devs, 1);
	run_sessions(devs, 2);
	weir_device_close(devs[0]);
	weir_device_close(devs[1]);
}
END_TEST

/* ---- no system call ------------------------------------------------------ */

static const struct weir_drm_calls *real_calls;
static struct weir_drm_calls counting_calls;
static unsigned ioctls;

static int count_ioctl(int fd, unsigned long request, void *arg)
{
	__atomic_fetch_add(&ioctls, 1, __ATOMIC_RELAXED);
	return real_calls->ioctl(fd, request, arg);
}

/* Steps as decoding makes them: written, run, waited for, read. How many ioctls they took. */
static unsigned step(
	weir_device *dev, struct weir_plan *p, struct weir_buffer *b, int count, int *sum)
{
	unsigned before = __atomic_load_n(&ioctls, __ATOMIC_RELAXED);

	for (int i = 0; i < count; i++) {
		set_int(b, 64, i);
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
		ck_assert_int_eq(weir_device_wait(dev), 0);
		*sum += 20;
		ck_assert_int_eq(get_int(b, 0), *sum);
	}
	return __atomic_load_n(&ioctls, __ATOMIC_RELAXED) - before;
}

/*
 * None on a device that is awake. Other programs can keep it from running for longer than a wait
 * looks at the status page, or until it sleeps: so one round of several has to be without any.
 */
START_TEST(quiet)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_WEIR);
	struct weir_buffer *b = buffer(dev, 4096);
	unsigned fewest = UINT32_MAX, n;
	struct weir_launch l[20];
	struct weir_plan *p;
	int sum = 0;

	for (int i = 0; i < 20; i++)
		l[i] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	p = plan(dev, l, 20);
	/* The first compile, and find out that waits are short. */
	step(dev, p, b, 20, &sum);
	for (int i = 0; i < 8 && fewest > 0; i++) {
		n = step(dev, p, b, 100, &sum);
		fewest = WEIR_MIN(fewest, n);
	}
	ck_assert_uint_eq(fewest, 0);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- profile ------------------------------------------------------------- */

START_TEST(profile)
{
	struct weir_device_settings s = npu_settings(WEIR_PROVIDER_AUTO);
	struct weir_profile_row rows[4], *spin, *add;
	struct weir_launch l[3];
	struct weir_buffer *b;
	struct weir_plan *p;
	weir_device *dev;

	s.profile = true;
	dev = open_with(&s);
	b = buffer(dev, 4096);
	l[0] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	l[0].bytes = 1000;
	l[0].token_bytes = 10;
	l[1] = l[0];
	l[2] = launch(program(dev, "main.cl", NULL), "spin", b, 0);
	l[2].args[l[2].n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = 1000000};
	p = plan(dev, l, 3);
	/* The first launch of a kernel may compile it. */
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	weir_profile_reset(dev);
	ck_assert_int_eq(weir_plan_run(p, 3), 0);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(weir_profile_rows(dev, rows, 4), 2);
	/* Longest first, and on a busy machine that may be either. */
	spin = strcmp(rows[0].op, "spin") == 0 ? &rows[0] : &rows[1];
	add = spin == rows ? &rows[1] : &rows[0];
	ck_assert_str_eq(spin->op, "spin");
	ck_assert_uint_eq(spin->calls, 2);
	ck_assert_str_eq(add->op, "add");
	ck_assert_uint_eq(add->calls, 4);
	ck_assert(add->bytes == 2 * (1030 + 1010));
	/* A million dependent steps take milliseconds on anything. */
	ck_assert_msg(spin->seconds > 1e-3 && spin->seconds < 60, "%g s", spin->seconds);
	ck_assert(add->seconds > 0);
	ck_assert_int_eq(weir_profile_trace(dev, work_path("npu.json")), 0);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

void npu_plans_count(void)
{
	real_calls = weir_drm_calls;
	counting_calls = *real_calls;
	counting_calls.ioctl = count_ioctl;
	weir_drm_calls = &counting_calls;
}

void npu_plans_add(Suite *s)
{
	TCase *c = add_case(s, "plans");

	tcase_add_unchecked_fixture(c, npu_join_work, NULL);
	tcase_add_loop_test(c, order, 0, 2);
	tcase_add_loop_test(c, long_plans, 0, 2);
	tcase_add_test(c, arguments);
	tcase_add_test(c, refused);
	tcase_add_test(c, sessions);
	tcase_add_test(c, quiet);
	tcase_add_test(c, profile);
}
