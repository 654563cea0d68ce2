/* SPDX-License-Identifier: MIT */
/*
 * Buffers of the module, on each kind of node that is here: every documented error of DEV_QUERY, BO_CREATE, BO_INFO and
 * BO_SYNC, mmap, PRIME with itself and with other exporters, quotas, lifetimes.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-buf.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <xf86drm.h>

#include "drm/node.h"

#define MIB (1ull << 20)

/* Fences that vgem puts on a buffer and signals when told: from the kernel's vgem_drm.h, which no package carries. */
struct vgem_attach {
	uint32_t handle, flags, fence, pad;
};
struct vgem_signal {
	uint32_t fence, flags;
};
#define VGEM_WRITE 1u
#define IOCTL_VGEM_ATTACH DRM_IOWR(DRM_COMMAND_BASE + 1, struct vgem_attach)
#define IOCTL_VGEM_SIGNAL DRM_IOW(DRM_COMMAND_BASE + 2, struct vgem_signal)

static enum node_kind kind; /* that the cases run on */

static int open_node(void)
{
	int fd = node_open(kind);

	ck_assert_int_ge(fd, 0);
	return fd;
}

/* ---- DEV_QUERY ----------------------------------------------------------- */

static int query(int fd, uint32_t type, uint32_t size, void *pointer, uint32_t *told)
{
	struct drm_weir_dev_query q = {.type = type, .size = size, .pointer = (uintptr_t)pointer};
	int err = node_ioctl(fd, DRM_IOCTL_WEIR_DEV_QUERY, &q);

	*told = q.size;
	return err;
}

START_TEST(query_sizes)
{
	struct drm_weir_query_device device, half;
	unsigned char large[sizeof(device) + 64];
	int fd = open_node();
	uint32_t told;

	ck_assert_int_eq(query(fd, WEIR_QUERY_DEVICE, 0, NULL, &told), 0);
	ck_assert_uint_eq(told, sizeof(device));
	memset(large, 0xff, sizeof(large));
	ck_assert_int_eq(query(fd, WEIR_QUERY_DEVICE, sizeof(large), large, &told), 0);
	memcpy(&device, large, sizeof(device));
	for (size_t i = sizeof(device); i < sizeof(large); i++)
		ck_assert_uint_eq(large[i], 0);
	memset(&half, 0xff, sizeof(half));
	ck_assert_int_eq(query(fd, WEIR_QUERY_DEVICE, 8, &half, &told), 0);
	ck_assert_uint_eq(half.caps, device.caps);
	ck_assert_uint_eq(half.page_size, UINT32_MAX);
	ck_assert_uint_eq(device.page_size, (unsigned)getpagesize());
	ck_assert_uint_eq(device.abi_minor, WEIR_ABI_MINOR);
	ck_assert_uint_gt(device.quota_max, 0);
	ck_assert_uint_eq(device.quota_used, 0);
	ck_assert_uint_eq(device.pad, 0);
	ck_assert_int_eq((device.caps & WEIR_CAP_QUEUES) != 0, kind == NODE_NPU);
	ck_assert_int_eq(device.queues_max > 0, kind == NODE_NPU);
	close(fd);
}
END_TEST

START_TEST(query_errors)
{
	struct weir_npu_identity identity;
	struct drm_weir_query_device device;
	int fd = open_node(), err;
	uint32_t told;

	ck_assert_int_eq(query(fd, 77, sizeof(device), &device, &told), -EINVAL);
	ck_assert_int_eq(query(fd, WEIR_QUERY_DEVICE, sizeof(device), (void *)16, &told), -EFAULT);
	err = query(fd, WEIR_QUERY_NPU, sizeof(identity), &identity, &told);
	if (kind == NODE_NPU) {
		ck_assert_int_eq(err, 0);
		ck_assert_uint_eq(told, sizeof(identity));
		ck_assert_uint_gt(strlen(identity.name), 0);
		ck_assert_uint_lt(strlen(identity.name), sizeof(identity.name));
		ck_assert_uint_ge(identity.compute_units, 1);
		ck_assert_uint_gt(identity.clock_hz, 0);
	} else {
		ck_assert_int_eq(err, -EOPNOTSUPP);
	}
	close(fd);
}
END_TEST

