/* SPDX-License-Identifier: MIT */
/* A network's memory map as both of its pictures take it: memory.c draws it in the terminal, memory_svg.c as a file. */
#ifndef WEIR_TOOL_MEMORY_H
#define WEIR_TOOL_MEMORY_H

#include "tool.h"

struct memory_map {
	struct weir_net_block *blocks;
	unsigned n, steps; /* steps: 1 at least */
	uint64_t bytes;	   /* of the arena; 1 at least */
	unsigned peak;	   /* a step in which the most bytes are taken */
	uint64_t taken;	   /* bytes in that step; those that two tensors share count once */
};

/* 0, or 1 after saying why not. */
int memory_map_make(struct memory_map *m, const weir_net *net);
void memory_map_free(struct memory_map *m);

#endif
