/* SPDX-License-Identifier: MIT */
/* Convolutional networks from their table of ops (cnn.clh). CNN_MASK has a bit for each kind that is to be compiled. */
#pragma OPENCL FP_CONTRACT OFF

#include "cnn.clh"
#include "cnn_memory.clh"
#include "cnn_fixed.clh"
#include "ticket.clh"
/* Every kind and its function. */
#define CNN_ALL(X) \
	X(CNN_CONV_I8, cnn_conv_i8) \
	X(CNN_DEPTHWISE_I8, cnn_depthwise_i8) \
	X(CNN_AVERAGE_I8, cnn_average_i8) \
	X(CNN_MAX_I8, cnn_max_i8) \
	X(CNN_MEAN_I8, cnn_mean_i8) \
	X(CNN_SOFTMAX_I8, cnn_softmax_i8) \
	X(CNN_ADD_I8, cnn_add_i8) \
	X(CNN_MUL_I8, cnn_mul_i8) \
	X(CNN_TABLE_I8, cnn_table_i8) \
	X(CNN_QUANTIZE, cnn_quantize) \
	X(CNN_DEQUANTIZE, cnn_dequantize) \
	X(CNN_UNARY_F32, cnn_unary_f32) \
	X(CNN_COPY, cnn_copy) \
	X(CNN_FILL, cnn_fill) \
	X(CNN_NEAREST, cnn_nearest) \
	X(CNN_BILINEAR_I8, cnn_bilinear_i8) \
	X(CNN_BILINEAR_F32, cnn_bilinear_f32) \
	X(CNN_CONV_F32, cnn_conv_f32) \
	X(CNN_DEPTHWISE_F32, cnn_depthwise_f32) \
	X(CNN_AVERAGE_F32, cnn_average_f32) \
	X(CNN_MAX_F32, cnn_max_f32) \
	X(CNN_MEAN_F32, cnn_mean_f32) \
	X(CNN_SOFTMAX_F32, cnn_softmax_f32) \
	X(CNN_BINARY_F32, cnn_binary_f32)

/* Functions that stay apart: inlined into one they take compilers twice as long. */
#define CNN_DECLARE(kind, function)                                                                \
	static void function(struct cnn_memory m, global const struct cnn_op *op, int row, int rows, int part) \
		__attribute__((noinline));
CNN_ALL(CNN_DECLARE)

#include "cnn_conv.clh"
#include "cnn_depthwise.clh"
#include "cnn_pool.clh"
#include "cnn_reduce.clh"
#include "cnn_binary.clh"
#include "cnn_unary.clh"
#include "cnn_move.clh"
#include "cnn_resize.clh"
#include "cnn_float.clh"

#define CNN_CASE(kind, function)                                                                   \
	case kind:                                                                                 \
		if ((CNN_MASK >> (kind)) & 1)                                                      \
			function(m, op, row, rows, part);                                          \
		break;

static void cnn_unit(struct cnn_memory m, global const struct cnn_op *op, int row, int rows, int part)
{
	switch (op->kind) {
		CNN_ALL(CNN_CASE)
	}
}

static inline int cnn_unit_count(global const struct cnn_op *op, int rows)
{
	return op->flags & CNN_COLUMNS ? op->parts : op->parts * rows;
}

/* A part of a step's units: the i-th of n. */
static inline void cnn_part(struct cnn_memory m, global const struct cnn_op *ops, struct cnn_step s, int i, int n)
{
	global const struct cnn_op *op = ops + s.op;
	int units = cnn_unit_count(op, s.rows), columns = op->flags & CNN_COLUMNS;
	int u = (int)((long)units * i / n), to = (int)((long)units * (i + 1) / n);

	for (; u < to; u++)
		cnn_unit(m, op, columns ? s.first : s.first + u / op->parts, columns ? s.rows : 1,
			columns ? u : u % op->parts);
}

#ifdef WEIR_CPU
#define CNN_KERNEL kernel __attribute__((reqd_work_group_size(1, 1, 1)))
#else
#define CNN_KERNEL kernel
#endif

/*
 * Steps [0, n_steps), which have so many chunks together. A single one is a launch in a chain: its units go evenly over all
 * work-items. More are for devices whose work-groups each have one work-item. There is one call of cnn_part, since every
 * call is a copy of all kinds' code to compile.
 */
CNN_KERNEL void cnn_run(global char *arena, global char *consts, global char *bound0, global char *bound1,
	global char *bound2, global char *bound3, global const struct cnn_op *ops,
	global const struct cnn_step *steps, int first, int n_steps, int chunks, volatile global int *control)
{
	struct cnn_memory m = CNN_MEMORY_INIT;
	int i = (int)get_global_id(0), n = (int)get_global_size(0), step = first;

	for (;;) {
		if (n_steps > 1) {
			int ticket = weir_ticket_next(control), taken;

			if (ticket >= chunks)
				break;
			while (step + 1 < n_steps && steps[step + 1].ticket <= ticket)
				step++;
			taken = weir_ticket_take(control, ticket, steps[step].ticket);
			if (taken < 0)
				break;
			if (!taken)
				continue;
			i = ticket - steps[step].ticket;
			n = steps[step].chunks;
		}
		cnn_part(m, ops, steps[step], i, n);
		if (n_steps == 1)
			return;
		weir_ticket_done(control);
	}
	weir_ticket_leave(control);
}
