/* SPDX-License-Identifier: MIT */
/*
 * User-mode queues: every documented error of the six queue ioctls, packets without programs, doorbell and status pages,
 * waits, eventfds, syncobj points, ends.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <xf86drm.h>

#include "drm/node.h"

#define PAGE 4096u

static int open_node(void)
{
	int fd = node_open(NODE_NPU);

	ck_assert_int_ge(fd, 0);
	return fd;
}

static void open_queue(struct node_queue *q, uint32_t queue_class)
{
	ck_assert_int_eq(node_queue_create(open_node(), PAGE, queue_class, q), 0);
}

static void close_queue(struct node_queue *q)
{
	int fd = q->fd;

	node_queue_destroy(q);
	close(fd);
}

/* ---- create, destroy ----------------------------------------------------- */

static int try_create(int fd, struct drm_weir_queue_create c)
{
	int err = node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &c);
	struct drm_weir_queue_destroy destroy = {.queue = c.queue};

	if (err == 0)
		ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), 0);
	return err;
}

START_TEST(create_errors)
{
	int fd = open_node();
	struct drm_weir_queue_create good = {.ring_size = PAGE, .priority = WEIR_QUEUE_PRIORITY_NORMAL}, c;
	struct node_bo bo;

	ck_assert_int_eq(node_bo_create(fd, 4 * PAGE, 0, &bo), 0);
	good.ring_handle = bo.handle;
	ck_assert_int_eq(try_create(fd, good), 0);
#define REFUSED(expected, ...) \
	do { \
		c = good; \
		__VA_ARGS__; \
		ck_assert_int_eq(try_create(fd, c), expected); \
	} while (0)
	REFUSED(-ENOENT, c.ring_handle = 0);
	REFUSED(-ENOENT, c.ring_handle = 4711);
	REFUSED(-EINVAL, c.queue_class = 2);
	REFUSED(-EINVAL, c.priority = 3);
	REFUSED(-EINVAL, c.flags = 1);
	REFUSED(-EINVAL, c.ring_size = 0);
	REFUSED(-EINVAL, c.ring_size = WEIR_NPU_RING_MIN / 2);
	REFUSED(-EINVAL, c.ring_size = 3 * PAGE);
	REFUSED(-EINVAL, c.ring_size = 8 * PAGE); /* more than the buffer */
	REFUSED(-EINVAL, c.ring_size = 2u * WEIR_NPU_RING_MAX);
	REFUSED(-EINVAL, c.ring_size = 0x80000000u);
	REFUSED(-EINVAL, c.ring_offset = 32);
	REFUSED(-EINVAL, c.ring_offset = 3 * PAGE + 64);
	REFUSED(-EINVAL, c.ring_offset = UINT64_MAX & ~63ull);
	REFUSED(0, c.ring_offset = 3 * PAGE);
	REFUSED(0, c.ring_offset = 64);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, (void *)16), -EFAULT);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* High priority is for those who may: a child that has given up root may not. */
START_TEST(priority)
{
	int fd = open_node(), status;
	struct drm_weir_queue_create c = {.ring_size = PAGE, .priority = WEIR_QUEUE_PRIORITY_HIGH};
	struct node_bo bo;
	pid_t child;

	ck_assert_int_eq(node_bo_create(fd, PAGE, 0, &bo), 0);
	c.ring_handle = bo.handle;
	if (geteuid() == 0)
		ck_assert_int_eq(try_create(fd, c), 0);
	child = fork();
	if (child == 0) {
		if (geteuid() == 0 && setuid(65534) < 0)
			_exit(2);
		_exit(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &c) == -EPERM ? 0 : 1);
	}
	waitpid(child, &status, 0);
	ck_assert_int_eq(status, 0);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* As many as the file may have, and one more; all ids differ; they come back. */
