/* SPDX-License-Identifier: MIT */
/*
 * A machine without a machine: starts weir-npu, speaks vfio-user to it as QEMU does, gives it
 * memory, and drives the NPU as the kernel module does. What cannot go wrong in a sound test aborts
 * with a line; what tests are about is returned.
 */
#ifndef WEIR_TESTS_VFIO_CLIENT_H
#define WEIR_TESTS_VFIO_CLIENT_H

#include <check.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "uapi/weir_npu.h"

#define VC_PAGE 4096
#define VC_MEMORY (64ull << 20)
/*
 * The memory appears twice as two halves, so that neighbours on the bus need not be neighbours in
 * the file.
 */
#define VC_LOW 0x40000000ull
#define VC_HIGH 0x180000000ull
#define VC_HALF (VC_MEMORY / 2)
/* Device addresses begin here: not at 0, which looks like a mistake. */
#define VC_BASE 0x100000ull
#define VC_ENTRIES 64

struct vc {
	pid_t pid;
	char folder[64], path[96], stats[96];
	int fd;
	uint16_t id; /* of the next message */
	int memory_fd;
	uint8_t *memory;
	uint64_t used; /* pages of the low half, given out in order; of the high half, scattered */
	uint64_t scattered;
	uint8_t *doorbells;
	uint64_t doorbells_size;
	int irq[WEIR_NPU_IRQS];
	uint64_t admin; /* bus address of the ring */
	uint32_t admin_size, admin_tail;
	uint64_t admin_irqs; /* interrupts that vc_admin() took */
};

/* ---- the process and the protocol ------------------------------------------------------------ */

/* The path of weir-npu: WEIR_NPU, or in the build folder that this test lies in. */
void vc_program(char *out, size_t size);
/* Starts weir-npu with further arguments (NULL at the end) and waits until it listens. */
void vc_start(struct vc *c, const char *const *args);
/* Disconnects and ends it by SIGTERM. Its exit status, or 128 + signal. */
int vc_stop(struct vc *c);
/* Runs a suite on one weir-npu, which has to end well too: the program's exit status. */
int vc_suite_run(struct vc *c, Suite *s, const char *const *args);
/* The same when it ends by itself. */
int vc_wait(struct vc *c);
void vc_connect(struct vc *c);
void vc_disconnect(struct vc *c);

/*
 * One message and its reply: what the reply holds after its header goes to reply (size bytes of
 * room; *size becomes what came). 0, or -errno as the reply says it, or -EPIPE when the server hung
 * up.
 */
int vc_call(struct vc *c, unsigned command, const void *data, size_t n, const int *fds,
	unsigned n_fds, void *reply, size_t *size, int *fd);
/* Bytes as they are; false: the server hung up. */
bool vc_send_raw(struct vc *c, const void *data, size_t n, const int *fds, unsigned n_fds);
/* The server hung up within two seconds. */
bool vc_is_closed(struct vc *c);

int vc_version(struct vc *c, unsigned major, const char *json);
int vc_map(struct vc *c, uint64_t addr, uint64_t size, uint64_t offset, int fd, uint32_t flags);
int vc_unmap(struct vc *c, uint64_t addr, uint64_t size, uint32_t flags);
int vc_read(struct vc *c, uint32_t region, uint64_t offset, void *data, uint32_t n);
int vc_write(struct vc *c, uint32_t region, uint64_t offset, const void *data, uint32_t n);
int vc_set_irqs(struct vc *c, uint32_t index, uint32_t flags, uint32_t start, uint32_t count,
	const int *fds, unsigned n_fds);
uint32_t vc_reg(struct vc *c, uint32_t reg);
void vc_set_reg(struct vc *c, uint32_t reg, uint32_t value);
/* Waits until the eventfd was written and takes its count; 0 after so many ms without. */
uint64_t vc_irq(struct vc *c, unsigned vector, int ms);
/* A counter of --stats. The file is written when a client leaves. */
uint64_t vc_counter(struct vc *c, const char *name);

/* ---- the driver ------------------------------------------------------------------------------ */

/*
 * Negotiates, maps memory and doorbells, sets eventfds, bus mastering and the admin ring, and lets
 * the device run.
 */
void vc_boot(struct vc *c);
/* Lets the device run with the admin ring, which begins anew: after a reset. */
void vc_run(struct vc *c);
/* So many pages in a row on the bus, zeroed; their bus address. */
uint64_t vc_pages(struct vc *c, unsigned n);
void *vc_at(struct vc *c, uint64_t bus);
/* Posts a command and waits for its result, so many ms; -ETIMEDOUT. */
int vc_admin(struct vc *c, const struct weir_npu_admin *command, int ms);

/* A buffer of pages that lie anywhere. */
struct vc_buffer {
	uint64_t addr, size; /* device address */
	unsigned entry;
	uint64_t segments; /* bus address of the array */
	unsigned n_segments;
};

struct vc_context {
	struct vc *c;
	uint32_t id;
	uint64_t table; /* bus address */
	unsigned n_entries;
	uint64_t next; /* device address */
};

/* A context with a table of VC_ENTRIES, none valid. 0 or -errno or the result. */
int vc_context(struct vc_context *x, struct vc *c, uint32_t id);
int vc_context_destroy(struct vc_context *x);
/* A buffer of size bytes bound to the context; flags are WEIR_NPU_ENTRY_READ and WRITE. */
struct vc_buffer vc_buffer(struct vc_context *x, uint64_t size, uint32_t flags);
/* CTX_UPDATE of the buffer's entry, with these flags. The result. */
int vc_rebind(struct vc_context *x, const struct vc_buffer *b, uint32_t flags);
/*
 * The host address of a byte of the buffer; the page that it lies in is all that can be reached
 * from there.
 */
void *vc_byte(struct vc_context *x, const struct vc_buffer *b, uint64_t offset);
void vc_put(struct vc_context *x, const struct vc_buffer *b, uint64_t offset, const void *data,
	uint64_t n);
void vc_get(
	struct vc_context *x, const struct vc_buffer *b, uint64_t offset, void *data, uint64_t n);

struct vc_queue {
	struct vc_context *x;
	uint32_t id, order;
	struct vc_buffer ring;
	volatile struct weir_npu_status *status;
	volatile struct weir_npu_control *control;
	uint64_t status_bus, control_bus;
	uint64_t published;
};

/* QUEUE_CREATE; the result. */
int vc_queue(struct vc_queue *q, struct vc_context *x, uint32_t id, unsigned order,
	unsigned queue_class);
int vc_queue_destroy(struct vc_queue *q);
int vc_queue_reset(struct vc_queue *q);
/* Puts a packet into the ring without publishing it. */
void vc_packet(struct vc_queue *q, unsigned type, unsigned flags, uint64_t stamp, const void *body,
	size_t n);
/* Rings the doorbell; kicks by register if the device sleeps. */
void vc_publish(struct vc_queue *q);
/*
 * Publishes and waits until all is completed: 0, -EIO when the queue is not ok any more,
 * -ETIMEDOUT.
 */
int vc_finish(struct vc_queue *q, int ms);
/*
 * LOAD of OpenCL C. The report's result, or -errno as vc_finish(); the log goes to standard output
 * when it fails.
 */
int vc_load(struct vc_queue *q, uint32_t program, const char *source, struct vc_buffer *report);
void vc_launch(struct vc_queue *q, uint32_t program, uint32_t kernel, uint32_t groups,
	uint32_t local, const struct weir_npu_arg *args, unsigned n);

#endif
