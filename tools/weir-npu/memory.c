/* SPDX-License-Identifier: MIT */
/* Guest memory: a sorted table of what the client mapped, and access to it. */
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "memory.h"
#include "worker.h"

void memory_init(struct memory *m)
{
	memset(m, 0, sizeof(*m));
}

struct memory_map *memory_at(const struct memory *m, size_t i)
{
	return &m->maps[i < m->gap ? i : i + (m->capacity - m->count)];
}

static void file_put(struct memory *m, struct memory_file *f)
{
	if (!f || --f->maps)
		return;
	for (size_t i = 0; i < MEMORY_MAX_FILES; i++) {
		if (m->files[i] == f)
			m->files[i] = NULL;
	}
	close(f->fd);
	free(f);
}

void memory_clear(struct memory *m)
{
	for (size_t i = 0; i < m->count; i++)
		file_put(m, memory_at(m, i)->file);
	free(m->maps);
	memory_init(m);
}

/* What weir-npu can use: a plain file whose 4096-byte pages can be mapped one by one. */
static int check_file(int fd, const struct stat *st, bool writable)
{
	struct statfs fs;
	int flags = fcntl(fd, F_GETFL);

	if (flags < 0 || fstatfs(fd, &fs))
		return -errno;
	if (!S_ISREG(st->st_mode)) {
		npu_log(-1, "memory of the client refused: it is no plain file");
		return -EINVAL;
	}
	if (fs.f_type == HUGETLBFS_MAGIC) {
		npu_log(-1, "memory of the client refused: huge pages cannot be mapped piece by "
			    "piece; use "
			    "memory-backend-memfd without hugetlb");
		return -EOPNOTSUPP;
	}
	if ((flags & O_ACCMODE) == O_WRONLY || (writable && (flags & O_ACCMODE) != O_RDWR)) {
		npu_log(-1, "memory of the client refused: its file is not open for what the map "
			    "allows");
		return -EACCES;
	}
	return 0;
}

static struct memory_file *file_find(
	struct memory *m, const struct stat *st, bool writable, size_t *room)
{
	*room = MEMORY_MAX_FILES;
	for (size_t i = 0; i < MEMORY_MAX_FILES; i++) {
		struct memory_file *f = m->files[i];

		if (!f)
			*room = i;
		else if (f->dev == st->st_dev && f->ino == st->st_ino && f->writable == writable)
			return f;
	}
	return NULL;
}

static int file_get(struct memory *m, int fd, bool writable, struct memory_file **out)
{
	struct memory_file *f;
	struct stat st;
	size_t room;
	int err;

	if (fstat(fd, &st))
		return -errno;
	err = check_file(fd, &st, writable);
	if (err)
		return err;
	f = file_find(m, &st, writable, &room);
	if (!f) {
		if (room == MEMORY_MAX_FILES)
			return -ENOSPC;
		f = calloc(1, sizeof(*f));
		if (!f)
			return -ENOMEM;
		f->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
		if (f->fd < 0) {
			err = -errno;
			free(f);
			return err;
		}
		f->dev = st.st_dev;
		f->ino = st.st_ino;
		f->writable = writable;
		m->files[room] = f;
	}
	f->size = (uint64_t)st.st_size;
	f->maps++;
	*out = f;
	return 0;
}