/* ---- BO_CREATE, BO_INFO -------------------------------------------------- */

static const uint32_t all_flags[] = {
	WEIR_BO_CACHED,
	WEIR_BO_WRITE_COMBINED,
	WEIR_BO_BELOW_4G,
	WEIR_BO_CONTIGUOUS,
	WEIR_BO_CONTIGUOUS | WEIR_BO_WRITE_COMBINED | WEIR_BO_BELOW_4G,
};

START_TEST(create_flags)
{
	struct drm_weir_bo_info info = {0};
	int fd = open_node();
	uint64_t dirty = 0;
	struct node_bo bo;

	ck_assert_int_eq(node_bo_create(fd, 100001, all_flags[_i], &bo), 0);
	ck_assert_uint_eq(bo.size % (unsigned)getpagesize(), 0);
	ck_assert_uint_ge(bo.size, 100001);
	ck_assert_uint_lt(bo.size, 100001 + (unsigned)getpagesize());
	ck_assert_int_eq(bo.addr != 0, kind == NODE_NPU);
	for (uint64_t i = 0; i < bo.size; i++)
		dirty += bo.map[i] != 0;
	ck_assert_uint_eq(dirty, 0);
	memset(bo.map, 0xa5, bo.size);
	info.handle = bo.handle;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, &info), 0);
	ck_assert_uint_eq(info.flags, all_flags[_i]);
	ck_assert_uint_eq(info.size, bo.size);
	ck_assert_uint_eq(info.mmap_offset, bo.offset);
	ck_assert_uint_eq(info.dev_addr, bo.addr);
	ck_assert_uint_eq(node_query(fd).quota_used, bo.size);
	node_bo_destroy(&bo);
	ck_assert_uint_eq(node_query(fd).quota_used, 0);
	close(fd);
}
END_TEST

static int create(int fd, uint64_t size, uint32_t flags)
{
	struct drm_weir_bo_create c = {.size = size, .flags = flags};
	int err = node_ioctl(fd, DRM_IOCTL_WEIR_BO_CREATE, &c);

	if (err == 0)
		drmCloseBufferHandle(fd, c.handle);
	return err;
}

START_TEST(create_errors)
{
	int fd = open_node();
	uint64_t max = node_query(fd).quota_max;
	int err;

	ck_assert_int_eq(create(fd, 0, 0), -EINVAL);
	ck_assert_int_eq(create(fd, 4096, 1u << 4), -EINVAL);
	ck_assert_int_eq(create(fd, 4096, 1u << 31), -EINVAL);
	ck_assert_int_eq(create(fd, max + 4096, 0), -EDQUOT);
	/* Sizes that overflow when rounded or counted in pages. */
	for (int shift = 45; shift < 64; shift++) {
		err = create(fd, 1ull << shift, 0);
		ck_assert_msg(err == -EDQUOT || err == -E2BIG, "1 << %d: %d", shift, err);
	}
	err = create(fd, UINT64_MAX, 0);
	ck_assert_msg(err == -EDQUOT || err == -E2BIG, "UINT64_MAX: %d", err);
	/* No machine has a contiguous half of its memory; nothing else may come instead. */
	err = create(fd, max / 2 + MIB, WEIR_BO_CONTIGUOUS);
	ck_assert_msg(err == -ENOSPC || err == -EDQUOT, "contiguous: %d", err);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_CREATE, (void *)16), -EFAULT);
	ck_assert_uint_eq(node_query(fd).quota_used, 0);
	close(fd);
}
END_TEST

