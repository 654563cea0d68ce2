/* SPDX-License-Identifier: MIT */
/* The runtime on an NPU: buffers, programs, plans, profiles, faults, and buffers of other processes. */
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>
#include <sys/socket.h>

#include "device/npu.h"
#include "device_suite.h"
#include "npu_cases.h"
#include "npu_share.h"

static struct weir_device_settings npu_settings(enum weir_provider provider)
{
	struct weir_device_settings s = settings_for(provider);

	s.device = "npu";
	return s;
}

static weir_device *open_npu(enum weir_provider provider)
{
	struct weir_device_settings s = npu_settings(provider);

	return open_with(&s);
}

/* ---- the device ---------------------------------------------------------- */

START_TEST(device)
{
	struct weir_device_settings s = npu_settings(WEIR_PROVIDER_AUTO);
	weir_device *dev = open_with(&s), *other;
	const struct weir_device_props *p = weir_device_props(dev);
	struct weir_device_info info;
	struct weir_node node;
	char state[256];
	int found = 0;

	for (int i = 0; i < weir_device_count(); i++) {
		ck_assert_int_eq(weir_device_describe((unsigned)i, &info), 0);
		if (strcmp(info.kind, "NPU") != 0)
			continue;
		found++;
		ck_assert_str_eq(info.name, weir_device_name(dev));
		ck_assert_ptr_nonnull(strstr(info.platform, "weir.ko, /dev/dri/renderD"));
		ck_assert_uint_ge(info.max_buffer, 1 << 20);
	}
	ck_assert_int_ge(found, 1);
	ck_assert_uint_ge(p->align, 64);
	ck_assert_uint_eq(p->align & (p->align - 1), 0);
	ck_assert_uint_ge(p->compute_units, 1);
	ck_assert(p->host_unified);
	ck_assert_str_eq(weir_device_provider_name(dev), "weir");
	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_WEIR, state, sizeof(state)), 0);
	ck_assert_str_eq(state, "in use (by device address, zero-copy)");
	ck_assert_int_eq(weir_device_provider(dev, WEIR_PROVIDER_HOST, state, sizeof(state)), 0);
	ck_assert_ptr_nonnull(strstr(state, "every access copies"));

	ck_assert_int_ge(weir_node_count(), 1);
	ck_assert_int_eq(weir_node_describe(0, &node), 0);
	ck_assert(node.usable);
	ck_assert_uint_gt(node.quota, 0);
	ck_assert_uint_gt(node.hang_limit_ms, 0);
	assert_fails(weir_node_describe(99, &node), ENODEV, "node 99");
	s.tier = "fast";
	assert_fails(weir_device_open(&other, &s), EINVAL, "tier fast");
	weir_device_close(dev);
}
END_TEST

/* Forced settings arrive in programs. */
START_TEST(macros)
{
	struct weir_device_settings s = npu_settings(WEIR_PROVIDER_AUTO);
	struct weir_launch l;
	struct weir_buffer *b;
	weir_device *dev;

	s.tier = "portable";
	s.schedule = _i ? "gpu" : "cpu";
	dev = open_with(&s);
	b = buffer(dev, 64);
	l = launch(program(dev, "main.cl", NULL), "macros", b, 0);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 0), _i ? 2 | 4 : 1 | 4);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- buffers ------------------------------------------------------------- */

static const enum weir_provider providers_npu[] = {
	WEIR_PROVIDER_WEIR, WEIR_PROVIDER_SHADOW, WEIR_PROVIDER_HOST, WEIR_PROVIDER_UDMABUF};

START_TEST(round_trip)
{
	static const size_t sizes[] = {1, 63, 64, 4096, 4097, (3 << 20) + 5};
	weir_device *dev;
	unsigned char *p;

	if (providers_npu[_i] == WEIR_PROVIDER_UDMABUF && access("/dev/udmabuf", R_OK | W_OK) != 0) {
		printf("skip provider udmabuf: /dev/udmabuf cannot be opened\n");
		return;
	}
	dev = open_npu(providers_npu[_i]);
	for (size_t i = 0; i < WEIR_ARRAY_SIZE(sizes); i++) {
		size_t n = sizes[i], wrong = 0;
		struct weir_buffer *b = buffer(dev, n);

		ck_assert_str_eq(weir_buffer_provider(b), weir_provider_name(providers_npu[_i]));
		p = begin(b, 0, n, WEIR_ACCESS_READ);
		for (size_t k = 0; k < n; k++)
			wrong += p[k] != 0;
		end(b, p);
		p = begin(b, 0, n, WEIR_ACCESS_WRITE);
		for (size_t k = 0; k < n; k++)
			p[k] = (unsigned char)(k * 7 + 3);
		end(b, p);
		p = begin(b, n / 2, n - n / 2, WEIR_ACCESS_READ);
		for (size_t k = n / 2; k < n; k++)
			wrong += p[k - n / 2] != (unsigned char)(k * 7 + 3);
		end(b, p);
		ck_assert_uint_eq(wrong, 0);
		weir_buffer_destroy(b);
	}
	weir_device_close(dev);
}
END_TEST

