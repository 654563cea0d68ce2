/* SPDX-License-Identifier: MIT */
/*
 * A process that computes on the NPU without end and checks every result: what others do must never reach it.
 */
#ifndef WEIR_TESTS_DRM_VICTIM_H
#define WEIR_TESTS_DRM_VICTIM_H

#include <stdint.h>
#include <sys/types.h>

struct victim {
	pid_t pid;
	volatile uint64_t *rounds, *wrong; /* shared: what it did, and how often it was disturbed */
};

void victim_start(struct victim *v);

/* Waits until it did n more rounds without harm; fails the case after ms. */
void victim_must_go_on(struct victim *v, uint64_t n, int ms);
void victim_stop(struct victim *v);

#endif
