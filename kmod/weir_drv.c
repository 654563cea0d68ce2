// SPDX-License-Identifier: GPL-2.0
/*
 * weir_drv.c - the DRM driver: files, ioctls, module.
 */
#include <linux/dma-map-ops.h>
#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include <drm/drm_gem.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_prime.h>
#include <drm/drm_print.h>

#include "weir.h"

unsigned int weir_quota_file_mib;
module_param_named(quota_file_mib, weir_quota_file_mib, uint, 0644);
MODULE_PARM_DESC(quota_file_mib, "MiB of buffers that an open file may hold (0: half of memory)");

unsigned int weir_quota_user_mib;
module_param_named(quota_user_mib, weir_quota_user_mib, uint, 0644);
MODULE_PARM_DESC(quota_user_mib, "MiB of buffers that a user may hold (0: half of memory)");

unsigned int weir_hang_limit_ms = 10000;
module_param_named(hang_limit_ms, weir_hang_limit_ms, uint, 0644);
MODULE_PARM_DESC(hang_limit_ms, "milliseconds without progress after which a queue is reset");

unsigned int weir_queues_per_file = 16;
module_param_named(queues_per_file, weir_queues_per_file, uint, 0644);
MODULE_PARM_DESC(queues_per_file, "queues that an open file may hold");

/* ---- devices --------------------------------------------------------------------------------- */

int weir_device_init(struct weir_device *wdev)
{
	mutex_init(&wdev->bos_lock);
	INIT_LIST_HEAD(&wdev->bos);
	/* Segments as long as memory gives them: the default of 64 KiB is for old controllers. */
	dma_set_max_seg_size(wdev->drm.dev, UINT_MAX);
	wdev->coherent = dev_is_dma_coherent(wdev->drm.dev);
	return 0;
}

void weir_device_fini(struct weir_device *wdev)
{
	weir_bo_unmap_all(wdev);
}

/* ---- files ----------------------------------------------------------------------------------- */

static int weir_open(struct drm_device *drm, struct drm_file *file)
{
	struct weir_device *wdev = to_weir(drm);
	struct weir_file *wf;
	int ret;

	wf = kzalloc(sizeof(*wf), GFP_KERNEL);
	if (!wf)
		return -ENOMEM;
	wf->wdev = wdev;
	xa_init_flags(&wf->queues, XA_FLAGS_ALLOC1);
	wf->account = weir_account_create();
	if (IS_ERR(wf->account)) {
		ret = PTR_ERR(wf->account);
		goto err_file;
	}
	if (wdev->npu) {
		wf->vm = weir_vm_create(wdev->npu);
		if (IS_ERR(wf->vm)) {
			ret = PTR_ERR(wf->vm);
			goto err_account;
		}
	}
	file->driver_priv = wf;
	return 0;

err_account:
	weir_account_put(wf->account);
err_file:
	kfree(wf);
	return ret;
}

static void weir_postclose(struct drm_device *drm, struct drm_file *file)
{
	struct weir_file *wf = file->driver_priv;

	if (wf->vm)
		weir_vm_put(wf->vm);
	weir_account_put(wf->account);
	xa_destroy(&wf->queues);
	kfree(wf);
}

/* Queues end before drm_release() closes the handles of the buffers that they work on. */
static int weir_release(struct inode *inode, struct file *filp)
{
	struct drm_file *file = filp->private_data;
	struct weir_file *wf = file->driver_priv;

	if (wf->vm)
		weir_queue_close_all(wf);
	return drm_release(inode, filp);
}

static int weir_mmap(struct file *filp, struct vm_area_struct *vma)
{
	struct drm_file *file = filp->private_data;
	struct weir_file *wf = file->driver_priv;

	if (drm_dev_is_unplugged(&wf->wdev->drm))
		return -ENODEV;
	/* What WEIR_BO_NO_MMAP has for an offset. */
	if (!vma->vm_pgoff)
		return -EACCES;
	if (vma->vm_pgoff >= DRM_FILE_PAGE_OFFSET_START)
		return weir_bo_mmap_file(filp, vma);
	return wf->vm ? weir_queue_mmap(wf, vma) : -EINVAL;
}

/* ---- fdinfo: what a file holds, for people and tools ----------------------------------------- */

#ifdef WEIR_HAVE_DRIVER_FDINFO

static void weir_driver_fdinfo(struct drm_printer *p, struct drm_file *file)
{
	drm_show_memory_stats(p, file);
	weir_show_fdinfo(file->driver_priv, p);
}

#define WEIR_DRIVER_FDINFO	.show_fdinfo = weir_driver_fdinfo,
#define WEIR_FOP_FDINFO		drm_show_fdinfo

#else

/* No client id here: the kernel has none to give. */
static void weir_fop_fdinfo(struct seq_file *m, struct file *filp)
{
	struct drm_file *file = filp->private_data;
	struct weir_file *wf = file->driver_priv;
	struct drm_printer p = drm_seq_file_printer(m);
	struct drm_weir_query_device device;

	weir_account_read(wf->account, &device);
	drm_printf(&p, "drm-driver:\t%s\n", WEIR_NAME);
	if (dev_is_pci(wf->wdev->drm.dev))
		drm_printf(&p, "drm-pdev:\t%s\n", dev_name(wf->wdev->drm.dev));
	drm_printf(&p, "drm-memory-system:\t%llu KiB\n", device.quota_used >> 10);
	weir_show_fdinfo(wf, &p);
}

#define WEIR_DRIVER_FDINFO
#define WEIR_FOP_FDINFO		weir_fop_fdinfo

#endif

/* ---- queries --------------------------------------------------------------------------------- */

