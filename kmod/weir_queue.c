// SPDX-License-Identifier: GPL-2.0
/* weir_queue.c - user-mode queues: their life in the driver and in the device, and their ioctls. */
#include <linux/capability.h>
#include <linux/io.h>
#include <linux/log2.h>
#include <linux/overflow.h>
#include <linux/pm_runtime.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/string.h>

#include "weir.h"
#include "weir_trace.h"

struct weir_queue *weir_queue_get(struct weir_queue *queue)
{
	kref_get(&queue->ref);
	return queue;
}

struct weir_queue *weir_queue_lookup(struct weir_file *wf, u32 id)
{
	struct weir_queue *queue;

	xa_lock(&wf->queues);
	queue = xa_load(&wf->queues, id);
	if (queue)
		weir_queue_get(queue);
	xa_unlock(&wf->queues);
	return queue;
}

static void queue_release(struct kref *ref)
{
	struct weir_queue *queue = container_of(ref, struct weir_queue, ref);

	weir_queue_pages_free(queue);
	mutex_destroy(&queue->command_lock);
	kfree(queue);
}

/* What the device or other objects know of the queue went in weir_queue_end(): here is memory. */
void weir_queue_put(struct weir_queue *queue)
{
	kref_put(&queue->ref, queue_release);
}

/* ---- what device and process tell ---------------------------------------------------------- */

u64 weir_queue_completed(struct weir_queue *queue)
{
	u64 completed = READ_ONCE(queue->status->completed);

	dma_rmb();	/* what the device wrote before it counted */
	return completed;
}

u64 weir_queue_read_index(struct weir_queue *queue)
{
	return READ_ONCE(queue->status->read_index);
}

/* The process can write anything there, at any time: good for comparing, never for an address. */
u64 weir_queue_published_locked(struct weir_queue *queue)
{
	lockdep_assert_held(&queue->lock);
	return queue->doorbell ? readq(&queue->doorbell->published) : 0;
}

u64 weir_queue_published(struct weir_queue *queue)
{
	unsigned long flags;
	u64 published;

	spin_lock_irqsave(&queue->lock, flags);
	published = weir_queue_published_locked(queue);
	spin_unlock_irqrestore(&queue->lock, flags);
	return published;
}

/* ---- death --------------------------------------------------------------------------------- */

void weir_queue_die_locked(struct weir_queue *queue, u32 state, u32 code)
{
	struct weir_npu_status *status = queue->status;

	lockdep_assert_held(&queue->lock);
	if (queue->dead)
		return;
	if (READ_ONCE(status->state) == WEIR_NPU_QUEUE_OK) {
		/* The device said nothing, and will not: the process learns it from us. */
		WRITE_ONCE(status->error_seq, READ_ONCE(status->completed));
		WRITE_ONCE(status->code, code);
		dma_wmb();
		WRITE_ONCE(status->state, state);
	} else {
		state = READ_ONCE(status->state);
		dma_rmb();
		code = READ_ONCE(status->code);
	}
	queue->dead = true;
	queue->state = state;
	queue->code = code;
	trace_weir_queue_kill(queue, READ_ONCE(status->completed));
	if (queue->ending || state == WEIR_NPU_QUEUE_GONE)
		return;
	atomic_inc(&queue->npu->faults);
	if (state == WEIR_NPU_QUEUE_GUILTY)
		schedule_work(&queue->npu->report);
}

void weir_queue_kill(struct weir_queue *queue, u32 state, u32 code)
{
	unsigned long flags;

	spin_lock_irqsave(&queue->lock, flags);
	weir_queue_die_locked(queue, state, code);
	spin_unlock_irqrestore(&queue->lock, flags);
	weir_queue_progress(queue);
	weir_queue_rest(queue);
}

/* ---- in the device ------------------------------------------------------------------------- */

static int queue_command(struct weir_queue *queue, u16 op)
{
	struct weir_npu_admin command = {
		.op = op,
		.queue = queue->hw,
	};

	if (op == WEIR_NPU_ADMIN_QUEUE_CREATE) {
		command.ctx = queue->vm->ctx;
		command.order = queue->order;
		command.queue_class = queue->queue_class;
		command.priority = queue->priority;
		command.addr = queue->ring_addr;
		command.status = queue->status_dma;
		command.control = queue->control_dma;
		command.start = weir_queue_completed(queue);
	}
	return weir_npu_command(queue->npu, &command);
}

