/* SPDX-License-Identifier: MIT */
/*
 * Inside of the device layer: the vtable that a backend fills, the providers of buffer memory, and
 * what devices, buffers and programs consist of. Nothing outside runtime/device includes this.
 *
 * Locks: device->lock guards the queue, the list of submitted work and the profile;
 * device->programs_lock the list of programs (building takes long and must not stop other sessions'
 * runs); buffer->lock the open ranges. Order: buffer->lock before device->lock; programs_lock is
 * never held with another.
 */
#ifndef WEIR_DEVICE_BACKEND_H
#define WEIR_DEVICE_BACKEND_H

#include <pthread.h>

#include "base/base.h"
#include "device/device.h"
#include "device/drm.h"
#include "device/pace.h"

/* ---- memory: what a provider gives, and how a backend takes it ----------- */

struct weir_provider_ops;

struct weir_memory {
	const struct weir_provider_ops *provider;
	void *map;	       /* the CPU's lasting view: page-aligned, zeroed */
	size_t size;	       /* of the view: whole pages */
	int fd;		       /* the provider's: a dma-buf of the same pages, or -1 */
	struct weir_drm_bo bo; /* where it is the kernel module's */
	bool shared;	       /* others may have it too, by its dma-buf */
};

/* Ways from a provider's memory to the device's view of it, best first. */
enum weir_import {
	WEIR_IMPORT_NATIVE,	/* an address of the NPU's: its own buffer, or a dma-buf by PRIME */
	WEIR_IMPORT_DMABUF_KHR, /* cl_khr_external_memory_dma_buf */
	WEIR_IMPORT_DMABUF_ARM, /* cl_arm_import_memory */
	WEIR_IMPORT_HOST_PTR,	/* the CPU's mapping, by CL_MEM_USE_HOST_PTR */
	WEIR_IMPORT_COPY,	/* memory of the device's own: begin and end move the bytes */
	WEIR_IMPORT_COUNT,
};
const char *weir_import_name(enum weir_import way);

/* What begin and end of CPU access have to do. */
enum weir_coherence {
	WEIR_COHERENCE_DIRECT, /* nothing: CPU and device see the same bytes by the same caches */
	WEIR_COHERENCE_MAPPED, /* the backend's cpu_begin and cpu_end: cache maintenance or a hidden
				  copy */
	WEIR_COHERENCE_COPIED, /* two memories */
};

struct weir_provider_ops {
	enum weir_provider id;
	const char *name;
	unsigned caps; /* WEIR_BUFFER_MAP, _DMABUF where the memory has them */
	bool shadow;   /* always two memories; the host's is poisoned when it is stale */
	int (*create)(weir_device *dev, size_t size, const char *name, struct weir_memory *m);
	void (*destroy)(struct weir_memory *m);
	/* A new dma-buf fd of the same pages, the caller's; NULL: it has none. */
	int (*export)(const struct weir_memory *m);
	/* CPU access to a range begins or ends; NULL: nothing is to be done. */
	int (*sync)(
		const struct weir_memory *m, size_t offset, size_t size, unsigned access, bool end);
};

/* A new dma-buf fd of m; -EOPNOTSUPP with a sentence where there is none. */
int weir_memory_export(const struct weir_memory *m);

extern const struct weir_provider_ops weir_provider_weir;
extern const struct weir_provider_ops weir_provider_udmabuf;
extern const struct weir_provider_ops weir_provider_host;
extern const struct weir_provider_ops weir_provider_shadow;
/* Memory that came as a dma-buf: made by weir_dmabuf_open, of an fd that stays the caller's. */
extern const struct weir_provider_ops weir_provider_dmabuf;
int weir_dmabuf_open(int fd, struct weir_memory *m);

/* Of memory that is a mapped dma-buf: what providers of such memory fill in. */
void weir_dmabuf_close(struct weir_memory *m);
int weir_dmabuf_export(const struct weir_memory *m);
int weir_dmabuf_sync(
	const struct weir_memory *m, size_t offset, size_t size, unsigned access, bool end);

#define WEIR_BUFFER_OPEN 4

struct weir_range {
	void *ptr; /* NULL: this entry is free */
	size_t offset, size;
	unsigned access;
};

/* The device's view of a buffer: the backend's business. */
struct weir_mem;

