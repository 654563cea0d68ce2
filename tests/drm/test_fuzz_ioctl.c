/* SPDX-License-Identifier: MIT */
/*
 * Random and nearly valid ioctls, mmaps and closes from several threads on shared files: the kernel must survive (its log
 * is looked at by whoever runs this), afterwards the device must work, and nothing may be left.
 *     WEIR_TEST_FUZZ_CALLS (20000), WEIR_TEST_FUZZ_SEED (1)
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <xf86drm.h>

#include "drm/node.h"

#define THREADS 4
#define FILES 3
#define SLOTS 64

static enum node_kind kind;
static int files[FILES];
static uint64_t calls_per_thread;
static uint64_t worked; /* calls that the kernel accepted, of all threads */

struct fuzzer {
	pthread_t thread;
	uint64_t state, ok;
	struct {
		void *p;
		size_t size;
	} maps[SLOTS];
	uint32_t handles[SLOTS], queues[SLOTS];
	uint64_t offsets[SLOTS];
	int fds[SLOTS];
	unsigned next;
};

static uint64_t roll(struct fuzzer *f)
{
	f->state ^= f->state << 13;
	f->state ^= f->state >> 7;
	f->state ^= f->state << 17;
	return f->state * 0x2545f4914f6cdd1dull;
}

/* Mostly small, sometimes at a border, sometimes anything. */
static uint64_t number(struct fuzzer *f)
{
	uint64_t r = roll(f);

	switch (r % 8) {
	case 0:
		return roll(f);
	case 1:
		return 1ull << (roll(f) % 64);
	case 2:
		return (1ull << (roll(f) % 64)) - 1;
	case 3:
		return -(roll(f) % 4097);
	case 4:
		return (roll(f) % 65) * 4096;
	default:
		return roll(f) % 9;
	}
}

static uint32_t slot(struct fuzzer *f)
{
	return (uint32_t)(roll(f) % SLOTS);
}

static int file(struct fuzzer *f)
{
	return files[roll(f) % FILES];
}

static uint32_t a_handle(struct fuzzer *f)
{
	return roll(f) % 8 ? f->handles[slot(f)] : (uint32_t)number(f);
}

static uint32_t a_queue(struct fuzzer *f)
{
	return roll(f) % 8 ? f->queues[slot(f)] : (uint32_t)number(f);
}

/* Flips a bit here and there in an argument that was valid. */
static void damage(struct fuzzer *f, void *arg, size_t size)
{
	while (roll(f) % 4 == 0)
		((unsigned char *)arg)[roll(f) % size] ^= (unsigned char)(1u << roll(f) % 8);
}

static void keep_fd(struct fuzzer *f, int fd)
{
	uint32_t s = slot(f);

	if (fd < 0)
		return;
	if (f->fds[s] > 0)
		close(f->fds[s]);
	f->fds[s] = fd;
}

static int do_create(struct fuzzer *f)
{
	struct drm_weir_bo_create c = {
		.size = roll(f) % 16 ? 1 + roll(f) % 300000 : number(f),
		.flags = (uint32_t)(roll(f) % 16 ? roll(f) % 16 : number(f)),
	};
	uint32_t s = slot(f);
	int err;

	damage(f, &c, sizeof(c));
	if (c.size > 64 << 20 && c.size < 1ull << 40)
		c.size = 1 << 20; /* memory is for others too */
	err = node_ioctl(file(f), DRM_IOCTL_WEIR_BO_CREATE, &c);
	if (err == 0) {
		f->handles[s] = c.handle;
		f->offsets[s] = c.mmap_offset;
	}
	return err;
}

static int do_bo(struct fuzzer *f)
{
	struct drm_weir_bo_info info = {.handle = a_handle(f)};
	struct drm_weir_sync_range range[2] = {
		{.handle = a_handle(f), .flags = (uint32_t)roll(f) % 9, .offset = number(f), .size = number(f)},
		{.handle = a_handle(f), .flags = 1},
	};
	struct drm_weir_bo_sync sync = {
		.ranges = roll(f) % 16 ? (uintptr_t)range : number(f),
		.count = (uint32_t)(roll(f) % 4 ? 1 + roll(f) % 2 : number(f)),
		.stride = sizeof(range[0]),
		.timeout_ns = (int64_t)number(f),
	};
	struct drm_weir_dev_query query = {
		.type = (uint32_t)roll(f) % 3,
		.size = (uint32_t)number(f) % 8192,
		.pointer = 0,
	};
	static char room[THREADS * 8192];

	switch (roll(f) % 3) {
	case 0:
		damage(f, &info, sizeof(info));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_BO_INFO, &info);
	case 1:
		damage(f, &sync, sizeof(sync));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_BO_SYNC, &sync);
	default:
		query.pointer = roll(f) % 4 ? (uintptr_t)room : number(f) & 0xfff;
		return node_ioctl(file(f), DRM_IOCTL_WEIR_DEV_QUERY, &query);
	}
}

