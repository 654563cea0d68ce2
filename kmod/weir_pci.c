// SPDX-License-Identifier: GPL-2.0
/* The PCI binding: how the NPU is found, interrupts, power states, and how it leaves. */

#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/log2.h>
#include <linux/module.h>
#include <linux/pm_runtime.h>
#include <linux/sizes.h>

#include <drm/drm_managed.h>

#include "weir.h"

#define WEIR_AUTOSUSPEND_MS	200

/* More than any device would have: what a broken one reads does not make us allocate wildly. */
#define WEIR_SANE_IDS		65536
#define WEIR_SANE_STRIDE	WEIR_QUEUE_STRIDE_MAX

/* ---- interrupts ------------------------------------------------------------------------------ */

static irqreturn_t weir_npu_admin_irq(int irq, void *arg)
{
	struct weir_npu *npu = arg;

	if (!READ_ONCE(npu->admin_busy))
		return IRQ_WAKE_THREAD;
	/* Who waits looks at STATUS unless the command is done. */
	complete(&npu->admin_done);
	return IRQ_HANDLED;
}

/* Nobody waits: STATUS changed. Without power there is nothing to read, and nobody to tell. */
static irqreturn_t weir_npu_status_irq(int irq, void *arg)
{
	struct weir_npu *npu = arg;

	if (pm_runtime_get_if_in_use(&npu->pdev->dev) > 0) {
		weir_npu_check(npu);
		weir_npu_power_put(npu);
	}
	return IRQ_HANDLED;
}

static irqreturn_t weir_npu_queue_irq(int irq, void *arg)
{
	weir_queues_progress(arg);
	return IRQ_HANDLED;
}

static int weir_npu_request_irqs(struct weir_npu *npu)
{
	struct pci_dev *pdev = npu->pdev;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, WEIR_NPU_IRQS, WEIR_NPU_IRQS, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	ret = request_threaded_irq(pci_irq_vector(pdev, WEIR_NPU_IRQ_ADMIN), weir_npu_admin_irq,
				   weir_npu_status_irq, 0, "weir-admin", npu);
	if (ret)
		goto err_vectors;
	ret = request_irq(pci_irq_vector(pdev, WEIR_NPU_IRQ_QUEUE), weir_npu_queue_irq, 0,
			  "weir-queue", npu);
	if (ret)
		goto err_admin;
	return 0;

err_admin:
	free_irq(pci_irq_vector(pdev, WEIR_NPU_IRQ_ADMIN), npu);
err_vectors:
	pci_free_irq_vectors(pdev);
	return ret;
}

static void weir_npu_free_irqs(struct weir_npu *npu)
{
	free_irq(pci_irq_vector(npu->pdev, WEIR_NPU_IRQ_QUEUE), npu);
	free_irq(pci_irq_vector(npu->pdev, WEIR_NPU_IRQ_ADMIN), npu);
	pci_free_irq_vectors(npu->pdev);
}

/* ---- probe and remove ------------------------------------------------------------------------ */

static bool weir_npu_limit(struct weir_npu *npu, const char *what, u32 reg, u32 low, u32 high,
			   u32 *out)
{
	*out = weir_npu_read(npu, reg);
	if (*out >= low && *out <= high)
		return true;
	dev_err(&npu->pdev->dev, "register %s reads %u, not %u to %u\n", what, *out, low, high);
	return false;
}

static int weir_npu_read_limits(struct weir_npu *npu)
{
	struct device *dev = &npu->pdev->dev;
	u32 magic = weir_npu_read(npu, WEIR_NPU_REG_MAGIC);
	u32 version = weir_npu_read(npu, WEIR_NPU_REG_VERSION);

	if (magic != WEIR_NPU_MAGIC || version >> 16 != WEIR_NPU_VERSION >> 16) {
		dev_err(dev, "no NPU of this kind: magic %08x version %08x\n", magic, version);
		return -ENODEV;
	}
	npu->caps = weir_npu_read(npu, WEIR_NPU_REG_CAPS);
	if (!weir_npu_limit(npu, "CONTEXTS", WEIR_NPU_REG_CONTEXTS, 1, WEIR_SANE_IDS,
			    &npu->max_contexts) ||
	    !weir_npu_limit(npu, "QUEUES", WEIR_NPU_REG_QUEUES, 1, WEIR_SANE_IDS,
			    &npu->max_queues) ||
	    !weir_npu_limit(npu, "ENTRIES", WEIR_NPU_REG_ENTRIES, 1, WEIR_SANE_IDS,
			    &npu->max_entries) ||
	    !weir_npu_limit(npu, "STRIDE", WEIR_NPU_REG_STRIDE, max_t(u32, PAGE_SIZE, SZ_64K),
			    WEIR_SANE_STRIDE, &npu->stride) ||
	    !weir_npu_limit(npu, "ADDR_BITS", WEIR_NPU_REG_ADDR_BITS, 30, 63, &npu->addr_bits))
		return -ENODEV;
	if (!is_power_of_2(npu->stride) ||
	    (u64)npu->stride * npu->max_queues > pci_resource_len(npu->pdev, 2)) {
		dev_err(dev, "%u doorbell pages of %u bytes do not suit BAR2\n", npu->max_queues,
			npu->stride);
		return -ENODEV;
	}
	return 0;
}

