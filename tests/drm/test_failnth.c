/* SPDX-License-Identifier: MIT */
/*
 * Every allocation and every copy that an operation of weir.ko makes fails once: the operation must
 * say so (-ENOMEM or -EFAULT) or do without, and leave nothing behind. The kernel counts down
 * /proc/thread-self/fail-nth.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <stdint.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xf86drm.h>

#include "drm/node.h"

/* More allocations than any operation makes: a walk that comes so far has not ended. */
#define MOST_FAILURES 2000
#define BYTES 65536

/* What an operation works on; made anew for each failure: nothing is left of the one before. */
struct bench {
	int fd;		/* a file of its own */
	int other;	/* a second file of the same device */
	int vgem;	/* -1: none here */
	int dmabuf;
	int fd2;	/* what open() made */
	uint32_t handle;
	uint32_t imported;
	uint32_t queue;
	uint32_t syncobj;
	uint64_t offset;
	size_t length;	/* of map */
	void *map;
	void *doorbell;
	size_t doorbell_bytes;
	uint64_t doorbell_offset;
	uint64_t status_offset;
};

struct operation {
	const char *name;
	int needs_queues;
	int needs_vgem;
	void (*prepare)(struct bench *b);
	int (*act)(struct bench *b);	/* 0 or -errno; only this meets failures */
};

static char nodes[8][32];
static int n_nodes;

/* ---- the switch ----------------------------------------------------------------------------- */

static int nth_file = -1;

/*
 * From the next system call on, failure number n happens; 0: none. Reading and writing the count
 * copies bytes too, so either can meet the failure itself: then the count is used up, and once more
 * works.
 */
static void fail_arm(int n)
{
	char text[16];
	int length = snprintf(text, sizeof(text), "%d", n);

	if (pwrite(nth_file, text, length, 0) != length)
		ck_assert_int_eq(pwrite(nth_file, text, length, 0), length);
}

/* Whether the operation met the failure: the count was used up before it was read. */
static int fail_disarm(void)
{
	char text[16] = "";
	int met = pread(nth_file, text, sizeof(text) - 1, 0) > 0 && atoi(text) == 0;

	fail_arm(0);
	return met;
}

static int knob_write(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	int good;

	if (fd < 0)
		return -1;
	good = write(fd, text, strlen(text)) == (ssize_t)strlen(text);
	close(fd);
	return good ? 0 : -1;
}

/*
 * By default the kernel spares pages and allocations that may sleep, which is what a driver's are,
 * and logs each failure.
 */
static int fail_setup(void)
{
	static const char *const knobs[][2] = {
		{ "/sys/kernel/debug/failslab/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/failslab/verbose", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-wait", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/ignore-gfp-highmem", "N" },
		{ "/sys/kernel/debug/fail_page_alloc/min-order", "0" },
		{ "/sys/kernel/debug/fail_page_alloc/verbose", "0" },
		{ "/sys/kernel/debug/fail_usercopy/verbose", "0" },
	};

	nth_file = open("/proc/thread-self/fail-nth", O_RDWR | O_CLOEXEC);
	if (nth_file < 0) {
		printf("skip failing allocations: this kernel has no fail-nth\n");
		return -1;
	}
	for (unsigned i = 0; i < sizeof(knobs) / sizeof(knobs[0]); i++) {
		if (knob_write(knobs[i][0], knobs[i][1])) {
			printf("skip failing allocations: cannot write %s: %s\n", knobs[i][0], strerror(errno));
			return -1;
		}
	}
	return 0;
}

/* ---- the device ----------------------------------------------------------------------------- */

static void nodes_find(void)
{
	for (int minor = 128; minor < 192 && n_nodes < 8; minor++) {
		char *path = nodes[n_nodes];
		drmVersionPtr version;
		int fd;

		snprintf(path, sizeof(nodes[0]), "/dev/dri/renderD%d", minor);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		version = drmGetVersion(fd);
		if (version && !strcmp(version->name, "weir"))
			n_nodes++;
		drmFreeVersion(version);
		close(fd);
	}
}

/* ---- preparations --------------------------------------------------------------------------- */

static void prepare_nothing(struct bench *b)
{
	(void)b;
}

static void prepare_buffer(struct bench *b)
{
	struct drm_weir_bo_create bo = { .size = BYTES };

	ck_assert_int_eq(node_ioctl(b->fd, DRM_IOCTL_WEIR_BO_CREATE, &bo), 0);
	b->handle = bo.handle;
	b->offset = bo.mmap_offset;
}

static void prepare_dmabuf(struct bench *b)
{
	prepare_buffer(b);
	ck_assert_int_eq(drmPrimeHandleToFD(b->fd, b->handle, DRM_CLOEXEC | DRM_RDWR, &b->dmabuf), 0);
}

