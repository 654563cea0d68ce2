/* SPDX-License-Identifier: (GPL-2.0 WITH Linux-syscall-note) OR MIT */
/*
 * weir_npu.h - the NPU itself: what driver, process and device agree on. docs/npu.md explains it
 * with pictures.
 *
 * Everything in memory is little-endian and naturally aligned. "Bus address" is what the device
 * puts on the bus (the driver got it from the DMA API); "device address" is an address in a
 * context, which the device translates by that context's table. Fields named zero must be 0; a
 * device refuses what it does not know.
 *
 * Who writes what: the process its rings, argument blocks, programs and doorbell pages; the driver
 * the registers, the admin ring, context tables and control blocks; the device status pages, and
 * what packets tell it to write.
 */
#ifndef _UAPI_WEIR_NPU_H_
#define _UAPI_WEIR_NPU_H_

#include <linux/types.h>

#if defined(__cplusplus)
extern "C" {
#endif

#define WEIR_NPU_PCI_VENDOR	0x1af4
#define WEIR_NPU_PCI_DEVICE	0x10f0	/* of the range that is free for experiments */
#define WEIR_NPU_PCI_CLASS	0x120000	/* processing accelerator */

/* Page that device addresses and buffers count in. */
#define WEIR_NPU_PAGE		4096

/*
 * ---- BAR0: registers, for the driver alone ------------------------------------------------------
 *
 * 32 bits each, read and written whole and aligned. A 64-bit address is two registers, low half
 * first. Queue ids run from 0 to one less than REG_QUEUES; the doorbell page of queue n stands at
 * n * REG_STRIDE in BAR2. The admin ring begins at a multiple of 4096.
 */
#define WEIR_NPU_BAR0_SIZE	4096

#define WEIR_NPU_REG_MAGIC	0x00	/* ro: WEIR_NPU_MAGIC */
#define WEIR_NPU_REG_VERSION	0x04	/* ro: major << 16 | minor of this specification */
#define WEIR_NPU_REG_CAPS	0x08	/* ro: WEIR_NPU_CAP_* */
#define WEIR_NPU_REG_CONTEXTS	0x0c	/* ro: contexts there can be; ids are 0 to one less */
#define WEIR_NPU_REG_QUEUES	0x10	/* ro: queues there can be; as many doorbell pages */
#define WEIR_NPU_REG_STRIDE	0x14	/* ro: bytes of a doorbell page: 1 << n, 64 KiB or more */
#define WEIR_NPU_REG_ENTRIES	0x18	/* ro: entries that a context table can have */
#define WEIR_NPU_REG_ADDR_BITS	0x1c	/* ro: device addresses are below 1 << this */
#define WEIR_NPU_REG_STATUS	0x20	/* ro: WEIR_NPU_STATUS_* */
#define WEIR_NPU_REG_CONTROL	0x24	/* rw: WEIR_NPU_CONTROL_* */
#define WEIR_NPU_REG_ADMIN_LO	0x28	/* rw: bus address of the admin ring; while RUN is 0 */
#define WEIR_NPU_REG_ADMIN_HI	0x2c
#define WEIR_NPU_REG_ADMIN_SIZE	0x30	/* rw: its entries: power of two, 2 to 64; while RUN is 0 */
#define WEIR_NPU_REG_ADMIN_TAIL	0x34	/* wo: admin commands since RUN was set, modulo 2^32 */
#define WEIR_NPU_REG_KICK	0x38	/* wo: queue id: look at its doorbell, wake if asleep */

#define WEIR_NPU_MAGIC		0x52494557	/* "WEIR" */
#define WEIR_NPU_VERSION	0x00010000

#define WEIR_NPU_CAP_QUEUE_RESET	(1u << 0)	/* QUEUE_RESET ends one context alone */
#define WEIR_NPU_CAP_ISOLATION		(1u << 1)	/* no context can reach another's buffers */
#define WEIR_NPU_CAP_COHERENT		(1u << 2)	/* the device snoops CPU caches */
#define WEIR_NPU_CAP_EMULATED		(1u << 3)	/* a program */

#define WEIR_NPU_STATUS_READY	(1u << 0)	/* reset is over: it can run or runs */
#define WEIR_NPU_STATUS_FAILED	(1u << 1)	/* only RESET helps */
#define WEIR_NPU_STATUS_IDLE	(1u << 2)	/* no packet is being executed */

/*
 * RUN 0 -> 1 starts the device with the admin ring that the registers name. RUN 1 -> 0 pauses it:
 * no packet is fetched from then on, those that execute finish, then IDLE stands; RUN 0 -> 1 goes
 * on where it paused, with admin ring and contexts as they were. RESET forgets contexts, queues and
 * admin ring and abandons what executes; when READY stands again, nothing of before touches memory.
 */
#define WEIR_NPU_CONTROL_RUN	(1u << 0)
#define WEIR_NPU_CONTROL_RESET	(1u << 1)	/* reads 0 */

/* MSI-X vectors. */
#define WEIR_NPU_IRQ_ADMIN	0	/* an admin command is done, or STATUS changed */
#define WEIR_NPU_IRQ_QUEUE	1	/* a queue reached its irq_seq, or is no longer ok */
#define WEIR_NPU_IRQS		2

/*
 * ---- admin ring: driver -> device ---------------------------------------------------------------
 *
 * Commands stand in the ring one after another; the driver writes ADMIN_TAIL after them. The device
 * takes them in order, writes @result, then @done, then raises WEIR_NPU_IRQ_ADMIN.
 */

/**
 * enum weir_npu_admin_op - admin commands
 * @WEIR_NPU_ADMIN_IDENTIFY: writes struct weir_npu_identity at @addr
 * @WEIR_NPU_ADMIN_CTX_CREATE: makes context @ctx: its table is @count entries (1 to REG_ENTRIES) at
 *	@addr, a multiple of 64, and is read at once
 * @WEIR_NPU_ADMIN_CTX_DESTROY: ends context @ctx, whose queues are gone already; its buffers are
 *	touched no more
 * @WEIR_NPU_ADMIN_CTX_UPDATE: reads @count entries of the table of @ctx again, from entry @first
 *	on; what they said before is used no more when this is done
 * @WEIR_NPU_ADMIN_QUEUE_CREATE: makes queue @queue in context @ctx: ring of 1 << @order packets at
 *	device address @addr, status page at bus address @status, control block at bus address
 *	@control, of class @queue_class and priority @priority; it begins with packet @start
 * @WEIR_NPU_ADMIN_QUEUE_DESTROY: ends @queue: its ring, status page, control block and doorbell are
 *	touched no more, and no packet of it executes
 * @WEIR_NPU_ADMIN_QUEUE_RESET: abandons what @queue executes. The queue has to be destroyed after
 *	that. Where the device cannot abandon one queue's packet alone, the context restarts: its
 *	programs are forgotten and its other queues become WEIR_NPU_QUEUE_INNOCENT; no other context
 *	loses work
 */
enum weir_npu_admin_op {
	WEIR_NPU_ADMIN_IDENTIFY = 1,
	WEIR_NPU_ADMIN_CTX_CREATE = 2,
	WEIR_NPU_ADMIN_CTX_DESTROY = 3,
	WEIR_NPU_ADMIN_CTX_UPDATE = 4,
	WEIR_NPU_ADMIN_QUEUE_CREATE = 5,
	WEIR_NPU_ADMIN_QUEUE_DESTROY = 6,
	WEIR_NPU_ADMIN_QUEUE_RESET = 7,
};

/**
 * enum weir_npu_result - how an admin command ended
 * @WEIR_NPU_RESULT_OK: done
 * @WEIR_NPU_RESULT_COMMAND: no such command, or a field of it is wrong
 * @WEIR_NPU_RESULT_ID: no such context or queue, or it exists already
 * @WEIR_NPU_RESULT_ADDRESS: an address that the device cannot reach
 * @WEIR_NPU_RESULT_RESOURCE: the device has no room for it
 * @WEIR_NPU_RESULT_FAILED: the device failed at it
 */
enum weir_npu_result {
	WEIR_NPU_RESULT_OK = 0,
	WEIR_NPU_RESULT_COMMAND = 1,
	WEIR_NPU_RESULT_ID = 2,
	WEIR_NPU_RESULT_ADDRESS = 3,
	WEIR_NPU_RESULT_RESOURCE = 4,
	WEIR_NPU_RESULT_FAILED = 5,
};

/**
 * struct weir_npu_admin - one admin command, 64 bytes
 * @op: enum weir_npu_admin_op
 * @order: QUEUE_CREATE: log2 of the ring's packets
 * @queue: queue id
 * @ctx: context id
 * @queue_class: QUEUE_CREATE: enum weir_npu_class
 * @priority: QUEUE_CREATE: 0 low, 1 normal, 2 high
 * @zero: zero
 * @addr: IDENTIFY, CTX_CREATE: bus address; QUEUE_CREATE: device address of the ring, a multiple of
 *	64
 * @status: QUEUE_CREATE: bus address of the status page, a multiple of 4096
 * @control: QUEUE_CREATE: bus address of the control block, a multiple of 64
 * @start: QUEUE_CREATE: sequence number of the first packet to fetch
 * @first: CTX_UPDATE: first entry
 * @count: CTX_CREATE, CTX_UPDATE: entries
 * @result: device: enum weir_npu_result
 * @done: device: 1, after everything else; the driver posts it as 0
 */
struct weir_npu_admin {
	__u16 op;
	__u16 order;
	__u32 queue;
	__u32 ctx;
	__u8 queue_class;
	__u8 priority;
	__u16 zero;
	__u64 addr;
	__u64 status;
	__u64 control;
	__u64 start;
	__u32 first;
	__u32 count;
	__u32 result;
	__u32 done;
};

/* Dot products that the device's CPU-like cores have: bits of &weir_npu_identity.features. */
#define WEIR_NPU_FEATURE_PMADDUBSW	(1u << 0)	/* x86 with AVX512BW */
#define WEIR_NPU_FEATURE_VNNI		(1u << 1)	/* x86 with AVX512-VNNI */

/**
 * enum weir_npu_kind - which schedule suits the device
 * @WEIR_NPU_KIND_CPU: few cores with wide vectors: one work-item a group
 * @WEIR_NPU_KIND_GPU: the work-items of a group run together
 */
enum weir_npu_kind {
	WEIR_NPU_KIND_CPU = 0,
	WEIR_NPU_KIND_GPU = 1,
};

/**
 * struct weir_npu_identity - what the device is, 4096 bytes
 * @name: for people, NUL-terminated as all texts here
 * @version: of the device's firmware or program, and of the compiler in it: part of the key of
 *	whatever is cached
 * @kind: enum weir_npu_kind
 * @features: WEIR_NPU_FEATURE_*
 * @formats: bits 1 << enum weir_npu_format that LOAD takes
 * @compute_units: groups that run at a time
 * @max_local: work-items of a group
 * @max_args: arguments of a kernel
 * @max_programs: programs of a context; ids are 0 to one less
 * @align: device addresses that are arguments are multiples of this
 * @local_memory: bytes of local memory of a group
 * @clock_hz: ticks a second of time stamps
 * @zero: zero
 */
struct weir_npu_identity {
	char name[128];
	char version[256];
	__u32 kind;
	__u32 features;
	__u32 formats;
	__u32 compute_units;
	__u32 max_local;
	__u32 max_args;
	__u32 max_programs;
	__u32 align;
	__u64 local_memory;
	__u64 clock_hz;
	__u8 zero[3664];
};

/*
 * ---- context table: driver -> device ------------------------------------------------------------
 *
 * The buffers of a context: pages anywhere in memory that appear as one range of device addresses.
 * A device touches nothing else for the context.
 */

#define WEIR_NPU_ENTRY_VALID	(1u << 0)
#define WEIR_NPU_ENTRY_READ	(1u << 1)
#define WEIR_NPU_ENTRY_WRITE	(1u << 2)

/**
 * struct weir_npu_entry - a buffer of a context, 32 bytes
 * @addr: device address, a multiple of 4096; entries do not overlap
 * @size: bytes, a multiple of 4096
 * @segments: bus address of @count times &struct weir_npu_segment, whose sizes add up to @size
 * @count: of segments
 * @flags: WEIR_NPU_ENTRY_*; without VALID the rest is not looked at
 */
struct weir_npu_entry {
	__u64 addr;
	__u64 size;
	__u64 segments;
	__u32 count;
	__u32 flags;
};

/**
 * struct weir_npu_segment - a run of memory
 * @addr: bus address, a multiple of 4096
 * @size: bytes, a multiple of 4096
 */
struct weir_npu_segment {
	__u64 addr;
	__u64 size;
};

/*
 * ---- queues -------------------------------------------------------------------------------------
 *
 * Packets are counted from 0; packet n stands in slot n modulo ring size. The process writes
 * packets, then the count of all it ever wrote to the doorbell. read_index and completed follow; a
 * slot may be written again once read_index has passed it. A published count that is smaller than
 * one before, or further than the ring from read_index, is the fault WEIR_NPU_FAULT_DOORBELL.
 */
#define WEIR_NPU_RING_MIN	4096
#define WEIR_NPU_RING_MAX	(1 << 20)

/**
 * enum weir_npu_class - see enum drm_weir_queue_class
 * @WEIR_NPU_CLASS_FENCED: WAIT packets are the fault WEIR_NPU_FAULT_PACKET
 * @WEIR_NPU_CLASS_LONG_RUNNING: anything goes; a WAIT is no hang
 */
enum weir_npu_class {
	WEIR_NPU_CLASS_FENCED = 0,
	WEIR_NPU_CLASS_LONG_RUNNING = 1,
};

/**
 * struct weir_npu_doorbell - beginning of a doorbell page in BAR2; written by the process, by one
 * 64-bit store
 * @published: packets written in all
 */
struct weir_npu_doorbell {
	__u64 published;
};

/**
 * enum weir_npu_queue_state - what became of a queue
 * @WEIR_NPU_QUEUE_OK: it works
 * @WEIR_NPU_QUEUE_GUILTY: a packet of it failed; nothing more is executed. A fault of a kernel can
 *	restart the context as QUEUE_RESET does; a new queue of the context finds it working,
 *	without programs
 * @WEIR_NPU_QUEUE_INNOCENT: its work was lost by another's fault
 * @WEIR_NPU_QUEUE_GONE: the device is gone
 */
enum weir_npu_queue_state {
	WEIR_NPU_QUEUE_OK = 0,
	WEIR_NPU_QUEUE_GUILTY = 1,
	WEIR_NPU_QUEUE_INNOCENT = 2,
	WEIR_NPU_QUEUE_GONE = 3,
};

/**
 * enum weir_npu_fault - why a queue is not ok
 * @WEIR_NPU_FAULT_NONE: it is
 * @WEIR_NPU_FAULT_PACKET: a field of the packet is wrong; fault_addr is the field's byte in the
 *	packet
 * @WEIR_NPU_FAULT_PROGRAM: no such program or kernel
 * @WEIR_NPU_FAULT_ARGUMENT: an argument does not suit the kernel; fault_addr is its number
 * @WEIR_NPU_FAULT_ADDRESS: an address outside the context's buffers
 * @WEIR_NPU_FAULT_EXECUTION: the kernel failed in another way: illegal instruction, division
 * @WEIR_NPU_FAULT_DOORBELL: what was published makes no sense
 * @WEIR_NPU_FAULT_HANG: no progress within the limit (said by the driver)
 * @WEIR_NPU_FAULT_LOST: the device lost the work (reset, suspend, the device died)
 */
enum weir_npu_fault {
	WEIR_NPU_FAULT_NONE = 0,
	WEIR_NPU_FAULT_PACKET = 1,
	WEIR_NPU_FAULT_PROGRAM = 2,
	WEIR_NPU_FAULT_ARGUMENT = 3,
	WEIR_NPU_FAULT_ADDRESS = 4,
	WEIR_NPU_FAULT_EXECUTION = 5,
	WEIR_NPU_FAULT_DOORBELL = 6,
	WEIR_NPU_FAULT_HANG = 7,
	WEIR_NPU_FAULT_LOST = 8,
};

/**
 * struct weir_npu_status - beginning of a status page; written by the device (and by the driver
 * once the device no longer does), read by process and driver
 * @completed: packets below this sequence number are done and what they wrote can be seen
 * @read_index: packets below this sequence number were fetched: their slots are free
 * @error_seq: sequence number of the packet that failed
 * @fault_addr: see enum weir_npu_fault
 * @state: enum weir_npu_queue_state, written after @code, @error_seq and @fault_addr
 * @code: enum weir_npu_fault
 * @need_kick: 1: the device sleeps as far as this queue goes
 * @waiting: 1: a WAIT packet waits: no progress, and no hang; or a LOAD builds a program, for which
 * the driver has more patience
 * @timestamp: device clock when @completed moved last
 * @zero: zero
 *
 * A process that has rung the doorbell issues a full memory barrier and looks at need_kick; a
 * device that goes to sleep sets need_kick, issues a full memory barrier and looks at the doorbell
 * once more. So one of both sees the other.
 * A paused device (RUN 0) leaves need_kick alone: the driver may set it then, and look at the
 * doorbells itself, before it takes the power away.
 */
struct weir_npu_status {
	__u64 completed;
	__u64 read_index;
	__u64 error_seq;
	__u64 fault_addr;
	__u32 state;
	__u32 code;
	__u32 need_kick;
	__u32 waiting;
	__u64 timestamp;
	__u64 zero;
};

/**
 * struct weir_npu_control - control block of a queue, 64 bytes; written by the driver, read by the
 * device
 * @irq_seq: raise WEIR_NPU_IRQ_QUEUE when completed reaches this; 0: never. The device looks after
 *	each step of completed and a full memory barrier; the driver sets it, issues a full memory
 *	barrier and looks at completed.
 * @zero: zero
 */
struct weir_npu_control {
	__u64 irq_seq;
	__u64 zero[7];
};

/*
 * ---- packets: process -> device, 64 bytes each --------------------------------------------------
 *
 * Packets of a queue are fetched in order and may overlap in execution, but for
 * WEIR_NPU_PACKET_BARRIER; they complete in order.
 */
#define WEIR_NPU_PACKET_SIZE	64

#define WEIR_NPU_PACKET_BARRIER	(1u << 0)	/* waits until all packets before it are done */

/**
 * enum weir_npu_packet_type - what a packet does; a slot of zeros is no packet
 * @WEIR_NPU_PACKET_NOP: nothing
 * @WEIR_NPU_PACKET_LAUNCH: runs a kernel
 * @WEIR_NPU_PACKET_LOAD: makes a program of source text or of a binary
 * @WEIR_NPU_PACKET_UNLOAD: forgets a program, when the packets before are done
 * @WEIR_NPU_PACKET_COPY: copies bytes within the context
 * @WEIR_NPU_PACKET_FILL: fills with a 32-bit pattern
 * @WEIR_NPU_PACKET_SIGNAL: stores a 64-bit value
 * @WEIR_NPU_PACKET_WAIT: waits until a 64-bit value is at least so large, as unsigned; long-running
 *	queues alone
 */
enum weir_npu_packet_type {
	WEIR_NPU_PACKET_NOP = 1,
	WEIR_NPU_PACKET_LAUNCH = 2,
	WEIR_NPU_PACKET_LOAD = 3,
	WEIR_NPU_PACKET_UNLOAD = 4,
	WEIR_NPU_PACKET_COPY = 5,
	WEIR_NPU_PACKET_FILL = 6,
	WEIR_NPU_PACKET_SIGNAL = 7,
	WEIR_NPU_PACKET_WAIT = 8,
};

/**
 * struct weir_npu_packet - the outside of every packet
 * @type: enum weir_npu_packet_type
 * @flags: WEIR_NPU_PACKET_BARRIER
 * @zero: zero
 * @stamp: device address, a multiple of 8, of two 64-bit time stamps (begin, end of execution) that
 *	the device writes; 0: none
 * @body: one of the structures below, filled up with zeros
 */
struct weir_npu_packet {
	__u8 type;
	__u8 flags;
	__u8 zero[6];
	__u64 stamp;
	__u8 body[48];
};

#define WEIR_NPU_GROUPS_MAX	0x7fffffff

/**
 * struct weir_npu_launch - body of LAUNCH
 * @program: id
 * @kernel: number in the table that LOAD returned
 * @groups: work-groups in each dimension, 1 or more, and at most WEIR_NPU_GROUPS_MAX multiplied
 * @local: work-items of a group in each dimension, 1 or more
 * @n_args: arguments
 * @zero: zero
 * @args: device address of @n_args times &struct weir_npu_arg, a multiple of 8; read when the
 *	packet is fetched or later, so no packet that is published and not completed may write it
 */
struct weir_npu_launch {
	__u32 program;
	__u32 kernel;
	__u32 groups[3];
	__u32 local[3];
	__u32 n_args;
	__u32 zero;
	__u64 args;
};

/**
 * enum weir_npu_arg_kind - what an argument is
 * @WEIR_NPU_ARG_BUFFER: a global pointer: @value is a device address within a buffer of the context
 * @WEIR_NPU_ARG_VALUE: @size (1, 2, 4 or 8) low bytes of @value
 * @WEIR_NPU_ARG_LOCAL: @value bytes of local memory
 */
enum weir_npu_arg_kind {
	WEIR_NPU_ARG_BUFFER = 1,
	WEIR_NPU_ARG_VALUE = 2,
	WEIR_NPU_ARG_LOCAL = 3,
};

/**
 * struct weir_npu_arg - one argument, 16 bytes
 * @kind: enum weir_npu_arg_kind
 * @size: bytes of a VALUE; else zero
 * @value: see the kind
 */
struct weir_npu_arg {
	__u32 kind;
	__u32 size;
	__u64 value;
};

/**
 * enum weir_npu_format - what LOAD loads
 * @WEIR_NPU_FORMAT_OPENCL_C: source text, OpenCL C 1.2
 * @WEIR_NPU_FORMAT_NATIVE: a binary in the device's own format
 */
enum weir_npu_format {
	WEIR_NPU_FORMAT_OPENCL_C = 1,
	WEIR_NPU_FORMAT_NATIVE = 2,
};

/**
 * struct weir_npu_load - body of LOAD
 * @program: id, not in use
 * @format: enum weir_npu_format
 * @code: device address of the code
 * @code_size: bytes, not 0
 * @options: device address of the compiler's options (text, no NUL needed); not looked at when
 *	@options_size is 0
 * @options_size: bytes
 * @report_size: bytes at @report, at least sizeof(struct weir_npu_report)
 * @report: device address, a multiple of 8, of the &struct weir_npu_report that the device writes
 *
 * A program that cannot be built is no fault: the report says so, the id stays free, and the queue
 * goes on.
 */
struct weir_npu_load {
	__u32 program;
	__u32 format;
	__u64 code;
	__u64 code_size;
	__u64 options;
	__u32 options_size;
	__u32 report_size;
	__u64 report;
};

/*
 * Work-items that a kernel was compiled for and, if it must have them, the only ones it runs with.
 */
#define WEIR_NPU_KERNEL_NAME	96

/**
 * struct weir_npu_kernel - a kernel of a program, 128 bytes
 * @name: NUL-terminated
 * @n_args: arguments it takes
 * @max_local: work-items a group can have at most
 * @required_local: the only group size it takes in each dimension, or 0, 0, 0
 * @zero: zero
 */
struct weir_npu_kernel {
	char name[WEIR_NPU_KERNEL_NAME];
	__u32 n_args;
	__u32 max_local;
	__u32 required_local[3];
	__u32 zero[3];
};

/**
 * enum weir_npu_build - how LOAD ended
 * @WEIR_NPU_BUILD_OK: the program can be launched
 * @WEIR_NPU_BUILD_ERROR: the compiler refused it: see the log
 * @WEIR_NPU_BUILD_FORMAT: no such format, or the binary is not for this device
 * @WEIR_NPU_BUILD_SPACE: the report has no room for the kernels: @kernels says how many there are
 * @WEIR_NPU_BUILD_RESOURCE: the device is out of memory
 */
enum weir_npu_build {
	WEIR_NPU_BUILD_OK = 0,
	WEIR_NPU_BUILD_ERROR = 1,
	WEIR_NPU_BUILD_FORMAT = 2,
	WEIR_NPU_BUILD_SPACE = 3,
	WEIR_NPU_BUILD_RESOURCE = 4,
};

/**
 * struct weir_npu_report - what became of LOAD, followed by @kernels times &struct weir_npu_kernel,
 * then by @log_size bytes of the compiler's log (text, cut to what fits)
 * @result: enum weir_npu_build
 * @kernels: how many follow (0 unless OK; with SPACE how many would)
 * @log_size: bytes of log
 * @zero: zero
 */
struct weir_npu_report {
	__u32 result;
	__u32 kernels;
	__u32 log_size;
	__u32 zero;
};

/**
 * struct weir_npu_unload - body of UNLOAD
 * @program: id
 * @zero: zero
 */
struct weir_npu_unload {
	__u32 program;
	__u32 zero;
};

/**
 * struct weir_npu_copy - body of COPY
 * @to: device address
 * @from: device address; the ranges do not overlap
 * @size: bytes, not 0
 */
struct weir_npu_copy {
	__u64 to;
	__u64 from;
	__u64 size;
};

/**
 * struct weir_npu_fill - body of FILL
 * @to: device address, a multiple of 4
 * @size: bytes, a multiple of 4, not 0
 * @pattern: written again and again
 * @zero: zero
 */
struct weir_npu_fill {
	__u64 to;
	__u64 size;
	__u32 pattern;
	__u32 zero;
};

/**
 * struct weir_npu_signal - body of SIGNAL and of WAIT
 * @addr: device address, a multiple of 8
 * @value: stored, or waited for
 */
struct weir_npu_signal {
	__u64 addr;
	__u64 value;
};

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_WEIR_NPU_H_ */