/* Each file has its own quota, and all files of a user share one. */
START_TEST(quota)
{
	struct drm_weir_query_device before, after;
	int a = open_node(), b = open_node();
	struct node_bo bo;

	before = node_query(b);
	ck_assert_int_eq(node_bo_create(a, 3 * MIB, 0, &bo), 0);
	after = node_query(b);
	ck_assert_uint_eq(after.quota_used, 0);
	ck_assert_uint_eq(after.user_quota_used, before.user_quota_used + 3 * MIB);
	ck_assert_uint_eq(node_query(a).quota_used, 3 * MIB);
	ck_assert_uint_le(after.user_quota_used, after.user_quota_max);
	/* What a dead file left is given back when the last reference goes, not before. */
	bo.fd = -1;
	close(a);
	ck_assert_uint_eq(node_query(b).user_quota_used, before.user_quota_used + 3 * MIB);
	munmap(bo.map, bo.size);
	for (int i = 0; i < 100 && node_query(b).user_quota_used != before.user_quota_used; i++)
		usleep(10000);
	ck_assert_uint_eq(node_query(b).user_quota_used, before.user_quota_used);
	close(b);
}
END_TEST

START_TEST(info_errors)
{
	struct drm_weir_bo_info info = {.handle = 12345};
	int fd = open_node();
	struct node_bo bo;

	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, &info), -ENOENT);
	info = (struct drm_weir_bo_info){.handle = 0};
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, &info), -ENOENT);
	ck_assert_int_eq(node_bo_create(fd, 4096, 0, &bo), 0);
	info = (struct drm_weir_bo_info){.handle = bo.handle, .flags = 1};
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, &info), -EINVAL);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, (void *)16), -EFAULT);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* ---- mmap ---------------------------------------------------------------- */

START_TEST(mmap_rules)
{
	size_t page = (size_t)getpagesize();
	int fd = open_node(), other = open_node();
	struct drm_weir_bo_info info = {0};
	struct node_bo bo, hidden;
	unsigned char *p;

	ck_assert_int_eq(node_bo_create(fd, 16 * page, 0, &bo), 0);
	/* A part of it, from the middle on. */
	p = mmap(NULL, 4 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)(bo.offset + 8 * page));
	ck_assert_ptr_ne(p, MAP_FAILED);
	bo.map[8 * page] = 42;
	ck_assert_uint_eq(p[0], 42);
	ck_assert_int_eq(munmap(p, 4 * page), 0);
	/* Past its end. */
	p = mmap(NULL, 4 * page, PROT_READ, MAP_SHARED, fd, (off_t)(bo.offset + 14 * page));
	ck_assert_ptr_eq(p, MAP_FAILED);
	p = mmap(NULL, 17 * page, PROT_READ, MAP_SHARED, fd, (off_t)bo.offset);
	ck_assert_ptr_eq(p, MAP_FAILED);
	/* By a file that has no handle of it. */
	p = mmap(NULL, page, PROT_READ, MAP_SHARED, other, (off_t)bo.offset);
	ck_assert_ptr_eq(p, MAP_FAILED);
	ck_assert_int_eq(errno, EACCES);
	/* A private writable mapping would be a copy in silence. */
	p = mmap(NULL, page, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, (off_t)bo.offset);
	ck_assert_ptr_eq(p, MAP_FAILED);
	/* Offsets that are no buffer. */
	for (int shift = 12; shift < 47; shift++) {
		p = mmap(NULL, page, PROT_READ, MAP_SHARED, fd, (off_t)((1ull << shift) + 0x7ffffff000ull));
		ck_assert_ptr_eq(p, MAP_FAILED);
	}
	ck_assert_int_eq(node_bo_create(fd, page, WEIR_BO_NO_MMAP, &hidden), 0);
	ck_assert_uint_eq(hidden.offset, 0);
	info.handle = hidden.handle;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, &info), 0);
	ck_assert_uint_eq(info.mmap_offset, 0);
	ck_assert_uint_eq(info.flags, WEIR_BO_NO_MMAP);
	node_bo_destroy(&hidden);
	node_bo_destroy(&bo);
	close(fd);
	close(other);
}
END_TEST

/* ---- BO_SYNC ------------------------------------------------------------- */

