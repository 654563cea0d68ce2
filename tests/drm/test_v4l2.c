/* SPDX-License-Identifier: MIT */
/*
 * A camera streams into buffers of the module: V4L2's vivid (a camera that is a kernel module) captures into our dma-bufs,
 * and the CPU sees its frames at the buffers' own mappings.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <poll.h>
#include <sys/ioctl.h>
#include <xf86drm.h>

#include "drm/node.h"

#define WIDTH 320u
#define HEIGHT 180u
#define BUFFERS 4u
#define FRAMES 20u

/* The camera's fd, or -1: the first capture device of vivid. */
static int open_camera(void)
{
	char path[32];

	for (int i = 0; i < 64; i++) {
		struct v4l2_capability cap = {0};
		int fd;

		snprintf(path, sizeof(path), "/dev/video%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (ioctl(fd, VIDIOC_QUERYCAP, &cap) == 0 && strcmp((char *)cap.driver, "vivid") == 0 &&
			(cap.device_caps & V4L2_CAP_VIDEO_CAPTURE))
			return fd;
		close(fd);
	}
	return -1;
}

static void queue_buffer(int camera, uint32_t index, int buf, uint32_t size)
{
	struct v4l2_buffer b = {
		.index = index,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
		.m.fd = buf,
		.length = size,
	};

	ck_assert_msg(ioctl(camera, VIDIOC_QBUF, &b) == 0, "VIDIOC_QBUF: %s", strerror(errno));
}

static void sync_cpu(const struct node_bo *bo, uint32_t flags)
{
	struct drm_weir_sync_range range = {.handle = bo->handle, .flags = flags};
	struct drm_weir_bo_sync sync = {
		.ranges = (uintptr_t)&range,
		.count = 1,
		.stride = sizeof(range),
		.timeout_ns = node_deadline(1000),
	};

	ck_assert_int_eq(node_ioctl(bo->fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), 0);
}

START_TEST(capture)
{
	struct v4l2_format format = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE};
	struct v4l2_requestbuffers request = {
		.count = BUFFERS,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
	};
	int camera = open_camera(), fd = node_open(NODE_ANY), type = V4L2_BUF_TYPE_VIDEO_CAPTURE, bufs[BUFFERS];
	struct node_bo bo[BUFFERS];
	uint64_t last = 0, different = 0;

	if (camera < 0) {
		printf("skip camera: the kernel has no vivid, or it is not loaded\n");
		close(fd);
		return;
	}
	format.fmt.pix.width = WIDTH;
	format.fmt.pix.height = HEIGHT;
	format.fmt.pix.pixelformat = V4L2_PIX_FMT_YUYV;
	ck_assert_int_eq(ioctl(camera, VIDIOC_S_FMT, &format), 0);
	ck_assert_int_eq(ioctl(camera, VIDIOC_REQBUFS, &request), 0);
	ck_assert_uint_eq(request.count, BUFFERS);
	for (uint32_t i = 0; i < BUFFERS; i++) {
		ck_assert_int_eq(node_bo_create(fd, format.fmt.pix.sizeimage, 0, &bo[i]), 0);
		memset(bo[i].map, 0xee, bo[i].size);
		ck_assert_int_eq(drmPrimeHandleToFD(fd, bo[i].handle, DRM_CLOEXEC | DRM_RDWR, &bufs[i]), 0);
		queue_buffer(camera, i, bufs[i], (uint32_t)bo[i].size);
	}
	ck_assert_int_eq(ioctl(camera, VIDIOC_STREAMON, &type), 0);
	for (uint32_t frame = 0; frame < FRAMES; frame++) {
		struct v4l2_buffer b = {.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_DMABUF};
		struct pollfd p = {.fd = camera, .events = POLLIN};
		uint64_t sum = 0;
		uint32_t old = 0;

		ck_assert_int_eq(poll(&p, 1, 10000), 1);
		ck_assert_int_eq(ioctl(camera, VIDIOC_DQBUF, &b), 0);
		ck_assert_uint_eq(b.flags & V4L2_BUF_FLAG_ERROR, 0);
		ck_assert_uint_eq(b.bytesused, format.fmt.pix.sizeimage);
		sync_cpu(&bo[b.index], WEIR_SYNC_READ);
		for (uint32_t i = 0; i < b.bytesused; i++) {
			sum = sum * 31 + bo[b.index].map[i];
			old += bo[b.index].map[i] == 0xee;
		}
		sync_cpu(&bo[b.index], WEIR_SYNC_READ | WEIR_SYNC_END);
		ck_assert_msg(old < b.bytesused / 10, "frame %u was not written", frame);
		different += sum != last;
		last = sum;
		memset(bo[b.index].map, 0xee, bo[b.index].size);
		queue_buffer(camera, b.index, bufs[b.index], (uint32_t)bo[b.index].size);
	}
	ck_assert_int_eq(ioctl(camera, VIDIOC_STREAMOFF, &type), 0);
	printf("%u frames of %ux%u, %llu of them new pictures\n", FRAMES, format.fmt.pix.width, format.fmt.pix.height,
		(unsigned long long)different);
	ck_assert_uint_gt(different, FRAMES / 2);
	close(camera);
	for (uint32_t i = 0; i < BUFFERS; i++) {
		close(bufs[i]);
		node_bo_destroy(&bo[i]);
	}
	close(fd);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("camera");
	TCase *tc = tcase_create("camera");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, capture);
	return node_suite(s, NODE_ANY);
}
