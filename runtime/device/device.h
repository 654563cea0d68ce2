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
	bool profiled;		/* each launch is timed: so a plan of many launches tells more than one of few */
};

const struct weir_device_props *weir_device_props(const weir_device *dev);

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

/* The same without building it: a plan does that where it runs the program itself, and does not fuse its kernels. */
int weir_program_find(weir_device *dev, const char *file, const char *options, struct weir_program **out);

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
	size_t ahead; /* bytes of the first argument that parts read one after another, each its share: may be fetched early */
	bool beside; /* needs nothing of the launch before it, nor is that in its way: they may run at once */
	struct weir_arg args[WEIR_LAUNCH_ARGS];
	unsigned n_args;
	/* What a run moves and computes, for the profile: fixed, and more for each token of the step. */
	uint64_t bytes, token_bytes;
	uint64_t ops, token_ops;
};

struct weir_plan;

/*
 * Records launches (copied), in order: each sees what those before it wrote. Arguments are bound here, once.
 * The buffers must outlive the plan. Long plans of a CPU device are fused (device/fuse.h), if all of their kernels are
 * declared by kernels/launch.clh: then a run of one token is one launch or a chain of them, whichever is quicker.
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

/* The same for launches [first, first + count) alone. */
int weir_plan_run_some(struct weir_plan *plan, size_t first, size_t count, unsigned tokens);

/*
 * Waits until everything submitted has finished. -EIO with a sentence if any of it failed, from then on until
 * the device is closed: several sessions may wait, and each has to hear of it.
 */
int weir_device_wait(weir_device *dev);

#endif
