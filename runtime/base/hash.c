/* SPDX-License-Identifier: MIT */
/* A 128-bit key for caches: two FNV-1a runs (Fowler, Noll, Vo) from different offsets. */
#include "base/base.h"

#define FNV_PRIME 0x100000001b3ull
#define FNV_OFFSET 0xcbf29ce484222325ull

void weir_hash_init(struct weir_hash *h)
{
	h->lo = FNV_OFFSET;
	h->hi = ~FNV_OFFSET;
}

void weir_hash_add(struct weir_hash *h, const void *data, size_t size)
{
	const unsigned char *p = data;

	for (size_t i = 0; i < size; i++) {
		h->lo = (h->lo ^ p[i]) * FNV_PRIME;
		h->hi = (h->hi ^ p[i] ^ (h->lo >> 32)) * FNV_PRIME;
	}
}
