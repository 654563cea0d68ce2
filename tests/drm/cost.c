/* SPDX-License-Identifier: MIT */
/*
 * What the module costs, as ratios within one run: a submission by doorbell against one with ioctls, packets a second,
 * and the life of a 64 MiB buffer against dma-heap's and udmabuf's.
 *     cost [ROUNDS]
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/dma-heap.h>
#include <linux/udmabuf.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <xf86drm.h>

#include "drm/node.h"

#define BYTES (64u << 20)

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof(*v), compare);
	return v[n / 2];
}

static void must(int ok, const char *what)
{
	if (ok)
		return;
	fprintf(stderr, "cost: %s: %s\n", what, strerror(errno));
	exit(1);
}

/* ---- submissions --------------------------------------------------------- */

/* Publishes by the doorbell and spins on the status page: no system call while the device is awake. */
static void submit_bypass(struct node_queue *q)
{
	node_packet(q, WEIR_NPU_PACKET_NOP);
	must(node_ring(q) == 0, "doorbell");
	while (__atomic_load_n(&q->status->completed, __ATOMIC_ACQUIRE) < q->written)
		relax();
}

/* As drivers without mapped queues do: one ioctl to submit, one to wait. */
static void submit_ioctl(struct node_queue *q)
{
	struct drm_weir_queue_kick kick = {.queue = q->id};

	node_packet(q, WEIR_NPU_PACKET_NOP);
	__atomic_store_n(&q->doorbell->published, q->written, __ATOMIC_RELEASE);
	must(node_ioctl(q->fd, DRM_IOCTL_WEIR_QUEUE_KICK, &kick) == 0, "kick");
	must(node_finish(q, 10000) == 0, "wait");
}

static void measure_submissions(int rounds)
{
	double bypass[4096], ioctls[4096], rate;
	struct node_queue q;
	uint64_t start, kicks = 0;
	int fd = node_open(NODE_NPU);

	if (fd < 0) {
		printf("no NPU\n");
		return;
	}
	must(node_queue_create(fd, 65536, WEIR_QUEUE_FENCED, &q) == 0, "queue");
	for (int i = 0; i < 50; i++)
		submit_bypass(&q);
	for (int i = 0; i < rounds; i++) {
		start = node_now();
		submit_bypass(&q);
		bypass[i] = (double)(node_now() - start) / 1e3;
		start = node_now();
		submit_ioctl(&q);
		ioctls[i] = (double)(node_now() - start) / 1e3;
	}
	printf("doorbell to completion, awake: %.1f us; by ioctls: %.1f us; ratio %.2f\n", median(bypass, (size_t)rounds),
		median(ioctls, (size_t)rounds), median(ioctls, (size_t)rounds) / median(bypass, (size_t)rounds));
	start = node_now();
	for (int k = 0; k < 20; k++) {
		for (int i = 0; i < 1000; i++)
			node_packet(&q, WEIR_NPU_PACKET_NOP);
		kicks += q.status->need_kick;
		must(node_ring(&q) == 0, "doorbell");
		while (__atomic_load_n(&q.status->completed, __ATOMIC_ACQUIRE) < q.written)
			relax();
	}
	rate = 20000 / ((double)(node_now() - start) / 1e9);
	printf("packets: %.0f a second in batches of 1000 (%llu kicks)\n", rate, (unsigned long long)kicks);
	node_queue_destroy(&q);
	close(fd);
}

/* ---- buffers ------------------------------------------------------------- */

enum step { CREATE, MAP, EXPORT, IMPORT, CLOSE, STEPS };

static void touch(volatile unsigned char *p)
{
	for (size_t i = 0; i < BYTES; i += 4096)
		p[i] = 1;
}

static double since(uint64_t *start)
{
	uint64_t now = node_now();
	double us = (double)(now - *start) / 1e3;

	*start = now;
	return us;
}

/* Imported by a second file of a weir node: what any importer pays. */
static void weir_buffer(int fd, int importer, double *t)
{
	struct drm_weir_bo_create create = {.size = BYTES};
	uint64_t start = node_now();
	uint32_t handle;
	void *p;
	int buf;

	must(node_ioctl(fd, DRM_IOCTL_WEIR_BO_CREATE, &create) == 0, "BO_CREATE");
	t[CREATE] = since(&start);
	p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)create.mmap_offset);
	must(p != MAP_FAILED, "mmap");
	touch(p);
	t[MAP] = since(&start);
	must(drmPrimeHandleToFD(fd, create.handle, DRM_CLOEXEC | DRM_RDWR, &buf) == 0, "export");
	t[EXPORT] = since(&start);
	must(drmPrimeFDToHandle(importer, buf, &handle) == 0, "import");
	t[IMPORT] = since(&start);
	drmCloseBufferHandle(importer, handle);
	munmap(p, BYTES);
	close(buf);
	drmCloseBufferHandle(fd, create.handle);
	t[CLOSE] = since(&start);
}

