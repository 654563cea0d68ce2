/* SPDX-License-Identifier: MIT */
/*
 * checkcl: every kernel against its plain C reference, over many shapes, on inputs chosen to overflow; prints the
 * parameters that fail, and times.
 *     checkcl [--device D] [--tier T] [--schedule S] [--provider P] [--threads N] [--bench] [--quick] [--chain] [--seed N]
 *             [--without NAME]... [FILTER]
 */
#ifndef WEIR_CHECKCL_H
#define WEIR_CHECKCL_H

#include "graph/ops.h"

struct checkcl {
	weir_device *dev;
	bool bench, quick; /* quick: few small shapes, for slow interpreters */
	bool chain;	   /* networks by a launch a step alone: race detectors do not see what orders steps in one */
	uint64_t seed;	   /* advanced by checkcl_random */
	unsigned checks, failures;
};

struct checkcl_row {
	const char *name;
	void (*run)(struct checkcl *c);
};

/* Tables of rows, one a family, ended by a NULL name. */
extern const struct checkcl_row checkcl_matmul[], checkcl_act[], checkcl_attention[], checkcl_calib[];
extern const struct checkcl_row checkcl_cnn_conv[], checkcl_cnn_act[], checkcl_cnn_each[], checkcl_cnn_move[],
	checkcl_cnn_resize[], checkcl_cnn_float[];

uint32_t checkcl_random(struct checkcl *c);
float checkcl_uniform(struct checkcl *c, float lo, float hi);

/*
 * Counts a check; prints "FAIL params: ..." with the first wrong index when |got - want| > abs + rel * |want|
 * anywhere, or either is not finite.
 */
void checkcl_compare(struct checkcl *c, const char *params, const float *got, const float *want, size_t n,
	float abs, float rel);

/* The same with a bound of its own for each value: |got[i] - want[i]| > bound[i] is wrong. */
void checkcl_compare_bounds(struct checkcl *c, const char *params, const float *got, const float *want,
	const float *bound, size_t n);

/* Counts a check that failed, and prints it with its reason. */
void checkcl_fail(struct checkcl *c, const char *params, const char *what);

/* Plans a graph; NULL when that failed, which counts as a failed check. */
struct weir_plan *checkcl_plan(struct checkcl *c, const char *params, struct weir_graph *g);

/* Runs a plan once and waits; false when that failed, which counts as a failed check. */
bool checkcl_run(struct checkcl *c, const char *params, struct weir_plan *plan, unsigned tokens);

/* Runs a plan as often as gives a steady figure and prints params, us a run, GB/s and GOPS; only with --bench. */
void checkcl_time(struct checkcl *c, const char *params, struct weir_plan *plan, unsigned tokens,
	double bytes, double ops);

/* Copies into and out of a tensor of a planned graph. */
void checkcl_put(struct weir_tensor *t, const void *data, size_t size);
void checkcl_get(struct weir_tensor *t, void *data, size_t size);

/* Step tensors for a graph of this width, bound in a buffer of their own; checkcl_step_done frees it after the graph. */
struct checkcl_step {
	struct weir_step_tensors t;
	struct weir_buffer *buffer;
};
void checkcl_step_make(struct checkcl *c, struct weir_graph *g, unsigned width, unsigned n_rot,
	struct checkcl_step *out);
void checkcl_step_done(struct checkcl_step *s);

#endif