START_TEST(queue_limit)
{
	int fd = open_node();
	uint32_t max = node_query(fd).queues_max, ids[256], n = 0;
	struct drm_weir_queue_create c = {.ring_size = PAGE, .priority = WEIR_QUEUE_PRIORITY_LOW};
	struct node_bo bo;
	int err;

	ck_assert_uint_gt(max, 1);
	ck_assert_int_eq(node_bo_create(fd, PAGE, 0, &bo), 0);
	c.ring_handle = bo.handle;
	while ((err = node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &c)) == 0 && n < 256) {
		for (uint32_t i = 0; i < n; i++)
			ck_assert_uint_ne(ids[i], c.queue);
		ids[n++] = c.queue;
	}
	ck_assert_int_eq(err, -ENOSPC);
	ck_assert_uint_le(n, max);
	ck_assert_uint_eq(node_query(fd).queues_used, n);
	for (uint32_t i = 0; i < n; i++) {
		struct drm_weir_queue_destroy destroy = {.queue = ids[i]};

		ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), 0);
		ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), -ENOENT);
	}
	ck_assert_uint_eq(node_query(fd).queues_used, 0);
	ck_assert_int_eq(try_create(fd, c), 0);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* Ids belong to a file: another file's queue is not there. */
START_TEST(no_such_queue)
{
	struct node_queue q;
	int other = open_node(), fds[3];
	const uint32_t ids[] = {0, 1, 4711, UINT32_MAX};

	open_queue(&q, WEIR_QUEUE_FENCED);
	fds[0] = other;
	for (size_t i = 0; i < 4; i++) {
		struct drm_weir_queue_destroy destroy = {.queue = ids[i]};
		struct drm_weir_queue_kick kick = {.queue = ids[i]};
		struct drm_weir_queue_state state = {.queue = ids[i]};
		struct drm_weir_queue_fence fence = {.queue = ids[i], .seq = 1};
		struct drm_weir_queue_wait wait = {.queue = ids[i], .eventfd = -1};

		ck_assert_int_eq(node_ioctl(fds[0], DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), -ENOENT);
		ck_assert_int_eq(node_ioctl(fds[0], DRM_IOCTL_WEIR_QUEUE_KICK, &kick), -ENOENT);
		ck_assert_int_eq(node_ioctl(fds[0], DRM_IOCTL_WEIR_QUEUE_STATE, &state), -ENOENT);
		ck_assert_int_eq(node_ioctl(fds[0], DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -ENOENT);
		ck_assert_int_eq(node_ioctl(fds[0], DRM_IOCTL_WEIR_QUEUE_WAIT, &wait), -ENOENT);
	}
	close(other);
	close_queue(&q);
}
END_TEST

START_TEST(padding_and_pointers)
{
	static const unsigned long requests[] = {
		DRM_IOCTL_WEIR_QUEUE_CREATE, DRM_IOCTL_WEIR_QUEUE_DESTROY, DRM_IOCTL_WEIR_QUEUE_KICK,
		DRM_IOCTL_WEIR_QUEUE_STATE, DRM_IOCTL_WEIR_QUEUE_FENCE, DRM_IOCTL_WEIR_QUEUE_WAIT,
	};
	struct node_queue q;

	open_queue(&q, WEIR_QUEUE_FENCED);
	{
		struct drm_weir_queue_destroy destroy = {.queue = q.id, .pad = 1};
		struct drm_weir_queue_kick kick = {.queue = q.id, .pad = 1};
		struct drm_weir_queue_wait wait = {.queue = q.id, .eventfd = -1, .pad = 1};
		struct drm_weir_queue_state state;

		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), -EINVAL);
		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick), -EINVAL);
		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait), -EINVAL);
		wait.pad = 0;
		wait.flags = 1;
		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait), -EINVAL);
		for (size_t at = sizeof(uint32_t); at < sizeof(state); at += sizeof(uint32_t)) {
			memset(&state, 0, sizeof(state));
			state.queue = q.id;
			((uint32_t *)&state)[at / sizeof(uint32_t)] = 1;
			ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_STATE, &state), -EINVAL);
		}
	}
	for (size_t i = 0; i < 6; i++)
		ck_assert_int_eq(node_ioctl(q.fd, requests[i], (void *)16), -EFAULT);
	close_queue(&q);
}
END_TEST