static void dmabuf_rest(int buf, int importer, uint64_t start, double *t)
{
	uint32_t handle;
	void *p = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, buf, 0);

	must(p != MAP_FAILED, "mmap");
	touch(p);
	t[MAP] = since(&start);
	t[EXPORT] = 0;
	must(drmPrimeFDToHandle(importer, buf, &handle) == 0, "import");
	t[IMPORT] = since(&start);
	drmCloseBufferHandle(importer, handle);
	munmap(p, BYTES);
	close(buf);
	t[CLOSE] = since(&start);
}

static void heap_buffer(int heap, int importer, double *t)
{
	struct dma_heap_allocation_data data = {.len = BYTES, .fd_flags = O_RDWR | O_CLOEXEC};
	uint64_t start = node_now();

	must(ioctl(heap, DMA_HEAP_IOCTL_ALLOC, &data) == 0, "dma-heap");
	t[CREATE] = since(&start);
	dmabuf_rest((int)data.fd, importer, start, t);
}

static void udmabuf_buffer(int device, int importer, double *t)
{
	struct udmabuf_create create = {.flags = UDMABUF_FLAGS_CLOEXEC, .size = BYTES};
	uint64_t start = node_now();
	int memory = memfd_create("cost", MFD_ALLOW_SEALING | MFD_CLOEXEC), buf;

	must(ftruncate(memory, BYTES) == 0 && fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK) == 0, "memfd");
	create.memfd = (uint32_t)memory;
	buf = ioctl(device, UDMABUF_CREATE, &create);
	must(buf >= 0, "udmabuf");
	close(memory);
	t[CREATE] = since(&start);
	dmabuf_rest(buf, importer, start, t);
}

static void report(const char *name, double (*all)[STEPS], size_t n, double base)
{
	double column[64], total = 0, m[STEPS];

	for (int s = 0; s < STEPS; s++) {
		for (size_t i = 0; i < n; i++)
			column[i] = all[i][s];
		m[s] = median(column, n);
		total += m[s];
	}
	printf("%-24s create %8.0f  map and touch %8.0f  export %6.0f  import %6.0f  close %6.0f  all %8.0f us", name,
		m[CREATE], m[MAP], m[EXPORT], m[IMPORT], m[CLOSE], total);
	if (base > 0)
		printf("  (%.2f of ours)", total / base);
	printf("\n");
}

static double sum_of_medians(double (*all)[STEPS], size_t n)
{
	double column[64], total = 0;

	for (int s = 0; s < STEPS; s++) {
		for (size_t i = 0; i < n; i++)
			column[i] = all[i][s];
		total += median(column, n);
	}
	return total;
}

static void measure_buffers(enum node_kind kind, const char *name)
{
	static double ours[9][STEPS], heaps[9][STEPS], udmabufs[9][STEPS];
	int fd = node_open(kind), importer = node_open(kind);
	int heap = open("/dev/dma_heap/system", O_RDWR | O_CLOEXEC);
	int udmabuf = open("/dev/udmabuf", O_RDWR | O_CLOEXEC);
	double base;

	if (fd < 0)
		return;
	for (int i = 0; i < 9; i++) {
		weir_buffer(fd, importer, ours[i]);
		if (heap >= 0)
			heap_buffer(heap, importer, heaps[i]);
		if (udmabuf >= 0)
			udmabuf_buffer(udmabuf, importer, udmabufs[i]);
	}
	base = sum_of_medians(ours, 9);
	printf("a buffer of 64 MiB, medians of 9, imported by the %s:\n", name);
	report("weir", ours, 9, 0);
	if (heap >= 0)
		report("system heap", heaps, 9, base);
	if (udmabuf >= 0)
		report("udmabuf", udmabufs, 9, base);
	if (heap >= 0)
		close(heap);
	if (udmabuf >= 0)
		close(udmabuf);
	close(importer);
	close(fd);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 1000;

	if (rounds < 1 || rounds > 4096) {
		fprintf(stderr, "Usage: cost [ROUNDS]: 1 to 4096\n");
		return 2;
	}
	measure_submissions(rounds);
	measure_buffers(NODE_NPU, "NPU");
	measure_buffers(NODE_MANAGER, "buffer manager");
	return 0;
}
