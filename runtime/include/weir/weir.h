/* SPDX-License-Identifier: MIT */
/*
 * libweir: quantized neural networks on the accelerator of a small Linux machine.
 *
 * Every function that can fail returns 0 (or a count) or a negative errno code; weir_error() then has the
 * sentence. Nothing here prints, exits or aborts. Settings structs begin with their size: fill one by its
 * _default call, then change fields.
 */
#ifndef WEIR_WEIR_H
#define WEIR_WEIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define WEIR_VERSION_MAJOR 0
#define WEIR_VERSION_MINOR 1
const char *weir_version(void);

/* What went wrong in this thread's last call that failed: one sentence. Valid until its next failure. */
const char *weir_error(void);

/* ---- devices ---------------------------------------------------------------------------------- */

typedef struct weir_device weir_device;

/* Where a device's buffers come from. */
enum weir_provider {
	WEIR_PROVIDER_AUTO,    /* the best that works */
	WEIR_PROVIDER_WEIR,    /* the kernel module weir */
	WEIR_PROVIDER_UDMABUF, /* /dev/udmabuf over a sealed memfd */
	WEIR_PROVIDER_HOST,    /* plain memory, zero-copy where the device takes it */
	WEIR_PROVIDER_SHADOW,  /* two copies, bytes move at begin and end of access alone: for tests */
};

struct weir_device_settings {
	size_t size;	      /* of this struct */
	const char *device;   /* index ("0"), kind ("npu") or part of a name or platform, any case; NULL: the first
				 GPU, else the first */
	unsigned threads;     /* compute units to use of a CPU device; 0: all */
	enum weir_provider provider;
	const char *tier;     /* "vnni", "pmaddubsw", "portable"; NULL: the fastest that the device has */
	const char *schedule; /* "cpu", "gpu"; NULL: by the device's kind */
	const char *cache;    /* folder for built programs; NULL: $XDG_CACHE_HOME/weir; "": none */
	bool profile;	      /* time each launch */
};
void weir_device_settings_default(struct weir_device_settings *settings);

/* 0 and a device, the caller's to close after everything made from it. -ENODEV when there is none such. */
int weir_device_open(weir_device **out, const struct weir_device_settings *settings);
void weir_device_close(weir_device *dev); /* takes NULL */

struct weir_device_info {
	char name[128];	    /* as the driver says it */
	char platform[64];
	char driver[64];
	char kind[16];	    /* "CPU", "GPU", "NPU", "accelerator" */
	unsigned compute_units;
	uint64_t memory;    /* bytes */
	uint64_t max_buffer;
};

/* How many devices there are (0 is no error), and device i. */
int weir_device_count(void);
int weir_device_describe(unsigned i, struct weir_device_info *out);

/* A sentence a provider: 0 and state ("in use", "works", or why not) of one of AUTO..SHADOW on an open device. */
int weir_device_provider(weir_device *dev, enum weir_provider provider, char *state, size_t size);
const char *weir_provider_name(enum weir_provider provider);

/* Tier and schedule that an open device runs with, e.g. "vnni", "cpu", and its threads (compute units in use). */
const char *weir_device_tier(const weir_device *dev);
const char *weir_device_schedule(const weir_device *dev);
unsigned weir_device_threads(const weir_device *dev);
const char *weir_device_name(const weir_device *dev);
/* Name of the provider that new buffers come from. */
const char *weir_device_provider_name(const weir_device *dev);

/* ---- the kernel module weir ------------------------------------------------------------------- */

/* A render node of the kernel module: an NPU, or a manager of buffers without one. */
struct weir_node {
	char path[32];	  /* "/dev/dri/renderD128" */
	char access[288]; /* who may open it and that this process may, or why it cannot be used */
	bool usable;	  /* false: what follows is not known */
	bool npu, emulated; /* emulated: the NPU is a program, not silicon */
	bool coherent;	    /* the device uses the CPU's caches */
	unsigned abi_minor; /* of the module's interface */
	uint64_t quota, user_quota, user_used; /* bytes of buffers: for a process, for a user, of this user */
	unsigned queues; /* for a process; 0 without NPU */
	unsigned hang_limit_ms;
	unsigned resets; /* of the whole device, since it was found */
};

/* How many nodes there are (0 is no error), usable or not, and node i. */
int weir_node_count(void);
int weir_node_describe(unsigned i, struct weir_node *out);

/* ---- profile ---------------------------------------------------------------------------------- */

struct weir_profile_row {
	char op[48];
	uint64_t calls;
	double seconds;
	double bytes, ops; /* moved and computed, in all: bytes / seconds is the bandwidth */
};

/* Rows since the device was opened or reset, longest first; copies what fits in max, returns how many there are. */
int weir_profile_rows(weir_device *dev, struct weir_profile_row *rows, unsigned max);
void weir_profile_reset(weir_device *dev);
/* Every launch as Chrome trace JSON, which Perfetto opens; appears under path when it is whole. */
int weir_profile_trace(weir_device *dev, const char *path);
/* Bytes that the device layer copied between CPU and device memory since the device was opened or reset. */
uint64_t weir_profile_copied(weir_device *dev);

#ifdef __cplusplus
}
#endif
#endif
