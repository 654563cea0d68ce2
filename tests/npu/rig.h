/* SPDX-License-Identifier: MIT */
/*
 * A worker of weir-npu on a test bench: in a process of its own, with a memfd as the guest's
 * memory, whose pages are handed out scattered, and another as BAR2. Whatever goes wrong on the
 * bench itself fails the test at once.
 */
#ifndef WEIR_TESTS_NPU_RIG_H
#define WEIR_TESTS_NPU_RIG_H

#include "tools/weir-npu/worker.h"

#define RIG_PAGES 4096 /* of guest memory */
#define RIG_QUEUES 4
#define RIG_BUFFERS 32
#define RIG_RING_ORDER 6 /* packets of a ring: the smallest */
#define RIG_RING (1u << RIG_RING_ORDER)
#define RIG_LONG_MS 60000 /* compilers on a busy machine */

struct rig_buffer {
	uint64_t addr, size; /* device address */
	char *host;
};

struct rig_queue {
	struct rig_buffer ring;
	struct weir_npu_status *status;
	struct weir_npu_control *control;
	struct weir_npu_doorbell *doorbell;
	uint64_t written;
};

struct rig {
	int pid, socket, guest, bar, irq;
	struct worker_shared *shared;
	char *all; /* guest memory, as it lies */
	unsigned next_page;
	uint64_t next_addr;
	struct rig_buffer buffers[RIG_BUFFERS];
	unsigned n_buffers;
	struct rig_queue queues[RIG_QUEUES];
};

/* The settings that tests vary; the rest is set for them. */
void rig_start(struct rig *r, const struct worker_settings *settings);
void rig_stop(struct rig *r);

/* Sends a command and takes the reply's err, -EPIPE when the worker ended without one; fds are -1 for none. */
int rig_command(struct rig *r, const struct worker_command *c, int fd0, int fd1);
int rig_simple(struct rig *r, enum worker_op op, uint32_t queue);
void rig_kick(struct rig *r);

/* Scattered pages, mapped in the worker with prot, and here. */
struct rig_buffer rig_alloc(struct rig *r, uint64_t size, int prot);
int rig_unmap(struct rig *r, uint64_t addr, uint64_t size);

/* Queue number i; from packet start on. */
struct rig_queue *rig_queue(
	struct rig *r, unsigned i, uint32_t queue_class, uint32_t priority, uint64_t start);

/*
 * Writes a packet into the ring, then shows the process's count to the device; waits where the
 * ring is full.
 */
void rig_push(struct rig *r, struct rig_queue *q, const struct weir_npu_packet *p);
void rig_publish(struct rig *r, struct rig_queue *q);

/*
 * Until completed reaches seq. False when the queue is no longer ok, the worker is gone, or after
 * ms.
 */
bool rig_wait(struct rig *r, struct rig_queue *q, uint64_t seq, unsigned ms);
/* Pushes one packet and waits for it. */
bool rig_do(struct rig *r, struct rig_queue *q, const struct weir_npu_packet *p);
/* Waits until the queue is guilty: its code. 0 after RIG_LONG_MS. */
int rig_fault(struct rig *r, struct rig_queue *q);
/* Waits until the worker ended: its status. */
int rig_death(struct rig *r);
/* Interrupts since the last call, after at most ms. */
uint64_t rig_interrupts(struct rig *r, int ms);
uint64_t rig_now(void); /* ns */

/* ---- packets ----------------------------------------------------------------- */

struct weir_npu_packet packet_nop(void);
struct weir_npu_packet packet_copy(uint64_t to, uint64_t from, uint64_t size);
struct weir_npu_packet packet_fill(uint64_t to, uint64_t size, uint32_t pattern);
struct weir_npu_packet packet_signal(uint64_t addr, uint64_t value);
struct weir_npu_packet packet_wait(uint64_t addr, uint64_t value);
struct weir_npu_packet packet_unload(uint32_t program);
struct weir_npu_packet packet_launch(uint32_t program, uint32_t kernel, uint32_t groups,
	uint32_t local, uint64_t args, uint32_t n);

struct weir_npu_arg arg_buffer(uint64_t addr);
struct weir_npu_arg arg_int(int32_t value);
struct weir_npu_arg arg_local(uint64_t size);

/* Loads source as a program by queue q; the report that came, to be freed. */
struct weir_npu_report *rig_load(struct rig *r, struct rig_queue *q, uint32_t program,
	const char *source, const char *options);

#endif