static int queue_enter(struct weir_queue *queue)
{
	int ret;

	mutex_lock(&queue->command_lock);
	ret = queue_command(queue, WEIR_NPU_ADMIN_QUEUE_CREATE);
	if (!ret)
		queue->in_device = true;
	mutex_unlock(&queue->command_lock);
	return ret;
}

int weir_queue_leave(struct weir_queue *queue, bool reset)
{
	int ret = 0;

	mutex_lock(&queue->command_lock);
	if (!queue->in_device)
		goto unlock;
	if (reset)
		ret = queue_command(queue, WEIR_NPU_ADMIN_QUEUE_RESET);
	if (!ret)
		ret = queue_command(queue, WEIR_NPU_ADMIN_QUEUE_DESTROY);
	if (!ret)
		queue->in_device = false;
unlock:
	mutex_unlock(&queue->command_lock);
	return ret;
}

int weir_queue_restore(struct weir_queue *queue)
{
	u64 start = weir_queue_completed(queue);
	int ret;

	WRITE_ONCE(queue->status->read_index, start);
	WRITE_ONCE(queue->status->need_kick, 0);
	WRITE_ONCE(queue->status->waiting, 0);
	/*
	 * A device that lost its memory lost the count too. One that kept it may hold a newer count
	 * by now, rung while the device was away: that one stays.
	 */
	if (weir_queue_published(queue) < start)
		writeq(start, &queue->doorbell->published);
	ret = queue_enter(queue);
	return ret ? ret : weir_queue_wake(queue);
}

int weir_queue_kick(struct weir_queue *queue)
{
	struct device *dev = &queue->npu->pdev->dev;
	int ret;

	/* The watch may find the queue asleep and give up its power before we write. */
	ret = pm_runtime_resume_and_get(dev);
	if (ret < 0)
		return ret;
	ret = weir_queue_wake(queue);
	if (!ret && READ_ONCE(queue->in_device))
		weir_npu_write_kick(queue->npu, queue->hw);
	pm_runtime_put(dev);
	trace_weir_queue_kick(queue);
	return ret;
}

/* ---- birth and end ------------------------------------------------------------------------- */

void weir_queue_unplug(struct weir_queue *queue)
{
	queue->in_device = false;
	weir_queue_kill(queue, WEIR_NPU_QUEUE_GONE, WEIR_NPU_FAULT_LOST);
	weir_queue_pages_unmap(queue);
}

/* Gives back all that is not plain memory; the queue is in no list and not in the device. */
static void queue_disown(struct weir_queue *queue)
{
	if (queue->hw >= 0)
		ida_free(&queue->npu->hw_queues, queue->hw);
	weir_vm_unbind(queue->vm, queue->ring);
	drm_gem_object_put(&queue->ring->base);
	weir_vm_put(queue->vm);
	weir_queue_put(queue);
}

static void weir_queue_end(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	unsigned long flags;

	trace_weir_queue_destroy(queue);
	spin_lock_irqsave(&queue->lock, flags);
	queue->ending = true;
	spin_unlock_irqrestore(&queue->lock, flags);
	/*
	 * A device that does not even do this is reset, and settled tells when that is over. The
	 * reset brings back no queue that is ending, so this comes to an end.
	 */
	while (weir_npu_down_settled(npu) && weir_queue_leave(queue, false))
		weir_npu_up_read(npu);
	weir_npu_up_read(npu);
	/* Signals fences, so not under reset_sem: the watch, which fences wait for, takes it. */
	weir_queue_kill(queue, WEIR_NPU_QUEUE_INNOCENT, WEIR_NPU_FAULT_LOST);
	weir_queue_zap(queue);
	/* Not beside weir_queue_unplug(), which may have unmapped the pages by now. */
	weir_npu_down_settled(npu);
	weir_queue_pages_unmap(queue);
	spin_lock_irqsave(&npu->queues_lock, flags);
	list_del_init(&queue->node);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
	weir_npu_up_read(npu);
	/* A report that is being written looks at the ring; no other can find the queue now. */
	flush_work(&npu->report);
	queue_disown(queue);
}

