// SPDX-License-Identifier: GPL-2.0
/* What people and tests can see: debugfs, fdinfo, and names for states and faults. */

#include <linux/debugfs.h>
#include <linux/pm_runtime.h>
#include <linux/seq_file.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include <drm/drm_print.h>

#include "weir.h"

static const char *weir_name_of(const char * const *names, unsigned int count, u32 value)
{
	return value < count ? names[value] : "unknown";
}

const char *weir_state_name(u32 state)
{
	static const char * const names[] = {
		[WEIR_NPU_QUEUE_OK] = "ok",
		[WEIR_NPU_QUEUE_GUILTY] = "guilty",
		[WEIR_NPU_QUEUE_INNOCENT] = "innocent",
		[WEIR_NPU_QUEUE_GONE] = "gone",
	};

	return weir_name_of(names, ARRAY_SIZE(names), state);
}

const char *weir_fault_name(u32 code)
{
	static const char * const names[] = {
		[WEIR_NPU_FAULT_NONE] = "none",
		[WEIR_NPU_FAULT_PACKET] = "packet",
		[WEIR_NPU_FAULT_PROGRAM] = "program",
		[WEIR_NPU_FAULT_ARGUMENT] = "argument",
		[WEIR_NPU_FAULT_ADDRESS] = "address",
		[WEIR_NPU_FAULT_EXECUTION] = "execution",
		[WEIR_NPU_FAULT_DOORBELL] = "doorbell",
		[WEIR_NPU_FAULT_HANG] = "hang",
		[WEIR_NPU_FAULT_LOST] = "lost",
	};

	return weir_name_of(names, ARRAY_SIZE(names), code);
}

static const char *weir_life_name(u32 life)
{
	static const char * const names[] = {
		[WEIR_NPU_RUNNING] = "running",
		[WEIR_NPU_FAILED] = "failed",
		[WEIR_NPU_SUSPENDED] = "suspended",
		[WEIR_NPU_REMOVED] = "removed",
	};

	return weir_name_of(names, ARRAY_SIZE(names), life);
}

/* ---- debugfs: one line an object ------------------------------------------------------------- */

static void weir_show_queue(struct seq_file *m, struct weir_queue *queue)
{
	static const char * const priorities[] = { "low", "normal", "high" };
	bool fenced = queue->queue_class == WEIR_QUEUE_FENCED;

	seq_printf(m, "hw %d context %u pid %d %s id %u %s %s ring %#llx packets %lu", queue->hw,
		   queue->vm->ctx, queue->pid, queue->label, queue->id,
		   fenced ? "fenced" : "long-running",
		   weir_name_of(priorities, ARRAY_SIZE(priorities), queue->priority),
		   queue->ring_addr, 1ul << queue->order);
	seq_printf(m, " completed %llu published %llu %s", weir_queue_completed(queue),
		   weir_queue_published(queue), queue->awake ? "awake" : "asleep");
	seq_printf(m, " state %s fault %s\n",
		   weir_state_name(queue->dead ? queue->state : WEIR_NPU_QUEUE_OK),
		   weir_fault_name(queue->dead ? queue->code : WEIR_NPU_FAULT_NONE));
}

static int weir_queues_show(struct seq_file *m, void *unused)
{
	struct weir_device *wdev = m->private;
	struct weir_npu *npu = wdev->npu;
	struct weir_queue *queue;
	unsigned long flags;

	spin_lock_irqsave(&npu->queues_lock, flags);
	list_for_each_entry(queue, &npu->queues, node)
		weir_show_queue(m, queue);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(weir_queues);

static int weir_buffers_show(struct seq_file *m, void *unused)
{
	struct weir_device *wdev = m->private;
	struct weir_bo *bo;

	mutex_lock(&wdev->bos_lock);
	list_for_each_entry(bo, &wdev->bos, node)
		seq_printf(m, "pid %d %s bytes %zu%s%s%s%s%s handles %u\n", bo->pid, bo->label,
			   bo->base.size,
			   bo->flags & WEIR_BO_WRITE_COMBINED ? " write-combined" : " cached",
			   bo->flags & WEIR_BO_CONTIGUOUS ? " contiguous" : "",
			   bo->flags & WEIR_BO_NO_MMAP ? " no-mmap" : "",
			   bo->flags & WEIR_BO_BELOW_4G ? " below-4g" : "",
			   bo->dmabuf ? " imported" : bo->base.dma_buf ? " exported" : "",
			   READ_ONCE(bo->base.handle_count));
	mutex_unlock(&wdev->bos_lock);
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(weir_buffers);

static int weir_faults_show(struct seq_file *m, void *unused)
{
	struct weir_device *wdev = m->private;
	struct weir_npu *npu = wdev->npu;

	seq_printf(m, "device %s\nresets %u\nfaults %d\n", weir_life_name(READ_ONCE(npu->life)),
		   READ_ONCE(npu->resets), atomic_read(&npu->faults));
	return 0;
}
DEFINE_SHOW_ATTRIBUTE(weir_faults);

/* "reset": the device is treated as if it had failed. For tests and for who suspects it. */
static ssize_t weir_inject_write(struct file *file, const char __user *from, size_t size,
				 loff_t *pos)
{
	struct weir_device *wdev = file->private_data;
	char word[16];

	if (size >= sizeof(word))
		return -EINVAL;
	if (copy_from_user(word, from, size))
		return -EFAULT;
	word[size] = 0;
	if (!sysfs_streq(word, "reset"))
		return -EINVAL;
	weir_npu_failed(wdev->npu, "asked for through debugfs");
	return size;
}

static const struct file_operations weir_inject_fops = {
	.owner = THIS_MODULE,
	.open = simple_open,
	.write = weir_inject_write,
};

void weir_debugfs_init(struct drm_minor *minor)
{
	struct weir_device *wdev = to_weir(minor->dev);
	struct dentry *root = minor->debugfs_root;

	debugfs_create_file("buffers", 0400, root, wdev, &weir_buffers_fops);
	if (!wdev->npu)
		return;
	debugfs_create_file("queues", 0400, root, wdev, &weir_queues_fops);
	debugfs_create_file("faults", 0400, root, wdev, &weir_faults_fops);
	debugfs_create_file("inject", 0200, root, wdev, &weir_inject_fops);
}

/* ---- fdinfo ---------------------------------------------------------------------------------- */

void weir_show_fdinfo(struct weir_file *wf, struct drm_printer *p)
{
	struct drm_weir_query_device quota = { 0 };
	struct weir_npu *npu = wf->wdev->npu;
	struct weir_queue *queue, *entry;
	unsigned long id;
	u64 packets = 0;
	u32 queues = 0;

	weir_account_read(wf->account, &quota);
	drm_printf(p, "weir-quota:\t%llu KiB\n", quota.quota_max >> 10);
	drm_printf(p, "weir-memory:\t%llu KiB\n", quota.quota_used >> 10);
	if (!npu)
		return;
	xa_for_each(&wf->queues, id, entry) {
		/* The entry may go at any time: only a look-up says that it is there. */
		queue = weir_queue_lookup(wf, id);
		if (!queue)
			continue;
		queues++;
		packets += weir_queue_completed(queue);
		weir_queue_put(queue);
	}
	drm_printf(p, "weir-queues:\t%u\n", queues);
	drm_printf(p, "weir-packets:\t%llu\n", packets);
	drm_printf(p, "weir-resets:\t%u\n", READ_ONCE(npu->resets));
}
