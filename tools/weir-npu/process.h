/* SPDX-License-Identifier: MIT */
/*
 * A worker process as main sees it: commands go out in order and without waiting for replies,
 * replies are matched with what was asked, and a worker that is late or says something else is
 * killed.
 */
#ifndef WEIR_NPU_PROCESS_H
#define WEIR_NPU_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "worker.h"

/*
 * Setting up OpenCL takes its time on a busy machine: WORKER_LATE_MS holds from the first reply on.
 * A queue that is to end while a packet of it executes gets this long: then the packet goes with
 * the process.
 */
#define PROCESS_START_MS 30000
#define PROCESS_END_MS 300

#define PROCESS_WINDOW 64 /* commands sent and not replied to */

struct process_item {
	struct worker_command command;
	int fds[2]; /* main's own: open until sent, or the process is killed first */
};

struct process {
	unsigned ctx; /* for the log */
	int pid;
	int socket;
	struct worker_shared *shared;
	/* To send: items[first] to items[count - 1]. */
	struct process_item *items;
	size_t first, count, capacity;
	/* Sent: a ring of what was not replied to. */
	struct {
		uint32_t op, queue;
	} sent[PROCESS_WINDOW];
	unsigned sent_first, sent_count;
	int64_t since;	  /* the reply to sent[sent_first] is waited for, in ms */
	int64_t deadline; /* when to look at it again, in ms; INT64_MAX: never */
	int error;	  /* -errno: the first command since process_begin() that failed */
	bool started;	  /* has replied */
	bool kick;	  /* a kick is owed */
	bool irq;	  /* the eventfd is to be sent */
	int irq_fd;	  /* main's; -1: none */
	bool irq_changed; /* the worker took a new eventfd: what it raised on the old one may be
			     lost */
};

/* Forks a worker. NULL with a line in the log. */
struct process *process_start(unsigned ctx, const struct worker_settings *settings, int irq_fd);
/*
 * Kills the worker if it lives, waits until it is gone, and frees p; last gets its shared page.
 * NULL is nothing.
 */
void process_end(struct process *p, struct worker_shared *last);

/* A row of commands begins whose first error p->error will hold. */
void process_begin(struct process *p);
/* Puts a command at the end; fds: two, -1 for none. 0 or -ENOMEM. */
int process_post(struct process *p, const struct worker_command *command, int fd0, int fd1);
void process_kick(struct process *p);
void process_set_irq(struct process *p, int fd);

/*
 * Sends and receives what can be. 0, or -errno with a line in the log: the worker is gone or must
 * go.
 */
int process_serve(struct process *p, int64_t now);
/* Commands of rows are still under way; PAUSE is none. */
bool process_busy(const struct process *p);
/* PAUSE is under way. */
bool process_pausing(const struct process *p);
/* What to poll its socket for. */
short process_events(const struct process *p);
/* Serves it until it is not busy, at most limit_ms. 0 or -errno. */
int process_wait(struct process *p, int limit_ms);

/* CLOCK_MONOTONIC in ms. */
int64_t clock_ms(void);

#endif