void weir_queue_close_all(struct weir_file *wf)
{
	struct weir_queue *queue;
	unsigned long id;

	if (!wf->vm)
		return;
	xa_for_each(&wf->queues, id, queue) {
		xa_erase(&wf->queues, id);
		weir_queue_end(queue);
	}
}

static struct weir_queue *queue_alloc(struct weir_file *wf)
{
	struct weir_queue *queue = kzalloc(sizeof(*queue), GFP_KERNEL_ACCOUNT);

	if (!queue)
		return NULL;
	kref_init(&queue->ref);
	queue->npu = wf->wdev->npu;
	queue->hw = -1;
	mutex_init(&queue->command_lock);
	mutex_init(&queue->map_lock);
	spin_lock_init(&queue->lock);
	init_waitqueue_head(&queue->wait);
	INIT_LIST_HEAD(&queue->wants);
	INIT_LIST_HEAD(&queue->node);
	queue->fence_context = dma_fence_context_alloc(1);
	queue->resets = queue->npu->resets;
	queue->seen_at = jiffies;
	queue->pid = task_tgid_nr(current);
	get_task_comm(queue->label, current);
	return queue;
}

static int queue_check(const struct weir_file *wf, const struct drm_weir_queue_create *args)
{
	if (!wf->vm)
		return -EOPNOTSUPP;
	if (args->flags || args->queue_class > WEIR_QUEUE_LONG_RUNNING ||
	    args->priority > WEIR_QUEUE_PRIORITY_HIGH)
		return -EINVAL;
	if (!is_power_of_2(args->ring_size) || args->ring_size < WEIR_NPU_RING_MIN ||
	    args->ring_size > WEIR_NPU_RING_MAX)
		return -EINVAL;
	if (!IS_ALIGNED(args->ring_offset, WEIR_NPU_PACKET_SIZE))
		return -EINVAL;
	if (args->priority == WEIR_QUEUE_PRIORITY_HIGH && !capable(CAP_SYS_NICE))
		return -EPERM;
	return 0;
}

/* Takes the ring: a reference of the buffer and a binding of its own. */
static int queue_take_ring(struct weir_queue *queue, struct weir_file *wf, struct drm_file *file,
			   const struct drm_weir_queue_create *args)
{
	struct drm_gem_object *obj = drm_gem_object_lookup(file, args->ring_handle);
	u64 end;
	int ret = -EINVAL;

	if (!obj)
		return -ENOENT;
	if (check_add_overflow(args->ring_offset, (u64)args->ring_size, &end) || end > obj->size)
		goto put;
	ret = weir_vm_bind(wf->vm, to_weir_bo(obj));
	if (ret)
		goto put;
	queue->ring = to_weir_bo(obj);
	kref_get(&wf->vm->ref);
	queue->vm = wf->vm;
	queue->ring_addr = weir_vm_address(wf->vm, queue->ring) + args->ring_offset;
	queue->ring_offset = args->ring_offset;
	return 0;
put:
	drm_gem_object_put(obj);
	return ret;
}

/* The device learns of the queue; from here on weir_queue_end() is the way out. */
static int queue_start(struct weir_queue *queue)
{
	struct weir_npu *npu = queue->npu;
	unsigned long flags;
	int ret;

	ret = weir_npu_down_read(npu);
	if (ret)
		return ret;
	spin_lock_irqsave(&npu->queues_lock, flags);
	list_add_tail(&queue->node, &npu->queues);
	spin_unlock_irqrestore(&npu->queues_lock, flags);
	ret = queue_enter(queue);
	if (!ret)
		ret = weir_queue_wake(queue);
	weir_npu_up_read(npu);
	return ret;
}

static int queue_make(struct weir_file *wf, struct drm_file *file,
		      struct drm_weir_queue_create *args, u32 id)
{
	struct weir_npu *npu = wf->wdev->npu;
	struct weir_queue *queue = queue_alloc(wf);
	int ret;

