/* SPDX-License-Identifier: MIT */
/* What this machine can do at most, measured by plain C on as many threads as kernels have. */
#ifndef WEIR_BENCH_LIMITS_H
#define WEIR_BENCH_LIMITS_H

#include "device/device.h"

/* Threads that wait for work; the program ends when they cannot be had. */
struct limits;
struct limits *limits_create(unsigned threads);
void limits_destroy(struct limits *l);

/* Bytes a second of reading size bytes at p, once or as often as takes so many seconds. */
double limits_read(struct limits *l, const void *p, size_t size, double seconds);

/*
 * Operations (additions and multiplications) a second of a tier's dot product, four bytes a lane, in registers alone;
 * and of fused multiply-adds of floats. 0: none is known for this tier or machine.
 */
double limits_int8(struct limits *l, enum weir_tier tier, double seconds);
double limits_fma(struct limits *l, double seconds);

#endif