/* On the buffer manager there are none. */
START_TEST(no_queues)
{
	int fd = node_open(NODE_MANAGER);
	struct drm_weir_queue_create create = {.ring_size = PAGE, .priority = WEIR_QUEUE_PRIORITY_NORMAL};
	struct drm_weir_queue_destroy destroy = {0};
	struct drm_weir_queue_kick kick = {0};
	struct drm_weir_queue_state state = {0};
	struct drm_weir_queue_fence fence = {.seq = 1};
	struct drm_weir_queue_wait wait = {.eventfd = -1};
	struct node_bo bo;

	if (fd < 0) {
		printf("skip queues of the buffer manager: there is none\n");
		return;
	}
	ck_assert_int_eq(node_bo_create(fd, PAGE, 0, &bo), 0);
	create.ring_handle = bo.handle;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &create), -EOPNOTSUPP);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), -EOPNOTSUPP);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick), -EOPNOTSUPP);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_STATE, &state), -EOPNOTSUPP);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EOPNOTSUPP);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait), -EOPNOTSUPP);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* ---- pages --------------------------------------------------------------- */

START_TEST(page_mappings)
{
	struct drm_weir_queue_create c = {.ring_size = PAGE, .priority = WEIR_QUEUE_PRIORITY_NORMAL};
	struct drm_weir_queue_destroy destroy;
	int fd = open_node(), other = open_node();
	size_t stride = node_query(fd).doorbell_stride, page = (size_t)getpagesize();
	volatile uint64_t *doorbell;
	volatile uint64_t *status;
	struct node_bo bo;
	void *p;

	ck_assert_int_eq(node_bo_create(fd, PAGE, 0, &bo), 0);
	c.ring_handle = bo.handle;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &c), 0);
#define MAP_FAILS(file, size, prot, flags, offset) \
	do { \
		p = mmap(NULL, size, prot, flags, file, (off_t)(offset)); \
		ck_assert_ptr_eq(p, MAP_FAILED); \
	} while (0)
	MAP_FAILS(fd, stride, PROT_READ | PROT_WRITE, MAP_PRIVATE, c.doorbell_offset);
	MAP_FAILS(fd, 2 * stride, PROT_READ | PROT_WRITE, MAP_SHARED, c.doorbell_offset);
	MAP_FAILS(other, stride, PROT_READ | PROT_WRITE, MAP_SHARED, c.doorbell_offset);
	MAP_FAILS(fd, page, PROT_READ | PROT_WRITE, MAP_SHARED, c.status_offset);
	MAP_FAILS(fd, 2 * page, PROT_READ, MAP_SHARED, c.status_offset);
	MAP_FAILS(other, page, PROT_READ, MAP_SHARED, c.status_offset);
	doorbell = mmap(NULL, stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)c.doorbell_offset);
	ck_assert_ptr_ne((void *)(uintptr_t)doorbell, MAP_FAILED);
	status = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)c.status_offset);
	ck_assert_ptr_ne((void *)(uintptr_t)status, MAP_FAILED);
	ck_assert_int_eq(mprotect((void *)(uintptr_t)status, page, PROT_READ | PROT_WRITE), -1);
	ck_assert_uint_eq(status[0], 0);
	/* The mappings stay valid when the queue is gone, and the device's page is no longer behind it. */
	destroy = (struct drm_weir_queue_destroy){.queue = c.queue};
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy), 0);
	doorbell[0] = 77;
	(void)status[0];
	MAP_FAILS(fd, stride, PROT_READ | PROT_WRITE, MAP_SHARED, c.doorbell_offset);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &c), 0);
	p = mmap(NULL, stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)c.doorbell_offset);
	ck_assert_ptr_ne(p, MAP_FAILED);
	ck_assert_uint_eq(*(volatile uint64_t *)p, 0);
	doorbell[0] = 78;
	ck_assert_uint_eq(*(volatile uint64_t *)p, 0);
	munmap(p, stride);
	munmap((void *)(uintptr_t)doorbell, stride);
	munmap((void *)(uintptr_t)status, page);
	node_bo_destroy(&bo);
	close(fd);
	close(other);
}
END_TEST

