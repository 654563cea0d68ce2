/* SPDX-License-Identifier: MIT */
/* Render nodes of the module weir for the suites that talk to it by ioctls. */
#include "drm/node.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <xf86drm.h>

/*
 * For what no case asks about. Not by libcheck: a forked child and a program without cases come by here too.
 */
static void must(bool ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "tests/drm: %s: %s\n", what, strerror(errno));
	abort();
}

/* ---- the node ------------------------------------------------------------ */

int node_ioctl(int fd, unsigned long request, void *arg)
{
	return drmIoctl(fd, request, arg) < 0 ? -errno : 0;
}

static int query(int fd, struct drm_weir_query_device *device)
{
	struct drm_weir_dev_query q = {
		.type = WEIR_QUERY_DEVICE,
		.size = sizeof(*device),
		.pointer = (uintptr_t)device,
	};

	return node_ioctl(fd, DRM_IOCTL_WEIR_DEV_QUERY, &q);
}

struct drm_weir_query_device node_query(int fd)
{
	struct drm_weir_query_device device = {0};

	must(query(fd, &device) == 0, "DEV_QUERY");
	return device;
}

static bool is_weir(int fd)
{
	drmVersionPtr version = drmGetVersion(fd);
	bool yes = version && strcmp(version->name, "weir") == 0;

	drmFreeVersion(version);
	return yes;
}

int node_open(enum node_kind kind)
{
	struct drm_weir_query_device device;
	char path[32];

	for (int i = 128; i < 192; i++) {
		bool queues;
		int fd;

		snprintf(path, sizeof(path), "/dev/dri/renderD%d", i);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (is_weir(fd) && query(fd, &device) == 0) {
			queues = device.caps & WEIR_CAP_QUEUES;
			if (kind == NODE_ANY || queues == (kind == NODE_NPU))
				return fd;
		}
		close(fd);
	}
	return -1;
}

int node_suite(Suite *s, enum node_kind kind)
{
	static const char *const kinds[] = {"NPU", "buffer manager", "device"};
	const char *wanted = getenv("WEIR_TEST_NODE");
	int fd = node_open(kind);

	if (fd >= 0) {
		close(fd);
		return suite_run(s);
	}
	printf("skip: no render node of the module weir with a%s %s\n", kind == NODE_NPU ? "n" : "", kinds[kind]);
	return wanted && strcmp(wanted, "require") == 0 ? 1 : 77;
}

uint64_t node_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

int64_t node_deadline(int ms)
{
	return (int64_t)node_now() + ms * 1000000ll;
}

/* ---- buffers ------------------------------------------------------------- */

int node_bo_create(int fd, uint64_t size, uint32_t flags, struct node_bo *bo)
{
	struct drm_weir_bo_create create = {.size = size, .flags = flags};
	int err = node_ioctl(fd, DRM_IOCTL_WEIR_BO_CREATE, &create);

	*bo = (struct node_bo){.fd = fd};
	if (err < 0)
		return err;
	bo->handle = create.handle;
	bo->size = create.size;
	bo->addr = create.dev_addr;
	bo->offset = create.mmap_offset;
	if (flags & WEIR_BO_NO_MMAP)
		return 0;
	bo->map = mmap(NULL, bo->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)bo->offset);
	if (bo->map != MAP_FAILED)
		return 0;
	err = -errno;
	bo->map = NULL;
	node_bo_destroy(bo);
	return err;
}

void node_bo_destroy(struct node_bo *bo)
{
	if (bo->map)
		munmap(bo->map, bo->size);
	if (bo->handle)
		drmCloseBufferHandle(bo->fd, bo->handle);
	*bo = (struct node_bo){.fd = -1};
}

/* ---- queues -------------------------------------------------------------- */

int node_queue_create(int fd, uint32_t ring_size, uint32_t queue_class, struct node_queue *q)
{
	struct drm_weir_queue_create create = {
		.ring_size = ring_size,
		.queue_class = queue_class,
		.priority = WEIR_QUEUE_PRIORITY_NORMAL,
	};
	void *page;
	int err;

	*q = (struct node_queue){.fd = fd, .slots = ring_size / WEIR_NPU_PACKET_SIZE};
	err = node_bo_create(fd, ring_size, WEIR_BO_CACHED, &q->ring);
	if (err < 0)
		return err;
	create.ring_handle = q->ring.handle;
	err = node_ioctl(fd, DRM_IOCTL_WEIR_QUEUE_CREATE, &create);
	if (err < 0) {
		node_bo_destroy(&q->ring);
		return err;
	}
	q->id = create.queue;
	q->stride = node_query(fd).doorbell_stride;
	page = mmap(NULL, q->stride, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)create.doorbell_offset);
	must(page != MAP_FAILED, "mapping the doorbell page");
	q->doorbell = page;
	page = mmap(NULL, (size_t)getpagesize(), PROT_READ, MAP_SHARED, fd, (off_t)create.status_offset);
	must(page != MAP_FAILED, "mapping the status page");
	q->status = page;
	return 0;
}

