// SPDX-License-Identifier: GPL-2.0
/*
 * weir_bo.c - buffers: made, mapped for the device and for processes, described, freed.
 */
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/sched/signal.h>
#include <linux/slab.h>

#include <drm/drm_vma_manager.h>

#include "weir.h"

#define WEIR_BO_FLAGS \
	(WEIR_BO_WRITE_COMBINED | WEIR_BO_CONTIGUOUS | WEIR_BO_NO_MMAP | WEIR_BO_BELOW_4G)

/* ---- mapping for devices --------------------------------------------------------------------- */

/*
 * The pages may be mapped for several devices at a time, so no mapping owns their caches: each is
 * made and undone without, and what it takes is done by a call apart.
 */
int weir_bo_map_for(struct weir_bo *bo, struct device *dev, struct sg_table *sgt,
		    enum dma_data_direction dir)
{
	int ret;

	ret = sg_alloc_table_from_pages_segment(sgt, bo->pages, bo->base.size >> PAGE_SHIFT, 0,
						bo->base.size, dma_get_max_seg_size(dev),
						GFP_KERNEL);
	if (ret)
		return ret;
	ret = dma_map_sgtable(dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	if (ret)
		sg_free_table(sgt);
	else
		dma_sync_sgtable_for_device(dev, sgt, dir);
	return ret;
}

void weir_bo_unmap_for(struct weir_bo *bo, struct device *dev, struct sg_table *sgt,
		       enum dma_data_direction dir)
{
	if (!weir_bo_uncached(bo))
		dma_sync_sgtable_for_cpu(dev, sgt, dir);
	dma_unmap_sgtable(dev, sgt, dir, DMA_ATTR_SKIP_CPU_SYNC);
	sg_free_table(sgt);
}

static int weir_bo_map(struct weir_bo *bo)
{
	struct weir_device *wdev = to_weir(bo->base.dev);
	struct sg_table *sgt;
	int ret, idx;

	sgt = kzalloc(sizeof(*sgt), GFP_KERNEL);
	if (!sgt)
		return -ENOMEM;
	/* Past the unplug nothing is mapped: weir_bo_unmap_all() has gone by. */
	if (!drm_dev_enter(&wdev->drm, &idx)) {
		kfree(sgt);
		return -ENODEV;
	}
	ret = weir_bo_map_for(bo, wdev->drm.dev, sgt, DMA_BIDIRECTIONAL);
	if (!ret) {
		mutex_lock(&wdev->bos_lock);
		bo->sgt = sgt;
		list_add_tail(&bo->node, &wdev->bos);
		mutex_unlock(&wdev->bos_lock);
	} else {
		kfree(sgt);
	}
	drm_dev_exit(idx);
	return ret ? -ENOMEM : 0;
}

/* bos_lock is held: so nothing is unmapped any more once weir_bo_unmap_all() is through. */
static void weir_bo_unmap(struct weir_bo *bo)
{
	struct weir_device *wdev = to_weir(bo->base.dev);

	lockdep_assert_held(&wdev->bos_lock);
	list_del_init(&bo->node);
	if (bo->attach) {
		if (bo->sgt)
			dma_buf_unmap_attachment_unlocked(bo->attach, bo->sgt, DMA_BIDIRECTIONAL);
		dma_buf_detach(bo->dmabuf, bo->attach);
		bo->attach = NULL;
		bo->sgt = NULL;
		return;
	}
	mutex_lock(&bo->lock);
	if (bo->sgt) {
		weir_bo_unmap_for(bo, wdev->drm.dev, bo->sgt, DMA_BIDIRECTIONAL);
		kfree(bo->sgt);
		bo->sgt = NULL;
	}
	mutex_unlock(&bo->lock);
}

void weir_bo_unmap_all(struct weir_device *wdev)
{
	mutex_lock(&wdev->bos_lock);
	while (!list_empty(&wdev->bos))
		weir_bo_unmap(list_first_entry(&wdev->bos, struct weir_bo, node));
	mutex_unlock(&wdev->bos_lock);
}

/* ---- mapping for processes ------------------------------------------------------------------- */

/* The unplug of a DRM device zaps the mappings of its files; pages stay, so they come back. */
static vm_fault_t weir_bo_fault(struct vm_fault *vmf)
{
	struct weir_bo *bo = to_weir_bo(vmf->vma->vm_private_data);

	if (vmf->pgoff >= bo->base.size >> PAGE_SHIFT)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(bo->pages[vmf->pgoff]));
}

