/* SPDX-License-Identifier: MIT */
/* Lifetimes to addresses: places blocks so that those alive at the same time never overlap, but as rules allow. */
#ifndef WEIR_GRAPH_PLANNER_H
#define WEIR_GRAPH_PLANNER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_block {
	size_t size;	 /* bytes */
	int first, last; /* steps that it is alive in, both inclusive */
	size_t offset;	 /* the answer */
};

/*
 * Two blocks that may overlap while both are alive: above begins gap bytes or more behind the beginning of below (gap may
 * be less than below's size, or negative: before it), and the distance is a multiple of step, where step is not 0. Or, with
 * same, both begin at the same place; gap and step mean nothing then. A pair may have several rules: any one will do.
 */
struct weir_overlap {
	size_t below, above;
	int64_t gap;
	size_t step;
	bool same;
};

/*
 * Places n blocks at offsets that are multiples of align, a power of two, and returns the arena's size: the
 * smallest that first fit finds over several orders (by size, by lifetime, by time) and changes to the best of them; an
 * arena of goal bytes or less ends the search. The same blocks get the same places always. Sizes are rounded up to align.
 * 0 or -errno in *err.
 */
size_t weir_planner_place(struct weir_block *blocks, size_t n, const struct weir_overlap *overlaps,
	size_t n_overlaps, size_t align, size_t goal, int *err);

#endif
