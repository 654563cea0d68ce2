// SPDX-License-Identifier: GPL-2.0
/*
 * weir_sync.c - CPU access to buffers begins and ends: waits for fences, and cache maintenance.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/uaccess.h>

#include <drm/drm_utils.h>

#include "weir.h"

#define WEIR_SYNC_FLAGS		(WEIR_SYNC_READ | WEIR_SYNC_WRITE | WEIR_SYNC_END)
#define WEIR_SYNC_RANGES	1024
#define WEIR_SYNC_STRIDE	4096

/*
 * Exactly the bytes that were asked for: to invalidate more would lose what the CPU wrote beside
 * them. A piece is contiguous in memory (an entry of the list as the CPU sees it) and on the bus
 * (an IOMMU merges entries, never splits one); the DMA API wants both.
 */
void weir_sgt_sync(struct device *dev, struct sg_table *sgt, u64 offset, u64 size,
		   enum dma_data_direction dir, bool end)
{
	struct scatterlist *sg, *dma = sgt->sgl;
	u64 at = 0, dma_at = 0, from, to;
	dma_addr_t addr;
	unsigned int i;

	for_each_sgtable_sg(sgt, sg, i) {
		if (at >= offset + size)
			break;
		from = max(at, offset);
		at += sg->length;
		to = min(at, offset + size);
		if (from >= to)
			continue;
		while (dma_at + sg_dma_len(dma) <= from) {
			dma_at += sg_dma_len(dma);
			dma = sg_next(dma);
		}
		addr = sg_dma_address(dma) + (from - dma_at);
		if (end)
			dma_sync_single_for_device(dev, addr, to - from, dir);
		else
			dma_sync_single_for_cpu(dev, addr, to - from, dir);
	}
}

void weir_bo_sync_range(struct weir_bo *bo, u64 offset, u64 size, enum dma_data_direction dir,
			bool end)
{
	if (weir_bo_uncached(bo))
		return;
	mutex_lock(&bo->lock);
	if (bo->sgt)
		weir_sgt_sync(bo->base.dev->dev, bo->sgt, offset, size, dir, end);
	weir_prime_sync(bo, offset, size, dir, end);
	mutex_unlock(&bo->lock);
}

static enum dma_data_direction weir_sync_direction(u32 flags)
{
	switch (flags & (WEIR_SYNC_READ | WEIR_SYNC_WRITE)) {
	case WEIR_SYNC_READ:
		return DMA_FROM_DEVICE;
	case WEIR_SYNC_WRITE:
		return DMA_TO_DEVICE;
	default:
		return DMA_BIDIRECTIONAL;
	}
}

static int weir_sync_wait(struct weir_bo *bo, u32 flags, s64 timeout_ns)
{
	enum dma_resv_usage usage = dma_resv_usage_rw(flags & WEIR_SYNC_WRITE);
	long ret;

	ret = dma_resv_wait_timeout(bo->base.resv, usage, true,
				    drm_timeout_abs_to_jiffies(timeout_ns));
	if (ret < 0)
		return ret;
	return ret ? 0 : -ETIME;
}

static int weir_sync_bo(struct weir_bo *bo, const struct drm_weir_sync_range *range,
			s64 timeout_ns)
{
	enum dma_data_direction dir = weir_sync_direction(range->flags);
	bool end = range->flags & WEIR_SYNC_END;
	u64 room = bo->base.size;
	int ret;

	if (range->offset >= room)
		return -EINVAL;
	room -= range->offset;
	if (range->size > room)
		return -EINVAL;
	if (!end) {
		ret = weir_sync_wait(bo, range->flags, timeout_ns);
		if (ret)
			return ret;
	}
	if (!bo->dmabuf) {
		weir_bo_sync_range(bo, range->offset, range->size ?: room, dir, end);
		return 0;
	}
	if (end)
		return dma_buf_end_cpu_access(bo->dmabuf, dir);
	return dma_buf_begin_cpu_access(bo->dmabuf, dir);
}

static int weir_sync_range(struct drm_file *file, const struct drm_weir_sync_range *range,
			   s64 timeout_ns)
{
	struct drm_gem_object *obj;
	int ret;

	if (range->flags & ~WEIR_SYNC_FLAGS ||
	    !(range->flags & (WEIR_SYNC_READ | WEIR_SYNC_WRITE)))
		return -EINVAL;
	obj = drm_gem_object_lookup(file, range->handle);
	if (!obj)
		return -ENOENT;
	ret = weir_sync_bo(to_weir_bo(obj), range, timeout_ns);
	drm_gem_object_put(obj);
	return ret;
}

int weir_bo_sync_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_bo_sync *args = data;
	struct drm_weir_sync_range range;
	u64 from = args->ranges;
	int ret;
	u32 i;

	if (!args->count || args->count > WEIR_SYNC_RANGES)
		return -EINVAL;
	if (args->stride < sizeof(range) || args->stride > WEIR_SYNC_STRIDE || args->stride % 8)
		return -EINVAL;
	for (i = 0; i < args->count; i++, from += args->stride) {
		ret = copy_struct_from_user(&range, sizeof(range), u64_to_user_ptr(from),
					    args->stride);
		/* What a newer program says there, this driver does not know. */
		if (ret == -E2BIG)
			return -EINVAL;
		if (!ret)
			ret = weir_sync_range(file, &range, args->timeout_ns);
		if (ret)
			return ret;
	}
	return 0;
}
