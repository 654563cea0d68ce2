/* SPDX-License-Identifier: MIT */
/*
 * Between weir-npu's main process, which speaks vfio-user and owns registers, admin ring and guest memory, and the
 * worker process that each context has: it maps that context's buffers alone and executes its queues by OpenCL.
 *
 * They talk over a SOCK_SEQPACKET pair: one struct worker_command a message, with at most two fds, and one struct
 * worker_reply for each but KICK, in order. The worker's control thread answers at once, whatever its
 * executing thread does. The worker trusts main; main trusts no worker: a reply that is late (WORKER_LATE_MS) or
 * wrong ends it by SIGKILL.
 *
 * When a kernel does harm (SIGSEGV, SIGBUS, SIGILL, SIGFPE), the worker's handler writes state, code and fault
 * address into the status page of the queue that executed, raises the interrupt and exits. However a worker ends, main
 * reaps it, and marks the queues of its context that are still ok: guilty the one that struct worker_shared names as
 * executing (WEIR_NPU_FAULT_EXECUTION), innocent the others (WEIR_NPU_FAULT_LOST). The context gets a new
 * worker when a queue is created in it next.
 */
#ifndef WEIR_NPU_WORKER_H
#define WEIR_NPU_WORKER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "uapi/weir_npu.h"

/* Device addresses of a context are below this: the worker keeps as much address space free for them. */
#define WORKER_ADDR_BITS 38
#define WORKER_QUEUES 64 /* queues that one context can have */
#define WORKER_LATE_MS 2000
#define WORKER_PROGRAMS 256

enum worker_op {
	WORKER_MAP = 1,	   /* fds[0] from offset on appears at device address addr, size bytes, prot */
	WORKER_UNMAP,	   /* [addr, addr + size) is reserved and inaccessible again */
	WORKER_QUEUE,	   /* a queue: fds[0] guest memory, fds[1] BAR2; see the fields below */
	WORKER_QUEUE_END,  /* the queue executes nothing any more and its pages are unmapped; late while a packet runs */
	WORKER_KICK,	   /* wake and look at doorbells; no reply */
	WORKER_IRQ,	   /* fds[0] is the eventfd to raise for WEIR_NPU_IRQ_QUEUE from now on; without fd: none */
	WORKER_PAUSE,	   /* replied to when nothing executes: can take long, so main waits without limit */
	WORKER_RESUME,
};

struct worker_command {
	uint32_t op;
	uint32_t queue;
	uint64_t addr;	 /* MAP, UNMAP: device address. QUEUE: device address of the ring */
	uint64_t size;
	uint64_t offset; /* MAP: in fds[0] */
	uint32_t prot;	 /* PROT_* */
	uint32_t order;	 /* QUEUE: log2 of the ring's packets */
	uint32_t queue_class, priority;
	uint64_t start;	 /* QUEUE: first packet */
	uint64_t status_offset, control_offset; /* QUEUE: in fds[0]: a page, and a block of 64 bytes in one page */
	uint64_t doorbell_offset; /* QUEUE: in fds[1], WEIR_NPU_PAGE bytes */
};

struct worker_reply {
	uint32_t op;
	int32_t err; /* 0 or -errno */
};

/* A page of shared memory that a worker writes and main reads, for when the worker is dead, and for the counters. */
struct worker_shared {
	int32_t executing; /* queue id, -1: none */
	uint32_t awake;
	uint64_t packets, launches, loads, copies, fills, signals, waits, sleeps, kicks, interrupts;
	uint64_t busy_ns; /* with a packet in execution */
};

/* Faults for tests: what happens at the n-th launch of a context, counted from 1 (0: at each). */
enum worker_fault {
	WORKER_FAULT_NONE,
	WORKER_FAULT_HANG,  /* executes for ever */
	WORKER_FAULT_WILD,  /* touches an address of no buffer */
	WORKER_FAULT_CRASH, /* the worker aborts */
	WORKER_FAULT_SLOW,  /* takes fault_ms longer */
};

struct worker_settings {
	unsigned ctx;	   /* for the log */
	unsigned threads;  /* of OpenCL; 0: all */
	unsigned awake_ms; /* how long it polls doorbells after the last work before it sleeps */
	enum worker_fault fault;
	uint64_t fault_at;
	unsigned fault_ms;
	bool verbose;
	bool sandbox; /* false: without seccomp, for debuggers and sanitizers */
};

/*
 * The worker: called in a forked child (main has one thread), with its end of the socket and the shared page; everything
 * else that main had open is closed by the caller. Sets up OpenCL and the sandbox, serves until the socket ends, and
 * never returns.
 */
void worker_main(int socket, struct worker_shared *shared, const struct worker_settings *settings)
	__attribute__((noreturn));

/* What OpenCL device the workers use: fills name to clock_hz. 0, or -1 with a line on stderr. Forks for it. */
int worker_identify(const struct worker_settings *settings, struct weir_npu_identity *out);

/* One line on stderr, "weir-npu: " or "weir-npu: context 3: " before it. */
void npu_log(int ctx, const char *format, ...) __attribute__((format(printf, 2, 3)));

/*
 * ring.c: checks one packet against the specification, without touching the context's memory. 0, or the
 * WEIR_NPU_FAULT_* with *where the byte in the packet. Called with a copy that nobody can change.
 */
int ring_check_packet(const struct weir_npu_packet *packet, uint32_t queue_class,
	const struct weir_npu_identity *identity, uint64_t *where);

#endif