static int sync_one(int fd, uint32_t handle, uint32_t flags, uint64_t offset, uint64_t size)
{
	struct drm_weir_sync_range range = {
		.handle = handle,
		.flags = flags,
		.offset = offset,
		.size = size,
	};
	struct drm_weir_bo_sync sync = {
		.ranges = (uintptr_t)&range,
		.count = 1,
		.stride = sizeof(range),
		.timeout_ns = node_deadline(100),
	};

	return node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync);
}

START_TEST(sync_errors)
{
	struct drm_weir_sync_range ranges[4] = {0};
	struct drm_weir_bo_sync sync = {.ranges = (uintptr_t)ranges, .count = 1, .stride = sizeof(ranges[0])};
	int fd = open_node();
	struct node_bo bo;
	uint32_t h;

	ck_assert_int_eq(node_bo_create(fd, 65536, 0, &bo), 0);
	h = bo.handle;
	for (uint32_t flags = 1; flags < 8; flags++)
		ck_assert_int_eq(sync_one(fd, h, flags, 0, 0), flags == WEIR_SYNC_END ? -EINVAL : 0);
	ck_assert_int_eq(sync_one(fd, h, WEIR_SYNC_READ, 4096, 100), 0);
	ck_assert_int_eq(sync_one(fd, h, WEIR_SYNC_READ, 1, 65535), 0);
	ck_assert_int_eq(sync_one(fd, h, 0, 0, 0), -EINVAL);
	ck_assert_int_eq(sync_one(fd, h, 8, 0, 0), -EINVAL);
	ck_assert_int_eq(sync_one(fd, h, WEIR_SYNC_READ, 65537, 0), -EINVAL);
	ck_assert_int_eq(sync_one(fd, h, WEIR_SYNC_READ, 1, 65536), -EINVAL);
	ck_assert_int_eq(sync_one(fd, h, WEIR_SYNC_READ, 2, UINT64_MAX), -EINVAL);
	ck_assert_int_eq(sync_one(fd, h, WEIR_SYNC_READ, UINT64_MAX, 2), -EINVAL);
	ck_assert_int_eq(sync_one(fd, 9999, WEIR_SYNC_READ, 0, 0), -ENOENT);
	ck_assert_int_eq(sync_one(fd, 0, WEIR_SYNC_READ, 0, 0), -ENOENT);
	ranges[0].handle = h;
	ranges[0].flags = WEIR_SYNC_WRITE;
	sync.count = 0;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), -EINVAL);
	sync.count = 1025;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), -EINVAL);
	sync.count = 1;
	sync.stride = 16;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), -EINVAL);
	sync.stride = sizeof(ranges[0]) + 4;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), -EINVAL);
	/* A longer stride is a newer program's longer struct. */
	ranges[2] = ranges[0];
	sync.count = 2;
	sync.stride = 2 * sizeof(ranges[0]);
	sync.timeout_ns = node_deadline(100);
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), 0);
	sync.ranges = 16;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_SYNC, &sync), -EFAULT);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* ---- PRIME --------------------------------------------------------------- */

static void check_pattern(const unsigned char *p, size_t size, unsigned seed)
{
	size_t i = 0;

	while (i < size && p[i] == (unsigned char)(i * 7 + seed))
		i++;
	ck_assert_msg(i == size, "byte %zu is %u", i, p[i]);
}

static void fill_pattern(unsigned char *p, size_t size, unsigned seed)
{
	for (size_t i = 0; i < size; i++)
		p[i] = (unsigned char)(i * 7 + seed);
}

