/* SPDX-License-Identifier: MIT */
/*
 * Tensors and ops in order; planned into one arena by lifetime, recorded into a device plan.
 *
 * A graph is built by calls in execution order. Errors stick: after one, further calls do nothing and
 * weir_graph_plan returns it, so that building code needs no checks between.
 */
#ifndef WEIR_GRAPH_GRAPH_H
#define WEIR_GRAPH_GRAPH_H

#include "device/device.h"

struct weir_graph;
struct weir_tensor; /* some bytes of a buffer; what they mean is the ops' business */
struct weir_op;

int weir_graph_create(weir_device *dev, struct weir_graph **out);
void weir_graph_destroy(struct weir_graph *g); /* takes NULL; frees tensors, ops and the planned arena */
weir_device *weir_graph_device(const struct weir_graph *g);

/* A tensor that lives from the first op that writes it to the last that uses it; the planner places it. */
struct weir_tensor *weir_graph_tensor(struct weir_graph *g, const char *name, size_t size);

/* A tensor that is there already: weights, a KV cache, the step block. The buffer is not owned. */
struct weir_tensor *weir_graph_bind(struct weir_graph *g, const char *name, struct weir_buffer *buffer,
	size_t offset, size_t size);

/* A planned tensor that the host reads or writes between runs: it is never overlaid with another. */
void weir_tensor_keep(struct weir_tensor *t);
size_t weir_tensor_size(const struct weir_tensor *t);

/* Where a tensor lies; for planned ones after weir_graph_plan. */
struct weir_buffer *weir_tensor_buffer(const struct weir_tensor *t);
size_t weir_tensor_offset(const struct weir_tensor *t);

/*
 * One launch of a kernel of kernels/<file> built with options (copied). Arguments follow in the kernel's order.
 * label and kernel are literals.
 */
struct weir_op *weir_graph_op(struct weir_graph *g, const char *label, const char *file,
	const char *options, const char *kernel, unsigned groups, unsigned local);
void weir_op_read(struct weir_op *op, struct weir_tensor *t);
void weir_op_write(struct weir_op *op, struct weir_tensor *t);
void weir_op_update(struct weir_op *op, struct weir_tensor *t); /* reads and writes */
void weir_op_int(struct weir_op *op, int32_t v);
void weir_op_float(struct weir_op *op, float v);
void weir_op_local(struct weir_op *op, size_t size);
/* Bytes of its first argument that work-groups read one after another, each its share: worth fetching early. */
void weir_op_ahead(struct weir_op *op, size_t bytes);
/* It neither needs what the op before it writes nor writes what that one reads or writes: they may run at once. */
void weir_op_beside(struct weir_op *op);
void weir_op_cost(struct weir_op *op, uint64_t bytes, uint64_t token_bytes, uint64_t token_ops);

/* Sets the graph's sticky error from an op constructor; err as for weir_fail. */
void weir_graph_fail(struct weir_graph *g, int err, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
bool weir_graph_ok(const struct weir_graph *g);

/*
 * Places the planned tensors (first fit by lifetime, sizes rounded up to the device's alignment), allocates
 * their arena, builds the programs and records the plan, which the graph owns.
 */
int weir_graph_plan(struct weir_graph *g, struct weir_plan **out);

/* How many ops were recorded: each is a launch of the plan, with that place. */
size_t weir_graph_count(const struct weir_graph *g);

/* Bytes of the arena, and what they would be with no overlaying. */
size_t weir_graph_arena(const struct weir_graph *g);
size_t weir_graph_unshared(const struct weir_graph *g);

#endif
