// SPDX-License-Identifier: GPL-2.0
/*
 * Address spaces: a context of the NPU for each file, and the table of the buffers that it reaches.
 *
 * A page goes back to the system only when the device reaches it no more. Both ways out, of one
 * binding and of a whole context, have two steps for that:
 *   1. The table entry is cleared and the device told (CTX_UPDATE, CTX_DESTROY). When it answers,
 *      it has forgotten. When it does not, it becomes FAILED.
 *   2. weir_npu_down_settled(): a device that FAILED has been reset by then, which makes it forget
 *      all, and has read the tables again, where the entry is clear; or it is REMOVED, without
 *      bus mastering. A device that is suspended takes no step until resume.
 * Only then are table, segments and the binding freed, and after the last binding the buffer.
 */

#include <linux/bitmap.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include "weir.h"

/* Entries that a table has at most, and those that will do when memory is in pieces. */
#define WEIR_VM_ENTRIES		4096
#define WEIR_VM_ENTRIES_MIN	128

static struct device *weir_vm_dev(struct weir_vm *vm)
{
	return &vm->npu->pdev->dev;
}

/* ---- the context in the device: reset_sem for reading or writing and vm->lock held ----------- */

static int weir_vm_post_create(struct weir_vm *vm)
{
	const struct weir_npu_admin command = {
		.op = WEIR_NPU_ADMIN_CTX_CREATE,
		.ctx = vm->ctx,
		.addr = vm->table_dma,
		.count = vm->entries,
	};

	return weir_npu_command(vm->npu, &command);
}

int weir_vm_start(struct weir_vm *vm)
{
	int ret;

	if (vm->live)
		return 0;
	vm->live = true;
	ret = weir_vm_post_create(vm);
	/* Refused. A device that failed at it makes it after the reset instead. */
	if (ret && READ_ONCE(vm->npu->life) == WEIR_NPU_RUNNING)
		vm->live = false;
	return ret;
}

int weir_vm_restore(struct weir_vm *vm)
{
	return vm->live ? weir_vm_post_create(vm) : 0;
}

/* ---- what a context needs of memory ---------------------------------------------------------- */

static void weir_vm_list(struct weir_vm *vm, bool in)
{
	unsigned long flags;

	spin_lock_irqsave(&vm->npu->queues_lock, flags);
	if (in)
		list_add_tail(&vm->node, &vm->npu->vms);
	else
		list_del_init(&vm->node);
	spin_unlock_irqrestore(&vm->npu->queues_lock, flags);
}

static void weir_vm_free_table(struct weir_vm *vm)
{
	if (vm->table)
		dma_free_coherent(weir_vm_dev(vm), vm->entries * sizeof(*vm->table), vm->table,
				  vm->table_dma);
	vm->table = NULL;
}

static int weir_vm_alloc_table(struct weir_vm *vm)
{
	u32 entries = min_t(u32, vm->npu->max_entries, WEIR_VM_ENTRIES);

	for (;;) {
		vm->table = dma_alloc_coherent(weir_vm_dev(vm), entries * sizeof(*vm->table),
					       &vm->table_dma, GFP_KERNEL | __GFP_NOWARN);
		if (vm->table)
			break;
		if (entries <= WEIR_VM_ENTRIES_MIN)
			return -ENOMEM;
		entries /= 2;
	}
	vm->entries = entries;
	vm->used = bitmap_zalloc(entries, GFP_KERNEL);
	if (!vm->used) {
		weir_vm_free_table(vm);
		vm->entries = 0;
		return -ENOMEM;
	}
	return 0;
}

static int weir_vm_alloc_context(struct weir_vm *vm)
{
	struct weir_npu *npu = vm->npu;
	int ret;

	ret = ida_alloc_max(&npu->contexts, npu->max_contexts - 1, GFP_KERNEL);
	if (ret < 0)
		return ret;
	vm->ctx = ret;
	ret = weir_vm_alloc_table(vm);
	if (ret) {
		ida_free(&npu->contexts, vm->ctx);
		return ret;
	}
	down_read(&npu->reset_sem);
	weir_vm_list(vm, true);
	up_read(&npu->reset_sem);
	return 0;
}

/* At the first binding, since most who open the node only look at it. */
int weir_vm_prepare(struct weir_vm *vm)
{
	int ret = 0;

	mutex_lock(&vm->prepare_lock);
	if (!vm->entries)
		ret = weir_vm_alloc_context(vm);
	mutex_unlock(&vm->prepare_lock);
	return ret;
}

void weir_vm_unplug(struct weir_vm *vm)
{
	weir_bindings_unplug(vm);
	weir_vm_free_table(vm);
}

/* ---- life ------------------------------------------------------------------------------------ */

struct weir_vm *weir_vm_create(struct weir_npu *npu)
{
	struct weir_vm *vm;

	vm = kzalloc(sizeof(*vm), GFP_KERNEL);
	if (!vm)
		return ERR_PTR(-ENOMEM);
	kref_init(&vm->ref);
	vm->npu = npu;
	mutex_init(&vm->prepare_lock);
	mutex_init(&vm->lock);
	drm_mm_init(&vm->mm, WEIR_VM_BEGIN, (1ull << npu->addr_bits) - WEIR_VM_BEGIN);
	INIT_LIST_HEAD(&vm->bindings);
	INIT_LIST_HEAD(&vm->node);
	return vm;
}

/* Step 1 for a context: after it a reset does not make it again. */
static void weir_vm_end(struct weir_vm *vm)
{
	const struct weir_npu_admin command = {
		.op = WEIR_NPU_ADMIN_CTX_DESTROY,
		.ctx = vm->ctx,
	};
	int ret;

	weir_npu_down_settled(vm->npu);
	vm->live = false;
	ret = weir_npu_command(vm->npu, &command);
	if (ret && ret != -ENODEV)
		weir_npu_failed(vm->npu, "it does not forget a context");
	weir_npu_up_read(vm->npu);
}

static void weir_vm_release(struct kref *ref)
{
	struct weir_vm *vm = container_of(ref, struct weir_vm, ref);
	struct weir_npu *npu = vm->npu;

	WARN_ON(!list_empty(&vm->bindings));
	if (vm->live)
		weir_vm_end(vm);
	if (vm->entries) {
		weir_npu_down_settled(npu);
		weir_vm_list(vm, false);
		weir_vm_free_table(vm);
		weir_npu_up_read(npu);
		ida_free(&npu->contexts, vm->ctx);
	}
	bitmap_free(vm->used);
	drm_mm_takedown(&vm->mm);
	mutex_destroy(&vm->lock);
	mutex_destroy(&vm->prepare_lock);
	kfree(vm);
}

void weir_vm_put(struct weir_vm *vm)
{
	kref_put(&vm->ref, weir_vm_release);
}
