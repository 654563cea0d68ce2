/* SPDX-License-Identifier: MIT */
/*
 * Where a network's tensors lie and in which order its rows are made: lifetimes to addresses, outputs over inputs that
 * are no longer needed, and streaming of chains of layers by strips of rows, so that a chain needs a few rows of each of
 * its tensors instead of all (patch-based inference, MCUNetV2, with the halo kept in rings instead of computed again).
 */
#ifndef WEIR_VISION_LAYOUT_H
#define WEIR_VISION_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct weir_layout_tensor {
	size_t bytes;	  /* of the whole */
	size_t row_bytes; /* of a row; 0: it has no rows that could be kept apart */
	int rows;
	int storage;	   /* the tensor whose bytes these are (itself, or another: a reshape) */
	bool fixed;	   /* it lies elsewhere: constants, buffers of the caller's */
	bool before, after; /* the host writes it before, or reads it after the run */
	/* The answer, for tensors that are their own storage and not fixed. */
	size_t at;
	int ring; /* rows that it keeps; == rows: all */
};

struct weir_layout_node {
	int in, in2, out; /* tensors; in2 is -1 where there is none. Several nodes may write parts of one tensor */
	int rows;	  /* of its output, as its op counts them */
	/*
	 * Row y needs rows [y * stride - pad, y * stride - pad + span) of in, those outside left out; span 0: it needs all of
	 * its inputs and cannot stream. in2 has as many rows as the output, and row y needs row y of it.
	 */
	int stride, pad, span;
	/* The output may stand exactly where in (same) or in2 (same2) stands: each value is read before its place is written. */
	bool same, same2;
	/*
	 * Not 0: with its rows made in order (CNN_COLUMNS) the output may begin below the input by a multiple of this, or
	 * at it, as long as no row of the input is overwritten before its last use, taking a whole row of output as
	 * written at any moment of its making.
	 */
	size_t overlay;
	uint64_t cost; /* multiply-adds, or as much */
	/* The answer. */
	bool columns;
};

struct weir_layout_step {
	int node, first, rows;
};

struct weir_layout_settings {
	size_t budget;	 /* bytes of arena; 0: no limit; WEIR_LAYOUT_LEAST: as few as can be found */
	size_t align;	 /* of every tensor; a power of two */
	bool in_place;	 /* use same and same2 */
	bool overlay;
	bool stream;	 /* may stream to keep to the budget; whole layers come first where they fit */
};
#define WEIR_LAYOUT_LEAST SIZE_MAX

/* A chain of nodes [first, last] that streams, and the rows of its last output that a strip has. */
struct weir_layout_chain {
	int first, last, strip;
};

struct weir_layout {
	struct weir_layout_step *steps;
	size_t n_steps;
	struct weir_layout_chain *chains;
	size_t n_chains;
	size_t arena;	 /* bytes */
	size_t unshared; /* bytes if no tensor shared memory with another */
	int *first, *last; /* steps that each tensor's memory is taken in, by tensor; -1 for those that have none of the arena */
};

/*
 * Fills in the answers in tensors and nodes, and *out, the caller's to give to weir_layout_free. -ENOSPC with a
 * sentence that has the least found when the budget cannot be met.
 */
int weir_layout_make(struct weir_layout_tensor *tensors, size_t n_tensors, struct weir_layout_node *nodes,
	size_t n_nodes, const struct weir_layout_settings *settings, struct weir_layout *out);
void weir_layout_free(struct weir_layout *layout); /* takes a zeroed one */

#endif