/* Exported, mapped as a dma-buf, imported by another file; outlives everything it came from. */
START_TEST(prime_own)
{
	struct drm_weir_bo_info info = {0};
	int fd = open_node(), other = open_node(), buf = -1;
	uint32_t again = 0, handle = 0;
	struct node_bo bo;
	unsigned char *p;

	ck_assert_int_eq(node_bo_create(fd, MIB, all_flags[_i], &bo), 0);
	fill_pattern(bo.map, bo.size, 3);
	ck_assert_int_eq(drmPrimeHandleToFD(fd, bo.handle, DRM_CLOEXEC | DRM_RDWR, &buf), 0);
	ck_assert_int_eq(lseek(buf, 0, SEEK_END), (off_t)bo.size);
	ck_assert_int_eq(drmPrimeFDToHandle(fd, buf, &again), 0);
	ck_assert_uint_eq(again, bo.handle);
	ck_assert_int_eq(drmPrimeFDToHandle(other, buf, &handle), 0);
	info.handle = handle;
	ck_assert_int_eq(node_ioctl(other, DRM_IOCTL_WEIR_BO_INFO, &info), 0);
	ck_assert_uint_eq(info.size, bo.size);
	ck_assert_int_eq(info.dev_addr != 0, kind == NODE_NPU);
	node_bo_destroy(&bo);
	close(fd);
	p = mmap(NULL, MIB, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ck_assert_ptr_ne(p, MAP_FAILED);
	check_pattern(p, MIB, 3);
	fill_pattern(p, MIB, 9);
	munmap(p, MIB);
	close(buf);
	p = mmap(NULL, MIB, PROT_READ, MAP_SHARED, other, (off_t)info.mmap_offset);
	ck_assert_ptr_ne(p, MAP_FAILED);
	check_pattern(p, MIB, 9);
	munmap(p, MIB);
	close(other);
}
END_TEST

START_TEST(prime_errors)
{
	int fd = open_node(), file = memfd_create("x", 0), buf = -1;
	uint32_t handle;

	ck_assert_int_ne(drmPrimeHandleToFD(fd, 999, DRM_CLOEXEC, &buf), 0);
	ck_assert_int_eq(errno, ENOENT);
	ck_assert_int_ne(drmPrimeFDToHandle(fd, file, &handle), 0);
	ck_assert_int_ne(drmPrimeFDToHandle(fd, -1, &handle), 0);
	ck_assert_int_ne(drmPrimeFDToHandle(fd, fd, &handle), 0);
	close(file);
	close(fd);
}
END_TEST

static int dmabuf_sync(int buf, uint64_t flags)
{
	struct dma_buf_sync sync = {.flags = flags};

	return ioctl(buf, DMA_BUF_IOCTL_SYNC, &sync);
}

START_TEST(dmabuf_sync_calls)
{
	int fd = open_node(), buf = -1;
	struct node_bo bo;

	ck_assert_int_eq(node_bo_create(fd, 65536, 0, &bo), 0);
	ck_assert_int_eq(drmPrimeHandleToFD(fd, bo.handle, DRM_CLOEXEC | DRM_RDWR, &buf), 0);
	ck_assert_int_eq(dmabuf_sync(buf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_RW), 0);
	fill_pattern(bo.map, bo.size, 1);
	ck_assert_int_eq(dmabuf_sync(buf, DMA_BUF_SYNC_END | DMA_BUF_SYNC_RW), 0);
	ck_assert_int_eq(dmabuf_sync(buf, DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ), 0);
	check_pattern(bo.map, bo.size, 1);
	ck_assert_int_eq(dmabuf_sync(buf, DMA_BUF_SYNC_END | DMA_BUF_SYNC_READ), 0);
	close(buf);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* A foreign dma-buf: known by size, mapped through its own fd, gone with the handle. */
static void import_foreign(int buf, size_t size, const char *what)
{
	struct drm_weir_bo_info info = {0};
	int fd = open_node(), again = -1;
	uint32_t handle = 0;
	unsigned char *p;

	p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);
	ck_assert_msg(p != MAP_FAILED, "%s: cannot be mapped", what);
	fill_pattern(p, size, 5);
	ck_assert_msg(drmPrimeFDToHandle(fd, buf, &handle) == 0, "%s: import: %s", what, strerror(errno));
	info.handle = handle;
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_WEIR_BO_INFO, &info), 0);
	ck_assert_uint_eq(info.size, size);
	ck_assert_uint_eq(info.flags, WEIR_BO_NO_MMAP);
	ck_assert_int_eq(info.dev_addr != 0, kind == NODE_NPU);
	ck_assert_int_eq(sync_one(fd, handle, WEIR_SYNC_READ, 0, 0), 0);
	ck_assert_int_eq(sync_one(fd, handle, WEIR_SYNC_READ | WEIR_SYNC_END, 0, 0), 0);
	/* The NPU reads the very pages. */
	if (kind == NODE_NPU) {
		struct node_queue q;
		struct node_bo copy;

		ck_assert_int_eq(node_queue_create(fd, 4096, WEIR_QUEUE_FENCED, &q), 0);
		ck_assert_int_eq(node_bo_create(fd, size, 0, &copy), 0);
		node_put_copy(&q, copy.addr, info.dev_addr, size);
		ck_assert_int_eq(node_ring(&q), 0);
		ck_assert_int_eq(node_finish(&q, 10000), 0);
		check_pattern(copy.map, size, 5);
		node_bo_destroy(&copy);
		node_queue_destroy(&q);
	}
	ck_assert_int_eq(drmPrimeHandleToFD(fd, handle, DRM_CLOEXEC, &again), 0);
	close(again);
	drmCloseBufferHandle(fd, handle);
	check_pattern(p, size, 5);
	munmap(p, size);
	close(fd);
	close(buf);
	printf("imported a buffer of %s\n", what);
}

