/* SPDX-License-Identifier: MIT */
/*
 * Guest memory as weir-npu's main process sees it: which bus addresses the client mapped, and to
 * what bytes of which file. Main reads and writes it by pread and pwrite: a client that shrinks its
 * file gets an error instead of killing main by SIGBUS, and the few bytes that main needs
 * (commands, tables) are not worth a mapping.
 */
#ifndef WEIR_NPU_MEMORY_H
#define WEIR_NPU_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define MEMORY_MAX_MAPS 65535
#define MEMORY_MAX_FILES 256

/* A file that the client passed, once or 60000 times: one fd stays open while maps refer to it. */
struct memory_file {
	dev_t dev;
	ino_t ino;
	int fd;
	bool writable;
	uint32_t maps;
	uint64_t size;
};

/* Bus addresses [addr, addr + size). */
struct memory_map {
	uint64_t addr, size;
	uint64_t offset;	  /* in the file */
	struct memory_file *file; /* NULL: the client passed none; the device cannot reach it */
	uint32_t prot;
	uint32_t uses; /* pieces of contexts that lie in it */
};

/*
 * Sorted maps without overlaps, in an array whose free slots stand where the last change was: an
 * IOMMU's maps come one beside the other, tens of thousands of them, and find the gap where they
 * belong.
 */
struct memory {
	struct memory_map *maps;
	size_t count, capacity;
	size_t gap; /* maps before the free slots */
	struct memory_file *files[MEMORY_MAX_FILES];
	bool enabled; /* bus mastering is on */
};

/* A run of bytes of one file: what a bus address and a size come to. */
struct memory_piece {
	uint64_t addr; /* bus */
	uint64_t size;
	uint64_t offset;
	struct memory_file *file;
};

void memory_init(struct memory *m);
/* Map number i of m->count. */
struct memory_map *memory_at(const struct memory *m, size_t i);
/* Forgets all maps and closes all files. */
void memory_clear(struct memory *m);

/*
 * Maps [addr, addr + size) to the file's bytes from offset on. fd stays the caller's; -1: memory
 * without a file. The same map again is no error. 0 or -errno.
 */
int memory_map(
	struct memory *m, uint64_t addr, uint64_t size, uint64_t offset, int fd, uint32_t prot);

/* Whether the range cuts a map in two (-EINVAL) or holds maps that contexts use (1); else 0. */
int memory_unmap_check(const struct memory *m, uint64_t addr, uint64_t last);
/*
 * Forgets the maps in [addr, last]; the caller checked, and gave up what used them. Says how many
 * there were.
 */
size_t memory_unmap(struct memory *m, uint64_t addr, uint64_t last);

/* 0, or -EFAULT when a byte of it cannot be reached. */
int memory_read(struct memory *m, uint64_t addr, void *to, size_t size);
int memory_write(struct memory *m, uint64_t addr, const void *from, size_t size);

/*
 * The piece that begins at addr: as much of size as one map has, with all of prot, counted as in
 * use until memory_release(). 0 or -EFAULT.
 */
int memory_use(
	struct memory *m, uint64_t addr, uint64_t size, uint32_t prot, struct memory_piece *out);
void memory_release(struct memory *m, const struct memory_piece *piece);

#endif
