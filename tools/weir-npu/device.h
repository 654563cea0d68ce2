/* SPDX-License-Identifier: MIT */
/*
 * The emulated NPU: PCI configuration, registers, doorbells, interrupts (device.c, pci.c), the
 * admin ring (admin.c), and contexts with their queues and worker processes (context.c). What
 * speaks for the client (vfio_user.c) calls the functions here.
 */
#ifndef WEIR_NPU_DEVICE_H
#define WEIR_NPU_DEVICE_H

#include "memory.h"
#include "process.h"
#include "table.h"
#include "uapi/weir_npu.h"
#include "worker.h"

#define NPU_STRIDE 65536
#define NPU_MAX_CONTEXTS 1024
#define NPU_MAX_QUEUES 4096
#define NPU_ADMIN_MIN 2
#define NPU_ADMIN_MAX 64

#define NPU_CONFIG_SIZE 256
#define NPU_MSIX_SIZE 4096
#define NPU_MSIX_PBA 2048

enum npu_region {
	NPU_REGION_BAR0 = 0,
	NPU_REGION_BAR2 = 2,
	NPU_REGION_BAR4 = 4,
	NPU_REGION_CONFIG = 7,
};

struct npu_settings {
	struct worker_settings worker;
	unsigned contexts, queues;
	bool deaf; /* admin command number deaf_at is never answered (0: none is) */
	uint64_t deaf_at;
	bool stale; /* the bus address of the stale_at-th buffer that goes (from 1) is used once more */
	uint64_t stale_at;
	bool verbose;
};

/* Since the program started. */
struct npu_counters {
	uint64_t clients, messages, message_errors, maps, unmaps, unmaps_in_use;
	uint64_t resets, admin_commands, admin_refused, kicks;
	uint64_t contexts, queues, workers, workers_lost, queues_guilty, queues_innocent;
	uint64_t stale_reached; /* accesses of the fault stale that landed */
};

struct queue_slot {
	bool exists;
	bool live; /* a worker serves it */
	unsigned ctx;
	struct memory_piece status, control;
};

struct npu_context {
	bool exists;
	uint64_t addr; /* bus address of the table */
	struct table table;
	struct process *process;
	unsigned queues;
};

struct npu {
	const struct npu_settings *settings;
	struct weir_npu_identity identity;
	struct memory memory;
	uint8_t config[NPU_CONFIG_SIZE], config_mask[NPU_CONFIG_SIZE];
	uint8_t msix[NPU_MSIX_SIZE];
	uint64_t doorbells_size;
	int doorbells; /* BAR2: memory that the client maps */
	int irq[WEIR_NPU_IRQS];
	/* Registers. */
	bool started; /* RUN was set since reset: the admin ring is what it is */
	bool running, pausing, failed;
	uint64_t admin_addr;
	uint32_t admin_size, admin_tail, admin_head;
	/* The command that waits for a worker. */
	bool pending;
	struct weir_npu_admin command;
	struct npu_context *contexts;
	struct queue_slot *queues;
	struct npu_counters counters;
	struct worker_shared past; /* sums of workers that are gone */
	struct {
		uint64_t forgotten, addr;
		int64_t when; /* ms, 0: nothing to do */
	} stale;
};

/* device.c. The identity is the caller's to fill. 0 or -errno. */
int npu_init(struct npu *npu, const struct npu_settings *settings);
void npu_fini(struct npu *npu);
/* The client is gone: as after power-on. */
void npu_power_cycle(struct npu *npu);
/* What a reset by the client does: registers and configuration; its memory and eventfds stay. */
void npu_reset(struct npu *npu);

/* Bytes of a region, 0: there is none. */
uint64_t npu_region_size(const struct npu *npu, uint32_t region);
/* 0 or -errno; the range was checked to lie in the region. */
int npu_region_read(struct npu *npu, uint32_t region, uint64_t offset, void *data, uint32_t count);
int npu_region_write(
	struct npu *npu, uint32_t region, uint64_t offset, const void *data, uint32_t count);

/* fd becomes the device's own; -1: none. */
void npu_set_irq(struct npu *npu, unsigned vector, int fd);
void npu_raise(struct npu *npu, unsigned vector);
/* Only a reset helps from here on. */
void npu_fail(struct npu *npu, const char *why);
/* Forgets the maps in [addr, last] once no worker has them. 0 or -EINVAL. */
int npu_unmap(struct npu *npu, uint64_t addr, uint64_t last);

/* Talks with the workers and goes on with what waited for them. */
void npu_serve(struct npu *npu);
/* CLOCK_MONOTONIC ms when npu_serve() is wanted at the latest. */
int64_t npu_deadline(const struct npu *npu);
/* Writes all counters, a name and a value a line. */
void npu_write_counters(const struct npu *npu, int fd);

/* pci.c */
void pci_init(struct npu *npu);
void pci_write(struct npu *npu, uint64_t offset, const uint8_t *data, uint32_t count);
bool pci_bus_master(const struct npu *npu);

/* stale.c: entries are about to be dropped; when stale_serve() is wanted; what is due. */
void stale_remember(struct npu *npu, const struct table *t, uint32_t first, uint32_t count);
int64_t stale_deadline(const struct npu *npu);
void stale_serve(struct npu *npu);

/* admin.c: takes commands while the device runs and none waits. */
void admin_run(struct npu *npu);
/* The worker that a command waited for has nothing under way any more, or is gone (err). */
void admin_complete(struct npu *npu, int err);

/*
 * context.c: each returns how the command ended, or CONTEXT_PENDING: admin_complete() follows,
 * which calls context_complete().
 */
#define CONTEXT_PENDING (-1)
int context_create(struct npu *npu, const struct weir_npu_admin *c);
int context_destroy(struct npu *npu, const struct weir_npu_admin *c);
int context_update(struct npu *npu, const struct weir_npu_admin *c);
int context_queue_create(struct npu *npu, const struct weir_npu_admin *c);
int context_queue_destroy(struct npu *npu, const struct weir_npu_admin *c);
int context_queue_reset(struct npu *npu, const struct weir_npu_admin *c);
int context_complete(struct npu *npu, const struct weir_npu_admin *c, int err);

/* Whose worker the command waits for. */
struct npu_context *context_of_command(const struct npu *npu, const struct weir_npu_admin *c);
void context_kick(struct npu *npu, uint32_t queue);
void context_forget_all(struct npu *npu);
/* The maps in [addr, last] go: buffers that lie there vanish from their contexts. */
void context_unmap(struct npu *npu, uint64_t addr, uint64_t last);
/*
 * Ends the worker, which is or must go. blame: the queue that it executed is guilty, not only the
 * others innocent. skip (-1: none): a queue whose state is the driver's to say.
 */
void context_lose_worker(struct npu *npu, unsigned ctx, const char *why, bool blame, int64_t skip);

#endif
