/* SPDX-License-Identifier: MIT */
/*
 * A context's table as main keeps it: the buffers of the context, and the bytes of guest memory
 * that they are.
 */
#ifndef WEIR_NPU_TABLE_H
#define WEIR_NPU_TABLE_H

#include "memory.h"
#include "process.h"

#define TABLE_ENTRIES 4096
/*
 * Runs of one file in a row, each a mapping of the worker: vm.max_map_count is 65530 by default, of
 * which TABLE_ENTRIES go to gaps between buffers and some hundreds to the worker itself.
 */
#define TABLE_MAX_RUNS 58000
/* Pieces of a context before they are merged: 8 GiB behind an IOMMU that maps 4 KiB a time. */
#define TABLE_MAX_PIECES (1u << 21)

struct table_entry {
	uint64_t addr, size; /* device address */
	uint32_t prot;
	size_t count, runs;
	struct memory_piece *pieces; /* NULL: the entry is not valid */
};

struct table {
	uint32_t count;
	size_t runs, pieces; /* of all entries */
	struct table_entry *entries;
};

/* count: 1 to TABLE_ENTRIES. 0 or -ENOMEM. */
int table_init(struct table *t, uint32_t count);
/* Releases every piece. */
void table_fini(struct table *t, struct memory *m);

/*
 * Reads entries [first, first + count) from the bus address addr of the whole table; they must have
 * been dropped. At the first one that is wrong it stops: those before it stand, it and the others
 * are not valid.
 */
enum weir_npu_result table_read(
	struct table *t, struct memory *m, uint64_t addr, uint32_t first, uint32_t count);
void table_drop(struct table *t, struct memory *m, uint32_t first, uint32_t count);

/* Posts what makes the worker's address space agree. 0 or -ENOMEM. */
int table_post_map(const struct table *t, uint32_t first, uint32_t count, struct process *p);
int table_post_unmap(const struct table *t, uint32_t first, uint32_t count, struct process *p);

/* Whether all of [addr, addr + size) lies in valid entries that can be read. */
bool table_covers(const struct table *t, uint64_t addr, uint64_t size);
/* Whether entry i has a piece in the bus addresses [addr, last]. */
bool table_touches(const struct table *t, uint32_t i, uint64_t addr, uint64_t last);

#endif
