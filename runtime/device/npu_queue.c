/* SPDX-License-Identifier: MIT */
/* A user-mode queue: packets go out by a store to the doorbell, and come back in the status page.
 */
#include <sys/mman.h>
#include <time.h>

#include "device/npu.h"

/*
 * How long a wait looks at the status page before it sleeps: longer than a token takes, so that
 * decoding does no system call. After a wait that took longer than that (a prompt, a sleeping
 * device) it would be for nothing, and the next wait only looks for a moment. Measured in looks at
 * open: a clock may cost a system call itself.
 */
#define SPIN_LONG_US 50000
#define SPIN_SHORT_US 100
#define SPIN_SAMPLE 2000

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("isb" ::: "memory"); /* yield is a nop on most cores */
#else
	__asm__ volatile("" ::: "memory");
#endif
}

/* Packets (perhaps in write-combined memory) come before the doorbell, as the device sees it. */
static inline void before_doorbell(void)
{
#if defined(__x86_64__)
	__builtin_ia32_sfence();
#elif defined(__aarch64__)
	__asm__ volatile("dmb oshst" ::: "memory");
#else
	__sync_synchronize();
#endif
}

/* The doorbell comes before need_kick is read; the device does the same the other way round. */
static inline void after_doorbell(void)
{
#if defined(__aarch64__)
	__asm__ volatile("dsb sy" ::: "memory");
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

#define LOAD(p) __atomic_load_n(&(p), __ATOMIC_ACQUIRE)

/* ---- failures ------------------------------------------------------------ */

static void describe_packet(const struct npu_device *d, uint64_t seq, char *out, size_t size)
{
	for (unsigned i = 0; i < d->n_runs; i++) {
		const struct npu_run *r = &d->runs[(d->first_run + i) % NPU_RUNS];
		const struct weir_launch *l;

		if (seq < r->first || seq >= r->end)
			continue;
		if (!r->plan) {
			snprintf(out, size, "packet %llu (%s)", (unsigned long long)seq, r->what);
			return;
		}
		l = &r->plan->launches[r->at + (seq - r->first)];
		snprintf(out, size, "packet %llu (op %s, kernel %s of kernels/%s)",
			(unsigned long long)seq, l->label, l->kernel, l->program->file);
		return;
	}
	snprintf(out, size, "packet %llu", (unsigned long long)seq);
}

static void describe_fault(
	const struct npu_device *d, const struct drm_weir_queue_state *s, char *out, size_t size)
{
	unsigned long long where = s->fault_addr;

	switch (s->code) {
	case WEIR_NPU_FAULT_PACKET:
		snprintf(out, size, "the field at byte %llu of it is wrong", where);
		return;
	case WEIR_NPU_FAULT_PROGRAM:
		snprintf(out, size, "the device has no such program or kernel");
		return;
	case WEIR_NPU_FAULT_ARGUMENT:
		snprintf(out, size, "argument %llu does not suit the kernel", where);
		return;
	case WEIR_NPU_FAULT_ADDRESS:
		snprintf(out, size, "the address 0x%llx is in no buffer", where);
		return;
	case WEIR_NPU_FAULT_EXECUTION:
		snprintf(out, size,
			"the kernel broke off (an illegal instruction, a division, or the like)");
		return;
	case WEIR_NPU_FAULT_DOORBELL:
		snprintf(out, size, "the doorbell published a number that makes no sense");
		return;
	case WEIR_NPU_FAULT_HANG:
		snprintf(out, size, "no progress within %u ms", d->base.drm->info.hang_limit_ms);
		return;
	case WEIR_NPU_FAULT_LOST:
		snprintf(out, size, "the device lost the work");
		return;
	default:
		snprintf(out, size, "fault %u at 0x%llx", s->code, where);
	}
}

/* The kernel's word, or the status page's where there is none: a queue that is not ok stays so. */
static void read_state(const struct npu_device *d, struct drm_weir_queue_state *s)
{
	memset(s, 0, sizeof(*s));
	s->queue = d->queue;
	if (weir_drm_ioctl(d->base.drm, DRM_IOCTL_WEIR_QUEUE_STATE, s) == 0 &&
		s->state != WEIR_NPU_QUEUE_OK)
		return;
	s->state = LOAD(d->status->state);
	s->code = LOAD(d->status->code);
	s->error_seq = LOAD(d->status->error_seq);
	s->fault_addr = LOAD(d->status->fault_addr);
	/* Nobody says that it failed, and yet it does not go on. */
	if (s->state == WEIR_NPU_QUEUE_OK)
		s->state = WEIR_NPU_QUEUE_GONE;
}

static int fail(struct npu_device *d)
{
	char packet[192], fault[128];
	struct drm_weir_queue_state s;

	d->failed = true;
	if (!weir_drm_here(d->base.drm)) {
		snprintf(d->failure, sizeof(d->failure),
			"this process is a fork of the one that opened it");
		return npu_check(d);
	}
	read_state(d, &s);
	if (s.state == WEIR_NPU_QUEUE_GUILTY) {
		describe_packet(d, s.error_seq, packet, sizeof(packet));
		describe_fault(d, &s, fault, sizeof(fault));
		snprintf(d->failure, sizeof(d->failure), "submitted work failed: %s: %s", packet,
			fault);
	} else if (s.state == WEIR_NPU_QUEUE_INNOCENT) {
		snprintf(d->failure, sizeof(d->failure),
			"submitted work was lost by a fault that was not its own: close the device "
			"and open it "
			"again");
	} else {
		snprintf(d->failure, sizeof(d->failure),
			"the device is gone: close it, and open it again when it is back");
	}
	d->n_runs = 0;
	d->n_timed = 0;
	return npu_check(d);
}

int npu_check(struct npu_device *d)
{
	if (d->failed)
		return weir_fail(EIO, "%s: %s", d->base.info.name, d->failure);
	/* A fork may not even have the status page. */
	if (weir_drm_here(d->base.drm) && LOAD(d->status->state) == WEIR_NPU_QUEUE_OK)
		return 0;
	return fail(d);
}

/* ---- waiting ------------------------------------------------------------- */

/* 1: done; 0: the queue failed before; -1: neither, after so many looks. */
static int look(const struct npu_device *d, uint64_t seq, unsigned looks)
{
	for (unsigned i = 0; i < looks; i++) {
		if (LOAD(d->status->completed) >= seq)
			return 1;
		if (LOAD(d->status->state) != WEIR_NPU_QUEUE_OK)
			return LOAD(d->status->completed) >= seq;
		relax();
	}
	return -1;
}

int npu_wait_for(struct npu_device *d, uint64_t seq)
{
	struct drm_weir_queue_wait wait = {
		.queue = d->queue, .eventfd = -1, .seq = seq, .timeout_ns = INT64_MAX};
	unsigned looks = __atomic_load_n(&d->spin, __ATOMIC_RELAXED);
	int done = look(d, seq, looks);
	double start;

	if (done >= 0) {
		if (done && looks != d->spin_long)
			__atomic_store_n(&d->spin, d->spin_long, __ATOMIC_RELAXED);
		return done ? 0 : -EIO;
	}
	start = weir_now();
	done = weir_drm_ioctl(d->base.drm, DRM_IOCTL_WEIR_QUEUE_WAIT, &wait);
	looks = weir_now() - start > SPIN_LONG_US * 1e-6 ? d->spin_short : d->spin_long;
	__atomic_store_n(&d->spin, looks, __ATOMIC_RELAXED);
	return done < 0 ? -EIO : 0;
}

static void retire(struct npu_device *d)
{
	uint64_t completed = LOAD(d->status->completed);

	while (d->n_runs > 0 && d->runs[d->first_run].end <= completed) {
		d->first_run = (d->first_run + 1) % NPU_RUNS;
		d->n_runs--;
	}
}

int npu_drain(struct npu_device *d)
{
	int err = npu_check(d);

	if (err < 0)
		return err;
	if (LOAD(d->status->completed) < d->written && npu_wait_for(d, d->written) < 0)
		return fail(d);
	d->n_runs = 0;
	return 0;
}

/* ---- submitting ---------------------------------------------------------- */

int npu_reserve(struct npu_device *d, size_t count)
{
	uint64_t end = d->written + count;
	int err = npu_check(d);

	if (err < 0)
		return err;
	retire(d);
	if (d->n_runs == NPU_RUNS && npu_wait_for(d, d->runs[d->first_run].end) < 0)
		return fail(d);
	/* A slot is free once its packet was fetched; the ioctl waits for it to be done, which
	 * comes later. */
	if (end > NPU_RING_PACKETS && LOAD(d->status->read_index) < end - NPU_RING_PACKETS &&
		npu_wait_for(d, end - NPU_RING_PACKETS) < 0)
		return fail(d);
	retire(d);
	return 0;
}

int npu_publish(struct npu_device *d, size_t count, struct npu_run run)
{
	struct drm_weir_queue_kick kick = {.queue = d->queue};

	run.first = d->written;
	run.end = d->written + count;
	d->runs[(d->first_run + d->n_runs++) % NPU_RUNS] = run;
	d->written = run.end;
	before_doorbell();
	__atomic_store_n(&d->doorbell->published, d->written, __ATOMIC_RELAXED);
	after_doorbell();
	if (!LOAD(d->status->need_kick))
		return 0;
	return weir_drm_ioctl(d->base.drm, DRM_IOCTL_WEIR_QUEUE_KICK, &kick) < 0 ? fail(d) : 0;
}

int npu_submit(struct npu_device *d, const struct weir_npu_packet *packet, const char *what)
{
	int err = npu_reserve(d, 1);

	if (err < 0)
		return err;
	*npu_slot(d, 0) = *packet;
	return npu_publish(d, 1, (struct npu_run){.what = what});
}

void npu_packet(struct weir_npu_packet *packet, enum weir_npu_packet_type type, const void *body,
	size_t size)
{
	memset(packet, 0, sizeof(*packet));
	packet->type = (uint8_t)type;
	packet->flags = WEIR_NPU_PACKET_BARRIER;
	memcpy(packet->body, body, size);
}

/* ---- opening ------------------------------------------------------------- */

/* How many looks fit a time: the fastest of some samples, as other programs only make one slower.
 */
static void measure_looks(struct npu_device *d)
{
	double best = 1, start, took;

	for (int i = 0; i < 3; i++) {
		start = weir_now();
		look(d, UINT64_MAX, SPIN_SAMPLE);
		took = weir_now() - start;
		best = WEIR_MIN(best, took);
	}
	best = WEIR_MAX(best, 1e-9 * SPIN_SAMPLE);
	d->spin_long = (unsigned)(SPIN_LONG_US * 1e-6 / best * SPIN_SAMPLE) + 1;
	d->spin_short = (unsigned)(SPIN_SHORT_US * 1e-6 / best * SPIN_SAMPLE) + 1;
	d->spin = d->spin_long;
}

static int map_pages(struct npu_device *d, const struct drm_weir_queue_create *q)
{
	struct weir_drm *drm = d->base.drm;
	void *map;
	int err;

	err = weir_drm_map(
		drm, q->doorbell_offset, drm->info.doorbell_stride, PROT_READ | PROT_WRITE, &map);
	if (err < 0)
		return weir_drm_fail(drm, err, "cannot map a doorbell");
	d->doorbell = map;
	d->doorbell_size = drm->info.doorbell_stride;
	err = weir_drm_map(drm, q->status_offset, drm->info.page_size, PROT_READ, &map);
	if (err < 0)
		return weir_drm_fail(drm, err, "cannot map a status page");
	d->status = map;
	d->status_size = drm->info.page_size;
	return 0;
}

/* The CPU only writes the ring: past its caches, where the device does not look into them. */
int npu_queue_open(struct npu_device *d)
{
	struct weir_drm *drm = d->base.drm;
	struct drm_weir_queue_create q = {
		.queue_class = WEIR_QUEUE_FENCED,
		.ring_size = NPU_RING_PACKETS * sizeof(struct weir_npu_packet),
		.priority = WEIR_QUEUE_PRIORITY_NORMAL,
	};
	int err;

	err = weir_drm_bo_create(drm, q.ring_size,
		weir_drm_coherent(drm) ? WEIR_BO_CACHED : WEIR_BO_WRITE_COMBINED, &d->ring);
	if (err < 0)
		return err;
	d->slots = d->ring.map;
	q.ring_handle = d->ring.handle;
	err = weir_drm_ioctl(drm, DRM_IOCTL_WEIR_QUEUE_CREATE, &q);
	if (err == -ENOSPC)
		return weir_fail(ENOSPC,
			"%s: all queues of the NPU are taken (other processes that run on it have "
			"to end)",
			drm->path);
	if (err < 0)
		return weir_drm_fail(drm, err, "cannot make a queue");
	d->queue = q.queue;
	d->has_queue = true;
	err = map_pages(d, &q);
	if (err < 0)
		return err;
	measure_looks(d);
	return 0;
}

void npu_queue_close(struct npu_device *d)
{
	struct drm_weir_queue_destroy destroy = {.queue = d->queue};

	if (d->has_queue)
		weir_drm_ioctl(d->base.drm, DRM_IOCTL_WEIR_QUEUE_DESTROY, &destroy);
	if (d->doorbell)
		munmap(d->doorbell, d->doorbell_size);
	if (d->status)
		munmap((void *)(uintptr_t)d->status, d->status_size);
	weir_drm_bo_destroy(&d->ring);
}