/* ---- packets ------------------------------------------------------------- */

START_TEST(copy_fill_signal)
{
	struct node_queue q;
	struct node_bo a, b;
	uint64_t value, wrong = 0;

	open_queue(&q, WEIR_QUEUE_FENCED);
	ck_assert_int_eq(node_bo_create(q.fd, 1 << 20, 0, &a), 0);
	ck_assert_int_eq(node_bo_create(q.fd, 1 << 20, WEIR_BO_WRITE_COMBINED, &b), 0);
	for (size_t i = 0; i < a.size; i++)
		a.map[i] = (unsigned char)(i * 13);
	node_put_copy(&q, b.addr + 5, a.addr + 3, 300001);
	node_put_fill(&q, a.addr, 4096, 0xdeadbeef);
	node_packet(&q, WEIR_NPU_PACKET_NOP)->flags = WEIR_NPU_PACKET_BARRIER;
	node_put_signal(&q, WEIR_NPU_PACKET_SIGNAL, b.addr + 512 * 1024, 0x1234567890abcdefull);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(node_finish(&q, 10000), 0);
	for (size_t i = 0; i < 300001; i++)
		wrong += b.map[5 + i] != (unsigned char)((i + 3) * 13);
	ck_assert_uint_eq(wrong, 0);
	ck_assert_uint_eq(((uint32_t *)(void *)a.map)[1023], 0xdeadbeef);
	ck_assert_uint_eq(a.map[4096], (unsigned char)(4096 * 13));
	memcpy(&value, b.map + 512 * 1024, sizeof(value));
	ck_assert_uint_eq(value, 0x1234567890abcdefull);
	ck_assert_uint_eq(q.status->completed, 4);
	ck_assert_uint_eq(q.status->read_index, 4);
	ck_assert_uint_eq(q.status->state, WEIR_NPU_QUEUE_OK);
	ck_assert_uint_eq(node_state(&q).completed, 4);
	ck_assert_uint_eq(node_state(&q).submitted, 4);
	node_bo_destroy(&a);
	node_bo_destroy(&b);
	close_queue(&q);
}
END_TEST

/* Many times round the ring, by ones and by fulls. */
START_TEST(ring_wraps)
{
	struct node_queue q;
	struct node_bo bo;

	open_queue(&q, WEIR_QUEUE_FENCED);
	ck_assert_int_eq(node_bo_create(q.fd, PAGE, 0, &bo), 0);
	for (uint64_t round = 0; round < 40; round++) {
		uint64_t n = round % 3 ? q.slots : 1 + round % 7;

		for (uint64_t i = 0; i < n; i++)
			node_put_signal(&q, WEIR_NPU_PACKET_SIGNAL, bo.addr + 8 * (i % 64), q.written + 1);
		ck_assert_int_eq(node_ring(&q), 0);
		ck_assert_int_eq(node_finish(&q, 10000), 0);
		ck_assert_uint_eq(((uint64_t *)(void *)bo.map)[(n - 1) % 64], q.written);
	}
	node_bo_destroy(&bo);
	close_queue(&q);
}
END_TEST

/* Doorbells while the device sleeps and while it is awake; none is lost. */
START_TEST(sleep_and_kick)
{
	struct node_queue q;
	uint64_t kicks = 0;

	open_queue(&q, WEIR_QUEUE_FENCED);
	for (int i = 0; i < 60; i++) {
		kicks += q.status->need_kick;
		node_packet(&q, WEIR_NPU_PACKET_NOP);
		ck_assert_int_eq(node_ring(&q), 0);
		ck_assert_int_eq(node_finish(&q, 10000), 0);
		if (i % 6 == 0)
			usleep(400000 - (unsigned)i * 5000);
	}
	printf("60 submissions, %llu kicks\n", (unsigned long long)kicks);
	ck_assert_uint_gt(kicks, 0);
	ck_assert_uint_lt(kicks, 40);
	close_queue(&q);
}
END_TEST