START_TEST(import_udmabuf)
{
	struct udmabuf_create c = {.flags = UDMABUF_FLAGS_CLOEXEC, .size = MIB};
	int device = open("/dev/udmabuf", O_RDWR | O_CLOEXEC), memory, buf;

	if (device < 0) {
		printf("skip udmabuf: no /dev/udmabuf\n");
		return;
	}
	memory = memfd_create("test", MFD_ALLOW_SEALING);
	ck_assert_int_eq(ftruncate(memory, (off_t)MIB), 0);
	ck_assert_int_eq(fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK), 0);
	c.memfd = (uint32_t)memory;
	buf = ioctl(device, UDMABUF_CREATE, &c);
	ck_assert_int_ge(buf, 0);
	close(memory);
	close(device);
	import_foreign(buf, MIB, "udmabuf");
}
END_TEST

START_TEST(import_heap)
{
	struct dma_heap_allocation_data data = {.len = MIB, .fd_flags = O_RDWR | O_CLOEXEC};
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);

	if (heap < 0) {
		printf("skip system heap: no /dev/dma_heap/system\n");
		return;
	}
	ck_assert_int_eq(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data), 0);
	close(heap);
	import_foreign((int)data.fd, MIB, "the system heap");
}
END_TEST

/* vgem makes buffers as dumb ones, on its primary node. */
START_TEST(import_vgem)
{
	struct drm_mode_create_dumb dumb = {.height = 256, .width = 1024, .bpp = 32};
	int fd = drmOpen("vgem", NULL), buf = -1;

	if (fd < 0) {
		printf("skip vgem: the kernel module is not loaded\n");
		return;
	}
	ck_assert_int_eq(node_ioctl(fd, DRM_IOCTL_MODE_CREATE_DUMB, &dumb), 0);
	ck_assert_int_eq(drmPrimeHandleToFD(fd, dumb.handle, DRM_CLOEXEC | DRM_RDWR, &buf), 0);
	close(fd);
	import_foreign(buf, dumb.size, "vgem");
}
END_TEST

/* From one node of ours to the other. */
START_TEST(import_other_node)
{
	int fd = node_open(kind == NODE_NPU ? NODE_MANAGER : NODE_NPU), buf = -1;
	struct node_bo bo;

	if (fd < 0) {
		printf("skip the other node: there is one kind alone\n");
		return;
	}
	ck_assert_int_eq(node_bo_create(fd, 3 * MIB, 0, &bo), 0);
	ck_assert_int_eq(drmPrimeHandleToFD(fd, bo.handle, DRM_CLOEXEC | DRM_RDWR, &buf), 0);
	node_bo_destroy(&bo);
	close(fd);
	import_foreign(buf, 3 * MIB, "the other node");
}
END_TEST

