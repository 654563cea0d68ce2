/* SPDX-License-Identifier: MIT */
/* What the files of the NPU backend share: packets in a ring, a doorbell, a status page. */
#ifndef WEIR_DEVICE_NPU_H
#define WEIR_DEVICE_NPU_H

#include "device/backend.h"

/* Some tokens of a network of hundreds of launches ahead. */
#define NPU_RING_PACKETS 4096

/* Submissions that are not known to be done; the next one waits for the oldest. */
#define NPU_RUNS 64

/* Launches of profiled runs that may wait for their times to be read; a plan has no more. */
#define NPU_STAMPS 32768

/* Packets that were published together: for the sentence about the one that failed. */
struct npu_run {
	uint64_t first, end;
	const struct weir_plan *plan; /* launch `at` of it is packet first; NULL: none */
	size_t at;
	const char *what; /* without plan: a literal */
};

struct npu_stamp {
	uint64_t begin, end;
};

struct npu_timed {
	const struct weir_launch *launch;
	unsigned tokens;
};

struct npu_device {
	struct weir_device base; /* first */
	struct weir_npu_identity identity;

	/* The queue. Everything from here to stamps is under base.lock, but for reading the status
	 * page. */
	uint32_t queue;
	bool has_queue;
	struct weir_drm_bo ring;
	struct weir_npu_packet *slots; /* NPU_RING_PACKETS */
	struct weir_npu_doorbell *doorbell;
	size_t doorbell_size;
	const struct weir_npu_status *status;
	size_t status_size;
	uint64_t written; /* packets, in all; published as far as the last submission */
	unsigned spin_long, spin_short, spin; /* looks at the status page before a wait sleeps */

	struct npu_run runs[NPU_RUNS]; /* the oldest at first_run, modulo */
	unsigned first_run, n_runs;

	bool failed;
	char failure[512]; /* why, from then on */

	struct weir_drm_bo stamps; /* NPU_STAMPS times struct npu_stamp, with a profile */
	struct npu_timed *timed;
	size_t n_timed;

	bool *programs; /* which ids are in use, identity.max_programs; under base.programs_lock */
};

static inline struct npu_device *npu_device(const weir_device *dev)
{
	return (struct npu_device *)(uintptr_t)dev;
}

/* The device's view of a buffer. */
struct weir_mem {
	struct weir_drm_bo bo; /* of its own: made for copies, or imported; else zero */
	uint64_t addr;
	void *map;			  /* the CPU's view of the same bytes */
	const struct weir_memory *memory; /* whose they are, where they are not its own */
};

/* ---- the queue (npu_queue.c); base.lock is held ---------------------------- */

int npu_queue_open(struct npu_device *d);
void npu_queue_close(struct npu_device *d);

/* -EIO with the sentence, if the queue has failed. */
int npu_check(struct npu_device *d);

/* Waits until count packets (at most NPU_RING_PACKETS) and one more submission have room. */
int npu_reserve(struct npu_device *d, size_t count);

/* Slot of the i-th packet that is being written; its packets were reserved. */
static inline struct weir_npu_packet *npu_slot(const struct npu_device *d, size_t i)
{
	return &d->slots[(d->written + i) % NPU_RING_PACKETS];
}

/* Publishes count packets that were written to their slots. run says what they are; its first and
 * end are set. */
int npu_publish(struct npu_device *d, size_t count, struct npu_run run);

/* One packet: reserved, copied to its slot, published. */
int npu_submit(struct npu_device *d, const struct weir_npu_packet *packet, const char *what);

/* Waits until all that was published is done. */
int npu_drain(struct npu_device *d);

/*
 * Waits until packets below seq are done. May be called without the lock: it looks at the status
 * page alone. Negative: the queue failed, and npu_check has the sentence, with the lock held.
 */
int npu_wait_for(struct npu_device *d, uint64_t seq);

/* ---- backend ------------------------------------------------------------- */

int npu_wait(weir_device *dev);

/* Fills a packet with its type and a body of size bytes. Packets see what those before them wrote.
 */
void npu_packet(struct weir_npu_packet *packet, enum weir_npu_packet_type type, const void *body,
	size_t size);

int npu_mem_create(weir_device *dev, enum weir_import way, const struct weir_memory *m, size_t size,
	struct weir_mem **out);
void npu_mem_destroy(weir_device *dev, struct weir_mem *mem);
int npu_mem_read(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, void *to);
int npu_mem_write(
	weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, const void *from);
int npu_mem_copy(weir_device *dev, struct weir_mem *from, size_t from_offset, struct weir_mem *to,
	size_t to_offset, size_t size);
int npu_cpu_begin(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size,
	unsigned access, void **ptr);
int npu_cpu_end(weir_device *dev, struct weir_mem *mem, void *ptr);

/* Memory for what the device reads or writes beside buffers; synced by begin and end as buffers
 * are. */
int npu_bo_begin(const struct weir_drm_bo *bo, uint32_t access);
int npu_bo_end(const struct weir_drm_bo *bo, uint32_t access);

struct npu_program {
	uint32_t id;
	unsigned n_kernels;
	struct weir_npu_kernel *kernels; /* as the device reported them, names ended */
};

int npu_program_build(weir_device *dev, const char *source, size_t size, const char *options,
	const char *name, void **out);
int npu_program_load(
	weir_device *dev, const void *binary, size_t size, const char *options, void **out);
int npu_program_binary(weir_device *dev, void *program, void **data, size_t *size);
void npu_program_destroy(weir_device *dev, void *program);

int npu_plan_bind(struct weir_plan *plan);
int npu_plan_run(struct weir_plan *plan, size_t first, size_t n, unsigned tokens);
void npu_plan_unbind(struct weir_plan *plan);
/* Accounts profiled launches; the queue has drained. */
int npu_timed_collect(struct npu_device *d);

#endif