static void prepare_foreign(struct bench *b)
{
	struct drm_mode_create_dumb dumb = { .width = 128, .height = 128, .bpp = 32 };

	ck_assert_int_eq(node_ioctl(b->vgem, DRM_IOCTL_MODE_CREATE_DUMB, &dumb), 0);
	ck_assert_int_eq(drmPrimeHandleToFD(b->vgem, dumb.handle, DRM_CLOEXEC | DRM_RDWR, &b->dmabuf), 0);
	ck_assert_int_eq(drmCloseBufferHandle(b->vgem, dumb.handle), 0);
}

static int queue_create(struct bench *b)
{
	struct drm_weir_queue_create queue = {
		.ring_handle = b->handle, .queue_class = WEIR_QUEUE_FENCED, .ring_size = WEIR_NPU_RING_MIN,
		.priority = WEIR_QUEUE_PRIORITY_NORMAL,
	};
	int r = node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &queue);

	if (!r) {
		b->queue = queue.queue;
		b->doorbell_offset = queue.doorbell_offset;
		b->status_offset = queue.status_offset;
	}
	return r;
}

static void prepare_queue(struct bench *b)
{
	prepare_buffer(b);
	ck_assert_int_eq(queue_create(b), 0);
}

/* One packet that does nothing is in the ring and published. */
static void prepare_work(struct bench *b)
{
	struct weir_npu_packet *ring;

	prepare_queue(b);
	ring = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd, b->offset);
	ck_assert_ptr_ne(ring, MAP_FAILED);
	ring[0] = (struct weir_npu_packet){ .type = WEIR_NPU_PACKET_NOP };
	munmap(ring, BYTES);
	b->doorbell = mmap(NULL, b->doorbell_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, b->fd,
		b->doorbell_offset);
	ck_assert_ptr_ne(b->doorbell, MAP_FAILED);
	__atomic_store_n((uint64_t *)b->doorbell, 1, __ATOMIC_SEQ_CST);
	ck_assert_int_eq(drmSyncobjCreate(b->fd, 0, &b->syncobj), 0);
}

/* ---- operations ----------------------------------------------------------------------------- */

static int act_open(struct bench *b)
{
	char path[64], link[32];
	ssize_t length;

	snprintf(link, sizeof(link), "/proc/self/fd/%d", b->fd);
	length = readlink(link, path, sizeof(path) - 1);
	if (length < 0)
		return -errno;
	path[length] = 0;
	b->fd2 = open(path, O_RDWR | O_CLOEXEC);
	return b->fd2 < 0 ? -errno : 0;
}

/* A file that is closed with what is in it: that cannot fail, only do harm. */
static int act_close(struct bench *b)
{
	close(b->fd);
	b->fd = -1;
	return 0;
}

static int act_query(struct bench *b)
{
	struct drm_weir_query_device device = { 0 };
	struct drm_weir_dev_query ask = {
		.type = WEIR_QUERY_DEVICE, .size = sizeof(device), .pointer = (uintptr_t)&device,
	};

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_DEV_QUERY, &ask);
}

static int create(struct bench *b, uint32_t flags)
{
	struct drm_weir_bo_create bo = { .size = BYTES, .flags = flags };

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_BO_CREATE, &bo);
}

static int act_create(struct bench *b)
{
	return create(b, WEIR_BO_CACHED);
}

static int act_create_combined(struct bench *b)
{
	return create(b, WEIR_BO_WRITE_COMBINED | WEIR_BO_BELOW_4G);
}

static int act_create_contiguous(struct bench *b)
{
	int r = create(b, WEIR_BO_CONTIGUOUS);

	/* What cannot be allocated in one range is what the caller is told. */
	return r == -ENOSPC ? -ENOMEM : r;
}

static int act_info(struct bench *b)
{
	struct drm_weir_bo_info info = { .handle = b->handle };

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_BO_INFO, &info);
}

static int act_sync(struct bench *b)
{
	struct drm_weir_sync_range range = {
		.handle = b->handle, .flags = WEIR_SYNC_READ | WEIR_SYNC_WRITE,
	};
	struct drm_weir_bo_sync sync = {
		.ranges = (uintptr_t)&range, .count = 1, .stride = sizeof(range),
	};

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_BO_SYNC, &sync);
}

static int act_close_handle(struct bench *b)
{
	return drmCloseBufferHandle(b->fd, b->handle) ? -errno : 0;
}

/* Touches a page by a system call, which says -EFAULT where a store would end the process. */
static int touch(const void *page)
{
	int fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return -errno;
	r = read(fd, (void *)page, 1) == 1 ? 0 : -errno;
	close(fd);
	return r;
}

