/* SPDX-License-Identifier: MIT */
/*
 * The executing thread: polls doorbells while there is work and for a while after it, sleeps else,
 * and gives the queues turns by priority.
 */
#include <errno.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>

#include "queue.h"

/*
 * Right after work it spins, which costs a core; then it naps between looks, the longer the quieter
 * it has been: 50 us cost 13 percent of a core of the machine where this was measured, 200 us cost
 * 6. A WAIT is looked at each millisecond when nothing else happened for long.
 */
#define SPIN_NS 100000u
#define NAP_NS 50000u
#define NAP_MOST_NS 200000u
#define NAP_WAIT_NS 1000000u

/* Every YIELD-th time whoever waits for this core gets it: that can be the one who rings. */
#define YIELD 16

static void relax(void)
{
	static unsigned times;

	if (++times % YIELD == 0)
		sched_yield();
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* ---- choosing -------------------------------------------------------------- */

/*
 * The ready queue that got least, by weight; among equals the one after the last. Called with the
 * lock. One that comes back from idleness has no claim on the past.
 */
static struct npu_queue *choose(struct worker *w)
{
	struct npu_queue *best = NULL;
	unsigned at = 0;

	for (unsigned i = 1; i <= w->n_queues; i++) {
		unsigned index = (w->last + i) % w->n_queues;
		struct npu_queue *q = w->queues[index];

		if (!queue_ready(w, q))
			continue;
		if (q->spent < w->clock)
			q->spent = w->clock;
		if (!best || q->spent < best->spent) {
			best = q;
			at = index;
		}
	}
	if (best) {
		w->last = at;
		w->clock = best->spent;
		best->busy = true;
	}
	return best;
}

static void take_turn(struct worker *w, struct npu_queue *q)
{
	uint64_t begin = queue_now();

	__atomic_store_n(&w->current, q, __ATOMIC_RELEASE);
	__atomic_store_n(&w->shared->executing, (int32_t)q->id, __ATOMIC_RELEASE);
	queue_turn(w, q);
	__atomic_store_n(&w->shared->executing, -1, __ATOMIC_RELEASE);
	__atomic_store_n(&w->current, NULL, __ATOMIC_RELEASE);
	__atomic_store_n(
		&w->shared->busy_ns, w->shared->busy_ns + queue_now() - begin, __ATOMIC_RELAXED);
}

/* ---- sleeping -------------------------------------------------------------- */

static bool any_ready(struct worker *w)
{
	for (unsigned i = 0; i < w->n_queues; i++) {
		if (queue_ready(w, w->queues[i]))
			return true;
	}
	return false;
}

static bool any_waits(struct worker *w)
{
	for (unsigned i = 0; i < w->n_queues; i++) {
		if (w->queues[i]->waiting && !w->queues[i]->dead)
			return true;
	}
	return false;
}

static void set_need_kick(struct worker *w, uint32_t value)
{
	for (unsigned i = 0; i < w->n_queues; i++)
		__atomic_store_n(&w->queues[i]->status->need_kick, value, __ATOMIC_RELAXED);
}

/* With the lock. Says that it sleeps, looks once more, and sleeps until something is said. */
static void sleep_until_kick(struct worker *w)
{
	set_need_kick(w, 1);
	/* The process writes its doorbell, then looks at need_kick: one of both sees the other. */
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (!any_ready(w) && !w->kicked && !w->quit) {
		__atomic_store_n(&w->shared->awake, 0, __ATOMIC_RELAXED);
		w->shared->sleeps++;
		while (!w->kicked && !w->quit)
			pthread_cond_wait(&w->wake, &w->lock);
		__atomic_store_n(&w->shared->awake, 1, __ATOMIC_RELAXED);
	}
	set_need_kick(w, 0);
}

/* How long it may miss a doorbell: a fraction of the time that there was none. */
static uint64_t nap_length(uint64_t quiet)
{
	uint64_t ns = quiet / 16;

	if (ns < NAP_NS)
		return NAP_NS;
	return ns > NAP_MOST_NS ? NAP_MOST_NS : ns;
}

static void nap(uint64_t ns)
{
	struct timespec t = {0, (long)ns};

	nanosleep(&t, NULL);
}

/*
 * Nothing was ready; with the lock, which it gives up while it naps. The time of the last work,
 * or of a kick.
 */
static uint64_t idle(struct worker *w, uint64_t last)
{
	uint64_t quiet = queue_now() - last;
	bool late = quiet > (uint64_t)w->settings.awake_ms * 1000000;

	if (quiet > SPIN_NS && late && !any_waits(w)) {
		sleep_until_kick(w);
		w->kicked = false;
		return queue_now();
	}
	pthread_mutex_unlock(&w->lock);
	if (quiet < SPIN_NS)
		relax();
	else
		nap(late ? NAP_WAIT_NS : nap_length(quiet));
	pthread_mutex_lock(&w->lock);
	if (w->kicked) {
		w->kicked = false;
		last = queue_now();
	}
	return last;
}

void *schedule_run(void *worker)
{
	struct worker *w = worker;
	uint64_t last = queue_now();
	struct npu_queue *q;

	/* Naps would take 50 us longer else. */
	prctl(PR_SET_TIMERSLACK, 1);
	__atomic_store_n(&w->shared->awake, 1, __ATOMIC_RELAXED);
	pthread_mutex_lock(&w->lock);
	while (!w->quit) {
		if (w->paused) {
			pthread_cond_wait(&w->wake, &w->lock);
			continue;
		}
		q = choose(w);
		if (!q) {
			last = idle(w, last);
			continue;
		}
		pthread_mutex_unlock(&w->lock);
		take_turn(w, q);
		last = queue_now();
		pthread_mutex_lock(&w->lock);
		q->busy = false;
		if (q->ending || w->paused)
			pthread_cond_broadcast(&w->left);
	}
	pthread_mutex_unlock(&w->lock);
	return NULL;
}

/* ---- the control thread's side ----------------------------------------------- */

static struct npu_queue **find(struct worker *w, uint32_t id)
{
	for (unsigned i = 0; i < w->n_queues; i++) {
		if (w->queues[i]->id == id)
			return &w->queues[i];
	}
	return NULL;
}

int schedule_add(struct worker *w, struct npu_queue *q)
{
	int err = 0;

	pthread_mutex_lock(&w->lock);
	if (find(w, q->id))
		err = -EEXIST;
	else if (w->n_queues == WORKER_QUEUES)
		err = -ENOSPC;
	else
		w->queues[w->n_queues++] = q;
	w->kicked = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
	return err;
}

struct npu_queue *schedule_remove(struct worker *w, uint32_t id)
{
	struct npu_queue **at, *q = NULL;

	pthread_mutex_lock(&w->lock);
	at = find(w, id);
	if (at) {
		q = *at;
		__atomic_store_n(&q->ending, true, __ATOMIC_RELAXED);
		while (q->busy)
			pthread_cond_wait(&w->left, &w->lock);
		/* The lock was given up, but nobody else removes. */
		*at = w->queues[--w->n_queues];
	}
	pthread_mutex_unlock(&w->lock);
	return q;
}

void schedule_kick(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->kicked = true;
	w->shared->kicks++;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}

void schedule_pause(struct worker *w)
{
	bool busy;

	pthread_mutex_lock(&w->lock);
	/* Who sleeps goes on sleeping: need_kick is the driver's to write while the device stands
	 * still. */
	w->paused = true;
	do {
		busy = false;
		for (unsigned i = 0; i < w->n_queues; i++)
			busy |= w->queues[i]->busy;
		if (busy)
			pthread_cond_wait(&w->left, &w->lock);
	} while (busy);
	pthread_mutex_unlock(&w->lock);
}

void schedule_resume(struct worker *w)
{
	pthread_mutex_lock(&w->lock);
	w->paused = false;
	w->kicked = true;
	pthread_cond_signal(&w->wake);
	pthread_mutex_unlock(&w->lock);
}
