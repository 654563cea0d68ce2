/* SPDX-License-Identifier: MIT */
/* Maps guest memory at the device addresses of a context, and knows what is mapped. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "space.h"
#include "worker.h"

#define SPACE_SIZE ((uint64_t)1 << WORKER_ADDR_BITS)

/*
 * Kept inaccessible on both sides: as far as a 32-bit index into 16-byte elements reaches, so that
 * what runs off a buffer faults and does not land in the worker's own memory.
 */
#define SPACE_GUARD ((uint64_t)1 << 36)

int space_init(struct space *s)
{
	int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
	char *p;

	memset(s, 0, sizeof(*s));
	p = mmap(NULL, SPACE_SIZE + 2 * SPACE_GUARD, PROT_NONE, flags, -1, 0);
	if (p == MAP_FAILED)
		return -errno;
	s->base = p + SPACE_GUARD;
	pthread_mutex_init(&s->lock, NULL);
	return 0;
}

void space_free(struct space *s)
{
	munmap(s->base - SPACE_GUARD, SPACE_SIZE + 2 * SPACE_GUARD);
	pthread_mutex_destroy(&s->lock);
	free(s->ranges);
	s->ranges = NULL;
}

bool space_holds(const struct space *s, const void *host, uint64_t *addr)
{
	uintptr_t first = (uintptr_t)s->base - SPACE_GUARD;

	*addr = (uint64_t)((uintptr_t)host - (uintptr_t)s->base);
	return (uintptr_t)host - first < SPACE_SIZE + 2 * SPACE_GUARD;
}

static bool range_ok(uint64_t addr, uint64_t size)
{
	return size > 0 && (addr | size) % WEIR_NPU_PAGE == 0 && addr < SPACE_SIZE &&
	       size <= SPACE_SIZE - addr;
}

/* Index of the first range that ends after addr; count when there is none. */
static size_t find(const struct space *s, uint64_t addr)
{
	size_t low = 0, high = s->count;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (s->ranges[mid].end > addr)
			high = mid;
		else
			low = mid + 1;
	}
	return low;
}

/* Room for one more than there are, and for the halves of one that is split. */
static int reserve(struct space *s)
{
	struct space_range *ranges;
	size_t room = s->room ? s->room * 2 : 64;

	if (s->count + 2 <= s->room)
		return 0;
	ranges = realloc(s->ranges, room * sizeof(*ranges));
	if (!ranges)
		return -ENOMEM;
	s->ranges = ranges;
	s->room = room;
	return 0;
}

static void open_gap(struct space *s, size_t at)
{
	memmove(&s->ranges[at + 1], &s->ranges[at], (s->count - at) * sizeof(*s->ranges));
	s->count++;
}

static void remove_range(struct space *s, size_t at)
{
	s->count--;
	memmove(&s->ranges[at], &s->ranges[at + 1], (s->count - at) * sizeof(*s->ranges));
}

static bool joins(const struct space_range *a, const struct space_range *b)
{
	return a->end == b->begin && a->prot == b->prot;
}

static void insert(struct space *s, uint64_t begin, uint64_t end, int prot)
{
	size_t at = find(s, begin);

	open_gap(s, at);
	s->ranges[at] = (struct space_range){begin, end, prot};
	if (at + 1 < s->count && joins(&s->ranges[at], &s->ranges[at + 1])) {
		s->ranges[at].end = s->ranges[at + 1].end;
		remove_range(s, at + 1);
	}
	if (at > 0 && joins(&s->ranges[at - 1], &s->ranges[at])) {
		s->ranges[at - 1].end = s->ranges[at].end;
		remove_range(s, at);
	}
}

/* Takes [begin, end) out of the table, whatever of it is there. */
static void cut(struct space *s, uint64_t begin, uint64_t end)
{
	size_t at = find(s, begin);

	while (at < s->count && s->ranges[at].begin < end) {
		struct space_range *r = &s->ranges[at];

		if (r->begin < begin && r->end > end) {
			open_gap(s, at);
			s->ranges[at].end = begin;
			s->ranges[at + 1].begin = end;
			return;
		}
		if (r->begin < begin) {
			r->end = begin;
			at++;
		} else if (r->end > end) {
			r->begin = end;
			return;
		} else {
			remove_range(s, at);
		}
	}
}

/* What cannot be mapped whole is left inaccessible. */
static int place(struct space *s, uint64_t addr, uint64_t size, int prot, int fd, uint64_t offset)
{
	int flags = MAP_FIXED | (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE : MAP_SHARED);

	if (mmap(s->base + addr, size, prot, flags, fd, (off_t)offset) == MAP_FAILED)
		return -errno;
	return 0;
}

int space_map(struct space *s, uint64_t addr, uint64_t size, int prot, int fd, uint64_t offset)
{
	uint64_t bad;
	size_t at;
	int err;

	if (!range_ok(addr, size) || offset % WEIR_NPU_PAGE || offset > INT64_MAX - size ||
		(prot & ~(PROT_READ | PROT_WRITE)) || fd < 0)
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	at = find(s, addr);
	bad = at < s->count ? s->ranges[at].begin : UINT64_MAX;
	err = bad < addr + size ? -EEXIST : reserve(s);
	if (!err)
		err = place(s, addr, size, prot, fd, offset);
	if (!err)
		insert(s, addr, addr + size, prot);
	pthread_mutex_unlock(&s->lock);
	return err;
}

int space_unmap(struct space *s, uint64_t addr, uint64_t size)
{
	int err;

	if (!range_ok(addr, size))
		return -EINVAL;
	pthread_mutex_lock(&s->lock);
	err = reserve(s);
	if (!err) {
		cut(s, addr, addr + size);
		__atomic_store_n(&s->generation, s->generation + 1, __ATOMIC_RELEASE);
		err = place(s, addr, size, PROT_NONE, -1, 0);
	}
	pthread_mutex_unlock(&s->lock);
	return err;
}

static bool check(const struct space *s, uint64_t addr, uint64_t size, int prot, uint64_t *bad)
{
	uint64_t end = size > UINT64_MAX - addr ? UINT64_MAX : addr + size;
	size_t at = find(s, addr);

	*bad = addr;
	while (*bad < end) {
		const struct space_range *r = &s->ranges[at++];

		if (at > s->count || r->begin > *bad || (prot & ~r->prot))
			return false;
		*bad = r->end;
	}
	return true;
}

bool space_check(struct space *s, uint64_t addr, uint64_t size, int prot, uint64_t *bad)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = check(s, addr, size, prot, bad);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

bool space_read(struct space *s, uint64_t addr, void *to, uint64_t size, uint64_t *bad)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = check(s, addr, size, PROT_READ, bad);
	if (ok)
		memcpy(to, s->base + addr, size);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

bool space_load64(struct space *s, uint64_t addr, uint64_t *value, uint64_t *bad)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = check(s, addr, sizeof(*value), PROT_READ, bad);
	if (ok)
		*value = __atomic_load_n((uint64_t *)(s->base + addr), __ATOMIC_ACQUIRE);
	pthread_mutex_unlock(&s->lock);
	return ok;
}

bool space_store64(struct space *s, uint64_t addr, uint64_t value, uint64_t *bad)
{
	bool ok;

	pthread_mutex_lock(&s->lock);
	ok = check(s, addr, sizeof(value), PROT_WRITE, bad);
	if (ok)
		__atomic_store_n((uint64_t *)(s->base + addr), value, __ATOMIC_RELEASE);
	pthread_mutex_unlock(&s->lock);
	return ok;
}