static int map_and(struct bench *b, int fd, uint64_t offset, size_t length, int protection)
{
	void *map = mmap(NULL, length, protection, MAP_SHARED, fd, offset);

	if (map == MAP_FAILED)
		return -errno;
	b->map = map;
	b->length = length;
	return protection & PROT_WRITE ? touch(map) : 0;
}

static int act_map(struct bench *b)
{
	return map_and(b, b->fd, b->offset, BYTES, PROT_READ | PROT_WRITE);
}

static int act_map_dmabuf(struct bench *b)
{
	return map_and(b, b->dmabuf, 0, BYTES, PROT_READ | PROT_WRITE);
}

static int act_map_doorbell(struct bench *b)
{
	return map_and(b, b->fd, b->doorbell_offset, b->doorbell_bytes, PROT_READ | PROT_WRITE);
}

static int act_map_status(struct bench *b)
{
	return map_and(b, b->fd, b->status_offset, 4096, PROT_READ);
}

/* DRM opens the file, then copies its number out: where that fails, the number is guessed. */
static int act_export(struct bench *b)
{
	int next = dup(b->fd);

	close(next);
	b->dmabuf = next;
	return drmPrimeHandleToFD(b->fd, b->handle, DRM_CLOEXEC | DRM_RDWR, &b->dmabuf) ? -errno : 0;
}

static int act_import_own(struct bench *b)
{
	return drmPrimeFDToHandle(b->other, b->dmabuf, &b->imported) ? -errno : 0;
}

static int act_import(struct bench *b)
{
	return drmPrimeFDToHandle(b->fd, b->dmabuf, &b->imported) ? -errno : 0;
}

/* vgem attaches to a buffer of ours and has it mapped. */
static int act_export_to_vgem(struct bench *b)
{
	struct drm_gem_close close_it = { 0 };
	int r = drmPrimeFDToHandle(b->vgem, b->dmabuf, &close_it.handle) ? -errno : 0;

	if (!r)
		node_ioctl(b->vgem, DRM_IOCTL_GEM_CLOSE, &close_it);
	return r;
}

static int act_dmabuf_sync(struct bench *b)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW };

	return node_ioctl(b->dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
}

static int act_queue_destroy(struct bench *b)
{
	struct drm_weir_queue_destroy destroy = { .queue = b->queue };

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy);
}

static int act_queue_kick(struct bench *b)
{
	struct drm_weir_queue_kick kick = { .queue = b->queue };

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick);
}

static int act_queue_state(struct bench *b)
{
	struct drm_weir_queue_state state = { .queue = b->queue };

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_STATE, &state);
}

static int act_queue_fence(struct bench *b)
{
	struct drm_weir_queue_fence fence = {
		.queue = b->queue, .syncobj = b->syncobj, .seq = 1, .point = 1,
	};

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_FENCE, &fence);
}

static int act_queue_wait(struct bench *b)
{
	struct drm_weir_queue_wait wait = { .queue = b->queue, .eventfd = -1, .seq = 2 };
	int r = node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait);

	/* Nothing published packet 2 and the time was over before: that is the answer. */
	return r == -ETIME ? 0 : r;
}

static int act_queue_wait_event(struct bench *b)
{
	struct drm_weir_queue_wait wait = { .queue = b->queue, .eventfd = b->fd2, .seq = 2 };

	return node_ioctl(b->fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait);
}

static void prepare_event(struct bench *b)
{
	prepare_queue(b);
	b->fd2 = eventfd(0, EFD_CLOEXEC);
	ck_assert_int_ge(b->fd2, 0);
}

static const struct operation operations[] = {
	{ "open", 0, 0, prepare_nothing, act_open },
	{ "close", 0, 0, prepare_buffer, act_close },
	{ "close with a queue", 1, 0, prepare_work, act_close },
	{ "DEV_QUERY", 0, 0, prepare_nothing, act_query },
	{ "BO_CREATE", 0, 0, prepare_nothing, act_create },
	{ "BO_CREATE, write-combined", 0, 0, prepare_nothing, act_create_combined },
	{ "BO_CREATE, contiguous", 0, 0, prepare_nothing, act_create_contiguous },
	{ "BO_INFO", 0, 0, prepare_buffer, act_info },
	{ "BO_SYNC", 0, 0, prepare_buffer, act_sync },
	{ "GEM_CLOSE", 0, 0, prepare_buffer, act_close_handle },
	{ "mmap", 0, 0, prepare_buffer, act_map },
	{ "PRIME export", 0, 0, prepare_buffer, act_export },
	{ "PRIME import, own buffer", 0, 0, prepare_dmabuf, act_import_own },
	{ "PRIME import, vgem's buffer", 0, 1, prepare_foreign, act_import },
	{ "PRIME import by vgem", 0, 1, prepare_dmabuf, act_export_to_vgem },
	{ "mmap of a dma-buf", 0, 0, prepare_dmabuf, act_map_dmabuf },
	{ "DMA_BUF_IOCTL_SYNC", 0, 0, prepare_dmabuf, act_dmabuf_sync },
	{ "QUEUE_CREATE", 1, 0, prepare_buffer, queue_create },
	{ "QUEUE_DESTROY", 1, 0, prepare_queue, act_queue_destroy },
	{ "QUEUE_KICK", 1, 0, prepare_work, act_queue_kick },
	{ "QUEUE_STATE", 1, 0, prepare_queue, act_queue_state },
	{ "QUEUE_FENCE", 1, 0, prepare_work, act_queue_fence },
	{ "QUEUE_WAIT", 1, 0, prepare_work, act_queue_wait },
	{ "QUEUE_WAIT, eventfd", 1, 0, prepare_event, act_queue_wait_event },
	{ "mmap of a doorbell", 1, 0, prepare_queue, act_map_doorbell },
	{ "mmap of a status page", 1, 0, prepare_queue, act_map_status },
};
#define N_OPERATIONS ((int)(sizeof(operations) / sizeof(operations[0])))

