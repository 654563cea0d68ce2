/* SPDX-License-Identifier: MIT */
/*
 * Which of two ways of running the same thing is quicker, learnt while running. One launch whose work-groups spin for each other
 * beats a chain of launches while the cores are ours, and may lose when neighbours want them.
 */
#ifndef WEIR_DEVICE_PACE_H
#define WEIR_DEVICE_PACE_H

#include <stdbool.h>

struct weir_pace {
	unsigned runs;	   /* so far */
	unsigned probe;	   /* at this run the slower way is tried again */
	unsigned interval; /* runs between tries */
	unsigned tries;	   /* runs that the try at hand still has */
	double seconds[2]; /* of late, in a chain and whole; 0: none counted */
	double then;	   /* what the quicker one took when the last try ended */
	bool whole;	   /* is quicker */
};

/* Whether the next run should be whole. */
bool weir_pace_whole(const struct weir_pace *p);

/* A run is over: whole or not (as asked for), and the seconds that it took; 0: they say nothing (its plan was made, say). */
void weir_pace_count(struct weir_pace *p, bool whole, double seconds);

#endif
