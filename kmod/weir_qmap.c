// SPDX-License-Identifier: GPL-2.0
/* weir_qmap.c - the pages of a queue: shared with the device, and mapped by the process. */
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>

#include <drm/drm_drv.h>

#include "weir.h"

/*
 * Offsets for mmap(). What lies from 4 GiB on (DRM_FILE_PAGE_OFFSET_START) is for buffers; below it
 * every queue of the file has a mebibyte, whatever pages the CPU has (4, 16 or 64 KiB):
 *
 *	id << 20		the doorbell page: stride bytes, 64 KiB to 512 KiB
 *	id << 20 | 512 KiB	the status page: one page of the CPU
 *
 * Ids begin with 1, so no offset is 0. Files share one address_space, and queues of different files
 * may have the same offset: who loses a mapping because of another's queue faults it in again. A
 * mapping finds its queue by vm_private_data, never by its offset.
 */
#define COOKIE_SHIFT	20
#define COOKIE_STATUS	WEIR_QUEUE_STRIDE_MAX

u64 weir_queue_doorbell_cookie(const struct weir_queue *queue)
{
	return (u64)queue->id << COOKIE_SHIFT;
}

u64 weir_queue_status_cookie(const struct weir_queue *queue)
{
	return weir_queue_doorbell_cookie(queue) | COOKIE_STATUS;
}

static void shared_page_free(struct page *page, void *address)
{
	if (!page)
		return;
	if (is_vmalloc_addr(address))
		vunmap(address);
	put_page(page);
}

