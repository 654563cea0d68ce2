/* SPDX-License-Identifier: MIT */
/*
 * The address space of a context inside its worker: one reserved range of host addresses in which
 * device address a is base + a, and the table of what is mapped there. Kernels get pointers right
 * into it.
 */
#ifndef WEIR_NPU_SPACE_H
#define WEIR_NPU_SPACE_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Mapped device addresses [begin, end), with PROT_*; neighbours that are alike are one. */
struct space_range {
	uint64_t begin, end;
	int prot;
};

/* The control thread changes it, the executing thread asks it: both under the lock. */
struct space {
	char *base;
	pthread_mutex_t lock;
	struct space_range *ranges; /* ordered by begin */
	size_t count, room;
	uint64_t generation; /* moves when something is unmapped: what was checked before is to be
				checked again */
};

int space_init(struct space *s); /* 0 or -errno */
void space_free(struct space *s);

/* 0 or -errno. The fd can be closed then. */
int space_map(struct space *s, uint64_t addr, uint64_t size, int prot, int fd, uint64_t offset);
int space_unmap(struct space *s, uint64_t addr, uint64_t size);

/*
 * Whether all of [addr, addr + size) is mapped with prot at least; if not, *bad is the first
 * address that is not.
 */
bool space_check(struct space *s, uint64_t addr, uint64_t size, int prot, uint64_t *bad);

/*
 * Accesses that cannot meet an unmapping: short ones, under the lock. False when space_check()
 * would say no. The 64-bit ones are one load (acquire) and one store (release) of an aligned
 * address.
 */
bool space_read(struct space *s, uint64_t addr, void *to, uint64_t size, uint64_t *bad);
bool space_load64(struct space *s, uint64_t addr, uint64_t *value, uint64_t *bad);
bool space_store64(struct space *s, uint64_t addr, uint64_t value, uint64_t *bad);

/*
 * Whether a host address is one of the space or of the guards around it; *addr is the device
 * address then, below 0 modulo 2^64 in the first guard.
 */
bool space_holds(const struct space *s, const void *host, uint64_t *addr);

static inline void *space_pointer(const struct space *s, uint64_t addr)
{
	return s->base + addr;
}

#endif
