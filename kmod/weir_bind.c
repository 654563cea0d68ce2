// SPDX-License-Identifier: GPL-2.0
/*
 * Bindings: where a buffer stands in an address space, and of which memory it is made.
 *
 * The top of weir_vm.c tells when a binding may go. Nothing is allocated under reset_sem or
 * vm->lock: reclaim may wait for a fence, and a fence for a reset.
 */

#include <linux/bitmap.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include "weir.h"

/**
 * struct weir_binding - a buffer in an address space
 * @node: in &weir_vm.bindings
 * @bo: the buffer; handles and queues that count here hold it
 * @users: how many; 0: the binding is on its way out
 * @place: device addresses, with the guard behind
 * @entry: index in the table
 * @segments: what the entry points to; NULL once the device is unplugged
 * @segments_dma: bus address
 * @segments_bytes: size
 * @count: of segments
 */
struct weir_binding {
	struct list_head node;
	struct weir_bo *bo;
	unsigned int users;
	struct drm_mm_node place;
	u32 entry;
	struct weir_npu_segment *segments;
	dma_addr_t segments_dma;
	size_t segments_bytes;
	u32 count;
};

static struct device *weir_vm_dev(struct weir_vm *vm)
{
	return &vm->npu->pdev->dev;
}

/* ---- segments -------------------------------------------------------------------------------- */

int weir_segments_of(struct sg_table *sgt, u64 size, struct weir_npu_segment *out)
{
	struct scatterlist *sg;
	u64 end = 0;
	int count = 0;
	int i;

	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 addr = sg_dma_address(sg);
		u64 bytes = min_t(u64, sg_dma_len(sg), size);

		if (!IS_ALIGNED(addr | bytes, WEIR_NPU_PAGE))
			return -EINVAL;
		if (!bytes)
			break;
		if (!count || addr != end) {
			if (out)
				out[count] = (struct weir_npu_segment) { .addr = addr };
			count++;
		}
		if (out)
			out[count - 1].size += bytes;
		end = addr + bytes;
		size -= bytes;
	}
	return size ? -EINVAL : count;
}

/* Inside drm_dev_enter(): so the buffer stays mapped. */
static int weir_binding_segments(struct weir_vm *vm, struct weir_binding *binding)
{
	struct weir_bo *bo = binding->bo;
	int count;

	if (!bo->sgt)
		return -ENODEV;
	count = weir_segments_of(bo->sgt, bo->base.size, NULL);
	if (count < 0)
		return count;
	binding->segments_bytes = array_size(count, sizeof(*binding->segments));
	binding->segments = dma_alloc_coherent(weir_vm_dev(vm), binding->segments_bytes,
					       &binding->segments_dma, GFP_KERNEL | __GFP_NOWARN);
	if (!binding->segments)
		return -ENOMEM;
	binding->count = weir_segments_of(bo->sgt, bo->base.size, binding->segments);
	return 0;
}

static void weir_binding_free_segments(struct weir_vm *vm, struct weir_binding *binding)
{
	if (binding->segments)
		dma_free_coherent(weir_vm_dev(vm), binding->segments_bytes, binding->segments,
				  binding->segments_dma);
	binding->segments = NULL;
}

/* The device runs no more; reset_sem held for writing. */
void weir_bindings_unplug(struct weir_vm *vm)
{
	struct weir_binding *binding;

	list_for_each_entry(binding, &vm->bindings, node)
		weir_binding_free_segments(vm, binding);
}

/* ---- bindings -------------------------------------------------------------------------------- */

static struct weir_binding *weir_vm_find(struct weir_vm *vm, struct weir_bo *bo)
{
	struct weir_binding *binding;

	list_for_each_entry(binding, &vm->bindings, node)
		if (binding->bo == bo && binding->users)
			return binding;
	return NULL;
}

static bool weir_vm_share(struct weir_vm *vm, struct weir_bo *bo)
{
	struct weir_binding *binding;

	binding = weir_vm_find(vm, bo);
	if (binding)
		binding->users++;
	return binding;
}

static void weir_binding_free(struct weir_vm *vm, struct weir_binding *binding)
{
	weir_binding_free_segments(vm, binding);
	kfree(binding);
}

static struct weir_binding *weir_binding_alloc(struct weir_vm *vm, struct weir_bo *bo)
{
	struct weir_binding *binding;
	int ret;

	if (bo->base.size > (1ull << vm->npu->addr_bits) - WEIR_VM_BEGIN - WEIR_VM_GUARD)
		return ERR_PTR(-E2BIG);
	binding = kzalloc(sizeof(*binding), GFP_KERNEL);
	if (!binding)
		return ERR_PTR(-ENOMEM);
	binding->bo = bo;
	binding->users = 1;
	ret = weir_binding_segments(vm, binding);
	if (ret) {
		weir_binding_free(vm, binding);
		return ERR_PTR(ret);
	}
	return binding;
}

