/* SPDX-License-Identifier: MIT */
/* What operators share that make each value of a row from the values at its place. */
#ifndef WEIR_VISION_LOWER_EACH_H
#define WEIR_VISION_LOWER_EACH_H

#include "vision/lower.h"

/* A row is cut into parts of at least so many values: less is not worth a unit of its own. */
#define WEIR_EACH_PART 1024
#define WEIR_EACH_PARTS 8

/* Row y needs row y of the inputs; the row is made in parts. */
static inline void weir_lower_each(struct weir_cnn_node *node)
{
	int parts = node->op.out.w * node->op.out.c / WEIR_EACH_PART;

	node->stride = 1;
	node->span = 1;
	node->op.parts = WEIR_MAX(1, WEIR_MIN(parts, WEIR_EACH_PARTS));
	node->macs = (uint64_t)node->rows * (unsigned)node->op.out.w * (unsigned)node->op.out.c;
}

#endif
