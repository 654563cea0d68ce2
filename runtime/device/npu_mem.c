/* SPDX-License-Identifier: MIT */
/* The NPU's view of buffer memory: addresses of its own buffers and of imported dma-bufs, and
 * copies. */
#include <unistd.h>

#include "device/npu.h"

/* A dma-buf of another driver, process or provider gets an address in this file's address space. */
static int import(
	struct npu_device *d, const struct weir_memory *m, size_t size, struct weir_mem *mem)
{
	int fd = weir_memory_export(m), err;

	if (fd < 0)
		return fd;
	err = weir_drm_bo_import(d->base.drm, fd, &mem->bo);
	close(fd);
	if (err < 0)
		return err;
	if (mem->bo.addr && mem->bo.size >= size)
		return 0;
	weir_drm_bo_destroy(&mem->bo);
	return weir_fail(
		EIO, "%s: a dma-buf of %zu bytes was imported as less", d->base.info.name, size);
}

static int make(struct npu_device *d, enum weir_import way, const struct weir_memory *m,
	size_t size, struct weir_mem *mem)
{
	int err = 0;

	if (way == WEIR_IMPORT_COPY) {
		err = weir_drm_bo_create(d->base.drm, size, WEIR_BO_CACHED, &mem->bo);
		mem->map = mem->bo.map;
		mem->addr = mem->bo.addr;
		return err;
	}
	if (way != WEIR_IMPORT_NATIVE)
		return weir_fail(EOPNOTSUPP, "%s: no %s", d->base.info.name, weir_import_name(way));
	mem->memory = m;
	mem->map = m->map;
	mem->addr = m->bo.addr;
	if (m->bo.drm != d->base.drm) {
		err = import(d, m, size, mem);
		mem->addr = mem->bo.addr;
	}
	return err;
}

int npu_mem_create(weir_device *dev, enum weir_import way, const struct weir_memory *m, size_t size,
	struct weir_mem **out)
{
	struct weir_mem *mem = calloc(1, sizeof(*mem));
	int err;

	if (!mem)
		return weir_fail(ENOMEM, "%s: out of memory", dev->info.name);
	err = make(npu_device(dev), way, m, size, mem);
	if (err < 0) {
		free(mem);
		return err;
	}
	*out = mem;
	return 0;
}

void npu_mem_destroy(weir_device *dev, struct weir_mem *mem)
{
	(void)dev;
	weir_drm_bo_destroy(&mem->bo);
	free(mem);
}

/* ---- CPU access ---------------------------------------------------------- */

int npu_bo_begin(const struct weir_drm_bo *bo, uint32_t access)
{
	return weir_drm_coherent(bo->drm) ? 0 : weir_drm_bo_sync(bo, access, 0, 0);
}

int npu_bo_end(const struct weir_drm_bo *bo, uint32_t access)
{
	return weir_drm_coherent(bo->drm) ? 0 : weir_drm_bo_sync(bo, access | WEIR_SYNC_END, 0, 0);
}

/* The provider's sync does all there is to do. */
int npu_cpu_begin(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size,
	unsigned access, void **ptr)
{
	(void)dev;
	(void)mem;
	(void)offset;
	(void)size;
	(void)access;
	(void)ptr;
	return 0;
}

int npu_cpu_end(weir_device *dev, struct weir_mem *mem, void *ptr)
{
	(void)dev;
	(void)mem;
	(void)ptr;
	return 0;
}

/* Cache maintenance around a copy: of the provider's memory, or of the device's own. */
static int sync_range(
	const struct weir_mem *mem, size_t offset, size_t size, unsigned access, bool end)
{
	uint32_t flags = access & WEIR_ACCESS_READ ? WEIR_SYNC_READ : WEIR_SYNC_WRITE;

	if (mem->memory) {
		const struct weir_memory *m = mem->memory;

		return m->provider->sync ? m->provider->sync(m, offset, size, access, end) : 0;
	}
	if (weir_drm_coherent(mem->bo.drm))
		return 0;
	return weir_drm_bo_sync(&mem->bo, end ? flags | WEIR_SYNC_END : flags, offset, size);
}

int npu_mem_read(weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, void *to)
{
	int err = npu_wait(dev);

	if (err == 0)
		err = sync_range(mem, offset, size, WEIR_ACCESS_READ, false);
	if (err < 0)
		return err;
	memcpy(to, (const char *)mem->map + offset, size);
	return sync_range(mem, offset, size, WEIR_ACCESS_READ, true);
}

int npu_mem_write(
	weir_device *dev, struct weir_mem *mem, size_t offset, size_t size, const void *from)
{
	int err = npu_wait(dev);

	if (err == 0)
		err = sync_range(mem, offset, size, WEIR_ACCESS_WRITE, false);
	if (err < 0)
		return err;
	memcpy((char *)mem->map + offset, from, size);
	return sync_range(mem, offset, size, WEIR_ACCESS_WRITE, true);
}

int npu_mem_copy(weir_device *dev, struct weir_mem *from, size_t from_offset, struct weir_mem *to,
	size_t to_offset, size_t size)
{
	struct npu_device *d = npu_device(dev);
	const struct weir_npu_copy copy = {
		.to = to->addr + to_offset, .from = from->addr + from_offset, .size = size};
	struct weir_npu_packet packet;
	int err;

	npu_packet(&packet, WEIR_NPU_PACKET_COPY, &copy, sizeof(copy));
	err = npu_submit(d, &packet, "a copy between buffers");
	return err < 0 ? err : npu_wait(dev);
}