START_TEST(buffer_and_kernel)
{
	weir_device *dev = open_npu(_i ? WEIR_PROVIDER_SHADOW : WEIR_PROVIDER_WEIR);
	size_t step = weir_device_props(dev)->align;
	struct weir_buffer *b = buffer(dev, 16 * step);
	struct weir_launch l[2];

	set_int(b, 0, 5);
	set_int(b, 3 * step, 50);
	l[0] = launch_add(program(dev, "main.cl", NULL), b, 0, 7);
	l[1] = launch_add(program(dev, "main.cl", NULL), b, 3 * step, 11);
	weir_profile_reset(dev);
	run(dev, l, 2);
	ck_assert_int_eq(get_int(b, 0), 12);
	ck_assert_int_eq(get_int(b, step), 0);
	ck_assert_int_eq(get_int(b, 3 * step), 61);
	ck_assert_uint_eq(weir_profile_copied(dev), _i ? 12 : 0);
	if (!_i)
		ck_assert_uint_eq(weir_buffer_caps(b), WEIR_BUFFER_MAP | WEIR_BUFFER_DMABUF |
							       WEIR_BUFFER_ADDRESS | WEIR_BUFFER_UNIFIED);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/*
 * A dma-buf goes back to the device that made it (the same handle: both have to go before the memory does), and to
 * another file of the same process.
 */
START_TEST(from_fd)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_WEIR), *far = open_npu(WEIR_PROVIDER_WEIR);
	struct weir_buffer *a = buffer(dev, 100000), *b, *c;
	struct weir_launch l;
	int fd;

	set_int(a, 0, 40);
	set_int(a, 4096, 70);
	fd = weir_buffer_fd(a);
	ck_assert_msg(fd >= 0, "%s", weir_error());
	ck_assert(fcntl(fd, F_GETFD) & FD_CLOEXEC);
	ck_assert_msg(weir_buffer_from_fd(dev, fd, "same", &b) == 0, "%s", weir_error());
	ck_assert_msg(weir_buffer_from_fd(far, fd, "far", &c) == 0, "%s", weir_error());
	close(fd);
	ck_assert_uint_ge(weir_buffer_size(b), 100000);
	ck_assert_str_eq(weir_buffer_provider(c), "dma-buf");
	ck_assert(weir_buffer_caps(c) & WEIR_BUFFER_UNIFIED);
	/* Verifying put back what was there. */
	ck_assert_int_eq(get_int(a, 0), 40);
	l = launch_add(program(dev, "main.cl", NULL), b, 4096, 1);
	run(dev, &l, 1);
	l = launch_add(program(far, "main.cl", NULL), c, 4096, 10);
	run(far, &l, 1);
	ck_assert_int_eq(get_int(a, 4096), 81);
	weir_buffer_destroy(a);
	run(far, &l, 1);
	l = launch_add(program(dev, "main.cl", NULL), b, 4096, 100);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(c, 4096), 191);
	weir_buffer_destroy(c);
	ck_assert_int_eq(get_int(b, 4096), 191);
	weir_buffer_destroy(b);
	weir_device_close(far);
	weir_device_close(dev);
}
END_TEST

START_TEST(from_bad_fd)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_WEIR);
	struct weir_buffer *b;
	int fds[2], null = open("/dev/null", O_RDWR | O_CLOEXEC);

	ck_assert_int_eq(pipe(fds), 0);
	assert_fails(weir_buffer_from_fd(dev, -1, "none", &b), EBADF, "buffer none: fd -1");
	assert_fails(weir_buffer_from_fd(dev, fds[0], "pipe", &b), ESPIPE, "no dma-buf");
	assert_fails(weir_buffer_from_fd(dev, null, "null", &b), EINVAL, "0 bytes");
	ck_assert_ptr_null(b);
	close(null);
	close(fds[0]);
	close(fds[1]);
	/* The context works on. */
	b = buffer(dev, 64);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* OpenCL uses the same pages where they lie. */
