/* SPDX-License-Identifier: MIT */
/*
 * The kernel module weir as this process sees it: render nodes, their ioctls, buffers of one file.
 *
 * Functions return 0 (or what is said) or -errno with a sentence that names the node. They may be
 * called by several threads at once. A file and all that was made through it belongs to the process
 * that opened it: in a fork of it, every call fails with -ECHILD.
 */
#ifndef WEIR_DEVICE_DRM_H
#define WEIR_DEVICE_DRM_H

#include <pthread.h>

#include "base/base.h"
#include "uapi/weir_drm.h"
#include "uapi/weir_npu.h"

/* Minors of render nodes are from 128 on. */
#define WEIR_DRM_FIRST 128
#define WEIR_DRM_MINORS 64
#define WEIR_DRM_NODES 16

/* What the module is reached by; a test puts its own in place. All return -errno on failure. */
struct weir_drm_calls {
	/* -ENOENT: no such node; -ENODEV: another driver's; else why a node of weir does not open.
	 */
	int (*open)(const char *path, unsigned minor);
	int (*ioctl)(int fd, unsigned long request, void *arg);
	int (*map)(int fd, uint64_t offset, size_t size, int prot, void **out);
	void (*close)(int fd);
};
extern const struct weir_drm_calls *weir_drm_calls;

/* An open node. */
struct weir_drm {
	int fd;
	char path[32];
	struct drm_weir_query_device info; /* as it was when the node was opened */
	const uint32_t *here;		   /* 1; 0 in a fork */
	pthread_mutex_t lock;		   /* of refs */
	uint32_t *refs; /* by handle: one file has one handle a buffer, however often it is imported
			 */
	size_t n_refs;
};

/* A node that exists, whether it opens or not. */
struct weir_drm_node {
	char path[32];
	unsigned minor;
	int err;       /* why it cannot be used, or 0 */
	char why[256]; /* the sentence of err */
	struct drm_weir_query_device info;
};

/* Fills nodes of the driver weir, in the order of their minors; returns how many, at most
 * WEIR_DRM_NODES. */
unsigned weir_drm_scan(struct weir_drm_node *nodes);

/* Why there is no node that can be used: a sentence for any list that scan gave. Returns -errno. */
int weir_drm_fail_none(const struct weir_drm_node *nodes, unsigned count);

int weir_drm_open(const struct weir_drm_node *node, struct weir_drm **out);
void weir_drm_close(struct weir_drm *drm); /* takes NULL */

/* The best node for plain buffers: one without queues if there is one. */
int weir_drm_open_buffers(struct weir_drm **out);

/* false in a fork of the process that opened it. Costs no system call. */
static inline bool weir_drm_here(const struct weir_drm *drm)
{
	return __atomic_load_n(drm->here, __ATOMIC_RELAXED) != 0;
}

/* An ioctl of weir_drm.h; -errno without a sentence, so that callers can tell errors apart. */
int weir_drm_ioctl(const struct weir_drm *drm, unsigned long request, void *arg);

/* "<node>: <what>: <error>" with what helps against that error. */
int weir_drm_fail(const struct weir_drm *drm, int err, const char *what);

int weir_drm_query(const struct weir_drm *drm, enum drm_weir_query type, void *out, size_t size);

/* Maps pages of the file (a buffer, a doorbell, a status page); munmap ends it. */
int weir_drm_map(const struct weir_drm *drm, uint64_t offset, size_t size, int prot, void **out);

/* ---- buffers ------------------------------------------------------------- */

/* A buffer of a file; all zero where there is none. */
struct weir_drm_bo {
	struct weir_drm *drm;
	uint32_t handle;
	size_t size;   /* whole pages */
	uint64_t addr; /* in the file's address space of the NPU, or 0 */
	void *map;     /* the CPU's view, or NULL */
};

/* Zeroed and mapped. flags: WEIR_BO_* */
int weir_drm_bo_create(struct weir_drm *drm, size_t size, uint32_t flags, struct weir_drm_bo *out);

/* A dma-buf, of this file or another's or another driver's; not mapped. fd stays the caller's. */
int weir_drm_bo_import(struct weir_drm *drm, int fd, struct weir_drm_bo *out);

/* A new dma-buf fd of it, the caller's. */
int weir_drm_bo_export(const struct weir_drm_bo *bo);

/*
 * CPU access to [offset, offset + size) begins, or with WEIR_SYNC_END in flags ends; a beginning
 * waits for fences.
 */
int weir_drm_bo_sync(const struct weir_drm_bo *bo, uint32_t flags, size_t offset, size_t size);

/* Takes one that is all zero. */
void weir_drm_bo_destroy(struct weir_drm_bo *bo);

static inline bool weir_drm_coherent(const struct weir_drm *drm)
{
	return (drm->info.caps & WEIR_CAP_COHERENT) != 0;
}

#endif
