/* SPDX-License-Identifier: GPL-2.0 */
/*
 * weir.h - what the files of weir.ko share.
 *
 * One module, two bindings: a PCI NPU with user-mode queues (weir_npu.c), and a buffer manager
 * without (weir_mgr.c). Both are a struct weir_device with a render node; what needs an NPU asks
 * wdev->npu.
 *
 * Locks, outer first:
 *   npu->reset_sem	read: whoever posts commands about contexts or queues; write: device reset,
 *			suspend, removal. Under it npu->life says whether the device takes
 *			commands.
 *   vm->lock		address space, bindings and context table of one file
 *   npu->admin_lock	one command at a time
 *   npu->queues_lock	(spinlock, irq-safe) the list of queues
 *   queue->lock	(spinlock, irq-safe) fences, eventfds and state of one queue
 *   wdev->bos_lock	the list of buffers; who is on it is mapped for DMA
 *   bo->lock		(innermost of the mutexes; inside a dma_resv) how ours is mapped for DMA
 * Nothing that a process controls is waited for under any of them.
 *
 * Lifetimes: an open file holds a weir_file; buffers hold an account, never a file; a binding holds
 * vm and buffer together and dies with the last handle; a queue holds its vm and its ring buffer;
 * fences hold nothing of the driver but the queue's timeline. After drm_dev_unplug() no register is
 * touched and nothing stays mapped for DMA; what processes mapped stays valid memory.
 */
#ifndef WEIR_H
#define WEIR_H

#include <linux/cred.h>
#include <linux/completion.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/rwsem.h>
#include <linux/scatterlist.h>
#include <linux/sizes.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>
#include <linux/xarray.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem.h>
#include <drm/drm_mm.h>

#include "../uapi/weir_drm.h"
#include "../uapi/weir_npu.h"
#include "weir_compat.h"

#define WEIR_NAME	"weir"
#define WEIR_DESC	"Weir DMA buffers and NPU queues"

struct weir_npu;
struct weir_vm;
struct weir_queue;

/* ---- weir_drv.c: the device, its files, module ----------------------------------------------- */

/**
 * struct weir_device - one render node
 * @drm: the DRM device; allocated by devm_drm_dev_alloc()
 * @npu: the NPU behind it, or NULL: buffer manager
 * @coherent: CPU caches and the device agree
 * @bos_lock: guards @bos
 * @bos: all buffers, &weir_bo.node
 */
struct weir_device {
	struct drm_device drm;
	struct weir_npu *npu;
	bool coherent;
	struct mutex bos_lock;		/* guards bos */
	struct list_head bos;
};

#define to_weir(d) container_of(d, struct weir_device, drm)

/**
 * struct weir_file - an open file (drm_file.driver_priv)
 * @wdev: device
 * @account: who pays for its buffers
 * @vm: address space of the NPU, NULL without
 * @queues: struct weir_queue by id
 */
struct weir_file {
	struct weir_device *wdev;
	struct weir_account *account;
	struct weir_vm *vm;
	struct xarray queues;
};

extern const struct drm_driver weir_render_driver;

/*
 * Both bindings: initialise the common part before drm_dev_register(), and undo what DMA needs
 * after drm_dev_unplug().
 */
int weir_device_init(struct weir_device *wdev);
void weir_device_fini(struct weir_device *wdev);

/* Module parameters; sizes in MiB, 0: a half of memory. */
extern unsigned int weir_quota_file_mib;
extern unsigned int weir_quota_user_mib;
extern unsigned int weir_hang_limit_ms;
extern unsigned int weir_queues_per_file;

/* ---- weir_quota.c: who pays ------------------------------------------------------------------ */

/* What a file and its user hold, in bytes. Reference counted; buffers outlive files. */
struct weir_account;

struct weir_account *weir_account_create(void);	/* for current's user; ERR_PTR */
struct weir_account *weir_account_get(struct weir_account *account);
void weir_account_put(struct weir_account *account);
int weir_account_charge(struct weir_account *account, u64 size);	/* 0 or -EDQUOT */
void weir_account_uncharge(struct weir_account *account, u64 size);
/* the four quota fields */
void weir_account_read(struct weir_account *account, struct drm_weir_query_device *out);

/* ---- weir_bo.c, weir_prime.c: buffers -------------------------------------------------------- */