START_TEST(opencl_over_weir)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_WEIR);
	weir_device *cl, *npu;
	struct weir_buffer *a, *b;
	struct weir_launch l;
	int fd;

	s.device = "cpu";
	if (weir_device_open(&cl, &s) < 0) {
		printf("skip opencl_over_weir: %s\n", weir_error());
		return;
	}
	npu = open_npu(WEIR_PROVIDER_WEIR);
	a = buffer(cl, 8192);
	ck_assert_str_eq(weir_buffer_provider(a), "weir");
	ck_assert_msg(weir_buffer_caps(a) & WEIR_BUFFER_UNIFIED, "copies");
	l = launch(program(cl, "one.cl", NULL), "k", a, 0);
	run(cl, &l, 1);
	ck_assert_int_eq(get_int(a, 0), 1);
	fd = weir_buffer_fd(a);
	ck_assert_msg(fd >= 0, "%s", weir_error());
	ck_assert_msg(weir_buffer_from_fd(npu, fd, "of OpenCL", &b) == 0, "%s", weir_error());
	close(fd);
	l = launch_add(program(npu, "main.cl", NULL), b, 0, 10);
	run(npu, &l, 1);
	ck_assert_int_eq(get_int(a, 0), 11);
	/* And the other way. */
	weir_buffer_destroy(b);
	weir_buffer_destroy(a);
	a = buffer(npu, 8192);
	fd = weir_buffer_fd(a);
	ck_assert_msg(weir_buffer_from_fd(cl, fd, "of the NPU", &b) == 0, "%s", weir_error());
	close(fd);
	l = launch(program(cl, "one.cl", NULL), "k", b, 0);
	run(cl, &l, 1);
	ck_assert_int_eq(get_int(a, 0), 1);
	weir_buffer_destroy(b);
	weir_buffer_destroy(a);
	weir_device_close(npu);
	weir_device_close(cl);
}
END_TEST

/* ---- programs ------------------------------------------------------------ */

START_TEST(build_error)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_program *p;
	struct weir_launch l;

	for (int i = 0; i < 2; i++) {
		assert_fails(weir_program_get(dev, "broken.cl", NULL, &p), EIO, "kernels/broken.cl");
		ck_assert_ptr_nonnull(strstr(weir_error(), "absent"));
		ck_assert_msg(strstr(weir_error(), "broken.cl:4") != NULL, "%s", weir_error());
	}
	/* It is no fault: the queue goes on. */
	l = launch_add(program(dev, "main.cl", NULL), b, 0, 3);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 0), 3);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* More kernels than the first report has room for; and a device that has no id left. */
START_TEST(many)
{
	enum { KERNELS = 70, PROGRAMS = 5 };
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_program *p = NULL;
	struct weir_launch l;
	char text[KERNELS * 64], name[32], options[32];
	size_t at = 0;
	int err = 0;

	for (int i = 0; i < KERNELS; i++)
		at += (size_t)snprintf(text + at, sizeof(text) - at,
			"__kernel void k%d(__global int *p) { p[0] = %d; }\n", i, i);
	put_text("k/many.cl", text);
	for (int i = 0; i < KERNELS; i += 23) {
		snprintf(name, sizeof(name), "k%d", i);
		l = launch(program(dev, "many.cl", NULL), name, b, 0);
		run(dev, &l, 1);
		ck_assert_int_eq(get_int(b, 0), i);
	}
	/* All of what it really has would take minutes. */
	npu_device(dev)->identity.max_programs = PROGRAMS;
	for (unsigned i = 1; i <= PROGRAMS && err == 0; i++) {
		snprintf(options, sizeof(options), "-DX=%u", i);
		err = weir_program_get(dev, "one.cl", options, &p);
		ck_assert_int_eq(err, i < PROGRAMS ? 0 : -ENOSPC);
	}
	ck_assert_ptr_nonnull(strstr(weir_error(), "no room for more"));
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

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
		l[i] = launch_add(program(dev, "main.cl", i & 1 ? "-DSCALE=p[0]" : NULL), b, 0, i & 1 ? 1 : i);
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
	assert_fails(weir_plan_create(dev, &l, 1, &p), EINVAL, "takes 2 arguments, the launch add gives 1");
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
		if (weir_plan_run(p, 1) < 0 || weir_buffer_begin(b, 1024, 4,
						       WEIR_ACCESS_READ | WEIR_ACCESS_WRITE, (void **)&ptr) < 0)
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

/* Steps as decoding makes them, on a device that is awake: written, run, waited for, read. */
START_TEST(quiet)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_WEIR);
	struct weir_buffer *b = buffer(dev, 4096);
	struct weir_launch l[20];
	struct weir_plan *p;
	unsigned before = 0;

	for (int i = 0; i < 20; i++)
		l[i] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	p = plan(dev, l, 20);
	for (int i = 0; i < 120; i++) {
		/* The first steps compile, and find out that waits are short. */
		if (i == 20)
			before = __atomic_load_n(&ioctls, __ATOMIC_RELAXED);
		set_int(b, 64, i);
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
		ck_assert_int_eq(weir_device_wait(dev), 0);
		ck_assert_int_eq(get_int(b, 0), 20 * (i + 1));
	}
	ck_assert_uint_eq(__atomic_load_n(&ioctls, __ATOMIC_RELAXED) - before, 0);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- profile ------------------------------------------------------------- */