/* Access waits for the fence that another driver put on the buffer, for so long as it was told. */
START_TEST(sync_waits_for_fences)
{
	int fd = open_node(), vgem = drmOpen("vgem", NULL), buf = -1;
	struct vgem_attach attach = {.flags = VGEM_WRITE};
	struct vgem_signal signal = {0};
	uint64_t start;
	struct node_bo bo;

	if (vgem < 0) {
		printf("skip fences of others: no vgem\n");
		close(fd);
		return;
	}
	ck_assert_int_eq(node_bo_create(fd, 65536, 0, &bo), 0);
	ck_assert_int_eq(drmPrimeHandleToFD(fd, bo.handle, DRM_CLOEXEC | DRM_RDWR, &buf), 0);
	ck_assert_int_eq(drmPrimeFDToHandle(vgem, buf, &attach.handle), 0);
	ck_assert_int_eq(node_ioctl(vgem, IOCTL_VGEM_ATTACH, &attach), 0);
	start = node_now();
	ck_assert_int_eq(sync_one(fd, bo.handle, WEIR_SYNC_READ, 0, 0), -ETIME);
	ck_assert_uint_ge(node_now() - start, 90000000);
	ck_assert_int_eq(sync_one(fd, bo.handle, WEIR_SYNC_READ | WEIR_SYNC_END, 0, 0), 0);
	signal.fence = attach.fence;
	ck_assert_int_eq(node_ioctl(vgem, IOCTL_VGEM_SIGNAL, &signal), 0);
	ck_assert_int_eq(sync_one(fd, bo.handle, WEIR_SYNC_READ, 0, 0), 0);
	close(buf);
	close(vgem);
	node_bo_destroy(&bo);
	close(fd);
}
END_TEST

/* ---- lifetimes ----------------------------------------------------------- */

/* A process that dies with buffers, mappings and dma-bufs leaves nothing. */
START_TEST(killed_process)
{
	int fd = open_node();
	uint64_t before = node_query(fd).user_quota_used;

	for (int i = 0; i < 20; i++) {
		pid_t child = fork();

		if (child == 0) {
			struct node_bo bo;
			int mine = node_open(kind), buf;

			for (int k = 0; k < 8; k++) {
				if (node_bo_create(mine, (uint64_t)(k + 1) * 65536, all_flags[k % 5], &bo) < 0)
					_exit(1);
				drmPrimeHandleToFD(mine, bo.handle, DRM_RDWR, &buf);
				bo.map[0] = 1;
			}
			kill(getpid(), SIGKILL);
		}
		waitpid(child, NULL, 0);
	}
	for (int i = 0; i < 200 && node_query(fd).user_quota_used != before; i++)
		usleep(10000);
	ck_assert_uint_eq(node_query(fd).user_quota_used, before);
	close(fd);
}
END_TEST

int main(void)
{
	static const enum node_kind kinds[] = {NODE_NPU, NODE_MANAGER};
	static const char *const names[] = {"NPU", "buffer manager"};
	int failed = 0, ran = 0;

	for (size_t k = 0; k < 2; k++) {
		Suite *s = suite_create(names[k]);
		TCase *tc = tcase_create(names[k]);
		int ret;

		kind = kinds[k];
		suite_add_tcase(s, tc);
		tcase_set_timeout(tc, 120);
		tcase_add_test(tc, query_sizes);
		tcase_add_test(tc, query_errors);
		tcase_add_loop_test(tc, create_flags, 0, 5);
		tcase_add_test(tc, create_errors);
		tcase_add_test(tc, quota);
		tcase_add_test(tc, info_errors);
		tcase_add_test(tc, mmap_rules);
		tcase_add_test(tc, sync_errors);
		tcase_add_loop_test(tc, prime_own, 0, 5);
		tcase_add_test(tc, prime_errors);
		tcase_add_test(tc, dmabuf_sync_calls);
		tcase_add_test(tc, import_udmabuf);
		tcase_add_test(tc, import_heap);
		tcase_add_test(tc, import_vgem);
		tcase_add_test(tc, import_other_node);
		tcase_add_test(tc, sync_waits_for_fences);
		tcase_add_test(tc, killed_process);
		ret = node_suite(s, kind);
		ran += ret != 77;
		failed += ret == 1;
	}
	return failed ? 1 : ran ? 0 : 77;
}