static int weir_npu_map_registers(struct weir_npu *npu)
{
	struct pci_dev *pdev = npu->pdev;

	if (!(pci_resource_flags(pdev, 0) & IORESOURCE_MEM) ||
	    !(pci_resource_flags(pdev, 2) & IORESOURCE_MEM) ||
	    pci_resource_len(pdev, 0) < WEIR_NPU_BAR0_SIZE) {
		dev_err(&pdev->dev, "BAR0 or BAR2 is not as it should be\n");
		return -ENODEV;
	}
	npu->regs = pci_iomap(pdev, 0, WEIR_NPU_BAR0_SIZE);
	if (!npu->regs)
		return -ENOMEM;
	npu->doorbells = pci_resource_start(pdev, 2);
	return 0;
}

static struct weir_npu *weir_npu_alloc(struct weir_device *wdev, struct pci_dev *pdev)
{
	struct weir_npu *npu;

	/* As long as the DRM device: files that are still open look at it after the device went. */
	npu = drmm_kzalloc(&wdev->drm, sizeof(*npu), GFP_KERNEL);
	if (!npu)
		return NULL;
	npu->identity = drmm_kzalloc(&wdev->drm, sizeof(*npu->identity), GFP_KERNEL);
	if (!npu->identity)
		return NULL;
	npu->wdev = wdev;
	npu->pdev = pdev;
	init_rwsem(&npu->reset_sem);
	npu->life = WEIR_NPU_FAILED;
	init_waitqueue_head(&npu->life_wait);
	mutex_init(&npu->admin_lock);
	init_completion(&npu->admin_done);
	ida_init(&npu->contexts);
	ida_init(&npu->hw_queues);
	INIT_LIST_HEAD(&npu->vms);
	spin_lock_init(&npu->queues_lock);
	INIT_LIST_HEAD(&npu->queues);
	atomic_set(&npu->faults, 0);
	return npu;
}

/* Starts the device for the first time and keeps what it says of itself. */
static int weir_npu_first_start(struct weir_npu *npu)
{
	struct weir_npu_identity *identity = npu->identity;
	int ret;

	down_write(&npu->reset_sem);
	ret = weir_npu_restart(npu);
	up_write(&npu->reset_sem);
	if (ret)
		return ret;
	memcpy(identity, (void *)npu->admin + WEIR_ADMIN_BYTES, sizeof(*identity));
	identity->name[sizeof(identity->name) - 1] = 0;
	identity->version[sizeof(identity->version) - 1] = 0;
	return 0;
}

static int weir_npu_enable(struct weir_npu *npu)
{
	struct pci_dev *pdev = npu->pdev;
	int ret;

	ret = pci_enable_device_mem(pdev);
	if (ret)
		return ret;
	ret = pci_request_mem_regions(pdev, WEIR_NAME);
	if (ret)
		goto err_enable;
	ret = weir_npu_map_registers(npu);
	if (ret)
		goto err_regions;
	ret = weir_npu_read_limits(npu);
	if (ret)
		goto err_map;
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		goto err_map;
	dma_set_max_seg_size(&pdev->dev, UINT_MAX);
	npu->admin = dma_alloc_coherent(&pdev->dev, WEIR_ADMIN_ALLOC, &npu->admin_dma, GFP_KERNEL);
	if (!npu->admin) {
		ret = -ENOMEM;
		goto err_map;
	}
	ret = weir_npu_request_irqs(npu);
	if (ret)
		goto err_admin;
	return 0;

err_admin:
	dma_free_coherent(&pdev->dev, WEIR_ADMIN_ALLOC, npu->admin, npu->admin_dma);
err_map:
	pci_iounmap(pdev, npu->regs);
err_regions:
	pci_release_mem_regions(pdev);
err_enable:
	pci_disable_device(pdev);
	return ret;
}

/* Undoes weir_npu_enable() but for interrupts: halted, and no work of ours runs any more. */
static void weir_npu_disable(struct weir_npu *npu)
{
	struct pci_dev *pdev = npu->pdev;

	dma_free_coherent(&pdev->dev, WEIR_ADMIN_ALLOC, npu->admin, npu->admin_dma);
	npu->admin = NULL;
	pci_iounmap(pdev, npu->regs);
	npu->regs = NULL;
	pci_release_mem_regions(pdev);
	pci_disable_device(pdev);
}