/* ---- waits --------------------------------------------------------------- */

static int wait_for(struct node_queue *q, uint64_t seq, int eventfd, int64_t timeout_ns)
{
	struct drm_weir_queue_wait wait = {
		.queue = q->id,
		.eventfd = eventfd,
		.seq = seq,
		.timeout_ns = timeout_ns,
	};

	return node_ioctl(q->fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait);
}

START_TEST(wait_times)
{
	struct node_queue q;
	uint64_t start;

	open_queue(&q, WEIR_QUEUE_FENCED);
	ck_assert_int_eq(wait_for(&q, 0, -1, 0), 0);
	start = node_now();
	ck_assert_int_eq(wait_for(&q, 1, -1, node_deadline(100)), -ETIME);
	ck_assert_uint_ge(node_now() - start, 99000000);
	start = node_now();
	ck_assert_int_eq(wait_for(&q, 1, -1, 0), -ETIME);
	ck_assert_int_eq(wait_for(&q, 1, -1, -1), -ETIME);
	ck_assert_int_eq(wait_for(&q, 1, -1, (int64_t)start), -ETIME);
	ck_assert_uint_lt(node_now() - start, 1000000000);
	ck_assert_int_eq(wait_for(&q, 1, -2, 0), -EBADF);
	ck_assert_int_eq(wait_for(&q, 1, q.fd, 0), -EBADF);
	ck_assert_int_eq(wait_for(&q, 1, 9999, 0), -EBADF);
	node_packet(&q, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(wait_for(&q, 1, -1, INT64_MAX), 0);
	close_queue(&q);
}
END_TEST

static uint64_t read_event(int event, int ms)
{
	struct pollfd p = {.fd = event, .events = POLLIN};
	uint64_t value = 0;

	if (poll(&p, 1, ms) == 1 && read(event, &value, sizeof(value)) != sizeof(value))
		value = 0;
	return value;
}

START_TEST(eventfds)
{
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK), later = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	struct node_queue q;
	int err = 0, n = 0;

	open_queue(&q, WEIR_QUEUE_LONG_RUNNING);
	ck_assert_int_eq(wait_for(&q, 0, event, 0), 0);
	ck_assert_uint_eq(read_event(event, 1000), 1);
	ck_assert_int_eq(wait_for(&q, 2, event, 0), 0);
	ck_assert_int_eq(wait_for(&q, 3, later, 0), 0);
	node_packet(&q, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(node_finish(&q, 10000), 0);
	ck_assert_uint_eq(read_event(event, 50), 0);
	node_packet(&q, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_uint_eq(read_event(event, 10000), 1);
	ck_assert_uint_eq(read_event(later, 50), 0);
	/* One waits already: room for all but one. */
	while (n < 1000 && (err = wait_for(&q, 100, event, 0)) == 0)
		n++;
	ck_assert_int_eq(err, -ENOSPC);
	ck_assert_int_eq(n, WEIR_QUEUE_EVENTFDS - 1);
	/* The end of the queue is an end of waiting. */
	close_queue(&q);
	ck_assert_uint_eq(read_event(later, 10000), 1);
	close(event);
	close(later);
}
END_TEST

/* ---- fences -------------------------------------------------------------- */

START_TEST(fence_errors)
{
	struct node_queue q, endless;
	struct drm_weir_queue_fence fence;
	uint32_t syncobj;

	open_queue(&q, WEIR_QUEUE_FENCED);
	ck_assert_int_eq(drmSyncobjCreate(q.fd, 0, &syncobj), 0);
	fence = (struct drm_weir_queue_fence){.queue = q.id, .syncobj = syncobj, .seq = 0};
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EINVAL);
	fence.seq = 1; /* not yet published */
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EINVAL);
	node_packet(&q, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&q), 0);
	fence.syncobj = 4711;
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -ENOENT);
	fence.syncobj = syncobj;
	fence.seq = 2;
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EINVAL);
	fence.seq = UINT64_MAX;
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EINVAL);
	ck_assert_int_eq(node_queue_create(q.fd, PAGE, WEIR_QUEUE_LONG_RUNNING, &endless), 0);
	node_packet(&endless, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&endless), 0);
	fence.queue = endless.id;
	fence.seq = 1;
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EINVAL);
	node_queue_destroy(&endless);
	drmSyncobjDestroy(q.fd, syncobj);
	close_queue(&q);
}
END_TEST