/**
 * struct weir_bo - a buffer: system pages of our own, or a foreign dma-buf
 * @base: GEM object
 * @account: who pays; NULL for a foreign buffer
 * @flags: WEIR_BO_*
 * @pages: base.size >> PAGE_SHIFT pages of ours; NULL for a foreign buffer
 * @sgt: the buffer as the device reaches it: mapped for DMA; NULL once the device is unplugged
 * @node: in &weir_device.bos
 * @dmabuf: of a foreign buffer; NULL for ours
 * @attach: ours to @dmabuf, until the device is unplugged
 * @lock: guards @sgt and @mappings of our own pages; @sgt goes with &weir_device.bos_lock held too
 * @mappings: how other devices map ours (weir_prime.c)
 * @from_cma: the pages are one range that the DMA API gave, at bus address @cma
 * @wc_alias: the kernel's own mapping of the pages is write-combined (x86)
 * @cma: see @from_cma
 * @label: who made it, for debugfs
 * @pid: of the process that made it
 */
struct weir_bo {
	struct drm_gem_object base;
	struct weir_account *account;
	u32 flags;
	struct page **pages;
	struct sg_table *sgt;
	struct list_head node;
	struct dma_buf *dmabuf;
	struct dma_buf_attachment *attach;
	struct mutex lock;		/* guards sgt and mappings */
	struct list_head mappings;
	bool from_cma;
	bool wc_alias;
	dma_addr_t cma;
	char label[TASK_COMM_LEN];
	pid_t pid;
};

#define to_weir_bo(obj) container_of(obj, struct weir_bo, base)

/* The CPU maps it past its caches. Where the device snoops them, on x86 alone: see weir_pages.c. */
bool weir_bo_uncached(struct weir_bo *bo);

int weir_bo_create_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int weir_bo_info_ioctl(struct drm_device *drm, void *data, struct drm_file *file);
int weir_bo_sync_ioctl(struct drm_device *drm, void *data, struct drm_file *file);

/* A buffer still without memory; drm_gem_object_put() ends it at any stage. NULL: out of memory. */
struct weir_bo *weir_bo_new(struct weir_device *wdev, u64 size, struct dma_resv *resv);
u64 weir_bo_size_max(struct weir_device *wdev);

/* mmap of the DRM file at or above DRM_FILE_PAGE_OFFSET_START; of a buffer from page first on. */
int weir_bo_mmap_file(struct file *filp, struct vm_area_struct *vma);
int weir_bo_mmap(struct weir_bo *bo, struct vm_area_struct *vma, unsigned long first);

/* Makes sgt of our pages and maps it for dev; what undoes it. */
int weir_bo_map_for(struct weir_bo *bo, struct device *dev, struct sg_table *sgt,
		    enum dma_data_direction dir);
void weir_bo_unmap_for(struct weir_bo *bo, struct device *dev, struct sg_table *sgt,
		       enum dma_data_direction dir);

/* Undoes the DMA mapping of every buffer, before the device is unbound. */
void weir_bo_unmap_all(struct weir_device *wdev);

struct dma_buf *weir_prime_export(struct drm_gem_object *obj, int flags);
struct drm_gem_object *weir_prime_import(struct drm_device *drm, struct dma_buf *dmabuf);
/* Mappings of other devices; bo->lock held. */
void weir_prime_sync(struct weir_bo *bo, u64 offset, u64 size, enum dma_data_direction dir,
		     bool end);

/* weir_pages.c: fills bo->pages by base.size and flags; what undoes it, wholly or half done. */
int weir_pages_init(void);
void weir_pages_exit(void);
int weir_pages_get(struct weir_bo *bo);
void weir_pages_put(struct weir_bo *bo);

/*
 * weir_sync.c: CPU access to a range of our pages begins or ends (dma_sync of what overlaps); used
 * by ioctl and dma-buf. And of one mapping.
 */
void weir_bo_sync_range(struct weir_bo *bo, u64 offset, u64 size, enum dma_data_direction dir,
			bool end);
void weir_sgt_sync(struct device *dev, struct sg_table *sgt, u64 offset, u64 size,
		   enum dma_data_direction dir, bool end);

/* ---- weir_debug.c ---------------------------------------------------------------------------- */

void weir_debugfs_init(struct drm_minor *minor);	/* queues, buffers, faults, inject (NPU) */
/* What the DRM core does not know: quota, queues, resets. */
void weir_show_fdinfo(struct weir_file *wf, struct drm_printer *p);

const char *weir_state_name(u32 state);
const char *weir_fault_name(u32 code);

/* ---- weir_mgr.c: the buffer manager ---------------------------------------------------------- */

/* The driver, and a platform device of its own unless the device tree has one. */
int weir_mgr_register(void);
void weir_mgr_unregister(void);

#include "weir_hw.h"

#endif /* WEIR_H */