static int weir_pci_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct weir_device *wdev;
	struct weir_npu *npu;
	int ret;

	wdev = devm_drm_dev_alloc(&pdev->dev, &weir_render_driver, struct weir_device, drm);
	if (IS_ERR(wdev))
		return PTR_ERR(wdev);
	npu = weir_npu_alloc(wdev, pdev);
	if (!npu)
		return -ENOMEM;
	ret = weir_reset_init(npu);
	if (ret)
		return ret;
	ret = weir_npu_enable(npu);
	if (ret)
		goto err_reset;
	wdev->npu = npu;
	wdev->coherent = npu->caps & WEIR_NPU_CAP_COHERENT;
	pci_set_drvdata(pdev, npu);
	ret = weir_npu_first_start(npu);
	if (ret)
		goto err_halt;
	ret = weir_device_init(wdev);
	if (ret)
		goto err_halt;
	ret = drm_dev_register(&wdev->drm, 0);
	if (ret)
		goto err_device;
	/* The PCI core holds power while this runs, until we allow it to go. */
	pm_runtime_set_autosuspend_delay(&pdev->dev, WEIR_AUTOSUSPEND_MS);
	pm_runtime_use_autosuspend(&pdev->dev);
	pm_runtime_allow(&pdev->dev);
	weir_npu_power_put(npu);
	dev_info(&pdev->dev, "%s: %u contexts, %u queues\n", npu->identity->name,
		 npu->max_contexts, npu->max_queues);
	return 0;

err_device:
	weir_device_fini(wdev);
err_halt:
	weir_npu_halt(npu);
	/* Interrupts end before what they schedule. */
	weir_npu_free_irqs(npu);
	weir_reset_fini(npu);
	weir_npu_disable(npu);
	return ret;

err_reset:
	weir_reset_fini(npu);
	return ret;
}

/* Files may be open still: what they hold stays, but nothing of it is the device's any more. */
static void weir_npu_unplug(struct weir_npu *npu)
{
	struct weir_queue *queue;
	struct weir_vm *vm;
	bool signalling;

	/* Fences are signalled here, and what frees memory does not belong to that. */
	signalling = dma_fence_begin_signalling();
	down_write(&npu->reset_sem);
	list_for_each_entry(queue, &npu->queues, node)
		weir_queue_kill(queue, WEIR_NPU_QUEUE_GONE, WEIR_NPU_FAULT_LOST);
	up_write(&npu->reset_sem);
	dma_fence_end_signalling(signalling);

	down_write(&npu->reset_sem);
	list_for_each_entry(queue, &npu->queues, node)
		weir_queue_unplug(queue);
	list_for_each_entry(vm, &npu->vms, node)
		weir_vm_unplug(vm);
	up_write(&npu->reset_sem);
}

static void weir_pci_remove(struct pci_dev *pdev)
{
	struct weir_npu *npu = pci_get_drvdata(pdev);

	pm_runtime_get_sync(&pdev->dev);
	pm_runtime_forbid(&pdev->dev);
	pm_runtime_dont_use_autosuspend(&pdev->dev);
	drm_dev_unplug(&npu->wdev->drm);
	weir_npu_halt(npu);
	weir_npu_unplug(npu);
	weir_npu_free_irqs(npu);
	weir_reset_fini(npu);
	weir_device_fini(npu->wdev);
	weir_npu_disable(npu);
	/* The PCI core drops what it holds beside: the one reference taken above stays. */
}

static void weir_pci_shutdown(struct pci_dev *pdev)
{
	weir_npu_halt(pci_get_drvdata(pdev));
}

/* ---- power ----------------------------------------------------------------------------------- */

static int weir_pci_suspend(struct device *dev)
{
	weir_npu_sleep(dev_get_drvdata(dev));
	return 0;
}

static int weir_pci_resume(struct device *dev)
{
	weir_npu_wake(dev_get_drvdata(dev));
	return 0;
}

static int weir_pci_runtime_suspend(struct device *dev)
{
	struct weir_npu *npu = dev_get_drvdata(dev);
	int ret;

	ret = weir_npu_doze(npu);
	/*
	 * A process may write its doorbell page at any time and ask for a wake-up after that: the
	 * write would be lost in D3hot, where the device decodes no memory. So with queues it only
	 * pauses: the PCI core leaves a device in D0 whose state is saved already.
	 */
	if (!ret && !list_empty_careful(&npu->queues))
		ret = pci_save_state(to_pci_dev(dev));
	return ret;
}

static int weir_pci_runtime_resume(struct device *dev)
{
	weir_npu_undoze(dev_get_drvdata(dev));
	return 0;
}

static const struct dev_pm_ops weir_pci_pm = {
	SYSTEM_SLEEP_PM_OPS(weir_pci_suspend, weir_pci_resume)
	RUNTIME_PM_OPS(weir_pci_runtime_suspend, weir_pci_runtime_resume, NULL)
};

static const struct pci_device_id weir_pci_ids[] = {
	{ PCI_DEVICE(WEIR_NPU_PCI_VENDOR, WEIR_NPU_PCI_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, weir_pci_ids);

struct pci_driver weir_pci_driver = {
	.name = WEIR_NAME,
	.id_table = weir_pci_ids,
	.probe = weir_pci_probe,
	.remove = weir_pci_remove,
	.shutdown = weir_pci_shutdown,
	.driver.pm = pm_ptr(&weir_pci_pm),
};
