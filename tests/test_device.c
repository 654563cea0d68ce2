/* SPDX-License-Identifier: MIT */
/* Devices: listing, picking, settings, tiers and threads. */
#include <time.h>

#include "device_suite.h"

START_TEST(list)
{
	struct weir_device_info info;
	int n = weir_device_count();

	ck_assert_int_ge(n, 1);
	for (int i = 0; i < n; i++) {
		ck_assert_int_eq(weir_device_describe((unsigned)i, &info), 0);
		ck_assert_int_gt((int)strlen(info.name), 0);
		ck_assert_int_gt((int)strlen(info.platform), 0);
		ck_assert_uint_ge(info.compute_units, 1);
		ck_assert_uint_ge(info.max_buffer, 1 << 20);
		ck_assert(!strcmp(info.kind, "CPU") || !strcmp(info.kind, "GPU") ||
			  !strcmp(info.kind, "accelerator"));
	}
	assert_fails(weir_device_describe((unsigned)n, &info), ENODEV, "no such device");
}
END_TEST

START_TEST(pick)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	struct weir_device_info info;
	char part[8], index[8];
	weir_device *dev;

	ck_assert_int_eq(weir_device_describe(0, &info), 0);
	/* Part of the name in the other case. */
	snprintf(part, sizeof(part), "%.6s", info.name);
	for (char *p = part; *p; p++)
		*p ^= (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') ? 0x20 : 0;
	s.device = part;
	dev = open_with(&s);
	ck_assert_str_eq(weir_device_name(dev), info.name);
	weir_device_close(dev);
	s.device = "0";
	dev = open_with(&s);
	ck_assert_str_eq(weir_device_name(dev), info.name);
	weir_device_close(dev);

	snprintf(index, sizeof(index), "%d", weir_device_count());
	s.device = index;
	assert_fails(weir_device_open(&dev, &s), ENODEV, index);
	ck_assert_ptr_null(dev);
	s.device = "no such name";
	assert_fails(weir_device_open(&dev, &s), ENODEV, "no such name");
	s.device = "99999999999999999999999";
	assert_fails(weir_device_open(&dev, &s), ENODEV, "99999");
	weir_device_close(NULL);
}
END_TEST

START_TEST(settings_checked)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	weir_device *dev;

	s.tier = "fast";
	assert_fails(weir_device_open(&dev, &s), EINVAL, "tier fast");
	s = settings_for(WEIR_PROVIDER_AUTO);
	s.schedule = "npu";
	assert_fails(weir_device_open(&dev, &s), EINVAL, "schedule npu");
	s = settings_for((enum weir_provider)9);
	assert_fails(weir_device_open(&dev, &s), EINVAL, "provider 9");
	s = settings_for(WEIR_PROVIDER_AUTO);
	s.size = 0;
	assert_fails(weir_device_open(&dev, &s), EINVAL, "size 0");
	s.size = 1 << 20;
	assert_fails(weir_device_open(&dev, &s), EINVAL, "size");
}
END_TEST

/* A caller that knows only the first field is served with defaults for the rest. */
START_TEST(settings_of_older_caller)
{
	struct {
		size_t size;
		const char *device;
		uint64_t garbage[32];
	} old = {.size = offsetof(struct weir_device_settings, threads), .device = "0"};
	struct weir_device_settings s;
	weir_device *dev;

	memset(old.garbage, 0xee, sizeof(old.garbage));
	memcpy(&s, &old, sizeof(s));
	dev = open_with(&s);
	ck_assert_str_eq(weir_device_provider_name(dev), "host");
	weir_device_close(dev);
	dev = open_with(NULL);
	weir_device_close(dev);
}
END_TEST

START_TEST(tiers)
{
	static const char *const names[] = {"portable", "pmaddubsw", "vnni"};
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	weir_device *dev = open_with(&s);
	enum weir_tier best = weir_device_props(dev)->tier;

	ck_assert_str_eq(weir_device_tier(dev), names[best]);
	weir_device_close(dev);
	for (unsigned t = 0; t < WEIR_ARRAY_SIZE(names); t++) {
		s.tier = names[t];
		if (t > (unsigned)best) {
			assert_fails(weir_device_open(&dev, &s), EINVAL, "cannot run");
			continue;
		}
		dev = open_with(&s);
		ck_assert_str_eq(weir_device_tier(dev), names[t]);
		weir_device_close(dev);
	}
	/* A compiler that aims at less than this CPU gets no instruction that it does not know. */
	ck_assert_int_eq(weir_tier_host("haswell"), WEIR_TIER_PORTABLE);
	ck_assert_int_eq(weir_tier_host(""), WEIR_TIER_PORTABLE);
}
END_TEST