static u64 weir_query_caps(struct weir_device *wdev)
{
	u64 caps = WEIR_CAP_CONTIGUOUS;

	if (wdev->coherent)
		caps |= WEIR_CAP_COHERENT;
	if (!wdev->npu)
		return caps;
	caps |= WEIR_CAP_QUEUES | WEIR_CAP_DOORBELL;
	if (wdev->npu->caps & WEIR_NPU_CAP_ISOLATION)
		caps |= WEIR_CAP_ISOLATION;
	if (wdev->npu->caps & WEIR_NPU_CAP_QUEUE_RESET)
		caps |= WEIR_CAP_QUEUE_RESET;
	if (wdev->npu->caps & WEIR_NPU_CAP_EMULATED)
		caps |= WEIR_CAP_EMULATED;
	return caps;
}

static u32 weir_query_queues(struct weir_file *wf)
{
	struct weir_queue *queue;
	unsigned long id;
	u32 n = 0;

	xa_for_each(&wf->queues, id, queue)
		n++;
	return n;
}

static void weir_query_device(struct weir_file *wf, struct drm_weir_query_device *out)
{
	struct weir_npu *npu = wf->wdev->npu;

	out->caps = weir_query_caps(wf->wdev);
	out->page_size = PAGE_SIZE;
	weir_account_read(wf->account, out);
	out->hang_limit_ms = weir_hang_limit_ms;
	out->abi_minor = WEIR_ABI_MINOR;
	if (!npu)
		return;
	out->doorbell_stride = npu->stride;
	out->queues_max = weir_queues_per_file;
	out->queues_used = weir_query_queues(wf);
	out->resets = npu->resets;
}

static int weir_query_answer(struct drm_weir_dev_query *args, const void *answer, size_t size)
{
	void __user *to = u64_to_user_ptr(args->pointer);
	size_t room = args->size, n = min(room, size);

	args->size = size;
	if (!to)
		return 0;
	if (copy_to_user(to, answer, n) || clear_user(to + n, room - n))
		return -EFAULT;
	return 0;
}

static int weir_dev_query_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_query_device device = {};
	struct weir_npu *npu = to_weir(drm)->npu;
	struct drm_weir_dev_query *args = data;

	switch (args->type) {
	case WEIR_QUERY_DEVICE:
		weir_query_device(file->driver_priv, &device);
		return weir_query_answer(args, &device, sizeof(device));
	case WEIR_QUERY_NPU:
		if (!npu)
			return -EOPNOTSUPP;
		return weir_query_answer(args, npu->identity, sizeof(*npu->identity));
	default:
		return -EINVAL;
	}
}

/* ---- driver and module ----------------------------------------------------------------------- */

static const struct drm_ioctl_desc weir_ioctls[] = {
	DRM_IOCTL_DEF_DRV(WEIR_DEV_QUERY, weir_dev_query_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_BO_CREATE, weir_bo_create_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_BO_INFO, weir_bo_info_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_BO_SYNC, weir_bo_sync_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_QUEUE_CREATE, weir_queue_create_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_QUEUE_DESTROY, weir_queue_destroy_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_QUEUE_KICK, weir_queue_kick_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_QUEUE_STATE, weir_queue_state_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_QUEUE_FENCE, weir_queue_fence_ioctl, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(WEIR_QUEUE_WAIT, weir_queue_wait_ioctl, DRM_RENDER_ALLOW),
};

static const struct file_operations weir_fops = {
	.owner = THIS_MODULE,
	.open = drm_open,
	.release = weir_release,
	.unlocked_ioctl = drm_ioctl,
	.compat_ioctl = drm_compat_ioctl,
	.poll = drm_poll,
	.read = drm_read,
	.llseek = noop_llseek,
	.mmap = weir_mmap,
	.show_fdinfo = WEIR_FOP_FDINFO,
	WEIR_FOP_FLAGS
};

const struct drm_driver weir_render_driver = {
	.driver_features = DRIVER_GEM | DRIVER_RENDER | DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.open = weir_open,
	.postclose = weir_postclose,
	.debugfs_init = weir_debugfs_init,
	.gem_prime_import = weir_prime_import,
	.ioctls = weir_ioctls,
	.num_ioctls = ARRAY_SIZE(weir_ioctls),
	.fops = &weir_fops,
	.name = WEIR_NAME,
	.desc = WEIR_DESC,
	.major = 1,
	.minor = WEIR_ABI_MINOR,
	WEIR_DRIVER_FDINFO
	WEIR_DRIVER_PRIME
	WEIR_DRIVER_DATE
};

static int __init weir_init(void)
{
	int ret;

	BUILD_BUG_ON(sizeof(struct drm_weir_query_device) != 72);
	BUILD_BUG_ON(sizeof(struct weir_npu_admin) != 64);
	BUILD_BUG_ON(sizeof(struct weir_npu_identity) != 4096);
	ret = weir_pages_init();
	if (ret)
		return ret;
	ret = weir_mgr_register();
	if (ret)
		goto err_pages;
	ret = pci_register_driver(&weir_pci_driver);
	if (ret)
		goto err_mgr;
	return 0;

err_mgr:
	weir_mgr_unregister();
err_pages:
	weir_pages_exit();
	return ret;
}

static void __exit weir_exit(void)
{
	pci_unregister_driver(&weir_pci_driver);
	weir_mgr_unregister();
	weir_pages_exit();
	/* Fences free themselves after a grace period, by code of ours. */
	rcu_barrier();
}

module_init(weir_init);
module_exit(weir_exit);

MODULE_DESCRIPTION(WEIR_DESC);
MODULE_LICENSE("GPL");
WEIR_IMPORT_NS(DMA_BUF);
