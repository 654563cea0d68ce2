/* SPDX-License-Identifier: MIT */
/* What the layout's parts know of each other: layout.c, layout_place.c, layout_stream.c, layout_search.c. */
#ifndef WEIR_VISION_LAYOUT_PARTS_H
#define WEIR_VISION_LAYOUT_PARTS_H

#include "base/base.h"
#include "vision/layout.h"

/* A tensor that has bytes of the arena, with all that share them (reshapes). */
struct layout_storage {
	int first, last; /* nodes that use it: -1 if the host writes it before, n_nodes if it reads it after */
	int writers;	 /* how many nodes */
	int writer;	 /* one of them; -1: none */
	bool arena;	 /* used, and not fixed */
	bool rows;	 /* one tensor, of whole rows, written by one node at most */
};

struct layout {
	struct weir_layout_tensor *tensors;
	size_t n_tensors;
	struct weir_layout_node *nodes;
	int n_nodes;
	const struct weir_layout_settings *settings;
	struct layout_storage *storage; /* by tensor; only those that are their own storage count */
	int *root;			/* by tensor: its storage, followed to the end */
};

/*
 * Bytes of a tensor in use while a chain runs, one number a step from step `from` on: of a chain's output those before
 * bytes[] are written; of an input those before bytes[] are needed no more.
 */
struct layout_window {
	int from, to; /* steps, inclusive; to < from: none */
	size_t *bytes;
};

/* One candidate: an order of steps, and what follows from it. */
struct layout_plan {
	struct weir_layout_chain *parts; /* the list of nodes cut up: chains, and single whole nodes with strip 0 */
	size_t n_parts;
	struct weir_layout_step *steps;
	size_t n_steps, max_steps;
	/* By tensor: */
	int *first, *last; /* steps */
	int *ring;
	size_t *at;
	struct layout_window *grows, *shrinks;
	bool *columns; /* by node */
	size_t arena;
};

static inline struct layout_storage *layout_storage(const struct layout *l, int tensor)
{
	return &l->storage[l->root[tensor]];
}

/* Whether out may be in the place of input tensor `in` of the node, which runs whole. */
bool layout_may_stand(const struct layout *l, int node, int in);
/* The distance that node's output keeps below its input when it overlays it, INT64_MAX: it may not. */
int64_t layout_overlay_gap(const struct layout *l, int node);

/* ---- layout_place.c ---- */

/*
 * Steps and addresses for plan->parts, which the plan takes over; an arena of goal bytes is small enough.
 * 0 or -errno; the plan is to be freed either way.
 */
int layout_plan_make(const struct layout *l, struct layout_plan *plan, struct weir_layout_chain *parts,
	size_t n_parts, size_t goal);
/* Gives up overlays that are not needed for an arena of `most` bytes, or as large as it is; says what runs by columns. */
int layout_plan_finish(const struct layout *l, struct layout_plan *plan, size_t most);
void layout_plan_free(const struct layout *l, struct layout_plan *plan);
/* Adds a step, and the memory that it touches to what is alive. */
int layout_plan_step(const struct layout *l, struct layout_plan *plan, int node, int first, int rows);

/* ---- layout_stream.c ---- */

/* The rows of a node's input, or second input, that rows [0, rows) of it need, from the first to before the last. */
int layout_rows_needed(const struct layout *l, int node, int input, int rows);

/* What a chain needs while it runs, apart from what lives across it. */
struct layout_stream_cost {
	size_t rings;
	int64_t gap; /* of its output below the input tensor `over`, as for the planner */
	int over;    /* -1: below none */
};
/* Plays the first strips of a chain; the rest goes on alike. */
int layout_stream_measure(const struct layout *l, const struct weir_layout_chain *chain, struct layout_stream_cost *out);
/* Adds its steps, rings and windows to the plan. */
int layout_stream_plan(const struct layout *l, const struct weir_layout_chain *chain, struct layout_plan *plan);
/* Whether the node may be in a chain at all, and may have others of the chain behind it that read its output. */
bool layout_can_stream(const struct layout *l, int node);
bool layout_can_ring(const struct layout *l, int node);

/* ---- layout_search.c ---- */

/* The plan that takes the least time within the budget, or the smallest. -ENOSPC with a sentence. */
int layout_search(const struct layout *l, struct layout_plan *out);

#endif
