/* SPDX-License-Identifier: MIT */
/*
 * Provider host: anonymous memory of this process, which devices that share it use where it lies.
 */
#include <sys/mman.h>
#include <unistd.h>

#include "device/backend.h"

/*
 * From this size on huge pages are asked for: weights are streamed, and 4 KiB pages cost TLB
 * misses.
 */
#define HUGE_PAGE ((size_t)2 << 20)

static int host_create(weir_device *dev, size_t size, const char *name, struct weir_memory *m)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE);

	(void)dev;
	(void)name;
	if (size > SIZE_MAX - page)
		return weir_fail(ENOMEM, "%zu bytes are more than a process can have", size);
	m->size = weir_align_up(size, page);
	m->fd = -1;
	m->map = mmap(NULL, m->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (m->map == MAP_FAILED)
		return weir_fail(errno, "no memory: %m");
	if (m->size >= HUGE_PAGE)
		madvise(m->map, m->size, MADV_HUGEPAGE);
	return 0;
}

static void host_destroy(struct weir_memory *m)
{
	munmap(m->map, m->size);
}

const struct weir_provider_ops weir_provider_host = {
	.id = WEIR_PROVIDER_HOST,
	.name = "host",
	.caps = WEIR_BUFFER_MAP,
	.create = host_create,
	.destroy = host_destroy,
};

/* The same memory, but never shared: see buffer.c. It has no lasting address worth the name. */
const struct weir_provider_ops weir_provider_shadow = {
	.id = WEIR_PROVIDER_SHADOW,
	.name = "shadow",
	.shadow = true,
	.create = host_create,
	.destroy = host_destroy,
};