void node_queue_destroy(struct node_queue *q)
{
	struct drm_weir_queue_destroy destroy = {.queue = q->id};

	must(node_ioctl(q->fd, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy) == 0, "QUEUE_DESTROY");
	munmap((void *)(uintptr_t)q->doorbell, q->stride);
	munmap((void *)(uintptr_t)q->status, (size_t)getpagesize());
	node_bo_destroy(&q->ring);
}

struct weir_npu_packet *node_packet(struct node_queue *q, unsigned type)
{
	struct weir_npu_packet *packet;

	must(q->written - q->status->read_index < q->slots, "room in the ring");
	packet = (struct weir_npu_packet *)(void *)q->ring.map + q->written++ % q->slots;
	memset(packet, 0, sizeof(*packet));
	packet->type = (uint8_t)type;
	return packet;
}

void node_put_copy(struct node_queue *q, uint64_t to, uint64_t from, uint64_t size)
{
	struct weir_npu_copy body = {.to = to, .from = from, .size = size};

	memcpy(node_packet(q, WEIR_NPU_PACKET_COPY)->body, &body, sizeof(body));
}

void node_put_fill(struct node_queue *q, uint64_t to, uint64_t size, uint32_t pattern)
{
	struct weir_npu_fill body = {.to = to, .size = size, .pattern = pattern};

	memcpy(node_packet(q, WEIR_NPU_PACKET_FILL)->body, &body, sizeof(body));
}

void node_put_signal(struct node_queue *q, unsigned type, uint64_t addr, uint64_t value)
{
	struct weir_npu_signal body = {.addr = addr, .value = value};

	memcpy(node_packet(q, type)->body, &body, sizeof(body));
}

int node_ring(struct node_queue *q)
{
	struct drm_weir_queue_kick kick = {.queue = q->id};

	__atomic_store_n(&q->doorbell->published, q->written, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	return q->status->need_kick ? node_ioctl(q->fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick) : 0;
}

int node_finish(struct node_queue *q, int ms)
{
	struct drm_weir_queue_wait wait = {
		.queue = q->id,
		.eventfd = -1,
		.seq = q->written,
		.timeout_ns = node_deadline(ms),
	};

	return node_ioctl(q->fd, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait);
}

struct drm_weir_queue_state node_state(struct node_queue *q)
{
	struct drm_weir_queue_state state = {.queue = q->id};

	must(node_ioctl(q->fd, DRM_IOCTL_WEIR_QUEUE_STATE, &state) == 0, "QUEUE_STATE");
	return state;
}

/* ---- programs ------------------------------------------------------------ */

#define REPORT_SIZE 16384u

int node_load(struct node_queue *q, uint32_t id, const char *source, const char *name, uint32_t *kernel)
{
	const struct weir_npu_report *report;
	const struct weir_npu_kernel *kernels;
	struct weir_npu_load body = {.program = id, .format = WEIR_NPU_FORMAT_OPENCL_C, .report_size = REPORT_SIZE};
	struct node_bo bo;
	int found = -1;

	must(node_bo_create(q->fd, REPORT_SIZE + strlen(source), WEIR_BO_CACHED, &bo) == 0, "BO_CREATE");
	memcpy(bo.map + REPORT_SIZE, source, strlen(source));
	body.code = bo.addr + REPORT_SIZE;
	body.code_size = strlen(source);
	body.report = bo.addr;
	memcpy(node_packet(q, WEIR_NPU_PACKET_LOAD)->body, &body, sizeof(body));
	must(node_ring(q) == 0, "QUEUE_KICK");
	must(node_finish(q, 60000) == 0, "LOAD");
	report = (const void *)bo.map;
	kernels = (const void *)(report + 1);
	for (uint32_t i = 0; report->result == WEIR_NPU_BUILD_OK && i < report->kernels; i++) {
		if (strcmp(kernels[i].name, name) == 0) {
			*kernel = i;
			found = 0;
		}
	}
	if (found < 0)
		printf("program %u: result %u, %u kernels, log: %.*s\n", id, report->result, report->kernels,
			(int)report->log_size, (const char *)(kernels + report->kernels));
	node_bo_destroy(&bo);
	return found;
}

void node_put_launch(struct node_queue *q, uint32_t id, uint32_t kernel, uint32_t groups, uint32_t local,
	struct node_bo *args, size_t at, unsigned n_args)
{
	struct weir_npu_launch body = {
		.program = id,
		.kernel = kernel,
		.groups = {groups, 1, 1},
		.local = {local, 1, 1},
		.n_args = n_args,
		.args = args->addr + at,
	};

	memcpy(node_packet(q, WEIR_NPU_PACKET_LAUNCH)->body, &body, sizeof(body));
}