START_TEST(profile)
{
	struct weir_device_settings s = npu_settings(WEIR_PROVIDER_AUTO);
	struct weir_profile_row rows[4];
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
	ck_assert_str_eq(rows[0].op, "spin");
	ck_assert_uint_eq(rows[0].calls, 2);
	ck_assert_uint_eq(rows[1].calls, 4);
	ck_assert(rows[1].bytes == 2 * (1030 + 1010));
	/* A million dependent steps take milliseconds on anything. */
	ck_assert_msg(rows[0].seconds > 1e-3 && rows[0].seconds < 60, "%g s", rows[0].seconds);
	ck_assert(rows[1].seconds > 0 && rows[1].seconds < rows[0].seconds);
	ck_assert_int_eq(weir_profile_trace(dev, work_path("npu.json")), 0);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/* ---- faults -------------------------------------------------------------- */

/* Everything says so from then on, nothing crashes, and a device that is opened anew works. */
static void failed_for_good(weir_device *dev, struct weir_buffer *b, struct weir_plan *p, const char *words)
{
	struct weir_program *prog;
	void *ptr;

	assert_fails(weir_device_wait(dev), EIO, words);
	assert_fails(weir_device_wait(dev), EIO, words);
	assert_fails(weir_plan_run(p, 1), EIO, words);
	assert_fails(weir_buffer_begin(b, 0, 4, WEIR_ACCESS_READ, &ptr), EIO, "buffer test");
	assert_fails(weir_program_get(dev, "two.cl", NULL, &prog), EIO, words);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);

	dev = open_npu(WEIR_PROVIDER_AUTO);
	b = buffer(dev, 64);
	p = plan(dev, &(struct weir_launch[]){launch_add(program(dev, "main.cl", NULL), b, 0, 9)}[0], 1);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(get_int(b, 0), 9);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}

static const char wild_cl[] = "__kernel void wild(__global char *p, int far)\n"
			      "{ p[(long)far << 24] = 1; }\n"
			      "__kernel void forever(__global volatile int *p)\n"
			      "{ while (p[0] == 0) p[1]++; }\n";

/* The sentence names the launch; another device of this process loses nothing. */
START_TEST(wild_address)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO), *other = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b, *c = buffer(other, 64);
	struct weir_launch l[3], fine = launch_add(program(other, "main.cl", NULL), c, 0, 1);
	struct weir_plan *p, *q = plan(other, &fine, 1);

	put_text("k/wild.cl", wild_cl);
	b = buffer(dev, 64);
	l[0] = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	l[1] = launch(program(dev, "wild.cl", NULL), "wild", b, 0);
	l[1].label = "spoiler";
	l[1].args[l[1].n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = 3000};
	l[2] = l[0];
	p = plan(dev, l, 3);
	ck_assert_int_eq(weir_plan_run(q, 1), 0);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	assert_fails(weir_device_wait(dev), EIO, "(op spoiler, kernel wild of kernels/wild.cl)");
	ck_assert_msg(strstr(weir_error(), "is in no buffer") != NULL, "%s", weir_error());
	failed_for_good(dev, b, p, "is in no buffer");
	ck_assert_int_eq(weir_plan_run(q, 1), 0);
	ck_assert_int_eq(get_int(c, 0), 2);
	weir_plan_destroy(q);
	weir_buffer_destroy(c);
	weir_device_close(other);
}
END_TEST