static int do_map(struct fuzzer *f)
{
	size_t size = (1 + roll(f) % 20) * 4096;
	off_t offset = (off_t)(roll(f) % 8 ? f->offsets[slot(f)] + (roll(f) % 4 ? 0 : 4096) : number(f) & ~4095ull);
	int prot = roll(f) % 4 ? PROT_READ | PROT_WRITE : PROT_READ;
	uint32_t s = slot(f);
	void *p;

	if (f->maps[s].p) {
		munmap(f->maps[s].p, f->maps[s].size);
		f->maps[s].p = NULL;
	}
	p = mmap(NULL, size, prot, roll(f) % 8 ? MAP_SHARED : MAP_PRIVATE, file(f), offset);
	if (p == MAP_FAILED)
		return -errno;
	f->maps[s].p = p;
	f->maps[s].size = size;
	if (roll(f) % 2) {
		(void)*(volatile uint64_t *)p;
		if (prot & PROT_WRITE)
			*(volatile uint64_t *)p = roll(f) % 4 ? roll(f) % 8 : number(f);
	}
	return 0;
}

static int do_prime(struct fuzzer *f)
{
	uint32_t handle = 0;
	int fd = -1, err;

	if (roll(f) % 2) {
		err = drmPrimeHandleToFD(file(f), a_handle(f), (uint32_t)(roll(f) % 4 ? DRM_CLOEXEC | DRM_RDWR : 0), &fd);
		keep_fd(f, err ? -1 : fd);
	} else {
		fd = f->fds[slot(f)];
		err = drmPrimeFDToHandle(file(f), fd > 0 ? fd : (int)number(f), &handle);
		if (err == 0)
			f->handles[slot(f)] = handle;
	}
	return err;
}

static int do_close(struct fuzzer *f)
{
	uint32_t s = slot(f);

	switch (roll(f) % 3) {
	case 0:
		return drmCloseBufferHandle(file(f), f->handles[s]);
	case 1:
		if (f->maps[s].p)
			munmap(f->maps[s].p, f->maps[s].size);
		f->maps[s].p = NULL;
		return 0;
	default:
		if (f->fds[s] > 0)
			close(f->fds[s]);
		f->fds[s] = 0;
		return 0;
	}
}

static int do_queue_create(struct fuzzer *f)
{
	struct drm_weir_queue_create c = {
		.ring_handle = a_handle(f),
		.queue_class = (uint32_t)roll(f) % 2,
		.ring_size = 4096u << roll(f) % 3,
		.priority = (uint32_t)roll(f) % 3,
	};
	uint32_t s = slot(f);
	int err;

	damage(f, &c, sizeof(c));
	err = node_ioctl(file(f), DRM_IOCTL_WEIR_QUEUE_CREATE, &c);
	if (err == 0) {
		f->queues[s] = c.queue;
		f->offsets[slot(f)] = c.doorbell_offset;
		f->offsets[slot(f)] = c.status_offset;
	}
	return err;
}

static int do_queue(struct fuzzer *f)
{
	struct drm_weir_queue_destroy destroy = {.queue = a_queue(f)};
	struct drm_weir_queue_kick kick = {.queue = a_queue(f)};
	struct drm_weir_queue_state state = {.queue = a_queue(f)};
	struct drm_weir_queue_fence fence = {
		.queue = a_queue(f),
		.syncobj = (uint32_t)roll(f) % 4,
		.seq = number(f),
		.point = number(f),
	};
	struct drm_weir_queue_wait wait = {
		.queue = a_queue(f),
		.eventfd = roll(f) % 2 ? -1 : f->fds[slot(f)],
		.seq = number(f),
		.timeout_ns = roll(f) % 2 ? 0 : node_deadline((int)(roll(f) % 3)),
	};

	switch (roll(f) % 8) {
	case 0:
		damage(f, &destroy, sizeof(destroy));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy);
	case 1:
		damage(f, &kick, sizeof(kick));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_QUEUE_KICK, &kick);
	case 2:
	case 3:
		damage(f, &state, sizeof(state));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_QUEUE_STATE, &state);
	case 4:
	case 5:
		damage(f, &fence, sizeof(fence));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_QUEUE_FENCE, &fence);
	default:
		/* An endless wait would be the fuzzer's own fault. */
		damage(f, &wait.queue, sizeof(wait.queue) + sizeof(wait.eventfd) + sizeof(wait.seq));
		return node_ioctl(file(f), DRM_IOCTL_WEIR_QUEUE_WAIT, &wait);
	}
}

