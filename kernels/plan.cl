/* SPDX-License-Identifier: MIT */
/*
 * A plan whose kernels are functions of this one (runtime/device/fuse.c): run op by op as a chain of launches, or all of it by
 * one launch. The runtime puts the kernels before this file and defines
 *     PLAN_SPACES     how many buffers there are
 *     PLAN_POINTERS   them as parameters, and PLAN_LIST, as values
 *     PLAN_CASES      a case for each kind of op, that calls its kernel
 */
#include "fetch.clh"
#include "plan.clh"
#include "ticket.clh"

#define PLAN_AT(i) ((global void *)(space[op->arg[i].space] + (size_t)op->arg[i].value * WEIR_PLAN_UNIT))
#define PLAN_INT(i) (op->arg[i].value)
#define PLAN_FLOAT(i) as_float(op->arg[i].value)

/* Bytes that are fetched at most, and between looks whether the wait is over. */
#define PLAN_AHEAD 32768
#define PLAN_LOOK 512

/* While the ops before still run the memory rests: it can bring the weights that a chunk will begin with. */
static inline void plan_fetch(global const char *at, long units, int part, int parts, volatile global int *control, int wait)
{
	long from = units * part / parts * WEIR_PLAN_UNIT, to = units * (part + 1) / parts * WEIR_PLAN_UNIT;

	to = min(to, from + PLAN_AHEAD);
	for (; from < to && control[WEIR_TICKET_DONE] < wait; from += PLAN_LOOK) {
#pragma unroll
		for (int i = 0; i < PLAN_LOOK; i += WEIR_PLAN_UNIT)
			weir_fetch(at + from + i);
	}
}

/* Ops [first, first + count) of the table, which have so many tickets together; one op without tickets: a launch of a chain. */
kernel __attribute__((reqd_work_group_size(1, 1, 1))) void weir_plan(PLAN_POINTERS,
	global const struct weir_plan_op *ops, volatile global int *control, int first, int count, int tickets)
{
	global char *space[PLAN_SPACES] = {PLAN_LIST};
	global const struct weir_plan_op *op = ops + first, *last = op + count - 1;
	int part = (int)get_group_id(0), parts = (int)get_num_groups(0);

	/* There is one call of each kernel, since every call is a copy of its code to compile. */
	for (;;) {
		if (tickets) {
			int ticket = weir_ticket_next(control), taken;

			if (ticket >= tickets)
				break;
			while (op < last && op[1].ticket <= ticket)
				op++;
			if (op->ahead)
				plan_fetch((global const char *)PLAN_AT(0), op->ahead, ticket - op->ticket, op->chunks, control, op->wait);
			taken = weir_ticket_take(control, ticket, op->wait);
			if (taken < 0)
				break;
			if (!taken)
				continue;
			part = ticket - op->ticket;
			parts = op->chunks;
		}
		switch (op->kind) {
			PLAN_CASES
		}
		if (!tickets)
			return;
		weir_ticket_done(control);
	}
	weir_ticket_leave(control);
}