/* Finds addresses and an entry for the binding and fills it. */
static int weir_binding_place(struct weir_vm *vm, struct weir_binding *binding)
{
	u64 size = binding->bo->base.size;
	int ret;

	binding->entry = find_first_zero_bit(vm->used, vm->entries);
	if (binding->entry == vm->entries)
		return -ENOSPC;
	ret = drm_mm_insert_node_generic(&vm->mm, &binding->place, size + WEIR_VM_GUARD,
					 WEIR_VM_GUARD, 0, DRM_MM_INSERT_BEST);
	if (ret)
		return ret;
	__set_bit(binding->entry, vm->used);
	list_add_tail(&binding->node, &vm->bindings);
	vm->table[binding->entry] = (struct weir_npu_entry) {
		.addr = binding->place.start,
		.size = size,
		.segments = binding->segments_dma,
		.count = binding->count,
		.flags = WEIR_NPU_ENTRY_VALID | WEIR_NPU_ENTRY_READ | WEIR_NPU_ENTRY_WRITE,
	};
	return 0;
}

static int weir_vm_post_update(struct weir_vm *vm, u32 entry)
{
	const struct weir_npu_admin command = {
		.op = WEIR_NPU_ADMIN_CTX_UPDATE,
		.ctx = vm->ctx,
		.first = entry,
		.count = 1,
	};

	return weir_npu_command(vm->npu, &command);
}

/* Step 1 of the way out. */
static void weir_binding_revoke(struct weir_vm *vm, struct weir_binding *binding)
{
	int ret;

	binding->users = 0;
	if (!vm->table)
		return;
	vm->table[binding->entry] = (struct weir_npu_entry) { 0 };
	ret = weir_vm_post_update(vm, binding->entry);
	if (ret && ret != -ENODEV)
		weir_npu_failed(vm->npu, "it does not forget a buffer");
}

/* Step 2; without locks. */
static void weir_binding_destroy(struct weir_vm *vm, struct weir_binding *binding)
{
	weir_npu_down_settled(vm->npu);
	mutex_lock(&vm->lock);
	list_del(&binding->node);
	weir_binding_free_segments(vm, binding);
	__clear_bit(binding->entry, vm->used);
	drm_mm_remove_node(&binding->place);
	mutex_unlock(&vm->lock);
	weir_npu_up_read(vm->npu);
	kfree(binding);
}

/* Takes the binding over, unless another thread bound the same buffer in the meantime. */
static int weir_vm_insert(struct weir_vm *vm, struct weir_binding *binding)
{
	bool placed = false;
	int ret;

	ret = weir_npu_down_read(vm->npu);
	if (ret)
		goto free;
	mutex_lock(&vm->lock);
	if (weir_vm_share(vm, binding->bo))
		goto unlock;
	ret = weir_vm_start(vm);
	if (!ret)
		ret = weir_binding_place(vm, binding);
	if (ret)
		goto unlock;
	placed = true;
	ret = weir_vm_post_update(vm, binding->entry);
	if (ret)
		weir_binding_revoke(vm, binding);
unlock:
	mutex_unlock(&vm->lock);
	weir_npu_up_read(vm->npu);
free:
	if (!placed)
		weir_binding_free(vm, binding);
	else if (ret)
		weir_binding_destroy(vm, binding);
	return ret;
}

int weir_vm_bind(struct weir_vm *vm, struct weir_bo *bo)
{
	struct weir_binding *binding;
	bool shared;
	int ret;
	int idx;

	mutex_lock(&vm->lock);
	shared = weir_vm_share(vm, bo);
	mutex_unlock(&vm->lock);
	if (shared)
		return 0;
	if (!drm_dev_enter(&vm->npu->wdev->drm, &idx))
		return -ENODEV;
	ret = weir_vm_prepare(vm);
	if (ret)
		goto exit;
	binding = weir_binding_alloc(vm, bo);
	ret = PTR_ERR_OR_ZERO(binding);
	if (!ret)
		ret = weir_vm_insert(vm, binding);
exit:
	drm_dev_exit(idx);
	return ret;
}

void weir_vm_unbind(struct weir_vm *vm, struct weir_bo *bo)
{
	struct weir_binding *binding;
	bool last = false;

	weir_npu_down_settled(vm->npu);
	mutex_lock(&vm->lock);
	binding = weir_vm_find(vm, bo);
	if (binding && --binding->users == 0) {
		weir_binding_revoke(vm, binding);
		last = true;
	}
	mutex_unlock(&vm->lock);
	weir_npu_up_read(vm->npu);
	if (last)
		weir_binding_destroy(vm, binding);
}

u64 weir_vm_address(struct weir_vm *vm, struct weir_bo *bo)
{
	struct weir_binding *binding;
	u64 addr;

	mutex_lock(&vm->lock);
	binding = weir_vm_find(vm, bo);
	addr = binding ? binding->place.start : 0;
	mutex_unlock(&vm->lock);
	return addr;
}
