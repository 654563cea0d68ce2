/* SPDX-License-Identifier: MIT */
/* The NPU backend on a worker of weir-npu, without a kernel (npu_local.c); and what only this
 * stand-in can do. */
#include <errno.h>
#include <string.h>

#include "device/drm.h"
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

/* ---- nodes that do not work ------------------------------------------------ */

static const struct weir_drm_calls *good;

/* 128: not ours to open; 129: of another version; 130: its device is gone; 131: another driver's;
 * 132: the good one. */
static int odd_open(const char *path, unsigned minor)
{
	if (minor == 128)
		return -EACCES;
	if (minor == 131)
		return -ENODEV;
	if (minor == 132)
		return good->open(path, WEIR_DRM_FIRST);
	return minor < 132 ? (int)minor + 100000 : -ENOENT;
}

static int odd_ioctl(int fd, unsigned long request, void *arg)
{
	struct drm_version *v = arg;

	if (fd < 100000)
		return good->ioctl(fd, request, arg);
	if (request == DRM_IOCTL_VERSION) {
		strcpy(v->name, "weir");
		return 0;
	}
	return fd == 100129 ? -EINVAL : -ENODEV;
}

static void odd_close(int fd)
{
	if (fd < 100000)
		good->close(fd);
}

START_TEST(odd_nodes)
{
	static const char *const words[] = {"/dev/dri/renderD128: no permission",
		"renderD129: its kernel module weir speaks another interface",
		"renderD130: the device is gone", "read and write"};
	struct weir_drm_calls odd = *weir_drm_calls;
	struct weir_node node;

	good = weir_drm_calls;
	odd.open = odd_open;
	odd.ioctl = odd_ioctl;
	odd.close = odd_close;
	weir_drm_calls = &odd;
	ck_assert_int_eq(weir_node_count(), 4);
	for (unsigned i = 0; i < 4; i++) {
		ck_assert_int_eq(weir_node_describe(i, &node), 0);
		ck_assert_msg(strstr(node.access, words[i]) != NULL, "%s", node.access);
		ck_assert_int_eq(node.usable, i == 3);
	}
	ck_assert(node.npu && node.emulated);
	/* The one that works is found among them. */
	weir_device_close(open_npu());
	weir_drm_calls = good;
}
END_TEST

/* A device that is still listed, but gone when it is opened: the next one is taken. */
static int gone_open(const char *path, unsigned minor)
{
	if (minor == 128)
		return 100128;
	return minor == 129 ? good->open(path, WEIR_DRM_FIRST) : -ENOENT;
}

static int gone_ioctl(int fd, unsigned long request, void *arg)
{
	int any, err;

	if (fd < 100000)
		return good->ioctl(fd, request, arg);
	if (request != DRM_IOCTL_VERSION && request != DRM_IOCTL_WEIR_DEV_QUERY)
		return -ENODEV;
	/* It can still say what it was. */
	any = good->open("", WEIR_DRM_FIRST);
	err = good->ioctl(any, request, arg);
	good->close(any);
	return err;
}

START_TEST(gone_node)
{
	struct weir_drm_calls odd = *weir_drm_calls;
	struct weir_device_settings s;
	struct weir_device_info info;
	weir_device *dev;
	char first[16];
	int n;

	good = weir_drm_calls;
	odd.open = gone_open;
	odd.ioctl = gone_ioctl;
	odd.close = odd_close;
	weir_drm_calls = &odd;
	weir_device_close(open_npu());
	/* Asked for by its number it is not replaced. */
	n = weir_device_count();
	weir_device_settings_default(&s);
	snprintf(first, sizeof(first), "%d", n - 2);
	s.device = first;
	ck_assert_int_eq(weir_device_describe((unsigned)n - 2, &info), 0);
	ck_assert_str_eq(info.kind, "NPU");
	ck_assert_int_eq(weir_device_open(&dev, &s), -ENODEV);
	ck_assert_ptr_nonnull(strstr(weir_error(), "the device is gone"));
	weir_drm_calls = good;
}
END_TEST

static void add_local(Suite *s)
{
	TCase *c = tcase_create("local");

	tcase_set_timeout(c, 60);
	suite_add_tcase(s, c);
	tcase_add_test(c, nothing_left);
	tcase_add_test(c, unplugged);
	tcase_add_test(c, odd_nodes);
	tcase_add_test(c, gone_node);
}

int main(int argc, char **argv)
{
	if (!npu_local_start(argc, argv))
		return 77;
	return npu_cases_run(argc, argv, add_local);
}
