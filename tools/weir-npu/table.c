/* SPDX-License-Identifier: MIT */
/*
 * Context tables: read from guest memory, checked, resolved to pieces of files, and turned into
 * commands to the worker.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "table.h"

#define CHUNK 128 /* entries or segments read at a time */

int table_init(struct table *t, uint32_t count)
{
	memset(t, 0, sizeof(*t));
	t->entries = calloc(count, sizeof(*t->entries));
	if (!t->entries)
		return -ENOMEM;
	t->count = count;
	return 0;
}

void table_fini(struct table *t, struct memory *m)
{
	table_drop(t, m, 0, t->count);
	free(t->entries);
	memset(t, 0, sizeof(*t));
}

static void entry_drop(struct table_entry *e, struct memory *m)
{
	for (size_t i = 0; i < e->count; i++)
		memory_release(m, &e->pieces[i]);
	free(e->pieces);
	memset(e, 0, sizeof(*e));
}

void table_drop(struct table *t, struct memory *m, uint32_t first, uint32_t count)
{
	for (uint32_t i = first; i < first + count; i++) {
		t->runs -= t->entries[i].runs;
		t->pieces -= t->entries[i].count;
		entry_drop(&t->entries[i], m);
	}
}

/* Whether piece i goes on in the file where the one before it ended. */
static bool goes_on(const struct table_entry *e, size_t i)
{
	const struct memory_piece *a = &e->pieces[i - 1], *b = &e->pieces[i];

	return a->file == b->file && a->offset + a->size == b->offset;
}

static int add_piece(struct table_entry *e, const struct memory_piece *piece)
{
	/* The count is a power of two: the array is full. */
	if (!(e->count & (e->count - 1))) {
		size_t capacity = e->count ? e->count * 2 : 1;
		struct memory_piece *pieces = realloc(e->pieces, capacity * sizeof(*pieces));

		if (!pieces)
			return -ENOMEM;
		e->pieces = pieces;
	}
	e->pieces[e->count++] = *piece;
	if (e->count == 1 || !goes_on(e, e->count - 1))
		e->runs++;
	return 0;
}

static enum weir_npu_result add_segment(const struct table *t, struct table_entry *e,
	struct memory *m, const struct weir_npu_segment *s)
{
	for (uint64_t done = 0; done < s->size;) {
		struct memory_piece piece;

		if (t->pieces + e->count >= TABLE_MAX_PIECES || t->runs + e->runs >= TABLE_MAX_RUNS)
			return WEIR_NPU_RESULT_RESOURCE;
		if (memory_use(m, s->addr + done, s->size - done, e->prot, &piece))
			return WEIR_NPU_RESULT_ADDRESS;
		if (add_piece(e, &piece)) {
			memory_release(m, &piece);
			return WEIR_NPU_RESULT_RESOURCE;
		}
		done += piece.size;
	}
	return WEIR_NPU_RESULT_OK;
}

static enum weir_npu_result add_segments(const struct table *t, struct table_entry *e,
	struct memory *m, const struct weir_npu_entry *raw)
{
	struct weir_npu_segment chunk[CHUNK];
	uint64_t left = raw->size;

	for (uint32_t i = 0; i < raw->count; i++) {
		const struct weir_npu_segment *s = &chunk[i % CHUNK];
		enum weir_npu_result r;

		if (i % CHUNK == 0) {
			uint32_t n = raw->count - i < CHUNK ? raw->count - i : CHUNK;

			if (memory_read(m, raw->segments + (uint64_t)i * sizeof(*s), chunk,
				    n * sizeof(*s)))
				return WEIR_NPU_RESULT_ADDRESS;
		}
		if (!s->size || (s->addr | s->size) % WEIR_NPU_PAGE || s->size > left)
			return WEIR_NPU_RESULT_COMMAND;
		if (s->size - 1 > UINT64_MAX - s->addr)
			return WEIR_NPU_RESULT_ADDRESS;
		r = add_segment(t, e, m, s);
		if (r)
			return r;
		left -= s->size;
	}
	return left ? WEIR_NPU_RESULT_COMMAND : WEIR_NPU_RESULT_OK;
}

static bool overlaps(const struct table *t, const struct weir_npu_entry *raw)
{
	for (uint32_t i = 0; i < t->count; i++) {
		const struct table_entry *e = &t->entries[i];

		if (e->pieces && raw->addr < e->addr + e->size && e->addr < raw->addr + raw->size)
			return true;
	}
	return false;
}

