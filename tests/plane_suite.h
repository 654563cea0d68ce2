/* SPDX-License-Identifier: MIT */
/* What the suites of planes share: memory, random numbers, a float's bits. */
#ifndef WEIR_TESTS_PLANE_SUITE_H
#define WEIR_TESTS_PLANE_SUITE_H

#include "suite.h"

static inline void *allocate(size_t size)
{
	void *p = malloc(size);

	ck_assert_ptr_nonnull(p);
	return p;
}

/* splitmix64 (Steele, Lea, Flood 2014). */
static uint64_t seed;
static inline uint64_t next_random(void)
{
	uint64_t z = seed += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

static inline uint32_t bits_of(float f)
{
	uint32_t u;

	memcpy(&u, &f, sizeof(u));
	return u;
}

#endif
