/* SPDX-License-Identifier: MIT */
/* Lifetimes to addresses: places blocks so that those alive at the same time never overlap. */
#ifndef WEIR_GRAPH_PLANNER_H
#define WEIR_GRAPH_PLANNER_H

#include <stddef.h>

struct weir_block {
	size_t size;	 /* bytes */
	int first, last; /* steps that it is alive in, both inclusive */
	size_t offset;	 /* the answer */
};

/*
 * Places n blocks at offsets that are multiples of align, a power of two, and returns the arena's size: the
 * smallest that first fit finds over several orders (by size, by lifetime, by time). 0 or -errno in *err.
 */
size_t weir_planner_place(struct weir_block *blocks, size_t n, size_t align, int *err);

#endif
