/* SPDX-License-Identifier: MIT */
/*
 * What packets do by OpenCL: programs and launches. Used by the executing thread alone, but for
 * exec_done().
 *
 * Functions that execute return 0 or the WEIR_NPU_FAULT_*, with *where as fault_addr.
 */
#ifndef WEIR_NPU_EXEC_H
#define WEIR_NPU_EXEC_H

#include "space.h"
#include "worker.h"

#define EXEC_PENDING 64 /* launches that can be under way */

struct exec;

/*
 * Finds PoCL's CPU device: fills identity. NULL with a line in the log, else to be closed by
 * exec_close().
 */
struct exec *exec_open(
	const struct worker_settings *settings, struct space *space, struct weir_npu_identity *out);
void exec_close(struct exec *e);

/* Checks and enqueues; fewer than EXEC_PENDING may be under way. */
int exec_launch(struct exec *e, const struct weir_npu_launch *l, uint64_t *where);

/* Waits for all that are under way. */
int exec_finish(struct exec *e);

/*
 * How many launches of those enqueued since the last exec_finish() are done: asked in a signal
 * handler.
 */
unsigned exec_done(struct exec *e);

/* Nothing is under way when these are called. */
int exec_load(struct exec *e, const struct weir_npu_load *l, uint64_t *where);
int exec_unload(struct exec *e, uint32_t program, uint64_t *where);

#endif