START_TEST(fence_points)
{
	struct node_queue q;
	struct node_bo bo;
	uint32_t binary, timeline;
	uint64_t point, value;
	int sync_file = -1;

	open_queue(&q, WEIR_QUEUE_FENCED);
	ck_assert_int_eq(drmSyncobjCreate(q.fd, 0, &binary), 0);
	ck_assert_int_eq(drmSyncobjCreate(q.fd, 0, &timeline), 0);
	ck_assert_int_eq(node_bo_create(q.fd, 1 << 20, 0, &bo), 0);
	for (uint64_t round = 1; round <= 20; round++) {
		struct drm_weir_queue_fence fence = {.queue = q.id, .syncobj = timeline, .point = round * 10};

		node_put_fill(&q, bo.addr, bo.size, (uint32_t)round);
		node_put_fill(&q, bo.addr, bo.size, (uint32_t)round + 1000);
		ck_assert_int_eq(node_ring(&q), 0);
		fence.seq = q.written;
		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), 0);
		fence.syncobj = binary;
		fence.point = 0;
		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), 0);
		point = round * 10;
		ck_assert_int_eq(drmSyncobjTimelineWait(q.fd, &timeline, &point, 1, node_deadline(10000), 0, NULL), 0);
		ck_assert_uint_eq(((volatile uint32_t *)(void *)bo.map)[bo.size / 4 - 1], round + 1000);
		ck_assert_int_eq(drmSyncobjWait(q.fd, &binary, 1, node_deadline(10000), 0, NULL), 0);
		ck_assert_int_eq(drmSyncobjQuery(q.fd, &timeline, &value, 1), 0);
		ck_assert_uint_eq(value, point);
	}
	/* As a sync_file it can be polled for. */
	ck_assert_int_eq(drmSyncobjExportSyncFile(q.fd, binary, &sync_file), 0);
	ck_assert_int_eq(poll(&(struct pollfd){.fd = sync_file, .events = POLLIN}, 1, 1000), 1);
	close(sync_file);
	node_bo_destroy(&bo);
	drmSyncobjDestroy(q.fd, binary);
	drmSyncobjDestroy(q.fd, timeline);
	close_queue(&q);
}
END_TEST

/* ---- classes ------------------------------------------------------------- */

/* A long-running queue waits on memory that the process writes; a fenced one must not. */
START_TEST(wait_packets)
{
	struct node_queue q, fenced;
	struct drm_weir_queue_kick kick;
	struct node_bo bo;

	open_queue(&q, WEIR_QUEUE_LONG_RUNNING);
	ck_assert_int_eq(node_bo_create(q.fd, PAGE, 0, &bo), 0);
	node_put_signal(&q, WEIR_NPU_PACKET_WAIT, bo.addr, 5);
	node_put_signal(&q, WEIR_NPU_PACKET_SIGNAL, bo.addr + 8, 6);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(node_finish(&q, 300), -ETIME);
	ck_assert_uint_eq(((volatile uint64_t *)(void *)bo.map)[1], 0);
	__atomic_store_n((uint64_t *)(void *)bo.map, 5, __ATOMIC_RELEASE);
	kick = (struct drm_weir_queue_kick){.queue = q.id};
	if (q.status->need_kick)
		ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick), 0);
	ck_assert_int_eq(node_finish(&q, 10000), 0);
	ck_assert_uint_eq(((volatile uint64_t *)(void *)bo.map)[1], 6);

	ck_assert_int_eq(node_queue_create(q.fd, PAGE, WEIR_QUEUE_FENCED, &fenced), 0);
	node_put_signal(&fenced, WEIR_NPU_PACKET_WAIT, bo.addr, 5);
	ck_assert_int_eq(node_ring(&fenced), 0);
	ck_assert_int_eq(node_finish(&fenced, 10000), -EIO);
	ck_assert_uint_eq(node_state(&fenced).state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(node_state(&fenced).code, WEIR_NPU_FAULT_PACKET);
	node_queue_destroy(&fenced);
	node_bo_destroy(&bo);
	close_queue(&q);
}
END_TEST

