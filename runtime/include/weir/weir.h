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
	const char *plan;     /* how plans run on a CPU device: "auto" (NULL), as is measured to be quickest; "plain": a
				 program for each kernel; "chain": one for all, a launch for each op; "whole": one launch */
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

typedef struct weir_buffer weir_buffer;

/*
 * Memory that CPU and device both see, zeroed, page-aligned, from the device's provider (the best that works,
 * or the one that the settings name). name is for messages and weir_device_info, copied. The buffer is the
 * caller's; it must not outlive the device. 0, or -errno with a sentence.
 */
int weir_buffer_create(weir_device *dev, size_t size, const char *name, weir_buffer **out);
void weir_buffer_destroy(weir_buffer *buf); /* takes NULL */

/*
 * A buffer out of a dma-buf, of another process or another driver: as large as that, the same bytes, nothing is
 * copied. fd stays the caller's. The device's view of it is verified by writing some bytes at both ends and putting
 * the old ones back, so nobody else may use them during this call. 0, or -errno with a sentence: -EOPNOTSUPP when
 * the device has no way to it but a copy.
 */
int weir_buffer_from_fd(weir_device *dev, int fd, const char *name, weir_buffer **out);

unsigned weir_buffer_caps(const weir_buffer *buf);
size_t weir_buffer_size(const weir_buffer *buf);
const char *weir_buffer_provider(const weir_buffer *buf);

/*
 * The dma-buf behind it: a new fd, the caller's to close; -EOPNOTSUPP without WEIR_BUFFER_DMABUF. From then on
 * begin waits for the work of others on it, too.
 */
int weir_buffer_fd(weir_buffer *buf);

/* The lasting address with WEIR_BUFFER_MAP, else NULL: for tests that compare addresses, not for access. */
const void *weir_buffer_address(const weir_buffer *buf);

/*
 * CPU access to [offset, offset + size) stands between begin and end; *ptr points at offset. begin waits for
 * work that was submitted before: with ACCESS_READ the CPU sees what it wrote, with ACCESS_WRITE that work has
 * read the old bytes. -EIO if any of it failed.
 * With ACCESS_WRITE alone the old bytes of the range may be lost: every byte is to be written.
 * Device work submitted after end sees what the CPU wrote. Ranges that are open at the same time may be up to
 * four a buffer, and must not overlap; ptr tells end which one ends.
 */
int weir_buffer_begin(weir_buffer *buf, size_t offset, size_t size, unsigned access, void **ptr);
int weir_buffer_end(weir_buffer *buf, void *ptr);

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