struct weir_buffer {
	weir_device *dev;
	const struct weir_provider_ops *provider;
	struct weir_memory memory;
	struct weir_mem *mem;
	enum weir_import way;
	enum weir_coherence coherence;
	size_t size;
	unsigned caps;
	char name[64];
	pthread_mutex_t lock;
	struct weir_range open[WEIR_BUFFER_OPEN];
};

/* 0, or -EINVAL with a sentence when [offset, offset + size) is empty or not within buf. */
int weir_buffer_check(const struct weir_buffer *buf, size_t offset, size_t size);

/*
 * Gives buf->memory to the device by the best way that passes write and read-back; sets mem, way
 * and coherence. With COPY as the only way left it is used; the provider's state says so. A dma-buf
 * from elsewhere is never copied; its bytes at both ends change for a moment.
 */
int weir_buffer_import(struct weir_buffer *buf);

/* Chooses the provider that new buffers come from; sets dev->provider and props.host_unified. */
int weir_providers_open(weir_device *dev, enum weir_provider wanted);

/* ---- programs ------------------------------------------------------------ */

struct weir_cache_key {
	char name[33];
	uint64_t check;
};

struct weir_program {
	struct weir_program *next;
	char *file, *options;
	char *text;  /* a fused program's; else it is read when it is built */
	void *built; /* the backend's; NULL: not yet */
	struct weir_cache_key key;
	bool fresh; /* built from source, and not in the cache yet */
};

/* Builds a program, or takes it from the cache, unless that was done. */
int weir_program_build(weir_device *dev, struct weir_program *p);

/* The program of a text, which is taken over (malloced), not built yet. name is for messages. */
int weir_program_of_text(weir_device *dev, const char *name, char *text, struct weir_program **out);

/* Stores what is fresh. */
void weir_programs_close(weir_device *dev);

/* Leaves of a build log what fits an error sentence: its first lines. */
void weir_log_cut(char *log);

/* The text of kernels/<file> with its includes in place, malloced. 0 or -errno with a sentence. */
int weir_source_expand(const char *file, char **text, size_t *size);

/*
 * Built programs on disk. material is everything that the binary depends on: it makes the file's
 * name, and its hash is checked again inside. load gives malloced bytes, or -ENOENT for anything
 * that cannot be used as it is; store never fails in a way that matters. Neither sets an error
 * sentence.
 */
void weir_cache_key_make(struct weir_cache_key *key, const char *const *material, size_t count);
int weir_cache_load(
	const char *folder, const struct weir_cache_key *key, void **data, size_t *size);
void weir_cache_store(
	const char *folder, const struct weir_cache_key *key, const void *data, size_t size);

/* ---- profile ------------------------------------------------------------- */

struct weir_profile;

/* Launches that the trace of a device keeps: about 40 MB. The rows count on. */
#define WEIR_PROFILE_EVENTS 1000000

int weir_profile_create(size_t max_events, struct weir_profile **out);
void weir_profile_destroy(struct weir_profile *p); /* takes NULL */

/* One finished launch, times in ns of the device's clock. The device's lock is held. */
void weir_profile_add(struct weir_profile *p, const struct weir_launch *launch, unsigned tokens,
	uint64_t start, uint64_t end);

/* ---- devices ------------------------------------------------------------- */

struct weir_plan {
	weir_device *dev;
	struct weir_launch *launches; /* copies: args are bound and not looked at again */
	size_t count;
	void *bound; /* the backend's */

	/* Of a fused plan: all of it in one launch, and which of both is quicker. */
	struct weir_plan *whole;
	struct weir_buffer *table;
	struct weir_pace pace;
};

/* How plans are run: as settings name it. */
enum weir_plan_mode {
	WEIR_PLAN_AUTO,	 /* long plans fused where the device allows it, and as is measured to be quicker */
	WEIR_PLAN_PLAIN, /* a program for each kernel */
	WEIR_PLAN_CHAIN, /* fused, a launch for each op */
	WEIR_PLAN_WHOLE, /* fused, in one launch */
};

/* The run whose time tells which way is quicker: nothing else was submitted since the wait before. */
struct weir_plan_timing {
	struct weir_plan *plan; /* NULL: there is none */
	double start;
	bool whole;
	unsigned runs; /* submitted since the last wait */
};