	if (!queue)
		return -ENOMEM;
	queue->id = id;
	queue->queue_class = args->queue_class;
	queue->priority = args->priority;
	queue->order = ilog2(args->ring_size / WEIR_NPU_PACKET_SIZE);
	ret = queue_take_ring(queue, wf, file, args);
	if (ret) {
		weir_queue_put(queue);
		return ret;
	}
	ret = ida_alloc_max(&npu->hw_queues, npu->max_queues - 1, GFP_KERNEL);
	if (ret < 0)
		goto disown;
	queue->hw = ret;
	ret = weir_queue_pages_alloc(queue);
	if (ret)
		goto unmap;
	ret = queue_start(queue);
	if (ret) {
		weir_queue_end(queue);
		return ret;
	}
	args->queue = id;
	args->doorbell_offset = weir_queue_doorbell_cookie(queue);
	args->status_offset = weir_queue_status_cookie(queue);
	trace_weir_queue_create(queue);
	xa_store(&wf->queues, id, queue, GFP_KERNEL);	/* room was reserved: cannot fail */
	return 0;
unmap:
	weir_queue_pages_unmap(queue);
disown:
	queue_disown(queue);
	return ret;
}

int weir_queue_create_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	u32 max = min_t(u32, weir_queues_per_file, WEIR_QUEUE_ID_MAX);
	struct drm_weir_queue_create *args = data;
	struct weir_file *wf = file->driver_priv;
	int ret, index;
	u32 id;

	ret = queue_check(wf, args);
	if (ret)
		return ret;
	if (!drm_dev_enter(drm, &index))
		return -ENODEV;
	ret = xa_alloc(&wf->queues, &id, NULL, XA_LIMIT(1, max), GFP_KERNEL_ACCOUNT);
	if (ret) {
		ret = ret == -EBUSY ? -ENOSPC : ret;
		goto exit;
	}
	ret = queue_make(wf, file, args, id);
	if (ret)
		xa_release(&wf->queues, id);
exit:
	drm_dev_exit(index);
	return ret;
}

int weir_queue_destroy_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_queue_destroy *args = data;
	struct weir_file *wf = file->driver_priv;
	struct weir_queue *queue;

	if (!wf->vm)
		return -EOPNOTSUPP;
	if (args->pad)
		return -EINVAL;
	/* An id that is only reserved stays so: the queue that is being made will be stored there. */
	xa_lock(&wf->queues);
	queue = xa_load(&wf->queues, args->queue);
	if (queue)
		__xa_erase(&wf->queues, args->queue);
	xa_unlock(&wf->queues);
	if (!queue)
		return -ENOENT;
	weir_queue_end(queue);
	return 0;
}

int weir_queue_kick_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_queue_kick *args = data;
	struct weir_file *wf = file->driver_priv;
	struct weir_queue *queue;
	int ret = -ENODEV;

	if (!wf->vm)
		return -EOPNOTSUPP;
	if (args->pad)
		return -EINVAL;
	queue = weir_queue_lookup(wf, args->queue);
	if (!queue)
		return -ENOENT;
	if (weir_npu_down_settled(queue->npu))
		ret = READ_ONCE(queue->dead) ? -EIO : weir_queue_kick(queue);
	weir_npu_up_read(queue->npu);
	weir_queue_put(queue);
	return ret;
}

int weir_queue_state_ioctl(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_weir_queue_state *args = data;
	struct weir_file *wf = file->driver_priv;
	struct weir_queue *queue;
	unsigned long flags;

	if (!wf->vm)
		return -EOPNOTSUPP;
	if (memchr_inv(&args->state, 0, sizeof(*args) - offsetof(typeof(*args), state)))
		return -EINVAL;
	queue = weir_queue_lookup(wf, args->queue);
	if (!queue)
		return -ENOENT;
	weir_queue_progress(queue);
	spin_lock_irqsave(&queue->lock, flags);
	args->state = queue->dead ? queue->state : WEIR_NPU_QUEUE_OK;
	args->code = queue->dead ? queue->code : WEIR_NPU_FAULT_NONE;
	args->resets = queue->npu->resets - queue->resets;
	args->completed = weir_queue_completed(queue);
	args->submitted = weir_queue_published_locked(queue);
	if (args->state == WEIR_NPU_QUEUE_GUILTY) {
		args->error_seq = READ_ONCE(queue->status->error_seq);
		args->fault_addr = READ_ONCE(queue->status->fault_addr);
	}
	spin_unlock_irqrestore(&queue->lock, flags);
	weir_queue_put(queue);
	return 0;
}
