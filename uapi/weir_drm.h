/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * weir_drm.h - ioctls of the DRM driver weir: DMA buffers, and user-mode queues of an NPU.
 *
 * Rules of this interface: fixed-size types, natural alignment, sizes that are multiples of 8, the
 * same layout for 32 and 64 bit; pointers travel as __u64; unknown flags and padding that is not
 * zero are refused with -EINVAL; ids are only appended. Every object dies with the file that made
 * it. Times are absolute CLOCK_MONOTONIC nanoseconds; an ioctl that a signal interrupts can be
 * repeated as it is. Errors that any of them may give: -EFAULT (a pointer), -ENODEV (the device is
 * gone), -ENOMEM, -EINTR. The rest stands with each ioctl.
 */
#ifndef _UAPI_WEIR_DRM_H_
#define _UAPI_WEIR_DRM_H_

#include "drm.h"

#if defined(__cplusplus)
extern "C" {
#endif

#define DRM_WEIR_DEV_QUERY	0x00
#define DRM_WEIR_BO_CREATE	0x01
#define DRM_WEIR_BO_INFO	0x02
#define DRM_WEIR_BO_SYNC	0x03
#define DRM_WEIR_QUEUE_CREATE	0x04
#define DRM_WEIR_QUEUE_DESTROY	0x05
#define DRM_WEIR_QUEUE_KICK	0x06
#define DRM_WEIR_QUEUE_STATE	0x07
#define DRM_WEIR_QUEUE_FENCE	0x08
#define DRM_WEIR_QUEUE_WAIT	0x09

/* Minor version of this interface: grows when something is added. */
#define WEIR_ABI_MINOR		0

/**
 * enum drm_weir_query - what DRM_IOCTL_WEIR_DEV_QUERY tells
 * @WEIR_QUERY_DEVICE: struct drm_weir_query_device
 * @WEIR_QUERY_NPU: struct weir_npu_identity of weir_npu.h, as the device gave it; -EOPNOTSUPP
 *	without an NPU
 */
enum drm_weir_query {
	WEIR_QUERY_DEVICE = 0,
	WEIR_QUERY_NPU = 1,
};

/* What a device can do: bits of &drm_weir_query_device.caps. */
#define WEIR_CAP_QUEUES		(1ull << 0)	/* it has user-mode queues */
#define WEIR_CAP_DOORBELL	(1ull << 1)	/* a queue is rung by a store to mapped memory */
#define WEIR_CAP_ISOLATION	(1ull << 2)	/* a context reaches its own buffers only */
#define WEIR_CAP_COHERENT	(1ull << 3)	/* caches agree: BO_SYNC moves nothing */
#define WEIR_CAP_CONTIGUOUS	(1ull << 4)	/* WEIR_BO_CONTIGUOUS can succeed */
#define WEIR_CAP_QUEUE_RESET	(1ull << 5)	/* one queue can be reset while the others go on */
#define WEIR_CAP_EMULATED	(1ull << 6)	/* the device is a program, not silicon */

/**
 * struct drm_weir_query_device - the device and what this file may still take of it
 * @caps: WEIR_CAP_*
 * @page_size: bytes; offsets and sizes that are mapped are multiples of it
 * @doorbell_stride: bytes of a queue's doorbell mapping; 0 without queues
 * @quota_max: bytes of buffers that this file may hold
 * @quota_used: bytes of buffers that it holds
 * @user_quota_max: bytes of buffers that this file's user may hold in all
 * @user_quota_used: bytes of buffers that this file's user holds in all
 * @queues_max: queues that this file may hold
 * @queues_used: queues that it holds
 * @hang_limit_ms: a queue whose packet makes no progress for so long is reset
 * @abi_minor: WEIR_ABI_MINOR of the driver
 * @resets: how often the whole device was reset since it was found
 * @pad: zero
 */
struct drm_weir_query_device {
	__u64 caps;
	__u32 page_size;
	__u32 doorbell_stride;
	__u64 quota_max;
	__u64 quota_used;
	__u64 user_quota_max;
	__u64 user_quota_used;
	__u32 queues_max;
	__u32 queues_used;
	__u32 hang_limit_ms;
	__u32 abi_minor;
	__u32 resets;
	__u32 pad;
};

/**
 * struct drm_weir_dev_query - DRM_IOCTL_WEIR_DEV_QUERY
 * @type: enum drm_weir_query
 * @size: in: bytes at @pointer; out: bytes that the answer has. With @pointer 0 only this is told.
 *        A shorter size gets the beginning, a longer one is filled up with zeros.
 * @pointer: where the answer goes, or 0
 *
 * Errors: -EINVAL (no such type), -EOPNOTSUPP (this device has no such answer).
 */
struct drm_weir_dev_query {
	__u32 type;
	__u32 size;
	__u64 pointer;
};

/* How a buffer is made: bits of &drm_weir_bo_create.flags. */
#define WEIR_BO_CACHED		(0u << 0)	/* ordinary memory */
#define WEIR_BO_WRITE_COMBINED	(1u << 0)	/* past the CPU's caches: slow to read */
#define WEIR_BO_CONTIGUOUS	(1u << 1)	/* one physical range, or -ENOSPC */
#define WEIR_BO_NO_MMAP		(1u << 2)	/* the CPU will never map it: mmap gives -EACCES */
#define WEIR_BO_BELOW_4G	(1u << 3)	/* physical addresses below 4 GiB */

/**
 * struct drm_weir_bo_create - DRM_IOCTL_WEIR_BO_CREATE: a buffer of zeroed system pages
 * @size: in: bytes, not 0; out: rounded up to pages
 * @flags: WEIR_BO_*
 * @handle: out: GEM handle
 * @mmap_offset: out: offset for mmap() of the DRM file; 0 with WEIR_BO_NO_MMAP
 * @dev_addr: out: where the buffer stands in this file's address space of the NPU; 0 on a device
 *	without queues
 *
 * Errors: -EINVAL (size 0 or unknown flags), -EDQUOT (over a quota of file or user), -E2BIG (more
 * than an address space has), -ENOSPC (no contiguous range, or no place in the context's table),
 * -EIO (the NPU failed and is being reset).
 */
struct drm_weir_bo_create {
	__u64 size;
	__u32 flags;
	__u32 handle;
	__u64 mmap_offset;
	__u64 dev_addr;
};

/**
 * struct drm_weir_bo_info - DRM_IOCTL_WEIR_BO_INFO: what a handle is; for buffers that came by
 * PRIME too
 * @handle: in: GEM handle
 * @flags: out: WEIR_BO_* it was made with; WEIR_BO_NO_MMAP for a foreign buffer (map its dma-buf
 *	instead)
 * @size: out: bytes
 * @mmap_offset: out: as in &struct drm_weir_bo_create
 * @dev_addr: out: as in &struct drm_weir_bo_create, in this file's address space
 *
 * Errors: -ENOENT (no such handle), -EINVAL (@flags is not zero on the way in).
 */
struct drm_weir_bo_info {
	__u32 handle;
	__u32 flags;
	__u64 size;
	__u64 mmap_offset;
	__u64 dev_addr;
};

#define WEIR_SYNC_READ		(1u << 0)	/* the CPU will read, or has read */
#define WEIR_SYNC_WRITE		(1u << 1)	/* the CPU will write, or has written */
#define WEIR_SYNC_END		(1u << 2)	/* CPU access ends here; without: it begins */

/**
 * struct drm_weir_sync_range - one range of &struct drm_weir_bo_sync
 * @handle: GEM handle
 * @flags: WEIR_SYNC_*, READ or WRITE or both
 * @offset: first byte
 * @size: bytes; 0: to the end
 */
struct drm_weir_sync_range {
	__u32 handle;
	__u32 flags;
	__u64 offset;
	__u64 size;
};

/**
 * struct drm_weir_bo_sync - DRM_IOCTL_WEIR_BO_SYNC: CPU access to buffers begins or ends
 * @ranges: pointer to @count times &struct drm_weir_sync_range
 * @count: of ranges, 1 to 1024
 * @stride: bytes from one range to the next, at least sizeof(struct drm_weir_sync_range), at most
 *	4096, a multiple of 8; what stands between them is zero
 * @timeout_ns: absolute: how long a beginning may wait for the fences of the buffers
 *
 * Cache maintenance where the device is not coherent, and before a beginning the wait for fences
 * (all with WRITE, those of writers with READ). Ranges are done in order; those before one that
 * fails stay done.
 * Errors: -EINVAL (count, stride, flags, a range outside its buffer), -ENOENT (no such handle),
 * -ETIME.
 */
struct drm_weir_bo_sync {
	__u64 ranges;
	__u32 count;
	__u32 stride;
	__s64 timeout_ns;
};

/**
 * enum drm_weir_queue_class - what a queue may do, fixed for its life
 * @WEIR_QUEUE_FENCED: packets cannot wait on memory; published sequence numbers may become syncobj
 *	points
 * @WEIR_QUEUE_LONG_RUNNING: packets may wait on memory; status page and eventfd only, never a fence
 */
enum drm_weir_queue_class {
	WEIR_QUEUE_FENCED = 0,
	WEIR_QUEUE_LONG_RUNNING = 1,
};

#define WEIR_QUEUE_PRIORITY_LOW		0
#define WEIR_QUEUE_PRIORITY_NORMAL	1
#define WEIR_QUEUE_PRIORITY_HIGH	2	/* -EPERM without CAP_SYS_NICE */

/**
 * struct drm_weir_queue_create - DRM_IOCTL_WEIR_QUEUE_CREATE
 * @ring_handle: GEM handle of the buffer that holds the ring; the queue keeps it alive
 * @queue_class: enum drm_weir_queue_class
 * @ring_offset: first byte of the ring in the buffer, a multiple of 64
 * @ring_size: bytes: a power of two, WEIR_NPU_RING_MIN to WEIR_NPU_RING_MAX of weir_npu.h
 * @priority: WEIR_QUEUE_PRIORITY_*
 * @flags: zero
 * @queue: out: id of the queue, within this file
 * @doorbell_offset: out: offset for mmap() of the doorbell page (shared, writable, doorbell_stride
 *	bytes)
 * @status_offset: out: offset for mmap() of the status page (shared, read-only, one page)
 *
 * The pages are laid out as weir_npu.h says. The ring is read by the device alone; sequence numbers
 * start at 0.
 * Errors: -EINVAL (class, ring, priority, flags), -ENOENT (no such handle), -EPERM (priority),
 * -ENOSPC (no queue left, of the device or of this file), -EOPNOTSUPP (device without queues),
 * -EIO (the NPU failed and is being reset).
 */
struct drm_weir_queue_create {
	__u32 ring_handle;
	__u32 queue_class;
	__u64 ring_offset;
	__u32 ring_size;
	__u32 priority;
	__u32 flags;
	__u32 queue;
	__u64 doorbell_offset;
	__u64 status_offset;
};

/**
 * struct drm_weir_queue_destroy - DRM_IOCTL_WEIR_QUEUE_DESTROY
 * @queue: id
 * @pad: zero
 *
 * Work that still runs is abandoned. Mappings of its pages stay valid but mean nothing from then
 * on.
 * Errors: -ENOENT (no such queue), -EINVAL (pad), -EOPNOTSUPP.
 */
struct drm_weir_queue_destroy {
	__u32 queue;
	__u32 pad;
};

/**
 * struct drm_weir_queue_kick - DRM_IOCTL_WEIR_QUEUE_KICK: wakes a device that sleeps
 * @queue: id
 * @pad: zero
 *
 * To be called when need_kick stands in the status page after the doorbell was rung. Without need
 * it costs time only.
 * Errors: -ENOENT, -EINVAL (pad), -EIO (the queue is dead), -EOPNOTSUPP.
 */
struct drm_weir_queue_kick {
	__u32 queue;
	__u32 pad;
};

/**
 * struct drm_weir_queue_state - DRM_IOCTL_WEIR_QUEUE_STATE
 * @queue: in: id
 * @state: out: enum weir_npu_queue_state of weir_npu.h: ok, guilty, innocent, gone
 * @code: out: enum weir_npu_fault of weir_npu.h: why it is not ok
 * @resets: out: resets of the device that this queue lived through
 * @completed: out: packets that are done
 * @submitted: out: packets that were published by the doorbell
 * @error_seq: out: sequence number of the packet that failed, if the queue is guilty
 * @fault_addr: out: device address that could not be reached, where @code is about one
 *
 * Errors: -ENOENT, -EINVAL (a field but @queue is not zero on the way in), -EOPNOTSUPP. A device
 * that is gone is told as a state.
 */
struct drm_weir_queue_state {
	__u32 queue;
	__u32 state;
	__u32 code;
	__u32 resets;
	__u64 completed;
	__u64 submitted;
	__u64 error_seq;
	__u64 fault_addr;
};

/**
 * struct drm_weir_queue_fence - DRM_IOCTL_WEIR_QUEUE_FENCE: a published sequence number as a
 * syncobj point
 * @queue: id, of a fenced queue
 * @syncobj: handle of a syncobj of this file
 * @seq: packets that must be done; at most what the doorbell has published
 * @point: point of the timeline; 0: the fence of a binary syncobj
 *
 * The fence signals when the packets are done, or with an error when the queue dies.
 * Errors: -ENOENT (no such queue or syncobj), -EINVAL (seq 0 or not yet published; queue of class
 * long-running), -EIO (the queue is dead), -EOPNOTSUPP.
 */
struct drm_weir_queue_fence {
	__u32 queue;
	__u32 syncobj;
	__u64 seq;
	__u64 point;
};

/**
 * struct drm_weir_queue_wait - DRM_IOCTL_WEIR_QUEUE_WAIT
 * @queue: id
 * @eventfd: -1: wait here; else an eventfd that is signalled once when the wait would end, and the
 *	call returns at once
 * @seq: packets that must be done
 * @timeout_ns: absolute; with an eventfd not looked at
 * @flags: zero
 * @pad: zero
 *
 * Errors: -ENOENT, -EINVAL (flags, pad), -EBADF (not an eventfd), -ETIME, -EIO (the queue died
 * before @seq was done), -ENOSPC (more than WEIR_QUEUE_EVENTFDS wait on this queue), -EOPNOTSUPP.
 */
struct drm_weir_queue_wait {
	__u32 queue;
	__s32 eventfd;
	__u64 seq;
	__s64 timeout_ns;
	__u32 flags;
	__u32 pad;
};

/* Eventfds that can wait on a queue at a time. */
#define WEIR_QUEUE_EVENTFDS	64

#define DRM_IOCTL_WEIR_DEV_QUERY \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_WEIR_DEV_QUERY, struct drm_weir_dev_query)
#define DRM_IOCTL_WEIR_BO_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_WEIR_BO_CREATE, struct drm_weir_bo_create)
#define DRM_IOCTL_WEIR_BO_INFO \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_WEIR_BO_INFO, struct drm_weir_bo_info)
#define DRM_IOCTL_WEIR_BO_SYNC \
	DRM_IOW(DRM_COMMAND_BASE + DRM_WEIR_BO_SYNC, struct drm_weir_bo_sync)
#define DRM_IOCTL_WEIR_QUEUE_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_WEIR_QUEUE_CREATE, struct drm_weir_queue_create)
#define DRM_IOCTL_WEIR_QUEUE_DESTROY \
	DRM_IOW(DRM_COMMAND_BASE + DRM_WEIR_QUEUE_DESTROY, struct drm_weir_queue_destroy)
#define DRM_IOCTL_WEIR_QUEUE_KICK \
	DRM_IOW(DRM_COMMAND_BASE + DRM_WEIR_QUEUE_KICK, struct drm_weir_queue_kick)
#define DRM_IOCTL_WEIR_QUEUE_STATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_WEIR_QUEUE_STATE, struct drm_weir_queue_state)
#define DRM_IOCTL_WEIR_QUEUE_FENCE \
	DRM_IOW(DRM_COMMAND_BASE + DRM_WEIR_QUEUE_FENCE, struct drm_weir_queue_fence)
#define DRM_IOCTL_WEIR_QUEUE_WAIT \
	DRM_IOW(DRM_COMMAND_BASE + DRM_WEIR_QUEUE_WAIT, struct drm_weir_queue_wait)

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_WEIR_DRM_H_ */
