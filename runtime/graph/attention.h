/* SPDX-License-Identifier: MIT */
/* What the ops of attention share (op_rope.c, op_attention.c). */
#ifndef WEIR_GRAPH_ATTENTION_H
#define WEIR_GRAPH_ATTENTION_H

#include "graph/ops.h"

/* False, with the graph's error set, when kernels cannot work with the shape or the cache is too small for it. */
bool attention_check(struct weir_graph *g, const struct weir_attention_shape *shape,
	const struct weir_tensor *kv);

/* Rotations of each query: 2 where sinks are seen from another position. */
unsigned attention_rotations(const struct weir_attention_shape *shape);

/* How kernels are told the cache's type. */
const char *attention_kv_option(const struct weir_attention_shape *shape);

#endif
