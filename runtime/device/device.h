/* SPDX-License-Identifier: MIT */
/*
 * What runs kernels: devices, the buffers they share with the CPU, programs, and plans of launches.
 * One vtable (backend.h) stands behind this header; opencl.c and npu.c fill it.
 */
#ifndef WEIR_DEVICE_DEVICE_H
#define WEIR_DEVICE_DEVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "weir/weir.h"

/* How int8 dot products are made. Chosen once from what the device reports; settings can force one. */
enum weir_tier {
	WEIR_TIER_PORTABLE,  /* OpenCL C 1.2 and nothing else */
	WEIR_TIER_PMADDUBSW, /* x86 with AVX512BW: builtin, 16-bit accumulators */
	WEIR_TIER_VNNI,	     /* x86 with AVX512-VNNI: inline assembly */
};

/* CPU: one work-item a work-group, explicit vectors. GPU: the work-items of a group cooperate. */
enum weir_schedule {
	WEIR_SCHEDULE_CPU,
	WEIR_SCHEDULE_GPU,
};

const char *weir_tier_name(enum weir_tier tier);
const char *weir_schedule_name(enum weir_schedule schedule);

/* What the layers above may ask a device. Filled at open, never changed. */
struct weir_device_props {
	char name[128];
	enum weir_tier tier;
	enum weir_schedule schedule;
	unsigned compute_units; /* as many threads as run work-groups on a CPU device */
	size_t max_buffer;	/* bytes one buffer can have */
	size_t align;		/* a tensor's offset in a buffer is a multiple of this (at least 64) */
	bool host_unified;	/* buffers are zero-copy between CPU and device */
};

const struct weir_device_props *weir_device_props(const weir_device *dev);

/* ---- buffers ---------------------------------------------------------------------------------- */

/* What a buffer can do: one bit a function. */
enum {
	WEIR_BUFFER_MAP = 1 << 0,     /* the CPU can hold one lasting address of it */
	WEIR_BUFFER_DMABUF = 1 << 1,  /* weir_buffer_fd gives a dma-buf */
	WEIR_BUFFER_ADDRESS = 1 << 2, /* it has a device address (an NPU's packets name it) */
	WEIR_BUFFER_UNIFIED = 1 << 3, /* CPU and device see the same bytes: begin and end copy nothing */
};

enum {
	WEIR_ACCESS_READ = 1 << 0,
	WEIR_ACCESS_WRITE = 1 << 1,
};

struct weir_buffer;

/*
 * Memory that CPU and device both see, zeroed, page-aligned, from the device's provider (the best that works,
 * or the one that the settings name). name is for messages and weir_device_info, copied. The buffer is the
 * caller's; it must not outlive the device. 0, or -errno with a sentence.
 */
int weir_buffer_create(weir_device *dev, size_t size, const char *name, struct weir_buffer **out);
void weir_buffer_destroy(struct weir_buffer *buf); /* takes NULL */

/*
 * A buffer out of a dma-buf, of another process or another driver: as large as that, the same bytes, nothing is
 * copied. fd stays the caller's. The device's view of it is verified by writing some bytes at both ends and putting
 * the old ones back, so nobody else may use them during this call. 0, or -errno with a sentence: -EOPNOTSUPP when
 * the device has no way to it but a copy.
 */
int weir_buffer_from_fd(weir_device *dev, int fd, const char *name, struct weir_buffer **out);

unsigned weir_buffer_caps(const struct weir_buffer *buf);
size_t weir_buffer_size(const struct weir_buffer *buf);
const char *weir_buffer_provider(const struct weir_buffer *buf);

/*
 * The dma-buf behind it: a new fd, the caller's to close; -EOPNOTSUPP without WEIR_BUFFER_DMABUF. From then on
 * begin waits for the work of others on it, too.
 */
int weir_buffer_fd(struct weir_buffer *buf);

/* The lasting address with WEIR_BUFFER_MAP, else NULL: for tests that compare addresses, not for access. */
const void *weir_buffer_address(const struct weir_buffer *buf);

/*
 * CPU access to [offset, offset + size) stands between begin and end; *ptr points at offset. begin waits for
 * work that was submitted before: with ACCESS_READ the CPU sees what it wrote, with ACCESS_WRITE that work has
 * read the old bytes. -EIO if any of it failed.
 * With ACCESS_WRITE alone the old bytes of the range may be lost: every byte is to be written.
 * Device work submitted after end sees what the CPU wrote. Ranges that are open at the same time may be up to
 * four a buffer, and must not overlap; ptr tells end which one ends.
 */
int weir_buffer_begin(struct weir_buffer *buf, size_t offset, size_t size, unsigned access, void **ptr);
int weir_buffer_end(struct weir_buffer *buf, void *ptr);

/* ---- programs --------------------------------------------------------------------------------- */

struct weir_program;

/*
 * The program of kernels/<file> built with options (space-separated -DNAME=VALUE; the device layer adds what
 * the device needs, among it -DWEIR_TIER_VNNI, -DWEIR_TIER_PMADDUBSW or -DWEIR_TIER_PORTABLE, and
 * -DWEIR_CPU or -DWEIR_GPU). #include "x.clh" lines are replaced by kernels/x.clh, once a program.
 * Built at most once a device and cached on disk; owned by the device. 0, or -errno with a sentence that has
 * the first lines of the build log.
 */
int weir_program_get(weir_device *dev, const char *file, const char *options, struct weir_program **out);

/* ---- plans ------------------------------------------------------------------------------------ */

enum weir_arg_kind {
	WEIR_ARG_BUFFER, /* a global pointer to buffer + offset */
	WEIR_ARG_INT,	 /* int32 */
	WEIR_ARG_FLOAT,
	WEIR_ARG_LOCAL, /* local memory of size bytes */
};

struct weir_arg {
	enum weir_arg_kind kind;
	struct weir_buffer *buffer;
	size_t offset, size;
	int32_t i;
	float f;
};

#define WEIR_LAUNCH_ARGS 24

struct weir_launch {
	struct weir_program *program;
	const char *kernel; /* kept by reference: a literal */
	const char *label;  /* the op's name in profiles: a literal */
	unsigned groups, local;
	struct weir_arg args[WEIR_LAUNCH_ARGS];
	unsigned n_args;
	/* What a run moves and computes, for the profile: fixed, and more for each token of the step. */
	uint64_t bytes, token_bytes;
	uint64_t ops, token_ops;
};

struct weir_plan;

/*
 * Records launches (copied), in order: each sees what those before it wrote. Arguments are bound here, once.
 * The buffers must outlive the plan.
 */
int weir_plan_create(weir_device *dev, const struct weir_launch *launches, size_t count,
	struct weir_plan **out);
void weir_plan_destroy(struct weir_plan *plan); /* takes NULL */
size_t weir_plan_count(const struct weir_plan *plan);

/*
 * Submits the whole plan; does not wait. tokens is for the profile's accounts. No argument is set and nothing
 * is allocated here.
 */
int weir_plan_run(struct weir_plan *plan, unsigned tokens);

/*
 * Waits until everything submitted has finished. -EIO with a sentence if any of it failed, from then on until
 * the device is closed: several sessions may wait, and each has to hear of it.
 */
int weir_device_wait(weir_device *dev);

#endif