static enum weir_npu_result entry_read(
	struct table *t, struct memory *m, uint32_t i, const struct weir_npu_entry *raw)
{
	const uint32_t known = WEIR_NPU_ENTRY_VALID | WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_WRITE;
	const uint64_t end = 1ull << WORKER_ADDR_BITS;
	struct table_entry e = {.addr = raw->addr, .size = raw->size};
	enum weir_npu_result r;

	if (!(raw->flags & WEIR_NPU_ENTRY_VALID))
		return WEIR_NPU_RESULT_OK;
	if ((raw->flags & ~known) || !(raw->flags & (WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_WRITE)) ||
		!raw->size || (raw->addr | raw->size) % WEIR_NPU_PAGE || raw->addr >= end ||
		raw->size > end - raw->addr || !raw->count ||
		raw->count > raw->size / WEIR_NPU_PAGE || overlaps(t, raw))
		return WEIR_NPU_RESULT_COMMAND;
	/* segments + count * 16 must not wrap. */
	if (raw->segments > UINT64_MAX - (uint64_t)raw->count * sizeof(struct weir_npu_segment))
		return WEIR_NPU_RESULT_ADDRESS;
	e.prot = (raw->flags & WEIR_NPU_ENTRY_READ ? PROT_READ : 0) |
		 (raw->flags & WEIR_NPU_ENTRY_WRITE ? PROT_WRITE : 0);
	r = add_segments(t, &e, m, raw);
	if (r) {
		entry_drop(&e, m);
		return r;
	}
	t->entries[i] = e;
	t->runs += e.runs;
	t->pieces += e.count;
	return WEIR_NPU_RESULT_OK;
}

enum weir_npu_result table_read(
	struct table *t, struct memory *m, uint64_t addr, uint32_t first, uint32_t count)
{
	struct weir_npu_entry chunk[CHUNK];

	for (uint32_t i = 0; i < count; i++) {
		enum weir_npu_result r;

		if (i % CHUNK == 0) {
			uint32_t n = count - i < CHUNK ? count - i : CHUNK;

			if (memory_read(m, addr + (uint64_t)(first + i) * sizeof(*chunk), chunk,
				    n * sizeof(*chunk)))
				return WEIR_NPU_RESULT_ADDRESS;
		}
		r = entry_read(t, m, first + i, &chunk[i % CHUNK]);
		if (r)
			return r;
	}
	return WEIR_NPU_RESULT_OK;
}

static int entry_post_map(const struct table_entry *e, struct process *p)
{
	struct worker_command c = {.op = WORKER_MAP, .addr = e->addr, .prot = e->prot};

	for (size_t i = 0; i < e->count;) {
		int fd = e->pieces[i].file->fd, err;

		c.offset = e->pieces[i].offset;
		c.size = e->pieces[i].size;
		while (++i < e->count && goes_on(e, i))
			c.size += e->pieces[i].size;
		err = process_post(p, &c, fd, -1);
		if (err)
			return err;
		c.addr += c.size;
	}
	return 0;
}

int table_post_map(const struct table *t, uint32_t first, uint32_t count, struct process *p)
{
	for (uint32_t i = first; i < first + count; i++) {
		int err = entry_post_map(&t->entries[i], p);

		if (err)
			return err;
	}
	return 0;
}

int table_post_unmap(const struct table *t, uint32_t first, uint32_t count, struct process *p)
{
	for (uint32_t i = first; i < first + count; i++) {
		const struct table_entry *e = &t->entries[i];
		struct worker_command c = {.op = WORKER_UNMAP, .addr = e->addr, .size = e->size};
		int err = e->pieces ? process_post(p, &c, -1, -1) : 0;

		if (err)
			return err;
	}
	return 0;
}

bool table_covers(const struct table *t, uint64_t addr, uint64_t size)
{
	uint64_t end;

	if (size > UINT64_MAX - addr)
		return false;
	for (end = addr + size; addr < end;) {
		uint64_t next = addr;

		for (uint32_t i = 0; i < t->count && next == addr; i++) {
			const struct table_entry *e = &t->entries[i];

			if (e->pieces && (e->prot & PROT_READ) && addr >= e->addr &&
				addr - e->addr < e->size)
				next = e->addr + e->size;
		}
		if (next == addr)
			return false;
		addr = next;
	}
	return true;
}

bool table_touches(const struct table *t, uint32_t i, uint64_t addr, uint64_t last)
{
	const struct table_entry *e = &t->entries[i];

	for (size_t k = 0; k < e->count; k++) {
		const struct memory_piece *p = &e->pieces[k];

		if (p->addr <= last && p->addr + (p->size - 1) >= addr)
			return true;
	}
	return false;
}
