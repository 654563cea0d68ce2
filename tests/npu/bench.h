/* SPDX-License-Identifier: MIT */
/*
 * What the suites of weir-npu's worker share: one worker with a queue, a program, and memory for
 * arguments and data.
 */
#ifndef WEIR_TESTS_NPU_BENCH_H
#define WEIR_TESTS_NPU_BENCH_H

#include <check.h>

#include "tests/npu/rig.h"

#define PAGE WEIR_NPU_PAGE
#define RW (PROT_READ | PROT_WRITE)

#define BENCH_KERNELS 16
#define BENCH_PROGRAM 5
#define BENCH_BLOCK 256 /* bytes for the arguments of a launch */

extern struct rig rig;
extern struct rig_queue *queue;			      /* number 0, fenced */
extern struct rig_buffer args_buffer, data, constant; /* 16 and 64 pages, and one to read only */
extern uint32_t kernels[BENCH_KERNELS];		      /* their numbers, in the order of names */

/* Returns when OpenCL is there. */
void bench_start(const struct worker_settings *settings);
void bench_stop(void);
/* A worker that stays awake for a second. */
void bench_setup(void);
/* Builds source, which has exactly the kernels of names, as BENCH_PROGRAM. */
void bench_program(const char *source, const char *const *names, unsigned n);

const struct weir_npu_kernel *kernel_of(const struct weir_npu_report *r, const char *name);
/* Writes the arguments into block number `block`; kernel counts in names. */
struct weir_npu_packet launch(unsigned kernel, uint32_t groups, uint32_t local, unsigned block,
	const struct weir_npu_arg *args, uint32_t n);
/* The same in a block that the last launches do not use. */
struct weir_npu_packet launch_next(unsigned kernel, uint32_t groups, uint32_t local,
	const struct weir_npu_arg *args, uint32_t n);
void push(struct rig_queue *q, struct weir_npu_packet p);
/* Pushes it and waits until it is done. */
void must(struct weir_npu_packet p);
void nap_ms(unsigned ms);

/* Cases run in this process and may take long on a busy machine. */
TCase *bench_case(Suite *s, const char *name, void (*setup)(void));

#endif