/* Index of the first map that ends past addr. */
static size_t find_map(const struct memory *m, uint64_t addr)
{
	size_t low = 0, high = m->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		const struct memory_map *map = memory_at(m, mid);

		if (map->addr + (map->size - 1) < addr)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

static int make_room(struct memory *m)
{
	size_t capacity = m->capacity ? m->capacity * 2 : 64, after = m->count - m->gap;
	struct memory_map *maps;

	if (m->count < m->capacity)
		return 0;
	maps = realloc(m->maps, capacity * sizeof(*maps));
	if (!maps)
		return -ENOMEM;
	memmove(maps + capacity - after, maps + m->gap, after * sizeof(*maps));
	m->maps = maps;
	m->capacity = capacity;
	return 0;
}

static void move_gap(struct memory *m, size_t to)
{
	size_t room = m->capacity - m->count, from = m->gap;

	if (to < from)
		memmove(m->maps + to + room, m->maps + to, (from - to) * sizeof(*m->maps));
	else if (to > from)
		memmove(m->maps + from, m->maps + from + room, (to - from) * sizeof(*m->maps));
	m->gap = to;
}

static bool same_map(const struct memory_map *a, const struct memory_map *b)
{
	return a->addr == b->addr && a->size == b->size && a->offset == b->offset &&
	       a->file == b->file && a->prot == b->prot;
}

int memory_map(
	struct memory *m, uint64_t addr, uint64_t size, uint64_t offset, int fd, uint32_t prot)
{
	struct memory_map map = {.addr = addr, .size = size, .offset = offset, .prot = prot};
	size_t at;
	int err;

	if (!size || (addr | size | offset) % WEIR_NPU_PAGE || size - 1 > UINT64_MAX - addr ||
		offset > INT64_MAX || size > INT64_MAX - offset)
		return -EINVAL;
	if (fd >= 0) {
		err = file_get(m, fd, prot & PROT_WRITE, &map.file);
		if (err)
			return err;
	}
	at = find_map(m, addr);
	if (at < m->count && memory_at(m, at)->addr <= addr + (size - 1)) {
		err = same_map(memory_at(m, at), &map) ? 0 : -EEXIST;
		goto error;
	}
	err = m->count >= MEMORY_MAX_MAPS ? -ENOSPC : make_room(m);
	if (err)
		goto error;
	/* Past its end a file has no pages: what is mapped there faults. */
	if (map.file && (offset > map.file->size || size > map.file->size - offset)) {
		err = -EINVAL;
		goto error;
	}
	move_gap(m, at);
	m->maps[m->gap++] = map;
	m->count++;
	return 0;
error:
	file_put(m, map.file);
	return err;
}

/* The maps [*from, return value) have bytes in [addr, last]. */
static size_t find_range(const struct memory *m, uint64_t addr, uint64_t last, size_t *from)
{
	size_t to = *from = find_map(m, addr);

	while (to < m->count && memory_at(m, to)->addr <= last)
		to++;
	return to;
}

int memory_unmap_check(const struct memory *m, uint64_t addr, uint64_t last)
{
	size_t from, to = find_range(m, addr, last, &from);
	bool used = false;

	for (size_t i = from; i < to; i++) {
		const struct memory_map *map = memory_at(m, i);

		if (map->addr < addr || map->addr + (map->size - 1) > last)
			return -EINVAL;
		used = used || map->uses;
	}
	return used;
}

size_t memory_unmap(struct memory *m, uint64_t addr, uint64_t last)
{
	size_t from, to = find_range(m, addr, last, &from);

	if (from == to)
		return 0;
	for (size_t i = from; i < to; i++)
		file_put(m, memory_at(m, i)->file);
	move_gap(m, from);
	/* The gap takes in what follows it. */
	m->count -= to - from;
	return to - from;
}

/* The map that addr lies in, if the device can reach it in the ways of prot. */
static struct memory_map *find_reachable(struct memory *m, uint64_t addr, uint32_t prot)
{
	size_t i = find_map(m, addr);
	struct memory_map *map;

	if (!m->enabled || i == m->count)
		return NULL;
	map = memory_at(m, i);
	return map->addr <= addr && map->file && (map->prot & prot) == prot ? map : NULL;
}

static ssize_t file_copy(
	const struct memory_file *f, uint64_t offset, void *data, size_t size, bool write)
{
	ssize_t n;

	do {
		n = write ? pwrite(f->fd, data, size, (off_t)offset)
			  : pread(f->fd, data, size, (off_t)offset);
	} while (n < 0 && errno == EINTR);
	return n;
}

static int copy(struct memory *m, uint64_t addr, uint8_t *data, size_t size, bool write)
{
	while (size) {
		struct memory_map *map = find_reachable(m, addr, write ? PROT_WRITE : PROT_READ);
		uint64_t in, part;
		ssize_t n;

		if (!map)
			return -EFAULT;
		in = addr - map->addr;
		part = map->size - in < size ? map->size - in : size;
		n = file_copy(map->file, map->offset + in, data, part, write);
		if (n <= 0)
			return -EFAULT;
		addr += (uint64_t)n;
		data += n;
		size -= (size_t)n;
		if (size && !addr)
			return -EFAULT;
	}
	return 0;
}

int memory_read(struct memory *m, uint64_t addr, void *to, size_t size)
{
	return copy(m, addr, to, size, false);
}

int memory_write(struct memory *m, uint64_t addr, const void *from, size_t size)
{
	return copy(m, addr, (uint8_t *)from, size, true);
}

int memory_use(
	struct memory *m, uint64_t addr, uint64_t size, uint32_t prot, struct memory_piece *out)
{
	struct memory_map *map = find_reachable(m, addr, prot);
	uint64_t in;

	if (!map || !size || map->uses == UINT32_MAX)
		return -EFAULT;
	in = addr - map->addr;
	out->addr = addr;
	out->size = map->size - in < size ? map->size - in : size;
	out->offset = map->offset + in;
	out->file = map->file;
	map->uses++;
	return 0;
}

void memory_release(struct memory *m, const struct memory_piece *piece)
{
	size_t i = find_map(m, piece->addr);
	struct memory_map *map = i < m->count ? memory_at(m, i) : NULL;

	if (map && map->addr <= piece->addr && map->uses)
		map->uses--;
}
