// SPDX-License-Identifier: GPL-2.0
/*
 * weir_prime.c - buffers as dma-bufs: ours for others, and others' for us.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/iosys-map.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <drm/drm_prime.h>

#include "weir.h"

/**
 * struct weir_mapping - our pages, as another device reaches them
 * @node: in &weir_bo.mappings
 * @dev: the importer's device
 * @sgt: mapped for it
 */
struct weir_mapping {
	struct list_head node;
	struct device *dev;
	struct sg_table sgt;
};

static struct weir_bo *weir_prime_bo(struct dma_buf *dmabuf)
{
	return to_weir_bo(dmabuf->priv);
}

/* ---- export ---------------------------------------------------------------------------------- */

static struct sg_table *weir_prime_map(struct dma_buf_attachment *attach,
				       enum dma_data_direction dir)
{
	struct weir_bo *bo = weir_prime_bo(attach->dmabuf);
	struct weir_mapping *mapping;
	int ret;

	mapping = kzalloc(sizeof(*mapping), GFP_KERNEL);
	if (!mapping)
		return ERR_PTR(-ENOMEM);
	mapping->dev = attach->dev;
	ret = weir_bo_map_for(bo, attach->dev, &mapping->sgt, dir);
	if (ret) {
		kfree(mapping);
		return ERR_PTR(ret);
	}
	mutex_lock(&bo->lock);
	list_add(&mapping->node, &bo->mappings);
	mutex_unlock(&bo->lock);
	return &mapping->sgt;
}

static void weir_prime_unmap(struct dma_buf_attachment *attach, struct sg_table *sgt,
			     enum dma_data_direction dir)
{
	struct weir_mapping *mapping = container_of(sgt, struct weir_mapping, sgt);
	struct weir_bo *bo = weir_prime_bo(attach->dmabuf);

	mutex_lock(&bo->lock);
	list_del(&mapping->node);
	mutex_unlock(&bo->lock);
	weir_bo_unmap_for(bo, mapping->dev, &mapping->sgt, dir);
	kfree(mapping);
}

void weir_prime_sync(struct weir_bo *bo, u64 offset, u64 size, enum dma_data_direction dir,
		     bool end)
{
	struct weir_mapping *mapping;

	list_for_each_entry(mapping, &bo->mappings, node)
		weir_sgt_sync(mapping->dev, &mapping->sgt, offset, size, dir, end);
}

static int weir_prime_begin(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	weir_bo_sync_range(weir_prime_bo(dmabuf), 0, dmabuf->size, dir, false);
	return 0;
}

static int weir_prime_end(struct dma_buf *dmabuf, enum dma_data_direction dir)
{
	weir_bo_sync_range(weir_prime_bo(dmabuf), 0, dmabuf->size, dir, true);
	return 0;
}

static int weir_prime_mmap(struct dma_buf *dmabuf, struct vm_area_struct *vma)
{
	return weir_bo_mmap(weir_prime_bo(dmabuf), vma, vma->vm_pgoff);
}

static int weir_prime_vmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	struct weir_bo *bo = weir_prime_bo(dmabuf);
	pgprot_t prot = PAGE_KERNEL;
	void *addr;

	if (bo->flags & WEIR_BO_NO_MMAP)
		return -EACCES;
	if (weir_bo_uncached(bo))
		prot = pgprot_writecombine(prot);
	addr = vmap(bo->pages, dmabuf->size >> PAGE_SHIFT, VM_MAP, prot);
	if (!addr)
		return -ENOMEM;
	iosys_map_set_vaddr(map, addr);
	return 0;
}

static void weir_prime_vunmap(struct dma_buf *dmabuf, struct iosys_map *map)
{
	vunmap(map->vaddr);
}

static const struct dma_buf_ops weir_prime_ops = {
	.map_dma_buf = weir_prime_map,
	.unmap_dma_buf = weir_prime_unmap,
	.release = drm_gem_dmabuf_release,
	.begin_cpu_access = weir_prime_begin,
	.end_cpu_access = weir_prime_end,
	.mmap = weir_prime_mmap,
	.vmap = weir_prime_vmap,
	.vunmap = weir_prime_vunmap,
};

struct dma_buf *weir_prime_export(struct drm_gem_object *obj, int flags)
{
	struct dma_buf_export_info info = {
		.exp_name = WEIR_NAME,
		.owner = THIS_MODULE,
		.ops = &weir_prime_ops,
		.size = obj->size,
		.flags = flags,
		.priv = obj,
		.resv = obj->resv,
	};

	return drm_gem_dmabuf_export(obj->dev, &info);
}

/* ---- import ---------------------------------------------------------------------------------- */

static int weir_prime_attach(struct weir_bo *bo)
{
	struct dma_buf_attachment *attach;
	struct sg_table *sgt;

	attach = dma_buf_attach(bo->dmabuf, bo->base.dev->dev);
	if (IS_ERR(attach))
		return PTR_ERR(attach);
	sgt = dma_buf_map_attachment_unlocked(attach, DMA_BIDIRECTIONAL);
	if (IS_ERR(sgt)) {
		dma_buf_detach(bo->dmabuf, attach);
		return PTR_ERR(sgt);
	}
	/* From here on freeing the buffer undoes it all. */
	bo->attach = attach;
	bo->sgt = sgt;
	return 0;
}

/*
 * The attachment is the buffer's own secret: a DRM core that saw it in the GEM object would look
 * at it after an unplug ended it. obj->dma_buf, which the core sets, gives re-exports the same
 * dma-buf.
 */
static struct drm_gem_object *weir_prime_foreign(struct weir_device *wdev, struct dma_buf *dmabuf)
{
	struct weir_bo *bo;
	int ret, idx;

	if (!dmabuf->size || !PAGE_ALIGNED(dmabuf->size))
		return ERR_PTR(-EINVAL);
	if (dmabuf->size > weir_bo_size_max(wdev))
		return ERR_PTR(-E2BIG);
	if (!drm_dev_enter(&wdev->drm, &idx))
		return ERR_PTR(-ENODEV);
	bo = weir_bo_new(wdev, dmabuf->size, dmabuf->resv);
	if (!bo) {
		ret = -ENOMEM;
		goto out;
	}
	get_dma_buf(dmabuf);
	bo->dmabuf = dmabuf;
	bo->flags = WEIR_BO_NO_MMAP;
	ret = weir_prime_attach(bo);
	if (ret) {
		drm_gem_object_put(&bo->base);
		goto out;
	}
	mutex_lock(&wdev->bos_lock);
	list_add_tail(&bo->node, &wdev->bos);
	mutex_unlock(&wdev->bos_lock);
out:
	drm_dev_exit(idx);
	return ret ? ERR_PTR(ret) : &bo->base;
}

struct drm_gem_object *weir_prime_import(struct drm_device *drm, struct dma_buf *dmabuf)
{
	struct drm_gem_object *obj = dmabuf->priv;

	if (dmabuf->ops == &weir_prime_ops && obj->dev == drm) {
		drm_gem_object_get(obj);
		return obj;
	}
	return weir_prime_foreign(to_weir(drm), dmabuf);
}
