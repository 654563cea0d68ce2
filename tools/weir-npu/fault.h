/* SPDX-License-Identifier: MIT */
/* What happens when a kernel does harm: fault.c. */
#ifndef WEIR_NPU_FAULT_H
#define WEIR_NPU_FAULT_H

#include "queue.h"

/*
 * From now on harm that a thread does ends the worker, after the queue in execution was marked. 0
 * or -errno.
 */
int fault_catch(struct worker *w);

/* A stack for the handler, for the calling thread. */
int fault_stack(void);

#endif