/* A dead queue says so in each call; a new one of the same file works. */
START_TEST(dead_queue)
{
	struct node_queue q, next;
	struct drm_weir_queue_state state;
	struct drm_weir_queue_fence fence;
	struct drm_weir_queue_kick kick;
	int event = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	uint32_t syncobj;

	open_queue(&q, WEIR_QUEUE_FENCED);
	ck_assert_int_eq(drmSyncobjCreate(q.fd, 0, &syncobj), 0);
	node_packet(&q, WEIR_NPU_PACKET_NOP);
	node_packet(&q, 200);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(node_finish(&q, 10000), -EIO);
	state = node_state(&q);
	ck_assert_uint_eq(state.state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_uint_eq(state.code, WEIR_NPU_FAULT_PACKET);
	ck_assert_uint_eq(state.error_seq, 1);
	ck_assert_uint_eq(state.fault_addr, 0);
	ck_assert_uint_eq(state.completed, 1);
	ck_assert_uint_eq(q.status->state, WEIR_NPU_QUEUE_GUILTY);
	ck_assert_int_eq(wait_for(&q, 1, -1, node_deadline(100)), 0);
	ck_assert_int_eq(wait_for(&q, 2, event, 0), -EIO);
	kick = (struct drm_weir_queue_kick){.queue = q.id};
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick), -EIO);
	fence = (struct drm_weir_queue_fence){.queue = q.id, .syncobj = syncobj, .seq = 2};
	ck_assert_int_eq(node_ioctl(q.fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence), -EIO);
	ck_assert_int_eq(node_queue_create(q.fd, PAGE, WEIR_QUEUE_FENCED, &next), 0);
	node_packet(&next, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&next), 0);
	ck_assert_int_eq(node_finish(&next, 10000), 0);
	node_queue_destroy(&next);
	drmSyncobjDestroy(q.fd, syncobj);
	close(event);
	close_queue(&q);
}
END_TEST

/* The ring's buffer may lose its handle: the queue keeps it. */
START_TEST(ring_outlives_handle)
{
	struct node_queue q;

	open_queue(&q, WEIR_QUEUE_FENCED);
	drmCloseBufferHandle(q.fd, q.ring.handle);
	q.ring.handle = 0;
	node_packet(&q, WEIR_NPU_PACKET_NOP);
	ck_assert_int_eq(node_ring(&q), 0);
	ck_assert_int_eq(node_finish(&q, 10000), 0);
	close_queue(&q);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("queues");
	TCase *tc = tcase_create("queues");

	suite_add_tcase(s, tc);
	tcase_set_timeout(tc, 120);
	tcase_add_test(tc, create_errors);
	tcase_add_test(tc, priority);
	tcase_add_test(tc, queue_limit);
	tcase_add_test(tc, no_such_queue);
	tcase_add_test(tc, padding_and_pointers);
	tcase_add_test(tc, no_queues);
	tcase_add_test(tc, page_mappings);
	tcase_add_test(tc, copy_fill_signal);
	tcase_add_test(tc, ring_wraps);
	tcase_add_test(tc, sleep_and_kick);
	tcase_add_test(tc, wait_times);
	tcase_add_test(tc, eventfds);
	tcase_add_test(tc, fence_errors);
	tcase_add_test(tc, fence_points);
	tcase_add_test(tc, wait_packets);
	tcase_add_test(tc, dead_queue);
	tcase_add_test(tc, ring_outlives_handle);
	return node_suite(s, NODE_NPU);
}