START_TEST(endless)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l;
	struct weir_plan *p;

	put_text("k/wild.cl", wild_cl);
	l = launch(program(dev, "wild.cl", NULL), "forever", b, 0);
	p = plan(dev, &l, 1);
	ck_assert_int_eq(weir_plan_run(p, 1), 0);
	assert_fails(weir_device_wait(dev), EIO, "kernel forever of kernels/wild.cl): no progress within");
	failed_for_good(dev, b, p, "no progress");
}
END_TEST

/* Packets as a broken program would write them. */
START_TEST(bad_packets)
{
	static const char *const words[] = {"the field at byte 0", "no such program or kernel", "argument 0",
		"is in no buffer", "the field at byte"};
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	struct weir_plan *p = plan(dev, &l, 1);
	struct npu_device *d = npu_device(dev);
	struct weir_npu_packet packet;
	struct weir_npu_launch body = {
		.program = 250, .groups = {1, 1, 1}, .local = {1, 1, 1}, .n_args = 2, .args = b->mem->addr};
	struct weir_npu_copy copy = {.to = b->mem->addr, .from = 1ull << 36, .size = 8};

	npu_packet(&packet, WEIR_NPU_PACKET_LAUNCH, &body, sizeof(body));
	if (_i == 0)
		packet.type = 99;
	if (_i == 2) {
		/* The buffer is all zero, and no argument is of kind 0. */
		body.program = 0;
		npu_packet(&packet, WEIR_NPU_PACKET_LAUNCH, &body, sizeof(body));
	}
	if (_i == 3)
		npu_packet(&packet, WEIR_NPU_PACKET_COPY, &copy, sizeof(copy));
	if (_i == 4)
		packet.flags = 0x80;
	pthread_mutex_lock(&dev->lock);
	ck_assert_int_eq(npu_submit(d, &packet, "a test's packet"), 0);
	pthread_mutex_unlock(&dev->lock);
	assert_fails(weir_device_wait(dev), EIO, "(a test's packet): ");
	failed_for_good(dev, b, p, words[_i]);
}
END_TEST

/* A fork has the mappings, and must not use them. */
START_TEST(forked)
{
	weir_device *dev = open_npu(WEIR_PROVIDER_AUTO);
	struct weir_buffer *b = buffer(dev, 64);
	struct weir_launch l = launch_add(program(dev, "main.cl", NULL), b, 0, 1);
	struct weir_plan *p = plan(dev, &l, 1);
	int status = 0;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ck_assert_int_ge(pid, 0);
	if (pid == 0) {
		bool ok = weir_plan_run(p, 1) == -EIO && strstr(weir_error(), "a fork");

		_exit(ok && weir_buffer_fd(b) == -ECHILD ? 0 : 1);
	}
	ck_assert_int_eq(waitpid(pid, &status, 0), pid);
	ck_assert_int_eq(status, 0);
	run(dev, &l, 1);
	ck_assert_int_eq(get_int(b, 0), 1);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("npu");
	TCase *c = add_case(s, "device");

	tcase_add_test(c, device);
	tcase_add_loop_test(c, macros, 0, 2);
	c = add_case(s, "buffers");
	tcase_add_loop_test(c, round_trip, 0, (int)WEIR_ARRAY_SIZE(providers_npu));
	tcase_add_loop_test(c, buffer_and_kernel, 0, 2);
	tcase_add_test(c, from_fd);
	tcase_add_test(c, from_bad_fd);
	tcase_add_test(c, opencl_over_weir);
	c = add_case(s, "programs");
	tcase_add_test(c, build_error);
	tcase_add_test(c, many);
	c = add_case(s, "plans");
	tcase_add_loop_test(c, order, 0, 2);
	tcase_add_loop_test(c, long_plans, 0, 2);
	tcase_add_test(c, arguments);
	tcase_add_test(c, refused);
	tcase_add_test(c, sessions);
	tcase_add_test(c, quiet);
	tcase_add_test(c, profile);
	c = add_case(s, "faults");
	tcase_add_test(c, wild_address);
	tcase_add_test(c, endless);
	tcase_add_loop_test(c, bad_packets, 0, 5);
	tcase_add_test(c, forked);
	npu_share_add(add_case(s, "sharing"));
	return s;
}

int npu_cases_run(int argc, char **argv, void (*extra)(Suite *s))
{
	Suite *s;

	if (argc == 3 && strcmp(argv[1], "--npu-share") == 0)
		return npu_share_other(atoi(argv[2]));
	real_calls = weir_drm_calls;
	counting_calls = *real_calls;
	counting_calls.ioctl = count_ioctl;
	weir_drm_calls = &counting_calls;
	s = make_suite();
	if (extra)
		extra(s);
	return device_suite_run(s);
}
