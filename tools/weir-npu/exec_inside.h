/* SPDX-License-Identifier: MIT */
/* What the files of exec.h share. */
#ifndef WEIR_NPU_EXEC_INSIDE_H
#define WEIR_NPU_EXEC_INSIDE_H

#define CL_TARGET_OPENCL_VERSION 200
#include <CL/cl.h>

#include "exec.h"

/* Bytes of arguments that every device takes: 128 pointers. */
#define EXEC_ARGS 128

/* What an argument of a kernel has to be. */
enum exec_arg {
	EXEC_ARG_BUFFER = WEIR_NPU_ARG_BUFFER,
	EXEC_ARG_VALUE = WEIR_NPU_ARG_VALUE,
	EXEC_ARG_LOCAL = WEIR_NPU_ARG_LOCAL,
	EXEC_ARG_OTHER, /* an image or a sampler: cannot be given */
};

struct exec_kernel {
	struct weir_npu_kernel info;
	uint8_t kinds[EXEC_ARGS]; /* enum exec_arg */
	char *name;		  /* whole */
};

struct exec_program {
	cl_program program; /* NULL: the id is free */
	struct exec_kernel *kernels;
	uint32_t count;
};

/* A kernel object whose arguments are set: plans come again and again with the same ones. */
struct exec_bound {
	struct exec_bound *next;	  /* of its hash chain */
	struct exec_bound *newer, *older; /* by last use */
	uint32_t program, kernel;
	uint64_t args_addr;
	cl_kernel object;
	uint64_t generation; /* of the space when the addresses were checked */
	bool whole;	     /* all arguments are set */
	uint32_t n_set;	     /* those below are set as args[] says */
	struct weir_npu_arg args[];
};

#define EXEC_BUCKETS 4096 /* a power of two */
#define EXEC_BOUND                                                                                 \
	8192 /* kernel objects that are kept: more than the launches of a large network's token */

struct exec {
	struct space *space;
	int ctx;
	struct weir_npu_identity identity;
	cl_device_id device;
	bool binaries; /* programs can be asked for theirs */
	cl_context context;
	cl_command_queue queue;
	struct exec_program programs[WORKER_PROGRAMS];
	struct exec_bound *buckets[EXEC_BUCKETS];
	struct exec_bound *newest, *oldest;
	unsigned n_bound;
	cl_event pending[EXEC_PENDING];
	unsigned n_pending;
};

/* bound.c: the kernel object of a launch with its arguments set, or the fault. */
int exec_bind(struct exec *e, const struct weir_npu_launch *l, cl_kernel *out, uint64_t *where);
void exec_unbind(struct exec *e, uint32_t program);

#endif