static const struct vm_operations_struct weir_bo_vm_ops = {
	.open = drm_gem_vm_open,
	.close = drm_gem_vm_close,
	.fault = weir_bo_fault,
};

/* Pages from first on, at most max, that stand one after another in memory. */
static unsigned long weir_bo_run(struct weir_bo *bo, unsigned long first, unsigned long max)
{
	unsigned long pfn = page_to_pfn(bo->pages[first]), n = 1;

	while (n < max && page_to_pfn(bo->pages[first + n]) == pfn + n)
		n++;
	return n;
}

/* All at once: a fault a page would cost more than the mapping. */
static int weir_bo_populate(struct weir_bo *bo, struct vm_area_struct *vma, unsigned long at)
{
	unsigned long addr = vma->vm_start, run;
	int ret;

	while (addr < vma->vm_end) {
		if (fatal_signal_pending(current))
			return -EINTR;
		run = weir_bo_run(bo, at, (vma->vm_end - addr) >> PAGE_SHIFT);
		ret = remap_pfn_range(vma, addr, page_to_pfn(bo->pages[at]), run << PAGE_SHIFT,
				      vma->vm_page_prot);
		if (ret)
			return ret;
		at += run;
		addr += run << PAGE_SHIFT;
		cond_resched();
	}
	return 0;
}

int weir_bo_mmap(struct weir_bo *bo, struct vm_area_struct *vma, unsigned long first)
{
	unsigned long n = bo->base.size >> PAGE_SHIFT;
	int ret;

	if (!bo->pages || bo->flags & WEIR_BO_NO_MMAP)
		return -EACCES;
	if (first >= n || vma_pages(vma) > n - first)
		return -EINVAL;
	/* Private pages would part from the buffer at the first write. */
	if ((vma->vm_flags & (VM_SHARED | VM_MAYWRITE)) == VM_MAYWRITE)
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP);
	if (weir_bo_uncached(bo))
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	ret = weir_bo_populate(bo, vma, first);
	if (ret)
		return ret;
	vma->vm_pgoff = first;
	drm_gem_object_get(&bo->base);
	vma->vm_private_data = &bo->base;
	vma->vm_ops = &weir_bo_vm_ops;
	return 0;
}

/* drm_gem_mmap() takes whole buffers only. */
int weir_bo_mmap_file(struct file *filp, struct vm_area_struct *vma)
{
	struct drm_file *file = filp->private_data;
	struct drm_vma_offset_manager *offsets = file->minor->dev->vma_offset_manager;
	struct drm_gem_object *obj = NULL;
	struct drm_vma_offset_node *node;
	int ret = -EACCES;

	drm_vma_offset_lock_lookup(offsets);
	node = drm_vma_offset_lookup_locked(offsets, vma->vm_pgoff, vma_pages(vma));
	if (node) {
		obj = container_of(node, struct drm_gem_object, vma_node);
		if (!kref_get_unless_zero(&obj->refcount))
			obj = NULL;
	}
	drm_vma_offset_unlock_lookup(offsets);
	if (!obj)
		return -EINVAL;
	if (drm_vma_node_is_allowed(node, file))
		ret = weir_bo_mmap(to_weir_bo(obj), vma,
				   vma->vm_pgoff - drm_vma_node_start(node));
	drm_gem_object_put(obj);
	return ret;
}

/* ---- life ------------------------------------------------------------------------------------ */

static int weir_bo_open(struct drm_gem_object *obj, struct drm_file *file)
{
	struct weir_file *wf = file->driver_priv;

	return wf->vm ? weir_vm_bind(wf->vm, to_weir_bo(obj)) : 0;
}

static void weir_bo_close(struct drm_gem_object *obj, struct drm_file *file)
{
	struct weir_file *wf = file->driver_priv;

	if (wf->vm)
		weir_vm_unbind(wf->vm, to_weir_bo(obj));
}