/* What was submitted has finished: accounts its time. The device's lock is held. */
void weir_plan_finished(weir_device *dev);

struct weir_backend {
	const char *name;

	/* How many devices there are, and what device i is. */
	unsigned (*count)(void);
	int (*describe)(unsigned i, struct weir_device_info *out);

	/*
	 * Opens device i: a struct that begins with weir_device, all of it filled in that says what
	 * the device is: info, threads, identity to unified_memory, and props but tier, schedule
	 * and host_unified. close frees it; dev->drm, if it is set, is closed after that.
	 */
	int (*open)(unsigned i, const struct weir_device_settings *settings, weir_device **out);
	void (*close)(weir_device *dev);

	/*
	 * Waits for everything submitted. The device's lock is held. Failed work: -EIO, now and
	 * ever after.
	 */
	int (*wait)(weir_device *dev);

	/*
	 * Makes the device's view of size bytes of m by the given way; -EOPNOTSUPP where it has no
	 * such way. COPY takes no m and gives zeroed memory. m lives as long.
	 */
	int (*mem_create)(weir_device *dev, enum weir_import way, const struct weir_memory *m,
		size_t size, struct weir_mem **out);
	void (*mem_destroy)(weir_device *dev, struct weir_mem *mem);

	/*
	 * Blocking copies, in order with submitted work. The device's lock is held for these and
	 * the next.
	 */
	int (*mem_read)(
		weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, void *to);
	int (*mem_write)(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size,
		const void *from);
	/* Blocking, made by the device. */
	int (*mem_copy)(weir_device *dev, struct weir_mem *from, size_t from_offset,
		struct weir_mem *to, size_t to_offset, size_t size);

	/*
	 * Around CPU access with COHERENCE_MAPPED; *ptr is the lasting address on entry and may be
	 * replaced.
	 */
	int (*cpu_begin)(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size,
		unsigned access, void **ptr);
	int (*cpu_end)(weir_device *dev, struct weir_mem *mem, void *ptr);

	/*
	 * Builds from source, or from a binary when there is one (and then a failure sets no
	 * sentence that matters: the caller builds from source). binary gives a malloced copy of
	 * what was built, or -EOPNOTSUPP where it must not be asked for.
	 */
	int (*program_build)(weir_device *dev, const char *source, size_t size, const char *options,
		const char *name, void **out);
	int (*program_load)(
		weir_device *dev, const void *binary, size_t size, const char *options, void **out);
	int (*program_binary)(weir_device *dev, void *program, void **data, size_t *size);
	void (*program_destroy)(weir_device *dev, void *program);

	/*
	 * plan->launches are checked already; bind fills plan->bound. run is called with the
	 * device's lock.
	 */
	int (*plan_bind)(struct weir_plan *plan);
	int (*plan_run)(struct weir_plan *plan, size_t first, size_t count, unsigned tokens);
	void (*plan_unbind)(struct weir_plan *plan);
};

extern const struct weir_backend weir_backend_opencl;
extern const struct weir_backend weir_backend_npu;

struct weir_device {
	const struct weir_backend *backend;
	struct weir_device_info info;
	struct weir_device_props props;
	unsigned threads;
	char identity[512];	 /* device, driver and platform with versions: part of cache keys */
	char build_options[128]; /* what every program is built with */
	enum weir_tier tier_best;	  /* the fastest that the device can run */
	enum weir_schedule schedule_best; /* what suits the device */
	bool coherent; /* shared memory needs no maintenance: the device uses the CPU's caches */
	bool unified_memory; /* mapping host memory moves no bytes */

	char *cache; /* folder of built programs, or NULL */
	pthread_mutex_t programs_lock;
	struct weir_program *programs;

	const struct weir_provider_ops *provider; /* the first choice for new buffers */
	bool provider_forced;
	uint64_t copied; /* atomic */

	/* The kernel module's node that buffers are of: the NPU's own, or opened for the first. */
	struct weir_drm *drm;

	enum weir_plan_mode plan_mode;

	pthread_mutex_t lock;
	struct weir_profile *profile; /* NULL: not opened with profile */
	struct weir_plan_timing timing;
};

/* The best tier that clang-compiled kernels of target CPU `target` can use on this host. */
enum weir_tier weir_tier_host(const char *target);

#endif
