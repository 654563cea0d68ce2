/* SPDX-License-Identifier: MIT */
/* What the files of the OpenCL backend share. */
#ifndef WEIR_DEVICE_OPENCL_H
#define WEIR_DEVICE_OPENCL_H

#define CL_TARGET_OPENCL_VERSION 120
#include <CL/cl.h>
#include <CL/cl_ext.h>

#include "device/backend.h"
#include "device/pocl.h"

/*
 * Runs whose last event has not been looked at. When it is full the next run waits: 64 tokens
 * ahead.
 */
#define OPENCL_PENDING 64

/* A launch of a profiled run that has not been waited for. */
struct opencl_timed {
	cl_event event;
	const struct weir_launch *launch;
	unsigned tokens;
};

struct opencl_device {
	struct weir_device base; /* first */
	cl_platform_id platform;
	cl_device_id root;   /* as the platform lists it */
	cl_device_id device; /* root, or the sub-device of fewer compute units */
	cl_context context;
	cl_command_queue queue;
	int pocl; /* major version of PoCL, 0 for other drivers */
	bool has_dmabuf_khr, has_dmabuf_arm;

	/* Under base.lock. */
	cl_event pending[OPENCL_PENDING];
	unsigned n_pending;
	bool busy;     /* something was submitted since the last wait */
	cl_int failed; /* the first error of submitted work, kept */
	struct opencl_timed *timed;
	size_t n_timed, cap_timed;
};

static inline struct opencl_device *opencl_device(const weir_device *dev)
{
	return (struct opencl_device *)(uintptr_t)dev;
}

/* A part of a buffer that some launch was bound to. */
struct opencl_part {
	size_t offset, size;
	cl_mem mem;
};

struct weir_mem {
	cl_mem mem;
	enum weir_import way;
	int fd; /* the dma-buf that an ARM import is of, or -1 */
	size_t size;
	pthread_mutex_t lock;	   /* for parts: plans of several sessions may be bound at once */
	struct opencl_part *parts; /* by offset, then size */
	size_t n_parts, cap_parts;
	unsigned
		cpu_open; /* CPU accesses that are open, for the KHR import's acquire and release */
};

/* "CL_OUT_OF_RESOURCES (-5)"; the text lives as long as the thread's next call. */
const char *opencl_error(cl_int err);

/* The errno that fits an OpenCL error. */
int opencl_errno(cl_int err);

/* Fails with "<device>: <what>: <OpenCL's error>". */
int opencl_fail(const struct opencl_device *d, cl_int err, const char *what);

int opencl_wait(weir_device *dev);

int opencl_mem_create(weir_device *dev, enum weir_import way, const struct weir_memory *m,
	size_t size, struct weir_mem **out);
void opencl_mem_destroy(weir_device *dev, struct weir_mem *mem);
int opencl_mem_read(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, void *to);
int opencl_mem_write(
	weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, const void *from);
int opencl_mem_copy(weir_device *dev, struct weir_mem *from, size_t from_offset,
	struct weir_mem *to, size_t to_offset, size_t size);
int opencl_cpu_begin(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size,
	unsigned access, void **ptr);
int opencl_cpu_end(weir_device *dev, struct weir_mem *mem, void *ptr);
/* The cl_mem of a part, made once and owned by mem. */
int opencl_mem_part(
	struct opencl_device *d, struct weir_mem *mem, size_t offset, size_t size, cl_mem *out);

int opencl_program_build(weir_device *dev, const char *source, size_t size, const char *options,
	const char *name, void **out);
int opencl_program_load(
	weir_device *dev, const void *binary, size_t size, const char *options, void **out);
int opencl_program_binary(weir_device *dev, void *program, void **data, size_t *size);
void opencl_program_destroy(weir_device *dev, void *program);

int opencl_plan_bind(struct weir_plan *plan);
int opencl_plan_run(struct weir_plan *plan, size_t first, size_t count, unsigned tokens);
void opencl_plan_unbind(struct weir_plan *plan);
/* Accounts finished profiled launches; called by wait after the queue has drained. */
void opencl_timed_collect(struct opencl_device *d);

#endif
