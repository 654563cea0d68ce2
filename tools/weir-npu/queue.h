/* SPDX-License-Identifier: MIT */
/* The queues of a worker, and the thread that executes them. */
#ifndef WEIR_NPU_QUEUE_H
#define WEIR_NPU_QUEUE_H

#include <pthread.h>
#include <time.h>

#include "exec.h"
#include "space.h"
#include "worker.h"

/*
 * Packets that are fetched at a time: their slots are free at once, and completed moves at least
 * so often.
 */
#define QUEUE_BATCH EXEC_PENDING

struct npu_queue {
	uint32_t id, queue_class, priority;
	uint64_t ring; /* device address */
	uint64_t size; /* packets */
	struct weir_npu_status *status;
	const struct weir_npu_control *control;
	const struct weir_npu_doorbell *doorbell;

	/* Of the executing thread. */
	uint64_t published; /* the doorbell's last count */
	uint64_t fetched;   /* read_index */
	uint64_t completed;
	unsigned at, n; /* batch[at .. n) is to be executed; batch[n - 1] is packet fetched - 1 */
	struct weir_npu_packet batch[QUEUE_BATCH];
	uint64_t launched[QUEUE_BATCH]; /* sequence numbers of the launches under way */
	unsigned n_launched;
	unsigned burst; /* launches that are enqueued before a finish: fewer when they are long */
	uint64_t turn_begin;
	bool waiting;	/* at a WAIT that is not satisfied */
	bool lost;	/* launches under way failed */
	bool dead;	/* its state is not ok */
	uint64_t spent; /* packets executed, weighed by priority */

	/* Under the worker's lock. */
	bool busy;   /* the executing thread is in it */
	bool ending; /* to be left as soon as what executes is done */
};

struct worker {
	struct worker_settings settings;
	struct worker_shared *shared;
	struct weir_npu_identity identity;
	struct space space;
	struct exec *exec;
	int irq;	   /* eventfd to raise: a number that stays */
	int no_irq;	   /* eventfd that nobody reads: irq is a copy of it while main gave none */
	bool irq_on;	   /* main gave one; atomic */
	uint64_t launches; /* of the context, for faults to a test's order */
	struct npu_queue *current; /* in execution; for the fault handlers */

	pthread_mutex_t lock;
	pthread_cond_t wake; /* the executing thread sleeps on it */
	pthread_cond_t left; /* a queue is no longer busy */
	struct npu_queue *queues[WORKER_QUEUES];
	unsigned n_queues;
	unsigned last;	/* index of the queue that had its turn last */
	uint64_t clock; /* spent of the queue that had its turn last */
	bool kicked, paused, quit;
};

static inline uint64_t queue_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

/* ---- queue.c: one queue, executing thread --------------------------------- */

/* Whether a turn would do something. */
bool queue_ready(struct worker *w, struct npu_queue *q);

/* Fetches and executes one batch at most. */
void queue_turn(struct worker *w, struct npu_queue *q);

/* Writes state, with why, and raises the interrupt: for the fault handlers, too. */
void queue_die(struct worker *w, struct npu_queue *q, int code, uint64_t seq, uint64_t addr);

/* Packet in execution, as far as launches' events tell. */
uint64_t queue_culprit(struct worker *w, struct npu_queue *q);

/* ---- schedule.c ------------------------------------------------------------ */

/* The executing thread: until quit. The argument is the worker. */
void *schedule_run(void *worker);

/* Control thread. A queue that is added is owned by the worker until it was removed. */
int schedule_add(struct worker *w, struct npu_queue *q);
struct npu_queue *schedule_remove(struct worker *w, uint32_t id); /* NULL: no such queue */
void schedule_kick(struct worker *w);
void schedule_pause(struct worker *w); /* returns when nothing executes */
void schedule_resume(struct worker *w);

#endif