static void weir_bo_free(struct drm_gem_object *obj)
{
	struct weir_device *wdev = to_weir(obj->dev);
	struct weir_bo *bo = to_weir_bo(obj);

	mutex_lock(&wdev->bos_lock);
	weir_bo_unmap(bo);
	mutex_unlock(&wdev->bos_lock);
	WARN_ON(!list_empty(&bo->mappings));
	if (bo->pages)
		weir_pages_put(bo);
	if (bo->account) {
		weir_account_uncharge(bo->account, obj->size);
		weir_account_put(bo->account);
	}
	drm_gem_object_release(obj);
	if (bo->dmabuf)
		dma_buf_put(bo->dmabuf);
	kfree(bo);
}

static const struct drm_gem_object_funcs weir_bo_funcs = {
	.free = weir_bo_free,
	.open = weir_bo_open,
	.close = weir_bo_close,
	.export = weir_prime_export,
	.vm_ops = &weir_bo_vm_ops,
};

struct weir_bo *weir_bo_new(struct weir_device *wdev, u64 size, struct dma_resv *resv)
{
	struct weir_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL);

	if (!bo)
		return NULL;
	bo->base.funcs = &weir_bo_funcs;
	bo->base.resv = resv;
	mutex_init(&bo->lock);
	INIT_LIST_HEAD(&bo->node);
	INIT_LIST_HEAD(&bo->mappings);
	get_task_comm(bo->label, current);
	bo->pid = task_tgid_nr(current);
	drm_gem_private_object_init(&wdev->drm, &bo->base, size);
	return bo;
}

/* What device addresses, and the counters of a scatter list, can hold. */
u64 weir_bo_size_max(struct weir_device *wdev)
{
	u64 max = (u64)INT_MAX << PAGE_SHIFT;

	return wdev->npu ? min(max, 1ull << wdev->npu->addr_bits) : max;
}

static int weir_bo_fill(struct weir_bo *bo, struct weir_account *account, u32 flags)
{
	int ret;

	ret = weir_account_charge(account, bo->base.size);
	if (ret)
		return ret;
	bo->account = weir_account_get(account);
	bo->flags = flags;
	ret = weir_pages_get(bo);
	if (ret)
		return ret;
	ret = weir_bo_map(bo);
	if (ret || flags & WEIR_BO_NO_MMAP)
		return ret;
	return drm_gem_create_mmap_offset(&bo->base);
}

/* ---- ioctls ---------------------------------------------------------------------------------- */

static u64 weir_bo_mmap_offset(struct weir_bo *bo)
{
	return bo->flags & WEIR_BO_NO_MMAP ? 0 : drm_vma_node_offset_addr(&bo->base.vma_node);
}

static u64 weir_bo_dev_addr(struct weir_bo *bo, struct weir_file *wf)
{
	return wf->vm ? weir_vm_address(wf->vm, bo) : 0;
}

int weir_bo_create_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_bo_create *args = data;
	struct weir_file *wf = file->driver_priv;
	struct weir_bo *bo;
	u32 handle;
	int ret;

	if (!args->size || args->flags & ~WEIR_BO_FLAGS)
		return -EINVAL;
	if (args->size > weir_bo_size_max(wf->wdev))
		return -E2BIG;
	bo = weir_bo_new(wf->wdev, PAGE_ALIGN(args->size), NULL);
	if (!bo)
		return -ENOMEM;
	ret = weir_bo_fill(bo, wf->account, args->flags);
	if (!ret)
		ret = drm_gem_handle_create(file, &bo->base, &handle);
	if (!ret) {
		args->size = bo->base.size;
		args->handle = handle;
		args->mmap_offset = weir_bo_mmap_offset(bo);
		args->dev_addr = weir_bo_dev_addr(bo, wf);
	}
	drm_gem_object_put(&bo->base);
	return ret;
}

int weir_bo_info_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_bo_info *args = data;
	struct drm_gem_object *obj;
	struct weir_bo *bo;

	if (args->flags)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	bo = to_weir_bo(obj);
	args->flags = bo->flags;
	args->size = obj->size;
	args->mmap_offset = weir_bo_mmap_offset(bo);
	args->dev_addr = weir_bo_dev_addr(bo, file->driver_priv);
	drm_gem_object_put(obj);
	return 0;
}