START_TEST(macros_follow_settings)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	struct weir_launch l;
	struct weir_buffer *b;
	weir_device *dev;

	s.tier = "portable";
	for (unsigned i = 0; i < 2; i++) {
		s.schedule = i ? "gpu" : "cpu";
		dev = open_with(&s);
		ck_assert_str_eq(weir_device_schedule(dev), s.schedule);
		b = buffer(dev, 64);
		l = launch(program(dev, "main.cl", NULL), "macros", b, 0);
		run(dev, &l, 1);
		ck_assert_int_eq(get_int(b, 0), i ? 2 | 4 : 1 | 4);
		weir_buffer_destroy(b);
		weir_device_close(dev);
	}
}
END_TEST

START_TEST(props)
{
	weir_device *dev = open_device(WEIR_PROVIDER_AUTO);
	const struct weir_device_props *p = weir_device_props(dev);

	ck_assert_uint_ge(p->align, 64);
	ck_assert_uint_eq(p->align & (p->align - 1), 0);
	ck_assert_uint_ge(p->max_buffer, 1 << 20);
	ck_assert_uint_eq(p->compute_units, weir_device_threads(dev));
	ck_assert_str_eq(p->name, weir_device_name(dev));
	ck_assert_str_eq(weir_version(), "0.1");
	weir_device_close(dev);
}
END_TEST

static double seconds(clockid_t clock)
{
	struct timespec t;

	clock_gettime(clock, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* With one thread the whole process uses one core, whatever the machine has. */
START_TEST(one_thread)
{
	struct weir_device_settings s = settings_for(WEIR_PROVIDER_AUTO);
	struct weir_device_info info;
	struct weir_launch l;
	struct weir_buffer *b;
	struct weir_plan *p;
	weir_device *dev;
	double wall, cpu;

	ck_assert_int_eq(weir_device_describe(0, &info), 0);
	if (strcmp(info.kind, "CPU") != 0 || info.compute_units < 2) {
		printf("skip one_thread: the first device is no CPU with two cores\n");
		return;
	}
	s.device = "0";
	s.threads = 1;
	dev = open_with(&s);
	ck_assert_uint_eq(weir_device_threads(dev), 1);
	ck_assert_uint_eq(weir_device_props(dev)->compute_units, 1);
	b = buffer(dev, 4096);
	l = launch(program(dev, "main.cl", NULL), "spin", b, 0);
	l.args[l.n_args++] = (struct weir_arg){.kind = WEIR_ARG_INT, .i = 4000000};
	l.groups = 16;
	p = plan(dev, &l, 1);
	ck_assert_int_eq(weir_plan_run(p, 1), 0); /* compiles at the first run */
	ck_assert_int_eq(weir_device_wait(dev), 0);
	wall = seconds(CLOCK_MONOTONIC);
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID);
	for (int i = 0; i < 3; i++)
		ck_assert_int_eq(weir_plan_run(p, 1), 0);
	ck_assert_int_eq(weir_device_wait(dev), 0);
	wall = seconds(CLOCK_MONOTONIC) - wall;
	cpu = seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu;
	ck_assert_msg(cpu < 1.2 * wall, "%.3f s of CPU in %.3f s", cpu, wall);
	weir_plan_destroy(p);
	weir_buffer_destroy(b);
	weir_device_close(dev);
	s.threads = 1000;
	dev = open_with(&s);
	ck_assert_uint_eq(weir_device_threads(dev), info.compute_units);
	weir_device_close(dev);
}
END_TEST

static int self_no_platform(void)
{
	weir_device *dev = NULL;

	if (weir_device_count() != 0)
		return 1;
	if (weir_device_open(&dev, NULL) != -ENODEV || dev)
		return 2;
	return strstr(weir_error(), "no OpenCL device") ? 0 : 3;
}

START_TEST(no_platform)
{
	ck_assert_int_eq(run_self("no-platform", "OCL_ICD_VENDORS", "/nonexistent/"), 0);
}
END_TEST

static Suite *make_suite(void)
{
	Suite *s = suite_create("device");
	TCase *open = add_case(s, "open");

	tcase_add_test(open, list);
	tcase_add_test(open, pick);
	tcase_add_test(open, settings_checked);
	tcase_add_test(open, settings_of_older_caller);
	tcase_add_test(open, tiers);
	tcase_add_test(open, macros_follow_settings);
	tcase_add_test(open, props);
	tcase_add_test(open, one_thread);
	tcase_add_test(open, no_platform);
	return s;
}

int main(int argc, char **argv)
{
	if (argc == 3) {
		snprintf(work, sizeof(work), "%s", argv[2]);
		return self_no_platform();
	}
	return device_suite_run(make_suite());
}
