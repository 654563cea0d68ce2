/* SPDX-License-Identifier: MIT */
/*
 * The module's render nodes as the suites in tests/drm use them: by plain ioctls, with nothing of libweir between. Calls
 * give 0 or -errno, so that a suite can ask for an exact error.
 */
#ifndef WEIR_TESTS_DRM_NODE_H
#define WEIR_TESTS_DRM_NODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "suite.h"
#include "uapi/weir_drm.h"
#include "uapi/weir_npu.h"

enum node_kind {
	NODE_NPU,     /* with queues */
	NODE_MANAGER, /* the buffer manager: without */
	NODE_ANY,
};

/* A new file of the first such node, or -1. */
int node_open(enum node_kind kind);

/* The suite's main: exit status 77 with a sentence where there is no such node (1 with WEIR_TEST_NODE=require). */
int node_suite(Suite *s, enum node_kind kind);

int node_ioctl(int fd, unsigned long request, void *arg);
struct drm_weir_query_device node_query(int fd);

/* Milliseconds from now as the absolute time that ioctls take; the monotonic clock in ns. */
int64_t node_deadline(int ms);
uint64_t node_now(void);

struct node_bo {
	int fd;
	uint32_t handle;
	uint64_t size, addr, offset;
	unsigned char *map; /* NULL with WEIR_BO_NO_MMAP */
};

int node_bo_create(int fd, uint64_t size, uint32_t flags, struct node_bo *bo);
void node_bo_destroy(struct node_bo *bo);

struct node_queue {
	int fd;
	uint32_t id;
	struct node_bo ring;
	uint64_t slots;
	uint64_t written; /* packets in the ring, published or not */
	volatile struct weir_npu_doorbell *doorbell;
	const volatile struct weir_npu_status *status;
	size_t stride;
};

int node_queue_create(int fd, uint32_t ring_size, uint32_t queue_class, struct node_queue *q);
void node_queue_destroy(struct node_queue *q);

/* The next packet, zeroed but for its type; there must be room. */
struct weir_npu_packet *node_packet(struct node_queue *q, unsigned type);
void node_put_copy(struct node_queue *q, uint64_t to, uint64_t from, uint64_t size);
void node_put_fill(struct node_queue *q, uint64_t to, uint64_t size, uint32_t pattern);
void node_put_signal(struct node_queue *q, unsigned type, uint64_t addr, uint64_t value);

/* Publishes what was written; kicks the device when it sleeps. 0 or -errno of the kick. */
int node_ring(struct node_queue *q);

/* Waits for all that was published. 0 or -errno: -ETIME after ms. */
int node_finish(struct node_queue *q, int ms);

struct drm_weir_queue_state node_state(struct node_queue *q);

/* Loads a program of OpenCL C as id; *kernel becomes the number of its kernel `name`. 0, or -1 with the log printed. */
int node_load(struct node_queue *q, uint32_t id, const char *source, const char *name, uint32_t *kernel);

/* Launches it on one dimension; args stay in bo until it has run: its first n entries at byte offset `at`. */
void node_put_launch(struct node_queue *q, uint32_t id, uint32_t kernel, uint32_t groups, uint32_t local,
	struct node_bo *args, size_t at, unsigned n_args);

#endif