/* A page that driver and device share for good: past the caches where these do not agree. */
static int shared_page_alloc(struct weir_npu *npu, struct page **page, void **address,
			     dma_addr_t *dma)
{
	struct device *dev = &npu->pdev->dev;

	*page = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (!*page)
		return -ENOMEM;
	*dma = dma_map_page(dev, *page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL);
	if (dma_mapping_error(dev, *dma))
		goto error;
	if (npu->wdev->coherent)
		*address = page_address(*page);
	else
		*address = vmap(page, 1, VM_MAP, pgprot_writecombine(PAGE_KERNEL));
	if (*address)
		return 0;
	dma_unmap_page(dev, *dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
error:
	put_page(*page);
	*page = NULL;
	return -ENOMEM;
}

static void shared_page_unmap(struct weir_npu *npu, struct page *page, dma_addr_t *dma)
{
	if (page && *dma != DMA_MAPPING_ERROR)
		dma_unmap_page(&npu->pdev->dev, *dma, PAGE_SIZE, DMA_BIDIRECTIONAL);
	*dma = DMA_MAPPING_ERROR;
}

int weir_queue_pages_alloc(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	struct weir_npu_doorbell __iomem *doorbell;
	void *address;
	int ret;

	ret = shared_page_alloc(npu, &queue->status_page, &address, &queue->status_dma);
	if (ret)
		return ret;
	queue->status = address;
	ret = shared_page_alloc(npu, &queue->control_page, &address, &queue->control_dma);
	if (ret)
		return ret;
	queue->control = address;
	doorbell = ioremap(npu->doorbells + (u64)queue->hw * npu->stride, WEIR_NPU_PAGE);
	if (!doorbell)
		return -ENOMEM;
	writeq(0, &doorbell->published);
	readq(&doorbell->published);	/* it is there before the device looks */
	queue->doorbell = doorbell;
	queue->mapped = true;
	return 0;
}

void weir_queue_pages_free(struct weir_queue *queue)
{
	shared_page_free(queue->status_page, queue->status);
	shared_page_free(queue->control_page, queue->control);
	if (queue->dummy)
		__free_page(queue->dummy);
	mutex_destroy(&queue->map_lock);
}

void weir_queue_zap(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;

	mutex_lock(&queue->map_lock);
	queue->mapped = false;
	mutex_unlock(&queue->map_lock);
	unmap_mapping_range(npu->wdev->drm.anon_inode->i_mapping, weir_queue_doorbell_cookie(queue),
			    npu->stride, 1);
}

void weir_queue_pages_unmap(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	struct weir_npu_doorbell __iomem *doorbell;
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	doorbell = queue->doorbell;
	queue->doorbell = NULL;
	spin_unlock_irqrestore(&queue->lock, flags);
	if (doorbell)
		iounmap(doorbell);
	shared_page_unmap(npu, queue->status_page, &queue->status_dma);
	shared_page_unmap(npu, queue->control_page, &queue->control_dma);
}

static void queue_vma_open(struct vm_area_struct *vma)
{
	weir_queue_get(vma->vm_private_data);
}

static void queue_vma_close(struct vm_area_struct *vma)
{
	weir_queue_put(vma->vm_private_data);
}

static vm_fault_t doorbell_fault(struct vm_fault *vmf)
{
	struct vm_area_struct *vma = vmf->vma;
	struct weir_queue *queue = vma->vm_private_data;
	u64 offset = ((u64)vmf->pgoff << PAGE_SHIFT) - weir_queue_doorbell_cookie(queue);
	struct weir_npu *npu = queue->npu;
	vm_fault_t ret = VM_FAULT_OOM;
	int index;

	mutex_lock(&queue->map_lock);
	if (queue->mapped && drm_dev_enter(&npu->wdev->drm, &index)) {
		offset += npu->doorbells + (u64)queue->hw * npu->stride;
		ret = vmf_insert_pfn(vma, vmf->address, PHYS_PFN(offset));
		drm_dev_exit(index);
		goto unlock;
	}
	/* Whoever still rings a queue that is gone writes to memory that nobody reads. */
	if (!queue->dummy)
		queue->dummy = alloc_page(GFP_KERNEL_ACCOUNT | __GFP_ZERO);
	if (queue->dummy)
		ret = vmf_insert_pfn_prot(vma, vmf->address, page_to_pfn(queue->dummy),
					  vm_get_page_prot(vma->vm_flags));
unlock:
	mutex_unlock(&queue->map_lock);
	return ret;
}

static vm_fault_t status_fault(struct vm_fault *vmf)
{
	struct weir_queue *queue = vmf->vma->vm_private_data;

	get_page(queue->status_page);
	vmf->page = queue->status_page;
	return 0;
}

static const struct vm_operations_struct doorbell_vm_ops = {
	.open = queue_vma_open,
	.close = queue_vma_close,
	.fault = doorbell_fault,
};

static const struct vm_operations_struct status_vm_ops = {
	.open = queue_vma_open,
	.close = queue_vma_close,
	.fault = status_fault,
};

static int doorbell_mmap(struct weir_queue *queue, struct vm_area_struct *vma)
{
	struct weir_npu *npu = queue->npu;
	resource_size_t bar = pci_resource_len(npu->pdev, 2);

	if (vma->vm_end - vma->vm_start != npu->stride)
		return -EINVAL;
	if ((u64)(queue->hw + 1) * npu->stride > bar)
		return -EINVAL;
	vm_flags_set(vma, VM_IO | VM_PFNMAP | VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	vma->vm_page_prot = pgprot_noncached(vma->vm_page_prot);
	vma->vm_ops = &doorbell_vm_ops;
	return 0;
}

static int status_mmap(struct weir_queue *queue, struct vm_area_struct *vma)
{
	if (vma->vm_end - vma->vm_start != PAGE_SIZE)
		return -EINVAL;
	if (vma->vm_flags & VM_WRITE)
		return -EACCES;
	vm_flags_set(vma, VM_DONTEXPAND | VM_DONTDUMP | VM_DONTCOPY);
	vm_flags_clear(vma, VM_MAYWRITE);
	if (!queue->npu->wdev->coherent)
		vma->vm_page_prot = pgprot_writecombine(vma->vm_page_prot);
	vma->vm_ops = &status_vm_ops;
	return 0;
}

int weir_queue_mmap(struct weir_file *wf, struct vm_area_struct *vma)
{
	u64 offset = (u64)vma->vm_pgoff << PAGE_SHIFT;
	u64 within = offset & ((1ull << COOKIE_SHIFT) - 1);
	struct weir_queue *queue;
	int ret = -EINVAL;

	if (!wf->vm)
		return -EOPNOTSUPP;
	if (!(vma->vm_flags & VM_SHARED))
		return -EINVAL;
	queue = weir_queue_lookup(wf, offset >> COOKIE_SHIFT);
	if (!queue)
		return -EINVAL;
	if (within == 0)
		ret = doorbell_mmap(queue, vma);
	else if (within == COOKIE_STATUS)
		ret = status_mmap(queue, vma);
	if (ret)
		weir_queue_put(queue);
	else
		vma->vm_private_data = queue;
	return ret;
}
