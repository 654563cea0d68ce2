/* SPDX-License-Identifier: MIT */
/* The NPU backend on a worker of weir-npu, without a kernel (npu_local.c); and what only this stand-in can do. */
#include <errno.h>
#include <string.h>

#include "device/device.h"
#include "npu_cases.h"
#include "npu_local.h"
#include "suite.h"

static weir_device *open_npu(void)
{
	struct weir_device_settings s;
	weir_device *dev;

	weir_device_settings_default(&s);
	s.device = "npu";
	s.cache = "";
	ck_assert_msg(weir_device_open(&dev, &s) == 0, "%s", weir_error());
	return dev;
}

/* Every buffer that was made is gone: the runtime's own, too. */
START_TEST(nothing_left)
{
	weir_device *dev = open_npu();
	unsigned before = npu_local_buffers();
	struct weir_buffer *a, *b;
	int fd;

	ck_assert_int_eq(weir_buffer_create(dev, 100, "a", &a), 0);
	fd = weir_buffer_fd(a);
	ck_assert_int_eq(weir_buffer_from_fd(dev, fd, "b", &b), 0);
	close(fd);
	ck_assert_uint_eq(npu_local_buffers(), before + 1);
	weir_buffer_destroy(a);
	ck_assert_uint_eq(npu_local_buffers(), before + 1);
	weir_buffer_destroy(b);
	ck_assert_uint_eq(npu_local_buffers(), before);
	weir_device_close(dev);
	ck_assert_uint_eq(npu_local_buffers(), 0);
}
END_TEST

/* The device goes away with work under way: errors, no crash, and a new device works. */
START_TEST(unplugged)
{
	weir_device *dev = open_npu();
	struct weir_buffer *a, *b;
	void *p;

	ck_assert_int_eq(weir_buffer_create(dev, 4096, "a", &a), 0);
	npu_local_unplug();
	for (int i = 0; i < 2; i++) {
		ck_assert_int_eq(weir_device_wait(dev), -EIO);
		ck_assert_ptr_nonnull(strstr(weir_error(), "the device is gone"));
	}
	ck_assert_int_eq(weir_buffer_begin(a, 0, 4, WEIR_ACCESS_READ, &p), -EIO);
	ck_assert_int_lt(weir_buffer_create(dev, 4096, "b", &b), 0);
	ck_assert_ptr_nonnull(strstr(weir_error(), "gone"));
	weir_buffer_destroy(a);
	weir_device_close(dev);
	dev = open_npu();
	ck_assert_int_eq(weir_buffer_create(dev, 4096, "c", &a), 0);
	weir_buffer_destroy(a);
	weir_device_close(dev);
}
END_TEST

static void add_local(Suite *s)
{
	TCase *c = tcase_create("local");

	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	tcase_add_test(c, nothing_left);
	tcase_add_test(c, unplugged);
}

int main(int argc, char **argv)
{
	if (!npu_local_start(argc, argv))
		return 77;
	return npu_cases_run(argc, argv, add_local);
}
