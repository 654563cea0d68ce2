/* SPDX-License-Identifier: MIT */
/* The runtime on an NPU: the device, buffers and programs; and all parts together. */
#include <fcntl.h>

#include "npu_cases.h"
#include "npu_device.h"
#include "npu_picture.h"
#include "npu_share.h"

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

	if (providers_npu[_i] == WEIR_PROVIDER_UDMABUF &&
		access("/dev/udmabuf", R_OK | W_OK) != 0) {
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
							       WEIR_BUFFER_ADDRESS |
							       WEIR_BUFFER_UNIFIED);
	weir_buffer_destroy(b);
	weir_device_close(dev);
}
END_TEST

/*
 * A dma-buf goes back to the device that made it (the same handle: both have to go before the
 * memory does), and to another file of the same process.
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
	const char *set = getenv("WEIR_VM_SET");
	int fd;

	if (set && strcmp(set, "quick") == 0) {
		printf("skip opencl_over_weir: compiling in a guest takes a minute\n");
		return;
	}
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
		assert_fails(
			weir_program_get(dev, "broken.cl", NULL, &p), EIO, "kernels/broken.cl");
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
	npu_plans_add(s);
	npu_faults_add(s);
	npu_share_add(add_case(s, "sharing"));
	npu_picture_add(add_case(s, "pictures"));
	return s;
}

int npu_cases_run(int argc, char **argv, void (*extra)(Suite *s))
{
	Suite *s;

	if (argc == 3 && strcmp(argv[1], "--npu-share") == 0)
		return npu_share_other(atoi(argv[2]));
	if (argc == 3 && strcmp(argv[1], "--npu-picture") == 0)
		return npu_picture_other(atoi(argv[2]));
	npu_plans_count();
	s = make_suite();
	if (extra)
		extra(s);
	return device_suite_run(s);
}