/* ---- the walk ------------------------------------------------------------------------------- */

static void bench_open(struct bench *b, const struct operation *op, const char *path)
{
	*b = (struct bench){ .other = -1, .vgem = -1, .dmabuf = -1, .fd2 = -1 };
	b->fd = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(b->fd, 0);
	b->other = open(path, O_RDWR | O_CLOEXEC);
	ck_assert_int_ge(b->other, 0);
	b->doorbell_bytes = node_query(b->fd).doorbell_stride;
	if (op->needs_vgem)
		b->vgem = drmOpen("vgem", NULL);
}

static void bench_close(struct bench *b)
{
	if (b->map)
		munmap(b->map, b->length);
	if (b->doorbell)
		munmap(b->doorbell, b->doorbell_bytes);
	if (b->dmabuf >= 0)
		close(b->dmabuf);
	if (b->fd2 >= 0)
		close(b->fd2);
	if (b->fd >= 0)
		close(b->fd);
	if (b->vgem >= 0)
		drmClose(b->vgem);
	close(b->other);
}

/* One failure, number n: whether it happened. */
static int meet_failure(const struct operation *op, const char *path, int n)
{
	struct bench b;
	int r, met;

	bench_open(&b, op, path);
	op->prepare(&b);
	fail_arm(n);
	r = op->act(&b);
	met = fail_disarm();
	if (met)
		ck_assert_msg(r == 0 || r == -ENOMEM || r == -EFAULT, "%s, failure %d: %s", op->name,
			n, strerror(-r));
	else
		ck_assert_msg(r == 0, "%s without a failure: %s", op->name, strerror(-r));
	bench_close(&b);
	return met;
}

/* The same operation works on a file that met nothing, after all those that did. */
static void walk(const struct operation *op, const char *path)
{
	struct drm_weir_query_device before, after;
	struct bench b;
	int n = 1;

	bench_open(&b, op, path);
	before = node_query(b.fd);
	while (meet_failure(op, path, n))
		ck_assert_msg(n++ < MOST_FAILURES, "%s: failures without end", op->name);
	after = node_query(b.fd);
	ck_assert_msg(before.user_quota_used == after.user_quota_used,
		"%s: %llu bytes stay charged to the user", op->name,
		(unsigned long long)(after.user_quota_used - before.user_quota_used));
	ck_assert_msg(before.resets == after.resets, "%s: the device was reset", op->name);
	printf("fail-nth %s: %d failures met\n", op->name, n - 1);
	bench_close(&b);
}

START_TEST(every_failure)
{
	const char *path = nodes[_i / N_OPERATIONS];
	const struct operation *op = &operations[_i % N_OPERATIONS];
	int fd = open(path, O_RDWR | O_CLOEXEC);
	int vgem, queues;

	ck_assert_int_ge(fd, 0);
	queues = !!(node_query(fd).caps & WEIR_CAP_QUEUES);
	close(fd);
	if (op->needs_queues && !queues)
		return;
	if (op->needs_vgem) {
		vgem = drmOpen("vgem", NULL);
		if (vgem < 0) {
			printf("skip %s: no vgem here\n", op->name);
			return;
		}
		drmClose(vgem);
	}
	walk(op, path);
}
END_TEST

int main(void)
{
	Suite *s = suite_create("failnth");
	TCase *t = tcase_create("every failure");

	setlinebuf(stdout);
	nodes_find();
	if (!n_nodes) {
		printf("skip failing allocations: no device of weir.ko here\n");
		return 77;
	}
	if (fail_setup())
		return 77;
	tcase_set_timeout(t, 0);
	tcase_add_loop_test(t, every_failure, 0, n_nodes * N_OPERATIONS);
	suite_add_tcase(s, t);
	return suite_run(s);
}