static int do_file(struct fuzzer *f)
{
	char path[32];
	int fd;

	if (roll(f) % 4) {
		keep_fd(f, eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
		return 0;
	}
	/* A second description of the same node that lives as long as it likes. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", file(f));
	fd = open(path, O_RDWR | O_CLOEXEC);
	keep_fd(f, fd);
	return fd < 0 ? -errno : 0;
}

static void *run(void *arg)
{
	static int (*const acts[])(struct fuzzer *) = {
		do_create, do_create, do_bo, do_bo, do_map, do_map, do_prime, do_close, do_close, do_queue_create,
		do_queue, do_queue, do_queue, do_queue, do_file,
	};
	struct fuzzer *f = arg;

	for (uint64_t i = 0; i < calls_per_thread; i++)
		f->ok += acts[roll(f) % (sizeof(acts) / sizeof(acts[0]))](f) == 0;
	for (unsigned i = 0; i < SLOTS; i++) {
		if (f->maps[i].p)
			munmap(f->maps[i].p, f->maps[i].size);
		if (f->fds[i] > 0)
			close(f->fds[i]);
	}
	__atomic_fetch_add(&worked, f->ok, __ATOMIC_RELAXED);
	return NULL;
}

START_TEST(random_calls)
{
	static struct fuzzer fuzzers[THREADS];
	const char *calls = getenv("WEIR_TEST_FUZZ_CALLS"), *seed = getenv("WEIR_TEST_FUZZ_SEED");
	uint64_t total = calls ? strtoull(calls, NULL, 0) : 20000, before;
	int fd = node_open(kind);
	struct node_bo bo;
	uint32_t syncobj;

	before = node_query(fd).user_quota_used;
	calls_per_thread = total / THREADS;
	worked = 0;
	for (int i = 0; i < FILES; i++) {
		files[i] = node_open(kind);
		for (int k = 0; k < 3; k++)
			drmSyncobjCreate(files[i], 0, &syncobj);
	}
	memset(fuzzers, 0, sizeof(fuzzers));
	for (unsigned i = 0; i < THREADS; i++) {
		fuzzers[i].state = (seed ? strtoull(seed, NULL, 0) : 1) * 0x9e3779b97f4a7c15ull + i + 1;
		ck_assert_int_eq(pthread_create(&fuzzers[i].thread, NULL, run, &fuzzers[i]), 0);
	}
	for (unsigned i = 0; i < THREADS; i++)
		pthread_join(fuzzers[i].thread, NULL);
	for (int i = 0; i < FILES; i++)
		close(files[i]);
	printf("%llu calls, %llu of them accepted\n", (unsigned long long)(calls_per_thread * THREADS),
		(unsigned long long)worked);
	ck_assert_uint_gt(worked, total / 20);
	for (int i = 0; i < 1000 && node_query(fd).user_quota_used != before; i++)
		usleep(10000);
	ck_assert_uint_eq(node_query(fd).user_quota_used, before);
	ck_assert_int_eq(node_bo_create(fd, 1 << 20, 0, &bo), 0);
	if (kind == NODE_NPU) {
		struct node_queue q;

		ck_assert_int_eq(node_queue_create(fd, 4096, WEIR_QUEUE_FENCED, &q), 0);
		node_put_fill(&q, bo.addr, bo.size, 0x01020304);
		ck_assert_int_eq(node_ring(&q), 0);
		ck_assert_int_eq(node_finish(&q, 30000), 0);
		ck_assert_uint_eq(bo.map[bo.size - 1], 1);
		node_queue_destroy(&q);
	}
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

int main(void)
{
	static const enum node_kind kinds[] = {NODE_NPU, NODE_MANAGER};
	int failed = 0, ran = 0;

	for (size_t k = 0; k < 2; k++) {
		Suite *s = suite_create("random ioctls");
		TCase *tc = tcase_create("random ioctls");
		int ret;

		kind = kinds[k];
		suite_add_tcase(s, tc);
		tcase_set_timeout(tc, 36000);
		tcase_add_test(tc, random_calls);
		ret = node_suite(s, kind);
		ran += ret != 77;
		failed += ret == 1;
	}
	return failed ? 1 : ran ? 0 : 77;
}
